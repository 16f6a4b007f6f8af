# %% [markdown]
# # Features move for all items at once, identities one by one
#
# > An exact law ties what a shared feature map learns to what item identities learn, and says who gets how much.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec) announce a bias of BPR's gradients towards features; the statements and proofs here are ours · 9 minutes · what you need first: gradient descent, singular values

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.displacement

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from functools import cache
import numpy as np
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, exact, reals, scales, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
theme()

# %% [markdown]
# ## The question
#
# Many recommenders give every item two sources: a free row of its own, its **identity**, and a row that a shared map makes of its **features**, its pictures and texts. The score uses their sum. Both are learnt by the same loss, most often BPR, which asks that an item taken scores higher than one drawn at random.
#
# The paper says that training then favours the features and leaves the identities poor. Is that true, when, and by how much?
#
# ## Three items, two features
#
# Items 1 and 2 look alike, item 3 does not. Two users; one took item 1, the other item 3. Identities and map start at zero, and two hundred steps of plain gradient descent follow:

# %%
X = torch.tensor([[1., 0.], [.9, .1], [0., 1.]], dtype=torch.float64)
users = torch.tensor([[1., .5], [-.5, 1.]], dtype=torch.float64)

triples = (0, 0, 1), (1, 2, 0) # who, the item taken, the other

def zeros(*shape):
    "Where a training starts."
    return torch.zeros(*shape, dtype=torch.float64, requires_grad=True)

def train(X, optimizer, steps=200, lr=.1, **kw):
    "Identities E and map W after training the sum E + X W by BPR from zero."
    E, W = (zeros(n, users.shape[1]) for n in X.shape)
    opt = optimizer([E, W], lr, **kw)
    for _ in range(steps):
        rows = E + X @ W
        gaps = [users[u] @ (rows[i] - rows[j]) for u, i, j in triples]
        loss = -sum(logsigmoid(gap) for gap in gaps)/len(triples)
        opt.zero_grad()
        loss.backward()
        opt.step()
    return E.detach(), W.detach()

E, W = train(X, torch.optim.SGD)
E.round(decimals=3), (X.T @ E).round(decimals=3), W.round(decimals=3)

# %% [markdown]
# The last two are equal: what the map learnt is $X^\top$ times what the identities learnt. With Adam it is not:

# %%
E, W = train(X, torch.optim.Adam)
(X.T @ E).round(decimals=3), W.round(decimals=3)


# %% [markdown]
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $E$ | `E` | $(n,d)$ | identities, a free row for each of $n$ items |
# | $X$ | `X` | $(n,D)$ | features, constant |
# | $W$ | `W` | $(D,d)$ | the shared map |
# | $Q=E+XW$ | | $(n,d)$ | what the loss sees of the items |
# | $G=\partial L/\partial Q$ | `G` | $(n,d)$ | gradient by it |
# | $\eta_E,\eta_W$ | `lr_ratio` is $\eta_W/\eta_E$ | | learning rates |
# | $\sigma_k,u_k$ | | | singular values of $X$ and directions in the space of items, $X=\sum_k\sigma_ku_kv_k^\top$ |
# | $\textcolor{#0072b2}{\phi_k}$ | `feature_share` | | part of the movement in direction $u_k$ that features make |
#
# ## Statement 1: one triple says little
#
# For a user with row $p$ who took item $i$ and not $j$, $\ell=-\log\sigma(p^\top(q_i-q_j))$. With $\delta=\sigma(-p^\top(q_i-q_j))$
#
# $$
# \begin{aligned}
# \nabla_{e_i}\ell&=-\delta p,\qquad\nabla_{e_j}\ell=\delta p,\\
# \nabla_W\ell&=-\delta\,(x_i-x_j)\,p^\top.
# \end{aligned}
# $$ {#eq-triple}
#
# *Why.* The derivative of $-\log\sigma(z)$ is $-\sigma(-z)$, and $z=p^\top(e_i-e_j)+(x_i-x_j)^\top Wp$.
#
# So the gradient of the map is $\|x_i-x_j\|$ times as long as that of an identity: a matter of the **scale of the features**. Of the change of $z$ in one small step of equal rates, the map makes the part $\|x_i-x_j\|^2/(\|x_i-x_j\|^2+2)$, for rows of length one with cosine $c\ge0$ at most a half: such a triple shows no dominance. (Where $\|x_i-x_j\|^2>2$, as between long and unlike rows, already one triple is dominated. What the user's own row adds is left out here.)

# %%
#| exports
def triple_gradients(
    p: Tensor,   # row of the user, (d,)
    q_i: Tensor, # row of the item taken, (d,)
    q_j: Tensor, # row of the other item, (d,)
    x_i: Tensor, # features of the item taken, (D,)
    x_j: Tensor, # features of the other item, (D,)
)->tuple[Tensor, Tensor, Tensor]: # by e_i (d,), by e_j (d,), by W (D, d)
    "Gradients of BPR for one triple. Source: ours, for the loss of Rendle et al. 2009."
    delta = torch.sigmoid(-p @ (q_i - q_j))
    return -delta*p, delta*p, -delta*torch.outer(x_i - x_j, p)


# %%
e_i, e_j, w = triple_gradients(users[0], X[0], X[1], X[0], X[2])
e_i.norm().item(), w.norm().item(), (w.norm()/e_i.norm()).item()


# %% [markdown]
# ## Statement 2: the law of displacement
#
# Let the loss see $E$ and $W$ only through $Q=E+XW$ with constant $X$: any loss, any graph, any users, any order of batches, whatever else is learnt beside. Train both by gradient descent with rates of constant ratio, with or without momentum, the same for both and from rest, and without weight decay. Then after any number of steps
#
# $$W_T-W_0=\frac{\eta_W}{\eta_E}\,X^\top(E_T-E_0).$$ {#eq-law}
#
# *Why.* By the chain rule $\nabla_EL=G$ and $\nabla_WL=X^\top G$. Adding up the steps, $E_T-E_0=-\eta_E\sum G_t$ and $W_T-W_0=-\eta_WX^\top\sum G_t$. With momentum both velocities are the same sums of the same gradients, weighted alike, so the law stays. Adam divides every coordinate by its own history, and the law is gone, but for features that are one-hot rows, an item a row, where both histories are the same.
#
# Nothing here is special to BPR. What BPR contributes is the $G$. The law is about sums: VBPR, which sets features **beside** identities and gives users rows of their own for each, and an encoder with a hidden layer, are not of this form.

# %%
#| exports
def displacement_law(
    E0: Tensor, # identities before, (n, d)
    E: Tensor,  # identities after, (n, d)
    W0: Tensor, # map before, (D, d)
    W: Tensor,  # map after, (D, d)
    X: Tensor,  # features, (n, D)
    lr_ratio: float=1., # learning rate of W over that of E
)->float: # 0 where the law holds
    """Length of what the law does not explain of the map's movement, relative to that
    movement, infinite for a map that stays where the law says it moves; raises
    `UserError` for shapes that do not fit.

    Source: ours."""
    if X.shape != (len(E), len(W)):
        raise UserError(f'X of shape {tuple(X.shape)}: ({len(E)}, {len(W)}) is '
                        'expected, items by features')
    for name, a, like in ('E0', E0, E), ('W0', W0, W), ('W', W[:1], E[:1]):
        if a.shape != like.shape:
            raise UserError(f'{name} of shape {tuple(a.shape)}: {tuple(like.shape)} is '
                            'expected')
    moved = W - W0
    missed = moved - lr_ratio*X.T @ (E - E0)
    return (missed.norm()/moved.norm()).item() if missed.any() else 0.


# %%
zero = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
law = lambda E, W: displacement_law(zero[0], E, zero[1], W, X)
{'SGD': law(*train(X, torch.optim.SGD)) < 1e-12,
 'momentum': law(*train(X, torch.optim.SGD, momentum=.9)) < 1e-12,
 'Adam': round(law(*train(X, torch.optim.Adam)), 2)}

# %%
raises(displacement_law, *zero, *zero, X)


# %% [markdown]
# ## Statement 3: who moves in which direction
#
# With equal rates, in direction $u_k$ of the space of items, features move the rows $\sigma_k^2$ times as far as identities do:
#
# $$u_k^\top X(W_T-W_0)=\sigma_k^2\;u_k^\top(E_T-E_0).$$ {#eq-direction}
#
# Of the whole movement of $Q$ in that direction, features make the part
#
# $$\textcolor{#0072b2}{\phi_k=\frac{\sigma_k^2}{1+\sigma_k^2}},$$ {#eq-share}
#
# and identities the rest, $1/(1+\sigma_k^2)$. In directions that no combination of features shows, they make all of it.
#
# *Why.* Put @eq-law into $X(W_T-W_0)$: $XX^\top(E_T-E_0)$, and $u_k^\top XX^\top=\sigma_k^2u_k^\top$. The movement of $Q$ is the sum of both.
#
# That is the bias, without approximation. Features win where $\sigma_k^2>1$. For $n$ rows of length one, $\sum_k\sigma_k^2=n$, so with many more items than features $\sigma_k^2$ is large on average, and identities are left with little if it is spread evenly; or a few strong directions take most of it. In the directions beyond the number of features identities have everything. **For rows of length one whose cosine is not negative a single triple shows no dominance; a map that is shared by more items than it has features shows it in some direction.** For then the largest $\sigma_k^2$ is at least $n/D>1$.

# %%
#| exports
def feature_share(
    X: Tensor, # features, (n, D)
)->tuple[Tensor, Tensor]: # shares, falling, (n,); directions as columns, (n, n)
    """How much of a movement features make, direction by direction; 0 where only
    identities reach. Source: ours."""
    u, sigma, _ = torch.linalg.svd(X, full_matrices=True)
    square = torch.zeros(len(X), dtype=X.dtype)
    square[:len(sigma)] = sigma**2
    return square/(1 + square), u


# %%
feature_share(X)[0]


# %% [markdown]
# Three items: in one direction features make nearly two thirds, in another half, in the third nothing.
#
# ## Statement 4: who lowers the loss
#
# In a small step of equal rates, identities lower the loss by $\eta\|G\|^2$ and features by $\eta\|X^\top G\|^2$, so that features have the part
#
# $$\frac{\|X^\top G\|^2}{\|G\|^2+\|X^\top G\|^2},$$ {#eq-decrease}
#
# which lies between the smallest and the largest $\phi_k$, zeros included.
#
# *Why.* First-order Taylor: a step of $-\eta\nabla$ lowers the loss by $\eta\|\nabla\|^2$. Write $G$ in the directions $u_k$, with parts $G_k$: the quotient is $\sum\sigma_k^2\|G_k\|^2/\sum(1+\sigma_k^2)\|G_k\|^2$, a mean of the $\phi_k$ with weights that are not negative.

# %%
#| exports
def decrease_share(
    G: Tensor, # gradient by Q, (n, d)
    X: Tensor, # features, (n, D)
)->float:
    """Part of a small step's decrease of the loss that the feature map makes.

    Source: ours."""
    if not G.any():
        raise UserError('G is zero: no small step lowers the loss')
    G = G/G.abs().max()
    features = (X.T @ G).square().sum()
    return (features/(features + G.square().sum())).item()


# %%
column = lambda *g: torch.tensor(g, dtype=torch.float64)[:, None]
decrease_share(column(1., 1., 0.), X), decrease_share(column(1., -1., 0.), X)

# %% [markdown]
# Moving the two items that look alike together is the features' work; telling them apart is left to identities.
#
# ## Is it true?
#
# As on all pages, each claim is checked by routes that do not use it, broken on purpose ([how](../core/checks.ipynb)) and [hunted](../core/hunt.ipynb).

# %%
rng = np.random.default_rng(0)
P, QI, QJ, XI, XJ = (torch.from_numpy(rng.standard_normal(n)) for n in (3, 3, 3, 4, 4))

def by_autograd():
    "The gradients of one triple by torch."
    e_i, e_j, w = zeros(3), zeros(3), zeros(4, 3)
    loss = -logsigmoid(P @ (QI + e_i + XI @ w - QJ - e_j - XJ @ w))
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, (e_i, e_j, w))])

def triples(size):
    "A user, two items and their features."
    kinds = 'generic', 'zero', 'equal', 'lone', 'whole', 'tiny'
    return st.tuples(wholes(1, size), wholes(1, size)).flatmap(
        lambda n: st.fixed_dictionaries({
            **{k: tensors(n[0], kinds=kinds) for k in ('p', 'q_i', 'q_j')},
            **{k: tensors(n[1], kinds=kinds) for k in ('x_i', 'x_j')}}))

def by_torch(p, q_i, q_j, x_i, x_j):
    "The same for any triple."
    e_i, e_j, w = zeros(len(p)), zeros(len(p)), zeros(len(x_i), len(p))
    loss = -logsigmoid(p @ (q_i + e_i + x_i @ w - q_j - e_j - x_j @ w))
    return torch.autograd.grad(loss, (e_i, e_j, w))

def by_steps(h=1e-5):
    "The gradients by central differences, in numpy."
    def value(a):
        e_i, e_j, w = a[:3], a[3:6], a[6:].reshape(4, 3)
        p, q_i, q_j, x_i, x_j = (t.numpy() for t in (P, QI, QJ, XI, XJ))
        z = p @ (q_i + e_i + x_i @ w - q_j - e_j - x_j @ w)
        return np.log1p(np.exp(-z))
    return [(value(h*unit) - value(-h*unit))/(2*h) for unit in np.eye(18)]

by_autograd()[:3], by_steps()[:3]

# %%
#| code-fold: true
#| code-summary: "The claim about one triple, its routes and its edits"
flat = lambda f: torch.cat([g.flatten() for g in f(P, QI, QJ, XI, XJ)])

def far_apart(f, z):
    "The gradient by e_j of two items z apart, in units of the exponential of -z."
    at = lambda *a: torch.tensor(a, dtype=torch.float64)
    return f(at(1), at(z), at(0), at(0), at(0))[1]*np.exp(z)

claim('lirdrec.triple_gradients',
    'For one triple $\\nabla_{e_i}=-\\delta p$, $\\nabla_{e_j}=\\delta p$, '
    '$\\nabla_W=-\\delta(x_i-x_j)p^\\top$.', of=triple_gradients, source='ours',
    checks=[Check('trusted implementation', flat, by_autograd, 1e-14, 'float64, torch autograd'),
            Check('finite differences', flat, by_steps, 1e-9, 'central differences with step 1e-5')],
    hunts=[Hunt(triples, by_torch, 'trusted implementation', 1e-12, 'float64, torch autograd'),
           Hunt(lambda size: st.fixed_dictionaries({'z': reals(0, 10*size)}), lambda z: 1/(1 + np.exp(-z)),
                'algebra', 1e-9, 'δ times the exponential of z, so that the last digits of a triple that is '
                'ranked well count', ours=far_apart, sizes=(1, 4, 64), most=64, points=25)],
    equivalent={'-p @ (q_i - q_j) → (q_i - q_j) @ -p': 'an inner product'},
    mutants=[('sigmoid(-p', 'sigmoid(p'), ('x_i - x_j, p', 'x_i + x_j, p'),
             ('return -delta*p, delta*p', 'return -delta*p, -delta*p')])


# %% [markdown]
# **The law**, on a network in which much else happens: users are learnt too, rows flow over a random graph, batches are random, and a penalty pulls on the result. Torch's optimisers do the steps; a loop in numpy does them once more for a least-squares loss.

# %%
def busy_training(optimizer, lr_w=.05, steps=200, **kw):
    "Train E and W inside a graph network with moving users, and return what moved."
    torch.manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    X, A = normal(12, 4), torch.rand(12, 12, dtype=torch.float64)/12
    E, W, users = (normal(n, 3).requires_grad_() for n in (12, 4, 8))
    start = E.detach().clone(), W.detach().clone()
    opt = optimizer([{'params': [E, users]}, {'params': [W], 'lr': lr_w}], .05, **kw)
    for _ in range(steps):
        Q = E + X @ W
        Q = Q + A @ Q.tanh()
        u, i, j = (torch.randint(n, (16,)) for n in (8, 12, 12))
        gaps = (users[u]*(Q[i] - Q[j])).sum(1)
        loss = -logsigmoid(gaps).mean() + .01*Q.square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return start[0], E.detach(), start[1], W.detach(), X

round(displacement_law(*busy_training(torch.optim.Adam)), 2)

# %%
LOSSES = {'squared': lambda Q: (Q - 1).square().sum(),
          'logistic': lambda Q: -logsigmoid(Q).sum(),
          'waves': lambda Q: Q.sin().sum() + .1*Q.roll(1, 0).mul(Q).sum()}

def trainings(size):
    "Items, features, rates, steps and a loss."
    return st.fixed_dictionaries(dict(
        n=wholes(1, 2*size), features=wholes(1, size), steps=wholes(1, 2*size),
        ratio=scales(.01, 100.), momentum=reals(0, .95), seed=wholes(0, 9),
        loss=st.sampled_from(sorted(LOSSES))))

@cache
def trained(n, features, ratio, steps, momentum, loss, seed, decay=0., width=2):
    "E and W before and after descent from a random start."
    r = np.random.default_rng(seed)
    normal = lambda *shape: torch.from_numpy(r.standard_normal(shape))
    X = normal(n, features)/(n*features)**.5
    start = normal(n, width), normal(features, width)
    E, W = (a.clone().requires_grad_() for a in start)
    lr = .01/(1 + ratio)
    groups = [{'params': [E]}, {'params': [W], 'lr': ratio*lr}]
    opt = torch.optim.SGD(groups, lr, momentum=momentum, weight_decay=decay)
    for _ in range(steps):
        opt.zero_grad()
        LOSSES[loss](E + X @ W).backward()
        opt.step()
    return start[0], E.detach(), start[1], W.detach(), X

def off_the_law(f, ratio, **given):
    "What the law misses, of the movement and a millionth of where it started."
    E0, E, W0, W, X = trained(ratio=ratio, **given)
    moved, stood = (W - W0).norm().item(), (E0.norm() + W0.norm()).item()
    return f(E0, E, W0, W, X, ratio)*moved/(moved + 1e-6*stood)

def movements(size):
    "Any two states, and features."
    plain = 'generic', 'zero', 'equal', 'lone', 'whole'
    def made(n, D, d):
        "Of these sizes; the map has moved."
        E, W = tensors(n, d, kinds=plain), tensors(D, d, kinds=plain)
        X, after = tensors(n, D, kinds=plain), ('generic', 'lone', 'whole')
        return st.fixed_dictionaries(
            dict(E0=E, E=E, W0=W, W=tensors(D, d, kinds=after), X=X),
            optional=dict(lr_ratio=scales(.01, 100.)))
    given = st.tuples(*[wholes(1, size)]*3).flatmap(lambda s: made(*s))
    return given.filter(lambda a: (a['W'] != a['W0']).any())

def left_over(E0, E, W0, W, X, lr_ratio=1.):
    "Root mean squares of what is left and of what moved, by einsum over the items."
    moved = (W - W0).numpy()
    explained = np.einsum('ik,ic->kc', X.numpy(), (E - E0).numpy())
    return np.sqrt(np.mean((moved - lr_ratio*explained)**2)/np.mean(moved**2))

def by_loop(rate_e, rate_w, steps=300):
    "Least squares on Q = E + X W by hand-written descent, in numpy."
    r = np.random.default_rng(3)
    X, target = r.standard_normal((6, 3)), r.standard_normal((6, 2))
    E, W = np.zeros((6, 2)), np.zeros((3, 2))
    for _ in range(steps):
        G = E + X @ W - target
        E, W = E - rate_e*G, W - rate_w*X.T @ G
    return [torch.from_numpy(a) for a in (0*E, E, 0*W, W, X)]


# %%
#| code-fold: true
#| code-summary: "The claim about the law, its routes and its edits"
sgd = busy_training(torch.optim.SGD)
heavy = busy_training(torch.optim.SGD, momentum=.9)
uneven = busy_training(torch.optim.SGD, lr_w=.01)
claim('lirdrec.displacement_law',
    '$W_T-W_0=\\frac{\\eta_W}{\\eta_E}X^\\top(E_T-E_0)$ for gradient descent, '
    'with and without momentum, from rest and without weight decay.', of=displacement_law, source='ours',
    checks=[Check('trusted implementation', lambda f: [f(*sgd), f(*heavy), f(*uneven, .2)],
                  lambda: [0., 0., 0.], 1e-12, 'float64, 200 steps of torch.optim.SGD'),
            Check('brute force', lambda f: [f(*by_loop(.01, .01)), f(*by_loop(.01, .03), 3.)],
                  lambda: [0., 0.], 1e-12, 'float64, 300 steps in numpy'),
            Check('limit',
                  lambda f: [f(zero[0], zero[0], zero[1], zero[1] + 1, X), f(*zero[:1]*2, *zero[1:]*2, X)],
                  lambda: [1., 0.], 1e-14, 'only the map moved: nothing is explained; nothing moved'),
            Check('limit', lambda f: 1/f(zero[0], zero[0] + 1, zero[1], zero[1], X), lambda: 0., 1e-14,
                  'the law says that the map moves, and it rests: infinite')],
    hunts=[Hunt(movements, left_over, 'trusted implementation', 1e-10, 'numpy.einsum; float64'),
           Hunt(trainings, lambda **a: 0., 'trusted implementation', 1e-9,
                'float64, up to 64 steps of torch.optim.SGD; a movement of a millionth keeps nine digits',
                points=15, most=512, ours=off_the_law,
                outside=(dict(n=5, features=3, ratio=1., steps=20, momentum=0., loss='squared', seed=0,
                              decay=.1), 'with weight decay, from a start that is not zero'))],
    equivalent={'moved - lr_ratio * X.T @ (E - E0) → lr_ratio * X.T @ (E - E0) - moved': 'a length follows'},
    refuses=[lambda f: f(zero[0], zero[0], zero[1], zero[1] + 1, X[:2]),
             lambda f: f(zero[0], zero[0], zero[1], zero[1] + 1, X[:, :1]),
             lambda f: f(zero[0][:1], zero[0], zero[1], zero[1] + 1, X),
             lambda f: f(zero[0], zero[0], zero[1][:1], zero[1] + 1, X),
             lambda f: f(zero[0], zero[0], zero[1][:, :1], zero[1][:, :1] + 1, X)],
    mutants=[('lr_ratio*X.T', 'X.T/lr_ratio'), ('(E - E0)', '(E + E0)'),
             ('- lr_ratio', '+ lr_ratio'), ('/moved.norm()', '/X.norm()')])

# %%
not_huge = 'generic', 'zero', 'equal', 'lone', 'near', 'whole', 'tiny'

def by_eigenvalues(X):
    "Shares from the eigenvalues of XXᵀ; in their own directions these are a diagonal."
    squares = np.linalg.eigvalsh(X @ X.T)[::-1].clip(0)
    return squares/(1 + squares), np.diag(squares), np.eye(len(X))

def in_directions(f, X):
    "The shares; XXᵀ seen in the directions; and how these stand to one another."
    shares, u = f(X)
    return shares, u.T @ X @ X.T @ u, u.T @ u

def measured_shares(scale=1., optimizer=torch.optim.SGD, n=10, **kw):
    "Share of features in every direction, measured after a training."
    r = np.random.default_rng(4)
    X = torch.from_numpy(r.standard_normal((n, 4))*np.array([1., .6, .3, .1]))*scale
    target = torch.from_numpy(r.standard_normal((n, 2)))
    E, W = zeros(n, 2), zeros(4, 2)
    opt = optimizer([E, W], **{'lr': .01/max(1, scale**2), **kw})
    for _ in range(150):
        loss = (E + X @ W - target).square().sum()/2
        opt.zero_grad()
        loss.backward()
        opt.step()
    E, XW = E.detach().numpy(), (X @ W).detach().numpy()
    U = np.linalg.svd(X.numpy())[0]
    length = lambda moved: np.linalg.norm(U.T @ moved, axis=1)
    return X, length(XW)/length(E + XW)

measured_shares()[1].round(3)

# %%
#| code-fold: true
#| code-summary: "The claim about the shares, its routes and its edits"
half = torch.diag(torch.tensor([1., 2., 0.], dtype=torch.float64))
claim('lirdrec.feature_share',
    'In direction $u_k$ features make $\\sigma_k^2/(1+\\sigma_k^2)$ of the movement.',
    of=feature_share, source='ours',
    checks=[Check('trusted implementation', lambda f: f(measured_shares()[0])[0],
                  lambda: measured_shares()[1], 1e-10,
                  'float64, 150 steps of torch.optim.SGD; directions by numpy'),
            Check('limit', lambda f: [*f(half)[0], *f(1e6*half)[0][:2], f(1e-6*half)[0][0]],
                  lambda: [.8, .5, 0., 1., 1., 0.], 1e-10,
                  'a diagonal X; very large and very small features')],
    hunts=[Hunt(lambda size: st.tuples(wholes(1, size), wholes(1, size)).flatmap(
                    lambda s: st.fixed_dictionaries(dict(X=tensors(*s, kinds=not_huge)))),
                by_eigenvalues, 'trusted implementation', 1e-9,
                'numpy.linalg.eigvalsh; float64', ours=in_directions, sizes=(1, 2, 8, 24))],
    mutants=[('sigma**2', 'sigma'), ('(1 + square)', '(2 + square)'), ('square/(1', '1/(1')])


# %%
def gradients(size):
    "A gradient of any size but zero, and features."
    some = 'generic', 'lone', 'near'
    any_size = lambda *shape: st.builds(
        torch.mul, tensors(*shape, kinds=some), scales(1e-200, 1e200))
    return st.tuples(*[wholes(1, size)]*3).flatmap(lambda s: st.fixed_dictionaries(dict(
        G=any_size(s[0], s[1]),
        X=tensors(s[0], s[2], kinds=not_huge))))

def in_fractions(G, X):
    "The quotient of exact sums of squares."
    by_w, by_e = ((a**2).sum() for a in (exact(X).T @ exact(G), exact(G)))
    return float(by_w/(by_e + by_w))

def beyond(share, shares):
    "How far a share is outside the smallest and the largest of some."
    return max(0, share - shares.max(), shares.min() - share)

def by_small_steps(step=1e-6):
    """Decrease of a logistic loss by a small step of the map alone, over that of both
    alone, in numpy."""
    r = np.random.default_rng(5)
    X, Q, noise = (r.standard_normal((7, n)) for n in (3, 2, 2))
    signs = np.sign(noise)
    loss = lambda Q: np.log1p(np.exp(-signs*Q)).sum()
    G = -signs/(1 + np.exp(signs*Q))
    by_e, by_w = loss(Q) - loss(Q - step*G), loss(Q) - loss(Q - step*X @ (X.T @ G))
    return torch.from_numpy(G), torch.from_numpy(X), by_w/(by_e + by_w)

by_small_steps()[2]

# %%
#| code-fold: true
#| code-summary: "The claim about the decrease, its routes and its edits"
one, eye = torch.ones(4, 1, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
claim('lirdrec.decrease_share',
    'Features make $\\|X^\\top G\\|^2/(\\|G\\|^2+\\|X^\\top G\\|^2)$ of a small step\'s decrease.',
    of=decrease_share, source='ours',
    checks=[Check('finite differences', lambda f: f(*by_small_steps()[:2]),
                  lambda: by_small_steps()[2], 1e-6, 'a step of 1e-6, times a curvature of order one'),
            Check('limit', lambda f: [f(one, eye), f(one, 3*eye), f(one, one)],
                  lambda: [.5, .9, .8], 1e-14,
                  'identities in disguise, the same three times as large, '
                  'and one feature that all share')],
    hunts=[Hunt(gradients, in_fractions, 'algebra', 1e-12, 'fractions, then float64', sizes=(1, 2, 6, 12),
                most=48),
           Hunt(gradients, lambda G, X: 0., 'brute force', 1e-10, 'numpy.linalg.eigvalsh; float64',
                ours=lambda f, G, X: beyond(f(G, X), by_eigenvalues(X)[0]))],
    refuses=[lambda f: f(0*one, eye)],
    mutants=[('X.T @ G', 'X.T @ G.abs()'), ('G.square()', 'G.abs()'), ('features + G', '2*features + G')])


# %% [markdown]
# ## Picture
#
# Ten items with four features of falling strength. The curve is @eq-share, the marks are measured after training with three optimisers; the shaded directions no feature reaches. The slider scales the features.

# %%
#| hide
def spectrum(scale, ax):
    "Shares by the law and as measured."
    X, found = measured_shares(scale)
    ax.axvspan(4.5, 10.5, color='#eeeeee')
    ax.plot(range(1, 11), feature_share(X)[0], color=COLORS['blue'], label='σ²/(1 + σ²)')
    heavy = measured_shares(scale, momentum=.5)[1]
    adam = measured_shares(scale, torch.optim.Adam, lr=.02)[1]
    marks = {'SGD': (found, 'o', 'blue'), 'momentum': (heavy, 'x', 'green'), 'Adam': (adam, '^', 'orange')}
    for name, (y, mark, color) in marks.items():
        y = np.minimum(y, 1.3)
        ax.plot(range(1, 11), y, mark, color=COLORS[color], label=name, mfc='none', ms=7)
    ax.set(xlabel='direction, by strength of the features', ylabel='share made by features',
           ylim=(-.05, 1.55), xticks=range(1, 11))
    ax.legend(loc='upper right', ncols=4)


# %%
#| label: fig-spectrum
#| fig-cap: "Share of the movement that features make in each direction of the space of items. A mark at 1.3 stands for that or more. The slider scales the features."
#| echo: false
slider('features times', [.1, .3, 1, 3, 10], spectrum,
    'With plain descent and with momentum the measured shares lie on the curve at every scale; '
    'with Adam hardly one does where features reach. The larger the features, the more directions '
    'they take over; where no feature reaches, identities do all.', start=1)

# %% [markdown]
# A share above one, with Adam, means that features went too far and identities took a part back.
#
# ## What if
#
# Predict first, then open.
#
# **1.** All features are multiplied by ten. What happens to the share of the features in a direction in which it was a half?
#
# <details><summary>Answer</summary>
#
# $\sigma^2$ goes from 1 to 100, the share from ½ to 100/101.
#
# </details>

# %%
[feature_share(s*torch.eye(1, dtype=torch.float64))[0].item() for s in (1., 10.)]

# %% [markdown]
# **2.** Weight decay of equal strength on both, equal and constant rates, no momentum. Does the law hold?
#
# <details><summary>Answer</summary>
#
# From a start at zero, or any with $W_0=X^\top E_0$, yes. From others, the difference $M=W-X^\top E$ shrinks by the same factor in every step, whatever the loss, so that $W$ is driven to $X^\top E$.
#
# </details>
#
# **3.** The features are replaced by one-hot rows, another for each item. What is the share?
#
# <details><summary>Answer</summary>
#
# A half in every direction: then the map is a second table of identities.
#
# </details>

# %%
feature_share(torch.eye(3, dtype=torch.float64))[0]

# %% [markdown]
# Whether the bias does harm is another question, which needs trainings and not formulas.
#
# ## Where it lives
#
# `papers_nb.lirdrec.displacement`. `displacement_law` and `feature_share` take the tensors of any model whose items are a **sum** of identities and linearly mapped features.
