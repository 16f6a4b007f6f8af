"""Every paper's table of theory against code: each line names claims and tests that exist."""

import ast
import re

import pages
import pytest

from papers_nb import runs
from papers_nb.core.checks import ledger
from papers_nb.core.tables import CODE, THEORY

HEAD = "| " + " | ".join(THEORY) + " |\n"
TEST = re.compile(rf"\[([\w ]+)\]\({re.escape(CODE)}/(tests/[\w/]+\.py)\)")
CLAIM = re.compile(r"`([\w.]+)`")


def lines(page):
    """The last cell of every line of a page's table."""
    texts = [text for _, _, kept in pages.outputs(page) for text in kept if isinstance(text, str)]
    (table,) = (text for text in texts if text.startswith(HEAD))
    return [line.rpartition(" | ")[2] for line in table.splitlines()[2:]]


def held(file):
    """The tests that a file holds, in words."""
    there = ast.walk(ast.parse(file.read_text())) if file.exists() else ()
    return {n.name.removeprefix("test_").replace("_", " ") for n in there if isinstance(n, ast.FunctionDef)}


def lost(page, root=pages.ROOT):
    """What the lines of a page's table name and nobody has, and lines that name nothing."""
    claims = {c["id"] for c in ledger(runs.notebooks())}
    found = []
    for cell in lines(page):
        named = TEST.findall(cell)
        found += [f"{file}: {words}" for words, file in named if words not in held(root / file)]
        ids = CLAIM.findall(cell)
        found += [i for i in ids if i not in claims]
        found += [] if ids or named else [cell]
    return found


@pytest.fixture(params=runs.papers())
def overview(request):
    """The overview of a paper."""
    return pages.find(f"{request.param}/overview")


def test_a_table_names_claims_and_tests_that_exist(overview):
    assert len(lines(overview)) > 9 and lost(overview) == []


def test_a_claim_or_a_test_that_was_renamed_is_noticed(overview, tmp_path):
    words, file = next(m for cell in lines(overview) for m in TEST.findall(cell))
    claim = next(i for cell in lines(overview) for i in CLAIM.findall(cell))
    page, text = tmp_path / overview.name, overview.read_text()
    page.write_text(text.replace(f"[{words}]", "[of old]").replace(f"`{claim}`", "`of.old`"))
    found = lost(page)
    assert set(found) == {f"{file}: of old", "of.old"}
