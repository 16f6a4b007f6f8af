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
from torch.nn.functional import normalize

from papers_nb.core.train import Stepper, seed_all
from papers_nb.errors import UserError
from papers_nb.lirdrec import baselines
from papers_nb.lirdrec.data import Interactions, read_interactions
from papers_nb.lirdrec.graph import GraphNet, nearest
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
        "The score of every item for each user; raises `UserError` for what is no user."
        if not hasattr(self, 'data'):
            raise UserError(f'{type(self).__name__} has not been fitted')
        users, n = torch.as_tensor(users), self.data.users
        listed = users.dim() == 1 and len(users) and not users.dtype.is_floating_point
        if not listed or users.min() < 0 or users.max() >= n:
            raise UserError(
                f'users={users.tolist()}: ids from 0 to {n - 1} are expected')
        return self._scores(users.long())

    def recommend(self,
        users,     # ids, whole numbers (B,)
        k: int=20, # length of the list
    )->Tensor: # item ids, best first, (B, k)
        "The best items not taken in training; ties go to the smaller id."
        left = unseen(self.scores(users), np.asarray(users), self.data)
        free = int(left.isfinite().sum(1).min())
        if k > free:
            raise UserError(
                f'k={k}: one of these users has only {free} items left to recommend')
        return top_k(left, k)


# %% [markdown]
# ## Networks
#
# A network learns by the same `fit` as [the training notebook](31_train.ipynb), in memory, and keeps the weights of its best epoch on the validation part. Its class says how the network is made from a set, `net`, and which of the training's parameters that takes, `takes`; the training makes it by the same two.

# %%
#| exports
class Network(Recommender):
    "A recommender that is a network trained by triples. Source: ours."
    takes: tuple[str, ...] # those of its options that the training has as parameters

    def __init__(self,
        lr: float=1e-3,     # of Adam
        batch: int=2048,    # pairs a step
        epochs: int=40,     # at most
        patience: int=20,   # epochs it goes on without a better validation recall
        seed: int=0,        # initial weights, every draw
        device: str='cpu',  # where it is trained
        progress: bool=False, # show a bar
        **options,          # of the network
    ):
        self.lr, self.batch, self.epochs = lr, batch, epochs
        self.patience, self.seed = patience, seed
        self.device, self.progress = device, progress
        self.options = options

    def _learn(self, data):
        seed_all(self.seed, 'init', 0)
        net = self.net(data).to(self.device)
        best = Best(net, self.patience)
        run = Stepper(self.seed, self.device, self.progress)
        fit(run, net, data, best, lr=self.lr, batch=self.batch, epochs=self.epochs)
        if not all(math.isfinite(r['loss']) for r in run.metrics):
            raise UserError(f'the loss of {type(self).__name__} is no longer finite; '
                            f'try a smaller learning rate than {self.lr}')
        net.load_state_dict(best.weights)
        self.metrics = run.metrics
        self.rows = [r.detach() for r in net.eval()()]

    def _scores(self, users):
        return self.rows[0][users.to(self.rows[0].device)] @ self.rows[1].T

class LIRDRec(Network):
    """Items from features only.

    Source: Zhou et al. 2025; official code, `src/models/lirdrec.py`."""
    takes = ('dim', 'hidden', 'layers', 'neighbours', 'image_weight', 'pwc',
             'decay_weight', 'decay_base', 'dct', 'reg', 'items', 'drop', 'pca')

    def net(self,
        data: Interactions, # whose training pairs and features are used
    )->GraphNet: # not trained
        "By the options of `LIRDRecNet`; `image_weight` if there are texts too."
        options = {k: v for k, v in self.options.items() if k != 'image_weight'}
        if 'image_weight' in self.options and data.features.keys() == {'image', 'text'}:
            image = self.options['image_weight']
            options['shares'] = {'image': image, 'text': 1 - image}
        return LIRDRecNet(data, **options)

class FREEDOM(Network):
    """Rows averaged over a thinned graph, and over a frozen one of alike items.

    Source: Zhou and Shen 2023."""
    takes = ('dim', 'layers', 'reg', 'drop', 'neighbours')

    def net(self,
        data: Interactions, # whose training pairs and features are used
    )->GraphNet: # not trained
        "By the options of `baselines.FREEDOM`."
        return baselines.FREEDOM(data, **self.options)

class BM3(Network):
    """Rows that predict each other under dropout, without negatives.

    Source: Zhou et al. 2023 (BM3)."""
    takes = ('dim', 'layers', 'reg')

    def net(self,
        data: Interactions, # whose training pairs and features are used
    )->GraphNet: # not trained
        "By the options of `baselines.BM3`."
        return baselines.BM3(data, **self.options)

class BPRMF(Network):
    "Free rows for users and items. Source: Rendle et al. 2009."
    takes = ('dim', 'reg')

    def net(self,
        data: Interactions, # whose training pairs are used
    )->GraphNet: # not trained
        "By the options `dim` and `reg`."
        return baselines.FreeRows(data, **self.options)

class LightGCN(Network):
    "Free rows, averaged over the graph of training pairs. Source: He et al. 2020."
    takes = ('dim', 'layers', 'reg', 'drop')

    def net(self,
        data: Interactions, # whose training pairs are used
    )->GraphNet: # not trained
        "By the options `dim`, `layers`, `reg` and `drop`; two layers by default."
        return baselines.FreeRows(data, **{'layers': 2, **self.options})

class VBPR(Network):
    """Free rows, and a linear map of the features beside them.

    Source: He and McAuley 2016."""
    takes = ('dim', 'reg')

    def net(self,
        data: Interactions, # whose training pairs and features are used
    )->GraphNet: # not trained
        "By the options `dim` and `reg`."
        return baselines.VBPR(data, **self.options)

class SumRows(Network):
    """Free rows plus a linear map of the features, which measure how far they move.

    Source: ours."""
    takes = ('dim', 'scale')

    def net(self,
        data: Interactions, # whose training pairs and features are used
    )->GraphNet: # not trained
        "By the options `dim` and `scale`."
        return baselines.SumRows(data, **self.options)


# %% [markdown]
# ## Registered by name
#
# A network whose class stands here can be trained: `-p model NAME` asks for it, the training makes it with the parameters that it takes, and the tests train each one. So another recommender is a class above and a line here, and it may learn from a network of its own as long as that is a [`GraphNet`](22_graph.ipynb).

# %%
#| exports
MODELS = {
    'lirdrec': LIRDRec,
    'bprmf': BPRMF,
    'lightgcn': LightGCN,
    'vbpr': VBPR,
    'freedom': FREEDOM,
    'bm3': BM3,
    'sum': SumRows,
}

# %%
{name: ' '.join(kind.takes) for name, kind in MODELS.items()}


# %% [markdown]
# ## Without training

# %%
#| exports
class Popularity(Recommender):
    "The same list for everybody. Source: folklore."
    def _learn(self, data):
        self.model = baselines.Popularity(data)

    def _scores(self, users):
        return self.model.scores(users)

class EASE(Recommender):
    "Items by items, linear, closed form. Source: Steck 2019."
    def __init__(self,
        reg: float=100., # λ
    ):
        self.reg = reg

    def _learn(self, data):
        self.model = baselines.EASE(data, self.reg)

    def _scores(self, users):
        return self.model.scores(users)

class ItemKNN(Recommender):
    """Items whose features are most alike those of what the user took.

    Source: folklore, by content."""
    def __init__(self,
        k: int=50, # neighbours of each item, itself not counted
    ):
        self.k = k

    def _learn(self, data):
        if not data.features:
            raise UserError(f'{data.name} has no features, which ItemKNN needs')
        features = [torch.from_numpy(np.array(x)) for x in data.features.values()]
        x = torch.cat([normalize(f, dim=1) for f in features], 1)
        ids = nearest(x, min(self.k + 1, len(x)))
        x = normalize(x, dim=1)
        self.alike = torch.zeros(len(x), len(x))
        for rows, some, near in zip(*(t.split(512) for t in (self.alike, x, ids))):
            rows.scatter_(1, near, (some @ x.T).gather(1, near))
        self.alike.fill_diagonal_(0.)

    def _scores(self, users):
        return baselines.taken(users, self.data) @ self.alike.T


# %% [markdown]
# ## All of them, on the made-up set
#
# Recall at 20 on the test part, from ten or twenty epochs. (BPR-MF is below the list that is the same for everybody after so few epochs on so few pairs.)

# %%
shop = synthetic()
rivals = [kind(epochs=20, lr=.005) for kind in MODELS.values() if kind is not LIRDRec]
made = [LIRDRec(epochs=10), *rivals, ItemKNN(), EASE(), Popularity()]
recall = lambda model: evaluate(model.fit(shop).scores, shop, TEST)['recall@20']
{type(model).__name__: round(recall(model), 3) for model in made}

# %% [markdown]
# A list, and what is refused:

# %%
made[0].recommend([0, 1], k=5)

# %%
bare = {'user': [0]*5, 'item': [0, 1, 2, 3, 4]}
(raises(made[0].scores, [5000]),
 raises(LIRDRec().recommend, [0]),
 raises(ItemKNN().fit, bare))

# %% [markdown]
# ## Where it lives
#
# `from papers_nb.lirdrec import LIRDRec, FREEDOM, BM3, VBPR, LightGCN, BPRMF, ItemKNN, EASE, Popularity`.
