"""From results to sections of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count as numbers
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from probe.comparison.result import RSAResult
from probe.comparison.result_map import RSAMap
from probe.comparison.result_over_time import RSAOverTime
from probe.encoding.map import Encodings
from probe.encoding.over_time import EncodingOverTime
from probe.encoding.result import Encoding
from probe.output.drawable import Drawable
from probe.output.summarised import Summarised
from probe.output.text import count, number, share
from probe.output.vectors import vector
from probe.reporting import methods
from probe.reporting.parts import Figure, Section, Table, picture, table_of
from probe.reporting.references import Cited
from probe.reporting.svg import inline

HASHES = (
    ("weights", "model", "weights_sha256"),
    ("weights file", "model", "weights_file_sha256"),
    ("recording", "recording", "source_hash"),
    ("stimuli", "recording", "stimulus_hash"),
)
"""What is identified by a hash: what it is called, and where it stands."""

CAPTIONS = {
    "figure": "Score along the layers.",
    "generalisation": "Similarity of any two times.",
    "map": "Layer by region, or by recording.",
    "sites": "Where sites look, and how well each is predicted.",
    "bands": "What each layer adds.",
}
"""What figures show, by the names of their files."""

MOST_WORDS = 280
"""Characters of a setting that is shown."""


class Sections:
    """Makes the sections of one page, in which no two figures have the same name."""

    def __init__(self) -> None:
        self._numbers = numbers(1)

    def of(self, result: Any) -> Section:
        """Return the section of a result.

        Parameters
        ----------
        result : Summarised or Drawable
            What `probe.rsa`, `probe.encode`, `probe.saliency`, `probe.tuning.tuning` and others
            return.
        """
        makers: list[tuple[type, Callable[[Any], Section]]] = [
            (RSAMap, self._rsa_map),
            (RSAResult, self._rsa),
            (RSAOverTime, self._rsa_over_time),
            (Encodings, self._encodings),
            (Encoding, self._encoding),
            (EncodingOverTime, self._encoding_over_time),
            (Summarised, self._summarised),
            (Drawable, self._drawable),
        ]
        for kind, make in makers:
            if isinstance(result, kind):
                return make(result)
        raise TypeError(f"{type(result).__name__} is no result")

    def _rsa(self, result: RSAResult) -> Section:
        cited = Cited()
        return Section(
            "Representational similarity",
            result.title,
            simulated=result.simulated,
            verdict=verdict_of_rsa(result),
            notes=result.notes(),
            facts=_without_citation(result.describe()),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "Layers", "table.csv", False),
                (_by_subject(result), "Scores by subject", "result.json", True),
                (result.table, "All scores, with baselines", "table.csv", True),
                (result.pairs, "Tests between layers (two-sided)", "pairs.csv", True),
            ),
            methods=methods.of_rsa(result.facts, result, cited),
            references=cited.all,
            terms=methods.terms_of(result.facts),
            provenance=_provenance(result.provenance, result.facts),
        )

    def _rsa_over_time(self, result: RSAOverTime) -> Section:
        cited = Cited()
        best = result.peaks.iloc[int(result.peaks["score"].argmax())]
        name = best["alias"] or best["layer"]
        low, high = best["latency_low"], best["latency_high"]
        within = f" (95 % CI {low:g} to {high:g} ms)" if np.isfinite(low) else ""
        return Section(
            "Representational similarity over time",
            result.title,
            simulated=result.simulated,
            verdict=f"The curve of {name} rises highest: {result.symbol} {number(best['score'])} "
            f"at {best['latency']:g} ms after stimulus onset{within}.",
            notes=result.notes(),
            facts=_without_citation(result.describe()),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "Layers", "peaks.csv", False),
                (result.clusters, "Clusters of times", "clusters.csv", True),
                (result.table, "All scores", "table.csv", True),
            ),
            methods=methods.of_rsa_over_time(result.facts, result, cited),
            references=cited.all,
            terms=methods.terms_of(result.facts),
            provenance=_provenance(result.provenance, result.facts),
        )

    def _rsa_map(self, result: RSAMap) -> Section:
        parts = [self.of(one) for one in result.results]
        return Section(
            "Representational similarity, layer by region",
            result.title,
            simulated=result.simulated,
            verdict=_verdict_of_map(result),
            notes=result.notes(),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "The best layer of each comparison", "best.csv", False),
                (result.cells, "Cells of the map", "map.csv", True),
            ),
            parts=parts,
        )

    def _encoding(self, result: Encoding) -> Section:
        cited = Cited()
        return Section(
            "Encoding",
            result.title,
            simulated=result.simulated,
            verdict=verdict_of_encoding(result),
            notes=result.notes(),
            facts=_facts_of_encoding(result),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "Layers and baselines", "table.csv", False),
                (result.sites, "Sites", "sites.csv", True),
                (result.bands, "What each layer adds, site by site", "bands.csv", True),
                (result.pairs, "Tests between layers (two-sided)", "pairs.csv", True),
            ),
            methods=methods.of_encoding(result.facts, result, cited),
            references=cited.all,
            terms=methods.terms_of(result.facts),
            provenance=_provenance(result.provenance, result.facts),
        )

    def _encoding_over_time(self, result: EncodingOverTime) -> Section:
        cited = Cited()
        best = result.peaks.iloc[int(result.peaks["score"].argmax())]
        return Section(
            "Encoding over time",
            result.title,
            simulated=result.simulated,
            verdict=f"The curve of {best['alias'] or best['layer']} rises highest: r "
            f"{number(best['score'])} (median over sites) at {best['latency']:g} ms after stimulus "
            "onset.",
            notes=result.notes(),
            facts=_facts_of_encoding(result),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "Layers", "peaks.csv", False),
                (result.table, "All scores", "table.csv", True),
            ),
            methods=methods.of_encoding(result.facts, result, cited),
            references=cited.all,
            terms=methods.terms_of(result.facts),
            provenance=_provenance(result.provenance, result.facts),
        )

    def _encodings(self, result: Encodings) -> Section:
        parts = [self.of(one) for one in result]
        summary = result.summary()
        return Section(
            "Encoding, several fits",
            result.title,
            simulated=result.simulated,
            verdict=" ".join(
                f"{row['model']} predicts {row['recording']} ({row['region']}) with r {row['r']}."
                for row in summary.head(4).to_dict("records")
            ),
            notes=result.notes(),
            figures=self._figures(result),
            tables=_tables(
                (summary, "The fits", "table.csv", False),
                (result.pairs, "Networks against each other (two-sided)", "pairs.csv", True),
            ),
            parts=parts,
        )

    def _summarised(self, result: Summarised) -> Section:
        """Return the section of any other result that has a table and notes."""
        provenance = dict(getattr(result, "provenance", None) or {})
        facts = getattr(result, "facts", None)
        facts = facts if isinstance(facts, Mapping) else {}
        notes = result.notes()
        return Section(
            type(result).__name__,
            result.title,
            simulated=_is_simulated(result.title, notes),
            notes=notes,
            figures=self._figures(result),
            tables=_tables((result.summary(), "Summary", "table.csv", False)),
            provenance=_provenance(provenance, facts),
        )

    def _drawable(self, result: Drawable) -> Section:
        """Return the section of what is one figure: its settings are in ``about``."""
        from matplotlib.axes import Axes

        about = dict(result.about)
        drawn = result.plot()
        figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
        svg = _closed(figure, result.title)
        name = f"f{next(self._numbers)}"
        kind, text, works, tables, more = self._described(result, about)
        return Section(
            kind,
            result.title,
            simulated=_is_simulated(result.title, text) or bool(about.get("simulated")),
            notes=more,
            figures=[Figure(inline(svg, name, result.title), "", result.title, result.title)],
            tables=tables,
            methods=text,
            references=works,
            provenance=_of_about(about),
        )

    def _described(self, result: Drawable, about: Mapping[str, Any]) -> tuple[
        str, list[str], list[Any], list[Table], list[str]
    ]:  # fmt: skip
        """Return kind, methods, references, tables and notes of what is one figure."""
        cited = Cited()
        kind = type(result).__name__
        if kind in ("Saliency", "Saliencies"):
            maps = list(about.get("maps") or [about])
            text = methods.of_saliency(maps, cited)
            each = result if isinstance(result, Sequence) else [result]
            notes = [note for one in each for note in _notes_of_map(one)]
            return "Saliency", text, cited.all, [], list(dict.fromkeys(notes))
        if kind == "Tuning":
            compared = result.compare().dropna(subset=["distance"])  # type: ignore[attr-defined]
            sources = list(dict.fromkeys(compared["source"])) if len(compared) else []
            text = methods.of_tuning(about, sources, cited)
            tables = _tables(
                (result.summary, "Layers: medians over responding units", "", False),  # type: ignore[attr-defined]
                (compared, "Distance to published neurons", "", False),
                (result.table, "Units", "the .csv file", True),  # type: ignore[attr-defined]
            )
            return "Tuning", text, cited.all, tables, []
        table = getattr(result, "table", None)
        notes_of = getattr(result, "notes", None)
        notes = list(notes_of()) if callable(notes_of) else []
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame()
        return kind, [], [], _tables((frame, "Table", "the .csv file", False)), notes

    def _figures(self, result: Summarised) -> list[Figure]:
        drawn = []
        for name, figure in result.figures().items():
            svg = figure(".svg")
            label = f"{CAPTIONS.get(name, '')} {result.title}".strip()
            unique = f"f{next(self._numbers)}"
            drawn.append(Figure(inline(svg, unique, label), "", CAPTIONS.get(name, ""), label))
        return drawn

    def of_picture(
        self, png: bytes, name: str, about: Mapping[str, Any], extra: Sequence[Table] = ()
    ) -> Section:
        """Return the section of a picture that probe made, from its metadata.

        Parameters
        ----------
        png : bytes
            As it is shown.
        name : str
            Of its file.
        about : mapping
            What it says of itself.
        extra : sequence of Table
        """
        cited = Cited()
        text: list[str] = []
        kind = "Picture"
        if about.get("method") or about.get("maps"):
            kind, text = "Saliency", methods.of_saliency(list(about.get("maps") or [about]), cited)
        elif about.get("stimuli") and "sites" in about:
            kind, text = "Tuning", methods.of_tuning(about, [], cited)
        target = about.get("target") or about.get("title") or ""
        title = f"{name}: {target}" if target else name
        return Section(
            kind,
            title,
            simulated=_is_simulated(str(dict(about)), []) or bool(about.get("simulated")),
            figures=[picture(png, title, title)],
            tables=list(extra),
            methods=text,
            references=cited.all,
            provenance=_of_about(about),
        )


def verdict_of_rsa(result: RSAResult) -> str:
    """Return which layer is most like the region, and how much, in a sentence or two."""
    rows, region = result.layers, result.facts["recording"]["region"]
    simulated = "the SIMULATED " if result.simulated else ""
    if result.choice is None:
        best = rows.iloc[int(rows["score"].argmax())]
        name = best["alias"] or best["layer"]
        return f"{name} is most like {simulated}{region}: {result.symbol} {number(best['score'])}."
    choice = result.choice
    row = rows.set_index("layer").loc[choice.layer]
    name = f"{choice.layer} ({row['alias']})" if row["alias"] else choice.layer
    text = (
        f"{name} is most like {simulated}{region}: {result.symbol} {number(choice.score)} on the "
        f"half of the stimuli that had no part in choosing it, chosen in "
        f"{100 * choice.share:.0f} % of the splits."
    )
    if result.ceiling.known and result.ceiling.lower > 0:
        bounds = share(choice.score / result.ceiling.upper, choice.score / result.ceiling.lower)
        text += f" That is {bounds} of the noise ceiling."
    return text


def verdict_of_encoding(result: Encoding) -> str:
    """Return how well sites are predicted, in a sentence or two."""
    kind = "bands" if result.is_banded else "chosen"
    rows = result.table[result.table["kind"] == kind]
    best = result.layers.iloc[int(result.layers["r"].fillna(-np.inf).to_numpy().argmax())]
    row = rows.iloc[0] if len(rows) else best
    how = (
        "all layers together"
        if result.is_banded
        else (
            "the layer chosen for each inside the training stimuli" if len(rows) else best["layer"]
        )
    )
    simulated = " SIMULATED" if result.simulated else ""
    within = ""
    if np.isfinite(row["r_low"]):
        within = f" (95 % CI {number(row['r_low'])} to {number(row['r_high'])})"
    ceiled = row.get("r_ceiled", np.nan)
    of_ceiling = f", {100 * ceiled:.0f} % of what noise allows" if np.isfinite(ceiled) else ""
    name = f"{best['layer']} ({best['alias']})" if best["alias"] else best["layer"]
    median = "median " if len(result) > 1 else ""
    return (
        f"{count(len(result), f'{simulated} site'.strip())} predicted from {how}: {median}r "
        f"{number(row['r'])}{within}{of_ceiling}, with stimuli that were held out. Of single "
        f"layers, {name} predicts best: {median}r {number(best['r'])}."
    )


def _verdict_of_map(result: RSAMap) -> str:
    sentences = []
    for one in list(result.results)[:6]:
        if one.choice is None:
            continue
        alias = one.layers.set_index("layer")["alias"][one.choice.layer]
        recording = one.facts["recording"]
        region = " ".join(dict.fromkeys((recording["name"], recording["region"])))
        sentences.append(
            f"{one.facts['model']['name']} is most like {'SIMULATED ' if one.simulated else ''}"
            f"{region} at {alias or one.choice.layer} ({one.symbol} {number(one.choice.score)})."
        )
    return " ".join(sentences)


def _by_subject(result: RSAResult) -> pd.DataFrame:
    """Return scores by subject, where there are several."""
    several = len(result.facts["recording"]["subjects"]) > 1
    return result.by_subject if several else pd.DataFrame()


def _facts_of_encoding(result: Any) -> list[tuple[str, str]]:
    model, recording = result.facts["model"], result.facts["recording"]
    facts = [
        ("weights", str(model.get("weights_source", ""))),
        ("input", str(model.get("preprocessing", ""))),
        ("recording", str(recording.get("title", ""))),
        ("subjects", ", ".join(map(str, recording.get("subjects", ())))),
    ]
    return [(name, text) for name, text in facts if text]


def _without_citation(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, text in facts if name != "cite" and text]


def _tables(*described: tuple[pd.DataFrame, str, str, bool]) -> list[Table]:
    """Return those tables that have rows; the first is open."""
    made = [
        table_of(frame, caption, file=file, folded=folded)
        for frame, caption, file, folded in described
    ]
    return [table for table in made if table is not None]


def _provenance(provenance: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a result was made, with the hashes of what went in."""
    hashes = {
        name: str(facts[part][key])
        for name, part, key in HASHES
        if isinstance(facts.get(part), Mapping) and facts[part].get(key)
    }
    shown = {"comparison": facts.get("comparison"), "fit": facts.get("fit")}
    settings = dict(provenance.get("settings") or {})
    for part in shown.values():
        if isinstance(part, Mapping):
            settings |= {k: v for k, v in part.items() if k != "remarks" and k not in settings}
    return {**provenance, "settings": settings, "hashes": hashes}


def _of_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a picture as a provenance."""
    about = dict(about)
    versions = about.pop("versions", None)
    found = {
        "command": about.pop("command", None),
        "date": about.pop("date", None),
        "platform": about.pop("platform", None),
        "versions": versions if isinstance(versions, Mapping) else {},
    }
    hashes = {k: about.pop(k) for k in list(about) if "sha256" in k and isinstance(about[k], str)}
    return {**found, "settings": about, "hashes": hashes}


def _notes_of_map(one: Any) -> list[str]:
    """Return what is said of a map of saliency."""
    said = [str(one.scale), *map(str, one.said)]
    return [*said, *map(str, one.about.get("notes", ()))]


def _is_simulated(title: str, notes: Sequence[str]) -> bool:
    return "SIMULATED" in " ".join([title, *notes])


def _closed(figure: Any, title: str) -> bytes:
    """Return a figure as SVG, and close it."""
    from matplotlib import pyplot as plt

    try:
        return vector(figure, ".svg", title, {})
    finally:
        plt.close(figure)


EMPTY = Markup("")
