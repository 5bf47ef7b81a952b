"""`minirnn predict`: draw what a network finds in photographs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.datasets import proposals_wanted
from minirnn.cli.networks import load_network
from minirnn.cli.options import (
    FILE,
    FOLDER,
    Share,
    device_option,
    json_option,
    print_json,
    proposals_option,
    reporter,
    set_option,
)
from minirnn.cli.photos import Photo, find_photos
from minirnn.cli.ranks import shared_out
from minirnn.errors import InputError

if TYPE_CHECKING:
    from minirnn.distributed.communicator import Communicator
    from minirnn.evaluation import PhotoResults


@click.command(short_help="Draw what a network finds in photographs.")
@click.argument("photos", nargs=-1, required=True, type=FILE, metavar="PHOTO...")
@click.option("--weights", type=FILE, required=True, metavar="FILE", help="The network to use.")
@click.option(
    "--out",
    type=FOLDER,
    default="predictions",
    show_default=True,
    metavar="DIR",
    help="Where the results go.",
)
@click.option(
    "--score",
    type=Share(),
    default=0.5,
    show_default=True,
    help="Leave out what the network is less sure of.",
)
@click.option("--recursive", is_flag=True, help="Also look in the folders inside of a folder.")
@click.option(
    "--frames",
    is_flag=True,
    help="The photos are frames of a video: each picture gets the frame's own name, and each category "
    "one colour.",
)
@click.option(
    "--gif",
    type=FILE,
    metavar="FILE",
    callback=lambda ctx, param, value: _named_gif(value),
    help="Also write all pictures as one moving picture, ten a second; its name ends with .gif.",
)
@click.option("--crops", type=FOLDER, metavar="DIR", help="Also cut out each box, as a PNG.")
@click.option(
    "--cutouts",
    type=FOLDER,
    metavar="DIR",
    help="Also cut out each object along its mask, as a PNG with a transparent background.",
)
@click.option(
    "--coco",
    type=FILE,
    metavar="FILE",
    help="Also write all detections as one COCO results file (to measure AP, with --score 0.05).",
)
@click.option(
    "--annotations",
    type=FILE,
    metavar="FILE",
    help="With --coco: the annotation file that says which photo, by its name, has which id.  "
    "[default: numbers from 1, told in a second file]",
)
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="End with 0 even when photos could not be read (they are passed over and named anyway).",
)
@proposals_option
@device_option
@set_option("box_nms_iou=0.4")
@json_option
@shared_out
def predict(
    ranks: Communicator,
    photos: tuple[Path, ...],
    weights: Path,
    out: Path,
    score: float,
    recursive: bool,
    frames: bool,
    gif: Path | None,
    crops: Path | None,
    cutouts: Path | None,
    coco: Path | None,
    annotations: Path | None,
    skip_invalid: bool,
    proposals: Path | None,
    device: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Find the objects in photographs: files, folders of them, or patterns as '*.jpg'.

    \b
        minirnn predict photo.jpg --weights runs/first/checkpoint.safetensors
        minirnn predict holiday/ --recursive --weights … --crops crops --coco results.json
        mpiexec -n 4 minirnn predict holiday/ --weights …    # four processes share out the photos

    For photo.jpg this writes photo.detections.png, the picture with boxes, names, scores and masks,
    and photo.detections.json, the same as data: for each object category, score, bbox (x, y, width,
    height in pixels), segmentation (the mask as COCO's run lengths) and keypoints (x, y and a score for
    each, joined by lines in the picture), as far as the network has such heads.

    A photo that cannot be read is passed over; at the end it is named, and the exit code is 1.
    """
    from minirnn.cli.animation import write_gif
    from minirnn.cli.prediction import Outcome, Predictor
    from minirnn.data.proposals import read_proposals
    from minirnn.distributed.dealing import dealt_out
    from minirnn.evaluation import PhotoResults
    from minirnn.progress import Bar

    if annotations is not None and coco is None:
        raise click.UsageError("--annotations needs --coco")
    say = reporter(as_json, ranks)
    folders = [folder for folder in (out, crops, cutouts) if folder is not None]
    # The first rank looks alone: another would find results of the first beside the photos.
    found = ranks.broadcast(
        None if ranks.rank else find_photos(photos, recursive=recursive, leave_out=folders)
    )
    model = load_network(weights, overrides, device, ranks)
    proposals_wanted(proposals, model)
    collected = PhotoResults(model.categories, annotations)
    predictor = Predictor(
        model,
        score=score,
        proposals=read_proposals(proposals) if proposals else None,
        out=out,
        frames=frames,
        crops=crops,
        cutouts=cutouts,
        size_of=collected.size_of,
    )
    ids = None if coco is None else collected.ids_file(coco)
    reads = [weights, annotations, proposals]
    predictor.check_places(found, coco=coco, ids=ids, gif=gif, reads=reads)

    reports: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    one = len(found) == 1
    own = len(found[ranks.rank :: ranks.size])
    hidden = one or ranks.rank > 0 or None  # None: where nobody watches
    with Bar(total=own, unit=" photos", desc="finding", disable=hidden) as bar:

        def tell(text: str) -> None:
            with Bar.external_write_mode(file=sys.stderr):  # the bar makes room for the line
                say(text)

        def attempt(photo: Photo) -> Outcome:
            outcome = predictor.attempt(photo)
            bar.update()
            return outcome

        for outcome in dealt_out(found, attempt, ranks):
            photo, report = outcome.photo, outcome.report
            if not outcome.problem:
                try:
                    size = (report["height"], report["width"])
                    collected.add(photo.path, size, outcome.results)
                except InputError as error:
                    outcome = Outcome.spoilt(photo, error)
            if outcome.problem:
                failed.append({"photo": str(photo.path), "error": outcome.problem})
                if not one:
                    tell(f"passed over: {outcome.problem}")
            else:
                reports.append(report)
                tell(f"{photo.path}: {_in_words(report)} ({report['picture']})")
    if ranks.rank:
        return  # the first has all that there is to tell
    if coco is not None and reports:
        _write_coco(collected, coco, annotations, say)
    if as_json:
        print_json({"photos": reports, "skipped": len(failed), "failed": failed})
    problems = []
    if failed:
        errors = [each["error"] for each in failed]
        message = "\n  ".join([f"{len(failed)} of {len(found)} photos could not be used:", *errors])
        if skip_invalid:
            say(message)
        else:
            problems.append(errors[0] if one else message)
    if gif is not None and reports:  # last of all: its error costs nothing else
        try:
            write_gif(gif, [Path(report["picture"]) for report in reports])
            say(f"all of them, moving: {gif}")
        except (InputError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))


def _named_gif(path: Path | None) -> Path | None:
    """A path whose name says what is written there."""
    if path is not None and path.suffix.lower() != ".gif":
        raise click.BadParameter(
            f"{path}: a moving picture is written as GIF; its name should end with .gif",
            param_hint="--gif",
        )
    return path


def _in_words(report: dict[str, Any]) -> str:
    counted = Counter(found["category"] for found in report["detections"])
    return ", ".join(f"{count} {name}" for name, count in counted.most_common()) or "nothing"


def _write_coco(collected: PhotoResults, path: Path, annotations: Path | None, say: Any) -> None:
    """Write the results file, and say what a person should know of it."""
    beside = collected.write(path)
    say(f"{len(collected.rows)} detections: {path}")
    if collected.empty:
        say(f"{path} is an empty list, which pycocotools cannot load: no photo has an id")
    elif not collected.rows:
        say(f"{path} has one row of no category, since pycocotools cannot load an empty list")
    if beside is not None:
        say(f"which photo has which id: {beside}")
    if collected.strangers:
        names = ", ".join(str(photo) for photo in collected.strangers[:5])
        more = len(collected.strangers) - 5
        say(
            f"{len(collected.strangers)} photos are not in {annotations}, so not in {path.name}: "
            f"{names}{f' and {more} more' if more > 0 else ''}"
        )
    if collected.unknown:
        say(
            f"detections of {', '.join(sorted(collected.unknown))} are left out of {path.name}: "
            f"{annotations} has no such categories"
        )
