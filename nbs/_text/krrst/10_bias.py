# %% [markdown]
# # Random masks bias the naive gradient, by one over their number
#
# > To train with random masks and differentiate through the training is to minimise another loss than one thinks; by how much, and how to get most of it back.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), Theorem 1 as we know it from the abstract; propositions, proofs and example are ours · 10 minutes · what you need first: [what is distilled](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.bias

# %%
#| export
import math

import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from fractions import Fraction
from itertools import product
import matplotlib.pyplot as plt
import numpy as np, sympy
from hypothesis import strategies as st
from IPython.display import Markdown
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, exact, reals, scales, tensors, weights, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# A distilled set is judged by what a network has learnt from it. The naive way to improve the set is to train on it, measure the result, and differentiate through the training. Self-supervised training draws random masks or augmentations, so every measurement is a draw. One would like to average the gradients of many draws and be right. KRR-ST begins with the remark that one is not. Why not, by how much, and does it always go wrong?
#
# ## One number and one mask
#
# The synthetic set is one number $x=1$. The network is one weight $\theta$; it is shown the number masked, $ax$ with $a=0$ or $1$, each half of the time, and is to give $x$ back. With a penalty $\frac12\theta^2$ the mean loss is $\frac12\cdot\frac12(\theta-1)^2+\frac12\cdot\frac12+\frac12\theta^2$, least at $\theta^*=\frac13$.
#
# Now one draws a single mask and trains on that. With $a=0$ there is nothing to learn, $\hat\theta=0$; with $a=1$, $\hat\theta=\frac12$. The mean over draws is $\frac14$, not $\frac13$: a **minimiser of a mean is no mean of minimisers**. For other $x$ they are $x^2/(x^2+2)$, and $0$ or $x^2/(x^2+1)$. Slopes by $x$ at 1:

# %%
x = torch.tensor(1., dtype=torch.float64, requires_grad=True)
best, drawn = x**2/(x**2 + 2), x**2/(x**2 + 1)
[(t.item(), torch.autograd.grad(t, x)[0].item()) for t in (best, drawn)]

# %% [markdown]
# The result is measured by the same masked loss on a real number 1: $F(\theta)=\frac14(\theta-1)^2+\frac14$, so $F'=\frac12(\theta-1)$. The true gradient by $x$ is $\frac12(\frac13-1)\frac49=-\frac4{27}$. The gradient of a draw is 0 or $\frac12(\frac12-1)\frac12=-\frac18$, on average

# %%
true, naive = Fraction(1, 2)*(Fraction(1, 3) - 1)*Fraction(4, 9), -Fraction(1, 2)/8
print(true, naive, naive - true, round(float((naive - true)/-true), 3))

# %% [markdown]
# More than half of the gradient is lost, however many draws are averaged.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $x$ | `x` | one entry of the synthetic set |
# | $\zeta$ | | what is random in the inner training |
# | $\hat\theta_\zeta$, $\theta^*$ | `solution` | trained weights: with the draws $\zeta$, and without chance |
# | $F$ | | outer loss of trained weights |
# | $J=F(\theta^*)$, $\tilde J=\mathbb E_\zeta F(\hat\theta_\zeta)$ | `expected_loss` | loss of the mean training, mean loss of trainings |
# | $n$ | `masks` | inner draws that one training averages over |
# | $p$, $\bar u$ | `p`, `keep` | chance that a mask keeps the number; share of $n$ masks that did |
# | $\rho$ | `ridge` | inner penalty, above 0 |
# | $a$, $c$ | `aim`, `weight` | outer loss of the example, $F(\theta)=\frac c2(\theta-a)^2$ |
#
# The example's masked outer loss is $a=1$, $c=\frac12$, up to a constant. As a second one serves $a=\frac25$, $c=1$.

# %%
MASKED, FIFTHS = dict(aim=1., weight=.5), dict(aim=.4, weight=1.)


# %% [markdown]
# ## Statement 1: when the mean of gradients is the gradient
#
# This is Theorem 1 of the paper, as we know it from its abstract; the assumptions are ours.
#
# - **A1.** Sampled inner loss $\hat{\mathcal L}_\zeta$ and mean inner loss $\mathcal L=\mathbb E_\zeta\hat{\mathcal L}_\zeta$ are twice continuously differentiable in $(\theta,x)$.
# - **A2.** For all $x$ near the one in question each has one minimiser, which moves continuously with $x$ and has a positive definite Hessian.
# - **A3.** $F$ is continuously differentiable; near $x$ all $|\partial_xF(\hat\theta_\zeta)|$ stay below some $M_\zeta$ of finite mean; the $\partial_kF(\hat\theta_\zeta)$ and $\partial_x\hat\theta_{\zeta,k}$ have finite second moments.
#
# Then the mean of $\partial_xF(\hat\theta_\zeta)$ is
#
# $$
# \begin{aligned}
# &\textcolor{#0072b2}{\mathbb E[\nabla F(\hat\theta_\zeta)]^\top\,\mathbb E[\partial_x\hat\theta_\zeta]}\\
# &\quad+\textcolor{#b35900}{\sum_k\mathrm{Cov}\bigl[\partial_kF(\hat\theta_\zeta),\,\partial_x\hat\theta_{\zeta,k}\bigr]},
# \end{aligned}
# $$ {#eq-theorem}
#
# and it is unbiased for $\partial_xJ$ if and only if this equals $\nabla F(\theta^*)^\top\partial_x\theta^*$.
#
# *Why.* By A1 and A2 the implicit function theorem makes both minimisers differentiable in $x$, $\partial_x\theta^*=-(\nabla^2_\theta\mathcal L)^{-1}\partial_x\nabla_\theta\mathcal L$, and likewise with a draw. The chain rule gives $\partial_xF(\hat\theta_\zeta)=\sum_kA_kB_k$ with $A_k=\partial_kF(\hat\theta_\zeta)$ and $B_k=\partial_x\hat\theta_{\zeta,k}$. For two random numbers with second moments $\mathbb E[AB]=\mathbb E[A]\,\mathbb E[B]+\mathrm{Cov}(A,B)$; sum over $k$. The true gradient is $\nabla F(\theta^*)^\top\partial_x\theta^*$, by the chain rule again.
#
# **An identity, and no more.** All that the theorem uses is what a covariance is. It says what unbiasedness would take. It does *not* say that this fails: that there is a bias, which sign it has, or how large it is. Statements 2 to 4 do, and Statement 5 has cases with chance and without bias.

# %%
#| exports
def product_and_covariance(
    slopes: Tensor, # ∂F/∂θ of each draw, (draws, K)
    moves: Tensor,  # ∂θ/∂x of each draw, (draws, K)
    chance: Tensor, # probability of each draw, sums to one, (draws,)
)->tuple[Tensor, Tensor]: # product of the means, sum of covariances
    """The two parts of a mean naive gradient; raises `UserError`. Source: ours."""
    if not slopes.shape == moves.shape == (len(chance), *slopes.shape[1:]):
        raise UserError(f'slopes {tuple(slopes.shape)}, moves {tuple(moves.shape)} and '
                        f'{len(chance)} chances: one row each for each draw')
    if not abs(chance.sum() - 1) < 1e-6:
        raise UserError(f'chances that sum to {chance.sum():g}: one is expected')
    move = chance @ moves
    return chance @ slopes @ move, (chance @ (slopes*(moves - move))).sum()


# %% [markdown]
# The example: slopes $-\frac12$ and $-\frac14$, moves 0 and $\frac12$. The parts, and their sum:

# %%
as64 = lambda *a: torch.tensor(a, dtype=torch.float64)
parts = product_and_covariance(as64([-.5], [-.25]), as64([0.], [.5]), as64(.5, .5))
[part.item() for part in parts], sum(parts).item()

# %%
raises(product_and_covariance, as64([-.5], [-.25]), as64([0.]), as64(.5, .5))


# %% [markdown]
# ## The example in closed form
#
# With $n$ masks the inner loss is $\frac1n\sum_i\frac12(\theta a_ix-x)^2+\frac\rho2\theta^2$. As $a^2=a$, only the share $u=\frac1n\sum a_i$ counts: the derivative $ux^2\theta-ux^2+\rho\theta$ is zero at
#
# $$\vartheta(u,x)=\frac{ux^2}{ux^2+\rho},\qquad\partial_x\vartheta=\frac{2u\rho x}{(ux^2+\rho)^2}.$$ {#eq-solution}
#
# Training without chance is $u=p$, a drawn one $u=\bar u$. So one function of $u$ is the true gradient and every sampled one, and the number of masks kept is binomial:
#
# $$g(u)=c\,(\vartheta-a)\,\partial_x\vartheta,\qquad g_n=\sum_{k=0}^n\binom nkp^k(1-p)^{n-k}\,g\bigl(\tfrac kn\bigr).$$ {#eq-expected}

# %%
#| exports
def solution(
    keep,     # u, share of the masks that keep the number, 0 to 1
    x,        # the synthetic number, or many
    ridge: float=1., # ρ, above 0
)->Tensor: # θ, float64
    """The best weight of a masked linear autoencoder; raises `UserError`.

    Source: ours."""
    keep, x = _sound(keep, x, ridge)
    return keep*x**2/(keep*x**2 + ridge)

def outer_gradient(
    keep,     # u: p for the true gradient, a share of drawn masks for a sampled one
    x,        # the synthetic number, or many
    aim: float=1.,    # a, where the outer loss is least
    weight: float=1., # c, its second derivative
    ridge: float=1.,  # ρ, above 0
)->Tensor: # g(u), float64
    """Gradient of the outer loss by the synthetic number; raises `UserError`.

    Source: ours."""
    _finite(aim=aim, weight=weight)
    keep, x = _sound(keep, x, ridge)
    whole = keep*x**2 + ridge
    moved = 2*(keep*x/whole)*(ridge/whole)
    return weight*(keep*x**2/whole - aim)*moved

def _sound(keep, x, ridge):
    "Keep rate and number as tensors; raises `UserError`."
    keep, x = (torch.as_tensor(a, dtype=torch.float64) for a in (keep, x))
    if not keep.clamp(0, 1).equal(keep):
        raise UserError(f'keep rates from {keep.min():g} to {keep.max():g}: '
                        'between 0 and 1 is expected')
    if not x.square().isfinite().all():
        raise UserError(f'x from {x.min():g} to {x.max():g}: '
                        'numbers with a finite square are expected')
    if not 0 < ridge < math.inf:
        raise UserError(f'ridge={ridge}: a finite number above 0 is expected')
    return keep, x

def _finite(**numbers):
    "Raises `UserError` for what is not finite."
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise UserError(f'{name}={value}: a finite number is expected')


# %%
outer_gradient(.5, 1., **MASKED).item(), -4/27

# %%
raises(outer_gradient, 1.2, 1.), raises(solution, .5, 1., ridge=0.)


# %%
#| exports
def expected_gradient(
    masks: int, # n, at least 1
    x,          # the synthetic number, or many
    p: float,   # chance that a mask keeps the number, 0 to 1
    aim: float=1.,    # a, where the outer loss is least
    weight: float=1., # c, its second derivative
    ridge: float=1.,  # ρ, above 0
)->Tensor: # like x, float64
    """The mean naive gradient over all draws of `masks` masks, exactly.

    Raises `UserError`. Source: ours."""
    chance, keep = _chances(masks, p)
    return outer_gradient(keep, _column(x), aim, weight, ridge) @ chance

def expected_loss(
    masks: int, # n, at least 1
    x,          # the synthetic number, or many
    p: float,   # chance that a mask keeps the number, 0 to 1
    aim: float=1.,    # a, where the outer loss is least
    weight: float=1., # c, its second derivative
    ridge: float=1.,  # ρ, above 0
)->Tensor: # like x, float64
    """The mean outer loss over all draws of `masks` masks, exactly: J̃.

    Raises `UserError`. Source: ours."""
    _finite(aim=aim, weight=weight)
    chance, keep = _chances(masks, p)
    return (.5*weight*(solution(keep, _column(x), ridge) - aim)**2) @ chance

def _chances(masks, p):
    "Probability of 0 to `masks` kept masks, and the shares that they are."
    if masks < 1 or masks % 1:
        raise UserError(f'masks={masks}: a whole number from 1 is expected')
    if not 0 <= p <= 1: raise UserError(f'p={p}: between 0 and 1')
    k = torch.arange(masks + 1, dtype=torch.float64)
    lost = masks - k
    logs = torch.xlogy(k, p) + torch.xlogy(lost, 1 - p)
    return (logs - torch.lgamma(k + 1) - torch.lgamma(lost + 1)).softmax(0), k/masks

def _column(x):
    "Numbers with an axis behind, for the shares."
    return torch.as_tensor(x, dtype=torch.float64)[..., None]


# %%
expected_gradient(1, 1., .5, **MASKED).item(), -1/16

# %%
raises(expected_gradient, 0, 1., .5), raises(expected_gradient, 2, 1., float('nan'))

# %% [markdown]
# The same by drawing, as a program would do it. One interval may miss by chance, so here are two hundred, of 99 % and ten thousand draws each. How many hold the exact mean, and how many the true gradient?

# %%
generator = torch.Generator().manual_seed(0)
def holds(value, masks, draws=10_000):
    "Whether a 99 % interval of sampled gradients holds a value."
    kept = torch.rand(draws, masks, generator=generator) < .5
    found = outer_gradient(kept.double().mean(1), 1., **MASKED)
    return abs(found.mean().item() - value) < 2.576*found.std().item()/draws**.5

for n in (1, 4):
    exactly = expected_gradient(n, 1., .5, **MASKED).item()
    print(n, *[sum(holds(v, n) for _ in range(200)) for v in (exactly, -4/27)])

# %% [markdown]
# ## Statement 2: it is the gradient of another loss
#
# Under A1 to A3
#
# $$\mathbb E_\zeta\bigl[\partial_xF(\hat\theta_\zeta)\bigr]=\partial_x\tilde J,\qquad\tilde J=\mathbb E_\zeta F(\hat\theta_\zeta).$$ {#eq-tilde}
#
# *Why.* The bound $M_\zeta$ of A3 allows the derivative to pass under the mean, by dominated convergence.
#
# So "biased" means: biased **for $J$**. Naive gradient descent is stochastic gradient descent on $\tilde J$, with nothing wrong about it. And which of the two does one want? A network that will really be trained with fresh random masks is judged by something nearer to $\tilde J$. The same argument says that chance in the *outer* loss does no harm: a minibatch, an outer mask, a network drawn from a pool enter as $\mathbb E_\xi\ell_\xi$, and the mean of gradients is the gradient of the mean.
#
# **It can lead the wrong way.** With the outer loss about $\frac25$, the other values as above, the true gradient at $x=1$ is $(\frac13-\frac25)\frac49=-\frac4{135}$, the expected one $\frac12(\frac12-\frac25)\frac12=+\frac1{40}$:

# %%
outer_gradient(.5, 1., **FIFTHS).item(), expected_gradient(1, 1., .5, **FIFTHS).item()


# %% [markdown]
# $J=0$ is reached where $\vartheta(\frac12,x)=\frac25$, at $x=2/\sqrt3$. One mask gives gradient zero, or that of $\frac12(\vartheta(1,x)-\frac25)^2$, which vanishes at $x=\sqrt{2/3}$. There $\theta^*=\frac14$ and $J=\frac12(\frac3{20})^2=\frac9{800}$. Naive descent, with a fresh mask at every step, begun at the true minimiser:

# %%
def descend(estimate, x=2/3**.5, rate=.5, steps=2000):
    "Gradient descent with estimates; where it is at last."
    for _ in range(steps): x = x - rate*estimate(x)
    return float(x)

def one_draw(x, masks=1):
    "The gradient with fresh masks."
    kept = torch.rand(masks, generator=generator) < .5
    return outer_gradient(kept.double().mean(), x, **FIFTHS)

settled = descend(one_draw)
J = .5*(solution(.5, settled) - .4)**2
print(f'{settled:.4f} {(2/3)**.5:.4f}   J {J:.6f} {9/800:.6f}')


# %% [markdown]
# ## Statement 3: the bias is of order $1/n$
#
# Let $\hat\theta$ depend on $n$ independent draws through a mean, $\hat\theta=\vartheta(\bar u_n,x)$; $u_i$ bounded with mean $\mu$ and covariance $\Sigma$, $\theta^*=\vartheta(\mu,x)$; and let $g(u)=\partial_xF(\vartheta(u,x))$ be four times continuously differentiable in $u$. Then
#
# $$g_n-g(\mu)=\frac1{2n}\,\mathrm{tr}\bigl(\Sigma\,\nabla^2g(\mu)\bigr)+O(n^{-2}).$$ {#eq-order}
#
# *Why.* With $\delta=\bar u_n-\mu$, Taylor: $g(\bar u_n)=g(\mu)+\nabla g^\top\delta+\frac12\delta^\top\nabla^2g\,\delta+\frac16g^{(3)}[\delta^3]+O(\|\delta\|^4)$. Take means: $\mathbb E\delta=0$ and $\mathbb E\delta\delta^\top=\Sigma/n$; the third moments of a mean are those of a draw over $n^2$, the fourth are of order $n^{-2}$ too.
#
# In the example $\Sigma=p(1-p)$. Write $\theta$ for $\theta^*$ and differentiate @eq-expected twice by $u$:
#
# $$
# \begin{aligned}
# n(g_n-g)\to\ &2c\,(1-p)\,\theta(1-\theta)\frac{x}{px^2+\rho}\\
# &\cdot\bigl[6\theta^2-6\theta+1-a(3\theta-2)\bigr].
# \end{aligned}
# $$ {#eq-leading}
#
# *Why.* With $D=ux^2+\rho$ it is $\vartheta=1-\rho/D$, so $g=2c\rho x\,[(1-a)\,uD^{-2}-\rho\,uD^{-3}]$. And $(uD^{-k})''=kx^2D^{-k-2}[(k-1)ux^2-2\rho]$. At $u=p$, where $px^2=\theta D$ and $\rho=(1-\theta)D$, half of $p(1-p)g''$ is @eq-leading.
#
# For the masked outer loss, $a=1$, the bracket is $3(1-\theta)(1-2\theta)$, and beside the true gradient all that is left is
#
# $$\frac{g_n-g}{g}\approx-\frac3n\cdot\frac{1-p}p\;\theta(1-2\theta).$$ {#eq-share}
#
# @eq-share is the first term of a series in $1/n$, and good where $n$ is so large that the next, of order $1/n^2$, no longer counts; what that constant is depends on $x$, $\rho$ and $p$, and the sums above say it for any of them. There, a weight that has learnt little, $\theta<\frac12$, gets too short a gradient; beyond $\theta=\frac12$, where $px^2>\rho$, too long a one. **The bias is not always shrinkage.** (With few masks it may be: with one, $p=\frac12$ and $\rho=1$, the share of the gradient that is left is $\frac18\bigl(\frac{x^2+2}{x^2+1}\bigr)^3$, below one for every $x\ne0$.) It is strong where little is kept: $(1-p)/p$ is 3 for masks that keep a quarter.

# %%
#| exports
def leading_bias(
    x,        # the synthetic number, or many
    p: float, # chance that a mask keeps the number, 0 to 1
    aim: float=1.,    # a, where the outer loss is least
    weight: float=1., # c, its second derivative
    ridge: float=1.,  # ρ, above 0
)->Tensor: # like x, float64
    """What n times the bias of the naive gradient tends to; raises `UserError`.

    Source: ours."""
    _finite(aim=aim, weight=weight)
    p, x = _sound(p, x, ridge)
    whole = p*x**2 + ridge
    theta, left = p*x**2/whole, ridge/whole
    bracket = 6*theta**2 - 6*theta + 1 - aim*(3*theta - 2)
    return 2*weight*(1 - p)*theta*left*(x/whole)*bracket


# %% [markdown]
# At the values of the example $\theta=\frac13$, so $2\cdot\frac12\cdot\frac12\cdot\frac13\cdot\frac23\cdot\frac23\cdot\frac23=\frac4{81}$; and between 1.3 and 1.5, at $x=\sqrt2$, it changes its sign:

# %%
leading_bias(1., .5, **MASKED).item(), 4/81, leading_bias([1.3, 1.5], .5, **MASKED)

# %%
raises(leading_bias, 1., -.1), raises(leading_bias, float('nan'), .5)


# %%
#| code-fold: true
def line(n):
    "A row of the table: mean estimate, bias, n times the bias."
    mean = expected_gradient(n, 1., .5, **MASKED).item()
    return f'{n}', f'{mean:.7f}', f'{mean + 4/27:.7f}', f'{n*(mean + 4/27):.6f}'
Markdown(table([line(n) for n in (1, 2, 4, 16, 256, 1024)], ('n', 'mean estimate', 'bias', 'n · bias')))


# %% [markdown]
# ## Statement 4: two numbers of masks are better than one
#
# Under the assumptions of Statement 3 the bias of
#
# $$2g_{2n}-g_n$$ {#eq-richardson}
#
# is of order $n^{-2}$: this is Richardson's extrapolation.
#
# *Why.* $g_n=g+b/n+O(n^{-2})$; twice $b/2n$ is $b/n$.

# %%
#| exports
def richardson(
    estimate, # number of inner draws → a gradient: tensor, or list or tuple of such
    n: int,   # inner draws of the smaller of the two calls, at least 1
): # like what `estimate` returns
    """2·estimate(2n) - estimate(n), whose bias is of order 1/n² where that of
    `estimate` has an expansion in 1/n.

    Its variance: with fresh draws in both calls three times that of estimate(n), nine
    times that of estimate(3n), which draws as many. With shared draws less: n of the
    2n in the smaller call, about that of estimate(n); if estimate(n) is the mean over
    both halves of them, about that of estimate(2n). Raises `UserError`.

    Source: ours."""
    if n < 1 or n % 1:
        raise UserError(f'n={n}: a whole number from 1 is expected')
    return _paired(estimate(2*n), estimate(n), lambda many, few: 2*many - few)

def _paired(a, b, f):
    "f of two tensors, or of every two in lists."
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            raise UserError(f'estimates of {len(a)} and of {len(b)} tensors: as many '
                            'for any number of draws are expected')
        return type(a)([_paired(*pair, f) for pair in zip(a, b)])
    if getattr(a, 'shape', None) != getattr(b, 'shape', None):
        raise UserError(f'estimates of shape {tuple(a.shape)} and '
                        f'{tuple(getattr(b, "shape", ()))}: the same is expected')
    return f(a, b)


# %%
of_four = lambda f: f(lambda n: expected_gradient(n, 1., .5, **MASKED), 4).item() + 4/27
of_four(richardson), of_four(lambda estimate, n: estimate(3*n))

# %% [markdown]
# The bias with $4+8$ masks by extrapolation, and with 12 masks at once.

# %%
raises(richardson, lambda n: torch.ones(n), 4), raises(richardson, torch.ones, 0)


# %% [markdown]
# **The price is variance.** Let an estimate from $n$ draws have variance about $V/n$. Extrapolated from fresh draws it is $4\cdot\frac V{2n}+\frac Vn=\frac{3V}n$, nine times what the same $3n$ draws give at once. Draws can be shared: to first order an estimate is linear in $\bar u$, so if the smaller call takes the first half of the $2n$, the second half is what remains, $\frac Vn$; and if it is the mean over both halves, the linear part is as in the large call, $\frac V{2n}$, the variance of the large call alone. $n$ times the variance in the example with $p=\frac14$, exactly:

# %%
#| code-fold: true
def variances(n, p=.25):
    "n times the variance: fresh draws, the first half shared, both halves, 3n draws at once."
    at = lambda u: outer_gradient(u, 1., **MASKED).numpy()
    def of(values, chance): return n*((chance*values**2).sum() - (chance*values).sum()**2)
    def plain(m): return of(at(np.arange(m + 1)/m), binom.pmf(np.arange(m + 1), m, p))
    k = np.arange(n + 1)
    pair = np.outer(*2*[binom.pmf(k, n, p)])
    many, first, second = at((k[:, None] + k)/(2*n)), at(k[:, None]/n), at(k/n)
    shared = [of(2*many - few, pair) for few in (first, (first + second)/2)]
    return [4*plain(2*n) + plain(n), *shared, plain(3*n)]
Markdown(table([[str(n), *(f'{v:.5f}' for v in variances(n))] for n in (4, 16, 64, 256)],
    ('n', 'fresh', 'first half shared', 'both halves', '3n draws at once')))

# %% [markdown]
# One step is noisier, then; noise averages out over steps, and a bias does not. (The bias can be removed altogether. The expected gradients $g_n$, $g_{2n}-g_n$, $g_{4n}-g_{2n}$ and so on sum to the true one. Draw one of the differences, the $k$-th with chance $q_k$; draw masks for it, divide what they give by $q_k$, and add a draw for $g_n$: on average that is the whole sum. This is the randomised multilevel method. The $k$-th difference costs $2^kn$ masks, so the mean cost is finite where $q_k$ falls faster than $2^{-k}$. With both halves shared its variance falls with $4^{-k}$, so the variance is finite where $q_k$ falls more slowly than $4^{-k}$. Between the two, as with $q_k\propto2^{-3k/2}$, both are.)

# %% [markdown]
# ## Statement 5: chance without bias, and a method without chance
#
# Under A1 to A3 the bias is zero although $\hat\theta$ is random
#
# 1. if $F$ is affine and $\mathbb E\hat\theta_\zeta(x)=\theta^*(x)$ near $x$;
# 2. if $F$ is quadratic, $\mathbb E\hat\theta_\zeta(x)=\theta^*(x)$ near $x$, and $\mathrm{tr}(\nabla^2F\,\mathrm{Cov}\,\hat\theta_\zeta(x))$ does not depend on $x$.
#
# *Why.* For a quadratic $F$, $\tilde J=F(\theta^*)+\frac12\mathrm{tr}(\nabla^2F\,\mathrm{Cov}\,\hat\theta_\zeta)$ exactly. Differentiate, with Statement 2. An affine $F$ has $\nabla^2F=0$.
#
# Example: $\hat{\mathcal L}_\epsilon=\frac12(\theta-x-\epsilon)^2$ with noise of mean zero, so $\hat\theta=x+\epsilon$. With $F=\theta^2$ there is no bias. With $F=\theta^3$ it is $\mathbb E[3(x+\epsilon)^2]-3x^2=3\,\mathrm{Var}(\epsilon)$. With noise that grows with $x$, $\hat\theta=x(1+\epsilon)$, the quadratic has one too, $2x\,\mathrm{Var}(\epsilon)$: the last condition of 2. is needed. With $\epsilon=\pm\frac12$ and $x=3$:

# %%
half, at = Fraction(1, 2), 3
def bias(slope, theta, moved):
    "Mean of F'(θ)·∂θ over both signs of the noise, less F'(x)."
    return sum(slope(theta(e))*moved(e) for e in (-half, half))/2 - slope(at)
added, grown = (lambda e: at + e, lambda e: 1), (lambda e: at*(1 + e), lambda e: 1 + e)
print(*[bias(lambda t: 2*t, *noise) for noise in (added, grown)],
      bias(lambda t: 3*t**2, *added))


# %% [markdown]
# So "random augmentation, therefore a biased gradient" is false as it stands. The clause "unless" of the theorem is not empty.
#
# **What KRR-ST does about it.** Its inner loss $\frac12\|Y_s-\hat g_\theta(X_s)\|^2$ on the whole synthetic set draws nothing: $\hat\theta=\theta^*$, and there is no bias of this kind. It pays in two places. It holds the layers before the last still while it differentiates, which leaves out a part of the gradient: [a truncation, with a bias of its own](13_truncation.ipynb). And the network that is pre-trained on the set in the end is trained by minibatches, at random again: what is minimised is neither that training's $J$ nor its $\tilde J$.

# %% [markdown]
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)); each claim is [hunted](../core/hunt.ipynb), over numbers of either sign, tiny and huge, keep rates from 0 to 1, and ridges from $10^{-3}$ to $10^3$.
#
# **The identity**, by fractions, and by one draw, which has no covariance.

# %%
#| code-fold: true
#| code-summary: "The claim about the two parts, its routes and its edits"
def parts_by_fractions(slopes, moves, chance):
    "The mean of products, less the product of means, for every weight, without rounding."
    slopes, moves, chance = (exact(t) for t in (slopes, moves, chance))
    chance = chance/chance.sum()
    means = sum((chance @ slopes)*(chance @ moves))
    return float(means), float(sum(chance @ (slopes*moves)) - means)

def draws(size):
    "Draws of slopes and moves, and their chances."
    return st.tuples(wholes(1, size), wholes(1, size)).flatmap(lambda s: st.fixed_dictionaries(dict(
        slopes=tensors(*s), moves=tensors(*s), chance=weights(s[0]))))

size = lambda a: 1 + a['slopes'].abs().max().item()*a['moves'].abs().max().item()*a['slopes'].shape[1]
per_unit = lambda values, a: [v/size(a) for v in values]
rng = np.random.default_rng(0)
SOME = [torch.from_numpy(rng.standard_normal((6, 3))) for _ in range(2)]
EVEN = torch.full((6,), 1/6, dtype=torch.float64)
claim('krrst.product_and_covariance',
    'The mean of $\\partial_xF(\\hat\\theta_\\zeta)$ is the product of the means and the sum of covariances.',
    of=product_and_covariance, source='paper, Theorem 1, as we know it from the abstract',
    checks=[
        Check('trusted implementation', lambda f: f(*SOME, EVEN)[1],
            lambda: sum(np.cov(*(t[:, k] for t in SOME), bias=True)[0, 1] for k in range(3)), 1e-14,
            'numpy.cov; float64'),
        Check('brute force', lambda f: sum(f(*SOME, EVEN)),
            lambda: sum(float(a @ b) for a, b in zip(*SOME))/6, 1e-14, 'the mean of products; float64'),
        Check('limit', lambda f: f(as64([2., 3.]), as64([5., -1.]), as64(1.)), lambda: [7., 0.], 1e-15,
            'one draw: 2·5 − 3·1, and no covariance')],
    hunts=[Hunt(draws, lambda **a: per_unit(parts_by_fractions(**a), a), 'brute force', 1e-12,
        'fractions; float64, in units of the products that are added',
        ours=lambda f, **a: per_unit(f(**a), a), sizes=(1, 2, 6, 16), most=64, points=40)],
    refuses=[lambda f: f(SOME[0], SOME[1][:5], EVEN), lambda f: f(SOME[0], SOME[1], EVEN[:5]),
             lambda f: f(SOME[0], SOME[1][:, :2], EVEN), lambda f: f(SOME[0][:, :2], SOME[1], EVEN),
             *[lambda f, s=s: f(*SOME, EVEN*s) for s in (.5, 1 + 1.5e-6, 2., math.nan)]],
    equivalent={'chance @ slopes @ move → move @ (chance @ slopes)': 'an inner product',
        'abs(chance.sum() - 1) < 1e-06 → abs(chance.sum() - 1) <= 1e-06': 'no sum lies on the bound',
        'chance.sum() - 1 → 1 - chance.sum()': 'its absolute value is taken'},
    mutants=[('moves - move', 'moves + move'), ('return chance @ slopes', 'return 2*chance @ slopes'),
             ('moves - move', 'moves')])


# %% [markdown]
# **Gradient and loss for all draws**: by all $2^n$ patterns of masks, where the inner problem is solved by Newton steps and autograd goes through them; by sampling; by fractions for many masks; and Statement 2 by finite differences.

# %%
#| code-fold: true
#| code-summary: "All patterns, many masks, and the domain"
def by_patterns(masks, x, p, aim=1., weight=1., ridge=1.):
    "Mean loss, and its gradient through Newton steps, over all patterns of masks."
    kept = torch.tensor(list(product((0., 1.), repeat=masks)), dtype=torch.float64)
    chance = (kept*p + (1 - kept)*(1 - p)).prod(1)
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    theta = torch.zeros(len(kept), dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        loss = .5*(theta[:, None]*kept*x - x).square().mean(1) + .5*ridge*theta.square()
        slope, = torch.autograd.grad(loss.sum(), theta, create_graph=True)
        bend, = torch.autograd.grad(slope.sum(), theta, create_graph=True)
        theta = theta - slope/bend
    losses = .5*weight*(theta - aim).square()
    each, = torch.autograd.grad(chance @ losses, x)
    return (chance @ losses).item(), each.item()

def by_fractions(masks, x, p, aim=1., weight=1., ridge=1.):
    "Mean loss and gradient over all numbers of kept masks, each term without rounding."
    x, p, aim, weight, ridge = map(Fraction, (x, p, aim, weight, ridge))
    loss, slope = [], []
    for k in range(masks + 1):
        chance = math.comb(masks, k)*p**k*(1 - p)**(masks - k)
        whole = Fraction(k, masks)*x**2 + ridge
        off = 1 - ridge/whole - aim
        loss.append(float(chance*weight*off**2/2))
        slope.append(float(chance*weight*off*2*Fraction(k, masks)*ridge*x/whole**2))
    return math.fsum(loss), math.fsum(slope)

signed = st.builds(lambda s, v: s*v, st.sampled_from((-1., 1.)), scales(1e-6, 1e6)) | reals(-4, 4, 1)
def example(**more):
    "Arguments of the example."
    return lambda size: st.fixed_dictionaries(
        dict(x=signed, p=reals(0, 1, .5)) | {k: v(size) for k, v in more.items()},
        optional=dict(aim=reals(-2, 3, 1, .4), weight=reals(0, 3, 1), ridge=scales(1e-3, 1e3)))

def steep(a):
    "What gradients are proportional to, or above."
    return 1 + a.get('weight', 1.)*(1 + abs(a.get('aim', 1.)))/a.get('ridge', 1.)**.5

def hunted_by(judge, which, kind, why, tol=1e-11, **sizes):
    "A hunt for the loss (0) or the gradient (1)."
    return Hunt(example(masks=lambda size: wholes(1, size)),
        lambda **a: judge(**a)[which]/(steep(a) if which else 1), kind, tol, why,
        ours=lambda f, **a: f(**a)/(steep(a) if which else 1), **sizes)

FEW = dict(sizes=(1, 2, 5, 8), most=10)
MANY = dict(sizes=(1, 16, 64), most=512, points=30)
PATTERNS = 'all patterns, Newton steps, autograd; float64'
BINOMIAL = 'fractions; logarithms of factorials of up to 1000s in float64'
SAME = {'masks < 1 → masks < 0': 'no masks have no share, which is refused as well',
    '(logs - torch.lgamma(k + 1) - torch.lgamma(lost + 1)).softmax(0) → '
    '(logs - torch.lgamma(k + 1) - torch.lgamma(lost + 1)).softmax(-1)': 'there is one axis'}
OFF = dict(aim=.4, weight=1.5, ridge=.7)
REFUSED = [lambda f, kw=kw: f(**(dict(masks=2, x=1., p=.5) | kw)) for kw in (
    dict(masks=0), dict(masks=2.5), dict(masks=math.nan), dict(masks=math.inf), dict(p=-.1), dict(p=1.1),
    dict(p=math.nan), dict(x=math.nan), dict(x=1e200), dict(x=as64(1., math.nan)), dict(ridge=0.),
    dict(ridge=-.5), dict(ridge=math.nan), dict(ridge=math.inf), dict(aim=math.nan), dict(weight=math.inf))]


# %%
#| code-fold: true
#| code-summary: "The claim about the mean gradient, its routes and its edits"
def by_drawing(masks, x, p, aim, weight, ridge, draws=400_000):
    "The mean over draws, each solved by itself; numpy."
    keep = np.random.default_rng(1).binomial(masks, p, draws)/masks
    theta = lambda x: keep*x*x/(keep*x*x + ridge)
    return (weight*(theta(x) - aim)*(theta(x + 1e-5) - theta(x - 1e-5))/2e-5).mean()

claim('krrst.expected_gradient', 'The mean naive gradient is the binomial mean of $g(k/n)$.',
    of=expected_gradient, source='ours',
    checks=[
        Check('brute force', lambda f: [*f(5, [-.8, 2.], .3, **OFF), f(3, 1.4, .5)],
            lambda: [*(by_patterns(5, x, .3, **OFF)[1] for x in (-.8, 2.)), by_patterns(3, 1.4, .5)[1]],
            1e-13, PATTERNS),
        Check('sampling', lambda f: f(6, .9, .25, **OFF), lambda: by_drawing(6, .9, .25, **OFF), 2e-3,
            'a draw has a deviation below 0.25; five times that over the root of 400,000'),
        Check('finite differences', lambda f: f(4, 1.2, .6, **OFF),
            lambda: (by_fractions(4, 1.2001, .6, **OFF)[0] - by_fractions(4, 1.1999, .6, **OFF)[0])/2e-4,
            1e-7, 'of the mean loss, step 1e-4: its square times a third derivative of some units')],
    hunts=[hunted_by(by_patterns, 1, 'brute force', PATTERNS, **FEW),
           hunted_by(by_fractions, 1, 'algebra', BINOMIAL, **MANY)],
    refuses=REFUSED, equivalent=SAME,
    mutants=[('weight, ridge) @', 'weight, 2*ridge) @'), ('aim, weight, ridge) @', 'weight, aim, ridge) @'),
             ('_column(x)', '-_column(x)')])


# %%
#| code-fold: true
#| code-summary: "The claim about the mean loss, its routes and its edits"
def slope_of(f, x, **a):
    "Derivative of the function under test by x, by autograd."
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(x=x, **a), x)[0]

beside = lambda f, h=1e-4: (f(5, -.8 + h, .3, **OFF) - f(5, -.8 - h, .3, **OFF))/(2*h)
claim('krrst.expected_loss',
    'The mean naive gradient is the derivative of $\\tilde J=\\mathbb E_\\zeta F(\\hat\\theta_\\zeta)$.',
    of=expected_loss, source='ours',
    checks=[
        Check('finite differences', beside, lambda: by_patterns(5, -.8, .3, **OFF)[1], 1e-7,
            'step 1e-4: its square times a third derivative of some units; gradients of all patterns'),
        Check('brute force', lambda f: f(4, [1.3, 2.], .6, **OFF),
            lambda: [by_patterns(4, x, .6, **OFF)[0] for x in (1.3, 2.)],
            1e-14, PATTERNS)],
    hunts=[Hunt(example(masks=lambda size: wholes(1, size)), lambda **a: by_patterns(**a)[1]/steep(a),
               'brute force', 1e-11, PATTERNS, ours=lambda f, **a: slope_of(f, **a)/steep(a), **FEW),
           hunted_by(by_fractions, 0, 'algebra', BINOMIAL, **MANY)],
    refuses=REFUSED, equivalent=SAME | {
        'solution(keep, _column(x), ridge) - aim → aim - solution(keep, _column(x), ridge)': 'it is squared'},
    mutants=[('.5*weight', 'weight'), (' - aim)**2', ' + aim)**2'), ('_column(x), ridge', '_column(x), 1.')])


# %% [markdown]
# **Solution and gradient at one keep rate**, by Newton steps through autograd, and where nothing is kept.

# %%
#| code-fold: true
#| code-summary: "The claims about one keep rate, their routes and their edits"
def newton(keep, x, ridge=1., aim=1., weight=1.):
    "Solution, and gradient of the outer loss, by one mask kept in part of the time."
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        loss = .5*(keep*(theta*x - x)**2 + (1 - keep)*x**2) + .5*ridge*theta**2
        slope, = torch.autograd.grad(loss, theta, create_graph=True)
        bend, = torch.autograd.grad(slope, theta, create_graph=True)
        theta = theta - slope/bend
    return theta.item(), torch.autograd.grad(.5*weight*(theta - aim)**2, x)[0].item()

def rates(*names):
    "Keep rate, number, and some of the options."
    options = dict(aim=reals(-2, 3, 1, .4), weight=reals(0, 3, 1), ridge=scales(1e-3, 1e3))
    return lambda size: st.fixed_dictionaries(dict(keep=reals(0, 1, .5), x=signed),
        optional={k: options[k] for k in names})

NEWTON = 'Newton steps, autograd; float64'
BAD = [dict(keep=-.1), dict(keep=1.1), dict(keep=math.nan), dict(keep=as64(.5, 1.5)), dict(x=math.nan),
       dict(x=1e200), dict(x=as64(1., math.nan)), dict(ridge=0.), dict(ridge=-.5), dict(ridge=math.nan),
       dict(ridge=math.inf)]
refused = lambda cases: [lambda f, kw=kw: f(**(dict(keep=.5, x=1.) | kw)) for kw in cases]
ONE_SIZE = dict(sizes=(1, 2), points=80)
claim('krrst.solution', '$\\vartheta=ux^2/(ux^2+\\rho)$ minimises the masked loss.',
    of=solution, source='ours',
    checks=[
        Check('brute force', lambda f: [f(.3, -1.2, .7), f(.6, .5)],
            lambda: [newton(.3, -1.2, .7)[0], newton(.6, .5)[0]], 1e-14, NEWTON),
        Check('limit', lambda f: [f(0., 2.), f(.5, 1e9), 1e8*f(.5, 1e-4)], lambda: [0., 1., .5], 1e-7,
            'nothing kept; a number far above and far below the ridge, 1e-8 from the limit')],
    hunts=[Hunt(rates('ridge'), lambda **a: newton(**a)[0], 'brute force', 1e-12, NEWTON, **ONE_SIZE)],
    refuses=refused(BAD),
    mutants=[('keep*x**2 + ridge', 'x**2 + ridge'), ('keep*x**2/', '2*keep*x**2/')])

claim('krrst.outer_gradient', '$\\partial_xF(\\vartheta)=c(\\vartheta-a)\\,2u\\rho x/(ux^2+\\rho)^2$.',
    of=outer_gradient, source='ours',
    checks=[
        Check('brute force', lambda f: [f(.3, -1.2, **OFF), f(.6, .5)],
            lambda: [newton(.3, -1.2, **OFF)[1], newton(.6, .5)[1]], 1e-14, NEWTON),
        Check('finite differences', lambda f: f(.3, -1.2, **OFF),
            lambda: .75*((newton(.3, -1.1999, .7)[0] - .4)**2 - (newton(.3, -1.2001, .7)[0] - .4)**2)/2e-4,
            1e-7, 'step 1e-4: its square times a third derivative of some units')],
    hunts=[Hunt(rates('aim', 'weight', 'ridge'), lambda **a: newton(**a)[1]/steep(a), 'brute force', 1e-12,
        NEWTON, ours=lambda f, **a: f(**a)/steep(a), **ONE_SIZE)],
    refuses=refused([*BAD, dict(aim=math.nan), dict(weight=math.inf)]),
    mutants=[('/whole - aim', '/whole + aim'), ('2*(keep', '(keep'), ('(ridge/whole)', '1/whole')])


# %% [markdown]
# **The order of the bias**, by SymPy, which differentiates $g$ twice without our steps; by the limit $n\to\infty$; and where it must vanish.

# %%
#| code-fold: true
#| code-summary: "The claim about the leading bias, its routes and its edits"
def twice_differentiated():
    "p(1 − p)/2 times the second derivative of g by u, at u = p; a function of fractions."
    u, x, p, aim, weight, ridge = sympy.symbols('u x p aim weight ridge')
    theta = u*x**2/(u*x**2 + ridge)
    gradient = sympy.diff(weight*(theta - aim)**2/2, x)
    second = p*(1 - p)/2*sympy.diff(gradient, u, 2).subs(u, p)
    return sympy.lambdify((x, p, aim, weight, ridge), sympy.factor(second), modules=[{}])

SECOND = twice_differentiated()
by_sympy = lambda x, p, aim=1., weight=1., ridge=1.: float(
    SECOND(*map(Fraction, (x, p, aim, weight, ridge))))

def from_masks(x, p, n=200, **a):
    "n times the bias of n masks, extrapolated to no 1/n."
    scaled = lambda n: n*(by_fractions(n, x, p, **a)[1] - newton(p, x, **a)[1])
    return 2*scaled(2*n) - scaled(n)

near = lambda a: steep(a)*(1 + abs(a['x'])/(a['p']*a['x']**2 + a.get('ridge', 1.)))
zero = lambda f: [f(2**.5, .5), f(.7, 1., **OFF), f(.7, 0., **OFF), f(0., .3, **OFF)]
claim('krrst.leading_bias',
    '$n$ times the bias of $n$ masks tends to half of $p(1-p)\\,\\partial_u^2g(p)$, in closed form.',
    of=leading_bias, source='ours',
    checks=[
        Check('algebra', lambda f: [f(1., .5, **MASKED), f(-.8, .3, **OFF), f(1.7, .6)],
            lambda: [4/81, by_sympy(-.8, .3, **OFF), by_sympy(1.7, .6)], 1e-14, 'SymPy, fractions; float64'),
        Check('limit', lambda f: [f(-.8, .3, **OFF), f(1.7, .6)],
            lambda: [from_masks(-.8, .3, **OFF), from_masks(1.7, .6)], 1e-3,
            '200 and 400 masks, exactly; what is left is a coefficient of some units over their square'),
        Check('limit', zero, lambda: [0.]*4, 1e-15,
            'px² = ρ with a = 1; all kept; nothing kept; no number')],
    hunts=[Hunt(example(), lambda **a: by_sympy(**a)/near(a), 'algebra', 1e-12, 'SymPy, fractions; float64',
        ours=lambda f, **a: f(**a)/near(a), **ONE_SIZE)],
    refuses=[lambda f, kw=kw: f(**(dict(x=1., p=.5) | kw)) for kw in (
        dict(p=-.1), dict(p=1.1), dict(p=math.nan), dict(p=as64(.5, 1.5)), dict(x=math.nan), dict(x=1e200),
        dict(x=as64(1., math.nan)), dict(ridge=0.), dict(ridge=-.5), dict(ridge=math.nan),
        dict(ridge=math.inf), dict(aim=math.nan), dict(weight=math.inf))],
    mutants=[('(3*theta - 2)', '(3*theta + 2)'), ('*(1 - p)', ''), ('6*theta + 1', '6*theta')])


# %% [markdown]
# **The extrapolation**, on expansions in $1/n$, where algebra says what is left; on the example, by fractions; and its order: with twice the masks, a quarter.

# %%
#| code-fold: true
#| code-summary: "The claim about the extrapolation, its routes and its edits"
def series(draws, terms):
    "An estimate whose mean is a polynomial in 1/draws, one coefficient a row."
    return sum(row/float(draws)**k for k, row in enumerate(terms))

def as_asked(f, terms, n, kind):
    "The function under test on a tensor, a list of tensors, or a pair of such."
    shapes = dict(tensor=lambda t: t, list=lambda t: list(t), pair=lambda t: (t, [t[:1], t]))
    found = f(lambda draws: shapes[kind](series(draws, terms)), n)
    kinds = dict(tensor=torch.Tensor, list=list, pair=tuple)
    flat = dict(tensor=lambda r: r, list=torch.stack, pair=lambda r: torch.cat([r[0], *r[1]]))
    return flat[kind](found) if isinstance(found, kinds[kind]) else torch.tensor([])

def left(terms, n, kind):
    "Of b_k/n^k the share 2^(1-k) − 1 is left."
    rest = sum(row*(2.**(1 - k) - 1)/float(n)**k for k, row in enumerate(terms))
    return dict(tensor=rest, list=rest, pair=torch.cat([rest, rest[:1], rest]))[kind]

largest = lambda a: 1 + a['terms'].abs().max().item()
expansions = lambda size: st.tuples(wholes(1, size), wholes(1, size)).flatmap(
    lambda s: st.fixed_dictionaries(dict(terms=tensors(s[0], s[1]), n=wholes(1, 10*size),
        kind=st.sampled_from(('tensor', 'list', 'pair')))))
mean_of = lambda n: by_fractions(n, 1., .25, **OFF)[1]
bias_of = lambda f, n: f(mean_of, n) - newton(.25, 1., **OFF)[1]
claim('krrst.richardson', 'The bias of $2g_{2n}-g_n$ is of order $n^{-2}$.', of=richardson, source='ours',
    checks=[
        Check('algebra', lambda f: f(lambda n: 3 + Fraction(5, n) - Fraction(4, n**2), 4),
            lambda: 3 + 4/(2*4**2), 1e-15, 'of b/n nothing, of c/n² minus half'),
        Check('limit', lambda f: bias_of(f, 64)/bias_of(f, 128), lambda: 4., .1,
            'a quarter for twice the masks, up to a share of some 1/64'),
        Check('brute force', lambda f: f(lambda n: by_patterns(n, 1., .25, **OFF)[1], 3),
            lambda: 2*by_fractions(6, 1., .25, **OFF)[1] - by_fractions(3, 1., .25, **OFF)[1], 1e-13,
            'all patterns against the binomial sum')],
    hunts=[Hunt(expansions, lambda **a: left(**a)/largest(a), 'algebra', 1e-12,
        'each power of 1/n by itself; float64, in units of the largest coefficient',
        ours=lambda f, **a: as_asked(f, **a)/largest(a), sizes=(1, 2, 5, 8), most=32)],
    refuses=[lambda f, n=n: f(torch.ones, n) for n in (0, -1, 1.5, math.nan, math.inf)] + [
        lambda f: f(lambda n: torch.ones(n), 2), lambda f: f(lambda n: [torch.ones(2)]*n, 2),
        lambda f: f(lambda n: [torch.ones(2)]*2 if n > 2 else torch.ones(2), 2),
        lambda f: f(lambda n: (torch.ones(2), torch.ones(n)), 2)],
    mutants=[(': 2*many - few', ': many - few'), ('estimate(2*n)', 'estimate(3*n)'),
             (': 2*many - few', ': 2*many + few')])

# %% [markdown]
# ## Pictures
#
# $n$ times the bias of the masked example, over $x$. The dotted line is @eq-leading, what it tends to. The slider moves the number of masks.

# %%
#| hide
numbers = torch.linspace(0, 5, 201, dtype=torch.float64)
def biased(n, ax):
    "n times the bias, and its limit."
    scaled = n*(expected_gradient(n, numbers, .5, **MASKED) - outer_gradient(.5, numbers, **MASKED))
    ax.axhline(0, color=COLORS['grey'], lw=.8)
    ax.plot(numbers, scaled, color=COLORS['blue'], label=f'n · bias with n = {n}')
    ax.plot(numbers, leading_bias(numbers, .5, **MASKED), ':', color=COLORS['orange'], label='its limit')
    ax.axvline(2**.5, color=COLORS['grey'], ls='--', lw=.8)
    ax.set(xlabel='synthetic number x', ylabel='n · bias', ylim=(-.03, .1))
    ax.legend(loc='upper right')


# %%
#| label: fig-bias
#| fig-cap: "n times the bias of the naive gradient (blue) and what it tends to (orange, dotted). Dashed: px² = ρ. The slider moves n, the number of masks."
#| echo: false
slider('masks n', [1, 2, 4, 16, 64, 256], biased,
    'With one and two masks n times the bias is positive for all x: the gradient is too short. With more it '
    'turns negative for large x, and comes near its limit, which changes sign at x = √2.', start=4)

# %% [markdown]
# And the two losses with the outer loss about $\frac25$: what one means to minimise, and what naive descent minimises.

# %%
#| label: fig-losses
#| fig-cap: "The loss of the mean training, J, and the mean loss of trainings, J̃, with 1 and 8 masks, less its least value. Dots: where each is least; cross: where the descent above has settled."
#| fig-alt: "J is least at x = 1.15, the mean loss with one mask at 0.82, where the naive descent has settled; with eight masks the minimum is close to that of J, a little above it."
#| code-fold: true
near_it = torch.linspace(.5, 1.8, 201, dtype=torch.float64)
losses = {'J': lambda x: .5*(solution(.5, x) - .4)**2,
          'J̃, 1 mask': lambda x: expected_loss(1, x, .5, **FIFTHS),
          'J̃, 8 masks': lambda x: expected_loss(8, x, .5, **FIFTHS)}
fig, ax = plt.subplots()
for (name, loss), color in zip(losses.items(), ('green', 'blue', 'purple')):
    least = minimize_scalar(loss, bounds=(.5, 1.8), method='bounded').x
    ax.plot(near_it, loss(near_it) - loss(least), color=COLORS[color], label=name)
    ax.plot(least, 0, 'o', color=COLORS[color])
ax.plot(settled, 0, 'x', color=COLORS['orange'], ms=10, mew=2, label='naive descent')
ax.set(xlabel='synthetic number x', ylabel='loss above its least')
ax.legend();


# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** In the table $n$ times the bias is the same with one mask and with two. Is that a law?
#
# <details><summary>Answer</summary>
#
# No, a coincidence of $p=\frac12$. Two masks keep none, half or all: $g_2=\frac14g(0)+\frac12g(\frac12)+\frac14g(1)$. One mask: $g_1=\frac12g(0)+\frac12g(1)$. So $2g_2-g_1=g(\frac12)$, the true gradient: with $p=\frac12$ and $n=1$ the extrapolation is exact, whatever $g$ is. With another $p$ it is not.
#
# </details>

# %%
def rest(p, n=1, x=1.):
    "What the extrapolation leaves of the bias."
    found = richardson(lambda n: expected_gradient(n, x, p, **MASKED), n)
    return (found - outer_gradient(p, x, **MASKED)).item()
rest(.5), rest(.25)

# %% [markdown]
# **2.** The masks keep everything, $p=1$, or nothing, $p=0$. What is the bias, and what is the gradient?
#
# <details><summary>Answer</summary>
#
# There is no chance, so no bias. With $p=1$ this is the autoencoder without masks. With $p=0$ nothing is ever seen, $\theta^*=0$ for every $x$, and the gradient is zero as well.
#
# </details>

# %%
[(outer_gradient(p, 1., **MASKED).item(), expected_gradient(3, 1., p, **MASKED).item())
 for p in (1., 0.)]

# %% [markdown]
# **3.** One averages a million naive gradients of one mask each. How far is the mean from the gradient of $J$? And with a single training on a million masks?
#
# <details><summary>Answer</summary>
#
# The million gradients: as far as one, $-\frac1{16}$ against $-\frac4{27}$; only the noise is a thousandth of what it was. One training on a million masks: about $\frac4{81}$ of a millionth, and little noise too. Masks have to be averaged **inside** the training.
#
# </details>

# %%
[f'{expected_gradient(n, 1., .5, **MASKED).item() + 4/27:.1e}' for n in (1, 1_000_000)]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.bias`. `richardson` takes any estimate of a gradient. What KRR-ST does instead is [one linear solve](11_ridge.ipynb) without chance.
