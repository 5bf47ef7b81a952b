"""COCO's files from the cache, its host or a mirror; said beforehand, with their size, and with a bar."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minirnn.data.coco_fetch import (
    ARCHIVE,
    ARCHIVE_SIZE,
    IMAGE_SIZE,
    Fetched,
    fetch_archive,
    fetch_images,
    read_member,
)
from minirnn.errors import InputError
from minirnn.files.fetch import PATIENT, Patience
from minirnn.progress import bytes_bar, patient

SPLITS = ("train2017", "val2017")


@dataclass(frozen=True)
class Source:
    """Where COCO's files come from, and how patiently.

    Attributes:
        cache: the folder that keeps the archive of annotations.
        base_url: a mirror's address in place of COCO's; None is COCO's own.
        connections: how many images come at a time.
        patience: when to try again, and when to give up.
        bars: show progress bars.
        say: told what is about to be fetched, and how much it is.
    """

    cache: Path
    base_url: str | None = None
    connections: int = 8
    patience: Patience = PATIENT
    bars: bool = True
    say: Callable[[str], None] = lambda text: None

    def annotations(self, split: str, kind: str = "instances") -> dict:
        """COCO's annotation file of a split; the archive is fetched if the cache does not hold it.

        Raises:
            InputError: there is no such split, no room, or the archive cannot be fetched or read.
        """
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; it should be one of {', '.join(SPLITS)}")
        archive = self.cache / ARCHIVE
        if not archive.exists():
            self.say(f"COCO's annotations, {megabytes(ARCHIVE_SIZE)}, once, as {archive}")
            _check_room(self.cache, ARCHIVE_SIZE)
            with bytes_bar("annotations", disable=not self.bars) as progress:
                fetch_archive(
                    self.cache, base_url=self.base_url, progress=progress, patience=self.patience
                )
        self.say(f"reading {kind}_{split}.json from {archive}")
        return read_member(archive, kind, split)

    def images(self, images: list[dict], folder: Path) -> Fetched:
        """Fetch images that are not in the folder yet.

        Raises:
            InputError: there is no room, or many in a row did not come.
        """
        here = sum((folder / image["file_name"]).exists() for image in images)
        size = (len(images) - here) * IMAGE_SIZE
        self.say(
            f"{len(images)} images, {here} of them here already; about {megabytes(size)} to fetch"
        )
        _check_room(folder, size)
        with patient(
            total=len(images), desc="images", unit=" images", disable=not self.bars
        ) as bar:

            def progress(fetched: Fetched) -> None:
                done = len(fetched.here) + len(fetched.missing) + len(fetched.failed)
                bar.set_postfix_str(megabytes(fetched.size), refresh=False)
                bar.update(done - bar.n)

            return fetch_images(
                images,
                folder,
                base_url=self.base_url,
                connections=self.connections,
                patience=self.patience,
                progress=progress,
            )


def megabytes(size: int) -> str:
    """A number of bytes for people, in units of 2^20."""
    return f"{size / 2**20:.0f} MB" if size >= 10 * 2**20 else f"{size / 2**20:.1f} MB"


def _check_room(folder: Path, size: int) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(f"{folder}: {megabytes(size)} are to come; {megabytes(free)} are free")
