"""An encoding that was saved, opened again."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from probe.encoding.fields import Field, Layout
from probe.encoding.readouts import Readout
from probe.encoding.result import Encoding, rows_of
from probe.encoding.saved import damaged, read_tables
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
    encoding = read_tables(folder)
    try:
        readouts = _read_arrays(folder / "sites.npz")
        _check_whole(encoding, readouts)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise damaged(folder, "its files", error) from None
    if isinstance(network, nn.Module):
        network = Network.from_module(network, name=encoding.identity.model)
    if network is not None:
        encoding.identity.check(network, f"the encoding {str(folder)!r}")
    return replace(encoding, readouts=readouts, network=network)


def _check_whole(encoding: Encoding, readouts: dict[str, Readout]) -> None:
    """Refuse files that are not of one fit.

    Raises
    ------
    ValueError
    """
    for layer, readout in readouts.items():
        if len(rows_of(encoding.sites, layer, banded=encoding.is_banded)) != len(readout):
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
