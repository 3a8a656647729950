"""Whoever waits for torch at a terminal is told so, and no garbage is looked for meanwhile."""

import os
import subprocess
import sys

import pytest

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
before = list(sys.meta_path)
from probe.cli import loading
loading.prepare()
import gc
import torch
assert not torch.COLLECTS and gc.isenabled() and gc.get_freeze_count() > 0
assert torch.VALUE == 1 and sys.meta_path == before
assert "exec_module" not in vars(torch.__spec__.loader)
sys.stderr.write("the next line\\n")
"""


@pytest.fixture
def slow_torch(tmp_path):
    def write(seconds):
        lines = (
            "import gc, time",
            f"time.sleep({seconds})",
            "COLLECTS = gc.isenabled()",
            "VALUE = 1",
        )
        (tmp_path / "torch.py").write_text("\n".join(lines))
        return tmp_path

    return write


def at_a_terminal(folder):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", CODE, folder], stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 1024):
                said += part
        except OSError:  # Linux says so that the other side has closed
            pass
    os.close(ours)
    assert process.returncode == 0, said
    return said


def test_it_is_gone_before_the_next_line(slow_torch):
    assert at_a_terminal(slow_torch(1.5)) == b"loading torch\r\x1b[Kthe next line\r\n"


def test_what_is_quick_is_not_said(slow_torch):
    assert at_a_terminal(slow_torch(0)) == b"the next line\r\n"


def test_nothing_in_a_pipe(slow_torch):
    command = [sys.executable, "-c", CODE, slow_torch(1)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b"the next line\n"
