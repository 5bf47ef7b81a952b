"""A machine with a GPU, for whoever asks: `cupy` is the stand-in, with what a GPU has besides arrays.

    def test_it(gpu): …              the fixture of conftest.py; with torch_on_it, torch has one, too

Its kernels are built for the host (`cuda_shim`). Its clock's events see the processor's time, and are
refused where CuPy or torch would refuse them. Products obey both of CuPy's switches of TF32 as CuPy 14.2
does: of two matrices the compute type of their dtype, all others the mode of cuBLAS's handle. torch stays
on the processor: "cuda" is "cpu" there, and what it would do on a GPU is torch's own business.
"""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import numpy as np
import pytest
from standin import DeviceArray, standin

from minirnn.bench import place
from minirnn.kernels.tf32 import rounded


class Event:
    """An event of CuPy's or torch's; one that was not recorded has no time."""

    def __init__(self, enable_timing: bool = True) -> None:
        self.at: float | None = None
        self.done = False

    def record(self, stream: Any = None) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        assert self.at is not None, "an event that was not recorded is waited for"
        self.done = True

    def elapsed_time(self, last: Event) -> float:
        assert self.at is not None
        assert last.at is not None
        assert last.done, "the GPU has not come to the event yet"
        return max(
            (last.at - self.at) * 1e3, 1e-3
        )  # a GPU's clock stands still for half a microsecond


class Pool:
    """CuPy's pool of memory."""

    def __init__(self) -> None:
        self.freed = 0

    def free_all_blocks(self) -> None:
        self.freed += 1

    def used_bytes(self) -> int:
        return 10 * 2**20

    def total_bytes(self) -> int:
        return 30 * 2**20


class FakeGpu:
    """What the switches are set to, and who asked.

    Attributes:
        compute_type: of products of two matrices, 1 for the default, 7 for TF32.
        math_mode: of cuBLAS's handle, 0 for the default, 3 for TF32.
        has_tf32: whether the chip is new enough for it.
    """

    def __init__(self) -> None:
        self.compute_type, self.math_mode, self.has_tf32 = 1, 0, True
        self.pool = Pool()

    def product(self, a: Any, b: Any) -> Any:
        of_two = a.ndim <= 2 and b.ndim <= 2
        low = (self.compute_type == 7 if of_two else self.math_mode == 3) and self.has_tf32
        factors = [x._array for x in (a, b)]
        if low and all(x.dtype == np.float32 for x in factors):
            factors = [rounded(x) for x in factors]
        return DeviceArray(factors[0] @ factors[1])

    def _set_compute_type(self, dtype: Any, kind: int) -> None:
        assert np.dtype(dtype) == np.float32
        self.compute_type = kind

    def _set_math_mode(self, handle: int, mode: int) -> None:
        assert handle == 4711
        self.math_mode = mode

    def modules(self) -> dict[str, types.ModuleType]:
        """What `import` finds."""
        linalg = {"COMPUTE_TYPE_DEFAULT": 1, "COMPUTE_TYPE_TF32": 7}
        cublas = {"CUBLAS_DEFAULT_MATH": 0, "CUBLAS_TF32_TENSOR_OP_MATH": 3}
        contents: dict[str, dict[str, Any]] = {
            "cupy._core": {},
            "cupy._core._routines_linalg": {**linalg, "set_compute_type": self._set_compute_type},
            "cupy_backends": {},
            "cupy_backends.cuda": {},
            "cupy_backends.cuda.libs": {},
            "cupy_backends.cuda.libs.cublas": {**cublas, "setMathMode": self._set_math_mode},
        }
        made = {name: types.ModuleType(name) for name in contents}
        for name, values in contents.items():
            vars(made[name]).update(values)
            parent, _, own = name.rpartition(".")
            if parent in made:
                setattr(made[parent], own, made[name])
        return made

    def cuda(self) -> types.SimpleNamespace:
        """`cupy.cuda`."""
        return types.SimpleNamespace(
            is_available=lambda: True,
            Event=Event,
            get_elapsed_time=lambda first, last: first.elapsed_time(last),
            get_cublas_handle=lambda: 4711,
            Device=lambda: types.SimpleNamespace(id=0),
            runtime=types.SimpleNamespace(getDeviceProperties=lambda number: {"name": b"Fake GPU"}),
        )

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
        """The machine has one for the rest of a test."""
        gpu = cls()
        monkeypatch.setitem(sys.modules, "cupy", standin)
        for name, module in gpu.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
        for name, value in {
            "cuda": gpu.cuda(),
            "get_default_memory_pool": lambda: gpu.pool,
            "__path__": [],
        }.items():
            monkeypatch.setattr(standin, name, value, raising=False)
        monkeypatch.setattr(DeviceArray, "__matmul__", lambda a, b: gpu.product(a, b))
        monkeypatch.setattr(place, "_SIDE", 64)
        return gpu


def give_torch_one(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch, as if it were compiled for CUDA and its "cuda" were the processor."""
    from minirnn.verify.torchvision_cpu import import_torchvision, missing

    if missing():
        pytest.skip(str(missing()))
    import_torchvision()
    import torch

    monkeypatch.setattr(place, "GPU", "cpu")
    monkeypatch.setattr(place, "torchvision_is_compiled", lambda: True)
    for name, value in {
        "is_available": lambda: True,
        "Event": Event,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda: None,
        "memory_allocated": lambda: 2**20,
        "max_memory_reserved": lambda: 3 * 2**20,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return torch
