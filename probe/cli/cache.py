"""``probe cache``: the activations that were computed: list, look into, check, make room."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete
from probe.errors import ProbeError

if TYPE_CHECKING:
    from datetime import datetime

    from probe.activations.cache import Entry, Removal

VERSIONS = ("probe", "torch", "torchvision", "pillow")

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List, inspect, check and remove stored activations.\n\n"
    "A store holds activations of layers of one network for one stimulus set, reduced in one way. "
    "It is named by the beginning of its key, which `probe cache ls` prints.",
)

Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of the stores.", show_default="the cache's"),
]
Key = Annotated[
    str,
    typer.Argument(help="Beginning of a key, or a store's path.", autocompletion=complete.stores),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...",
        help="Beginnings of keys.",
        autocompletion=complete.stores,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _cache(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("where")
def where(folder: Folder = None) -> None:
    """Print the folder of the stores, and how much space is left.

    PROBE_CACHE moves the cache to a larger disk.
    """
    from probe.activations import cache
    from probe.cli import terminal

    moved = "" if folder else "  (PROBE_CACHE)"
    terminal.put(
        f"folder  {cache.root(folder)}{moved}",
        f"free    {terminal.size(cache.free_bytes(folder))}",
    )


@app.command("ls")
def ls(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the stores, the most recently used first.

    The column of layers says how many there are, and of an incomplete store, what share of the
    stimuli it holds: the same `probe extract` completes it.
    """
    from datetime import UTC, datetime

    from rich.text import Text

    from probe.activations import cache
    from probe.cli import terminal

    entries = cache.entries(folder)
    if as_json:
        typer.echo(json.dumps([_plain(entry) for entry in entries], indent=2, ensure_ascii=False))
        return
    listed = [entry for entry in entries if entry.state != "old"]
    old = [entry for entry in entries if entry.state == "old"]
    torn = [r for r in cache.leftovers(folder) if r.kind == cache.TORN and not r.held]
    lines = []
    for things, what in ((old, "outdated store"), (torn, cache.TORN)):
        if things:
            n_bytes = sum(thing.n_bytes for thing in things)
            lines.append(
                f"{terminal.count(len(things), what)}, {terminal.size(n_bytes)}: "
                "probe cache prune --old-format"
            )
    total = sum(entry.n_bytes for entry in entries)
    if folder is None:
        n_rdms, n_bytes = cache.rdms()
        lines.append(f"{terminal.count(n_rdms, 'RDM')} of layers, {terminal.size(n_bytes)}")
        total += n_bytes
    lines.append(f"{terminal.size(total)} in all, {terminal.size(cache.free_bytes(folder))} free")
    short, now = cache.shown(entry.key for entry in entries), datetime.now(UTC)
    table = terminal.table(
        ["key", "network", "stimuli", "layers", "kept", "size", "unused"],
        [_row(entry, short[entry.key], now) for entry in listed],
        right=["layers", "size", "unused"],
        folds=["network", "stimuli", "kept"],
    )
    put = [table if listed else Text(f"No activations in {cache.root(folder)}.")]
    terminal.put(*put, "", *(Text(line) for line in lines))


@app.command("show")
def show_one(key: Key, folder: Folder = None, as_json: AsJson = False) -> None:
    """Show one store, layer by layer."""
    from rich.padding import Padding
    from rich.text import Text

    from probe.activations import ActivationStore, cache
    from probe.cli import terminal

    store = ActivationStore(cache.find(key, folder))
    summary = store.summary()
    if as_json:
        record = {"key": store.key, "path": str(store.path), "n_stimuli": store.n_stimuli}
        record |= {"layers": summary.to_dict("records"), "about": store.about}
        typer.echo(json.dumps(record | {"request": store.request}, indent=2, ensure_ascii=False))
        return
    facts = [
        ("key", store.key),
        *cache.facts(store),
        *cache.skipped(store.about["skipped"]),
        ("versions", ", ".join(f"{name} {store.request[name]}" for name in VERSIONS)),
        ("begun", str(store.about["created"])),
        ("on disk", f"{terminal.size(store.n_bytes())} in {store.path}"),
    ]
    terminal.put(
        Text(
            cache.title(store.about["model"], store.about["stimuli"], store.n_stimuli, len(store)),
            style="bold",
        ),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(
            ["layer", "output", "neuroids", "complete", "size"],
            [
                [layer, shape, f"{n:,}", terminal.percent(share), terminal.size(1e9 * gb)]
                for layer, shape, n, share, gb in summary.itertuples(index=False)
            ],
            right=["output", "neuroids", "complete", "size"],
            folds="layer",
        ),
    )


@app.command("verify")
def verify(
    keys: Keys = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Remove damaged files; `probe extract` then computes only those again."
        ),
    ] = False,
    folder: Folder = None,
) -> None:
    """Read every file of the named stores (by default, of all), and compare it with its checksums.

    Damaged files are listed. Exit code 1 means that some of them were not repaired, 2 bad input.

    \b
    Examples:
      probe cache verify
      probe cache verify 3f9a12cd --repair
    """  # noqa: D301
    from probe.activations import cache
    from probe.cli import terminal

    damage, n_files, n_bytes = cache.verify(keys or (), repair=repair, folder=folder)
    if not damage:
        typer.echo(
            f"{terminal.count(n_files, 'file')}, {terminal.size(n_bytes)}: all as they were written"
        )
        return
    for what in damage:
        where = f"layer {what.layer}: {what.path} " if what.layer else ""
        typer.echo(f"{where}{what.reason}{' (removed)' if what.repaired else ''}")
    left = [what for what in damage if not what.repaired]
    typer.echo(
        f"{len(damage)} damaged of {terminal.count(n_files, 'file')}, {terminal.size(n_bytes)}; "
        + (f"{len(damage) - len(left)} removed" if repair else "--repair removes what is damaged")
        + ": the same probe extract computes just that again"
    )
    if left:
        raise typer.Exit(1)


@app.command("prune")
def prune(
    keys: Keys = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Remove only stores that have not been used for this long: 12h, 30d, 8w.",
            show_default=False,
        ),
    ] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Remove stores that are incomplete or damaged.")
    ] = False,
    old_format: Annotated[
        bool,
        typer.Option(
            "--old-format",
            help="Remove stores of earlier versions of probe, leftovers of killed processes, and "
            "unused lock files.",
        ),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Remove all stores, and everything that --old-format removes."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would be removed.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Remove, after confirmation, the stores named by their keys or by an option.

    Stores that a process is writing are kept, and so are RDMs, which are small.

    \b
    Examples:
      probe cache prune 3f9a12cd
      probe cache prune --older-than 30d
      probe cache prune --incomplete --older-than 8w --dry-run
      probe cache prune --old-format --yes
    """  # noqa: D301
    from datetime import UTC, datetime

    from probe.activations import cache
    from probe.cli import terminal

    if not (keys or older_than or incomplete or old_format or everything):
        raise ProbeError(
            "nothing was named: give keys (probe cache ls prints them), --older-than 30d, "
            "--incomplete, --old-format or --all"
        )
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ProbeError(
            "nothing was removed, as there is no terminal to ask in: add --yes, or --dry-run"
        )
    removals = cache.removable(
        keys or (), incomplete=incomplete, old_format=old_format, everything=everything,
        older_than=older_than, folder=folder,
    )  # fmt: skip
    now = datetime.now(UTC)
    stores = [removal for removal in removals if removal.kind == cache.STORE]
    short = cache.shown(removal.path.name for removal in stores)
    for removal in stores:
        stays = "; stays, since a process is writing it" if removal.held else ""
        typer.echo(
            f"{short[removal.path.name]}  {removal.what}, {terminal.size(removal.n_bytes)}, "
            f"unused for {_since(removal.used, now)}{stays}"
        )
    free = [removal for removal in removals if not removal.held]
    if not free:
        typer.echo("Nothing to remove.")
    elif dry_run:
        typer.echo(f"Would remove {_sum(free)}.")
    elif yes or typer.confirm(f"Remove {_sum(free)}?"):
        typer.echo(f"Removed {_sum(cache.remove(free))}.")
    else:
        typer.echo("Nothing was removed.")


def _row(entry: Entry, key: str, now: datetime) -> list[str]:
    from probe.activations import cache
    from probe.cli import terminal

    if entry.state in cache.UNREAD:
        what = cache.UNREAD[entry.state]
        return [key, what, "", "", "", terminal.size(entry.n_bytes), _since(entry.used, now)]
    reduction = "all" if entry.reducer == "none" else entry.reducer
    share = "" if entry.state == "complete" else f" ({terminal.percent(entry.share)})"
    return [
        key,
        entry.model if entry.weights == "imagenet" else f"{entry.model} ({entry.weights})",
        f"{entry.stimuli} ({entry.n_stimuli:,})",
        f"{len(entry.layers)}{share}",
        f"{reduction} {entry.dtype}",
        terminal.size(entry.n_bytes),
        _since(entry.used, now),
    ]


def _plain(entry: Entry) -> dict[str, Any]:
    """Return a store's line as plain values."""
    values = asdict(entry) | {"key": entry.key, "share": entry.share}
    return values | {"path": str(entry.path), "used": entry.used.isoformat(timespec="seconds")}


def _sum(removals: Sequence[Removal]) -> str:
    """Count what is removed, by kind, and its bytes."""
    from probe.activations import cache
    from probe.cli import terminal

    counts = {kind: sum(r.kind == kind for r in removals) for kind in cache.KINDS}
    parts = [terminal.count(n, kind) for kind, n in counts.items() if n] or ["nothing"]
    return f"{', '.join(parts)}: {terminal.size(sum(r.n_bytes for r in removals))}"


def _since(then: datetime, now: datetime) -> str:
    seconds = (now - then).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds // 60))} min"
