import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import get_model_weights

from probe.errors import ProbeError
from probe.models.preprocessing import Preprocessing, for_network
from probe.models.weights import official


def picture(width, height, seed=0):
    noise = np.random.default_rng(seed).integers(
        0, 256, (height // 4, width // 4, 3), dtype=np.uint8
    )
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


ONE_OF_EACH = {
    (w.transforms().crop_size[0], w.transforms().resize_size[0], w.transforms().interpolation): name
    for name in torchvision.models.list_models(module=torchvision.models)
    for w in [official(name)]
}


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
@pytest.mark.parametrize("size", [(500, 375), (333, 517), (256, 256)])
def test_equals_torchvisions_transforms(name, size):
    ours = for_network(name, "torchvision")(picture(*size))
    theirs = official(name).transforms()(picture(*size))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_picture_smaller_than_the_crop():
    ours = Preprocessing("torchvision", 20, (24, 24))
    theirs = torchvision.transforms._presets.ImageClassification(crop_size=24, resize_size=20)
    torch.testing.assert_close(ours(picture(40, 60)), theirs(picture(40, 60)), atol=1e-6, rtol=0)


def test_resize_keeps_the_whole_picture():
    ours = for_network("alexnet")
    assert (ours.name, ours.resize, ours.crop, ours.size) == (
        "resize",
        (224, 224),
        None,
        (224, 224),
    )
    image = picture(500, 300)
    resized = image.resize((224, 224), Image.Resampling.BILINEAR)
    expected = np.asarray(resized, dtype=np.float64).transpose(2, 0, 1) / 255
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (ours.mean, ours.std))
    np.testing.assert_allclose(ours(image).numpy(), (expected - mean) / std, atol=1e-6)


def test_sizes_and_filters_follow_the_weights():
    assert for_network("inception_v3").size == (299, 299)
    assert for_network("vit_h_14").size == (518, 518)
    assert for_network("efficientnet_b0").interpolation == "bicubic"
    lite = for_network("efficientnet_lite0")
    assert (lite.mean[0], lite.std[0], lite.interpolation) == (127 / 255, 128 / 255, "bicubic")


def test_says_what_it_does():
    assert for_network("alexnet").describe() == (
        "resized to 224×224 px (bilinear), no crop, mean 0.485, 0.456, 0.406, "
        "deviation 0.229, 0.224, 0.225"
    )
    assert (
        "shorter side resized to 256 px (bilinear), centre 224×224 kept"
        in for_network("alexnet", "torchvision").describe()
    )


def test_key_tells_all_apart():
    every = [for_network("alexnet"), for_network("alexnet", "torchvision")]
    every += [for_network("efficientnet_b0"), Preprocessing("resize", (225, 224))]
    every += [Preprocessing("resize", (224, 224), mean=(0.5, 0.5, 0.5))]
    assert len({one.key() for one in every}) == len(every)
    assert for_network("vgg16").key() == for_network("alexnet").key()


def test_bad_input():
    with pytest.raises(ProbeError, match="'resiz'; did you mean 'resize'"):
        for_network("alexnet", "resiz")
    with pytest.raises(ProbeError, match="RGB picture, not L"):
        for_network("alexnet")(Image.new("L", (9, 9)))
    with pytest.raises(ProbeError, match="interpolation 'bilinea'"):
        Preprocessing("resize", (9, 9), interpolation="bilinea")


def test_timm():
    timm = pytest.importorskip("timm")
    ours = for_network("timm:tf_efficientnet_lite0", "torchvision")
    config = timm.data.resolve_model_data_config(timm.create_model("tf_efficientnet_lite0"))
    theirs = timm.data.create_transform(**config, is_training=False)
    for size in ((500, 375), (333, 517)):
        torch.testing.assert_close(ours(picture(*size)), theirs(picture(*size)), atol=1e-6, rtol=0)


def test_weights_are_the_first_on_imagenet():
    assert official("resnet50") is get_model_weights("resnet50").IMAGENET1K_V1
    assert official("vit_h_14") is get_model_weights("vit_h_14").DEFAULT
