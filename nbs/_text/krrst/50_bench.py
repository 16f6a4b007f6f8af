# ---
# skip_exec: true
# ---

# %% [markdown]
# # What an outer step costs
#
# > Time of the closed-form loss and of a whole step, against a straightforward implementation, beside the floor.

# %% [markdown]
# Ours · 4 minutes · what you need first: [the ridge](11_ridge.ipynb), [the distiller](21_krrst.ipynb). Made by `make bench`, not by the tests: a time belongs to a machine, a ratio less so.

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import time
import numpy as np
import torch
from IPython.display import Markdown
from torch.nn import functional as F
from papers_nb.core.bench import agree, machine, ratio, turns
from papers_nb.core.tables import table
from papers_nb.core.train import generator
from papers_nb.krrst.data import Source, Targets, Views
from papers_nb.krrst.krrst import Distiller, ModelPool, initial_set
from papers_nb.krrst.nets import convnet, resnet
from papers_nb.krrst.ridge import krr_loss, ridge_strength

# %% [markdown]
# ## How it is measured
#
# [All candidates in turn](../core/bench.ipynb): the median of the ratios within a turn, with the middle half of them in brackets. One thread.

# %%
torch.set_num_threads(1)
Markdown(f'{machine()}; 20 turns after one that does not count, or as many as it says.')


# %% [markdown]
# ## The loss, forward and backward
#
# Against two ways that autograd differentiates by itself: `torch.linalg.solve`, and a Cholesky factor with `cholesky_solve`; all with Gram matrices and solve in 64 bits. The floor is the matrix products alone that our route cannot do without: two Gram matrices, and the two products of the gradient by the features.

# %%
def example(m, d, b, k):
    "Features and targets of some size."
    g = torch.Generator().manual_seed(0)
    shapes = (m, d), (m, k), (b, d), (b, k)
    phi_s, y_s, phi_t, y_t = (torch.randn(s, generator=g) for s in shapes)
    return phi_s.requires_grad_(), y_s.requires_grad_(), phi_t, y_t

def by_autograd(solve):
    "The loss through a solver that autograd knows."
    def loss(phi_s, y_s, phi_t, y_t):
        "The same numbers as `krr_loss`."
        s, y, t, wanted = (a.double() for a in (phi_s, y_s, phi_t, y_t))
        a = s @ s.T + 1 + ridge_strength(phi_s, 1e-6)*torch.eye(len(s)).double()
        return F.mse_loss((t @ s.T + 1) @ solve(a, y), wanted)
    return loss

def cholesky(a, y):
    "Factor and substitute."
    return torch.cholesky_solve(y, torch.linalg.cholesky(a))

LOSSES = {'ours': krr_loss, 'linalg.solve': by_autograd(torch.linalg.solve),
          'cholesky': by_autograd(cholesky)}

def gradients(loss, given):
    "A call that gives the gradients of a loss."
    return lambda: torch.autograd.grad(loss(*given), given[:2])

def products(given):
    "The matrix products alone."
    s, t = (given[k].detach().double() for k in (0, 2))
    def run():
        "Two Gram matrices, the two products of the gradient."
        square, cross = s @ s.T, t @ s.T
        return cross.T @ t, square @ s
    return run

SIZES = {'m=100, d=256, b=256, k=128': (100, 256, 256, 128),
         'm=500, d=2048, b=512, k=512': (500, 2048, 512, 512),
         'm=1000, d=8192, b=256, k=512': (1000, 8192, 256, 512)}
few = example(40, 60, 50, 8)
agree({name: gradients(loss, few) for name, loss in LOSSES.items()}, 1e-4)

# %%
times = {}
for name, size in SIZES.items():
    given = example(*size)
    calls = {n: gradients(loss, given) for n, loss in LOSSES.items()}
    times[name] = turns({**calls, 'floor': products(given)}, 20, 1)

# %%
#| label: tbl-loss
#| tbl-cap: "Loss and gradients."
#| code-fold: true
lines = [[name, f'{1e3*np.median(t["ours"]):.0f} ms', ratio(t['linalg.solve'], t['ours']),
          ratio(t['cholesky'], t['ours']), ratio(t['ours'], t['floor'])] for name, t in times.items()]
Markdown(table(lines, ['size', 'ours', 'linalg.solve : ours', 'cholesky : ours', 'ours : floor']))


# %% [markdown]
# ## A whole outer step
#
# Straightforward is: the target model runs at every step instead of once for all views, the loss through `torch.linalg.solve`, gradients for all of the extractor's weights too. Both begin at the same images, pool and draws.

# %%
def setting(m=100, batch=256, images=2000, side=16, widths=(16, 32, 64), target=None,
            size=4, lifetime=200):
    "A source of colour images, a target model, and a distiller whose pool is not aged."
    g = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, side, side), generator=g)
    source = Source(pixels.byte(), Views(0, True))
    torch.manual_seed(0)
    model = target or convnet(3, side, (64, 128, 128))
    model.requires_grad_(False).eval()
    start = initial_set(source, model, m)
    make = lambda: convnet(3, side, widths)
    pool = ModelPool(make, start.x, start.y.shape[1], size, lifetime)
    return Distiller(start, Targets(model, source), pool, 10_000, batch=batch)

class Plain(Distiller):
    "The same step, written as one would at first."
    def _outer(self, step):
        k, source = self.pool.pick(step), self.targets.source
        rows, which = source.draw(self.batch, generator(self.pool.seed, 'real', step))
        real = source.view(rows, which)
        extract = self.pool.members[k].net.extractor.eval()
        with torch.no_grad(): wanted, phi_t = self.targets.model(real), extract(real)
        loss = LOSSES['linalg.solve'](extract(self.x), self.y, phi_t, wanted)
        self.opt.zero_grad()
        loss.backward()
        self.opt.param_groups[0]['lr'] = self.lr*(1 - .999*step/self.steps)
        self.opt.step()
        self.pool.after(k, self.x.detach(), self.y.detach())
        return {'loss': loss.item()}

def stepping(kind, made):
    "A call that does the next outer step."
    made.__class__, at = kind, iter(range(made.pool.ahead, made.total))
    return lambda: made.step(next(at))['loss']

KINDS = {'ours': Distiller, 'plain': Plain}
small = {name: stepping(kind, setting()) for name, kind in KINDS.items()}
[[f'{call():.3e}' for _ in range(3)] for call in small.values()]

# %% [markdown]
# What stands in the table is what the target model says when it is asked; and so the losses above are equal to four digits.

# %%
made = setting()
drawn = made.targets.source.draw(256, generator(0, 'real', 0))
asked = Targets(made.targets.model, made.targets.source, table=False)
(made.targets(*drawn) - asked(*drawn)).abs().max().item() < 1e-5

# %%
#| code-fold: true
steps = turns(small, 40, 3)
as_published = lambda: setting(1000, 256, 1000, 32, (128, 256, 512), resnet(3, 32, 2), 1, 1000)
large = {name: stepping(kind, as_published()) for name, kind in KINDS.items()}

def five(calls):
    "Five turns after one that does not count; each lasts most of a minute."
    spent = {name: [] for name in calls}
    for _ in range(6):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - begun)
    return {name: np.array(t[1:]) for name, t in spent.items()}

long_steps = five(large)


# %%
#| label: tbl-step
#| tbl-cap: "One outer step; the large one with a ResNet-18 as target model and the paper's ConvNet, five turns."
#| code-fold: true
def step_line(name, t):
    "One size."
    return [name, f'{1e3*np.median(t["ours"]):,.0f} ms', ratio(t['plain'], t['ours'])]

lines = [step_line('m=100, 16×16, batch 256', steps),
         step_line('m=1000, 32×32, ConvNet3, batch 256', long_steps)]
Markdown(table(lines, ['step', 'ours', 'straightforward : ours']))


# %% [markdown]
# ## What this says

# %%
#| code-fold: true
def mid(t, a, b):
    "Median ratio."
    return np.median(t[a]/t[b])

most = times[[*SIZES][-1]]
goals = {
    'an outer step at m=100 at least 1.5 × faster than the straightforward one':
        mid(steps, 'plain', 'ours') >= 1.5,
    'an outer step at m=1000 likewise': mid(long_steps, 'plain', 'ours') >= 1.5,
    'the loss not slower than linalg.solve at m=1000': mid(most, 'linalg.solve', 'ours') >= 1,
    'the loss at least 2 × faster than plain Cholesky at m=1000': mid(most, 'cholesky', 'ours') >= 2}
Markdown(table([[goal, 'yes' if reached else 'no'] for goal, reached in goals.items()], ['goal', 'reached']))
