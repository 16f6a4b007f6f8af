"""The rivals: laws that they obey, losses by hand, bars with known values."""

import numpy as np
import pytest
import torch
from breaking import Breaking
from shops import SHOP, real

from papers_nb.errors import UserError
from papers_nb.lirdrec import baselines
from papers_nb.lirdrec.baselines import BM3, EASE, VBPR, Popularity, SumRows
from papers_nb.lirdrec.data import TEST, TRAIN, VALID, Interactions
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import Best, evaluate
from papers_nb.lirdrec.train import fit


def test_the_sum_of_rows_and_features_obeys_the_law_under_plain_descent_and_not_under_adam():
    found = {}
    for name, lr in (("sgd", 1.0), ("adam", 0.01)):
        torch.manual_seed(0)
        net = SumRows(SHOP, 8, scale=1.0).double()
        run = Breaking()
        fit(run, net, SHOP, Best(net, 20), lr=lr, batch=256, epochs=4, optimizer=name)
        found[name] = run.metrics[-1]["moved"]
    assert found["sgd"][1] < 1e-12 and found["adam"][1] > 0.1
    x, moved = net.x, net.items.detach() - net.items_first
    assert found["adam"][0] == pytest.approx(
        ((x @ (net.map.detach() - net.map_first)).norm() / moved.norm()).item()
    )


def test_the_run_reports_the_law_by_the_function_of_the_derivation(monkeypatch):
    net = SumRows(SHOP, 8)
    with torch.no_grad():
        net.items += 0.25
        net.map *= 2
    seen = []
    monkeypatch.setattr(baselines, "displacement_law", lambda *states: seen.append(states) or 7.0)
    assert net.seen()["moved"][1] == 7.0
    states = net.items_first, net.items, net.map_first, net.map, net.x
    assert all(torch.equal(a, b.double()) for a, b in zip(seen[0], states, strict=True))


def test_targets_of_bm3_are_not_trained_and_its_loss_draws_from_its_generator():
    torch.manual_seed(0)
    net, pairs = BM3(SHOP, 8), torch.arange(20)
    a, b, c = (net.loss(pairs, pairs, pairs, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    assert a == b and a != c
    net.dropout = 0.0
    u, i = net.rows()
    cos = torch.nn.functional.cosine_similarity
    shown = {m: net.maps[m](x[pairs]) for m, x in net.x.items()}
    expected = (
        2
        - cos(net.predict(u[pairs]), i[pairs]).mean()
        - cos(net.predict(i[pairs]), u[pairs]).mean()
        + 0.1 * (u.norm() + i.norm()) / SHOP.items
    )
    expected += 2 * sum(
        2 - cos(net.predict(f), i[pairs]).mean() - cos(net.predict(f), f).mean() for f in shown.values()
    )
    assert net.loss(pairs, pairs, pairs, torch.Generator()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_linear_model_is_the_least_squares_one_without_its_diagonal():
    model, r = EASE(SHOP, reg=50.0), torch.zeros(SHOP.users, SHOP.items, dtype=torch.float64)
    r[SHOP.pairs(TRAIN)] = 1.0
    for i in range(0, SHOP.items, 17):
        others = [k for k in range(SHOP.items) if k != i]
        a, y = r[:, others], r[:, i]
        column = torch.linalg.solve(a.T @ a + 50 * torch.eye(len(others), dtype=torch.float64), a.T @ y)
        assert torch.allclose(model.b[others, i], column, atol=1e-9) and model.b[i, i].abs() < 1e-12
    assert torch.allclose(model.scores(torch.tensor([3, 1])), r[[3, 1]] @ model.b)


@pytest.mark.parametrize(
    "name,counts,popularity,ease",
    [
        (
            "baby_interactions",
            (118_551, 20_559, 21_682),
            (0.0295, 0.0505, 0.0157, 0.0210),
            (0.0568, 0.0798, 0.0332, 0.0392),
        ),
        (
            "ml_latest_small_5core",
            (72_434, 8_773, 9_067),
            (0.0796, 0.1222, 0.1087, 0.1160),
            (0.1818, 0.2697, 0.2238, 0.2440),
        ),
    ],
)
def test_bars_on_real_sets_have_known_values(name, counts, popularity, ease):
    shop = real(name)
    assert tuple(len(shop.pairs(p)[0]) for p in (TRAIN, VALID, TEST)) == counts
    n = np.bincount(shop.user)
    aside = np.where(n < 10, 2, n // 5)
    assert (np.bincount(shop.pairs(VALID)[0], minlength=shop.users) == aside // 2).all() and (
        np.bincount(shop.pairs(TEST)[0], minlength=shop.users) == aside - aside // 2
    ).all()
    for bar, known in ((Popularity, popularity), (EASE, ease)):
        found = evaluate(bar(shop).scores, shop, TEST)
        assert tuple(round(found[k], 4) for k in ("recall@10", "recall@20", "ndcg@10", "ndcg@20")) == known


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: SumRows(SHOP, scale=0.0), "scale=0.0: above 0"),
        (lambda: BM3(SHOP, dropout=1.0), "dropout=1.0"),
        (lambda: LIRDRecNet(SHOP, dim=3), "dim=3: at least 4"),
        *(
            (lambda make=make: make(named_like_torch()), "a name that torch uses itself")
            for make in (LIRDRecNet, VBPR, BM3)
        ),
    ],
)
def test_arguments_that_cannot_work_are_refused_in_words(call, words):
    with pytest.raises(UserError, match=words):
        call()


def named_like_torch():
    """A set whose features are called as a method of torch's containers."""
    return Interactions("x", [0, 0], [0, 1], [0, 0], {"items": np.eye(2)})
