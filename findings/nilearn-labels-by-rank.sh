#!/usr/bin/env bash
# Package: nilearn 0.14.1, NiftiLabelsMasker with the names of an atlas in labels=.
# Expected: with a name for each value from 0 on, as FreeSurfer's and fMRIPrep's keys have it
#   ("Unknown" first), the region of value 5 is called what the list has at 5.
# Seen: names go by rank among the values that are there, and only "Background" counts as the 0:
#   value 1 is called Unknown, 2 V1 and 5 V2. The one warning says that excess names were dropped,
#   which the names of values 3 and 4 are not. lut= is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nilearn==0.14.1 nibabel==5.4.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import warnings

import nibabel
import numpy as np
import pandas as pd
from nilearn.maskers import NiftiLabelsMasker

names = ["Unknown", "V1", "V2", "V3", "hV4", "IT"]
atlas = np.repeat(np.array([0, 1, 2, 5], np.int16), 16).reshape(4, 4, 4)
data = nibabel.Nifti1Image(np.repeat(atlas[..., None], 3, axis=3).astype(np.float32) * 10, np.eye(4))


def called(**more):
    """Return the name of the region of each value: its mean is ten times its value."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masker = NiftiLabelsMasker(nibabel.Nifti1Image(atlas, np.eye(4)), standardize=None, **more)
        values = masker.fit_transform(data)
    regions = [name for name in masker.region_names_.values() if name != "Background"]
    said = [str(w.message).splitlines()[0] for w in caught if "names" in str(w.message)]
    return {int(round(v / 10)): name for v, name in zip(values[0], regions)}, said


by_list, said = called(labels=list(names))
by_table, _ = called(lut=pd.DataFrame({"index": range(6), "name": names}))
right = {value: names[value] for value in (1, 2, 5)}
print(f"labels=: {by_list}; lut=: {by_table}; warnings: {said}")
assert by_table == right, "lut= goes wrong, too"
assert by_list != right, "nilearn names regions by value now: mend this"
PY
