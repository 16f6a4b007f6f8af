# %% [markdown]
# # Two graphs: who took what, and what is alike
#
# > Sums over neighbours, as two sparse products; and the ten most similar items, frozen.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec); official code `src/models/lirdrec.py` · 5 minutes · what you need first: [interactions](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.graph

# %%
#| export
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TRAIN, Interactions
from papers_nb.lirdrec.metrics import top_k

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## Users and items
#
# Users who took the same items are probably alike. A graph recommender lets rows of users and rows of items flow along the training pairs: with $R$ the matrix of training pairs and $\hat R=D_u^{-1/2}RD_i^{-1/2}$ the one scaled by degrees, one layer is
#
# $$U'=\hat R\,I,\qquad I'=\hat R^\top U,$$
#
# and the layers are summed. $\hat R$ and its transpose are kept both, as compressed rows: a backward pass through one is a forward through the other.

# %%
#| exports
class SparseProduct(torch.autograd.Function):
    "A @ x for a constant sparse A whose transpose is at hand. Source: ours."
    @staticmethod
    def forward(ctx, a, a_t, x):
        "a (m, n) and a_t (n, m) as CSR, x (n, d)."
        ctx.a_t = a_t
        return a @ x

    @staticmethod
    def backward(ctx, g):
        "The transpose times the gradient."
        return None, None, ctx.a_t @ g

def csr(
    rows,    # of the entries, (n,)
    columns, # likewise
    values,  # likewise
    shape: tuple[int, int],
)->Tensor: # sparse CSR
    "A sparse matrix from its entries; equal places are added up."
    places = torch.stack([torch.as_tensor(rows), torch.as_tensor(columns)])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return torch.sparse_coo_tensor(places, values, shape).coalesce().to_sparse_csr()

class Propagation(nn.Module):
    """Sums of rows over the graph of users and items, thinned in training if asked.

    Source: He et al. 2020 (LightGCN); official code, `src/models/lirdrec.py`."""
    def __init__(self,
        user,               # of each training pair, int64 (N,)
        item,               # likewise
        users: int,         # n_u
        items: int,         # n_i
        layers: int=2,      # L
        mean: bool=False,   # divide by L + 1, as LightGCN does
        drop: float=0.,     # ρ, share of the pairs left out of an epoch's graph
    ):
        super().__init__()
        if layers < 0:
            raise UserError(f'layers={layers}: at least 0')
        if not 0 <= drop < 1:
            raise UserError(f'drop={drop}: at least 0 and below 1')
        self.pairs = torch.as_tensor(user), torch.as_tensor(item)
        self.shape = users, items
        self.layers, self.drop = layers, drop
        self.scale = 1/(layers + 1) if mean else 1.
        for name, x in zip(('r', 'r_t'), self._scaled(*self.pairs)):
            self.register_buffer(name, x, persistent=False)
        n = len(self.pairs[0])
        self.thinned, self.kept = None, int(n*(1 - drop) + 1e-9)
        if not self.kept:
            raise UserError(f'drop={drop} leaves none of the {n} pairs')

    def _values(self, user, item):
        "One over the root of both degrees, for every pair."
        users, items = self.shape
        du = torch.bincount(user, minlength=users).double() + 1e-7
        di = torch.bincount(item, minlength=items).double() + 1e-7
        return (du[user]*di[item]).rsqrt().float()

    def _scaled(self, user, item):
        "The scaled matrix of some pairs and its transpose."
        values, shape = self._values(user, item), self.shape
        return csr(user, item, values, shape), csr(item, user, values, shape[::-1])

    def thin(self,
        draws: torch.Generator, # on the CPU
    ):
        "Draw the pairs of the next epoch, those of small degree more often."
        if not self.drop: return
        kept = torch.multinomial(self._values(*self.pairs), self.kept, generator=draws)
        scaled = self._scaled(*(p[kept] for p in self.pairs))
        self.thinned = tuple(x.to(self.r.device) for x in scaled)

    def forward(self,
        u: Tensor, # rows of the users, (n_u, d)
        i: Tensor, # rows of the items, (n_i, d)
    )->tuple[Tensor, Tensor]: # the same shapes
        """Sum or mean over 0 to L layers; of a row without neighbours every layer but
        the first is zero."""
        thin = self.training and self.thinned
        r, r_t = self.thinned if thin else (self.r, self.r_t)
        sum_u, sum_i = u, i
        for _ in range(self.layers):
            u, i = SparseProduct.apply(r, r_t, i), SparseProduct.apply(r_t, r, u)
            sum_u, sum_i = sum_u + u, sum_i + i
        return sum_u*self.scale, sum_i*self.scale


# %% [markdown]
# With `drop` each epoch trains on a part of the pairs, drawn anew with odds of one over the root of both degrees, so that the crowded ones are thinned most.
#
# Two users, three items; both users took item 1, nobody took item 2:

# %%
graph = Propagation([0, 0, 1], [0, 1, 1], users=2, items=3, layers=1)
u, i = graph(torch.tensor([[1.], [10.]]), torch.zeros(3, 1))
u.flatten(), i.flatten()

# %% [markdown]
# Item 1 hears from both users: $1/\sqrt{2\cdot2}+10/\sqrt{1\cdot2}$.

# %%
1/2 + 10/2**.5


# %% [markdown]
# ## What every network here has
#
# The training asks every recommender that learns for the same few things. Features come as tensors under the names of their modalities, which torch's containers must not have taken already.

# %%
#| exports
class GraphNet(nn.Module):
    """A network over the graph of users and items; a forward gives rows of both.

    Source: ours."""
    needs_others = True # whether its loss compares with items that were drawn
    def __init__(self,
        data: Interactions, # whose training pairs are used
        layers: int=2,      # L
        mean: bool=False,   # divide by L + 1
        drop: float=0.,     # share of the pairs left out of an epoch's training graph
    ):
        super().__init__()
        self.graph = Propagation(
            *data.pairs(TRAIN), data.users, data.items, layers, mean=mean, drop=drop)

    def start_epoch(self, epoch: int):
        "Once before the first batch of epoch 1, 2, …; changes what a checkpoint keeps."

    def redraw(self, draws: torch.Generator):
        "Draw what an epoch draws; called again when a run resumes within an epoch."
        self.graph.thin(draws)

    def watched(self)->list[Tensor]: # free rows of items, the map of their features
        "Parameters whose gradients a training notes, if items are made of these two."
        return []

    def seen(self)->dict: # name → list of numbers
        "What a training notes after an epoch."
        return {}

def tensors(
    data: Interactions, # whose features are asked for
    who: str,           # needs them
)->dict[str, Tensor]: # modality → float32 (n_i, D)
    """Features as tensors; raises `UserError` where there are none, or for a name that
    torch has taken."""
    if not data.features:
        raise UserError(f'{data.name} has no features, which {who} needs')
    for m in data.features:
        if hasattr(nn.ModuleDict(), m):
            raise UserError(
                f'features {m!r}: a name that torch uses itself; choose another')
    return {m: torch.from_numpy(np.array(x)) for m, x in data.features.items()}

def free_rows(
    n: int,   # how many
    dim: int, # length of each
)->nn.Parameter: # (n, dim)
    "Rows that are learned, Xavier-normal at first."
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n, dim)))

def bpr(
    u: Tensor, # rows of users, (B, d)
    i: Tensor, # of items they took
    j: Tensor, # of items drawn for them
)->Tensor: # scalar
    "Mean logistic loss of the difference of scores. Source: Rendle et al. 2009."
    return -nn.functional.logsigmoid((u*(i - j)).sum(1)).mean()


# %% [markdown]
# ## Items alike
#
# Items whose features point in the same direction are probably alike. For each modality, every item is linked to its ten neighbours of largest cosine, itself among them, each with weight one tenth. (Of more than ten equal rows, such as the mean picture of items that have none, all have the same ten neighbours, those of smallest id.) The graphs of the modalities are mixed, once, before training.

# %%
#| exports
def nearest(
    x: Tensor,  # features, (n, D)
    k: int=10,  # neighbours, the item itself among them
    batch: int=2048, # rows at once
)->Tensor: # ids (n, k); ties go to the smaller id
    """The items of largest cosine.

    Source: official code, `src/models/lirdrec.py`; the order of ties is ours."""
    if not 1 <= k <= len(x):
        raise UserError(f'k={k} neighbours: 1 to {len(x)}, the number of items')
    unit = nn.functional.normalize(x.double(), dim=1)
    cosines = ((part @ unit.T).round(decimals=10) for part in unit.split(batch))
    return torch.cat([top_k(some, k) for some in cosines])

def usual_shares(
    features: dict, # modality → anything
)->dict[str, float]: # modality → its share in the mixture
    "One tenth for `image`, else for the first; the others get equal parts of the rest."
    first = 'image' if 'image' in features else next(iter(features))
    if len(features) == 1: return {first: 1.}
    return {m: .1 if m == first else .9/(len(features) - 1) for m in features}

class ItemGraph(nn.Module):
    """A frozen mixture of nearest-neighbour graphs, one a modality.

    Source: official code, `src/models/lirdrec.py`."""
    def __init__(self,
        features: dict, # modality → (n_i, D)
        shares: dict|None=None, # modality → its share; else `usual_shares`
        k: int=10,      # neighbours of each item
    ):
        super().__init__()
        shares = shares or usual_shares(features)
        whole = abs(sum(shares.values()) - 1) <= 1e-6
        if shares.keys() != features.keys() or not whole or min(shares.values()) < 0:
            raise UserError(f'shares={shares}: one for each of {", ".join(features)}, '
                            'none negative, summing to one')
        n = len(next(iter(features.values())))
        near = [nearest(torch.as_tensor(np.asarray(x)), k) for x in features.values()]
        columns = torch.cat([ids.flatten() for ids in near])
        rows = torch.arange(n).repeat_interleave(k).repeat(len(features))
        values = torch.cat([torch.full((n*k,), shares[m]/k) for m in features])
        s, s_t = csr(rows, columns, values, (n, n)), csr(columns, rows, values, (n, n))
        self.register_buffer('s', s, persistent=False)
        self.register_buffer('s_t', s_t, persistent=False)

    def forward(self, i: Tensor)->Tensor: # rows of the items, (n_i, d)
        "Each row as the mixture of its neighbours' rows."
        return SparseProduct.apply(self.s, self.s_t, i)


# %%
points = {'text': np.array([[1., 0], [.9, .1], [0, 1], [.1, .9]])}
ItemGraph(points, k=2)(torch.tensor([[0.], [1], [2], [3]])).flatten()

# %%
raises(nearest, torch.eye(3), 4)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.graph`, used by [the recommender](21_lirdrec.ipynb) and by [its rivals](24_baselines.ipynb).
