"""``probe studio``: the commands on a page in the browser."""

from __future__ import annotations

import importlib.util
import os
import threading
from contextlib import suppress
from typing import Annotated

import typer

from probe.errors import ProbeError


def studio(
    host: Annotated[
        str,
        typer.Option(
            help="Address of the page. Anyone who can reach it can make pictures, and read the "
            "files that you can read; only this computer reaches 127.0.0.1."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the page.",
            show_default="the first free one from 7860 on",
        ),
    ] = None,
) -> None:
    """Open a page in the browser for pictures from networks, and for a recording of your own.

    It does what the commands do (dream, style, saliency, visualize, filters, atlas; rsa and encode
    on a recording that is dropped there), and shows the line that does the same in a shell. Nothing
    leaves this computer. What is made there is removed when you close the page, and what you
    dropped when the studio ends: download what you like. Ctrl-C ends it.

    \b
    Examples:
      probe studio
      probe studio --port 8080
    """  # noqa: D301
    if importlib.util.find_spec("gradio") is None:
        raise ProbeError("the studio needs gradio: pip install 'cnn-probe[app]'")
    # Before it is imported: it tells nobody that it is used, and asks nobody for a way to itself.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))

    from probe import cli
    from probe.studio.serve import launch

    def ready(address: str) -> None:
        typer.echo(f"The studio is at {address}  (Ctrl-C ends it)")

    with suppress(KeyboardInterrupt):
        launch(cli.app, cli.main, host=host, port=port, ready=ready, wait=threading.Event().wait)
