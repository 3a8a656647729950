"""How recorded sites are read from a layer: weights that are fitted once, used in NumPy and torch.

A readout has one number per site for each picture: ŷ = w·x + b, where x are the layer's units, or
its channels averaged with the site's field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.encoding.fields import READ_BYTES, Field, Layout, weights
from probe.errors import ProbeError
from probe.models import LayerInfo

WEIGHT_BYTES = 2**28
"""Weights of all units, in bytes, above which their dual form is kept instead."""


@dataclass(frozen=True, eq=False)
class Readout:
    """Some sites, as they are read from one layer.

    Attributes
    ----------
    layer : str
    layout : Layout
    weights : numpy.ndarray, float32, shape (m, channels) with fields, (m, neuroids) without
        In the order of the layer's flattened output. With ``training`` they are the dual
        coefficients instead, (m, n).
    offsets : numpy.ndarray, float64, shape (m,)
    fields : tuple of Field, optional
        One per site; without, every unit has a weight of its own.
    training : array-like, shape (n, neuroids), optional
        The layer's activations for the training stimuli, where weights of all units would be too
        many to hold: w = Σ_i c_i x_i.
    """

    layer: str
    layout: Layout
    weights: np.ndarray
    offsets: np.ndarray
    fields: tuple[Field, ...] | None = None
    training: Any = None

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, sites: Sequence[int] | np.ndarray) -> Readout:
        """Return that of some sites, with weights rather than dual coefficients."""
        rows = np.asarray(sites, dtype=np.int64)
        chosen = replace(
            self,
            weights=self.weights[rows],
            offsets=self.offsets[rows],
            fields=None if self.fields is None else tuple(self.fields[k] for k in rows),
        )
        if self.training is None:
            return chosen
        n_bytes = 4 * len(rows) * self.training.shape[1]
        if self.too_large(len(rows)):
            raise ProbeError(
                f"{len(rows):,} sites have {n_bytes / 1e9:,.1f} GB of weights on layer "
                f"{self.layer!r}: choose fewer sites, or readout 'field'"
            )
        return replace(chosen, weights=from_dual(self.training, chosen.weights), training=None)

    def too_large(self, n_sites: int | None = None) -> bool:
        """Whether the weights of so many sites, by default of all, are too many to hold."""
        n_sites = len(self) if n_sites is None else n_sites
        return self.training is not None and (
            4 * n_sites * self.training.shape[1] > 4 * WEIGHT_BYTES
        )

    def hold(self) -> None:
        """Read the training activations into memory, since their store goes."""
        object.__setattr__(self, "training", np.asarray(self.training[:, :], dtype=np.float32))

    def predict(self, activations: Any) -> np.ndarray:
        """Predict responses from a layer's activations.

        Parameters
        ----------
        activations : array-like, shape (n, neuroids)
            Read some stimuli at a time.

        Returns
        -------
        numpy.ndarray, float64, shape (n, m)
        """
        n, neuroids = activations.shape
        predictions = np.empty((n, len(self)))
        step = max(1, READ_BYTES // (4 * neuroids))
        distinct, which = _distinct(self.fields)
        for start in range(0, n, step):
            rows = np.asarray(activations[start : start + step, :], dtype=np.float64)
            if self.fields is not None:
                gaussians = weights(distinct, self.layout.height, self.layout.width)
                pooled = self.layout.by_channel(rows) @ gaussians.T
                for k in range(len(distinct)):
                    at = np.flatnonzero(which == k)
                    predictions[start : start + len(rows), at] = (
                        pooled[:, :, k] @ self.weights[at].T
                    )
            elif self.training is None:
                predictions[start : start + len(rows)] = rows @ self.weights.T
            else:
                products = _products(rows, self.training)
                predictions[start : start + len(rows)] = products @ self.weights.T
        return predictions + self.offsets

    def module(self) -> ReadoutModule:
        """Return the same as a torch module."""
        readout = self.take(range(len(self))) if self.training is not None else self
        return ReadoutModule(readout)


class ReadoutModule(nn.Module):
    """A readout in torch: takes a layer's output, (n, …), and gives (n, m), with its gradient.

    The output may be of another size than at the fit: fields lie at the same share of the map.
    Weights of every unit need the map that they were fitted on.

    Parameters
    ----------
    readout : Readout
    """

    def __init__(self, readout: Readout) -> None:
        super().__init__()
        self.layer, self.layout = readout.layer, readout.layout
        self._fields, which = _distinct(readout.fields)
        self.pools = readout.fields is not None
        self.weight = nn.Buffer(torch.from_numpy(np.ascontiguousarray(readout.weights, np.float32)))
        self.offset = nn.Buffer(torch.from_numpy(readout.offsets.astype(np.float32)))
        self._sites_of_field = [
            torch.from_numpy(np.flatnonzero(which == k)) for k in range(len(self._fields))
        ]
        self._order = torch.from_numpy(np.argsort(np.argsort(which, kind="stable"), kind="stable"))

    def forward(self, output: Tensor) -> Tensor:
        """Predict the responses of all sites, (n, m)."""
        if not self.pools:
            if output[0].numel() != self.weight.shape[1]:
                raise ProbeError(
                    f"layer {self.layer!r} gives {tuple(output.shape[1:])} for these pictures, and "
                    f"the site was fitted on {self.weight.shape[1]} units: use pictures of the "
                    "network's own size, or sites that were fitted with readout 'field'"
                )
            return output.flatten(1).float() @ self.weight.to(output.device).T + self.offset
        values = self.maps(output)
        height, width = values.shape[-2:]
        gaussians = torch.from_numpy(weights(self._fields, height, width)).to(values)
        pooled = values.flatten(2) @ gaussians.T  # (n, channels, fields)
        if len(self._fields) == 1:
            return pooled[:, :, 0] @ self.weight.T + self.offset
        # Products of matrices alone: LRP and DeepLIFT have rules for them.
        of_fields = [
            pooled[:, :, k] @ self.weight[sites].T for k, sites in enumerate(self._sites_of_field)
        ]
        return torch.cat(of_fields, dim=1)[:, self._order] + self.offset

    def everywhere(self, output: Tensor) -> Tensor:
        """Predict what each site would respond if its field were anywhere, on average: (n, m)."""
        if self.pools:
            return self.maps(output).flatten(2).mean(2) @ self.weight.T + self.offset
        layout = self.layout
        by_channel = self.weight.reshape(-1, layout.channels, layout.height, layout.width)
        total = by_channel.flatten(2).sum(2)
        return self.maps(output).flatten(2).mean(2) @ total.T + self.offset

    def maps(self, output: Tensor) -> Tensor:
        """Return the layer's output as (n, channels, y, x), float32."""
        output = output.float()
        if output.ndim == 2:
            output = output[:, :, None, None]
        if output.ndim != 4 or output.shape[1] != self.layout.channels:
            raise ProbeError(
                f"layer {self.layer!r} gives {tuple(output.shape[1:])} for a picture, and its "
                f"sites were fitted on {self.layout.channels} channels"
            )
        return output


def from_dual(training: Any, coefficients: np.ndarray) -> np.ndarray:
    """Compute weights (m, neuroids), float32, from dual coefficients (m, n)."""
    n, neuroids = training.shape
    weights_of_units = np.zeros((len(coefficients), neuroids), dtype=np.float32)
    step = max(1, READ_BYTES // (8 * n))
    for start in range(0, neuroids, step):
        columns = np.asarray(training[:, start : start + step], dtype=np.float64)
        weights_of_units[:, start : start + step] = coefficients @ columns
    return weights_of_units


def _products(rows: np.ndarray, training: Any) -> np.ndarray:
    """Compute the products of pictures with the training stimuli, (n_pictures, n)."""
    n = training.shape[0]
    step = max(1, READ_BYTES // (4 * training.shape[1]))
    return np.concatenate(
        [
            rows @ np.asarray(training[start : start + step, :], dtype=np.float64).T
            for start in range(0, n, step)
        ],
        axis=1,
    )


def _distinct(fields: tuple[Field, ...] | None) -> tuple[tuple[Field, ...], np.ndarray]:
    """Return the different fields, and which of them each site has."""
    if fields is None:
        return (), np.zeros(0, dtype=np.int64)
    distinct = tuple(dict.fromkeys(fields))
    index_of = {field: k for k, field in enumerate(distinct)}
    return distinct, np.array([index_of[field] for field in fields], dtype=np.int64)


def layout_of(info: LayerInfo) -> Layout | None:
    """Return how a layer's units are divided into channels and positions; None if unknown."""
    shape = info.output_shape
    if info.axes == ("channel", "y", "x"):
        return Layout(*shape)
    return Layout(shape[0], 1, 1) if info.axes == ("channel",) else None
