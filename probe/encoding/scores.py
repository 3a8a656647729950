r"""How well held-out responses are predicted, site by site, and how sure one may be of it.

y are responses averaged over repetitions, ŷ their predictions, both less their means over the n
held-out stimuli; σ² = σ²_N · mean(1/k) is what is left of the noise in an average over k
repetitions, and ρ = 1 − σ²/σ²_T the reliability of the averages (`variance_components`). With
r = Σyŷ / √(Σy² Σŷ²):

- r / √ρ, the correlation with responses without noise (Schoppe et al. 2016, Front Comput Neurosci
  10:10, CC_norm);
- sign(r) r² / ρ, the share of the explainable variance that a scaled prediction explains;
- r²_ER = ((Σyŷ)² − σ² Σŷ²) / (Σŷ² Σy² − (n − 1) σ² Σŷ²), the same without the bias that noise
  gives to r² (Pospisil & Bair 2021, PLoS Comput Biol 17:e1009212);
- FEVE = 1 − (MSE − σ²) / (σ²_T − σ²), which sees scale and offset, too (Cadena et al. 2019, PLoS
  Comput Biol 15:e1006897);
- R² = 1 − Σ(y − ŷ)² / Σy², of the responses as recorded.

None of them is clipped: by chance they lie below 0 and above 1, and a mean of clipped values would
be too high.
"""

from __future__ import annotations

import numpy as np

from probe.recordings.reliability import Noise

SCORES = ("r", "r_ceiled", "r2_ceiled", "r2_er", "feve", "r2")
"""The scores of a site, in the order of a table's columns."""

CEILED = ("r_ceiled", "r2_ceiled", "r2_er", "feve")
"""Those that need to know the noise."""

TINY = 1e-12
"""A sum of squares below this share of its uncentred one is that of a constant."""


def of_predictions(
    responses: np.ndarray,
    predictions: np.ndarray,
    noise: Noise | None = None,
    counts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute all scores of each site.

    Parameters
    ----------
    responses, predictions : numpy.ndarray, shape (n, m)
        Of stimuli that were held out.
    noise : Noise, optional
        Of the same stimuli; without, scores that need it are NaN.
    counts : numpy.ndarray, shape (B, n), optional
        How often every stimulus occurs in each of B resamples.

    Returns
    -------
    dict of str to numpy.ndarray, shape (m,) or (B, m)
        `SCORES`, and ``reliability``, ρ. NaN for a site or a prediction that is constant, and,
        where noise comes in, for a site whose ρ is not above 0.
    """
    weights = np.ones((1, len(responses))) if counts is None else np.asarray(counts, np.float64)
    # Around the plain means, so that little cancels when the weighted ones are subtracted.
    y, p = responses - responses.mean(axis=0), predictions - predictions.mean(axis=0)
    offset = predictions.mean(axis=0) - responses.mean(axis=0)
    total = weights.sum(axis=1)[:, None]
    sum_y, sum_p = weights @ y, weights @ p
    yy = weights @ y**2 - sum_y**2 / total
    pp = weights @ p**2 - sum_p**2 / total
    yp = weights @ (y * p) - sum_y * sum_p / total
    squared_error = weights @ (y - p - offset) ** 2
    raw = responses**2
    varies = (yy > TINY * (weights @ raw)) & (pp > TINY * (weights @ predictions**2))
    yy, pp = np.where(varies, yy, np.nan), np.where(varies, pp, np.nan)
    r = yp / np.sqrt(yy * pp)
    scores = {"r": r, "r2": 1.0 - squared_error / yy}
    if noise is None:
        nothing = np.full_like(r, np.nan)
        scores |= dict.fromkeys((*CEILED, "reliability"), nothing)
    else:
        is_repeated = np.isfinite(noise.variance)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (weights @ np.where(is_repeated, noise.variance, 0.0)) / (
                weights @ is_repeated
            )
            left = variance * (weights @ noise.shares) / total
            explainable = yy / (total - 1.0) - left
            reliability = explainable / (yy / (total - 1.0))
            above = np.where(reliability > 0.0, reliability, np.nan)
            scores |= {
                "reliability": reliability,
                "r_ceiled": r / np.sqrt(above),
                "r2_ceiled": np.sign(r) * r**2 / above,
                "r2_er": (yp**2 - left * pp) / (pp * (yy - (total - 1.0) * left)) * (above / above),
                "feve": (1.0 - (squared_error / total - left) / explainable) * (above / above),
            }
    return {name: values[0] if counts is None else values for name, values in scores.items()}


def correlation(responses: np.ndarray, predictions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute r alone, of each site in each resample.

    Parameters
    ----------
    responses, predictions : numpy.ndarray, shape (n, m)
    counts : numpy.ndarray, shape (B, n)

    Returns
    -------
    numpy.ndarray, shape (B, m)
        NaN where either is constant.
    """
    y, p = responses - responses.mean(axis=0), predictions - predictions.mean(axis=0)
    total = np.maximum(counts.sum(axis=1)[:, None], 1.0)
    sum_y, sum_p = counts @ y, counts @ p
    yy = counts @ y**2 - sum_y**2 / total
    pp = counts @ p**2 - sum_p**2 / total
    varies = (yy > TINY * (counts @ responses**2)) & (pp > TINY * (counts @ predictions**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            varies, (counts @ (y * p) - sum_y * sum_p / total) / np.sqrt(yy * pp), np.nan
        )


def over_sites(values: np.ndarray) -> np.ndarray:
    """Compute the median over sites (the last axis) of those that have a value; else NaN."""
    is_finite = np.isfinite(values)
    filled = np.where(is_finite, values, np.inf)
    ordered = np.sort(filled, axis=-1)
    n = is_finite.sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((n - 1) // 2, 0), axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(n // 2, values.shape[-1] - 1), axis=-1)[..., 0]
    with np.errstate(invalid="ignore"):
        return np.where(n[..., 0] > 0, (low + high) / 2.0, np.nan)
