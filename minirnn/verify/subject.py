"""What one function needs to be verified: how it is found, and which inputs are drawn for it."""

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
