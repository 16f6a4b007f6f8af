"""What every test gets: a run root of its own, one thread, and a place for what is said at the end."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: small tensors on two threads wait for each other

import pytest

NOTES = []


@pytest.fixture(autouse=True)
def run_root(tmp_path, monkeypatch):
    """A run root that no finished run of an earlier test lies in."""
    monkeypatch.setenv("PAPERS_NB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def notes():
    """Lines to show at the end, whether or not anything failed."""
    return NOTES


def pytest_terminal_summary(terminalreporter):
    """Show the notes."""
    for line in NOTES:
        terminalreporter.write_line(line)
