"""The loss on inputs that people have: float32 features, a gradient through a network, an ill-posed fit."""

import pytest
import torch

from papers_nb.errors import UserError
from papers_nb.krrst import krr_loss


def test_gradients_come_in_the_precision_of_the_features_and_are_those_of_float64():
    g = torch.Generator().manual_seed(0)
    phi_s, y_s = torch.randn(20, 50, generator=g), torch.randn(20, 3, generator=g)
    phi_t, y_t = torch.randn(30, 50, generator=g), torch.randn(30, 3, generator=g)
    found = []
    for kind in (torch.float32, torch.float64):
        s, y = (t.detach().clone().to(kind).requires_grad_() for t in (phi_s, y_s))
        krr_loss(s, y, phi_t.to(kind), y_t.to(kind)).backward()
        assert s.grad.dtype == y.grad.dtype == kind
        found.append((s.grad, y.grad))
    for low, high in zip(*found):
        torch.testing.assert_close(low.double(), high, rtol=1e-5, atol=1e-9)


def test_a_second_derivative_is_not_made_up():
    s, y = torch.randn(3, 2, requires_grad=True), torch.randn(3, 1, requires_grad=True)
    loss = krr_loss(s, y, torch.ones(2, 2), torch.ones(2, 1))
    (grad,) = torch.autograd.grad(loss, s, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad.sum().backward()


@pytest.mark.parametrize(("name", "bad"), [("phi_s", float("nan")), ("phi_s", float("inf"))])
def test_numbers_that_are_not_finite_are_refused(name, bad):
    given = dict(phi_s=torch.ones(3, 2), y_s=torch.ones(3, 1), phi_t=torch.ones(2, 2), y_t=torch.ones(2, 1))
    given[name] = given[name].index_fill(0, torch.tensor(1), bad)
    with pytest.raises(UserError):
        krr_loss(**given)
