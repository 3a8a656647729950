import pytest
import torch

from probe.models.efficientnet_lite import SameConv2d, efficientnet_lite0
from probe.models.packaged import _in_order


@pytest.mark.parametrize("size", [7, 8, 224])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_gives_the_ceiling(size, stride, kernel):
    convolution = SameConv2d(1, 1, kernel, stride)
    assert convolution(torch.zeros(1, 1, size, size + 1)).shape[2:] == (
        -(-size // stride),
        -(-(size + 1) // stride),
    )


def test_equals_timms_architecture_with_the_same_weights():
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = timm.create_model("tf_efficientnet_lite0").eval()
        for module in theirs.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
        x = torch.randn(1, 3, 224, 224)
    ours = efficientnet_lite0().eval()
    # Both hold the same tensors in the same order.
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def test_tensors_in_order_must_be_as_many(tmp_path):
    torch.save({"one": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="zip"):
        _in_order("efficientnet_lite0")((tmp_path / "x.pt").read_bytes())
