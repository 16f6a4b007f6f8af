# %% [markdown]
# # papers_nb
#
# > Five papers taken apart and put back together, so that you can believe every line.

# %% [markdown]
# Each paper is a folder of notebooks: derivations that are checked by code, parts that can be imported, trainings that run in batches and go on after being killed, and results computed from their records. The function that a page explains is the function that a training calls and that `pip install papers_nb` delivers.
#
# | you are | start with |
# |---|---|
# | a **reader** | one of [the papers](#the-papers): its background needs nothing but programming; then [every claim](claims.ipynb), [every result](results.ipynb) |
# | a **runner** | [run one notebook](#run-one-notebook), then a [grid](#run-many) |
# | an **importer** | [use a part](#use-a-part) |

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
from papers_nb.core.results import against_records, difference, frame, rows, student
from papers_nb.core.tables import table
theme()

# %%
#| hide
digits = rows('adab2n/train', 'digits')
NAMES = {
    'bn-separate': 'new and old images\napart',
    'bn-joint': 'new and old images\ntogether',
    'adab2n': 'AdaB²N'}
seeds = frame({name: digits[norm] for norm, name in NAMES.items()}, ['class_il'])

# %%
#| label: fig-norms
#| fig-cap: "Accuracy on all ten digits after learning them two at a time, one grey line a seed."
#| fig-alt: "Normalising new and old images together instead of apart lifts the accuracy of every seed; AdaB²N adds little to that."
#| classes: figcard
#| echo: false
fig, ax = plt.subplots(figsize=(6.4, 3.4))
colors = {name: COLORS[c] for name, c in zip(NAMES.values(), ('orange', 'sky', 'blue'))}
sns.lineplot(seeds, x='setting', y='class_il', units='seed', estimator=None, color='#bbbbbb', lw=.8, zorder=1)
sns.stripplot(seeds, x='setting', y='class_il', hue='setting', palette=colors, jitter=False, size=4)
seen = len(ax.lines)
sns.pointplot(
    seeds, x='setting', y='class_il', hue='setting', palette=colors, errorbar=student, capsize=.06,
    linestyle='none', markersize=7, lw=1.6)
for made in ax.lines[seen:]: # the mean stands beside the seeds, not on them
    made.set_xdata(made.get_xdata() + .12)
ax.set(xlabel='', ylabel='Class-IL accuracy [%]', xlim=(-.4, 2.5));

# %%
#| echo: false
joint = difference(digits['bn-joint'], digits['bn-separate'], 'class_il')
weights = difference(digits['adab2n'], digits['bn-joint'], 'class_il')
says = weights.tells('an interval above zero', 'an interval below zero', 'an interval that includes zero')
Markdown(
    f'From our own runs, {weights.n} seeds: normalising new and replayed digits in **one** batch instead of '
    'two '
    f'is worth **{joint}** points of accuracy; what AdaB²N adds to that is {weights.mean:.2f} ± '
    f'{weights.half:.2f} '
    f'points, {says} (paired 95 % intervals). Where the gain of a method comes from is the kind of question '
    'these pages ask.')

# %% [markdown]
# ## Two commands
#
# On a fresh machine with Python 3.11 or newer, git and make:
#
# ```sh
# git clone https://github.com/OWNER/papers_nb && cd papers_nb
# make demo    # half a minute: six small trainings, each held against our record of its seed
# make test    # ten minutes: every page run again and compared, kills, resumes, the wheel
# ```
#
# Both make `.venv` and install what they need first, as `constraints.txt` pins it; the times are for two cores. On Linux, PyPI's torch brings CUDA, several GB. For a CPU-only torch:
#
# ```sh
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
# ```
#
# For another CUDA version put that version's index there: torch 2.13 has `https://download.pytorch.org/whl/cu126`, for older cards, and `cu130`. Linux and macOS are supported. On Windows use WSL: run folders and kernels rely on POSIX signals and sockets.
#
# The demo ends with this table; here both columns are ours. On another processor a run comes out somewhat different, and two seeds alone say little: what the norms differ by is read from all committed seeds.

# %%
#| echo: false
Markdown(against_records([digits[norm][seed] for norm in NAMES for seed in (0, 1)]))

# %% [markdown]
# ## Use a part
#
# ```sh
# pip install papers_nb          # torch, numpy, safetensors, nothing else
# pip install 'papers_nb[run]'   # what the trainings need
# pip install 'papers_nb[text]'  # also models that see and read, for features of items
# ```

# %%
import torch
from papers_nb.adab2n import AdaB2N, batch_tasks, end_task

torch.manual_seed(0)
norm = AdaB2N(num_features=3, tasks=2)
norm(torch.randn(8, 3, 4, 4))               # first task: a batch norm
end_task(norm)

tasks = torch.tensor([1]*6 + [0]*2)         # six new samples, two replayed ones
x = torch.randn(8, 3, 4, 4) + 5*tasks.view(-1, 1, 1, 1)
with batch_tasks(norm, tasks): y = norm(x)
y[tasks == 0].mean().item(), y[tasks == 1].mean().item()

# %% [markdown]
# The means of old and new samples after the layer. A plain batch norm counts heads, three new ones for each old; the layer counts tasks and moves the centre towards the old ones. A model that has batch norms already is converted and keeps its weights:

# %%
from torch import nn
from papers_nb.adab2n import convert_adab2n

model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
convert_adab2n(model, tasks=5, kappa=.4)[1]

# %% [markdown]
# A recommender takes who took what, and features of the items; an item that nobody took is scored by its features alone:

# %%
import numpy as np
from papers_nb.lirdrec import LIRDRec

rng = np.random.default_rng(0)
taken = [rng.choice(30, 6, replace=False) for _ in range(40)]
took = {'user': np.repeat(np.arange(40), 6), 'item': np.concatenate(taken)}
text = rng.standard_normal((31, 8), dtype=np.float32)
shop = LIRDRec(epochs=3).fit(took, {'text': text})
shop.recommend([0, 1], k=3), shop.scores([0])[0, 30].item()


# %% [markdown]
# ## Run one notebook
#
# ```sh
# papermill --engine papers papers://adab2n/train.ipynb out.ipynb -p norm bn-joint -p seed 1
# papermill --engine papers papers://adab2n/train.ipynb out.ipynb -f papers://adab2n/split-digits.yaml
# ```
#
# It takes about ten seconds on a CPU and needs no download. The run is a folder below `runs/`, with the record, the metrics and the weights. Kill it and start it again: it goes on where it stopped and ends with the same bits. A misspelt parameter stops it before it starts and names what there is. The same notebook runs by Run All in Jupyter, VS Code or Colab.
#
# ## Run many
#
# ```sh
# papers_nb grid adab2n/train --grid 'norm=bn-separate,bn-joint,adab2n;seed=0..9' --workers 2
# papers_nb results adab2n
# ```
#
# A grid skips what is done and goes on after a kill. `--list` prints its papermill commands for `xargs`, GNU parallel or make; `--task N` runs the N-th, for a Slurm array; `--gpus 0-3` gives each run a GPU.
#
# ## Change a formula
#
# ```sh
# make lab                    # JupyterLab in nbs/, each notebook paired with its text
# make page P=adab2n/layer    # after saving
# ```
#
# Edit a cell of a notebook, or its twin in `nbs/_text`, where a diff is easy to read; in JupyterLab both are saved together. `make page` runs that page, stores its outputs, exports its module, writes its twin, compares, and names the other pages that your change made stale. From a notebook cell the same is `!make -C ../.. page P=adab2n/layer`; reload the notebook afterwards. A module below `papers_nb/` whose first lines name a notebook is written from it: edit the notebook.
#
# ## The papers

# %%
#| echo: false
def card(paper, about):
    "One line: where to begin, what it asks, how much there is."
    pages = {n: p for n, p in runs.notebooks().items() if n.startswith(f'{paper}/')}
    begin = {f'{paper}/overview': about['name'], f'{paper}/background': 'background'}
    links = [f'[{text}]({paper}/{pages[n].name})' for n, text in begin.items() if n in pages]
    counts = f'{len(pages)} pages, {len(ledger(pages))} claims, {len(runs.kept(paper))} run records'
    return [', '.join(links) or about['name'], about['question'], counts]

cards = [card(*each) for each in runs.papers().items()]
Markdown(table(cards, ['paper', 'question', 'what there is']))

# %% [markdown]
# ## Cite
#
# `CITATION.cff` says how to cite this project. Each paper's own authors are named on its pages; please cite them for their ideas.
#
# Code and text: Apache-2.0. Data sets keep their own terms, listed on [their page](core/images.ipynb).
