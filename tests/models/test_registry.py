import pytest
import torchvision

from probe.errors import ProbeError
from probe.models.known import FEATURES
from probe.models.registry import OWN, class_names, names, parse


def test_names_are_torchvisions_and_ours():
    theirs = torchvision.models.list_models(module=torchvision.models)
    assert list(names()) == sorted([*theirs, *OWN, *FEATURES])


def test_class_names_are_torchvisions():
    weights = torchvision.models.AlexNet_Weights.IMAGENET1K_V1
    assert list(class_names()) == weights.meta["categories"]


@pytest.mark.parametrize(
    ("file", "architecture"),
    [
        ("alexnet-owt-7be5be79.pth", "alexnet"),
        ("vgg16_bn-6c64b313.pth", "vgg16_bn"),
        ("vgg16-397923af.pth", "vgg16"),
        ("resnet18.pt", "resnet18"),
        ("vit_b_16_mine.safetensors", "vit_b_16"),
    ],
)
def test_architecture_from_file_name(file, architecture):
    name = parse(f"file:/some/where/{file}")
    assert (name.architecture, name.path.name) == (architecture, file)


def test_architecture_said():
    name = parse("file:resnet50@/a/b@c.pth")
    assert (name.architecture, str(name.path)) == ("resnet50", "/a/b@c.pth")


def test_unknown_names():
    with pytest.raises(ProbeError, match=r"unknown model 'alexnt'; did you mean 'alexnet'"):
        parse("alexnt")
    with pytest.raises(ProbeError, match=r"write file:ARCHITECTURE@mine.pth"):
        parse("file:mine.pth")
    with pytest.raises(ProbeError, match=r"write file:ARCHITECTURE@resnet180.pth"):
        parse("file:resnet180.pth")
    with pytest.raises(ProbeError, match=r"unknown architecture 'alxnet'; did you mean 'alexnet'"):
        parse("file:alxnet@mine.pth")
