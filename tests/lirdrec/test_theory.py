"""What the official code does beside theory: each fact of the overview's table that no claim shows."""

import numpy as np
import pytest
import scipy.fft
import torch
from scipy.special import expit, softmax
from shops import SHOP

from papers_nb.core.train import Stepper
from papers_nb.lirdrec import train
from papers_nb.lirdrec.baselines import SumRows
from papers_nb.lirdrec.data import TEST, TRAIN, Interactions
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import Best, ranked, ranking
from papers_nb.lirdrec.train import fit
from papers_nb.lirdrec.transform import equivalent_layer


def array(x):
    """A tensor as numbers of 64 bits."""
    return x.detach().double().numpy()


def encoded(net, branch, x):
    """Two linear layers, the second without a bias, and a leaky ReLU between."""
    first, _, last = net.encoders[branch]
    hidden = x @ array(first.weight).T + array(first.bias)
    return np.where(hidden > 0, hidden, 0.01 * hidden) @ array(last.weight).T


def unit(rows):
    """Rows of length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def alike(x, k=10):
    """One k-th from every item to each of the k of largest cosine, itself among them."""
    cosines, s = unit(x) @ unit(x).T, np.zeros((len(x), len(x)))
    np.put_along_axis(s, np.argsort(-cosines, axis=1)[:, :k], 1 / k, axis=1)
    return s


def by_equations(net, features, layers=2):
    """Rows of users and items, from the equations alone, in numpy."""
    x = {m: f.astype(float) for m, f in features.items()}
    s = 0.1 * alike(x["image"]) + 0.9 * alike(x["text"])
    x["shared"] = np.concatenate([scipy.fft.dct(f, norm="ortho", axis=1) for f in x.values()], 1)
    u = np.concatenate([unit(array(net.tables[m])) for m in x], 1)
    i = np.concatenate([unit(encoded(net, m, f)) for m, f in x.items()], 1)
    r = np.zeros((SHOP.users, SHOP.items))
    r[SHOP.pairs(TRAIN)] = 1
    a = np.block([[np.zeros((len(u), len(u))), r], [r.T, np.zeros((len(i), len(i)))]])
    degree = a.sum(1) + 1e-7
    a /= np.sqrt(np.outer(degree, degree))
    h = sum(np.linalg.matrix_power(a, power) @ np.r_[u, i] for power in range(layers + 1))
    u, i = h[: len(u)], h[len(u) :]
    rows, mix = np.split(u, 3, 1), net.copying.mix.item()
    proposed = np.zeros((len(u), 3))
    for m, (first, _, last) in enumerate(net.copying.nets):
        hidden = rows[m] @ array(first.weight).T + array(first.bias)
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        proposed[:, m] = (hidden @ array(last.weight).T + array(last.bias))[:, 0]
    weights = softmax(mix * proposed + (1 - mix) * array(net.copying.memory), axis=1)
    return np.concatenate([weights[:, [m]] * rows[m] for m in range(3)], 1), i + s @ i


def test_the_network_is_its_equations_and_its_loss_too():
    torch.manual_seed(0)
    net = LIRDRecNet(SHOP, 8, 16, reg=0.3)
    net.copying.last.copy_(torch.randn(SHOP.users, 3))
    net.start_epoch(4)
    u, i = by_equations(net, SHOP.features)
    found = net()
    assert np.abs(array(found[0]) - u).max() < 1e-5 and np.abs(array(found[1]) - i).max() < 1e-5
    user, item = SHOP.pairs(TRAIN)
    other = (item + 7) % SHOP.items
    expected = -np.log(expit((u[user] * (i[item] - i[other])).sum(1))).mean()
    expected += 0.3 * ((u**2).mean() + (i**2).mean())
    assert net.loss(*map(torch.from_numpy, (user, item, other))).item() == pytest.approx(expected, abs=1e-6)


def turned_and_plain():
    """A network that sees the cosine transform, and the one on plain features that computes the same."""
    torch.manual_seed(0)
    turned = LIRDRecNet(SHOP, 8, 16).double()
    plain = LIRDRecNet(SHOP, 8, 16, dct="none").double()
    plain.load_state_dict(turned.state_dict())
    weight = plain.encoders["shared"][0].weight
    parts = weight.data.split([x.shape[1] for x in SHOP.features.values()], 1)
    weight.data = torch.cat([equivalent_layer(part) for part in parts], 1)
    return turned, plain


def apart(optimizer, lr, steps=20):
    """How far the rows of the two are apart after they were trained alike, relative to their size."""
    nets, found = turned_and_plain(), []
    user, item = map(torch.from_numpy, SHOP.pairs(TRAIN))
    for net in nets:
        opt = optimizer(net.parameters(), lr)
        for step in range(steps):
            loss = net.loss(user, item, (item + 1 + step) % SHOP.items)
            opt.zero_grad()
            loss.backward()
            opt.step()
        found.append(torch.cat(net()).detach())
    return ((found[0] - found[1]).norm() / found[0].norm()).item()


def test_the_transform_changes_nothing_under_plain_descent_and_something_under_adam():
    assert apart(torch.optim.SGD, 0.1) < 1e-5 and apart(torch.optim.Adam, 0.01) > 1e-2


@pytest.mark.parametrize("optimizer,lr,holds", [("sgd", 0.1, True), ("adam", 0.01, False)])
def test_the_law_of_displacement_holds_for_plain_descent_and_not_for_adam(optimizer, lr, holds):
    torch.manual_seed(0)
    net = SumRows(SHOP, 8)
    fit(Stepper(0), net, SHOP, Best(net, 9), lr=lr, batch=256, epochs=2, optimizer=optimizer)
    missed = net.seen()["moved"][1]
    assert missed < 1e-4 if holds else missed > 0.1


def test_the_memory_weighs_the_rows_of_users_and_none_of_items():
    torch.manual_seed(0)
    net = LIRDRecNet(SHOP, 8, 16)
    u, i = net()
    net.copying.memory.data += torch.randn(SHOP.users, 3)
    after = net()
    assert torch.equal(i, after[1]) and not torch.allclose(u, after[0], rtol=0.1)


def test_lists_are_made_by_the_network_as_it_is_and_not_by_its_last_forward_in_training():
    torch.manual_seed(0)
    net, pairs = LIRDRecNet(SHOP, 8, 16), torch.arange(100)
    opt = torch.optim.Adam(net.parameters(), 0.1)
    kept = [rows.detach().clone() for rows in net()]
    net.loss(pairs, pairs, pairs + 1).backward()
    opt.step()
    now = [rows.detach() for rows in net.eval()()]
    lists = {
        name: ranking(lambda users, u=u, i=i: u[users] @ i.T, SHOP)
        for name, (u, i) in {"kept": kept, "now": now}.items()
    }
    assert torch.equal(ranked(net, SHOP), lists["now"]) and not torch.equal(lists["now"], lists["kept"])


def test_every_number_that_is_trained_takes_part_and_no_feature_is_among_them():
    torch.manual_seed(0)
    net, pairs = LIRDRecNet(SHOP, 8, 16), torch.arange(100)
    net.start_epoch(1)
    net.loss(pairs, pairs, pairs + 1).backward()
    assert all(p.grad is not None for p in net.parameters())
    sizes = {x.size for x in SHOP.features.values()}
    assert not sizes & {p.numel() for p in net.parameters()}


def test_no_weight_decay_reaches_the_optimiser(monkeypatch):
    made = []

    class Watched(torch.optim.Adam):
        """Adam that is kept to be looked at."""

        def __init__(self, *args, **kw):
            super().__init__(*args, **kw)
            made.append(self)

    monkeypatch.setitem(train.OPTIMIZERS, "adam", Watched)
    net = SumRows(SHOP, 4)
    fit(Stepper(0), net, SHOP, Best(net, 0), batch=1024, epochs=1)
    (group,) = made[0].param_groups
    assert group["weight_decay"] == 0 and len(group["params"]) == len(list(net.parameters()))


def test_an_improvement_below_the_fourth_decimal_is_one():
    best = Best(torch.nn.Linear(1, 1), patience=0)
    assert [best.update(v) for v in (0.50001, 0.50002, 0.50002)] == [False, False, True]
    assert best.value == 0.50002


def test_the_test_part_chooses_nothing():
    def weights(shop):
        """The weights that are kept of a training."""
        torch.manual_seed(0)
        net = SumRows(shop, 8)
        best = Best(net, 3)
        fit(Stepper(0), net, shop, best, lr=0.05, batch=256, epochs=8)
        return best.weights

    kept = SHOP.part != TEST
    without = Interactions(
        "x", SHOP.user[kept], SHOP.item[kept], SHOP.part[kept], SHOP.features, SHOP.users, SHOP.items
    )
    a, b = weights(SHOP), weights(without)
    assert all(torch.equal(a[name], b[name]) for name in a)
