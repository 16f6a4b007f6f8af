"""Views are what padding, cutting and mirroring give; sources refuse what is no image."""

import numpy as np
import pytest
import torch
from torch import nn

from papers_nb.core import images
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, Targets, Views, few, source


@pytest.mark.parametrize(("pad", "flip"), [(0, False), (0, True), (1, False), (4, True)])
def test_views_are_all_crops_of_the_padded_image_and_their_mirrors(pad, flip):
    x = torch.randint(0, 256, (1, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = Views(pad, flip)
    found = views.cut(x.expand(len(views), -1, -1, -1), torch.arange(len(views))).numpy()
    expected = []
    for image in (x[0].numpy(), x[0].numpy()[..., ::-1])[: 1 + flip]:
        wide = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        for i in range(2 * pad + 1):
            for j in range(2 * pad + 1):
                expected.append(wide[:, i : i + 6, j : j + 5])
    pictures = lambda parts: {np.ascontiguousarray(p).tobytes() for p in parts}
    assert len(views) == len(expected) and pictures(found) == pictures(expected)
    assert (found[views.plain] == x[0].numpy()).all()


def test_the_paper_has_162_views():
    assert len(Views()) == 162


def test_a_source_is_normalised_as_the_shared_sets_are_and_its_border_is_black():
    digits, _ = source("digits", "train", Views(1, False))
    x, _ = images.tensors("digits", "train")
    assert digits.plain().equal(images.normalize(x, "digits"))
    corner = digits.view(torch.tensor([0]), torch.tensor([0]))
    assert corner[0, 0, 0, 0].item() == pytest.approx(-0.3054 / 0.3761)


@pytest.mark.parametrize("table", [True, False])
def test_targets_are_features_of_the_views(table):
    digits, _ = source("digits", "train", Views(1, False))
    some = Source(digits.x[:30], digits.views, scale=16.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).requires_grad_(False)
    rows, which = some.draw(50, torch.Generator().manual_seed(0))
    theirs = model(some.view(rows, which))
    torch.testing.assert_close(Targets(model, some, table, batch=7)(rows, which), theirs)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (torch.zeros(2, 8, 8), r"bytes or float32 \(N, C, H, W\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.float64), "torch.float64"),
        (torch.full((2, 1, 8, 8), -1.0), "not normalised ones"),
        (torch.full((2, 1, 8, 8), 300.0), "not normalised ones"),
        (torch.full((2, 1, 8, 8), float("nan")), "pixels from 0"),
    ],
)
def test_what_is_no_image_is_refused(x, why):
    with pytest.raises(UserError, match=why):
        Source(x)


@pytest.mark.parametrize("n", [1, 7, 10, 25])
def test_few_labelled_images_are_spread_over_the_classes(n):
    labels = torch.arange(10).repeat(30)[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    rows = few(labels, n, 3)
    counts = labels[rows].bincount(minlength=10)
    assert len(rows.unique()) == n and counts.max() - counts.min() <= 1
    assert few(labels, n, 3).equal(rows) and not few(labels, 25, 4).equal(few(labels, 25, 3))


def test_a_part_of_a_set_at_half_the_size_is_the_mean_of_four_pixels():
    whole, labels = source("digits", "train")
    part, some = source("digits", "train", first=7, shrink=2)
    four = np.asarray(whole.x[:7, 0]).astype(float).reshape(7, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(part.x[:, 0], four)
    assert some.equal(labels[:7]) and (part.mean, part.std) == (whole.mean, whole.std)


@pytest.mark.parametrize("given", [{"first": -1}, {"first": 5000}, {"shrink": 0}, {"shrink": 3}])
def test_a_part_that_there_is_not_is_refused(given):
    with pytest.raises(UserError, match=next(iter(given))):
        source("digits", "train", **given)
