"""What is read off a matrix of accuracies."""

import torch

from papers_nb.adab2n.metrics import acc, accuracies, bwt, forgetting


def test_metrics_on_matrices_made_by_hand():
    a = [[90, 5], [60, 80]]
    assert (acc(a), bwt(a)) == (70, -30) and [forgetting(a, r) for r in ("official", "trained", "usual")] == [
        30,
        30,
        30,
    ]
    assert [forgetting([[50, 0], [60, 80]], r) for r in ("official", "trained", "usual")] == [0, 0, -10]
    logits = torch.eye(4)
    logits[2] = torch.tensor([1.0, 0, 0.5, 0])
    assert [r.tolist() for r in accuracies(logits, torch.arange(4), 2)] == [[100, 50], [100, 100]]
