"""Items that were not taken."""

import torch
from shops import SHOP

from papers_nb.core.train import generator
from papers_nb.lirdrec.data import TRAIN
from papers_nb.lirdrec.sampling import Negatives


def test_negatives_are_never_taken_and_come_evenly():
    user, item = (torch.from_numpy(a) for a in SHOP.pairs(TRAIN))
    taken, negatives = set(zip(user.tolist(), item.tolist())), Negatives(user, item)
    drawn = negatives.draw(user.repeat(20), generator(0, "negatives", 0))
    assert not taken & set(zip(user.repeat(20).tolist(), drawn.tolist())) and set(drawn.tolist()) <= set(
        item.tolist()
    )
    free = [i for i in item.unique().tolist() if (0, i) not in taken]
    counts = torch.bincount(
        negatives.draw(torch.zeros(20_000, dtype=torch.int64), generator(0, "negatives", 1)),
        minlength=SHOP.items,
    )[free].double()
    assert ((counts - 20_000 / len(free)).abs() < 5 * (20_000 / len(free)) ** 0.5).all()
