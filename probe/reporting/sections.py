"""From results to sections of a page."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import count as numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe.errors import ProbeError
from probe.output.provenance import provenance_of
from probe.output.text import corrected, count, number, share
from probe.output.vectors import vector
from probe.reporting import methods
from probe.reporting.parts import Figure, Section, Table, picture, table_of
from probe.reporting.references import Cited
from probe.reporting.svg import inline

if TYPE_CHECKING:
    from probe.comparison.result import RSAResult
    from probe.comparison.result_compare import Comparison
    from probe.comparison.result_map import RSAMap
    from probe.comparison.result_over_time import RSAOverTime
    from probe.encoding.map import Encodings
    from probe.encoding.over_time import EncodingOverTime
    from probe.encoding.result import Encoding
    from probe.output.drawable import Drawable
    from probe.output.summarised import Summarised

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

NOT_TOLD = ("layer", "progress", "batch_size", "device")
"""Settings of a method that its maps do not depend on, or that are told otherwise."""

NO_SETTINGS = ("remarks", "no_ceiling", "intervals")
"""What stands among the settings of a result, and is none."""

KINDS = {
    "Trust": "How far to trust a map",
    "Invariance": "Invariance",
    "FeatureFigure": "Features",
    "Superstimuli": "Superstimuli",
    "Visualisation": "Feature visualisation",
    "Atlas": "Atlas",
    "MappedFields": "Mapped receptive fields",
    "Comparison": "Comparison of RDMs",
    "SearchlightResult": "Searchlight",
    "Transfer": "Transfer",
    "Reliability": "Reliability",
}
"""What kinds of results are called."""


MADE: Mapping[str, tuple[str, Callable[..., list[str]], Callable[[Mapping[str, Any]], str]]] = {
    "dream": (
        "DeepDream", methods.of_dream,
        lambda about: str(about["settings"].get("target") or about["settings"].get("layers")),
    ),
    "style": (
        "Style", methods.of_style,
        lambda about: "in the style of " + ", ".join(str(one["name"]) for one in about["styles"]),
    ),
    "visualize": (
        "Feature visualisation", methods.of_visualisation,
        lambda about: ", ".join(map(str, about["targets"][:4])),
    ),
}  # fmt: skip
"""Pictures by the command that made them: kind, methods, and what they show."""


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

        Raises
        ------
        ProbeError
            If it is nothing of the kind.
        """
        makers: dict[str, Callable[[Any], Section]] = {
            "RSAMap": self._rsa_map,
            "RSAResult": self._rsa,
            "RSAOverTime": self._rsa_over_time,
            "Encodings": self._encodings,
            "Encoding": self._encoding,
            "EncodingOverTime": self._encoding_over_time,
            "Comparison": self._comparison,
            "Summarised": self._summarised,
            "Drawable": self._drawable,
        }
        # By name: to import all of them takes seconds, and PyTorch.
        for kind in type(result).__mro__:
            if kind.__module__.startswith("probe.") and kind.__name__ in makers:
                return makers[kind.__name__](result)
        raise ProbeError(
            f"a {type(result).__name__} cannot be reported: expected what probe.rsa or another "
            "function returned, or the name of a folder or a picture that a command wrote"
        )

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
            provenance=provenance_of_result(result.provenance, result.facts),
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
            verdict=f"The curve of {name} with {_marked(result)} rises highest: {result.symbol} "
            f"{number(best['score'])} at {best['latency']:g} ms after stimulus onset{within}.",
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
            provenance=provenance_of_result(result.provenance, result.facts),
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
            provenance=provenance_of_result(result.provenance, result.facts),
        )

    def _encoding_over_time(self, result: EncodingOverTime) -> Section:
        cited = Cited()
        best = result.peaks.iloc[int(result.peaks["score"].argmax())]
        return Section(
            "Encoding over time",
            result.title,
            simulated=result.simulated,
            verdict=f"The curve of {best['alias'] or best['layer']} with {_marked(result)} rises "
            f"highest: r {number(best['score'])} (median over sites) at {best['latency']:g} ms "
            "after stimulus onset.",
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
            provenance=provenance_of_result(result.provenance, result.facts),
        )

    def _encodings(self, result: Encodings) -> Section:
        parts = [self.of(one) for one in result]
        summary = result.summary()
        return Section(
            "Encoding, several fits",
            result.title,
            simulated=result.simulated,
            verdict=" ".join(
                f"{one.identity.model} predicts {_marked(one)} ({row['region']}) with r {row['r']}."
                for one, row in zip(result, summary.head(4).to_dict("records"), strict=False)
            ),
            notes=result.notes(),
            figures=self._figures(result),
            tables=_tables(
                (summary, "The fits", "table.csv", False),
                (result.pairs, "Networks against each other (two-sided)", "pairs.csv", True),
            ),
            parts=parts,
        )

    def _comparison(self, result: Comparison) -> Section:
        cited = Cited()
        simulated = _is_simulated("", result.notes())
        return Section(
            "Comparison of RDMs",
            result.title,
            simulated=simulated,
            verdict=_verdict_of_comparison(result, simulated),
            notes=result.notes(),
            facts=result.describe(),
            figures=self._figures(result),
            tables=_tables(
                (result.summary(), "Models", "table.csv", False),
                (result.by_subject, "Scores by subject", "result.json", True),
                (result.pairs, "Tests between models (two-sided)", "pairs.csv", True),
            ),
            methods=methods.of_comparison(result.to_dict(), cited),
            references=cited.all,
            provenance=provenance_of_result(result.provenance, {}),
        )

    def _summarised(self, result: Summarised) -> Section:
        """Return the section of any other result that has a table and notes."""
        provenance = dict(getattr(result, "provenance", None) or {})
        facts = getattr(result, "facts", None)
        facts = facts if isinstance(facts, Mapping) else {}
        notes, cited = result.notes(), Cited()
        to_dict = getattr(result, "to_dict", None)
        text = methods.of_plain(to_dict(), cited) if callable(to_dict) else []
        return Section(
            KINDS.get(type(result).__name__, type(result).__name__),
            result.title,
            simulated=_is_simulated(result.title, notes),
            notes=notes,
            figures=self._figures(result),
            tables=_tables((result.summary(), "Summary", "table.csv", False)),
            methods=text,
            references=cited.all,
            terms=methods.terms_of_plain(facts),
            provenance=provenance_of_result(provenance, facts),
        )

    def _drawable(self, result: Drawable) -> Section:
        """Return the section of what is one figure: its settings are in ``about``."""
        from matplotlib.axes import Axes

        about = dict(result.about)
        is_map = type(result).__name__ == "Saliency"
        # Of a map, with the picture and the scale beside it.
        drawn = result.plot("side") if is_map else result.plot()  # type: ignore[call-arg]
        figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
        svg = _closed(figure, result.title)
        name = f"f{next(self._numbers)}"
        kind, text, works, tables, more = self._described(result, about)
        return Section(
            kind,
            result.title,
            simulated=_is_simulated(result.title, text) or bool(about.get("simulated")),
            verdict=_verdict_of_figure(result),
            notes=more,
            figures=[Figure(inline(svg, name, result.title), "", "", result.title)],
            tables=tables,
            methods=text,
            references=works,
            terms=methods.terms_of_picture((about.get("maps") or [about])[0]) if text else (),
            provenance=_of_about(about) | _here_and_now(),
        )

    def _described(self, result: Drawable, about: Mapping[str, Any]) -> tuple[
        str, list[str], list[Any], list[Table], list[str]
    ]:  # fmt: skip
        """Return kind, methods, references, tables and notes of what is one figure."""
        cited = Cited()
        kind = type(result).__name__
        if kind in ("Saliency", "Saliencies"):
            maps = list(about.get("maps") or [about])
            each = list(result) if isinstance(result, Sequence) else [result]
            text = methods.of_saliency(maps, cited, [_used(one) for one in each])
            notes = [note for one in each for note in _notes_of_map(one)]
            return "Saliency", text, cited.all, [], list(dict.fromkeys(notes))
        if kind == "Tuning":
            compared = result.compare().dropna(subset=["distance"])  # type: ignore[attr-defined]
            sources = list(dict.fromkeys(compared["source"])) if len(compared) else []
            text = methods.of_tuning(about, sources, cited)
            tables = _tables(
                (_frame(result, "summary"), "Layers: medians over responding units", "", False),
                (compared, "Distance to published neurons", "", False),
                (_frame(result, "table"), "Units", "the .csv file", True),
            )
            return "Tuning", text, cited.all, tables, []
        text = []
        if kind == "Superstimuli":
            text = methods.of_superstimuli(about, cited)
        notes_of = getattr(result, "notes", None)
        notes = list(notes_of()) if callable(notes_of) else []
        tables = _tables(
            (_frame(result, "summary"), "Summary", "the .csv file", False),
            (_frame(result, "table"), "All values", "the .csv file", True),
        )
        return KINDS.get(kind, kind), text, cited.all, tables, notes

    def _figures(self, result: Summarised) -> list[Figure]:
        drawn = []
        for name, figure in result.figures().items():
            svg = figure(".svg")
            label = f"{CAPTIONS.get(name, '')} {result.title}".strip()
            unique = f"f{next(self._numbers)}"
            drawn.append(Figure(inline(svg, unique, label), "", CAPTIONS.get(name, ""), label))
        if not drawn and (png := result._png()) is not None:
            drawn.append(picture(png, "", result.title))
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
        made, notes = str(about.get("made", "")), []
        if made in MADE:
            kind, describe, what = MADE[made]
            text, target = describe(about, cited), what(about)
            notes = [f"The same picture again: probe {made} --from {shlex.quote(name)}"]
        title = f"{name}: {target}" if target else name
        if about.get("makers"):
            kind, text = "Superstimuli", methods.of_superstimuli(about, cited)
        return Section(
            kind,
            title,
            simulated=_is_simulated(str(dict(about)), []) or bool(about.get("simulated")),
            notes=notes,
            figures=[picture(png, "", title)],
            tables=list(extra),
            methods=text,
            references=cited.all,
            terms=methods.terms_of_picture((about.get("maps") or [about])[0]) if text else (),
            provenance=_of_about(about),
        )


def verdict_of_rsa(result: RSAResult) -> str:
    """Return which layer is most like the region, and how much, in a sentence or two."""
    rows, region = result.layers, result.facts["recording"]["region"]
    simulated = "the SIMULATED " if result.simulated else ""
    if doubt := result.no_relation():
        return doubt
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
    if alike := result.alike():
        text += f" {alike}"
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


def _marked(result: Any) -> str:
    """Return the name of a recording, marked if it was generated."""
    return f"{'SIMULATED ' if result.simulated else ''}{result.facts['recording']['name']}"


def _verdict_of_comparison(result: Comparison, simulated: bool) -> str:
    """Return which model is most like the data; that none is, where none scores above zero."""
    from probe.comparison.result import ALPHA

    column, heading = corrected("p_zero", "fdr")
    p = result.table[column].to_numpy(dtype=float)
    if np.isfinite(p).any() and np.nanmin(p) >= ALPHA:
        which = "No model scores" if len(p) > 1 else f"{result.models.labels[0]} does not score"
        return f"{which} above zero: {heading} ≥ {number(np.nanmin(p))}."
    best = result.summary().iloc[0]
    return (
        f"{best['model']} is most like the {'SIMULATED ' if simulated else ''}data: "
        f"{result.symbol} {best['score']}."
    )


def _verdict_of_map(result: RSAMap) -> str:
    sentences = []
    for one in list(result.results)[:6]:
        recording, model = one.facts["recording"], one.facts["model"]["name"]
        region = " ".join(dict.fromkeys((recording["name"], recording["region"])))
        region = f"{'SIMULATED ' if one.simulated else ''}{region}"
        if doubt := one.no_relation():
            sentences.append(f"{model} and {region}: {doubt[:1].lower()}{doubt[1:]}")
        elif one.choice is not None:
            alias = one.layers.set_index("layer")["alias"][one.choice.layer]
            sentences.append(
                f"{model} is most like {region} at {alias or one.choice.layer} "
                f"({one.symbol} {number(one.choice.score)})."
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


def provenance_of_result(provenance: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
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
            settings |= {k: v for k, v in part.items() if k not in (*NO_SETTINGS, *settings)}
    versions = dict(provenance.get("versions") or {})
    return {**provenance, "settings": settings, "versions": versions, "hashes": hashes}


def _here_and_now() -> dict[str, Any]:
    """Return command, date and platform of what is in memory: it has been made just now."""
    made = provenance_of({}, ())
    return {name: made[name] for name in ("command", "date", "platform")}


def _of_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a picture as a provenance."""
    about = _of_all_maps(list(about["maps"])) if about.get("maps") else dict(about)
    versions = about.pop("versions", None)
    made = {
        "command": about.pop("command", None),
        "date": about.pop("date", None),
        "platform": about.pop("platform", None),
        "versions": versions if isinstance(versions, Mapping) else {},
    }
    hashes = {
        k.removesuffix("_sha256").replace("_", " "): about.pop(k)
        for k in list(about)
        if "sha256" in k and isinstance(about[k], str)
    }
    if isinstance(about.get("settings"), Mapping):  # a row for each
        about |= {**about.pop("settings"), **about}
    return {**made, "settings": about, "hashes": hashes}


def _of_all_maps(maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what holds for all maps of a sheet, and then what each has for itself."""
    first = maps[0]
    common = {k: v for k, v in first.items() if all(one.get(k) == v for one in maps)}
    return common | {
        f"map {k}": {name: value for name, value in one.items() if name not in common}
        for k, one in enumerate(maps, 1)
    }


def _verdict_of_figure(result: Any) -> str:
    """Return what a map or a measurement of tuning says, in a sentence; empty of others."""
    kind = type(result).__name__
    if kind == "Saliency":
        sees = ", ".join(f"{label} {share:.0%}" for label, share in result.top[:3])
        text = f"The target, {result.target}, has the value {result.value:.4g} for this picture."
        return f"{text} The network sees {sees}." if sees else text
    if kind != "Tuning" or "responding" not in result.summary:
        return ""
    sentences = [
        f"{row['alias'] or row['layer']}: {int(row['responding'])} of {int(row['units'])} respond, "
        f"of which {row['oriented']:.0%} are oriented and {row['simple']:.0%} simple (F1/F0 > 1)."
        for row in result.summary.head(4).to_dict("records")
        if row["responding"]
    ]
    return " ".join(sentences)


def _used(one: Any) -> dict[str, Any]:
    """Return all settings that a map's method had, with defaults that were not changed."""
    parameters = inspect.signature(one.method.function).parameters.values()
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in NOT_TOLD
    }
    chosen = {name: value for name, value in one.given.items() if name not in NOT_TOLD}
    return {
        name.replace("_", " "): value
        for name, value in {**defaults, **chosen, **dict(one.about.get("settings") or {})}.items()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool)
    }


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


def _frame(result: Any, name: str) -> pd.DataFrame:
    """Return a table of a result, whether it is an attribute or a method; empty without."""
    value = getattr(result, name, None)
    value = value() if callable(value) else value
    return value if isinstance(value, pd.DataFrame) else pd.DataFrame()
