# %% [markdown]
# # Rivals with item identities, and without training
#
# > Matrix factorization, LightGCN, VBPR, FREEDOM and BM3 under one training; popularity and a linear model as bars to clear.

# %% [markdown]
# Rendle et al. 2009 (BPR), He et al. 2020 (LightGCN), He and McAuley 2016 (VBPR), Zhou and Shen 2023 (FREEDOM), Zhou et al. 2023 (BM3), Steck 2019 (EASE); in MMRec's form · 8 minutes · what you need first: [the two graphs](22_graph.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.baselines

# %%
#| export
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TRAIN, Interactions
from papers_nb.lirdrec.displacement import displacement_law
from papers_nb.lirdrec.graph import GraphNet, ItemGraph, bpr, csr, free_rows, tensors
from papers_nb.lirdrec.metrics import places

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.lirdrec.data import TEST, synthetic
from papers_nb.lirdrec.metrics import evaluate


# %% [markdown]
# Every network here is a `GraphNet`, as [the recommender](21_lirdrec.ipynb) is: a forward that gives rows of users and items, and a loss for triples. So one training serves all.
#
# ## Free rows
#
# **BPR-MF** gives every user and item a free row. **LightGCN** averages the rows over the graph of training pairs. The penalty is on the rows of the batch before the graph: the Frobenius norms of the three matrices of rows (users, items taken, items drawn), not squared, divided by the size of the batch, as in MMRec.

# %%
#| exports
class FreeRows(GraphNet):
    """BPR-MF without layers, LightGCN with them.

    Source: Rendle et al. 2009; He et al. 2020; the penalty: MMRec, `common/loss.py`."""
    def __init__(self,
        data: Interactions, # whose training pairs are used
        dim: int=64,        # length of a row
        layers: int=0,      # 0: BPR-MF
        reg: float=1e-4,    # weight of the penalty
        drop: float=0.,     # share of the pairs left out of an epoch's training graph
    ):
        super().__init__(data, layers, mean=True, drop=drop)
        self.users = free_rows(data.users, dim)
        self.items = free_rows(data.items, dim)
        self.reg = reg

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Representations of all users and items."
        return self.graph(self.users, self.items)

    def penalised(self)->tuple[Tensor, Tensor]:
        "The rows whose lengths are penalised: those before the graph."
        return self.users, self.items

    def loss(self,
        user: Tensor,  # (B,)
        item: Tensor,  # which they took, (B,)
        other: Tensor, # items drawn for them, (B,)
        draws: torch.Generator|None=None, # on the CPU, for what a loss draws
    )->Tensor: # scalar
        "BPR and the lengths of the rows of the batch."
        u, i = self()
        rows_u, rows_i = self.penalised()
        lengths = rows_u[user].norm() + rows_i[item].norm() + rows_i[other].norm()
        return bpr(u[user], i[item], i[other]) + self.reg*lengths/len(user)


# %% [markdown]
# ## Free rows and features
#
# **VBPR** scores by free rows and, beside them, by a linear map of the features with user rows of its own. All modalities are put side by side.

# %%
#| exports
class VBPR(FreeRows):
    """Free rows, and a linear map of the features beside them.

    Source: He and McAuley 2016, as in MMRec, `models/vbpr.py`."""
    def __init__(self,
        data: Interactions, # whose training pairs and features are used
        dim: int=64,        # length of a row, of either kind
        reg: float=1e-4,    # weight of the penalty
    ):
        super().__init__(data, dim, 0, reg)
        x = torch.cat(list(tensors(data, 'VBPR').values()), 1)
        self.register_buffer('x', x, persistent=False)
        self.users = free_rows(data.users, 2*dim)
        self.map = _map(self.x.shape[1], dim)

    def penalised(self)->tuple[Tensor, Tensor]:
        "All rows, mapped features included."
        return self()

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, 2d), items (n_i, 2d)
        "Free rows beside mapped features."
        return self.users, torch.cat([self.items, self.map(self.x)], 1)

    def watched(self)->list[Tensor]:
        "Free rows and the map of the features."
        return [self.items, self.map.weight]

def _map(size, dim):
    "A linear map whose weights start Xavier-normal, as in MMRec."
    layer = nn.Linear(size, dim)
    nn.init.xavier_normal_(layer.weight)
    return layer


# %% [markdown]
# Shape of the rows of the items, and the loss of one batch before any training. Losses of different models cannot be compared.

# %%
torch.manual_seed(0)
data = synthetic()
pairs = torch.arange(100)
loss = lambda net: net.loss(pairs, pairs, pairs + 100, torch.Generator().manual_seed(0))
made = {'BPR-MF': FreeRows(data, 16), 'LightGCN': FreeRows(data, 16, 2),
        'VBPR': VBPR(data, 16)}
{name: (net()[1].shape, round(loss(net).item(), 3)) for name, net in made.items()}


# %% [markdown]
# ## A row plus its features
#
# The plainest way to use both is to add them, $q_i=e_i+W^\top x_i$. This is the model of [the exact law of displacement](10_displacement.ipynb), so it measures itself: how far the rows moved, how far the mapped features moved, and by how much the law is missed. It has no penalty, which would see the rows by themselves. A scale multiplies the features, after the root of their mean square length has been made one.

# %%
#| exports
class SumRows(GraphNet):
    """Free rows plus a linear map of the features.

    Source: ours, set-up of the displacement law."""
    def __init__(self,
        data: Interactions, # whose training pairs and features are used
        dim: int=64,        # length of a row
        scale: float=1.,    # root mean square length of a row of features
    ):
        super().__init__(data, 0)
        if not scale > 0:
            raise UserError(f'scale={scale}: above 0')
        x = torch.cat(list(tensors(data, 'SumRows').values()), 1)
        x = x*(scale/x.square().sum(1).mean().sqrt())
        self.register_buffer('x', x, persistent=False)
        self.users = free_rows(data.users, dim)
        self.items = free_rows(data.items, dim)
        self.map = free_rows(x.shape[1], dim)
        for name in ('items', 'map'):
            self.register_buffer(f'{name}_first', getattr(self, name).detach().clone())

    def watched(self)->list[Tensor]:
        "Free rows and the map of the features."
        return [self.items, self.map]

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Sums of both."
        return self.users, self.items + self.x @ self.map

    def loss(self,
        user: Tensor,  # (B,)
        item: Tensor,  # which they took, (B,)
        other: Tensor, # items drawn for them, (B,)
        draws: torch.Generator|None=None, # not needed
    )->Tensor: # scalar
        "BPR and nothing else."
        u, i = self()
        return bpr(u[user], i[item], i[other])

    def seen(self)->dict[str, list[float]]: # ratio of displacements, error of the law
        """How far mapped features have moved, relative to rows; by how much ΔW = XᵀΔE
        is missed, relative to ΔW."""
        states = self.items_first, self.items, self.map_first, self.map, self.x
        E0, E, W0, W, x = (t.detach().double() for t in states)
        ratio = (x @ (W - W0)).norm()/(E - E0).norm().clamp(min=1e-300)
        return {'moved': [ratio.item(), displacement_law(E0, E, W0, W, x)]}


# %%
net = SumRows(data, 16, scale=10.)
net.x.square().sum(1).mean().sqrt().item(), net()[1].shape


# %% [markdown]
# ## A frozen graph beside free rows
#
# **FREEDOM** is LightGCN on a graph of training pairs that is thinned anew in every epoch, plus free rows averaged over the frozen [graph of alike items](22_graph.ipynb); small BPR terms tie the mapped features of each modality to the users. In MMRec the features themselves are trained too, and so they are here.

# %%
#| exports
class FREEDOM(FreeRows):
    """LightGCN on a thinned graph, and a frozen graph of alike items.

    Source: Zhou and Shen 2023; MMRec, `models/freedom.py`."""
    def __init__(self,
        data: Interactions, # whose training pairs and features are used
        dim: int=64,        # length of a row
        layers: int=2,      # of the graph of users and items
        reg: float=1e-3,    # weight of the terms for the modalities
        drop: float=.8,     # share of the pairs left out of an epoch's training graph
        neighbours: int=10, # of the item graph
    ):
        super().__init__(data, dim, layers, reg, drop)
        self.x = nn.ParameterDict(tensors(data, 'FREEDOM'))
        maps = {m: nn.Linear(x.shape[1], dim) for m, x in self.x.items()}
        self.maps = nn.ModuleDict(maps)
        self.alike = ItemGraph(data.features, k=neighbours)

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Rows averaged over the graph, and for items over the alike ones."
        u, i = super().forward()
        return u, i + self.alike(self.items)

    def loss(self,
        user: Tensor,  # (B,)
        item: Tensor,  # which they took, (B,)
        other: Tensor, # items drawn for them, (B,)
        draws: torch.Generator|None=None, # not needed
    )->Tensor: # scalar
        "BPR of the rows, and of the features of each modality."
        u, i = self()
        tied = []
        for m, x in self.x.items():
            tied.append(bpr(u[user], self.maps[m](x[item]), self.maps[m](x[other])))
        return bpr(u[user], i[item], i[other]) + self.reg*sum(tied)


# %% [markdown]
# ## Without negatives
#
# **BM3** asks that a user's row, after one linear map, points where the item's row points, and the other way round, with dropout on the side that is not trained, one mask a row and step; and that the features of each modality point there too. Its penalty takes the Frobenius norms of the whole tables. No item is drawn. The scores pass through the same map. (MMRec starts the free rows of LightGCN, FREEDOM, BM3 and VBPR Xavier-uniform; here all start Xavier-normal, of the same variance.)

# %%
#| exports
class BM3(FreeRows):
    """Rows that predict each other under dropout.

    Source: Zhou et al. 2023 (BM3); MMRec, `models/bm3.py`."""
    needs_others = False
    def __init__(self,
        data: Interactions, # whose training pairs and features are used
        dim: int=64,        # length of a row
        layers: int=1,      # of the graph of users and items
        reg: float=.1,      # weight of the lengths of all rows
        dropout: float=.3,  # of the targets
        pull: float=2.,     # weight of the terms for the modalities
    ):
        super().__init__(data, dim, layers, reg)
        self.x = nn.ParameterDict(tensors(data, 'BM3'))
        maps = {m: _map(x.shape[1], dim) for m, x in self.x.items()}
        self.maps = nn.ModuleDict(maps)
        self.predict = _map(dim, dim)
        self.dropout, self.pull = dropout, pull
        if not 0 <= dropout < 1:
            raise UserError(f'dropout={dropout}: at least 0 and below 1')

    def rows(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Rows before the last map."
        u, i = super().forward()
        return u, i + self.items

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Rows that are scored."
        return tuple(self.predict(r) for r in self.rows())

    def loss(self,
        user: Tensor, # (B,)
        item: Tensor, # which they took, (B,)
        other: Tensor|None=None, # not needed
        draws: torch.Generator|None=None, # on the CPU, of the dropout
    )->Tensor: # scalar
        "How far the rows of a pair are from predicting each other, and lengths."
        u, i = self.rows()
        lengths = (u.norm() + i.norm())/len(i)

        def target(x, table, rows):
            "Rows that are not trained, with one mask for each row of their table."
            odds = torch.rand(len(table), x.shape[1], generator=draws).to(x.device)
            return x.detach()*(odds[rows] >= self.dropout)/(1 - self.dropout)

        def apart(x, aim):
            "One minus the mean cosine of what a row predicts to its target."
            return 1 - cosine_similarity(self.predict(x), aim).mean()

        aim_u, aim_i = target(u[user], u, user), target(i[item], i, item)
        shown = [self.maps[m](x[item]) for m, x in self.x.items()]
        pair = apart(u[user], aim_i) + apart(i[item], aim_u)
        pulled = sum(apart(f, aim_i) + apart(f, target(f, i, item)) for f in shown)
        return pair + self.reg*lengths + self.pull*pulled


# %%
made = {'FREEDOM': FREEDOM(data, 16), 'BM3': BM3(data, 16)}
{name: (net()[1].shape, round(loss(net).item(), 3)) for name, net in made.items()}


# %% [markdown]
# ## Bars without training
#
# **Popularity** gives everybody the same list. **EASE** is a linear model of items by items with a zero diagonal, solved in closed form: with $G=R^\top R+\lambda I$ and $P=G^{-1}$, $B=I-P/\operatorname{diag}(P)$. It needs no training and is a bar that networks do not always clear.

# %%
#| exports
class Popularity:
    "The number of training pairs of each item. Source: folklore."
    def __init__(self,
        data: Interactions, # whose training pairs are counted
    ):
        item = torch.from_numpy(data.pairs(TRAIN)[1])
        self.counts = torch.bincount(item, minlength=data.items).double()

    def scores(self, users: Tensor)->Tensor: # (B, n_i)
        "The same scores for every user."
        return self.counts.expand(len(users), -1)

class EASE:
    "Items by items, linear, zero diagonal, closed form. Source: Steck 2019."
    def __init__(self,
        data: Interactions, # whose training pairs are used
        reg: float=100.,    # λ
    ):
        self.data = data
        user, item = data.by_user
        ones = torch.ones(len(user), dtype=torch.float64)
        r = csr(user, item, ones, (data.users, data.items))
        r_t = csr(item, user, ones, (data.items, data.users))
        eye = torch.eye(data.items, dtype=torch.float64)
        p = torch.linalg.inv((r_t @ r).to_dense() + reg*eye)
        self.b = eye - p/p.diagonal()

    def scores(self, users: Tensor)->Tensor: # (B, n_i)
        "Sums of item weights over what the user took."
        return taken(users, self.data, torch.float64) @ self.b

def taken(
    users: Tensor,      # ids, (B,)
    data: Interactions, # whose training part is asked
    dtype: torch.dtype=torch.float32,
)->Tensor: # (B, n_i), sparse CSR
    "One where a user took an item in training, else zero."
    rows, items = places(users.numpy(), *data.by_user)
    ones = torch.ones(len(rows), dtype=dtype)
    return csr(rows, items, ones, (len(users), data.items))


# %%
bars = {'popularity': Popularity(data), 'EASE': EASE(data)}
judged = {name: evaluate(bar.scores, data, TEST) for name, bar in bars.items()}
shown = 'recall@20', 'ndcg@20'
{name: {k: round(found[k], 4) for k in shown} for name, found in judged.items()}

# %%
raises(VBPR, type(data)('bare', data.user, data.item, data.part))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.baselines`; chosen by name in [the training](31_train.ipynb).
