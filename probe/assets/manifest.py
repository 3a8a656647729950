"""What a manifest says: where a dataset's files are, what they hash to, whom to cite."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from probe.assets.files import PLAIN_NAME
from probe.errors import ProbeError

# Windows' reserved characters are refused too: one cache folder may serve several machines.


def _plain(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name) or name.endswith("."):
        raise ValueError(f"{name!r} is not a plain file name without folders")
    return name


def _https(url: str) -> str:
    if not url.startswith("https://"):
        raise ValueError(f"{url!r} does not start with https://")
    return url


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
    url: HttpsUrl | None
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
    title, citation, homepage : str
        What it is, whom to cite, where it lives.
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
    reference : dict of str to float
        Known figures, which tests hold the loaded recording to.
    """

    name: PlainName
    title: Text
    citation: Text
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
        wanted = [("default_session", self.default_session)]
        wanted += [(f"files.{file.name}.session", file.session) for file in self.files]
        wanted += [(f"aliases.{name}.session", a.session) for name, a in self.aliases.items()]
        for where, session in wanted:
            if session is not None and session not in self.sessions:
                raise ValueError(f"{where} names session {session!r}, which has no table")
        regions = {region.name for region in self.regions}
        for name, alias in self.aliases.items():
            if alias.region is not None and alias.region not in regions:
                raise ValueError(f"aliases.{name}.region names {alias.region!r}, not a region")
        return self

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
    """Give every manifest that the package ships, by name.

    Raises
    ------
    ProbeError
        If one is malformed, or an alias stands for two datasets.
    """
    return dict(_read_all(_folder()))


@functools.cache
def _read_all(folder: Path) -> dict[str, Manifest]:
    found = {path.stem: Manifest.load(path) for path in sorted(folder.glob("*.toml"))}
    taken = {name: name for name in found}
    for manifest in found.values():
        for alias in manifest.aliases:
            if alias in taken:
                raise ProbeError(
                    f"alias {alias!r} stands for both {taken[alias]!r} and {manifest.name!r}"
                )
            taken[alias] = manifest.name
        if manifest.stimuli_from is not None and manifest.stimuli_from not in found:
            raise ProbeError(
                f"manifest {manifest.name!r}, field 'stimuli_from': "
                f"there is no manifest {manifest.stimuli_from!r}"
            )
    return found


def _folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    # A wheel carries the folder inside the package, a checkout beside it.
    for folder in (package / "data_manifests", package.parent / "data_manifests"):
        if folder.is_dir():
            return folder
    raise ProbeError(f"no data_manifests folder in or beside {str(package)!r}; reinstall cnn-probe")
