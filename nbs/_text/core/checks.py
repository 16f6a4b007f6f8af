# %% [markdown]
# # Claims that can fail
#
# > A statement, the routes that check it, the search for a counterexample, and the edits of the formula that they must notice.

# %% [markdown]
# 8 minutes · what you need first: a function and a doubt

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.checks

# %%
#| export
import json, math, os, re, sys, tempfile, warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType

import numpy as np

from papers_nb import parameters, runs
from papers_nb.core.code import PACKAGE, page_cells, reaches
from papers_nb.core.hunt import Hunt, called, hunted, spans
from papers_nb.core.mutants import Unturned, mutant, mutants as every_mutant
from papers_nb.errors import UserError, need

# %%
#| hide
from hypothesis import strategies as st
from IPython.utils.capture import capture_output
from papers_nb.core.hunt import reals

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
# ## A claim
#
# A claim has at least two routes of different kind. Every route must catch one of the **edits that the page shows**, and every such edit must be caught, by a gap at least ten times the tolerance: one that is only just outside proves nothing. One whose result is infinite or not a number is caught, since nobody takes it for the formula; the formula itself must stay finite on every route. While a reference runs, the function under test is replaced by a tripwire: a route that calls it, by whatever name, is refused.
#
# Chosen points are not enough. So a claim is also [hunted](hunt.ipynb) over its whole domain, and what it refuses is tried. Then [every edit that the rules make](mutants.ipynb) runs through routes, hunt and refusals. An edit that none of them notices is **equivalent**, and the claim says why, or a check is missing, and the claim fails.

# %%
#| exports
CLAIM = 'application/vnd.papers_nb.claim+json'

def claim(
    id: str,             # paper.noun
    statement: str,      # one sentence, with formulas
    of: Callable,        # the function under test
    source: str,         # 'paper §, eq.', 'official code, file' or 'ours'
    checks: list[Check], # at least two, of different kind
    mutants: list[tuple[str, str]], # edits that are shown: old text, new text
    hunts: list[Hunt],   # at least one
    refuses: tuple[Callable, ...]=(), # function → a call that must raise `UserError`
    equivalent: dict[str, str]|None=None, # edit by rule that changes nothing → why
):
    """Run every check and hunt on the function and on its mutants, show the outcome,
    and fail if anything is blunt. Source: ours."""
    _sound(id, checks, hunts)
    data = dict(id=id, statement=statement, of=of.__name__, source=source,
                runs=trainings(id.split('.')[0], of.__name__))
    run = _Run(of, id, checks, hunts, refuses)
    data |= run.numbers() | dict(mutants=[run.shown(*edit) for edit in mutants])
    if not faults({**data, 'mutants': []}): data |= run.made(equivalent or {})
    _show(data)
    if problems := faults(data): raise AssertionError('; '.join(problems))

def trainings(
    paper: str, # its folder
    name: str,  # of a function that one of its modules defines
)->list[str]: # notebooks
    """The trainings that run a function, whatever they are asked; none for theory.

    Source: ours."""
    defines = re.compile(rf'^def {name}\(', re.M).search
    modules = [f'{paper}.{file.stem}' for file in (PACKAGE/paper).glob('*.py')
               if defines(file.read_text(encoding='utf-8'))]
    return [notebook for notebook, page in runs.notebooks().items()
            if notebook.startswith(f'{paper}/') and (options := _options(notebook))
            and any(name in reaches(page_cells(page), options, m) for m in modules)]

def _options(notebook):
    "The values that each parameter of a notebook may have, as far as they choose code."
    names = lambda p: [b.removeprefix('in ') for b in p.bounds if b.startswith('in ')]
    keys = lambda p: [key for name in names(p) for key in parameters.registry(name)]
    known = parameters.parameters(notebook)
    return {name: [p.default, *keys(p)] for name, p in known.items()}

def _sound(id, checks, hunts):
    "Refuse checks that prove nothing, whatever they find."
    if len({c.kind for c in checks}) < 2:
        raise UserError(f'{id}: at least two checks of different kind')
    if not hunts: raise UserError(f'{id}: at least one hunt')
    for c in [*checks, *hunts]:
        if c.kind not in KINDS:
            raise UserError(f'{id}: check kind {c.kind!r}; one of {", ".join(KINDS)}')
        if not 0 < c.tol < math.inf:
            raise UserError(f'{id}: the tolerance of {c.kind} '
                            'must be positive and finite')


# %% [markdown]
# What runs: the routes and hunts of the function first, so that a wrong number is told as a number; then the edits.

# %%
#| exports
class _Run:
    "A claim while it is tried."
    def __init__(self, of, id, checks, hunts, refuses):
        self.of, self.checks, self.hunts, self.refuses = of, checks, hunts, refuses
        self.guard = _Tripwire(of, id)
        self.references = [self.guard(c.kind, c.reference) for c in checks]
        self.found = []

    def gaps(self, f):
        "The gap of each check."
        return [c.gap(f, r) for c, r in zip(self.checks, self.references)]

    def numbers(self):
        "What checks, hunts and refusals say of the function itself."
        checks = [dict(kind=c.kind, gap=g, tol=c.tol, why=c.why)
                  for c, g in zip(self.checks, self.gaps(self.of))]
        return dict(checks=checks, hunts=[self.hunt(h) for h in self.hunts],
                    refuses=[_refused(self.of, r) for r in self.refuses])

    def hunt(self, h):
        "One hunt, and the point outside that shows its condition to be needed."
        judge, seconds = partial(self.guard, h.kind, h.judge), os.environ.get(LONG, 0)
        found = hunted(self.of, h, judge, self.of.__name__, float(seconds))
        self.found.append(found)
        said = dict(kind=h.kind, tol=h.tol, why=h.why, points=found.tried,
                    size=found.size, closest=found.closest, at=_short(found.at),
                    ranges=spans(found), broken=found.broken, outside=None)
        if h.outside:
            args, missing = h.outside
            far = h.ratio(self.of, args, judge(**args))
            said['outside'] = dict(
                at=_short(called(self.of.__name__, args)), why=missing,
                ratio=far if far < math.inf else None)
        return said

    def shown(self, old, new):
        "A chosen edit as the ledger holds it; a gap that is not finite is caught."
        try: edited = mutant(self.of, old, new)
        except UserError as e: return dict(old=old, new=new, gone=str(e))
        gaps = self.gaps(edited)
        caught = [bool(g >= 10*c.tol) for g, c in zip(gaps, self.checks)]
        gaps = [g if g < math.inf else None for g in gaps]
        return dict(old=old, new=new, gaps=gaps, caught=caught)

    def made(self, equivalent):
        "What becomes of every edit that the rules make."
        ends = {m.edit: self.end(m.function) for m in every_mutant(self.of)}
        left = [edit for edit, end in ends.items() if end == 'survived']
        same = [edit for edit in left if edit in equivalent]
        counts = Counter(ends.values())
        return dict(made=dict(
            killed=counts['killed'], stopped=counts['stopped'],
            equivalent=[[edit, equivalent[edit]] for edit in same],
            survived=[edit for edit in left if edit not in equivalent],
            noticed=[edit for edit in equivalent if edit not in left]))

    def end(self, f):
        """`killed` by a number, `stopped` by an error, `survived`, or `none` if it
        edits nothing."""
        end = 'survived'
        with warnings.catch_warnings(action='ignore'), np.errstate(all='ignore'):
            for notices in self.trials():
                try:
                    if notices(f): return 'killed'
                except Unturned: end = 'none'
                except Exception: return 'stopped'
        return end

    def trials(self):
        "All that can notice an edit, one after the other: true if it does."
        for h, found in zip(self.hunts, self.found):
            for args, judged in found.points:
                yield lambda f, h=h, a=args, j=judged: h.ratio(f, a, j) > 1
        for c, r in zip(self.checks, self.references):
            yield lambda f, c=c, r=r: c.gap(f, r) > c.tol
        for call in self.refuses: yield lambda f, call=call: not _refused(f, call)

LONG = 'PAPERS_NB_HUNT' # seconds for each hunt beyond the short one

def _refused(f, call):
    "True if a call raises `UserError`."
    try: call(f)
    except UserError: return True
    return False

def _short(text):
    "A call that fits a line."
    return text if len(text) <= 200 else f'{text[:200]} …'

class _Tripwire:
    """Runs a route while the function under test, and its copies in the modules, are
    replaced by a trap."""
    def __init__(self, of, id):
        homes = [m for n, m in list(sys.modules.items()) if n.startswith('papers_nb.')]
        copies = [of] + [getattr(m, of.__name__, None) for m in homes]
        self.of, self.id = of, id
        functions = dict.fromkeys(f for f in copies if isinstance(f, FunctionType))
        self.traps = [f for f in functions if not f.__closure__]

    def __call__(self, kind, route, /, **args):
        "The value of a route; raises `UserError` if it calls the function."
        def tripwire(*args, **kw):
            "Stands in for the function under test."
            raise AssertionError('tripwire')
        codes = [f.__code__ for f in self.traps]
        for f in self.traps: f.__code__ = tripwire.__code__
        try: return route(**args)
        except AssertionError as e:
            if str(e) != 'tripwire': raise
            raise UserError(f'{self.id}: the reference of {kind} calls '
                            f'{self.of.__name__}, which it is to check') from None
        finally:
            for f, code in zip(self.traps, codes): f.__code__ = code


# %% [markdown]
# What is wrong with a claim is said in sentences, numbers first.

# %%
#| exports
def faults(
    c: dict, # a claim as the ledger holds it
)->list[str]: # one line a fault; none for a sound claim
    """What is wrong with a claim: a gap too wide or not finite, a counterexample, a
    mutant that slips through, a check that catches none. Source: ours."""
    return [f'{c["id"]}: {why}' for why in [*_untrue(c), *_blunt(c), *_unnoticed(c)]]

def _untrue(c):
    "The statement is not what the numbers say."
    for k in c['checks']:
        if not k['gap'] <= k['tol']:
            yield f'{k["kind"]} has gap {k["gap"]:.1e}, allowed {k["tol"]:.1e}'
    for h in c['hunts']:
        if h['broken']: yield f'counterexample: {h["broken"]}'
        if h['outside'] and (h['outside']['ratio'] or math.inf) <= 1:
            yield f'holds also at {h["outside"]["at"]}, where it should not'
    if not all(c['refuses']):
        yield f'refusal {c["refuses"].index(False) + 1} is none: the call does not fail'

def _blunt(c):
    "A chosen edit, or a check, that shows nothing."
    for m in c['mutants']:
        if 'gone' in m: yield m['gone']
        elif not any(m['caught']): yield f'no check catches {m["old"]!r} → {m["new"]!r}'
    rows = [m['caught'] for m in c['mutants'] if 'gone' not in m]
    for i, k in enumerate(c['checks'] if rows else ()):
        if not any(row[i] for row in rows): yield f'{k["kind"]} catches no mutant'

def _unnoticed(c):
    "An edit by rule that nothing notices, or one that is called equivalent and is not."
    made = c.get('made', {})
    for edit in made.get('survived', ()): yield f'nothing notices {edit}'
    for edit in made.get('noticed', ()):
        yield f'called equivalent, but noticed or gone: {edit}'


# %%
#| exports
def _show(c):
    "Display a claim for people and, beside it, for programs."
    from papers_nb.core.tables import table
    routes = [(f'{i}. {k["kind"]}', _size(k['gap']), _size(k['tol']), k['why'])
              for i, k in enumerate(c['checks'], 1)]
    edits = [(edited(m), _noticed(m)) for m in c['mutants']]
    parts = [f'**Claim.** {c["statement"]} *{_where(c)}*',
             table(routes, ('route', 'gap', 'allowed', 'because')),
             *map(_hunt, c['hunts']),
             'Edits of the formula, and the routes that notice:',
             table(edits, ('edit', 'noticed by')), _made(c.get('made'))]
    need('IPython.display', 'run').display({
        CLAIM: c, 'text/markdown': '\n\n'.join(filter(None, parts)),
        'text/plain': f'claim {c["id"]}'}, raw=True)

def _where(c):
    "Whether a training runs the function, in words."
    return f'{", ".join(c["runs"])} runs this.' if c['runs'] else 'Theory.'

def _hunt(h):
    "A hunt in words."
    ranges = '; '.join(f'`{name}` {span}' for name, span in h['ranges'].items())
    found = f'**Counterexample:** `{h["broken"]}`' if h['broken'] else (
        f'the widest gap is {h["closest"]:.2g} of what is allowed')
    text = f'**Hunted** by {h["kind"]} at {h["points"]:,} points ({ranges}): {found}.'
    if not h['outside']: return text
    missing, at = h['outside']['why'], h['outside']['at']
    return f'{text} Outside, {missing}, it is false: `{at}`.'

def _made(made):
    "All edits in words, those that change nothing with the reason."
    if not made: return ''
    same = made['equivalent']
    total = made['killed'] + made['stopped'] + len(same) + len(made['survived'])
    text = (f'Of {total} edits made by rule, {made["killed"]} are noticed by a number '
            f'and {made["stopped"]} by an error')
    if not same: return f'{text}.'
    lines = '\n'.join(f'- {_code(edit)}: {why}' for edit, why in same)
    change = 'changes' if len(same) == 1 else 'change'
    summary = f'<summary>{text}; {len(same)} {change} nothing</summary>'
    return f'<details>{summary}\n\n{lines}\n\n</details>'

def _code(edit):
    "An edit by rule as code."
    return ' → '.join(f'`{part}`' for part in edit.split(' → '))

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
    hits = [str(i) for i, hit in enumerate(m.get('caught', ()), 1) if hit]
    return ', '.join(hits) or 'none'


# %% [markdown]
# A claim about the mean of two numbers, with a limit, a brute force, and a hunt over all pairs:

# %%
def mean_of_two(a, b): return (a + b)/2

def nearest():
    "The number whose squared distances to 2 and 5 have the smallest sum."
    return min(np.linspace(2, 5, 30001), key=lambda m: (m - 2)**2 + (m - 5)**2)

pairs = lambda size: st.fixed_dictionaries({k: reals(-size, size) for k in 'ab'})

claim('sums.mean', 'The mean of two numbers is $(a+b)/2$.',
    of=mean_of_two, source='ours',
    checks=[Check('limit', lambda f: [f(3., 3.), f(-1., -1.)], lambda: [3., -1.],
                  1e-15, 'equal numbers, no rounding'),
            Check('brute force', lambda f: f(2., 5.), nearest,
                  1e-4, 'steps of the grid')],
    hunts=[Hunt(pairs, lambda a, b: float(np.mean([a, b])), 'trusted implementation',
                1e-15, 'float64; numpy.mean')],
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


# %% [markdown]
# A reference that calls the function under test is refused, also through a helper:

# %%
def helper(): return mean_of_two(1., 2.)

hunt = [Hunt(pairs, lambda a, b: (a + b)/2, 'algebra', 1e-15, 'exact')]
same = [Check('limit', lambda f: f(3., 3.), lambda: 3., 1e-15, 'exact'),
        Check('brute force', lambda f: f(1., 2.), lambda: helper(), 1e-15, 'exact')]
edit = [('/2', '/3')]
raises(claim, 'sums.blunt', 'The same.', mean_of_two, 'ours', same, edit, hunt)

# %% [markdown]
# So is a claim with a single kind of route:

# %%
raises(claim, 'sums.single', 'The same.', mean_of_two, 'ours',
       same[:1]*2, edit, hunt)


# %% [markdown]
# A claim that looks at one of two values is blunt, and the edits by rule say so:

# %%
def both(a, b): return a + b, a - b

first = Hunt(pairs, lambda a, b: a + b, 'algebra', 1e-15, 'exact',
             ours=lambda f, a, b: f(a, b)[0])
half = [Check('limit', lambda f: f(3., 3.)[0], lambda: 6., 1e-15, 'exact'),
        Check('algebra', lambda f: f(1., 2.)[0], lambda: 3., 1e-15, 'exact')]
try:
    with capture_output():
        claim('sums.half', 'Half.', both, 'ours', half, [('a + b', 'a*b')], [first])
except AssertionError as e: print(str(e).replace('; ', '\n'))


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

def tally(
    claims: list[dict], # of the ledger
)->dict[str, float]:
    "Sums over claims: checks, points hunted, edits by rule; and the closest call."
    made, hunts = [c['made'] for c in claims], [h for c in claims for h in c['hunts']]
    by_number, by_error = (sum(m[k] for m in made) for k in ('killed', 'stopped'))
    equivalent, survived = (
        sum(len(m[k]) for m in made) for k in ('equivalent', 'survived'))
    return dict(
        claims=len(claims), checks=sum(len(c['checks']) for c in claims),
        points=sum(h['points'] for h in hunts),
        closest=max((h['closest'] for h in hunts), default=0.),
        edits=by_number + by_error + equivalent + survived, by_number=by_number,
        by_error=by_error, equivalent=equivalent, survived=survived)

def differences(
    stored: dict, # a claim of the ledger
    fresh: dict|None, # the same claim run again
)->list[str]:
    "What a fresh run says against a stored claim: a fault, or another claim."
    if fresh is None: return [f'{stored["id"]}: not made by a fresh run']
    if _said(stored) == _said(fresh): return faults(fresh)
    return [*faults(fresh), f'{stored["id"]}: became another claim, store it anew']

def _said(c):
    "What of a claim must not change between runs."
    routes = [(k['kind'], k['tol'], k['why']) for k in [*c['checks'], *c['hunts']]]
    return [c['id'], c['statement'], c['of'], c['source'], c['runs'], routes,
            [(m['old'], m['new']) for m in c['mutants']],
            c.get('made', {}).get('equivalent')]

def rerun(
    notebooks: dict[str, Path], # name → file; those without claims are passed over
    seconds: float=0., # for each hunt, beyond the short one
)->tuple[list[str], list[dict]]: # one line a problem; the claims as they came out
    "Execute the pages that hold claims and compare. Source: ours."
    problems, made = [], []
    for name, path in notebooks.items():
        if stored := ledger({name: path}):
            failed, fresh = _executed(name, path, seconds)
            problems += failed
            for c in stored: problems += differences(c, fresh.get(c['id']))
            made += fresh.values()
    return problems, made

def _executed(name, path, seconds):
    "Run one page elsewhere: why it stopped, if it did, and the claims that it made."
    papermill, failed = need('papermill', 'run'), []
    os.environ[LONG] = str(seconds)
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
# `papers_nb.core.checks`. From the command line, `papers_nb claims` lists the ledger, `papers_nb claims --run` executes every page that holds claims, and `--hunt 60` gives each hunt sixty seconds more.
