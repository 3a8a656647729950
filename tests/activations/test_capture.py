from __future__ import annotations

import contextlib
import copy
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from probe.activations import capture
from probe.activations.capture import OUTPUT, differentiable
from probe.errors import ProbeError
from probe.models import Network, trace
from probe.models.hooks import tensors

MODELS = (
    "alexnet",
    "resnet18",
    "googlenet",
    "squeezenet1_1",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("vgg11", "densenet121", "vit_b_16")),
)


def untrained(name: str) -> nn.Module:
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.get_model(name, **options)


def some_images(n: int = 1) -> Tensor:
    return torch.rand(n, 3, 224, 224, generator=torch.Generator().manual_seed(1)) - 0.5


def step_by_step(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Run a network in which no module ever sees the memory that another one returned.

    Every module hands a copy of its output on, so that an in-place operation that follows, in a
    module or between modules, can only touch the copy. `forward` is replaced; no hook is used.
    """
    recorded: dict[tuple[str, int], Any] = {}
    calls: Counter[str] = Counter()

    def copied(output: Any) -> Any:
        if isinstance(output, Tensor):
            return output.clone()
        return type(output)(copied(part) for part in output) if output is not None else None

    def watch(path: str, part: nn.Module) -> None:
        forward = part.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            recorded[path, calls[path]] = output
            calls[path] += 1
            return copied(output)

        part.forward = watched  # type: ignore[method-assign]

    module.eval()
    for path, part in module.named_modules():
        if path:
            watch(path, part)
    with torch.no_grad():
        module(inputs)
    found = {}
    for (path, call), output in recorded.items():
        numbered = f":{call}" if calls[path] > 1 else ""
        for place, tensor in tensors(output):
            found[f"{path}{numbered}{place}"] = tensor
    return found


@pytest.mark.parametrize("name", MODELS)
def test_captured_outputs_equal_a_step_by_step_forward(name: str) -> None:
    images, network = some_images(), untrained(name)
    expected = step_by_step(copy.deepcopy(network), images)
    captured = capture(network, images, list(expected))
    for layer, value in expected.items():
        torch.testing.assert_close(captured[layer], value, rtol=1e-5, atol=1e-6, msg=layer)
    # and the layer table names exactly these
    assert [info.name for info in trace(network, (3, 224, 224))] == list(expected)


def test_residual_branch_is_not_overwritten_by_the_addition() -> None:
    # `out += identity` works in the memory that bn2 returned.
    network = untrained("resnet18").eval()
    images = some_images(2)
    names = ["layer1.0.conv2", "layer1.0.bn2"]
    captured = capture(network, images, names)
    alone = network.layer1[0].bn2(captured["layer1.0.conv2"])
    torch.testing.assert_close(captured["layer1.0.bn2"], alone)

    kept: dict[str, Tensor] = {}
    handle = network.layer1[0].bn2.register_forward_hook(
        lambda _m, _i, out: kept.update(bn2=out.detach())
    )
    with torch.no_grad():
        network(images)
    handle.remove()
    assert not torch.allclose(kept["bn2"], alone), "a plain hook keeps another layer's values"


def test_alexnet_equals_its_layers_called_one_after_the_other() -> None:
    network, images = untrained("alexnet").eval(), some_images(2)
    captured = capture(
        network, images, [f"features.{k}" for k in range(13)] + ["avgpool", "classifier.6"]
    )
    with torch.no_grad():
        x = images
        for k, layer in enumerate(network.features):
            x = layer(x.clone())
            torch.testing.assert_close(captured[f"features.{k}"], x)
        x = network.avgpool(x)
        torch.testing.assert_close(captured["avgpool"], x)
        x = network.classifier(torch.flatten(x, 1))
    torch.testing.assert_close(captured["classifier.6"], x)


class Odd(nn.Module):
    """Re-uses a module, returns tuples and dictionaries, works in place between modules."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.pair = Pair()
        self.one = One()
        self.never = nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.broken = broken

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.relu(x)
        x = x - x.mean()
        x = self.relu(x)
        first = self.pair(x)["first"]
        first.mul_(2.0)
        (x,) = self.one(first)
        torch.rand(3)
        if self.broken:
            raise RuntimeError("half way")
        return self.drop(x)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"first": x + 1.0, "second": x - 1.0}


class One(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, None][:1]:  # type: ignore[misc]
        return (x * 3.0,)


def test_reused_modules_are_numbered_and_parts_of_outputs_named() -> None:
    network, images = Odd(), some_images(2)[:, :, :16, :16]
    got = capture(
        network, images, ["conv", "relu:0", "relu:1", "pair[first]", "pair[second]", "one"]
    )
    assert list(got) == ["conv", "relu:0", "relu:1", "pair[first]", "pair[second]", "one"]
    assert (got["conv"] < 0).any(), "before the in-place ReLU"
    torch.testing.assert_close(got["relu:0"], got["conv"].clamp(min=0))
    torch.testing.assert_close(got["relu:1"], (got["relu:0"] - got["relu:0"].mean()).clamp(min=0))
    torch.testing.assert_close(got["pair[first]"], got["relu:1"] + 1)
    torch.testing.assert_close(got["pair[second]"], got["relu:1"] - 1)
    torch.testing.assert_close(got["one"], got["pair[first]"] * 6)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("relu", "called 2 times; name relu:0 or relu:1"),
        ("never", "not called"),
        ("relu:2", "called 2 times; name relu:0 or relu:1"),
        ("pair", "no output"),
        ("pair[third]", "no output"),
        ("convs", "did you mean 'conv'"),
        ("", "does not exist"),
    ],
)
def test_layers_that_cannot_be_captured_are_named(layer: str, says: str) -> None:
    with pytest.raises(ProbeError, match=r"^[^\n]+$") as error:
        capture(Odd(), some_images()[:, :, :16, :16], [layer])
    assert says in str(error.value)


@pytest.mark.parametrize("broken", [False, True])
def test_the_model_and_the_random_state_are_as_they_were(broken: bool) -> None:
    network = Odd(broken)
    network.train()
    network.conv.eval()  # half frozen: a plain .train() afterwards would be wrong
    network.relu.register_forward_hook(lambda *_: None)
    network.conv(some_images()[:, :, :16, :16]).sum().backward()
    network.never.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def state() -> Any:
        return (
            [
                (n, p.clone(), p.requires_grad, p.grad is None)
                for n, p in network.named_parameters()
            ],
            {n: m.training for n, m in network.named_modules()},
            {n: len(m._forward_hooks) for n, m in network.named_modules()},
            {n: len(m._forward_pre_hooks) for n, m in network.named_modules()},
            network.relu.inplace,
            network.conv.weight.grad.clone(),
            torch.get_rng_state(),
            np.random.get_state()[1],  # noqa: NPY002
            random.getstate(),
            torch.is_grad_enabled(),
        )

    before = state()
    images = some_images()[:, :, :16, :16]
    kept = images.clone()
    if broken:
        with pytest.raises(RuntimeError, match="half way"):
            capture(network, images, ["conv", "drop"])
    else:
        capture(network, images, ["conv", "drop"])
    torch.testing.assert_close(images, kept)
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_equal(_numbers(new), _numbers(old))


def _numbers(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if isinstance(value, (list, tuple)):
        return [_numbers(part) for part in value]
    return value


def test_overrides_of_calls_see_those_of_the_network_alone() -> None:
    seen = []

    class Watching(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            seen.append((func.__name__, any(isinstance(arg, nn.Parameter) for arg in args[:1])))
            return func(*args, **(kwargs or {}))

    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with Watching():
        differentiable(module, torch.ones(1, 3, 4, 4), [OUTPUT])
    names = [name for name, _ in seen]
    assert [name for name in names if name in ("conv2d", "relu", "flatten", "linear")] == [
        "conv2d", "relu", "flatten", "linear",
    ]  # fmt: skip
    assert not any(of_parameter for _, of_parameter in seen)  # neither asked, nor frozen and thawed
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_dropout_is_off_while_capturing() -> None:
    network = Odd().train()
    images = some_images()[:, :, :16, :16]
    got = capture(network, images, ["one", "drop"])
    torch.testing.assert_close(got["one"], got["drop"])


def test_a_network_without_its_last_layers_gives_the_others(alexnet: Network) -> None:
    got = capture(alexnet.module, some_images(), ["features.0", "avgpool"])
    assert got["avgpool"].shape == (1, 256, 6, 6)
    with pytest.raises(ProbeError, match=r"'classifier' has no weights.*assets fetch"):
        capture(alexnet.module, some_images(), ["features.0", "classifier"])


class Halves(nn.Module):
    """Convolution, ReLU in place, a residual sum in place, a dictionary of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.first(x))
        y = self.second(x)
        y += x
        return self.pair(y)["first"].relu_().mean((2, 3))


class TestDifferentiable:
    @staticmethod
    def made() -> tuple[Halves, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Halves(), torch.randn(2, 3, 8, 8)

    def test_outputs_are_those_before_an_operation_in_place_and_gradients_are_right(self) -> None:
        module, x = self.made()
        x.requires_grad_()
        found = differentiable(module, x, ["first", "second", OUTPUT])
        a = module.first(x)
        b = module.second(a.relu())
        out = (b + a.relu() + 1).relu().mean((2, 3))
        for name, expected in (("first", a), ("second", b), (OUTPUT, out)):
            torch.testing.assert_close(found[name], expected)
        wrt = [x, found["first"], found["second"]]
        ours = torch.autograd.grad(found[OUTPUT][:, 1].sum(), wrt, retain_graph=True)
        theirs = torch.autograd.grad(out[:, 1].sum(), [x, a, b])
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)

    def test_a_cut_is_a_leaf_and_nothing_is_kept_of_what_is_before(self) -> None:
        module, x = self.made()
        found = differentiable(module, x, ["first", OUTPUT], cut="first")
        assert found["first"].is_leaf
        assert found["first"].requires_grad
        (ours,) = torch.autograd.grad(found[OUTPUT][:, 1].sum(), [found["first"]])
        a = module.first(x)
        out = (module.second(a.relu()) + a.relu() + 1).relu().mean((2, 3))
        torch.testing.assert_close(ours, torch.autograd.grad(out[:, 1].sum(), [a])[0])

    def test_a_change_goes_on_with_more_rows_than_pictures(self) -> None:
        module, x = self.made()
        scales = torch.tensor([0.0, 1.0, 2.0])[:, None, None, None]
        out = differentiable(module, x[:1], ["first", OUTPUT], cut="first",
                             change=lambda a: a * scales)[OUTPUT]  # fmt: skip
        for k, scale in enumerate(scales):
            a = (module.first(x[:1]) * scale).relu()
            expected = (module.second(a) + a + 1).relu().mean((2, 3))
            torch.testing.assert_close(out[k : k + 1], expected)

    def test_it_ends_with_the_last_layer_and_gives_parts_by_name(self) -> None:
        module, x = self.made()
        module.second.register_forward_hook(lambda *_: pytest.fail("went on"))
        assert list(differentiable(module, x, ["first"])) == ["first"]
        module.second._forward_hooks.clear()
        assert differentiable(module, x, ["pair[second]"])["pair[second]"].shape == (2, 4, 8, 8)

    @pytest.mark.parametrize("fails", [False, True])
    def test_everything_is_as_it_was(self, fails: bool) -> None:
        module, x = self.made()
        module.first.weight.requires_grad_(False)
        module.second.train(False)
        if fails:
            module.pair.register_forward_pre_hook(lambda *_: 1 / 0)
        before = copy.deepcopy(module.state_dict())
        state, mode = torch.get_rng_state(), torch.is_grad_enabled()
        raises = pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext()
        with raises:
            differentiable(module, x, ["first", OUTPUT], cut="first")
        assert [p.requires_grad for p in module.parameters()] == [False, True, True, True]
        assert (module.training, module.first.training, module.second.training) == (
            True,
            True,
            False,
        )
        assert not any(p.grad is not None for p in module.parameters())
        assert sum(len(m._forward_hooks) for m in module.modules()) == 0
        assert torch.is_grad_enabled() == mode
        assert torch.equal(torch.get_rng_state(), state)
        for name, value in module.state_dict().items():
            assert torch.equal(value, before[name])

    def test_weights_get_no_gradient(self) -> None:
        module, x = self.made()
        found = differentiable(module, x.requires_grad_(), [OUTPUT])
        found[OUTPUT].sum().backward()
        assert all(p.grad is None for p in module.parameters())
        assert x.grad is not None

    @pytest.mark.parametrize(
        ("layer", "says"),
        [("third", "layer 'third' does not exist"), ("first:1", "layer 'first:1' is not called")],
    )
    def test_what_is_not_there(self, layer: str, says: str) -> None:
        module, x = self.made()
        with pytest.raises(ProbeError, match=says):
            differentiable(module, x, [layer])
