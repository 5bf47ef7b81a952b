"""Which of YOLO's label files belongs to which picture.

The labels of …/images/a.jpg are …/labels/a.txt, or stand beside it. Where pictures come from another folder
(`--images`), names alone tell nothing as soon as two folders have one: then the folders have to agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from minirnn.data.alike import plain
from minirnn.data.convert.found import Unusable, lines_of, numbers
from minirnn.errors import InputError


@dataclass
class Pairs:
    """What `pairs` found.

    Attributes:
        labels: the label file of a picture; one that has none is missing.
        unclear: pictures that may have one of several label files, and these.
    """

    labels: dict[Path, Path] = field(default_factory=dict)
    unclear: dict[Path, list[Path]] = field(default_factory=dict)


def labels_of(picture: Path) -> Path:
    """The label file that goes with a picture by its place; it may not be there."""
    parts = list(picture.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            path = Path(*parts[:i], "labels", *parts[i + 1 :]).with_suffix(".txt")
            if path.is_file() or not picture.with_suffix(".txt").is_file():
                return path
            break
    return picture.with_suffix(".txt")


def pairs(pictures: Iterable[Path], images: Path, labels: Iterable[Path], folder: Path) -> Pairs:
    """Pair pictures of one folder with label files of another, by their names.

    A name that both have once is a pair. Otherwise folders decide: photos/train/1.jpg goes with
    labels/train/1.txt. A picture that gets nothing so, while a file of its name is left over, is unclear.

    Args:
        pictures: below `images`.
        images: the folder of `--images`.
        labels: below `folder`.
        folder: the source.
    """
    by_stem: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for picture in pictures:
        by_stem[plain(picture.stem)][0].append(picture)
    for file in labels:
        by_stem[plain(file.stem)][1].append(file)
    result = Pairs()
    for mine, files in by_stem.values():
        if len(mine) == 1 and len(files) == 1:
            result.labels[mine[0]] = files[0]
            continue
        scores = {
            (picture, file): _agreement(picture, images, file, folder)
            for picture in mine
            for file in files
        }
        for picture in mine:
            best = _only_best({file: scores[picture, file] for file in files})
            if best and _only_best({other: scores[other, best] for other in mine}) == picture:
                result.labels[picture] = best
        given = {result.labels.get(picture) for picture in mine}
        over = [file for file in files if file not in given]
        for picture in mine:
            if over and picture not in result.labels:
                result.unclear[picture] = over
    return result


def is_labels(file: Path) -> bool:
    """Whether a text file has lines of YOLO's form; lists of names and of pictures have none."""
    try:
        return any(len(numbers(line.split())) >= 5 for line in lines_of(file) if line)
    except (InputError, Unusable):
        return False


def _agreement(picture: Path, images: Path, file: Path, folder: Path) -> int:
    """How many of the folders above a picture and a label file have the same names, from below.

    "images" and "labels" count for nothing. The same way from their two roots counts for most.
    """
    if _way(picture.relative_to(images)) == _way(file.relative_to(folder)):
        return 1000
    count = 0
    for a, b in zip(
        reversed(_way(picture.resolve())), reversed(_way(file.resolve())), strict=False
    ):
        if a != b:
            break
        count += 1
    return count


def _way(path: Path) -> list[str]:
    return [name for part in path.parts[:-1] if (name := plain(part)) not in ("images", "labels")]


def _only_best(scores: dict[Path, int]) -> Path | None:
    """What has the highest score, above 0, alone."""
    highest = max(scores.values(), default=0)
    best = [path for path, score in scores.items() if score == highest]
    return best[0] if highest > 0 and len(best) == 1 else None
