"""Fits that were saved, read without PyTorch: what was found, not what predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probe.encoding.identity import Identity
from probe.encoding.map import Encodings
from probe.encoding.over_time import EncodingOverTime
from probe.encoding.result import BAND_COLUMNS, FORMAT, Encoding
from probe.errors import ProbeError
from probe.output.files import read_pairs

FILE = "encoding.json"
"""What says how a fit was made."""

MAP = "map.json"
"""What names the folders of several fits."""

_WORDS = ("kind", "layer", "alias", "type", "shown", "model", "dataset", "region")


def read_saved(path: str | Path) -> Encoding | Encodings | EncodingOverTime:
    """Read the tables of a folder that ``probe encode`` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    Encoding, Encodings or EncodingOverTime
        Without weights: an `Encoding` cannot predict; `open_encoding` reads one that can.

    Raises
    ------
    ProbeError
        If there is none, or files of it are missing or damaged.
    """
    folder = Path(path).expanduser()
    if (folder / MAP).exists():
        try:
            names = list(json.loads((folder / MAP).read_text(encoding="utf-8"))["folders"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, MAP, error) from None
        return Encodings(tuple(read_tables(_inside(folder, name)) for name in names))
    if "peaks" in _about(folder):
        return _read_over_time(folder)
    return read_tables(folder)


def read_tables(folder: Path) -> Encoding:
    """Read a fit of one network, but for its weights.

    Raises
    ------
    ProbeError
        If there is none, or files of it are missing or damaged.
    """
    about = _about(folder)
    if about.pop("format", None) != FORMAT:
        raise ProbeError(
            f"{str(folder)!r} was written by another version of probe: fit it again with "
            "`probe encode`"
        )
    try:
        identity = Identity(**about.pop("identity"))
        table = pd.DataFrame(about.pop("table"))
        sites = _read_sites(folder / "sites.csv")
        pairs = read_pairs(folder / "pairs.csv")
        bands = _read_bands(folder / "bands.csv", sites, about)
        provenance = about.pop("provenance")
        _check_whole(sites, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise damaged(folder, "its files", error) from None
    return Encoding(
        _as_numbers(table), sites, pairs, {}, {}, identity, about, provenance, bands=bands
    )


def _read_over_time(folder: Path) -> EncodingOverTime:
    """Read a fit at every time.

    Raises
    ------
    ProbeError
        If files of it are missing or damaged.
    """
    about = _about(folder)
    try:
        table, peaks = pd.DataFrame(about.pop("table")), pd.DataFrame(about.pop("peaks"))
        table, peaks = _as_numbers(table), _as_numbers(peaks)
        square = pd.read_csv(folder / "generalisation.csv")
        first = table[table["layer"] == peaks["layer"].iloc[0]]
        times = first[first["kind"] == "layer"][["time_start", "time_end"]].to_numpy(float)
        shape = (len(peaks), len(times), len(times))
        generalisation = square["r"].to_numpy(float).reshape(shape)
        sites = _read_sites(folder / "sites.csv")
        provenance = about.pop("provenance")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(folder, "its files", error) from None
    return EncodingOverTime(table, peaks, sites, generalisation, times, about, provenance)


def _inside(folder: Path, name: Any) -> Path:
    """Return a folder within a folder; a name that leads out of it is an error."""
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise damaged(folder, MAP, ValueError(f"{name!r} is no folder in it"))
    return folder / name


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ProbeError(
            f"{str(folder)!r} holds no encoding: expected the folder that `probe encode` wrote, "
            "such as results/encode-alexnet-v4"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(folder, FILE, error) from None
    if not isinstance(about, dict):
        raise damaged(folder, FILE, ValueError("it is no JSON object"))
    return about


def _as_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Read columns of numbers as such: of JSON, NaN is None."""
    for column in map(str, table.columns):
        if column not in _WORDS:
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def _read_sites(path: Path) -> pd.DataFrame:
    """Read the table of sites: words as they are written, even 'NA', and numbers as such."""
    words = ("neuroid_id", "subject", "region", "layer", "alias", "note")
    sites = pd.read_csv(path, dtype="object", keep_default_na=False)
    for column in map(str, sites.columns):
        if column == "at_end":
            sites[column] = sites[column] == "True"
        elif column not in words:
            sites[column] = pd.to_numeric(sites[column].where(sites[column] != "", np.nan))
    return sites


def _read_bands(path: Path, sites: pd.DataFrame, about: dict[str, Any]) -> pd.DataFrame:
    """Read what each layer adds; of sites that are read from one layer, there is nothing.

    Raises
    ------
    ValueError
        If rows are missing.
    """
    if about["fit"]["method"] != "banded":
        return pd.DataFrame(columns=list(BAND_COLUMNS))
    bands = _read_sites(path)
    if len(bands) != len(sites) * len(about["model"]["layers"]):
        raise ValueError("bands.csv lacks rows")
    return bands


def _check_whole(sites: pd.DataFrame, about: dict[str, Any]) -> None:
    """Refuse tables that are not whole.

    Raises
    ------
    ValueError
    """
    for key in ("dataset", "region", "model", "recording", "fit"):
        if key not in about:
            raise ValueError(f"encoding.json has no {key!r}")
    if list(sites["site"]) != list(range(len(sites))):
        raise ValueError("sites.csv lacks rows")


def damaged(folder: Path, what: str, error: Exception) -> ProbeError:
    """Return the error of a fit whose files cannot be read."""
    reason = str(error).split("\n")[0]
    return ProbeError(
        f"the encoding {str(folder)!r} is damaged: {what} cannot be read ({reason}); fit it again "
        "with `probe encode`"
    )
