"""Finding the picture that a label file means.

Labels travel: from Windows to Linux, from one folder to another, through a server that puts letters
before the name. So a name is looked up beside its label file, then in a folder "images" near it, and at
last by itself. Only files below the source folder (or the folder of `--images`) are ever taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minirnn.data.alike import plain
from minirnn.data.convert.found import Unusable
from minirnn.data.convert.walk import files_below

#: The endings of files that are taken for pictures, also of those that cannot be read: they are named then.
ENDINGS = {
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"),
    *(".heic", ".heif", ".avif", ".dng", ".raw", ".cr2", ".nef", ".arw"),
}


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture; macOS' "._name" files are none."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith("._")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_picture(path))


class Pictures:
    """All pictures below some folders, to be found by the names that label files have for them.

    Args:
        folders: the source (a file: its folder), and the folder of `--images` if there is one.
    """

    def __init__(self, *folders: Path | None) -> None:
        places = [place for place in folders if place is not None]
        if len(places) > 1:  # a file among a thousand downloads brings none of their pictures
            places = [place for place in places if place.is_dir()]
        places = [place if place.is_dir() else place.parent for place in places]
        self.roots = [Path(os.path.realpath(place)) for place in places]
        self._by_name: dict[str, list[Path]] = {}
        self._by_key: dict[Callable[[Path], str], dict[str, list[Path]]] = {}
        for root in self.roots:
            for path in files_below(root):
                same = self._by_name.setdefault(plain(path.name), [])
                if is_picture(path) and path not in same:
                    same.append(path)

    def find(self, name: str, near: Path) -> Path:
        """The picture of a name.

        Args:
            name: as the label file has it: a path with slashes or backslashes, or a bare name.
            near: the folder of the label file.

        Raises:
            Unusable: there is none, or more than one and nothing to tell which.
        """
        name = name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts:
            raise Unusable(f"it names no picture: {name!r}")
        places = [near, near / "images", near.parent / "images"]
        places += [*self.roots, *(root / "images" for root in self.roots)]
        for place in places:
            try:
                path = Path(os.path.realpath(place / "/".join(parts)))
                there = path.is_file()
            except (OSError, ValueError) as error:  # too long, or with a null character
                raise Unusable(f"{name[:60]!r} is no file name ({error})") from None
            if there and any(path.is_relative_to(root) for root in self.roots):
                return path
        # With as many of its folders as are there: "train/7.jpg" is not "val/7.jpg".
        tails = [parts[i:] for i in range(len(parts)) if parts[i] != ".."]
        candidates = self._by_name.get(plain(name), [])
        for tail in tails:
            wanted = [plain(part) for part in tail]
            found = [p for p in candidates if [plain(q) for q in p.parts[-len(tail) :]] == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(str(path) for path in found[:3])
                raise Unusable(f"picture {name!r} may be any of {names}")
        raise Unusable(f"picture {name!r} is not there")

    def only(self, key: Callable[[Path], str], value: str) -> Path:
        """The one picture whose path has a key, its name without its ending for example.

        Raises:
            Unusable: there is none, or more than one.
        """
        if key not in self._by_key:
            index = self._by_key[key] = {}
            for path in self.all():
                index.setdefault(key(path), []).append(path)
        found = self._by_key[key].get(value, [])
        if len(found) != 1:
            raise Unusable(f"there are {len(found)} pictures named {value!r}; there should be one")
        return found[0]

    def hide(self, *paths: Path) -> None:
        """Pictures that are no photographs (masks) are found no more."""
        hidden = {Path(os.path.realpath(path)) for path in paths}
        for same in self._by_name.values():
            same[:] = [path for path in same if path not in hidden]
        self._by_key.clear()

    def all(self) -> list[Path]:
        """Every picture, by path."""
        return sorted(path for same in self._by_name.values() for path in same)
