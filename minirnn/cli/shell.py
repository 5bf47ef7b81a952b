"""Commands that are printed for a person to type."""

from __future__ import annotations

import shlex


def as_word(value: object) -> str:
    """A path or a name as one word of a shell, whatever blanks and quotes are in it."""
    return shlex.quote(str(value))
