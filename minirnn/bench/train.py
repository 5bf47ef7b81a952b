"""`minirnn bench train`: a step of training, forward, backward and update, beside torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minirnn.backend import to_host
from minirnn.bench.case import difference_in_length
from minirnn.bench.infer import canvas_of
from minirnn.bench.machine import describe
from minirnn.bench.networks import Setup, our_network, our_step, resnet50, their_network, total_of
from minirnn.bench.peers import TORCHVISION, Peers
from minirnn.bench.place import HERE, Place
from minirnn.bench.profile import stages_ms
from minirnn.bench.report import Progress, Report, silent
from minirnn.bench.scenes import from_coco, made_up
from minirnn.bench.shapes import network_flops
from minirnn.bench.side_by_side import count_regions, measure_memory, take_turns_with, workspace
from minirnn.bench.timing import Timing
from minirnn.data.sample import Sample
from minirnn.errors import InputError
from minirnn.models import RCNN, build_model
from minirnn.training.optimiser import SGD

#: Sums of millions of terms in float32, through fifty layers and back; see `verify.parity_training`.
TOLERANCE = 1e-2
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
    against: str = "torchvision",
    profile: bool = False,
    place: Place = HERE,
    progress: Progress = silent,
) -> Report:
    """Time steps of training.

    Args:
        network: "resnet50", one photograph at a time, or "shapes", the demo's with a batch of 8.
        data: a COCO folder to take the photograph from; None for a made-up one of 427×640.
        size: of its shorter side at the network, pixels.
        repeat: timed steps of each.
        threads: that each contestant may use.
        seed: of the weights and of made-up pictures.
        memory: also run each alone in a process of its own, for its memory.
        against: "torchvision", or "cpu" for our own step on this processor, beside a GPU's.
        profile: also say which stage takes how much of our time, on one core or a GPU.
        place: where they work.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: the folder has no picture to train on, or does not go with the network; or a processor
            is to be compared with itself.
    """
    if against == "cpu" and not place.is_gpu:
        raise InputError("--against cpu goes with --device cuda: it compares the two")
    if data is not None and network == "shapes":
        raise InputError(
            "--data goes with --model resnet50; the demo's network sees made-up shapes"
        )
    parts = 4 if memory else 3
    asked = (TORCHVISION,) if against == "torchvision" else ()
    peers = Peers.of(*asked, threads=threads, place=place)
    samples, what = pictures(network, data, seed)
    with workspace(threads) as folder, place.ready() as facts:
        progress("drawing weights", 0, parts)
        machine = describe(threads) | facts
        model = draw_network(network, seed, size, twin=bool(peers.there))
        weights = model.state_dict()
        Setup(network, True, threads, seed, model.config, weights, samples).write(folder)
        del model, weights
        row = Timing(f"train {network}, {what}", "train", [])
        if peers.there:
            progress("comparing losses and gradients", 1, parts)
            _compare(row, folder, samples)
        if place.is_gpu:
            compare_devices(row, folder, samples, place)
        progress("timing", 2, parts)
        _time(row, folder, peers, samples, repeat, against == "cpu")
        if profile:
            model = our_network(folder, place)
            row.stages = stages_ms(model, our_step(model, samples, 1), place.our_clock, repeat)
            del model
        if memory:
            progress("measuring memory", 3, parts)
            measure_memory(row, peers.names, folder, threads, place)
    title = f"a training step of {'Mask R-CNN R-50-FPN' if network == 'resnet50' else network}"
    return Report(title, [row], machine, missing=peers.absent)


def pictures(
    network: str, data: Path | None, seed: int, count: int | None = None
) -> tuple[list[Sample], str]:
    """A batch for a network, and what to call it.

    Args:
        network: see `run_train`.
        data: see `run_train`.
        seed: of made-up pictures.
        count: of made-up pictures; None for what is usual with this network.
    """
    if network == "shapes":
        count = count or _SHAPES_BATCH
        square = (_SHAPES_SIDE, _SHAPES_SIDE)
        scenes = [made_up(seed + k, square, "easy") for k in range(count)]
        return scenes, f"{count} pictures of {_SHAPES_SIDE}x{_SHAPES_SIDE}"
    if count and count > 1:
        scenes = [made_up(seed + k) for k in range(count)]
        height, width = scenes[0].image.shape[:2]
        return scenes, f"{count} made-up pictures of {height}x{width}"
    sample, name = from_coco(data) if data else (made_up(seed), "a made-up picture")
    height, width = sample.image.shape[:2]
    return [sample], f"{name.split(' (')[0]} of {height}x{width}"


def draw_network(network: str, seed: int, size: int, twin: bool) -> RCNN:
    """The network with drawn weights; `twin` gives the demo's the configuration of torchvision's twin."""
    if network == "resnet50":
        return resnet50(seed, size)
    if not twin:  # then ours as the demo has it
        return build_model("maskrcnn_shapes", seed=seed)
    from minirnn.verify.learning_model import build_learning_pair

    return build_learning_pair(seed=seed)[1]


def _compare(row: Timing, folder: Path, samples: Sequence[Sample]) -> None:
    """One step of both from the same proposals and draws: losses and all gradients together."""
    import torch

    from minirnn.verify.parity_rows import Comparison
    from minirnn.verify.parity_training import LOSSES, both_losses

    reference, model = their_network(folder), our_network(folder)
    torch.manual_seed(0)
    theirs, ours = both_losses(Comparison("torchvision"), reference, model, samples)
    worst = 0.0
    for name, loss in ours.items():
        value = float(theirs[LOSSES[name]].detach())
        worst = float(np.maximum(worst, abs(float(loss) - value) / max(abs(value), 1e-6)))
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


def compare_devices(row: Timing, folder: Path, samples: Sequence[Sample], place: Place) -> None:
    """A step of ours on the GPU and on the processor with the same draws: losses, and all gradients."""
    found = []
    for where in (place, HERE):
        model = our_network(folder, where)
        losses = model.losses([s.image for s in samples], [s.target for s in samples])
        total_of(losses).backward()
        gradients = [
            to_host(tensor.grad) for tensor in SGD(model).parameters() if tensor.grad is not None
        ]
        found.append(([float(loss) for loss in losses.values()], gradients))
    (ours, of_gpu), (wanted, of_host) = found
    loss = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(ours, wanted, strict=True))
    gradient = difference_in_length(of_gpu, of_host)
    row.differences["NumPy"] = float(np.maximum(loss, gradient))
    row.tolerance = place.tolerance_of_networks(TOLERANCE)
    row.details |= {"loss_difference_of_devices": loss, "gradient_difference_of_devices": gradient}
    row.note += (
        f"{'; ' if row.note else ''}from NumPy's, the GPU's losses differ by up to {loss:.1e}, and all its "
        f"gradients together by {gradient:.1e} of their length"
    )


def _time(
    row: Timing,
    folder: Path,
    peers: Peers,
    samples: Sequence[Sample],
    repeat: int,
    beside_cpu: bool = False,
) -> None:
    place, threads = peers.place or HERE, peers.threads
    model, further = our_network(folder, place), {}
    if beside_cpu:
        name = f"ours on {threads} core{'s' * (threads > 1)}"
        further[name] = our_step(our_network(folder), samples, threads)
    regions = count_regions(model, samples, training=True)
    step = our_step(model, samples, threads)
    turns = take_turns_with(
        *(step, peers.names, folder, repeat), lend=True, enough=_STEPS, place=place, further=further
    )
    row.ours, row.theirs = turns.seconds.pop("ours"), turns.seconds
    row.details |= {"processes": min(threads, len(samples)), "regions": regions}
    if model.config.backbone.name == "resnet50":
        # Three products of a layer's size: forward, gradient of the input, gradient of the weights.
        canvas = canvas_of(samples[0].image, model.config)
        row.flops = 3 * network_flops(*canvas, len(samples), regions["box"], regions["mask"])
    if turns.left_out:
        left_out = float(np.median(turns.left_out["torchvision"]))
        whole = left_out + (row.their_seconds("torchvision") or 0)
        row.details["stand_in_ms"] = {"torchvision": left_out * 1e3}
        row.note += (
            f"; torchvision's own roi_align and nms do not load here: of the {whole * 1e3:.0f} ms of "
            f"its step, {left_out * 1e3:.0f} ms in stand-ins for them, forward and backward, are not "
            "in its time, and in its memory roi_align is ours. As nobody takes a step without RoIAlign, it "
            "is timed with ours in its place, too; nms is left out there"
        )
