"""Figures as PDF and SVG files."""

import re
import zlib
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from probe.errors import ProbeError
from probe.output.drawable import Drawable
from probe.output.vectors import MOST_MARKS, VECTORS, read_formats, vector

TITLE, ABOUT = "scores of <b> & “c”", {"seed": 3, "layer": "features.6"}


def drawn(n=10):
    figure = Figure(figsize=(3, 2))
    ax = figure.subplots()
    rng = np.random.default_rng(0)
    ax.scatter(*rng.normal(size=(2, n)))
    ax.plot(*rng.normal(size=(2, n)), ".")
    ax.set_title("score along $ layers")
    return figure


@pytest.mark.parametrize("kind", VECTORS)
def test_the_same_figure_gives_the_same_bytes(kind):
    with mpl.rc_context({"text.parse_math": False}):
        first, second = (vector(drawn(), kind, TITLE, ABOUT) for _ in range(2))
    assert first == second
    assert not re.search(rb"CreationDate|<dc:date", first)


def test_text_of_svg_can_be_searched_and_says_how_it_was_made():
    text = vector(drawn(), ".svg", TITLE, ABOUT).decode()
    root = ElementTree.fromstring(text)
    inside = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "score along $ layers" in inside
    assert TITLE in "".join(root.itertext())
    assert '{"seed": 3, "layer": "features.6"}' in "".join(root.itertext())


def test_fonts_of_pdf_are_embedded_and_it_says_how_it_was_made():
    content = vector(drawn(), ".pdf", "scores", ABOUT)
    assert b"/FontFile2" in content  # TrueType
    assert b"/Type3" not in content
    plain = content + b"".join(_streams(content))
    assert b"(scores)" in plain
    assert rb'{"seed": 3, "layer": "features.6"}' in plain.replace(b"\\", b"")


def _streams(content):
    for one in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            yield zlib.decompress(one)
        except zlib.error:
            continue


def test_very_many_marks_are_an_image_within_it():
    few, many = (vector(drawn(n), ".svg", "", {}) for n in (10, 2 * MOST_MARKS))
    assert b"<image" not in few
    assert many.count(b"<image") >= 1
    assert len(many) < 200_000


def test_the_figure_is_as_it_was():
    figure = drawn(2 * MOST_MARKS)
    vector(figure, ".svg", "", {})
    assert not any(artist.get_rasterized() for artist in figure.findobj())


def test_forms_are_read():
    assert read_formats("svg, PDF") == (".pdf", ".svg")
    assert read_formats("") == read_formats("png") == ()
    with pytest.raises(ProbeError, match=r"format 'pfd' does not exist.*'pdf'"):
        read_formats("svg,pfd")


class Dots(Drawable):
    title, about = "dots", ABOUT

    def plot(self):
        return drawn()


def test_what_is_one_figure_is_saved_as_vectors(tmp_path):
    saved = [Dots().save(tmp_path / f"a{kind}") for kind in (".png", *VECTORS)]
    assert [path.read_bytes()[:4] for path in saved] == [b"\x89PNG", b"%PDF", b"<?xm"]
    beside = Dots().save_vectors(tmp_path / "b.png", VECTORS)
    assert beside == [tmp_path / "b.pdf", tmp_path / "b.svg"]
    assert beside[1].read_bytes() == saved[2].read_bytes()


def test_a_name_with_dollars_is_no_formula():
    from probe.output.pictures import file_of

    content = file_of(lambda figure: figure.suptitle("a${b}$\\frac"), (2, 1), "x", ".svg")
    assert "a${b}$\\frac" in content.decode()


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ["V4\0", "V\x0b4", "V\x1b4", "V4\ufffe"])
def test_a_name_that_xml_cannot_hold_leaves_svg_readable(name):
    figure = Figure()
    figure.suptitle(name)
    root = ElementTree.fromstring(vector(figure, ".svg", name, {"region": name}))
    assert "\N{REPLACEMENT CHARACTER}" in "".join(root.itertext())
