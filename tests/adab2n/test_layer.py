"""The layer against the official code's numbers, torch, and what it promises."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from papers_nb.adab2n import AdaB2N, batch_tasks, convert_adab2n, end_task
from papers_nb.adab2n.weights import task_weights
from papers_nb.core.train import generator
from papers_nb.errors import UserError

F64 = torch.float64
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def wave(n, c, h, w, phase):
    """A fixed input without randomness."""
    i, j, k, m = torch.meshgrid(*(torch.arange(s, dtype=F64) for s in (n, c, h, w)), indexing="ij")
    return torch.sin(0.37 * i + 1.3 * j + 0.7 * k - 0.5 * m + phase) + 0.1 * j + 0.05 * i


def backward(layer, x, ids=None):
    """One training forward: output, gradients of Σ y cos(index), and the regulariser's value."""
    x.requires_grad_()
    with batch_tasks(layer, torch.tensor(ids if ids else [0] * len(x))) as regularisers:
        y = layer(x)
    dx, *dpsi = torch.autograd.grad(
        (y.flatten() * torch.cos(torch.arange(y.numel(), dtype=F64))).sum(),
        [x, layer.log_concentration],
        allow_unused=True,
    )
    return y, dx, dpsi[0], regularisers[0].item()


def close(a, b):
    """Equal to the seven digits that are known."""
    return torch.allclose(torch.as_tensor(a, dtype=F64), torch.tensor(b, dtype=F64), rtol=0, atol=1e-7)


def test_parity_with_the_official_code():
    layer = AdaB2N(2, tasks=3, kappa=0.4, absent_tasks="official", dtype=F64)
    y, dx, dpsi, gap = backward(layer, wave(4, 2, 3, 3, 0.0))
    assert close(y[0, 0, 0], [-1.05145928, -1.94948479, -2.62764234]) and not dpsi.any()
    assert close(layer.running_mean, [0.22347294, 0.31972116]) and close(
        layer.running_var, [0.71535465, 0.66285400]
    )
    assert close(gap, 0.39641745365) and close([dx[0, 0, 0, 0], dx.norm()], [1.5349407997, 13.2457743981])
    end_task(layer), end_task(layer)
    y, dx, dpsi, gap = backward(layer, wave(6, 2, 3, 3, 0.3), [2, 2, 2, 0, 1, 1])
    assert close(y[0, 0, 0], [-1.11187042, -2.28486913, -3.34241409]) and close(
        dpsi, [-0.0911740, 0.0940658, -0.0249624]
    )
    assert close(layer.running_mean, [0.38205497, 0.36111999]) and close(
        layer.running_var, [0.55754016, 0.56841799]
    )
    assert close(gap, 0.17597474673537922) and close(
        [dx[0, 0, 0, 0], dx.norm()], [2.2690082833, 15.2304705987]
    )
    layer.log_concentration.data = torch.tensor([0.2, -0.4, 0.6], dtype=F64)
    assert close(
        task_weights(torch.tensor([2.0, 0, 4], dtype=F64), layer.log_concentration.detach(), "official"),
        [0.33163015, 0.06900669, 0.59936316],
    )
    y, dx, dpsi, gap = backward(layer, wave(6, 2, 3, 3, 0.9), [2, 2, 2, 0, 0, 2])
    assert close(y[0, 0, 0], [0.33210420, -0.59505156, -1.74661979]) and close(
        dpsi, [-0.0634224, -0.0165326, 0.0575251]
    )
    assert close(layer.running_mean, [0.44302058, 0.29881720]) and close(
        layer.running_var, [0.46918859, 0.51518245]
    )
    assert close(gap, 0.09736631765403436) and close(
        [dx[0, 0, 0, 0], dx.norm()], [2.2871674365, 15.0926302682]
    )
    before = copy.deepcopy(layer.eval().state_dict())
    y = layer(wave(2, 2, 3, 3, 1.7))
    assert close(y[0, :, 0, 0], [0.80096303, -0.08038406])
    assert all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values())), (
        "eval changed a buffer"
    )


@pytest.mark.parametrize(
    "shape,norm",
    [
        ((6, 3), nn.BatchNorm1d),
        ((6, 3, 5), nn.BatchNorm1d),
        ((6, 3, 4, 4), nn.BatchNorm2d),
        ((2, 3, 2, 2, 2), nn.BatchNorm3d),
    ],
)
def test_the_first_task_is_a_batch_norm(shape, norm):
    torch.manual_seed(0)
    ours, theirs = AdaB2N(3, tasks=2, dtype=F64), norm(3, dtype=F64)
    for _ in range(3):
        x = torch.randn(*shape, dtype=F64) + 1
        assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-13) and torch.allclose(
            ours.running_mean, theirs.running_mean, rtol=0, atol=1e-14
        )


def test_without_a_prior_a_mixed_batch_is_a_batch_norm_too():
    torch.manual_seed(0)
    ours, theirs = AdaB2N(3, tasks=4, log_concentration=-60.0, dtype=F64), nn.BatchNorm2d(3, dtype=F64)
    for task in range(4):
        x = torch.randn(8, 3, 4, 4, dtype=F64) + task
        with batch_tasks(ours, torch.arange(8) % (task + 1)):
            y = ours(x)
        assert torch.allclose(y, theirs(x), rtol=0, atol=1e-13) and torch.allclose(
            ours.running_mean, theirs.running_mean, rtol=0, atol=1e-14
        )
        end_task(ours)


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
    pickled = pickle.loads(pickle.dumps(layer))  # noqa: S301 - our own bytes
    for other in (copy.deepcopy(layer), pickled, AdaB2N(2, tasks=2)):
        other.load_state_dict(layer.state_dict())
        a, b = copy.deepcopy(layer), other
        assert torch.equal(a(x), b(x)) and torch.equal(a.running_mean, b.running_mean), (
            "the schedule does not go on"
        )


@pytest.mark.parametrize(
    "ids,words",
    [
        (None, "needs the task of each sample"),
        ([0.5] * 4, "whole numbers"),
        ([True] * 4, "whole numbers"),
        ([], "not empty"),
        ([[0, 1]], "one for each sample"),
        ([0, 1], "2 task ids for 4 samples"),
        ([0, 1, 2, 0], "task id 2: 2 of 3 tasks have come"),
        ([0, -1, 1, 0], "task id -1"),
    ],
)
def test_wrong_task_ids_are_refused(ids, words):
    layer = AdaB2N(2, tasks=3)
    end_task(layer)
    with pytest.raises(UserError, match=words):
        if ids is None:
            layer(torch.randn(4, 2))
        else:
            with batch_tasks(layer, torch.tensor(ids)):
                layer(torch.randn(4, 2))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 4), (6, 3, 2, 3, 2)])
@pytest.mark.parametrize("regulariser", ["official", "scale-free"])
@pytest.mark.parametrize("rule", ["renormalize", "official"])
def test_fused_and_reference_agree(shape, regulariser, rule, device):
    torch.manual_seed(0)
    x, found, ids = torch.randn(shape, dtype=F64).to(device), [], torch.tensor([2, 2, 0, 2, 0, 2])
    options = {"regulariser": regulariser, "absent_tasks": rule, "kappa": 0.4}
    for fused in (True, False):
        layer = AdaB2N(3, tasks=3, fused=fused, dtype=F64, device=device, **options)
        end_task(layer), end_task(layer)
        with batch_tasks(layer, ids) as gaps:
            y = layer(x.requires_grad_())
        loss = y.sin().sum() + gaps[0]
        found.append(
            [
                y,
                gaps[0],
                layer.running_mean,
                layer.running_var,
                *torch.autograd.grad(loss, [x, *layer.parameters()]),
            ]
        )
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(*found, strict=True))


def test_the_backward_kernel_gets_all_statistics_as_cuda_asks():
    """The CPU's kernel does without the saved statistics of an eval mode; that of CUDA stops."""
    given = []

    class Watch(TorchDispatchMode):
        """Notes what the kernel is given."""

        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            """Pass on every call."""
            if "native_batch_norm_backward" in str(op):
                given.append(args)
            return op(*args, **(kwargs or {}))

    layer, x = AdaB2N(3, tasks=1), torch.randn(4, 3, 2, 2)
    with Watch():
        layer(x.requires_grad_()).square().sum().backward()
    ((_, _, _, mean, var, saved_mean, inverse, *_),) = given
    assert torch.equal(saved_mean, mean) and torch.equal(inverse, (var + layer.eps).rsqrt())


def test_the_fused_layer_refuses_a_second_derivative():
    layer, x = AdaB2N(2, tasks=1), torch.randn(4, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    reference = AdaB2N(2, tasks=1, fused=False)
    (grad,) = torch.autograd.grad(reference(x).square().sum(), x, create_graph=True)
    grad.sum().backward()


def small_model():
    """A network with three kinds of batch norm on its way."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6, momentum=None)),
        nn.Flatten(2),
        nn.BatchNorm1d(6),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.BatchNorm1d(6, affine=False, eps=1e-3),
        nn.Linear(6, 4),
    )


def test_converting_keeps_weights_buffers_types_and_what_the_model_does():
    model = small_model()
    for _ in range(3):
        model(torch.randn(5, 3, 7, 7))
    model[1].weight.requires_grad_(False)
    model[1].weight.data.fill_(0.7)
    x, before = torch.randn(5, 3, 7, 7), copy.deepcopy(model)
    ours = convert_adab2n(copy.deepcopy(model).double(), tasks=3)
    layers = [m for m in ours.modules() if isinstance(m, AdaB2N)]
    assert len(layers) == 4 and not any(
        isinstance(m, nn.modules.batchnorm._BatchNorm) for m in ours.modules()
    )
    for name, value in before.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value.double() if value.is_floating_point() else value), (
            name
        )
    assert (
        all(p.dtype == F64 for p in ours.parameters())
        and not layers[0].weight.requires_grad
        and layers[0].bias.requires_grad
    )
    assert (
        layers[1].kappa == 0 and layers[0].kappa == 1 and layers[3].weight is None and layers[3].eps == 1e-3
    )
    assert torch.allclose(ours.eval()(x.double()), before.eval()(x).double(), atol=1e-6)
    assert torch.allclose(ours.train()(x.double()), before.train()(x).double(), atol=1e-5)
    assert (
        isinstance(convert_adab2n(nn.BatchNorm3d(2).eval(), 2), AdaB2N)
        and not convert_adab2n(nn.BatchNorm3d(2).eval(), 2).training
    )


def test_an_optimiser_made_before_converting_keeps_its_parameters():
    model = small_model()
    before = dict(model.named_parameters())
    after = dict(convert_adab2n(model, tasks=3).named_parameters())
    assert all(after[k] is p for k, p in before.items()) and after.keys() - before.keys() == {
        f"{n}.log_concentration" for n in ("1", "3.1", "5", "8")
    }


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


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: nn.BatchNorm1d(3, track_running_stats=False), "keeps no running statistics"),
        (lambda: nn.LazyBatchNorm1d(), "run one batch through"),
        (lambda: nn.SyncBatchNorm(3), "is a SyncBatchNorm, which may do more"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(make, words):
    with pytest.raises(UserError, match=f"^0.1 .*{words}"):
        convert_adab2n(nn.Sequential(nn.Sequential(nn.ReLU(), make())), 2)


@pytest.mark.parametrize(
    "kw",
    [
        {"kappa": 1.5},
        {"momentum": 0.0},
        {"uniform_mix": -0.1},
        {"tasks": 0},
        {"absent_tasks": "drop"},
        {"regulariser": "none"},
    ],
)
def test_options_that_cannot_be_are_refused(kw):
    with pytest.raises(UserError, match=f"^{next(iter(kw))}="):
        AdaB2N(**{"num_features": 2, "tasks": 2, **kw})


def train_steps(model, steps, forward=None, autocast=False, memory_format=torch.contiguous_format, start=0):
    """Losses of a few steps of plain training with tasks that end every third step."""
    opt, losses = torch.optim.SGD(model.parameters(), 0.05), []
    for s in range(start, steps):
        g = generator(0, "steps", s)
        n = 8 if s == 0 else 16
        x, ids = (
            torch.randn(n, 3, 9, 9, generator=g).contiguous(memory_format=memory_format),
            torch.randint(min(s // 3, 2) + 1, (n,), generator=g),
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), batch_tasks(model, ids) as gaps:
            y = (forward or model)(x)
        loss = y.float().square().mean() + 0.1 * sum(gaps)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        if s % 3 == 2:
            end_task(model)
    return losses


def converted(**kw):
    return convert_adab2n(small_model(), tasks=3, **{"kappa": 0.4, **kw})


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
    assert np.allclose(train_steps(converted(), 9, autocast=True), plain, rtol=0.05)


def test_a_copy_goes_on_as_the_original_would():
    alone, model = train_steps(converted(), 9), converted()
    first = train_steps(model, 5)
    loaded = converted()
    loaded.load_state_dict(model.state_dict())
    pickled = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    for other in (copy.deepcopy(model), pickled, loaded):
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
