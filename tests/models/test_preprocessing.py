import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import get_model_weights

from probe.errors import ProbeError
from probe.models.architectures import official
from probe.models.preprocessing import Preprocessing, for_network


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


class TestTimm:
    """What timm's weights want is what timm's own transforms do."""

    # Ordinary ones, and of each way of cropping; mean 0.5, 0 and CLIP's; a picture that is not
    # square; a crop larger than what is resized to.
    KINDS = (
        "resnet18.tv_in1k", "inception_v3.tf_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        "vit_base_patch32_clip_224.openai", "mixnet_s.ft_in1k", "dm_nfnet_f0.dm_in1k",
        "tf_efficientnetv2_b3.in21k_ft_in1k", "coat_lite_medium_384.in1k",
        "deepseek_vit_412m.deepseek_v4_1_flash", "volo_d4_448.sail_in1k",
        "vit_base_patch16_sapiens2.fb", "tf_efficientnet_b0.ap_in1k",
    )  # fmt: skip

    def check(self, names, sizes):
        timm = pytest.importorskip("timm")
        compared = {}
        for name in names:
            config = timm.data.resolve_data_config(
                pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()
            )
            ours = for_network(f"timm:{name}", "torchvision")
            kind = (ours.key(), tuple(map(str, config.values())))
            if kind not in compared:
                theirs = timm.data.create_transform(**config)
                compared[kind] = [
                    size
                    for size in sizes
                    if not torch.allclose(ours(picture(*size)), theirs(picture(*size)), atol=1e-5)
                ]
            assert not compared[kind], (name, config)
        return compared

    def test_equals_timms_transforms(self):
        timm = pytest.importorskip("timm")
        names = [name for name in self.KINDS if timm.is_model_pretrained(name)]
        compared = self.check(names, [(450, 300), (301, 453)])
        fits = {json.loads(key).get("fit", "squash") for key, _ in compared}
        assert fits == {"squash", "border"}
        assert len(compared) >= 8

    def test_inputs_that_are_not_square(self):
        timm = pytest.importorskip("timm")
        from timm.data import create_transform

        for mode, percent in (("center", 0.9), ("center", 1.15), ("squash", 0.8), ("border", 0.9)):
            module = timm.create_model("resnet10t")
            module.pretrained_cfg = {
                **module.pretrained_cfg, "input_size": (3, 96, 160),
                "crop_mode": mode, "crop_pct": percent,
            }  # fmt: skip
            ours = for_network("timm:resnet10t", "torchvision", module)
            theirs = create_transform(**timm.data.resolve_model_data_config(module))
            for size in [(450, 300), (301, 453), (64, 64)]:
                torch.testing.assert_close(
                    ours(picture(*size)), theirs(picture(*size)), atol=1e-5, rtol=0
                )

    @pytest.mark.slow
    def test_equals_timms_transforms_for_all_weights(self):
        timm = pytest.importorskip("timm")
        assert len(self.check(timm.list_pretrained(), [(450, 300), (301, 453)])) > 100

    def test_a_network_that_is_built_wants_the_same(self):
        timm = pytest.importorskip("timm")
        for name in ("resnet10t.c3_in1k", "resnet10t", "tf_efficientnetv2_b0.in1k"):
            built = timm.create_model(name)
            assert for_network(f"timm:{name}", "torchvision", built) == for_network(
                f"timm:{name}", "torchvision"
            )

    def test_two_sets_of_transforms_of_the_same_weights(self):
        pytest.importorskip("timm")
        differs = for_network("timm:densenet121.tv_in1k", "torchvision")
        assert "(bicubic), centre" in differs.describe()
        assert "; as timm has it; torchvision, for the same weights: shorter" in differs.describe()
        assert differs.source.endswith(for_network("densenet121", "torchvision").describe())
        same = for_network("timm:vgg11.tv_in1k", "torchvision")
        assert (same.source, same) == ("", for_network("vgg11", "torchvision"))
        # Inception's file has another hash at torchvision, and a resize of one pixel more.
        assert "resized to 342 px" in for_network("timm:inception_v3.tv_in1k", "torchvision").source
        assert "(bilinear), no crop" in for_network("timm:inception_v3.tv_in1k").source
        assert for_network("timm:resnet10t").source == ""

    def test_filters_that_are_drawn_by_lot_are_refused(self, monkeypatch):
        timm = pytest.importorskip("timm")
        module = timm.create_model("resnet10t")
        module.pretrained_cfg = {**module.pretrained_cfg, "interpolation": "random"}
        with pytest.raises(ProbeError, match="unknown interpolation 'random'"):
            for_network("timm:resnet10t", "torchvision", module)


def by_cover_and_border():
    return Preprocessing("a", (40, 30), (40, 30), fit="cover"), Preprocessing(
        "b", (40, 30), (40, 30), mean=(0.2, 0.4, 0.6), fit="border"
    )


def test_cover_and_border_keep_proportions():
    cover, border = by_cover_and_border()
    assert cover.resized((90, 60)) == (60, 40)
    assert border.resized((90, 60)) == (30, 20)
    inputs = border(Image.new("RGB", (90, 60), "white"))
    assert torch.equal(inputs[:, 9], inputs[:, 30])  # above and below: the mean, which is zero
    assert inputs[:, 9].abs().max() < 0.01
    white = (1 - torch.tensor(border.mean)) / torch.tensor(border.std)
    assert torch.allclose(inputs[:, 10, 0], white, atol=1e-5)
    assert (cover.size, border.size) == ((40, 30), (40, 30))
    assert "resized to cover 40×30 px" in cover.describe()
    assert "centre 40×30 kept, the mean around it" in border.describe()


def test_a_crop_with_an_odd_number_of_pixels_outside_the_picture():
    ours = Preprocessing("torchvision", 21, (24, 24))
    theirs = torchvision.transforms._presets.ImageClassification(crop_size=24, resize_size=21)
    torch.testing.assert_close(ours(picture(40, 60)), theirs(picture(40, 60)), atol=1e-6, rtol=0)


def test_keys_are_what_they_were():
    assert for_network("alexnet").key() == (
        '{"crop": null, "interpolation": "bilinear", "mean": [0.485, 0.456, 0.406], '
        '"name": "resize", "resize": [224, 224], "std": [0.229, 0.224, 0.225]}'
    )
    cover, border = by_cover_and_border()
    assert json.loads(cover.key())["fit"] == "cover"
    assert cover.key() != border.key() != Preprocessing("b", (40, 30), (40, 30)).key()


def test_bad_input():
    with pytest.raises(ProbeError, match="unknown fit 'boarder'; did you mean 'border'"):
        Preprocessing("x", (9, 9), (9, 9), fit="boarder")
    with pytest.raises(ProbeError, match="fit 'cover' needs a height and a width"):
        Preprocessing("x", 9, (9, 9), fit="cover")
    with pytest.raises(ProbeError, match="'resiz'; did you mean 'resize'"):
        for_network("alexnet", "resiz")
    with pytest.raises(ProbeError, match="picture of mode L: expected RGB"):
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
