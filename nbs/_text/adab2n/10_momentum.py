# %% [markdown]
# # Running statistics forget the first task
#
# > Whose mean does a batch norm remember? Almost only the last one's, and the paper's schedule changes little about it.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N): the schedule is that of the official code, `models/utils/adab2n.py`; statements and proofs are ours · 8 minutes · what you need first: [a running mean](01_background.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.momentum

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import math
import numpy as np, sympy
from hypothesis import strategies as st
from IPython.display import Markdown
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import Hunt, reals, scales, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# A network trains on one task for a thousand steps and then on another for a thousand. Each of its batch norms keeps a running mean, to be used at test time. After the second task, whose mean is it?
#
# Two averages are well known: the exponential one, which moves a fixed part of the way, and the plain one, which weighs all batches alike. The paper proposes a schedule between them, with a knob $\kappa$ from 0 (plain) to 1 (exponential); its code tries $\kappa=0.1$, $0.4$, $0.7$ and $1$. Does that change the answer?
#
# ## Six batches
#
# Two tasks, three batches each. Batches of the first have mean 0, those of the second mean 10. A running mean that moves half of the way towards every batch:

# %%
running, seen = 0., []
for batch_mean in (0, 0, 0, 10, 10, 10):
    running += .5*(batch_mean - running)
    seen.append(running)
seen


# %% [markdown]
# The two tasks had the same number of batches, so a fair memory would say 5. It says 8.75 after only three batches, and every further batch of the second task takes away half of what is left of the first.
#
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $T$, $n$, $J=nT$ | `tasks`, `steps` | tasks, batches of each task, all batches |
# | $s_i$ | | statistic of batch $i$, a mean or a variance |
# | $r_j$ | | running statistic after $j$ batches, $r_0$ at the start |
# | $\mathsf m$ | `momentum` | momentum of a usual batch norm, 0.1 |
# | $\kappa$ | `kappa` | the paper's knob, 0 to 1 |
# | $a$ | `a` | $(1-\mathsf m)^\kappa$, what is kept per batch in the long run |
# | $\eta_j$ | `averaging_factor` | how far batch $j$ moves the running statistic |
# | $\textcolor{#0072b2}{\omega_{i,J}}$ | `batch_weights` | weight of batch $i$ in $r_J$ |
# | $\textcolor{#b35900}{W_t}$ | `task_shares` | weight of task $t$, all its $n$ batches together, of $T$ tasks |
#
# ## Statement
#
# The running statistic moves by $r_j=(1-\eta_j)\,r_{j-1}+\eta_j s_j$. The paper chooses
#
# $$\eta_1=\mathsf m^{\kappa},\qquad \eta_j=\frac{\eta_{j-1}}{\eta_{j-1}+(1-\mathsf m)^\kappa},$$ {#eq-schedule}
#
# which for $\kappa=1$ is the usual constant $\mathsf m$ and for $\kappa=0$ the plain average $1/j$. For $0<\kappa\le1$
#
# $$\frac1{\eta_j}=\frac1{1-a}+a^{j-1}\Bigl(\mathsf m^{-\kappa}-\frac1{1-a}\Bigr),$$ {#eq-factor}
#
# batch $i$ has after $J$ batches the weight
#
# $$\textcolor{#0072b2}{\omega_{i,J}=\eta_J\,a^{J-i}},$$ {#eq-weights}
#
# and of $T$ tasks with $n$ batches each, task $t$ has the share
#
# $$\textcolor{#b35900}{W_t=\eta_J\,a^{n(T-t)}\,\frac{1-a^n}{1-a}}.$$ {#eq-shares}
#
# For $\kappa=0$ all weights are $1/J$ and all shares $1/T$; for a $\kappa$ below about $10^{-3}$ (for $\mathsf m=0.1$; for a smaller $\mathsf m$ already at a larger one) the closed forms are right, but lose digits in a computer. What is missing to one is the weight of the start value $r_0$,
#
# $$\omega_{0,J}=(1-\eta_1)\,a^{J-1}\,\eta_J/\eta_1.$$ {#eq-start}
#
# Assumptions: $0<\mathsf m<1$, $0\le\kappa\le1$; nothing about the $s_i$.
#
# In words: the schedule is an exponential average with momentum $1-(1-\mathsf m)^\kappa$ and a warm-up. Of two tasks that follow each other, the older one has $a^n$ times the share of the newer.
#
# ## Why
#
# **The factor.** Write $u_j=1/\eta_j$. Turning @eq-schedule upside down gives $u_j=1+a\,u_{j-1}$ with $u_1=\mathsf m^{-\kappa}$. The number $1/(1-a)$ solves $u=1+au$, so the distance from it shrinks by $a$ each time: $u_j-\frac1{1-a}=a^{j-1}\bigl(u_1-\frac1{1-a}\bigr)$. That is @eq-factor. With $a=1$ the recursion counts: $u_j=j$.
#
# **The weights.** Unrolling the running statistic, batch $i$ enters with $\eta_i$ and is then multiplied by every later $1-\eta_q$. Now
#
# $$1-\eta_q=\frac{u_q-1}{u_q}=\frac{a\,u_{q-1}}{u_q}=a\,\frac{\eta_q}{\eta_{q-1}},$$
#
# so the product telescopes: $\eta_i\prod_{q=i+1}^J(1-\eta_q)=\eta_i\,a^{J-i}\,\eta_J/\eta_i$. That is @eq-weights. The start value is multiplied by all of them, $(1-\eta_1)\prod_{q=2}^J(1-\eta_q)$: @eq-start.
#
# **The shares.** The batches of task $t$ are those with $J-i=n(T-t)+q$, $q=0\dots n-1$. Their weights are a geometric series, which sums to @eq-shares.
#
# ## The functions

# %%
#| exports
def averaging_factor(
    j: int,             # number of the batch, from 1
    kappa: float,       # 0: plain average, 1: the usual exponential one
    momentum: float=.1, # of the usual batch norm, in (0, 1)
)->float: # η_j
    """How far batch `j` moves a running statistic.

    Source: recursion in official code, `models/utils/adab2n.py`; closed form ours."""
    a = (1 - momentum)**kappa
    if a == 1:
        return 1/j
    return 1/(1/(1 - a) + a**(j - 1)*(momentum**-kappa - 1/(1 - a)))


# %%
{kappa: [round(averaging_factor(j, kappa), 4) for j in (1, 2, 10, 100)]
 for kappa in (0, .4, 1)}


# %%
#| exports
def batch_weights(
    steps: int,         # J, batches seen
    kappa: float,       # the paper's knob
    momentum: float=.1, # of the usual batch norm
)->Tensor: # weight of each batch, oldest first, float64 (J,)
    "Weight of every past batch in a running statistic. Source: ours."
    if steps < 1:
        raise UserError(f'steps={steps}: at least 1')
    age = torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    return averaging_factor(steps, kappa, momentum)*(1 - momentum)**(kappa*age)


# %%
batch_weights(6, 1, momentum=.5)

# %% [markdown]
# The three batches of the second task have together

# %%
10*batch_weights(6, 1, momentum=.5)[3:].sum()


# %% [markdown]
# which is the 8.75 from above; the weights sum to 63/64, and the last 1/64 still belongs to the start.

# %%
#| exports
def task_shares(
    tasks: int,         # T
    steps: int,         # n, batches of each task
    kappa: float,       # the paper's knob
    momentum: float=.1, # of the usual batch norm
)->Tensor: # W, float64 (T,), first task first
    "Share of each task in a running statistic. Source: ours."
    if kappa == 0:
        return torch.full((tasks,), 1/tasks, dtype=torch.float64)
    a = (1 - momentum)**kappa
    older = torch.arange(tasks - 1, -1, -1, dtype=torch.float64)
    last = averaging_factor(tasks*steps, kappa, momentum)
    return last*a**(steps*older)*(1 - a**steps)/(1 - a)


# %%
task_shares(2, 3, 1, momentum=.5)

# %%
raises(batch_weights, 0, 1)


# %% [markdown]
# ## Is it true?
#
# Every formula is now checked by routes that do not use it, and [hunted](../core/hunt.ipynb) for a counterexample. To know that a route can fail, we break the formula on purpose, one edit at a time, and ask which routes notice: a gap of at least ten times what is allowed counts ([how](../core/checks.ipynb)). A route need not notice every edit, but each edit must be noticed.
#
# **The factor**, against the recursion as the official code runs it, against the two ends of the schedule, and against SymPy, which solves the recursion by itself.

# %%
def recursion(steps, kappa, momentum=.1):
    "The schedule as it is defined, one step after the other."
    eta, found = momentum**kappa, []
    for _ in range(steps):
        found.append(eta)
        eta = eta/(eta + (1 - momentum)**kappa)
    return found

recursion(3, .4)


# %%
def solved(steps, kappa, momentum):
    "The factors from SymPy's solution of u(n+1) = 1 + a u(n)."
    n, a, first = sympy.symbols('n a first')
    u = sympy.Function('u')
    solution = sympy.rsolve(u(n + 1) - 1 - a*u(n), u(n), {u(1): first})
    m, k = sympy.Rational(momentum), sympy.Rational(kappa)
    at = {a: (1 - m)**k, first: m**-k}
    return [float(1/solution.subs(n, j).subs(at).evalf(30)) for j in steps]

solved([1, 2, 10], '2/5', '1/10')


# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
def schedules(**sizes):
    "Arguments of a schedule, the usual momentum left out at some points; κ may be above 1."
    return st.fixed_dictionaries({**sizes, 'kappa': st.just(0.) | reals(1e-3, 3, .1, 1)},
        optional={'momentum': reals(1e-3, .999, .1)})

def nearly_plain(**sizes):
    "Arguments of a schedule that is nearly the plain average."
    return st.fixed_dictionaries({**sizes, 'kappa': scales(1e-6, 1e-3)})

claim('adab2n.factor',
    'The schedule has the closed form $1/\\eta_j=1/(1-a)+a^{j-1}(\\mathsf m^{-\\kappa}-1/(1-a))$.',
    of=averaging_factor, source='recursion: official code, models/utils/adab2n.py; closed form: ours',
    checks=[
        Check('brute force', lambda f: [f(j, k) for k in (.1, .4, .7, 1) for j in range(1, 201)],
            lambda: [e for k in (.1, .4, .7, 1) for e in recursion(200, k)], 1e-13, 'float64, 200 divisions'),
        Check('algebra', lambda f: [f(j, .4, .1) for j in (1, 2, 10, 50)],
            lambda: solved([1, 2, 10, 50], '2/5', '1/10'), 1e-14, 'exact, then rounded to float64'),
        Check('limit', lambda f: [f(1, 1.), f(37, 1.), f(5, 1e-7), f(40, 1e-7)], lambda: [.1, .1, 1/5, 1/40],
            1e-6, 'κ=1 is constant; at κ=1e-7 the distance from 1/j is of order κ')],
    hunts=[Hunt(
        lambda size: schedules(j=wholes(1, size)),
        lambda j, kappa, momentum=.1: recursion(j, kappa, momentum)[-1], 'brute force', 1e-9,
        'float64; 1 - a is 1e-6 at least here and keeps nine digits', sizes=(1, 2, 50, 500),
        most=20_000),
        Hunt(lambda size: nearly_plain(j=wholes(1, size)), lambda j, kappa: recursion(j, kappa)[-1],
        'brute force', 1e-8, '1 - a is 1e-7 at least here and keeps eight digits', sizes=(1, 50, 2000),
        most=20_000, points=25)],
    mutants=[
        ('a**(j - 1)', 'a**j'), ('momentum**-kappa -', 'momentum**-kappa +'),
        ('(1 - momentum)**kappa', '(1 - momentum)**(2*kappa)')])


# %% [markdown]
# **The weights**, against torch's own batch norm, which we feed batches whose means are known, and against a loop over unit impulses. (Torch knows only the two ends, and is run at $\kappa=1$, so it cannot notice an edit of $\kappa$.)

# %%
def from_torch(steps, momentum):
    """Weights read off `torch.nn.BatchNorm1d`.

    In channel i, batch i has mean one and all others zero; two equal rows, as torch
    refuses one."""
    norm = torch.nn.BatchNorm1d(steps, momentum=momentum, dtype=torch.float64)
    for row in torch.eye(steps, dtype=torch.float64):
        norm(row.repeat(2, 1))
    return norm.running_mean

from_torch(3, .1)


# %%
def impulses(steps, kappa, momentum=.1):
    "Weights by running the average on one unit impulse after the other."
    found = []
    for i in range(steps):
        r = 0.
        for j, eta in enumerate(recursion(steps, kappa, momentum)):
            r = (1 - eta)*r + eta*(i == j)
        found.append(r)
    return found

impulses(3, .4)

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
claim('adab2n.batch_weights', 'After $J$ batches, batch $i$ has weight $\\eta_J a^{J-i}$.',
    of=batch_weights, source='ours',
    checks=[
        Check('trusted implementation', lambda f: f(40, 1., .1), lambda: from_torch(40, .1), 1e-14,
            'float64, 40 multiplications; torch.nn.BatchNorm1d'),
        Check('brute force', lambda f: np.concatenate([f(30, k) for k in (0, .1, .4, .7)]),
            lambda: [w for k in (0, .1, .4, .7) for w in impulses(30, k)], 1e-13, 'float64, 30 steps'),
        Check('limit', lambda f: [f(50, 0.).sum(), f(1, .4).sum(), f(400, 1.).sum()],
            lambda: [1., .1**.4, 1.], 1e-12, 'a plain average; a single batch; a start long forgotten')],
    hunts=[Hunt(
        lambda size: schedules(steps=wholes(1, size)), impulses, 'brute force', 1e-9,
        'as for the factor, which enters once', sizes=(1, 2, 10, 40), most=300)],
    refuses=[lambda f: f(0, .4)],
    mutants=[
        ('steps - 1, -1, -1', 'steps, 0, -1'), ('kappa*age', 'age'),
        ('averaging_factor(steps,', 'averaging_factor(steps + 1,')])


# %%
def shares_by_hand(tasks, steps, kappa, momentum=.1):
    "Weights of all batches by impulses, added up task by task."
    w = impulses(tasks*steps, kappa, momentum)
    return [sum(w[t*steps:(t + 1)*steps]) for t in range(tasks)]

shares_by_hand(3, 5, .4)

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
claim('adab2n.task_shares', 'Task $t$ of $T$ has share $\\eta_J a^{n(T-t)}(1-a^n)/(1-a)$.',
    of=task_shares, source='ours',
    checks=[
        Check('brute force', lambda f: np.concatenate([f(4, 6, k) for k in (0, .1, .4, 1)]),
            lambda: [w for k in (0, .1, .4, 1) for w in shares_by_hand(4, 6, k)], 1e-13, 'float64, 24 steps'),
        Check('limit', lambda f: [*f(3, 5, 1e-8), *f(3, 400, 1.)], lambda: [1/3]*3 + [.9**800, .9**400, 1.],
            1e-6, 'κ→0 gives equal shares; 400 steps of κ=1 leave only the last task')],
    hunts=[Hunt(
        lambda size: schedules(tasks=wholes(1, size), steps=wholes(1, 5)), shares_by_hand,
        'brute force', 1e-9, 'as for the factor, which enters once', sizes=(1, 2, 8), most=60),
        Hunt(lambda size: nearly_plain(tasks=wholes(1, size), steps=wholes(1, 50)), shares_by_hand,
        'brute force', 1e-7, 'as for the factor near κ = 0, which enters thrice', sizes=(1, 2, 8), most=60,
        points=25)],
    mutants=[
        ('a**(steps*older)', 'a**older'), ('(1 - a**steps)', '(1 + a**steps)'), ('/(1 - a)', '/(1 + a)')],
    equivalent={
        'return torch.full((tasks,), 1 / tasks, dtype=torch.float64) → '
        'return turned(torch.full((tasks,), 1 / tasks, dtype=torch.float64))': 'all shares are equal'})


# %% [markdown]
# ## Picture
#
# Each row is one $\kappa$ of the official grid, each column a past batch, the newest at the right; grey lines separate five tasks. Move the number of steps a task lasts.

# %%
#| hide
def strips(steps, ax):
    "Weights of all batches of five tasks, one row a kappa, each row scaled to its largest weight."
    kappas, edges = [0, .1, .4, .7, 1], np.arange(6)*steps
    rows = np.stack([batch_weights(5*steps, k).numpy() for k in kappas])
    rows = (rows/rows.max(1, keepdims=True)).reshape(5, 100, -1).mean(2)
    ax.imshow(rows, aspect='auto', cmap='Blues', vmin=0, vmax=1, extent=(0, 5*steps, 4.5, -.5))
    for e in edges[1:-1]:
        ax.axvline(e, color=COLORS['grey'], lw=1)
    ax.set_yticks(range(5), [f'κ = {k}' for k in kappas])
    ax.set(xlabel=f'batch, {steps} a task', xticks=edges)
    ax.grid(False)


# %%
#| label: fig-strips
#| fig-cap: "Weight of every past batch in a running statistic, each row scaled to its largest. The slider moves the steps a task lasts."
#| echo: false
slider('steps a task', [20, 40, 60, 100, 200, 500, 1000], strips,
    'The longer a task lasts, the more a positive κ remembers the last one alone: '
    'at a thousand steps no κ of the official grid keeps a visible trace of the four before it.', start=20)

# %% [markdown]
# How small would $\kappa$ have to be for the first task to keep at least half of the last one's share? By @eq-shares, $a^{n(T-1)}\ge\frac12$, that is $\kappa\le\ln2/(n(T-1)\ln\frac1{1-\mathsf m})$.

# %%
#| code-fold: true
settings = {'Split CIFAR-10': (5, 1000), 'Split CIFAR-100': (10, 500), 'Split Mini-ImageNet': (20, 250)}
def row(name, tasks, steps):
    "What the official online setting keeps."
    kept = [math.log10((W[-2]/W[-1]).item()) for W in (task_shares(tasks, steps, k) for k in (1, .1))]
    needed = math.log(2)/(steps*(tasks - 1)*-math.log(.9))
    powers = [f'$10^{{{k:.1f}}}$' for k in kept]
    return name, f'{tasks} × {steps}', *powers, f'{needed:.4f}'
head = ('online setting', 'tasks × steps', 'task before the last : last, κ=1', 'the same, κ=0.1',
        'κ needed for first : last ≥ ½')
Markdown(table([row(k, *v) for k, v in settings.items()], head))

# %% [markdown]
# (Steps a task: the training images of a task, once through, in batches of ten, as the official online setting has it.) The smallest $\kappa$ of the official grid, 0.1, is sixty to seventy-two times too large even for that mild wish. What a smaller $\kappa$ does there is average over more batches, and so reduce noise, as [the next page](11_dilemma.ipynb) shows. If with a $\kappa$ of that grid the running statistics of a replay method are balanced, the balance comes from the **replayed samples inside each batch**, not from the momentum.
#
# ## What if
#
# Predict first, then open.
#
# **1.** Momentum 0.01 instead of 0.1, $\kappa=1$, a hundred steps a task. Does the first of two tasks keep more than a third of the second one's share?
#
# <details><summary>Answer</summary>
#
# Yes: the ratio is $0.99^{100}\approx0.37$. The memory is a hundred batches long, as long as a task.
#
# </details>

# %%
W = task_shares(2, 100, 1, momentum=.01)
W[0]/W[1]

# %% [markdown]
# **2.** $\kappa=0.4$ and a single batch seen. How much of the start value is left?
#
# <details><summary>Answer</summary>
#
# $1-\mathsf m^{0.4}$, more than half for $\mathsf m=0.1$. Only $\kappa=0$ forgets the arbitrary start at once.
#
# </details>

# %%
1 - averaging_factor(1, .4)

# %% [markdown]
# **3.** The layer sees three forwards a step (new batch, two replay batches) instead of one. Is its memory longer or shorter, counted in steps?
#
# <details><summary>Answer</summary>
#
# Shorter, by a factor of three: the schedule counts forwards, and three of them pass in a step. (A plain average, $\kappa=0$, weighs all forwards alike, however many there are in a step.) The steps after which half is forgotten for $\kappa=1$, with one and with three forwards a step:
#
# </details>

# %%
half = math.log(.5)/math.log(.9)
half, half/3

# %% [markdown]
# ## Where it lives
#
# `averaging_factor`, `batch_weights` and `task_shares` are in `papers_nb.adab2n.momentum`. [The layer](21_layer.ipynb) calls `averaging_factor` at every training forward; [the training](30_train.ipynb) takes `kappa` as a parameter.
