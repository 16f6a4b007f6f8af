"""What every test gets: a run root of its own, one thread, and the house under test."""
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: small tensors on two threads wait for each other on a busy machine

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def run_root(tmp_path, monkeypatch):
    """A run root that no finished run of an earlier test lies in."""
    monkeypatch.setenv("PAPERS_NB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"
