"""The CUDA kernels on the host: built by g++ with `cuda_shim.h`, called as CuPy calls them.

with on_host(): …        kernels of `minirnn.kernels.cuda` work on the stand-in's arrays
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import standin

from minirnn.kernels import table
from minirnn.kernels.cuda import launch

HERE = Path(__file__).parent
SANITIZE = "MINIRNN_SHIM_SANITIZE"  # in the environment: what is handed to -fsanitize
OPTIONS = ("-std=c++17", "-O1", "-g", "-w", "-shared", "-fPIC", "-ffp-contract=off")


def why_not() -> str | None:
    """Why nothing can be built here; None where it can."""
    if shutil.which("g++") is None:
        return "g++ is not installed; it builds the CUDA kernels for the host"
    return None


class HostModule:
    """One source, built for the host; `get_function(name)` is called with (grid, block, arguments)."""

    def __init__(self, text: str, options: tuple[str, ...]) -> None:
        names = re.findall(r"__global__ void (\w+)\(", text)
        waits = "true" if re.search(r"__syncthreads|__shfl", text) else "false"
        calls = [
            f'extern "C" void run_{name}(unsigned *sizes, void **arguments) '
            f"{{ shim::launch<&{name}>(sizes, arguments, {waits}); }}"
            for name in names
        ]
        self._library = ctypes.CDLL(str(_built("\n".join([text, *calls]), options)))

    def get_function(self, name: str) -> Callable[..., None]:
        function = self._library[f"run_{name}"]

        def run(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple) -> None:
            sizes = (ctypes.c_uint * 6)(*_three(grid), *_three(block))
            values = [_value(argument) for argument in arguments]
            places = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
            function(sizes, places)
            standin.launched()
            for argument in arguments:
                if isinstance(argument, standin.DeviceArray):
                    standin.flushed(argument._array)

        return run


def _three(sizes: tuple[int, ...]) -> tuple[int, int, int]:
    assert all(0 < n < 2**31 for n in sizes), sizes
    assert all(n < 2**16 for n in sizes[1:]), sizes  # so many a GPU takes along y and z
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]


def _value(argument: Any) -> Any:
    if isinstance(argument, standin.DeviceArray):
        return ctypes.c_void_p(argument.data.ptr)
    return {np.int64: ctypes.c_longlong, np.float64: ctypes.c_double}[type(argument)](
        argument.item()
    )


@cache
def _built(text: str, options: tuple[str, ...]) -> Path:
    folder = Path(_folder())
    source = folder / f"{abs(hash((text, options)))}.cc"
    source.write_text(f'#include "{HERE / "cuda_shim.h"}"\n{text}')
    kept = [option for option in options if option.startswith("-D")]
    checked = os.environ.get(SANITIZE)
    extra = [f"-fsanitize={checked}", "-fno-sanitize-recover=all"] if checked else []
    built = source.with_suffix(".so")
    subprocess.run(["g++", *OPTIONS, *kept, *extra, str(source), "-o", str(built)], check=True)
    return built


@cache
def _folder() -> str:
    import atexit

    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


@contextmanager
def on_host() -> Iterator[None]:
    """Inside, the stand-in's arrays are computed by the CUDA kernels."""
    before = dict(table.ROOMS), dict(launch.COMPILERS)
    table.add_room("standin", "cuda", "minirnn.kernels.cuda")
    launch.COMPILERS["standin"] = HostModule
    try:
        yield
    finally:
        for now, then in zip((table.ROOMS, launch.COMPILERS), before, strict=True):
            now.clear()
            now.update(then)
