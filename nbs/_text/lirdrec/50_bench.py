# ---
# skip_exec: true
# ---

# %% [markdown]
# # What a step of the recommender costs
#
# > Time of a training step, of a validation pass and of the set-up at the size of a real shop, against the part that cannot be avoided.

# %% [markdown]
# Ours · 4 minutes · what you need first: [the recommender](21_lirdrec.ipynb), [its arithmetic](14_propagation.ipynb). Made by `make bench`, not by the tests: a time belongs to a machine, a ratio less so.

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from papers_nb.core.bench import agree, machine, spread, turns
from papers_nb.core.plots import COLORS, theme
from papers_nb.core.tables import table
from papers_nb.lirdrec.data import TRAIN, VALID, Interactions
from papers_nb.lirdrec.graph import nearest
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import judge, ranked
from papers_nb.lirdrec.sampling import Negatives
from papers_nb.lirdrec.transform import transform


# %% [markdown]
# ## A shop of the true size
#
# Users, items, pairs and numbers of features are those of the Amazon set *Baby*: 19,445, 7,050, 118,551 in training, 4,096 and 384. The pairs are drawn, popular items more often, and the features are random numbers. **Nothing on this page says how good a list is.**

# %%
def shop(seed=0, users=19_445, items=7_050, pairs=118_551, later=20_000):
    """Interactions of that size; every user has a training pair, and the popularity of
    items falls as one over the rank."""
    rng = np.random.default_rng(seed)
    odds = 1/np.arange(1, items + 1)
    user = np.r_[np.arange(users), rng.integers(0, users, 2*(pairs + later))]
    item = rng.permutation(items)[rng.choice(items, len(user), p=odds/odds.sum())]
    _, first = np.unique(user*items + item, return_index=True)
    first = np.sort(first)[:pairs + later]
    part = np.r_[np.full(pairs, TRAIN), np.full(later, VALID)]
    features = {
        'image': rng.standard_normal((items, 4096), dtype=np.float32),
        'text': rng.standard_normal((items, 384), dtype=np.float32)}
    name, user, item = 'size of Baby', user[first], item[first]
    return Interactions(name, user, item, part, features, users, items)

torch.set_num_threads(1)
theme()
data = shop()
Markdown(f'{data.users:,} users, {data.items:,} items, '
         f'{(data.part == TRAIN).sum():,} training pairs. {machine()}; '
         'medians over turns, with their middle half in brackets.')

# %% [markdown]
# [All candidates do their work in turn](../core/bench.ipynb), again and again, so that a busy moment of the machine hits all of them.
#
# ## A training step
#
# The floor is four products of the features with weights, two forward and two backward: each of the two encoders of a modality and the shared one sees its features once in each direction. The same step is timed with features reduced to their 256 strongest directions before the encoders (`pca=256`), whose cost in accuracy was measured [on a small set only](41_tables.ipynb), and by a graph that is one large matrix in coordinates instead of two in compressed rows.

# %%
user, item = (torch.from_numpy(a) for a in data.pairs(TRAIN))
negatives = Negatives(user, item)

def trainer(net):
    "One training step of a network, negatives included."
    opt = torch.optim.Adam(net.parameters(), 1e-4)
    draws = torch.Generator().manual_seed(0)
    net.start_epoch(1)
    def step():
        rows = torch.randint(len(user), (2048,), generator=draws)
        net.train()
        cost = net.loss(user[rows], item[rows], negatives.draw(user[rows], draws))
        opt.zero_grad()
        cost.backward()
        opt.step()
    return step

class Coordinates:
    "The graph as one matrix over users and items, as the official code has it."
    def __init__(self, graph):
        r, (n, m) = graph.r.to_sparse_coo(), graph.shape
        rows, columns = r.indices()
        both = torch.cat([rows, columns + n]), torch.cat([columns + n, rows])
        values, size = r.values().repeat(2), (n + m, n + m)
        self.a = torch.sparse_coo_tensor(torch.stack(both), values, size).coalesce()
        self.sizes, self.layers = (n, m), graph.layers

    def __call__(self, u, i):
        "Sum over 0 to L layers."
        now = total = torch.cat([u, i])
        for _ in range(self.layers):
            now = torch.sparse.mm(self.a, now)
            total = total + now
        return total.split(self.sizes)

x = torch.cat([torch.from_numpy(a) for a in data.features.values()], 1)
w, g = torch.randn(4480, 256), torch.randn(7050, 256)
def floor():
    "Two products forward and two backward."
    for _ in range(2):
        x @ w
        x.T @ g

torch.manual_seed(0)
nets = {'LIRDRec': LIRDRecNet(data), 'pca=256': LIRDRecNet(data, pca=256)}
u = torch.randn(data.users, 192, requires_grad=True)
i = torch.randn(data.items, 192, requires_grad=True)
graphs = {'rows': nets['LIRDRec'].graph}
graphs['coordinates'] = Coordinates(graphs['rows'])
def propagate(graph):
    "Forward and backward of the graph alone."
    return lambda: sum(t.sum() for t in graph(u, i)).backward()

def draw():
    "The negatives of a step."
    return negatives.draw(user[:2048], torch.Generator().manual_seed(0))

outputs = {name: lambda graph=graph: graph(u, i) for name, graph in graphs.items()}
same = agree(outputs, 1e-4)
times = turns({
    'floor': floor,
    **{name: trainer(net) for name, net in nets.items()},
    'draws': draw,
    **{name: propagate(graph) for name, graph in graphs.items()}})
same

# %%
#| label: tbl-step
#| tbl-cap: "A training step and its parts."
#| code-fold: true
names = {
    'LIRDRec': 'a whole step',
    'floor': 'the floor: four products',
    'pca=256': 'a whole step with 256 directions a modality',
    'draws': 'of it: 2,048 negatives',
    'rows': 'of it: the graph, forward and backward, two matrices in compressed rows',
    'coordinates': 'the same by one matrix in coordinates'}
whole_step = times['LIRDRec']
lines = [[said, spread(times[n], 4 if n == 'draws' else 3), spread(times[n]/whole_step)]
         for n, said in names.items()]
Markdown(table(lines, ['what', 'seconds', 'of a whole step']))

# %%
#| label: fig-step
#| fig-cap: "Median seconds of a training step, of the four products that it cannot do without as long as all features are used, and of the graph in it."
#| fig-alt: "Most of a step is the floor of four products; reducing the features to 256 directions saves most of it; the graph takes a small part, and a little more as one matrix in coordinates."
#| classes: figcard
#| code-fold: true
shown = {
    'LIRDRec': ('a whole step', 'blue'),
    'floor': ('the floor', 'grey'),
    'pca=256': ('a whole step with 256 directions a modality', 'sky'),
    'rows': ('graph, compressed rows', 'green'),
    'coordinates': ('graph, coordinates', 'orange')}
labels, colors = zip(*shown.values())
fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.barh(labels, [np.median(times[n]) for n in shown], color=[COLORS[c] for c in colors])
ax.invert_yaxis()
ax.set(xlabel='seconds');

# %% [markdown]
# ## A validation pass
#
# Scores of all users and items, the 50 best of each, training pairs left out, ties by id; then recall, NDCG, precision and MAP. Beside it the scores and a plain `topk` alone.

# %%
net = nets['LIRDRec'].eval()
with torch.no_grad():
    rows_u, rows_i = net()

def plain():
    "Scores and the 50 best, ties in whatever order."
    for part in rows_u.split(512):
        (part @ rows_i.T).topk(50, 1)

def whole():
    "A validation pass as the training does it."
    judge(ranked(net, data, k=50), *data.pairs(VALID), (10, 20, 50))

def forward():
    "The rows of all users and items."
    with torch.no_grad():
        net()

passes = turns({
    'the whole pass': whole,
    'of it: rows of users and items': forward,
    'scores and a plain topk alone': plain}, warm=1)

# %%
#| label: tbl-valid
#| tbl-cap: "A validation pass with lists of 50."
#| code-fold: true
Markdown(table([[said, spread(t)] for said, t in passes.items()], ['what', 'seconds']))

# %% [markdown]
# ## Set-up
#
# Done once for a run.

# %%
images = torch.from_numpy(data.features['image'])
setup = turns({
    'all but the graph of alike items': lambda: LIRDRecNet(data, neighbours=0),
    'of it: the cosine transform of the images': lambda: transform(images),
    'the graph of alike items': lambda: nearest(images)}, warm=1)

# %%
#| label: tbl-setup
#| tbl-cap: "Set-up, seconds."
#| code-fold: true
Markdown(table([[said, spread(t)] for said, t in setup.items()], ['what', 'seconds']))

# %%
#| echo: false
GOALS = {
    'a step': (whole_step, 1.),
    'a validation pass': (passes['the whole pass'], 1.5),
    'the set-up besides neighbours': (setup['all but the graph of alike items'], .5)}

def reached(name, seconds, goal):
    "A goal, and whether it is kept."
    took = np.median(seconds)
    said = 'reached' if took <= goal else '**not reached**'
    return f'{name} in at most {goal:g} s: {took:.2f} s, {said}'

share = np.median(times['floor']/whole_step)
most = np.median(whole_step/times['floor'])
Markdown(
    'Goals that were set before measuring, for one core: '
    + '; '.join(reached(name, *goal) for name, goal in GOALS.items())
    + f'. The floor is {100*share:.0f} % of a step, so that no rewriting of the rest '
    f'can gain more than {most:.1f} times.')

# %% [markdown]
# ## What may not be concluded
#
# Anything about a GPU: there the products shrink and the sparse ones and the ranking weigh more. And nothing about the official code, which was not run.
