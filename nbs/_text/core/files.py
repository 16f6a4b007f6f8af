# %% [markdown]
# # Files that are whole, or are not there
#
# > A cache that ninety runs share, a download that is checked, an archive that cannot escape, a pickle that calls nothing, and a card for every data set.

# %% [markdown]
# 6 minutes · what you need first: nothing

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.files

# %%
#| export
import ast, hashlib, io, os, pickle, tarfile, zipfile, zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath

import numpy as np

from papers_nb.errors import UserError, need

# %%
#| hide
import tempfile
from papers_nb.core.checks import raises


# %% [markdown]
# A training is worth as much as the files it read. This page is about how they come onto the disk and what is checked of them; what they mean is said on the pages of the data sets, [images](images.ipynb) and those of each paper.
#
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
# ## The cache
#
# The folder is the one in `PAPERS_NB_CACHE`, else the user's cache folder. A file that was put there by hand is as good as a downloaded one, since its content is checked whenever it is read.

# %%
#| exports
def cache()->Path: # the folder, perhaps not made yet
    "Where data sets are kept: `PAPERS_NB_CACHE`, else the user's cache folder."
    if 'PAPERS_NB_CACHE' in os.environ: return Path(os.environ['PAPERS_NB_CACHE'])
    return Path(need('platformdirs', 'run').user_cache_dir('papers_nb'))


# %% [markdown]
# Ninety runs may start at once on an empty cache. A lock, which the operating system takes from a process that dies, lets one of them make the files; the others wait and find them.

# %%
#| exports
def once(
    files: list[Path],   # in the cache
    make: Callable,      # makes all of them, called without arguments
)->list[Path]: # the same files, all there
    "Make files unless they are there; who comes meanwhile waits. Source: ours."
    if all(f.exists() for f in files): return files
    try: cache().mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f'cannot make the folder {cache()} ({e.strerror}); '
                        'PAPERS_NB_CACHE names another') from None
    with need('filelock', 'run').FileLock(cache()/f'{files[0].stem}.lock'):
        if not all(f.exists() for f in files): make()
    return files


# %% [markdown]
# A download goes into a file of another name, and takes its own once it is whole and has the checksum of the card. Where that fails, the message says what to put where by hand.

# %%
#| exports
def download(
    url: str,             # official address; its last part names the file
    title: str,           # of the set, for messages
    md5: str|None=None,   # of the file; None where publishers change it
)->Path: # in the cache
    """One file from its official address, unless it is in the cache; others wait.

    Raises `UserError` saying what to do by hand. Source: ours, on pooch."""
    path = cache()/url.rsplit('/', 1)[1]
    sum_of = f' (md5 {md5})' if md5 else ''
    by_hand = f'{path.name}{sum_of} from {url} into {cache()}'
    once([path], lambda: _retrieve(url, path, md5, title, by_hand))
    found = need('pooch', 'run').file_hash(str(path), alg='md5') if md5 else None
    if found != md5:
        raise UserError(f'{path} has the wrong checksum (md5 {found}); '
                        f'delete it, or put {by_hand}')
    return path

def _retrieve(url, path, md5, title, by_hand):
    "Download one file with progress; nothing is left of half a file or another one."
    known = f'md5:{md5}' if md5 else None
    try:
        need('pooch', 'run').retrieve(url, known_hash=known, fname=path.name,
                                      path=path.parent, progressbar=True)
    except ValueError as e:
        raise UserError(f'the download of {path.name} has the wrong checksum and was '
                        f'dropped; put {by_hand} by hand ({e})') from None
    except OSError as e:
        raise UserError(f'cannot download {title} ({type(e).__name__}); '
                        f'put {by_hand} by hand') from None


# %%
#| hide
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

@contextmanager
def served(files): # name → bytes
    "A server on this machine with some files; the lines of its log, and its address."
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as here:
        for name, data in files.items(): (Path(there)/name).write_bytes(data)
        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *a): super().__init__(*a, directory=there)
            def log_message(self, *a): log.append(a[1:])
        log, server = [], ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        before = os.environ.get('PAPERS_NB_CACHE')
        os.environ['PAPERS_NB_CACHE'] = here
        try: yield log, f'http://127.0.0.1:{server.server_port}'
        finally:
            server.shutdown()
            server.server_close()
            del os.environ['PAPERS_NB_CACHE']
            if before is not None: os.environ['PAPERS_NB_CACHE'] = before


# %% [markdown]
# A server of our own offers a file, and nine threads want it at once. It is asked once, and none but the file and its lock is left:

# %%
with served({'set.zip': b'content'}) as (log, address):
    want = [f'{address}/set.zip', 'A set', hashlib.md5(b'content').hexdigest()]
    threads = [threading.Thread(target=download, args=want) for _ in range(9)]
    for t in threads: t.start()
    for t in threads: t.join()
    asked, left = len(log), sorted(p.name for p in cache().iterdir())
asked, left

# %% [markdown]
# Another checksum than the one that is known, and no server at all:

# %%
with served({'set.zip': b'other'}) as (log, address):
    other = raises(download, f'{address}/set.zip', 'A set', '0'*32)
    left = [p.name for p in cache().glob('*.zip')]
    nobody = raises(download, 'http://127.0.0.1:9/set.zip', 'A set')
    said = [str(m).replace(str(cache()), 'CACHE') for m in (other, nobody)]
said[0].split(' by hand')[0].replace(address, 'http://SERVER'), left, said[1]


# %% [markdown]
# ## An archive that cannot escape
#
# A tar or zip file may name a member `../../home/you/.bashrc`, and an unwary program writes there. We never write members: we read those we want into memory, refuse any name that leaves the archive, and stop at a size.

# %%
#| exports
def members(
    archive: Path,        # a .zip, .tar, .tar.gz
    limit: int=2**30,     # most bytes that the members may hold together
)->dict[str, bytes]:      # member name → content
    """The files in an archive, read into memory.

    Raises `UserError` if one leaves the archive, if all are too large, and for a broken
    archive. Source: ours."""
    try: return (_zipped if zipfile.is_zipfile(archive) else _tarred)(archive, limit)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as e:
        why = ' '.join(str(e).split())
        raise UserError(f'{archive} is not a whole archive ({why}); '
                        'delete it and fetch it again') from None

def _zipped(archive, limit):
    "The members of a zip file."
    with zipfile.ZipFile(archive) as z:
        files = [i for i in z.infolist() if not i.is_dir()]
        _safe([(i.filename, i.file_size, True) for i in files], limit)
        return {i.filename: z.read(i) for i in files}

def _tarred(archive, limit):
    "The members of a tar file."
    with tarfile.open(archive) as t:
        files = [m for m in t if not m.isdir()]
        _safe([(m.name, m.size, m.isfile()) for m in files], limit)
        return {m.name: t.extractfile(m).read() for m in files}

def _safe(entries, limit):
    "Refuse members by name, size and kind before any is read."
    for name, _, plain in entries:
        path = PurePosixPath(name)
        if path.is_absolute() or '..' in path.parts:
            raise UserError(f'archive member {name!r} leaves the archive; '
                            'nothing was read')
        if not plain:
            raise UserError(f'archive member {name!r} is a link or a device; '
                            'nothing was read')
    size = sum(size for _, size, _ in entries)
    if size > limit:
        raise UserError(f'the archive unpacks to {size} bytes, more than the {limit} '
                        'allowed; nothing was read')


# %%
def tar_of(files): # member name → bytes
    "A small tar archive in a temporary folder."
    path = Path(tempfile.mkdtemp())/'a.tar.gz'
    with tarfile.open(path, 'w:gz') as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
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
    """Reads numbers, strings, containers and numpy arrays.

    Any other class or function raises `UserError`. Source: ours."""
    allowed = frozenset({('multiarray', '_reconstruct'),
                         ('numpy', 'ndarray'), ('numpy', 'dtype')})
    def find_class(self, module, name):
        "A class or function that the pickle names, if it rebuilds an array."
        first, last = module.split('.')[0], module.split('.')[-1]
        if first != 'numpy' or (last, name) not in self.allowed:
            raise UserError(f'the pickle asks for {module}.{name}; '
                            'only numpy arrays are read')
        return getattr(import_module(module.replace('numpy.core', 'numpy._core')), name)

def unpickle(
    data: bytes, # a pickle, of Python 2 or 3
):
    "Read a pickle of arrays; raises `UserError` for any other. Source: ours."
    try: return ArrayUnpickler(io.BytesIO(data), encoding='bytes').load()
    except UserError: raise
    except Exception as e:
        why = f'{type(e).__name__} {e}'
        raise UserError(f'not a whole pickle of arrays: {why}') from None


# %%
unpickle(pickle.dumps({b'data': np.eye(2)}))

# %%
raises(unpickle, pickle.dumps(print))


# %% [markdown]
# ## Arrays on disk
#
# Arrays come as `.npy` and `.npz` files. `numpy.load` would unpickle what asks for it; these two never do.

# %%
#| exports
def npy(
    file: Path, # an .npy file
)->np.ndarray:  # mapped, not read
    """One array on disk, mapped and never unpickled.

    Raises `UserError` if it is not whole. Source: ours."""
    try: return np.lib.format.open_memmap(file, mode='r')
    except Exception as e:
        raise UserError(f'{file} is not a whole .npy file of numbers '
                        f'({" ".join(str(e).split())})') from None

def npz(
    file: Path, # an .npz file
)->dict[str, np.ndarray]: # name → array
    """The arrays of a file, read and never unpickled.

    Raises `UserError` if it is not whole. Source: ours."""
    try: return dict(np.load(file, allow_pickle=False))
    except Exception as e:
        raise UserError(f'{file} is not a whole .npz file of numbers '
                        f'({" ".join(str(e).split())})') from None


# %%
np.savez(folder/'set.npz', x=np.arange(3))
npz(folder/'set.npz')

# %%
np.save(folder/'any.npy', np.array([print]), allow_pickle=True)
str(raises(npy, folder/'any.npy')).replace(str(folder), 'FOLDER')


# %% [markdown]
# ## A folder that you fill
#
# Some sets may not be passed on. Whoever has them puts their files into a folder of the cache (a link will do). There may be no checksum to hold them against; instead what lies there becomes a part of every run's name, and where others have told the checksum of theirs, another one is said.

# %%
#| exports
def supplied(
    name: str,         # folder in the cache
    title: str,        # of the set
    licence: str,      # why it is not downloaded
    wanted: list[str], # names of its files
)->list[Path]: # the files, all there
    "Files that the user has put into the cache; raises `UserError` naming what lacks."
    files = [cache()/name/f for f in wanted]
    if missing := [f.name for f in files if not f.exists()]:
        raise UserError(f'{title} has to come from you ({licence}): put '
                        f'{", ".join(wanted)} into {cache()/name}; '
                        f'missing: {", ".join(missing)}')
    return files

def identity(
    files: list[Path],      # what the user has put there
    known: dict[str, str],  # name → SHA-256 as others found it, or its beginning
)->str: # 16 hex digits over names and content, then the names of files other than known
    "What a run stores as the identity of supplied files. Source: ours."
    sums = {f.name: _sum(f, f.stat().st_mtime_ns) for f in files}
    other = [f for f, found in sums.items() if not found.startswith(known.get(f, ''))]
    every = ' '.join(f'{f}:{found}' for f, found in sums.items())
    digest = hashlib.sha256(every.encode()).hexdigest()[:16]
    return digest + (f' ({", ".join(other)} other than known)' if other else '')

@lru_cache
def _sum(file, changed):
    "SHA-256 of a file, read once as long as it does not change."
    with file.open('rb') as f: return hashlib.file_digest(f, 'sha256').hexdigest()


# %%
identity([folder/'note.txt'], {}), identity([folder/'note.txt'], {'note.txt': '4f8a'})


# %% [markdown]
# ## Cards, and a set by its name
#
# A **card** says how a user obtains a set, under what terms, how large it is, and what lies in the cache. Nothing is computed from it. A module that brings data sets lists them in a dict called `SETS`; each can `fetch` its files into the cache, `load` its content and give the `checksum` of that.

# %%
#| exports
@dataclass(frozen=True, kw_only=True)
class Card:
    "What a person must know of a data set before it is used. Source: ours."
    title: str    # name in sentences
    obtain: str   # how it comes into the cache, as the end of a sentence about it
    licence: str  # terms of use
    cite: str     # whom to cite
    size: str     # how much there is
    files: dict[str, str] = field(default_factory=dict) # file in the cache → content

@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """A data set; its kinds add `load`, which gives the content and fetches it first,
    and `checksum`, its identity in 16 hex digits, which runs store. Source: ours."""
    card: Card
    fetch: Callable[[], list[Path]] = list # its files in the cache, all there


# %% [markdown]
# Cards are read from the text of the modules. So the command line knows every set of every paper at once: no module is imported, and no torch.

# %%
#| exports
@lru_cache
def cards(
    module: str, # core/images, lirdrec/data
)->dict[str, Card]: # name → card, in order; empty if the module brings no data sets
    "The data sets that a module of this package declares; nothing is imported."
    file = Path(import_module('papers_nb').__file__).parent/f'{module}.py'
    text = file.read_text(encoding='utf-8') if file.exists() else ''
    if '\nSETS = {' not in text: return {}
    top = {t.id: n.value for n in ast.parse(text).body if isinstance(n, ast.Assign)
           for t in n.targets if isinstance(t, ast.Name)}
    entries = zip(top['SETS'].keys, top['SETS'].values)
    return {name.value: _card(entry, top) for name, entry in entries}

def _card(entry, top):
    "The card in the syntax tree of an entry, with constants of the module."
    value = lambda n: ast.literal_eval(top[n.id] if isinstance(n, ast.Name) else n)
    call = next(k.value for k in entry.keywords if k.arg == 'card')
    return Card(**{k.arg: value(k.value) for k in call.keywords})

def homes(
    of: str='', # a notebook, adab2n/train, or a paper; '' for all papers
)->list[str]:   # modules
    "Where a data set is looked for, first one first. Source: ours."
    paper = of.split('/')[0]
    if of: return list(dict.fromkeys([of, f'{paper}/data', 'core/images']))
    root = Path(import_module('papers_nb').__file__).parent
    every = sorted(f'{p.parent.name}/{p.stem}' for p in root.glob('*/*.py'))
    every.sort(key=lambda m: (m != 'core/images', not m.endswith('/data')))
    return [m for m in every if cards(m)]

def find(
    of: str,   # a notebook, adab2n/train, or a paper; '' for all papers
    name: str, # of a data set
)->DataSet:
    """A data set by name: of the notebook, else of its paper, else one that all share.

    Raises `UserError` listing those that exist. Source: ours."""
    known = homes(of)
    for module in known:
        if name in cards(module):
            return import_module(f'papers_nb.{module.replace("/", ".")}').SETS[name]
    names = dict.fromkeys(n for module in known for n in cards(module))
    raise UserError(f'no data set {name!r}; there are {", ".join(names)}')


# %%
#| exports
def card_table(
    sets: dict[str, DataSet], # name → set
    sums: dict[str, str],     # name → checksum; none for what comes from the user
)->str: # Markdown
    "What is known of data sets, one a row."
    from papers_nb.core.tables import table
    def line(name, card):
        "One data set."
        known = sums.get(name, 'that of your files')
        return f'`{name}`', card.title, card.obtain, card.size, card.licence, known
    lines = [line(name, s.card) for name, s in sets.items()]
    return table(lines, ('name', 'set', 'how', 'size', 'terms', 'checksum'))

def file_table(
    sets: dict[str, DataSet], # name → set
)->str: # Markdown
    "What lies in the cache, one file or kind of files a row."
    from papers_nb.core.tables import table
    lines = [(f'`{name}`', ', '.join(f'`{f}`' for f in files.split(', ')), what)
             for name, s in sets.items() for files, what in s.card.files.items()]
    return table(lines, ('name', 'files in the cache', 'content'))


# %%
find('adab2n/train', 'digits').card.title, find('lirdrec/train', 'synthetic').checksum()

# %%
raises(find, 'adab2n/train', 'cifar11')

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.files`. From the command line, `papers_nb fetch cifar10` fills the cache, and `papers_nb fetch baby` says what has to come from you.
