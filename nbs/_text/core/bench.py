# %% [markdown]
# # What a time is worth
#
# > Candidates in turn, the same outputs first, at least twenty repeats: a ratio with its spread, on a machine that others use too.

# %% [markdown]
# 3 minutes · what you need first: a median

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.bench

# %%
#| export
import platform
import time

import numpy as np

from papers_nb.errors import UserError

# %%
#| hide
from papers_nb.core.checks import raises

# %% [markdown]
# Seconds belong to a machine and a moment. Ratios belong less to them, if both sides are measured in the same moment. So all candidates do their work in turn, again and again, and a busy moment of the machine hits all of them; what is reported is the median of the ratios within a turn, with the middle half of them in brackets.
#
# Two ways that do not give the same are not compared: outputs come first.

# %%
#| exports
REPEATS = 20 # turns that a page may not go below

def agree(
    candidates: dict, # name → function that returns an array, or several
    tol: float = 1e-5, # of the largest difference
)->bool: # True
    """Assert that all candidates return the same, within `tol`; raises `UserError` that
    names the one that does not. Source: ours."""
    def arrays(found):
        "Outputs as a list of arrays; those of torch without their gradient."
        found = found if isinstance(found, (tuple, list)) else [found]
        return [np.asarray(x.detach() if hasattr(x, 'detach') else x) for x in found]
    (base, want), *others = ((name, arrays(f())) for name, f in candidates.items())
    for name, got in others:
        if [x.shape for x in got] != [x.shape for x in want]:
            raise UserError(f'{name} and {base} return outputs of different shape')
        gap = max(float(np.abs(a - b).max()) for a, b in zip(got, want))
        if not gap <= tol:
            raise UserError(f'{name} and {base} differ by {gap:.2g}, more than {tol:g}')
    return True

def turns(
    candidates: dict,       # name → function of no arguments
    repeats: int = REPEATS, # turns that count
    warm: int = 2,          # turns before them
    clock = time.perf_counter, # gives seconds
)->dict: # name → seconds in every turn, (repeats,)
    "Time every candidate in every turn, one after the other. Source: ours."
    if repeats < REPEATS:
        raise UserError(f'repeats={repeats}: at least {REPEATS}')
    found = {name: np.zeros(warm + repeats) for name in candidates}
    for turn in range(warm + repeats):
        for name, f in candidates.items():
            start = clock()
            f()
            found[name][turn] = clock() - start
    return {name: seconds[warm:] for name, seconds in found.items()}

def spread(
    values,           # one number a turn
    digits: int = 2,  # after the point
)->str:
    "Median, with the middle half in brackets."
    low, mid, high = np.percentile(values, (25, 50, 75))
    return f'{mid:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})'

def ratio(
    a,               # seconds in every turn
    b,               # of another candidate in the same turns
    digits: int = 2, # after the point
)->str:
    "Median of the ratios within a turn, with the middle half in brackets."
    return spread(a/b, digits)

def machine()->str:
    "Processor, threads and version of torch, for the text beside a table."
    import torch
    threads = torch.get_num_threads()
    said = 'one thread' if threads == 1 else f'{threads} threads'
    processor = platform.processor() or platform.machine()
    return f'{processor}, {said}, torch {torch.__version__}'


# %% [markdown]
# Two ways to sum the squares of a thousand numbers. A **floor** is what no way can go below, here to read every number once:

# %%
x = np.linspace(0., 1., 1000)
ways = {'dot': lambda: x @ x, 'loop': lambda: sum(v*v for v in x)}
agree(ways, tol=1e-9)

# %% [markdown]
# Times differ with every run of this page, so what is kept here is what does not: how many turns were counted.

# %%
seconds = turns({'floor': x.max, **ways})
{name: len(t) for name, t in seconds.items()}


# %% [markdown]
# A clock that says what we tell it shows the arithmetic: the second candidate takes twice as long in every turn, however busy the machine.

# %%
def told(steps):
    "A clock that goes on by these steps, one a call."
    now = np.cumsum(np.r_[0., steps])
    return iter(now.tolist()).__next__

busy = np.outer(np.linspace(1., 5., 22), [1., 2.]).ravel() # slower from turn to turn
steps = np.stack([busy, np.zeros(44)], 1).ravel()          # nothing passes in between
counted = turns({'one': lambda: None, 'two': lambda: None}, clock=told(steps[:-1]))
spread(counted['one']), ratio(counted['two'], counted['one'])

# %% [markdown]
# Ways that do not agree are refused, and so are too few turns:

# %%
raises(agree, {'dot': lambda: x @ x, 'sum': lambda: x.sum()})

# %%
raises(turns, ways, repeats=5)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.bench`. Each paper's `50_bench` page is made with it, by `make bench`.
