"""Programs in a process of their own, where nothing has been imported yet."""

import json
import os
import subprocess
import sys
from typing import NamedTuple


def in_a_new_process(code, **options):
    """Run a program to its good end, and return the words that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class Ended(NamedTuple):
    """What a command of `probe` left: exit code, standard output and error, heavy imports."""

    code: int
    out: str
    err: str
    imported: list[str]


_COMMANDS = """
import contextlib, io, json, sys
from probe.cli import main
commands, heavy = json.load(sys.stdin)
before, ended = set(), []
for command in commands:
    sys.argv = ["probe", *command]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                main()
            except SystemExit as end:
                code = end.code
    new = [name for name in heavy if name in sys.modules and name not in before]
    before |= set(new)
    ended.append((code, out.getvalue(), err.getvalue(), new))
json.dump(ended, sys.stdout)
"""


def commands_in_a_new_process(commands, heavy, **environment):
    """Run lines of `probe` one after the other in one new process: it starts once for all.

    What of `heavy` the command line itself imports is among that of the first command.
    """
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        input=json.dumps([[command.split() for command in commands], heavy]),
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    ended = map(Ended._make, json.loads(done.stdout))
    return dict(zip(commands, ended, strict=True))
