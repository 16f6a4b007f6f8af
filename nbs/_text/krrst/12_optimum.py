# %% [markdown]
# # The best targets do not depend on the ridge, and one extractor is no task
#
# > With images and extractors held still, the targets solve a least-squares problem; for a single extractor they can say anything.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), for the loss of the official code, `distill.py`; statements and proofs are ours · 8 minutes · what you need first: [the ridge](11_ridge.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.optimum

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from fractions import Fraction
import numpy as np
from hypothesis import strategies as st
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, scales, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
theme()

# %% [markdown]
# ## The question
#
# KRR-ST moves images and targets together, by small steps. But for fixed images and a fixed extractor the prediction is *linear* in the targets, so the best ones can be written down. What are they, what is left for the images to do, and why does the method need a whole pool of extractors?
#
# ## One image, one feature
#
# The synthetic image has feature 1, two real ones have features 1 and 2, and the target model says 2 and 2. A target $y$ gives the head $w=y/(1+\lambda)$ and the predictions $w$ and $2w$. Best is $w=\frac65$, so $y=\frac65(1+\lambda)$: **the target grows with the ridge, the predictions do not know it.**

# %%
predicted = lambda y, lam: y/(1 + lam)*np.array([1., 2.])
[(round(1.2*(1 + lam), 2), predicted(1.2*(1 + lam), lam)) for lam in (.1, 1., 10.)]


# %% [markdown]
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $\Phi_s,\Phi_t,K_{ss},K_{ts},A,\lambda$ | | | as on [the page before](11_ridge.ipynb) |
# | $S=K_{ts}A^{-1}$ | `s` | $(b,m)$ | what turns targets into predictions |
# | $Y_t$ | `wanted` | $(b,k)$ | what the target model says |
# | $S^+$ | | $(m,b)$ | pseudoinverse |
# | $W$ | `head` | $(d,k)$ | any head that a distilled set is to give |
#
# ## Statement 1: the best targets
#
# For fixed images and one extractor the outer loss is $\frac12\|Y_t-SY_s\|^2$, least for $Y_s^\circ=S^+Y_t$ with the value $\frac12\|(I-SS^+)Y_t\|^2$. **This value is the same for every $\lambda>0$.**
#
# *Why.* The first half is least squares. The value depends on $S$ only through the space that its columns span, and $S=K_{ts}A^{-1}$ with an invertible $A$ spans what $K_{ts}$ spans, whatever $\lambda$ is.
#
# For several extractors, or batches, with matrices $S_1,S_2,\dots$, one set of targets has to serve all: stack them, and the same holds for the stack:
#
# $$\Bigl(\sum_iS_i^\top S_i\Bigr)Y_s^\circ=\sum_iS_i^\top Y_t^{(i)}.$$ {#eq-normal}
#
# The independence of $\lambda$ is then gone: each $S_i$ has its own $A_i$, and the stack spans another space for another ridge.

# %%
#| exports
def best_targets(
    s: list[Tensor],      # S of each extractor or batch, (b_i, m)
    wanted: list[Tensor], # what the target model says there, (b_i, k)
    cut: float=1e-12,     # singular values below this share of the largest are zero
)->Tensor: # Y_s, (m, k), the shortest of the best, float64
    """Targets with the least squared error over all extractors together.

    Raises `UserError` for shapes that do not fit or numbers that are not finite.
    Source: ours."""
    if not s or len(s) != len(wanted):
        raise UserError(f'{len(s)} matrices and {len(wanted)} targets: as many of '
                        'each, at least one, are expected')
    if not 0 <= cut < 1: raise UserError(f'cut={cut}: a share, at least 0 and below 1')
    m, k = s[0].shape[-1], wanted[0].shape[-1]
    for a, y in zip(s, wanted):
        if a.shape != (len(y), m) or y.shape[1:] != (k,):
            raise UserError(f'S of shape {tuple(a.shape)} and wanted of '
                            f'{tuple(y.shape)}: (b, {m}) and (b, {k}) are expected')
    rows, right = torch.cat(s).double(), torch.cat(wanted).double()
    if not (rows.isfinite().all() and right.isfinite().all()):
        raise UserError('S or wanted holds numbers that are not finite')
    return torch.linalg.pinv(rows, rtol=cut) @ right


# %%
one = lambda lam: torch.tensor([[1.], [2.]])/(1 + lam)
two = torch.tensor([[2.], [2.]])
[round(best_targets([one(lam)], [two]).item(), 3) for lam in (.1, 1., 10.)]

# %%
raises(best_targets, [one(1.)], []), raises(best_targets, [one(1.)], [two[:1]])


# %% [markdown]
# **In floating point a rank is a decision.** The value is free of $\lambda$ as a number; a computer has to say which singular values of $S$ are zero, and those do depend on $\lambda$. Two images, the second with a feature of only $\varepsilon=10^{-13}$ in a direction of its own: $K_{ts}$ has the singular values 1 and $\varepsilon$, while $S$ has $\frac1{1+\lambda}$ and $\frac\varepsilon{\varepsilon^2+\lambda}$. Both real targets are 1, and can be met. The squared error that is left:

# %%
def left(lam, cut, eps=1e-13):
    "Squared error that the best targets leave for features 1 and ε."
    phi, y = torch.tensor([1., eps]).double(), torch.ones(2, 1).double()
    s = torch.diag(phi/(phi**2 + lam))
    return (s @ best_targets([s], [y], cut) - y).square().sum().item()

[[round(left(lam, cut), 6) for lam in (1e-20, 1e-6, 1.)] for cut in (1e-12, 1e-15)]


# %% [markdown]
# With a cut of $10^{-12}$ the ridge decides whether the second image exists. So the cut belongs to the answer: give it, and try another.

# %% [markdown]
# ## Statement 2: for one extractor a set can say anything
#
# If the rows of $\Phi_s$ span a space that contains the columns of $W$, then the targets
#
# $$Y_s=A\,(\Phi_s^\top)^+\,W$$ {#eq-any}
#
# make $W$ the ridge head, for every $\lambda>0$.
#
# *Why.* $\alpha=A^{-1}Y_s=(\Phi_s^\top)^+W$, and the head is $\Phi_s^\top\alpha=\Phi_s^\top(\Phi_s^\top)^+W$: $W$ projected onto the columns of $\Phi_s^\top$, which leaves it as it is.
#
# So with at least as many images as the head has rank, and with features that can be chosen, a distilled set reproduces *the* head that all real images would give, exactly. What makes the task hard is that images have to be found that have those features, and that one set has to serve many extractors: for a second extractor the same $Y_s$ gives another head. That is the reason for the pool.

# %%
#| exports
def targets_for_head(
    phi_s: Tensor, # features of the synthetic images, (m, d)
    head: Tensor,  # W, (d, k)
    lam: float,    # λ, above 0
)->Tensor: # Y_s, (m, k), float64
    """Targets whose ridge head is `head`, projected onto what the features span.

    Raises `UserError` for shapes that do not fit, numbers that are not finite and a
    ridge that is not above 0. Source: ours."""
    if not 0 < lam < float('inf'):
        raise UserError(f'lam={lam}: a finite ridge above 0 is expected')
    if phi_s.ndim != 2 or head.ndim != 2 or phi_s.shape[1] != len(head):
        raise UserError(f'phi_s of shape {tuple(phi_s.shape)} and head of '
                        f'{tuple(head.shape)}: (m, d) and (d, k) are expected')
    if not (phi_s.isfinite().all() and head.isfinite().all()):
        raise UserError('phi_s or head holds numbers that are not finite')
    phi = phi_s.double()
    alpha = torch.linalg.pinv(phi.T) @ head.double()
    return phi @ (phi.T @ alpha) + lam*alpha


# %% [markdown]
# Two images with features $(1,0)$ and $(1,1)$ span everything; the head $(3,-1)$ for two ridges:

# %%
phi = torch.tensor([[1., 0.], [1., 1.]]).double()
w = torch.tensor([[3.], [-1.]]).double()
def head_of(phi, y, lam):
    "The ridge head in the primal form."
    return torch.linalg.solve(phi.T @ phi + lam*torch.eye(2).double(), phi.T @ y)
made = lambda lam: head_of(phi, targets_for_head(phi, w, lam), lam)
[made(lam).flatten().tolist() for lam in (.1, 10.)]

# %% [markdown]
# A second extractor, which sees $(1,1)$ and $(0,1)$ in the same two images, gets from the targets that were made for the first

# %%
other = torch.tensor([[1., 1.], [0., 1.]]).double()
head_of(other, targets_for_head(phi, w, .1), .1).flatten().tolist()

# %% [markdown]
# and would need, to have the same head, targets of its own:

# %%
[targets_for_head(p, w, .1).flatten().tolist() for p in (phi, other)]

# %% [markdown]
# Both feature matrices are invertible, so for each of them these targets are the only ones: no targets give both extractors this head.

# %%
raises(targets_for_head, phi, w, 0.)


# %% [markdown]
# ## Is it true?
#
# **The best targets**, by numpy's least squares and by pushing them in every direction; and the value for many ridges.

# %%
#| code-fold: true
#| code-summary: "Other routes, and the domain"
def stacked(s, wanted):
    "Predictions of the best targets by numpy, and the error."
    rows, right = (np.concatenate([t.numpy() for t in part]) for part in (s, wanted))
    y = np.linalg.lstsq(rows, right, rcond=1e-12)[0]
    return rows @ y, [((rows @ y - right)**2).sum()]

def of_ours(f, s, wanted):
    "The same from the function under test, per unit of what is wanted."
    y, rows, right = f(s, wanted), torch.cat(s), torch.cat(wanted)
    return rows @ y, [(rows @ y - right).square().sum()]

unit = lambda wanted: 1 + sum(t.square().sum().item() for t in wanted)
per_unit = lambda wanted, pair: [np.asarray(part)/unit(wanted) for part in pair]
KINDS = ['generic', 'zero', 'equal', 'lone', 'whole']
def stacks(size):
    "One to three matrices of a set of images, and what is wanted."
    sizes = st.lists(wholes(1, size), min_size=1, max_size=3), wholes(1, size), wholes(1, 2)
    return st.tuples(*sizes).flatmap(lambda t: st.fixed_dictionaries(dict(
        s=st.tuples(*(tensors(b, t[1], kinds=KINDS) for b in t[0])).map(list),
        wanted=st.tuples(*(tensors(b, t[2], kinds=KINDS) for b in t[0])).map(list))))

rng = np.random.default_rng(0)
S, WANTED = [torch.from_numpy(rng.standard_normal((5, 3)))], [torch.from_numpy(rng.standard_normal((5, 2)))]
def pushed(f, h=1e-4):
    "By how much the error grows, at least, when one target is moved by h, over h²; and at most."
    y, grown = f(S, WANTED), []
    error = lambda y: (S[0] @ y - WANTED[0]).square().sum().item()
    for i in np.ndindex(*y.shape):
        for step in (h, -h):
            moved = y.clone()
            moved[i] += step
            grown.append((error(moved) - error(y))/h**2)
    return grown

columns = (S[0]**2).sum(0).repeat_interleave(4).tolist()

# %%
#| code-fold: true
#| code-summary: "The claim about the best targets, its routes and its edits"
exact = [torch.tensor([[1.], [2.]]).double()], [torch.tensor([[2.], [2.]]).double()]
claim('krrst.best_targets', 'The targets $S^+Y_t$ have the least error, over all extractors together.',
    of=best_targets, source='ours',
    checks=[
        Check('trusted implementation', lambda f: of_ours(f, S, WANTED)[0],
            lambda: stacked(S, WANTED)[0], 1e-12, 'numpy.linalg.lstsq, float64'),
        Check('finite differences', pushed, lambda: columns, 1e-5,
            'a quadratic: the growth over h² is the squared length of a column, for steps of 1e-4'),
        Check('brute force', lambda f: f(*exact).flatten(),
            lambda: [float(Fraction(1*2 + 2*2, 1 + 4))], 1e-14, 'fractions: 6/5')],
    hunts=[Hunt(stacks, lambda s, wanted: per_unit(wanted, stacked(s, wanted)),
        'trusted implementation', 1e-7,
        'numpy.linalg.lstsq with the same cut; square matrices drawn at random may be nearly singular',
        ours=lambda f, s, wanted: per_unit(wanted, of_ours(f, s, wanted)), sizes=(1, 2, 6, 16), most=64)],
    refuses=[lambda f: f([], []), lambda f: f(S, []), lambda f: f(S, [WANTED[0][:2]]),
             lambda f: f([*S, S[0][:, :2]], 2*WANTED), lambda f: f(2*S, [*WANTED, WANTED[0][:, :1]]),
             lambda f: f([S[0][0]], [WANTED[0][:3]]), lambda f: f(S, [WANTED[0][:, 0]]),
             lambda f: f(S, WANTED, -.5), lambda f: f(S, WANTED, 1.5), lambda f: f(S, WANTED, float('nan')),
             lambda f: f([S[0]*torch.nan], WANTED),
             lambda f: f(S, [WANTED[0]*torch.inf]),
             lambda f: f([S[0].index_fill(0, torch.tensor(1), torch.nan)], WANTED),
             lambda f: f(S, [WANTED[0].index_fill(0, torch.tensor(1), torch.nan)])],
    equivalent={'s, wanted, cut=1e-12 → s, wanted, cut=2e-12': 'no singular value lies between',
                's[0] → s[-1]': 'all have to be as wide as any of them',
                'wanted[0] → wanted[-1]': 'likewise'},
    mutants=[('@ right', '@ (right + 1)'), ('torch.cat(wanted)', '2*torch.cat(wanted)')])


# %% [markdown]
# **Free of the ridge.** For one extractor, the error that is left, by least squares on $K_{ts}$ itself, where no ridge occurs. Outside: the image of $10^{-13}$.

# %%
#| code-fold: true
#| code-summary: "The claim about the ridge, its routes and its edits"
def remaining(f, phi_s, phi_t, wanted, lam):
    "Squared error of the best targets for one extractor, per unit of what is wanted."
    s = phi_t @ torch.linalg.solve(phi_s @ phi_s.T + lam*torch.eye(len(phi_s)).double(), phi_s).T
    return (s @ f([s], [wanted]) - wanted).square().sum().item()/unit([wanted])

def without_ridge(phi_s, phi_t, wanted, lam):
    "The same by numpy on the inner products with real images; the ridge is not used."
    k, y = (phi_t @ phi_s.T).numpy(), wanted.numpy()
    return ((k @ np.linalg.lstsq(k, y)[0] - y)**2).sum()/unit([wanted])

def apart(size):
    "Images whose features are apart, real ones of any kind, and ridges of twelve orders of magnitude."
    plain = dict(kinds=['generic', 'zero', 'equal', 'lone', 'whole'])
    mix = lambda a, more: torch.cat([torch.eye(len(a)).double() + a @ a.T/(1 + a.square().sum()), more], 1)
    def made(m, more, b):
        "Features of m images that are of full rank, and of b real ones."
        return st.fixed_dictionaries(dict(
            phi_s=st.builds(mix, tensors(m, 2, **plain), tensors(m, more, **plain)),
            phi_t=tensors(b, m + more, **plain), wanted=tensors(b, 2, **plain), lam=scales(1e-6, 1e6)))
    return st.tuples(wholes(1, size), wholes(1, size), wholes(1, size)).flatmap(lambda t: made(*t))

SEEN, REAL = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((3, 4), (5, 4)))
at_ridges = lambda f: [remaining(f, SEEN, REAL, WANTED[0], lam) for lam in (1e-6, 1e-3, 1., 1e3, 1e6)]
by_span = lambda: float(((np.eye(5) - (q := np.linalg.qr((REAL @ SEEN.T).numpy())[0]) @ q.T)
                         @ WANTED[0].numpy()).__pow__(2).sum()/unit(WANTED))
spoilt = lambda t, row: t.index_fill(0, torch.tensor(row), torch.nan)
faint = dict(phi_s=torch.diag(torch.tensor([1., 1e-13]).double()), phi_t=torch.eye(2).double(),
             wanted=torch.ones(2, 1).double(), lam=1.)
claim('krrst.ridge_free',
    'For one extractor the error that the best targets leave is the same for every ridge.',
    of=best_targets, source='ours',
    checks=[
        Check('trusted implementation', at_ridges,
            lambda: 5*[without_ridge(SEEN, REAL, WANTED[0], None)], 1e-10, 'numpy.linalg.lstsq, float64'),
        Check('algebra', at_ridges,
            lambda: 5*[by_span()], 1e-10, 'the part of the targets off what K_ts spans, by a QR factor')],
    hunts=[Hunt(apart, without_ridge, 'trusted implementation', 1e-7,
        'numpy.linalg.lstsq; real images drawn at random may be nearly dependent', ours=remaining,
        sizes=(1, 2, 6, 16), most=64, outside=(faint, 'singular values above the cut'))],
    refuses=[lambda f: f([], []), lambda f: f(S, []), lambda f: f([*S, S[0][:, :2]], 2*WANTED),
             lambda f: f(2*S, [*WANTED, WANTED[0][:, :1]]), lambda f: f([S[0][0]], [WANTED[0][:3]]),
             lambda f: f(S, [WANTED[0][:, 0]]), lambda f: f(S, [WANTED[0][:2]]), lambda f: f(S, WANTED, -.5),
             lambda f: f(S, WANTED, 1.5), *(lambda f, i=i: f([spoilt(S[0], i)], WANTED) for i in (0, 1)),
             *(lambda f, i=i: f(S, [spoilt(WANTED[0], i)]) for i in (0, 1))],
    equivalent={'s, wanted, cut=1e-12 → s, wanted, cut=2e-12': 'no singular value lies between',
                's[0] → s[-1]': 'all have to be as wide as any of them',
                'wanted[0] → wanted[-1]': 'likewise'},
    mutants=[('@ right', '@ (right + 1)'), ('torch.cat(wanted)', '2*torch.cat(wanted)')])


# %% [markdown]
# **Any head** for one extractor: the primal ridge, exact fractions, and a point outside, where features do not span the head.

# %%
#| code-fold: true
#| code-summary: "The claim about any head, its routes and its edits"
def primal(f, phi_s, head, lam):
    "The ridge head of the targets, by the normal equations."
    phi, y = phi_s.numpy(), f(phi_s, head, lam).numpy()
    rows = np.r_[phi, lam**.5*np.eye(phi.shape[1])]
    return np.linalg.lstsq(rows, np.r_[y, np.zeros((phi.shape[1], y.shape[1]))])[0]

def wide_enough(size):
    "Features that span everything: the identity, stretched and mixed, and more rows."
    def made(d, more, k):
        "Rows that span all of d dimensions."
        mix = lambda a, rest: torch.cat([torch.eye(d).double() + a @ a.T/(1 + a.square().sum()), rest])
        plain = dict(kinds=['generic', 'zero', 'equal', 'lone', 'whole'])
        phi = st.builds(mix, tensors(d, 2, **plain), tensors(more, d, **plain))
        return st.fixed_dictionaries(dict(phi_s=phi, head=tensors(d, k, **plain), lam=scales(1e-3, 1e3)))
    return st.tuples(wholes(1, size), wholes(1, size), wholes(1, 2)).flatmap(lambda t: made(*t))

flat_phi = torch.tensor([[1., 0.]]).double()
claim('krrst.targets_for_head',
    'The targets $A(\\Phi_s^\\top)^+W$ make $W$ the ridge head, for every $\\lambda>0$.',
    of=targets_for_head, source='ours',
    checks=[
        Check('trusted implementation', lambda f: primal(f, phi, w, .3).ravel(), lambda: [3., -1.], 1e-12,
            'numpy.linalg.lstsq, float64'),
        Check('algebra', lambda f: f(phi, w, .5).flatten(),
            lambda: [float(v) for v in (3 + Fraction(1, 2)*4, 2 + Fraction(1, 2)*-1)], 1e-12,
            'by hand: α = (4, -1), Kα = (3, 2)')],
    hunts=[Hunt(wide_enough, lambda phi_s, head, lam: head, 'trusted implementation', 1e-9,
        'numpy.linalg.lstsq on the primal form', ours=primal, sizes=(1, 2, 6, 12), most=48,
        outside=(dict(phi_s=flat_phi, head=w, lam=.1), 'features that span the head'))],
    refuses=[lambda f: f(phi, w, 0.), lambda f: f(phi, w, -1.), lambda f: f(phi, w, float('nan')),
             lambda f: f(phi, w, float('inf')), lambda f: f(phi[0], w, 1.), lambda f: f(phi, w[:, 0], 1.),
             lambda f: f(phi, w[:1], 1.), lambda f: f(phi[None], w, 1.), lambda f: f(phi, w[None], 1.),
             *(lambda f, i=i: f(spoilt(phi, i), w, 1.) for i in (0, 1)),
             *(lambda f, i=i: f(phi, spoilt(w, i), 1.) for i in (0, 1))],
    mutants=[('+ lam*alpha', '- lam*alpha'), ('phi @ (phi.T @ alpha)', 'phi @ (phi.T @ (2*alpha))')])


# %% [markdown]
# **The value for many ridges**, six images with four features each, and fifty real ones; then the same for two extractors together.

# %%
def left_over(lam, extractors):
    "The error that the best targets leave, per unit of what is wanted."
    rng, s = np.random.default_rng(1), []
    wanted = torch.from_numpy(rng.standard_normal((50, 2)))
    for _ in range(extractors):
        a, b = (torch.from_numpy(rng.standard_normal((n, 4))) for n in (3, 50))
        s.append(b @ a.T @ torch.linalg.inv(a @ a.T + lam*torch.eye(3).double()))
    y = best_targets(s, [wanted]*extractors)
    return float(sum((part @ y - wanted).square().mean() for part in s)/extractors)

[[round(left_over(lam, n), 6) for lam in (1e-3, 1., 100.)] for n in (1, 2)]


# %% [markdown]
# ## One set, many extractors
#
# Images of twelve numbers, and random extractors that make sixteen features of them: how much error is left if one set of targets has to serve several? The slider moves the number of images.

# %%
#| hide
def shared_error(m, ax):
    "Error of the best targets against the number of extractors they serve, beside heads of their own."
    rng = np.random.default_rng(2)
    images, real = rng.standard_normal((m, 12)), rng.standard_normal((200, 12))
    wanted = torch.from_numpy(np.tanh(real @ rng.standard_normal((12, 3))))
    maps = [rng.standard_normal((12, 16)) for _ in range(12)]
    def seen(x, a): return torch.from_numpy(np.tanh(x @ a/2))
    s = []
    for a in maps:
        p, t = seen(images, a), seen(real, a)
        s.append(t @ p.T @ torch.linalg.inv(p @ p.T + 1e-3*torch.eye(m).double()))
    counts = np.arange(1, len(maps) + 1)
    def error(part):
        "What the best targets leave, of the size of what is wanted; a clear cut."
        y = best_targets(part, [wanted]*len(part), cut=1e-8)
        return np.mean([float((a @ y - wanted).square().mean()/wanted.square().mean()) for a in part])
    own = np.mean([error([a]) for a in s])
    shared = [error(s[:n]) for n in counts]
    ax.plot(counts, shared, 'o-', color=COLORS['blue'], label='one set of targets for all')
    ax.axhline(own, color=COLORS['orange'], label='targets of its own for each')
    ax.set(xlabel='extractors', ylabel='error : size of what is wanted', ylim=(0, 1))
    ax.legend(loc='lower right')


# %%
#| label: fig-shared
#| fig-cap: "Error of the best targets against the number of extractors that they have to serve. The slider moves the number of images."
#| echo: false
slider('images', [4, 8, 16, 32, 64], shared_error,
    'Targets for one extractor leave the least error; the more extractors they have to serve, the more is '
    'left on the whole, and many images leave less than few.', start=16)

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** The ridge is made a thousand times larger, and the targets are solved for. What do the predictions on real images do, for one extractor?
#
# <details><summary>Answer</summary>
#
# Nothing. The targets grow until the predictions are what they were. With the targets held, they tend to zero as the ridge grows.
#
# </details>
#
# **2.** The images are replaced by others with the same span of features. Does the least error change?
#
# <details><summary>Answer</summary>
#
# Not for one extractor: $K_{ts}=\Phi_t\Phi_s^\top$ spans what $\Phi_t$ makes of the span of the rows of $\Phi_s$. Images matter only through that span, as long as targets may be anything.
#
# </details>

# %%
mixed = torch.tensor([[2., 1.], [0., 3.]]).double() @ phi
t = torch.from_numpy(np.random.default_rng(3).standard_normal((6, 2)))
right = torch.from_numpy(np.random.default_rng(4).standard_normal((6, 1)))
def least(p):
    "Error of the best targets for synthetic features p."
    s = t @ p.T @ torch.linalg.inv(p @ p.T + torch.eye(2).double())
    return (s @ best_targets([s], [right]) - right).square().sum().item()
least(phi), least(mixed)

# %% [markdown]
# **3.** Twice as many images as target numbers, one extractor, and $d$ larger than both. Is the error on the real batch zero?
#
# <details><summary>Answer</summary>
#
# Not in general: the head is the best of those in the span of $m$ rows of features, and the batch has more rows than that. It is zero only when $S$ reaches $Y_t$, for instance when the batch is no larger than $m$ and $K_{ts}$ has full rank.
#
# </details>
#
# ## Where it lives
#
# `papers_nb.krrst.optimum`. [The distiller](21_krrst.ipynb) does not solve for targets: it moves them by gradient, and only for the extractor at hand.
