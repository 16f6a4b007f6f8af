# %% [markdown]
# # Match the mean of each class
#
# > A supervised rival: images move until networks that were never trained see the same class means in them as in the real ones.

# %% [markdown]
# Zhao and Bilen 2023 (DM), a baseline of Lee et al. 2024 (KRR-ST) · 4 minutes · what you need first: [images and views](20_data.ipynb), [the distiller](21_krrst.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.matching

# %%
#| export
from collections.abc import Callable

import torch
from torch import Tensor, nn

from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source
from papers_nb.krrst.krrst import DistilledSet, own_draws

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.krrst.baselines import LabelTargets
from papers_nb.krrst.data import Views, few, source
from papers_nb.krrst.nets import extractor


# %% [markdown]
# ## A step
#
# A network is drawn with fresh weights. It gives features of all synthetic images and of a batch of real ones, as many of each class. The loss is the squared distance of the two means of a class, summed over classes; the labels stay what they are, the images descend, the network is thrown away. Nothing is trained inside, so that a step is cheap and no inner loop has to be differentiated.
#
# Zhao and Bilen also show both sides under the same random distortion; here no image is distorted.

# %%
#| exports
class Matching:
    """Moves labelled images until each class has its real mean under fresh networks.

    Raises `UserError` for a class without an image on either side.
    Source: Zhao and Bilen 2023 (DM); no augmentation here."""
    def __init__(self,
        start: DistilledSet, # where it begins; its targets stay
        own: Tensor,         # labels of these images, int64 (m,)
        source: Source,      # real images
        labels: Tensor,      # theirs, int64 (N,)
        make: Callable[[], nn.Module], # → an extractor with fresh weights
        steps: int,          # that there will be
        lr: float=1.,        # of SGD
        batch: int=256,      # real images a step, as many of each class
        momentum: float=.5,  # of SGD
        seed: int=0,         # of networks and draws
    ):
        classes = labels.unique()
        if not own.unique().equal(classes):
            raise UserError(f'images of {len(own.unique())} classes to match '
                            f'{len(classes)}: at least one of each is expected')
        self.x = start.x.clone().requires_grad_()
        self.y, self.about = start.y, start.about
        self.source, self.make, self.total, self.seed = source, make, steps, seed
        self.own = torch.searchsorted(classes, own)
        self.rows = [(labels == c).nonzero()[:, 0] for c in classes]
        self.each = max(1, batch//len(classes))
        self.opt = torch.optim.SGD([self.x], lr, momentum)

    def step(self, step: int)->dict: # loss; the network was trained for no step
        "Step number `step`."
        draws, where = generator(self.seed, 'real', step), self.x.device
        drawn = [torch.randint(len(rows), (self.each,), generator=draws)
                 for rows in self.rows]
        rows = torch.cat([rows[i.to(where)] for rows, i in zip(self.rows, drawn)])
        with own_draws(where, self.seed, 'network', step):
            net = self.make().to(where).train()
        with torch.no_grad():
            real = net(self.source.plain(rows)).unflatten(0, (-1, self.each)).mean(1)
        loss = (self._means(net(self.x)) - real).square().sum()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return {'loss': loss.item(), 'age': 0}

    def _means(self, features):
        "Mean of each class, (classes, d)."
        count = self.own.bincount()[:, None]
        total = features.new_zeros(len(self.rows), features.shape[1])
        return total.index_add(0, self.own, features)/count

    def distilled(self)->DistilledSet:
        "The set as it is now."
        return DistilledSet(self.x.detach().clone(), self.y, self.about)

    def state_dict(self)->dict:
        "What a checkpoint keeps."
        return {'x': self.x.detach(), 'opt': self.opt.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict):
        "Go on from a checkpoint."
        self.x.copy_(state['x'])
        self.opt.load_state_dict(state['opt'])


# %% [markdown]
# ## On digits
#
# One image of each digit. How far its class mean is from that of all real images is judged by a network of its own, before and after 200 steps:

# %%
digits, labels = source('digits', 'train', Views(0, False))
rows = few(labels, 10)
start = DistilledSet(digits.plain(rows), LabelTargets(digits, labels)(rows),
                     {'mean': digits.mean, 'std': digits.std})
fresh = lambda: extractor('convnet-tiny', 1, 8)
made = Matching(start, labels[rows], digits, labels, fresh, 200)
for step in range(made.total): made.step(step)

torch.manual_seed(1)
judge = fresh().train()
seen = judge(digits.plain()).detach()
wanted = torch.stack([seen[labels == c].mean(0) for c in range(10)])
distance = lambda x: (judge(x) - wanted[labels[rows]]).square().sum(1).mean().item()
distance(start.x), distance(made.x.detach())

# %%
raises(Matching, start, labels[rows] % 9, digits, labels, fresh, 1)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.matching`; [a distillation](31_distill.ipynb) runs it where `by` is `means`.
