# %% [markdown]
# # Networks that give features
#
# > Networks of the paper by name, and a linear head that is thrown away.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `models/convnet.py` · 3 minutes · what you need first: [what is distilled](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.nets

# %%
#| export
from functools import partial

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from papers_nb.errors import UserError
from papers_nb.krrst.patches import PatchEncoder

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## An extractor is any module that gives a row of features
#
# The method asks nothing of a network but this: images `(N, C, H, W)` go in, features `(N, d)` come out. How long its rows are is found by asking it once.

# %%
#| exports
def feature_width(
    extractor: nn.Module, # images (N, C, H, W) → features (N, d)
    images: Tensor,       # at least one, (N, C, H, W)
)->int: # d
    "Length of a row of features; raises `UserError` for a module that gives no rows."
    was = extractor.training
    with torch.no_grad(): found = extractor.eval()(images[:1])
    extractor.train(was)
    if not isinstance(found, Tensor) or found.dim() != 2:
        gives = tuple(getattr(found, 'shape', ())) or type(found).__name__
        raise UserError(f'{type(extractor).__name__} gives {gives} for one image: '
                        'features of shape (1, d) are expected')
    return found.shape[1]

class Headed(nn.Module):
    "An extractor with a linear layer behind it. Source: ours."
    def __init__(self,
        extractor: nn.Module, # images → features (N, d)
        width: int,           # d
        outputs: int,         # length of what the layer gives
    ):
        super().__init__()
        self.extractor, self.head = extractor, nn.Linear(width, outputs)

    def forward(self, x: Tensor)->Tensor: # (N, C, H, W) → (N, outputs)
        "Features, then the layer."
        return self.head(self.extractor(x))


# %%
raises(feature_width, nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8))


# %% [markdown]
# ## ConvNets
#
# Blocks of convolution, batch norm, ReLU and pooling, each of which halves the map; the features are what is left of it, in one row. Weights start as torch starts them.

# %%
#| exports
def convnet(
    channels: int=3, # of the image
    side: int=32,    # of the image
    widths: tuple[int, ...]=(128, 256, 512), # channels of the blocks
)->nn.Sequential: # features of length widths[-1]*(side//2**blocks)**2
    """Blocks of 3×3 convolution, batch norm, ReLU and 2×2 mean pooling, then a row.

    Raises `UserError` for a side that cannot be halved as often as there are blocks.
    Source: official code, `models/convnet.py`."""
    if side < 2**len(widths):
        raise UserError(f'side={side}: {len(widths)} blocks halve it as often, '
                        f'so at least {2**len(widths)} is expected')
    layers = []
    for a, b in zip((channels, *widths), widths):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
                   nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


# %% [markdown]
# ## Other shapes, to see whether a set serves them too
#
# A distilled set is meant for networks that it never met. The paper takes VGG11, AlexNet, MobileNet and ResNet10 at 64 pixels; the target model is a ResNet-18. All of them are rows of convolutions with batch norm, some with a way past:

# %%
#| exports
class Residual(nn.Module):
    "What a row of layers makes, plus what goes past it. Source: He et al. 2016."
    def __init__(self, through: nn.Module, past: nn.Module, last: nn.Module):
        super().__init__()
        self.through, self.past, self.last = through, past, last

    def forward(self, x: Tensor)->Tensor: # (N, C, H, W) → (N, C', H', W')
        "The sum, then the last layer."
        return self.last(self.through(x) + self.past(x))

def _normed(a, b, size=3, stride=1, pad=None, groups=1, bias=False):
    "A convolution and its batch norm, as a list."
    pad = size//2 if pad is None else pad
    conv = nn.Conv2d(a, b, size, stride, pad, groups=groups, bias=bias)
    return [conv, nn.BatchNorm2d(b)]

def _plain(channels, side, plan):
    "Convolutions `(size, width)` with batch norm and ReLU; 'M' halves the map."
    layers, a = [], channels
    for part in plan:
        if part == 'M': layers.append(nn.MaxPool2d(2))
        else:
            layers += [*_normed(a, part[1], part[0], bias=True), nn.ReLU()]
            a = part[1]
    return nn.Sequential(*layers, nn.Flatten())

def vgg11(
    channels: int=3, # of the image
    side: int=64,    # of the image, at least 32
)->nn.Sequential: # features of length 512*(side//32)**2
    "Eight 3×3 convolutions, five halvings. Source: official code, `models/vgg.py`."
    plan = [64, 'M', 128, 'M', 256, 256, 'M', 512, 512, 'M', 512, 512, 'M']
    return _plain(channels, side, [w if w == 'M' else (3, w) for w in plan])

def alexnet(
    channels: int=3, # of the image
    side: int=64,    # of the image, at least 8
)->nn.Sequential: # features of length 192*(side//8)**2
    "Five convolutions, three halvings. Source: official code, `models/alexnet.py`."
    plan = [(5, 128), 'M', (5, 192), 'M', (3, 256), (3, 192), (3, 192), 'M']
    return _plain(channels, side, plan)

def _inverted(a, b, expand, stride):
    "Widen by a factor, convolve each channel by itself, and narrow."
    wide = a*expand
    through = [*_normed(a, wide, 1), nn.ReLU(),
               *_normed(wide, wide, 3, stride, groups=wide), nn.ReLU(),
               *_normed(wide, b, 1)]
    if stride > 1: return nn.Sequential(*through)
    past = nn.Identity() if a == b else nn.Sequential(*_normed(a, b, 1))
    return Residual(nn.Sequential(*through), past, nn.Identity())

def mobilenet(
    channels: int=3, # of the image
    side: int=64,    # of the image
)->nn.Sequential: # features of length 1280
    """MobileNet-V2 for small images, widened twice instead of six times.

    Source: official code, `models/mobilenet.py`."""
    plan = [(1, 16, 1, 1), (2, 24, 2, 1), (2, 32, 3, 2), (2, 64, 4, 2), (2, 96, 3, 1),
            (2, 160, 3, 2), (2, 320, 1, 1)]
    layers, a = [*_normed(channels, 32), nn.ReLU()], 32
    for expand, b, blocks, stride in plan:
        for i in range(blocks):
            layers.append(_inverted(a, b, expand, 1 if i else stride))
            a = b
    layers += [*_normed(a, 1280, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)

def _basic(a, b, stride):
    "Two convolutions and a way past; the last batch norm starts at zero."
    through = [*_normed(a, b, 3, stride), nn.ReLU(), *_normed(b, b)]
    nn.init.zeros_(through[-1].weight)
    same = stride == 1 and a == b
    past = nn.Identity() if same else nn.Sequential(*_normed(a, b, 1, stride))
    return Residual(nn.Sequential(*through), past, nn.ReLU())

def resnet(
    channels: int=3, # of the image
    side: int=64,    # of the image
    blocks: int=1,   # in each of four stages: 1 is ResNet10, 2 is ResNet-18
)->nn.Sequential: # features of length 512
    """ResNet with a 3×3 stem of padding 2 and no pooling before the end.

    Source: official code, `models/resnet.py`; weights start as torchvision's do."""
    layers, a = [*_normed(channels, 64, pad=2), nn.ReLU()], 64
    for stage, b in enumerate((64, 128, 256, 512)):
        for i in range(blocks):
            layers.append(_basic(a, b, 2 if stage and not i else 1))
            a = b
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode='fan_out', nonlinearity='relu')
    return net


# %% [markdown]
# ## By name

# %%
#| exports
NETS = {
    'convnet-tiny': partial(convnet, widths=(16, 32)),
    'convnet-small': partial(convnet, widths=(32, 64, 64)),
    'convnet-16': partial(convnet, widths=(16, 32, 64)),
    'convnet3': convnet,
    'convnet4': partial(convnet, widths=(64, 128, 256, 512)),
    'convnet5': partial(convnet, widths=(32, 64, 128, 256, 512)),
    'vgg11': vgg11,
    'alexnet': alexnet,
    'mobilenet': mobilenet,
    'resnet10': resnet,
    'resnet18': partial(resnet, blocks=2),
    'patches': PatchEncoder,
}

def extractor(
    name: str,     # a key of NETS
    channels: int, # of the image
    side: int,     # of the image
)->nn.Module: # images → features
    "A network by name; raises `UserError` listing the names."
    if name not in NETS:
        raise UserError(f'net={name!r}: one of {", ".join(NETS)}')
    return NETS[name](channels, side)

def from_run(
    done,          # a finished run with the parameter `net` and net.safetensors
    channels: int, # of the image
    side: int,     # of the image
)->nn.Module: # images → features, in eval mode
    "The extractor that a run left. Source: ours."
    net = extractor(done.record['parameters']['net'], channels, side)
    net.load_state_dict(load_file(done.folder/'net.safetensors'))
    return net.eval()


# %% [markdown]
# With a last layer of 512 outputs they have as many parameters as the official classes. `convnet-tiny`, `-small` and `-16` are ours, for eight by eight digits and for images halved to sixteen, and so is [the encoder of patches](27_patches.ipynb):

# %%
def size(net): return sum(p.numel() for p in net.parameters())

def counted(name, side):
    "Length of the features, parameters of the extractor, and with 512 outputs."
    net = extractor(name, 3, side)
    width = feature_width(net, torch.zeros(1, 3, side, side))
    return width, size(net), size(Headed(net, width, 512))

sides = {'convnet3': 32, 'convnet4': 64, 'convnet5': 224, 'vgg11': 64, 'alexnet': 64,
         'mobilenet': 64, 'resnet10': 64, 'resnet18': 32}
{name: counted(name, side) for name, side in sides.items()}

# %%
raises(extractor, 'convnet', 3, 32), raises(convnet, 1, 8, (4, 4, 4, 4))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.nets`; built by name in [all](30_target.ipynb) [three](31_distill.ipynb) [trainings](32_evaluate.ipynb).
