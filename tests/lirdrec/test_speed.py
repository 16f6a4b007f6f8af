"""How often an item is drawn, on a real set."""

import torch
from shops import real

from papers_nb.lirdrec.data import TRAIN
from papers_nb.lirdrec.speed import expected_negatives


def test_items_of_the_real_shop_are_drawn_far_more_evenly_than_they_are_taken():
    user, item = (torch.from_numpy(a) for a in real("baby_interactions").pairs(TRAIN))
    drawn, taken = expected_negatives(user, item), torch.bincount(item)
    seen = taken > 0
    assert (
        round(drawn[seen].min().item(), 2) == 16.07
        and round(drawn[seen].max().item(), 2) == 16.84
        and taken[seen].median() == 8
    )
    assert round((drawn > taken)[seen].double().mean().item(), 3) == 0.741
