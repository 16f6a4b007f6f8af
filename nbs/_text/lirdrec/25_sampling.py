# %% [markdown]
# # Items a user did not take
#
# > One drawn for every pair, on the device, never one that the user took in training.

# %% [markdown]
# Rendle et al. 2009 (BPR); MMRec `utils/dataloader.py` · 2 minutes · what you need first: [interactions](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.sampling

# %%
#| export
import torch
from torch import Tensor

from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# BPR compares an item that was taken with one that was not. The one that was not is drawn evenly from all items that anybody took in training, and again where the user took it too.

# %%
#| exports
class Negatives:
    "Draws items that a user did not take. Source: MMRec, `utils/dataloader.py`."
    def __init__(self,
        user: Tensor, # of each training pair, int64 (N,)
        item: Tensor, # likewise
    ):
        self.pool, self.items = item.unique(), int(item.max()) + 1
        self.taken = (user*self.items + item).unique()
        counts = torch.bincount(self.taken//self.items)
        if (counts >= len(self.pool)).any():
            raise UserError('a user took every item, so there is none to draw for them')

    def draw(self,
        user: Tensor,               # (B,)
        generator: torch.Generator, # on the CPU
    )->Tensor: # items, (B,)
        "One item for each user."
        drawn = torch.empty_like(user)
        left = torch.arange(len(user), device=user.device)
        while len(left):
            places = torch.randint(len(self.pool), (len(left),), generator=generator)
            drawn[left] = self.pool[places.to(user.device)]
            keys = user[left]*self.items + drawn[left]
            near = torch.searchsorted(self.taken, keys).clamp(max=len(self.taken) - 1)
            left = left[self.taken[near] == keys]
        return drawn


# %%
negatives = Negatives(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
asking = torch.tensor([0]*1000 + [1]*1000)
drawn = negatives.draw(asking, torch.Generator().manual_seed(0))
drawn[:1000].unique().tolist(), torch.bincount(drawn[1000:]).tolist()

# %%
raises(Negatives, torch.tensor([0, 0]), torch.tensor([0, 1]))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.sampling`, called once a step by [the training](31_train.ipynb).
