# %% [markdown]
# # A weight for each task, and a weight that nobody carries
#
# > Where the paper's weights come from, what statistics they give, and what happens when a task is absent from the batch.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N): the weights are those of the official code, `models/utils/adab2n.py`; statements and proofs are ours · 15 minutes · what you need first: [No momentum solves the dilemma](11_dilemma.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.weights

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
import itertools, math
from decimal import Decimal, localcontext
from fractions import Fraction
import numpy as np, matplotlib.pyplot as plt
from hypothesis import strategies as st
from IPython.display import Markdown
from scipy.integrate import quad
from papers_nb.core.checks import Check, claim, raises
from papers_nb.core.hunt import SHAPES, Hunt, exact, reals, scales, tensors, weights, wholes
from papers_nb.core.plots import COLORS, slider, theme
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# The last page ended with a hint: what has to be balanced is the batch, not its history. A batch holds ten new samples and ten from the buffer, and the buffer already holds some of the newest task. So more than half of the batch belong to one of five tasks. How much should each task count?
#
# The paper's answer is a formula with a learnable preference. It is worth asking three things of it. Where does it come from? What do statistics with such weights estimate? And what if a task has a weight, but no sample in the batch?
#
# ## Six samples
#
# Three tasks were seen. The batch holds four samples of the newest and two of the first; the second is absent. Counting heads gives the newest two thirds. The formula adds one imaginary sample to each task before it counts:

# %%
counts = torch.tensor([2., 0., 4.], dtype=torch.float64)
counts/counts.sum(), (counts + 1)/(counts + 1).sum()

# %% [markdown]
# That is gentler with the newest task. But a ninth of all weight now belongs to a task that has no sample here. If the samples share only what is left, the weighted mean of a batch full of nines is not nine:

# %%
pi = (counts + 1)/(counts + 1).sum()
(pi[0] + pi[2])*9


# %% [markdown]
# ## Symbols
#
# | symbol | in code | meaning |
# |---|---|---|
# | $t$ | `len(counts)` | tasks seen so far |
# | $N_k$, $N$ | `counts` | samples of task $k$ in the batch; all samples |
# | $\psi_k$ | `log_concentration` | learnable preference for task $k$, starts at 0 |
# | $\alpha_k=e^{\psi_k}$, $A=\sum_k\alpha_k$ | `alpha` | imaginary samples of task $k$; all of them |
# | $\textcolor{#0072b2}{\pi_k}$ | `task_weights` | weight of task $k$ |
# | $w_n$ | | weight of sample $n$ of task $k_n$: $\textcolor{#0072b2}{\pi_{k_n}}/N_{k_n}$ |
# | $\textcolor{#b35900}{S}$ | | $\sum_nw_n$, the weight that samples carry |
# | $c$ | `uniform_mix` | our knob towards equal weights, 0 to 1 |
# | $m$, $v$ | | weighted mean $\sum_nw_nx_n$ and variance $\sum_nw_n(x_n-m)^2$ |
# | $\mu_k$, $\sigma_k^2$ | `means`, `variances` | true mean and variance of task $k$ |
# | $\mu_p$, $v_p$ | `mean`, `var` | mean and variance of the samples that are there, by weights that sum to one |
# | $R$ | `replay` | replayed samples in the batch |
#
# ## Statement 1: a posterior mean
#
# A Dirichlet distribution is one over lists of shares that sum to one; its concentrations $\alpha_k$ act like samples of task $k$ that were seen beforehand. Let the shares of the tasks be unknown, with a Dirichlet prior, and let the task labels of a batch be drawn from them. Then the mean of the shares, given the labels, is
#
# $$
# \begin{aligned}
# \textcolor{#0072b2}{\pi_k}&=\frac{N_k+\alpha_k}{N+A}\\
# &=\frac{A}{N+A}\cdot\frac{\alpha_k}{A}+\frac{N}{N+A}\cdot\frac{N_k}{N}.
# \end{aligned}
# $$ {#eq-weights}
#
# In words: a mixture of what the prior prefers and of what the batch holds. With the prior at its start, $\alpha_k=1$, the prior has the weight $t/(t+N)$.
#
# *Why.* The density of the prior is proportional to $\prod\pi_k^{\alpha_k-1}$, the probability of the labels is $\prod\pi_k^{N_k}$. Their product is again a Dirichlet density, with $\alpha_k+N_k$ in place of $\alpha_k$, and the integral of $\prod_j\pi_j^{\alpha_j+N_j-1}$ is $\prod_j\Gamma(\alpha_j+N_j)/\Gamma(A+N)$. The mean of $\pi_k$ is that integral with $N_k+1$ in place of $N_k$, over the integral itself:
#
# $$\frac{\Gamma(\alpha_k+N_k+1)}{\Gamma(\alpha_k+N_k)}\cdot\frac{\Gamma(A+N)}{\Gamma(A+N+1)}=\frac{\alpha_k+N_k}{A+N}.$$
#
# **A loose point.** The shares of *this batch* are not unknown; we can count them. What the model infers are shares from which the labels would have been drawn. But they were not drawn: the ten new ones are of the newest task because the stream says so. And had they been, the answer would estimate the shares of the stream, which is not balance. The algebra of @eq-weights is right, and it is a compromise between a preference and a head count; its Bayesian reading does not hold for real batches.
#
# **Two additions of ours.** A task without samples can be left out of the sums (`renormalize`, see statement 3). And the weights can be mixed with equal ones over the tasks that are present, $(1-c)\,\pi_k+c/\#\text{present}$; $c=1$ makes the tasks that are present equal. (An absent one still counts nothing; how much imbalance that leaves is computed below.)

# %%
#| exports
def task_weights(
    counts: Tensor,            # N, samples of each task in the batch, not all 0, (t,)
    log_concentration: Tensor, # ψ, -∞ or of finite exponential, (t,)
    absent_tasks: str='renormalize', # 'official': they keep weight that nobody carries
    uniform_mix: float=0.,     # c, 0: posterior mean, 1: equal weights of present tasks
)->Tensor: # π, (t,)
    """Posterior mean of the task shares under a Dirichlet prior.

    Source: official code, `models/utils/adab2n.py`; `renormalize` and `uniform_mix` are
    ours."""
    alpha, present = log_concentration.exp(), (counts > 0).to(counts.dtype)
    if absent_tasks == 'renormalize':
        alpha = alpha*present
    imagined = counts + alpha
    posterior = imagined/imagined.sum()
    if not uniform_mix:
        return posterior
    return (1 - uniform_mix)*posterior + uniform_mix*present/present.sum()


# %%
psi = torch.zeros(3, dtype=torch.float64)
{'official': task_weights(counts, psi, 'official'),
 'renormalize': task_weights(counts, psi),
 'equal': task_weights(counts, psi, uniform_mix=1.)}


# %% [markdown]
# ## Statement 2: what the statistics estimate
#
# Given the counts, let the samples of task $k$ be independent with mean $\mu_k$ and variance $\sigma_k^2$, one number a sample, and let the samples carry all the weight, $\textcolor{#b35900}{S}=1$. With $\bar\mu=\sum_k\pi_k\mu_k$
#
# $$
# \begin{aligned}
# \mathbb E[m]&=\bar\mu,\\
# \mathbb E[v]&=\textstyle\sum_k\pi_k\bigl(\sigma_k^2+(\mu_k-\bar\mu)^2\bigr)\\
# &\quad-\textstyle\sum_k\pi_k^2\,\sigma_k^2/N_k.
# \end{aligned}
# $$ {#eq-expected}
#
# *Why.* For $S=1$ the variance is $v=\sum_nw_nx_n^2-m^2$. The first term has mean $\sum_k\pi_k(\sigma_k^2+\mu_k^2)$. The mean of $m^2$ is $\bar\mu^2$ plus the variance of $m$, and $m$ is a sum of independent task means with weights $\pi_k$ and variances $\sigma_k^2/N_k$.
#
# So the weighted variance estimates that of a **mixture with shares $\pi$**, the variance between the tasks included, minus a small-sample bias, in which a task counts with $\pi_k^2\sigma_k^2/N_k$. **If the tasks vary alike, the bias is smallest for weights by head count**, where it is $\sigma^2/N$, and grows with every step from there, so also when a rare task gets a larger weight: that is the price of balance. (A rare task that varies less may gain weight without harm: in general the least bias is at $\pi_k\propto N_k/\sigma_k^2$.) (With $P$ positions a sample, replace $\sigma_k^2/N_k$ by the variance of the task's batch mean.)

# %%
#| exports
def expected_stats(
    weights: Tensor,   # π of the tasks present, sums to one, (t,)
    counts: Tensor,    # N, at least 1 each, (t,)
    means: Tensor,     # μ, (t,)
    variances: Tensor, # σ², (t,)
)->tuple[Tensor, Tensor]: # mean of the weighted mean and of the weighted variance
    "What weighted batch statistics are on average, one number a sample. Source: ours."
    if not (counts >= 1).all():
        raise UserError(f'counts={counts.tolist()}: at least one sample of each task; '
                        'leave absent tasks out')
    mean = (weights*means).sum()
    mixture = (weights*(variances + (means - mean)**2)).sum()
    return mean, mixture - (weights**2*variances/counts).sum()


# %% [markdown]
# Eight samples around 4 and two around 0, all of variance 1. Counted by heads, the mean is near the many; with equal weights it is in the middle. Expected mean, expected variance, and the bias, by which that is below the variance $1+\pi_1\pi_2\,4^2$ of the mixture:

# %%
N, mu, var = torch.tensor([2., 8.]), torch.tensor([0., 4.]), torch.ones(2)
def shown(w):
    "Mean, variance and bias for two weights."
    mean, expected = expected_stats(w, N, mu, var)
    return [round(v.item(), 3) for v in (mean, expected, 1 + w.prod()*16 - expected)]

shown(N/10), shown(torch.full((2,), .5))

# %%
raises(expected_stats, torch.tensor([.5, .5]), torch.tensor([3., 0.]), mu, var)


# %% [markdown]
# ## Statement 3: weight without samples
#
# The official code normalises over all tasks seen. A task that is absent from the batch has $N_k=0$ and still gets $\alpha_k/(A+N)$, which no sample carries. With $\mu_p$ and $v_p$ the mean and variance by properly normalised weights of the samples that are there,
#
# $$
# \begin{aligned}
# m&=\textcolor{#b35900}{S}\,\mu_p,\\
# v&=\textcolor{#b35900}{S}\bigl[v_p+(1-\textcolor{#b35900}{S})^2\mu_p^2\bigr].
# \end{aligned}
# $$ {#eq-shrunk}
#
# *Why.* The weights are $w_n=S\,w^p_n$ with $\sum_nw^p_n=1$. So $m=S\mu_p$, and $\sum_nw_n(x_n-S\mu_p)^2=S\sum_nw_n^p\bigl((x_n-\mu_p)+(1-S)\mu_p\bigr)^2$, in which the cross term vanishes.
#
# The mean shrinks towards zero. The variance shrinks by $S$ and gains $S(1-S)^2\mu_p^2$, so it can also grow. Both change from batch to batch, depending on who happens to be missing. The authors knew of absent tasks (a comment in their code speaks of them), so call this a side effect.

# %%
#| exports
def shrunk_stats(
    carried: float, # S, the weight that samples carry, in (0, 1]
    mean: float,    # μ_p, by weights that sum to one
    var: float,     # v_p, likewise
)->tuple[float, float]: # m and v as the official rule gives them
    """Weighted statistics when a part of the weight has no sample.

    Source: ours, for the rule of official code, `models/utils/adab2n.py`."""
    return carried*mean, carried*(var + (1 - carried)**2*mean**2)


# %%
shrunk_stats(8/9, 9., 0.)


# %% [markdown]
# A batch of nines has the mean 8 and a variance. How often does that happen? Let the newest task be present, and $R$ replayed samples be drawn evenly and independently over the $t$ tasks; let $\alpha=1$. Then the weight lost is on average
#
# $$\mathbb E[1-\textcolor{#b35900}{S}]=\frac{(t-1)(1-1/t)^R}{N+t}.$$ {#eq-lost}
#
# *Why.* Each of the $t-1$ old tasks is missed by all $R$ draws with chance $(1-1/t)^R$, and then loses $1/(N+t)$. (A buffer is drawn without repetition, which misses a task less often: a little for a buffer of five hundred, clearly for one of fifty.)

# %%
#| exports
def expected_loss(
    tasks: int,  # t, seen so far
    replay: int, # R, replayed samples in the batch
    batch: int,  # N, all samples in the batch
)->float: # 1 - S on average
    "Weight that no sample carries by the official rule, at first. Source: ours."
    return (tasks - 1)*(1 - 1/tasks)**replay/(batch + tasks)


# %%
#| code-fold: true
settings = {'Split CIFAR-10': 5, 'Split CIFAR-100': 10, 'Split Mini-ImageNet': 20}
lines = [(f'{name}, t = {t}', f'{100*expected_loss(t, 10, 20):.1f} %',
          f'{100*expected_loss(t, 20, 30):.2f} %') for name, t in settings.items()]
head = 'last task of', 'ER-ACE: 10 new, 10 replayed', 'DER++: 10 new, 20 replayed'
Markdown(table(lines, head))

# %% [markdown]
# ## Is it true?
#
# Each route takes another way to the same numbers, a formula that was broken on purpose must be noticed by at least ten times the allowed difference ([how](../core/checks.ipynb)), and each claim is [hunted](../core/hunt.ipynb).
#
# **The weights**, against an integral for two tasks, against Dirichlet draws weighted by how likely they make the batch, and at the ends of every knob.

# %%
as64 = lambda *a: torch.tensor(a, dtype=torch.float64)

def by_integration(counts, alpha):
    "Posterior mean of two shares, by quadrature of prior times likelihood."
    a, b = alpha[0] - 1 + counts[0], alpha[1] - 1 + counts[1]
    def moment(k):
        "The mean of p to the power k, but for a factor."
        return quad(lambda p: p**(a + k)*(1 - p)**b, 0, 1, epsabs=0, epsrel=1e-11)[0]
    first = moment(1)/moment(0)
    return [first, 1 - first]

by_integration((2, 4), (1., 2.))


# %%
def batches(size):
    "Counts of tasks, a preference, and the two rules; left out at some points."
    def made(counts):
        "One batch of these counts; what is yet to come has no preference at all."
        counts = torch.tensor(counts, dtype=torch.float64)
        psi = st.tuples(tensors(len(counts)), st.booleans()).map(
            lambda drawn: drawn[0].clamp(-700, 700).masked_fill(
                (counts == 0) & drawn[1], -math.inf))
        return st.fixed_dictionaries(
            dict(counts=st.just(counts), log_concentration=psi),
            optional=dict(absent_tasks=st.sampled_from(('renormalize', 'official')),
                          uniform_mix=reals(0, 1) | scales(1e-6, 1.)))
    counts = st.lists(wholes(0, size), min_size=1, max_size=2 + size//4)
    return counts.filter(any).flatmap(made)

def in_fractions(counts, log_concentration, absent_tasks='renormalize', uniform_mix=0.):
    "Imaginary samples are counted with the others; those of absent tasks by the rule."
    alpha, real = exact(log_concentration.exp()), exact(counts)
    there = [n > 0 for n in real]
    keep = absent_tasks == 'official'
    added = [a if here or keep else 0 for a, here in zip(alpha, there)]
    whole, (mix,) = sum(real) + sum(added), exact([uniform_mix])
    evenly = [here*mix/sum(there) for here in there]
    return [float((1 - mix)*(n + a)/whole + e) for n, a, e in zip(real, added, evenly)]

def by_drawing(counts, alpha, n=1_000_000):
    "Posterior mean of four shares: draws from the prior, weighted by their likelihood."
    draws = np.random.default_rng(0).dirichlet(alpha, n)
    likelihood = np.exp((np.log(draws + 1e-300)*counts).sum(1) - 20)
    return (draws*likelihood[:, None]).sum(0)/likelihood.sum()

by_drawing((6, 2, 0, 4), (1., 2.5, .5, 1.))

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
two = lambda f: f(as64(2, 4), as64(1, 2).log(), 'official')
four = lambda f: f(as64(6, 2, 0, 4), as64(1, 2.5, .5, 1).log(), 'official')
single = lambda size: batches(size).map(lambda given: {**given, 'counts': given['counts'].float(),
    'log_concentration': given['log_concentration'].float().clamp(max=80)})
ends = lambda f: torch.cat([f(counts, psi - 40), f(counts, psi + 40, 'official'), f(counts, psi + 40),
    f(counts, psi + .7, 'official', 1.), f(counts, psi, uniform_mix=.5),
    f(as64(1, 2, 3), torch.zeros(3), uniform_mix=1.)])
claim('adab2n.task_weights', 'The posterior mean of the task shares is $(N_k+\\alpha_k)/(N+A)$.',
    of=task_weights, source='official code, models/utils/adab2n.py; derivation ours',
    checks=[
        Check('brute force', two, lambda: by_integration((2, 4), (1., 2.)), 1e-9,
            'relative error asked of the quadrature, with room'),
        Check('sampling', four, lambda: by_drawing((6, 2, 0, 4), (1., 2.5, .5, 1.)), 1.3e-3,
            'four standard errors of the weighted draws, at most 3.2e-4 each'),
        Check('limit', ends, lambda: [1/3, 0, 2/3, 1/3, 1/3, 1/3, .5, 0, .5, .5, 0, .5, .4375, 0, .5625,
            1/3, 1/3, 1/3],
            1e-12, 'no prior, an infinite one, equal weights, half way; float64, by a float32 prior too')],
    mutants=[
        ('counts + alpha', 'counts - alpha'), ('log_concentration.exp()', '(log_concentration + 1)'),
        ('alpha*present', 'alpha*(1 - present)'),
        ('uniform_mix*present/present.sum()', 'uniform_mix*present/len(counts)')],
    hunts=[Hunt(batches, in_fractions, 'algebra', 1e-12, 'fractions, then float64'),
           Hunt(single, in_fractions, 'algebra', 1e-6, 'float32, as the layer asks', points=20)])


# %% [markdown]
# **The statistics**, against all $2^N$ outcomes of coins, each task's samples being $\mu_k\pm\sigma_k$, and against the textbook's $(1-1/N)\,\sigma^2$ of a single task.

# %%
def some_tasks(size, kinds=tuple(SHAPES)):
    "Tasks with a few samples each."
    numbers = lambda n, **kw: tensors(n, kinds=kinds, **kw)
    return wholes(1, size).flatmap(lambda n: st.fixed_dictionaries(dict(
        weights=weights(n), means=numbers(n), variances=numbers(n, low=0.),
        counts=st.tuples(*[wholes(1, 4)]*n).map(lambda c: as64(*c)))))

def by_coins(weights, counts, means, variances):
    "The same from tensors."
    arrays = [a.numpy() for a in (weights, counts.int(), means, variances)]
    return by_enumeration(*arrays)

def by_products(weights, counts, means, variances):
    "From the means of squares and products of the samples, in fractions."
    task = np.repeat(np.arange(len(counts)), counts.int())
    w, mid = (exact(weights)/exact(counts))[task], exact(means)[task]
    product = np.outer(mid, mid) + np.diag(exact(variances)[task])
    far = np.diag(product) - 2*product @ w + w @ product @ w
    return float(w @ mid), float(w @ far)

def by_enumeration(weights, counts, means, variances):
    "Averages of weighted mean and variance over every outcome of two-sided coins."
    task = np.repeat(np.arange(len(counts)), counts)
    w = (np.array(weights)/counts)[task]
    mid, dev = np.array(means)[task], np.array(variances)[task]**.5
    x = mid + dev*np.array(list(itertools.product((-1, 1), repeat=len(task))))
    m = x @ w
    return m.mean(), (w*(x - m[:, None])**2).sum(1).mean()

by_enumeration((.3, .7), (2, 5), (0., 4.), (1., 2.))

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
mixed = ((.3, .7), (2, 5), (0., 4.), (1., 2.))
thin = ((.2, .2, .6), (1, 3, 4), (-1., 2., .5), (.25, 1., 4.))
claim('adab2n.expected_stats',
    'For $S=1$ the weighted variance estimates that of the mixture with shares $\\pi$, less '
    '$\\sum_k\\pi_k^2\\sigma_k^2/N_k$.',
    of=expected_stats, source='ours',
    checks=[
        Check('brute force',
            lambda f: [*f(*map(lambda a: as64(*a), mixed)), *f(*map(lambda a: as64(*a), thin))],
            lambda: [*by_enumeration(*mixed), *by_enumeration(*thin)], 1e-12, 'every outcome, float64'),
        Check('limit', lambda f: [*f(as64(1.), as64(7), as64(3.), as64(2.)),
                *f(as64(.5, .5), as64(1, 1), as64(1., 1.), as64(3., 3.))], lambda: [3., 2*6/7, 1., 1.5],
            1e-14, 'one task: the biased variance; two samples in all')],
    mutants=[
        ('- (weights**2', '+ (weights**2'), ('weights**2*variances', 'weights*variances'),
        ('(means - mean)**2', 'means**2'), ('variances/counts', 'variances')],
    hunts=[
        Hunt(lambda size: some_tasks(size, ('generic', 'zero', 'equal', 'whole')), by_coins, 'brute force',
            1e-12, 'every outcome; float64, means of some units', sizes=(1, 2, 3), most=5, points=30,
            outside=(dict(weights=as64(.4, .4), counts=as64(1, 2), means=as64(0, 4), variances=as64(1, 1)),
                'with lost weight')),
        Hunt(some_tasks, by_products, 'algebra', 1e-10, 'fractions; float64, means up to 1e5 may cancel',
            sizes=(2, 8), most=32)],
    refuses=[lambda f, n=n: f(as64(.5, .5), as64(2, n), as64(0, 0), as64(1, 1)) for n in (.9, math.nan)],
    equivalent={'means - mean → mean - means': 'it is squared'})


# %% [markdown]
# **The shrinking**, on numbers, with the sums written out:

# %%
def by_sums(carried, x, w):
    "Weighted mean and variance with a part of the weight missing."
    w = carried*np.asarray(w)
    m = sum(wi*xi for wi, xi in zip(w, x))
    return m, sum(wi*(xi - m)**2 for wi, xi in zip(w, x))

def by_two_samples(carried, mean, var):
    "One sample a deviation below the mean and one above, with fifty digits."
    with localcontext(prec=50):
        carried, mean, var = map(Decimal, (carried, mean, var))
        two = mean - var.sqrt(), mean + var.sqrt()
        return tuple(map(float, by_sums(carried, two, HALVES)))

HALVES = np.array([Decimal('.5')]*2)
x, w = (1., 4., -2., 7.), (.1, .2, .3, .4)
by_sums(.8, x, w)

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
proper = np.average(x, weights=w), np.average((np.array(x) - np.average(x, weights=w))**2, weights=w)
claim('adab2n.shrunk_stats', 'With the weight $S$ carried, $m=S\\mu_p$ and $v=S[v_p+(1-S)^2\\mu_p^2]$.',
    of=shrunk_stats, source='ours',
    checks=[
        Check('brute force', lambda f: [*f(.8, *proper), *f(.35, *proper)],
            lambda: [*by_sums(.8, x, w), *by_sums(.35, x, w)], 1e-13, 'sums of four terms, float64'),
        Check('limit', lambda f: [*f(1., 3., 2.), *f(.5, 4., 0.)], lambda: [3., 2., 2., 2.], 1e-14,
            'all weight carried; a constant batch with half of it: 4 becomes 2, off by 2, and half of 2² is '
            '2')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(
            carried=reals(0, 1), mean=reals(-10.**size, 10.**size),
            var=st.just(0.) | scales(1e-6, 10.**size))), by_two_samples, 'brute force', 1e-12,
        'fifty digits; float64', sizes=(0, 1, 3), most=6)],
    equivalent={'1 - carried → carried - 1': 'it is squared'},
    mutants=[('carried*mean, ', 'mean, '), ('(1 - carried)**2', '(1 - carried)'), ('carried*(var', '(var')])


# %% [markdown]
# **The loss**, over every draw of five replayed samples, and over many random batches:

# %%
def over_all_draws(tasks, replay, batch):
    "Average lost weight over every draw of the replayed tasks; the last is present."
    draws = itertools.product(range(tasks), repeat=replay)
    lost = [(tasks - len({tasks - 1, *draw}))/(batch + tasks) for draw in draws]
    return sum(lost)/len(lost)

def one_by_one(tasks, replay, batch):
    "Chances that k old tasks were found, draw after draw, in fractions."
    chance = [Fraction(1)] + [Fraction(0)]*(tasks - 1)
    for _ in range(replay):
        stay = [c*(k + 1)/tasks for k, c in enumerate(chance)]
        move = [c*(tasks - k)/tasks for k, c in enumerate(chance[:-1], 1)]
        chance = [a + b for a, b in zip(stay, [0, *move])]
    lost = sum((tasks - 1 - k)*c for k, c in enumerate(chance))
    return float(lost/(batch + tasks))

over_all_draws(4, 5, 10), one_by_one(4, 5, 10)


# %%
def over_random_batches(tasks, replay, batch, n=200_000):
    "The same over random draws."
    draws = np.random.default_rng(1).integers(tasks, size=(n, replay))
    missing = sum((draws != k).all(1) for k in range(tasks - 1))
    return missing.mean()/(batch + tasks)

over_random_batches(20, 10, 20)

# %%
#| code-fold: true
#| code-summary: "The claim, its routes and its edits"
claim('adab2n.expected_loss',
    'At $\\alpha=1$ the official rule loses on average the weight $(t-1)(1-1/t)^R/(N+t)$.',
    of=expected_loss, source='ours',
    checks=[
        Check('brute force', lambda f: [f(4, 5, 10), f(3, 4, 9)],
            lambda: [over_all_draws(4, 5, 10), over_all_draws(3, 4, 9)], 1e-13, 'every draw, float64'),
        Check('sampling', lambda f: [f(20, 10, 20), f(10, 20, 30)],
            lambda: [over_random_batches(20, 10, 20), over_random_batches(10, 20, 30)], 3e-4,
            'four standard errors of 200,000 batches'),
        Check('limit', lambda f: [f(5, 0, 10), f(1, 7, 10)], lambda: [4/15, 0.], 1e-14,
            'no replay: all old tasks are missing; one task: none is')],
    hunts=[Hunt(lambda size: st.fixed_dictionaries(dict(
            tasks=wholes(1, size), replay=wholes(0, size), batch=wholes(1, 10*size))), one_by_one,
        'algebra', 1e-12, 'fractions, then float64', sizes=(1, 2, 5, 20), most=80)],
    mutants=[('(tasks - 1)*', 'tasks*'), ('**replay', '*replay'), ('(batch + tasks)', 'batch')])


# %% [markdown]
# ## Picture
#
# One batch of the fifth task with ten new samples and ten old ones, spread as evenly as they can be. The slider moves the prior's concentration, the same for every task: it is what the layer can learn.

# %%
#| hide
def weights_of(alpha, ax):
    "Weights of five tasks for one concentration, beside head count and equal weights."
    heads = torch.tensor([2., 2, 2, 2, 12], dtype=torch.float64)
    by_layer = task_weights(heads, torch.full((5,), math.log(alpha), dtype=torch.float64))
    bars = {'head count': heads/20, f'α = {alpha:g}': by_layer, 'equal': torch.full((5,), .2)}
    for i, ((name, w), color) in enumerate(zip(bars.items(), ('grey', 'blue', 'sky'))):
        ax.bar(np.arange(1, 6) + .27*(i - 1), w, .25, color=COLORS[color], label=name)
    ax.set(xlabel='task', ylabel='weight π', ylim=(0, .65), xticks=range(1, 6))
    ax.legend(loc='upper left')


# %%
#| label: fig-weights
#| fig-cap: "Weights of five tasks in one batch: by head count, by the layer (blue), and equal. The slider moves the number α of imaginary samples a task."
#| echo: false
slider('imaginary samples α', [.1, 1, 2, 5, 20, 100], weights_of,
    'With one imaginary sample a task, where the layer starts, its weights are close to the head count; '
    'only with twenty or more of them do they come close to equal ones.', start=1)


# %% [markdown]
# How far is one imaginary sample a task from balance? Each cell is the weight that reaches samples of the current task against that of one old task, averaged over draws of the ten replayed samples of ER-ACE.

# %%
#| code-fold: true
def carried(t, rule='renormalize', mix=0., new=10, replay=10, n=4000):
    "Average share of the current and of one old task over random draws; only weight with samples counts."
    draws = torch.from_numpy(np.random.default_rng(2).integers(t, size=(n, replay)))
    found = torch.zeros(t, dtype=torch.float64)
    for row in draws:
        heads = torch.bincount(row, minlength=t).double()
        heads[-1] += new
        found += task_weights(heads, torch.zeros(t, dtype=torch.float64), rule, mix)*(heads > 0)
    found /= n
    return f'{found[-1]:.3f} : {found[:-1].mean():.3f}'
heads = lambda t: f'{.5 + .5/t:.3f} : {.5/t:.3f}'
def row(name, t):
    "One line of the table."
    return f'{name}, t = {t}', heads(t), carried(t, 'official'), carried(t), carried(t, mix=1.)
head = 'setting', 'head count', 'official rule', 'absent left out', 'equal, absent left out'
Markdown(table([row(name, t) for name, t in settings.items()], head))

# %% [markdown]
# With twenty tasks the prior corrects more than with five; leaving absent tasks out gives a part of that back, and even equal weights leave the current task ahead, since it is never absent. [The next page](13_gradients.ipynb) shows how slowly training moves the prior.

# %%
#| label: fig-lost
#| fig-cap: "Weight that no sample carries under the official rule, against the number of tasks seen."
#| fig-alt: "The lost weight rises with the number of tasks: with ten replayed samples it passes a quarter at eighteen tasks, with twenty it is about half as large at twenty tasks and stays just below a quarter up to thirty."
#| classes: figcard
fig, ax = plt.subplots()
seen = np.arange(1, 31)
for host, replay, color in (('ER-ACE', 10, 'orange'), ('DER++', 20, 'purple')):
    lost = [100*expected_loss(int(t), replay, 10 + replay) for t in seen]
    ax.plot(seen, lost, color=COLORS[color], label=f'{host}: 10 new, {replay} replayed')
ax.set(xlabel='tasks seen', ylabel='lost weight 1 − S [%]')
ax.legend();

# %% [markdown]
# ## What if
#
# Predict first, then open.
#
# **1.** A batch holds one sample of an old task and nineteen of the new one, all of variance 1. Which weights make the larger error in the variance, head count or equal ones?
#
# <details><summary>Answer</summary>
#
# Equal ones: a half of the weight rests on a single sample, whose own variance is invisible. The bias of @eq-expected is $\frac14(1+\frac1{19})$ against $\frac1{20}$.
#
# </details>

# %%
rare, same = as64(1, 19), as64(0., 0.)
[1 - expected_stats(w, rare, same, as64(1., 1.))[1].item()
 for w in (rare/20, as64(.5, .5))]

# %% [markdown]
# **2.** A layer after a ReLU has no negative inputs, one before it has inputs around zero. Which suffers more from lost weight?
#
# <details><summary>Answer</summary>
#
# The one after the ReLU: in @eq-shrunk the harm is $(1-S)\mu_p$, which is zero for $\mu_p=0$. There only the scale shrinks, by $\sqrt S$.
#
# </details>

# %%
[shrunk_stats(.8, mean, 1.) for mean in (2., 0.)]

# %% [markdown]
# **3.** The buffer is drawn twice as large a batch. Does the official rule lose more or less?
#
# <details><summary>Answer</summary>
#
# Less, and quickly: the chance to miss a task falls with the power $R$.
#
# </details>

# %%
[round(expected_loss(20, r, 10 + r), 4) for r in (10, 20, 40)]

# %% [markdown]
# ## Where it lives
#
# The functions are in `papers_nb.adab2n.weights`. [The layer](21_layer.ipynb) uses `task_weights`; the switch is its `absent_tasks`, the mixture its `uniform_mix`.
