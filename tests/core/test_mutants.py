"""Every operator, comparison, constant, index and axis, one edit at a time."""

import pytest
import torch

from papers_nb.adab2n.bounds import gap_bound
from papers_nb.adab2n.weights import task_weights
from papers_nb.core.mutants import Unturned, mutants, turned
from papers_nb.lirdrec.displacement import feature_share
from papers_nb.lirdrec.propagation import first_turn, step_cost
from papers_nb.lirdrec.transform import transform

SCALE = 2.0


def half(x, by=2):
    """Half of what is above zero."""
    if x < 0:
        raise ValueError(f"x={x}: {-x + 1}")
    return _inner(x) / by


def _inner(x):
    """The same."""
    return x * SCALE / SCALE


def edits(f):
    """The edits of a function in words."""
    return [m.edit for m in mutants(f)]


@pytest.mark.parametrize(
    "f,edit",
    [
        (gap_bound, "var + eps → var - eps (2)"),
        (feature_share, "return (square / (1 + square), u) → return (square / (1 + square), turned(u))"),
        (
            feature_share,
            "torch.linalg.svd(X, full_matrices=True) → torch.linalg.svd(X, full_matrices=False)",
        ),
        (step_cost, "dim // 4 → dim / 4"),
        (task_weights, "counts > 0 → counts > 1"),
        (first_turn, "users + dim → users"),
    ],
)
def test_edits_that_once_went_unnoticed_are_made(f, edit):
    assert edits(f).count(edit) == 1


def test_every_edit_is_another_function_with_a_name_of_its_own():
    made = list(mutants(half))
    assert len({m.edit for m in made}) == len(made)
    assert all(m.function is not half for m in made) and half(3.0) == 1.5
    by = {m.edit: m.function for m in made}
    assert by["_inner(x) / by → _inner(x) * by"](3.0) == 6.0
    assert by["x < 0 → x <= 0"](1.0) == 0.5
    with pytest.raises(ValueError):
        by["x < 0 → x <= 0"](0.0)


def test_private_functions_are_edited_with_the_one_that_calls_them():
    by = {m.edit: m.function for m in mutants(half)}
    assert by["x * SCALE / SCALE → x * SCALE * SCALE"](3.0) == 6.0 and _inner(3.0) == 3.0
    assert any("polar" in edit for edit in edits(transform))


def test_what_is_told_and_what_is_not_computed_is_left_alone():
    told = [edit for edit in edits(half) if edit.startswith(("-x", "ValueError", "'", "raise"))]
    assert not told
    assert not any("Tensor" in e for e in edits(feature_share))


def test_turning_needs_an_order():
    assert turned(torch.tensor([1, 2, 3])).tolist() == [3, 2, 1]
    assert turned(torch.ones(2, 3)).shape == (3, 2)
    for value in (1.0, torch.tensor(2.0), torch.ones(1, 1, 1)):
        with pytest.raises(Unturned):
            turned(value)
