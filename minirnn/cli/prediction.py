"""What `minirnn predict` does with one photo: find, draw, cut out, write."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minirnn.cli.networks import skeleton_of
from minirnn.cli.outputs import check_outputs
from minirnn.cli.photos import DRAWN, Photo
from minirnn.data import Detections, read_image
from minirnn.data.proposals import Proposals
from minirnn.draw import draw_instances
from minirnn.draw.cutouts import crop, cutout
from minirnn.draw.detections import every_point
from minirnn.draw.palette import PALETTE
from minirnn.errors import InputError
from minirnn.evaluation import to_results
from minirnn.files import write_whole
from minirnn.images import OTHER_SIZE, UnusableImage
from minirnn.models import RCNN


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes:
        photo: which.
        report: as it stands in the photo's JSON file; empty where the photo could not be used.
        results: its detections in COCO's format, with the network's category ids.
        problem: why it could not be used; empty where it could.
    """

    photo: Photo
    report: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""

    @classmethod
    def spoilt(cls, photo: Photo, error: Exception) -> Outcome:
        """The outcome of a photo at which an error was raised."""
        problem = str(error) or "too little memory for this picture"
        return cls(
            photo, problem=problem if str(photo.path) in problem else f"{photo.path}: {problem}"
        )


class Predictor:
    """Called with a photo, writes what the network finds in it.

    Args:
        model: the network.
        score: least score of a detection.
        proposals: of each photo by its file name, for a network that takes given ones.
        out: the folder for pictures and data.
        frames: pictures get the photos' own names, and each category one colour.
        crops: folder for boxes that are cut out, or None.
        cutouts: folder for objects that are cut out along their masks, or None.
        size_of: (height, width) that a photo should be turned to, or None for as EXIF says.

    Raises:
        InputError: cutouts of a network without masks; two of the folders are one.
    """

    def __init__(
        self,
        model: RCNN,
        *,
        score: float,
        proposals: Proposals | None = None,
        out: Path,
        frames: bool = False,
        crops: Path | None = None,
        cutouts: Path | None = None,
        size_of: Callable[[Path], tuple[int, int] | None] = lambda _: None,
    ) -> None:
        if cutouts is not None and "masks" not in model.finds:
            raise InputError("--cutouts: this network finds no masks; --crops cuts out its boxes")
        check_apart(out=out, crops=crops, cutouts=cutouts)
        self._model = model
        self._score = score
        self._proposals = proposals
        self._out, self._frames, self._crops, self._cutouts = out, frames, crops, cutouts
        self._size_of = size_of
        self._kept: set[str] = set()

    def check_places(
        self,
        photos: Sequence[Photo],
        *,
        coco: Path | None = None,
        ids: Path | None = None,
        gif: Path | None = None,
        reads: Iterable[Path | None] = (),
    ) -> None:
        """Refuse to write over what is read, or two things into one file.

        What is cut out has names that nobody knows before; each is looked at when it is there.

        Args:
            photos: all that there are.
            coco: the results file that will be written, if any.
            ids: the file with the ids that will be written, if any.
            gif: the moving picture that will be written, if any.
            reads: further files that are read; None for none.

        Raises:
            InputError: names the file that would be lost.
        """
        read = [*(photo.path for photo in photos), *(path for path in reads if path is not None)]
        own = [path for photo in photos for path in self._places(photo)]
        others = [*own, *([ids] if ids else [])]
        check_outputs(results=[coco], pictures=[gif], others=others, reads=read)
        written = [*others, *(path for path in (coco, gif) if path is not None)]
        self._kept = {os.path.realpath(path) for path in [*read, *written]}

    def attempt(self, photo: Photo) -> Outcome:
        """Find, draw and write; or what kept it from that, if others can do without this photo."""
        try:
            return self(photo)
        except (InputError, MemoryError) as error:
            return Outcome.spoilt(photo, error)

    def __call__(self, photo: Photo) -> Outcome:
        """Find, draw and write.

        Raises:
            InputError: the photo cannot be read, or has no proposals; names it.
        """
        image = self._read(photo.path)
        given = None if self._proposals is None else [self._proposals.of(photo.path.name)]
        (found,) = self._model.predict([image], proposals=given, score_threshold=self._score)
        ids = {label: number for label, (number, _) in enumerate(self._model.categories, start=1)}
        results = to_results(found, 0, ids)
        rows = [dict(row) for row in results]
        for row, label in zip(rows, found.labels, strict=True):
            del row["image_id"]  # there is no data set here
            _, row["category"] = self._model.categories[int(label) - 1]
        self._cut(photo, image, found, rows)
        picture, data = self._places(photo)
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_whole(picture, _encoded(self._drawn(image, found), picture))
        report = {
            "photo": str(photo.path),
            "height": image.shape[0],
            "width": image.shape[1],
            "detections": rows,
            "picture": str(picture),
        }
        write_whole(data, json.dumps(report, indent=2, allow_nan=False) + "\n")
        return Outcome(photo, report, results)

    def _read(self, path: Path) -> np.ndarray:
        """A photo as it is annotated; one of another size as a person sees it."""
        try:
            return read_image(path, size=self._size_of(path))
        except UnusableImage as error:
            if error.reason != OTHER_SIZE:
                raise
            return read_image(path)

    def _places(self, photo: Photo) -> tuple[Path, Path]:
        """Where a photo's picture and its data go."""
        own = photo.path.suffix if _format_of(photo.path) else ".png"
        picture = photo.name + (own if self._frames else DRAWN)
        return self._out / picture, self._out / f"{photo.name}.detections.json"

    def _drawn(self, image: np.ndarray, found: Detections) -> np.ndarray:
        """The photo with what was found."""
        colours = None
        if self._frames:  # from frame to frame, the same object should keep its colour
            colours = [PALETTE[(int(label) - 1) % len(PALETTE)] for label in found.labels]
        return draw_instances(
            image,
            found.boxes,
            found.labels,
            found.scores,
            found.masks,
            [name for _, name in self._model.categories],
            keypoints=every_point(found.keypoints),
            skeleton=skeleton_of([found]),
            colours=colours,
        )

    def _cut(
        self, photo: Photo, image: np.ndarray, found: Detections, rows: list[dict[str, Any]]
    ) -> None:
        """Write each object on its own, and note in its row where it is."""
        for number, (row, box) in enumerate(zip(rows, found.boxes, strict=True), start=1):
            # A category's name is somebody else's text, and not every text can be a file's name.
            name = re.sub(r"[^\w-]+", "_", row["category"])[:40]
            place = f"{photo.name}.{number:02d}.{name}.png"
            if self._crops is not None:
                row["crop"] = self._write_png(self._crops / place, crop(image, box))
            if self._cutouts is not None and found.masks is not None:
                pixels = cutout(image, box, found.masks[number - 1])
                row["cutout"] = self._write_png(self._cutouts / place, pixels)

    def _write_png(self, path: Path, pixels: np.ndarray) -> str:
        """Write what was cut out, and never over a photo that is read, or another result."""
        if os.path.realpath(path) in self._kept:
            raise InputError(f"{path} is needed, and would be written over; choose another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _encoded(pixels, path))
        return str(path)


def check_apart(**folders: Path | None) -> None:
    """Refuse two folders that are one: what is cut out has the same name with and without its mask.

    Args:
        folders: by the name of their option; crops and cutouts may not lie in each other, either.

    Raises:
        InputError: names the two options.
    """
    places = {name: Path(os.path.realpath(path)) for name, path in folders.items() if path}
    for (one, first), (other, second) in itertools.combinations(places.items(), 2):
        inside = "out" not in (one, other) and (first in second.parents or second in first.parents)
        if first == second or inside:
            how = "lie in each other" if inside else f"are both {folders[one]}"
            raise InputError(f"--{one} and --{other} {how}; give each a folder of its own")


def _encoded(pixels: np.ndarray, path: Path) -> bytes:
    """A picture in the format that its name asks for."""
    file = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.save(file, format=_format_of(path) or "PNG", quality=92)
    return file.getvalue()


def _format_of(path: Path) -> str | None:
    """The format that a file's name asks for; None where Pillow cannot write it."""
    name = Image.registered_extensions().get(path.suffix.lower())
    return name if name in Image.SAVE else None
