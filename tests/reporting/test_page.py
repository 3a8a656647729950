"""A page: what is in it, and that nothing of a user's data is more than text there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

import probe
from probe.errors import ProbeError

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


class Parsed(HTMLParser):
    """Tags with their attributes, and all text outside the script and the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.script, self.style, self._in = "", "", "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in:
            setattr(self, self._in, getattr(self, self._in) + data)
        else:
            self.text += data


def test_the_page_of_a_folder_is_that_of_the_result(rsa, rsa_folder, encoding, tmp_path):
    of_folder = probe.report(rsa_folder, output=tmp_path / "a.html").read_text()
    of_result = probe.report(rsa, output=tmp_path / "b.html").read_text()
    assert of_folder == of_result
    assert probe.report(encoding, output=tmp_path / "c.html").exists()


def test_what_is_in_it(rsa, rsa_folder):
    path = probe.report(rsa_folder)
    assert path == rsa_folder / "report.html"
    page = Parsed(path.read_text())
    assert rsa.title in page.text
    for note in rsa.notes():
        assert note in page.text
    assert "Kriegeskorte et al. 2008" in page.text
    assert "@article{kriegeskorte2008," in page.text
    assert "Doe & Roe (2020). A recording." in page.text
    assert "CC0" in page.text
    assert "20 permutations" in page.text
    assert rsa.facts["recording"]["stimulus_hash"] in page.text
    assert rsa.provenance["versions"]["torch"] in page.text
    svgs = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(svgs) == 1
    assert rsa.title in svgs[0]["aria-label"]
    assert "pixels" in page.text  # the legend of the figure is text
    path.unlink()


def test_simulated_is_said_at_the_title_and_in_the_methods(rsa_folder, tmp_path):
    text = probe.report(rsa_folder, output=tmp_path / "a.html").read_text()
    head, _, rest = text.partition("</header>")
    assert "<title>SIMULATED" in head
    assert "SIMULATED" in head.partition("<h1>")[2]
    methods = rest.partition('class="methods"')[2].partition("</div>")[0]
    assert "SIMULATED: its responses were generated, not measured" in methods


def test_it_loads_nothing_and_runs_its_own_script_alone(rsa_folder, encoding_folder, tmp_path):
    path = probe.report(rsa_folder, encoding_folder, output=tmp_path / "a.html")
    page = Parsed(path.read_text())
    (policy,) = (
        a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    for text, kind in ((page.script, "script"), (page.style, "style")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    _check_harmless(page)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [a["href"][1:] for t, a in page.tags if t in ("a", "use")]
    assert set(targets) <= set(names)


def _check_harmless(page: Parsed) -> None:
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert [tag for tag, _ in page.tags].count("style") == 1
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "form", "base", "link", "input")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value)


def test_hostile_names_are_text(hostile, hostile_text, tmp_path):
    path = probe.report(
        hostile / "rsa", hostile / "encode", output=tmp_path / "a.html", title=hostile_text
    )
    page = Parsed(path.read_text())
    _check_harmless(page)
    assert page.text.count(hostile_text) > 10
    assert "49" not in re.findall(r"\$?\{?\{?(49)\}", page.text)


def test_a_table_of_contents_of_several(rsa_folder, encoding_folder, tmp_path):
    alone = probe.report(rsa_folder, output=tmp_path / "a.html").read_text()
    both = probe.report(rsa_folder, encoding_folder, output=tmp_path / "b.html").read_text()
    assert "<nav" not in alone
    assert "<nav" in both
    assert '<a href="#s2">tiny predicts SIMULATED recording mine' in both


def test_a_map_has_its_comparisons(rsa, tmp_path):
    probe.RSAMap([rsa]).save(tmp_path / "map")
    page = Parsed(probe.report(tmp_path / "map").read_text())
    assert [tag for tag, _ in page.tags].count("svg") == 2
    assert ("section", {"id": "s1-1", "class": "result depth2"}) in page.tags


@pytest.mark.parametrize("name", ["folder", "none", "notes.txt", "cat.png"])
def test_no_result_is_one_line_and_nothing_is_written(tmp_path, name):
    from PIL import Image

    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProbeError, match=r"probe rsa.*probe encode") as told:
        probe.report(tmp_path / name)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_else_is_refused(rsa_folder, tmp_path):
    with pytest.raises(ProbeError, match="nothing to report"):
        probe.report()
    with pytest.raises(ProbeError, match=r"has to end in \.html"):
        probe.report(rsa_folder, output=tmp_path / "a.pdf")
    with pytest.raises(ProbeError, match="a int cannot be reported"):
        probe.report(3, output=tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "name"),
    [("model", "layers"), ("recording", "simulated"), ("comparison", "remarks")],
)
def test_a_result_that_lacks_something_is_one_line(rsa_folder, tmp_path, part, name):
    folder = shutil.copytree(rsa_folder, tmp_path / "rsa")
    about = json.loads((folder / "result.json").read_text())
    del about[part][name]
    (folder / "result.json").write_text(json.dumps(about))
    with pytest.raises(ProbeError, match=f"another version of probe wrote it.*{name}") as told:
        probe.report(folder)
    assert "\n" not in str(told.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.csv", "a,b\n1,2\n", "pairs.csv has no column"),
        ("best.csv", "model\nx\n", r"2 runs \(result\.json and best\.csv\)"),
    ],
)
def test_a_table_of_something_else_is_one_line(rsa_folder, tmp_path, name, content, message):
    folder = shutil.copytree(rsa_folder, tmp_path / "rsa")
    (folder / name).write_text(content)
    with pytest.raises(ProbeError, match=message):
        probe.report(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b'{"provenance": []}'),
        ("result.json", b'{"provenance": {"versions": [1]}}'),
        ("a.png", b"no picture"),
        ("a.csv", b'a,b\n1,2,3\n"'),
    ],
)
def test_a_damaged_part_is_one_line(tmp_path, name, content):
    (tmp_path / "result.json").write_text('{"provenance": {}}')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProbeError, match=r"damaged|cannot be read") as told:
        probe.report(tmp_path)
    assert "\n" not in str(told.value)


def test_a_folder_of_superstimuli_is_one_section(tmp_path):
    import numpy as np

    from probe.output.pictures import save_picture

    about = {
        "model": "alexnet", "weights": "somewhere", "makers": ["alexnet", "vgg16"],
        "judge": "resnet18", "simulated": False, "budget": {"mean": 0.5, "contrast": 0.2},
        "site": {"site:v4:3": {"recording": "cowley2023/210325", "said": "r .5"}},
    }  # fmt: skip
    for k in range(2):
        pixels = np.full((8, 8, 3), k / 2)
        save_picture(tmp_path / f"{k:02d}-site.png", pixels, {**about, "picture": k})
    (tmp_path / "table.csv").write_text("site,judged\nsite:v4:3,1.5\nsite:v4:4,2.5\n")
    page = Parsed(probe.report(tmp_path).read_text())
    assert [tag for tag, _ in page.tags].count("section") == 3  # with terms and references
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [one["alt"] for one in pictures] == ["00-site.png", "01-site.png"]
    assert "predicted by readouts of alexnet (Krizhevsky 2014) and vgg16" in page.text
    assert "@article{cowley2026," in page.text
    assert "GPL-3.0" in page.text
    assert "site:v4:4" in page.text


def test_a_picture_of_probe_is_reported_beside_it(tmp_path):
    import numpy as np

    from probe.output.pictures import save_picture

    about = {
        "model": "squeezenet1_1", "weights": "somewhere", "image": "<cat>.png", "seed": 0,
        "target": "tabby", "method": "grad-cam", "layer": "features.12", "settings": {"steps": 3},
    }  # fmt: skip
    path = save_picture(tmp_path / "map.png", np.zeros((8, 8, 3)), about)
    assert probe.report(path) == tmp_path / "map.html"
    page = Parsed((tmp_path / "map.html").read_text())
    assert "grad-cam (Selvaraju et al. 2017) at layer features.12, with steps 3" in page.text
    assert "<cat>.png" in page.text


def test_other_results_are_reported_too(rsa, encoding, recording, tmp_path):
    from probe.encoding.map import Encodings

    compared = probe.compare(rsa.rdms, rsa.recorded, n_resamples=20)
    reliable = probe.reliability(recording)
    path = probe.report(
        compared, reliable, Encodings((encoding, encoding)), output=tmp_path / "a.html"
    )
    page = Parsed(path.read_text())
    _check_harmless(page)
    for result in (compared, reliable):
        assert result.title in page.text
        assert all(note in page.text for note in result.notes())
    assert "model RDMs and 1 RDM of data (Kriegeskorte et al. 2008)" in page.text
    assert [tag for tag, _ in page.tags].count("svg") >= 6


def test_letters_are_those_of_the_list(tmp_path):
    import numpy as np

    from probe.output.pictures import save_picture

    about = {"weights": "somewhere", "image": "a.png", "target": "tabby", "method": "grad-cam"}
    for k, model in enumerate(("convnext_tiny", "swin_v2_t")):
        save_picture(tmp_path / f"{k}.png", np.zeros((8, 8, 3)), {**about, "model": model})
    page = Parsed(probe.report(tmp_path).read_text())
    (first,) = re.findall(r"convnext_tiny \(Liu et al\. (2022[ab])\)", page.text)
    (second,) = re.findall(r"swin_v2_t \(Liu et al\. (2022[ab])\)", page.text)
    assert {first, second} == {"2022a", "2022b"}
    (of_swin,) = re.findall(r"\((2022[ab])\)\. Swin Transformer V2", page.text)
    assert of_swin == second
    assert f"{{liu{second}," in page.text


def test_a_damaged_picture_of_several_is_left_out_and_named(tmp_path):
    import numpy as np

    from probe.output.pictures import save_picture

    pixels = np.random.default_rng(0).random((64, 64, 3))
    for name in ("a.png", "b.png"):
        save_picture(tmp_path / name, pixels, {"model": "alexnet", "method": "gradient"})
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.png").write_bytes(b"no picture")
    page = Parsed(probe.report(tmp_path).read_text())
    assert "b.png, c.png cannot be read: they are damaged, and left out." in page.text
    assert [tag for tag, _ in page.tags].count("img") == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(ProbeError, match=r"b\.png, c\.png cannot be read"):
        probe.report(tmp_path)


class TestMethodsOfSavedResults:
    """Of a folder, what is said is what is said of the result itself, and only what was done."""

    @staticmethod
    def sections(result, folder):
        from probe.reporting.opening import sections_of
        from probe.reporting.sections import Sections

        result.save(folder)
        (saved,) = sections_of(folder, Sections())
        made = Sections().of(result)
        assert list(saved.methods) == list(made.methods)
        assert saved.references == made.references
        assert list(saved.terms) == list(made.terms)
        assert saved.kind == made.kind
        assert saved.simulated == made.simulated
        return saved, " ".join(saved.methods)

    def test_compare(self, rsa, tmp_path):
        compared = probe.compare(rsa.rdms, rsa.recorded, n_resamples=20, seed=3)
        saved, text = self.sections(compared, tmp_path)
        assert "SIMULATED" in text  # the recording of these tests is
        assert "20 permutations of the stimulus labels (Mantel 1967)" in text
        assert "Random numbers have the seed 3." in text
        assert "mantel1967" in {work.key for work in saved.references}

    def test_reliability(self, recording, tmp_path):
        _, text = self.sections(probe.reliability(recording, n_splits=3), tmp_path)
        assert "random halves 3 times" in text
        assert "SIMULATED" in text
        assert "3 neuroids of subject a in V4" in text

    def test_reliability_that_was_published(self, recording, tmp_path):
        once = recording.data.isel(repetition=[0])
        once = once.assign_coords(published_reliability=("neuroid", [0.5, 0.6, 0.7]))
        once.attrs["averaged"] = True
        published = type(recording)(once, recording.stimuli)
        _, text = self.sections(probe.reliability(published), tmp_path)
        assert "none was measured" in text
        assert "halves" not in text

    def test_searchlight(self, network, recording, tmp_path):
        import numpy as np

        n = recording.n_neuroids
        data = recording.data.assign_coords(
            {axis: ("neuroid", [k if axis == "i" else 0 for k in range(n)]) for axis in "ijk"}
        )
        data.attrs |= {"volume_shape": (n, 1, 1), "affine": np.eye(4).ravel(), "space": "T1w"}
        options = {"radius": 1.5, "layers": "act", "progress": False}
        for permutations in (0, 19):
            result = probe.searchlight(
                network, type(recording)(data, recording.stimuli), permutations=permutations,
                **options,
            )  # fmt: skip
            _, text = self.sections(result, tmp_path / str(permutations))
            assert "Around each of 3 voxels, those within 1.5 mm (2 to 3, median 2)" in text
            assert ("Scores were not tested" in text) == (permutations == 0)
            assert ("19 permutations of stimuli" in text) == (permutations == 19)

    def test_transfer(self, network, tmp_path):
        import numpy as np

        from probe.stimuli import StimulusSet

        rng = np.random.default_rng(0)
        ids = [f"{name}/{k}" for name in ("dark", "light") for k in range(6)]
        shown = [(rng.random((16, 16, 3)) * 90 + 120 * (k > 5)).astype(np.uint8) for k in range(12)]
        result = probe.transfer(
            network, StimulusSet(ids, shown, "tones"), layers="act", baselines="none", folds=3,
            repeats=1, n_resamples=20, shots="none", progress=False,
        )  # fmt: skip
        _, text = self.sections(result, tmp_path)
        assert "12 pictures of 2 classes (tones)" in text
        assert "once in 3 stratified folds, which were drawn 1 time." in text
        assert "No baselines were computed." in text
        assert "of each class." not in text  # no curve was drawn


class TestNothingAboveZero:
    """A headline does not say what is most like the data where no score is above zero."""

    @pytest.fixture
    def unlike(self, rsa):
        from dataclasses import replace

        columns = {"p_zero": 0.4, "p_zero_fdr": 0.6, "p_zero_holm": 0.8}
        return replace(rsa, table=rsa.table.assign(**columns))

    def test_of_a_map(self, rsa, unlike):
        from probe.reporting.sections import Sections

        verdict = Sections().of(probe.RSAMap([rsa, unlike])).verdict
        assert verdict.count("most like") == (rsa.no_relation() == "")
        assert "no layer scores above zero: p (FDR) ≥ .600 for all." in verdict

    def test_of_rdms(self, rsa):
        import numpy as np

        from probe.reporting.sections import Sections
        from probe.similarity.rdm_set import RDMs

        rng = np.random.default_rng(0)
        n = rsa.rdms.n_stimuli
        rdms = [
            RDMs(rng.random((2, n * (n - 1) // 2)), (f"{who} 1", f"{who} 2"), rsa.rdms.stimulus_ids,
                 "correlation")
            for who in ("model", "subject")
        ]  # fmt: skip
        verdict = Sections().of(probe.compare(*rdms, n_resamples=50)).verdict
        assert "most like" not in verdict
        assert verdict.startswith("No model scores above zero: p (FDR) ≥ ")
        alike = Sections().of(probe.compare(rdms[0], rdms[0], n_resamples=50)).verdict
        assert "is most like the data" in alike
