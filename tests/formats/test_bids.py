"""What names of files in BIDS say."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.formats.bids import contrast_names, parse_name


def test_a_name_of_fmriprep():
    name = parse_name(
        "sub-10_task-x_run-1_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz"
    )
    assert name.entities == {
        "sub": "10", "task": "x", "run": "1", "space": "MNI152NLin2009cAsym", "res": "2",
        "desc": "preproc",
    }  # fmt: skip
    assert name.suffix == "bold"
    assert name["hemi"] == ""
    assert not name.in_own_space


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("V4.nii.gz", "V4", ""),
        ("bold_25mm.nii.gz", "bold_25mm", ""),
        ("sub-1_hemi-L_bold.func.gii", "sub-1_hemi-L_bold", "bold"),
        ("lh.beta.gii", "lh", ""),
        ("a.b.nii", "a", ""),
        ("desc-aseg_dseg.tsv", "desc-aseg_dseg", "dseg"),
        ("sub-1_run-01", "sub-1_run-01", ""),
    ],
)
def test_stem_and_suffix(name, stem, suffix):
    assert (parse_name(name).stem, parse_name(name).suffix) == (stem, suffix)


def test_runs_are_numbers_and_subjects_are_not():
    """fMRIPrep 20.2 writes run-1, others run-01; sub-1 and sub-01 are two people."""
    assert parse_name("sub-01_run-01_bold.nii")["run"] == parse_name("run-1_bold.nii")["run"] == "1"
    assert parse_name("sub-01_bold.nii")["sub"] != parse_name("sub-1_bold.nii")["sub"]


def test_a_template_is_a_space():
    assert parse_name("tpl-MNI152NLin6Asym_res-02_atlas-X_dseg.nii.gz").space == "MNI152NLin6Asym"


def test_two_names_may_be_one_contrast():
    assert contrast_names("img_1_1") == contrast_names("img_11") == {"img11"}


@given(st.text(alphabet="abXY019_-+ .", min_size=1, max_size=12))
def test_contrasts_as_nilearn_writes_them(name):
    """nilearn 0.14.1 keeps letters and digits, and writes a minus as a word."""
    base = pytest.importorskip("nilearn.glm._base", reason="nilearn is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = base._clean_contrast_name(name)
    assert written.lower() in contrast_names(name)
