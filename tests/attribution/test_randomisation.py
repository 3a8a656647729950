"""The model-randomisation test: which layers, in which order, and what maps come to."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from probe import models
from probe.activations.capture import differentiable
from probe.attribution.maps import similarities
from probe.attribution.randomisation import randomisation_test
from probe.errors import ProbeError
from probe.targets import OUTPUT, Channel, Class, Function, gradient


def slope(module, images, target):
    x = images.detach().requires_grad_()
    (found,) = gradient(target(differentiable(module, x, target.layers)), [x], target)
    return found


def edges(module, images, target):
    """A method that knows nothing of the network."""
    return images - images.roll(1, -1)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


@pytest.fixture
def network():
    module = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3),
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        module[1].running_mean.copy_(random(4))
        module[1].weight.copy_(random(4, seed=1))
    return module


@pytest.fixture
def images():
    return random(2, 3, 14, 15)


class Recorder:
    """Notes which tensors of the network are others than at first."""

    def __init__(self):
        self.states = []

    def __call__(self, module, images, target):
        self.states.append({k: v.clone() for k, v in module.state_dict().items()})
        return slope(module, images, target)

    def changed(self):
        first = self.states[0]
        return [
            sorted({key.split(".")[0] for key in state if not torch.equal(state[key], first[key])})
            for state in self.states[1:]
        ]


def test_cascades_from_the_last_layer_and_draws_each_alone(network, images):
    recorder = Recorder()
    table = randomisation_test(recorder, network, images, Class(1))
    # Normalisation goes with its convolution, and forgets its statistics.
    assert recorder.changed() == [["7"], ["3", "7"], ["0", "1", "3", "7"], ["7"], ["3"], ["0", "1"]]
    assert recorder.states[3]["1.running_mean"].eq(0).all()
    # One layer has the same new weights, alone or with others.
    for alone, together, key in ((4, 1, "7.weight"), (5, 2, "3.bias"), (6, 3, "0.weight")):
        assert torch.equal(recorder.states[alone][key], recorder.states[together][key])
    assert list(table) == ["mode", "layer", "measure", "picture", "similarity"]
    order = table.drop_duplicates(["mode", "layer"])
    assert list(zip(order["mode"], order["layer"], strict=True)) == [
        (mode, layer) for mode in ("cascading", "independent") for layer in ("7", "3", "0")
    ]
    assert len(table) == 2 * 3 * 3 * 2


def test_maps_that_are_made_already_are_not_made_again(network, images):
    recorder = Recorder()
    made = slope(network, images, Class(1))
    table = randomisation_test(recorder, network, images, Class(1), maps=made)
    assert len(recorder.states) == 6
    assert table.equals(randomisation_test(slope, network, images, Class(1)))


def test_similarities_are_those_of_the_maps_of_each_picture(network, images):
    maps = []

    def kept(*given):
        maps.append(slope(*given))
        return maps[-1]

    table = randomisation_test(kept, network, images, Class(1))
    # Pictures do not mingle: each map is the one that it has alone.
    torch.testing.assert_close(maps[0], slope(network, images, Class(1)))
    shown = table.set_index(["mode", "layer", "measure", "picture"])["similarity"]
    pairs = table.drop_duplicates(["mode", "layer"])[["mode", "layer"]].itertuples(index=False)
    for found, (mode, layer) in zip(maps[1:], pairs, strict=True):
        for k in range(2):
            expected = similarities(maps[0][k].sum(0).numpy(), found[k].sum(0).numpy())
            for measure, value in expected.items():
                assert shown[mode, layer, measure, k] == pytest.approx(value)


def test_a_map_that_knows_nothing_of_the_network_stays_what_it_is(network, images):
    table = randomisation_test(edges, network, images, Class(0))
    np.testing.assert_allclose(table["similarity"], 1.0)


def test_the_gradient_of_a_deep_network_is_lost(images):
    network = models.load("squeezenet1_1", "random")
    images = random(1, 3, 64, 64)
    table = randomisation_test(slope, network.module, images, Class(3), n_layers=3)
    found = table[table["mode"] == "cascading"].groupby(["layer", "measure"], sort=False)
    last = found["similarity"].mean()["features.0"]
    assert abs(last["spearman"]) < 0.1
    assert last["spearman_abs"] < 0.6
    assert list(table["layer"].unique()) == ["classifier.1", "features.9.squeeze", "features.0"]


def test_a_seed_decides(network, images):
    one, two, other = (
        randomisation_test(slope, network, images, Class(0), seed=seed) for seed in (5, 5, 6)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not np.allclose(one["similarity"], other["similarity"])


def test_few_layers_are_spread_evenly_and_the_cascade_draws_those_between(images):
    network = seeded(lambda: nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(7))))
    recorder = Recorder()
    target = Function(lambda output: output.flatten(1).sum(1))
    randomisation_test(recorder, network, images, target, n_layers=3)
    assert recorder.changed() == [
        ["6"], ["3", "4", "5", "6"], list("0123456"), ["6"], ["3"], ["0"],
    ]  # fmt: skip


class Tangled(nn.Module):
    """Uses its layers in another order than it defines them, and one not at all."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([[2.0]]))
        self.last = nn.Linear(4, 3)
        self.unused = nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Conv2d(3, 4, 5, stride=5)

    def forward(self, x):
        tokens = self.first(x * self.scale).flatten(2).mT
        return self.last(self.attention(tokens, tokens, tokens)[0].mean(1))


def test_order_is_that_of_the_calls(images):
    network = seeded(Tangled)
    recorder = Recorder()
    table = randomisation_test(recorder, network, images, Class(0))
    assert list(table["layer"].unique()) == ["last", "attention", "first", "Tangled"]
    assert recorder.changed()[:4] == [
        ["last"],
        ["attention", "last"],
        ["attention", "first", "last"],
        # What is never called may belong to the network itself; that makes no difference.
        ["attention", "first", "last", "scale", "unused"],
    ]
    # A projection that torch uses without calling it goes with the attention.
    before, after = recorder.states[0], recorder.states[2]
    assert not torch.equal(before["attention.out_proj.weight"], after["attention.out_proj.weight"])
    # It has no way of its own to be initialised: as large as it was.
    ratio = after["attention.in_proj_weight"].std() / before["attention.in_proj_weight"].std()
    assert 0.6 < float(ratio) < 1.6


def test_layers_behind_the_target_do_not_count(network, images):
    table = randomisation_test(slope, network, images, Channel("3", 2))
    assert list(table["layer"].unique()) == ["3", "0"]


@pytest.mark.parametrize("seed", range(4))
def test_weights_behind_which_the_target_is_blind_are_drawn_again(images, seed):
    # A quarter of all draws gives an output that is zero for all pictures.
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 1, 14), nn.ReLU(), nn.Flatten()))
    with torch.no_grad():
        network[0].weight.copy_(images[:1, :, :, :14] + images[1:, :, :, :14])
    table = randomisation_test(slope, network, images, Function(lambda y: y.sum(1)), seed=seed)
    assert table["similarity"].notna().all()


@pytest.mark.parametrize("seed", range(3))
def test_a_cascade_through_a_deep_network_is_not_blind(seed):
    """SqueezeNet's class is behind a ReLU: in half of all networks it is zero for any picture."""
    network = models.load("squeezenet1_1", "random", seed=1)
    target = Class(seed)
    table = randomisation_test(
        slope, network.module, random(1, 3, 48, 48), target, n_layers=3, seed=seed
    )
    assert table["similarity"].notna().all()


def test_a_map_that_vanishes_is_like_nothing(network, images):
    def once(module, images, target, calls=iter(range(9))):  # noqa: B008
        return slope(module, images, target) * (next(calls) == 0)

    assert randomisation_test(once, network, images, Class(0))["similarity"].isna().all()


def test_nothing_of_the_users_changes(network, images):
    network.train()
    network[3].eval()
    network[0].weight.requires_grad_(False)
    seen = []
    network[3].register_forward_hook(lambda *_: seen.append(1))
    before, hooks = copy.deepcopy(network.state_dict()), dict(network[3]._forward_hooks)
    flags = [part.training for part in network.modules()]
    state = torch.get_rng_state()

    def untouched():
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
        assert dict(network[3]._forward_hooks) == hooks
        assert not any(len(p._forward_hooks) for p in network.modules() if p is not network[3])
        assert [part.training for part in network.modules()] == flags
        assert [p.requires_grad for p in network.parameters()] == [False] + [True] * 7
        assert all(p.grad is None for p in network.parameters())
        assert torch.equal(torch.get_rng_state(), state)
        assert not images.requires_grad

    randomisation_test(slope, network, images, Class(0))
    untouched()

    def fails(module, images, target, calls=iter(range(9))):  # noqa: B008
        if next(calls) == 2:
            raise ZeroDivisionError
        return slope(module, images, target)

    with pytest.raises(ZeroDivisionError):
        randomisation_test(fails, network, images, Class(0))
    untouched()


def test_what_cannot_be_done_is_told(network, images):
    with pytest.raises(ProbeError, match="n_layers 0: expected 1 or more"):
        randomisation_test(slope, network, images, Class(0), n_layers=0)
    with pytest.raises(ProbeError, match="no weights that could be drawn anew"):
        randomisation_test(slope, nn.Flatten(), images, Class(0, layers=(OUTPUT,)))
    network.kept = random(2).requires_grad_() * 2
    with pytest.raises(ProbeError, match="cannot be copied"):
        randomisation_test(slope, network, images, Class(0))
