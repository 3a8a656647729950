#!/usr/bin/env bash
# Package: torch 2.14.1 (CPU), in a process that was forked (multiprocessing's way on Linux before
#   Python 3.14), once its parent has computed with several threads.
# Expected: in a forked process too, several Python threads can each copy into a tensor, as the
#   threads of a data loader do.
# Seen: if they do so at the same moment and are the first to use torch there, some end in
#   "RuntimeError: pool INTERNAL ASSERT FAILED … Invalid thread pool!": here in about half of
#   400 forked processes. If the forked process first calls
#   torch.set_num_threads(torch.get_num_threads()), in none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$folder"
cat > forks.py <<'PY'
import os
import sys
import threading

import torch

torch.set_num_threads(2)
torch.nn.Conv2d(3, 64, 11)(torch.ones(4, 3, 224, 224))


def work_in_threads() -> None:
    if "number set first" in sys.argv:
        torch.set_num_threads(torch.get_num_threads())
    start, errors = threading.Barrier(8), []

    def copy() -> None:
        start.wait()
        try:
            torch.empty(4, 3, 224, 224)[1] = torch.ones(3, 224, 224)
        except RuntimeError as error:
            assert "Invalid thread pool!" in str(error), error
            errors.append(error)

    threads = [threading.Thread(target=copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(1 if errors else 0)


n_failed = 0
for _ in range(400):
    process = os.fork()
    if process == 0:
        work_in_threads()
    n_failed += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
print(n_failed)
PY
export PYTHONWARNINGS=ignore OMP_NUM_THREADS=2
plain=$("$folder/venv/bin/python" forks.py)
first=$("$folder/venv/bin/python" forks.py "number set first")
echo "of 400 forked processes whose threads copy into tensors at once: $plain failed;"
echo "of 400 that set the number of threads first: $first failed"
[ "$plain" -gt 0 ] && [ "$first" -eq 0 ]
