# %% [markdown]
# # Every claim, and what would have caught it
#
# > The ledger of all pages: statement, routes, gaps, and the edits of the formula that the routes notice.

# %% [markdown]
# A claim is a statement that a page derives. It is checked by at least two routes of different kind, none of which calls the function under test for its reference, and every route has been seen to fail on a wrong formula. Then it is hunted over its whole domain for a counterexample, and every edit of the formula that the rules make must be noticed, or be no edit at all. How that works: [Claims that can fail](core/checks.ipynb), [the search](core/hunt.ipynb), [the edits](core/mutants.ipynb). `papers_nb claims` prints this ledger, `papers_nb claims --run` executes the pages and compares, and `papers_nb claims --run --hunt 60` gives each search sixty seconds more.

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
from collections import Counter
from IPython.display import Markdown
from papers_nb import runs
from papers_nb.core.checks import edited, ledger, tally
from papers_nb.core.tables import table

# %%
#| hide
papers = runs.papers()
pages = {n: p for n, p in runs.notebooks().items() if n.split('/')[0] in papers}
claims = ledger(pages)
link = {n: p.relative_to(runs.NOTEBOOKS).as_posix() for n, p in pages.items()}

# %%
#| echo: false
kinds = Counter(k['kind'] for c in claims for k in c['checks'])
said, all_ = ', '.join(f'{n} by {kind}' for kind, n in kinds.most_common()), tally(claims)
run = sum(bool(c['runs']) for c in claims)
Markdown(f'**{len(claims)} claims**, {run} of functions that a training runs; '
         f'{all_["checks"]} checks ({said}); '
         f'{all_["points"]:,} points hunted; {all_["edits"]:,} edits made by rule, of which '
         f'{all_["by_number"]:,} are noticed by a number, {all_["by_error"]} by an error, '
         f'{all_["equivalent"]} change nothing and {all_["survived"]} are noticed by nobody.')


# %%
#| echo: false
#| label: tbl-claims
#| tbl-cap: "All claims. The widest gap is that of the check nearest to its tolerance, the closest call that of the hunt, as a part of what is allowed."
#| classes: sortable
def worst(c):
    "The check whose gap is nearest to its tolerance."
    return max(c['checks'], key=lambda k: k['gap']/k['tol'])

def row(c):
    "One line of the ledger."
    w, t = worst(c), tally([c])
    return [c['statement'], f'[{c["page"]}]({link[c["page"]]})', ', '.join(c['runs']) or 'theory',
            ', '.join(k['kind'] for k in c['checks']), f'{w["gap"]:.0e} of {w["tol"]:.0e}',
            f'{t["points"]}', f'{t["closest"]:.1g}', f'{t["edits"]}', c['source']]

head = ('statement', 'page', 'run by', 'routes', 'widest gap', 'points hunted', 'closest call',
        'edits by rule', 'source')
Markdown(table(map(row, claims), head))


# %% [markdown]
# Page by page, what became of the edits that the rules make:

# %%
#| echo: false
#| label: tbl-edits
#| tbl-cap: "Edits made by rule, a page each. One that changes nothing has its reason on the page; none may be left that nothing notices."
def made(page):
    "One line a page."
    t = tally([c for c in claims if c['page'] == page])
    return [f'[{page}]({link[page]})', *(f'{t[k]}' for k in (
        'claims', 'edits', 'by_number', 'by_error', 'equivalent', 'survived'))]

with_claims = list(dict.fromkeys(c['page'] for c in claims))
head = 'page', 'claims', 'edits', 'noticed by a number', 'by an error', 'change nothing', 'noticed by nobody'
Markdown(table(map(made, with_claims), head))


# %% [markdown]
# And what the hunts saw. A range is that of the points tried:

# %%
#| code-fold: true
def hunt(c, h):
    "One hunt."
    ranges = '; '.join(f'`{name}` {span}' for name, span in h['ranges'].items())
    return [f'`{c["of"]}`', h['kind'], f'{h["points"]}', f'{h["size"]}', f'{h["closest"]:.1g}', ranges]

head = 'function', 'judge', 'points', 'largest size', 'closest call', 'ranges'
Markdown(table([hunt(c, h) for c in claims for h in c['hunts']], head))


# %% [markdown]
# The edits that the pages show, one line each:

# %%
#| code-fold: true
def edit(c, m):
    "One edit of a formula, and who notices it."
    by = ', '.join(k['kind'] for k, hit in zip(c['checks'], m['caught']) if hit)
    return [f'`{c["of"]}`', edited(m), by]

Markdown(table([edit(c, m) for c in claims for m in c['mutants']], ['function', 'edit', 'noticed by']))
