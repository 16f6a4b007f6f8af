# %% [markdown]
# # A ridge by the trace bounds what rounding can do, whatever the images
#
# > At the official share of a millionth, the system survives inner products in float32; kept in TF32 or bfloat16, they need not even leave it positive definite.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), for the ridge of the official code, `distill.py`; statements and proofs are ours · 8 minutes · what you need first: [the ridge](11_ridge.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.conditioning

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
from papers_nb.core.hunt import SHAPES, Hunt, scales, tensors, wholes
from papers_nb.core.images import load
from papers_nb.core.plots import COLORS, slider, theme
theme()


# %% [markdown]
# ## The question
#
# KRR-ST solves a linear system at every step, with a ridge of a millionth of the trace. Images that a network sees alike make such a system nearly singular, and graphics cards like to compute with few digits. How bad can the system get, how much does so small a ridge hold back, and which number formats are precise enough?
#
# ## Two images that are nearly alike
#
# One feature, 1 on the first image and 1.004 on the second. Their inner products are 1, 1.004 and 1.008016. Near 1, bfloat16 has steps of $2^{-7}=0.0078125$, so both 1.004 and 1.008016 become 1.0078125:

# %%
def rounded(values, digits):
    "Numbers to that many binary digits, the nearest ones."
    part, power = np.frexp(np.asarray(values))
    return np.ldexp(np.rint(np.ldexp(part, digits)), power - digits)

phi = np.array([[1.], [1.004]])
gram = phi @ phi.T
rounded(gram, 8)

# %% [markdown]
# The second image is now as near to the first as to itself. No vectors do that (the determinant is $1.0078125\cdot(1-1.0078125)<0$), and the ridge, a millionth of the trace, is too small to help. The smallest eigenvalue of $K+\lambda I$, in units of $\lambda$, with 24 binary digits (float32), 11 (TF32, and float16), 8 (bfloat16):

# %%
ridge = 1e-6*np.trace(gram)
def least(k):
    "Smallest eigenvalue with the ridge, in units of the ridge."
    return np.linalg.eigvalsh(k + ridge*np.eye(len(k)))[0]/ridge
[round(float(least(rounded(gram, digits))), 1) for digits in (24, 11, 8)]


# %% [markdown]
# It should be 1. Where it is negative, there is no Cholesky factor, and what a general solver gives is no ridge regression.
#
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $K,A,\alpha,\lambda$ | `lam` | | $K_{ss},A,\alpha$ and ridge as on [the ridge's page](11_ridge.ipynb) |
# | $\rho$ | `ratio` | | $\lambda/\mathrm{tr}K$, officially $10^{-6}$ |
# | $s_1\ge\dots\ge s_m$ | | $(m)$ | eigenvalues of $K$, none negative |
# | $\kappa(A)$ | | | largest eigenvalue of $A$ over the smallest |
# | $p$ | `digits` | | binary digits of a number format |
# | $u=2^{-p}$ | | | its relative rounding is below this |
# | $\|\cdot\|$ | | | of a matrix, its largest factor of stretching |
#
# $K$ is not zero: some image has a feature.
#
# ## Statement 1: the condition number
#
# With $\lambda=\rho\,\mathrm{tr}K$,
#
# $$\kappa(A)\le1+\frac1\rho,$$ {#eq-condition}
#
# with equality exactly if $K$ has rank one and there are two images or more.
#
# *Why.* $\kappa(A)=\dfrac{s_1+\lambda}{s_m+\lambda}\le1+\dfrac{s_1}\lambda$, since $s_m\ge0$, and $s_1\le\sum_is_i=\mathrm{tr}K$. The first is an equality if $s_m=0$, the second if there is no eigenvalue but $s_1$.
#
# Beside the **mean** eigenvalue $\mathrm{tr}K/m$ the ridge is larger, $\rho m$: a thousandth for a thousand images. The code of FRePo, from which KRR-ST's grew, takes $\lambda=\rho\,\mathrm{tr}K/m$ instead; then the bound is $1+m/\rho$.

# %%
#| exports
def condition_bound(
    ratio: float, # ρ, the ridge as a share of the trace, above 0
    per: int=1,   # m, where it is a share of the mean eigenvalue instead
)->float: # what κ(K + λI) never exceeds
    """Bound of the condition number of a Gram matrix with its ridge.

    Raises `UserError`. Source: ours."""
    if not 0 < ratio < float('inf'):
        raise UserError(f'ratio={ratio}: a finite share of the trace above 0')
    if not per >= 1: raise UserError(f'per={per}: a number of images, at least 1')
    return 1 + per/ratio


# %%
f'{condition_bound(1e-6):.6e}', f'{condition_bound(1e-6, per=1000):.6e}'

# %%
raises(condition_bound, 0.), raises(condition_bound, 1e-6, per=0)


# %% [markdown]
# ## Statement 2: how much is held back
#
# On the synthetic images the head says $K A^{-1}Y_s$. The trace of the matrix before $Y_s$ adds up how far each image's fit follows its own target: the **effective degrees of freedom**
#
# $$\mathrm{df}(\lambda)=\mathrm{tr}(A^{-1}K)=\sum_i\frac{s_i}{s_i+\lambda}.$$ {#eq-freedom}
#
# They fall as $\lambda$ grows, from the rank $r$ of $K$ towards 0, and with $\lambda=\rho\,\mathrm{tr}K$
#
# $$\frac1{1+\rho}\le\mathrm{df}\le\frac r{1+r\rho}.$$ {#eq-between}
#
# *Why.* In the eigenvectors of $K$ both matrices are diagonal: that is the sum. Each of its terms with $s_i>0$ falls in $\lambda$, from 1 to 0. With shares $q_i=s_i/\mathrm{tr}K$ of the trace a term is $q_i/(q_i+\rho)$. It is at least $q_i/(1+\rho)$, since $q_i\le1$, and the shares add up to 1. It is concave in $q_i$, so the sum over $r$ of them is largest where all are $1/r$.
#
# For $r=1000$ and $\rho=10^{-6}$ the upper end is $1000/1.001$: **if the images' features are spread evenly, the ridge holds back a thousandth of each direction**. A few directions that take most of the trace change that for the others.

# %%
#| exports
def degrees_of_freedom(
    phi_s: Tensor, # features of the synthetic images, (m, d)
    lam: float,    # λ, above 0
)->Tensor: # tr(A⁻¹K), at most the rank, float64 ()
    """Effective number of targets that a ridge head follows.

    Raises `UserError`. Source: ours."""
    if not 0 < lam < float('inf'):
        raise UserError(f'lam={lam}: a finite ridge above 0 is expected')
    if phi_s.ndim != 2 or not phi_s.isfinite().all():
        raise UserError(f'phi_s of shape {tuple(phi_s.shape)}: a finite matrix (m, d)')
    singular = torch.linalg.svdvals(phi_s.double())
    return (1/(1 + (lam**.5/singular)**2)).sum()


# %% [markdown]
# The two images of [the ridge's page](11_ridge.ipynb) had features 1 and 2; $s_1=5$, $s_2=0$, and with $\lambda=1$ that is $\frac56$:

# %%
degrees_of_freedom(torch.tensor([[1.], [2.]]), 1.).item(), 5/6

# %%
raises(degrees_of_freedom, torch.tensor([[1.], [2.]]), 0.)

# %% [markdown]
# ## Statement 3: which format is enough
#
# Let every entry of $K$ be rounded to the nearest number of $p$ binary digits, all in the range of the format, and $u=2^{-p}<\rho$. Then $K+\lambda I$ stays positive definite, and the solution $\tilde\alpha$ with the rounded $K$ has
#
# $$\|\tilde\alpha-\alpha\|\le\frac u{\rho-u}\,\|\alpha\|.$$ {#eq-rounding}
#
# *Why.* Rounding adds a symmetric $E$ with $|E_{ij}|\le u|K_{ij}|$, so
#
# $$
# \begin{aligned}
# \|E\|&\le\sqrt{\textstyle\sum_{ij}E_{ij}^2}\le u\sqrt{\textstyle\sum_{ij}K_{ij}^2}\\
# &=u\sqrt{\textstyle\sum_is_i^2}\le u\,\mathrm{tr}K.
# \end{aligned}
# $$
#
# No eigenvalue moves by more than $\|E\|$: the smallest one of $A+E$ is at least $(\rho-u)\,\mathrm{tr}K$. And $(A+E)\tilde\alpha=Y_s=A\alpha$ says $\tilde\alpha-\alpha=-(A+E)^{-1}E\alpha$, whose two factors are bounded by $\frac1{(\rho-u)\,\mathrm{tr}K}$ and $u\,\mathrm{tr}K$.
#
# The condition $u<\rho$ is enough, and not far from needed: the two images above lose definiteness in bfloat16 for every $\rho$ below

# %%
lost = -np.linalg.eigvalsh(rounded(gram, 8))[0]/np.trace(gram)
f'{lost:.2e}', f'{2.**-8:.2e}'


# %% [markdown]
# where $u$ is the second number. The solver rounds too, by its own path; that is not in the bound.

# %%
#| exports
def rounding_bound(
    ratio: float, # ρ, the ridge as a share of the trace, above 2⁻ᵖ
    digits: int,  # p, binary digits that are kept of each inner product
)->float: # of the solution, relative
    """Largest relative error of α from rounding the Gram matrix entry by entry.

    Raises `UserError` where the ridge may not outweigh the rounding. Source: ours."""
    u = 2.**-digits
    if not u < ratio < float('inf'):
        raise UserError(f'ratio={ratio}: with {digits} binary digits, a finite ridge '
                        f'above {u:.1e} of the trace is expected')
    return u/(ratio - u)


# %% [markdown]
# Float64 and float32 at the official share, and what is said of TF32 and bfloat16:

# %%
[f'{rounding_bound(1e-6, digits):.1e}' for digits in (53, 24)]

# %%
raises(rounding_bound, 1e-6, 11), raises(rounding_bound, 1e-6, 8)

# %% [markdown]
# **Six per cent at worst** is what products in float32 may cost, before the solver has rounded anything. So [the loss](11_ridge.ipynb) forms its Gram matrix and solves in float64, from features in float32: it is a small part of a step.
#
# ## Is it true?
#
# Each claim by routes that do not share the proof, [hunted](../core/hunt.ipynb) over features that are equal, nearly equal, huge or tiny.
#
# **The condition number**, by fractions for one feature, by numpy for any.

# %%
#| code-fold: true
#| code-summary: "The domains: features that are not all zero, and a share"
seen = lambda phi: phi.abs().max() > 0
KINDS = [kind for kind in SHAPES if kind != 'zero']
def features(size, *columns):
    "Features of a few images, not all zero."
    sizes = wholes(1, size), wholes(1, *columns or [size])
    return st.tuples(*sizes).flatmap(lambda t: tensors(*t, kinds=KINDS)).filter(seen)

def gram_of(phi):
    "Inner products of images, and the sum of their squares."
    k = phi.numpy() @ phi.numpy().T
    return k, np.trace(k)

def condition(phi, ratio, per=1):
    "Condition number of a Gram matrix with its ridge, by numpy."
    k, trace = gram_of(phi)
    return np.linalg.cond(k/trace + ratio/per*np.eye(len(k)))

over = lambda value, bound: max(0., value/bound - 1)
shares = lambda size: st.fixed_dictionaries(
    dict(phi=features(size), ratio=scales(1e-8, 1e3)), optional=dict(per=wholes(1, 1000)))
alike = lambda size: st.fixed_dictionaries(
    dict(phi=features(size, 1).filter(lambda phi: len(phi) > 1), ratio=scales(1e-8, 1e3)),
    optional=dict(per=wholes(1, 1000)))


# %%
#| code-fold: true
#| code-summary: "The claim about the condition number, its routes and its edits"
def by_hand(ratio, per=1):
    "Two images of feature 1: the eigenvalues are 2 and 0, the trace is 2."
    lam = Fraction(ratio)*2/per
    return float((2 + lam)/lam)

EIGENVALUE = 'numpy.linalg.cond; the smallest eigenvalue, 1e-11 of the largest, is known to 1e-15 of it'
claim('krrst.condition_bound', 'With $\\lambda=\\rho\\,\\mathrm{tr}K$ no $\\kappa(K+\\lambda I)$ exceeds '
    '$1+1/\\rho$, and rank one reaches it.', of=condition_bound, source='ours',
    checks=[
        Check('brute force', lambda f: [f(.3), f(1e-2), f(2., per=7)],
            lambda: [by_hand(.3), by_hand(1e-2), by_hand(2., 7)], 1e-12, 'fractions are exact; float64'),
        Check('trusted implementation', lambda f: [f(.01), f(.5, per=3)],
            lambda: [condition(torch.ones(3, 1).double(), .01), condition(torch.ones(3, 1).double(), .5, 3)],
            1e-9, 'numpy.linalg.cond, float64'),
        Check('limit', lambda f: f(1e12), lambda: 1., 1e-9, 'a huge ridge leaves only itself')],
    hunts=[
        Hunt(shares, lambda **a: 0., 'trusted implementation', 1e-3, EIGENVALUE, sizes=(1, 2, 8, 32),
            most=128, ours=lambda f, phi, **a: over(condition(phi, **a), f(**a))),
        Hunt(alike, lambda **a: 1., 'trusted implementation', 1e-3, EIGENVALUE, sizes=(2, 8, 32), most=128,
            ours=lambda f, phi, **a: f(**a)/condition(phi, **a),
            outside=(dict(phi=torch.eye(2).double(), ratio=.1), 'rank one, for the equality'))],
    refuses=[lambda f: f(0.), lambda f: f(-1.), lambda f: f(float('nan')), lambda f: f(float('inf')),
             lambda f: f(1., per=0), lambda f: f(1., per=float('nan'))],
    mutants=[('1 + per/ratio', '1 - per/ratio'), ('per/ratio', '1/ratio'), ('1 + per', '2 + per')])


# %% [markdown]
# **The degrees of freedom**, by the trace itself in numpy, by moving each target and watching its own fit, by fractions; then that they fall with the ridge and stay between their ends.

# %%
#| code-fold: true
#| code-summary: "Other routes to the degrees of freedom"
def by_trace(phi_s, lam):
    "Trace of A⁻¹K, by numpy's solver."
    k, _ = gram_of(phi_s)
    return np.trace(np.linalg.solve(k + lam*np.eye(len(k)), k))

def by_moving(phi_s, lam, h=.5):
    "How far each fit follows its own target, summed; heads by least squares with extra rows."
    phi, total = phi_s.numpy(), 0.
    rows = np.r_[phi, lam**.5*np.eye(phi.shape[1])]
    for i in range(len(phi)):
        target = np.zeros(len(rows))
        target[i] = h
        total += phi[i] @ np.linalg.lstsq(rows, target)[0]/h
    return total

TAME = [kind for kind in SHAPES if kind != 'huge']
ridges = lambda size: st.tuples(wholes(1, size), wholes(1, size)).flatmap(lambda t: st.fixed_dictionaries(
    dict(phi_s=tensors(*t, kinds=TAME), lam=scales(1e-2, 1e3))))
falling = lambda size: st.fixed_dictionaries(
    dict(phi=features(size), ratio=scales(1e-9, 1e3), more=scales(1.1, 1e6)))

def between(f, phi, ratio, more):
    "How far the bounds are missed, and whether a larger ridge leaves less."
    _, trace = gram_of(phi)
    found, r = f(phi, ratio*trace).item(), np.linalg.matrix_rank(phi.numpy())
    ends = max(0, 1/(1 + ratio) - found), max(0, found - r/(1 + r*ratio))
    return *ends, f(phi, more*ratio*trace).item() < found


# %%
#| code-fold: true
#| code-summary: "The claim about the degrees of freedom, its routes and its edits"
rng = np.random.default_rng(0)
FEW = torch.from_numpy(rng.standard_normal((4, 3)))
claim('krrst.degrees_of_freedom',
    '$\\mathrm{tr}(A^{-1}K)$ falls with $\\lambda$ and lies between $1/(1+\\rho)$ and $r/(1+r\\rho)$.',
    of=degrees_of_freedom, source='ours',
    checks=[
        Check('trusted implementation', lambda f: f(FEW, .7), lambda: by_trace(FEW, .7), 1e-12,
            'numpy.linalg.solve, float64'),
        Check('finite differences', lambda f: f(FEW, .7), lambda: by_moving(FEW, .7), 1e-12,
            'a fit is linear in its targets, so a step of any size is exact'),
        Check('brute force', lambda f: f(torch.tensor([[1.], [2.]]), .25),
            lambda: float(Fraction(5)/(5 + Fraction(1, 4))), 1e-14, 'fractions: one eigenvalue, 5'),
        Check('limit', lambda f: [f(FEW, 1e-14).item(), f(FEW, 1e14).item()], lambda: [3., 0.], 1e-12,
            'the rank, and nothing; a ridge of 1e-14 takes about that from each')],
    hunts=[
        Hunt(ridges, by_trace, 'trusted implementation', 1e-7,
            'numpy.linalg.solve; condition up to 1e7, times 64 images, times 1e-16',
            sizes=(1, 2, 8, 32), most=64),
        Hunt(falling, lambda **a: [0., 0., 1.], 'algebra', 1e-9,
            'singular values are known to 1e-15 of the largest; the square root of 1e-9 is 3e-5',
            ours=between, sizes=(1, 2, 8, 32), most=128)],
    refuses=[lambda f: f(FEW, 0.), lambda f: f(FEW, -1.), lambda f: f(FEW, float('nan')),
             lambda f: f(FEW, float('inf')), lambda f: f(FEW[0], 1.), lambda f: f(FEW[None], 1.),
             lambda f: f(FEW.index_fill(0, torch.tensor(1), torch.nan), 1.)],
    mutants=[('lam**.5', 'lam'), ('1 + (lam', '2 + (lam'), (')**2)).sum()', ')**2)).mean()')])


# %% [markdown]
# **The rounding**, entry by entry and solved by numpy in float64, so that nothing but the rounding differs. Outside, where $u>\rho$, stand the two images above.

# %%
#| code-fold: true
#| code-summary: "The claim about rounding, its routes and its edits"
def spoilt(f, phi, y, digits, times):
    "Whether the rounded system is positive definite, and by how much the bound is exceeded."
    k, trace = gram_of(phi)
    ratio = times*2.**-digits
    a, b = (part/trace + ratio*np.eye(len(k)) for part in (k, rounded(k, digits)))
    if np.linalg.eigvalsh(b)[0] <= 0: return 0., 0.
    alpha, other = np.linalg.solve(a, y.numpy()), np.linalg.solve(b, y.numpy())
    return 1., over(np.linalg.norm(other - alpha, 2)/np.linalg.norm(alpha, 2), f(ratio, digits))

roundings = lambda size: features(size).flatmap(lambda phi: st.fixed_dictionaries(dict(
    phi=st.just(phi), y=tensors(len(phi), 2, kinds=['generic']), digits=wholes(1, 20),
    times=scales(1.001, 1e4))))
by_fractions = lambda ratio, digits: float(Fraction(1, 2**digits)/(Fraction(ratio) - Fraction(1, 2**digits)))
middle = lambda digits: np.max(np.abs(rounded(x := 1 + np.arange(2**12)/2**12, digits) - x))
twins = dict(phi=torch.from_numpy(phi), y=torch.tensor([[1., 0.], [0., 1.]]).double(), digits=8, times=1e-3)
FORMATS = {8: torch.bfloat16, 11: torch.float16, 24: torch.float32}
claim('krrst.rounding_bound',
    'Inner products of $p$ digits move $\\alpha$ by at most $u/(\\rho-u)$ of itself, $u=2^{-p}<\\rho$.',
    of=rounding_bound, source='ours',
    checks=[
        Check('brute force', lambda f: [f(.3, 2), f(.01, 8), 10*f(1e-6, 24)],
            lambda: [by_fractions(.3, 2), by_fractions(.01, 8), 10*by_fractions(1e-6, 24)], 1e-12,
            'fractions are exact; float64'),
        Check('trusted implementation', lambda f: [1e9*f(1e9, p) for p in FORMATS],
            lambda: [torch.finfo(kind).eps/2 for kind in FORMATS.values()], 1e-10,
            'torch.finfo: for a large ridge the bound times ρ is half a step of the format'),
        Check('limit', lambda f: [1e9*f(1e9, p) for p in (3, 8)], lambda: [middle(3), middle(8)], 1e-10,
            'the same by rounding numbers from 1 to 2; their largest error is half a step')],
    hunts=[Hunt(roundings, lambda **a: [1., 0.], 'trusted implementation', 1e-6,
        'numpy.linalg.solve of both systems in float64, condition up to 1e10', ours=spoilt,
        sizes=(1, 2, 8, 24), most=96, outside=(twins, 'a ridge above the rounding, u < ρ'))],
    refuses=[lambda f: f(1e-6, 11), lambda f: f(2.**-8, 8), lambda f: f(float('nan'), 24),
             lambda f: f(float('inf'), 24), lambda f: f(-1., 24)],
    mutants=[('2.**-digits', '2.**-(digits + 1)'), ('ratio - u', 'ratio + u'), ('u/(ratio', '2*u/(ratio')])

# %% [markdown]
# ## What a bound does not say
#
# A bound is for the worst images. Here are real ones: a quarter of the [digits](../core/images.ipynb) for training, seen by an untrained layer of 1024 rectified units, are to say what a smooth function of the pixels is on others. The inner products between these and the digits are rounded like those among the digits. Errors are shares of the right prediction, of float64; below, the same with only the *features* rounded, and products and sums exact.

# %%
#| hide
rng = np.random.default_rng(0)
LAYER, GIVES = rng.standard_normal((64, 1024))/8, rng.standard_normal((64, 8))/8
def pixels(split, every):
    "Digits as rows of numbers, of size one."
    return load('digits', split)[0][::every].reshape(-1, 64)/8 - .6
def network(x):
    "Features by an untrained layer."
    return np.maximum(x @ LAYER, 0)
few, others = pixels('train', 4), pixels('test', 3)
phi_s, phi_t, y_s = network(few), network(others), np.tanh(few @ GIVES)
exactly = lambda a: a
def predict(ratio, products=exactly, inputs=exactly):
    "Predictions on other digits, with inner products or features rounded."
    s, t = inputs(phi_s), inputs(phi_t)
    k = products(s @ s.T)
    return products(t @ s.T) @ np.linalg.solve(k + ratio*np.trace(k)*np.eye(len(k)), y_s)
def error(ratio, **roundings):
    "Share of the right prediction that is wrong."
    right = predict(ratio)
    return np.linalg.norm(predict(ratio, **roundings) - right)/np.linalg.norm(right)
to = lambda digits: lambda a: rounded(a, digits)

# %%
{digits: f'{error(1e-6, products=to(digits)):.0e}' for digits in (24, 11, 8)}

# %%
{digits: f'{error(1e-6, inputs=to(digits)):.0e}' for digits in (24, 11, 8)}

# %% [markdown]
# The first line is what a matrix product gives that is *stored* in the format; the second what a card does that reads its inputs in it and adds in more digits, as TF32 does. The difference is one of kind: **the Gram matrix of rounded features is a Gram matrix**, of an extractor slightly off, and cannot lose definiteness; a rounded Gram matrix is none.
#
# The slider moves $\rho$. The curve is the share $s_i/(s_i+\lambda)$ of each direction that the head follows.

# %%
#| hide
spectrum = np.linalg.svd(phi_s, compute_uv=False)**2
def kept(ratio, ax):
    "What the head follows of each direction, beside the error by rounded inner products."
    lam = ratio*spectrum.sum()
    df = degrees_of_freedom(torch.from_numpy(phi_s), lam).item()
    ax.semilogy(np.arange(1, len(spectrum) + 1), spectrum/(spectrum + lam), color=COLORS['blue'],
                label=f'followed; {df:.0f} of {len(spectrum)} in all')
    for digits, name, colour in ((8, 'bfloat16', 'orange'), (24, 'float32', 'purple')):
        ax.axhline(error(ratio, products=to(digits)), color=COLORS[colour], label=f'error, {name} products')
    ax.set(xlabel='direction, largest first', ylabel='share', ylim=(1e-9, 1e7))
    ax.legend(loc='upper right', fontsize=8)


# %%
#| label: fig-kept
#| fig-cap: "Share of each direction that the head follows, and the share of the prediction that rounded inner products spoil. The slider moves ρ, the ridge as a share of the trace."
#| echo: false
slider('ρ', [1e-7, 1e-6, 1e-5, 1e-4, 1e-2, 1.], kept,
    'With a small ridge nearly all directions are followed, and bfloat16 products spoil the whole '
    'prediction; a large ridge makes the error small, and follows few directions.', start=1e-6)

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** All images get the same features, not zero. How many degrees of freedom are left at $\rho=10^{-6}$, and what is the condition number?
#
# <details><summary>Answer</summary>
#
# $K$ has rank one: $1/(1+\rho)$, nearly one, however many images there are, and for two or more the condition number is at its bound, a million and one. The worst case is a set whose images have become one.
#
# </details>

# %%
same = torch.ones(20, 5).double()
degrees_of_freedom(same, 1e-6*100).item(), 1/(1 + 1e-6)

# %% [markdown]
# **2.** The ridge is divided by the number of images, a thousand, as FRePo's is, with the same $\rho=10^{-6}$. Does Statement 3 still vouch for float32?
#
# <details><summary>Answer</summary>
#
# No. The share of the trace is $10^{-9}$, below the rounding of float32. It vouches for float64.
#
# </details>

# %%
raises(rounding_bound, 1e-6/1000, 24), f'{rounding_bound(1e-6/1000, 53):.0e}'

# %% [markdown]
# **3.** All features are multiplied by 1024. What do condition number, degrees of freedom and rounding error do, if $\lambda=\rho\,\mathrm{tr}K$?
#
# <details><summary>Answer</summary>
#
# Nothing: all eigenvalues and $\lambda$ grow by the same factor, and a power of two moves no binary digit, as long as the numbers stay in the range of the format. Float16 has the digits of TF32, but ends at 65504.
#
# </details>

# %%
sizes = (1., 1024.)
parts = [degrees_of_freedom(k*FEW, 1e-3*k**2).item() for k in sizes]
by = [rounded(k*gram, 8)/k for k in sizes]
parts[0] == parts[1], bool((by[0] == by[1]).all())

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.conditioning`. [The loss](11_ridge.ipynb) takes its Gram matrices and its solve in float64 for this reason, and says so where a ridge is too small for the precision that it is asked for.
