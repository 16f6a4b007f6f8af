"""Pre-training and fine-tuning: what they minimise, in which order, and what is refused."""

import math

import pytest
import torch
from torch import nn

from papers_nb.errors import UserError
from papers_nb.krrst import DistilledSet, Source, Views, finetune, pretrain
from papers_nb.krrst.nets import Headed
from papers_nb.krrst.tuning import Finetuning, Pretraining

LINEAR = lambda: nn.Flatten()
X = torch.randn(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_pretraining_sees_every_pair_once_an_epoch():
    data = DistilledSet(X, torch.zeros(10, 2))
    seen, net = [], Headed(LINEAR(), 4, 2)
    net.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    training = Pretraining(net, data, epochs=2, batch=4)
    for step in range(training.steps):
        training.step(step)
    assert [len(x) for x in seen] == [4, 4, 2] * 2
    for part in (seen[:3], seen[3:]):
        assert sorted(torch.cat(part).sum((1, 2, 3)).tolist()) == sorted(X.sum((1, 2, 3)).tolist())


def test_a_linear_map_is_learnt_and_a_classifier_too():
    data = DistilledSet(X, X.flatten(1) @ torch.tensor([[1.0], [2.0], [0.0], [-1.0]]))
    net = pretrain(LINEAR(), data, epochs=300, batch=10, decay=0.0)
    assert (net(X) - data.y).abs().max() < 1e-2
    pixels = torch.randint(0, 256, (60, 1, 2, 2), dtype=torch.uint8)
    some, labels = Source(pixels, Views(0, False)), (pixels[:, 0, 0, 0] > 127).long()
    net = finetune(LINEAR(), some, labels, 2, steps=400, batch=60, lr=0.3)
    assert (net(some.plain()).argmax(1) == labels).float().mean() > 0.95


def test_fine_tuning_ends_at_a_learning_rate_near_zero():
    some = Source(torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8), Views(0, False))
    training, rates = Finetuning(Headed(LINEAR(), 4, 2), some, torch.arange(6) % 2, steps=8, lr=0.5), []
    for step in range(8):
        training.step(step)
        rates.append(training.opt.param_groups[0]["lr"])
    assert rates == pytest.approx([0.25 * (1 + math.cos(math.pi * k / 8)) for k in range(8)])


def test_cross_entropy_takes_the_largest_target_as_label():
    y = torch.tensor([[0.9, -0.1], [-0.1, 0.9]])
    net = Headed(LINEAR(), 4, 2)
    theirs = nn.functional.cross_entropy(net(X[:2]), torch.tensor([0, 1])).item()
    ours = Pretraining(net, DistilledSet(X[:2], y), 1, loss="cross-entropy").step(0)
    assert ours == pytest.approx(theirs)


def test_what_does_not_fit_is_named():
    with pytest.raises(UserError, match="loss='mae': one of mse, cross-entropy"):
        Pretraining(Headed(LINEAR(), 4, 2), DistilledSet(X, torch.zeros(10, 2)), loss="mae")
    with pytest.raises(UserError, match="2 labels for 3 images"):
        Finetuning(Headed(LINEAR(), 4, 2), Source(torch.zeros(3, 1, 2, 2)), torch.zeros(2).long())
    with pytest.raises(UserError, match="no longer finite"):
        pretrain(LINEAR(), DistilledSet(X, torch.ones(10, 2)), epochs=50, lr=1e6)
