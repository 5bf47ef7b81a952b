"""Fetching torchvision's files, so that what ends up in place is whole and the right one.

How a file comes, and goes on after a drop, is in `minirnn.files.fetch`. Here: which files there are, and
that the SHA-256 of what came begins with the digits in the file's name.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from minirnn.errors import InputError
from minirnn.files.fetch import Patience, Progress, fetch

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

#: In bytes: no file of weights that is known here comes near it, and a server may never stop sending.
_LARGEST = 1 << 30


def download(
    name: str,
    folder: str | os.PathLike[str] = ".",
    *,
    base_url: str = BASE_URL,
    progress: Progress | None = None,
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
    url = f"{base_url.rstrip('/')}/{target.name}"

    def check(part: Path) -> None:
        if not is_right(part, target.name):
            raise InputError(
                f"{url} gave another file than it should: its SHA-256 does not begin with "
                f"{_digits(target.name)}; it was removed"
            )

    patience = Patience(attempts, pause, timeout=timeout)
    fetch(url, target, check=check, largest=_LARGEST, progress=progress, patience=patience)
    return target


def _digits(name: str) -> str:
    """The digits of the SHA-256 in a name like "resnet18-f37072fd.pth"."""
    return Path(name).stem.rpartition("-")[2]


def is_right(path: Path, name: str | None = None) -> bool:
    """Whether a file's SHA-256 begins with the digits in its name, or in another name."""
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest().startswith(_digits(name or path.name))
        )
