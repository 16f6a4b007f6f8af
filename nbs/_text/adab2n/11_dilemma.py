# %% [markdown]
# # No momentum solves the dilemma
#
# > A fast average forgets old tasks, a slow one lags behind the network, and with replay neither is the problem.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N): the balance and adaptation dilemma of the abstract; model, statements and proofs are ours · 10 minutes · what you need first: [Running statistics forget the first task](10_momentum.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.dilemma

# %%
#| export
import torch
from torch import Tensor

from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.errors import UserError

# %%
#| hide
import math
import numpy as np, sympy
from hypothesis import strategies as st
from scipy.optimize import linprog
from IPython.display import Markdown
from papers_nb.adab2n.momentum import batch_weights, task_shares
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, exact, reals, scales, tensors, weights, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# A running statistic should weigh all tasks alike, and it should describe the network of **now**, not of a thousand steps ago. Can a cleverly chosen momentum have both? And if old samples are replayed in every batch, is momentum the right knob at all?
#
# ## Four batches
#
# Two tasks, two batches each, and a network that drifts: every step adds 1 to all its activations. The first task has mean 0, the second 10. What the layer sees:

# %%
task_mean, drift = [0, 0, 10, 10], [1, 2, 3, 4]
seen = [m + d for m, d in zip(task_mean, drift)]
seen

# %% [markdown]
# For the network of now, with drift 4, a fair mean is (4 + 14)/2 = 9. The plain average and an exponential one with momentum 0.5:

# %%
[(batch_weights(4, k, .5)*torch.tensor(seen)).sum().item() for k in (0, 1)]


# %% [markdown]
# The plain average is fair to the tasks and 1.5 behind the drift. The fast one lags less, and it gives the second task four times the weight of the first. Both miss 9, from different sides.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $\mu_k$ | `means` | mean of task $k$, of $T$ |
# | $D_i$ | | drift of the network at batch $i$ |
# | $\xi_i$, $\nu$ | | sampling noise of batch $i$, and its variance |
# | $\omega_i$, $W_k$, $\eta_J$, $a$ | | as on [the page before](10_momentum.ipynb) |
# | $\textcolor{#0072b2}{\text{imbalance}}$ | `imbalance` | error from unequal task shares |
# | $\textcolor{#b35900}{\text{staleness}}$ | `staleness` | how many steps the average lags; times the drift per step, the error |
# | noise | `noise` | variance of the average, per unit of $\nu$ |
# | $q$, $\varrho=q/\nu$ | `ratio` | variance of a random drift per step, and relative to the noise |
# | $K$ | `gain` | a constant $\eta$; for the schedule in the long run $K=1-(1-\mathsf m)^\kappa$ |
# | $\rho$, $\pi_k$ | `new_share`, `weights` | share of new samples, of task $k$, inside a batch |
#
# ## Statement 1: three errors
#
# Let batch $i$ of task $k(i)$ have the statistic $s_i=\mu_{k(i)}+D_i+\xi_i$. The noise of different batches is independent. The target is the balanced statistic of the present network, $s^\star=\frac1T\sum_k\mu_k+D_J$. For weights that sum to one (the start value is forgotten after a few dozen batches)
#
# $$
# \begin{aligned}
# r_J-s^\star={}&\textcolor{#0072b2}{\textstyle\sum_k(W_k-\frac1T)\mu_k}\\
# &{}+\textcolor{#b35900}{\textstyle\sum_i\omega_i(D_i-D_J)}\\
# &{}+\textstyle\sum_i\omega_i\xi_i.
# \end{aligned}
# $$ {#eq-three}
#
# For a steady drift and the weights of the paper's schedule, the lag in steps is
#
# $$
# \begin{aligned}
# &\textcolor{#b35900}{\textstyle\sum_i\omega_i(J-i)}\\
# &=\textcolor{#b35900}{\eta_J\,\frac{a-Ja^J+(J-1)a^{J+1}}{(1-a)^2}},
# \end{aligned}
# $$ {#eq-stale}
#
# which stays below $a/(1-a)$, and for $\kappa=0$ is $(J-1)/2$ and grows without bound. The noise variance is
#
# $$\sum_i\omega_i^2=\eta_J^2\,\frac{1-a^{2J}}{1-a^2}\ \to\ \frac{1-a}{1+a},$$ {#eq-noise}
#
# and $1/J$ for $\kappa=0$.
#
# *Why.* Put $r_J=\sum\omega_is_i$ and subtract $s^\star\sum\omega_i$: each of the three parts keeps to itself. @eq-stale is $\eta_J\sum_{d<J}d\,a^d$, the derivative of a geometric series times $a$. @eq-noise is a geometric series in $a^2$.
#
# So for tasks that are equally long one end of the schedule has no imbalance and unbounded staleness, the other bounded staleness and, once they are long, all the imbalance. Could something between them, or another schedule, have both? No: for **any** non-negative weights with task shares $W_t$, after $T$ tasks of $n$ steps,
#
# $$\textcolor{#b35900}{\text{lag}}\ \ge\ n\sum_{t}(T-t)\,\textcolor{#0072b2}{W_t}.$$ {#eq-any}
#
# *Why.* The youngest batch of task $t$ is $n(T-t)$ steps old, and all of the task's share lies on batches at least that old. With equal shares the right side is $n(T-1)/2$, of $nT$ steps in all: **whoever remembers all tasks alike lags by at least a quarter of the history with two tasks, and by nearly half with many**, whatever the momentum. That is the dilemma.

# %%
#| exports
def imbalance(
    shares: Tensor, # share of each task in the average, (T,)
    means: Tensor,  # mean of each task, (T,)
)->Tensor: # scalar
    "Error of an average from unequal task shares. Source: ours."
    return ((shares - 1/len(shares))*means).sum()

def staleness(
    steps: int,         # J, batches averaged
    kappa: float,       # the paper's knob
    momentum: float=.1, # of the usual batch norm
)->float: # in steps
    "How many steps an average lags behind a steady drift. Source: ours."
    if kappa == 0:
        return (steps - 1)/2
    a = (1 - momentum)**kappa
    if not 1 - a >= 1e-5:
        raise UserError(f'kappa={kappa}, momentum={momentum}: so near a plain average '
                        'the closed form loses its digits; kappa 0 or larger')
    series = a - steps*a**steps + (steps - 1)*a**(steps + 1)
    return averaging_factor(steps, kappa, momentum)*series/(1 - a)**2

def least_lag(
    shares: Tensor, # W, share of each task in an average, (T,)
    steps: int,     # n, batches of each task
)->Tensor: # in steps
    "Least lag that any average with these task shares can have. Source: ours."
    older = torch.arange(len(shares) - 1, -1, -1, dtype=shares.dtype)
    return steps*(older*shares).sum()

def noise(
    steps: int,         # J, batches averaged
    kappa: float,       # the paper's knob
    momentum: float=.1, # of the usual batch norm
)->float: # per unit of the batch variance
    "Variance of an average of independent batches. Source: ours."
    if kappa == 0:
        return 1/steps
    a = (1 - momentum)**kappa
    return averaging_factor(steps, kappa, momentum)**2*(1 - a**(2*steps))/(1 - a**2)


# %%
unequal = imbalance(task_shares(2, 2, 1, .5), torch.tensor([0., 10.]))
unequal, staleness(4, 1, .5), noise(4, 1, .5)


# %% [markdown]
# After five tasks of a thousand steps:

# %%
#| code-fold: true
def row(k):
    "One line of the table."
    least = least_lag(task_shares(5, 1000, k), 1000)
    return k, f'{staleness(5000, k):.1f}', f'{least:.1f}', f'{noise(5000, k):.4f}'
head = 'κ', 'lag in steps', 'least lag for its shares', 'noise variance'
Markdown(table(map(row, (0, .1, .4, .7, 1)), head))


# %% [markdown]
# ### Is it true?
#
# As on the page before: each route takes another way, a broken formula must be noticed by at least ten times the allowed gap, and each claim is [hunted](../core/hunt.ipynb).

# %%
def weights_by_loop(steps, kappa, momentum=.1):
    "Weights of the schedule as it is defined, without a closed form."
    eta, w = momentum**kappa, np.zeros(steps)
    for i in range(steps):
        w *= 1 - eta
        w[i] = eta
        eta = eta/(eta + (1 - momentum)**kappa)
    return w

weights_by_loop(3, 1)


# %%
#| code-fold: true
#| code-summary: "The claim about imbalance, its routes and its edits"
def schedules(least):
    "Size → arguments of a schedule from a κ on; the momentum is left out at some points."
    usual = {'kappa': st.just(0.) | reals(least, 1)}
    other = {'kappa': reals(.1, 1), 'momentum': reals(1e-3, .999)}
    return lambda size: st.one_of(*(
        st.fixed_dictionaries({'steps': wholes(1, size), **knobs}) for knobs in (usual, other)))

def shares_and_means(name):
    "Size → shares of tasks, under this name, and as many means."
    return lambda size: wholes(1, size).flatmap(
        lambda n: st.fixed_dictionaries({name: weights(n), 'means': tensors(n)}))

shares, levels = task_shares(3, 4, .4), torch.tensor([2., -1., 5.], dtype=torch.float64)
claim('adab2n.imbalance', 'Unequal shares put an average off by $\\sum_k(W_k-\\frac1T)\\mu_k$.',
    of=imbalance, source='ours',
    checks=[
        Check('brute force', lambda f: f(shares, levels),
            lambda: weights_by_loop(12, .4) @ np.repeat(levels.numpy(), 4) - levels.numpy().mean(), 1e-13,
            'float64, 12 batches'),
        Check('limit', lambda f: [f(torch.full((4,), .25), torch.tensor([1., 2, 3, 4])),
            f(torch.eye(2)[1], torch.tensor([0., 10.]))], lambda: [0., 5.], 1e-6,
            'equal shares; only the last')],
    hunts=[Hunt(shares_and_means('shares'),
        lambda shares, means: float((exact(shares)*exact(means)).sum() - exact(means).mean()),
        'algebra', 1e-10, 'fractions; float64 sums of numbers up to 1e5')],
    mutants=[('1/len(shares)', '1'), ('- 1/len', '+ 1/len'), (')*means', ')')])

# %%
#| code-fold: true
#| code-summary: "The claim about staleness, its routes and its edits"
claim('adab2n.staleness',
    'An average of $J$ batches lags $\\eta_J(a-Ja^J+(J-1)a^{J+1})/(1-a)^2$ steps behind a steady drift.',
    of=staleness, source='ours',
    checks=[
        Check('brute force', lambda f: [f(57, k) for k in (0, .1, .4, .7, 1)],
            lambda: [weights_by_loop(57, k) @ np.arange(56, -1, -1) for k in (0, .1, .4, .7, 1)], 1e-11,
            'float64; sums up to 28, divided by (1-a)² down to 1e-4'),
        Check('limit', lambda f: [f(3000, 1.), f(1, .4), f(2, 1., .5)], lambda: [9., 0., .25], 1e-9,
            'a/(1-a) at momentum 0.1; one batch; two batches, the older with weight 1/4'),
        Check('brute force', lambda f: f(200, 1e-3)/100,
            lambda: weights_by_loop(200, 1e-3) @ np.arange(199, -1, -1)/100, 1e-5,
            'near κ=0, where the closed form loses digits')],
    mutants=[
        ('a - steps*a**steps', 'a + steps*a**steps'), ('(1 - a)**2', '(1 - a)'),
        ('(steps - 1)*a**(steps + 1)', '(steps - 1)*a**steps')],
    hunts=[Hunt(schedules(1e-4), lambda steps, kappa, momentum=.1:
            weights_by_loop(steps, kappa, momentum) @ np.arange(steps - 1, -1, -1), 'brute force', 2e-5,
        'rounding of J, a few times 1e-16, over (1-a)², 1e-10 at least', sizes=(1, 2, 20, 400), most=6400)],
    refuses=[lambda f: f(5, 9e-5), lambda f: f(5, math.nan)],
    equivalent={'1 - a >= 1e-05 → 1 - a > 1e-05': 'no argument makes 1 - a this very number',
                '1 - a → a - 1 (2)': 'it is squared'})


# %%
def least_lag_by_programming(shares, steps):
    "Least mean age over all weights with these task shares, by linear programming."
    tasks = len(shares)
    member = np.kron(np.eye(tasks), np.ones(steps))
    ages = np.arange(tasks*steps - 1, -1, -1)
    return linprog(ages, A_eq=member, b_eq=shares.numpy()).fun

uneven = torch.tensor([.1, .2, .3, .4], dtype=torch.float64)
least_lag_by_programming(uneven, 6)

# %%
#| code-fold: true
#| code-summary: "The claim about any average, its routes and its edits"
oldest = lambda shares, steps: len(shares)**2*steps
claim('adab2n.least_lag', 'No average with task shares $W_t$ lags less than $n\\sum_t(T-t)W_t$ steps.',
    of=least_lag, source='ours',
    checks=[
        Check('trusted implementation', lambda f: [f(uneven, 6), f(uneven.flip(0), 9)],
            lambda: [least_lag_by_programming(uneven, 6), least_lag_by_programming(uneven.flip(0), 9)], 1e-9,
            'scipy.optimize.linprog, its own tolerance'),
        Check('limit', lambda f: [f(torch.full((5,), .2), 1000), f(torch.eye(3)[2], 50)], lambda: [2000., 0.],
            1e-3, 'equal shares: n(T-1)/2, in float32; the last task alone')],
    hunts=[Hunt(lambda size: wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(
            {'shares': weights(n), 'steps': wholes(1, 2*size)})),
        lambda shares, steps: least_lag_by_programming(shares, steps)/oldest(shares, steps),
        'trusted implementation', 1e-7, 'scipy.optimize.linprog meets each of T shares to 1e-7, and they are '
        'up to Tn steps old; in units of T²n', sizes=(1, 2, 6), most=24,
        ours=lambda f, shares, steps: f(shares, steps)/oldest(shares, steps))],
    mutants=[('len(shares) - 1, -1, -1', 'len(shares), 0, -1'), ('steps*(', '(')])


# %%
def noise_by_sampling(steps, kappa, runs=200_000):
    "Variance of many averages of white noise."
    draws = np.random.default_rng(0).standard_normal((runs, steps))
    return (draws @ weights_by_loop(steps, kappa)).var()

noise_by_sampling(20, .4)

# %%
#| code-fold: true
#| code-summary: "The claim about noise, its routes and its edits"
claim('adab2n.noise',
    'The variance of an average of $J$ batches is $\\eta_J^2(1-a^{2J})/(1-a^2)$ of one batch.',
    of=noise, source='ours',
    checks=[
        Check('sampling', lambda f: [f(20, .1), f(20, .4), f(20, 1.)],
            lambda: [noise_by_sampling(20, k) for k in (.1, .4, 1.)], 1.5e-3,
            'four standard errors, √(2/200000) of at most 0.1'),
        Check('limit', lambda f: [f(5000, 1.), f(1, .7), f(13, 0)], lambda: [.1/1.9, .1**1.4, 1/13], 1e-12,
            '(1-a)/(1+a); one batch; a plain average')],
    mutants=[
        ('**2*(1 - a**(2*steps))', '*(1 - a**(2*steps))'), ('/(1 - a**2)', '/(1 - a)'),
        ('(1 - a**(2*steps))', '(1 + a**(2*steps))')],
    hunts=[Hunt(schedules(1e-3), lambda steps, kappa, momentum=.1:
            np.square(weights_by_loop(steps, kappa, momentum)).sum(), 'brute force', 1e-9,
        '1 - a² is 1e-4 at least and keeps nine digits', sizes=(1, 2, 20, 400), most=6400),
        Hunt(lambda size: st.fixed_dictionaries({'steps': wholes(1, size), 'kappa': scales(1e-6, 1e-3)}),
        lambda steps, kappa: np.square(weights_by_loop(steps, kappa)).sum(), 'brute force', 1e-8,
        '1 - a² is 1e-7 at least and keeps eight digits', sizes=(1, 20, 400), most=6400, points=25)])


# %% [markdown]
# ### The dilemma, drawn
#
# Five tasks, the last with mean 1, the others 0. To the right: the last task weighs too much. Up: the average lags. The ideal is the lower left corner. The curve runs over all $\kappa$, the dots are the official grid.

# %%
#| hide
def plane(steps, ax):
    "Imbalance against staleness over kappa, with the official grid as dots."
    last = torch.tensor([0., 0, 0, 0, 1])
    at = lambda k: (imbalance(task_shares(5, steps, k), last).item(), staleness(5*steps, k))
    x, y = zip(*(at(k) for k in np.geomspace(1e-4, 1, 80)))
    ax.plot(x, y, color=COLORS['grey'])
    for k in (.1, .4, .7, 1):
        ax.plot(*at(k), 'o', color='black')
        ax.annotate(f'κ={k}', at(k), (6, 4), textcoords='offset points', fontsize=8)
    ax.plot(*at(0), 's', color='black')
    ax.annotate('κ=0', at(0), (8, -3), textcoords='offset points', fontsize=8)
    ax.set(xlim=(-.03, .93), ylim=(5, 5000), yscale='log')
    ax.set_xlabel('imbalance', color=COLORS['blue'])
    ax.set_ylabel('lag in steps (staleness)', color=COLORS['orange'])


# %%
#| label: fig-plane
#| fig-cap: "What a running statistic gets wrong, for every κ: imbalance (blue) against staleness (orange). The slider moves the steps a task lasts."
#| echo: false
slider('steps a task', [10, 20, 50, 100, 250, 500, 1000], plane,
    'Along the curve one error falls as the other rises. With few steps a task the official grid is '
    'spread along it; the more steps, the further right it sits, at last all imbalance and little lag.',
    start=50)


# %% [markdown]
# So far: no average of history is both fair and fresh.
#
# ## Statement 2: the best speed, if tracking were all
#
# Leave the tasks aside and let the network drift at random, $D_i=D_{i-1}+\sqrt q\,z_i$, with $z_i$ of variance one and independent of the noise. An average with constant gain $K$ then has the stationary error variance
#
# $$E(K)=\nu\,\frac{K^2+(1-K)^2\varrho}{K(2-K)},$$ {#eq-error}
#
# which is least at
#
# $$K^\star=\tfrac12\bigl(\sqrt{\varrho^2+4\varrho}-\varrho\bigr),$$ {#eq-gain}
#
# with $E(K^\star)=K^\star\nu$.
#
# *Why.* The error $e_i=r_i-D_i$ obeys $e_i=(1-K)(e_{i-1}-\sqrt q z_i)+K\xi_i$. Equate the variances on both sides, $E=(1-K)^2(E+q)+K^2\nu$, and solve: @eq-error. Set its derivative to zero, multiply by the denominators and collect: $K^2=\varrho(1-K)$, whose positive root is @eq-gain (the code writes it as $2/(1+\sqrt{1+4/\varrho})$, which loses no digits for large $\varrho$). For $\varrho=0$ there is no least error: the smaller $K$, the smaller it is. Put $\varrho=K^2/(1-K)$ back into @eq-error and $E=K\nu$ is left. It is the gain that a Kalman filter settles at, which is one of the checks below.
#
# A network that changes fast wants a large gain, and so a large $\kappa$; small, noisy batches want small ones.

# %%
#| exports
def tracking_error(
    gain: float,  # K, in (0, 1]
    ratio: float, # ϱ, drift variance per step over noise variance
)->float: # per unit of the noise variance
    """Stationary error of an average with constant gain that follows a random walk.

    Source: ours."""
    if not (0 < gain <= 1 and ratio >= 0):
        raise UserError(f'gain={gain}, ratio={ratio}: above 0 and at most 1, '
                        'and at least 0')
    return (gain**2 + (1 - gain)**2*ratio)/(gain*(2 - gain))

def best_gain(
    ratio: float, # ϱ, drift variance per step over noise variance
)->float: # K*
    """The constant gain with the least tracking error: the steady Kalman gain.

    Source: Kalman 1960 for the filter; closed form ours."""
    if not ratio >= 0:
        raise UserError(f'ratio={ratio}: a variance over a variance, at least 0')
    if ratio == 0:
        return 0.
    return 2/(1 + (1 + 4/ratio)**.5)


# %%
best_gain(.02), tracking_error(best_gain(.02), .02)

# %%
raises(best_gain, -1.)


# %%
def tracked(gain, ratio, chains=100_000, steps=400):
    "Error variance of many simulated averages after a long time."
    rng, error = np.random.default_rng(1), np.zeros(chains)
    for _ in range(steps):
        behind = error - ratio**.5*rng.standard_normal(chains)
        error = (1 - gain)*behind + gain*rng.standard_normal(chains)
    return error.var()

tracked(.1, .02, steps=100)


# %%
def by_responses(gain, ratio):
    "What all past noises and all past steps of the drift leave, squared and summed."
    left = (1 - gain)**(2*np.arange(math.ceil(20/gain)))
    return (gain**2*left).sum() + ratio*((1 - gain)**2*left).sum()

def stationary(gain, ratio):
    "The fixed point of the variance, by SymPy."
    E, K, q = sympy.symbols('E K q')
    fixed, = sympy.solve(sympy.Eq(E, (1 - K)**2*(E + q) + K**2), E)
    return float(fixed.subs({K: sympy.Rational(gain), q: sympy.Rational(ratio)}))

stationary('1/10', '1/50')

# %%
#| code-fold: true
#| code-summary: "The claim about the tracking error, its routes and its edits"
claim('adab2n.tracking_error',
    'With constant gain $K$ the tracking error is $(K^2+(1-K)^2\\varrho)/(K(2-K))$.',
    of=tracking_error, source='ours',
    checks=[
        Check('sampling', lambda f: [f(.1, .02), f(.3, .1)], lambda: [tracked(.1, .02), tracked(.3, .1)],
            6e-3, 'four standard errors of a variance of at most 0.3 over 100000 chains'),
        Check('algebra', lambda f: [f(.1, .02), f(.5, 2.)],
            lambda: [stationary('1/10', '1/50'), stationary('1/2', '2')], 1e-14,
            'exact, then rounded to float64')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries({
            'gain': reals(1/(1 + size), 1), 'ratio': reals(0, 10) | scales(1e-6, 1e6)}), by_responses,
        'brute force', 5e-11, 'the rounding of (1-K)², 2e-16, counts about 1/(2K) times, 5e4 at most',
        sizes=(1, 10, 1000), most=100_000)],
    refuses=[lambda f: f(0., 1.), lambda f: f(1.1, 1.), lambda f: f(.5, -1.), lambda f: f(.5, math.nan)],
    mutants=[('(2 - gain)', '(2 + gain)'), ('(1 - gain)**2*', '(1 - gain)*'), ('gain**2 +', 'gain**2 -')],
    equivalent={'1 - gain → gain - 1': 'it is squared'})


# %%
def kalman(ratio, steps=2000):
    "The gain of the Kalman filter after many steps of its own recursion."
    P = 1.
    for _ in range(steps):
        ahead = P + ratio
        K = ahead/(ahead + 1)
        P = (1 - K)*ahead
    return K

kalman(.02)


# %%
def least(ratio):
    "Where the derivative of the tracking error vanishes, by SymPy."
    K, r = sympy.symbols('K r', positive=True)
    error = (K**2 + (1 - K)**2*r)/(K*(2 - K))
    slope = sympy.numer(sympy.together(sympy.diff(error, K)))
    roots = sympy.solve(slope.subs(r, sympy.Rational(ratio)), K)
    return float(next(x for x in roots if 0 < x < 1))

least('1/50')

# %%
#| code-fold: true
#| code-summary: "The claim about the best gain, its routes and its edits"
claim('adab2n.best_gain',
    'The best constant gain for $\\varrho>0$ is $K^\\star=\\frac12(\\sqrt{\\varrho^2+4\\varrho}-\\varrho)$.',
    of=best_gain, source='ours',
    checks=[
        Check('brute force', lambda f: [f(.02), f(.5), f(3.)], lambda: [kalman(.02), kalman(.5), kalman(3.)],
            1e-12, 'the recursion has converged'),
        Check('algebra', lambda f: [f(.02), f(.5)], lambda: [least('1/50'), least('1/2')], 1e-14,
            'exact, then rounded to float64')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries({'ratio': scales(1e-4, 10.**size)}), kalman,
        'brute force', 1e-12, 'the recursion has converged', sizes=(1, 4, 16), most=300),
        Hunt(lambda size: st.just({'ratio': 0.}), lambda ratio: 0., 'limit', 1e-12,
        'without drift the best average is the plain one', sizes=(1,), points=1, most=1),
        Hunt(lambda size: st.fixed_dictionaries({'ratio': scales(1e-12, 1e-4)}),
        lambda ratio: np.roots([1, ratio, -ratio]).max(), 'trusted implementation', 1e-12,
        'numpy.roots of the filter at rest, K² = ϱ(1 - K), where its recursion takes too long',
        sizes=(1,), most=1)],
    refuses=[lambda f: f(-1e-300), lambda f: f(math.nan)],
    mutants=[('4/ratio', '2/ratio'), ('1 + (1 +', '1 - (1 +'), ('**.5', '')])


# %% [markdown]
# ## Statement 3: what replay does
#
# Now every step also replays old samples from a buffer that holds all $T$ tasks evenly. In **one joint forward**, with a share $\rho$ of new samples, the current task has $\rho+(1-\rho)/T$ of the batch and an old one $(1-\rho)/T$. Once the average has forgotten the time before the present task, their ratio in it is
#
# $$1+\frac{T\rho}{1-\rho},$$ {#eq-joint}
#
# whatever the momentum (a plain average never forgets, so for $\kappa=0$ this does not hold). In **separate forwards**, one for the new batch and one for each replay batch (ER-ACE has one, DER++ two), the new batch first and $p-1$ replay batches after it, the new batch's share of an exponential average is
#
# $$\rho_{\mathrm{sep}}=\frac{\mathsf m(1-\mathsf m)^{p-1}}{1-(1-\mathsf m)^p}$$ {#eq-separate}
#
# in place of $\rho$.
#
# *Why.* In the stationary state an average of batches that all have the same task shares has these shares. For separate forwards, the step's own forwards have weights $\mathsf m(1-\mathsf m)^{p-1},\dots,\mathsf m$, the step before has them times $(1-\mathsf m)^p$, and so on: a geometric series.

# %%
#| exports
def current_to_old(
    tasks: int,         # T, all in the buffer
    forwards: int,      # p: 1 for a joint forward, else new batch and p-1 replayed ones
    new_share: float=.5, # ρ, of new samples in a joint batch; only for joint forwards
    momentum: float=.1, # of the usual batch norm
)->float: # weight of the current task over that of an old one
    "Recency of a running statistic under replay, in the long run. Source: ours."
    if forwards == 1:
        share = new_share
    else:
        moved = 1 - (1 - momentum)**forwards
        share = momentum*(1 - momentum)**(forwards - 1)/moved
    return 1 + tasks*share/(1 - share)


# %%
#| code-fold: true
def row(name, *arguments):
    "One line of the table."
    return name, *(f'{current_to_old(T, *arguments):.2f}' for T in (5, 10, 20))
lines = [row('ER-ACE, separate', 2), row('ER-ACE, joint', 1, 1/2),
         row('DER++, separate', 3), row('DER++, joint', 1, 1/3)]
Markdown(table(lines, ('ratio current : old', 'T = 5', 'T = 10', 'T = 20')))


# %% [markdown]
# With replay the recency bias is a factor between three and twenty-one, not the $10^{46}$ of the page before, and for joint forwards no exponential momentum changes it. By this measure separate forwards even look a little better. What they lose is the subject of Statement 5.

# %%
def ratio_by_loop(tasks, forwards, new_share=.5, momentum=.1, steps=300):
    "Run averages over batches of known composition and divide the two shares."
    new, old = np.eye(tasks)[-1], np.full(tasks, 1/tasks)
    joint, apart = [new_share*new + (1 - new_share)*old], [new] + [old]*(forwards - 1)
    r = np.zeros(tasks)
    for b in (joint if forwards == 1 else apart)*steps:
        r = (1 - momentum)*r + momentum*b
    return r[-1]/r[0]

ratio_by_loop(5, 2, .5)

# %%
#| code-fold: true
#| code-summary: "The claim about replay, its routes and its edits"
claim('adab2n.current_to_old', 'Under replay the current task weighs $1+T\\rho/(1-\\rho)$ times an old one.',
    of=current_to_old, source='ours',
    checks=[
        Check('brute force', lambda f: [f(5, 2), f(10, 3), f(20, 1, 1/3)],
            lambda: [ratio_by_loop(5, 2, 0), ratio_by_loop(10, 3, 0), ratio_by_loop(20, 1, 1/3)], 1e-9,
            'stationary after 300 steps'),
        Check('limit', lambda f: [f(7, 1, 0.), f(4, 2, .5, 1e-9), f(4, 3, .5, 1e-9)], lambda: [1., 5., 3.],
            1e-6, 'no new samples; for a slow average the forwards count alike: 1+T and 1+T/2')],
    mutants=[
        ('tasks*share', 'share'), ('(1 - share)', '(1 + share)'),
        ('(1 - momentum)**(forwards - 1)', '(1 - momentum)**(1 - forwards)')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries({'tasks': wholes(2, 1 + size), 'forwards': wholes(1, 4)},
            optional={'new_share': reals(0, .95), 'momentum': reals(.1, .9)}), ratio_by_loop,
        'brute force', 1e-9, 'stationary after 300 steps', sizes=(1, 4, 20), most=200)])


# %% [markdown]
# So far: with replay, the task shares are decided inside the batch.
#
# ## Statement 4: a test statistic only moves along a segment
#
# Let the network stand still. Training normalises by the batch, on average by $b=\sum_k\pi_k\mu_k$. A balanced test would want $u=\frac1T\sum_k\mu_k$. For **any** statistic $r$ that is used at test time
#
# $$
# \begin{aligned}
# |r-b|+|r-u|&\ge|b-u|\\
# &=\textstyle\bigl|\sum_k(\pi_k-\frac1T)\,\mu_k\bigr|.
# \end{aligned}
# $$ {#eq-segment}
#
# *Why.* The triangle inequality; equality exactly for $r$ between the two. The first length is the mismatch with training, the second the imbalance at test time. Between the two, moving $r$ trades one for the other; nowhere is the sum below $|b-u|$. Which of the two costs more accuracy the inequality does not say. To have **both** small, the right side must be small, and for $\pi_k=1/T$ it vanishes: that is a matter of the **weights inside the batch**, not of $r$.

# %%
#| exports
def least_mismatch(
    weights: Tensor, # π, share of each task inside a batch, (T,)
    means: Tensor,   # mean of each task, (T,)
)->Tensor: # scalar
    """Least sum of train-test mismatch and imbalance that any test statistic can have.

    Source: ours."""
    return ((weights - 1/len(weights))*means).sum().abs()


# %% [markdown]
# Five tasks in a joint batch with 40 % new samples, so that the new task has $0.4+0.6/5=0.52$:

# %%
pi = torch.tensor([.12, .12, .12, .12, .52], dtype=torch.float64)
mu = torch.tensor([0., 1, -1, 2, 5], dtype=torch.float64)
least_mismatch(pi, mu), least_mismatch(torch.full((5,), .2), mu)


# %%
def at_the_ends(weights, means):
    "The same in fractions: a sum of two distances is least at one of the two points."
    b, u = (exact(weights)*exact(means)).sum(), exact(means).mean()
    return float(min(abs(r - b) + abs(r - u) for r in (b, u)))

def best_on_a_grid(weights, means):
    "Least sum of the two lengths over many candidate statistics."
    r = np.linspace(-10, 10, 200_001)
    return np.min(abs(r - (weights*means).sum().item()) + abs(r - means.mean().item()))

best_on_a_grid(pi, mu)

# %%
#| code-fold: true
#| code-summary: "The claim about the segment, its routes and its edits"
claim('adab2n.least_mismatch',
    'No statistic used at test time has mismatch plus imbalance below $|\\sum_k(\\pi_k-1/T)\\mu_k|$.',
    of=least_mismatch, source='ours',
    checks=[
        Check('brute force', lambda f: [f(pi, mu), f(pi, -mu), f(pi.flip(0), mu)],
            lambda: [best_on_a_grid(pi, mu), best_on_a_grid(pi, -mu), best_on_a_grid(pi.flip(0), mu)], 2e-4,
            'two steps of the grid'),
        Check('limit',
            lambda f: [f(torch.full((5,), .2), mu), f(torch.eye(3)[0], torch.tensor([3., 0., 0.]))],
            lambda: [0., 2.], 1e-6, 'even weights; a batch of one task only')],
    mutants=[
        ('weights - 1/len', 'weights + 1/len'), ('.sum().abs()', '.abs().sum()'), ('1/len(weights)', '1')],
    hunts=[Hunt(shares_and_means('weights'), at_the_ends, 'algebra', 1e-10,
        'fractions; float64 sums of numbers up to 1e5')],
    equivalent={'weights - 1 / len(weights) → 1 / len(weights) - weights': 'the absolute value follows'})


# %%
#| hide
def segment(share, ax):
    "The two lengths for every test statistic, for a batch with this share of the new task."
    weights = np.array([(1 - share)/4]*4 + [share])
    b, u, r = weights @ mu.numpy(), mu.numpy().mean(), np.linspace(-.5, 5.5, 200)
    ax.plot(r, abs(r - b), color=COLORS['green'], label='mismatch with training')
    ax.plot(r, abs(r - u), color=COLORS['blue'], label='imbalance at test time')
    ax.plot(r, abs(r - b) + abs(r - u), color=COLORS['grey'], lw=2.5, label='sum')
    ax.plot([b, u], [0, 0], 'o', color='black', ms=4)
    for name, at in (('b', b), ('u', u)):
        ax.annotate(name, (at, 0), (0, -12), textcoords='offset points')
    ax.set(ylim=(-.8, 6), xlabel='test statistic r', ylabel='distance')
    ax.legend(loc='upper left')


# %%
#| label: fig-segment
#| fig-cap: "The two lengths of the inequality over all statistics: mismatch (green), imbalance (blue) and their sum (grey). The slider moves the share of the new task inside the batch."
#| echo: false
slider('share of the new task', [.2, .3, .4, .52, .7, .9], segment,
    'Between the two means the sum is flat: moving the statistic trades one error for the other. '
    'At a share of one fifth the two means coincide and the sum touches zero.', start=.52)


# %% [markdown]
# ## Statement 5: separate forwards lose variance
#
# If new and old samples are normalised apart, training uses two normalisers $\mu_c$ and $\mu_b$, and by the same inequality any single $r$ is off by at least $|\mu_c-\mu_b|$ in sum, whatever is done to the running statistics afterwards. And a test batch, which holds old and new classes, is a mixture. With share $\rho$ of the new batch the running variance tends to $\rho\sigma_c^2+(1-\rho)\sigma_b^2$, while the mixture has
#
# $$\rho\,\sigma_c^2+(1-\rho)\,\sigma_b^2+\rho(1-\rho)(\mu_c-\mu_b)^2.$$ {#eq-mixture}
#
# *Why.* Of a sample from the mixture, the variance is the mean of the variances plus the variance of the means, and a mean that is $\mu_c$ with chance $\rho$, else $\mu_b$, has variance $\rho(1-\rho)(\mu_c-\mu_b)^2$.

# %%
#| exports
def mixture_variance(
    share: float,                    # ρ, of the first group
    means: tuple[float, float],      # of the two groups
    variances: tuple[float, float],  # of the two groups
)->float:
    """Variance of a mixture of two groups.

    Averaging the groups' own variances misses the last term.
    Source: law of total variance."""
    own = share*variances[0] + (1 - share)*variances[1]
    return own + share*(1 - share)*(means[0] - means[1])**2


# %% [markdown]
# New samples around 2 with deviation 1, old ones around -1 with deviation 1.5, two separate forwards a step: the new batch has the share 9/19 of @eq-separate. What is stored, and what the mixture has:

# %%
share = 9/19
share*1 + (1 - share)*1.5**2, mixture_variance(share, (2., -1.), (1., 1.5**2))


# %%
def by_moments(share, means, variances):
    "Mean of the square less square of the mean, in fractions."
    p = exact([share, 1])
    p[1] -= p[0]
    m, v = exact(means), exact(variances)
    return float((p*(v + m**2)).sum() - (p*m).sum()**2)

def mixed(share, means, variances, n=2_000_000):
    "Variance of samples drawn from two normals."
    rng = np.random.default_rng(2)
    first = rng.random(n) < share
    one, two = (m + v**.5*rng.standard_normal(n) for m, v in zip(means, variances))
    return np.where(first, one, two).var()

mixed(share, (2., -1.), (1., 2.25))

# %%
#| code-fold: true
#| code-summary: "The claim about the lost variance, its routes and its edits"
claim('adab2n.mixture_variance',
    'A mixture has the variance $\\rho\\sigma_c^2+(1-\\rho)\\sigma_b^2+\\rho(1-\\rho)(\\mu_c-\\mu_b)^2$.',
    of=mixture_variance, source='law of total variance',
    checks=[
        Check('sampling', lambda f: f(share, (2., -1.), (1., 2.25)),
            lambda: mixed(share, (2., -1.), (1., 2.25)), .02,
            'four standard errors of a variance of 4 over two million samples'),
        Check('trusted implementation', lambda f: f(.25, (0., 4.), (0., 1.)),
            lambda: np.var([0., 0., 3., 3., 5., 5., 3., 5.]), 1e-14,
            'numpy.var; two zeros and six numbers of mean 4, variance 1')],
    mutants=[
        ('share*(1 - share)*', 'share*'), ('(means[0] - means[1])', '(means[0] + means[1])'),
        ('share*variances[0] +', 'share*variances[0] -')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries({'share': reals(0, 1),
            'means': st.tuples(*[reals(-10.**size, 10.**size)]*2),
            'variances': st.tuples(*[reals(0, 10.**size)]*2)}), by_moments, 'algebra', 1e-12,
        'fractions, then float64', sizes=(0, 1, 3), most=6)],
    equivalent={'means[0] - means[1] → means[1] - means[0]': 'it is squared'})

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** A network is trained with joint forwards. Afterwards its running means are computed anew on a balanced buffer, so that $r=u$. What happens to the two lengths of @eq-segment, and to their sum?
#
# <details><summary>Answer</summary>
#
# The imbalance becomes 0 and the mismatch $|b-u|$; the sum stays if $r$ lay between $b$ and $u$ before, as $r=b$ does, and falls otherwise. Whether the accuracy rises depends on which of the two the network minds more, and it was trained on $b$.
#
# </details>

# %%
b, u = (pi*mu).sum(), mu.mean()
[(abs(r - b).item(), abs(r - u).item()) for r in (b, u)]

# %% [markdown]
# **2.** The same for a network trained with separate forwards. Can any recalibration make test and training agree?
#
# <details><summary>Answer</summary>
#
# No, unless the two agree: training used two normalisers, and one statistic is off from them by at least $|\mu_c-\mu_b|$ in sum wherever it lies.
#
# </details>
#
# **3.** The learning rate is raised tenfold, so that the network drifts faster. Should $\kappa$ be larger or smaller?
#
# <details><summary>Answer</summary>
#
# Larger: the best gain grows with $\varrho$.
#
# </details>

# %%
[round(best_gain(r), 3) for r in (.001, .01, .1, 1.)]

# %% [markdown]
# ## Where it lives
#
# The functions are in `papers_nb.adab2n.dilemma`. The cure inside the batch is [the layer](21_layer.ipynb); [the home page](../index.ipynb) shows what separate and joint forwards do to a real training.
