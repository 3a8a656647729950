"""Every kind of bad input: one line on stderr, exit code 2, and what would work."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe.assets import download, manifest
from probe.models.architectures import official


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--layers", "features.33"], ["'features.33'", "did you mean 'features.3'"]),
        (["--layers", "convv"], ["'convv'", "did you mean", "probe layers"]),
        (["--layers", ","], ["no layer ''"]),
        (["--metric", "corelation"], ["metric 'corelation'", "did you mean 'correlation'"]),
        (["--comparator", "spearmen"], ["comparator 'spearmen'", "did you mean 'spearman'"]),
        (["--region", "labb"], ["region 'labb'", "did you mean 'lab'"]),
        (["--subject", "2"], ["subject '2'", "1"]),
        (["--device", "gpu"], ["device 'gpu'", "cpu"]),
        (["--weights", "nowhere.pth"], ["'nowhere.pth' do not exist", "imagenet, random"]),
        (["--preprocessing", "resized"], ["'resized'", "did you mean 'resize'"]),
        (["--seed", "-1"], ["seed -1: expected a number ≥ 0"]),
        (["--seed", "one"], ["--seed", "integer"]),
        (["--n-resamples", "1"], ["--n-resamples 1: expected a number ≥ 2"]),
        (["--batch-size", "0"], ["--batch-size 0: expected a number ≥ 1"]),
        (["--layer", "features.0"], ["No such option: --layer", "--layers"]),
        (["--output"], ["--output", "requires an argument"]),
        (["--comparator", "cosine", "surplus"], ["model 'surplus' and model", "expected one"]),
    ],
)
def test_options(rsa, lab, arguments, parts):
    error = rsa(lab, *arguments).error
    for part in parts:
        assert part in error
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("alexnett", ["unknown model 'alexnett'", "did you mean 'alexnet'", "probe models"]),
        ("timm:resnet1888", ["timm"]),
        ("file:nothing.pth", ["'nothing.pth'", "file:ARCHITECTURE@"]),
        ("file:alexnet@nothing.pth", ["nothing.pth"]),
    ],
)
def test_models(run, lab, model, parts):
    error = run("rsa", "--model", model, "--dataset", lab, "--layers", "features.0").error
    for part in parts:
        assert part in error


@pytest.mark.parametrize(
    ("dataset", "parts"),
    [
        ("v5", ["recording 'v5' does not exist", "evc, it-fmri, v4, it", "probe datasets"]),
        ("cowley2032", ["'cowley2032'", "did you mean 'cowley2023'"]),
        ("cowley2023/210352", ["no session '210352'", "did you mean '210325'"]),
        ("sim-v4/x", ["seed 'x'"]),
        ("./nothing", ["folder './nothing' does not exist"]),
        ("", ["recording '' does not exist"]),
    ],
)
def test_datasets(rsa, dataset, parts):
    error = rsa(dataset).error
    for part in parts:
        assert part in error


def test_regions_are_told_before_a_download(rsa, own_cache):
    error = rsa("it", "--region", "IT-humann").error
    assert "no region 'IT-humann'; did you mean 'IT-human'" in error
    assert not (own_cache / "assets").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rsa"], ["Missing option '--model'", "probe rsa --help"]),
        (["rsaa"], ["No such command 'rsaa'", "probe --help"]),
        (["--verison"], ["No such option: --verison", "--version"]),
        (["layers"], ["Missing argument 'model'"]),
        (["layers", "resnet19"], ["'resnet19'", "did you mean 'resnet1"]),
        (["layers", "alexnet", "--layers", "conv9"], ["'conv9'", "did you mean 'conv"]),
        (["models", "alexnext"], ["'alexnext'", "did you mean 'alexnet'"]),
        (["assets", "fetch", "alexnt"], ["'alexnt'", "did you mean 'alexnet'"]),
        (["assets", "add", "nothing.bin"], ["'nothing.bin' cannot be read"]),
        (["assets", "fetch"], ["Missing argument"]),
    ],
)
def test_commands(run, arguments, parts):
    error = run(*arguments).error
    for part in parts:
        assert part in error


class TestOnesOwnRecording:
    def test_an_image_that_cannot_be_read(self, rsa, lab):
        path = lab / "images" / "p03.png"
        path.write_bytes(path.read_bytes()[:-300])
        assert "p03.png' cannot be read" in rsa(lab).error

    def test_a_constant_recording_rdm(self, rsa, lab):
        np.save(lab / "responses.npy", np.eye(12)[:, None])
        error = rsa(lab).error
        assert "recording 'lab'" in error
        assert "RDM is constant" in error

    def test_a_constant_response_pattern(self, rsa, lab):
        responses = np.load(lab / "responses.npy")
        responses[4] = 1.0
        np.save(lab / "responses.npy", responses)
        assert "stimulus 'p04.png'" in rsa(lab).error

    def test_a_constant_layer_rdm(self, rsa, lab):
        for path in (lab / "images").iterdir():
            Image.new("RGB", (16, 16), (200, 100, 50)).save(path)
        error = rsa(lab, "--layers", "features.0").error
        assert "layer 'features.0' of squeezenet1_1" in error
        assert "RDM is constant" in error

    def test_responses_that_are_missing(self, rsa, lab):
        responses = np.load(lab / "responses.npy")
        responses[7, :, 2] = np.nan
        np.save(lab / "responses.npy", responses)
        assert "neuroid 'n0003' to stimulus 'p07.png'" in rsa(lab).error

    def test_stimuli_that_are_missing(self, rsa, lab):
        (lab / "images" / "p05.png").unlink()
        assert "11 images for 12 stimuli" in rsa(lab).error
        names = [f"p{k:02d}.png" for k in range(12)]
        (lab / "stimuli.csv").write_text("\n".join(["stimulus_id", *names]) + "\n")
        assert "stimulus 'p05.png' not in stimulus set 'lab'" in rsa(lab).error

    def test_too_few_stimuli(self, rsa, lab):
        np.save(lab / "responses.npy", np.load(lab / "responses.npy")[:4])
        for k in range(4, 12):
            (lab / "images" / f"p{k:02d}.png").unlink()
        assert "4 stimuli, too few to resample: at least 5" in rsa(lab).error

    def test_responses_that_are_no_array(self, rsa, lab):
        (lab / "responses.npy").write_text("1,2,3")
        assert "not a .npy file of numbers" in rsa(lab).error


class TestFolders:
    def test_a_result_folder_below_a_file(self, rsa, lab, tmp_path):
        (tmp_path / "file").write_text("")
        error = rsa(lab, "-o", tmp_path / "file" / "out").error
        assert "file/out' cannot be written" in error
        assert "--output" in error

    @pytest.mark.parametrize("dataset", ["sim-v4", "v4"])
    def test_a_cache_folder_below_a_file(self, rsa, tmp_path, monkeypatch, dataset):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "file" / "cache"))
        error = rsa(dataset, "--layers", "features.0").error
        assert "file/cache" in error
        assert "PROBE_CACHE" in error


class TestForeignFiles:
    def test_a_corrupted_download(self, run, lab, web, own_cache, monkeypatch):
        folder, address = web
        weights = official("squeezenet1_0").value
        name = weights.url.rsplit("/", 1)[-1]
        (folder / name).write_bytes(b"not what it should be")
        monkeypatch.setattr(weights, "url", f"{address}/{name}")
        error = run("rsa", "-m", "squeezenet1_0", "-d", lab).error
        assert f"torchvision/{name}" in error
        assert "has sha256:" in error
        assert "expected sha256-prefix:" in error
        assert not list(own_cache.rglob(f"*{name}*.part"))
        assert not (own_cache / "assets" / "torchvision" / name).exists()

    def test_a_tampered_cache_file(self, run, rsa, mirror, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
        fetched = run("assets", "fetch", "cowley2023/images_210325.zip")
        path = Path(fetched.out.strip())
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
        error = rsa("v4").error
        assert str(path) in error
        assert error.count("sha256:") == 2
        assert "run again" in error
        assert not path.exists()
        assert run("assets", "fetch", "cowley2023/images_210325.zip").code == 0

    def test_a_tampered_mirror_file(self, rsa, own_cache, tmp_path, monkeypatch):
        path = tmp_path / "mirror" / "cowley2023" / "images_210325.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"PK something else")
        monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "mirror"))
        error = rsa("v4").error
        assert str(path) in error
        assert error.count("sha256:") == 2
        assert not (own_cache / "assets" / "cowley2023" / path.name).exists()

    def test_offline_and_not_cached(self, rsa, own_cache, monkeypatch):
        real = manifest.of_manifest
        monkeypatch.setattr(
            manifest,
            "of_manifest",
            lambda *a: dataclasses.replace(real(*a), url="https://127.0.0.1:9/file"),
        )
        monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.0)
        error = rsa("v4").error
        for part in (
            "cowley2023/images_210325.zip", "cache", "PROBE_MIRROR is not set",
            "connection refused", "connect", "PROBE_MIRROR=DIR", "probe assets add FILE",
        ):  # fmt: skip
            assert part in error

    def test_a_restricted_licence(self, rsa, own_cache):
        error = rsa("evc").error
        assert "restricted licence" in error
        assert "--accept-licence" in error

    def test_a_checkpoint_of_another_network(self, run, lab, tmp_path):
        import torch

        torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
        error = run(
            "rsa", "-m", "squeezenet1_1", "-d", lab, "--weights", tmp_path / "other.pth"
        ).error
        assert "other.pth" in error
        assert "do not fit" in error
        (tmp_path / "broken.pth").write_bytes(b"rubbish")
        error = run(
            "rsa", "-m", "squeezenet1_1", "-d", lab, "--weights", tmp_path / "broken.pth"
        ).error
        assert "broken.pth' cannot be read" in error


@pytest.mark.parametrize("text", ["0", "1.5", "all"])
def test_a_number_of_threads_that_is_none(run, monkeypatch, text):
    monkeypatch.setenv("PROBE_THREADS", text)
    error = run("models").error
    assert error == f"PROBE_THREADS {text!r}: expected a whole number ≥ 1"
