"""`minirnn demo`: everything once, from made-up pictures to a trained network and a report."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.datasets import open_dataset, subset_of
from minirnn.cli.networks import Findings, find_all, kinds_of
from minirnn.cli.options import (
    FOLDER,
    device_option,
    json_option,
    print_json,
    reporter,
    set_option,
    split_overrides,
)
from minirnn.errors import InputError

if TYPE_CHECKING:
    from minirnn.data import Sample
    from minirnn.models import RCNN

PRESET = "maskrcnn_shapes"
#: How the demo trains, where it differs from what `TrainingSettings` says anyway.
SETTINGS = {
    "steps": 1100,
    "batch_size": 8,
    "learning_rate": 0.04,
    # At so high a rate some seeds would diverge in the warm-up, here as in torchvision.
    "clip_norm": 3.0,
    "checkpoint_every": 200,
    "processes": 0,
}
PICTURES = 12  # of the held-out images, shown with their truth

#: What a demo leaves behind.
CONTENT = {
    "report.html": "everything on one page: open it in a browser",
    "predictions.png": "ground truth beside prediction, for images never trained on",
    "curves.png": "the losses over the steps",
    "results.json": "COCO's twelve numbers for boxes and masks",
    "detections.json": "all detections, in COCO's results format",
    "metrics.jsonl": "losses of every step",
    "checkpoint.safetensors": "the trained weights",
}


@click.command(short_help="Everything once: make pictures, train, evaluate, report.")
@click.option(
    "--out", type=FOLDER, default="runs/demo", show_default=True, metavar="DIR", help="Its folder."
)
@click.option(
    "--data",
    "folder",
    type=FOLDER,
    metavar="DIR",
    help="Where the pictures go, or are already.  [default: data/shapes-LEVEL]",
)
@click.option(
    "--level",
    type=click.Choice(["easy", "hard"]),
    default="easy",
    show_default=True,
    help="easy: circles, squares, triangles. hard: also stars and crosses, all textured.",
)
@click.option("--steps", type=int, help=f"Batches to train on.  [default: {SETTINGS['steps']}]")
@click.option("--train-images", default=8000, show_default=True, help="Pictures to train on.")
@click.option("--val-images", default=200, show_default=True, help="Pictures to evaluate on.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--resume", is_flag=True, help="Go on with a demo that was stopped.")
@click.option("--overwrite", is_flag=True, help="Delete an earlier demo, in place of keeping it.")
@device_option
@set_option("roi_operation=pool")
@json_option
@click.pass_obj
def demo(
    command: Sequence[str],
    out: Path,
    folder: Path | None,
    level: str,
    steps: int | None,
    train_images: int,
    val_images: int,
    seed: int,
    resume: bool,
    overwrite: bool,
    device: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Train a Mask R-CNN on made-up pictures of shapes, and look at what it finds.

    \b
        minirnn demo

    Draws the pictures, trains, evaluates on pictures that it has not seen, and writes a report. An
    earlier demo in the same place is moved aside (runs/demo-1, …). On two cores it takes about 5
    minutes; fewer steps are quicker and less exact:

    \b
        minirnn demo --steps 100
    """
    from minirnn.data import generate
    from minirnn.evaluation import evaluate_results, summary_table, write_results
    from minirnn.models import Config, build_model
    from minirnn.training import TrainingSettings, train

    say = reporter(as_json)
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    fields, chosen = split_overrides(overrides, Config, TrainingSettings)
    if steps is not None:
        chosen["steps"] = steps
    settings = TrainingSettings(**{**SETTINGS, "seed": seed, **chosen})
    if not resume:
        make_room(out, overwrite, say)
    watch = Stopwatch()

    say("1. The pictures")
    folder = folder or Path("data") / f"shapes-{level}"
    generate(folder, level=level, train=train_images, val=val_images, seed=seed)
    training_set = open_dataset(folder, "train", skip_invalid=False, say=say)
    held_out = open_dataset(folder, "val", skip_invalid=False, say=say)
    say(f"   {folder}: {train_images} to train on, {val_images} to evaluate on")
    watch.lap("pictures")

    say("2. The training")
    categories = tuple(training_set.categories)
    own = {"num_classes": len(categories) + 1, "categories": categories}
    from minirnn.kernels.cpu.memory import keep_freed

    keep_freed()
    model = build_model(PRESET, seed=settings.seed, **{**own, **fields})
    model.to(device)
    summary = train(model, training_set, settings, out, resume=resume, preset=PRESET)
    say(f"   {summary.steps} steps in {summary.seconds:.0f} s, loss {summary.total:.3f}")
    watch.lap("training")

    say("3. The evaluation")
    images = subset_of(held_out, None)
    found = find_all(model, held_out, images, batch_size=8, keep=PICTURES, say=say)
    numbers = evaluate_results(held_out.ground_truth, found.results, kinds_of(model, held_out))
    write_results(out / "detections.json", found.results)
    (out / "results.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    say(summary_table(numbers))
    watch.lap("evaluation")

    say("4. The report")
    data = {"level": level, "training images": train_images, "held-out images": val_images}
    write_pictures(
        out,
        model,
        samples=[images[i] for i in range(len(found.detections))],
        found=found,
        numbers=numbers,
        settings={"data": data, **dataclasses.asdict(settings), "device": device},
        timings=watch.laps,
        command=shlex.join(["minirnn", *(word for word in command if word != "--resume")]),
    )
    watch.lap("report")
    if as_json:
        report = {**numbers, "steps": summary.steps, "device": device, "seconds": watch.laps}
        print_json({**report, "files": {name: out / name for name in CONTENT}})
        return
    say(f"\nDone in {sum(watch.laps.values()) / 60:.1f} minutes. Look at:")
    for name, meaning in CONTENT.items():
        say(f"    {out / name!s:36} {meaning}")


def write_pictures(
    out: Path,
    model: RCNN,
    *,
    samples: list[Sample],
    found: Findings,
    numbers: Mapping[str, Mapping[str, float | None]],
    **rest: Any,
) -> None:
    """Leave curves.png, predictions.png and report.html in the demo's folder."""
    from minirnn.draw import curves_figure, predictions_figure, write_report

    config = model.config
    names = [name for _, name in config.categories]
    plain = {"Software": None}  # else the file tells matplotlib's version, and differs with it
    curves_figure(out / "metrics.jsonl").savefig(out / "curves.png", metadata=plain)
    figure = predictions_figure(samples, found.detections, names)
    figure.savefig(out / "predictions.png", metadata=plain)
    write_report(
        out / "report.html",
        title="Mask R-CNN on shapes",
        model={
            "network": PRESET,
            "parameters": sum(parameter.data.size for parameter in model.parameters()),
            "backbone": f"{config.backbone.name}, FPN of {config.fpn.channels} channels",
            "normalisation": config.backbone.norm,
            "RoI operation": config.roi.operation,
            "mask head": config.mask.enabled,
            "categories": names,
        },
        metrics=out / "metrics.jsonl",
        results=numbers,
        samples=samples,
        detections=found.detections,
        names=names,
        **rest,
    )


class Stopwatch:
    """Seconds between one `lap` and the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._from = time.perf_counter()

    def lap(self, name: str) -> None:
        """What took the time since the last lap."""
        now = time.perf_counter()
        self.laps[name], self._from = now - self._from, now


def make_room(out: Path, overwrite: bool, say: Callable[[str], None]) -> None:
    """Move an earlier demo aside (to demo-1, demo-2, …), or delete it if that is wanted.

    Raises:
        InputError: there is a file in place of the folder.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; it should be the demo's folder")
    old = [out / name for name in CONTENT if (out / name).exists()]
    if not old:
        return
    if overwrite:
        for path in old:
            path.unlink()
        return
    number = 1
    while (aside := out.with_name(f"{out.name}-{number}")).exists():
        number += 1
    out.rename(aside)
    say(f"the earlier {out} is now {aside}")
