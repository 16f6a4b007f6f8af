# %% [markdown]
# # What held on digits
#
# > Thirteen ways to normalise, three methods of replay, eight to ten seeds each: where the gain comes from, and what brings nothing.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N), on a stand-in of our own: the paper's settings need a GPU · 8 minutes · what you need first: [words](01_background.ipynb), [two derivations](11_dilemma.ipynb)

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
from papers_nb.core.results import difference, frame, rows, setting, student, values
from papers_nb.core.tables import table
from papers_nb.core.stats import LASTING, interval, lasting, verdict
theme()

# %% [markdown]
# Every number on this page is read from the records of [the training](30_train.ipynb), which lie beside it. Split digits: five tasks of two classes, about fifty steps each, fifty old images, a network of three convolutions. Settings were fixed before these runs; a search over two of them, on other seeds, is shown further down. Intervals are 95 % over seeds; differences are paired by seed, so that both sides had the same class order, initial weights and replay.
#
# **What an interval covers**: the order in which the classes come, initial weights, and every draw of batches and buffer, for these images split as they are. It does not cover other images, another network or other settings. Beside each verdict stands how likely it is to flip on as many fresh seeds, and how many would settle it ([how](../core/stats.ipynb)).

# %%
#| hide
TRAIN = 'adab2n/train'
plain, weighed = rows(TRAIN, 'digits'), rows(TRAIN, 'digits-weights', host='derpp')
recalibrated = rows(TRAIN, 'digits-recalibrated')
SEPARATE, JOINT = 'batch norm, separate forwards', 'batch norm, joint forward'
ADA, OFFICIAL = 'AdaB²N (absent tasks left out)', 'AdaB²N (official rule)'
BAYES, EQUAL = 'its weights only (λ = 0)', 'equal task weights (λ = 0)'
CMA = 'batch norm, joint, plain average of history'
AGAIN = {n: f'batch norm, {n}, recalibrated' for n in ('separate', 'joint')}
derpp = {
    SEPARATE: plain['bn-separate'],
    JOINT: plain['bn-joint'],
    ADA: plain['adab2n'],
    OFFICIAL: setting(TRAIN, 'digits-official'),
    BAYES: weighed['adab2n'],
    EQUAL: weighed['uniform'],
    CMA: plain['cma-joint'],
    'group norm': plain['gn'],
    'layer norm': plain['ln'],
    'instance norm, no scale and shift': plain['in'],
    'continual norm, separate forwards': plain['cn-separate'],
    AGAIN['separate']: recalibrated['bn-separate'],
    AGAIN['joint']: recalibrated['bn-joint']}

# %% [markdown]
# ## DER++
#
# Class-IL asks for the digit among all ten, Task-IL among the two of its task; forgetting counts rows from a task's own on.

# %%
#| label: tbl-derpp
#| tbl-cap: "Split digits with DER++, mean and 95 % interval over seeds, in percent and points."
#| classes: sortable
#| code-fold: true
METRICS = 'class_il', 'task_il', 'forgetting_trained'
lines = [[name, len(found), *(interval(values(found, m)) for m in METRICS)] for name, found in derpp.items()]
header = ['way to normalise', 'seeds', 'Class-IL', 'Task-IL', 'forgetting']
Markdown(table(lines, header, of=derpp.values()))


# %%
#| label: fig-derpp
#| fig-cap: "Class-IL accuracy under DER++: every seed (light) and the mean with its 95 % interval."
#| fig-alt: "Five ways with a joint forward and exponential statistics lie together at the top; separate forwards, the plain average of history and instance norm lie far below; recalibration lowers the joint one."
#| classes: figcard
#| code-fold: true
def color(name):
    "Orange for separate forwards, blue for task weights, light blue for batch norm, grey for the others."
    if 'separate' in name:
        return COLORS['orange']
    if name in (ADA, OFFICIAL, BAYES):
        return COLORS['blue']
    return COLORS['sky' if 'batch' in name else 'grey']

seeds, colors = frame(derpp, ['class_il']), {name: color(name) for name in derpp}
fig, ax = plt.subplots(figsize=(6.4, 4.6))
sns.stripplot(
    seeds, x='class_il', y='setting', hue='setting', palette=colors, jitter=False, alpha=.25, size=4)
sns.pointplot(
    seeds, x='class_il', y='setting', hue='setting', palette=colors, errorbar=student, capsize=.3,
    linestyle='none', lw=1.4)
ax.set(xlabel='Class-IL accuracy [%]', ylabel='');

# %% [markdown]
# ## Where the gain comes from

# %%
#| label: tbl-pairs
#| tbl-cap: "Paired differences in Class-IL under DER++."
#| code-fold: true
pairs = {
    'AdaB²N against batch norm as the official code runs it (separate)': (ADA, SEPARATE),
    'the joint forward alone: batch norm, joint against separate': (JOINT, SEPARATE),
    'AdaB²N against batch norm, joint': (ADA, JOINT),
    'its weights alone against batch norm, joint': (BAYES, JOINT),
    'equal weights against batch norm, joint': (EQUAL, JOINT),
    'equal weights against AdaB²N': (EQUAL, ADA),
    'absent tasks left out against the official rule': (ADA, OFFICIAL),
    'plain average of history against exponential, joint': (CMA, JOINT),
    'recalibration after separate forwards': (AGAIN['separate'], SEPARATE),
    'recalibration after a joint forward': (AGAIN['joint'], JOINT)}
found = {k: difference(derpp[a], derpp[b], 'class_il') for k, (a, b) in pairs.items()}
lines = [[k, i.signed(), i.tells('more', 'less'), *lasting(i)] for k, i in found.items()]
Markdown(table(lines, ['comparison', 'points', 'says', *LASTING]))

# %%
#| echo: false
gain, alone, more, just, even, over, rule, history, after_separate, after_joint = found.values()
said = {
    'Joint forwards.':
        f'Of the {gain.mean:.1f} points that AdaB²N gains over batch norm as the official code runs it, '
        f'{alone.mean:.1f} are gained by putting new and old images into one batch, without AdaB²N.',
    'Weights of tasks.':
        f'Over a batch norm with the same joint forward, the paper\'s weights alone give {just}: '
        f'{just.tells("a gain", "a loss")}; with the regulariser {more}.',
    'Equal weights.':
        f'Equal weights for all tasks in the batch give {even} over joint batch norm: '
        f'{even.tells("a gain, as the derivation of the least mismatch suggests", "a loss")}. '
        f'Against AdaB²N it is {over}.',
    'A plain average of history':
        f'(κ = 0) changes joint batch norm by {history}: ' + history.tells(
            'better', 'worse, as the derivation of staleness has it for a network that still changes') + '.',
    'Recalibration':
        'on the balanced buffer cannot close the gap after separate forwards, since no statistic fits two '
        'normalisers, and moves away from what training used after a joint one. '
        'Whether that costs accuracy no inequality says; measured: '
        f'{after_separate} ({after_separate.tells("better", "worse")}) and '
        f'{after_joint} ({after_joint.tells("better", "worse")}).',
    'Absent tasks.':
        f'Leaving them out of the sum instead of losing their weight gives {rule}: ' + rule.tells(
            'better', 'worse', 'nothing to be seen with five tasks, where little weight is lost') + '.'}
Markdown('\n'.join(f'- **{what}** {text}' for what, text in said.items()))


# %% [markdown]
# Ten comparisons were made. At 95 % one in twenty of those that mean nothing looks like something, so trust those whose interval is far from zero.
#
# ## Other methods of replay

# %%
#| label: tbl-hosts
#| tbl-cap: "Class-IL under ER, and under ER-ACE with three passes over each task; difference paired by seed against batch norm with a joint forward."
#| code-fold: true
def hosted(found, equal):
    "Names of ways → runs, from a grid of norms and one of equal weights."
    return {SEPARATE: found['bn-separate'], JOINT: found['bn-joint'], ADA: found['adab2n'], EQUAL: equal,
            'group norm': found['gn']}

hosts = {
    'ER': hosted(rows(TRAIN, 'digits-er'), setting(TRAIN, 'digits-weights', host='er', norm='uniform')),
    'ER-ACE': hosted(rows(TRAIN, 'digits-er-ace'), setting(TRAIN, 'digits-er-ace-uniform'))}

def host_line(host, name):
    "One line: a method, a norm, its mean and its difference."
    found = hosts[host][name]
    i = difference(found, hosts[host][JOINT], 'class_il')
    told = ['']*4 if name == JOINT else [i.signed(), i.tells('more', 'less'), *lasting(i)]
    return [host, name, len(found), interval(values(found, 'class_il')), *told]

header = ['method', 'way to normalise', 'seeds', 'Class-IL [%]', 'points', 'says', *LASTING]
every = [found for by in hosts.values() for found in by.values()]
Markdown(table([host_line(h, n) for h in hosts for n in hosts[h]], header, of=every))

# %% [markdown]
# ## Speed of averaging and pull
#
# The tables above use $\kappa=1$ and $\lambda=0.1$. Other values, on three seeds that no table uses:

# %%
#| label: fig-search
#| fig-cap: "AdaB²N under DER++: Class-IL accuracy in percent, mean over three other seeds, by κ (rows) and λ (columns)."
#| fig-alt: "Accuracy rises from the plain average at the top to the exponential one at the bottom; a strong pull helps most where the statistics are slow."
#| classes: figcard
#| code-fold: true
search = rows(TRAIN, 'digits-search')
lines = [(kappa, penalty, np.mean(values(found, 'class_il'))) for (kappa, penalty), found in search.items()]
grid = pd.DataFrame(lines, columns=['κ', 'λ', 'accuracy']).pivot(index='κ', columns='λ', values='accuracy')
fig, ax = plt.subplots(figsize=(5, 3.4))
sns.heatmap(grid, annot=True, fmt='.1f', cmap='Blues', cbar=False, ax=ax)
ax.tick_params(length=0, labelrotation=0)
ax.grid(False);

# %%
#| echo: false
kappa, penalty = grid.stack().idxmax()
rows_best, top = grid.max(axis=1), grid.to_numpy().max()
told = 'not monotone in κ.'
if rows_best.is_monotonic_increasing:
    told = ('the faster the statistics move, the better, as [the best gain](11_dilemma.ipynb) grows '
            'with a network that changes quickly.')
Markdown(
    f'The best of these {grid.size} is κ = {kappa:g}, λ = {penalty:g} with {top:.1f} %; '
    f'κ = 1, λ = 0.1 has {grid.loc[1., .1]:.1f} %, which three seeds cannot tell from it. '
    f'By row the best is {", ".join(f"{v:.1f}" for v in rows_best)} '
    f'for κ = {", ".join(f"{k:g}" for k in grid.index)}: {told}')


# %% [markdown]
# ## Does the preference learn?
#
# [The gradient](13_gradients.ipynb) says that the learnable preference $\psi$ can hardly move in so few steps. The largest $|\psi|$ of any layer and task after the last task, over the runs with AdaB²N above:

# %%
#| code-fold: true
def largest(found):
    "Largest preference of any layer and task after the last task, one a seed."
    return [max(r['series']['log_concentration'][-1]) for r in found.values()]

psi = {name: largest(derpp[name]) for name in (ADA, OFFICIAL, BAYES)}
most = max(map(max, psi.values()))
lines = [[name, f'{np.mean(v):.4f}', f'{max(v):.4f}'] for name, v in psi.items()]
header = ['way to normalise', 'largest |ψ|, mean over seeds', 'over all seeds']
Markdown(table(lines, header, of=[derpp[name] for name in psi])
    + f'\n\nSo the imaginary samples of a task stay between {np.exp(-most):.3f} and {np.exp(most):.3f}: '
    'in these runs the learnable prior is, for all it does, the constant 1.')

# %% [markdown]
# ## Against the paper

# %%
#| label: tbl-paper
#| tbl-cap: "Published values that we could read, from the abstract."
#| echo: false
file = (runs.NOTEBOOKS/'adab2n/published.csv').open(encoding='utf-8')
lines = [[r['setting'], f'{r["method"]}, {r["metric"].replace("class_il", "Class-IL")}',
          f'{r["value"]} {r["unit"]}',
          verdict([], float(r['value']), float(r['margin']))] for r in csv.DictReader(file)]
Markdown(table(lines, ['setting', 'what', 'published', 'verdict']))

# %% [markdown]
# The published values are differences between norms, over three seeds. What we have of these settings are runs of one norm, two on a GPU that ten other runs shared and one on a CPU, which show that the path holds from the first image to the last:

# %%
#| label: tbl-whole
#| tbl-cap: "Runs of the paper's settings: ResNet-18 on the whole set, each image once."
#| code-fold: true
whole = [r for r in runs.records('adab2n', here=False) if r['parameters']['data'] != 'digits']

def whole_line(r):
    "One run."
    p, m, cost = r['parameters'], r['metrics'], r['cost']
    spent = f'{cost["wall_s"]/60:.0f} min on {r["environment"]["device"]}, {cost["resumes"]} resumes'
    return [f'{p["data"]}, {p["host"]}, M = {p["buffer"]}', f'{p["norm"]}, κ = {p["kappa"]:g}', p['seed'],
            f'{r["steps"]:,}', *(f'{m[k]["value"]:.1f}' for k in METRICS), spent]

header = ['setting', 'norm', 'seed', 'steps', 'Class-IL', 'Task-IL', 'forgetting', 'cost']
Markdown(table(map(whole_line, whole), header))

# %% [markdown]
# A comparison needs a GPU. The commands are ready; each line is 48 runs, three seeds of eight norms under two methods:
#
# ```sh
# papers_nb grid adab2n/train --preset split-cifar10-online --grid norms --gpus 0
# papers_nb grid adab2n/train --preset split-cifar100-online --grid norms --gpus 0
# papers_nb grid adab2n/train --preset split-miniimagenet-online --grid norms --gpus 0
# ```
#
# The same with `--grid search` is the official search over κ, λ and the first task with a pull: 32 settings for AdaB²N against one for batch norm, chosen there by test accuracy, since the official launcher uses no validation split. Compare with that in mind, and search on separate seeds, as above.
#
# ## What may not be concluded
#
# That the same holds for ResNet-18 on CIFAR. There tasks last a thousand steps, not fifty, and on Mini-ImageNet twenty tasks lose far more weight than five. What the digits show is which comparison has to be made: AdaB²N against batch norm **with the same joint forward**.
