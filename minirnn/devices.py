"""What this machine can compute on: what is there, what is missing, and the line that installs it.

The driver is asked directly, so that there is an answer before CuPy is installed.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from minirnn.kernels.cuda.launch import ATOMICS, atomics, sources
from minirnn.kernels.report import plain_on
from minirnn.kernels.table import plain_only
from minirnn.kernels.threads import thread_count

_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_NAME, _MAJOR, _MINOR = 256, 75, 76  # bytes of a name; the attributes of compute capability
OLDEST = 75  # the compute capability, times ten, that the kernels are compiled and tested for


@dataclass
class Gpu:
    """A GPU, as the driver tells of it.

    Attributes:
        name: the chip's.
        memory: bytes, in all.
        capability: compute capability times ten, 90 for 9.0.
    """

    name: str
    memory: int
    capability: int


@dataclass
class Devices:
    """What there is to compute on.

    Attributes:
        processor: of this machine, and how many threads are used on it.
        driver: the newest CUDA version that the driver knows, times ten (128 for 12.8); None without one.
        gpus: those that the driver finds.
        cupy: version of CuPy; None where it is not installed.
        missing: what "cuda" lacks, each with what to do; empty where it can be used.
        notes: how a GPU would compute.
    """

    processor: str
    driver: int | None
    gpus: list[Gpu]
    cupy: str | None
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"cuda_usable": not self.missing, **asdict(self)}

    def as_text(self) -> str:
        """Some lines to read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"cpu    ready: {self.processor}"
        yield f"cuda   {'not usable, see below' if self.missing else 'ready'}"
        driver = f"for CUDA {self.driver / 10:g}" if self.driver else "none found"
        yield f"       driver: {driver}"
        for gpu in self.gpus:
            size, capability = gpu.memory / 2**30, gpu.capability / 10
            yield f"       {gpu.name}: {size:.1f} GiB, compute capability {capability:g}"
        yield f"       CuPy: {self.cupy or 'not installed'}"
        for note in self.notes:
            yield f"       {note}"
        for missing in self.missing:
            yield f"missing for cuda: {missing}"


def devices() -> Devices:
    """Look what there is, asking the driver, and CuPy where it is installed."""
    found = _Driver.ask()
    threads = thread_count()
    processor = f"{platform.machine() or 'unknown'}, {threads} thread{'s' * (threads > 1)}"
    result = Devices(processor, found.version, found.gpus, _version_of_cupy())
    result.missing += _missing(result)
    if not result.missing:
        result.missing += _refused_by_cupy()
    result.notes.append(f"gradients of regions: {order_of_gradients()}")
    result.notes.append(f"plain forms for want of a kernel: {without_kernel()}")
    how = "none (MINIRNN_KERNELS=plain)" if plain_only() else f"{len(sources())} files of CUDA C"
    result.notes.append(f"kernels: {how}; no GPU has run them yet, see docs/gpu.md")
    return result


def without_kernel() -> str:
    """What a GPU computes plainly, for want of a kernel."""
    return f"{', '.join(plain_on('cuda'))}; and convolutions in groups, but for depthwise ones"


def order_of_gradients() -> str:
    """In which order a GPU adds up what several regions have of one cell, and what follows from that."""
    if atomics():
        return f"added in any order, so that runs differ in their last digits ({ATOMICS}=1)"
    return "gathered in a fixed order, so that runs repeat"


def install_line(driver: int | None) -> str:
    """What installs CuPy for a driver, in the folder of the clone."""
    extra = "cuda13" if driver is not None and driver >= 130 else "cuda12"
    return f"pip install '.[{extra}]'"


def _missing(found: Devices) -> Iterator[str]:
    if found.driver is None:
        yield "NVIDIA's driver, from your system's packages or nvidia.com (a container needs --gpus all)"
    elif not found.gpus:
        yield "a GPU: the driver finds none (CUDA_VISIBLE_DEVICES hides them where it is set)"
    elif max(gpu.capability for gpu in found.gpus) < OLDEST:
        yield f"a newer GPU: the kernels need compute capability {OLDEST / 10:g}"
    if found.driver is not None and found.driver < 120:
        yield f"a newer driver: CuPy needs one for CUDA 12, this one is for {found.driver / 10:g}"
    if found.cupy is None:
        choice = "" if found.driver else ", or '.[cuda13]' where the driver is for CUDA 13"
        yield f"CuPy: {install_line(found.driver)}{choice}, in the folder of the clone"


def _version_of_cupy() -> str | None:
    for name in ("cupy-cuda12x", "cupy-cuda13x", "cupy"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _refused_by_cupy() -> Iterator[str]:
    """What a first computation on the GPU says, where everything seems to be there."""
    try:
        import cupy

        int(cupy.arange(3).sum())  # is compiled: the compiler and the headers have to be there
    except Exception as error:  # whatever CuPy, its compiler or the driver raises
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        yield f"a first computation fails ({words})"


@dataclass
class _Driver:
    """What NVIDIA's driver says."""

    version: int | None = None
    gpus: list[Gpu] = field(default_factory=list)

    @classmethod
    def ask(cls) -> _Driver:
        try:
            cuda = ctypes.CDLL(_DRIVERS[sys.platform])
            version = ctypes.c_int()
            if cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
                return cls()
            number = int(version.value)  # 12080 is CUDA 12.8
            return cls(number // 1000 * 10 + number % 1000 // 10, list(_gpus_of(cuda)))
        except (KeyError, OSError, AttributeError):
            return cls()


def _gpus_of(cuda: Any) -> Iterator[Gpu]:
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return
    for number in range(count.value):
        name, memory = ctypes.create_string_buffer(_NAME), ctypes.c_size_t()
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        cuda.cuDeviceGet(ctypes.byref(device), number)
        cuda.cuDeviceGetName(name, _NAME, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
        yield Gpu(
            name.value.decode("utf-8", "replace"), memory.value, 10 * major.value + minor.value
        )
