# ---
# skip_exec: true
# ---

# %% [markdown]
# # Train a recommender on pictures and texts
#
# > One run: users, items, their features, and which share of the held-out items comes up among twenty.

# %% [markdown]
# | run card | |
# |---|---|
# | paper | Zhou et al. 2025 (LIRDRec), in the protocol of MMRec |
# | default | a made-up set of about 1,500 users and 600 items, a stand-in of our own: the paper has no such row |
# | data | drawn from the seed, no download; MovieLens small (1 MB) is fetched from GroupLens, research use; `baby`, `sports`, `clothing`, `electronics`, `microlens`: put MMRec's files into the folder of that name in the cache ([how](20_data.ipynb)) |
# | needs | one CPU core, under 1 GB, about half a minute; MovieLens up to 1.5 GB, Baby without features up to 2.5 GB |
# | start | `papermill --engine papers papers://lirdrec/train.ipynb out.ipynb`, or Run All; another recommender by `-p model lightgcn`, but FREEDOM and BM3 by `-f papers://lirdrec/freedom.yaml` and `bm3.yaml`; the settings of the real sets by `-f papers://lirdrec/baby.yaml` and so on |

# %% tags=["parameters"]
from typing import Literal
data: Literal['synthetic', 'movielens-small', 'baby', 'sports', 'clothing', 'electronics', 'microlens'] = 'synthetic'  # data set
hidden_taste: float = 0.0  # synthetic: weight of a taste that no feature shows
cold: float = 0.0  # share of the items that nobody takes before the test
model: Literal['lirdrec', 'bprmf', 'lightgcn', 'vbpr', 'freedom', 'bm3', 'sum'] = 'lirdrec'  # recommender
items: Literal['features', 'ids', 'both'] = 'features'  # lirdrec: what a row of an item is made of; the paper uses features
pwc: Literal['code', 'logit', 'convex', 'network', 'uniform'] = 'code'  # lirdrec: weights of the branches
dct: Literal['1d', '2d', 'none', 'random'] = '1d'  # lirdrec: transform before the shared branch
pca: int = 0  # lirdrec: keep that many directions of each modality before the encoders; 0: all
neighbours: int = 10  # lirdrec, freedom: of each item in the graph of alike items; lirdrec, 0: no such graph
image_weight: float = 0.1  # lirdrec: α, share of the images in that graph, where there are images and texts
drop: float = 0.0  # lirdrec, lightgcn, freedom: share of the pairs left out of an epoch's training graph
decay_weight: float = 0.9  # lirdrec: ω before the first epoch
decay_base: float = 0.9  # lirdrec: β
dim: int = 64  # length of a row
hidden: int = 256  # lirdrec: width of the encoders
layers: int = 2  # lirdrec, lightgcn, freedom, bm3: of the graph of users and items
reg: float = 0.0001  # weight of the penalty; freedom: of the terms for the modalities; sum: not used
scale: float = 1.0  # sum: root mean square length of a row of features
optimizer: Literal['adam', 'sgd'] = 'adam'  # way of descent
lr: float = 0.001  # learning rate
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

from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TEST, TRAIN, VALID, Interactions
from papers_nb.lirdrec.graph import GraphNet
from papers_nb.lirdrec.metrics import Best, judge, ranked
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
from papers_nb.lirdrec.baselines import BM3, EASE, FREEDOM, VBPR, FreeRows, Popularity, SumRows
from papers_nb.lirdrec.data import cold_items, load, strict_cold
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import by_degree, evaluate

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
shop = load(data, seed, hidden_taste)
if cold: shop = strict_cold(shop, cold, seed)
sizes = {m: x.shape[1] for m, x in shop.features.items()}
pairs = [len(shop.pairs(p)[0]) for p in (TRAIN, VALID, TEST)]
Markdown(f'{shop.users:,} users, {shop.items:,} items, {pairs[0]:,} + {pairs[1]:,} + {pairs[2]:,} pairs; features {", ".join(f"{m} {d}" for m, d in sizes.items())}. '
         f'No training pair is tested: {len(set(zip(*shop.pairs(TRAIN))) & set(zip(*shop.pairs(TEST))))} in common.')

# %%
#| code-fold: true
if not pairs[2]: raise UserError(f'data={data}: no pairs in part {TEST}, so there is nothing to test')

# %% [markdown]
# ## Network

# %%
seed_all(seed, 'init', 0)
def make():
    "The network that the parameters ask for."
    shares = {'image': image_weight, 'text': 1 - image_weight} if shop.features.keys() == {'image', 'text'} else None
    match model:
        case 'lirdrec': return LIRDRecNet(shop, dim, hidden, layers, shares, neighbours, pwc, decay_weight, decay_base, dct, reg, items, drop, pca)
        case 'bprmf': return FreeRows(shop, dim, 0, reg)
        case 'lightgcn': return FreeRows(shop, dim, layers, reg, drop)
        case 'vbpr': return VBPR(shop, dim, reg)
        case 'freedom': return FREEDOM(shop, dim, layers, reg, drop, neighbours)
        case 'bm3': return BM3(shop, dim, layers, reg)
        case 'sum': return SumRows(shop, dim, scale)
net = make().to(run.device)
Markdown(f'{sum(p.numel() for p in net.parameters()):,} parameters; rows of {net.eval()()[0].shape[1]} numbers.')


# %% [markdown]
# ## The loop
#
# `run.steps` resumes, saves and keys the randomness. The best weights by validation recall are kept aside; when they have not changed for more than `patience` epochs the run has had enough. The test part is looked at after every epoch too, and chooses nothing: it is there to show what choosing by it would have seemed to win.

# %%
#| exports
def fit(
    run,                # a run or a Stepper
    net: GraphNet,      # trained in place
    data: Interactions, # pairs of all parts
    best: Best,         # keeps the best weights
    lr: float=1e-3,     # learning rate
    batch: int=2048,    # pairs a step
    epochs: int=40,     # at most
    optimizer: str='adam', # or sgd, without momentum
):
    "Train by triples, rank the validation part after every epoch, stop when it no longer gets better. Source: Rendle et al. 2009; MMRec, `common/trainer.py`."
    if not (data.part == VALID).any(): raise UserError(f'{data.name} has no pairs in part {VALID}, by which the epoch is chosen')
    opt = {'adam': torch.optim.Adam, 'sgd': torch.optim.SGD}[optimizer](net.parameters(), lr)
    user, item = (torch.from_numpy(a).to(run.device) for a in data.pairs(TRAIN))
    negatives, per_epoch, drawn = Negatives(user, item) if net.needs_others else None, -(-len(user)//batch), None
    for step in run.steps(per_epoch*epochs, {'net': net, 'opt': opt, 'best': best}):
        epoch, i = divmod(step, per_epoch)
        if i == 0: net.start_epoch(epoch + 1)
        if epoch != drawn:
            order, drawn = torch.randperm(len(user), generator=generator(run.seed, 'order', epoch)), epoch
            net.redraw(generator(run.seed, 'graph', epoch))
        rows, draws = order[i*batch:(i + 1)*batch].to(run.device), generator(run.seed, 'negatives', step)
        net.train()
        cost = net.loss(user[rows], item[rows], negatives and negatives.draw(user[rows], draws), draws)
        opt.zero_grad()
        cost.backward()
        opt.step()
        row = {'loss': cost.item()}
        if i + 1 == per_epoch:
            lists = ranked(net, data)
            row['recall'] = [judge(lists, *data.pairs(p), (20,))['recall@20'] for p in (VALID, TEST) if (data.part == p).any()]
            row |= {'gradients': [p.grad.norm().item() for p in net.watched()]} | net.seen()
            if best.update(row['recall'][0]): run.enough()
        run.log(**row)


# %% [markdown]
# ## Training

# %%
best = Best(net, patience)

# %%
fit(run, net, shop, best, lr, batch, epochs, optimizer)
len(run.metrics)

# %% [markdown]
# ## What came out

# %%
valid, tested = zip(*(r['recall'] for r in run.metrics if 'recall' in r))
end = net.seen()
net.load_state_dict(best.weights)
lists, chosen = ranked(net, shop), int(np.argmax(valid)) + 1
test = judge(lists, *shop.pairs(TEST))
metrics = {k: (100*test[k], '%') for k in ('recall@20', 'ndcg@20', 'recall@10', 'ndcg@10')}
metrics |= {'valid_recall@20': (100*max(valid), '%'), 'last_recall@20': (100*tested[-1], '%'), 'audit_recall@20': (100*max(tested), '%'), 'best_epoch': (chosen, 'epochs'), 'epochs': (len(valid), 'epochs')}
metrics |= {f'recall@20 {group}': (100*v, '%') for group, v in by_degree(lists, shop).items()}
if cold:
    new = cold_items(shop)
    user, item = (a[new[shop.pairs(TEST)[1]]] for a in shop.pairs(TEST))
    metrics |= {'cold_recall@20': (100*judge(ranked(net, shop, among=new), user, item)['recall@20'], '%'), 'cold_recall@20 among all': (100*judge(lists, user, item)['recall@20'], '%')}
bars = {'popularity': Popularity} | ({'EASE': EASE} if shop.items <= 10_000 else {})
bars = {name: evaluate(bar(shop).scores, shop, TEST) for name, bar in bars.items()}
metrics |= {f'{k} of {name}': (100*bar[k], '%') for name, bar in bars.items() for k in ('recall@20', 'ndcg@20')}
if model == 'sum': metrics |= {name: (value, '1') for name, value in zip(('displacement', 'law'), end['moved'])}
record = run.finish(metrics, selection='the epoch with the best recall@20 on the validation part', weights={'net': net})
run

# %%
#| label: fig-loss
#| fig-cap: "Loss of every step, and recall at 20 after every epoch; the line marks the epoch that is kept, chosen by the validation part."
#| fig-alt: "The loss falls steeply in the first epochs and then slowly; validation recall rises and levels off, test recall rises and then falls a little."
#| classes: figcard
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
left.plot([r['loss'] for r in run.metrics], color=COLORS['blue'])
left.set(xlabel='step', ylabel='loss')
right.plot(np.arange(1, len(valid) + 1), 100*np.array(valid), color=COLORS['green'], label='validation')
right.plot(np.arange(1, len(valid) + 1), 100*np.array(tested), color=COLORS['grey'], label='test')
right.legend()
right.axvline(chosen, color=COLORS['grey'], lw=1)
right.set(xlabel='epoch', ylabel='recall@20 [%]');

# %%
#| label: tbl-result
#| tbl-cap: This run, one seed, against two bars without training. EASE is left out where there are more than 10,000 items.
cost = record['cost']
Markdown('\n'.join([f'| metric | {" | ".join(bars)} | this run |', '|---'*(len(bars) + 2) + '|', *[f'| {k} | ' + ' | '.join(f'{100*bar[k]:.2f} %' for bar in (*bars.values(), test)) + ' |' for k in ('recall@10', 'recall@20', 'ndcg@10', 'ndcg@20')]])
    + f'\n\nChosen on the validation part: epoch {chosen} of {len(valid)}, recall@20 {100*test["recall@20"]:.2f} %. Chosen on the test part, which is not allowed, it would read {100*max(tested):.2f} %. Cost: {cost["wall_s"]:.1f} s on {record["environment"]["device"]}, {cost["peak_mb"]:,} MB at most, {cost["resumes"]} resumes.')

# %% [markdown]
# The paper's learning rate is 0.0001; the default here is ten times that, for so small a set, and no search is shown. The settings of the real sets have the paper's.
#
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
torch.equal(ranked(again, shop), lists)
