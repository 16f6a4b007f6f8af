# %% [markdown]
# # Learning with a few old samples
#
# > A reservoir that keeps a fair sample of the past, and two methods that rehearse it.

# %% [markdown]
# Official code `utils/buffer.py`, `models/er.py`, `models/derpp.py`; Buzzega et al. 2020 (DER++) · 6 minutes · what you need first: [Tasks that arrive one after the other](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.hosts

# %%
#| export
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from papers_nb.adab2n.layer import batch_tasks
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## The reservoir
#
# How do you keep fifty samples of a stream whose length you do not know, each with the same chance? Sample number $s$ enters a free slot while there is one; later it draws a slot from $0\dots s$ and takes it if it is among the fifty.

# %%
#| exports
class Reservoir(nn.Module):
    "A fair sample of everything seen: images, labels and the logits of that moment. Source: Vitter 1985; official code, `utils/buffer.py`."
    def __init__(self,
        size: int,                    # M, samples kept
        shape: tuple[int, int, int],  # of an image (C, H, W)
        classes: int,                 # K, length of a logits row
        device: str='cpu',
    ):
        super().__init__()
        if size < 1: raise UserError(f'buffer={size}: at least 1')
        self.size = size
        self.register_buffer('x', torch.zeros(size, *shape, dtype=torch.uint8, device=device))
        self.register_buffer('y', torch.zeros(size, dtype=torch.int64, device=device))
        self.register_buffer('z', torch.zeros(size, classes, device=device))
        self.register_buffer('seen', torch.tensor(0))

    def __len__(self)->int: return min(self.seen.item(), self.size)

    def add(self,
        x: Tensor, y: Tensor, z: Tensor, # a batch: images uint8, labels, logits
        generator: torch.Generator,      # on the CPU
    ):
        "Offer a batch; each sample of the stream so far is kept with the same chance."
        s = torch.arange(len(x)) + self.seen.item()
        slots = torch.where(s < self.size, s, (torch.rand(len(x), generator=generator, dtype=torch.float64)*(s + 1)).long())
        taken = {slot: i for i, slot in enumerate(slots.tolist()) if slot < self.size}
        to, of = (torch.tensor(list(v), dtype=torch.int64, device=self.y.device) for v in (taken.keys(), taken.values()))
        self.x[to], self.y[to], self.z[to] = x[of], y[of], z[of].to(self.z.dtype)
        self.seen += len(x)

    def draw(self,
        n: int,                     # how many, or all there are
        generator: torch.Generator, # on the CPU
    )->tuple[Tensor, Tensor, Tensor]: # images, labels, logits
        "A batch without repetition."
        rows = torch.randperm(len(self), generator=generator)[:n].to(self.y.device)
        return self.x[rows], self.y[rows], self.z[rows]


# %% [markdown]
# A thousand samples pass, numbered by their label. The buffer keeps twenty, from the whole stream:

# %%
buffer, g = Reservoir(20, (1, 1, 1), 1), torch.Generator().manual_seed(0)
for start in range(0, 1000, 10):
    y = torch.arange(start, start + 10)
    buffer.add(torch.zeros(10, 1, 1, 1, dtype=torch.uint8), y, torch.zeros(10, 1), g)
sorted(buffer.y.tolist())


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
)->tuple[list[Tensor], Tensor]: # logits part by part; the regularisers of all AdaB2N layers, summed
    "Run several batches through a network together or apart."
    if not joint: return [net(x) for x in parts], parts[0].new_zeros(())
    with batch_tasks(net, torch.cat(tasks)) as regularisers: logits = net(torch.cat(parts))
    return list(logits.split([len(x) for x in parts])), torch.stack(regularisers).sum() if regularisers else logits.new_zeros(())


# %%
net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1))
parts, tasks = [torch.zeros(4, 1), torch.ones(4, 1)], [torch.ones(4).long(), torch.zeros(4).long()]
[[round(v) for v in out.flatten().tolist()] for joint in (False, True) for out in forward(net, parts, tasks, joint)[0]]

# %% [markdown]
# Apart, zeros and ones both come out as zeros: the layer cannot tell old from new.
#
# ## The methods
#
# **ER** adds replayed samples to the batch. **DER++** asks the network to keep the logits of one replayed batch and to classify another:
#
# $$\mathcal L=\mathrm{CE}(x,y)+\alpha\,\mathrm{MSE}(z_1,\hat z_1)+\beta\,\mathrm{CE}(x_2,y_2).$$

# %%
#| exports
DRAWS = {'er': 1, 'derpp': 2} # replay batches a step

def loss(
    host: str,            # er or derpp
    logits: list[Tensor], # of the new batch, then of each replay batch
    y: list[Tensor],      # labels, likewise
    z: list[Tensor],      # stored logits of each replay batch
    alpha: float=.2,      # weight of the kept logits in DER++
    beta: float=.5,       # weight of the second replay batch in DER++
)->Tensor:
    "The loss of a host method. Source: official code, `models/er.py`, `models/derpp.py`."
    if host not in DRAWS: raise UserError(f'host={host!r}: one of {", ".join(DRAWS)}')
    if host == 'er' or len(logits) == 1: return cross_entropy(torch.cat(logits), torch.cat(y))
    return cross_entropy(logits[0], y[0]) + alpha*mse_loss(logits[1], z[0]) + beta*cross_entropy(logits[2], y[2])


# %% [markdown]
# Ten classes and a network that knows nothing: each cross entropy is $\ln 10\approx2.303$, so DER++ starts at $(1+\beta)\ln10$ plus $\alpha$ times the mean square of the kept logits, here 1:

# %%
zero, y = torch.zeros(4, 10), torch.arange(4)
loss('er', [zero, zero], [y, y], [zero]).item(), loss('derpp', [zero]*3, [y]*3, [torch.ones(4, 10)]*2).item()

# %%
raises(loss, 'der', [zero], [y], [])

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.hosts`; [the training](30_train.ipynb) shows the loop around it.
