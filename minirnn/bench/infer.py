"""`minirnn bench infer`: Mask R-CNN R-50-FPN from a photograph to pasted masks."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench import agreement as agreed
from minirnn.bench import peers as known
from minirnn.bench.child import in_child
from minirnn.bench.clock import take_turns
from minirnn.bench.export import NAMES, export_onnx
from minirnn.bench.machine import describe, threads_limited_to
from minirnn.bench.networks import (
    Setup,
    contestant,
    count_regions,
    our_answer,
    our_network,
    resnet50,
    their_network,
    write_folder,
)
from minirnn.bench.report import Report
from minirnn.bench.rows import Row
from minirnn.bench.scenes import made_up
from minirnn.bench.shapes import network_flops
from minirnn.bench.stand_ins import timed_stand_ins
from minirnn.data.images import read_image
from minirnn.data.sample import Sample
from minirnn.transform import scaled_size

#: The graph for ONNX Runtime is made from torchvision's network.
PEERS = (known.TORCHVISION, known.ONNX)
Progress = Callable[[str, int, int], None]


def run_infer(
    image: Path | None = None,
    *,
    batch: int = 1,
    size: int = 800,
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    memory: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Time inference.

    Args:
        image: a photograph; None for a made-up one of 427×640.
        batch: how many copies of it at a time.
        size: of its shorter side at the network.
        repeat: timed runs of each.
        threads: that each contestant may use.
        seed: of the weights and of the made-up picture.
        memory: also run each alone in a process of its own, for its memory.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the image cannot be read.
    """
    tell = progress or (lambda *_: None)
    parts = 4 if memory else 3
    there = known.available(*PEERS)
    photo = read_image(image) if image else made_up(seed).image
    samples = [Sample(photo, made_up(seed).target)] * batch
    with tempfile.TemporaryDirectory(prefix="minirnn-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(threads_limited_to(threads))
        tell("drawing weights", 0, parts)
        machine = describe(threads, known.PACKAGES)
        model = resnet50(seed, size)
        setup = Setup("resnet50", False, threads, seed, dataclasses.asdict(model.config))
        write_folder(folder, setup, model, samples)
        del model
        tell("exporting for ONNX Runtime", 1, parts)
        names = [peer.name for peer in there]
        if known.TORCHVISION not in there:
            names = []
        elif known.ONNX in there:
            export_onnx(their_network(folder), folder / "model.onnx", photo.shape[:2])
        tell("timing", 2, parts)
        row = _timed(folder, names, samples, repeat)
        if memory:
            tell("measuring memory", 3, parts)
            for who in ("ours", *names):
                used = in_child({"do": "peak", "folder": folder, "name": who}, threads)
                row.peak[who], row.base[who] = used["peak"], used["base"]
    height, width = photo.shape[:2]
    row.name = f"infer {batch} of {height}x{width} at {size}"
    title = f"inference of Mask R-CNN R-50-FPN, {batch} image{'s' * (batch > 1)}"
    return Report(title, [row], machine, missing=known.absences(*PEERS))


def _timed(folder: Path, names: list[str], samples: list[Sample], repeat: int) -> Row:
    model = our_network(folder)
    regions = count_regions(model)
    runs: dict[str, Callable[[], Any]] = {"ours": lambda: our_answer(model, samples)}
    runs |= {name: contestant(name, folder) for name in names}
    not_counted: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        watch = None
        if "torchvision" in names and not known.torchvision_is_compiled():
            watch = stack.enter_context(timed_stand_ins())
            not_counted["torchvision"] = watch.take
        turns = take_turns(runs, repeat, not_counted=not_counted)
    ours = turns.answers["ours"]
    found = {name: _agreement(ours, turns.answers[name]) for name in names}
    canvas = canvas_of(samples[0].image, model.config)
    notes = [f"{name}: {both.sentence()}" for name, both in found.items()]
    details: dict[str, Any] = {
        "agreement": {name: dataclasses.asdict(both) for name, both in found.items()},
        "proposals": regions["box"],
        "detections": regions["mask"],
        "canvas": list(canvas),
    }
    if watch:
        stand_in = float(np.median(turns.left_out["torchvision"]))
        details["stand_in_ms"] = {"torchvision": stand_in * 1e3}
        notes.append(
            f"torchvision's own nms and roi_align do not load here: {stand_in * 1e3:.0f} ms in "
            "stand-ins for them are not in its time, and in its memory roi_align is ours"
        )
    return Row(
        name="infer",
        group="infer",
        ours=turns.seconds.pop("ours"),
        theirs=turns.seconds,
        flops=network_flops(*canvas, len(samples), regions["box"], regions["mask"]),
        differences={name: both.difference for name, both in found.items()},
        tolerance=agreed.TOLERANCE,
        note="; ".join(notes),
        details=details,
    )


def canvas_of(image: np.ndarray, config: Any) -> tuple[int, int]:
    """Height and width of what the network sees of an image."""
    height, width = image.shape[:2]
    height, width = scaled_size(
        height, width, config.transform.min_size[-1], config.transform.max_size
    )
    divisor = config.transform.size_divisor
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def _agreement(ours: Any, theirs: Any) -> agreed.Agreement:
    """Over all images, torchvision's dictionaries of tensors or the runtime's lists of arrays."""
    parts = []
    for mine, found in zip(ours, theirs, strict=True):
        if isinstance(found, dict):
            arrays = {name: found[name].numpy() for name in NAMES}
        else:
            arrays = dict(zip(NAMES, found, strict=True))
        parts.append(agreed.agreement(mine, arrays))
    return agreed.together(parts)
