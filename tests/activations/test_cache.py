"""What the cache says of its stores, what it finds damaged, and what it removes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probe import assets
from probe.activations import ActivationStore, Extraction, cache
from probe.activations.reduce import PCA, SpatialMean
from probe.activations.store import FORMAT
from probe.errors import ProbeError
from probe.models import Network
from probe.stimuli import StimulusSet

N = 70
LAYERS = ["0", "1"]


def stimuli(n: int = N) -> StimulusSet:
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))
    return StimulusSet([f"p{k:02d}" for k in range(n)], pictures, "noise")


def network() -> Network:
    return Network.from_module(
        nn.Sequential(nn.AvgPool2d(32), nn.Conv2d(3, 4, 3)).requires_grad_(False), name="tiny"
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two stores: all of two layers, and the means of one."""
    folder = tmp_path_factory.mktemp("made")
    module = network()
    Extraction(module, stimuli(), folder=folder).run(LAYERS)
    Extraction(module, stimuli(), SpatialMean(), "float16", folder=folder).run(["1"])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the cache's own."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "activations"
    shutil.copytree(made, place, ignore=shutil.ignore_patterns(".locks"))
    return place


@pytest.fixture
def whole(folder: Path) -> ActivationStore:
    """The store of all of two layers, last used a day after the other."""
    stores = [ActivationStore(path) for path in folder.iterdir()]
    one, other = sorted(stores, key=len, reverse=True)
    for days, store in ((1, one), (2, other)):
        os.utime(store.path, times=(time.time() - days * 86_400,) * 2)
    return one


@pytest.fixture
def old(folder: Path) -> Path:
    """A store as earlier versions wrote it."""
    path = folder / ("0" * 32)
    (path / "features.0" / "c" / "0").mkdir(parents=True)
    (path / "features.0" / "c" / "0" / "0").write_bytes(bytes(100))
    attributes = {"request": {"model": "alexnet"}, "stimulus_id": ["a"], "batch_size": 32}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (path / "zarr.json").write_text(json.dumps(group))
    return path


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


class TestListing:
    def test_the_last_used_comes_first(self, whole: ActivationStore) -> None:
        first, second = cache.entries()
        assert (first.key, first.state, first.share) == (whole.key, "complete", 1.0)
        assert (first.model, first.weights, first.stimuli) == ("tiny", "user", "noise")
        assert (first.n_stimuli, first.reducer, first.dtype) == (N, "none", "float32")
        assert first.layers == {"0": 1.0, "1": 1.0}
        assert first.n_bytes == sum(p.stat().st_size for p in whole.path.rglob("*") if p.is_file())
        assert (second.reducer, second.dtype, list(second.layers)) == ("mean", "float16", ["1"])
        ActivationStore(second.path).touch()
        assert cache.entries()[0].key == second.key

    def test_what_is_missing_is_counted(self, whole: ActivationStore) -> None:
        array = whole.array("0")
        array.shard(0).unlink()
        share = 1 - array.layout.rows / N
        (entry,) = (e for e in cache.entries() if e.key == whole.key)
        assert entry.state == "incomplete"
        assert entry.layers == {"0": pytest.approx(share), "1": 1.0}
        assert entry.share == pytest.approx((1 + share) / 2)

    def test_old_and_damaged_stores_are_told_apart(self, whole: ActivationStore, old: Path) -> None:
        (whole.path / "zarr.json").write_text("{")
        states = {entry.key: entry.state for entry in cache.entries()}
        assert states[old.name] == "old"
        assert states[whole.key] == "damaged"
        assert sorted(states.values()) == ["complete", "damaged", "old"]

    def test_a_store_without_a_description_is_damaged(self, whole: ActivationStore) -> None:
        (whole.path / "zarr.json").unlink()
        assert {e.key: e.state for e in cache.entries()}[whole.key] == "damaged"
        assert [damage.key for damage in cache.verify().damage] == [whole.key]
        assert {r.path for r in cache.removable(incomplete=True)} == {whole.path}

    def test_a_store_of_a_later_version_is_left_to_it(self, whole: ActivationStore) -> None:
        description = json.loads((whole.path / "zarr.json").read_text())
        description["attributes"]["format"] = FORMAT + 1
        (whole.path / "zarr.json").write_text(json.dumps(description))
        assert {entry.state for entry in cache.entries()} == {"complete", "newer"}
        assert cache.verify().damage == []
        assert cache.removable(incomplete=True, old_format=True) == []
        assert whole.path in {removal.path for removal in cache.removable(everything=True)}

    def test_what_is_not_ours_is_left_alone(self, whole: ActivationStore, folder: Path) -> None:
        other = {"my thesis", "f" * 31, "e" * 32, "d" * 32}
        for name in other:
            (folder / name).mkdir()
            (folder / name / "thesis.txt").write_text("all of it")
        (folder / "my thesis" / "chapter.partial").write_text("half of it")
        zarr.create_group(folder / ("d" * 32))
        before = {name: digest(folder / name) for name in other}
        assert len(cache.entries()) == 2
        assert cache.verify().damage == []
        for path in (folder / "my thesis", folder / ("e" * 32), folder / ("d" * 32), folder):
            with pytest.raises(
                ProbeError, match="no activations that probe wrote, so it is not removed"
            ):
                cache.removable([path])
        cache.remove(cache.removable(everything=True))
        cache.remove(cache.removable(incomplete=True, old_format=True, older_than="0h"))
        assert {p.name for p in folder.iterdir()} == other
        assert {name: digest(folder / name) for name in other} == before

    def test_nothing_yet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "none" / "yet"))
        assert cache.entries() == cache.leftovers() == cache.removable(everything=True) == []
        assert cache.verify() == ([], 0, 0)
        assert cache.rdms() == (0, 0)
        assert cache.free_bytes() > 0
        assert not (tmp_path / "none").exists(), "looking makes no folder"

    def test_rdms_are_counted(self, folder: Path) -> None:
        place = folder.parent / "rdms" / "key"
        place.mkdir(parents=True)
        np.save(place / "features.0.correlation.npy", np.zeros(10))
        assert cache.rdms() == (1, 128 + 80)


@given(st.lists(st.text("01", min_size=32, max_size=32), unique=True, max_size=6))
def test_short_keys_are_the_beginnings_of_one_key_each(keys: list[str]) -> None:
    short = cache.shown(keys)
    assert list(short) == keys
    for key, beginning in short.items():
        assert [other for other in keys if other.startswith(beginning)] == [key]
        assert len(beginning) >= cache.SHOWN
        shorter = beginning[:-1]
        if len(shorter) >= cache.SHOWN:
            assert sum(other.startswith(shorter) for other in keys) > 1


class TestFind:
    def test_by_the_beginning_of_the_key_or_the_path(
        self, whole: ActivationStore, made: Path
    ) -> None:
        for key in (whole.key[:5], whole.key, whole.path, str(whole.path)):
            assert cache.find(key) == whole.path
        assert cache.find(whole.key[:5], made) == made / whole.key
        assert cache.short(whole) == whole.key[:8]

    def test_what_is_not_there(self, whole: ActivationStore, folder: Path) -> None:
        with pytest.raises(ProbeError, match=f"no activations with key 'zz'.*{whole.key[:8]}"):
            cache.find("zz")
        with pytest.raises(ProbeError, match="no activations with key ''"):
            cache.find("")
        with pytest.raises(ProbeError, match=r"folder '.*nowhere' does not exist"):
            cache.find(folder / "nowhere")

    def test_several(self, whole: ActivationStore, folder: Path) -> None:
        twin = whole.key[:10] + "g" * 22
        twin = twin.replace("g", "0" if whole.key[10] != "0" else "1")
        shutil.copytree(whole.path, folder / twin)
        with pytest.raises(ProbeError, match=f"2 stores begin with .*{whole.key[:11]}"):
            cache.find(whole.key[:4])
        assert cache.find(twin[:11]) == folder / twin
        assert cache.short(whole) == whole.key[:11]


def test_summary_tells_layer_by_layer(whole: ActivationStore) -> None:
    table = whole.summary()
    assert list(table.columns) == ["layer", "shape", "neuroids", "complete", "GB"]
    assert table["layer"].tolist() == LAYERS
    assert table["shape"].tolist() == ["3×7×7", "4×5×5"]
    assert table["neuroids"].tolist() == [147, 100]
    assert table["complete"].tolist() == [1.0, 1.0]
    for layer, size in zip(LAYERS, table["GB"], strict=True):
        files = (whole.path / layer).glob("c.*")
        assert size * 1e9 == pytest.approx(sum(f.stat().st_size for f in files))
    assert ActivationStore(_empty(whole)).summary().empty


def _empty(store: ActivationStore) -> Path:
    for layer in store.layers:
        shutil.rmtree(store.path / layer)
    return store.path


class TestVerify:
    def test_what_is_whole(self, whole: ActivationStore) -> None:
        files = [p for layer in LAYERS for p in (whole.path / layer).glob("c.*")]
        assert cache.verify([whole.key]) == ([], len(files), sum(p.stat().st_size for p in files))
        assert cache.verify().n_files > len(files)

    @pytest.mark.parametrize("where", [0, 1000, -30, -1])
    def test_a_flipped_bit_is_found(self, whole: ActivationStore, where: int) -> None:
        path = whole.array("1").shard(1)
        flip(path, where)
        (damage,) = cache.verify().damage
        assert (damage.key, damage.layer, damage.path) == (whole.key, "1", path)
        assert not damage.repaired
        assert path.exists()

    def test_a_file_that_was_cut_short_is_found(self, whole: ActivationStore) -> None:
        path = whole.array("0").shard(0)
        os.truncate(path, 1000)
        (damage,) = cache.verify().damage
        assert damage.path == path
        assert "1,000 bytes" in damage.reason

    def test_repair_makes_room_for_just_that(self, tmp_path: Path) -> None:
        work = Extraction(network(), stimuli(), folder=tmp_path)
        store = work.run(LAYERS)
        before = digest(store.path)
        bad = [store.array("0").shard(1), store.array("1").shard(0)]
        for path in bad:
            flip(path, 50)
        found = cache.verify(folder=tmp_path, repair=True)
        assert [(d.path, d.repaired) for d in found.damage] == [(path, True) for path in bad]
        assert not any(path.exists() for path in bad)
        kept = {p: p.stat().st_mtime_ns for p in store.path.glob("*/c.*")}
        assert cache.verify(folder=tmp_path).damage == []
        work.run(LAYERS)
        assert digest(store.path) == before
        assert {p: p.stat().st_mtime_ns for p in kept} == kept

    def test_a_store_that_cannot_be_opened(self, whole: ActivationStore) -> None:
        (whole.path / "1" / "zarr.json").write_text("{}")
        (damage,) = cache.verify(repair=True).damage
        assert (damage.key, damage.layer, damage.repaired) == (whole.key, "", False)
        assert f"probe cache prune {whole.key[:8]}" in damage.reason

    @pytest.mark.parametrize("what", ["stimulus_id", "sha256", "request"])
    def test_a_description_that_is_not_what_was_written(
        self, whole: ActivationStore, what: str
    ) -> None:
        file = whole.path / "zarr.json"
        group = json.loads(file.read_text())
        if what == "request":
            group["attributes"]["request"]["autocast"] = "bfloat16"
        else:
            column = group["attributes"]["stimuli"][what]
            column[3], column[4] = column[4], column[3]
        file.write_text(json.dumps(group))
        (damage,) = cache.verify().damage
        assert (damage.key, damage.layer, damage.repaired) == (whole.key, "", False)
        assert "zarr.json" in damage.reason

    def test_a_store_under_another_name_is_whole(self, whole: ActivationStore) -> None:
        named = whole.path.rename(whole.path.with_name("monday"))
        assert cache.verify([named]).damage == []

    def test_components_that_were_damaged_are_fitted_again(self, tmp_path: Path) -> None:
        work = Extraction(network(), stimuli(), PCA(3, 20), folder=tmp_path)
        store = work.run(["1"])
        before = digest(store.path)
        file = store.array("1").path / "components.npz"
        flip(file, 1000)
        store.array("1").shard(0).unlink()
        (damage,) = cache.verify(folder=tmp_path).damage
        assert (damage.layer, damage.path, damage.repaired) == ("1", file, False)
        assert cache.verify(folder=tmp_path, repair=True).damage[0].repaired
        work.run(["1"])
        assert digest(store.path) == before

    def test_old_stores_have_no_checksums(self, whole: ActivationStore, old: Path) -> None:
        assert cache.verify().damage == []
        (damage,) = cache.verify([old.name]).damage
        assert "version" in damage.reason

    def test_what_a_process_writes_is_not_repaired(self, whole: ActivationStore) -> None:
        path = whole.array("0").shard(0)
        flip(path, 50)
        with assets.held(whole.path):
            (damage,) = cache.verify(repair=True).damage
        assert not damage.repaired
        assert path.exists()


class TestPrune:
    def chosen(self, **choice: object) -> set[str]:
        return {r.path.name for r in cache.removable(**choice) if r.kind == cache.STORE}  # type: ignore[arg-type]

    def test_what_each_choice_names(self, whole: ActivationStore, old: Path) -> None:
        (other,) = (e.key for e in cache.entries() if e.path not in (whole.path, old))
        whole.array("0").shard(0).unlink()
        assert self.chosen() == set()
        assert self.chosen(keys=[whole.key[:6]]) == {whole.key}
        assert self.chosen(incomplete=True) == {whole.key}
        assert self.chosen(old_format=True) == {old.name}
        assert self.chosen(old_format=True, incomplete=True) == {old.name, whole.key}
        assert self.chosen(everything=True) == {old.name, whole.key, other}
        assert self.chosen(keys=[other], incomplete=True) == {whole.key, other}

    @pytest.mark.parametrize(("age", "n"), [("12h", 2), ("1.5d", 1), ("36h", 1), ("1w", 0)])
    def test_age(self, whole: ActivationStore, age: str, n: int) -> None:
        assert len(self.chosen(older_than=age)) == n
        assert len(self.chosen(older_than=age, keys=[whole.key])) == (n == 2)
        assert self.chosen(older_than=age, incomplete=True) == set()

    @pytest.mark.parametrize("age", ["", "30", "d", "3 months", "-1d", "1d2h"])
    def test_what_is_no_age(self, folder: Path, age: str) -> None:
        with pytest.raises(
            ProbeError, match="expected a number and a unit, such as 12h, 30d or 8w"
        ):
            cache.removable(older_than=age)

    def test_a_key_that_does_not_exist(self, whole: ActivationStore) -> None:
        with pytest.raises(ProbeError, match="no activations with key"):
            cache.removable(["zz"])

    def test_removed_is_removed(self, whole: ActivationStore, folder: Path) -> None:
        (other,) = (e.path for e in cache.entries() if e.path != whole.path)
        before = digest(other)
        (doomed,) = cache.removable([whole.key])
        assert doomed.n_bytes == whole.n_bytes()
        assert "tiny, noise (70), 2 layers" in doomed.what
        assert cache.remove([doomed]) == [doomed]
        assert [p.name for p in folder.iterdir()] == [other.name]
        assert digest(other) == before
        assert cache.remove([doomed]) == [], "another process was quicker"

    def test_what_a_process_writes_stays(self, whole: ActivationStore) -> None:
        before = digest(whole.path)
        with assets.held(whole.path):
            found = cache.removable(everything=True)
            assert {r.path for r in found if r.held} == {whole.path}
            assert whole.path not in {r.path for r in cache.remove(found)}
        assert digest(whole.path) == before
        assert not any(removal.held for removal in cache.removable(everything=True))
        cache.remove(cache.removable(everything=True))
        assert not whole.path.exists()

    def test_locks_in_a_folder_of_ones_own(self, whole: ActivationStore, made: Path) -> None:
        with assets.held(made / whole.key):
            (removal,) = cache.removable([whole.key], folder=made)
            assert removal.held
            assert not cache.removable([whole.key])[0].held

    def test_what_killed_processes_left(self, whole: ActivationStore, folder: Path) -> None:
        torn = whole.path / "0" / "c.0.0.77-88.partial"
        torn.write_bytes(bytes(500))
        begun = folder / ("a" * 32)
        begun.mkdir()
        half = folder / f".{'b' * 32}.{'c' * 32}.removed"
        (half / "0").mkdir(parents=True)
        found = {r.path: r for r in cache.leftovers() if r.kind == cache.TORN}
        assert set(found) == {torn, begun, half}
        assert found[torn].n_bytes == 500
        with assets.held(whole.path):
            assert torn not in {r.path for r in cache.remove(found.values())}
        assert torn.exists()
        cache.remove(cache.removable(old_format=True))
        assert not torn.exists()
        assert {p.name for p in folder.iterdir()} == {e.key for e in cache.entries()}
        assert cache.verify().damage == []

    def test_lock_files_that_nobody_holds(self, whole: ActivationStore, folder: Path) -> None:
        locks = folder.parent / "locks"
        locks.mkdir()
        free, taken = locks / "torchvision--alexnet.pth.lock", locks / "rdms--key.lock"
        free.touch()
        with filelock.FileLock(taken):
            cache.remove(cache.removable(old_format=True))
            assert not free.exists()
            assert taken.exists()

    def test_an_interrupted_removal_leaves_no_half_store(
        self, whole: ActivationStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(path: Path) -> None:
            (path / "zarr.json").unlink()
            raise KeyboardInterrupt

        doomed = cache.removable([whole.key])
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cache.remove(doomed)
        assert not whole.path.exists()
        assert len(cache.entries()) == 1
        (rest,) = (r for r in cache.leftovers() if r.kind == cache.TORN)
        cache.remove([rest])
        assert not rest.path.exists()

    def test_what_may_not_be_removed(
        self, whole: ActivationStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(_path: Path) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(shutil, "rmtree", refused)
        with pytest.raises(ProbeError, match=r"cannot be removed \(Permission denied\)"):
            cache.remove(cache.removable([whole.key]))
