"""Starting a kernel written in CUDA C: from a .cu file to a call.

    run("paste.cu", "paste", threads, masks, height, …)

A .cu file is compiled when it is first needed, by NVRTC through CuPy, for float32 and float64 apart (REAL
in the sources), and kept by CuPy in a folder of the user's (~/.cupy/kernel_cache), so that the next process
finds it. What kernels take: arrays as their addresses, whole numbers as `long long`, others as `double`.
All places in memory are counted in 64 bits, so that an array may have more than 2³¹ numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError

BLOCK = 256  # threads of a block, where nothing asks for another number
#: Without fused multiply-add, which rounds once where NumPy rounds twice.
OPTIONS = ("--std=c++17", "--fmad=false")
ATOMICS = "MINIRNN_ATOMICS"  # in the environment: 1 adds gradients in any order

Number = int | float | np.number
KINDS = {"float32": "float", "float64": "double"}


def _by_nvrtc(text: str, options: tuple[str, ...]) -> Any:
    import cupy

    try:
        module = cupy.RawModule(code=text, options=options)
        module.compile()
        return module
    except Exception as error:  # CuPy's errors have no common class
        raise InputError(
            f"a CUDA kernel could not be compiled ({type(error).__name__}: {str(error)[:300]}); "
            "`minirnn devices` says what is missing, and MINIRNN_KERNELS=plain does without"
        ) from error


#: By the library of an array: what makes a module of a source, with `get_function(name)`.
COMPILERS: dict[str, Callable[[str, tuple[str, ...]], Any]] = {"cupy": _by_nvrtc}


def sources() -> list[str]:
    """The names of all .cu files."""
    return sorted(path.name for path in Path(__file__).parent.glob("*.cu"))


@cache
def source_of(file: str) -> str:
    """The text of a .cu file, with what it includes put in its place."""
    folder = Path(__file__).parent
    text = (folder / file).read_text("utf-8")
    return re.sub(
        r'#include "(\w+\.cuh)"', lambda found: (folder / found[1]).read_text("utf-8"), text
    )


def options_for(dtype: Any) -> tuple[str, ...]:
    """What the compiler is told, for numbers of a type."""
    return (*OPTIONS, f"-DREAL={KINDS[np.dtype(dtype).name]}")


def suits(*arrays: Array | None) -> bool:
    """Whether all arrays are of one type that there are kernels for."""
    kinds = {array.dtype.name for array in arrays if array is not None}
    return len(kinds) == 1 and kinds <= set(KINDS)


def atomics() -> bool:
    """Whether gradients may be added in any order: faster, but the last digits differ from run to run."""
    return os.environ.get(ATOMICS) == "1"


def run(
    file: str,
    function: str,
    count: int,
    *arguments: Any,
    dtype: Any,
    grid: Sequence[int] | None = None,
    block: int = BLOCK,
) -> None:
    """Start a kernel; nothing is waited for.

    Args:
        file: name of the .cu file.
        function: name of the kernel in it.
        count: threads that are needed; where it is 0, nothing is started.
        arguments: contiguous arrays of one device, and numbers.
        dtype: of REAL.
        grid: blocks along x, y, z; None for as many as `count` threads need.
        block: threads of a block.
    """
    if count == 0:
        return
    arrays = [argument for argument in arguments if not isinstance(argument, Number)]
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError(f"{function}: an array of shape {array.shape} is not contiguous")
    xp = xp_of(*arrays)
    kernel = _function(COMPILERS[xp.__name__], source_of(file), options_for(dtype), function)
    blocks = tuple(grid) if grid is not None else (-(-count // block),)
    kernel(blocks, (block,), tuple(_argument(argument) for argument in arguments))


def addresses(xp: Any, arrays: Sequence[Array]) -> Array:
    """Where arrays lie, as an array of the device; keep them until the kernel is started.

    (Memory that CuPy frees after that is given to work behind it in the stream.)
    """
    return xp.asarray(np.array([array.data.ptr for array in arrays], np.int64))


@cache
def _function(compiler: Callable, text: str, options: tuple[str, ...], name: str) -> Any:
    # CuPy loads a module anew on each GPU that it is called on, so one will do for all of them.
    return _module(compiler, text, options).get_function(name)


@cache
def _module(compiler: Callable, text: str, options: tuple[str, ...]) -> Any:
    return compiler(text, options)


def _argument(argument: Any) -> Any:
    if not isinstance(argument, Number):
        return argument
    return np.int64(argument) if isinstance(argument, int | np.integer) else np.float64(argument)
