# %% [markdown]
# # What a handful of seeds allows us to say
#
# > Intervals over seeds, differences between methods, and a verdict that is computed.

# %% [markdown]
# 5 minutes · what you need first: a mean

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.stats

# %%
#| export
from dataclasses import dataclass

import numpy as np

from papers_nb.errors import UserError, need

# %%
#| hide
import statistics
from IPython.display import Markdown
from scipy.stats import t
from papers_nb.core.checks import raises
from papers_nb.core.tables import table

# %% [markdown]
# A training has one number per seed. The question is never "which number is larger" but "where does the mean over seeds lie". Intervals here are over **seeds**, never over test images: the test images are the same for every seed, and their noise says nothing about training again.
#
# ## An interval
#
# Five seeds, an accuracy each:

# %%
ours = [68.1, 70.4, 66.9, 69.5, 68.6]


# %%
#| exports
@dataclass(frozen=True)
class Interval:
    "A mean and the half-width of its interval."
    mean: float   # in the unit of the values
    half: float   # likewise; infinite for a single value
    n: int        # how many values
    level: float  # coverage, in (0, 1)

    @property
    def low(self)->float:
        "Lower end."
        return self.mean - self.half

    @property
    def high(self)->float:
        "Upper end."
        return self.mean + self.half

    def tells(
        self,
        up: str,   # said where the interval lies above zero
        down: str, # where it lies below
        none: str='no difference that these seeds can show', # where it includes zero
    )->str:
        "One of three sentences: above zero, below zero, or zero inside the interval."
        return up if self.low > 0 else down if self.high < 0 else none

    def signed(self)->str:
        "A difference in points: with its sign, to two digits."
        return f'{self.mean:+.2f} ± {self.half:.2f}'

    def __str__(self):
        if self.n < 2:
            return f'{self.mean:.1f} (one seed)'
        return f'{self.mean:.1f} ± {self.half:.1f}'

def _interval(mean, values, test, level):
    """Half-width from one of scipy's tests; 0 where nothing varies, infinite where
    nothing can be said."""
    n = min(len(v) for v in values)
    if n < 1:
        raise UserError('no values: at least one seed is needed')
    if not all(np.isfinite(v).all() for v in values):
        shown = [v.tolist() for v in values]
        raise UserError(f'values {shown}: finite numbers, one a seed')
    if n < 2:
        return Interval(mean, float('inf'), n, level)
    if all(np.ptp(v) == 0 for v in values):
        return Interval(mean, 0., n, level)
    ci = test().confidence_interval(level)
    return Interval(mean, float(ci.high - ci.low)/2, n, level)

def interval(
    values,           # one number per seed
    level: float=.95, # coverage
)->Interval:
    "Student's t interval of the mean over seeds. Source: scipy `ttest_1samp`."
    v = np.asarray(values, dtype=float)
    def test():
        "Student's test of the mean."
        return need('scipy.stats', 'run').ttest_1samp(v, 0.)
    return _interval(float(v.mean()) if len(v) else 0., [v], test, level)


# %%
print(interval(ours))

# %% [markdown]
# By hand: the standard error is the deviation over $\sqrt 5$, and for four degrees of freedom 95 % of Student's distribution lies within 2.776 of them.

# %%
2.776*statistics.stdev(ours)/5**.5

# %% [markdown]
# One seed gives a mean and no interval, and says so:

# %%
print(interval([68.1]))


# %% [markdown]
# ## Two methods
#
# Where both methods ran with the same seeds, and so with the same class order, initial weights and replay draws, the difference seed by seed cancels what they share. That is the **paired** interval. Without common seeds, Welch's interval does not assume equal spread.

# %%
#| exports
def paired(
    a,                # one number per seed
    b,                # the same seeds, in the same order
    level: float=.95, # coverage
)->Interval: # of the mean of a - b
    "Interval of the mean difference over common seeds. Source: scipy `ttest_rel`."
    if len(a) != len(b):
        raise UserError(f'paired needs the same seeds: '
                        f'{len(a)} values against {len(b)}')
    return interval(np.subtract(a, b), level)

def welch(
    a,                # one number per seed
    b,                # other seeds, perhaps another number of them
    level: float=.95, # coverage
)->Interval: # of mean(a) - mean(b)
    "Interval of the difference of two means of unequal spread, `ttest_ind` of scipy."
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    def test():
        "Welch's test of the difference."
        return need('scipy.stats', 'run').ttest_ind(a, b, equal_var=False)
    return _interval(float(a.mean() - b.mean()), [a, b], test, level)


# %%
theirs = [67.2, 69.9, 66.1, 68.9, 67.5]
both_ways = paired(ours, theirs), welch(ours, theirs)
print(*both_ways, sep=' | ')
[i.tells('more', 'less') for i in both_ways]


# %% [markdown]
# The same ten numbers: paired, the first method is ahead; unpaired, nothing can be said.
#
# ## A verdict
#
# Against a published number the verdict is computed from a margin that was fixed before the run.

# %%
#| exports
def verdict(
    values,           # ours, one number per seed
    published: float|None, # the paper's number, or None if there is none in reach
    margin: float,    # how far apart still counts as equal, fixed before we ran
    level: float=.95, # coverage of the interval
)->str: # matches, higher, lower, inconclusive, no published value in reach, not tried
    "Compare our interval over seeds with a published value. Source: ours."
    if not margin > 0:
        raise UserError(f'margin={margin}: a positive number, fixed before the run')
    if published is None:
        return 'no published value in reach'
    if not len(values):
        return 'not tried'
    i = interval(np.asarray(values, dtype=float) - published, level)
    return VERDICTS[int(_side(i.low, i.high, margin))]

VERDICTS = 'inconclusive', 'higher', 'lower', 'matches'

def _side(low, high, margin):
    "Which of the verdicts intervals give, by their ends; numbers or arrays."
    inside = (-margin <= low) & (high <= margin)
    return np.select([low > margin, high < -margin, inside], [1, 2, 3], 0)


# %%
#| code-fold: true
cases = {
    'a paper that says 68.5, margin 3': (ours, 68.5, 3.),
    'the same, margin 1': (ours, 68.5, 1.),
    'a paper that says 60': (ours, 60., 3.),
    'a paper that says 80': (ours, 80., 3.),
    'one seed': (ours[:1], 68.5, 3.),
    'a paper we could not read': (ours, None, 3.),
    'no run': ([], 68.5, 3.)}
Markdown(table([[case, verdict(*given)] for case, given in cases.items()], ['case', 'verdict']))

# %% [markdown]
# A wide interval never "matches": too few seeds are inconclusive, however close the mean.

# %%
raises(paired, ours, theirs[:3])


# %% [markdown]
# ## Would it last?
#
# Other seeds would have given another mean and another spread, and perhaps another verdict. How likely is that? Resampling the few seeds we have, the plain bootstrap, is too sure: three values that lie on one side of a border never give a set on the other, and their spread is on average too small. So mean and spread themselves are drawn first, from what $n$ values of mean $m$ and deviation $s$ leave open,
#
# $$\sigma^2=\frac{(n-1)\,s^2}{\chi^2_{n-1}},\qquad\mu\sim\mathcal N\Bigl(m,\frac{\sigma^2}n\Bigr),$$
#
# and then a fresh set of seeds from each: the share whose verdict differs is the chance that ours flips. (This is the posterior of a normal mean and deviation under the usual flat prior.) The second number is how many seeds would settle the question, if mean and deviation are those measured: the fewest with which 19 of 20 fresh sets give the verdict that mean deserves.

# %%
#| exports
def _verdicts(mean, deviation, seeds, level, margin, draws):
    "Verdicts of fresh sets of seeds, one for each true mean and deviation drawn."
    t, rng = need('scipy.stats', 'run').t, np.random.default_rng(0)
    middle = mean + deviation*rng.standard_normal(draws)/seeds**.5
    spread = deviation*(rng.chisquare(seeds - 1, draws)/(seeds - 1))**.5
    half = t.ppf((1 + level)/2, seeds - 1)*spread/seeds**.5
    return _side(middle - half, middle + half, margin)

def _deviation(i):
    "The deviation of single seeds that an interval was made of."
    t = need('scipy.stats', 'run').t
    return i.half*i.n**.5/t.ppf((1 + i.level)/2, i.n - 1)

def flips(
    i: Interval,      # of a difference, from two seeds on
    margin: float=0., # 0: the verdict is whether zero lies inside
    draws: int=20_000,
)->float: # in [0, 1]; not a number for a single seed, which says nothing
    """Chance that as many fresh seeds give another verdict. For two groups of seeds,
    as if each had as many as the smaller.

    Source: ours, a parametric bootstrap with the spread unknown."""
    if i.n < 2 or not i.half:
        return 0. if i.n > 1 else float('nan')
    rng = np.random.default_rng(1)
    deviation = _deviation(i)*((i.n - 1)/rng.chisquare(i.n - 1, draws))**.5
    mean = i.mean + deviation*rng.standard_normal(draws)/i.n**.5
    fresh = _verdicts(mean, deviation, i.n, i.level, margin, draws)
    return float(np.mean(fresh != _side(i.low, i.high, margin)))

def seeds_to_settle(
    i: Interval,      # of a difference, from two seeds on
    margin: float=0., # 0: the verdict is whether zero lies inside
    most: int=1000,   # more are not looked for
)->int|None: # None: more than `most`, or nothing is known
    """Fewest seeds with which 19 of 20 fresh sets give the verdict that the mean
    deserves, if mean and deviation are those measured. Source: ours."""
    if i.n < 2:
        return None
    deviation, deserved = _deviation(i), int(_side(i.mean, i.mean, margin))
    def settled(n):
        "Whether n seeds are enough."
        fresh = _verdicts(i.mean, deviation, n, i.level, margin, 20_000)
        return np.mean(fresh == deserved) >= .95
    low, high = 1, 2
    while not settled(high):
        low, high = high, 2*high
        if low > most: return None
    while high - low > 1:
        middle = (low + high)//2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high if high <= most else None

LASTING = 'flips', 'seeds to settle'

def lasting(
    i: Interval,      # of a difference
    margin: float=0., # 0: the verdict is whether zero lies inside
)->list[str]: # as in a table, under LASTING
    "How likely a verdict is to flip, and how many seeds would settle it, in words."
    if i.n < 2:
        return ['unknown', 'unknown']
    enough = seeds_to_settle(i, margin)
    return [f'{flips(i, margin):.0%}', f'{enough}' if enough else 'over 1,000']


# %%
for i in both_ways: print(i, i.tells('more', 'less'), *lasting(i), sep=' | ')


# %% [markdown]
# The paired difference is ahead, and would still be in most fresh sets of five; unpaired, more seeds would be needed than these five.
#
# Is the chance itself right? Sets of $n$ seeds are drawn from a thousand known differences, from none to four or to eight standard errors; for each set both methods say how likely its verdict is to flip, and a fresh set shows whether it does. Flips in percent, on average:

# %%
#| code-fold: true
def tried(n, errors, sets=1000):
    "Share of verdicts that flip, and what both methods expect."
    rng, found = np.random.default_rng(n), []
    for true in np.linspace(0, errors/n**.5, sets):
        now, fresh = rng.normal(true, 1, (2, n))
        sides = [_side(i.low, i.high, 0.) for i in map(interval, (now, fresh))]
        again = rng.choice(now, (200, n))
        half = t.ppf(.975, n - 1)*again.std(1, ddof=1)/n**.5
        plain = _side(again.mean(1) - half, again.mean(1) + half, 0.)
        expected = flips(interval(now), draws=500), np.mean(plain != sides[0])
        found.append((sides[0] != sides[1], *expected))
    return [f'{100*x:.0f}' for x in np.mean(found, 0)]
head = 'seeds', 'standard errors', 'flipped', 'expected here', 'by the plain bootstrap'
Markdown(table([[n, f'up to {e}', *tried(n, e)] for e in (4, 8) for n in (3, 5, 10)], head))

# %% [markdown]
# Over the wide range the expectation is right to a few points, and the plain bootstrap expects little more than half of the flips. Where all differences are near the border, which no set of seeds can know, more verdicts flip than either says: a chance of a quarter is to be read as a quarter or more.

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.stats`. [Tables from records](results.ipynb) are made with it.
