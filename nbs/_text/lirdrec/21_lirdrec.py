# %% [markdown]
# # A recommender without item identities
#
# > Items are what their pictures and texts say, seen three ways; users decide how much each way counts.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec); official code `src/models/lirdrec.py` · 9 minutes · what you need first: [the two graphs](22_graph.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.lirdrec

# %%
#| export
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from papers_nb.errors import UserError
from papers_nb.lirdrec.copying import next_weight
from papers_nb.lirdrec.data import Interactions
from papers_nb.lirdrec.graph import GraphNet, ItemGraph, bpr, free_rows, tensors
from papers_nb.lirdrec.transform import transform

# %%
#| hide
import math
from papers_nb.core.checks import raises
from papers_nb.lirdrec.data import TRAIN, synthetic
from papers_nb.lirdrec.sampling import Negatives

# %% [markdown]
# Most multimodal recommenders give every item a free row of its own, an identity, and add what the features say. LIRDRec drops the identities. What an item is follows from its features alone, so a new item has a representation at once. Users keep free rows, three each.
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $X_m$ | `features` | $(n_i,D_m)$ | frozen features of modality $m$ |
# | $F_m$ | `encoders` | $(n_i,d)$ | what the encoder makes of them |
# | $P_m$ | `tables` | $(n_u,d)$ | free rows of the users |
# | $\theta$ | `memory` | $(n_u,M)$ | remembered weights of the branches, $M$ of them |
# | $\omega_e$ | `mix` | | how much the network decides in epoch $e$ against the memory |
# | $a_u$ | | $(n_u,M)$ | weight of each branch for user $u$ |
#
# ## The branches
#
# Each modality has an encoder, two linear layers with a leaky ReLU between. One more branch sees all modalities side by side, each turned by a discrete cosine transform. [The transform is a rotation](12_transform.ipynb).

# %% [markdown]
# ## Weights of the branches
#
# Three tiny networks look at a user's rows after propagation and propose weights; a memory of weights stands beside them. What counts is a mixture of the two inside a softmax,
#
# $$a_u=\operatorname{softmax}\bigl(\omega_ef_u+(1-\omega_e)\theta_u\bigr),$$
#
# and at the start of every epoch the last weights are copied into the memory, while $\omega$ falls: $\omega_e=\beta^e\omega_{e-1}/(\beta^e\omega_{e-1}+1-\omega_{e-1})$. That is *progressive weight copying*; [where it ends](13_copying.ipynb) is a page of its own. The code copies the weights into the place of logits; `logit` copies logits, `convex` mixes weights, `network` has no memory, `uniform` no weights at all.

# %%
#| exports
COPIES = ('code', 'logit', 'convex', 'network', 'uniform')

class Copying(nn.Module):
    """Weights of the branches for each user, with a memory.

    Source: official code, `src/models/lirdrec.py` (code); the other kinds are ours."""
    def __init__(self,
        users: int,      # n_u
        branches: int,   # M
        dim: int,        # d, of each branch's rows, at least 4
        kind: str='code',# one of COPIES
        start: float=.9, # ω_0
        base: float=.9,  # β
    ):
        super().__init__()
        if kind not in COPIES:
            raise UserError(f'pwc={kind!r}: one of {", ".join(COPIES)}')
        if dim < 4:
            raise UserError(
                f'dim={dim}: at least 4, the networks are a quarter as wide')
        if not 0 < start < 1 or not 0 < base < 1:
            raise UserError(
                f'decay_weight={start}, decay_base={base}: both between 0 and 1')
        self.kind, self.base = kind, base
        small = lambda: (nn.Linear(dim, dim//4), nn.LeakyReLU(), nn.Linear(dim//4, 1))
        self.nets = nn.ModuleList(nn.Sequential(*small()) for _ in range(branches))
        self.memory = nn.Parameter(torch.full((users, branches), 1/branches))
        mix = torch.tensor(1. if kind == 'network' else start, dtype=torch.float64)
        self.register_buffer('mix', mix)
        self.register_buffer('last', self.memory.detach().clone())

    def start_epoch(self, epoch: int):
        "Copy what was used last and lower ω, before the first batch of epoch 1, 2, …"
        self.memory.data.copy_(self.last)
        if self.kind != 'network':
            self.mix.copy_(next_weight(self.mix, epoch, self.base))

    def forward(self,
        rows: list[Tensor], # of each branch, (n_u, d)
    )->Tensor: # (n_u, M)
        "Weights that sum to one over the branches."
        if self.kind == 'uniform': return torch.full_like(self.memory, 1/len(rows))
        proposed = torch.cat([net(u) for net, u in zip(self.nets, rows)], 1)
        w = self.mix.to(self.memory.dtype)
        if self.kind == 'convex':
            shares = self.memory.clamp(min=1e-6)
            memory = (1 - w)*shares/shares.sum(1, keepdim=True)
            copied = weights = w*proposed.softmax(1) + memory
        else:
            logits = w*proposed + (1 - w)*self.memory
            weights = logits.softmax(1)
            copied = logits if self.kind == 'logit' else weights
        if self.training: self.last.copy_(copied.detach())
        return weights

    def used(self)->Tensor: # (n_u, M)
        "The weights of the last training batch."
        return self.last.softmax(1) if self.kind == 'logit' else self.last


# %% [markdown]
# How ω falls, from 0.9 with base 0.9:

# %%
copying = Copying(users=2, branches=3, dim=8)
found = []
for epoch in range(1, 9):
    copying.start_epoch(epoch)
    found.append(round(copying.mix.item(), 4))
found

# %% [markdown]
# ## The whole
#
# $$
# \begin{aligned}
# H&=\textstyle\sum_{l\le L}\hat A^l\,[\nu(P)\,;\,\nu(F)],\\
# \bar u&=[a_{u1}U_1\,|\,a_{u2}U_2\,|\dots],\\
# \bar I&=I+S\,I,\qquad s_{ui}=\bar u^\top\bar\imath,
# \end{aligned}
# $$
#
# where $\nu$ scales every row to length one, $U_m$ and $I$ are the rows of users and items in $H$, and $S$ is the graph of alike items. The loss is BPR, a logistic loss on the difference between an item taken and one drawn at random, plus the mean square of all representations.

# %%
#| exports
ITEMS = ('features', 'ids', 'both')

def principal(
    x: Tensor, # (n, D)
    k: int,    # 1 to D
)->Tensor: # (n, k), in x's type
    """Coordinates along the k directions of largest variance, by the eigenvectors of
    the covariance.

    Source: ours; the paper has no such option."""
    most = min(x.shape)
    if not 1 <= k <= most:
        raise UserError(
            f'pca={k}: 1 to {most}, what features of shape {tuple(x.shape)} can fill')
    centred = x.double() - x.double().mean(0)
    directions = torch.linalg.eigh(centred.T @ centred)[1].flip(1)
    return (centred @ directions[:, :k]).to(x.dtype)

class LIRDRecNet(GraphNet):
    """Items from features only, users from three free tables.

    Source: Zhou et al. 2025; official code, `src/models/lirdrec.py`."""
    def __init__(self,
        data: Interactions, # whose training pairs and features are used
        dim: int=64,        # d
        hidden: int=256,    # of the encoders
        layers: int=2,      # L, of the graph of users and items
        shares: dict|None=None, # as `ItemGraph` takes them
        neighbours: int=10, # of the item graph; 0: none
        pwc: str='code',    # one of COPIES
        decay_weight: float=.9, # ω_0
        decay_base: float=.9,   # β
        dct: str='1d',      # one of TRANSFORMS, for the shared branch
        reg: float=1e-4,    # λ
        items: str='features', # one of ITEMS: what makes a row; the paper uses no ids
        drop: float=0.,     # ρ, share of the pairs left out of an epoch's graph
        pca: int=0,         # directions of each modality that are encoded; 0: all
    ):
        super().__init__(data, layers, drop=drop)
        if items not in ITEMS:
            raise UserError(f'items={items!r}: one of {", ".join(ITEMS)}')
        x = tensors(data, 'LIRDRec')
        if pca: x = {m: principal(x[m], min(pca, *x[m].shape)) for m in x}
        x['shared'] = torch.cat([transform(x[m], dct) for m in x], 1)
        for m in x: self.register_buffer(f'x_{m}', x[m], persistent=False)
        self.branches, self.reg = list(x), reg
        encoded = {m: x[m].shape[1] for m in x if items != 'ids'}
        encoders = {m: _encoder(size, hidden, dim) for m, size in encoded.items()}
        tables = {m: free_rows(data.users, dim) for m in x}
        ids = {m: free_rows(data.items, dim) for m in x if items != 'features'}
        self.encoders = nn.ModuleDict(encoders)
        self.tables = nn.ParameterDict(tables)
        self.ids = nn.ParameterDict(ids)
        graph = ItemGraph(data.features, shares, neighbours) if neighbours else None
        self.alike = graph
        self.copying = Copying(
            data.users, len(x), dim, pwc, start=decay_weight, base=decay_base)

    def start_epoch(self, epoch: int):
        "Once before the first batch of every epoch, counted from 1."
        self.copying.start_epoch(epoch)

    def seen(self)->dict[str, list[float]]: # mix: ω; weights, spread: of each branch
        "What a training notes after an epoch; mean and standard deviation over users."
        used, mix = self.copying.used(), self.copying.mix.item()
        return {'mix': [mix], 'weights': used.mean(0).tolist(),
                'spread': used.std(0).tolist()}

    def _made(self, m):
        "Rows of the items in a branch, (n_i, d)."
        made = [self.encoders[m](getattr(self, f'x_{m}'))] if m in self.encoders else []
        return sum(made + ([self.ids[m]] if m in self.ids else []))

    def _beside(self, rows):
        "Rows of all branches, scaled to length one, side by side, (n, M d)."
        return torch.cat([normalize(rows[m], dim=1) for m in self.branches], 1)

    def forward(self)->tuple[Tensor, Tensor]: # users (n_u, M d), items (n_i, M d)
        "Representations of all users and items; the score is their product."
        made = {m: self._made(m) for m in self.branches}
        u, i = self.graph(self._beside(self.tables), self._beside(made))
        rows = u.chunk(len(self.branches), 1)
        weights = self.copying(rows)
        u = torch.cat([w*r for w, r in zip(weights.split(1, 1), rows)], 1)
        return u, i + self.alike(i) if self.alike is not None else i

    def loss(self,
        user: Tensor,  # (B,)
        item: Tensor,  # which they took, (B,)
        other: Tensor, # items drawn for them, (B,)
        draws: torch.Generator|None=None, # not needed
    )->Tensor: # scalar
        "BPR and the mean square of all representations."
        u, i = self()
        cost = bpr(u[user], i[item], i[other])
        return cost + self.reg*(u.square().mean() + i.square().mean())

def _encoder(size, hidden, dim):
    "Two linear layers, without a last bias."
    first, last = nn.Linear(size, hidden), nn.Linear(hidden, dim, bias=False)
    return nn.Sequential(first, nn.LeakyReLU(), last)


# %% [markdown]
# On the made-up set: 176 numbers an item become 48, in three branches of 16.

# %%
torch.manual_seed(0)
made = synthetic()
net = LIRDRecNet(made, dim=16, hidden=32)
net.start_epoch(1)
u, i = net()
u.shape, i.shape, sum(p.numel() for p in net.parameters())

# %% [markdown]
# Before training, a triple drawn at random costs about ln 2, since nothing is known. A training pair against an item that was not taken costs less: [the graph alone](14_propagation.ipynb) already prefers what many took.

# %%
torch.manual_seed(0)
taken = [torch.from_numpy(a) for a in made.pairs(TRAIN)]
others = Negatives(*taken).draw(taken[0], torch.Generator().manual_seed(0))
anybody = torch.randint(made.users, (10_000,)), *torch.randint(made.items, (2, 10_000))
math.log(2), net.loss(*anybody).item(), net.loss(*taken, others).item()


# %% [markdown]
# At the size of the Amazon set *Baby*, 19,445 users and 7,050 items with 4,096 and 384 numbers, the parameters are 6,138,626:

# %%
def parameters(users, sizes, dim=64, hidden=256):
    "Tables, memory, encoders and the small networks, counted from their shapes."
    branches = [*sizes, sum(sizes)]
    encoders = sum(d*hidden + hidden + hidden*dim for d in branches)
    small = len(branches)*(dim*(dim//4) + dim//4 + dim//4 + 1)
    return len(branches)*users*dim + len(branches)*users + encoders + small

parameters(19445, (4096, 384)), parameters(made.users, (128, 48), 16, 32)

# %%
raises(Copying, 2, 3, 8, 'weights')

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.lirdrec`; trained by [the training](31_train.ipynb).
