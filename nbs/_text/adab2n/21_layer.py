# %% [markdown]
# # Balanced batch normalization
#
# > A batch norm that weighs the tasks of a batch, and averages history at a speed that can be chosen.

# %% [markdown]
# Lyu et al. 2023 (AdaB²N); official code `models/utils/adab2n.py` · 7 minutes · what you need first: batch normalization

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp adab2n.layer

# %%
#| export
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# In a batch that mixes ten new images with ten old ones, half of all samples belong to the newest task, and a plain batch norm normalises everything by statistics that are half new. AdaB²N gives every **task** a weight instead, and lets each sample share the weight of its task.
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $x$ | `x` | $(N,C,\dots)$ | input, $P$ positions per sample and channel |
# | $k_n$ | `ids` | $(N,)$ | task of sample $n$ |
# | $N_k$ | `counts` | $(t,)$ | samples of task $k$ in the batch, $t$ tasks seen |
# | $\psi$ | `log_concentration` | $(T,)$ | learnable, starts at 0 |
# | $\pi_k$ | `task_weights` | $(t,)$ | weight of task $k$ |
# | $w_n$ | `w` | $(N,)$ | weight of sample $n$ |
# | $m,v$ | `m`, `v` | $(C,)$ | weighted mean and biased variance |
# | $\eta_j$ | `averaging_factor` | | how far forward number $j$ moves the running statistics, derived in [Running statistics forget the first task](10_momentum.ipynb) |
#
# ## Weights of tasks
#
# The counts of a batch are a sample; a Dirichlet prior with concentrations $e^{\psi_k}$ says what we expect. The weight of a task is its posterior mean:
#
# $$\pi_k=\frac{N_k+e^{\psi_k}}{\sum_{l\le t}(N_l+e^{\psi_l})}.$$
#
# A task that is absent from the batch has a weight and no sample to carry it. The official code loses that weight (`official`); we leave absent tasks out of the sum, so that the weights of the samples add up to one (`renormalize`).

# %%
#| exports
def task_weights(
    counts: Tensor,            # samples of each task seen in the batch, (t,)
    log_concentration: Tensor, # ψ, (T,) with T >= t
    absent_tasks: str='renormalize', # or 'official': absent tasks keep their weight, which no sample carries
)->Tensor: # π, (t,)
    "Posterior mean of the task shares under a Dirichlet prior. Source: official code, `models/utils/adab2n.py`; `renormalize` is ours."
    alpha = log_concentration[:len(counts)].exp()
    if absent_tasks == 'renormalize': alpha = alpha*(counts > 0)
    return (counts + alpha)/(counts + alpha).sum()


# %% [markdown]
# Six samples of the newest of three tasks, three of the oldest, none of the middle one:

# %%
counts = torch.tensor([3., 0., 6.])
task_weights(counts, torch.zeros(3)), task_weights(counts, torch.zeros(3), 'official')


# %% [markdown]
# In the second answer a tenth of the weight belongs to nobody.
#
# ## Weighted statistics
#
# $$
# \begin{aligned}
# w_n&=\pi_{k_n}/N_{k_n},\\
# m_c&=\textstyle\sum_nw_n\frac1P\sum_px_{ncp},\\
# v_c&=\textstyle\sum_nw_n\frac1P\sum_p(x_{ncp}-m_c)^2.
# \end{aligned}
# $$

# %%
#| exports
def weighted_stats(
    x: Tensor, # input (N, C, ...)
    w: Tensor, # weight of each sample, (N,)
)->tuple[Tensor, Tensor]: # mean and variance, (C,) each
    "Mean and biased variance of each channel, samples weighted. Source: official code, `models/utils/adab2n.py`."
    x = x.reshape(*x.shape[:2], -1)
    m = w @ x.mean(2)
    return m, w @ (x - m[:, None]).square().mean(2)


# %%
x = torch.tensor([[0.], [0.], [9.]])
weighted_stats(x, torch.tensor([1/3, 1/3, 1/3])), weighted_stats(x, torch.tensor([.25, .25, .5]))


# %% [markdown]
# ## The layer
#
# Task ids are no property of a layer; they come with a batch. A context hands them to every layer of a network and collects the regulariser that pulls the batch statistics towards the running ones,
#
# $$\ell=\tfrac1C\sum_c(m_c-r^\mu_c)^2+\tfrac1C\sum_c(v_c-r^v_c)^2,$$
#
# where $r$ has already been moved by this batch and is taken as a constant.

# %%
#| exports
class AdaB2N(nn.Module):
    "Balanced batch norm over (N, C, ...); a plain reference that reads like the equations. Source: Lyu et al. 2023, official code."
    def __init__(self,
        num_features: int,  # C
        tasks: int,         # T, at most
        kappa: float=1.,    # speed of averaging, 0 to 1
        momentum: float=.1, # 𝗆
        eps: float=1e-5,    # ε
        absent_tasks: str='renormalize', # or 'official'
        device=None, dtype=None,
    ):
        super().__init__()
        if absent_tasks not in ('renormalize', 'official'): raise UserError(f'absent_tasks={absent_tasks!r}: renormalize or official')
        if not 0 <= kappa <= 1: raise UserError(f'kappa={kappa}: between 0 and 1')
        self.num_features, self.tasks, self.kappa, self.momentum, self.eps, self.absent_tasks = num_features, tasks, kappa, momentum, eps, absent_tasks
        kw, self.batch = dict(device=device, dtype=dtype), None
        self.weight, self.bias = nn.Parameter(torch.ones(num_features, **kw)), nn.Parameter(torch.zeros(num_features, **kw))
        self.log_concentration = nn.Parameter(torch.zeros(tasks, **kw))
        self.register_buffer('running_mean', torch.zeros(num_features, **kw))
        self.register_buffer('running_var', torch.ones(num_features, **kw))
        self.register_buffer('num_batches_tracked', torch.tensor(0))
        self.register_buffer('tasks_done', torch.tensor(0))

    def extra_repr(self):
        "What `print` shows of the layer."
        return f'{self.num_features}, tasks={self.tasks}, kappa={self.kappa}, absent_tasks={self.absent_tasks}'

    def forward(self, x: Tensor)->Tensor: # same shape as x
        "Normalise by the weighted statistics of the batch; in eval mode by the running ones."
        m, v = self._train_stats(x) if self.training else (self.running_mean, self.running_var)
        per_channel = lambda a: a.view(-1, *[1]*(x.dim() - 2))
        return (x - per_channel(m))*per_channel(self.weight/(v + self.eps).sqrt()) + per_channel(self.bias)

    def _train_stats(self, x):
        m, v = weighted_stats(x, self._sample_weights(x))
        with torch.no_grad():
            self.num_batches_tracked += 1
            eta = averaging_factor(self.num_batches_tracked.item(), self.kappa, self.momentum)
            self.running_mean.lerp_(m.detach(), eta)
            self.running_var.lerp_(v.detach(), eta)
        if self.batch: self.batch[1].append(((m - self.running_mean)**2).mean() + ((v - self.running_var)**2).mean())
        return m, v

    def _sample_weights(self, x):
        "w, (N,): even in the first task, else by the tasks of the batch."
        t = self.tasks_done.item() + 1
        if t == 1: return x.new_full((len(x),), 1/len(x))
        if t > self.tasks: raise UserError(f'all {self.tasks} tasks of this layer have ended')
        if self.batch is None: raise UserError('from the second task on a training forward needs the task of each sample: with batch_tasks(net, ids): net(x)')
        ids = self.batch[0]
        if len(ids) != len(x): raise UserError(f'{len(ids)} task ids for {len(x)} samples')
        if ids.min() < 0 or ids.max() >= t: raise UserError(f'task id {ids.max().item() if ids.max() >= t else ids.min().item()}: {t} tasks were seen, ids are 0 to {t - 1}')
        counts = torch.bincount(ids, minlength=t).to(x.dtype)
        return task_weights(counts, self.log_concentration, self.absent_tasks)[ids]/counts[ids]

def _layers(net): return [m for m in net.modules() if isinstance(m, AdaB2N)]

@contextmanager
def batch_tasks(
    net: nn.Module, # a network with AdaB2N layers
    ids: Tensor,    # task of each sample of the next forward, int64 (N,)
): # the list into which each layer puts its regulariser
    "Hand the tasks of a batch to every AdaB2N layer of a network."
    regularisers = []
    for layer in _layers(net): layer.batch = (ids, regularisers)
    try: yield regularisers
    finally:
        for layer in _layers(net): layer.batch = None

def end_task(
    net: nn.Module, # a network, with or without AdaB2N layers
):
    "Tell every AdaB2N layer that a task has ended."
    for layer in _layers(net): layer.tasks_done += 1


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
pi = task_weights(torch.tensor([2., 8.]), torch.zeros(2))
pi, y[ids == 0].mean().item(), y[ids == 1].mean().item(), len(regularisers)

# %% [markdown]
# Without ids it refuses:

# %%
raises(ours, x)

# %% [markdown]
# ## Where it lives
#
# `from papers_nb.adab2n import AdaB2N, batch_tasks, end_task`. [The networks](22_nets.ipynb) take it as their norm, [the training](30_train.ipynb) hands it its tasks.
