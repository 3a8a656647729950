"""What a region of a large public recording costs: 47,503 units × 1,000 pictures, as li2026 has.

Run ``python benchmarks/families.py``; it takes a minute or two, and needs 1 GB of room for files.
Each file is written, and read by a process of its own, whose memory at its highest is taken before
and after: reading a region, and the reliable units of a region, have to stay below 2 GB. Times are
beside those of h5py reading the whole array in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LIMIT = 2e9
"""Of the memory that loading a region adds at its highest, in bytes."""

UNITS, PICTURES = 47_503, 1_000
SHARES = {"IT": 0.72, "V1": 0.08, "V2": 0.08, "V4": 0.12}

LAYOUTS: dict[str, tuple[str, tuple[int, ...] | None]] = {
    "float64, contiguous": ("float64", None),
    "float32, contiguous": ("float32", None),
    "float32, chunks of 250 × 11,876, gzip": ("float32", (250, 11_876, 1)),
}

READ = """
import json, re, resource, sys, time
from pathlib import Path
import numpy as np
from probe.assets.manifest import Manifest
from probe.recordings.loaders import Part, brainscore

def peak():
    try:  # of this program: that of getrusage begins with that of the process that started it
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

folder = Path(sys.argv[1])
manifest = Manifest.load(folder / "large.toml")
part = Part(sys.argv[2], None, float(sys.argv[3]) if len(sys.argv) > 3 else None)
before, start = peak(), time.perf_counter()
recording = brainscore(manifest, None, lambda m, name: folder / name, part)
seconds = time.perf_counter() - start
print(json.dumps([recording.n_neuroids, seconds, peak() - before]))
"""


def write_large(folder: Path, dtype: str, chunks: tuple[int, ...] | None) -> None:
    """Write an assembly of the size of li2026, its pictures and a manifest."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from assemblies import MANIFEST, write_assembly, write_manifest, write_pictures

    rng = np.random.default_rng(0)
    counts = np.round(np.array(list(SHARES.values())) * UNITS).astype(int)
    counts[0] += UNITS - counts.sum()
    regions = np.repeat(list(SHARES), counts)
    # Some digits only, as a mean over few repetitions has, so that gzip has something to do.
    rates = rng.poisson(4.0, (PICTURES, UNITS, 1)).astype(dtype) / np.dtype(dtype).type(6)
    ids = [f"nsd_{73 * k:05d}" for k in range(PICTURES)]
    write_assembly(
        folder / "assembly.nc", rates, chunks=chunks, gzip=1 if chunks else None,
        presentations={"stimulus_id": ids},
        neuroids={
            "neuroid_id": [f"M1_ses01_unit{k:05d}" for k in range(UNITS)],
            "region": regions,
            "animal": [f"M{k % 5 + 1}" for k in range(UNITS)],
            "arealabel": regions,
            "snr": rng.normal(size=UNITS).astype(np.float32),
            "reliability": rng.uniform(0.1, 1, UNITS).astype(np.float32),
            "reliability_window": rng.uniform(0, 0.8, UNITS).astype(np.float32),
        },
    )  # fmt: skip
    write_pictures(folder, ids)
    write_manifest(folder / "large.toml", folder, text=MANIFEST.replace('"V4"', '"IT"', 1).replace(
        'name = "IT"\nspecies = "macaque"\n\n[responses]', 'name = "V4"\nspecies = "macaque"\n'
        "\n[responses]"
    ))  # fmt: skip


def read_part(folder: Path, *part: str) -> tuple[int, float, float]:
    """Read a part in a process of its own: neuroids, seconds, bytes added at the highest."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder), *part], capture_output=True, text=True, check=True
    )
    return tuple(json.loads(done.stdout))


def lazy_load() -> bool:
    """Print times and memory of each layout, and give whether all stay below the limit."""
    import time

    import h5py

    good = True
    for layout, (dtype, chunks) in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_large(folder, dtype, chunks)
            size = (folder / "assembly.nc").stat().st_size
            start = time.perf_counter()
            with h5py.File(folder / "assembly.nc") as file:
                file["data"][()].astype(np.float64)
            whole = time.perf_counter() - start
            print(f"{UNITS:,} units × {PICTURES:,} pictures, {layout}: {size / 1e6:.0f} MB; all of "
                  f"it by h5py {whole:.2f} s")  # fmt: skip
            for part in (("V4",), ("IT",), ("IT", "0.4")):
                n, seconds, added = read_part(folder, *part)
                good &= added <= LIMIT
                what = part[0] + (f", reliability ≥ {part[1]}" if part[1:] else "")
                print(
                    f"  {what:<24} {n:6,} units in {seconds:5.2f} s = {seconds / whole:5.1f} × that"
                    f"; {added / 1e9:.2f} GB = {added / LIMIT:.2f} of the limit"
                )
    return good


if __name__ == "__main__":
    sys.exit(0 if lazy_load() else 1)
