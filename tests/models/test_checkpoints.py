"""Files of weights of every kind: read, or refused in one line that says what they are."""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import pathlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from probe.errors import ProbeError
from probe.models.checkpoints import read_checkpoint, stands_for

State = dict[str, Tensor]


@pytest.fixture
def state() -> State:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(one[name]), other[name]) for name in one
    )


class Named(collections.OrderedDict):
    """A dictionary of somebody's own."""


class Settings:
    """An object of a training script."""

    def __init__(self) -> None:
        self.rate = 0.1
        self.folder = pathlib.PurePosixPath("runs")


class Dangerous:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("it ran",))


class TestRead:
    @pytest.mark.parametrize("legacy", [False, True])
    @pytest.mark.parametrize(
        "beside",
        [
            {"args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("x"))},
            {"best": np.float64(3.2), "epoch": np.int64(4), "flag": np.bool_(True)},
            {"history": np.ones((2, 2)), "when": collections.deque([1, 2], 4)},
            {"counts": collections.Counter("aab"), "groups": collections.defaultdict(list, x=[1])},
            {"settings": Settings(), "kinds": {torch.float16, torch.device("cpu")}},
        ],
    )
    def test_what_is_kept_beside_weights(
        self, tmp_path: Path, state: State, beside: dict[str, object], legacy: bool
    ) -> None:
        torch.save(
            {"model": state, **beside}, tmp_path / "x.pth",
            _use_new_zipfile_serialization=not legacy,
        )  # fmt: skip
        content = read_checkpoint(tmp_path / "x.pth")
        assert same(content["model"], state)
        for name, value in beside.items():
            if isinstance(value, (np.generic, np.ndarray)):
                assert np.array_equal(content[name], value)
            if isinstance(value, (argparse.Namespace, Settings)):
                kind = f"{type(value).__module__}.{type(value).__qualname__}"
                assert stands_for(content[name]) == kind
                assert vars(content[name]).keys() >= vars(value).keys()

    def test_no_code_of_a_file_runs(
        self, tmp_path: Path, state: State, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torch.save({"model": state, "x": Dangerous()}, tmp_path / "x.pth")
        assert same(read_checkpoint(tmp_path / "x.pth")["model"], state)
        assert capsys.readouterr().out == ""
        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": np.ones(2), "x": Dangerous()}))
        with pytest.raises(ProbeError, match=r"plain pickle, and .*print is not a numpy array"):
            read_checkpoint(tmp_path / "x.pkl")
        assert capsys.readouterr().out == ""

    def test_what_is_registered_as_safe_is_left_as_it_was(
        self, tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = torch._weights_only_unpickler._marked_safe_globals_set
        monkeypatch.setattr(torch._weights_only_unpickler, "_marked_safe_globals_set", kept)
        torch.serialization.add_safe_globals([np.ndarray])
        before = set(torch.serialization.get_safe_globals())
        torch.save({"model": state, "args": argparse.Namespace()}, tmp_path / "x.pth")
        read_checkpoint(tmp_path / "x.pth")
        assert set(torch.serialization.get_safe_globals()) == before

    def test_a_dictionary_of_ones_own(self, tmp_path: Path, state: State) -> None:
        torch.save(Named(state), tmp_path / "x.pth")
        assert same(read_checkpoint(tmp_path / "x.pth"), state)

    @pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
    def test_safetensors_whatever_they_are_called(
        self, tmp_path: Path, state: State, name: str
    ) -> None:
        save_file(state, tmp_path / name)
        assert same(read_checkpoint(tmp_path / name), state)

    def test_numpy(self, tmp_path: Path, state: State) -> None:
        arrays = {name: value.numpy() for name, value in state.items()}
        np.savez(tmp_path / "x.npz", **arrays)
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(arrays))
        for name in ("x.npz", "x.pkl"):
            assert same(read_checkpoint(tmp_path / name), state)

    @pytest.mark.parametrize("ending", ["safetensors", "bin"])
    def test_weights_in_several_files(self, tmp_path: Path, state: State, ending: str) -> None:
        files = {}
        for k, (name, value) in enumerate(state.items(), 1):
            files[name] = f"model-{k:05}-of-00002.{ending}"
            save = save_file if ending == "safetensors" else torch.save
            save({name: value}, tmp_path / files[name])
        index = tmp_path / f"model.{ending}.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
        assert same(read_checkpoint(index), state)
        if ending == "safetensors":
            with pytest.raises(ProbeError, match=r"one of 2 parts: name their index, model\.safe"):
                read_checkpoint(tmp_path / files["a.bias"])
        (tmp_path / files["a.bias"]).unlink()
        with pytest.raises(ProbeError, match=r"lack their part 'model-00002-of-00002"):
            read_checkpoint(index)

    def test_an_index_names_files_beside_it_only(self, tmp_path: Path, state: State) -> None:
        save_file(state, tmp_path / "x.safetensors")
        (tmp_path / "inner").mkdir()
        index = tmp_path / "inner" / "x.index.json"
        index.write_text(json.dumps({"weight_map": {"a.bias": "../x.safetensors"}}))
        with pytest.raises(ProbeError, match="lack their part"):
            read_checkpoint(index)


def program(path: Path) -> None:
    torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)).save(path)


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(3, 4), (torch.zeros(1, 3),)), path)


def cut(path: Path) -> None:
    content = path.with_suffix(".whole")
    torch.save({"a": torch.ones(999)}, content)
    path.write_bytes(content.read_bytes()[:2000])


def cut_safetensors(path: Path) -> None:
    save_file({"a": torch.ones(999)}, path)
    path.write_bytes(path.read_bytes()[:2000])


class TestRefused:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "it is empty"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
                "git lfs pull",
            ),
            (b"\n<!DOCTYPE html><html><title>404</title></html>", "it is a web page"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "it is a web page"),
            (gzip.compress(b"weights", mtime=0), "compressed with gzip.*gunzip"),
            (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
            (b"\x08\x08\x12\x07pytorch\x1a\x052.3.0", "an ONNX model"),
            (bytes(257) + b"ustar" + bytes(99), "a tar archive"),
            (b"no weights at all", "of no kind that is known"),
            (b"\x80\x04garbage", "plain pickle"),
            (cut, "cut off or damaged"),
            (cut_safetensors, "cut off or damaged"),
            (program, r"TorchScript program.*torch\.jit\.load\(PATH\)\.state_dict\(\)"),
            (exported, r"torch\.export.*torch\.export\.load\(PATH\)\.state_dict,"),
        ],
    )
    def test_in_one_line(
        self, tmp_path: Path, content: bytes | Callable[[Path], None], message: str
    ) -> None:
        path = tmp_path / "x.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
        with pytest.raises(ProbeError, match=rf"x\.pth' cannot be read safely \(.*{message}") as e:
            read_checkpoint(path)
        assert "\n" not in str(e.value)
        assert "weights_only" not in str(e.value)  # which torch advises to switch off

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ProbeError, match="a folder: name the file in it"):
            read_checkpoint(tmp_path)

    def test_any_truncation(self, tmp_path: Path, state: State) -> None:
        torch.save({"model": state}, tmp_path / "x.pth")
        whole = (tmp_path / "x.pth").read_bytes()
        for length in range(0, len(whole), 97):
            (tmp_path / "y.pth").write_bytes(whole[:length])
            with pytest.raises(ProbeError):
                read_checkpoint(tmp_path / "y.pth")
