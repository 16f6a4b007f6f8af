"""Lists and measures against counting user by user; the best epoch."""

import numpy as np
import pytest
import torch
from shops import SHOP

from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TEST, TRAIN, VALID, Interactions, cold_items, strict_cold
from papers_nb.lirdrec.lirdrec import LIRDRecNet
from papers_nb.lirdrec.metrics import Best, by_degree, evaluate, judge, ranked, ranking, top_k


def test_best_items_are_in_order_with_ties_by_id():
    scores = torch.randint(0, 4, (50, 12), generator=torch.Generator().manual_seed(0)).float()
    expected = [sorted(range(12), key=lambda i, row=row: (-row[i], i))[:5] for row in scores.tolist()]
    assert top_k(scores, 5).tolist() == expected


def test_evaluation_agrees_with_counting_user_by_user():
    scores = torch.randn(SHOP.users, SHOP.items, generator=torch.Generator().manual_seed(0))
    seen, want = ({u: set() for u in range(SHOP.users)} for _ in range(2))
    for part, sets in ((TRAIN, seen), (TEST, want)):
        for u, i in zip(*SHOP.pairs(part)):
            sets[u].add(i)
    recalls, ndcgs = [], []
    for u in range(SHOP.users):
        if want[u]:
            ranking = [i for i in scores[u].argsort(descending=True).tolist() if i not in seen[u]][:20]
            hits = [i in want[u] for i in ranking]
            recalls.append(sum(hits) / len(want[u]))
            ndcgs.append(
                sum(h / np.log2(r + 2) for r, h in enumerate(hits))
                / sum(1 / np.log2(r + 2) for r in range(min(20, len(want[u]))))
            )
    for batch in (7, 1000):
        found = evaluate(lambda users: scores[users], SHOP, TEST, batch=batch)
        assert found["recall@20"] == pytest.approx(np.mean(recalls)) and found["ndcg@20"] == pytest.approx(
            np.mean(ndcgs)
        )


def test_strictly_cold_items_occur_in_the_test_part_alone_and_compete_among_themselves():
    shop = strict_cold(SHOP, 0.25, seed=3)
    cold = cold_items(shop)
    assert (
        cold.sum() == round(0.25 * SHOP.items)
        and not cold[shop.pairs(TRAIN)[1]].any()
        and not cold[shop.pairs(VALID)[1]].any()
    )
    net = LIRDRecNet(shop, 8, 16)
    lists = ranked(net, shop, among=cold)
    assert cold[lists].all()
    user, item = (a[cold[shop.pairs(TEST)[1]]] for a in shop.pairs(TEST))
    u, i = net.eval()()
    s = (u @ i.T)[:, torch.from_numpy(cold)].argsort(dim=1, descending=True)[:, :20]
    best, want = np.flatnonzero(cold)[s], {}
    for a, b in zip(user, item):
        want.setdefault(a, set()).add(b)
    assert judge(lists, user, item)["recall@20"] == pytest.approx(
        np.mean([len(t & set(best[a])) / len(t) for a, t in want.items()])
    )
    for share in (0.0, 1e-9, 0.9999, 1.0, -1.0):
        with pytest.raises(UserError, match=f"share={share}"):
            strict_cold(SHOP, share)


def test_groups_by_degree_cover_all_pairs_and_each_is_judged_alone():
    scores = torch.randn(SHOP.users, SHOP.items, generator=torch.Generator().manual_seed(0))
    lists = ranking(lambda users: scores[users], SHOP)
    found, degree = by_degree(lists, SHOP), np.bincount(SHOP.pairs(TRAIN)[0])
    user, item = SHOP.pairs(TEST)
    rows = (degree[user] >= 4) & (degree[user] <= 5)
    assert found["users 4 to 5"] == judge(lists, user[rows], item[rows], (20,))["recall@20"]
    low, high = (
        min(v for k, v in found.items() if k.startswith("users")),
        max(v for k, v in found.items() if k.startswith("users")),
    )
    assert low <= judge(lists, user, item, (20,))["recall@20"] <= high


def test_lists_too_short_for_a_measure_are_refused_and_whole_ones_are_not():
    lists = ranking(lambda users: torch.zeros(len(users), SHOP.items), SHOP, k=10)
    with pytest.raises(UserError, match=r"ks=\(20,\): the lists hold 10 items"):
        by_degree(lists, SHOP)
    tiny = Interactions("tiny", [0, 0, 1, 1], [0, 1, 1, 2], [TRAIN, TEST, TRAIN, TEST])
    assert evaluate(lambda users: torch.zeros(len(users), 3), tiny, TEST)["recall@20"] == 1.0


def test_the_best_epoch_is_kept_and_patience_ends():
    net = torch.nn.Linear(1, 1)
    best = Best(net, patience=2)
    net.weight.data.fill_(1.0)
    assert not best.update(0.5)
    net.weight.data.fill_(2.0)
    assert [best.update(v) for v in (0.4, 0.5, 0.3)] == [False, False, True]
    assert best.weights["weight"].item() == 1.0
