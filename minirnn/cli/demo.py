"""`minirnn demo`: everything once, from made-up pictures to a trained network and a report."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from minirnn.cli.datasets import open_dataset, subset_of
from minirnn.cli.demo_files import CONTENT, make_room, write_pictures
from minirnn.cli.going_on import commands, recall_demo, remember_demo
from minirnn.cli.networks import find_all, kinds_of, make_ready
from minirnn.cli.options import (
    FOLDER,
    device_option,
    json_option,
    print_json,
    reporter,
    set_option,
    split_overrides,
)
from minirnn.cli.starts import fresh_network, weights_for
from minirnn.errors import InputError
from minirnn.watch.live import Live, network_facts
from minirnn.watch.run_folder import PAGE


class Subject(NamedTuple):
    """What a level's pictures are for.

    Attributes:
        title: of the report.
        preset: the network.
        settings: of the training, where neither `SETTINGS` nor the preset's recipe has them.
    """

    title: str
    preset: str
    settings: Mapping[str, Any] = MappingProxyType({})


SUBJECTS = {
    "easy": Subject(
        "Mask R-CNN on shapes", "maskrcnn_shapes", {"steps": 1100, "learning_rate": 0.04}
    ),
    "hard": Subject("Mask R-CNN on textured shapes", "maskrcnn_textured_shapes"),
    "people": Subject(
        "Keypoint R-CNN on stick figures",
        "keypointrcnn_shapes",
        {"steps": 1000, "learning_rate": 0.1},
    ),
}
#: How the demo trains, where that differs from the defaults of `TrainingSettings`.
SETTINGS = {
    "batch_size": 8,
    # At so high a learning rate some seeds would diverge in the warm-up, here as in torchvision.
    "clip_norm": 3.0,
    "checkpoint_every": 200,
    "processes": 0,
}
PICTURES = 12  # of the held-out images, shown with their truth


@click.command(short_help="Everything once: make pictures, train, evaluate, report.")
@click.option(
    "--out",
    type=FOLDER,
    default="runs/demo",
    show_default=True,
    metavar="DIR",
    is_eager=True,
    callback=recall_demo,
    help="Its folder.",
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
    type=click.Choice(list(SUBJECTS)),
    default="easy",
    show_default=True,
    help="easy: circles, squares, triangles. hard: also stars and crosses, all textured. "
    "people: stick figures, and their keypoints in place of masks.",
)
@click.option(
    "--steps",
    type=int,
    help="Batches to train on.  [default: 1100; hard: 450; people: 1000]",
)
@click.option("--train-images", default=8000, show_default=True, help="Pictures to train on.")
@click.option("--val-images", default=200, show_default=True, help="Pictures to evaluate on.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same numbers.")
@click.option(
    "--resume",
    is_flag=True,
    is_eager=True,
    callback=recall_demo,
    help="Go on with the demo in --out where it stopped, with what it was given.",
)
@click.option("--overwrite", is_flag=True, help="Delete an earlier demo, in place of keeping it.")
@device_option
@set_option("roi_operation=pool")
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
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

    Draws the pictures, trains, evaluates on pictures that it has not seen, and writes a report, which
    shows the training while it goes. An
    earlier demo in the same place is moved aside (runs/demo-1, …). On two cores it takes about 5
    minutes; fewer steps are quicker and less exact:

    \b
        minirnn demo --steps 100

    On textured ground a network does not learn from so few pictures what a texture is. There it starts from
    ImageNet's weights, which come with the extra imagenet (5 minutes):

    \b
        minirnn demo --level hard

    With stick figures it is a Keypoint R-CNN, which says of each person where the nose, the wrists, the
    knees and 12 more points are, and the report has the AP of these (9 minutes):

    \b
        minirnn demo --level people
    """
    from minirnn.data import generate
    from minirnn.data.synthetic import holds_another_set
    from minirnn.evaluation import evaluate_results, summary_table, write_results
    from minirnn.files import write_whole
    from minirnn.models import PRESETS, Config
    from minirnn.models.build import finds
    from minirnn.progress import loss_text
    from minirnn.training import TrainingSettings, train
    from minirnn.training.checkpoint import CHECKPOINT
    from minirnn.training.recipes import settings_of

    say = reporter(as_json)
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    fields, chosen = split_overrides(overrides, Config, TrainingSettings)
    if steps is not None:
        chosen["steps"] = steps
    subject = SUBJECTS[level]
    own = {**SETTINGS, **subject.settings, "seed": seed}
    settings = settings_of(subject.preset, **own | chosen)
    if resume and not (out / CHECKPOINT).is_file():
        raise InputError(f"{out}: there is no demo to go on with")
    pictures: dict[str, Any] = {
        "level": level,
        "train": train_images,
        "val": val_images,
        "seed": seed,
    }
    if folder and holds_another_set(folder, **pictures):
        raise InputError(
            f"--data {folder} holds another set of made-up pictures, which the demo's would replace; "
            "choose another folder"
        )
    if not resume:
        make_room(out, overwrite, say)
    watch, called = Stopwatch(), commands(ctx.obj, out, resume)

    say("1. The pictures")
    folder = folder or Path("data") / f"shapes-{level}"
    generate(folder, **pictures)
    points = "keypoints" in finds(PRESETS[subject.preset].replace(**fields))
    training_set, held_out = (
        open_dataset(folder, split, skip_invalid=False, say=say, keypoints=points)
        for split in ("train", "val")
    )
    say(f"   {folder}: {train_images} to train on, {val_images} to evaluate on")
    watch.lap("pictures")

    say("2. The training")
    start = weights_for(subject.preset, None)
    model = fresh_network(subject.preset, fields, training_set, settings.seed, start, say)
    make_ready(model, device)
    page = {
        "title": subject.title,
        **called,
        "demo": remember_demo({**ctx.params, "folder": folder}),
        "steps": settings.steps,
        "network": network_facts(model, subject.preset),
        "settings": {"level": level, "images": train_images, **dataclasses.asdict(settings)},
    }
    say(f"   look at {out / PAGE} while it trains")
    with Live(out, page, steps=settings.steps, resume=resume, say=say) as live:
        summary = train(
            *(model, training_set, settings, out),
            resume=resume,
            preset=subject.preset,
            watch=live,
        )
    say(f"   {summary.steps} steps in {summary.seconds:.0f} s, loss {loss_text(summary.total)}")
    watch.lap("training")

    say("3. The evaluation")
    images = subset_of(held_out, None)
    found = find_all(model, held_out, images, batch_size=8, keep=PICTURES, say=say)
    numbers = evaluate_results(held_out.ground_truth, found.results, kinds_of(model, held_out))
    write_results(out / "detections.json", found.results)
    write_whole(out / "results.json", json.dumps(numbers, indent=2) + "\n")
    say(summary_table(numbers))
    watch.lap("evaluation")

    say("4. The report")
    data = {"level": level, "training images": train_images, "held-out images": val_images}
    write_pictures(
        out,
        model,
        title=subject.title,
        preset=subject.preset,
        samples=[images[i] for i in range(len(found.detections))],
        found=found,
        numbers=numbers,
        settings={"data": data, **dataclasses.asdict(settings), "device": device},
        timings=watch.laps,
        command=shlex.join(
            ["minirnn", *(word for word in called["command"] if word != "--resume")]
        ),
    )
    watch.lap("report")
    if as_json:
        report = {**numbers, "steps": summary.steps, "device": device, "seconds": watch.laps}
        print_json({**report, "files": {name: out / name for name in CONTENT}})
        return
    say(f"\nDone in {sum(watch.laps.values()) / 60:.1f} minutes. Look at:")
    for name, meaning in CONTENT.items():
        say(f"    {out / name!s:36} {meaning}")


class Stopwatch:
    """Seconds between one `lap` and the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._from = time.perf_counter()

    def lap(self, name: str) -> None:
        """Enter the time since the last lap under the name of what took it."""
        now = time.perf_counter()
        self.laps[name], self._from = now - self._from, now
