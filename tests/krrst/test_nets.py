"""Parameter counts of the official classes."""

import pytest
import torch

from papers_nb.krrst.nets import Headed, extractor, feature_width

COUNTS = {
    "convnet3": (32, 8192, 1_480_704, 5_675_520),
    "convnet4": (64, 8192, 1_552_896, 5_747_712),
    "convnet5": (224, 25_088, 1_570_560, 14_416_128),
    "vgg11": (64, 2048, 9_225_984, 10_275_072),
    "alexnet": (64, 12_288, 1_843_392, 8_135_360),
    "mobilenet": (64, 1280, 1_079_504, 1_735_376),
    "resnet10": (64, 512, 4_898_112, 5_160_768),
    "resnet18": (32, 512, 11_168_832, 11_431_488),
}


@pytest.mark.parametrize("name", COUNTS)
def test_networks_have_as_many_parameters_as_the_official_ones(name):
    side, width, backbone, whole = COUNTS[name]
    net = extractor(name, 3, side)
    count = lambda m: sum(p.numel() for p in m.parameters())
    assert feature_width(net, torch.zeros(1, 3, side, side)) == width
    assert (count(net), count(Headed(net, width, 512))) == (backbone, whole)


def test_a_resnet_starts_as_its_shortcuts_with_a_stem_that_sees_the_border():
    net = extractor("resnet10", 3, 32).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    stem = net[:3](x)
    assert stem.shape == (2, 64, 34, 34)
    block = net[3].eval()
    torch.testing.assert_close(block(stem), stem)  # the last batch norm is zero, and stem is not negative


def test_a_mobilenet_convolves_every_channel_by_itself():
    convs = [m for m in extractor("mobilenet", 3, 32).modules() if isinstance(m, torch.nn.Conv2d)]
    wide = [m for m in convs[1:] if m.kernel_size == (3, 3)]
    assert len(wide) == 17 and all(m.groups == m.in_channels for m in wide)
