"""What the comparison of models shows: scores, intervals, ceiling, and every test."""

import dataclasses
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from scipy.spatial.distance import pdist

from probe.errors import ProbeError
from probe.inference import evaluate
from probe.plots import plot_scores

N_STIMULI = 20


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def rdms():
    """Models of growing noise, and four subjects with noise of their own."""
    rng = np.random.default_rng(0)
    truth = pdist(rng.normal(size=(N_STIMULI, 4)))
    models = np.stack([truth + noise * rng.normal(size=truth.shape) for noise in (3, 0.1, 1, 9)])
    return models, truth + rng.normal(size=(4, len(truth)))


@pytest.fixture(scope="module")
def evaluation(rdms):
    return evaluate(*rdms, n_resamples=200)


def legend(ax):
    return [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]


def bars(ax):
    return [patch for patch in ax.patches if patch.get_width() == pytest.approx(0.68)]


def intervals(ax):
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return np.array([path.vertices[:, 1] for path in lines.get_paths()])


def stars(ax):
    return [text.get_text() for text in ax.texts]


def wings(ax):
    """Pairs (winner, loser), as drawn above the bars."""
    pairs = set()
    for strip in ax.child_axes:
        lines = iter(strip.lines)
        for line, losers, winner in zip(lines, lines, lines, strict=True):
            assert winner.get_marker() == "o"
            assert losers.get_marker() == "|"
            (first,) = winner.get_xdata()
            pairs |= {(int(first), int(x)) for x in losers.get_xdata()}
            ends = {first, *losers.get_xdata()}
            assert tuple(line.get_xdata()) == (min(ends), max(ends))
    return pairs


def diamonds(ax):
    return {int(x) for line in ax.lines if line.get_marker() == "D" for x in line.get_xdata()}


def test_bars_intervals_and_ceiling(evaluation):
    ax = plot_scores(evaluation, list("abcd"), order="given", ylabel="rho", title="A and B")
    np.testing.assert_allclose([bar.get_height() for bar in bars(ax)], evaluation.mean)
    np.testing.assert_allclose(
        intervals(ax), np.column_stack([evaluation.ci_low, evaluation.ci_high])
    )
    (band,) = (p for p in ax.patches if p not in bars(ax))
    lower, upper = evaluation.ceiling
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((lower, upper))
    assert [text.get_text() for text in ax.get_xticklabels()] == list("abcd")
    assert legend(ax)[:3] == ["noise ceiling", "4 subjects", "95 % CI over stimuli"]
    assert ax.get_ylabel() == "rho"
    assert ax.get_title(loc="left") == "A and B"


def test_the_best_is_first_and_takes_everything_with_it(evaluation):
    ax = plot_scores(evaluation, list("abcd"))
    order = np.argsort(-evaluation.mean)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["abcd"[k] for k in order]
    np.testing.assert_allclose([bar.get_height() for bar in bars(ax)], evaluation.mean[order])
    np.testing.assert_allclose(intervals(ax)[:, 0], evaluation.ci_low[order])
    given = plot_scores(evaluation, order="given")
    assert stars(ax) == [stars(given)[k] for k in order]
    assert {(order[a], order[b]) for a, b in wings(ax)} == wings(given)
    assert {order[k] for k in diamonds(ax)} == diamonds(given)


def test_every_subject_is_a_dot(evaluation):
    ax = plot_scores(evaluation, order="given")
    (dots,) = (line for line in ax.lines if line.get_marker() == "o")
    x, y = dots.get_data()
    np.testing.assert_allclose(np.sort(y), np.sort(evaluation.scores.ravel()))
    for place, score in zip(x, y, strict=True):
        assert score in evaluation.scores[round(place)]


def test_standard_errors(rdms):
    evaluation = evaluate(*rdms, resample="both", n_resamples=100)
    ax = plot_scores(evaluation, order="given", error="se")
    low, high = intervals(ax).T
    np.testing.assert_allclose(high - low, 2.0 * evaluation.se)
    assert "± standard error over stimuli and subjects" in legend(ax)


@pytest.mark.parametrize(
    ("correction", "said"), [("fdr", "FDR"), ("holm", "Holm"), ("none", "uncorrected")]
)
def test_marks_are_those_of_the_corrected_tests(evaluation, correction, said):
    suffix = "" if correction == "none" else f"_{correction}"
    p = {what: np.array([0.0005, 0.005, 0.04, 0.3]) for what in ("p_zero", "p_ceiling")}
    pairs = np.full((4, 4), 1.0)
    order = np.argsort(-evaluation.mean)
    differ = {(order[0], order[2]), (order[0], order[3]), (order[1], order[3])}
    for a, b in differ:
        pairs[a, b] = pairs[b, a] = 0.01
    # Other corrections say the opposite, so that a mistaken one shows.
    others = {
        f"p_{what}{s}": np.full((4,) * (1 + (what == "pairs")), 0.5 if what != "ceiling" else 0.0)
        for what in ("zero", "ceiling", "pairs")
        for s in ("", "_fdr", "_holm")
    }
    chosen = {f"p_zero{suffix}": p["p_zero"], f"p_ceiling{suffix}": p["p_ceiling"]}
    changed = dataclasses.replace(evaluation, **others | chosen | {f"p_pairs{suffix}": pairs})
    ax = plot_scores(changed, order="given", correction=correction)
    assert stars(ax) == ["***", "**", "*", ""]
    assert diamonds(ax) == {3}
    assert wings(ax) == differ
    assert [text for text in legend(ax) if said in text] == [
        f"above zero: * p < .05, ** p < .01, *** p < .001 ({said})",
        f"not below the ceiling (p ≥ .05, {said})",
        f"better than (p < .05, {said} over 6 pairs)",
    ]


def test_no_pair_differs(evaluation):
    ax = plot_scores(dataclasses.replace(evaluation, p_pairs_fdr=np.full((4, 4), 0.2)))
    assert not ax.child_axes
    assert "no two models differ (p ≥ .05, FDR over 6 pairs)" in legend(ax)


def test_what_a_design_cannot_tell_is_not_drawn(rdms):
    models, data = rdms
    ax = plot_scores(evaluate(models[:1], data[:1], resample=None, n_resamples=50))
    assert len(ax.patches) == 1
    assert not [c for c in ax.collections if isinstance(c, LineCollection)]
    assert legend(ax) == ["above zero: * p < .05, ** p < .01, *** p < .001 (FDR)"]
    assert not ax.child_axes


def test_two_models_need_no_correction(rdms):
    models, data = rdms
    ax = plot_scores(evaluate(models[[1, 3]], data, n_resamples=50))
    assert wings(ax) == {(0, 1)}
    assert "better than (p < .05)" in legend(ax)


@pytest.mark.parametrize("n", [12, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 30))])
def test_nothing_overlaps_or_is_cut(evaluation, n):
    rng = np.random.default_rng(n)
    mean = np.linspace(0.6, -0.1, n)
    shape = (n, n)
    many = dataclasses.replace(
        evaluation,
        mean=mean,
        scores=mean[:, None] + rng.normal(0, 0.05, (n, 4)),
        **{name: np.full(n, 0.03) for name in ("se", "p_zero_fdr")},
        p_ceiling_fdr=np.full(n, 0.5),
        ci_low=mean - 0.1,
        ci_high=mean + 0.1,
        p_pairs_fdr=np.full(shape, 0.001),
    )
    names = [f"network-{k}.features.{k}" for k in range(n)]
    ax = plot_scores(many, names, title="A title that is long enough to see where it goes")
    figure = ax.figure
    figure.canvas.draw()
    whole, drawn = figure.bbox, ax.get_tightbbox()
    for inner, outer in ((drawn.x0, whole.x0), (drawn.y0, whole.y0)):
        assert inner >= outer
    for inner, outer in ((drawn.x1, whole.x1), (drawn.y1, whole.y1)):
        assert inner <= outer
    if n > 20:
        assert "435 pairs differ (p < .05, FDR over 435 pairs)" in legend(ax)
        assert not ax.child_axes
        return
    assert len(wings(ax)) == n * (n - 1) // 2
    (strip,) = ax.child_axes
    box, matrix = strip.get_window_extent(), ax.get_window_extent()
    assert box.y0 >= matrix.y1
    assert ax._left_title.get_window_extent().y0 >= box.y1
    rows = sorted({line.get_ydata()[0] for line in strip.lines})
    places = strip.transData.transform([(0, row) for row in rows])[:, 1]
    assert all(a - b > 0.1 * figure.dpi for a, b in itertools.pairwise(places))
    texts = [text.get_window_extent() for text in ax.texts]
    assert max(text.y1 for text in texts) <= matrix.y1


def test_a_given_axes_is_taken(evaluation):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot_scores(evaluation, ax=right) is right
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]


def test_the_users_settings_are_left_alone(evaluation):
    before = mpl.rcParams.copy()
    plot_scores(evaluation)
    assert mpl.rcParams == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["a"]}, "1 names for 4 models"),
        ({"order": "scores"}, "order 'scores': expected one of score, given; did you mean 'score'"),
        ({"error": "sd"}, "error 'sd': expected one of ci, se"),
        ({"correction": "fdrr"}, "correction 'fdrr': expected one of .*; did you mean 'fdr'"),
    ],
)
def test_bad_input(evaluation, arguments, message):
    with pytest.raises(ProbeError, match=message):
        plot_scores(evaluation, **arguments)
    assert not plt.get_fignums()
