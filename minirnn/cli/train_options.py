"""The options of `minirnn train`, in the order of its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from minirnn.cli.going_on import recall
from minirnn.cli.options import (
    FILE,
    FOLDER,
    categories_option,
    device_option,
    image_ids_option,
    json_option,
    preset_option,
    proposals_option,
    set_option,
    skip_invalid_option,
)

BEST_BY = {"mask": "segm", "keypoints": "keypoints", "box": "bbox"}

#: What the help shows under which heading, by the parameters' names.
GROUPS = {
    "Needed (with --resume, --out alone)": ["folder", "preset", "out"],
    "What to train on": ["split", "only", "image_ids", "skip_invalid", "proposals"],
    "How to train": [
        *("weights", "steps", "batch_size", "learning_rate", "seed", "overrides", "show", "device"),
    ],
    "Seeing it learn": ["evaluate_every", "best_by", "patience", "val_proposals", "tensorboard"],
    "Stopping and going on": ["resume", "stop_at", "other_data", "overwrite"],
}

_OPTIONS = [
    click.option(
        "--data", "folder", type=FOLDER, metavar="DIR", help="The data set, in COCO's layout."
    ),
    preset_option,
    click.option(
        "--out",
        type=FOLDER,
        metavar="DIR",
        is_eager=True,
        callback=recall,
        help="The run's folder, for example runs/first.",
    ),
    click.option(
        "--split", default="train", show_default=True, help="Which part to train on: train, val."
    ),
    categories_option,
    image_ids_option,
    skip_invalid_option,
    proposals_option,
    click.option(
        "--weights",
        type=FILE,
        metavar="FILE",
        help="Start from these, not from random ones: a file, imagenet for the backbone's own, or none "
        "where the preset would take others.",
    ),
    click.option(
        "--steps",
        type=int,
        help="Batches to train on (not passes over the images).  [default: the preset's, or 1000]",
    ),
    click.option(
        "--batch-size", type=int, help="Images in a batch.  [default: the preset's, or 8]"
    ),
    click.option(
        "--learning-rate",
        type=float,
        help="Step size after the warm-up.  [default: the preset's, or 0.02]",
    ),
    click.option("--seed", type=int, help="Same seed, same numbers.  [default: 0]"),
    set_option("clip_norm=5"),
    click.option(
        "--show",
        is_flag=True,
        help="Show every field of the preset and the training, and stop; needs --preset alone.",
    ),
    device_option,
    click.option(
        "--evaluate-every",
        type=click.IntRange(min=0),
        default=0,
        metavar="STEPS",
        help="Measure AP on the val split every so many steps, and at the end.  [default: never]",
    ),
    click.option(
        "--best-by",
        type=click.Choice(list(BEST_BY)),
        help="Whose AP decides which weights are kept as best.safetensors, and --patience.  "
        "[default: the mask's, or the keypoints', or the box's, as the network has them]",
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Stop after N evaluations without a better AP.  [default: never]",
    ),
    click.option(
        "--val-proposals",
        type=FILE,
        metavar="FILE",
        help="Proposals for the val split, for --evaluate-every.",
    ),
    click.option(
        "--tensorboard", is_flag=True, help="Also write TensorBoard's format, into DIR/tensorboard."
    ),
    click.option(
        "--resume",
        is_flag=True,
        is_eager=True,
        callback=recall,
        help="Go on with the run in --out where it stopped: network, data, and options as they were.",
    ),
    click.option(
        "--stop-at",
        type=int,
        metavar="STEP",
        help="Stop after this step; --resume goes on to --steps with the same numbers.",
    ),
    click.option(
        "--other-data",
        is_flag=True,
        help="With --resume: go on though the data set has changed since (else it is refused).",
    ),
    click.option("--overwrite", is_flag=True, help="Delete the run that is in --out."),
    json_option,
]


def train_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function all options of `minirnn train`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
