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
# ## Where it lives
#
# `papers_nb.core.checks`.
