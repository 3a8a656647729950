"""Reducers against NumPy, scikit-learn and what they say of themselves."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim
from torch import nn

from probe import models
from probe.activations import capture
from probe.activations.components import Components
from probe.activations.reduce import (
    FORMS,
    PCA,
    RandomUnits,
    Reducer,
    SparseProjection,
    SpatialMax,
    SpatialMean,
    Unreduced,
    from_key,
    johnson_lindenstrauss,
    parse,
)
from probe.errors import ProbeError
from probe.recordings import simulate_v1
from probe.similarity import rdm

SHAPES = [(6, 4, 5), (7, 12), (30,), (), (3, 2, 4, 5)]
LAYER = "features.3"


def outputs(n: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


def fitted(reducer: Reducer, *shapes: tuple[int, ...]) -> Reducer:
    """The reducer itself, or with components of a layer for each shape."""
    if not isinstance(reducer, PCA):
        return reducer
    return reducer.with_components({
        str(shape): reducer.fit(str(shape), outputs(reducer.n_fit, shape, 9).flatten(1).numpy()
                                if shape else outputs(reducer.n_fit, (1,), 9).numpy())
        for shape in shapes
    })  # fmt: skip


ALL = [parse(text, n_stimuli=600, seed=3) for text in FORMS] + [
    SparseProjection(11, 2),
    RandomUnits(9, 2),
    PCA(5, 8, 2),
]


class TestEveryReducer:
    @pytest.mark.parametrize("reducer", ALL, ids=lambda r: r.name)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_keeps_what_it_says(self, reducer: Reducer, shape: tuple[int, ...]) -> None:
        reducer = fitted(reducer, shape)
        x = outputs(3, shape)
        kept = x.clone()
        values = reducer.reduce(str(shape), x)
        assert values.shape == (3, reducer.n_neuroids(shape))
        assert values.dtype == torch.float32
        assert values.is_contiguous()
        torch.testing.assert_close(x, kept)
        coords = reducer.coords(str(shape), shape)
        assert all(c.shape == (values.shape[1],) for c in coords.values())
        assert all(np.issubdtype(c.dtype, np.integer) for c in coords.values())
        double = reducer.reduce(str(shape), x.double())
        torch.testing.assert_close(double, values)
        if len(shape) == 3:
            last = reducer.reduce(str(shape), x.contiguous(memory_format=torch.channels_last))
            torch.testing.assert_close(last, values, rtol=1e-6, atol=1e-6)
            assert last.is_contiguous()

    @pytest.mark.parametrize("reducer", ALL, ids=lambda r: r.name)
    def test_is_named_keyed_and_sent_to_other_processes(self, reducer: Reducer) -> None:
        assert parse(reducer.name, n_stimuli=10**6, seed=getattr(reducer, "seed", 0)) == reducer
        assert from_key(json.loads(json.dumps(reducer.key()))) == reducer
        assert "\n" not in reducer.describe()
        reducer = fitted(reducer, (6, 4, 5))
        x = outputs(2, (6, 4, 5))
        pickled = pickle.dumps(reducer)
        values = reducer.reduce("(6, 4, 5)", x)
        other = pickle.loads(pickled)
        assert other == reducer
        assert hash(other) == hash(reducer)
        torch.testing.assert_close(other.reduce("(6, 4, 5)", x), values, rtol=0, atol=0)
        size = len(pickle.dumps(reducer))
        assert size == len(pickled), "what was made for the batches went along"

    def test_keys_tell_apart_what_differs(self) -> None:
        keys = [json.dumps(r.key()) for r in ALL]
        keys += [json.dumps(r.key()) for r in (SparseProjection(11), PCA(5, 9, 2), PCA(5, 8))]
        assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize(
        "key", [{"reducer": "sums", "k": 3}, {"reducer": "srp", "sums": 3}, {"reducer": "pca"}, {}]
    )
    def test_keys_of_another_version(self, key: dict[str, object]) -> None:
        with pytest.raises(ProbeError, match="another version"):
            from_key(key)


class TestPlaces:
    @pytest.mark.parametrize("shape", [(6, 4, 5), (7, 12), (30,)])
    @pytest.mark.parametrize(
        "reducer", [Unreduced(), RandomUnits(9), RandomUnits(900), SparseProjection(900)]
    )
    def test_single_units_are_where_they_are_said_to_be(
        self, reducer: Reducer, shape: tuple[int, ...]
    ) -> None:
        x = outputs(4, shape)
        coords = reducer.coords(LAYER, shape)
        names = {3: ["channel", "y", "x"], 2: ["token", "channel"], 1: ["channel"]}[len(shape)]
        assert list(coords) == names
        np.testing.assert_array_equal(
            reducer.reduce(LAYER, x), x.numpy()[(slice(None), *coords.values())]
        )

    def test_units_of_more_axes_are_numbered(self) -> None:
        x, reducer = outputs(4, (3, 2, 4, 5)), RandomUnits(9)
        coords = reducer.coords(LAYER, (3, 2, 4, 5))
        np.testing.assert_array_equal(reducer.reduce(LAYER, x), x.flatten(1)[:, coords["unit"]])

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_mean_and_max_per_channel(self, shape: tuple[int, ...]) -> None:
        x = outputs(4, shape)
        axes = {3: (2, 3), 2: (1,), 4: (2, 3, 4)}.get(len(shape), ())
        mean, largest = SpatialMean().reduce("a", x), SpatialMax().reduce("a", x)
        np.testing.assert_allclose(mean, x.numpy().mean(axes).reshape(4, -1), atol=1e-6)
        np.testing.assert_array_equal(largest, x.numpy().max(axes).reshape(4, -1))
        channel = SpatialMean().coords("a", shape)["channel"]
        np.testing.assert_array_equal(channel, np.arange(mean.shape[1]))

    def test_a_mean_of_halves_does_not_overflow(self) -> None:
        x = torch.full((2, 3, 40, 40), 1000.0, dtype=torch.float16)
        np.testing.assert_array_equal(SpatialMean().reduce("a", x), 1000.0)


class TestRandomUnits:
    def test_are_drawn_without_replacement_evenly_and_in_order(self) -> None:
        shape, n_draws = (5, 3, 4), 4000
        counts = np.zeros(60)
        for seed in range(n_draws):
            units = np.ravel_multi_index(
                tuple(RandomUnits(12, seed).coords(LAYER, shape).values()), shape
            )
            assert (np.diff(units) > 0).all()
            counts[units] += 1
        assert counts.sum() == 12 * n_draws
        # Of k from d, the counts vary (1 - k/d) as much as independent ones, d/(d - 1) of that.
        scaled = counts.var() * 60 / (n_draws * 12 * (1 - 12 / 60)) * 60 / 59
        assert stats.chi2.cdf(scaled * 59, 59) < 0.999

    def test_seed_and_layer_decide(self) -> None:
        def drawn(seed: int, layer: str) -> list[int]:
            return RandomUnits(20, seed).coords(layer, (500,))["channel"].tolist()

        assert drawn(0, "a") == drawn(0, "a")
        assert drawn(0, "a") != drawn(1, "a")
        assert drawn(0, "a") != drawn(0, "b")


@pytest.fixture(scope="module")
def activations() -> dict[str, torch.Tensor]:
    """What a network makes of gratings and natural shapes, whatever its weights."""
    small = models.Preprocessing("resize", (112, 112))
    network = models.load("squeezenet1_1", "random", seed=3, preprocessing=small)
    stimuli = simulate_v1().stimuli.subset(range(40))
    images = torch.stack([network.preprocessing(stimuli.image(i)) for i in range(len(stimuli))])
    with torch.inference_mode():
        return capture(network.module, images, ["features.1", "features.4", "features.12"])


class TestSparseProjection:
    @pytest.mark.parametrize(
        "layer",
        [pytest.param("features.1", marks=pytest.mark.slow), "features.4", "features.12"],
    )
    def test_errors_are_those_of_theory(
        self, activations: dict[str, torch.Tensor], layer: str
    ) -> None:
        k, x = 1024, activations[layer]
        assert x[0].numel() > 10 * k
        flat = x.flatten(1).double().numpy()
        squared, correlation = pdist(flat, "sqeuclidean"), 1.0 - pdist(flat, "correlation")
        of_squared, of_correlation = [], []
        for seed in range(6):
            found = SparseProjection(k, seed).reduce(layer, x).double().numpy()
            of_squared.append(pdist(found, "sqeuclidean") / squared - 1.0)
            of_correlation.append(
                (1.0 - pdist(found, "correlation") - correlation) / (1.0 - correlation**2)
            )
        # A little more than the standard error: the pairs of few stimuli err together.
        assert np.sqrt(np.mean(np.square(of_squared))) < 1.15 * np.sqrt(2 / k)
        # as a correlation coefficient of k pairs of numbers
        assert np.sqrt(np.mean(np.square(of_correlation))) < 1.3 / np.sqrt(k)

    @pytest.mark.parametrize("metric", ["euclidean", "correlation"])
    def test_rdms_stay_what_they_are(
        self, activations: dict[str, torch.Tensor], metric: str
    ) -> None:
        x = activations["features.12"]
        true = rdm(x.flatten(1).numpy(), metric)
        found = rdm(SparseProjection(4096).reduce("features.12", x).numpy(), metric)
        assert np.corrcoef(true, found)[0, 1] > 0.99

    @pytest.mark.slow
    def test_distances_are_no_worse_than_those_of_scikit_learn(
        self, activations: dict[str, torch.Tensor]
    ) -> None:
        k, x = 512, activations["features.4"][:, :, :20, :20]
        flat = x.flatten(1).double().numpy()
        true = pdist(flat, "sqeuclidean")

        def error(values: np.ndarray) -> float:
            return float(np.sqrt(np.mean(np.square(pdist(values, "sqeuclidean") / true - 1))))

        ours = [error(SparseProjection(k, s).reduce("a", x).numpy()) for s in range(6)]
        theirs = [
            error(SparseRandomProjection(k, random_state=s).fit_transform(flat)) for s in range(6)
        ]
        assert np.mean(ours) < 1.1 * np.mean(theirs)

    def test_the_johnson_lindenstrauss_bound_holds(
        self, activations: dict[str, torch.Tensor]
    ) -> None:
        eps, x = 0.3, activations["features.1"]
        reducer = parse(f"srp:eps={eps}", n_stimuli=len(x))
        true = pdist(x.flatten(1).double().numpy(), "sqeuclidean")
        found = pdist(reducer.reduce("features.1", x).double().numpy(), "sqeuclidean")
        assert np.abs(found / true - 1).max() < eps

    @given(n=st.integers(2, 10**6), eps=st.floats(0.01, 0.99))
    def test_dimension_equals_scikit_learn(self, n: int, eps: float) -> None:
        assert johnson_lindenstrauss(n, eps) == johnson_lindenstrauss_min_dim(n, eps=eps)

    def test_dimension_of_the_forms(self) -> None:
        assert parse("srp:auto", n_stimuli=1000) == SparseProjection(5920)
        assert parse("srp:eps=0.1", n_stimuli=1000) == SparseProjection(5920)
        expected = johnson_lindenstrauss_min_dim(72, eps=0.2)
        assert parse("srp:eps=.2", n_stimuli=72, seed=4) == SparseProjection(expected, 4)
        assert parse("srp:auto", n_stimuli=1) == SparseProjection(1)


class TestPCA:
    def test_positions_are_a_draw_in_order(self) -> None:
        positions = PCA(3, 50, seed=1).positions(400)
        assert len(set(positions.tolist())) == 50
        assert (np.diff(positions) > 0).all()
        assert positions.max() > 300
        np.testing.assert_array_equal(positions, PCA(7, 50, seed=1).positions(400))
        assert (positions != PCA(3, 50, seed=2).positions(400)).any()
        np.testing.assert_array_equal(PCA(3, 50).positions(50), np.arange(50))
        with pytest.raises(ProbeError, match="fitted on 50 stimuli, and there are only 49"):
            PCA(3, 50).positions(49)

    def test_fits_and_projects(self, activations: dict[str, torch.Tensor]) -> None:
        x = activations["features.12"]
        reducer = PCA(10, 20, seed=1)
        positions = reducer.positions(len(x))
        flat = x.flatten(1).numpy()
        found = reducer.fit("features.12", flat[positions])
        values = reducer.with_components({"features.12": found}).reduce("features.12", x)
        expected = (flat - found.mean) @ found.components.T
        np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_allclose(values[positions].var(0), found.variance, rtol=1e-4)

    def test_needs_components_that_fit(self) -> None:
        reducer = fitted(PCA(3, 8), (6, 4, 5))
        with pytest.raises(ProbeError, match=r"no principal components of layer 'b'"):
            reducer.reduce("b", outputs(2, (6, 4, 5)))
        with pytest.raises(ProbeError, match=r"has 60 units.*fitted to 120"):
            reducer.reduce("(6, 4, 5)", outputs(2, (3, 4, 5)))
        with pytest.raises(ProbeError, match=r"'a': activations of 7 stimuli instead of 8"):
            PCA(3, 8).fit("a", np.ones((7, 5)))
        with pytest.raises(ProbeError, match=r"'a': an activation is NaN"):
            PCA(3, 8).fit("a", np.full((8, 5), np.nan))

    def test_what_does_not_fit_into_memory_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shapes = {"conv": (64, 100, 100), "fc": (50,)}
        reducer = PCA(100, 500)
        components = {
            name: Components(np.zeros((min(100, d), d), np.float32), np.zeros(d, np.float32), d, d)  # type: ignore[arg-type]
            for name, d in (("conv", 640_000), ("fc", 50))
        }
        needed = sum(c.components.nbytes + c.mean.nbytes for c in components.values())
        assert reducer.n_bytes(shapes) == needed
        free = psutil.virtual_memory()
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=needed))
        reducer.check_memory(shapes)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=needed - 1))
        with pytest.raises(ProbeError, match=r"2 layers take 0\.3 GB of memory, 0\.3 GB are free"):
            reducer.check_memory(shapes)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "reducer"),
        [
            ("none", Unreduced()),
            (" mean ", SpatialMean()),
            ("max", SpatialMax()),
            ("srp:4096", SparseProjection(4096, 5)),
            ("units:1", RandomUnits(1, 5)),
            ("pca:100@500", PCA(100, 500, 5)),
            ("pca:100@5000", PCA(100, 2000, 5)),
            ("pca:100", PCA(100, 1000, 5)),
            ("pca:900", PCA(900, 1800, 5)),
            ("pca:1500", PCA(1500, 2000, 5)),
        ],
    )
    def test_forms(self, text: str, reducer: Reducer) -> None:
        assert parse(text, n_stimuli=2000, seed=5) == reducer

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", r"reducer '': expected one of none, mean, max, srp:4096"),
            ("jpeg", r"reducer 'jpeg': expected one of none, mean"),
            ("mean:3", r"'mean:3': write 'mean' alone"),
            ("none:", r"'none:': write 'none' alone"),
            ("srp", r"number is missing; write for example srp:4096 or srp:auto or srp:eps=0\.2"),
            ("srp:", r"number is missing; write for example srp:4096"),
            ("srp:-3", r"'-3' is not a positive whole number; write for example srp:4096"),
            ("srp:0", r"'0' is not a positive whole number"),
            ("srp:1e3", r"'1e3' is not a positive whole number"),
            ("srp:4,096", r"'4,096' is not a positive whole number"),
            ("srp:٣", r"'٣' is not a positive whole number"),
            ("srp:many", r"'many' is not a positive whole number"),
            ("srp:eps=0", r"eps is a relative error, such as 0\.2, below 1"),
            ("srp:eps=1", r"eps is a relative error"),
            ("srp:eps=nan", r"eps is a relative error"),
            ("srp:eps=-0.1", r"eps is a relative error"),
            ("units:1.5", r"'1\.5' is not a positive whole number; write for example units:1000"),
            ("pca:@500", r"number is missing; write for example pca:100 or pca:100@500"),
            ("pca:10@", r"'pca:10@': a number is missing"),
            ("pca:10@5", r"5 stimuli vary in 4 directions, too few for 10.*pca:10@1000"),
            ("pca:10@10", r"10 stimuli vary in 9 directions"),
            (
                "pca:72",
                r"72 principal components need more stimuli than 72; ask for at most pca:71",
            ),
            (
                "pca:72@100",
                r"72 principal components need more stimuli than 72; ask for at most pca:71",
            ),
        ],
    )
    def test_nonsense(self, text: str, says: str) -> None:
        with pytest.raises(ProbeError, match=says) as caught:
            parse(text, n_stimuli=72)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("n_stimuli", [1, 2])
    def test_too_few_stimuli_for_components(self, n_stimuli: int) -> None:
        with pytest.raises(ProbeError, match="5 principal components need more stimuli"):
            parse("pca:5", n_stimuli=n_stimuli)

    def test_numbers_are_checked_without_parse(self) -> None:
        for make in (lambda: SparseProjection(0), lambda: RandomUnits(-1), lambda: PCA(0, 5)):
            with pytest.raises(ProbeError, match=r"k (0|-1): expected a whole number ≥ 1"):
                make()


def test_a_network_can_be_reduced_from_within_its_hooks() -> None:
    """In inference mode, under autocast, and afterwards outside of both."""
    module = nn.Conv2d(3, 8, 3)
    x = outputs(2, (3, 12, 12))
    for reducer in (SparseProjection(50), RandomUnits(50), fitted(PCA(5, 9), (8, 10, 10))):
        found = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            hook = module.register_forward_hook(
                lambda _m, _x, y, r=reducer, f=found: f.append(r.reduce("(8, 10, 10)", y))  # type: ignore[misc]
            )
            y = module(x)
            hook.remove()
        fresh = replace(reducer).reduce("(8, 10, 10)", y.float())
        torch.testing.assert_close(found[0], fresh, rtol=0, atol=0)
        torch.testing.assert_close(reducer.reduce("(8, 10, 10)", y), fresh, rtol=0, atol=0)
