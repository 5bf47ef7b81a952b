"""A module: named parameters, and the function that uses them.

The names are torchvision's (`backbone.body.layer1.0.conv1.weight`), because a module's name is the
path of attributes that leads to it. So a public checkpoint loads key for key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minirnn.autograd import Tensor, data_of
from minirnn.backend import Array, library_of, to_host, xp_of
from minirnn.errors import InputError
from minirnn.ops.shape import arranged


def parameter(array: Array) -> Tensor:
    """A Tensor that training changes."""
    return Tensor(arranged(array), requires_grad=True)


def _in_order(array: Array) -> Array:
    """The array laid out in memory in the order of its axes, as files and other libraries have it."""
    return xp_of(array).ascontiguousarray(array)


class Module:
    """Base of everything that holds parameters.

    What a subclass stores in its attributes decides what it is: a `Tensor` is a parameter, an array
    is a buffer (saved, but not trained), a `Module` is a part. `forward` says what it computes.
    """

    #: True for normalisation layers, whose parameters get no weight decay.
    is_normalisation = False

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """The same as `forward`."""
        return self.forward(*inputs, **settings)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all its parts, as (path, module)."""
        yield prefix, self
        for name, part in vars(self).items():
            if isinstance(part, Module):
                yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named(self, kind: Any) -> Iterator[tuple[str, Module, str]]:
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind):
                    yield (f"{path}.{name}" if path else name), module, name

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters as (path, Tensor), frozen ones too (requires_grad False)."""
        for path, module, name in self._named(Tensor):
            yield path, getattr(module, name)

    def parameters(self) -> list[Tensor]:
        """All parameters."""
        return [tensor for _, tensor in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """All parameters and buffers as arrays, by path: what a checkpoint holds.

        They lie in memory in the order of their axes, since some writers of files write the memory as
        it is. Weights do not lie like that in the model, so theirs are copies.
        """
        return {
            path: _in_order(data_of(getattr(m, name)))
            for path, m, name in self._named((Tensor, _ArrayKind))
        }

    def load_state_dict(self, state: dict[str, Array], *, strict: bool = True) -> list[str]:
        """Take over arrays by path.

        Args:
            state: arrays (NumPy) by path.
            strict: everything must fit; otherwise what fits is loaded and the rest left as it is.

        Returns:
            What did not fit, one line each (empty if strict).

        Raises:
            InputError: strict, and names are missing or unexpected, or shapes differ; lists them.
                Nothing has been changed then.
        """
        own = {path: (module, name) for path, module, name in self._named((Tensor, _ArrayKind))}
        problems = [f"missing: {path}" for path in own if path not in state]
        problems += [f"unexpected: {path}" for path in state if path not in own]
        fitting = {}
        for path in own.keys() & state.keys():
            here, given = data_of(getattr(*own[path])).shape, state[path].shape
            if here == given:
                fitting[path] = state[path]
            else:
                problems.append(f"shape: {path} is {given}, the model has {here}")
        if strict and problems:
            raise InputError(
                "the weights do not fit the model:\n  " + "\n  ".join(sorted(problems))
            )
        for path, given in fitting.items():
            module, name = own[path]
            value = getattr(module, name)
            here = data_of(value)
            array = xp_of(here).empty_like(here)  # lies like what is there
            array[...] = xp_of(here).asarray(to_host(given))
            if isinstance(value, Tensor):
                value.data = array
            else:
                setattr(module, name, array)
        return sorted(problems)

    def to(self, device: str) -> Module:
        """Move all parameters and buffers to "cpu" or "cuda" (errors: `library_of`). Returns self."""
        return self.to_library(library_of(device))

    def to_library(self, xp: Any) -> Module:
        """Make all parameters and buffers arrays of `xp` (`numpy`, `cupy`). Returns self."""
        return self._convert(lambda a: a if xp_of(a) is xp else xp.asarray(to_host(a)))

    @property
    def xp(self) -> Any:
        """The array library of the parameters."""
        _, module, name = next(self._named((Tensor, _ArrayKind)))
        return xp_of(data_of(getattr(module, name)))

    @property
    def device(self) -> str:
        """Where the parameters are: "cpu" or "cuda"."""
        return "cpu" if self.xp is np else "cuda"

    def astype(self, dtype: Any) -> Module:
        """Convert all floating-point parameters and buffers, for exact checks. Returns self."""
        return self._convert(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)

    def _convert(self, change: Any) -> Module:
        for _, module, name in list(self._named((Tensor, _ArrayKind))):
            value = getattr(module, name)
            if isinstance(value, Tensor):
                value.data, value.grad = arranged(change(value.data)), None
            else:
                setattr(module, name, change(value))
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for tensor in self.parameters():
            tensor.grad = None

    def freeze(self) -> Module:
        """Exclude all parameters from training. Returns self."""
        for tensor in self.parameters():
            tensor.requires_grad = False
        return self


class _ArrayMeta(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, np.ndarray) or (
            hasattr(value, "__array_namespace__") or type(value).__module__.startswith("cupy")
        )


class _ArrayKind(metaclass=_ArrayMeta):
    """Stands for "an array of any library" in isinstance, without importing CuPy."""


class Sequential(Module):
    """Modules one after the other, named "0", "1", …"""

    def __init__(self, *parts: Module) -> None:
        for index, part in enumerate(parts):
            setattr(self, str(index), part)

    def __iter__(self) -> Iterator[Module]:
        return iter([part for part in vars(self).values() if isinstance(part, Module)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]

    def forward(self, x: Any, *more: Any, **settings: Any) -> Any:
        """Apply all parts in turn; the last one gets what is given beside x."""
        *parts, last = self
        for part in parts:
            x = part(x)
        return last(x, *more, **settings)
