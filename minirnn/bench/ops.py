"""`minirnn bench ops`: every operation of the network alone, beside the compiled libraries' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minirnn.autograd import OPERATIONS
from minirnn.bench.case import BACKWARD_TOLERANCE, FORWARD_TOLERANCE, Case
from minirnn.bench.draws import boxes_in, maps, numbers, weights
from minirnn.bench.machine import describe, threads_limited_to
from minirnn.bench.ops_stages import anchor_cases, nms_cases, paste_cases, rle_cases
from minirnn.bench.peers import ONNX, PYCOCOTOOLS, TORCH, TORCHVISION, Peers
from minirnn.bench.place import HERE, Place
from minirnn.bench.report import Progress, Report, silent
from minirnn.bench.shapes import Convolution, convolutions, depthwise_convolutions
from minirnn.bench.timing import Sum
from minirnn.errors import InputError
from minirnn.kernels.cpu.memory import keep_freed
from minirnn.verify.drawing import Case as Call
from minirnn.verify.drawing import case, mapped

PEERS = (TORCH, ONNX, TORCHVISION, PYCOCOTOOLS)
#: Groups of rows with a sum over all of them, and how the sum is called.
_SUMS = {"conv": "convolutions", "depthwise": "depthwise convolutions of EfficientNet-Lite0 at 640"}
#: What makes the cases of one kind, and a text to find it by. Inputs are made when a case's turn comes.
Maker = tuple[str, Callable[[np.random.Generator], Iterator[Case]]]


@dataclass(frozen=True)
class Layer:
    """An operation with a gradient.

    Attributes:
        name: of its rows, to which the direction is added.
        group: likewise.
        operation: its name in `minirnn.autograd.OPERATIONS`, and in the tables of the references.
        call: draws its inputs and settings.
        flops: of one pass.
        count: how often the network does this.
        sees_image: its input is the photograph, which nobody wants a gradient of.
    """

    name: str
    group: str
    operation: str
    call: Call
    flops: float = 0.0
    count: int = 1
    sees_image: bool = False

    def cases(self, rng: np.random.Generator, peers: Peers, place: Place = HERE) -> Iterator[Case]:
        """The forward and the backward case."""
        inputs, settings = self.call(rng)
        raw = OPERATIONS[self.operation].raw  # type: ignore[attr-defined]
        # Theirs get the same numbers in the order in memory that they are used to.
        call = mapped(inputs, np.ascontiguousarray), settings
        inputs = place.arrays(inputs)
        not_peers, note = peers.stand_in(self.operation)
        yield Case(
            f"{self.name} forward",
            f"{self.group} forward",
            lambda: raw(*inputs, **settings)[0],
            peers.asked(self.operation, *call),
            flops=self.flops,
            count=self.count,
            tolerance=place.tolerance(FORWARD_TOLERANCE),
            not_peers=not_peers,
            note=note,
        )
        y, vjps = raw(*inputs, **settings)
        drawn = (maps if y.ndim == 4 else numbers)(*y.shape)(rng)
        dy = place.arrays(drawn)
        skipped = {0} if self.sees_image else set()
        chosen = {k: v for k, v in enumerate(vjps) if v is not None and k not in skipped}
        yield Case(
            f"{self.name} backward",
            f"{self.group} backward",
            lambda: tuple(vjp(dy) for vjp in chosen.values()),
            peers.gradients(self.operation, *call, list(chosen), [np.ascontiguousarray(drawn)]),
            flops=self.flops * sum(k < 2 for k in chosen),  # a bias takes no products
            count=self.count,
            tolerance=place.tolerance(BACKWARD_TOLERANCE),
            not_peers=not_peers,
            note="without the gradient of x" if self.sees_image else note,
        )


def layers(size: tuple[int, int]) -> list[Layer]:
    """The layers of the network for a canvas of this height and width, in its order."""
    found = [
        *(_convolution(*each, "conv") for each in convolutions(*size).items()),
        *(_convolution(*each, "depthwise") for each in depthwise_convolutions().items()),
    ]
    stamps = case(maps(100, 256, 14, 14), weights(256, 256, 2, 2), numbers(256), stride=2)
    full = case(numbers(1000, 12544), weights(1024, 12544), numbers(1024))
    found += [
        Layer(
            "conv_transpose2x2/2 256-256 100x14x14",
            *("conv_transpose", "conv_transpose2d", stamps),
            2.0 * 100 * 256 * 256 * 28 * 28,
        ),
        Layer("linear 1000x12544-1024", "linear", "linear", full, 2.0 * 1000 * 12544 * 1024),
    ]
    finest = maps(1, 256, size[0] // 4, size[1] // 4)
    for operation, count, side, settings in (
        ("roi_align", 1000, 7, {"sampling_ratio": 2}),
        ("roi_align", 100, 14, {"sampling_ratio": 2}),
        ("roi_pool", 1000, 7, {}),
    ):
        # The finest map is given regions of less than 112 pixels.
        inputs = finest, boxes_in(count, size, 16, 112), np.zeros(count, np.int64)
        call = case(*inputs, output_size=side, spatial_scale=0.25, **settings)
        found.append(Layer(f"{operation} {count}x256x{side}x{side}", operation, operation, call))
    return found


def _convolution(shape: Convolution, count: int, group: str) -> Layer:
    inner = shape.inputs // shape.groups
    call = case(
        maps(shape.images, shape.inputs, shape.height, shape.width),
        weights(shape.outputs, inner, shape.kernel, shape.kernel),
        numbers(shape.outputs),
        stride=shape.stride,
        padding=shape.kernel // 2,
        groups=shape.groups,
    )
    return Layer(
        *(shape.name, group, "conv2d", call),
        flops=2.0 * shape.macs,
        count=count,
        sees_image=shape.sees_image,
    )


def makers(size: tuple[int, int], peers: Peers, place: Place = HERE) -> list[Maker]:
    """What there is to time, by name, in the order of the network.

    Args:
        size: height and width of the canvas that the network sees.
        peers: who is asked.
        place: where.
    """
    return [
        *(
            (layer.name, lambda rng, own=layer: own.cases(rng, peers, place))
            for layer in layers(size)
        ),
        ("nms", lambda rng: nms_cases(size, peers, rng, place)),
        ("anchors", lambda rng: anchor_cases(size, peers, rng, place)),
        ("paste", lambda rng: paste_cases(peers, rng, place)),
        *([] if place.is_gpu else [("rle", lambda rng: rle_cases(peers, rng))]),  # is the host's
    ]


def run_ops(
    only: Sequence[str] = (),
    *,
    size: tuple[int, int] = (800, 1216),
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    place: Place = HERE,
    progress: Progress = silent,
) -> Report:
    """Time the operations.

    Args:
        only: rows whose name or group holds one of these texts; none for all.
        size: height and width of the canvas, multiples of 32.
        repeat: timed calls of each.
        threads: that each contestant may use.
        seed: draws the inputs.
        place: where everything is computed.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the size is no multiple of 32, or no row has such a name.
    """
    if any(side % 32 or side < 64 for side in size):
        raise InputError(f"size is {size[0]}x{size[1]}; both should be multiples of 32, from 64 on")
    only = [text.lower() for text in only]
    peers = Peers.of(
        *PEERS, threads=threads, place=place
    )  # imports them, so that their threads can be limited
    rows = []
    keep_freed()  # as in the network
    with threads_limited_to(threads), place.ready() as facts:
        machine = describe(threads) | facts
        chosen = _chosen(makers(size, peers, place), only)
        for number, (name, make) in enumerate(chosen):
            progress(name, number, len(chosen))
            for part in make(np.random.default_rng([seed, number])):
                if not only or any(text in f"{part.group}, {part.name}" for text in only):
                    rows.append(part.measure(repeat, place))
    if not rows:
        groups = (
            "conv, depthwise, conv_transpose, linear, roi_align, roi_pool, nms, anchors, paste, rle"
        )
        raise InputError(
            f"no row is named {' or '.join(only)}; there are the groups {groups} (each with "
            "'forward' and 'backward' where it has a gradient), and rows such as 'conv3x3 256-256'"
        )
    sums = [
        Sum.of(f"all {sum(row.count for row in own)} {name}, {direction}", own)
        for group, name in _SUMS.items()
        for direction in ("forward", "backward")
        if (own := [row for row in rows if row.group == f"{group} {direction}"])
    ]
    title = f"operations of Mask R-CNN R-50-FPN at {size[0]}x{size[1]}"
    return Report(title, rows, machine, sums, peers.absent)


def _chosen(parts: list[Maker], only: Sequence[str]) -> list[Maker]:
    """The parts that can hold a row that was asked for; all, where that cannot be told."""
    words = [text.split()[0] for text in only if text.split()]
    if not words or any(word in ("forward", "backward") for word in words):
        return parts
    return [part for part in parts if any(word in part[0] for word in words)] or parts
