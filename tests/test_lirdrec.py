"""LIRDRec: its parts against slow or trusted ways to the same numbers, and a training that is killed."""
import os

import numpy as np
import pytest
import scipy.fft
import torch
from breaking import Breaking, Killed

from papers_nb import lirdrec
from papers_nb.core.train import Stepper, generator
from papers_nb.errors import UserError
from papers_nb.lirdrec.baselines import BM3, EASE, FREEDOM, VBPR, FreeRows, Popularity, SumRows
from papers_nb.lirdrec.data import (
    TEST,
    TRAIN,
    VALID,
    Interactions,
    cold_items,
    read_interactions,
    strict_cold,
    synthetic,
)
from papers_nb.lirdrec.graph import ItemGraph, Propagation, nearest
from papers_nb.lirdrec.lirdrec import COPIES, Copying, LIRDRecNet, principal
from papers_nb.lirdrec.metrics import Best, by_degree, evaluate, judge, ranked, ranking, top_k
from papers_nb.lirdrec.sampling import Negatives
from papers_nb.lirdrec.train import fit
from papers_nb.lirdrec.transform import dct_matrix, transform

SHOP = synthetic(seed=1, users=200, items=120)


def test_propagation_is_powers_of_the_scaled_adjacency():
    user, item = SHOP.pairs(TRAIN)
    a = torch.zeros(SHOP.users + SHOP.items, SHOP.users + SHOP.items, dtype=torch.float64)
    a[user, item + SHOP.users] = a[item + SHOP.users, user] = 1
    d = (a.sum(1) + 1e-7).rsqrt()
    a = d[:, None] * a * d
    x = torch.randn(len(a), 3, dtype=torch.float64)
    expected = sum(torch.linalg.matrix_power(a, k) @ x for k in range(4))
    u, i = Propagation(user, item, SHOP.users, SHOP.items, layers=3)(*x.float().split([SHOP.users, SHOP.items]))
    assert torch.allclose(torch.cat([u, i]).double(), expected, atol=1e-4)
    u, i = Propagation(user, item, SHOP.users, SHOP.items, layers=3, mean=True)(*x.float().split([SHOP.users, SHOP.items]))
    assert torch.allclose(torch.cat([u, i]).double(), expected / 4, atol=1e-4)


def test_the_gradient_of_propagation_is_its_transpose():
    graph = Propagation(*SHOP.pairs(TRAIN), SHOP.users, SHOP.items, layers=2)
    x, y = torch.randn(SHOP.users + SHOP.items, 2, requires_grad=True), torch.randn(SHOP.users + SHOP.items, 2)
    torch.cat(graph(*x.split([SHOP.users, SHOP.items]))).mul(y).sum().backward()
    assert torch.allclose(x.grad, torch.cat(graph(*y.split([SHOP.users, SHOP.items]))), atol=1e-4), "the matrix is symmetric, so it is its own transpose"


def test_neighbours_are_those_of_largest_cosine_and_ties_go_to_the_smaller_id():
    x = torch.randn(40, 5)
    cosine = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=2)
    assert torch.equal(nearest(x, 4), cosine.argsort(dim=1, descending=True, stable=True)[:, :4])
    assert nearest(torch.ones(5, 2), 3).tolist() == [[0, 1, 2]] * 5
    rows = ItemGraph(SHOP.features, {"image": .3, "text": .7})(torch.ones(SHOP.items, 1))
    assert torch.allclose(rows, torch.ones(SHOP.items, 1), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7, 48])
def test_the_transform_is_the_orthonormal_dct(size):
    x = np.random.default_rng(0).standard_normal((5, size))
    assert np.allclose(x @ dct_matrix(size).T.numpy(), scipy.fft.dct(x, norm="ortho", axis=1), atol=1e-12)
    assert np.allclose(transform(torch.from_numpy(x), "2d"), scipy.fft.dctn(x, norm="ortho"), atol=1e-12)
    assert torch.allclose(dct_matrix(size) @ dct_matrix(size).T, torch.eye(size, dtype=torch.float64), atol=1e-12)


def test_the_weight_of_the_network_has_its_closed_form():
    copying = Copying(4, 3, 8, start=.95, base=.9)
    for epoch in range(1, 15):
        copying.start_epoch(epoch)
        assert copying.mix.item() == pytest.approx(1 / (1 + .05 / .95 * .9 ** (-epoch * (epoch + 1) / 2)), rel=1e-12)


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
    assert sum(p.numel() for p in net.parameters()) == 3 * SHOP.users * 16 + 3 * SHOP.users + sum(d * 32 + 32 + 32 * 16 for d in branches) + 3 * (16 * 4 + 4 + 4 + 1)


def test_new_items_are_scored_by_features_alone():
    cold = 3
    keep = SHOP.item != cold
    shop = Interactions("cold", SHOP.user[keep], SHOP.item[keep], np.zeros(keep.sum(), int), SHOP.features, SHOP.users, SHOP.items)
    net = LIRDRecNet(shop, dim=8, hidden=16).eval()
    i = net()[1]
    assert torch.isfinite(i[cold]).all() and i[cold].norm() > 0


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
            ndcgs.append(sum(h / np.log2(r + 2) for r, h in enumerate(hits)) / sum(1 / np.log2(r + 2) for r in range(min(20, len(want[u])))))
    for batch in (7, 1000):
        found = evaluate(lambda users: scores[users], SHOP, TEST, batch=batch)
        assert found["recall@20"] == pytest.approx(np.mean(recalls)) and found["ndcg@20"] == pytest.approx(np.mean(ndcgs))


def test_negatives_are_never_taken_and_come_evenly():
    user, item = (torch.from_numpy(a) for a in SHOP.pairs(TRAIN))
    taken, negatives = set(zip(user.tolist(), item.tolist())), Negatives(user, item)
    drawn = negatives.draw(user.repeat(20), generator(0, "negatives", 0))
    assert not taken & set(zip(user.repeat(20).tolist(), drawn.tolist())) and set(drawn.tolist()) <= set(item.tolist())
    free = [i for i in item.unique().tolist() if (0, i) not in taken]
    counts = torch.bincount(negatives.draw(torch.zeros(20_000, dtype=torch.int64), generator(0, "negatives", 1)), minlength=SHOP.items)[free].double()
    assert ((counts - 20_000 / len(free)).abs() < 5 * (20_000 / len(free))**.5).all()


def test_the_best_epoch_is_kept_and_patience_ends():
    net = torch.nn.Linear(1, 1)
    best = Best(net, patience=2)
    net.weight.data.fill_(1.)
    assert not best.update(.5)
    net.weight.data.fill_(2.)
    assert [best.update(v) for v in (.4, .5, .3)] == [False, False, True]
    assert best.weights["weight"].item() == 1.


MODELS = {"lirdrec": lambda: LIRDRecNet(SHOP, 8, 16), "with ids": lambda: LIRDRecNet(SHOP, 8, 16, items="both"), "ids alone": lambda: LIRDRecNet(SHOP, 8, 16, items="ids"),
          "logit": lambda: LIRDRecNet(SHOP, 8, 16, pwc="logit"), "thinned": lambda: LIRDRecNet(SHOP, 8, 16, drop=.3, pca=20), "lightgcn": lambda: FreeRows(SHOP, 8, 2), "bprmf": lambda: FreeRows(SHOP, 8),
          "vbpr": lambda: VBPR(SHOP, 8), "sum": lambda: SumRows(SHOP, 8), "freedom": lambda: FREEDOM(SHOP, 8, drop=.5), "bm3": lambda: BM3(SHOP, 8)}


@pytest.mark.parametrize("name", MODELS)
def test_every_recommender_learns_and_goes_on_bit_for_bit(name):
    def train(run):
        torch.manual_seed(0)
        net = MODELS[name]()
        before = judge(ranked(net, SHOP), *SHOP.pairs(VALID))["recall@20"]
        best = Best(net, 20)
        fit(run, net, SHOP, best, lr=.01, batch=256, epochs=12)
        return net, best, before
    alone, broken = Breaking(), Breaking(stop=31)
    net, best, before = train(alone)
    with pytest.raises(Killed):
        train(broken)
    again = Breaking(saved=broken.saved)
    resumed, best_again, _ = train(again)
    assert again.metrics == alone.metrics and all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), resumed.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(best.weights.values(), best_again.weights.values())) and best.value > 1.3 * before
    losses = [r["loss"] for r in alone.metrics]
    assert np.mean(losses[-5:]) < losses[0]


def test_a_training_stops_when_it_has_had_enough():
    torch.manual_seed(0)
    run, net = Stepper(0), FreeRows(SHOP, 8)
    fit(run, net, SHOP, Best(net, 1), lr=0., batch=1024, epochs=50)
    assert len([r for r in run.metrics if "recall" in r]) == 3, "the first epoch is the best, and two more are as good"


def test_a_thinned_graph_has_the_asked_pairs_scaled_by_its_own_degrees():
    user, item = SHOP.pairs(TRAIN)
    graph = Propagation(user, item, SHOP.users, SHOP.items, layers=1, drop=.8)
    graph.thin(generator(0, "graph", 1))
    r = graph.thinned[0].to_dense()
    kept = r.nonzero()
    assert len(kept) == int(len(user) * .2) and set(map(tuple, kept.tolist())) <= set(zip(user.tolist(), item.tolist()))
    du, di = (r > 0).sum(1), (r > 0).sum(0)
    assert torch.allclose(r[kept[:, 0], kept[:, 1]], (du[kept[:, 0]] * di[kept[:, 1]]).float().rsqrt(), atol=1e-5)
    ones = torch.ones(SHOP.users, 1), torch.ones(SHOP.items, 1)
    thin, full = graph(*ones), graph.eval()(*ones)
    assert not torch.allclose(thin[0], full[0]) and torch.equal(full[0], Propagation(user, item, SHOP.users, SHOP.items, layers=1)(*ones)[0])


def test_pairs_of_small_degree_survive_thinning_more_often():
    user, item = SHOP.pairs(TRAIN)
    graph, counts = Propagation(user, item, SHOP.users, SHOP.items, drop=.5), np.zeros((SHOP.users, SHOP.items))
    for k in range(200):
        graph.thin(generator(0, "graph", k))
        counts += (graph.thinned[0].to_dense() > 0).numpy()
    degree = np.bincount(user)[user] * np.bincount(item)[item]
    few, many = (counts[user[rows], item[rows]].mean() / 200 for rows in (degree <= np.quantile(degree, .2), degree >= np.quantile(degree, .8)))
    assert few > .6 and many < .4


def test_principal_directions_keep_inner_products_as_svd_does():
    x = torch.randn(40, 12) @ torch.randn(12, 12) + 5
    u, s, _ = torch.linalg.svd(x.double() - x.double().mean(0), full_matrices=False)
    for k in (3, 12):
        assert torch.allclose(principal(x.double(), k) @ principal(x.double(), k).T, (u[:, :k] * s[:k].square()) @ u[:, :k].T, atol=1e-8)
    with pytest.raises(UserError, match="1 to 12"):
        principal(x, 13)


def test_the_sum_of_rows_and_features_obeys_the_law_under_plain_descent_and_not_under_adam():
    found = {}
    for name, lr in (("sgd", 1.), ("adam", .01)):
        torch.manual_seed(0)
        net = SumRows(SHOP, 8, scale=1.).double()
        run = Breaking()
        fit(run, net, SHOP, Best(net, 20), lr=lr, batch=256, epochs=4, optimizer=name)
        found[name] = run.metrics[-1]["moved"]
    assert found["sgd"][1] < 1e-12 and found["adam"][1] > .1
    x, moved = net.x, net.items.detach() - net.items_first
    assert found["adam"][0] == pytest.approx(((x @ (net.map.detach() - net.map_first)).norm() / moved.norm()).item())


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


def test_targets_of_bm3_are_not_trained_and_its_loss_draws_from_its_generator():
    torch.manual_seed(0)
    net, pairs = BM3(SHOP, 8), torch.arange(20)
    a, b, c = (net.loss(pairs, pairs, pairs, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    assert a == b and a != c
    net.dropout = 0.
    u, i = net.rows()
    cos = torch.nn.functional.cosine_similarity
    shown = {m: net.maps[m](x[pairs]) for m, x in net.x.items()}
    expected = 2 - cos(net.predict(u[pairs]), i[pairs]).mean() - cos(net.predict(i[pairs]), u[pairs]).mean() + .1 * (u.norm() + i.norm()) / SHOP.items
    expected += 2 * sum(2 - cos(net.predict(f), i[pairs]).mean() - cos(net.predict(f), f).mean() for f in shown.values())
    assert net.loss(pairs, pairs, pairs, torch.Generator()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_strictly_cold_items_occur_in_the_test_part_alone_and_compete_among_themselves():
    shop = strict_cold(SHOP, .25, seed=3)
    cold = cold_items(shop)
    assert cold.sum() == round(.25 * SHOP.items) and not cold[shop.pairs(TRAIN)[1]].any() and not cold[shop.pairs(VALID)[1]].any()
    net = LIRDRecNet(shop, 8, 16)
    lists = ranked(net, shop, among=cold)
    assert cold[lists].all()
    user, item = (a[cold[shop.pairs(TEST)[1]]] for a in shop.pairs(TEST))
    u, i = net.eval()()
    s = (u @ i.T)[:, torch.from_numpy(cold)].argsort(dim=1, descending=True)[:, :20]
    best, want = np.flatnonzero(cold)[s], {}
    for a, b in zip(user, item):
        want.setdefault(a, set()).add(b)
    assert judge(lists, user, item)["recall@20"] == pytest.approx(np.mean([len(t & set(best[a])) / len(t) for a, t in want.items()]))
    for share in (0., 1e-9, .9999, 1., -1.):
        with pytest.raises(UserError, match=f"share={share}"):
            strict_cold(SHOP, share)


def test_groups_by_degree_cover_all_pairs_and_each_is_judged_alone():
    scores = torch.randn(SHOP.users, SHOP.items, generator=torch.Generator().manual_seed(0))
    lists = ranking(lambda users: scores[users], SHOP)
    found, degree = by_degree(lists, SHOP), np.bincount(SHOP.pairs(TRAIN)[0])
    user, item = SHOP.pairs(TEST)
    rows = (degree[user] >= 4) & (degree[user] <= 5)
    assert found["users 4 to 5"] == judge(lists, user[rows], item[rows], (20,))["recall@20"]
    low, high = min(v for k, v in found.items() if k.startswith("users")), max(v for k, v in found.items() if k.startswith("users"))
    assert low <= judge(lists, user, item, (20,))["recall@20"] <= high


def test_lists_too_short_for_a_measure_are_refused_and_whole_ones_are_not():
    lists = ranking(lambda users: torch.zeros(len(users), SHOP.items), SHOP, k=10)
    with pytest.raises(UserError, match=r"ks=\(20,\): the lists hold 10 items"):
        by_degree(lists, SHOP)
    tiny = Interactions("tiny", [0, 0, 1, 1], [0, 1, 1, 2], [TRAIN, TEST, TRAIN, TEST])
    assert evaluate(lambda users: torch.zeros(len(users), 3), tiny, TEST)["recall@20"] == 1.


def test_recommenders_that_draw_nothing_serve_who_took_everything():
    rng = np.random.default_rng(0)
    shop = Interactions("all", np.r_[np.zeros(6, int), np.repeat([1, 2, 3], 3)], np.r_[np.arange(6), [0, 1, 2, 2, 3, 4, 5, 0, 1]], np.r_[np.zeros(6, int), [0, 1, 2] * 3], {"text": rng.standard_normal((6, 4))})
    torch.manual_seed(0)
    net = BM3(shop, 8)
    fit(Stepper(0), net, shop, Best(net, 3), batch=4, epochs=2)
    with pytest.raises(UserError, match="took every item"):
        fit(Stepper(0), FreeRows(shop, 8), shop, Best(net, 3), batch=4, epochs=1)


@pytest.mark.parametrize("call,words", [
    (lambda: Interactions("x", [0], [0], [0], {"a": np.full((1, 2), 1e300)}), "not finite in 32 bits"), (lambda: read_interactions(SHOP, np.ones((3, 3))), "a mapping from names"),
    (lambda: Propagation([0, 1], [0, 1], 2, 2, drop=.9), "leaves none of the 2 pairs"), (lambda: Propagation([0], [0], 1, 1, drop=1.), "below 1"), (lambda: ItemGraph(SHOP.features, {"image": 3., "text": -2.}), "none negative"),
    (lambda: SumRows(SHOP, scale=0.), "scale=0.0: above 0"), (lambda: BM3(SHOP, dropout=1.), "dropout=1.0"), (lambda: nearest(torch.eye(3), 4), "k=4 neighbours"),
    *[(lambda make=make: make(Interactions("x", [0, 0], [0, 1], [0, 0], {"items": np.eye(2)})), "a name that torch uses itself") for make in (LIRDRecNet, VBPR, BM3)]])
def test_arguments_that_cannot_work_are_refused_in_words(call, words):
    with pytest.raises(UserError, match=words):
        call()


# ---- what an importer meets ----


def test_the_linear_model_is_the_least_squares_one_without_its_diagonal():
    model, r = EASE(SHOP, reg=50.), torch.zeros(SHOP.users, SHOP.items, dtype=torch.float64)
    r[SHOP.pairs(TRAIN)] = 1.
    for i in range(0, SHOP.items, 17):
        others = [k for k in range(SHOP.items) if k != i]
        a, y = r[:, others], r[:, i]
        column = torch.linalg.solve(a.T @ a + 50 * torch.eye(len(others), dtype=torch.float64), a.T @ y)
        assert torch.allclose(model.b[others, i], column, atol=1e-9) and model.b[i, i].abs() < 1e-12
    assert torch.allclose(model.scores(torch.tensor([3, 1])), r[[3, 1]] @ model.b)


def test_a_training_that_diverges_and_a_part_without_pairs_are_refused():
    with pytest.raises(UserError, match="no longer finite"):
        lirdrec.BPRMF(lr=1e30, epochs=3).fit(SHOP)
    with pytest.raises(UserError, match="no pairs in part 1"):
        lirdrec.BPRMF(epochs=1).fit({"user": [0, 0, 1, 1], "item": [0, 1, 1, 2], "part": [0, 0, 0, 0]})


@pytest.mark.parametrize("make", [lambda: lirdrec.LIRDRec(epochs=8, lr=.01, batch=256, dim=16, hidden=32), lambda: lirdrec.LightGCN(epochs=8, lr=.02, batch=256), lambda: lirdrec.BPRMF(epochs=40, lr=.02, batch=256),
    lambda: lirdrec.VBPR(epochs=8, lr=.01, batch=256), lambda: lirdrec.FREEDOM(epochs=8, lr=.01, batch=256), lambda: lirdrec.BM3(epochs=8, lr=.01, batch=256), lirdrec.ItemKNN, lirdrec.EASE, lirdrec.Popularity])
def test_every_recommender_learns_what_was_taken_and_never_repeats_it(make):
    model = make().fit(SHOP)
    user, item = (torch.from_numpy(a) for a in SHOP.pairs(TRAIN))
    scores, other = model.scores(range(SHOP.users)), Negatives(user, item).draw(user, generator(0, "negatives", 0))
    recall, order = evaluate(model.scores, SHOP, TEST)["recall@20"], (scores[user, item] > scores[user, other]).double().mean()
    assert recall > 1.3 * 20 / SHOP.items or order > .9, (recall, order)  # free rows alone learn these few pairs by heart
    lists = model.recommend(range(SHOP.users), k=10)
    taken = set(zip(*(a.tolist() for a in SHOP.pairs(TRAIN))))
    assert not taken & {(u, i) for u, row in enumerate(lists.tolist()) for i in row} and lists.shape == (SHOP.users, 10)
    with pytest.raises(UserError, match="items left to recommend"):
        model.recommend([0], k=SHOP.items)
    again = make().fit(SHOP).recommend(range(SHOP.users), k=10)
    assert torch.equal(lists, again)


# ---- from pictures to features ----

def item_folder(folder, rows, head="item,title,brand,category,description,image"):
    """A table of items with one picture."""
    from PIL import Image
    Image.new("RGB", (20, 10), "red").save(folder / "a.png")
    (folder / "items.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_items_are_read_with_their_words_and_pictures(tmp_path):
    from papers_nb.lirdrec.features import read_items
    items = read_items(item_folder(tmp_path, ['0,Cup,Acme,,"red, round",a.png', "1,Plate,,,,"]))
    assert [i.words for i in items] == ["Cup. Acme. red, round", "Plate"] and items[0].image().size == (20, 10) and items[1].picture is None


@pytest.mark.parametrize("rows,head,words", [
    (["0,Cup,,,,a.png", "2,Plate,,,,"], None, "row 3 is another"), (["0,Cup,,,,", "1,,,,,"], None, "item 1: neither words nor a picture"), ([], None, "no rows"), (["Cup"], "title", "no column item")])
def test_malformed_items_are_refused(tmp_path, rows, head, words):
    from papers_nb.lirdrec.features import read_items
    with pytest.raises(UserError, match=words):
        read_items(item_folder(tmp_path, rows, *([head] if head else [])))


def test_tables_of_other_programs_are_read_or_refused(tmp_path):
    from papers_nb.lirdrec.features import read_items
    item_folder(tmp_path, ["0,Tasse à thé,,,,"])
    table = tmp_path / "items.csv"
    table.write_text(table.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_items(tmp_path)[0].words == "Tasse à thé"
    table.write_text(table.read_text(encoding="utf-8-sig"), encoding="latin-1")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_items(tmp_path)


def test_a_picture_that_is_none_is_named(tmp_path, monkeypatch):
    from papers_nb.lirdrec import features
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    (tmp_path / "baby").mkdir()
    folder = item_folder(tmp_path / "baby", ["0,Cup,,,,a.png", "1,Plate,,,,b.png"])
    with pytest.raises(UserError, match=r"b\.png does not exist"):
        features.SETS["baby"].checksum()
    (folder / "b.png").write_bytes(b"no picture")
    before = features.SETS["baby"].checksum()
    with pytest.raises(UserError, match=r"b\.png cannot be read as a picture"):
        features.SETS["baby"].load()[1].image()
    (folder / "b.png").write_bytes(b"another")
    assert features.SETS["baby"].checksum() != before


def test_describing_goes_on_where_it_was_killed_and_asks_nothing_twice():
    from papers_nb.lirdrec.features import Item, Rows, fit, shapes
    items, asked = [*shapes()[:9], Item("no picture")], []

    def describe(pictures):
        asked.extend(p.getpixel((24, 24)) for p in pictures)
        return [f"colour {p.getpixel((24, 24))}" for p in pictures]

    def encode(texts):
        return torch.tensor([[float(len(t)), hash(t) % 97] for t in texts])
    whole = Rows()
    fit(Breaking(), items, describe, encode, whole, batch=3)
    first, broken = asked[:], Breaking(stop=2)
    asked.clear()
    with pytest.raises(Killed):
        fit(broken, items, describe, encode, Rows(), batch=3)
    rows = Rows()
    fit(Breaking(saved=broken.saved), items, describe, encode, rows, batch=3)
    with pytest.raises(UserError, match="begun with the models"):
        fit(Breaking(saved=broken.saved), items, describe, encode, Rows("others"), batch=3)
    assert rows.captions == whole.captions and torch.equal(rows.embeddings, whole.embeddings) and len(rows.captions) == 10 and rows.captions[-1] == ""
    assert len(first) == 9 and len(asked) <= 12, "at most the batch that was broken is asked again"


def test_tiny_models_are_loaded_as_real_ones_and_answer_alike_every_time(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    from papers_nb.lirdrec.features import Describer, Encoder, shapes, tiny_encoder, tiny_vision
    pictures = [i.image() for i in shapes()[:3]]
    describe, encode = Describer(tiny_vision(tmp_path / "vision"), prompt="a red circle", tokens=6), Encoder(tiny_encoder(tmp_path / "encoder"))
    assert encode.cut(["wood " * 600, "wood"]) == 1
    said = describe(pictures)
    other = Describer(tiny_vision(tmp_path / "right"), prompt="a red circle", tokens=6)
    assert describe.found == other.found != Describer(tiny_vision(tmp_path / "seed", seed=1)).found and other.processor.tokenizer.padding_side == "left"
    assert len(said) == 3 and said == describe(pictures) and said[:1] == describe(pictures[:1])
    rows = encode(["small red circle", "large green square", "wood"])
    assert rows.shape == (3, 24) and torch.allclose(rows.norm(dim=1), torch.ones(3), atol=1e-5) and rows.dtype == torch.float32
    with pytest.raises(UserError, match=r"vision='.*nowhere' cannot be loaded"):
        Describer(str(tmp_path / "nowhere"))


# ---- real sets, where the cache holds them ----

def real(name):
    """A real set as user, item and split, or a skipped test that says what is missing."""
    if not (folder := os.environ.get("PAPERS_NB_REAL")):
        pytest.skip(f"PAPERS_NB_REAL names no folder that holds {name}.npz")
    return read_interactions(f"{folder}/{name}.npz")


@pytest.mark.parametrize("name,counts,popularity,ease", [
    ("baby_interactions", (118_551, 20_559, 21_682), (.0295, .0505, .0157, .0210), (.0568, .0798, .0332, .0392)), ("ml_latest_small_5core", (72_434, 8_773, 9_067), (.0796, .1222, .1087, .1160), (.1818, .2697, .2238, .2440))])
def test_bars_on_real_sets_have_known_values(name, counts, popularity, ease):
    shop = real(name)
    assert tuple(len(shop.pairs(p)[0]) for p in (TRAIN, VALID, TEST)) == counts
    n = np.bincount(shop.user)
    aside = np.where(n < 10, 2, n // 5)
    assert (np.bincount(shop.pairs(VALID)[0], minlength=shop.users) == aside // 2).all() and (np.bincount(shop.pairs(TEST)[0], minlength=shop.users) == aside - aside // 2).all()
    for bar, known in ((Popularity, popularity), (EASE, ease)):
        found = evaluate(bar(shop).scores, shop, TEST)
        assert tuple(round(found[k], 4) for k in ("recall@10", "recall@20", "ndcg@10", "ndcg@20")) == known


def test_items_of_the_real_shop_are_drawn_far_more_evenly_than_they_are_taken():
    from papers_nb.lirdrec.speed import expected_negatives
    user, item = (torch.from_numpy(a) for a in real("baby_interactions").pairs(TRAIN))
    drawn, taken = expected_negatives(user, item), torch.bincount(item)
    seen = taken > 0
    assert round(drawn[seen].min().item(), 2) == 16.07 and round(drawn[seen].max().item(), 2) == 16.84 and taken[seen].median() == 8
    assert round((drawn > taken)[seen].double().mean().item(), 3) == .741
