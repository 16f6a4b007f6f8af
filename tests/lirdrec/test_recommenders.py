"""Recommenders that are fitted and asked, each by its name."""

from functools import partial

import pytest
import torch
from shops import SHOP

from papers_nb import lirdrec
from papers_nb.core.train import generator
from papers_nb.errors import UserError
from papers_nb.lirdrec.data import TEST, TRAIN, Interactions
from papers_nb.lirdrec.metrics import evaluate
from papers_nb.lirdrec.recommenders import EASE, MODELS, ItemKNN, LIRDRec, Popularity
from papers_nb.lirdrec.sampling import Negatives
from papers_nb.parameters import check


def test_the_names_of_the_registry_are_the_choices_of_the_training():
    for model in MODELS:
        assert check("lirdrec/train", {"model": model})["model"] == model
    with pytest.raises(UserError, match=f"one of {', '.join(MODELS)} is expected"):
        check("lirdrec/train", {"model": "nothing"})


@pytest.mark.parametrize("model", MODELS)
def test_a_network_takes_what_its_class_says_and_nothing_else(model):
    kind, defaults = MODELS[model], check("lirdrec/train", {})
    net = kind(**{name: defaults[name] for name in kind.takes}).net(SHOP)
    assert net.eval()()[0].shape[0] == SHOP.users
    with pytest.raises(TypeError, match="nothing"):
        kind(nothing=1).net(SHOP)


def test_the_share_of_images_is_that_of_the_graph_where_there_are_texts_too():
    def graph(shop, **options):
        return LIRDRec(dim=8, hidden=8, **options).net(shop).alike.s.to_dense()

    mixed = graph(SHOP, image_weight=0.3)
    assert torch.equal(mixed, graph(SHOP, shares={"image": 0.3, "text": 1 - 0.3}))
    assert not torch.equal(mixed, graph(SHOP))
    sounds = Interactions("x", SHOP.user, SHOP.item, SHOP.part, {"sound": SHOP.features["text"]})
    assert torch.equal(graph(sounds, image_weight=0.3), graph(sounds))


def test_a_training_that_diverges_and_a_part_without_pairs_are_refused():
    with pytest.raises(UserError, match="no longer finite"):
        lirdrec.BPRMF(lr=1e30, epochs=3).fit(SHOP)
    with pytest.raises(UserError, match="no pairs in part 1"):
        lirdrec.BPRMF(epochs=1).fit({"user": [0, 0, 1, 1], "item": [0, 1, 1, 2], "part": [0, 0, 0, 0]})


FAST = {"lr": 0.01, "batch": 256, "epochs": 20, "dim": 32}
MADE = {model: partial(kind, **FAST) for model, kind in MODELS.items()}
MADE |= {"item-knn": ItemKNN, "ease": EASE, "popularity": Popularity}


@pytest.mark.parametrize("name", MADE)
def test_every_recommender_learns_what_was_taken_and_never_repeats_it(name):
    make = MADE[name]
    model = make().fit(SHOP)
    user, item = (torch.from_numpy(a) for a in SHOP.pairs(TRAIN))
    other = Negatives(user, item).draw(user, generator(0, "negatives", 0))
    scores = model.scores(range(SHOP.users))
    assert not scores.requires_grad
    recall = evaluate(model.scores, SHOP, TEST)["recall@20"]
    order = (scores[user, item] > scores[user, other]).double().mean()
    # free rows alone learn these few pairs by heart
    assert recall > 1.3 * 20 / SHOP.items or order > 0.9, (recall, order)
    lists = model.recommend(range(SHOP.users), k=10)
    assert lists.shape == (SHOP.users, 10)
    taken = set(zip(*(a.tolist() for a in SHOP.pairs(TRAIN))))
    assert not taken & {(u, i) for u, row in enumerate(lists.tolist()) for i in row}
    with pytest.raises(UserError, match="items left to recommend"):
        model.recommend([0], k=SHOP.items)
    again = make().fit(SHOP).recommend(range(SHOP.users), k=10)
    assert torch.equal(lists, again)
