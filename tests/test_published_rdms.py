"""HMAX and V1 against the model RDMs that were published with the 92 images.

Those of Kriegeskorte et al. 2008 look beyond the picture, where all is black: the edge of the
picture is their strongest contour. Ours see that where they are told to.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import io
from scipy.stats import spearmanr

from probe.assets.files import mirror_dirs
from probe.models.classic import INPUTS
from probe.models.hmax import imprinted
from probe.models.v1_gabor import V1Gabor

PAIRS = np.triu_indices(92, 1)


def read(name):
    for folder in mirror_dirs():
        if (path := folder / "kriegeskorte2008" / name).is_file():
            return io.loadmat(path)
    pytest.skip(f"{name} is not here")


@pytest.fixture(scope="module")
def published():
    models = read("92_modelRDMs.mat")["Models"].ravel()
    return {str(model["name"][0]): np.asarray(model["RDM"], float)[PAIRS] for model in models}


@pytest.fixture(scope="module")
def images():
    objects = read("Kriegeskorte_Neuron2008_supplementalData.mat")["stimuli_92objs"].ravel()
    return [Image.fromarray(each["image"]) for each in objects]


def inputs(images, name):
    size, mean, std = INPUTS[name]
    pixels = [np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in images]
    scaled = torch.from_numpy(np.stack(pixels).astype(np.float32)).permute(0, 3, 1, 2) / 255
    return (scaled - mean[0]) / std[0]


def rdm(run, pictures):
    with torch.inference_mode():
        patterns = torch.cat([run(some).flatten(1) for some in pictures.split(4)])
        patterns = patterns - patterns.mean(1, keepdim=True)
        patterns = patterns / patterns.norm(dim=1, keepdim=True)
        return 1 - (patterns @ patterns.T).double().numpy()[PAIRS]


@pytest.mark.slow
def test_v1_on_a_black_screen_is_the_published_one(published, images):
    pictures = inputs(images, "v1-gabor")
    black = spearmanr(rdm(V1Gabor(surround=0.0), pictures), published["V1"])[0]
    grey = spearmanr(rdm(V1Gabor(), pictures), published["V1"])[0]
    assert black > 0.6
    assert grey < 0.3  # most of the published RDM is the edge of the picture


@pytest.mark.slow
def test_hmax_that_looks_beyond_the_picture_is_the_published_v1(published, images):
    module = imprinted()
    module.s1.borders = True
    pictures = inputs(images, "hmax")
    assert spearmanr(rdm(lambda x: module.c1(module.s1(x)), pictures), published["V1"])[0] > 0.8


@pytest.mark.slow
def test_c2_goes_with_the_published_hmax(published, images):
    """Not the .6 that were hoped for: with other templates, and it is not said which there were."""
    pictures = inputs(images, "hmax")
    assert spearmanr(rdm(imprinted(), pictures), published["HMAX"])[0] > 0.4
