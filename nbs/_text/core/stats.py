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
    if i.low > margin:
        return 'higher'
    if i.high < -margin:
        return 'lower'
    return 'matches' if -margin <= i.low and i.high <= margin else 'inconclusive'


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
# ## Where it lives
#
# `papers_nb.core.stats`. [Tables from records](results.ipynb) are made with it.
