"""Tasks: the order of classes, the stream, and sets that do not divide."""

import numpy as np
import pytest
import torch

from papers_nb.adab2n.data import Stream, class_order, inputs, split
from papers_nb.core.images import SETS, normalize
from papers_nb.errors import UserError


def test_class_order_keeps_seed_zero_and_permutes_others():
    assert (
        class_order(10, 0).tolist() == list(range(10))
        and sorted(class_order(10, 1)) == list(range(10))
        and class_order(10, 1).tolist() != list(range(10))
    )


def test_the_stream_covers_each_task_once_an_epoch_and_never_returns():
    data = split("digits", seed=3)
    stream = Stream(data.task_of(data.y), 5, batch=10, epochs=2, seed=3)
    assert (
        stream.ends == list(np.cumsum([2 * (len(r) // 10) for r in stream.rows]))
        and len(stream) == stream.ends[-1]
    )
    for step in range(len(stream)):
        assert (data.task_of(data.y[stream[step]]) == stream.at(step)[0]).all()
    first = torch.cat([stream[s] for s in range(stream.per_epoch[0])])
    assert len(first.unique()) == len(first) == 10 * stream.per_epoch[0]


def test_a_stream_asked_for_any_step_gives_the_same_rows():
    data = split("digits")
    one, two = (Stream(data.task_of(data.y), 5, batch=10, epochs=2, seed=7) for _ in range(2))
    backwards = [one[s] for s in reversed(range(len(one)))][::-1]
    assert all(torch.equal(backwards[s], two[s]) for s in range(len(two)))
    other = Stream(data.task_of(data.y), 5, batch=10, epochs=2, seed=8)
    assert not torch.equal(other[0], two[0])


def test_what_does_not_divide_is_refused():
    with pytest.raises(UserError, match="tasks=3: digits has 10 classes, which must divide into tasks"):
        split("digits", tasks=3)
    data = split("digits")
    with pytest.raises(UserError, match="batch=1000: task 0 has only 251 images"):
        Stream(data.task_of(data.y), 5, batch=1000)


def test_every_class_is_in_one_task_and_images_are_those_of_the_set():
    data = split("digits", seed=4)
    assert (
        sorted(data.y.unique().tolist()) == list(range(10)) and data.classes == SETS["digits"].classes == 10
    )
    assert (
        data.x.dtype == torch.uint8
        and data.x.shape[1:] == (1, 8, 8)
        and len(data.x) + len(data.x_test) == 1797
    )


def test_inputs_are_normalised_and_augmented_by_an_eighth_of_the_side():
    x = split("digits").x[:50]
    assert torch.equal(inputs(x, "digits"), normalize(x, "digits"))
    moved = inputs(x, "digits", torch.Generator().manual_seed(0))
    assert moved.shape == x.shape and not torch.equal(moved, normalize(x, "digits"))


def test_a_supplied_set_cuts_into_tasks(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    (tmp_path / "miniimagenet").mkdir()
    rng = np.random.default_rng(0)
    for kind, n in (("train", 6), ("test", 2)):
        x = rng.integers(0, 256, (n, 84, 84, 3), dtype=np.uint8)
        np.save(tmp_path / f"miniimagenet/{kind}_x.npy", x)
        np.save(tmp_path / f"miniimagenet/{kind}_y.npy", rng.integers(0, 100, n))
    tasks = split("miniimagenet", 20, seed=1)
    assert tasks.per_task == 5 and tasks.x.shape == (6, 3, 84, 84)
    assert inputs(tasks.x, "miniimagenet", torch.Generator().manual_seed(0)).shape == (6, 3, 84, 84)
