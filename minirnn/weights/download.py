"""Fetching torchvision's files, so that what ends up in place is whole and the right one.

What has come goes into "<name>.part". A connection that drops is taken up again there, by HTTP's
Range, now or in the next run. Only when the SHA-256 begins with the digits in the file's name does
the part take the name over, in one operation of the file system.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from minirnn.errors import InputError

BASE_URL = "https://download.pytorch.org/models/"

#: torchvision's documented files by name. Each ends in the first digits of its SHA-256.
FILES: dict[str, str] = {
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "keypointrcnn_resnet50_fpn": "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}

_CHUNK = 1 << 18
#: In bytes: no file of weights that is known here comes near it, and a server may never stop sending.
_LARGEST = 1 << 30


def download(
    name: str,
    folder: str | os.PathLike[str] = ".",
    *,
    base_url: str = BASE_URL,
    progress: Callable[[int, int | None], None] | None = None,
    attempts: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Fetch one of torchvision's files, or find that it is there already.

    Args:
        name: a key of `FILES`.
        folder: where the file goes; made if it is not there.
        base_url: the address in front of the file's name.
        progress: called with the bytes that are here and all bytes (None if the server does not
            say), again and again.
        attempts: how many attempts in a row may bring nothing before giving up.
        pause: seconds before the second attempt; doubled before each further one.
        timeout: seconds of silence after which a connection counts as dropped.

    Returns:
        The file's path.

    Raises:
        InputError: there is no such name; the server does not have the file, cannot be reached or
            keeps dropping the connection (what has come is kept and the next call goes on there);
            or the file is another than it should be, or endless (nothing is left of it).
        OSError: the file cannot be written.
    """
    if name not in FILES:
        raise InputError(f"name is {name!r}; it should be one of {', '.join(FILES)}")
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise InputError(f"base_url is {base_url!r}; it should begin with http:// or https://")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; it should be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / FILES[name]
    if target.exists():
        if not is_right(target):
            raise InputError(
                f"{target} is there, but is not the file that it should be (its SHA-256 does not "
                "begin with the digits in its name); remove it and try again"
            )
        return target
    part = target.with_name(f"{target.name}.part")
    url = f"{base_url.rstrip('/')}/{target.name}"
    _fetch(url, part, progress, attempts, pause, timeout)
    if not is_right(part, target.name):
        part.unlink()
        raise InputError(
            f"{url} gave another file than it should: its SHA-256 does not begin with "
            f"{_digits(target.name)}; it was removed"
        )
    os.replace(part, target)
    return target


class _Dropped(Exception):
    """The connection ended before the file did, or was not made; trying again may help."""


def _fetch(
    url: str,
    part: Path,
    progress: Callable[[int, int | None], None] | None,
    attempts: int,
    pause: float,
    timeout: float,
) -> None:
    """Bring `part` to the full length, however often the connection drops."""
    failures, most = 0, _size(part)
    while True:
        try:
            return _fetch_once(url, part, progress, timeout)
        except _Dropped as error:
            here = _size(part)
            failures = 0 if here > most else failures + 1
            most = max(most, here)
            if failures >= attempts:
                kept = f"; {here} bytes are kept in {part}, and the next try goes on there"
                raise InputError(
                    f"{url}: {error}, {failures} times in a row{kept if here else ''}"
                ) from error
            if failures:
                time.sleep(pause * 2 ** (failures - 1))


def _fetch_once(
    url: str, part: Path, progress: Callable[[int, int | None], None] | None, timeout: float
) -> None:
    """One connection: append what comes to `part`.

    Raises:
        _Dropped: not everything came.
        InputError: it makes no sense to try again.
    """
    start = _size(part)
    with _open(url, start, timeout) as response:
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
        _check_size(url, part, max(here, total or 0))
        with open(part, "ab" if start else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                here += len(chunk)
                _check_size(url, part, here)
                if progress:
                    progress(here, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and here < total:
        raise _Dropped(f"the connection dropped after {here} of {total} bytes")


def _check_size(url: str, part: Path, size: int) -> None:
    if size > _LARGEST:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{url} gives {size} bytes or more, and should give {_LARGEST} at most; nothing was kept"
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
        if error.code >= 500 or error.code in (408, 429):
            raise _Dropped(f"the server answered {error.code} ({error.reason})") from error
        raise InputError(
            f"{url}: the server answered {error.code} ({error.reason}); the file is not there"
        ) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            raise InputError(
                f"{url}: {urlsplit(url).hostname} cannot be found; is there a network? The file can "
                "be fetched in any other way, too: only its name must stay"
            ) from error
        raise _Dropped(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"no connection ({error or type(error).__name__})") from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, in pieces; only errors of the connection become `_Dropped`, not those of a disk."""
    while True:
        try:
            # read1 gives what is here: what came before a drop is not lost.
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(f"the connection dropped ({error or type(error).__name__})") from error
        if not chunk:
            return
        yield chunk


def _range_of(response: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """First byte and full length from "bytes 100-199/200" or "bytes */200"."""
    match = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)$", response.headers.get("Content-Range", ""))
    if not match:
        return None, None
    first, total = match.groups()
    return (int(first) if first else None), (int(total) if total.isdigit() else None)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _digits(name: str) -> str:
    """The digits of the SHA-256 in a name like "resnet18-f37072fd.pth"."""
    return Path(name).stem.rpartition("-")[2]


def is_right(path: Path, name: str | None = None) -> bool:
    """Whether a file's SHA-256 begins with the digits in its name, or in another name."""
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest().startswith(_digits(name or path.name))
        )
