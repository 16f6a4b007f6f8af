"""The cosine transform against scipy."""

import numpy as np
import pytest
import scipy.fft
import torch

from papers_nb.lirdrec.transform import dct_matrix, transform


@pytest.mark.parametrize("size", [1, 2, 7, 48])
def test_the_transform_is_the_orthonormal_dct(size):
    x = np.random.default_rng(0).standard_normal((5, size))
    assert np.allclose(x @ dct_matrix(size).T.numpy(), scipy.fft.dct(x, norm="ortho", axis=1), atol=1e-12)
    assert np.allclose(transform(torch.from_numpy(x), "2d"), scipy.fft.dctn(x, norm="ortho"), atol=1e-12)
    assert torch.allclose(
        dct_matrix(size) @ dct_matrix(size).T, torch.eye(size, dtype=torch.float64), atol=1e-12
    )
