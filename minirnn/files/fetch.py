"""Fetching a file over HTTP, so that what ends up in place is whole and the right one.

What has come goes into "<name>.part". A connection that drops is taken up again there, by HTTP's
Range, now or in the next run. Only when the caller's check is content does the part take the name
over, in one operation of the file system. A server that is busy is asked again after a pause, which
doubles each time, and is as long as the server asks for (Retry-After).
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from minirnn.errors import InputError

#: Told the bytes that are here, and all bytes (None if the server does not say).
Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18


class NotThere(InputError):
    """The server answers, and does not have the file (404, 410)."""


class NoNetwork(InputError):
    """The server's name cannot be found."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to ask it again.

    Attributes:
        attempts: how many in a row may bring nothing before giving up.
        pause: seconds before the second attempt; doubled before each further one.
        longest: seconds that a pause has at most, also where the server asks for more.
        timeout: seconds of silence after which a connection counts as dropped.
        slowest: bytes a second; less, over the time of `timeout`, counts as silence, and so does a
            connection that drops before it has brought as much.
        sleep: waits for that many seconds.
    """

    attempts: int = 5
    pause: float = 1.0
    longest: float = 120.0
    timeout: float = 30.0
    slowest: float = 100.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, asked: float = 0.0) -> None:
        """Pause after so many failures in a row, and as long as the server asked for."""
        self.sleep(min(max(self.pause * 2 ** (failures - 1), asked), self.longest))


PATIENT = Patience()


class _Dropped(Exception):
    """The connection ended before the file did, or was not made; trying again may help.

    Attributes:
        wait: seconds that the server asks to be left alone.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class _Trickle(_Dropped):
    """So little came that asking again counts as a failure, whatever came."""


def fetch(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], None],
    largest: int,
    progress: Progress | None = None,
    patience: Patience = PATIENT,
) -> None:
    """Fetch one file.

    Args:
        url: its address; http or https.
        target: the path that it gets when it is whole and right; its folder must be there.
        check: given the path of the whole file before that, raises InputError if it is another
            than it should be. What is refused is removed.
        largest: bytes. More is refused, since a server may never stop sending.
        progress: called again and again while the file comes.
        patience: when to try again, and when to give up.

    Raises:
        NotThere: the server does not have the file.
        NoNetwork: the server's name cannot be found.
        InputError: the server does not give the file out (401, 403), or sends from one address to the
            next without an end; it cannot be reached, or keeps dropping the connection (what has come is
            kept and the next call goes on there); or the file is another than it should be, or
            endless (nothing is left of it).
        OSError: the file cannot be written.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InputError(f"the address is {url!r}, and no such thing: {error}") from error
    if scheme not in ("http", "https"):
        raise InputError(f"the address is {url!r}; it should begin with http:// or https://")
    part = target.with_name(f"{target.name}.part")
    _complete(url, part, largest, progress, patience)
    try:
        check(part)
    except InputError:
        part.unlink()
        raise
    os.replace(part, target)


def _complete(
    url: str, part: Path, largest: int, progress: Progress | None, patience: Patience
) -> None:
    """Bring `part` to the full length, however often the connection drops."""
    failures, most = 0, _size(part)
    while True:
        try:
            return _fetch_once(url, part, largest, progress, patience)
        except _Dropped as error:
            here = _size(part)
            # Else a server that sends one byte a connection would be asked again and again without a pause.
            enough = max(patience.slowest * patience.timeout, 1)
            came = here - most >= enough and not isinstance(error, _Trickle)
            failures = 0 if came else failures + 1
            most = max(most, here)
            if failures >= patience.attempts:
                kept = f"; {here} bytes are kept in {part}, and the next try goes on there"
                raise InputError(
                    f"{url}: {error}, {failures} times in a row{kept if here else ''}"
                ) from error
            if failures:
                patience.wait(failures, error.wait)


def _fetch_once(
    url: str, part: Path, largest: int, progress: Progress | None, patience: Patience
) -> None:
    """One connection: append what comes to `part`.

    Raises:
        _Dropped: not everything came.
        InputError: it makes no sense to try again.
    """
    start = _size(part)
    with _open(url, start, patience.timeout) as response:
        if response.status == 206:
            begin, total = _range_of(response)
            if begin != start:
                raise InputError(f"{url}: the server sent other bytes than it was asked for")
        elif response.status == 416:  # nothing is left, or the part is longer than the file
            _, total = _range_of(response)
            if total == start:
                return
            part.unlink()
            raise _Dropped("the part that was here did not fit")
        else:  # 200: the whole file, also from servers that know no Range
            start = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        here = start
        _check_size(url, part, max(here, total or 0), largest)
        with open(part, "ab" if start else "wb") as file:
            for chunk in _chunks(response, patience):
                file.write(chunk)
                here += len(chunk)
                _check_size(url, part, here, largest)
                if progress:
                    progress(here, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and here < total:
        raise _Dropped(f"the connection dropped after {here} of {total} bytes")


def _check_size(url: str, part: Path, size: int, largest: int) -> None:
    if size > largest:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{url} gives {size} bytes or more, and should give {largest} at most; nothing was kept"
        )


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "minirnn", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:
            return error  # type: ignore[return-value]  # it is a response, too
        error.close()
        answer = f"the server answered {error.code} ({' '.join(error.reason.split())})"
        if error.code >= 500 or error.code in (408, 429):
            wait = seconds_asked(error.headers.get("Retry-After", ""))
            raise _Dropped(answer, wait) from error
        if error.code in (404, 410):
            raise NotThere(f"{url}: {answer}; the file is not there") from error
        raise InputError(f"{url}: {answer}; it does not give the file out") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            raise NoNetwork(
                f"{url}: {urlsplit(url).hostname} cannot be found; is there a network? The file can "
                "be fetched in any other way, too: only its name must stay"
            ) from error
        raise _Dropped(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"no connection ({error or type(error).__name__})") from error
    except ValueError as error:  # an address that is none, to which the server sends
        raise InputError(
            f"{url}: the server sends to another address, which is none: {error}"
        ) from error


def seconds_asked(text: str) -> float:
    """What the header Retry-After asks for, a number of seconds or a date, in seconds from now; else 0."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):  # no date, or one without a time zone
        return 0.0


def _chunks(response: http.client.HTTPResponse, patience: Patience) -> Iterator[bytes]:
    """What comes, in pieces; only errors of the connection become `_Dropped`, not those of a disk.

    Raises:
        _Trickle: too little came.
    """
    begun, came = time.monotonic(), 0
    while True:
        try:
            # read1 gives what is here: what came before a drop is not lost.
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(f"the connection dropped ({error or type(error).__name__})") from error
        if not chunk:
            return
        yield chunk
        came += len(chunk)
        passed = time.monotonic() - begun
        if passed > patience.timeout:
            if came < patience.slowest * passed:
                raise _Trickle(f"only {came} bytes came in {passed:.0f} s")
            begun, came = time.monotonic(), 0


def _range_of(response: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """First byte and full length from "bytes 100-199/200" or "bytes */200"."""
    match = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)$", response.headers.get("Content-Range", ""))
    if not match:
        return None, None
    first, total = match.groups()
    return (int(first) if first else None), (int(total) if total.isdigit() else None)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
