# %% [markdown]
# # Errors as part of a page
#
# > A call that must fail, and the sentence it fails with.

# %% [markdown]
# 1 minute · what you need first: nothing

# %%
#| default_exp core.checks

# %%
#| export
import json
from pathlib import Path

from papers_nb.errors import UserError


# %% [markdown]
# A function is known as much by what it refuses as by what it returns. Each page shows the refusals of its functions, and this is how: the message is the value of the cell, and a call that does not fail is an error of the page.

# %%
#| exports
def raises(
    f,       # called with all other arguments
    *args, **kw,
)->str: # the message
    "The one-line message of the `UserError` that a call raises; fails if it raises none."
    try: result = f(*args, **kw)
    except UserError as e: return str(e)
    raise AssertionError(f'{f!r} raised no UserError but returned {result!r}')


# %%
def half(n):
    "Half of an even number."
    if n % 2: raise UserError(f'n={n}: an even number')
    return n//2

raises(half, 3)

# %% [markdown]
# A call that succeeds where it should not is noticed:

# %%
try: raises(half, 4)
except AssertionError as e: print(str(e)[-34:])

# %% [markdown]
# ## The ledger
#
# What a page claims and how it was checked is stored in the page, as an output that a program can read. The ledger is the set of these outputs.

# %%
#| exports
CLAIM = 'application/vnd.papers_nb.claim+json'

def ledger(
    notebooks: dict[str, Path], # name → file
)->list[dict]: # every claim, with the name of its page
    "Read the claims that are stored in the outputs of notebooks. Source: ours."
    pages = {name: json.loads(path.read_text(encoding='utf-8')) for name, path in notebooks.items()}
    return [{'page': name, **out['data'][CLAIM]} for name, nb in pages.items() for cell in nb['cells'] for out in cell.get('outputs', []) if CLAIM in out.get('data', {})]


# %%
#| hide
import tempfile

# %%
page = {'cells': [{'outputs': [{'data': {CLAIM: {'id': 'sum.even', 'statement': 'Two odd numbers have an even sum.'}}}]}]}
path = Path(tempfile.mkdtemp())/'page.ipynb'
path.write_text(json.dumps(page))
ledger({'sums/page': path})

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.checks`.
