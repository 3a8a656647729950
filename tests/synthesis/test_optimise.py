from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe import models
from probe.errors import ProbeError
from probe.models import Network
from probe.synthesis.objectives import Each
from probe.synthesis.optimise import (
    WINDOW_STEPS,
    ValueAndGradient,
    as_array,
    autocast,
    computes_bfloat16,
    optimise,
    through,
)
from probe.synthesis.parameterisations import Fourier, Pixels
from probe.synthesis.run import Loop, Stopped, Unfinished
from probe.synthesis.transforms import DEFAULT, Jitter, Pad, generator
from probe.targets import Channel, Function, Norm

SIZE = (48, 40)

OPTIMISERS: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.05),
    "NAdam": lambda parameters: torch.optim.NAdam(parameters, lr=0.05),
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, max_iter=3, history_size=4),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("squeezenet1_1", "random")


@pytest.fixture(scope="module")
def slopes(network: Network) -> ValueAndGradient:
    target = Each([Channel("features.3", 5), Channel("features.3", 6)])
    return through(network, target, (Pad(4), Jitter(3)), seed=3, waking=4)


def state_of(module: nn.Module) -> list[Any]:
    tensors = [t.detach() for t in (*module.parameters(), *module.buffers())]
    flags = [p.requires_grad for p in module.parameters()] + [p.grad for p in module.parameters()]
    hooks = [(len(m._forward_hooks), len(m._backward_hooks)) for m in module.modules()]
    modes = [(m.training, getattr(m, "inplace", None)) for m in module.modules()]
    return [[t.numpy().tobytes() for t in tensors], flags, hooks, modes]


def random_state() -> list[Any]:
    legacy = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), random.getstate(), str(legacy)]


def stopped_after(steps: int, stop: threading.Event, slopes: ValueAndGradient) -> ValueAndGradient:
    """Give the same slopes, and ask the loop to stop in the given step."""

    def counting(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        if step == steps - 1:
            stop.set()
        return slopes(pictures, step)

    return counting


@pytest.mark.parametrize("name", OPTIMISERS)
def test_stopped_and_resumed_gives_the_bytes_of_an_uninterrupted_run(
    name: str, slopes: ValueAndGradient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    unfinished, stop = Unfinished({"settings": name}), threading.Event()
    whole = Fourier(2, SIZE)
    history = optimise(whole, slopes, OPTIMISERS[name](whole.parameters), 30)

    first = Fourier(2, SIZE)
    with pytest.raises(Stopped):
        optimise(
            first, stopped_after(17, stop, slopes), OPTIMISERS[name](first.parameters), 30,
            loop=Loop(stop=stop, keep=unfinished.keep),
        )  # fmt: skip
    state = Unfinished({"settings": name}).load()
    assert state is not None
    assert len(state["history"]) == 17

    other = Fourier(2, SIZE, seed=9)
    again = optimise(other, slopes, OPTIMISERS[name](other.parameters), 30, loop=Loop(state))
    assert history.shape == (30, 2)
    assert again.numpy().tobytes() == history.numpy().tobytes()
    assert as_array(other()[0]).tobytes() == as_array(whole()[0]).tobytes()
    assert torch.equal(other(), whole())
    assert not torch.equal(first(), whole())


def test_what_is_kept_is_no_part_of_the_run_that_goes_on(slopes: ValueAndGradient) -> None:
    kept: list[dict[str, Any]] = []
    stop = threading.Event()
    made = Fourier(2, SIZE)
    optimiser = OPTIMISERS["Adam"](made.parameters)
    with pytest.raises(Stopped):
        optimise(
            made,
            stopped_after(5, stop, slopes),
            optimiser,
            9,
            loop=Loop(stop=stop, keep=kept.append),
        )
    optimise(made, slopes, optimiser, 9)  # nine steps more
    again = Fourier(2, SIZE)
    optimise(again, slopes, OPTIMISERS["Adam"](again.parameters), 9, loop=Loop(kept[0]))
    whole = Fourier(2, SIZE)
    optimise(whole, slopes, OPTIMISERS["Adam"](whole.parameters), 9)
    assert torch.equal(again(), whole())


def test_a_seed_gives_the_same_bytes_and_leaves_random_numbers_alone(network: Network) -> None:
    def run(seed: int) -> Tensor:
        made = Fourier(1, SIZE, seed=seed)
        slopes = through(network, Channel("features.3", 5), DEFAULT, seed=seed)
        optimise(made, slopes, OPTIMISERS["Adam"](made.parameters), 3)
        return made().detach()

    before = random_state()
    first = run(1)
    assert random_state() == before
    torch.rand(7)
    assert torch.equal(run(1), first)
    assert not torch.equal(run(2), first)


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails: bool) -> None:
    network = models.load("squeezenet1_1", "random")
    module = network.module.train()  # as a user may have left it
    for part in list(module.modules())[::2]:
        part.training = False
    next(module.parameters()).requires_grad_(False)
    before, drawn = state_of(module), random_state()

    def failing(output: Tensor) -> Tensor:
        raise ValueError("so it is")

    target = Function(failing, ("features.3",)) if fails else Norm("features.3")
    made = Pixels(torch.full((1, 3, *SIZE), 0.5))
    optimiser = OPTIMISERS["Adam"](made.parameters)
    if fails:
        with pytest.raises(ValueError, match="so it is"):
            optimise(made, through(network, target), optimiser, 2)
    else:
        optimise(made, through(network, target), optimiser, 2)
    assert state_of(module) == before
    assert random_state() == drawn


def test_slopes_are_those_through_transforms(network: Network) -> None:
    def mirrored(pictures: Tensor, drawn: torch.Generator) -> Tensor:
        return pictures.flip(-1) * 0.5

    target = Each([Channel("features.3", 5), Channel("features.3", 6)])
    pictures = torch.rand(2, 3, *SIZE, generator=generator(0))
    slopes = through(network, target, (mirrored,), waking=0, precision="float32")
    values, slope = slopes(pictures, 0)

    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (network.preprocessing.mean, network.preprocessing.std)
    )
    part = network.module.eval().get_submodule("features")[:4]
    for k, channel in enumerate((5, 6)):
        one = pictures[k : k + 1].clone().requires_grad_()
        value = part((one.flip(-1) * 0.5 - mean) / std)[0, channel].mean()
        torch.testing.assert_close(values[k], value.detach())
        (expected,) = torch.autograd.grad(value, one)
        torch.testing.assert_close(slope[k], expected[0], rtol=1e-4, atol=1e-9)


def climbing(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """A hill with its top at 0.25."""
    away = pictures - 0.25
    return -away.square().flatten(1).sum(1), -2 * away


def test_adam_climbs_a_hill_and_clips_to_what_a_screen_can_show() -> None:
    made = Pixels(torch.rand(2, 3, 5, 4, generator=generator(1)))
    optimise(made, climbing, torch.optim.Adam(made.parameters, lr=0.05), 200)
    torch.testing.assert_close(made(), torch.full((2, 3, 5, 4), 0.25), atol=1e-3, rtol=0)

    def upwards(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        return pictures.flatten(1).sum(1), torch.ones_like(pictures)

    optimise(made, upwards, torch.optim.SGD(made.parameters, lr=10.0), 1)
    assert bool((made() == 1).all())


def test_it_stops_when_nothing_grows_any_more() -> None:
    def run(tolerance: float) -> int:
        made = Pixels(torch.full((1, 3, 4, 4), 0.5))
        optimiser = torch.optim.SGD(made.parameters, lr=0.05)
        values = optimise(made, lifted, optimiser, 40 * WINDOW_STEPS, tolerance=tolerance)
        return len(values)

    def lifted(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        values, slope = climbing(pictures, step)
        return values + 10, slope

    assert run(0.0) == 40 * WINDOW_STEPS
    # The distance shrinks by 0.9 in each step. From 10 - 3 the first mean grows by more than 1 %.
    assert run(0.01) == 3 * WINDOW_STEPS


def test_previews_come_every_so_many_steps() -> None:
    seen: list[Tensor] = []
    made = Pixels(torch.full((1, 3, 4, 4), 0.5))
    optimiser = torch.optim.SGD(made.parameters, lr=0.05)
    optimise(made, climbing, optimiser, 7, loop=Loop(preview=seen.append, preview_every=3))
    assert len(seen) == 2
    expected = 0.25 + 0.25 * 0.9**3
    torch.testing.assert_close(seen[0], torch.full((1, 3, 4, 4), expected))
    assert not seen[0].requires_grad


@pytest.mark.parametrize("where", ["value", "slope"])
def test_what_is_not_finite_names_the_step(where: str) -> None:
    def breaks(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        values, slope = climbing(pictures, step)
        if step == 2:
            (values if where == "value" else slope)[0] = torch.nan
        return values, slope

    made = Pixels(torch.full((1, 3, 4, 4), 0.5))
    with pytest.raises(ProbeError, match="not finite in step 3"):
        optimise(made, breaks, torch.optim.SGD(made.parameters, lr=0.05), 5)


def test_a_run_of_other_settings_or_a_damaged_file_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    unfinished = Unfinished({"steps": 30, "seed": 1})
    assert unfinished.load() is None
    unfinished.keep({"stage": 2, "loop": {"history": torch.arange(3.0)}})
    again = Unfinished({"seed": 1, "steps": 30}).load()
    assert again is not None
    assert again["stage"] == 2
    assert torch.equal(again["loop"]["history"], torch.arange(3.0))
    assert Unfinished({"steps": 30, "seed": 2}).load() is None

    content = unfinished.path.read_bytes()
    unfinished.path.write_bytes(content[: len(content) // 2])
    assert unfinished.load() is None
    assert not unfinished.path.exists()
    unfinished.keep({"stage": 3})
    unfinished.forget()
    unfinished.forget()
    assert list(unfinished.path.parent.iterdir()) == []


def test_nothing_that_runs_code_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    unfinished = Unfinished({})
    unfinished.path.parent.mkdir(parents=True)
    torch.save({"stage": nn.ReLU()}, unfinished.path)
    assert unfinished.load() is None


def test_precision() -> None:
    with pytest.raises(ProbeError, match="precision 'half': expected one of auto, float32"):
        autocast("half", torch.device("cpu"))
    one, two = (torch.full((2, 2), v) for v in (1.0, 1.0 + 2**-10))
    for precision in ("float32", "bfloat16", "auto"):
        rounded = precision == "bfloat16"
        if precision == "auto":
            rounded = computes_bfloat16(torch.device("cpu"))
        with autocast(precision, torch.device("cpu")):
            assert (one @ two).dtype == (torch.bfloat16 if rounded else torch.float32)
    assert not computes_bfloat16(torch.device("meta"))


def test_as_array_rounds_and_clips() -> None:
    picture = torch.tensor([-0.2, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.7])
    found = as_array(picture.view(1, 2, 3).expand(4, 2, 3))
    assert found.dtype == np.uint8
    assert found.shape == (2, 3, 4)
    assert found[..., 3].ravel().tolist() == [0, 0, 0, 1, 255, 255]
