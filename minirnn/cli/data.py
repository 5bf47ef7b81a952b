"""`minirnn data`: make a data set, or look whether one can be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.data_coco import coco
from minirnn.cli.data_convert import COMMANDS
from minirnn.cli.data_inspect import inspect
from minirnn.cli.data_nuclei import nuclei
from minirnn.cli.datasets import WITHOUT_MASKS
from minirnn.cli.options import FILE, FOLDER, json_option, print_json, reporter, sentence
from minirnn.cli.shell import as_word

if TYPE_CHECKING:
    from minirnn.data import CocoDataset

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
        command = f"minirnn train --data {as_word(out)} --preset {preset} --out runs/NAME"
        say(f"\nTrain on it:\n    {command}")


@data.command()
@click.argument("folder", type=FILE)
@click.option("--split", metavar="NAME", help="Only this part: train, val, …  [default: all]")
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
    names = splits_of(folder, ["instances"]) if split is None else [split]
    names = sorted(names, key=lambda name: not name.startswith("train")) or ["train"]
    reports: dict[str, dict] = {}
    trained_on = None  # categories, which the splits after it should know by the same ids
    for name in names:
        dataset = CocoDataset.from_folder(folder, name, skip_invalid=True, categories=trained_on)
        if name.startswith("train"):
            trained_on = dataset.categories
        reports[name] = _checked(dataset, folder, say)
    if as_json:
        print_json(reports[names[0]] if len(names) == 1 else {"splits": reports})
    if any(report["skipped"] for report in reports.values()):
        raise click.exceptions.Exit(1)


def _checked(dataset: CocoDataset, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Say what is in a split, and what of it cannot be used; the same as figures."""
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
            f"made with a brush so: minirnn data convert {as_word(folder)} --format cvat "
            "--out DIR takes them as objects"
        )
    skipped = dict(dataset.skipped)
    return {"file": dataset.file, **figures, "masks": dataset.has_masks, "skipped": skipped}


def _count(dataset: CocoDataset) -> dict[str, int]:
    """How many images, instances, crowd regions and categories there are."""
    truth = dataset.ground_truth
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
