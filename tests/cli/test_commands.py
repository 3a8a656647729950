"""Help, lists, the cache, tab completion."""

import json
import os
import runpy
import subprocess
import sys
from contextlib import suppress

import pytest
from processes import commands_in_a_new_process

from probe import __version__, cli
from probe.cli import complete

HEAVY = (
    "torch", "torchvision", "xarray", "pandas", "numpy", "scipy", "matplotlib", "zarr", "rich",
    "numba", "dask", "gradio", "PIL",
)  # fmt: skip


def probe_in_a_new_process(*arguments, code="", **environment):
    script = (
        f"from probe.cli import main\nimport sys\ntry:\n    main()\nfinally:\n    {code or 'pass'}"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_python_runs_the_package_as_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["probe", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("probe", run_name="__main__")
    assert end.value.code == 0
    assert __version__ in capsys.readouterr().out


HELPS = ("--help", "rsa --help", "extract --help", "studio --help", "--version")
REFUSED = {
    "rsa -m alexnet -d sim-v4 --n-resamples 1": "--n-resamples 1: expected a number ≥ 2",
    "encode -m alexnet -d sim-v4 --folds 1": "--folds 1: expected 2 or more",
    "extract -m alexnet -i x --dtype half": "--dtype 'half': expected one of float32, ",
    "style a.png b.png --loss grm": "--loss 'grm': expected one of wasserstein, gram; did ",
}


@pytest.fixture(scope="module")
def ended():
    return commands_in_a_new_process([*HELPS, *REFUSED], HEAVY)


@pytest.mark.parametrize("command", HELPS)
def test_help_imports_nothing_heavy(ended, command):
    assert (ended[command].code, ended[command].imported) == (0, [])


def test_help_of_the_studio_names_its_address(ended):
    assert "127.0.0.1" in ended["studio --help"].out


@pytest.mark.parametrize("command", REFUSED)
def test_bad_values_are_refused_before_torch_is_imported(ended, command):
    assert (ended[command].code, ended[command].out) == (2, "")
    assert not {"torch", "rich"} & set(ended[command].imported)
    assert ended[command].err.startswith(f"probe: error: {REFUSED[command]}")


def test_a_command_that_is_built_alone_has_the_help_that_it_has_among_all(capsys, monkeypatch):
    for name in (*cli._COMMANDS, *cli._GROUPS):
        with suppress(SystemExit):
            cli.app([name, "--help"], prog_name="probe")
        among_all = capsys.readouterr().out
        monkeypatch.setattr(sys, "argv", ["probe", name, "--help"])
        with suppress(SystemExit):
            cli.main()
        assert capsys.readouterr().out == among_all
        assert f"probe {name}" in among_all


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ([], ["rsa", "layers", "models", "datasets", "assets", "--version"]),
        (
            ["rsa"],
            ["--model", "--dataset", "--layers", "--metric", "--comparator", "--region",
             "--subject", "--weights", "--preprocessing", "--baselines", "--n-resamples",
             "--seed", "--device", "--batch-size", "--output", "--json", "--accept-licence"],
        ),
        (
            ["filters"],
            ["MODEL", "--layer", "--image", "--images", "--channels", "-k", "--project", "--sort",
             "--scale", "--output", "--npy", "--json"],
        ),
        (
            ["atlas"],
            ["MODEL", "LAYER", "--images", "--grid", "--layout", "--samples", "--size", "--steps",
             "--seed", "--output", "--json"],
        ),
        (["layers"], ["MODEL", "--layers", "--size", "--csv", "--json"]),
        (
            ["invariance"],
            ["MODEL", "--images", "--layers", "--transform", "--weights",
             "--preprocessing", "--seed", "--device", "--output", "--json"],
        ),
        (
            ["transfer"],
            ["--model", "--images", "--classes", "--layers", "--reduce", "--folds", "--repeats",
             "--neighbours", "--shots", "--baselines", "--seed", "--output", "--json"],
        ),
        (
            ["tuning"],
            ["MODEL", "--layers", "--sites", "--stimuli", "--degrees", "--area", "--positions",
             "--orientations", "--weights", "--preprocessing", "--seed", "--device", "--output",
             "--json"],
        ),
        (["models"], ["PATTERN"]),
        (["datasets"], ["--json", "PROBE_MANIFESTS", "import", "new", "show", "verify", "cite"]),
        (["datasets", "new"], ["NAME", "FILE", "PROBE_MANIFESTS"]),
        (["datasets", "show"], ["NAME"]),
        (["datasets", "fetch"], ["NAME", "--accept-licence"]),
        (["datasets", "verify"], ["NAME"]),
        (["datasets", "cite"], ["NAME"]),
        (["assets"], ["where", "list", "add", "fetch"]),
        (["assets", "where"], ["--help"]),
        (["assets", "list"], ["--help"]),
        (["assets", "add"], ["FILES"]),
        (["assets", "fetch"], ["NAMES", "--accept-licence"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(run, command, options, flag):
    ran = run(*command, flag)
    assert (ran.code, ran.err) == (0, "")
    for option in options:
        assert option.lower() in ran.out.lower()


@pytest.mark.parametrize(
    "command",
    ["visualize", "saliency", "dream", "rsa", "encode", "extract", "layers", "filters"],
)
def test_help_of_what_takes_a_model_tells_of_v4_neurons(run, command):
    text = "".join(run(command, "--help").out.split())  # words are cut anywhere
    assert "apublishedV4neuron,v4-compact:SESSION-NEURON" in text


def test_without_arguments_the_help_is_shown(run):
    ran = run()
    assert (ran.code, ran.err) == (0, "")
    assert "probe rsa --model alexnet --dataset sim-v4" in ran.out
    assert "Pictures for artists:  probe dream photo.jpg" in ran.out
    ran = run("assets")
    assert (ran.code, ran.err) == (0, "")
    assert "fetch" in ran.out


def test_version(run):
    assert run("--version").out == f"probe {__version__}\n"


def test_models(run):
    names = [line.split()[0] for line in run("models").out.splitlines()]
    assert {"alexnet", "vgg16", "resnet18", "vit_b_16", "efficientnet_lite0"} <= set(names)
    few = [line.split()[0] for line in run("models", "squeeze").out.splitlines()]
    assert few == ["squeezenet1_0", "squeezenet1_1"]


def test_models_that_are_features(run):
    (line,) = run("models", "hog").out.splitlines()
    assert line == "hog                     2005: Dalal & Triggs; histograms of oriented gradients"
    lines = run("models").out.splitlines()
    assert lines[-1].startswith("power-spectrum ")
    assert sum(line.startswith("pixels ") for line in lines) == 1


def test_models_that_are_neurons(run):
    sessions = run("models", "v4").out.splitlines()
    assert len(sessions) == 4
    assert sessions[1].startswith(
        "v4-compact:201025       89 V4 neurons, v4-compact:201025-0 to -88"
    )
    assert all("GPL-3.0" in line and "10.1038/s41586-026-10150-1" in line for line in sessions)
    assert run("models", "201025-1").out.split() == [
        f"v4-compact:201025-{k}" for k in (1, *range(10, 20))
    ]


def test_datasets(run):
    out = run("datasets").out
    for word in ("sim-v4", "sim-v1", "cowley2023/210322", "v4", "it", "evc", "--accept-licence"):
        assert word in out
    listed = {entry["name"]: entry for entry in json.loads(run("datasets", "--json").out)}
    assert listed["sim-v4"]["simulated"]
    assert listed["kriegeskorte2008"]["regions"] == ["IT-human", "IT-monkey"]


def test_assets_where(run, own_cache, tmp_path, monkeypatch):
    assert run("assets", "where").out == f"cache   {own_cache}  (PROBE_CACHE)\n"
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "m"))
    assert f"mirror  {tmp_path / 'm'}  (PROBE_MIRROR)" in run("assets", "where").out


def test_assets_fetch_list_and_add(run, mirror, own_cache, monkeypatch):
    name = "kriegeskorte2008/92_brainRDMs.mat"
    assert run("assets", "add", mirror / name).out.strip().endswith(f"assets/{name}")
    (line,) = (line for line in run("assets", "list").out.splitlines() if name in line)
    assert line.split() == [name, "0.2", "yes"]
    assert run("assets", "fetch", name).out.strip() == str(own_cache / "assets" / name)
    monkeypatch.setenv("PROBE_MIRROR", str(mirror))
    assert run("assets", "fetch", "it").out == "it: 3 files, ready\n"
    assert len(run("assets", "list").out.splitlines()) == 2 + 3


def test_assets_add_of_a_foreign_file(run, own_cache, tmp_path):
    (tmp_path / "92_brainRDMs.mat").write_bytes(b"something else")
    error = run("assets", "add", tmp_path / "92_brainRDMs.mat").error
    assert "kriegeskorte2008/92_brainRDMs.mat should have sha256:" in error


def test_layers_in_a_pipe_that_knows_ascii_only_and_without_torch_s_compiler():
    code = "print('torchvision' in sys.modules, 'torch._dynamo' in sys.modules)"
    done = probe_in_a_new_process("layers", "alexnet", code=code, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "features.11" in done.stdout
    assert done.stdout.endswith("\nTrue False\n")


@pytest.mark.parametrize(
    ("names", "start", "found"),
    [
        (complete.models, "alex", ["alexnet"]),
        (complete.models, "squeezenet", ["squeezenet1_0", "squeezenet1_1"]),
        (complete.datasets, "sim-", ["sim-v4", "sim-v1", "sim-v4-compact"]),
        (complete.datasets, "cowley2023/2103", ["cowley2023/210325", "cowley2023/210322",
                                                "cowley2023/210305"]),
        (complete.datasets, "v", ["v4"]),
        (complete.layer_words, "re", ["relu"]),
        (complete.models, "qqq", []),
    ],
)  # fmt: skip
def test_completion(names, start, found):
    assert names(start) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [("probe rsa --model squeezenet1", {"squeezenet1_0", "squeezenet1_1"}),
     ("probe rsa --dataset sim", {"sim-v4", "sim-v1", "sim-v4-compact"}),
     pytest.param("probe rsa --metric co", {"correlation", "cosine"}, marks=pytest.mark.slow),
     pytest.param("probe rsa --comparator a", {"auto"}, marks=pytest.mark.slow),
     pytest.param("probe rsa --test p", {"permutation"}, marks=pytest.mark.slow),
     ("probe encode --method b", {"banded"}),
     pytest.param("probe dream --preset c", {"creatures", "cities"}, marks=pytest.mark.slow),
     pytest.param("probe style --loss g", {"gram"}, marks=pytest.mark.slow),
     pytest.param("probe filters --scale s", {"shared"}, marks=pytest.mark.slow),
     ("probe lay", {"layers"})],
)  # fmt: skip
def test_completion_as_a_shell_asks_for_it(words, found):
    done = subprocess.run(
        [sys.executable, "-c", "import sys, probe.cli as c; sys.argv[0] = 'probe'; c.main()"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"_PROBE_COMPLETE": "complete_bash", "COMP_WORDS": words,
           "COMP_CWORD": str(len(words.split()) - 1)},
    )  # fmt: skip
    assert set(done.stdout.split()) == found, done.stderr
