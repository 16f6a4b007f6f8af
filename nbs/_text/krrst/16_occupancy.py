# %% [markdown]
# # A counter that is not set back empties the pool of trained networks
#
# > One missing assignment decides whether nearly every step of the distillation sees a trained extractor, or nearly none.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `model_pool.py`, `distill.py`; statements and proofs are ours · 8 minutes · what you need first: [the words](01_background.ipynb), [the distiller](21_krrst.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.occupancy

# %%
#| export
import math

import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from collections import Counter
from fractions import Fraction
from itertools import product
import numpy as np
from hypothesis import strategies as st
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.krrst.krrst import ModelPool
theme()


# %% [markdown]
# ## The question
#
# KRR-ST improves its images with the help of a **pool** of networks, each partly trained on the images as they are. Every outer step picks one of them, uses it as a feature extractor, then gives it one training step more. One that has had enough steps is replaced by a fresh one, so that the images serve young and old extractors alike.
#
# For that each member has a counter. The released code replaces a member whose counter has reached its end, and leaves the counter where it is. What does that do?
#
# ## One member
#
# A member has had one step when the distillation begins, and is replaced after $Z=2$. This is what the code does each time it is picked; we note how many steps the network has had when it is **used**:

# %%
def member(age, lifetime, picks, reset_counter):
    "Age of one member at each of its picks, by the rules of the code."
    counter, used = age, []
    for _ in range(picks):
        used.append(age)
        if counter >= lifetime: age, counter = 0, 0 if reset_counter else counter
        else: age, counter = age + 1, counter + 1
    return used

member(1, 2, 8, reset_counter=True), member(1, 2, 8, reset_counter=False)


# %% [markdown]
# With the counter set back, one pick in three meets a network that has learnt nothing. Without, every pick from the third on does: the counter still says 2, so the fresh network is thrown away before its first step, and the next one too.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $L$ | | members of the pool |
# | $Z$ | `lifetime` | steps after which a member is replaced |
# | $t_l$ | `ages` | steps that member $l$ has had at the start, $0\le t_l\le Z$; its counter says the same |
# | $N$ | `steps` | outer steps |
# | $n$ | `step` | an outer step, from 0 |
# | $j$ | `picks` | how often a member has been picked before |
# | $K_l$ | | how often member $l$ is picked in $N$ steps |
# | $a_l(j)$ | | its age, in training steps, when it is used then |
#
# The official code draws $t_l$ evenly from $1,\dots,Z-1$. An extractor is called **trained** if its age is at least 1.
#
# ## Statement 1: the age of a member
#
# With the counter set back, and as released,
#
# $$
# \begin{aligned}
# a_l(j)&=(t_l+j)\bmod(Z+1),\\
# a_l(j)&=\begin{cases}t_l+j&\text{if }t_l+j\le Z\\0&\text{else.}\end{cases}
# \end{aligned}
# $$ {#eq-age}
#
# *Why.* As long as the counter is below $Z$, a pick raises age and counter by one, so both are $t_l+j$. At age $Z$ the member is used once more and then replaced: the next age is 0. With the counter at 0 too this is the start of a cycle of $Z+1$ picks, of the ages 0 to $Z$. With the counter at $Z$ it is replaced at every pick from then on, and its age is 0 at each.

# %%
#| exports
def _whole(name, value, low, high=math.inf):
    "Refuse what is no whole number of a range."
    if not low <= value <= high or value % 1:
        raise UserError(f'{name}={value}: a whole number from {low} to {high} is '
                        'expected')

def age_at_use(
    age: int,      # t, at the start, from 0 to Z
    picks: Tensor, # j, how often it was picked before, int64, any shape
    lifetime: int, # Z, at least 0
    reset_counter: bool=True, # False: as the released code
)->Tensor: # like picks, in training steps
    """Training steps that a member of the pool has had when it is used.

    Raises `UserError` for an age outside 0 to Z and for picks below 0.
    Source: official code, `model_pool.py`."""
    _whole('lifetime', lifetime, 0)
    _whole('age', age, 0, lifetime)
    _whole('picks', picks.min().item(), 0)
    steps = age + picks
    if reset_counter: return steps % (lifetime + 1)
    return torch.where(steps > lifetime, 0, steps)


# %%
age_at_use(1, torch.arange(8), 2), age_at_use(1, torch.arange(8), 2, False)

# %%
raises(age_at_use, 3, torch.arange(8), 2)


# %% [markdown]
# ## Statement 2: the share of steps that see a trained extractor
#
# Let $c_l(k)$ be the number of trained ones among the first $k$ uses of member $l$. The members are picked evenly, so $K_l$ is binomial, $N$ tries with probability $1/L$, and the expected share is
#
# $$\frac1N\sum_{l=1}^L\mathbb E\,c_l(K_l).$$ {#eq-share}
#
# For $t_l\ge1$, as released and with the counter set back,
#
# $$
# \begin{aligned}
# c_l(k)&=\min(k,\,Z-t_l+1),\\
# c_l(k)&=k-\Bigl\lfloor\frac{t_l+k-1}{Z+1}\Bigr\rfloor.
# \end{aligned}
# $$ {#eq-count}
#
# *Why.* Each step uses one member, so the trained uses are the sum of those of all members, and expectations add up although the $K_l$ depend on each other. As released, the ages $t_l,\dots,Z$ are the trained ones, each met once. With the counter set back, the untrained ones are the multiples of $Z+1$ among $t_l,\dots,t_l+k-1$.
#
# Two bounds hold for **every run**, whatever is picked:
#
# - as released, at most $\frac1N\sum_l(Z-t_l+1)$ of the steps see a trained extractor (for $t_l\ge1$), and exactly that many once all members are used up. More steps do not help: the share goes to 0;
# - with the counter set back, the share differs from $\frac Z{Z+1}$ by less than $L/N$: of $k$ picks in a row of one member, the whole number just below or just above $k/(Z+1)$ are untrained; that is less than one off, and there are $L$ members.

# %%
#| exports
def _pick_law(steps, members):
    "Probability that one member is picked 0, 1, … `steps` times."
    others = torch.arange(steps, -1, -1, dtype=torch.float64)
    ways = torch.lgamma(steps - others + 1) + torch.lgamma(others + 1)
    return (torch.xlogy(others, members - 1) - ways).softmax(0)

def trained_share(
    ages: list[int], # t, one a member, from 0 to Z
    lifetime: int,   # Z, at least 0
    steps: int,      # N, outer steps, at least 1
    reset_counter: bool=True, # False: as the released code
)->float:
    """Expected share of outer steps whose extractor was trained, by at least one step.

    Raises `UserError` for no member, no step or an age outside 0 to Z. Source: ours."""
    _whole('steps', steps, 1)
    _whole('members', len(ages), 1)
    picks = torch.arange(steps)
    trained = sum(age_at_use(age, picks, lifetime, reset_counter) > 0 for age in ages)
    law = _pick_law(steps, len(ages))
    return (law[1:] @ trained.cumsum(0).double()).item()/steps


# %% [markdown]
# The pool of the official code, ten members with $Z=1000$, at its 160,000 outer steps; the start ages are drawn as there. First with the counter set back, then as released, then the bound:

# %%
L, Z, N = 10, 1000, 160_000
ages = np.random.default_rng(0).integers(1, Z, L).tolist()
bound = sum(Z - t + 1 for t in ages)/N
trained_share(ages, Z, N), trained_share(ages, Z, N, False), bound

# %%
#| code-fold: true
mean, sd = L*(Z/2 + 1)/N, (L*((Z - 1)**2 - 1)/12)**.5/N
print(f'bound over the draw of start ages: mean {mean:.2%}, standard deviation {sd:.2%}')
print(f'Z/(Z + 1) is {Z/(Z + 1):.4%}, and L/N {L/N:.4%}')

# %%
raises(trained_share, [], 5, 10), raises(trained_share, [1], 5, 0)


# %% [markdown]
# Averaged over the draw of start ages the bound is $10\cdot501/160{,}000$, one step in thirty-two, and these steps come first; with the counter set back it is all but one in 1001. What the rest of the released pool sees are random networks, each with other weights. That is not nothing, random features carry some information, but it is another algorithm than the one described. **Whether the published numbers came from this code is unknown.**
#
# ## Statement 3: which ages are seen, and when
#
# Before outer step $n$ a member has been picked $J$ times, binomial with $n$ tries. The age at use is $a_l(J)$ with $l$ even among the members. With the counter set back:
#
# 1. if start ages are drawn evenly from $0,\dots,Z$, then at *every* step each age is equally likely;
# 2. whatever the start ages, with $L\ge2$ the law goes to the even one, though slowly for a large $Z$, after a number of steps in proportion to $LZ^2$: each of its waves $m=1,\dots,Z$ shrinks by $\left[1-\frac{2(L-1)}{L^2}\bigl(1-\cos\frac{2\pi m}{Z+1}\bigr)\right]^{1/2}$ a step;
# 3. with start ages drawn from $1,\dots,Z-1$, as in the code ($Z\ge2$), the mean age lies between $\frac Z2-1$ and $\frac Z2+1$ at every step.
#
# *Why.* (1) A shift of an even law on a circle of $Z+1$ places is even. (2) A pick multiplies the wave $\omega^a$ with $\omega=e^{2\pi im/(Z+1)}$ by $\omega$ and no pick leaves it, so a step multiplies it on average by $(L-1+\omega)/L$, whose squared size is $1-2(L-1)(1-\cos\frac{2\pi m}{Z+1})/L^2$: below 1 for all $m\ne0$, largest at $m=1$. (3) The mean here is over start ages, with the number of picks $r$ held; a pool whose start ages were drawn once, as that in the table, may lie outside. The draw is the even one without the places 0 and $Z$. After a shift by $r$ these are $r$ and $r-1$ (or 0 and $Z$), so the mean is
#
# $$
# \begin{aligned}
# \frac{\frac{Z(Z+1)}2-(2r-1)}{Z-1},\quad 1\le r\le Z,
# \end{aligned}
# $$ {#eq-mean}
#
# which falls from $\frac Z2+1$ to $\frac Z2-1$; for $r=0$ it is $\frac Z2$.

# %%
#| exports
def age_law(
    ages: list[int], # t, one a member, from 0 to Z
    lifetime: int,   # Z, at least 0
    step: int,       # n, an outer step, from 0
    reset_counter: bool=True, # False: as the released code
)->Tensor: # float64 (Z + 1,)
    """Probability that the extractor of an outer step has the age 0, 1, … Z.

    Raises `UserError` for no member, a step below 0 or an age outside 0 to Z.
    Source: ours."""
    _whole('step', step, 0)
    _whole('members', len(ages), 1)
    picks, law = torch.arange(step + 1), _pick_law(step, len(ages))
    found = [torch.bincount(age_at_use(age, picks, lifetime, reset_counter), law,
                            lifetime + 1) for age in ages]
    return sum(found)/len(ages)


# %% [markdown]
# The mean age at use, with the counter set back and as released, at the start, after 3,000 steps and after 160,000:

# %%
def mean_age(step, reset_counter):
    "Of the pool above."
    law = age_law(ages, Z, step, reset_counter)
    return round((law @ torch.arange(Z + 1.).double()).item(), 1)

[[mean_age(n, reset) for n in (0, 3000, 160_000)] for reset in (True, False)]

# %% [markdown]
# (Half of $Z$ is the mean over the draw of start ages; these are ten particular ones.)

# %%
raises(age_law, [1, 2], 5, -1)


# %% [markdown]
# ## Is it true?
#
# Each route takes another way, and a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)); each claim is [hunted](../core/hunt.ipynb). First the pool that [the training](31_distill.ipynb) uses, its own picks and its own bookkeeping, with members that only count:

# %%
class Counted:
    "A member without a network."
    def __init__(self, steps=0): self.steps = steps
    def train(self, x, y): self.steps += 1

class Counting(ModelPool):
    "The pool of the training; its members count."
    def __init__(self, ages, lifetime, reset_counter=True, seed=0):
        self.lifetime, self.reset_counter, self.seed = lifetime, reset_counter, seed
        self.members, self.counters = [Counted(t) for t in ages], list(ages)
    def _fresh(self): return Counted()

def used(pool, steps):
    "Ages at use over outer steps."
    for step in range(steps):
        k = pool.pick(step)
        yield pool.members[k].steps
        pool.after(k, None, None)

list(used(Counting([1], 2), 8)), list(used(Counting([1], 2, False), 8))


# %%
#| code-fold: true
#| code-summary: "The claim about one member, its routes and its edits"
def lives(size):
    "A member of any age, and a number of picks."
    return wholes(0, size).flatmap(lambda Z: st.fixed_dictionaries(dict(
        age=wholes(0, Z), lifetime=st.just(Z),
        picks=wholes(0, 4*size).map(lambda n: torch.arange(n + 1))),
        optional=dict(reset_counter=st.booleans())))

def by_rules(age, picks, lifetime, reset_counter=True):
    "The rules of the code, pick by pick."
    return member(age, lifetime, len(picks), reset_counter)

def by_count(age, picks, lifetime, reset_counter=True):
    "Trained ones among the first k uses, for every k, by whole numbers."
    k, Z = picks.numpy() + 1, lifetime
    if not reset_counter: return np.maximum(np.minimum(k, Z - age + 1) - (age == 0), 0)
    return k - np.floor_divide(age + k - 1, Z + 1) - (age == 0)

eight = torch.arange(8)
some = (1, 2, True), (1, 2, False), (0, 3, False), (0, 3, True)
claim('krrst.age_at_use', 'A member is used at the ages $(t+j)\\bmod(Z+1)$, '
    'and as released at $t+j$ up to $Z$, then at 0.',
    of=age_at_use, source='official code, model_pool.py; the formula is ours',
    checks=[
        Check('trusted implementation', lambda f: [f(t, eight, Z, r).tolist() for t, Z, r in some],
            lambda: [list(used(Counting([t], Z, r), 8)) for t, Z, r in some], 1e-9,
            'whole numbers; the pool of the training'),
        Check('limit', lambda f: [*f(0, eight, 0), *f(0, eight, 0, False), *f(3, 0*eight, 7, False),
                                  *f(1, eight, 1)],
            lambda: [0]*16 + [3]*8 + [1, 0]*4, 1e-9,
            'whole numbers; never trained, never picked, replaced after one step')],
    hunts=[Hunt(lives, by_rules, 'brute force', 1e-9, 'whole numbers'),
           Hunt(lives, by_count, 'algebra', 1e-9, 'whole numbers; the trained among the first uses',
                ours=lambda f, **a: (f(**a) > 0).cumsum(0))],
    refuses=[lambda f: f(3, eight, 2), lambda f: f(-1, eight, 2), lambda f: f(0, eight, -1),
             lambda f: f(0, eight - 1, 2), lambda f: f(.5, eight, 2), lambda f: f(float('nan'), eight, 2),
             lambda f: f(0, eight, .5)],
    equivalent={"_whole('lifetime', lifetime, 0) → _whole('lifetime', lifetime, -1)":
                'no age fits a life of -1: refused all the same'},
    mutants=[('(lifetime + 1)', '(lifetime + 2)'), ('steps > lifetime', 'steps >= lifetime'),
             ('age + picks', 'picks + 2*age'), ('lifetime, 0, steps', 'lifetime, 1, steps')])


# %% [markdown]
# **The share**: in fractions over all orders in which members can be picked, by simulation, and by a chain over ages and counters, which knows no binomial.

# %%
#| code-fold: true
#| code-summary: "Other routes to the share and to the ages"
def over_all_orders(ages, lifetime, steps, reset_counter):
    "The share in fractions: every order of picks, each as likely as any other."
    orders, total = list(product(range(len(ages)), repeat=steps)), 0
    for order in orders:
        for k, t in enumerate(ages):
            total += sum(a > 0 for a in member(t, lifetime, order.count(k), reset_counter))
    return float(Fraction(total, steps*len(orders)))

def chain(ages, lifetime, reset_counter=True):
    "The law of the age at use, step after step, from all that a member can become."
    part, states = 1/len(ages), Counter()
    for t in ages: states[t, t] += part
    while True:
        law, after = np.zeros(lifetime + 1), Counter()
        for (age, counter), p in states.items():
            law[age] += p
            after[age, counter] += p*(1 - part)
            new = (age + 1, counter + 1) if counter < lifetime else (0, 0 if reset_counter else counter)
            after[new] += p*part
        yield law
        states = after

def by_chain(steps, **pool):
    "The share of trained ones over the first steps of the chain."
    return np.mean([1 - law[0] for law, _ in zip(chain(**pool), range(steps))])

def at_step(step, **pool):
    "The law of the chain at one step."
    return next(law for law, n in zip(chain(**pool), range(step + 1)) if n == step)

def pools(size, **more):
    "Pools of any start ages."
    return wholes(0, size).flatmap(lambda Z: st.fixed_dictionaries(dict(
        ages=st.lists(wholes(0, Z), min_size=1, max_size=6), lifetime=st.just(Z), **more),
        optional=dict(reset_counter=st.booleans())))


# %%
#| code-fold: true
#| code-summary: "The claim about the share, its routes and its edits"
RUNS, SAMPLED = 400, ([1, 3, 0], 4, 12)
def simulated(reset_counter):
    "Mean share over runs of the training's pool, each with its own picks."
    ages, lifetime, steps = SAMPLED
    runs = [used(Counting(ages, lifetime, reset_counter, seed), steps) for seed in range(RUNS)]
    return np.mean([np.mean([a > 0 for a in run]) for run in runs])

small = ([1, 2], 2, 7, False), ([1, 2], 2, 7, True), ([0, 1, 3], 3, 5, False), ([0, 0], 1, 6, True)
late = [3, 1, 5], 6, 3000
made = '(torch.xlogy(others, members - 1) - ways).softmax({})'
ONE_AXIS = {f'{made.format(0)} → {made.format(-1)}': 'one axis'}
claim('krrst.trained_share',
    'The expected share of steps with a trained extractor is '
    '$\\frac1N\\sum_l\\mathbb E\\,c_l(K_l)$ with binomial $K_l$.',
    of=trained_share, source='ours, for official code, model_pool.py',
    checks=[
        Check('brute force', lambda f: [f(*s) for s in small],
            lambda: [over_all_orders(*s) for s in small], 1e-13, 'fractions are exact; float64'),
        Check('sampling', lambda f: [f(*SAMPLED), f(*SAMPLED, False)],
            lambda: [simulated(True), simulated(False)], .02,
            'a share of 12 steps has a standard deviation of .1, a mean of 400 runs .005: four of them'),
        Check('limit', lambda f: [f(*late), 3000*f(*late, False), f([1], 4, 9), f([1], 4, 9, False),
                                  f([0], 0, 5), f([1]*5, 9**5, 1)],
            lambda: [6/7, 4 + 6 + 2, 8/9, 4/9, 0, 1], 1e-3,
            'many steps: L/N is 1e-3; a single member; a pool that is never trained; a single step')],
    hunts=[Hunt(lambda size: pools(size, steps=wholes(1, 4*size)), by_chain, 'brute force', 1e-11,
                'float64; log-gamma of 128 keeps 13 digits', sizes=(1, 2, 8, 32), most=64)],
    refuses=[lambda f: f([], 5, 10), lambda f: f([1], 5, 0), lambda f: f([6], 5, 9), lambda f: f([1], -1, 9),
             lambda f: f([1], 5, float('nan')), lambda f: f([1], 5, 2.5), lambda f: f([float('nan')], 5, 9)],
    equivalent=ONE_AXIS | {
        'trained.cumsum(0) → trained.cumsum(-1)': 'one axis',
        'law[1:] @ trained.cumsum(0).double() → trained.cumsum(0).double() @ law[1:]': 'an inner product'},
    mutants=[('> 0 for', '>= 0 for'), ('law[1:]', 'law[:-1]'), ('/steps', '/(steps + 1)'),
             ('_pick_law(steps, len(ages))', '_pick_law(steps, len(ages) + 1)')])


# %% [markdown]
# **The ages**: by the same chain, by waves on the circle, and by the pool of the training.

# %%
#| code-fold: true
#| code-summary: "The claim about the ages, its routes and its edits"
def by_waves(ages, lifetime, step):
    "The law on the circle of Z + 1 ages: every wave shrinks by its own factor a step."
    start = np.bincount(ages, minlength=lifetime + 1)/len(ages)
    turn = np.exp(-2j*np.pi*np.arange(lifetime + 1)/(lifetime + 1))
    return np.fft.ifft(np.fft.fft(start)*((len(ages) - 1 + turn)/len(ages))**step).real

def frequencies(ages, lifetime, step, reset_counter):
    "How often the training's pool uses each age at one step."
    runs = [list(used(Counting(ages, lifetime, reset_counter, seed), step + 1)) for seed in range(RUNS)]
    return np.bincount([run[step] for run in runs], minlength=lifetime + 1)/RUNS

def drawn(f, low, lifetime, members, step):
    "The law with start ages drawn evenly from `low` to Z - `low`."
    starts = range(low, lifetime - low + 1)
    return sum(f([t]*members, lifetime, step) for t in starts)/len(starts)

def off_centre(f, lifetime, members, step):
    "By how much the mean age is farther than one from Z/2, for the start ages of the code."
    law = drawn(f, 1, lifetime, members, step).numpy()
    return max(0, abs(law @ np.arange(lifetime + 1) - lifetime/2) - 1)

def draws(least):
    "Sizes of pools whose start ages are drawn."
    return lambda size: st.fixed_dictionaries(dict(
        lifetime=wholes(least, least + size), members=wholes(1, 6), step=wholes(0, 4*size)))

pool = [1, 3, 0], 4
claim('krrst.age_law', 'At step $n$ the age at use is $a_l(J)$, $l$ even among the members, '
    '$J$ binomial with $n$ tries.',
    of=age_law, source='ours, for official code, model_pool.py',
    checks=[
        Check('brute force', lambda f: [f(*pool, n, r).tolist() for n in (0, 1, 9) for r in (True, False)],
            lambda: [at_step(n, ages=pool[0], lifetime=4, reset_counter=r)
                     for n in (0, 1, 9) for r in (True, False)], 1e-13, 'float64; ten steps of the chain'),
        Check('sampling', lambda f: [f(*pool, 15, r).tolist() for r in (True, False)],
            lambda: [frequencies(*pool, 15, r) for r in (True, False)], .1,
            'a frequency in 400 runs has a standard error of at most .025: four of them'),
        Check('limit', lambda f: [*f([0, 2], 3, 500), *f([0, 2], 3, 500, False), *f([1], 2, 7)],
            lambda: [.25]*4 + [1, 0, 0, 0] + [0, 0, 1], 1e-12,
            'late: waves shrink by at least 1/√2 a step; a single member turns for ever')],
    hunts=[Hunt(lambda size: pools(size, step=wholes(0, 4*size)), at_step, 'brute force', 1e-11,
                'the chain, float64; log-gamma of 128 keeps 13 digits', sizes=(1, 2, 8, 32), most=64),
           Hunt(lambda size: wholes(0, size).flatmap(lambda Z: st.fixed_dictionaries(dict(
                    ages=st.lists(wholes(0, Z), min_size=1, max_size=6), lifetime=st.just(Z),
                    step=wholes(0, 100*size)))), by_waves, 'algebra', 1e-10,
                'numpy.fft, float64; log-gamma of 3200 is 2e4 and keeps 11 digits'),
           Hunt(draws(0), lambda lifetime, **_: np.full(lifetime + 1, 1/(lifetime + 1)), 'limit', 1e-11,
                'start ages drawn from 0 to Z: even at every step; float64',
                ours=lambda f, **a: drawn(f, 0, **a), points=20),
           Hunt(draws(2), lambda **_: 0., 'limit', 1e-10,
                'start ages of the code: the mean is within one of Z/2; float64', ours=off_centre,
                points=20)],
    refuses=[lambda f: f([], 5, 1), lambda f: f([1, 2], 5, -1), lambda f: f([6], 5, 1),
             lambda f: f([1], 5, float('nan')), lambda f: f([1], 5, .5)],
    equivalent=ONE_AXIS,
    mutants=[('sum(found)/len(ages)', 'sum(found)'), ('sum(found)/len(ages)', 'found[0]'),
             ('(age, picks,', '(age, picks + 1,'),
             ('_pick_law(step, len(ages))', '_pick_law(step, len(ages) + 2)')])

# %% [markdown]
# ## When the pool runs dry
#
# Ten members, start ages spread evenly over their life. The slider moves $Z$; the lines are the share of the steps around $n$ that see a trained extractor.

# %%
#| hide
at = np.unique(np.geomspace(10, N, 40).astype(int))
def over_time(Z, ax):
    "Share of trained extractors at outer steps, for both pools."
    spread = [round((k + .5)*Z/10) for k in range(10)]
    for reset, color, name in ((True, 'blue', 'counter set back'), (False, 'orange', 'as released')):
        share = [1 - age_law(spread, Z, n, reset)[0].item() for n in at]
        whole = trained_share(spread, Z, N, reset)
        ax.plot(at, share, color=COLORS[color], label=f'{name}: {whole:.1%} of {N:,}')
    ax.set(xscale='log', xlabel='outer step', ylabel='share trained', ylim=(-.03, 1.05))
    ax.legend(loc='lower left')


# %%
#| label: fig-dry
#| fig-cap: "Share of outer steps whose extractor was trained, around each step (step axis logarithmic); in the legend, of the whole run. The slider moves Z, after how many steps a member is replaced."
#| echo: false
slider('Z', [30, 100, 300, 1000, 3000, 10_000], over_time,
    'With the counter set back the share of trained extractors stays near one. As released it falls '
    'to zero by about step 10 Z and stays there: only a very long life leaves many trained ones.', start=1000)

# %% [markdown]
# A released member of start age $t$ is used up after $Z-t+1$ picks, around step $L(Z-t+1)$: the oldest first, the youngest near $LZ$. So a life is *long* by comparison with $N/L$, the number of times that a run of $N$ steps picks a member: where $Z$ is far below it nearly all steps see untrained extractors, where $Z$ is far above it nearly none. [The distiller](21_krrst.ipynb) has both pools, and a third, never trained at all, to compare.
#
# ## What if
#
# Predict first, then open.
#
# **1.** A hundred members instead of ten, everything else as it was. Does the released pool see more trained extractors?
#
# <details><summary>Answer</summary>
#
# Ten times as many, as long as the run is long enough to use all of them up: 160,000 steps pick each of a hundred members some 1,600 times, and none serves more than a thousand. So each serves as often as before, and there are ten times as many of them. Once the run is shorter than about $LZ$ steps, further members add less. A larger pool hides the mistake; a longer run shows it.
#
# </details>

# %%
many = ages*10
[round(trained_share(a, Z, N, False), 4) for a in (ages, many)]

# %% [markdown]
# **2.** $Z=100$ instead of 1000, with start ages to match. Which of the two pools loses trained extractors?
#
# <details><summary>Answer</summary>
#
# Both. With the counter set back, one use in 101 is a first use, not one in 1001. As released, the members are used up ten times sooner.
#
# </details>

# %%
young = [t//10 + 1 for t in ages]
[round(trained_share(young, 100, N, reset), 4) for reset in (True, False)]

# %% [markdown]
# **3.** All ten members start at age 1, and the counter is set back. After 160,000 steps, are all ages equally likely?
#
# <details><summary>Answer</summary>
#
# No. A member has been picked about $n/L$ times, give or take $\sqrt{n(L-1)}/L=120$, and 120 is little against a circle of 1001 ages: the likeliest age is still more than three times as likely as it would be if all were equal. The pool mixes ages because it *starts* with mixed ones.
#
# </details>

# %%
law = age_law([1]*10, Z, N)
round(law.max().item()*(Z + 1), 2), (N*(L - 1))**.5/L

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.occupancy`. The pool itself is `ModelPool` in [the distiller](21_krrst.ipynb), where `reset_counter=False` is the released one; [the distillation](31_distill.ipynb) logs the age of the extractor at every step.
