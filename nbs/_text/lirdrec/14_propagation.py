# %% [markdown]
# # Popularity enters through the graph, and the length of a start is a learning rate
#
# > What summing over layers amplifies, what averaging over alike items does, how far a first step turns a row, and where the arithmetic goes.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec): propagation, item graph and row lengths as in the official code, `src/models/lirdrec.py`; statements and proofs are ours · 8 minutes · what you need first: eigenvectors, [the two graphs](22_graph.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.propagation

# %%
#| export
import numpy as np
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from functools import cache
from hypothesis import strategies as st
from IPython.display import Markdown
from scipy.stats import spearmanr
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, scales, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
from papers_nb.lirdrec.data import TRAIN, Interactions, synthetic
from papers_nb.lirdrec.graph import Propagation, nearest
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import ranked
from papers_nb.lirdrec.sampling import Negatives
theme()

# %% [markdown]
# ## The question
#
# LIRDRec scales every row to length one before anything else, users and items alike. So at the start no item is larger than another, however popular. Then rows flow over the graph of who took what, and over the graph of alike items. What do these two do to a row? And what does it mean for learning that only the direction of a free row counts?
#
# ## Three users, two items
#
# All three users took item 0, the last one took item 1 too. Every row starts as the single number 1:

# %%
tiny = Propagation([0, 1, 2, 2], [0, 0, 0, 1], users=3, items=2, layers=2)
u, i = tiny(torch.ones(3, 1), torch.ones(2, 1))
u.flatten(), i.flatten()

# %% [markdown]
# The popular item has the longest row. Had every row started as the root of its number of pairs, $\sqrt3$ and 1 for the items, one layer would have changed nothing, and the sum over three layers, zero included, is three times the start:

# %%
roots = [torch.tensor(d)[:, None]**.5 for d in ([1., 1., 2.], [3., 1.])]
(tiny(*roots)[0]/roots[0]).flatten(), (tiny(*roots)[1]/roots[1]).flatten()


# %% [markdown]
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $A$ | | users and items as one list of nodes; 1 where a user took an item, and mirrored, else 0 |
# | $\hat A=\Delta^{-1/2}A\Delta^{-1/2}$ | | the same, scaled by the degrees $\Delta$: numbers of pairs of each node |
# | $H^{(0)}$, $L$ | `layers` | rows at the start; layers, $H=\sum_{l\le L}\hat A^lH^{(0)}$ |
# | $\lambda$ | `eigenvalue` | an eigenvalue of $\hat A$ |
# | $S$ | | graph of alike items of one modality, $1/k$ from each item to each of its $k$ neighbours, itself among them |
# | $\nu(p)=p/\lVert p\rVert$ | | a row at length one |
# | $n_u,n_i,N$ | `users`, `items`, `pairs` | users, items, training pairs |
# | $d,w$ | `dim`, `hidden` | numbers in a row; inside an encoder, the small network that makes rows of features |
# | $M$, $D_b$ | `sizes` | branches, one for each modality and one that sees all side by side; features that branch $b$ sees |
# | $\eta$ | `lr` | learning rate |
#
# The *made-up set* below is drawn by `synthetic()`, see [the data](20_data.ipynb).
#
# ## Statement 1: what the sum over layers amplifies
#
# All eigenvalues of $\hat A$ lie in $[-1,1]$. The part of $H^{(0)}$ along an eigenvector with eigenvalue $\lambda$ is multiplied by
#
# $$\textcolor{#0072b2}{g_L(\lambda)=\sum_{l=0}^L\lambda^l},$$ {#eq-gain}
#
# which is $L+1$ at $\lambda=1$, and at $\lambda=-1$ it is 1 for even $L$ and 0 for odd $L$. One eigenvector for $\lambda=1$ is $\sqrt{\deg}$, the root of the number of pairs of every user and item.
#
# *Why.* Let everybody have a pair. For any $x$, $x^\top(I\pm\hat A)x=\sum(x_a/\sqrt{\deg_a}\pm x_b/\sqrt{\deg_b})^2\ge0$, summed over all pairs $(a,b)$ of the graph: so $|\lambda|\le1$. (Who has none has a row and column of zeros, and the eigenvalue 0.) And $(\hat A\sqrt{\deg})_a=\sum_b\sqrt{\deg_b}/\sqrt{\deg_a\deg_b}=\deg_a/\sqrt{\deg_a}$, the sum over the neighbours $b$ of $a$.
#
# So **popularity enters here**: the direction in which popular items are large is the one that is amplified most (in a graph of several separate parts, along with the contrasts between these). How much it enters depends on how much of the start lies along it. Rows that an encoder makes of features have much in common, so that neighbours' rows add up, and popular items, which have many, become long; free rows of a random start have nothing in common and cancel. In a graph of users and items every $\lambda$ has its mirror $-\lambda$, with the sign of the items turned: contrasts between what users share and what their items share. An odd number of layers removes the strongest of them.

# %%
#| exports
def gain(
    eigenvalue, # λ, in [-1, 1], a number or an array
    layers: int, # L, at least 0
): # like eigenvalue
    """By how much the sum over 0 to L layers multiplies a part of the rows.

    Source: ours, for the propagation of the official code, `src/models/lirdrec.py`."""
    if layers < 0:
        raise UserError(f'layers={layers}: at least 0')
    x = np.asarray(eigenvalue, dtype=float)
    if not (np.abs(x) <= 1 + 1e-6).all():
        raise UserError(f'eigenvalue={eigenvalue}: from -1 to 1')
    return np.polyval(np.ones(layers + 1), x)


# %%
[gain(np.array([1., .5, 0., -1.]), L).tolist() for L in (1, 2, 3)]

# %%
raises(gain, 2., 1)

# %% [markdown]
# Spearman's rank correlation of the length of an item's row with its number of pairs, on the made-up set: untrained, one seed, without the graph of alike items. With one layer an item hears users alone, whose rows are random:

# %%
#| code-fold: true
made = synthetic()
pairs_of = np.bincount(made.pairs(TRAIN)[1], minlength=made.items)

def lengths(items, layers):
    "Rank correlation of row length and popularity in an untrained network."
    torch.manual_seed(0)
    net = LIRDRecNet(made, layers=layers, neighbours=0, items=items).eval()
    return spearmanr(net()[1].norm(dim=1).detach(), pairs_of).statistic

lines = [(name, *(f'{lengths(items, L):.2f}' for L in (1, 2, 3)))
         for name, items in (('features', 'features'), ('free rows', 'ids'))]
Markdown(table(lines, ('rows made of', '1 layer', '2 layers', '3 layers')))


# %% [markdown]
# ## Statement 2: alike items are averaged, and hubs are heard by many
#
# Every row of $S$ sums to one, so $S$ makes of a row the mean of its neighbours, and every number stays between the smallest and the largest there were. (The model adds that mean to the row, and mixes the means of its modalities.) Its columns do not sum to one. Item $j$ is heard with the total weight
#
# $$c_j=\frac1k\,\bigl|\{i:\,j\in\mathcal N_k(i)\}\bigr|,$$ {#eq-heard}
#
# one on average, but as much as $n/k$ for an item among the $k$ nearest of all others ($k\ge2$; with $k=1$ everybody hears only itself).
#
# *Why.* Each of the $n$ items gives away exactly $k$ weights of $1/k$. In few dimensions only some items can lie so close to one; with as many features as items one can be the nearest neighbour of all.

# %%
#| exports
def heard(
    neighbours: Tensor, # ids of the neighbours of each item, itself among them, (n, k)
)->Tensor: # float64 (n,)
    """With how much weight each item enters the means of all items.

    Source: ours, for the item graph of the official code, `src/models/lirdrec.py`."""
    n, k = neighbours.shape
    return torch.bincount(neighbours.flatten(), minlength=n).double()/k


# %% [markdown]
# One item in the middle of six others, with four neighbours each, itself among them:

# %%
around = [3., 0, 1], [0, 3, 1], [1, 3, 0], [3, 1, 0], [0, 1, 3], [1, 0, 3]
points = torch.tensor([[1., 1, 1], *around])
heard(nearest(points, 4)).tolist()

# %% [markdown]
# On the made-up set, the texts' graph: the least and the most that an item is heard.

# %%
weights = heard(nearest(torch.from_numpy(made.features['text'])))
weights.min().item(), weights.max().item()


# %% [markdown]
# ## Statement 3: the length of a start is a learning rate
#
# Only the direction of a free row $p$ counts. If $g$ is the gradient by $\nu(p)$, then the gradient by $p$ is
#
# $$\nabla_p=\frac1{\lVert p\rVert}\Bigl(I-\frac{pp^\top}{\lVert p\rVert^2}\Bigr)g.$$ {#eq-turn}
#
# *Why.* $\nu$ does not change along $p$, and across it changes by $1/\lVert p\rVert$ a unit.
#
# It is perpendicular to $p$, so a small step of plain descent turns the row, and lengthens it by second order only. Adam's first step moves each number by about the learning rate, whatever the size of its gradient as long as it is far above Adam's $\epsilon$: a step of length about $\eta\sqrt d$, for large $d$ nearly perpendicular still (for $d=1$ there is nothing to turn), which turns the row by about $\eta\sqrt d/\lVert p\rVert$. Rows start as Xavier-normal in a table of $n_u$ rows, with variance $2/(n_u+d)$, so of length about $\sqrt{2d/(n_u+d)}$. That step turns them by about
#
# $$\textcolor{#b35900}{\eta\sqrt{\frac{n_u+d}2}}\quad\text{radians.}$$ {#eq-angle}
#
# **The more users a set has, the faster they begin to turn**, on average, at the same learning rate. (Only the first step is derived and checked.) Whoever changes the size of the initial weights changes the learning rate, and so does whoever tries the same setting on a larger set.

# %%
#| exports
def through_length(
    p: Tensor, # rows, (..., d), none of them zero
    g: Tensor, # gradient by the rows at length one, (..., d)
)->Tensor: # gradient by p, (..., d)
    "Gradient through the scaling of rows to length one. Source: ours."
    length = p.norm(dim=-1, keepdim=True)
    if not length.all():
        raise UserError('p has a row of zeros, which has no direction')
    unit = p/length
    return (g - (g*unit).sum(-1, keepdim=True)*unit)/length

def first_turn(
    users: int,  # rows of the table, n_u
    dim: int=64, # d
    lr: float=1e-4, # η, of Adam
)->float: # radians
    """How far Adam's first step turns a Xavier-normal row, for steps that are small.

    Source: ours."""
    if not (users >= 1 and dim >= 1 and lr > 0):
        raise UserError(
            f'users={users}, dim={dim}, lr={lr}: at least 1, at least 1, above 0')
    return lr*((users + dim)/2)**.5


# %%
p, g = torch.tensor([3., 4.]), torch.tensor([1., 0.])
through_length(p, g), (through_length(p, g) @ p).item()

# %% [markdown]
# For the sets of the paper, at the official learning rate 0.0001 with 64 numbers a row and batches of 2,048 pairs. The last column is $\arctan(T\cdot\text{first turn})$, what $T$ steps in one direction across the start would make:

# %%
#| code-fold: true
SIZES = { # users, items, training pairs, numbers of features
    'Baby': (19_445, 7_050, 118_551, (4096, 384)),
    'Sports': (35_598, 18_357, 218_409, (4096, 384)),
    'Clothing': (39_387, 23_033, 197_338, (4096, 384)),
    'MicroLens': (98_129, 17_228, 500_064, (1024, 1024)),
    'Electronics': (192_403, 63_001, 1_254_441, (4096, 384)),
}

def turn_line(n):
    """One line: T equal steps across a row turn it by arctan(T times the first turn), at
    most a right angle."""
    users, _, pairs, _ = SIZES[n]
    steps, first = -(-pairs//2048), first_turn(users)
    turn = np.degrees(np.arctan(steps*first))
    return n, f'{users:,}', f'{first:.4f}', steps, f'{turn:.0f}°'

head = 'set', 'users', 'first turn [rad]', 'steps an epoch', 'turn in an epoch, if all steps agreed'
Markdown(table(map(turn_line, SIZES), head))


# %% [markdown]
# ## Statement 4: where the arithmetic of a forward goes
#
# Every step encodes **all** items, since all take part in the graph. Forward, the encoders cost
#
# $$2n_iw\sum_b(D_b+d)$$ {#eq-cost}
#
# floating-point operations, summed over the $M$ branches $b$, with $w$ hidden numbers; the shared branch sees all features once more. The graph of training pairs costs $4NMdL$, the graph of alike items at most $2\,n_ik\,(M-1)\,Md$, and the networks that weigh the branches $2\,n_uM(d+1)\lfloor d/4\rfloor$.
#
# *Why.* A product of an $(a,b)$ and a $(b,c)$ matrix takes $abc$ multiplications and as many additions; a sparse one takes one of each for every entry and column. A layer of the graph is two products. Neighbours that modalities share are stored once, hence *at most*. What is done number by number, such as adding a bias, is not counted.

# %%
#| exports
def step_cost(
    users: int,       # n_u
    items: int,       # n_i
    sizes: tuple[int, ...], # numbers of features of each modality
    pairs: int,       # of the training part
    dim: int=64,      # d, at least 4
    hidden: int=256,  # w
    layers: int=2,    # L
    neighbours: int=10, # k
)->tuple[int, int, int, int]: # encoders, both graphs, networks that weigh
    """Floating-point operations of the products in a forward of LIRDRec: encoders,
    graph of pairs, graph of alike items (at most), networks that weigh.

    Raises `UserError` below a `dim` of 4, where the networks would have no width.

    Source: ours, for the official code, `src/models/lirdrec.py`."""
    if not dim >= 4:
        raise UserError(f'dim={dim}: at least 4, the networks are a quarter as wide')
    branches = [*sizes, sum(sizes)]
    width = len(branches)*dim
    encoders = 2*items*hidden*sum(d + dim for d in branches)
    graph_of_pairs = 4*pairs*width*layers
    graph_of_alike = 2*items*neighbours*len(sizes)*width
    networks = 2*users*len(branches)*(dim + 1)*(dim//4)
    return encoders, graph_of_pairs, graph_of_alike, networks


# %%
#| code-fold: true
def cost_line(n):
    "One line of the table."
    users, items, pairs, sizes = SIZES[n]
    cost = step_cost(users, items, sizes, pairs)
    return n, *(f'{c/1e9:.2f}' for c in cost), f'{100*cost[0]/sum(cost):.1f} %'

parts = 'encoders', 'graph of pairs', 'graph of alike items', 'networks that weigh'
head = 'set', *(f'{part} [GFLOP]' for part in parts), 'part of the encoders'
Markdown(table(map(cost_line, SIZES), head))

# %% [markdown]
# So in these sets 92 to 97 % of the counted operations are products of fixed features with weights that change. Operations are not time: sparse products often wait for memory. [The benchmark](50_bench.ipynb) measures time.
#
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).

# %%
rng = np.random.default_rng(0)
R = (rng.random((7, 5)) < .5).astype(float)
R[0], R[:, 0] = 1., 1.
A = np.block([[np.zeros((7, 7)), R], [R.T, np.zeros((5, 5))]])
scaled = A/np.sqrt(np.outer(A.sum(1), A.sum(1)))
values, vectors = np.linalg.eigh(scaled)

def by_powers(layers):
    "What each eigenvector is multiplied by, from powers of the whole matrix."
    summed = sum(np.linalg.matrix_power(scaled, power) for power in range(layers + 1))
    return np.einsum('ik,ij,jk->k', vectors, summed, vectors)

def of_matrices(eigenvalue, layers):
    "What a matrix with these eigenvalues does to its eigenvectors, by its powers."
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal([len(eigenvalue)]*2))[0]
    matrix, powers = Q @ np.diag(eigenvalue) @ Q.T, [np.eye(len(eigenvalue))]
    for _ in range(layers): powers.append(powers[-1] @ matrix)
    return np.einsum('ik,ij,jk->k', Q, sum(powers), Q)

def by_layers(layers):
    "The same from the network's own propagation, in float32."
    u, i = torch.from_numpy(vectors).float().split([7, 5])
    u, i = Propagation(*np.nonzero(R), 7, 5, layers)(u, i)
    return (np.r_[u.numpy(), i.numpy()]*vectors).sum(0)

values.round(3) + 0, by_powers(3).round(3) + 0  # + 0 takes the sign from a zero

# %%
#| code-fold: true
#| code-summary: "The claim about the gain, its routes and its edits"
clipped = np.clip(values, -1, 1)
claim('lirdrec.gain',
    'The sum over 0 to $L$ layers multiplies an eigenvector of $\\hat A$ by $\\sum_{l\\le L}\\lambda^l$.',
    of=gain, source='ours, for the propagation of the official code',
    checks=[Check('brute force', lambda f: np.r_[f(clipped, 2), f(clipped, 3)],
                  lambda: np.r_[by_powers(2), by_powers(3)], 1e-12,
                  'float64, powers of a 12 by 12 matrix'),
            Check('trusted implementation', lambda f: f(clipped, 3), lambda: by_layers(3), 1e-4,
                  'the network, float32'),
            Check('limit', lambda f: [f(1., 4), f(-1., 4), f(-1., 3), f(0., 2)],
                  lambda: [5., 1., 0., 1.], 1e-12, 'the ends and the middle')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(layers=wholes(0, size),
                    eigenvalue=st.lists(reals(-1, 1 + 1e-6, 0), min_size=1, max_size=4).map(np.array))),
                of_matrices, 'brute force', 1e-11, 'float64, powers of matrices with these eigenvalues',
                sizes=(0, 1, 4, 12), most=60)],
    refuses=[lambda f: f(0., -1), *[lambda f, x=x: f(x, 1) for x in ([0., 1 + 1.5e-6], -1.1, np.nan)]],
    mutants=[('layers + 1', 'layers'), ('np.ones(layers + 1)', 'np.arange(layers + 1)'), (', x)', ', -x)')])

# %% [markdown]
# That $\sqrt{\deg}$ has the eigenvalue 1, that no eigenvalue is beyond $\pm1$, and that each has its mirror:

# %%
roots = np.sqrt(A.sum(1))
assert np.abs(scaled @ roots - roots).max() < 1e-12
assert np.abs(values).max() < 1 + 1e-12
assert np.allclose(np.sort(values), np.sort(-values))


# %%
def by_rows(ids, n):
    "Column sums of the whole matrix."
    return whole(ids, n).sum(0)

def some_ids(drawn):
    "Neighbours of n items, up to k each, all different; at times the same for all."
    n, k, seed = drawn
    r = np.random.default_rng(seed)
    rows = r.permuted(np.tile(np.arange(n), (n, 1)), axis=1)[:, :k]
    same = np.tile(rows[0], (n, 1))
    return dict(neighbours=torch.from_numpy(rows if seed % 5 else same))

def whole(ids, n):
    "The matrix S, filled place by place."
    S = np.zeros((n, n))
    for i, row in enumerate(ids):
        for j in row: S[i, j] += 1/len(row)
    return S

NEAR = nearest(torch.from_numpy(np.random.default_rng(1).standard_normal((30, 4))), 5)
rows = np.random.default_rng(2).standard_normal((30, 3))
S = whole(NEAR.tolist(), 30)
means = S @ rows
assert np.allclose(S.sum(1), 1)
assert (means.min(0) >= rows.min(0)).all() and (means.max(0) <= rows.max(0)).all()
by_rows(NEAR.tolist(), 30)[:4]

# %%
#| code-fold: true
#| code-summary: "The claim about being heard, its routes and its edits"
cosines = lambda x: (x @ x.T)/np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1))
def by_cosines(k=5):
    "How many items have item j among the k of largest cosine, numpy."
    c = cosines(np.random.default_rng(1).standard_normal((30, 4)))
    return [sum(j in np.argsort(-row)[:k] for row in c)/k for j in range(30)]

alone = torch.zeros(8, 1, dtype=torch.int64)
claim('lirdrec.heard',
    'An item enters the means of all items with the weight '
    '$c_j=\\frac1k|\\{i:j\\in\\mathcal N_k(i)\\}|$.',
    of=heard, source='ours, for the item graph of the official code',
    checks=[Check('brute force', lambda f: f(NEAR), lambda: by_rows(NEAR.tolist(), 30), 1e-12, 'float64'),
            Check('trusted implementation', lambda f: f(NEAR), by_cosines, 1e-12,
                  'float64, neighbours by numpy'),
            Check('limit', lambda f: [f(alone)[0].item(), f(NEAR).sum().item()],
                  lambda: [8., 30.], 1e-12, 'all hear one; one on average')],
    hunts=[Hunt(lambda size: st.tuples(wholes(1, size), wholes(1, 5), wholes(0, 999)).map(some_ids),
                lambda neighbours: by_rows(neighbours.tolist(), len(neighbours)), 'brute force', 1e-12,
                'the matrix, filled place by place; float64')],
    mutants=[('.double()/k', '.double()'), ('/k', '/n'),
             ('neighbours.flatten()', 'neighbours[:, 1:].flatten()')])

# %%
numbers = lambda seed: np.random.default_rng(seed).standard_normal((4, 6))
P, G = (torch.from_numpy(numbers(seed)) for seed in (2, 3))

def gradients(size):
    "Rows that are not zero, alone or several, and gradients."
    kinds = 'generic', 'near', 'whole', 'tiny'
    sizes = st.lists(wholes(1, 3), max_size=2).flatmap(
        lambda some: wholes(1, size).map(lambda d: (*some, d)))
    return sizes.flatmap(lambda shape: st.fixed_dictionaries(dict(
        p=tensors(*shape, kinds=kinds).filter(lambda p: p.norm(dim=-1).all()),
        g=tensors(*shape, kinds=('generic', 'zero', 'lone', 'near', 'whole')))))

def through_torch(p, g):
    "The gradient through torch's normalize, for any rows."
    return torch.autograd.functional.vjp(lambda p: normalize(p, dim=-1), p, g)[1]

def by_autograd():
    "The gradient through torch's normalize."
    p = P.clone().requires_grad_()
    return torch.autograd.grad((normalize(p, dim=1)*G).sum(), p)[0]

def by_steps(h=1e-5):
    "Central differences in numpy."
    p, g = P.numpy(), G.numpy()
    value = lambda p: ((p/np.linalg.norm(p, axis=1, keepdims=True))*g).sum()
    slope = lambda e: (value(p + h*e) - value(p - h*e))/(2*h)
    return np.array([slope(e.reshape(4, 6)) for e in np.eye(24)]).reshape(4, 6)

by_autograd()[0], by_steps()[0]

# %%
#| code-fold: true
#| code-summary: "The claim about the gradient of a length, its routes and its edits"
claim('lirdrec.through_length',
    'Through a row at length one the gradient is $\\frac1{\\|p\\|}(I-\\hat p\\hat p^\\top)g$.',
    of=through_length, source='ours',
    checks=[Check('trusted implementation', lambda f: f(P, G), by_autograd, 1e-13, 'float64, torch autograd'),
            Check('finite differences', lambda f: f(P, G), by_steps, 1e-8,
                  'central differences with step 1e-5'),
            Check('limit', lambda f: f(P, P), lambda: torch.zeros(4, 6), 1e-13,
                  'along the row nothing changes')],
    hunts=[Hunt(gradients, through_torch, 'trusted implementation', 1e-9,
                'torch autograd; float64, slopes up to 1e5')],
    refuses=[lambda f: f(torch.eye(2)[:, :1], torch.ones(2, 1))],
    mutants=[(')/length', ')'), ('g - (g*unit)', 'g + (g*unit)'), ('*unit)/length', '*p)/length')])


# %%
def angle(before, after):
    "Mean angle between rows."
    a, b = (normalize(rows.double(), dim=1) for rows in (before, after))
    return (a*b).sum(1).clamp(max=1).acos().mean().item()

@cache
def by_adam(users, dim=64, lr=1e-4, longer=1., seed=0):
    """Mean angle by which torch's Adam turns random rows in its first step, under
    random gradients by their directions."""
    torch.manual_seed(seed)
    p = torch.nn.init.xavier_normal_(torch.empty(users, dim, dtype=torch.float64))
    p = (longer*p).requires_grad_()
    before = p.detach().clone()
    g = torch.randn(users, dim, dtype=torch.float64)
    (normalize(p, dim=1)*g).sum().backward()
    torch.optim.Adam([p], lr).step()
    return angle(before, p.detach())

def tables(size):
    "Tables with many rows, and tables with few long rows; the steps are small."
    many = dict(users=wholes(100, 100 + size))
    lr, long = scales(1e-7, 1e-5), wholes(1024, 1024 + size)
    few = dict(users=wholes(8, 16), dim=long, lr=lr)
    given = dict(dim=wholes(64, 64 + size), lr=lr)
    return st.fixed_dictionaries(many, optional=given) | st.fixed_dictionaries(few)

def by_training(lr=1e-4):
    "The same for the user rows of a real network, by a step over all training pairs."
    torch.manual_seed(0)
    net = LIRDRecNet(made)
    net.start_epoch(1)
    before = {m: t.detach().clone() for m, t in net.tables.items()}
    user, item = (torch.from_numpy(a) for a in made.pairs(TRAIN))
    other = Negatives(user, item).draw(user, torch.Generator().manual_seed(0))
    net.loss(user, item, other).backward()
    torch.optim.Adam(net.parameters(), lr).step()
    return np.mean([angle(before[m], t.detach()) for m, t in net.tables.items()])

SHAPES = ((4000, 64, 1e-4), (9000, 256, 2e-5), (16, 1024, 1e-5))
[(first_turn(*s), by_adam(*s)) for s in SHAPES], (first_turn(made.users), by_training())

# %%
#| code-fold: true
#| code-summary: "The claim about the turn, its routes and its edits"
ratio = lambda f, of: [f(*s)/of(*s) for s in SHAPES]
claim('lirdrec.first_turn',
    'Adam\'s first step turns a Xavier-normal row of many numbers by about $\\eta\\sqrt{(n_u+d)/2}$.',
    of=first_turn, source='ours',
    checks=[Check('sampling', lambda f: ratio(f, by_adam), lambda: [1., 1., 1.], .03,
                  'torch.optim.Adam on random gradients; lengths vary by $1/\\sqrt{2d}$ and a sign vector '
                  'is not quite perpendicular, both of order $1/d$, here 1/64'),
            Check('trusted implementation', lambda f: f(made.users)/by_training(), lambda: 1., .03,
                  'a step of the recommender itself, its three tables of user rows'),
            Check('limit', lambda f: [f(1, 1, 1.), f(7, lr=.5)], lambda: [1., .5*35.5**.5], 1e-12,
                  'the smallest table, and 64 numbers a row where nothing is said')],
    hunts=[Hunt(tables, lambda **a: 1., 'sampling', .025,
                'half of .05 for a ratio of one: the mean length is off by four times '
                '$1/\\sqrt{2n_ud}$, at most .036, and by .01 of order $1/d$',
                ours=lambda f, **a: f(**a)/by_adam(**a), points=12, sizes=(1, 100, 400), most=3200)],
    refuses=[lambda f: f(0), lambda f: f(5, 0), lambda f: f(5, 4, 0.), lambda f: f(5, 4, np.nan)],
    mutants=[('(users + dim)/2', 'users + dim'), ('lr*', '2*lr*'), ('(users + dim)', '(users*dim)')])


# %%
class Counted(float):
    "A number that counts the multiplications and additions it takes part in."
    done = 0
    def __mul__(self, other):
        Counted.done += 1
        return Counted(float(self)*float(other))
    def __add__(self, other):
        Counted.done += 1
        return Counted(float(self) + float(other))

def plainly(matrix, rows):
    """A sparse matrix times rows, entry by entry and number by number, with numbers
    that count."""
    out = [[Counted(0.)]*len(rows[0]) for _ in range(matrix.shape[0])]
    places = matrix.to_sparse_coo().indices().T.tolist()
    for (i, j), v in zip(places, matrix.values().tolist()):
        out[i] = [o + Counted(v)*x for o, x in zip(out[i], rows[j])]
    return out

def by_counting(users, items, sizes, pairs, dim, hidden, layers, neighbours=3):
    """What torch counts in the dense products of a network, and what counting numbers
    count in its sparse ones."""
    rng = np.random.default_rng(0)
    one_each = np.c_[np.arange(users), np.arange(users) % items]
    others = rng.integers(0, (users, items), (9*pairs, 2))
    took, first = np.unique(np.r_[one_each, others], axis=0, return_index=True)
    user, item = took[np.sort(np.argsort(first)[:pairs])].T
    normal = lambda size: rng.standard_normal((items, size)).astype('f4')
    features = {f'm{k}': normal(size) for k, size in enumerate(sizes)}
    shop = Interactions(
        'x', user, item, np.zeros(pairs, int), features, users, items)
    net = LIRDRecNet(shop, dim, hidden, layers, neighbours=neighbours)
    branches = len(net.branches)
    with FlopCounterMode(display=False) as encoders:
        for m in net.branches: net.encoders[m](getattr(net, f'x_{m}'))
    with FlopCounterMode(display=False) as networks:
        net.copying([torch.ones(users, dim)]*branches)
    u, i = (torch.ones(n, dim*branches).tolist() for n in (users, items))
    counts = []
    for steps in ([(net.graph.r, i), (net.graph.r_t, u)]*layers, [(net.alike.s, i)]):
        Counted.done = 0
        for matrix, rows in steps: plainly(matrix, rows)
        counts.append(Counted.done)
    return encoders.get_total_flops(), counts[0], counts[1], networks.get_total_flops()

def networks(size):
    "Small networks, all items neighbours of all; some with the usual sizes."
    few = wholes(2, 1 + size)
    def made(users, items, sizes, more, dim, hidden, layers):
        "With every size."
        pairs = users + min(more, users*(items - 2))
        return dict(users=users, items=items, sizes=sizes, pairs=pairs, dim=dim,
                    hidden=hidden, layers=layers, neighbours=items)
    def usual(users, sizes, more):
        "With the usual sizes."
        return dict(users=users, items=10, sizes=sizes, pairs=users + more % users)
    sizes = st.lists(wholes(1, 5), min_size=1, max_size=3).map(tuple)
    more = wholes(0, size)
    items, dim = few | st.just(12), wholes(4, 4 + size)
    own = st.builds(made, few, items, sizes, more, dim, few, wholes(1, 3))
    return own | st.builds(usual, few, sizes, more)

@cache
def counted(users, items, sizes, pairs, dim=64, hidden=256, layers=2, neighbours=10):
    "What is counted, the sizes left out being the usual ones."
    return by_counting(users, items, sizes, pairs, dim, hidden, layers, neighbours)

def alike_once(f, sizes, **more):
    "The cost where modalities share all neighbours, so that each entry is stored once."
    encoders, pairs, alike, networks = f(sizes=sizes, **more)
    return encoders, pairs, alike/len(sizes), networks

SHAPE = (9, 7, (12,), 31, 8, 16, 2)
step_cost(*SHAPE, 3), by_counting(*SHAPE)

# %%
#| code-fold: true
#| code-summary: "The claim about the cost, its routes and its edits"
more = (9, 7, (5, 4), 20, 4, 6, 1)
claim('lirdrec.step_cost',
    'A forward costs $2n_iw\\sum_b(D_b+d)$ operations in the encoders and $4NMdL$ in the graph of pairs.',
    of=step_cost, source='ours, for the official code',
    checks=[Check('trusted implementation', lambda f: [f(*s, 3)[k] for s in (SHAPE, more) for k in (0, 3)],
                  lambda: [by_counting(*s)[k] for s in (SHAPE, more) for k in (0, 3)], .1,
                  'whole numbers; torch.utils.flop_counter on the network'),
            Check('brute force', lambda f: [*f(*SHAPE, 3)[1:3], f(*more, 3)[1], f(*more, 7)[2]],
                  lambda: [*by_counting(*SHAPE)[1:3], by_counting(*more)[1],
                           2*by_counting(*more, neighbours=7)[2]], .1,
                  'whole numbers; numbers that count what is done to them. With two modalities and all '
                  'items as neighbours each entry is stored once instead of twice')],
    hunts=[Hunt(networks, lambda **a: counted(**a), 'brute force', 1e-12, 'whole numbers', points=12,
                ours=alike_once, sizes=(1, 4, 8), most=16)],
    mutants=[('d + dim for', 'd for'), ('4*pairs', '2*pairs'), ('[*sizes, sum(sizes)]', 'list(sizes)'),
             ('(dim + 1)*', 'dim*'), ('items*neighbours*', 'items*')],
    refuses=[lambda f: f(*SHAPE[:4], 3)])

# %% [markdown]
# ## Picture
#
# The gain for every eigenvalue, and below it the eigenvalues of the made-up set's graph. The slider moves the number of layers.

# %%
#| hide
user, item = made.pairs(TRAIN)
dense = np.zeros((made.users, made.items))
dense[user, item] = 1.
dense /= np.sqrt(dense.sum(1, keepdims=True)*np.maximum(dense.sum(0), 1))
singular = np.linalg.svd(dense, compute_uv=False)
spectrum = np.clip(np.r_[singular, -singular], -1, 1)

def gains(layers, ax):
    "Gain over the eigenvalue, and where the eigenvalues of a graph are."
    grid = np.linspace(-1, 1, 401)
    ax.plot(grid, gain(grid, layers), color=COLORS['blue'])
    ax.plot(spectrum, np.full(len(spectrum), -.4), '|', color=COLORS['grey'], ms=9, alpha=.25)
    ax.axhline(1, color=COLORS['grey'], lw=.8)
    ax.set(xlabel='eigenvalue', ylabel='gain', ylim=(-.7, 5.3))


# %%
#| label: fig-gain
#| fig-cap: "By how much the sum over layers multiplies a part of the rows, over its eigenvalue; ticks are the eigenvalues of the made-up set's graph that are not zero. The slider moves the number of layers."
#| echo: false
slider('layers', [0, 1, 2, 3, 4], gains,
    'Ticks stand in two mirrored groups, with one at either end. Without layers the gain is one '
    'everywhere. With more it is largest at the right end, popularity, and below one on the left; at the '
    'left end it is zero for an odd number of layers and one for an even number.', start=2)

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** The mean over layers instead of the sum, as in LightGCN. What changes in the order of a list?
#
# <details><summary>Answer</summary>
#
# In LightGCN nothing: all rows are divided by $L+1$, and all scores by its square. (The loss sees smaller scores, so that training differs.) In LIRDRec something: the networks that weigh the branches see shorter rows, and have biases. The part of the users whose first list of 20 changes its order, in an untrained network:
#
# </details>

# %%
half = Propagation([0, 1, 2, 2], [0, 0, 0, 1], users=3, items=2, layers=2, mean=True)
torch.manual_seed(0)
net = LIRDRecNet(made)
net.start_epoch(1)
lists = ranked(net, made)
net.graph.scale = 1/3
ones = torch.ones(3, 1), torch.ones(2, 1)
changed = (lists != ranked(net, made)).any(1).double().mean()
(tiny(*ones)[1]/half(*ones)[1]).flatten(), changed.item()

# %% [markdown]
# **2.** User rows start ten times as long. What happens to the first lists, and to the training?
#
# <details><summary>Answer</summary>
#
# The first lists are the same, since only directions count. Under Adam the rows turn a tenth as far in a step: ten times the steps, or ten times the learning rate of the user rows, and of nothing else. (Under plain descent a hundredth: the gradient is a tenth, and what it moves is ten times as long.)
#
# </details>

# %%
by_adam(4000, 64, 1e-4, longer=10.)/by_adam(4000, 64, 1e-4)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.propagation`. The graphs themselves are in [the two graphs](22_graph.ipynb).
