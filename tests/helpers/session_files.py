"""One simulated session as files of several kinds."""

import csv
import datetime

import numpy as np
import pytest


def write_table(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def trials(session, folder, scale=1 / 64, unit="s"):
    return write_table(
        folder / "trials.csv",
        {f"onset_{unit}": (session.onsets * scale).tolist(), "stimulus_id": session.pictures},
    )


def flat(session, scale):
    return np.concatenate(session.spikes) * scale, np.cumsum([len(s) for s in session.spikes])


def as_nwb(session, folder):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
    file = pynwb.NWBFile("simulated", "id", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    file.add_unit_column("region", "area")
    for unit, region, spikes in zip(session.unit_ids, session.regions, session.spikes, strict=True):
        file.add_unit(id=unit, spike_times=spikes * session.tick, region=region)
    file.add_trial_column("stimulus_name", "picture")
    for onset, name in zip(session.onsets * session.tick, session.pictures, strict=True):
        file.add_trial(start_time=onset, stop_time=np.nan, stimulus_name=name)
    with pynwb.NWBHDF5IO(str(folder / "s.nwb"), "w") as io:
        io.write(file)
    return folder / "s.nwb", {"window": session.window}


def as_npz_spikes(session, folder):
    times, ends = flat(session, session.tick)
    np.savez(
        folder / "s.npz", spike_times_s=times, spike_times_s_index=ends,
        unit_id=session.unit_ids, region=session.regions, onset_s=session.onsets * session.tick,
        stimulus_id=session.pictures,
    )  # fmt: skip
    return folder / "s.npz", {"window": session.window}


def as_npz_spikes_in_ms(session, folder):
    times, ends = flat(session, 1000 * session.tick)
    np.savez(
        folder / "ms.npz", spike_times=times, spike_units=np.repeat(
            session.unit_ids, np.diff(ends, prepend=0)
        ), unit_id=session.unit_ids, region=session.regions,
    )  # fmt: skip
    table = trials(session, folder, 1000 * session.tick, "ms")
    return folder / "ms.npz", {"window": session.window, "time_unit": "ms", "presentations": table}
