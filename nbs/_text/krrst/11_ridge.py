# %% [markdown]
# # The inner training is one linear solve, and its gradient has a closed form
#
# > With the features held still, the best head, the outer loss and its gradient by images and targets cost a few matrix products.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), abstract and official code `distill.py`; proofs are ours · 9 minutes · what you need first: [what is distilled](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.ridge

# %%
#| export
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from papers_nb.errors import UserError

# %%
#| hide
from fractions import Fraction
from functools import partial
import numpy as np
from hypothesis import strategies as st
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import SHAPES, Hunt, reals, scales, tensors, wholes
from papers_nb.core.plots import COLORS, slider, theme
theme()

# %% [markdown]
# ## The question
#
# A distilled set is judged by what a network has learnt *after* it was trained on the set. To improve the set, one has to differentiate through that training: hundreds of steps, each kept in memory. KRR-ST holds the layers before the last still and trains only the last, a linear map with a small penalty. That is a **ridge regression**, and it is solved rather than trained. What does the solution look like, which of two ways to compute it is cheap, and what is the gradient by every image and every target?
#
# ## Two images and one feature
#
# Two synthetic images have the features 1 and 2 and the targets 1 and 2; the penalty is $\lambda=1$. The best head $w$ minimises $\frac12(1-w)^2+\frac12(2-2w)^2+\frac12w^2$: its derivative $5w-5+w$ is zero at $w=\frac56$. (Without the penalty, 1.) The same by way of the images, the **dual** form: the matrix of inner products is $K=\begin{pmatrix}1&2\\2&4\end{pmatrix}$, and $(K+I)\alpha=y$ gives one number for each image; the head is the features weighted by them:

# %%
phi, y = torch.tensor([[1.], [2.]]), torch.tensor([[1.], [2.]])
alpha = torch.linalg.solve(phi @ phi.T + torch.eye(2), y)
alpha.flatten(), (phi.T @ alpha).item()


# %% [markdown]
# One number was solved for in the first form, two in the second. In a ConvNet it is the other way round: 8192 features, and a thousand images or less.
#
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $\Phi_s$ | `phi_s` | $(m,d)$ | features of the synthetic images |
# | $Y_s$ | `y_s` | $(m,k)$ | their targets, learnt too |
# | $\Phi_t$ | `phi_t` | $(b,d)$ | features of a batch of real images |
# | $Y_t$ | `y_t` | $(b,k)$ | what the target model says of them |
# | $K_{ss},K_{ts}$ | | $(m,m),(b,m)$ | $\Phi_s\Phi_s^\top$, $\Phi_t\Phi_s^\top$ |
# | $\lambda$ | `lam` | | the ridge, above 0 |
# | $A$ | | $(m,m)$ | $K_{ss}+\lambda I$ |
# | $\alpha$ | `alpha` | $(m,k)$ | $A^{-1}Y_s$ |
# | $W^*$ | | $(d,k)$ | the best head |
# | $R$ | `residual` | $(b,k)$ | $\Phi_tW^*-Y_t$ |
# | $\beta$ | `beta` | $(m,k)$ | $A^{-1}K_{ts}^\top R$ |
#
# A **constant feature** $a$ behind the others acts as a bias; it adds $a^2$ to every inner product. The official code has $a=1$.
#
# ## Statement 1: primal and dual are the same head
#
# $$
# \begin{aligned}
# W^*&=\arg\min_W\tfrac12\|Y_s-\Phi_sW\|^2+\tfrac\lambda2\|W\|^2\\
# &=(\Phi_s^\top\Phi_s+\lambda I)^{-1}\Phi_s^\top Y_s\\
# &=\Phi_s^\top A^{-1}Y_s.
# \end{aligned}
# $$ {#eq-head}
#
# *Why.* The objective is strictly convex since $\lambda>0$; setting its gradient $\Phi_s^\top(\Phi_sW-Y_s)+\lambda W$ to zero gives the second line. With $B=\Phi_s^\top\Phi_s+\lambda I_d$,
#
# $$
# \begin{aligned}
# B\,\Phi_s^\top&=\Phi_s^\top\Phi_s\Phi_s^\top+\lambda\Phi_s^\top\\
# &=\Phi_s^\top A.
# \end{aligned}
# $$
#
# Multiply by $B^{-1}$ from the left and by $A^{-1}$ from the right: $\Phi_s^\top A^{-1}=B^{-1}\Phi_s^\top$. That is the third line.
#
# The second line factorises a matrix of size $d$, about $md^2+d^3/3$ multiplications; the third one of size $m$, about $m^2d+m^3/3$. With $m=1000$ and $d=8193$ that is

# %%
def products(m, d):
    "Multiplications for a Gram matrix of size m from d numbers a row, and its factor."
    return (m**2*d + m**3/3)/1e9
round(products(8193, 1000)), round(products(1000, 8193), 1)


# %% [markdown]
# thousand million, primal and dual.

# %%
#| exports
def dual(
    phi_s: Tensor, # features of the synthetic images, (m, d)
    y_s: Tensor,   # their targets, (m, k)
    lam,           # λ, above 0
    constant: float=0., # a², of a constant feature a
)->tuple[Tensor, Tensor]: # α, so that the head is Φᵀα, (m, k); the Cholesky factor of A
    """Ridge regression by way of the images, in the precision of what comes in.

    Raises `UserError` where K + λI is not positive definite to that precision.
    Source: official code, `distill.py`; the factor is ours."""
    if not lam > 0: raise UserError(f'lam={float(lam):g}: a ridge above 0 is expected')
    gram = phi_s @ phi_s.T + constant
    a = gram + lam*torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(a)
    if failed: raise _indefinite(gram, lam)
    return torch.cholesky_solve(y_s, factor), factor

NOT_FINITE = ('the features hold numbers that are not finite; is the extractor or an '
              'image out of range?')

def _indefinite(gram, lam):
    "What to say of a Gram matrix whose sum with the ridge has no Cholesky factor."
    if not gram.isfinite().all(): return UserError(NOT_FINITE)
    condition = torch.linalg.matrix_norm(gram.double(), 2)/lam
    return UserError(f'the Gram matrix with ridge {float(lam):.1e} is not positive '
                     f'definite in {gram.dtype} (condition number {condition:.0e}): '
                     'use float64 or a larger ridge')


# %%
alpha, _ = dual(phi, y, 1.)
(phi.T @ alpha).item(), 5/6

# %% [markdown]
# A ridge of zero, and one that float32 cannot see beside a Gram matrix of a hundred million:

# %%
raises(dual, phi, y, 0.), raises(dual, 1e4*phi, y, 1e-3)


# %% [markdown]
# ## Statement 2: the gradient
#
# Let $\ell=\frac c2\|R\|^2$, with $c=2/(bk)$ where the loss is a mean over all entries. Then for fixed $\lambda$
#
# $$\frac{\partial\ell}{\partial Y_s}=c\,\textcolor{#aa4499}{\beta},$$ {#eq-by-targets}
#
# $$\frac{\partial\ell}{\partial\Phi_s}=c\,\bigl[\textcolor{#009e73}{\alpha R^\top}\Phi_t-(\textcolor{#aa4499}{\beta}\alpha^\top+\alpha\textcolor{#aa4499}{\beta}^\top)\,\Phi_s\bigr].$$ {#eq-by-features}
#
# *Why.* Only $W^*$ depends on $\Phi_s$ and $Y_s$, so $d\ell=c\,\langle R,\Phi_t\,dW^*\rangle$. Differentiate $BW^*=\Phi_s^\top Y_s$, with $E_s=Y_s-\Phi_sW^*$:
#
# $$B\,dW^*=d\Phi_s^\top E_s+\Phi_s^\top(dY_s-d\Phi_s\,W^*).$$
#
# With $V=B^{-1}\Phi_t^\top R$, so that $\langle R,\Phi_t\,dW^*\rangle=\langle V,B\,dW^*\rangle$, reading off what stands beside $dY_s$ and $d\Phi_s$ gives $c\,\Phi_sV$ and $c\,(E_sV^\top-\Phi_sVW^{*\top})$.
#
# Nothing of size $d\times d$ is needed for this: by the identity of Statement 1, $\Phi_sV=A^{-1}\Phi_s\Phi_t^\top R=\beta$. The error on the synthetic images is $E_s=Y_s-K_{ss}\alpha=\lambda\alpha$. And $BV=\Phi_t^\top R$ says $\lambda V=\Phi_t^\top R-\Phi_s^\top\beta$, so the first product is $E_sV^\top=\alpha\,(R^\top\Phi_t-\beta^\top\Phi_s)$; the second is $\Phi_sVW^{*\top}=\beta\alpha^\top\Phi_s$. Together they are @eq-by-features: sorted by what multiplies $\Phi_t$ and $\Phi_s$, two matrices of $m$ rows, so that only two products have the length $d$.
#
# The terms with $\alpha$ nearly cancel when $\lambda$ is small, and $\alpha$ is large then. That is why all of this is done in float64: the features may come in float32, their products may not.
#
# **Statement 3.** The official ridge is a share of the trace, $\lambda=\rho\,\mathrm{tr}K_{ss}$, held constant by the gradient. If it were not, there would be one term more:
#
# $$-2c\rho\,\langle\alpha,\beta\rangle\,\Phi_s,$$ {#eq-trace}
#
# since $d\lambda=2\rho\,\langle\Phi_s,d\Phi_s\rangle$, and $dA=d\lambda\,I$ changes $\alpha$ by $-A^{-1}\alpha\,d\lambda$, so $\ell$ by $-c\,\langle\beta,\alpha\rangle\,d\lambda$.

# %%
#| exports
def krr_gradients(
    phi_s: Tensor,    # features of the synthetic images, (m, d)
    phi_t: Tensor,    # features of real ones, (b, d)
    cross: Tensor,    # K_ts, with a² if there is a constant feature a, (b, m)
    alpha: Tensor,    # α = A⁻¹Y_s, (m, k)
    factor: Tensor,   # Cholesky factor of A, (m, m)
    residual: Tensor, # R, predictions minus targets, (b, k)
    moving: float=0.,   # ρ, where λ = ρ tr K moves with the features
)->tuple[Tensor, Tensor]: # by Φ_s, (m, d), and by Y_s, (m, k)
    """Gradient of ½‖R‖² by the synthetic features and targets, without autograd.

    Source: ours."""
    beta = torch.cholesky_solve(cross.T @ residual, factor)
    both = beta @ alpha.T
    both = both + both.T
    both.diagonal().add_(2*moving*(alpha*beta).sum())
    return alpha @ residual.T @ phi_t - both @ phi_s, beta


# %% [markdown]
# The two images again, and one real image of feature 1 and target 2. The head is $\frac56$, so $R=-\frac76$; moving the first target by $dy$ moves the head by $\frac16dy$, so the loss by $-\frac7{36}dy$, and the second target counts twice that:

# %%
alpha, factor = dual(phi, y, 1.)
one = torch.ones(1, 1)
R = one @ phi.T @ alpha - 2
krr_gradients(phi, one, one @ phi.T, alpha, factor, R)[1].flatten(), -7/36


# %% [markdown]
# ## The loss
#
# What the training minimises: features in, a number out, and a backward pass that keeps the factor of the forward one and runs @eq-by-targets and @eq-by-features. Real features and targets get no gradient: they are constants in KRR-ST.

# %%
#| exports
class _KRR(torch.autograd.Function):
    "The mean squared error of ridge predictions; Gram matrices and solve in float64."
    @staticmethod
    def forward(ctx, phi_s, y_s, phi_t, y_t, lam, constant, moving):
        "The loss, (), in the precision of the targets."
        wide = [t.double() for t in (phi_s, y_s, phi_t, y_t)]
        alpha, factor = dual(*wide[:2], lam, constant)
        cross = wide[2] @ wide[0].T + constant
        residual = cross @ alpha - wide[3]
        ctx.save_for_backward(wide[0], wide[2], cross, alpha, factor, residual)
        ctx.moving, ctx.kinds = moving, (phi_s.dtype, y_s.dtype)
        return residual.square().mean().to(y_s.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        "Gradients by synthetic features and targets; the rest are constants."
        found = krr_gradients(*ctx.saved_tensors, ctx.moving)
        c = 2*g.double()/ctx.saved_tensors[-1].numel()
        return *((c*t).to(kind) for t, kind in zip(found, ctx.kinds)), *[None]*5

def ridge_strength(
    phi_s: Tensor,  # features, (m, d)
    ratio: float,   # ρ, above 0
    constant: float=1., # a², of a constant feature a
    per_m: bool=False,  # of the mean eigenvalue instead of their sum
)->Tensor: # λ, float64 ()
    """The ridge as a share of the trace of the Gram matrix.

    Raises `UserError`. Source: official code, `distill.py`; `per_m`: Zhou et al. 2022
    (FRePo), official code."""
    if not 0 < ratio < float('inf'):
        raise UserError(f'ratio={ratio}: a finite share of the trace above 0')
    trace = phi_s.detach().double().square().sum() + constant*len(phi_s)
    if not trace.isfinite(): raise UserError(NOT_FINITE)
    return ratio*trace/(len(phi_s) if per_m else 1)

def krr_loss(
    phi_s: Tensor, # features of the synthetic images, (m, d)
    y_s: Tensor,   # their targets, (m, k)
    phi_t: Tensor, # features of real images, (b, d), a constant
    y_t: Tensor,   # the target model's, (b, k), a constant
    ratio: float=1e-6,  # λ/tr K
    per_m: bool=False,  # λ/(tr K/m) instead
    detach: bool=True,  # hold λ constant in the gradient
    constant: float=1., # a², of a constant feature a; 0 for none
)->Tensor: # (), differentiable once by `phi_s` and `y_s`
    """Mean squared error, on real images, of the ridge head fitted to synthetic ones.

    Raises `UserError` for shapes that do not fit and for numbers that are not finite.
    Source: Lee et al. 2024, official code, `distill.py`."""
    (m, d), (b, k) = phi_s.shape, y_t.shape
    expected = {'y_s': (y_s, (m, k)), 'phi_t': (phi_t, (b, d))}
    for name, (given, shape) in expected.items():
        if given.shape != shape:
            found = tuple(given.shape)
            raise UserError(f'{name} of shape {found}: {shape} is expected')
    if not constant >= 0: raise UserError(f'constant={constant}: at least 0')
    lam = ridge_strength(phi_s, ratio, constant, per_m)
    moving = 0. if detach else ratio/(m if per_m else 1)
    return _KRR.apply(phi_s, y_s, phi_t, y_t, lam, constant, moving)


# %%
phi_s, y_s = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
phi_s.requires_grad_()
loss = krr_loss(phi_s, y_s, torch.ones(2, 4), torch.zeros(2, 4))
loss.backward()
loss.item(), phi_s.grad.shape

# %%
raises(krr_loss, phi_s, y_s[:2], torch.ones(2, 4), torch.zeros(2, 4))

# %%
raises(krr_loss, phi_s*torch.nan, y_s, torch.ones(2, 4), torch.zeros(2, 4))

# %% [markdown]
# **A word on scale.** The mean over all entries is $\frac2{bk}$ times $\frac12\|R\|^2$. A method that rescales its steps, as Adam does, hardly notices. Plain gradient descent does: a learning rate of 0.1 on the mean over a thousand images and 512 numbers is one of

# %%
f'{.1*2/(1000*512):.1e}'


# %% [markdown]
# on the half sum of squares. Loss and learning rate have to be taken from the same place.
#
# ## Is it true?
#
# Each claim by routes that do not share the proof, [hunted](../core/hunt.ipynb) over sizes, ridges of many orders of magnitude and features that are zero, equal, nearly equal, huge or tiny.
#
# **The head**, by the normal equations of the primal form (numpy), by exact fractions, and at its two ends: for $\lambda\to\infty$ it shrinks to $\Phi_s^\top Y_s/\lambda$, for $\lambda\to0$ it is the shortest head of the least squares.

# %%
#| code-fold: true
#| code-summary: "Primal routes, and the domain"
def with_constant(phi, constant):
    "Features with a constant one behind them."
    phi = np.asarray(phi, dtype=float)
    return np.c_[phi, np.full(len(phi), constant**.5)]

def primal(phi_s, y_s, lam, constant=0.):
    "Head by least squares on the features with the ridge as extra rows."
    phi = with_constant(phi_s, constant)
    rows = np.r_[phi, lam**.5*np.eye(phi.shape[1])]
    wanted = np.r_[y_s, np.zeros((phi.shape[1], y_s.shape[1]))]
    return np.linalg.lstsq(rows, wanted)[0]

def head(f, phi_s, y_s, lam, **constant):
    "The head by way of the images, bias last."
    alpha, _ = f(phi_s, y_s, lam, **constant)
    return with_constant(phi_s, *constant.values() or [0.]).T @ alpha.numpy()

def both(f, **a):
    "Head and factor times its transpose, per unit of targets and Gram matrix."
    _, factor = f(**a)
    return head(f, **a)/size(a['y_s']), (factor @ factor.T)/gram_size(a)

def expected(phi_s, y_s, lam, constant=0.):
    "The same from least squares and numpy."
    gram = with_constant(phi_s, constant) @ with_constant(phi_s, constant).T + lam*np.eye(len(phi_s))
    return primal(phi_s, y_s, lam, constant)/size(y_s), gram/gram_size(dict(phi_s=phi_s, lam=lam))

size = lambda t: 1 + t.abs().max().item()
gram_size = lambda a: len(a['phi_s'][0])*size(a['phi_s'])**2 + a['lam'] + 2

def by_fractions(phi, y, lam):
    "Two features, one target: Cramer's rule without rounding."
    phi, y, lam = [[Fraction(v) for v in row] for row in phi], [Fraction(v) for v in y], Fraction(lam)
    dot = lambda a, b: sum(u*v for u, v in zip(a, b))
    p, q = ([row[i] for row in phi] for i in (0, 1))
    a, b, c, u, v = dot(p, p) + lam, dot(p, q), dot(q, q) + lam, dot(p, y), dot(q, y)
    return [float(n/(a*c - b*b)) for n in (u*c - b*v, a*v - b*u)]

TAME = [kind for kind in SHAPES if kind != 'huge']
def problems(size):
    "Any features and targets; the ridge of any size beside them."
    sizes = wholes(1, size), wholes(1, size), wholes(1, 3)
    return st.tuples(*sizes).flatmap(lambda s: st.fixed_dictionaries(dict(
        phi_s=tensors(s[0], s[1], kinds=TAME), y_s=tensors(s[0], s[2]), lam=scales(1e-3, 1e3)),
        optional=dict(constant=reals(0, 2, 1))))

PHI, Y = [[1., 2.], [0., -1.], [3., .5]], [1., 2., -1.]
as64 = lambda a: torch.tensor(a, dtype=torch.float64)
column = lambda a: as64(a)[:, None]

# %%
#| code-fold: true
#| code-summary: "The claim about the head, its routes and its edits"
BAD = torch.tensor([[1.], [2.]])
broken = as64(PHI).index_fill(0, torch.tensor(1), torch.nan)
said = lambda f: [word in raises(f, *given) for word, *given in (
    ('not finite', broken, column(Y), 1.), ('number 5e+11', 1e4*BAD, BAD, 1e-3))]
claim('krrst.dual', '$\\Phi_s^\\top(K_{ss}+\\lambda I)^{-1}Y_s$ is the head of the ridge regression.',
    of=dual, source='ours',
    checks=[
        Check('brute force', lambda f: head(f, as64(PHI), column(Y), .25)[:2, 0],
            lambda: by_fractions(PHI, Y, .25), 1e-13, 'fractions are exact; float64'),
        Check('limit', lambda f: 1e8*head(f, as64(PHI), column(Y), 1e8)[:2, 0],
            lambda: np.array(PHI).T @ Y, 1e-5, 'a ridge of 1e8 leaves a share of 1e-7'),
        Check('trusted implementation', lambda f: head(f, as64(PHI)[:2], column(Y)[:2], 1e-9)[:2, 0],
            lambda: np.linalg.lstsq(np.array(PHI[:2]), np.array(Y[:2]))[0], 1e-7,
            'numpy: the shortest exact fit; a ridge of 1e-9 moves it by about that'),
        Check('limit', said, lambda: [1, 1], .05,
            'what is said of a NaN, and of two rows that float32 cannot tell apart')],
    hunts=[Hunt(problems, expected,
        'trusted implementation', 1e-9, 'numpy.linalg.lstsq; condition of K + λI up to 1e6 in float64',
        ours=both, sizes=(1, 2, 8, 32), most=256)],
    refuses=[lambda f: f(as64(PHI), column(Y), 0.), lambda f: f(1e4*BAD, BAD, 1e-3),
             lambda f: f(as64(PHI), column(Y), -1.),
             lambda f: f(as64(PHI), column(Y), float('nan')),
             lambda f: f(as64(PHI)*torch.nan, column(Y), 1.)],
    mutants=[('+ lam*', '+ lam**2*'), ('gram = phi_s', 'gram = 2*phi_s'), ('gram, lam', 'gram, 1')])


# %% [markdown]
# **The gradients**, by autograd through torch's own solver, by finite differences, and where they are known: no residual, no gradient.

# %%
#| code-fold: true
#| code-summary: "Other routes to the gradient"
def by_autograd(phi_s, y_s, phi_t, y_t, lam, constant=0., moving=0.):
    "Gradients of half the sum of squares through torch.linalg.solve in the primal form."
    phi_s, y_s = (t.clone().requires_grad_() for t in (phi_s, y_s))
    wide = lambda p: torch.cat([p, torch.full((len(p), 1), constant**.5, dtype=p.dtype)], 1)
    s, t = wide(phi_s), wide(phi_t)
    trace = s.square().sum()
    lam = lam + moving*(trace - trace.detach())
    w = torch.linalg.solve(s.T @ s + lam*torch.eye(s.shape[1], dtype=s.dtype), s.T @ y_s)
    return torch.autograd.grad(.5*(t @ w - y_t).square().sum(), (phi_s, y_s))

def unit(a):
    "What gradients grow with: targets, features and what a small ridge makes of them."
    size = lambda t: 1 + t.abs().max().item()
    return (size(a['phi_s'])*size(a['phi_t'])*size(a['y_s'])*size(a['y_t'])/min(1, a['lam']))**2

def closed(f, phi_s, y_s, phi_t, y_t, lam, **options):
    "The function under test with the solution of the ridge."
    constant = options.pop('constant', 0.)
    gram = phi_s @ phi_s.T + constant + lam*torch.eye(len(phi_s), dtype=phi_s.dtype)
    factor = torch.linalg.cholesky(gram)
    alpha = torch.cholesky_solve(y_s, factor)
    cross = phi_t @ phi_s.T + constant
    return f(phi_s, phi_t, cross, alpha, factor, cross @ alpha - y_t, **options)

def batches(size):
    "A ridge problem and a batch of real images."
    sizes = wholes(1, size), wholes(1, size), wholes(1, size), wholes(1, 3)
    return st.tuples(*sizes).flatmap(lambda s: st.fixed_dictionaries(dict(
        phi_s=tensors(s[0], s[1], kinds=TAME), y_s=tensors(s[0], s[3], kinds=TAME),
        phi_t=tensors(s[2], s[1], kinds=TAME), y_t=tensors(s[2], s[3], kinds=TAME),
        lam=scales(1e-2, 1e2)), optional=dict(constant=reals(0, 2, 1), moving=reals(0, .1))))

rng = np.random.default_rng(0)
FOUR = {k: torch.from_numpy(rng.standard_normal(s)) for k, s in
        dict(phi_s=(4, 3), y_s=(4, 2), phi_t=(5, 3), y_t=(5, 2)).items()}
EXAMPLE = FOUR | dict(lam=.3, constant=1., moving=.05)

def half_square(phi_s, y_s, phi_t, y_t, lam, constant, moving, trace):
    "Half the sum of squares, in numpy; λ moves with the trace."
    s, t = with_constant(phi_s, constant), with_constant(phi_t, constant)
    lam = lam + moving*((s**2).sum() - trace)
    w = np.linalg.solve(s.T @ s + lam*np.eye(s.shape[1]), s.T @ np.asarray(y_s))
    return .5*((t @ w - np.asarray(y_t))**2).sum()

def by_differences(h=1e-6, **a):
    "Central differences by every feature and every target."
    trace, found = (with_constant(a['phi_s'], a['constant'])**2).sum(), []
    for name in ('phi_s', 'y_s'):
        for i in np.ndindex(*a[name].shape):
            sides = []
            for step in (h, -h):
                moved = a[name].clone()
                moved[i] += step
                sides.append(half_square(**{**a, name: moved}, trace=trace))
            found.append((sides[0] - sides[1])/(2*h))
    return found


# %%
#| code-fold: true
#| code-summary: "The claim about the gradients, its routes and its edits"
together = lambda pair: torch.cat([t.flatten() for t in pair])
claim('krrst.krr_gradients',
    'The gradient by targets is $c\\beta$, '
    'by features $c[\\alpha R^\\top\\Phi_t-(\\beta\\alpha^\\top+\\alpha\\beta^\\top)\\Phi_s]$.',
    of=krr_gradients, source='ours',
    checks=[
        Check('trusted implementation', lambda f: together(closed(f, **EXAMPLE)),
            lambda: together(by_autograd(**EXAMPLE)), 1e-10, 'torch.linalg.solve, primal form, float64'),
        Check('finite differences', lambda f: together(closed(f, **EXAMPLE)),
            lambda: by_differences(**EXAMPLE),
            1e-7, 'central, step 1e-6: truncation 1e-12 and rounding 1e-10, times the size of the problem'),
        Check('limit', lambda f: together(closed(f, **{**EXAMPLE, 'lam': 1e9, 'moving': 0.}))[12:]*1e9,
            lambda: together([-(EXAMPLE['phi_s'] @ EXAMPLE['phi_t'].T + 1) @ EXAMPLE['y_t']]),
            1e-6, 'a ridge of 1e9 leaves only what the targets pull; the rest is a share of 1e-8')],
    hunts=[Hunt(batches, lambda **a: [t/unit(a) for t in by_autograd(**a)], 'trusted implementation', 1e-10,
        'torch.linalg.solve, primal form, float64; in units of what the gradient grows with',
        ours=lambda f, **a: [t/unit(a) for t in closed(f, **a)], sizes=(1, 2, 8, 24), most=128)],
    mutants=[('phi_t - both', 'phi_t + both'), ('both + both.T', '2*both'),
             ('add_(2*moving', 'sub_(2*moving'), ('alpha @ residual', 'beta @ residual'),
             ('(cross.T', '(2*cross.T')])


# %%
#| code-fold: true
#| code-summary: "The claim about the ridge, its routes and its edits"
def by_trace(phi_s, ratio, constant=1., per_m=False):
    "The share of the trace of the whole Gram matrix, by numpy."
    gram = with_constant(phi_s, constant) @ with_constant(phi_s, constant).T
    return ratio*np.trace(gram)/(len(gram) if per_m else 1)

shares = lambda size: st.tuples(wholes(1, size), wholes(1, size)).flatmap(lambda t: st.fixed_dictionaries(
    dict(phi_s=tensors(*t), ratio=scales(1e-9, 1e2)),
    optional=dict(constant=reals(0, 2, 1), per_m=st.booleans())))
claim('krrst.ridge_strength',
    '$\\lambda$ is a share of the trace of the Gram matrix, or of its mean eigenvalue.',
    of=ridge_strength, source='official code, distill.py',
    checks=[
        Check('trusted implementation', lambda f: [f(FOUR['phi_s'], .1), f(FOUR['phi_s'], .1, 2., True)],
            lambda: [by_trace(FOUR['phi_s'], .1), by_trace(FOUR['phi_s'], .1, 2., True)],
            1e-13, 'numpy, float64'),
        Check('limit', lambda f: [f(torch.eye(3), 1., 0.), f(torch.eye(3), 1., 0., True)],
            lambda: [3., 1.], 1e-14, 'the identity: three eigenvalues of one')],
    hunts=[Hunt(shares, by_trace, 'trusted implementation', 1e-11, 'numpy, float64',
        sizes=(1, 2, 8, 32), most=256)],
    refuses=[lambda f, r=r: f(torch.eye(3), r) for r in (0., -1., float('inf'), float('nan'))]
        + [lambda f: f(torch.eye(3)*torch.nan, 1.)],
    mutants=[('constant*len(phi_s)', 'constant'), ('ratio*trace', 'trace*2')])


# %% [markdown]
# **The loss** as the training calls it, with the trace, the constant feature, and both ways to divide it.

# %%
#| code-fold: true
#| code-summary: "The claim about the loss, its routes and its edits"
def straightforward(phi_s, y_s, phi_t, y_t, ratio=1e-6, per_m=False, detach=True, constant=1.):
    "Loss and gradients: a column of ones, the primal normal equations, autograd."
    phi_s, y_s = (t.clone().requires_grad_() for t in (phi_s, y_s))
    wide = lambda p: torch.cat([p, torch.full((len(p), 1), constant**.5, dtype=p.dtype)], 1)
    s, t = wide(phi_s), wide(phi_t)
    lam = ratio*torch.trace(s @ s.T)/(len(s) if per_m else 1)
    lam = lam.detach() if detach else lam
    w = torch.linalg.solve(s.T @ s + lam*torch.eye(s.shape[1], dtype=s.dtype), s.T @ y_s)
    loss = torch.nn.functional.mse_loss(t @ w, y_t)
    return loss, *torch.autograd.grad(loss, (phi_s, y_s))

def as_called(f, phi_s, y_s, phi_t, y_t, **kw):
    "Loss and gradients of the function under test."
    phi_s, y_s = (t.clone().requires_grad_() for t in (phi_s, y_s))
    loss = f(phi_s, y_s, phi_t, y_t, **kw)
    return loss, *torch.autograd.grad(loss, (phi_s, y_s))

def losses(size):
    "Features, targets and the options of the loss."
    sizes = wholes(1, size), wholes(1, size), wholes(1, size), wholes(1, 3)
    tame = dict(kinds=['generic', 'equal', 'lone', 'whole'])
    return st.tuples(*sizes).flatmap(lambda s: st.fixed_dictionaries(dict(
        phi_s=tensors(s[0], s[1], **tame), y_s=tensors(s[0], s[3], **tame),
        phi_t=tensors(s[2], s[1], **tame), y_t=tensors(s[2], s[3], **tame),
        ratio=scales(1e-3, 1e2), constant=reals(1e-3, 2, 1)), optional=dict(
        per_m=st.booleans(), detach=st.booleans())))

both_losses = lambda f, **kw: flat(as_called(f, **FOUR, **kw))
reference = lambda **kw: flat(straightforward(**FOUR, **kw))
FREE, PER_M = dict(ratio=.1, detach=False), dict(ratio=.1, per_m=True, constant=0.)
SIX = 'a ratio of 1e-6 costs six of the 15 digits that autograd through the primal form has'
DOUBLE = 'autograd through the primal form, float64'
flat = lambda three: torch.cat([t.detach().flatten() for t in three])
scale = lambda a: (1 + sum(a[k].abs().max().item() for k in FOUR))**4*max(1, 1/a['ratio'])
exact_fit = lambda f: [f(*2*(FOUR['phi_s'][:2], FOUR['y_s'][:2]), 1e-12)]
claim('krrst.krr_loss',
    'One function gives loss and gradients of the ridge fit, $\\lambda=\\rho\\,\\mathrm{tr}K_{ss}$.',
    of=krr_loss, source='official code, distill.py',
    checks=[
        *[Check('trusted implementation', partial(both_losses, **kw), partial(reference, **kw), tol, why)
          for kw, tol, why in (({}, 1e-7, SIX), (FREE, 1e-10, DOUBLE), (PER_M, 1e-10, DOUBLE))],
        Check('limit', exact_fit, lambda: [0.], 1e-9, 'real images that are the synthetic ones, two')],
    hunts=[Hunt(losses, lambda **a: [t/scale(a) for t in straightforward(**a)],
        'trusted implementation', 1e-9,
        'torch.linalg.solve, primal form, autograd, float64; in units of what the gradient grows with',
        ours=lambda f, **a: [t/scale(a) for t in as_called(f, **a)], sizes=(1, 2, 8, 24), most=96)],
    refuses=[lambda f, kw=kw: f(**{**FOUR, **kw}) for kw in (
        {'y_s': FOUR['y_s'][:2]}, {'phi_t': FOUR['y_t']}, {'phi_s': 0*FOUR['phi_s'], 'constant': 0.},
        {'ratio': 0.}, {'ratio': float('nan')}, {'ratio': 1., 'constant': -1e-3})],
    mutants=[('0. if detach', '0. if not detach'), ('lam = ridge_strength(phi_s, ratio, constant, per_m)',
              'lam = ridge_strength(phi_s, ratio, constant, False)'),
             ('lam = ridge', 'lam = 1e9*ridge')])

# %% [markdown]
# ## What the ridge does
#
# Ten synthetic images on a line, one feature each and a constant one, try to say what a curve is at all other places. The features are fixed bumps. The slider moves $\rho$.

# %%
#| hide
grid, at = np.linspace(-3, 3, 200), np.linspace(-2.6, 2.6, 10)
bumps = lambda x: torch.from_numpy(np.exp(-(x[:, None] - np.linspace(-3, 3, 40))**2/.18))
curve = lambda x: np.sin(2*x) + .3*x
def fitted(ratio, ax):
    "The fit of ten images, and the truth."
    phi, wanted = bumps(at), torch.from_numpy(curve(at))[:, None]
    alpha, _ = dual(phi, wanted, ridge_strength(phi, ratio).item(), 1.)
    said = (bumps(grid) @ phi.T + 1) @ alpha
    ax.plot(grid, curve(grid), color=COLORS['grey'], label='what the target model says')
    ax.plot(grid, said[:, 0], color=COLORS['blue'], label='ridge head of ten images')
    ax.plot(at, curve(at), 'o', color=COLORS['orange'], label='the ten')
    ax.set(xlabel='image', ylabel='target', ylim=(-2.4, 2.4))
    ax.legend(loc='upper left')


# %%
#| label: fig-ridge
#| fig-cap: "A ridge head fitted to ten images, at all images between. The slider moves ρ, the ridge as a share of the trace."
#| echo: false
slider('ρ', [1e-6, 1e-4, 1e-2, 1e-1, 1.], fitted,
    'With a small ridge the fit goes through all ten points and is near the curve between them; '
    'with a large one it is flat, a constant.', start=1e-6)

# %% [markdown]
# The official value is $\rho=10^{-6}$: nearly an exact fit. What that asks of the arithmetic is the subject of [a page of its own](15_conditioning.ipynb).
#
# ## What if
#
# Predict first, then open.
#
# **1.** One synthetic image is there twice, with the same features and the same target. Is $A$ still invertible, and what happens to $\alpha$?
#
# <details><summary>Answer</summary>
#
# It is, for any $\lambda>0$: $K_{ss}$ has eigenvalue 0 there, $A$ has $\lambda$. The two share what one alone would have; the head is the one that a doubled weight on this image gives.
#
# </details>

# %%
phi, y = as64([[1.], [1.], [2.]]), as64([[1.], [1.], [0.]])
dual(phi, y, .5)[0].flatten().tolist()


# %% [markdown]
# **2.** All features are doubled, of synthetic and real images alike, without a constant one. What happens to the predictions if $\lambda$ stays, and if $\lambda=\rho\,\mathrm{tr}K_{ss}$?
#
# <details><summary>Answer</summary>
#
# With $\lambda$ fixed they come nearer to an exact fit, as with a quarter of the ridge. With the trace nothing changes: both Gram matrices and $\lambda$ are four times what they were, and $K_{ts}A^{-1}$ is the same. That is what the trace is for: members of a pool have features of different size.
#
# </details>

# %%
def predicted(scale, lam):
    "The prediction for one image of feature 1."
    alpha, _ = dual(scale*phi, y, lam)
    return (scale**2*phi.T @ alpha).item()
[predicted(1, .5), predicted(2, .5), predicted(1, .125), predicted(2, 2.)]

# %% [markdown]
# **3.** The targets are all zero. Which gradient is zero too, that by the features or that by the targets?
#
# <details><summary>Answer</summary>
#
# That by the features: $\alpha=0$ and $W^*=0$, so both terms of @eq-by-features vanish. Images without targets teach nothing, however they look; only the targets can begin. (KRR-ST starts with the target model's features, so it begins elsewhere.)
#
# </details>

# %%
alpha, factor = dual(phi, 0*y, .5)
real, wanted = as64([[1.]]), as64([[2.]])
by_features, by_targets = krr_gradients(phi, real, real @ phi.T, alpha, factor, -wanted)
by_features.flatten().tolist(), by_targets.flatten().tolist()

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.ridge`: `krr_loss` is what [the distiller](21_krrst.ipynb) minimises at every step, and `krr_gradients` is its backward pass. How fast it is beside torch's own solver is measured in [the benchmark](50_bench.ipynb).
