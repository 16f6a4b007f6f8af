# %% [markdown]
# # Claims that can fail
#
# > A statement, the routes that check it, and the edits of the formula that each route must notice.

# %% [markdown]
# 6 minutes · what you need first: a function and a doubt

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.checks

# %%
#| export
import inspect, json, math, sys, tempfile, textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import numpy as np

from papers_nb.errors import UserError, need

# %% [markdown]
# A derivation can be wrong, and so can its code, in the same way. A check is worth something if it takes **another route** to the same number, and if it **fails when the formula is wrong**. Here both are required of every claim.
#
# ## A route
#
# A route has our value, made by the function under test, and a reference that does not know the function. Its gap is the largest difference between the two; its tolerance comes with a reason.

# %%
#| exports
KINDS = ('trusted implementation', 'limit', 'algebra', 'finite differences',
         'brute force', 'sampling')

@dataclass(frozen=True)
class Check:
    "One route to a number that does not share the derivation's."
    kind: str            # one of KINDS
    ours: Callable       # function under test → numbers
    reference: Callable  # called without arguments → the same numbers, by another route
    tol: float           # largest gap allowed
    why: str             # where the tolerance comes from

    def gap(self,
        f: Callable,    # the function under test, or a mutant of it
        reference=None, # what the other route gave, if it has run already
    )->float: # infinite where one of the two is not finite
        "Largest absolute difference between the two routes."
        reference = self.reference() if reference is None else reference
        a = np.asarray(self.ours(f), dtype=float)
        b = np.asarray(reference, dtype=float)
        if a.shape != b.shape:
            raise UserError(f'{self.kind}: ours has shape {a.shape}, '
                            f'the reference {b.shape}')
        gap = float(np.max(np.abs(a - b)))
        return gap if math.isfinite(gap) else math.inf


# %% [markdown]
# ## A mutant
#
# A mutant is the function with one edit of its source: a sign, an index, a factor. It is made from the text that the reader sees.

# %%
#| exports
def mutant(
    f: Callable, # a function defined in a cell or a module
    old: str,    # a piece of its source that stands there once
    new: str,    # what replaces it
)->Callable:
    "`f` with one edit of its source. Source: ours."
    source = textwrap.dedent(inspect.getsource(f))
    if source.count(old) != 1:
        raise UserError(f'mutant of {f.__name__}: {old!r} stands {source.count(old)} '
                        'times in its source, once is needed')
    scope = dict(f.__globals__)
    exec(source.replace(old, new), scope)
    return scope[f.__name__]


# %%
def mean(values): return sum(values)/len(values)

mean([1, 2, 6]), mutant(mean, 'len(values)', '(len(values) - 1)')([1, 2, 6])

# %% [markdown]
# ## A claim
#
# A claim has at least two routes of different kind. Every route must catch a mutant and every mutant must be caught, by a gap at least ten times the tolerance: a mutant that is only just outside proves nothing. One whose result is infinite or not a number is caught, since nobody takes it for the formula; the formula itself must stay finite on every route. While a reference runs, the function under test is replaced by a tripwire: a route that calls it, by whatever name, is refused.

# %%
#| exports
CLAIM = 'application/vnd.papers_nb.claim+json'

def claim(
    id: str,             # paper.noun
    statement: str,      # one sentence, with formulas
    of: Callable,        # the function under test
    source: str,         # 'paper §, eq.', 'official code, file' or 'ours'
    checks: list[Check], # at least two, of different kind
    mutants: list[tuple[str, str]], # edits of the source of `of`: old text, new text
):
    """Run every check on the function and on its mutants, show the outcome, and fail
    if anything is blunt. Source: ours."""
    _sound(id, checks)
    references = [_untouched(of, c, id) for c in checks]
    gaps = lambda f: [c.gap(f, r) for c, r in zip(checks, references)]
    data = dict(id=id, statement=statement, of=of.__name__, source=source,
                mutants=[_edit(old, new, gaps(mutant(of, old, new)), checks)
                         for old, new in mutants],
                checks=[dict(kind=c.kind, gap=g, tol=c.tol, why=c.why)
                        for c, g in zip(checks, gaps(of))])
    _show(data)
    if problems := faults(data): raise AssertionError('; '.join(problems))

def _edit(old, new, gaps, checks):
    "An edit as the ledger holds it: no gap where it is not finite, which is caught."
    caught = [bool(g >= 10*c.tol) for g, c in zip(gaps, checks)]
    gaps = [g if g < math.inf else None for g in gaps]
    return dict(old=old, new=new, gaps=gaps, caught=caught)

def _sound(id, checks):
    "Refuse checks that prove nothing, whatever they find."
    if len({c.kind for c in checks}) < 2:
        raise UserError(f'{id}: at least two checks of different kind')
    for c in checks:
        if c.kind not in KINDS:
            raise UserError(f'{id}: check kind {c.kind!r}; one of {", ".join(KINDS)}')
        if not 0 < c.tol < math.inf:
            raise UserError(f'{id}: the tolerance of {c.kind} '
                            'must be positive and finite')

def _untouched(of, check, id):
    """The reference of a check, run while the function under test, and its copies in
    the modules, are tripwires."""
    def tripwire(*args, **kw):
        "Stands in for the function under test."
        raise AssertionError('tripwire')
    homes = [m for n, m in list(sys.modules.items()) if n.startswith('papers_nb.')]
    copies = [of] + [getattr(m, of.__name__, None) for m in homes]
    traps = [f for f in dict.fromkeys(f for f in copies if isinstance(f, FunctionType))
             if not f.__closure__]
    codes = [f.__code__ for f in traps]
    for f in traps: f.__code__ = tripwire.__code__
    try: return check.reference()
    except AssertionError as e:
        if str(e) != 'tripwire': raise
        raise UserError(f'{id}: the reference of {check.kind} calls {of.__name__}, '
                        'which it is to check') from None
    finally:
        for f, code in zip(traps, codes): f.__code__ = code

def faults(
    c: dict, # a claim as the ledger holds it
)->list[str]: # one line a fault; none for a sound claim
    """What is wrong with a claim: a gap too wide or not finite, a mutant that slips
    through, a check that catches none."""
    wide = [f'{k["kind"]} has gap {k["gap"]:.1e}, allowed {k["tol"]:.1e}'
            for k in c['checks'] if not k['gap'] <= k['tol']]
    missed = [f'no check catches {m["old"]!r} → {m["new"]!r}'
              for m in c['mutants'] if not any(m['caught'])]
    blunt = [f'{k["kind"]} catches no mutant' for i, k in enumerate(c['checks'])
             if not any(m['caught'][i] for m in c['mutants'])]
    return [f'{c["id"]}: {why}' for why in wide + missed + blunt]

def _show(c):
    "Display a claim for people and, beside it, for programs."
    from papers_nb.core.tables import table
    routes = [(f'{i}. {k["kind"]}', _size(k['gap']), _size(k['tol']), k['why'])
              for i, k in enumerate(c['checks'], 1)]
    edits = [(edited(m), _noticed(m)) for m in c['mutants']]
    parts = [f'**Claim.** {c["statement"]}',
             table(routes, ('route', 'gap', 'allowed', 'because')),
             'Edits of the formula, and the routes that notice:',
             table(edits, ('edit', 'noticed by'))]
    need('IPython.display', 'run').display({
        CLAIM: c, 'text/markdown': '\n\n'.join(parts),
        'text/plain': f'claim {c["id"]}'}, raw=True)

def edited(
    m: dict, # a mutant of the ledger
)->str: # Markdown
    "An edit of a formula; nothing in words: an empty code span swallows what follows."
    shown = (f'`{text}`' if text else 'nothing' for text in (m['old'], m['new']))
    return ' → '.join(shown)

def _size(x):
    "A gap to one digit."
    return '0' if x == 0 else f'{x:.0e}'

def _noticed(m):
    "The numbers of the routes that notice an edit."
    hits = [str(i) for i, hit in enumerate(m['caught'], 1) if hit]
    return ', '.join(hits) or 'none'


# %% [markdown]
# A claim about the mean of two numbers, with a limit and a brute force:

# %%
def mean_of_two(a, b): return (a + b)/2

def nearest():
    "The number whose squared distances to 2 and 5 have the smallest sum."
    return min(np.linspace(2, 5, 30001), key=lambda m: (m - 2)**2 + (m - 5)**2)

claim('sums.mean', 'The mean of two numbers is $(a+b)/2$.',
    of=mean_of_two, source='ours',
    checks=[Check('limit', lambda f: [f(3., 3.), f(-1., -1.)], lambda: [3., -1.],
                  1e-15, 'equal numbers, no rounding'),
            Check('brute force', lambda f: f(2., 5.), nearest,
                  1e-4, 'steps of the grid')],
    mutants=[('a + b', 'a - b'), ('/2', '/3')])


# %% [markdown]
# ## Refusals are part of a page
#
# A function is known as much by what it refuses as by what it returns. The message is the value of the cell, and a call that does not fail is an error of the page.

# %%
#| exports
def raises(
    f,       # called with all other arguments
    *args, **kw,
)->str: # the message
    """The one-line message of the `UserError` that a call raises; fails if it raises
    none."""
    try: result = f(*args, **kw)
    except UserError as e: return str(e)
    raise AssertionError(f'{f!r} raised no UserError but returned {result!r}')


# %%
raises(mutant, mean, 'values', 'v')


# %% [markdown]
# A reference that calls the function under test is refused, also through a helper:

# %%
def helper(): return mean_of_two(1., 2.)

same = [Check('limit', lambda f: f(3., 3.), lambda: 3., 1e-15, 'exact'),
        Check('brute force', lambda f: f(1., 2.), lambda: helper(), 1e-15, 'exact')]
raises(claim, 'sums.blunt', 'The same.', mean_of_two, 'ours', same, [('/2', '/3')])

# %% [markdown]
# So is a claim with a single kind of route:

# %%
raises(claim, 'sums.single', 'The same.', mean_of_two, 'ours',
       same[:1]*2, [('/2', '/3')])


# %% [markdown]
# ## The ledger
#
# What a page claims and how it was checked is stored in the page, as an output that a program can read. The ledger is the set of these outputs: the claims page, the README and the tests read it, and `papers_nb claims` prints it.

# %%
#| exports
def ledger(
    notebooks: dict[str, Path], # name → file
)->list[dict]: # every claim, with the name of its page
    "Read the claims that are stored in the outputs of notebooks. Source: ours."
    pages = {name: json.loads(path.read_text(encoding='utf-8'))
             for name, path in notebooks.items()}
    return [{'page': name, **out['data'][CLAIM]} for name, nb in pages.items()
            for cell in nb['cells'] for out in cell.get('outputs', [])
            if CLAIM in out.get('data', {})]

def differences(
    stored: dict, # a claim of the ledger
    fresh: dict|None, # the same claim run again
)->list[str]:
    "What a fresh run says against a stored claim: another claim, or a fault."
    if fresh is None: return [f'{stored["id"]}: not made by a fresh run']
    if _said(stored) == _said(fresh): return faults(fresh)
    return [f'{stored["id"]}: became another claim, store it anew', *faults(fresh)]

def _said(c):
    "What of a claim must not change between runs."
    return [c['id'], c['statement'], c['of'], c['source'],
            [(k['kind'], k['tol'], k['why']) for k in c['checks']],
            [(m['old'], m['new']) for m in c['mutants']]]

def rerun(
    notebooks: dict[str, Path], # name → file; those without claims are passed over
)->list[str]: # one line a problem; none if every claim holds
    "Execute the pages that hold claims and compare. Source: ours."
    problems = []
    for name, path in notebooks.items():
        if stored := ledger({name: path}):
            failed, fresh = _executed(name, path)
            problems += failed
            for c in stored: problems += differences(c, fresh.get(c['id']))
    return problems

def _executed(name, path):
    "Run one page elsewhere: why it stopped, if it did, and the claims that it made."
    papermill, failed = need('papermill', 'run'), []
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp)/'out.ipynb'
        try:
            papermill.execute_notebook(str(path), str(out), engine_name='papers',
                                       progress_bar=False)
        except papermill.PapermillExecutionError as e:
            failed = [f'{name}: {e.ename}: {e.evalue}']
        return failed, {c['id']: c for c in ledger({name: out})}


# %%
one = {'id': 'sum.even', 'statement': 'Two odd numbers have an even sum.'}
page = {'cells': [{'outputs': [{'data': {CLAIM: one}}]}]}
path = Path(tempfile.mkdtemp())/'page.ipynb'
path.write_text(json.dumps(page))
ledger({'sums/page': path})

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.checks`. From the command line, `papers_nb claims` lists the ledger and `papers_nb claims --run` executes every page that holds claims.
