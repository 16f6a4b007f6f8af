# %% [markdown]
# # Tasks that arrive one after the other
#
# > A data set cut into tasks by its classes, and a stream that never goes back.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N), experimental setting; official code `datasets/` · 4 minutes · what you need first: [Data sets that verify themselves](../core/images.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.data

# %%
#| export
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from papers_nb.core.images import SETS, crop_flip, normalize, tensors
from papers_nb.core.train import generator
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# In class-incremental learning a model meets a few classes at a time. First zeros and ones, then twos and threes, and never again a zero unless it kept one. **Split digits** cuts the ten digits into five such tasks.
#
# ## Which classes come first
#
# Seed 0 keeps the natural order of the classes; any other seed permutes them, as the official code does.

# %%
#| exports
def class_order(
    classes: int, # how many
    seed: int,    # 0 keeps the order
)->np.ndarray: # new label of each class
    """The label that each class gets, so that tasks are consecutive labels.

    Source: official code, `run.py`."""
    if seed == 0: return np.arange(classes)
    return np.random.default_rng(42 + seed).permutation(classes)


# %%
class_order(10, 0), class_order(10, 1)


# %% [markdown]
# ## A set in tasks

# %%
#| exports
@dataclass
class Tasks:
    "A labelled image set cut into tasks of consecutive labels; bytes on the device."
    name: str      # the data set
    x: Tensor      # training images, uint8 (N, C, H, W)
    y: Tensor      # their labels after `class_order`, int64 (N,)
    x_test: Tensor # test images
    y_test: Tensor # their labels
    tasks: int     # T
    classes: int   # K, all tasks together

    @property
    def per_task(self)->int:
        "Classes of a task."
        return self.classes//self.tasks

    def task_of(self, y: Tensor)->Tensor:
        "The task that a label belongs to, counted from 0."
        return y//self.per_task

def split(
    data: str,            # name of an image set, digits for instance
    tasks: int = 5,       # T, a divisor of the number of classes
    seed: int = 0,        # class order
    device: str = 'cpu',  # where the images go
)->Tasks:
    "Load a set and cut it into tasks; raises `UserError` if the classes do not divide."
    classes = SETS[data].classes
    if tasks < 1 or classes % tasks:
        raise UserError(f'tasks={tasks}: {data} has {classes} classes, '
                        'which must divide into tasks')
    order = torch.from_numpy(class_order(classes, seed)).to(device)
    x, y = tensors(data, 'train', device)
    x_test, y_test = tensors(data, 'test', device)
    return Tasks(data, x, order[y], x_test, order[y_test], tasks, classes)


# %%
data = split('digits')
[(data.task_of(data.y) == t).sum().item() for t in range(data.tasks)]

# %%
raises(split, 'digits', tasks=3)


# %% [markdown]
# ## The stream
#
# A stream gives the rows of step number $s$. It holds no state: the order inside an epoch comes from a keyed generator, so a run that resumes at step 137 asks for step 137 and gets the same images.

# %%
#| exports
class Stream:
    "Batches of one task after the other, full batches only."
    def __init__(self,
        task: Tensor,  # task of each training image, (N,)
        tasks: int,    # T
        batch: int=10, # images a step
        epochs: int=1, # passes over each task
        seed: int=0,   # keys the order
    ):
        self.rows = [(task == t).nonzero().flatten() for t in range(tasks)]
        self.batch, self.epochs, self.seed = batch, epochs, seed
        self.per_epoch = [len(r)//batch for r in self.rows]
        if 0 in self.per_epoch:
            t = self.per_epoch.index(0)
            n = len(self.rows[t])
            raise UserError(f'batch={batch}: task {t} has only {n} images')
        self.ends = list(accumulate(n*epochs for n in self.per_epoch))

    def __len__(self)->int: return self.ends[-1]

    def at(self, step: int)->tuple[int, int, int]:
        "Task, epoch inside the task, batch inside the epoch of a step, each from 0."
        t = bisect_right(self.ends, step)
        return t, *divmod(step - (self.ends[t-1] if t else 0), self.per_epoch[t])

    def ends_task(self, step: int)->bool:
        "True for the last step of a task."
        return step + 1 in self.ends

    def __getitem__(self, step: int)->Tensor:
        "The rows of the training set that a step sees, (batch,)."
        t, epoch, i = self.at(step)
        rows, draws = self.rows[t], generator(self.seed, 'order', t*self.epochs + epoch)
        order = torch.randperm(len(rows), generator=draws)
        return rows[order[i*self.batch:(i+1)*self.batch].to(rows.device)]


# %%
stream = Stream(data.task_of(data.y), data.tasks, batch=10, epochs=2)
len(stream), stream.ends, stream.at(80)

# %% [markdown]
# Labels of the last batch of the first task and of the first batch of the second:

# %%
data.y[stream[49]].tolist(), data.y[stream[50]].tolist()

# %% [markdown]
# Within an epoch no image comes twice:

# %%
seen = torch.cat([stream[s] for s in range(25)])
len(seen), len(seen.unique())


# %% [markdown]
# ## From bytes to inputs

# %%
#| exports
def inputs(
    x: Tensor,           # images uint8 (N, C, H, W)
    data: str,           # name of the set, for its mean and deviation
    augment: torch.Generator|None=None, # crop and mirror with these draws
)->Tensor: # float32 (N, C, H, W)
    """Augment (pad 4 pixels, or an eighth of a small side; crop; mirror) and normalise.

    Source: official code, `datasets/`."""
    if augment is not None: x = crop_flip(x, min(4, x.shape[-1]//8), augment)
    return normalize(x, data)


# %%
inputs(data.x[:3], 'digits').shape

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.data`; used by [the training](30_train.ipynb).
