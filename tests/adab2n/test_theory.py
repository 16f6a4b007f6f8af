"""What the official code does beside theory: each fact of the overview's table that no claim shows."""

import copy

import pytest
import torch
from torch import nn

from papers_nb import runs
from papers_nb.adab2n import AdaB2N, batch_tasks
from papers_nb.adab2n.data import Stream, split
from papers_nb.adab2n.dilemma import mixture_variance
from papers_nb.adab2n.hosts import Reservoir, forward, own_columns
from papers_nb.adab2n.layer import regulariser
from papers_nb.adab2n.momentum import averaging_factor
from papers_nb.adab2n.nets import NETS, norm_layer
from papers_nb.adab2n.train import fit
from papers_nb.core.train import Stepper

F64 = torch.float64


def test_the_running_variance_is_biased_where_that_of_a_batch_norm_is_not():
    torch.manual_seed(0)
    x, ours, theirs = (
        torch.randn(5, 3, 2, 2, dtype=F64),
        AdaB2N(3, 2, dtype=F64),
        nn.BatchNorm2d(3, dtype=F64),
    )
    ours(x), theirs(x)
    n = 5 * 2 * 2
    moved = [(layer.running_var - 0.9) / 0.1 for layer in (ours, theirs)]
    assert torch.allclose(moved[0] * n / (n - 1), moved[1], rtol=0, atol=1e-12)
    assert torch.allclose(moved[0], x.var((0, 2, 3), correction=0), rtol=0, atol=1e-12)


class Outside(nn.Module):
    """The official recursion, whose last factor is a plain number beside a counter in the state."""

    def __init__(self, kappa, momentum=0.1):
        super().__init__()
        self.kappa, self.momentum, self.last = kappa, momentum, None
        self.register_buffer("count", torch.tensor(0))

    def step(self):
        """The next factor."""
        self.count += 1
        a, first = (1 - self.momentum) ** self.kappa, self.momentum**self.kappa
        self.last = first if self.last is None else self.last / (self.last + a)
        return self.last


def test_a_factor_outside_the_state_begins_anew_and_one_from_the_counter_goes_on():
    before, after = Outside(0.4), Outside(0.4)
    assert [before.step() for _ in range(100)][-1] == pytest.approx(averaging_factor(100, 0.4))
    after.load_state_dict(before.state_dict())
    assert after.count == 100 and after.step() == pytest.approx(averaging_factor(1, 0.4))
    ours, again = (AdaB2N(1, 2, kappa=0.4, dtype=F64) for _ in range(2))
    for _ in range(100):
        ours(torch.zeros(2, 1, dtype=F64))
    again.load_state_dict(ours.state_dict())
    again(torch.ones(2, 1, dtype=F64))
    assert again.running_mean.item() == pytest.approx(averaging_factor(101, 0.4), rel=1e-12)


def test_a_loss_that_a_layer_keeps_forbids_copies():
    layer, x = AdaB2N(2, tasks=1), torch.randn(4, 2)
    with batch_tasks(layer, [0] * 4) as regularisers:
        layer(x)
    copy.deepcopy(layer)
    layer.loss = regularisers[0]
    with pytest.raises(RuntimeError, match="created explicitly by the user"):
        copy.deepcopy(layer)


def test_a_batch_norm_in_place_of_a_number_of_channels_stops():
    with pytest.raises(TypeError, match="BatchNorm2d"):
        nn.BatchNorm2d(nn.BatchNorm2d(4))


def test_separate_forwards_store_less_variance_than_a_joint_one():
    means, deviations = (2.0, -1.0), (1.0, 1.5)
    coin = torch.tensor([-1.0, 1.0], dtype=F64).repeat(50)[:, None]
    parts = [mean + deviation * coin for mean, deviation in zip(means, deviations)]
    tasks = [torch.ones(100).long(), torch.zeros(100).long()]
    stored = {}
    for joint in (True, False):
        norm = nn.BatchNorm1d(1, dtype=F64)
        for _ in range(200):
            forward(norm, parts, tasks, joint)
        stored[joint] = norm.running_var.item()
    own = [d**2 for d in deviations]
    assert stored[True] * 199 / 200 == pytest.approx(mixture_variance(0.5, means, own), rel=1e-6)
    share = 9 / 19  # of the first of two forwards, momentum 0.1
    assert stored[False] * 99 / 100 == pytest.approx(share * own[0] + (1 - share) * own[1], rel=1e-6)
    assert stored[False] < 0.5 * mixture_variance(share, means, own)


def test_er_ace_leaves_a_batch_more_classes_than_its_own_until_the_last_has_come():
    def left(labels, top):
        """How many of ten classes are left."""
        kept = own_columns(torch.zeros(1, 10), torch.tensor(labels), top)
        return (kept > torch.finfo(torch.float32).min).sum().item()

    assert [left([2, 3], 3), left([2], 3), left([2, 3], 9)] == [8, 8, 2]


def test_the_pull_depends_on_the_scale_of_the_input_and_the_gap_does_not():
    stats = torch.tensor([[2.0], [4.0], [1.0], [1.0]], dtype=F64)
    tenfold = stats * torch.tensor([[10.0], [100.0], [10.0], [100.0]], dtype=F64)
    grown = {
        kind: regulariser(*tenfold, kind, 0) / regulariser(*stats, kind, 0)
        for kind in ("official", "scale-free")
    }
    assert grown["official"] == 9010 and grown["scale-free"] == pytest.approx(1)


def test_a_new_schedule_on_the_same_optimiser_adds_up():
    settings, seen = runs.presets("adab2n")["split-miniimagenet-offline"], []
    milestones = [int(e) for e in settings["milestones"].split(",")]
    lr, decay, epochs = (float(settings[k]) for k in ("lr", "decay", "epochs"))
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)
    for _task in range(4):
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, decay)
        seen.append(optimiser.param_groups[0]["lr"])
        for _epoch in range(int(epochs)):
            optimiser.step()
            schedule.step()
    assert seen == pytest.approx([lr * decay**task for task in range(4)])


@pytest.mark.parametrize("grid,least", [("search", 1e-2), ("search-miniimagenet", 1e-5)])
def test_the_official_search_has_32_settings_and_16_of_them_for_er_ace(grid, least):
    asked = [p for p in runs.asked("adab2n/train", grid) if p["seed"] == 0]
    varied = {(p["kappa"], p["penalty"], p["penalty_from"]) for p in asked}
    assert len(asked) == len(varied) == 32 and {p["norm"] for p in asked} == {"adab2n"}
    kappas, penalties, starts = map(set, zip(*varied))
    assert kappas == {0.1, 0.4, 0.7, 1.0} and starts == {0, 1} and len({v[:2] for v in varied}) == 16
    assert sorted(penalties) == pytest.approx([least * 10**k for k in range(4)])


def trained(host, penalty_from=0):
    """A network and the losses of the first two tasks of a small training."""
    data = split("digits")
    few = data.y < 4
    data.x, data.y = data.x[few][:200], data.y[few][:200]
    torch.manual_seed(0)
    net, run = NETS["small"](1, 10, norm_layer("adab2n", 5)), Stepper(0)
    stream = Stream(data.task_of(data.y), 2, epochs=1)
    fit(run, net, data, stream, Reservoir(20, (1, 8, 8), 10), host=host, penalty_from=penalty_from)
    return net, [r["loss"] for r in run.metrics]


def test_the_preference_is_in_the_optimiser_of_the_network(monkeypatch):
    made = []

    class Watched(torch.optim.SGD):
        """Descent that is kept to be looked at."""

        def __init__(self, *args, **kw):
            super().__init__(*args, **kw)
            made.append(self)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    net, _ = trained("er")
    (group,) = made[0].param_groups
    preferences = [p for name, p in net.named_parameters() if name.endswith("log_concentration")]
    there = {id(p) for p in group["params"]}
    assert len(preferences) == 3 and all(id(p) in there for p in preferences)
    assert (group["lr"], group["weight_decay"]) == (0.03, 0)


@pytest.mark.parametrize("host,same", [("er-ace", True), ("derpp", False)])
def test_the_first_task_with_a_pull_matters_to_derpp_alone(host, same):
    assert (trained(host, 0)[1] == trained(host, 1)[1]) is same
