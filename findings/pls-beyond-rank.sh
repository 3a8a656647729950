#!/usr/bin/env bash
# Package: scikit-learn 1.9.1, PLSRegression.
# Expected: with more components than the training stimuli have dimensions (some stimuli are shown
#   twice, as in any recording with catch trials), the fit stops, warns, or predicts as with fewer.
# Seen: no warning and no error; coefficients of about 1e14, and held-out predictions that are
#   wrong by as much. With as many components as the rank, the same data are off by a few SD.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PY'
import numpy as np
from sklearn.cross_decomposition import PLSRegression

rng = np.random.default_rng(0)
weights = rng.normal(size=(300, 4))
different = rng.normal(size=(20, 300))
shown = np.concatenate([different, different[:10]])  # ten of twenty stimuli are shown twice
responses = shown @ weights + rng.normal(size=(30, 4))
held_out = rng.normal(size=(50, 300))
truth = held_out @ weights

rank = np.linalg.matrix_rank(shown - shown.mean(axis=0))
results = {}
for n_components in (int(rank), 25):
    fit = PLSRegression(n_components, scale=False).fit(shown, responses)
    error = np.abs(fit.predict(held_out) - truth).max() / truth.std()
    results[n_components] = np.abs(fit.coef_).max(), error
    print(f"{n_components} components (rank {rank}): largest coefficient {results[n_components][0]:.2g}, "
          f"largest error {error:.2g} SD of the responses; no warning")
assert results[int(rank)][1] < 10, "as many components as the rank go wrong, too"
assert results[25][1] > 1e6, "scikit-learn no longer explodes beyond the rank: mend this file"
PY
