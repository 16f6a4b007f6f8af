"""The numbers behind a figure change with what is drawn, and with nothing else."""

import json

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from papers_nb.core import plots


def drawn(draw):
    """Numbers of a figure that `draw(ax)` draws."""
    fig, ax = plt.subplots()
    draw(ax)
    found = plots.numbers(fig)
    plt.close(fig)
    return found


@pytest.mark.parametrize(
    "one,other",
    [
        (lambda ax: ax.plot([0, 1], [0, 1]), lambda ax: ax.plot([0, 1], [0, 2])),
        (lambda ax: ax.plot([0, 1], [0, 1]), lambda ax: ax.plot([0, 2], [0, 1])),
        (lambda ax: ax.scatter([0, 1], [0, 1]), lambda ax: ax.scatter([0, 2], [0, 1])),
        (lambda ax: ax.scatter([0, 1], [0, 1]), lambda ax: ax.scatter([0, 1], [0, 2])),
        (lambda ax: ax.bar([0, 1], [1, 2]), lambda ax: ax.bar([0, 1], [1, 3])),
        (lambda ax: ax.imshow([[0, 1]]), lambda ax: ax.imshow([[0, 2]])),
        (lambda ax: ax.pcolormesh([[0, 1]]), lambda ax: ax.pcolormesh([[0, 2]])),
        (lambda ax: ax.set(xlabel="a"), lambda ax: ax.set(xlabel="b")),
        (lambda ax: ax.set(ylabel="a"), lambda ax: ax.set(ylabel="b")),
        (lambda ax: ax.set(title="a"), lambda ax: ax.set(title="b")),
    ],
)
def test_another_drawing_has_other_numbers(one, other):
    assert drawn(one) == drawn(one)
    assert drawn(one) != drawn(other)


def test_values_that_are_missing_are_left_out_and_nothing_is_nothing():
    found = drawn(lambda ax: ax.plot([0, 1, 2], [1.0, np.nan, 3.0]))["axes"][0]["lines"][0]
    assert found["y"]["n"] == 2 and found["y"]["mean"] == 2
    assert drawn(lambda ax: ax.plot([], []))["axes"][0]["lines"][0]["x"] == {"n": 0}


def test_points_with_intervals_and_heat_maps_of_seaborn_are_kept():
    import pandas as pd
    import seaborn as sns

    from papers_nb.core.results import student

    frame = pd.DataFrame({"x": list("aabb"), "y": [1.0, 3.0, 5.0, 9.0]})
    lines = drawn(lambda ax: sns.pointplot(frame, x="x", y="y", errorbar=student, ax=ax))["axes"][0]["lines"]
    half = 12.706204736 * 2**0.5 / 2**0.5
    assert any(line["y"].get("low") == pytest.approx(2 - half, rel=1e-6) for line in lines)
    heat = drawn(lambda ax: sns.heatmap([[1.0, 7.0]], ax=ax, cbar=False))["axes"][0]["images"]
    assert [i["high"] for i in heat] == [7.0]


def test_numbers_can_be_stored():
    found = drawn(lambda ax: (ax.scatter([0], [1]), ax.imshow([[0, 1]]), ax.bar([0], [1])))
    assert json.loads(json.dumps(found)) == found


def test_a_slider_shows_one_frame_without_a_script_and_keeps_the_numbers_of_all():
    made = plots.slider("p", [1, 2, 3], lambda p, ax: ax.plot([0, 1], [0, p]), 'a "steep" line', start=2)
    assert made.text.count('<div class="frame"') == 3 and made.text.count('style="display:none"') == 2
    assert made.text.count("<img alt=") == 1 and "&quot;steep&quot;" in made.text
    highs = [f["axes"][0]["lines"][0]["y"]["high"] for f in made.numbers["frames"]]
    assert highs == [1, 2, 3]
    ids = [part.split('"')[0] for part in made.text.split(' id="')[1:]]
    assert len(ids) == len(set(ids)), "two frames share an id, so that one's clip would cut the other"
