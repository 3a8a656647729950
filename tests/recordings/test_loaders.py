"""Real recordings through the mirror, held to known figures; names and broken files."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from probe import assets
from probe.assets.manifest import Manifest, manifests
from probe.errors import ProbeError
from probe.recordings import available, canonical, load, loaders, neuroid_reliability, split_half
from probe.similarity import compare


def reference(name):
    return manifests()[name].reference


@pytest.mark.usefixtures("mirror")
class TestCowley:
    def test_the_default_session(self):
        recording = load("v4")
        assert recording.name == "cowley2023/210325"
        assert (recording.n_stimuli, recording.n_neuroids) == (640, 50)
        assert recording.n_repetitions == (6, 10)
        assert recording.subjects == ["PE"]
        assert recording.regions == ["V4"]
        assert not recording.simulated
        assert recording.stimuli.ids[0] == "image0001.jpg"
        assert recording.stimuli.image(0).size == (112, 112)
        assert recording.describe()["licence"] == "GPL-3.0"
        assert load("cowley2023").describe() == recording.describe()

    def test_means_equal_the_authors_own(self):
        means = np.load(assets.fetch(manifests()["cowley2023"], "responses_210325.npy"))
        np.testing.assert_allclose(load("v4").mean_responses().values, means.T, rtol=1e-12)

    def test_known_reliability(self):
        recording, known = load("v4"), reference("cowley2023")
        of_neuroids = neuroid_reliability(recording)
        assert of_neuroids["r"].median() == pytest.approx(
            known["neuroid_split_half_median"], abs=0.005
        )
        assert of_neuroids["spearman_brown"].median() == pytest.approx(
            known["neuroid_split_half_median_spearman_brown"], abs=0.005
        )
        of_rdm = split_half(recording)
        assert of_rdm.r == pytest.approx(known["rdm_split_half_spearman"], abs=0.01)
        assert of_rdm.splits.std() / np.sqrt(len(of_rdm.splits)) < 0.005

    @pytest.mark.parametrize(
        ("session", "shape"),
        [("210322", (1200, 59)), ("210305", (400, 70)), ("201025", (1200, 89))],
    )
    def test_sessions_of_means(self, session, shape):
        recording = load(f"v4/{session}")
        assert recording.mean_responses().shape == shape
        assert recording.describe()["averaged"]
        assert "averaged" in repr(recording)
        with pytest.raises(ProbeError, match="means over repetitions"):
            split_half(recording)

    def test_a_session_is_named_with_a_slash_or_a_colon(self):
        for name in ("v4:201025", "v4/201025", "cowley2023:201025", "cowley2023/201025"):
            assert canonical(name) == "cowley2023/201025"
            assert load(name).name == "cowley2023/201025"
        data = load("v4:210305").data
        variants = data["variant"].values
        assert (variants == np.array([""] * 150 + ["A"] * 50 + ["B"] * 50 + [""] * 50
                                     + ["A"] * 50 + ["B"] * 50)).all()  # fmt: skip
        assert list(data["kind"].values) == ["synthesised"] * 100 + ["photograph"] * 300
        groups = data["group"].values
        assert len(np.unique(groups)) == 200
        assert groups[100] == groups[150] == groups[200]
        assert groups[250] == groups[300] == groups[350]


@pytest.mark.usefixtures("mirror")
class TestKriegeskorte:
    def test_human(self):
        recording = load("it")
        assert recording.subjects == ["BE", "KO", "SN", "TI"]
        assert recording.regions == ["IT-human"]
        assert recording.rdms()[1].shape == (4, 4186)
        assert recording.stimuli.ids[91] == "object-92"
        assert recording.stimuli.image(0).size == (175, 175)
        assert recording.stimuli.image(0).getpixel((0, 0)) == (128, 128, 128)
        assert recording.data["category"].values[0] == "human bodypart"
        assert recording.data["animal"].values.sum() == 48

    def test_monkey_against_human(self):
        _, human = load("it").rdms()
        _, monkey = load("it", region="IT-monkey").rdms()
        assert monkey.shape == (1, 4186)
        assert compare(human.mean(axis=0), monkey[0]) == pytest.approx(
            reference("kriegeskorte2008")["monkey_human_spearman"], abs=5e-4
        )

    def test_models(self):
        models = loaders.kriegeskorte_models(assets.fetch)
        assert list(models) == [
            *("animacy", "FaceBodyManmadeNatobj", "monkeyIT", "EVA"),
            *("HMAX", "V1", "Silhouette", "RADON"),
        ]
        monkey = load("it", region="IT-monkey").rdms()[1][0]
        np.testing.assert_allclose(models["monkeyIT"], monkey)
        # Row-major upper triangle: the animacy model from the stimuli's own flags.
        animal = load("it").data["animal"].values
        rows, columns = np.triu_indices(92, 1)
        np.testing.assert_array_equal(models["animacy"] > 0, animal[rows] != animal[columns])


@pytest.mark.usefixtures("mirror")
class TestCichy:
    @pytest.mark.parametrize(
        ("alias", "region", "key"), [("evc", "EVC", "evc"), ("it-fmri", "IT", "it")]
    )
    def test_ceilings(self, alias, region, key):
        recording = load(alias, accept_licence=True)
        assert recording.regions == [region]
        subjects, rdms = recording.rdms()
        assert subjects == [f"sub-{k:02d}" for k in range(1, 16)]
        known = reference("cichy2014")
        ceiling = np.mean([compare(d, rdms.mean(axis=0)) ** 2 for d in rdms])
        assert ceiling == pytest.approx(known[f"{key}_ceiling_mean_r2"], abs=5e-5)
        rng = np.random.default_rng(0)
        halves = []
        for _ in range(40):
            order = rng.permutation(15)
            halves.append(compare(rdms[order[:7]].mean(axis=0), rdms[order[7:]].mean(axis=0)))
        known_half = known[f"{key}_subject_split_half_spearman"]
        assert np.mean(halves) == pytest.approx(known_half, abs=0.015)

    def test_pictures_are_kriegeskortes(self):
        assert load("evc", accept_licence=True).stimuli.hash == load("it").stimuli.hash


def test_available():
    listed = {entry.name: entry for entry in available()}
    assert {name for name, entry in listed.items() if entry.simulated} == {
        *("sim-v4", "sim-v1", "sim-v4-compact")
    }
    assert {"cowley2023", "kriegeskorte2008", "cichy2014", "li2026"} <= set(listed)
    assert listed["li2026"].regions == ("IT", "V1", "V2", "V4")
    assert listed["cichy2014"].restricted
    assert listed["cichy2014"].aliases == ("evc", "it-fmri")
    assert listed["cowley2023"].sessions[0] == "210325"
    for name in ("sim-v4", "sim-v1"):
        made = load(name)
        assert listed[name].simulated
        assert listed[name].n_stimuli == made.n_stimuli
        assert listed[name].regions == tuple(made.regions)
        assert listed[name].title == made.describe()["title"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "v44"}, "did you mean 'v4'"),
        ({"name": "cowley2024"}, "did you mean 'cowley2023'"),
        ({"name": "xyzzy"}, "known: sim-v4"),
        ({"name": ""}, "known: sim-v4"),
        ({"name": "cowley2023/210324"}, "no session '210324'; did you mean"),
        ({"name": "cowley2023/"}, "no session ''"),
        ({"name": "it/1"}, "no sessions"),
        ({"name": "v4:210324"}, "no session '210324'; did you mean"),
        ({"name": "evc", "region": "V4"}, "no region 'V4'; known: EVC, IT"),
        ({"name": "sim-v4/x"}, "seed 'x'"),
        ({"name": "sim-v4/-1"}, "seed '-1'"),
        ({"name": "sim-v4", "region": "IT"}, "no region 'IT'"),
        ({"name": "sim-v4", "subject": "sim-9"}, "no subject 'sim-9'; did you mean"),
    ],
)
def test_unknown_names(arguments, said, monkeypatch):
    monkeypatch.setattr(assets, "fetch", None)  # told before anything is fetched
    with pytest.raises(ProbeError) as caught:
        load(**arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def fake_fetch(folder):
    return lambda manifest, name: folder / name


def jpegs(folder, n, session="210325", broken=False):
    from PIL import Image

    with zipfile.ZipFile(folder / f"images_{session}.zip", "w") as archive:
        archive.writestr("__MACOSX/._image0001.jpg", b"resource fork")
        archive.writestr("readme.txt", b"not a picture")
        for k in reversed(range(n)):
            content = io.BytesIO()
            Image.new("RGB", (8, 8), (k, k, k)).save(content, "JPEG")
            archive.writestr(f"../../image{k:04d}.jpg", content.getvalue())


def test_cowley_loader_sorts_names_and_writes_nothing(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    jpegs(folder, 5)
    values = np.random.default_rng(0).poisson(5, (3, 5, 4)).astype(float)
    np.save(folder / "responses_raw_210325.npy", values)
    before = sorted(tmp_path.rglob("*"))
    recording = loaders.cowley2023(manifests()["cowley2023"], "210325", fake_fetch(folder))
    assert recording.stimuli.ids == tuple(f"image{k:04d}.jpg" for k in range(5))
    assert recording.stimuli.image(3).getpixel((0, 0)) == (3, 3, 3)
    np.testing.assert_array_equal(recording.data["responses"].values[2, :, 1], values[1, 2])
    assert sorted(tmp_path.rglob("*")) == before


def test_cowley_count_must_match(tmp_path):
    jpegs(tmp_path, 4)
    np.save(tmp_path / "responses_raw_210325.npy", np.ones((3, 5, 4)))
    with pytest.raises(ProbeError, match=r"shape \(3, 5, 4\): expected \(neurons, 4 images"):
        loaders.cowley2023(manifests()["cowley2023"], "210325", fake_fetch(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not what it should be", b"PK\x03\x04" + bytes(50)])
@pytest.mark.parametrize("name", ["cowley2023", "kriegeskorte2008", "cichy2014"])
def test_broken_files(tmp_path, name, content):
    manifest: Manifest = manifests()[name]
    for file in (*manifest.files, *manifests()["kriegeskorte2008"].files):
        (tmp_path / file.name).write_bytes(content)
    with pytest.raises(ProbeError, match="is not what its manifest says") as caught:
        loaders.LOADERS[name](manifest, manifest.default_session, fake_fetch(tmp_path))
    assert "\n" not in str(caught.value)


def test_pickled_responses_are_refused(tmp_path):
    jpegs(tmp_path, 2)
    np.save(tmp_path / "responses_raw_210325.npy", np.array([{}], dtype=object))
    with pytest.raises(ProbeError, match="is not what its manifest says"):
        loaders.cowley2023(manifests()["cowley2023"], "210325", fake_fetch(tmp_path))


def test_a_mat_file_without_the_variable(tmp_path):
    import scipy.io

    for file in manifests()["kriegeskorte2008"].files:
        scipy.io.savemat(tmp_path / file.name, {"RDMs": np.zeros((2, 2))})
    with pytest.raises(ProbeError, match="is not what its manifest says"):
        loaders.kriegeskorte2008(manifests()["kriegeskorte2008"], None, fake_fetch(tmp_path))
