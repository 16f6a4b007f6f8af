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
import hashlib, json, os, platform, random, subprocess, sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import torch

import papers_nb
from papers_nb.core.files import write_whole
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
    "Mix a seed, a stream's name and an index into a generator's seed. Source: ours."
    digest = hashlib.sha256(f'{seed}/{stream}/{index}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1

def generator(
    seed: int,            # the run's seed
    stream: str,          # what the draws are for
    index: int,           # which epoch or step
    device: str = 'cpu',  # where the draws happen
)->torch.Generator:
    "A torch generator for one purpose at one epoch or step."
    return torch.Generator(device).manual_seed(key(seed, stream, index))


# %%
[torch.randperm(5, generator=generator(0, 'order', epoch)).tolist()
 for epoch in (7, 8, 7)]


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
)->str: # the device to use; raises `UserError` for one that is not there
    "Choose the device, fix the threads, and make torch deterministic."
    if threads < 1: raise UserError(f'threads={threads}: at least 1')
    torch.set_num_threads(threads)
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(True, warn_only=True)
    if device == 'auto': device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available():
        sees = f'torch {torch.__version__} sees no CUDA device'
        raise UserError(f'device={device!r}: {sees}; use device=cpu')
    return device

def precision(
    name: str,   # fp32 or bf16
    device: str, # the run's device
): # a context for the forward pass
    "Autocast to bfloat16, or nothing."
    if name not in ('fp32', 'bf16'):
        raise UserError(f'precision={name!r}: fp32 or bf16')
    if name == 'fp32': return nullcontext()
    return torch.autocast(device.split(':')[0], torch.bfloat16)


# %%
setup('cpu')

# %%
with precision('bf16', 'cpu'): dtype = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
dtype


# %% [markdown]
# What a record keeps of the machine: enough to explain a difference, nothing that names its owner.

# %%
#| exports
def _git(*args):
    "What git prints in the checkout that this package lies in, or None."
    here = Path(papers_nb.__file__).parent
    if not (here.parent/'.git').exists(): return None
    try: done = subprocess.run(['git', *args], cwd=here, capture_output=True, text=True)
    except FileNotFoundError: return None
    return done.stdout.strip() if done.returncode == 0 else None

def environment(
    device: str, # the run's device
)->dict: # versions, commit, device, threads; no host name and no path
    "What a run record keeps of the machine it ran on."
    commit, cuda = _git('rev-parse', 'HEAD'), device.startswith('cuda')
    return dict(
        papers_nb=papers_nb.__version__, python=platform.python_version(),
        torch=torch.__version__, numpy=np.__version__,
        commit=commit, dirty=bool(_git('status', '--porcelain')) if commit else None,
        system=f'{platform.system()} {platform.machine()}',
        instructions=torch.backends.cpu.get_cpu_capability(),
        device=torch.cuda.get_device_name(device) if cuda else device,
        cuda=torch.version.cuda if cuda else None, threads=torch.get_num_threads())

def peak_mb(
    device: str, # the run's device
)->int: # MB of device memory on a GPU, else of the process
    "Largest memory use so far."
    if device.startswith('cuda'):
        return round(torch.cuda.max_memory_allocated(device)/2**20)
    import resource
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/unit)


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
    lists = sorted({k for r in rows for k, v in r.items() if isinstance(v, list)})
    return dict(steps=len(rows),
                first_losses=[r['loss'] for r in rows[:20] if 'loss' in r],
                series={k: [r[k] for r in rows if k in r] for k in lists})


# %%
digest([{'step': 0, 'loss': 2.}, {'step': 1, 'loss': 1., 'accuracy': [50., 20.]}])


# %% [markdown]
# A record has a schema, and one that does not fit is not written.

# %%
#| exports
@cache
def _schema():
    "The schema of a record, compiled."
    file = Path(papers_nb.__file__).parent/'record.schema.json'
    return need('fastjsonschema', 'run').compile(
        json.loads(file.read_text(encoding='utf-8')))

def validate(
    record: dict, # a run record
):
    "Hold a record against `record.schema.json`; a `UserError` names what does not fit."
    try: _schema()(record)
    except need('fastjsonschema', 'run').JsonSchemaValueException as e:
        raise UserError(f'record {record.get("name")!r}: {e.message}') from None


# %%
try: validate({'name': 'toy'})
except UserError as e: print(str(e)[:60])


# %% [markdown]
# ## Checkpoints
#
# A checkpoint holds the step, the state dicts of everything that learns or remembers, and a few words on who wrote it. Its file name carries a hash of its bytes: a file that was cut short or damaged is recognised before anything is loaded from it, and the generation before it is used instead.

# %%
#| exports
class Hashing:
    "A file to write to that knows the SHA-256 of what was written."
    def __init__(self, file):
        self.file, self.sha, self.error = file, hashlib.sha256(), None

    def write(self, data)->int: # bytes written
        "Write and hash."
        self.sha.update(data)
        try: return self.file.write(data)
        except OSError as e:
            self.error = e # torch reports a full disk as something else
            raise

    def flush(self):
        "Hand over what is buffered."
        self.file.flush()

class Checkpoint:
    """The newest states of a run in a folder, written whole and verified when loaded.

    A state goes to the disk piece by piece and is hashed on the way: none of it is held
    in memory twice. Source: ours."""
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
        """Write one generation, then drop the oldest and what a killed process left.

        Raises `UserError` on a full disk, the older ones untouched."""
        def write(tmp):
            "Fill a temporary file; its hash is part of the name that it gets."
            with open(tmp, 'wb') as f:
                hashing, whole = Hashing(f), dict(step=step, state=state, meta=meta)
                try: torch.save(whole, hashing)
                except RuntimeError as e: raise hashing.error or e from None
            return self.folder/f'{step:09d}-{hashing.sha.hexdigest()[:16]}.pt'
        write_whole(self.folder/f'{step:09d}.pt', write)
        for old in [*self.files()[:-self.keep], *self.folder.glob('.*.pt.*')]:
            old.unlink()

    def load(self,
        device: str='cpu', # where tensors go
    )->dict|None: # step, state and meta of the newest sound one, or None
        "Load the newest checkpoint whose bytes match its name; remove a damaged one."
        for file in reversed(self.files()):
            with open(file, 'rb') as f:
                sha = hashlib.file_digest(f, 'sha256').hexdigest()
            if sha[:16] == file.stem.split('-')[1]:
                return torch.load(file, map_location=device, weights_only=True)
            file.unlink()
            print(f'the checkpoint of step {int(file.stem[:9])} is damaged '
                  'and removed; '
                  'falling back to the one before it')


# %%
checkpoint, net = Checkpoint(tempfile.mkdtemp()), nn.Linear(2, 1)
for step in (10, 20, 30):
    checkpoint.save(step, {'net': net.state_dict()}, {'by': 'this page'})
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
    if isinstance(tree, torch.Tensor):
        return (name if tree.is_floating_point() and not torch.isfinite(tree).all()
                else '')
    items = enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    items = tree.items() if isinstance(tree, dict) else items
    found = (not_finite(v, f'{name}.{k}'.strip('.')) for k, v in items)
    return next(filter(None, found), '')


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
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    return float(value)


# %%
plain(torch.tensor(2.5)), plain([np.float64(1), torch.arange(2)])


# %% [markdown]
# ## The same code
#
# Half a training by one formula and half by another is neither. So a run keeps [a hash of the code that made it](code.ipynb), and one that other code began is not continued.

# %% [markdown]
# ## The loop's smallest companion
#
# A training function asks its run for steps and gives it numbers. On a machine without the extras of a batch, and inside somebody's program, this companion in memory is all it needs; a run in a folder, `papers_nb.runs.Run`, has the same two methods and adds saving, resuming and a record.

# %%
#| exports
def bar(
    steps: range, # steps to do; a range that starts late is a run that goes on
    title: str,   # shown before the bar
)->Iterable[int]:
    "The steps, with a progress bar where tqdm is installed."
    try: from tqdm import tqdm
    except ImportError: return steps
    return tqdm(steps, title, initial=steps.start, total=steps.stop, mininterval=.5)

def keyed(
    steps: Iterable[int], # steps to do
    seed: int,            # of the run
)->Iterator[int]:
    "The steps, the global generators keyed before each. Source: ours."
    for step in steps:
        seed_all(seed, 'step', step)
        yield step

class Stepper:
    "Steps and metrics in memory: what a training function needs of a run, and no more."
    def __init__(self,
        seed: int=0,          # keys every draw
        device: str='cpu',    # where the training happens
        progress: bool=False, # show a bar
    ):
        self.seed, self.device, self.progress = seed, device, progress
        self.metrics, self.ended = [], False

    def steps(self,
        total: int,  # how many
        state: dict, # what a run in a folder would save; not used here
    )->Iterator[int]:
        "Yield 0 to `total`-1, keying the global generators before each."
        ahead = bar(range(total), 'train') if self.progress else range(total)
        for step in keyed(ahead, self.seed):
            self.step = step
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
