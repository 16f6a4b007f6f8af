# %% [markdown]
# # Every edit of a formula
#
# > One operator, comparison, constant, index or axis of a function at a time, edited by rule: what a check has to notice.

# %% [markdown]
# 4 minutes · what you need first: a function, and that Python can read its own source

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.mutants

# %%
#| export
import ast, inspect, textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType

import numpy as np

from papers_nb.errors import UserError

# %%
#| hide
from IPython.display import Markdown
from papers_nb.core.checks import raises
from papers_nb.core.tables import table


# %% [markdown]
# Who breaks a formula by hand breaks it where they look. What nobody thinks of, an index that happens not to matter, a term that is zero in every check, stays. So the edits are made by rule, all of them, and [a claim](checks.ipynb) must notice each one or say why it is none.
#
# ## One edit, chosen
#
# The edits that a page shows are texts: an old piece of the source and a new one.

# %%
#| exports
def mutant(
    f: Callable, # a function defined in a cell or a module
    old: str,    # a piece of its source that stands there once
    new: str,    # what replaces it
)->Callable:
    "`f` with one edit of its source; raises `UserError`. Source: ours."
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

# %%
raises(mutant, mean, 'values', 'v')

# %% [markdown]
# ## All edits
#
# By rule:
#
# | what stands there | what replaces it |
# |---|---|
# | an operator | its opposite; one side alone; both sides exchanged |
# | a comparison | its boundary moved, and its opposite |
# | a whole number | one more, one less |
# | another number | its double; 1 for 0 |
# | `True`, `and`, `not` | `False`, `or`, nothing |
# | a bound of a slice, a condition, `.T` | nothing |
# | `sum`, `min`, `zeros`, `cos` … | `mean`, `max`, `ones`, `sin` … and back |
# | `sqrt`, `exp`, `abs`, `sign` … | nothing |
# | two arguments of a call | the same, exchanged |
# | a change in place | nothing |
# | a value that is returned | the same plus one; turned around |

# %%
#| exports
_OTHER = {ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div],
          ast.Div: [ast.Mult], ast.FloorDiv: [ast.Div], ast.Mod: [ast.FloorDiv],
          ast.Pow: [ast.Mult], ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt],
          ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt], ast.Eq: [ast.NotEq],
          ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
          ast.And: [ast.Or], ast.Or: [ast.And]}
_PAIRS = ('sum mean', 'min max', 'amin amax', 'argmin argmax', 'minimum maximum',
          'floor ceil', 'any all', 'zeros ones', 'zeros_like ones_like', 'cos sin',
          'tril triu', 'real imag')
_CALLED = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}
_ONE_SIDED = {'sqrt', 'exp', 'log', 'abs', 'square', 'sign', 'sigmoid', 'softmax',
              'clamp', 'flip', 'flatten', 'conj'}

def _edits(node):
    "What may replace a node, by rule."
    match node:
        case ast.BinOp(a, op, b):
            yield from (ast.BinOp(a, new(), b) for new in _OTHER.get(type(op), ()))
            yield from (a, b)
            if not isinstance(op, (ast.Add, ast.Mult)): yield ast.BinOp(b, op, a)
        case ast.UnaryOp(ast.USub() | ast.Not(), value): yield value
        case ast.BoolOp(op, values): yield ast.BoolOp(_OTHER[type(op)][0](), values)
        case ast.Compare(a, [op], b):
            yield from (ast.Compare(a, [new()], b) for new in _OTHER.get(type(op), ()))
        case ast.Constant(value): yield from map(ast.Constant, _constants(value))
        case ast.Attribute(value, 'T' | 'mT'): yield value
        case ast.Attribute(value, name) if name in ('real', 'imag'):
            yield ast.Attribute(value, _CALLED[name], ast.Load())
        case ast.Slice(lower, upper, step):
            if lower: yield ast.Slice(None, upper, step)
            if upper: yield ast.Slice(lower, None, step)
        case ast.IfExp(test, body, orelse): yield from (body, orelse)
        case ast.Call(): yield from _calls(node)
        case ast.AugAssign(target, op, value):
            others = _OTHER.get(type(op), ())
            yield from (ast.AugAssign(target, new(), value) for new in others)
            yield ast.Pass()
        case ast.Assign([ast.Subscript()]) | ast.Expr(ast.Call()): yield ast.Pass()
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Return(value) if value: yield from _returned(value)

def _constants(value):
    "What may stand for a constant."
    if isinstance(value, bool): return [not value]
    if isinstance(value, int): return [value + 1, value - 1]
    return [2*value or 1.] if isinstance(value, float) else []

def _calls(node):
    "A call by another name, without its function, and with two arguments exchanged."
    func, args, keywords = node.func, node.args, node.keywords
    name = getattr(func, 'attr', getattr(func, 'id', ''))
    if other := _CALLED.get(name):
        named = (ast.Attribute(func.value, other, ast.Load())
                 if isinstance(func, ast.Attribute) else ast.Name(other, ast.Load()))
        yield ast.Call(named, args, keywords)
    if name in _ONE_SIDED:
        owner = getattr(func, 'value', None)
        method = owner and getattr(owner, 'id', '') not in _MODULES
        if method or args: yield owner if method else args[0]
    for i in range(len(args) - 1):
        turned = [*args[:i], args[i + 1], args[i], *args[i + 2:]]
        yield ast.Call(func, turned, keywords)

_MODULES = ('torch', 'np', 'math')

def _returned(value):
    "A return with one of its values off by one, or turned around."
    values = value.elts if isinstance(value, ast.Tuple) else [value]
    for i, v in enumerate(values):
        turned = ast.Call(ast.Name('turned', ast.Load()), [v], [])
        for new in (ast.BinOp(v, ast.Add(), ast.Constant(1)), turned):
            kept = [*values[:i], new, *values[i + 1:]]
            yield ast.Return(ast.Tuple(kept, ast.Load()) if len(values) > 1 else new)


# %% [markdown]
# What is told rather than computed is left alone: texts, error messages, annotations. Each edit is applied to the tree that Python makes of the source, so that none fails to parse. Private functions that the function calls are edited with it.

# %%
#| exports
class Unturned(Exception):
    "A value without an order cannot be turned around: the edit is none."

@dataclass(frozen=True)
class Mutant:
    "A function with one edit."
    edit: str          # old → new; numbered where the same text is edited twice
    function: Callable # the function, edited

def mutants(
    f: Callable, # a function defined in a cell or a module
)->Iterator[Mutant]:
    "`f` with each edit that the rules make, one at a time. Source: ours."
    seen = Counter()
    for part in [f, *_private(f)]:
        for edit, code in _edited(part):
            seen[edit] += 1
            label = edit if seen[edit] == 1 else f'{edit} ({seen[edit]})'
            yield Mutant(label, _made(f, part, code))

def turned(value):
    "A matrix transposed, a row reversed; raises `Unturned` for what has no order."
    if getattr(value, 'ndim', 0) not in (1, 2): raise Unturned
    return value.T if value.ndim == 2 else value[np.arange(len(value))[::-1].copy()]

def _private(f):
    "The private functions that `f` calls, and those that they call."
    found, ahead = [], [f]
    while ahead:
        g = ahead.pop()
        called = (f.__globals__.get(n) for n in g.__code__.co_names if n[:1] == '_')
        new = [h for h in called if isinstance(h, FunctionType) and h not in found]
        found, ahead = found + new, ahead + new
    return found

def _made(f, part, code):
    "`f` where `part`, itself or a function that it calls, has the edited code."
    scope = {**f.__globals__, 'turned': turned}
    exec(code, scope)
    if part is not f: exec(textwrap.dedent(inspect.getsource(f)), scope)
    return scope[f.__name__]

def _edited(f):
    "Pairs of an edit in words and the code of the edited function."
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef): node.returns = None
        if isinstance(node, ast.arg): node.annotation = None
    for holder, place, node, around in list(_places(tree, tree)):
        old = ast.unparse(around)
        for new in _edits(node):
            _put(holder, place, new)
            edited = ast.unparse(new if around is node else around)
            code = compile(ast.fix_missing_locations(tree), f'<{f.__name__}>', 'exec')
            _put(holder, place, node)
            if edited != old: yield f'{old} → {edited}', code

_TOLD = ast.Raise, ast.JoinedStr, ast.Assert
_SMALL = ast.Constant, ast.Slice, ast.UnaryOp, ast.keyword

def _places(holder, around):
    """Every node below one that is computed with: who holds it, where, itself, and the
    node to show it in."""
    for name, value in ast.iter_fields(holder):
        for i, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or isinstance(node, _TOLD): continue
            seen = around if isinstance(node, _SMALL) else node
            yield holder, (name, i if isinstance(value, list) else None), node, seen
            yield from _places(node, seen)

def _put(holder, place, node):
    "Set a field of a node, or one entry of it."
    name, i = place
    if i is None: setattr(holder, name, node)
    else: getattr(holder, name)[i] = node


# %%
#| echo: false
Markdown(table(((f'`{m.edit.replace(" → ", "` → `")}`',) for m in mutants(mean)), ('edit of the mean',)))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.mutants`. [A claim](checks.ipynb) runs its routes on all of them.
