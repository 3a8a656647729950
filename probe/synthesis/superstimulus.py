"""What drives a recorded site most, under a budget, and how far to believe it.

A head that predicts a site is linear in its layer, and extrapolates without bound: a picture that
was made for it drives it to tens of standard deviations, which no neuron reaches. Other stimuli or
layers of the same network share its blind spots; another architecture does not. So a picture is
made for heads that were fitted to one half of the stimuli, with the mean and the contrast of the
stimuli, where the site looks, and judged by a head of another architecture, fitted to the other
half, beside recorded stimuli and photographs under the same budget (Bashivan, Kar & DiCarlo 2019,
Science 364:eaav9436; Walker et al. 2019, Nat Neurosci 22:2060).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from probe import models, targets
from probe.activations.batch_size import with_graph
from probe.activations.capture import capture
from probe.encoding.fitting import check_recording
from probe.encoding.halves import fit_half, halves
from probe.encoding.kept import load_named, split_name
from probe.encoding.result import Encoding
from probe.encoding.sites import ALL, Site, row_of
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import on_device
from probe.output.drawable import Contents, Drawable
from probe.output.files import csv, plain_name, writable_folder
from probe.output.pictures import save_picture, write
from probe.plots.pictures import tiled
from probe.plots.superstimuli import plot_superstimuli
from probe.progress import track
from probe.recordings import Recording
from probe.stimuli import StimulusSet, image_set
from probe.synthesis.objectives import Diverse, Each
from probe.synthesis.optimise import (
    ValueAndGradient,
    as_array,
    optimise,
    resolve_precision,
    through,
)
from probe.synthesis.parameterisations import Fourier, Parameterisation
from probe.synthesis.run import Preview, Run, running
from probe.synthesis.settings import Precision, SuperstimulusSettings
from probe.synthesis.transforms import Jitter, ScaleAndRotate, Transform
from probe.targets import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

PARTNERS = ("squeezenet1_1", "alexnet")
"""Networks that make the picture together with the first, the first that does not judge. Of twenty
V4 sites, VGG-16 predicts 2.1 SD for what AlexNet makes, 1.9 for SqueezeNet's, and 2.9 for what both
make together, which is more than for the best recorded stimulus in 12, 9 and 15 sites
(`analyses/superstimuli.py`)."""

JUDGES = ("squeezenet1_1", "mobilenet_v2", "vgg16", "alexnet")
"""Networks that judge, the first that is not asked to make the picture."""

# Of eight V4 sites, made with AlexNet and judged by SqueezeNet, the median and mean prediction of
# the judge: margins of 3.6 % 1.7 and 2.2 SD, of 8 % 1.9 and 2.7; scales of ±20 % and ±15° 1.8 and
# 2.5; a decay of 2 (and margins of 3.6 %) 2.0 and 2.2; 128 steps no more than 64.
MARGIN = 0.08
"""Part of the canvas beyond what is kept, at each side, as a share of the picture's side."""

SHIFTS = 2
"""Times that what a network sees is shifted at random; together they are the two margins."""

COLOURLESS = 2 / 255
"""Mean difference of a stimulus' colours, in 0–1, below which it is grey: JPEG files have some."""

DECAY = 1.2

MASK_INNER, MASK_OUTER = 1.5, 2.5
"""SD of the field within which all is shown, and beyond which all is grey."""

BATCH = 16

ENOUGH_STIMULI = 400
"""Stimuli that sites should be fitted to. Of ten simulated V4 neurons, the superstimulus of a site
that was fitted to 200 pictures drove the true neuron more than the best recorded picture in 5; to
400 in 7, to 800 in 9, to 1,600 in 8 (`analyses/known_truth.py`)."""

CANDIDATES = 32
"""Pictures that are looked at where a site looks: those that the judge predicts most for whole."""


@dataclass(frozen=True)
class Budget:
    """What a picture may spend: what the stimuli have, since beyond it nothing was recorded.

    Attributes
    ----------
    size : (int, int)
        Height and width of the stimuli, in pixels, where they are all of one size that is not above
        that of the network's input; otherwise that of the input.
    colour : bool
        Whether any stimulus has colours; otherwise pictures are grey.
    mean : float
        Of all pixels and colours of the stimuli, in 0–1; the grey outside the field.
    contrast : float
        Root of the mean variance within a stimulus, over pixels and colours.
    """

    size: tuple[int, int]
    colour: bool
    mean: float
    contrast: float

    @classmethod
    def of_stimuli(cls, stimuli: StimulusSet, input_size: tuple[int, int]) -> Budget:
        """Measure stimuli that are shown to a network with inputs of some size."""
        means, variances, sizes, chroma = [], [], set(), 0.0
        for k in range(len(stimuli)):
            picture = stimuli.image(k)
            sizes.add((picture.height, picture.width))
            pixels = _pixels(picture, (picture.height, picture.width))
            means.append(float(pixels.mean()))
            variances.append(float(pixels.var(correction=0)))
            chroma = max(chroma, float((pixels.amax(0) - pixels.amin(0)).mean()))
        (first, *others) = sizes
        fits = not others and first[0] <= input_size[0] and first[1] <= input_size[1]
        return cls(
            first if fits else input_size,
            chroma > COLOURLESS,
            float(np.mean(means)),
            float(np.sqrt(np.mean(variances))),
        )

    def spend(self, pictures: Tensor, mask: Tensor) -> Tensor:
        """Bring pictures to the budget within a mask, and to grey outside.

        Parameters
        ----------
        pictures : torch.Tensor, shape (n, 3, height, width)
            Any values.
        mask : torch.Tensor, shape (n or 1, 1, height, width)
            In 0–1.

        Returns
        -------
        torch.Tensor
            In 0–1. Mean and contrast, weighted by the mask, are those of the budget, but for
            values beyond black and white, which are cut.
        """
        if not self.colour:
            pictures = pictures.mean(1, keepdim=True).expand_as(pictures)
        total = mask.sum((1, 2, 3), keepdim=True) * 3
        centred = pictures - (pictures * mask).sum((1, 2, 3), keepdim=True) / total
        variance = (centred.square() * mask).sum((1, 2, 3), keepdim=True) / total
        scaled = centred / variance.clamp(min=1e-12).sqrt() * self.contrast
        return (self.mean + mask * scaled).clamp(0, 1)


@dataclass(frozen=True)
class Resized:
    """Bring pictures to the size of a network's input, as its preprocessing does.

    Attributes
    ----------
    size : (int, int)
        Height and width, in pixels.
    """

    size: tuple[int, int]

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        if tuple(pictures.shape[-2:]) == tuple(self.size):
            return pictures
        return nn.functional.interpolate(pictures, self.size, mode="bilinear", antialias=True)


class Budgeted(Parameterisation):
    """Pictures of another parameterisation, brought to a budget.

    Parameters
    ----------
    inner : Parameterisation
    budget : Budget
    mask : torch.Tensor, shape (n or 1, 1, height, width)
    """

    def __init__(self, inner: Parameterisation, budget: Budget, mask: Tensor) -> None:
        self.inner, self.budget, self.mask = inner, budget, mask
        self.parameters = inner.parameters

    def __call__(self) -> Tensor:
        """Return the pictures."""
        return self.budget.spend(self.inner(), self.mask)

    def bound(self) -> None:
        """Bound the inner ones; see `Parameterisation.bound`."""
        self.inner.bound()


@dataclass(frozen=True, eq=False, repr=False)
class Superstimuli(Drawable):
    """Pictures that were made for recorded sites, and what other networks say of them.

    Attributes
    ----------
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3)
        The superstimuli.
    beside : dict of str to numpy.ndarray, uint8, shape (n, height, width, 3)
        What they are shown with, under the same budget: ``best recorded``, the stimulus that the
        site responded to most; ``best for the judge``, the stimulus that the judge predicts most
        for; ``best photograph``, the same of a folder of pictures.
    table : pandas.DataFrame
        One row per picture: ``site``, ``picture`` (``superstimulus`` or a name in ``beside``),
        ``index``, ``name`` (of a stimulus); ``made_for``, the prediction of the heads that it was
        made for, ``judged``, that of the judge, both in SD of the recorded responses from their
        mean; ``percentile``, the share of recorded responses below ``judged``, in per cent;
        ``recorded``, the recorded response in SD, of recorded stimuli.
    fits : pandas.DataFrame
        One row per site and network: ``site``, ``network``, ``role`` (``makes``, ``judges``), ``r``
        with held-out stimuli of its own half.
    title : str
    about : dict
        Everything that decides them, as plain values.
    """

    pictures: np.ndarray
    beside: Mapping[str, np.ndarray]
    table: pd.DataFrame
    fits: pd.DataFrame
    title: str
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.pictures)

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw every superstimulus beside recorded stimuli, and what the judge says of each.

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
        return plot_superstimuli(
            self.pictures, self.beside, self.table, judge=str(self.about["judge"]),
            makers=", ".join(self.about["makers"]), title=self.title,
            simulated=bool(self.about["simulated"]), legend=legend, figure=figure,
        )  # fmt: skip

    def notes(self) -> list[str]:
        """Return sentences on how far to believe the pictures."""
        superstimuli = self.table[self.table["picture"] == "superstimulus"]
        best = self.table[self.table["picture"] == "best recorded"]
        beats = superstimuli.groupby("site")["judged"].max() > best.groupby("site")["judged"].max()
        notes = [
            f"Made for heads of {', '.join(self.about['makers'])}, fitted to one half of the "
            f"stimuli; judged by {self.about['judge']}, fitted to the other half.",
            f"The judge predicts more for the superstimulus than for the best recorded stimulus "
            f"under the same budget in {int(beats.sum())} of {len(beats)} sites.",
            "Predictions are linear and have no ceiling: "
            f"{superstimuli['made_for'].median():.1f} SD by the heads that it was made for is no "
            "response rate.",
        ]
        n_fitted = min(int(facts["n_stimuli"]) for facts in self.about["site"].values())
        if n_fitted < ENOUGH_STIMULI:
            notes.append(
                f"Fitted to {n_fitted} stimuli, which are few: of ten simulated V4 neurons, "
                "superstimuli of sites fitted to 200 drove the true neuron more than the best "
                f"recorded stimulus in 5, and with {ENOUGH_STIMULI} or more in 7 to 9."
            )
        if self.about["simulated"]:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png), the table (.csv), or into a folder every picture and both.

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        path = Path(path).expanduser()
        if path.suffix and not path.is_dir():
            return super().save(path)
        folder = writable_folder(path)
        sites = self.table[self.table["picture"] == "superstimulus"]["site"]
        for k, (site, picture) in enumerate(zip(sites, self.pictures, strict=True)):
            name = plain_name(f"{k:02d}", str(site))
            save_picture(folder / f"{name}.png", picture / 255, {**self.about, "picture": k})
        write(folder / "superstimuli.png", self.png())
        write(folder / "table.csv", csv(self.table))
        write(folder / "fits.csv", csv(self.fits))
        return folder

    def _contents(self) -> Contents:
        return {".csv": lambda: csv(self.table)}

    def _caption(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes())
        return f"<ul>{notes}</ul>"

    def __repr__(self) -> str:
        return f"<Superstimuli {self.title}: {len(self)} pictures>"


def superstimulus(
    site: str | Sequence[str],
    model: str | Network | nn.Module | None = None,
    *,
    together_with: str | Sequence[str | Network] | None = None,
    judge: str | Network | None = None,
    diverse: int = 1,
    photographs: str | Path | StimulusSet | None = None,
    masked: bool = True,
    layers: str = "default",
    judge_layers: str = "default",
    steps: int = 64,
    lr: float = SuperstimulusSettings.lr,
    seed: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    threads: int | None = None,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Superstimuli:
    """Make the picture that drives a recorded site most, and have another network judge it.

    Parameters
    ----------
    site : str or sequence of str
        ``site:RECORDING:NUMBER``, one or several of one recording. All sites are fitted anew to one
        half of the stimuli, once; the fits are kept.
    model : str, Network or torch.nn.Module, optional
        The network that the picture is made for; by default the one that the recording's sites
        were fitted with last.
    together_with : str or sequence, optional
        More networks: the mean of all predictions grows. As a string, separated by commas; none
        where it is empty, or ``'none'``. By default the first of `PARTNERS` that neither makes the
        picture already nor judges.
    judge : str or Network, optional
        A network of another architecture, fitted to the other half; by default the first of
        `JUDGES` that does not make the picture.
    diverse : int
        So many pictures of each site, as different as they can be.
    photographs : path, StimulusSet, optional
        Pictures of which the best for the judge is shown, too: a folder, pattern, table or archive.
    masked : bool
        Show the picture only where the site looks, and grey elsewhere; otherwise all of it.
    layers, judge_layers : str
        That sites are read from, as in `probe.encode`: of the networks that make the picture, and
        of the judge. Fewer are fitted faster.
    steps, lr
        Of the optimiser: how many, and how far in each.
    seed : int
        Of the halves, the noise and the transforms.
    precision, device, threads, preview, preview_every, progress
        As in `probe.visualize`.

    Returns
    -------
    Superstimuli

    Raises
    ------
    ProbeError
        If there is no such site, recording or network, or the judge makes the picture itself.

    See Also
    --------
    visualize : Without a budget or a judge.
    encode : Fits the sites.

    Examples
    --------
    >>> probe.superstimulus("site:v4:12")  # doctest: +SKIP
    >>> probe.superstimulus("site:v4:12", "alexnet", together_with="vgg16")  # doctest: +SKIP
    """
    settings = SuperstimulusSettings.of(locals()).checked()
    settings = replace(settings, threads=threads or torch.get_num_threads())
    names = [site] if isinstance(site, str) else list(site)
    pairs = [split_name(name) for name in names]
    if len({name for name, _ in pairs}) != 1:
        raise ProbeError("sites are of several recordings: name those of one")
    dataset = pairs[0][0]
    makers = _networks(model, together_with, judge, names[0], progress)
    judging = _judge(judge, makers, progress)
    recording = load_named(dataset, progress)
    check_recording(recording)
    ids = [str(one) for one in recording.data["neuroid_id"].values]
    numbers = [number for _, number in pairs]
    for one in numbers:  # before anything is fitted
        if one != ALL:
            row_of(one, ids, dataset)
    pictures = _photographs(photographs)
    first, second = halves(recording, seed)
    of_makers = [
        fit_half(
            network,
            recording,
            first,
            alias=dataset,
            layers=layers,
            device=device,
            progress=progress,
        )
        for network in makers
    ]
    of_judge = fit_half(
        judging, recording, second, alias=dataset, layers=judge_layers, device=device,
        progress=progress,
    )  # fmt: skip
    maker_sites = [[encoding.site(number) for number in numbers] for encoding in of_makers]
    judge_sites = [of_judge.site(number) for number in numbers]
    budget = Budget.of_stimuli(recording.stimuli, makers[0].preprocessing.size)
    size = budget.size
    masks = torch.cat(
        [field_mask(of_makers[0], one, size) if masked else torch.ones(1, 1, *size)
         for one in maker_sites[0]]
    )  # fmt: skip
    with running(
        None, makers, device=device, threads=settings.threads, preview=preview,
        preview_every=preview_every, progress=progress,
    ) as run:  # fmt: skip
        generated = make_pictures(makers, maker_sites, masks, budget, settings, run)
    judged = _Judgement(
        recording, makers, maker_sites, judging, judge_sites, budget, masks, size, device, progress
    )
    table, comparisons = judged.table(names, numbers, generated, diverse, pictures, of_judge)
    fits = [
        {"site": name, "network": encoding.identity.model, "role": role, "r": fit_r(encoding, n)}
        for encoding, role in [*((e, "makes") for e in of_makers), (of_judge, "judges")]
        for name, n in zip(names, numbers, strict=True)
    ]
    about = {
        **makers[0].provenance(),
        "made": "superstimulus",
        "sites": names,
        "recording": recording.name,
        "simulated": recording.simulated,
        "makers": [network.name for network in makers],
        "judge": judging.name,
        "site": {one.name: dict(one.facts) for one in maker_sites[0]},
        "judges": {one.name: dict(one.facts) for one in judge_sites},
        "budget": {**vars(budget), "size": list(budget.size), "masked": masked},
        "settings": settings.to_about(),
        "seed": seed,
    }  # fmt: skip
    what = names[0] if len(names) == 1 else f"{len(names)} sites of {dataset}"
    mark = " (SIMULATED)" if recording.simulated else ""
    title = f"superstimuli of {what}{mark}, made with {', '.join(n.name for n in makers)}"
    return Superstimuli(generated, comparisons, table, pd.DataFrame(fits), title, about)


def fit_r(encoding: Encoding, number: str) -> float:
    """Return the held-out r of a site, or the median of all."""
    rows = encoding._rows(number)
    return float(encoding.sites["r"].iloc[rows].median())


def _networks(
    model: str | Network | nn.Module | None,
    together_with: str | Sequence[str | Network] | None,
    judge: str | Network | None,
    site: str,
    progress: bool | None,
) -> list[Network]:
    if model is None:
        first = targets.home(site, progress=progress)
    else:
        first = models.as_network(model, progress=progress)
    if together_with is None:
        taken = (first.name, judge.name if isinstance(judge, Network) else judge)
        together_with = [name for name in PARTNERS if name not in taken][:1]
    if isinstance(together_with, str):
        words = [word.strip() for word in together_with.split(",")]
        together_with = [word for word in words if word not in ("", "none")]
    others = [models.as_network(one, progress=progress) for one in together_with]
    networks = [first, *others]
    if len({network.name for network in networks}) < len(networks):
        raise ProbeError(f"{first.name} is named twice among the networks that make the picture")
    return networks


def _judge(
    judge: str | Network | None, makers: Sequence[Network], progress: bool | None
) -> Network:
    names = [network.name for network in makers]
    if judge is None:
        judge = next(name for name in JUDGES if name not in names)
    network = models.as_network(judge, progress=progress)
    if network.name in names:
        raise ProbeError(
            f"judge {network.name!r} makes the picture itself, and shares its own blind spots: "
            f"name another network, such as {next(n for n in JUDGES if n not in names)}"
        )
    return network


def _photographs(photographs: str | Path | StimulusSet | None) -> StimulusSet | None:
    if photographs is None or isinstance(photographs, StimulusSet):
        return photographs
    return image_set(photographs)


def field_mask(encoding: Encoding, site: Site, size: tuple[int, int]) -> Tensor:
    """Return where a site looks: its field, widened by what a unit of the layer sees.

    Parameters
    ----------
    encoding : Encoding
    site : Site
        Of the encoding.
    size : (int, int)
        Height and width of the pictures.

    Returns
    -------
    torch.Tensor, shape (1, 1, height, width)
        1 where it looks, 0 where it does not; 1 everywhere for a site without a field.
    """
    height, width = size
    scale = height / encoding.facts["fit"]["input_size"][0]  # of pixels of the input
    facts = site.facts
    if facts.get("sd_px") is None or not np.isfinite(facts["sd_px"]):
        return torch.ones(1, 1, height, width)
    field = models.measures(encoding.load_network()).fields.get(site.layers[0])
    # Of the window of a unit, what counts lies about its middle: a Gaussian of a sixth of it.
    unit = max(field.size) / 6 if field is not None else 0.0
    sd = float(np.hypot(facts["sd_px"], unit)) * scale
    y = torch.arange(height)[:, None] + 0.5 - (float(facts["y_px"]) + 0.5) * scale
    x = torch.arange(width)[None, :] + 0.5 - (float(facts["x_px"]) + 0.5) * scale
    distance = (y.square() + x.square()).sqrt() / sd
    ramp = ((MASK_OUTER - distance) / (MASK_OUTER - MASK_INNER)).clamp(0, 1)
    return (0.5 - 0.5 * torch.cos(torch.pi * ramp))[None, None]


def make_pictures(
    makers: Sequence[Network],
    sites: Sequence[Sequence[Target]],
    masks: Tensor,
    budget: Budget,
    settings: SuperstimulusSettings,
    run: Run,
) -> np.ndarray:
    """Make the pictures that drive some targets most, each under the budget.

    Parameters
    ----------
    makers : sequence of Network
        Of which the mean of all predictions grows.
    sites : sequence of sequence of Target
        Of each network, the same sites; or whatever else it has for targets.
    masks : torch.Tensor, shape (n_sites, 1, height, width)
        Where each picture is shown, in 0–1: see `field_mask`.
    budget : Budget
    settings : SuperstimulusSettings
    run : Run
        Of the networks; it has no state.

    Returns
    -------
    numpy.ndarray, uint8, shape (n_sites · diverse, height, width, 3)
    """
    size = budget.size
    margin = max(2, round(MARGIN * min(size)))
    canvas = (size[0] + 2 * margin, size[1] + 2 * margin)
    # Little is shifted and turned, since the site looks at one place.
    transforms: tuple[Transform, ...] = (
        Jitter(margin), ScaleAndRotate((0.95, 1.05), 5.0), *[Jitter(margin)] * (SHIFTS - 1)
    )  # fmt: skip
    precision = resolve_precision(settings.precision, run.device)
    diverse, seed = settings.diverse, settings.seed
    per_pass = 1 if diverse > 1 else max(1, min(BATCH, with_graph(makers[0], canvas)))
    groups = [range(k, min(k + per_pass, len(masks))) for k in range(0, len(masks), per_pass)]
    pictures: list[np.ndarray] = []
    watched: Iterable[range] = groups
    if len(groups) > 1:  # or the bar of its steps is that of the whole
        watched = track(
            groups, desc="superstimuli", unit="batch", work=[len(group) for group in groups],
            progress=run.progress,
        )  # fmt: skip
    for group in watched:
        rows = [k for k in group for _ in range(diverse)]
        mask = nn.functional.pad(masks[rows], [margin] * 4, mode="replicate").to(run.device)
        canvases = Fourier(
            len(rows), canvas, seed=seed, alike=diverse == 1, decay=DECAY, device=run.device
        )
        budgeted = Budgeted(canvases, budget, mask)
        objective = _mean_of(
            [
                through(
                    network, _target([of_network[k] for k in group], diverse),
                    (*transforms, Resized(network.preprocessing.size)), seed=seed,
                    precision=precision,
                )
                for network, of_network in zip(makers, sites, strict=True)
            ]
        )  # fmt: skip
        adam = torch.optim.Adam(budgeted.parameters, lr=settings.lr)
        loop = run.loop(lambda c: tiled(np.stack([as_array(one) for one in c])))
        optimise(budgeted, objective, adam, settings.steps, desc="superstimulus", loop=loop)
        with torch.no_grad():
            final = budgeted()[..., margin:-margin, margin:-margin]
            # Cut to its part, it is brought to the budget once more.
            final = budget.spend(final, mask[..., margin:-margin, margin:-margin])
        pictures += [as_array(picture) for picture in final]
    return np.stack(pictures)


def _target(sites: Sequence[Target], diverse: int) -> Target:
    return Diverse(sites[0], sites[0].layers[0]) if diverse > 1 else Each(sites)


def _mean_of(each: Sequence[ValueAndGradient]) -> ValueAndGradient:
    """Return the mean of objectives."""

    def objective(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        parts = [one(pictures, step) for one in each]
        values = torch.stack([value for value, _ in parts]).mean(0)
        return values, torch.stack([gradient for _, gradient in parts]).mean(0)

    return objective


@dataclass(frozen=True, eq=False)
class _Judgement:
    """What is asked of the judge, and of the networks that made the pictures."""

    recording: Recording
    makers: Sequence[Network]
    maker_sites: Sequence[Sequence[Site]]
    judge: Network
    judge_sites: Sequence[Site]
    budget: Budget
    masks: Tensor
    size: tuple[int, int]
    device: str
    progress: bool | None

    def table(
        self,
        names: Sequence[str],
        numbers: Sequence[str],
        made: np.ndarray,
        diverse: int,
        photographs: StimulusSet | None,
        encoding: Encoding,
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        stimuli = self.recording.stimuli
        pixels = self._shown(stimuli)
        of_photographs = None if photographs is None else self._shown(photographs)
        responses = self.recording.mean_responses().values
        responses = (responses - responses.mean(0)) / np.where(
            responses.std(0, ddof=1) > 0, responses.std(0, ddof=1), np.nan
        )
        rows: list[dict[str, Any]] = []
        everywhere = torch.ones(1, 1, *self.size)
        of_judge = self._predict_all(
            self.judge, self.judge_sites, self.budget.spend(pixels, everywhere)
        )
        judged_photographs = np.empty((0, len(names)))
        if of_photographs is not None:
            judged_photographs = self._predict_all(
                self.judge, self.judge_sites, self.budget.spend(of_photographs, everywhere)
            )
        comparisons: dict[str, list[np.ndarray]] = {"best recorded": [], "best for the judge": []}
        if photographs is not None:
            comparisons["best photograph"] = []
        for k, name in enumerate(
            track(names, desc="judge", unit="site",
                  progress=self.progress if len(names) > 1 else False)
        ):  # fmt: skip
            recorded = np.nanmean(responses[:, encoding._rows(numbers[k])], axis=1)
            mask = self.masks[k : k + 1]

            def add(
                kind: str, index: int, picture: Tensor, of: str = "", response: float = np.nan,
                *, k: int = k, name: str = name, recorded: np.ndarray = recorded,
            ) -> None:  # fmt: skip
                judged = self._predict(self.judge, self.judge_sites[k], picture)[0]
                made_for = np.mean(
                    [
                        self._predict(network, sites[k], picture)[0]
                        for network, sites in zip(self.makers, self.maker_sites, strict=True)
                    ]
                )
                rows.append(
                    {
                        "site": name, "picture": kind, "index": index, "name": of,
                        "made_for": float(made_for), "judged": float(judged),
                        "percentile": 100.0 * float((recorded < judged).mean()),
                        "recorded": response,
                    }
                )  # fmt: skip

            for d in range(diverse):
                if len(made):
                    add("superstimulus", d, _as_tensor(made[k * diverse + d]))
            best = int(np.argmax(recorded))
            favourite = self._best(pixels, of_judge[:, k], k, best)
            for kind, index in (("best recorded", best), ("best for the judge", favourite)):
                picture = self.budget.spend(pixels[index : index + 1], mask)
                add(kind, 0, picture, stimuli.ids[index], float(recorded[index]))
                comparisons[kind].append(as_array(picture[0]))
            if of_photographs is not None and photographs is not None:
                index = self._best(of_photographs, judged_photographs[:, k], k)
                picture = self.budget.spend(of_photographs[index : index + 1], mask)
                add("best photograph", 0, picture, photographs.ids[index])
                comparisons["best photograph"].append(as_array(picture[0]))
        return pd.DataFrame(rows), {kind: np.stack(some) for kind, some in comparisons.items()}

    def _shown(self, stimuli: StimulusSet) -> Tensor:
        return torch.stack([_pixels(stimuli.image(k), self.size) for k in range(len(stimuli))])

    def _best(self, shown: Tensor, unmasked: np.ndarray, k: int, also: int | None = None) -> int:
        """Choose the picture that the judge predicts most for, where the k-th site looks.

        Of those that it predicts most for when all of them is shown, and one more.
        """
        candidates = list(np.argsort(-unmasked)[:CANDIDATES])
        candidates += [also] if also is not None and also not in candidates else []
        spent = self.budget.spend(shown[candidates], self.masks[k : k + 1])
        return int(candidates[self._predict(self.judge, self.judge_sites[k], spent).argmax()])

    def _predict(self, network: Network, site: Site, pictures: Tensor) -> np.ndarray:
        """Compute the predictions of a site for pictures in 0–1, (n,)."""
        return self._predict_all(network, [site], pictures)[:, 0]

    def _predict_all(self, network: Network, sites: Sequence[Site], pictures: Tensor) -> np.ndarray:
        """Compute the predictions of sites for pictures in 0–1, (n, n_sites)."""
        layers = list(dict.fromkeys(layer for site in sites for layer in site.layers))
        values = []
        with on_device(network, self.device) as (device, dtype):
            for batch in pictures.split(BATCH):
                inputs = Resized(network.preprocessing.size)(batch, torch.default_generator)
                inputs = network.preprocessing.normalise(inputs.to(device)).to(dtype)
                outputs = capture(network.module, inputs, layers)
                each = [site({k: v.float() for k, v in outputs.items()}) for site in sites]
                values.append(torch.stack(each, dim=1).detach().cpu())
        return torch.cat(values).numpy()


def _pixels(picture: Image.Image, size: tuple[int, int]) -> Tensor:
    """Return a picture in 0–1, (3, height, width), resized as networks resize it."""
    resized = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).permute(2, 0, 1)


def _as_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]


__all__ = ["Budget", "Budgeted", "Superstimuli", "superstimulus"]
