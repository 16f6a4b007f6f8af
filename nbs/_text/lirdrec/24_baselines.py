# %% [markdown]
# # Rivals with item identities, and without training
#
# > Matrix factorization, LightGCN and VBPR by the same loss; popularity and a linear model as bars to clear.

# %% [markdown]
# Rendle et al. 2009 (BPR), He et al. 2020 (LightGCN), He and McAuley 2016 (VBPR), Steck 2019 (EASE); in MMRec's form · 5 minutes · what you need first: [the two graphs](22_graph.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.baselines

# %%
#| export
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TRAIN, Interactions
from papers_nb.lirdrec.graph import Propagation

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.lirdrec.data import TEST, synthetic
from papers_nb.lirdrec.metrics import evaluate


# %% [markdown]
# Every network here has what [the recommender](21_lirdrec.ipynb) has: `start_epoch`, a forward that gives rows of users and items, and a loss for triples. So one training serves all.
#
# ## Free rows
#
# **BPR-MF** gives every user and item a free row. **LightGCN** averages the rows over the graph of training pairs. The penalty is on the rows of the batch before the graph: MMRec adds plain lengths, not squares, divided by the size of the batch.

# %%
#| exports
class FreeRows(nn.Module):
    "BPR-MF without layers, LightGCN with them. Source: Rendle et al. 2009; He et al. 2020; MMRec, `common/loss.py` for the penalty."
    def __init__(self,
        data: Interactions, # whose training pairs are used
        dim: int=64,        # length of a row
        layers: int=0,      # 0: BPR-MF
        reg: float=1e-4,    # weight of the penalty
    ):
        super().__init__()
        self.users, self.items = (nn.Parameter(nn.init.xavier_normal_(torch.empty(n, dim))) for n in (data.users, data.items))
        self.graph, self.reg = Propagation(*data.pairs(TRAIN), data.users, data.items, layers, mean=True), reg

    def start_epoch(self, epoch: int):
        "Nothing changes with the epoch."

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, d), items (n_i, d)
        "Representations of all users and items."
        return self.graph(self.users, self.items)

    def penalised(self)->tuple[Tensor, Tensor]:
        "The rows whose lengths are penalised: those before the graph."
        return self.users, self.items

    def loss(self,
        user: Tensor, item: Tensor, other: Tensor, # users, items they took, items drawn, (B,) each
    )->Tensor: # scalar
        "BPR and the lengths of the rows of the batch."
        u, i = self()
        wins = (u[user]*(i[item] - i[other])).sum(1)
        rows_u, rows_i = self.penalised()
        lengths = rows_u[user].norm() + rows_i[item].norm() + rows_i[other].norm()
        return -logsigmoid(wins).mean() + self.reg*lengths/len(user)


# %% [markdown]
# ## Free rows and features
#
# **VBPR** scores by free rows and, beside them, by a linear map of the features with user rows of its own. All modalities are put side by side.

# %%
#| exports
class VBPR(FreeRows):
    "Free rows, and a linear map of the features beside them. Source: He and McAuley 2016, as in MMRec, `models/vbpr.py`."
    def __init__(self, data: Interactions, dim: int=64, reg: float=1e-4):
        super().__init__(data, dim, 0, reg)
        if not data.features: raise UserError(f'{data.name} has no features, which VBPR needs')
        self.register_buffer('x', torch.from_numpy(np.concatenate(list(data.features.values()), 1)), persistent=False)
        self.users = nn.Parameter(nn.init.xavier_normal_(torch.empty(data.users, 2*dim)))
        self.map = nn.Linear(self.x.shape[1], dim)
        nn.init.xavier_normal_(self.map.weight)

    def penalised(self)->tuple[Tensor, Tensor]:
        "All rows, mapped features included."
        return self()

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, 2d), items (n_i, 2d)
        "Free rows beside mapped features."
        return self.users, torch.cat([self.items, self.map(self.x)], 1)


# %%
torch.manual_seed(0)
data = synthetic()
pairs = torch.arange(100)
{type(net).__name__: (net()[1].shape, round(net.loss(pairs, pairs, pairs + 100).item(), 3)) for net in (FreeRows(data, 16), FreeRows(data, 16, 2), VBPR(data, 16))}


# %% [markdown]
# ## Bars without training
#
# **Popularity** gives everybody the same list. **EASE** is a linear model of items by items with a zero diagonal, solved in closed form: with $G=R^\top R+\lambda I$ and $P=G^{-1}$, $B=I-P/\operatorname{diag}(P)$. On many sets it beats networks.

# %%
#| exports
class Popularity:
    "The number of training pairs of each item. Source: folklore."
    def __init__(self, data: Interactions): self.counts = torch.bincount(torch.from_numpy(data.pairs(TRAIN)[1]), minlength=data.items).double()

    def scores(self, users: Tensor)->Tensor: # (B, n_i)
        "The same scores for every user."
        return self.counts.expand(len(users), -1)

class EASE:
    "Items by items, linear, zero diagonal, closed form. Source: Steck 2019."
    def __init__(self,
        data: Interactions, # whose training pairs are used
        reg: float=100.,    # λ
    ):
        user, item = (torch.from_numpy(a) for a in data.pairs(TRAIN))
        self.r = torch.zeros(data.users, data.items, dtype=torch.float64)
        self.r[user, item] = 1.
        p = torch.linalg.inv(self.r.T @ self.r + reg*torch.eye(data.items, dtype=torch.float64))
        self.b = torch.eye(data.items, dtype=torch.float64) - p/p.diagonal()

    def scores(self, users: Tensor)->Tensor: # (B, n_i)
        "Sums of item weights over what the user took."
        return self.r[users] @ self.b


# %%
bars = {'popularity': Popularity(data), 'EASE': EASE(data)}
{name: {k: round(v, 4) for k, v in evaluate(bar.scores, data, TEST).items() if k in ('recall@20', 'ndcg@20')} for name, bar in bars.items()}

# %%
raises(VBPR, type(data)('bare', data.user, data.item, data.part))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.baselines`; chosen by name in [the training](31_train.ipynb).
