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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from papers_nb.core.files import Card, DataSet, cache, download, identity, members
from papers_nb.core.files import npy, npz
from papers_nb.errors import UserError, need

# %%
#| hide
import matplotlib.pyplot as plt
from IPython.display import Markdown
from papers_nb.core.checks import raises
from papers_nb.core.files import card_table, file_table
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
    """Pairs of users and items in three parts, and the features of the items.

    Raises `UserError` for what does not fit together. Source: ours."""
    name: str                # of the set
    user: np.ndarray         # user of each pair, (N,)
    item: np.ndarray         # item of each pair, (N,)
    part: np.ndarray         # TRAIN, VALID or TEST, (N,)
    # modality → (items, D)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    users: int = 0           # n_u; one more than the largest id if 0
    items: int = 0           # n_i; likewise, or the number of feature rows

    def __post_init__(self):
        self.user = _whole('user', self.user)
        self.item = _whole('item', self.item)
        self.part = _whole('part', self.part)
        self._one_of_each()
        self.features = _features(self.name, self.features)
        rows = [len(x) for x in self.features.values()]
        self.users = self.users or int(self.user.max()) + 1
        self.items = self.items or (rows[0] if rows else int(self.item.max()) + 1)
        self._ids_fit()
        self._rows_fit()
        self._users_train()

    def _one_of_each(self):
        "Refuse columns of different lengths, and none."
        n = len(self.user), len(self.item), len(self.part)
        if len(set(n)) > 1 or not n[0]:
            raise UserError(f'{n[0]} users, {n[1]} items, {n[2]} parts: '
                            'one of each for every pair, and at least one pair')

    def _ids_fit(self):
        "Refuse ids that are out of range, and pairs that repeat."
        columns = (('user', self.user, self.users), ('item', self.item, self.items),
                   ('part', self.part, 3))
        for name, ids, n in columns:
            if ids.min() < 0 or ids.max() >= n:
                raise UserError(f'{name} ids from {ids.min()} to {ids.max()}: '
                                f'0 to {n - 1} are expected')
        twice = len(self.user) - len(np.unique(self.user*self.items + self.item))
        if twice:
            raise UserError(f'{twice} pairs of user and item occur more than once; '
                            'drop the repeats')

    def _rows_fit(self):
        "Refuse features with another number of rows than items."
        for m, x in self.features.items():
            if len(x) != self.items:
                raise UserError(f'features {m!r} have {len(x)} rows for {self.items} '
                                'items: one row an item, row number = item id')

    def _users_train(self):
        "Refuse users of whom nothing could be learnt."
        lost = self.users - len(np.unique(self.user[self.part == TRAIN]))
        if lost:
            raise UserError(f'{lost} of {self.users} users have no training item; '
                            'leave them out or give them one')

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
        "SHA-256 of pairs and parts in order of user and item. Source: ours."
        order = np.lexsort((self.item, self.user))
        columns = ((self.user, '<i4'), (self.item, '<i4'), (self.part, 'u1'))
        every = b''.join(c[order].astype(kind).tobytes() for c, kind in columns)
        return hashlib.sha256(every).hexdigest()

def _whole(name, ids):
    "Ids as int64."
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in 'iu':
        raise UserError(f'{name} of shape {ids.shape} and type {ids.dtype}: '
                        'a row of whole numbers is expected')
    return ids.astype(np.int64)

def _features(name, features):
    "The features of a set, each as `_finite` makes them."
    proper = lambda m: isinstance(m, str) and m.isidentifier() and m != 'shared'
    if not isinstance(features, Mapping) or not all(map(proper, features)):
        raise UserError(f'features of {name}: a mapping from names '
                        '(letters and digits, not "shared") to arrays is expected')
    return {m: _finite(m, x) for m, x in features.items()}

def _finite(name, x):
    "Features as float32; a wider type is cast, and that is said."
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in 'fiub':
        raise UserError(f'features {name!r} of shape {x.shape} and type {x.dtype}: '
                        'numbers, one row an item, are expected')
    if x.dtype == np.float64:
        print(f'features {name!r} are float64 and are cast to float32')
    with np.errstate(over='ignore'): x = np.array(x, dtype=np.float32)
    if not np.isfinite(x).all():
        many = int((~np.isfinite(x)).sum())
        raise UserError(f'features {name!r} hold {many} numbers '
                        'that are not finite in 32 bits')
    return x


# %%
text = np.eye(3, dtype=np.float32)
tiny = Interactions('tiny', [0, 0, 1, 1], [0, 1, 1, 2], [0, 1, 0, 2], {'text': text})
tiny.users, tiny.items, tiny.pairs(TRAIN)

# %% [markdown]
# What it refuses:

# %%
hole = np.array([[1.], [np.nan]])
[raises(Interactions, 'x', [0, 1], [0, 1], [0, 0], {'text': np.eye(3)[:1]}),
 raises(Interactions, 'x', [0, 1], [0, 1], [0, 2]),
 raises(Interactions, 'x', [0, 0], [0, 1], [0, 0], {'text': hole}),
 raises(Interactions, 'x', [0, -1], [0, 1], [0, 0])]


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
    """The largest set of pairs in which every user and item has at least `k`.

    Source: MMRec, preprocessing."""
    keep = np.ones(len(user), bool)
    count = lambda ids: np.bincount(ids[keep], minlength=ids.max() + 1)[ids]
    while True:
        now = keep & (count(user) >= k) & (count(item) >= k)
        if (now == keep).all(): return keep
        keep = now

def split_per_user(
    user: np.ndarray,         # (N,)
    rng: np.random.Generator, # shuffles
)->np.ndarray: # part of each pair, int8 (N,)
    """Random parts for each user: of n pairs the last n//5 (2 if n < 10) are set aside,
    the smaller half of them for validation. Source: MMRec, preprocessing."""
    order = rng.permutation(len(user))
    order = order[np.argsort(user[order], kind='stable')]
    n = np.bincount(user)[user[order]]
    starts = np.r_[0, np.cumsum(np.bincount(user))[:-1]]
    from_end = n - (np.arange(len(user)) - starts[user[order]])
    aside = np.where(n < 10, 2, n//5)
    held = np.where(from_end > aside - aside//2, VALID, TEST)
    part = np.empty(len(user), np.int8)
    part[order] = np.where(from_end > aside, TRAIN, held)
    return part


# %%
parts_of = lambda n: split_per_user(np.zeros(n, int), np.random.default_rng(0))
{n: np.bincount(parts_of(n), minlength=3).tolist() for n in (5, 9, 10, 15, 23)}


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
    shared, image, text, unseen = (normal((items, n)) for n in (8, 4, 4, 4))
    def show(own, size):
        "What a modality shows of an item: its own traits and the shared ones, mixed."
        mixed = np.c_[shared, own] @ normal((12, size))/12**.5
        return np.tanh(mixed) + .6*normal((items, size))
    features = {'image': show(image, 128), 'text': show(text, 48)}
    taste = normal((users, 8)) @ shared.T/8**.5
    taste = taste + .25*normal((users, 4)) @ image.T
    taste = taste + .25*normal((users, 4)) @ text.T
    taste = taste + hidden*normal((users, 4)) @ unseen.T
    popular = np.log(rng.permutation(items) + 1)
    utility = 1.5*taste - .5*popular + rng.gumbel(size=(users, items))
    many = 4 + rng.geometric(.25, users)
    user = np.repeat(np.arange(users), many)
    item = np.concatenate([np.argsort(-u)[:n] for u, n in zip(utility, many)])
    keep = k_core(user, item)
    if not keep.any():
        raise UserError(f'users={users}, items={items}: '
                        'too few for anybody to keep five pairs')
    ids, user = np.unique(user[keep], return_inverse=True)
    kept, item = np.unique(item[keep], return_inverse=True)
    rows = {m: x[kept].astype(np.float32) for m, x in features.items()}
    part = split_per_user(user, rng)
    return Interactions('synthetic', user, item, part, rows, len(ids), len(kept))


# %%
made = synthetic()
[made.users, made.items, [len(made.pairs(p)[0]) for p in (TRAIN, VALID, TEST)],
 {m: x.shape for m, x in made.features.items()}]

# %%
#| label: fig-popularity
#| fig-cap: "Training pairs of each item of the made-up set, most popular first."
#| fig-alt: "One item is taken by more than a hundred and fifty users, most by less than twenty: the long tail of every shop."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
taken = np.bincount(made.pairs(TRAIN)[1], minlength=made.items)
ax.plot(np.sort(taken)[::-1], color=COLORS['blue'])
ax.set(xlabel='item, by popularity', ylabel='training pairs', yscale='log');


# %% [markdown]
# ## From your own tables
#
# Interactions come as this class, as a table with columns `user`, `item` and perhaps `part`, as the text file of MMRec (`userID itemID rating timestamp x_label`, parts 0, 1, 2), or as an `.npz` with `user`, `item` and `split`. Ids are whole numbers from 0, item ids the rows of the features. Without parts the split above is drawn. Features are arrays or `.npy` files; nothing is ever unpickled.

# %%
#| exports
def read_interactions(
    source,          # an Interactions, a table, or the path of an .inter or .npz file
    features=None,   # modality → array or .npy file; those of an Interactions if None
    seed: int=0,     # of the split, where the source has none
)->Interactions:
    """Interactions from whatever a user has.

    Raises `UserError` saying what was expected. Source: ours; file formats of MMRec."""
    if isinstance(source, Interactions):
        if features is None: return source
        columns, name = (source.user, source.item, source.part), source.name
        sizes = source.users, source.items
    else:
        columns, sizes = _columns(source), (0, 0)
        name = Path(source).stem if isinstance(source, (str, Path)) else 'table'
    user, item, part = columns
    user = _whole('user', user)
    if part is None: part = _drawn(user, seed)
    return Interactions(name, user, item, part, _arrays(features), *sizes)

def _drawn(user, seed):
    "The parts of pairs that came without."
    if user.min(initial=0) < 0:
        raise UserError(f'user ids from {user.min()}: '
                        'whole numbers from 0 are expected')
    return split_per_user(user, np.random.default_rng(seed))

def _arrays(features):
    "Features as arrays, those in files mapped."
    if features is None: return {}
    if not isinstance(features, Mapping):
        raise UserError(f'features of type {type(features).__name__}: '
                        'a mapping from names to arrays or .npy files is expected')
    return {m: npy(x) if isinstance(x, (str, Path)) else x for m, x in features.items()}

def _columns(source):
    "User, item and part, or None for part."
    names = 'user', 'item', 'part'
    if isinstance(source, (str, Path)): source, names = _table(Path(source))
    found = list(source.keys()) if hasattr(source, 'keys') else []
    if missing := [n for n in names[:2] if n not in found]:
        there = ', '.join(map(str, found)) or 'none'
        raise UserError(f'the interactions have no column {missing[0]!r}; '
                        f'there are {there}')
    return tuple(np.asarray(source[n]) if n in found else None for n in names)

def _table(file):
    "The columns of a file, and the names of those for user, item and part."
    if not file.exists(): raise UserError(f'{file} does not exist')
    if file.suffix == '.npz': return npz(file), ('user', 'item', 'split')
    if file.suffix == '.inter': return _inter(file), ('userID', 'itemID', 'x_label')
    raise UserError(f'{file}: an .inter or .npz file is expected')

def _inter(file):
    "The columns of a tab-separated file with a header."
    lines = file.read_text(encoding='utf-8', errors='replace').splitlines() or ['']
    names, rows = lines[0].split('\t'), [line.split('\t') for line in lines[1:] if line]
    if wrong := [k for k, r in enumerate(rows, 2) if len(r) != len(names)]:
        raise UserError(f'{file}, line {wrong[0]}: {len(names)} columns are expected, '
                        'as in the header')
    column = lambda name: np.array([int(r[names.index(name)]) for r in rows])
    try: return {n: column(n) for n in names if n in ('userID', 'itemID', 'x_label')}
    except ValueError as e:
        raise UserError(f'{file}: ids and x_label are whole numbers ({e})') from None


# %%
table = {'user': [0]*6 + [1]*5, 'item': [0, 1, 2, 3, 4, 5, 0, 2, 4, 6, 7]}
mine = read_interactions(table, {'text': np.ones((8, 2), np.float32)})
mine.users, mine.items, np.bincount(mine.part).tolist()

# %%
[raises(read_interactions, {'user': [0], 'product': [1]}),
 raises(read_interactions, 'shop.csv')]

# %% [markdown]
# ## MovieLens
#
# A real set, small and free for research: 610 people and the movies they rated, every rating taken as a yes. Its titles and genres make two weak modalities: letters of the title, and genre with decade. GroupLens calls the archive *latest*, which is no fixed file; so what is verified is what is left of it after the five-core.

# %%
#| exports
MOVIELENS = 'https://files.grouplens.org/datasets/movielens/ml-latest-small.zip'
# SHA-256 of the pairs of the five-core, in MovieLens' ids
MOVIELENS_CORE = 'c89d9d04d705a9a78564fb504c9145404e2e421c0a4775519f2b7af7e5c49050'

def movielens(
    features: bool=True, # also make them, which needs scikit-learn
)->Interactions:
    """MovieLens small, five-core, split by `default_rng(999)`; downloaded once.

    Cite Harper and Konstan 2015; research use, no commercial use without permission."""
    archive = download(MOVIELENS, 'MovieLens')
    files = members(archive, limit=10**8)
    ratings, movies = _csv(files, 'ratings'), _csv(files, 'movies')
    user, movie = _five_core(ratings, archive)
    _, user = np.unique(user, return_inverse=True)
    ids, item = np.unique(movie, return_inverse=True)
    about = {int(r['movieId']): r for r in movies}
    made = _movie_features([about[i] for i in ids.tolist()]) if features else {}
    part = split_per_user(user, np.random.default_rng(999))
    return Interactions('movielens-small', user, item, part, made)

def _five_core(ratings, archive):
    "Users and movies of the five-core in order of both, verified."
    user = np.array([int(r['userId']) for r in ratings])
    movie = np.array([int(r['movieId']) for r in ratings])
    keep = k_core(user, movie)
    user, movie = user[keep], movie[keep]
    order = np.lexsort((movie, user))
    user, movie = user[order], movie[order]
    pairs = user.astype('<i4').tobytes() + movie.astype('<i4').tobytes()
    found = hashlib.sha256(pairs).hexdigest()
    if found != MOVIELENS_CORE:
        raise UserError(f'the five-core of {archive} has checksum {found[:8]}, '
                        f'expected {MOVIELENS_CORE[:8]}: '
                        'GroupLens may have changed its latest release')
    return user, movie

def _csv(files, name):
    "The rows of a table in the archive, as dicts."
    name = f'ml-latest-small/{name}.csv'
    if name not in files:
        raise UserError(f'ml-latest-small.zip holds no {name}; '
                        'delete it to fetch it again')
    return list(csv.DictReader(io.StringIO(files[name].decode('utf-8'))))

def _movie_features(rows):
    "Letters of the title by TF-IDF in 64 directions; genres and decade, one-hot."
    text = need('sklearn.feature_extraction.text', 'run')
    decomposition = need('sklearn.decomposition', 'run')
    letters = text.TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 4), min_df=3)
    letters = letters.fit_transform([r['title'] for r in rows])
    short = decomposition.TruncatedSVD(64, random_state=0).fit_transform(letters)
    words = [[*r['genres'].split('|'), _decade(r['title'])] for r in rows]
    names = sorted({w for ws in words for w in ws})
    meta = np.array([[n in ws for n in names] for ws in words], dtype=np.float32)
    return {'text': short.astype(np.float32), 'meta': meta}

def _decade(title):
    "The decade that a title tells, 0 for none."
    year = re.search(r'\((\d{4})\)', title)
    return f'decade {int(year[1])//10 if year else 0}'


# %% [markdown]
# ## The sets of the paper
#
# Baby, Sports, Clothing and Electronics (Amazon 2014, prepared by MMRec) and MicroLens cannot be given away: their licence is unknown, or forbids it. Put MMRec's files into a folder of the cache with the name of the set: `baby/baby.inter`, `baby/image_feat.npy`, `baby/text_feat.npy`. Interactions alone are enough for recommenders without features, also as one `.npz` file with `user`, `item` and `split`. Where we know the checksum of a file that others have used, another one is said, and stays in the record of every run.

# %%
#| exports
KNOWN = { # SHA-256 as a third party found them in 2026, or their beginnings
    'baby': {
        'baby.inter':
            'e0abb033ea5cc538bb2becd8c3dc50b619f28f7974ba61f5ed11ce27cf405940',
        'image_feat.npy':
            '36c3be592b98506189a7d5de71b21577cf626f0293b539d861534673b3e9fd70',
        'text_feat.npy':
            '6667f2ad655c9ecc97cb3383f58988864ef51ec0b39c158b15986c66769f2dc4'},
    'sports': {
        'sports.inter':
            'b8a43979c7984a01a8ab9713ea29a3cf13a65b1784dbadc2162fa932daf1c6a0',
        'text_feat.npy':
            '27d6087f0d8644b8245c60052425530c6446dffe61024b8126db0009ad94de84'},
    'clothing': {
        'clothing.inter':
            '1d142e4d14079cc509ac2003978eb945f7759d8875d003345cbc863dc303235a',
        'text_feat.npy':
            '17d9e036514283fb0a0dda71789fe56d0c128b60d8f350e7b7ab83ac4c5960dd'},
    'electronics': {
        'elec.inter':
            '3586c6ab2d4b2a7a0f69c5f6149dbdf7a229a092c37cfee1244f49734afa8fb5'},
    'microlens': {
        'microlens.inter': 'bdc0bda6',
        'image_feat.npy': '39de7154', 'text_feat.npy': '40d087f7'}}

def mmrec_files(
    name: str, # folder of the cache
    stem: str, # of the .inter file
)->list[Path]: # that of the interactions, then those of the features
    "What the user has put there; raises `UserError` for too few or too many."
    folder = cache()/name
    pairs = [folder/f'{stem}.inter', *sorted(folder.glob('*.npz'))]
    pairs = [f for f in pairs if f.exists()]
    if len(pairs) > 1:
        raise UserError(f'{folder} has {" and ".join(f.name for f in pairs)}: '
                        'one file of interactions is expected')
    if not pairs:
        raise UserError(f'{folder} has neither {stem}.inter nor an .npz file of '
                        'interactions; put the files of MMRec there: '
                        f'{stem}.inter, image_feat.npy, text_feat.npy')
    features = [folder/'image_feat.npy', folder/'text_feat.npy']
    return [*pairs, *(f for f in features if f.exists())]

def mmrec(
    name: str, # folder of the cache
    stem: str, # of the .inter file
)->Interactions:
    """A set whose files the user has put into the cache; says what is other than known.

    Raises `UserError` for missing and malformed files. Source: formats of MMRec."""
    pairs, *features = mmrec_files(name, stem)
    told = mmrec_sum(name, stem)
    if '(' in told: print(f'{name}: {told.split("(")[1][:-1]}')
    data = read_interactions(pairs, {f.name.split('_')[0]: f for f in features})
    data.name = name
    return data

def mmrec_sum(
    name: str, # folder of the cache
    stem: str, # of the .inter file
)->str: # 16 hex digits over all files, then those that are other than known
    "What a run stores as the identity of a set of MMRec. Source: ours."
    return identity(mmrec_files(name, stem), KNOWN[name])


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
    """A set in which some items, and those that had no training pair anyway, occur in
    the test part alone. Source: ours; the paper's protocol is not known to us."""
    many = round(share*data.items) if 0 < share < 1 else 0
    if not 0 < many < data.items:
        raise UserError(f'share={share}: between 0 and 1, so that some of the '
                        f'{data.items} items become cold and some do not')
    cold = np.zeros(data.items, bool)
    cold[np.random.default_rng(seed).permutation(data.items)[:many]] = True
    train = ~cold[data.item] & (data.part == TRAIN)
    keep = np.isin(data.user, data.user[train])
    if not keep.any(): raise UserError(f'share={share} leaves no user a training item')
    warm = np.isin(data.item, data.item[keep & train])
    part = np.where(warm, data.part, TEST)[keep]
    user = np.unique(data.user[keep], return_inverse=True)[1]
    return Interactions(data.name, user, data.item[keep], part, data.features,
                        items=data.items)

def cold_items(data: Interactions)->np.ndarray: # bool (n_i,)
    "Items without a training pair."
    return np.bincount(data.pairs(TRAIN)[1], minlength=data.items) == 0


# %%
colder = strict_cold(made)
[int(cold_items(colder).sum()),
 [len(colder.pairs(p)[0]) for p in (TRAIN, VALID, TEST)]]


# %% [markdown]
# ## By name
#
# Each set is one entry: how it is read, what a run stores as its identity, and a card for people. A set that is drawn is known by its first draw.

# %%
#| exports
@dataclass(frozen=True, kw_only=True, eq=False)
class Shop(DataSet):
    "Interactions by name. Source: ours."
    read: Callable               # → Interactions; if drawn, of seed and hidden taste
    checksum: Callable[[], str]  # 16 hex digits; also what is other than known
    drawn: bool = False          # from a seed, perhaps with a hidden taste

    def load(self,
        seed: int=0,      # of what is drawn; a real set is the same for every seed
        hidden: float=0., # weight of a taste that no feature shows, if it is drawn
    )->Interactions:
        "The set, fetched if it is not in the cache."
        if self.drawn: return self.read(seed, hidden=hidden)
        if hidden:
            raise UserError(f'hidden={hidden}: only the made-up set has a hidden taste')
        return self.read()

AMAZON = 'None stated; research use. The authors ask for the citation.'
STYLES = ('J. McAuley et al., Image-based Recommendations on Styles and '
          'Substitutes, 2015')
FROM_YOU = 'has to come from you, as MMRec made it'
SETS = {
    'synthetic': Shop(
        read=synthetic, drawn=True, checksum=lambda: synthetic().content[:16],
        card=Card(
            title='A made-up shop', obtain='is drawn from the seed', licence='ours',
            cite='this page', size='about 1,500 users, 600 items, 12,000 pairs')),
    'movielens-small': Shop(
        read=movielens, checksum=lambda: MOVIELENS_CORE[:16],
        fetch=lambda: [download(MOVIELENS, 'MovieLens')],
        card=Card(
            title='MovieLens small', obtain='is downloaded from grouplens.org',
            licence='Research use; no commercial use without permission',
            cite='F. M. Harper and J. A. Konstan, The MovieLens Datasets, 2015',
            size='100,836 ratings of 610 users, archive of 1 MB',
            files={'ml-latest-small.zip': 'ratings.csv, movies.csv'})),
    'baby': Shop(
        read=partial(mmrec, 'baby', 'baby'),
        checksum=partial(mmrec_sum, 'baby', 'baby'),
        fetch=partial(mmrec_files, 'baby', 'baby'),
        card=Card(
            title='Amazon Baby 2014', obtain=FROM_YOU, licence=AMAZON, cite=STYLES,
            size='19,445 users, 7,050 items, 160,792 pairs',
            files={'baby/baby.inter': 'userID, itemID, x_label',
                   'baby/image_feat.npy, text_feat.npy': '(7050, 4096), (7050, 384)'})),
    'sports': Shop(
        read=partial(mmrec, 'sports', 'sports'),
        checksum=partial(mmrec_sum, 'sports', 'sports'),
        fetch=partial(mmrec_files, 'sports', 'sports'),
        card=Card(
            title='Amazon Sports 2014', obtain=FROM_YOU, licence=AMAZON, cite=STYLES,
            size='35,598 users, 18,357 items, 296,337 pairs',
            files={'sports/sports.inter': 'userID, itemID, x_label',
                   'sports/image_feat.npy, text_feat.npy':
                   '(18357, 4096), (18357, 384)'})),
    'clothing': Shop(
        read=partial(mmrec, 'clothing', 'clothing'),
        checksum=partial(mmrec_sum, 'clothing', 'clothing'),
        fetch=partial(mmrec_files, 'clothing', 'clothing'),
        card=Card(
            title='Amazon Clothing 2014', obtain=FROM_YOU, licence=AMAZON, cite=STYLES,
            size='39,387 users, 23,033 items, 278,677 pairs',
            files={'clothing/clothing.inter': 'userID, itemID, x_label',
                   'clothing/image_feat.npy, text_feat.npy':
                   '(23033, 4096), (23033, 384)'})),
    'electronics': Shop(
        read=partial(mmrec, 'electronics', 'elec'),
        checksum=partial(mmrec_sum, 'electronics', 'elec'),
        fetch=partial(mmrec_files, 'electronics', 'elec'),
        card=Card(
            title='Amazon Electronics 2014', obtain=FROM_YOU,
            licence=AMAZON, cite=STYLES,
            size='192,403 users, 63,001 items, 1,689,188 pairs',
            files={'electronics/elec.inter': 'userID, itemID, x_label',
                   'electronics/image_feat.npy, text_feat.npy':
                   '(63001, 4096), (63001, 384)'})),
    'microlens': Shop(
        read=partial(mmrec, 'microlens', 'microlens'),
        checksum=partial(mmrec_sum, 'microlens', 'microlens'),
        fetch=partial(mmrec_files, 'microlens', 'microlens'),
        card=Card(
            title='MicroLens', obtain=FROM_YOU,
            licence='Research use; its authors forbid offering modified copies',
            cite='Y. Ni et al., A Content-Driven Micro-Video Recommendation Dataset '
                 'at Scale, 2023',
            size='98,129 users, 17,228 items, 705,174 pairs',
            files={'microlens/microlens.inter': 'userID, itemID, x_label',
                   'microlens/image_feat.npy, text_feat.npy':
                   '(17228, 1024), (17228, 1024)'})),
}

def load(
    data: str,        # name of a set
    seed: int=0,      # of what is drawn; a real set is the same for every seed
    hidden: float=0., # weight of a taste that no feature shows, where a set is drawn
)->Interactions:
    "A set by name; raises `UserError` listing those that exist."
    if data not in SETS:
        raise UserError(f'no data set {data!r}; there are {", ".join(SETS)}')
    return SETS[data].load(seed, hidden)


# %%
#| code-fold: true
#| label: tbl-cards
#| tbl-cap: The sets of the paper, and two to try; every run stores the checksum.
verified = ('synthetic', 'movielens-small')
Markdown(card_table(SETS, {name: SETS[name].checksum() for name in verified}))

# %%
#| code-fold: true
#| label: tbl-files
#| tbl-cap: What lies in the cache, with columns or shapes.
Markdown(file_table(SETS))

# %%
raises(load, 'netflix'), raises(load, 'movielens-small', hidden=1.)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.lirdrec.data`. [The two graphs](22_graph.ipynb) are made from the training part, [the measures](23_metrics.ipynb) from the others.
