# %% [markdown]
# # Networks that take any norm
#
# > Norms by name, a small network for digits, ResNet-18 for colour images.

# %% [markdown]
# Official code `backbone/ResNet18.py` · 3 minutes · what you need first: [Balanced batch normalization](21_layer.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.nets

# %%
#| export
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import relu

from papers_nb.adab2n.layer import AdaB2N
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## Norms by name
#
# | name | normalises by | running statistics |
# |---|---|---|
# | `bn-separate`, `bn-joint` | the batch | exponential average |
# | `cma-joint` | the batch | plain (cumulative) average |
# | `adab2n` | the batch, tasks weighted | between the two |
# | `uniform` | the batch, tasks weighted equally | between the two |
# | `gn` | groups of channels of one sample | none |
# | `ln` | all of one sample, scale and shift for each element | none |
# | `in` | each channel of one sample, no scale and shift (torch's default, as the official code has it) | none |
# | `cn-separate` | groups without scale and shift, then the batch (continual normalization, Pham et al. 2022) | exponential average |
#
# `bn-separate` and `bn-joint` are the same layer. What differs is how [the training](24_hosts.ipynb) calls it: new and replayed images in separate forwards, each normalised alone, or all in one. A norm that is added to `NORMS` can be asked for by its name, here and in the training.

# %%
#| exports
def group_norm(
    channels: int,     # of the map
    groups: int,       # a divisor of the channels
    affine: bool=True, # with scale and shift
)->nn.GroupNorm:
    "Group norm; raises `UserError` where the channels do not divide."
    if groups < 1 or channels % groups:
        raise UserError(f'groups={groups}: must divide the {channels} channels')
    return nn.GroupNorm(groups, channels, affine=affine)

def cn(
    channels: int, # of the map
    groups: int,   # a divisor of the channels
)->nn.Sequential:
    "Continual normalization. Source: Pham et al. 2022; official code, `main.py`."
    whole = nn.BatchNorm2d(channels)
    return nn.Sequential(group_norm(channels, groups, affine=False), whole)

@dataclass(frozen=True)
class Norm:
    "How a norm layer is made, and how the training calls it. Source: ours."
    make: Callable       # channels; by name side, groups, tasks, options → layer
    separate: bool=False # one forward a batch, not one for all together

NORMS = {
    'bn-separate': Norm(lambda c, **_: nn.BatchNorm2d(c), separate=True),
    'bn-joint': Norm(lambda c, **_: nn.BatchNorm2d(c)),
    'cma-joint': Norm(lambda c, **_: nn.BatchNorm2d(c, momentum=None)),
    'gn': Norm(lambda c, groups, **_: group_norm(c, groups)),
    'ln': Norm(lambda c, side, **_: nn.LayerNorm((c, side, side))),
    'in': Norm(lambda c, **_: nn.InstanceNorm2d(c)),
    'cn-separate': Norm(lambda c, groups, **_: cn(c, groups), separate=True),
    'adab2n': Norm(lambda c, side, groups, **kw: AdaB2N(c, **kw)),
    'uniform': Norm(lambda c, side, groups, **kw: AdaB2N(c, uniform_mix=1., **kw)),
}

def norm_layer(
    name: str,     # a key of NORMS
    tasks: int,    # T, for AdaB2N
    groups: int=8, # for gn and cn-separate; the official code has 32
    **kw, # of AdaB2N: kappa, absent_tasks, regulariser, log_concentration
)->Callable[[int, int], nn.Module]: # channels, side of the map → layer
    "A maker of norm layers; raises `UserError` listing the names. Source: ours."
    if name not in NORMS:
        raise UserError(f'norm={name!r}: one of {", ".join(NORMS)}')
    make = NORMS[name].make
    return lambda c, side: make(c, side=side, groups=groups, tasks=tasks, **kw)


# %%
norm_layer('uniform', tasks=5, kappa=.4)(16, 8)


# %% [markdown]
# ## Networks

# %%
#| exports
def small_net(
    channels: int,  # of the image
    classes: int,   # K
    norm: Callable, # channels, side → layer
    side: int=8,    # of the image
    widths: tuple[int, ...]=(16, 32, 64), # of the convolutions; the second halves
)->nn.Sequential:
    """Three 3×3 convolutions with norm and ReLU, the mean over the map, a linear head.

    Source: ours."""
    layers = []
    for i, (a, b) in enumerate(zip((channels, *widths), widths)):
        stride = 2 if i == 1 else 1
        side = -(-side//stride)
        layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), norm(b, side), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes)]
    return nn.Sequential(*layers)

class Block(nn.Module):
    "Two 3×3 convolutions, a shortcut. Source: official code, `backbone/ResNet18.py`."
    def __init__(self, a, b, stride, norm, side):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.norm1 = norm(b, side)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.norm2 = norm(b, side)
        self.shortcut = nn.Sequential()
        if stride != 1 or a != b:
            conv = nn.Conv2d(a, b, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, norm(b, side))

    def forward(self, x):
        "(N, a, H, W) → (N, b, H/stride, W/stride)."
        y = relu(self.norm1(self.conv1(x)))
        return relu(self.norm2(self.conv2(y)) + self.shortcut(x))

def resnet18(
    channels: int,  # of the image
    classes: int,   # K
    norm: Callable, # channels, side → layer
    side: int=32,   # of the image
    width: int=64,  # of the first stage
)->nn.Sequential:
    """ResNet-18 for small images: 3×3 stem, no pooling before the end.

    Source: official code, `backbone/ResNet18.py`."""
    stem = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
    layers = [stem, norm(width, side), nn.ReLU()]
    a = width
    for stage in range(4):
        b = width*2**stage
        for i in range(2):
            stride = 2 if stage and not i else 1
            side = -(-side//stride)
            layers.append(Block(a, b, stride, norm, side))
            a = b
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, classes)]
    return nn.Sequential(*layers)

NETS = {'small': small_net, 'resnet18': resnet18}


# %%
def size(net): return sum(p.numel() for p in net.parameters())

bn = norm_layer('bn-joint', 5)
big = resnet18(3, 10, bn)
norms = sum(isinstance(m, nn.BatchNorm2d) for m in big.modules())
size(small_net(1, 10, bn)), size(big), norms

# %% [markdown]
# ResNet-18 has the 11,173,962 parameters and 20 norm layers of the official one. With AdaB²N each of the 20 norm layers gains one number for each of five tasks:

# %%
size(resnet18(3, 10, norm_layer('adab2n', 5))) - size(big)


# %% [markdown]
# Every norm fits; layer norm needs to know the side of its map:

# %%
def logits(name): return small_net(1, 10, norm_layer(name, 5))(torch.zeros(2, 1, 8, 8))

{name: logits(name).shape[1] for name in NORMS}

# %%
raises(norm_layer, 'bn', 5), raises(norm_layer('gn', 5, groups=7), 16, 8)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.nets`; built by name in [the training](30_train.ipynb).
