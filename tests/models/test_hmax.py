import numpy as np
import pytest
import torch
from PIL import Image
from skimage.filters import gabor_kernel

from probe import models
from probe.errors import ProbeError
from probe.models import load
from probe.models.hmax import BANDS, HMAX, SHARPNESS, gabor, imprint, photographs, spaced


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 3, 100, 90, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hmax():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = HMAX(n_templates=3).eval()
    imprint(module, photographs(), seed=5)
    return module


@pytest.fixture(scope="module")
def responses(hmax, pictures):
    with torch.inference_mode():
        s1 = hmax.s1(pictures)
        c1 = hmax.c1(s1)
        s2 = hmax.s2(c1)
        return s1, c1, s2, hmax.c2(s2)


def test_table_of_bands():
    """A wavelength is 1.25 deviations, to the table's rounding, and windows overlap by half."""
    for sides, deviations, wavelengths, window, step in BANDS:
        for deviation, wavelength in zip(deviations, wavelengths, strict=True):
            assert wavelength == pytest.approx(deviation / 0.8, abs=0.11)
        assert sides[1] == sides[0] + 2
        assert step == window // 2


def test_filters_are_scikit_images():
    ours = gabor(37, 18.2, 22.8, 45.0)
    theirs = gabor_kernel(1 / 22.8, -np.pi / 4, sigma_x=18.2, sigma_y=18.2 / 0.3).real
    middle = tuple(slice(n // 2 - 18, n // 2 + 19) for n in theirs.shape)
    y, x = np.mgrid[-18:19, -18:19]
    theirs = np.where(np.hypot(x, y) <= 18.5, theirs[middle], 0.0)
    theirs -= theirs.mean()
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs), atol=1e-10)


def test_s1_is_a_normalised_response(responses, pictures):
    s1, *_ = responses
    grey = (pictures[1] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).double()
    for k, side in enumerate(side for band in BANDS for side in band[0]):
        deviation, wavelength = next(
            (band[1][j], band[2][j]) for band in BANDS for j in range(2) if band[0][j] == side
        )
        reach = side // 2
        patch = grey[50 - reach : 51 + reach, 40 - reach : 41 + reach].numpy()
        filtered = abs((gabor(side, deviation, wavelength, 90.0) * patch).sum())
        expected = filtered / np.linalg.norm(patch)
        assert float(s1[1, 4 * k + 2, 50, 40]) == pytest.approx(expected, abs=1e-4)
        assert not s1[:, 4 * k : 4 * k + 4, : reach - 1].any()  # beyond the picture, it is silent


def test_c1_is_the_largest_of_a_window(responses):
    s1, c1, *_ = responses
    for k, (_, _, _, window, _) in enumerate(BANDS):
        pair = s1[:, 8 * k : 8 * k + 8].unflatten(1, (2, 4))
        y, x = 45 - (window // 2 - 1), 50 - (window // 2 - 1)
        expected = pair[..., y : y + window, x : x + window].amax((1, 3, 4))
        torch.testing.assert_close(c1[:, 4 * k : 4 * k + 4, 45, 50], expected)


def test_s2_and_c2_are_distances(hmax, responses):
    _, c1, s2, c2 = responses
    bands = spaced(c1)
    band = bands[0]
    template = hmax.s2.get_parameter("templates_8")[1]
    patch = band[1, :, 4:12, 6:14]
    expected = torch.exp(-SHARPNESS * (patch - template).square().sum())
    position = (4 + 3) * band.shape[3] + 6 + 3  # the patch's middle
    torch.testing.assert_close(s2[1, 3 + 1, position], expected, atol=1e-5, rtol=1e-4)
    assert s2.shape[2] == sum(b.shape[2] * b.shape[3] for b in bands)
    assert torch.equal(c2, s2.amax(2))


def test_a_template_is_found_again(hmax):
    """Where it was imprinted, its response is 1."""
    images = torch.stack([
        torch.from_numpy(np.asarray(p.resize((210, 140), Image.Resampling.BILINEAR), np.float32))
        for p in photographs()
    ]).permute(0, 3, 1, 2) / 255  # fmt: skip
    with torch.inference_mode():
        best = hmax(images).amax(0)
    torch.testing.assert_close(best, torch.ones_like(best), atol=1e-4, rtol=0)


def test_a_seed_gives_the_same_templates():
    temple, _ = photographs()
    first, again, other = (HMAX(n_templates=3) for _ in range(3))
    for module, seed in ((first, 5), (again, 5), (other, 6)):
        imprint(module, [temple.resize((90, 100))], seed)
    assert torch.equal(again.s2.templates_4, first.s2.templates_4)
    assert not torch.equal(other.s2.templates_4, first.s2.templates_4)
    with pytest.raises(ProbeError, match="a picture of 10×100 px is too narrow"):
        imprint(again, [Image.new("RGB", (10, 100))])


def test_untrained_shares_its_first_stages(pictures):
    published, random = load("hmax"), load("hmax", "random", seed=1)
    assert (published.weights.kind, random.weights.kind) == ("recipe", "random")
    ours, theirs = published.module.state_dict(), random.module.state_dict()
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == {
        f"s2.templates_{side}" for side in (4, 8, 12, 16)
    }
    means = [float(state["s2.templates_8"].mean()) for state in (ours, theirs)]
    assert means[1] == pytest.approx(means[0], rel=0.1)


def test_the_many_units_of_s2_are_not_compared_by_default():
    assert models.resolve("default", "hmax") == ["s1", "c1", "c2"]
    assert models.resolve("S2", "hmax") == ["s2"]
