"""What each kernel buys: the operation's plain form beside it, in the same run, forward and backward.

The inputs are those of a network at work on a middling picture, small enough that the plain forms end soon.
A test compares the names here with the table of kernels, so that none is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from minirnn import kernels
from minirnn.bench.case import Case, difference_in_length, relative_difference
from minirnn.bench.draws import crowds, maps, numbers, scores, shares, weights
from minirnn.bench.machine import describe, threads_limited_to
from minirnn.bench.report import Progress, Report, silent
from minirnn.bench.timing import Sum
from minirnn.errors import InputError
from minirnn.kernels.report import every_operation
from minirnn.ops.roi_regions import Side
from minirnn.verify.drawing import Case as Call
from minirnn.verify.drawing import Rng, case, drawn, whole

#: Tolerance of gradients. Where rounding moves one input of a ReLU in a million over 0, the gradient
#: changes by a thousandth of its length.
_BACKWARD = 1e-2


def run_against_plain(
    only: Sequence[str] = (),
    *,
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> Report:
    """Time every kernel beside the plain form.

    Args:
        only: operations whose name holds one of these texts; none for all.
        repeat: timed turns of each.
        threads: that each may use.
        seed: draws the inputs.
        progress: called with what comes next, how many are done, and how many there are.

    Returns:
        A row for each direction of each operation, and a sum of both.

    Raises:
        InputError: no operation has such a name.
    """
    chosen = [name for name in CASES if not only or any(text.lower() in name for text in only)]
    if not chosen:
        raise InputError(f"no operation is named {' or '.join(only)}; there are {', '.join(CASES)}")
    rows, sums = [], []
    with threads_limited_to(threads):
        machine = describe(threads)
        for number, name in enumerate(chosen):
            progress(name, number, len(chosen))
            own = [each.measure(repeat) for each in _cases(name, np.random.default_rng(seed))]
            rows += own
            sums.append(Sum.of(name, own))
    return Report("our kernels beside the plain forms", rows, machine, sums)


def _cases(name: str, rng: Rng) -> Iterator[Case]:
    entry = every_operation()[name.partition(" ")[0]]
    arrays, settings = CASES[name](rng)

    def run(plainly: bool) -> Any:
        if plainly:
            with kernels.plain():  # what it calls in its turn is plain, too
                return entry.plain(*arrays, **settings)
        return entry.chosen(arrays, settings)(*arrays, **settings)

    results = {plainly: run(plainly) for plainly in (False, True)}
    has_gradient = isinstance(results[False], tuple)

    def forward(plainly: bool) -> Any:
        return run(plainly)[0] if has_gradient else run(plainly)

    # An operation in place gives nothing to compare, and the tests of kernels do.
    compare = (lambda ours, plain: 0.0) if results[False] is None else relative_difference
    yield Case(f"{name} forward", "forward", *_both(forward), compare=compare)
    if not has_gradient:
        return
    dy = np.ones_like(results[False][0])

    def backward(plainly: bool) -> Any:
        vjps = results[plainly][1]
        again = dy.view()  # another object: what the last call remembered does not count
        with kernels.plain() if plainly else nullcontext():
            several = vjps if isinstance(vjps, tuple) else (vjps,)
            return [vjp(again) for vjp in several if vjp is not None]

    ways = _both(backward)
    yield Case(
        *(f"{name} backward", "backward", *ways), compare=difference_in_length, tolerance=_BACKWARD
    )


def _both(way: Callable[[bool], Any]) -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    return lambda: way(False), {"plain": lambda: way(True)}


_PICTURE = (480, 640)


def _conv(c: int, o: int, side: int, size: tuple[int, int], *add: Any, **settings: Any) -> Call:
    arrays = maps(1, c, *size), weights(o, c // settings.get("groups", 1), side, side), numbers(o)
    return case(*arrays, *add, padding=side // 2, relu=True, **settings)


@drawn
def _sampled(rng: Rng) -> Any:
    features, boxes = maps(1, 256, 60, 80)(rng), crowds(200, _PICTURE)(rng)
    columns, rows = (
        Side.of(boxes[:, k] / 8, (boxes[:, k + 2] - boxes[:, k]) / 8, 7, 2) for k in (0, 1)
    )
    return (features, rows, columns, np.zeros(200, np.int64), (7, 7), "mean"), {}


_OBJECTS = np.broadcast_to(
    np.pad(np.ones((200, 350), bool), ((100, 180), (150, 140))), (10, *_PICTURE)
)
_ONE_MASK = np.pad(np.ones((200, 150), bool), ((100, 180), (90, 400)))
_SGD = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
_ADAMW = {"step": 9, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

CASES: dict[str, Call] = {
    "arranged": case(numbers(256, 256, 3, 3)),
    "flatten": case(maps(200, 256, 7, 7)),
    "relu": case(maps(1, 256, 60, 80)),
    "relu6": case(maps(1, 256, 60, 80)),
    "conv2d 3x3": _conv(64, 64, 3, (120, 160)),
    "conv2d 1x1 + shortcut": _conv(64, 256, 1, (120, 160), maps(1, 256, 120, 160)),
    "conv2d 7x7/2": _conv(3, 64, 7, _PICTURE, stride=2),
    "conv2d depthwise 3x3": _conv(96, 96, 3, (120, 160), groups=96),
    "conv2d depthwise 5x5/2": _conv(96, 96, 5, (120, 160), groups=96, stride=2),
    "conv_transpose2d 2x2/2": case(
        *(maps(20, 256, 14, 14), weights(256, 256, 2, 2), numbers(256)), stride=2, relu=True
    ),
    "linear": case(numbers(200, 12544), weights(256, 12544), numbers(256), relu=True),
    "group_norm": case(maps(1, 256, 60, 80), numbers(256), numbers(256), groups=32, relu=True),
    "max_pool2d": case(maps(1, 64, 240, 320), kernel=3, stride=2, padding=1),
    "avg_pool2d": case(maps(1, 64, 240, 320), kernel=2),
    "nearest": case(maps(1, 256, 30, 40), size=(60, 80)),
    "bilinear": case(maps(1, 3, *_PICTURE), size=(800, 1066)),
    "roi_pool": case(
        *(maps(1, 256, 60, 80), crowds(200, _PICTURE), np.zeros(200, np.int64)),
        output_size=7,
        spatial_scale=1 / 8,
    ),
    "sample_regions": _sampled(),
    "intersection": case(crowds(20000, _PICTURE), crowds(20, _PICTURE)),
    "iou": case(crowds(20000, _PICTURE), crowds(20, _PICTURE)),
    "match": case(shares(20, 80000), 0.3, 0.7),
    "crop": case(_OBJECTS, crowds(60, _PICTURE), whole(0, 10, 60)),
    "paste": case(shares(60, 28, 28), crowds(60, _PICTURE), *_PICTURE),
    "run_lengths": case(_ONE_MASK),
    "adamw_step": case(*[numbers(256, 12544)] * 3, shares(256, 12544), **_ADAMW, weight_decay=0.01),
    "sgd_step": case(*[numbers(256, 12544)] * 3, **_SGD),
    "nms": case(crowds(2000, _PICTURE), scores(2000), 0.7),
    "batched_nms": case(
        *(crowds(4000, _PICTURE), scores(4000), whole(0, 5, 4000), 0.7), at_most=1000
    ),
}
