"""``probe cache``: what it lists, shows, checks and removes."""

import io
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from probe import assets
from probe.activations import ActivationStore
from probe.cli import complete

LAYERS = "features.0,features.3.squeeze"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache with the means of two layers, and the sums of one, of twelve pictures."""
    from probe import extract, recordings

    folder = tmp_path_factory.mktemp("made")
    stimuli = recordings.load("sim-v1").stimuli.subset(range(12))
    stimuli.name = "gratings"
    for layers, reduce in ((LAYERS, "mean"), ("features.0", "srp:8")):
        extract("squeezenet1_1", stimuli, layers, reduce=reduce, weights="random", folder=folder)
    return folder


@pytest.fixture
def stores(made, own_cache):
    """A copy of it: of the store that was last used, and of the other."""
    place = own_cache / "activations"
    shutil.copytree(made, place, ignore=shutil.ignore_patterns(".locks"))
    both = [ActivationStore(path) for path in place.iterdir()]
    one, other = sorted(both, key=len, reverse=True)
    for hours, store in ((3, one), (50, other)):
        os.utime(store.path, times=(time.time() - hours * 3600,) * 2)
    return one, other


def rows(out):
    """Rows of a table, split into cells."""
    return [re.split(r"\s{2,}", line) for line in out.splitlines()]


class TestLs:
    def test_the_last_used_comes_first(self, run, stores):
        ran = run("cache", "ls")
        assert (ran.code, ran.err) == (0, "")
        heading, _, first, second, *_ = rows(ran.out)
        one, other = stores
        assert heading == ["key", "network", "stimuli", "layers", "kept", "size", "unused"]
        network = "squeezenet1_1 (random)"
        assert first[:5] == [one.key[:8], network, "gratings (12)", "2", "mean float32"]
        assert second[:5] == [other.key[:8], network, "gratings (12)", "1", "srp:8 float32"]
        assert (first[6], second[6]) == ("3 h", "2 d")
        assert re.fullmatch(r"\d+\.\d kB", first[5])
        assert "0 RDMs of layers, 0 kB" in ran.out
        assert re.fullmatch(r"[\d.]+ kB in all, \S+ [GT]B free", ran.out.splitlines()[-1])

    def test_what_is_incomplete_damaged_or_outdated(self, run, stores):
        one, other = stores
        one.array("features.0").shard(0).unlink()
        (other.path / "zarr.json").write_text("{")
        old = one.path.with_name("0" * 32)
        old.mkdir()
        attributes = {"request": {}, "stimulus_id": [], "batch_size": 32}
        (old / "zarr.json").write_text(json.dumps({"attributes": attributes}))
        (one.path / "features.0" / "c.0.0.1-2.partial").write_bytes(bytes(2_000_000))
        out = run("cache", "ls").out
        told = {row[0]: row for row in rows(out)}
        assert told[one.key[:8]][3] == "2 (50 %)"
        assert told[other.key[:8]][1] == "a damaged store"
        assert old.name[:8] not in told
        assert "1 outdated store, 0.1 kB: probe cache prune --old-format" in out
        assert "1 unfinished file, 2.0 MB: probe cache prune --old-format" in out

    def test_rdms_count(self, run, own_cache):
        (own_cache / "rdms" / "key").mkdir(parents=True)
        (own_cache / "rdms" / "key" / "features.0.correlation.npy").write_bytes(bytes(1500))
        out = run("cache", "ls").out
        assert out.splitlines()[0] == f"No activations in {own_cache / 'activations'}."
        assert "1 RDM of layers, 1.5 kB" in out
        assert "1.5 kB in all" in out

    def test_json(self, run, stores):
        one, other = stores
        told = json.loads(run("cache", "ls", "--json").out)
        assert [entry["key"] for entry in told] == [one.key, other.key]
        assert told[0]["layers"] == {"features.0": 1.0, "features.3.squeeze": 1.0}
        assert told[0]["n_bytes"] == one.n_bytes()
        assert told[0]["state"] == "complete"

    def test_another_folder(self, run, stores, made):
        out = run("cache", "ls", "--folder", made).out
        assert stores[0].key[:8] in out
        assert "RDMs" not in out
        assert "No activations" in run("cache", "ls", "--folder", made / "none").out


class TestShow:
    def test_all_about_one(self, run, stores):
        store, _ = stores
        ran = run("cache", "show", store.key[:6])
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines()[0] == "squeezenet1_1 · gratings, 12 stimuli · 2 layers"
        for part in (
            store.key, "random initialisation, seed 0", store.about["reduced"], str(store.path),
            "float32 on cpu", f"torch {store.request['torch']}", store.about["created"],
        ):  # fmt: skip
            assert part in ran.out
        cells = [row[:4] for row in rows(ran.out)]
        assert ["layer", "output", "neuroids", "complete"] in cells
        assert ["features.0", "64×111×111", "64", "100 %"] in cells

    def test_json(self, run, stores):
        store, _ = stores
        told = json.loads(run("cache", "show", store.path, "--json").out)
        assert told["key"] == store.key
        assert told["request"] == store.request
        assert [layer["neuroids"] for layer in told["layers"]] == [64, 16]


class TestVerify:
    def test_all_as_it_was_written(self, run, stores):
        ran = run("cache", "verify")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == f"3 files, {_size(stores)}: all as they were written\n"
        assert run("cache", "verify", stores[1].key[:8]).out.startswith("1 file, ")

    def test_damage_is_named_and_repaired(self, run, stores):
        store, _ = stores
        path = store.array("features.3.squeeze").shard(0)
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
        ran = run("cache", "verify")
        assert (ran.code, ran.err) == (1, "")
        assert f"layer features.3.squeeze: {path} has a wrong checksum" in ran.out
        assert "1 damaged of 3 files" in ran.out
        assert "--repair" in ran.out
        assert path.exists()
        ran = run("cache", "verify", "--repair")
        assert (ran.code, ran.err) == (0, "")
        assert "1 removed" in ran.out
        assert not path.exists()
        assert run("cache", "verify").code == 0

    def test_a_store_that_cannot_be_repaired(self, run, stores):
        store, _ = stores
        (store.path / "zarr.json").write_text("{")
        ran = run("cache", "verify", "--repair")
        assert ran.code == 1
        assert f"probe cache prune {store.key[:8]}" in ran.out
        assert run("cache", "prune", store.key[:8], "--yes").code == 0
        assert run("cache", "verify").code == 0


class TestPrune:
    def test_by_key(self, run, stores):
        one, other = stores
        ran = run("cache", "prune", one.key[:6], "--yes")
        assert (ran.code, ran.err) == (0, "")
        line, end = ran.out.splitlines()
        assert line.startswith(f"{one.key[:8]}  squeezenet1_1, gratings (12), 2 layers, ")
        assert line.endswith("unused for 3 h")
        assert re.fullmatch(r"Removed 1 store: [\d.]+ kB\.", end)
        assert not one.path.exists()
        assert other.path.exists()

    def test_dry_run(self, run, stores):
        ran = run("cache", "prune", "--all", "--dry-run")
        assert (ran.code, ran.err) == (0, "")
        assert re.fullmatch(r"Would remove 2 stores: [\d.]+ kB\.", ran.out.splitlines()[-1])
        assert all(store.path.exists() for store in stores)

    def test_older_than(self, run, stores):
        one, other = stores
        assert run("cache", "prune", "--older-than", "1d", "--yes").code == 0
        assert one.path.exists()
        assert not other.path.exists()
        assert run("cache", "prune", "--older-than", "1d", "--yes").out == "Nothing to remove.\n"

    @pytest.mark.parametrize(("answer", "there"), [("y\n", False), ("n\n", True), ("\n", True)])
    def test_it_asks(self, run, stores, monkeypatch, answer, there):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        ran = run("cache", "prune", "--all")
        assert ran.code == 0
        assert "Remove 2 stores: " in ran.out
        assert ("Nothing was removed." in ran.out) == there
        assert all(store.path.exists() == there for store in stores)

    def test_nobody_can_be_asked(self, run, stores):
        assert "--yes" in run("cache", "prune", "--all").error
        assert all(store.path.exists() for store in stores)

    def test_what_a_process_writes_stays(self, run, stores):
        one, other = stores
        with assets.held(one.path):
            ran = run("cache", "prune", "--all", "--yes")
        assert ran.code == 0
        assert f"unused for {'3 h'}; stays, since a process is writing it" in ran.out
        assert "Removed 1 store: " in ran.out
        assert one.path.exists()
        assert not other.path.exists()

    def test_old_format(self, run, stores, own_cache):
        (own_cache / "locks").mkdir()
        (own_cache / "locks" / "rdms--key.lock").touch()
        (stores[0].path / "features.0" / "c.0.0.1-2.partial").write_bytes(bytes(2000))
        ran = run("cache", "prune", "--old-format", "--yes")
        assert ran.out == "Removed 1 unfinished file, 1 lock file: 2.0 kB.\n"
        assert run("cache", "verify").code == 0


def test_where(run, own_cache, tmp_path):
    folder, free = run("cache", "where").out.splitlines()
    assert folder == f"folder  {own_cache / 'activations'}  (PROBE_CACHE)"
    assert re.fullmatch(r"free    \S+ [GT]B", free)
    assert run("cache", "where", "--folder", tmp_path).out.startswith(f"folder  {tmp_path}\n")
    assert not own_cache.exists(), "looking makes no folder"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["show"], ["Missing argument", "probe cache show --help"]),
        (["show", "zz"], ["no activations with key 'zz'", "probe cache ls"]),
        (["show", "./none"], ["folder './none' does not exist"]),
        (["verify", "zz"], ["no activations with key 'zz'"]),
        (["prune"], ["nothing was named", "--older-than 30d", "--all"]),
        (["prune", "zz", "--yes"], ["no activations with key 'zz'"]),
        (["prune", "--older-than", "soon", "--yes"], ["age 'soon': expected", "30d"]),
        (["remove"], ["No such command 'remove'"]),
    ],
)
def test_bad_input(run, stores, arguments, parts):
    error = run("cache", *arguments).error
    for part in parts:
        assert part in error
    assert all(store.path.exists() for store in stores)


def test_an_old_store_is_told_to_be_one(run, stores):
    old = stores[0].path.with_name("0" * 32)
    old.mkdir()
    (old / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"request": {}}})
    )
    assert "prune --old-format" in run("cache", "show", "0000").error
    assert run("cache", "prune", "--old-format", "-y").out.startswith("00000000  an outdated store")
    assert not old.exists()


def test_help(run):
    ran = run("cache")
    assert (ran.code, ran.err) == (0, "")
    for command in ("ls", "show", "verify", "prune", "where"):
        assert command in ran.out
        assert run("cache", command, "--help").code == 0
    assert "Exit code 1" in run("cache", "verify", "--help").out


def test_keys_are_completed(stores):
    keys = sorted(store.key for store in stores)
    assert complete.stores("") == keys
    assert complete.stores(keys[0][:6]) == keys[:1]


def test_the_store_shows_itself(stores):
    shown = stores[0]._repr_html_()
    assert "features.3.squeeze" in shown
    assert "16×55×55" in shown
    assert len(stores[0].summary()) == 2


def _size(stores):
    n_bytes = sum(p.stat().st_size for s in stores for p in Path(s.path).glob("*/c.*"))
    return f"{n_bytes / 1e3:.1f} kB"
