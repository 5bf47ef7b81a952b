"""Proposals from a file: boxes where something might be, for each image of a data set.

Two forms are read. JSON, an object with the image's id (or a photograph's file name) for each key:

    {"139": [[x1, y1, x2, y2], …], "285": [], …}

and NumPy's .npz with one array (P, 4) under each such name. Boxes are in pixels of the image, as
everywhere: x2 is where the box ends, not its last pixel.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.structures import Sample


@dataclass(frozen=True)
class Proposals:
    """The proposals of many images.

    Attributes:
        file: where they are from, for messages.
        boxes: (P, 4) float32 by the image's id or file name.
    """

    file: Path
    boxes: Mapping[str, np.ndarray]

    @property
    def fingerprint(self) -> str:
        """Equal for equal boxes."""
        digest = hashlib.sha256()
        for name in sorted(self.boxes):
            digest.update(f"{name} {self.boxes[name].shape}".encode() + self.boxes[name].tobytes())
        return digest.hexdigest()

    def of(self, image: int | str) -> np.ndarray:
        """The (P, 4) of an image.

        Raises:
            InputError: the file has none for it; names both.
        """
        if str(image) not in self.boxes:
            raise InputError(f"{self.file}: there are no proposals for image {image}")
        return self.boxes[str(image)]


def read_proposals(path: str | os.PathLike[str]) -> Proposals:
    """Read a file of proposals.

    Args:
        path: ….json or ….npz, see above.

    Raises:
        InputError: it cannot be read, or holds something that is no list of boxes; names the file
            and the image.
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise InputError(f"{path}: a file of proposals should end in .json or .npz")
    try:
        if path.suffix == ".npz":
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                given: Any = {name: file[name] for name in file.files}
        else:
            given = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as proposals: {error}") from error
    if not isinstance(given, Mapping):
        raise InputError(f"{path} is a {type(given).__name__}; it should be boxes by image id")
    return Proposals(path, {name: _boxes(path, name, value) for name, value in given.items()})


@dataclass(frozen=True)
class WithProposals:
    """A data set whose samples bring proposals.

    Attributes:
        dataset: see `minirnn.data.batches.Dataset`.
        proposals: of its images, by id.
    """

    dataset: Any
    proposals: Proposals

    @property
    def fingerprint(self) -> str | None:
        """The data set's together with the proposals'; None if it has none."""
        own = getattr(self.dataset, "fingerprint", None)
        return None if own is None else f"{own} with {self.proposals.fingerprint}"

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        boxes = self.proposals.of(sample.target.image_id)
        return replace(sample, target=replace(sample.target, proposals=boxes))

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("__") or "dataset" not in self.__dict__
        ):  # pickle asks before there is a data set
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _boxes(path: Path, image: str, value: Any) -> np.ndarray:
    place = f"{path}: proposals of image {image}"
    try:
        boxes = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place} are no boxes: {error}") from error
    if boxes.size == 0:
        return np.zeros((0, 4), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{place} have shape {boxes.shape}; it should be (P, 4)")
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{place}: number {first} is {boxes[first].tolist()}; it should be x1 < x2, y1 < y2"
        )
    return boxes
