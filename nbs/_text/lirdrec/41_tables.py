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
import numpy as np, matplotlib.pyplot as plt
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.stats import comparison, difference, interval, select, values, verdict
theme()

# %% [markdown]
# As on [the page before](40_results.ipynb): every number is read from run records, the epoch was chosen on the validation part, intervals are 95 % over seeds, differences are paired by seed.

# %%
#| hide
kept = runs.records('lirdrec', here=False)
LONG = {'lr': .005, 'epochs': 100}

def rows(**asked):
    "The finished runs of one setting, by seed."
    return select(kept, runs.check('lirdrec/train', asked))


# %% [markdown]
# ## Weights of the branches
#
# [Copied weights become even](13_copying.ipynb) where they are left alone. In training the loss moves them between copies. What is left, and does any other way do better?

# %%
#| hide
kinds = {'weights copied, as the code': rows(), 'logits copied': rows(pwc='logit'), 'weights mixed': rows(pwc='convex'), 'network alone': rows(pwc='network'), 'even weights': rows(pwc='uniform')}

# %%
#| label: tbl-kinds
#| tbl-cap: "Ways to weigh the branches, on the made-up set."
#| code-fold: true
Markdown(comparison(kinds, 'weights copied, as the code', ['recall@20', 'ndcg@20']))

# %%
#| label: fig-weights
#| fig-cap: "Over the epochs of one run: mean weight of each branch over users, with one standard deviation of users around it, and the weight ω of the network (dashed). Seed 0; the epoch that is judged is earlier."
#| fig-alt: "With copied weights the branches come to a third each and users no longer differ; with copied logits small differences stay; with the network alone the weights move far apart, and users differ."
#| classes: figcard
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.8), sharey=True)
for ax, n in zip(axes, ('weights copied, as the code', 'logits copied', 'network alone')):
    s = kinds[n][0]['series']
    mean, std, e = np.array(s['weights']), np.array(s['spread']), np.arange(1, len(s['weights']) + 1)
    for k, (branch, color) in enumerate((('image', 'blue'), ('text', 'orange'), ('shared', 'green'))):
        ax.plot(e, mean[:, k], color=COLORS[color], label=branch)
        ax.fill_between(e, mean[:, k] - std[:, k], mean[:, k] + std[:, k], color=COLORS[color], alpha=.2)
    ax.plot(e, np.array(s['mix'])[:, 0], '--', color=COLORS['grey'])
    ax.set_title(n.split(',')[0], fontsize=10)
    ax.set(xlabel='epoch', ylim=(0, 1.02))
axes[0].set(ylabel='weight')
axes[2].legend(fontsize=7)
fig.tight_layout();

# %%
#| echo: false
last = {n: (np.mean([r['series']['weights'][-1] for r in found.values()], 0), np.mean([r['series']['spread'][-1] for r in found.values()])) for n, found in kinds.items()}
(mean, std), even = last['weights copied, as the code'], difference(kinds['even weights'], kinds['weights copied, as the code'], 'recall@20')
Markdown(f'At the end of the runs the copied weights are {mean[0]:.3f}, {mean[1]:.3f} and {mean[2]:.3f} on average, with a standard deviation over users of {std:.3f}; those of the network alone with one of {last["network alone"][1]:.3f}. That is the last epoch, later than the one that is judged. Even weights change recall by {even.mean:+.2f} ± {even.half:.2f} points: {even.tells("they are better", "they are worse")}.')

# %% [markdown]
# ## The transform, and fewer directions
#
# [The transform is a rotation](12_transform.ipynb), so it can only matter through Adam; a random rotation, none at all, and the two-dimensional form, which mixes items. And 32 directions of largest variance instead of all 128 and 48, the cheap way at the size of a real shop ([what it saves there](50_bench.ipynb)).

# %%
#| label: tbl-transform
#| tbl-cap: "Ways to turn or reduce the features, on the made-up set."
#| code-fold: true
turned = {'cosine transform of each row, as the code': rows(), 'none': rows(dct='none'), 'random rotation': rows(dct='random'), 'two-dimensional, as the quoted formula': rows(dct='2d'), '32 directions a modality': rows(pca=32)}
Markdown(comparison(turned, 'cosine transform of each row, as the code', ['recall@20', 'ndcg@20']))

# %%
#| echo: false
found = {n: difference(f, turned['cosine transform of each row, as the code'], 'recall@20') for n, f in list(turned.items())[1:]}
seen = [n for n, i in found.items() if i.low > 0 or i.high < 0]
Markdown(('None of these can be told from the code\'s own form with these seeds.' if not seen else f'Told from the code\'s own form: {", ".join(seen)}.') + f' Reducing to 32 directions changes recall by {found["32 directions a modality"].mean:+.2f} ± {found["32 directions a modality"].half:.2f} points. In this set every direction carries noise, which a reduction removes too; what it does to real features this does not say.')

# %% [markdown]
# ## Whom the lists serve
#
# Recall at 20 of users, and of the items to be found, by how often they occur in training.

# %%
#| label: fig-degree
#| fig-cap: "Recall at 20 on the made-up set by the number of training pairs of the user (left) and of the item (right); mean over seeds with 95 % intervals."
#| fig-alt: "On average all three serve users with few pairs worse, with wide intervals. Items with few pairs are hardly ever found; features find more of them than free rows, except that items with up to 3 pairs allow no conclusion."
#| classes: figcard
GROUPS = ('to 3', '4 to 5', '6 to 10', 'over 10')
compared = {'features (LIRDRec)': (rows(), 'blue'), 'identities': (rows(items='ids'), 'orange'), 'LightGCN': (rows(model='lightgcn', **LONG), 'grey')}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
for ax, side in zip(axes, ('users', 'items')):
    for shift, (n, (f, color)) in zip((-.15, 0, .15), compared.items()):
        known = [(k, i) for k, g in enumerate(GROUPS) if len(v := [r['metrics'][m]['value'] for r in f.values() if (m := f'recall@20 {side} {g}') in r['metrics']]) > 1 for i in [interval(v)]]
        ax.errorbar([k + shift for k, _ in known], [i.mean for _, i in known], yerr=[i.half for _, i in known], fmt='o-', color=COLORS[color], capsize=2, ms=4, label=n)
    ax.set(xticks=range(4), xticklabels=GROUPS, xlabel=f'training pairs of {side}', ylabel='recall@20 [%]')
axes[0].legend(fontsize=7)
fig.tight_layout();

# %% [markdown]
# ## What choosing by the test part would seem to win
#
# The official launcher prints as best the setting with the best test result. Here nothing is chosen that way; but every run notes its test recall after every epoch, so it can be said what choosing the epoch alone would have seemed to win. That cannot be negative, and choosing settings that way too can only add.

# %%
#| label: tbl-audit
#| tbl-cap: "Recall at 20 of the epoch that the validation part chose, and of the epoch that looks best on the test part, in percent; paired difference in points."
#| code-fold: true
audited = {'LIRDRec, made-up set': rows(), 'identities, made-up set': rows(items='ids'), 'LightGCN, made-up set': rows(model='lightgcn', **LONG), 'BPR-MF, made-up set': rows(model='bprmf', **LONG), 'LIRDRec, MovieLens': rows(data='movielens-small', dim=32), 'LightGCN, MovieLens': rows(data='movielens-small', model='lightgcn', **LONG)}
def audit_line(n, f):
    "One line."
    i = interval(np.subtract(values(f, 'audit_recall@20'), values(f, 'recall@20')))
    return f'| {n} | {interval(values(f, "recall@20"))} | {interval(values(f, "audit_recall@20"))} | +{i.mean:.2f} ± {i.half:.2f} |'
Markdown('\n'.join(['| runs | chosen by validation | chosen by test | seems to win |', '|---|---|---|---|', *[audit_line(n, f) for n, f in audited.items()]]))

# %% [markdown]
# ## A real shop
#
# Amazon's *Baby*: 19,445 users, 7,050 items, a random draw of the same rule as the published one, not the same draw, and without features. So only models without features can be compared. Settings were searched on one seed, by the validation part, over six points; the best went to three other seeds.

# %%
#| hide
SEARCH = {'BPR-MF': (dict(data='baby', model='bprmf', epochs=100), [dict(lr=lr, reg=reg) for lr in (.001, .003) for reg in (2., .1, .001)]),
          'LightGCN': (dict(data='baby', model='lightgcn', epochs=100), [dict(lr=lr, layers=layers) for lr in (.001, .004) for layers in (2, 3, 4)])}
searched = {name: [(point, next(iter(rows(**asked, **point).values()))) for point in points] for name, (asked, points) in SEARCH.items()}
chosen = {name: max(found, key=lambda f: f[1]['metrics']['valid_recall@20']['value'])[0] for name, found in searched.items()}
final = {name: rows(**{**SEARCH[name][0], **chosen[name], 'epochs': 300}) for name in SEARCH}


# %%
#| label: tbl-search
#| tbl-cap: "The search on Baby: one seed, at most 100 epochs."
#| code-fold: true
def point_line(name, point, r):
    "One point of a search."
    m = r['metrics']
    ran = f'{m["best_epoch"]["value"]:.0f} of {m["epochs"]["value"]:.0f}'
    return f'| {name} | {", ".join(f"{k} {v:g}" for k, v in point.items())} | {m["valid_recall@20"]["value"]:.2f} | {m["recall@20"]["value"]:.2f} | {ran} | {"chosen" if point == chosen[name] else ""} |'
Markdown('\n'.join(['| model | setting | recall@20, validation [%] | test [%] | best epoch | |', '|---|---|---|---|---|---|', *[point_line(n, p, r) for n, found in searched.items() for p, r in found]]))

# %%
#| label: tbl-baby
#| tbl-cap: "Baby: three seeds against published values, MMRec's table. The margin within which values count as equal was fixed before these seeds were run."
#| code-fold: true
published = [r for r in csv.DictReader((runs.NOTEBOOKS/'lirdrec/published.csv').open(encoding='utf-8')) if r['setting'] == 'Baby' and r['method'] in final]
Markdown('\n'.join(['| model | metric | ours [%] | published [%] | margin | verdict |', '|---|---|---|---|---|---|',
    *[f'| {r["method"]} | {r["metric"]} | {(i := interval(values(final[r["method"]], r["metric"]))).mean:.2f} ± {i.half:.2f} | {r["value"]} | {r["margin"]} | {verdict(values(final[r["method"]], r["metric"]), float(r["value"]), float(r["margin"]))} |' for r in published]]))


# %%
#| echo: false
def said(name):
    "How a model's runs ended, and what they cost."
    ended = [(r['metrics']['epochs']['value'], r['parameters']['epochs']) for r in final[name].values()]
    cost = sum(r['cost']['wall_s'] for r in [*final[name].values(), *(r for _, r in searched[name])])/60
    return f'{name}: epochs {", ".join(f"{e:.0f}" for e, _ in ended)}; ' + ('all stopped by themselves' if all(e < most for e, most in ended) else '**not converged**: stopped at the limit') + f'; search and runs together {cost:.0f} minutes on {next(iter(final[name].values()))["environment"]["device"]}'
bar = next(iter(final['BPR-MF'].values()))['metrics']
Markdown('. '.join(map(said, final)) + f'. The linear model EASE, without training, reads {bar["recall@20 of EASE"]["value"]:.2f} %, popularity {bar["recall@20 of popularity"]["value"]:.2f} %.')

# %% [markdown]
# ## What may not be concluded
#
# Nothing here says how LIRDRec does on Baby: its features could not be had. With the files in the folder of the set, `papers_nb grid lirdrec/train --preset baby --grid "seed=0..4"` runs the fixed point of the official lists, and [the results page](../results.ipynb) holds it against both published values. The published rows of other models come from another random draw, with their own search, and of one seed as far as we know.
