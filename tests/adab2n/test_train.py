"""The training: identical twice, and the same after a kill."""

import pytest
import torch
from breaking import Breaking, Killed
from torch import nn

from papers_nb.adab2n.data import Stream, split
from papers_nb.adab2n.hosts import BUFFERS, HOSTS, Host
from papers_nb.adab2n.metrics import acc
from papers_nb.adab2n.nets import NETS, NORMS, Norm, norm_layer
from papers_nb.adab2n.train import fit
from papers_nb.core.train import Stepper


def parts(norm="adab2n", host="derpp", kind="reservoir", seed=0, epochs=1):
    """What a short training on digits needs."""
    data = split("digits", seed=seed)
    stream = Stream(data.task_of(data.y), 5, epochs=epochs, seed=seed)
    torch.manual_seed(seed)
    net = NETS["small"](1, 10, norm_layer(norm, 5))
    memory = BUFFERS[kind](50, (1, 8, 8), 10, "cpu", 5)
    return (net, data, stream, memory), {"host": host, "joint": not NORMS[norm].separate}


def train(run, *names):
    """A short training on digits."""
    given, called = parts(*names)
    fit(run, *given, **called)


@pytest.mark.parametrize(
    "norm,host",
    [
        ("adab2n", "derpp"),
        ("bn-separate", "er"),
        ("bn-joint", "derpp"),
        ("uniform", "er-ace"),
        ("cma-joint", "er"),
        ("gn", "er"),
        ("ln", "er"),
        ("cn-separate", "derpp"),
    ],
)
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
        fit(Stepper(0), *given, **called, lr=0.1, milestones=(1, 2), decay=0.5)
    finally:
        torch.optim.SGD.step = real
    stream = given[2]
    assert [round(seen[s], 6) for s in range(len(stream))] == [
        round(0.1 * 0.5 ** stream.at(s)[1], 6) for s in range(len(stream))
    ]


def flat(tree):
    """Every tensor of nested dicts, by name."""
    return {
        f"{k}.{n}": v
        for k, t in tree.items()
        for n, v in (flat(t) if isinstance(t, dict) else {"": t}).items()
        if isinstance(v, torch.Tensor)
    }


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


def test_a_new_norm_and_a_new_host_train_at_once(monkeypatch):
    monkeypatch.setitem(NORMS, "none", Norm(lambda c, **_: nn.Identity()))
    new_only = Host(lambda logits, y, **_: nn.functional.cross_entropy(logits[0], y[0]), draws=1)
    monkeypatch.setitem(HOSTS, "new-only", new_only)
    run = Stepper(0)
    train(run, "none", "new-only")
    assert len(run.metrics) == 124 and run.metrics[24]["loss"] < run.metrics[0]["loss"]
