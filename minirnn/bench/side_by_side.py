"""Whole networks side by side: taking turns, memory, and how many regions there are to compute."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from minirnn.bench import peers as known
from minirnn.bench.clock import ENOUGH, Turns, take_turns
from minirnn.bench.machine import threads_limited_to
from minirnn.bench.networks import contestant
from minirnn.bench.parent import in_child
from minirnn.bench.place import HERE, Place
from minirnn.bench.stand_ins import our_roi_align_instead, timed_stand_ins
from minirnn.bench.timing import Timing
from minirnn.models import RCNN
from minirnn.record import recording
from minirnn.structures import Sample

#: The name of the contestant that is torchvision but for one operation.
WITH_OURS = "torchvision, our RoIAlign"


@contextmanager
def workspace(threads: int) -> Iterator[Path]:
    """Inside, a folder that is gone afterwards, and so many threads."""
    with (
        tempfile.TemporaryDirectory(prefix="minirnn-bench-") as name,
        threads_limited_to(threads),
    ):
        yield Path(name)


def take_turns_with(
    ours: Callable[[], Any],
    names: Sequence[str],
    folder: Path,
    repeat: int,
    *,
    lend: bool = False,
    enough: float = ENOUGH,
    place: Place = HERE,
    further: Mapping[str, Callable[[], Any]] | None = None,
) -> Turns:
    """Ours beside the folder's contestants; the time in stand-ins of torchvision's operators is left out.

    Args:
        ours: our function.
        names: of the others.
        folder: from `Setup.write`.
        repeat: timed turns of each.
        lend: where there are stand-ins, time torchvision with our RoIAlign, too.
        enough: see `take_turns`.
        place: where ours and the folder's contestants work.
        further: contestants by name, on this processor.
    """
    runs: dict[str, Callable[[], Any]] = {"ours": ours, **(further or {})}
    not_counted: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        runs |= {name: contestant(name, folder, place) for name in names}
        if "torchvision" in names and not known.torchvision_is_compiled():
            watch = stack.enter_context(timed_stand_ins())
            not_counted["torchvision"] = watch.take
            if lend:
                runs[WITH_OURS] = _with_our_roi_align(runs["torchvision"])
                not_counted[WITH_OURS] = watch.take
        clocks = place.clocks(names)
        return take_turns(runs, repeat, not_counted=not_counted, enough=enough, clocks=clocks)


def _with_our_roi_align(run: Callable[[], Any]) -> Callable[[], Any]:
    def step() -> Any:
        with our_roi_align_instead():
            return run()

    return step


def measure_memory(
    row: Timing, names: Sequence[str], folder: Path, threads: int, place: Place = HERE
) -> None:
    """Enter the memory of each of the folder's contestants, alone in a process of its own.

    On a GPU it is the GPU's memory, of one after the other in this process: each counts its own there.
    """
    for who in ("ours", *names):
        if place.is_gpu:
            row.base[who], row.peak[who] = place.peak(who, contestant(who, folder, place))
            continue
        used = in_child({"do": "peak", "folder": folder, "name": who}, threads)
        row.peak[who], row.base[who] = used["peak"], used["base"]


def count_regions(model: RCNN, samples: Sequence[Sample], training: bool = False) -> dict[str, int]:
    """How many regions the heads are given for these pictures: "box" and "mask"."""
    if training:
        with recording() as seen:
            model.losses([s.image for s in samples], [s.target for s in samples])
        regions = seen["sampled_regions"]
        return {
            "box": sum(len(each.boxes) for each in regions),
            "mask": sum(each.positives for each in regions),
        }
    counts = {"box": 0, "mask": 0}
    for sample in samples:
        with recording() as seen:
            (found,) = model.predict([sample.image])
        counts["box"] += sum(len(boxes) for boxes in seen["proposals"])
        counts["mask"] += len(found.boxes)
    return counts
