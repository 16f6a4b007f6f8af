# %% [markdown]
# # A target model that is fitted in seconds
#
# > Cluster small patches of images; how near a patch is to every centre is a feature. No labels, no gradient.

# %% [markdown]
# Coates and Ng 2011; stands in for Barlow Twins where there is no GPU · 4 minutes · what you need first: [images and views](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.patches

# %%
#| export
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source

# %%
#| hide
import matplotlib.pyplot as plt
from papers_nb.core.checks import raises
from papers_nb.core.plots import theme
from papers_nb.core.train import Stepper
from papers_nb.krrst.data import Views, source
theme()


# %% [markdown]
# ## From an image to features
#
# The target model of the paper is a ResNet-18 that learnt for a thousand epochs. On one core we need one that is good after seconds. This one has four parts, each with a reason:
#
# 1. every 5×5 **patch** of the image, less its mean, divided by its deviation: light and shade go, shape stays;
# 2. **whitening**: neighbouring pixels are alike, and what they share would drown what tells patches apart;
# 3. **centres** of clusters of such patches, of length one. What a patch has along a centre counts where it is beyond a threshold, on either side: two features for each centre;
# 4. means over the four quarters of the image, turned and cut to the directions in which they vary most.

# %%
#| exports
class PatchEncoder(nn.Module):
    """Whitened patches against cluster centres, pooled in four quarters, and rotated.

    Raises `UserError` for an image with fewer patches than quarters.
    Source: Coates and Ng 2011; the rotation to few features is ours."""
    def __init__(self,
        channels: int=3,      # of the image
        side: int=16,         # of the image
        size: int=5,          # of a patch
        centres: int=128,     # clusters
        width: int=128,       # features
        threshold: float=.25, # what of a projection does not count
    ):
        super().__init__()
        if side < size + 1:
            raise UserError(f'side={side}: patches of {size} need at least {size + 1}')
        length, pooled = channels*size**2, 8*centres
        self.size, self.threshold = size, threshold
        self.width = min(width, pooled)
        shapes = {'middle': (length,), 'white': (length, length), 'turned': (pooled,),
                  'centres': (centres, length), 'turn': (pooled, self.width)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def patches(self, x: Tensor)->Tensor: # (N, C, H, W) → (N, places, length)
        "All patches of images, of mean 0 and deviation about 1."
        found = F.unfold(x, self.size).transpose(1, 2)
        found = found - found.mean(2, keepdim=True)
        return found/(found.var(2, keepdim=True) + .01).sqrt()

    def whitened(self, patches: Tensor)->Tensor: # (..., length) → (..., length)
        "Patches whose pixels no longer say the same."
        return (patches - self.middle) @ self.white

    def pooled(self, x: Tensor)->Tensor: # (N, C, H, W) → (N, 8·centres)
        "Both sides of every projection beyond the threshold, by quarters."
        along = self.whitened(self.patches(x)) @ self.centres.T
        side = int(along.shape[1]**.5)
        maps = along.transpose(1, 2).unflatten(2, (side, side))
        sides = torch.cat([maps - self.threshold, -maps - self.threshold], 1).relu()
        return F.adaptive_avg_pool2d(sides, 2).flatten(1)

    def forward(self, x: Tensor)->Tensor: # (N, C, H, W) → (N, width)
        "Features."
        return (self.pooled(x) - self.turned) @ self.turn

    @torch.no_grad()
    def begin(self,
        source: Source,    # unlabelled images
        seed: int=0,       # of the draw, and of the first centres
        most: int=100_000, # patches that are drawn, about
    )->Tensor: # (n, length)
        "Whitening, and the first centres; the whitened patches."
        per = self.patches(source.plain([0])).shape[1]
        g = generator(seed, 'patches', 0)
        rows = torch.randperm(len(source), generator=g)[:max(1, most//per)]
        flat = self.patches(source.plain(rows.to(source.x.device))).flatten(0, 1)
        if len(flat) < len(self.centres):
            raise UserError(f'{len(flat)} patches: at least one for each of the '
                            f'{len(self.centres)} centres is expected')
        self.middle.copy_(flat.mean(0))
        values, vectors = torch.linalg.eigh(torch.cov(flat.double().T))
        scale = (values.clamp(0) + .1).rsqrt()
        self.white.copy_((vectors*scale) @ vectors.T)
        white = self.whitened(flat)
        first = torch.randn(self.centres.shape, generator=g).to(white.device)
        self.centres.copy_(F.normalize(first, dim=1))
        return white

    @torch.no_grad()
    def cluster(self,
        white: Tensor, # whitened patches, (n, length)
    )->float: # share of them that no centre takes
        "One pass of spherical k-means; a centre without a patch stays."
        along = white @ self.centres.T
        best = along.abs().argmax(1)
        part = along.gather(1, best[:, None])
        sums = torch.zeros_like(self.centres).index_add_(0, best, white*part)
        self.centres.copy_(torch.where(sums.any(1, keepdim=True),
                                       F.normalize(sums, dim=1), self.centres))
        return 1 - (part.square().sum()/white.square().sum()).item()

    @torch.no_grad()
    def finish(self, source: Source, batch: int=500):
        "Turn to the directions of largest variance; all features share one scale."
        rows = torch.arange(len(source), device=source.x.device).split(batch)
        found = torch.cat([self.pooled(source.plain(part)) for part in rows]).double()
        self.turned.copy_(found.mean(0))
        values, vectors = torch.linalg.eigh(torch.cov(found.T))
        scale = values[-self.width:].clamp(0).mean().sqrt()
        self.turn.copy_(vectors.flip(1)[:, :self.width]/scale)


# %% [markdown]
# Eigenvectors have no sign of their own. Whoever compares features from two machines compares what does not depend on it.
#
# ## Fitting it

# %%
#| exports
def fit_patches(
    run,                   # a run or a Stepper
    encoder: PatchEncoder, # fitted in place
    source: Source,        # unlabelled images
    passes: int=10,        # of k-means over the patches
):
    "Whiten, cluster, turn. Source: Coates and Ng 2011."
    white = encoder.begin(source, run.seed)
    for _ in run.steps(passes, {'encoder': encoder}):
        run.log(loss=encoder.cluster(white))
    encoder.finish(source)


# %%
digits, labels = source('digits', 'train', Views(1, False))
encoder = PatchEncoder(1, 8, centres=32, width=32)
run = Stepper(0)
fit_patches(run, encoder, digits)
said = encoder(digits.plain())
[round(r['loss'], 3) for r in run.metrics[::3]], said.shape

# %% [markdown]
# Features have a common scale and no correlation, so that none counts more than its variance says:

# %%
off = torch.corrcoef(said.T) - torch.eye(32)
said.var(0).mean().item(), off.abs().max().item() < .01

# %%
#| label: fig-centres
#| fig-cap: "Cluster centres of digits' patches, whitened."
#| fig-alt: "Small squares with strokes of one direction, ends of strokes, and bright or dark spots."
#| classes: figcard
fig, axes = plt.subplots(2, 16, figsize=(6.4, 1))
for ax, centre in zip(axes.flat, encoder.centres):
    ax.imshow(centre.view(5, 5), cmap='gray')
    ax.axis('off')

# %%
raises(PatchEncoder, 1, 5)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.patches`; [a target model](30_target.ipynb) with `net=patches` is one.
