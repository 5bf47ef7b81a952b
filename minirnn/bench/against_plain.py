"""What each kernel buys: the operation's plain form beside it, in the same run, forward and backward.

The inputs are those of a network at work on a middling picture, small enough that the plain forms end soon.
A test compares the names here with the table of kernels, so that none is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from minirnn import kernels
from minirnn.bench.clock import take_turns
from minirnn.bench.machine import threads_limited_to
from minirnn.errors import InputError
from minirnn.kernels.report import every_operation
from minirnn.ops.roi_regions import Side
from minirnn.ops.shape import arranged

Case = Callable[[np.random.Generator], tuple[tuple, dict[str, Any]]]


@dataclass(frozen=True)
class Bought:
    """Seconds of one operation, as medians; None for a way back that it does not have."""

    name: str
    kernel: float
    plain: float
    kernel_backward: float | None = None
    plain_backward: float | None = None

    @property
    def ratio(self) -> float:
        """How much of the plain form's time the kernel takes, forward and backward together."""
        ours = self.kernel + (self.kernel_backward or 0)
        return ours / (self.plain + (self.plain_backward or 0))


def measure(
    only: Sequence[str] = (),
    *,
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Bought]:
    """Time every kernel beside the plain form.

    Args:
        only: operations whose name holds one of these texts; none for all.
        repeat: timed turns of each.
        threads: that each may use.
        seed: draws the inputs.
        progress: called with what comes next, how many are done, and how many there are.

    Raises:
        InputError: no operation has such a name.
    """
    table = every_operation()
    chosen = [
        (name, make)
        for name, make in CASES.items()
        if not only or any(text.lower() in name for text in only)
    ]
    if not chosen:
        raise InputError(f"no operation is named {' or '.join(only)}; there are {', '.join(CASES)}")
    found = []
    with threads_limited_to(threads):
        for number, (name, make) in enumerate(chosen):
            if progress:
                progress(name, number, len(chosen))
            arrays, settings = make(np.random.default_rng(seed))
            found.append(_timed(name, table[name.partition(" ")[0]], arrays, settings, repeat))
    return found


def _timed(name: str, entry: Any, arrays: tuple, settings: dict[str, Any], repeat: int) -> Bought:
    def run(plainly: bool) -> Any:
        if plainly:
            with kernels.plain():  # what it calls in its turn is plain, too
                return entry.plain(*arrays, **settings)
        return entry.chosen(arrays, settings)(*arrays, **settings)

    results = {plainly: run(plainly) for plainly in (False, True)}
    forward = take_turns({"kernel": lambda: run(False), "plain": lambda: run(True)}, repeat)
    times = [median(forward.seconds[who]) for who in ("kernel", "plain")]
    if not isinstance(results[False], tuple):
        return Bought(name, *times)
    dy = np.ones_like(results[False][0])

    def back(plainly: bool) -> None:
        vjps = results[plainly][1]
        again = dy.view()  # another object: what the last call remembered does not count
        with kernels.plain() if plainly else nullcontext():
            for vjp in vjps if isinstance(vjps, tuple) else (vjps,):
                if vjp is not None:
                    vjp(again)

    backward = take_turns({"kernel": lambda: back(False), "plain": lambda: back(True)}, repeat)
    return Bought(name, *times, *(median(backward.seconds[who]) for who in ("kernel", "plain")))


def as_text(found: Sequence[Bought]) -> str:
    """A row for each operation: milliseconds forward and backward, and the ratio of both together."""
    rows = [
        f"{'operation':34} {'kernel ms':>10} {'plain ms':>10} {'back ms':>9} {'plain ms':>10} {'ratio':>7}"
    ]
    for row in found:
        back = (
            f"{1e3 * row.kernel_backward:9.2f} {1e3 * (row.plain_backward or 0):10.2f}"
            if row.kernel_backward is not None
            else f"{'':9} {'':10}"
        )
        rows.append(
            f"{row.name:34} {1e3 * row.kernel:10.2f} {1e3 * row.plain:10.2f} {back} {row.ratio:7.3f}"
        )
    return "\n".join(rows)


def as_records(found: Sequence[Bought]) -> list[dict[str, Any]]:
    """The same for JSON, in seconds."""
    return [{**asdict(row), "ratio": row.ratio} for row in found]


def _maps(rng: np.random.Generator, n: int, c: int, h: int, w: int) -> np.ndarray:
    """(N, C, H, W), lying as maps do between operations: channels last."""
    return rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2)


def _numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) in a picture of 640 x 480, in bunches, as proposals are."""
    centres = rng.uniform(0, (640, 480), (max(count // 20, 1), 2))[
        rng.integers(0, max(count // 20, 1), count)
    ]
    centres = centres + rng.normal(0, 10, (count, 2))
    half = rng.uniform(8, 80, (count, 2))
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def _conv(
    c: int, o: int, side: int, size: tuple[int, int], add: bool = False, **settings: Any
) -> Case:
    def make(rng: np.random.Generator) -> tuple[tuple, dict[str, Any]]:
        arrays = (
            _maps(rng, 1, c, *size),
            arranged(_numbers(rng, o, c, side, side)),
            _numbers(rng, o),
        )
        added = (_maps(rng, 1, o, *size),) if add else ()
        return (*arrays, *added), {"padding": side // 2, "relu": True, **settings}

    return make


def _regions(count: int, **settings: Any) -> Case:
    def make(rng: np.random.Generator) -> tuple[tuple, dict[str, Any]]:
        index = np.zeros(count, np.int64)
        shared = {"output_size": 7, "spatial_scale": 1 / 8}
        return (_maps(rng, 1, 256, 60, 80), _boxes(rng, count), index), {**shared, **settings}

    return make


def _sampled(rng: np.random.Generator) -> tuple[tuple, dict[str, Any]]:
    (maps, boxes, index), _ = _regions(200)(rng)
    columns, rows = (
        Side.of(boxes[:, k] / 8, (boxes[:, k + 2] - boxes[:, k]) / 8, 7, 2) for k in (0, 1)
    )
    return (maps, rows, columns, index, (7, 7), "mean"), {}


def _cropped(rng: np.random.Generator) -> tuple[tuple, dict[str, Any]]:
    masks = np.zeros((10, 480, 640), bool)
    masks[:, 100:300, 150:500] = True
    return (masks, _boxes(rng, 64), rng.integers(0, 10, 64)), {}


CASES: dict[str, Case] = {
    "arranged": lambda rng: ((_numbers(rng, 256, 256, 3, 3),), {}),
    "flatten": lambda rng: ((_maps(rng, 200, 256, 7, 7),), {}),
    "relu": lambda rng: ((_maps(rng, 1, 256, 60, 80),), {}),
    "conv2d 3x3": _conv(64, 64, 3, (120, 160)),
    "conv2d 1x1 + shortcut": _conv(64, 256, 1, (120, 160), add=True),
    "conv2d 7x7/2": _conv(3, 64, 7, (480, 640), stride=2),
    "conv_transpose2d 2x2/2": lambda rng: (
        (_maps(rng, 20, 256, 14, 14), arranged(_numbers(rng, 256, 256, 2, 2)), _numbers(rng, 256)),
        {"stride": 2, "relu": True},
    ),
    "linear": lambda rng: (
        (_numbers(rng, 200, 12544), arranged(_numbers(rng, 256, 12544)), _numbers(rng, 256)),
        {"relu": True},
    ),
    "group_norm": lambda rng: (
        (_maps(rng, 1, 256, 60, 80), _numbers(rng, 256), _numbers(rng, 256)),
        {"groups": 32, "relu": True},
    ),
    "max_pool2d": lambda rng: (
        (_maps(rng, 1, 64, 240, 320),),
        {"kernel": 3, "stride": 2, "padding": 1},
    ),
    "avg_pool2d": lambda rng: ((_maps(rng, 1, 64, 240, 320),), {"kernel": 2}),
    "nearest": lambda rng: ((_maps(rng, 1, 256, 30, 40),), {"size": (60, 80)}),
    "bilinear": lambda rng: ((_maps(rng, 1, 3, 480, 640),), {"size": (800, 1066)}),
    "roi_pool": _regions(200),
    "sample_regions": _sampled,
    "intersection": lambda rng: ((_boxes(rng, 20000), _boxes(rng, 20)), {}),
    "iou": lambda rng: ((_boxes(rng, 20000), _boxes(rng, 20)), {}),
    "match": lambda rng: ((rng.random((20, 80000), dtype=np.float32), 0.3, 0.7), {}),
    "crop": _cropped,
    "paste": lambda rng: (
        (rng.random((50, 28, 28), dtype=np.float32), _boxes(rng, 50), 480, 640),
        {},
    ),
    "run_lengths": lambda rng: (
        (np.pad(np.ones((200, 150), bool), ((100, 180), (90, 400))),),
        {},
    ),
    "sgd_step": lambda rng: (
        tuple(_numbers(rng, 256, 12544) for _ in range(3)),
        {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    ),
    "nms": lambda rng: ((_boxes(rng, 2000), rng.random(2000, dtype=np.float32), 0.7), {}),
    "batched_nms": lambda rng: (
        (
            _boxes(rng, 4000),
            rng.random(4000, dtype=np.float32),
            rng.integers(0, 5, 4000),
            0.7,
        ),
        {"at_most": 1000},
    ),
}
