# %% [markdown]
# # How much was learnt, how much was forgotten
#
# > One matrix of accuracies, and the numbers people read off it.

# %% [markdown]
# Official code `utils/metrics.py`, `utils/training.py` · 4 minutes · what you need first: nothing

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.metrics

# %%
#| export
import numpy as np
import torch
from torch import Tensor, nn

from papers_nb.adab2n.data import Tasks, inputs
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises

# %% [markdown]
# After every task the model is tested on all tasks. Row $l$, column $k$: accuracy on task $k$ after training task $l$, in percent.

# %%
a = np.array([[98., 20.,  0.],
              [60., 95., 10.],
              [50., 70., 97.]])


# %% [markdown]
# ## What is read off
#
# *ACC* is the mean of the last row. *Forgetting* compares the best a task ever was with what it is at the end. The literature has several rules for "ever":
#
# - `official`: every row, the last and those before the task was trained included. Never negative;
# - `trained`: rows from the task's own on, the last included. Never negative;
# - `usual`: every row but the last. Negative if a task got better after it was trained.
#
# *BWT*, backward transfer, compares the end with the moment just after training; *FWT*, forward transfer, the accuracy just before training with that of an untrained network.

# %%
#| exports
def acc(
    a, # accuracies (T, T), row: after which task, column: on which task
)->float:
    "Mean accuracy over tasks after the last one. Source: official code."
    return float(np.mean(_square(a)[-1]))

def forgetting(
    a,                    # accuracies (T, T)
    rule: str='official', # or 'trained' or 'usual': which rows count as "ever"
)->float:
    """Mean drop of the old tasks from their best to the end; raises `UserError`.

    Source: official code, `utils/metrics.py` (rule official)."""
    a = _square(a)
    if rule not in ('official', 'trained', 'usual'):
        raise UserError(f'rule={rule!r}: official, trained or usual')
    ever = a[:-1] if rule == 'usual' else a
    best = [ever[k if rule == 'trained' else 0:, k].max() for k in range(len(a) - 1)]
    return float(np.mean(best - a[-1, :-1])) if len(a) > 1 else 0.

def bwt(
    a, # accuracies (T, T)
)->float:
    "Backward transfer: the end against the moment each task was trained."
    a = _square(a)
    return float(np.mean(a[-1, :-1] - np.diag(a)[:-1])) if len(a) > 1 else 0.

def fwt(
    a,         # accuracies (T, T)
    untrained, # accuracy of the untrained network on each task, (T,)
)->float:
    "Forward transfer: just before a task is trained against an untrained network."
    a = _square(a)
    gained = np.diag(a, 1) - np.asarray(untrained)[1:]
    return float(np.mean(gained)) if len(a) > 1 else 0.

def _square(a):
    "Accuracies as an array; raises `UserError` unless it is square."
    a = np.asarray(a, dtype=float)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise UserError(f'accuracies of shape {a.shape}: '
                        'a square matrix, one row and one column a task')
    return a


# %% [markdown]
# By hand for the matrix above: ACC (50+70+97)/3, forgetting (98−50 + 95−70)/2, BWT the same with its sign turned, FWT against 10 % everywhere (20−10 + 10−10)/2.

# %%
acc(a), forgetting(a), bwt(a), fwt(a, [10, 10, 10])

# %% [markdown]
# The rules differ once a task is best at the end:

# %%
b = np.array([[90., 0.], [95., 80.]])
{rule: forgetting(b, rule) for rule in ('official', 'trained', 'usual')}

# %%
raises(acc, [1, 2, 3])


# %% [markdown]
# ## Measuring a row
#
# **Class-IL** asks for the class among all; **Task-IL** is told the task and asks for the class inside it. Ties go to the first.

# %%
#| exports
def accuracies(
    logits: Tensor, # (N, K)
    y: Tensor,      # labels (N,)
    per_task: int,  # classes a task
)->tuple[Tensor, Tensor]: # Class-IL and Task-IL accuracy of each task, (T,), in percent
    """Accuracy on each task, knowing and not knowing the task.

    Source: official code, `utils/training.py`."""
    task, k = y//per_task, logits.shape[1]
    own = torch.arange(k, device=y.device)//per_task == task[:, None]
    def by_task(hits):
        "Share of hits in each task, in percent."
        means = [100*hits[task == t].double().mean() for t in range(k//per_task)]
        return torch.stack(means)
    among_all = logits.argmax(1) == y
    inside = logits.masked_fill(~own, -torch.inf).argmax(1) == y
    return by_task(among_all), by_task(inside)

@torch.no_grad()
def evaluate(
    net: nn.Module,   # left in the mode it was in
    data: Tasks,      # whose test images are used
    batch: int=1000,  # images a forward
)->dict[str, list[float]]: # class_il and task_il, one number a task, in percent
    "Test a network on all tasks."
    was = net.training
    net.eval()
    logits = torch.cat([net(inputs(x, data.name)) for x in data.x_test.split(batch)])
    net.train(was)
    class_il, task_il = accuracies(logits, data.y_test, data.per_task)
    return {'class_il': class_il.tolist(), 'task_il': task_il.tolist()}


# %% [markdown]
# Four images, four classes in two tasks. The third is mistaken for the other task's class:

# %%
logits = torch.tensor([[9., 0, 0, 0], [0, 9, 0, 0], [9, 0, 5, 0], [0, 0, 0, 9]])
accuracies(logits, torch.arange(4), per_task=2)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.metrics`; [the training](30_train.ipynb) logs one row after every task.
