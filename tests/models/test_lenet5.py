import pytest
import torch

from probe.models import lenet5, load
from probe.models.classic import RECIPES
from probe.models.lenet5 import EPOCHS, TABLE, Digits, RadialBasis, accuracy, digits, train


@pytest.fixture(scope="module")
def trained():
    """Not by the whole recipe, but enough to tell digits apart."""
    before = torch.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "__defaults__", (0, 4))
        network = load("lenet5")
    assert torch.equal(torch.get_rng_state(), before)
    return network


@pytest.fixture(scope="module", autouse=True)
def _own_folders(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_held_out_digits_are_told_right(trained):
    seen, held_out = digits()
    assert (len(seen.labels), len(held_out.labels)) == (1347, 450)
    assert accuracy(trained.module, held_out) >= 0.9


@pytest.mark.slow
def test_as_many_as_its_source_says():
    module = train(epochs=EPOCHS)
    assert round(100 * accuracy(module, digits()[1])) == 98
    assert "98 % of the other 450" in RECIPES["lenet5"].source


def test_trained_once(trained, monkeypatch):
    monkeypatch.setattr(lenet5, "LeNet5", None)  # would be built for training
    assert load("lenet5").weights.sha256 == trained.weights.sha256
    assert "scikit-learn's digits" in trained.weights.source


def test_a_seed_gives_the_same_weights_on_any_number_of_threads(monkeypatch):
    few = [Digits(*(each[:128] for each in part)) for part in digits()]
    monkeypatch.setattr(lenet5, "digits", lambda: few)
    before = torch.get_num_threads()
    try:
        once = train(3, epochs=1).state_dict()
        torch.set_num_threads(before + 3)
        again, other = (train(seed, epochs=1).state_dict() for seed in (3, 4))
        assert torch.get_num_threads() == before + 3
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["f6.sum.weight"], other["f6.sum.weight"])


def test_table_of_connections(trained):
    """Table I of the paper; with it, and without the fixed output, there are 60,000 parameters."""
    assert [len(maps) for maps in TABLE] == [3] * 6 + [4] * 9 + [6]
    assert all(sum(k in maps for maps in TABLE) == 10 for k in range(6))
    weight = trained.module.c3.sum.weight
    for k, maps in enumerate(TABLE):
        assert {j for j in range(6) if weight[k, j].any()} == set(maps)
    unconnected = 25 * sum(6 - len(maps) for maps in TABLE)
    children = trained.module.named_children()
    n = {name: sum(p.numel() for p in module.parameters()) for name, module in children}
    n["c3"] -= unconnected
    del n["pool"], n["output"]
    assert n == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert sum(n.values()) == 60_000


def test_output_is_minus_the_squared_distance():
    output = RadialBasis(84, 10)
    x = torch.randn(5, 84, generator=torch.Generator().manual_seed(0))
    codes = output.get_buffer("codes")
    torch.testing.assert_close(output(x), -torch.cdist(x, codes).square(), atol=1e-3, rtol=1e-5)
    assert set(codes.unique().tolist()) == {-1, 1}


def test_ink_is_white_on_black(trained):
    white, black = (
        trained.preprocessing.normalise(torch.full((3, 1, 1), v)).mean() for v in (1.0, 0.0)
    )
    assert (float(white), float(black)) == (pytest.approx(1.175), pytest.approx(-0.1))
