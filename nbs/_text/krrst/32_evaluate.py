# ---
# skip_exec: true
# ---

# %% [markdown]
# # What is a distilled set worth on another task?
#
# > One run: several networks are trained on the set, and then fine-tuned with few labels.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Lee et al. 2024 (KRR-ST), three repeats of pre-training and fine-tuning of one distilled set |
# | default | fifty labelled digits, a stand-in of our own: the paper has no such row |
# | follows | [a distillation](31_distill.ipynb), named in `init`, and that [a target model](30_target.ipynb); both run first if they are not there |
# | needs | one CPU core, under 1 GB, about half a minute |
# | start | `papermill --engine papers papers://krrst/evaluate.ipynb out.ipynb -p init 'krrst/distill?steps=0'`, or Run All |

# %% tags=["parameters"]
data: str = 'digits'  # in core.images.SETS: the target set, labelled
init: str = 'krrst/distill'  # distilled set: a run, and what differs from its default
net: str = 'convnet-tiny'  # in krrst.nets.NETS: extractor
pretrain_epochs: int = 1000  # ≥ 0: passes over the distilled set; 0: from scratch
pretrain_batch: int = 64  # ≥ 1: pairs a step
pretrain_loss: str = 'mse'  # in krrst.tuning.LOSSES: against the targets
pretrain_lr: float = 0.1  # > 0: of SGD, constant
pretrain_pad: int = 0  # ≥ 0: pixels that distilled images are shifted by, at most
pretrain_flip: bool = False  # mirror half of them
labelled: int = 50  # ≥ 0: labelled images, classes alike; 0: all
steps: int = 600  # ≥ 1: of fine-tuning
batch: int = 64  # ≥ 1: labelled images a step
lr: float = 0.03  # > 0: of SGD, to 0 by a cosine
pad: int = 1  # ≥ 0: black pixels around a view
flip: bool = False  # mirror half of the views
judged: int = 0  # ≥ 0: test images of each set, as they are stored; 0: all
repeats: int = 3  # ≥ 1: networks
seed: int = 0  # ≥ 0: which images are labelled, weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 60.0  # ≥ 0: seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.evaluate

# %%
#| export
import torch
from torch import Tensor

from papers_nb.core.train import key
from papers_nb.krrst.data import Source
from papers_nb.krrst.krrst import DistilledSet
from papers_nb.krrst.nets import Headed, extractor, feature_width
from papers_nb.krrst.tuning import Finetuning, Pretraining

# %%
#| hide
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table
from papers_nb.core.train import environment
from papers_nb.krrst.data import Views, features, few, source
from papers_nb.krrst.metrics import accuracy, linear_probe, target_error
from papers_nb.krrst.nets import from_run

# %% [markdown]
# ## The run

# %%
run = runs.open('krrst/evaluate', globals())
run, run.upstream.name

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {runs.checksum("krrst/evaluate", run.params)}', 'seed': run.seed}

# %% [markdown]
# ## The set, the labelled images, and what is held out

# %%
theme()
made = DistilledSet.load(run.upstream.folder/'distilled.safetensors')
made = DistilledSet(made.x.to(run.device), made.y.to(run.device), made.about)
cut = dict(device=run.device, shrink=made.about['shrink'])
train, labels = source(data, 'train', Views(pad, flip), **cut)
test, labels_test = source(data, 'test', first=judged, **cut)
rows, classes = few(labels, labelled, seed), int(labels.max()) + 1
some = Source(train.x[rows], train.views,
              scale=train.scale, mean=train.mean, std=train.std)
held, _ = source(made.about['source'], 'test', first=judged, **cut)
origin = runs.Finished(run.upstream.record['upstream']['name'])
model = from_run(origin, *held.x.shape[1:3]).to(run.device)
Markdown(f'{len(made.x)} pairs; {len(some)} labelled images of {classes} classes; '
         f'{len(test):,} to test on.')


# %% [markdown]
# ## The loop
#
# Every repeat draws other weights, another order and other views.

# %%
#| exports
class Trials:
    """Pre-training and fine-tuning, several times, in steps that can be resumed.

    Source: official code, `test.py`."""
    def __init__(self,
        net: str,           # a key of NETS
        data: DistilledSet, # to pre-train on
        some: Source,       # labelled images
        labels: Tensor,     # theirs, int64 (n,)
        classes: int,       # how many there are
        pretrain: dict,     # epochs, batch, lr, loss, views of `Pretraining`
        finetune: dict,     # steps, batch, lr of `Finetuning`
        repeats: int=3,     # networks
        seed: int=0,
    ):
        self.net, self.data, self.some = net, data, some
        self.labels, self.classes = labels, classes
        self.repeats, self.seed = repeats, seed
        self.pretrain, self.finetune = pretrain, finetune
        self.start(0)
        self.each = self.first.steps + self.second.steps

    def start(self, repeat: int):
        "Fresh weights, heads and optimisers."
        seed, x = key(self.seed, 'repeat', repeat), self.data.x
        torch.manual_seed(seed)
        body = extractor(self.net, *x.shape[1:3]).to(x.device)
        width = feature_width(body, x)
        headed = lambda outputs: Headed(body, width, outputs).to(x.device)
        self.repeat, self.body = repeat, body
        self.first = Pretraining(headed(self.data.y.shape[1]), self.data,
                                 seed=seed, **self.pretrain)
        self.second = Finetuning(headed(self.classes), self.some, self.labels,
                                 seed=seed, **self.finetune)

    def step(self, k: int)->float: # the loss before it
        "Step `k` of the present repeat."
        if k < self.first.steps: return self.first.step(k)
        return self.second.step(k - self.first.steps)

    def state_dict(self)->dict:
        "What a checkpoint keeps."
        parts = {'first': self.first, 'second': self.second}
        kept = lambda part: {'net': part.net.state_dict(), 'opt': part.opt.state_dict()}
        return {'repeat': self.repeat} | {name: kept(p) for name, p in parts.items()}

    def load_state_dict(self, state: dict):
        "Go on from a checkpoint."
        self.start(state['repeat'])
        for name, part in (('first', self.first), ('second', self.second)):
            part.net.load_state_dict(state[name]['net'])
            part.opt.load_state_dict(state[name]['opt'])

def fit(
    run,            # a run or a Stepper
    trials: Trials, # trained in place
    pretrained,     # Headed → numbers of a network that was pre-trained, by name
    finetuned,      # Headed → numbers of one that was fine-tuned, by name
):
    "All repeats, judged twice each. Source: official code, `test.py`."
    for step in run.steps(trials.each*trials.repeats, {'trials': trials}):
        repeat, k = divmod(step, trials.each)
        if k == 0: trials.start(repeat)
        row = pretrained(trials.first.net) if k == trials.first.steps else {}
        row['loss'] = trials.step(k)
        if k + 1 == trials.each: row |= finetuned(trials.second.net)
        run.log(**row)


# %%
def pretrained(net):
    "Error of imitation on images held out, and a probe of the features."
    said, wanted = features(net, held.plain()), features(model, held.plain())
    body, row = net.extractor, {}
    parts = [features(body, s.plain()) for s in (some, test)]
    row['probe'] = [linear_probe(parts[0], labels[rows], parts[1], labels_test)]
    taught = run.upstream.record['parameters']['targets']
    if pretrain_epochs and taught != 'labels':
        row['error'] = [target_error(said, wanted)]
    return row

def finetuned(net):
    "Accuracy on the test images."
    return {'accuracy': [accuracy(net, test.plain(), labels_test)]}

trials = Trials(net, made, some, labels[rows], classes,
                dict(epochs=pretrain_epochs, batch=pretrain_batch, lr=pretrain_lr,
                     loss=pretrain_loss, views=Views(pretrain_pad, pretrain_flip)),
                dict(steps=steps, batch=batch, lr=lr), repeats, seed)
fit(run, trials, pretrained, finetuned)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
found = {k: np.array([r[k][0] for r in run.metrics if k in r])
         for k in ('accuracy', 'probe', 'error')}
unit = {'accuracy': '%', 'probe': '%', 'error': '1'}
metrics = {k: (v.mean(), unit[k]) for k, v in found.items() if len(v)}
metrics['spread of accuracy'] = found['accuracy'].std(), 'points'
how = 'the state after the last step; nothing was selected'
record = run.finish(metrics, selection=how, weights={'net': trials.second.net})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step, repeats one after the other: pre-training, then fine-tuning."
#| fig-alt: "In each repeat the loss falls quickly while targets are learnt, jumps up at the new classifier, and falls again."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.plot([r['loss'] for r in run.metrics], color=COLORS['blue'], lw=.8)
for k in range(1, repeats): ax.axvline(k*trials.each, color=COLORS['grey'], lw=.8)
ax.set(xlabel='step', ylabel='loss', yscale='log');

# %%
cost = record['cost']
lines = [(k, f'{v["value"]:.3f} {v["unit"]}') for k, v in record['metrics'].items()]
Markdown(table(lines, ('metric', f'this run, {repeats} networks, one seed')) + f'''

Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, \
{cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.''')

# %% [markdown]
# The error is the share of the target model's variance that is missed on images held out from the source; the accuracies are those of the last step. The spread is over the repeats of one distilled set (population, as the paper has it), which says nothing about another distillation; that is what seeds are for.
