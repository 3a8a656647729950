"""An encoding that was saved, opened again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from probe.encoding.fields import Field, Layout
from probe.encoding.readouts import Readout
from probe.encoding.result import BAND_COLUMNS, FORMAT, Encoding, rows_of
from probe.encoding.sites import Identity
from probe.errors import ProbeError
from probe.models import Network


def open_encoding(path: str | Path, network: Network | nn.Module | None = None) -> Encoding:
    """Open an encoding that was saved.

    Parameters
    ----------
    path : path
        A folder that `Encoding.save` wrote, or ``probe encode``.
    network : Network or torch.nn.Module, optional
        Its network; needed only for a module of your own, others are loaded by name.

    Returns
    -------
    Encoding

    Raises
    ------
    ProbeError
        If there is none, or the network is another one.

    See Also
    --------
    encode : Fits the sites.
    probe.encoding.Encoding.site : A site as a target.

    Examples
    --------
    >>> probe.open_encoding("results/encode-alexnet-v4").site(12)  # doctest: +SKIP
    """
    folder = Path(path).expanduser()
    try:
        about = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProbeError(
            f"{str(folder)!r} holds no encoding: expected a folder that `probe encode` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, "encoding.json", error) from None
    if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
        raise ProbeError(
            f"{str(folder)!r} was written by another version of probe: fit it again with "
            "`probe encode`"
        )
    try:
        identity = Identity(**about.pop("identity"))
        table = pd.DataFrame(about.pop("table"))
        sites = _read_sites(folder / "sites.csv")
        pairs = pd.read_csv(folder / "pairs.csv")
        readouts = _read_arrays(folder / "sites.npz")
        bands = _read_bands(folder / "bands.csv", sites, about)
        provenance = about.pop("provenance")
        _check_whole(sites, readouts, about)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise _damaged(folder, "its files", error) from None
    for column in map(str, table.columns):
        if column not in ("kind", "layer", "alias", "type", "shown", "model", "dataset", "region"):
            table[column] = pd.to_numeric(table[column], errors="coerce")
    if isinstance(network, nn.Module):
        network = Network.from_module(network, name=identity.model)
    if network is not None:
        identity.check(network, f"the encoding {str(folder)!r}")
    return Encoding(
        table, sites, pairs, {}, readouts, identity, about, provenance, network, bands=bands
    )


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


def _check_whole(sites: pd.DataFrame, readouts: dict[str, Readout], about: dict[str, Any]) -> None:
    """Refuse files that are not of one fit.

    Raises
    ------
    ValueError
    """
    for key in ("dataset", "region", "model", "recording", "fit"):
        if key not in about:
            raise ValueError(f"encoding.json has no {key!r}")
    if list(sites["site"]) != list(range(len(sites))):
        raise ValueError("sites.csv lacks rows")
    banded = about["fit"]["method"] == "banded"
    for layer, readout in readouts.items():
        if len(rows_of(sites, layer, banded=banded)) != len(readout):
            raise ValueError("sites.csv and sites.npz are of two fits")


def _read_arrays(path: Path) -> dict[str, Readout]:
    readouts = {}
    with np.load(path, allow_pickle=False) as arrays:
        for k in range(sum(name.endswith(".layer") for name in arrays.files)):
            layer = str(arrays[f"{k}.layer"])
            channels, height, width = (int(v) for v in arrays[f"{k}.layout"])
            fields = None
            if f"{k}.fields" in arrays.files:
                fields = tuple(Field(*map(float, row)) for row in arrays[f"{k}.fields"])
            readouts[layer] = Readout(
                layer, Layout(channels, height, width), arrays[f"{k}.weights"],
                arrays[f"{k}.offsets"], fields,
            )  # fmt: skip
    return readouts


def _damaged(folder: Path, what: str, error: Exception) -> ProbeError:
    reason = str(error).split("\n")[0]
    return ProbeError(
        f"the encoding {str(folder)!r} is damaged: {what} cannot be read ({reason}); fit it again "
        "with `probe encode`"
    )
