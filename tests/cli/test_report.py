"""``probe report``, and the options with which other commands write more."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("_small_squeezenet")


@pytest.fixture
def folder(rsa, lab, tmp_path):
    ran = rsa(lab, "-o", tmp_path / "result", "--report", "--format", "svg,pdf")
    assert ran.code == 0, ran
    for name in ("report.html", "figure.svg", "figure.pdf", "figure.png"):
        assert f"wrote {tmp_path / 'result' / name}" in ran.out
        assert (tmp_path / "result" / name).stat().st_size > 1000
    return tmp_path / "result"


def test_with_the_result_and_afterwards(run, folder):
    first = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    assert run("report", folder).out == f"wrote {folder / 'report.html'}\n"
    assert (folder / "report.html").read_text() == first
    assert "probe rsa" in first
    ran = run("report", folder, folder, "-o", "both.html", "--title", "Two of them")
    assert ran.out == "wrote both.html\n"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["nowhere"], ["'nowhere' does not exist", "probe rsa"]),
        (["."], ["'.' holds no result", "probe rsa", "probe saliency"]),
        ([".", "-o", "a.pdf"], ["'a.pdf' cannot be written", ".html"]),
        ([], ["Missing argument"]),
    ],
)
def test_bad_input(run, words, parts, tmp_path):
    error = run("report", *words).error
    assert all(part in error for part in parts)
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("command", ["rsa", "encode", "compare", "saliency", "tuning", "filters"])
def test_a_form_that_does_not_exist(run, command, tmp_path, lab):
    words = {
        "rsa": ["-m", "alexnet", "-d", lab],
        "encode": ["-m", "alexnet", "-d", lab],
        "compare": ["a.npz", "b.npz"],
        "saliency": [lab / "images" / "p00.png", "-m", "alexnet"],
        "tuning": ["alexnet"],
        "filters": ["alexnet"],
    }[command]
    assert "format 'eps' does not exist" in run(command, *words, "--format", "pdf,eps").error
    assert list((tmp_path / "here").iterdir()) == []


def test_a_map_of_saliency(run, tmp_path):
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save("cat.png")
    words = ["cat.png", "-m", "squeezenet1_1", "--weights", "random", "--method", "gradient"]
    ran = run("saliency", *words, "-o", "map.png", "--report", "--format", "svg", "--json")
    assert json.loads(ran.out)[0]["files"] == ["map.png", "map.svg", "map.html"]
    page = (tmp_path / "here" / "map.html").read_text()
    assert "gradient (Simonyan et al. 2014)" in page
    assert "squeezenet1_1 (Iandola et al. 2016)" in page
    assert 'alt=""' not in page
    again = run("report", "map.png", "-o", "again.html")
    assert again.code == 0
    assert "data:image/png;base64," in (tmp_path / "here" / "again.html").read_text()
