"""Parameter counts of the official classes."""

import pytest
import torch

from papers_nb.krrst.nets import Headed, extractor, feature_width

COUNTS = {
    "convnet3": (32, 8192, 1_480_704, 5_675_520),
    "convnet4": (64, 8192, 1_552_896, 5_747_712),
    "convnet5": (224, 25_088, 1_570_560, 14_416_128),
}


@pytest.mark.parametrize("name", COUNTS)
def test_networks_have_as_many_parameters_as_the_official_ones(name):
    side, width, backbone, whole = COUNTS[name]
    net = extractor(name, 3, side)
    count = lambda m: sum(p.numel() for p in m.parameters())
    assert feature_width(net, torch.zeros(1, 3, side, side)) == width
    assert (count(net), count(Headed(net, width, 512))) == (backbone, whole)
