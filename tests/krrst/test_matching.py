"""Class means under fresh networks: one step by hand, resuming, targets solved for, what is refused."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from papers_nb.core.train import generator, key
from papers_nb.errors import UserError
from papers_nb.krrst import DistilledSet, Distiller, ModelPool, Source, Targets, Views, initial_set
from papers_nb.krrst.krrst import own_draws
from papers_nb.krrst.matching import Matching
from papers_nb.krrst.tuning import Pretraining

MAKE = lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU())


def real():
    """Thirty images of four by four bytes in three classes, numbered with a gap."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3 * 2
    x = torch.randint(0, 200, (30, 1, 4, 4), dtype=torch.uint8, generator=g)
    return Source(x + labels.view(-1, 1, 1, 1).byte() * 10, Views(0, False)), labels


def matching(steps=20, **options):
    """Two images of each class, moved."""
    source, labels = real()
    rows = torch.tensor([0, 1, 2, 3, 4, 5])
    start = DistilledSet(source.plain(rows), torch.zeros(6, 3), {})
    return Matching(start, labels[rows], source, labels, MAKE, steps, batch=12, **options)


def test_a_step_descends_the_distance_of_class_means():
    made, (source, labels) = matching(lr=0.1, momentum=0.0), real()
    x, draws = made.x.detach().clone().requires_grad_(), generator(0, "real", 0)
    torch.manual_seed(key(0, "network", 0))
    net, loss = MAKE(), 0.0
    for k, c in enumerate((0, 2, 4)):
        rows = (labels == c).nonzero()[:, 0]
        shown = source.plain(rows[torch.randint(10, (4,), generator=draws)])
        own = x[[k, k + 3]]
        loss = loss + (net(own).mean(0) - net(shown).mean(0).detach()).pow(2).sum()
    (slope,) = torch.autograd.grad(loss, x)
    assert made.step(0)["loss"] == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(made.x.detach(), (x - 0.1 * slope).detach(), rtol=1e-4, atol=1e-6)


def distance(x):
    """Of the class means of six images from the real ones, mean over fifty networks of their own."""
    source, labels = real()
    found = []
    for k in range(50):
        torch.manual_seed(1000 + k)
        net = MAKE()
        with torch.no_grad():
            seen, wanted = net(x), net(source.plain())
        gaps = [seen[[c, c + 3]].mean(0) - wanted[labels == 2 * c].mean(0) for c in range(3)]
        found.append(torch.stack(gaps).square().sum().item())
    return np.mean(found)


def test_means_come_nearer_for_networks_that_were_not_used():
    made = matching(300, lr=0.1)
    before = distance(made.x.detach())
    for k in range(300):
        made.step(k)
    assert distance(made.x.detach()) < 0.5 * before


def test_a_killed_run_goes_on_with_the_same_bits():
    whole, first, second = matching(), matching(), matching()
    for k in range(20):
        whole.step(k)
    for k in range(9):
        first.step(k)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for k in range(9, 20):
        second.step(k)
    assert second.x.equal(whole.x)


def test_a_class_without_an_image_is_refused():
    source, labels = real()
    start = DistilledSet(source.plain([0, 1]), torch.zeros(2, 3), {})
    with pytest.raises(UserError, match="images of 2 classes to match 3"):
        Matching(start, labels[:2], source, labels, MAKE, 1)


def test_draws_by_name_leave_the_callers_alone():
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    with own_draws(torch.device("cpu"), 0, "network", 1):
        once = torch.rand(2)
    assert torch.rand(2).equal(expected)
    with own_draws(torch.device("cpu"), 0, "network", 1):
        assert torch.rand(2).equal(once)


def solver(solve, **options):
    """A distiller of thirty images in six pairs, with untrained extractors."""
    source, _ = real()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)
    start = initial_set(source, model, 6)
    pool = ModelPool(MAKE, start.x, 3, 2, 0)
    return Distiller(start, Targets(model, source), pool, 5, batch=24, solve=solve, ratio=1e-3, **options)


def test_solved_targets_have_no_slope_left_and_lower_the_loss():
    """No outer step may improve on targets that were solved for: their gradient vanishes."""
    made, free = solver(1.0), solver(0.0)
    member = made.pool.members[made.pool.pick(0)].net.extractor
    assert made.step(0)["loss"] < free.step(0)["loss"]
    rows, which = made.targets.source.draw(24, generator(0, "real", 0))
    with torch.no_grad():
        s, t = member(solver(1.0).x).double(), member(made.targets.source.view(rows, which)).double()
    gram = s @ s.T + 1
    ridge = 1e-3 * gram.trace() * torch.eye(6)
    maps = (t @ s.T + 1) @ torch.linalg.inv(gram + ridge)
    residual = maps @ made.y.double() - made.targets(rows, which).double()
    assert (maps.T @ residual).abs().max() < 1e-4 * (maps.T @ made.targets(rows, which).double()).abs().max()


def test_kept_targets_go_a_share_of_the_way():
    whole, tenth = solver(1.0), solver(0.1)
    before = tenth.y.detach().clone()
    whole.step(0), tenth.step(0)
    torch.testing.assert_close(tenth.y, before + 0.1 * (whole.y - before), rtol=1e-4, atol=1e-5)
    assert whole.x.equal(tenth.x), "the images descend from the best targets, whatever is kept"
    with pytest.raises(UserError, match=r"solve=1\.5 and learn_targets=True"):
        solver(1.5)
    with pytest.raises(UserError, match=r"solve=0\.1 and learn_targets=False"):
        solver(0.1, learn_targets=False)


def test_views_of_a_distilled_set_are_drawn_anew_every_epoch():
    data = DistilledSet(torch.arange(9.0).view(1, 1, 3, 3).repeat(8, 1, 1, 1), torch.zeros(8, 2))
    seen, net = [], nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    net.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    training = Pretraining(net, data, epochs=2, batch=8, views=Views(1, True))
    training.step(0), training.step(1)
    known = {
        view.numpy().tobytes()
        for view in Views(1, True).cut(data.x[:1].repeat(18, 1, 1, 1), torch.arange(18))
    }
    assert {x.numpy().tobytes() for part in seen for x in part} <= known
    assert len({x.numpy().tobytes() for x in seen[0]}) > 2 and not seen[0].equal(seen[1])
