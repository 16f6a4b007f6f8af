# ---
# skip_exec: true
# ---

# %% [markdown]
# # Train on tasks that arrive one after the other
#
# > One run: a network, a norm, a method of replay, and how much of each task is left at the end.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Lyu et al. 2023 (AdaB²N), online class-incremental setting; the default goes through each task twice, since the digits have only 25 batches of ten a task |
# | default | Split digits, 5 tasks of 2 classes, a stand-in of our own: the paper has no such row |
# | data | optical digits, with scikit-learn, CC BY 4.0; CIFAR by `papers_nb fetch cifar10`; Mini-ImageNet from a folder of yours ([how](../core/images.ipynb)) |
# | needs | default: one CPU core, under 1 GB, about ten seconds, of which the training takes one; ResNet-18 on CIFAR-10: a GPU |
# | the paper's settings | `papers_nb list` names them: `-f papers://adab2n/split-cifar10-online.yaml` |
# | start | `papermill --engine papers papers://adab2n/train.ipynb out.ipynb -p norm bn-joint -p seed 1`, or Run All |

# %% tags=["parameters"]
from typing import Literal
data: str = 'digits'  # in core.images.SETS: data set
tasks: int = 5  # ≥ 1: number of tasks, a divisor of the number of classes
host: str = 'derpp'  # in adab2n.hosts.HOSTS: method of replay
norm: str = 'adab2n'  # in adab2n.nets.NORMS: norm layer
kappa: float = 1.0  # ≥ 0, ≤ 1: AdaB²N: averaging, 0 cumulative, 1 exponential
penalty: float = 0.1  # ≥ 0: AdaB²N: weight λ of the statistics regulariser
regulariser: Literal['official', 'scale-free'] = 'official'  # AdaB²N: distance measure
penalty_from: int = 0  # ≥ 0: AdaB²N: first task, from 0, with the regulariser
absent_tasks: Literal['renormalize', 'official'] = 'renormalize'  # AdaB²N: their weight
log_concentration: float = 0.0  # ≥ -30, ≤ 30: AdaB²N: ψ at the start
recalibrate: bool = False  # test with running statistics computed anew on the buffer
groups: Literal[1, 2, 4, 8, 16, 32, 64] = 8  # gn, cn-separate: groups of channels
backbone: str = 'small'  # in adab2n.nets.NETS: network
lr: float = 0.03  # > 0: learning rate of plain SGD
milestones: list[int] = []  # ≥ 0: epochs of a task, from 0, at which lr decays
decay: float = 0.1  # > 0, ≤ 1: factor of the learning rate at each milestone
batch: int = 10  # ≥ 1: new images a step
replay: int = 10  # ≥ 1: replayed images a step and replay batch
epochs: int = 2  # ≥ 1: passes over each task; 1 is the online setting
buffer: int = 50  # ≥ 1: old images kept
buffer_kind: str = 'reservoir'  # in adab2n.hosts.BUFFERS: which old images are kept
alpha: float = 0.2  # ≥ 0: DER++: weight of the kept logits
beta: float = 0.5  # ≥ 0: DER++: weight of the replayed labels
augment: bool = False  # random crop and mirror; for colour images
seed: int = 0  # ≥ 0: class order, initial weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 60.0  # > 0: seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.train

# %%
#| export
import torch
from torch import nn

from papers_nb.adab2n.data import Stream, Tasks, inputs
from papers_nb.adab2n.hosts import HOSTS, Reservoir, forward, loss, recalibrated
from papers_nb.adab2n.layer import AdaB2N, end_task
from papers_nb.adab2n.metrics import evaluate
from papers_nb.core.train import generator

# %%
#| hide
import hashlib, math
from copy import deepcopy

import matplotlib.pyplot as plt, numpy as np
from IPython.display import Markdown
from safetensors.torch import load_file

from papers_nb import runs
from papers_nb.adab2n.data import split
from papers_nb.adab2n.hosts import BUFFERS
from papers_nb.adab2n.metrics import acc, bwt, forgetting, fwt
from papers_nb.adab2n.nets import NETS, NORMS, norm_layer
from papers_nb.core.images import SETS
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table
from papers_nb.core.train import environment, seed_all

# %% [markdown]
# ## The run
#
# A run is a folder. What is asked decides its name: the same parameters find the same folder, go on where a killed run stopped, and never train twice.

# %%
run = runs.open('adab2n/train', globals())
run

# %% [markdown]
# Network and buffer are laid out once without memory, so that sizes that do not fit together are named at once:

# %%
make_norm = norm_layer(norm, tasks, groups, kappa=kappa, absent_tasks=absent_tasks,
                       regulariser=regulariser, log_concentration=log_concentration)
with torch.device('meta'):
    NETS[backbone](1, tasks, make_norm)
    BUFFERS[buffer_kind](buffer, (1, 8, 8), 1, 'meta', tasks)

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {SETS[data].checksum()}', 'seed': run.seed}

# %% [markdown]
# ## Data

# %%
theme()
seq = split(data, tasks, seed, run.device)
stream = Stream(seq.task_of(seq.y), tasks, batch, epochs, seed)
title = SETS[data].card.title
Markdown(f'{title}: {len(seq.x):,} training and {len(seq.x_test):,} test images '
         f'in {tasks} tasks of {seq.per_task} classes, '
         f'**{len(stream):,} steps** of {batch} new images.')

# %% [markdown]
# The first image of each class, in the order in which the classes arrive:

# %%
#| label: fig-data
#| fig-cap: "One training image of each class, two classes a task, in order of arrival."
#| fig-alt: "A row of small pictures, one for each class of the data set, in the order in which the tasks bring them."
#| classes: figcard
shown = min(seq.classes, 20)
fig, axes = plt.subplots(1, shown, figsize=(6.4, .9))
for k, ax in enumerate(axes):
    image = seq.x[seq.y == k][0].permute(1, 2, 0).cpu()/SETS[data].scale
    ax.imshow(image, cmap='gray_r')
    ax.set_title(f'task {k//seq.per_task + 1}', fontsize=7)
    ax.axis('off')


# %% [markdown]
# No test image is a training image, except where the set itself holds one twice:

# %%
def images(x): return {row.numpy().tobytes() for row in x.cpu()}

len(images(seq.x) & images(seq.x_test))

# %% [markdown]
# ## Network

# %%
seed_all(seed, 'init', 0)
shape = tuple(seq.x.shape[1:])
net = NETS[backbone](shape[0], seq.classes, make_norm, shape[-1]).to(run.device)
memory = BUFFERS[buffer_kind](buffer, shape, seq.classes, run.device, tasks)
x, y = inputs(seq.x[stream[0]], data), seq.y[stream[0]]
logits = net.eval()(x)
Markdown(f'{sum(p.numel() for p in net.parameters()):,} parameters; a batch of shape '
         f'{tuple(x.shape)} gives logits of shape {tuple(logits.shape)}.')

# %% [markdown]
# ## Before training
#
# The first loss should be about the logarithm of the number of classes, and one batch alone should be learnt by heart. Both on a copy. What the untrained network gets right is what forward transfer is measured against.

# %%
untrained = evaluate(net, seq)
trial = deepcopy(net).train()
opt = torch.optim.SGD(trial.parameters(), .1)
first = nn.functional.cross_entropy(trial(x), y).item()
for _ in range(60):
    opt.zero_grad()
    nn.functional.cross_entropy(trial(x), y).backward()
    opt.step()
last = nn.functional.cross_entropy(trial(x), y).item()
Markdown(f'First loss {first:.2f}, expected about ln {seq.classes} '
         f'= {math.log(seq.classes):.2f}; after 60 steps on one batch {last:.3f}.')


# %% [markdown]
# ## The loop
#
# `run.steps` resumes, saves and keys the randomness; `run.log` writes one row. All else is here: draw, forward, loss, step, remember.

# %%
#| exports
def tested(
    net: nn.Module,    # left as it is
    seq: Tasks,        # whose test images are used
    memory: Reservoir, # whose images the statistics may be computed on
    recalibrate: bool, # compute running statistics anew on the memory
)->dict[str, list[float]]: # class_il and task_il, one number a task, in percent
    "Accuracies of a network, as it is or recalibrated on its memory. Source: ours."
    if recalibrate:
        x, y = memory.x[memory.filled], memory.y[memory.filled]
        net = recalibrated(net, inputs(x, seq.name), seq.task_of(y))
    return evaluate(net, seq)

def preferences(
    net: nn.Module, # with or without AdaB2N layers
)->dict[str, list[float]]: # log_concentration, one number a layer; or nothing
    "The largest preference |ψ| of each AdaB2N layer. Source: ours."
    layers = [m for m in net.modules() if isinstance(m, AdaB2N)]
    psi = [m.log_concentration.abs().max().item() for m in layers]
    return {'log_concentration': psi} if psi else {}


# %%
#| exports
def fit(
    run,               # a run or a Stepper
    net: nn.Module,    # trained in place
    seq: Tasks,        # images and labels
    stream: Stream,    # which rows each step sees
    memory: Reservoir, # filled on the way
    *,
    host: str,            # a key of HOSTS
    joint: bool=True,     # one forward over new and old images, or one a batch
    lr: float=.03,        # of plain SGD
    penalty: float=.1,    # weight λ of the regulariser
    replay: int=10,       # old images a draw
    alpha: float=.2,      # DER++: weight of the kept logits
    beta: float=.5,       # DER++: weight of the replayed labels
    augment: bool=False,  # random crop and mirror
    milestones: tuple[int, ...]=(), # epochs of a task at which the learning rate decays
    decay: float=.1,      # by this factor
    penalty_from: int=0,  # first task in which the regulariser counts
    recalibrate: bool=False, # test with statistics computed anew on the buffer
):
    "Train and test task after task. Source: Lyu et al. 2023; official code, `models/`."
    opt = torch.optim.SGD(net.parameters(), lr)
    def prepared(x, i, step):
        "Images as the network takes them."
        g = generator(run.seed, f'augment-{i}', step, run.device) if augment else None
        return inputs(x, seq.name, g)
    for step in run.steps(len(stream), {'net': net, 'opt': opt, 'memory': memory}):
        task, epoch, _ = stream.at(step)
        new = seq.x[stream[step]], seq.y[stream[step]]
        draws = HOSTS[host].draws if len(memory) and task >= HOSTS[host].first else 0
        old = [memory.draw(replay, generator(run.seed, f'replay-{i}', step))
               for i in range(draws)]
        xs, ys = zip(new, *[(x, y) for x, y, _ in old])
        net.train()
        parts = [prepared(x, i, step) for i, x in enumerate(xs)]
        logits, regulariser = forward(net, parts, [seq.task_of(y) for y in ys], joint)
        kept, top = [z for _, _, z in old], memory.largest(ys[0])
        cost = loss(host, logits, ys, kept, alpha, beta, top)
        opt.zero_grad()
        penalised = old and task >= penalty_from
        (cost + penalty*regulariser if penalised else cost).backward()
        opt.param_groups[0]['lr'] = lr*decay**sum(e <= epoch for e in milestones)
        opt.step()
        g = generator(run.seed, 'reservoir', step)
        memory.add(*new, logits[0].detach(), g, task)
        row = {'loss': cost.item()}
        if stream.ends_task(step):
            end_task(net)
            row |= tested(net, seq, memory, recalibrate) | preferences(net)
        run.log(**row)


# %% [markdown]
# ## Training

# %%
fit(run, net, seq, stream, memory, host=host, joint=not NORMS[norm].separate,
    lr=lr, penalty=penalty, replay=replay, alpha=alpha, beta=beta, augment=augment,
    milestones=milestones, decay=decay, penalty_from=penalty_from,
    recalibrate=recalibrate)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
rows = run.metrics
class_il, task_il = (
    np.array([r[k] for r in rows if k in r]) for k in ('class_il', 'task_il'))
metrics = {
    'class_il': (acc(class_il), '%'),
    'task_il': (acc(task_il), '%'),
    'forgetting_trained': (forgetting(class_il, 'trained'), 'points'),
    'forgetting_official': (forgetting(class_il, 'official'), 'points'),
    'forgetting_usual': (forgetting(class_il, 'usual'), 'points'),
    'bwt': (bwt(class_il), 'points'),
    'fwt': (fwt(class_il, untrained['class_il']), 'points'),
    'task_forgetting': (forgetting(task_il, 'trained'), 'points'),
    'task_bwt': (bwt(task_il), 'points'),
    'task_fwt': (fwt(task_il, untrained['task_il']), 'points'),
}
how = 'the state after the last step; nothing was selected'
record = run.finish(metrics, selection=how, weights={'net': net})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step; a new task begins at each grey line."
#| fig-alt: "The loss jumps at the start of each task and falls again within a few steps."
#| classes: figcard
losses = np.array([r['loss'] for r in rows])
smooth = np.convolve(losses, np.ones(9)/9, 'valid')
fig, ax = plt.subplots()
ax.plot(losses, color=COLORS['sky'], lw=.8, alpha=.6)
ax.plot(np.arange(len(smooth)) + 4, smooth, color=COLORS['blue'])
for end in stream.ends[:-1]: ax.axvline(end, color=COLORS['grey'], lw=.8)
ax.set(xlabel='step', ylabel='loss');

# %%
#| label: fig-accuracy
#| fig-cap: "Class-IL accuracy in percent: after which task (rows), on which task (columns)."
#| fig-alt: "A triangle of accuracies: high on the diagonal, where a task was just trained, and lower below it, where it was trained long ago."
#| classes: figcard
fig, ax = plt.subplots(figsize=(4, 3.2))
ax.imshow(class_il, cmap='Blues', vmin=0, vmax=100)
for (after, k), v in np.ndenumerate(class_il if tasks <= 10 else []):
    color = 'white' if v > 60 else 'black'
    ax.text(k, after, f'{v:.0f}', ha='center', va='center', color=color)
ax.set_xticks(range(tasks), range(1, tasks + 1))
ax.set_yticks(range(tasks), range(1, tasks + 1))
ax.set(xlabel='tested on task', ylabel='after task')
ax.grid(False)

# %%
#| label: tbl-result
#| tbl-cap: What this run says; the paper has no published value for it.
cost, place = record['cost'], record['environment']['device']
lines = [(name.replace('_', ' '), f'{m["value"]:.1f} {m["unit"]}')
         for name, m in record['metrics'].items()]
Markdown(table(lines, ('metric', 'this run, one seed')) + f'''

Cost: {cost["wall_s"]:.1f} s on {place}, {cost["peak_mb"]:,} MB at most, \
{cost["resumes"]} resumes, {cost["replayed_steps"]} steps replayed.''')


# %% [markdown]
# What the metrics are: [how much was learnt, how much was forgotten](23_metrics.ipynb). What differs from the paper: the set is small and grey, the network has three convolutions, and a task lasts fifty steps. What several seeds say is computed by `papers_nb grid` and shown by `papers_nb results adab2n`.
#
# ## What is left on disk

# %%
#| code-fold: true
def sha(file): return hashlib.sha256(file.read_bytes()).hexdigest()[:16]

files = [f for f in sorted(run.folder.iterdir()) if f.is_file() and f.name not in ('lock', 'holder')]
lines = [(f.name, f'{f.stat().st_size:,}', sha(f)) for f in files]
Markdown(table(lines, ('file', 'bytes', 'SHA-256')))

# %% [markdown]
# The trained network, loaded back in three lines:

# %%
again = NETS[backbone](shape[0], seq.classes, make_norm, shape[-1]).to(run.device)
again.load_state_dict(load_file(run.folder/'net.safetensors'))
tested(again, seq, memory, recalibrate)['class_il'] == class_il[-1].tolist()
