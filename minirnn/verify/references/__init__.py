"""The libraries that minirnn is compared with, and how each is asked.

A reference is a module beside this one with a table `FUNCTIONS`: for each function of ours, by its
name in `minirnn.verify.subject`, one that takes the same inputs and settings and asks the library.
It raises `Skip`, with the reason, for settings that the library does not have.

What has to be brought into the library's own form first is done by the module's function `prepared`, if
it has one, so that a clock can start after it: `minirnn bench` asks the same references.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from typing import Any

import numpy as np

from minirnn.verify.difference import as_arrays


class Skip(Exception):
    """A reference has nothing to say about this case; the message says why."""


#: Why an aligned region without area is not compared with a library: the difference is meant.
READS_POINTS = "reads the map at the place of a region without area, where ours gives 0"


def without_area(boxes: Any, aligned: bool) -> bool:
    """Whether a region is empty for RoIAlign; unaligned, each is at least a cell wide and high."""
    return aligned and bool((boxes[:, 2:] <= boxes[:, :2]).any())


@dataclass(frozen=True)
class Reference:
    """One library to compare with.

    Attributes:
        name: as the table prints it.
        module: beside this file.
        packages: what must be installed.
        missing_functions: why some functions of ours are not in its table.
        gradients: "none"; "autograd", by the library itself; or "differences" of its forward
            function, (L(x + h v) - L(x - h v)) / 2h for random directions v.
        dtype: in which both compute.
        tolerance: largest relative error in that type. For float64 1e-10: sums of up to thousands of
            products, each off by 1e-16. For float32, 1e-5 likewise.
        gradient_tolerance: the same for gradients.
    """

    name: str
    module: str
    packages: tuple[str, ...] = ()
    missing_functions: str = "has no such function"
    gradients: str = "none"
    dtype: Any = np.float64
    tolerance: float = 1e-10
    gradient_tolerance: float = 1e-10

    def missing(self) -> str | None:
        """Why it cannot be asked, and how to change that; None where it can."""
        reason = not_installed(*self.packages)
        if reason:
            return reason
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.functions()
        except Exception as error:  # whatever a broken installation raises
            return f"installed, but cannot be imported: {type(error).__name__}: {error}"
        return None

    def version(self) -> str:
        """Of the library, and what a reader should know besides."""
        note = getattr(self._module(), "NOTE", "")
        return metadata.version(self.packages[-1]) + (f" ({note})" if note else "")

    def functions(self) -> dict[str, Callable]:
        """Functions of the library by the names of ours."""
        return self._module().FUNCTIONS

    def prepared(
        self, name: str, inputs: Sequence[Any], settings: dict[str, Any], threads: int = 1
    ) -> Callable[[], Any]:
        """A function that asks the library, with everything in the library's own form before it is called.

        Args:
            name: of our function.
            inputs: by position.
            settings: by keyword.
            threads: how many the library may use, if it is one that is told so with each call.

        Raises:
            Skip: it has no answer to such a question.
        """
        prepare = getattr(self._module(), "prepared", None)
        function = self.functions()[name]
        if prepare:
            return prepare(function, inputs, settings, threads)
        return partial(function, *inputs, **settings)

    def forward(self, name: str, inputs: Sequence[Any], settings: dict[str, Any]) -> list[Any]:
        """What the library answers, as arrays."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library says of its own future
            return as_arrays(self.prepared(name, inputs, settings)())

    def gradient(self, name: str, *call: Any) -> Callable[[], Any]:
        """A function that gives the gradients of the library's autograd; see `torch_functions.gradient`."""
        return self._module().gradient(self.functions()[name], *call)

    def _module(self) -> Any:
        return import_module(f"{__name__}.{self.module}")


def not_installed(*packages: str) -> str | None:
    """Which of the packages are missing, and how to get them; None where all are there."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    how = "pip install --no-deps torchvision" if "torchvision" in absent else ""
    if set(absent) - {"torchvision"}:
        how = "; ".join(filter(None, ("pip install '.[reference]'", how)))
    return f"not installed: {', '.join(absent)} ({how}; see docs/verify.md)"


#: In the order of the table's rows for one function.
REFERENCES: tuple[Reference, ...] = (
    Reference(
        "textbook",
        "textbook_functions",
        missing_functions="no paper gives loops for it",
        gradients="differences",
        # A difference quotient at h = 1e-5 is off by h² and by 1e-16 / h.
        gradient_tolerance=1e-7,
    ),
    Reference("torch", "torch_functions", ("torch",), gradients="autograd"),
    Reference(
        "torchvision",
        "torchvision_functions",
        ("torch", "torchvision"),
        gradients="autograd",
    ),
    Reference(
        "ONNX Runtime",
        "onnx_functions",
        ("onnx", "onnxruntime"),
        missing_functions="no single operator of it does this",
        dtype=np.float32,
        tolerance=1e-5,
    ),
    Reference(
        "SciPy",
        "scipy_functions",
        ("scipy",),
        missing_functions="has no such function, or leaves it to NumPy",
    ),
    Reference("pycocotools", "coco_functions", ("pycocotools",)),
)
BY_NAME = {reference.name: reference for reference in REFERENCES}
