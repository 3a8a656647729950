"""The page and the process behind it, from the first to the last moment."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from probe.errors import ProbeError
from probe.studio import uploads
from probe.studio.jobs import Jobs

WARM = (
    "torch",
    "probe.synthesis.dream",
    "probe.attribution",
    "probe.synthesis.style",
    "probe.synthesis.visualize",
    "probe.plots.maps",
)
"""What takes its time to be imported."""


def launch(
    app: typer.Typer,
    main: Callable[[], None],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    ready: Callable[[str], None],
    wait: Callable[[], object],
) -> None:
    """Serve the page while somebody wants it.

    Parameters
    ----------
    app : typer.Typer
        The command line, whose commands the page offers.
    main : callable
        That runs it; see `Jobs`.
    host : str
        Address at which the page is.
    port : int, optional
        By default the first free one from 7860 on.
    ready : callable
        Is told the page's address.
    wait : callable
        Returns, or raises, when the page is to end.

    Raises
    ------
    ProbeError
        If the address or the port cannot be had.
    """
    with _had(host, port), socket.socket() as trial:
        if os.name == "posix":  # a port that was in use a moment ago is free
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port or 0))
    with tempfile.TemporaryDirectory(
        prefix="probe-studio-", ignore_cleanup_errors=True
    ) as temporary:
        upload_folder, result_folder = Path(temporary) / "given", Path(temporary) / "made"
        upload_folder.mkdir()
        result_folder.mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(upload_folder)
        jobs = Jobs(main, WARM)  # first: its process imports its part while this one does the same
        try:
            from probe.studio import look, page

            studio = page.Studio(app, jobs, result_folder, upload_folder)
            with _had(host, port):
                _, address, _ = studio.page.queue(api_open=False).launch(
                    server_name=host,
                    server_port=port,
                    allowed_paths=[str(result_folder)],
                    max_file_size=uploads.MEGABYTES * 1_000_000,
                    prevent_thread_lock=True,
                    share=False,
                    ssr_mode=False,
                    pwa=False,
                    mcp_server=False,
                    enable_monitoring=False,
                    run_history=False,
                    footer_links=[],
                    quiet=True,
                    theme=look.theme(),
                    css=look.CSS,
                )
            ready(address.rstrip("/"))
            try:
                wait()
            finally:
                studio.page.close(verbose=False)
        finally:
            jobs.close()


@contextmanager
def _had(host: str, port: int | None) -> Iterator[None]:
    try:
        yield
    except OSError:
        where = f"port {port} of {host}" if port else host
        raise ProbeError(
            f"{where} cannot be opened: it is in use, or not an address of this computer; choose "
            "another --port or --host"
        ) from None
