# %% [markdown]
# # Data sets that verify themselves
#
# > Cards that anyone can read, a checksum of the content, and images as bytes on the device.

# %% [markdown]
# 5 minutes · what you need first: numpy arrays; [files](files.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.images

# %%
#| export
import hashlib, io, zipfile, zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from papers_nb.core.files import cache, members, npy, unpickle, write_atomically
from papers_nb.errors import UserError, need

# %%
#| hide
import os, tempfile
from IPython.display import Markdown
from papers_nb.core.checks import raises


# %% [markdown]
# Every training of this project names a data set, and every number it reports is worth as much as that set is genuine. So each set has a **card** that anyone can read, a **checksum of its content**, and one function that either returns the set or says in one sentence what is missing.

# %% [markdown]
# ## A checksum that does not depend on the order
#
# CIFAR reaches people in different orders: the official archive has one, a folder of pictures another. The images are the same. So we hash each image, sort the hashes, and hash the sorted list. The sort also gives every copy of the set **one order**, which looks random: a training that draws image number 17 draws the same picture whatever route the data took, and a prefix of the set is a random sample of it.

# %%
#| exports
def content(
    x: np.ndarray,  # images, first axis counts them
    y: np.ndarray,  # label of each image, a byte
)->tuple[np.ndarray, str]: # the order that sorts them, and the checksum of the sorted set
    "Order and SHA-256 of a labelled set, the same for every order it comes in. Source: ours."
    keys = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() + bytes([label]) for image, label in zip(x, y)]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    return order, hashlib.sha256(b''.join(keys[i] for i in order)).hexdigest()


# %% [markdown]
# Three tiny images, and the same three in another order:

# %%
x, y = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.array([5, 6, 7], dtype=np.uint8)
content(x, y)[1] == content(x[::-1], y[::-1])[1]

# %% [markdown]
# Swap two labels and the checksum notices:

# %%
content(x, y)[1] == content(x, y[[1, 0, 2]])[1]


# %% [markdown]
# ## The cards
#
# A card says how a user obtains a set, under what terms, how large it is, and what its content must hash to. Reading one needs no torch and no download.

# %%
#| exports
@dataclass(frozen=True)
class Card:
    "What must be known of a data set before it is used."
    title: str                       # name in sentences
    shape: tuple[int, int, int]      # height, width, channels of an image
    classes: int                     # number of labels
    mean: tuple[float, ...]          # of each channel, in units of `scale`
    std: tuple[float, ...]           # likewise
    sums: dict[str, str]             # split → checksum as `content` computes it; empty if the set comes from the user
    sizes: dict[str, int]            # split → number of images; empty if the set comes from the user
    licence: str                     # terms of use
    cite: str                        # whom to cite
    url: str = ''                    # official address of the archive; '' if it comes with a package or from the user
    md5: str = ''                    # of the archive
    bytes: int = 0                   # of the archive
    scale: float = 255.              # largest pixel value
    parts: dict[str, list[str]] = field(default_factory=dict) # split → members of the archive, or files of the user


# %%
#| exports
CIFAR = 'No formal licence; free for research. The authors ask for the citation.'
KRIZHEVSKY = 'A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009'
CARDS = {
    'digits': Card('Optical digits (UCI)', (8, 8, 1), 10, (.3054,), (.3761,), scale=16.,
        sums={'train': '36996fec7a33393eebd3eecdae47d30b45cbc669654df7ef3a708cf6319fb7ce', 'test': '4c5c65637a6d6df524441d18ef482790a74332a6635cc070dde8a9e46324fab3'}, sizes={'train': 1252, 'test': 545},
        licence='CC BY 4.0', cite='E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; as shipped by scikit-learn'),
    'cifar10': Card('CIFAR-10', (32, 32, 3), 10, (.4914, .4822, .4465), (.2470, .2435, .2615), licence=CIFAR, cite=KRIZHEVSKY,
        sums={'train': '82fb45c778383c932698f6014846eb97f11bdc4442e0946e98d22cd01c54e4ae', 'test': '1b04d3429fedbbe10d7f49e7b0e05dbc88ced3c8667b55585d11660d96ca3dc6'}, sizes={'train': 50000, 'test': 10000},
        url='https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz', md5='c58f30108f718f92721af3b95e74349a', bytes=170_498_071,
        parts={'train': [f'cifar-10-batches-py/data_batch_{i}' for i in range(1, 6)], 'test': ['cifar-10-batches-py/test_batch']}),
    'cifar100': Card('CIFAR-100', (32, 32, 3), 100, (.5071, .4867, .4408), (.2675, .2565, .2761), licence=CIFAR, cite=KRIZHEVSKY,
        sums={'train': '0fe9f36ba227a562f8fde7e2086e850730fe6c01bc58830ee6075584714a9bef', 'test': '52a89353ffbf7dbafeb428c17bc12bb383df2755c2509e80e24b7a3f68ae772e'}, sizes={'train': 50000, 'test': 10000},
        url='https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz', md5='eb9058c3a382ffc7106e4002c42a8d85', bytes=169_001_437,
        parts={'train': ['cifar-100-python/train'], 'test': ['cifar-100-python/test']}),
    'miniimagenet': Card('Mini-ImageNet', (84, 84, 3), 100, (.47313006, .44905752, .40378186), (.27292014, .26559181, .27953038), sums={}, sizes={},
        licence='ImageNet terms: research only, no redistribution', cite='O. Vinyals et al., Matching Networks for One Shot Learning, NeurIPS 2016',
        parts={split: [f'{split}_x.npy', f'{split}_y.npy'] for split in ('train', 'test')})}

def card(
    name: str, # a data set
)->Card:
    "The card of a data set; raises `UserError` listing those that exist."
    if name not in CARDS: raise UserError(f'no data set {name!r}; there are {", ".join(CARDS)}')
    return CARDS[name]

def checksum(
    name: str, # a data set
)->str: # one hash for all splits; from the card, or from the user's files
    "What a run stores as the identity of its data. Source: ours."
    sums = card(name).sums or _sums(name, tuple((f, f.stat().st_size, f.stat().st_mtime_ns) for f in fetch(name)))
    return hashlib.sha256(''.join(sums.values()).encode()).hexdigest()[:16]

@lru_cache
def _sums(name, state):
    "Checksums of what the user supplied, computed once for each state of the files."
    return {split: content(*_supplied(name, split).values())[1] for split in card(name).parts}


# %%
#| code-fold: true
#| label: tbl-cards
#| tbl-cap: The data sets that every paper can ask for.
count = lambda c: f'{c.sizes["train"]:,} + {c.sizes["test"]:,}' if c.sizes else 'as you have them'
rows = [f'| `{k}` | {c.title} | {count(c)} | {c.shape[0]}×{c.shape[1]}×{c.shape[2]} | '
        + (f'[archive]({c.url}), {c.bytes/1e6:.0f} MB' if c.url else 'from you, below' if c.parts else 'with scikit-learn') + f' | {c.licence} |' for k, c in CARDS.items()]
Markdown('\n'.join(['| name | set | train + test | image | obtained | terms |', '|---|---|---|---|---|---|', *rows]))

# %%
raises(card, 'cifar11')


# %% [markdown]
# ## The cache
#
# Archives are turned once into `cifar10_train.npz` and so on: arrays `x` (bytes, `(N, H, W, C)`) and `y`, and for CIFAR-100 `y_coarse`, the twenty groups of classes.

# %%
#| exports
def npz(name, split)->Path:
    "The file in the cache that holds one split."
    return cache()/f'{name}_{split}.npz'


# %%
npz('cifar10', 'train').name


# %% [markdown]
# Ninety runs may start at once on an empty cache. A lock lets one of them download; the others find the result.

# %%
#| exports
def fetch(
    name: str, # a data set
)->list[Path]: # its files in the cache; none for a set that comes with a package
    "Download, verify and unpack a data set unless it is there; raises `UserError` saying what to do by hand."
    c = card(name)
    if c.parts and not c.url: return _present(name, c)
    files = [npz(name, split) for split in c.parts]
    if all(f.exists() for f in files): return files
    cache().mkdir(parents=True, exist_ok=True)
    with need('filelock', 'run').FileLock(cache()/f'{name}.lock'):
        if not all(f.exists() for f in files): _unpack_cifar(name, c, _download(c))
    return files

def _present(name, c):
    "The files that the user put into the cache."
    wanted = [cache()/name/f for files in c.parts.values() for f in files]
    if missing := [f.name for f in wanted if not f.exists()]:
        raise UserError(f'{c.title} has to come from you ({c.licence}): put {", ".join(f.name for f in wanted)} into {wanted[0].parent}; missing: {", ".join(missing)}')
    return wanted

def _download(c):
    "The verified archive of a card, from the cache or from its official address."
    pooch = need('pooch', 'run')
    path = cache()/c.url.rsplit('/', 1)[1]
    by_hand = f'{path.name} (md5 {c.md5}) from {c.url} into {cache()}'
    if not path.exists():
        try: pooch.retrieve(c.url, known_hash=f'md5:{c.md5}', fname=path.name, path=cache(), progressbar=True)
        except ValueError as e: raise UserError(f'the download of {path.name} has the wrong checksum and was dropped; put {by_hand} by hand ({e})') from None
        except OSError as e: raise UserError(f'cannot download {c.title} ({type(e).__name__}); put {by_hand} by hand') from None
    if (md5 := pooch.file_hash(str(path), alg='md5')) != c.md5: raise UserError(f'{path} has the wrong checksum (md5 {md5}); delete it, or put {by_hand}')
    return path

def _unpack_cifar(name, c, archive):
    "Turn an official CIFAR archive into one npz a split."
    files = members(archive)
    for split, parts in c.parts.items():
        if missing := [p for p in parts if p not in files]: raise UserError(f'{archive} holds no {missing[0]}; delete it and fetch it again')
        batches = [unpickle(files[p]) for p in parts]
        x = np.concatenate([b[b'data'] for b in batches]).reshape(-1, c.shape[2], *c.shape[:2]).transpose(0, 2, 3, 1)
        y = np.concatenate([b[b'labels'] if b'labels' in b else b[b'fine_labels'] for b in batches]).astype(np.uint8)
        coarse = {'y_coarse': np.concatenate([b[b'coarse_labels'] for b in batches]).astype(np.uint8)} if b'coarse_labels' in batches[0] else {}
        np.savez(buffer := io.BytesIO(), x=x, y=y, **coarse)
        write_atomically(npz(name, split), buffer.getvalue())


# %% [markdown]
# ## Loading
#
# The digits come with scikit-learn, 1,797 of them and no official split. Ours takes a random seventy percent of each class for training.

# %%
#| exports
def _digits(split):
    "The optical digits, 70/30 in each class by `default_rng(0)`."
    bunch, rng = need('sklearn.datasets', 'run').load_digits(), np.random.default_rng(0)
    x, y = bunch.images.astype(np.uint8)[..., None], bunch.target.astype(np.uint8)
    shuffled = [rng.permutation(np.flatnonzero(y == c)) for c in range(10)]
    picked = np.concatenate([i[:int(.7*len(i))] if split == 'train' else i[int(.7*len(i)):] for i in shuffled])
    return {'x': x[picked], 'y': y[picked]}

def _npz(name, c, split):
    "The arrays that `fetch` stored."
    try: arrays = dict(np.load(npz(name, split)))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as e: raise UserError(f'{npz(name, split)} cannot be read ({e}); delete it to fetch the set again') from None
    if not {'x', 'y'} <= arrays.keys() or arrays['x'].shape[1:] != c.shape: raise UserError(f'{npz(name, split)} does not hold images x of shape {c.shape} and labels y; delete it to fetch the set again')
    return arrays

def load(
    name: str,         # a data set
    split: str,        # train or test
    labels: str = 'y', # which labels; CIFAR-100 also has y_coarse
)->tuple[np.ndarray, np.ndarray]: # images uint8 (N, H, W, C) and labels uint8 (N,), in the order of `content`
    "One split of a data set, verified; fetched if it is not in the cache. Raises `UserError` if its content is not what the card says."
    c = card(name)
    if split not in (splits := c.sums or c.parts): raise UserError(f'split {split!r} of {name}: there are {", ".join(splits)}')
    fetch(name)
    arrays = _digits(split) if not c.parts else _npz(name, c, split) if c.url else _supplied(name, split)
    order, found = content(arrays['x'], arrays['y'])
    if found != c.sums.get(split, found): raise UserError(f'{npz(name, split)} does not hold {c.title} {split} (checksum {found[:8]}, expected {c.sums[split][:8]}); delete it to fetch the set again')
    if labels not in arrays: raise UserError(f'{name} has no labels {labels!r}; there are {", ".join(k for k in arrays if k != "x")}')
    return arrays['x'][order], arrays[labels][order]


# %%
x, y = load('digits', 'train')
x.shape, x.dtype, np.bincount(y)

# %% [markdown]
# The first digit, as the bytes it is:

# %%
x[0, ..., 0]

# %%
raises(load, 'digits', 'validation')


# %% [markdown]
# ## A set that only you have
#
# The pictures of Mini-ImageNet are ImageNet's and may not be passed on. Whoever has them puts four files, as the official code of AdaB²N reads them, into the folder `miniimagenet` of the cache (a link will do): images `(N, 84, 84, 3)` as bytes or as numbers from 0 to 1, labels from 0 to 99, about 500 and 100 a class. There is no checksum to hold them against; instead the checksum of what lies there becomes a part of every run's name.

# %%
#| exports
def _supplied(name, split):
    "Images as bytes and labels from the files of the user."
    c, (images, labels) = card(name), (cache()/name/f for f in card(name).parts[split])
    x, y = npy(images), npy(labels)
    if x.dtype != np.uint8 and x.dtype.kind != 'f': raise UserError(f'{images} holds {x.dtype}; bytes, or numbers from 0 to 1, are expected')
    if y.dtype.kind not in 'iu': raise UserError(f'{labels} holds {y.dtype}; whole numbers from 0 to {c.classes - 1} are expected')
    if x.shape[1:] != c.shape or not len(x): raise UserError(f'{images} holds an array of shape {x.shape}; images of shape (N, {", ".join(map(str, c.shape))}) are expected')
    if y.shape != (len(x),): raise UserError(f'{labels} holds an array of shape {y.shape}; one label for each of {len(x)} images is expected')
    if y.min() < 0 or y.max() >= c.classes: raise UserError(f'{labels} holds {y.dtype} from {y.min()} to {y.max()}; whole numbers from 0 to {c.classes - 1} are expected')
    return {'x': np.concatenate([_as_bytes(x[i:i + 1000], images) for i in range(0, len(x), 1000)]), 'y': y.astype(np.uint8)}

def _as_bytes(x, file):
    "Images as bytes, from bytes or from numbers between 0 and 1."
    if x.dtype == np.uint8: return np.asarray(x)
    if not ((x >= 0) & (x <= 1)).all(): raise UserError(f'{file} holds {x.dtype} from {x.min()} to {x.max()}; bytes, or numbers from 0 to 1, are expected')
    return np.rint(255*x).astype(np.uint8)


# %%
def put(split, x, y):
    "Save the two files of a split as a user would."
    for kind, array in (('x', x), ('y', y)): np.save(cache()/'miniimagenet'/f'{split}_{kind}.npy', array)

def in_an_empty_cache(f):
    "Call a function while the cache is a new folder, and name that folder no further."
    before = os.environ.get('PAPERS_NB_CACHE')
    with tempfile.TemporaryDirectory() as tmp:
        os.environ['PAPERS_NB_CACHE'] = tmp
        (Path(tmp)/'miniimagenet').mkdir()
        try: return str(f()).replace(tmp, 'CACHE')
        finally:
            del os.environ['PAPERS_NB_CACHE']
            if before is not None: os.environ['PAPERS_NB_CACHE'] = before

in_an_empty_cache(lambda: raises(load, 'miniimagenet', 'train'))


# %% [markdown]
# Two pictures, as numbers from 0 to 1, and one label too many:

# %%
def two_pictures(labels):
    "Put two pictures with some labels there and load them."
    put('train', np.linspace(0, 1, 2*84*84*3).reshape(2, 84, 84, 3), np.array(labels))
    put('test', np.zeros((1, 84, 84, 3), np.uint8), np.array([99]))
    x, y = load('miniimagenet', 'train')
    return x.dtype, x.min(), x.max(), y

in_an_empty_cache(lambda: two_pictures([7, 3])), in_an_empty_cache(lambda: raises(two_pictures, [7, 3, 3]))


# %% [markdown]
# ## On the device
#
# Images stay bytes until a batch is needed: 50,000 CIFAR images take 154 MB instead of 614. Normalising a batch is one subtraction and one division on the device.

# %%
#| exports
def tensors(
    name: str,            # a data set
    split: str,           # train or test
    device: str = 'cpu',  # where the tensors go
    labels: str = 'y',    # which labels
): # images uint8 (N, C, H, W), labels int64 (N,)
    "One split as tensors on the device."
    import torch
    x, y = load(name, split, labels)
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().to(device), torch.from_numpy(y.astype(np.int64)).to(device)

def normalize(
    x,         # images uint8 (N, C, H, W)
    name: str, # the data set whose mean and deviation are used
): # float32 (N, C, H, W), every channel near mean 0 and deviation 1
    "Scale bytes to [0, 1], subtract the channel mean, divide by the channel deviation."
    import torch
    c = card(name)
    mean, std = (torch.tensor(v, device=x.device).view(1, -1, 1, 1) for v in (c.mean, c.std))
    return (x/c.scale - mean)/std


# %%
x, y = tensors('digits', 'train')
z = normalize(x, 'digits')
z.shape, round(z.mean().item(), 3), round(z.std().item(), 3)


# %% [markdown]
# Augmentation is batched too: every image gets its own shift and its own coin, in one indexing operation, drawn from a generator that the caller keys.

# %%
#| exports
def crop_flip(
    x,             # images (N, C, H, W), any dtype
    pad: int,      # zeros added on each side before cropping back
    generator,     # torch generator on the device of `x`
    flip: bool = True, # also mirror half of the images
): # images (N, C, H, W)
    "Shift each image by up to `pad` pixels and mirror every second one, at random. Source: the usual CIFAR augmentation."
    import torch
    n, c, h, w = x.shape
    draw = lambda high: torch.randint(high, (n, 1), generator=generator, device=x.device)
    rows, cols = draw(2*pad + 1) + torch.arange(h, device=x.device), torch.arange(w, device=x.device).expand(n, w)
    mirrored = draw(2).bool() & flip
    cols = draw(2*pad + 1) + torch.where(mirrored, w - 1 - cols, cols)
    image, channel = torch.arange(n, device=x.device)[:, None, None, None], torch.arange(c, device=x.device)[:, None, None]
    return torch.nn.functional.pad(x, (pad,)*4)[image, channel, rows[:, None, :, None], cols[:, None, None, :]]


# %%
#| hide
import torch

# %% [markdown]
# Eight copies of one row of three pixels, without padding: about half come back mirrored, none is lost.

# %%
crop_flip(torch.tensor([[[[1, 2, 3]]]]).expand(8, 1, 1, 3), 0, torch.Generator().manual_seed(1)).flatten(1)

# %% [markdown]
# One bright pixel in the middle of a five by five image, six times, with one pixel of padding. Its row and column afterwards:

# %%
spot = torch.zeros(6, 1, 5, 5, dtype=torch.uint8)
spot[..., 2, 2] = 1
crop_flip(spot, 1, torch.Generator().manual_seed(0), flip=False).nonzero()[:, 2:]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.images`. From the command line, `papers_nb fetch cifar10` fills the cache. Every training notebook calls `tensors` once and keeps the result on its device.
