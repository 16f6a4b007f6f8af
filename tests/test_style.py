"""Widths and layout: 88 characters where a page shows code open, 110 elsewhere; ruff for plain Python."""

import json
import re

import pages
import pytest

OPEN, FOLDED = 88, 110
FOLDS = re.compile(
    r"^#\| *(hide|include: *false|echo: *false|code-fold: *true|export|default_exp .*) *$", re.M
)


def wide(page):
    """Lines of a notebook's code that are wider than their cell may be; captions stand in one line each."""
    cells = [c for c in json.loads(page.read_text())["cells"] if c["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    limits = [FOLDED if FOLDS.search(source) else OPEN for source in sources]
    lines = [(limit, line) for limit, source in zip(limits, sources) for line in source.splitlines()]
    lines = [(limit, line) for limit, line in lines if not line.startswith("#|")]
    return [f"{len(line)} of {limit}: {line}" for limit, line in lines if len(line) > limit]


@pytest.mark.parametrize("page", pages.sources(), ids=pages.called)
def test_code_of_a_page_fits_its_column(page):
    found = wide(page)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "head,limit",
    [
        ("", 88),
        ("#| exports\n", 88),
        ("#| label: fig-a\n", 88),
        ("#| export\n", 110),
        ("#| hide\n", 110),
        ("#| code-fold: true\n", 110),
        ('#| fig-alt: "' + 100 * "word " + '"\n#| echo: false\n', 110),
    ],
)
def test_a_line_that_is_too_wide_is_noticed(tmp_path, head, limit):
    page = tmp_path / "page.ipynb"
    fits, too_wide = ("x" * limit, "x" * (limit + 1))
    cells = [{"cell_type": "code", "source": head + line} for line in (fits, too_wide)]
    page.write_text(json.dumps({"cells": [*cells, {"cell_type": "markdown", "source": "x" * 200}]}))
    assert wide(page) == [f"{limit + 1} of {limit}: {too_wide}"]


def ruff(*args, root=pages.ROOT):
    """What ruff finds, or nothing."""
    done = pages.call("ruff", *args, root=root, check=False)
    return done.stdout if done.returncode else ""


def test_ruff_finds_nothing():
    assert ruff("check", "--no-cache", "--output-format", "concise") == ""


def test_plain_modules_and_tests_are_laid_out_by_ruff():
    assert ruff("format", "--no-cache", "--check") == ""


@pytest.mark.parametrize(
    "file,by_hand",
    [
        ("papers_nb/plain.py", False),
        ("papers_nb/adab2n/__init__.py", False),
        ("tests/core/test_it.py", False),
        ("papers_nb/adab2n/made.py", True),
    ],
)
def test_ruff_notices_what_is_too_wide_or_badly_laid_out(tmp_path, file, by_hand):
    house = pages.copy(tmp_path)
    module = house / file
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(f"x = {'1' * 100}  # {'too wide ' * 3}\n")
    checked = ruff("check", "--no-cache", "--output-format", "concise", root=house)
    assert (f"{file}:1:111: E501" in checked) is not by_hand
    module.write_text("x = {'a':1}\n")
    laid_out = ruff("format", "--no-cache", "--check", root=house)
    assert (file in laid_out) is not by_hand
