# %% [markdown]
# # A training that can be killed
#
# > Keyed randomness, checkpoints that are whole or absent, and the loop's smallest companion.

# %% [markdown]
# 6 minutes · what you need first: a PyTorch training loop

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.train

# %%
#| export
import ast, dis, hashlib, importlib.util, inspect, io, json, os, platform, random, subprocess, sys, textwrap
from contextlib import nullcontext
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import numpy as np
import torch

import papers_nb
from papers_nb.core.files import write_atomically
from papers_nb.errors import UserError, need

# %%
#| hide
import tempfile
from torch import nn


# %% [markdown]
# A run that is killed and started again should end with the **same bits** as one that was left alone. Two rules make that possible:
#
# 1. nothing random is state: every draw comes from a generator that is seeded by what the draw is for;
# 2. a checkpoint is either whole or not there.
#
# ## Keyed randomness
#
# The order of epoch 7 is drawn from a generator seeded by *(seed, "order", 7)*. A run that resumes in epoch 7 makes the same generator again and has no random state to restore.

# %%
#| exports
def key(
    seed: int,    # the run's seed
    stream: str,  # what the draws are for: order, augment, replay
    index: int,   # which epoch or step
)->int:           # 63 bits
    "Mix a seed, a stream's name and an index into the seed of a generator. Source: ours."
    return int.from_bytes(hashlib.sha256(f'{seed}/{stream}/{index}'.encode()).digest()[:8], 'big') >> 1

def generator(
    seed: int,            # the run's seed
    stream: str,          # what the draws are for
    index: int,           # which epoch or step
    device: str = 'cpu',  # where the draws happen
)->torch.Generator:
    "A torch generator for one purpose at one epoch or step."
    return torch.Generator(device).manual_seed(key(seed, stream, index))


# %%
[torch.randperm(5, generator=generator(0, 'order', epoch)).tolist() for epoch in (7, 8, 7)]


# %% [markdown]
# Libraries draw from global generators without asking: dropout from torch's, an augmentation from Python's or numpy's. One line at the start of a step keys them all.

# %%
#| exports
def seed_all(
    seed: int,    # the run's seed
    stream: str,  # what the draws are for
    index: int,   # which step
):
    "Key the global generators of Python, numpy and torch, on every device."
    k = key(seed, stream, index)
    random.seed(k)
    np.random.seed(k % 2**32)
    torch.manual_seed(k)


# %%
def draws():
    "One number from each global generator at step 3."
    seed_all(0, 'step', 3)
    return random.random(), np.random.rand(), torch.rand(1).item()

draws() == draws()


# %% [markdown]
# ## Device, threads, precision
#
# A sum of floats depends on its order, and two threads add in another order than one. So the number of threads belongs to a run, like its seed.

# %%
#| exports
def setup(
    device: str = 'auto', # auto, cpu, cuda, cuda:1, mps
    threads: int = 1,     # CPU threads of torch
)->str: # the device to use
    "Choose the device, fix the threads, and make torch deterministic; raises `UserError` for a device that is not there."
    if threads < 1: raise UserError(f'threads={threads}: at least 1')
    torch.set_num_threads(threads)
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(True, warn_only=True)
    if device == 'auto': device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available(): raise UserError(f'device={device!r}: torch {torch.__version__} sees no CUDA device; use device=cpu')
    return device

def precision(
    name: str,   # fp32 or bf16
    device: str, # the run's device
): # a context for the forward pass
    "Autocast to bfloat16, or nothing."
    if name not in ('fp32', 'bf16'): raise UserError(f'precision={name!r}: fp32 or bf16')
    return torch.autocast(device.split(':')[0], torch.bfloat16) if name == 'bf16' else nullcontext()


# %%
setup('cpu')

# %%
with precision('bf16', 'cpu'): dtype = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
dtype


# %% [markdown]
# What a record keeps of the machine: enough to explain a difference, nothing that names its owner.

# %%
#| exports
def environment(
    device: str, # the run's device
)->dict: # versions, commit, device, threads; no host name and no path
    "What a run record keeps of the machine it ran on."
    here, cuda = Path(papers_nb.__file__).parent, device.startswith('cuda')
    def git(*args):
        "What git prints, or None."
        try: done = subprocess.run(['git', *args], cwd=here, capture_output=True, text=True)
        except FileNotFoundError: return None
        return done.stdout.strip() if done.returncode == 0 else None
    commit = git('rev-parse', 'HEAD') if (here.parent/'.git').exists() else None
    return dict(papers_nb=papers_nb.__version__, python=platform.python_version(), torch=torch.__version__, numpy=np.__version__,
                commit=commit, dirty=bool(git('status', '--porcelain')) if commit else None, system=f'{platform.system()} {platform.machine()}',
                device=torch.cuda.get_device_name(device) if cuda else device, cuda=torch.version.cuda if cuda else None, threads=torch.get_num_threads())

def peak_mb(
    device: str, # the run's device
)->int: # MB of device memory on a GPU, else of the process
    "Largest memory use so far."
    if device.startswith('cuda'): return round(torch.cuda.max_memory_allocated(device)/2**20)
    import resource
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform == 'darwin' else 2**10))


# %%
sorted(environment('cpu'))


# %% [markdown]
# And of what was logged it keeps how many rows there were, the first losses, and everything that was logged as a list:

# %%
#| exports
def digest(
    rows: list[dict], # every row that was logged
)->dict: # steps, first_losses, series
    "What a record keeps of the metrics of a run."
    lists = {k for r in rows for k, v in r.items() if isinstance(v, list)}
    return dict(steps=len(rows), first_losses=[r['loss'] for r in rows[:20] if 'loss' in r], series={k: [r[k] for r in rows if k in r] for k in sorted(lists)})


# %%
digest([{'step': 0, 'loss': 2.}, {'step': 1, 'loss': 1., 'accuracy': [50., 20.]}])


# %% [markdown]
# A record has a schema, and one that does not fit is not written.

# %%
#| exports
def validate(
    record: dict, # a run record
):
    "Hold a record against `record.schema.json`; raises `UserError` naming the entry that does not fit."
    schema = json.loads((Path(papers_nb.__file__).parent/'record.schema.json').read_text(encoding='utf-8'))
    for e in need('jsonschema', 'run').Draft202012Validator(schema).iter_errors(record):
        raise UserError(f'record {record.get("name")!r}: {e.json_path} {e.message}')


# %%
try: validate({'name': 'toy'})
except UserError as e: print(str(e)[:60])


# %% [markdown]
# ## Checkpoints
#
# A checkpoint holds the step, the state dicts of everything that learns or remembers, and a few words on who wrote it. Its file name carries a hash of its bytes: a file that was cut short or damaged is recognised before anything is loaded from it, and the generation before it is used instead.

# %%
#| exports
class Checkpoint:
    "The newest two states of a run in a folder, written whole and verified when loaded. Source: ours."
    def __init__(self,
        folder: Path, # made when first saved to
        keep: int=2,  # generations kept
    ):
        self.folder, self.keep = Path(folder), keep

    def files(self)->list[Path]: # oldest first
        "The checkpoints in the folder."
        return sorted(self.folder.glob('*.pt'))

    def save(self,
        step: int,   # steps done
        state: dict, # name → state dict
        meta: dict,  # plain values: who wrote it
    ):
        "Write one generation, then drop the oldest and what a killed process left unfinished; raises `UserError` on a full disk, the older ones untouched."
        torch.save(dict(step=step, state=state, meta=meta), buffer := io.BytesIO())
        data = buffer.getvalue()
        write_atomically(self.folder/f'{step:09d}-{hashlib.sha256(data).hexdigest()[:16]}.pt', data)
        for old in [*self.files()[:-self.keep], *self.folder.glob('.*.pt.*')]: old.unlink()

    def load(self,
        device: str='cpu', # where tensors go
    )->dict|None: # step, state and meta of the newest sound one, or None
        "Load the newest checkpoint whose bytes match its name; removes a damaged one and says so."
        for file in reversed(self.files()):
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] == file.stem.split('-')[1]:
                return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
            file.unlink()
            print(f'the checkpoint of step {int(file.stem[:9])} is damaged and removed; falling back to the one before it')


# %%
checkpoint, net = Checkpoint(tempfile.mkdtemp()), nn.Linear(2, 1)
for step in (10, 20, 30): checkpoint.save(step, {'net': net.state_dict()}, {'by': 'this page'})
checkpoint.load()['step'], len(checkpoint.files())

# %% [markdown]
# Damage the newest by one byte:

# %%
newest = checkpoint.files()[-1]
newest.write_bytes(newest.read_bytes()[:-1] + b'?')
checkpoint.load()['step']


# %% [markdown]
# A state in which one number has become infinite is worth less than the one before it. This finds it before it is saved.

# %%
#| exports
def not_finite(
    tree,         # nested dicts and lists of tensors and plain values
    name: str='', # where we are in it
)->str: # the name of the first tensor with a NaN or an infinity, or ''
    "Look for a number that is not finite in a state."
    if isinstance(tree, torch.Tensor): return name if tree.is_floating_point() and not torch.isfinite(tree).all() else ''
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    return next((bad for k, v in items if (bad := not_finite(v, f'{name}.{k}'.strip('.')))), '')


# %%
not_finite({'net': {'weight': torch.ones(2), 'bias': torch.tensor([0., torch.inf])}})


# %% [markdown]
# What is logged are numbers and lists of numbers, whatever they came as:

# %%
#| exports
def plain(
    value, # a number, a tensor, an array, or nested lists of them
): # float, or nested lists of float
    "Numbers as JSON can hold them."
    value = value.tolist() if hasattr(value, 'tolist') else value
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else float(value)


# %%
plain(torch.tensor(2.5)), plain([np.float64(1), torch.arange(2)])


# %% [markdown]
# ## The same code
#
# Half a training by one formula and half by another is neither. So a run keeps a hash of the code that made it: the source of the training function as it runs, of the functions beside it that it calls, of the cells before it on its page, and of every module of this project behind them. Comments, layout and docstrings are left out; an operator, a constant or a default are not.

# %%
#| exports
def _bare(source):
    "The syntax of a source without comments, layout and docstrings."
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None: node.body = node.body[1:]
    return json.dumps(_tree(tree))

def _tree(node):
    "A syntax tree as nested lists, the same in every version of Python."
    if isinstance(node, list): return [_tree(n) for n in node]
    if not isinstance(node, ast.AST): return repr(node)
    return [type(node).__name__, *[[k, _tree(v)] for k, v in ast.iter_fields(node) if v is not None and v != []]]

def _globals(code):
    "The global names that a code object and those inside it read."
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return {i.argval for i in dis.get_instructions(code) if i.opname in ('LOAD_GLOBAL', 'LOAD_NAME')}.union(*map(_globals, inner))

def _file(module):
    "The source file of a module, or None."
    try: spec = importlib.util.find_spec(module)
    except ModuleNotFoundError: return None
    return Path(spec.origin) if spec and (spec.origin or '').endswith('.py') else None

SHOW = {f'papers_nb.{m}' for m in ('runs', 'core.plots', 'core.stats', 'core.checks')} # what pages show with; it changes no training

def _imports(source):
    "The modules of this project that a source imports anywhere, those that only show left out."
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('papers_nb'):
            found |= {n for a in node.names if _file(n := f'{node.module}.{a.name}')} or {node.module}
        elif isinstance(node, ast.Import): found |= {a.name for a in node.names if a.name.startswith('papers_nb.')}
    return found - SHOW

def _page(file):
    "The code of a training page before `fit` runs: neither its parameters, nor its figures, nor shell lines."
    cells = [''.join(c['source']) for c in json.loads(file.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code' and 'parameters' not in c['metadata'].get('tags', [])]
    first = next((i for i, c in enumerate(cells) if c.startswith('fit(')), len(cells) - 1)
    shown = lambda c: '#| label:' in c or '#| code-fold' in c or any(line[:1] in ('!', '%') for line in c.splitlines())
    return '\n'.join(c for c in cells[:first + 1] if not shown(c))

def code_hash(
    function,             # a function, or the frame in which it runs
    page: Path|None=None, # the notebook that runs it
)->str: # 16 hex digits
    "Hash of a function as it runs, of what it calls beside itself, of its page before it, and of the modules behind both. Source: ours."
    code, names = (function.f_code, function.f_globals) if inspect.isframe(function) else (function.__code__, function.__globals__)
    before, worklist = _page(page) if page else '', [(code.co_name, code)]
    parts, modules = {'page': _bare(before)}, _imports(before)
    while worklist:
        name, thing = worklist.pop()
        if name in parts: continue
        try: parts[name] = _bare(source := textwrap.dedent(inspect.getsource(thing)))
        except (OSError, SyntaxError): raise UserError(f'the source of {name} cannot be read, so its run could not be told from another: define it by itself, in a file or a notebook cell') from None
        for n in _globals(compile(source, name, 'exec')) & names.keys():
            value = names[n]
            home = value.__name__ if isinstance(value, ModuleType) else getattr(value, '__module__', None)
            if isinstance(value, (FunctionType, type)) and home == names['__name__']: worklist.append((n, value))
            elif str(home).startswith('papers_nb.') and home not in SHOW: modules.add(home)
            elif isinstance(value, (bool, int, float, str, tuple, list, dict)) and ' at 0x' not in repr(value): parts[n] = repr(value)
    while modules:
        if (name := modules.pop()) not in parts and (file := _file(name)):
            parts[name] = _bare(text := file.read_text(encoding='utf-8'))
            modules |= _imports(text)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


# %%
def rate(step): return .1/step
def lr(step): return rate(step)

before = code_hash(lr)


# %% [markdown]
# A comment and a docstring change nothing:

# %%
def rate(step):
    "The learning rate."
    return .1/step # falls with the steps

code_hash(lr) == before


# %% [markdown]
# Another number, in a function that `lr` only calls, does:

# %%
def rate(step): return .2/step

code_hash(lr) == before


# %% [markdown]
# ## The loop's smallest companion
#
# A training function asks its run for steps and gives it numbers. On a machine without the extras of a batch, and inside somebody's program, this companion in memory is all it needs; a run in a folder, `papers_nb.runs.Run`, has the same two methods and adds saving, resuming and a record.

# %%
#| exports
def bar(
    steps: range, # steps to do; a range that starts late is a run that goes on
    title: str,   # shown before the bar
):
    "The steps, with a progress bar where tqdm is installed."
    try: from tqdm import tqdm
    except ImportError: return steps
    return tqdm(steps, title, initial=steps.start, total=steps.stop, mininterval=.5)

class Stepper:
    "Steps and metrics in memory: what a training function needs of a run, and no more."
    def __init__(self,
        seed: int=0,          # keys every draw
        device: str='cpu',    # where the training happens
        progress: bool=False, # show a bar
    ):
        self.seed, self.device, self.progress, self.metrics, self.ended = seed, device, progress, [], False

    def steps(self,
        total: int,  # how many
        state: dict, # what a run in a folder would save; not used here
    ):
        "Yield 0 to `total`-1, keying the global generators before each."
        for step in bar(range(total), 'train') if self.progress else range(total):
            self.step = step
            seed_all(self.seed, 'step', step)
            yield step
            if self.ended: return

    def enough(self):
        "End the loop after the present step, as early stopping does."
        self.ended = True

    def log(self, **values):
        "Keep one row of numbers."
        self.metrics.append({'step': self.step, **values})


# %% [markdown]
# A whole training: a line through two points.

# %%
def fit(run, net, x, y):
    "Three steps of gradient descent."
    opt = torch.optim.SGD(net.parameters(), .1)
    for _ in run.steps(3, {'net': net, 'opt': opt}):
        opt.zero_grad()
        loss = ((net(x) - y)**2).mean()
        loss.backward()
        opt.step()
        run.log(loss=loss.item())

torch.manual_seed(0)
run = Stepper(seed=0)
fit(run, nn.Linear(1, 1), torch.tensor([[0.], [1.]]), torch.tensor([[1.], [3.]]))
[round(row['loss'], 3) for row in run.metrics]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.train`. `papers_nb.runs` builds run folders on `Checkpoint`; every `fit` of the five papers takes a `Stepper` or a run.
