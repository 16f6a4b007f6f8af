"""What a notebook takes: names, types and bounds of its parameters, presets and grids of settings.ini."""

import ast
import configparser
import difflib
import io
import itertools
import json
import math
import operator
import re
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from papers_nb.errors import UserError

__all__ = ["Parameter", "asked", "check", "complete", "expand", "notebook", "notebooks"]
__all__ += ["papers", "parameters", "preset", "presets", "upstream"]

HERE = Path(__file__).parent
NOTEBOOKS = HERE / "nbs" if (HERE / "nbs").exists() else HERE.parent / "nbs"
OPERATIONAL = ("device", "threads", "save_every", "fresh")  # recorded, but no part of what was asked
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
BOUND = r"(?:[≥≤><] [-+.\w]+|in [\w.]+)"  # not >=: papermill passes over a line with two =
HEAD = re.compile(rf"(?P<bounds>{BOUND}(?:, {BOUND})*)?(?:; )?(?:was (?P<was>\w+))?: (?P<text>.*)")
REMOVED = re.compile(r"^# removed: (\w+) = (.+)$", re.M)
COMPARE = {"≥": operator.ge, "≤": operator.le, ">": operator.gt, "<": operator.lt}


def notebooks() -> dict[str, Path]:
    """Every packaged notebook by its numberless name: `adab2n/train` → `.../adab2n/30_train.ipynb`."""
    found = {}
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        inside = path.relative_to(NOTEBOOKS)
        if not any(part[0] in "._" or part == "runs" for part in inside.parts):
            found[re.sub(r"(^|/)\d+_", r"\1", inside.with_suffix("").as_posix())] = path
    return found


@cache
def notebook(name: str) -> Path:
    """The packaged notebook called `name`; raises `UserError` listing the paper's notebooks."""
    found = notebooks()
    if name not in found:
        raise UserError(f"no notebook {name!r}; there are {', '.join(n for n in found if '/' in n)}")
    return found[name]


def _settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.optionxform = str
    settings.read(HERE / "settings.ini", encoding="utf-8")
    return settings


def papers() -> dict[str, dict[str, str]]:
    """The papers, folders that have a section in settings.ini: each with name, title and question."""
    return {n: dict(s) for n, s in _settings().items() if (NOTEBOOKS / n).is_dir() and "title" in s}


def presets(paper: str, kind: str = "") -> dict[str, dict[str, str]]:
    """The presets of a paper in settings.ini, name → parameters; its grids with kind `grid:`."""
    prefix = f"{paper}/{kind}"
    found = {n.removeprefix(prefix): dict(s) for n, s in _settings().items() if n.startswith(prefix)}
    return {n: _inherited(n, found) for n in found if kind or ":" not in n}


def _inherited(name, sections, heirs=()):
    """A section with what it takes over from the one that it is `like`."""
    own = dict(sections[name])
    if (other := own.pop("like", None)) is None:
        return own
    if other not in sections or other in (*heirs, name):
        raise UserError(f"settings.ini: {name} is like {other!r}, which is missing or like {name} itself")
    return {**_inherited(other, sections, (*heirs, name)), **own}


def preset(name: str) -> dict[str, str]:
    """The preset `paper/name`; raises `UserError` listing those that exist."""
    paper, _, short = name.partition("/")
    known = presets(paper)
    if short not in known:
        there = ", ".join(f"{paper}/{k}" for k in known) or f"none for {paper!r}"
        raise UserError(f"no preset {name!r}; there are {there}")
    return known[short]


def expand(text: str) -> list[dict[str, str]]:
    """`norm=bn-joint,adab2n;seed=0..9` as the list of its combinations, the last name running fastest."""
    axes = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, equals, values = part.partition("=")
        if not equals or not values:
            raise UserError(f"grid {part!r}: write name=value,value or name=0..9, parts separated by ';'")
        axes[name.strip()] = [x for v in values.split(",") for x in _range(v.strip())]
    return [dict(zip(axes, combination)) for combination in itertools.product(*axes.values())]


def _range(value):
    """`0..9` as ten numbers, any other value as itself."""
    low, dots, high = value.partition("..")
    if dots and low.isdigit() and high.isdigit():
        return map(str, range(int(low), int(high) + 1))
    return [value]


def combinations(notebook: str, grid: str) -> list[dict[str, str]]:
    """The combinations of a grid as written, `name=a,b;seed=0..9`, or by its name in settings.ini."""
    if "=" in grid or not grid:
        return expand(grid)
    paper = notebook.split("/")[0]
    known = presets(paper, "grid:")
    if grid not in known:
        there = f"{paper} has {', '.join(known) or 'none'}"
        raise UserError(f"no grid {grid!r}; {there}, or write one: 'norm=bn-joint,adab2n;seed=0..9'")
    return expand(";".join(f"{k}={v}" for k, v in known[grid].items()))


def asked(notebook: str, grid: str) -> list[dict[str, Any]]:
    """All parameters of every run of a grid, written out or named in settings.ini."""
    return [check(notebook, combination) for combination in combinations(notebook, grid)]


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell."""

    name: str
    kind: ast.expr
    default: Any
    bounds: tuple[str, ...] = ()  # such as '≥ 1', 'in adab2n.nets.NORMS'
    was: str | None = None  # its name in older records
    text: str = ""  # its meaning

    def convert(self, value):
        """`value` as this parameter's type; raises ValueError if it is not one or out of bounds."""
        try:
            value = _convert(value, self.kind)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(ast.unparse(self.kind).replace("Literal", "one of ")) from None
        for bound in self.bounds:
            for one in value if isinstance(value, list) else [value]:
                _within(one, bound)
        if self.name == "device" and not DEVICE.fullmatch(value):
            raise ValueError("one of auto, cpu, mps, cuda, cuda:1")
        return value


def _within(value, bound):
    """Raise ValueError, telling what is expected, if a value is out of its bound."""
    word, _, limit = bound.partition(" ")
    if word == "in":
        if value not in (known := registry(limit)):
            raise ValueError(f"one of {', '.join(known)}")
    elif value is not None and not COMPARE[word](value, float(limit)):
        raise ValueError(bound)


@cache
def _registries(file, changed):
    """The top-level dict literals of a module, name → keys."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    dicts = [n for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Dict)]
    keys = {t.id: n.value.keys for n in dicts for t in n.targets if isinstance(t, ast.Name)}
    return {name: [k.value for k in ks if isinstance(k, ast.Constant)] for name, ks in keys.items()}


def registry(address: str) -> list[str]:
    """The keys of a dict literal at the top of a module, `adab2n.nets.NORMS`, read without importing it."""
    module, _, name = address.rpartition(".")
    file = HERE / f"{module.replace('.', '/')}.py"
    return _registries(file, file.stat().st_mtime_ns)[name]


def _comments(text):
    """Line number → comment, of a cell's text."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _cell(nb):
    """The text of the tagged cell of a notebook, '' if it has none."""
    tagged = (c for c in nb["cells"] if "parameters" in c["metadata"].get("tags", []))
    return "".join(next(tagged, {"source": ""})["source"])


@cache
def _parsed(text):
    """The parameters of a cell, name → Parameter, and the removed ones, name → value."""
    found, comments = {}, _comments(text)
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign):
            name, comment = node.target.id, comments.get(node.end_lineno, "")
            head = HEAD.fullmatch(comment) or {"bounds": None, "was": None, "text": comment}
            bounds = tuple(head["bounds"].split(", ")) if head["bounds"] else ()
            what = name, node.annotation, ast.literal_eval(node.value), bounds, head["was"], head["text"]
            found[name] = Parameter(*what)
    return found, {name: ast.literal_eval(value) for name, value in REMOVED.findall(text)}


@cache
def _text(path, changed):
    return _cell(json.loads(path.read_text(encoding="utf-8")))


def _of(source):
    """What `_parsed` says of a notebook, given by name or as JSON."""
    if not isinstance(source, str):
        return _parsed(_cell(source))
    path = notebook(source)
    return _parsed(_text(path, path.stat().st_mtime_ns))


def parameters(source: str | dict) -> dict[str, Parameter]:
    """What a notebook takes, read from the syntax tree of its tagged cell; `source` is a name or its JSON."""
    return _of(source)[0]


def removed(notebook: str) -> dict[str, Any]:
    """What a notebook no longer takes, listed below its parameters: name → the value that was meant."""
    return _of(notebook)[1]


def _convert(value, kind: ast.expr):
    """`value` as `kind`, an annotation of a parameters cell; raises ValueError if it is not one."""
    word = value.strip().lower() if isinstance(value, str) else value
    match kind:
        case ast.BinOp(left=left, right=right):
            try:
                return _convert(value, right)
            except ValueError:
                return _convert(value, left)
        case ast.Constant(value=None) if word in (None, "none", "null"):
            return None
        case ast.Subscript(value=ast.Name(id="Literal")):
            choices = ast.literal_eval(kind.slice)
            choices = choices if isinstance(choices, tuple) else (choices,)
            if fits := [c for c in choices if str(c) == str(value)]:
                return fits[0]
        case ast.Subscript(value=ast.Name(id="list")):
            items = value.split(",") if isinstance(value, str) else value
            return [_convert(v, kind.slice) for v in items]
        case ast.Name(id="bool") if isinstance(word, bool) or word in ("true", "false"):
            return word in (True, "true")
        case ast.Name(id="int") if not isinstance(value, bool):
            return _integer(value)
        case ast.Name(id="float") if not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
        case ast.Name(id="str") if isinstance(value, str):
            return value
    raise ValueError(ast.unparse(kind))


def _integer(value):
    """A whole number, also one written as 7.0; raises ValueError for any other."""
    if isinstance(value, int) or str(value).strip().lstrip("-").isdigit():
        return int(value)
    if float(value).is_integer():
        return int(float(value))
    raise ValueError("int")


def check(source: str | dict, given: dict[str, Any]) -> dict[str, Any]:
    """All parameters of a notebook, `given` ones converted; raises `UserError` for any other."""
    params = _checked(source, given)
    upstream(source, params)
    return params


def _checked(source, given):
    """The parameters of one notebook, without what it follows."""
    known = parameters(source)
    if unknown := [n for n in given if n not in known]:
        takes = f"the notebook takes {', '.join(known)}"
        raise UserError(f"unknown parameter {unknown[0]!r}{_near(unknown[0], known)}; {takes}")
    params = {name: p.default for name, p in known.items()}
    for name, value in given.items():
        try:
            params[name] = known[name].convert(value)
        except ValueError as e:
            raise UserError(f"parameter {name}={value!r} does not fit: {e} is expected") from None
    return params


def _near(name, known):
    """A hint for a name that is not known."""
    if renamed := [p.name for p in known.values() if p.was == name]:
        return f", it is called {renamed[0]!r} now"
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def complete(notebook: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a record as they are called now, absent ones by their default.

    A removed one stays only where its value was another than the one that is listed below the cell.
    """
    try:
        known, removed = _of(notebook)
    except UserError:  # there is no such notebook any more
        return dict(stored)
    names = {p.was: p.name for p in known.values() if p.was}
    found = {names.get(n, n): v for n, v in stored.items() if n not in removed or removed[n] != v}
    full = {n: _as(p, found.pop(n)) if n in found else p.default for n, p in known.items()}
    return full | found


def _as(parameter, value):
    """A stored value in the present type where it still fits."""
    try:
        return parameter.convert(value)
    except ValueError:
        return value


def upstream(source: str | dict, params: dict[str, Any], seen: tuple = ()) -> tuple[str, dict] | None:
    """The run that `init` asks for, as notebook and parameters; None without `init`.

    `init` reads like an address: `paper/notebook?name=value&preset=name`. Data, seed, device and threads are
    those of the run that follows, unless they are named.
    """
    if not (address := params.get("init")):
        return None
    try:
        name, given = _address(address)
        shared = {k: params[k] for k in ("data", "seed", "device", "threads") if k in params}
        first = _checked(name, {k: v for k, v in shared.items() if k in parameters(name)} | given)
        if (step := (name, json.dumps(first, sort_keys=True))) in seen:
            raise UserError("it follows itself in a circle")
        upstream(name, first, (*seen, step))
    except UserError as e:
        raise UserError(f"init={address!r}: {e}") from None
    return name, first


def _address(text):
    """Notebook and parameters of an address."""
    name, _, query = text.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if len(given) != query.count("=") or bool(query) != bool(given):
        raise UserError("written as paper/notebook?name=value&name=value")
    named = preset(f"{name.split('/')[0]}/{given.pop('preset')}") if "preset" in given else {}
    return name, named | given
