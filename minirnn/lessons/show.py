"""Text as a notebook shows it: prose with formulas, and the library's source in colours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Markdown:
    """Text that a notebook renders."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Source:
    """Functions of the library as a notebook shows them: their source text, in colours."""

    functions: tuple[Callable, ...]

    def _repr_markdown_(self) -> str:
        text = "\n\n".join(inspect.getsource(function) for function in self.functions)
        return f"```python\n{text}```"

    def __repr__(self) -> str:
        names = ", ".join(f"{f.__module__}.{f.__qualname__}" for f in self.functions)
        return f"<source of {names}>"


def source(*functions: Callable) -> Source:
    """The source text of functions, to be shown as the last value of a cell."""
    return Source(functions)
