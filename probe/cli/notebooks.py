"""``probe notebooks``: copy the tutorials to where they can be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from probe.errors import ProbeError


def notebooks(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to copy them.")] = Path(
        "probe-notebooks"
    ),
) -> None:
    """Copy the tutorials, as Jupyter notebooks, into a folder.

    A notebook that is there already and that you have changed is left as it is.

    \b
    Then:
      pip install 'cnn-probe[notebook]'
      jupyter lab probe-notebooks
    """  # noqa: D301
    from probe.assets.manifest import shipped_folder
    from probe.output.files import place_for, write_atomically

    tutorials = sorted(shipped_folder("notebooks").glob("*.ipynb"))
    changed = []
    with place_for(path) as folder:
        for tutorial in tutorials:
            copy, content = folder / tutorial.name, tutorial.read_bytes()
            if not copy.exists():
                try:
                    write_atomically(copy, content)
                except OSError as error:
                    raise ProbeError(f"cannot write {str(copy)!r}: {error.strerror}") from None
            elif copy.read_bytes() != content:
                changed.append(copy)
            typer.echo(f"{copy}  {_title(content)}")
    for copy in changed:
        typer.echo(
            f"probe: left {copy} as it is, since it differs from the tutorial; rename it for a "
            "fresh copy",
            err=True,
        )


def _title(notebook: bytes) -> str:
    """Return the heading of the first cell."""
    first = "".join(json.loads(notebook)["cells"][0]["source"])
    return first.partition("\n")[0].removeprefix("# ")
