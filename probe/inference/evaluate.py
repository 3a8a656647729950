"""Scores of models against data, with how sure one may be of them."""

from __future__ import annotations

import functools
import io
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from probe.inference.crossvalidation import (
    crossvalidated_scores,
    default_n_folds,
    mean_of_known,
    permuted_crossvalidated_scores,
    random_folds,
)
from probe.inference.flexible import Model
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.resampling import (
    Executor,
    Track,
    Units,
    bootstrap_counts,
    permuted_scores,
    resampled_scores,
    scores_without_each,
    without_each,
)
from probe.inference.significance import (
    bootstrap_test,
    permutation_test,
    sign_flip_test,
    t_test,
)
from probe.inference.variance import (
    contrast_values,
    schuett2023_variance,
    stimulus_and_subject_variance,
    stimulus_variance,
    subject_variance,
    variance_over_samples,
)
from probe.output.summarised import Summarised
from probe.output.text import corrected, count, number, p_value, share
from probe.similarity import Comparator, get_comparator, n_conditions
from probe.similarity.comparators import PreparedRDMs
from probe.similarity.pairs import complete_pairs, rdm_name, restrict

MIN_STIMULI = 5
"""Below this many stimuli (or groups of them) a bootstrap over stimuli says nothing."""

N_DEALS = 4
"""Ways to deal out the stimuli to folds, over which a cross-validated score is averaged."""

BLOCK_CONTRASTS = 128
"""Contrasts whose resamples are held in memory together."""

RESAMPLES = ("stimuli", "subjects", "both")
"""What can be resampled: to what other stimuli, or other subjects, an interval refers."""

TESTS = ("auto", "permutation", "t", "bootstrap", "sign-flip")
"""The tests by name, see `evaluate`."""

VARIANCES = ("corrected", "bootstrap")
"""Estimates of the variance by name, see `evaluate`."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Summarised):
    """What `evaluate` returns; it shows itself, and `probe.plots.plot_scores` draws it.

    M models, S subjects, B resamples; what a design cannot tell is NaN.

    Attributes
    ----------
    scores : numpy.ndarray, shape (M, S)
        Similarity of every model with every subject.
    mean : numpy.ndarray, shape (M,)
        Mean over subjects.
    se : numpy.ndarray, shape (M,)
        Standard error of the mean score over what was resampled. NaN where the score hangs on one
        stimulus, without which there is none.
    ci_low, ci_high : numpy.ndarray, shape (M,)
        95 % confidence interval.
    ceiling : tuple of float
        Lower and upper bound of the true model's score. NaN with one subject, and where the
        subjects without one cancel out: their pooled RDM is constant.
    ceiling_se : tuple of float
        Their standard errors.
    p_zero, p_zero_fdr, p_zero_holm : numpy.ndarray, shape (M,)
        One-sided, of the hypothesis that model and data have nothing in common; as it is, and
        corrected over the models (Benjamini & Hochberg 1995; Holm 1979).
    p_ceiling, p_ceiling_fdr, p_ceiling_holm : numpy.ndarray, shape (M,)
        One-sided, of the hypothesis that the model reaches the lower bound of the ceiling.
    p_pairs, p_pairs_fdr, p_pairs_holm : numpy.ndarray, shape (M, M)
        Two-sided, of the hypothesis that two models score alike; corrected over all pairs.
    difference_se : numpy.ndarray, shape (M, M)
        Standard error of the difference of two models.
    dof : numpy.ndarray, shape (M,)
        Degrees of freedom of the t distribution behind the intervals.
    resample, test : str
        As asked for; ``test`` as it was resolved.
    resampled : numpy.ndarray, shape (B, M), or None
        Mean score in every bootstrap sample.
    names, subjects : tuple of str
        What models and subjects are called; empty if nobody named them.
    """

    scores: np.ndarray
    mean: np.ndarray
    se: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    ceiling: tuple[float, float]
    ceiling_se: tuple[float, float]
    p_zero: np.ndarray
    p_zero_fdr: np.ndarray
    p_zero_holm: np.ndarray
    p_ceiling: np.ndarray
    p_ceiling_fdr: np.ndarray
    p_ceiling_holm: np.ndarray
    p_pairs: np.ndarray
    p_pairs_fdr: np.ndarray
    p_pairs_holm: np.ndarray
    difference_se: np.ndarray
    dof: np.ndarray
    resample: str | None
    test: str
    resampled: np.ndarray | None
    names: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line that says how many models and subjects there are."""
        n_models, n_subjects = self.scores.shape
        return f"{count(n_models, 'model')} and {count(n_subjects, 'subject')}"

    def of_models(self, models: Sequence[int]) -> Evaluation:
        """Return the evaluation of some of the models, p-values corrected over these alone.

        Parameters
        ----------
        models : sequence of int, shape (K,)
            Which, by their numbers.

        Returns
        -------
        Evaluation
            As `evaluate` returns it for these models: what is computed of one does not depend on
            the others, but for corrected p-values.
        """
        chosen = np.asarray(models, dtype=int)
        of_each: dict[str, Any] = {
            name: getattr(self, name)[chosen]
            for name in ("scores", "mean", "se", "ci_low", "ci_high", "p_zero", "p_ceiling", "dof")
        }
        square = np.ix_(chosen, chosen)
        return replace(
            self,
            **of_each,
            **_corrected("p_zero", of_each["p_zero"]),
            **_corrected("p_ceiling", of_each["p_ceiling"]),
            **_corrected_pairs(self.p_pairs[square]),
            difference_se=self.difference_se[square],
            resampled=None if self.resampled is None else self.resampled[:, chosen],
            names=tuple(self.names[k] for k in chosen) if self.names else (),
        )

    def plot(
        self, ax: Any = None, *, names: Sequence[str] | None = None, legend: bool = True
    ) -> Any:
        """Draw every model's score as a bar, and every test, see `probe.plots.plot_scores`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        names : sequence of str, optional
            Of the models; by default those that `evaluate` was called with.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from probe.plots import plot_scores

        return plot_scores(self, self._named(names), legend=legend, ax=ax)

    def _png(self) -> bytes:
        """Return the figure as the content of a PNG file."""
        from matplotlib import pyplot as plt

        figure = self.plot().get_figure(root=True)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=200, metadata={"Title": self.title})
        plt.close(figure)
        return content.getvalue()

    def summary(self, correction: str = "fdr") -> pd.DataFrame:
        """Return the models as a person reads them, the best first.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Which corrected p-value is shown.

        Returns
        -------
        pandas.DataFrame
            One row per model, of strings; ``of ceiling`` is the score as a share of the noise
            ceiling's upper and lower bound.
        """
        table = self.table().sort_values("score", ascending=False, kind="stable")
        column, heading = corrected("p_zero", correction)
        columns = {"model": list(table["model"]), "score": [number(s) for s in table["score"]]}
        if self.resample is not None:
            columns["95 % CI"] = [
                f"{number(low)} to {number(high)}"
                for low, high in table[["ci_low", "ci_high"]].to_numpy()
            ]
        columns["p"] = [p_value(p) for p in table["p_zero"]]
        if heading != "p":
            columns[heading] = [p_value(p) for p in table[column]]
        if self.has_ceiling:
            columns["of ceiling"] = [
                share(*shares) for shares in table[["share_of_upper", "share_of_lower"]].to_numpy()
            ]
        return pd.DataFrame(columns)

    def notes(self, correction: str = "fdr") -> list[str]:
        """Return in sentences what the table alone does not say.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Of the p-values that are spoken of.
        """
        lower, upper = self.ceiling
        notes = ["Noise ceiling unknown: one subject only."]
        if self.has_ceiling:
            notes = [f"Noise ceiling {number(lower)} to {number(upper)}."]
        pairs = self.pairs()
        column, heading = corrected("p", correction)
        if pairs[column].notna().any():
            how = "" if heading == "p" else f", {heading.removeprefix('p (').removesuffix(')')}"
            n_different = int((pairs[column] < 0.05).sum())
            notes.append(f"{n_different} of {len(pairs)} pairs of models differ (p < .05{how}).")
        return notes

    @property
    def has_ceiling(self) -> bool:
        """Whether both bounds of the noise ceiling are known."""
        return bool(np.isfinite(self.ceiling).all())

    def table(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the scores and tests of the models, one row per model.

        Parameters
        ----------
        names : sequence of str, optional
            Of the models; by default those that `evaluate` was called with.

        Returns
        -------
        pandas.DataFrame
            ``model``, ``score``, ``se``, ``ci_low``, ``ci_high``, the three p-values against zero
            and against the ceiling, the ceiling, and the score as a share of its bounds.
        """
        names = self._named(names)
        lower, upper = self.ceiling
        columns = {name: getattr(self, name) for name in ("se", "ci_low", "ci_high")}
        columns |= {
            f"p_{of}{corrected}": getattr(self, f"p_{of}{corrected}")
            for of in ("zero", "ceiling")
            for corrected in ("", "_fdr", "_holm")
        }
        return pd.DataFrame(
            {"model": names, "score": self.mean, **columns}
            | {
                "ceiling_lower": lower,
                "ceiling_upper": upper,
                # Of a ceiling at or below zero there is no share.
                "share_of_lower": self.mean / (lower if lower > 0 else np.nan),
                "share_of_upper": self.mean / (upper if upper > 0 else np.nan),
            }
        )

    def pairs(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the tests between models, one row per pair of them.

        Parameters
        ----------
        names : sequence of str, optional
            Of the models; by default those that `evaluate` was called with.

        Returns
        -------
        pandas.DataFrame
            ``model_a``, ``model_b``, ``difference`` (a − b), ``se``, ``p``, ``p_fdr``, ``p_holm``.
        """
        names = self._named(names)
        a, b = np.triu_indices(len(names), 1)
        return pd.DataFrame(
            {
                "model_a": [names[k] for k in a],
                "model_b": [names[k] for k in b],
                "difference": self.mean[a] - self.mean[b],
                "se": self.difference_se[a, b],
                "p": self.p_pairs[a, b],
                "p_fdr": self.p_pairs_fdr[a, b],
                "p_holm": self.p_pairs_holm[a, b],
            }
        )

    def _named(self, names: Sequence[str] | None) -> list[str]:
        if names is None:
            names = self.names or [f"model {k}" for k in range(len(self.mean))]
        if len(names) != len(self.mean):
            raise ValueError(f"{len(names)} names for {len(self.mean)} models")
        return list(names)


def evaluate(
    models: np.ndarray | Sequence[np.ndarray | Model],
    data: np.ndarray,
    comparator: str | Comparator = "spearman",
    *,
    cv: int | None = None,
    resample: str | None = "stimuli",
    groups: Sequence[Any] | None = None,
    test: str = "auto",
    variance: str = "corrected",
    n_resamples: int = 1000,
    seed: int = 0,
    names: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    track: Track | None = None,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> Evaluation:
    """Score models against subjects, with intervals and tests of the scores.

    **Intervals** refer to the population that is resampled: to other stimuli with these subjects
    (``resample='stimuli'``), to other subjects with these stimuli (``'subjects'``), or to other
    subjects and stimuli (``'both'``). A t distribution lies around the score itself, since the
    bootstrap distribution of an RDM correlation is shifted against it (Schütt et al. 2023, eLife
    12:e82566). Its variance is that of `probe.inference.variance`: the jackknife over stimuli,
    freed from its bias (``variance='corrected'``), and the variance over subjects, without what
    both have in common. ``variance='bootstrap'`` is the estimate of Schütt et al. and rsatoolbox,
    times n / (n − 1), which is too large unless the score is high and stimuli are many.

    **Tests**, of each model against zero (one-sided: a model that correlates negatively is no
    model of the data), of each model against the lower bound of the noise ceiling (one-sided:
    below it), and of all pairs of models (two-sided):

    - ``'permutation'`` permutes the stimulus labels of the data, which is exact for the
      hypothesis that the RDMs have nothing to do with each other (Mantel 1967, Cancer Res 27:209;
      Nili et al. 2014). It says nothing of pairs, for which the t-test is used.
    - ``'t'`` divides by the standard error of the interval.
    - ``'bootstrap'`` counts resamples on the other side of zero.
    - ``'sign-flip'`` flips the signs of subjects, with ``resample='subjects'`` only; its p-values
      are never below 1 / 2^S.

    For the ceiling, whose bounds all subjects share, it is always the t-test. Against zero only the
    permutation tests a comparator that is no correlation (cosine, Bures): RDMs that have nothing in
    common do not score zero there. ``'auto'`` is ``'permutation'``.

    The defaults reject true hypotheses as often as they say, or less often: with few subjects tests
    over both factors but the permutation are conservative (1 to 3 % at .05 with four), and so is
    that of the ceiling. Not calibrated (``analyses/calibration.py`` measures all of it):

    - ``'bootstrap'`` over fewer than 15 subjects: liberal, 20 % with four. Over stimuli, or over
      both factors, it is conservative.
    - ``'t'``, ``'bootstrap'`` and ``'sign-flip'`` against zero with ``resample='subjects'`` ask
      whether the mean score for *these* stimuli is zero. That of an unrelated model is not: among
      few stimuli there are chance resemblances, to which only the permutation is not blind.
    - The same where stimuli come in variants: permute groups.
    - The ceiling with cosine: noise makes all distances larger, so that the true model itself is
      below the bound.

    Parameters
    ----------
    models : numpy.ndarray, shape (M, n_pairs), or sequence of numpy.ndarray and Model
        Model RDMs. With a `Model` that is fitted to the data among them, all are cross-validated.
    data : numpy.ndarray, shape (S, n_pairs)
        One RDM per subject. A pair that is NaN in any RDM is left out of all.
    comparator : str or Comparator
        One of `probe.similarity.COMPARATORS`.
    cv : int, optional
        Folds of the stimuli: every fold is scored with parameters that were fitted without it, and,
        if subjects are resampled, without the subject that is scored. By default 2 to 5, by the
        number of stimuli, if a model has parameters. Scores are means over folds, and over
        `N_DEALS` ways to deal out the stimuli, the same in all resamples.
    resample : {'stimuli', 'subjects', 'both', None}
        None gives no interval.
    groups : sequence, shape (n_stimuli,), optional
        A label per stimulus: stimuli that share one are drawn and permuted together.
    test : {'auto', 'permutation', 't', 'bootstrap', 'sign-flip'}
    variance : {'corrected', 'bootstrap'}
    n_resamples : int
        Number of bootstrap samples, and of permutations, at least 2. The smallest p-value of a
        permutation is ``1 / (n_resamples + 1)``.
    seed : int
        Of bootstrap and permutations; the global random state is not touched.
    names : sequence of str, shape (M,), optional
        What the models are called, in tables and in errors; by default, by their numbers.
    subjects : sequence of str, shape (S,), optional
        What the subjects are called in errors.
    track : callable, optional
        Wraps an iterable over resamples in a progress bar; also given are its ``total`` and, as
        ``desc``, what it is. By default, of models that are fitted in every resample, which takes
        long, those of `probe.progress`, with the time that remains.
    progress : bool, optional
        Show these; by default when a person is watching.
    executor : Executor, optional
        Has blocks of resamples computed elsewhere, as `probe.cluster.Cluster` does; by default,
        threads of this process do it. A seed gives the same numbers, to the last bit where the
        processors and the versions are the same.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If the design does not allow what is asked (fewer than 5 stimuli or groups of stimuli, one
        subject, …), or an RDM is constant (in most resamples), infinite or all NaN.

    See Also
    --------
    probe.compare : The same from RDM files, as a result that shows and saves itself.
    noise_ceiling : The ceiling alone.
    select_on_halves : The best model, chosen and scored on different stimuli.
    probe.inference.Model : A model of several RDMs whose weights are fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import evaluate
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random(66)  # the RDM of 12 stimuli
    >>> subjects = truth + rng.normal(scale=0.2, size=(5, 66))
    >>> models = np.stack([truth, rng.random(66)])
    >>> result = evaluate(models, subjects, n_resamples=100, seed=0)
    >>> bool(result.mean[0] > 0.5 > result.mean[1])
    True
    >>> bool(result.ci_low[0] < result.mean[0] < result.ci_high[0])
    True
    """
    chosen = get_comparator(comparator)
    flexible = _as_models(models)
    fitted = cv is not None or any(m.fit != "fixed" for m in flexible)
    labels = _Labels.of(names, subjects, flexible, len(np.atleast_2d(data)))
    rdms: Any = models
    if not isinstance(models, np.ndarray):  # of which a copy may take gigabytes
        rdms = np.concatenate([m.rdms for m in flexible])
    a, b = prepare(chosen, rdms, data, labels.components, labels.subjects)
    n_models, n_subjects, units = len(flexible), len(b.rdms), Units.of(b.pairs, groups)
    kind = _checked(chosen, resample, test, variance, units, n_subjects, fitted)
    n_resamples = _whole("n_resamples", n_resamples, 2)
    seed = _whole("seed", seed, 0)
    # Each with draws of its own: what one of them draws does not change the others.
    of_samples, of_tests, of_folds = np.random.default_rng(seed).spawn(3)
    scorer = _Scorer(a, b, chosen, units, executor)
    if fitted:
        # In a bootstrap sample, only (1 − 1/e) n of n stimuli occur.
        occur = units.n * (1.0 if resample is None else 1.0 - np.exp(-1.0))
        n_folds = default_n_folds(occur) if cv is None else cv
        folds = random_folds(np.ones((1, units.n), dtype=int), n_folds, N_DEALS, of_folds)
        others = resample in ("subjects", "both")
        scorer = _CrossValidatedScorer(a, b, chosen, units, executor, flexible, folds, others)

    if fitted and track is None:
        from probe import progress as bars

        track = functools.partial(bars.track, progress=progress)

    # Scores. Rows: the models, then the two bounds of the ceiling. Columns: subjects.
    by_subject = scorer.score(np.ones((1, units.n), dtype=int), [np.ones((1, n_subjects))])[0][0]
    observed = by_subject.mean(axis=1)
    _refuse_unscored(observed[:n_models], labels)

    # How they vary over what is resampled.
    samples = None
    if resample is not None:
        samples = _sample(
            scorer, by_subject, resample, variance, n_resamples,
            fitted or "bootstrap" in (kind, variance), of_samples, track,
        )  # fmt: skip
        _refuse_constant(samples.means[resample][:, :n_models], labels)

    # What is asked, as weighted sums of the rows: each score, the differences of two, what lacks
    # to the ceiling, and its bounds.
    single = np.eye(n_models, n_models + 2)
    first, second = np.triu_indices(n_models, 1)
    contrasts = _Contrasts(by_subject, samples, kind, n_resamples, of_tests)
    to_zero = contrasts.of(single)
    differences = contrasts.of(single[first] - single[second])
    bounds = contrasts.of(np.eye(2, n_models + 2, n_models))
    to_ceiling = contrasts.of(np.eye(1, n_models + 2, n_models) - single)

    # Tests: against zero, below the ceiling, and between models.
    mean, half = observed[:n_models], stats.t.ppf(0.975, to_zero.dof) * to_zero.se
    if kind == "permutation":
        p_zero = permutation_test(mean, scorer.permuted(n_resamples, of_tests, track))
    elif chosen.centred:
        p_zero = contrasts.test(to_zero, two_sided=False)
    else:  # the score of RDMs that have nothing in common is not zero
        p_zero = np.full(n_models, np.nan)
    p_ceiling = contrasts.t_test(to_ceiling, two_sided=False)
    p_pairs = contrasts.test(differences, two_sided=True)

    def square(of_pairs: np.ndarray, diagonal: float) -> np.ndarray:
        matrix = np.full((n_models, n_models), diagonal)
        matrix[first, second] = matrix[second, first] = of_pairs
        return matrix

    return Evaluation(
        scores=by_subject[:n_models],
        mean=mean,
        se=to_zero.se,
        ci_low=np.maximum(mean - half, -1.0),
        ci_high=np.minimum(mean + half, 1.0),
        ceiling=(float(observed[-2]), float(observed[-1])),
        ceiling_se=(float(bounds.se[0]), float(bounds.se[1])),
        p_zero=p_zero,
        p_ceiling=p_ceiling,
        **_corrected("p_zero", p_zero),
        **_corrected("p_ceiling", p_ceiling),
        **_corrected_pairs(square(p_pairs, 1.0)),
        difference_se=square(differences.se, 0.0),
        dof=to_zero.dof,
        resample=resample,
        test=kind,
        resampled=None if samples is None else samples.means[samples.resample][:, :n_models],
        names=tuple(names or ()),
        subjects=tuple(subjects or ()),
    )


def _corrected(name: str, p: np.ndarray) -> dict[str, Any]:
    """Return p-values corrected over the models, by the names of their attributes."""
    return {f"{name}_fdr": benjamini_hochberg(p), f"{name}_holm": holm(p)}


def _corrected_pairs(p: np.ndarray) -> dict[str, Any]:
    """Return the p-values of pairs, (M, M), as they are and corrected over all pairs."""
    first, second = np.triu_indices(len(p), 1)
    matrices = {"p_pairs": p}
    for name, of_pairs in _corrected("p_pairs", p[first, second]).items():
        matrices[name] = np.ones_like(p)
        matrices[name][first, second] = matrices[name][second, first] = of_pairs
    return matrices


@dataclass(frozen=True)
class _Labels:
    """What models, the components that they consist of, and subjects are called in errors.

    For those that have no names of their own, the kind alone, which a number follows.
    """

    models: str | list[str]
    components: str | list[str]
    subjects: str | list[str]

    @classmethod
    def of(
        cls,
        names: Sequence[str] | None,
        subjects: Sequence[str] | None,
        models: Sequence[Model],
        n_subjects: int,
    ) -> _Labels:
        for what, labels, n in (("names", names, len(models)), ("subjects", subjects, n_subjects)):
            if labels is not None and len(labels) != n:
                raise ValueError(f"{what}: expected {n}, one for each, not {len(labels)}")
        of_models = None if names is None else [f"model {name!r}" for name in names]
        return cls(
            of_models or "model",
            [label for label, model in zip(of_models, models, strict=True) for _ in model.rdms]
            if of_models
            else "model",
            "subject" if subjects is None else [f"subject {name!r}" for name in subjects],
        )


@dataclass(frozen=True, eq=False)
class _Contrast:
    """Weighted sums of scores and bounds, (Q, M + 2), their standard errors and dof, (Q,)."""

    weights: np.ndarray
    se: np.ndarray
    dof: np.ndarray


@dataclass(frozen=True, eq=False)
class _Contrasts:
    """Standard errors and tests of weighted sums of the rows, (M + 2, S), of scores and bounds."""

    by_subject: np.ndarray
    samples: _Samples | None
    kind: str
    n_resamples: int
    rng: np.random.Generator

    def of(self, weights: np.ndarray) -> _Contrast:
        """Return weighted sums with standard errors and degrees of freedom."""
        if self.samples is None:
            undefined = np.full(len(weights), np.nan)
            return _Contrast(weights, undefined, undefined)
        # Not all at once: there is a table of all resamples and subjects for each.
        parts = [
            self.samples.variance(weights[k : k + BLOCK_CONTRASTS])
            for k in range(0, len(weights), BLOCK_CONTRASTS)
        ]
        if not parts:
            return _Contrast(weights, np.empty(0), np.empty(0))
        variances, dof = (np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
        return _Contrast(weights, np.sqrt(variances), dof)

    def test(self, contrast: _Contrast, *, two_sided: bool) -> np.ndarray:
        """Return p-values of the test that was chosen."""
        if self.samples is not None and self.kind == "sign-flip":
            values = contrast_values(self.by_subject[None], contrast.weights)[0]
            return sign_flip_test(values, self.n_resamples, self.rng, two_sided=two_sided)
        if self.samples is not None and self.kind == "bootstrap":
            means = self.samples.means[self.samples.resample]
            values = contrast_values(means, contrast.weights)
            return bootstrap_test(values, two_sided=two_sided)
        return self.t_test(contrast, two_sided=two_sided)

    def t_test(self, contrast: _Contrast, *, two_sided: bool) -> np.ndarray:
        """Return p-values of the t-test."""
        observed = self.by_subject.mean(axis=1)
        statistic = contrast_values(observed[None], contrast.weights)[0]
        return t_test(statistic, contrast.se, contrast.dof, two_sided=two_sided)


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Scores of M models and S subjects in resamples of n units of the stimuli."""

    models: PreparedRDMs
    data: PreparedRDMs
    comparator: Comparator
    units: Units
    executor: Executor | None

    def score(
        self,
        counts: np.ndarray,
        weightings: Sequence[np.ndarray],
        track: Track | None = None,
        desc: str = "",
    ) -> list[np.ndarray]:
        """For every weighting (B, S) of the subjects, scores and both bounds, (B, M + 2, S).

        ``counts`` (B, n) are of units. One subject has no bounds: NaN.
        """
        has_bounds = len(self.data.rdms) > 1
        scores, bounds = resampled_scores(
            self.models, self.data, self.comparator, self.units.counts(counts),
            weightings if has_bounds else [], _described(track, desc), self.executor,
        )  # fmt: skip
        if not has_bounds:
            bounds = np.full((len(weightings), len(counts), 2, 1), np.nan)
        return [np.concatenate([scores, of_weighting], axis=1) for of_weighting in bounds]

    def score_without_each(self, track: Track | None) -> np.ndarray:
        """Scores and both bounds without each of n units of the stimuli, (n, M + 2, S)."""
        n, n_subjects = self.units.n, len(self.data.rdms)
        if n_subjects > 1:  # only resamples have bounds
            everyone = np.ones((n, n_subjects))
            return self.score(without_each(n), [everyone], track, "jackknife")[0]
        scores = scores_without_each(
            self.models, self.data, self.comparator, self.units, _described(track, "jackknife"),
            self.executor,
        )  # fmt: skip
        return np.concatenate([scores, np.full((n, 2, 1), np.nan)], axis=1)

    def permuted(self, n: int, rng: np.random.Generator, track: Track | None) -> np.ndarray:
        """Mean scores (n, M) with the labels of the stimuli permuted."""
        return permuted_scores(
            self.models, self.data, self.comparator, self.units.permutations(n, rng),
            _described(track, "permutations"), self.executor,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _CrossValidatedScorer(_Scorer):
    """The same on stimuli that models were not fitted to; ``models`` are their components.

    All resamples share the ways, ``folds`` (1, R, n), in which the stimuli are dealt out, or the
    jackknife would take other folds for the effect of a stimulus left out.
    """

    flexible: Sequence[Model]
    folds: np.ndarray
    other_subjects: bool

    def score(
        self,
        counts: np.ndarray,
        weightings: Sequence[np.ndarray],
        track: Track | None = None,
        desc: str = "",
    ) -> list[np.ndarray]:
        tables = []
        for weights in weightings:
            scores, bounds = crossvalidated_scores(
                self.flexible, self.models, self.data, self.comparator, self.units, counts,
                np.where(counts[:, None] > 0, self.folds, -1), subjects=weights,
                other_subjects=self.other_subjects, track=_described(track, desc),
                executor=self.executor,
            )  # fmt: skip
            tables.append(mean_of_known(np.concatenate([scores, bounds], axis=2), axis=1))
        return tables

    def score_without_each(self, track: Track | None) -> np.ndarray:
        everyone = np.ones((self.units.n, len(self.data.rdms)))
        return self.score(without_each(self.units.n), [everyone], track, "jackknife")[0]

    def permuted(self, n: int, rng: np.random.Generator, track: Track | None) -> np.ndarray:
        return permuted_crossvalidated_scores(
            self.flexible, self.models, self.data, self.comparator, self.units,
            self.units.permutations(n, rng), np.repeat(self.folds, n, axis=0),
            other_subjects=self.other_subjects, track=_described(track, "permutations"),
            executor=self.executor,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Samples:
    """Scores and bounds, K rows, in samples of stimuli and subjects.

    ``by_subject`` (K, S) and, with n units of stimuli, ``left_out`` (n, K, S) and ``resampled``
    (B, K, S), with ``counts`` (B, n), are of every subject. ``means`` (B, K), by what was
    resampled, are over subjects as often as they were drawn.
    """

    resample: str
    scheme: str
    by_subject: np.ndarray
    left_out: np.ndarray
    resampled: np.ndarray
    counts: np.ndarray
    means: dict[str, np.ndarray]

    def variance(self, contrasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variances and degrees of freedom of weighted sums of the rows, shape (Q,) each."""
        n_subjects, n = self.by_subject.shape[1], self.counts.shape[1]
        dof = {"stimuli": n, "subjects": n_subjects, "both": min(n, n_subjects)}[self.resample] - 1
        dofs = np.full(len(contrasts), float(dof))
        if self.scheme == "bootstrap":
            of = {
                name: variance_over_samples(contrast_values(means, contrasts))
                for name, means in self.means.items()
            }
            if self.resample != "both":
                return of[self.resample] * (dof + 1) / dof, dofs
            of_three = of["both"], of["subjects"], of["stimuli"]
            return schuett2023_variance(*of_three, n_subjects, n), dofs
        values = contrast_values(self.by_subject[None], contrasts)[0]
        if self.resample == "subjects":
            return subject_variance(values), dofs
        if self.resample == "stimuli":
            left_out, resampled = self.left_out.mean(axis=2), self.resampled.mean(axis=2)
            left_out, resampled = (contrast_values(v, contrasts) for v in (left_out, resampled))
            return stimulus_variance(left_out, resampled, self.counts), dofs
        left_out, resampled = (
            contrast_values(v, contrasts) for v in (self.left_out, self.resampled)
        )
        return stimulus_and_subject_variance(values, left_out, resampled, self.counts)


def _sample(
    scorer: _Scorer,
    by_subject: np.ndarray,
    resample: str,
    scheme: str,
    n_resamples: int,
    needs_bounds: bool,
    rng: np.random.Generator,
    track: Track | None,
) -> _Samples:
    """Draw stimuli and subjects.

    The bounds of drawn subjects, each set of which has pools of its own, are found only if they
    are needed.
    """
    (n_rows, n_subjects), n = by_subject.shape, scorer.units.n
    of_stimuli, of_subjects = rng.spawn(2)
    subject_counts = of_subjects.multinomial(
        n_subjects, np.full(n_subjects, 1.0 / n_subjects), size=n_resamples
    )
    everyone = np.ones((n_resamples, n_subjects))
    counts = np.ones((1, n), dtype=int)
    left_out = resampled = np.full((1, n_rows, n_subjects), np.nan)
    means = {}
    if resample in ("stimuli", "both"):
        counts = bootstrap_counts(n, n_resamples, of_stimuli)
        weightings = (
            [everyone, subject_counts] if resample == "both" and needs_bounds else [everyone]
        )
        tables = scorer.score(counts, weightings, track, "bootstrap")
        resampled = tables[0]
        means["stimuli"] = resampled.mean(axis=2)
        if resample == "both":
            means["both"] = _means(tables[-1], subject_counts)
        if scheme == "corrected":
            left_out = scorer.score_without_each(track)
    if resample in ("subjects", "both"):
        if needs_bounds:
            # With few subjects there are few different samples of them.
            distinct, which = np.unique(subject_counts, axis=0, return_inverse=True)
            everything = np.ones((len(distinct), n), dtype=int)
            means["subjects"] = _means(scorer.score(everything, [distinct])[0], distinct)[which]
        else:
            means["subjects"] = _means(by_subject[None], subject_counts)
        by_subject = _pseudo_values(scorer, by_subject)
    return _Samples(resample, scheme, by_subject, left_out, resampled, counts, means)


def _described(track: Track | None, desc: str) -> Track | None:
    return functools.partial(track, desc=desc) if track else None


def _means(values: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Average values (B, K, S) over subjects, each as often as it was drawn (B, S)."""
    weighted = np.where(subjects[:, None] > 0, values * subjects[:, None], 0.0)
    return np.asarray(weighted.sum(axis=2) / subjects.sum(axis=1, keepdims=True))


def _pseudo_values(scorer: _Scorer, by_subject: np.ndarray) -> np.ndarray:
    """Compute jackknife pseudo-values of what subjects share: bounds pools, fitted models fits.

    The variance of the subjects' own values would be too small (Tukey 1958, Ann Math Stat 29:614).
    Without one of two subjects there is no bound left: NaN.
    """
    n_rows, n_subjects = by_subject.shape
    shared = np.arange(n_rows) >= (0 if isinstance(scorer, _CrossValidatedScorer) else n_rows - 2)
    others = 1 - np.eye(n_subjects, dtype=int)
    everything = np.ones((n_subjects, scorer.units.n), dtype=int)
    without = _means(scorer.score(everything, [others])[0], others).T
    mean = by_subject.mean(axis=1, keepdims=True)
    pseudo = n_subjects * mean - (n_subjects - 1) * without
    return np.where(shared[:, None], pseudo, by_subject)


def prepare(
    comparator: Comparator,
    models: np.ndarray | Sequence[np.ndarray],
    data: np.ndarray,
    names: str | Sequence[str] = "model",
    subjects: str | Sequence[str] = "subject",
) -> tuple[PreparedRDMs, PreparedRDMs]:
    """Check models and data, and leave out the pairs that are missing in any.

    ``names`` and ``subjects`` are what they are called in errors, each or by their numbers.

    Raises
    ------
    ValueError
        If they are not over the same stimuli, or an RDM is constant, infinite or all NaN.
    """
    sets = [np.atleast_2d(np.asarray(rdms, dtype=np.float64)) for rdms in (models, data)]
    if 0 in (len(sets[0]), len(sets[1])):
        raise ValueError("there are no models, or no subjects")
    n_models, n_data = (n_conditions(rdms.shape[1]) for rdms in sets)
    if n_models != n_data:
        raise ValueError(f"models have {n_models} stimuli, the data {n_data}")
    pairs = complete_pairs(sets, [names, subjects])
    a, b = (
        comparator.prepare(restrict(rdms, pairs), pairs, name)
        for rdms, name in zip(sets, (names, subjects), strict=True)
    )
    return a, b


def _as_models(models: Any) -> list[Model]:
    """Make models of whatever holds RDMs.

    Raises
    ------
    ValueError
        If there are none.
    """
    if hasattr(models, "distances"):
        raise ValueError("models are RDMs with names: give their distances (models.distances)")
    listed = isinstance(models, (list, tuple)) and any(isinstance(m, Model) for m in models)
    rows = models if listed else np.atleast_2d(np.asarray(models, dtype=np.float64))
    if len(models) == 0 or len(rows) == 0:
        raise ValueError("there are no models")
    return [model if isinstance(model, Model) else Model(model) for model in rows]


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} {value!r}: expected a whole number") from None
    if number < least:
        raise ValueError(f"{name} {number}: expected a whole number ≥ {least}")
    return number


def _checked(
    comparator: Comparator,
    resample: str | None,
    test: str,
    variance: str,
    units: Units,
    n_subjects: int,
    fitted: bool,
) -> str:
    """Check that the design allows what is asked, and return which test it is."""
    if resample is not None and resample not in RESAMPLES:
        raise ValueError(f"resample {resample!r}: expected one of {', '.join(RESAMPLES)}, None")
    if test not in TESTS:
        raise ValueError(f"test {test!r}: expected one of {', '.join(TESTS)}")
    if variance not in VARIANCES:
        raise ValueError(f"variance {variance!r}: expected one of {', '.join(VARIANCES)}")
    if resample in ("stimuli", "both") and units.n < MIN_STIMULI:
        raise ValueError(
            f"{units.n} {units.name} are too few to resample; at least {MIN_STIMULI} are needed"
        )
    if resample in ("subjects", "both") and n_subjects < 2:
        raise ValueError(
            f"resample={resample!r} needs at least two subjects; with one, resample the stimuli"
        )
    if fitted and resample in ("subjects", "both") and n_subjects < 3:
        raise ValueError(
            f"resample={resample!r} needs at least three subjects where models are fitted to the "
            "others of them; resample the stimuli"
        )
    sigma_k = getattr(comparator, "sigma_k", None)
    if (
        sigma_k is not None
        and resample in ("stimuli", "both")
        and (np.ndim(sigma_k) == 2 and np.any(sigma_k != np.diag(np.diag(sigma_k))))
    ):
        raise ValueError(
            "stimuli whose estimates have correlated errors (sigma_k) cannot be drawn twice; use "
            "resample='subjects' or None"
        )
    if test == "sign-flip" and resample != "subjects":
        raise ValueError("test='sign-flip' flips the signs of subjects: choose resample='subjects'")
    if test in ("t", "bootstrap") and resample is None:
        raise ValueError(f"test={test!r} needs something to resample; choose 'stimuli'")
    return "permutation" if test == "auto" else test


def _refuse_unscored(observed: np.ndarray, labels: _Labels) -> None:
    """Refuse models that have no score, (M,)."""
    if (unscored := np.isnan(observed)).any():
        raise ValueError(
            f"{rdm_name(labels.models, int(unscored.argmax()))} has no score: it, or the data, is "
            "constant in every fold of the stimuli"
        )


def _refuse_constant(resampled: np.ndarray, labels: _Labels) -> None:
    """Refuse models that are constant in most resamples, (B, M): these have no score there."""
    scored = np.isfinite(resampled).sum(axis=0)
    if (rare := scored < max(2, len(resampled) / 2)).any():
        raise ValueError(
            f"{rdm_name(labels.models, int(rare.argmax()))}, or the data, is constant in most "
            "resamples of the stimuli: too few stimuli differ, or are in a fold, for a bootstrap"
        )
