"""Weights of the tasks."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from papers_nb.adab2n.weights import task_weights

F64 = torch.float64


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    st.sampled_from(["renormalize", "official"]),
)
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_over_present_tasks(counts, rule):
    counts, psi = torch.tensor(counts, dtype=F64), torch.linspace(-1, 1, 6, dtype=F64)
    pi = task_weights(counts, psi[: len(counts)], rule)
    assert math.isclose(pi.sum().item(), 1, rel_tol=1e-12) and (pi >= 0).all()
    assert (rule == "official") or (pi[counts == 0] == 0).all()
