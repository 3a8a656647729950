"""Names that there are not are answered before torch is imported, in the words of the library."""

import pytest
from processes import commands_in_a_new_process

import probe
from probe import recordings
from probe.cli.command import _check_names
from probe.errors import ProbeError

HEAVY = ("torch", "torchvision", "scipy", "xarray", "zarr", "numba", "matplotlib")


MISSPELT = [
    (
        "visualize goldfish",
        "goldfish is a class; name a network before it, such as: probe visualize "
        "squeezenet1_1 goldfish",
    ),
    (
        "visualize Castle features.10:84",
        "name a network before it, such as: probe visualize squeezenet1_1 Castle",
    ),
    ("dream x.jpg --preset creature", "did you mean 'creatures'?"),
    (
        "dream x.jpg --preset swirls",
        "swirls is a look of squeezenet1_1: add --model squeezenet1_1",
    ),
    ("dream", "no picture was given"),
    ("style", "name a picture and a style"),
    ("dream nowhere-to-be-seen.jpg", "image 'nowhere-to-be-seen.jpg' does not exist"),
    ("style nowhere-to-be-seen.jpg x.jpg", "image 'nowhere-to-be-seen.jpg' does not exist"),
    (
        "rsa --model alxnet --dataset sim-v4",
        "unknown model 'alxnet'; did you mean 'alexnet' or 'lenet5'? (see `probe models`)",
    ),
    (
        "rsa -m alexnet,vgg61 -d sim-v4",
        "unknown model 'vgg61'; did you mean 'vgg19' or 'vgg16'",
    ),
    ("rsa -m v4-compact:20102 -d sim-v4", "no session '20102' was published as networks"),
    ("rsa -m alexnet -d sim-v5", "recording 'sim-v5' does not exist; did you mean 'sim-v4'"),
    ("rsa -m alexnet -d sim-v4 --region IT", "recording 'sim-v4/0' has no region 'IT'"),
    ("rsa -m alexnet -d majajhong2015 --region V5", "majajhong2015 has no region 'V5'"),
    (
        "rsa -m alexnet -d sim-v4 --comparator spearmann",
        "--comparator 'spearmann': expected one of auto, spearman, rho-a, pearson, cosine, "
        "tau-a, tau-b, whitened-pearson, whitened-cosine, bures; did you mean 'spearman'",
    ),
    ("rsa -m alexnet -d sim-v4 --metric euclidian", "did you mean 'euclidean'"),
    ("rsa -m alexnet -d sim-v4 --correction holms", "expected one of fdr, holm, none"),
    ("encode -m alxnet -d sim-v4", "unknown model 'alxnet'; did you mean 'alexnet'"),
    ("searchlight -m alexnet -d sim-v5", "recording 'sim-v5' does not exist"),
    ("extract -m alxnet -i .", "unknown model 'alxnet'"),
    ("tuning alxnet", "unknown model 'alxnet'"),
    ("layers alxnet", "unknown model 'alxnet'"),
    ("filters alxnet", "unknown model 'alxnet'"),
    ("visualize alexnet site:sim-v4:1 --judge vgg61", "unknown model 'vgg61'"),
    ("visualize alexnet site:sim-v4:1 --with vgg16,alxnet", "unknown model 'alxnet'"),
    ("saliency nowhere-to-be-seen.jpg", "image 'nowhere-to-be-seen.jpg' does not exist"),
    ("saliency .", "name a network, such as: probe saliency"),
    ("saliency . -t tabby", "name a network, such as: probe saliency"),
    (
        "saliency . -t site:v4:1 --method gradcam,occlusio",
        "'occlusio': expected a name of `probe saliency --methods`; did you mean 'occlusion'?",
    ),
    ("reliability -d sim-v5", "recording 'sim-v5' does not exist"),
]
REGIONS = [("sim-v4", "IT"), ("majajhong2015", "V5")]


def asked(dataset, region):
    return f"rsa -m alexnet -d {dataset} --region {region}"


@pytest.fixture(scope="module")
def ended():
    """Every command of this file, run in one new process."""
    commands = [arguments for arguments, _ in MISSPELT] + [asked(*region) for region in REGIONS]
    return commands_in_a_new_process(list(dict.fromkeys(commands)), HEAVY)


@pytest.mark.parametrize(("arguments", "message"), MISSPELT)
def test_what_is_misspelt(ended, arguments, message):
    command = ended[arguments]
    assert command.code == 2
    assert message in command.err
    assert command.imported == []


@pytest.mark.parametrize(("dataset", "region"), REGIONS)
def test_the_library_says_the_same(ended, dataset, region):
    """In its own words, whichever looks first."""
    with pytest.raises(ProbeError) as raised:
        probe.rsa("alexnet", dataset, region=region)
    assert ended[asked(dataset, region)].err == f"probe: error: {raised.value}\n"


def test_a_recording_says_the_same_of_itself():
    recording = recordings.load("sim-v4")
    with pytest.raises(ProbeError, match=r"^recording 'sim-v4/0' has no region 'IT'"):
        recording.select("IT")


@pytest.mark.parametrize("networks", ["", "none", "vgg16,", "timm:resnet18"])
def test_networks_that_may_be_left_out(networks):
    _check_names({"model": "alexnet", "together_with": networks, "judge": None})
