"""`minirnn bench infer`: Mask R-CNN R-50-FPN from a photograph to pasted masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench.export import NAMES, export_onnx
from minirnn.bench.machine import describe
from minirnn.bench.networks import Setup, our_answer, our_network, resnet50, their_network
from minirnn.bench.peers import ONNX, TORCHVISION, Peers
from minirnn.bench.place import HERE, Place
from minirnn.bench.profile import stages_ms
from minirnn.bench.report import Progress, Report, silent
from minirnn.bench.scenes import made_up
from minirnn.bench.shapes import network_flops
from minirnn.bench.side_by_side import count_regions, measure_memory, take_turns_with, workspace
from minirnn.bench.timing import Timing
from minirnn.data.sample import Sample
from minirnn.images import read_image
from minirnn.transform import scaled_size
from minirnn.verify.agreement import TOLERANCE, Agreement, agreement
from minirnn.verify.difference import host

#: The graph for ONNX Runtime is made from torchvision's network.
PEERS = (TORCHVISION, ONNX)


def run_infer(
    image: Path | None = None,
    *,
    batch: int = 1,
    size: int = 800,
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    memory: bool = True,
    profile: bool = False,
    place: Place = HERE,
    progress: Progress = silent,
) -> Report:
    """Time inference.

    Args:
        image: a photograph; None for a made-up one of 427×640.
        batch: how many copies of it at a time.
        size: of its shorter side at the network, pixels.
        repeat: timed runs of each.
        threads: that each contestant may use.
        seed: of the weights and of the made-up picture.
        memory: also run each alone in a process of its own, for its memory.
        profile: also say which stage takes how much of our time.
        place: where they work.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the image cannot be read.
    """
    parts = 4 if memory else 3
    peers = Peers.of(*PEERS, threads=threads, place=place)
    names = peers.names if TORCHVISION in peers.there else []
    photo = read_image(image) if image else made_up(seed).image
    samples = [Sample(photo, made_up(seed).target)] * batch
    height, width = photo.shape[:2]
    with workspace(threads) as folder, place.ready() as facts:
        progress("drawing weights", 0, parts)
        machine = describe(threads) | facts
        model = resnet50(seed, size)
        weights = model.state_dict()
        Setup("resnet50", False, threads, seed, model.config, weights, samples).write(folder)
        del model, weights
        progress("exporting for ONNX Runtime", 1, parts)
        if ONNX.name in names:
            export_onnx(their_network(folder), folder / "model.onnx", (height, width))
        progress("timing", 2, parts)
        name = f"infer {batch} of {height}x{width} at {size}"
        row = _timed(name, folder, names, samples, repeat, place)
        if profile:
            model = our_network(folder, place)
            row.stages = stages_ms(model, our_answer(model, samples), place.our_clock, repeat)
            del model
        if memory:
            progress("measuring memory", 3, parts)
            measure_memory(row, names, folder, threads, place)
    title = f"inference of Mask R-CNN R-50-FPN, {batch} image{'s' * (batch > 1)}"
    return Report(title, [row], machine, missing=peers.absent)


def _timed(
    name: str,
    folder: Path,
    names: Sequence[str],
    samples: list[Sample],
    repeat: int,
    place: Place,
) -> Timing:
    model = our_network(folder, place)
    turns = take_turns_with(our_answer(model, samples), names, folder, repeat, place=place)
    ours = turns.answers["ours"]
    regions = count_regions(model, samples)
    found = {peer: _agreement(ours, turns.answers[peer]) for peer in names}
    canvas = canvas_of(samples[0].image, model.config)
    notes = [f"{peer}: {both.sentence()}" for peer, both in found.items()]
    details: dict[str, Any] = {
        "agreement": {peer: dataclasses.asdict(both) for peer, both in found.items()},
        "proposals": regions["box"],
        "detections": regions["mask"],
        "canvas": list(canvas),
    }
    if turns.left_out:
        stand_in = float(np.median(turns.left_out["torchvision"])) * 1e3
        details["stand_in_ms"] = {"torchvision": stand_in}
        notes.append(
            f"torchvision's own nms and roi_align do not load here: {stand_in:.0f} ms in "
            "stand-ins for them are not in its time, and in its memory roi_align is ours"
        )
    return Timing(
        name=name,
        group="infer",
        ours=turns.seconds.pop("ours"),
        theirs=turns.seconds,
        flops=network_flops(*canvas, len(samples), regions["box"], regions["mask"]),
        differences={peer: both.difference for peer, both in found.items()},
        tolerance=place.tolerance_of_networks(TOLERANCE),
        note="; ".join(notes),
        details=details,
    )


def canvas_of(image: np.ndarray, config: Any) -> tuple[int, int]:
    """Height and width of what the network sees of an image."""
    limits = config.transform.min_size[-1], config.transform.max_size
    height, width = scaled_size(image.shape[0], image.shape[1], *limits)
    divisor = config.transform.size_divisor
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def _agreement(ours: Any, theirs: Any) -> Agreement:
    """With torchvision's dictionaries of tensors, or the runtime's lists of arrays."""
    named = [
        each if isinstance(each, dict) else dict(zip(NAMES, each, strict=True)) for each in theirs
    ]
    return agreement(ours, [{name: host(each[name]) for name in NAMES} for each in named])
