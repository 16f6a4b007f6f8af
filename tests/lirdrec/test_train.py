"""The training: every recommender learns and goes on after a kill, and what is asked is within bounds."""

import numpy as np
import pytest
import torch
from breaking import Breaking, Killed
from shops import SHOP

from papers_nb.core.train import Stepper
from papers_nb.errors import UserError
from papers_nb.lirdrec.baselines import BM3, FreeRows
from papers_nb.lirdrec.data import VALID, Interactions
from papers_nb.lirdrec.metrics import Best, judge, ranked
from papers_nb.lirdrec.recommenders import MODELS
from papers_nb.lirdrec.train import fit
from papers_nb.parameters import check, parameters

SMALL = {"dim": 8, "hidden": 16}
VARIANTS = {
    "with ids": ("lirdrec", {"items": "both"}),
    "ids alone": ("lirdrec", {"items": "ids"}),
    "logit": ("lirdrec", {"pwc": "logit"}),
    "thinned": ("lirdrec", {"drop": 0.3, "pca": 20}),
    "freedom, half of the pairs": ("freedom", {"drop": 0.5}),
}


def untrained(model, **options):
    """The network of a recommender by its name, small where it takes a size."""
    kind = MODELS[model]
    return kind(**{k: v for k, v in SMALL.items() if k in kind.takes}, **options).net(SHOP)


@pytest.mark.parametrize("model,options", [*((m, {}) for m in MODELS), *VARIANTS.values()])
def test_every_recommender_learns_and_goes_on_bit_for_bit(model, options):
    def train(run):
        torch.manual_seed(0)
        net = untrained(model, **options)
        before = judge(ranked(net, SHOP), *SHOP.pairs(VALID))["recall@20"]
        best = Best(net, 20)
        fit(run, net, SHOP, best, lr=0.01, batch=256, epochs=12)
        return net, best, before

    alone, broken = Breaking(), Breaking(stop=31)
    net, best, before = train(alone)
    with pytest.raises(Killed):
        train(broken)
    again = Breaking(saved=broken.saved)
    resumed, best_again, _ = train(again)
    assert again.metrics == alone.metrics
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), resumed.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(best.weights.values(), best_again.weights.values()))
    assert best.value > 1.3 * before
    losses = [r["loss"] for r in alone.metrics]
    assert np.mean(losses[-5:]) < losses[0]


def test_a_training_stops_when_it_has_had_enough():
    torch.manual_seed(0)
    run, net = Stepper(0), FreeRows(SHOP, 8)
    fit(run, net, SHOP, Best(net, 1), lr=0.0, batch=1024, epochs=50)
    assert len([r for r in run.metrics if "recall" in r]) == 3, (
        "the first epoch is the best, and two more are as good"
    )


def test_recommenders_that_draw_nothing_serve_who_took_everything():
    rng = np.random.default_rng(0)
    shop = Interactions(
        "all",
        np.r_[np.zeros(6, int), np.repeat([1, 2, 3], 3)],
        np.r_[np.arange(6), [0, 1, 2, 2, 3, 4, 5, 0, 1]],
        np.r_[np.zeros(6, int), [0, 1, 2] * 3],
        {"text": rng.standard_normal((6, 4))},
    )
    torch.manual_seed(0)
    net = BM3(shop, 8)
    fit(Stepper(0), net, shop, Best(net, 3), batch=4, epochs=2)
    with pytest.raises(UserError, match="took every item"):
        fit(Stepper(0), FreeRows(shop, 8), shop, Best(net, 3), batch=4, epochs=1)


GENERAL = (
    "data hidden_taste cold model optimizer lr batch epochs patience seed device threads save_every fresh"
)


def test_what_recommenders_take_are_the_parameters_of_the_training():
    known = parameters("lirdrec/train")
    taken = {name for kind in MODELS.values() for name in kind.takes}
    assert taken | set(GENERAL.split()) == set(known) and not taken & set(GENERAL.split())


def outside(bound):
    """A value that is just beyond a bound."""
    word, _, limit = bound.partition(" ")
    return {"≥": lambda: float(limit) - 1, "≤": lambda: float(limit) + 1, "in": lambda: "nothing"}.get(
        word, lambda: float(limit)
    )()


@pytest.mark.parametrize("notebook", ["lirdrec/train", "lirdrec/features"])
def test_numbers_and_names_out_of_bounds_are_refused_before_anything_starts(notebook):
    known = parameters(notebook)
    numbers = [p for p in known.values() if type(p.default) in (int, float)]
    assert numbers and all(p.bounds for p in numbers)
    for parameter in known.values():
        for bound in parameter.bounds:
            value = outside(bound)
            with pytest.raises(UserError, match=f"parameter {parameter.name}={value!r} does not fit"):
                check(notebook, {parameter.name: value})


@pytest.mark.filterwarnings("ignore:Initializing zero-element")  # the tiniest networks of the weights
@pytest.mark.parametrize("model", MODELS)
def test_the_smallest_values_within_bounds_make_a_network(model):
    kind = MODELS[model]
    least = {"dim": 4, "hidden": 1, "layers": 0, "pca": 1, "reg": 0.0, "image_weight": 0.0}
    check("lirdrec/train", {"model": model, **least})
    torch.manual_seed(0)
    net = kind(**{k: v for k, v in least.items() if k in kind.takes}).net(SHOP)
    pairs = torch.arange(20)
    loss = net.loss(pairs, pairs, pairs + 1, torch.Generator().manual_seed(0))
    assert torch.isfinite(loss) and all(torch.isfinite(rows).all() for rows in net.eval()())
