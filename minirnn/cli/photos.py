"""Which photographs a command line means: files, folders and patterns, in the order that one expects."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minirnn.errors import InputError

#: How files of the formats end that `minirnn.images` reads. In a folder, all else is passed over.
ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"),
    *(".heic", ".heif"),  # where the reader for them is installed
)
#: What `minirnn predict` writes must not be its own input when it looks at the folder again.
DRAWN = ".detections.png"


@dataclass(frozen=True)
class Photo:
    """One photograph.

    Attributes:
        path: the file.
        inside: its path inside of the folder that was named, or the name of a file that was.
        name: of its results, unlike any other photo's: `inside` without its ending.
    """

    path: Path
    inside: Path
    name: str


def find_photos(
    arguments: Sequence[Path], *, recursive: bool = False, leave_out: Collection[Path] = ()
) -> list[Photo]:
    """The photographs that are meant, each argument's in turn, a folder's in natural order.

    Args:
        arguments: files, also such as are not there (who opens them says so); folders; and patterns as
            of a shell (`clip/*.png`, `**/*.jpg`), for shells that do not replace them themselves.
        recursive: look in the folders inside of folders, too.
        leave_out: folders for results, which are no photographs.

    Raises:
        InputError: a folder has no photographs, or a pattern fits none.
    """
    results = {Path(os.path.realpath(folder)) for folder in leave_out}
    found: list[tuple[Path, Path]] = []
    for argument in arguments:
        if argument.is_dir():
            inside = _in_folder(argument, recursive, results)
            found += [(path, path.relative_to(argument)) for path in inside]
        elif not argument.exists() and glob.has_magic(str(argument)):
            fitting = _fitting(argument, results)
            if not fitting:
                raise InputError(f"{argument}: no file fits this pattern")
            found += [(path, Path(path.name)) for path in fitting]
        else:
            found.append((argument, Path(argument.name)))
    names = _names([inside for _, inside in found])
    return [Photo(*each, name) for each, name in zip(found, names, strict=True)]


def natural(path: Path) -> list[str | int]:
    """What to sort by so that frame 10 comes after frame 9."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _fitting(pattern: Path, results: Collection[Path]) -> list[Path]:
    """The files that fit a pattern, without results: as in a folder, those are no photographs."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    root = Path(os.path.realpath(Path(*fixed)))
    inner = {
        folder for folder in results if root in folder.parents
    }  # what is asked for itself stays
    fitting = []
    for path in map(Path, glob.glob(str(pattern), recursive=True)):
        place = Path(os.path.realpath(path.parent))
        drawn = path.name.endswith(DRAWN) or not inner.isdisjoint([place, *place.parents])
        if path.is_file() and not drawn:
            fitting.append(path)
    return sorted(fitting, key=natural)


def _in_folder(folder: Path, recursive: bool, results: Collection[Path]) -> list[Path]:
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and Path(os.path.realpath(Path(place) / name)) not in results
        ]
        inside = (Path(place) / name for name in files if _is_photo(name))
        # A link that leads nowhere is named when it is opened; a pipe is none, and would be waited for.
        paths += [path for path in inside if path.is_file() or not path.exists()]
        if not recursive:
            break
    if not paths:
        hint = "" if recursive else "; --recursive also looks in the folders inside of it"
        raise InputError(
            f"{folder}: there are no photographs in this folder ({', '.join(ENDINGS)}){hint}"
        )
    return sorted(paths, key=natural)


def _is_photo(name: str) -> bool:
    # Names that begin with a dot are hidden: a Mac leaves "._photo.jpg" beside a photo, which is none.
    return name.lower().endswith(ENDINGS) and not name.startswith(".") and not name.endswith(DRAWN)


def _names(files: Iterable[Path]) -> list[str]:
    """A name for each photo's results; a second photo.jpg from another folder is photo-2."""
    used: Counter[str] = Counter()
    taken: set[str] = set()
    names = []
    for file in files:
        own = str(file.with_suffix("")) if file.name else file.name
        name = own
        while name in taken or not name:
            used[own] += 1
            name = f"{own}-{used[own] + 1}"
        taken.add(name)
        names.append(name)
    return names
