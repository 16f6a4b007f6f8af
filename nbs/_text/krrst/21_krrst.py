# %% [markdown]
# # The distiller
#
# > Images and targets are parameters; a pool of half-trained networks says where to move them.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `distill.py`, `model_pool.py`, `train.py` · 6 minutes · what you need first: [the ridge](11_ridge.ipynb), [images and views](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.krrst

# %%
#| export
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from papers_nb.core.train import generator, key
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, Targets, features
from papers_nb.krrst.nets import Headed, feature_width
from papers_nb.krrst.optimum import best_targets
from papers_nb.krrst.ridge import dual, krr_loss, ridge_strength

# %%
#| hide
import tempfile
from papers_nb.core.checks import raises
from papers_nb.krrst.data import Views, source
from papers_nb.krrst.nets import extractor


# %% [markdown]
# ## A distilled set
#
# What comes out: images as a network takes them, a target vector for each, and what one has to know to use them.

# %%
#| exports
@dataclass
class DistilledSet:
    """Synthetic images and their targets; raises `UserError` for what does not fit.

    Source: ours."""
    x: Tensor # float32 (m, C, H, W), normalised
    y: Tensor # float32 (m, k)
    about: dict = field(default_factory=dict) # mean, std, scale, of which set, …

    def __post_init__(self):
        if self.x.dim() != 4 or self.y.dim() != 2 or len(self.x) != len(self.y):
            raise UserError(
                f'x of shape {tuple(self.x.shape)} and y of {tuple(self.y.shape)}: '
                '(m, C, H, W) and (m, k) are expected')
        if not (self.x.isfinite().all() and self.y.isfinite().all()):
            raise UserError('the distilled set holds numbers that are not finite')

    def save(self, file: Path):
        "Write a safetensors file with its own description."
        from safetensors.torch import save_file
        tensors = {'x': self.x.cpu().contiguous(), 'y': self.y.cpu().contiguous()}
        save_file(tensors, file, metadata={'about': json.dumps(self.about)})

    @classmethod
    def load(cls,
        file: Path, # that `save` wrote
    )->'DistilledSet':
        "Read it back; raises `UserError` for a file that holds no distilled set."
        from safetensors import SafetensorError, safe_open
        try:
            with safe_open(file, 'pt') as f:
                about = json.loads((f.metadata() or {}).get('about', '{}'))
                return cls(f.get_tensor('x'), f.get_tensor('y'), about)
        except (SafetensorError, OSError) as e:
            raise UserError(f'{file} holds no distilled set ({e})') from None

    def dataset(self)->torch.utils.data.TensorDataset: # of pairs x, y
        "What a data loader takes."
        return torch.utils.data.TensorDataset(self.x, self.y)

    def pictures(self)->Tensor: # (m, C, H, W), from 0 to 1, cut off there
        "The images as one can look at them."
        column = lambda name: torch.tensor(self.about[name]).view(1, -1, 1, 1)
        return (self.x.cpu()*column('std') + column('mean')).clamp(0, 1)

def initial_set(
    source: Source,   # real images
    model: nn.Module, # target model: images → features (n, k)
    m: int,           # how many pairs
    seed: int=0,      # of the draw
    rows: Tensor=None, # which images, int64 (m,); None: drawn, all different
)->DistilledSet:
    """Real images and the target model's features of them: where distillation starts.

    Raises `UserError` for more pairs than images. Source: official code, `train.py`;
    that its images were not normalised is mended."""
    if not 1 <= m <= len(source):
        raise UserError(f'm={m}: from 1 to the {len(source)} images of the source')
    if rows is None:
        rows = torch.randperm(len(source), generator=generator(seed, 'initial', 0))[:m]
    x = source.plain(rows.to(source.x.device))
    about = {'mean': source.mean, 'std': source.std, 'scale': source.scale}
    return DistilledSet(x, features(model, x), about)


# %%
digits, _ = source('digits', 'train', Views(1, False))
torch.manual_seed(0)
model = extractor('convnet-small', 1, 8)
first = initial_set(digits, model, 10)
first.x.shape, first.y.shape

# %% [markdown]
# Saved, and loaded in one line:

# %%
file = Path(tempfile.mkdtemp())/'ten.safetensors'
first.save(file)
len(DistilledSet.load(file).dataset()), DistilledSet.load(file).about['mean']

# %%
raises(initial_set, digits, model, 2000), raises(DistilledSet, first.x, first.y[:3])


# %% [markdown]
# ## The pool
#
# A distilled set that serves one extractor serves [no other](12_optimum.ipynb). So there are $L$ of them, each on its way: trained on the distilled set as it is now, one step whenever it was used, and replaced by a fresh one after $Z$ steps. At the start they get ages drawn evenly from 1 to $Z-1$.
#
# The released code forgets to set a member's counter back when it replaces it, so that from then on it is replaced every time it is picked ([what that means](16_occupancy.ipynb)); `reset_counter=False` is that. And `lifetime=0` is a pool of untrained extractors.

# %%
#| exports
@contextmanager
def own_draws(
    where: torch.device, # where networks are made
    seed: int,           # of the run
    stream: str,         # what the draws are for
    index: int,          # which of them
):
    "Random numbers of their own inside; outside it is as if nothing had been drawn."
    with torch.random.fork_rng(devices=[where] if where.type == 'cuda' else []):
        torch.manual_seed(key(seed, stream, index))
        yield

class Member:
    "One network of the pool, its optimiser, and its steps. Source: official code."
    def __init__(self, net: Headed, lr: float, momentum: float, decay: float):
        self.net, self.steps = net, 0
        self.opt = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=decay)

    def train(self, x: Tensor, y: Tensor)->float: # the loss before the step
        "One step on all pairs: mean squared error, batch statistics."
        self.net.train()
        loss = F.mse_loss(self.net(x), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.steps += 1
        return loss.item()

class ModelPool:
    """Extractors of different age, trained on the distilled set as it changes.

    Raises `UserError` for sizes below their least.
    Source: official code, `model_pool.py`; resetting the counter is the algorithm as it
    is described."""
    def __init__(self,
        make: Callable[[], nn.Module], # → an extractor with fresh weights
        images: Tensor,         # at least one, to see how long features are
        outputs: int,           # k, length of a target
        size: int=10,           # L
        lifetime: int=1000,     # Z, steps until a member is replaced; 0: never trained
        reset_counter: bool=True, # False: as the released code
        seed: int=0,            # of picks, ages and weights
        lr: float=.1,           # of SGD
        momentum: float=.9,     # of SGD
        decay: float=1e-3,      # of the weights
    ):
        if size < 1: raise UserError(f'size={size}: at least one extractor')
        if lifetime < 0: raise UserError(f'lifetime={lifetime}: at least 0 steps')
        self.make, self.outputs, self.images = make, outputs, images[:1]
        self.lifetime, self.reset_counter, self.seed = lifetime, reset_counter, seed
        self.lr, self.momentum, self.decay = lr, momentum, decay
        self.births = 0
        self.members = [self._fresh() for _ in range(size)]
        draws = generator(seed, 'ages', 0)
        ages = torch.randint(1, max(2, lifetime), (size,), generator=draws)
        self.ages = ages.tolist() if lifetime > 1 else [0]*size
        self.counters = [0]*size

    def _fresh(self):
        "A member with weights of its own draw."
        where = self.images.device
        with own_draws(where, self.seed, 'member', self.births):
            made = self.make().to(where)
            net = Headed(made, feature_width(made, self.images), self.outputs).to(where)
        self.births += 1
        return Member(net, self.lr, self.momentum, self.decay)

    @property
    def ahead(self)->int:
        "Steps that give the members their first ages."
        return sum(self.ages)

    def age(self, step: int, x: Tensor, y: Tensor)->float: # its loss
        "Step number `step` of those ahead."
        k = next(k for k, end in enumerate(accumulate(self.ages)) if step < end)
        self.counters[k] += 1
        return self.members[k].train(x, y)

    def pick(self, step: int)->int: # number of a member
        "Which member an outer step uses, all equally likely."
        draws = generator(self.seed, 'pick', step)
        return torch.randint(len(self.members), (), generator=draws).item()

    def after(self, k: int, x: Tensor, y: Tensor):
        "What becomes of a member that was used: one step more, or a fresh one."
        if self.counters[k] < self.lifetime:
            self.members[k].train(x, y)
            self.counters[k] += 1
        else:
            self.members[k] = self._fresh()
            if self.reset_counter: self.counters[k] = 0

    def state_dict(self)->dict:
        "What a checkpoint keeps."
        parts = [{'net': m.net.state_dict(), 'opt': m.opt.state_dict(),
                  'steps': m.steps} for m in self.members]
        return {'members': parts, 'counters': list(self.counters),
                'births': self.births}

    def load_state_dict(self, state: dict):
        "Go on from a checkpoint."
        for member, part in zip(self.members, state['members']):
            member.net.load_state_dict(part['net'])
            member.opt.load_state_dict(part['opt'])
            member.steps = part['steps']
        self.counters, self.births = list(state['counters']), state['births']


# %%
tiny = lambda: extractor('convnet-tiny', 1, 8)
pool = ModelPool(tiny, first.x, 64, size=3, lifetime=5)
losses = [pool.age(step, first.x, first.y) for step in range(pool.ahead)]
pool.ages, pool.counters, losses[0] > losses[pool.ages[0] - 1]

# %%
raises(ModelPool, pool.make, first.x, 64, size=0)


# %% [markdown]
# ## An outer step
#
# A member is picked and frozen. It gives features of the synthetic images and of a batch of real views; a head is fitted to the former and judged on the latter; the gradient moves images and targets. Then the member takes one step on the new set.
#
# With `solve` above 0 no optimiser moves the targets. They are [solved for](12_optimum.ipynb), given the extractor and the batch, and the images descend from there: at the best targets the loss does not change with them to first order, so the gradient by the images is that of the loss with the targets eliminated (*variable projection*; ours). What is best for one extractor is not for the next, so the targets that are kept, on which the pool is trained, go the share `solve` of the way to each new solution.

# %%
#| exports
class Distiller:
    """Distils real images and a target model's features into a few pairs.

    Source: Lee et al. 2024, official code, `distill.py`."""
    def __init__(self,
        start: DistilledSet, # where it begins
        targets: Targets,    # of the views of real images
        pool: ModelPool,     # extractors
        steps: int,          # outer steps that there will be
        lr: float=1e-3,      # of AdamW, falling to a thousandth along a line
        batch: int=1024,     # real images a step
        ratio: float=1e-6,   # λ/tr K
        per_m: bool=False,   # λ/(tr K/m)
        learn_targets: bool=True, # False: only the images move
        solve: float=0.,     # share of the way to a step's best targets; 0: by AdamW
    ):
        self.x, self.y = (t.clone().requires_grad_() for t in (start.x, start.y))
        if self.y.shape[1] != pool.outputs:
            raise UserError(f'targets of width {self.y.shape[1]}, and a pool of '
                            f'networks with {pool.outputs} outputs')
        if not 0 <= solve <= learn_targets:
            raise UserError(f'solve={solve} and learn_targets={learn_targets}: from 0 '
                            'to 1, and 0 where targets stand still')
        self.y.requires_grad_(learn_targets and not solve)
        self.solve = solve
        self.about, self.targets, self.pool = start.about, targets, pool
        self.steps, self.lr, self.batch = steps, lr, batch
        self.ratio, self.per_m = ratio, per_m
        self.learnt = [t for t in (self.x, self.y) if t.requires_grad]
        self.opt = torch.optim.AdamW(self.learnt, lr, weight_decay=0.)

    @property
    def total(self)->int:
        "Steps of the whole distillation: ages of the pool, then outer steps, if any."
        return self.pool.ahead + self.steps if self.steps else 0

    def step(self, step: int)->dict: # loss; how often the extractor was trained
        "Step number `step`, from 0 to `total` - 1."
        x, y = self.x.detach(), self.y.detach()
        if step < self.pool.ahead: return {'loss': self.pool.age(step, x, y)}
        return self._outer(step - self.pool.ahead)

    def _outer(self, step):
        "One outer step."
        k = self.pool.pick(step)
        member, source = self.pool.members[k], self.targets.source
        drawn = source.draw(self.batch, generator(self.pool.seed, 'real', step))
        extract = member.net.extractor.eval()
        with torch.no_grad(): real = extract(source.view(*drawn))
        made, wanted = extract(self.x), self.targets(*drawn)
        y = self._solved(made.detach(), real, wanted) if self.solve else self.y
        loss = krr_loss(made, y, real, wanted, self.ratio, self.per_m)
        slopes = torch.autograd.grad(loss, self.learnt) # not by the extractor's weights
        for part, slope in zip(self.learnt, slopes): part.grad = slope
        self.opt.param_groups[0]['lr'] = self.lr*(1 - .999*step/self.steps)
        self.opt.step()
        row = {'loss': loss.item(), 'age': member.steps}
        self.pool.after(k, self.x.detach(), self.y.detach())
        return row

    @torch.no_grad()
    def _solved(self, made, real, wanted):
        "The best targets of this step; those that are kept follow them."
        ridge = ridge_strength(made, self.ratio, per_m=self.per_m)
        s, t = made.double(), real.double()
        eye = torch.eye(len(s), dtype=s.dtype, device=s.device)
        inverse, _ = dual(s, eye, ridge, 1.)
        best = best_targets([(t @ s.T + 1) @ inverse], [wanted]).to(self.y)
        self.y.lerp_(best, self.solve)
        return best

    def distilled(self)->DistilledSet:
        "The set as it is now."
        x, y = (t.detach().clone() for t in (self.x, self.y))
        return DistilledSet(x, y, self.about)

    def state_dict(self)->dict:
        "What a checkpoint keeps: images, targets, their optimiser, the pool."
        return {'x': self.x.detach(), 'y': self.y.detach(),
                'opt': self.opt.state_dict(), 'pool': self.pool.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict):
        "Go on from a checkpoint."
        self.x.copy_(state['x'])
        self.y.copy_(state['y'])
        self.opt.load_state_dict(state['opt'])
        self.pool.load_state_dict(state['pool'])


# %% [markdown]
# Five outer steps move images and targets; the same five, begun anew, move them to the same bits:

# %%
def five():
    "A set after five outer steps."
    pool = ModelPool(tiny, first.x, 64, 3, 5)
    made = Distiller(first, Targets(model, digits), pool, steps=5, batch=64)
    for step in range(made.total): row = made.step(step)
    return made.distilled(), row

(one, row), (two, _) = five(), five()
row['loss'], (one.x - first.x).abs().max().item(), torch.equal(one.x, two.x)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.krrst`; [one run of it](31_distill.ipynb) saves, resumes and records.
