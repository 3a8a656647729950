"""Image sets from folders, patterns, tables and archives; what is wrong is found beforehand."""

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import unicodedata
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import load
from probe.stimuli import image_set, image_sets
from probe.stimuli.archive import members


def picture(colour=0, size=(24, 20)):
    pixels = np.random.default_rng(colour).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def file_of(format, colour=0, **options):
    buffer = io.BytesIO()
    picture(colour).save(buffer, format, **options)
    return buffer.getvalue()


PNG, JPEG, TIFF = (file_of(format) for format in ("PNG", "JPEG", "TIFF"))


def put(folder, *names):
    """Write a different picture for each name."""
    for k, name in enumerate(names):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(k).save(path)
    return folder


@pytest.fixture
def folder(tmp_path):
    return put(tmp_path / "my stimuli", "b.png", "a/2.jpg", "a/10.jpg", "a.JPEG", "c/d/e.tiff")


SORTED = ("a.JPEG", "a/10.jpg", "a/2.jpg", "b.png", "c/d/e.tiff")


class TestFolders:
    def test_sorted_by_path_and_read_right(self, folder):
        stimuli = image_set(folder)
        assert stimuli.ids == SORTED
        assert stimuli.name == "my stimuli"
        assert stimuli.metadata is None
        assert stimuli.skipped == ()
        for k, name in enumerate(SORTED):
            content = (folder / name).read_bytes()
            assert stimuli.content_hashes[k] == hashlib.sha256(content).hexdigest()
        np.testing.assert_array_equal(stimuli.image(3), picture(0))

    def test_a_stimulus_set_is_returned_as_it_is(self, folder):
        stimuli = image_set(folder)
        assert image_set(stimuli) is stimuli

    def test_hidden_files_and_those_of_other_kinds_are_left_out(self, folder):
        (folder / "notes.txt").write_text("not a picture")
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / "a" / "._2.jpg").write_bytes(b"\0\5\x16\7")
        put(folder, ".thumbnails/b.png", "__MACOSX/b.png")
        (folder / "Makefile").write_text("all:")
        assert image_set(folder).ids == SORTED

    def test_the_folder_itself_may_be_hidden_or_look_like_a_pattern(self, tmp_path):
        for name in (".hidden", "[ab] *faces?", 'it\'s "quoted"', "pictures.png"):
            stimuli = image_set(str(put(tmp_path / name, "x.png")))
            assert (stimuli.ids, stimuli.name) == (("x.png",), name)

    def test_the_home_folder(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder.parent))
        assert image_set("~/my stimuli").ids == SORTED
        assert image_set(Path("~/my stimuli")).ids == SORTED

    def test_a_relative_path_stays_right_when_the_working_folder_changes(
        self, folder, monkeypatch, tmp_path
    ):
        monkeypatch.chdir(folder)
        stimuli = image_set(".")
        assert stimuli.name == "my stimuli"
        monkeypatch.chdir(tmp_path)
        assert stimuli.image(0).size == (24, 20)

    def test_links_are_followed_but_never_in_a_circle(self, folder, tmp_path):
        put(tmp_path / "elsewhere", "far.png")
        (folder / "link").symlink_to(tmp_path / "elsewhere")
        (folder / "one.png").symlink_to(tmp_path / "elsewhere" / "far.png")
        (folder / "self").symlink_to(folder)
        (folder / "a" / "up").symlink_to("..")
        (folder / "c" / "to_a").symlink_to(folder / "a")
        (folder / "a" / "to_c").symlink_to(folder / "c")
        (folder / "root").symlink_to("/")
        found = image_set(folder).ids
        assert set(SORTED) | {"link/far.png", "one.png"} < set(found)
        assert set(found) - set(SORTED) == {"link/far.png", "one.png", "a/to_c/d/e.tiff",
                                            "c/to_a/10.jpg", "c/to_a/2.jpg"}  # fmt: skip

    @given(st.text("aé ñ'\"\n\t,;*?[]{}$&|\\日本\u0301\u202e🐒", min_size=1, max_size=12))
    def test_any_name_that_a_file_can_have(self, tmp_path_factory, name):
        folder = tmp_path_factory.mktemp("names")
        put(folder, f"x{name}/x{name}.png")
        stimuli = image_set(folder)
        assert stimuli.ids == (f"x{name}/x{name}.png",)
        assert stimuli.image(0).size == (24, 20)
        assert image_set(folder / f"x{name}").ids == (f"x{name}.png",)
        (folder / f"x{name}" / f"y{name}.png").write_bytes(b"no picture")
        with pytest.raises(ProbeError, match="1 of 2 images") as error:
            image_set(folder)
        assert len(str(error.value).splitlines()) == 1
        assert repr(f"x{name}/y{name}.png") in str(error.value)

    def test_one_name_in_two_forms_of_unicode_is_two_files(self, tmp_path):
        forms = [unicodedata.normalize(form, "Blüte.png") for form in ("NFC", "NFD")]
        put(tmp_path, *forms)
        if len(os.listdir(tmp_path)) == 1:
            pytest.skip("this file system takes both forms for one name")
        assert image_set(tmp_path).ids == tuple(sorted(forms))

    def test_a_name_in_the_other_form_is_found(self, tmp_path):
        composed, apart = (unicodedata.normalize(f, "Blüten") for f in ("NFC", "NFD"))
        put(tmp_path / apart / composed, f"{apart}.png")
        assert len(image_set(tmp_path / composed / apart)) == 1
        assert len(image_set(tmp_path / composed / "*" / f"{composed}.*")) == 1
        (tmp_path / "t.csv").write_text(f"path\n{composed}/{apart}/{composed}.png\n")
        assert len(image_set(tmp_path / "t.csv")) == 1

    def test_a_single_picture(self, folder):
        stimuli = image_set(folder / "a.JPEG")
        assert (stimuli.ids, stimuli.name) == (("a.JPEG",), "a.JPEG")

    def test_every_file_is_read_once(self, folder, monkeypatch):
        opened = []
        read = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda p: opened.append(p.name) or read(p))
        monkeypatch.setattr(Image, "open", counted := _Counted(Image.open))
        assert image_set(folder).hash
        assert sorted(opened) == sorted(Path(name).name for name in SORTED)
        assert all(isinstance(source, io.BytesIO) for source in counted.sources)

    def test_structure_is_enough_for_png_and_jpeg_unless_bad_ones_are_skipped(
        self, folder, monkeypatch
    ):
        decoded = []
        read = image_sets.images.read
        monkeypatch.setattr(
            image_sets.images, "read", lambda c, name: decoded.append(name) or read(c, name)
        )
        image_set(folder)
        assert decoded == ["c/d/e.tiff"]
        decoded.clear()
        image_set(folder, skip_bad=True)
        assert sorted(decoded) == list(SORTED)

    def test_large_images_wait_for_each_other(self, folder, monkeypatch):
        monkeypatch.setattr(image_sets, "_BYTES", image_sets._Budget(1))
        monkeypatch.setattr(image_sets, "_PIXELS", image_sets._Budget(1))
        assert image_set(folder, skip_bad=True).hash == image_set(folder).hash

    def test_pictures_that_were_shown(self, mirror, tmp_path):
        shown = load("kriegeskorte2008").stimuli
        for k, name in enumerate(shown.ids):
            shown.image(k).save(tmp_path / f"{name}.png")
        stimuli = image_set(tmp_path)
        assert stimuli.ids == tuple(f"{name}.png" for name in shown.ids)
        np.testing.assert_array_equal(stimuli.image(91), shown.image(91))


class _Counted:
    def __init__(self, function):
        self.function, self.sources = function, []

    def __call__(self, source, *args, **options):
        self.sources.append(source)
        return self.function(source, *args, **options)


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("*.png", ["b.png"]),
            ("*", ["a.JPEG", "b.png"]),
            ("**", list(SORTED)),
            ("**/*", list(SORTED)),
            ("**/*.jpg", ["a/10.jpg", "a/2.jpg"]),
            ("**/d/**/*.tiff", ["c/d/e.tiff"]),
            ("[ac]/**/*.[jt]*", ["a/10.jpg", "a/2.jpg", "c/d/e.tiff"]),
            ("?.png", ["b.png"]),
            ("**/**/b.*", ["b.png"]),
        ],
    )
    def test_like_a_shell(self, folder, pattern, found):
        (folder / "notes.txt").write_text("not a picture")
        stimuli = image_set(f"{folder}/{pattern}")
        assert list(stimuli.ids) == found
        expected = {str(p.relative_to(folder)) for p in folder.glob(pattern) if p.is_file()}
        if pattern != "**":  # pathlib takes it for folders alone
            assert set(found) == expected - {"notes.txt"}

    def test_ids_are_relative_to_what_has_no_wildcard(self, folder):
        assert image_set(f"{folder}/a/*.jpg").ids == ("10.jpg", "2.jpg")
        assert image_set(f"{folder}/[a]/*.jpg").ids == ("a/10.jpg", "a/2.jpg")
        assert image_set(f"{folder}/c/**/*.tiff").ids == ("d/e.tiff",)

    def test_the_home_folder(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder.parent))
        stimuli = image_set("~/my stimuli/**/*.jpg")
        assert stimuli.ids == ("a/10.jpg", "a/2.jpg")
        assert stimuli.name == "my stimuli/**/*.jpg"

    def test_a_pattern_in_the_working_folder(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        assert image_set("a/*.jpg").ids == ("10.jpg", "2.jpg")

    def test_a_folder_that_is_there_goes_before_a_pattern(self, tmp_path):
        put(tmp_path, "[a]/x.png", "a/y.png", "[b].png", "b.png")
        assert image_set(f"{tmp_path}/[a]").ids == ("x.png",)
        assert image_set(f"{tmp_path}/[a]/*.png").ids == ("x.png",)
        assert image_set(f"{tmp_path}/[b].png").ids == ("[b].png",)
        assert image_set(f"{tmp_path}/[b]*").ids == ("b.png",)

    def test_circles_of_links_and_folders_that_do_not_matter(self, folder, monkeypatch):
        (folder / "a" / "up").symlink_to(folder)
        (folder / "b_again").symlink_to(folder)
        put(folder, "z/x.png")
        scan = os.scandir
        listed = []
        monkeypatch.setattr(os, "scandir", lambda p: listed.append(Path(p).name) or scan(p))
        assert image_set(f"{folder}/a*/*.jpg").ids == ("a/10.jpg", "a/2.jpg")
        assert "z" not in listed
        assert image_set(f"{folder}/**/*.jpg").ids == ("a/10.jpg", "a/2.jpg")


class TestTables:
    @pytest.fixture
    def table(self, folder):
        rows = pd.DataFrame(
            {
                "stimulus_id": ["007", "NA", "1e3"],
                "path": ["b.png", "a/2.jpg", str(folder / "c" / "d" / "e.tiff")],
                "category": ["face", "", "house"],
                "size": [3.5, np.nan, -2],
                "n": [1, 0, -30],
                "code": ["01", "02", "10"],
                "natural": [True, False, True],
                "serial": ["12345678901234567890", "1", "2"],
            }
        )
        rows.to_csv(folder / "set.csv")  # with pandas' own index as a column without a name
        return rows

    @pytest.mark.parametrize("layout", ["{0};{1};{2}", "{0}, {1}, {2}", "{0}\t{1}\t{2}"])
    def test_other_layouts(self, folder, layout):
        rows = [("stimulus_id", "path", "n"), ("x", "b.png", 1), ("y", "a/2.jpg", 2)]
        text = "\n".join(layout.format(*row) for row in rows)
        (folder / "set.csv").write_text(text, encoding="utf-8-sig")
        stimuli = image_set(folder / "set.csv")
        assert stimuli.ids == ("x", "y")
        assert list(stimuli.metadata["n"]) == [1, 2]
        np.testing.assert_array_equal(stimuli.image(0), picture(0))

    def test_a_separator_that_cannot_be_told(self, folder):
        (folder / "set.csv").write_text("path;a,b\nx;1,y\n")
        with pytest.raises(ProbeError, match="may separate its columns by ',' or ';'"):
            image_set(folder / "set.csv")

    def test_paths_of_windows(self, folder):
        (folder / "set.csv").write_text("path\na\\2.jpg\nc\\d\\e.tiff\n")
        stimuli = image_set(folder / "set.csv")
        assert stimuli.ids == ("a/2.jpg", "c/d/e.tiff")
        np.testing.assert_array_equal(stimuli.image(1), picture(4))

    @pytest.mark.parametrize(
        "there",
        [
            "/home/other/lab/set/{}",
            "C:\\lab\\set\\{}",
            "c:/set/{}",
            "\\\\server\\lab\\set\\{}",
            "{}",
        ],
    )
    def test_paths_of_another_machine(self, folder, tmp_path, there):
        names = ["a/10.jpg", "b.png", "a/2.jpg"]
        written = [there.format(name.replace("/", "\\") if "\\" in there else name)
                   for name in names]  # fmt: skip
        table = tmp_path / "set.csv"
        pd.DataFrame({"stimulus_id": names, "path": written}).to_csv(table, index=False)
        stimuli = image_set(table, root=folder)
        assert stimuli.ids == tuple(names)
        for k, name in enumerate(names):
            np.testing.assert_array_equal(stimuli.image(k), image_set(folder / name).image(0))
        if there != "{}":
            with pytest.raises(ProbeError, match=r"\(--root\)"):
                image_set(table)

    def test_a_root_that_does_not_fit(self, folder, tmp_path):
        put(folder, "set/b.png", "b.png")
        table = tmp_path / "set.csv"
        table.write_text("path\n/home/set/b.png\n")
        with pytest.raises(ProbeError, match="may be several pictures"):
            image_set(table, root=folder)
        with pytest.raises(ProbeError, match=r"none of its pictures, as 'home/set/b\.png'"):
            image_set(table, root=folder / "c")
        with pytest.raises(ProbeError, match="is not a folder"):
            image_set(table, root=folder / "nowhere")
        with pytest.raises(ProbeError, match="is no table"):
            image_set(folder, root=folder)

    def test_folders_that_differ_are_not_made_the_same(self, folder, tmp_path):
        table = tmp_path / "set.csv"
        table.write_text("path\n/x/one/b.png\n/x/two/b.png\n")
        with pytest.raises(ProbeError, match="has none of its pictures"):
            image_set(table, root=folder)

    def test_order_ids_and_metadata(self, folder, table):
        stimuli = image_set(folder / "set.csv")
        assert stimuli.ids == ("007", "NA", "1e3")
        assert stimuli.name == "set.csv"
        np.testing.assert_array_equal(stimuli.image(0), picture(0))
        metadata = stimuli.metadata
        assert list(metadata.index) == list(stimuli.ids)
        assert list(metadata) == ["category", "size", "n", "code", "natural", "serial"]
        assert list(metadata["category"]) == ["face", "", "house"]
        np.testing.assert_array_equal(metadata["size"], [3.5, np.nan, -2])
        assert metadata["n"].dtype == np.int64
        assert metadata["natural"].dtype == bool
        assert list(metadata["code"]) == ["01", "02", "10"]
        assert list(metadata["serial"]) == list(table["serial"])

    def test_tabs(self, folder, table):
        table.to_csv(folder / "set.tsv", sep="\t", index=False)
        tabs, commas = image_set(folder / "set.tsv"), image_set(folder / "set.csv")
        assert tabs.hash == commas.hash
        pd.testing.assert_frame_equal(tabs.metadata, commas.metadata)

    def test_without_a_column_of_ids_paths_are_the_ids(self, folder):
        (folder / "set.csv").write_text("\ufeffpath\r\na/2.jpg\r\n\r\nb.png\r\n", encoding="utf-8")
        stimuli = image_set(folder / "set.csv")
        assert stimuli.ids == ("a/2.jpg", "b.png")
        assert stimuli.metadata is None

    def test_columns_of_other_names(self, folder):
        (folder / "set.csv").write_text("name,file,stimulus_id\nx,b.png,5\n")
        stimuli = image_set(folder / "set.csv", id_column="name", path_column="file")
        assert stimuli.ids == ("x",)
        assert stimuli.metadata is None

    def test_difficult_cells(self, folder):
        names = ["a b.png", 'it\'s "x".png', "l1\nl2.png", "é,ß.png", " lead.png", "ta\tb.png"]
        put(folder, *names)
        for suffix, separator in ((".csv", ","), (".tsv", "\t")):
            path = folder / f"set{suffix}"
            pd.DataFrame({"path": names, "k": range(6)}).to_csv(path, index=False, sep=separator)
            assert list(image_set(path).ids) == names

    def test_the_home_folder_in_a_cell(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder))
        (folder / "c" / "set.csv").write_text("path\n~/b.png\n")
        assert image_set(folder / "c" / "set.csv").ids == ("~/b.png",)

    def test_one_picture_may_be_shown_under_two_names(self, folder):
        (folder / "set.csv").write_text("stimulus_id,path\nx,b.png\ny,b.png\n")
        stimuli = image_set(folder / "set.csv")
        assert stimuli.content_hashes[0] == stimuli.content_hashes[1]

    def test_skipped_rows_leave_the_metadata_too(self, folder, table):
        (folder / "b.png").write_bytes(PNG[:-20])
        stimuli = image_set(folder / "set.csv", skip_bad=True)
        assert stimuli.ids == ("NA", "1e3")
        assert list(stimuli.metadata["n"]) == [0, -30]
        [(name, reason)] = stimuli.skipped
        assert name == "007"
        assert str(folder / "b.png") in reason

    def test_parquet(self, folder, table):

        table["serial"] = ["7", "8", "9"]
        table["day"] = pd.to_datetime(["2024-05-01"] * 3)
        table["maybe"] = pd.array([1, None, 3], dtype="Int64")
        table.to_parquet(folder / "set.parquet", index=False)
        stimuli = image_set(folder / "set.parquet")
        assert stimuli.ids == ("007", "NA", "1e3")
        assert stimuli.hash == image_set(folder / "set.csv").hash
        assert list(stimuli.metadata["serial"]) == ["7", "8", "9"]
        assert list(stimuli.metadata["day"]) == ["2024-05-01 00:00:00"] * 3
        np.testing.assert_array_equal(stimuli.metadata["maybe"], [1, np.nan, 3])
        assert stimuli.metadata["natural"].dtype == bool
        table.set_index("stimulus_id").to_parquet(folder / "indexed.parquet")
        assert image_set(folder / "indexed.parquet").ids == stimuli.ids
        table["path"] = ["b.png", None, "a/2.jpg"]
        table.to_parquet(folder / "gap.parquet")
        with pytest.raises(ProbeError, match="has no path in row 2"):
            image_set(folder / "gap.parquet")
        (folder / "bad.parquet").write_bytes(b"PAR1 rubbish PAR1")
        with pytest.raises(ProbeError, match=r"bad\.parquet' cannot be read \(") as error:
            image_set(folder / "bad.parquet")
        assert len(str(error.value).splitlines()) == 1

    def test_parquet_without_pyarrow(self, folder, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        (folder / "set.parquet").write_bytes(b"PAR1")
        with pytest.raises(ProbeError, match=r"set\.parquet'.*cnn-probe\[parquet\]"):
            image_set(folder / "set.parquet")


def zipped(path, contents, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


class TestArchives:
    @pytest.fixture
    def archive(self, folder, tmp_path):
        contents = {name: (folder / name).read_bytes() for name in reversed(SORTED)}
        extra = {
            "a/": b"",
            "__MACOSX/a/._2.jpg": b"\0\5\x16\7",
            ".DS_Store": b"\0",
            "notes.txt": b"no picture",
        }
        return zipped(tmp_path / "set.ZIP", contents | extra)

    def test_is_what_the_folder_is(self, archive, folder):
        stimuli = image_set(archive)
        assert stimuli.ids == SORTED
        assert stimuli.hash == image_set(folder).hash
        assert stimuli.name == "set.ZIP"
        np.testing.assert_array_equal(stimuli.image(3), picture(0))

    def test_nothing_is_unpacked(self, archive, tmp_path):
        before = set(tmp_path.rglob("*"))
        image_set(archive).image(0)
        assert set(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("ahead", [b"", b"#!/bin/sh self-extracting\n"])
    def test_stored_members_and_what_goes_before_an_archive(self, tmp_path, ahead):
        path = zipped(tmp_path / "set.zip", {"./a.png": PNG, "b.jpg": JPEG}, zipfile.ZIP_STORED)
        path.write_bytes(ahead + path.read_bytes())
        stimuli = image_set(path)
        assert stimuli.ids == ("./a.png", "b.jpg")
        assert stimuli.content_hashes[0] == hashlib.sha256(PNG).hexdigest()

    def test_members_are_read_by_threads_and_other_processes(self, archive):
        stimuli = image_set(archive)
        alone = [np.asarray(stimuli.image(k)) for k in range(5)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda k: np.asarray(stimuli.image(k % 5)), range(200)))
        assert all((alone[k % 5] == one).all() for k, one in enumerate(found))
        code = (
            "import pickle, sys; stimuli = pickle.load(sys.stdin.buffer);"
            "sys.stdout.buffer.write(stimuli.image(3).tobytes())"
        )
        told = subprocess.run(
            [sys.executable, "-c", code],
            input=pickle.dumps(stimuli),
            capture_output=True,
            check=True,
        )
        assert told.stdout == alone[3].tobytes()

    def test_a_member_is_read_without_the_archives_directory(self, archive, monkeypatch):
        stimuli = image_set(archive)
        monkeypatch.setattr(zipfile, "ZipFile", None)
        assert stimuli.image(0).size == (24, 20)

    def test_an_archive_that_changed_since_is_named(self, archive):
        stimuli = image_set(archive)
        archive.write_bytes(archive.read_bytes()[:60])
        with pytest.raises(ProbeError, match=r"image '.*set\.ZIP/b\.png' cannot be read \(damaged"):
            stimuli.image(3)
        archive.unlink()
        with pytest.raises(ProbeError, match=r"b\.png' cannot be read \(No such file"):
            stimuli.image(3)

    def test_no_more_is_unpacked_than_a_member_says(self, tmp_path):
        path = zipped(tmp_path / "bomb.zip", {"a.png": bytes(10**7)})
        content = path.read_bytes().replace(struct.pack("<L", 10**7), struct.pack("<L", 1000))
        path.write_bytes(content)
        with pytest.raises(ProbeError, match="damaged in the archive"):
            members(path)[0].read()

    @pytest.mark.usefixtures("mirror")
    def test_pictures_that_were_shown(self, mirror):
        shown = load("cowley2023").stimuli
        [path] = mirror.rglob("images_210325.zip")
        stimuli = image_set(path)
        assert [Path(name).name for name in stimuli.ids] == list(shown.ids)
        assert stimuli.content_hashes == shown.content_hashes


# What is wrong, where one bad file lies among the good ones of a folder. Each gives its name.


def bad_file(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return name

    return make


def bad_path(name, make_path):
    def make(folder):
        make_path(folder / name)
        return name

    return make


def broken_byte(content, place):
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def floating_point(path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(path, "TIFF")


def sparse(path):
    with path.open("wb") as file:
        file.truncate(image_sets.MAX_BYTES + 1)


def png_header(width, height):
    """A PNG file whose head promises so many pixels."""
    chunk = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:8] + struct.pack(">L", 13) + chunk + struct.pack(">L", zlib.crc32(chunk)) + PNG[33:]


BAD = {
    "empty PNG": (bad_file("x.png", b""), "the file is empty"),
    "empty TIFF": (bad_file("x.tif", b""), "the file is empty"),
    "truncated PNG": (bad_file("x.png", PNG[:-50]), "Truncated File Read"),
    "PNG without its end": (bad_file("x.png", PNG[:-12]), "truncated PNG file"),
    "head of a PNG": (bad_file("x.png", PNG[:8]), r"not identified as a picture"),
    "PNG with a flipped byte": (bad_file("x.png", broken_byte(PNG, 300)), "checksum"),
    "truncated JPEG": (bad_file("x.jpg", JPEG[:-90]), "truncated"),
    "JPEG without its end": (bad_file("x.jpg", JPEG[:-2]), "truncated"),
    "head of a JPEG": (bad_file("x.jpg", JPEG[:100]), "not identified|truncated|cannot"),
    "progressive JPEG, truncated": (
        bad_file("x.jpeg", file_of("JPEG", progressive=True)[:-40]),
        "truncated",
    ),
    "truncated TIFF": (bad_file("x.tiff", TIFF[: len(TIFF) // 2]), "."),
    "truncated GIF": (bad_file("x.gif", file_of("GIF")[:-100]), "truncated"),
    "truncated BMP": (bad_file("x.bmp", file_of("BMP")[:-100]), "truncated"),
    "truncated WebP": (bad_file("x.webp", file_of("WEBP")[:-100]), "."),
    "renamed text": (bad_file("x.png", b"dear diary"), r"begins with b'dear diary'"),
    "a web page": (bad_file("x.jpg", b"<!DOCTYPE html><p>"), r"begins with b'<!DOCTYPE html>"),
    "a pointer of git-lfs": (bad_file("x.png", b"version https://git-lfs"), r"b'version https:"),
    "zeros": (bad_file("x.jpg", bytes(5000)), r"not identified as a picture"),
    "a recording": (bad_file("x.tif", b"\x93NUMPY\1\0"), r"begins with b'\\x93NUMPY"),
    "floating point": (bad_path("x.tif", floating_point), "floating-point pixels"),
    "too many pixels": (bad_file("x.png", png_header(10**5, 10**5)), "exceeds limit"),
    "no pixels": (bad_file("x.png", png_header(0, 10)), "."),
    "too large": (bad_path("x.png", sparse), r"1\.1 GB are too much for a picture"),
    "a link to nothing": (bad_path("x.png", lambda p: p.symlink_to("nowhere")), "No such file"),
    "a link to itself": (bad_path("x.png", lambda p: p.symlink_to(p)), "symbolic links"),
    "a pipe": (bad_path("x.png", os.mkfifo), "it is not a regular file"),
    "a name with a line break": (bad_file("x\ny.png", b""), "the file is empty"),
    "a name with quotes": (bad_file('it\'s "x".png', b""), "the file is empty"),
    "a name in Japanese": (bad_file("日本.png", b"dear diary"), "not identified"),
    "a name with a direction mark": (bad_file("x\u202egnp.png", b""), "the file is empty"),
}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_is_named_beforehand_or_skipped(folder, make, reason):
    good = image_set(folder)
    name = make(folder)
    with pytest.raises(ProbeError, match=reason) as error:
        image_set(folder)
    message = str(error.value)
    assert message.startswith(f"1 of 6 images in folder {str(folder)!r} cannot be read: {name!r} (")
    assert message.endswith("skip_bad=True (--skip-bad)")
    assert len(message.splitlines()) == 1
    skipping = image_set(folder, skip_bad=True)
    assert skipping.hash == good.hash
    assert [bad for bad, _ in skipping.skipped] == [name]
    assert len(skipping.skipped[0][1].splitlines()) == 1
    assert skipping.skipped[0][1] in message


def test_no_warning_of_a_damaged_file_comes_before_the_list(folder, recwarn):
    (folder / "x.tiff").write_bytes(TIFF[: len(TIFF) // 2])
    with pytest.raises(ProbeError, match=r"x\.tiff"):
        image_set(folder)
    assert not recwarn.list


def test_a_picture_whose_name_does_not_say_so_is_not_left_out_in_silence(folder):
    n = len(image_set(folder))
    (folder / "notes.txt").write_text("no picture")
    picture = next(p for p in folder.rglob("*") if p.suffix == ".png")
    (folder / "photo").write_bytes(picture.read_bytes())
    says = r"'photo' \(it is a PNG picture, but its name does not end like one\)"
    for source in (folder, folder / "*"):
        with pytest.raises(ProbeError, match=says):
            image_set(source)
    left_out = image_set(folder, skip_bad=True)
    assert len(left_out) == n
    assert [name for name, _ in left_out.skipped] == ["photo"]


def test_a_picture_that_takes_another_package_is_not_left_out_in_silence(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(60))
    with pytest.raises(ProbeError, match=r"'photo\.HEIC' \(HEIC, which takes .* pip install"):
        image_set(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only here may names be no text")
def test_a_name_that_is_no_text(folder):
    path = os.fsencode(folder) + b"/caf\xe9.png"
    with open(path, "wb") as file:
        file.write(PNG)
    with pytest.raises(ProbeError, match=r"'caf\\udce9\.png' \(its name is not text in UTF-8"):
        image_set(folder)
    stimuli = image_set(folder, skip_bad=True)
    assert stimuli.ids == SORTED
    assert stimuli.skipped[0][0].encode() == rb"caf\udce9.png"


def test_a_folder_that_cannot_be_listed(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    says = r"1 of 4 images .*'a/' \(the folder cannot be listed: Permission denied\)"
    with pytest.raises(ProbeError, match=says):
        image_set(folder)
    assert image_set(folder, skip_bad=True).skipped[0][0] == "a/"
    with pytest.raises(ProbeError, match=r"folder '.*/a' cannot be listed \(Permission denied\)"):
        image_set(folder / "a")


def test_three_of_many_bad_files_are_named(folder):
    for k in range(12):
        (folder / f"bad{k:02d}.png").write_bytes(b"")
    with pytest.raises(ProbeError) as error:
        image_set(folder)
    empty = [f"'bad0{k}.png' (the file is empty)" for k in range(3)]
    assert str(error.value) == (
        f"12 of 17 images in folder {str(folder)!r} cannot be read: {', '.join(empty)} and 9 more; "
        "put them right, or go on without them: skip_bad=True (--skip-bad)"
    )
    assert len(image_set(folder, skip_bad=True).skipped) == 12


@pytest.mark.parametrize("skip_bad", [False, True])
def test_where_all_are_bad_nothing_is_left_to_go_on_with(tmp_path, skip_bad):
    for k in range(5):
        (tmp_path / f"{k}.png").write_bytes(b"")
    with pytest.raises(ProbeError, match=r"no image in folder .* can be read: '0\.png'") as error:
        image_set(tmp_path, skip_bad=skip_bad)
    assert str(error.value).endswith("and 2 more")


# What is wrong with the source itself. Each gives what to ask for.


def empty_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    return tmp_path / "sub"


def only_notes(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "todo.md").write_text("none")
    return tmp_path


def table(content, name="set.csv"):
    def make(tmp_path):
        put(tmp_path, "a.png", "b.png")
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def zip_of(contents, method=zipfile.ZIP_DEFLATED):
    return lambda tmp_path: zipped(tmp_path / "set.zip", contents, method)


def raw(name, content):
    def make(tmp_path):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def encrypted(only_first):
    def make(tmp_path):
        path = zipped(tmp_path / "set.zip", {"a.png": PNG, "b.png": PNG})
        content = bytearray(path.read_bytes())
        starts = [k for k in range(len(content)) if content[k : k + 4] == b"PK\1\2"]
        for start in starts[:1] if only_first else starts:
            content[start + 8] |= 1
        path.write_bytes(content)
        return path

    return make


def flipped_member(tmp_path):
    path = zipped(tmp_path / "set.zip", {"a.png": PNG, "b.png": PNG}, zipfile.ZIP_STORED)
    path.write_bytes(broken_byte(path.read_bytes(), 500))
    return path


def truncated_archive(tmp_path):
    path = zipped(tmp_path / "set.zip", {"a.png": PNG})
    path.write_bytes(path.read_bytes()[:-30])
    return path


WRONG = {
    "nothing": (lambda t: "", r"image set '': name a folder, a pattern, a table"),
    "blank": (lambda t: "  ", r"image set '': name a folder"),
    "a list": (lambda t: [t], r"is a list: expected a path"),
    "bytes": (lambda t: b"folder", r"is a bytes: expected a path"),
    "a folder that is not there": (
        lambda t: put(t, "stimuli/a.png") / "stimulli",
        r"image set '.*/stimulli' does not exist; did you mean 'stimuli'\?",
    ),
    "nor the folder above": (
        lambda t: t / "x" / "y",
        r"image set '.*x/y' does not exist, nor does folder '.*x'",
    ),
    "a null byte": (lambda t: f"{t}\0", r"image set '.*\\x00' does not exist"),
    "a name too long": (lambda t: str(t / ("x" * 5000)), r"image set '.*x' does not exist"),
    "an empty folder": (
        empty_folder,
        r"sub' has no images \(\.apng, \.avif, \.bmp, .*\.webp\); it is empty",
    ),
    "a folder without pictures": (
        only_notes,
        r"folder '.*' has no images \(\.apng, \.avif.*; it has 'notes\.txt' and 1 more",
    ),
    "a pattern without a match": (
        lambda t: put(t, "a.png") / "*.jpg",
        r"no file matches the pattern '.*/\*\.jpg'; .*a\.png",
    ),
    "a pattern for other files": (
        lambda t: only_notes(put(t, "a.png")) / "*.txt",
        r"pattern '.*/\*\.txt' has no images .*it has 'notes\.txt'",
    ),
    "a pattern in no folder": (lambda t: t / "x" / "*.png", r"no file matches .*x/\*\.png'"),
    "a pattern and a line break": (
        lambda t: put(t, "l1\nl2.png") / "*.jpg",
        r"no file matches .*l1\\nl2\.png",
    ),
    "a file of another kind": (
        raw("set.mat", b"x"),
        r"set\.mat' is not an image set: expected a folder",
    ),
    "a table with no path": (
        table("stimulus_id,pth,kind\nx,a.png,face\n"),
        r"set\.csv' has no column 'path'; did you mean 'pth'\?",
    ),
    "a table between semicolons": (
        table("stimulus_id;file\nx;a.png\n"),
        r"has no column 'path'; known: stimulus_id, file",
    ),
    "a table of another machine": (
        table("path\n/nowhere/set/a.png\n/nowhere/set/b.png\n"),
        r"pictures that are not here, as '/nowhere/set/a.png'.*\(--root\)",
    ),
    "a heading with a line break": (table('"pic\nture"\na.png\n'), r"'path'; known: pic ture"),
    "an empty path": (
        table("stimulus_id,path\nx,a.png\ny,\n"),
        r"set\.csv' has no path in row 2, not counting the header",
    ),
    "an empty id": (table("stimulus_id,path\n ,a.png\n"), r"has no stimulus_id in row 1"),
    "an id twice": (
        table("stimulus_id,path\nx,a.png\ny,b.png\nx,b.png\n"),
        r"names 'x' in row 1 and again in row 3",
    ),
    "a path twice, as an id": (table("path\na.png\na.png\n"), r"names 'a\.png' in row 1 and again"),
    "a table without rows": (table("stimulus_id,path\n"), r"table '.*set\.csv' has no rows"),
    "an empty table": (table(""), r"set\.csv' has no column 'path'"),
    "a cell too many": (
        table("path,k\na.png,1\nb.png,2,3\n"),
        r"has 3 cells for 2 columns in row 2",
    ),
    "a cell too few": (table("path,k\na.png\n"), r"has 1 cells for 2 columns in row 1"),
    "a heading twice": (table("path,k,k\na.png,1,2\n"), r"has two columns 'k'"),
    "a quote without an end": (
        table('path\na.png\n"b.png\n'),
        r"set\.csv', line 3: unexpected end",
    ),
    "another encoding": (table("path\né.png\n".encode("latin-1")), r"is not text in UTF-8"),
    "UTF-16": (table("path\na.png\n".encode("utf-16")), r"set\.csv' is not text in UTF-8"),
    "a path to nothing": (
        table("stimulus_id,path\nx,a.png\ny,c.png\n"),
        r"1 of 2 images in table .*: 'y' \('.*/c\.png': No such file or directory\)",
    ),
    "a path to a folder": (table("path\na.png\n.\n"), r"'\.' \(.*it is a folder\)"),
    "a path to a device": (table("path\na.png\n/dev/zero\n"), r"it is not a regular file"),
    "a path with a null byte": (table("path\na.png\nb\0.png\n"), r"'b\\x00\.png' \(.*null"),
    "a path too long": (table(f"path\na.png\n{'x' * 300}.png\n"), r"xx\.png' \(File name too long"),
    "a web address": (table("path\na.png\nhttps://x.org/b.png\n"), r"No such file"),
    "no archive": (
        raw("set.zip", b"rubbish"),
        r"archive '.*set\.zip' cannot be read \(File is not",
    ),
    "an empty archive": (raw("set.zip", b""), r"set\.zip' cannot be read"),
    "a truncated archive": (truncated_archive, r"archive '.*set\.zip' cannot be read"),
    "an archive without pictures": (
        zip_of({"notes.txt": b"x", "__MACOSX/._a.png": b"x"}),
        r"archive '.*set\.zip' has no images .*; it has 'notes\.txt'",
    ),
    "an encrypted archive": (encrypted(False), r"set\.zip' is encrypted: unpack it"),
    "one encrypted member": (encrypted(True), r"1 of 2 images .*'a\.png' \(it is encrypted\)"),
    "a damaged member": (flipped_member, r"1 of 2 images .*'a\.png' \(damaged in the archive"),
    "members packed otherwise": (
        zip_of({"a.png": PNG}, zipfile.ZIP_BZIP2),
        r"'a\.png' \(compressed by method 12, not by deflate\)",
    ),
    "a bad member": (
        zip_of({"a.png": PNG, "b c.png": PNG[:-30]}),
        r"1 of 2 images in archive .*'b c\.png' \(Truncated",
    ),
    "a bad single picture": (
        raw("x.png", PNG[:99]),
        r"no image in '.*x\.png' can be read: 'x\.png'",
    ),
}


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_source_is_one_line(tmp_path, make, says):
    with pytest.raises(ProbeError, match=says) as error:
        image_set(make(tmp_path))
    assert len(str(error.value).splitlines()) == 1


def test_a_column_that_was_asked_for_is_needed(tmp_path):
    path = table("stimulus_id,path\nx,a.png\n")(tmp_path)
    with pytest.raises(ProbeError, match="no column 'stimulus'; did you mean 'stimulus_id'"):
        image_set(path, id_column="stimulus")


def test_the_bar_counts_images(folder, capsys):
    image_set(folder, progress=True)
    assert "checking images" in capsys.readouterr().err
