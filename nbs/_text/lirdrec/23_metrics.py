# %% [markdown]
# # How good is a list
#
# > Recall, NDCG and their companions over all items, with ties that everybody breaks alike.

# %% [markdown]
# MMRec `utils/metrics.py`, `utils/topk_evaluator.py` · 4 minutes · what you need first: [interactions](20_data.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.metrics

# %%
#| export
import math

import numpy as np
import torch
from torch import Tensor, nn

from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TEST, TRAIN, Interactions

# %%
#| hide
from papers_nb.core.checks import raises


# %% [markdown]
# ## The best k, ties by id
#
# Two items with the same score have no order, and a library returns them in whatever order its kernel meets them. Here the smaller id goes first, on every device.

# %%
#| exports
def top_k(
    scores: Tensor, # (B, n_i)
    k: int,         # how many
)->Tensor: # item ids, best first, ties by ascending id, (B, k)
    """The k largest scores of each row, in an order that does not depend on the kernel.

    Source: ours."""
    n = scores.shape[1]
    if not 1 <= k <= n:
        raise UserError(f'k={k}: 1 to {n}, the number of items')
    values, ids = scores.topk(min(k + 1, n), 1)
    tied = (values[:, 1:] == values[:, :-1]).any(1)
    best = ids[:, :k].clone()
    if tied.any():
        order = scores[tied].argsort(dim=1, descending=True, stable=True)
        best[tied] = order[:, :k]
    return best


# %%
top_k(torch.tensor([[.1, .9, .9, .3]]), 3)


# %% [markdown]
# ## The measures
#
# A *hit* is an item of the list that the user took in the part that is tested. **Recall** divides the hits by all that could be hit, **precision** by the length of the list. **NDCG** gives a hit at rank $r$ the weight $1/\log_2(r+1)$ and divides by the best that was possible; **MAP** averages the precision at every hit.

# %%
#| exports
def measures(
    hits: Tensor,    # whether each place of a list is a hit, bool (B, K)
    targets: Tensor, # how many items could be hit, at least 1, (B,)
    ks: tuple[int, ...]=(5, 10, 20, 50), # list lengths, at most K
)->dict[str, float]: # recall@k, ndcg@k, precision@k, map@k, means over users
    "What is read off the lists. Source: MMRec, `utils/metrics.py`."
    hits, found = hits.double(), {}
    ranks = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64, device=hits.device)
    gains = 1/torch.log2(ranks + 1)
    for k in ks:
        h, few = hits[:, :k], targets.clamp(max=k)
        gain, best = (h*gains[:k]).sum(1), gains.cumsum(0)[few - 1]
        found[f'recall@{k}'] = (h.sum(1)/targets).mean().item()
        found[f'ndcg@{k}'] = (gain/best).mean().item()
        found[f'precision@{k}'] = (h.sum(1)/k).mean().item()
        found[f'map@{k}'] = ((h*h.cumsum(1)/ranks[:k]).sum(1)/few).mean().item()
    return found


# %% [markdown]
# Four users with lists of five. By hand, recall is the mean of 1/1, 3/3, 0/2 and 3/4:

# %%
lists = torch.tensor([[3, 1, 2, 0, 4],
                      [1, 9, 4, 8, 7],
                      [9, 8, 7, 6, 5],
                      [5, 0, 6, 8, 1]])
taken = [{3}, {1, 4, 7}, {0, 2}, {5, 6, 8, 9}]
hits = torch.tensor([[i in t for i in row] for row, t in zip(lists.tolist(), taken)])
targets = torch.tensor([len(t) for t in taken])
{k: round(v, 6) for k, v in measures(hits, targets, (5,)).items()}


# %% [markdown]
# ## All items compete
#
# Every user is ranked against all items; only what the user took in training is left out. Items of the validation part stay in the list when the test part is asked for, as wrong answers: that is the protocol of MMRec, kept so that numbers compare.

# %%
#| exports
def unseen(
    scores: Tensor,     # of all items for some users, (B, n_i)
    ids: np.ndarray,    # these users, in any order, (B,)
    data: Interactions, # whose training part is left out
)->Tensor: # a copy in which what a user took in training has the score -∞
    "Leave out what was taken in training. Source: MMRec, `utils/topk_evaluator.py`."
    scores = scores.clone()
    scores[tuple(p.to(scores.device) for p in places(ids, *data.by_user))] = -torch.inf
    return scores

def places(
    ids: np.ndarray,  # users, in any order, (B,)
    user: np.ndarray, # of each pair, ascending, (N,)
    item: np.ndarray, # of each pair, (N,)
)->tuple[Tensor, Tensor]: # int64
    """Row and column of every pair of some users in a table with one row for each.

    Source: ours."""
    low, high = (np.searchsorted(user, ids, side) for side in ('left', 'right'))
    rows = np.repeat(np.arange(len(ids)), high - low)
    firsts = np.cumsum(high - low) - (high - low)
    columns = item[low[rows] + np.arange(len(rows)) - firsts[rows]]
    return torch.from_numpy(rows), torch.from_numpy(columns)

@torch.no_grad()
def ranking(
    scores,             # users (B,) → scores (B, n_i)
    data: Interactions, # whose training part is left out
    k: int=20,          # length of a list
    among: np.ndarray|None=None, # items that compete, bool (n_i,); all if None
    batch: int=512,     # users at once; that many scores still fit a cache
    device: str='cpu',  # of the scores
)->Tensor: # item ids, best first, (n_u, k), on the CPU
    "The best items of every user. Source: MMRec, `utils/topk_evaluator.py`."
    out = None if among is None else torch.from_numpy(~among).to(device)
    lists = []
    for ids in np.split(np.arange(data.users), range(batch, data.users, batch)):
        s = unseen(scores(torch.from_numpy(ids).to(device)), ids, data)
        if out is not None: s[:, out] = -torch.inf
        lists.append(top_k(s, min(k, data.items)).cpu())
    return torch.cat(lists)

def judge(
    lists: Tensor,    # of every user, as `ranking` makes them, (n_u, k)
    user: np.ndarray, # of each pair to be found, (N,)
    item: np.ndarray, # likewise
    ks: tuple[int, ...]=(10, 20), # list lengths, at most k
)->dict[str, float]: # as `measures`
    """Hold lists against pairs, for every user who has something to find.

    Source: MMRec, `utils/topk_evaluator.py`."""
    if not len(user):
        raise UserError(
            'there are no pairs in this part or group, so there is nothing to find')
    ids, targets = np.unique(user, return_counts=True)
    longest, size = lists.shape[1], max(int(lists.max()), int(item.max())) + 1
    if max(ks) > longest < size:
        raise UserError(f'ks={ks}: the lists hold {longest} items, not {max(ks)}')
    listed = torch.from_numpy(ids)[:, None]*size + lists[ids]
    hits = torch.isin(listed, torch.from_numpy(user*size + item))
    return measures(hits, torch.from_numpy(targets), ks)

def evaluate(
    scores,             # users (B,) → scores (B, n_i)
    data: Interactions, # pairs of all parts
    part: int,          # VALID or TEST
    ks: tuple[int, ...]=(10, 20), # list lengths
    **options,          # of `ranking`
)->dict[str, float]: # as `measures`
    "Rank all items for every user and judge by one part."
    if not (data.part == part).any():
        raise UserError(
            f'{data.name} has no pairs in part {part}, so there is nothing to find')
    return judge(ranking(scores, data, max(ks), **options), *data.pairs(part), ks)

def by_degree(
    lists: Tensor,      # of every user, as `ranking` makes them, (n_u, k)
    data: Interactions, # pairs of all parts
    part: int=TEST,     # judged
    k: int=20,          # list length
)->dict[str, float]: # group → recall@k, for groups with something to find
    """Recall of users, and of items, grouped by how many training pairs they have: at
    most 3, 4 to 5, 6 to 10, more.

    Source: ours."""
    groups = {'to 3': (0, 4), '4 to 5': (4, 6), '6 to 10': (6, 11),
              'over 10': (11, np.inf)}
    user, item = data.pairs(part)
    users, items = data.pairs(TRAIN)
    degrees = {'users': np.bincount(users, minlength=data.users)[user],
               'items': np.bincount(items, minlength=data.items)[item]}
    found = {}
    for side, degree in degrees.items():
        for name, (low, high) in groups.items():
            rows = (degree >= low) & (degree < high)
            if not rows.any(): continue
            measured = judge(lists, user[rows], item[rows], (k,))
            found[f'{side} {name}'] = measured[f'recall@{k}']
    return found



# %%
data = Interactions('tiny', [0, 0, 1, 1, 1], [0, 1, 1, 2, 0], [0, 2, 0, 2, 1])
liked = torch.tensor([[3., 2, 1], [3., 2, 1]])
evaluate(lambda users: liked[users], data, 2, ks=(1, 2))

# %% [markdown]
# Grouped by how often users or items occur in training:

# %%
by_degree(ranking(lambda users: liked[users], data, 2), data, k=2)

# %%
raises(top_k, liked, 4)


# %% [markdown]
# ## Of a network, and the best of its epochs
#
# A network gives rows of users and items; their products are the scores. A training keeps the weights of the best epoch aside, and has had enough when no epoch has been better for a while.

# %%
#| exports
@torch.no_grad()
def ranked(
    net: nn.Module,     # gives rows of users and items
    data: Interactions, # whose training part is left out
    **options,          # of `ranking`
)->Tensor: # item ids, best first, (n_u, k)
    "Lists for every user by the rows of a network, as it is now."
    was = net.training
    u, i = net.eval()()
    net.train(was)
    return ranking(lambda users: u[users] @ i.T, data, device=u.device, **options)

class Best:
    "The best weights so far, and for how many epochs they have been. Source: ours."
    def __init__(self,
        net: nn.Module, # watched
        patience: int,  # epochs without a better value after which it is enough
    ):
        self.net, self.patience = net, patience
        self.value, self.since, self.weights = -math.inf, 0, self._now()

    def _now(self):
        "A copy of the present weights."
        return {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def update(self, value: float)->bool: # true when it is enough
        "Note the value of an epoch."
        self.since += 1
        if value > self.value:
            self.value, self.since, self.weights = value, 0, self._now()
        return self.since > self.patience

    def state_dict(self)->dict:
        "What a checkpoint keeps."
        return {'value': self.value, 'since': self.since, 'weights': self.weights}

    def load_state_dict(self, state: dict):
        "Go on from a checkpoint."
        self.value, self.since = state['value'], state['since']
        self.weights = state['weights']


# %%
keeper = Best(nn.Linear(1, 1), patience=2)
[keeper.update(v) for v in (.1, .3, .2, .2, .2)]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.metrics`; [the training](31_train.ipynb) chooses its epoch by `recall@20` on the validation part.
