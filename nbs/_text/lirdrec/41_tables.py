# %% [markdown]
# # Parts that make a difference, parts that do not, and published numbers
#
# > Ways to weigh the branches, to turn the features, to save time; whom the lists serve; what choosing by the test part would have seemed to win; and two models on a real shop.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec); MMRec, `evaluation/README.md`, for published values of other models · 7 minutes · what you need first: [the results](40_results.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import csv
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.results import comparison, difference, rows, setting, student, values
from papers_nb.core.tables import table
from papers_nb.core.stats import LASTING, interval, lasting, verdict
theme()

# %% [markdown]
# As on [the page before](40_results.ipynb): every number is read from run records, the epoch was chosen on the validation part, intervals are 95 % over seeds (on the made-up sets of shop, initial weights and draws; on MovieLens and Baby, whose sets and splits stay, of the latter two), differences are paired by seed.

# %%
#| hide
TRAIN, RECALL = 'lirdrec/train', 'recall@20'
METRICS = RECALL, 'ndcg@20'
weighed = rows(TRAIN, 'synthetic')
own = weighed['code']
ids = setting(TRAIN, 'synthetic-items', items='ids', neighbours=10)
rivals = rows(TRAIN, 'synthetic-rivals')

# %% [markdown]
# ## Weights of the branches
#
# [Copied weights become even](13_copying.ipynb) where they are left alone. In training the loss moves them between copies. What is left, and does any other way do better?

# %%
#| hide
kinds = {
    'weights copied, as the code': own,
    'logits copied': weighed['logit'],
    'weights mixed': weighed['convex'],
    'network alone': weighed['network'],
    'even weights': weighed['uniform']}
COPIED = 'weights copied, as the code'

# %%
#| label: tbl-kinds
#| tbl-cap: "Ways to weigh the branches, on the made-up set."
#| code-fold: true
Markdown(comparison(kinds, COPIED, METRICS))

# %%
#| label: fig-weights
#| fig-cap: "Over the epochs of one run: mean weight of each branch over users, with one standard deviation of users around it, and the weight ω of the network (dashed). Seed 0; the epoch that is judged is earlier."
#| fig-alt: "With copied weights the branches come to a third each and users no longer differ; with copied logits small differences stay; with the network alone the weights move far apart, and users differ."
#| classes: figcard
#| code-fold: true
branches = {'image': 'blue', 'text': 'orange', 'shared': 'green'}
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.8), sharey=True)
for ax, name in zip(axes, (COPIED, 'logits copied', 'network alone')):
    series = kinds[name][0]['series']
    mean, std, mix = (np.array(series[k]) for k in ('weights', 'spread', 'mix'))
    epoch = np.arange(1, len(mean) + 1)
    for k, (branch, color) in enumerate(branches.items()):
        low, high = mean[:, k] - std[:, k], mean[:, k] + std[:, k]
        ax.plot(epoch, mean[:, k], color=COLORS[color], label=branch)
        ax.fill_between(epoch, low, high, color=COLORS[color], alpha=.2)
    ax.plot(epoch, mix[:, 0], '--', color=COLORS['grey'])
    ax.set_title(name.split(',')[0], fontsize=10)
    ax.set(xlabel='epoch', ylim=(0, 1.02))
axes[0].set(ylabel='weight')
axes[2].legend(fontsize=7);


# %%
#| echo: false
def last(name, series):
    "Mean over seeds of a series at the end of the runs."
    return np.mean([r['series'][series][-1] for r in kinds[name].values()], 0)

mean, even = last(COPIED, 'weights'), difference(kinds['even weights'], kinds[COPIED], RECALL)
copied, network = (last(n, 'spread').mean() for n in (COPIED, 'network alone'))
Markdown(
    f'At the end of the runs the copied weights are {mean[0]:.3f}, {mean[1]:.3f} and {mean[2]:.3f} on '
    'average, '
    f'with a standard deviation over users of {copied:.3f}; those of the network alone with one of '
    f'{network:.3f}. '
    f'That is the last epoch, later than the one that is judged. Even weights change recall by '
    f'{even.signed()} points: {even.tells("they are better", "they are worse")}.')

# %% [markdown]
# ## The transform, and fewer directions
#
# [The transform is a rotation](12_transform.ipynb), so it can only matter through Adam; a random rotation, none at all, and the two-dimensional form, which mixes items. And 32 directions of largest variance instead of all 128 and 48, the cheap way at the size of a real shop ([what it saves there](50_bench.ipynb)).

# %%
#| label: tbl-transform
#| tbl-cap: "Ways to turn or reduce the features, on the made-up set."
#| code-fold: true
otherwise = rows(TRAIN, 'synthetic-transform')
turned = {
    'cosine transform of each row, as the code': own,
    'none': otherwise['none'],
    'random rotation': otherwise['random'],
    'two-dimensional, as the quoted formula': otherwise['2d'],
    '32 directions a modality': setting(TRAIN, 'synthetic-pca')}
ROW = 'cosine transform of each row, as the code'
Markdown(comparison(turned, ROW, METRICS))

# %%
#| echo: false
found = {n: difference(f, turned[ROW], RECALL) for n, f in turned.items() if n != ROW}
seen = [n for n, i in found.items() if i.low > 0 or i.high < 0]
told = f'Told from the code\'s own form: {", ".join(seen)}.'
if not seen:
    told = 'None of these can be told from the code\'s own form with these seeds.'
Markdown(
    f'{told} Reducing to 32 directions changes recall by {found["32 directions a modality"].signed()} '
    'points. '
    'In this set every direction carries noise, which a reduction removes too; '
    'what it does to real features this does not say.')

# %% [markdown]
# ## Whom the lists serve
#
# Recall at 20 of users, and of the items to be found, by how often they occur in training.

# %%
#| label: fig-degree
#| fig-cap: "Recall at 20 on the made-up set by the number of training pairs of the user (left) and of the item (right); mean over seeds with 95 % intervals."
#| fig-alt: "On average all three serve users with few pairs worse, with wide intervals. Items with few pairs are hardly ever found; features find more of them than free rows, except that items with up to 3 pairs allow no conclusion."
#| classes: figcard
#| code-fold: true
GROUPS = 'to 3', '4 to 5', '6 to 10', 'over 10'
compared = {'features (LIRDRec)': own, 'identities': ids, 'LightGCN': rivals['lightgcn']}

def by_degree(side):
    "Recall of each group of users or items, one line a run; a group needs two runs that have it."
    lines = [{'': name, 'pairs': group, 'recall': r['metrics'][metric]['value']}
             for name, found in compared.items() for r in found.values() for group in GROUPS
             if (metric := f'{RECALL} {side} {group}') in r['metrics']]
    return pd.DataFrame(lines).groupby(['', 'pairs']).filter(lambda g: len(g) > 1)

fig, axes = plt.subplots(1, 2, figsize=(6.4, 3))
for ax, side in zip(axes, ('users', 'items')):
    sns.pointplot(
        by_degree(side), x='pairs', y='recall', hue='', order=GROUPS, hue_order=list(compared), ax=ax,
        errorbar=student, dodge=.3, capsize=.12, lw=1.4, legend=side == 'users',
        palette=[COLORS[c] for c in ('blue', 'orange', 'grey')])
    ax.set(xlabel=f'training pairs of {side}', ylabel='recall@20 [%]')
axes[0].legend(fontsize=7);

# %% [markdown]
# ## What choosing by the test part would seem to win
#
# The official launcher prints as best the setting with the best test result. Here nothing is chosen that way; but every run notes its test recall after every epoch, so it can be said what choosing the epoch alone would have seemed to win. That cannot be negative, and choosing settings that way too can only add.

# %%
#| label: tbl-audit
#| tbl-cap: "Recall at 20 of the epoch that the validation part chose, and of the epoch that looks best on the test part, in percent; paired difference in points."
#| code-fold: true
audited = {
    'LIRDRec, made-up set': own,
    'identities, made-up set': ids,
    'LightGCN, made-up set': rivals['lightgcn'],
    'BPR-MF, made-up set': rivals['bprmf'],
    'LIRDRec, MovieLens': setting(TRAIN, 'movielens', items='features'),
    'LightGCN, MovieLens': setting(TRAIN, 'movielens-rivals', model='lightgcn')}

def audit_line(name, found):
    "One line."
    valid, test = values(found, RECALL), values(found, f'audit_{RECALL}')
    return [name, interval(valid), interval(test), interval(np.subtract(test, valid)).signed()]

header = ['runs', 'chosen by validation', 'chosen by test', 'seems to win']
Markdown(table([audit_line(*each) for each in audited.items()], header, of=audited.values()))

# %% [markdown]
# ## A real shop
#
# Amazon's *Baby*: 19,445 users, 7,050 items, a random draw of the same rule as the published one, not the same draw, and without features. So only models without features can be compared. Settings were searched on one seed, by the validation part, over six points; the best went to three other seeds.

# %%
#| hide
SEED = 100 # of every search
GRIDS = {'BPR-MF': 'baby-bprmf', 'LightGCN': 'baby-lightgcn'}
searched = {name: rows(TRAIN, f'{grid}-search') for name, grid in GRIDS.items()}
final = {name: setting(TRAIN, grid) for name, grid in GRIDS.items()}

def valid(found):
    "What a point of a search is chosen by."
    return found[SEED]['metrics'][f'valid_{RECALL}']['value']

chosen = {name: max(points.values(), key=valid) for name, points in searched.items()}
for name, best in chosen.items(): # the runs of three seeds are those of the chosen point
    params = final[name][0]['parameters']
    assert all(params[k] == v for k, v in best.point.items()), (name, best.point)


# %%
#| label: tbl-search
#| tbl-cap: "The search on Baby: one seed, at most 100 epochs."
#| code-fold: true
def point_line(name, found):
    "One point of a search."
    m = found[SEED]['metrics']
    said = ', '.join(f'{k} {v:g}' for k, v in found.point.items())
    ran = f'{m["best_epoch"]["value"]:.0f} of {m["epochs"]["value"]:.0f}'
    return [name, said, f'{valid(found):.2f}', f'{m[RECALL]["value"]:.2f}', ran,
            'chosen' if found is chosen[name] else '']

header = ['model', 'setting', 'recall@20, validation [%]', 'test [%]', 'best epoch', '']
every = [(name, found) for name, points in searched.items() for found in points.values()]
Markdown(table([point_line(*each) for each in every], header, of=[found for _, found in every]))

# %%
#| label: tbl-baby
#| tbl-cap: "Baby: three seeds against published values, MMRec's table. The margin within which values count as equal was fixed before these seeds were run."
#| code-fold: true
file = (runs.NOTEBOOKS/'lirdrec/published.csv').open(encoding='utf-8')
published = [r for r in csv.DictReader(file) if r['setting'] == 'Baby' and r['method'] in final]

def baby_line(r):
    "A published value and ours."
    ours = values(final[r['method']], r['metric'])
    i, margin = interval(np.subtract(ours, float(r['value']))), float(r['margin'])
    shown = interval(ours)
    return [r['method'], r['metric'], f'{shown.mean:.2f} ± {shown.half:.2f}', r['value'], r['margin'],
            verdict(ours, float(r['value']), margin), *lasting(i, margin)]

header = ['model', 'metric', 'ours [%]', 'published [%]', 'margin', 'verdict', *LASTING]
Markdown(table(map(baby_line, published), header, of=final.values()))


# %%
#| echo: false
def said(name):
    "How a model's runs ended, and what they cost."
    found = [*final[name].values()]
    ended = [r['metrics']['epochs']['value'] for r in found]
    stopped = all(e < r['parameters']['epochs'] for e, r in zip(ended, found))
    all_runs = [*found, *(points[SEED] for points in searched[name].values())]
    minutes = sum(r['cost']['wall_s'] for r in all_runs)/60
    return (f'{name}: epochs {", ".join(f"{e:.0f}" for e in ended)}; '
            f'{"all stopped by themselves" if stopped else "**not converged**: stopped at the limit"}; '
            f'search and runs together {minutes:.0f} minutes on {found[0]["environment"]["device"]}')

bar = next(iter(final['BPR-MF'].values()))['metrics']
Markdown(f'{". ".join(map(said, final))}. The linear model EASE, without training, '
         f'reads {bar[f"{RECALL} of EASE"]["value"]:.2f} %, popularity '
         f'{bar[f"{RECALL} of popularity"]["value"]:.2f} %.')

# %% [markdown]
# ## What may not be concluded
#
# Nothing here says how LIRDRec does on Baby: its features could not be had. With the files in the folder of the set, `papers_nb grid lirdrec/train --preset baby --grid "seed=0..4"` runs the fixed point of the official lists, and [the results page](../results.ipynb) holds it against both published values. The published rows of other models come from another random draw, with their own search, and of one seed as far as we know.
