"""What is on the page: for each command, the pictures and the options that it takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """Where pictures are dropped.

    Attributes
    ----------
    name : str
        Of the option that takes them; of an argument, any.
    label : str
    many : bool
        Whether it takes several.
    films : bool
    folder : bool
        Whether the option is given a folder that holds them, rather than their names.
    before : bool
        Whether it is what the result is compared with, before and after.
    needed : str
        Without which there is nothing to do: what has to be dropped, such as "a picture".
    """

    name: str
    label: str
    many: bool = False
    films: bool = False
    folder: bool = False
    before: bool = False
    needed: str = ""


@dataclass(frozen=True)
class Tab:
    """What is to be seen of a command.

    Attributes
    ----------
    command, title : str
    verb : str
        What its button says.
    pictures : tuple of Field
        Those that are arguments of the command, in its order.
    options : tuple of str
        Parameters of it, in the order of the page.
    more : tuple of str
        Further parameters, which are folded away.
    fields : tuple of Field
        Options of it that are pictures.
    extra : tuple of Field
        Such, which are folded away.
    start : tuple of (str, str)
        Values to begin with, where the command has none.
    report : bool
        Whether the report is shown below the picture.
    """

    command: str
    title: str
    verb: str
    pictures: tuple[Field, ...]
    options: tuple[str, ...]
    more: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    extra: tuple[Field, ...] = ()
    start: tuple[tuple[str, str], ...] = ()
    report: bool = False

    @property
    def dropped(self) -> tuple[Field, ...]:
        """All fields, in the order in which the page has them."""
        return (*self.pictures, *self.fields, *self.extra)


AGAIN = Field("repeat", "Once more, as this was made")

TABS = (
    Tab(
        "dream", "Dream", "Dream",
        (Field("pictures", "Pictures, or a film", many=True, films=True, before=True,
               needed="a picture"),),
        ("preset", "target", "strength", "colour", "size", "seed"),
        ("model", "steps", "octaves", "scale", "laplacian", "layers", "weights", "tile"),
        extra=(Field("guide", "Guide"), Field("mask", "Mask"), AGAIN),
    ),
    Tab(
        "style", "Style", "Paint",
        (
            Field("content", "Picture, or a film", films=True, before=True, needed="a picture"),
            Field("styles", "Styles", many=True, needed="a style"),
        ),
        ("strength", "colours", "size", "seed"),
        ("steps", "style_scale", "loss", "smoothness", "histogram", "mix", "pooling",
         "content_layer", "model", "tileable"),
        extra=(Field("mask", "Masks", many=True), AGAIN),
    ),
    Tab(
        "saliency", "Saliency", "Explain",
        (Field("image", "Picture", needed="a picture"),),
        ("target", "method", "style", "model"),
        ("layer", "weights", "check", "seed"),
        start=(("model", "squeezenet1_1"),),
        report=True,
    ),
    Tab(
        "visualize", "Visualise", "Visualise",
        (),
        ("target", "model", "diverse", "size", "seed"),
        ("steps", "transparent", "tileable", "channels", "interpolate", "parameterisation",
         "tolerance", "lr", "judge", "together_with", "weights", "check"),
        extra=(AGAIN,),
        start=(("model", "squeezenet1_1"), ("target", "tabby")),
    ),
    Tab(
        "filters", "Filters", "Show",
        (),
        ("model", "layer"),
        ("channels", "k", "project", "sort", "scale", "weights", "seed"),
        fields=(
            Field("image", "A picture: what the layer makes of it"),
            Field("images", "Many pictures: those that drive a channel", many=True, folder=True),
        ),
        start=(("model", "squeezenet1_1"),),
    ),
    Tab(
        "atlas", "Atlas", "Make the atlas",
        (),
        ("model", "layer", "images", "target", "grid", "seed"),
        ("layout", "samples", "size", "steps", "weights"),
        fields=(
            Field("images", "Pictures, a few hundred", many=True, folder=True, needed="pictures"),
        ),
        start=(("model", "squeezenet1_1"), ("layer", "features.11")),
    ),
)  # fmt: skip
"""The commands that make pictures, in order."""

INSTEAD = ("repeat", "demo", "texture")
"""Options with which no pictures are needed: they bring, or do without, what is needed."""

RECORDING = (
    Tab(
        "rsa", "Compare layers", "Compare", (),
        ("model", "region", "subject", "layers", "comparator", "baselines"),
        ("metric", "min_reliability", "time", "step", "resample", "test", "n_resamples", "weights",
         "preprocessing", "accept_licence", "seed"),
        start=(("model", "alexnet"),),
    ),
    Tab(
        "encode", "Predict sites", "Fit", (),
        ("model", "region", "subject", "layers", "readout", "baselines"),
        ("method", "protocol", "min_reliability", "time", "step", "n_resamples", "weights",
         "preprocessing", "accept_licence", "seed"),
        start=(("model", "alexnet"),),
    ),
)  # fmt: skip
"""The questions that are asked of a recording."""

READING = (
    "window", "axes", "labels", "presentations", "neuroids", "variable", "bins", "time_unit",
    "picture_axes", "step", "region", "subject",
)  # fmt: skip
"""Options of ``datasets import`` that decide how dropped files are read."""
