"""What was saved is read again, and says the same."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import probe
from probe.comparison import saved as comparisons
from probe.encoding import saved as fits
from probe.errors import ProbeError

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


def test_a_comparison_says_what_it_said(rsa, rsa_folder):
    read = comparisons.read_saved(rsa_folder)
    assert isinstance(read, probe.RSAResult)
    assert read.title == rsa.title
    assert read.notes() == rsa.notes()
    assert read.describe() == rsa.describe()
    pd.testing.assert_frame_equal(read.summary(), rsa.summary())
    pd.testing.assert_frame_equal(read.pairs, rsa.pairs, check_exact=False)
    np.testing.assert_array_equal(read.rdms.distances, rsa.rdms.distances)
    assert read.figures()["figure"](".svg") == rsa.figures()["figure"](".svg")


def test_an_encoding_says_what_it_said_and_cannot_predict(encoding, encoding_folder):
    read = fits.read_saved(encoding_folder)
    assert isinstance(read, probe.Encoding)
    assert read.title == encoding.title
    assert read.notes() == encoding.notes()
    pd.testing.assert_frame_equal(read.summary(), encoding.summary())
    for name, figure in encoding.figures().items():
        assert read.figures()[name](".svg") == figure(".svg")
    with pytest.raises(ProbeError):
        read.site(0)


def test_a_map_is_read_in_its_order(rsa, tmp_path):
    both = probe.RSAMap([rsa, rsa])
    probe.RSAMap([rsa]).save(tmp_path / "map")
    read = comparisons.read_saved(tmp_path / "map")
    assert isinstance(read, probe.RSAMap)
    assert read.title == both.title
    pd.testing.assert_frame_equal(read.summary(), probe.RSAMap([rsa]).summary())
    shutil.rmtree(tmp_path / "map" / read.folders[0])
    with pytest.raises(ProbeError, match=r"damaged.*is missing"):
        comparisons.read_saved(tmp_path / "map")


def test_comparisons_of_the_same_two_are_read_in_their_order(rsa, tmp_path):
    others = [replace(rsa, table=rsa.table.assign(score=score)) for score in range(10)]
    both = probe.RSAMap([rsa, *others])
    both.save(tmp_path)
    read = comparisons.read_saved(tmp_path)
    pd.testing.assert_frame_equal(read.cells, both.cells, check_dtype=False)


def test_results_over_time(rsa_over_time, encoding_over_time, tmp_path):
    rsa_over_time.save(tmp_path / "rsa")
    read = comparisons.read_saved(tmp_path / "rsa")
    pd.testing.assert_frame_equal(read.peaks, rsa_over_time.peaks, check_dtype=False)
    np.testing.assert_allclose(read.generalisation, rsa_over_time.generalisation)
    replace(rsa_over_time, generalisation=None).save(tmp_path / "rsa")
    assert comparisons.read_saved(tmp_path / "rsa").generalisation is None  # that of before lies by
    encoding_over_time.save(tmp_path / "encode")
    sites = fits.read_saved(tmp_path / "encode").sites
    pd.testing.assert_frame_equal(sites, encoding_over_time.sites, check_dtype=False)
    assert set(sites["neuroid_id"]) == {"NA", "1", "nan"}


def test_several_fits(encoding, tmp_path):
    from probe.encoding.map import Encodings

    Encodings((encoding, encoding)).save(tmp_path)
    read = fits.read_saved(tmp_path)
    assert isinstance(read, Encodings)
    assert len(read) == 2
    about = json.loads((tmp_path / "map.json").read_text())
    about["folders"] = ["../elsewhere"]
    (tmp_path / "map.json").write_text(json.dumps(about))
    with pytest.raises(ProbeError, match="is no folder in it"):
        fits.read_saved(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"table": 3, "model": {}}'])
def test_a_damaged_file_is_one_line(rsa_folder, tmp_path, content):
    folder = tmp_path / "rsa"
    shutil.copytree(rsa_folder, folder)
    (folder / "result.json").write_text(content)
    with pytest.raises(ProbeError, match=r"damaged|no comparison") as told:
        comparisons.read_saved(folder)
    assert "\n" not in str(told.value)


damaged_pairs = {
    "junk": (lambda text: "a,b\n1,2\n", "has no column"),
    "no numbers": (
        lambda text: re.sub(r"[\d.e-]+$", "much", text, flags=re.MULTILINE),
        "could not convert",
    ),
}


@pytest.mark.parametrize("damage", sorted(damaged_pairs))
@pytest.mark.parametrize("kind", ["rsa", "encode"])
def test_damaged_tests_between_layers_are_one_line(kind, damage, request, tmp_path):
    change, message = damaged_pairs[damage]
    saved = request.getfixturevalue({"rsa": "rsa_folder", "encode": "encoding_folder"}[kind])
    folder = shutil.copytree(saved, tmp_path / "saved")
    (folder / "pairs.csv").write_text(change((folder / "pairs.csv").read_text()))
    reader = {"rsa": comparisons.read_saved, "encode": fits.read_saved}[kind]
    with pytest.raises(ProbeError, match=f"damaged.*{message}") as refusal:
        reader(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow  # a process of its own
def test_without_pytorch(rsa_folder, encoding_folder, tmp_path):
    code = (
        "import sys, probe; probe.report(*sys.argv[1:3], output=sys.argv[3]); "
        "assert 'torch' not in sys.modules"
    )
    page = tmp_path / "page.html"
    subprocess.run([sys.executable, "-c", code, rsa_folder, encoding_folder, page], check=True)
    assert page.exists()
