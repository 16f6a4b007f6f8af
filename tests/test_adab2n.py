"""AdaB²N against the official code's numbers, torch, and what its parts promise."""
import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from papers_nb.adab2n import AdaB2N, batch_tasks, end_task
from papers_nb.adab2n.data import Stream, class_order, split
from papers_nb.adab2n.hosts import Reservoir, forward, loss
from papers_nb.adab2n.layer import task_weights
from papers_nb.adab2n.metrics import acc, accuracies, bwt, forgetting
from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.adab2n.nets import NETS, norm_layer
from papers_nb.adab2n.train import fit
from papers_nb.core.train import Stepper, generator
from papers_nb.errors import UserError

F64 = torch.float64


def wave(n, c, h, w, phase):
    """A fixed input without randomness."""
    i, j, k, m = torch.meshgrid(*(torch.arange(s, dtype=F64) for s in (n, c, h, w)), indexing="ij")
    return torch.sin(.37 * i + 1.3 * j + .7 * k - .5 * m + phase) + .1 * j + .05 * i


def backward(layer, x, ids=None):
    """One training forward and the gradients of Σ y cos(index); the regulariser's value is returned apart."""
    x.requires_grad_()
    with batch_tasks(layer, torch.tensor(ids if ids else [0] * len(x))) as regularisers:
        y = layer(x)
    dx, *dpsi = torch.autograd.grad((y.flatten() * torch.cos(torch.arange(y.numel(), dtype=F64))).sum(), [x, layer.log_concentration], allow_unused=True)
    return y, dx, dpsi[0], regularisers[0].item()


def close(a, b):
    """Equal to the seven digits that are known."""
    return torch.allclose(torch.as_tensor(a, dtype=F64), torch.tensor(b, dtype=F64), rtol=0, atol=1e-7)


def test_parity_with_the_official_code():
    layer = AdaB2N(2, tasks=3, kappa=.4, absent_tasks="official", dtype=F64)
    y, dx, dpsi, gap = backward(layer, wave(4, 2, 3, 3, 0.))
    assert close(y[0, 0, 0], [-1.05145928, -1.94948479, -2.62764234]) and dpsi is None
    assert close(layer.running_mean, [.22347294, .31972116]) and close(layer.running_var, [.71535465, .66285400])
    assert close(gap, .39641745365) and close([dx[0, 0, 0, 0], dx.norm()], [1.5349407997, 13.2457743981])
    end_task(layer), end_task(layer)
    y, dx, dpsi, gap = backward(layer, wave(6, 2, 3, 3, .3), [2, 2, 2, 0, 1, 1])
    assert close(y[0, 0, 0], [-1.11187042, -2.28486913, -3.34241409]) and close(dpsi, [-.0911740, .0940658, -.0249624])
    assert close(layer.running_mean, [.38205497, .36111999]) and close(layer.running_var, [.55754016, .56841799])
    assert close(gap, .17597474673537922) and close([dx[0, 0, 0, 0], dx.norm()], [2.2690082833, 15.2304705987])
    layer.log_concentration.data = torch.tensor([.2, -.4, .6], dtype=F64)
    assert close(task_weights(torch.tensor([2., 0, 4], dtype=F64), layer.log_concentration, "official"), [.33163015, .06900669, .59936316])
    y, dx, dpsi, gap = backward(layer, wave(6, 2, 3, 3, .9), [2, 2, 2, 0, 0, 2])
    assert close(y[0, 0, 0], [.33210420, -.59505156, -1.74661979]) and close(dpsi, [-.0634224, -.0165326, .0575251])
    assert close(layer.running_mean, [.44302058, .29881720]) and close(layer.running_var, [.46918859, .51518245])
    assert close(gap, .09736631765403436) and close([dx[0, 0, 0, 0], dx.norm()], [2.2871674365, 15.0926302682])
    before = copy.deepcopy(layer.eval().state_dict())
    y = layer(wave(2, 2, 3, 3, 1.7))
    assert close(y[0, :, 0, 0], [.80096303, -.08038406])
    assert all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values())), "eval changed a buffer"


@pytest.mark.parametrize("kappa,table", [(0., {1: 1., 2: .5, 3: 1 / 3, 10: .1, 100: .01}), (.1, {1: .7943282347, 2: .4452893187, 3: .3103475445, 10: .1022828459, 100: .0160679112}),
    (.4, {1: .3981071706, 2: .2934078860, 3: .2343252562, 10: .1067477095, 100: .0418467632}), (1., {1: .1, 2: .1, 3: .1, 10: .1, 100: .1})])
def test_averaging_factors_follow_the_recursion(kappa, table):
    assert all(math.isclose(averaging_factor(j, kappa), v, rel_tol=1e-9) for j, v in table.items())
    eta, a = .1**kappa, .9**kappa
    for j in range(1, 300):
        assert math.isclose(averaging_factor(j, kappa), eta, rel_tol=1e-12)
        eta = eta / (eta + a)


@pytest.mark.parametrize("shape,norm", [((6, 3), nn.BatchNorm1d), ((6, 3, 5), nn.BatchNorm1d), ((6, 3, 4, 4), nn.BatchNorm2d), ((2, 3, 2, 2, 2), nn.BatchNorm3d)])
def test_the_first_task_is_a_batch_norm(shape, norm):
    torch.manual_seed(0)
    ours, theirs = AdaB2N(3, tasks=2, dtype=F64), norm(3, dtype=F64)
    for _ in range(3):
        x = torch.randn(*shape, dtype=F64) + 1
        assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-13) and torch.allclose(ours.running_mean, theirs.running_mean, rtol=0, atol=1e-14)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), st.sampled_from(["renormalize", "official"]))
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_over_present_tasks(counts, rule):
    counts, psi = torch.tensor(counts, dtype=F64), torch.linspace(-1, 1, 6, dtype=F64)
    pi = task_weights(counts, psi, rule)
    assert math.isclose(pi.sum().item(), 1, rel_tol=1e-12) and (pi >= 0).all()
    assert (rule == "official") or (pi[counts == 0] == 0).all()


def test_no_gradient_becomes_nan_where_a_task_is_absent():
    layer = AdaB2N(2, tasks=3)
    end_task(layer), end_task(layer)
    with batch_tasks(layer, torch.tensor([2, 2, 0])) as regularisers:
        y = layer(torch.randn(3, 2))
    (y.square().sum() + sum(regularisers)).backward()
    assert torch.isfinite(layer.log_concentration.grad).all()


def test_a_layer_survives_copies_after_a_training_step():
    layer = AdaB2N(2, tasks=2)
    x = torch.randn(4, 2)
    layer(x).sum().backward()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), AdaB2N(2, tasks=2)):  # noqa: S301 - our own bytes
        other.load_state_dict(layer.state_dict())
        a, b = copy.deepcopy(layer), other
        assert torch.equal(a(x), b(x)) and torch.equal(a.running_mean, b.running_mean), "the schedule does not go on"


@pytest.mark.parametrize("ids,words", [(None, "needs the task of each sample"), ([0, 1], "2 task ids for 4 samples"), ([0, 1, 2, 0], "task id 2: 2 tasks were seen"), ([0, -1, 1, 0], "task id -1")])
def test_wrong_task_ids_are_refused(ids, words):
    layer = AdaB2N(2, tasks=3)
    end_task(layer)
    with pytest.raises(UserError, match=words):
        if ids is None:
            layer(torch.randn(4, 2))
        else:
            with batch_tasks(layer, torch.tensor(ids)):
                layer(torch.randn(4, 2))


# ---- the other parts ----

def test_class_order_keeps_seed_zero_and_permutes_others():
    assert class_order(10, 0).tolist() == list(range(10)) and sorted(class_order(10, 1)) == list(range(10)) and class_order(10, 1).tolist() != list(range(10))


def test_the_stream_covers_each_task_once_an_epoch_and_never_returns():
    data = split("digits", seed=3)
    stream = Stream(data.task_of(data.y), 5, batch=10, epochs=2, seed=3)
    assert stream.ends == list(np.cumsum([2 * (len(r) // 10) for r in stream.rows])) and len(stream) == stream.ends[-1]
    for step in range(len(stream)):
        assert (data.task_of(data.y[stream[step]]) == stream.task(step)).all()
    first = torch.cat([stream[s] for s in range(stream.per_epoch[0])])
    assert len(first.unique()) == len(first) == 10 * stream.per_epoch[0]


def test_the_reservoir_keeps_every_sample_with_the_same_chance():
    n, m, repeats = 60, 6, 2000
    kept = torch.zeros(n)
    for r in range(repeats):
        buffer = Reservoir(m, (1, 1, 1), 1)
        for start in range(0, n, 10):
            buffer.add(torch.zeros(10, 1, 1, 1, dtype=torch.uint8), torch.arange(start, start + 10), torch.zeros(10, 1), generator(r, "reservoir", start))
        kept[buffer.y] += 1
    expected, deviation = repeats * m / n, (repeats * m / n * (1 - m / n))**.5
    assert ((kept - expected).abs() < 4.5 * deviation).all(), kept


def test_the_reservoir_draws_without_repetition_and_no_more_than_it_has():
    buffer = Reservoir(5, (1, 1, 1), 1)
    buffer.add(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.arange(3), torch.zeros(3, 1), generator(0, "a", 0))
    assert sorted(buffer.draw(10, generator(0, "b", 0))[1].tolist()) == [0, 1, 2]


def test_separate_and_joint_forwards_agree_without_batch_statistics():
    net, parts, tasks = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [torch.randn(2, 1, 2, 2), torch.randn(3, 1, 2, 2)], [torch.zeros(2).long(), torch.zeros(3).long()]
    for a, b in zip(forward(net, parts, tasks, True)[0], forward(net, parts, tasks, False)[0]):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_losses_are_sums_of_torch_losses():
    torch.manual_seed(0)
    z, y = [torch.randn(4, 10) for _ in range(3)], [torch.randint(10, (4,)) for _ in range(3)]
    ce = nn.functional.cross_entropy
    assert torch.isclose(loss("er", z[:2], y[:2], z[2:]), (ce(z[0], y[0]) + ce(z[1], y[1])) / 2)
    assert torch.isclose(loss("derpp", z, y, [z[0], z[1]], .3, .7), ce(z[0], y[0]) + .3 * ((z[1] - z[0])**2).mean() + .7 * ce(z[2], y[2]))


def test_metrics_on_matrices_made_by_hand():
    a = [[90, 5], [60, 80]]
    assert (acc(a), bwt(a)) == (70, -30) and [forgetting(a, r) for r in ("official", "trained", "usual")] == [30, 30, 30]
    assert [forgetting([[50, 0], [60, 80]], r) for r in ("official", "trained", "usual")] == [0, 0, -10]
    logits = torch.eye(4)
    logits[2] = torch.tensor([1., 0, .5, 0])
    assert [r.tolist() for r in accuracies(logits, torch.arange(4), 2)] == [[100, 50], [100, 100]]


def train_once(norm="adab2n", host="derpp", seed=0, epochs=1):
    """A short training in memory."""
    data = split("digits", seed=seed)
    stream = Stream(data.task_of(data.y), 5, epochs=epochs, seed=seed)
    torch.manual_seed(seed)
    net, run = NETS["small"](1, 10, norm_layer(norm, 5)), Stepper(seed)
    fit(run, net, data, stream, Reservoir(50, (1, 8, 8), 10), host, norm != "bn-separate")
    return run


@pytest.mark.parametrize("norm,host", [("adab2n", "derpp"), ("bn-separate", "er"), ("bn-joint", "derpp")])
def test_two_trainings_are_identical_and_learn(norm, host):
    a, b = train_once(norm, host), train_once(norm, host)
    assert a.metrics == b.metrics and len(a.metrics) == 124
    assert acc([r["task_il"] for r in a.metrics if "task_il" in r]) > 80
