"""Numbers as a person reads them, and as JSON holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CORRECTIONS = {"fdr": "FDR", "holm": "Holm", "none": ""}
"""Corrections of p-values over layers that may be shown, and what they are called there."""


def plain(value: Any) -> Any:
    """Turn NumPy's and pandas' values into what JSON knows; NaN into None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is pd.NA or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def number(value: float) -> str:
    """Write a score or p-value with three digits; nothing where there is none."""
    if not np.isfinite(value):
        return ""
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def count(n: int, what: str) -> str:
    """Write how many there are: ``1 site``, ``2 sites``."""
    return f"{n} {what}" if n == 1 else f"{n:,} {what}s"


def chosen(recording: dict[str, Any]) -> str:
    """Write which neuroids of a recording were kept, to follow their number; nothing of all."""
    selection = recording.get("selection")
    return f" with reliability ≥ {selection['threshold']:g}" if selection else ""


def said_of(recording: dict[str, Any]) -> list[str]:
    """Describe which neuroids of a recording were kept, and in which window of time."""
    sentences = []
    if selection := recording.get("selection"):
        sentences.append(f"{selection['said'].capitalize()}.")
        if selection.get("by") == "other repetitions":
            sentences.append(
                "Only the repetitions that did not choose them, about half, are scored: responses "
                "are noisier, and scores lower, than with all."
            )
    if window := recording.get("window"):
        start, end = window
        sentences.append(f"Responses from {start:g} to {end:g} ms after stimulus onset.")
    return sentences


def weights_text(model: dict[str, Any]) -> str:
    """Describe where the weights of a network came from, why from there, and which they are."""
    reason = f", since {model['weights_reason']}" if model.get("weights_reason") else ""
    return f"{model['weights_source']}{reason} · sha256 {model['weights_sha256'][:12]}…"


def share(*of_bounds: float) -> str:
    """Write shares of a ceiling's bounds as percentages, the lower one first."""
    shares = sorted(100 * share for share in of_bounds if np.isfinite(share))
    if shares and shares[0] < 0:
        return "<0 %"
    return "–".join(dict.fromkeys(f"{share:.0f}" for share in shares)) + " %" if shares else ""


def p_value(value: float) -> str:
    """Write a p-value."""
    return "<.001" if value < 0.001 else number(value)


def corrected(column: str, correction: str) -> tuple[str, str]:
    """Name the column of a table that holds a corrected p-value, and its heading."""
    name = CORRECTIONS[correction]
    return (f"{column}_{correction}", f"p ({name})") if name else (column, "p")


def peaks_text(peaks: pd.DataFrame, score: str) -> dict[str, list[str]]:
    """Return columns of text about the peaks of curves, one row per layer.

    Parameters
    ----------
    peaks : pandas.DataFrame
        With the columns layer, alias, latency, score, and low and high ends of their intervals.
    score : str
        What a score is called.
    """
    columns: dict[str, list[str]] = {"layer": list(peaks["layer"])}
    if peaks["alias"].any():
        columns["alias"] = list(peaks["alias"])
    columns["peak"] = [f"{latency:g} ms" for latency in peaks["latency"]]
    if peaks["latency_low"].notna().any():
        columns["95 % CI"] = [
            f"{low:g} to {high:g}"
            for low, high in peaks[["latency_low", "latency_high"]].to_numpy()
        ]
    columns[f"{score} there"] = [number(value) for value in peaks["score"]]
    if peaks["ci_low"].notna().any():
        columns["95 % CI of it"] = [
            f"{number(low)} to {number(high)}"
            for low, high in peaks[["ci_low", "ci_high"]].to_numpy()
        ]
    return columns
