"""What can be verified: every operation, and every stage, each with inputs to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True)
class Subject:
    """A function of this library that is compared with others.

    Attributes:
        stage: part of the library, the heading that it stands under.
        name: what a reference's function for it is called, and `compare` takes.
        function: looks up the function to call, when it is to be called.
        draws: each makes (inputs by position, settings by keyword) from a random generator.
        differentiable: which inputs have a gradient, by position; None: those of a floating type
            for which the function gives one.
        single: whether it computes in float32 whatever it is given.
        why_not: why nothing is drawn, and so nothing compared.
    """

    stage: str
    name: str
    function: Callable[[], Callable]
    draws: Sequence[Draw]
    differentiable: tuple[int, ...] | None = ()
    single: bool = False
    why_not: str = "no inputs are drawn for it (minirnn/verify/gradient_cases.py)"


def subjects() -> dict[str, Subject]:
    """All of them by name, operations first. An operation without inputs to draw is there, too."""
    from minirnn.verify.gradient_cases import CASES, load_operations
    from minirnn.verify.stages import STAGES
    from minirnn.verify.training_stages import TRAINING_STAGES

    operations = load_operations()
    found = {}
    for name, operation in sorted(operations.items(), key=lambda item: _family(item[1])):
        found[name] = Subject(
            stage=_family(operation),
            name=name,
            # By name, at the time of the call: the table of operations is what is verified.
            function=lambda name=name: operations[name],  # type: ignore[misc]
            draws=CASES.get(name, ()),
            differentiable=None,
        )
    return found | {subject.name: subject for subject in (*STAGES, *TRAINING_STAGES)}


def _family(operation: Callable) -> str:
    """ "convolution" of minirnn.ops.convolution; all regions are one family."""
    parts = operation.__module__.split(".")
    return "roi" if "roi" in parts else parts[-1]
