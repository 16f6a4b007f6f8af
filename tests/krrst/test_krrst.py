"""The distiller, its pool and its set: one outer step by another route, resuming, bad input."""

import copy
import math

import pytest
import torch
from torch import nn

from papers_nb.errors import UserError
from papers_nb.krrst import DistilledSet, Distiller, ModelPool, Source, Targets, Views, distill, initial_set
from papers_nb.krrst.nets import convnet

TINY = lambda: convnet(1, 8, (4, 8))


@pytest.fixture
def real():
    """Forty images of eight by eight bytes, in nine views each."""
    g = torch.Generator().manual_seed(0)
    return Source(torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8, generator=g), Views(1, False))


@pytest.fixture
def model():
    """A frozen target model: pixels, halved and mixed."""
    torch.manual_seed(1)
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)).requires_grad_(False).eval()


def distiller(real, model, steps=12, size=3, lifetime=4, **options):
    """A small one."""
    start = initial_set(real, model, 6)
    pool = ModelPool(TINY, start.x, 5, size, lifetime, options.pop("reset_counter", True))
    return Distiller(start, Targets(model, real), pool, steps, batch=16, **options)


def test_one_outer_step_is_the_gradient_of_the_primal_ridge(real, model):
    made = distiller(real, model, lifetime=0, lr=1e-3)
    from papers_nb.core.train import generator

    member = made.pool.members[made.pool.pick(0)].net.extractor.eval()
    rows, which = real.draw(16, generator(0, "real", 0))
    x, y = made.x.detach().double().requires_grad_(), made.y.detach().double().requires_grad_()
    net = member.double()
    ones = lambda f: torch.cat([f, torch.ones(len(f), 1, dtype=f.dtype)], 1)
    s, t = ones(net(x)), ones(net(real.view(rows, which).double())).detach()
    lam = 1e-6 * s.square().sum().detach()
    w = torch.linalg.solve(s.T @ s + lam * torch.eye(s.shape[1], dtype=s.dtype), s.T @ y)
    loss = nn.functional.mse_loss(t @ w, made.targets(rows, which).double())
    by_x, by_y = torch.autograd.grad(loss, (x, y))
    net.float()
    row = made.step(0)
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-3)
    for ours, theirs in ((made.x.grad, by_x), (made.y.grad, by_y)):
        cosine = nn.functional.cosine_similarity(ours.double().flatten(), theirs.flatten(), dim=0)
        assert cosine > 1 - 1e-4 and ours.norm().item() == pytest.approx(theirs.norm().item(), rel=1e-2)


def test_the_learning_rate_falls_along_a_line_to_a_thousandth(real, model):
    made, seen = distiller(real, model, steps=5, lifetime=0, lr=0.1), []
    for step in range(made.total):
        made.step(step)
        seen.append(made.opt.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1 * (1 - 0.999 * k / 5) for k in range(5)])


def bits(tree):
    """A state with its tensors as bytes."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().numpy().tobytes()
    if isinstance(tree, dict):
        return {k: bits(v) for k, v in tree.items()}
    return [bits(v) for v in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("options", [{}, {"reset_counter": False}, {"lifetime": 0}, {"learn_targets": False}])
def test_a_distiller_that_is_loaded_goes_on_with_the_same_bits(real, model, options):
    whole, first, second = (distiller(real, model, lr=0.05, **options) for _ in range(3))
    for step in range(whole.total):
        whole.step(step)
    half = whole.total // 2
    for step in range(half):
        first.step(step)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step in range(half, whole.total):
        second.step(step)
    assert bits(whole.state_dict()) == bits(second.state_dict())


def ages(made):
    """How many steps the extractor of each outer step had been trained for."""
    return [row["age"] for row in map(made.step, range(made.total)) if "age" in row]


def test_a_counter_that_is_not_reset_leaves_untrained_extractors(real, model):
    reset, released = (
        ages(distiller(real, model, steps=120, size=2, reset_counter=kind)) for kind in (True, False)
    )
    assert max(reset[60:]) > 0 and set(released[60:]) == {0}
    assert set(ages(distiller(real, model, steps=20, lifetime=0))) == {0}


def test_members_are_made_without_touching_the_random_numbers_of_the_caller(real, model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    distiller(real, model)
    assert torch.rand(3).equal(expected)


def test_distilling_by_one_call_lowers_the_error_and_keeps_what_it_was_made_of(real, model, tmp_path):
    options = {"steps": 150, "size": 2, "lifetime": 10, "lr": 0.05, "batch": 40}
    made = distill(real, model, 6, TINY, seed=3, **options)
    start = initial_set(real, model, 6, seed=3)
    assert made.x.shape == start.x.shape and not made.x.equal(start.x) and not made.y.equal(start.y)
    made.save(tmp_path / "made.safetensors")
    again = DistilledSet.load(tmp_path / "made.safetensors")
    assert again.x.equal(made.x) and again.y.equal(made.y)
    assert again.about["mean"] == pytest.approx(list(real.mean))
    assert made.pictures().min() >= 0 and made.pictures().max() <= 1
    x, y = again.dataset()[0]
    assert x.equal(made.x[0]) and y.equal(made.y[0])


def test_what_does_not_fit_is_named(real, model, tmp_path):
    with pytest.raises(UserError, match=r"m=41: from 1 to the 40 images"):
        initial_set(real, model, 41)
    with pytest.raises(UserError, match=r"targets of width 5, and a pool of networks with 7 outputs"):
        start = initial_set(real, model, 6)
        Distiller(start, Targets(model, real), ModelPool(TINY, start.x, 7, 1), 1)
    with pytest.raises(UserError, match="not finite"):
        DistilledSet(torch.full((2, 1, 8, 8), math.nan), torch.zeros(2, 5))
    with pytest.raises(UserError, match="lifetime=-1"):
        ModelPool(TINY, torch.zeros(1, 1, 8, 8), 5, lifetime=-1)
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no distilled set"):
        DistilledSet.load(tmp_path / "no.safetensors")
    with pytest.raises(UserError, match="not finite"):
        distill(real, model, 6, TINY, steps=40, size=1, lifetime=5, lr=1e30, batch=40)
