# %% [markdown]
# # Early stopping leaves identities half empty
#
# > Strong features are learnt first, identities at their own pace, and where features are strong identities stay small for ever.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec) say that identities stay poor although features have converged; the statements and proofs here are ours · 8 minutes · what you need first: [the law of displacement](10_displacement.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.speed

# %%
#| export
import numpy as np
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import sympy
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, scales, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.lirdrec.data import synthetic
theme()

# %% [markdown]
# ## The question
#
# The law says who moves how far. It does not say when. A training is stopped as soon as the validation part gets no better, and the features may have done all of their work by then. What have the identities done?
#
# ## Two directions
#
# In one direction of the space of items the features are strong, $\sigma^2=9$; in another there are none. Both should reach 1. A few steps of plain descent on half the squared error:

# %%
found, e, w = [], np.zeros(2), np.zeros(2)
square = np.array([9., 0.])
for step in range(1, 101):
    residual = 1 - (e + w)
    e, w = e + .02*residual, w + .02*square*residual
    if step in (5, 20, 100):
        found.append((step, e.round(2).tolist(), w.round(2).tolist()))
found


# %% [markdown]
# After twenty steps the first direction is done, nine tenths of it by features. The second, which identities have for themselves, is at a third.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $\sigma_k^2$ | `square` | squared strength of the features in direction $k$, 0 where there are none |
# | $t$ | `time` | learning rate times steps |
# | $t_k$ | | what the rows should reach in direction $k$ |
# | $n_i$ | | training pairs of item $i$ |
# | $N_u$, $\mathcal I$ | | items that user $u$ took; all items that occur |
# | $\eta$, $x_i$ | `lr`, `x` | learning rate; features of item $i$ |
#
# ## Statement 1: the race
#
# Let the loss be half the squared distance of $Q=E+XW$ from a target $T$, and let both start at zero and follow the gradient with equal rates, in steps so small that time is continuous. Then in direction $k$
#
# $$
# \begin{aligned}
# u_k^\top E(t)&=\textcolor{#b35900}{\frac{1-e^{-(1+\sigma_k^2)t}}{1+\sigma_k^2}}\;t_k,\\
# u_k^\top XW(t)&=\textcolor{#0072b2}{\sigma_k^2\,\frac{1-e^{-(1+\sigma_k^2)t}}{1+\sigma_k^2}}\;t_k.
# \end{aligned}
# $$ {#eq-race}
#
# *Why.* $\dot E=-(Q-T)$ and $\dot W=-X^\top(Q-T)$. In direction $u_k$ the whole, $q_k=u_k^\top Q$, obeys $\dot q_k=-(1+\sigma_k^2)(q_k-t_k)$, so the distance decays as $e^{-(1+\sigma_k^2)t}$. Integrating $\dot E$ gives the first line; [the law](10_displacement.ipynb) gives the second.
#
# So a direction with strong features is done after a time of about $1/\sigma_k^2$, while one without features takes a time of about 1. Stop in between, and identities are served to $1-e^{-t}$ where only they can serve. And where features reach, identities end at $1/(1+\sigma_k^2)$, however long one trains: where features are strong they are not slow, but not needed.

# %%
#| exports
def filled(
    square,      # σ² of each direction, an array or a number
    time: float, # learning rate times steps, at least 0
): # parts of the target that identities and features have reached, each like `square`
    """How far identities and features have come on a squared loss, direction by
    direction. Source: ours."""
    if not time >= 0:
        raise UserError(f'time={time}: at least 0')
    square = np.asarray(square, dtype=float)
    both = 1 - np.exp(-(1 + square)*time)
    return both/(1 + square), square*both/(1 + square)


# %%
[[a.round(2).tolist() for a in filled([9., 0.], .02*steps)] for steps in (5, 20, 100)]

# %%
raises(filled, 1., -1.)


# %% [markdown]
# BPR is no squared loss: its curvature differs from pair to pair and mixes the directions, and without a penalty it need have no end. The order of events holds as far as the curvature is about even; a number of epochs does not follow. For an encoder with hidden layers the kernel of its Jacobian takes the place of $XX^\top$, as long as it stays nearly linear.
#
# ## Statement 2: who is asked how often
#
# In an epoch of BPR every triple moves the map. The identity of item $i$ is moved directly $n_i$ times upward, once for each of its pairs, and downward as often as it is drawn as the other item:
#
# $$\nu_i=\sum_{u:\,i\notin N_u}\frac{|N_u|}{|\mathcal I|-|N_u|}$$ {#eq-negatives}
#
# times on average, for an item that occurs in training.
#
# *Why.* Each of the $|N_u|$ triples of user $u$ draws evenly among the $|\mathcal I|-|N_u|$ items that $u$ did not take.
#
# Where nobody takes a large part of all items, and the users of no item hold a large part of all pairs, all are drawn about equally often, while the number of pairs can differ by orders of magnitude. (An item that everybody has is never drawn, and one of a single very busy user seldom.) (With a graph, rows also move through their neighbours; only direct moves are counted here.)

# %%
#| exports
def expected_negatives(
    user: Tensor, # of each training pair, int64 (N,)
    item: Tensor, # likewise; each pair occurs once
)->Tensor: # of every item up to the largest id; 0 for those that do not occur; float64
    """How often each item is drawn as the other one in an epoch.

    Source: ours, for the sampler of MMRec."""
    taken = torch.bincount(user).double()
    occurs = torch.bincount(item) > 0
    if (taken >= occurs.sum()).any():
        raise UserError('a user took every item, so there is none to draw for them')
    rate = taken/(occurs.sum() - taken)
    none = torch.zeros(len(occurs), dtype=torch.float64)
    return (rate.sum() - none.index_add(0, item, rate[user]))*occurs


# %% [markdown]
# Three users, four items; item 0 was taken by all, item 3 by one:

# %%
user, item = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 0, 3, 0])
torch.bincount(item).tolist(), expected_negatives(user, item).tolist()

# %% [markdown]
# Item 2 does not occur. Item 0 is never drawn, since everybody has it. On the made-up set, the least and the most that an item is drawn, and the part of the items that are pushed down more often than pulled up:

# %%
made = [torch.from_numpy(a) for a in synthetic().pairs(0)]
draws = expected_negatives(*made)
more = (draws > torch.bincount(made[1])).double().mean()
draws.min().item(), draws.max().item(), more.item()


# %% [markdown]
#
# ## Statement 3: Adam's first step
#
# Adam divides each coordinate by its own size, so its first step moves by $\eta$ every entry of $E$ with a gradient far above Adam's $\epsilon$ (by half of that at $\epsilon$ itself, by nothing at 0). It moves the entries of the map by $\eta$ too, and so the row of item $i$ by
#
# $$\bigl|\eta\,x_i^\top\operatorname{sign}(X^\top G)\bigr|\le\eta\,\|x_i\|_1$$ {#eq-adam}
#
# in each of its numbers. For a row of length one with 384 normal random numbers $\|x\|_1\approx\sqrt{2\cdot384/\pi}$. The bound is reached when the signs agree, as where a single item has a gradient. After a single triple they are those of $x_i-x_j$: for two unrelated rows of normal numbers about $1/\sqrt2$ of the bound is left, and it can be nothing, as for $x_i=(1,1)/\sqrt2$ and $x_j=(2,3)/\sqrt{13}$. When many unrelated items have gradients the signs cancel:

# %%
#| exports
def adam_first_step(
    x: Tensor,  # features, (n, D)
    G: Tensor,  # gradient by the rows of the items, (n, d)
    lr: float,  # η
)->Tensor: # size of the movement of XW, (n, d); identities move by η where G is not 0
    """How far Adam's first step moves the rows of the items through the feature map.

    Source: ours."""
    return (lr*x @ (x.T @ G).sign()).abs()


# %%
torch.manual_seed(0)
rows = torch.nn.functional.normalize(torch.randn(500, 384, dtype=torch.float64), dim=1)
few = torch.zeros(500, 1, dtype=torch.float64)
few[0] = 1.
every = torch.randn(500, 8, dtype=torch.float64)
one_triple = few.clone()
one_triple[1] = -1.
{'bound': (2*384/np.pi)**.5,
 'one item has a gradient': adam_first_step(rows, few, 1.)[0].item(),
 'one triple': adam_first_step(rows, one_triple, 1.)[0].item(),
 'all have': adam_first_step(rows, every, 1.).mean().item()}


# %% [markdown]
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).

# %%
def by_solver(time):
    """Identities and map of a random problem by an ODE solver, projected on the
    directions of the features."""
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((5, 3)), rng.standard_normal((5, 1))
    def flow(_, state):
        E, W = state[:5, None], state[5:, None]
        R = E + X @ W - T
        return -np.r_[R, X.T @ R].ravel()
    solved = solve_ivp(flow, (0, time), np.zeros(8), rtol=1e-11, atol=1e-13)
    state = solved.y[:, -1]
    U, sigma, _ = np.linalg.svd(X)
    part = lambda a: (U.T @ a)/(U.T @ T).ravel()
    return np.r_[sigma**2, 0, 0], part(state[:5]), part(X @ state[5:])

def by_exponential(square, time):
    "Both parts of each direction from the exponential of their joint flow."
    flow = lambda s: expm(time*np.array([[-1, -1, 1], [-s, -s, s], [0, 0, 0]]))[:2, 2]
    return np.transpose([flow(s) for s in square])

def by_sympy(square, time):
    "One direction, solved symbolically."
    t, q, s = sympy.symbols('t'), sympy.Function('q'), sympy.Rational(square)
    q = sympy.dsolve(q(t).diff(t) + (1 + s)*(q(t) - 1), q(t), ics={q(0): 0}).rhs
    e = sympy.integrate(1 - q, (t, 0, sympy.Rational(time)))
    return [float(e), float(q.subs(t, sympy.Rational(time)) - e)]

by_solver(.3)[1].round(4), by_sympy('9', '1/10')

# %%
#| code-fold: true
#| code-summary: "The claim about the race, its routes and its edits"
claim('lirdrec.filled',
    'Identities reach $(1-e^{-(1+\\sigma^2)t})/(1+\\sigma^2)$ of the target, '
    'features $\\sigma^2$ times that.', of=filled, source='ours',
    checks=[Check('brute force', lambda f: np.r_[f(by_solver(.3)[0], .3)], lambda: np.r_[by_solver(.3)[1:]],
                  1e-8, 'relative tolerance 1e-11 of scipy.integrate.solve_ivp, '
                  'over projections of size 0.07'),
            Check('algebra', lambda f: [*f(9., .1), *f(.25, 2.)],
                  lambda: [*by_sympy('9', '1/10'), *by_sympy('1/4', '2')], 1e-14,
                  'exact, then rounded to float64'),
            Check('limit', lambda f: [*f(3., 1e9), *f(5., 0.), *f(0., 1.)],
                  lambda: [.25, .75, 0., 0., 1 - np.exp(-1), 0.], 1e-14,
                  'the end, the start, a direction without features'),
            Check('trusted implementation', lambda f: f(np.array([255, 3], dtype=np.uint8), .1),
                  lambda: by_exponential([255., 3.], .1), 1e-12, 'scipy.linalg.expm; squares in bytes')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(
                    square=st.lists(reals(0, size), min_size=1, max_size=3).map(np.array),
                    time=reals(0, 10))), by_exponential, 'trusted implementation', 1e-9,
                'scipy.linalg.expm; float64', most=100)],
    refuses=[lambda f: f(1., -1e-9), lambda f: f(1., np.nan)],
    mutants=[('-(1 + square)*time', '-square*time'), ('both/(1 + square), square', 'both, square'),
             ('square*both', 'both')])


# %%
def by_counting(user, item):
    "Expected draws, item by item and user by user."
    took = {u: {i for v, i in zip(user, item) if v == u} for u in set(user)}
    occurs = set(item)
    def draws(i):
        "Of item i, over the users who did not take it."
        return sum(len(n)/(len(occurs) - len(n)) for n in took.values() if i not in n)
    return [draws(i) if i in occurs else 0. for i in range(max(item) + 1)]

def shops(size):
    "Pairs of users and items, in any order; no user has all items, and some have none."
    def made(users, items, density, seed):
        "One shop."
        r = np.random.default_rng(seed)
        took = r.random((users, items)) < density
        pairs = r.permutation(np.argwhere(took)).reshape(-1, 2)
        return dict(zip(('user', 'item'), torch.from_numpy(pairs.T.copy())))
    def sound(shop):
        "There is a pair, and for each user an item that is left."
        counts = torch.bincount(shop['user'])
        return len(counts) and counts.max() < len(shop['item'].unique())
    sizes = wholes(2, size), wholes(2, size)
    return st.builds(made, *sizes, reals(.1, .9), wholes(0, 999)).filter(sound)

def by_drawing(user, item, epochs=4000):
    "Average draws over many epochs, numpy."
    rng, occurs = np.random.default_rng(0), np.unique(item)
    counts = np.zeros(max(item) + 1)
    for u in set(user):
        took = [i for v, i in zip(user, item) if v == u]
        free = np.setdiff1d(occurs, took)
        counts += np.bincount(rng.choice(free, len(took)*epochs), minlength=len(counts))
    return counts/epochs

drawn = np.random.default_rng(3).integers(0, (20, 12), (90, 2))
USERS, ITEMS = np.unique(drawn, axis=0).T.tolist()
by_counting(USERS, ITEMS)[:3], by_drawing(USERS, ITEMS)[:3]

# %%
#| code-fold: true
#| code-summary: "The claim about the draws, its routes and its edits"
pairs = (torch.tensor(USERS), torch.tensor(ITEMS))
claim('lirdrec.expected_negatives',
    'In an epoch an item $i$ that occurs is drawn $\\sum_{u:i\\notin N_u}|N_u|/(|\\mathcal I|-|N_u|)$ times '
    'on average.',
    of=expected_negatives, source='ours, for the sampler of MMRec',
    checks=[Check('brute force', lambda f: [*f(*pairs), *f(user, item)],
                  lambda: [*by_counting(USERS, ITEMS), *by_counting(user.tolist(), item.tolist())],
                  1e-12, 'float64'),
            Check('sampling', lambda f: f(*pairs), lambda: by_drawing(USERS, ITEMS), .15,
                  'four standard errors over 4,000 epochs of about six draws')],
    hunts=[Hunt(shops, lambda user, item: by_counting(user.tolist(), item.tolist()), 'brute force', 1e-12,
                'float64', sizes=(2, 3, 8, 24), most=200)],
    refuses=[lambda f, items=items: f(torch.tensor([0, 0, 1]), torch.tensor(items))
             for items in ([0, 1, 1], [0, 2, 2])],
    equivalent={'none.index_add(0, item, rate[user]) → none.index_add(-1, item, rate[user])':
        'the only axis'},
    mutants=[('(occurs.sum() - taken)', 'occurs.sum()'), ('rate.sum() - ', 'rate.sum() + '),
             ('rate[user]', 'taken[user]')])


# %%
def step_of_adam(x, G, lr):
    "How far the first step of torch's Adam moves XW under a loss with the gradient G."
    W = torch.zeros(x.shape[1], G.shape[1], dtype=torch.float64, requires_grad=True)
    ((x @ W)*G).sum().backward()
    torch.optim.Adam([W], lr, eps=1e-300).step()
    return (x @ W.detach()).abs()

def by_torch(lr=.01):
    "Movement of XW in the first step of torch's Adam, from a random start."
    torch.manual_seed(1)
    X, target = (torch.randn(9, n, dtype=torch.float64) for n in (6, 3))
    W = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    loss = (X @ W - target).square().sum()/2
    loss.backward()
    torch.optim.Adam([W], lr, eps=1e-15).step()
    return X, -target, (X @ W.detach()).abs()

X9, G9, _ = by_torch()


# %%
#| code-fold: true
#| code-summary: "The claim about Adam, its routes and its edits"
def loops():
    "The same sums, number by number."
    sign = lambda k, c: np.sign(sum(float(X9[j, k]*G9[j, c]) for j in range(9)))
    moved = lambda i, c: abs(sum(.01*X9[i, k]*sign(k, c) for k in range(6)))
    return [[moved(i, c) for c in range(3)] for i in range(9)]

one_hot, some = torch.eye(3, dtype=torch.float64), torch.tensor([[2.], [-.1], [0.]], dtype=torch.float64)
claim('lirdrec.adam_first_step',
    'Adam\'s first step moves the row of item $i$ by $|\\eta\\,x_i^\\top\\mathrm{sign}(X^\\top G)|$, '
    'where no entry of $X^\\top G$ but 0 comes near its $\\epsilon$.',
    of=adam_first_step, source='ours',
    checks=[Check('trusted implementation', lambda f: f(X9, G9, .01), lambda: by_torch()[2], 1e-12,
                  'float64; torch.optim.Adam with a tiny ε'),
            Check('brute force', lambda f: f(X9, G9, .01), loops, 1e-14, 'float64, sums written out'),
            Check('limit', lambda f: f(one_hot, some, .5), lambda: [[.5], [.5], [0.]], 1e-15,
                  'one-hot features: the step of identities')],
    hunts=[Hunt(lambda size: st.tuples(*[wholes(1, size)]*3).flatmap(lambda s: st.fixed_dictionaries(dict(
                    x=tensors(s[0], s[1]), G=tensors(s[0], s[2]), lr=scales(1e-5, 1.)))), step_of_adam,
                'trusted implementation', 1e-9, 'torch.optim.Adam with the least of all ε; float64')],
    mutants=[('.sign()', ''), ('lr*x', 'x'), ('x.T @ G', 'x.T @ G.abs()')])


# %% [markdown]
# ## Picture
#
# Forty directions, the first twenty of them with features of falling strength. For each the part of the target that identities (orange) and features (blue) have reached when the training stops. The slider moves that time.

# %%
#| hide
def race(time, ax):
    "Parts reached in forty directions when training stops."
    square = np.r_[30*.75**np.arange(20), np.zeros(20)]
    e, w = filled(square, time)
    ax.axvspan(20.5, 40.5, color='#eeeeee')
    ax.bar(range(1, 41), w, 1., color=COLORS['blue'], label='features')
    ax.bar(range(1, 41), e, 1., bottom=w, color=COLORS['orange'], label='identities')
    ax.set(xlabel='direction, by strength of the features', ylabel='part of the target reached',
           ylim=(0, 1.18), xlim=(.5, 40.5))
    ax.legend(loc='upper right', ncols=2)


# %%
#| label: fig-race
#| fig-cap: "What features and identities have reached in each direction when training stops; in the shaded directions there are no features. The slider moves the time."
#| echo: false
slider('time', [.02, .1, .3, 1, 3, 10], race,
    'Strong directions are complete first and almost by features alone; directions without '
    'features fill slowly and alike; a weak feature leaves identities their part. Only late is '
    'everything complete, and even then identities stay small where features are strong.', start=.3)

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** Identities get ten times the learning rate of the map. What happens in a direction with $\sigma^2=9$?
#
# <details><summary>Answer</summary>
#
# Relative to identities the features are as if $\sigma^2$ were 0.9: identities end with a little more than half, and the directions without features are done ten times as early.
#
# </details>

# %%
filled(.9, 1e9)

# %% [markdown]
# **2.** A user takes one item more, one that others took before. Which $\nu_i$ rise?
#
# <details><summary>Answer</summary>
#
# Those of the items that the user still has not taken; that of the new one falls, or stays if it is the user's first. (An item that is new to training makes the set of all items larger: then the other users draw each old item more rarely, and this user still draws those left more often.)
#
# </details>

# %%
with_one = lambda ids, new: torch.cat([ids, torch.tensor([new])])
after = expected_negatives(with_one(user, 2), with_one(item, 1))
(after - expected_negatives(user, item)).tolist()

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.speed`.
