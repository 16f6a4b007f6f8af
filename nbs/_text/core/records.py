# %% [markdown]
# # A record outlives what it was called
#
# > What a run leaves: what it was asked, what came out, the hash of every file; found again by what it was asked.

# %% [markdown]
# 5 minutes · what you need first: [a training that can be killed](train.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.records

# %%
#| export
import hashlib, itertools, json, os, sys
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from papers_nb import parameters
from papers_nb.core import files
from papers_nb.errors import UserError

# %%
#| hide
import tempfile
from papers_nb.core.checks import raises


# %% [markdown]
# ## What was asked
#
# A run is asked a notebook, parameters, a data set by the checksum of its content, and, where it follows another run, the same of that one. Its folder has a name to be read by people; **what it is, is what it was asked**. So a parameter may get a new name, a new default or a neighbour, and a record is still found: what it does not say was done as today's default says it is done.

# %%
#| exports
def compared(
    asked: dict, # or a record: notebook and parameters
)->dict: # name today → value
    "The parameters that make a run what it is, by the names that they have now."
    params = parameters.complete(asked['notebook'], asked['parameters'])
    left_out = (*parameters.OPERATIONAL, 'init')
    return {k: v for k, v in params.items() if k not in left_out}

def _digest(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

def identity(
    asked: dict, # or a record: notebook, parameters, data, upstream
)->str: # 64 hex digits
    "What a run is at heart: equal where equal things are asked. Source: ours."
    first, sums = asked.get('upstream'), sorted(asked['data'].values())
    return _digest(asked['notebook'], compared(asked), sums, first and identity(first))


# %% [markdown]
# Where a run was made, and on how many threads, is written down and not part of it. The learning rate is:

# %%
asked = lambda **given: {'notebook': 'adab2n/train', 'parameters': given,
                         'data': {'digits': 'c0ffee'}}
plain = identity(asked(norm='gn'))
(plain == identity(asked(norm='gn', threads=4)),
 plain == identity(asked(norm='gn', lr=.01)))


# %%
#| exports
def root()->Path: # made by the first run
    "Where run folders live: `PAPERS_NB_RUNS`, else ./runs."
    return Path(os.environ.get('PAPERS_NB_RUNS', 'runs')).absolute()

def checksum(
    notebook: str, # numberless name
    params: dict,  # whose `data` names a set that it takes
)->str: # 16 hex digits
    "What a run stores as the identity of its data."
    return files.find(notebook, params['data']).checksum()

def _folders(notebook):
    "The folders of a notebook's runs by how their names begin; none set aside."
    there, found = root()/notebook.replace('/', '-'), {}
    for name in sorted(os.listdir(there)) if there.is_dir() else ():
        if '.old' not in name:
            found.setdefault(name.rpartition('-')[0], []).append(there/name)
    return found

class Known:
    "What a plan of many runs looks up once: checksums of data, the folders there are."
    def __init__(self):
        self.checksum = cache(lambda notebook, data: checksum(notebook, {'data': data}))
        self.folders = cache(_folders)


# %% [markdown]
# `ask` puts together what a run is asked, and `find` names its folder: the one that was asked the same, under whatever name, else a new one. The digits at the end of a new name stand for all that differs from the defaults.

# %%
#| exports
def ask(
    notebook: str,           # numberless name
    params: dict,            # as `parameters.check` returns them
    known: Known|None=None,  # what was looked up before
)->dict: # notebook, parameters, data, upstream
    "What a run is asked, and what the run that it follows is asked. Source: ours."
    known, first = known or Known(), parameters.upstream(notebook, params)
    first = ask(*first, known) if first else None
    return {'notebook': notebook, 'parameters': params,
            'data': {params['data']: known.checksum(notebook, params['data'])},
            'upstream': first and {'name': find(first, known), **first}}

def _begins(asked): return '{data}-seed{seed}'.format(**asked['parameters'])

def _label(asked, again):
    "A readable name, decided by what differs from the defaults."
    known, first = parameters.parameters(asked['notebook']), asked.get('upstream')
    own = {k: v for k, v in compared(asked).items()
           if k not in known or v != known[k].default}
    digest = _digest(own, sorted(asked['data'].values()), first and first['name'],
                     again)
    return f'{asked["notebook"].replace("/", "-")}/{_begins(asked)}-{digest[:8]}'

def read_asked(
    folder: Path, # of a run
)->dict|None: # None if that is not written there
    "What the run in a folder was asked."
    try: return json.loads((folder/'asked.json').read_text(encoding='utf-8'))
    except (OSError, ValueError): return None

def find(
    asked: dict,             # as `ask` returns it
    known: Known|None=None,  # what was looked up before
)->str: # below the run root
    """The name of the folder of a run: the one that was asked the same, else a new one.

    Raises `UserError` for a folder that was asked the same and something unknown."""
    wanted, taken = identity(asked), []
    for folder in (known or Known()).folders(asked['notebook']).get(_begins(asked), []):
        if (stored := read_asked(folder)) is None: continue
        taken.append(f'{folder.parent.name}/{folder.name}')
        if identity(stored) == wanted: return taken[-1]
        _refuse_unknown(asked, stored, taken[-1])
    return next(n for i in itertools.count() if (n := _label(asked, i)) not in taken)

def _refuse_unknown(asked, stored, name):
    "A folder that differs only by a parameter that its notebook never took."
    ours, theirs = compared(asked), compared(stored)
    unknown = theirs.keys() - ours.keys() - parameters.removed(asked['notebook']).keys()
    if unknown and {k: v for k, v in theirs.items() if k not in unknown} == ours:
        raise UserError(f'run {name} was asked with {(u := min(unknown))}={theirs[u]!r}'
                        ', which its notebook does not take; list it below the '
                        'parameters as removed, or move the folder away')


# %%
runs_of = lambda **given: ask('adab2n/train', parameters.check('adab2n/train', given))
(find(runs_of())[:26], find(runs_of()) == find(runs_of(threads=4)),
 find(runs_of()) == find(runs_of(lr=.01)))


# %% [markdown]
# ## Records on disk
#
# The records that these pages quote lie beside the notebooks, one line each; those of your own runs lie in the run folders, below `PAPERS_NB_RUNS` or `./runs`.

# %%
#| exports
def read_record(
    file: Path, # record.json of a run folder
)->dict|None: # the record; None where there is none
    "A run record; raises `UserError` if what is there is not one."
    if not file.exists(): return None
    try:
        record = json.loads(file.read_text(encoding='utf-8'))
        needed = {'schema', 'status', 'notebook', 'parameters'}
        if isinstance(record, dict) and needed <= record.keys(): return record
    except (OSError, ValueError): pass
    raise UserError(f'{file.parent.name}/{file.name} is damaged: not a whole record')

def kept(
    paper: str, # its folder
)->list[dict]: # sorted by name
    "The records that the site quotes, as they stand in `records.jsonl`."
    file = parameters.NOTEBOOKS/paper/'records.jsonl'
    if not file.exists(): return []
    return [json.loads(line) for line in file.read_text(encoding='utf-8').splitlines()]


# %%
half = Path(tempfile.mkdtemp())/'record.json'
half.write_text('{"schema": 2, "status"')
raises(read_record, half)[-28:]


# %% [markdown]
# A damaged record is named and passed over, so that it hides nothing else. Each run counts once, whatever its folders are called:

# %%
#| exports
def at_hand(
    paper: str, # whose runs are looked for
)->Iterator[dict]:
    "The records below the run root; a damaged one is named and passed over."
    for file in sorted(root().glob(f'{paper}-*/*/record.json')):
        try:
            record = None if '.old' in file.parent.name else read_record(file)
        except UserError as e:
            print(f'papers_nb: {e}; passed over', file=sys.stderr)
            continue
        if record: yield record

def records(
    paper: str,      # its folder
    here: bool = True # also those of the runs at hand
)->list[dict]: # with complete parameters
    "The records of a paper, each run once; what one lacks has its present default."
    found = {identity(r): r for r in kept(paper)}
    for r in at_hand(paper) if here else ():
        if r['status'] == 'done' or identity(r) not in found: found[identity(r)] = r
    full = lambda r: parameters.complete(r['notebook'], r['parameters'])
    return [{**r, 'parameters': full(r)} for r in found.values()]


# %%
sample = records('adab2n', here=False)[0]
sorted(sample)


# %% [markdown]
# What is quoted keeps six significant digits of its curves, and its first losses whole, since those are compared with a new run:

# %%
#| exports
def six(
    value, # a number, or nested lists of numbers
): # likewise
    "Numbers to six significant digits."
    return [six(v) for v in value] if isinstance(value, list) else float(f'{value:.6g}')

def keep(
    paper: str, # whose finished runs at hand are added to what the site quotes
)->int: # how many records there are now
    "Write `records.jsonl` anew, one line a run, sorted by name. Source: ours."
    done = {identity(r): r for r in [*kept(paper), *at_hand(paper)]
            if r['status'] == 'done'}
    rows = [{**r, 'series': {k: six(v) for k, v in r['series'].items()}}
            for r in done.values()]
    rows.sort(key=lambda r: r['name'])
    lines = (json.dumps(r, separators=(',', ':'), ensure_ascii=False) for r in rows)
    text = ''.join(f'{line}\n' for line in lines)
    files.write_atomically(parameters.NOTEBOOKS/paper/'records.jsonl', text.encode())
    return len(rows)


# %%
six([[1/3], 2e9/3])


# %% [markdown]
# ## Files that a run leaves
#
# A record holds size and hash of every file that its run left, so that one flipped bit is noticed when the run is opened again.

# %%
#| exports
def artifact(
    path: Path, # a file
)->dict: # bytes, sha256
    "Size and hash of a file, read in pieces."
    with open(path, 'rb') as f: sha = hashlib.file_digest(f, 'sha256').hexdigest()
    return {'bytes': path.stat().st_size, 'sha256': sha}

class Finished:
    "A run that is done: its folder and its record."
    def __init__(self,
        name: str, # of the folder below the run root
    ): self.name, self.folder = name, root()/name

    def __repr__(self): return f'<run {self.name}: done>'

    @cached_property
    def record(self)->dict:
        "The record of the run."
        return read_record(self.folder/'record.json')

    def damaged(self)->list[str]:
        "Files that are gone, or whose bytes are not those that the record holds."
        held = self.record.get('artifacts', {})
        sound = lambda name: ((self.folder/name).is_file()
                              and artifact(self.folder/name) == held[name])
        return [name for name in held if not sound(name)]


# %%
artifact(half)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.records`. `papers_nb.runs` opens, locks and resumes run folders and writes the records; `make replay` asks whether the present code still does what a record's code did.
