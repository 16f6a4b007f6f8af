"""The encoder of patches by loops, and what whitening and turning promise."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from papers_nb.core.train import Stepper
from papers_nb.errors import UserError
from papers_nb.krrst.data import Source, source
from papers_nb.krrst.patches import PatchEncoder, fit_patches


@pytest.fixture(scope="module")
def fitted():
    """Digits and an encoder fitted to them."""
    digits, _ = source("digits", "train")
    encoder, run = PatchEncoder(1, 8, centres=20, width=16), Stepper(0)
    fit_patches(run, encoder, digits, passes=6)
    return digits, encoder, [row["loss"] for row in run.metrics]


def test_features_of_an_image_by_loops(fitted):
    digits, encoder, _ = fitted
    image = digits.plain([3])[0, 0].double().numpy()
    kept = {k: v.double().numpy() for k, v in encoder.named_buffers()}
    quarters = np.zeros((40, 2, 2))
    for i in range(4):
        for j in range(4):
            patch = image[i : i + 5, j : j + 5].ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 0.01)
            along = kept["centres"] @ ((patch - kept["middle"]) @ kept["white"])
            sides = np.r_[np.maximum(along - 0.25, 0), np.maximum(-along - 0.25, 0)]
            quarters[:, i // 2, j // 2] += sides / 4
    expected = (quarters.ravel() - kept["turned"]) @ kept["turn"]
    np.testing.assert_allclose(encoder(digits.plain([3]))[0], expected, atol=1e-4)


def test_whitening_divides_each_direction_by_its_deviation_but_for_a_tenth(fitted):
    digits, encoder, _ = fitted
    patches = encoder.patches(digits.plain()).flatten(0, 1)
    varying = lambda x: torch.linalg.eigvalsh(torch.cov(x.double().T))
    before = varying(patches).clamp(0)
    torch.testing.assert_close(varying(encoder.whitened(patches)), before / (before + 0.1), atol=1e-4, rtol=0)


def test_clustering_never_takes_less_of_the_patches_and_centres_have_length_one(fitted):
    _, encoder, losses = fitted
    assert all(b < a for a, b in pairwise(losses))
    torch.testing.assert_close(encoder.centres.norm(dim=1), torch.ones(20))


def test_features_are_uncorrelated_of_mean_zero_and_common_scale(fitted):
    digits, encoder, _ = fitted
    said = encoder(digits.plain()).double()
    c = torch.cov(said.T)
    assert said.mean(0).abs().max() < 1e-4 and c.diagonal().mean().item() == pytest.approx(1, abs=1e-3)
    assert (c - c.diagonal().diag()).abs().max() < 1e-3
    assert (c.diagonal().diff() < 1e-4).all()  # largest first


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(UserError, match="side=5"):
        PatchEncoder(1, 5)
    few = Source(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), mean=(0.0,), std=(1.0,))
    with pytest.raises(UserError, match="16 patches"):
        PatchEncoder(1, 8, centres=20).begin(few)
