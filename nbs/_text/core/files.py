# %% [markdown]
# # Files that are whole, or are not there
#
# > A cache, a download that is checked, an archive that cannot escape, a pickle that calls nothing.

# %% [markdown]
# 4 minutes · what you need first: nothing

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.files

# %%
#| export
import io, os, pickle, tarfile, zipfile, zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path, PurePosixPath

import numpy as np

from papers_nb.errors import UserError, need

# %%
#| hide
import tempfile
from papers_nb.core.checks import raises


# %% [markdown]
# ## A file is written whole or not at all
#
# A process can be killed, and a disk can fill up, in the middle of a write. Write beside the target, then rename: a rename happens or does not.

# %%
#| exports
def write_whole(
    path: Path, # file to write; its folder is made
    write: Callable[[Path], Path|None], # fills a temporary file; may name another path
)->Path: # where it is now
    """Fill a file through `write`, whole or not at all.

    Raises `UserError` on a full disk, what was there before untouched. Source: ours."""
    tmp = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path = write(tmp) or path
        with open(tmp, 'rb') as f: os.fsync(f.fileno())
        os.replace(tmp, path)
    except BaseException as e:
        size = tmp.stat().st_size if tmp.exists() else 0
        tmp.unlink(missing_ok=True)
        if not isinstance(e, OSError): raise
        why = f'{e.strerror or e} after {size} bytes; what was there before is kept'
        raise UserError(f'cannot write {path}: {why}') from e
    return path

def write_atomically(
    path: Path,   # file to write; its folder is made
    data: bytes,  # the whole content
):
    "`write_whole` for what is in memory already."
    write_whole(path, lambda tmp: tmp.write_bytes(data) and None)


# %%
folder = Path(tempfile.mkdtemp())
write_atomically(folder/'note.txt', b'whole')
(folder/'note.txt').read_bytes(), [p.name for p in folder.iterdir()]


# %% [markdown]
# ## An archive that cannot escape
#
# A tar or zip file may name a member `../../home/you/.bashrc`, and an unwary program writes there. We never write members: we read those we want into memory, refuse any name that leaves the archive, and stop at a size.

# %%
#| exports
def members(
    archive: Path,        # a .zip, .tar, .tar.gz
    limit: int = 2**30,   # most bytes that the members may hold together
)->dict[str, bytes]:      # member name → content
    "The files in an archive, read into memory; raises `UserError` if one leaves the archive, is too large, or the archive is broken. Source: ours."
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as z: return {i.filename: z.read(i) for i in _safe([(i, i.filename, i.file_size) for i in z.infolist() if not i.is_dir()], limit)}
        with tarfile.open(archive) as t: return {m.name: t.extractfile(m).read() for m in _safe([(m, m.name, m.size) for m in t if not m.isdir()], limit)}
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as e:
        raise UserError(f'{archive} is not a whole archive ({e}); delete it and fetch it again') from None

def _safe(entries, limit):
    "The entries, if every name stays inside the archive and all together fit the limit."
    for entry, name, _ in entries:
        if PurePosixPath(name).is_absolute() or '..' in PurePosixPath(name).parts: raise UserError(f'archive member {name!r} leaves the archive; nothing was read')
        if isinstance(entry, tarfile.TarInfo) and not entry.isfile(): raise UserError(f'archive member {name!r} is a link or a device; nothing was read')
    if (size := sum(e[2] for e in entries)) > limit: raise UserError(f'the archive unpacks to {size} bytes, more than the {limit} allowed; nothing was read')
    return [e[0] for e in entries]


# %%
def tar_of(files): # member name → bytes
    "A small tar archive in a temporary folder."
    path = Path(tempfile.mkdtemp())/'a.tar.gz'
    with tarfile.open(path, 'w:gz') as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name); info.size = len(data); t.addfile(info, io.BytesIO(data))
    return path

members(tar_of({'set/labels': b'123'}))

# %% [markdown]
# One name that climbs out, and nothing is read at all:

# %%
raises(members, tar_of({'set/labels': b'123', '../x': b''}))


# %% [markdown]
# ## A pickle that may only hold arrays
#
# The official CIFAR files are Python pickles, and a pickle may call any function while it is read. Ours admits what numpy needs to rebuild an array and refuses every other name.

# %%
#| exports
class ArrayUnpickler(pickle.Unpickler):
    "Reads numbers, strings, containers and numpy arrays; any other class or function raises `UserError`. Source: ours."
    allowed = frozenset({('multiarray', '_reconstruct'), ('numpy', 'ndarray'), ('numpy', 'dtype')})
    def find_class(self, module, name):
        "A class or function that the pickle names, if it rebuilds an array."
        if (module.split('.')[-1], name) not in self.allowed or module.split('.')[0] != 'numpy': raise UserError(f'the pickle asks for {module}.{name}; only numpy arrays are read')
        return getattr(import_module(module.replace('numpy.core', 'numpy._core')), name)

def unpickle(
    data: bytes, # a pickle, of Python 2 or 3
):
    "Read a pickle of arrays; raises `UserError` if it is broken or holds anything else. Source: ours."
    try: return ArrayUnpickler(io.BytesIO(data), encoding='bytes').load()
    except UserError: raise
    except Exception as e: raise UserError(f'not a whole pickle of arrays: {type(e).__name__} {e}') from None


# %%
unpickle(pickle.dumps({b'data': np.eye(2)}))

# %%
raises(unpickle, pickle.dumps(print))


# %% [markdown]
# ## The cache
#
# The folder is the one in `PAPERS_NB_CACHE`, else the user's cache folder. A file that was put there by hand is as good as a downloaded one, since its content is checked whenever it is read.

# %%
#| exports
def cache()->Path: # the folder, perhaps not made yet
    "Where data sets are kept: `PAPERS_NB_CACHE`, else the user's cache folder."
    if 'PAPERS_NB_CACHE' in os.environ: return Path(os.environ['PAPERS_NB_CACHE'])
    return Path(need('platformdirs', 'run').user_cache_dir('papers_nb'))

def npy(
    file: Path, # an .npy file
)->np.ndarray:  # mapped, not read
    "One array on disk, mapped and never unpickled; raises `UserError` if it is not whole. Source: ours."
    try: return np.lib.format.open_memmap(file, mode='r')
    except Exception as e: raise UserError(f'{file} is not a whole .npy file of numbers ({" ".join(str(e).split())})') from None


# %%
np.save(folder/'three.npy', np.arange(3))
npy(folder/'three.npy').shape

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.files`. [Image sets](images.ipynb) and the data pages of the papers are made of these.
