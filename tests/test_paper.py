"""A paper is a folder and a section of settings.ini: one of a single page, put into a copy of the house."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pages
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SECTION = """
[demo]
title = A number cut in two, again and again (Halves)
name = Halves
question = How often can a number be halved?

[demo/eight]
number = 8
"""
PUBLIC = '''"""Halves: the names to import."""

from papers_nb.demo.overview import halvings

__all__ = ["halvings"]
'''
CELLS = [
    new_markdown_cell("# Every halving is one bit\n\n> How often a number can be halved, counted."),
    new_code_cell("#| default_exp demo.overview"),
    new_code_cell(
        "#| exports\n"
        "def halvings(\n"
        "    n: int,  # at least 1\n"
        ") -> int:  # how often, until 1 is left\n"
        '    "Halve `n`, rounding down, until 1 is left, and count."\n'
        "    return 0 if n == 1 else 1 + halvings(n//2)"
    ),
    new_code_cell("halvings(8)"),
]
# what sync and the home page make; nothing else that is committed may change
MADE = {"README.md", "nbs/_text/index.py", "nbs/index.ipynb", "nbs/llms.txt", "nbs/sidebar.yml"}
MADE |= {"papers_nb/_modidx.py", "settings.ini"}


def sh(*args, cwd, check=True):
    """Run a tool of this environment in the house `cwd`."""
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run([str(a) for a in args], cwd=cwd, env=env, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def add(house, section=SECTION):
    """Put the paper into a house."""
    (house / "nbs/demo").mkdir()
    notebook = new_notebook(cells=CELLS, metadata={"kernelspec": pages.KERNEL})
    nbformat.write(notebook, house / "nbs/demo/00_overview.ipynb")
    (house / "papers_nb/demo").mkdir()
    (house / "papers_nb/demo/__init__.py").write_text(PUBLIC)
    with open(house / "settings.ini", "a") as settings:
        settings.write(section)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the house under git, with one paper more; its page and the home page were run."""
    there = pages.copy(tmp_path_factory.mktemp("house"))
    shutil.copytree(
        pages.ROOT / "tests", there / "tests", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    shutil.copy(pages.ROOT / ".gitignore", there)
    sh("git", "init", "--quiet", cwd=there)
    sh("git", "add", "--all", cwd=there)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    sh("git", *who, "commit", "--quiet", "--message", "before", cwd=there)
    add(there)
    pages.run(there / "nbs/demo/00_overview.ipynb", there)
    pages.run(there / "nbs/index.ipynb", there)
    pages.sync(there)
    return there


def test_no_list_kept_by_hand_was_touched(house):
    changed = set(sh("git", "diff", "--name-only", cwd=house).split())
    assert {"nbs/llms.txt", "nbs/sidebar.yml", "README.md"} <= changed <= MADE
    new = sh("git", "ls-files", "--others", "--exclude-standard", cwd=house).split()
    own = ["00_overview.ipynb", "_text/demo/00_overview.py", "__init__.py", "overview.py"]
    places = ["nbs/demo/", "nbs/", "papers_nb/demo/", "papers_nb/demo/"]
    assert set(new) == {place + file for place, file in zip(places, own)}


def test_the_command_line_knows_it(house):
    papers_nb = Path(sys.executable).with_name("papers_nb")
    listed = sh(papers_nb, "list", cwd=house)
    assert "demo: A number cut in two, again and again (Halves)" in listed
    assert "papers://demo/overview.ipynb" in listed and "papers://demo/eight.yaml" in listed
    assert sh(papers_nb, "results", "demo", cwd=house) == "no records of demo; start with: papers_nb list\n"
    assert sh(papers_nb, "claims", "demo", cwd=house)


def test_the_site_lists_it_behind_the_other_papers(house):
    sidebar = yaml.safe_load((house / "nbs/sidebar.yml").read_text())["website"]["sidebar"]["contents"]
    assert sidebar[:3] == ["index.ipynb", "claims.ipynb", "results.ipynb"]
    assert [s["section"] for s in sidebar[3:]][-2:] == ["Halves", "Shared parts"]
    assert sidebar[-2]["contents"] == ["demo/00_overview.ipynb"]
    address = "[Every halving is one bit](https://OWNER.github.io/papers_nb/demo/overview.html.md)"
    assert (
        f"- {address}: How often a number can be halved, counted.\n" in (house / "nbs/llms.txt").read_text()
    )
    assert "How often can a number be halved?" in (house / "README.md").read_text()


def test_its_page_is_built_and_linked(house, monkeypatch):
    monkeypatch.syspath_prepend(str(house / "tests/site"))
    build, rules = importlib.import_module("build"), importlib.import_module("rules")
    made = build.build(house / "_docs", house)
    assert "demo/overview.html" in made
    assert "demo/overview.html" in (house / "_docs/index.html").read_text()
    for rule in (rules.sidebar, rules.llms, rules.titles):
        assert rule(house) == []
    assert [line for line in rules.links(house / "_docs") if line.startswith("demo/")] == []


def test_the_linter_takes_its_module(house):
    sh(sys.executable, "-m", "ruff", "check", "papers_nb/demo", "nbs/demo", cwd=house)


def test_the_tests_loops_take_it_in(house):
    ask = ("tests/test_package.py", "tests/test_pages.py", "-k", "demo or numberless or one_notebook")
    said = sh(sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *ask, cwd=house)
    assert "test_public_names_of_a_paper_are_documented_and_complete[demo] PASSED" in said
    assert "test_numberless_names_are_unique PASSED" in said


def test_a_folder_without_a_section_is_refused(tmp_path):
    there = pages.copy(tmp_path)
    add(there, section="")
    with pytest.raises(SystemExit, match=r"nbs/demo holds pages, but settings.ini has no section \[demo\]"):
        pages.contents(there)
