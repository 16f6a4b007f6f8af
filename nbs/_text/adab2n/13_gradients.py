# %% [markdown]
# # A sample pays for the statistics in proportion to its weight
#
# > The gradient of a weighted batch norm in closed form, and why the learnable preference learns slowly in short runs.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N): for the layer of the official code, `models/utils/adab2n.py`; statements and proofs are ours · 8 minutes · what you need first: [A weight for each task](12_weights.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.gradients

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import numpy as np, sympy
from hypothesis import strategies as st
from torch.nn.functional import batch_norm
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import SHAPES, Hunt, reals, scales, tensors, weights, wholes
from papers_nb.core.plots import COLORS, slider, theme
theme()

# %% [markdown]
# ## The question
#
# A batch norm ties the samples of a batch together: move one, and the mean and the variance move, and with them every other output. So a sample *pays*: something is subtracted from its gradient. If the samples have weights, who pays how much? And the weights themselves come from a preference $\psi$ that is learnt by the same gradient descent as the network. How strong is its gradient?
#
# A closed form answers both. It is also what makes the layer fast: [the layer](21_layer.ipynb) runs the function of this page.
#
# ## Two samples
#
# One channel, two samples 0 and 2, weights ¾ and ¼. The loss is the first output alone, and autograd differentiates:

# %%
x = torch.tensor([0., 2.], dtype=torch.float64, requires_grad=True)
w = torch.tensor([.75, .25], dtype=torch.float64)
m = (w*x).sum()
v = (w*(x - m)**2).sum()
y = (x - m)/v.sqrt()
y[0].backward()
m.item(), v.item(), x.grad


# %% [markdown]
# Zero for both? With two samples and weights that sum to one, the outputs are fixed: $-\sqrt{w_2/w_1}$ and $\sqrt{w_1/w_2}$, whatever the samples are, as long as the first is the smaller. What goes directly to the first sample, $1/s$, is taken away again by the mean and the variance. The formula must know that.
#
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $x_{ncp}$ | `x` | $(N,C,\dots)$ | input, $P$ positions a sample and channel |
# | $w_n$, $\tilde w_n=w_n/P$ | `w` | $(N,)$ | weight of a sample, and of one of its positions |
# | $S$ | | | $\sum_nw_n$, one unless weight is lost |
# | $m_c,v_c$ | `m`, `v` | $(C,)$ | weighted mean and variance |
# | $s$, $\hat x$ | | | $\sqrt{v+\epsilon}$, $(x-m)/s$ |
# | $\gamma,\beta$ | `weight` | $(C,)$ | scale and shift, $y=\gamma\hat x+\beta$ |
# | $g$ | `g` | as $x$ | gradient of the loss by $y$ |
# | $g^m,g^v$ | `g_m`, `g_v` | $(C,)$ | gradient by $m$ and $v$ of a second loss term, [the regulariser](14_bounds.ipynb); 0 without it |
# | $\psi_k$, $\alpha_k=e^{\psi_k}$, $A$ | `log_concentration` | $(t,)$ | learnable preference for task $k$, imaginary samples, their sum |
# | $N_k$, $N$, $\pi_k$ | `counts` | $(t,)$ | samples of task $k$, all samples, weight of task $k$ ([derived here](12_weights.ipynb)) |
# | $p_k$ | `p` | $(t,)$ | gradient of the loss by $\pi_k$ |
# | $\bar x_{nc}$, $e_{nc}$ | `means`, `seconds` | $(N,C)$ | mean over a sample's positions of $x$, and of $(x-m)^2$ |
#
# ## Statement 1: the gradients
#
# With $G=\sum g$ and $H=\sum g\hat x$ over samples and positions,
#
# $$\frac{\partial L}{\partial\beta}=G,\qquad\frac{\partial L}{\partial\gamma}=H,$$ {#eq-affine}
#
# $$
# \begin{aligned}
# \textcolor{#aa4499}{L_v}&=g^v-\frac{\gamma H}{2s^2},\\
# \textcolor{#009e73}{L_m}&=g^m-\frac{\gamma G}{s}-2(1-S)\,m\,\textcolor{#aa4499}{L_v},
# \end{aligned}
# $$ {#eq-stats}
#
# $$\frac{\partial L}{\partial x_{ncp}}=\textcolor{#0072b2}{\frac\gamma s\,g}+\tilde w_n\bigl[\textcolor{#009e73}{L_m}+2(x-m)\,\textcolor{#aa4499}{L_v}\bigr],$$ {#eq-input}
#
# $$\frac{\partial L}{\partial w_n}=\sum_c\bigl[\textcolor{#009e73}{L_m}\,\bar x_{nc}+\textcolor{#aa4499}{L_v}\,e_{nc}\bigr].$$ {#eq-weight}
#
# In words: each sample gets what comes directly to it, the gradient of a norm with frozen statistics, and pays, **in proportion to its weight**, for having moved the mean and the variance.
#
# *Why.* The output depends on $v$ through $1/s$, and $\partial(1/s)/\partial v=-1/(2s^3)$; summed over all outputs that is $L_v$. It depends on $m$ directly, $-\gamma G/s$, and through $v$:
#
# $$
# \begin{aligned}
# \frac{\partial v}{\partial m}&=-2\sum\tilde w_n(x-m)\\
# &=-2(m-Sm)=-2(1-S)\,m.
# \end{aligned}
# $$
#
# For $S=1$ the mean is the point around which the variance is smallest, and this vanishes; with lost weight it does not. Now $\partial m/\partial x_{ncp}=\tilde w_n$ and, at fixed $m$, $\partial v/\partial x_{ncp}=2\tilde w_n(x-m)$: that is @eq-input. Likewise $\partial m/\partial w_n=\bar x_n$ and, at fixed $m$, $\partial v/\partial w_n=e_n$: that is @eq-weight.
#
# The first term of @eq-input, together with $G$ and $H$, is what torch computes for a batch norm in eval mode. The bracket is $2L_v\,x+(L_m-2mL_v)$. So one fused kernel and two multiply-adds do it all. (Where the mean is many $s$ from zero the two parts of the bracket cancel, and about as many digits are lost as by rounding $x$ itself.)

# %%
#| exports
def norm_backward(
    g: Tensor,       # gradient by the output, (N, C, ...)
    x: Tensor,       # input, (N, C, ...)
    w: Tensor,       # weight of each sample, (N,)
    means: Tensor,   # x̄, mean of each sample and channel, (N, C)
    seconds: Tensor, # e, mean of (x - m)² of each sample and channel, (N, C)
    m: Tensor,       # weighted mean, (C,)
    v: Tensor,       # weighted variance, (C,)
    weight: Tensor,  # γ, (C,)
    g_m: Tensor,     # gradient by m from elsewhere, (C,)
    g_v: Tensor,     # gradient by v from elsewhere, (C,)
    eps: float=1e-5, # ε
)->tuple[Tensor, Tensor, Tensor, Tensor]: # gradients by x, w, γ and β
    """Gradients of a batch norm whose samples have weights; raises `UserError`.

    Source: ours, for the layer of official code, `models/utils/adab2n.py`."""
    if w.shape != x.shape[:1]:
        raise UserError(f'w of shape {tuple(w.shape)}: '
                        f'one weight for each of the {len(x)} samples')
    def column(a):
        "A number each, beside the map of a channel."
        return a.view(*a.shape, *[1]*(x.dim() - 2))
    s2 = v + eps
    given = g, x, weight, m, v, m, s2.rsqrt(), False, eps, [True]*3
    dx, H, G = torch.ops.aten.native_batch_norm_backward(*given)
    L_v = g_v - weight*H/(2*s2)
    L_m = g_m - weight*G/s2.sqrt() - 2*(1 - w.sum())*m*L_v
    share = (w*len(x)*len(m)/x.numel())[:, None]
    dx.addcmul_(x, column(2*share*L_v).to(x.dtype)).add_(column(share*(L_m - 2*m*L_v)))
    return dx, (means*L_m + seconds*L_v).sum(1), H, G


# %% [markdown]
# The two samples again. The direct part is $1/s=1/\sqrt{0.75}$ for the first and nothing for the second; what is left is zero:

# %%
one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
xs, m, v = x.detach()[:, None], m.detach()[None], v.detach()[None]
push, rest = torch.tensor([[1.], [0.]], dtype=torch.float64), (one, none, none)
dx, *_ = norm_backward(push, xs, w, xs, (xs - m)**2, m, v, *rest, eps=0.)
dx.flatten().tolist(), 1/v.sqrt().item()

# %%
raises(norm_backward, xs, xs, w[:1], xs, xs, m, v, one, none, none)


# %% [markdown]
# ## Statement 2: the gradient of the preference
#
# Let $p_k=\partial L/\partial\pi_k$. Because $w_n=\pi_k/N_k$ it is the mean of @eq-weight over the samples of task $k$, and it is 0 for a task without samples. Then
#
# $$\frac{\partial L}{\partial\psi_j}=\textcolor{#b35900}{\frac{\alpha_j}{A+N}}\Bigl(p_j-\sum_k\pi_kp_k\Bigr).$$ {#eq-preference}
#
# *Why.* Of $\pi_k=(N_k+\alpha_k)/(N+A)$ with $\alpha_j=e^{\psi_j}$ the derivative is $\partial\pi_k/\partial\psi_j=\frac{\alpha_j}{A+N}(\delta_{kj}-\pi_k)$. Where absent tasks are left out, $A$ and the sums run over the tasks that are present. Where equal weights are mixed in by a share $c$, the gradient is $(1-c)$ times this one, with $\pi_k$ the posterior mean before the mixing.
#
# Written out, without mixing, $p_j=\sum_c[L_m\bar x^{(j)}+L_ve^{(j)}]$ with the task's own mean and second moment, and $\sum_k\pi_kp_k=\sum_c[L_mm+L_vv]$: the gradient of a task's preference is **how its statistics differ from the batch's**, times $\textcolor{#b35900}{\alpha_j/(A+N)}$. At the start, with five tasks and twenty samples, that factor is 1/25.

# %%
#| exports
def preference_gradient(
    p: Tensor,                 # gradient by π, 0 for a task without samples, (t,)
    counts: Tensor,            # N, samples of each task, (t,)
    log_concentration: Tensor, # ψ, (t,)
)->Tensor: # gradient by ψ, (t,)
    """Gradient of a loss by the learnable preference, all tasks counted.

    Source: ours, for the official rule."""
    alpha = log_concentration.exp()
    total = alpha.sum() + counts.sum()
    pi = (counts + alpha)/total
    return alpha/total*(p - (pi*p).sum())


# %%
counts = torch.tensor([2., 2, 2, 2, 12], dtype=torch.float64)
p, psi = torch.eye(5, dtype=torch.float64)[0], torch.zeros(5, dtype=torch.float64)
preference_gradient(p, counts, psi)

# %% [markdown]
# A loss that is the weight of the first task itself has a gradient below 0.04 by that task's preference. Steps of gradient descent with the learning rate of the network, .03, until that preference has moved by one, if nothing ever works against it:

# %%
moving, taken = psi.clone(), 0
while moving[0] > -1:
    moving -= .03*preference_gradient(p, counts, moving)
    taken += 1
taken

# %% [markdown]
# A run on digits has about 250 steps, so there $\psi$ hardly moves. A run on CIFAR has thousands, and a loss that sums over many channels may have a larger $p$: there this argument decides nothing, and $\psi$ has to be measured. What it is after the trainings on digits stands on [the results page](40_results.ipynb).
#
# ## Is it true?
#
# As before, each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)); and each claim is [hunted](../core/hunt.ipynb).
#
# **The gradients**, by finite differences of a loss that uses everything, at $S=1$ and with lost weight; against torch's own batch norm; and where the answer is known.

# %%
rng = np.random.default_rng(0)
X, GY, GAMMA, GM, GV = (rng.standard_normal(s) for s in ((5, 2, 3), (5, 2, 3), 2, 2, 2))

def loss_of(x, w, gamma, beta, eps=1e-5):
    "Sum of g y, of g_m m and of g_v v, written with loops' own sums."
    m = sum(w[n]*x[n].mean(1) for n in range(5))
    v = sum(w[n]*((x[n] - m[:, None])**2).mean(1) for n in range(5))
    y = gamma[:, None]*(x - m[:, None])/np.sqrt(v + eps)[:, None] + beta[:, None]
    return (GY*y).sum() + (GM*m).sum() + (GV*v).sum()

def by_differences(w, h=1e-5):
    "Central differences by every input, weight, scale and shift."
    at, found = [X.copy(), np.array(w), GAMMA.copy(), np.zeros(2)], []
    for a in at:
        for i in np.ndindex(a.shape):
            old, sides = a[i], []
            for a[i] in (old + h, old - h): sides.append(loss_of(*at))
            a[i] = old
            found.append((sides[0] - sides[1])/(2*h))
    return found

full, lossy = (.1, .3, .2, .25, .15), (.1, .3, .2, .1, .15)
by_differences(full)[:3]


# %%
def closed_form(f, w, g_m=GM, g_v=GV, gy=GY, x=X, gamma=GAMMA):
    "The function under test on the same numbers, flat."
    arrays = (np.asarray(a, dtype=float) for a in (x, w, gy, gamma, g_m, g_v))
    x, w, gy, gamma, g_m, g_v = map(torch.from_numpy, arrays)
    means = x.mean(2)
    m = w @ means
    seconds = ((x - m[:, None])**2).mean(2)
    found = f(gy, x, w, means, seconds, m, w @ seconds, gamma, g_m, g_v)
    return torch.cat([t.flatten() for t in found])

closed_form(norm_backward, full)[:3]


# %%
def from_torch(x=X, gy=GY, gamma=GAMMA):
    "Gradients by input, scale and shift of torch's batch norm in training mode."
    arrays = x, gamma, np.zeros(2)
    x, gamma, beta = (torch.tensor(a, requires_grad=True) for a in arrays)
    y = batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    found = torch.autograd.grad((y*torch.from_numpy(gy)).sum(), (x, gamma, beta))
    return torch.cat([t.flatten() for t in found])

def layers(size):
    "A batch with samples, channels and up to two axes of positions, and its gradients."
    tame = [kind for kind in SHAPES if kind != 'huge']
    def made(n, c, positions):
        "One batch; weights sum to one, or to more or less."
        whole = st.builds(lambda w, s: s*w, weights(n), reals(0, 2, 1))
        row, map_ = tensors(c), tensors(n, c, *positions)
        x = tensors(n, c, *positions, kinds=tame)
        given = dict(g=map_, x=x, w=whole, weight=row, g_m=row, g_v=row)
        return st.fixed_dictionaries(given, optional=dict(eps=scales(1e-5, 1.)))
    sizes = wholes(1, size), wholes(1, 3), st.lists(wholes(1, 3), max_size=2)
    return st.tuples(*sizes).flatmap(lambda s: made(*s))

def statistics(x, w):
    "Means of samples, and the weighted mean and variance, with the squares between."
    flat = x.flatten(2) if x.dim() > 2 else x[..., None]
    means = flat.mean(2)
    m = (w[:, None]*means).sum(0)
    seconds = (flat - m[:, None]).square().mean(2)
    return means, seconds, m, (w[:, None]*seconds).sum(0)

def on_these(f, g, x, w, weight, g_m, g_v, **kw):
    "The function under test with the statistics of the batch, per unit of slope."
    found = f(g, x, w, *statistics(x, w), weight, g_m, g_v, **kw)
    return [t/unit(g, weight, g_m, g_v) for t in found]

def unit(g, weight, g_m, g_v):
    "What the gradients are proportional to, or above."
    g, weight, g_m, g_v = (t.abs().max().item() for t in (g, weight, g_m, g_v))
    return 1 + g*(1 + weight) + g_m + g_v

def by_autograd(g, x, w, weight, g_m, g_v, eps=1e-5):
    "The four gradients by torch, of sum(g*y) + g_m·m + g_v·v."
    start = x, w, weight, torch.zeros_like(weight)
    leaves = [t.clone().requires_grad_() for t in start]
    x, w, weight, bias = leaves
    _, _, m, v = statistics(x, w)
    wide = lambda t: t.view(1, -1, *[1]*(x.dim() - 2))
    y = wide(weight)*(x - wide(m))/wide(v + eps).sqrt() + wide(bias)
    found = torch.autograd.grad((g*y).sum() + g_m @ m + g_v @ v, leaves)
    return [t/unit(g, weight.detach(), g_m, g_v) for t in found]

even, zero = (.2,)*5, np.zeros(2)
without_w = lambda t: torch.cat([t[:30], t[35:]])

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
shifted = lambda f: closed_form(f, even, zero, zero, np.ones((5, 2, 3)))[:30]
alone = lambda f: closed_form(f, (0., 0., 1., 0., 0.), zero, zero)[[0, 1, 29]]
claim('adab2n.norm_backward',
    'Each sample gets $\\frac\\gamma sg$ and pays $\\tilde w_n[L_m+2(x-m)L_v]$ for the statistics.',
    of=norm_backward, source='ours',
    checks=[
        Check('finite differences', lambda f: torch.cat([closed_form(f, full), closed_form(f, lossy)]),
            lambda: [*by_differences(full), *by_differences(lossy)], 1e-7,
            'central differences with step 1e-5: its square times third derivatives of some hundreds, over '
            'six'),
        Check('trusted implementation', lambda f: without_w(closed_form(f, even, zero, zero)), from_torch,
            1e-12, 'float64; equal weights, torch.nn.functional.batch_norm'),
        Check('limit', lambda f: torch.cat([shifted(f), alone(f)]),
            lambda: [0.]*30 + [*(GAMMA[0]*GY[0, 0, :2]/np.sqrt(X[2, 0].var() + 1e-5)),
                GAMMA[1]*GY[4, 1, 2]/np.sqrt(X[2, 1].var() + 1e-5)],
            1e-12, 'a shift of all outputs comes from no input; a sample without weight pays nothing')],
    mutants=[
        (' - 2*(1 - w.sum())*m*L_v', ''), ('weight*H/(2*s2)', 'weight*H/s2'),
        ('weight*G/s2.sqrt()', 'weight*G/s2'), ('2*share*L_v', 'share*L_v'),
        ('means*L_m + seconds*L_v', 'means*L_m'), ('L_m - 2*m*L_v', 'L_m + 2*m*L_v')],
    hunts=[Hunt(layers, by_autograd, 'trusted implementation', 1e-8,
        'torch autograd; float64, slopes by the variance up to 1e7 where it is 0', ours=on_these,
        sizes=(1, 2, 6, 24), most=96)],
    equivalent={'dx.addcmul_(x, column(2 * share * L_v).to(x.dtype)) → '
        'dx.addcmul_(column(2 * share * L_v).to(x.dtype), x)': 'a product of two'},
    refuses=[lambda f: on_these(f, torch.ones(2, 1), torch.ones(2, 1), torch.ones(1), *[torch.ones(1)]*3),
             lambda f: f(*[torch.ones(2, 1)]*5, *[torch.ones(1)]*5)])


# %% [markdown]
# **The gradient of the preference**, by SymPy, by finite differences, and for a loss that does not care.

# %%
def by_sympy(p, counts, alpha):
    "Derivative of Σ p π by each ψ, symbolically."
    symbols = sympy.symbols(f'psi0:{len(p)}')
    total = sum(counts) + sum(map(sympy.exp, symbols))
    value = sum(pk*(nk + sympy.exp(s))/total for pk, nk, s in zip(p, counts, symbols))
    at = {s: sympy.log(a) for s, a in zip(symbols, alpha)}
    return [float(sympy.diff(value, s).subs(at)) for s in symbols]

by_sympy((1, -2, 0), (3, 1, 0), (1, 2, sympy.Rational(1, 2)))


# %%
def through_torch(p, counts, log_concentration):
    "Derivative of Σ p π by each ψ, by torch."
    psi = log_concentration.clone().requires_grad_()
    pi = (counts + psi.exp())/(counts.sum() + psi.exp().sum())
    return torch.autograd.grad((p*pi).sum(), psi)[0]

def by_steps(p, counts, psi, h=1e-5):
    "Central differences of Σ p π by each ψ."
    def value(psi):
        total = sum(counts) + sum(np.exp(psi))
        return sum(pk*(nk + np.exp(s))/total for pk, nk, s in zip(p, counts, psi))
    return [(value(psi + h*e) - value(psi - h*e))/(2*h) for e in np.eye(len(psi))]

by_steps((1., -2., 0.), (3, 1, 0), np.log([1, 2, .5]))

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
as64 = lambda *a: torch.tensor(a, dtype=torch.float64)
steps_at = ((.3, 2., -1., .7), (6, 2, 0, 4), np.array([.2, -.4, .6, 0.]))
claim('adab2n.preference_gradient',
    'The gradient by $\\psi_j$ is $\\frac{\\alpha_j}{A+N}(p_j-\\sum_k\\pi_kp_k)$.',
    of=preference_gradient, source='ours',
    checks=[
        Check('algebra', lambda f: f(as64(1, -2, 0), as64(3, 1, 0), as64(1, 2, .5).log()),
            lambda: by_sympy((1, -2, 0), (3, 1, 0), (1, 2, sympy.Rational(1, 2))), 1e-14,
            'exact, then rounded to float64'),
        Check('finite differences', lambda f: f(*map(lambda a: as64(*a), steps_at)),
            lambda: by_steps(*steps_at), 1e-9, 'central differences with step 1e-5'),
        Check('limit',
            lambda f: [*f(as64(2, 2, 2), as64(1, 5, 0), as64(.3, 0, -1)),
                *f(as64(4, 0), as64(0, 0), as64(0, 0))],
            lambda: [0, 0, 0, 1., -1.], 1e-14,
            'a loss that asks for nothing; no samples and two even tasks: 4·½·(1−½)')],
    mutants=[
        ('alpha/total*', 'alpha*'), ('(p - (pi*p).sum())', '(p + (pi*p).sum())'),
        ('alpha.sum() + counts.sum()', 'counts.sum()'), ('pi*p', 'p')],
    hunts=[Hunt(lambda size: wholes(1, size).flatmap(lambda t: st.fixed_dictionaries(dict(
            p=tensors(t), counts=st.tuples(*[wholes(0, size)]*t).map(lambda c: as64(*c)),
            log_concentration=tensors(t).map(lambda psi: psi.clamp(-300, 300))))), through_torch,
        'trusted implementation', 1e-10, 'torch autograd; float64, p up to 1e5')])

# %% [markdown]
# ## Picture
#
# Ten samples of one channel, the last one of an old task, alone. All outputs are pushed up by the same amount except the last, which is pushed down. The slider moves the weight of the lone sample; the others share the rest.

# %%
#| hide
xs = torch.from_numpy(np.r_[np.linspace(.5, 3.5, 9), -2.])[:, None]
push = torch.ones(10, 1, dtype=torch.float64)
push[-1] = -1
def bill(lone, ax):
    "What each sample gets directly, and what is left after it has paid."
    w = torch.full((10,), (1 - lone)/9, dtype=torch.float64)
    w[-1] = lone
    m = w @ xs
    second = (xs - m)**2
    v = w @ second
    total = norm_backward(push, xs, w, xs, second, m, v, one, none, none)[0].flatten()
    ax.bar(np.arange(10) - .2, (push/v.sqrt()).flatten(), .38, color=COLORS['sky'], label='directly, γg/s')
    ax.bar(np.arange(10) + .2, total, .38, color=COLORS['blue'], label='after paying')
    ax.set(xlabel='sample, by value; the last is the old one', ylabel='gradient')
    ax.set(xticks=range(10), ylim=(-1.1, 1.1))
    ax.legend(loc='lower left')


# %%
#| label: fig-bill
#| fig-cap: "Gradient that reaches each sample, before (light) and after (dark) it has paid for mean and variance. The slider moves the weight of the lone old sample."
#| echo: false
slider('weight of the old sample', [.01, .05, .1, .2, .35, .5], bill,
    'The larger the weight of the old sample, the more of its push is taken back: '
    'at a hundredth it keeps nine tenths of it, at a half only half.', start=.1)


# %% [markdown]
# A sample with much weight is a large part of the standard by which it is measured. In the picture the push on the nine others reaches the old sample too, through $m$ and $v$, and hides a part of what it pays. If the push is on the old sample alone, the part that it keeps is, for the weights of the slider:

# %%
def kept(lone):
    "Part of a push on the last sample alone that is left after paying."
    w = torch.full((10,), (1 - lone)/9, dtype=torch.float64)
    w[-1] = lone
    m, push = w @ xs, torch.eye(10, dtype=torch.float64)[:, -1:]
    v = w @ (xs - m)**2
    dx, *_ = norm_backward(push, xs, w, xs, (xs - m)**2, m, v, one, none, none)
    return (dx[-1]*v.sqrt()).item()

{lone: round(kept(lone), 2) for lone in (.01, .05, .1, .2, .35, .5)}


# %% [markdown]
# Balance has this second price, besides the bias of the variance.
#
# ## What if
#
# Predict first, then open.
#
# **1.** The weights are doubled, all of them. What happens to the outputs if $\epsilon=0$? (Then $S=2$.)
#
# <details><summary>Answer</summary>
#
# They change: with $S\ne1$ the mean is $2\mu_p$, no longer in the middle unless that is 0, and the scale is wrong too. A weighted norm is not a ratio in which a common factor cancels.
#
# </details>

# %%
def normalised(w):
    "The numbers 0, 1 and 5, normalised with weights."
    x = as64(0., 1., 5.)
    m = (w*x).sum()
    return (x - m)/(w*(x - m)**2).sum().sqrt()
normalised(as64(.5, .25, .25)), normalised(2*as64(.5, .25, .25))

# %% [markdown]
# **2.** All tasks have the same mean and variance. What moves $\psi$?
#
# <details><summary>Answer</summary>
#
# Only the chance of small batches, since @eq-preference sees nothing but differences; with ever larger batches nothing is left. (Under the official rule an absent task has $p_j=0$, which is a difference too.)
#
# </details>
#
# **3.** The batch is ten times larger. Is the gradient of $\psi$ larger or smaller?
#
# <details><summary>Answer</summary>
#
# Smaller, if the loss is a mean over the batch, so that $p_j$ stays what it is: the factor is $\alpha_j/(A+N)$. A prior of a few imaginary samples has little to say about two hundred real ones. (Of a sum, $p_j$ grows tenfold, and the two nearly cancel.)
#
# </details>

# %%
[round((1/(5 + n)), 4) for n in (20, 200)]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.adab2n.gradients`. `norm_backward` is the backward pass of [the layer](21_layer.ipynb); how fast it is, against torch and against autograd, is measured in [the benchmark](50_bench.ipynb).
