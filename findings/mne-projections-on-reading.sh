#!/usr/bin/env bash
# Package: mne 1.13.2, evoked responses and epochs in FIF files, with projections (SSP, average
#   reference) that are in the file but not applied.
# Expected: a file that was saved and read again holds the responses that were saved, as
#   mne.io.read_raw_fif gives them: it leaves projections as the file says.
# Seen: read_evokeds and read_epochs apply them (proj=True is their default), with no warning. Here
#   the responses differ by three quarters of their size, the distances between presentations by a
#   third, and one direction of the pattern is gone: the projections are marked as applied.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mne==1.13.2 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import warnings

import mne
import numpy as np

mne.set_log_level("WARNING")
said = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("mne").addHandler(handler)

rng = np.random.default_rng(0)
info = mne.create_info([f"E{k}" for k in range(1, 9)], 1000.0, "eeg")
common = rng.normal(size=(6, 1, 40))  # what all electrodes have in common
data = (rng.normal(size=(6, 8, 40)) + common) * 1e-6


def distances(patterns):
    flat = patterns.reshape(len(patterns), -1)
    return np.linalg.norm(flat[:, None] - flat[None], axis=2)[np.triu_indices(len(flat), 1)]


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    epochs = mne.EpochsArray(data, info, proj=False)
    epochs.set_eeg_reference(projection=True)
    epochs.save("s-epo.fif")
    evoked = epochs.average()
    evoked.save("s-ave.fif")
    raw = mne.io.RawArray(data[0], info)
    raw.set_eeg_reference(projection=True)
    raw.save("s_raw.fif")
    read = mne.read_epochs("s-epo.fif")
    read_evoked = mne.read_evokeds("s-ave.fif", condition=0)
    read_raw = mne.io.read_raw_fif("s_raw.fif")
    kept = mne.read_epochs("s-epo.fif", proj=False)

before, after = epochs.get_data(copy=True), read.get_data(copy=True)
changed = np.linalg.norm(after - before) / np.linalg.norm(before)
ratio = distances(after).mean() / distances(before).mean()
evoked_changed = np.linalg.norm(read_evoked.data - evoked.data) / np.linalg.norm(evoked.data)
rank = np.linalg.matrix_rank(after[0])
raw_same = np.allclose(read_raw.get_data(), data[0], rtol=1e-6)
kept_same = np.allclose(kept.get_data(copy=True), data, rtol=1e-6)
about = [m for m in [*said, *(str(w.message) for w in caught)] if "proj" in m.lower()]
print(f"epochs differ from what was saved by {changed:.0%} of their size, evoked responses by "
      f"{evoked_changed:.0%}; distances are {ratio:.0%} of what they were; rank {rank} of 8; raw "
      f"data as saved: {raw_same}; with proj=False as saved: {kept_same}; {len(about)} warnings")
assert (changed > 0.3 and evoked_changed > 0.3 and ratio < 0.9 and rank == 7 and read.proj
        and raw_same and kept_same and not about), "mne reads otherwise now: mend this"
PY
