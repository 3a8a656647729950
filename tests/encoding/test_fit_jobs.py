"""What the estimate of the time that is left expects of a fit."""

from dataclasses import dataclass

import pytest
from torch import nn

from probe import models
from probe.encoding.fit_jobs import FIT_MULTIPLY_ADDS, _extraction_share
from probe.models import Network


@dataclass
class OfNetwork:
    """A job, of which the network counts alone."""

    network: Network


def test_a_costly_network_takes_a_larger_share_and_more_layers_a_smaller_one():
    small, large = (models.load(name, "random") for name in ("squeezenet1_1", "alexnet"))
    of_small, of_large, of_layers = (
        _extraction_share([OfNetwork(network)] * n)
        for network, n in ((small, 1), (large, 1), (large, 4))
    )
    assert 0 < of_small < of_large < 1
    assert of_layers / (1 - of_layers) == pytest.approx(of_large / (1 - of_large) / 4)
    cost = models.measures(large).total_multiply_adds
    assert of_large == pytest.approx(cost / (cost + FIT_MULTIPLY_ADDS))


def test_a_module_of_the_users_own_is_not_run():
    class Counting(nn.Conv2d):
        n_calls = 0

        def forward(self, x):
            self.n_calls += 1
            return super().forward(x)

    module = Counting(3, 4, 3)
    network = Network.from_module(module)
    before = module.n_calls
    assert _extraction_share([OfNetwork(network)] * 2) == pytest.approx(1 / 3)
    assert module.n_calls == before
