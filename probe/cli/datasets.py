"""``probe datasets``: which recordings there are, and recordings of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.errors import ProbeError
from probe.recordings.settings import ReadSettings

if TYPE_CHECKING:
    import numpy as np

    from probe.recordings import Available

MAX_FILES_LISTED = 20
"""Files that are still listed one by one."""

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


def _of_file(
    name: str,
    metavar: str,
    autocompletion: Callable[[str], list[str]] | None = None,
    *flags: str,
) -> Any:
    """Return an option of a file that is read."""
    more = {} if autocompletion is None else {"autocompletion": autocompletion}
    return options.of(ReadSettings, name, *flags, metavar=metavar, **more)


@app.callback()
def datasets(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recordings that --dataset takes, real and simulated; import your own.

    A folder that holds responses.npy and images/ is a recording as well: probe rsa --dataset
    ./FOLDER. `probe datasets import` makes such a folder from NWB, MATLAB, netCDF, HDF5, FIF and
    NumPy files, brain images and tables.

    PROBE_MANIFESTS names a folder of your own manifests, one NAME.toml per dataset, which say
    where its files are and what their hashes are: `probe datasets new NAME` writes one for you to
    fill in.
    """
    if context.invoked_subcommand is not None:
        return
    from probe import recordings
    from probe.cli.terminal import put, table

    entries = recordings.available()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    put(
        table(
            ["dataset", "alias", "what"],
            [
                [
                    "\n".join([entry.name, *(f"{entry.name}/{s}" for s in entry.sessions)]),
                    "\n".join(entry.aliases),
                    f"{entry.title}\n{_details(entry)}\n",
                ]
                for entry in entries
            ],
            folds="what",
        ),
        "A folder of your own: probe rsa --dataset ./FOLDER, with responses.npy and images/.",
        "Files of other kinds (NWB, MATLAB, netCDF, NIfTI, FIF, tables): "
        "probe datasets import --help.",
    )


@app.command("import")
@with_settings(
    ReadSettings,
    blanks=None,
    mask=None,
    events=None,
    keep=None,
    picture_axes={"metavar": "y,x|x,y", "autocompletion": complete.picture_axes},
    window={"metavar": "FROM,TO"},
    step={"metavar": "LENGTH"},
    axes={"metavar": "AXIS,...", "autocompletion": complete.axes},
    variable={"metavar": "NAME"},
    labels={"metavar": "NAME"},
    presentations={"metavar": "NAME"},
    neuroids={"metavar": "FILE"},
    bins={"metavar": "FIRST,WIDTH"},
    time_unit={"metavar": "s|ms", "autocompletion": complete.time_units},
    key={"metavar": "FILE"},
    average={"metavar": "COLUMN"},
)
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="NWB, MATLAB, netCDF, HDF5, FIF, EEGLAB's .set, .npy, .npz, .csv, .tsv or "
            ".parquet; several files of one site each are placed side by side. NIfTI or GIfTI "
            "images of single-trial maps, or folders of them.",
        ),
    ],
    settings: ReadSettings,
    blank: Annotated[list[str] | None, _of_file("blanks", "NAME", None, "--blank")] = None,
    mask: Annotated[list[Path] | None, _of_file("mask", "FILE")] = None,
    events: Annotated[list[Path] | None, _of_file("events", "FILE")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write.",
            show_default="./ and the file's name; for a folder, ./FOLDER-recording",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report how the files are read; write nothing.")
    ] = False,
) -> None:
    """Make a recording from your own files, and report how every axis was read.

    If files can be read in two ways, neither is assumed: the error names the option that decides.
    The result is a folder that --dataset takes: responses.npy, images/, stimuli.csv, neuroids.csv,
    and recording.json, which holds the hashes of the files and how they were read, in words; you
    can fill in title, citation and licence there.

    \b
    Examples:
      probe datasets import session.nwb --stimuli images/ --window 50,250ms
      probe rsa --model alexnet --dataset ./session
      probe datasets import session.nwb --picture-axes y,x --window 50,250ms  # pictures inside

    \b
    Look first, without pictures:
      probe datasets import session.nwb --window 50,250ms --dry-run

    \b
    MATLAB, whose axes have no names (neuron x image x repeat):
      probe datasets import resp.mat --axes neuron,image,repeat --labels names.csv --stimuli images/
    One file per site, trials x milliseconds from 500 ms before onset:
      probe datasets import site*.mat --axes trial,time --bins -500,1ms --window 100,300ms
        --labels labels.picture --stimuli images/ -o it

    \b
    MEG and EEG, every sample kept, a region per type of sensor; spikes in steps of 10 ms:
      probe datasets import sub-01-epo.fif --stimuli images/
      probe datasets import session.nwb --stimuli images/ --window 0,300ms --step 10ms

    \b
    Spikes and presentations in two tables; a Brain-Score assembly; a tidy table:
      probe datasets import spikes.csv --presentations trials.csv --window 70,170ms
        --stimuli images/
      probe datasets import assy.nc --stimuli stimuli.csv
      probe datasets import tidy.csv --variable rate --stimuli images/

    \b
    Single-trial maps of fMRI: a folder of images, or one image of many maps:
      probe datasets import betas/ --mask V4.nii.gz --events trials.tsv --stimuli images/
      probe datasets import sub-01_stat-effect_statmap.nii.gz --events trials.tsv
        --mask atlas_dseg.nii.gz --region V1,V4 --stimuli images/ -o sub-01
    """  # noqa: D301
    from probe.cli import terminal
    from probe.recordings import read_recording
    from probe.recordings.importing.reading import ask_for_pictures, check_free

    folder = output or _folder_for(files[0])
    if not dry_run:
        no_pictures = settings.stimuli is None and settings.picture_axes is None
        if no_pictures and all(file.exists() for file in files):
            question = ask_for_pictures(in_file=files[0].suffix.lower() == ".nwb")
            raise ProbeError(f"{question} (or add --dry-run, which only says how the file is read)")
        check_free(folder.expanduser())
    of_command = {"blanks": blank or (), "mask": mask or None, "events": events or None}
    reading = read_recording(files, **settings.to_about() | of_command)
    lines = []
    if not dry_run:
        reading.save(folder)
        name = folder if folder.is_absolute() else f"./{folder.as_posix().removeprefix('./')}"
        over_time = "" if reading.times is None else _over_time(reading.times)
        lines = ["", f"wrote {name}", f"probe rsa --model alexnet --dataset {name}{over_time}"]
    terminal.put(terminal.facts(reading.describe()), *lines)


def _over_time(times: np.ndarray) -> str:
    """Return the options by which such times are compared: bins one by one, samples by 10 ms.

    Without a step, where steps of 10 ms would not hold about as many samples each.
    """
    from probe.recordings.times import check_even, steps_of

    first, last = float(times[0, 0]), float(times[-1, 1])
    if times[0, 1] > times[0, 0]:
        return f" --time {first:g},{last:g}ms --step {times[0, 1] - times[0, 0]:g}ms"
    step = 10
    begin, end = math.ceil(first / step) * step, math.floor(last / step) * step
    try:
        check_even(times, steps_of(begin, end, step))
    except ValueError:
        return f" --time {first:g},{last:g}ms"
    return f" --time {begin},{end}ms --step {step}ms"


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A dataset, one of its sessions (NAME/SESSION), or an alias.",
        autocompletion=complete.manifests,
    ),
]


@app.command("show")
def show(name: Name) -> None:
    """Show what a dataset is, the terms of its use, and which of its files are already here.

    Example: probe datasets show li2026
    """
    from probe.assets.template import is_placeholder
    from probe.cli.terminal import facts, put, size
    from probe.recordings import catalogue

    dataset = catalogue.named(name)
    manifest = dataset.manifest
    lines = [("dataset", manifest.name), ("title", manifest.title)]
    to_fill_in = "not filled in yet ([[publications]] of the manifest)"
    cite = [to_fill_in] if is_placeholder(manifest) else map(str, manifest.publications)
    lines += [("cite", publication) for publication in cite]
    licence = manifest.licence
    terms = licence.name + (" (--accept-licence)" if licence.restricted else "")
    lines += [("licence", terms), *([("", licence.note)] if licence.note else [])]
    lines.append(("see", manifest.homepage))
    if manifest.aliases:
        lines.append(("alias", ", ".join(manifest.aliases)))
    if manifest.n_stimuli:
        lines.append(("stimuli", f"{manifest.n_stimuli:,}"))
    for region in manifest.regions:
        about = ", ".join(filter(None, (region.species, region.note)))
        lines.append(("region", f"{region.name} ({about})"))
    for label, session in manifest.sessions.items():
        count = f"{session.n_stimuli:,} stimuli" if session.n_stimuli else ""
        about = "; ".join(filter(None, (session.subject, count, session.note.rstrip("."))))
        default = " (default)" if label == manifest.default_session else ""
        lines.append(("session", f"{label}{default}: {about}"))
    if manifest.loader is not None:
        responses = manifest.responses
        if responses.unit:
            lines.append(("responses", responses.unit))
        if responses.averaged:
            lines.append(("repetitions", "averaged"))
        if responses.window_ms:
            first, last = responses.window_ms
            lines.append(("window", f"{first:g} to {last:g} ms after onset"))
        published = f"of each neuroid, {responses.reliability} in the file (--min-reliability)"
        lines.append(("reliability", published if responses.reliability else "not published"))
    many = len(manifest.files) > MAX_FILES_LISTED
    files = catalogue.places_of(dataset)
    here = [asset for asset, path in files if path is not None]
    for asset, path in files if not many else []:
        length = catalogue.size_of(asset, path)
        length_text = f", {size(length)}" if length else ""
        lines.append(("file", f"{asset.name}{length_text}: {path or 'not here'}"))
    lines.append(("here", f"{len(here)} of {len(files)} files"))
    put(facts(lines))
    if len(here) < len(files):
        put("", f"Get them: probe datasets fetch {name}")


@app.command("fetch")
def fetch(
    name: Name,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept a restricted licence.")
    ] = False,
) -> None:
    """Fetch the files of a dataset, and check each against its hash.

    If a dataset has several sessions, only the files of the named one, or of the default one, are
    fetched. Files that are already here are kept, and an interrupted download resumes where it
    stopped.

    Example: probe datasets fetch majajhong2015 --accept-licence
    """
    from probe.cli.terminal import put, size
    from probe.recordings import fetch_files

    paths = fetch_files(name, accept_licence=accept_licence)
    put(*(f"{path}  {size(path.stat().st_size)}" for path in paths))


@app.command("verify")
def verify(name: Name) -> None:
    """Check the hashes of a dataset's files in the cache and in mirror folders.

    The exit code is 1 if a file is not what it should be. Nothing is fetched or removed.
    """
    from probe.cli.terminal import put, table
    from probe.recordings import verify_files

    files = verify_files(name)
    if not any(file.path for file in files):
        raise ProbeError(f"no file of {name} is here: probe datasets fetch {name}")
    rows = []
    for file in files:
        state = "differs" if file.differs else "good" if file.path else "not here"
        rows.append([file.asset.name, state, str(file.path or "")])
        if file.differs:
            rows.append(["", "", f"has {file.found}, expected {file.asset.hash}"])
    put(table(["file", "", "where"], rows, folds="where"))
    if wrong := [file for file in files if file.differs]:
        put(f"{len(wrong)} of {sum(bool(file.path) for file in files)} files differ")
        raise typer.Exit(1)


@app.command("cite")
def cite(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Datasets.", autocompletion=complete.manifests),
    ],
) -> None:
    """Print the BibTeX entries to cite for datasets, each entry once.

    Example: probe datasets cite v4 majajhong2015 > data.bib
    """
    from probe.assets.manifest import bibliography
    from probe.assets.template import is_placeholder
    from probe.recordings import catalogue

    listed = [catalogue.named(name).manifest for name in names]
    if unfilled := [manifest.name for manifest in listed if is_placeholder(manifest)]:
        raise ProbeError(
            f"{', '.join(unfilled)}: whom to cite is not filled in yet: expected the article in "
            "[[publications]] of the manifest"
        )
    typer.echo(bibliography(listed))


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files of the dataset, whose names, sizes and hashes are filled in.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a manifest for you to fill in: NAME.toml in the folder PROBE_MANIFESTS.

    A manifest says where files in Brain-Score's layout (.nc, .csv, .zip) are, what their hashes
    are, whom to cite, and on which terms they may be used. It is valid as written.

    \b
    Example:
      mkdir -p ~/manifests && export PROBE_MANIFESTS=~/manifests
      probe datasets new smith2026 assembly.nc stimuli.csv stimuli.zip
      probe assets add assembly.nc stimuli.csv stimuli.zip
      probe rsa --model alexnet --dataset smith2026
    """  # noqa: D301
    from probe.assets.template import write_template
    from probe.cli.terminal import put

    path = write_template(name, files or ())
    put(f"wrote {path}", f"Fill it in, then: probe datasets show {name}")


def _folder_for(file: Path) -> Path:
    """Return the folder that is written by default: called like the file, not the folder read."""
    if file.is_dir():
        return Path(f"{file.resolve().name}-recording")
    return Path(Path(file.name.removesuffix(".gz")).stem)


@app.command("export")
def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A recording, or a folder.", autocompletion=complete.datasets
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .nc, .csv or .parquet file.")],
    region: Annotated[
        str | None,
        typer.Option(
            help="Region of the recording; a folder with several regions has no default.",
            show_default="the recording's default",
            autocompletion=complete.regions,
        ),
    ] = None,
    subject: options.Subject = None,
    min_reliability: options.MinReliability = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the choice of neuroids by --min-reliability.")
    ] = 0,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Write the responses of a recording to a file that other programs read.

    A .nc file is netCDF in Brain-Score's layout (presentation × neuroid × time_bin); .csv and
    .parquet files are tidy tables with one row per response. `probe datasets import` reads them
    all.

    \b
    Examples:
      probe datasets export v4 v4.nc
      probe datasets export ./mylab mylab.parquet --min-reliability .4
    """  # noqa: D301
    from probe.cli import terminal
    from probe.recordings import select_reliable
    from probe.recordings.several import load_recordings

    loaded = load_recordings(
        [name], region, subject, min_reliability=min_reliability, accept_licence=accept_licence
    )
    if len(loaded) > 1:
        there = ", ".join(recording.regions[0] for recording in loaded)
        raise ProbeError(f"a file holds one region, not {there}: name one (--region)")
    (recording,) = loaded
    if min_reliability is not None:
        recording = select_reliable(recording, min_reliability, seed=seed)
    replaced = file.expanduser().exists()
    path = recording.save(file)
    attrs = recording.data.attrs
    lost = [
        *(["the affine of the voxels"] if "affine" in attrs else []),
        *(["that responses are averages"] if attrs.get("averaged") else []),
    ]
    terminal.put(
        repr(recording).strip("<>"),
        *([f"not kept in the file: {', and '.join(lost)}"] if lost else []),
        f"{'replaced' if replaced else 'wrote'} {path}",
    )


def _details(entry: Available) -> str:
    terms = entry.licence + (" (--accept-licence)" if entry.restricted else "")
    stimuli = f"{entry.n_stimuli} stimuli; " if entry.n_stimuli else ""
    return f"{', '.join(entry.regions)}; {stimuli}licence: {terms}"
