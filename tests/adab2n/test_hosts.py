"""Buffers, forwards, losses and recalibration of the methods of replay."""

import copy

import pytest
import torch
from torch import nn

from papers_nb import parameters
from papers_nb.adab2n import AdaB2N, convert_adab2n, end_task
from papers_nb.adab2n.hosts import (
    BUFFERS,
    HOSTS,
    Host,
    Reservoir,
    Ring,
    forward,
    loss,
    own_columns,
    recalibrated,
)
from papers_nb.core.train import generator
from papers_nb.errors import UserError


def test_the_reservoir_keeps_every_sample_with_the_same_chance():
    n, m, repeats = 60, 6, 2000
    kept = torch.zeros(n)
    for r in range(repeats):
        buffer = Reservoir(m, (1, 1, 1), 1)
        for start in range(0, n, 10):
            buffer.add(
                torch.zeros(10, 1, 1, 1, dtype=torch.uint8),
                torch.arange(start, start + 10),
                torch.zeros(10, 1),
                generator(r, "reservoir", start),
            )
        kept[buffer.y] += 1
    expected, deviation = repeats * m / n, (repeats * m / n * (1 - m / n)) ** 0.5
    assert ((kept - expected).abs() < 4.5 * deviation).all(), kept


def test_the_reservoir_draws_without_repetition_and_no_more_than_it_has():
    buffer = Reservoir(5, (1, 1, 1), 1)
    buffer.add(
        torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.arange(3), torch.zeros(3, 1), generator(0, "a", 0)
    )
    assert sorted(buffer.draw(10, generator(0, "b", 0))[1].tolist()) == [0, 1, 2]


def test_a_ring_keeps_the_latest_of_each_task():
    ring = Ring(7, (1, 1, 1), 1, tasks=2)
    for task, n in ((0, 2), (1, 8)):
        for start in range(0, n, 2):
            labels = torch.arange(start, start + 2) + 100 * task
            ring.add(
                torch.zeros(2, 1, 1, 1, dtype=torch.uint8),
                labels,
                torch.zeros(2, 1),
                generator(0, "a", 0),
                task,
            )
    assert (
        sorted(ring.y[ring.filled].tolist()) == [0, 1, 105, 106, 107]
        and len(ring) == 5
        and ring.largest(torch.tensor([3])) == 107
    )
    assert sorted(ring.draw(10, generator(0, "b", 0))[1].tolist()) == [0, 1, 105, 106, 107]
    with pytest.raises(UserError, match="a ring needs at least one slot"):
        Ring(3, (1, 1, 1), 1, tasks=4)


def test_separate_forwards_hand_each_batch_its_own_tasks():
    layer, parts, tasks = (
        AdaB2N(2, tasks=2, uniform_mix=1.0),
        [torch.randn(4, 2), torch.randn(3, 2)],
        [torch.tensor([1] * 4), torch.zeros(3).long()],
    )
    end_task(layer)
    logits, gap = forward(layer, parts, tasks, joint=False)
    assert (
        all(torch.allclose(y.mean(0), torch.zeros(2), atol=1e-6) for y in logits)
        and gap > 0
        and layer.num_batches_tracked == 2
    )


def test_er_ace_masks_as_the_official_rule_says():
    logits, y = torch.arange(6.0).expand(2, 6), torch.tensor([2, 3])
    lowest = torch.finfo(torch.float32).min
    assert (own_columns(logits, y, 3) == lowest).tolist() == [[True, True, False, False, False, False]] * 2
    assert (own_columns(logits, y, 5) == lowest).tolist() == [[True, True, False, False, True, True]] * 2
    ce = nn.functional.cross_entropy
    expected = ce(logits[:, 2:], y - 2) + ce(logits, torch.tensor([0, 1]))
    assert torch.isclose(loss("er-ace", [logits, logits], [y, torch.tensor([0, 1])], [None], top=3), expected)
    assert torch.isclose(loss("er-ace", [logits], [y], []), ce(logits, y)), "the first task knows no mask"


def test_recalibration_gives_the_statistics_of_the_buffer_and_leaves_the_network():
    model = convert_adab2n(nn.Sequential(nn.BatchNorm1d(2)), 2, uniform_mix=1.0).train()
    end_task(model)
    state, x, tasks = (
        copy.deepcopy(model.state_dict()),
        torch.randn(700, 2) + 3,
        (torch.arange(700) > 600).long(),
    )
    new = recalibrated(model, x, tasks, batch=1000)[0]
    assert torch.allclose(new.running_mean, (x[tasks == 0].mean(0) + x[tasks == 1].mean(0)) / 2, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values()))
    plain = recalibrated(nn.BatchNorm1d(2), x, tasks, batch=350)
    assert torch.allclose(plain.running_mean, x.mean(0), atol=1e-5) and not plain.training


def test_separate_and_joint_forwards_agree_without_batch_statistics():
    net, parts, tasks = (
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
        [torch.randn(2, 1, 2, 2), torch.randn(3, 1, 2, 2)],
        [torch.zeros(2).long(), torch.zeros(3).long()],
    )
    for a, b in zip(forward(net, parts, tasks, True)[0], forward(net, parts, tasks, False)[0]):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_losses_are_sums_of_torch_losses():
    torch.manual_seed(0)
    z, y = [torch.randn(4, 10) for _ in range(3)], [torch.randint(10, (4,)) for _ in range(3)]
    ce = nn.functional.cross_entropy
    assert torch.isclose(loss("er", z[:2], y[:2], z[2:]), ce(z[0], y[0]) + ce(z[1], y[1]))
    assert torch.isclose(
        loss("derpp", z, y, [z[0], z[1]], 0.3, 0.7),
        ce(z[0], y[0]) + 0.3 * ((z[1] - z[0]) ** 2).mean() + 0.7 * ce(z[2], y[2]),
    )


def test_a_host_without_its_batches_and_an_unknown_one_are_refused():
    z, y = torch.zeros(4, 10), torch.arange(4)
    with pytest.raises(
        UserError, match=r"^2 batches: derpp takes the new one and 2 replayed, or the new one alone$"
    ):
        loss("derpp", [z] * 2, [y] * 2, [z])
    with pytest.raises(UserError, match=r"^host='der': one of er, er-ace, derpp$"):
        loss("der", [z], [y], [])


def test_a_new_host_is_one_entry_and_its_function(monkeypatch):
    def last(logits, y, **_):
        return nn.functional.cross_entropy(logits[-1], y[-1])

    monkeypatch.setitem(HOSTS, "last", Host(last, draws=3))
    z, y = torch.randn(4, 4, 10), torch.arange(4)
    assert loss("last", list(z), [y] * 4, []) == nn.functional.cross_entropy(z[3], y)


def test_the_training_offers_what_is_registered():
    assert parameters.registry("adab2n.hosts.HOSTS") == list(HOSTS)
    assert parameters.registry("adab2n.hosts.BUFFERS") == list(BUFFERS)
