# %% [markdown]
# # Does BPR push item identities aside?
#
# > What LIRDRec claims, what we derived, what we ran, what held, and what is missing.

# %% [markdown]
# X. Zhou, X. Zhang, D. Niyato, Z. Shen. *Learning Item Representations Directly from Multimodal Features for Effective Recommendation.* arXiv 2505.04960, 2025 · [official code](https://github.com/enoche/LIRDRec) (no licence) · 3 minutes

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.checks import ledger
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.results import comparison, difference, frame, rows, setting, student
from papers_nb.core.tables import table
theme()

# %% [markdown]
# ## The question
#
# A recommender for items with pictures and texts usually gives every item two sources: a free row of its own, and a map of its features. Both are trained by BPR. Do the features crowd the free rows out, and if so, is the remedy to leave the free rows away?
#
# New to this? [How a shop guesses what you want next](01_background.ipynb) takes eight minutes.
#
# ## Claimed
#
# That BPR's gradients favour features over identities, so that identities stay poor even when features have converged; that items are therefore better represented by features alone; that a cosine transform feeds a useful shared branch; and that copying weights step by step learns how much each branch counts. We could read the abstract, two formulas as quoted by others, and the official code. The statements below are our own, with our own proofs; nothing here is the paper's theorem.
#
# ## Derived and checked

# %%
#| code-fold: true
claims = ledger({n: p for n, p in runs.notebooks().items() if n.startswith('lirdrec/')})

def claim_line(c):
    "One line."
    page, caught = c['page'].split('/')[1], sum(any(m['caught']) for m in c['mutants'])
    return [c['statement'], f'[{page}]({runs.notebook(c["page"]).name})', len(c['checks']),
            f'{caught} of {len(c["mutants"])}']

Markdown(table(map(claim_line, claims), ['statement', 'page', 'checks', 'edits caught']))

# %% [markdown]
# In words: for features of length one a single triple favours nobody. Over all items, plain descent obeys an exact law: in every direction of the space of items, features move $\sigma^2$ times as far as identities. So features win where they are strong, lose where they are weak, and, through a linear map, never reach what they do not show; and a training that stops early has filled what features show, and little else. Adam does not obey the law. The cosine transform is a rotation, which plain descent does not notice. Popularity enters through the graph, and the length at which a row starts is a learning rate, larger for larger sets. And weights that are copied into the place of logits, and moved by nothing else, become even within about fifteen epochs.
#
# ## Run
#
# A made-up set, a stand-in of our own, in which the truth is known: tastes that both modalities show, tastes that one shows, and popularity.

# %%
#| hide
TRAIN, RECALL = 'lirdrec/train', 'recall@20'
weighed, made, rivals = (rows(TRAIN, f'synthetic{part}') for part in ('', '-items', '-rivals'))
BOTH, EVEN = 'LIRDRec with item identities', 'LIRDRec, even weights of the branches'
by = {
    'LIRDRec': weighed['code'],
    BOTH: made['both', 10],
    'LIRDRec without the graph of alike items': setting(TRAIN, 'synthetic-alone'),
    EVEN: weighed['uniform'],
    'identities in place of features': made['ids', 10],
    'FREEDOM': setting(TRAIN, 'synthetic-freedom'),
    'BM3': setting(TRAIN, 'synthetic-bm3'),
    'VBPR': rivals['vbpr'],
    'LightGCN': rivals['lightgcn'],
    'BPR-MF': rivals['bprmf']}

# %%
#| label: fig-synthetic
#| fig-cap: "Recall at 20 on the made-up set: every seed (light) and the mean with its 95 % interval."
#| fig-alt: "The four variants of LIRDRec with features overlap and lie to the right of all others; BPR-MF lies far to the left."
#| classes: figcard
#| code-fold: true
seeds = frame(by, [RECALL])
colors = {name: COLORS['blue' if 'LIRDRec' in name else 'orange'] for name in by}
fig, ax = plt.subplots(figsize=(6.4, 3.4))
sns.stripplot(seeds, x=RECALL, y='setting', hue='setting', palette=colors, jitter=False, alpha=.3, size=4)
sns.pointplot(
    seeds, x=RECALL, y='setting', hue='setting', palette=colors, errorbar=student, capsize=.3,
    linestyle='none', lw=1.4)
ax.set(xlabel='recall@20 [%]', ylabel='');

# %%
#| label: tbl-synthetic
#| tbl-cap: "The made-up set: mean and 95 % interval over seeds, each with its own draw of the set; difference paired by seed."
#| code-fold: true
Markdown(comparison(by, 'LIRDRec', [RECALL, 'ndcg@20']))

# %%
#| echo: false
ids, even = (difference(by[name], by['LIRDRec'], RECALL) for name in (BOTH, EVEN))
Markdown(
    f'Adding identities changes recall by {ids.signed()} points: {ids.tells("they help", "they hurt")}. '
    f'Even weights of the branches instead of learnt ones change it by {even.signed()}: '
    f'{even.tells("better", "worse")}. '
    'In this set features show every taste, if noisily, and only popularity is hidden from them. '
    'With few features and no graph, identities [are worth much](40_results.ipynb). '
    'The settings of the rivals were not searched: '
    'the table compares variants of LIRDRec and ranks no rivals.')

# %% [markdown]
# [More results](40_results.ipynb): who moved how far, a taste that features hide, MovieLens, items that nobody had taken. [And more tables](41_tables.ipynb): ways to weigh and to turn, whom the lists serve, two models on the real shop *Baby* against published values.
#
# ## What the official code does differently
#
# - The cosine transform is one-dimensional, along the features of each item; the formula quoted from the paper is two-dimensional, and would mix items.
# - Weights are copied for users only.
# - A weight decay is searched over and never handed to the optimiser.
# - Representations of the last training batch are used for evaluation, from before its last step; ours are made anew.
# - Metrics are rounded to four decimals before epochs are compared; ours are not.
# - The launcher prints as best the setting with the best test result; here the epoch is chosen on the validation part.
#
# ## Missing
#
# LIRDRec on the sets of the paper: their features could not be had here. The loaders, the settings and the published values are ready for whoever has the files. Features from real vision-language models, which need a GPU and a hub: [the path](30_features.ipynb) ran with tiny models of random weights. And the body of the paper: its theorems, ablations and figures, which we could not read.
