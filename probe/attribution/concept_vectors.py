"""How a target changes along a concept: concept vectors of layers (TCAV, Kim et al. 2018).

A concept is a set of pictures. In a layer, its vector leads from random pictures to those of the
concept: the normal of a linear classifier between the two. Where the target's gradient has a part
along it, the target rises with the concept, to first order.

Every vector is a combination of the pictures' activations, and is only ever multiplied by
activations and gradients: two tables of inner products, pictures × pictures and gradients ×
pictures, are all that is computed with, whatever the size of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe import models, targets
from probe.activations.batch_size import with_graph
from probe.activations.capture import differentiable, forward_until
from probe.attribution.explain import default_layers
from probe.attribution.settings import ConceptSettings
from probe.errors import ProbeError
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.models import Network
from probe.models.devices import on_device
from probe.output.files import writable_folder, write_all
from probe.output.pictures import png
from probe.output.summarised import Summarised
from probe.output.text import number, p_value
from probe.plots.concepts import concepts_size, plot_concepts
from probe.progress import track
from probe.stimuli import StimulusSet, image_set
from probe.targets import Direction, Target, by_channel

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

MIN_PICTURES = 5
"""Of a concept: as many as accuracy is cross-validated with."""

FEW_PICTURES = 30
"""Below, a note says so: Kim et al. take 30 and more."""

Pictures = str | Path | StimulusSet


@dataclass(frozen=True, eq=False, repr=False)
class Concepts(Summarised):
    """How a target changes along concepts. Shows, plots, saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per concept × layer: ``concept``, ``layer``; ``change``, the target's first-order
        change over the distance between random pictures and the concept, mean over pictures, in
        units of the target, with ``change_low``, ``change_high``, between which 95 % of random
        concepts lie; ``p`` (two-sided, permutation), ``p_holm``, ``p_fdr`` (over all rows);
        ``score``, the share of pictures in which the target rises along the concept (TCAV's sign
        count), with ``score_low``, ``score_high``, ``score_p``, ``score_p_holm`` and
        ``score_p_fdr``, likewise; ``accuracy`` of the vectors' classifiers, cross-validated, 0.5
        is chance; ``n_pictures`` of the concept, ``n_random``: different ones.
    vectors : dict of (str, str) to numpy.ndarray
        By concept and layer: of unit length, (channels,) or all values of a layer, mean over draws.
    target, model : str
    facts : tuple of str
        How good the fit is of each recorded site in the target.
    about : dict
        Everything that decides the numbers, as plain values.
    """

    table: pd.DataFrame
    vectors: dict[tuple[str, str], np.ndarray]
    target: str
    model: str
    facts: tuple[str, ...]
    about: Mapping[str, Any]

    FILES: ClassVar = ("table.csv", "figure.png")

    @property
    def title(self) -> str:
        """One line that says what was measured."""
        n = self.about["n_pictures"]
        return f"{targets.titled(self.model, self.target)} along concepts, mean over {n} pictures"

    def direction(self, concept: str, layer: str | None = None) -> Direction:
        """Return a concept's vector as a target, for pictures and maps of it.

        Parameters
        ----------
        concept : str
        layer : str, optional
            By default the first that was measured.

        Returns
        -------
        probe.targets.Direction

        Raises
        ------
        ProbeError
            If there is no such concept or layer, or its vector has a value at every position.
        """
        layer = layer or str(self.table["layer"].iloc[0])
        if (concept, layer) not in self.vectors:
            each = ", ".join(f"{name} at {at}" for name, at in self.vectors)
            raise ProbeError(f"there is no concept {concept!r} at {layer!r}: expected {each}")
        if self.about["positions"]:
            raise ProbeError(
                "a vector with a value at every position is no direction of channels: measure "
                "without positions"
            )
        vector = torch.from_numpy(self.vectors[concept, layer])
        return Direction(layer, vector, f"{concept} at {layer}")

    def summary(self) -> pd.DataFrame:
        """Return the table as a person reads it."""
        rows = []
        for row in self.table.to_dict("records"):
            rows.append(
                {
                    "concept": row["concept"],
                    "layer": row["layer"],
                    "change": number(row["change"]),
                    "of random sets": " to ".join(
                        number(row[f"change_{end}"]) for end in ("low", "high")
                    ),
                    "p": p_value(row["p"]),
                    "p (Holm)": p_value(row["p_holm"]),
                    "TCAV": f"{row['score']:.2f}",
                    "TCAV of random": f"{row['score_low']:.2f} to {row['score_high']:.2f}",
                    "p of TCAV (Holm)": p_value(row["score_p_holm"]),
                    "accuracy": f"{row['accuracy']:.0%}",
                    "pictures": str(row["n_pictures"]),
                }
            )
        return pd.DataFrame(rows)

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        lines = [
            "change: of the target, to first order, from random pictures to the concept; random: "
            "where 95 % of random sets of pictures lie.",
            f"p: two-sided, of {self.about['permutations']} permutations of which pictures are the "
            f"concept's: at least {p_value(1 / (self.about['permutations'] + 1))}. Holm: corrected "
            "over all rows, of the change and of TCAV each by itself.",
            "TCAV: share of pictures in which the target rises along the concept. It counts signs: "
            "of a target that is nearly linear in the layer it is near 0 or 1 for random "
            "concepts, too.",
            "accuracy: of the concept's pictures told from random ones, cross-validated; near 50 % "
            "there is no such concept in the layer.",
        ]
        few = self.table.loc[self.table["n_pictures"] < FEW_PICTURES, "concept"].unique()
        if len(few):
            lines.append(
                f"Few pictures of {', '.join(few)}: vectors of fewer than {FEW_PICTURES} vary much."
            )
        for whose, names in self.about["copies"].items():
            others = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(
                f"Counted once, of {whose}: {', '.join(names[:3])}{others} "
                f"{'is a copy of another picture' if len(names) == 1 else 'are copies of others'}."
            )
        return [*lines, *self.facts]

    def plot(self) -> Figure | SubFigure:
        """Draw change and TCAV score of every concept, with the range of random ones."""
        return plot_concepts(self.table, target=self.target, title=self.title)

    def _png(self) -> bytes:
        return png(
            lambda figure: plot_concepts(
                self.table, target=self.target, title=self.title, figure=figure
            ),
            concepts_size(self.table),
            self.title,
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write table.csv and figure.png into a folder."""
        return write_all(
            writable_folder(path),
            {"table.csv": self.table.to_csv(index=False).encode(), "figure.png": self._png()},
        )


def concepts(
    concepts: Pictures | Mapping[str, Pictures],
    model: str | Network | nn.Module | None = None,
    target: str | int | Target | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    random: Pictures | None = None,
    pictures: Pictures | None = None,
    by: str = "category",
    positions: bool = False,
    draws: int = 10,
    permutations: int = 199,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Concepts:
    """Measure how a target changes along concepts (TCAV, Kim et al. 2018).

    Parameters
    ----------
    concepts : path, StimulusSet, or mapping of str to these
        Pictures of each concept: a folder with a folder for each, a table or stimulus set with a
        column of their names, or pictures by the concept's name. Copies of a picture in a concept,
        among ``random`` or ``pictures`` count once, and a note names them.
    model : str, Network or torch.nn.Module, optional
        As in `probe.saliency`. May be left out where the target is a recorded site.
    target : str, int or Target
        A class, a channel, a layer, a recorded site (``site:v4:12``), or a sum.
    layers : str or sequence of str, optional
        Where concepts have vectors; the target has to depend on them. By default, the last one with
        positions that it depends on.
    random : path or StimulusSet, optional
        Pictures that concepts are told from. By default, of each concept, those of all others: then
        what is measured is what the concept has that the others have not.
    pictures : path or StimulusSet, optional
        In which the target's gradient is taken; by default all, of concepts and random ones. The
        test holds where none or all of these are among them.
    by : str
        Column with the names of concepts.
    positions : bool
        Whether a vector has a value at every position of a layer, as in the paper. By default it
        has one for each channel, and says what, not where.
    draws : int
        Of random pictures, as many as the concept has (or of the concept, where it has more); a
        vector for each.
    permutations : int
        Random sets in place of the concept.
    weights, preprocessing, batch_size, device, progress
        As in `probe.saliency`.
    seed : int
        Of random weights, draws and permutations.

    Returns
    -------
    Concepts

    Raises
    ------
    ProbeError
        If there are no concepts, fewer than five pictures of one or of what it is told from, or
        the target does not depend on a layer.

    See Also
    --------
    probe.saliency : Where in a picture, in place of what.
    Concepts.direction : A concept as a target of `probe.visualize` or `probe.dream`.

    Notes
    -----
    The classifier is ridge regression on ±1, with a penalty of the mean squared distance to the
    mean. The paper compares scores of a concept over draws with those of random sets by a t test,
    which takes draws for data: draws of the same pictures are not independent. Of 200 simulated
    concepts that were random pictures (30, of 150; 10 draws), it called 35 % significant at .05,
    and the test here 3 %. Here the test asks how often a random set of the same
    pictures, through the same draws, lies as far from none: exact if the concept's pictures are
    like the others, and gradients are taken in all of them or in none.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> from probe.stimuli import StimulusSet
    >>> rng = np.random.default_rng(0)
    >>> pictures = rng.integers(0, 128, (24, 32, 32, 3), dtype=np.uint8)
    >>> pictures[:8, :, :, 0] += 100  # reddish
    >>> sets = {
    ...     "red": StimulusSet([f"r{k}" for k in range(8)], list(pictures[:8]), "red"),
    ...     "other": StimulusSet([f"o{k}" for k in range(16)], list(pictures[8:]), "other"),
    ... }
    >>> result = probe.attribution.concepts(
    ...     {"red": sets["red"]}, "squeezenet1_1", "features.3:5", layers="features.0",
    ...     random=sets["other"], weights="random", draws=2, permutations=19, progress=False,
    ... )
    >>> result.table[["concept", "layer", "n_pictures"]].values.tolist()
    [['red', 'features.0', 8]]
    """
    options = ConceptSettings.of(locals()).checked()
    if target is None:
        raise ProbeError(
            "no target is named: expected one that probe.targets.parse reads, such as a class, "
            "LAYER:CHANNEL or site:v4:12"
        )
    copies: dict[str, list[str]] = {}
    of_concepts = {
        name: _once(items, name, copies) for name, items in _read_concepts(concepts, by).items()
    }
    pool = None
    if random is not None:
        pool = _once(_positions(image_set(random)), "random pictures", copies)
    _check_sizes(of_concepts, pool, copies)
    if model is None:
        network = targets.home(target, progress=progress)
    else:
        model = models.check_model(model, weights, preprocessing)
        network = models.as_network(model, weights, preprocessing, seed=seed, progress=progress)
    explained = targets.read(target, network)
    names = default_layers(layers, network, explained)
    everything = _Library()
    rows_of = {name: everything.add(items) for name, items in of_concepts.items()}
    random_rows = [] if pool is None else everything.add(pool)
    looked_at = None
    if pictures is not None:
        looked_at = _once(_positions(image_set(pictures)), "pictures", copies)
    with on_device(network, device) as (device_used, dtype):
        size = batch_size or with_graph(network)

        def batches(items: Sequence[_Item], what: str) -> Iterator[Tensor]:
            for first in track(
                range(0, len(items), size), desc=what, unit="batch", progress=progress
            ):
                read = [one.image(k) for one, k in items[first : first + size]]
                yield torch.stack([network.preprocessing(one) for one in read]).to(
                    device_used, dtype
                )

        activations = _activations(
            network.module, batches(everything.items, "activations"), names, positions
        )
        if looked_at is None:
            # Not the random ones alone: where gradients go with activations, they point away from
            # pictures that they were not taken in, and random concepts would have an effect.
            looked_at = everything.items
        slopes = _slopes(
            network.module, batches(looked_at, "gradients"), names, explained, positions
        )
    rows: list[dict[str, Any]] = []
    vectors: dict[tuple[str, str], np.ndarray] = {}
    work = [(layer, k, name) for layer in names for k, name in enumerate(rows_of)]
    for layer, k, name in track(work, desc="concepts", unit="concept", progress=progress):
        inside = rows_of[name]
        others = random_rows or [row for each in rows_of.values() for row in each]
        outside = [row for row in dict.fromkeys(others) if row not in set(inside)]
        if len(outside) < MIN_PICTURES:
            raise ProbeError(
                f"concept {name!r} is told from {len(outside)} random pictures that are not its "
                f"own: expected {MIN_PICTURES} or more"
            )
        rng = np.random.default_rng((options.seed, k))
        measured, vectors[name, layer] = _measure(
            activations[layer], slopes[layer], inside, outside, draws, permutations, rng
        )
        rows.append({"concept": name, "layer": layer} | measured)
    table = pd.DataFrame(rows)
    table.insert(6, "p_holm", holm(table["p"].to_numpy()))
    table.insert(7, "p_fdr", benjamini_hochberg(table["p"].to_numpy()))
    after = list(table.columns).index("score_p") + 1
    table.insert(after, "score_p_holm", holm(table["score_p"].to_numpy()))
    table.insert(after + 1, "score_p_fdr", benjamini_hochberg(table["score_p"].to_numpy()))
    about = {
        **network.provenance(), "target": explained.name, "n_pictures": len(looked_at),
        "positions": positions, "draws": draws, "permutations": permutations, "seed": seed,
        "copies": copies,
    }  # fmt: skip
    return Concepts(table, vectors, explained.name, network.name, targets.said(explained), about)


_Item = tuple[StimulusSet, int]


class _Library:
    """Pictures, each once, whatever sets they are in."""

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self._row: dict[str, int] = {}

    def add(self, items: Sequence[_Item]) -> list[int]:
        """Return the rows of some pictures, which are new or known."""
        rows = []
        for stimuli, k in items:
            content = stimuli.content_hashes[k]
            if content not in self._row:
                self._row[content] = len(self.items)
                self.items.append((stimuli, k))
            rows.append(self._row[content])
        return list(dict.fromkeys(rows))


def _positions(stimuli: StimulusSet) -> list[_Item]:
    return [(stimuli, k) for k in range(len(stimuli))]


def _once(items: Sequence[_Item], whose: str, copies: dict[str, list[str]]) -> list[_Item]:
    """Return pictures without copies of the same file or pixels, whose names are put into copies.

    Copies are no further pictures: a test that took them for some would be too sure.
    """
    first: dict[str, _Item] = {}
    for stimuli, k in items:
        content = stimuli.content_hashes[k]
        if content in first:
            copies.setdefault(whose, []).append(stimuli.ids[k])
        first.setdefault(content, (stimuli, k))
    return list(first.values())


def _read_concepts(concepts: Pictures | Mapping[str, Pictures], by: str) -> dict[str, list[_Item]]:
    """Read the pictures of each concept, by its name."""
    if isinstance(concepts, Mapping):
        if not concepts:
            raise ProbeError("there are no concepts: expected pictures of one or more, by name")
        return {str(name): _positions(image_set(each)) for name, each in concepts.items()}
    stimuli = image_set(concepts)
    if stimuli.metadata is not None and by in stimuli.metadata:
        labels = [str(label) for label in stimuli.metadata[by]]
    else:
        labels = [name.rpartition("/")[0] for name in stimuli.ids]
        if not all(labels):
            has = [] if stimuli.metadata is None else list(stimuli.metadata)
            columns = f"; its columns are {', '.join(map(str, has))}" if has else ""
            raise ProbeError(
                f"{stimuli.name} names no concepts: expected a folder with a folder for each, or a "
                f"column {by!r}{columns}"
            )
    grouped: dict[str, list[_Item]] = {}
    for k, label in enumerate(labels):
        grouped.setdefault(label, []).append((stimuli, k))
    return grouped


def _check_sizes(
    of_concepts: Mapping[str, list[_Item]],
    pool: list[_Item] | None,
    copies: Mapping[str, list[str]],
) -> None:
    for name, items in of_concepts.items():
        if len(items) < MIN_PICTURES:
            n = len(copies.get(name, ()))
            without = {0: "", 1: " without a copy"}.get(n, f" without {n} copies")
            raise ProbeError(
                f"concept {name!r} has {len(items)} pictures{without}: expected {MIN_PICTURES} or "
                "more"
            )
    if pool is None and len(of_concepts) < 2:
        raise ProbeError(
            "there is one concept and nothing to tell it from: name random pictures, or more "
            "concepts"
        )


def _activations(
    module: nn.Module, batches: Iterator[Tensor], layers: Sequence[str], positions: bool
) -> dict[str, np.ndarray]:
    """Return what layers return for each picture: (pictures, channels or values), float32."""
    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}

    def take(layer: str, output: Tensor) -> None:
        parts[layer].append(_flat(output, positions, mean=True))

    for batch in batches:
        forward_until(module, batch.clone(), layers, take)
    return {layer: np.concatenate(each) for layer, each in parts.items()}


def _slopes(
    module: nn.Module, batches: Iterator[Tensor], layers: Sequence[str], target: Target,
    positions: bool,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the target's gradient by what layers return: as `_activations`."""
    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for batch in batches:
        batch = batch.requires_grad_()
        outputs = differentiable(module, batch, [*layers, *target.layers])
        with torch.enable_grad():
            value = target(outputs)
        targets.kinds.check_single(value, target)
        found: Sequence[Tensor | None] = [None] * len(layers)
        if value.requires_grad:
            found = torch.autograd.grad(
                value, [outputs[layer] for layer in layers], torch.ones_like(value),
                allow_unused=True,
            )  # fmt: skip
        for layer, slope in zip(layers, found, strict=True):
            if slope is None:
                raise ProbeError(
                    f"target {target.name!r} does not depend on layer {layer!r}: name layers "
                    "before it"
                )
            parts[layer].append(_flat(slope, positions, mean=False))
    return {layer: np.concatenate(each) for layer, each in parts.items()}


def _flat(output: Tensor, positions: bool, *, mean: bool) -> np.ndarray:
    """Return values as rows: all of them, or one for each channel.

    Over positions, activations are averaged and gradients summed: a step in a channel's mean is the
    same step at every position.
    """
    output = output.detach()
    if not positions and output.ndim > 2:
        flat = by_channel(output).flatten(2)
        output = flat.mean(2) if mean else flat.sum(2)
    return output.flatten(1).float().cpu().numpy()


def _measure(
    activations: np.ndarray, slopes: np.ndarray, inside: Sequence[int], outside: Sequence[int],
    draws: int, permutations: int, rng: np.random.Generator,
) -> tuple[dict[str, Any], np.ndarray]:  # fmt: skip
    """Measure one concept in one layer, and what random sets in its place give."""
    rows = np.array([*inside, *outside])
    n_concept = len(inside)
    n = min(n_concept, len(outside))
    values = activations[rows] - activations[rows].mean(axis=0)
    gram = (values @ values.T).astype(np.float64)
    along = (slopes @ values.T).astype(np.float64)  # gradients × pictures
    if not gram.any():
        raise ProbeError("a layer returns the same for all pictures, and has no concepts")
    own = np.stack([_draw(np.arange(len(rows)), n_concept, n, rng) for _ in range(draws)])
    scores, changes, weights = _scored(gram, along, own, n)
    vector = np.einsum("dk,dkp->p", weights, values[own])
    random_scores, random_changes = np.empty(permutations), np.empty(permutations)
    for k in range(permutations):
        order = rng.permutation(len(rows))
        sets = np.stack([_draw(order, n_concept, n, rng) for _ in range(draws)])
        of_draws = _scored(gram, along, sets, n)
        random_scores[k], random_changes[k] = of_draws[0].mean(), of_draws[1].mean()
    score, change = float(scores.mean()), float(changes.mean())
    low, high = np.quantile(random_changes, (0.025, 0.975))
    score_low, score_high = np.quantile(random_scores, (0.025, 0.975))
    return {
        "change": change, "change_low": low, "change_high": high,
        "p": _p(abs(change), np.abs(random_changes)),
        "score": score, "score_low": score_low, "score_high": score_high,
        "score_p": _p(abs(score - 0.5), np.abs(random_scores - 0.5)),
        "accuracy": _accuracy(gram, own, n, rng), "n_pictures": n_concept, "n_random": len(outside),
    }, (vector / np.linalg.norm(vector)).astype(np.float32)  # fmt: skip


def _draw(order: np.ndarray, n_concept: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n of a concept, which begins an order, and n of the rest."""
    concept, rest = order[:n_concept], order[n_concept:]
    own = concept if n == n_concept else rng.choice(concept, n, replace=False)
    return np.concatenate([own, rng.choice(rest, n, replace=False)])


def _p(observed: float, by_chance: np.ndarray) -> float:
    # Rounding must not make a set that is as far as another look nearer.
    extreme = (by_chance >= observed * (1 - 1e-9)).sum()
    return float((extreme + 1) / (len(by_chance) + 1))


def _fit(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit classifiers between the first and the second half of some pictures.

    Ridge regression on ±1 with an intercept, from inner products.

    Parameters
    ----------
    gram : numpy.ndarray, shape (draws, 2n, 2n)
        Of the pictures' activations.

    Returns
    -------
    weights : numpy.ndarray, shape (draws, 2n)
        Of the pictures' activations, in the vector; they sum to 0.
    intercept : numpy.ndarray, shape (draws,)
        What is added to the vector's product with an activation.
    """
    size = gram.shape[1]
    labels = np.where(np.arange(size) < (size + 1) // 2, 1.0, -1.0)
    column = gram.mean(axis=1, keepdims=True)
    centred = gram - column - column.swapaxes(1, 2) + column.mean(axis=2, keepdims=True)
    penalty = np.trace(centred, axis1=1, axis2=2) / size
    penalty = np.where(penalty > 0, penalty, 1.0)[:, None, None]
    right = np.broadcast_to((labels - labels.mean())[:, None], (len(gram), size, 1))
    weights = np.linalg.solve(centred + penalty * np.eye(size), right)[:, :, 0]
    weights = weights - weights.mean(axis=1, keepdims=True)
    return weights, labels.mean() - np.einsum("dk,dk->d", column[:, 0], weights)


def _scored(
    gram: np.ndarray, along: np.ndarray, sets: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the score, the change and the vector's weights of each draw.

    Parameters
    ----------
    gram, along : numpy.ndarray, shape (pictures, pictures), (gradients, pictures)
    sets : numpy.ndarray of int, shape (draws, 2n)
        Those of the concept, then those that it is told from.
    n : int
    """
    of_sets = gram[sets[:, :, None], sets[:, None, :]]
    weights, _ = _fit(of_sets)
    slopes = np.einsum("gdk,dk->dg", along[:, sets], weights)
    squared = np.einsum("dk,dkl,dl->d", weights, of_sets, weights)
    length = np.sqrt(np.where(squared > 0, squared, 1.0))  # 0 where all of a draw are the same
    projected = np.einsum("dkl,dl->dk", of_sets, weights)
    distance = (projected[:, :n].mean(axis=1) - projected[:, n:].mean(axis=1)) / length
    changes = slopes.mean(axis=1) / length * distance
    return (slopes > 0).mean(axis=1), changes, weights / length[:, None]


def _accuracy(gram: np.ndarray, sets: np.ndarray, n: int, rng: np.random.Generator) -> float:
    """Return the share of pictures that classifiers tell which have not seen them: five folds."""
    right = []
    for members in sets:
        folds = np.concatenate([rng.permutation(n) % MIN_PICTURES for _ in range(2)])
        for fold in range(MIN_PICTURES):
            test, train = members[folds == fold], members[folds != fold]
            weights, intercept = _fit(gram[np.ix_(train, train)][None])
            predicted = gram[np.ix_(test, train)] @ weights[0] + intercept[0]
            is_concept = np.arange(2 * n)[folds == fold] < n
            right.append((predicted > 0) == is_concept)
    return float(np.concatenate(right).mean())
