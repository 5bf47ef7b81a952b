"""How a page of ours is known again: by a line in its head, which each template of a page has.

<meta name="generator" content="minirnn run">
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_MARK = re.compile(rb'<meta name="generator" content="minirnn ([a-z ]+)">')
_HEAD = 2000  # bytes in which the mark stands


def maker_of(path: str | os.PathLike[str]) -> str | None:
    """Which command made a page ("run", "inspect", …); None where there is no page of ours."""
    if not Path(path).is_file():
        return None
    with open(path, "rb") as file:
        mark = _MARK.search(file.read(_HEAD))
    return None if mark is None else mark[1].decode()
