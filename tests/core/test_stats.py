"""Intervals over seeds, differences and verdicts, against scipy and against what must hold of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from papers_nb.core.stats import (
    Interval,
    flips,
    interval,
    lasting,
    paired,
    seeds_to_settle,
    verdict,
    welch,
)
from papers_nb.errors import UserError

OURS, THEIRS = [68.1, 70.4, 66.9, 69.5, 68.6], [67.2, 69.9, 66.1, 68.9, 67.5]
numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


@given(numbers)
def test_an_interval_is_student_s(values):
    i = interval(values)
    error = np.std(values, ddof=1) / len(values) ** 0.5
    assert i.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert i.half == pytest.approx(reference.t.ppf(0.975, len(values) - 1) * error, rel=1e-6, abs=1e-9)


def test_one_value_has_no_interval_and_none_is_refused():
    assert math.isinf(interval([1.0]).half) and str(interval([1.0])) == "1.0 (one seed)"
    with pytest.raises(UserError, match="at least one seed"):
        interval([])


def test_values_that_do_not_vary_have_an_interval_of_no_width():
    assert interval([3.0, 3.0, 3.0]).half == 0


@given(numbers, st.floats(-10, 10))
def test_a_paired_difference_forgets_what_seeds_share(values, gap):
    i = paired(np.add(values, gap), values)
    assert i.mean == pytest.approx(gap, abs=1e-6) and i.half < 1e-6


def test_welch_is_scipy_s():
    ci = reference.ttest_ind(OURS, THEIRS[:3], equal_var=False).confidence_interval(0.95)
    i = welch(OURS, THEIRS[:3])
    assert (i.low, i.high) == pytest.approx((ci.low, ci.high))


def test_a_difference_is_told_only_where_zero_is_outside():
    assert paired(OURS, THEIRS).tells("more", "less") == "more"
    assert paired(THEIRS, OURS).tells("more", "less") == "less"
    assert welch(OURS, THEIRS).tells("more", "less").startswith("no difference")
    assert paired(OURS, THEIRS).signed().startswith("+0.78 ± ")


@pytest.mark.parametrize(
    "published,margin,says",
    [(68.5, 3.0, "matches"), (68.5, 1.0, "inconclusive"), (60.0, 3.0, "higher"), (80.0, 3.0, "lower")],
)
def test_a_verdict_follows_from_interval_and_margin(published, margin, says):
    assert verdict(OURS, published, margin) == says


def test_what_cannot_be_judged_is_said():
    assert verdict(OURS, None, 1.0) == "no published value in reach"
    assert verdict([], 68.5, 1.0) == "not tried"
    assert verdict([68.5], 68.5, 1.0) == "inconclusive"
    with pytest.raises(UserError, match="margin=0"):
        verdict(OURS, 68.5, 0)


@given(numbers, st.floats(0.1, 5), st.floats(-50, 50))
def test_a_verdict_of_the_opposite_is_the_opposite(values, margin, published):
    opposite = {"higher": "lower", "lower": "higher"}
    there, back = verdict(values, published, margin), verdict(np.negative(values), -published, margin)
    assert back == opposite.get(there, there)


@pytest.mark.parametrize("values", [[1.0, float("nan")], [float("inf"), 1.0, 2.0]])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(UserError, match="finite numbers, one a seed"):
        interval(values)


def made(mean, deviation, n):
    """The interval of n values with this mean and deviation."""
    return Interval(mean, reference.t.ppf(0.975, n - 1) * deviation / n**0.5, n, 0.95)


def test_a_far_difference_never_flips_and_one_at_the_border_flips_half_of_the_time():
    assert flips(made(100.0, 1.0, 5)) < 1e-3 and seeds_to_settle(made(100.0, 1.0, 5)) == 2
    half = made(0.0, 1.0, 1000).half
    assert flips(made(half * 1.001, 1.0, 1000)) == pytest.approx(0.5, abs=0.02)
    assert flips(made(3.0, 1.0, 1000), margin=3.0) < 0.2  # inconclusive stays inconclusive


@pytest.mark.parametrize("above", [0.02, 0.05, 0.1])
def test_with_many_seeds_the_chance_to_flip_is_that_of_two_normal_means(above):
    border = made(0.0, 1.0, 1000).half
    apart = above / (2 / 1000) ** 0.5  # the fresh mean less ours has the variance 2/1000
    assert flips(made(border + above, 1.0, 1000)) == pytest.approx(reference.norm.sf(apart), abs=0.02)


def test_seeds_that_settle_are_those_of_the_power_of_student_s_test():
    power = lambda n: reference.nct.sf(reference.t.ppf(0.975, n - 1), n - 1, n**0.5)
    n = seeds_to_settle(made(1.0, 1.0, 5))
    assert power(n) > 0.945 and power(n - 1) < 0.955  # 20,000 draws


def test_what_cannot_be_settled_is_said():
    assert seeds_to_settle(made(0.001, 1.0, 5)) is None
    assert lasting(made(0.001, 1.0, 5))[1] == "over 1,000"
    assert lasting(interval([3.0])) == ["unknown", "unknown"] and math.isnan(flips(interval([3.0])))
    assert flips(interval([3.0, 3.0])) == 0


def test_a_margin_is_part_of_the_question():
    i = made(0.0, 1.0, 5)
    assert seeds_to_settle(i, margin=5.0) < seeds_to_settle(i, margin=0.5)
    assert seeds_to_settle(i) is None or seeds_to_settle(i) > 100
