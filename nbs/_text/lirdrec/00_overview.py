# %% [markdown]
# # Does BPR push item identities aside?
#
# > What LIRDRec claims, what we derived, what we ran, what held, and what is missing.

# %% [markdown]
# X. Zhou, X. Zhang, D. Niyato, Z. Shen. *Learning Item Representations Directly from Multimodal Features for Effective Recommendation.* arXiv 2505.04960, 2025 · [official code](https://github.com/enoche/LIRDRec) (no licence) · 6 minutes

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import math
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.checks import ledger, tally
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.results import comparison, difference, frame, rows, setting, student, values
from papers_nb.core.stats import paired
from papers_nb.core.tables import against, table
from papers_nb.lirdrec.baselines import EASE
from papers_nb.lirdrec.copying import ceiling, network_weight
from papers_nb.lirdrec.data import TEST, TRAIN as SEEN, VALID, Interactions, cold_items, synthetic
from papers_nb.lirdrec.metrics import judge, ranking
from papers_nb.lirdrec.propagation import first_turn, gain
from papers_nb.lirdrec.transform import numbering_effect
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
    page, t = c['page'].split('/')[1], tally([c])
    return [c['statement'], f'[{page}]({runs.notebook(c["page"]).name})', len(c['checks']),
            f'{t["points"]}', f'{t["edits"]}', 'a training' if c['runs'] else 'theory']

head = 'statement', 'page', 'checks', 'points hunted', 'edits noticed', 'run by'
Markdown(table(map(claim_line, claims), head))

# %% [markdown]
# In words: for features of length one and of no opposite direction a single triple does not favour them. Over all items, plain descent obeys an exact law: in every direction of the space of items, features move $\sigma^2$ times as far as identities. So features win where they are strong, lose where they are weak, and, through a linear map, never reach what they do not show; and a training that stops early has filled what features show, and little else. Adam does not obey the law. The cosine transform is a rotation, which plain descent does not notice. Popularity enters through the graph, and the length at which a row starts is a learning rate, larger for larger sets. And weights that are copied into the place of logits, and moved by nothing else, become even within about fifteen epochs.
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

# %% [markdown]
# ## Theory against code
#
# Below, *theory* is the abstract's words, in quotation marks, a formula that a review quotes from the paper, or a formula of ours, since the paper itself we could not read. The code was read and not run here: the tests that a line names hold our own implementation, or an imitation of the official step, to what the line says. Numbers are computed here by the library or read from our run records. A line without a difference is as much a finding as one with.

# %%
#| code-fold: true
#| code-summary: "Where the numbers of the table come from"
way = {n: rows(TRAIN, f'displacement-{n}')[1.] for n in ('sgd', 'adam')}
missed = {n: np.mean(values(found, 'law')) for n, found in way.items()}
further = np.mean(values(way['adam'], 'displacement'))
turned = rows(TRAIN, 'synthetic-transform')
flat, none = (difference(turned[n], by['LIRDRec'], RECALL) for n in ('2d', 'none'))
torch.manual_seed(0)
x, order = torch.randn(200, 32), torch.randperm(200)
effect = [numbering_effect(x, order, kind) for kind in ('2d', '1d')]
spread = [np.mean([r['series']['spread'][-1] for r in weighed[n].values()]) for n in ('network', 'code')]
alone = difference(weighed['network'], weighed['code'], RECALL)
switched = next(e for e in range(100) if network_weight(e) < .01)

sizes, items = (4096, 384), 7050
copies = items*sum(sizes)
grid = [2, 3, 4], [.1, .2], [.01, .001, .0001], [.9, .95, .99], [0, 1e-6, 1e-5]
points, distinct = (math.prod(map(len, listed)) for listed in (grid, grid[:-1]))
made = synthetic()
never = cold_items(made).sum()
ease = EASE(made)
asked = Interactions('made', made.user, made.item, np.where(made.part == VALID, SEEN, made.part))
lists = [ranking(ease.scores, masked) for masked in (made, asked)]
recalls = [judge(found, *made.pairs(TEST), (20,))[RECALL] for found in lists]

single = [setting(TRAIN, f'synthetic-{k}') for k in ('alone', 'pca')]
variants = [*weighed.values(), *turned.values(), *single]
def best(by, seed):
    "Test recall of the variant that is best by a metric."
    return max((v[seed]['metrics'] for v in variants), key=lambda m: m[by]['value'])[RECALL]['value']

picked = paired(*([best(by, s) for s in weighed['code']] for by in (RECALL, f'valid_{RECALL}')))
kept = [r for r in runs.records('lirdrec', here=False) if r['notebook'] == TRAIN and r['status'] == 'done']
curves = [np.array([valid for valid, *_ in r['series']['recall']]) for r in kept]
other = sum(curve.argmax() != curve.round(4).argmax() for curve in curves)

# %%
#| code-fold: true
#| code-summary: "The lines of the table"
#| classes: stacked
MODEL, NET = '`src/models/lirdrec.py`', '[network](21_lirdrec.ipynb)'
own = 'tests/lirdrec/test_theory.py::test_{}'.format
features = [
    ['$F_m=\\phi(X_mW_{m1}+b_{m1})W_{m2}$, quoted',
     f'{MODEL}: the same',
     'equal',
     NET, own('the_network_is_its_equations_and_its_loss_too')],
    ['“learns item representations directly from these features”',
     f'{MODEL}: items have no free rows; users keep three each',
     'equal',
     NET, 'tests/lirdrec/test_lirdrec.py::test_new_items_are_scored_by_features_alone',
     'tests/lirdrec/test_lirdrec.py::test_free_rows_alone_see_no_features_and_features_alone_no_rows'],
    ['$T(X)=C_nXC_D^\\top$, quoted: over items and features',
     f'{MODEL}: over the features of each item',
     f'differs: to number the items otherwise changes rows by {effect[0]:.1f} times their length in the '
     f'formula, by {effect[1]:.0f} in the code. On the made-up set the formula changes recall by '
     f'{flat.signed()} points',
     '[transform](12_transform.ipynb)', 'lirdrec.transform', 'lirdrec.numbering_effect'],
    ['under plain descent a rotation of the features changes nothing: $W\'_t=W_tC$',
     '`common/trainer.py`: trains by Adam',
     'differs: Adam notices the rotation. What that is worth: without a transform recall changes by '
     f'{none.signed()} points',
     '[transform](12_transform.ipynb)', 'lirdrec.equivalent_layer',
     own('the_transform_changes_nothing_under_plain_descent_and_something_under_adam')],
    ['“a pronounced optimization gradient bias” towards features: under plain descent exactly '
     '$\\Delta W=\\frac{\\eta_W}{\\eta_E}X^\\top\\Delta E$',
     '`common/trainer.py`: trains by Adam',
     f'differs: of the map\'s movement {missed["adam"]:.1f} times its length is left unexplained, under '
     f'plain descent {missed["sgd"]:.5f}. Features of length one still move items {further:.1f} times as '
     'far as free rows do',
     '[displacement](10_displacement.ipynb)', 'lirdrec.displacement_law',
     own('the_law_of_displacement_holds_for_plain_descent_and_not_for_adam')],
    ['every parameter takes part',
     f'{MODEL}: trainable copies of the features, which no forward uses',
     f'differs: {copies:,} numbers more on Baby. Ours has none',
     NET, own('every_number_that_is_trained_takes_part_and_no_feature_is_among_them')]]
weights = [
    ['“weight assigned to each modality in synthesizing the final user or item representations”',
     f'{MODEL}: weighs the rows of users only',
     'differs: rows of items do not change with the weights at all',
     NET, own('the_memory_weighs_the_rows_of_users_and_none_of_items')],
    ['“progressive weight copying”: $\\omega_e$ in closed form',
     f'{MODEL}: a recursion',
     f'equal: from epoch {switched} of at most 1,000 on the network has less than 1 % of the say',
     '[copying](13_copying.ipynb)', 'lirdrec.network_weight'],
    ['“weight copying”: a memory keeps what the network learnt',
     f'{MODEL}: copies weights into the place of logits',
     f'differs: after one full copy no weight is above {100*ceiling(3):.0f} %, and with more all become '
     'even. On the made-up set the weights of users end with a standard deviation of '
     f'{spread[1]:.4f}, of {spread[0]:.2f} with the network alone, whose recall is {alone.signed()} points '
     'from the code\'s',
     '[copying](13_copying.ipynb)', 'lirdrec.copied', 'lirdrec.ceiling']]
graphs = [
    ['LightGCN: the mean over 0 to $L$ layers (He et al. 2020)',
     f'{MODEL}: their sum',
     f'differs: at $L=2$ rows are {gain(1., 2):.0f} times as long and scores {gain(1., 2)**2:.0f} times as '
     'large. We keep the sum',
     '[propagation](14_propagation.ipynb)', 'lirdrec.gain',
     'tests/lirdrec/test_graph.py::test_propagation_is_powers_of_the_scaled_adjacency'],
    ['$S$: the mean over the $k$ items of largest cosine',
     f'{MODEL}: the same, the item itself among them, from plain features',
     'equal',
     '[graph](22_graph.ipynb)', 'lirdrec.heard',
     'tests/lirdrec/test_graph.py'
     '::test_neighbours_are_those_of_largest_cosine_and_ties_go_to_the_smaller_id']]
protocol = [
    ['BPR: an item that the user did not take, evenly drawn (Rendle et al. 2009)',
     'MMRec, `utils/dataloader.py`: of those that occur in training',
     f'equal, but for items without a training pair, which are never drawn: {never} of {made.items} on the '
     'made-up set',
     '[sampling](25_sampling.ipynb)', 'lirdrec.expected_negatives',
     'tests/lirdrec/test_sampling.py::test_negatives_are_never_taken_and_come_evenly'],
    ['a weight decay that is searched decays weights',
     '`configs/model/LIRDRec.yaml` lists three; `common/trainer.py` hands none to Adam',
     f'differs: of {points} points of the grid {distinct} are distinct. Ours has no such parameter',
     '[training](31_train.ipynb)', own('no_weight_decay_reaches_the_optimiser')],
    ['what is judged is the network that was trained',
     f'{MODEL}: rows from the last forward in training, before its step',
     f'differs: by one step of Adam; the first turns a user\'s rows by {first_turn(19_445):.3f} rad on '
     'Baby. Ours are made anew',
     '[measures](23_metrics.ipynb)', 'lirdrec.first_turn',
     own('lists_are_made_by_the_network_as_it_is_and_not_by_its_last_forward_in_training')],
    ['the better epoch is the one with the larger value',
     'rounds to four decimals before epochs are compared (file not noted)',
     f'differs: in {other} of our {len(curves)} trainings another epoch would be chosen. Ours does not round',
     '[measures](23_metrics.ipynb)', own('an_improvement_below_the_fourth_decimal_is_one')],
    ['settings are chosen by the validation part',
     '`utils/quick_start.py`: prints as best the one with the best *test* recall, and each with its '
     'validation result; how the paper chose we do not know',
     f'differs: of our {len(variants)} variants on the made-up set the best by test would seem '
     f'{picked.signed()} points better than the best by validation',
     '[tables](41_tables.ipynb)', own('the_test_part_chooses_nothing')],
    ['a list holds what the user could still take',
     'MMRec, `utils/topk_evaluator.py`: and items of the validation part, as wrong answers',
     f'differs: EASE on the made-up set finds {100*recalls[0]:.2f} %, without them {100*recalls[1]:.2f} %. '
     'We keep the code\'s rule, so that numbers compare',
     '[measures](23_metrics.ipynb)',
     'tests/lirdrec/test_metrics.py::test_evaluation_agrees_with_counting_user_by_user']]
Markdown(against(features + weights + graphs + protocol, claims))

# %% [markdown]
# What this means for a user: read the weights of the branches as even ones, whatever the users are like, unless `pwc` is another kind; expect nothing of the transform that its kind *none* does not give; and compare with published numbers only under the same lists, with the epoch and the setting chosen on the validation part.
#
# ## Missing
#
# LIRDRec on the sets of the paper: their features could not be had here. The loaders, the settings and the published values are ready for whoever has the files. Features from real vision-language models, which need a GPU and a hub: [the path](30_features.ipynb) ran with tiny models of random weights. And the body of the paper: its theorems, ablations and figures, which we could not read.
