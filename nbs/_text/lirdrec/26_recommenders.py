# %% [markdown]
# # Recommenders that are fitted and asked
#
# > One small interface for all: fit, scores, recommend.

# %% [markdown]
# Ours · 4 minutes · what you need first: [interactions](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.recommenders

# %%
#| export
import math

import numpy as np
import torch
from torch import Tensor

from papers_nb.core.train import Stepper, seed_all
from papers_nb.errors import UserError
from papers_nb.lirdrec import baselines
from papers_nb.lirdrec.data import read_interactions
from papers_nb.lirdrec.graph import nearest
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import Best, top_k, unseen
from papers_nb.lirdrec.train import fit

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.lirdrec.data import TEST, synthetic
from papers_nb.lirdrec.metrics import evaluate


# %% [markdown]
# ## The interface

# %%
#| exports
class Recommender:
    "What all recommenders have in common. Source: ours."
    def fit(self,
        interactions,  # as `read_interactions` takes them
        features=None, # modality → array or path of an .npy file
    ): # itself
        "Learn from the training part."
        self.data = read_interactions(interactions, features)
        self._learn(self.data)
        return self

    def scores(self,
        users, # ids, whole numbers (B,)
    )->Tensor: # (B, n_i)
        "The score of every item for each user."
        if not hasattr(self, 'data'): raise UserError(f'{type(self).__name__} has not been fitted')
        users = torch.as_tensor(users)
        if users.dim() != 1 or users.dtype.is_floating_point or not len(users) or users.min() < 0 or users.max() >= self.data.users: raise UserError(f'users={users.tolist()}: ids from 0 to {self.data.users - 1} are expected')
        return self._scores(users.long())

    def recommend(self,
        users,     # ids, whole numbers (B,)
        k: int=20, # length of the list
    )->Tensor: # item ids, best first, (B, k)
        "The best items that a user has not taken in training; ties go to the smaller id."
        left = unseen(self.scores(users), np.asarray(users), self.data)
        if k > (free := int(left.isfinite().sum(1).min())): raise UserError(f'k={k}: one of these users has only {free} items left to recommend')
        return top_k(left, k)


# %% [markdown]
# ## Networks
#
# A network learns by the same `fit` as [the training notebook](31_train.ipynb), in memory, and keeps the weights of its best epoch on the validation part.

# %%
#| exports
class Network(Recommender):
    "A recommender that is a network trained by BPR. Source: ours."
    def __init__(self,
        lr: float=1e-3,     # of Adam
        batch: int=2048,    # pairs a step
        epochs: int=40,     # at most
        patience: int=20,   # epochs without a better validation recall after which to stop
        seed: int=0,        # initial weights, every draw
        device: str='cpu',  # where it is trained
        progress: bool=False, # show a bar
        **options,          # of the network
    ):
        self.lr, self.batch, self.epochs, self.patience, self.seed, self.device, self.progress, self.options = lr, batch, epochs, patience, seed, device, progress, options

    def _learn(self, data):
        seed_all(self.seed, 'init', 0)
        net = self.net(data).to(self.device)
        best, run = Best(net, self.patience), Stepper(self.seed, self.device, self.progress)
        fit(run, net, data, best, self.lr, self.batch, self.epochs)
        if not all(math.isfinite(r['loss']) for r in run.metrics): raise UserError(f'the loss of {type(self).__name__} is no longer finite; try a smaller learning rate than {self.lr}')
        net.load_state_dict(best.weights)
        self.metrics = run.metrics
        with torch.no_grad(): self.rows = net.eval()()

    def _scores(self, users):
        return self.rows[0][users.to(self.rows[0].device)] @ self.rows[1].T

class LIRDRec(Network):
    "Items from features only. Source: Zhou et al. 2025; official code, `src/models/lirdrec.py`."
    def net(self, data):
        "The network; options are those of `LIRDRecNet`."
        return LIRDRecNet(data, **self.options)

class FREEDOM(Network):
    "Rows averaged over a thinned graph, and over a frozen one of alike items. Source: Zhou and Shen 2023."
    def net(self, data):
        "The network; options are those of `baselines.FREEDOM`."
        return baselines.FREEDOM(data, **self.options)

class BM3(Network):
    "Rows that predict each other under dropout, without negatives. Source: Zhou et al. 2023 (BM3)."
    def net(self, data):
        "The network; options are those of `baselines.BM3`."
        return baselines.BM3(data, **self.options)

class BPRMF(Network):
    "Free rows for users and items. Source: Rendle et al. 2009."
    def net(self, data):
        "The network; options are `dim` and `reg`."
        return baselines.FreeRows(data, **self.options)

class LightGCN(Network):
    "Free rows, averaged over the graph of training pairs. Source: He et al. 2020."
    def net(self, data):
        "The network; options are `dim`, `layers`, `reg` and `drop`."
        return baselines.FreeRows(data, **{'layers': 2, **self.options})

class VBPR(Network):
    "Free rows, and a linear map of the features beside them. Source: He and McAuley 2016."
    def net(self, data):
        "The network; options are `dim` and `reg`."
        return baselines.VBPR(data, **self.options)


# %% [markdown]
# ## Without training

# %%
#| exports
class Popularity(Recommender):
    "The same list for everybody. Source: folklore."
    def _learn(self, data): self.model = baselines.Popularity(data)
    def _scores(self, users): return self.model.scores(users)

class EASE(Recommender):
    "Items by items, linear, closed form. Source: Steck 2019."
    def __init__(self, reg: float=100.): self.reg = reg
    def _learn(self, data): self.model = baselines.EASE(data, self.reg)
    def _scores(self, users): return self.model.scores(users)

class ItemKNN(Recommender):
    "Items whose features are most alike those of what the user took. Source: folklore, by content."
    def __init__(self,
        k: int=50, # neighbours of each item, itself not counted
    ): self.k = k

    def _learn(self, data):
        if not data.features: raise UserError(f'{data.name} has no features, which ItemKNN needs')
        x = torch.cat([torch.nn.functional.normalize(torch.from_numpy(np.array(x)), dim=1) for x in data.features.values()], 1)
        x, ids = torch.nn.functional.normalize(x, dim=1), nearest(x, min(self.k + 1, len(x)))
        rows = [torch.zeros(len(i), len(x)).scatter(1, i, (part @ x.T).gather(1, i)) for part, i in zip(x.split(512), ids.split(512))]
        self.alike = torch.cat(rows).fill_diagonal_(0.)

    def _scores(self, users): return baselines.taken(users, self.data) @ self.alike.T


# %% [markdown]
# ## All of them, on the made-up set
#
# Recall at 20 on the test part, from ten or twenty epochs. (BPR-MF is below the list that is the same for everybody after so few epochs on so few pairs.)

# %%
shop = synthetic()
made = [LIRDRec(epochs=10), FREEDOM(epochs=20, lr=.005), BM3(epochs=20, lr=.005), VBPR(epochs=20, lr=.005), LightGCN(epochs=20, lr=.005), BPRMF(epochs=20, lr=.005), ItemKNN(), EASE(), Popularity()]
{type(m).__name__: round(evaluate(m.fit(shop).scores, shop, TEST)['recall@20'], 3) for m in made}

# %% [markdown]
# A list, and what is refused:

# %%
made[0].recommend([0, 1], k=5)

# %%
raises(made[0].scores, [5000]), raises(LIRDRec().recommend, [0]), raises(ItemKNN().fit, {'user': [0]*5, 'item': [0, 1, 2, 3, 4]})

# %% [markdown]
# ## Where it lives
#
# `from papers_nb.lirdrec import LIRDRec, FREEDOM, BM3, VBPR, LightGCN, BPRMF, ItemKNN, EASE, Popularity`.
