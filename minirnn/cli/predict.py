"""`minirnn predict`: draw what a network finds in photographs."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.datasets import proposals_wanted
from minirnn.cli.networks import load_network, skeleton_of
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
from minirnn.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from minirnn.data import Detections
    from minirnn.models import RCNN


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
@click.option(
    "--skip-invalid", is_flag=True, help="Go on when a photo cannot be read, and count such photos."
)
@proposals_option
@device_option
@set_option("box_nms_iou=0.4")
@json_option
def predict(
    photos: tuple[Path, ...],
    weights: Path,
    out: Path,
    score: float,
    skip_invalid: bool,
    proposals: Path | None,
    device: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Find the objects in photographs.

    \b
        minirnn predict photo.jpg --weights runs/first/checkpoint.safetensors

    For photo.jpg this writes photo.detections.png, the picture with boxes, names, scores and masks,
    and photo.detections.json, the same as data: for each object category, score, bbox (x, y, width,
    height in pixels), segmentation (the mask as COCO's run lengths) and keypoints (x, y and a score for
    each, joined by lines in the picture), as far as the network has such heads.
    """
    from minirnn.data import read_image
    from minirnn.data.proposals import read_proposals
    from minirnn.files import write_whole

    say = reporter(as_json)
    model = load_network(weights, overrides, device)
    proposals_wanted(proposals, model)
    given = read_proposals(proposals) if proposals else None
    out.mkdir(parents=True, exist_ok=True)
    reports, skipped = [], 0
    for photo, name in zip(photos, _names(photos), strict=True):
        try:
            image = read_image(photo)
        except InputError as error:
            if not skip_invalid:
                raise
            say(f"skipped: {error}")
            skipped += 1
            continue
        (detections,) = model.predict(
            [image],
            proposals=None if given is None else [given.of(photo.name)],
            score_threshold=score,
        )
        report = _report(photo, image, detections, model)
        report["picture"] = str(out / f"{name}.detections.png")
        write_whole(out / f"{name}.detections.png", _picture(image, detections, model))
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
        write_whole(out / f"{name}.detections.json", text)
        reports.append(report)
        counted = Counter(found["category"] for found in report["detections"])
        what = ", ".join(f"{count} {category}" for category, count in counted.most_common())
        say(f"{photo}: {what or 'nothing'} ({report['picture']})")
    if skipped:
        say(f"{skipped} of {len(photos)} photos could not be read")
    if as_json:
        print_json({"photos": reports, "skipped": skipped})


def _names(photos: tuple[Path, ...]) -> list[str]:
    """A name for each photo's results; a second photo.jpg from another folder is photo-2."""
    used: Counter[str] = Counter()
    taken: set[str] = set()
    names = []
    for photo in photos:
        name = photo.stem
        while name in taken or not name:
            used[photo.stem] += 1
            name = f"{photo.stem}-{used[photo.stem] + 1}"
        taken.add(name)
        names.append(name)
    return names


def _report(photo: Path, image: np.ndarray, detections: Detections, model: RCNN) -> dict[str, Any]:
    """What was found, ready for JSON."""
    from minirnn.evaluation import to_results

    ids = {label: number for label, (number, _) in enumerate(model.categories, start=1)}
    results = to_results(detections, 0, ids)
    for result, label in zip(results, detections.labels, strict=True):
        del result["image_id"]  # there is no data set here
        _, result["category"] = model.categories[int(label) - 1]
    height, width = image.shape[:2]
    return {"photo": str(photo), "height": height, "width": width, "detections": results}


def _picture(image: np.ndarray, detections: Detections, model: RCNN) -> bytes:
    """The photo with what was found, as a PNG."""
    from PIL import Image

    from minirnn.draw import draw_instances
    from minirnn.draw.detections import every_point

    names = [name for _, name in model.categories]
    picture = draw_instances(
        image,
        detections.boxes,
        detections.labels,
        detections.scores,
        detections.masks,
        names,
        keypoints=every_point(detections.keypoints),
        skeleton=skeleton_of([detections]),
    )
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()
