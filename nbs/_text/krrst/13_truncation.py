# %% [markdown]
# # The gradient that is dropped is small for young extractors, and can be all of it
#
# > KRR-ST differentiates through the head and not through the extractor: what that leaves out, measured and by a counterexample.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), for the gradient of the official code, `distill.py`; statements and measurements are ours · 8 minutes · what you need first: [the ridge](11_ridge.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.truncation

# %%
#| export
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from papers_nb.errors import UserError
from papers_nb.krrst.ridge import dual

# %%
#| hide
import matplotlib.pyplot as plt
import numpy as np
from hypothesis import strategies as st
from IPython.display import Markdown
from torch import nn
from torch.func import functional_call
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, tensors, wholes
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.stats import interval
from papers_nb.core.tables import table
from papers_nb.krrst.data import Views, features, source
from papers_nb.krrst.krrst import initial_set
from papers_nb.krrst.nets import extractor
from papers_nb.krrst.ridge import ridge_strength
theme()


# %% [markdown]
# ## The question
#
# The extractors of the pool are trained on the synthetic set. So the outer loss depends on the synthetic images twice: through the ridge head, and through the extractor $\omega$ that they have trained,
#
# $$\frac{dL}{dX_s}=\underbrace{\frac{\partial L}{\partial X_s}}_{\text{kept}}+\underbrace{\frac{\partial L}{\partial\omega}\frac{d\omega}{dX_s}}_{\text{dropped}}.$$ {#eq-two}
#
# KRR-ST, like its parent FRePo, holds the extractor as a constant and follows the first term. It was to avoid one bias and so takes on another. How large is it?
#
# ## One number
#
# One synthetic number $x=1$ with target $y=1$, an extractor that multiplies by $\omega$, a head $v=\frac14$ beside it. One step of gradient descent on $(\omega xv-y)^2$ from $\omega=1$ with the rate $\eta=2$:
#
# $$
# \begin{aligned}
# \omega'&=1-2\eta\,(\omega xv-y)\,xv\\
# &=1+4\cdot\tfrac34\cdot\tfrac14=\tfrac74,\\
# \frac{d\omega'}{dx}&=-2\eta v\,(2\omega xv-y)=\tfrac12.
# \end{aligned}
# $$
#
# On a real number $t=1$ the ridge predicts $s=\omega'^2xty/(\omega'^2x^2+\lambda)$. With $\lambda=3$ its derivative by $x$ at fixed $\omega'$ has the sign of $\lambda-\omega'^2x^2=3-\frac{49}{16}$: negative. By way of $\omega'$ it is $2\omega'x\lambda\cdot\frac12=\frac{21}4$ over the same positive denominator, and outweighs the kept $\frac{49}{16}\cdot(-\frac1{16})$ by far. **The kept gradient points the wrong way.**
#
# ## Symbols
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $X_s,Y_s$ | `x`, `y` | $(m,d_x),(m,k)$ | synthetic images and targets |
# | $X_t,Y_t$ | `real`, `wanted` | $(b,d_x),(b,k)$ | real images, what the target model says |
# | $\omega$ | `first` | | weights of the extractor |
# | $W_0$ | `head` | $(d,k)$ | the head that is trained beside it and thrown away |
# | $T,\eta$ | `steps`, `lr` | | inner steps of gradient descent, their rate |
# | $\lambda$ | `lam` | | ridge |
#
# ## Statement
#
# Without inner steps the two gradients are equal. With $T$ of them the dropped term is at most of order $\eta T$ as $\eta T\to0$: in
#
# $$\omega_T=\omega_0-\eta\sum_{i<T}\nabla_\omega\ell(\omega_i;X_s,Y_s)$$
#
# $X_s$ enters only behind the factor $\eta$, $T$ times. For a given rate and growing $T$ no bound below the whole gradient follows, and the example above has none.

# %%
#| exports
def _tanh_layer(
    first: Tensor, # (d_x, d)
    x: Tensor,     # (n, d_x)
)->Tensor: # (n, d)
    "Features of one layer. Source: ours."
    return (x @ first).tanh()

def hypergradients(
    x: Tensor, y: Tensor,         # synthetic images and targets, (m, d_x), (m, k)
    real: Tensor, wanted: Tensor, # real images and targets, (b, d_x), (b, k)
    first: Tensor,                # ω at the start
    head: Tensor,                 # head beside it, (d, k)
    steps: int,                   # T, at least 0
    lr: float,                    # η
    lam: float,                   # λ, above 0
    features: Callable=_tanh_layer, # ω, images → features
)->tuple[list[Tensor], list[Tensor]]: # by x and y: what is kept; all of it
    """Gradients of the outer loss with the extractor held, and through its training.

    Raises `UserError` for a number of steps below 0, or a ridge that is not above 0.
    Source: ours."""
    if steps < 0: raise UserError(f'steps={steps}: at least 0')
    x, y = (t.detach().clone().requires_grad_() for t in (x, y))
    weights = [t.detach().clone().requires_grad_() for t in (first, head)]
    for _ in range(steps):
        inner = F.mse_loss(features(weights[0], x) @ weights[1], y)
        slopes = torch.autograd.grad(inner, weights, create_graph=True)
        weights = [w - lr*g for w, g in zip(weights, slopes)]
    def by(omega):
        "Gradient of the outer loss for an extractor that may depend on x and y."
        s, t = (features(omega, images) for images in (x, real))
        alpha, _ = dual(s, y, lam)
        loss = F.mse_loss(t @ (s.T @ alpha), wanted)
        return list(torch.autograd.grad(loss, (x, y)))
    return by(weights[0].detach()), by(weights[0])


# %% [markdown]
# The example, with features $\omega x$ and a real target of 2 (so that a larger prediction is better):

# %%
n64 = lambda v: torch.tensor([[v]], dtype=torch.float64)
times = lambda omega, x: x*omega
(kept_x, _), (full_x, _) = hypergradients(
    n64(1.), n64(1.), n64(1.), n64(2.), n64(1.), n64(.25), 1, 2., 3., times)
kept_x.item(), full_x.item()

# %%
one, two = n64(1.), n64(2.)
raises(hypergradients, one, one, one, two, one, n64(.25), -1, 2., 3.)


# %% [markdown]
# ## Is it true?
#
# By finite differences of the whole pipeline, written again in numpy with its own derivative of the inner loss: once with the extractor trained anew for every push, once with it held.

# %%
#| code-fold: true
#| code-summary: "The pipeline in numpy, and its differences"
def trained(x, y, first, head, steps, lr):
    "Weights of the extractor after gradient descent, slopes by hand."
    for _ in range(steps):
        hidden = np.tanh(x @ first)
        out = 2*(hidden @ head - y)/y.size
        slope_head, back = hidden.T @ out, (out @ head.T)*(1 - hidden**2)
        first, head = first - lr*(x.T @ back), head - lr*slope_head
    return first

def outer(first, x, y, real, wanted, lam):
    "The outer loss in the primal form."
    s, t = np.tanh(x @ first), np.tanh(real @ first)
    w = np.linalg.solve(s.T @ s + lam*np.eye(s.shape[1]), s.T @ y)
    return ((t @ w - wanted)**2).mean()

def by_differences(x, y, real, wanted, first, head, steps, lr, lam, h=1e-4):
    "Both gradients by five-point differences in every entry of x and y."
    x, y, real, wanted, first, head = (a.numpy() for a in (x, y, real, wanted, first, head))
    held, found = trained(x, y, first, head, steps, lr), []
    for omega in (lambda x, y: held, lambda x, y: trained(x, y, first, head, steps, lr)):
        for which in (0, 1):
            part = np.zeros_like((x, y)[which])
            for i in np.ndindex(*part.shape):
                sides = []
                for k in (-2, -1, 1, 2):
                    moved = [x.copy(), y.copy()]
                    moved[which][i] += k*h
                    sides.append(outer(omega(*moved), *moved, real, wanted, lam))
                part[i] = (sides[0] - 8*sides[1] + 8*sides[2] - sides[3])/(12*h)
            found.append(part)
    return found

def both(f, **a):
    "The function under test, flat: kept by x, by y, whole by x, by y."
    kept, full = f(**a)
    return [*kept, *full]

def toys(size):
    "A small net, a few images, up to three times as many steps as its size."
    sizes = wholes(1, 1 + size), wholes(1, 2), wholes(1, 3), wholes(1, 2), wholes(1, 4)
    tame = dict(kinds=['generic', 'zero', 'equal', 'lone'])
    def made(m, d_x, d, k, b):
        "One problem."
        return st.fixed_dictionaries(dict(
            x=tensors(m, d_x, **tame), y=tensors(m, k, **tame), real=tensors(b, d_x, **tame),
            wanted=tensors(b, k, **tame), first=tensors(d_x, d, **tame), head=tensors(d, k, **tame),
            steps=wholes(0, 3*size), lr=reals(0, .5), lam=reals(.1, 2)))
    return st.tuples(*sizes).flatmap(lambda s: made(*s))

def problem(seed, m=10, d_x=8, d=24, k=4, b=30):
    "Ten images, a net of 8-24-4, and a teacher of its own kind."
    rng = np.random.default_rng(seed)
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape))
    x, real = draw(m, d_x), draw(b, d_x)
    teacher, last = draw(d_x, d)/d_x**.5, draw(d, k)/d**.5
    say = lambda images: _tanh_layer(teacher, images) @ last
    return dict(x=x, y=say(x), real=real, wanted=say(real), first=draw(d_x, d)/d_x**.5, head=draw(d, k)/d**.5)

SMALL = problem(0, m=3, d_x=2, d=3, k=2, b=4) | dict(steps=4, lr=.2, lam=.05)
LINEAR = dict(x=n64(1.), y=n64(1.), real=n64(1.), wanted=n64(2.), first=n64(1.), head=n64(.25))

def by_hand(x, y, t, c, w, v, lr, lam):
    "Both gradients by x for one number and one step."
    moved = w - 2*lr*(w*x*v - y)*x*v
    slope = -2*lr*v*(2*w*x*v - y)
    below = moved**2*x**2 + lam
    error = 2*(moved**2*x*t*y/below - c)*t*y/below**2
    kept = error*moved**2*(lam - moved**2*x**2)
    return kept, kept + error*2*moved*x*lam*slope


# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
claim('krrst.hypergradients', 'The whole gradient is the kept one plus what the extractor\'s training adds.',
    of=hypergradients, source='ours',
    checks=[
        Check('finite differences', lambda f: np.concatenate([t.numpy().ravel() for t in both(f, **SMALL)]),
            lambda: np.concatenate([p.ravel() for p in by_differences(**SMALL)]), 1e-9,
            'five points with step 1e-4: rounding 1e-12, truncation 1e-16 times a fifth derivative'),
        Check('algebra', lambda f: [g[0].item() for g in f(**LINEAR, steps=1, lr=2., lam=3., features=times)],
            lambda: by_hand(1., 1., 1., 2., 1., .25, 2., 3.), 1e-13, 'one number, one step, by hand'),
        Check('limit', lambda f: [(a - b).abs().max().item() for a, b in zip(*f(**{**SMALL, 'steps': 0}))],
            lambda: [0., 0.], 1e-15, 'no inner step: nothing is dropped')],
    hunts=[Hunt(toys, by_differences, 'finite differences', 1e-6,
        'five points with step 1e-4, in numpy with slopes by hand',
        ours=both, sizes=(1, 2, 4), most=10, points=25)],
    refuses=[lambda f: f(**{**SMALL, 'steps': -1}), lambda f: f(**{**SMALL, 'lam': 0.})],
    equivalent={
        'F.mse_loss(features(weights[0], x) @ weights[1], y) → '
        'F.mse_loss(y, features(weights[0], x) @ weights[1])':
            'a square does not mind the order',
        'F.mse_loss(t @ (s.T @ alpha), wanted) → F.mse_loss(wanted, t @ (s.T @ alpha))':
            'a square does not mind the order',
        'w - lr * g → lr * g - w': 'tanh is odd: with both layers of other sign the net says the same'},
    mutants=[('w - lr*g', 'w + lr*g'), ('dual(s, y, lam)', 'dual(s, y, 2*lam)'),
             ('by(weights[0].detach()), by(weights[0])', 'by(first.detach()), by(weights[0])'),
             ('by(weights[0].detach())', '[2*t for t in by(weights[0].detach())]')])

# %% [markdown]
# ## How much is dropped?
#
# Ten synthetic images, a net of 8-24-4 with tanh, ten draws of everything; inner gradient descent with the rate 0.1. The cosine between what is kept and all of it, over images and targets together, as the extractor grows older:

# %%
AGES = 0, 1, 5, 20, 100, 400
def compared(kept, full):
    "Cosine, and the ratio of lengths, over all entries."
    kept, full = (torch.cat([t.flatten() for t in part]) for part in (kept, full))
    cosine = F.cosine_similarity(kept, full, dim=0)
    return cosine.item(), (kept.norm()/full.norm()).item()

def compare(seed, steps, lr=.1):
    "Cosine, and the ratio of lengths, of the kept gradient and the whole one."
    return compared(*hypergradients(**problem(seed), steps=steps, lr=lr, lam=1e-3))

found = {age: np.array([compare(seed, age) for seed in range(10)]) for age in AGES}

# %%
#| code-fold: true
lines = [[steps, f'{interval(c).mean:.4f} ± {interval(c).half:.4f}', f'{c.min():.4f}', f'{r.mean():.3f}']
         for steps, (c, r) in ((steps, f.T) for steps, f in found.items())]
Markdown(table(lines, ['age T', 'cosine, ten draws', 'least', 'kept : whole length']))

# %%
#| label: fig-cosine
#| fig-cap: "Cosine between the kept gradient and the whole one, against the age of the extractor: ten draws (light) and their mean."
#| fig-alt: "The cosine is one for an untrained extractor and falls slowly as the extractor gets older, in most draws staying near one."
#| classes: figcard
#| code-fold: true
fig, ax = plt.subplots()
at = range(len(AGES))
for seed in range(10): ax.plot(at, [found[a][seed, 0] for a in AGES], color=COLORS['sky'], lw=.8)
ax.plot(at, [found[a][:, 0].mean() for a in AGES], 'o-', color=COLORS['blue'])
ax.set(xlabel='age of the extractor [steps]', ylabel='cosine', xticks=at, xticklabels=AGES);

# %% [markdown]
# So in this toy the kept gradient points nearly where the whole one does, and less so the older the extractor.
#
# ## On digits
#
# Is that so for a ConvNet too? Ten digits and the features that another, untrained ConvNet has of them, 200 digits to judge by, [the small network of our runs](22_nets.ipynb), the paper's rate of 0.1. To differentiate through the training, batch norm uses the statistics of what it is given, the judges' too, and descent has no momentum: two simplifications that the runs do not make.

# %%
#| code-fold: true
#| code-summary: "A ConvNet as a function of one vector of weights, and the comparison"
#| tol: 0.01
digits, _ = source('digits', 'train', Views(1, False))
JUDGES = digits.plain(torch.arange(200))

def as_function(net):
    "Weights of a network in one vector, and its features as a function of that and of images."
    for part in net.double().modules():
        if isinstance(part, nn.BatchNorm2d): part.running_mean = part.running_var = None
    named = dict(net.named_parameters())
    def run(flat, x):
        "Features of images, for weights that may depend on them."
        parts = flat.split([p.numel() for p in named.values()])
        shaped = {k: part.view_as(p) for part, (k, p) in zip(parts, named.items())}
        return functional_call(net, shaped, x)
    return nn.utils.parameters_to_vector(named.values()).detach(), run

def on_digits(seed, steps):
    "Cosine and ratio of lengths for ten digits and a ConvNet."
    torch.manual_seed(seed)
    model = extractor('convnet-small', 1, 8)
    start, said = initial_set(digits, model, 10, seed), features(model, JUDGES)
    unit = lambda y: ((y - said.mean(0))/said.std()).double()
    flat, run = as_function(extractor('convnet-tiny', 1, 8))
    x, lam = start.x.double(), ridge_strength(run(flat, start.x.double()), 1e-6, 0.).item()
    head = torch.randn(128, said.shape[1]).double()/3/128**.5
    both = hypergradients(x, unit(start.y), JUDGES.double(), unit(said), flat, head, steps, .1, lam, run)
    return compared(*both)

conv = {age: np.array([on_digits(seed, age) for seed in range(5)]) for age in AGES}
lines = [[steps, f'{interval(c).mean:.3f} ± {interval(c).half:.3f}', f'{c.min():.3f}', f'{r.mean():.3f}']
         for steps, (c, r) in ((steps, f.T) for steps, f in conv.items())]
Markdown(table(lines, ['age T', 'cosine, five draws', 'least', 'kept : whole length']))


# %% [markdown]
# The same picture: a bias by randomness was traded for a truncation that is mild for young extractors and is felt in old ones. A member of the paper's pool is used at every age up to a thousand, so what its average step drops may be more than these four hundred show. On the images of the paper it was not measured. (Four hundred steps magnify rounding: another processor moves the last digit shown.)
#
# ## What if
#
# Predict first, then open.
#
# **1.** The pool holds only untrained extractors. How much of the gradient is dropped?
#
# <details><summary>Answer</summary>
#
# Nothing: $T=0$. The released code, whose pool is [untrained for most of the run](16_occupancy.ipynb), follows the whole gradient of the loss for random extractors, almost all of the time.
#
# </details>
#
# **2.** The inner rate is ten times smaller and there are ten times as many steps. Is about as much dropped?
#
# <details><summary>Answer</summary>
#
# About: for small rates descent follows a flow, and $\eta T$ is its time.
#
# </details>

# %%
def mean_cosine(steps, lr):
    "Over five draws."
    return np.mean([compare(seed, steps, lr)[0] for seed in range(5)])
round(mean_cosine(20, .1), 5), round(mean_cosine(200, .01), 5)

# %% [markdown]
# **3.** The kept gradient is zero. Is the set a stationary point of what one wants to lower?
#
# <details><summary>Answer</summary>
#
# Not necessarily: what is dropped may still be there. Such a set is one that no head and no image improves for the extractors *as they are*.
#
# </details>
#
# ## Where it lives
#
# `papers_nb.krrst.truncation`: theory. [The distiller](21_krrst.ipynb) follows the kept gradient.
