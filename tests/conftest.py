"""Fixtures of the whole suite: array libraries, the COCO subset, and quiet, repeatable tools."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A shell starts a job in the background with Ctrl-C ignored, and its children inherit that. The tests
# of Ctrl-C must not depend on how they were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Both must be set before anything imports matplotlib or asks for the number of threads.
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # processes share the cores: one thread each
    os.environ.setdefault("MINIRNN_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ["MINIRNN_THREADS"])

import numpy as np
import pytest
import through_device
from hypothesis import HealthCheck, settings
from standin import standin

ROOT = Path(__file__).resolve().parent.parent

# An example's time says nothing on a shared machine; in CI the same examples are drawn every time.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def why_no_gpu() -> str | None:
    """Why tests on CuPy cannot run here; None where they can."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed (`minirnn devices` says how)"
    if not cupy.cuda.is_available():
        return "CuPy finds no NVIDIA GPU and driver"
    return None


@pytest.fixture(params=["numpy", "standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Any:
    """An array library: NumPy, the stand-in that refuses what CuPy refuses, and CuPy itself."""
    if request.param == "numpy":
        return np
    if request.param == "standin":
        return standin
    reason = why_no_gpu()
    if reason:
        pytest.skip(reason)
    import cupy

    return cupy


@pytest.fixture(scope="session")
def coco_subset() -> Path:
    """The folder with COCO's official layout: annotations/, train2017/, val2017/."""
    folder = Path(os.environ.get("MINIRNN_COCO_SUBSET") or ROOT.parent / "shared" / "coco-subset")
    if not (folder / "annotations").is_dir():
        pytest.skip(f"no COCO subset in {folder} (set MINIRNN_COCO_SUBSET to the folder)")
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The traps of the stages run on the stand-in as well, unless they ask for a library themselves."""
    is_trap = metafunc.function.__name__.startswith("test_trap_")
    is_drawn = hasattr(metafunc.function, "hypothesis")
    if is_trap and not is_drawn and metafunc.module.__name__ in through_device.FILES:
        if "xp" in metafunc.fixturenames:
            return
        metafunc.fixturenames.append("_device")
        metafunc.parametrize("_device", ["numpy", "standin"], indirect=True)


@pytest.fixture
def _device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the functions that a test file has imported compute."""
    if request.param == "standin":
        for name, value in through_device.patches(request.module).items():
            monkeypatch.setattr(request.module, name, value)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As if there were a GPU: `--device cuda` goes to the stand-in, with the CUDA kernels built by g++."""
    import cuda_shim
    from fake_gpu import FakeGpu

    if cuda_shim.why_not():
        pytest.skip(str(cuda_shim.why_not()))
    with cuda_shim.on_host():
        yield FakeGpu.installed(monkeypatch)


@pytest.fixture
def torch_on_it(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if torch had that GPU, too."""
    from fake_gpu import give_torch_one

    return give_torch_one(monkeypatch)
