# %% [markdown]
# # Networks that give features
#
# > ConvNets of three sizes, and a linear head that is thrown away.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `models/convnet.py` · 3 minutes · what you need first: [what is distilled](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.nets

# %%
#| export
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from papers_nb.errors import UserError

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

def _sized(*widths):
    "A maker of ConvNets with these widths."
    return lambda channels, side: convnet(channels, side, widths)

NETS = {
    'convnet-tiny': _sized(16, 32),
    'convnet-small': _sized(32, 64, 64),
    'convnet-16': _sized(16, 32, 64),
    'convnet3': _sized(128, 256, 512),
    'convnet4': _sized(64, 128, 256, 512),
    'convnet5': _sized(32, 64, 128, 256, 512),
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
# Three are the paper's; with a last layer of 512 outputs they have as many parameters as the official classes. The others are ours, for eight by eight digits and for images halved to sixteen:

# %%
def size(net): return sum(p.numel() for p in net.parameters())

def counted(name, side):
    "Length of the features, parameters of the extractor, and with 512 outputs."
    net = extractor(name, 3, side)
    width = feature_width(net, torch.zeros(1, 3, side, side))
    return width, size(net), size(Headed(net, width, 512))

[counted('convnet3', 32), counted('convnet4', 64), counted('convnet5', 224)]

# %%
raises(extractor, 'convnet', 3, 32), raises(convnet, 1, 8, (4, 4, 4, 4))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.nets`; built by name in [all](30_target.ipynb) [three](31_distill.ipynb) [trainings](32_evaluate.ipynb).
