"""`minirnn bench`: how long does it take, and how long do other libraries take?"""

from __future__ import annotations

from typing import Any

import click

from minirnn.cli.bench_options import (
    CanvasSize,
    counts_of,
    measured,
    memory_option,
    on_a_device,
    side_option,
)
from minirnn.cli.options import FILE, FOLDER


@click.group(short_help="Time it, beside torch, torchvision and ONNX Runtime.")
def bench() -> None:
    """How fast is it, beside torch, torchvision, ONNX Runtime and pycocotools on this machine?

    \b
        minirnn bench ops --only nms
        minirnn bench infer
        minirnn bench train --model shapes
        minirnn bench scale --png growth.png
        minirnn bench scale --ranks 1,2
        minirnn bench infer --device cuda --tf32

    All contestants get the same inputs and the same number of threads and take turns in one process.
    Each runs twice before the clock starts; times are medians. Their answers are compared in the same
    run: if any disagrees, it says so and ends with 1. A ratio of 0.70 says that ours takes 0.70 of
    the other's time. What is not installed is left out, and named with how to install it.

    With --device cuda ours, torch and torchvision compute on the GPU, by its own clock and with the same
    arithmetic: float32, or with --tf32 TF32. What else is to be installed for that is in docs/gpu.md.

    Close other programs first: a busy machine measures them, too.
    """


@bench.command(short_help="Every operation alone.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only rows whose name or group holds this text, as often as you like: conv, conv3x3, "
    "depthwise, conv_transpose, linear, roi_align, roi_pool, nms, anchors, paste, rle, backward, ….",
)
@click.option(
    "--size",
    default="800x1216",
    show_default=True,
    type=CanvasSize(),
    metavar="HEIGHTxWIDTH",
    help="What the network sees, in pixels; multiples of 32. Smaller is quicker. Rows named depthwise are "
    "EfficientNet-Lite0's on 640x640 whatever this says.",
)
@click.option(
    "--against",
    type=click.Choice(["libraries", "plain"]),
    default="libraries",
    show_default=True,
    help="Other libraries, or the plain forms that our kernels stand in for.",
)
@on_a_device
@measured("timing", 5, "operation")
def ops(only: tuple[str, ...], against: str, size: tuple[int, int], **settings: Any) -> Any:
    """Every operation of Mask R-CNN R-50-FPN alone, forward and backward.

    \b
        minirnn bench ops
        minirnn bench ops --only conv3x3 --only nms --html ops.html
        minirnn bench ops --against plain
        minirnn bench ops --device cuda

    Each distinct convolution shape has a row; × is how often the network has it, and the sum over all
    is below the table. GFLOP/s counts the operations of the plain way, so that a trick that needs
    fewer can show more than the machine's own matrix product does (of machine > 100%). Memory is not
    measured here: see bench infer and bench train. A few minutes.
    """
    if against == "plain":
        if settings.pop("place").is_gpu:
            raise click.UsageError("--against plain is measured on a processor only")
        from minirnn.bench.against_plain import run_against_plain

        return run_against_plain(only, **settings)
    from minirnn.bench.ops import run_ops

    return run_ops(only, size=size, **settings)


@bench.command(short_help="A photograph, from pixels to masks.")
@click.option(
    "--image",
    type=FILE,
    metavar="FILE",
    help="The photograph.  [default: a made-up picture of 427x640]",
)
@click.option(
    "--batch",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images at a time; 1 and 4 are usual.",
)
@side_option
@memory_option
@click.option(
    "--profile",
    is_flag=True,
    help="Also say which stage takes how much of our time.",
)
@on_a_device
@measured("inference", 5, "contestant")
def infer(**settings: Any) -> Any:
    """Inference of Mask R-CNN R-50-FPN, from the picture's pixels to pasted masks.

    \b
        minirnn bench infer
        minirnn bench infer --image photo.jpg --batch 4
        minirnn bench infer --device cuda --profile

    All contestants have the same weights, drawn such that 100 detections come out: 1,000 proposals,
    100 masks. ONNX Runtime gets torchvision's network, exported for the occasion. The detections
    must be the same. Two minutes or so.
    """
    from minirnn.bench.infer import run_infer

    return run_infer(**settings)


@bench.command(short_help="A step of training.")
@click.option(
    "--model",
    "network",
    default="resnet50",
    show_default=True,
    type=click.Choice(["resnet50", "shapes"]),
    help="resnet50: Mask R-CNN R-50-FPN, one photograph. shapes: the demo's network, 8 pictures.",
)
@click.option(
    "--data",
    type=FOLDER,
    metavar="FOLDER",
    help="A COCO folder to take the photograph from.  [default: a made-up picture of 427x640]",
)
@click.option(
    "--against",
    type=click.Choice(["torchvision", "cpu"]),
    default="torchvision",
    show_default=True,
    help="torchvision's step; or with --device cuda our own on --threads cores.",
)
@side_option
@memory_option
@click.option(
    "--profile",
    is_flag=True,
    help="Also say which stage takes how much of our time.",
)
@on_a_device
@measured("training", 5, "contestant")
def train(**settings: Any) -> Any:
    """A step of training, forward, backward and update, beside torchvision's on torch.

    \b
        minirnn bench train --data path/to/coco
        minirnn bench train --model shapes
        minirnn bench train --model shapes --device cuda --against cpu --threads 2

    Losses and gradients must agree where both learn from the same proposals. Where torchvision's own
    RoIAlign does not load, the time in its stand-in is shown, and is not in torchvision's time. The
    demo's network is always seen at its own 128 pixels.
    """
    from minirnn.bench.train import run_train

    return run_train(**settings)


@bench.command(short_help="How time and memory grow.")
@click.option(
    "--axis",
    "axes",
    multiple=True,
    type=click.Choice(["area", "batch", "proposals", "instances"]),
    help="Along this axis only, as often as you like.  [default: all four]",
)
@click.option(
    "--ranks",
    metavar="N,N,…",
    callback=lambda ctx, param, value: counts_of(value),
    help="Time a step of training on so many processes of this machine instead, each with its own images.",
)
@click.option(
    "--model",
    "network",
    type=click.Choice(["resnet50", "shapes"]),
    help="With --ranks: resnet50 is Mask R-CNN R-50-FPN, shapes the demo's network.  [default: resnet50]",
)
@click.option(
    "--batch",
    "images",
    type=click.IntRange(min=1),
    help="With --ranks: images of each process.  [default: 1]",
)
@side_option
@measured("scale", 3, "point")
def scale(
    axes: tuple[str, ...],
    ranks: tuple[int, ...] | None,
    network: str | None,
    images: int | None,
    **settings: Any,
) -> Any:
    """How our time and memory grow with the image, the batch, the proposals, the instances; or with ranks.

    \b
        minirnn bench scale
        minirnn bench scale --axis area --axis batch --png growth.png
        minirnn bench scale --ranks 1,2

    Shorter sides from 256 to 1600 pixels (0.32 to 2 times --size), batches from 1 to 8, 100 to 2,000
    proposals, 1 to 300 instances; each point runs in a process of its own. For each axis an exponent
    is fitted: 1 is growth in proportion, less is better. About ten minutes.

    With --ranks, processes (started by mpiexec, from the extra [mpi]) train together, each with as many
    images, whatever their number: efficiency is the time of a step of one over that of n. --threads are
    shared out among the most. Beside what was measured stands what a model says of it, and of 8, 64 and
    512 ranks on networks of 10, 25 and 100 Gbit/s. Three minutes or so.
    """
    if ranks is not None:
        from minirnn.bench.ranks import run_ranks

        if axes:
            raise click.UsageError("--axis and --ranks exclude each other")
        return run_ranks(ranks, network or "resnet50", images=images or 1, **settings)
    for option, value in (("--model", network), ("--batch", images)):
        if value is not None:
            raise click.UsageError(f"{option} goes with --ranks")
    from minirnn.bench.scale import run_scale

    return run_scale(tuple(dict.fromkeys(axes)), **settings)
