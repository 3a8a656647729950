"""How reliable a recording is: real macaque IT, closed forms, and what cannot be known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt

import probe
from probe.comparison.result_reliability import _at_a_time, _over_time
from probe.errors import ProbeError
from probe.plots import plot_reliability
from probe.recordings import Recording, split_half, variance_components
from probe.recordings.reliability import PUBLISHED
from probe.similarity import compare
from probe.stimuli import StimulusSet


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def recording(values, *, regions=None, subjects=None, **attrs):
    s, _, n = values.shape
    ids = [f"s{k:02d}" for k in range(s)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "subject": ("neuroid", subjects or ["A"] * n),
            "region": ("neuroid", regions or ["V4"] * n),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(n)]),
        },
        attrs={"name": "made", **attrs},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2), np.uint8)] * s, "made"))


def noisy(n_stimuli=60, n_repetitions=6, n_neuroids=12, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    signals = signal * rng.normal(size=(n_stimuli, 1, n_neuroids))
    return signals + rng.normal(size=(n_stimuli, n_repetitions, n_neuroids))


@pytest.fixture(scope="module")
def macaque_it():
    """132 sites, 21 conditions, 19 or 20 trials (Zhang & Desimone 2011)."""
    if "PROBE_MIRROR" not in os.environ:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    folder = Path(os.environ["PROBE_MIRROR"]) / "samples/zhang-desimone-it/derived"
    with np.load(folder / "zd_132sites_counts_100_500ms.npz") as arrays:
        return recording(arrays["responses"], regions=["IT"] * 132)


class TestMacaqueIT:
    def test_even_and_odd_trials(self, macaque_it):
        values = macaque_it.data["responses"].values
        _, (rdm,) = macaque_it.rdms()
        assert rdm.mean() == pytest.approx(0.2115, abs=5e-5)
        np.testing.assert_allclose(rdm[:3], [0.0950, 0.1201, 0.2085], atol=5e-5)
        even, odd = (np.nanmean(values[:, k::2], axis=1) for k in (0, 1))
        rdms = [macaque_it.rdm_of(half, "correlation", "A") for half in (even, odd)]
        assert compare(*rdms, "spearman") == pytest.approx(0.888, abs=5e-4)
        r = [np.corrcoef(even[:, k], odd[:, k])[0, 1] for k in range(132)]
        assert np.median(r) == pytest.approx(0.711, abs=5e-4)

    def test_random_halves(self, macaque_it):
        """Even and odd trials, which alternate, share slow drifts; random halves do less."""
        found = probe.reliability(macaque_it)
        assert found.rdms["r_low"][0] < 0.888 < found.rdms["r_high"][0]
        assert found.rdms["r_halves"][0] == pytest.approx(0.86, abs=0.01)
        assert found.neuroids["r_halves"].median() == pytest.approx(0.67, abs=0.01)
        # Both estimates of the same reliability.
        both = found.neuroids[["reliability", "spearman_brown"]]
        assert np.median(both["reliability"] - both["spearman_brown"]) == pytest.approx(0, abs=0.02)


class TestMeasured:
    def test_as_the_functions_of_recordings(self):
        made = recording(noisy())
        found = probe.reliability(made, seed=3, n_splits=5)
        components = variance_components(made)
        pd.testing.assert_frame_equal(found.neuroids[components.columns], components)
        half = split_half(made, n_splits=5, seed=3)
        (row,) = found.rdms.to_dict("records")
        assert row["r_halves"] == half.r
        assert (row["r_low"], row["r_high"]) == (half.splits.min(), half.splits.max())
        assert row["spearman_brown"] == half.spearman_brown

    @pytest.mark.slow
    def test_closed_forms(self):
        """Signal of variance 4, noise of variance 1, six repetitions."""
        found = probe.reliability(recording(noisy(4000, 6, 8, 2.0)), n_splits=2).neuroids
        assert found["snr"].mean() == pytest.approx(4.0, rel=0.03)
        assert found["reliability"].mean() == pytest.approx(4 / (4 + 1 / 6), abs=0.003)
        assert found["reliability_single"].mean() == pytest.approx(4 / 5, abs=0.01)
        assert found["r_halves"].mean() == pytest.approx(4 / (4 + 1 / 3), abs=0.003)
        # As NSD has it: ncsnr² / (ncsnr² + 1/k).
        ncsnr2 = found["snr"]
        np.testing.assert_allclose(found["reliability"], ncsnr2 / (ncsnr2 + 1 / 6))

    def test_each_subject_in_each_region(self):
        made = recording(
            noisy(n_neuroids=9), regions=["V4"] * 6 + ["IT"] * 3, subjects=["A", "B"] * 4 + ["B"]
        )
        found = probe.reliability(made)
        rows = list(zip(found.rdms["region"], found.rdms["subject"], strict=True))
        assert rows == [("V4", "A"), ("V4", "B"), ("IT", "A"), ("IT", "B")]
        assert list(found.rdms["n_neuroids"]) == [3, 3, 1, 2]
        (row,) = found.rdms[found.rdms["n_neuroids"] == 1].to_dict("records")
        assert np.isnan(row["r_halves"])
        assert "only one neuroid" in row["note"]
        assert any("IT, A: no RDM, since" in note for note in found.notes())
        joined = probe.reliability(made, region="all")
        pd.testing.assert_frame_equal(joined.rdms, found.rdms)
        assert joined.facts["recording"]["regions"] == ["V4", "IT"]
        assert "V4, IT, 9 neuroids, 2 subjects" in joined.title

    def test_some_stimuli_were_shown_once(self):
        values = noisy()
        values[30:, 1:] = np.nan
        found = probe.reliability(recording(values))
        assert found.neuroids["reliability"].notna().all()
        assert found.neuroids["r_halves"].isna().all()
        assert "No halves: some stimulus was shown once." in found.notes()
        assert len(found.plot().axes) == 1  # without the RDM

    def test_a_silent_neuroid_is_not_known(self):
        values = noisy()
        values[:, :, 2] = 1.0
        found = probe.reliability(recording(values))
        assert np.isnan(found.neuroids["reliability"][2])
        assert "1 of 12 neuroids: not known." in found.notes()


class TestPublished:
    def made(self, published):
        made = recording(noisy(n_repetitions=1, n_neuroids=4), averaged=True)
        return Recording(made.data.assign_coords({PUBLISHED: ("neuroid", published)}), made.stimuli)

    def test_of_averages(self):
        found = probe.reliability(self.made([0.2, 0.4, 0.9, np.nan]))
        assert found.published
        assert found.summary()["published ρ"][0] == ".400"
        assert "averaged" in found.title
        assert found.notes()[0].startswith("Reliabilities are those that were published")
        assert "1 of 4 neuroids: not known." in found.notes()
        (ax,) = found.plot().axes
        assert "published" in ax.get_ylabel()

    def test_beside_what_is_measured(self):
        made = recording(noisy(n_neuroids=4))
        data = made.data.assign_coords({PUBLISHED: ("neuroid", [0.5] * 4)})
        found = probe.reliability(Recording(data, made.stimuli))
        assert not found.published
        assert found.summary()["published ρ"][0] == ".500"

    def test_none(self):
        with pytest.raises(ProbeError, match="means over repetitions of each stimulus, and no pub"):
            probe.reliability(recording(noisy(n_repetitions=1), averaged=True))

    def test_rdms_only(self):
        if "PROBE_MIRROR" not in os.environ:
            pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
        with pytest.raises(ProbeError, match="holds RDMs only, and no repetitions"):
            probe.reliability("it")


class TestOverTime:
    """Responses (stimulus, repetition, time, neuroid)."""

    def data(self):
        made = recording(noisy(n_neuroids=6))
        at_times = np.stack([noisy(n_neuroids=6, signal=s, seed=k) for k, s in enumerate((0, 2))])
        data = made.data.drop_vars("responses")
        data["responses"] = (
            ("stimulus", "repetition", "time", "neuroid"), np.moveaxis(at_times, 0, 2),
        )  # fmt: skip
        data = data.assign_coords(
            time_start=("time", [0.0, 50.0]), time_end=("time", [50.0, 100.0])
        )
        return data, made.stimuli, at_times

    def test_each_time_is_a_recording(self):
        data, stimuli, at_times = self.data()
        whole, moments = _over_time(data, stimuli)
        assert [(start, end) for start, end, _ in moments] == [(0.0, 50.0), (50.0, 100.0)]
        np.testing.assert_allclose(whole.data["responses"].values, at_times.mean(axis=0))
        for k, (_, _, moment) in enumerate(moments):
            np.testing.assert_array_equal(moment.data["responses"].values, at_times[k])
            (row,) = _at_a_time(moment, "correlation", 20, 0)
            components = variance_components(recording(at_times[k]))
            assert row["reliability"] == pytest.approx(components["reliability"].median())
            half = split_half(recording(at_times[k]))
            assert row["rdm_spearman_brown"] == half.spearman_brown
        assert row["reliability"] > 0.9

    def test_it_is_drawn(self):
        data, stimuli, _ = self.data()
        whole, moments = _over_time(data, stimuli)
        found = probe.reliability(whole)
        times = pd.DataFrame(
            [
                {"time_start": start, "time_end": end, **row}
                for start, end, moment in moments
                for row in _at_a_time(moment, "correlation", 4, 0)
            ]
        )
        figure = plot_reliability(found.neuroids, found.rdms, times)
        assert len(figure.axes) == 3
        line = figure.axes[2].lines[0]
        np.testing.assert_array_equal(line.get_xdata(), [25.0, 75.0])
        np.testing.assert_array_equal(line.get_ydata(), times["reliability"])


class TestShown:
    def test_dots_say_which_share_is_as_reliable(self):
        found = probe.reliability(recording(noisy(n_neuroids=40)))
        ax = found.plot().axes[0]
        shares, values = ax.collections[0].get_offsets().T
        known = found.neuroids["reliability"].to_numpy()
        for share, value in zip(shares, values, strict=True):
            assert (known >= value).mean() == pytest.approx(share / 100)
        label = ax.get_legend_handles_labels()[1][0]
        assert label == f"V4, A: 40 neuroids, median {np.median(known):.2f}".replace("0.", ".")

    def test_nothing_to_draw(self):
        found = probe.reliability(recording(noisy()))
        with pytest.raises(ProbeError, match="no neuroid has a reliability"):
            plot_reliability(found.neuroids.assign(reliability=np.nan), found.rdms)

    def test_it_is_saved_whole(self, tmp_path):
        found = probe.reliability(recording(noisy()), output=tmp_path / "out")
        assert {p.name for p in (tmp_path / "out").iterdir()} == set(found.files)
        table = pd.read_csv(tmp_path / "out/neuroids.csv")
        np.testing.assert_allclose(table["reliability"], found.neuroids["reliability"])
        about = json.loads((tmp_path / "out/reliability.json").read_text())
        assert about["source"] == "repetitions"
        assert about["provenance"]["settings"] == {
            "metric": "correlation", "n_splits": 20, "seed": 0,
        }  # fmt: skip

    def test_it_shows_itself(self):
        found = probe.reliability(recording(noisy(), simulated=True))
        assert "SIMULATED recording made" in repr(found)
        assert "<img" in found._repr_html_()
        assert "SNR" in found.summary()
