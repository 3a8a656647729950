import numpy as np
import pytest
import torch

from probe.models import layers, load
from probe.models.light import luma
from probe.models.neocognitron import Neocognitron, examples, organise, representatives


@pytest.fixture(scope="module")
def organised():
    return organise(n_rounds=20)


def test_sizes_are_the_papers():
    sizes = {info.alias: info.output_shape for info in layers("neocognitron")}
    assert sizes == {
        "S1": (24, 16, 16), "C1": (24, 10, 10), "S2": (24, 8, 8), "C2": (24, 6, 6),
        "S3": (24, 2, 2), "C3": (24, 1, 1),
    }  # fmt: skip


def test_cells_are_the_papers_formulas(organised):
    """Written out for one S-cell and one C-cell."""
    with torch.inference_mode():
        c1 = organised.c1(organised.s1(luma(examples())))
        s2 = organised.s2(c1)
        c2 = organised.c2(s2)
    picture, y, x = (int(k) for k in np.argwhere(s2.amax(1).numpy() == float(s2.max()))[0])
    plane = int(s2[picture, :, y, x].argmax())
    cells = organised.s2
    inputs = torch.nn.functional.pad(c1[picture], (1,) * 4)[:, y : y + 5, x : x + 5].double()
    e = float((cells.a[plane].detach() * inputs).sum())
    v = float((cells.c[0] * inputs**2).sum().sqrt())
    r = 1.5
    expected = r * max((1 + e) / (1 + 2 * r / (1 + r) * float(cells.b[plane].detach()) * v) - 1, 0)
    assert float(s2[picture, plane, y, x]) == pytest.approx(expected, rel=1e-3)
    assert float(cells.c.sum()) == pytest.approx(1)

    window = torch.nn.functional.pad(s2, (1,) * 4)[picture, :, 2:7, 1:6]
    pooled = (organised.c2.d[0] * window).sum((1, 2))
    excess = ((1 + pooled) / (1 + pooled.mean()) - 1).clamp_min(0)
    torch.testing.assert_close(c2[picture, :, 2, 1], excess / (0.5 + excess), atol=1e-6, rtol=1e-3)


def test_representatives():
    responses = torch.zeros(3, 9, 9)
    responses[0, 1, 1], responses[0, 7, 7] = 2.0, 3.0  # the stronger of a plane
    responses[1, 7, 6] = 2.5  # in the same column as a stronger cell of another plane
    responses[2, 1, 6] = 1.0
    assert sorted(representatives(responses)) == [(0, 7, 7), (2, 1, 6)]
    assert representatives(torch.zeros(3, 9, 9)) == []


def test_what_was_learned_is_told_apart_without_a_teacher(organised):
    with torch.inference_mode():
        c3 = organised(examples()).flatten(1)
    planes = c3.argmax(1).tolist()
    assert (c3.amax(1) > 0).all()
    assert (organised.s3.b[planes] > 0).all()  # they have learned
    assert planes[0] == planes[1] == planes[4]
    assert len({planes[0], planes[2], planes[3]}) == 3


def test_a_pattern_moved_aside_is_the_same(organised):
    moved = torch.stack([torch.roll(examples()[3], shift, 2) for shift in (-1, 0, 1)])
    with torch.inference_mode():
        s1 = organised.s1(luma(moved)).flatten(1)
        planes = organised(moved).flatten(1).argmax(1).tolist()
    assert planes[0] == planes[1] == planes[2]
    assert float(torch.nn.functional.cosine_similarity(s1[0], s1[2], dim=0)) < 0.5


def test_a_seed_gives_the_same_connections():
    before = torch.get_rng_state()
    once, again, other = (organise(seed, n_rounds=1).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["s3.b"], other["s3.b"])


def test_loaded_by_name(organised, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    network, untrained = load("neocognitron"), load("neocognitron", "random")
    assert torch.equal(network.module.s2.a, organised.s2.a)
    assert isinstance(untrained.module, Neocognitron)
    assert not untrained.module.s2.b.any()
