"""Results that are one figure: drawn, shown, saved."""

import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from probe import images
from probe.errors import ProbeError
from probe.output.drawable import Drawable, npy, npz


@dataclass(frozen=True, repr=False)
class Line(Drawable):
    values: np.ndarray

    @property
    def title(self):
        return "a <line>"

    def plot(self):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot(self.values)
        return figure

    @property
    def about(self):
        return {"n": len(self.values)}

    def _contents(self):
        return {".npy": lambda: npy(self.values)}

    def _caption(self):
        return "<p>below</p>"


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield


def test_the_figure_says_how_it_was_made(tmp_path):
    path = Line(np.arange(3.0)).save(tmp_path / "new folder" / "a.png")
    assert images.about(path) == {"n": 3}


def test_what_it_shows_is_saved_by_the_ending(tmp_path):
    path = Line(np.arange(3.0)).save(tmp_path / "a.NPY")
    np.testing.assert_array_equal(np.load(path), [0, 1, 2])


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ProbeError, match=r"\.png, \.pdf, \.svg \(a figure\) or \.npy"):
        Line(np.arange(3.0)).save(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_in_a_shell_and_in_a_notebook():
    line = Line(np.arange(3.0))
    assert repr(line) == "<Line a <line>>"
    html = line._repr_html_()
    assert 'alt="a &lt;line&gt;"' in html
    assert html.endswith("<p>below</p>")


def test_arrays_by_name():
    with np.load(io.BytesIO(npz({"a": np.ones(2), "b": np.zeros(3)}))) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"a": [1, 1], "b": [0, 0, 0]}


def test_all_that_is_one_figure_has_this_base():
    from probe import features, tuning
    from probe.attribution import explain, trust
    from probe.synthesis.atlas import Atlas
    from probe.synthesis.superstimulus import Superstimuli
    from probe.synthesis.visualize_result import Visualisation

    figures = (
        explain.Saliency, trust.Trust, features.TopPatches, features.ActivationMaps,
        tuning.Invariance, Atlas, Visualisation, Superstimuli,
    )  # fmt: skip
    for figure in figures:
        assert issubclass(figure, Drawable)
        assert figure._repr_html_ is Drawable._repr_html_ or figure is explain.Saliency
