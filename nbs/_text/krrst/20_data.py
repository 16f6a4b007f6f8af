# %% [markdown]
# # Unlabelled images and all their views
#
# > A crop and a flip are drawn from a finite set, so the target of every view can be computed once.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `data/augmentation.py` · 4 minutes · what you need first: [data sets that verify themselves](../core/images.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.data

# %%
#| export
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.functional import pad as padded

from papers_nb.core import images
from papers_nb.core.train import generator
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## Views
#
# The outer loss looks at augmented images: a black border of `pad` pixels is added, an image-sized piece is cut out anywhere, and half of the pieces are mirrored. That sounds like endless variety and is a list: $(2p+1)^2$ places, twice with mirroring. With four pixels that is $9\cdot9\cdot2=162$ **views** an image, and a view is a number from 0 to 161.
#
# The border is black *before* normalisation, so it is not zero after it.

# %%
#| exports
@dataclass(frozen=True)
class Views:
    """The finite set of crops and mirrored crops of an image, numbered.

    Source: official code, `data/augmentation.py`; the numbering is ours."""
    pad: int=4       # black pixels on each side
    flip: bool=True  # mirrored ones too

    def __post_init__(self):
        if self.pad < 0: raise UserError(f'pad={self.pad}: at least 0 pixels')

    def __len__(self): # how many there are of an image
        return (2*self.pad + 1)**2*(1 + self.flip)

    @property
    def plain(self)->int: # its number
        "The view that is the image itself."
        return self.pad*(2*self.pad + 1) + self.pad

    def cut(self,
        x: Tensor,     # images (N, C, H, W), any dtype, black = 0
        which: Tensor, # number of a view for each, int64 (N,)
    )->Tensor: # (N, C, H, W)
        "One view of each image; raises `UserError` for a number that is no view."
        n, _, h, w = x.shape
        known = (which >= 0) & (which < len(self))
        if which.shape != (n,) or not known.all():
            raise UserError(f'which={which.tolist()[:5]}…: one number from 0 to '
                            f'{len(self) - 1} for each of {n} images')
        places = 2*self.pad + 1
        mirrored, place = which//places**2, which % places**2
        count = lambda size: torch.arange(size, device=x.device)
        rows = (place//places)[:, None] + count(h)
        cols = torch.where(mirrored[:, None].bool(), w - 1 - count(w), count(w))
        cols = cols + (place % places)[:, None]
        whole, image = padded(x, (self.pad,)*4), count(n)[:, None, None, None]
        channel = count(x.shape[1])[:, None, None]
        return whole[image, channel, rows[:, None, :, None], cols[:, None, None, :]]


# %% [markdown]
# Nine views of one picture of two pixels, which a border of one pixel allows; number 4 is the picture itself:

# %%
two = torch.tensor([[[[1, 2]]]], dtype=torch.uint8)
views = Views(pad=1, flip=False)
views.cut(two.expand(9, 1, 1, 2), torch.arange(9)).flatten(1).tolist(), views.plain

# %%
len(Views()), raises(views.cut, two, torch.tensor([9]))


# %% [markdown]
# ## A source
#
# A set is a source, whose labels nobody looks at, or a target, whose labels judge. The same set may be both.

# %%
#| exports
class Source:
    """Images on a device, as bytes or as numbers up to `scale`, with their views.

    Raises `UserError` for images of another kind. Source: ours."""
    def __init__(self,
        x: Tensor,              # uint8 or float32 (N, C, H, W), from 0 to `scale`
        views: Views=Views(),   # what augmentation draws from
        *,
        scale: float=255.,      # largest value of a pixel
        mean: tuple=None,       # of each channel, in units of `scale`; None: measured
        std: tuple=None,        # likewise
    ):
        _check_images(x, scale)
        self.x, self.views, self.scale = x, views, scale
        of_each = lambda how: tuple((how(x.double(), (0, 2, 3))/scale).tolist())
        self.mean = of_each(torch.mean) if mean is None else mean
        self.std = of_each(torch.std) if std is None else std

    def __len__(self): # images
        return len(self.x)

    def normalized(self,
        x: Tensor, # (n, C, H, W), from 0 to `scale`
    )->Tensor: # float32 (n, C, H, W)
        "Every channel with mean 0 and deviation 1."
        channel = lambda v: torch.tensor(v, device=x.device).view(1, -1, 1, 1)
        return (x/self.scale - channel(self.mean))/channel(self.std)

    def plain(self, rows=slice(None))->Tensor: # float32 (n, C, H, W)
        "Some images, normalised, not augmented."
        return self.normalized(self.x[rows])

    def view(self,
        rows: Tensor,  # which images, int64 (n,)
        which: Tensor, # which view of each, int64 (n,)
    )->Tensor: # float32 (n, C, H, W)
        "Some views, normalised after they were cut, so that the border is black."
        return self.normalized(self.views.cut(self.x[rows], which))

    def draw(self,
        n: int,    # how many
        generator, # torch generator on the CPU
    )->tuple[Tensor, Tensor]: # rows and views, int64 (n,)
        "Images with repetition, and a view of each, all equally likely."
        pick = lambda high: torch.randint(high, (n,), generator=generator)
        rows, which = pick(len(self)), pick(len(self.views))
        return rows.to(self.x.device), which.to(self.x.device)

def _check_images(x, scale):
    "Refuse what is not a batch of images from 0 to `scale`."
    kind = x.dtype
    if x.dim() != 4 or not x.numel() or kind not in (torch.uint8, torch.float32):
        raise UserError(f'x of {kind} and shape {tuple(x.shape)}: bytes or float32 '
                        '(N, C, H, W), at least one image, are expected')
    low, high = x.min().item(), x.max().item()
    if not 0 <= low <= high <= scale:
        raise UserError(f'x from {low:g} to {high:g}: pixels from 0 to scale={scale:g} '
                        'are expected, not normalised ones')

def source(
    data: str,            # a key of `core.images.SETS`
    split: str,           # train or test
    views: Views=Views(), # what augmentation draws from
    device: str='cpu',    # where the images go
    first: int=0,         # how many images, in the order they are stored in; 0: all
    shrink: int=1,        # pixels of a side that become one, their mean
)->tuple[Source, Tensor]: # images; labels int64 (N,), for a target
    """One split of a set, perhaps a part of it made smaller; normalised as the set is.

    Raises `UserError` for more images than there are and a side that `shrink` does not
    divide. Source: ours."""
    x, y = images.tensors(data, split, device)
    if not 0 <= first <= len(x):
        raise UserError(f'first={first}: from 0 to the {len(x)} images of '
                        f'{data} {split}')
    side = x.shape[-1]
    if shrink < 1 or side % shrink:
        raise UserError(f'shrink={shrink}: a divisor of the side of {side} pixels')
    x, y = x[:first or None], y[:first or None]
    if shrink > 1: x = avg_pool2d(x.float(), shrink)
    c = images.SETS[data]
    return Source(x, views, scale=c.scale, mean=c.mean, std=c.std), y

def few(
    labels: Tensor, # int64 (N,)
    n: int,         # how many in all; 0: all there are
    seed: int=0,    # of the draw
)->Tensor: # rows, int64 (n,)
    """Rows of labelled images, as many of each class as of any other, give or take one.

    Raises `UserError` for more than there are. Source: ours."""
    if not n: return torch.arange(len(labels), device=labels.device)
    order = torch.randperm(len(labels), generator=generator(seed, 'labelled', 0))
    mixed = labels.cpu()[order]
    place = torch.zeros_like(mixed)
    for c in mixed.unique(): place[mixed == c] = torch.arange(int((mixed == c).sum()))
    if not 0 < n <= len(labels): raise UserError(f'n={n}: from 0 to {len(labels)}')
    return order[place.argsort(stable=True)[:n]].to(labels.device)


# %%
digits, labels = source('digits', 'train', Views(pad=1, flip=False))
len(digits), digits.plain([0]).shape, len(digits.views)

# %% [markdown]
# A part of a set, at half the resolution: each pixel is the mean of four. A set is stored in the order of its checksums, which has to do with neither class nor place, so its first images are a fair sample.

# %%
small, _ = source('digits', 'train', first=100, shrink=2)
small.x.shape, raises(source, 'digits', 'train', shrink=3)

# %%
raises(source, 'digits', 'train', first=9999)

# %% [markdown]
# Twenty with labels, two of each class:

# %%
few_rows = few(labels, 20)
labels[few_rows].bincount().tolist(), raises(few, labels, 2000)

# %% [markdown]
# Pixels that were normalised already, and an empty set:

# %%
[raises(Source, digits.plain()), raises(Source, digits.x[:0]),
 raises(source, 'digit', 'train')]


# %% [markdown]
# ## Targets of all views
#
# The target model is frozen. So its features of every view are a table, exact up to rounding, and a step of distillation reads it instead of running the target model. It is memory that decides: `N × views × d` numbers.

# %%
#| exports
@torch.no_grad()
def features(
    extractor: nn.Module, # images → features (n, d), set to eval mode
    x: Tensor,            # images (N, C, H, W), normalised
    batch: int=512,       # images at a time
)->Tensor: # (N, d)
    "Features in eval mode, batch by batch."
    extractor.eval()
    return torch.cat([extractor(part) for part in x.split(batch)])

class Targets:
    """The target model's features of every view, tabulated or computed when asked.

    Source: ours."""
    def __init__(self,
        model: nn.Module,    # images → features (n, d), frozen
        source: Source,      # whose views they are
        table: bool=True,    # compute all of them now
        batch: int=512,      # images at a time
    ):
        self.model, self.source, self.batch, self.table = model, source, batch, None
        views = range(len(source.views)) if table else ()
        if table: self.table = torch.stack([self._view(k) for k in views], 1)

    def _view(self, k):
        "Features of one view of every image, (N, d)."
        rows = torch.arange(len(self.source), device=self.source.x.device)
        views = [self.source.view(part, torch.full_like(part, k))
                 for part in rows.split(self.batch)]
        return torch.cat([features(self.model, x) for x in views])

    def __call__(self, rows: Tensor, which: Tensor)->Tensor: # int64 (n,), (n,) → (n, d)
        "Targets of some views."
        if self.table is not None: return self.table[rows, which]
        return features(self.model, self.source.view(rows, which), self.batch)


# %%
some = Source(digits.x[:20], digits.views, scale=16.)
mean = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
stored, fresh = Targets(mean, some), Targets(mean, some, table=False)
drawn = some.draw(6, torch.Generator().manual_seed(0))
stored.table.shape, torch.equal(stored(*drawn), fresh(*drawn))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.data`; a step of [the distiller](21_krrst.ipynb) draws rows and views and asks for both images and targets.
