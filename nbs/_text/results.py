# %% [markdown]
# # What our runs say
#
# > All papers, every setting we ran, with intervals over seeds and a verdict against the published number.

# %% [markdown]
# Every number here comes from a run record that lies beside the notebooks. An interval is 95 %, over seeds, and covers what a seed draws: initial weights and the order of the data; for AdaB²N also the order of the classes; for LIRDRec's made-up sets the whole shop. It does not cover another data set, split or setting. A verdict is computed from a margin that was fixed before the run: the interval of our difference from the published value lies inside the margin (*matches*), outside it (*higher*, *lower*), or neither (*inconclusive*). Runs with seeds from 100 on are searches, and are left out here. See [What a handful of seeds allows us to say](core/stats.ipynb).

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import csv
from IPython.display import Markdown
from papers_nb import parameters, runs
from papers_nb.core.results import select, setting, summary, values
from papers_nb.core.tables import table
from papers_nb.core.stats import LASTING, interval, lasting, verdict
from papers_nb.core.replay import differences, groups

# %%
#| hide
kept = {paper: [r for r in runs.records(paper, here=False) if r['seed'] < 100] for paper in runs.papers()}

def published(paper):
    "The published values that we could read."
    file = runs.NOTEBOOKS/paper/'published.csv'
    return list(csv.DictReader(file.open(encoding='utf-8'))) if file.exists() else []

def ours(paper, row):
    "Our values, one a seed, where the row names the grid or the preset of its runs."
    if not row.get('runs'):
        return []
    notebook, flag, name = row['runs'].split()
    if flag == '--grid':
        return values(setting(notebook, name), row['metric'])
    asked = runs.check(notebook, parameters.preset(f'{paper}/{name}'))
    return values(select(kept[paper], asked), row['metric'])


# %% [markdown]
# ## Against the papers

# %%
#| echo: false
#| label: tbl-verdicts
#| tbl-cap: "Published values in reach, and what our runs of the same setting say."
#| classes: sortable
def line(paper, row):
    "A published value and what ours says of it."
    found, value, margin = ours(paper, row), float(row['value']), float(row['margin'])
    lasts = lasting(interval([x - value for x in found]), margin) if found else ['', '']
    return [paper, *(row[k] for k in ('setting', 'method', 'metric')), f'{row["value"]} {row["unit"]}',
            row['margin'], verdict(found, value, margin), *lasts, row['source']]

header = ['paper', 'setting', 'method', 'metric', 'published', 'margin', 'verdict', *LASTING, 'source']
Markdown(table([line(paper, row) for paper in kept for row in published(paper)], header))


# %% [markdown]
# ## Our own settings

# %%
#| echo: false
#| classes: sortable
def section(paper):
    "One table a training notebook and data set."
    groups = {}
    for r in kept[paper]:
        groups.setdefault((r['notebook'], r['parameters']['data']), []).append(r)
    return [f'### {notebook} on {data}\n\n{summary(found, list(found[0]["metrics"])[:3])}'
            for (notebook, data), found in sorted(groups.items())]

Markdown('\n\n'.join(text for paper in kept for text in section(paper)))

# %% [markdown]
# ## Who stands behind a record
#
# *This code* made the record. *Replayed*: earlier code made it, and that code and the present one, run side by side for one seed of the setting, gave equal bits: every loss, metric and weight; of runs that take more than 15 s, up to some steps past their first evaluation. *Other*: neither. `make replay` says it anew.

# %%
#| echo: false
every = [r for found in kept.values() for r in found]
clean = sum(not r['environment']['dirty'] for r in every)
lines = [[paper, what, count] for paper, found in kept.items() for what, count in groups(found).items()]
Markdown(
    table(lines, ['paper', 'who stands behind a record', 'records'])
    + f'\n\n{clean} of these {len(every)} runs were made from a tree without uncommitted changes.')


# %% [markdown]
# ## On another processor
#
# The same code and seed round differently where a processor has other instructions, and a training makes the difference grow. How far the first metric of a run (accuracy of Class-IL, recall at 20) came out from its record, the code being the same:

# %%
#| echo: false
def apart(paper, machine, found):
    "How far runs on other instructions are from their records."
    sizes = [abs(d) for d in found]
    return [paper, machine, len(found), f'{max(sizes):.2g}', f'{sum(sizes)/len(sizes):.2g}']

lines = [apart(paper, *found) for paper in kept for found in sorted(differences(paper).items())]
header = ['paper', 'instructions', 'runs', 'largest [points]', 'mean [points]']
Markdown(table(lines, header))


# %% [markdown]
# `papers_nb reproduce RECORD` runs a record again and says whether it has the same bits, or lies within the interval over seeds.

# %% [markdown]
# ## What they cost

# %%
#| echo: false
def cost(paper):
    "Sums over the records of a paper."
    found = kept[paper]
    costs = [r['cost'] for r in found]
    devices = ', '.join(sorted({r['environment']['device'] for r in found}))
    return [paper, len(found), devices, f'{sum(c["wall_s"] for c in costs):.0f} s',
            f'{max(c["peak_mb"] for c in costs):,} MB', sum(c['resumes'] for c in costs)]

header = ['paper', 'runs', 'device', 'wall time', 'peak memory', 'resumes']
Markdown(table([cost(paper) for paper in kept if kept[paper]], header))
