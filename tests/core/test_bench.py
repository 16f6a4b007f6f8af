"""Times in turn: every candidate in every turn, the same outputs first, ratios within a turn."""

import numpy as np
import pytest
import torch

from papers_nb.core import bench
from papers_nb.errors import UserError


class Clock:
    """Goes on when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        """A candidate that takes so long at turn `t`."""
        turn = iter(range(10**6))

        def run():
            self.now += seconds(next(turn))

        return run


def test_every_candidate_works_in_every_turn_one_after_the_other():
    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in "abc"}
    found = bench.turns(ways, warm=3)
    assert calls == list("abc") * 23 and {len(t) for t in found.values()} == {20}


def test_turns_before_the_first_that_counts_are_left_out():
    clock = Clock()
    found = bench.turns({"a": clock.work(lambda t: 100.0 if t < 2 else 1.0)}, warm=2, clock=clock)
    assert set(found["a"]) == {1.0}


def test_a_ratio_is_taken_within_a_turn():
    """The machine slows down tenfold, and the ratio stays."""
    clock = Clock()
    ways = {"one": clock.work(lambda t: 1.0 + t), "two": clock.work(lambda t: 2.0 * (1 + t))}
    found = bench.turns(ways, clock=clock)
    assert bench.ratio(found["two"], found["one"]) == "2.00 (2.00 to 2.00)"


def test_a_spread_is_the_median_and_the_middle_half():
    assert bench.spread(np.arange(101.0), 0) == "50 (25 to 75)"


def test_too_few_turns_are_refused():
    with pytest.raises(UserError, match="repeats=19: at least 20"):
        bench.turns({"a": lambda: None}, repeats=19)


def test_ways_that_give_the_same_agree_gradients_or_not():
    x = torch.ones(3, requires_grad=True)
    assert bench.agree({"torch": lambda: (x * 2, x), "numpy": lambda: (np.full(3, 2.0), np.ones(3))})


@pytest.mark.parametrize(
    "other,why",
    [
        (lambda: np.ones(3) + 1e-3, "b and a differ by 0.001"),
        (lambda: np.array([1.0, np.nan, 1.0]), "b and a differ by nan"),
        (lambda: np.ones(4), "different shape"),
        (lambda: (np.ones(3), np.ones(3)), "different shape"),
    ],
)
def test_ways_that_do_not_give_the_same_are_named(other, why):
    with pytest.raises(UserError, match=why):
        bench.agree({"a": lambda: np.ones(3), "b": other})


def test_a_table_says_processor_threads_and_torch():
    assert "thread" in bench.machine() and torch.__version__ in bench.machine()
