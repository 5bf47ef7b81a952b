"""Docstrings are plain text first: a bar is an absolute value, and an indented block is an example."""

from __future__ import annotations

import re
from typing import Any


def _plain(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    shown: list[str] = []
    literal = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        field = line.startswith(":") or line.startswith("..")
        before = shown[-1] if shown else ""
        if line.strip() and indent >= 4 and not literal and not before.strip() and _is_prose(shown):
            shown += ["::", ""]
            literal = True
        elif line.strip() and indent < 4:
            literal = False
        shown.append(line if literal else _escaped(line, field))
    lines[:] = shown


def _escaped(line: str, field: bool) -> str:
    if not field:
        line = line.replace("|", r"\|")
    # A star that stands alone is a product, or a function's *arguments.
    stars = re.findall(r"(?<![\\*`])\*(?!\*)", line)
    return re.sub(r"(?<![\\*`])\*(?!\*)", r"\\*", line) if len(stars) % 2 else line


def _is_prose(shown: list[str]) -> bool:
    """Whether what stands above is a paragraph, and not a field's description or a list."""
    above = [line for line in shown if line.strip()]
    return bool(above) and not above[-1].startswith((" ", ":", "-", "*", ".."))


def setup(app: Any) -> dict[str, Any]:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", _plain, priority=900)
    return {"parallel_read_safe": True}
