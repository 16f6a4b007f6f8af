# %% [markdown]
# # What our runs say
#
# > All papers, every setting we ran, with intervals over seeds and a verdict against the published number.

# %% [markdown]
# Every number here comes from a run record that lies beside the notebooks. An interval is 95 %, over seeds. A verdict is computed from a margin that was fixed before the run: the interval of our difference from the published value lies inside the margin (*matches*), outside it (*higher*, *lower*), or neither (*inconclusive*). Runs with seeds from 100 on are searches, and are left out here. See [What a handful of seeds allows us to say](core/stats.ipynb).

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import csv
from IPython.display import Markdown
from papers_nb import grid, runs
from papers_nb.core.stats import select, summary, verdict

# %%
#| hide
papers = sorted({n.split('/')[0] for n in runs.notebooks() if '/' in n and not n.startswith('core/')})
def published(paper):
    "The published values that we could read."
    file = runs.NOTEBOOKS/paper/'published.csv'
    return list(csv.DictReader(file.open(encoding='utf-8'))) if file.exists() else []
def ours(paper, row):
    "Our values, one a seed, where the row names the parameters of a setting."
    if not row.get('parameters'): return []
    asked = runs.check(f'{paper}/train', dict(part.split('=') for part in row['parameters'].split(';')))
    return [r['metrics'][row['metric']]['value'] for r in select(kept[paper], asked).values()]
kept = {paper: [r for r in runs.records(paper, here=False) if r['seed'] < 100] for paper in papers}

# %% [markdown]
# ## Against the papers

# %%
#| echo: false
#| label: tbl-verdicts
#| tbl-cap: "Published values in reach, and what our runs of the same setting say."
#| classes: sortable
Markdown('\n'.join(['| paper | setting | method | metric | published | margin | verdict | source |', '|---|---|---|---|---|---|---|---|',
    *[f'| {p} | {r["setting"]} | {r["method"]} | {r["metric"]} | {r["value"]} {r["unit"]} | {r["margin"]} | {verdict(ours(p, r), float(r["value"]), float(r["margin"]))} | {r["source"]} |' for p in papers for r in published(p)]]))


# %% [markdown]
# ## Our own settings

# %%
#| echo: false
#| classes: sortable
def section(paper):
    "One table a training notebook and data set."
    groups = {}
    for r in kept[paper]: groups.setdefault((r['notebook'], r['parameters']['data']), []).append(r)
    return '\n\n'.join(f'### {n} on {d}\n\n{summary(rs, list(rs[0]["metrics"])[:3])}' for (n, d), rs in sorted(groups.items()))
Markdown('\n\n'.join(section(p) for p in papers))


# %%
#| echo: false
def present(r):
    "True if a record was made by the code as it is now, from a committed tree."
    return r['code'] == grid.code(r['notebook']) and not r['environment']['dirty']
everything = [r for rs in kept.values() for r in rs]
Markdown(f'{sum(map(present, everything))} of these {len(everything)} runs were made by exactly the code that these pages hold now, from a tree without uncommitted changes.')


# %% [markdown]
# ## What they cost

# %%
#| echo: false
def cost(paper):
    "Sums over the records of a paper."
    rs = kept[paper]
    devices = ', '.join(sorted({r['environment']['device'] for r in rs}))
    return f'| {paper} | {len(rs)} | {devices} | {sum(r["cost"]["wall_s"] for r in rs):.0f} s | {max(r["cost"]["peak_mb"] for r in rs):,} MB | {sum(r["cost"]["resumes"] for r in rs)} |'
Markdown('\n'.join(['| paper | runs | device | wall time | peak memory | resumes |', '|---|---|---|---|---|---|', *[cost(p) for p in papers if kept[p]]]))
