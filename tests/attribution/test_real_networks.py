"""Trained networks and photographs: maps lie where the object is, and checks tell methods apart."""

from dataclasses import replace
from functools import partial

import pytest
import skimage.data
from PIL import Image

from probe.attribution import cams, checks, gradients, rectifiers
from probe.targets import class_of, predicted

LAST = {"squeezenet1_1": "features.12", "efficientnet_lite0": "features.8"}
"""The last layer that speaks of all classes."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name == "squeezenet1_1" else pytest.mark.slow)
        for name in LAST
    ],
)
def network(request, load_trained):
    return load_trained(request.param)


def boxed(box, picture, size):
    """A box in a photograph, in the whole picture that a network sees."""
    x, y = size[1] / picture.width, size[0] / picture.height
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def cam(network, picture, label):
    images = network.preprocessing(picture)[None]
    target = class_of(label, network)
    return cams.grad_cam(network.module, images, target, layer=LAST[network.name])


def test_the_cats_grad_cam_lies_on_the_cat(network):
    picture, size = Image.fromarray(skimage.data.chelsea()), network.preprocessing.size
    # The cat without the tips of its whiskers, drawn by hand: 80 % of the photograph.
    cat = boxed((35, 0, 395, 300), picture, size)
    found = cam(network, picture, "Egyptian cat")
    assert predicted(network, network.preprocessing(picture)[None]).label == "Egyptian cat"
    assert float(checks.share_in_box(found, [cat], size)) > 0.85
    assert checks.pointing_game(found, [cat], size, tolerance=0).all()


def test_grad_cam_tells_the_cat_from_the_cup(network):
    """Both in one picture, on grey: each class has the map of its own object."""
    picture = Image.new("RGB", (600, 600), (124, 116, 104))
    picture.paste(Image.fromarray(skimage.data.chelsea()).resize((300, 200)), (0, 0))
    picture.paste(Image.fromarray(skimage.data.coffee()).resize((450, 300)), (150, 300))
    size = network.preprocessing.size
    cat, cup = (boxed(box, picture, size) for box in ((0, 0, 300, 200), (150, 300, 600, 600)))
    of_cat, of_cup = (cam(network, picture, label) for label in ("Egyptian cat", "espresso"))
    # The cat has a sixth of the picture. Positions of the layer are 17 to 32 pixels wide, and a
    # part of what is said of its edge lies beside it.
    assert float(checks.share_in_box(of_cat, [cat], size)) > 0.5
    assert float(checks.share_in_box(of_cup, [cup], size)) > 0.75
    # A map that knows nothing would have that sixth.
    assert float(checks.share_in_box(of_cup, [cat], size)) < 0.12
    assert checks.pointing_game(of_cat, [cat], size, tolerance=0).all()
    assert checks.pointing_game(of_cup, [cup], size, tolerance=0).all()


def test_new_weights_change_the_gradient_and_hardly_guided_backprop(network):
    """Figure 4 of Adebayo et al. (2018)."""
    small = replace(network.preprocessing, resize=(112, 112))
    images = small(Image.fromarray(skimage.data.chelsea()))[None]
    test = partial(
        checks.randomisation_test,
        module=network.module,
        images=images,
        target=class_of("Egyptian cat", network),
        n_layers=3,
    )
    found = {}
    for name, method in (("gradient", gradients.gradient), ("guided", rectifiers.guided_backprop)):
        table = test(method)
        cascade = table[table["mode"] == "cascading"]
        found[name] = cascade.pivot(index="layer", columns="measure", values="similarity").loc[
            cascade["layer"].unique()
        ]
    gradient, guided = found["gradient"], found["guided"]
    last, middle, first = gradient.index
    assert (gradient.loc[middle, ["spearman", "spearman_abs", "ssim"]] < [0.2, 0.5, 0.5]).all()
    assert (guided.loc[last] > 0.95).all()
    assert guided.loc[middle, "spearman"] > 0.9
    # With half of the network without what it learned, they are as far apart as in the paper.
    assert (guided.loc[[last, middle]] > gradient.loc[[last, middle]] + 0.3).all(axis=None)
    assert (guided.loc[first] > gradient.loc[first]).all()
