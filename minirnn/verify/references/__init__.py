"""The libraries that minirnn is compared with, and how each is asked.

A reference is a module beside this one with a table `FUNCTIONS`: for each function of ours, by its
name in `minirnn.verify.subjects`, one that takes the same inputs and settings and asks the library.
It raises `Skip`, with the reason, for settings that the library does not have.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import numpy as np

from minirnn.verify.difference import as_arrays


class Skip(Exception):
    """A reference has nothing to say about this case; the message says why."""


@dataclass(frozen=True)
class Reference:
    """One library to compare with.

    Attributes:
        name: as the table prints it.
        module: beside this file.
        packages: what must be installed.
        missing_functions: why functions of ours that are not in its table are not.
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
        """Why it cannot be asked; None where it can."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if absent:
            return f"not installed: {', '.join(absent)} (docs/verify.md says how)"
        try:
            self.functions()
        except Exception as error:  # whatever a broken installation raises
            return f"installed, but cannot be imported: {type(error).__name__}: {error}"
        return None

    def version(self) -> str:
        """Of the library, and what a reader should know besides."""
        note = getattr(import_module(f"{__name__}.{self.module}"), "NOTE", "")
        return metadata.version(self.packages[-1]) + (f" ({note})" if note else "")

    def functions(self) -> dict[str, Callable]:
        """Functions of the library by the names of ours."""
        return import_module(f"{__name__}.{self.module}").FUNCTIONS

    def forward(self, name: str, inputs: Sequence[Any], settings: dict[str, Any]) -> list[Any]:
        """What the library answers, as arrays."""
        function = self.functions()[name]
        if self.gradients == "autograd":
            from minirnn.verify.references.torch_functions import to_torch

            inputs, settings = to_torch(list(inputs)), to_torch(settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library says of its own future
            return as_arrays(function(*inputs, **settings))


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
