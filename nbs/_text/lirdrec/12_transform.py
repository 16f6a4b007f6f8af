# %% [markdown]
# # The cosine transform is a rotation
#
# > For plain descent it is another start and nothing else; for Adam it changes the axes; and in two dimensions it mixes up the items.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec): one-dimensional in the official code, `src/models/lirdrec.py`, two-dimensional in the formula that a review quotes; statements and proofs are ours · 8 minutes · what you need first: [the recommender](21_lirdrec.ipynb) as far as its branches

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.transform

# %%
#| export
import math

import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import functools
import numpy as np, scipy.fft, sympy
from hypothesis import strategies as st
from torch import nn
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
theme()

# %% [markdown]
# ## The question
#
# Before the shared branch of LIRDRec sees the features of an item, they go through a discrete cosine transform, as the blocks of a JPEG picture do. In a picture, neighbouring pixels are alike, and the transform gathers what they share in a few numbers. The numbers that a network makes of a picture have no neighbours: their order means nothing. So what does the transform do here?
#
# ## Two rows
#
# A row that is constant and one that alternates, before and after, and their products with each other and with themselves:

# %%
x = np.array([[1., 1., 1., 1.], [1., -1., 1., -1.]])
z = scipy.fft.dct(x, norm='ortho')
z.round(3), x @ x.T, (z @ z.T).round(12)


# %% [markdown]
# The numbers are others, the lengths and the angle are the same.
#
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $n$, $D$ | | | items, features of an item |
# | $X$ | `x` | $(n,D)$ | features |
# | $C_D$ | `dct_matrix` | $(D,D)$ | the transform of a row of $D$ numbers |
# | $Z=XC_D^\top$ | `transform` | $(n,D)$ | each row transformed (1-D) |
# | $C_nXC_D^\top$ | `transform(…, '2d')` | $(n,D)$ | transformed over items as well (2-D) |
# | $W$, $b$ | | $(h,D)$, $(h,)$ | first layer of the branch |
#
# ## Statement 1: orthonormal
#
# $$
# \begin{aligned}
# C_D[k,i]&=\sqrt{\tfrac2D}\,c_k\cos\frac{\pi(2i+1)k}{2D},\\
# c_0&=\tfrac1{\sqrt2},\quad c_{k>0}=1,
# \end{aligned}
# $$ {#eq-dct}
#
# satisfies $C_DC_D^\top=I$.
#
# *Why.* A product of cosines is half the sum of the cosines of difference and sum, and
#
# $$\sum_{i=0}^{D-1}\cos\bigl((2i+1)\varphi\bigr)=\frac{\sin2D\varphi}{2\sin\varphi}.$$
#
# With $\varphi=\pi m/2D$ and a whole number $0<|m|<2D$ the numerator is $\sin\pi m=0$. For rows $k\ne l$ both $m=k-l$ and $m=k+l$ are of that kind, so the product is 0. For $k=l>0$ the first sum is $D$ and the second 0; for $k=l=0$ both are $D$. The factors make 1 of either.
#
# **Consequence.** Lengths, products and angles of rows do not change. A graph of alike items is the same before and after, but for exact ties, which rounding breaks. (The determinant may be −1: by a rotation this page means any orthonormal matrix, one that mirrors too.)

# %%
#| exports
def dct_matrix(
    size: int, # D
)->Tensor: # orthonormal, float64 (D, D)
    "The orthonormal DCT-II. Source: Ahmed et al. 1974."
    if size < 1:
        raise UserError(f'size={size}: at least 1')
    i = torch.arange(size, dtype=torch.float64)
    k = i[:, None]
    c = torch.cos(math.pi*(2*i + 1)*k/(2*size))*(2/size)**.5
    c[0] /= 2**.5
    return c

TRANSFORMS = ('1d', '2d', 'none', 'random')

def transform(
    x: Tensor,      # features, no side empty, (n, D)
    kind: str='1d', # one of TRANSFORMS: along rows, over items too, none, a random turn
)->Tensor: # like x
    """Turn the features before the shared branch.

    Source: official code, `src/models/lirdrec.py` (1d); the paper's formula as a review
    quotes it (2d)."""
    if kind not in TRANSFORMS:
        raise UserError(f'dct={kind!r}: one of {", ".join(TRANSFORMS)}')
    if kind == 'none': return x
    if kind == 'random': return (x.double() @ _turn(x.shape[1]).T).to(x.dtype)
    turned = _dct(x)
    return _dct(turned.T).T if kind == '2d' else turned

def _turn(d):
    "A random rotation of d numbers, the same for every seed of a run."
    draws = torch.Generator().manual_seed(d)
    return torch.linalg.qr(torch.randn(d, d, generator=draws, dtype=torch.float64))[0]

def _dct(x):
    """The transform of every row by a real Fourier transform of its even and reversed
    odd places, some rows at a time."""
    d = x.shape[1]
    angles = -math.pi/(2*d)*torch.arange(d//2 + 1, dtype=torch.float64)
    turn = torch.polar(torch.tensor((2/d)**.5, dtype=torch.float64), angles)
    blocks = []
    for rows in x.split(256):
        folded = torch.cat([rows[:, ::2], rows[:, 1::2].flip(1)], 1)
        z = torch.fft.rfft(folded.double())*turn
        parts = [z.real, -z.imag[:, 1:(d + 1)//2].flip(1)]
        blocks.append(torch.cat(parts, 1).to(x.dtype))
        blocks[-1][:, 0] /= 2**.5
    return torch.cat(blocks)


# %%
dct_matrix(3)

# %%
raises(transform, torch.ones(2, 2), '3d')


# %% [markdown]
# ## Statement 2: nothing happens to plain descent
#
# A first layer that sees $Z$ with weights $W$ computes what a layer on $X$ with weights $WC_D$ computes. Train both, by gradient descent with any momentum and any weight decay, from such a pair of starts. Then the two stay such a pair for ever: **the trainings are the same function of the features in every step.**
#
# *Why.* Let $L'(W')$ be the loss of the layer on $X$, so that $L(W)=L'(WC)$ and $\nabla_WL=(\nabla_{W'}L')\,C^\top$. A step gives
#
# $$
# \begin{aligned}
# W_{t+1}C&=W_tC-\eta\,\nabla_{W'}L'\,C^\top C\\
# &=W'_t-\eta\,\nabla_{W'}L',
# \end{aligned}
# $$
#
# since $C^\top C=I$. Momentum and decay are linear and follow along. What looks at single coordinates does not: Adam, Adagrad, clipping by value, a penalty on absolute values. And a start that is drawn even in a box, as torch's is, is not the same after a rotation, though it has the same mean and covariance.
#
# The shared branch transforms each modality by itself and sets them side by side: the matrix is block-diagonal, with one $C$ a modality, and as orthonormal as its blocks.

# %%
#| exports
def equivalent_layer(
    weight: Tensor, # W, of a linear layer on transformed features, (h, D)
)->Tensor: # of the layer on plain features that computes the same, (h, D)
    """The layer on the plain features of one modality that does what a layer on their
    cosine transform does. Source: ours."""
    return weight @ dct_matrix(weight.shape[1]).to(weight.dtype)


# %%
row = lambda *numbers: torch.tensor([numbers], dtype=torch.float64)
w, rows = row(1., 0., 0.), row(1., 2., 6.)
transform(rows) @ w.T, rows @ equivalent_layer(w).T


# %% [markdown]
# The first number of the transform is the sum, up to scale; the equivalent layer adds up.
#
# So with plain descent the transform is no modelling decision. With Adam, which the official code uses, what it does is to choose other axes along which Adam scales its steps: a random rotation does as much. Whether one set of axes is better than another is a matter for measurements, with *none* and *random* beside it.
#
# ## Statement 3: in two dimensions, items are mixed up
#
# $T(X)=C_nXC_D^\top$ is a rotation of the whole table. But its row $i$ is not about item $i$: it is the $i$-th *frequency over the numbering of the items*, a mixture of all of them. Number the items otherwise, by a permutation $\Pi$, and in general $T(\Pi X)\ne\Pi\,T(X)$: the features of an item depend on its number, on everybody else's, and change when an item is added. Angles between items are in general not kept. Used as features of item $i$ such a row is, where the numbering means nothing, like a random code of its own (but for the first, the sum over all items): an identity in disguise, which the paper wants to leave out. The code does not do this.

# %%
#| exports
def numbering_effect(
    x: Tensor,      # features, not all zero, (n, D)
    order: Tensor,  # a permutation of the items, (n,)
    kind: str='1d', # as in `transform`
)->float: # 0: an item's row does not depend on its number
    """How much transformed rows change when items are numbered otherwise, relative to
    their length. Source: ours."""
    change = transform(x[order], kind) - transform(x, kind)[order]
    return (change.norm()/x.norm()).item()


# %%
torch.manual_seed(0)
features, order = torch.randn(200, 32, dtype=torch.float64), torch.randperm(200)
effect = lambda kind: round(numbering_effect(features, order, kind), 3)
{kind: effect(kind) for kind in ('1d', 'random', '2d')}


# %% [markdown]
# About $\sqrt2$ is what two unrelated tables of the same size differ by.
#
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).

# %%
def by_sympy(size):
    "The matrix from exact cosines, and whether its rows are exactly orthonormal."
    def place(k, i):
        "Exactly."
        scale = sympy.sqrt(sympy.Rational(2, size))*(1/sympy.sqrt(2) if k == 0 else 1)
        return scale*sympy.cos(sympy.pi*(2*i + 1)*k/(2*size))
    c = sympy.Matrix(size, size, place)
    simple = lambda e: sympy.nsimplify(sympy.simplify(e))
    exact = (c*c.T - sympy.eye(size)).applyfunc(simple)
    return np.array(c.evalf(20), dtype=float), exact == sympy.zeros(size)

by_sympy(3)[1]

# %%
#| code-fold: true
#| code-summary: "The claim about the matrix, its routes and its edits"
by_scipy = lambda D: scipy.fft.dct(np.eye(D), norm='ortho', axis=0)
several = lambda f: np.concatenate([np.asarray(f(D)).ravel() for D in (1, 2, 7, 48)])
with_products = lambda f, size: (f(size), f(size) @ f(size).T)
claim('lirdrec.dct_matrix', 'The cosine transform is orthonormal: $C_DC_D^\\top=I$.', of=dct_matrix,
    source='Ahmed et al. 1974; proof: ours',
    checks=[Check('trusted implementation', several, lambda: several(by_scipy), 1e-13,
                  'float64; scipy.fft.dct'),
            Check('algebra', lambda f: f(4), lambda: by_sympy(4)[0], 1e-14, 'exact, then rounded to float64'),
            Check('limit', lambda f: [*(f(60) @ f(60).T - torch.eye(60)).flatten()], lambda: np.zeros(3600),
                  1e-13, 'float64; the statement itself')],
    hunts=[Hunt(lambda most: st.fixed_dictionaries({'size': wholes(1, most)}),
        lambda size: (by_scipy(size), np.eye(size)), 'trusted implementation', 1e-12,
        'float64; scipy.fft.dct and the identity; angles up to πD are off by D·1e-15', ours=with_products,
        sizes=(1, 2, 16, 64), most=256, points=20)],
    refuses=[lambda f: f(0), lambda f: f(-1)],
    mutants=[('(2*i + 1)', '(2*i)'), ('(2/size)**.5', '(1/size)**.5'), ('c[0] /= 2**.5', 'c[0] /= 2'),
             ('(2*size)', '(2*size + 1)')])


# %%
def some_tables(size):
    "Features of some items, or of a few hundred, and a kind, at some points left out."
    tall = st.tuples(st.sampled_from((255, 256, 257, 513)), wholes(1, 3))
    shapes = st.tuples(wholes(1, size), wholes(1, size)) | tall
    kind = {'kind': st.sampled_from(TRANSFORMS)}
    return shapes.flatmap(
        lambda s: st.fixed_dictionaries({'x': tensors(*s)}, optional=kind))

def by_other_code(x, kind='1d'):
    "The four kinds by SciPy and NumPy."
    d = x.shape[1]
    draws = torch.Generator().manual_seed(d)
    free = torch.randn(d, d, generator=draws, dtype=torch.float64)
    turns = {
        '1d': lambda x: scipy.fft.dct(x, norm='ortho'),
        '2d': lambda x: scipy.fft.dctn(x, norm='ortho'),
        'none': lambda x: x,
        'random': lambda x: x @ np.linalg.qr(free.numpy())[0].T}
    return turns[kind](x.double().numpy())

by_other_code(torch.eye(2), '2d')

# %%
#| code-fold: true
#| code-summary: "The claim about the transform of features, its routes and its edits"
length = lambda x: x.norm().item() or 1.
in_lengths = lambda f, x, **kind: f(x, **kind)/length(x)
judge = lambda x, **kind: by_other_code(x, **kind)/length(x)
single = lambda size: some_tables(size).map(lambda given: {**given, 'x': given['x'].float()})
twos = torch.full((4, 4), 2., dtype=torch.float64)
many = torch.from_numpy(np.random.default_rng(2).standard_normal((40_000, 2)))
def of_even_rows(f):
    "What becomes of even rows, and whether float32 stays float32."
    turned, stays = f(twos, 'random'), [f(twos.float(), k).dtype == torch.float32 for k in TRANSFORMS]
    parts = f(twos), f(twos, '2d'), f(twos, 'none'), turned @ turned.T, torch.tensor(stays)
    return torch.cat([part.flatten() for part in parts])

claim('lirdrec.transform',
    'Rows become $XC_D^\\top$ (1-D), $C_nXC_D^\\top$ (2-D), stay, or are turned by one orthonormal matrix.',
    of=transform, source='official code, src/models/lirdrec.py (1-D); Zhou et al. 2025 (2-D); ours (random)',
    checks=[Check('brute force', lambda f: torch.stack([f(features), f(features, '2d')]),
                  lambda: torch.stack([rows := features @ dct_matrix(32).T, dct_matrix(200) @ rows]),
                  1e-12, 'float64; the whole matrices'),
            Check('limit', of_even_rows, lambda: [*[4, 0, 0, 0]*4, 8, *[0]*15, *[2]*16, *[16]*16, *[1]*4],
                  1e-12, 'equal numbers become one; a turn keeps products of rows; float32 stays'),
            Check('trusted implementation', lambda f: f(many), lambda: by_other_code(many), 1e-12,
                  'float64; scipy.fft; more rows than any set has')],
    hunts=[Hunt(some_tables, judge, 'trusted implementation', 1e-12,
                'float64; scipy.fft, numpy.linalg.qr of draws with conditions up to 1e4; in lengths of x',
                ours=in_lengths),
           Hunt(single, judge, 'trusted implementation', 1e-6, 'float32, rounded up to four times',
                ours=in_lengths, points=20)],
    refuses=[lambda f: f(twos, '3d'), lambda f: f(twos, 'd')],
    mutants=[("kind: str='1d'", "kind: str='none'"), ("'2d' else turned", "'1d' else turned"),
             ('_dct(turned.T).T', '_dct(turned)'), ('_turn(x.shape[1])', '(2*_turn(x.shape[1]))')],
    equivalent=dict.fromkeys(('x.split(256) → x.split(257)', 'x.split(256) → x.split(255)'),
                             'a row does not depend on the rows beside it'))


# %%
def two_trainings(optimizer, size=6, steps=120, seed=0, **kw):
    """A small network on transformed features and its equivalent on plain ones, trained
    side by side; their first layers."""
    torch.manual_seed(seed)
    x, target = (torch.randn(30, n, dtype=torch.float64) for n in (size, 1))
    layers = lambda: (nn.Linear(size, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    a, b = (nn.Sequential(*layers()).double() for _ in range(2))
    b.load_state_dict(a.state_dict())
    turn = torch.from_numpy(scipy.fft.dct(np.eye(size), norm='ortho', axis=0))
    b[0].weight.data = a[0].weight.data @ turn
    for net, seen in ((a, x @ turn.T), (b, x)):
        opt = getattr(torch.optim, optimizer)(net.parameters(), **kw)
        for _ in range(steps):
            opt.zero_grad()
            (net(seen) - target).square().mean().backward()
            opt.step()
    return a[0].weight.detach(), b[0].weight.detach()

plain = two_trainings('SGD', lr=.05, momentum=.9, weight_decay=.01)
adam = two_trainings('Adam', lr=.01)
[(equivalent_layer(a) - b).abs().max().item() for a, b in (plain, adam)]

# %%
#| code-fold: true
#| code-summary: "The claim about training, its routes and its edits"
W6 = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 6)))
def by_sums():
    "The product number by number."
    columns = by_scipy(6).T
    return np.array([[sum(w*c for w, c in zip(row, column)) for column in columns] for row in W6.numpy()])

pair = functools.cache(two_trainings)
trainings = lambda size: st.fixed_dictionaries(dict(
    optimizer=st.just('SGD'), size=wholes(1, size), steps=wholes(1, 2*size), seed=st.integers(0, 999),
    lr=reals(0, .02), momentum=reals(0, .95), dampening=reals(0, 1), weight_decay=reals(0, 1)))
layers = lambda size: st.tuples(wholes(1, size), wholes(1, size)).flatmap(
    lambda shape: st.fixed_dictionaries({'weight': tensors(*shape)}))
claim('lirdrec.equivalent_layer',
    'Trained by descent with momentum and decay, a layer on the transform stays $W\'_t=W_tC$.',
    of=equivalent_layer, source='ours',
    checks=[Check('trusted implementation', lambda f: f(plain[0]), lambda: plain[1], 1e-11,
                  'float64, 120 steps of torch.optim.SGD with momentum and decay'),
            Check('brute force', lambda f: f(W6), by_sums, 1e-13, 'float64, sums written out'),
            Check('brute force', lambda f: f(W6.float()), by_sums, 1e-6, 'float32, sums written out'),
            Check('limit', lambda f: f(torch.eye(2, dtype=torch.float64))[0], lambda: [.5**.5, .5**.5], 1e-14,
                  'two features: half the sum')],
    hunts=[Hunt(layers, lambda weight: scipy.fft.idct(weight, norm='ortho')/length(weight),
                'trusted implementation', 1e-13, 'float64; scipy.fft.idct; relative to the length',
                ours=lambda f, weight: f(weight)/length(weight), sizes=(1, 2, 8, 32), most=256),
           Hunt(trainings, lambda **given: pair(**given)[1], 'trusted implementation', 1e-10,
                'float64; up to 32 steps of torch.optim.SGD', ours=lambda f, **given: f(pair(**given)[0]),
                sizes=(1, 4, 16), most=16, points=25,
                outside=(dict(optimizer='Adam', lr=.01), 'with Adam'))],
    mutants=[('dct_matrix(weight.shape[1])', 'dct_matrix(weight.shape[1]).T'), ('weight @', '2*weight @'),
             ('weight @', '-weight @')])


# %%
def renumbered(x, order):
    "Relative change of the two-dimensional transform under a renumbering, by scipy."
    t = scipy.fft.dctn(x[order], norm='ortho') - scipy.fft.dctn(x, norm='ortho')[order]
    return np.linalg.norm(t)/np.linalg.norm(x)

renumbered(features.numpy(), order.numpy())

# %%
#| code-fold: true
#| code-summary: "The claim about the numbering, its routes and its edits"
numbered = lambda size: some_tables(size).filter(lambda given: given['x'].any()).flatmap(
    lambda given: st.permutations(range(len(given['x']))).map(lambda o: {**given, 'order': torch.tensor(o)}))
effect_by_scipy = lambda x, order, kind='1d': renumbered(x.numpy(), order.numpy()) if kind == '2d' else 0.
swapped = torch.tensor([1, 0, 2])
equal, first = torch.ones(3, 2, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:, :1]
claim('lirdrec.numbering_effect',
    'The one-dimensional transform commutes with every numbering of the items, '
    'the two-dimensional one does not.', of=numbering_effect, source='ours',
    hunts=[Hunt(numbered, effect_by_scipy, 'trusted implementation', 1e-12, 'float64; scipy.fft.dctn',
                points=30)],
    checks=[Check('trusted implementation', lambda f: [f(features, order, '2d'), f(features, order, '1d')],
                  lambda: [renumbered(features.numpy(), order.numpy()), 0.], 1e-12,
                  'float64; scipy.fft.dctn'),
            Check('limit', lambda f: [f(features, torch.arange(200), '2d'), f(equal, swapped, '2d'),
                                      f(first, swapped, 'none')],
                  lambda: [0., 2**.5, 0.], 1e-12,
                  'no renumbering; equal items, whose rows swap a full one and an empty one; no transform')],
    equivalent={'transform(x[order], kind) - transform(x, kind)[order] → '
                'transform(x, kind)[order] - transform(x[order], kind)': 'only its length is used'},
    mutants=[('transform(x, kind)[order]', 'transform(x, kind)'), ('x[order], kind', 'x, kind'),
             ('/x.norm()', ''), (' - transform(x, kind)[order]', ' + transform(x, kind)[order]')])


# %% [markdown]
# ## Picture
#
# How much of the squared length of a row is in its largest numbers, before and after the transform. In the rows of the slider each number is a mixture of its left neighbour and noise: at 0 the order means nothing, as in the output of a network; at 0.95 it is like a line of pixels.

# %%
#| hide
def gathered(alike, ax):
    "Energy in the k largest of 256 numbers, averaged over rows, plain, transformed and rotated at random."
    rng, rows = np.random.default_rng(0), [np.random.default_rng(1).standard_normal(100)]
    for _ in range(255): rows.append(alike*rows[-1] + (1 - alike**2)**.5*rng.standard_normal(100))
    x = torch.from_numpy(np.stack(rows, 1))
    lines = {'none': ('plain', 'grey', '-'), 'random': ('random rotation', 'orange', '--'),
             '1d': ('cosine transform', 'blue', '-')}
    for kind, (name, color, style) in lines.items():
        energy = transform(x, kind).square().sort(1, descending=True).values
        part = (energy.cumsum(1)/energy.sum(1, keepdim=True)).mean(0)
        ax.plot(np.arange(1, 257)/2.56, 100*part, style, color=COLORS[color], label=name)
    ax.set(xlabel='largest numbers of a row [%]', ylabel='part of the squared length [%]', ylim=(0, 103))
    ax.legend(loc='lower right')


# %%
#| label: fig-gathered
#| fig-cap: "Part of a row's squared length in its largest numbers. The slider moves how much neighbours are alike."
#| echo: false
slider('neighbours alike', [0, .3, .6, .8, .95], gathered,
    'Where the order of the numbers means nothing the cosine transform gathers no more than a '
    'random rotation or no transform; only where neighbours are alike does it put most of the '
    'length into few numbers.', start=0)


# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** The features are standardised, each number divided by its own deviation, after the transform instead of before. Does statement 2 still hold?
#
# <details><summary>Answer</summary>
#
# No: dividing each axis by its own number is no rotation. Axes with little variance are stretched, and the transform decides which axes those are.
#
# </details>
#
# **2.** A graph of alike items is made from transformed rows instead of plain ones. What changes?
#
# <details><summary>Answer</summary>
#
# In one dimension nothing but rounding, which may decide between exact ties. In two, who is alike whom becomes a matter of the numbering: of a row's ten nearest no more are kept than chance would keep.
#
# </details>

# %%
def nearest(z):
    "The ten rows that are nearest to each row by angle."
    z = nn.functional.normalize(z)
    return (z @ z.T).fill_diagonal_(-1).topk(10).indices.tolist()

def kept(kind):
    "Part of a row's ten nearest that the transform keeps, on average."
    lists = zip(nearest(features), nearest(transform(features, kind)))
    return np.mean([len({*a} & {*b})/10 for a, b in lists]).item()

{'1d': kept('1d'), '2d': kept('2d'), 'by chance': 10/199}

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.transform`. [The recommender](21_lirdrec.ipynb) has the kinds as its option `dct`.
