"""The search: what it draws, what it finds, and that it finds it again."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from papers_nb.core.hunt import (
    SHAPES,
    Hunt,
    called,
    exact,
    flat,
    hunted,
    reals,
    scales,
    spans,
    tensors,
    weights,
)

SUMS = {"x": tensors(3)}


def hunt(judge, domain=None, **kw):
    """A hunt over tensors that grow."""
    domain = domain or (lambda size: st.fixed_dictionaries({"x": tensors(size)}))
    return Hunt(domain, judge, "brute force", 1e-12, "float64", **kw)


def found(f, h, seconds=0.0):
    """What a hunt of `f` has seen."""
    return hunted(f, h, h.judge, "f", seconds)


def total(x):
    """The sum of squares, in fractions."""
    return float((exact(x) ** 2).sum())


def test_a_true_formula_survives_and_the_points_are_the_same_on_every_run():
    one, two = (found(lambda x: x.square().sum(), hunt(total)) for _ in range(2))
    assert not one.broken and one.closest <= 1 and one.size == 32 and one.tried == 200
    assert [a["x"].tolist() for a, _ in one.points] == [a["x"].tolist() for a, _ in two.points]


def test_a_counterexample_is_small_and_a_line_that_can_be_pasted():
    seen = found(lambda x: x.square().sum() + (len(x) > 4), hunt(total))
    call = seen.broken.split(" gives ")[0]
    x = eval(call, {"f": lambda x: x, "torch": torch})
    assert x.dtype == torch.float64 and len(x) == 8 and "the judge" in seen.broken


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_a_counterexample(value):
    assert found(lambda x: x.sum() * value, hunt(lambda x: x.sum())).broken


def test_an_error_and_too_few_numbers_are_counterexamples():
    assert "raises ZeroDivisionError" in found(lambda x: 1 / 0, hunt(total)).broken
    assert found(lambda x: [0.0, 0.0], hunt(total)).broken


def test_a_long_hunt_goes_on_with_other_seeds_and_larger_sizes():
    h = hunt(lambda x: x.sum(), sizes=(1, 2), points=5, most=8)
    short, long = found(torch.sum, h), found(lambda x: x.sum(), h, seconds=1.0)
    assert long.tried > short.tried and long.size == 8 and len(long.points) == len(short.points)
    assert spans(long)["x"].startswith("1 to 8 numbers")


@settings(max_examples=30)
@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 6), st.integers(1, 6), st.data())
def test_tensors_have_their_shape_and_stay_above_what_is_low(kind, n, d, data):
    x = data.draw(tensors(n, d, kinds=(kind,), low=0.5))
    assert x.shape == (n, d) and x.dtype == torch.float64 and (x >= 0.5).all()


@given(st.integers(1, 9), st.data())
def test_weights_sum_to_one_and_stay_above_the_least(n, data):
    w = data.draw(weights(n, least=0.1 / n))
    assert w.sum() == pytest.approx(1) and (w >= 0.1 / n - 1e-12).all()


def test_numbers_stand_at_the_ends_often():
    h = hunt(lambda x: x, lambda size: st.fixed_dictionaries({"x": reals(0, 5, 3)}), sizes=(1,), points=100)
    drawn = [a["x"] for a, _ in found(lambda x: x, h).points]
    assert {0.0, 3.0, 5.0} <= set(drawn) and len(set(drawn)) > 20


@given(scales(1e-6, 1e3))
def test_scales_are_positive(x):
    assert 1e-6 * 0.999 <= x <= 1e3 * 1.001


def test_fractions_add_without_error_and_values_are_flat():
    assert exact([0.1, 0.2]).sum() == Fraction(0.1) + Fraction(0.2)
    assert flat((1, [2.0, torch.ones(2, 2)])).tolist() == [1, 2, 1, 1, 1, 1] and flat(()).shape == (0,)
    assert called("f", {"a": 1, "b": torch.tensor([1, 2])}) == "f(a=1, b=torch.tensor([1, 2]))"
    assert np.isclose(float(exact(torch.tensor([0.5]))[0]), 0.5)
