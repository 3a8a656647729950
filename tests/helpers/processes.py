"""Programs in a process of their own, where nothing has been imported yet."""

import subprocess
import sys


def in_a_new_process(code, **options):
    """Run a program to its good end, and return the words that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
