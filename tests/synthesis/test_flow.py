"""Optical flow: films whose motion is known."""

from __future__ import annotations

import sys

import pytest
import torch
from skimage import data

from probe.errors import ProbeError
from probe.synthesis.flow import carried, motion, seen_before

pytest.importorskip("cv2")
PHOTOGRAPH = data.coffee()[:240, 40:360]


def moved(dx, dy):
    """Two frames, the second of which shows the photograph shifted to the right and down."""
    at = (40, 40)
    before = PHOTOGRAPH[at[0] : at[0] + 160, at[1] : at[1] + 200]
    after = PHOTOGRAPH[at[0] - dy : at[0] - dy + 160, at[1] - dx : at[1] - dx + 200]
    return before, after


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, -5), (8, 6)])
def test_a_shift_is_found(dx, dy):
    before, after = moved(dx, dy)
    there = motion(after, before)
    inner = there[:, 20:-20, 20:-20]
    assert inner[0].median() == pytest.approx(-dx, abs=0.2)
    assert inner[1].median() == pytest.approx(-dy, abs=0.2)


def test_what_is_carried_lies_where_it_went():
    before, after = moved(8, 6)
    frames = [torch.from_numpy(f.copy()).permute(2, 0, 1) / 255 for f in (before, after)]
    there, back = motion(after, before), motion(before, after)
    known = seen_before(there, back)
    error = (carried(frames[0], there) - frames[1]).abs().mean(0)
    assert known.mean() > 0.8
    assert float(error[known > 0].mean()) < 0.02
    assert float((frames[0] - frames[1]).abs().mean()) > 0.05
    # What has come in on the left and at the top was not to be seen before.
    assert known[:, :6].mean() < 0.2
    assert known[:4].mean() < 0.2


def test_carried_is_an_interpolation():
    drawn = torch.Generator().manual_seed(0)
    picture = torch.rand(2, 40, 50, generator=drawn)
    exact = torch.zeros(2, 40, 50)
    exact[0], exact[1] = 3, -2
    shifted = carried(picture, exact)
    torch.testing.assert_close(shifted[:, 2:, :-3], picture[:, :-2, 3:], atol=1e-5, rtol=0)
    # Between pixels, a plane is a plane.
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    plane = (0.3 * x - 0.2 * y)[None]
    found = carried(plane, torch.full((2, 40, 50), 0.5))
    torch.testing.assert_close(found[:, 2:-3, 2:-3], plane[:, 2:-3, 2:-3] + 0.05)


def test_something_that_is_uncovered_was_not_seen():
    """A square moves to the right: what was behind it appears at its left side."""
    frames = []
    for left in (60, 72):
        frame = PHOTOGRAPH.copy()
        frame[70:150, left : left + 80] = data.astronaut()[60:140, 180:260]
        frames.append(frame)
    known = seen_before(motion(frames[1], frames[0]), motion(frames[0], frames[1]))
    assert known[75:145, 62:70].mean() < 0.5  # uncovered
    assert known[80:140, 82:142].mean() > 0.9  # the square itself
    assert known[:40].mean() > 0.95


def test_says_what_is_wrong(monkeypatch):
    with pytest.raises(ProbeError, match="differ in size"):
        motion(PHOTOGRAPH, PHOTOGRAPH[:-1])
    with pytest.raises(ProbeError, match="too small"):
        motion(PHOTOGRAPH[:20], PHOTOGRAPH[:20])
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ProbeError, match=r"cnn-probe\[video\]"):
        motion(PHOTOGRAPH, PHOTOGRAPH)
