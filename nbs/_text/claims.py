# %% [markdown]
# # Every claim, and what would have caught it
#
# > The ledger of all pages: statement, routes, gaps, and the edits of the formula that the routes notice.

# %% [markdown]
# A claim is a statement that a page derives. It is checked by at least two routes of different kind, none of which calls the function under test for its reference, and every route has been seen to fail on a wrong formula. How that works: [Claims that can fail](core/checks.ipynb). `papers_nb claims` prints this ledger, `papers_nb claims --run` executes the pages and compares.

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
from collections import Counter
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.checks import edited, ledger
from papers_nb.core.tables import table

# %%
#| hide
papers = runs.papers()
pages = {n: p for n, p in runs.notebooks().items() if n.split('/')[0] in papers}
claims = ledger(pages)
link = {n: p.relative_to(runs.NOTEBOOKS).as_posix() for n, p in pages.items()}
edits = [m for c in claims for m in c['mutants']]

# %%
#| echo: false
kinds = Counter(k['kind'] for c in claims for k in c['checks'])
said = ', '.join(f'{n} by {kind}' for kind, n in kinds.most_common())
caught = sum(any(m['caught']) for m in edits)
Markdown(f'**{len(claims)} claims**, {sum(kinds.values())} checks ({said}), '
         f'{len(edits)} edits of formulas, {caught} of them caught.')


# %%
#| echo: false
#| label: tbl-claims
#| tbl-cap: "All claims. The margin of a check is its tolerance over its gap; the margin of an edit is its largest gap over the tolerance."
#| classes: sortable
def worst(c):
    "The check whose gap is nearest to its tolerance."
    return max(c['checks'], key=lambda k: k['gap']/k['tol'])

def row(c):
    "One line of the ledger."
    w, caught = worst(c), sum(any(m['caught']) for m in c['mutants'])
    return [c['statement'], f'[{c["page"]}]({link[c["page"]]})', ', '.join(k['kind'] for k in c['checks']),
            f'{w["gap"]:.0e} of {w["tol"]:.0e}', f'{caught} of {len(c["mutants"])}', c['source']]

Markdown(table(map(row, claims), ['statement', 'page', 'routes', 'widest gap', 'edits caught', 'source']))


# %% [markdown]
# The edits, one line each:

# %%
#| code-fold: true
def edit(c, m):
    "One edit of a formula, and who notices it."
    by = ', '.join(k['kind'] for k, hit in zip(c['checks'], m['caught']) if hit)
    return [f'`{c["of"]}`', edited(m), by]

Markdown(table([edit(c, m) for c in claims for m in c['mutants']], ['function', 'edit', 'noticed by']))
