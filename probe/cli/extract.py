"""``probe extract``: the activations of a network's layers for any pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.extraction_settings import NO_AUTOCAST, ExtractSettings

if TYPE_CHECKING:
    import pandas as pd
    from rich.text import Text

    from probe.activations import ActivationStore
    from probe.extraction import Plan


@with_settings(
    ExtractSettings,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    reduce={"autocompletion": complete.reducers},
    weights={"autocompletion": complete.weights},
    preprocessing={"type": str, "autocompletion": complete.preprocessing},
    root={"type": Path | None},
    folder={"type": Path | None},
)
def extract(
    model: options.Model,
    images: Annotated[
        str,
        typer.Option(
            "--images",
            "-i",
            help="A folder, a pattern in quotes ('stimuli/**/*.png'), a table (csv, tsv, parquet) "
            "with the columns stimulus_id and path, a zip archive; or a recording, for its stimuli "
            "(v4, sim-v4; see `probe datasets`).",
            autocompletion=complete.images,
        ),
    ],
    settings: ExtractSettings,
    autocast: Annotated[str | None, typer.Option(hidden=True)] = None,
    cluster: options.Cluster = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only report what it would take, and what is already stored."
        ),
    ] = False,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Extract the activations of a network's layers, for any pictures, once.

    They are stored on disk under a hash of everything that decides them, and never computed twice.
    After Ctrl-C, a crash or a full disk, the same command resumes where it stopped, and the bytes
    are those of a run that never stopped. `probe cache ls` lists the stores.

    With --cluster, blocks of pictures are tasks for its workers, which need the same version of
    this package and the same file system. The bytes are those of one process.

    \b
    Examples:
      probe extract --model resnet50 --images ~/stimuli
      probe extract -m resnet50 -i ~/stimuli --layers all --reduce srp:4096
      probe extract -m alexnet -i 'set/**/*.jpg' --layers conv3,fc6 --dtype float16
      probe extract -m vgg16 -i stimuli.csv --skip-bad --dry-run
      probe extract -m vgg16 -i stimuli.csv --root ~/stimuli

    \b
    From a laptop to a queue (cores, memory and walltime of a job: jobqueue.yaml of Dask):
      probe extract -m resnet50 -i images.zip --cluster local:4
      probe extract -m resnet50 -i images.zip --cluster tcp://HOST:8786
      probe extract -m resnet50 -i images.zip --cluster slurm:10
    """  # noqa: D301
    from probe import extraction
    from probe.cluster import connect

    if autocast is not None:
        precision = "float32" if autocast == NO_AUTOCAST else autocast
        settings = replace(settings, precision=precision)
    plan = extraction.plan(model, images, settings, accept_licence=accept_licence, cluster=cluster)
    with connect(cluster) as workers:
        plan = plan.on(workers)
        table = plan.table()
        if not dry_run:
            store = plan.run(cluster=workers)
    if dry_run:
        _announce(plan, table, as_json)
    else:
        _show(store, plan, table, as_json)


def _announce(plan: Plan, table: pd.DataFrame, as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.activations import cache
    from probe.cli import terminal

    of, n_bytes = plan.extraction, 1e9 * float(table["GB"].sum())
    there = plan.share_there(table)
    if as_json:
        record = {"key": of.path.name, "path": str(of.path), "n_stimuli": len(of.stimuli)}
        record |= dict(_order(of.stimuli.ids))
        record |= {"n_bytes": round(n_bytes), "there": there, "skipped": of.stimuli.skipped}
        record |= {"layers": table.to_dict("records")}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    facts = [
        ("kept", of.reducer.describe()),
        ("stored as", of.dtype),
        *_order(of.stimuli.ids),
        *cache.skipped(of.stimuli.skipped),
        (
            "takes",
            f"{terminal.size(n_bytes)}, {terminal.size(cache.free_bytes(of.folder))} are free",
        ),
        ("there", terminal.percent(there)),
    ]
    terminal.put(
        Text(plan.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(
            ["layer", "output", "neuroids", "there", "size"],
            [
                [layer, shape, f"{n:,}", terminal.percent(share), terminal.size(1e9 * gb)]
                for layer, shape, n, share, gb in table.itertuples(index=False)
            ],
            right=["output", "neuroids", "there", "size"],
            folds="layer",
        ),
        "",
        "Nothing was computed (--dry-run).",
    )


def _show(store: ActivationStore, plan: Plan, before: pd.DataFrame, as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.activations import cache
    from probe.cli import terminal

    names, left_out = list(before["layer"]), plan.extraction.stimuli.skipped
    summary = store.summary().set_index("layer").loc[names].reset_index()
    there = plan.share_there(before)
    if as_json:
        record = {"key": store.key, "path": str(store.path), "n_stimuli": store.n_stimuli}
        record |= {"n_bytes": round(1e9 * float(summary["GB"].sum())), "new": 1.0 - there}
        record |= dict(_order(store.stimulus_ids))
        record |= {"skipped": left_out, "about": store.about, "request": store.request}
        record |= {"layers": summary.to_dict("records")}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    new = {0.0: "all of it", 1.0: "nothing: all was there"}.get(there)
    facts = [
        *cache.facts(store),
        *_order(plan.extraction.stimuli.ids),
        *cache.skipped(left_out),
        ("new", new or f"{terminal.percent(1 - there)}; the rest was there"),
        ("on disk", f"{terminal.size(1e9 * summary['GB'].sum())} in {store.path}"),
    ]
    name = str(store.path)
    if plan.extraction.folder is None:
        name = cache.short(store)
    one, every = f'"{name}", "{names[-1]}")', f'"{name}")'
    width = max(len(one), len(every))
    terminal.put(
        Text(plan.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        _code(f"  probe.open_activations({one:<{width}}  # an xarray.DataArray"),
        _code(f"  probe.open_activations({every:<{width}}  # all, an xarray.DataTree"),
    )


def _order(ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the order of the pictures, where another program may sort their names otherwise."""
    from probe.formats.names import rivals

    pair = rivals(ids) if list(ids) == sorted(ids) else None
    if pair is None:
        return []
    return [("order", f"of text: {', '.join(ids[:3])}, …; {pair[0]} comes before {pair[1]}")]


def _code(line: str) -> Text:
    from rich.text import Text

    return Text(line, no_wrap=True, overflow="ignore")  # a line that can be copied
