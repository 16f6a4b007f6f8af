# %% [markdown]
# # An old record is good while today's code repeats it
#
# > A record names the code that made it. Code changes; whether that record would come out the same today is tried, not assumed.

# %% [markdown]
# 6 minutes · what you need first: [what a record is](records.ipynb), [what counts as its code](code.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.replay

# %%
#| export
import csv, difflib, json, math, statistics, tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from papers_nb import parameters, player, runs
from papers_nb.core.code import code_hash, page_cells
from papers_nb.core.records import checksum, records, six
from papers_nb.errors import UserError, need

# %%
#| hide
from IPython.display import Markdown
from papers_nb.core.tables import table


# %% [markdown]
# `make replay` takes the records of the site one setting after the other. It runs the record's own commit beside the present code, on the same machine, and compares every logged number, the metrics and the weights, bit by bit: to the end where a run lasts some seconds, else until some steps after the first evaluation. What it found stands in `replays.csv` beside the notebooks, one line a setting, and counts for the code that was present then and for no other.
#
# ## One setting, one code

# %%
#| exports
def setting(
    record: dict, # a run record
)->str: # JSON: notebook and parameters
    "What a run was asked, without its seed and the operational parameters."
    aside = (*parameters.OPERATIONAL, 'seed')
    params = {k: v for k, v in record['parameters'].items() if k not in aside}
    return json.dumps([record['notebook'], params], sort_keys=True)

@cache
def present(
    asked: str, # a `setting`
)->str: # 16 hex digits
    "Hash of the present code of a setting."
    notebook, params = json.loads(asked)
    return code_hash(page_cells(runs.notebook(notebook)), params)

def rows(
    paper: str, # its folder
)->list[dict[str, str]]: # one a setting and processor
    "What `make replay` found."
    file = parameters.NOTEBOOKS/paper/'replays.csv'
    if not file.exists(): return []
    return list(csv.DictReader(file.read_text(encoding='utf-8').splitlines()))

def differences(
    paper: str, # its folder
)->dict[str, list[float]]: # instruction set → one number a record
    "By how much a record's first metric came out different on another processor."
    found = {}
    for row in (r for r in rows(paper) if r['difference']):
        found.setdefault(row['instructions'], []).append(float(row['difference']))
    return found


# %%
#| code-fold: true
sample = [r for r in rows('adab2n') if 'digits-seed0-0' in r['record']][:3]
shown = ('record', 'steps', 'instructions', 'outcome')
Markdown(table([[r[k] for k in shown] for r in sample], shown))

# %% [markdown]
# ## Who stands behind a record
#
# The code that made it is the present one, or the present one repeats it, or neither is known.

# %%
#| exports
# of several machines that tried a setting, the last one here counts
OUTCOMES = ('cannot be tried', 'replayed', 'differs')

@cache
def _outcomes(paper):
    "Setting and present code → row."
    settings = {r['name']: setting(r) for r in records(paper, here=False)}
    found = sorted(rows(paper), key=lambda r: OUTCOMES.index(r['outcome']))
    found = [r for r in found if r['record'] in settings]
    return {(settings[r['record']], r['present']): r for r in found}

def status(
    record: dict, # a run record, with complete parameters
)->str: # this code, replayed, other, or cannot be tried here (why)
    "Who stands behind a record. Source: ours."
    asked = setting(record)
    if record['code'] == (code := present(asked)): return 'this code'
    known = _outcomes(record['notebook'].split('/')[0])
    row = known.get((asked, code), {'outcome': 'differs'})
    if row['outcome'] == 'cannot be tried':
        return f'cannot be tried here ({row["why"]})'
    return 'other' if row['outcome'] == 'differs' else 'replayed'

def groups(
    records: list[dict], # run records
)->Counter[str]: # status → how many
    "How many records have which status."
    return Counter(map(status, records))


# %% [markdown]
# ## Run one again
#
# `papers_nb reproduce RECORD` runs a record whole by the present code. On the same kind of processor the same bits are expected; on another one the first losses agree to three digits and the end lies where another seed might have ended.

# %%
#| exports
RTOL = 1e-3 # of the first losses, between two processors

def _named(name):
    "A record by a part of its name, and the others of its setting."
    found = {r['name']: r for paper in runs.papers() for r in records(paper)}
    fits = [n for n in found if n == name] or [n for n in found if name in n]
    if len(fits) != 1:
        near = ', '.join(fits[:5] or difflib.get_close_matches(name, found, 3, 0.))
        many = f'{len(fits)} records are' if fits else 'no record is'
        raise UserError(f'{many} called {name!r}; near: {near}')
    record = found[fits[0]]
    others = [r for r in found.values() if setting(r) == setting(record)]
    return record, [r for r in others if r is not record]

def _parts(ours, theirs, files, artifacts):
    "What of a record does not come out as it stands there."
    wrong = [p for p in ('first_losses', 'series', 'metrics') if ours[p] != theirs[p]]
    return wrong + [n for n, a in artifacts.items() if files.get(n) != a['sha256']]

def _seeds(now, was, others):
    "Whether two values are as near as two seeds, and in words."
    if len(others) < 2:
        return False, 'different, and too few seeds to tell how much that is'
    quantile = need('scipy.stats', 'run').t.ppf(.975, len(others) - 1)
    half = quantile*statistics.stdev(others)*math.sqrt(2)
    where = 'within' if (good := abs(now - was) <= half) else 'different: outside'
    return good, f'{where} the interval over seeds (± {half:.3g})'

def judged(
    record: dict,       # as it stands
    others: list[dict], # records of its setting with other seeds
    got: dict,          # what `player.play` answers for it: record, files
)->tuple[bool, str]: # good or not, and why
    "Whether a run is that of a record, as far as seeds can tell. Source: ours."
    ours, theirs = ({**r, 'series': {k: six(v) for k, v in r['series'].items()}}
                    for r in (got['record'], record))
    wrong = _parts(ours, theirs, got['files'], record.get('artifacts', {}))
    if not wrong: return True, 'the same bits'
    none = {'value': math.nan}
    changed = [k for k, m in theirs['metrics'].items() if m != ours['metrics'].get(k)]
    name = changed[0] if wrong == ['metrics'] else next(iter(theirs['metrics']))
    now, was = (r['metrics'].get(name, none)['value'] for r in (ours, theirs))
    text = f'{name} {now:.6g}, recorded {was:.6g}'
    if len(wrong) == 1 and theirs['first_losses']:
        alone = f'only its {wrong[0]}, so the record does not fit itself'
        return False, f'different: {alone}; {text}'
    pairs = zip(ours['first_losses'], theirs['first_losses'], strict=True)
    if not all(math.isclose(a, b, rel_tol=RTOL) for a, b in pairs):
        return False, f'different from the first steps on; {text}'
    good, words = _seeds(now, was, [r['metrics'][name]['value'] for r in others])
    return good, f'{words}; {text}'


# %% [markdown]
# A record that was made false by hand does not fit itself. A made-up example: its curve and its first losses come out as they stand, its result does not.

# %%
true = {'first_losses': [2.3, 2.2], 'series': {'recall': [1/3]},
        'metrics': {'recall': {'value': 33.3, 'unit': '%'}}}
false = {**true, 'metrics': {'recall': {'value': 43.3, 'unit': '%'}}}
played = {'record': true, 'files': {}}
judged(true, [], played), judged(false, [], played)


# %%
#| exports
def _again(record, others):
    "Run a record by the present code, and judge what comes out."
    task = {'notebook': record['notebook'], 'params': record['parameters']}
    task['whole'] = True
    try: data = checksum(record['notebook'], record['parameters'])
    except UserError as e: return False, f'cannot be tried ({e})'
    if data not in record['data'].values():
        held = ', '.join(record['data'].values())
        return False, f'other data: {data}, recorded {held}'
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)/'answer.json'
        player.play(player.ROOT, [task | {'out': str(out)}], lambda file: None, None)
        got = json.loads(out.read_text(encoding='utf-8'))
    if 'error' in got: return False, f'cannot be tried ({got["error"]})'
    return judged(record, others, got)

def reproduce(
    name: str, # of a record, or a part that no other has
)->bool: # the same bits, or within the interval over seeds
    "Run a record again by the present code and say what came out."
    record, others = _named(name)
    took = f'it took {record["cost"]["wall_s"]:.0f} s'
    print(f'{record["name"]}: {status(record)}; {took}', flush=True)
    good, text = _again(record, others)
    print(text)
    return good

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.replay`; `papers_nb.player` runs notebooks as plain scripts, with the package of any commit; the results pages say of their records how many are by this code, replayed, or neither.
