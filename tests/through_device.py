"""Tests that are written for NumPy, run on the stand-in: the library's functions go through the device.

Arguments go to the device, results come back, so that a test need not know. Only functions that take arrays
and return arrays are called like that; what takes a `Tensor` keeps its graph on the host.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from standin import DeviceArray, standin

from minirnn.autograd import Tensor
from minirnn.structures import Target

#: Whose functions are called through the device.
ROOMS = tuple(
    f"minirnn.{room}"
    for room in (
        "boxes",
        "masks.crop",
        "masks.paste",
        "matching",
        "ops",
        "roi",
        "heads",
        "proposals",
    )
)
#: Test files whose traps run on both.
FILES = (
    "test_boxes", "test_heads", "test_levels", "test_masks", "test_matching", "test_roi_align",
    "test_roi_pool", "test_roi_warp", "test_rpn",
)  # fmt: skip


def _moved(x: Any, array: Callable[[Any], Any]) -> Any:
    if isinstance(x, np.ndarray | DeviceArray):
        return array(x)
    if isinstance(x, Target):  # is_crowd stays on the host
        fields = {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}
        moved = {k: v if k == "is_crowd" else _moved(v, array) for k, v in fields.items()}
        return type(x)(**moved)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = {f.name: _moved(getattr(x, f.name), array) for f in dataclasses.fields(x)}
        return x if all(v is getattr(x, k) for k, v in fields.items()) else type(x)(**fields)
    if isinstance(x, list | tuple) and not hasattr(x, "_fields"):
        return type(x)(_moved(each, array) for each in x)
    return x


def _to_device(x: Any) -> Any:
    return _moved(x, lambda a: a if isinstance(a, DeviceArray) else standin.asarray(a))


def _to_host(x: Any) -> Any:
    return _moved(x, lambda a: a.get()[()] if isinstance(a, DeviceArray) else a)


def _holds_tensor(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(map(_holds_tensor, x))
    return isinstance(x, Tensor)


def through(function: Callable) -> Callable:
    """The function, computed on the device."""

    @functools.wraps(function)
    def call(*arrays: Any, **settings: Any) -> Any:
        if _holds_tensor((*arrays, *settings.values())):
            return function(*arrays, **settings)
        given = {name: _to_device(value) for name, value in settings.items()}
        return _to_host(function(*map(_to_device, arrays), **given))

    return call


def _computes(value: Any) -> bool:
    return inspect.isfunction(value) and value.__module__.startswith(ROOMS)


class _Room:
    """A module of the library whose functions go through the device."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return through(value) if _computes(value) else value


def patches(module: types.ModuleType) -> dict[str, Any]:
    """What takes the place of what in a test file."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if _computes(value):
            found[name] = through(value)
        elif inspect.ismodule(value) and value.__name__.startswith("minirnn."):
            found[name] = _Room(value)
    return found
