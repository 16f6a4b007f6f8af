# %% [markdown]
# # Balanced batch normalization
#
# > A batch norm that weighs the tasks of a batch, and averages history at a speed that can be chosen.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N); official code `models/utils/adab2n.py` · 9 minutes · what you need first: the symbols of [A weight for each task](12_weights.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.layer

# %%
#| export
from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from papers_nb.adab2n.bounds import gap_bound
from papers_nb.adab2n.gradients import norm_backward
from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.adab2n.weights import task_weights
from papers_nb.errors import UserError

# %%
#| hide
import copy
from papers_nb.core.checks import raises


# %% [markdown]
# In a batch that mixes ten new images with ten old ones, more than half of all samples belong to the newest task, and a plain batch norm normalises everything by statistics that are mostly new. AdaB²N gives every **task** a weight instead, and lets each sample share the weight of its task. This page builds that layer, and a function that puts it into any network.
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $x$ | `x` | $(N,C,\dots)$ | input, $P$ positions per sample and channel |
# | $T$, $t$ | `tasks`, `seen` | | tasks at most, tasks that have come, the present one included; what has one number a task has $T$ of them, and only the first $t$ count |
# | $k_n$ | `ids` | $(N,)$ | task of sample $n$ |
# | $N_k$ | `counts` | $(T,)$ | samples of task $k$ in the batch |
# | $\psi_k$ | `log_concentration` | $(T,)$ | learnable preference for task $k$ |
# | $c$ | `uniform_mix` | | share of equal weights that is mixed in |
# | $\pi_k$ | `task_weights` | $(T,)$ | weight of task $k$, derived in [A weight for each task](12_weights.ipynb) |
# | $w_n=\pi_{k_n}/N_{k_n}$ | `w` | $(N,)$ | weight of sample $n$ |
# | $m,v$ | `m`, `v` | $(C,)$ | weighted mean and biased variance |
# | $r^\mu,r^v$ | `running_mean`, `running_var` | $(C,)$ | running statistics, used in eval mode |
# | $\kappa$, $\mathsf m$ | `kappa`, `momentum` | | speed of averaging, from 0 (plain average) to 1 (exponential, with this momentum) |
# | $\eta_j$ | `averaging_factor` | | how far forward number $j$ moves them, derived in [Running statistics forget the first task](10_momentum.ipynb) |
#
# ## Weights of samples

# %%
#| exports
def sample_weights(
    ids: Tensor,               # task of each sample, int64 (N,)
    log_concentration: Tensor, # ψ, (T,)
    seen: int,                 # t, tasks seen so far; a number or a tensor with one
    absent_tasks: str='renormalize', # or 'official'
    uniform_mix: float=0.,     # 0: posterior mean, 1: equal weights over the tasks present
)->Tensor: # w, (N,), sums to one unless official weight is lost
    "Each sample's part of its task's weight, in float32 or better. Source: official code, `models/utils/adab2n.py`."
    tasks = torch.arange(len(log_concentration), device=ids.device)
    exact = torch.promote_types(log_concentration.dtype, torch.float32)
    counts = (ids[:, None] == tasks).sum(0).to(exact)
    psi = log_concentration.to(exact).masked_fill(tasks >= seen, -torch.inf)
    return (task_weights(counts, psi, absent_tasks, uniform_mix)/counts.clamp(min=1))[ids]


# %% [markdown]
# Six samples, four of the newest of three tasks, two of the first, none of the second. A fourth task has not come yet:

# %%
ids = torch.tensor([2, 2, 2, 2, 0, 0])
sample_weights(ids, torch.zeros(4), seen=3), sample_weights(ids, torch.zeros(4), 3, 'official')


# %% [markdown]
# ## The norm, as it is defined
#
# $$
# \begin{aligned}
# m_c&=\textstyle\sum_nw_n\frac1P\sum_px_{ncp},\\
# v_c&=\textstyle\sum_nw_n\frac1P\sum_p(x_{ncp}-m_c)^2,\\
# y&=\gamma\,\frac{x-m}{\sqrt{v+\epsilon}}+\beta.
# \end{aligned}
# $$

# %%
#| exports
def weighted_norm(
    x: Tensor,       # input (N, C, ...)
    w: Tensor,       # weight of each sample, (N,)
    weight: Tensor,  # γ, (C,)
    bias: Tensor,    # β, (C,)
    eps: float=1e-5, # ε
)->tuple[Tensor, Tensor, Tensor]: # output like x; weighted mean and biased variance, (C,) each
    "Normalise by weighted statistics; the plain reference. Source: official code, `models/utils/adab2n.py`."
    over = [d for d in range(x.dim()) if d != 1]
    per_channel, per_sample = [1, -1, *[1]*(x.dim() - 2)], w.view(-1, *[1]*(x.dim() - 1))*(w.numel()*len(weight)/x.numel())
    m = (per_sample*x).sum(over)
    centred = x - m.view(per_channel)
    v = (per_sample*centred.square()).sum(over)
    return (centred/(v + eps).sqrt().view(per_channel)*weight.view(per_channel) + bias.view(per_channel)).to(x.dtype), m, v


# %%
x = torch.tensor([[0.], [0.], [9.]])
weighted_norm(x, torch.tensor([.25, .25, .5]), torch.ones(1), torch.zeros(1))


# %% [markdown]
# ## The norm, fused
#
# The same with one kernel for the output and one for its gradient. Forward: two passes for the statistics of each sample, then torch's batch norm with given statistics. Backward: the closed form of [the derivation](13_gradients.ipynb).

# %%
#| exports
class FusedNorm(torch.autograd.Function):
    "`weighted_norm` with its gradient in closed form; differentiable once. Source: ours."
    @staticmethod
    def forward(ctx, x, w, weight, bias, eps):
        "As `weighted_norm`, in the precision of the sample weights."
        weight, bias = weight.to(w.dtype), bias.to(w.dtype)
        flat = x.to(w.dtype).flatten(2) if x.dim() > 2 else x.to(w.dtype)[..., None]
        means = flat.mean(2)
        m = (w[:, None]*means).sum(0)
        seconds = (flat - m[:, None]).square_().mean(2)
        v = (w[:, None]*seconds).sum(0)
        ctx.save_for_backward(x, w, means, seconds, m, v, weight)
        ctx.eps = eps
        return batch_norm(x, m, v, weight, bias, False, 0., eps), m, v

    @staticmethod
    @once_differentiable
    def backward(ctx, g, g_m, g_v):
        "As derived: what comes directly, less what is paid for the statistics."
        return *norm_backward(g, *ctx.saved_tensors, g_m, g_v, ctx.eps), None


# %% [markdown]
# They agree to rounding, gradients included, also where weight is lost:

# %%
def gradients(f, w):
    "Output and gradients of a loss that uses output, mean and variance."
    torch.manual_seed(0)
    inputs = [torch.randn(s, dtype=torch.float64) for s in ((6, 3, 4, 4), (3,), (3,))]
    inputs = [t.requires_grad_() for t in (inputs[0], torch.tensor(w, dtype=torch.float64), *inputs[1:])]
    y, m, v = f(*inputs, 1e-5)
    loss = (y*torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)).sum() + m.square().sum() + v.sin().sum()
    return torch.cat([t.flatten() for t in (y, m, v, *torch.autograd.grad(loss, inputs))])

gap = [(gradients(FusedNorm.apply, w) - gradients(weighted_norm, w)).abs().max().item() for w in ([1/6]*6, [.4, .1, .1, .1, .1, .1])]
max(gap) < 1e-12


# %% [markdown]
# ## The regulariser
#
# A term pulls the statistics of the batch towards the running ones, which have already been moved by this batch and are taken as constants:
#
# $$\ell=\tfrac1C\sum_c(m_c-r^\mu_c)^2+\tfrac1C\sum_c(v_c-r^v_c)^2.$$
#
# It changes when the input is scaled. Dividing each difference by its natural scale makes it a bound on the difference between training and test ([derived here](14_bounds.ipynb)); that variant is ours.

# %%
#| exports
def regulariser(
    m: Tensor,            # mean of the batch, (C,)
    v: Tensor,            # variance of the batch, (C,)
    running_mean: Tensor, # after this batch, (C,)
    running_var: Tensor,  # likewise
    kind: str='official', # or 'scale-free'
    eps: float=1e-5,      # ε
)->Tensor: # scalar
    "How far the statistics of a batch are from the running ones. Source: official code, `models/utils/adab2n.py`; `scale-free` is ours."
    if kind == 'scale-free': return gap_bound(m, v, running_mean, running_var, eps=eps).mean()
    return (m - running_mean).square().mean() + (v - running_var).square().mean()


# %% [markdown]
# A layer whose input grows tenfold, by both measures:

# %%
stats = torch.tensor([[1.2], [2.], [1.], [2.5]])
grown = stats*torch.tensor([[10.], [100.], [10.], [100.]])
[[round(regulariser(*s, kind).item(), 3) for s in (stats, grown)] for kind in ('official', 'scale-free')]


# %% [markdown]
# ## The layer
#
# Task ids are no property of a layer; they come with a batch. A context hands them to every layer of a network and collects the regularisers. (With activation checkpointing the forward runs again during the backward pass, so do that inside the context too.) All counters are buffers: a state that is saved and loaded continues the schedule.

# %%
#| exports
class AdaB2N(nn.Module):
    "Balanced batch norm over (N, C, ...). Source: Lyu et al. 2023; official code, `models/utils/adab2n.py`."
    def __init__(self,
        num_features: int,   # C
        tasks: int,          # T, at most
        kappa: float=1.,     # speed of averaging, 0 (cumulative) to 1 (exponential)
        momentum: float=.1,  # 𝗆, in (0, 1)
        eps: float=1e-5,     # ε
        affine: bool=True,   # learn γ and β
        log_concentration: float=0., # ψ at the start
        uniform_mix: float=0.,       # c: 0 posterior mean of the task shares, 1 equal weights over the tasks present
        absent_tasks: str='renormalize', # or 'official': absent tasks keep their weight, which no sample carries
        regulariser: str='official', # or 'scale-free'
        fused: bool=True,    # gradients in closed form; False: the plain reference, differentiable twice
        device=None, dtype=None,
    ):
        super().__init__()
        rules = {'tasks': (tasks, tasks >= 1, 'at least 1'), 'kappa': (kappa, 0 <= kappa <= 1, 'from 0 to 1'), 'momentum': (momentum, 0 < momentum < 1, 'between 0 and 1'),
                 'uniform_mix': (uniform_mix, 0 <= uniform_mix <= 1, 'from 0 to 1'), 'absent_tasks': (absent_tasks, absent_tasks in ('renormalize', 'official'), 'renormalize or official'),
                 'regulariser': (regulariser, regulariser in ('official', 'scale-free'), 'official or scale-free')}
        for name, (value, good, expected) in rules.items():
            if not good: raise UserError(f'{name}={value!r}: {expected}')
        self.num_features, self.tasks, self.kappa, self.momentum, self.eps = num_features, tasks, kappa, momentum, eps
        self.uniform_mix, self.absent_tasks, self.regulariser, self.fused = uniform_mix, absent_tasks, regulariser, fused
        kw, self.ids, self.collected, self.ended = dict(device=device, dtype=dtype), None, None, 0
        self.weight = nn.Parameter(torch.ones(num_features, **kw)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features, **kw)) if affine else None
        self.log_concentration = nn.Parameter(torch.full((tasks,), float(log_concentration), **kw))
        self.register_buffer('running_mean', torch.zeros(num_features, **kw))
        self.register_buffer('running_var', torch.ones(num_features, **kw))
        self.register_buffer('num_batches_tracked', torch.tensor(0, device=device))
        self.register_buffer('tasks_done', torch.tensor(0, device=device))
        self.register_load_state_dict_post_hook(_count_ended)

    def extra_repr(self):
        "What `print` shows of the layer."
        return ', '.join([str(self.num_features), *(f'{k}={getattr(self, k)!r}' for k in ('tasks', 'kappa', 'momentum', 'uniform_mix', 'absent_tasks', 'regulariser'))])

    def forward(self, x: Tensor)->Tensor: # like x
        "Normalise by the weighted statistics of the batch; in eval mode by the running ones."
        if x.dim() < 2 or x.shape[1] != self.num_features: raise UserError(f'input of shape {tuple(x.shape)}: (N, {self.num_features}, ...) is expected')
        if not self.training: return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0., self.eps)
        if not x.numel(): raise UserError(f'input of shape {tuple(x.shape)}: an empty batch has no statistics')
        w = sample_weights(self._task_ids(x), self.log_concentration, self.tasks_done + 1, self.absent_tasks, self.uniform_mix)
        affine = (self.weight, self.bias) if self.weight is not None else (torch.ones_like(self.running_mean), torch.zeros_like(self.running_mean))
        y, m, v = (FusedNorm.apply if self.fused else weighted_norm)(x, w, *affine, self.eps)
        self._update(m.detach(), v.detach())
        if self.collected is not None: self.collected.append(regulariser(m, v, self.running_mean, self.running_var, self.regulariser, self.eps))
        return y

    def _task_ids(self, x):
        "The ids that the context gave; zeros in the first task."
        if self.ids is None:
            if self.ended: raise UserError('from the second task on a training forward needs the task of each sample: with batch_tasks(net, ids): net(x)')
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if len(self.ids) != len(x): raise UserError(f'{len(self.ids)} task ids for {len(x)} samples')
        return self.ids.to(x.device)

    @torch.no_grad()
    def _update(self, m, v):
        "Move the running statistics; the factor follows from the counter alone."
        self.num_batches_tracked += 1
        exact, dtype = torch.float32 if m.device.type == 'mps' else torch.float64, self.running_mean.dtype
        eta = self.momentum if self.kappa == 1 else averaging_factor(self.num_batches_tracked.to(exact), self.kappa, self.momentum).to(dtype)
        self.running_mean.lerp_(m.to(dtype), eta)
        self.running_var.lerp_(v.to(dtype), eta)

def _count_ended(layer, keys):
    "Keep the plain number of ended tasks equal to the buffer after a state was loaded."
    if not layer.tasks_done.is_meta: layer.ended = int(layer.tasks_done)


# %% [markdown]
# ## Handing over the tasks
#
# The context checks the ids once, for all layers, and gives each layer a list to put its regulariser into.

# %%
#| exports
def _layers(net): return [m for m in net.modules() if isinstance(m, AdaB2N)]

class Regularisers(Sequence):
    "The regularisers of all layers of a network, as far as they have been computed."
    def __init__(self, parts): self.parts = parts
    def __len__(self): return sum(map(len, self.parts))
    def __getitem__(self, i): return [term for part in self.parts for term in part][i]

@contextmanager
def batch_tasks(
    net: nn.Module, # a network, with or without AdaB2N layers
    ids,            # task of each sample of the next forward, whole numbers (N,)
): # the regularisers, one a layer and forward, as they are computed
    "Hand the tasks of a batch to every AdaB2N layer of a network; raises `UserError` for ids that cannot be."
    layers = _layers(net)
    before, ids = [(layer.ids, layer.collected) for layer in layers], _checked(torch.as_tensor(ids), layers) if layers else None
    for layer in layers: layer.ids, layer.collected = ids, []
    try: yield Regularisers([layer.collected for layer in layers])
    finally:
        for layer, (ids, collected) in zip(layers, before): layer.ids, layer.collected = ids, collected

def _checked(ids, layers):
    "Task ids as int64 beside the layers, each of a task that has come."
    if ids.dim() != 1 or not len(ids): raise UserError(f'task ids of shape {tuple(ids.shape)}: one for each sample of a batch that is not empty')
    if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool: raise UserError(f'task ids of type {ids.dtype}: whole numbers are expected')
    tasks, low, high = min(layer.tasks for layer in layers), int(ids.min()), int(ids.max())
    seen = min(tasks, *(layer.ended + 1 for layer in layers))
    if low < 0 or high >= seen: raise UserError(f'task id {low if low < 0 else high}: {seen} of {tasks} tasks have come, ids are 0 to {seen - 1}')
    return ids.to(layers[0].running_mean.device, torch.int64)


# %% [markdown]
# When a task ends the layers are told. Besides the buffer `tasks_done`, which a saved state carries, they count in a plain number, `ended`, so that no forward has to ask the GPU.

# %%
#| exports
def end_task(
    net: nn.Module, # a network, with or without AdaB2N layers
):
    "Tell every AdaB2N layer that a task has ended."
    for layer in _layers(net):
        layer.tasks_done += 1
        layer.ended += 1


# %% [markdown]
# In the first task it is a batch norm. With $\kappa=1$ its output and running mean equal torch's:

# %%
torch.manual_seed(0)
x = torch.randn(6, 4, 3, 3, dtype=torch.float64)
ours, theirs = AdaB2N(4, tasks=2, dtype=torch.float64), nn.BatchNorm2d(4, dtype=torch.float64)
gap = (ours(x) - theirs(x)).abs().max().item(), (ours.running_mean - theirs.running_mean).abs().max().item()
max(gap) < 1e-14

# %% [markdown]
# The running variance differs by design: the paper stores the biased one, torch the unbiased one, $NP/(NP-1)$ times as large.
#
# From the second task on it weighs. Ten samples, eight of the new task around 4, two of the old one around 0:

# %%
end_task(ours)
ids = torch.tensor([1]*8 + [0]*2)
x = torch.randn(10, 4, 3, 3, dtype=torch.float64) + 4*ids.view(-1, 1, 1, 1)
with batch_tasks(ours, ids) as regularisers: y = ours(x)
y[ids == 0].mean().item(), y[ids == 1].mean().item(), len(regularisers)

# %% [markdown]
# A state that is loaded into a fresh layer goes on with the same schedule:

# %%
again = AdaB2N(4, tasks=2, dtype=torch.float64)
again.load_state_dict(ours.state_dict())
for layer in (ours, again):
    with batch_tasks(layer, ids): layer(x)
again.num_batches_tracked.item(), torch.equal(again.running_mean, ours.running_mean)


# %% [markdown]
# What it refuses. The official code falls back to plain statistics where ids are missing; here only the first task does, since a forgotten context would otherwise go unnoticed. It does take a single number a channel, which torch's batch norm refuses, and returns the bias.

# %%
def train_on(ids, x=x):
    "One forward with these ids."
    with batch_tasks(ours, ids): ours(x)

[raises(ours, x), raises(train_on, [0]*9), raises(train_on, [2]*10), raises(train_on, [.5]*10), raises(train_on, []), raises(ours, x[:0])]

# %% [markdown]
# ## A whole network
#
# Any network with `BatchNorm1d`, `2d` or `3d` can be given these layers. Parameters stay the same objects, so an optimiser that has them keeps them; running statistics, devices and types stay too. New are only the preferences $\psi$, which an optimiser made before does not know. Until the first task ends the network does what it did.

# %%
#| exports
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

def convert_adab2n(
    model: nn.Module, # anything with BatchNorm1d, 2d or 3d; changed in place
    tasks: int,       # T, at most
    **options,        # of AdaB2N: kappa, momentum, log_concentration, uniform_mix, absent_tasks, regulariser, fused
)->nn.Module: # the model, or the layer that replaces it if it is a batch norm itself
    "Replace every batch norm by an AdaB2N layer that keeps its weights, statistics, device and type. Source: ours, after `torch.nn.SyncBatchNorm.convert_sync_batchnorm`."
    norms = {name: m for name, m in model.named_modules(remove_duplicate=False) if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    layers = {m: _converted(m, name, tasks, options) for name, m in norms.items()}
    for name, norm in norms.items():
        if not name: return layers[norm]
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, layers[norm])
    return model

def _converted(norm, name, tasks, options):
    "An AdaB2N layer in place of one batch norm."
    if isinstance(norm, nn.modules.lazy.LazyModuleMixin): raise UserError(f'{name or "model"} is lazy and has no size yet; run one batch through the model first')
    if type(norm) not in BATCH_NORMS: raise UserError(f'{name or "model"} is a {type(norm).__name__}, which may do more than a batch norm; only {", ".join(t.__name__ for t in BATCH_NORMS)} are replaced')
    if norm.running_mean is None: raise UserError(f'{name or "model"} keeps no running statistics (track_running_stats=False), which AdaB2N needs')
    kept = {'kappa': 0.} if norm.momentum is None else {'momentum': norm.momentum}
    layer = AdaB2N(norm.num_features, tasks, **{'eps': norm.eps, 'affine': norm.affine, **kept, **options}, device=norm.running_mean.device, dtype=norm.running_mean.dtype)
    layer.load_state_dict(norm.state_dict(), strict=False)
    for key, parameter in norm.named_parameters(): setattr(layer, key, parameter)
    return layer.train(norm.training)


# %%
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
images = torch.randn(4, 3, 6, 6)
before = net(images)
converted = convert_adab2n(copy.deepcopy(net), tasks=5, kappa=.4)
converted[1], torch.allclose(converted(images), before, atol=1e-6), converted[1].num_batches_tracked.item()

# %%
raises(convert_adab2n, nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)), 2)

# %% [markdown]
# ## Where it lives
#
# `from papers_nb.adab2n import AdaB2N, convert_adab2n, batch_tasks, end_task`. [The networks](22_nets.ipynb) take it as their norm, [the training](30_train.ipynb) hands it its tasks, [the benchmark](50_bench.ipynb) measures it.
