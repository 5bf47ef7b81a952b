"""`minirnn bench ops`: every operation of the network alone, beside the compiled libraries' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minirnn.bench import peers as known
from minirnn.bench.case import Case
from minirnn.bench.machine import describe, threads_limited_to
from minirnn.bench.ops_layers import convolution_cases, linear_cases, transposed_cases
from minirnn.bench.ops_masks import anchor_cases, mask_cases
from minirnn.bench.ops_regions import nms_cases, roi_cases
from minirnn.bench.report import Report
from minirnn.bench.rows import Sum
from minirnn.bench.shapes import convolutions
from minirnn.errors import InputError
from minirnn.kernels.cpu.memory import keep_freed

PEERS = (known.TORCH, known.ONNX, known.TORCHVISION, known.PYCOCOTOOLS)
#: Each makes the cases of one kind. Inputs are made when the case's turn comes, not all at once.
Maker = tuple[str, Callable[[np.random.Generator], Iterator[Case]]]


def makers(size: tuple[int, int], peers: list[known.Peer], threads: int) -> list[Maker]:
    """What there is to time, by name, in the order of the network.

    Args:
        size: height and width of the canvas that the network sees.
        peers: those that can be asked.
        threads: that each may use.
    """
    found: list[Maker] = []
    for shape, count in convolutions(*size).items():

        def conv(rng: Any, shape: Any = shape, count: int = count) -> Iterator[Case]:
            return convolution_cases(shape, count, peers, threads, rng)

        found.append((f"conv {shape.name}", conv))
    found += [
        (
            "conv_transpose2x2/2 256-256 100x14x14",
            lambda rng: transposed_cases(100, peers, threads, rng),
        ),
        ("linear 1000x12544-1024", lambda rng: linear_cases(1000, peers, threads, rng)),
        (
            "roi_align roi_pool 1000x256x7x7 100x256x14x14",
            lambda rng: roi_cases(size, peers, threads, rng),
        ),
        ("nms", lambda rng: nms_cases(size, peers, threads, rng)),
        ("anchors", lambda rng: anchor_cases(size, peers, rng)),
        ("paste rle", lambda rng: mask_cases(peers, rng)),
    ]
    return found


def run_ops(
    only: Sequence[str] = (),
    *,
    size: tuple[int, int] = (800, 1216),
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Time the operations.

    Args:
        only: rows whose name or group holds one of these texts; none for all.
        size: height and width of the canvas, multiples of 32.
        repeat: timed calls of each.
        threads: that each contestant may use.
        seed: draws the inputs.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the size is no multiple of 32, or no row has such a name.
    """
    if any(side % 32 or side < 64 for side in size):
        raise InputError(f"size is {size[0]}x{size[1]}; both should be multiples of 32, from 64 on")
    only = [text.lower() for text in only]
    there = known.available(*PEERS)  # imports them, so that their threads can be limited
    rows = []
    keep_freed()  # as in the network
    with threads_limited_to(threads):
        machine = describe(threads, known.PACKAGES)
        chosen = _chosen(makers(size, there, threads), only)
        for number, (name, make) in enumerate(chosen):
            if progress:
                progress(name, number, len(chosen))
            for case in make(np.random.default_rng([seed, number])):
                if not only or any(text in f"{case.group}, {case.name}" for text in only):
                    rows.append(case.measure(repeat))
    if not rows:
        groups = "conv, conv_transpose, linear, roi_align, roi_pool, nms, anchors, paste, rle"
        raise InputError(
            f"no row is named {' or '.join(only)}; there are the groups {groups} (each with "
            "'forward' and 'backward' where it has a gradient), and rows such as 'conv3x3 256-256'"
        )
    sums = [
        Sum.of(f"all {sum(row.count for row in part)} convolutions, {direction}", part)
        for direction in ("forward", "backward")
        if (part := [row for row in rows if row.group == f"conv {direction}"])
    ]
    title = f"operations of Mask R-CNN R-50-FPN at {size[0]}x{size[1]}"
    return Report(title, rows, machine, sums, known.absences(*PEERS))


def _chosen(parts: list[Maker], only: Sequence[str]) -> list[Maker]:
    """The parts that can hold a row that was asked for; all, where that cannot be told."""
    words = [text.split()[0] for text in only if text.split()]
    if not words or any(word in ("forward", "backward") for word in words):
        return parts
    return [part for part in parts if any(word in part[0] for word in words)] or parts
