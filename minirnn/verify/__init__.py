"""Can you trust it? Every part of the library, compared on drawn inputs, here and on your machine.

`minirnn.verify.compare("roi_align")` compares one function with the textbook loops and with every
library that is installed, and returns a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirnn.verify.comparison import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Import the comparison when it is first used: `bench` needs the drawn inputs alone."""
    if name == "compare":
        from minirnn.verify.comparison import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
