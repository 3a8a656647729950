"""A manifest to begin with: a dataset of the user's own, in a form that can be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from probe.assets import checks
from probe.assets.files import PLAIN_NAME
from probe.assets.manifest import SIMULATED, Manifest, manifests, own_folder
from probe.errors import ProbeError

_HEAD = """\
# {name}: what `probe rsa --dataset {name}` reads. Fill in what is yours; lines that begin with #
# are optional. `probe datasets show {name}` says whether it can be read, and what is here.

title = "What was recorded, where, and of which pictures"
homepage = "https://example.org/{name}"
loader = "brainscore" # one .nc (presentation × neuroid), one .csv (stimulus_id, filename), one .zip
# n_stimuli = 100

[[publications]] # what to cite; one such table for each
authors = ["Family, Given", "Other, Author"]
title = "Title of the article"
journal = "Journal"
year = 2026
# volume = "1"
# pages = "1-10"
# doi = "10.1234/example"

[licence]
name = "not stated"
restricted = false # true: whoever downloads it has to say --accept-licence
# note = "What one has to know besides."

[[regions]] # as the coordinate `region` of the neuroids says; the first is the default
name = "V4"
species = "macaque"
# note = "Utah array"

[responses] # what the .nc does not say itself
# unit = "spikes per second"
averaged = false # true: each response is a mean over repetitions
# time_unit = "ms" # of time_bin_start and time_bin_end
# window_ms = [50, 200] # of several time bins, the window that is put together
# reliability = "reliability" # coordinate of the neuroids, of the same window as the responses

# The hash of a file: sha256sum FILE. Without a url, put it into a mirror folder (PROBE_MIRROR) or
# run `probe assets add FILE`.
"""

_EXAMPLES = ("assembly.nc", "stimuli.csv", "stimuli.zip")


def is_placeholder(manifest: Manifest) -> bool:
    """Return whether what to cite is still what the template says."""
    return any(p.title == "Title of the article" for p in manifest.publications)


def write_template(name: str, files: Sequence[Path] = ()) -> Path:
    """Write a manifest to be filled in, which can be read as it is.

    Parameters
    ----------
    name : str
        What the dataset will be called.
    files : sequence of Path
        Its files, whose names, sizes and hashes are written in; by default examples.

    Returns
    -------
    pathlib.Path
        ``NAME.toml`` in the folder of the user's own manifests, ``PROBE_MANIFESTS``.

    Raises
    ------
    ProbeError
        If no folder is set, the name cannot be that of a dataset or is taken, or a file cannot be
        read.
    """
    folder = own_folder()
    if folder is None:
        raise ProbeError(
            "no folder for manifests of your own: make one and set PROBE_MANIFESTS to it, as in "
            "PROBE_MANIFESTS=~/manifests"
        )
    if not PLAIN_NAME.fullmatch(name) or "." in name or ":" in name:
        raise ProbeError(
            f"{name!r} is not a name for a dataset: expected letters, digits, '-' and '_', such as "
            "smith2026"
        )
    path = folder / f"{name}.toml"
    if name.startswith(SIMULATED):
        raise ProbeError(
            f"names that begin with {SIMULATED!r} are those of simulations: choose another"
        )
    taken = {word for m in manifests().values() for word in (m.name, *m.aliases)}
    if name in taken or path.exists():
        raise ProbeError(f"dataset {name!r} exists already: choose another name")
    entries = [_entry(file) for file in files] or [
        f'[[files]]\nname = "{file}"\nurl = "https://example.org/{name}/{file}"\n'
        f'sha256 = "{"0" * 64}"\n'
        for file in _EXAMPLES
    ]
    text = "\n".join([_HEAD.format(name=name), *entries])
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ProbeError(f"{str(path)!r} cannot be written ({error.strerror})") from None
    try:
        Manifest.load(path)
    except ProbeError:
        path.unlink()
        raise
    return path


def _entry(path: Path) -> str:
    path = path.expanduser()
    try:
        size, digest = path.stat().st_size, checks.digest_of(path)
    except OSError as error:
        raise ProbeError(f"file {str(path)!r} cannot be read ({error.strerror})") from None
    return (
        f"[[files]]\nname = {json.dumps(path.name, ensure_ascii=False)}\n"
        f'# url = "https://…/{path.name}"\nsha256 = "{digest.sha256}"\nsize = {size}\n'
    )
