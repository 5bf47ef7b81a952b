"""Reverse-mode differentiation over arrays.

The idea in one paragraph: every operation returns its output and, for each input, a function that
carries a gradient from the output back to that input (a *vector-Jacobian product*, vjp). A `Tensor`
is an array that remembers which operation made it. `backward` walks from the result to the leaves in
the reverse order of creation and lets each vjp hand its gradient on; where paths meet, gradients add.

    dL/dx = Σ over the operations f that used x of  (∂f/∂x)ᵀ · dL/df

Source: Baydin et al., "Automatic differentiation in machine learning: a survey", 2018, section 3.2.
"""

from __future__ import annotations

import functools
import heapq
import importlib
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation

_numbers = itertools.count()
_mode = threading.local()

#: Every differentiable operation by name. The gradient test walks over this table, so that an
#: operation without a check fails the suite.
OPERATIONS: dict[str, Callable] = {}


class Node:
    """A node of the graph: how a tensor was made.

    The way back leads from node to node and not from tensor to tensor, which would keep all data alive.
    What an operation needs again for its gradient, its vjps hold themselves; any other array is freed
    as soon as nobody computes with it any more. That halves the memory of a training step.

    Attributes:
        number: its place in the order of creation.
        parents: nodes of the inputs that a gradient goes to; None once `backward` has used them.
        vjps: for each parent the function that carries a gradient to it.
        tensor: gives the tensor, or None if nobody holds it any more.
    """

    __slots__ = ("number", "parents", "tensor", "vjps")

    def __init__(self, tensor: Tensor) -> None:
        self.number = next(_numbers)
        self.parents: tuple[Node, ...] | None = ()
        self.vjps: tuple[Callable[[Array], Array], ...] = ()
        self.tensor = weakref.ref(tensor)


class Tensor:
    """An array that remembers how it was made, so that gradients can find their way back.

    Args:
        data: the array, of NumPy or CuPy.
        requires_grad: whether `backward` is to leave the gradient in `grad`. True for parameters.

    Attributes:
        grad: dL/d(data), an array of data's shape, after `backward`; None before.
    """

    __array_priority__ = 1000  # ndarray + Tensor: let the Tensor do it
    __array_ufunc__ = None
    __slots__ = ("__weakref__", "_node", "data", "grad", "requires_grad")

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        xp_of(data)  # refuses what is no array
        self.data = data
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._node = Node(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def dtype(self) -> Any:
        """Element type of the array."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __float__(self) -> float:
        return float(self.data)

    def detach(self) -> Array:
        """The bare array: no gradient flows through it."""
        return self.data

    def backward(self, gradient: Array | None = None) -> None:
        """Compute dL/dx for every tensor x with `requires_grad` that this one was made from.

        Gradients are added to what `grad` holds already. The graph is taken apart on the way:
        what an operation had kept for its gradient is freed as soon as it has been used.

        Args:
            gradient: dL/d(self), of self's shape; may be left out where self is one number (then 1).

        Raises:
            InputError: self is not one number and `gradient` is missing or of another shape; or the
                graph has been used up by an earlier call.
        """
        if gradient is None:
            if self.data.size != 1:
                raise InputError(
                    f"backward needs gradient for a tensor of shape {self.shape}: "
                    "only one number has the gradient 1"
                )
            gradient = xp_of(self.data).ones_like(self.data)
        elif gradient.shape != self.shape:
            raise InputError(f"gradient has shape {gradient.shape}; it should be {self.shape}")

        # Reverse order of creation is a topological order: an operation is younger than its inputs.
        gradients = {self._node.number: gradient}
        waiting = [(-self._node.number, self._node)]
        while waiting:
            _, node = heapq.heappop(waiting)
            dy = gradients.pop(node.number)
            tensor = node.tensor()
            if tensor is not None and tensor.requires_grad:
                tensor.grad = dy if tensor.grad is None else tensor.grad + dy
            if node.parents is None:
                raise InputError("the graph was already used by an earlier backward()")
            for parent, vjp in zip(node.parents, node.vjps, strict=True):
                dx = vjp(dy)
                if parent.number in gradients:
                    gradients[parent.number] = gradients[parent.number] + dx
                else:
                    gradients[parent.number] = dx
                    heapq.heappush(waiting, (-parent.number, parent))
            if node.parents:
                node.parents, node.vjps = None, ()  # frees what the closures hold

    # The operators. What they compute is in `minirnn.ops`, which imports this class; so it is looked
    # up by name.

    def __add__(self, other: Any) -> Any:
        return _operation("add")(self, _operand(other))

    def __radd__(self, other: Any) -> Any:
        return _operation("add")(_operand(other), self)

    def __sub__(self, other: Any) -> Any:
        return _operation("subtract")(self, _operand(other))

    def __rsub__(self, other: Any) -> Any:
        return _operation("subtract")(_operand(other), self)

    def __mul__(self, other: Any) -> Any:
        return _operation("multiply")(self, _operand(other))

    def __rmul__(self, other: Any) -> Any:
        return _operation("multiply")(_operand(other), self)

    def __truediv__(self, other: Any) -> Any:
        return _operation("divide")(self, _operand(other))

    def __rtruediv__(self, other: Any) -> Any:
        return _operation("divide")(_operand(other), self)

    def __matmul__(self, other: Any) -> Any:
        return _operation("matmul")(self, _operand(other))

    def __rmatmul__(self, other: Any) -> Any:
        return _operation("matmul")(_operand(other), self)

    def __neg__(self) -> Any:
        return _operation("negative")(self)

    def __abs__(self) -> Any:
        return _operation("absolute")(self)

    def __pow__(self, exponent: Any) -> Any:
        return _operation("power")(self, exponent=_operand(exponent))

    def __getitem__(self, index: Any) -> Any:
        return _operation("take")(self, index=index)

    def reshape(self, *shape: Any) -> Any:
        """The same numbers in another shape, given as one tuple or side by side."""
        return _operation("reshape")(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, given as one tuple, one by one, or not at all (in reverse)."""
        axes = axes[0] if axes and isinstance(axes[0], tuple) else axes
        return _operation("transpose")(self, axes=axes or None)

    @property
    def T(self) -> Any:
        """Axes in reverse order."""
        return self.transpose()

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum over all axes, or some."""
        return _operation("sum")(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The mean over all axes, or some."""
        return _operation("mean")(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The largest value over all axes, or some."""
        return _operation("max")(self, axis=axis, keepdims=keepdims)


def _operation(name: str) -> Callable:
    if name not in OPERATIONS:
        importlib.import_module("minirnn.ops")
    return OPERATIONS[name]


def _operand(x: Any) -> Any:
    """NumPy's own scalars as Python numbers, which do not widen the array beside them."""
    return x.item() if isinstance(x, np.generic) else x


def differentiable(
    function: Callable | None = None, *, check: Callable[..., None] | None = None
) -> Callable:
    """Lift an array function to Tensors.

    The function takes arrays by position and settings by keyword, and returns its output and the
    vjps: one function per positional argument, or None where an argument has no gradient (indices,
    boxes, targets); a single function where there is one argument.

        @differentiable
        def relu(x):
            y = xp_of(x).maximum(x, 0)
            return y, lambda dy: dy * (y > 0)

    Called with arrays only, or inside `no_grad`, it returns an array. Otherwise, with at least one
    Tensor, it returns a Tensor. `relu.raw` takes and returns what the
    undecorated function does, for tests and for other array code. `@differentiable(check=…)` names the
    function that refuses input which does not fit, see `minirnn.kernels.operation`.
    """
    if function is None:
        return functools.partial(differentiable, check=check)
    of_arrays = operation(function, check=check)

    @functools.wraps(function)
    def lifted(*inputs: Any, **settings: Any) -> Any:
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        output, vjps = of_arrays(*arrays, **settings)
        if not grad_enabled() or not any(isinstance(x, Tensor) for x in inputs):
            return output
        vjps = vjps if isinstance(vjps, tuple) else (vjps,)
        edges = [
            (x, vjp)
            for x, vjp in zip(inputs, vjps, strict=True)
            if vjp is not None
            and isinstance(x, Tensor)
            and (x.requires_grad or x._node.parents != ())
        ]
        result = Tensor(output)
        result._node.parents = tuple(x._node for x, _ in edges)
        result._node.vjps = tuple(vjp for _, vjp in edges)
        return result

    lifted.raw = of_arrays  # type: ignore[attr-defined]
    lifted.operation = of_arrays.operation  # type: ignore[attr-defined]
    OPERATIONS[function.__name__] = lifted
    return lifted


def remembered(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """The function with its last answer kept: asked again for the same array, it computes nothing.

    For what the gradients of an operation's inputs have in common: it is computed when the first
    of them is asked for.
    """
    last: list[Any] = [None, None]

    def ask(dy: Array) -> Any:
        if last[0] is not dy:
            last[:] = dy, function(dy)
        return last[1]

    return ask


def together(
    gradients: Callable[[Array], tuple], count: int
) -> tuple[Callable[[Array], Array], ...]:
    """One vjp per input for an operation that finds all its gradients in one pass.

    Args:
        gradients: from dy to the gradients of all inputs.
        count: number of inputs.
    """
    ask = remembered(gradients)
    return tuple(lambda dy, position=position: ask(dy)[position] for position in range(count))


def grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return getattr(_mode, "record", True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, operations are not recorded and return plain arrays: for inference."""
    before = grad_enabled()
    _mode.record = False
    try:
        yield
    finally:
        _mode.record = before


def data_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of `shape` was broadcast.

    Broadcasting copies a value to many places; the gradient of a copy is the sum over its places.
    """
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
    )
    return gradient.sum(axis=axes).reshape(shape) if axes else gradient
