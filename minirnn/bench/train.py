"""`minirnn bench train`: a step of training, forward, backward and update, beside torchvision's."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench import peers as known
from minirnn.bench.child import in_child
from minirnn.bench.clock import take_turns
from minirnn.bench.machine import describe, threads_limited_to
from minirnn.bench.networks import (
    Setup,
    contestant,
    count_regions,
    our_network,
    our_step,
    read_setup,
    resnet50,
    their_network,
    total_of,
    write_folder,
)
from minirnn.bench.report import Report
from minirnn.bench.rows import Row
from minirnn.bench.scenes import from_coco, made_up
from minirnn.bench.shapes import network_flops
from minirnn.bench.stand_ins import our_roi_align_instead, timed_stand_ins
from minirnn.data.sample import Sample
from minirnn.errors import InputError
from minirnn.kernels.cpu.memory import keep_freed
from minirnn.models import RCNN, build_model

Progress = Callable[[str, int, int], None]
#: Sums of millions of terms in float32, through fifty layers and back; see `verify.parity_training`.
TOLERANCE = 1e-2
#: The name of the contestant that is torchvision but for one operation.
WITH_OURS = "torchvision, our RoIAlign"
#: Seconds of a turn: steps of training come one after the other, and of single ones of a tenth of a second
#: the slowest take a third longer than the quickest.
_STEPS = 1.0
_SHAPES_BATCH, _SHAPES_SIDE = 8, 128


def run_train(
    network: str = "resnet50",
    data: Path | None = None,
    *,
    size: int = 800,
    repeat: int = 5,
    threads: int = 1,
    seed: int = 0,
    memory: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Time steps of training.

    Args:
        network: "resnet50", one photograph at a time, or "shapes", the demo's with a batch of 8.
        data: a COCO folder to take the photograph from; None for a made-up one of 427×640.
        size: of its shorter side at the network.
        repeat: timed steps of each.
        threads: that each contestant may use.
        seed: of the weights and of made-up pictures.
        memory: also run each alone in a process of its own, for its memory.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the folder has no picture to train on, or does not go with the network.
    """
    if data is not None and network == "shapes":
        raise InputError(
            "--data goes with --model resnet50; the demo's network sees made-up shapes"
        )
    tell = progress or (lambda *_: None)
    parts = 4 if memory else 3
    there = known.available(known.TORCHVISION)
    names = [peer.name for peer in there]
    samples, what = _samples(network, data, seed)
    with tempfile.TemporaryDirectory(prefix="minirnn-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(threads_limited_to(threads))
        tell("drawing weights", 0, parts)
        machine = describe(threads, known.PACKAGES)
        model = _network(network, seed, size)
        setup = Setup(network, True, threads, seed, dataclasses.asdict(model.config))
        write_folder(folder, setup, model, samples)
        del model
        row = Row(f"train {network}, {what}", "train", [])
        if names:
            tell("comparing losses and gradients", 1, parts)
            _compare(row, folder, samples)
        tell("timing", 2, parts)
        _time(row, folder, names, samples, repeat)
        if memory:
            tell("measuring memory", 3, parts)
            for who in ("ours", *names):
                used = in_child({"do": "peak", "folder": folder, "name": who}, threads)
                row.peak[who], row.base[who] = used["peak"], used["base"]
    title = f"a training step of {'Mask R-CNN R-50-FPN' if network == 'resnet50' else network}"
    return Report(title, [row], machine, missing=known.absences(known.TORCHVISION))


def _samples(network: str, data: Path | None, seed: int) -> tuple[list[Sample], str]:
    if network == "shapes":
        square = (_SHAPES_SIDE, _SHAPES_SIDE)
        scenes = [made_up(seed + k, square, "easy") for k in range(_SHAPES_BATCH)]
        return scenes, f"{_SHAPES_BATCH} pictures of {_SHAPES_SIDE}x{_SHAPES_SIDE}"
    sample, name = from_coco(data) if data else (made_up(seed), "a made-up picture")
    height, width = sample.image.shape[:2]
    return [sample], f"{name.split(' (')[0]} of {height}x{width}"


def _network(network: str, seed: int, size: int) -> RCNN:
    if network == "resnet50":
        return resnet50(seed, size)
    keep_freed()  # as the command line does
    if known.missing(known.TORCHVISION):  # no twin: then ours as the demo has it
        return build_model("maskrcnn_shapes", seed=seed)
    from minirnn.verify.learning_model import build_learning_pair

    return build_learning_pair(seed=seed)[1]


def _compare(row: Row, folder: Path, samples: list[Sample]) -> None:
    """One step of both from the same proposals and draws: losses and all gradients together."""
    import torch

    from minirnn.verify.parity_rows import Comparison
    from minirnn.verify.parity_training import LOSSES, both_losses

    reference, model = their_network(folder), our_network(folder)
    torch.manual_seed(0)
    theirs, ours = both_losses(Comparison("torchvision"), reference, model, samples)
    worst = 0.0
    for name, other in LOSSES.items():
        value = float(theirs[other].detach())
        worst = float(np.maximum(worst, abs(float(ours[name]) - value) / max(abs(value), 1e-6)))
    total_of(ours).backward()
    total_of(theirs).backward()
    apart = length = 0.0
    gradients = dict(reference.named_parameters())
    for name, tensor in model.named_parameters():
        wanted = gradients[name].grad
        goal = np.zeros(tensor.shape) if wanted is None else wanted.numpy().astype(np.float64)
        found = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad
        apart += float(np.square(found - goal).sum())
        length += float(np.square(goal).sum())
    gradient = float(np.sqrt(apart / max(length, 1e-30)))
    row.differences["torchvision"] = float(np.maximum(worst, gradient))
    row.tolerance = TOLERANCE
    row.details |= {"loss_difference": worst, "gradient_difference": gradient}
    row.note = (
        f"with the same proposals and draws, losses differ by up to {worst:.1e}, and all gradients "
        f"together by {gradient:.1e} of their length"
    )


def _time(row: Row, folder: Path, names: list[str], samples: list[Sample], repeat: int) -> None:
    model = our_network(folder)
    regions = count_regions(model)
    model.losses([s.image for s in samples], [s.target for s in samples])
    setup = read_setup(folder)
    runs: dict[str, Callable[[], Any]] = {"ours": our_step(model, samples, setup.threads)}
    row.details["processes"] = min(setup.threads, len(samples))
    not_counted: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        watch = None
        if names and not known.torchvision_is_compiled():
            watch = stack.enter_context(timed_stand_ins())
            not_counted["torchvision"] = watch.take
        runs |= {name: contestant(name, folder) for name in names}
        if watch:
            runs[WITH_OURS] = _with_our_roi_align(runs["torchvision"])
            not_counted[WITH_OURS] = watch.take
        turns = take_turns(runs, repeat, not_counted=not_counted, enough=_STEPS)
    row.ours = turns.seconds.pop("ours")
    row.theirs = turns.seconds
    row.details |= {"regions": regions}
    if model.config.backbone.name == "resnet50":
        row.flops = _flops(model, samples, regions)
    if watch:
        left_out = float(np.median(turns.left_out["torchvision"]))
        whole = left_out + (row.their_seconds("torchvision") or 0)
        row.details["stand_in_ms"] = {"torchvision": left_out * 1e3}
        row.note += (
            f"; torchvision's own roi_align and nms do not load here: of the {whole * 1e3:.0f} ms of "
            f"its step, {left_out * 1e3:.0f} ms in stand-ins for them, forward and backward, are not "
            "in its time, and in its memory roi_align is ours. As nobody takes a step without RoIAlign, it "
            "is timed with ours in its place, too; nms is left out there"
        )


def _with_our_roi_align(run: Callable[[], Any]) -> Callable[[], Any]:
    def step() -> Any:
        with our_roi_align_instead():
            return run()

    return step


def _flops(model: RCNN, samples: list[Sample], regions: dict[str, int]) -> float:
    """Three products of a layer's size: forward, gradient of the input, gradient of the weights."""
    from minirnn.bench.infer import canvas_of

    canvas = canvas_of(samples[0].image, model.config)
    return 3 * network_flops(*canvas, len(samples), regions["box"], regions["mask"])
