import pytest

from probe.errors import ProbeError
from probe.models import layers, load


def test_sizes_are_the_papers():
    """Figure 3 of Zeiler & Fergus 2014."""
    sizes = {info.alias: info.output_shape for info in layers("zfnet") if info.alias}
    assert sizes == {
        "conv1": (96, 110, 110), "relu1": (96, 110, 110), "pool1": (96, 55, 55),
        "norm1": (96, 55, 55), "conv2": (256, 26, 26), "relu2": (256, 26, 26),
        "pool2": (256, 13, 13), "norm2": (256, 13, 13), "conv3": (384, 13, 13),
        "relu3": (384, 13, 13), "conv4": (384, 13, 13), "relu4": (384, 13, 13),
        "conv5": (256, 13, 13), "relu5": (256, 13, 13), "pool5": (256, 6, 6),
        "fc6": (4096,), "relu6": (4096,), "fc7": (4096,), "relu7": (4096,), "fc8": (1000,),
    }  # fmt: skip


def test_no_weights_can_be_had():
    with pytest.raises(ProbeError, match=r"give --weights FILE, or --weights random") as caught:
        load("zfnet")
    assert "\n" not in str(caught.value)
