"""File names that are one to a person, whatever their capitals, the form of their accents, or their folder.

A name that was written on Windows or macOS finds "IMG_1.JPG" where it says "IMG_1.jpg". macOS writes an
accent as a letter of its own, others write it with the letter: the names look the same and are not.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path


def plain(name: str) -> str:
    """What of a path's last part tells it from others, to a person."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return unicodedata.normalize("NFC", last).casefold()


class Alike:
    """The files in a folder, and below, by what their names mean.

    The folder is read when it is first asked. Links are passed over: they may lead out of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, list[str]] | None = None

    def file(self, name: str) -> str | None:
        """The path from the folder, with slashes, of the file that is meant; None: none, or several."""
        if self._files is None:
            self._files = {}
            for path in self._folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    own = path.relative_to(self._folder).as_posix()
                    self._files.setdefault(plain(own), []).append(own)
        found = self._files.get(plain(name), [])
        return found[0] if len(found) == 1 else None
