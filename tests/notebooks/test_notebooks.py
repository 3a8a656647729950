"""Every tutorial runs from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from probe.models import Network

pytestmark = pytest.mark.skipif(find_spec("nbclient") is None, reason="nbclient is not installed")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
REAL_ONLY = ("v4_neurons",)
"""Those of published files, for which nothing that is simulated can stand in."""

QUICK = {
    "inference": "sizes, n_resamples = (20, 30), 10",
    "own_recording": "n_stimuli, n_repetitions, n_neurons, n_resamples = 20, 4, 8, 10",
    "pictures": "size, steps = 64, 2",
    "tuning": 'layers, stimuli = "conv1", "gratings"',
    "explain": "",
    "rsa": """
import probe
v4, v1 = (probe.recordings.load(name).select(stimuli=range(20)) for name in (v4, v1))
layers, n_resamples = "conv1,conv2", 10
""",
    "sites": """
import os, numpy as np, probe
from pathlib import Path
few = probe.recordings.load("sim-v4", subject="sim-1").select(
    stimuli=range(40), neuroids=range(8)
)
folder = Path(os.environ["PROBE_CACHE"]).parent / "few"
(folder / "images").mkdir(parents=True)
responses = few.data["responses"].transpose("stimulus", "repetition", "neuroid")
np.save(folder / "responses.npy", responses.values)
for k in range(40):
    few.stimuli.image(k).save(folder / "images" / f"p{k:02d}.png")
dataset, n_resamples, steps, stride = str(folder), 10, 2, 40
""",
}
"""What takes the place of a notebook's parameters, where only whether it runs is the question."""


SMALL = """
%reset -f -s
import probe
from probe.models import network
network.for_network = lambda *_: probe.models.Preprocessing("resize", (64, 64))
"""
"""Comes before them: of a notebook before, nothing is left, and networks see small pictures."""


def run(path: Path, quick: bool, kernel: Any = None) -> None:
    """Run a notebook, and look at what it shows."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    if quick:
        (parameters,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
        parameters.source += "\n" + QUICK[path.stem]
        notebook.cells.insert(0, nbformat.v4.new_code_cell(SMALL))
    NotebookClient(notebook, timeout=600, kernel_name="python3", km=kernel).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    shown = [out.get("data", {}) for out in outputs]
    assert any(
        "image/png" in data or "data:image/png" in data.get("text/html", "") for data in shown
    ), "no figure was shown"
    assert not [out for out in outputs if out.get("name") == "stderr" and "Warning" in out["text"]]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """One process in which notebooks run one after the other: importing torch takes seconds."""
    import nbformat
    from jupyter_core.utils import run_sync
    from nbclient import NotebookClient

    client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3")
    manager = client.create_kernel_manager()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # it would keep figures out of the notebook
        run_sync(manager.start_kernel)()
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


@pytest.fixture
def _its_files(
    path: Path, load_trained: Callable[[str], Network], request: pytest.FixtureRequest
) -> None:
    """Skip where a network or a recording is out of reach."""
    if path.stem in REAL_ONLY:
        request.getfixturevalue("mirror")
    load_trained({"explain": "squeezenet1_1", "pictures": "vgg16"}.get(path.stem, "alexnet"))


@pytest.mark.usefixtures("_its_files")
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem in QUICK], ids=lambda p: p.stem)
def test_notebook_runs_with_little_effort(path: Path, kernel: Any) -> None:
    run(path, quick=True, kernel=kernel)


@pytest.mark.slow
@pytest.mark.usefixtures("_its_files")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)
    run(path, quick=False)
