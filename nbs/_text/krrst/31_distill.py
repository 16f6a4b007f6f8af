# ---
# skip_exec: true
# ---

# %% [markdown]
# # Distil a data set without labels
#
# > One run: a few images and target vectors, moved until a network trained on them imitates the target model.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Lee et al. 2024 (KRR-ST) |
# | default | ten pairs for the optical digits, a stand-in of our own: the paper has no such row |
# | follows | [a target model](30_target.ipynb), named in `init`; it is trained first if it is not there |
# | needs | one CPU core, under 1 GB, about half a minute |
# | start | `papermill --engine papers papers://krrst/distill.ipynb out.ipynb -p pool released`, or Run All |

# %% tags=["parameters"]
from typing import Literal
data: str = 'digits'  # in core.images.SETS: the source, unlabelled
init: str = 'krrst/target'  # target model: a run, and what differs from its default
m: int = 10  # ≥ 1: pairs
images: str = 'random'  # in krrst.baselines.IMAGES: which real images it begins with
by: Literal['ridge', 'means'] = 'ridge'  # KRR-ST; class means (DM), for labels
raw: bool = False  # begin with pixels that are not normalised, as the released code
targets: Literal['features', 'labels', 'noise'] = 'features'  # beside the images
steps: int = 1000  # ≥ 0: outer steps; 0: the set it would begin with
pool: Literal['reset', 'released', 'random'] = 'reset'  # how extractors are replaced
extractors: int = 4  # ≥ 1: L, members of the pool
lifetime: int = 100  # ≥ 2: Z, steps until a member is replaced
net: str = 'convnet-tiny'  # in krrst.nets.NETS: extractor
batch: int = 256  # ≥ 1: real images a step
lr: float = 0.03  # > 0: of AdamW, to a thousandth along a line
inner_lr: float = 0.1  # > 0: of a member's SGD
ridge: float = 1e-06  # > 0: share of the trace
ridge_per_m: bool = False  # of the mean eigenvalue instead
learn_targets: bool = True  # move the target vectors too
solve: float = 0.0  # ≥ 0, ≤ 1: share of the way to a step's best targets; 0: by AdamW
pad: int = 1  # ≥ 0: black pixels around a view
flip: bool = False  # mirror half of the views
table: bool = True  # compute the targets of all views once
seed: int = 0  # ≥ 0: first images, weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 60.0  # ≥ 0: seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.distill

# %%
#| export
import math

from torch import nn

from papers_nb.core.train import Stepper
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, Targets
from papers_nb.krrst.krrst import DistilledSet, Distiller, ModelPool, initial_set
from papers_nb.krrst.nets import extractor, feature_width

# %%
#| hide
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table as markdown_table
from papers_nb.core.train import environment
from papers_nb.krrst.baselines import IMAGES, LabelTargets, noise
from papers_nb.krrst.data import Views, few, source
from papers_nb.krrst.matching import Matching
from papers_nb.krrst.nets import from_run

# %% [markdown]
# ## The run
#
# What it follows runs first, if it is not done.

# %%
run = runs.open('krrst/distill', globals())
run, run.upstream.name

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {runs.checksum("krrst/distill", run.params)}', 'seed': run.seed}

# %% [markdown]
# ## Data and target model

# %%
theme()
asked = run.upstream.record['parameters']
cut = {k: asked[k] for k in ('first', 'shrink')}
real, labels = source(data, 'train', Views(pad, flip), run.device, **cut)
model = from_run(run.upstream, *real.x.shape[1:3]).to(run.device)
wide = feature_width(model, real.plain([0]))
Markdown(f'{len(real):,} images in {len(real.views)} views each; '
         f'target features of {wide} numbers.')

# %% [markdown]
# ## Where it begins

# %%
rows = few(labels, m, seed) if by == 'means' else IMAGES[images](real, model, m, seed)
start = initial_set(real, model, m, seed, rows)
named = LabelTargets(real, labels)
y = start.y
if targets == 'labels': y = named(rows)
if targets == 'noise': y = noise(y, seed)
x = real.x[rows]/real.scale if raw else start.x
start = DistilledSet(x, y, start.about)
start.about |= {'source': data, 'shrink': cut['shrink'],
                'checksum': runs.checksum('krrst/distill', run.params)}
start.x.shape, start.y.shape

# %% [markdown]
# ## The pool, the distiller

# %%
lives = {'reset': lifetime, 'released': lifetime, 'random': 0}
fresh_net = lambda: extractor(net, *real.x.shape[1:3])
if by == 'means' and targets != 'labels':
    raise UserError(f"targets={targets!r}: 'labels' where by='means'")
if by == 'means':
    distiller = Matching(start, labels[rows], real, labels, fresh_net, steps, lr, batch,
                         seed=seed)
else:
    members = ModelPool(fresh_net, start.x, start.y.shape[1], extractors, lives[pool],
                        pool != 'released', seed, inner_lr)
    wanted = named if targets == 'labels' else Targets(model, real, table and steps > 0)
    distiller = Distiller(start, wanted, members, steps, lr, batch, ridge, ridge_per_m,
                          learn_targets, solve)
Markdown(f'{distiller.total - steps:,} steps give the members their ages, '
         f'then {steps:,} outer ones.')


# %% [markdown]
# ## The loop

# %%
#| exports
def fit(
    run,                  # a run or a Stepper
    distiller: Distiller, # moved in place, or a `Matching`
):
    "Give the pool its ages, then distil. Source: official code, `distill.py`."
    for step in run.steps(distiller.total, {'distiller': distiller}):
        run.log(**distiller.step(step))

def distill(
    source: Source,   # real images
    model: nn.Module, # target model: images → features (n, k)
    m: int,           # pairs
    make=None,        # → an extractor with fresh weights; None: the paper's ConvNet
    steps: int=1000,  # outer ones
    seed: int=0,      # of images, pool and draws
    device: str='cpu', # where the run's checkpoints live
    progress: bool=False, # show a bar
    size: int=10,     # extractors in the pool
    lifetime: int=1000, # steps until one is replaced
    table: bool=True, # compute the targets of all views once
    **options,        # of `Distiller`: lr, batch, ratio, …
)->DistilledSet:
    """Distil images that have no labels into `m` images with target vectors.

    Raises `UserError`, if the loss is no longer finite too.
    Source: Lee et al. 2024; the loop is that of the training notebook."""
    make = make or (lambda: extractor('convnet3', *source.x.shape[1:3]))
    start = initial_set(source, model, m, seed)
    pool = ModelPool(make, start.x, start.y.shape[1], size, lifetime, seed=seed)
    made = Distiller(start, Targets(model, source, table), pool, steps, **options)
    run = Stepper(seed, device, progress)
    fit(run, made)
    if run.metrics and not math.isfinite(run.metrics[-1]['loss']):
        raise UserError('the loss is no longer finite; try a smaller lr')
    return made.distilled()


# %%
fit(run, distiller)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
made = distiller.distilled()
made.save(run.folder/'distilled.safetensors')
outer = [r for r in run.metrics if 'age' in r]
last = outer[-(len(outer) + 9)//10:]
moved = (made.x - start.x).square().mean().sqrt().item()
moved_targets = (made.y - start.y).norm().item()/start.y.norm().item()
metrics = {'moved': (moved, 'deviations of a pixel'),
           'targets moved': (moved_targets, '1')}
if outer:
    share = 100*np.mean([r['age'] > 0 for r in outer])
    loss = np.mean([r['loss'] for r in last])
    metrics = {'loss': (loss, '1'), 'trained': (share, '% of the steps')} | metrics
how = 'the state after the last step; nothing was selected'
record = run.finish(metrics, selection=how, artifacts=('distilled.safetensors',))
run

# %%
#| label: fig-pictures
#| fig-cap: "Distilled images: before, after, and what changed, enlarged to its own range (violet: larger numbers, orange: smaller)."
#| fig-alt: "Above the images it began with, in the middle those it ended with, which look alike but sharper or noisier, below the difference."
#| classes: figcard
shown = min(m, 10)
rows_of = start.pictures(), made.pictures(), made.x.cpu() - start.x.cpu()
fig, axes = plt.subplots(3, shown, figsize=(6.4, 2.2), squeeze=False)
for line, part in zip(axes, rows_of):
    for ax, image in zip(line, part[:shown]):
        image = image.permute(1, 2, 0).numpy()
        if part is rows_of[2]:
            most = abs(part).max().item() or 1
            ax.imshow(image.mean(2), cmap='PuOr', vmin=-most, vmax=most)
        else: ax.imshow(image, cmap='gray_r', vmin=0, vmax=1)
        ax.axis('off')

# %%
#| label: fig-loss
#| fig-cap: "Outer loss of every step, and how many steps the extractor it used had been trained for."
#| fig-alt: "The loss is high wherever a member was just replaced, and falls as the set gets better; ages go up and down like saws."
#| classes: figcard
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6))
left.plot([r['loss'] for r in outer], color=COLORS['blue'], lw=.6)
left.set(xlabel='outer step', ylabel='loss', yscale='log' if outer else 'linear')
right.plot([r['age'] for r in outer], '.', ms=2, color=COLORS['orange'])
right.set(xlabel='outer step', ylabel='age of the extractor [steps]');

# %%
cost = record['cost']
lines = [(k, f'{v["value"]:.3g} {v["unit"]}') for k, v in record['metrics'].items()]
Markdown(markdown_table(lines, ('metric', 'this run, one seed')) + f'''

Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, \
{cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.''')

# %% [markdown]
# The set, loaded back in one line:

# %%
len(DistilledSet.load(run.folder/'distilled.safetensors').dataset())
