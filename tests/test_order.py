"""What does not change the meaning of a recording changes no score: it is the same, or refused."""

import json
import unicodedata

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import probe
from probe.errors import ProbeError
from probe.models import Network
from probe.models.preprocessing import Preprocessing
from probe.recordings import Recording, from_folder
from probe.stimuli import StimulusSet

N, N_NEUROIDS = 8, 5
RNG = np.random.default_rng(0)
PICTURES = list(RNG.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8))
RESPONSES = RNG.normal(size=(N, 1, N_NEUROIDS))
IDS = [str(k) for k in (12, 1, 7, 100, 3, 5, 40, 2)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    whole = Preprocessing("resize", (8, 8))
    return Network.from_module(module.eval(), preprocessing=whole)


def recording(names, responses, ids, pictures, name="mine"):
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", names),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(N_NEUROIDS)]),
            "subject": ("neuroid", ["a"] * N_NEUROIDS),
            "region": ("neuroid", ["V2"] * N_NEUROIDS),
        },
        attrs={"name": name},
    )
    return Recording(data, StimulusSet(ids, pictures, name))


def scores(network, of):
    result = probe.rsa(
        network, of, layers="all", baselines=False, resample=None, test="permutation",
        n_resamples=2, progress=False, device="cpu",
    )  # fmt: skip
    return result.layers["score"].to_numpy()


@pytest.fixture(scope="module")
def usual(network):
    return scores(network, recording(IDS, RESPONSES, IDS, PICTURES))


WRAPPED = {
    "text": np.array,
    "objects": lambda names: np.array(names, dtype=object),
    "bytes": lambda names: np.array(names, dtype="S"),
    "whole numbers": lambda names: np.array(names, dtype=np.int64),
    "floats": lambda names: np.array(names, dtype=np.float64),
}


@settings(max_examples=12)
@given(
    shown=st.permutations(range(N)),
    listed=st.permutations(range(N)),
    wrap=st.sampled_from(sorted(WRAPPED)),
    wrap_pictures=st.sampled_from(sorted(WRAPPED)),
)
def test_another_order_and_other_wrapping(network, usual, shown, listed, wrap, wrap_pictures):
    turned = recording(
        WRAPPED[wrap]([IDS[k] for k in shown]),
        RESPONSES[shown],
        WRAPPED[wrap_pictures]([IDS[k] for k in listed]),
        [PICTURES[k] for k in listed],
    )
    np.testing.assert_allclose(scores(network, turned), usual, atol=1e-5)


@settings(max_examples=6)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
        .map(lambda name: unicodedata.normalize("NFD", name)),
        min_size=N, max_size=N, unique_by=lambda name: unicodedata.normalize("NFC", name),
    )
)  # fmt: skip
def test_other_names(network, usual, names):
    composed = [unicodedata.normalize("NFC", name) for name in names]
    renamed = recording(composed, RESPONSES, names, PICTURES)
    np.testing.assert_allclose(scores(network, renamed), usual, atol=1e-5)


def test_names_that_are_none():
    for bad in ([*map(float, IDS[1:]), np.nan], [None, *IDS[1:]]):
        with pytest.raises(ProbeError, match=r"'stimulus_id': (nan|None) is not a name"):
            recording(np.array(bad, dtype=object), RESPONSES, IDS, PICTURES)
    with pytest.raises(ProbeError, match="names '1' more than once"):
        StimulusSet([1, "1.0", b"1"], PICTURES[:3], "set")


def folder_of(path, order, names=IDS, csv=None):
    """A recording's folder; the pictures do not depend on the order of the responses."""
    (path / "images").mkdir(parents=True, exist_ok=True)
    for name, pixels in zip(names, PICTURES, strict=True):
        Image.fromarray(pixels).save(path / "images" / f"{name}.png")
    np.save(path / "responses.npy", RESPONSES[order])
    if csv is not None:
        csv(path / "stimuli.csv", [names[k] for k in order])
    return path


CSV = {
    "names": lambda path, names: pd.DataFrame({"stimulus_id": names}).to_csv(path),
    "endings": lambda path, names: path.write_text(
        "\n".join(["stimulus_id", *(f"{name}.png" for name in names)])
    ),
    "semicolons": lambda path, names: pd.DataFrame(
        {"stimulus_id": names, "rt": np.linspace(0.5, 1, N)}
    ).to_csv(path, sep=";", decimal=",", index=False),
    "blanks": lambda path, names: path.write_text(
        "\n".join(["rt, stimulus_id", *(f"1, {name}" for name in names)])
    ),
    "paths": lambda path, names: path.write_text(
        "\n".join(["stimulus_id", *(f"/data/images/{name}.png" for name in names)])
    ),
    "paths of Windows": lambda path, names: path.write_text(
        "\n".join(["stimulus_id", *(f"C:\\lab\\images\\{name}.png" for name in names)])
    ),
    "a mark of Excel": lambda path, names: path.write_text(
        "\n".join(["stimulus_id", *names]), encoding="utf-8-sig"
    ),
}


@pytest.mark.parametrize("csv", CSV.values(), ids=CSV)
def test_a_folder_in_any_order_that_is_listed(tmp_path, network, usual, csv):
    order = np.random.default_rng(1).permutation(N)
    found = from_folder(folder_of(tmp_path / "lab", order, csv=csv))
    assert list(found.data["stimulus_id"].values) == [f"{IDS[k]}.png" for k in order]
    assert found.describe()["stimulus_order"] == "stimuli.csv"
    np.testing.assert_allclose(scores(network, found), usual, atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [
        IDS,
        ["a", "a-1", *"bcdefg"],
        ["Zebra", *"abcdefg"],
        ["zebra", "école", *"abcdef"],
        ["-45", "-90", "0", "45", "90", "100", "135", "180"],
        ["img1", "img01", "img2", *"abcde"],
    ],
)
def test_an_order_that_depends_on_who_sorts_is_asked_for(tmp_path, names):
    with pytest.raises(ProbeError, match=r"depends on how names are sorted.*stimuli\.csv") as error:
        from_folder(folder_of(tmp_path / "lab", range(N), names))
    assert "\n" not in str(error.value)


def test_an_order_in_which_all_agree_is_said(tmp_path, network, usual):
    names = [f"face-{k:02d}" for k in range(N)]
    found = from_folder(folder_of(tmp_path / "lab", range(N), names))
    assert found.describe()["stimulus_order"] == "sorted names of the images"
    assert "order of stimuli sorted names of the images" in repr(found)
    np.testing.assert_allclose(scores(network, found), usual, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((N_NEUROIDS, N), r"seem to lie along axis 1; save responses\.T, whose axes are"),
        ((N, N), r"is ambiguous; save it as \(8, 1, 8\)"),
        ((N_NEUROIDS, N, 3), r"along axis 1; save np\.moveaxis\(responses, 1, 0\), whose axes are"),
        ((N_NEUROIDS, 3, N), r"along axis 2; save np\.moveaxis\(responses, 2, 0\), whose axes are"),
        ((N_NEUROIDS, 3), "8 images for 5 stimuli"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_responses_with_their_axes_turned(tmp_path, shape, message, listed):
    names = [f"face-{k:02d}" for k in range(N)]
    lab = folder_of(tmp_path / "lab", range(N), names, CSV["names"] if listed else None)
    np.save(lab / "responses.npy", np.ones(shape))
    if listed:
        message = message.replace("8 images for 5 stimuli", "has 8 rows; responses.npy has 5")
    with pytest.raises(ProbeError, match=message):
        from_folder(lab)


def test_what_is_no_recording_says_what_was_expected():
    for dataset in (RESPONSES, [RESPONSES], pd.DataFrame(RESPONSES[:, 0])):
        with pytest.raises(ProbeError, match=r"dataset is a \w+ of shape \(8, .*Recording"):
            probe.rsa("alexnet", dataset)
    with pytest.raises(ProbeError, match="is not a network: expected a name"):
        probe.rsa(RESPONSES, "sim-v4")


def test_what_a_layer_is_called_is_kept_for_probe_compare(tmp_path, network):
    of = recording(IDS, RESPONSES, IDS, PICTURES)
    result = probe.rsa(
        network, of, layers="all", baselines=False, n_resamples=20, progress=False, device="cpu"
    )
    result.save(tmp_path)
    known = json.loads(str(np.load(tmp_path / "rdms.npz")["attrs"]))["aliases"]
    named = {row.layer: row.alias for row in result.layers.itertuples() if row.alias}
    assert known == named
