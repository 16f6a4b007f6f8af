# %% [markdown]
# # Copied weights forget what they learnt
#
# > The network that weighs the branches is soon switched off, and what it leaves behind becomes an even mean.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec): progressive weight copying as in the official code, `src/models/lirdrec.py`; statements and proofs are ours · 7 minutes · what you need first: softmax, [the recommender](21_lirdrec.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.copying

# %%
#| export
import math

import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from IPython.display import Markdown
from scipy.optimize import brentq, root
from scipy.special import expit, logit, softmax
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, scales, tensors, weights as shares, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
from papers_nb.lirdrec.lirdrec import Copying
theme()

# %% [markdown]
# ## The question
#
# Some users choose by the picture, others by the text. LIRDRec learns for each user how much each of three branches counts: a small network proposes weights, a memory keeps the last ones, and a schedule hands over from the one to the other. What do the weights look like in the end?
#
# ## One user
#
# The network is sure: logits 5, 0 and -5. Its weights are

# %%
weights = torch.tensor([5., 0., -5.]).softmax(0)
weights

# %% [markdown]
# At the start of the next epoch these are copied into the memory, and the memory is put through a softmax. Once the network is switched off, the same happens again every epoch:

# %%
for _ in range(4):
    weights = weights.softmax(0)
    print(weights.numpy().round(3))


# %% [markdown]
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $f$ | | logits that the network proposes, one a branch |
# | $\theta$ | | memory, one number a branch |
# | $a=\operatorname{softmax}(\omega f+(1-\omega)\theta)$ | | weights that are used |
# | $M$ | `branches` | branches |
# | $\omega_e$ | `next_weight`, `network_weight` | how much the network decides in epoch $e=1,2,\dots$ |
# | $\omega_0$, $\beta$ | `start`, `base` | before the first epoch, in (0, 1); base, in (0, 1) |
# | $s_m$ | `scores` | score of an item for the user in branch $m$ |
#
# ## Statement 1: the hand-over
#
# Every epoch sets $\omega_e=\beta^e\omega_{e-1}/(\beta^e\omega_{e-1}+1-\omega_{e-1})$. Then
#
# $$\omega_e=\Bigl[1+\frac{1-\omega_0}{\omega_0}\,\beta^{-e(e+1)/2}\Bigr]^{-1}.$$ {#eq-handover}
#
# *Why.* The step multiplies the odds $\omega/(1-\omega)$ by $\beta^e$. After $e$ steps they have been multiplied by $\beta^{1+2+\dots+e}=\beta^{e(e+1)/2}$.
#
# So the odds fall faster than exponentially. Network and memory are even at $e(e+1)/2=\ln(\text{odds}_0)/\ln(1/\beta)$, with $\text{odds}_0=\omega_0/(1-\omega_0)$, if $\omega_0\ge\frac12$; below, the memory decides more from the first epoch on.

# %%
#| exports
def next_weight(
    weight,      # ω of the epoch before, in (0, 1), a number or a tensor
    epoch: int,  # e, from 1
    base: float, # β, in (0, 1)
): # ω_e, like weight
    """How much the network decides, an epoch later.

    Source: official code, `src/models/lirdrec.py`."""
    odds = base**epoch*weight
    return odds/(odds + 1 - weight)

def network_weight(
    epoch: int,      # e, from 0
    start: float=.9, # ω_0, in (0, 1)
    base: float=.9,  # β, in (0, 1)
)->float: # ω_e
    "How much the network decides, against the memory. Source: ours."
    if epoch < 0 or not 0 < start < 1 or not 0 < base < 1:
        raise UserError(f'epoch={epoch}, start={start}, base={base}: epoch at least 0, '
                        'both others between 0 and 1')
    odds = start/(1 - start)*base**(epoch*(epoch + 1)/2)
    return odds/(1 + odds)

def hand_over(
    start: float=.9, # ω_0, in (0.5, 1)
    base: float=.9,  # β, in (0, 1)
)->float: # epochs, not rounded
    "The epoch in which network and memory decide evenly. Source: ours."
    if not .5 < start < 1 or not 0 < base < 1:
        raise UserError(f'start={start}, base={base}: between a half and 1, '
                        'and between 0 and 1')
    return (math.sqrt(1 + 8*math.log(start/(1 - start))/math.log(1/base)) - 1)/2


# %%
[round(network_weight(e), 4) for e in range(1, 13)]

# %%
#| code-fold: true
below = lambda s: next(e for e in range(100) if network_weight(e, s) < .01)
lines = [(s, f'{hand_over(s):.2f}', below(s)) for s in (.9, .95, .99)]
Markdown(table(lines, ('ω₀', 'even in epoch', 'below 1 % from epoch')))

# %% [markdown]
# The official code allows a thousand epochs. In all but about the first dozen of them the network decides next to nothing.

# %%
raises(network_weight, 1, start=1.)


# %% [markdown]
# ## Statement 2: a copy is a contraction
#
# With $\omega=0$, and as long as the memory is not trained in between, an epoch maps weights to weights by $a\mapsto\operatorname{softmax}(a)$.
#
# 1. The map has the single fixed point $(\frac1M,\dots,\frac1M)$, and any two lists of weights come closer by at least a half in every step.
# 2. Near the fixed point a step leaves $1/M$ of the distance.
# 3. After one step no weight is above
#
# $$\frac{e}{e+M-1},$$ {#eq-ceiling}
#
# however sure the network was.
#
# *Why.* The derivative of the softmax is $J=\operatorname{diag}(a)-aa^\top$, and $x^\top Jx$ is the variance of $x$ under the weights $a$, at most a quarter of the squared range of $x$; that range squared is at most twice the squared length: so $\|J\|\le\frac12$, and a contraction has one fixed point; even weights are one. There $J=\frac1M(I-\frac1M\mathbf 1\mathbf 1^\top)$, and differences of weights sum to zero, so a step leaves $1/M$ of them. A weight lies between 0 and 1, so the largest exponential is at most $e$ and the others are at least 1.
#
# The cause is that **probabilities are copied into a place for logits**. Two ways keep what was learnt: copy the logits, then a copy changes nothing; or mix probabilities with probabilities, $a=\omega\operatorname{softmax}(f)+(1-\omega)\hat\theta$ with $\hat\theta$ the memory as shares that sum to one.
#
# In a training the memory is a parameter too, and the loss moves it between copies. Let it add the same small $g$, with entries that sum to zero, in every epoch. Near even weights of three branches the balance $d=(d+g)/3$ gives $d=g/2$: what an epoch moved is divided by three at every copy after it.

# %%
#| exports
def copied(
    weights: Tensor, # on the last axis, sum to one
    times: int,      # epochs with the network switched off and the memory at rest
)->Tensor: # like weights
    """Weights after repeated copying into the place of logits.

    Source: official code, `src/models/lirdrec.py`."""
    for _ in range(times): weights = weights.softmax(-1)
    return weights

def ceiling(
    branches: int, # M
)->float:
    "The largest weight that can be left after one full copy. Source: ours."
    if branches < 1:
        raise UserError(f'branches={branches}: at least 1')
    return math.e/(math.e + branches - 1)


# %%
ceiling(3), copied(torch.tensor([1., 0., 0.]), 1)


# %% [markdown]
# ## Statement 3: who is still taught
#
# The score of an item is the mixture $s=\sum_ma_ms_m$ of its scores in the branches. By the memory and by what the network proposes its gradients are
#
# $$
# \begin{aligned}
# \frac{\partial s}{\partial\theta_m}&=(1-\omega)\,a_m(s_m-s),\\
# \frac{\partial s}{\partial f_m}&=\omega\,a_m(s_m-s).
# \end{aligned}
# $$ {#eq-taught}
#
# *Why.* Rows of branches stand side by side, and those of users are scaled by $a_m$, so scores add up. The logits are $z=\omega f+(1-\omega)\theta$, and $\partial a_k/\partial z_m=a_k([k=m]-a_m)$, so $\partial s/\partial z_m=a_ms_m-a_ms$.
#
# BPR raises the difference of two such scores, so the logit of a branch rises where its own difference, taken against drawn, is larger than the mixture's: that is what the module is for. (Its weight can still fall where the logit of a heavier branch rises more, as for weights 0.6, 0.39, 0.01 and differences 1, -2, 0.) But the gradient of the network is scaled by the same $\omega$ that hands over: **once it no longer decides, it is no longer taught**. (Adam divides by the size of past gradients, so it may move the network on for a while; nothing uses what it then proposes.) The memory is taught from then on, and every copy takes most of it back.

# %%
#| exports
def taught(
    weights: Tensor, # a, sum to one, (M,)
    scores: Tensor,  # s, of one item in each branch, (M,)
    mix: float,      # ω
)->tuple[Tensor, Tensor]: # by the memory, by what the network proposes, (M,) each
    """Gradients of the score by the two sources of the weights.

    Source: ours, for official code, `src/models/lirdrec.py`."""
    by_logits = weights*(scores - weights @ scores)
    return (1 - mix)*by_logits, mix*by_logits


# %%
taught(torch.tensor([.5, .3, .2]), torch.tensor([2., 1., 0.]), network_weight(10))


# %% [markdown]
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).

# %%
def by_recursion(epochs, start, base):
    "The schedule as training runs it."
    found = [start]
    for e in range(1, epochs + 1): found.append(next_weight(found[-1], e, base))
    return found[1:]

by_recursion(3, .9, .9)


# %%
#| code-fold: true
#| code-summary: "The claim about one epoch, its routes and its edits"
def in_odds(weight, epoch, base):
    "The step in fractions, by the odds."
    w, b = map(Fraction, (weight, base))
    odds = w/(1 - w)*b**epoch
    return float(odds/(1 + odds))

claim('lirdrec.next_weight', 'An epoch multiplies the odds of the network by $\\beta^e$.',
    of=next_weight, source='official code, src/models/lirdrec.py',
    checks=[Check('trusted implementation', lambda f: [f(w, e, .9) for w in (.2, .7) for e in (1, 2, 9)],
                  lambda: [expit(logit(w) + e*math.log(.9)) for w in (.2, .7) for e in (1, 2, 9)], 1e-14,
                  'float64; scipy.special'),
            Check('limit', lambda f: [f(.5, 1, .25), f(.9, 5000, .5), f(.3, 7, 1 - 1e-15)],
                  lambda: [.2, 0., .3], 1e-13, 'even odds; late; a base of nearly one')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(weight=reals(1e-6, 1 - 1e-6, .5),
                    epoch=wholes(1, size), base=reals(1e-3, 1 - 1e-6))), in_odds, 'algebra', 1e-9,
                'fractions; odds + 1 - ω is 1e-6 at least and keeps ten digits', sizes=(1, 3, 10, 60),
                most=1000)],
    mutants=[('base**epoch', 'base*epoch'), ('+ 1 - weight', '+ 1'), ('+ 1 - weight', '+ 1 + weight')])

# %%
#| code-fold: true
#| code-summary: "The claim about the schedule, its routes and its edits"
starts = (.9, .9), (.99, .8), (.5, .95)
claim('lirdrec.network_weight',
    'The network decides with the weight $[1+\\frac{1-\\omega_0}{\\omega_0}\\beta^{-e(e+1)/2}]^{-1}$.',
    of=network_weight, source='ours',
    checks=[Check('brute force', lambda f: [f(e, s, b) for s, b in starts for e in range(1, 21)],
                  lambda: [w for s, b in starts for w in by_recursion(20, s, b)], 1e-13,
                  'float64, 20 divisions'),
            Check('limit', lambda f: [f(0, .7, .3), f(9, .5, 1 - 1e-12), f(60, .9, .9)],
                  lambda: [.7, .5, 0.], 1e-9, 'before the first epoch; a base of nearly one; late')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(epoch=wholes(0, size)),
                    optional=dict(start=reals(1e-6, 1 - 1e-6, .5),
                                  base=reals(1e-3, 1 - 1e-6) | scales(1e-6, .5).map(lambda e: 1 - e))),
                lambda epoch, start=.9, base=.9: [start, *by_recursion(epoch, start, base)][-1],
                'brute force', 1e-9, 'float64; ω near 1 keeps ten digits of its distance',
                sizes=(1, 3, 10, 60), most=1000)],
    refuses=[lambda f: f(-1), *[lambda f, s=s: f(1, start=s) for s in (0., 1.)],
             *[lambda f, b=b: f(1, base=b) for b in (0., 1.)]],
    mutants=[('(epoch + 1)/2', '(epoch + 1)'), ('start/(1 - start)', '(1 - start)/start'),
             ('epoch*(epoch + 1)', 'epoch*epoch')])

# %%
#| code-fold: true
#| code-summary: "The claim about the even epoch, its routes and its edits"
even = lambda s, b: root(lambda e: s/(1 - s)*b**(e[0]*(e[0] + 1)/2) - 1, [5.]).x[0]
def between(start, base):
    "The epoch by linear interpolation of the log-odds between whole epochs of the recursion."
    odds = [math.log(w/(1 - w)) for w in [start, *by_recursion(30, start, base)]]
    e = next(i for i, o in enumerate(odds) if o < 0)
    return e - 1, e

def by_bracket(start=.9, base=.9):
    "Where the logarithm of the odds is zero, between the start and a very late epoch."
    odds = lambda e: math.log(start) - math.log1p(-start) + e*(e + 1)/2*math.log(base)
    return brentq(odds, 0, 1e7, xtol=1e-13)

def inside(f, s, b):
    "1 if an epoch lies between the two around it."
    low, high = between(s, b)
    return float(low <= f(s, b) <= high)

starts = (.9, .9), (.99, .9), (.95, .8)
claim('lirdrec.hand_over',
    'Network and memory decide evenly at '
    '$\\frac12(\\sqrt{1+8\\ln(\\text{odds}_0)/\\ln(1/\\beta)}-1)$.', of=hand_over, source='ours',
    checks=[Check('trusted implementation', lambda f: [f(*s) for s in starts],
                  lambda: [even(*s) for s in starts], 1e-7, 'tolerance of scipy.optimize.root, about 1e-8'),
            Check('brute force', lambda f: [inside(f, *s) for s in starts], lambda: [1., 1., 1.], 1e-2,
                  'between the two whole epochs around it, yes or no')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries({}, optional=dict(
                    start=reals(.5 + 1e-6, 1 - 1e-6), base=reals(1e-3, 1 - 10.**-size))), by_bracket,
                'trusted implementation', 1e-9, 'scipy.optimize.brentq; float64', sizes=(1, 3, 6), most=9)],
    refuses=[*[lambda f, s=s: f(s) for s in (.5, 1.)], *[lambda f, b=b: f(base=b) for b in (0., 1.)]],
    mutants=[('1 + 8*', '1 + 4*'), ('- 1)/2', '+ 1)/2'), ('math.log(1/base)', 'base')])


# %%
def by_hand(weights, times):
    "Repeated softmax with exponentials written out."
    for _ in range(times):
        whole = sum(map(math.exp, weights))
        weights = [math.exp(a)/whole for a in weights]
    return weights

def shrinking(M, step=1e-4):
    "How much a small difference from even weights is left after one softmax of scipy."
    start = np.full(M, 1/M) + step*np.r_[1, -1, np.zeros(M - 2)]
    return (softmax(start) - 1/M)[0]/step

by_hand((.9, .1, 0.), 2), shrinking(3)

# %%
#| code-fold: true
#| code-summary: "The claim about copying, its routes and its edits"
as64 = lambda *a: torch.tensor(a, dtype=torch.float64)

def rows(size, **more):
    "Weights of some users, one row each."
    return st.tuples(wholes(1, 3), wholes(1, size)).flatmap(lambda n: st.fixed_dictionaries(
        dict(weights=st.tuples(*[shares(n[1])]*n[0]).map(torch.stack), **more)))

def closer(f, one, other):
    "By how much the distance after a copy is above half of that before."
    return max(0, ((f(one, 1) - f(other, 1)).norm() - (one - other).norm()/2).item())

def left(f, M, step=1e-4):
    "How much of a small difference from even weights one copy leaves."
    start = as64(*[1/M]*M)
    start[0], start[1] = start[0] + step, start[1] - step
    return (f(start, 1)[0].item() - 1/M)/step

claim('lirdrec.copied',
    'Copied into the place of logits, weights go to even ones, near them by a factor $1/M$ a step.',
    of=copied, source='official code, src/models/lirdrec.py; derivation ours',
    checks=[Check('brute force', lambda f: [*f(as64(.9, .1, 0.), 3), *f(as64(.2, .8), 1)],
                  lambda: [*by_hand((.9, .1, 0.), 3), *by_hand((.2, .8), 1)], 1e-14, 'float64'),
            Check('brute force', lambda f: f(as64([[.2, .8], [.5, .5]]), 1).flatten(),
                  lambda: [*by_hand((.2, .8), 1), .5, .5], 1e-14, 'float64; three axes'),
            Check('finite differences', lambda f: [left(f, M) for M in (2, 3, 5)],
                  lambda: [1/2, 1/3, 1/5], 1e-4,
                  'step 1e-4: its size times the second derivative, below one'),
            Check('limit', lambda f: f(as64(1., 0., 0., 0.), 40), lambda: [.25]*4, 1e-12, 'forty halvings')],
    hunts=[Hunt(lambda size: rows(size, times=wholes(0, 5)),
                lambda weights, times: [by_hand(row, times) for row in weights.tolist()],
                'brute force', 1e-12, 'exponentials written out; float64'),
           Hunt(lambda size: wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
                    dict(one=shares(n), other=shares(n)))), lambda **a: 0., 'limit', 1e-12,
                'two lists come closer by a half at least', ours=closer)],
    mutants=[('range(times)', 'range(times + 1)'), ('weights.softmax(-1)', 'weights.exp()'),
             ('weights.softmax(-1)', '(5*weights).softmax(-1)')])


# %%
#| code-fold: true
#| code-summary: "The claim about the ceiling, its routes and its edits"
def highest(M, n=20_000):
    "The largest weight after one softmax, over corners and many random lists of weights."
    lists = np.r_[np.random.default_rng(0).dirichlet(np.full(M, .3), n), np.eye(M)]
    return softmax(lists, axis=1).max()

claim('lirdrec.ceiling', 'After one full copy no weight is above $e/(e+M-1)$.', of=ceiling, source='ours',
    checks=[Check('brute force', lambda f: [f(2), f(3), f(7)], lambda: [highest(2), highest(3), highest(7)],
                  1e-12, 'reached at a corner; no random list is higher'),
            Check('limit', lambda f: [f(1), f(10**9)], lambda: [1., 0.], 1e-8, 'a single branch; very many')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(branches=wholes(1, size))),
                lambda branches: softmax(np.r_[1, np.zeros(branches - 1)])[0], 'trusted implementation',
                1e-12, 'scipy.special.softmax of a network that is sure', sizes=(1, 10, 1000), most=100_000),
           Hunt(lambda size: rows(size), lambda weights: 0., 'brute force', 1e-12, 'no weights end higher',
                ours=lambda f, weights: max(0, softmax(weights.numpy(), 1).max() - f(weights.shape[1])))],
    refuses=[lambda f: f(0)],
    mutants=[('branches - 1', 'branches'), ('math.e/(', '1/('), ('math.e + branches', '1 + branches')])

# %%
F, MEMORY, SCORES = as64(.4, -1., .3), as64(.2, .5, .3), as64(1.5, -.2, .7)

def mixed_score(f, memory, mix):
    "The score in numpy, from logits."
    z = mix*np.asarray(f) + (1 - mix)*np.asarray(memory)
    return softmax(z) @ SCORES.numpy()

def by_copying(mix):
    "Gradients through the module of the recommender itself."
    made = Copying(users=1, branches=3, dim=4).double()
    made.mix.fill_(mix)
    made.memory.data[0] = MEMORY
    rows = [torch.full((1, 4), float(k), dtype=torch.float64) for k in range(3)]
    for net, f in zip(made.nets, F):
        for p in net.parameters(): p.data.zero_()
        net[2].bias.data.fill_(f.item())
    (made(rows)[0] @ SCORES).backward()
    return torch.cat([made.memory.grad[0], *(net[2].bias.grad for net in made.nets)])

def through_torch(weights, scores, mix):
    "Both gradients by torch, where network and memory agree on the weights."
    memory, f = (weights.log().requires_grad_() for _ in range(2))
    score = (mix*f + (1 - mix)*memory).softmax(0) @ scores
    return torch.autograd.grad(score, (memory, f))

def by_differences(mix, h=1e-6):
    "Central differences in numpy, by the memory and by the proposals."
    f, memory, small = F.numpy(), MEMORY.numpy(), np.eye(3)*h
    by_memory = lambda d: mixed_score(f, memory + d, mix)
    by_network = lambda d: mixed_score(f + d, memory, mix)
    return [(s(d) - s(-d))/(2*h) for s in (by_memory, by_network) for d in small]

by_copying(.3)

# %%
#| code-fold: true
#| code-summary: "The claim about who is taught, its routes and its edits"
of_mix = lambda f, mix: torch.cat(f((mix*F + (1 - mix)*MEMORY).softmax(0), SCORES, mix))
claim('lirdrec.taught',
    'The score teaches the memory by $(1-\\omega)a_m(s_m-s)$ and the network by $\\omega a_m(s_m-s)$.',
    of=taught, source='ours, for official code, src/models/lirdrec.py',
    checks=[Check('trusted implementation', lambda f: of_mix(f, .3), lambda: by_copying(.3), 1e-14,
                  'float64, torch autograd through the module'),
            Check('finite differences', lambda f: [*of_mix(f, .3), *of_mix(f, .9)],
                  lambda: [*by_differences(.3), *by_differences(.9)], 1e-9,
                  'central differences with step 1e-6'),
            Check('limit', lambda f: torch.stack(f(as64(.2, .8), as64(3., 3.), .5)),
                  lambda: torch.zeros(2, 2), 1e-14, 'branches that agree teach nothing')],
    hunts=[Hunt(lambda size: wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
                    dict(weights=shares(n, .01/n), scores=tensors(n), mix=reals(0, 1)))), through_torch,
                'trusted implementation', 1e-10, 'torch autograd; float64, scores up to 1e5')],
    equivalent={'weights @ scores → scores @ weights': 'an inner product'},
    mutants=[('(1 - mix)*by_logits, mix', 'mix*by_logits, (1 - mix)'), ('weights*(scores', '(scores'),
             ('scores - weights @ scores', 'scores')])


# %% [markdown]
# ## Picture
#
# Weights of three branches for one user: the network proposes the logits of the slider, times (1, 0, -1), and never changes its mind; the memory moves only by copying, so that everything seen is the schedule's doing.

# %%
#| hide
def course(sure, ax):
    "Weights over epochs, and how much the network decides."
    f, memory, found = torch.tensor([1., 0., -1.])*sure, torch.full((3,), 1/3), []
    for e in range(1, 31):
        w = network_weight(e)
        memory = (w*f + (1 - w)*memory).softmax(0)
        found.append(memory)
    for k, color in enumerate(('blue', 'sky', 'purple')):
        ax.plot(range(1, 31), torch.stack(found)[:, k], color=COLORS[color], label=f'branch {k + 1}')
    ax.plot(range(1, 31), [network_weight(e) for e in range(1, 31)], '--', color=COLORS['grey'], label='ω')
    ax.set(xlabel='epoch', ylabel='weight', ylim=(-.03, 1.03))
    ax.legend(loc='upper right')


# %%
#| label: fig-course
#| fig-cap: "Weights of three branches for one user (solid) and the weight ω of the network (dashed). The slider moves how sure the network is."
#| echo: false
slider('size of logits', [.3, 1, 2, 5, 10], course,
    'At every place of the slider the three solid lines meet at a third about when the dashed one '
    'reaches zero; a surer network holds out a few epochs longer.', start=2)

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** Two users with opposite tastes, one sure of the picture, one of the text. What distinguishes their weights after twenty copies with the network switched off?
#
# <details><summary>Answer</summary>
#
# As long as the memory moves by copying alone, nothing that counts: both have even weights to nine digits. Their own rows still differ, in all three branches.
#
# </details>

# %%
copied(torch.tensor([[1., 0., 0.], [0., 1., 0.]]), 20)

# %% [markdown]
# **2.** A base of 0.999 instead of 0.9. When is the network at an even share, from 0.9?
#
# <details><summary>Answer</summary>
#
# Later: for large epochs by the root of the ratio of $1/\ln(1/\beta)$.
#
# </details>

# %%
hand_over(.9, .9), hand_over(.9, .999)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.copying`. All kinds of copying are in [the recommender](21_lirdrec.ipynb); what they do to a list is measured by [the training](31_train.ipynb).
