# %% [markdown]
# # Learning with a few old samples
#
# > Two buffers that keep a sample of the past, three methods that replay it, and statistics made anew from it.

# %% [markdown]
# Official code `utils/buffer.py`, `models/`; Buzzega et al. 2020 (DER++), Caccia et al. 2022 (ER-ACE) · 8 minutes · what you need first: [the layer](21_layer.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.hosts

# %%
#| export
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from papers_nb.adab2n.layer import BATCH_NORMS, AdaB2N, batch_tasks
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## The reservoir
#
# How do you keep $M$ samples of a stream whose length you do not know, each with the same chance? Sample number $s$, counted from 0, enters a free slot while there is one; later it draws a slot from $0\dots s$ and takes it if it is one of the $M$. So the newest is kept with chance $M/(s+1)$, and an older one, which was there with chance $M/s$, stays with chance $1-1/(s+1)$: together $M/(s+1)$ again.

# %%
#| exports
class Reservoir(nn.Module):
    """A fair sample of everything seen: images, labels and the logits of that moment.

    Source: Vitter 1985; official code, `utils/buffer.py`."""
    def __init__(self,
        size: int,                    # M, samples kept
        shape: tuple[int, int, int],  # of an image (C, H, W)
        classes: int,                 # K, length of a logits row
        device: str='cpu',            # where images, labels and logits are kept
        tasks: int=1,                 # T; with 1 all are counted together
    ):
        super().__init__()
        if size < 1:
            raise UserError(f'buffer={size}: at least 1')
        self.size, self.tasks = size, tasks
        x = torch.zeros(size, *shape, dtype=torch.uint8, device=device)
        y = torch.zeros(size, dtype=torch.int64, device=device)
        self.register_buffer('x', x)
        self.register_buffer('y', y)
        self.register_buffer('z', torch.zeros(size, classes, device=device))
        self.register_buffer('filled', torch.zeros(size, dtype=torch.bool))
        self.register_buffer('seen', torch.zeros(tasks, dtype=torch.int64))
        self.register_buffer('top', torch.tensor(0))

    def __len__(self)->int: return int(self.filled.sum())

    def largest(self, y: Tensor)->int:
        "The largest label seen, those of a new batch included."
        return max(int(self.top), int(y.max()))

    def slots(self, n: int, task: int, generator: torch.Generator)->Tensor:
        "The slot of each of `n` samples that follow; past the end: not kept."
        s = torch.arange(n) + self.seen.sum()
        drawn = torch.rand(n, generator=generator, dtype=torch.float64)*(s + 1)
        return torch.where(s < self.size, s, drawn.long())

    def add(self,
        x: Tensor, y: Tensor, z: Tensor, # a batch: images uint8, labels, logits
        generator: torch.Generator,      # on the CPU
        task: int=0,                     # of the batch
    ):
        "Offer a batch of one task; the newest wins where two want the same slot."
        slots = self.slots(len(x), task, generator).tolist()
        taken = {slot: i for i, slot in enumerate(slots) if slot < self.size}
        to = torch.tensor(list(taken.keys()), dtype=torch.int64)
        of = torch.tensor(list(taken.values()), dtype=torch.int64)
        self.filled[to] = True
        to, of = to.to(self.y.device), of.to(self.y.device)
        self.x[to] = x[of]
        self.y[to] = y[of]
        self.z[to] = z[of].to(self.z.dtype)
        self.seen[min(task, len(self.seen) - 1)] += len(x)
        self.top.fill_(self.largest(y))

    def draw(self,
        n: int,                     # how many, or all there are
        generator: torch.Generator, # on the CPU
    )->tuple[Tensor, Tensor, Tensor]: # images, labels, logits
        "A batch without repetition."
        rows = self.filled.nonzero().flatten()
        drawn = torch.randperm(len(rows), generator=generator)[:n]
        rows = rows[drawn].to(self.y.device)
        return self.x[rows], self.y[rows], self.z[rows]


# %% [markdown]
# A thousand samples pass, numbered by their label. The buffer keeps twenty, from the whole stream:

# %%
buffer, g = Reservoir(20, (1, 1, 1), 1), torch.Generator().manual_seed(0)
images = torch.zeros(10, 1, 1, 1, dtype=torch.uint8)
for start in range(0, 1000, 10):
    buffer.add(images, torch.arange(start, start + 10), torch.zeros(10, 1), g)
sorted(buffer.y.tolist())


# %% [markdown]
# A **ring** gives each task the same number of slots and keeps the latest samples of each:

# %%
#| exports
class Ring(Reservoir):
    """A buffer of M/T slots a task, each of which keeps the latest.

    Source: official code, `utils/buffer.py` (mode ring)."""
    def __init__(self,
        size: int,                    # M, samples kept; at least one a task
        shape: tuple[int, int, int],  # of an image (C, H, W)
        classes: int,                 # K, length of a logits row
        device: str='cpu',            # where images, labels and logits are kept
        tasks: int=1,                 # T
    ):
        super().__init__(size, shape, classes, device, tasks)
        if size < tasks:
            raise UserError(f'buffer={size}: a ring needs at least one slot '
                            f'for each of {tasks} tasks')

    def slots(self, n: int, task: int, generator: torch.Generator)->Tensor:
        "The slots of `n` samples of a task, one after the other and round again."
        if not 0 <= task < self.tasks:
            raise UserError(f'task={task}: a ring for {self.tasks} tasks')
        portion = self.size//self.tasks
        return task*portion + (self.seen[task] + torch.arange(n)) % portion

BUFFERS = {'reservoir': Reservoir, 'ring': Ring}

# %%
ring = Ring(6, (1, 1, 1), 1, tasks=3)
for task, labels in enumerate(([0, 1, 2], [10, 11, 12, 13, 14])):
    n = len(labels)
    ring.add(images[:n], torch.tensor(labels), torch.zeros(n, 1), g, task)
ring.y.tolist(), len(ring)


# %% [markdown]
# ## One forward or several
#
# New and replayed images can go through the network together, or one batch after the other. For a network without batch statistics it is the same. With batch norm it is not: apart, each batch is normalised by its own statistics, and each moves the running ones.

# %%
#| exports
def forward(
    net: nn.Module,      # the network, in training mode
    parts: list[Tensor], # batches of inputs, new ones first
    tasks: list[Tensor], # task of each sample, part by part
    joint: bool,         # one forward over all parts, or one a part
)->tuple[list[Tensor], Tensor]: # logits part by part; the layers' regularisers, summed
    "Run several batches through a network together or apart. Source: ours."
    batches = [(torch.cat(parts), torch.cat(tasks))] if joint else zip(parts, tasks)
    outputs, terms = [], []
    for x, ids in batches:
        with batch_tasks(net, ids) as regularisers:
            outputs.append(net(x))
        terms += regularisers
    logits = outputs[0].split([len(x) for x in parts]) if joint else outputs
    regulariser = torch.stack(terms).sum() if terms else outputs[0].new_zeros(())
    return list(logits), regulariser


# %%
net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1))
parts = [torch.zeros(4, 1), torch.ones(4, 1)]
tasks = [torch.ones(4).long(), torch.zeros(4).long()]
apart, together = (forward(net, parts, tasks, joint)[0] for joint in (False, True))
[[round(v) for v in out.flatten().tolist()] for out in (*apart, *together)]


# %% [markdown]
# The first two rows are apart: zeros and ones both come out as zeros, and the layer cannot tell old from new. The last two are joint.
#
# ## The methods
#
# A *host* is the method of replay into which a norm is built. (The $\alpha$ and $\beta$ below are DER++'s, not those of the norm; $z_1$ are the logits that were stored with the first replayed batch, $\hat z_1$ today's.)
#
# **ER** asks the network to classify new and replayed samples, with a cross entropy for each, added up. (Some code takes one mean over both, which is half of it when both are equally large.) **DER++** asks the network to keep the logits of one replayed batch and to classify another:
#
# $$\mathcal L=\mathrm{CE}(x,y)+\alpha\,\mathrm{MSE}(z_1,\hat z_1)+\beta\,\mathrm{CE}(x_2,y_2).$$
#
# **ER-ACE** wants the new batch to choose among its own classes only, so that it does not push old classes down. The official code masks the classes below the largest one seen, except those in the batch, until the last class has come; then all that are not in the batch. We keep that. The replayed batch chooses among all classes. In the first task nothing is replayed. A host is an entry of `HOSTS`: its loss, how many batches it replays, and from which task on.

# %%
#| exports
def own_columns(
    logits: Tensor, # (N, K)
    y: Tensor,      # labels of the batch, (N,)
    top: int,       # largest class seen so far
)->Tensor: # logits of classes neither in the batch nor to come: the lowest number
    """The classes among which ER-ACE lets a new batch choose.

    Its own and, unless the last class has come, all from the largest seen on.
    Source: official code, `models/er_ace.py`."""
    classes = torch.arange(logits.shape[1], device=y.device)
    keep = torch.isin(classes, y)
    if top < logits.shape[1] - 1:
        keep |= classes >= top
    return logits.masked_fill(~keep, torch.finfo(logits.dtype).min)

def er(
    logits: list[Tensor], # of the new batch, then of the replayed one
    y: list[Tensor],      # labels, likewise
    **_,
)->Tensor:
    "Both batches classified. Source: `models/er_ace.py` without its mask."
    return cross_entropy(logits[0], y[0]) + cross_entropy(logits[1], y[1])

def er_ace(
    logits: list[Tensor], # of the new batch, then of the replayed one
    y: list[Tensor],      # labels, likewise
    top: int,             # largest class seen so far
    **_,
)->Tensor:
    "The new batch among its own classes. Source: official code, `models/er_ace.py`."
    own = own_columns(logits[0], y[0], top)
    return cross_entropy(own, y[0]) + cross_entropy(logits[1], y[1])

def derpp(
    logits: list[Tensor], # of the new batch, then of two replayed ones
    y: list[Tensor],      # labels, likewise
    z: list[Tensor],      # stored logits of the replayed batches
    alpha: float,         # weight of the kept logits
    beta: float,          # weight of the second replayed batch
    **_,
)->Tensor:
    "Kept logits and replayed labels. Source: official code, `models/derpp.py`."
    new = cross_entropy(logits[0], y[0])
    kept = mse_loss(logits[1], z[0])
    old = cross_entropy(logits[2], y[2])
    return new + alpha*kept + beta*old

@dataclass(frozen=True)
class Host:
    "A method of replay. Source: ours."
    loss: Callable # of logits and y; by name z, alpha, beta, top → scalar
    draws: int     # replay batches a step
    first: int=0   # task from which on it replays

HOSTS = {
    'er': Host(er, draws=1),
    'er-ace': Host(er_ace, draws=1, first=1),
    'derpp': Host(derpp, draws=2),
}

def loss(
    host: str,            # a key of HOSTS
    logits: list[Tensor], # of the new batch, then of each replay batch
    y: list[Tensor],      # labels, likewise
    z: list[Tensor],      # stored logits of each replay batch
    alpha: float=.2,      # weight of the kept logits in DER++
    beta: float=.5,       # weight of the second replay batch in DER++
    top: int=0,           # largest class seen so far, for ER-ACE
)->Tensor:
    "The loss of a host, plain without replay; raises `UserError`. Source: ours."
    if host not in HOSTS:
        raise UserError(f'host={host!r}: one of {", ".join(HOSTS)}')
    draws = HOSTS[host].draws
    if len(logits) not in (1, 1 + draws):
        raise UserError(f'{len(logits)} batches: {host} takes the new one '
                        f'and {draws} replayed, or the new one alone')
    if len(logits) == 1:
        return cross_entropy(logits[0], y[0])
    return HOSTS[host].loss(logits, y, z=z, alpha=alpha, beta=beta, top=top)


# %% [markdown]
# Ten classes and a network that knows nothing: each cross entropy is $\ln 10\approx2.303$, so ER starts at $2\ln10$ and DER++ at $(1+\beta)\ln10$ plus $\alpha$ times the mean square of the kept logits, here 1:

# %%
zero, y = torch.zeros(4, 10), torch.arange(4)
er_loss = loss('er', [zero]*2, [y]*2, [zero])
er_loss.item(), loss('derpp', [zero]*3, [y]*3, [torch.ones(4, 10)]*2).item()


# %% [markdown]
# ER-ACE, a batch of classes 2 and 3, of which 3 is the largest seen: classes 0 and 1 are out of the contest. Once the last class has come, only those of the batch are in:

# %%
def left(top):
    "The classes that are left to a batch of 2 and 3."
    return (own_columns(torch.zeros(1, 6), torch.tensor([2, 3]), top) == 0).int()

[left(top)[0].tolist() for top in (3, 5)]

# %%
[raises(loss, host, [zero]*2, [y]*2, [zero]) for host in ('der', 'derpp')]


# %% [markdown]
# ## Statistics made anew
#
# Before a test, running statistics can be thrown away and computed again on the buffer, which is more balanced than history. [No statistic fits two normalisers](11_dilemma.ipynb), so for a network trained with separate forwards this cannot close the gap between training and test; whether it narrows it has to be measured, and the switch is there for that.

# %%
#| exports
@torch.no_grad()
def recalibrated(
    net: nn.Module, # left as it is
    x: Tensor,      # inputs (N, C, H, W)
    tasks: Tensor,  # task of each, int64 (N,)
    batch: int=500, # most inputs a forward
)->nn.Module: # a copy in eval mode
    """A copy of a network whose running statistics are made anew.

    They become the plain average, over batches of the inputs, of what its layers
    compute. Raises `UserError` without inputs. Source: ours."""
    if not len(x):
        raise UserError('no inputs to compute running statistics on')
    net = deepcopy(net).train()
    for layer in net.modules():
        if isinstance(layer, (*BATCH_NORMS, AdaB2N)):
            layer.num_batches_tracked.zero_()
        if isinstance(layer, BATCH_NORMS):
            layer.momentum = None
        if isinstance(layer, AdaB2N):
            layer.kappa = 0.
    parts = -(-len(x)//batch)
    for i in range(parts):
        with batch_tasks(net, tasks[i::parts]):
            net(x[i::parts])
    return net.eval()


# %%
net = nn.BatchNorm1d(1)
net(torch.full((4, 1), 10.))
new = recalibrated(net, torch.tensor([[1.], [3.]]), torch.zeros(2).long())
net.running_mean.item(), new.running_mean.item()

# %% [markdown]
# A tenth of ten before; afterwards the mean of 1 and 3.

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.hosts`; [the training](30_train.ipynb) shows the loop around it.
