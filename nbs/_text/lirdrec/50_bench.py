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
import platform, time
import numpy as np, torch, matplotlib.pyplot as plt
from IPython.display import Markdown
from papers_nb.core.plots import COLORS, theme
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
    "Interactions of that size; every user has a training pair, and the popularity of items falls as one over the rank."
    rng = np.random.default_rng(seed)
    odds = 1/np.arange(1, items + 1)
    user = np.r_[np.arange(users), rng.integers(0, users, 2*(pairs + later))]
    item = rng.permutation(items)[rng.choice(items, len(user), p=odds/odds.sum())]
    _, first = np.unique(user*items + item, return_index=True)
    first = np.sort(first)[:pairs + later]
    part = np.r_[np.full(pairs, TRAIN), np.full(later, VALID)]
    features = {'image': rng.standard_normal((items, 4096), dtype=np.float32), 'text': rng.standard_normal((items, 384), dtype=np.float32)}
    return Interactions('size of Baby', user[first], item[first], part, features, users, items)

torch.set_num_threads(1)
theme()
data = shop()
Markdown(f'{data.users:,} users, {data.items:,} items, {(data.part == TRAIN).sum():,} training pairs. {platform.processor() or platform.machine()}, one thread, torch {torch.__version__}; medians over turns, with their middle half in brackets.')


# %% [markdown]
# ## How it is measured
#
# All candidates do their work in turn, again and again, so that a busy moment of the machine hits all of them.

# %%
def turns(candidates, repeats=15, warm=2):
    "Seconds of every candidate in every turn, (repeats,) each."
    found = {name: [] for name in candidates}
    for _ in range(repeats + warm):
        for name, f in candidates.items():
            start = time.perf_counter()
            f()
            found[name].append(time.perf_counter() - start)
    return {name: np.array(v[warm:]) for name, v in found.items()}

def spread(a, digits=2):
    "Median and middle half."
    low, mid, high = np.percentile(a, (25, 50, 75))
    return f'{mid:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})'


# %% [markdown]
# ## A training step
#
# The floor is four products of the features with weights, two forward and two backward: each of the two encoders of a modality and the shared one sees its features once in each direction. The same step is timed with features reduced to their 256 strongest directions before the encoders (`pca=256`), whose cost in accuracy was measured [on a small set only](41_tables.ipynb), and by a graph that is one large matrix in coordinates instead of two in compressed rows.

# %%
user, item = (torch.from_numpy(a) for a in data.pairs(TRAIN))
negatives = Negatives(user, item)

def trainer(net):
    "One training step of a network, negatives included."
    opt, draws = torch.optim.Adam(net.parameters(), 1e-4), torch.Generator().manual_seed(0)
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
    "The graph as one matrix over users and items together, as the official code has it."
    def __init__(self, graph):
        r, (n, m) = graph.r.to_sparse_coo(), graph.shape
        rows, columns = r.indices()
        self.a = torch.sparse_coo_tensor(torch.stack([torch.cat([rows, columns + n]), torch.cat([columns + n, rows])]), r.values().repeat(2), (n + m, n + m)).coalesce()
        self.sizes, self.layers = (n, m), graph.layers

    def __call__(self, u, i):
        "Sum over 0 to L layers."
        now = total = torch.cat([u, i])
        for _ in range(self.layers):
            now = torch.sparse.mm(self.a, now)
            total = total + now
        return total.split(self.sizes)

x, w, g = torch.cat([torch.from_numpy(a) for a in data.features.values()], 1), torch.randn(4480, 256), torch.randn(7050, 256)
def floor():
    "Two products forward and two backward."
    for _ in range(2):
        x @ w
        x.T @ g

torch.manual_seed(0)
nets = {'LIRDRec': LIRDRecNet(data), 'pca=256': LIRDRecNet(data, pca=256)}
u, i = torch.randn(data.users, 192, requires_grad=True), torch.randn(data.items, 192, requires_grad=True)
coordinates = Coordinates(nets['LIRDRec'].graph)
def propagate(graph):
    "Forward and backward of the graph alone."
    return lambda: sum(t.sum() for t in graph(u, i)).backward()

same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(nets['LIRDRec'].graph(u, i), coordinates(u, i))]
times = turns({'floor': floor, **{n: trainer(net) for n, net in nets.items()}, 'draws': lambda: negatives.draw(user[:2048], torch.Generator().manual_seed(0)), 'rows': propagate(nets['LIRDRec'].graph), 'coordinates': propagate(coordinates)})
same

# %%
#| label: tbl-step
#| tbl-cap: "A training step and its parts."
names = {'LIRDRec': 'a whole step', 'floor': 'the floor: four products', 'pca=256': 'a whole step with 256 directions a modality', 'draws': 'of it: 2,048 negatives', 'rows': 'of it: the graph, forward and backward, two matrices in compressed rows', 'coordinates': 'the same by one matrix in coordinates'}
Markdown('\n'.join(['| what | seconds | of a whole step |', '|---|---|---|', *[f'| {names[n]} | {spread(times[n], 4 if n == "draws" else 3)} | {spread(times[n]/times["LIRDRec"])} |' for n in names]]))

# %%
#| label: fig-step
#| fig-cap: "Median seconds of a training step, of the four products that it cannot do without as long as all features are used, and of the graph in it."
#| fig-alt: "Most of a step is the floor of four products; reducing the features to 256 directions saves most of it; the graph takes a small part, and a little more as one matrix in coordinates."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.8))
order = ['LIRDRec', 'floor', 'pca=256', 'rows', 'coordinates']
ax.barh([names[n].split(':')[0] if n not in ('rows', 'coordinates') else {'rows': 'graph, compressed rows', 'coordinates': 'graph, coordinates'}[n] for n in order], [np.median(times[n]) for n in order], color=[COLORS[c] for c in ('blue', 'grey', 'sky', 'green', 'orange')])
ax.invert_yaxis()
ax.set(xlabel='seconds');

# %% [markdown]
# ## A validation pass
#
# Scores of all users and items, the 50 best of each, training pairs left out, ties by id; then recall, NDCG, precision and MAP. Beside it the scores and a plain `topk` alone.

# %%
net = nets['LIRDRec'].eval()
with torch.no_grad(): rows_u, rows_i = net()
def plain():
    "Scores and the 50 best, ties in whatever order."
    for part in rows_u.split(512): (part @ rows_i.T).topk(50, 1)
def whole():
    "A validation pass as the training does it."
    judge(ranked(net, data, k=50), *data.pairs(VALID), (10, 20, 50))
def forward():
    "The rows of all users and items."
    with torch.no_grad(): net()
passes = turns({'whole': whole, 'rows': forward, 'plain': plain}, 8, 1)

# %%
#| label: tbl-valid
#| tbl-cap: "A validation pass with lists of 50."
said = {'whole': 'the whole pass', 'rows': 'of it: rows of users and items', 'plain': 'scores and a plain topk alone'}
Markdown('\n'.join(['| what | seconds |', '|---|---|', *[f'| {said[n]} | {spread(v)} |' for n, v in passes.items()]]))

# %% [markdown]
# ## Set-up
#
# Done once for a run.

# %%
images = torch.from_numpy(data.features['image'])
setup = turns({'all but the graph of alike items': lambda: LIRDRecNet(data, neighbours=0), 'of it: the cosine transform of the images': lambda: transform(images), 'the graph of alike items': lambda: nearest(images)}, 3, 1)

# %%
#| label: tbl-setup
#| tbl-cap: "Set-up, seconds."
Markdown('\n'.join(['| what | seconds |', '|---|---|', *[f'| {n} | {spread(v)} |' for n, v in setup.items()]]))

# %%
#| echo: false
goals = [('a step', np.median(times['LIRDRec']), 1.), ('a validation pass', np.median(passes['whole']), 1.5), ('the set-up besides neighbours', np.median(setup['all but the graph of alike items']), .5)]
Markdown('Goals that were set before measuring, for one core: ' + '; '.join(f'{n} in at most {g:g} s: {v:.2f} s, {"reached" if v <= g else "**not reached**"}' for n, v, g in goals)
    + f'. The floor is {100*np.median(times["floor"]/times["LIRDRec"]):.0f} % of a step, so that no rewriting of the rest can gain more than {np.median(times["LIRDRec"]/times["floor"]):.1f} times.')

# %% [markdown]
# ## What may not be concluded
#
# Anything about a GPU: there the products shrink and the sparse ones and the ranking weigh more. And nothing about the official code, which was not run.
