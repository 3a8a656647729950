"""What a manifest says: where a dataset's files are, what they hash to, whom to cite."""

from __future__ import annotations

import functools
import os
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from probe.assets.files import PLAIN_NAME, Asset, add_known, fetch_asset
from probe.errors import ProbeError, suggest

_IN_TEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_"},
    **{
        letter: f"\\text{name}{{}}"
        for letter, name in {
            "\\": "backslash", "{": "braceleft", "}": "braceright", "~": "asciitilde",
            "^": "asciicircum", "<": "less", ">": "greater",
        }.items()
    },
}  # fmt: skip
"""How TeX is told letters that mean something to it. BibTeX counts braces, those with a backslash,
too."""

# Windows' reserved characters are refused too: one cache folder may serve several machines.


def _plain(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name) or name.endswith("."):
        raise ValueError(f"{name!r} is not a plain file name without folders")
    return name


# What does not leave this machine, as through a tunnel of ssh, needs no encryption.
_LOCAL = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d+)?/")


def _https(url: str) -> str:
    if not url.startswith("https://") and not _LOCAL.match(url):
        raise ValueError(f"{url!r} does not start with https://")
    return url


def _author(name: str) -> str:
    if not re.fullmatch(r"[^,]+(, [^,]+)?", name):
        raise ValueError(f"{name!r} is not an author: expected 'Family, Given'")
    return name


def _doi(doi: str) -> str:
    if not re.fullmatch(r"10\.\d{4,9}/\S+", doi):
        raise ValueError(
            f"{doi!r} is not a DOI: expected one such as 10.1523/JNEUROSCI.5181-14.2015"
        )
    return doi


def _hex(length: int) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
            raise ValueError(f"{value!r} is not {length} lower-case hexadecimal digits")
        return value

    return AfterValidator(check)


PlainName = Annotated[str, AfterValidator(_plain)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(_Table):
    """On what terms the files may be used.

    Attributes
    ----------
    name : str
        Short name, such as ``GPL-3.0``.
    restricted : bool
        Whether the user has to accept the terms (``--accept-licence``) before a download.
    note : str
        What a user has to know besides.
    """

    name: Text
    restricted: bool = False
    note: str = ""


class Publication(_Table):
    """What to cite.

    Attributes
    ----------
    authors : tuple of str
        All of them, each as ``Family, Given``.
    title, journal : str
        Of the article; of a preprint, the journal is its server.
    year : int
    volume, number, pages : str
        Empty where there are none.
    doi : str or None
        As ``10.1523/JNEUROSCI.5181-14.2015``, without an address before it.
    note : str
        What to cite it for, or where else it is.
    """

    authors: Annotated[tuple[Annotated[Text, AfterValidator(_author)], ...], Field(min_length=1)]
    title: Text
    journal: Text
    year: Annotated[int, Field(ge=1600, le=2100)]
    volume: str = ""
    number: str = ""
    pages: str = ""
    doi: Annotated[str, AfterValidator(_doi)] | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """Name in a bibliography: ``majaj2015``."""
        family = self.authors[0].partition(",")[0].rpartition(" ")[2]
        return re.sub(r"[^a-z0-9]", "", _plain_letters(family).lower()) + str(self.year)

    def __str__(self) -> str:
        families = [author.partition(",")[0] for author in self.authors]
        if len(families) > 4:
            who = f"{families[0]} et al."
        else:
            who = " & ".join(filter(None, (", ".join(families[:-1]), families[-1])))
        where = " ".join(filter(None, (self.journal, self.volume)))
        where += f":{self.pages}" if self.pages else ""
        where += f", doi:{self.doi}" if self.doi else ""
        return f"{who} ({self.year}). {self.title}. {where}" + (
            f" ({self.note})" if self.note else ""
        )

    def bibtex(self, key: str | None = None) -> str:
        """Return an entry of a BibTeX file.

        Parameters
        ----------
        key : str, optional
            By default `key`.
        """
        fields = {
            "author": " and ".join(map(_author_in_tex, self.authors)),
            "title": f"{{{_in_tex(self.title)}}}",  # in braces again, its capitals are kept
            "journal": _in_tex(self.journal),
            "year": str(self.year),
            "volume": _in_tex(self.volume),
            "number": _in_tex(self.number),
            "pages": _in_tex(self.pages.replace("–", "-").replace("-", "--")),
            # As it is, since styles make an address of it; braces alone would end the entry.
            "doi": re.sub(r"[{}]", lambda found: f"%{ord(found[0]):02X}", self.doi or ""),
            "note": _in_tex(self.note),
        }
        lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
        return "\n".join([f"@article{{{key or self.key},", *lines, "}"])


class Responses(_Table):
    """What the file of responses does not say of them itself.

    Attributes
    ----------
    unit : str
        What a response is.
    averaged : bool
        Whether each is a mean over repetitions that were not published.
    window_ms : (float, float) or None
        From when to when after onset, in ms, of files with several time bins: these are put
        together. None keeps what the file has.
    time_unit : {'s', 'ms'} or None
        Of its time bins; None where these mean nothing, as in fMRI.
    reliability : str or None
        The coordinate of the neuroids with the published reliability of each, of the responses
        that are published: not that of another window.
    """

    unit: str = ""
    averaged: bool = False
    window_ms: tuple[float, float] | None = None
    time_unit: Literal["s", "ms"] | None = None
    reliability: Text | None = None

    @model_validator(mode="after")
    def _window_is_one(self) -> Responses:
        if self.window_ms is not None and not self.window_ms[0] < self.window_ms[1]:
            raise ValueError(f"window_ms {list(self.window_ms)} ends before it begins")
        if self.window_ms is not None and self.time_unit is None:
            raise ValueError("window_ms needs time_unit, which says in what the file's bins are")
        return self


class ManifestFile(_Table):
    """One file, and the hash that its bytes must have.

    Attributes
    ----------
    name : str
        Name in the cache and in a mirror folder; no folders.
    url : str or None
        Where it is downloaded from; None where only the user can get it.
    sha256, sha1 : str or None
        Lower-case hexadecimal; exactly one of them is given.
    size : int or None
        In bytes, to say what one waits for.
    session : str or None
        The session it belongs to; None for a file of the whole dataset.
    """

    name: PlainName
    url: HttpsUrl | None = None
    sha256: Annotated[str, _hex(64)] | None = None
    sha1: Annotated[str, _hex(40)] | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    session: str | None = None

    @model_validator(mode="after")
    def _one_hash(self) -> ManifestFile:
        if (self.sha256 is None) == (self.sha1 is None):
            raise ValueError(f"file {self.name!r} needs exactly one of sha256 and sha1")
        return self

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm's name for `hashlib`, and the hexadecimal digest."""
        if self.sha256 is not None:
            return "sha256", self.sha256
        assert self.sha1 is not None
        return "sha1", self.sha1


class Region(_Table):
    """One recorded area."""

    name: Text
    species: Text
    note: str = ""


class Session(_Table):
    """One recording session of a dataset that has several."""

    subject: Text
    n_stimuli: Annotated[int, Field(gt=1)] | None = None
    note: str = ""


class Alias(_Table):
    """A short name for a dataset, with the session and region that it stands for."""

    session: str | None = None
    region: str | None = None


class Manifest(_Table):
    """A dataset: one TOML file in ``data_manifests/``.

    Attributes
    ----------
    name : str
        The TOML file's name without its ending; names the folder in cache and mirror.
    title, homepage : str
        What it is, where it lives.
    publications : tuple of Publication
        What to cite.
    licence : Licence
        On what terms.
    files : tuple of ManifestFile
        Everything that may be fetched.
    loader : str or None
        The function of `probe.recordings.loaders` that reads it; None where it is no recording.
    stimuli_from : str or None
        The manifest that holds the pictures, where it is another one.
    n_stimuli : int or None
        How many pictures were shown, where all sessions agree.
    regions : tuple of Region
        Recorded areas; the first is the default.
    sessions : dict of str to Session
        Empty where the dataset has no sessions.
    default_session : str or None
        The session taken where none is named.
    aliases : dict of str to Alias
        Short names.
    responses : Responses
        What the file of responses does not say itself.
    reference : dict of str to float
        Known figures, which tests hold the loaded recording to.
    """

    name: PlainName
    title: Text
    publications: Annotated[tuple[Publication, ...], Field(min_length=1)]
    homepage: HttpsUrl
    licence: Licence
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]
    loader: str | None = None
    stimuli_from: str | None = None
    n_stimuli: Annotated[int, Field(gt=1)] | None = None
    regions: tuple[Region, ...] = ()
    sessions: dict[str, Session] = {}
    default_session: str | None = None
    aliases: dict[str, Alias] = {}
    responses: Responses = Responses()
    reference: dict[str, float] = {}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        names = [file.name.casefold() for file in self.files]
        for what, of in (("file", names), ("region", [r.name for r in self.regions])):
            if twice := {n for n in of if of.count(n) > 1}:
                raise ValueError(f"{what} {min(twice)!r} is named more than once")
        if self.loader is not None and not self.regions:
            raise ValueError("a recording needs at least one [[regions]] table")
        if bool(self.sessions) != (self.default_session is not None):
            raise ValueError("sessions and default_session belong together")
        named = [("default_session", self.default_session)]
        named += [(f"files.{file.name}.session", file.session) for file in self.files]
        named += [(f"aliases.{name}.session", a.session) for name, a in self.aliases.items()]
        for where, session in named:
            if session is not None and session not in self.sessions:
                raise ValueError(f"{where} names session {session!r}, which has no table")
        regions = {region.name for region in self.regions}
        for name, alias in self.aliases.items():
            if alias.region is not None and alias.region not in regions:
                raise ValueError(f"aliases.{name}.region names {alias.region!r}, not a region")
        return self

    @property
    def citation(self) -> str:
        """Whom to cite, in a sentence."""
        return "; ".join(map(str, self.publications))

    def files_of(self, session: str | None) -> tuple[ManifestFile, ...]:
        """Return the files of a session, and those of all sessions."""
        return tuple(file for file in self.files if file.session in (None, session))

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read one manifest.

        Parameters
        ----------
        path : path
            The TOML file; its stem becomes the manifest's name.

        Raises
        ------
        ProbeError
            If the file is missing, no TOML, or says something wrong; the message names the file,
            the field and the reason.
        """
        try:
            with open(path, "rb") as opened:
                content: dict[str, Any] = tomllib.load(opened)
        except OSError as error:
            raise ProbeError(f"manifest {str(path)!r} cannot be read ({error.strerror})") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProbeError(f"manifest {str(path)!r} is not TOML ({error})") from None
        if "name" in content:
            raise ProbeError(f"manifest {str(path)!r}, field 'name': the file's name is the name")
        try:
            return cls(name=path.stem, **content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise ProbeError(
                f"manifest {str(path)!r}"
                + (f", field {field!r}: " if field else ": ")
                + reason
                + (f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else "")
            ) from None


def manifests() -> dict[str, Manifest]:
    """Return every manifest by name: those that the package ships, and the user's own.

    Raises
    ------
    ProbeError
        If one is malformed, an alias stands for two datasets, or one of the user's is called as
        one that is shipped; the message names the file and the field.
    """
    shipped = shipped_folder("data_manifests")
    folder = own_folder()
    if folder is None:
        return dict(_shipped(shipped))
    paths = sorted(folder.glob("*.toml"))
    return {**_shipped(shipped), **_own(shipped, tuple((p, *_stamp(p)) for p in paths))}


def of_manifest(manifest: Manifest, file_name: str) -> Asset:
    """Look up one file of a manifest.

    Raises
    ------
    ProbeError
        If the manifest has no such file; the message gives the nearest names.
    """
    for file in manifest.files:
        if file.name == file_name:
            return Asset(
                collection=manifest.name,
                name=file.name,
                hash=":".join(file.checksum),
                url=file.url,
                licence=manifest.licence.name,
                restricted=manifest.licence.restricted,
                note=manifest.licence.note,
                homepage=manifest.homepage,
            )
    names = [file.name for file in manifest.files]
    raise ProbeError(
        f"dataset {manifest.name!r} has no file {file_name!r}{suggest(file_name, names)}"
    )


def manifest_assets() -> list[Asset]:
    """Return every file of every manifest."""
    return [of_manifest(m, file.name) for m in manifests().values() for file in m.files]


def fetch(
    manifest: Manifest,
    file_name: str,
    *,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Path:
    """Fetch one file of a manifest; see `fetch_asset`."""
    asset = of_manifest(manifest, file_name)
    return fetch_asset(asset, accept_licence=accept_licence, progress=progress)


def add(path: Path | str, known: Iterable[Asset] | None = None) -> list[Path]:
    """Copy a user's own file into the cache, recognised by its hash alone.

    Parameters
    ----------
    path : path
        The file, under whatever name.
    known : iterable of Asset, optional
        What it may be; by default the files of all manifests. (`probe.models.known_assets`
        returns the weights.)

    Returns
    -------
    list of pathlib.Path
        Where it lies now; more than one if two collections hold the same bytes.

    Raises
    ------
    ProbeError
        If the file cannot be read, or is none of the known ones.
    """
    return add_known(path, manifest_assets() if known is None else known)


def own_folder() -> Path | None:
    """Return the folder of the user's own manifests, ``PROBE_MANIFESTS``; None where it is not set.

    Raises
    ------
    ProbeError
        If there is no such folder.
    """
    named = os.environ.get("PROBE_MANIFESTS")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ProbeError(f"PROBE_MANIFESTS names {named!r}: that folder does not exist")
    return folder


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@functools.cache
def _shipped(folder: Path) -> dict[str, Manifest]:
    read = {path.stem: Manifest.load(path) for path in sorted(folder.glob("*.toml"))}
    _check_together({}, read, {name: folder / f"{name}.toml" for name in read})
    return read


@functools.lru_cache(maxsize=2)
def _own(folder: Path, stamped: tuple[tuple[Path, int, int], ...]) -> dict[str, Manifest]:
    """Read the user's manifests; again, where one has changed."""
    shipped = _shipped(folder)
    paths = {path.stem: path for path, _, _ in stamped}
    for name, path in paths.items():
        if name in shipped:
            raise ProbeError(
                f"manifest {str(path)!r}: {name!r} comes with probe: choose another name"
            )
        if name.startswith(SIMULATED):
            raise ProbeError(
                f"manifest {str(path)!r}: what begins with {SIMULATED!r} is simulated: call yours "
                "otherwise"
            )
    read = {name: Manifest.load(path) for name, path in paths.items()}
    _check_together(shipped, read, paths)
    return read


SIMULATED = "sim-"
"""How the names of simulated recordings begin."""


def _check_together(
    before: Mapping[str, Manifest], added: Mapping[str, Manifest], paths: Mapping[str, Path]
) -> None:
    """Check that each name and alias stands for one dataset."""
    taken = {name: name for name in (*before, *added)}
    taken |= {alias: manifest.name for manifest in before.values() for alias in manifest.aliases}
    for name, manifest in added.items():
        for alias in manifest.aliases:
            if alias in taken or alias.startswith(SIMULATED):
                raise ProbeError(
                    f"manifest {str(paths[name])!r}, field 'aliases.{alias}': it stands for "
                    f"{taken.get(alias, 'a simulated recording')!r} already"
                )
            taken[alias] = name
        if manifest.stimuli_from is not None and manifest.stimuli_from not in {*before, *added}:
            raise ProbeError(
                f"manifest {str(paths[name])!r}, field 'stimuli_from': "
                f"manifest {manifest.stimuli_from!r} does not exist"
            )


def bibliography(manifests: list[Manifest]) -> str:
    """Return BibTeX entries of what to cite for some datasets, each publication once."""
    publications = list(dict.fromkeys(p for m in manifests for p in m.publications))
    keys = [publication.key for publication in publications]
    entries = []
    for k, publication in enumerate(publications):
        twins = [j for j, key in enumerate(keys) if key == keys[k]]
        letter = chr(ord("a") + twins.index(k)) if len(twins) > 1 else ""
        entries.append(publication.bibtex(keys[k] + letter))
    return "\n\n".join(entries)


def _in_tex(text: str) -> str:
    """Return a text as TeX sets it, on one line."""
    return "".join(_IN_TEX.get(letter, letter) for letter in " ".join(text.split()))


def _author_in_tex(author: str) -> str:
    """Return an author as BibTeX reads the name.

    Braces keep together what it would divide: a family with a particle inside, as in Fernández del
    Río, whose first part would be taken for a particle, and a name with an "and" of its own.
    """
    family, comma, given = author.partition(", ")
    words = [word for word in family.split() if word[:1].isalpha()]
    particles = [word[0].islower() for word in words]
    inside = True in particles and not particles[0]
    parts = [
        f"{{{_in_tex(part)}}}"
        if (inside and part is family) or "and" in part.lower().split() or not comma
        else _in_tex(part)
        for part in ((family, given) if comma else (family,))
    ]
    return ", ".join(parts)


def _plain_letters(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def shipped_folder(name: str) -> Path:
    """Return a folder that a wheel carries inside the package, and a checkout beside it.

    Raises
    ------
    ProbeError
        If it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ProbeError(f"no {name} folder in or beside {str(package)!r}; reinstall cnn-probe")
