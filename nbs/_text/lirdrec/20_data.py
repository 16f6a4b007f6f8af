# %% [markdown]
# # Who took what, and what is known of it
#
# > Interactions in three parts, features of the items, and a set small enough to try everything on.

# %% [markdown]
# Zhou et al. 2025 (LIRDRec), data as the MMRec framework prepares it · 6 minutes · what you need first: nothing

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp lirdrec.data

# %%
#| export
import csv, hashlib, io, re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from papers_nb.core.files import cache, members, npy
from papers_nb.errors import UserError, need

# %%
#| hide
import matplotlib.pyplot as plt
from papers_nb.core.checks import raises
from papers_nb.core.plots import COLORS, theme
theme()

# %% [markdown]
# A recommender sees pairs: this user took that item. Nothing else is known of the users. Of the items there may be pictures and texts, each already turned into a row of numbers by some frozen network. The question of the paper is what those rows are worth.
#
# ## The container

# %%
#| exports
TRAIN, VALID, TEST = 0, 1, 2

@dataclass
class Interactions:
    "Pairs of users and items in three parts, and the features of the items; raises `UserError` for what does not fit together. Source: ours."
    name: str                # of the set
    user: np.ndarray         # user of each pair, (N,)
    item: np.ndarray         # item of each pair, (N,)
    part: np.ndarray         # TRAIN, VALID or TEST, (N,)
    features: Mapping[str, np.ndarray] = field(default_factory=dict) # modality → (items, D)
    users: int = 0           # n_u; one more than the largest id if 0
    items: int = 0           # n_i; likewise, or the number of feature rows

    def __post_init__(self):
        self.user, self.item, self.part = (_whole(n, getattr(self, n)) for n in ('user', 'item', 'part'))
        if len({len(self.user), len(self.item), len(self.part)}) > 1 or not len(self.user): raise UserError(f'{len(self.user)} users, {len(self.item)} items, {len(self.part)} parts: one of each for every pair, and at least one pair')
        if not isinstance(self.features, Mapping) or not all(isinstance(m, str) and m.isidentifier() and m != 'shared' for m in self.features): raise UserError(f'features of {self.name}: a mapping from names (letters and digits, not "shared") to arrays is expected')
        self.features = {m: _finite(m, x) for m, x in self.features.items()}
        self.users = self.users or int(self.user.max()) + 1
        self.items = self.items or (len(next(iter(self.features.values()))) if self.features else int(self.item.max()) + 1)
        for name, ids, n in (('user', self.user, self.users), ('item', self.item, self.items), ('part', self.part, 3)):
            if ids.min() < 0 or ids.max() >= n: raise UserError(f'{name} ids from {ids.min()} to {ids.max()}: 0 to {n - 1} are expected')
        if twice := len(self.user) - len(np.unique(self.user*self.items + self.item)): raise UserError(f'{twice} pairs of user and item occur more than once; drop the repeats')
        for m, x in self.features.items():
            if len(x) != self.items: raise UserError(f'features {m!r} have {len(x)} rows for {self.items} items: one row an item, row number = item id')
        if lost := self.users - len(np.unique(self.user[self.part == TRAIN])): raise UserError(f'{lost} of {self.users} users have no training item; leave them out or give them one')

    def pairs(self,
        part: int, # TRAIN, VALID or TEST
    )->tuple[np.ndarray, np.ndarray]: # users and items, int64
        "The pairs of a part."
        rows = self.part == part
        return self.user[rows], self.item[rows]

    @cached_property
    def by_user(self)->tuple[np.ndarray, np.ndarray]: # users and items, int64
        "The training pairs in order of user."
        user, item = self.pairs(TRAIN)
        order = np.argsort(user, kind='stable')
        return user[order], item[order]

    @property
    def content(self)->str:
        "SHA-256 of the pairs in order of user and item, with their parts. Source: ours."
        order = np.lexsort((self.item, self.user))
        columns = self.user[order].astype('<i4'), self.item[order].astype('<i4'), self.part[order].astype('u1')
        return hashlib.sha256(b''.join(c.tobytes() for c in columns)).hexdigest()

def _whole(name, ids):
    "Ids as int64."
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in 'iu': raise UserError(f'{name} of shape {ids.shape} and type {ids.dtype}: a row of whole numbers is expected')
    return ids.astype(np.int64)

def _finite(name, x):
    "Features as float32; a wider type is cast, and that is said."
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in 'fiub': raise UserError(f'features {name!r} of shape {x.shape} and type {x.dtype}: numbers, one row an item, are expected')
    if x.dtype == np.float64: print(f'features {name!r} are float64 and are cast to float32')
    with np.errstate(over='ignore'): x = np.array(x, dtype=np.float32)
    if not np.isfinite(x).all(): raise UserError(f'features {name!r} hold {int((~np.isfinite(x)).sum())} numbers that are not finite in 32 bits')
    return x


# %%
tiny = Interactions('tiny', [0, 0, 1, 1], [0, 1, 1, 2], [0, 1, 0, 2], {'text': np.eye(3, dtype=np.float32)})
tiny.users, tiny.items, tiny.pairs(TRAIN)

# %% [markdown]
# What it refuses:

# %%
[raises(Interactions, 'x', [0, 1], [0, 1], [0, 0], {'text': np.eye(3)[:1]}), raises(Interactions, 'x', [0, 1], [0, 1], [0, 2]),
 raises(Interactions, 'x', [0, 0], [0, 1], [0, 0], {'text': np.array([[1.], [np.nan]])}), raises(Interactions, 'x', [0, -1], [0, 1], [0, 0])]


# %% [markdown]
# ## Five at least, and a split for each user
#
# Users and items with fewer than five pairs are left out, again and again, until none is. Then every user's pairs are shuffled and the last of them set aside: two if there are fewer than ten, else a fifth, the smaller half of it for validation.

# %%
#| exports
def k_core(
    user: np.ndarray, # (N,)
    item: np.ndarray, # (N,)
    k: int=5,         # fewest pairs of each user and each item
)->np.ndarray: # rows that stay, bool (N,)
    "The largest set of pairs in which every user and item has at least `k`. Source: MMRec, preprocessing."
    keep = np.ones(len(user), bool)
    while True:
        enough = np.bincount(user[keep], minlength=user.max() + 1)[user], np.bincount(item[keep], minlength=item.max() + 1)[item]
        now = keep & (enough[0] >= k) & (enough[1] >= k)
        if (now == keep).all(): return keep
        keep = now

def split_per_user(
    user: np.ndarray,         # (N,)
    rng: np.random.Generator, # shuffles
)->np.ndarray: # part of each pair, int8 (N,)
    "Random parts for each user: of n pairs the last n//5 (2 if n < 10), the smaller half of them for validation. Source: MMRec, preprocessing."
    order = rng.permutation(len(user))
    order = order[np.argsort(user[order], kind='stable')]
    n = np.bincount(user)[user[order]]
    starts = np.r_[0, np.cumsum(np.bincount(user))[:-1]]
    from_end = n - (np.arange(len(user)) - starts[user[order]])
    aside = np.where(n < 10, 2, n//5)
    part = np.empty(len(user), np.int8)
    part[order] = np.where(from_end > aside, TRAIN, np.where(from_end > aside - aside//2, VALID, TEST))
    return part


# %%
counts = {n: np.bincount(split_per_user(np.zeros(n, int), np.random.default_rng(0)), minlength=3).tolist() for n in (5, 9, 10, 15, 23)}
counts


# %% [markdown]
# ## A set made up
#
# Real features of shops are large and not ours to give. For trying things out a set is drawn from a model in which the truth is known: items have taste factors that both modalities show, some that only one shows, and popularity; users choose by utility and chance. The two modalities are noisy, squashed mixtures of the factors.

# %%
#| exports
def synthetic(
    seed: int=0,     # of everything
    users: int=1500, # n_u
    items: int=600,  # n_i, before the five-core
    hidden: float=0.,# weight of a taste that no feature shows
)->Interactions:
    "A made-up set with two modalities, 128 and 48 numbers an item. Source: ours."
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal
    shared, image, text, unseen = normal((items, 8)), normal((items, 4)), normal((items, 4)), normal((items, 4))
    show = lambda own, size: np.tanh(np.c_[shared, own] @ normal((12, size))/12**.5) + .6*normal((items, size))
    features = {'image': show(image, 128), 'text': show(text, 48)}
    taste = normal((users, 8)) @ shared.T/8**.5 + .25*normal((users, 4)) @ image.T + .25*normal((users, 4)) @ text.T + hidden*normal((users, 4)) @ unseen.T
    utility = 1.5*taste - .5*np.log(rng.permutation(items) + 1) + rng.gumbel(size=(users, items))
    many = 4 + rng.geometric(.25, users)
    user = np.repeat(np.arange(users), many)
    item = np.concatenate([np.argsort(-u)[:n] for u, n in zip(utility, many)])
    keep = k_core(user, item)
    if not keep.any(): raise UserError(f'users={users}, items={items}: too few for anybody to keep five pairs')
    ids, user = np.unique(user[keep], return_inverse=True)
    kept, item = np.unique(item[keep], return_inverse=True)
    return Interactions('synthetic', user, item, split_per_user(user, rng), {m: x[kept].astype(np.float32) for m, x in features.items()}, len(ids), len(kept))


# %%
made = synthetic()
made.users, made.items, [len(made.pairs(p)[0]) for p in (TRAIN, VALID, TEST)], {m: x.shape for m, x in made.features.items()}

# %%
#| label: fig-popularity
#| fig-cap: "Training pairs of each item of the made-up set, most popular first."
#| fig-alt: "One item is taken by more than a hundred and fifty users, most by less than twenty: the long tail of every shop."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.plot(np.sort(np.bincount(made.pairs(TRAIN)[1], minlength=made.items))[::-1], color=COLORS['blue'])
ax.set(xlabel='item, by popularity', ylabel='training pairs', yscale='log');


# %% [markdown]
# ## From your own tables
#
# Interactions come as this class, as a table with columns `user`, `item` and perhaps `part`, as the text file of MMRec (`userID itemID rating timestamp x_label`, parts 0, 1, 2), or as an `.npz` with `user`, `item` and `split`. Ids are whole numbers from 0, item ids the rows of the features. Without parts the split above is drawn. Features are arrays or `.npy` files; nothing is ever unpickled.

# %%
#| exports
def read_interactions(
    source,          # an Interactions, a table, or the path of an .inter or .npz file
    features=None,   # modality → array or path of an .npy file; those of an Interactions if None
    seed: int=0,     # of the split, where the source has none
)->Interactions:
    "Interactions from whatever a user has; raises `UserError` saying what was expected. Source: ours; file formats of MMRec."
    if isinstance(source, Interactions):
        if features is None: return source
        columns, name, sizes = (source.user, source.item, source.part), source.name, (source.users, source.items)
    else: columns, name, sizes = _columns(source), Path(source).stem if isinstance(source, (str, Path)) else 'table', (0, 0)
    user, item, part = columns
    user = _whole('user', user)
    if part is None and user.min(initial=0) < 0: raise UserError(f'user ids from {user.min()}: whole numbers from 0 are expected')
    part = split_per_user(user, np.random.default_rng(seed)) if part is None else part
    if features is not None and not isinstance(features, Mapping): raise UserError(f'features of type {type(features).__name__}: a mapping from names to arrays or .npy files is expected')
    if features: features = {m: npy(x) if isinstance(x, (str, Path)) else x for m, x in features.items()}
    return Interactions(name, user, item, part, features or {}, *sizes)

def _columns(source):
    "User, item and part, or None for part."
    names = ('user', 'item', 'part')
    if isinstance(source, (str, Path)):
        file = Path(source)
        if not file.exists(): raise UserError(f'{file} does not exist')
        if file.suffix == '.npz': source, names = _npz(file), ('user', 'item', 'split')
        elif file.suffix == '.inter': source, names = _inter(file), ('userID', 'itemID', 'x_label')
        else: raise UserError(f'{file}: an .inter or .npz file is expected')
    found = list(source.keys()) if hasattr(source, 'keys') else []
    if missing := [n for n in names[:2] if n not in found]: raise UserError(f'the interactions have no column {missing[0]!r}; there are {", ".join(map(str, found)) or "none"}')
    return tuple(np.asarray(source[n]) if n in found else None for n in names)

def _npz(file):
    "The arrays of a file, never unpickled."
    try: return dict(np.load(file, allow_pickle=False))
    except Exception as e: raise UserError(f'{file} is not a whole .npz file of numbers ({" ".join(str(e).split())})') from None

def _inter(file):
    "The columns of a tab-separated file with a header."
    head, *lines = file.read_text(encoding='utf-8', errors='replace').splitlines() or ['']
    names, rows = head.split('\t'), [line.split('\t') for line in lines if line]
    if wrong := [k for k, r in enumerate(rows, 2) if len(r) != len(names)]: raise UserError(f'{file}, line {wrong[0]}: {len(names)} columns are expected, as in the header')
    try: return {n: np.array([int(r[k]) for r in rows]) for k, n in enumerate(names) if n in ('userID', 'itemID', 'x_label')}
    except ValueError as e: raise UserError(f'{file}: ids and x_label are whole numbers ({e})') from None


# %%
mine = read_interactions({'user': [0]*6 + [1]*5, 'item': [0, 1, 2, 3, 4, 5, 0, 2, 4, 6, 7]}, {'text': np.ones((8, 2), np.float32)})
mine.users, mine.items, np.bincount(mine.part).tolist()

# %%
raises(read_interactions, {'user': [0], 'product': [1]}), raises(read_interactions, 'shop.csv')

# %% [markdown]
# ## MovieLens
#
# A real set, small and free for research: 610 people and the movies they rated, every rating taken as a yes. Its titles and genres make two weak modalities: letters of the title, and genre with decade. GroupLens calls the archive *latest*, which is no fixed file; so what is verified is what is left of it after the five-core.

# %%
#| exports
MOVIELENS = 'https://files.grouplens.org/datasets/movielens/ml-latest-small.zip'
MOVIELENS_CORE = 'c89d9d04d705a9a78564fb504c9145404e2e421c0a4775519f2b7af7e5c49050' # SHA-256 of the pairs of the five-core, in MovieLens' ids

def movielens(
    features: bool=True, # also make them, which needs scikit-learn
)->Interactions:
    "MovieLens small, five-core, split by `default_rng(999)`; downloaded once. Cite Harper and Konstan 2015; research use, no commercial use without permission."
    files = members(_archive(), limit=10**8)
    ratings, movies = (_csv(files, f'ml-latest-small/{name}.csv') for name in ('ratings', 'movies'))
    user, movie = (np.array([int(r[k]) for r in ratings]) for k in ('userId', 'movieId'))
    keep = k_core(user, movie)
    user, movie = user[keep], movie[keep]
    order = np.lexsort((movie, user))
    found = hashlib.sha256(user[order].astype('<i4').tobytes() + movie[order].astype('<i4').tobytes()).hexdigest()
    if found != MOVIELENS_CORE: raise UserError(f'the five-core of {_archive()} has checksum {found[:8]}, expected {MOVIELENS_CORE[:8]}: GroupLens may have changed its latest release')
    _, user = np.unique(user[order], return_inverse=True)
    ids, item = np.unique(movie[order], return_inverse=True)
    about = {int(r['movieId']): r for r in movies}
    rows = [about[i] for i in ids.tolist()]
    return Interactions('movielens-small', user, item, split_per_user(user, np.random.default_rng(999)), _movie_features(rows) if features else {})

def _archive():
    "The archive in the cache, downloaded if it is not there."
    path = cache()/'ml-latest-small.zip'
    if path.exists(): return path
    cache().mkdir(parents=True, exist_ok=True)
    with need('filelock', 'run').FileLock(cache()/'movielens-small.lock'):
        try: path.exists() or need('pooch', 'run').retrieve(MOVIELENS, known_hash=None, fname=path.name, path=cache(), progressbar=True)
        except OSError as e: raise UserError(f'cannot download MovieLens ({type(e).__name__}); put ml-latest-small.zip from {MOVIELENS} into {cache()} by hand') from None
    return path

def _csv(files, name):
    "The rows of a table in an archive, as dicts."
    if name not in files: raise UserError(f'ml-latest-small.zip holds no {name}; delete it to fetch it again')
    return list(csv.DictReader(io.StringIO(files[name].decode('utf-8'))))

def _movie_features(rows):
    "Letters of the title by TF-IDF in 64 directions; genres and decade, one-hot."
    text, decomposition = need('sklearn.feature_extraction.text', 'run'), need('sklearn.decomposition', 'run')
    letters = text.TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 4), min_df=3).fit_transform([r['title'] for r in rows])
    years = [re.search(r'\((\d{4})\)', r['title']) for r in rows]
    words = [[*r['genres'].split('|'), f'decade {int(y[1])//10 if y else 0}'] for r, y in zip(rows, years)]
    names = sorted({w for ws in words for w in ws})
    meta = np.array([[n in ws for n in names] for ws in words], dtype=np.float32)
    return {'text': decomposition.TruncatedSVD(64, random_state=0).fit_transform(letters).astype(np.float32), 'meta': meta}


# %% [markdown]
# ## The sets of the paper
#
# Baby, Sports, Clothing and Electronics (Amazon 2014, prepared by MMRec) and MicroLens cannot be given away: their licence is unknown, or forbids it. Put MMRec's files into a folder of the cache with the name of the set: `baby/baby.inter`, `baby/image_feat.npy`, `baby/text_feat.npy`. Interactions alone are enough for recommenders without features, also as one `.npz` file with `user`, `item` and `split`. Where we know the checksum of a file that others have used, another one is said, and stays in the record of every run.

# %%
#| exports
SUPPLIED = {'baby': 'baby', 'sports': 'sports', 'clothing': 'clothing', 'electronics': 'elec', 'microlens': 'microlens'} # set → stem of its .inter file
KNOWN = { # SHA-256, as a third party found them in 2026; beginnings where no more is known
    'baby/baby.inter': 'e0abb033ea5cc538bb2becd8c3dc50b619f28f7974ba61f5ed11ce27cf405940',
    'baby/image_feat.npy': '36c3be592b98506189a7d5de71b21577cf626f0293b539d861534673b3e9fd70',
    'baby/text_feat.npy': '6667f2ad655c9ecc97cb3383f58988864ef51ec0b39c158b15986c66769f2dc4',
    'sports/sports.inter': 'b8a43979c7984a01a8ab9713ea29a3cf13a65b1784dbadc2162fa932daf1c6a0',
    'sports/text_feat.npy': '27d6087f0d8644b8245c60052425530c6446dffe61024b8126db0009ad94de84',
    'clothing/clothing.inter': '1d142e4d14079cc509ac2003978eb945f7759d8875d003345cbc863dc303235a',
    'clothing/text_feat.npy': '17d9e036514283fb0a0dda71789fe56d0c128b60d8f350e7b7ab83ac4c5960dd',
    'electronics/elec.inter': '3586c6ab2d4b2a7a0f69c5f6149dbdf7a229a092c37cfee1244f49734afa8fb5',
    'microlens/microlens.inter': 'bdc0bda6', 'microlens/image_feat.npy': '39de7154', 'microlens/text_feat.npy': '40d087f7'}

def _supplied(name):
    "The files of a set in the cache: that of the interactions, then those of the features."
    folder, stem = cache()/name, SUPPLIED[name]
    pairs = [f for f in (folder/f'{stem}.inter', *sorted(folder.glob('*.npz'))) if f.exists()]
    if len(pairs) > 1: raise UserError(f'{folder} has {" and ".join(f.name for f in pairs)}: one file of interactions is expected')
    if not pairs: raise UserError(f'{folder} has neither {stem}.inter nor an .npz file of interactions; put the files of MMRec there: {stem}.inter, image_feat.npy, text_feat.npy')
    return [*pairs, *(f for f in (folder/'image_feat.npy', folder/'text_feat.npy') if f.exists())]

@lru_cache
def _sum(file, changed):
    "SHA-256 of a file, read once as long as it does not change."
    with file.open('rb') as f: return hashlib.file_digest(f, 'sha256').hexdigest()

def supplied(
    name: str, # one of SUPPLIED
)->Interactions:
    "A set whose files the user has put into the cache; raises `UserError` for missing and malformed ones. Source: file formats of MMRec."
    if '(' in (known := identity(name)): print(f'{name}: {known.split("(")[1][:-1]}')
    pairs, *features = _supplied(name)
    found = read_interactions(pairs, {f.name.split('_')[0]: f for f in features})
    return Interactions(name, found.user, found.item, found.part, found.features, found.users, found.items)

def identity(
    name: str, # one of SUPPLIED
)->str: # 16 hex digits over all files, then those whose checksum is not the known one
    "What a run stores as the identity of a supplied set. Source: ours."
    sums = {f'{name}/{f.name}': _sum(f, f.stat().st_mtime_ns) for f in _supplied(name)}
    other = [f.split('/')[1] for f, s in sums.items() if not s.startswith(KNOWN.get(f, ''))]
    return hashlib.sha256(' '.join(f'{f.split("/")[1]}:{s}' for f, s in sums.items()).encode()).hexdigest()[:16] + (f' ({", ".join(other)} other than known)' if other else '')


# %% [markdown]
# ## Items nobody has taken yet
#
# In a strictly cold set some items are moved out of training and validation with all their pairs: whoever recommends them knows nothing but their features. Users whom that leaves without a training pair are left out.

# %%
#| exports
def strict_cold(
    data: Interactions, # any set
    share: float=.2,    # of the items that become cold
    seed: int=0,        # draws them
)->Interactions: # all pairs of the cold items are in its test part
    "A set in which some items, and those that had no training pair anyway, occur in the test part alone. Source: ours; the paper's protocol is not known to us."
    many = round(share*data.items) if 0 < share < 1 else 0
    if not 0 < many < data.items: raise UserError(f'share={share}: between 0 and 1, so that some of the {data.items} items become cold and some do not')
    cold = np.zeros(data.items, bool)
    cold[np.random.default_rng(seed).permutation(data.items)[:many]] = True
    keep = np.isin(data.user, data.user[~cold[data.item] & (data.part == TRAIN)])
    if not keep.any(): raise UserError(f'share={share} leaves no user a training item')
    warm = np.isin(data.item, data.item[keep & ~cold[data.item] & (data.part == TRAIN)])
    part = np.where(warm, data.part, TEST)
    return Interactions(data.name, np.unique(data.user[keep], return_inverse=True)[1], data.item[keep], part[keep], data.features, items=data.items)

def cold_items(data: Interactions)->np.ndarray: # bool (n_i,)
    "Items without a training pair."
    return np.bincount(data.pairs(TRAIN)[1], minlength=data.items) == 0


# %%
colder = strict_cold(made)
int(cold_items(colder).sum()), [len(colder.pairs(p)[0]) for p in (TRAIN, VALID, TEST)]

# %% [markdown]
# ## By name

# %%
#| exports
SETS = ('synthetic', 'movielens-small', *SUPPLIED)

def load(
    name: str,    # one of SETS
    seed: int=0,  # of what is drawn; a real set is the same for every seed
    hidden: float=0., # synthetic: weight of a taste that no feature shows
)->Interactions:
    "A set by name; raises `UserError` listing those that exist."
    if name not in SETS: raise UserError(f'no data set {name!r}; there are {", ".join(SETS)}')
    if hidden and name != 'synthetic': raise UserError(f'hidden={hidden}: only the made-up set has a hidden taste')
    return synthetic(seed, hidden=hidden) if name == 'synthetic' else movielens() if name == 'movielens-small' else supplied(name)

def checksum(
    name: str, # one of SETS
)->str: # 16 hex digits; for a supplied set also what is other than known
    "What a run stores as the identity of its data; a set that is drawn is known by its first draw. Source: ours."
    return identity(name) if name in SUPPLIED else MOVIELENS_CORE[:16] if name == 'movielens-small' else load(name).content[:16]


# %%
checksum('synthetic'), checksum('movielens-small')

# %%
raises(load, 'netflix'), raises(load, 'movielens-small', hidden=1.)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.data`. [The two graphs](22_graph.ipynb) are made from the training part, [the measures](23_metrics.ipynb) from the others.
