#!/usr/bin/env bash
# Package: rsatoolbox 0.3.2, calc_rdm_movie (RDMs over time) of a list of TemporalDatasets.
# Expected: of a list, what each subject gives by itself with the same arguments, as calc_rdm does.
# Seen: of a list, bins, time_descriptor, cv_descriptor, unbalanced and the priors are dropped
#   without a warning. Two subjects of 50 samples in bins of ten give not 5 RDMs each but 50, one per
#   sample; Poisson RDMs take the default prior; crossnobis distances are cross-validated over
#   single presentations and not over the sessions that were named.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rsatoolbox==0.3.2 numpy==2.4.6 \
    scipy==1.17.1 pandas==3.1.1 matplotlib scikit-image
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import warnings

import numpy as np
from rsatoolbox.data import TemporalDataset
from rsatoolbox.rdm import calc_rdm_movie

rng = np.random.default_rng(0)
times = np.arange(50) * 2.0
bins = [times[k : k + 10] for k in range(0, 50, 10)]


def subject():
    """Two sessions of two presentations of six pictures, counts of six neurons."""
    return TemporalDataset(
        rng.poisson(5.0, size=(24, 6, 50)).astype(float) + np.repeat([0.0, 3.0], 12)[:, None, None],
        obs_descriptors={"picture": list("abcdef") * 4, "session": np.repeat(["one", "two"], 12)},
        time_descriptors={"time": times},
    )


one, two = subject(), subject()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    alone = calc_rdm_movie(one, descriptor="picture", bins=bins)
    listed = calc_rdm_movie([one, two], descriptor="picture", bins=bins)
    poisson = dict(method="poisson", descriptor="picture", prior_lambda=5.0, prior_weight=20.0)
    by_prior = [calc_rdm_movie(x, **poisson).dissimilarities for x in (one, [one])]
    crossed = dict(method="crossnobis", descriptor="picture", cv_descriptor="session")
    by_session = [calc_rdm_movie(x, **crossed).dissimilarities for x in (one, [one])]
said = [str(w.message) for w in caught if "bins" in str(w.message) or "ignor" in str(w.message)]
prior_gap = np.abs(by_prior[0] - by_prior[1]).max() / np.abs(by_prior[0]).max()
session_gap = np.abs(by_session[0] - by_session[1]).max() / np.abs(by_session[0]).max()
print(f"one subject in 5 bins: {alone.n_rdm} RDMs; two in a list: {listed.n_rdm}, {len(said)} "
      f"warnings; the same subject alone and in a list: Poisson RDMs differ by up to {prior_gap:.0f} times "
      f"the largest distance, crossnobis RDMs by {session_gap:.0%} of it")
assert (alone.n_rdm, listed.n_rdm, said) == (5, 100, []), "rsatoolbox counts otherwise now: mend this"
assert prior_gap > 0.1 and session_gap > 0.01, "rsatoolbox passes them on now: mend this"
PY
