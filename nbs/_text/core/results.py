# %% [markdown]
# # Tables are made from records, and records from the name of a grid
#
# > A setting is typed once, in `settings.ini`; a page finds its runs by name, and shows the command that makes them.

# %% [markdown]
# 5 minutes · what you need first: [what a handful of seeds allows us to say](stats.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.results

# %%
#| export
from functools import cache

import numpy as np

from papers_nb import parameters, runs
from papers_nb.core.stats import LASTING, Interval, interval, lasting, paired
from papers_nb.core.tables import table
from papers_nb.errors import UserError, need

# %%
#| hide
from IPython.display import Markdown
from papers_nb.core.checks import raises

# %% [markdown]
# A results page that types its settings again will one day show others than the batch ran. So grids have names, in `settings.ini`:
#
# ```ini
# [adab2n/grid:digits-er]
# host = er
# norm = bn-separate,bn-joint,gn,adab2n
# seed = 0..9
# ```
#
# `papers_nb grid adab2n/train --grid digits-er` runs it, and a page asks for the records of the same name.
#
# ## The runs of a grid

# %%
#| exports
VARYING = ('seed', *parameters.OPERATIONAL)  # parameters that make no new setting

class Setting(dict):
    "Seed → record of the finished runs of one setting; knows what command makes them."

    def __init__(
        self,
        found: dict,        # seed → record
        notebook: str = '', # numberless name
        grid: str = '',     # name in settings.ini
        point: dict|None = None, # what the grid varies → value here
    ):
        super().__init__(found)
        self.notebook, self.grid, self.point = notebook, grid, point or {}

    @property
    def command(self)->str:
        "Runs what is missing of these runs; none for records that no grid asked for."
        return f'papers_nb grid {self.notebook} --grid {self.grid}' if self.grid else ''

def _key(params, varying):
    "Parameters as a key that two records of one setting share."
    kept = ((k, tuple(v) if isinstance(v, list) else v) for k, v in params.items())
    return tuple(sorted((k, v) for k, v in kept if k not in varying))

def select(
    records: list[dict], # run records
    params: dict,        # all parameters of a setting, as `runs.check` returns them
)->dict[int, dict]: # seed → record
    "The finished runs of one setting, by seed. Source: ours."
    key = _key(params, VARYING)
    done = [r for r in records if r['status'] == 'done']
    same = [r for r in done if _key(r['parameters'], VARYING) == key]
    return {r['seed']: r for r in sorted(same, key=lambda r: r['seed'])}

@cache
def _kept(notebook, changed):
    "Parameters and seed → committed record, as of a file that changed then."
    found = runs.records(notebook.split('/')[0], here=False)
    return {_key(r['parameters'], parameters.OPERATIONAL): r
            for r in found if r['notebook'] == notebook and r['status'] == 'done'}

def rows(
    notebook: str, # numberless name, adab2n/train
    grid: str,     # name of a grid of its paper in settings.ini
    **where,       # of what the grid varies, the value that is wanted
)->dict: # value of what varies still (a tuple if that is several) → Setting
    "The committed runs of a grid, by what it varies besides the seed. Source: ours."
    paper = notebook.split('/')[0]
    asked = runs.asked(notebook, grid)
    names = [k for k in runs.presets(paper, 'grid:')[grid] if k not in VARYING]
    names = [k for k in names if len({str(p[k]) for p in asked}) > 1]
    if unknown := [k for k in where if k not in names]:
        raise UserError(f'grid {grid!r} varies {", ".join(names) or "only the seed"}, '
                        f'not {unknown[0]!r}')
    asked = [p for p in asked if all(p[k] == v for k, v in where.items())]
    if not asked:
        raise UserError(f'no run of grid {grid!r} has {where}')
    file = runs.NOTEBOOKS/paper/'records.jsonl'
    kept = _kept(notebook, file.stat().st_mtime_ns if file.exists() else 0)
    found = {}
    for p in asked:
        key = tuple(p[k] for k in names if k not in where)
        point = {k: p[k] for k in names}
        setting = found.setdefault(key, Setting({}, notebook, grid, point))
        if (record := kept.get(_key(p, parameters.OPERATIONAL))):
            setting[p['seed']] = record
    return {k[0] if len(k) == 1 else k: v for k, v in found.items()}

def setting(
    notebook: str, # numberless name, adab2n/train
    grid: str,     # name of a grid of its paper in settings.ini
    **where,       # a value of everything that the grid varies besides the seed
)->Setting:
    "The committed runs of one setting of a grid. Source: ours."
    found = rows(notebook, grid, **where)
    if len(found) > 1:
        raise UserError(f'grid {grid!r} has {len(found)} settings with {where}: '
                        f'{", ".join(map(str, found))}')
    return next(iter(found.values()))


# %%
replayed = rows('adab2n/train', 'digits-er')
{norm: len(found) for norm, found in replayed.items()}

# %%
replayed['bn-joint'].command

# %% [markdown]
# A grid that varies several things gives tuples, in the order in which `settings.ini` names them; what is fixed in the call is left out. A name that the grid does not vary is refused:

# %%
both = rows('lirdrec/train', 'synthetic-items')
apart = rows('lirdrec/train', 'synthetic-items', neighbours=0)
list(both), list(apart)

# %%
raises(rows, 'adab2n/train', 'digits-er', kappa=1.)

# %%
raises(setting, 'lirdrec/train', 'synthetic-items', items='ids')

# %% [markdown]
# [A table](tables.ipynb) names the commands that make its runs:

# %%
counted = [[norm, len(found)] for norm, found in replayed.items()]
Markdown(table(counted, ['norm', 'seeds'], of=replayed.values()))


# %% [markdown]
# ## Values, differences, comparisons

# %%
#| exports
def _missing(setting):
    "The committed run that is nearest to a setting without one, and how it differs."
    same = lambda p: all(p[k] == v for k, v in setting.point.items())
    asked = next(p for p in runs.asked(setting.notebook, setting.grid) if same(p))
    def apart(record):
        "What the record was made with and the setting does not ask for."
        own = {k: v for k, v in record['parameters'].items() if k not in VARYING}
        differ = {k: v for k, v in own.items() if v != asked.get(k)}
        return [f'{k}={v!r} (asked {asked.get(k)!r})' for k, v in differ.items()]
    kept = runs.records(setting.notebook.split('/')[0], here=False)
    lists = (apart(r) for r in kept if r['notebook'] == setting.notebook)
    near = ', '.join(min(lists, key=len, default=[]))
    what = f'no record of grid {setting.grid!r} with {setting.point}'
    return (f'{what}; the nearest has {near}: name what a changed default was '
            f'in the grid, or run {setting.command}')

def values(
    rows: dict[int, dict], # seed → record
    metric: str,           # name of a metric
)->list[float]: # one a seed
    "A metric of every seed; raises `UserError` for a setting without a record."
    if not rows and getattr(rows, 'grid', ''): raise UserError(_missing(rows))
    return [r['metrics'][metric]['value'] for r in rows.values()]

def difference(
    a: dict[int, dict], # seed → record
    b: dict[int, dict], # likewise
    metric: str,        # name of a metric
    level: float = .95, # coverage
)->Interval: # of the mean of a - b
    "Paired interval of a metric over the seeds that two settings have in common."
    common = sorted(a.keys() & b.keys())
    both = ({s: found[s] for s in common} for found in (a, b))
    return paired(*(values(found, metric) for found in both), level)

def comparison(
    named: dict[str, dict[int, dict]], # what a setting is called → seed → record
    base: str,            # the setting that the others are compared with
    metrics: list[str],   # columns; the first is compared
    padded: bool = False, # for a terminal
)->str: # a Markdown table
    """Settings in lines: seeds, mean and interval of every metric, paired difference of
    the first, what it says and whether that would last. Source: ours."""
    units = {m: next(iter(named[base].values()))['metrics'][m]['unit'] for m in metrics}
    lines = []
    for name, rows in named.items():
        i = difference(rows, named[base], metrics[0])
        told = [i.signed(), i.tells('more', 'less'), *lasting(i)]
        shown = [interval(values(rows, m)) for m in metrics]
        lines.append([name, len(rows), *shown, *(['']*4 if name == base else told)])
    head = ['', 'seeds', *(f'{m} [{u}]' for m, u in units.items()),
            f'{metrics[0]} against {base}', 'says', *LASTING]
    made = [s for s in named.values() if isinstance(s, Setting)]
    return table(lines, head, made, padded)

def student(
    values, # one number per seed
)->tuple[float, float]: # low, high
    "Ends of the 95 % interval, for seaborn's `errorbar=`; the mean alone for one seed."
    i = interval(np.asarray(values, dtype=float))
    return (i.low, i.high) if i.n > 1 else (i.mean, i.mean)

def frame(
    named: dict[str, dict[int, dict]], # what a setting is called → seed → record
    metrics: list[str], # columns
):# of type pandas.DataFrame
    "One line a run, for seaborn: `setting`, `seed` and metrics; NaN for one it lacks."
    def line(name, r):
        "One run."
        found = {m: r['metrics'].get(m, {}).get('value', np.nan) for m in metrics}
        return {'setting': name, 'seed': r['seed'], **found}
    lines = [line(n, r) for n, rows in named.items() for r in rows.values()]
    return need('pandas', 'run').DataFrame(lines, columns=['setting', 'seed', *metrics])


# %%
Markdown(comparison(replayed, 'bn-joint', ['class_il', 'forgetting_trained']))

# %%
print(difference(replayed['adab2n'], replayed['bn-separate'], 'class_il'))

# %%
frame(replayed, ['class_il']).groupby('setting', sort=False).class_il.agg(student)


# %% [markdown]
# ## A table over runs
#
# Run records that differ in more than their seed are different settings. A table has one line a setting: what sets it apart, how many seeds, every metric with its interval, and what a run cost. A metric that only some runs of a setting have says of how many it is. Runs of earlier code stand on one line with those of the present one where it [replays](../results.ipynb#who-stands-behind-a-record) them, bit by bit, and on a line of their own where not.

# %%
#| exports
def _codes(records):
    """What a table says of each record's code: nothing if all have one, else `present`
    where the present code made or replayed it, and the hash of any other."""
    if len({r.get('code') for r in records}) < 2:
        return ['']*len(records)
    from papers_nb.core.replay import status
    good = [status(r) in ('this code', 'replayed') for r in records]
    return ['present' if ok else r['code'] for ok, r in zip(good, records)]

def _settings(records, varying):
    "Names of what sets records apart, and value of each → records."
    def different(k):
        "True if not all records have one value of a parameter."
        return len({str(r['parameters'].get(k)) for r in records}) > 1
    names = [k for k in records[0]['parameters'] if k not in varying and different(k)]
    codes = _codes(records)
    groups = {}
    for r, code in zip(records, codes):
        key = [str(r['parameters'].get(k)) for k in names]
        groups.setdefault((*key, code) if any(codes) else tuple(key), []).append(r)
    return names + ['code']*any(codes), groups

def _mean(records, metric):
    "Interval of a metric over the records that have it."
    found = [r['metrics'][metric]['value'] for r in records if metric in r['metrics']]
    if not found or len(found) == len(records):
        return str(interval(found)) if found else ''
    shown = str(interval(found)) if len(found) > 1 else f'{found[0]:.1f}'
    return f'{shown} ({len(found)} of {len(records)})'

def summary(
    records: list[dict],   # run records
    metrics: list[str]|None = None, # which; all that any record has
    varying: tuple[str, ...] = VARYING, # parameters that make no new setting
)->str: # a Markdown table
    """Mean and 95 % interval over seeds, one line a setting; runs of code that does
    something else are never pooled, those that did not finish are counted below."""
    done = [r for r in records if r['status'] == 'done']
    if not done:
        return 'no finished runs'
    units = {}
    for r in done:
        for m, v in r['metrics'].items():
            units.setdefault(m, v['unit'])
    shown = metrics or [*units]
    names, groups = _settings(done, varying)
    lines = [[*key, len(rs), *(_mean(rs, m) for m in shown),
              f"{np.mean([r['cost']['wall_s'] for r in rs]):.1f}"]
             for key, rs in sorted(groups.items())]
    head = [*names, 'seeds', *(f'{m} [{units[m]}]' for m in shown), 's a run']
    rest = len(records) - len(done)
    below = f'\n\n{rest} runs did not finish' if rest else ''
    return table(lines, head, padded=True) + below


# %%
def record(norm, seed, **found):
    "The parts of a run record that a table reads."
    return {'status': 'done', 'seed': seed, 'cost': {'wall_s': 2.},
            'parameters': {'norm': norm, 'seed': seed},
            'metrics': {m: {'value': v, 'unit': '%'} for m, v in found.items()}}

some = [record('a', 0, accuracy=68.1), record('a', 1, accuracy=70.4, recall=40.)]
failed = {**record('b', 1), 'status': 'failed'}
Markdown(summary([*some, record('b', 0, accuracy=67.2), failed]))


# %% [markdown]
# ## Runs at hand against the committed ones
#
# Two seeds of one's own say little. What they can say is whether this machine does what ours did: each run is held against the committed record of the same setting and seed. What the methods differ by is then read from all committed seeds.

# %%
#| exports
def against_records(
    records: list[dict], # of runs at hand, of one notebook
)->str: # two Markdown tables, padded for a terminal
    """Runs beside the committed records of the same setting and seed; then the seeds
    that these settings have in common there, compared with the first one. Empty
    where there is no committed record of any of them."""
    done = [r for r in records if r['status'] == 'done']
    if not done:
        return ''
    metric, unit = next((m, v['unit']) for m, v in done[0]['metrics'].items())
    paper, notebook = done[0]['notebook'].split('/')[0], done[0]['notebook']
    kept = [r for r in runs.records(paper, here=False) if r['notebook'] == notebook]
    names, groups = _settings([{**r, 'code': None} for r in done], VARYING)
    lines, named = [], {}
    for key, rs in groups.items():
        ours = named[', '.join(key)] = select(kept, rs[0]['parameters'])
        for r in sorted(rs, key=lambda r: r['seed']):
            here = r['metrics'][metric]['value']
            told = ['none', '']
            if r['seed'] in ours:
                there = ours[r['seed']]['metrics'][metric]['value']
                told = [f'{there:.2f}', f'{here - there:+.2f}']
            lines.append([*key, r['seed'], f'{here:.2f}', *told])
    if not any(named.values()):
        return ''
    head = [*names, 'seed', f'{metric} here [{unit}]', 'committed', 'difference']
    text = table(lines, head, padded=True)
    common = sorted(set.intersection(*(set(s) for s in named.values())))
    if len(named) < 2 or len(common) < 2:
        return text
    named = {n: {s: ours[s] for s in common} for n, ours in named.items()}
    below = comparison(named, next(iter(named)), [metric], padded=True)
    return f'{text}\n\nAll {len(common)} committed seeds of these settings:\n\n{below}'


# %%
mine = [replayed[n][s] for n in ('bn-separate', 'bn-joint') for s in (0, 1)]
Markdown(against_records(mine))

# %% [markdown]
# These runs are the committed ones, so they differ by nothing.
#
# ## Where it lives
#
# `papers_nb.core.results`. Every results page, `papers_nb results` and the table that `papers_nb grid` ends with are made with it.
