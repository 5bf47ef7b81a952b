"""`minirnn data`: make a data set, or look whether one can be used."""

from __future__ import annotations

from pathlib import Path

import click

from minirnn.cli.data_coco import coco
from minirnn.cli.data_convert import COMMANDS
from minirnn.cli.data_inspect import inspect
from minirnn.cli.data_nuclei import nuclei
from minirnn.cli.datasets import WITHOUT_MASKS
from minirnn.cli.options import FILE, FOLDER, json_option, print_json, reporter, sentence

MOST_LINES = 50  # of single problems that are printed


@click.group(short_help="Make a data set, fetch a part of COCO, convert, split or check your own.")
def data() -> None:
    """Make a data set of shapes, nuclei or your own labels, fetch a part of COCO, split a set, check it."""


for _command in (coco, *COMMANDS, inspect, nuclei):
    data.add_command(_command)


@data.command()
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The folder to make.")
@click.option(
    "--level",
    type=click.Choice(["easy", "hard", "people"]),
    default="easy",
    show_default=True,
    help="easy: circles, squares, triangles. hard: also stars and crosses, all textured. "
    "people: stick figures with COCO's 17 keypoints.",
)
@click.option("--train", default=8000, show_default=True, help="Pictures to train on.")
@click.option("--val", default=200, show_default=True, help="Pictures to evaluate on.")
@click.option("--size", default=128, show_default=True, help="Height and width in pixels.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same pictures.")
@json_option
def shapes(
    out: Path, level: str, train: int, val: int, size: int, seed: int, as_json: bool
) -> None:
    """Make a data set of shapes, in COCO's format, with the truth known for every pixel.

    \b
        minirnn data shapes --level hard --out data/hard
    """
    from minirnn.data import CocoDataset, generate

    say = reporter(as_json)
    generate(out, level=level, train=train, val=val, size=size, seed=seed)
    figures = {split: _count(CocoDataset.from_folder(out, split)) for split in ("train", "val")}
    for split, counted in figures.items():
        say(f"{out} {split}: {sentence(counted)}")
    if as_json:
        print_json({"folder": out, "level": level, "seed": seed, **figures})
    else:
        preset = "keypointrcnn_shapes" if level == "people" else "maskrcnn_shapes"
        say(f"\nTrain on it:\n    minirnn train --data {out} --preset {preset} --out runs/NAME")


@data.command()
@click.argument("folder", type=FILE)
@click.option(
    "--split",
    metavar="NAME",
    help="Which part: train, val, …  [default: train, or the only one there is]",
)
@json_option
def check(folder: Path, split: str | None, as_json: bool) -> None:
    """Open every image and annotation of a data set, and name what cannot be used.

    FOLDER is in COCO's layout: annotations/instances_train2017.json beside train2017/ (the year may
    be missing). Ends with 1 if there is anything that training would stop at. Of a folder in another
    tool's format it says which, and the command that makes COCO's layout of it. What training would not
    notice, and learn, is found by `minirnn data inspect`.

    \b
        minirnn data check ../coco --split val
    """
    from minirnn.data import CocoDataset
    from minirnn.data.layout import splits_of

    say = reporter(as_json)
    if split is None:
        splits = splits_of(folder, ["instances"])
        split = splits[0] if len(splits) == 1 else "train"
    dataset = CocoDataset.from_folder(folder, split, skip_invalid=True)
    figures = _count(dataset)
    say(f"{dataset.file}: {sentence(figures)}")
    for problem in dataset.problems[:MOST_LINES]:
        say(str(problem))
    say(dataset.skipped_summary or "everything can be used")
    if not dataset.has_masks:
        say(f"the objects have boxes and no masks: {WITHOUT_MASKS}")
    if figures["crowd_regions"] == figures["instances"]:
        say(
            "all objects are marked as crowds (iscrowd), which training passes over. CVAT marks every mask "
            f"made with a brush so: minirnn data convert {folder} --out DIR takes them as objects"
        )
    if as_json:
        figures = {**figures, "masks": dataset.has_masks}
        print_json({"file": dataset.file, **figures, "skipped": dict(dataset.skipped)})
    if dataset.skipped:
        raise click.exceptions.Exit(1)


def _count(dataset: object) -> dict[str, int]:
    """How many images, instances, crowd regions and categories there are."""
    truth = dataset.ground_truth  # type: ignore[attr-defined]
    annotations = truth["annotations"]
    return {
        "images": len(truth["images"]),
        "without_instances": len(
            {image["id"] for image in truth["images"]} - {a["image_id"] for a in annotations}
        ),
        "instances": len(annotations),
        "crowd_regions": sum(1 for a in annotations if a["iscrowd"]),
        "categories": len(truth["categories"]),
    }
