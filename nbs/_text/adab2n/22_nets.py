# %% [markdown]
# # Networks that take any norm
#
# > Nine norms by name, a small network for digits, ResNet-18 for colour images.

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
from functools import partial

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
# `bn-separate` and `bn-joint` are the same layer. What differs is how [the training](24_hosts.ipynb) calls it: new and replayed images in separate forwards, each normalised alone, or all in one.

# %%
#| exports
SEPARATE = ('bn-separate', 'cn-separate') # norms that the training calls once a batch, not once for all

def norm_layer(
    name: str,       # one of the nine
    tasks: int,      # T, for AdaB2N
    groups: int=8,   # for gn and cn-separate; the official code has 32
    **kw,            # of AdaB2N: kappa, absent_tasks, regulariser, log_concentration
)->Callable[[int, int], nn.Module]: # channels, side of the map → layer
    "A maker of norm layers; raises `UserError` listing the names. Source: official code, `main.py`; Pham et al. 2022 for cn-separate."
    ada = partial(AdaB2N, tasks=tasks, **kw)
    makers = {
        'bn-separate': lambda c, side: nn.BatchNorm2d(c), 'bn-joint': lambda c, side: nn.BatchNorm2d(c), 'cma-joint': lambda c, side: nn.BatchNorm2d(c, momentum=None),
        'gn': lambda c, side: nn.GroupNorm(groups, c), 'ln': lambda c, side: nn.LayerNorm((c, side, side)), 'in': lambda c, side: nn.InstanceNorm2d(c),
        'cn-separate': lambda c, side: nn.Sequential(nn.GroupNorm(groups, c, affine=False), nn.BatchNorm2d(c)),
        'adab2n': lambda c, side: ada(c), 'uniform': lambda c, side: ada(c, uniform_mix=1.)}
    if name not in makers: raise UserError(f'norm={name!r}: one of {", ".join(makers)}')
    return makers[name]


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
    widths: tuple[int, ...]=(16, 32, 64), # of the convolutions; the second halves the image
)->nn.Sequential:
    "Three 3×3 convolutions with norm and ReLU, the mean over the map, a linear head. Source: ours."
    layers = []
    for i, (a, b) in enumerate(zip((channels, *widths), widths)):
        stride = 2 if i == 1 else 1
        side = -(-side//stride)
        layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), norm(b, side), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))

class Block(nn.Module):
    "Two 3×3 convolutions and a shortcut. Source: official code, `backbone/ResNet18.py`."
    def __init__(self, a, b, stride, norm, side):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), norm(b, side)
        self.conv2, self.norm2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), norm(b, side)
        self.shortcut = nn.Sequential() if stride == 1 and a == b else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), norm(b, side))

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
    "ResNet-18 for small images: 3×3 stem, no pooling before the end. Source: official code, `backbone/ResNet18.py`."
    layers, a = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), norm(width, side), nn.ReLU()], width
    for stage in range(4):
        for i in range(2):
            stride = 2 if stage and not i else 1
            side = -(-side//stride)
            layers.append(Block(a, b := width*2**stage, stride, norm, side))
            a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, classes))

NETS = {'small': small_net, 'resnet18': resnet18}


# %%
def size(net): return sum(p.numel() for p in net.parameters())

bn = norm_layer('bn-joint', 5)
size(small_net(1, 10, bn)), size(resnet18(3, 10, bn)), sum(isinstance(m, nn.BatchNorm2d) for m in resnet18(3, 10, bn).modules())

# %% [markdown]
# ResNet-18 has the 11,173,962 parameters and 20 norm layers of the official one. With AdaB²N each of the 20 norm layers gains one number for each of five tasks:

# %%
size(resnet18(3, 10, norm_layer('adab2n', 5))) - size(resnet18(3, 10, bn))

# %% [markdown]
# Every norm fits; layer norm needs to know the side of its map:

# %%
{name: small_net(1, 10, norm_layer(name, 5))(torch.zeros(2, 1, 8, 8)).shape[1] for name in ('ln', 'gn', 'in', 'cn-separate', 'uniform')}

# %%
raises(norm_layer, 'bn', 5)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.nets`; built by name in [the training](30_train.ipynb).
