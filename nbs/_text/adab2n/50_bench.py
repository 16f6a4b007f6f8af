# ---
# skip_exec: true
# ---

# %% [markdown]
# # What the layer costs
#
# > Time of the balanced norm against torch's batch norm, against its own plain reference, and inside a whole training step.

# %% [markdown]
# Ours · 4 minutes · what you need first: [the layer](21_layer.ipynb). Made by `make bench`, not by the tests: a time belongs to a machine, a ratio less so.

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from torch import nn
from papers_nb.adab2n.hosts import forward
from papers_nb.adab2n.layer import AdaB2N, batch_tasks, end_task
from papers_nb.adab2n.nets import norm_layer, resnet18
from papers_nb.core.bench import agree, machine, ratio, turns
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table

# %% [markdown]
# ## How it is measured
#
# [All candidates in turn](../core/bench.ipynb): what is reported is the median of the ratios within a turn, with the middle half of them in brackets. One thread, 32-bit floats, a training step is forward and backward, the regulariser included.

# %%
torch.set_num_threads(1)
theme()
Markdown(f'{machine()}; 100 turns after 20 that do not count, '
         '25 after 3 for the large batch.')

# %% [markdown]
# ## One layer
#
# The five shapes are those of ResNet-18 on 32×32 images with ten or twenty samples, and one large batch. The candidates first have to give the same: the layer as batch norm in the first task, the fused layer as its reference in the third.

# %%
SHAPES = [
    (10, 64, 32, 32), (20, 64, 32, 32), (20, 128, 16, 16), (20, 512, 4, 4),
    (128, 64, 32, 32)]

def layer(channels, done=2, **kw):
    "A layer that has seen tasks end."
    made = AdaB2N(channels, tasks=5, **kw)
    for _ in range(done):
        end_task(made)
    return made

def step(norm, x, up, ids=None):
    "Forward and backward of one norm; the gradient by its input."
    x.grad = None
    ids = torch.zeros(len(x), dtype=torch.int64) if ids is None else ids
    with batch_tasks(norm, ids) as gaps:
        y = norm(x)
    loss = (y*up).sum()
    (loss + .1*gaps[0] if gaps else loss).backward()
    return y.detach(), x.grad

torch.manual_seed(0)
x, up = torch.randn(20, 8, 6, 6, requires_grad=True), torch.randn(20, 8, 6, 6)
ids = torch.arange(20) % 3
first = {'batch norm': nn.BatchNorm2d(8), 'layer in its first task': layer(8, 0)}
third = {'fused': layer(8), 'reference': layer(8, fused=False)}
def steps_of(norms, *ids):
    "A step of each norm on the same input."
    return {name: lambda norm=norm: step(norm, x, up, *ids)
            for name, norm in norms.items()}

{'as batch norm': agree(steps_of(first), 1e-4),
 'as the reference': agree(steps_of(third, ids), 1e-4)}


# %% [markdown]
# The floor is what cannot be avoided if every number is read and written once: one multiplication of the map forward, one multiply-add backward.

# %%
def floor(x, up):
    "One pass forward and one backward over a map."
    y = x.detach()*2.
    return torch.addcmul(up, x.detach(), y)

def inputs(shape):
    "An input, a gradient by the output, and task ids of three tasks."
    tasks = torch.arange(shape[0]) % 3
    return torch.randn(shape, requires_grad=True), torch.randn(shape), tasks

def eager(shape):
    "The candidates for one shape."
    x, up, ids = inputs(shape)
    bn = nn.BatchNorm2d(shape[1])
    fused, plain = layer(shape[1]), layer(shape[1], fused=False)
    return {
        'floor': lambda: floor(x, up),
        'bn': lambda: step(bn, x, up),
        'fused': lambda: step(fused, x, up, ids),
        'plain': lambda: step(plain, x, up, ids)}

def often(shape):
    "Turns that count, and those before them."
    return (100, 20) if shape[0] < 100 else (25, 3)

times = {shape: turns(eager(shape), *often(shape)) for shape in SHAPES}


# %%
#| label: tbl-layer
#| tbl-cap: "Forward and backward of one layer, eager."
#| code-fold: true
def milliseconds(t, digits):
    "Median time of batch norm."
    return f'{1e3*np.median(t["bn"]):.{digits}f} ms'

lines = [
    [shape, milliseconds(t, 2), ratio(t['floor'], t['bn']), f'**{ratio(t["fused"], t["bn"])}**',
     ratio(t['plain'], t['bn']), ratio(t['plain'], t['fused'])]
    for shape, t in times.items()]
Markdown(table(lines, [
    'shape', 'batch norm', 'floor : batch norm', 'fused : batch norm',
    'reference : batch norm', 'reference : fused']))

# %%
#| label: fig-layer
#| fig-cap: "Time of a training step of one layer in units of torch's batch norm; bars span the middle half of the turns."
#| fig-alt: "At the large maps the fused layer costs about as much as torch's batch norm, at the smallest one less than twice as much; the plain reference costs several times as much."
#| classes: figcard
#| code-fold: true
named = {'fused': ('AdaB²N, fused', 'blue'), 'plain': ('AdaB²N, reference', 'orange')}
fig, ax = plt.subplots()
for i, (name, (label, color)) in enumerate(named.items()):
    low, mid, high = np.transpose([np.percentile(t[name]/t['bn'], (25, 50, 75)) for t in times.values()])
    where = np.arange(len(SHAPES)) + .38*i - .19
    ax.bar(where, mid, .36, color=COLORS[color], label=label)
    ax.errorbar(where, mid, [mid - low, high - mid], fmt='none', color='black', capsize=2, lw=.8)
ax.axhline(1, color=COLORS['grey'], lw=1)
ax.set(xticks=range(len(SHAPES)), xticklabels=['×'.join(map(str, s)) for s in SHAPES],
       ylabel='time : batch norm', xlabel='shape (N×C×H×W)')
ax.tick_params(axis='x', labelsize=8)
ax.legend();


# %% [markdown]
# In eval mode the layer calls the very kernel that torch's batch norm calls:

# %%
#| label: tbl-eval
#| tbl-cap: "Forward in eval mode, without gradient."
def in_eval(shape):
    "Forward of both norms in eval mode."
    x = torch.randn(shape)
    bn, ours = nn.BatchNorm2d(shape[1]).eval(), layer(shape[1]).eval()
    return {'bn': lambda: bn(x), 'ours': lambda: ours(x)}

with torch.no_grad():
    evals = {shape: turns(in_eval(shape), *often((0,))) for shape in SHAPES}
lines = [[s, milliseconds(t, 3), ratio(t['ours'], t['bn'])] for s, t in evals.items()]
Markdown(table(lines, ['shape', 'batch norm', 'AdaB²N : batch norm']))


# %% [markdown]
# ## Compiled
#
# `torch.compile` fuses the reference by itself. Is the closed form still worth its lines?

# %%
def compiled_step(norm, x, up, ids):
    "As `step`, with the forward of the norm compiled."
    faster = torch.compile(norm)
    def run():
        "One step."
        x.grad = None
        with batch_tasks(norm, ids) as gaps:
            y = faster(x)
        loss = (y*up).sum()
        (loss + .1*gaps[0] if gaps else loss).backward()
    return run

def by_compiler(shape):
    "The candidates for one shape, compiled."
    given, channels = inputs(shape), shape[1]
    norms = {
        'bn': nn.BatchNorm2d(channels),
        'fused': layer(channels),
        'plain': layer(channels, fused=False)}
    return {name: compiled_step(norm, *given) for name, norm in norms.items()}

compiled = {shape: turns(by_compiler(shape), *often(shape)) for shape in SHAPES}

# %%
#| label: tbl-compiled
#| tbl-cap: "Forward and backward of one layer, compiled."
#| code-fold: true
shown = ('fused', 'bn'), ('plain', 'bn'), ('plain', 'fused')
lines = [
    [shape, milliseconds(t, 2), *(ratio(t[a], t[b]) for a, b in shown)]
    for shape, t in compiled.items()]
Markdown(table(lines, [
    'shape', 'batch norm', 'fused : batch norm', 'reference : batch norm', 'reference : fused']))


# %% [markdown]
# ## A training step
#
# ResNet-18, ten new and ten old images of 32×32: forward, backward, and the step of plain SGD. *Separate* runs two forwards of ten, *joint* one of twenty.

# %%
def whole_step(name, joint, **kw):
    "A closure that does one training step of ResNet-18."
    torch.manual_seed(0)
    net = resnet18(3, 10, norm_layer(name, 5, **kw))
    end_task(net)
    opt = torch.optim.SGD(net.parameters(), .01)
    new, old = torch.randn(10, 3, 32, 32), torch.randn(10, 3, 32, 32)
    tasks = [torch.ones(10).long(), torch.zeros(10).long()]
    def run():
        "One step."
        logits, gap = forward(net, [new, old], tasks, joint)
        opt.zero_grad()
        (torch.cat(logits).logsumexp(1).mean() + .1*gap).backward()
        opt.step()
    return run

steps = turns({
    'batch norm, two forwards': whole_step('bn-separate', False),
    'batch norm, one forward': whole_step('bn-joint', True),
    'AdaB²N, fused, one forward': whole_step('adab2n', True),
    'AdaB²N, reference, one forward': whole_step('adab2n', True, fused=False)})

# %%
#| label: tbl-step
#| tbl-cap: "A whole training step of ResNet-18."
base = steps['batch norm, one forward']
lines = [[name, f'{np.median(t):.3f}', ratio(t, base)] for name, t in steps.items()]
Markdown(table(lines, ['norm', 'seconds', 'in units of batch norm, one forward']))


# %% [markdown]
# ## What this says

# %%
#| code-fold: true
def mid(t, a, b):
    "Median ratio."
    return np.median(t[a]/t[b])

SMALL = (20, 512, 4, 4)
large = [shape for shape in SHAPES if shape != SMALL]
goals = {
    'fused ≤ 1.3 × batch norm at the large maps': max(mid(times[s], 'fused', 'bn') for s in large) <= 1.3,
    'fused ≤ 1.9 × batch norm at 20×512×4×4': mid(times[SMALL], 'fused', 'bn') <= 1.9,
    'eval within 5 % of batch norm at the large maps':
        max(mid(evals[s], 'ours', 'bn') for s in large) <= 1.05,
    'fused at least 1.3 × faster than the reference, eager':
        min(mid(t, 'plain', 'fused') for t in times.values()) >= 1.3,
    'the same, compiled': min(mid(t, 'plain', 'fused') for t in compiled.values()) >= 1.3}
Markdown(table([[goal, 'yes' if reached else 'no'] for goal, reached in goals.items()], ['goal', 'reached']))

# %%
#| echo: false
ratios, fast = ([mid(t, 'plain', 'fused') for t in found.values()] for found in (times, compiled))
Markdown(
    f'Eager, the reference takes {min(ratios):.1f} to {max(ratios):.1f} times as long as the fused layer; '
    f'compiled, {min(fast):.2f} to {max(fast):.2f} times, since the compiler fuses the reference by itself. '
    'The fused layer is the default because of the first: '
    'it is what makes the layer cost about what a batch norm costs. '
    'With a compiler either will do. On a GPU none of this was measured.')
