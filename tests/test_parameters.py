"""Names, types and bounds of parameters, presets and grids: what `papers_nb.parameters` promises."""

import configparser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papers_nb import parameters, runs
from papers_nb.errors import UserError

CELL = """from typing import Literal
norm: Literal['a', 'b'] = 'a'  # which norm
steps: int | None = None  # how many
lr: float = 1e-1  # a rate
tags: list[int] = [1]  # numbers
augment: bool = False
name: str = 'x # y'
"""


def notebook(source=CELL):
    """A notebook with one parameters cell."""
    return {"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}]}


@pytest.mark.parametrize(
    "given,expected",
    [
        ({}, {"norm": "a", "steps": None, "lr": 0.1, "tags": [1], "augment": False, "name": "x # y"}),
        ({"augment": "true"}, {"augment": True}),
        ({"augment": "False"}, {"augment": False}),
        ({"lr": "1e-3"}, {"lr": 1e-3}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"steps": "7"}, {"steps": 7}),
        ({"steps": "none"}, {"steps": None}),
        ({"steps": 7.0}, {"steps": 7}),
        ({"tags": "1,2"}, {"tags": [1, 2]}),
        ({"norm": "b"}, {"norm": "b"}),
        ({"steps": "9007199254740993"}, {"steps": 9007199254740993}),
        ({"steps": -2}, {"steps": -2}),
    ],
)
def test_parameters_are_converted(given, expected):
    params = runs.check(notebook(), given)
    assert list(params) == ["norm", "steps", "lr", "tags", "augment", "name"]
    assert {k: params[k] for k in expected} == expected
    assert all(type(params[k]) is type(v) for k, v in expected.items())


@pytest.mark.parametrize(
    "given,words",
    [
        ({"nrom": "a"}, "unknown parameter 'nrom', did you mean 'norm'?"),
        ({"norm": "c"}, "norm='c'"),
        ({"steps": "1.5"}, "steps='1.5'"),
        ({"steps": True}, "steps=True"),
        ({"augment": "yes"}, "augment='yes'"),
        ({"augment": 1}, "augment=1"),
        ({"lr": "fast"}, "lr='fast'"),
        ({"lr": True}, "lr=True"),
        ({"tags": "1,x"}, "tags='1,x'"),
        ({"name": 3}, "name=3"),
        ({"steps": "inf"}, "steps='inf'"),
        ({"steps": float("inf")}, "steps=inf"),
        ({"lr": "nan"}, "lr='nan'"),
        ({"tags": "1,inf"}, "tags='1,inf'"),
        ({"x=1; print('x') #": 5}, "unknown parameter"),
    ],
)
def test_other_parameters_are_refused_in_one_line(given, words):
    with pytest.raises(UserError) as e:
        runs.check(notebook(), given)
    assert words in str(e.value) and "\n" not in str(e.value)


@given(
    st.dictionaries(
        st.sampled_from(["norm", "steps", "lr", "tags", "augment", "name", "other"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_given_converts_or_is_refused(values):
    try:
        params = runs.check(notebook(), values)
    except UserError:
        return
    assert runs.check(notebook(), params) == params or any(v != v for v in params.values())


def test_a_hash_in_a_default_is_no_comment():
    assert runs.parameters(notebook())["name"].default == "x # y"


def test_names_depend_on_what_is_asked_and_not_on_where_it_runs():
    name = lambda **kw: runs.find(runs.ask("adab2n/train", runs.check("adab2n/train", kw)))
    assert name().startswith("adab2n-train/digits-seed0-")
    assert name() == name(device="cuda", threads=4, save_every=1, fresh=True)
    assert len({name(), name(seed=1), name(lr=0.1), name(norm="bn-joint")}) == 4


def test_a_preset_that_does_not_exist_lists_those_that_do():
    with pytest.raises(UserError, match=r"no preset 'adab2n/split'; there are adab2n/split-digits"):
        parameters.preset("adab2n/split")


def trainings(paper):
    """The notebooks of a paper that take parameters."""
    return [n for n in runs.notebooks() if n.startswith(f"{paper}/") and runs.parameters(n)]


def fits(check, *given):
    """Whether a check lets something pass."""
    try:
        return bool(check(*given))
    except UserError:
        return False


@pytest.mark.parametrize("paper", runs.papers())
def test_every_preset_and_grid_fits_its_notebook(paper):
    for name, values in runs.presets(paper).items():
        assert any(fits(runs.check, t, values) for t in trainings(paper)), name
    for name in runs.presets(paper, "grid:"):
        assert any(fits(runs.asked, t, name) for t in trainings(paper)), name


BOUNDS = """batch: int = 10  # ≥ 1: new images a step
cold: float = 0.0  # ≥ 0, < 1: share of items
ends: list[int] = []  # ≥ 0: epochs
steps: int | None = None  # ≥ 1: at most
width: int = 64  # ≥ 1; was dim: length of a row
norm: str = 'adab2n'  # in adab2n.nets.NORMS: norm layer
device: str = 'auto'  # auto, cpu, cuda
note: str = 'a'  # a colon: is no bound
# removed: groups = 8
"""


@pytest.mark.parametrize(
    "given,words",
    [
        ({"batch": "0"}, "parameter batch='0' does not fit: ≥ 1 is expected"),
        ({"cold": 1}, "parameter cold=1 does not fit: < 1 is expected"),
        ({"cold": -0.1}, "cold=-0.1 does not fit: ≥ 0 is expected"),
        ({"ends": "3,-1"}, "ends='3,-1' does not fit: ≥ 0 is expected"),
        ({"steps": 0}, "steps=0 does not fit: ≥ 1 is expected"),
        ({"batch": "many"}, "batch='many' does not fit: int is expected"),
        (
            {"norm": "bn"},
            "norm='bn' does not fit: one of bn-separate,",
        ),
        ({"device": "tpu"}, "device='tpu' does not fit: one of auto, cpu, mps, cuda, cuda:1 is"),
        ({"dim": 3}, "unknown parameter 'dim', it is called 'width' now"),
        ({"groups": 3}, "unknown parameter 'groups'"),
    ],
)
def test_what_is_out_of_bounds_is_refused_and_what_is_expected_is_said(given, words):
    with pytest.raises(UserError) as e:
        runs.check(notebook(BOUNDS), given)
    assert words in str(e.value) and "\n" not in str(e.value)


def test_what_lies_within_the_bounds_is_taken():
    given = {"batch": 1, "cold": 0.999, "ends": "0,7", "steps": "none", "norm": "gn", "device": "cuda:1"}
    params = runs.check(notebook(BOUNDS), given)
    assert [params[k] for k in given] == [1, 0.999, [0, 7], None, "gn", "cuda:1"]
    assert runs.parameters(notebook(BOUNDS))["note"].bounds == ()


@pytest.mark.parametrize(
    "notebook,given",
    [
        (n, g)
        for n in ("adab2n/train", "lirdrec/train")
        for g in ({"batch": 0}, {"epochs": 0}, {"lr": -1}, {"seed": -1})
    ]
    + [(n, g) for n in ("adab2n/train", "lirdrec/train") for g in ({"threads": 100_000}, {"device": "tpu"})]
    + [("adab2n/train", {"replay": 0}), ("adab2n/train", {"groups": 7}), ("adab2n/train", {"tasks": 0})]
    + [("lirdrec/train", {"dim": 0}), ("lirdrec/train", {"patience": -1}), ("lirdrec/train", {"cold": 1})],
)
def test_the_trainings_refuse_what_cannot_run_before_a_kernel_starts(notebook, given):
    with pytest.raises(UserError, match="does not fit"):
        runs.check(notebook, given)


@pytest.mark.parametrize("name", [n for n, p in runs.notebooks().items() if p.name[0] == "3"])
def test_every_number_of_a_training_has_a_bound(name):
    for p in runs.parameters(name).values():
        kind = parameters.ast.unparse(p.kind)
        if "int" in kind or "float" in kind:
            assert p.bounds or "Literal" in kind, f"{name}: {p.name} has no bound"
        assert p.text, f"{name}: {p.name} says nothing of itself"


@pytest.mark.parametrize("name", [n for n, p in runs.notebooks().items() if p.name[0] == "3"])
def test_papermill_reads_every_line_of_the_parameters(name):
    text = parameters._text(runs.notebook(name), 0)
    assert [line for line in text.splitlines() if line.count("=") > 1] == []


def test_a_section_takes_over_what_it_is_like(monkeypatch):
    settings = configparser.ConfigParser()
    text = "[toy/a]\nx = 1\ny = 2\n[toy/b]\nlike = a\ny = 3\n[toy/c]\nlike = b\nz = 4\n[toy/d]\nlike = d\n"
    settings.read_string(text)
    monkeypatch.setattr(parameters, "_settings", lambda: settings)
    with pytest.raises(UserError, match="d is like 'd', which is missing or like d itself"):
        parameters.presets("toy")
    settings.remove_section("toy/d")
    assert parameters.presets("toy")["c"] == {"x": "1", "y": "3", "z": "4"}


def test_papers_are_folders_with_a_section():
    found = runs.papers()
    assert {"adab2n", "lirdrec"} <= found.keys() and "core" not in found
    assert all({"name", "title", "question"} <= about.keys() for about in found.values())
