"""MEG and EEG by MNE: what is kept, what is left out, and what is refused."""

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from probe.errors import ProbeError
from probe.recordings import from_folder, read_recording

mne = pytest.importorskip("mne", reason="mne is not installed")

SAMPLE = Path(os.environ.get("PROBE_MIRROR", "")) / "samples/mne-evoked/test-ave.fif.gz"
TYPES = ["mag", "grad", "eeg", "eeg", "stim", "eog"]
NAMES = ["MEG 0111", "MEG 0112", "EEG 001", "EEG 002", "STI 014", "EOG 061"]
PICTURES = ["p3", "p1", "p2", "p1", "p3", "p2", "p4", "p4"]


def make_info(bads=(), rate=100.0):
    info = mne.create_info(NAMES, rate, TYPES)
    info["bads"] = list(bads)
    return info


def values(n=8, seed=0):
    """What single precision holds exactly, as small as fields are."""
    rng = np.random.default_rng(seed)
    return rng.integers(-999, 999, (n, len(NAMES), 30)).astype(np.float64) * 2.0**-40


def make_epochs(n=8, metadata=None, codes=None, event_id=None, **options):
    codes = np.array([3, 1, 2, 1, 3, 2, 4, 4][:n] if codes is None else codes)
    events = np.column_stack([np.arange(n) * 100, np.zeros(n, int), codes])
    with mne.utils.use_log_level("ERROR"):
        return mne.EpochsArray(
            values(n), make_info(**options), events, tmin=-0.1, metadata=metadata,
            event_id=event_id or {f"p{k}": k for k in np.unique(codes).tolist()},
        )  # fmt: skip


def save(epochs, path):
    with mne.utils.use_log_level("ERROR"):
        epochs.save(path, overwrite=True)
    return path


def sample():
    if not SAMPLE.is_file():
        pytest.skip("the samples are not here")
    return SAMPLE


@pytest.fixture(scope="module")
def evoked():
    """What MNE itself reads of the sample."""
    with mne.utils.use_log_level("ERROR"):
        return mne.read_evokeds(sample(), proj=False)


def test_the_sample_of_mne(evoked):
    reading = read_recording(sample())
    kinds = reading.neuroid_columns["channel_type"]
    assert [kinds.count(kind) for kind in ("grad", "mag", "eeg")] == [204, 102, 60]
    assert reading.neuroid_columns["region"] == kinds
    assert dict(zip(kinds, reading.neuroid_columns["unit"], strict=True)) == {
        "grad": "T/m", "mag": "T", "eeg": "V",
    }  # fmt: skip
    assert "left out: 9 stim channels, 1 eog channel" in reading.notes
    assert reading.stimulus_ids == (
        "Left Auditory", "Right Auditory", "Left visual", "Right visual",
    )  # fmt: skip
    assert reading.averaged
    assert reading.responses.shape == (4, 1, 421, 366)
    channels = [evoked[0].ch_names.index(n) for n in reading.neuroid_columns["neuroid_id"]]
    expected = np.stack([one.data[channels].T for one in evoked])
    np.testing.assert_array_equal(reading.responses[:, 0], expected)
    np.testing.assert_allclose(reading.times[:, 0], 1000 * evoked[0].times, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", ["15ms", "25ms"])
def test_steps_hold_as_many_samples_each(tmp_path, pictures, step):
    """A mean over two samples has less noise than one: curves would be jagged by themselves."""
    path = save(make_epochs(), tmp_path / "s-epo.fif")
    with pytest.raises(ProbeError, match=r"hold \d to \d samples, .* 10 ms apart.* of \d0 or"):
        read_recording(path, stimuli=pictures, window="0,150ms", step=step)
    whole = read_recording(path, stimuli=pictures).save(tmp_path / "out")
    with pytest.raises(ProbeError, match=r"their noise differs: choose steps of \d0 or \d0"):
        whole.in_steps(0, 150, float(step.removesuffix("ms")))
    assert len(whole.in_steps(0, 160, 20).times) == 8


def test_the_subject_is_the_files(tmp_path):
    epochs = make_epochs()
    epochs.info["subject_info"] = {"his_id": "S05"}
    reading = read_recording(save(epochs, tmp_path / "s-epo.fif"))
    assert set(reading.neuroid_columns["subject"]) == {"S05"}
    with pytest.raises(ProbeError, match="names the subject itself: S05"):
        read_recording(tmp_path / "s-epo.fif", subject="S06")


def test_a_window_has_no_sample_that_lies_outside(evoked):
    """mne's crop to 70–170 ms takes 61 samples, the first at 69.9 ms; 60 lie in the window."""
    reading = read_recording(sample(), window="70,170ms")
    cropped = evoked[0].copy().crop(0.07, 0.17).times
    assert len(cropped) == 61
    assert cropped[0] < 0.07 < cropped[1]
    assert "60 samples from 70 to 170 ms were averaged" in reading.notes
    channels = [evoked[0].ch_names.index(n) for n in reading.neuroid_columns["neuroid_id"]]
    inside = (evoked[0].times >= 0.07) & (evoked[0].times < 0.17)
    expected = np.stack([one.data[channels][:, inside].mean(axis=1) for one in evoked])
    np.testing.assert_allclose(reading.responses[:, 0], expected, rtol=1e-12)


def responses_of(names, of_epochs):
    shown = list(dict.fromkeys(names))
    rows = [[k for k, name in enumerate(names) if name == one] for one in shown]
    return np.stack([of_epochs[of_one] for of_one in rows]).swapaxes(2, 3)


@pytest.mark.parametrize("suffix", ["-epo.fif", "-epo.fif.gz", ".fif"])
def test_epochs_by_the_names_of_their_events(tmp_path, pictures, suffix):
    path = save(make_epochs(), tmp_path / f"s{suffix}")
    reading = read_recording(path, stimuli=pictures)
    assert reading.stimulus_ids == ("p3", "p1", "p2", "p4")  # as shown, not by their codes
    np.testing.assert_array_equal(reading.responses, responses_of(PICTURES, values()[:, :4]))
    assert reading.neuroid_columns["neuroid_id"] == NAMES[:4]
    assert reading.neuroid_columns["region"] == ["mag", "grad", "eeg", "eeg"]
    np.testing.assert_array_equal(reading.times[:, 0], -100 + 10.0 * np.arange(30))
    recording = reading.save(tmp_path / "out")
    np.testing.assert_array_equal(recording.data["responses"].values, reading.responses)
    assert recording.select("eeg").n_neuroids == 2
    assert not recording.counts
    part = from_folder(tmp_path / "out").window(0, 100)  # 0, 10, … 90 ms
    np.testing.assert_allclose(
        part.data["responses"].values, reading.responses[:, :, 10:20].mean(axis=2)
    )


def test_single_precision_of_fif(tmp_path):
    """Values that single precision does not hold come back to 6e-8 of themselves."""
    epochs = make_epochs()
    epochs._data *= np.pi
    reading = read_recording(save(epochs, tmp_path / "s-epo.fif"))
    expected = responses_of(PICTURES, epochs._data[:, :4])
    assert not np.array_equal(reading.responses, expected)
    np.testing.assert_allclose(reading.responses, expected, rtol=6e-8)


def test_the_simulated_session_agrees(session, pictures, tmp_path):
    """Counts are held exactly; each unit is a channel, and one sample is the whole window."""
    shown = [k for k, name in enumerate(session.pictures) if name]
    names = [session.pictures[k] for k in shown]
    info = mne.create_info([str(u) for u in session.unit_ids], 64.0, "eeg")
    data = session.counts[shown][:, :, None].astype(float)
    events = np.column_stack(
        [np.arange(len(shown)), np.zeros(len(shown), int), np.ones(len(shown))]
    )
    with mne.utils.use_log_level("ERROR"):
        epochs = mne.EpochsArray(
            data, info, events.astype(int), metadata=pd.DataFrame({"picture": names})
        )
    reading = read_recording(save(epochs, tmp_path / "s-epo.fif"), stimuli=pictures, window="0,1ms")
    np.testing.assert_array_equal(reading.responses, session.responses)
    assert reading.stimulus_ids == tuple(session.shown)


def test_metadata_names_the_pictures(tmp_path):
    metadata = pd.DataFrame({"image_name": [f"{n}.png" for n in PICTURES], "trial": range(8)})
    path = save(make_epochs(metadata=metadata), tmp_path / "s-epo.fif")
    reading = read_recording(path)
    assert reading.label_name == "image_name"
    assert reading.stimulus_ids == ("p3.png", "p1.png", "p2.png", "p4.png")
    assert read_recording(path, labels="event").stimulus_ids == ("p3", "p1", "p2", "p4")


def test_of_two_columns_the_one_that_names_pictures(tmp_path, pictures):
    metadata = pd.DataFrame({"stimulus": list("abababab"), "image": PICTURES})
    path = save(make_epochs(metadata=metadata), tmp_path / "s-epo.fif")
    assert read_recording(path, stimuli=pictures).label_name == "image"
    with pytest.raises(ProbeError, match="may be 'stimulus', 'image': name one with --labels"):
        read_recording(path)


def test_dropped_epochs_leave_their_names_too(tmp_path):
    """Of what stands in the metadata; a list outside keeps the names of the dropped."""
    metadata = pd.DataFrame({"image_name": PICTURES})
    epochs = make_epochs(metadata=metadata)
    epochs.drop([1, 4], verbose="error")
    path = save(epochs, tmp_path / "s-epo.fif")
    kept = [name for k, name in enumerate(PICTURES) if k not in (1, 4)]
    reading = read_recording(path)
    assert reading.stimulus_ids == tuple(dict.fromkeys(kept))
    first = reading.responses[reading.stimulus_ids.index("p1"), 0]
    np.testing.assert_array_equal(first, values()[3, :4].T)
    assert "2 of 8 epochs were dropped before" in reading.notes
    table = tmp_path / "names.csv"
    pd.DataFrame({"stimulus_id": PICTURES}).to_csv(table, index=False)
    with pytest.raises(ProbeError, match=r"has 6 epochs, and .* 8 names, as many as before some"):
        read_recording(path, labels=table)
    pd.DataFrame({"stimulus_id": kept}).to_csv(table, index=False)
    np.testing.assert_array_equal(read_recording(path, labels=table).responses, reading.responses)


def test_bad_channels_are_left_out(tmp_path):
    reading = read_recording(save(make_epochs(bads=["EEG 001"]), tmp_path / "s-epo.fif"))
    assert reading.neuroid_columns["neuroid_id"] == ["MEG 0111", "MEG 0112", "EEG 002"]
    assert "left out: 1 bad channel, EEG 001" in reading.notes


def test_what_was_done_before_is_said(tmp_path):
    epochs = make_epochs().apply_baseline((None, 0), verbose="error")
    reading = read_recording(save(epochs, tmp_path / "s-epo.fif"))
    assert "the mean of -100 to 0 ms was subtracted as baseline" in reading.notes
    plain = read_recording(save(make_epochs(), tmp_path / "p-epo.fif"))
    assert "no baseline was subtracted" in plain.notes


def test_projections_are_not_applied_on_reading(tmp_path):
    """mne's read_epochs applies what the file has; values are as they were saved."""
    eeg = make_epochs().pick(["EEG 001", "EEG 002"])
    eeg.set_eeg_reference(projection=True, verbose="error")
    path = save(eeg, tmp_path / "s-epo.fif")
    reading = read_recording(path)
    np.testing.assert_array_equal(reading.responses, responses_of(PICTURES, values()[:, 2:4]))
    theirs = mne.read_epochs(path, verbose="error").get_data()
    np.testing.assert_allclose(theirs.sum(axis=1), 0.0, atol=1e-15)  # one direction is gone
    assert any(
        "that are not applied, as the values were saved: 1 (mne" in note for note in reading.notes
    )
    applied = save(eeg.copy().apply_proj(), tmp_path / "a-epo.fif")
    assert any(
        "projections applied before (SSP, average reference): 1" in n
        for n in read_recording(applied).notes
    )


def test_standard_errors_are_no_responses(tmp_path):
    with mne.utils.use_log_level("ERROR"):
        epochs = make_epochs()
        evoked = [epochs["p1"].average(picks="all"), epochs["p1"].standard_error(picks="all")]
        evoked[0].comment = evoked[1].comment = "p1"
        mne.write_evokeds(tmp_path / "s-ave.fif", evoked)
    reading = read_recording(tmp_path / "s-ave.fif")
    assert reading.responses.shape == (1, 1, 30, 4)
    np.testing.assert_allclose(
        reading.responses[0, 0], values()[[1, 3]].mean(axis=0)[:4].T, rtol=1e-6
    )
    assert "left out: 1 standard errors" in reading.notes


def test_several_averages_of_a_picture_are_its_repetitions(tmp_path):
    with mne.utils.use_log_level("ERROR"):
        epochs = make_epochs()
        evoked = [epochs[first:].average(picks="all") for first in (0, 4)]
        evoked[0].comment = evoked[1].comment = "p1"
        mne.write_evokeds(tmp_path / "s-ave.fif", evoked)
    reading = read_recording(tmp_path / "s-ave.fif")
    assert reading.responses.shape[:2] == (1, 2)
    assert not reading.averaged
    assert ("repetitions", "2") in reading.describe()


def test_steps_of_samples(tmp_path):
    path = save(make_epochs(), tmp_path / "s-epo.fif")
    reading = read_recording(path, window="0,100ms", step="20ms")
    np.testing.assert_array_equal(reading.times[:, 1], [20, 40, 60, 80, 100])
    every = read_recording(path).responses
    expected = every[:, :, 10:20].reshape(4, 2, 5, 2, 4).mean(axis=3)
    np.testing.assert_allclose(reading.responses, expected)


def test_types_are_not_mixed_in_one_pattern(tmp_path):
    path = save(make_epochs(), tmp_path / "s-epo.fif")
    with pytest.raises(ProbeError, match=r"would mix mag channels \(T\) and grad channels \(T/m"):
        read_recording(path, region="occipital")
    table = pd.DataFrame({"neuroid_id": NAMES[:4], "region": ["left", "left", "back", "back"]})
    table.to_csv(tmp_path / "channels.csv", index=False)
    with pytest.raises(ProbeError, match="region 'left' would mix mag"):
        read_recording(path, neuroids=tmp_path / "channels.csv")
    table["region"] = ["mag", "grad", "back", "back"]
    table.to_csv(tmp_path / "channels.csv", index=False)
    reading = read_recording(path, neuroids=tmp_path / "channels.csv")
    assert reading.neuroid_columns["region"] == ["mag", "grad", "back", "back"]
    eeg = make_epochs().pick(["EEG 001", "EEG 002"])
    one = read_recording(save(eeg, tmp_path / "eeg-epo.fif"), region="occipital")
    assert one.neuroid_columns["region"] == ["occipital"] * 2


def test_eeglab(tmp_path):
    data = values()[:, 2:4].transpose(1, 2, 0)  # channel × time × epoch, as EEGLAB has it
    write_set(tmp_path / "s.set", data)
    reading = read_recording(tmp_path / "s.set")
    assert reading.stimulus_ids == ("p3", "p1", "p2", "p4")
    expected = responses_of(PICTURES, values()[:, 2:4]) * 1e-6  # of µV
    np.testing.assert_allclose(reading.responses, expected, rtol=1e-12)
    np.testing.assert_allclose(reading.times[:, 0], -100 + 10.0 * np.arange(30))
    assert set(reading.neuroid_columns["unit"]) == {"V"}


def write_set(path, data):
    n_channels, n_times, n = data.shape
    events = np.zeros(n, dtype=[("type", "O"), ("latency", "O"), ("epoch", "O")])
    epochs = np.zeros(n, dtype=[("event", "O"), ("eventtype", "O"), ("eventlatency", "O")])
    for k in range(n):
        events[k] = (PICTURES[k], k * n_times + 11.0, k + 1.0)
        epochs[k] = (k + 1.0, PICTURES[k], 0.0)
    locations = np.zeros(n_channels, dtype=[("labels", "O")])
    locations["labels"] = NAMES[2 : 2 + n_channels]
    scipy.io.savemat(
        path,
        {
            "EEG": {
                "setname": "s", "nbchan": float(n_channels), "trials": float(n),
                "pnts": float(n_times), "srate": 100.0, "xmin": -0.1, "xmax": 0.19, "data": data,
                "icawinv": [], "icasphere": [], "icaweights": [], "icaact": [], "event": events,
                "epoch": epochs, "chanlocs": locations, "times": np.arange(n_times) * 10.0 - 100,
            }
        },
        appendmat=False,
    )  # fmt: skip


# Malformed and ambiguous files ------------------------------------------------------------------


def epochs_file(folder, **options):
    return save(make_epochs(**options), folder / "s-epo.fif")


def cut(share):
    def write(folder):
        content = epochs_file(folder).read_bytes()
        (folder / "s-epo.fif").write_bytes(content[: int(share * len(content))])
        return folder / "s-epo.fif"

    return write


def raw_bytes(content, name="s-epo.fif"):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def gzip_cut(folder):
    content = gzip.compress(epochs_file(folder).read_bytes())
    (folder / "c-epo.fif.gz").write_bytes(content[:40])
    return folder / "c-epo.fif.gz"


def gzip_cut_late(folder):
    content = gzip.compress(epochs_file(folder).read_bytes())
    (folder / "c-epo.fif.gz").write_bytes(content[: len(content) // 2])
    return folder / "c-epo.fif.gz"


def continuous(folder):
    with mne.utils.use_log_level("ERROR"):
        raw = mne.io.RawArray(values(1)[0], make_info())
        raw.save(folder / "s_raw.fif")
    return folder / "s_raw.fif"


def covariance(folder):
    with mne.utils.use_log_level("ERROR"):
        mne.write_cov(folder / "s-cov.fif", mne.make_ad_hoc_cov(make_info()))
    return folder / "s-cov.fif"


def unnamed(folder):
    return epochs_file(folder, codes=[1] * 8, event_id={"shown": 1})


def unnamed_with_metadata(folder):
    metadata = pd.DataFrame({"condition": PICTURES, "reaction": range(8)})
    return epochs_file(folder, codes=[1] * 8, event_id={"shown": 1}, metadata=metadata)


def no_brain(folder):
    return save(make_epochs().pick(["STI 014", "EOG 061"]), folder / "s-epo.fif")


def all_bad(folder):
    return epochs_file(folder, bads=NAMES[:4])


def evoked_with(change):
    def write(folder):
        with mne.utils.use_log_level("ERROR"):
            epochs = make_epochs()
            evoked = [epochs[name].average(picks="all") for name in ("p1", "p2")]
            evoked[0].comment, evoked[1].comment = "p1", "p2"
            evoked = change(evoked)
            mne.write_evokeds(folder / "s-ave.fif", evoked)
        return folder / "s-ave.fif"

    return write


def errors_only(evoked):
    for one in evoked:
        one.kind = "standard_error"
    return evoked


def set_file(change):
    def write(folder):
        content = change(folder)
        (folder / "s.set").write_bytes(content)
        return folder / "s.set"

    return write


def set_of_pickle(folder):
    write_set(folder / "a.set", values()[:, 2:4].transpose(1, 2, 0))
    return (folder / "a.set").read_bytes()[:600]


REFUSED = [
    ("cut at the head", cut(0.001), {}, "cut or damaged"),
    ("cut in the middle", cut(0.5), {}, "cut or damaged"),
    ("no FIF", raw_bytes(b"nothing of the kind" * 40), {}, "called .fif but is no such file"),
    ("empty", raw_bytes(b""), {}, "is empty"),
    ("a pickle", raw_bytes(b"\x80\x04\x95" + b"x" * 99), {}, "is a pickle"),
    ("a pointer", raw_bytes(b"version https://git-lfs.github.com/spec/v1\n"), {}, "Git LFS"),
    ("zeros after the head", raw_bytes(bytes.fromhex("000000640000001f") + bytes(999)), {}, "cut"),
    ("gz cut", gzip_cut, {}, "cut or damaged"),
    ("gz cut late", gzip_cut_late, {}, "cut or damaged"),
    ("gz of text", raw_bytes(gzip.compress(b"text"), "t-epo.fif.gz"), {}, "no such file"),
    ("gz called npy", raw_bytes(gzip.compress(b"text"), "t.npy.gz"), {}, "unpack it first"),
    ("raw", continuous, {}, "holds raw: expected epochs or evoked"),
    ("covariance", covariance, {}, "holds cov: expected epochs"),
    ("one event", unnamed, {}, "all events are called 'shown', and the metadata has no columns"),
    ("other metadata", unnamed_with_metadata, {}, "has condition, reaction: name the column with"),
    ("no such column", epochs_file, {"labels": "imag"}, "has no metadata 'imag'"),
    (
        "no channel",
        no_brain,
        {},
        "no good channel that measures the brain: there are 1 stim, 1 eog",
    ),
    ("bad channels", all_bad, {}, "and bad ones, MEG 0111"),
    ("axes said", epochs_file, {"axes": "trial,neuroid,time"}, "leave out --axes"),
    ("bins said", epochs_file, {"bins": "0,10ms"}, "leave out --bins"),
    ("unit said", epochs_file, {"time_unit": "s"}, "leave out --time-unit"),
    ("window beyond", epochs_file, {"window": "900,950ms"}, "lie from -100 to 190 ms, 10 ms apart"),
    ("step between samples", epochs_file, {"window": "0,20ms", "step": "4ms"}, "no sample lies in"),
    ("steps do not fill", epochs_file, {"window": "0,50ms", "step": "20ms"}, "do not fill"),
    ("standard errors", evoked_with(errors_only), {}, "standard errors only"),
    (
        "two times",
        evoked_with(lambda e: [e[0], e[1].shift_time(0.05)]),
        {},
        "averages of different times: 'p1' and 'p2'",
    ),
    ("picture unknown", epochs_file, {"blanks": ["p9"]}, "no presentation is called 'p9'"),
    ("set cut", set_file(set_of_pickle), {}, "cut or damaged"),
    ("set of text", raw_bytes(b"EEG", "s.set"), {}, "called .set but is no such file"),
]


@pytest.mark.parametrize(("write", "options", "reason"), [r[1:] for r in REFUSED], ids=[
    r[0] for r in REFUSED
])  # fmt: skip
def test_one_line_and_nothing_written(tmp_path, write, options, reason):
    path = write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProbeError, match=reason) as raised:
        read_recording(path, **options)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_without_mne(tmp_path, monkeypatch):
    path = epochs_file(tmp_path)
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ProbeError, match=r"needs mne, the extra 'meg' \(pip install"):
        read_recording(path)
