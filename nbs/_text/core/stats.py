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
import json
from dataclasses import dataclass

import numpy as np

from papers_nb.errors import UserError, need

# %%
#| hide
import statistics
from IPython.display import Markdown
from papers_nb.core.checks import raises

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

    def tells(self, up: str, down: str, none: str='no difference that these seeds can show')->str:
        "One of three sentences: above zero, below zero, or zero inside the interval."
        return up if self.low > 0 else down if self.high < 0 else none

    def __str__(self): return f'{self.mean:.1f} ± {self.half:.1f}' if self.n > 1 else f'{self.mean:.1f} (one seed)'

def _interval(mean, values, test, level):
    "Half-width from one of scipy's tests; 0 where nothing varies, infinite where nothing can be said."
    n = min(len(v) for v in values)
    if n < 1: raise UserError('no values: at least one seed is needed')
    if n < 2: return Interval(mean, float('inf'), n, level)
    if all(np.ptp(v) == 0 for v in values): return Interval(mean, 0., n, level)
    ci = test().confidence_interval(level)
    return Interval(mean, float(ci.high - ci.low)/2, n, level)

def interval(
    values,           # one number per seed
    level: float=.95, # coverage
)->Interval:
    "Student's t interval of the mean over seeds. Source: scipy `ttest_1samp`."
    v = np.asarray(values, dtype=float)
    return _interval(float(v.mean()) if len(v) else 0., [v], lambda: need('scipy.stats', 'run').ttest_1samp(v, 0.), level)


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
    if len(a) != len(b): raise UserError(f'paired needs the same seeds: {len(a)} values against {len(b)}')
    return interval(np.subtract(a, b), level)

def welch(
    a,                # one number per seed
    b,                # other seeds, perhaps another number of them
    level: float=.95, # coverage
)->Interval: # of mean(a) - mean(b)
    "Interval of the difference of two means of unequal spread. Source: scipy `ttest_ind`."
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return _interval(float(a.mean() - b.mean()), [a, b], lambda: need('scipy.stats', 'run').ttest_ind(a, b, equal_var=False), level)


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
    if not margin > 0: raise UserError(f'margin={margin}: a positive number, fixed before the run')
    if published is None: return 'no published value in reach'
    if not len(values): return 'not tried'
    i = interval(np.asarray(values, dtype=float) - published, level)
    if i.low > margin: return 'higher'
    if i.high < -margin: return 'lower'
    return 'matches' if -margin <= i.low and i.high <= margin else 'inconclusive'


# %%
#| code-fold: true
cases = {'a paper that says 68.5, margin 3': (ours, 68.5, 3.), 'the same, margin 1': (ours, 68.5, 1.), 'a paper that says 60': (ours, 60., 3.),
         'a paper that says 80': (ours, 80., 3.), 'one seed': (ours[:1], 68.5, 3.), 'a paper we could not read': (ours, None, 3.), 'no run': ([], 68.5, 3.)}
Markdown('\n'.join(['| case | verdict |', '|---|---|', *[f'| {k} | {verdict(*v)} |' for k, v in cases.items()]]))

# %% [markdown]
# A wide interval never "matches": too few seeds are inconclusive, however close the mean.

# %%
raises(paired, ours, theirs[:3])

# %% [markdown]
# ## A table over runs
#
# Run records that differ in more than their seed are different settings. A table has one line a setting: what sets it apart, how many seeds, every metric with its interval, and what a run cost.

# %%
#| exports
VARYING = ('seed', 'device', 'threads', 'save_every', 'fresh') # parameters that make no new setting

def summary(
    records: list[dict],   # run records
    metrics: list[str]|None=None, # which; all of the first record
    varying: tuple[str, ...]=VARYING, # parameters that make no new setting
)->str: # a Markdown table
    "Mean and 95 % interval over seeds, one line a setting; runs of different code are never pooled, those that did not finish are counted below."
    done = [r for r in records if r['status'] == 'done']
    if not done: return 'no finished runs'
    names = [k for k in done[0]['parameters'] if k not in varying and len({json.dumps(r['parameters'].get(k)) for r in done}) > 1]
    groups = {}
    if len({r.get('code') for r in done}) > 1: names.append('code')
    for r in done: groups.setdefault(tuple(str({**r['parameters'], 'code': r.get('code')}.get(k)) for k in names), []).append(r)
    units = {m: done[0]['metrics'][m]['unit'] for m in metrics or done[0]['metrics']}
    rows = [[*names, 'seeds', *(f'{m} [{u}]' for m, u in units.items()), 's a run']]
    for key, rs in sorted(groups.items()):
        rows.append([*key, str(len(rs)), *(str(interval([r['metrics'][m]['value'] for r in rs])) for m in units), f"{np.mean([r['cost']['wall_s'] for r in rs]):.1f}"])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['| ' + ' | '.join(c.ljust(w) for c, w in zip(row, widths)) + ' |' for row in rows]
    rest = len(records) - len(done)
    return '\n'.join([lines[0], '|' + '|'.join('-'*(w + 2) for w in widths) + '|', *lines[1:], *([f'\n{rest} runs did not finish'] if rest else [])])


# %%
def record(norm, seed, value):
    "The parts of a run record that a table reads."
    return {'status': 'done', 'parameters': {'norm': norm, 'seed': seed}, 'metrics': {'accuracy': {'value': value, 'unit': '%'}}, 'cost': {'wall_s': 2.}}

Markdown(summary([record('a', s, v) for s, v in enumerate(ours)] + [record('b', s, v) for s, v in enumerate(theirs)]))


# %% [markdown]
# A page that compares settings picks them out: those that differ from a notebook's defaults in what is asked, and in nothing else.

# %%
#| exports
def select(
    records: list[dict], # run records
    defaults: dict,      # parameters of a setting, name → value
    **asked,             # parameters that differ from them
)->dict[int, dict]: # seed → record
    "The finished runs of one setting, by seed. Source: ours."
    asked = {k: v for k, v in {**defaults, **asked}.items() if k not in VARYING}
    return {r['seed']: r for r in sorted(records, key=lambda r: r['seed']) if r['status'] == 'done' and all(r['parameters'].get(k) == v for k, v in asked.items())}

def difference(
    a: dict[int, dict], # seed → record, as `select` gives them
    b: dict[int, dict], # likewise
    metric: str,        # name of a metric
    level: float=.95,   # coverage
)->Interval: # of the mean of a - b
    "Paired interval of a metric over the seeds that two settings have in common. Source: ours."
    common = sorted(a.keys() & b.keys())
    return paired(*([rows[s]['metrics'][metric]['value'] for s in common] for rows in (a, b)), level)


def values(
    rows: dict[int, dict], # seed → record, as `select` gives them
    metric: str,           # name of a metric
)->list[float]: # one a seed
    "A metric of every seed."
    return [r['metrics'][metric]['value'] for r in rows.values()]

def comparison(
    named: dict[str, dict[int, dict]], # what a setting is called → seed → record
    base: str,          # the setting that the others are compared with
    metrics: list[str], # columns; the first is compared
)->str: # a Markdown table
    "Settings in lines: seeds, mean and interval of every metric, paired difference of the first and what it says. Source: ours."
    units = {m: next(iter(named[base].values()))['metrics'][m]['unit'] for m in metrics}
    lines = ['| | seeds | ' + ' | '.join(f'{m} [{u}]' for m, u in units.items()) + f' | {metrics[0]} against {base} | says |', '|---'*(len(metrics) + 4) + '|']
    for name, rows in named.items():
        i = difference(rows, named[base], metrics[0])
        told = ' | ' if name == base else f'{i.mean:+.2f} ± {i.half:.2f} | {i.tells("more", "less")}'
        lines.append(f'| {name} | {len(rows)} | ' + ' | '.join(str(interval(values(rows, m))) for m in metrics) + f' | {told} |')
    return '\n'.join(lines)


# %%
both = [record(norm, s, v) | {'seed': s} for norm, v5 in (('a', ours), ('b', theirs)) for s, v in enumerate(v5)]
print(difference(select(both, {'norm': 'a'}), select(both, {'norm': 'a'}, norm='b'), 'accuracy'))

# %%
Markdown(comparison({n: select(both, {'norm': n}) for n in 'ab'}, 'a', ['accuracy']))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.stats`. The tables of every results page and of `papers_nb results` are made with it.
