"""Reading ahead, in processes of every kind. What is computed is tested with `test_extract`."""

import os

import pytest
from processes import in_a_new_process

FORKS = """
import os, threading, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
from probe import models
from probe.activations.engine import read_ahead
from probe.stimuli import StimulusSet
pictures = [np.full((64, 64, 3), k, np.uint8) for k in range(16)]
stimuli = StimulusSet([f"p{k}" for k in range(16)], pictures, "grey")
network = models.load("squeezenet1_1", "random")
torch.set_num_threads(2)
torch.nn.Conv2d(3, 64, 11)(torch.ones(4, 3, 224, 224))
n_failed = 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        try:
            list(read_ahead(network, stimuli, iter([range(16)]), pin=False, stop=threading.Event()))
        except RuntimeError:
            os._exit(1)
        os._exit(0)
    n_failed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
print(n_failed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked here")
def test_pictures_are_read_in_a_process_that_was_forked():
    """See findings/torch-threads-after-fork.sh: of torch 2.14.1, half of them failed."""
    assert in_a_new_process(FORKS, env=os.environ | {"PROBE_THREADS": "8"}) == ["0"]
