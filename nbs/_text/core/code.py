# %% [markdown]
# # What counts as the code of a run
#
# > The functions, classes and constants that a training page reaches, as they run; and nothing else.

# %% [markdown]
# 7 minutes · what you need first: what a syntax tree is

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.code

# %%
#| export
import ast, builtins, hashlib, json, re
from collections import defaultdict
from copy import deepcopy
from functools import cache
from pathlib import Path

import papers_nb
from papers_nb.errors import UserError

# %%
#| hide
import tempfile
from textwrap import dedent
from papers_nb.core.checks import raises

# %% [markdown]
# Half a training by one formula and half by another is neither, and a table should not average the two. So a run keeps a hash of the code that made it. What belongs into that hash?
#
# - Too little, and a changed formula goes unnoticed.
# - Too much, and a new method in a list or a function that moved to another file makes every old result look foreign.
#
# The first is the worse mistake: where it is not plain that a piece of code changes no number, it counts.
#
# What counts is what a training page **reaches**: from its cells to the functions, classes and constants that they name, and on to what those name. Nothing is imported or run for that; it is read from syntax trees.
#
# ## What a piece of code says
#
# Comments and layout are gone once a source is a tree. Docstrings and imports are left out, since it is what an import finds that counts.

# %%
#| export
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef, ast.arg, ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.ExceptHandler)
_DECLARED = (ast.Global, ast.Nonlocal, ast.alias) # their names belong to another scope, or to another module
_IMPORTS = (ast.Import, ast.ImportFrom)

def _silent(node):
    "True for what does nothing by itself: a docstring, `pass`, an import, whose find is what counts."
    lone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return lone or isinstance(node, (ast.Pass, *_IMPORTS))

def _words(nodes, kinds):
    "The names that nodes of these kinds hold as text."
    fields = [v for n in nodes if isinstance(n, kinds) for _, v in ast.iter_fields(n)]
    return {w for v in fields for w in (v if isinstance(v, list) else [v]) if isinstance(w, str)}

def _assigned(nodes):
    "The names that are assigned to, in their order."
    return [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]

def _tree(node, names=None):
    "A syntax tree as nested lists, the same in every version of Python; local variables by number."
    if isinstance(node, list): return [_tree(n, names) for n in node if not _silent(n)]
    if not isinstance(node, ast.AST): return ascii(node)
    if names is None and isinstance(node, _FUNCTIONS): names = _variables(node)
    if isinstance(node, ast.Name) and names and node.id in names: return ['Name', names[node.id]]
    fields = [(k, v) for k, v in ast.iter_fields(node) if v not in (None, []) and k not in ('ctx', 'kind')]
    return [type(node).__name__, *([k, _tree(v, names)] for k, v in fields)]

def _digest(*parts):
    "16 hex digits for anything that JSON can hold."
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


# %%
_tree(ast.parse('''
from math import pi
rate = pi # not quite 3
''').body)

# %% [markdown]
# ## What it names
#
# A definition reaches the names that it takes from outside itself, not its own arguments and variables.

# %%
#| export
_LOOPS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, *_LOOPS, ast.Lambda)
_MADE = (ast.JoinedStr, ast.BinOp, ast.Call) # a key that is put together on the spot could be any

def _own(node):
    "The nodes inside a node, but not inside a function, class or comprehension in it."
    for n in ast.iter_child_nodes(node):
        yield n
        if not isinstance(n, (*_SCOPES, ast.ClassDef)): yield from _own(n)

def _bound(node):
    "The names that a node binds in its own scope."
    own = list(_own(node))
    return ({*_assigned(own)} | _words(own, _NAMED)) - _words(own, _DECLARED)

def _path(node):
    "The parts of a dotted name, or None for anything else."
    if isinstance(node, ast.Name): return (node.id,)
    above = _path(node.value) if isinstance(node, ast.Attribute) else None
    return above and (*above, node.attr)

def _by_key(node, child):
    "True where `child` is a dict that is asked for one entry."
    match node:
        case ast.Subscript(slice=key) if key is not child:
            return not any(isinstance(n, _MADE) for n in ast.walk(key))
        case ast.Compare(left=left, ops=ops) if left is not child:
            return all(isinstance(o, (ast.In, ast.NotIn)) for o in ops)
    return False


# %%
STEP = dedent('''
    def step(x, host):
        scale = 2
        return scale*rate(x) + HOSTS[host].weight
    ''')
sorted(_bound(ast.parse(STEP).body[0]))

# %% [markdown]
# With each of the other names goes how it is used: `HOSTS[host]` and `host in HOSTS` ask for one entry, `HOSTS.items()` for all of them. A variable that is nothing else may be called anything, so a tree has a number in its place.

# %%
#| export
_LOOK = {'locals', 'vars', 'eval', 'exec', 'dir'} # these see what a variable is called

def _uses(node):
    "The dotted names that a node takes from outside itself, and whether only one entry is asked for."
    if path := _path(node): return {(path, False)}
    found = set()
    for child in ast.iter_child_nodes(node):
        path = _path(child)
        found |= {(path, _by_key(node, child))} if path else _uses(child)
    if isinstance(node, ast.Raise): return {(path, True) for path, _ in found} # told, not computed with
    if not isinstance(node, _SCOPES): return found
    bound, loop = _bound(node), isinstance(node, _LOOPS)
    inside = {(path, keyed) for path, keyed in found if path[0] not in bound}
    around = [node.generators[0].iter] if loop else [node.args, *getattr(node, 'decorator_list', [])]
    return inside.union(*map(_uses, around))

def _variables(function):
    "A number for each name that is nothing but a variable in a function."
    nodes = list(ast.walk(function))
    if any(isinstance(n, ast.ClassDef) or getattr(n, 'id', '') in _LOOK for n in nodes): return {}
    other = {path[0] for path, _ in _uses(function)} | _words(nodes, (*_NAMED, *_DECLARED))
    return {name: i for i, name in enumerate(dict.fromkeys(_assigned(nodes))) if name not in other}


# %%
sorted(_uses(ast.parse(STEP)))

# %%
_variables(ast.parse(STEP).body[0])


# %% [markdown]
# An import binds a name to a path. And of a `match` on a parameter only one arm runs.

# %%
#| export
def _imports(node, package):
    "Pairs of a local name and the dotted path that an import binds to it, for every import in a tree."
    for n in ast.walk(node):
        if isinstance(n, ast.Import):
            yield from ((a.asname, a.name) if a.asname else (a.name.split('.')[0],)*2 for a in n.names)
        elif isinstance(n, ast.ImportFrom):
            start = package.rsplit('.', n.level - 1)[0] if n.level else ''
            module = '.'.join(filter(None, [start, n.module]))
            yield from ((a.asname or a.name, f'{module}.{a.name}') for a in n.names)

def _arms(node, params):
    "The arm of a `match` that a parameter chooses; all of them where that cannot be said."
    name = getattr(node.subject, 'id', None)
    if name not in params or any(case.guard for case in node.cases): return node.cases
    try: return [case for case in node.cases if _fits(case.pattern, params[name])][:1]
    except ValueError: return node.cases

def _fits(pattern, value):
    "True if a pattern is this value or any; raises `ValueError` for one that looks inside."
    match pattern:
        case ast.MatchValue(value=constant): return ast.literal_eval(constant) == value
        case ast.MatchOr(patterns=patterns): return any([_fits(p, value) for p in patterns])
        case ast.MatchAs(pattern=None): return True
    raise ValueError


# %%
list(_imports(ast.parse('from ..core.train import key as k, seed_all'), 'toy.paper'))


# %% [markdown]
# A definition is then what it says and what it names, without the types of its arguments. A dict of methods is more: each of its entries is a definition.

# %%
#| export
def _entries(node):
    "The entries of a dict literal whose keys are strings, without what fetches and describes data."
    match node:
        case ast.Assign(targets=[ast.Name()], value=ast.Dict(keys=keys, values=v)): values = deepcopy(v)
        case _: return {}
    names, entry = [getattr(k, 'value', None) for k in keys], ast.Name('entry', ast.Store())
    if not all(isinstance(name, str) for name in names): return {}
    for call in (v for v in values if isinstance(v, ast.Call)):
        call.keywords = [k for k in call.keywords if k.arg not in ('fetch', 'card', 'checksum')]
    return {name: _Definition(ast.Assign([entry], value)) for name, value in zip(names, values)}

class _Definition:
    "A top-level statement of a module or a cell, or one entry of a dict."
    def __init__(self, node, package='', params=()):
        self.node, self.imports = ast.Module([node], []), list(_imports(node, package))
        self.silent, self.named = _silent(node), hasattr(node, 'name')
        nodes = list(ast.walk(node))
        inner = {*_assigned(nodes)} | _words(nodes, _NAMED)
        fixed = {name: value for name, value in params if name not in inner}
        for n in nodes:
            n.annotation = n.returns = n.type_params = None
            if isinstance(n, ast.Match): n.cases = _arms(n, fixed)
        self.entries = _entries(node)
        own = set() if self.named else {name for name, _ in self.imports}
        self.binds = _bound(self.node) | own | _words(nodes, ast.Global)
        self.says, self.uses = _digest(_tree(self.node)), sorted(_uses(self.node))
        self.strings = {n.value for n in ast.walk(node) if isinstance(getattr(n, 'value', None), str)}


# %%
def says(source): return _Definition(ast.parse(source).body[0]).says

says('''
def rate(step: int)->float: # falls with the steps
    "The learning rate."
    now = .1/step
    return now
''') == says('''
def rate(step):
    lr = .1 / step
    return lr''')

# %% [markdown]
# A default does count:

# %%
says('def rate(top=.1): return top') == says('def rate(top=.2): return top')


# %% [markdown]
# ## Where a name leads
#
# A module or a page is a list of such statements. A name leads to every statement that binds it: which one it stood for when it was read would be hard to say, and to count all of them, and their places, is safe. What a statement does beside binding names, as `fit(run, net)`, is an act.

# %%
#| export
@cache
def _definitions(text, where, package='', params=()):
    "The top-level statements of a module or a cell."
    try: return [_Definition(node, package, params) for node in ast.parse(text).body]
    except SyntaxError as e:
        raise UserError(f'{where} cannot be read as Python: line {e.lineno}, {e.msg}') from None

class _Source:
    "A module or a page: what each name of its top level is bound to, and what it does beside binding names."
    def __init__(self, early=()): self.names, self.acts, self.early = defaultdict(list), [], early

    def add(self, definition, waits):
        "Take one statement, which may wait until it is named; `at` is how many acts came before."
        at, paths = len(self.acts), [] if definition.named else definition.imports
        own = [] if definition.silent else [(name, definition) for name in definition.binds]
        for name, bound in [*paths, *own]:
            if [b for _, b in self.names[name][-1:]] != [bound]: self.names[name].append((at, bound))
        if not waits and not definition.silent: self.acts.append(definition)

def _file(folder, module):
    "The file of a module below a folder, or None."
    path = folder.joinpath(*module)
    return next((f for f in (path/'__init__.py', path.with_suffix('.py')) if f.exists()), None)

def _module(file, name):
    "A module, in which whatever binds a name waits."
    source, package = _Source(), name if file.name == '__init__.py' else name.rpartition('.')[0]
    for d in _definitions(file.read_text(encoding='utf-8'), name, package): source.add(d, bool(d.binds))
    return source


# %%
def source(text):
    "A page of one cell."
    made = _Source()
    for d in _definitions(text, 'here'): made.add(d, d.named)
    return made

rates = source('def rate(): return 1\nx = rate()\ndef rate(): return 2\nx += rate()')
{name: [at for at, _ in bound] for name, bound in rates.names.items()}

# %% [markdown]
# `rate` is bound before the first act and after it. (An assignment is an act too.)

# %% [markdown]
# A small package to try it on: two losses in a dict and a helper.

# %%
#| code-fold: true
toy = Path(tempfile.mkdtemp())/'toy'
toy.mkdir()
METHODS = dedent('''
    from toy.scale import SCALE

    def half(x):
        "A half."
        return x/2

    def er(x): return SCALE*half(x)
    def derpp(x): return SCALE*x

    HOSTS = {'er': er, 'derpp': derpp}
    ''')

def write(methods=METHODS, scale='SCALE = 3'):
    "The package, with the text of its two modules."
    (toy/'__init__.py').touch()
    (toy/'methods.py').write_text(methods)
    (toy/'scale.py').write_text(scale)


# %% [markdown]
# From name to name: a module that only shows, tells or fetches is not entered; what comes from elsewhere, torch for instance, counts by its path.

# %%
#| export
SHOWN = ('runs', 'parameters', 'engine', 'grid', 'player', 'cli', 'errors', 'core.files', 'core.records',
         'core.replay', 'core.plots', 'core.stats', 'core.tables', 'core.results', 'core.checks',
         'core.bench')

class _Names:
    "Follows names to definitions, and notes those that are new."
    def __init__(self, folder):
        self.root, self.parts = folder.name, defaultdict(set)
        self.file = cache(lambda module: _file(folder, module))
        self.source = cache(lambda module: _module(self.file(module), '.'.join([self.root, *module])))
        self.ahead, self.seen, self.strings, self.tables, self.whole = [], set(), set(), {}, set()

    def follow(self, source, name, rest, keyed, own=()):
        "Follow a dotted name to all that it is bound to; returns where it leads."
        bound, found = [*own, *source.names.get(name, ())], []
        order = [(at, getattr(b, 'says', b)) for at, b in bound]
        if len(bound) > 1 or (bound and name in source.early): self.parts[name].add(_digest(order))
        keyed = keyed and len(bound) == 1
        for _, b in bound:
            if isinstance(b, str): found += self.enter([*b.split('.'), *rest], keyed)
            else: found += self.reach(source, name, b, keyed and not rest)
        return found

    def reach(self, source, name, definition, keyed):
        "Note a definition as reached. A dict waits until its entries are asked for, unless it is all used."
        if definition in self.seen: return [name]
        if definition.entries: self.tables[definition] = source, name
        else: self.ahead.append((source, min(definition.binds), definition))
        if definition.entries and not keyed:
            self.strings |= definition.entries.keys()
            self.parts[name].add(_digest(list(definition.entries)))
        return [name]

    def enter(self, path, keyed):
        "Follow a path from its package; returns the names that it leads to, or itself if it is not ours."
        module, (root, *rest) = (), path
        if root != self.root: return ['.'.join(path)]
        while rest and self.file((*module, rest[0])): module = (*module, rest.pop(0))
        if '.'.join(module) in SHOWN: return rest[:1]
        source = self.source(module)
        if rest in ([], ['*']): # the module is handed on: all that is in it
            names, self.whole = [] if source in self.whole else source.names, self.whole | {source}
            for name in names: self.follow(source, name, [], False)
            return ['.'.join(path)]
        if rest[0] in source.names: return self.follow(source, rest[0], rest[1:], keyed)
        raise UserError(f'{".".join([root, *module, rest[0]])} has no source that can be read, '
                        'so a run of it could not be told from another')


# %%
write()
names = _Names(toy)
names.enter(['toy', 'methods', 'HOSTS'], True), names.enter(['torch', 'nn'], False)


# %% [markdown]
# A walk goes on until nothing new is reached. The entries of a dict wait until a parameter, or a string in the code reached, is their key.

# %%
#| export
class _Walk(_Names):
    "Goes from definitions to definitions and keeps a digest of each."
    def read(self, source, definition):
        "A digest of what a definition says and where its names lead."
        self.seen.add(definition)
        self.strings |= definition.strings
        self.ahead += [(source, 'at import', act) for act in source.acts]
        links = [('*', to) for to in self.follow(source, '*', [], False)]
        for (name, *rest), keyed in definition.uses:
            own = [(0, path) for local, path in definition.imports if local == name]
            links += [(name, to) for to in self.follow(source, name, rest, keyed, own)]
        return _digest(definition.says, sorted(set(links)))

    def asked(self):
        "The entries that parameters or the code reached name, but for those that were read."
        return [(source, f'{name}[{key!r}]', entry) for table, (source, name) in self.tables.items()
                for key, entry in table.entries.items() if key in self.strings and entry not in self.seen]

    def run(self):
        "Until nothing new is reached."
        while ahead := self.ahead or self.asked():
            source, name, definition = ahead.pop()
            if definition not in self.seen: self.parts[name].add(self.read(source, definition))


# %%
walk = _Walk(toy)
walk.enter(['toy', 'methods', 'HOSTS'], True)
walk.strings = {'derpp'}
walk.run()
sorted(walk.parts)

# %% [markdown]
# ## The cells of a page
#
# On the page, a cell that draws or tells (one with `#| label:`, `#| code-fold` or `#| echo: false`) is left out unless something in it is used by what counts. So is a line that calls nothing or only `print`, and a shell command. An exported cell counts as the module that it becomes.

# %%
#| export
_SHOWN_CELL = re.compile(r'^#\| *(label:|code-fold|echo: *false)', re.M)
_EXPORTED = re.compile(r'^#\| *exports?\b', re.M)
_SHELL = re.compile(r'^(\w+ *= *)?([!%]|get_ipython\(\)\.)')
_BUILTIN = {name for name, v in vars(builtins).items() if isinstance(v, (type, type(len)))}
_QUIET = {'print', 'display', 'help', 'dir', 'len', 'type', 'repr', 'str', 'list', 'tuple'} # these only show

def _reads(text):
    "True for Python."
    try: return bool(ast.parse(text))
    except SyntaxError: return False

@cache
def _python(cell):
    "A cell without its shell lines and magics, before or after IPython has rewritten them."
    if cell.startswith('get_ipython().run_cell_magic('):
        cell = '%%\n' + ast.literal_eval(ast.parse(cell).body[0].value.args[2])
    if cell.startswith('%%'):
        body = cell.partition('\n')[2]
        return body if _reads(body) else '' # what %%time measures counts, a shell script does not
    if _reads(cell) and 'get_ipython()' not in cell: return cell
    return '\n'.join(line for line in cell.splitlines() if not _SHELL.match(line))

def _looks(definition, names):
    "True for a line that calls nothing, or only what shows; `names` are those that the page binds."
    line, acts = definition.node.body[0], (ast.Call, ast.NamedExpr, ast.Await)
    calls = [getattr(n, 'func', None) for n in ast.walk(line) if isinstance(n, acts)]
    return isinstance(line, ast.Expr) and all(getattr(f, 'id', '') in _QUIET - names for f in calls)

def _page(cells, params):
    "The cells of a page, a `match` on a parameter that no cell sets anew cut to its arm."
    texts = [(_python(c.strip()), f'the cell that begins {c.strip().partition(chr(10))[0]!r}') for c in cells]
    names = {name for text in texts for d in _definitions(*text) for name in d.binds}
    plain = {n: v for n, v in params.items() if n not in names and isinstance(v, (str, int, float))}
    page = _Source({*params, *_BUILTIN})
    for cell, (text, where) in zip(cells, texts):
        shown, exported = _SHOWN_CELL.search(cell), _EXPORTED.search(cell)
        chosen = tuple((n, v) for n, v in plain.items() if f'match {n}:' in text)
        for d in _definitions(text, where, '', chosen):
            if not _looks(d, names): page.add(d, shown or d.named or (exported and d.binds))
    return page


# %%
raw = ('!pip install toy\nx = 1', '%%time\nx = 1', '%%html\n<b>x</b>')
[_python(cell) for cell in raw]

# %% [markdown]
# The acts of a page count in their order, and with them all that they reach:

# %%
#| export
PACKAGE = Path(papers_nb.__file__).parent

def reached(
    cells: list[str],        # the code of a page, as `page_cells` or `kernel_cells` give it
    params: dict,            # the run's parameters, name → value
    package: Path = PACKAGE, # folder of the package whose code counts
)->dict[str, str]: # name → 16 hex digits; `page` for the statements of the cells
    "Digest of everything that a run reaches; raises `UserError` for code that cannot be read. Source: ours."
    walk, said = _walked(cells, params, package)
    walk.parts['page'].add(_digest(said))
    return {name: _digest(sorted(found)) for name, found in sorted(walk.parts.items())}

def _walked(cells, params, package):
    "The walk through all that a run reaches, and what the statements of its cells say."
    walk, page, train = _Walk(Path(package)), _page(cells, params), ('core', 'train')
    values = [v for p in params.values() for v in (p if isinstance(p, (list, tuple)) else [p])]
    walk.seen, walk.strings = set(page.acts), {v for v in values if isinstance(v, str)}
    said = [walk.read(page, act) for act in page.acts]
    if walk.file(train): walk.follow(walk.source(train), 'keyed', [], False) # it seeds every step
    walk.run()
    return walk, said

def reaches(
    cells: list[str],  # the code of a page, as `page_cells` gives it
    options: dict[str, list], # parameter → the values that it may have
    module: str,       # of the package, such as lirdrec.copying
    package: Path = PACKAGE, # folder of the package whose code counts
)->set[str]: # names that the module defines and some run reaches
    "What of a module the runs of a page reach, whatever they are asked. Source: ours."
    walk, _ = _walked(cells, options, package)
    if not walk.file(path := tuple(module.split('.'))): return set()
    return {name for name, bound in walk.source(path).names.items()
            if any(b in walk.seen for _, b in bound)}

def code_hash(
    cells: list[str],        # the code of a page, as `page_cells` or `kernel_cells` give it
    params: dict,            # the run's parameters, name → value
    package: Path = PACKAGE, # folder of the package whose code counts
)->str: # 16 hex digits
    "One hash of all that a run reaches; raises `UserError` for code that cannot be read. Source: ours."
    return _digest(sorted(reached(cells, params, package).items()))


# %% [markdown]
# A page of two cells that trains with the loss that its parameter names:

# %%
write()
cells = ['from toy.methods import HOSTS',
         'loss = HOSTS[host](4.)']
params = {'host': 'er', 'seed': 0}
before = code_hash(cells, params, toy)
list(reached(cells, params, toy))


# %% [markdown]
# The other loss is not there: this run never asks for it. What if the package is edited?

# %%
def after(old, new, scale='SCALE = 3'):
    "Is the hash still the same, once `old` became `new`?"
    write(METHODS.replace(old, new), scale)
    return 'same' if code_hash(cells, params, toy) == before else 'different'

edits = {
    'another docstring': after('A half.', 'Half of it.'),
    'a comment': after('return x/2', 'return x/2 # exact'),
    'a new method': after("'derpp': derpp}", "'derpp': derpp, 'new': max}"),
    'the other method': after('SCALE*x', 'SCALE*x + 1'),
    'this method': after('SCALE*half', 'SCALE + half'),
    'a helper': after('x/2', 'x/3'),
    'a constant': after('', '', 'SCALE = 4')}
edits

# %% [markdown]
# A definition that moves to another module takes its hash along:

# %%
moved = METHODS.replace('import SCALE', 'import SCALE, half')
start, end = moved.index('def half'), moved.index('def er')
write(moved[:start] + moved[end:], 'SCALE = 3\n' + moved[start:end])
code_hash(cells, params, toy) == before

# %% [markdown]
# And `reached` can say what differs between two codes:

# %%
write()
old = reached(cells, params, toy)
write(METHODS.replace('x/2', 'x/3'))
new = reached(cells, params, toy)
[name for name in old | new if old.get(name) != new.get(name)]


# %% [markdown]
# A `match` on a parameter counts by the arm that fits, as a dict does by its entry:

# %%
def arms(b, host):
    "The hash of a cell with two arms, the second of which says `b`."
    cell = f"match host:\n    case 'er': loss = 1\n    case 'derpp': loss = {b}"
    return code_hash([cell], {'host': host}, toy)

arms(2, 'er') == arms(3, 'er'), arms(2, 'derpp') == arms(3, 'derpp')


# %% [markdown]
# What only shows is left out; one step more is not:

# %%
def one_more(cell):
    "Is the hash still the same with one more cell?"
    return 'same' if code_hash([*cells, cell], params, toy) == before else 'different'

write()
{'a figure': one_more('#| label: fig-loss\nplot(loss)'),
 'a look': one_more('print(loss)'),
 'a function that nobody calls': one_more('def spare(): return 1'),
 'one more step': one_more('loss.backward()')}

# %% [markdown]
# Code that cannot be read cannot be told from other code, and a run of it is refused:

# %%
raises(code_hash, ['from toy.compiled import step', 'step()'], params, toy)


# %% [markdown]
# What a tree does not show is what a program looks up by a name that it makes while it runs. A key that is put together where it is used, as in `NORMS[host + '-joint']`, counts as all keys; a module that is handed on, to `getattr` or by `import *`, as everything in it; beyond that the rule is to name what is used.
#
# ## The cells that a kernel ran
#
# A page is read from its file. But a reader who edits a cell trains by what the kernel ran, not by what the file says. Both give the same hash as long as nobody edits anything.

# %%
#| export
def _code(page):
    "The code cells of a notebook but for its parameters, and how many of them a run needs."
    nb = json.loads(Path(page).read_text(encoding='utf-8'))
    cells = [c for c in nb['cells'] if c['cell_type'] == 'code']
    texts = [''.join(c['source']) for c in cells if 'parameters' not in c['metadata'].get('tags', [])]
    return texts, next((i for i, text in enumerate(texts, 1) if 'run.finish(' in text), len(texts))

def _sets(cell, names):
    "True for a cell that does no more than set parameters, as the page's own and papermill's do."
    body = [s for s in ast.parse(cell).body if not isinstance(s, _IMPORTS)]
    targets = [t for s in body for t in getattr(s, 'targets', [getattr(s, 'target', None)])]
    return bool(body) and all(isinstance(t, ast.Name) and t.id in names for t in targets)

def _ran(executed, names):
    "Cells that ran, without those that set parameters before the run was opened."
    ran = [cell.strip() for cell in executed if cell.strip() and _reads(_python(cell))]
    opened = max((i for i, cell in enumerate(ran) if 'runs.open(' in cell), default=len(ran))
    return [cell for i, cell in enumerate(ran) if i > opened or not _sets(_python(cell), names)]


# %%
#| exports
def page_cells(
    page: Path, # a notebook
)->list[str]:
    "The code of a page up to the cell with `run.finish`, its parameters left out."
    texts, needed = _code(page)
    return texts[:needed]

def kernel_cells(
    executed: list[str], # what the kernel ran, IPython's `In`, the running cell last
    page: Path,          # the notebook that it began as
    names: list[str],    # of the parameters
)->list[str]:
    "The code that a kernel ran, and that of the page still to come up to `run.finish`."
    texts, needed = _code(page)
    ran, kept, at, place = _ran(executed, names), {}, -1, 0
    for i, cell in enumerate(ran, 1):
        same = [p for p, text in enumerate(texts) if text.strip() == cell]
        # of two equal cells the next; a cell that is not on the page is at -i
        place = [*(p for p in same if p > at), *same, -i][0]
        kept.pop(place, None) # a cell of the page counts where it last ran
        kept[place] = cell
        at = place if same else at
    found = [cell for place, cell in kept.items() if place <= min(at, needed - 1)]
    # a running cell that is not on the page was edited: it stands for the next one
    return found + texts[at + 1 + (place < 0):needed]


# %%
page = toy.with_name('page.ipynb')
training = [*cells, 'run.finish(loss)', 'print(loss)']
as_file = [{'cell_type': 'code', 'metadata': {}, 'source': text} for text in training]
page.write_text(json.dumps({'cells': as_file}))
page_cells(page)

# %% [markdown]
# The training starts in the second cell. As it stands, with papermill's parameters in front; then edited by a reader:

# %%
as_it_stands = kernel_cells(['', "# Parameters\nhost = 'er'", *cells], page, ['host'])
edited = kernel_cells(['', cells[0], 'loss = 2*HOSTS[host](4.)'], page, ['host'])
as_it_stands == page_cells(page), edited

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.code`. A run, `papers_nb.runs.Run`, asks for `kernel_cells` when its training starts and keeps the hash in its record; the results pages ask for `page_cells` and say which records this code made.
