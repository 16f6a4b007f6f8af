"""The graphs of users and items, and of items alike: against dense powers and plain sorting."""

import numpy as np
import pytest
import torch
from shops import SHOP

from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TRAIN
from papers_nb.lirdrec.graph import ItemGraph, Propagation, nearest, usual_shares


def test_propagation_is_powers_of_the_scaled_adjacency():
    user, item = SHOP.pairs(TRAIN)
    a = torch.zeros(SHOP.users + SHOP.items, SHOP.users + SHOP.items, dtype=torch.float64)
    a[user, item + SHOP.users] = a[item + SHOP.users, user] = 1
    d = (a.sum(1) + 1e-7).rsqrt()
    a = d[:, None] * a * d
    x = torch.randn(len(a), 3, dtype=torch.float64)
    expected = sum(torch.linalg.matrix_power(a, k) @ x for k in range(4))
    u, i = Propagation(user, item, SHOP.users, SHOP.items, layers=3)(
        *x.float().split([SHOP.users, SHOP.items])
    )
    assert torch.allclose(torch.cat([u, i]).double(), expected, atol=1e-4)
    u, i = Propagation(user, item, SHOP.users, SHOP.items, layers=3, mean=True)(
        *x.float().split([SHOP.users, SHOP.items])
    )
    assert torch.allclose(torch.cat([u, i]).double(), expected / 4, atol=1e-4)


def test_the_gradient_of_propagation_is_its_transpose():
    graph = Propagation(*SHOP.pairs(TRAIN), SHOP.users, SHOP.items, layers=2)
    x, y = (
        torch.randn(SHOP.users + SHOP.items, 2, requires_grad=True),
        torch.randn(SHOP.users + SHOP.items, 2),
    )
    torch.cat(graph(*x.split([SHOP.users, SHOP.items]))).mul(y).sum().backward()
    assert torch.allclose(x.grad, torch.cat(graph(*y.split([SHOP.users, SHOP.items]))), atol=1e-4), (
        "the matrix is symmetric, so it is its own transpose"
    )


def test_a_thinned_graph_has_the_asked_pairs_scaled_by_its_own_degrees():
    user, item = SHOP.pairs(TRAIN)
    graph = Propagation(user, item, SHOP.users, SHOP.items, layers=1, drop=0.8)
    graph.thin(generator(0, "graph", 1))
    r = graph.thinned[0].to_dense()
    kept = r.nonzero()
    assert len(kept) == int(len(user) * 0.2) and set(map(tuple, kept.tolist())) <= set(
        zip(user.tolist(), item.tolist())
    )
    du, di = (r > 0).sum(1), (r > 0).sum(0)
    assert torch.allclose(
        r[kept[:, 0], kept[:, 1]], (du[kept[:, 0]] * di[kept[:, 1]]).float().rsqrt(), atol=1e-5
    )
    ones = torch.ones(SHOP.users, 1), torch.ones(SHOP.items, 1)
    thin, full = graph(*ones), graph.eval()(*ones)
    assert not torch.allclose(thin[0], full[0]) and torch.equal(
        full[0], Propagation(user, item, SHOP.users, SHOP.items, layers=1)(*ones)[0]
    )


def test_pairs_of_small_degree_survive_thinning_more_often():
    user, item = SHOP.pairs(TRAIN)
    graph, counts = (
        Propagation(user, item, SHOP.users, SHOP.items, drop=0.5),
        np.zeros((SHOP.users, SHOP.items)),
    )
    for k in range(200):
        graph.thin(generator(0, "graph", k))
        counts += (graph.thinned[0].to_dense() > 0).numpy()
    degree = np.bincount(user)[user] * np.bincount(item)[item]
    few, many = (
        counts[user[rows], item[rows]].mean() / 200
        for rows in (degree <= np.quantile(degree, 0.2), degree >= np.quantile(degree, 0.8))
    )
    assert few > 0.6 and many < 0.4


def test_neighbours_are_those_of_largest_cosine_and_ties_go_to_the_smaller_id():
    x = torch.randn(40, 5)
    cosine = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=2)
    assert torch.equal(nearest(x, 4), cosine.argsort(dim=1, descending=True, stable=True)[:, :4])
    assert nearest(torch.ones(5, 2), 3).tolist() == [[0, 1, 2]] * 5
    rows = ItemGraph(SHOP.features, {"image": 0.3, "text": 0.7})(torch.ones(SHOP.items, 1))
    assert torch.allclose(rows, torch.ones(SHOP.items, 1), atol=1e-6)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: Propagation([0, 1], [0, 1], 2, 2, drop=0.9), "leaves none of the 2 pairs"),
        (lambda: Propagation([0], [0], 1, 1, drop=1.0), "below 1"),
        (lambda: Propagation([0], [0], 1, 1, layers=-1), "layers=-1: at least 0"),
        (lambda: ItemGraph(SHOP.features, {"image": 3.0, "text": -2.0}), "none negative"),
        (lambda: ItemGraph(SHOP.features, {"image": 0.5, "text": 0.4}), "summing to one"),
        (lambda: ItemGraph(SHOP.features, {"image": 0.5, "sound": 0.5}), "one for each of image, text"),
        (lambda: nearest(torch.eye(3), 4), "k=4 neighbours"),
    ],
)
def test_graphs_that_cannot_be_are_refused_in_words(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_shares_of_the_modalities_are_usual_ones_unless_given():
    assert usual_shares({"text": 0}) == {"text": 1.0}
    assert usual_shares({"text": 0, "image": 0}) == {"text": 0.9, "image": 0.1}
    assert usual_shares({"sound": 0, "text": 0, "tags": 0}) == {"sound": 0.1, "text": 0.45, "tags": 0.45}
