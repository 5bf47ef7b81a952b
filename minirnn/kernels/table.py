"""Which operation has a faster way, on which device, and when it is taken.

An operation is written down once, plainly, over whole arrays (`minirnn.ops`). A *kernel* computes the
same numbers faster on one kind of device. The operation does not know of its kernels: they are
registered here, and for each call one is chosen here.

    @operation                                    # in minirnn/ops: anybody can read this
    def relu(x): ...

    @kernel(relu, "cpu", reason="one walk over memory, on all cores")
    def relu_in_blocks(x): ...                    # in minirnn/kernels/cpu: only who wants it faster

`relu(x)` now runs the kernel for NumPy arrays and the plain form for all others. With
MINIRNN_KERNELS=plain in the environment, or inside `with plain():`, it is always the plain form.
What an operation asks of its input (`@operation(check=…)`) is asked here, before the choice, so that
neither the plain form nor a kernel has to.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Every operation by name.
OPERATIONS: dict[str, Operation] = {}

#: By the library of an array: its device, and the module (its "room") that registers that device's kernels.
ROOMS = {"numpy": ("cpu", "minirnn.kernels.cpu"), "cupy": ("cuda", "minirnn.kernels.cuda")}
_mode = threading.local()


def _always(*arrays: Any, **settings: Any) -> bool:
    return True


@dataclass(frozen=True)
class Kernel:
    """A faster way to compute one operation on one kind of device.

    Attributes:
        function: takes and returns what the operation's plain form does.
        device: "cpu" (NumPy arrays), "cuda" (CuPy arrays), or one of your own (`add_room`).
        applies: whether the kernel can do a call, asked with the call's own arguments.
        reason: why it is faster, in a sentence.
        accuracy: what it costs in accuracy; "same" where only the order of additions differs.
    """

    function: Callable
    device: str
    applies: Callable[..., bool]
    reason: str
    accuracy: str

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__


@dataclass
class Operation:
    """An operation: its plain form, and the kernels that may stand in for it, first come first asked."""

    name: str
    plain: Callable
    kernels: list[Kernel] = field(default_factory=list)
    check: Callable[..., None] | None = None

    def __call__(self, *arrays: Any, **settings: Any) -> Any:
        """Check the input, and compute."""
        if self.check is not None:
            self.check(*arrays, **settings)
        return self.chosen(arrays, settings)(*arrays, **settings)

    def chosen(self, arrays: tuple, settings: dict[str, Any]) -> Callable:
        """What computes this call: the first kernel of its device that applies, or the plain form."""
        if plain_only():
            return self.plain
        device = _device_of(arrays or tuple(settings.values()))  # arrays may be keywords, too
        if device is not None:
            for kernel in self.kernels:
                if kernel.device == device and kernel.applies(*arrays, **settings):
                    return kernel.function
        return self.plain


def operation(
    function: Callable | None = None, *, check: Callable[..., None] | None = None
) -> Callable:
    """Enter a function of arrays into the table, so that a kernel can stand in for it.

    Args:
        function: the plain form, `@operation`; left out in `@operation(check=…)`.
        check: is called first, with the call's own arguments, whatever computes it; it raises an InputError
            where they do not fit.
    """
    if function is None:
        return functools.partial(operation, check=check)
    entry = Operation(function.__name__, function, check=check)
    OPERATIONS[entry.name] = entry

    @functools.wraps(function)
    def checked(*arrays: Any, **settings: Any) -> Any:
        return entry(*arrays, **settings)

    checked.operation = entry  # type: ignore[attr-defined]
    return checked


def kernel(
    replaced: Callable,
    device: str,
    *,
    reason: str,
    accuracy: str = "same",
    applies: Callable[..., bool] = _always,
) -> Callable[[Callable], Callable]:
    """Register a function as a kernel of an operation; the attributes are those of `Kernel`.

    Args:
        replaced: the operation, as `minirnn.ops` has it.
        device: "cpu" or "cuda".
        reason: why it is faster.
        accuracy: what it costs in accuracy.
        applies: whether a call can be done by it.
    """

    def register(function: Callable) -> Callable:
        entry: Operation = replaced.operation  # type: ignore[attr-defined]
        entry.kernels.append(Kernel(function, device, applies, reason, accuracy))
        return function

    return register


def plain_only() -> bool:
    """Whether kernels are switched off, for this thread or for the process."""
    return getattr(_mode, "plain", False) or os.environ.get("MINIRNN_KERNELS") == "plain"


@contextmanager
def plain() -> Iterator[None]:
    """Inside, everything that this thread computes is computed by the plain forms."""
    before = getattr(_mode, "plain", False)
    _mode.plain = True
    try:
        yield
    finally:
        _mode.plain = before


def add_room(library: str, device: str, module: str) -> None:
    """Kernels of another device, in a folder of their own.

    Args:
        library: the package that the device's arrays are from, such as "cupy".
        device: the name that these kernels register with.
        module: importing it registers them; that is done when the first such array comes along.
    """
    ROOMS[library] = (device, module)


def _device_of(arrays: tuple) -> str | None:
    """The device of the first array that has one; None where no array's library has a room."""
    for array in arrays:
        library = "numpy" if isinstance(array, np.ndarray) else _library_of(array.__class__)
        if library in ROOMS:
            device, module = ROOMS[library]
            _open(module)
            return device
    return None


@functools.cache
def _library_of(kind: Any) -> str:
    # A number of NumPy's is no array: what is computed with it is done plainly.
    return "" if issubclass(kind, np.generic) else kind.__module__.partition(".")[0]


@functools.cache
def _open(module: str) -> None:
    """Import the room of a device's kernels, which registers them; once, when first asked for."""
    if importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
