from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.activations import shards
from probe.activations.shards import DamagedShard, ShardBuffer, ShardLayout, shard_writer

DTYPES = st.sampled_from(list(shards.DTYPES))


def written(folder: Path, layout: ShardLayout, values: torch.Tensor, name: str = "c.0.0") -> Path:
    with shard_writer() as writer:
        buffer = writer.buffer(layout)
        buffer.fill(0, values)
        writer.put(buffer, len(values), folder / name)
    return folder / name


@settings(max_examples=40)
@given(n_stimuli=st.integers(1, 10**6), neuroids=st.integers(1, 10**7), dtype=DTYPES)
def test_layouts(n_stimuli, neuroids, dtype):
    layout = ShardLayout.choose(n_stimuli, neuroids, dtype)
    assert layout.rows.bit_count() == 1, "powers of two, which nest"
    assert layout.rows == 1 or layout.rows * neuroids * layout.itemsize <= shards.SHARD_BYTES
    assert layout.rows <= max(shards.LEAST_ROWS, n_stimuli / shards.SHARDS_PER_LAYER)
    assert layout.chunk_columns <= shards.CHUNK_NEUROIDS
    padding = layout.n_chunks * layout.chunk_columns - neuroids
    assert 0 <= padding < layout.n_chunks, "hardly anything is lost"


@settings(max_examples=30)
@given(
    rows=st.sampled_from([1, 2, 8]), neuroids=st.integers(1, 50), dtype=DTYPES,
    width=st.integers(1, 20), data=st.data(),
)  # fmt: skip
def test_what_is_read_is_what_was_written(tmp_path_factory, rows, neuroids, dtype, width, data):
    folder = tmp_path_factory.mktemp("shards")
    before, shards.CHUNK_NEUROIDS = shards.CHUNK_NEUROIDS, width
    try:
        layout = ShardLayout(rows, neuroids, dtype)
        n_rows = data.draw(st.integers(1, rows))
        values = torch.randn(n_rows, neuroids)
        path = written(folder, layout, values)
        assert [p.name for p in folder.iterdir()] == ["c.0.0"]
        assert path.stat().st_size == layout.n_bytes
        chunks = layout.read(path)
        found = chunks.swapaxes(0, 1).reshape(rows, -1)
        expected = values.to(shards.DTYPES[dtype]).float().numpy()
        np.testing.assert_array_equal(found[:n_rows, :neuroids], expected)
        assert np.isnan(found[n_rows:]).all(), "no stimulus, no values"
        assert np.isnan(found[:, neuroids:]).all()
        first = data.draw(st.integers(0, layout.n_chunks - 1))
        np.testing.assert_array_equal(layout.read(path, first, first + 1)[0], chunks[first])
        assert layout.damage(path) is None
    finally:
        shards.CHUNK_NEUROIDS = before


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path_factory, place, bit):
    layout = ShardLayout(4, 30, "float32")
    path = written(tmp_path_factory.mktemp("shards"), layout, torch.randn(4, 30))
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DamagedShard, match=r"wrong checksum in chunk 0|another index"):
        layout.read(path)


@pytest.mark.parametrize("size", [0, 1, 499, 10_000])
def test_a_file_of_another_size_is_damaged(tmp_path: Path, size: int) -> None:
    layout = ShardLayout(4, 30, "float32")
    path = tmp_path / "c.0.0"
    path.write_bytes(bytes(size))
    assert layout.damage(path) == f"has {size:,} bytes instead of {layout.n_bytes:,}"


def test_rows_come_in_any_order_and_from_any_memory_format(tmp_path: Path) -> None:
    layout = ShardLayout(4, 2 * 3 * 5, "float32")
    images = torch.randn(4, 2, 3, 5).contiguous(memory_format=torch.channels_last)
    with shard_writer() as writer:
        buffer = writer.buffer(layout)
        for first in (2, 0):
            buffer.fill(first, images[first : first + 2].flatten(1))
        writer.put(buffer, 4, tmp_path / "c.0.0")
    np.testing.assert_array_equal(layout.read(tmp_path / "c.0.0")[0], images.flatten(1).numpy())


def test_a_buffer_that_is_used_again_keeps_nothing(tmp_path: Path) -> None:
    layout = ShardLayout(4, 7, "float32")
    buffer = ShardBuffer(layout)
    for n_rows, name in ((4, "c.0.0"), (1, "c.1.0")):
        buffer.fill(0, torch.ones(n_rows, 7))
        buffer.seal(n_rows)
        shards.write_shard(tmp_path / name, buffer.memory, layout.n_bytes)
    assert np.isnan(layout.read(tmp_path / "c.1.0")[0, 1:]).all()


def test_where_the_page_cache_cannot_be_avoided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = []
    inner = os.open

    def refusing(path: Path, flag: int, mode: int = 0o777) -> int:
        flags.append(flag)
        if flag & getattr(os, "O_DIRECT", 0):
            raise OSError(errno.EINVAL, "Invalid argument")
        return inner(path, flag, mode)

    monkeypatch.setattr(os, "open", refusing)
    layout = ShardLayout(4, 30, "float32")
    path = written(tmp_path, layout, torch.randn(4, 30))
    assert len([flag for flag in flags if flag & os.O_CREAT]) == 2
    assert layout.damage(path) is None


def test_a_full_disk_leaves_no_file_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, ShardLayout(4, 30, "float32"), torch.randn(4, 30))
    assert not list(tmp_path.iterdir())


def test_the_network_waits_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = ShardLayout(1, 1000, "float32")
    monkeypatch.setattr(shards, "PENDING_BYTES", 3 * layout.n_bytes)
    inner, waiting = shards.write_shard, []
    writer_of: list[shards.ShardWriter] = []

    def slow(path: Path, memory: object, n_bytes: int) -> None:
        waiting.append(writer_of[0]._pending)
        inner(path, memory, n_bytes)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "write_shard", slow)
    with shard_writer() as writer:
        writer_of.append(writer)
        for k in range(50):
            buffer = writer.buffer(layout)
            buffer.fill(0, torch.full((1, 1000), float(k)))
            writer.put(buffer, 1, tmp_path / f"c.{k}.0")
    assert max(waiting) <= 3 * layout.n_bytes
    found = [layout.read(tmp_path / f"c.{k}.0")[0, 0, 0] for k in range(50)]
    np.testing.assert_array_equal(found, np.arange(50.0))
