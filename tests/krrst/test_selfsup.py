"""The losses of the target model by other routes."""

import numpy as np
import pytest
import torch
from torch import nn

from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, source
from papers_nb.krrst.selfsup import BYOL, METHODS, barlow_loss, byol_loss, coloured, scanned, simclr_loss

A, B = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_barlow_twins_by_numpy():
    standard = lambda z: (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
    c = standard(A.numpy()).T @ standard(B.numpy()) / 6
    on, off = ((1 - np.diag(c)) ** 2).sum(), (c**2).sum() - (np.diag(c) ** 2).sum()
    assert barlow_loss(A, B).item() == pytest.approx(0.1 * (on + 0.0051 * off), rel=1e-10)


def test_simclr_by_loops():
    z = np.r_[A, B]
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(12):
        near = np.exp(z @ z[i] / 0.2)
        near[i] = 0
        losses.append(-np.log(near[(i + 6) % 12] / near.sum()))
    assert simclr_loss(A, B).item() == pytest.approx(np.mean(losses), rel=1e-10)


def test_byol_is_a_squared_distance_of_directions():
    unit = lambda z: z / z.norm(dim=1, keepdim=True)
    theirs = (unit(A) - unit(B)).square().sum(1).mean()
    assert byol_loss(A, B).item() == pytest.approx(theirs.item(), rel=1e-10)


def test_the_slow_network_is_an_average_that_stands_still_at_the_end():
    torch.manual_seed(0)
    method = BYOL(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), 4, hidden=8, out=4)
    slow = method.slow[0][1].weight
    before = slow.clone()
    with torch.no_grad():
        method.extractor[1].weight += 1
    method.after(0.0)
    torch.testing.assert_close(slow - before, torch.full_like(slow, 0.01))
    before = slow.clone()
    method.after(1.0)
    assert slow.equal(before) and not any(p.requires_grad for p in method.slow.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_a_few_steps_of_each_method_lower_its_loss(name):
    digits, _ = source("digits", "train")
    torch.manual_seed(0)
    method = METHODS[name](nn.Sequential(nn.Flatten(), nn.Linear(64, 16)), 16, hidden=32)
    rows, g = torch.arange(128), torch.Generator().manual_seed(0)
    a, b = scanned(digits, rows, g), scanned(digits, rows, g)
    opt, losses = torch.optim.Adam(method.parameters(), 3e-3), []
    for step in range(30):
        loss = method.loss(a, b)
        opt.zero_grad()
        loss.backward()
        opt.step()
        method.after(step / 30)
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_views_in_colour_depend_on_their_generator_alone_and_stay_in_range():
    pixels = torch.randint(256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    photos, rows = Source(pixels), torch.arange(6)
    draw = lambda seed: coloured(photos, rows, torch.Generator().manual_seed(seed))
    before = torch.random.get_rng_state()
    first = draw(1)
    assert torch.random.get_rng_state().equal(before) and first.equal(draw(1))
    assert not first.equal(draw(2)) and not first[0].equal(photos.plain()[0])
    column = lambda v: torch.tensor(v).view(1, 3, 1, 1)
    units = first * column(photos.std) + column(photos.mean)
    assert units.min() > -1e-5 and units.max() < 1 + 1e-5


def test_views_in_colour_refuse_grey_images():
    digits, _ = source("digits", "train")
    with pytest.raises(UserError, match="1 channels"):
        coloured(digits, torch.arange(2), torch.Generator())
