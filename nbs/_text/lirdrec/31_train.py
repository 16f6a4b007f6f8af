# ---
# skip_exec: true
# ---

# %% [markdown]
# # Train a recommender on pictures and texts
#
# > One run: users, items, their features, and how many of the held-out items come up among twenty.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Zhou et al. 2025 (LIRDRec), in the protocol of MMRec |
# | default | a made-up set of about 1,500 users and 600 items, a stand-in of our own: the paper has no such row |
# | data | drawn from the seed, no download; MovieLens small (1 MB) is fetched from GroupLens, research use |
# | needs | one CPU core, under 1 GB, about half a minute |
# | start | `papermill --engine papers papers://lirdrec/train.ipynb out.ipynb -p model lightgcn -p seed 1`, or Run All |

# %% tags=["parameters"]
from typing import Literal
data: Literal['synthetic', 'movielens-small'] = 'synthetic'  # data set
model: Literal['lirdrec', 'bprmf', 'lightgcn', 'vbpr'] = 'lirdrec'  # recommender
ids: bool = False  # lirdrec: add a free row to every item, which the paper leaves out
pwc: Literal['code', 'logit', 'convex', 'network', 'uniform'] = 'code'  # lirdrec: weights of the branches
dct: Literal['1d', '2d', 'none', 'random'] = '1d'  # lirdrec: transform before the shared branch
neighbours: int = 10  # lirdrec: of each item in the graph of alike items; 0: no such graph
decay_weight: float = 0.9  # lirdrec: ω before the first epoch
decay_base: float = 0.9  # lirdrec: β
dim: int = 64  # length of a row
hidden: int = 256  # lirdrec: width of the encoders
layers: int = 2  # lirdrec, lightgcn: of the graph of users and items
reg: float = 0.0001  # weight of the penalty
lr: float = 0.001  # learning rate of Adam
batch: int = 2048  # pairs a step
epochs: int = 40  # at most
patience: int = 20  # epochs without a better validation recall; one more and the run stops
seed: int = 0  # the made-up set, initial weights, every draw
device: str = 'auto'  # auto, cpu, cuda
threads: int = 1  # CPU threads
save_every: float = 60.0  # seconds between checkpoints
fresh: bool = False  # keep an old run of these parameters aside and start anew

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.train

# %%
#| export
import torch
from torch import nn

from papers_nb.core.train import generator
from papers_nb.lirdrec.data import TRAIN, VALID, Interactions
from papers_nb.lirdrec.metrics import Best, ranked
from papers_nb.lirdrec.sampling import Negatives

# %%
#| hide
import hashlib

import matplotlib.pyplot as plt, numpy as np
from IPython.display import Markdown
from safetensors.torch import load_file

from papers_nb import runs
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.train import environment, seed_all
from papers_nb.lirdrec.baselines import VBPR, FreeRows, Popularity
from papers_nb.lirdrec.data import TEST, load
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import evaluate

# %% [markdown]
# ## The run

# %%
run = runs.open('lirdrec/train', globals())
run

# %%
#| code-fold: true
environment(run.device) | {'data': f'{data} {runs.checksum("lirdrec/train", run.params)}', 'seed': run.seed}

# %% [markdown]
# ## Data

# %%
theme()
shop = load(data, seed)
sizes = {m: x.shape[1] for m, x in shop.features.items()}
pairs = [len(shop.pairs(p)[0]) for p in (TRAIN, VALID, TEST)]
Markdown(f'{shop.users:,} users, {shop.items:,} items, {pairs[0]:,} + {pairs[1]:,} + {pairs[2]:,} pairs; features {", ".join(f"{m} {d}" for m, d in sizes.items())}. '
         f'No training pair is tested: {len(set(zip(*shop.pairs(TRAIN))) & set(zip(*shop.pairs(TEST))))} in common.')

# %% [markdown]
# ## Network

# %%
seed_all(seed, 'init', 0)
def make():
    "The network that the parameters ask for."
    if model == 'lirdrec': return LIRDRecNet(shop, dim, hidden, layers, None, neighbours, pwc, decay_weight, decay_base, dct, reg, ids)
    return VBPR(shop, dim, reg) if model == 'vbpr' else FreeRows(shop, dim, layers if model == 'lightgcn' else 0, reg)
net = make().to(run.device)
Markdown(f'{sum(p.numel() for p in net.parameters()):,} parameters; rows of {net.eval()()[0].shape[1]} numbers.')


# %% [markdown]
# ## The loop
#
# `run.steps` resumes, saves and keys the randomness. The best weights by validation recall are kept aside; when they have not changed for more than `patience` epochs the run has had enough.

# %%
#| exports
def fit(
    run,                # a run or a Stepper
    net: nn.Module,     # trained in place
    data: Interactions, # pairs of all parts
    best: Best,         # keeps the best weights
    lr: float=1e-3,     # of Adam
    batch: int=2048,    # pairs a step
    epochs: int=40,     # at most
):
    "Train by triples, rank the validation part after every epoch, stop when it no longer gets better. Source: Rendle et al. 2009; MMRec, `common/trainer.py`."
    opt = torch.optim.Adam(net.parameters(), lr)
    user, item = (torch.from_numpy(a).to(run.device) for a in data.pairs(TRAIN))
    negatives, per_epoch, drawn = Negatives(user, item), -(-len(user)//batch), None
    for step in run.steps(per_epoch*epochs, {'net': net, 'opt': opt, 'best': best}):
        epoch, i = divmod(step, per_epoch)
        if i == 0: net.start_epoch(epoch + 1)
        if epoch != drawn: order, drawn = torch.randperm(len(user), generator=generator(run.seed, 'order', epoch)), epoch
        rows = order[i*batch:(i + 1)*batch].to(run.device)
        net.train()
        cost = net.loss(user[rows], item[rows], negatives.draw(user[rows], generator(run.seed, 'negatives', step)))
        opt.zero_grad()
        cost.backward()
        opt.step()
        row = {'loss': cost.item()}
        if i + 1 == per_epoch:
            row['valid'] = ranked(net, data, VALID)['recall@20']
            if best.update(row['valid']): run.enough()
        run.log(**row)


# %% [markdown]
# ## Training

# %%
best = Best(net, patience)
fit(run, net, shop, best, lr, batch, epochs)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
valid = [r['valid'] for r in run.metrics if 'valid' in r]
last = ranked(net, shop, TEST)
net.load_state_dict(best.weights)
test, chosen = ranked(net, shop, TEST), int(np.argmax(valid)) + 1
metrics = {k: (100*test[k], '%') for k in ('recall@20', 'ndcg@20', 'recall@10', 'ndcg@10')}
metrics |= {'valid_recall@20': (100*max(valid), '%'), 'last_recall@20': (100*last['recall@20'], '%'), 'best_epoch': (chosen, 'epochs'), 'epochs': (len(valid), 'epochs')}
record = run.finish(metrics, selection='the epoch with the best recall@20 on the validation part', weights={'net': net})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step, and recall at 20 on the validation part after every epoch; the line marks the epoch that is kept."
#| fig-alt: "The loss falls steeply in the first epochs and then slowly; the recall rises and levels off."
#| classes: figcard
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
left.plot([r['loss'] for r in run.metrics], color=COLORS['blue'])
left.set(xlabel='step', ylabel='loss')
right.plot(np.arange(1, len(valid) + 1), 100*np.array(valid), color=COLORS['green'])
right.axvline(chosen, color=COLORS['grey'], lw=1)
right.set(xlabel='epoch', ylabel='validation recall@20 [%]');

# %%
#| label: tbl-result
#| tbl-cap: This run, one seed, against the list that is the same for everybody.
same = evaluate(Popularity(shop).scores, shop, TEST)
cost = record['cost']
Markdown('\n'.join(['| metric | popularity | this run |', '|---|---|---|', *[f'| {k} | {100*same[k]:.2f} % | {100*test[k]:.2f} % |' for k in ('recall@10', 'recall@20', 'ndcg@10', 'ndcg@20')]])
    + f'\n\nChosen on the validation part: epoch {chosen} of {len(valid)}. Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, {cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.')

# %% [markdown]
# The default set is made up, so its numbers compare settings with each other and nothing else. What several seeds say is shown by `papers_nb results lirdrec`.
#
# ## What is left on disk

# %%
#| code-fold: true
files = [f for f in sorted(run.folder.iterdir()) if f.is_file() and f.name not in ('lock', 'holder')]
Markdown('\n'.join(['| file | bytes | SHA-256 |', '|---|---|---|', *[f'| {f.name} | {f.stat().st_size:,} | {hashlib.sha256(f.read_bytes()).hexdigest()[:16]} |' for f in files]]))

# %% [markdown]
# The trained network, loaded back, ranks as before:

# %%
again = make().to(run.device)
again.load_state_dict(load_file(run.folder/'net.safetensors'))
ranked(again, shop, TEST) == test
