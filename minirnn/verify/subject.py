"""Something that can be verified: a function of this library, with inputs to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from minirnn.verify.drawing import Case


@dataclass(frozen=True)
class Subject:
    """A function of this library that is compared with others.

    Attributes:
        stage: part of the library, the heading that it stands under.
        name: what a reference's function for it is called, and `compare` takes.
        function: returns the function to call. It is looked up only then, so that one that has been
            replaced (by a test, say) is what is verified.
        cases: the calls that are drawn.
        differentiable: which inputs have a gradient, by position; None: those of a floating type
            for which the function gives one.
        single: whether it computes in float32 whatever it is given.
        why_not: why nothing is drawn, and so nothing compared.
    """

    stage: str
    name: str
    function: Callable[[], Callable]
    cases: Sequence[Case]
    differentiable: tuple[int, ...] | None = ()
    single: bool = False
    why_not: str = "no inputs are drawn for it (minirnn/verify/operations.py)"


def stage(
    path: str,
    *cases: Case,
    through: Callable[[Callable], Callable] | None = None,
    heading: str = "",
    **more: Any,
) -> Subject:
    """A stage's function.

    Args:
        path: where it stands in minirnn, such as "boxes.nms"; before a "=" its name here, if another.
        cases: the calls that are drawn.
        through: makes the function that is called of the one found there; None calls that one.
        heading: if it is not the path's first part.
        more: further fields of `Subject`.
    """
    name, _, path = path.rpartition("=")
    module, _, there = path.rpartition(".")

    def function() -> Callable:
        found = getattr(import_module(f"minirnn.{module}"), there)
        return through(found) if through else found

    heading = heading or path.partition(".")[0].replace("proposals", "rpn")
    return Subject(heading, name or there, function, cases, **more)
