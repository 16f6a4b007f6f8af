"""What counts as the code of a run, on small packages and on the pages as they are."""

import ast
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pages
import pytest

from papers_nb import parameters, runs
from papers_nb.core.code import SHOWN, code_hash, kernel_cells, page_cells, reached, reaches
from papers_nb.errors import UserError

PARAMS = {"host": "er", "sizes": ["small"], "layers": 2, "fast": True, "seed": 0}
MODULES = {
    "__init__": "__version__ = '1'",
    "errors": "class UserError(ValueError): pass",
    "runs": "def open(name, names): return 1",
    "core/__init__": "",
    "core/files": "def fetch(x): return x",
    "core/plots": "def theme(): return 1",
    "core/train": "def setup(): return 1",
    "p/__init__": "from papers_nb.p.methods import Net",
    "p/methods": """
        from collections.abc import Callable
        from torch.nn.functional import relu
        from .deep import one, RATE
        from ..core.files import fetch
        from ..errors import UserError

        class Base:
            "What nets share."
            def start(self):
                self.x = 1
                self.y = 2

        class Net(Base):
            width: int = 3
            def forward(self, x: float, scale: float = 1.)->float:
                "Forward."
                return relu(x)*scale + one(x)  # a comment

        def er(x): return RATE*x
        def derpp(x): return x - 1
        def unused(x): return x*7

        HOSTS = {'er': er, 'derpp': derpp, 'const': 3}

        def loss(host, x):
            "By name."
            if host not in HOSTS: raise UserError(f'one of {", ".join(HOSTS)}')
            return HOSTS[host](x)
        """,
    "p/deep": """
        RATE, SIZES = .1, (1, 2)
        def one(x): return two(x)
        def two(x):
            from papers_nb.p.deeper import three
            return three(x)
        """,
    "p/deeper": "def three(x): return x + 1",
}
CELLS = [
    "from papers_nb import runs\nfrom papers_nb.core.plots import theme",
    "from papers_nb.p.methods import Net, loss",
    "run = runs.open('p/train', globals())",
    "#| label: fig-data\nfig = theme()",
    "net = Net()",
    "def fit(run, net):\n    'Train.'\n    return loss(host, net.forward(1.))",
    "fit(run, net)",
    "record = run.finish({})",
]


@pytest.fixture
def house(tmp_path):
    """A small package; call it with edits (module, old, new) or with whole modules, and get the hash."""
    package = tmp_path / "papers_nb"

    def code(*edits, cells=CELLS, params=PARAMS, which=code_hash, **modules):
        """The hash of the cells once the package has these edits."""
        texts = {name: dedent(text) for name, text in {**MODULES, **modules}.items()}
        for module, old, new in edits:
            assert texts[module].count(old) == 1, (module, old)
            texts[module] = texts[module].replace(old, new)
        for name, text in texts.items():
            file = package / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return which(cells, params, package)

    return code


SAME = {
    "a comment": ("p/methods", "# a comment", "# another"),
    "the layout": ("p/methods", "relu(x)*scale + one(x)", "relu( x ) * scale \\\n            + one(x)"),
    "a docstring": ("p/methods", '"Forward."', '"Backward."'),
    "a docstring that goes": ("p/methods", '        "Forward."\n', ""),
    "an annotation": ("p/methods", "x: float, scale: float", "x: Callable, scale"),
    "what a function returns": ("p/methods", "->float", ""),
    "the type of a field": ("p/methods", "width: int = 3", "width: float = 3"),
    "a new function": ("p/deep", "def one", "def other(x): return 9\ndef one"),
    "a function that nobody calls": ("p/methods", "x*7", "x*8"),
    "a new import": ("p/deep", "RATE, SIZES", "import os\nRATE, SIZES"),
    "a new entry": ("p/methods", "'const': 3}", "'const': 3, 'new': unused}"),
    "an entry that is not asked for": ("p/methods", "'derpp': derpp", "'derpp': unused"),
    "what such an entry calls": ("p/methods", "x - 1", "x - 2"),
    "an entry that goes": ("p/methods", ", 'const': 3}", "}"),
    "where data comes from": ("core/files", "return x", "return x + 1"),
    "how pictures look": ("core/plots", "return 1", "return 2"),
    "how a mistake is told": ("errors", "pass", "code = 2"),
    "the loop around a training": ("runs", "return 1", "return 2"),
    "the version": ("__init__", "'1'", "'2'"),
}
DIFFERENT = {
    "a constant": ("p/deep", ".1", ".2"),
    "an operator": ("p/methods", "+ one(x)", "- one(x)"),
    "three calls deep": ("p/deeper", "x + 1", "x + 2"),
    "a line of a method": ("p/methods", "        self.y = 2\n", ""),
    "a base class": ("p/methods", "Net(Base)", "Net"),
    "a default": ("p/methods", "scale: float = 1.", "scale: float = 2."),
    "a field": ("p/methods", "width: int = 3", "width: int"),
    "a field that is none any more": ("p/methods", "width: int = 3", "width = 3"),
    "what is imported": ("p/methods", "import relu", "import gelu as relu"),
    "where it is imported from": ("p/methods", "from torch.nn.functional", "from torch"),
    "one of ours under the same name": ("p/methods", "import one, RATE", "import two as one, RATE"),
    "two names exchanged": ("p/deep", "RATE, SIZES = ", "SIZES, RATE = "),
    "the entry in use": ("p/methods", "'er': er", "'er': derpp"),
    "what the entry in use calls": ("p/methods", "RATE*x", "RATE + x"),
    "an effect of an import": ("p/deep", "def one", "print(RATE)\ndef one"),
    "a later change of a dict": ("p/methods", "def loss", "HOSTS['er'] = derpp\ndef loss"),
    "a later definition": ("p/deep", "def two", "def one(x): return 5\ndef two"),
    "a message": ("p/methods", "one of", "any of"),
}


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME.keys())
def test_what_changes_no_number_changes_no_hash(house, edit):
    before = house()
    assert house(edit) == before


@pytest.mark.parametrize("edit", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_may_change_a_number_changes_the_hash(house, edit):
    before = house()
    assert house(edit) != before


def test_it_is_told_by_name_what_differs(house):
    old, new = house(which=reached), house(("p/deeper", "x + 1", "x + 2"), which=reached)
    assert [n for n in old | new if old.get(n) != new.get(n)] == ["three"]
    assert set(old) == {
        "page",
        "fit",
        "loss",
        "HOSTS['er']",
        "er",
        "RATE",
        "Net",
        "Base",
        "one",
        "two",
        "three",
    }


LOOP = """
def f(x, y=1):
    total, names = 0, [b for b in x]
    def inner(z):
        nonlocal total
        total += z*seen(names)
    for i, a in enumerate(x): inner(a + i)
    return total, lambda w: names
"""


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("names", "others", True),
        ("i, a in enumerate(x): inner(a + i)", "j, c in enumerate(x): inner(c + j)", True),
        ("b for b in", "c for c in", True),
        ("i, a in enumerate(x): inner(a + i)", "i, a in enumerate(x): inner(i + a)", False),
        ("i, a in enumerate(x): inner(a + i)", "a, i in enumerate(x): inner(a + i)", False),
        ("b for b in", "names for b in", False),
        ("lambda w: names", "lambda w: inner", False),
        ("z", "u", False),
        ("y=1", "v=1", False),
        ("seen", "seen_by", False),
    ],
)
def test_a_variable_inside_a_function_may_be_called_anything(house, old, new, same):
    assert old in LOOP
    cells = ["from papers_nb.p.loop import f", "x = f([1])"]
    code = lambda text: house(cells=cells, **{"p/loop": text})
    assert (code(LOOP.replace(old, new)) == code(LOOP)) is same
    looked = LOOP.replace("total, names = 0", "total, names = len(locals())")
    assert code(looked.replace(old, new)) != code(looked), "a function that looks at its names"


def test_a_variable_with_the_name_of_something_else_keeps_it(house):
    cells = ["from papers_nb.p.loop import f", "x = f(1)"]
    code = lambda text: house(cells=cells, **{"p/loop": text})
    shadow = "def f(x):\n    class Two:\n        a = x\n    a = x\n    return Two, a"
    assert code(shadow) != code(
        shadow.replace("    a = x\n    return Two, a", "    b = x\n    return Two, b")
    )
    everywhere = shadow.replace("a = x", "b = x").replace("Two, a", "Two, b")
    assert code(shadow) != code(everywhere), "a field is no variable"
    arguments = "def f(a, b):\n    a = 1\n    b = b\n    return a, b"
    exchanged = "def f(a, b):\n    b = 1\n    a = a\n    return b, a"
    assert code(arguments) != code(exchanged), "an argument is no variable"
    outside = "rate = 3\ndef f(x):\n    def g():\n        rate = x\n        return rate\n    return g, rate"
    inner = outside.replace("        rate = x\n        return rate", "        lr = x\n        return lr")
    assert code(outside) != code(
        outside.replace("return g, rate", "return g, lr").replace("rate = 3", "lr = 3")
    )
    assert code(outside) != code(inner), "careful rather than clever: the name is read from outside too"


def test_a_definition_that_moves_takes_its_hash_along(house):
    before = house()
    moved = dedent(MODULES["p/deep"]).replace(
        "def one(x): return two(x)", "from papers_nb.core.new import one"
    )
    assert (
        house(**{"p/deep": moved, "core/new": "from papers_nb.p.deep import two\ndef one(x): return two(x)"})
        == before
    )
    imported = [
        c.replace("import Net, loss", "import Net, loss\nfrom papers_nb.core.fit import fit")
        for c in CELLS
        if "def fit" not in c
    ]
    loop = "from papers_nb.p.methods import loss\n" + CELLS[5]
    old, new = house(which=reached), house(cells=imported, which=reached, **{"core/fit": loop})
    assert {n for n in old | new if old.get(n) != new.get(n)} == set()
    assert house(cells=imported, **{"core/fit": loop.replace("1.", "2.")}) != before


@pytest.mark.parametrize(
    "line, call",
    [
        ("from papers_nb.p import methods", "methods.loss"),
        ("from papers_nb.p import methods as m", "m.loss"),
        ("import papers_nb.p.methods as m", "m.loss"),
        ("import papers_nb.p.methods", "papers_nb.p.methods.loss"),
        ("import papers_nb", "papers_nb.p.methods.loss"),
        ("from papers_nb import p", "p.methods.loss"),
        ("from papers_nb.p.methods import loss as cost", "cost"),
        ("from papers_nb.p.again import loss", "loss"),
        ("from papers_nb.p import Net", "Net().forward"),
    ],
)
def test_every_way_to_import_is_followed(house, line, call):
    cells, again = [line, f"x = {call}(host, 1.)"], {"p/again": "from .methods import loss"}
    before = house(cells=cells, **again)
    deep = ("p/deeper", "x + 1", "x + 2") if "Net" in call else ("p/methods", "RATE*x", "RATE + x")
    assert house(deep, cells=cells, **again) != before
    assert house(("p/methods", "x - 1", "x - 2"), cells=cells, **again) == before, "the other loss"
    assert house(("p/methods", "x*7", "x*8"), cells=cells, **again) == before, "not called"


def test_an_import_of_everything_counts_whole(house):
    cells, own = (
        ["from papers_nb.p.methods import *", "x = loss(host, 1.)"],
        {"p/again": "from .methods import *"},
    )
    again = ["from papers_nb.p import again", "x = again"]
    for edit in (("p/methods", "RATE*x", "RATE + x"), ("p/deeper", "x + 1", "x + 2")):
        assert house(edit, cells=cells) != house(cells=cells)
        assert house(edit, cells=again, **own) != house(cells=again, **own)


def test_a_package_may_import_its_own_module(house):
    cells, own = (
        ["from papers_nb.p import methods", "x = methods.loss(host, 1.)"],
        {"p/__init__": "from . import methods"},
    )
    assert house(("p/methods", "RATE*x", "RATE + x"), cells=cells, **own) != house(cells=cells, **own)


def test_a_module_that_is_handed_on_counts_whole(house):
    cells = ["from papers_nb.p import methods", "f = getattr(methods, 'lo' + 'ss')"]
    assert house(("p/methods", "x*7", "x*8"), cells=cells) != house(cells=cells)


@pytest.mark.parametrize(
    "use, whole",
    [
        ("HOSTS[host]", False),
        ("host in HOSTS", False),
        ("HOSTS.get(host)", True),
        ("HOSTS['er']", False),
        ("methods.HOSTS[host]", False),
        ("HOSTS.items()", True),
        ("methods.HOSTS.values()", True),
        ("list(HOSTS)", True),
        ("[h for h in HOSTS]", True),
        ("HOSTS", True),
        ("HOSTS[f'{host}']", True),
        ("HOSTS[host + '']", True),
    ],
)
def test_a_dict_counts_by_the_entries_asked_for(house, use, whole):
    cells = ["from papers_nb.p import methods\nfrom papers_nb.p.methods import HOSTS", f"x = {use}"]
    before = house(cells=cells)
    assert house(("p/methods", "RATE*x", "RATE + x"), cells=cells) != before
    assert (house(("p/methods", "x - 1", "x - 2"), cells=cells) != before) is whole
    assert (house(("p/methods", "'const': 3}", "'const': 3, 'new': 4}"), cells=cells) != before) is whole
    swapped = house(("p/methods", "'er': er, 'derpp': derpp", "'derpp': derpp, 'er': er"), cells=cells)
    assert (swapped != before) is whole, "the order of the entries"


def test_an_entry_is_asked_for_by_a_parameter_by_a_list_or_by_a_string_in_the_code(house):
    edit = ("p/methods", "x - 1", "x - 2")
    assert house(edit, params={"host": "derpp"}) != house(params={"host": "derpp"})
    assert house(edit, params={"host": ["er", "derpp"]}) != house(params={"host": ["er", "derpp"]})
    named = [*CELLS[:4], "net = loss('derpp', 1.)"]
    assert house(edit, cells=named) != house(cells=named)
    deep = {"p/deeper": "from papers_nb.p.methods import HOSTS\ndef three(x): return HOSTS['derpp'](x)"}
    assert house(edit, **deep) != house(**deep)
    assert house(params={**PARAMS, "seed": 1}) == house(), "the seed is no code"


def test_how_data_is_fetched_and_described_is_not_counted(house):
    sets = "from .deep import one, two\n"
    sets += "SETS = {'er': dict(load=one, fetch=two, card='a', checksum=two, classes=3)}"
    cells = ["from papers_nb.p.sets import SETS", "x = SETS[host]"]
    before = house(cells=cells, **{"p/sets": sets})
    for old, new, same in [
        ("card='a'", "card='b'", True),
        ("fetch=two", "fetch=one", True),
        ("checksum=two", "checksum=one", True),
        ("classes=3", "classes=4", False),
        ("load=one", "load=two", False),
    ]:
        assert (house(cells=cells, **{"p/sets": sets.replace(old, new)}) == before) is same, old
    only = sets.replace("load=one, ", "")
    assert "two" not in house(cells=cells, which=reached, **{"p/sets": only})


MATCH = """
match host:
    case 'er': x = 1
    case 'derpp' | 'other': x = 2
    case _: x = 3
"""


@pytest.mark.parametrize(
    "host, counts", [("er", "x = 1"), ("derpp", "x = 2"), ("other", "x = 2"), ("third", "x = 3")]
)
def test_a_match_on_a_parameter_counts_by_its_arm(house, host, counts):
    make = (
        "def make():\n    match host:\n"
        + "".join(f"    {line}\n" for line in MATCH.splitlines()[2:])
        + "    return x"
    )
    for cells in ([MATCH], [make, "net = make()"]):
        before = house(cells=cells, params={"host": host})
        for arm in ("x = 1", "x = 2", "x = 3"):
            edited = [c.replace(arm, arm + " + 1") for c in cells]
            assert (house(cells=edited, params={"host": host}) != before) is (arm == counts), arm


@pytest.mark.parametrize(
    "cells",
    [
        [MATCH.replace("case 'er'", "case 'er' if x")],
        [MATCH.replace("case 'er'", "case [*_]")],
        ["host = 'er'", MATCH],
        ["def f():\n    global host\n    host = 'er'", MATCH],
        ["def f(host):" + MATCH.replace("\n", "\n    "), "f('derpp')"],
        ["def f():\n    host = g()" + MATCH.replace("\n", "\n    "), "f()"],
        ["from papers_nb.p.arms import f", "f(host)"],
    ],
)
def test_a_match_that_may_see_another_value_counts_whole(house, cells):
    arms = {"p/arms": "def f(host):" + MATCH.replace("\n", "\n    ")}
    before = house(cells=cells, **arms)
    edit = lambda text: text.replace("x = 2", "x = 7")
    assert house(cells=[edit(c) for c in cells], **{"p/arms": edit(arms["p/arms"])}) != before


def test_a_number_matches_as_python_matches_it(house):
    cells = ["match layers:\n    case 1: x = 1\n    case 2: x = 2"]
    with_two = house(cells=cells, params={"layers": 2.0})
    assert house(cells=[cells[0].replace("x = 1", "x = 7")], params={"layers": 2.0}) == with_two
    assert house(cells=[cells[0].replace("x = 2", "x = 7")], params={"layers": 2.0}) != with_two
    assert house(cells=[cells[0].replace("x = 1", "x = 7")], params={"layers": True}) != house(
        cells=cells, params={"layers": True}
    )


@pytest.mark.parametrize(
    "cell",
    [
        "#| label: fig-x\nfig = net",
        "#| code-fold: true\nfig = 7",
        "#| echo: false\nfig = Net(3)",
        "!pip install x",
        "%matplotlib inline",
        "%%bash\nls",
        "net",
        "net.width, run",
        "print(net.width)",
        "'a sentence'",
        "def nobody(): return 1",
        "import os",
    ],
)
def test_what_only_shows_is_not_counted(house, cell):
    at = len(CELLS) - 1
    assert house(cells=[*CELLS[:at], cell, *CELLS[at:]]) == house()


@pytest.mark.parametrize(
    "cell", ["net.start()", "print(net.start())", "x = 1", "%%time\nnet.start()", "assert net"]
)
def test_what_acts_is_counted(house, cell):
    at = len(CELLS) - 2
    assert house(cells=[*CELLS[:at], cell, *CELLS[at:]]) != house()


def test_what_a_sentence_computes_is_counted(house):
    show = "from IPython.display import Markdown"
    say = lambda text: house(cells=[*CELLS[:5], show, f"Markdown(f'{text}')", *CELLS[5:]])
    assert say("{net.forward(1.)}") != say("{net.forward(2.)}")


def test_a_class_of_a_cell_counts_whole(house):
    cells = ["class Mine:\n    def a(self): return 1\n    def b(self): return 2", "net = Mine()"]
    before = house(cells=cells)
    assert house(cells=[cells[0].replace("return 2", "return 3"), cells[1]]) != before
    assert house(cells=[cells[0].replace("Mine:", "Mine:\n    'A net.'"), cells[1]]) == before


def test_a_name_of_a_cell_leads_to_what_it_is_when_it_is_read(house):
    one, two, call = "def rate(): return 1", "def rate(): return 2", "x = rate()"
    assert house(cells=[one, two, call]) != house(cells=[two, one, call])
    assert house(cells=[one, call, two]) != house(cells=[two, call, one])
    assert house(cells=[one, call, two]) != house(cells=[one, two, call])
    assert house(cells=[one, call]) != house(cells=[two, call])
    both = house(cells=[one, call, two, "y = rate()"])
    assert both != house(cells=[one, call, "y = rate()"]) and both != house(cells=[two, call, "y = rate()"])
    outer = "def f(): return rate()"
    later = house(cells=[outer, one, "x = f()"])
    assert later != house(cells=[outer, two, "x = f()"])
    handed = house(cells=[outer, "g = f", one, "x = g()"])
    assert handed != house(cells=[outer, "g = f", two, "x = g()"]), "defined after it was handed on"


def test_a_function_counts_with_what_its_names_were_whenever_it_was_called(house):
    rates = [f"def rate(): return {n}" for n in (1, 2, 3, 4)]
    cells = ["def f(): return rate()", rates[0], "x = f()", rates[1], "y = f()", rates[2]]
    before = house(cells=cells)
    for i in (1, 3):
        assert house(cells=[*cells[:i], rates[3], *cells[i + 1 :]]) != before


def test_a_folded_cell_that_sets_a_name_anew_counts_with_its_place(house):
    fold, call = "#| code-fold: true\nscale = {}", "x = scale"
    cells = ["scale = 3", fold.format(4), call]
    before = house(cells=cells)
    assert house(cells=[cells[0], fold.format(5), call]) != before
    assert house(cells=[cells[1], cells[0], call]) != before
    shows = [fold.format(3), "x = scale", fold.format(4)]
    assert house(cells=shows) != house(cells=[shows[2], shows[1], shows[0]])


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return [a for a in x], {0}",
        "def f(x):\n    def g():\n        {0} = 1\n        return {0}\n    return g, {0}(x)",
        "def f(x, a={0}): return a",
        "def f(x):\n    return [{0} for {0} in {0}(x)]",
        "def f(x):\n    def g({0}={0}): return {0}\n    return g",
        "def f(x):\n    try: from .deeper import {0}\n    except ImportError: {0} = None\n    return {0}",
        "def f(x):\n    global {0}\n    y = {0}(x)\n    {0} = y\n    return y",
        "class f:\n    {0} = {0}\n    def __init__(self, x): self.x = {0}",
        "def f(x):\n    match x:\n        case [a]: return {0}(a)",
        "f = lambda x: [{0}(y) for y in x]",
    ],
)
def test_a_name_of_the_module_is_followed_past_variables_of_that_name(house, text):
    cells, text = ["from papers_nb.p.scopes import f", "x = f(1)"], text.format("three")
    scopes = {"p/scopes": f"from .deeper import three\n{text}"}
    assert house(("p/deeper", "x + 1", "x + 2"), cells=cells, **scopes) != house(cells=cells, **scopes)


def test_a_variable_exchanged_with_something_outside_counts(house):
    cells = ["from papers_nb.p.scopes import f", "x = f(1)"]
    code = lambda text: house(cells=cells, **{"p/scopes": text})
    inner = "def f(x):\n    def g():\n        max = x\n        return max\n    return g, max"
    assert code(inner) != code(inner.replace("max", "min"))
    captured = "def f(x):\n    max = 1\n    match x:\n        case [max]: pass\n    return max"
    assert code(captured) != code(captured.replace("max = 1", "min = 1").replace("return max", "return min"))


def test_a_setter_of_a_global_name_counts_with_it(house):
    text = "rate = 1\ndef put():\n    global rate\n    rate = 2\ndef f(): return rate"
    cells = ["from papers_nb.p.scopes import f", "x = f()"]
    code = lambda text: house(cells=cells, **{"p/scopes": text})
    assert code(text) != code(text.replace("rate = 2", "rate = 3"))


@pytest.mark.parametrize("cell", ["def sum(x): return 7", "#| code-fold: true\nlayers = 7"])
def test_a_name_that_was_there_before_the_page_counts_with_its_place(house, cell):
    cells = ["def f(): return sum([layers])", "x = f()", "y = 1"]
    assert house(cells=[*cells[:2], cell, cells[2]]) != house(cells=[cells[0], cell, *cells[1:]])


def test_a_comprehension_hides_no_import(house):
    cells = ["from papers_nb.p.methods import loss", "xs = [loss for loss in (1, 2)]", "x = loss(host, 1.)"]
    assert house(("p/methods", "RATE*x", "RATE + x"), cells=cells) != house(cells=cells)


def test_a_folded_cell_counts_where_it_is_named(house):
    cells = ["#| code-fold: true\nscale = 3\nother = 4", "x = scale"]
    before = house(cells=cells)
    assert house(cells=[cells[0].replace("3", "5"), cells[1]]) != before
    assert house(cells=[cells[0].replace("4", "5"), cells[1]]) == before


def test_a_folded_cell_that_builds_on_an_earlier_value_counts_with_it(house):
    cells = ["#| code-fold: true\nscale = 3", "#| code-fold: true\nscale += 1", "x = scale"]
    before = house(cells=cells)
    assert house(cells=[cells[0].replace("3", "5"), *cells[1:]]) != before
    assert house(cells=[cells[0], cells[1].replace("1", "2"), cells[2]]) != before


def test_a_dict_of_a_cell_counts_whole(house):
    table = "def a(): return 1\ndef b(): return 2\nMAKERS = {'er': a, 'derpp': b}"
    cells = [table, "x = MAKERS[host]()"]
    for old in ("1", "2"):
        assert house(cells=[table.replace(old, "3"), cells[1]]) != house(cells=cells)
    called = table.replace("'derpp': b", "'derpp': b()")
    assert house(cells=[called.replace("2", "3"), cells[1]]) != house(cells=[called, cells[1]])


def test_an_exported_cell_counts_as_the_module_it_becomes(house):
    cell = "#| exports\ndef a(): return 1\nSIZE, SPARE = 3, 4\nMAKERS = {'er': a(), 'derpp': print(1)}"
    cells = [cell, "x = MAKERS[host]() + SIZE"]
    before = house(cells=cells)
    assert house(cells=[cell.replace("print(1)", "print(2)"), cells[1]]) == before
    assert house(cells=[cell + "\nMORE = 5", cells[1]]) == before
    assert house(cells=[cell.replace("return 1", "return 2"), cells[1]]) != before
    assert house(cells=[cell.replace("3, 4", "5, 4"), cells[1]]) != before
    moved = ["from papers_nb.p.made import MAKERS, SIZE", cells[1]]
    assert house(cells=moved, **{"p/made": cell}) == before


def test_what_seeds_every_step_always_counts(house):
    keyed = "def setup(): return 1\ndef keyed(steps, seed): return seed + 1"
    before = house(**{"core/train": keyed})
    assert before != house() and house(**{"core/train": keyed.replace("+ 1", "+ 2")}) != before
    assert house(**{"core/train": keyed.replace("return 1", "return 2")}) == before


@pytest.mark.parametrize(
    "cells, words",
    [
        (
            ["from papers_nb.p.compiled import f", "f()"],
            "papers_nb.p.compiled has no source that can be read",
        ),
        (
            ["from papers_nb.p.deep import nothing", "nothing()"],
            "papers_nb.p.deep.nothing has no source that can be read",
        ),
        (["x ="], "the cell that begins 'x =' cannot be read as Python: line 1"),
        (["from papers_nb.p.broken import f", "f()"], "papers_nb.p.broken cannot be read as Python: line 1"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(house, cells, words):
    with pytest.raises(UserError, match=words) as error:
        house(cells=cells, **{"p/broken": "def f(:"})
    assert "\n" not in str(error.value)


@pytest.fixture
def page(tmp_path):
    """The small page as a notebook."""
    cells = [(["parameters"], "from typing import Literal\nhost: Literal['er'] = 'er'\nseed: int = 0")]
    cells += [([], c) for c in ["#| hide\n!pip install x", *CELLS, "after = fit(run, net)"]]
    file = tmp_path / "page.ipynb"
    nb = {
        "cells": [
            {"cell_type": "code", "metadata": {"tags": t}, "source": c.splitlines(True)} for t, c in cells
        ]
    }
    nb["cells"].insert(2, {"cell_type": "markdown", "metadata": {}, "source": "Words."})
    file.write_text(json.dumps(nb))
    return file


def ran(*cells):
    """IPython's `In` after these cells."""
    transform = __import__("IPython").core.inputtransformer2.TransformerManager().transform_cell
    return ["", *(transform(c).rstrip("\n") for c in cells)]


START = ["from typing import Literal\nhost: Literal['er'] = 'er'\nseed: int = 0", "#| hide\n!pip install x"]


def test_the_cells_of_a_page_end_with_the_record_and_leave_out_its_parameters(page):
    assert page_cells(page) == ["#| hide\n!pip install x", *CELLS]


@pytest.mark.parametrize(
    "executed",
    [
        [*START, *CELLS[:7]],
        [START[0], "# Parameters\nhost = 'derpp'", START[1], *CELLS[:7]],
        [*START, *CELLS, "after = fit(run, net)", *START, *CELLS[:7]],
        [*START, *CELLS, "after = fit(run, net)", *CELLS[:7]],
        [*START, *CELLS[:4], "net.forward(", "print(host)", "host", *CELLS[4:7]],
        [*START, *CELLS[:6], CELLS[6] + "  # a comment"],
        [START[0], "seed: int = 5", *CELLS[:7]],
    ],
    ids=[
        "as it is",
        "papermill",
        "Run All twice",
        "twice but for its parameters",
        "looked at",
        "comment",
        "other seed",
    ],
)
def test_a_kernel_that_ran_the_page_has_its_hash(house, page, executed):
    cells = kernel_cells(ran(*executed), page, PARAMS)
    assert house(cells=cells) == house(cells=page_cells(page))


@pytest.mark.parametrize(
    "executed",
    [
        [*START, *CELLS[:5], CELLS[5].replace("1.", "2."), CELLS[6]],
        [*START, *CELLS[:6], "fit(run, 2*net)"],
        [*START, *CELLS[:4], "net = Net(2)", *CELLS[5:7]],
        [*START, *CELLS[:5], "net.start()", *CELLS[5:7]],
        [*START, *CELLS[:5], "host = 'derpp'", *CELLS[5:7]],
        [*START, *CELLS[:4], "net = Net(2)", *CELLS[4:7]],
        [*START, *CELLS[:5], "%%time\n" + CELLS[5].replace("1.", "2."), CELLS[6]],
    ],
    ids=[
        "function",
        "call",
        "other net",
        "more",
        "parameter after opening",
        "one cell more",
        "under a magic",
    ],
)
def test_a_kernel_that_ran_something_else_has_another_hash(house, page, executed):
    cells = kernel_cells(ran(*executed), page, PARAMS)
    assert house(cells=cells) != house(cells=page_cells(page))


def test_an_edited_cell_stands_for_the_one_in_its_place(page):
    cells = kernel_cells(ran(*START, *CELLS[:6], "fit(run, 2*net)"), page, PARAMS)
    assert cells[-2:] == ["fit(run, 2*net)", "record = run.finish({})"] and CELLS[6] not in cells


def trainings():
    """Numberless names of the training notebooks."""
    return [name for name, file in runs.notebooks().items() if file.name.startswith("3")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the house, and its modules as trees."""
    there = pages.copy(tmp_path_factory.mktemp("house"))
    files = [
        f for f in sorted(there.glob("papers_nb/*/*.py")) if module(f) not in SHOWN and f.stem != "__init__"
    ]
    return there, {f: f.read_text() for f in files}


def module(file):
    """`adab2n.layer` for a file."""
    return f"{file.parent.name}.{file.stem}"


def hashes(there, which=code_hash):
    """The hash of every training page at its defaults, by the copy."""
    found = {}
    for name in trainings():
        file = there / "nbs" / runs.notebook(name).relative_to(runs.NOTEBOOKS)
        params = {k: p.default for k, p in runs.parameters(name).items()}
        found[name] = which(page_cells(file), params, there / "papers_nb")
    return found


def edited(copy, edit):
    """The hashes once every module has gone through `edit`, which takes its tree and gives it back."""
    there, texts = copy
    with changed({file: ast.unparse(edit(ast.parse(text))) for file, text in texts.items()}):
        return hashes(there)


@contextmanager
def changed(texts):
    """These files with other texts while the block runs."""
    before = {file: file.read_text() for file in texts if file.exists()}
    for file, text in texts.items():
        file.write_text(text)
    try:
        yield
    finally:
        for file in texts:
            file.write_text(before[file]) if file in before else file.unlink()


def test_comments_layout_docstrings_and_annotations_of_the_library_count_for_nothing(copy):
    def edit(tree):
        """Another docstring and another type everywhere."""
        for n in ast.walk(tree):
            if isinstance(n, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(n):
                n.body[0].value = ast.Constant("Something else.")
            if isinstance(n, ast.arg | ast.AnnAssign) and n.annotation:
                n.annotation = ast.Name("object")
            if isinstance(n, ast.FunctionDef):
                n.returns = ast.Name("object")
        return tree

    assert edited(copy, edit) == hashes(copy[0])


def test_a_new_function_in_every_module_counts_for_nothing(copy):
    def edit(tree):
        """One more function."""
        tree.body += ast.parse("def unrelated(x):\n    return x + 1").body
        return tree

    assert edited(copy, edit) == hashes(copy[0])


def definitions(copy):
    """File and name of each function and class of the library, without what only shows."""
    trees, kinds = {file: ast.parse(text) for file, text in copy[1].items()}, (ast.FunctionDef, ast.ClassDef)
    return [(file, n.name) for file, tree in trees.items() for n in tree.body if isinstance(n, kinds)]


def lines_of(tree, name):
    """First and last line of a definition, its decorators included."""
    node = next(n for n in tree.body if getattr(n, "name", "") == name)
    return min(n.lineno for n in [node, *node.decorator_list]) - 1, node.end_lineno


def with_a_line_more(text, name):
    """The text of a module with one more statement at the end of a definition."""
    node = next(n for n in ast.parse(text).body if getattr(n, "name", "") == name)
    lines, last = text.splitlines(True), node.body[-1]
    if last.lineno == node.lineno:
        lines[last.lineno - 1] = lines[last.lineno - 1].rstrip("\n") + "; assert True\n"
    else:
        lines.insert(last.end_lineno, " " * last.col_offset + "assert True\n")
    return "".join(lines)


def test_a_change_counts_exactly_where_its_definition_is_reached(copy):
    there, texts = copy
    before, names, found = hashes(there), hashes(there, reached), definitions(copy)
    names_of_all = [name for _, name in found]
    everywhere, own = set().union(*names.values()), [page.replace("/", ".") for page in trainings()]
    for file, name in found:
        if module(file) in own:
            continue
        with changed({file: with_a_line_more(texts[file], name)}):
            differ = {page for page, code in hashes(there).items() if code != before[page]}
        expected = {page for page in before if name in names[page]}
        assert differ == expected or (names_of_all.count(name) > 1 and differ <= expected), (file, name)
    assert 80 < len(everywhere) < len(found)


def test_a_definition_of_the_library_can_move_to_core(copy):
    there, texts = copy
    before, new = hashes(there), there / "papers_nb/core/moved.py"
    names = set().union(*hashes(there, reached).values())
    for file, name in definitions(copy):
        if name not in names:
            continue
        text, tree = texts[file], ast.parse(texts[file])
        first, last = lines_of(tree, name)
        lines = text.splitlines(True)
        imports = [
            ast.unparse(absolute(n, file)) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        imports += [
            f"from papers_nb.{module(file)} import {n}" for n in sorted(bound(tree) - {name, "__all__"})
        ]
        moved = "\n".join([*imports, "".join(lines[first:last])])
        lines[first:last] = [f"from papers_nb.core.moved import {name}\n"]
        with changed({new: moved, file: "".join(lines)}):
            assert hashes(there) == before, (file, name)


def bound(tree):
    """The names that the top level of a module binds."""
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names | {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def absolute(node, file):
    """An import as another module would write it."""
    if getattr(node, "level", 0):
        base = ["papers_nb", file.parent.name][: 3 - node.level]
        return ast.ImportFrom(".".join([*base, *filter(None, [node.module])]), node.names, 0)
    return node


@pytest.mark.parametrize("name", trainings())
def test_a_figure_of_a_page_counts_for_nothing_and_its_code_counts(copy, name):
    there, _ = copy
    file = there / "nbs" / runs.notebook(name).relative_to(runs.NOTEBOOKS)
    params = {k: p.default for k, p in runs.parameters(name).items()}
    cells, differ = page_cells(file), []
    before = code_hash(cells, params, there / "papers_nb")
    shown = [any(w in c for w in ("#| label:", "#| code-fold", "#| echo: false")) for c in cells]
    for i, cell in enumerate(cells):
        edited = [*cells[:i], cell + "\nopen('x')", *cells[i + 1 :]]
        differ.append(code_hash(edited, params, there / "papers_nb") != before)
    assert differ == [not s for s in shown] and "run.finish(" in cells[-1]


TRACE = """
import json, linecache, sys
from pathlib import Path
from papers_nb import runs
from papers_nb.core.code import SHOWN, page_cells, reached
import matplotlib; matplotlib.use('agg')
name, params = sys.argv[1], runs.check(sys.argv[1], json.loads(sys.argv[2]))
cells, ran, house = page_cells(runs.notebook(name)), set(), Path(runs.__file__).parent
left_out = {str(house.joinpath(*m.split('.')).with_suffix('.py')) for m in (*SHOWN, 'core.code')}
def note(frame, event, _):
    code, above = frame.f_code, frame
    ours = code.co_filename.startswith((str(house), 'cell'))
    if event != 'call' or code in ran or not ours or not code.co_flags & 1: # 1: a function, not a class body
        return
    while above and above.f_code.co_filename not in left_out:
        above = above.f_back
    if not above:
        ran.add(code)
names = dict(params, __name__='__main__')
for i, cell in enumerate(c for c in cells if '!test' not in c):
    linecache.cache[f'cell{i}'] = (len(cell), None, cell.splitlines(True), f'cell{i}')
    counts = not any(word in cell for word in ('runs.open(', '#| label:', '#| code-fold'))
    sys.setprofile(note if counts else None)
    exec(compile(cell, f'cell{i}', 'exec'), names)
    sys.setprofile(None)
ran = {n for c in ran if '<' not in (n := c.co_qualname.split('.')[0])}
print(json.dumps([sorted(ran), sorted(ran - reached(cells, params).keys())]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, given",
    [
        ("adab2n/train", {"host": "er-ace", "norm": "adab2n", "epochs": 1, "tasks": 2}),
        ("adab2n/train", {"host": "er", "norm": "cn-separate", "epochs": 1, "tasks": 2, "recalibrate": True}),
        ("lirdrec/train", {"model": "freedom", "epochs": 2}),
    ],
)
def test_whatever_runs_in_a_training_is_reached(tmp_path, name, given):
    env = {**os.environ, "PAPERS_NB_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(pages.ROOT)}
    args = [sys.executable, "-c", TRACE, name, json.dumps(given)]
    done = subprocess.run(args, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ran, missed = json.loads(done.stdout.splitlines()[-1])
    # _tree makes entries of SETS, and none of these was asked for
    assert len(ran) > 20 and [n for n in missed if n != "_tree"] == []


def test_the_module_imports_no_torch():
    script = (
        "import sys; from papers_nb.core import code; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(pages.ROOT)
    )
    assert done.stdout.split() == ["False", "False"]


def test_what_a_training_reaches_of_a_module_is_told_by_module_and_name():
    cells = page_cells(runs.notebook("lirdrec/train"))
    options = {n: [p.default] for n, p in parameters.parameters("lirdrec/train").items()}
    assert {"transform", "_dct"} <= reaches(cells, options, "lirdrec.transform")
    assert reaches(cells, options, "lirdrec.speed") == reaches(cells, options, "lirdrec.none") == set()
    assert "gain" not in reaches(cells, options, "lirdrec.propagation")


def test_an_option_that_no_default_names_is_reached_too():
    cells = page_cells(runs.notebook("lirdrec/train"))
    options = {n: [p.default] for n, p in parameters.parameters("lirdrec/train").items()}
    assert "SumRows" not in reaches(cells, options, "lirdrec.baselines")
    assert "SumRows" in reaches(cells, {**options, "model": ["sum"]}, "lirdrec.baselines")
