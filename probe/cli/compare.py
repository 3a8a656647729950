"""``probe compare``: compare RDMs that are in files."""

from __future__ import annotations

import functools
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import options
from probe.errors import ProbeError, suggest

if TYPE_CHECKING:
    from probe.inference import Evaluation
    from probe.similarity.rdm_set import RDMs

FILES = ("table.csv", "pairs.csv", "figure.png", "result.json")


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Files with RDMs (.npz, .npy, .mat, .csv, .tsv, .hdf5, .pkl): models first, the "
            "data last. Every RDM of the data is a subject, every RDM of the others a model.",
        ),
    ],
    comparator: options.Comparator = "auto",
    resample: options.Resample = "stimuli",
    n_resamples: options.NResamples = 1000,
    test: options.Test = "auto",
    correction: options.Correction = "fdr",
    common: Annotated[
        bool,
        typer.Option("--common", help="Leave out stimuli that are not in all files."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="results/compare-MODELS-DATA"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare RDMs that you already have: models with data.

    Prints a verdict per model and writes table.csv, pairs.csv (tests between models), result.json
    and figure.png.

    A file is what `probe rsa` or RDMs.save wrote, or one of another program: an .npz, .npy or
    MATLAB file with RDMs, square, (n, n) or (K, n, n), or condensed, (K, n(n-1)/2), beside which
    an .npz or .mat file may name the RDMs (labels) and the stimuli (stimulus_ids); a square or a
    long table, as pandas and R write it; what rsatoolbox saved.

    Stimuli are matched by name. Those of a file without names are taken to be in the order of the
    others, and the output says so; names that cannot be read are an error.

    With --cluster, the resamples are computed by its workers, to the same numbers: worth it where
    they take minutes.

    \b
    Examples:
      probe compare models.npz subjects.npz
      probe compare v1.npy v4.npy it.npy subjects.npz --comparator pearson
      probe compare results/rsa-alexnet-v4/rdms.npz results/rsa-alexnet-v4/recording.npz
      probe compare models.npz subjects.npz --resample both --test t --correction holm
      probe compare models.npz subjects.npz --n-resamples 100000 --cluster slurm:10
    """  # noqa: D301
    from probe import inference
    from probe.cluster import connect
    from probe.inference.evaluate import RESAMPLES, TESTS
    from probe.output.files import place_for, write_all
    from probe.progress import track
    from probe.similarity import COMPARATORS

    for what, given, known in (
        ("comparator", comparator, ("auto", *COMPARATORS)),
        ("resample", resample, (*RESAMPLES, "none")),
        ("test", test, TESTS),
        ("correction", correction, ("fdr", "holm", "none")),
    ):
        if given not in known:
            raise ProbeError(f"{what} {given!r} is unknown{suggest(given, known)}")
    models, data, matched, aliases, notes = _read(files, common)
    if comparator == "auto":
        comparator = "rho-a" if models.tied else "spearman"
        if models.tied:
            notes.append(
                f"Comparator rho-a, since the RDM of {models.tied[0]} has ties, which raise "
                "Spearman's."
            )
    place = output or _default_folder(files)
    with connect(cluster) as workers, place_for(place) as folder:
        replaced = (folder / "result.json").exists()
        try:
            found = inference.evaluate(
                models.distances,
                data.distances,
                comparator,
                resample=None if resample == "none" else resample,
                test=test,
                n_resamples=n_resamples,
                seed=seed,
                track=functools.partial(track, desc="resamples", unit="resample"),
                executor=workers,
            )
        except ValueError as error:
            raise ProbeError(_with_labels(str(error), models, data)) from None
        settings = {
            "comparator": comparator,
            "resample": found.resample,
            "test": found.test,
            "n_resamples": n_resamples,
            "seed": seed,
            "stimuli": matched,
        }
        record = _record(files, models, data, found, settings, notes)
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        contents = {
            "table.csv": found.table(models.labels).to_csv(index=False).encode(),
            "pairs.csv": found.pairs(models.labels).to_csv(index=False).encode(),
            "figure.png": _picture(found, models, data, aliases, comparator, correction),
            "result.json": f"{text}\n".encode(),
        }
        write_all(folder, contents)
    if as_json:
        typer.echo(text)
    else:
        verb = "replaced" if replaced else "wrote"
        _show(
            found,
            models,
            data,
            aliases,
            settings,
            correction,
            notes,
            [f"{verb} {folder / f}" for f in FILES],
        )


def _read(files: list[Path], common: bool) -> tuple[RDMs, RDMs, str, dict[str, str], list[str]]:
    """Read models and data, over the same stimuli.

    Returns
    -------
    models, data : RDMs
    matched : str
        How stimuli were matched.
    aliases : dict of str to str
        Short names of models that are layers.
    notes : list of str
        What else is to be known.
    """
    from probe.similarity.rdm_set import RDMs, match

    if len(files) < 2:
        raise ProbeError(
            f"one file, {str(files[0])!r}: name the models' files, and last the data's"
        )
    try:
        sets = [RDMs.load(file) for file in files]
    except ValueError as error:
        raise ProbeError(str(error)) from None
    notes = []
    nameless = [str(file) for file, one in zip(files, sets, strict=True) if not one.named]
    matched = "matched by name"
    if len(nameless) == len(files):
        matched = "matched by their order: no file names them"
    elif nameless:
        matched = f"matched by their order: {', '.join(nameless)} does not name them"
        if len(nameless) > 1:
            matched = matched.replace("does not", "do not")
        notes.append(f"Stimuli of {nameless[0]} have no names: taken to be in the same order.")
    try:
        over_same = match(sets, common=common)
    except ValueError as error:
        hint = "" if common or nameless else "; --common leaves out what is not in all files"
        raise ProbeError(f"the stimuli do not match: {error}{hint}") from None
    dropped = max(one.n_stimuli for one in sets) - over_same[0].n_stimuli
    if dropped:
        notes.append(f"Left out: up to {dropped} stimuli of a file that are not in all files.")
    *models, data = over_same
    labels = [label for one in models for label in one.labels]
    if len(set(labels)) < len(labels):
        models = [
            _relabelled(one, [f"{file.with_suffix('')}:{label}" for label in one.labels])
            for file, one in zip(files, models, strict=False)
        ]
    # Of networks that share an alias, as conv1, each layer goes by its path.
    known = [dict(zip(one.labels, _aliases(one), strict=True)) for one in models]
    shown = [alias for of_file in known for alias in of_file.values()]
    aliases = {label: alias for of_file in known for label, alias in of_file.items()}
    if len(set(shown)) < len(shown):
        aliases = {label: label for label in aliases}
    try:
        return RDMs.concatenate(models), data, matched, aliases, notes
    except ValueError as error:
        raise ProbeError(str(error)) from None


def _aliases(one: RDMs) -> list[str]:
    """Give what layers are called in plots, as `probe rsa` knows it; other labels are their own."""
    known = one.attrs.get("aliases")
    known = known if isinstance(known, dict) else {}
    return [str(known.get(label) or label) for label in one.labels]


def _relabelled(one: RDMs, labels: list[str]) -> RDMs:
    from dataclasses import replace

    return replace(one, labels=tuple(labels))


def _with_labels(message: str, models: RDMs, data: RDMs) -> str:
    """Call models and subjects in an error by their labels, not by their numbers."""
    labels = {"model": models.labels, "subject": data.labels}

    def label(match: re.Match[str]) -> str:
        what, number = match[1], int(match[2])
        return f"{what} {labels[what][number]!r}" if number < len(labels[what]) else match[0]

    return re.sub(r"\b(model|subject) (\d+)\b", label, message)


def _default_folder(files: list[Path]) -> Path:
    from probe.output.files import plain_name

    # A file's folder, too: several results have files of the same names.
    parts = [f"{p.parent.name}-{p.stem}" if p.parent.name else p.stem for p in files]
    return Path("results") / plain_name("compare", *parts)


def _record(
    files: list[Path],
    models: RDMs,
    data: RDMs,
    found: Evaluation,
    settings: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """Give everything as plain values."""
    import hashlib

    from probe.output.provenance import provenance_of
    from probe.output.text import plain

    return {
        "models": list(models.labels),
        "data": list(data.labels),
        "n_stimuli": models.n_stimuli,
        "comparison": settings,
        "ceiling": plain({"lower": found.ceiling[0], "upper": found.ceiling[1]}),
        "table": plain(found.table(models.labels).to_dict("records")),
        "pairs": plain(found.pairs(models.labels).to_dict("records")),
        "by_subject": plain(
            [
                {"model": model, "subject": subject, "score": found.scores[m, s]}
                for m, model in enumerate(models.labels)
                for s, subject in enumerate(data.labels)
            ]
        ),
        "notes": notes,
        "provenance": provenance_of(settings, ("numpy", "scipy", "numba"))
        | {"sha256": {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}},
    }


def _picture(
    found: Evaluation,
    models: RDMs,
    data: RDMs,
    aliases: dict[str, str],
    comparator: str,
    correction: str,
) -> bytes:
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}):  # no window is opened
        from matplotlib import pyplot as plt

        from probe.output.pictures import FIGURE_STYLE
        from probe.plots import plot_scores
        from probe.similarity import get_comparator

        ax = plot_scores(
            found,
            [aliases[label] for label in models.labels],
            correction=correction,
            ylabel=f"{get_comparator(comparator).symbol} with the data",
        )
        figure = ax.get_figure(root=True)
        assert figure is not None  # it lies in one
        buffer = io.BytesIO()
        with mpl.rc_context(FIGURE_STYLE):
            figure.savefig(buffer, format="png", metadata={"Title": _title(models, data)})
        plt.close(figure)
    return buffer.getvalue()


def _title(models: RDMs, data: RDMs) -> str:
    def counted(one: RDMs, what: str) -> str:
        return one.labels[0] if len(one) == 1 else f"{len(one)} {what}"

    return (
        f"{counted(models, 'models')} and {counted(data, 'subjects')}: {models.n_stimuli} stimuli"
    )


def _show(
    found: Evaluation,
    models: RDMs,
    data: RDMs,
    aliases: dict[str, str],
    settings: dict[str, Any],
    correction: str,
    notes: list[str],
    written: list[str],
) -> None:
    import numpy as np
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.output.text import corrected, number, p_value, share
    from probe.similarity import get_comparator

    table = found.table(models.labels).sort_values("score", ascending=False, kind="stable")
    column, heading = corrected("p_zero", correction)
    shown: dict[str, list[str]] = {
        "model": list(table["model"]),
    }
    if any(aliases[name] != name for name in table["model"]):
        named = [aliases[name] if aliases[name] != name else "" for name in table["model"]]
        shown["alias"] = named
    shown["score"] = [number(v) for v in table["score"]]
    if found.resample is not None:
        shown["95 % CI"] = [
            f"{number(a)} to {number(b)}"
            for a, b in zip(table["ci_low"], table["ci_high"], strict=True)
        ]
    shown["p"] = [p_value(v) for v in table["p_zero"]]
    if heading != "p":
        shown[heading] = [p_value(v) for v in table[column]]
    lower, upper = found.ceiling
    pairs = found.pairs(models.labels)
    p_pairs = pairs[corrected("p", correction)[0]]
    if np.isfinite([lower, upper]).all():
        shown["ceiling"] = [
            share(a, b)
            for a, b in zip(table["share_of_upper"], table["share_of_lower"], strict=True)
        ]
        notes = [f"Noise ceiling {number(lower)} to {number(upper)}.", *notes]
    else:
        notes = ["Noise ceiling unknown: one subject only.", *notes]
    if p_pairs.notna().any():
        name = "" if heading == "p" else f", {heading.removeprefix('p (').removesuffix(')')}"
        n = int((p_pairs < 0.05).sum())
        notes.insert(
            1, f"{n} of {len(pairs)} pairs of models differ (p < .05{name}); see pairs.csv."
        )
    names = ", ".join(data.labels) if len(data) <= 6 else f"{len(data)} subjects"
    facts = [
        ("data", names),
        ("stimuli", settings["stimuli"]),
        ("comparator", get_comparator(settings["comparator"]).symbol),
        ("resampled", f"{found.resample or 'nothing'}, test against zero: {found.test}"),
    ]
    show.put(
        Text(_title(models, data), style="bold"),
        Padding(show.facts(facts), (0, 0, 1, 2)),
        show.table(
            list(shown),
            list(zip(*shown.values(), strict=True)),
            right=[name for name in shown if name not in ("model", "alias")],
            folds="model",
            bold=0,
        ),
        "",
        *(Text(note) for note in notes),
        "",
        *(Text(line, style="dim") for line in written),
    )
