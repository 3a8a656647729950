"""How far to trust one map: all checks of it, as a table and as curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from probe import targets
from probe.attribution import checks
from probe.attribution.checks import Curve
from probe.attribution.gradients import Baseline, as_baseline
from probe.attribution.method import Method
from probe.attribution.randomisation import Method as Callable_
from probe.attribution.randomisation import randomisation_test
from probe.output.drawable import Drawable
from probe.output.text import number
from probe.plots import plot_curves, plot_randomisation
from probe.plots.figures import own_panels
from probe.targets import Class, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

N_RANDOMISED_LAYERS = 4
"""Layers after which the randomisation test looks at the map: it makes it anew each time."""

N_RANDOM_ORDERS, RANDOM_STEPS = 3, 25
"""Random orders of pixels that a map's is compared with, and the steps of their curves."""


@dataclass(frozen=True, eq=False, repr=False)
class Trust(Drawable):
    """What the checks of a map found.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per check: ``check``, ``value``, ``chance`` (what a map without any knowledge has;
        NaN where there is no such thing), ``meaning``.
    deletion, insertion : Curve
        Of the map: one row of scores.
    chance : tuple of (Curve, Curve)
        The same of pixels in random order.
    randomised : pandas.DataFrame
        As from `probe.attribution.checks.randomisation_test`.
    map_title, score : str
        Which map was checked, and what the curves are of.
    """

    table: pd.DataFrame
    deletion: Curve
    insertion: Curve
    chance: tuple[Curve, Curve]
    randomised: pd.DataFrame
    map_title: str
    score: str

    @property
    def title(self) -> str:
        """One line that says which map was checked."""
        return self.map_title

    def record(self) -> dict[str, Any]:
        """Return all numbers as plain values; None where there is none."""
        rows = self.table.to_dict("records")
        plain = [{k: None if v != v else v for k, v in row.items()} for row in rows]
        return {
            "checks": plain,
            "deletion": self.deletion.scores[0].tolist(),
            "insertion": self.insertion.scores[0].tolist(),
            "fractions": self.deletion.fractions.tolist(),
            "randomisation": self.randomised.replace({np.nan: None}).to_dict("records"),
        }

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw deletion and insertion curves, and the randomisation test.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        with own_panels(figure, 10.5, 3.6) as canvas:
            figure = canvas.figure
            left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
            curves = {
                "deletion": (self.deletion.fractions, self.deletion.scores),
                "deletion, random": (self.chance[0].fractions, self.chance[0].scores.mean(0)),
                "insertion": (self.insertion.fractions, self.insertion.scores),
                "insertion, random": (self.chance[1].fractions, self.chance[1].scores.mean(0)),
            }
            plot_curves(curves, ylabel=self.score, legend=legend, ax=left)
            plot_randomisation(self.randomised, legend=legend, ax=right)
            canvas.head(self.title)
        return figure

    @property
    def about(self) -> dict[str, Any]:
        """What `record` returns."""
        return self.record()

    def _caption(self) -> str:
        return self.summary().to_html(index=False)

    def summary(self) -> pd.DataFrame:
        """Return the table as a person reads it: rounded."""
        text = self.table.copy()
        for column in ("value", "chance"):
            text[column] = ["" if v != v else number(v) for v in text[column]]
        return text


def trust(
    method: Method,
    function: Callable_,
    module: torch.nn.Module,
    inputs: torch.Tensor,
    target: Target,
    values: np.ndarray,
    *,
    title: str,
    seed: int,
    batch_size: int,
    progress: bool | None = None,
) -> Trust:
    """Check one map.

    Parameters
    ----------
    method : Method
        What made it.
    function : callable
        The same with all its settings: ``function(module, images, target)``.
    module : torch.nn.Module
    inputs : torch.Tensor, shape (1, 3, height, width)
    target : Target
    values : numpy.ndarray
        The map.
    title : str
    seed : int
    batch_size : int
    progress : bool, optional
    """
    maps = torch.from_numpy(values)[None]
    # A slope's sign is a direction and no vote: what moves the target most is what matters.
    ranked = maps.abs() if method.slope else maps
    how: Any = {"seed": seed, "batch_size": batch_size}
    deletion = checks.deletion_curve(module, inputs, target, ranked, **how)
    insertion = checks.insertion_curve(module, inputs, target, ranked, **how)
    draw = torch.Generator().manual_seed(seed)
    blind = torch.rand((N_RANDOM_ORDERS, *inputs.shape[2:]), generator=draw)
    repeated = inputs.expand(N_RANDOM_ORDERS, -1, -1, -1)
    chance = (
        checks.deletion_curve(module, repeated, target, blind, steps=RANDOM_STEPS, **how),
        checks.insertion_curve(module, repeated, target, blind, steps=RANDOM_STEPS, **how),
    )
    rows: list[tuple[str, float, float, str]] = [
        ("deletion", float(deletion.area[0]), float(chance[0].area.mean()),
         "area below the curve as the map's pixels are removed: low is good"),
        ("insertion", float(insertion.area[0]), float(chance[1].area.mean()),
         "area below the curve as they are inserted: high is good"),
    ]  # fmt: skip
    slopes = method.slope and maps.ndim == 4
    baseline = _baseline_of(getattr(function, "keywords", {}), inputs)  # that of the map
    infidelity = checks.infidelity(
        module, inputs, target, maps, contributions=not slopes, baseline=baseline, **how
    )
    rows.append(
        ("infidelity", float(infidelity[0]), 1.0, "0: it predicts what covered squares change")
    )
    sensitivity = checks.max_sensitivity(
        function, module, inputs, target, maps=maps, n_samples=5, seed=seed, progress=progress
    )
    rows.append(
        ("sensitivity", float(sensitivity[0]), float("nan"),
         "change with invisible noise, as a share of the map: low is good")
    )  # fmt: skip
    if method.sums_to:
        value = targets.values(module, inputs, target)
        before = torch.zeros_like(value)
        if method.sums_to == "change":
            before = targets.values(module, as_baseline(baseline, inputs), target)
        gap = checks.completeness_gap(maps, value.cpu(), before.cpu())
        rows.append(
            ("completeness", float(gap[0]), float("nan"),
             f"gap between the map's sum and the target's {method.sums_to}: 0 is complete")
        )  # fmt: skip
    randomised = randomisation_test(
        function,
        module,
        inputs,
        target,
        maps=maps,
        n_layers=N_RANDOMISED_LAYERS,
        seed=seed,
        progress=progress,
    )
    last = randomised[
        (randomised["mode"] == "cascading") & (randomised["measure"] == "spearman_abs")
    ]
    rows.append(
        ("randomisation", float(last["similarity"].iloc[-1]), 0.0,
         "rank correlation with the map of a network with random weights: 1 is a map that does not "
         "depend on what was learned")
    )  # fmt: skip
    return Trust(
        pd.DataFrame(rows, columns=["check", "value", "chance", "meaning"]),
        deletion, insertion, chance, randomised, title,
        "probability of the class" if isinstance(target, Class) else f"{target.name}",
    )  # fmt: skip


def _baseline_of(settings: Mapping[str, Any], inputs: torch.Tensor) -> Baseline:
    """Return what a map compares the picture with: our ``baseline``, or Captum's ``baselines``.

    Of several pictures to compare with, the mean colour stands for them.
    """
    baseline = settings.get("baseline", settings.get("baselines"))
    if isinstance(baseline, np.ndarray):
        baseline = torch.from_numpy(baseline)
    if baseline is None or callable(baseline) or isinstance(baseline, tuple):
        return 0.0
    if isinstance(baseline, torch.Tensor) and baseline.ndim == inputs.ndim and len(baseline) > 1:
        return 0.0
    return baseline
