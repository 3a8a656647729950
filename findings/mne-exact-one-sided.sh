#!/usr/bin/env bash
# Package: mne 1.13.2, permutation_cluster_1samp_test.
# Expected: a one-sided test of 5 observations that makes all 32 sign flips gives the strongest
#   possible data, all above zero everywhere, p = 1/32 = .031.
# Seen: p = 2/32 = .0625, so that no data at all are significant at .05. The flip left out, as the
#   one that is accounted for later, is that of all signs, not that of none: the data themselves
#   are counted twice, and their opposite never. Two-sided, the two are one, and all is well. And
#   n_permutations="all" makes 31 of the 32 (two-sided 15 of 16), chosen at random, not all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mne==1.13.2
"$folder/venv/bin/python" - <<'PY'
import mne
import numpy as np

mne.set_log_level("error")
samples = 5.0 + np.random.default_rng(0).normal(size=(5, 10))  # one cluster, far above zero
sizes = {}
for tail in (1, 0):
    for n_permutations in (1024, "all"):
        _, clusters, p, null = mne.stats.permutation_cluster_1samp_test(
            samples, tail=tail, n_permutations=n_permutations
        )
        sizes[tail, n_permutations] = len(null), round(p[0] * len(null))
        print(f"tail {tail}, n_permutations {n_permutations}: {len(clusters)} cluster, "
              f"p = {sizes[tail, n_permutations][1]}/{len(null)} = {p[0]:.4f}")
assert sizes[0, 1024] == (16, 1), "the two-sided test has changed"
assert sizes[1, 1024] == (32, 2), "mne counts the data once: mend this file and test_clusters.py"
assert sizes[1, "all"][0] == 31 and sizes[0, "all"][0] == 15, "'all' are all now: mend this file"
PY
