# %% [markdown]
# # A search that wants us to be wrong
#
# > A claim is held against one of its independent routes at points that nobody chose: generic ones, the edges, and ever larger ones.

# %% [markdown]
# 6 minutes · what you need first: [a claim](checks.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.hunt

# %%
#| export
import math, time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

import numpy as np
import torch

from papers_nb.errors import need

# %%
#| hide
from hypothesis import strategies as st


# %% [markdown]
# A check at chosen points proves little: with $\epsilon=0$ a wrong sign of $\epsilon$ is right, and with four samples a task nobody sees what happens to one. So each claim says for which arguments it is meant, and a seeded search, [hypothesis](https://hypothesis.readthedocs.io), tries to break it there. The search draws generic points and edges, climbs towards the largest gap, and if it finds a counterexample, makes it as small as it can.
#
# ## Numbers to draw
#
# A domain is made of hypothesis' strategies. What is missing there: numbers that stand at the ends of their range often enough, tensors whose entries are not drawn one by one, which would be slow, and weights.

# %%
#| exports
def reals(
    low: float,    # smallest
    high: float,   # largest
    *edges: float, # between them, to be tried as often as the ends
): # a strategy of floats
    "Numbers of a range, its ends and other edges often among them. Source: ours."
    st = need('hypothesis.strategies', 'run')
    ends = [float(x) for x in (low, high, *edges)]
    return st.sampled_from(ends) | st.floats(low, high, allow_subnormal=False)

def scales(
    low: float,  # smallest, above 0
    high: float, # largest
): # a strategy of floats
    "Positive numbers of any order of magnitude within a range. Source: ours."
    return reals(math.log10(low), math.log10(high)).map(lambda e: 10.**e)

def wholes(
    low: int,  # smallest
    high: int, # largest
): # a strategy of integers
    "Whole numbers of a range, its ends often among them. Source: ours."
    st = need('hypothesis.strategies', 'run')
    return st.sampled_from([low, high]) | st.integers(low, high)

def _near(rng, shape):
    "All rows nearly the same, so that a matrix of them is nearly singular."
    return rng.standard_normal(shape[-1:]) + 1e-6*rng.standard_normal(shape)

def _lone(rng, shape):
    "A single entry that is not zero."
    values = np.zeros(shape)
    if values.size: values.flat[rng.integers(values.size)] = rng.standard_normal()
    return values

SHAPES = {
    'generic': lambda rng, shape: rng.standard_normal(shape),
    'zero': lambda rng, shape: np.zeros(shape),
    'equal': lambda rng, shape: np.full(shape, rng.standard_normal()),
    'lone': _lone,
    'near': _near,
    'whole': lambda rng, shape: rng.integers(-3, 4, shape).astype(float),
    'huge': lambda rng, shape: 1e4*rng.standard_normal(shape),
    'tiny': lambda rng, shape: 1e-4*rng.standard_normal(shape)}

def tensors(
    *shape: int,     # of the tensor
    kinds=tuple(SHAPES), # keys of SHAPES, the simplest first
    low: float=None, # no entry is below; what would be is mirrored
): # a strategy of float64 tensors
    """Tensors of one shape: random, all zero, all equal, a single entry, nearly equal
    rows, whole numbers, huge and tiny ones. Source: ours."""
    st = need('hypothesis.strategies', 'run')
    def make(kind, seed):
        "A tensor from a kind and a seed, so that it shrinks by both."
        values = SHAPES[kind](np.random.default_rng(seed), shape)
        if low is not None: values = low + np.abs(values - low)
        return torch.from_numpy(values)
    return st.builds(make, st.sampled_from(kinds), st.integers(0, 2**16))

def weights(
    n: int,            # how many
    least: float=0.,   # no weight is below
): # a strategy of float64 tensors (n,) that sum to one
    """Shares of a whole: equal, all on one, nearly all on one, and random ones.

    Source: ours."""
    st = need('hypothesis.strategies', 'run')
    def make(kind, seed):
        "Shares from a kind and a seed."
        rng = np.random.default_rng(seed)
        one = np.eye(n)[rng.integers(n)]
        mix = {'equal': 0., 'one': 1., 'nearly one': 1 - 1e-6}.get(kind)
        parts = rng.dirichlet(np.ones(n)) if mix is None else mix*one + (1 - mix)/n
        return torch.from_numpy(least + (1 - n*least)*parts)
    kinds = st.sampled_from(('equal', 'random', 'one', 'nearly one'))
    return st.builds(make, kinds, st.integers(0, 2**16))

def exact(values)->np.ndarray:
    "The same numbers as fractions, in an array that adds and multiplies without error."
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=float))


# %%
weights(4).example().sum().item(), exact([.1, .5]).sum()


# %% [markdown]
# ## A hunt
#
# A hunt is a domain, which grows with a size, and a judge: one of the routes of the claim that does not use the function, cheap enough to be asked many times. The gap is relative to one plus the judge's number. What the search tried is written down as it was, so the ranges in the ledger are those that were seen, not those that were meant.

# %%
#| exports
@dataclass(frozen=True)
class Hunt:
    "A search for arguments at which a function and another route disagree."
    domain: Callable    # size → a strategy of dicts, the arguments
    judge: Callable     # called with the arguments → the numbers, by another route
    kind: str           # of the judge, as for a check
    tol: float          # largest gap allowed, relative to 1 + |the judge's number|
    why: str            # where the tolerance comes from
    ours: Callable = lambda f, /, **args: f(**args) # function, arguments → numbers
    sizes: tuple[int, ...] = (1, 2, 8, 32) # what is tried on every run of the page
    most: int = 256     # largest size that a long hunt may try
    points: int = 50    # at each size
    outside: tuple[dict, str] | None = None # where it is false, and what is missing

    def ratio(self,
        f: Callable,    # the function under test, or a mutant of it
        args: dict,     # a point
        judged: object, # the judge's numbers there
    )->float: # infinite where one is not finite, or there are more numbers of one
        "The largest gap at a point as a multiple of what is allowed."
        ours, theirs = flat(self.ours(f, **args)), flat(judged)
        if ours.shape != theirs.shape: return math.inf
        with np.errstate(all='ignore'):
            gaps = np.abs(ours - theirs)/(1 + np.abs(theirs))/self.tol
        worst = float(np.max(gaps, initial=0.))
        return worst if math.isfinite(worst) else math.inf

def flat(values)->np.ndarray: # float64, one axis
    "All numbers of a value: a number, a tensor, or a tuple or list of such."
    if isinstance(values, (tuple, list)):
        return np.concatenate([np.zeros(0), *map(flat, values)])
    if isinstance(values, torch.Tensor): values = values.detach().numpy()
    return np.asarray(values, dtype=float).ravel()


# %% [markdown]
# The points of the short ladder of sizes are the same on every run. A long hunt goes on with other seeds and larger sizes until its time is up. A point at which the gap is too wide ends the hunt, after hypothesis has looked for a smaller one.

# %%
#| exports
@dataclass
class Found:
    "What a hunt has seen."
    points: list = field(default_factory=list) # arguments and what the judge said
    tried: int = 0       # points in all
    size: int = 0        # largest size
    closest: float = 0.  # largest gap as a multiple of what is allowed
    at: str = ''         # the call where it is
    broken: str = ''     # the smallest call found whose gap is too wide
    ranges: dict = field(default_factory=dict) # argument → what was seen

    def see(self, name, args, ratio):
        "Note one point."
        self.tried += 1
        for key, value in args.items():
            self.ranges.setdefault(key, []).append(_span(value))
        if ratio > self.closest or not self.at:
            self.closest, self.at = ratio, called(name, args)

def hunted(
    f: Callable,     # the function under test
    hunt: Hunt,
    judge: Callable, # the judge, guarded
    name: str,       # of the function
    seconds: float=0., # for a long hunt
)->Found:
    """Search until a point breaks the claim, or ladder and time are at an end.

    Source: ours."""
    found, end = Found(), time.monotonic() + seconds
    for size, seed in _ladder(hunt):
        if size > hunt.sizes[-1] or seed:
            if time.monotonic() > end: break
        _visit(f, hunt, judge, name, size, seed, found)
        if found.broken: break
    return found

def _ladder(hunt)->Iterator[tuple[int, int]]:
    "Sizes and seeds: the short ladder, then larger sizes and other seeds, endlessly."
    yield from ((size, 0) for size in hunt.sizes)
    doubled = (hunt.sizes[-1]*2**k for k in range(1, 20))
    larger = [size for size in doubled if size <= hunt.most]
    for seed in count(1):
        yield from ((size, seed) for size in (*hunt.sizes, *larger))

def _visit(f, hunt, judge, name, size, seed, found):
    "Let hypothesis draw points of one size."
    hypothesis = need('hypothesis', 'run')
    phase = hypothesis.Phase
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=hunt.points, database=None, deadline=None, print_blob=False,
        report_multiple_bugs=False, suppress_health_check=list(hypothesis.HealthCheck),
        phases=[phase.generate, phase.target, phase.shrink])
    @hypothesis.given(hunt.domain(size))
    def visit(args):
        "One point."
        judged = judge(**args)
        ratio, got = _asked(hunt, f, args, judged)
        if not found.broken: found.see(name, args, ratio)
        if not seed and not found.broken: found.points.append((args, judged))
        hypothesis.target(min(ratio, 1e9))
        if ratio > 1:
            found.broken = f'{called(name, args)} {got}, the judge {_few(judged)}'
            raise Wide
    try: visit()
    except Wide: pass
    found.size = max(found.size, size)

class Wide(Exception):
    "A gap too wide."

def _asked(hunt, f, args, judged):
    "The gap at a point, and what comes out there in words."
    try: return hunt.ratio(f, args, judged), f'gives {_few(hunt.ours(f, **args))}'
    except Exception as e: return math.inf, f'raises {type(e).__name__}: {e}'

def _few(values):
    "The first numbers of a value."
    return ', '.join(f'{x:.8g}' for x in flat(values)[:4])


# %% [markdown]
# A point is written as the call that it is, and ranges as the smallest and the largest that were seen.

# %%
#| exports
def called(
    name: str,  # of the function
    args: dict, # its arguments
)->str:
    "A call as Python."
    return f'{name}({", ".join(f"{k}={_text(v)}" for k, v in args.items())})'

def _text(value):
    "A value as Python."
    if not isinstance(value, torch.Tensor): return repr(value)
    plain = value.dtype in (torch.int64, torch.float32, torch.bool)
    kind = '' if plain else f', dtype={value.dtype}'
    return f'torch.tensor({value.tolist()}{kind})'

def _span(value):
    "What a range remembers of a value: words, or size and ends of numbers."
    words = list(value) if isinstance(value, (tuple, list)) else [value]
    if words and isinstance(words[0], (str, bool, type(None))):
        return set(map(str, words))
    values, shape = flat(value), tuple(getattr(value, 'shape', ()))
    ends = (float(values.min()), float(values.max())) if len(values) else (0., 0.)
    return (shape, *ends)

def spans(
    found: Found,
)->dict[str, str]: # argument → range in words
    "The ranges of all arguments, as they were seen."
    return {name: _range(seen) for name, seen in found.ranges.items()}

def _range(seen):
    "One range in words."
    if words := [s for s in seen if isinstance(s, set)]:
        return ', '.join(sorted(set().union(*words)))
    shapes, lows, highs = zip(*seen)
    ends = f'{min(lows):.3g} to {max(highs):.3g}'
    if not any(shapes): return ends
    small, large = min(shapes, key=math.prod), max(shapes, key=math.prod)
    size = '×'.join(map(str, small)), '×'.join(map(str, large))
    return f'{size[0]} to {size[1]} numbers from {ends}'


# %% [markdown]
# The sum of squares, rightly and wrongly. The judge adds fractions, and the search finds the smallest numbers that tell the two apart:

# %%
squares = Hunt(
    lambda size: st.fixed_dictionaries({'x': tensors(size)}),
    judge=lambda x: float((exact(x)**2).sum()),
    kind='brute force', tol=1e-12, why='float64')
right = hunted(lambda x: x.square().sum(), squares, squares.judge, 'squares')
right.tried, right.size, right.closest < 1, spans(right)

# %%
wrong = hunted(lambda x: x.square().sum() - x.prod(), squares, squares.judge, 'squares')
wrong.broken

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.hunt`. [A claim](checks.ipynb) is hunted on every run of its page; `papers_nb claims --run --hunt 60` gives each of its hunts 60 seconds more.
