"""``probe assets``: files that are not ours, in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List, fetch and add weights and recordings in the cache.",
)


@app.callback()
def _assets(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("where")
def where() -> None:
    """Print the cache folder and the mirror folders."""
    from probe import assets

    typer.echo(f"cache   {assets.cache_dir()}  (PROBE_CACHE)")
    for folder in assets.mirror_dirs():
        typer.echo(f"mirror  {folder}  (PROBE_MIRROR)")


@app.command("list")
def list_() -> None:
    """List the files in the cache."""
    from probe import assets
    from probe.cli.terminal import put, table

    put(
        table(
            ["file", "MB", "checked"],
            [
                [f"{f.collection}/{f.name}", f"{f.size / 1e6:.1f}", "yes" if f.verified else "no"]
                for f in assets.listing()
            ],
            right=["MB"],
            folds="file",
        )
    )


@app.command("add")
def add(
    files: Annotated[list[Path], typer.Argument(help="Files that you have downloaded elsewhere.")],
) -> None:
    """Copy your own files into the cache; each is recognised by its hash."""
    from probe import assets, models

    known_assets = [*assets.manifest_assets(), *models.known_assets()]
    for file in files:
        for path in assets.add(file, known_assets):
            typer.echo(f"{file} → {path}")


@app.command("fetch")
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(help="Models, datasets, or single files as COLLECTION/FILE."),
    ],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept a recording's restricted licence.")
    ] = False,
) -> None:
    """Fetch files now, for a machine that will be offline later.

    Example: probe assets fetch alexnet v4
    """
    from probe import assets, models, recordings
    from probe.errors import ProbeError, suggest
    from probe.models.registry import COMPACT

    files = {str(asset): asset for asset in (*assets.manifest_assets(), *models.known_assets())}
    listed = [(w, entry) for entry in recordings.available() for w in (entry.name, *entry.aliases)]
    simulated = [word for word, entry in listed if entry.simulated]
    datasets = [word for word, _ in listed]
    for name in names:
        if name in files:
            typer.echo(assets.fetch_asset(files[name], accept_licence=accept_licence))
        elif recordings.head_of(name) in simulated:
            recording = recordings.load(name, accept_licence=accept_licence)
            typer.echo(f"{name}: {recording.n_stimuli} stimuli, ready")
        elif recordings.head_of(name) in datasets:
            paths = recordings.fetch_files(name, accept_licence=accept_licence)
            typer.echo(f"{name}: {len(paths)} files, ready")
        elif name in models.names() or name.startswith(COMPACT):
            network = models.load(name, accept_licence=accept_licence)
            typer.echo(f"{name}: weights from {network.weights.source}, ready")
        else:
            known_names = [*models.names(), *datasets, *files]
            raise ProbeError(
                f"{name!r} is not a model, dataset or file{suggest(name, known_names)}"
            )
