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
import hashlib, importlib.util, io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from papers_nb.core.files import Card, DataSet, cache, download, members, npy, npz
from papers_nb.core.files import once, supplied, unpickle, write_atomically
from papers_nb.core.folders import folders
from papers_nb.errors import UserError, need

# %%
#| hide
import os, tempfile
from IPython.display import Markdown
from papers_nb.core.checks import raises
from papers_nb.core.files import card_table, file_table


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
)->tuple[np.ndarray, str]: # order that sorts them, checksum of the sorted set
    "Order and SHA-256 of a labelled set, whatever order it comes in. Source: ours."
    sha = lambda image: hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    keys = [sha(image) + bytes([label]) for image, label in zip(x, y)]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    return order, hashlib.sha256(b''.join(keys[i] for i in order)).hexdigest()


# %% [markdown]
# Three tiny images, and the same three in another order:

# %%
x = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
y = np.array([5, 6, 7], dtype=np.uint8)
content(x, y)[1] == content(x[::-1], y[::-1])[1]

# %% [markdown]
# Swap two labels and the checksum notices:

# %%
content(x, y)[1] == content(x, y[[1, 0, 2]])[1]

# %% [markdown]
# ## A kind of data set
#
# What a training computes with stands in the set itself: the shape of an image, the number of classes, the scale of a pixel, mean and deviation of each channel. `fetch` brings the files, `read` makes arrays of them, and `load` verifies what came out.

# %%
#| exports
SPLITS = 'train', 'test'

@dataclass(frozen=True, kw_only=True, eq=False)
class Images(DataSet):
    "A labelled image set in two splits. Source: ours."
    shape: tuple[int, int, int]  # height, width, channels of an image
    classes: int                 # number of labels
    mean: tuple[float, ...]      # of each channel, in units of `scale`
    std: tuple[float, ...]       # likewise
    scale: float = 255.          # largest pixel value
    read: Callable               # set, split and its files → arrays x, y, other labels
    sums: dict[str, str] = field(default_factory=dict) # split → checksum, where known

    def arrays(self,
        split: str, # train or test
    )->dict[str, np.ndarray]: # x uint8 (N, H, W, C), y uint8 (N,), perhaps other labels
        "What the files of a split hold, in their order; fetched first."
        return self.read(self, split, *(f for f in self.fetch() if split in f.stem))

    def load(self,
        split: str,      # train or test
        labels: str='y', # which labels; CIFAR-100 also has y_coarse
    )->tuple[np.ndarray, np.ndarray]: # (N, H, W, C) and (N,), in order of `content`
        """One split, verified; fetched if it is not in the cache.

        Raises `UserError` if the content is not what it has to be."""
        title = self.card.title
        if split not in SPLITS:
            splits = ', '.join(SPLITS)
            raise UserError(f'split {split!r} of {title}: there are {splits}')
        arrays = self.arrays(split)
        order, found = content(arrays['x'], arrays['y'])
        known = self.sums.get(split, found)
        if found != known:
            where = ', '.join(str(f) for f in self.fetch() if split in f.stem)
            raise UserError(f'{where} does not hold {title} {split} (checksum '
                            f'{found[:8]}, expected {known[:8]}); '
                            'delete it to fetch the set again')
        if labels not in arrays:
            others = ', '.join(k for k in arrays if k != 'x')
            raise UserError(f'{title} has no labels {labels!r}; there are {others}')
        return arrays['x'][order], arrays[labels][order]

    def checksum(self)->str: # one hash for all splits
        "What a run stores as the identity of its data; computed where none is known."
        sums = self.sums or _sums(self, tuple(map(_state, self.fetch())))
        return hashlib.sha256(''.join(sums.values()).encode()).hexdigest()[:16]

def _state(file):
    "What changes with a file."
    stat = file.stat()
    return file, stat.st_size, stat.st_mtime_ns

@lru_cache
def _sums(images, state):
    "Checksums of what the user supplied, computed once for each state of the files."
    made = {split: images.arrays(split) for split in SPLITS}
    return {split: content(a['x'], a['y'])[1] for split, a in made.items()}


# %% [markdown]
# ## Digits
#
# They come with scikit-learn, 1,797 of them and no official split. Ours takes a random seventy percent of each class for training.

# %%
#| exports
def _scanned():
    "The table of digits that comes with scikit-learn: 64 numbers and a digit a row."
    # read from its file: importing scikit-learn takes longer than a small training
    package = importlib.util.find_spec('sklearn')
    if package is None: need('sklearn', 'run')
    return np.loadtxt(Path(package.origin).parent/'datasets/data/digits.csv.gz',
                      delimiter=',')

def digits(
    images,     # the set
    split: str, # train or test
)->dict[str, np.ndarray]:
    "The optical digits, 70/30 in each class by `default_rng(0)`. Source: ours."
    table, rng = _scanned().astype(np.uint8), np.random.default_rng(0)
    x, y = table[:, :64].reshape(-1, 8, 8, 1), table[:, 64]
    shuffled = [rng.permutation(np.flatnonzero(y == c)) for c in range(10)]
    cut = lambda i: i[:int(.7*len(i))] if split == 'train' else i[int(.7*len(i)):]
    picked = np.concatenate([cut(i) for i in shuffled])
    return {'x': x[picked], 'y': y[picked]}


# %% [markdown]
# ## CIFAR
#
# The official archives are turned once into `cifar10_train.npz` and so on: arrays `x` (bytes, `(N, H, W, C)`) and `y`, and for CIFAR-100 `y_coarse`, the twenty groups of classes.

# %%
#| exports
def cifar(
    name: str,   # of the files in the cache
    title: str,  # of the set
    url: str,    # official address of the archive
    md5: str,    # of the archive
    parts: dict[str, list[str]], # split → members of the archive
)->list[Path]:   # one file a split
    """Download, verify and unpack an official archive unless its arrays are there.

    Raises `UserError` saying what to do by hand. Source: CIFAR's own format."""
    files = [cache()/f'{name}_{split}.npz' for split in parts]
    def make():
        "Download the archive and store its arrays."
        archive = download(url, title, md5)
        found = members(archive)
        for file, names in zip(files, parts.values()):
            if missing := [n for n in names if n not in found]:
                raise UserError(f'{archive} holds no {missing[0]}; '
                                'delete it and fetch it again')
            arrays = _batches([unpickle(found[n]) for n in names])
            np.savez(buffer := io.BytesIO(), **arrays)
            write_atomically(file, buffer.getvalue())
    return once(files, make)

def _batches(batches):
    "Images and labels from the dicts of an archive, one after the other."
    join = lambda key: np.concatenate([b[key] for b in batches])
    fine = b'labels' if b'labels' in batches[0] else b'fine_labels'
    x = join(b'data').reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    arrays = {'x': x, 'y': join(fine).astype(np.uint8)}
    if b'coarse_labels' in batches[0]:
        arrays['y_coarse'] = join(b'coarse_labels').astype(np.uint8)
    return arrays

def stored(
    images,      # the set
    split: str,  # train or test
    file: Path,  # in the cache
)->dict[str, np.ndarray]:
    "The arrays that `cifar` stored; raises `UserError` saying what to delete."
    try: arrays = npz(file)
    except UserError as e:
        raise UserError(f'{file} cannot be read ({e}); '
                        'delete it to fetch the set again') from None
    if not {'x', 'y'} <= arrays.keys() or arrays['x'].shape[1:] != images.shape:
        raise UserError(f'{file} does not hold images x of shape {images.shape} and '
                        'labels y; delete it to fetch the set again')
    return arrays


# %% [markdown]
# ## A set that only you have
#
# The pictures of Mini-ImageNet are ImageNet's and may not be passed on. Whoever has them puts four files, as the official code of AdaB²N reads them, into the folder `miniimagenet` of the cache (a link will do): images `(N, 84, 84, 3)` as bytes or as numbers from 0 to 1, labels from 0 to 99, about 500 and 100 a class. There is no checksum to hold them against; instead the checksum of what lies there becomes a part of every run's name.

# %%
#| exports
def pictures(
    images,       # the set
    split: str,   # train or test
    x_file: Path, # images, .npy
    y_file: Path, # labels, .npy
)->dict[str, np.ndarray]:
    "Images as bytes, and labels, from files of the user; others raise `UserError`."
    x, y, last = npy(x_file), npy(y_file), images.classes - 1
    whole = f'whole numbers from 0 to {last} are expected'
    shape = ', '.join(map(str, images.shape))
    if x.dtype != np.uint8 and x.dtype.kind != 'f':
        raise UserError(f'{x_file} holds {x.dtype}; bytes, or numbers from 0 to 1, '
                        'are expected')
    if y.dtype.kind not in 'iu':
        raise UserError(f'{y_file} holds {y.dtype}; {whole}')
    if x.shape[1:] != images.shape or not len(x):
        raise UserError(f'{x_file} holds an array of shape {x.shape}; '
                        f'images of shape (N, {shape}) are expected')
    if y.shape != (len(x),):
        raise UserError(f'{y_file} holds an array of shape {y.shape}; '
                        f'one label for each of {len(x)} images is expected')
    if y.min() < 0 or y.max() > last:
        found = f'{y.dtype} from {y.min()} to {y.max()}'
        raise UserError(f'{y_file} holds {found}; {whole}')
    parts = [_as_bytes(x[i:i + 1000], x_file) for i in range(0, len(x), 1000)]
    return {'x': np.concatenate(parts), 'y': y.astype(np.uint8)}

def _as_bytes(x, file):
    "Images as bytes, from bytes or from numbers between 0 and 1."
    if x.dtype == np.uint8: return np.asarray(x)
    if not ((x >= 0) & (x <= 1)).all():
        raise UserError(f'{file} holds {x.dtype} from {x.min()} to {x.max()}; '
                        'bytes, or numbers from 0 to 1, are expected')
    return np.rint(255*x).astype(np.uint8)


# %% [markdown]
# ## By name
#
# A new set is one more entry. Its card is for people; nothing is computed from it. The last eleven are [pictures in folders](folders.ipynb), brought to 32 or 64 pixels a side; their means and deviations are those of KRR-ST's official code, but for the green of Flowers at 32 pixels, which is .3030 there, a typing error for .3830.

# %%
#| exports
CIFAR = 'No formal licence; free for research. The authors ask for the citation.'
TINY = 'A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009'
IMAGENET = 'ImageNet terms: research only, no redistribution'
RESEARCH = 'research only, no redistribution'
TREE = {'train/CLASS/PICTURE, test/CLASS/PICTURE': 'JPEG or PNG, any size'}

def _tree(name, side, classes, mean, std, card):
    "A set of pictures in folders of the cache."
    fetch = partial(folders, name, side, card.title, classes, mean, std, card.licence)
    return Images(shape=(side, side, 3), classes=classes, mean=mean, std=std,
                  read=stored, fetch=fetch, card=card)

SETS = {
    'digits': Images(
        shape=(8, 8, 1), classes=10, read=digits,
        mean=(.3054,), std=(.3761,), scale=16.,
        sums={
            'train': '36996fec7a33393eebd3eecdae47d30b45cbc669654df7ef3a708cf6319fb7ce',
            'test': '4c5c65637a6d6df524441d18ef482790a74332a6635cc070dde8a9e46324fab3'},
        card=Card(
            title='Optical digits (UCI)', obtain='comes with scikit-learn',
            licence='CC BY 4.0', size='1,252 + 545 images of 8×8×1',
            cite='E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten '
                 'Digits, UCI 1998; as shipped by scikit-learn')),
    'cifar10': Images(
        shape=(32, 32, 3), classes=10, read=stored,
        mean=(.4914, .4822, .4465), std=(.2470, .2435, .2615),
        sums={
            'train': '82fb45c778383c932698f6014846eb97f11bdc4442e0946e98d22cd01c54e4ae',
            'test': '1b04d3429fedbbe10d7f49e7b0e05dbc88ced3c8667b55585d11660d96ca3dc6'},
        fetch=partial(
            cifar, 'cifar10', 'CIFAR-10', md5='c58f30108f718f92721af3b95e74349a',
            url='https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
            parts={
                'train': [f'cifar-10-batches-py/data_batch_{i}' for i in range(1, 6)],
                'test': ['cifar-10-batches-py/test_batch']}),
        card=Card(
            title='CIFAR-10', licence=CIFAR, cite=TINY,
            obtain='is downloaded from www.cs.toronto.edu/~kriz/cifar.html',
            size='50,000 + 10,000 images of 32×32×3, archive of 170 MB',
            files={'cifar10_train.npz, cifar10_test.npz':
                   'x (N, 32, 32, 3), y (N,), uint8'})),
    'cifar100': Images(
        shape=(32, 32, 3), classes=100, read=stored,
        mean=(.5071, .4867, .4408), std=(.2675, .2565, .2761),
        sums={
            'train': '0fe9f36ba227a562f8fde7e2086e850730fe6c01bc58830ee6075584714a9bef',
            'test': '52a89353ffbf7dbafeb428c17bc12bb383df2755c2509e80e24b7a3f68ae772e'},
        fetch=partial(
            cifar, 'cifar100', 'CIFAR-100', md5='eb9058c3a382ffc7106e4002c42a8d85',
            url='https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
            parts={'train': ['cifar-100-python/train'],
                   'test': ['cifar-100-python/test']}),
        card=Card(
            title='CIFAR-100', licence=CIFAR, cite=TINY,
            obtain='is downloaded from www.cs.toronto.edu/~kriz/cifar.html',
            size='50,000 + 10,000 images of 32×32×3, archive of 169 MB',
            files={'cifar100_train.npz, cifar100_test.npz':
                   'x (N, 32, 32, 3), y (N,), y_coarse (N,), uint8'})),
    'miniimagenet': Images(
        shape=(84, 84, 3), classes=100, read=pictures,
        mean=(.47313006, .44905752, .40378186), std=(.27292014, .26559181, .27953038),
        fetch=partial(supplied, 'miniimagenet', 'Mini-ImageNet', IMAGENET,
                      ['train_x.npy', 'train_y.npy', 'test_x.npy', 'test_y.npy']),
        card=Card(
            title='Mini-ImageNet', licence=IMAGENET, obtain='has to come from you',
            cite='O. Vinyals et al., Matching Networks for One Shot Learning, 2016',
            size='about 50,000 + 10,000 images of 84×84×3',
            files={'miniimagenet/train_x.npy, test_x.npy':
                   '(N, 84, 84, 3), bytes or numbers from 0 to 1',
                   'miniimagenet/train_y.npy, test_y.npy':
                   '(N,), whole numbers from 0 to 99'})),
    'tinyimagenet': _tree(
        'tinyimagenet', 64, 200, (.4802, .4481, .3975), (.2770, .2691, .2821),
        card=Card(
            title='Tiny ImageNet', licence=IMAGENET, files=TREE,
            obtain='has to come from you',
            size='100,000 + 10,000 images, as 64×64×3',
            cite='Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, '
                 '2015')),
    'aircraft32': _tree(
        'aircraft', 32, 100, (.4804, .5116, .5349), (.2021, .1953, .2297),
        card=Card(
            title='FGVC-Aircraft', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='6,667 + 3,333 images, as 32×32×3',
            cite='S. Maji et al., Fine-Grained Visual Classification of Aircraft, '
                 '2013')),
    'aircraft64': _tree(
        'aircraft', 64, 100, (.4797, .5108, .5341), (.2117, .2049, .2380),
        card=Card(
            title='FGVC-Aircraft', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='6,667 + 3,333 images, as 64×64×3',
            cite='S. Maji et al., Fine-Grained Visual Classification of Aircraft, '
                 '2013')),
    'cars32': _tree(
        'cars', 32, 196, (.4706, .4600, .4548), (.2746, .2740, .2831),
        card=Card(
            title='Stanford Cars', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='8,144 + 8,041 images, as 32×32×3',
            cite='J. Krause et al., 3D Object Representations for Fine-Grained '
                 'Categorization, 2013')),
    'cars64': _tree(
        'cars', 64, 196, (.4707, .4601, .4549), (.2836, .2826, .2914),
        card=Card(
            title='Stanford Cars', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='8,144 + 8,041 images, as 64×64×3',
            cite='J. Krause et al., 3D Object Representations for Fine-Grained '
                 'Categorization, 2013')),
    'cub32': _tree(
        'cub', 32, 200, (.4857, .4995, .4324), (.2145, .2098, .2496),
        card=Card(
            title='CUB-200-2011', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='5,994 + 5,794 images, as 32×32×3',
            cite='C. Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011')),
    'cub64': _tree(
        'cub', 64, 200, (.4856, .4995, .4324), (.2218, .2170, .2564),
        card=Card(
            title='CUB-200-2011', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='5,994 + 5,794 images, as 64×64×3',
            cite='C. Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011')),
    'dogs32': _tree(
        'dogs', 32, 120, (.4765, .4516, .3911), (.2490, .2435, .2479),
        card=Card(
            title='Stanford Dogs', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='12,000 + 8,580 images, as 32×32×3',
            cite='A. Khosla et al., Novel Dataset for Fine-Grained Image '
                 'Categorization, 2011')),
    'dogs64': _tree(
        'dogs', 64, 120, (.4765, .4517, .3911), (.2551, .2495, .2539),
        card=Card(
            title='Stanford Dogs', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='12,000 + 8,580 images, as 64×64×3',
            cite='A. Khosla et al., Novel Dataset for Fine-Grained Image '
                 'Categorization, 2011')),
    'flowers32': _tree(
        'flowers', 32, 102, (.4344, .3830, .2955), (.2811, .2318, .2607),
        card=Card(
            title='Oxford Flowers-102', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='2,040 + 6,149 images, as 32×32×3',
            cite='M.-E. Nilsback and A. Zisserman, Automated Flower '
                 'Classification, 2008')),
    'flowers64': _tree(
        'flowers', 64, 102, (.4344, .3830, .2955), (.2878, .2390, .2674),
        card=Card(
            title='Oxford Flowers-102', licence=RESEARCH, files=TREE,
            obtain='has to come from you',
            size='2,040 + 6,149 images, as 64×64×3',
            cite='M.-E. Nilsback and A. Zisserman, Automated Flower '
                 'Classification, 2008')),
}

def load(
    data: str,         # a data set
    split: str,        # train or test
    labels: str = 'y', # which labels; CIFAR-100 also has y_coarse
)->tuple[np.ndarray, np.ndarray]: # uint8 (N, H, W, C) and (N,), in order of `content`
    "One split of a set by name; raises `UserError` listing those that exist."
    if data not in SETS:
        raise UserError(f'no data set {data!r}; there are {", ".join(SETS)}')
    return SETS[data].load(split, labels)


# %%
#| code-fold: true
#| label: tbl-cards
#| tbl-cap: The image sets that every paper can ask for; every run stores the checksum.
Markdown(card_table(SETS, {n: s.checksum() for n, s in SETS.items() if s.sums}))

# %%
#| code-fold: true
#| label: tbl-files
#| tbl-cap: What lies in the cache.
Markdown(file_table(SETS))

# %%
x, y = load('digits', 'train')
x.shape, x.dtype, np.bincount(y)

# %% [markdown]
# The first digit, as the bytes it is:

# %%
x[0, ..., 0]

# %% [markdown]
# No other split, and no other set:

# %%
raises(load, 'digits', 'validation'), raises(load, 'cifar11', 'train')


# %% [markdown]
# What is said of a folder that is empty, of two pictures given as numbers from 0 to 1, and of one label too many:

# %%
#| code-fold: true
def put(split, x, y):
    "Save the two files of a split as a user would."
    for kind, array in (('x', x), ('y', y)):
        np.save(cache()/'miniimagenet'/f'{split}_{kind}.npy', array)

def two_pictures(labels):
    "Put two pictures with some labels there and load them."
    put('train', np.linspace(0, 1, 2*84*84*3).reshape(2, 84, 84, 3), np.array(labels))
    put('test', np.zeros((1, 84, 84, 3), np.uint8), np.array([99]))
    x, y = load('miniimagenet', 'train')
    return x.dtype, x.min(), x.max(), y

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

[in_an_empty_cache(lambda: raises(load, 'miniimagenet', 'train')),
 in_an_empty_cache(lambda: two_pictures([7, 3])),
 in_an_empty_cache(lambda: raises(two_pictures, [7, 3, 3]))]


# %% [markdown]
# ## On the device
#
# Images stay bytes until a batch is needed: 50,000 CIFAR images take 154 MB instead of 614. Normalising a batch is one subtraction and one division on the device.

# %%
#| exports
def tensors(
    data: str,            # a data set
    split: str,           # train or test
    device: str = 'cpu',  # where the tensors go
    labels: str = 'y',    # which labels
): # images uint8 (N, C, H, W), labels int64 (N,)
    "One split as tensors on the device."
    import torch
    x, y = load(data, split, labels)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    return x.to(device), torch.from_numpy(y.astype(np.int64)).to(device)

def normalize(
    x,         # images uint8 (N, C, H, W)
    data: str, # the data set whose mean and deviation are used
): # float32 (N, C, H, W), every channel near mean 0 and deviation 1
    "Scale bytes to [0, 1], subtract the channel mean, divide by the channel deviation."
    import torch
    c = SETS[data]
    channel = lambda v: torch.tensor(v, device=x.device).view(1, -1, 1, 1)
    return (x/c.scale - channel(c.mean))/channel(c.std)


# %%
x, y = tensors('digits', 'train')
z = normalize(x, 'digits')
z.shape, round(z.mean().item(), 3), round(z.std().item(), 3)


# %% [markdown]
# Augmentation is batched too: every image gets its own shift and its own coin, in one indexing operation, drawn from a generator that the caller keys.

# %%
#| exports
def crop_flip(
    x,                 # images (N, C, H, W), any dtype
    pad: int,          # zeros added on each side before cropping back
    generator,         # torch generator on the device of `x`
    flip: bool = True, # also mirror half of the images
): # images (N, C, H, W)
    """Shift each image by up to `pad` pixels and mirror every second one, at random.

    Source: the usual CIFAR augmentation."""
    import torch
    n, c, h, w = x.shape
    where = x.device
    draw = lambda high: torch.randint(high, (n, 1), generator=generator, device=where)
    count = lambda size: torch.arange(size, device=where)
    rows = draw(2*pad + 1) + count(h)
    mirrored = draw(2).bool() & flip
    cols = torch.where(mirrored, w - 1 - count(w), count(w))
    cols = draw(2*pad + 1) + cols
    image, channel = count(n)[:, None, None, None], count(c)[:, None, None]
    padded = torch.nn.functional.pad(x, (pad,)*4)
    return padded[image, channel, rows[:, None, :, None], cols[:, None, None, :]]


# %%
#| hide
import torch

# %% [markdown]
# Eight copies of one row of three pixels, without padding: about half come back mirrored, none is lost.

# %%
row = torch.tensor([[[[1, 2, 3]]]]).expand(8, 1, 1, 3)
crop_flip(row, 0, torch.Generator().manual_seed(1)).flatten(1)

# %% [markdown]
# One bright pixel in the middle of a five by five image, six times, with one pixel of padding. Its row and column afterwards:

# %%
spot = torch.zeros(6, 1, 5, 5, dtype=torch.uint8)
spot[..., 2, 2] = 1
crop_flip(spot, 1, torch.Generator().manual_seed(0), flip=False).nonzero()[:, 2:]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.images`; how files come into the cache is said on [their page](files.ipynb). Every training notebook calls `tensors` once and keeps the result on its device.
