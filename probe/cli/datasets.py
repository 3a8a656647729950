"""``probe datasets``: which recordings there are, and recordings of one's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.recordings import Available

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def datasets(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recordings that --dataset takes, real and simulated; import your own.

    A folder with responses.npy and images/ is a recording, too: probe rsa --dataset ./FOLDER.
    probe datasets import makes one of NWB, MATLAB, netCDF, HDF5, NumPy files and tables.
    """
    if context.invoked_subcommand is not None:
        return
    from probe import recordings
    from probe.cli.show import put, table

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
        "Files of other kinds (NWB, MATLAB, netCDF, tables): probe datasets import --help.",
    )


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="NWB, MATLAB, netCDF, HDF5, .npy, .npz, .csv, .tsv or .parquet; several of one "
            "site each are put side by side.",
        ),
    ],
    stimuli: Annotated[
        str | None,
        typer.Option(help="The pictures: a folder, a table of paths, a .zip.", show_default=False),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="FROM,TO",
            help="Time after picture onset, as in 50,250ms; the end is not included.",
            show_default=False,
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS,...",
            help="What the axes of the array are: stimulus (image), presentation (trial), "
            "repetition (repeat), neuroid (neuron, site, …), time.",
            autocompletion=complete.axes,
            show_default=False,
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The array or column of the responses.", show_default=False
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The array or column that says which picture was shown, or a .csv of names "
            "(column stimulus_id) in the order of the responses.",
            show_default=False,
        ),
    ] = None,
    presentations: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of spikes: the table or series in an NWB file, or a .csv (onset_s or onset_ms, "
            "stimulus_id).",
            show_default=False,
        ),
    ] = None,
    neuroids: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .csv that says more of the neuroids: neuroid_id, region, subject, ….",
            show_default=False,
        ),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST,WIDTH",
            help="Where the first time bin begins and how wide all are, as in -500,1ms.",
            show_default=False,
        ),
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(
            metavar="s|ms",
            help="Of times, where the file does not say.",
            autocompletion=complete.time_units,
            show_default=False,
        ),
    ] = None,
    blank: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that stands for no picture; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Of all neuroids, where the file does not say.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Of all neuroids, where the file does not say.", show_default=False),
    ] = None,
    sort_times: Annotated[
        bool,
        typer.Option(
            "--sort-times",
            help="Sort spike times that are not ascending: they are of one clock that never "
            "restarts.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder to write.", show_default="./ and the file's name"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how it is read; write nothing.")
    ] = False,
) -> None:
    """Make a recording of your own files, and say how every axis was read.

    Where two readings fit, none is taken: the error names the option that decides. What is
    written is a folder that --dataset takes: responses.npy, images/, stimuli.csv, neuroids.csv,
    and recording.json with the hashes of the files and the reading in words. Title, citation and
    licence can be filled in there.

    \b
    Examples:
      probe datasets import session.nwb --stimuli images/ --window 50,250ms
      probe rsa --model alexnet --dataset ./session

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
    Spikes and presentations in two tables; a Brain-Score assembly; a tidy table:
      probe datasets import spikes.csv --presentations trials.csv --window 70,170ms
        --stimuli images/
      probe datasets import assy.nc --stimuli stimuli.csv
      probe datasets import tidy.csv --variable rate --stimuli images/
    """  # noqa: D301
    from probe.cli import show
    from probe.recordings import read_recording
    from probe.recordings.importing.reading import check_free

    folder = output or Path(files[0].name).with_suffix("")
    if not dry_run:
        if stimuli is None:
            raise ProbeError(
                "where are the pictures? Name their folder with --stimuli (or add --dry-run, which "
                "only says how the file is read)"
            )
        check_free(folder.expanduser())
    reading = read_recording(
        files, stimuli=stimuli, window=window, axes=axes, variable=variable, labels=labels,
        presentations=presentations, neuroids=neuroids, bins=bins, time_unit=time_unit,
        blanks=blank or (), region=region, subject=subject, sort_times=sort_times,
    )  # fmt: skip
    lines = []
    if not dry_run:
        reading.save(folder)
        shown = folder if folder.is_absolute() else f"./{folder.as_posix().removeprefix('./')}"
        lines = ["", f"wrote {shown}", f"probe rsa --model alexnet --dataset {shown}"]
    show.put(show.facts(reading.describe()), *lines)


@app.command("export")
def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A recording, or a folder.", autocompletion=complete.datasets
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="It ends in .nc, .csv or .parquet.")],
    region: Annotated[
        str | None,
        typer.Option(
            help="Region, where a recording has several.",
            show_default="the recording's first",
            autocompletion=complete.regions,
        ),
    ] = None,
    subject: options.Subject = None,
    min_reliability: options.MinReliability = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the choice of neuroids by --min-reliability.")
    ] = 0,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Write the responses of a recording as a file of another program.

    .nc is netCDF as Brain-Score has it (presentation × neuroid × time_bin); .csv and .parquet are
    tidy tables with one row per response. probe datasets import reads each of them.

    \b
    Examples:
      probe datasets export v4 v4.nc
      probe datasets export ./mylab mylab.parquet --min-reliability .4
    """  # noqa: D301
    from probe.cli import show
    from probe.recordings.several import load_recordings

    (recording,) = load_recordings(
        [name], region, subject, min_reliability=min_reliability, seed=seed,
        accept_licence=accept_licence,
    )  # fmt: skip
    replaced = file.expanduser().exists()
    path = recording.save(file)
    show.put(repr(recording).strip("<>"), f"{'replaced' if replaced else 'wrote'} {path}")


def _details(entry: Available) -> str:
    terms = entry.licence + (" (--accept-licence)" if entry.restricted else "")
    stimuli = f"{entry.n_stimuli} stimuli; " if entry.n_stimuli else ""
    return f"{', '.join(entry.regions)}; {stimuli}licence: {terms}"
