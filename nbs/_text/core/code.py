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
import ast, dis, hashlib, json, re
from collections import defaultdict
from copy import deepcopy
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import NamedTuple

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
# - Too much, and a new method in a list, a corrected sentence or a function that moved to another file makes every old result look foreign.
#
# Here it is what a training page **reaches**: from its cells to the functions, classes and constants that they name, and on to what those name. Nothing is imported or run for that; it is read from syntax trees.
#
# ## What a piece of code says
#
# Comments and layout are gone once a source is a tree. This takes away the rest of what changes no number: docstrings, annotations, the names of variables inside a function, and imports, since it is what an import finds that counts.

# %%
#| export
_KEYWORDS = ('fetch', 'card', 'checksum') # of an entry: where data comes from and what is written about it
_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

def _named(nodes):
    "The names that nodes bind or hold by a text of theirs: definitions, arguments, patterns, declarations."
    kinds = (*_FUNCTIONS, ast.ClassDef, ast.MatchAs, ast.MatchStar, ast.ExceptHandler)
    found = {n.name for n in nodes if isinstance(n, kinds)}
    found |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    found |= {n.rest for n in nodes if isinstance(n, ast.MatchMapping)}
    return found | {name for n in nodes if isinstance(n, (ast.Global, ast.Nonlocal)) for name in n.names}

def _stored(node):
    "The names that a node binds: assigned, defined, arguments."
    nodes = list(ast.walk(node))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return names | _named(nodes) - {None}

class _Bare(ast.NodeTransformer):
    "Takes from a tree what changes no number, and the arms of a `match` that do not fit `choices`."
    def __init__(self, choices=()):
        self.choices, self.scopes = {name: value for name, _, value in choices}, []

    def generic_visit(self, node):
        "Visit what is inside; a body that is left empty says `pass`."
        inner = isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef))
        self.scopes += [node]*inner
        super().generic_visit(node)
        if inner: self.scopes.pop()
        if getattr(node, 'body', None) == []: node.body = [ast.Pass()]
        tries = isinstance(node, ast.Try) and not node.handlers
        if tries and not node.finalbody: node.finalbody = [ast.Pass()]
        return node

    def visit_Expr(self, node):
        "A constant by itself, a docstring for instance, does nothing."
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node): return None
    def visit_Import(self, node): return None
    def visit_ImportFrom(self, node): return None

    def visit_arg(self, node):
        "An argument without its type."
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        "A function without the type of what it returns."
        node.returns = None
        return self.visit_ClassDef(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        "A class or a function without the types that it is made for."
        node.type_params = []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        "An assignment without its type; in a class, where it may be a field, it stays told from another."
        node.annotation = ast.Constant(None)
        if self.scopes and isinstance(self.scopes[-1], ast.ClassDef): return self.generic_visit(node)
        return self.generic_visit(ast.Assign([node.target], node.value)) if node.value else None

    def visit_FormattedValue(self, node):
        "An empty format is none."
        if node.format_spec and not node.format_spec.values: node.format_spec = None
        return self.generic_visit(node)

    def visit_Match(self, node):
        "Of a `match` on a parameter only the arm that fits."
        name = getattr(node.subject, 'id', None)
        if name in self.choices and not any(name in _stored(s) for s in self.scopes):
            node.cases = _arms(node.cases, self.choices[name])
        return self.generic_visit(node) if node.cases else None

def _arms(cases, value):
    "The first arm that fits a value; all of them where that cannot be said."
    try: fits = [case for case in cases if _fits(case, value)]
    except ValueError: return cases
    return fits[:1]

def _fits(case, value):
    "True if the pattern of an arm is this value or any; raises ValueError for patterns that look inside."
    if case.guard: raise ValueError
    match case.pattern:
        case ast.MatchValue(): return ast.literal_eval(case.pattern.value) == value
        case ast.MatchSingleton(): return case.pattern.value is value
        case ast.MatchOr(): return any([_fits(ast.match_case(p), value) for p in case.pattern.patterns])
        case ast.MatchAs(pattern=None): return True
    raise ValueError

def _tree(node, read=(), names=None):
    "A syntax tree as nested lists, the same in every version of Python; local variables by number."
    if isinstance(node, list): return [_tree(n, read, names) for n in node]
    if not isinstance(node, ast.AST): return ascii(node)
    if names is None and isinstance(node, _FUNCTIONS): names = _numbers(node, read)
    if isinstance(node, ast.Name) and names and node.id in names: return ['Name', names[node.id]]
    fields = [(k, v) for k, v in ast.iter_fields(node) if k not in ('ctx', 'kind')]
    said = [(k, v) for k, v in fields if v is not None and v != []]
    return [type(node).__name__, *([k, _tree(v, read, names)] for k, v in said)]

_LOOK = {'locals', 'vars', 'eval', 'exec', 'dir'} # these see what a variable is called

def _numbers(function, read):
    "A number for each name that is nothing but a variable in a function; `read` are its global names."
    nodes = list(ast.walk(function))
    if any(isinstance(n, ast.Name) and n.id in _LOOK for n in nodes): return {}
    fields = [_stored(n) for n in nodes if isinstance(n, ast.ClassDef)]
    taken = _named(nodes).union(read, *fields)
    stored = (n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return {name: i for i, name in enumerate(dict.fromkeys(n for n in stored if n not in taken))}

def _digest(*parts):
    "16 hex digits for anything that JSON can hold."
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


# %%
def says(source): return _tree(_Bare().visit(ast.parse(source)))

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
# ## What it names
#
# A definition reaches the names that it takes from outside itself, not its own arguments and variables. Python's compiler knows which are which. With each name goes how it is used: `HOSTS[host]` and `host in HOSTS` ask for one entry, `HOSTS.items()` for all of them.

# %%
#| export
class _Import(NamedTuple):
    "What an import binds to a name."
    level: int      # dots in front
    module: str     # as written
    name: str|None  # what is taken from it, or None for the module itself

def _imports(node):
    "Local name → `_Import`, for every import in a tree."
    found = {}
    for n in ast.walk(node):
        if isinstance(n, ast.ImportFrom):
            found |= {a.asname or a.name: _Import(n.level, n.module or '', a.name) for a in n.names}
        elif isinstance(n, ast.Import):
            paths = [(a.asname, a.name) if a.asname else (a.name.split('.')[0],)*2 for a in n.names]
            found |= {name: _Import(0, path, None) for name, path in paths}
    return found

def _loaded(code):
    "The global names that a code object and those inside it read."
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    reads = ('LOAD_GLOBAL', 'LOAD_NAME', 'LOAD_FROM_DICT_OR_GLOBALS')
    return {i.argval for i in dis.get_instructions(code) if i.opname in reads}.union(*map(_loaded, inner))

class _Use(NamedTuple):
    "One place where a global name is read."
    attributes: tuple[str, ...] # that follow it: `hosts.HOSTS.items` has HOSTS and items
    how: str = ''               # key: one entry is asked for; told: named in an error; else empty

    def partial(self)->bool:
        "True if no more than the entries asked for can matter."
        by_key = self.how == 'key' and not self.attributes
        return by_key or self.how == 'told' or self.attributes == ('get',)

def _use(node, parents):
    "How a name is used, from what stands around it."
    top, attributes = node, []
    while isinstance(parents.get(top), ast.Attribute):
        top = parents[top]
        attributes.append(top.attr)
    above = top
    while above in parents and not isinstance(above, (ast.Raise, ast.Assert)): above = parents[above]
    if above in parents: return _Use(tuple(attributes), 'told')
    match parents.get(top):
        case ast.Subscript(value=value, slice=key) if value is top and not _made(key): how = 'key'
        case ast.Compare(ops=ops) if all(isinstance(o, (ast.In, ast.NotIn)) for o in ops): how = 'key'
        case _: how = ''
    return _Use(tuple(attributes), how)

def _made(key):
    "True for a key that is put together on the spot, so that it could be any."
    return any(isinstance(n, (ast.JoinedStr, ast.BinOp, ast.Call)) for n in ast.walk(key))

class Definition:
    "A top-level statement of a module or a cell, or one entry of a dict, as far as it counts."
    def __init__(self,
        node: ast.stmt,       # as parsed; it is not used elsewhere
        choices: tuple = (),  # name, type and value of each parameter that a `match` may look at
    ):
        self.imports, self.name = _imports(node), getattr(node, 'name', '')
        self.only_imports, self.speaks = isinstance(node, _IMPORTS), isinstance(node, ast.Expr)
        self.assigns = isinstance(node, (ast.Assign, ast.AnnAssign))
        self.rebinds = {name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}
        self.node = ast.fix_missing_locations(ast.Module([n for n in [_Bare(choices).visit(node)] if n], []))
        self.acting = {} # what `acts` found

    @cached_property
    def bare(self)->str: # 16 hex digits
        "What it says."
        return _digest(_tree(self.node, self.reads))

    @cached_property
    def code(self)->CodeType:
        "What Python makes of it."
        return compile(self.node, '<code>', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True, 0)

    @cached_property
    def binds(self)->set[str]: # names at the top level
        "What it defines or assigns."
        if self.name: return {self.name}
        stored = {i.argval for i in dis.get_instructions(self.code) if i.opname == 'STORE_NAME'}
        return stored | self.imports.keys()

    @cached_property
    def changes(self)->set[str]: # names at the top level
        "What it assigns into or calls a method of, as in `HOSTS['new'] = loss`."
        targets = [t for n in self.node.body for t in getattr(n, 'targets', [getattr(n, 'target', None)])]
        calls = [n.value for n in self.node.body if isinstance(n, ast.Expr)]
        return {base.id for t in targets + calls if isinstance(base := _base(t), ast.Name)} - self.binds

    @cached_property
    def reads(self)->set[str]:
        "The global names that it reads."
        return _loaded(self.code)

    @cached_property
    def uses(self)->dict[str, set[_Use]]: # global name → its uses
        "What it names, outside itself."
        found = defaultdict(set)
        parents = {child: node for node in ast.walk(self.node) for child in ast.iter_child_nodes(node)}
        for n in ast.walk(self.node):
            if isinstance(n, ast.Name) and n.id in self.reads: found[n.id].add(_use(n, parents))
        return dict(found)

    @cached_property
    def strings(self)->set[str]:
        "Every string in it, pieces of f-strings left out."
        pieces = {id(v) for n in ast.walk(self.node) if isinstance(n, ast.JoinedStr) for v in n.values}
        found = {n.value for n in ast.walk(self.node) if isinstance(n, ast.Constant) and id(n) not in pieces}
        return {s for s in found if isinstance(s, str)}

    @cached_property
    def entries(self)->dict[str, 'Definition']: # empty for anything but a dict literal whose keys are strings
        "The entries of a dict of methods, without what fetches and describes data."
        match self.node.body:
            case [ast.Assign(targets=[ast.Name()], value=ast.Dict(keys=keys, values=values))]: pass
            case _: return {}
        if not all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in keys): return {}
        return {k.value: Definition(_without_cards(v)) for k, v in zip(keys, values)}

    @cached_property
    def is_table(self)->bool:
        "True for a dict of methods that is made without calling any."
        calls = (i.opname.startswith('CALL') for i in dis.get_instructions(self.code))
        return bool(self.entries) and not any(calls)

    def acts(self,
        quiet: frozenset[str], # functions that only show
    )->'Definition|None':
        "An expression by itself, reduced to the calls in it that may change something: a sentence is none."
        if quiet not in self.acting:
            found = [n for s in self.node.body for n in _acts(s.value, quiet)]
            self.acting[quiet] = Definition(ast.Expr(ast.Tuple(found, ast.Load()))) if found else None
        return self.acting[quiet]

_THROUGH = (ast.JoinedStr, ast.FormattedValue, ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.UnaryOp,
            ast.Compare, ast.Starred, ast.Attribute, ast.Subscript, ast.Slice)

def _acts(node, quiet):
    "The largest parts of an expression that call or assign something, `quiet` functions looked through."
    if isinstance(node, ast.Call) and getattr(_base(node.func), 'id', None) in quiet:
        parts = [node.func, *node.args, *(k.value for k in node.keywords)]
    elif isinstance(node, _THROUGH): parts = ast.iter_child_nodes(node)
    else: return [node]*any(isinstance(n, (ast.Call, ast.NamedExpr, ast.Await)) for n in ast.walk(node))
    return [n for part in parts for n in _acts(part, quiet)]

def _base(node):
    "The name at the beginning of `a.b[c].d()`."
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node

def _without_cards(value):
    "The value of an entry as a statement, without the arguments that `_KEYWORDS` lists."
    value = deepcopy(value)
    for call in (n for n in ast.walk(value) if isinstance(n, ast.Call)):
        call.keywords = [k for k in call.keywords if k.arg not in _KEYWORDS]
    return ast.Assign([ast.Name('entry', ast.Store())], value)


# %%
step = Definition(ast.parse(dedent('''
def step(x, host):
    scale = 2
    return scale*rate(x) + HOSTS[host].weight
''')).body[0])
step.uses


# %% [markdown]
# ## Where a name leads
#
# A module or a cell is a list of such statements. On a page the last one that binds a name before it is read is the one that counts; in a module, where everything is defined before anything is called, all of them are.

# %%
#| export
class Source:
    "A module or a cell: its statements, and which of them each name of the top level leads to."
    def __init__(self,
        text: str,           # of a module or a cell
        where: str,          # its name, for an error
        choices: tuple = (), # as `Definition` takes them
    ):
        try: body = ast.parse(text).body
        except SyntaxError as e:
            raise UserError(f'{where} cannot be read as Python: line {e.lineno}, {e.msg}') from None
        subjects = [n.subject for s in body for n in ast.walk(s) if isinstance(n, ast.Match)]
        self.matches = {n.id for n in subjects if isinstance(n, ast.Name)}
        self.statements = [d for s in body if (d := Definition(s, choices)).node.body or d.imports]

    @cached_property
    def names(self)->dict[str, list]: # name → definitions and imports
        "For a module: everything that binds or changes a name."
        found = defaultdict(list)
        for d in self.statements:
            for name in d.binds:
                if not d.name and name in d.imports: found[name].append(d.imports[name])
                if not d.only_imports: found[name].append(d)
        for d in self.statements:
            for name in d.changes & found.keys(): found[name].append(d)
        return dict(found)

    @cached_property
    def effects(self)->list[Definition]:
        "For a module: what its import does beside binding names, as `torch.set_default_dtype(…)` does."
        own = {n for n, bound in self.names.items() if any(isinstance(b, Definition) for b in bound)}
        return [d for d in self.statements if not d.binds and not d.changes & own]

_source = cache(Source)

# %% [markdown]
# The walk begins with the statements of the page's cells. A module that only shows, tells or fetches is not entered; what comes from elsewhere, torch for instance, counts by its path.

# %%
#| export
PACKAGE = Path(papers_nb.__file__).parent
SHOWN = ('runs', 'parameters', 'engine', 'grid', 'replay', 'cli', 'errors', 'core.files', 'core.records',
         'core.plots', 'core.stats', 'core.results', 'core.checks', 'core.bench')
_UNREAD = 'that can be read, so a run of it could not be told from another'

class _Scope(NamedTuple):
    "Where a name is looked up."
    base: str           # package that relative imports start from, below ours
    names: dict         # name → definitions and imports
    version: object     # changes when a name of a page is bound anew
    effects: tuple = () # of importing the module

class _Walk:
    "Goes from definitions to definitions and keeps a digest of each."
    def __init__(self, params, package):
        self.package, self.parts, self.modules, self.seen = package, defaultdict(set), {}, set()
        self.todo, self.tables, self.on_page = [], {}, set()
        values = [v for p in params.values() for v in (p if isinstance(p, (list, tuple)) else [p])]
        self.strings = {v for v in values if isinstance(v, str)}

    def scope(self, module):
        "A module below the package, or None where there is no such file."
        if module not in self.modules:
            path = self.package.joinpath(*filter(None, module.split('.')))
            files = [f for f in (path/'__init__.py', path.with_name(f'{path.name}.py')) if f.exists()]
            self.modules[module] = self._read(module, files[0]) if files else None
        return self.modules[module]

    def _read(self, module, file):
        "A module from its file."
        source = _source(file.read_text(encoding='utf-8'), f'{self.package.name}.{module}'.strip('.'))
        base = module if file.name == '__init__.py' else module.rpartition('.')[0]
        return _Scope(base, source.names, None, source.effects)

    def read(self, scope, definition):
        "Go on from a definition to what it names; returns a digest of what it says and where its names lead."
        self.seen.add((definition, scope.version))
        self.strings |= definition.strings
        self.todo += [(scope, 'at import', d) for d in scope.effects]
        found = set()
        for name, uses in definition.uses.items():
            own = name in definition.imports
            for bound in [definition.imports[name]] if own else self.bound(scope, name):
                for use in uses: found |= {(name, to) for to in self.lead(scope, name, bound, use)}
        return _digest(definition.bare, sorted(found))

    def bound(self, scope, name):
        "What a name leads to, `from x import *` included."
        stars = [_Import(s.level, s.module, name) for s in scope.names.get('*', ())]
        return scope.names.get(name) or [s for s in stars if self.holds(*self.place(scope, s), name)]

    def holds(self, ours, module, name):
        "True for a name of one of our modules."
        return ours and self.scope(module) is not None and name in self.scope(module).names

    def place(self, scope, bound):
        "Whether an import is of this package, and the module below it or the whole path."
        if bound.level:
            parts = scope.base.split('.')
            return True, '.'.join(filter(None, [*parts[:len(parts) - bound.level + 1], bound.module]))
        root, _, inner = bound.module.partition('.')
        return (True, inner) if root == self.package.name else (False, bound.module)

    def lead(self, scope, name, bound, use):
        "Follow a name to definitions; returns their names, or the path of what is not ours."
        if isinstance(bound, Definition):
            self.reach(scope, name, bound, use)
            return [name]
        ours, module = self.place(scope, bound)
        path = [bound.name]*bool(bound.name)
        return self.enter(module, [*path, *use.attributes], use.how) if ours else ['.'.join([module, *path])]

    def enter(self, module, path, how):
        "Follow the rest of a path in one of our modules; a module by itself is all that is in it."
        if module in SHOWN: return path[:1]
        scope, full = self.scope(module), f'{self.package.name}.{module}'.strip('.')
        if scope is None: raise UserError(f'{full} has no source {_UNREAD}')
        if not path: return [to for name in scope.names for to in self.enter(module, [name], '')]
        name, rest, inner = path[0], path[1:], f'{module}.{path[0]}'.strip('.')
        itself = _Import(1, '', name) # as in a package that imports its own module
        found = [b for b in self.bound(scope, name) if b != itself]
        if not found and (inner in SHOWN or self.scope(inner)): return self.enter(inner, rest, how)
        if not found: raise UserError(f'{full} defines no {name} {_UNREAD}')
        return [to for b in found for to in self.lead(scope, name, b, _Use(tuple(rest), how))]

    def reach(self, scope, name, definition, use):
        "Note a definition as reached: whole, or as a dict that is asked for entries."
        if not definition.entries or len(scope.names[name]) > 1:
            self.todo.append((scope, name, definition))
            return
        self.tables.setdefault((name, definition), (scope, set()))
        if not use.partial():
            self.strings |= definition.entries.keys()
            self.parts[name].add(_digest(list(definition.entries)))

    def asked(self):
        "Note the entries whose keys are parameters or stand in the code reached; true if there are new ones."
        for (name, table), (scope, done) in self.tables.items():
            new = (table.entries.keys() & self.strings) - done
            self.todo += [(scope, f'{name}[{key!r}]', table.entries[key]) for key in sorted(new)]
            done |= new
        return bool(self.todo)

    def run(self):
        "Until nothing new is reached."
        while self.todo or self.asked():
            scope, name, definition = self.todo.pop()
            if scope.version is not None: self.on_page.add((name, definition))
            if (definition, scope.version) in self.seen: continue
            self.parts[name].add(self.read(scope, definition))


# %%
#| export
_SHOWN_CELL = re.compile(r'^#\| *(label:|code-fold|echo: *false)', re.M)
_EXPORTED = re.compile(r'^#\| *exports?\b', re.M)
_SHELL = re.compile(r'^(\w+ *= *)?([!%]|get_ipython\(\)\.)')
_MAGIC = re.compile(r'%%(time|timeit|capture|prun)\b.*') # these run the rest of their cell as Python
_PICTURES = ('IPython.display', 'matplotlib', 'seaborn')
_QUIET = {'print', 'display', 'help', 'dir', 'len', 'type', 'repr', 'str', 'sorted', 'list', 'tuple', 'min',
          'max', 'sum', 'round'} # these show, or only look

def _unmagic(cell):
    "A cell as it stands in its notebook, where IPython has rewritten a magic of the whole cell."
    if not cell.startswith('get_ipython().run_cell_magic('): return cell
    name, line, body = map(ast.literal_eval, ast.parse(cell).body[0].value.args)
    return f'%%{name} {line}\n{body}'

def _reads(text):
    "True for Python."
    try: ast.parse(text)
    except SyntaxError: return False
    return True

@cache
def _python(cell):
    "A cell without its shell lines and magics, before or after IPython has rewritten them."
    cell = _MAGIC.sub('', _unmagic(cell.strip()), 1)
    if cell.startswith('%%'): return ''
    if _reads(cell) and 'get_ipython()' not in cell: return cell
    return '\n'.join(line for line in cell.splitlines() if not _SHELL.match(line))

def _sources(cells, params):
    "The cells as sources, a `match` on a parameter that no cell sets anew cut to its arm."
    where = [f'the cell that begins {cell.strip().partition(chr(10))[0]!r}' for cell in cells]
    texts = list(zip(map(_python, cells), where))
    sources = [_source(*text) for text in texts]
    statements = [d for source in sources for d in source.statements]
    anew = {n for d in statements for n in d.rebinds | (set() if d.name else d.binds)}
    plain = {n: v for n, v in params.items() if isinstance(v, (str, int, float))}
    fixed = {n: (n, type(v), v) for n, v in plain.items() if n not in anew}
    choices = [tuple(fixed[n] for n in sorted(source.matches & fixed.keys())) for source in sources]
    return [_source(*text, choice) if choice else s for text, choice, s in zip(texts, choices, sources)]

class _Page:
    "The cells of a page in their order, each name as it stands when a statement runs."
    def __init__(self, walk):
        self.walk, self.names, self.version, self.said = walk, {}, 0, []

    def bind(self, name, bound):
        "Let a name lead elsewhere from here on; a variable leads nowhere, its statement counts by itself."
        if self.names.get(name, bound) != bound: self.version += 1
        self.names[name] = bound

    def scope(self, version):
        "The names as they stand."
        return _Scope('', self.names, version)

    def quiet(self, name):
        "True for a function that only shows."
        found = self.names.get(name)
        if found is None: return name in _QUIET
        if len(found) != 1 or not isinstance(found[0], _Import): return False
        ours, module = self.walk.place(self.scope(0), found[0])
        if not ours: return f'{module}.{found[0].name or ""}'.startswith(_PICTURES)
        return bool(found[0].name) and module in SHOWN

    def acting(self, statement):
        "A statement without what only shows."
        if not statement.speaks: return statement
        return statement.acts(frozenset(filter(self.quiet, statement.uses)))

    def run(self, statement, shown, exported):
        "Take one statement: a definition waits until it is named, as a folded cell does; others count here."
        waits = bool(statement.name) or statement.only_imports or shown or statement.is_table
        waits = waits or (exported and statement.assigns)
        if not waits and (acting := self.acting(statement)):
            self.said.append(self.walk.read(self.scope(self.version), acting))
            self.walk.run()
        for name in statement.binds: self.bind(name, self.found(statement, name, waits))

    def found(self, statement, name, waits):
        "What a name leads to after a statement, which may build on what it was before, as `x += 1` does."
        if not statement.name and name in statement.imports: return [statement.imports[name]]
        before = self.names.get(name, []) if name in statement.uses and not statement.name else []
        return [statement, *before] if waits else []

    def end(self):
        "What was named before it was defined."
        self.walk.todo += [(self.scope('end'), *found) for found in self.walk.on_page]
        self.walk.run()

def reached(
    cells: list[str],        # the code of a page, as `page_cells` or `kernel_cells` give it
    params: dict,            # the run's parameters, name → value
    package: Path = PACKAGE, # folder of the package whose code counts
)->dict[str, str]: # name → 16 hex digits; `page` for the statements of the cells
    "Digest of everything that a run reaches; raises `UserError` for code that cannot be read. Source: ours."
    walk = _Walk(params, Path(package))
    page = _Page(walk)
    for cell, source in zip(cells, _sources(cells, params)):
        shown = bool(_SHOWN_CELL.search(cell))
        exported = bool(_EXPORTED.search(cell))
        for statement in source.statements: page.run(statement, shown, exported)
    page.end()
    train = walk.scope('core.train')
    # what seeds every step counts, whatever the page says
    if train and 'keyed' in train.names: walk.enter('core.train', ['keyed'], '')
    walk.run()
    walk.parts['page'].add(_digest(page.said))
    return {name: _digest(sorted(found)) for name, found in sorted(walk.parts.items())}

def code_hash(
    cells: list[str],        # the code of a page, as `page_cells` or `kernel_cells` give it
    params: dict,            # the run's parameters, name → value
    package: Path = PACKAGE, # folder of the package whose code counts
)->str: # 16 hex digits
    "One hash of all that a run reaches; raises `UserError` for code that cannot be read. Source: ours."
    return _digest(sorted(reached(cells, params, package).items()))


# %% [markdown]
# A small package to try it on: two losses in a dict, a helper, and a page of two cells that trains with the loss that its parameter names.

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
    (toy/'methods.py').write_text(methods)
    (toy/'scale.py').write_text(scale)


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
# On the page, a cell that draws or tells (one with `#| label:`, `#| code-fold` or `#| echo: false`) is left out unless something in it is used later. So is a line that only looks, and of a sentence what it says, but not what it computes. An exported cell counts as the module that it becomes.

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
# What a tree does not show is what a program looks up by a name that it makes while it runs. A key that is put together where it is used, as in `NORMS[host + '-joint']`, counts as all keys; a function that is found by `getattr` on a module, as everything in it; beyond that the rule is to name what is used.
#
# ## The cells of a page, and those that a kernel ran
#
# A page is read from its file. But a reader who edits a cell trains by what the kernel ran, not by what the file says. Both give the same hash as long as nobody edits anything.

# %%
#| export
_FINISH = 'run.finish('

def _code(page):
    "The code cells of a notebook but for its parameters, and how many of them a run needs."
    nb = json.loads(Path(page).read_text(encoding='utf-8'))
    cells = [c for c in nb['cells'] if c['cell_type'] == 'code']
    texts = [''.join(c['source']) for c in cells if 'parameters' not in c['metadata'].get('tags', [])]
    return texts, next((i for i, text in enumerate(texts, 1) if _FINISH in text), len(texts))

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

def _places(ran, texts):
    "The place on the page of each cell that ran, or None, and the last one; of two equal cells the next."
    places, at = [], -1
    for cell in ran:
        same = [i for i, text in enumerate(texts) if text.strip() == cell]
        places.append(next((i for i in same if i > at), same[0] if same else None))
        at = at if places[-1] is None else places[-1]
    return places, at


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
    ran = _ran(executed, names)
    places, at = _places(ran, texts)
    last = {place: i for i, place in enumerate(places)}
    kept = [cell for i, (cell, place) in enumerate(zip(ran, places))
            if place is None or (last[place] == i and place <= min(at, needed - 1))]
    # a running cell that is not on the page was edited: it stands for the next one
    edited = bool(places) and places[-1] is None
    return kept + texts[at + 1 + edited:needed]


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
