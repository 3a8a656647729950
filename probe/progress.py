"""Progress bars that look alike in a terminal, in a notebook and in a log file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from typing import Any


def someone_watches() -> bool:
    """Tell whether standard error is a terminal, or we run in a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    # Loaded is not running: other tools import IPython, too.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def track(
    iterable: Iterable[Any] | None = None,
    *,
    total: float | None = None,
    desc: str = "",
    unit: str = "it",
    progress: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Wrap an iterable in a tqdm bar on standard error.

    Parameters
    ----------
    iterable : iterable, optional
        Without one, the bar is moved by its ``update`` method.
    total : float, optional
        Number of steps, where the iterable does not know it.
    desc, unit : str
        What is being done, and what one step is called.
    progress : bool, optional
        Show the bar; by default when a person is watching.
    **kwargs
        Passed on to `tqdm`.
    """
    bar: Any
    if in_notebook() and importlib.util.find_spec("ipywidgets"):  # it warns where there is none
        from tqdm.notebook import tqdm as bar
    else:
        from tqdm import tqdm as bar

    show = someone_watches() if progress is None else progress
    return bar(iterable, total=total, desc=desc, unit=unit, disable=not show, leave=False, **kwargs)
