# %% [markdown]
# # The pull towards old statistics narrows one gap, and promises no more
#
# > It brings training and test normalisation together. What that is worth in loss can be bounded, in accuracy it cannot.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N): the pull is the regulariser of the official code, `models/utils/adab2n.py`; statements and proofs are ours · 20 minutes · what you need first: [Running statistics forget the first task](10_momentum.ipynb), [No momentum solves the dilemma](11_dilemma.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.bounds

# %%
#| export
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import itertools
from decimal import Decimal, localcontext
import numpy as np, sympy, torch
from hypothesis import strategies as st
from IPython.display import Markdown
from torch.nn.functional import batch_norm, mse_loss
from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, exact, reals, scales, tensors, weights as some_weights, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# AdaB²N adds a term to the loss that pulls the statistics of every batch towards the running ones. What does it gain? Does it make training steadier, does it help old tasks, and can any of that be proved?
#
# ## Two numbers
#
# A batch of two activations, 0 and 4. Its mean is 2, its variance 4. The running statistics lag: mean 1, variance 1. In training the layer uses the batch, at test time the running statistics:

# %%
x = torch.tensor([0., 4.])
(x - 2)/4**.5, (x - 1)/1**.5

# %% [markdown]
# The same two images come out as (-1, 1) in training and as (-1, 3) in a test. The mean square of the difference is

# %%
((x - 2)/4**.5 - (x - 1)/1**.5).square().mean()

# %% [markdown]
# and the penalty, squared distance of the means plus squared distance of the variances, is

# %%
(2 - 1)**2 + (4 - 1)**2


# %% [markdown]
# The pull makes the second number small. The network suffers from the first.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $x_i$, $w_i$ | `x`, `w` | one channel's activations in a batch (samples and positions), and their weights |
# | $m$, $v$ | `m`, `v` | weighted mean and variance of the batch |
# | $r^\mu$, $r^v$ | `mean`, `var` | running mean and variance; $r_{\text{old}}$ before the batch |
# | $\eta$, $\eta_j$ | `eta` | how far the batch, or forward number $j$, moves them ([here](10_momentum.ipynb)) |
# | $\kappa$ | | speed of averaging, from 0 (plain average) to 1 (the usual momentum); it sets $\eta$ |
# | $\lambda$, $C$ | | weight of the pull in the loss, number of channels |
# | $\gamma$, $\epsilon$ | `gamma`, `eps` | scale after normalisation, and the small number under the root |
# | $s$, $s_r$ | `s`, `s_r` | $\sqrt{v+\epsilon}$ and $\sqrt{r^v+\epsilon}$ |
# | $g_i$, $\hat x_i$ | `g` | gradient of the loss $L$ at the layer's output; $(x_i-m)/s$ |
# | $\textcolor{#0072b2}{d^2}$ | `train_test_gap` | mean square of training output minus test output |
# | $\textcolor{#aa4499}{\ell}$ | `regulariser_value` | the official penalty |
# | $\mu_k$, $\sigma_k^2$ | `means`, `variances` | mean and variance of task $k$, of $T$ |
# | $\pi_k$ | | weight of task $k$ in a batch |
# | $b$, $s_b$ | `trained` | a normaliser used in training, as mean and $\sqrt{\text{variance}+\epsilon}$ |
# | $\Lambda$ | `lipschitz` | how fast the loss can change with the channel's output |
#
# ## Statement 1: the pull, and its weight
#
# The penalty of a layer compares the batch with running statistics that **this batch has already moved**, and takes them as constants:
#
# $$
# \begin{aligned}
# \textcolor{#aa4499}{\ell}=\tfrac1C\textstyle\sum_c\bigl[&(m_c-r^\mu_c)^2\\
# &{}+(v_c-r^v_c)^2\bigr].
# \end{aligned}
# $$ {#eq-penalty}
#
# In terms of the statistics before the batch, its value has a factor $(1-\eta)^2$, its gradient only $1-\eta$:
#
# $$
# \begin{aligned}
# \textcolor{#aa4499}{\ell}&=\tfrac{(1-\eta)^2}C\textstyle\sum_c\bigl[(m_c-r^\mu_{\text{old},c})^2\\
# &\qquad\qquad{}+(v_c-r^v_{\text{old},c})^2\bigr],\\
# \frac{\partial\textcolor{#aa4499}{\ell}}{\partial m_c}&=\tfrac{2(1-\eta)}C\,(m_c-r^\mu_{\text{old},c}),\\
# \frac{\partial\textcolor{#aa4499}{\ell}}{\partial v_c}&=\tfrac{2(1-\eta)}C\,(v_c-r^v_{\text{old},c}).
# \end{aligned}
# $$ {#eq-pull}
#
# *Why.* $r=(1-\eta)\,r_{\text{old}}+\eta m$, so $m-r=(1-\eta)(m-r_{\text{old}})$. The value squares this. The derivative of $(m-r)^2$ with $r$ held fixed is $2(m-r)$ and does not.
#
# So the pull is one towards the **old** statistics with the weight $\lambda(1-\eta)$. Old means the batches before this one: for the usual momentum the last ten or so, soon all of the present task; for $\kappa=0$ all alike, those of old tasks included.

# %%
#| exports
def regulariser_value(
    m: Tensor,        # mean of the batch, (C,)
    v: Tensor,        # variance of the batch, (C,)
    old_mean: Tensor, # running mean before the batch, (C,)
    old_var: Tensor,  # running variance before the batch, (C,)
    eta: float,       # how far the batch moves them
)->Tensor: # scalar
    """Squared distance of a batch from the running statistics that it has moved.

    Source: official code, `models/utils/adab2n.py`; closed form ours."""
    return (1 - eta)**2*((m - old_mean).square() + (v - old_var).square()).mean()

def regulariser_gradient(
    m: Tensor,        # mean of the batch, (C,)
    v: Tensor,        # variance of the batch, (C,)
    old_mean: Tensor, # running mean before the batch, (C,)
    old_var: Tensor,  # running variance before the batch, (C,)
    eta: float,       # how far the batch moves them
)->tuple[Tensor, Tensor]: # with respect to m and v, (C,) each
    "Gradient of `regulariser_value`, the moved statistics held fixed. Source: ours."
    if not 0 <= eta <= 1:
        raise UserError(f'eta={eta}: between 0 and 1')
    pull = 2*(1 - eta)/len(m)
    return pull*(m - old_mean), pull*(v - old_var)


# %%
two, four, one = torch.tensor([2.]), torch.tensor([4.]), torch.tensor([1.])
given = two, four, one, one, .1
regulariser_value(*given), regulariser_gradient(*given)

# %%
raises(regulariser_gradient, two, four, one, one, 2.)


# %% [markdown]
# The weight $1-\eta_j$ at forward number $j$:

# %%
#| code-fold: true
def row(k):
    "One line of the table."
    return k, *(f'{1 - averaging_factor(j, k):.3f}' for j in forwards)
forwards = (1, 2, 10, 100, 1000)
Markdown(table(map(row, (0, .1, .4, .7, 1)), ('κ', *(f'j = {j}' for j in forwards))))

# %% [markdown]
# The smaller $\kappa$, the weaker the pull begins; for $\kappa=0$ there is none at first, for the first batch replaces the running statistics; after a hundred forwards $\kappa$ makes little difference to the weight.
#
# ### Is it true?
#
# As on the pages before: each route takes another way, a broken formula must be noticed by at least ten times the allowed gap ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).

# %%
rng = np.random.default_rng(0)
M, V, R, RV = (torch.tensor(rng.random(3) + i) for i in (0, 1, .5, .7))

def by_torch(eta, fixed=True):
    "Penalty and gradient by torch: move the statistics, fixed or not, differentiate."
    m, v = M.clone().requires_grad_(), V.clone().requires_grad_()
    moved = [torch.lerp(old, new, eta) for old, new in ((R, m), (RV, v))]
    if fixed: moved = [r.detach() for r in moved]
    loss = mse_loss(m, moved[0]) + mse_loss(v, moved[1])
    loss.backward()
    return loss.item(), torch.stack([m.grad, v.grad])

by_torch(.4)


# %%
def pulled(size):
    "Statistics of a batch and old ones, and a factor."
    return wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(dict(
        m=tensors(n), v=tensors(n, low=0.), eta=reals(0, 1, .1),
        old_mean=tensors(n), old_var=tensors(n, low=0.))))

def moved_exactly(m, v, old_mean, old_var, eta):
    "The penalty in fractions: move the statistics, then compare."
    m, v, old_mean, old_var, (eta,) = map(exact, (m, v, old_mean, old_var, [eta]))
    pairs = (m, old_mean), (v, old_var)
    return float(sum(((new - (old + eta*(new - old)))**2).mean() for new, old in pairs))

def by_loop(eta):
    "The penalty, channel by channel."
    total = 0.
    for m, v, r, rv in zip(*(a.tolist() for a in (M, V, R, RV))):
        r, rv = r + eta*(m - r), rv + eta*(v - rv)
        total += (m - r)**2/3 + (v - rv)**2/3
    return total

by_loop(.4)


# %%
def slopes(m, v, old_mean, old_var, eta):
    "Central differences with a step of one, the moved statistics held fixed."
    m, v, old_mean, old_var, (eta,) = map(exact, (m, v, old_mean, old_var, [eta]))
    pairs = (m, old_mean), (v, old_var)
    fixed = [old + eta*(new - old) for new, old in pairs]
    rise = lambda new, r: ((new + 1 - r)**2 - (new - 1 - r)**2)/2/len(new)
    return [rise(new, r).astype(float) for (new, _), r in zip(pairs, fixed)]

def by_steps(eta, h=1e-5):
    "Gradient of the penalty by central differences, the moved statistics held fixed."
    at = np.stack([M, V])
    fixed = np.stack([R, RV])*(1 - eta) + at*eta
    def value(a): return ((a - fixed)**2).sum()/3
    units = h*np.eye(6).reshape(6, 2, 3)
    found = [(value(at + unit) - value(at - unit))/(2*h) for unit in units]
    return np.array(found).reshape(2, 3)

by_steps(.4)

# %%
#| code-fold: true
#| code-summary: "The claim about the value, its routes and its edits"
claim('adab2n.regulariser_value',
    'The penalty is $(1-\\eta)^2$ times the squared distance from the old statistics.',
    of=regulariser_value, source='official code, models/utils/adab2n.py; closed form: ours',
    checks=[
        Check('trusted implementation', lambda f: [f(M, V, R, RV, e) for e in (.1, .4)],
            lambda: [by_torch(e)[0] for e in (.1, .4)], 1e-14, 'float64; torch.lerp and mse_loss'),
        Check('brute force', lambda f: f(M, V, R, RV, .7), lambda: by_loop(.7), 1e-14,
            'float64, three channels')],
    hunts=[Hunt(pulled, moved_exactly, 'algebra', 1e-12, 'fractions, then float64')],
    equivalent=dict.fromkeys(
        ('1 - eta → eta - 1', 'm - old_mean → old_mean - m', 'v - old_var → old_var - v'), 'it is squared'),
    mutants=[('(1 - eta)**2', '(1 - eta)'), ('+ (v - old_var)', '- (v - old_var)'), ('.mean()', '.sum()')])

# %%
#| code-fold: true
#| code-summary: "The claim about the gradient, its routes and its edits"
claim('adab2n.regulariser_gradient',
    'The pull is $2(1-\\eta)/C$ times the difference from the old statistics.',
    of=regulariser_gradient, source='ours',
    checks=[
        Check('trusted implementation', lambda f: torch.stack(f(M, V, R, RV, .4)), lambda: by_torch(.4)[1],
            1e-14, 'float64; torch autograd'),
        Check('finite differences', lambda f: torch.stack(f(M, V, R, RV, .1)), lambda: by_steps(.1), 1e-9,
            'exact for a quadratic; rounding over 2h')],
    hunts=[Hunt(pulled, slopes, 'finite differences', 1e-12, 'exact for a quadratic, in fractions')],
    refuses=[lambda f, eta=eta: f(M, V, R, RV, eta) for eta in (-1e-9, 1 + 1e-9, np.nan)],
    mutants=[
        ('2*(1 - eta)', '2*(1 - eta)**2'), ('/len(m)', ''), ('pull*(v - old_var)', 'pull*(old_var - v)')])


# %% [markdown]
# ## Statement 2: the gap that the pull narrows
#
# Let the weights of the batch sum to one, and let the bar be the mean with these weights. Then for any batch and any running statistics with positive $s$ and $s_r$
#
# $$
# \begin{aligned}
# \textcolor{#0072b2}{d^2}&=\overline{(y_{\text{train}}-y_{\text{test}})^2}\\
# &=\textcolor{#0072b2}{\gamma^2\Bigl[\frac v{s^2}\Bigl(1-\frac s{s_r}\Bigr)^2}\\
# &\qquad\textcolor{#0072b2}{{}+\frac{(m-r^\mu)^2}{s_r^2}\Bigr]}\\
# &\le\textcolor{#b35900}{\gamma^2\Bigl[\frac{(v-r^v)^2}{s_r^4}+\frac{(m-r^\mu)^2}{s_r^2}\Bigr]}.
# \end{aligned}
# $$ {#eq-gap}
#
# *Why.* $y_{\text{train}}-y_{\text{test}}=\gamma\bigl[(x-m)(\frac1s-\frac1{s_r})-\frac{m-r^\mu}{s_r}\bigr]$. On average $x-m$ is zero and $(x-m)^2$ is $v$; so the square has no mixed term, which is the equality. For the bound, $v\le s^2$, and $1-\frac s{s_r}=\frac{r^v-v}{s_r(s_r+s)}$ with $s_r+s\ge s_r$.
#
# The bound is rough in its first term: four times the gap's where $v$ is near $r^v$ (and both far above $\epsilon$), and far too large for $v\gg r^v$. The gap grows with $|m-r^\mu|$, and with $v$ above $r^v$. Below $r^v$ it falls as $v$ rises if $s^3>\epsilon s_r$, that is but for variances of almost nothing (for $\epsilon=10^{-5}$ and $r^v=1$, below $4.5\cdot10^{-4}$), where $\epsilon$ keeps the training output small. So, **but for such collapsed channels, a small step down along either part of the pull is a step down in the gap too.** A step that jumps over $r^v$ need not be: for $r^v=1$ one from $v=1.9$ to 0.11 makes the penalty smaller and the gap three times as large. (The derivative of the first term by $v$, for $s<s_r$, has the sign of $\epsilon s_r-s^3$.)

# %%
#| exports
def train_test_gap(
    m: Tensor|float,         # mean of the batch, (C,)
    v: Tensor|float,         # variance of the batch, (C,)
    mean: Tensor|float,      # running mean, (C,)
    var: Tensor|float,       # running variance, (C,)
    gamma: Tensor|float=1.,  # scale after normalisation, (C,)
    eps: float=1e-5,         # ε
)->Tensor|float: # (C,)
    """Mean square of training output minus test output.

    Over a batch whose weights sum to one. Source: ours."""
    s, s_r = (v + eps)**.5, (var + eps)**.5
    return gamma**2*(v/s**2*(1 - s/s_r)**2 + ((m - mean)/s_r)**2)

def gap_bound(
    m: Tensor|float,         # mean of the batch, (C,)
    v: Tensor|float,         # variance of the batch, (C,)
    mean: Tensor|float,      # running mean, (C,)
    var: Tensor|float,       # running variance, (C,)
    gamma: Tensor|float=1.,  # scale after normalisation, (C,)
    eps: float=1e-5,         # ε
)->Tensor|float: # (C,)
    """Upper bound of `train_test_gap`: squared distances over the running variance.

    Source: ours."""
    return gamma**2*(((v - var)/(var + eps))**2 + (m - mean)**2/(var + eps))


# %%
# below, at and above s³ = ε s_r
[round(train_test_gap(0., v, 0., 1.), 4) for v in (0., 1e-4, 4.5e-4, 1e-2, .1)]

# %%
train_test_gap(2., 4., 1., 1., eps=0), gap_bound(2., 4., 1., 1., eps=0)

# %% [markdown]
# The 2 from above, and a bound of 10, which here equals the penalty because $r^v$ is 1. That is the difference between the two: the official penalty lacks the **scales** $1/r^v$ and $1/(r^v)^2$. Multiply everything the layer sees by ten. Gap, bound and penalty (of statistics already moved, $\eta=0$):

# %%
tenfold = 20., 400., 10., 100.
penalty = regulariser_value(10*two, 100*four, 10*one, 100*one, 0).item()
train_test_gap(*tenfold, eps=0), gap_bound(*tenfold, eps=0), penalty


# %% [markdown]
# The outputs of the layer are the same as before, and so are the first two numbers; the penalty is nine thousand times larger. In a sum over layers, those with large activations outweigh the others, and a good $\lambda$ for one network need not suit the next. (The official grids of $\lambda$, in `run.py`, are a thousand times lower for Mini-ImageNet than for CIFAR. This would be one reason; we have not tested it.) **Our variant `scale-free`** penalises the right side of @eq-gap with $\gamma=1$, averaged over channels.

# %%
#| hide
def three(factor, ax):
    "Gap, bound and penalty against the batch variance, all inputs multiplied by a factor."
    ratio, var = np.geomspace(.02, 50, 200), factor**2
    shown = [(train_test_gap, 'blue', 'gap'), (gap_bound, 'orange', 'its bound (scale-free)')]
    for f, color, name in shown:
        ax.plot(ratio, f(.5*factor, ratio*var, 0, var, eps=0), color=COLORS[color], label=name, lw=3.5)
    penalty = (.5*factor)**2 + (ratio*var - var)**2
    ax.plot(ratio, penalty, '--', color=COLORS['purple'], label='official penalty', lw=1.5)
    ax.set(xlabel='batch variance over running variance', ylabel='mean square')
    ax.set(xscale='log', yscale='log', ylim=(1e-4, 1e8))
    ax.legend(loc='upper left')


# %%
#| label: fig-gap
#| fig-cap: "The gap between training and test output (blue), its bound (orange) and the official penalty (purple, dashed) while the batch variance runs away from the running one; the means differ by half a running deviation. The slider multiplies the input."
#| echo: false
slider('input times', [.1, .3, 1, 3, 10], three,
    'The gap and its bound do not move when the input is rescaled; the official penalty does, '
    'by many powers of ten, and equals the bound only where the running variance is one.', start=3)


# %% [markdown]
# ### Is it true?

# %%
def by_both_modes(eps=.1):
    "The gap from torch's batch norm, run in both modes on a batch of three channels."
    def y(training):
        return batch_norm(X, R.clone(), RV.clone(), M, None, training, eps=eps)
    return (y(True) - y(False)).square().mean(0)

X = torch.tensor(rng.normal(size=(40, 3))*[1, 2, .5] + [0, 1, 2])
by_both_modes()


# %%
def by_samples(x, w, mean, var, gamma=1., eps=0.):
    "The gap from weighted samples, normalised twice."
    m = (w*x).sum()
    v = (w*(x - m)**2).sum()
    gap = (x - m)/(v + eps)**.5 - (x - mean)/(var + eps)**.5
    return gamma**2*(w*gap**2).sum()/w.sum()

def four_statistics(size):
    "Statistics of a batch and running ones; scale and ε left out at some points."
    number, positive = reals(-10.**size, 10.**size), scales(1e-4, 100.**size)
    whole = dict(m=number, mean=number, v=positive, var=positive)
    flat = {**whole, 'v': st.just(0.) | positive, 'var': st.just(0.) | positive}
    knobs = dict(gamma=reals(-3, 3), eps=scales(1e-7, 1.))
    without = st.fixed_dictionaries({**whole, 'eps': st.just(0.)})
    return st.fixed_dictionaries(flat, optional=knobs) | without

def two_gaps(m, v, mean, var, gamma=1., eps=1e-5, at=None):
    "Training less test output of two inputs around the mean, with fifty digits."
    with localcontext(prec=50):
        m, v, mean, var, gamma, eps = map(Decimal, (m, v, mean, var, gamma, eps))
        s, s_r = (v + eps).sqrt(), (var + eps).sqrt()
        sides = [sign*(v + (eps if at == 's' else 0)).sqrt() for sign in (-1, 1)]
        return [gamma*(d/s - (m + d - mean)/s_r) for d in sides]

w5, x5 = np.array([.1, .3, .05, .35, .2]), np.array([1., -2., 4., .5, 3.])
m5, v5 = w5 @ x5, w5 @ (x5 - w5 @ x5)**2
by_samples(x5, w5, .3, 2.)

# %%
#| code-fold: true
#| code-summary: "The claim about the gap, its routes and its edits"
claim('adab2n.train_test_gap',
    'The mean square of training minus test output is $\\gamma^2[(v/s^2)(1-s/s_r)^2+(m-r^\\mu)^2/s_r^2]$.',
    of=train_test_gap, source='ours',
    checks=[
        Check('trusted implementation', lambda f: f(X.mean(0), X.var(0, correction=0), R, RV, M, .1),
            by_both_modes, 1e-13, 'float64; torch batch_norm, training and not'),
        Check('brute force', lambda f: f(m5, v5, .3, 2., 1.5, .05),
            lambda: by_samples(x5, w5, .3, 2., 1.5, .05), 1e-13, 'float64, five weighted samples'),
        Check('limit', lambda f: [f(.7, 3., .7, 3.), f(5., 2., 1., 1e18, 3., 0.)], lambda: [0., 9.], 1e-6,
            'equal statistics; a test that sees nothing, so that γ² is left')],
    hunts=[Hunt(four_statistics, lambda **a: float(sum(d**2 for d in two_gaps(**a))/2), 'brute force', 1e-11,
        'two inputs normalised twice with fifty digits; float64', sizes=(1, 2, 3), most=4)],
    equivalent=dict.fromkeys(('1 - s / s_r → s / s_r - 1', 'm - mean → mean - m'), 'it is squared'),
    mutants=[
        ('v/s**2*', ''), ('1 - s/s_r', '1 + s/s_r'), ('(m - mean)/s_r', '(m - mean)/s'),
        ('gamma**2', 'gamma')])


# %%
def largest_ratio(bound):
    """The largest gap over bound, for many two-point batches and running variances.

    The smallest batch variance is 1e-12."""
    half = np.array([.5, .5])
    cases = itertools.product((-2., 0., .3), (1e-6, .5, 1.2, 3.), (.5, 1., 4.))
    return max(by_samples(np.array([m - s, m + s]), half, 0., var)
               / bound(m, s**2, 0., var, eps=0) for m, s, var in cases)

largest_ratio(gap_bound)


# %%
def bound_of_two(m, v, mean, var, gamma=1., eps=1e-5):
    "The mean gap of m ± s, squared, and half the distance, longer by 1 + s/s_r."
    low, high = two_gaps(m, v, mean, var, gamma, eps, at='s')
    with localcontext(prec=50):
        v, var, eps = map(Decimal, (v, var, eps))
        longer = 1 + ((v + eps)/(var + eps)).sqrt()
        return float(((low + high)/2)**2 + ((high - low)/2*longer)**2)

def by_sympy(m, s, mean, s_r):
    "The bound as the exact gap of two points, its first term times (1 + s/s_r)²."
    m, s, mean, s_r = map(sympy.Rational, (m, s, mean, s_r))
    z = sympy.Symbol('z')
    gap = sympy.Poly(sympy.expand((z - (m + s*z - mean)/s_r)**2), z)
    shift, _, spread = gap.all_coeffs()[::-1]
    return float(shift + spread*(1 + s/s_r)**2)

by_sympy('2', '2', '1', '1')

# %%
#| code-fold: true
#| code-summary: "The claim about its bound, its routes and its edits"
claim('adab2n.gap_bound',
    'The gap is at most $\\gamma^2[(v-r^v)^2/s_r^4+(m-r^\\mu)^2/s_r^2]$, and for $\\epsilon=0$ reaches it '
    'as $v\\to0$.',
    of=gap_bound, source='ours',
    checks=[
        Check('brute force', largest_ratio, lambda: 1., 1e-5,
            'the bound is reached for v→0; 2s/s_r at s=1e-6'),
        Check('algebra', lambda f: [f(2., 4., 1., 1., eps=0), f(.5, 9., -.25, 4., 2., 0.)],
            lambda: [by_sympy('2', '2', '1', '1'), 4*by_sympy('1/2', '3', '-1/4', '2')], 1e-13,
            'exact, then rounded to float64'),
        Check('limit', lambda f: f(M, V, R, 1., eps=0).mean(),
            lambda: (mse_loss(M, R) + mse_loss(V, torch.ones_like(V))).item(), 1e-13,
            'running variance one: the official penalty')],
    mutants=[
        ('(v - var)/(var + eps)', '(v - var)'), ('(m - mean)**2/', '(m - mean)**2*'),
        ('gamma**2*(((v - var)/(var + eps))**2', 'gamma*(((v - var)/(var + eps))**2'),
        ('+ (m - mean)', '- (m - mean)')],
    hunts=[
        Hunt(four_statistics, lambda **a: 0., 'brute force', 1e-12,
            'the gap of two inputs is never above the bound; float64',
            ours=lambda f, **a: max(0, float(sum(d**2 for d in two_gaps(**a))/2)/(f(**a) + 1e-30) - 1),
            sizes=(1, 2, 3), most=4),
        Hunt(four_statistics, bound_of_two, 'algebra', 1e-11, 'fifty digits; float64', sizes=(1, 2, 3),
            most=4)],
    equivalent=dict.fromkeys(('v - var → var - v', 'm - mean → mean - m'), 'it is squared'))

# %% [markdown]
# **The weights must sum to one.** Under the official rule a task that is absent from the batch keeps its weight, and what is left sums to less ([weight without samples](12_weights.ipynb)). Two samples at 2, each with weight ¼; running mean 1.035, running variance 0.55. The gap and its supposed bound:

# %%
points, weights = np.array([2., 2.]), np.array([.25, .25])
by_samples(points, weights, 1.035, .55), gap_bound(1., .5, 1.035, .55, eps=0)


# %% [markdown]
# The gap is above. With such weights $m$ is not the mean, and the mixed term stays.
#
# ## Statement 3: what batch statistics do to the gradient
#
# Let $i$ run over samples and positions of one channel, with fixed weights that sum to one. Write $G=\sum g_i$ and $H=\sum g_i\hat x_i$. If the loss sees the channel only through the layer's output, the gradient at the input has the following length. Each square is divided by its weight, since that makes the mixed terms collapse; for even weights it is $n$ times the plain squared length.
#
# $$
# \begin{aligned}
# &\sum_i\frac1{w_i}\Bigl(\frac{\partial L}{\partial x_i}\Bigr)^2\\
# &=\frac{\gamma^2}{s^2}\Bigl[\sum_i\frac{g_i^2}{w_i}-G^2\\
# &\qquad\quad{}-\Bigl(1+\frac\epsilon{s^2}\Bigr)H^2\Bigr].
# \end{aligned}
# $$ {#eq-damped}
#
# *Why.* $x_i$ acts directly and through $m$ and $v$, with $\partial m/\partial x_i=w_i$ and $\partial v/\partial x_i=2w_i(x_i-m)$. Together
#
# $$\frac{\partial L}{\partial x_i}=\frac\gamma s\bigl[g_i-w_i(G+\hat x_iH)\bigr].$$ {#eq-input}
#
# Square, divide by $w_i$ and sum, with $\sum w_i=1$, $\sum w_i\hat x_i=0$, $\sum w_i\hat x_i^2=v/s^2=1-\epsilon/s^2$. The mixed terms give $-2G^2-2H^2$, the squares $G^2+(1-\epsilon/s^2)H^2$.
#
# Fixed statistics $r$ would give $\frac{\gamma^2}{s_r^2}\sum g_i^2/w_i$. **Nothing is subtracted**, and where the running variance lags behind a growing batch variance the factor is too large by $s^2/s_r^2$. So there is a reason to train with the batch even if the test does not. Plain batch norm has the same reason: in @eq-damped nothing is special to AdaB²N.
#
# What the pull adds to $\partial L/\partial x_i$ is $w_i\bigl[g^m+2(x_i-m)\,g^v\bigr]$, where $g^m,g^v$ are $\lambda$ times the gradients of @eq-pull. For $\epsilon=0$ it is perpendicular to the loss's own gradient, in the same weighted length: it adds
#
# $$(g^m)^2+4v\,(g^v)^2$$ {#eq-perpendicular}
#
# to the left side of @eq-damped, whatever the loss is.
#
# *Why.* The mixed term is $2\sum_i\frac{\partial L}{\partial x_i}\bigl[g^m+2(x_i-m)g^v\bigr]$, and by @eq-input $\sum\frac{\partial L}{\partial x_i}=\sum\frac{\partial L}{\partial x_i}(x_i-m)=0$: a normalised channel does not feel it when its input is shifted or stretched. With even weights, a step along the pull does just that, so at the input of its layer it **does not fight the loss**. With uneven weights this is true in the weighted length only, and of the convolution before, whose weights many samples share, it need not be true.

# %%
#| exports
def damped_norm(
    x: Tensor,       # one channel's activations, (n,)
    g: Tensor,       # gradient of the loss at the layer's output, (n,)
    w: Tensor,       # weights that sum to one, (n,)
    gamma: float=1., # scale after normalisation
    eps: float=1e-5, # ε
)->Tensor: # scalar
    """Squared length of the gradient at the layer's input, each square over its weight.

    Raises `UserError` unless the weights sum to one. Source: ours."""
    total = w.sum().item()
    if not abs(total - 1) <= 1e-5:
        raise UserError(f'w sums to {total:.3g}: weights must sum to 1')
    m = (w*x).sum()
    s = ((w*(x - m)**2).sum() + eps)**.5
    G, H = g.sum(), (g*(x - m)/s).sum()
    return (gamma/s)**2*((g**2/w).sum() - G**2 - (1 + eps/s**2)*H**2)


# %%
x, g = torch.tensor([0., 4., 1., 3.]), torch.tensor([1., 0., 2., 1.])
even = torch.full((4,), .25)
damped_norm(x, g, even), damped_norm(x, g + 5, even)

# %% [markdown]
# A constant added to $g$ changes nothing, since these weights are even; in general it is a multiple of the weights that changes nothing. Weights that do not sum to one are refused:

# %%
raises(damped_norm, x, g, even/2)


# %%
def by_autograd(x, g, w, eps=0., pull=(0., 0.)):
    "The gradient at the input, by torch, of sum(g*y) + pull·(m, v)."
    x = x.clone().requires_grad_()
    m = (w*x).sum()
    v = (w*(x - m)**2).sum()
    ((g*(x - m)).sum()/(v + eps)**.5 + pull[0]*m + pull[1]*v).backward()
    return x.grad

by_autograd(x, g, even)


# %%
def channel(size):
    "Activations of a channel, gradients, weights; scale and ε are sometimes left out."
    kinds = 'generic', 'zero', 'equal', 'lone', 'near', 'whole', 'tiny'
    return wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
        dict(x=tensors(n, kinds=kinds), g=tensors(n), w=some_weights(n, least=.1/n)),
        optional=dict(gamma=reals(.1, 3), eps=scales(1e-5, 1.))))

def long_way(x, g, w, gamma=1., eps=1e-5):
    "The weighted squared length of autograd's gradient."
    return (by_autograd(x, gamma*g, w, eps)**2/w).sum()

def undamped(x, g, w, gamma=1., eps=1e-5):
    "What the length would be if the statistics did not move; at least a millionth."
    var = (w*(x - (w*x).sum())**2).sum()
    return (gamma*g).square().div(w).sum()/(var + eps) + 1e-6

def by_differences(x, g, w, eps, h=1e-5):
    "The weighted squared length by central differences, in numpy."
    def loss(x):
        m = np.average(x, weights=w)
        return g @ ((x - m)/np.sqrt(np.average((x - m)**2, weights=w) + eps))
    units = h*np.eye(len(x))
    d = np.array([(loss(x + unit) - loss(x - unit))/(2*h) for unit in units])
    return (d**2/w).sum()

g5 = np.array([.3, -1., 2., .1, .7])
by_differences(x5, g5, w5, .2)


# %%
def by_batch_norm(eps=.3, gamma=1.7):
    "Squared length of the gradient through torch's batch norm, times n."
    x = X[:, :1].clone().requires_grad_()
    scale = torch.tensor([gamma], dtype=x.dtype)
    y = batch_norm(x, None, None, scale, None, True, eps=eps)
    (y*X[:, 1:2]).sum().backward()
    return 40*x.grad.square().sum()

by_batch_norm()

# %%
#| code-fold: true
#| code-summary: "The claim about the gradient, its routes and its edits"
T5 = [torch.tensor(a) for a in (x5, g5, w5)]
claim('adab2n.damped_norm',
    'The weighted squared length of the input gradient is $\\frac{\\gamma^2}{s^2}[\\sum '
    'g^2/w-G^2-(1+\\epsilon/s^2)H^2]$; for $\\epsilon=0$ the pull adds $(g^m)^2+4v\\,(g^v)^2$.',
    of=damped_norm, source='ours',
    checks=[
        Check('trusted implementation',
            lambda f: f(X[:, 0], X[:, 1], torch.full((40,), 1/40, dtype=X.dtype), 1.7, .3), by_batch_norm,
            1e-9, 'float64, values of several thousand; torch batch_norm'),
        Check('trusted implementation', lambda f: f(*T5, eps=0) + .6**2 + 4*v5*.2**2,
            lambda: (by_autograd(*T5, pull=(.6, -.2))**2/T5[2]).sum(), 1e-11,
            'float64; torch autograd, weighted, with a pull'),
        Check('finite differences', lambda f: f(*T5, eps=.2), lambda: by_differences(x5, g5, w5, .2), 1e-7,
            'h² and rounding over h, values of some tens'),
        Check('trusted implementation', lambda f: f(*T5[:2], 1.000005*T5[2]),
            lambda: (by_autograd(*T5)**2/T5[2]).sum(), 1e-2,
            'weights that sum to one but for 5e-6, against torch autograd with others; values of some tens'),
        Check('limit', lambda f: f(T5[0], T5[2]*(2 + 3*(T5[0] - m5)), T5[2], eps=0), lambda: 0., 1e-12,
            'a loss that only shifts and stretches the channel')],
    hunts=[Hunt(channel, lambda **a: long_way(**a)/undamped(**a), 'trusted implementation', 1e-9,
        'torch autograd, as a part of the length with fixed statistics; float64, inputs a millionth apart',
        ours=lambda f, **a: f(**a)/undamped(**a), most=1024)],
    refuses=[lambda f, off=off: f(*T5[:2], off*T5[2]) for off in (1.000015, .9, np.nan)],
    equivalent={'abs(total - 1) <= 1e-05 → abs(total - 1) < 1e-05': 'no sum of floats lies there',
                'total - 1 → 1 - total': 'the absolute value follows',
                'x - m → m - x': 'it is squared', 'x - m → m - x (2)': 'H is squared'},
    mutants=[
        ('- G**2', '+ G**2'), ('1 + eps/s**2', '1 - eps/s**2'), ('g**2/w', 'g**2'),
        ('(gamma/s)**2', '(gamma/s)')])


# %% [markdown]
# **Unequal weights can make the gradient longer.** The weighted length is the right one for the proof, but an optimiser sees the plain one. With even weights they are the same up to a factor, and batch norm never lengthens $\frac\gamma sg$. With unequal ones all that is left is
#
# $$\sum_i\Bigl(\frac{\partial L}{\partial x_i}\Bigr)^2\le\frac{\max w}{\min w}\,\frac{\gamma^2}{s^2}\sum_ig_i^2.$$ {#eq-plain}
#
# *Why.* $1/w_i$ lies between $1/\max w$ and $1/\min w$; the subtracted terms only help.
#
# How bad is it? A batch of twenty with 10, 4, 3, 2 and 1 samples of five tasks, and the worst of all $g$ (the largest singular value of @eq-input, squared):

# %%
def worst(w, x):
    "Largest squared lengthening by the bracket of the input gradient, over all g."
    hat = (x - w @ x)/np.sqrt(w @ (x - w @ x)**2)
    bracket = np.eye(len(w)) - np.outer(w, np.ones_like(w)) - np.outer(w*hat, hat)
    return np.linalg.norm(bracket, 2)**2

counts = np.array([10, 4, 3, 2, 1])
each = lambda pi: np.repeat(pi/counts, counts)
worst(each(counts/20), rng.normal(size=20))

# %%
#| code-fold: true
kinds = {'plain batch norm': counts/20, 'AdaB²N at its start': (counts + 1)/25,
         'all tasks alike': np.full(5, .2)}
draws = rng.normal(size=(200, 20))
def row(name, w):
    "One line of the table."
    return name, f'{np.ptp(w/w.min()) + 1:.2f}', f'{np.mean([worst(w, x) for x in draws]):.2f}'
head = 'weights', 'largest over smallest', 'worst lengthening, squared (mean of 200 batches)'
Markdown(table([row(name, each(pi)) for name, pi in kinds.items()], head))


# %% [markdown]
# At the official start, one sample's worth of prior for each task, the harm is small. Equal task weights, which the dilemma asks for, cost some of the steadiness.
#
# ## Statement 4: what the gap can cost
#
# Let a channel be normalised by fixed $(b,s_b)$ in training and by $(r^\mu,s_r)$ in a test. The two outputs of an input $x$ then differ by $\gamma(\mathsf Ax+\mathsf D)$: $\mathsf A$ is the difference of the scales and $\mathsf D$ that of the offsets,
#
# $$\mathsf A=\frac1{s_b}-\frac1{s_r},\qquad\mathsf D=\frac{r^\mu}{s_r}-\frac b{s_b},$$
#
# and task $k$ has the gap
#
# $$
# \begin{aligned}
# \textcolor{#0072b2}{d_k^2}&=\mathrm E_k(y_{\text{train}}-y_{\text{test}})^2\\
# &=\gamma^2\bigl[(\mathsf A\mu_k+\mathsf D)^2+\mathsf A^2\sigma_k^2\bigr].
# \end{aligned}
# $$ {#eq-task}
#
# Let the rest of the network stay as it is, and let the loss of a sample change by at most $\Lambda$ times the change of this channel's output (for a map of positions, its root mean square). Then the mean losses over all tasks, $\mathcal R_b$ with the training normaliser and $\mathcal R_r$ with that of the test, obey
#
# $$
# \begin{aligned}
# |\mathcal R_r-\mathcal R_b|&\le\frac\Lambda T\sum_k\textcolor{#0072b2}{d_k}\\
# &\le\Lambda\sqrt{\frac{\sum_k\pi_k\textcolor{#0072b2}{d_k^2}}{T\,\min_k\pi_k}}.
# \end{aligned}
# $$ {#eq-risk}
#
# *Why.* $y_{\text{train}}-y_{\text{test}}=\gamma(\mathsf Ax+\mathsf D)$, and a square's mean is the squared mean plus the variance: @eq-task. A task's loss changes by at most $\Lambda\,\mathrm E_k|y_{\text{train}}-y_{\text{test}}|\le\Lambda d_k$, as no mean of an absolute value exceeds the root of the mean square (Jensen). Average over the tasks. For the last step, $\frac1T\sum d_k\le\bigl(\frac1T\sum d_k^2\bigr)^{1/2}$, and $d_k^2\le\pi_kd_k^2/\min\pi$.
#
# If $b,s_b$ are the statistics of a large batch with task weights $\pi$, then $\sum\pi_kd_k^2$ is the gap of @eq-gap, the one that the pull narrows. So @eq-risk says **what is bought**: little train-test gap, little change of the loss between the two normalisers. And it says **for whom**: a task with a small $\pi_k$ is hardly seen by the pull, an absent one not at all, and then the last bound says nothing.

# %%
#| exports
def task_gap(
    means: Tensor,                # μ, of each task, (T,)
    variances: Tensor,            # σ², of each task, (T,)
    trained: tuple[float, float], # mean and variance that training normalises by
    tested: tuple[float, float],  # mean and variance that the test normalises by
    gamma: float=1.,              # scale after normalisation
    eps: float=1e-5,              # ε
)->Tensor: # (T,)
    "Mean square of training output minus test output, for each task. Source: ours."
    s_b, s_r = (trained[1] + eps)**.5, (tested[1] + eps)**.5
    A, D = 1/s_b - 1/s_r, tested[0]/s_r - trained[0]/s_b
    return gamma**2*((A*means + D)**2 + A**2*variances)

def risk_bound(
    gaps: Tensor,     # of `task_gap`, (T,)
    lipschitz: float, # Λ
)->Tensor: # scalar
    """How far the mean loss over all tasks can be from its value in training.

    Raises `UserError` for a negative constant. Source: ours."""
    if not lipschitz >= 0:
        raise UserError(f'lipschitz={lipschitz}: at least 0')
    return lipschitz*gaps.sqrt().mean()


# %% [markdown]
# Five tasks of variance 1, as in the dilemma: the batch has 52 % of the newest, whose mean is 5; the running statistics still describe the other four. Per task:

# %%
mu, sigma2 = torch.tensor([0., 1, -1, 2, 5]), torch.ones(5)
pi = torch.tensor([.12, .12, .12, .12, .52])
b = (pi*mu).sum().item()
batch = b, (pi*(sigma2 + (mu - b)**2)).sum().item()
lagging = .5, 2.25
gaps = task_gap(mu, sigma2, batch, lagging)
gaps

# %% [markdown]
# The weighted mean of these gaps is the gap of @eq-gap, as it should be:

# %%
(pi*gaps).sum().item(), train_test_gap(*batch, *lagging)

# %% [markdown]
# and the two bounds of @eq-risk, for $\Lambda=1$, are

# %%
risk_bound(gaps, 1.).item(), ((pi*gaps).sum()/(5*pi.min())).sqrt().item()


# %%
#| hide
def outputs(way, ax):
    "Mean outputs in training and test, while the running statistics move from old tasks to the batch."
    out = lambda n: ((mu - n[0])/(n[1] + 1e-5)**.5).tolist()
    trained, tested = out(batch), out([old + way*(new - old) for old, new in zip(lagging, batch)])
    for k, pair in enumerate(zip(trained, tested), 1):
        ax.plot([k, k], pair, color=COLORS['blue'], lw=4, label='gap of the means' if k == 1 else None)
    ax.plot(range(1, 6), trained, 'o', color='black', ms=7, mfc='white', label='in training')
    ax.plot(range(1, 6), tested, 'o', color='black', ms=4, label='in a test')
    ax.axhline(np.mean(trained), color=COLORS['grey'], ls='--', label='mean of the five, in training')
    ax.set_xticks(range(1, 6), [f'task {k}\nμ = {mu[k - 1]:.0f}' for k in range(1, 6)])
    ax.set(ylabel='mean output', ylim=(-1.8, 3.3))
    ax.grid(axis='x')
    ax.legend(loc='upper left')


# %%
#| label: fig-tasks
#| fig-cap: "Mean output of the five tasks in training (rings) and in a test (dots), with the part of the gap that is due to the means (blue). The slider moves the running statistics from the old tasks (0) to the batch (1)."
#| echo: false
slider('running statistics moved', [0, .1, .2, .4, .6, .8, 1], outputs,
    'As the running statistics reach the batch, every gap closes. The rings stay: four tasks below zero, '
    'the newest above, and their mean below zero. Agreement is not balance.', start=.1)


# %% [markdown]
# When all gaps are closed, the mismatch of [the dilemma](11_dilemma.ipynb) is gone, and its imbalance is what it was.
#
# ### Is it true?

# %%
def by_two_points(means, sd, trained, tested, gamma):
    "The gap of tasks with the two inputs mean ± sd, by normalising them twice; ε is 0."
    x = np.stack([means - sd, means + sd])
    gap = (x - trained[0])/trained[1]**.5 - (x - tested[0])/tested[1]**.5
    return gamma**2*(gap**2).mean(0)

two_tasks = np.array([.5, -2.]), np.array([1.5, .3])
by_two_points(*two_tasks, (1., 4.), (.2, 2.), 2.)


# %%
def some_tasks(size):
    "Tasks and two normalisers; scale and ε left out at some points."
    normaliser = st.tuples(reals(-10, 10), reals(0, 10))
    kw, knobs = dict(trained=normaliser, tested=normaliser), dict(gamma=reals(-3, 3))
    def numbers(n, **low):
        "None of them huge."
        return tensors(n, kinds=('generic', 'zero', 'equal', 'whole', 'tiny'), **low)
    return wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
        dict(means=numbers(n), variances=numbers(n, low=0.), **kw),
        optional=dict(knobs, eps=scales(1e-5, 1.))))

def normalised_twice(means, variances, trained, tested, gamma=1., eps=1e-5):
    "The gap of tasks from two inputs each, one deviation from the mean."
    x = torch.stack([means - variances.sqrt(), means + variances.sqrt()])
    y, z = ((x - mean)/(var + eps)**.5 for mean, var in (trained, tested))
    return (gamma*(y - z)).square().mean(0)

def by_normals(n=1_000_000):
    "The same for normal inputs, drawn."
    x = two_tasks[0] + two_tasks[1]*np.random.default_rng(3).standard_normal((n, 2))
    return (((x - 1)/4.1**.5 - (x - .2)/2.1**.5)**2).mean(0)

by_normals()

# %%
#| code-fold: true
#| code-summary: "The claim about the tasks, its routes and its edits"
TASKS = torch.tensor(two_tasks[0]), torch.tensor(two_tasks[1]**2)
claim('adab2n.task_gap',
    'Task $k$ has the gap $\\gamma^2[(\\mathsf A\\mu_k+\\mathsf D)^2+\\mathsf A^2\\sigma_k^2]$.',
    of=task_gap, source='ours',
    checks=[
        Check('brute force', lambda f: f(*TASKS, (1., 4.), (.2, 2.), 2., 0.),
            lambda: by_two_points(*two_tasks, (1., 4.), (.2, 2.), 2.), 1e-14, 'float64, two inputs a task'),
        Check('sampling', lambda f: f(*TASKS, (1., 4.), (.2, 2.), eps=.1), by_normals, 1.1e-3,
            'four standard errors over a million draws'),
        Check('limit', lambda f: [*f(*TASKS, (1., 4.), (1., 4.)), *f(*TASKS, (1., 4.), (3., 4.), eps=0)],
            lambda: [0., 0., 1., 1.], 1e-14,
            'one normaliser; equal scales, where all tasks have the same shift')],
    hunts=[Hunt(some_tasks, normalised_twice, 'brute force', 1e-9, 'float64, outputs up to 1e4')],
    mutants=[
        ('A*means + D', 'A*means - D'), ('A**2*variances', 'A*variances'), ('1/s_b - 1/s_r', '1/s_b + 1/s_r'),
        ('gamma**2', 'gamma')])


# %% [markdown]
# A bound must hold for every loss and be reached by one. The loss below that reaches it knows the task: it rises with the output of the first and falls with that of the second. Each task has a single input, so that Jensen's step loses nothing.

# %%
def loss_change(losses, inputs, trained, tested):
    "Change of the mean loss over tasks, from inputs that are normalised twice."
    def y(x, n): return (x - n[0])/n[1]**.5
    changes = [np.mean(loss(y(x, tested)) - loss(y(x, trained)))
               for loss, x in zip(losses, inputs)]
    return abs(np.mean(changes))

single, up, down = [np.array([5.]), np.array([-2.])], (lambda y: 3*y), (lambda y: -3*y)
loss_change([up, down], single, (1., 4.), (.2, 1.))


# %%
def closest(bound):
    """Largest change over bound for losses with Λ of at most 3.

    Each on two tasks of single inputs and on two of a thousand."""
    many = [5 + rng.normal(size=1000), -2 + rng.normal(size=1000)]
    normalisers = (1., 4.), (.2, 1.)
    def wave(y): return 3*np.sin(y)
    def bent(y): return 3*np.maximum(y, 0)
    losses = [up, down], [up, up], [np.abs, up], [wave, down], [bent, bent]
    def gaps(x):
        mean, var = (torch.tensor([f(a) for a in x]) for f in (np.mean, np.var))
        return task_gap(mean, var, *normalisers, eps=0)
    return max(loss_change(pair, x, *normalisers)/bound(gaps(x), 3.)
               for pair in losses for x in (single, many))

closest(risk_bound)


# %%
def reached(gaps, lipschitz):
    "Change of a loss that rises by Λ with every task's output, of a single input."
    changes = [lipschitz*gap**.5 - lipschitz*0. for gap in gaps.tolist()]
    return sum(changes)/len(changes)

LOSSES = {'rise': lambda y: y, 'fall': lambda y: -y, 'abs': np.abs, 'wave': np.sin,
          'bend': lambda y: np.maximum(y, .3),
          'root': lambda y: np.sqrt(1 + y*y)} # slopes of at most one

def losses_and_inputs(size):
    "A loss and inputs for every task, two normalisers, and Λ."
    normaliser = st.tuples(reals(-10, 10), scales(1e-4, 10))
    return wholes(1, 5).flatmap(lambda n: st.fixed_dictionaries(dict(
        losses=st.tuples(*[st.sampled_from(sorted(LOSSES))]*n), inputs=tensors(n, size),
        trained=normaliser, tested=normaliser, lipschitz=reals(0, 5))))

def above(bound, losses, inputs, trained, tested, lipschitz):
    "By how much a change of the mean loss is above the bound, as a part of it."
    made = [(inputs.numpy() - n[0])/n[1]**.5 for n in (trained, tested)]
    gaps = np.square(made[0] - made[1]).mean(1)
    change = lambda loss, y, z: loss(y).mean() - loss(z).mean()
    after = [change(LOSSES[name], y, z) for name, y, z in zip(losses, *made)]
    most = float(bound(torch.from_numpy(gaps), lipschitz))
    size = 1e-9*np.abs(made).max() + most
    return max(0, lipschitz*abs(np.mean(after)) - most)/(size + 1e-300)

def absolute_change(n=100_000):
    "Mean change of 3|y| over inputs ±4 around a shared mean, deviations 2 and 1."
    x = np.random.default_rng(4).choice([-4., 4.], n)
    return 3*np.mean(abs(x)/1 - abs(x)/2)

absolute_change()

# %%
#| code-fold: true
#| code-summary: "The claim about the loss, its routes and its edits"
claim('adab2n.risk_bound',
    'The mean loss over tasks changes by at most $\\frac\\Lambda T\\sum_kd_k$, and there is a loss for '
    'which it changes by that.',
    of=risk_bound, source='ours',
    checks=[
        Check('brute force', closest, lambda: 1., 1e-6, 'ten cases, float64; the first reaches the bound'),
        Check('brute force',
            lambda f: f(task_gap(torch.zeros(1), torch.tensor([16.]), (0., 4.), (0., 1.), eps=0), 3.),
            absolute_change, 1e-5, 'float32; every input changes the loss by 6, so no spread'),
        Check('limit', lambda f: [f(torch.tensor([4., 4., 4.]), .5), f(torch.tensor([9., 0., 0.]), 2.)],
            lambda: [1., 2.], 1e-6, 'float32; equal gaps, and a gap of one task only')],
    hunts=[
        Hunt(lambda size: wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
                dict(gaps=tensors(n, low=0.), lipschitz=reals(0, 5)))), reached, 'brute force', 1e-12,
            'the loss that reaches it, task by task; float64'),
        Hunt(losses_and_inputs, lambda **a: 0., 'brute force', 1e-12, 'no loss of this kind changes by more',
            ours=lambda f, **a: above(f, **a))],
    refuses=[lambda f: f(torch.ones(2), -1e-9), lambda f: f(torch.ones(2), np.nan)],
    mutants=[('lipschitz*gaps', 'gaps'), ('.sqrt().mean()', '.mean().sqrt()'), ('.mean()', '.sum()')])

# %% [markdown]
# ### What it does not promise
#
# **Points of accuracy.** $\Lambda$ is unknown, other layers change as well, and accuracy is no such loss at all. Two classes with the outputs -0.001 and 0.001, told apart by their sign, and a test that shifts them by 0.002:

# %%
y, label = torch.tensor([-.001, .001]), torch.tensor([False, True])
right = [((y + shift > 0) == label).float().mean().item() for shift in (0, .002)]
risk_bound(torch.tensor([.002**2]), 1.).item(), *right


# %% [markdown]
# The bound is 0.002 for any loss with $\Lambda=1$, and half of the decisions are lost.
#
# **A low loss to begin with.** $\mathcal R_b$ is the loss under the training normaliser, on balanced test data. Forgetting in the weights, and too few samples, are in $\mathcal R_b$, and the bound says nothing about it.
#
# **Small batches.** @eq-task needs a fixed $(b,s_b)$. A batch's own statistics vary with it: for standard normal inputs and perfect running statistics (0, 1), @eq-task gives no gap, while batches of $n$ numbers have about $1/n$ from the mean and half as much from the deviation:

# %%
def small(n, batches=20_000):
    "Mean gap of batches of n standard normals to the statistics 0, 1."
    x = np.random.default_rng(5).standard_normal((batches, n))
    return train_test_gap(x.mean(1), x.var(1), 0., 1., eps=0).mean()

lines = [(n, f'{small(n):.4f}', f'{1.5/n:.4f}') for n in (2, 10, 100)]
Markdown(table(lines, ('n', 'mean gap', '3/(2n)')))

# %% [markdown]
# In a convolution $n$ counts positions too, which helps as far as they are independent.
#
# ## What if
#
# Predict first, then open.
#
# **1.** The moved statistics are not held fixed; the gradient flows through them. Is the pull stronger or weaker?
#
# <details><summary>Answer</summary>
#
# Weaker, by another factor $1-\eta$: the statistics come along when the batch moves. Ratio of the two for $\eta=0.4$:
#
# </details>

# %%
by_torch(.4, fixed=False)[1]/by_torch(.4)[1]

# %% [markdown]
# **2.** The bound is rough. Would it be better to penalise the exact gap, which costs no more to compute?
#
# <details><summary>Answer</summary>
#
# For a variance that has run away it would be gentler: near agreement the bound's pull on the variance is four times that of the gap, and above, the gap's gradient stays bounded while the bound's grows without end. For a variance that has collapsed, below about an eighth of $r^v$ but still far above $\epsilon$, it is the other way round: there the gap is the steeper one. Which of the two trains better is not a question that a bound answers. Bound over gap for equal means, at $v/r^v=1.01$, 4 and 100:
#
# </details>

# %%
[round(gap_bound(0., v, 0., 1., eps=0)/train_test_gap(0., v, 0., 1., eps=0), 1)
 for v in (1.01, 4., 100.)]

# %% [markdown]
# **3.** No replay: the batch holds the newest task alone, $b=5$ and variance 1, and the running statistics have almost arrived, at mean 5 and variance 1.5. The gap that the pull sees is small. Is it small for the old tasks?
#
# <details><summary>Answer</summary>
#
# No. A scale that is slightly off hardly matters near the mean of the newest task and matters the more, the further a task lies from it. Gap per task, the newest last:
#
# </details>

# %%
task_gap(mu, sigma2, (5., 1.), (5., 1.5))

# %% [markdown]
# ## Where it lives
#
# The functions are in `papers_nb.adab2n.bounds`. [The layer](21_layer.ipynb) computes the penalty, [the training](30_train.ipynb) gives it its weight.
