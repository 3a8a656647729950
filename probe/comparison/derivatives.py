"""Comparisons as a BIDS-style derivative dataset, in files whose names tell what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from probe.comparison.result import RSAResult
from probe.comparison.result_map import RSAMap
from probe.errors import ProbeError
from probe.output.files import writable_folder, write_all

BIDS_VERSION = "1.10.0"

MISSING = "n/a"
"""As BIDS writes a value that is missing."""


def save_derivatives(results: RSAResult | RSAMap, path: str | Path) -> list[Path]:
    """Write comparisons as a BIDS-style derivative dataset.

    ``dataset_description.json``; of each comparison
    ``model-…_dataset-…_region-…_desc-scores_rsa.tsv`` and ``…_desc-pairs_rsa.tsv``, and of each
    layer ``…_layer-…_rdm.tsv`` with one row per pair of stimuli, under their full names. Labels in
    file names are letters and digits only, as BIDS has them; those of two layers differ. A file
    ``….json`` beside each table gives the full names and how the numbers came about.

    Parameters
    ----------
    results : RSAResult or RSAMap
    path : str or Path
        A folder, made if it does not exist; files of these names are replaced, others left alone.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ProbeError
        If the folder cannot be written, or two comparisons have the same network, recording and
        region.

    References
    ----------
    Gorgolewski et al. 2016, Sci Data 3:160044; the Brain Imaging Data Structure, derivatives.
    """
    compared = [results] if isinstance(results, RSAResult) else list(results)
    names = [_named(result) for result in compared]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ProbeError(
            f"two comparisons are of {', '.join(twice)}: save them into folders of their own"
        )
    parts = zip(*(labels(column) for column in zip(*names, strict=True)), strict=True)
    contents = {"dataset_description.json": _json(_description(compared))}
    for result, (model, dataset, region) in zip(compared, parts, strict=True):
        stem = f"model-{model}_dataset-{dataset}_region-{region}"
        contents |= _files(result, stem)
    return write_all(writable_folder(path), contents)


def labels(names: Sequence[str]) -> list[str]:
    """Return a label for each name: letters and digits only, different ones for different names.

    Of names that differ in other characters alone, as ``img_1_1`` and ``img_11`` do, the second
    has its number among these after an x: ``img11x2``.
    """
    by_name: dict[str, str] = {}
    for name in names:
        if name in by_name:
            continue
        bare = "".join(c for c in name if c.isascii() and c.isalnum()) or "unnamed"
        label, k = bare, 1
        while label.lower() in {other.lower() for other in by_name.values()}:
            k += 1
            label = f"{bare}x{k}"
        by_name[name] = label
    return [by_name[name] for name in names]


def _named(result: RSAResult) -> tuple[str, str, str]:
    recording = result.facts["recording"]
    return result.model, recording["name"], recording["region"]


def _description(compared: Iterable[RSAResult]) -> dict[str, Any]:
    recorded = {result.facts["recording"]["name"]: result.facts["recording"] for result in compared}
    return {
        "Name": "Layers of networks compared with recordings (representational similarity)",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "cnn-probe", "Version": metadata.version("cnn-probe")}],
        "SourceDatasets": [
            {"Name": name, "Citation": of["citation"], "License": of["licence"]}
            for name, of in recorded.items()
        ],
    }


def _files(result: RSAResult, stem: str) -> dict[str, bytes]:
    """Return the tables of a comparison, and what is said beside each, by name."""
    model, dataset, region = _named(result)
    about = {
        "Model": model,
        "Dataset": dataset,
        "Region": region,
        "Simulated": result.simulated,
        "Comparison": result.facts["comparison"],
        "Ceiling": result.to_dict()["ceiling"],
        "Recording": result.facts["recording"],
        "Provenance": result.provenance,
    }
    contents = {}
    for what, table in (("scores", result.table), ("pairs", result.pairs)):
        name = f"{stem}_desc-{what}_rsa"
        contents[f"{name}.tsv"] = table.to_csv(sep="\t", index=False, na_rep=MISSING).encode()
        contents[f"{name}.json"] = _json(about)
    for layer, label in zip(result.rdms.labels, labels(result.rdms.labels), strict=True):
        tidy = result.rdms[[layer]].to_pandas(tidy=True).drop(columns="label")
        name = f"{stem}_layer-{label}_rdm"
        contents[f"{name}.tsv"] = tidy.to_csv(sep="\t", index=False, na_rep=MISSING).encode()
        contents[f"{name}.json"] = _json(
            {
                "Model": model,
                "Layer": layer,
                "Alias": result.rdms.attrs.get("aliases", {}).get(layer, ""),
                "Metric": result.rdms.metric,
                "WeightsSHA256": result.rdms.attrs.get("weights_sha256", ""),
            }
        )
    return contents


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
