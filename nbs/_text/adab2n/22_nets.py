# %% [markdown]
# # Networks that take any norm
#
# > A small one for digits, ResNet-18 for colour images.

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
# `bn-separate` and `bn-joint` are the same layer. What differs is how [the training](24_hosts.ipynb) calls it: new and replayed images in separate forwards, each normalised alone, or all in one.

# %%
#| exports
def norm_layer(
    name: str,       # bn-separate, bn-joint, adab2n
    tasks: int,      # T
    **kw,            # of AdaB2N: kappa, absent_tasks
)->Callable[[int], nn.Module]: # channels → layer
    "A maker of norm layers; raises `UserError` listing the names."
    makers = {'bn-separate': nn.BatchNorm2d, 'bn-joint': nn.BatchNorm2d, 'adab2n': partial(AdaB2N, tasks=tasks, **kw)}
    if name not in makers: raise UserError(f'norm={name!r}: one of {", ".join(makers)}')
    return makers[name]


# %%
norm_layer('adab2n', tasks=5, kappa=.4)(16)


# %% [markdown]
# ## Networks

# %%
#| exports
def small_net(
    channels: int,  # of the image
    classes: int,   # K
    norm: Callable, # channels → layer
    widths: tuple[int, ...]=(16, 32, 64), # of the convolutions; the second halves the image
)->nn.Sequential:
    "Three 3×3 convolutions with norm and ReLU, the mean over the map, a linear head. Source: ours."
    ins, layers = (channels, *widths), []
    for i, (a, b) in enumerate(zip(ins, widths)):
        layers += [nn.Conv2d(a, b, 3, stride=2 if i == 1 else 1, padding=1, bias=False), norm(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))

class Block(nn.Module):
    "Two 3×3 convolutions and a shortcut. Source: official code, `backbone/ResNet18.py`."
    def __init__(self, a, b, stride, norm):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), norm(b)
        self.conv2, self.norm2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), norm(b)
        self.shortcut = nn.Sequential() if stride == 1 and a == b else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), norm(b))

    def forward(self, x):
        "(N, a, H, W) → (N, b, H/stride, W/stride)."
        y = relu(self.norm1(self.conv1(x)))
        return relu(self.norm2(self.conv2(y)) + self.shortcut(x))

def resnet18(
    channels: int,  # of the image
    classes: int,   # K
    norm: Callable, # channels → layer
    width: int=64,  # of the first stage
)->nn.Sequential:
    "ResNet-18 for small images: 3×3 stem, no pooling before the end. Source: official code, `backbone/ResNet18.py`."
    layers, a = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), norm(width), nn.ReLU()], width
    for stage in range(4):
        for i in range(2):
            layers.append(Block(a, b := width*2**stage, 2 if stage and not i else 1, norm))
            a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, classes))

NETS = {'small': small_net, 'resnet18': resnet18}


# %%
def size(net): return sum(p.numel() for p in net.parameters())

bn = norm_layer('bn-joint', 5)
size(small_net(1, 10, bn)), size(resnet18(3, 10, bn)), sum(isinstance(m, nn.BatchNorm2d) for m in resnet18(3, 10, bn).modules())

# %% [markdown]
# ResNet-18 has the 11,173,962 parameters and 20 norm layers of the official one. With AdaB²N each norm layer gains one number a task:

# %%
size(resnet18(3, 10, norm_layer('adab2n', 5))) - size(resnet18(3, 10, bn))

# %%
small_net(1, 10, bn)(torch.zeros(2, 1, 8, 8)).shape

# %%
raises(norm_layer, 'bn', 5)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.nets`; built by name in [the training](30_train.ipynb).
