# %% [markdown]
# # papers_nb
#
# > Five papers taken apart and put back together, so that you can believe every line.

# %% [markdown]
# Five papers are planned; AdaB²N and LIRDRec are here, three are to come. Each is a folder of notebooks: derivations that are checked by code, parts that can be imported, trainings that run in batches and go on after being killed, and results computed from their records. The function that a page explains is the function that a training calls and that `pip install papers_nb` delivers.
#
# | you are | start with |
# |---|---|
# | a **reader** | [what a batch norm remembers](adab2n/01_background.ipynb), then [a derivation](adab2n/10_momentum.ipynb) and [the next](adab2n/11_dilemma.ipynb); or [what BPR does to features](lirdrec/10_displacement.ipynb); [every claim](claims.ipynb), [every result](results.ipynb) |
# | a **runner** | [run one notebook](#run-one-notebook), then a [grid](#run-many) |
# | an **importer** | [use a part](#use-a-part) |

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import matplotlib.pyplot as plt
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.checks import ledger
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.stats import difference, interval, select

# %%
#| hide
theme()
names = {'bn-separate': 'new and old images\napart', 'bn-joint': 'new and old images\ntogether', 'adab2n': 'AdaB²N'}
chosen = {n: select(runs.records('adab2n'), runs.check('adab2n/train', {}), norm=n) for n in names}
by = {n: {s: r['metrics']['class_il']['value'] for s, r in rows.items()} for n, rows in chosen.items()}
seeds = sorted(set.intersection(*(set(v) for v in by.values())))

# %%
#| label: fig-norms
#| fig-cap: "Accuracy on all ten digits after learning them two at a time, one grey line a seed."
#| fig-alt: "Normalising new and old images together instead of apart lifts the accuracy of every seed; AdaB²N adds little to that."
#| classes: figcard
#| echo: false
fig, ax = plt.subplots(figsize=(6.4, 3.4))
for s in seeds: ax.plot(range(3), [by[n][s] for n in names], color='#bbbbbb', lw=.8, zorder=1)
for x, (n, color) in enumerate(zip(names, (COLORS['orange'], COLORS['sky'], COLORS['blue']))):
    ax.scatter([x]*len(seeds), [by[n][s] for s in seeds], color=color, s=18, zorder=2)
    i = interval([by[n][s] for s in seeds])
    ax.errorbar([x + .12], [i.mean], [i.half], fmt='o', color=color, capsize=4, ms=7)
ax.set(xticks=range(3), xticklabels=names.values(), ylabel='Class-IL accuracy [%]', xlim=(-.4, 2.5));

# %%
#| echo: false
joint, weights = (difference(chosen[a], chosen[b], 'class_il') for a, b in (('bn-joint', 'bn-separate'), ('adab2n', 'bn-joint')))
says = weights.tells('an interval above zero', 'an interval below zero', 'an interval that includes zero')
Markdown(f'From our own runs, {len(seeds)} seeds: normalising new and replayed digits in **one** batch instead of two is worth **{joint}** points of accuracy; what AdaB²N adds to that is {weights.mean:.2f} ± {weights.half:.2f} points, {says} (paired 95 % intervals). Where the gain of a method comes from is the kind of question these pages ask.')

# %% [markdown]
# ## Two commands
#
# On a fresh machine with Python 3.11 or newer, git and make:
#
# ```sh
# git clone https://github.com/OWNER/papers_nb && cd papers_nb
# make demo    # six small trainings, a table with intervals: about a minute after the install
# make test    # every page run again and compared, kills and resumes, the built wheel: about nine minutes
# ```
#
# Both make `.venv` and install what `constraints.txt` pins. On Linux, PyPI's torch brings CUDA, several GB. For a CPU-only torch:
#
# ```sh
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
# ```
#
# For another CUDA version put that version's index there, for example `https://download.pytorch.org/whl/cu128`. Linux and macOS are supported. On Windows use WSL: run folders and kernels rely on POSIX signals and sockets.
#
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

model = convert_adab2n(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), tasks=5, kappa=.4)
model[1]

# %% [markdown]
# A recommender takes who took what, and features of the items; an item that nobody took is scored by its features alone:

# %%
import numpy as np
from papers_nb.lirdrec import LIRDRec

rng = np.random.default_rng(0)
took = {'user': np.repeat(np.arange(40), 6), 'item': np.concatenate([rng.choice(30, 6, replace=False) for _ in range(40)])}
shop = LIRDRec(epochs=3).fit(took, {'text': rng.standard_normal((31, 8), dtype=np.float32)})
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
# Edit a cell, save, and
#
# ```sh
# make page P=adab2n/layer
# ```
#
# runs that page, stores its outputs, exports its module, writes its text twin in `nbs/_text` and compares. In a notebook cell the same is `!make -C ../.. page P=adab2n/layer`; reload the notebook afterwards.
#
# ## The five papers

# %%
#| echo: false
papers = {'lirdrec': ('LIRDRec', 'Why does BPR push modality features aside?'), 'pcpg': ('PCPG', 'What does a policy gradient add to lip-reading?'),
          'occsdf': ('Occ-SDF Hybrid', 'Why do thin chair legs vanish from a reconstructed room?'), 'krrst': ('KRR-ST', 'Can a data set without labels be distilled?'),
          'adab2n': ('AdaB²N', 'Whose statistics does a batch norm remember?')}
def status(key):
    pages = [n for n in runs.notebooks() if n.startswith(f'{key}/')]
    if not pages: return 'not begun'
    return f'{len(pages)} pages, {len(ledger({n: runs.notebook(n) for n in pages}))} claims, {len(runs.records(key, here=False))} run records'
Markdown('\n'.join(['| paper | question | status |', '|---|---|---|', *[f'| {t} | {q} | {status(k)} |' for k, (t, q) in papers.items()]]))

# %% [markdown]
# ## Cite
#
# `CITATION.cff` says how to cite this project. Each paper's own authors are named on its pages; please cite them for their ideas.
#
# Code and text: Apache-2.0. Data sets keep their own terms, listed on [their page](core/images.ipynb).
