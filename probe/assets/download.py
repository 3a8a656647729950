"""A downloader for pooch that goes on where a broken download stopped."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probe.errors import ProbeError
from probe.progress import track

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0  # seconds
TRIES = 5
CHUNK = 1 << 14  # bytes; what came of an unfinished chunk is lost when the connection breaks
PAUSE = 0.5  # seconds before the second try; doubles with each try that brought nothing
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Failed(Exception):
    """No file came from this address; the message is the reason."""


def download(url: str, destination: Path, matches: Any, progress: bool | None = None) -> None:
    """Download one file, resuming and retrying, and put it into place in one step.

    Parameters
    ----------
    url : str
        An ``http(s)://`` address.
    destination : path
        Where the file goes. An unfinished download stays beside it as ``NAME.part``.
    matches : callable
        Takes the path of the whole file and gives None if it is right, else what is wrong with it.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Raises
    ------
    Failed
        If the server cannot be reached or refuses.
    ProbeError
        If what came is not what it should be; nothing is left behind.
    """
    import pooch
    import requests

    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=None,  # `matches` checks: it knows hash prefixes, and tells when to redo
                fname=destination.name,
                path=destination.parent,
                downloader=_Resuming(destination, matches, progress),
            )
    except requests.HTTPError as error:
        raise Failed(f"HTTP {error.response.status_code} {error.response.reason}") from None
    except requests.RequestException as error:
        raise Failed(_reason(error)) from None


class _Resuming:
    def __init__(self, destination: Path, matches: Any, progress: bool | None) -> None:
        self.part = destination.with_name(destination.name + ".part")
        self.name = destination.name
        self.matches = matches
        self.progress = progress

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        resumed = self.part.exists()
        self._fill(url)
        wrong = self.matches(self.part)
        if wrong and resumed:
            # The file on the server may have changed since the first half came: once more, whole.
            self.part.unlink()
            self._fill(url)
            wrong = self.matches(self.part)
        if wrong:
            self.part.unlink()
            raise ProbeError(wrong)
        os.replace(self.part, output_file)

    def _fill(self, url: str) -> None:
        import requests

        tries = 0
        while True:
            before = self._have()
            try:
                return self._go_on(url)
            except requests.HTTPError as error:
                if error.response.status_code not in TRANSIENT:
                    raise
                failure: requests.RequestException = error
            except (requests.ConnectionError, requests.Timeout) as error:
                failure = error
            except requests.exceptions.ChunkedEncodingError as error:
                failure = error
            tries = 1 if self._have() > before else tries + 1
            # Where nobody answers at all, waiting long helps nobody: the error says how to go on.
            never_met = isinstance(failure, requests.ConnectionError) and not self._have()
            if tries >= (2 if never_met else TRIES):
                raise failure
            time.sleep(PAUSE * 2 ** (tries - 1))

    def _go_on(self, url: str) -> None:
        """Ask for what is missing, and append it."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            if have and answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return None  # everything was there already
                self.part.unlink()
                return self._go_on(url)
            answer.raise_for_status()
            # 200 is the whole file again, 206 the rest; anything but the rest from where we
            # stopped starts over.
            starts = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            goes_on = answer.status_code == 206 and starts and int(starts[1]) == have
            if answer.status_code == 206 and not goes_on:
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("the server sent another part of the file")
            have = have if goes_on else 0
            length = answer.headers.get("Content-Length")
            bar = track(
                total=have + int(length) if length else None,
                initial=have,
                desc=self.name,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                progress=self.progress,
            )
            with bar, open(self.part, "ab" if goes_on else "wb") as out:
                for chunk in answer.iter_content(CHUNK):
                    out.write(chunk)
                    bar.update(len(chunk))
        return None

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from announcing what our own bar shows."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """Boil a requests error, with all that it wraps, down to a few words."""
    text = repr(error)
    for pattern, words in (
        (r"NameResolutionError|getaddrinfo|Name or service not known", "no such host, or offline"),
        (r"ConnectTimeout|timed out", "timed out"),
        (r"Connection refused", "connection refused"),
        (r"unreachable", "network unreachable"),
        (r"SSLError|CERTIFICATE", "TLS certificate refused"),
        (r"ProxyError", "the proxy refused"),
        (r"IncompleteRead|RemoteDisconnected|reset by peer", "connection broken"),
    ):
        if re.search(pattern, text):
            return words
    return str(error).split("\n")[0]
