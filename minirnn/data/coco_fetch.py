"""COCO's files over the network: the archive of annotations, kept for the next time, and single images.

Addresses are COCO's own: that of the archive is on cocodataset.org, and the annotation files have one for
each image (`coco_url`).
"""

from __future__ import annotations

import dataclasses
import json
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from minirnn.errors import InputError
from minirnn.files import alone_in
from minirnn.files.fetch import PATIENT, NoNetwork, NotThere, Patience, Progress, fetch
from minirnn.images import check_image, path_inside

BASE_URL = "http://images.cocodataset.org/"
ARCHIVE = "annotations_trainval2017.zip"
#: In bytes, to say beforehand what will come: the archive, and an image of COCO on average.
ARCHIVE_SIZE = 252_907_541
IMAGE_SIZE = 160_000
_LARGEST_ARCHIVE = 1 << 30
_LARGEST_IMAGE = 1 << 26
#: So many images one after the other that do not come: then it is the server or the network.
HOPELESS = 16


def fetch_archive(
    cache: Path,
    *,
    base_url: str | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENT,
) -> Path:
    """The archive with COCO's annotations of 2017, fetched if it is not in the folder yet.

    Raises:
        InputError: it cannot be fetched, or what came is no such archive.
        OSError: it cannot be written.
    """
    target = cache / ARCHIVE
    url = f"{(base_url or BASE_URL).rstrip('/')}/annotations/{ARCHIVE}"

    def check(part: Path) -> None:
        if not zipfile.is_zipfile(part):
            raise InputError(f"{url} gave something that is no zip archive; it was removed")

    if not target.exists():
        with alone_in(cache):
            fetch(
                url,
                target,
                check=check,
                largest=_LARGEST_ARCHIVE,
                progress=progress,
                patience=patience,
            )
    return target


def read_member(archive: Path, kind: str, split: str) -> dict:
    """An annotation file out of the archive; the checksum in the archive is compared.

    Args:
        archive: the path of the archive.
        kind: "instances" or "person_keypoints".
        split: "train2017" or "val2017".

    Raises:
        InputError: the archive is broken, or does not hold the file.
    """
    name = f"annotations/{kind}_{split}.json"
    try:
        with zipfile.ZipFile(archive) as opened:
            return json.loads(opened.read(name))
    except KeyError as error:
        raise InputError(f"{archive}: there is no {name} in it") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise InputError(
            f"{archive} is broken ({error}); remove it, and it is fetched again"
        ) from error


@dataclass
class Fetched:
    """What became of the images that were asked for, by file name.

    Attributes:
        here: in the folder and right; those that came now and those that had been there.
        came: how many of them came now.
        size: bytes that came now.
        missing: the server does not have them.
        failed: what went wrong; the next run may get them.
    """

    here: set[str] = field(default_factory=set)
    came: int = 0
    size: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def fetch_images(
    images: Sequence[dict],
    folder: Path,
    *,
    base_url: str | None = None,
    connections: int = 8,
    patience: Patience = PATIENT,
    progress: Callable[[Fetched], None] = lambda fetched: None,
) -> Fetched:
    """Fetch images, several at a time, and leave alone those that are in the folder already.

    Each is checked: all bytes came, Pillow decodes them, and the size in pixels is the one that the
    annotation file gives. What is not right is fetched again, after a pause.

    Args:
        images: COCO's records, with `file_name`, `coco_url`, `height` and `width`.
        folder: where they go.
        base_url: a mirror, whose address stands in place of COCO's host in each `coco_url`.
        connections: how many at a time.
        patience: when to try again, and when to give an image up.
        progress: called after each image.

    Raises:
        InputError: many images in a row did not come. Those that did are kept.
        OSError: a file cannot be written.
    """
    fetched, in_a_row, stop = Fetched(), 0, threading.Event()

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    patience = dataclasses.replace(patience, sleep=sleep)
    with ThreadPoolExecutor(connections, "fetch") as pool:
        try:
            work = {
                pool.submit(_fetch_image, image, folder, base_url, patience, stop): image
                for image in images
            }
            for done in as_completed(work):
                name = work[done]["file_name"]
                try:
                    size = done.result()
                    fetched.here.add(name)
                    fetched.came += size > 0
                    fetched.size += size
                    if size:  # an image that was here already says nothing of the server
                        in_a_row = 0
                except NotThere:
                    in_a_row += 1
                    fetched.missing.append(name)
                except InputError as error:
                    in_a_row += 1
                    fetched.failed[name] = str(error)
                if in_a_row >= HOPELESS:
                    raise InputError(_hopeless(fetched, folder))
                progress(fetched)
        except (
            BaseException
        ):  # Ctrl-C, too: what waits is dropped, what runs stops at its next piece
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    fetched.missing.sort()
    return fetched


class _Stopped(Exception):
    """The others stopped."""


class _Wrong(InputError):
    """What came is not the image."""


def _fetch_image(
    image: dict, folder: Path, base_url: str | None, patience: Patience, stop: threading.Event
) -> int:
    """Fetch one image; the bytes that came, 0 where it was in the folder already."""
    target, size = path_inside(folder, image["file_name"]), (image["height"], image["width"])
    if target.exists():
        try:
            check_image(target, size=size)
        except InputError as error:
            raise InputError(
                f"{error}; remove that file, and the image is fetched again"
            ) from error
        return 0
    url = address_of(image, base_url)

    def check(part: Path) -> None:
        try:
            check_image(part, size=size)
        except InputError as error:
            problem = str(error).removeprefix(f"{part}: ")
            raise _Wrong(f"{url} gave something else than the image: {problem}") from error

    def go_on(here: int, total: int | None) -> None:
        if stop.is_set():
            raise _Stopped

    attempt = 1
    while True:
        try:
            fetch(
                url, target, check=check, largest=_LARGEST_IMAGE, progress=go_on, patience=patience
            )
            return target.stat().st_size
        except (_Wrong, NoNetwork):
            if attempt == patience.attempts:
                raise
        patience.wait(attempt)
        attempt += 1


def address_of(image: dict, base_url: str | None = None) -> str:
    """Where an image is: its `coco_url`, or the same path on another host.

    Raises:
        InputError: the image has no address.
    """
    url = image.get("coco_url")
    if not isinstance(url, str):
        raise InputError(f"image {image['id']} has no coco_url in the annotation file")
    try:
        return url if base_url is None else base_url.rstrip("/") + urlsplit(url).path
    except ValueError as error:
        raise InputError(
            f"image {image['id']}: coco_url is {url!r}, and no address: {error}"
        ) from error


def _hopeless(fetched: Fetched, folder: Path) -> str:
    here = f"{len(fetched.here)} images are in {folder}; the same command goes on there"
    if not fetched.failed:
        return (
            f"the server has none of {HOPELESS} images in a row, so it is the wrong one, or the list is of "
            f"another split. The last: {fetched.missing[-1]}. {here}"
        )
    return (
        f"{HOPELESS} images in a row did not come, so the server or the network is to blame. The last: "
        f"{list(fetched.failed.values())[-1]}. {here}"
    )
