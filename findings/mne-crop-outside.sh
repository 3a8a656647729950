#!/usr/bin/env bash
# Package: mne 1.13.2, Evoked.crop (Epochs and Raw have the same) at a rate that is no whole number.
# Expected: its documentation, "crop(tmin, tmax) returns the interval tmin <= t <= tmax".
# Seen: at 600.615 Hz, crop(0.07, 0.17) returns 61 samples, of which the first lies at 69.93 ms: up
#   to half a sample outside counts as inside. A mask of the times themselves finds 60.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mne==1.13.2 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import mne
import numpy as np

mne.set_log_level("ERROR")
rate = 600.615
info = mne.create_info(["EEG 001"], rate, "eeg")
evoked = mne.EvokedArray(np.zeros((1, 421)), info, tmin=-120 / rate)
times = evoked.copy().crop(0.07, 0.17).times
inside = evoked.times[(evoked.times >= 0.07) & (evoked.times <= 0.17)]
print(f"crop(0.07, 0.17): {len(times)} samples from {1e3 * times[0]:.2f} to {1e3 * times[-1]:.2f} ms; "
      f"{len(inside)} lie inside, from {1e3 * inside[0]:.2f} ms")
documented = "tmin <= t <= tmax" in mne.Evoked.crop.__doc__
assert (len(times), len(inside), documented) == (61, 60, True), "mne crops otherwise now: mend this"
assert times[0] < 0.07
PY
