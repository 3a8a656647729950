"""The command line: parse, call the library, show. One file per command; no science here.

Nothing in this package imports torch, xarray or pandas before a command runs, so that ``--help``
and tab completion answer at once.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, TyperException

from probe import __version__, progress
from probe.cli import (
    assets,
    atlas,
    cache,
    compare,
    concepts,
    datasets,
    dream,
    encode,
    extract,
    filters,
    invariance,
    layers,
    loading,
    models,
    notebooks,
    reliability,
    report,
    rsa,
    saliency,
    searchlight,
    studio,
    style,
    transfer,
    tuning,
    visualize,
)
from probe.cli.command import Command
from probe.errors import ProbeError

_COMMANDS = {
    function.__name__: function
    for function in (
        rsa.rsa,
        encode.encode,
        searchlight.searchlight,
        reliability.reliability,
        compare.compare,
        extract.extract,
        saliency.saliency,
        concepts.concepts,
        visualize.visualize,
        atlas.atlas,
        dream.dream,
        style.style,
        studio.studio,
        filters.filters,
        layers.layers,
        invariance.invariance,
        transfer.transfer,
        tuning.tuning,
        models.models,
        notebooks.notebooks,
        report.report,
    )
}
_GROUPS = {"datasets": datasets.app, "cache": cache.app, "assets": assets.app}
for _group in _GROUPS.values():
    for _registered in _group.registered_commands:
        _registered.cls = Command


def _app(name: str | None = None) -> typer.Typer:
    """Return the command line with all commands, or, at a third of the time, with one of them."""
    app = typer.Typer(
        name="probe",
        invoke_without_command=True,
        rich_markup_mode=None,  # its tables leave a narrow terminal no room for the texts
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Ask how like a visual area each layer of a network is.\n\n"
        "Start with:  probe rsa --model alexnet --dataset sim-v4\n\n"
        "Recorded sites as targets:  probe encode --model alexnet --dataset v4\n\n"
        "Activations of your own pictures:  probe extract --model alexnet --images FOLDER\n\n"
        "Pictures for artists:  probe dream photo.jpg, or all of it in a browser:  probe studio",
        epilog="Files are cached; `probe assets where` and `probe cache where` print the folders. "
        "PROBE_CACHE moves the cache, PROBE_MIRROR names a folder of files that you already have, "
        "and PROBE_MANIFESTS a folder of manifests of your own.",
    )
    app.callback()(_probe)
    is_known = name in _COMMANDS or name in _GROUPS
    for command, function in _COMMANDS.items():
        if not is_known or command == name:
            app.command(command, cls=Command)(function)
    for command, group in _GROUPS.items():
        if not is_known or command == name:
            app.add_typer(group, name=command)
    return app


def _version(show: bool) -> None:
    if show:
        typer.echo(f"probe {__version__}")
        raise typer.Exit


def _probe(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app = _app()


def main() -> None:
    """Run the command line.

    Bad input ends in one line on standard error and exit code 2, Ctrl-C in exit code 130, SIGTERM
    (a queue that wants its machine back) in 143.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe may know fewer characters than we use
            stream.reconfigure(errors="replace")
    loading.prepare()
    progress.announce(True)
    before = _end_on_sigterm()
    try:
        _check_threads()
        # Only the command whose name begins the line is built; help and completion need them all.
        code = _app(sys.argv[1] if len(sys.argv) > 1 else None)(standalone_mode=False)
    except ProbeError as error:
        code = _complain(str(error))
    except TyperException as error:
        code = _complain(error.format_message().rstrip(".") + _where_to_read(error))
    except Abort:
        code = 130
    except SystemExit as end:
        code = end.code
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    if code in (130, 143):
        # Writes that were under way are taken up next time; that they were is no news.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        typer.echo("Interrupted. What was finished is kept: the same command goes on.", err=True)
    sys.exit(code or 0)


def _check_threads() -> None:
    """Refuse a PROBE_THREADS that is no number before anything else is done."""
    from probe.similarity.threads import n_threads

    try:
        n_threads()
    except ValueError as error:
        raise ProbeError(str(error)) from None


def _end_on_sigterm() -> Any:
    """Make SIGTERM unwind what is under way, as Ctrl-C does; return the handler before."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        return None  # somebody else decides

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    return signal.signal(signal.SIGTERM, end)


def _where_to_read(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""


def _complain(message: str) -> int:
    typer.echo(f"probe: error: {' '.join(message.split())}", err=True)
    return 2
