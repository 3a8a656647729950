"""What options of a network mean, wherever they are asked for. Imports neither NumPy nor torch."""

KINDS = ("resize", "torchvision")
"""Kinds of preprocessing."""

BASELINES = ("default", "classic", "none")
"""What a network stands beside: see the commands, and `probe.models.known.BASELINES`."""

MODEL = (
    "A model of `probe models`, timm:NAME, file:PATH, or a published V4 neuron, "
    "v4-compact:SESSION-NEURON"
)
WEIGHTS = (
    "imagenet, random, or the path of a checkpoint. If it holds several sets of weights, PATH#PART "
    "takes one of them, such as dino.pth#teacher."
)
PREPROCESSING = (
    "resize: the whole picture, as the animal saw it; torchvision: as the weights were trained, "
    "with a crop."
)
BATCH_SIZE = "Images per forward pass; halved when memory runs out."
BATCH_SIZE_UNSET = "chosen for network and device"
DEVICE = "Where to compute: auto, cpu, cuda, cuda:1, mps."
LAYERS = (
    "Layer paths or aliases, separated by commas (features.6,conv4), or default, all, conv, relu, "
    "pool, linear, block. probe layers MODEL lists them."
)


def read_baselines(baselines: str | bool) -> str:
    """Return one of `BASELINES`: truth values are what earlier versions took."""
    if isinstance(baselines, bool):
        return "default" if baselines else "none"
    return baselines
