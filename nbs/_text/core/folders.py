# %% [markdown]
# # Pictures in folders
#
# > One folder a class, all pictures brought to one size by one filter, and their mean and deviation as proof of it.

# %% [markdown]
# 3 minutes · what you need first: [files](files.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.folders

# %%
#| export
import io
from pathlib import Path

import numpy as np

from papers_nb.core.files import cache, once, write_atomically
from papers_nb.errors import UserError, need

# %%
#| hide
import os, tempfile
from PIL import Image
from papers_nb.core.checks import raises

# %% [markdown]
# Many sets may not be passed on, and their archives come in as many formats as there are sets. What every tool can make of them is a folder for each class:
#
# ```
# aircraft/train/707-320/1025794.jpg
# aircraft/test/707-320/0062765.jpg
# ```
#
# Such a folder in the cache is read once, and kept as one file of bytes a split. Pictures become squares, whatever shape they had, by Lanczos' filter. Another filter gives other numbers: on CIFAR at twice its size the deviation of a channel is 2.2 % smaller with bilinear interpolation. So the published **mean and deviation** of a set are a checksum of how it was prepared, and a set that misses them by more than .01 is refused.

# %%
#| export
NEAR = .01 # how far a mean or a deviation may be from the published one


# %%
#| exports
def folders(
    name: str,   # folder in the cache, with train and test in it
    side: int,   # of the square that every picture becomes
    title: str,  # of the set, for messages
    classes: int, # how many there have to be
    mean: tuple[float, ...], # of the channels of train, from 0 to 1
    std: tuple[float, ...],  # likewise
    licence: str, # why it is not downloaded
)->list[Path]: # one file a split: x uint8 (N, side, side, 3), y
    """A set of the user's, one folder a class, as arrays in the cache; made once.

    Raises `UserError` for folders that lack, classes that are not those of train, what
    is no picture, and pictures prepared in another way. Source: ours."""
    root = cache()/name
    files = [cache()/f'{name}{side}_{split}.npz' for split in ('train', 'test')]
    def make():
        "Read both splits, then write both."
        if missing := [s for s in ('train', 'test') if not (root/s).is_dir()]:
            raise UserError(f'{title} has to come from you ({licence}): put its '
                            f'pictures into {root}, as train/CLASS/PICTURE and '
                            f'test/CLASS/PICTURE; missing: {", ".join(missing)}')
        names = _names(root/'train')
        if len(names) != classes:
            raise UserError(f'{root}/train has {len(names)} folders: one for each of '
                            f'{classes} classes is expected')
        splits = [_split(root/s, side, names) for s in ('train', 'test')]
        _check_channels(root/'train', splits[0][0], mean, std)
        for file, (x, y) in zip(files, splits):
            np.savez(buffer := io.BytesIO(), x=x, y=y)
            write_atomically(file, buffer.getvalue())
    return once(files, make)

def _names(folder):
    "The classes of a split, in order."
    return sorted(p.name for p in folder.iterdir() if p.is_dir())

def _split(folder, side, names):
    "Pictures and labels of one split."
    if other := sorted({*_names(folder)} - {*names}):
        raise UserError(f'{folder} has a class {other[0]!r} that train has not')
    files = [(p, k) for k, name in enumerate(names)
             for p in sorted((folder/name).glob('*')) if not p.name.startswith('.')]
    if not files: raise UserError(f'{folder} holds no pictures')
    x = np.stack([_picture(p, side) for p, _ in files])
    return x, np.array([k for _, k in files], dtype=np.uint8)

def _picture(file, side):
    "One picture as bytes (side, side, 3)."
    pil = need('PIL.Image', 'run')
    try:
        with pil.open(file) as image:
            square = image.convert('RGB').resize((side, side), pil.Resampling.LANCZOS)
    except (OSError, SyntaxError, pil.DecompressionBombError) as e:
        raise UserError(f'{file} is not a whole picture ({e}); '
                        'replace or delete it') from None
    return np.asarray(square)

def _check_channels(folder, x, mean, std):
    "Refuse pictures whose channels are not those of the published preparation."
    parts = [part/255 for part in np.array_split(x, max(1, len(x)//1000))]
    total = lambda f: sum(f(p).sum((0, 1, 2)) for p in parts)/x[..., 0].size
    found = total(lambda p: p)
    spread = np.sqrt(total(np.square) - found**2)
    for what, ours, known in (('mean', found, mean), ('deviation', spread, std)):
        if np.abs(ours - known).max() > NEAR:
            shown = ', '.join(f'{v:.4f}' for v in ours)
            raise UserError(f'{folder}: channels have {what} {shown}; {known} is '
                            'expected: all pictures of the split, whole, in colour')


# %% [markdown]
# A set of two classes, with one picture each, 6×4 pixels of one colour:

# %%
os.environ['PAPERS_NB_CACHE'] = tempfile.mkdtemp()
def put(split, name, color):
    "A picture of one colour."
    folder = cache()/'two'/split/name
    folder.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (6, 4), color).save(folder/'1.png')

for split in ('train', 'test'):
    put(split, 'black', (0, 0, 0))
    put(split, 'red', (255, 0, 0))
given = dict(name='two', side=8, title='Two', classes=2, licence='research only')
half = dict(mean=(.5, 0, 0), std=(.5, 0, 0))
files = folders(**given, **half)
[(k, v.shape) for k, v in np.load(files[0]).items()]

# %% [markdown]
# What is said of pictures of another kind, and of a class too few:

# %%
hidden = lambda text: text.replace(os.environ['PAPERS_NB_CACHE'], 'CACHE')
hidden(raises(folders, **{**given, 'side': 9}, mean=(.5, .5, 0), std=(.5, 0, 0)))

# %%
hidden(raises(folders, **{**given, 'side': 9, 'classes': 3}, **half))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.folders`; [the sets](images.ipynb) that have to come from you as pictures are read by it.
