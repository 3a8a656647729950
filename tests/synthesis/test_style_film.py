"""Style transfer of films: strokes move with what they lie on."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convolutions import convolutions
from skimage import data
from torch import Tensor

from probe import models
from probe.errors import ProbeError
from probe.images import about, read_movie
from probe.models import Network
from probe.output.pictures import save_animation
from probe.synthesis import frames, style_film
from probe.synthesis.flow import carried, motion, seen_before
from probe.synthesis.style import Transfer, prepare, style
from probe.synthesis.style_film import steadied
from probe.synthesis.style_settings import StyleSettings
from probe.synthesis.style_tiles import Likeness, features

pytest.importorskip("av")
pytest.importorskip("cv2")

OPTIONS: dict[str, Any] = {
    "layers": "relu1_1,relu2_1", "content_layer": "relu2_1", "size": 64, "steps": 12,
    "precision": "float32", "progress": False,
}  # fmt: skip
STYLE = data.immunohistochemistry()[:128, :128]


@pytest.fixture(autouse=True)
def _own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unfinished in one test is not taken up by the next."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def network() -> Network:
    return convolutions("vgg11")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that moves over a photograph and goes nearer; a box crosses what it sees."""
    photograph, shown = data.coffee(), []
    for k in range(4):
        frame = photograph[80 + k : 176 + k, 150 + 2 * k : 278 + 2 * k][::2, ::2].copy()
        frame[16:32, 4 + 3 * k : 20 + 3 * k] = data.astronaut()[100:164:4, 190:254:4]
        shown.append(frame)
    return save_animation(tmp_path_factory.mktemp("clip") / "clip.mp4", shown, 12, {}, quality=98)


def flicker(given: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> float:
    """Mean squared difference to the frame before, carried along, where that was seen."""
    total = 0.0
    for k in range(1, len(given)):
        there, back = motion(given[k], given[k - 1]), motion(given[k - 1], given[k])
        known = seen_before(there, back)
        before, now = (
            torch.from_numpy(made[i].astype(np.float32)).permute(2, 0, 1) for i in (k - 1, k)
        )
        total += float(((now - carried(before, there)).square() * known).sum() / known.sum())
    return total


def distance(plan: Any, picture: np.ndarray) -> float:
    """How far the style of a picture is from what is wanted."""
    run = Transfer(plan.inputs, plan.network, plan.settings, torch.device("cpu"))
    likeness = Likeness(run.style_terms(run.sizes[-1])[0], [])
    shown = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        return -float(likeness(features(run.network, shown, likeness.layers, "float32")))


@pytest.mark.slow
def test_less_flicker_than_frames_by_themselves_and_as_much_style(
    clip: Path, tmp_path: Path
) -> None:
    network = models.load("vgg11", "random")  # how much less is a matter of its weights
    seen: list[np.ndarray] = []
    place = style_film.style_film(
        clip, STYLE, tmp_path / "out.mp4", network, start="content", preview=seen.append, **OPTIONS
    )
    given = list(read_movie(clip))
    made = read_movie(place)
    assert (made.n_frames, made.size, made.fps) == (4, (64, 48), 12)
    alone = [
        np.asarray(style(frame, STYLE, network, start="content", **OPTIONS).picture)
        for frame in given
    ]
    np.testing.assert_array_equal(seen[0], alone[0])  # the first is painted as a picture is
    assert flicker(given, seen) < 0.5 * flicker(given, alone)
    plan = prepare(given[-1], STYLE, StyleSettings.of({**OPTIONS, "model": network}))
    assert distance(plan, seen[-1]) < 1.1 * distance(plan, alone[-1])
    told = about(place)
    assert told["made"] == "style film"
    assert told["content"] == {
        "name": "clip.mp4", "sha256": hashlib.sha256(clip.read_bytes()).hexdigest()
    }  # fmt: skip


@pytest.mark.parametrize("colours", ["style", pytest.param("keep", marks=pytest.mark.slow)])
def test_stopped_and_taken_up_again(
    clip: Path, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: str
) -> None:
    options = OPTIONS | {"steps": 4, "colours": colours}
    whole = style_film.style_film(clip, STYLE, tmp_path / "whole.gif", network, **options)
    write, written = frames.write, []

    def then_ctrl_c(path: Path, content: bytes) -> Path:
        written.append(path.name)
        if len(written) == 2:
            signal.raise_signal(signal.SIGINT)
        return write(path, content)

    monkeypatch.setattr(frames, "write", then_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        style_film.style_film(clip, STYLE, tmp_path / "parts.gif", network, **options)
    assert not (tmp_path / "parts.gif").exists()
    parts = style_film.style_film(clip, STYLE, tmp_path / "parts.gif", network, **options)
    assert written == [f"{k:06d}.png" for k in range(4)]
    assert parts.read_bytes() == whole.read_bytes()
    assert not list((tmp_path / "cache" / "unfinished").iterdir())


def test_the_first_frame_goes_on_where_it_was(clip: Path, network: Network, tmp_path: Path) -> None:
    options = OPTIONS | {"steps": 4, "preview_every": 1}
    whole: list[np.ndarray] = []
    style_film.style_film(
        clip, STYLE, tmp_path / "whole.gif", network, preview=whole.append, **options
    )
    parts: list[np.ndarray] = []

    def then_ctrl_c(shown: np.ndarray) -> None:
        parts.append(shown)
        if len(parts) == 5:
            signal.raise_signal(signal.SIGINT)

    given = (clip, STYLE, tmp_path / "parts.gif", network)
    with pytest.raises(KeyboardInterrupt):
        style_film.style_film(*given, preview=then_ctrl_c, **options)
    parts_file = style_film.style_film(*given, preview=parts.append, **options)
    assert len(parts) == len(whole)  # no step twice
    np.testing.assert_array_equal(parts, whole)
    assert parts_file.read_bytes() == (tmp_path / "whole.gif").read_bytes()
    assert not list((tmp_path / "cache" / "unfinished").iterdir())


@pytest.mark.slow
def test_frames_take_threads_and_end_early(clip: Path, network: Network, tmp_path: Path) -> None:
    options = OPTIONS | {"steps": 140, "tolerance": 0.9, "threads": 2, "preview_every": 1}
    threads: list[int] = []

    def count(_shown: np.ndarray) -> None:
        threads.append(torch.get_num_threads())

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        style_film.style_film(clip, STYLE, tmp_path / "o.gif", network, preview=count, **options)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {2}
    assert len(threads) == 4 * (64 + 1)  # no loss falls to a tenth within 32 steps


def test_outside_of_a_mask_the_film_goes_on(clip: Path, network: Network, tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 40:] = 255
    seen: list[np.ndarray] = []
    style_film.style_film(
        clip, STYLE, tmp_path / "out.webp", network, masks=mask, preview=seen.append, **OPTIONS
    )
    for frame, made in zip(read_movie(clip), seen, strict=True):
        moved = np.abs(made.astype(float) - frame).mean(2)
        assert moved[:, :39].max() <= 1
        assert moved[:, 41:].mean() > 5


def test_the_temporal_term_is_that_of_ruder() -> None:
    """Against autograd, through the formula as the paper has it."""
    drawn = torch.Generator().manual_seed(0)
    before, picture = torch.rand(2, 1, 3, 6, 8, generator=drawn)
    known = torch.rand(1, 1, 6, 8, generator=drawn)

    def nothing(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        return torch.ones(1), torch.full_like(pictures, 2.0)

    value, slope = steadied(nothing, before, known, 5.0)(picture, 0)
    picture.requires_grad_()
    loss = 5.0 * (known.expand_as(picture) * (picture - before) ** 2).mean()
    loss.backward()
    torch.testing.assert_close(value, 1 - loss.detach().view(1))
    torch.testing.assert_close(slope, 2 - picture.grad)


def test_what_cannot_be_is_one_clear_line(clip: Path, network: Network, tmp_path: Path) -> None:
    for given, output, options, says in (
        ("none.mp4", "out.mp4", {}, "does not exist"),
        (clip, "out.png", {}, r"has to end in \.gif, \.webp, \.mp4"),
        (clip, "out.gif", {"mix": [1, 2]}, r"mix \[1, 2\]: expected as many numbers"),
    ):
        with pytest.raises(ProbeError, match=says) as raised:
            style_film.style_film(given, STYLE, tmp_path / output, network, **options)
        assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(("start", "like_content"), [("content", True), (None, False)])
def test_what_comes_into_sight_starts_as_the_start_says(
    network: Network, monkeypatch: pytest.MonkeyPatch, start: str | None, like_content: bool
) -> None:
    """Pixels that were hidden before: with start="content" they are the content's own colours."""
    frame = data.coffee()[:48, :64]
    plan = prepare(frame, STYLE, StyleSettings.of({**OPTIONS, "model": network, "start": start}))
    run = Transfer(plan.inputs, plan.network, plan.settings, torch.device("cpu"))
    content = run.pictures.content_at(run.sizes[-1])
    assert content is not None
    nothing_seen = torch.zeros(1, 1, *content.shape[2:])
    motionless = torch.zeros(2, *content.shape[2:])
    monkeypatch.setattr(style_film, "since", lambda *_: (motionless, nothing_seen))
    starts: list[Tensor] = []

    class Begun(Exception):
        """Enough is known."""

    def canvas(painted: Tensor, *_: Any) -> None:
        starts.append(painted)
        raise Begun

    monkeypatch.setattr(run, "canvas", canvas)
    before = {"frame": content, "shown": content, "squares": content, "steps": 1.0}
    with pytest.raises(Begun):
        style_film.paint_next.__wrapped__(run, before, None)  # type: ignore[attr-defined]
    assert torch.equal(starts[0], content) == like_content
    if not like_content:
        assert torch.equal(starts[0], run.recoloured(content))
