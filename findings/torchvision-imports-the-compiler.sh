#!/usr/bin/env bash
# Package: torchvision 0.29.1 (torch 2.14.1), torchvision.ops.roi_align.
# Expected: `import torchvision` leaves torch's compiler alone: a docstring of that module says that
#   a helper there avoids importing dynamo eagerly (https://github.com/pytorch/vision/issues/8436).
# Seen: a line at the head of the same module imports torch._dynamo.utils, so that every process that
#   imports torchvision imports torch._dynamo and sympy, which takes longer than torchvision itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
import time

import torch

assert "torch._dynamo" not in sys.modules, "torch imports it by itself now"
start = time.process_time()
import torchvision

module = sys.modules["torchvision.ops.roi_align"]
seconds = time.process_time() - start
loaded = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
with open(module.__file__) as file:
    text = file.read()
promised = "eagerly importing dynamo" in text
print(f"import torchvision: {seconds:.1f} CPU s; loaded with it: {loaded}; said to be avoided: {promised}")
assert promised, "the docstring is another"
assert loaded == ["torch._dynamo", "sympy"], "torchvision leaves the compiler alone now"
PY
