"""Orders for processes that fail, and a look at what they leave."""

from __future__ import annotations

import filecmp
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

LAYERS = ["features.0", "features.7", "features.12"]
"""Of which 4, 16 and 32 stimuli go into a shard."""

BATCH = 8
N = 150
"""Pictures: the last batch, and the last shard of every layer, are not full."""

PATIENCE = 90.0
"""Seconds in which something has to happen."""

TRIAL = 2
"""Pictures in the batch that tells the shapes of the outputs."""

Event = Mapping[str, Any]


class Forks:
    """Children, forked from one process that imports everything once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, count()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        if environment.pop("PYTHONDONTWRITEBYTECODE", None):  # Dask's workers import it all again
            environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        with open(folder / "server.err", "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "import children; children.serve()"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is for pytest
            )

    def order(self, **order: object) -> dict[str, Any]:
        """Give an order, and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, (self._folder / "server.err").read_text()
        return dict(json.loads(answer))

    def begin(
        self,
        action: str,
        cache: Path,
        faults: Mapping[str, Any] | None = None,
        root: Path | None = None,
        **arguments: object,
    ) -> Child:
        """Begin a child.

        Parameters
        ----------
        action : str
            A function in `children`, called with ``arguments``.
        cache : path
            The cache of the child.
        faults : mapping, optional
            What happens to it; without it, events are only noted.
        root : path, optional
            The folder in which files are looked at; by default, the cache.
        """
        name = self._folder / f"{next(self._numbers):03d}"
        out, err, log = (name.with_suffix(suffix) for suffix in (".out", ".err", ".log"))
        for file in (err, log):
            file.touch()
        found = self.order(
            action=action,
            arguments=arguments,
            environment={"PROBE_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
            faults={"log": str(log), "root": str(root or cache), **(faults or {})},
            out=str(out),
            err=str(err),
        )
        return Child(self, found["pid"], out, err, log)

    def extract(
        self,
        cache: Path,
        images: Path,
        faults: Mapping[str, Any] | None = None,
        root: Path | None = None,
        **how: object,
    ) -> Child:
        """Begin a child that extracts `LAYERS`, from Python."""
        how = {"layers": LAYERS, "batch_size": BATCH} | how
        return self.begin("run", cache, faults, root, images=str(images), **how)

    def close(self) -> None:
        """End with all children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass(frozen=True)
class Child:
    """A process, and the files in which it tells what it does."""

    forks: Forks
    pid: int
    out: Path
    err: Path
    log: Path

    def ended(self) -> int:
        """Wait until it has ended, and give its exit code; -9 if it was killed."""
        found = self.forks.order(wait=self.pid)
        assert not found["stopped"], "it stopped instead"
        return int(found["code"])

    def succeeded(self) -> Child:
        """Wait until it has ended well."""
        code = self.ended()
        assert code == 0, (code, self.errors)
        return self

    def stopped(self) -> Child:
        """Wait until it has stopped itself, with all its threads."""
        found = self.forks.order(wait=self.pid)
        assert found["stopped"], (found, self.errors)
        return self

    def send(self, *signals: int) -> Child:
        """Send it signals, and let it go on."""
        for number in (*signals, signal.SIGCONT):
            os.kill(self.pid, number)
        return self

    def killed(self) -> Child:
        """Kill it where it has stopped."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL
        return self

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self.err.read_text()

    @property
    def line(self) -> str:
        """The one line of standard error with which it ended."""
        (line,) = self.errors.splitlines()
        return line

    @property
    def events(self) -> list[Event]:
        """What it did, in order."""
        whole = self.log.read_text().rpartition("\n")[0]  # the last line may be half there yet
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def batches(self) -> list[list[int]]:
        """What it sent through the network: checksums of pictures, batch by batch."""
        batches = [event["pictures"] for event in self.events if event["kind"] == "forward"]
        return [batch for batch in batches if len(batch) > TRIAL]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing disturbed: what all others must come to.

    Attributes
    ----------
    child : Child
    cache : path
        In which it made the only store.
    """

    child: Child
    cache: Path

    @cached_property
    def store(self) -> Path:
        """The store that it made."""
        return only_store(self.cache)

    @cached_property
    def batches(self) -> list[list[int]]:
        """What it sent through the network."""
        return self.child.batches

    @cached_property
    def size(self) -> int:
        """Pictures in a batch."""
        return len(self.batches[0])

    @cached_property
    def pictures(self) -> list[int]:
        """Checksums of the pictures, in their order."""
        return list(dict.fromkeys(picture for batch in self.batches for picture in batch))

    @cached_property
    def rows(self) -> dict[str, int]:
        """Stimuli in a shard of each layer."""
        return {
            folder.parent.name: json.loads(folder.read_text())["chunk_grid"]["configuration"][
                "chunk_shape"
            ][0]
            for folder in self.store.glob("*/zarr.json")
        }

    def same(self, store: Path, size: int | None = None) -> None:
        """See that a store has the same files, to the byte, and no others.

        Parameters
        ----------
        store : path
        size : int, optional
            Pictures in a batch, if it was another size.
        """
        here, there = files(self.store), files(store)
        assert here == there
        described = Path("zarr.json")
        _, other, broken = filecmp.cmpfiles(
            self.store, store, [str(f) for f in here if f != described], shallow=False
        )
        assert (other, broken) == ([], [])
        of = [json.loads((path / described).read_text()) for path in (self.store, store)]
        for group, expected in zip(of, (self.size, size or self.size), strict=True):
            assert group["attributes"]["about"].pop("batch_size") == expected
            group["attributes"]["about"].pop("created")
        assert of[0] == of[1]

    def batches_for(self, complete: Mapping[Path, object]) -> list[list[int]]:
        """Give the batches that are not wholly in complete shards: those to compute again."""
        lacking = {
            self.pictures[row]
            for layer, rows in self.rows.items()
            for row in range(len(self.pictures))
            if Path(layer, f"c.{row // rows}.0") not in complete
        }
        return [batch for batch in self.batches if lacking & set(batch)]

    def shards_of(self, batches: Sequence[Sequence[int]]) -> set[Path]:
        """Give the shards that some batches fill."""
        computed = {picture for batch in batches for picture in batch}
        return {
            Path(layer, f"c.{k}.0")
            for layer, rows in self.rows.items()
            for k in range(-(-len(self.pictures) // rows))
            if computed >= set(self.pictures[k * rows : (k + 1) * rows])
        }


def only_store(cache: Path) -> Path:
    """Give the only store of a cache."""
    (found,) = (cache / "activations").iterdir()
    return found


def files(store: Path) -> list[Path]:
    """List all files of a store."""
    return sorted(path.relative_to(store) for path in store.rglob("*") if path.is_file())


def complete(store: Path) -> dict[Path, tuple[int, int]]:
    """Give the shards that are complete, each with what changes when it is written again."""
    found = {}
    for path in store.glob("*/c.*.0"):
        status = path.stat()
        found[path.relative_to(store)] = status.st_ino, status.st_mtime_ns
    return found


def untouched(store: Path, before: Mapping[Path, tuple[int, int]]) -> None:
    """See that shards that were complete are the same files as before."""
    after = complete(store)
    assert {path: after.get(path) for path in before} == before


def moments(events: Sequence[Event], chosen: Sequence[int]) -> list[tuple[str, int]]:
    """Name events by their kind, and how many of the kind there were until then."""
    counts: Counter[str] = Counter()
    names = []
    for event in events:
        counts[event["kind"]] += 1
        names.append((event["kind"], counts[event["kind"]]))
    return [names[k] for k in chosen]


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)
