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
# ## Theory against code
#
# What a paper says and what its code does are not always the same. Every paper's overview has one table of it, made here: the formula or the sentence, what the official code does and in which file, whether that is *equal* or *differs* and by how much, and the claims and tests that would fail if the line were false. A claim has to stand in the ledger; that a test exists is tested.

# %%
#| exports
CODE = 'https://github.com/OWNER/papers_nb/blob/main'
THEORY = 'theory', 'official code', 'equal or differs', 'shown by'

def against(
    lines,  # theory, file and what it does, verdict, page; then claims and tests
    claims, # of the ledger
)->str: # Markdown
    """Theory against official code. A verdict begins with *equal* or *differs*; a claim
    is named by its id, a test as `tests/….py::test_…`. Raises `UserError` for another
    verdict, and for a line that nothing shows. Source: ours."""
    known = {c['id'] for c in claims}
    def shown(name):
        "A claim by its id, or a test in words, linked to its file."
        if name in known: return f'`{name}`'
        found = re.fullmatch(r'(tests/[\w/]+\.py)::test_(\w+)', name)
        if not found:
            raise UserError(f'{name!r}: the id of a claim or tests/….py::test_…')
        return f'[{found[2].replace("_", " ")}]({CODE}/{found[1]})'
    def line(theory, code, verdict, page, *names):
        "One line."
        bold = re.sub(r'^(equal|differs)\b', r'**\1**', verdict)
        if bold == verdict or not names:
            raise UserError(f'{theory}: equal or differs, and shown by what?')
        return theory, code, bold, ', '.join([page, *map(shown, names)])
    return table([line(*cells) for cells in lines], THEORY)


# %%
stored = [{'id': 'sums.mean'}]
half = '$(a+b)/2$', '`sums.py`: $a/2+b/2$', 'equal', '[claims](checks.ipynb)'
where = 'tests/core/test_checks.py::test_claim_names_are_unique'
Markdown(against([[*half, 'sums.mean', where]], stored))

# %%
wrong = [*half, 'sums.median'], [*half[:2], 'nearly equal', half[3], 'sums.mean'], half
[raises(against, [line], stored) for line in wrong]

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.tables`. [Results](results.ipynb) makes its rows from records.
