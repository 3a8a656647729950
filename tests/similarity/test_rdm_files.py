"""RDMs in files of other programs, each written by that program."""

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import rsatoolbox
import scipy.io
from scipy.spatial.distance import pdist, squareform

from probe.recordings.loaders import kriegeskorte_models
from probe.similarity.rdm_set import RDMs, match

N = 8
IDS = [f"face-{k}.png" for k in range(5)] + ["1 cat", "ça va", "2"]
DISTANCES = pdist(np.random.default_rng(0).normal(size=(3, N, 6)).reshape(3 * N, 6)[:N])
SQUARE = squareform(DISTANCES)
SEVERAL = np.stack([squareform(pdist(np.random.default_rng(k).random((N, 4)))) for k in range(3)])
CONDENSED = np.stack([squareform(square) for square in SEVERAL])


def check(path, expected=DISTANCES, ids=tuple(IDS), labels=None):
    rdms = RDMs.load(path)
    np.testing.assert_allclose(rdms.distances, np.atleast_2d(expected), rtol=1e-12)
    assert rdms.stimulus_ids == ids
    assert rdms.named == bool(ids)
    if labels is not None:
        assert rdms.labels == labels
    return rdms


def refused(path, message):
    with pytest.raises(ValueError, match=message) as error:
        RDMs.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


class TestMatlab:
    @pytest.mark.parametrize("oned_as", ["row", "column"])
    def test_v5_with_names_in_a_cell(self, tmp_path, oned_as):
        path = tmp_path / "it.mat"
        cell = np.array(IDS, dtype=object)
        scipy.io.savemat(path, {"RDM": SQUARE, "stimulus_ids": cell}, oned_as=oned_as)
        check(path, labels=("it",))

    def test_v5_with_names_in_a_matrix_of_characters(self, tmp_path):
        scipy.io.savemat(tmp_path / "x.mat", {"RDM": SQUARE, "conditions": np.array(IDS)})
        check(tmp_path / "x.mat")

    @pytest.mark.parametrize("key", ["RDMs", "whatever"])
    def test_v5_rdms_lie_along_the_last_axis(self, tmp_path, key):
        scipy.io.savemat(tmp_path / "subjects.mat", {key: np.moveaxis(SEVERAL, 0, 2)})
        labels = ("subjects-1", "subjects-2", "subjects-3")
        check(tmp_path / "subjects.mat", CONDENSED, (), labels)

    def test_v5_as_many_rdms_as_stimuli(self, tmp_path):
        many = np.stack([squareform(pdist(np.random.default_rng(k).random((N, 4))))
                         for k in range(N)])  # fmt: skip
        condensed = [squareform(square) for square in many]
        for name, array in {"first": many, "last": np.moveaxis(many, 0, 2)}.items():
            scipy.io.savemat(tmp_path / f"{name}.mat", {"RDM": array})
            check(tmp_path / f"{name}.mat", condensed, ())
        scipy.io.savemat(tmp_path / "both.mat", {"RDM": np.zeros((N, N, N))})
        refused(tmp_path / "both.mat", "symmetric along two pairs of axes")

    @pytest.mark.parametrize("oned_as", ["row", "column"])
    def test_v5_condensed_as_pdist_gives_it(self, tmp_path, oned_as):
        scipy.io.savemat(tmp_path / "x.mat", {"d": DISTANCES}, oned_as=oned_as)
        check(tmp_path / "x.mat", ids=())

    def test_v5_structs_of_the_rsa_toolbox(self, tmp_path):
        structs = np.zeros((1, 3), dtype=[("RDM", object), ("name", object), ("color", object)])
        for k, square in enumerate(SEVERAL):
            structs[0, k] = (square, f"hIT | {k}", np.zeros((1, 3)))
        scipy.io.savemat(tmp_path / "x.mat", {"Models": structs})
        check(tmp_path / "x.mat", CONDENSED, (), ("hIT | 0", "hIT | 1", "hIT | 2"))

    def test_v7_3(self, tmp_path):
        """As MATLAB lays it out: axes reversed, text as UTF-16 code units, cells as references."""
        path = tmp_path / "x.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["RDMs"] = np.moveaxis(SEVERAL, 0, 2).T
            file["RDMs"].attrs["MATLAB_class"] = np.bytes_("double")
            cells = []
            for k, name in enumerate(IDS):
                codes = np.array([[ord(c)] for c in name], dtype=np.uint16)
                item = file.create_dataset(f"#refs#/{k}", data=codes)
                item.attrs["MATLAB_class"] = np.bytes_("char")
                cells.append(item.ref)
            names = np.array(cells, dtype=h5py.ref_dtype)[None]
            file.create_dataset("stimulus_ids", data=names, dtype=h5py.ref_dtype)
            file["stimulus_ids"].attrs["MATLAB_class"] = np.bytes_("cell")
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        check(path, CONDENSED)

    def test_files_that_others_have_published(self, mirror):
        path = mirror / "kriegeskorte2008" / "92_modelRDMs.mat"
        models = kriegeskorte_models(lambda manifest, name: mirror / manifest.name / name)
        check(path, list(models.values()), (), tuple(models))
        refused(mirror / "cichy2014" / "target_fmri_92.mat", "holds 'EVC_RDMs', 'IT_RDMs'")

    def test_names_that_cannot_be_read(self, tmp_path):
        cells = np.array([np.zeros((2, 2))] * N, dtype=object)
        names = np.empty(N, dtype=object)
        names[:] = list(cells)
        scipy.io.savemat(tmp_path / "x.mat", {"RDM": SQUARE, "stimulus_ids": names})
        refused(tmp_path / "x.mat", "names 'stimulus_ids' are there and cannot be read")

    @pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", b"\x89HDF\r\n\x1a\nbroken"])
    def test_a_broken_file(self, tmp_path, content):
        (tmp_path / "x.mat").write_bytes(content)
        refused(tmp_path / "x.mat", "is not an? (MATLAB|HDF5) file")


class TestTables:
    def frame(self):
        return pd.DataFrame(SQUARE, IDS, IDS)

    @pytest.mark.parametrize(
        "how",
        [
            {},
            {"sep": ";"},
            {"sep": ";", "decimal": ","},
            {"sep": "\t"},
            {"index": False},
            {"index_label": "image"},
            {"header": False},
        ],
    )
    def test_square_as_pandas_writes_it(self, tmp_path, how):
        self.frame().to_csv(tmp_path / "x.csv", **how)
        check(tmp_path / "x.csv", labels=("x",))

    @pytest.mark.parametrize("how", [{}, {"index": False}, {"index": False, "header": False}])
    def test_positions_are_no_names(self, tmp_path, how):
        pd.DataFrame(SQUARE).to_csv(tmp_path / "x.csv", **how)
        check(tmp_path / "x.csv", ids=())

    @pytest.mark.parametrize("named", ["both", "mangled", "rows one short", "neither"])
    def test_square_as_r_writes_it(self, tmp_path, named):
        mangled = [f"face.{k}.png" for k in range(5)] + ["X1.cat", "ça.va", "X2"]
        columns = {"both": IDS, "mangled": mangled, "rows one short": IDS}
        columns = columns.get(named, [f"V{k + 1}" for k in range(N)])
        rows = [str(k + 1) for k in range(N)] if named == "neither" else IDS
        head = ",".join(f'"{name}"' for name in columns)
        lines = [head if named == "rows one short" else f'"",{head}']
        lines += [f'"{name}",' + ",".join(map(repr, row.tolist()))
                  for name, row in zip(rows, SQUARE, strict=True)]  # fmt: skip
        (tmp_path / "x.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        check(tmp_path / "x.csv", ids=() if named == "neither" else tuple(IDS))

    def test_columns_in_another_order_than_rows(self, tmp_path):
        self.frame()[IDS[::-1]].to_csv(tmp_path / "x.csv")
        check(tmp_path / "x.csv")

    def test_blanks_after_commas(self, tmp_path):
        rows = [["", *IDS]]
        rows += [[name, *map(repr, row)] for name, row in zip(IDS, SQUARE.tolist(), strict=True)]
        text = "\n".join(", ".join(row) for row in rows)
        (tmp_path / "x.csv").write_text(text, encoding="utf-8")
        check(tmp_path / "x.csv")

    def test_long(self, tmp_path):
        several = RDMs(CONDENSED, ["V1", "V4", "IT"], IDS)
        several.to_pandas().to_csv(tmp_path / "x.csv", index=False)
        check(tmp_path / "x.csv", CONDENSED, labels=("V1", "V4", "IT"))
        several["V4"].to_pandas().stack().reset_index().to_csv(tmp_path / "x.csv", index=False)
        check(tmp_path / "x.csv", CONDENSED[1])

    def test_long_as_r_melts_it(self, tmp_path):
        lines = ['"","Var1","Var2","value"']
        lines += [f'"{i * N + j + 1}","{IDS[j]}","{IDS[i]}",{float(SQUARE[i, j])!r}'
                  for i in range(N) for j in range(N)]  # fmt: skip
        (tmp_path / "x.csv").write_text("\n".join(lines), encoding="utf-8")
        check(tmp_path / "x.csv")

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (pd.DataFrame(SQUARE[:5], IDS[:5], IDS), "5 × 8 distances is not square"),
            (pd.DataFrame(SQUARE + np.triu(np.ones((N, N)), 1), IDS, IDS), "not symmetric"),
            (pd.DataFrame(1 - SQUARE / 9, IDS, IDS), "1 on its diagonal.*subtract them from 1"),
            (pd.DataFrame(SQUARE, IDS, [*IDS[1:], "other"]), "'other' is a column only"),
            (pd.DataFrame(SQUARE, [*IDS[1:], IDS[1]], [*IDS[1:], IDS[1]]), "more than once"),
            (pd.DataFrame(SQUARE, IDS, IDS).astype(str).replace("0.0", "x"), "'x' in row 1, col"),
            (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), "'x' in row 1, column 1"),
            (pd.DataFrame({"a": [2, 3], "b": [1, 2], "c": [0, 0]}), "2 × 3 distances is not sq"),
        ],
    )
    def test_no_rdm(self, tmp_path, frame, message):
        frame.to_csv(tmp_path / "x.csv")
        refused(tmp_path / "x.csv", message)

    def test_nan_is_a_missing_pair_on_both_sides(self, tmp_path):
        frame = self.frame()
        frame.iloc[2, 5] = frame.iloc[5, 2] = np.nan
        frame.to_csv(tmp_path / "x.csv")
        assert np.isnan(RDMs.load(tmp_path / "x.csv").distances).sum() == 1
        frame.iloc[5, 2] = 0.5
        frame.to_csv(tmp_path / "x.csv")
        refused(tmp_path / "x.csv", "not symmetric")

    @pytest.mark.parametrize("corner", ["0", "0.0", "NaN"])
    def test_numbers_as_names_below_a_number_are_no_distances(self, tmp_path, corner):
        names = [str(10 * k) for k in range(1, N + 1)]
        frame = pd.DataFrame(SQUARE, pd.Index(names, name=corner), names)
        frame.to_csv(tmp_path / "x.csv")
        refused(tmp_path / "x.csv", "leave the cell in their corner empty")

    def test_distances_that_are_whole_numbers_are_no_names(self, tmp_path):
        whole = np.rint(100 * SQUARE).astype(int)
        whole[0, 1:] = whole[1:, 0] = range(1, N)
        pd.DataFrame(whole).to_csv(tmp_path / "x.csv", header=False, index=False)
        check(tmp_path / "x.csv", whole[np.triu_indices(N, 1)], ids=())

    def test_a_comment_above_a_table(self, tmp_path):
        self.frame().to_csv(tmp_path / "x.csv")
        text = "# made in 2024\n" + (tmp_path / "x.csv").read_text("utf-8")
        (tmp_path / "x.csv").write_text(text, "utf-8")
        refused(tmp_path / "x.csv", f"row 1 of the table has 1 cell, and the last one {N + 1}")

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b"a,b\n1\n", b'a,"b\n'])
    def test_a_broken_table(self, tmp_path, content):
        (tmp_path / "x.csv").write_bytes(content)
        refused(tmp_path / "x.csv", "x.csv")


def theirs(**descriptors):
    return rsatoolbox.rdm.RDMs(
        CONDENSED.copy(),
        dissimilarity_measure="squared euclidean",
        descriptors={"session": 3},
        rdm_descriptors={"subject": ["a", "b", "c"]},
        pattern_descriptors=descriptors,
    )


ASCII = [name.replace("ç", "c") for name in IDS]  # rsatoolbox does not write others to HDF5


class TestRsatoolbox:
    @pytest.mark.parametrize(("suffix", "kind"), [("hdf5", "hdf5"), ("h5", "hdf5"), ("pkl", "pkl")])
    def test_what_it_saves(self, tmp_path, suffix, kind):
        path = tmp_path / f"x.{suffix}"
        with path.open("wb+") as file:
            theirs(image=ASCII, age=list(range(N))).save(file, file_type=kind)
        rdms = check(path, CONDENSED, tuple(ASCII), ("a", "b", "c"))
        assert rdms.metric == "euclidean"
        assert rdms.attrs == {"session": 3}

    @pytest.mark.parametrize(("suffix", "kind"), [("hdf5", "hdf5"), ("pkl", "pkl")])
    def test_without_names(self, tmp_path, suffix, kind):
        with (tmp_path / f"x.{suffix}").open("wb+") as file:
            theirs().save(file, file_type=kind)
        check(tmp_path / f"x.{suffix}", CONDENSED, ())

    def test_an_order_of_their_own_leaves_its_trace(self):
        reordered = theirs()
        reordered.reorder(np.random.default_rng(0).permutation(N))
        with pytest.raises(ValueError, match="name the stimuli in both"):
            match([RDMs.from_rsatoolbox(theirs()), RDMs.from_rsatoolbox(reordered)])

    def test_two_descriptors_that_tell_all_stimuli_apart(self):
        both = theirs(file=ASCII, picture=ASCII[::-1])
        with pytest.raises(ValueError, match="'file', 'picture' all tell the stimuli apart"):
            RDMs.from_rsatoolbox(both)
        assert RDMs.from_rsatoolbox(both, stimulus_id="picture").stimulus_ids == tuple(ASCII[::-1])

    def test_a_pickle_that_would_run_something(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (tmp_path / "evil").mkdir, ()

        content = {"dissimilarities": Evil(), "pattern_descriptors": {}}
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
        refused(tmp_path / "x.pkl", r"is not a pickle of plain arrays.*save\('rdms.hdf5'\)")
        assert not (tmp_path / "evil").exists()

    @pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1, 2])])
    def test_other_pickles(self, tmp_path, content):
        (tmp_path / "x.pkl").write_bytes(content)
        refused(tmp_path / "x.pkl", "x.pkl")


class TestNumpy:
    def test_several_named_rdms(self, tmp_path):
        np.savez(tmp_path / "x.npz", V1=SEVERAL[0], V4=SEVERAL[1], stimulus_ids=np.array(IDS))
        check(tmp_path / "x.npz", CONDENSED[:2], labels=("V1", "V4"))
        np.savez(tmp_path / "x.npz", V1=CONDENSED[0], V4=CONDENSED[1])
        check(tmp_path / "x.npz", CONDENSED[:2], (), ("V1", "V4"))

    def test_two_sets(self, tmp_path):
        np.savez(tmp_path / "x.npz", rdm=SQUARE, distances=SQUARE)
        refused(tmp_path / "x.npz", "keep one of them")
        np.savez(tmp_path / "x.npz", V1=SEVERAL, V4=SEVERAL)
        refused(tmp_path / "x.npz", "holds 'V1', 'V4': expected an array 'distances'")

    @pytest.mark.parametrize("columns", [True, False])
    def test_condensed_in_columns_where_only_they_are_numbers_of_pairs(self, tmp_path, columns):
        array = CONDENSED[:2]
        np.save(tmp_path / "x.npy", array.T if columns else array)
        check(tmp_path / "x.npy", array, ())

    def test_condensed_in_rows_or_columns(self, tmp_path):
        values = np.random.default_rng(0).random((28, 10))
        np.save(tmp_path / "x.npy", values)  # 28 RDMs over 5 stimuli, or 10 over 8
        refused(tmp_path / "x.npy", "28 RDMs over 5 stimuli or 10 over 8: name the stimuli")
        np.savez(tmp_path / "x.npz", rdms=values, stimulus_ids=np.array(IDS))
        check(tmp_path / "x.npz", values.T)

    def test_a_square_that_was_cut(self, tmp_path):
        square = squareform(pdist(np.random.default_rng(0).random((6, 3))))
        for cut in (square[:4], square[:, :4]):  # 6 are the pairs of 4 stimuli
            np.save(tmp_path / "x.npy", cut)
            refused(tmp_path / "x.npy", "a square RDM of which a part is missing")

    def test_pixels_are_no_names(self, tmp_path):
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, images=np.zeros((N, 4, 4)))
        check(tmp_path / "x.npz", CONDENSED, ())

    def test_names_that_may_be_either(self, tmp_path):
        labels, ids = np.array(["a", "b", "c"]), np.array(IDS)
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, names=ids)
        check(tmp_path / "x.npz", CONDENSED)
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, names=labels)
        check(tmp_path / "x.npz", CONDENSED, (), ("a", "b", "c"))
        np.savez(tmp_path / "x.npz", rdms=np.stack([SQUARE] * N), names=ids)
        refused(tmp_path / "x.npz", "'names' may name the 8 RDMs or the 8 stimuli")

    def test_what_may_be_names_under_another_name(self, tmp_path):
        for what in (np.array(IDS), np.arange(N)[::-1], np.array(IDS, dtype=object)):
            np.savez(tmp_path / "x.npz", rdms=SEVERAL, order=what)
            refused(tmp_path / "x.npz", "'order' may be the names of the 8 stimuli")
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, times=np.linspace(0, 1, N), kind=["a"] * N)
        check(tmp_path / "x.npz", CONDENSED, ())

    def test_objects_that_are_no_text(self, tmp_path):
        names = np.array([{"a": 1}, *IDS[1:]], dtype=object)
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, stimulus_ids=names)
        refused(tmp_path / "x.npz", "'stimulus_ids' are there and cannot be read")
        names[0] = pd.Timestamp(0)
        np.savez(tmp_path / "x.npz", rdms=SEVERAL, stimulus_ids=names)
        refused(
            tmp_path / "x.npz", r"cannot be read: save it as text, np.array\(names, dtype=str\)"
        )

    def test_a_kind_of_file_that_is_not_read(self, tmp_path):
        (tmp_path / "x.xlsx").write_bytes(b"PK")
        refused(tmp_path / "x.xlsx", r"no kind that holds RDMs: expected \.npz, \.npy, \.mat")
