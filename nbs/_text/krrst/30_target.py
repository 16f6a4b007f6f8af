# ---
# skip_exec: true
# ---

# %% [markdown]
# # Train a target model without labels
#
# > One run: two views of each image should say the same. What comes out says what a distilled set is to teach.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Lee et al. 2024 (KRR-ST): a ResNet-18 trained by Barlow Twins; how it was trained is not published |
# | default | a small ConvNet on optical digits, a stand-in of our own |
# | data | optical digits, with scikit-learn, CC BY 4.0; CIFAR by `papers_nb fetch cifar100` ([sets](20_data.ipynb)) |
# | needs | one CPU core, under 1 GB, about fifteen seconds |
# | start | `papermill --engine papers papers://krrst/target.ipynb out.ipynb -p seed 1`, or Run All; [a distillation](31_distill.ipynb) starts it by itself |

# %% tags=["parameters"]
data: str = 'digits'  # in core.images.SETS: unlabelled images
method: str = 'barlow-twins'  # in krrst.selfsup.METHODS: self-supervised loss
views: str = 'scanned'  # in krrst.selfsup.VIEWS: how an image is changed
net: str = 'convnet-small'  # in krrst.nets.NETS: extractor; patches: fitted otherwise
hidden: int = 128  # ≥ 1: width of the projector
first: int = 0  # ≥ 0: images of the source, as they are stored; 0: all
shrink: int = 1  # ≥ 1: pixels of a side that become one
epochs: int = 60  # ≥ 1: passes over the images
batch: int = 256  # ≥ 2: images a step
lr: float = 0.003  # > 0: of AdamW, to 0 by a cosine
weight_decay: float = 0.0001  # ≥ 0: of AdamW
seed: int = 0  # ≥ 0: initial weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 60.0  # ≥ 0: seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.target

# %%
#| export
import math

import torch
from torch import nn

from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source
from papers_nb.krrst.selfsup import scanned

# %%
#| hide
import matplotlib.pyplot as plt
from IPython.display import Markdown
from safetensors.torch import load_file

from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table
from papers_nb.core.train import environment, seed_all
from papers_nb.krrst.data import features, source
from papers_nb.krrst.metrics import linear_probe
from papers_nb.krrst.nets import extractor, feature_width
from papers_nb.krrst.patches import fit_patches
from papers_nb.krrst.selfsup import METHODS, VIEWS

# %% [markdown]
# ## The run

# %%
run = runs.open('krrst/target', globals())
run

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {runs.checksum("krrst/target", run.params)}', 'seed': run.seed}

# %% [markdown]
# ## Data
#
# Labels are loaded for one purpose: the probe at the end, which chooses nothing.

# %%
theme()
cut = dict(device=run.device, shrink=shrink)
train, labels = source(data, 'train', first=first, **cut)
test, labels_test = source(data, 'test', **cut)
Markdown(f'{len(train):,} images of shape {tuple(train.x.shape[1:])}; '
         f'{len(test):,} more for the probe.')

# %% [markdown]
# Two views of the same eight images, as the loss sees them (patches are fitted to plain images):

# %%
#| label: fig-views
#| fig-cap: "Eight images in two views each, above and below."
#| fig-alt: "Each column shows one image twice: shifted, of another contrast, noisy and with a patch covered; the character can still be told."
#| classes: figcard
eight = torch.arange(8)
inked = lambda x: ((x - x.min())/(x.max() - x.min())).permute(1, 2, 0)
fig, axes = plt.subplots(2, 8, figsize=(6.4, 1.8))
for row, index in zip(axes, (0, 1)):
    changed = VIEWS[views](train, eight, generator(seed, 'shown', index))
    for ax, image in zip(row, changed.cpu()):
        ax.imshow(inked(image), cmap='gray_r')
        ax.axis('off')

# %% [markdown]
# ## Network

# %%
seed_all(seed, 'init', 0)
model = extractor(net, *train.x.shape[1:3]).to(run.device)
width = feature_width(model, train.plain([0]))
by_patches = net == 'patches'
learner = model if by_patches else METHODS[method](model, width, hidden).to(run.device)
count = lambda module: sum(p.numel() for p in module.parameters())
Markdown(f'{count(model):,} parameters, features of {width} numbers; '
         f'{count(learner) - count(model):,} more that are thrown away afterwards.')


# %% [markdown]
# ## The loop

# %%
#| exports
def fit(
    run,                # a run or a Stepper
    learner: nn.Module, # one of METHODS, trained in place
    source: Source,     # unlabelled images
    *,
    views=scanned,      # source, rows, generator → images; one of VIEWS
    epochs: int=1000,   # passes over the images
    batch: int=256,     # images a step; what is left of an epoch is not used
    lr: float=1e-3,     # of AdamW, to 0 by a cosine
    weight_decay: float=1e-4,
):
    """Learn from two views of each image.

    Raises `UserError` for a batch larger than the source.
    Source: Zbontar et al. 2021."""
    if not 2 <= batch <= len(source):
        raise UserError(f'batch={batch}: from 2 to the {len(source)} images')
    opt = torch.optim.AdamW(learner.parameters(), lr, weight_decay=weight_decay)
    per_epoch = len(source)//batch
    total = epochs*per_epoch
    for step in run.steps(total, {'learner': learner, 'opt': opt}):
        epoch, i = divmod(step, per_epoch)
        draws = generator(run.seed, 'order', epoch)
        order = torch.randperm(len(source), generator=draws)
        rows = order[i*batch:(i + 1)*batch].to(run.device)
        a, b = (views(source, rows, generator(run.seed, name, step)) for name in 'ab')
        learner.train()
        loss = learner.loss(a, b)
        opt.param_groups[0]['lr'] = lr*.5*(1 + math.cos(math.pi*step/total))
        opt.zero_grad()
        loss.backward()
        opt.step()
        learner.after((step + 1)/total)
        run.log(loss=loss.item())


# %%
if by_patches: fit_patches(run, model, train, epochs)
else: fit(run, learner, train, views=VIEWS[views], epochs=epochs, batch=batch, lr=lr,
         weight_decay=weight_decay)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
said, said_test = (features(model, s.plain()) for s in (train, test))
pixels, pixels_test = (s.plain().flatten(1) for s in (train, test))
probe = linear_probe(said, labels, said_test, labels_test)
metrics = {
    'probe': (probe, '%'),
    'probe of pixels': (linear_probe(pixels, labels, pixels_test, labels_test), '%'),
    'deviation': (said.std(0).mean().item(), '1')}
how = 'the state after the last step; nothing was selected'
record = run.finish(metrics, selection=how, weights={'net': model})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step."
#| fig-alt: "The loss falls steeply at first, then slowly, and levels off at the end."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.plot([r['loss'] for r in run.metrics], color=COLORS['blue'])
ax.set(xlabel='step', ylabel='loss', yscale='log');

# %%
cost = record['cost']
lines = [(k, f'{m["value"]:.2f} {m["unit"]}') for k, m in record['metrics'].items()]
Markdown(table(lines, ('metric', 'this run, one seed')) + f'''

Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, \
{cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.''')

# %% [markdown]
# The probe is a linear classifier on frozen features, all training labels; that of the pixels is its bar.
#
# Loaded back in three lines, the target model says the same:

# %%
again = extractor(net, *train.x.shape[1:3]).to(run.device)
again.load_state_dict(load_file(run.folder/'net.safetensors'))
torch.equal(features(again, test.plain()), said_test)
