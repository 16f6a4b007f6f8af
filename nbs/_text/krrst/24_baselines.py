# %% [markdown]
# # What a distilled set has to beat
#
# > Real images, drawn or chosen by clusters, with labels or with the target model's features.

# %% [markdown]
# Lee et al. 2024 (KRR-ST) compares with random images and k-means, both with labels; the same images with target features are our addition · 4 minutes · what you need first: [the distiller](21_krrst.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.baselines

# %%
#| export
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.core.train import generator
from papers_nb.errors import UserError, need
from papers_nb.krrst.data import Source, features

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.krrst.data import Views, source
from papers_nb.krrst.nets import extractor


# %% [markdown]
# ## Which images
#
# A distilled set has two parts, images and target vectors, and both may be what helps. So every choice of images below goes with either kind of target. The pair *random images, target features* is where KRR-ST begins, before its first step: what it does not beat, distillation has not earned.

# %%
#| exports
def random_rows(
    source: Source,   # real images
    model: nn.Module, # not used
    m: int,           # how many
    seed: int=0,      # of the draw
)->Tensor: # rows, int64 (m,)
    "Images at random, all different. Source: ours."
    _enough(source, m)
    order = torch.randperm(len(source), generator=generator(seed, 'initial', 0))
    return order[:m].to(source.x.device)

def kmeans_rows(
    source: Source,   # real images
    model: nn.Module, # images → features, in whose space clusters are
    m: int,           # how many
    seed: int=0,      # of the first centres
)->Tensor: # rows, int64 (m,), all different
    """The image nearest to each of `m` cluster centres; raises `UserError`.

    The paper does not say in which space; here that of the target model's features.
    Source: ours, on scikit-learn."""
    _enough(source, m)
    x = features(model, source.plain()).double().cpu()
    kind = need('sklearn.cluster', 'run').KMeans
    centres = kind(m, n_init=1, random_state=seed).fit(x.numpy()).cluster_centers_
    far, rows = torch.cdist(torch.from_numpy(centres), x), []
    for row in far:
        row[rows] = torch.inf
        rows.append(int(row.argmin()))
    return torch.tensor(rows, device=source.x.device)

def _enough(source, m):
    "Refuse more images than there are."
    if not 1 <= m <= len(source):
        raise UserError(f'm={m}: from 1 to the {len(source)} images of the source')

IMAGES = {'random': random_rows, 'k-means': kmeans_rows}

# %%
digits, labels = source('digits', 'train', Views(1, False))
torch.manual_seed(0)
model = extractor('convnet-small', 1, 8)
{name: labels[choose(digits, model, 10)].tolist() for name, choose in IMAGES.items()}

# %%
raises(random_rows, digits, model, 0)


# %% [markdown]
# ## Labels as targets
#
# A class as a vector: one at its place, less the mean, as FRePo has it. With these in place of features the distiller is a supervised one.

# %%
#| exports
class LabelTargets:
    """Centred one-hot labels in the place of a target model's features.

    Source: Zhou et al. 2022 (FRePo)."""
    def __init__(self,
        source: Source, # whose images they are of
        labels: Tensor, # int64 (N,)
    ):
        if len(labels) != len(source):
            raise UserError(f'{len(labels)} labels for {len(source)} images')
        self.source, classes = source, int(labels.max()) + 1
        self.rows = F.one_hot(labels, classes) - 1/classes

    def __call__(self, rows: Tensor, which: Tensor=None)->Tensor: # (n, classes)
        "Of some images, whatever the view."
        return self.rows[rows]


# %%
LabelTargets(digits, labels)(torch.tensor([0])), labels[0]


# %% [markdown]
# ## Targets that say nothing
#
# Noise with the mean and the covariance of the features: what a target vector is worth that has to be learnt from nothing.

# %%
#| exports
def noise(
    y: Tensor,   # target features, (m, k), m ≥ 2
    seed: int=0, # of the draw
)->Tensor: # (m, k)
    """Random mixtures of the rows, so that mean and covariance are kept on average.

    Raises `UserError` for a single row. Source: ours."""
    if len(y) < 2: raise UserError(f'{len(y)} row of targets: at least two')
    mix = torch.randn(len(y), len(y), generator=generator(seed, 'noise', 0)).to(y)
    return y.mean(0) + mix @ (y - y.mean(0))/(len(y) - 1)**.5


# %%
y = features(model, digits.plain(slice(50)))
made = noise(y)
made.shape, (made.var(0).mean()/y.var(0).mean()).item(), raises(noise, y[:1])

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.baselines`; [a distillation](31_distill.ipynb) takes them by name, and with `steps=0` leaves them as they are.
