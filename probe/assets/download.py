"""Downloads that go on where a broken one stopped.

With requests alone: pooch, which fetches files and checks their hashes, begins anew each time, and
its downloaders hide the server's answer, which says whether the rest of the file comes or all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from probe.errors import ProbeError
from probe.output.replacing import flush
from probe.progress import apart, track

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 60.0

TRIES = 5

CHUNK_BYTES = 1 << 14
"""What came of an unfinished chunk is lost when the connection breaks."""

FIRST_PAUSE_S = 0.5
"""Seconds before the second try; doubled with each try that brought nothing."""

TRANSIENT_ERRORS = {408, 425, 429, 500, 502, 503, 504}
"""Status codes of HTTP after which another try may succeed."""


class Failed(Exception):
    """No file came from this address; the message is the reason."""


def download(
    url: str,
    destination: Path,
    wrong: Callable[[Path], str | None],
    progress: bool | None = None,
) -> None:
    """Download one file, resuming and retrying, and put it into place in one step.

    Parameters
    ----------
    url : str
        An ``http(s)://`` address.
    destination : path
        Where the file goes. An unfinished download stays beside it as ``NAME.part``.
    wrong : callable
        Takes the path of the whole file and returns what is wrong with it, or None.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Raises
    ------
    Failed
        If the server cannot be reached or refuses.
    ProbeError
        If what came is not what it should be; nothing is left behind.
    """
    import requests

    try:
        _Download(url, destination, progress).into_place(wrong)
    except requests.HTTPError as error:
        raise Failed(f"HTTP {error.response.status_code} {error.response.reason}") from None
    except requests.RequestException as error:
        raise Failed(_reason(error)) from None


class _Download:
    """One file on its way, as ``NAME.part``: what has come of it outlives this process."""

    def __init__(self, url: str, destination: Path, progress: bool | None) -> None:
        self.url = url
        self.destination = destination
        self.part = destination.with_name(destination.name + ".part")
        self.progress = progress

    def into_place(self, wrong: Callable[[Path], str | None]) -> None:
        """Fetch what is missing, check the whole, and put it into place."""
        resumed = self.part.exists()
        self._fill()
        message = wrong(self.part)
        if message and resumed:
            # The file on the server may have changed since the first half came: once more, whole.
            self.part.unlink()
            self._fill()
            message = wrong(self.part)
        if message:
            self.part.unlink()
            raise ProbeError(message)
        flush(self.part)
        os.replace(self.part, self.destination)

    def _fill(self) -> None:
        import requests

        tries = 0
        while True:
            before = self._have()
            try:
                return self._go_on()
            except requests.HTTPError as error:
                if error.response.status_code not in TRANSIENT_ERRORS:
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
            time.sleep(FIRST_PAUSE_S * 2 ** (tries - 1))

    def _go_on(self) -> None:
        """Ask for what is missing, and append it."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        with requests.get(self.url, headers=headers, stream=True, timeout=timeout) as answer:
            if have and answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return None  # everything was there already
                self.part.unlink()
                return self._go_on()
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
            with (
                apart(),
                track(
                    total=have + int(length) if length else None,
                    initial=have,
                    desc=self.destination.name,
                    unit="B",
                    unit_scale=True,
                    unit_divisor=1024,
                    progress=self.progress,
                ) as bar,
                open(self.part, "ab" if goes_on else "wb") as out,
            ):
                for chunk in answer.iter_content(CHUNK_BYTES):
                    out.write(chunk)
                    bar.update(len(chunk))
        return None

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


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
