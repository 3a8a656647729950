"""What the page calls an option, and how it says what a command says of it.

The commands speak to somebody at a shell: of ``--octaves``, and of `probe models`. On the page an
option is a field with a label. The texts here are short, and are all that is said twice: ranges,
choices and defaults are those of the command (`commands`), whose own text stands behind each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from probe.studio.commands import Command, Option

TEXTS: Mapping[str, tuple[str, str]] = {
    "preset": ("Look", "What kind of thing appears in the picture."),
    "target": ("Subject", "What to look for: a class such as goldfish, or a channel."),
    "model": ("Network", "The network that looks. Each has learned to see other things."),
    "strength": ("Strength", "How much each step changes the picture."),
    "colour": ("Colour", "0 keeps the picture's own colours, 1 takes all of the dream's."),
    "colours": ("Colours", "Whose colours the result has: the style's, or your picture's."),
    "size": ("Size", "Longer side of the result, in pixels. Smaller is faster."),
    "seed": ("Variation", "Another number makes another version, the same number the same."),
    "steps": ("Steps", "How long it works. With more, the picture changes more."),
    "octaves": ("Octaves (scales)", "At how many sizes it looks. With more, larger things appear."),
    "scale": ("Scale ratio", "How much larger each of these sizes is than the one before."),
    "laplacian": ("Even detail", "Makes large shapes and fine texture equally strong."),
    "layers": ("Layers", "Where in the network: early ones see lines, late ones whole things."),
    "layer": ("Layer", "Where in the network: early ones see lines, late ones whole things."),
    "weights": (
        "Weights",
        "What the network has learned. “random” is a network that learned nothing.",
    ),
    "tile": ("Tile size", "Large pictures are made in tiles of this many pixels."),
    "loss": ("Kind of style", "How the style is measured. Each gives other brushwork."),
    "style_scale": ("Brush size", "Below 1 the strokes become finer, above 1 coarser."),
    "smoothness": ("Smoothness", "Higher is smoother, lower keeps more grain."),
    "histogram": ("Contrast match", "Try 1 if the result looks washed out."),
    "mix": ("Mix of styles", "How much of each style, in their order, such as 2,1."),
    "pooling": ("Softness", "“average” is softer, “max” is crisper."),
    "content_layer": ("Where content is kept", "Early layers hold on to your picture more."),
    "tileable": ("Seamless", "Opposite borders match, so that it repeats without a seam."),
    "method": ("Method", "How the parts that matter are found. Each has its own look."),
    "style": ("Drawn as", "Over the picture, beside it, alone, or as lines."),
    "check": ("Check", "Measures how far the result is to be trusted; it takes longer."),
    "diverse": ("How many", "Several pictures of one subject, as different as they can be."),
    "transparent": ("Cut out", "Only what matters is drawn; the rest is see-through."),
    "channels": ("Channels", "Which of the layer's channels, by number: 12,84 or 0-31."),
    "interpolate": ("In-between pictures", "This many pictures from one subject to another."),
    "parameterisation": ("Made of", "What the picture is made of, which changes its texture."),
    "tolerance": ("Stop early", "0 never does; 0.01 stops when there is little left to gain."),
    "lr": ("Step size", "Larger is faster and rougher."),
    "judge": ("Second opinion", "Of recorded sites: another network, which judges the picture."),
    "together_with": ("Together with", "Of recorded sites: further networks that have to agree."),
    "k": ("How many each", "Patches for each channel."),
    "project": ("Show the part", "Shows which part of a patch the channel answers to."),
    "sort": ("Order", "How the kernels are sorted."),
    "images": ("Pictures", "Or the name of a recording, whose pictures are taken."),
    "image": ("Picture", ""),
    "grid": ("Cells", "How many cells along each side of the atlas."),
    "layout": ("Layout", "How similar ones are brought side by side."),
    "samples": ("Samples", "How many places in all pictures together are looked at."),
    "guide": ("Guide", ""),
    "mask": ("Mask", ""),
    "repeat": ("Once more, as this was made", ""),
    "dataset": ("Recording", ""),
    "window": ("Time window", ""),
    "axes": ("Order of the axes", ""),
    "labels": ("Which picture was shown", ""),
    "presentations": ("What was shown when", ""),
    "neuroids": ("Table of neuroids", ""),
    "variable": ("Responses", ""),
    "bins": ("Time bins", ""),
    "time_unit": ("Unit of the times", ""),
    "picture_axes": ("Rows or columns first", ""),
    "min_reliability": ("Least reliability", ""),
    "n_resamples": ("Resamples", ""),
}
"""Of options by name: the label, and one sentence in the words of somebody who makes pictures.
Where there is none, the command's own text stands there."""

OF_COMMAND: Mapping[tuple[str, str], tuple[str, str]] = {
    ("dream", "target"): ("Subject", "Dream of one thing, such as goldfish, instead of a look."),
    ("style", "strength"): ("Strength", "How much of the style: 2 is twice as much."),
    ("style", "steps"): ("Steps", "How long it paints. Fewer are faster, more are finer."),
    ("style", "model"): ("Network", "The network whose eye compares your picture and the style."),
    ("saliency", "target"): ("Subject", "What to explain: a class such as goldfish, or a channel."),
    ("saliency", "layer"): ("Layer", "Where in the network to look; the last one as a rule."),
    ("visualize", "size"): ("Size", "Side of the pictures, in pixels."),
    ("visualize", "check"): ("Check", "Of recorded sites: keeps the picture near to natural ones."),
    ("visualize", "seed"): ("Variation", "Another number makes other pictures of the same."),
    ("filters", "scale"): ("Brightness", "One scale for all maps, or one for each."),
    ("filters", "seed"): ("Variation", "Of networks with random weights: which ones."),
    ("atlas", "size"): ("Size of a cell", "Side of each cell's picture, in pixels."),
    ("atlas", "target"): ("Subject", "The frames show how strongly each cell drives it."),
    ("rsa", "model"): ("Network", ""),
    ("rsa", "layers"): ("Layers", ""),
    ("rsa", "seed"): ("Seed", ""),
    ("encode", "model"): ("Network", ""),
    ("encode", "method"): ("Method", ""),
    ("encode", "layers"): ("Layers", ""),
    ("encode", "seed"): ("Seed", ""),
}
"""Of those that mean something else in one command."""

_SAID = {
    r"Input should be a valid integer\b.*": "expected a whole number",
    r"Input should be a valid number\b.*": "expected a number",
    r"Input should be a valid boolean\b.*": "expected yes or no",
}
"""What the parser of a shell says, and what it means."""

_FLAG = r"(?<![\w-])(--[a-z][a-z-]*[a-z])"


PLACEHOLDERS: Mapping[tuple[str, str], str] = {
    **dict.fromkeys(
        [("dream", name) for name in ("strength", "colour", "steps", "laplacian", "layers")],
        "that of the look",
    ),
    ("dream", "preset"): "the first one",
    ("dream", "tile"): "what fits into about 1 GB",
    ("style", "size"): "the picture’s own, at most 512",
    ("saliency", "target"): "what the network sees in the picture",
    ("saliency", "method"): "grad-cam, or integrated-gradients for a recorded site",
    ("saliency", "model"): "for a recorded site, its own",
    ("saliency", "layer"): "the last one that has places",
    ("visualize", "target"): "of a neuron’s network, its response",
    ("visualize", "lr"): "what suits the way it is made",
    ("encode", "region"): "the recording’s first",
}
"""What holds where nothing is written, in the words of the page; otherwise in the command's."""


def placeholder(command: Command, option: Option) -> str:
    """Return what holds where nothing is written into a field."""
    said = PLACEHOLDERS.get((command.name, option.name))
    return said or translate(option.placeholder, command)


def label(command: str, name: str) -> str:
    """Return what a field is called."""
    text = OF_COMMAND.get((command, name)) or TEXTS.get(name)
    return text[0] if text else name.replace("_", " ").capitalize()


def explain(command: str, option: Option) -> str:
    """Return one sentence for a field, or nothing where only the command has one."""
    text = OF_COMMAND.get((command, option.name)) or TEXTS.get(option.name)
    return text[1] if text else ""


def first(message: str, command: Command, names: Collection[str]) -> str:
    """Return the name of the first of some options whose flag a message names, or nothing."""
    by_flag = {command.options[name].flag: name for name in names}
    return next((by_flag[flag] for flag in re.findall(_FLAG, message) if flag in by_flag), "")


def translate(message: str, command: Command) -> str:
    """Return what a command says is wrong, with the labels of fields for its flags.

    Examples
    --------
    >>> from probe import cli
    >>> from probe.studio.commands import Command
    >>> translate("--colour 3.0: expected a number from 0 to 1", Command(cli.app, "dream"))
    'Colour 3: expected a number from 0 to 1'
    """
    labels = {
        option.flag: label(command.name, name)
        for name, option in command.options.items()
        if option.flag and (name in TEXTS or (command.name, name) in OF_COMMAND)
    }
    text = re.sub(r" \(see `probe [^`]*`\)", "", message)
    # The parser's own sentences: the flag with its short form, and what it is called in capitals.
    text = re.sub(rf"^Invalid value for '{_FLAG}'(?: / '-\w')?:", r"\1:", text)
    text = re.sub(rf"^Missing option '{_FLAG}'.*", r"\1: choose one first", text)
    for pattern, said in _SAID.items():
        text = re.sub(pattern, said, text)

    def at_start(match: re.Match[str]) -> str:
        return labels.get(match[1], match[1])

    def example(match: re.Match[str]) -> str:
        if match[2] not in labels:
            return match[0]
        if match[1] == "as in":
            return f"such as {match[3]} in “{labels[match[2]]}”"
        return f"{match[1]} {match[3]}"

    def within(match: re.Match[str]) -> str:
        return f"“{labels[match[1]]}”" if match[1] in labels else match[0]

    text = re.sub(rf"\b(as in|such as|or) {_FLAG} ([^\s;)]*[^\s;),.])", example, text)
    text = re.sub(rf"^{_FLAG}(?=:| \S+: expected)", at_start, text)
    text = re.sub(_FLAG, within, text)
    # "3.0" is what was read; "3" what somebody typed.
    return re.sub(r"^([^:]*? -?\d+)\.0(?=: )", r"\1", text)
