"""What `minirnn demo` leaves behind: a folder with a report, pictures, figures and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirnn.cli.networks import Findings, skeleton_of
from minirnn.errors import InputError

if TYPE_CHECKING:
    from minirnn.data import Sample
    from minirnn.models import RCNN

#: What a demo leaves behind.
CONTENT = {
    "report.html": "everything on one page: open it in a browser",
    "predictions.png": "ground truth beside prediction, for images never trained on",
    "curves.png": "the losses over the steps",
    "results.json": "COCO's numbers: average precision and recall",
    "detections.json": "all detections, in COCO's results format",
    "metrics.jsonl": "losses of every step",
    "checkpoint.safetensors": "the trained weights",
    "run.json": "what was called, and how it ended",
}


def write_pictures(
    out: Path,
    model: RCNN,
    *,
    title: str,
    preset: str,
    samples: list[Sample],
    found: Findings,
    numbers: Mapping[str, Mapping[str, float | None]],
    **rest: Any,
) -> None:
    """Leave curves.png, predictions.png and report.html in the demo's folder."""
    from minirnn.draw import curves_figure, predictions_figure, write_report

    names = [name for _, name in model.categories]
    plain = {"Software": None}  # else the file tells matplotlib's version, and differs with it
    curves_figure(out / "metrics.jsonl").savefig(out / "curves.png", metadata=plain)
    skeleton = skeleton_of(found.detections)
    figure = predictions_figure(samples, found.detections, names, skeleton=skeleton)
    figure.savefig(out / "predictions.png", metadata=plain)
    write_report(
        out / "report.html",
        title=title,
        model={
            "network": preset,
            "parameters": sum(parameter.data.size for parameter in model.parameters()),
            **model.facts,
            "categories": names,
        },
        metrics=out / "metrics.jsonl",
        results=numbers,
        samples=samples,
        detections=found.detections,
        names=names,
        skeleton=skeleton,
        **rest,
    )


def make_room(out: Path, overwrite: bool, say: Callable[[str], None]) -> None:
    """Move an earlier demo aside (to demo-1, demo-2, …), or delete it if that is wanted.

    Raises:
        InputError: there is a file in place of the folder, or a demo is still running there.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; it should be the demo's folder")
    old = [out / name for name in CONTENT if (out / name).exists()]
    if not old:
        return
    from minirnn.files import alone_in

    with alone_in(out):
        if overwrite:
            for path in old:
                path.unlink()
            return
        number = 1
        while (aside := out.with_name(f"{out.name}-{number}")).exists():
            number += 1
        out.rename(aside)
    say(f"the earlier {out} is now {aside}")
