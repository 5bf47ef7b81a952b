"""File names that are one to a person, whatever their capitals, the form of their accents, or their folder.

A name that was written on Windows or macOS finds "IMG_1.JPG" where it says "IMG_1.jpg". macOS writes an
accent as a letter of its own, others write it with the letter: the names look the same and are not.
"""

from __future__ import annotations

import unicodedata


def plain(name: str) -> str:
    """What of a path's last part tells it from others, to a person."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return unicodedata.normalize("NFC", last).casefold()
