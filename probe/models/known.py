"""Names of networks, written down so that one that is wrong is answered at once."""

VERSION = "0.29"
"""Of torchvision, whose networks these are; those of any other are read from its source."""

TORCHVISION = (
    "alexnet", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large", "densenet121",
    "densenet161", "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6",
    "efficientnet_b7", "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3",
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_y_400mf", "regnet_y_800mf",
    "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf", "regnet_y_16gf", "regnet_y_32gf",
    "regnet_y_128gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf",
    "regnet_x_8gf", "regnet_x_16gf", "regnet_x_32gf", "resnet18", "resnet34", "resnet50",
    "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_t",
    "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b", "vgg11", "vgg11_bn", "vgg13",
    "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_l_16",
    "vit_l_32", "vit_h_14",
)  # fmt: skip
"""In the order of torchvision's source."""

CLASSIC = {
    "hmax": "1999, 2007: Riesenhuber & Poggio; Serre et al.; templates imprinted from photographs",
    "lenet5": "1998: LeCun et al.; trained here, on scikit-learn's digits",
    "neocognitron": "1980: Fukushima; organised here, without a teacher, by digits in thin lines",
    "v1-gabor": "1992: Heeger; V1's cells for 8° of visual field, v1-gabor:DEGREES for others",
    "zfnet": "2014: Zeiler & Fergus; its authors published no weights: --weights random or FILE",
}
"""Networks that the history of the field went through, built here: year, authors, weights."""

FEATURES = {
    "bag-of-words": "2004: Csurka et al.; 200 visual words, learned from two photographs",
    "colour-histogram": "1991: Swain & Ballard; joint histograms of R, G, B and of CIELAB",
    "gist": "2001: Oliva & Torralba; energy of 4 scales × 8 orientations on a grid of 4×4",
    "hog": "2005: Dalal & Triggs; histograms of oriented gradients",
    "luminance-contrast": "1990: Peli; luminance and RMS contrast, of the picture and on a grid",
    "pixels": "R, G and B of each pixel",
    "power-spectrum": "1987: Field; power of luminance in 6 octaves × 8 orientations",
}
"""Features from before networks: year, authors, what is measured. See `hand_made`."""

UNLEARNED = {"v1-gabor", *FEATURES} - {"bag-of-words"}
"""In which nothing is learned: they have no weights, and there are no untrained ones."""

BASELINES = (
    "luminance-contrast", "power-spectrum", "colour-histogram", "gist", "hog", "bag-of-words",
    "v1-gabor", "hmax",
)  # fmt: skip
"""What came before today's networks, to compare these with: from the simplest on. LeNet-5 and the
neocognitron are not among them, since they see digits."""

CLASSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("hmax", "neocognitron", "v1-gabor", *FEATURES), ()),
    "lenet5": tuple("0123456789"),
}
"""What those tell apart that do not know ImageNet's classes; empty if nothing."""

COMPACT_SESSIONS = {"190923": 33, "201025": 89, "210225": 55, "211022": 42}
"""How many V4 neurons of each session were published as networks."""

LAYER_WORDS = ("default", "all", "conv", "relu", "pool", "linear", "block")
"""What may stand for several layers at once: see `layers.resolve`."""
