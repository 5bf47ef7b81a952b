"""The machine: what it is, how fast it multiplies matrices, and how much memory a process took."""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench import coretype

_SIDE = 2048  # of the matrices: large enough for full speed, small enough for a tenth of a second
_THREADS = "MINIRNN_THREADS"
#: Whose versions matter.
_PACKAGES = (
    *("numpy", "scipy", "torch", "torchvision", "onnx", "onnxruntime", "pycocotools"),
    *("cupy-cuda12x", "cupy-cuda13x"),
)


@contextmanager
def threads_limited_to(count: int) -> Iterator[None]:
    """Inside, our loops, BLAS and (if it is imported) torch use so many threads each.

    ONNX Runtime takes its number with each session; see `peers.onnx_session`.
    """
    from threadpoolctl import threadpool_limits

    before = os.environ.get(_THREADS)
    torch = sys.modules.get("torch")
    torch_before = torch.get_num_threads() if torch else 0
    os.environ[_THREADS] = str(count)
    if torch:
        torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        if torch:
            torch.set_num_threads(torch_before)
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def environment(threads: int) -> dict[str, str]:
    """The environment of a child process that may use so many threads."""
    count = str(threads)
    limits = dict.fromkeys((_THREADS, "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), count)
    return {**os.environ, **limits}


def matrix_product_rate(repeat: int = 5, side: int = _SIDE) -> float:
    """GFLOP/s of NumPy's own product of two float32 matrices: what BLAS reaches here, at best.

    Args:
        repeat: products; the fastest counts.
        side: of the square matrices.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), np.float32) for _ in range(2))
    out = a @ b
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def describe(threads: int, packages: Sequence[str] = _PACKAGES) -> dict[str, Any]:
    """What a reader of the figures needs to know of the machine.

    Args:
        threads: that each contestant may use.
        packages: whose versions matter; those that are not installed are left out.
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "python": platform.python_version(),
        "versions": versions,
        "matrix_product_gflops": round(matrix_product_rate(), 1),
        "blas": blas_in_use(),
    }


def blas_in_use() -> str:
    """The library behind NumPy's matrix products, and which processor its kernels are written for.

    OpenBLAS chooses the newest kernels that the processor can run, unless OPENBLAS_CORETYPE names
    older ones; see `minirnn.bench.coretype`.
    """
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    names = dict.fromkeys(
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown')} kernels)"
        for info in found
    )
    return (", ".join(names) or "unknown") + coretype.note()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "unknown"
    )


def memory_now() -> int:
    """Bytes of main memory that this process has at the moment (on macOS: has had at most)."""
    return _status("VmRSS") or memory_peak()


def memory_peak() -> int:
    """Bytes of main memory that this process and its helpers have had at most, each for itself.

    `ru_maxrss` would do, but on Linux a child starts with its parent's.
    """
    found = _status("VmHWM")
    if found:
        helpers = multiprocessing.active_children()
        return found + sum(_status("VmHWM", str(helper.pid)) for helper in helpers)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(field: str, process: str = "self") -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{field}:")), 0)
