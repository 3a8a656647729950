"""Comparisons that were saved, read again without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probe.comparison.result import Ceiling, Choice, RSAResult
from probe.comparison.result_map import RSAMap
from probe.comparison.result_over_time import RSAOverTime
from probe.errors import ProbeError
from probe.output.files import read_pairs
from probe.similarity.rdm_set import RDMs

FILE = "result.json"
"""What says how a comparison was made."""

MAP = "best.csv"
"""What names the comparisons of several networks and regions."""

_WORDS = (
    "model", "dataset", "region", "subject", "metric", "comparator", "kind", "layer", "alias",
    "type", "simulated",
)  # fmt: skip


def read_saved(path: str | Path) -> RSAResult | RSAMap | RSAOverTime:
    """Read a folder that ``probe rsa`` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    RSAResult, RSAMap or RSAOverTime

    Raises
    ------
    ProbeError
        If there is none, or files of it are missing or damaged.
    """
    folder = Path(path).expanduser()
    if (folder / MAP).exists() and not (folder / FILE).exists():
        return _read_map(folder)
    about = _about(folder)
    try:
        return _over_time(folder, about) if "peaks" in about else _result(folder, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(folder, "its files", error) from None


def _result(folder: Path, about: dict[str, Any]) -> RSAResult:
    table = _as_numbers(pd.DataFrame(about.pop("table")))
    if "init_seed" in table:
        table["init_seed"] = table["init_seed"].astype("Int64")
    bounds, choice = about.pop("ceiling"), about.pop("choice")
    classic = folder / "classic.npz"
    return RSAResult(
        table=table,
        by_subject=_as_numbers(pd.DataFrame(about.pop("by_subject"))),
        pairs=read_pairs(folder / "pairs.csv"),
        ceiling=Ceiling(_number(bounds["lower"]), _number(bounds["upper"]), bounds["kind"]),
        choice=None if choice is None else Choice(**choice),
        rdms=RDMs.load(folder / "rdms.npz"),
        recorded=RDMs.load(folder / "recording.npz"),
        provenance=about.pop("provenance"),
        classic=RDMs.load(classic) if classic.exists() and _has_classic(table) else None,
        facts=about,
    )


def _over_time(folder: Path, about: dict[str, Any]) -> RSAOverTime:
    square = folder / "generalisation.csv"
    table = _as_numbers(pd.DataFrame(about.pop("table")))
    generalisation = None
    # A file that an earlier run left in the folder is not of this one.
    if about.pop("has_generalisation", square.exists()):
        generalisation = pd.read_csv(square, index_col=0).to_numpy(float)
    columns = ["layer", "time_start", "time_end", "p"]
    return RSAOverTime(
        table=table,
        peaks=_as_numbers(pd.DataFrame(about.pop("peaks"))),
        clusters=_as_numbers(pd.DataFrame(about.pop("clusters"), columns=columns)),
        ceiling=about.pop("ceiling"),
        generalisation=generalisation,
        latencies=np.empty((0, 0)),  # of the resamples, which are not saved
        rdms=RDMs.load(folder / "rdms.npz"),
        provenance=about.pop("provenance"),
        facts=about,
    )


def _read_map(folder: Path) -> RSAMap:
    """Read the comparisons that a map is of, in its order."""
    try:
        best = pd.read_csv(folder / MAP, dtype="object", keep_default_na=False)
        named = [tuple(row) for row in best[["model", "dataset", "region"]].to_numpy()]
        results: dict[tuple[str, ...], list[RSAResult]] = {}
        inner_folders = [path for path in folder.iterdir() if (path / FILE).exists()]
        for inner in sorted(inner_folders, key=_nth):
            about = _about(inner)
            if "by_subject" not in about or "recording" not in about:
                continue  # another kind of result that lies there, too
            result = _result(inner, about)
            recording = result.facts["recording"]
            key = result.model, recording["name"], recording["region"]
            results.setdefault(key, []).append(result)
        for key in named:
            if len(results.get(key, ())) < named.count(key):
                raise ValueError(f"the folder of {' and '.join(key[:2])} is missing")
        return RSAMap([results[key].pop(0) for key in named])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, ProbeError):
            raise
        raise _damaged(folder, "its files", error) from None


def _nth(folder: Path) -> tuple[str, int]:
    """Return by what folders are sorted: ``v4``, ``v4~2``, …, ``v4~10``, as `RSAMap.folders`."""
    name, _, number = folder.name.rpartition("~")
    return (name, int(number)) if name and number.isdecimal() else (folder.name, 1)


def _has_classic(table: pd.DataFrame) -> bool:
    return bool((table["kind"] == "classic").any())


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ProbeError(
            f"{str(folder)!r} holds no comparison: expected a folder that `probe rsa` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, FILE, error) from None
    if not isinstance(about, dict):
        raise _damaged(folder, FILE, ValueError("it is no JSON object"))
    return about


def _as_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Read columns of numbers as such: of JSON, NaN is None."""
    for column in map(str, table.columns):
        if column not in _WORDS and column not in ("model_a", "model_b"):
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _damaged(folder: Path, what: str, error: Exception) -> ProbeError:
    reason = str(error).split("\n")[0]
    return ProbeError(
        f"the result {str(folder)!r} is damaged: {what} cannot be read ({reason}); compute it "
        "again with `probe rsa`"
    )
