# %% [markdown]
# # From a distilled set to another task
#
# > Pre-train on images and targets, throw the head away, fine-tune the rest on labels.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `test.py`, `algorithms/` · 4 minutes · what you need first: [the distiller](21_krrst.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.tuning

# %%
#| export
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.core.train import Stepper, generator
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, Views
from papers_nb.krrst.krrst import DistilledSet
from papers_nb.krrst.nets import Headed, feature_width

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.krrst.data import source
from papers_nb.krrst.krrst import initial_set
from papers_nb.krrst.nets import extractor

# %% [markdown]
# ## Two trainings in small steps
#
# Each is an object with a number of steps and a `step`, so that a run can stop between any two.

# %%
#| exports
LOSSES = {
    'mse': F.mse_loss,
    'cross-entropy': lambda said, y: F.cross_entropy(said, y.argmax(1)),
}

class Pretraining:
    """Training on a distilled set, minibatch by minibatch.

    Raises `UserError` for a loss of another name. Source: official code, `algorithms/`;
    the mean over all entries is what its learning rate goes with."""
    def __init__(self,
        net: Headed,         # trained in place
        data: DistilledSet,  # images and targets
        epochs: int=1000,    # passes over the pairs
        batch: int=256,      # pairs a step; the last of an epoch may be smaller
        lr: float=.1,        # of SGD
        momentum: float=.9,  # of SGD
        decay: float=1e-3,   # of the weights
        seed: int=0,         # of the order
        loss: str='mse',     # a key of LOSSES; cross entropy takes labels as targets
        views: Views=Views(0, False), # what images are cut to, drawn alike
    ):
        if loss not in LOSSES:
            raise UserError(f'loss={loss!r}: one of {", ".join(LOSSES)}')
        self.net, self.data, self.batch, self.seed = net, data, batch, seed
        self.loss, self.views = LOSSES[loss], views
        self.per_epoch = math.ceil(len(data.x)/batch)
        self.steps = epochs*self.per_epoch
        self.opt = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=decay)

    def step(self, step: int)->float: # the loss before it
        "Step number `step`."
        epoch, i = divmod(step, self.per_epoch)
        draws = generator(self.seed, 'pairs', epoch)
        order = torch.randperm(len(self.data.x), generator=draws)
        views = torch.randint(len(self.views), (len(order),), generator=draws)
        part = slice(i*self.batch, (i + 1)*self.batch)
        rows, which = (t[part].to(self.data.x.device) for t in (order, views))
        self.net.train()
        x = self.views.cut(self.data.x[rows], which)
        loss = self.loss(self.net(x), self.data.y[rows])
        return _descend(self.opt, loss)

class Finetuning:
    """Cross entropy on labelled images, the whole network, learning rate by a cosine.

    Source: official code, `test.py`."""
    def __init__(self,
        net: Headed,        # a fresh head on an extractor, trained in place
        source: Source,     # labelled images and their views
        labels: Tensor,     # int64 (n,)
        steps: int=10_000,  # of SGD
        batch: int=256,     # images a step, drawn with repetition
        lr: float=.01,      # of SGD, to 0
        momentum: float=.9,  # of SGD
        decay: float=5e-4,  # of the weights
        seed: int=0,        # of the draws
    ):
        if len(labels) != len(source):
            raise UserError(f'{len(labels)} labels for {len(source)} images')
        self.net, self.source, self.labels = net, source, labels
        self.steps, self.batch, self.lr, self.seed = steps, batch, lr, seed
        self.opt = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=decay)

    def step(self, step: int)->float: # the loss before it
        "Step number `step`."
        draws = generator(self.seed, 'labelled', step)
        rows, which = self.source.draw(self.batch, draws)
        cosine = .5*(1 + math.cos(math.pi*step/self.steps))
        self.opt.param_groups[0]['lr'] = self.lr*cosine
        self.net.train()
        said = self.net(self.source.view(rows, which))
        return _descend(self.opt, F.cross_entropy(said, self.labels[rows]))

def _descend(opt, loss):
    "One step of an optimiser; the loss before it."
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss.item()


# %% [markdown]
# ## In one line

# %%
#| exports
def _train(training, seed):
    "All steps of a training, in memory."
    run = Stepper(seed)
    for step in run.steps(training.steps, {}): run.log(loss=training.step(step))
    if run.metrics and not math.isfinite(run.metrics[-1]['loss']):
        raise UserError('the loss is no longer finite; try a smaller learning rate')

def pretrain(
    net: nn.Module,     # extractor: images → features (n, d), trained in place
    data: DistilledSet, # images and targets
    epochs: int=1000,   # passes over the pairs
    seed: int=0,        # of the head and the order
    **options,          # of `Pretraining`
)->Headed: # the extractor with the head that gives targets
    "Train an extractor to give the targets of a distilled set. Source: ours."
    torch.manual_seed(seed)
    headed = Headed(net, feature_width(net, data.x), data.y.shape[1]).to(data.x.device)
    _train(Pretraining(headed, data, epochs, seed=seed, **options), seed)
    return headed.eval()

def finetune(
    net: nn.Module,   # extractor: images → features (n, d), trained in place
    source: Source,   # labelled images
    labels: Tensor,   # int64 (n,)
    classes: int,     # how many there are
    steps: int=10_000, # of SGD
    seed: int=0,      # of the head and the draws
    **options,        # of `Finetuning`
)->Headed: # the extractor with a classifier
    "Train an extractor and a fresh classifier on labels. Source: ours."
    torch.manual_seed(seed)
    width = feature_width(net, source.plain([0]))
    headed = Headed(net, width, classes).to(source.x.device)
    _train(Finetuning(headed, source, labels, steps, seed=seed, **options), seed)
    return headed.eval()


# %% [markdown]
# Ten digits, whose targets are their own pixels, so that one can see what was learnt (0 is all, the variance nothing); then fifty labelled ones:

# %%
digits, labels = source('digits', 'train', Views(1, False))
torch.manual_seed(0)
student = extractor('convnet-tiny', 1, 8)
ten = initial_set(digits, nn.Flatten(), 10)
said = pretrain(student, ten, epochs=100)(ten.x)
round(F.mse_loss(said, ten.y).item(), 4), round(ten.y.var().item(), 4)

# %%
some = Source(digits.x[:50], digits.views, scale=16.)
net = finetune(student, some, labels[:50], 10, steps=60, batch=50)
(net(some.plain()).argmax(1) == labels[:50]).float().mean().item()

# %%
raises(finetune, student, some, labels, 10)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.tuning`; both trainings, several times over, are [one run](32_evaluate.ipynb).
