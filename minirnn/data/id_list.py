"""A list of images by their ids: a small text file that names a part of COCO, the same for everybody.

    # 4 images of val2017 with person, dog, cat; balanced, seed 0
    # split: val2017
    # categories: person, dog, cat
    785
    872
    …

Lines that begin with # are for people, but for the two that say the split and the categories. Without
the latter, a list stands for the objects of all categories.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from minirnn.errors import InputError

#: Where lists are looked for by name: below the working directory, and beside the package.
FOLDERS = (Path("data/lists"), Path(__file__).resolve().parents[2] / "data" / "lists")


@dataclass(frozen=True)
class IdList:
    """Images of one split of COCO.

    Attributes:
        split: "train2017", "val2017".
        ids: of the images, each once.
        categories: names of the categories whose objects count; empty: all.
        title: a line for people.
    """

    split: str
    ids: tuple[int, ...]
    categories: tuple[str, ...] = ()
    title: str = ""

    def as_text(self) -> str:
        """The file's text, its ids in rising order."""
        lines = [f"# {self.title}"] if self.title else []
        lines.append(f"# split: {self.split}")
        if self.categories:
            lines.append(f"# categories: {', '.join(self.categories)}")
        return "\n".join([*lines, *map(str, sorted(self.ids))]) + "\n"


def read_list(path: str | os.PathLike[str]) -> IdList:
    """Read a list from its file.

    Raises:
        InputError: it cannot be read, a line is no id, an id is there twice, there is none, or the
            split is not said; names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a list of image ids: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    said: dict[str, str] = {}
    ids: dict[int, int] = {}
    title = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        header = re.fullmatch(r"# *(split|categories): *(.+)", line)
        if header:
            said[header[1]] = header[2]
        elif line.startswith("#"):
            title = title or line.strip("# ")
        elif line:
            if not re.fullmatch(r"[0-9]{1,18}", line):
                raise InputError(
                    f"{path}: line {number} is {line[:60]!r}; it should be the id of an image"
                )
            if int(line) in ids:
                raise InputError(
                    f"{path}: line {number}: image {line} is in line {ids[int(line)]}, too"
                )
            ids[int(line)] = number
    if not ids:
        raise InputError(f"{path}: the list has no ids")
    if "split" not in said:
        raise InputError(f'{path}: the list does not say its split; add a line "# split: val2017"')
    return IdList(said["split"], tuple(ids), names_in(said.get("categories", "")), title)


def find_list(name: str) -> Path:
    """The file of a list: a path, or the name of one that is ready in `data/lists`.

    Raises:
        InputError: there is none; says which are ready.
    """
    if Path(name).is_file():
        return Path(name)
    ready: set[str] = set()
    for folder in FOLDERS:
        files = {path.stem: path for path in folder.glob("*.txt")}
        if name in files:
            return files[name]
        ready |= set(files)
    known = f"ready are {', '.join(sorted(ready))}" if ready else "no lists are ready here"
    raise InputError(f"there is no list {name}: neither a file nor a name; {known}")


def names_in(text: str) -> tuple[str, ...]:
    """ "person, dog" as ("person", "dog")."""
    return tuple(name for name in map(str.strip, text.split(",")) if name)
