"""The averaging schedule."""

import math

import pytest

from papers_nb.adab2n.momentum import averaging_factor


@pytest.mark.parametrize(
    "kappa,table",
    [
        (0.0, {1: 1.0, 2: 0.5, 3: 1 / 3, 10: 0.1, 100: 0.01}),
        (0.1, {1: 0.7943282347, 2: 0.4452893187, 3: 0.3103475445, 10: 0.1022828459, 100: 0.0160679112}),
        (0.4, {1: 0.3981071706, 2: 0.2934078860, 3: 0.2343252562, 10: 0.1067477095, 100: 0.0418467632}),
        (1.0, {1: 0.1, 2: 0.1, 3: 0.1, 10: 0.1, 100: 0.1}),
    ],
)
def test_averaging_factors_follow_the_recursion(kappa, table):
    assert all(math.isclose(averaging_factor(j, kappa), v, rel_tol=1e-9) for j, v in table.items())
    eta, a = 0.1**kappa, 0.9**kappa
    for j in range(1, 300):
        assert math.isclose(averaging_factor(j, kappa), eta, rel_tol=1e-12)
        eta = eta / (eta + a)
