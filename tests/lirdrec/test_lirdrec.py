"""The network without identities: its memory of weights, its sizes, what its items are made of."""

import numpy as np
import pytest
import torch
from shops import SHOP

from papers_nb.errors import UserError
from papers_nb.lirdrec import lirdrec
from papers_nb.lirdrec.data import Interactions
from papers_nb.lirdrec.lirdrec import COPIES, Copying, LIRDRecNet, principal


def test_the_weight_of_the_network_has_its_closed_form():
    copying = Copying(4, 3, 8, start=0.95, base=0.9)
    for epoch in range(1, 15):
        copying.start_epoch(epoch)
        assert copying.mix.item() == pytest.approx(
            1 / (1 + 0.05 / 0.95 * 0.9 ** (-epoch * (epoch + 1) / 2)), rel=1e-12
        )


def test_training_lowers_the_weight_by_the_function_of_the_derivation(monkeypatch):
    monkeypatch.setattr(lirdrec, "next_weight", lambda mix, epoch, base: epoch + 10 * mix + base / 10)
    copying = Copying(4, 3, 8, start=0.5, base=0.25)
    copying.start_epoch(3)
    assert copying.mix.item() == 8.025


@pytest.mark.parametrize("kind", COPIES)
def test_weights_of_the_branches_sum_to_one_and_are_copied(kind):
    torch.manual_seed(0)
    copying, rows = Copying(6, 3, 8, kind), [torch.randn(6, 8) for _ in range(3)]
    copying.start_epoch(1)
    first = copying(rows)
    assert torch.allclose(first.sum(1), torch.ones(6), atol=1e-6)
    copying.start_epoch(2)
    if kind in ("code", "convex"):
        assert torch.equal(copying.memory.data, first)
    if kind == "logit":
        assert torch.allclose(copying.memory.softmax(1), first, atol=1e-6)
    copying.memory.data += torch.randn(6, 3)  # as an optimiser moves it
    assert torch.allclose(copying(rows).sum(1), torch.ones(6), atol=1e-6)


def test_the_network_has_as_many_parameters_as_its_shapes_say():
    net = LIRDRecNet(SHOP, dim=16, hidden=32)
    branches = [128, 48, 176]
    assert sum(p.numel() for p in net.parameters()) == 3 * SHOP.users * 16 + 3 * SHOP.users + sum(
        d * 32 + 32 + 32 * 16 for d in branches
    ) + 3 * (16 * 4 + 4 + 4 + 1)


def test_new_items_are_scored_by_features_alone():
    cold = 3
    keep = SHOP.item != cold
    shop = Interactions(
        "cold",
        SHOP.user[keep],
        SHOP.item[keep],
        np.zeros(keep.sum(), int),
        SHOP.features,
        SHOP.users,
        SHOP.items,
    )
    net = LIRDRecNet(shop, dim=8, hidden=16).eval()
    i = net()[1]
    assert torch.isfinite(i[cold]).all() and i[cold].norm() > 0


def test_principal_directions_keep_inner_products_as_svd_does():
    x = torch.randn(40, 12) @ torch.randn(12, 12) + 5
    u, s, _ = torch.linalg.svd(x.double() - x.double().mean(0), full_matrices=False)
    for k in (3, 12):
        assert torch.allclose(
            principal(x.double(), k) @ principal(x.double(), k).T,
            (u[:, :k] * s[:k].square()) @ u[:, :k].T,
            atol=1e-8,
        )
    with pytest.raises(UserError, match="1 to 12"):
        principal(x, 13)


def test_free_rows_alone_see_no_features_and_features_alone_no_rows():
    for items, gone in (("ids", "encoders"), ("features", "ids")):
        net = LIRDRecNet(SHOP, 8, 16, items=items)
        assert not any(n.startswith(gone) for n, _ in net.named_parameters())
    net = LIRDRecNet(SHOP, 8, 16, items="ids", neighbours=0)
    before = net()[1]
    for m in net.branches:
        setattr(net, f"x_{m}", torch.randn_like(getattr(net, f"x_{m}")))
    assert torch.equal(before, net()[1])
    with pytest.raises(UserError, match="items='rows': one of features, ids, both"):
        LIRDRecNet(SHOP, 8, 16, items="rows")
