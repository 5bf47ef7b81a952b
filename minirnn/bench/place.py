"""Where everything is timed: this processor, or a GPU, ours through CuPy and the others through torch.

On a GPU a comparison is only fair with the same arithmetic on both sides. cuDNN multiplies float32 with
TF32 unless it is told not to, and cuBLAS the other way round; so both sides are told, and both are asked
what came of it, by a product that shows it. Each side gets its arrays on the device, and its own clock
there.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from minirnn.backend import library_of
from minirnn.bench.clock import Clock, EventClock, HostClock
from minirnn.bench.peers import TORCH, TORCHVISION, torchvision_is_compiled
from minirnn.errors import InputError
from minirnn.verify.drawing import mapped
from minirnn.verify.references import Reference

#: torch's name for the GPU.
GPU = "cuda"
#: With TF32 each factor is off by 2⁻¹¹ of itself at most, and Winograd's transforms make it 25 times as
#: much (found: 0.0095 of the largest result, see docs/gpu.md). Theirs err, too.
_TF32_TOLERANCE = 2e-2
_SIDE = 8192  # of the matrices whose product shows what the GPU can


@dataclass(frozen=True)
class Place:
    """Where everything is timed.

    Attributes:
        device: "cpu" or "cuda".
        xp: the array library of our side.
        tf32: whether float32 products may be made with TF32, on both sides.
    """

    device: str = "cpu"
    xp: Any = np
    tf32: bool = False

    @classmethod
    def of(cls, device: str, tf32: bool = False) -> Place:
        """A place that is there.

        Raises:
            InputError: there is no such device, or TF32 is asked for on a processor, which has none.
        """
        if tf32 and device == "cpu":
            raise InputError("--tf32 goes with --device cuda: a processor has no TF32")
        return cls(device, library_of(device), tf32)

    @property
    def is_gpu(self) -> bool:
        """Whether it is one."""
        return self.device != "cpu"

    @property
    def torch(self) -> str:
        """torch's name of the device."""
        return GPU if self.is_gpu else "cpu"

    def arrays(self, value: Any) -> Any:
        """A value with its arrays on the device, there in the order of their axes."""
        if not self.is_gpu:
            return value
        return mapped(value, lambda array: self.xp.asarray(np.ascontiguousarray(array)))

    def why_not(self, reference: Reference) -> str | None:
        """Why a library cannot be compared with on a GPU; None where it can, and for a processor."""
        if not self.is_gpu:
            return None
        if reference not in (TORCH, TORCHVISION):
            return "computes on the processor; leave out --device cuda"
        missing = reference.missing()
        if missing:
            return missing
        import torch

        if not torch.cuda.is_available():
            return (
                f"torch {torch.__version__} finds no GPU; one that is compiled for CUDA does: "
                "pip install --force-reinstall torch torchvision"
            )
        if reference is TORCHVISION and not torchvision_is_compiled():
            return "its own operators do not load beside this torch; install the two together"
        return None

    def tolerance(self, usual: float) -> float:
        """What an operation's answers may be apart, of the largest number."""
        return max(usual, _TF32_TOLERANCE) if self.tf32 else usual

    def tolerance_of_networks(self, usual: float) -> float:
        """The same of whole networks. With TF32 it is only said: a near tie may fall either way."""
        return math.inf if self.tf32 else usual

    def torch_default(self) -> AbstractContextManager[Any]:
        """Inside, torch makes new tensors on the device. For preparing only: it slows each call down."""
        if not self.is_gpu or find_spec("torch") is None:
            return nullcontext()
        import torch

        return torch.device(self.torch)

    @property
    def our_clock(self) -> Clock:
        """The clock of what we compute."""
        return cupy_clock(self.xp) if self.is_gpu else HostClock()

    def clocks(self, names: Sequence[str]) -> dict[str, Clock]:
        """The clocks of the contestants on a GPU: "ours" has CuPy's events, the others torch's."""
        if not self.is_gpu:
            return {}
        clocks: dict[str, Clock] = {"ours": self.our_clock}
        return clocks | {name: torch_clock() for name in names if name != "ours"}

    @contextmanager
    def ready(self) -> Iterator[dict[str, Any]]:
        """Inside, both sides compute with the arithmetic that was asked for.

        Yields:
            what there is to say of it, for the line on the machine; empty on a processor.

        Raises:
            InputError: one of them does not.
        """
        if not self.is_gpu:
            yield {}
            return
        from minirnn.kernels.cuda.precision import digits_of_products, tf32

        with ExitStack() as stack:
            stack.enter_context(tf32(self.xp, self.tf32))
            theirs = stack.enter_context(torch_arithmetic(self.tf32)) if _torch_is_there() else {}
            wanted = "TF32" if self.tf32 else "float32"
            products = {"ours": digits_of_products(self.xp), **theirs}
            other = [
                f"{who}: {what} in {found}"
                for who, kinds in products.items()
                for what, found in kinds.items()
                if found != wanted
            ]
            if other:
                raise InputError(
                    f"not the same arithmetic: {wanted} was asked for, but {'; '.join(other)}"
                )
            rate = product_rate(self.xp)
            yield {"gpu": name_of(self.xp), "products": wanted, "matrix_product_gflops": rate}

    def peak(self, name: str, run: Callable[[], Any]) -> tuple[int, int]:
        """Bytes of the GPU's memory that a contestant has before it is called, and at most while it runs.

        CuPy and torch both keep what they have taken; so it is how much they had to take. It is called
        twice: the second step of training has its velocities, too.
        """
        gc.collect()
        if name == "ours":
            pool = self.xp.get_default_memory_pool()
            pool.free_all_blocks()
            before = pool.used_bytes()
            run()
            run()
            return before, pool.total_bytes()
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        run()
        return before, torch.cuda.max_memory_reserved()


#: This processor.
HERE = Place()


def name_of(xp: Any) -> str:
    """What the GPU is called."""
    name = xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"]
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def product_rate(xp: Any, repeat: int = 5) -> float:
    """GFLOP/s of cuBLAS for a product of two large float32 matrices, with the arithmetic that is set."""
    a = xp.ones((_SIDE, _SIDE), xp.float32)
    clock, best = cupy_clock(xp), float("inf")
    a @ a
    for _ in range(repeat):
        first = clock.mark()
        a @ a
        best = min(best, clock.seconds(first, clock.mark()))
    return round(2 * _SIDE**3 / best / 1e9, 1)


def _torch_is_there() -> bool:
    if TORCH.missing():
        return False
    import torch

    return torch.cuda.is_available()


def cupy_clock(xp: Any) -> EventClock:
    """A clock of CuPy's current stream."""
    return EventClock(xp.cuda.Event, xp.cuda.get_elapsed_time)


def torch_clock() -> EventClock:
    """A clock of torch's current stream."""
    import torch

    return EventClock(
        lambda: torch.cuda.Event(enable_timing=True), lambda first, last: first.elapsed_time(last)
    )


@contextmanager
def torch_arithmetic(tf32: bool) -> Iterator[dict[str, dict[str, str]]]:
    """Inside, torch's products are made with TF32, or without; and cuDNN takes the fastest of its ways.

    Yields:
        how they are made, by what is multiplied; see `precision.digits_of_products`.
    """
    import torch

    cublas, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cublas.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    cublas.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = tf32, tf32, True
    try:
        yield {"torch": _digits_of_torch()}
    finally:
        cublas.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def _digits_of_torch() -> dict[str, str]:
    import torch

    one = torch.eye(64, device=GPU)
    almost = one * (1 + 2.0**-12)  # TF32 has no bit for it
    maps, kernel = torch.zeros(8, 64, 32, 32, device=GPU) + (1 + 2.0**-12), one[:, :, None, None]
    found = {
        "products of matrices": almost @ one,
        "convolutions": torch.nn.functional.conv2d(maps, kernel),
    }
    exact = 1 + 2.0**-12
    return {
        what: "float32" if float(y.flatten()[0]) == exact else "TF32" for what, y in found.items()
    }
