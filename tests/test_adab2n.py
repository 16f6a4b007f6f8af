"""AdaB²N against the official code's numbers, torch, and what its parts promise."""
import copy
import math
import pickle

import numpy as np
import pytest
import torch
from breaking import Breaking, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from papers_nb.adab2n import AdaB2N, batch_tasks, convert_adab2n, end_task
from papers_nb.adab2n.data import Stream, split
from papers_nb.adab2n.hosts import BUFFERS, HOSTS, Reservoir, Ring, forward, loss, own_columns, recalibrated
from papers_nb.adab2n.layer import FusedNorm, sample_weights, weighted_norm
from papers_nb.adab2n.metrics import acc, accuracies, bwt, forgetting
from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.adab2n.nets import NETS, NORMS, norm_layer
from papers_nb.adab2n.train import fit
from papers_nb.adab2n.weights import task_weights
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
    assert close(y[0, 0, 0], [-1.05145928, -1.94948479, -2.62764234]) and not dpsi.any()
    assert close(layer.running_mean, [.22347294, .31972116]) and close(layer.running_var, [.71535465, .66285400])
    assert close(gap, .39641745365) and close([dx[0, 0, 0, 0], dx.norm()], [1.5349407997, 13.2457743981])
    end_task(layer), end_task(layer)
    y, dx, dpsi, gap = backward(layer, wave(6, 2, 3, 3, .3), [2, 2, 2, 0, 1, 1])
    assert close(y[0, 0, 0], [-1.11187042, -2.28486913, -3.34241409]) and close(dpsi, [-.0911740, .0940658, -.0249624])
    assert close(layer.running_mean, [.38205497, .36111999]) and close(layer.running_var, [.55754016, .56841799])
    assert close(gap, .17597474673537922) and close([dx[0, 0, 0, 0], dx.norm()], [2.2690082833, 15.2304705987])
    layer.log_concentration.data = torch.tensor([.2, -.4, .6], dtype=F64)
    assert close(task_weights(torch.tensor([2., 0, 4], dtype=F64), layer.log_concentration.detach(), "official"), [.33163015, .06900669, .59936316])
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


def test_without_a_prior_a_mixed_batch_is_a_batch_norm_too():
    torch.manual_seed(0)
    ours, theirs = AdaB2N(3, tasks=4, log_concentration=-60., dtype=F64), nn.BatchNorm2d(3, dtype=F64)
    for task in range(4):
        x = torch.randn(8, 3, 4, 4, dtype=F64) + task
        with batch_tasks(ours, torch.arange(8) % (task + 1)):
            y = ours(x)
        assert torch.allclose(y, theirs(x), rtol=0, atol=1e-13) and torch.allclose(ours.running_mean, theirs.running_mean, rtol=0, atol=1e-14)
        end_task(ours)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), st.sampled_from(["renormalize", "official"]))
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_over_present_tasks(counts, rule):
    counts, psi = torch.tensor(counts, dtype=F64), torch.linspace(-1, 1, 6, dtype=F64)
    pi = task_weights(counts, psi[:len(counts)], rule)
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


@pytest.mark.parametrize("ids,words", [(None, "needs the task of each sample"), ([.5] * 4, "whole numbers"), ([True] * 4, "whole numbers"), ([], "not empty"), ([[0, 1]], "one for each sample"), ([0, 1], "2 task ids for 4 samples"), ([0, 1, 2, 0], "task id 2: 2 of 3 tasks have come"), ([0, -1, 1, 0], "task id -1")])
def test_wrong_task_ids_are_refused(ids, words):
    layer = AdaB2N(2, tasks=3)
    end_task(layer)
    with pytest.raises(UserError, match=words):
        if ids is None:
            layer(torch.randn(4, 2))
        else:
            with batch_tasks(layer, torch.tensor(ids)):
                layer(torch.randn(4, 2))


CASES = {"first task": (0, [0, 0, 0, 0], "renormalize"), "all tasks": (1, [0, 1, 1, 0], "renormalize"), "lost weight": (3, [3, 3, 0, 3], "official"),
         "one task only": (2, [2, 2, 2, 2], "renormalize"), "a lone sample": (1, [1, 1, 1, 0], "renormalize")}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("done,ids,rule", CASES.values(), ids=CASES)
def test_gradients_agree_with_finite_differences(done, ids, rule, fused):
    torch.manual_seed(0)
    psi = torch.tensor([.2, -.4, .6, 0.], dtype=F64)

    def output(x, psi, weight, bias):
        """The output, mean and variance as a function of everything that has a gradient."""
        w = sample_weights(torch.tensor(ids), psi, done + 1, rule)
        return (FusedNorm.apply if fused else weighted_norm)(x, w, weight, bias, 1e-5)
    inputs = [t.requires_grad_() for t in (torch.randn(4, 2, 3, dtype=F64), psi, torch.rand(2, dtype=F64), torch.rand(2, dtype=F64))]
    assert torch.autograd.gradcheck(output, inputs)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 4), (6, 3, 2, 3, 2)])
@pytest.mark.parametrize("regulariser", ["official", "scale-free"])
@pytest.mark.parametrize("rule", ["renormalize", "official"])
def test_fused_and_reference_agree(shape, regulariser, rule):
    torch.manual_seed(0)
    x, found = torch.randn(shape, dtype=F64), []
    for fused in (True, False):
        layer, ids = AdaB2N(3, tasks=3, regulariser=regulariser, absent_tasks=rule, kappa=.4, fused=fused, dtype=F64), torch.tensor([2, 2, 0, 2, 0, 2])
        end_task(layer), end_task(layer)
        with batch_tasks(layer, ids) as gaps:
            y = layer(x.requires_grad_())
        loss = y.sin().sum() + gaps[0]
        found.append([y, gaps[0], layer.running_mean, layer.running_var, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(*found, strict=True))


def test_the_fused_layer_refuses_a_second_derivative():
    layer, x = AdaB2N(2, tasks=1), torch.randn(4, 2, requires_grad=True)
    grad, = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    reference = AdaB2N(2, tasks=1, fused=False)
    grad, = torch.autograd.grad(reference(x).square().sum(), x, create_graph=True)
    grad.sum().backward()


def small_model():
    """A network with three kinds of batch norm on its way."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Sequential(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6, momentum=None)),
                         nn.Flatten(2), nn.BatchNorm1d(6), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.BatchNorm1d(6, affine=False, eps=1e-3), nn.Linear(6, 4))


def test_converting_keeps_weights_buffers_types_and_what_the_model_does():
    model = small_model()
    for _ in range(3):
        model(torch.randn(5, 3, 7, 7))
    model[1].weight.requires_grad_(False)
    model[1].weight.data.fill_(.7)
    x, before = torch.randn(5, 3, 7, 7), copy.deepcopy(model)
    ours = convert_adab2n(copy.deepcopy(model).double(), tasks=3)
    layers = [m for m in ours.modules() if isinstance(m, AdaB2N)]
    assert len(layers) == 4 and not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in ours.modules())
    for name, value in before.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value.double() if value.is_floating_point() else value), name
    assert all(p.dtype == F64 for p in ours.parameters()) and not layers[0].weight.requires_grad and layers[0].bias.requires_grad
    assert layers[1].kappa == 0 and layers[0].kappa == 1 and layers[3].weight is None and layers[3].eps == 1e-3
    assert torch.allclose(ours.eval()(x.double()), before.eval()(x).double(), atol=1e-6)
    assert torch.allclose(ours.train()(x.double()), before.train()(x).double(), atol=1e-5)
    assert isinstance(convert_adab2n(nn.BatchNorm3d(2).eval(), 2), AdaB2N) and not convert_adab2n(nn.BatchNorm3d(2).eval(), 2).training


def test_an_optimiser_made_before_converting_keeps_its_parameters():
    model = small_model()
    before = dict(model.named_parameters())
    after = dict(convert_adab2n(model, tasks=3).named_parameters())
    assert all(after[k] is p for k, p in before.items()) and after.keys() - before.keys() == {f"{n}.log_concentration" for n in ("1", "3.1", "5", "8")}


def test_regularisers_can_be_used_inside_the_context_and_contexts_nest():
    a, b = AdaB2N(2, tasks=2), AdaB2N(2, tasks=2)
    with batch_tasks(a, [0, 0]) as outer:
        with batch_tasks(nn.ModuleList([a, b]), [0, 0, 0]) as inner:
            a(torch.randn(3, 2)), b(torch.randn(3, 2))
            assert len(inner) == 2 and sum(inner) > 0
        assert not outer
        a(torch.randn(2, 2))
        assert len(outer) == 1
    assert a.ids is None and len(inner) == 2


def test_converting_keeps_a_layer_that_is_used_twice_one_layer():
    norm = nn.BatchNorm1d(3)
    model = convert_adab2n(nn.Sequential(norm, nn.ReLU(), norm), 2)
    assert model[0] is model[2]
    with batch_tasks(model, [0, 0]) as gaps:
        model(torch.randn(2, 3))
    assert len(gaps) == 2 and model[0].num_batches_tracked == 2


@pytest.mark.parametrize("make,words", [(lambda: nn.BatchNorm1d(3, track_running_stats=False), "keeps no running statistics"), (lambda: nn.LazyBatchNorm1d(), "run one batch through"),
    (lambda: nn.SyncBatchNorm(3), "is a SyncBatchNorm, which may do more")])
def test_what_cannot_be_converted_is_refused_by_name(make, words):
    with pytest.raises(UserError, match=f"^0.1 .*{words}"):
        convert_adab2n(nn.Sequential(nn.Sequential(nn.ReLU(), make())), 2)


@pytest.mark.parametrize("kw", [{"kappa": 1.5}, {"momentum": 0.}, {"uniform_mix": -.1}, {"tasks": 0}, {"absent_tasks": "drop"}, {"regulariser": "none"}])
def test_options_that_cannot_be_are_refused(kw):
    with pytest.raises(UserError, match=f"^{next(iter(kw))}="):
        AdaB2N(**{"num_features": 2, "tasks": 2, **kw})


def train_steps(model, steps, forward=None, autocast=False, memory_format=torch.contiguous_format, start=0):
    """Losses of a few steps of plain training with tasks that end every third step."""
    opt, losses = torch.optim.SGD(model.parameters(), .05), []
    for s in range(start, steps):
        g = generator(0, "steps", s)
        n = 8 if s == 0 else 16
        x, ids = torch.randn(n, 3, 9, 9, generator=g).contiguous(memory_format=memory_format), torch.randint(min(s // 3, 2) + 1, (n,), generator=g)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), batch_tasks(model, ids) as gaps:
            y = (forward or model)(x)
        loss = y.float().square().mean() + .1 * sum(gaps)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        if s % 3 == 2:
            end_task(model)
    return losses


def converted(**kw):
    return convert_adab2n(small_model(), tasks=3, **{"kappa": .4, **kw})


@pytest.mark.parametrize("fused", [True, False])
def test_compiling_changes_nothing_and_happens_at_most_thrice(fused):
    import torch._dynamo as dynamo
    dynamo.reset()
    dynamo.utils.counters.clear()
    model, graphs = converted(fused=fused), []
    compiled = torch.compile(model, backend="aot_eager")

    def forward(x):
        y = compiled(x)
        graphs.append(dynamo.utils.counters["stats"]["unique_graphs"])
        return y
    losses = train_steps(model, 12, forward)
    assert graphs[2] == graphs[-1] and not dynamo.utils.counters["graph_break"], graphs
    assert np.allclose(losses, train_steps(converted(fused=fused), 12), rtol=1e-4)


def test_channels_last_changes_nothing_and_bf16_autocast_little():
    plain = train_steps(converted(), 9)
    assert np.allclose(train_steps(converted(), 9, memory_format=torch.channels_last), plain, rtol=1e-5)
    assert np.allclose(train_steps(converted(), 9, autocast=True), plain, rtol=.05)


def test_a_copy_goes_on_as_the_original_would():
    alone, model = train_steps(converted(), 9), converted()
    first = train_steps(model, 5)
    loaded = converted()
    loaded.load_state_dict(model.state_dict())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):  # noqa: S301 - our own bytes
        assert first + train_steps(other, 9, start=5) == alone
    with pytest.raises(UserError, match="needs the task of each sample"):
        loaded(torch.randn(4, 3, 9, 9))


def test_eval_reads_no_ids_and_changes_nothing():
    model = converted()
    train_steps(model, 6)
    state, x = copy.deepcopy(model.eval().state_dict()), torch.randn(6, 3, 9, 9)
    y = model(x)
    assert torch.allclose(y[2:4], model(x[2:4]), atol=1e-6), "an output depends on its neighbours"
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values()))


# ---- the other parts ----


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


def test_a_ring_keeps_the_latest_of_each_task():
    ring = Ring(7, (1, 1, 1), 1, tasks=2)
    for task, n in ((0, 2), (1, 8)):
        for start in range(0, n, 2):
            labels = torch.arange(start, start + 2) + 100 * task
            ring.add(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), labels, torch.zeros(2, 1), generator(0, "a", 0), task)
    assert sorted(ring.y[ring.filled].tolist()) == [0, 1, 105, 106, 107] and len(ring) == 5 and ring.largest(torch.tensor([3])) == 107
    assert sorted(ring.draw(10, generator(0, "b", 0))[1].tolist()) == [0, 1, 105, 106, 107]
    with pytest.raises(UserError, match="a ring needs at least one slot"):
        Ring(3, (1, 1, 1), 1, tasks=4)


def test_separate_forwards_hand_each_batch_its_own_tasks():
    layer, parts, tasks = AdaB2N(2, tasks=2, uniform_mix=1.), [torch.randn(4, 2), torch.randn(3, 2)], [torch.tensor([1] * 4), torch.zeros(3).long()]
    end_task(layer)
    logits, gap = forward(layer, parts, tasks, joint=False)
    assert all(torch.allclose(y.mean(0), torch.zeros(2), atol=1e-6) for y in logits) and gap > 0 and layer.num_batches_tracked == 2


def test_er_ace_masks_as_the_official_rule_says():
    logits, y = torch.arange(6.).expand(2, 6), torch.tensor([2, 3])
    lowest = torch.finfo(torch.float32).min
    assert (own_columns(logits, y, 3) == lowest).tolist() == [[True, True, False, False, False, False]] * 2
    assert (own_columns(logits, y, 5) == lowest).tolist() == [[True, True, False, False, True, True]] * 2
    ce = nn.functional.cross_entropy
    expected = ce(logits[:, 2:], y - 2) + ce(logits, torch.tensor([0, 1]))
    assert torch.isclose(loss("er-ace", [logits, logits], [y, torch.tensor([0, 1])], [None], top=3), expected)
    assert torch.isclose(loss("er-ace", [logits], [y], []), ce(logits, y)), "the first task knows no mask"


def test_recalibration_gives_the_statistics_of_the_buffer_and_leaves_the_network():
    model = convert_adab2n(nn.Sequential(nn.BatchNorm1d(2)), 2, uniform_mix=1.).train()
    end_task(model)
    state, x, tasks = copy.deepcopy(model.state_dict()), torch.randn(700, 2) + 3, (torch.arange(700) > 600).long()
    new = recalibrated(model, x, tasks, batch=1000)[0]
    assert torch.allclose(new.running_mean, (x[tasks == 0].mean(0) + x[tasks == 1].mean(0)) / 2, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values()))
    plain = recalibrated(nn.BatchNorm1d(2), x, tasks, batch=350)
    assert torch.allclose(plain.running_mean, x.mean(0), atol=1e-5) and not plain.training


def test_separate_and_joint_forwards_agree_without_batch_statistics():
    net, parts, tasks = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [torch.randn(2, 1, 2, 2), torch.randn(3, 1, 2, 2)], [torch.zeros(2).long(), torch.zeros(3).long()]
    for a, b in zip(forward(net, parts, tasks, True)[0], forward(net, parts, tasks, False)[0]):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_losses_are_sums_of_torch_losses():
    torch.manual_seed(0)
    z, y = [torch.randn(4, 10) for _ in range(3)], [torch.randint(10, (4,)) for _ in range(3)]
    ce = nn.functional.cross_entropy
    assert torch.isclose(loss("er", z[:2], y[:2], z[2:]), ce(z[0], y[0]) + ce(z[1], y[1]))
    assert torch.isclose(loss("derpp", z, y, [z[0], z[1]], .3, .7), ce(z[0], y[0]) + .3 * ((z[1] - z[0])**2).mean() + .7 * ce(z[2], y[2]))


def test_metrics_on_matrices_made_by_hand():
    a = [[90, 5], [60, 80]]
    assert (acc(a), bwt(a)) == (70, -30) and [forgetting(a, r) for r in ("official", "trained", "usual")] == [30, 30, 30]
    assert [forgetting([[50, 0], [60, 80]], r) for r in ("official", "trained", "usual")] == [0, 0, -10]
    logits = torch.eye(4)
    logits[2] = torch.tensor([1., 0, .5, 0])
    assert [r.tolist() for r in accuracies(logits, torch.arange(4), 2)] == [[100, 50], [100, 100]]


def parts(norm="adab2n", host="derpp", kind="reservoir", seed=0, epochs=1):
    """What a short training on digits needs."""
    data = split("digits", seed=seed)
    stream = Stream(data.task_of(data.y), 5, epochs=epochs, seed=seed)
    torch.manual_seed(seed)
    net = NETS["small"](1, 10, norm_layer(norm, 5))
    return (net, data, stream, BUFFERS[kind](50, (1, 8, 8), 10, "cpu", 5)), {"host": host, "joint": not NORMS[norm].separate}


def train(run, *names):
    """A short training on digits."""
    given, called = parts(*names)
    fit(run, *given, **called)


@pytest.mark.parametrize("norm,host", [("adab2n", "derpp"), ("bn-separate", "er"), ("bn-joint", "derpp"), ("uniform", "er-ace"), ("cma-joint", "er"), ("gn", "er"), ("ln", "er"), ("cn-separate", "derpp")])
def test_two_trainings_are_identical_and_learn(norm, host):
    a, b = Stepper(0), Stepper(0)
    for run in (a, b):
        train(run, norm, host)
    assert a.metrics == b.metrics and len(a.metrics) == 124
    assert acc([r["task_il"] for r in a.metrics if "task_il" in r]) > 75


def test_the_learning_rate_decays_in_each_task_anew():
    given, called = parts("bn-joint", "er", epochs=3)
    seen, real = [], torch.optim.SGD.step
    torch.optim.SGD.step = lambda self, *a: (seen.append(self.param_groups[0]["lr"]), real(self, *a))[1]
    try:
        fit(Stepper(0), *given, **called, lr=.1, milestones=(1, 2), decay=.5)
    finally:
        torch.optim.SGD.step = real
    stream = given[2]
    assert [round(seen[s], 6) for s in range(len(stream))] == [round(.1 * .5**stream.at(s)[1], 6) for s in range(len(stream))]


def flat(tree):
    """Every tensor of nested dicts, by name."""
    return {f"{k}.{n}": v for k, t in tree.items() for n, v in (flat(t) if isinstance(t, dict) else {"": t}).items() if isinstance(v, torch.Tensor)}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("norm", ["adab2n", "bn-separate"])
def test_every_host_and_buffer_goes_on_bit_for_bit(host, kind, norm):
    alone = Breaking()
    train(alone, norm, host, kind)
    broken = Breaking(stop=71)
    with pytest.raises(Killed):
        train(broken, norm, host, kind)
    again = Breaking(saved=broken.saved)
    train(again, norm, host, kind)
    assert again.metrics == alone.metrics and len(alone.metrics) == 124
    a, b = flat(alone.state), flat(again.state)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
