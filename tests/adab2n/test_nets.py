"""Norms by name and the networks that take them."""

import pytest
import torch
from torch import nn

from papers_nb import parameters
from papers_nb.adab2n.layer import AdaB2N
from papers_nb.adab2n.nets import NETS, NORMS, Norm, norm_layer, resnet18
from papers_nb.errors import UserError


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("net", NETS)
def test_every_norm_fits_every_net(net, name):
    made = NETS[net](3, 10, norm_layer(name, 5), 32)
    y = made(torch.randn(4, 3, 32, 32))
    y.square().sum().backward()
    assert y.shape == (4, 10) and all(
        p.grad is None or torch.isfinite(p.grad).all() for p in made.parameters()
    )


def test_resnet18_is_as_large_as_the_official_one():
    net = resnet18(3, 10, norm_layer("bn-joint", 5))
    assert sum(p.numel() for p in net.parameters()) == 11_173_962
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 20


def test_options_reach_the_layer_and_uniform_mixes_equal_weights_in():
    made = norm_layer("uniform", 7, kappa=0.4, regulariser="scale-free")(16, 8)
    assert isinstance(made, AdaB2N) and (made.tasks, made.kappa, made.uniform_mix) == (7, 0.4, 1.0)
    assert made.regulariser == "scale-free" and norm_layer("adab2n", 7)(16, 8).uniform_mix == 0


@pytest.mark.parametrize("name", ["gn", "cn-separate"])
@pytest.mark.parametrize("groups", [7, 0, 32])
def test_groups_that_do_not_divide_the_channels_are_refused(name, groups):
    with pytest.raises(UserError, match=f"^groups={groups}: must divide the 16 channels$"):
        norm_layer(name, 5, groups)(16, 8)


def test_an_unknown_norm_is_refused_with_the_names():
    with pytest.raises(UserError, match=r"^norm='bn': one of bn-separate, bn-joint, .*uniform$"):
        norm_layer("bn", 5)


def test_only_separate_norms_see_each_batch_alone():
    assert [name for name, norm in NORMS.items() if norm.separate] == ["bn-separate", "cn-separate"]


def test_a_new_norm_is_one_entry(monkeypatch):
    monkeypatch.setitem(NORMS, "none", Norm(lambda c, **_: nn.Identity()))
    assert isinstance(NETS["small"](1, 10, norm_layer("none", 5))[1], nn.Identity)


def test_the_training_offers_what_is_registered():
    assert parameters.registry("adab2n.nets.NORMS") == list(NORMS)
    assert parameters.registry("adab2n.nets.NETS") == list(NETS)
