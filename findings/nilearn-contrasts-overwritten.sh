#!/usr/bin/env bash
# Package: nilearn 0.14.1, save_glm_to_bids with one contrast per picture.
# Expected: two contrasts give two maps, or saving stops because both would have the same name.
# Seen: names lose all but letters and digits, so img_1_1 and img_11 are both contrast-img11; the
#   second map overwrites the first. The warnings say that the names were changed, not that a map
#   is lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nilearn==0.14.1 nibabel==5.4.2 numpy==2.4.6 matplotlib
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from nilearn.glm import save_glm_to_bids
from nilearn.glm.first_level import FirstLevelModel

rng = np.random.default_rng(0)
bold = nibabel.Nifti1Image(rng.normal(100, 1, size=(4, 4, 4, 40)).astype(np.float32), np.eye(4))
mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
names = ["img_1_1", "img_11"]
events = pd.DataFrame({"onset": [4.0, 24.0, 44.0, 60.0], "duration": 1.0, "trial_type": names * 2})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = FirstLevelModel(t_r=2, mask_img=mask, minimize_memory=False).fit(bold, events=events)
    save_glm_to_bids(model, contrasts=names, out_dir="out", prefix="sub-01")
    maps = [np.asarray(model.compute_contrast(name, output_type="effect_size").dataobj) for name in names]
said = [str(w.message) for w in caught if "overwr" in str(w.message) or "lost" in str(w.message)]
written = sorted(Path("out").rglob("*stat-effect_statmap.nii.gz"))
left = np.asarray(nibabel.load(written[0]).dataobj)
of = [name for name, one in zip(names, maps) if np.allclose(one, left, atol=1e-5)]
print(f"2 contrasts, {len(written)} map: {written[0].name}, which is that of {of[0]}; "
      f"{len(said)} warnings that one was lost")
assert (len(written), of, said) == (1, ["img_11"], []), "nilearn writes otherwise now: mend this"
PY
