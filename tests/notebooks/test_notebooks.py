"""Every tutorial runs from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
REAL_ONLY = ("v4_neurons",)
"""Those of published files, for which nothing that is simulated can stand in."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(
    path: Path, alexnet: object, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if path.stem in REAL_ONLY:
        request.getfixturevalue("mirror")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # it would keep figures out of the notebook
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    shown = [out.get("data", {}) for out in outputs]
    assert any(
        "image/png" in data or "data:image/png" in data.get("text/html", "") for data in shown
    ), "no figure was shown"
    assert not [out for out in outputs if out.get("name") == "stderr" and "Warning" in out["text"]]
