# %% [markdown]
# # Three ways to learn without labels
#
# > Barlow Twins, BYOL and SimCLR: two views of an image should say the same, and not everything should say the same.

# %% [markdown]
# Zbontar et al. 2021; Grill et al. 2020; Chen et al. 2020; for the target model of Lee et al. 2024 (KRR-ST), which is trained by Barlow Twins · 6 minutes · what you need first: [what is distilled](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.selfsup

# %%
#| export
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.errors import UserError, need
from papers_nb.krrst.data import Source, Views

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.core.train import generator
from papers_nb.krrst.data import source


# %% [markdown]
# ## Two views
#
# Each image is seen twice, changed at random, and the network is asked for the same answer. What is changed is what the features will not remember: here the place, the contrast, the noise, and a patch that is covered. For digits a mirror image is another character, so nothing is mirrored.

# %%
#| exports
def scanned(
    source: Source, # grey images
    rows: Tensor,   # which, int64 (n,)
    g,              # torch generator on the CPU
)->Tensor: # float32 (n, C, H, W), normalised
    """Shifted by up to two pixels, of another contrast, noisy, a 3×3 patch covered.

    Source: ours, for small scans of digits."""
    x = source.x[rows]
    n, _, h, w = x.shape
    black = source.normalized(torch.zeros_like(x[:1]))
    shift = torch.randint(25, (n,), generator=g).to(x.device)
    x = source.normalized(Views(2, False).cut(x, shift))
    gain = .6 + .8*torch.rand(n, 1, 1, 1, generator=g)
    noise = .5*torch.randn(x.shape, generator=g)
    corner = torch.randint(0, h - 2, (n, 2, 1), generator=g)
    past = lambda k, size: torch.arange(size) - corner[:, k]
    inside = lambda k, size: (past(k, size) >= 0) & (past(k, size) < 3)
    patch = (inside(0, h)[:, :, None] & inside(1, w)[:, None, :])[:, None].to(x.device)
    return torch.where(patch, black, x*gain.to(x.device) + noise.to(x.device))

def coloured(
    source: Source, # colour images
    rows: Tensor,   # which, int64 (n,)
    g,              # torch generator on the CPU
)->Tensor: # float32 (n, 3, H, W), normalised
    """Random resized crop, mirror, colours shaken, now and then grey; by kornia.

    Raises `UserError` for images without three channels. Source: solo-learn's recipe
    for CIFAR, whose second view is also solarised now and then; here none is."""
    change = need('kornia.augmentation', 'images')
    x = source.x[rows]/source.scale
    if x.shape[1] != 3:
        raise UserError(f'{x.shape[1]} channels: views in colour take images of three')
    parts = (change.RandomResizedCrop(tuple(x.shape[2:]), (.08, 1.)),
             change.RandomHorizontalFlip(.5), change.ColorJitter(.4, .4, .2, .1, p=.8),
             change.RandomGrayscale(p=.2))
    with torch.random.fork_rng(devices=[]): # kornia draws from the global generator
        torch.manual_seed(torch.randint(2**31, (), generator=g).item())
        for part in parts: x = part(x)
    return source.normalized(x*source.scale)

VIEWS = {'scanned': scanned, 'coloured': coloured}

# %%
digits, _ = source('digits', 'train', Views(1, False))
draw = lambda index: scanned(digits, torch.arange(3), generator(0, 'views', index))
draw(0).shape, torch.equal(draw(0), draw(0)), torch.equal(draw(0), draw(1))

# %% [markdown]
# In colour the list is longer, and kornia's:

# %%
pixels = torch.randint(256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0))
photos = Source(pixels.byte())
again = [coloured(photos, torch.arange(4), generator(0, 'views', 0)) for _ in range(2)]
again[0].shape, torch.equal(*again), raises(coloured, digits, torch.arange(3), None)


# %% [markdown]
# ## Losses
#
# `z` is what a small network behind the features, the **projector**, makes of one view. It is thrown away after training.
#
# **Barlow Twins**: standardise each of the $d$ outputs over the batch; let $C_{ij}$ be the correlation of output $i$ on one view with output $j$ on the other. Equal views want $C_{ii}=1$; nothing said twice wants $C_{ij}=0$:
#
# $$L=s\Bigl[\sum_i(1-C_{ii})^2+\lambda\sum_{i\ne j}C_{ij}^2\Bigr].$$ {#eq-barlow}

# %%
#| exports
def barlow_loss(
    a: Tensor,             # outputs on one view, (N, d), N ≥ 2
    b: Tensor,             # outputs on the other, (N, d)
    weight: float=.0051,   # λ, of the correlations that should be none
    scale: float=.1,       # s
)->Tensor: # ()
    """Distance of the correlation matrix of two views from the identity.

    Raises `UserError` for a single sample. Source: Zbontar et al. 2021, eq. 1."""
    if a.shape != b.shape or len(a) < 2:
        raise UserError(f'views of shape {tuple(a.shape)} and {tuple(b.shape)}: '
                        'two of one shape (N, d), N at least 2')
    standard = lambda z: F.batch_norm(z, None, None, training=True)
    c = standard(a).T @ standard(b)/len(a)
    equal, rest = c.diagonal(), c - c.diagonal().diag()
    return scale*((1 - equal).square().sum() + weight*rest.square().sum())


# %% [markdown]
# Two views that agree and whose outputs are not correlated cost nothing, up to the $\epsilon$ in the standardisation; with the outputs swapped everything is wrong:

# %%
z = torch.tensor([[1., 1.], [1., -1.], [-1., 1.], [-1., -1.]])
barlow_loss(z, z).item(), barlow_loss(z, z.flip(1)).item(), .1*(2 + 2*.0051)


# %% [markdown]
# **SimCLR**: of all $2N-1$ other views in the batch, find the one of the same image: cross entropy over cosines divided by a temperature.

# %%
#| exports
def simclr_loss(
    a: Tensor,             # outputs on one view, (N, d)
    b: Tensor,             # outputs on the other, (N, d)
    temperature: float=.2, # τ
)->Tensor: # ()
    """Cross entropy of finding the other view of the same image.

    Source: Chen et al. 2020, eq. 1."""
    z = F.normalize(torch.cat([a, b]), dim=1)
    near = z @ z.T/temperature
    near.fill_diagonal_(-torch.inf)
    return F.cross_entropy(near, torch.arange(len(z), device=z.device).roll(len(a)))


# %%
#| exports
def byol_loss(
    predicted: Tensor, # from one view, (N, d)
    wanted: Tensor,    # the slow network's outputs on the other, (N, d)
)->Tensor: # (), from 0 to 4
    "Squared distance of directions. Source: Grill et al. 2020, eq. 2."
    return (2 - 2*F.cosine_similarity(predicted, wanted)).mean()


# %% [markdown]
# **BYOL** has no second term against everything being the same: a second network, a slow average of the first, gives what is to be predicted.

# %%
simclr_loss(z, z).item(), byol_loss(z, z).item(), byol_loss(z, -z).item()


# %% [markdown]
# ## Methods
#
# All three are modules around an extractor: `loss` takes two views, `after` is called when the optimiser has stepped.

# %%
#| exports
def projector(
    width: int,  # of the features
    hidden: int, # of the layers between
    out: int,    # of the outputs
    layers: int, # hidden ones
)->nn.Sequential:
    "Linear layers with batch norm and ReLU between. Source: the three papers."
    parts = []
    for a in [width] + [hidden]*(layers - 1):
        parts += [nn.Linear(a, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(hidden, out))

class BarlowTwins(nn.Module):
    "Source: Zbontar et al. 2021."
    def __init__(self,
        extractor: nn.Module, # images → features (N, width)
        width: int,           # of the features
        hidden: int=2048,     # of the projector, and its outputs
        weight: float=.0051,  # λ
    ):
        super().__init__()
        self.extractor, self.weight = extractor, weight
        self.projector = projector(width, hidden, hidden, 2)

    def loss(self, a: Tensor, b: Tensor)->Tensor: # views (N, C, H, W) → ()
        "Of two views of the same images."
        za, zb = (self.projector(self.extractor(x)) for x in (a, b))
        return barlow_loss(za, zb, self.weight)

    def after(self, done: float): # share of the training that is done, 0 to 1
        "Nothing follows a step."

class SimCLR(nn.Module):
    "Source: Chen et al. 2020."
    def __init__(self,
        extractor: nn.Module,  # images → features (N, width)
        width: int,            # of the features
        hidden: int=2048,      # of the projector
        out: int=256,          # its outputs
        temperature: float=.2, # τ
    ):
        super().__init__()
        self.extractor, self.temperature = extractor, temperature
        self.projector = projector(width, hidden, out, 1)

    def loss(self, a: Tensor, b: Tensor)->Tensor: # views (N, C, H, W) → ()
        "Of two views of the same images."
        za, zb = (self.projector(self.extractor(x)) for x in (a, b))
        return simclr_loss(za, zb, self.temperature)

    def after(self, done: float): # share of the training that is done, 0 to 1
        "Nothing follows a step."

class BYOL(nn.Module):
    "Source: Grill et al. 2020."
    def __init__(self,
        extractor: nn.Module, # images → features (N, width)
        width: int,           # of the features
        hidden: int=4096,     # of projector and predictor
        out: int=256,         # their outputs
        keep: float=.99,      # τ at the start: what the slow network keeps a step
    ):
        super().__init__()
        self.extractor, self.keep = extractor, keep
        self.projector = projector(width, hidden, out, 1)
        self.predictor = projector(out, hidden, out, 1)
        self.slow = deepcopy(nn.Sequential(extractor, self.projector))
        self.slow.requires_grad_(False)

    def loss(self, a: Tensor, b: Tensor)->Tensor: # views (N, C, H, W) → ()
        "Each view predicts what the slow network says of the other."
        with torch.no_grad(): wanted = self.slow(b), self.slow(a)
        said = (self.predictor(self.projector(self.extractor(x))) for x in (a, b))
        return sum(byol_loss(p, w) for p, w in zip(said, wanted))

    @torch.no_grad()
    def after(self, done: float): # share of the training that is done, 0 to 1
        "Move the slow network; what it keeps goes to 1 by a cosine."
        keep = torch.tensor(torch.pi*done)
        keep = 1 - (1 - self.keep)*(keep.cos().item() + 1)/2
        fast = nn.Sequential(self.extractor, self.projector)
        for p, q in zip(self.slow.parameters(), fast.parameters()): p.lerp_(q, 1 - keep)

METHODS = {'barlow-twins': BarlowTwins, 'simclr': SimCLR, 'byol': BYOL}

# %%
x = draw(0)
extractor = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
{name: tuple(kind(extractor, 4, hidden=8).loss(x, draw(1)).shape)
 for name, kind in METHODS.items()}

# %%
raises(barlow_loss, z[:1], z[:1])

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.selfsup`; [the target model](30_target.ipynb) is trained by one of them.
