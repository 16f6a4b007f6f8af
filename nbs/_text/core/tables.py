# %% [markdown]
# # A row of a table has as many cells as its header
#
# > Every table of this project is made here: text to the left, numbers as given, a bar in a text ends no cell, and above it the commands that make its runs.

# %% [markdown]
# 2 minutes

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.tables

# %%
#| export
import re

from papers_nb.errors import UserError

# %%
#| hide
from types import SimpleNamespace

from IPython.display import Markdown
from papers_nb.core.checks import raises


# %%
#| exports
def commands(
    settings, # of type Setting
)->str: # a block of shell lines, or ''
    "The commands that make the runs of some settings, each once. Source: ours."
    lines = [*dict.fromkeys(s.command for s in settings if s.command)]
    return '\n'.join(['```sh', *lines, '```\n\n']) if lines else ''

def _cell(content):
    "The text of a cell, in which a bar is no end; a bar in code stays, as in Markdown."
    def kept(part):
        "One piece of text, maths or code."
        by = {'$': r'\\vert{}', '`': '|'}.get(part[:1], r'\\|')
        return re.sub(r'(?<!\\)\|', by, part)
    return ''.join(map(kept, re.split(r'(\$[^$]+\$|`[^`]+`)', str(content))))

def table(
    lines,               # rows, each of as many cells as the header
    header,              # titles of the columns
    of=(),               # settings, whose commands stand above the table
    padded: bool = False, # columns of even width, for a terminal
)->str: # Markdown
    "A Markdown table, text to the left, numbers as given. Source: ours."
    cells = [[_cell(c) for c in row] for row in (header, *lines)]
    for row in cells:
        if len(row) != len(cells[0]) or any('\n' in c for c in row):
            raise UserError(f'a row of {len(cells[0])} cells without line breaks, '
                            f'not {len(row)}: {row}')
    widths = [max(map(len, column)) if padded else 1 for column in zip(*cells)]
    rule = '|' + '|'.join('-'*max(w + 2, 3) for w in widths) + '|'
    text = ['| ' + ' | '.join(c.ljust(w) for c, w in zip(row, widths)) + ' |'
            for row in cells]
    return commands(of) + '\n'.join([text[0], rule, *text[1:]])


# %% [markdown]
# What stands in `of` has a `command`; each is named once, above the table:

# %%
digits = SimpleNamespace(command='papers_nb grid adab2n/train --grid digits')
Markdown(table([['adab2n', 10], ['gn', 10]], ['norm', 'seeds'], of=[digits, digits]))

# %%
raises(table, [['adab2n']], ['norm', 'seeds'])

# %%
Markdown(table([['$|x|$ or |x|']], ['a length']))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.tables`. [Results](results.ipynb) makes its rows from records.
