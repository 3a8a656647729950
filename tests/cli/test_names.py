"""Names that there are not are answered before torch is imported, in the words of the library."""

import json
import subprocess
import sys

import pytest

import probe
from probe import recordings
from probe.cli.command import _check_names
from probe.errors import ProbeError

HEAVY = ("torch", "torchvision", "scipy", "xarray", "zarr", "numba", "matplotlib")


def run(*arguments):
    """Run `probe` in a new process; return what it wrote, and what of `HEAVY` it imported."""
    code = f"""
import json, sys
sys.argv = ["probe", *{list(arguments)!r}]
from probe.cli import main
try:
    main()
finally:
    print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    return done.stderr.strip(), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
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
        ("layers alxnet", "unknown model 'alxnet'"),
        ("filters alxnet", "unknown model 'alxnet'"),
        ("visualize alexnet site:sim-v4:1 --judge vgg61", "unknown model 'vgg61'"),
        ("visualize alexnet site:sim-v4:1 --with vgg16,alxnet", "unknown model 'alxnet'"),
        ("reliability -d sim-v5", "recording 'sim-v5' does not exist"),
    ],
)
def test_what_is_misspelt(arguments, message):
    said, imported = run(*arguments.split())
    assert message in said
    assert imported == []


def test_the_library_says_the_same():
    """In its own words, whichever looks first."""
    for dataset, region in (("sim-v4", "IT"), ("majajhong2015", "V5")):
        said, _ = run("rsa", "-m", "alexnet", "-d", dataset, "--region", region)
        with pytest.raises(ProbeError) as raised:
            probe.rsa("alexnet", dataset, region=region)
        assert said == f"probe: error: {raised.value}"
    recording = recordings.load("sim-v4")
    with pytest.raises(ProbeError, match=r"^recording 'sim-v4/0' has no region 'IT'"):
        recording.select("IT")


@pytest.mark.parametrize("networks", ["", "none", "vgg16,", "timm:resnet18"])
def test_networks_that_may_be_left_out(networks):
    _check_names({"model": "alexnet", "together_with": networks, "judge": None})
