"""Gradients in closed form against finite differences."""

import pytest
import torch

from papers_nb.adab2n.layer import FusedNorm, sample_weights, weighted_norm

F64 = torch.float64


CASES = {
    "first task": (0, [0, 0, 0, 0], "renormalize"),
    "all tasks": (1, [0, 1, 1, 0], "renormalize"),
    "lost weight": (3, [3, 3, 0, 3], "official"),
    "one task only": (2, [2, 2, 2, 2], "renormalize"),
    "a lone sample": (1, [1, 1, 1, 0], "renormalize"),
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("done,ids,rule", CASES.values(), ids=CASES)
def test_gradients_agree_with_finite_differences(done, ids, rule, fused):
    torch.manual_seed(0)
    psi = torch.tensor([0.2, -0.4, 0.6, 0.0], dtype=F64)

    def output(x, psi, weight, bias):
        """The output, mean and variance as a function of everything that has a gradient."""
        w = sample_weights(torch.tensor(ids), psi, done + 1, rule)
        return (FusedNorm.apply if fused else weighted_norm)(x, w, weight, bias, 1e-5)

    inputs = [
        t.requires_grad_()
        for t in (torch.randn(4, 2, 3, dtype=F64), psi, torch.rand(2, dtype=F64), torch.rand(2, dtype=F64))
    ]
    assert torch.autograd.gradcheck(output, inputs)
