"""`minirnn explain`: the X-ray of one photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minirnn.cli.networks import load_network
from minirnn.cli.options import (
    FILE,
    Share,
    device_option,
    json_option,
    print_json,
    reporter,
    set_option,
)
from minirnn.cli.outputs import check_outputs
from minirnn.errors import InputError


@click.command(short_help="The X-ray of one photograph: where each detection comes from.")
@click.argument("photo", type=FILE, metavar="PHOTO")
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE",
    help="The network to use.  [default: the demo's, which comes with the package]",
)
@click.option(
    "--out", type=FILE, metavar="FILE", help="The page.  [default: PHOTO's name.xray.html]"
)
@click.option("--score", type=Share(), help="Leave out what the network is less sure of.")
@click.option(
    "--missed",
    multiple=True,
    metavar="X1,Y1,X2,Y2:NAME",
    help="An object that should be found there: where was it lost? Again for more.",
)
@device_option
@set_option("box_nms_iou=0.4")
@json_option
def explain(
    photo: Path,
    weights: Path | None,
    out: Path | None,
    score: float | None,
    missed: tuple[str, ...],
    device: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Show every stage of one photograph on a page, and where each detection comes from.

    \b
        minirnn explain photo.jpg --weights runs/first/checkpoint.safetensors

    Writes photo.xray.html, one file that needs no internet: open it in a browser. Choosing a detection
    lights its way back: its class scores, the region that was read, the map, the anchor, and the boxes
    that it suppressed. For an object that was missed, it says where it was lost:

    \b
        minirnn explain photo.jpg --missed "120,40,310,400:person"
    """
    from minirnn.data import read_image
    from minirnn.explain import trace
    from minirnn.explain.report import xray_page
    from minirnn.files import write_whole
    from minirnn.weights.shipped import shipped

    say = reporter(as_json)
    image = read_image(photo)
    out = out or photo.with_name(f"{photo.stem}.xray.html")
    check_outputs(pages=[out], reads=[photo, weights])
    model = load_network(weights or shipped(), overrides, device)
    asked = [_asked(text, model) for text in missed]
    options = {} if score is None else {"score_threshold": score}
    seen = trace(model, image, **options)
    fates = [(box, label, seen.fate(box, label)) for box, label in asked]
    write_whole(out, xray_page(seen, fates, photo.name))
    count = len(seen.detections.scores)
    say(f"{photo}: {count} detections")
    for (_, _, fate), text in zip(fates, missed, strict=True):
        say(f"{text}: {fate.sentence}")
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser")
    if as_json:
        found = [
            {"missed": text, "lost_at": fate.lost_at, "sentence": fate.sentence, "best": fate.best}
            for (_, _, fate), text in zip(fates, missed, strict=True)
        ]
        print_json({"page": str(out), "detections": count, "missed": found})


def _asked(text: str, model: Any) -> tuple[list[float], int]:
    """A box and a label of "x1,y1,x2,y2:name"; the name may be the label's number.

    Raises:
        InputError: it is not of that form, or there is no such class.
    """
    numbers, _, name = text.partition(":")
    try:
        box = [float(number) for number in numbers.split(",")]
    except ValueError:
        box = []
    if len(box) != 4 or not name:
        raise InputError(f"--missed is {text!r}; it should be like 120,40,310,400:person")
    names = [own for _, own in model.categories]
    if name in names:
        return box, names.index(name) + 1
    if name.isdigit() and 1 <= int(name) <= len(names):
        return box, int(name)
    raise InputError(
        f"--missed: the network knows no {name!r}; it knows {', '.join(names[:8])}"
        + (", …" if len(names) > 8 else "")
    )
