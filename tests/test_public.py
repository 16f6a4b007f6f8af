"""The public names of every paper explain each argument and each method."""

import dataclasses
import importlib
import inspect

import pytest
from fastcore.docments import docments

from papers_nb import parameters

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
NAMES = [
    (paper, n) for paper in parameters.papers() for n in importlib.import_module(f"papers_nb.{paper}").__all__
]


def unexplained(thing):
    """Arguments without a comment and public methods without a docstring; the name itself if it has none."""
    made = thing.__init__ if inspect.isclass(thing) and not dataclasses.is_dataclass(thing) else thing
    taken = inspect.signature(made).parameters.values()
    said = docments(made, returns=False)
    found = [p.name for p in taken if p.kind not in VARIADIC and p.name != "self" and not said.get(p.name)]
    methods = vars(thing).items() if inspect.isclass(thing) else ()
    found += [
        n
        for n, f in methods
        if inspect.isfunction(f) and n[0] != "_" and not inspect.getdoc(getattr(thing, n))
    ]
    return found + [thing.__name__] * (not thing.__doc__)


@pytest.mark.parametrize("paper,name", NAMES)
def test_every_argument_of_a_public_name_is_explained(paper, name):
    assert unexplained(getattr(importlib.import_module(f"papers_nb.{paper}"), name)) == []


def test_every_paper_has_public_names():
    assert {paper for paper, _ in NAMES} == set(parameters.papers())


def test_what_is_not_explained_is_noticed():
    def silent(
        a,  # explained
        b,
    ):
        return a + b

    class Silent:
        """Explained."""

        def __init__(self, c):
            self.c = c

        def method(self):
            return self.c

    assert unexplained(silent) == ["b", "silent"]
    assert unexplained(Silent) == ["c", "method"]
