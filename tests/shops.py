"""A small shop for the tests of the recommenders, and real ones where they are at hand."""

import os

import pytest

from papers_nb.lirdrec.data import read_interactions, synthetic

SHOP = synthetic(seed=1, users=200, items=120)


def real(name):
    """A real set as user, item and split, or a skipped test that says what is missing."""
    if not (folder := os.environ.get("PAPERS_NB_REAL")):
        pytest.skip(f"PAPERS_NB_REAL names no folder that holds {name}.npz")
    return read_interactions(f"{folder}/{name}.npz")
