# ---
# skip_exec: true
# ---

# %% [markdown]
# # What a teacher knows, without its data
#
# > One run: a student is trained on distilled images, and asks a teacher what they are; the teacher's own data are never seen.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Lee et al. 2024 (KRR-ST), Table 4: a teacher on CIFAR-10, images distilled from Tiny ImageNet |
# | default | a teacher that learnt from fifty labelled digits, ten images distilled from the unlabelled ones; the preset `digits-teacher` of the teacher takes all labels. A stand-in of our own |
# | follows | a teacher, which is [an evaluation](32_evaluate.ipynb), `init`; the images are those of the distillation that it names |
# | needs | one CPU core, under 1 GB, about ten seconds |
# | start | `papermill --engine papers papers://krrst/knowledge.ipynb out.ipynb -p images gaussian`, or Run All |

# %% tags=["parameters"]
from typing import Literal
data: str = 'digits'  # in core.images.SETS: what the teacher learnt, to test on
init: str = 'krrst/evaluate'  # teacher: a run, and what differs from its default
images: Literal['distilled', 'gaussian'] = 'distilled'  # what is shown
net: str = 'convnet-tiny'  # in krrst.nets.NETS: the student's extractor
pretrain_epochs: int = 1000  # ≥ 0: passes over the distilled set and its targets
pretrain_batch: int = 64  # ≥ 1: pairs a step
pretrain_lr: float = 0.1  # > 0: of SGD, constant
steps: int = 1000  # ≥ 1: of asking the teacher
batch: int = 64  # ≥ 1: images a step
lr: float = 0.001  # > 0: of AdamW, to 0 by a cosine
pad: int = 1  # ≥ 0: pixels around a view
flip: bool = False  # mirror half of the views
seed: int = 0  # ≥ 0: weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 60.0  # ≥ 0: seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.knowledge

# %%
#| export
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.core.train import generator
from papers_nb.krrst.data import Views
from papers_nb.krrst.nets import Headed
from papers_nb.krrst.tuning import Pretraining

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
from papers_nb.krrst.krrst import DistilledSet
from papers_nb.krrst.metrics import accuracy
from papers_nb.krrst.nets import extractor, feature_width

# %% [markdown]
# ## The run

# %%
run = runs.open('krrst/knowledge', globals())
run, run.upstream.name

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {runs.checksum("krrst/knowledge", run.params)}', 'seed': run.seed}

# %% [markdown]
# ## Teacher and images

# %%
theme()
taught = run.upstream.record
origin = runs.Finished(taught['upstream']['name'])
made = DistilledSet.load(origin.folder/'distilled.safetensors')
made = DistilledSet(made.x.to(run.device), made.y.to(run.device), made.about)
test, labels_test = source(data, 'test', device=run.device, shrink=made.about['shrink'])
classes, shape = int(labels_test.max()) + 1, made.x.shape[1:3]

def student(name, outputs):
    "A network with fresh weights and a head."
    body = extractor(name, *shape)
    return Headed(body, feature_width(body, made.x.cpu()), outputs).to(run.device)

teacher = student(taught['parameters']['net'], classes)
teacher.load_state_dict(load_file(run.upstream.folder/'net.safetensors'))
teacher.requires_grad_(False).eval()
bar = accuracy(teacher, test.plain(), labels_test)
Markdown(f'{len(made.x)} distilled images; the teacher is right on {bar:.1f} % of '
         f'{len(test):,} test images.')


# %% [markdown]
# ## The loop
#
# First the student learns the targets of the distilled set, as [everywhere](26_tuning.ipynb). Then it gets a new head and is shown images, shifted and mirrored, of which it has to say what the teacher says: cross entropy to the teacher's softmax. The baseline shows it noise, drawn afresh at every step, and skips the targets, which noise has none of.
#
# In the official code teacher and student use the statistics of the batch, in the test too, so that what is said of an image depends on those beside it. Here the teacher is in eval mode, and the student for the test.

# %%
#| exports
class Imitation:
    """A student learns to say what a teacher says of images that nobody labelled.

    Source: official code, `zeroshot_kd.py`; its teacher uses batch statistics, ours
    does not, and shifts and mirrors stand for its augmentation."""
    def __init__(self,
        net: Headed,         # the student, trained in place
        teacher: nn.Module,  # images → logits (n, classes), in eval mode
        x: Tensor,           # images (m, C, H, W), normalised; noise has their shape
        steps: int,          # of AdamW
        batch: int=512,      # images a step
        lr: float=1e-4,      # to 0 by a cosine
        views: Views=Views(), # what images are cut to
        noise: bool=False,   # normal noise instead, fresh at every step
        seed: int=0,         # of the draws
    ):
        self.net, self.teacher, self.x, self.steps = net, teacher, x, steps
        self.batch, self.lr, self.views = batch, lr, views
        self.noise, self.seed = noise, seed
        self.opt = torch.optim.AdamW(net.parameters(), lr)

    def draw(self, step: int)->Tensor: # (batch, C, H, W)
        "The images of a step."
        g = generator(self.seed, 'shown', step)
        if self.noise:
            return torch.randn(self.batch, *self.x.shape[1:], generator=g).to(self.x)
        pick = lambda high: torch.randint(high, (self.batch,), generator=g)
        counts = len(self.x), len(self.views)
        rows, which = (pick(n).to(self.x.device) for n in counts)
        return self.views.cut(self.x[rows], which)

    def step(self, step: int)->float: # the loss before it
        "Step number `step`."
        x = self.draw(step)
        with torch.no_grad(): said = self.teacher(x).softmax(1)
        self.net.train()
        loss = F.cross_entropy(self.net(x), said)
        rate = self.lr*.5*(1 + math.cos(math.pi*step/self.steps))
        self.opt.param_groups[0]['lr'] = rate
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.item()

def fit(
    run,                # a run or a Stepper
    first: Pretraining, # on images and targets
    second: Imitation,  # of the teacher, with the same extractor
):
    "Learn the targets, then what the teacher says. Source: official code."
    parts = {'targets': first.net, 'targets opt': first.opt,
             'student': second.net, 'student opt': second.opt}
    for step in run.steps(first.steps + second.steps, parts):
        ahead = step < first.steps
        loss = first.step(step) if ahead else second.step(step - first.steps)
        run.log(loss=loss)


# %%
seed_all(seed, 'init', 0)
by_noise = images == 'gaussian'
learner = student(net, made.y.shape[1])
width = learner.head.in_features
asking = Headed(learner.extractor, width, classes).to(run.device)
first = Pretraining(learner, made, 0 if by_noise else pretrain_epochs, pretrain_batch,
                    pretrain_lr, seed=seed)
second = Imitation(asking, teacher, made.x, steps, batch, lr, Views(pad, flip),
                   by_noise, seed)
fit(run, first, second)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
x = test.plain()
said, wanted = (features(model, x).argmax(1) for model in (asking, teacher))
metrics = {'accuracy': (accuracy(asking, x, labels_test), '%'), 'teacher': (bar, '%'),
           'agreement': (100*(said == wanted).float().mean().item(), '%')}
how = 'the state after the last step; nothing was selected'
record = run.finish(metrics, selection=how, weights={'net': asking})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step: the targets first, then the teacher."
#| fig-alt: "The loss falls while targets are learnt, jumps at the new head, and falls again to the entropy of what the teacher says."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.plot([r['loss'] for r in run.metrics], color=COLORS['blue'], lw=.8)
if first.steps: ax.axvline(first.steps, color=COLORS['grey'], lw=.8)
ax.set(xlabel='step', ylabel='loss', yscale='log');

# %%
cost = record['cost']
lines = [(k, f'{v["value"]:.1f} {v["unit"]}') for k, v in record['metrics'].items()]
Markdown(table(lines, ('metric', 'this run, one seed')) + f'''

Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, \
{cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.''')

# %% [markdown]
# *Agreement* is with the teacher, right or wrong, on test images that neither it nor the student learnt from.
