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
    uniform_mix: float=0.,     # 0: posterior mean, 1: equal weights of present tasks
)->Tensor: # w, (N,), sums to one unless official weight is lost
    """Each sample's part of its task's weight, in float32 or better.

    Source: official code, `models/utils/adab2n.py`."""
    tasks = torch.arange(len(log_concentration), device=ids.device)
    exact = torch.promote_types(log_concentration.dtype, torch.float32)
    counts = (ids[:, None] == tasks).sum(0).to(exact)
    psi = log_concentration.to(exact).masked_fill(tasks >= seen, -torch.inf)
    pi = task_weights(counts, psi, absent_tasks, uniform_mix)
    return (pi/counts.clamp(min=1))[ids]


# %% [markdown]
# Six samples, four of the newest of three tasks, two of the first, none of the second. A fourth task has not come yet:

# %%
ids, psi = torch.tensor([2, 2, 2, 2, 0, 0]), torch.zeros(4)
sample_weights(ids, psi, seen=3), sample_weights(ids, psi, 3, 'official')


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
)->tuple[Tensor, Tensor, Tensor]: # output like x; weighted mean, biased variance, (C,)
    """Normalise by weighted statistics; the plain reference.

    Source: official code, `models/utils/adab2n.py`."""
    over = [d for d in range(x.dim()) if d != 1]
    ones = [1]*(x.dim() - 2)
    def channels(t):
        "One number a channel, beside (N, C, …)."
        return t.view([1, -1, *ones])
    w = w.view([-1, 1, *ones])*(w.numel()*len(weight)/x.numel())
    m = (w*x).sum(over)
    centred = x - channels(m)
    v = (w*centred.square()).sum(over)
    y = centred/channels((v + eps).sqrt())*channels(weight) + channels(bias)
    return y.to(x.dtype), m, v


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
    "`weighted_norm`, its gradient in closed form; differentiable once. Source: ours."
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
    sizes, double = ((6, 3, 4, 4), 3, 3), torch.float64
    x, weight, bias = (torch.randn(s, dtype=double) for s in sizes)
    inputs = [x, torch.tensor(w, dtype=double), weight, bias]
    y, m, v = f(*[t.requires_grad_() for t in inputs], 1e-5)
    wave = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    loss = (y*wave).sum() + m.square().sum() + v.sin().sum()
    found = y, m, v, *torch.autograd.grad(loss, inputs)
    return torch.cat([t.flatten() for t in found])

gaps = [gradients(FusedNorm.apply, w) - gradients(weighted_norm, w)
        for w in ([1/6]*6, [.4, .1, .1, .1, .1, .1])]
max(gap.abs().max().item() for gap in gaps) < 1e-12


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
    """How far the statistics of a batch are from the running ones.

    Source: official code, `models/utils/adab2n.py`; `scale-free` is ours."""
    if kind == 'scale-free':
        return gap_bound(m, v, running_mean, running_var, eps=eps).mean()
    return (m - running_mean).square().mean() + (v - running_var).square().mean()


# %% [markdown]
# A layer whose input grows tenfold, by both measures:

# %%
stats = torch.tensor([[1.2], [2.], [1.], [2.5]])
grown = stats*torch.tensor([[10.], [100.], [10.], [100.]])
{kind: [round(regulariser(*s, kind).item(), 3) for s in (stats, grown)]
 for kind in ('official', 'scale-free')}

# %% [markdown]
# ## The layer
#
# Task ids are no property of a layer; they come with a batch. A context hands them to every layer of a network and collects the regularisers. (With activation checkpointing the forward runs again during the backward pass, so do that inside the context too.) All counters are buffers: a state that is saved and loaded continues the schedule.

# %%
#| exports
RULES = {
    'tasks': (lambda v: v >= 1, 'at least 1'),
    'kappa': (lambda v: 0 <= v <= 1, 'from 0 to 1'),
    'momentum': (lambda v: 0 < v < 1, 'between 0 and 1'),
    'uniform_mix': (lambda v: 0 <= v <= 1, 'from 0 to 1'),
    'absent_tasks': (lambda v: v in ('renormalize', 'official'),
                     'renormalize or official'),
    'regulariser': (lambda v: v in ('official', 'scale-free'),
                    'official or scale-free'),
} # option of AdaB2N → what its value must satisfy, in code and in words

class AdaB2N(nn.Module):
    """Balanced batch norm over (N, C, ...); raises `UserError` for impossible options.

    Source: Lyu et al. 2023; official code, `models/utils/adab2n.py`."""
    def __init__(self,
        num_features: int,   # C
        tasks: int,          # T, at most
        kappa: float=1.,     # speed of averaging, 0 (cumulative) to 1 (exponential)
        momentum: float=.1,  # 𝗆, in (0, 1)
        eps: float=1e-5,     # ε
        affine: bool=True,   # learn γ and β
        log_concentration: float=0., # ψ at the start
        uniform_mix: float=0.,       # c: 0 posterior mean of shares, 1 equal weights
        absent_tasks: str='renormalize', # 'official': they keep weight that nobody has
        regulariser: str='official', # or 'scale-free'
        fused: bool=True,    # closed gradients; False: reference, differentiable twice
        device: str|None=None,          # of all tensors; torch's default
        dtype: torch.dtype|None=None,   # of all but the counters; torch's default
    ):
        super().__init__()
        self.num_features, self.eps, self.fused = num_features, eps, fused
        self.tasks, self.kappa, self.momentum = tasks, kappa, momentum
        self.uniform_mix, self.absent_tasks = uniform_mix, absent_tasks
        self.regulariser = regulariser
        for name, (good, expected) in RULES.items():
            value = getattr(self, name)
            if not good(value):
                raise UserError(f'{name}={value!r}: {expected}')
        self.ids, self.collected, self.ended = None, None, 0
        kw = dict(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.ones(num_features, **kw)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features, **kw)) if affine else None
        psi = torch.full((tasks,), float(log_concentration), **kw)
        self.log_concentration = nn.Parameter(psi)
        self.register_buffer('running_mean', torch.zeros(num_features, **kw))
        self.register_buffer('running_var', torch.ones(num_features, **kw))
        self.register_buffer('num_batches_tracked', torch.tensor(0, device=device))
        self.register_buffer('tasks_done', torch.tensor(0, device=device))
        self.register_load_state_dict_post_hook(_count_ended)

    def extra_repr(self):
        "What `print` shows of the layer."
        options = [f'{name}={getattr(self, name)!r}' for name in RULES]
        return ', '.join([str(self.num_features), *options])

    def forward(self, x: Tensor)->Tensor: # like x
        "Normalise by the batch's weighted statistics, in eval mode by running ones."
        if x.dim() < 2 or x.shape[1] != self.num_features:
            raise UserError(f'input of shape {tuple(x.shape)}: '
                            f'(N, {self.num_features}, ...) is expected')
        if not self.training:
            stats = self.running_mean, self.running_var
            return batch_norm(x, *stats, self.weight, self.bias, False, 0., self.eps)
        if not x.numel():
            raise UserError(f'input of shape {tuple(x.shape)}: '
                            'an empty batch has no statistics')
        return self._train_forward(x)

    def _train_forward(self, x):
        "Normalise by weighted statistics, move the running ones, note the regulariser."
        ids, seen = self._task_ids(x), self.tasks_done + 1
        options = self.absent_tasks, self.uniform_mix
        w = sample_weights(ids, self.log_concentration, seen, *options)
        weight, bias = self.weight, self.bias
        if weight is None:
            weight = torch.ones_like(self.running_mean)
            bias = torch.zeros_like(self.running_mean)
        norm = FusedNorm.apply if self.fused else weighted_norm
        y, m, v = norm(x, w, weight, bias, self.eps)
        self._update(m.detach(), v.detach())
        if self.collected is not None:
            options = self.regulariser, self.eps
            gap = regulariser(m, v, self.running_mean, self.running_var, *options)
            self.collected.append(gap)
        return y

    def _task_ids(self, x):
        "The ids that the context gave; zeros in the first task."
        if self.ids is None:
            if self.ended:
                raise UserError('from the second task on a training forward needs '
                    'the task of each sample: with batch_tasks(net, ids): net(x)')
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if len(self.ids) != len(x):
            raise UserError(f'{len(self.ids)} task ids for {len(x)} samples')
        return self.ids.to(x.device)

    @torch.no_grad()
    def _update(self, m, v):
        "Move the running statistics; the factor follows from the counter alone."
        self.num_batches_tracked += 1
        dtype, eta = self.running_mean.dtype, self.momentum
        if self.kappa != 1:
            exact = torch.float32 if m.device.type == 'mps' else torch.float64
            j = self.num_batches_tracked.to(exact)
            eta = averaging_factor(j, self.kappa, self.momentum).to(dtype)
        self.running_mean.lerp_(m.to(dtype), eta)
        self.running_var.lerp_(v.to(dtype), eta)

def _count_ended(layer, keys):
    "Keep the plain number of ended tasks equal to the buffer after a state was loaded."
    if not layer.tasks_done.is_meta:
        layer.ended = int(layer.tasks_done)


# %% [markdown]
# ## Handing over the tasks
#
# The context checks the ids once, for all layers, and gives each layer a list to put its regulariser into.

# %%
#| exports
def _layers(net): return [m for m in net.modules() if isinstance(m, AdaB2N)]

class Regularisers(Sequence):
    "The regularisers of all layers of a network, as far as they have been computed."
    def __init__(self,
        parts: list[list[Tensor]], # of each layer, filled as forwards happen
    ):
        self.parts = parts
    def __len__(self): return sum(map(len, self.parts))
    def __getitem__(self, i): return [term for part in self.parts for term in part][i]

@contextmanager
def batch_tasks(
    net: nn.Module, # a network, with or without AdaB2N layers
    ids: Tensor,    # task of each sample of the next forward, whole numbers (N,)
): # the regularisers, one a layer and forward, as they are computed
    "Hand the tasks of a batch to every AdaB2N layer; raises `UserError` for wrong ids."
    layers = _layers(net)
    before = [(layer.ids, layer.collected) for layer in layers]
    ids = _checked(torch.as_tensor(ids), layers) if layers else None
    for layer in layers:
        layer.ids, layer.collected = ids, []
    try:
        yield Regularisers([layer.collected for layer in layers])
    finally:
        for layer, (ids, collected) in zip(layers, before):
            layer.ids, layer.collected = ids, collected

def _checked(ids, layers):
    "Task ids as int64 beside the layers, each of a task that has come."
    kind = ids.dtype
    if ids.dim() != 1 or not len(ids):
        raise UserError(f'task ids of shape {tuple(ids.shape)}: '
                        'one for each sample of a batch that is not empty')
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise UserError(f'task ids of type {kind}: whole numbers are expected')
    low, high = int(ids.min()), int(ids.max())
    tasks = min(layer.tasks for layer in layers)
    seen = min(tasks, *(layer.ended + 1 for layer in layers))
    if low < 0 or high >= seen:
        raise UserError(f'task id {low if low < 0 else high}: '
                        f'{seen} of {tasks} tasks have come, ids are 0 to {seen - 1}')
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
ours = AdaB2N(4, tasks=2, dtype=torch.float64)
theirs = nn.BatchNorm2d(4, dtype=torch.float64)
output = (ours(x) - theirs(x)).abs().max().item()
mean = (ours.running_mean - theirs.running_mean).abs().max().item()
max(output, mean) < 1e-14

# %% [markdown]
# The running variance differs by design: the paper stores the biased one, torch the unbiased one, $NP/(NP-1)$ times as large.
#
# From the second task on it weighs. Ten samples, eight of the new task around 4, two of the old one around 0:

# %%
end_task(ours)
ids = torch.tensor([1]*8 + [0]*2)
x = torch.randn(10, 4, 3, 3, dtype=torch.float64) + 4*ids.view(-1, 1, 1, 1)
with batch_tasks(ours, ids) as regularisers:
    y = ours(x)
y[ids == 0].mean().item(), y[ids == 1].mean().item(), len(regularisers)

# %% [markdown]
# A state that is loaded into a fresh layer goes on with the same schedule:

# %%
again = AdaB2N(4, tasks=2, dtype=torch.float64)
again.load_state_dict(ours.state_dict())
for layer in (ours, again):
    with batch_tasks(layer, ids):
        layer(x)
again.num_batches_tracked.item(), torch.equal(again.running_mean, ours.running_mean)


# %% [markdown]
# What it refuses. The official code falls back to plain statistics where ids are missing; here only the first task does, since a forgotten context would otherwise go unnoticed. It does take a single number a channel, which torch's batch norm refuses, and returns the bias.

# %%
def train_on(ids, x=x):
    "One forward with these ids."
    with batch_tasks(ours, ids):
        ours(x)

wrong = [0]*9, [2]*10, [.5]*10, []
[raises(ours, x), *(raises(train_on, ids) for ids in wrong), raises(ours, x[:0])]

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
    **options,        # of AdaB2N, but for those that the batch norm knows
)->nn.Module: # the model, or the layer that replaces it if it is a batch norm itself
    """Replace every batch norm by an AdaB2N layer with its weights and statistics.

    Devices and types stay; raises `UserError` for what may do more than a batch norm.
    Source: ours, after `torch.nn.SyncBatchNorm.convert_sync_batchnorm`."""
    kind = nn.modules.batchnorm._BatchNorm
    modules = model.named_modules(remove_duplicate=False)
    norms = {name: m for name, m in modules if isinstance(m, kind)}
    layers = {m: _converted(m, name or 'model', tasks, options)
              for name, m in norms.items()}
    for name, norm in norms.items():
        if not name:
            return layers[norm]
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, layers[norm])
    return model

def _converted(norm, name, tasks, options):
    "An AdaB2N layer in place of one batch norm."
    _check_convertible(norm, name)
    given = dict(eps=norm.eps, affine=norm.affine, momentum=norm.momentum)
    if norm.momentum is None:
        del given['momentum']
        given['kappa'] = 0.
    place = dict(device=norm.running_mean.device, dtype=norm.running_mean.dtype)
    layer = AdaB2N(norm.num_features, tasks, **{**given, **options}, **place)
    layer.load_state_dict(norm.state_dict(), strict=False)
    for key, parameter in norm.named_parameters():
        setattr(layer, key, parameter)
    return layer.train(norm.training)

def _check_convertible(norm, name):
    "Refuse what AdaB2N cannot stand for."
    if isinstance(norm, nn.modules.lazy.LazyModuleMixin):
        raise UserError(f'{name} is lazy and has no size yet; '
                        'run one batch through the model first')
    if type(norm) not in BATCH_NORMS:
        known = ', '.join(t.__name__ for t in BATCH_NORMS)
        raise UserError(f'{name} is a {type(norm).__name__}, which may do more '
                        f'than a batch norm; only {known} are replaced')
    if norm.running_mean is None:
        raise UserError(f'{name} keeps no running statistics '
                        '(track_running_stats=False), which AdaB2N needs')


# %%
head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), head)
images = torch.randn(4, 3, 6, 6)
before = net(images)
converted = convert_adab2n(copy.deepcopy(net), tasks=5, kappa=.4)
same = torch.allclose(converted(images), before, atol=1e-6)
converted[1], same, converted[1].num_batches_tracked.item()

# %%
silent = nn.BatchNorm1d(3, track_running_stats=False)
raises(convert_adab2n, nn.Sequential(silent), 2)

# %% [markdown]
# ## Where it lives
#
# `from papers_nb.adab2n import AdaB2N, convert_adab2n, batch_tasks, end_task`. [The networks](22_nets.ipynb) take it as their norm, [the training](30_train.ipynb) hands it its tasks, [the benchmark](50_bench.ipynb) measures it.
