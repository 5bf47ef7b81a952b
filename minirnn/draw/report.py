"""The report of a training run: one HTML file with everything in it, to open, keep or send.

It holds its pictures inside, loads nothing and runs nothing.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minirnn.draw.boxes import host_array
from minirnn.draw.data_url import data_url
from minirnn.draw.detections import Names, Skeleton, match_objects, pair_of_pictures
from minirnn.draw.pages import template
from minirnn.draw.records import Course, read_metrics
from minirnn.draw.run_page import course_groups
from minirnn.draw.words import as_written, duration, flat, is_number, software, words
from minirnn.errors import InputError
from minirnn.files import write_whole
from minirnn.structures import Detections, Sample

# COCO's numbers, box and mask first, then those that only keypoints have.
EXPLANATIONS = {
    "AP": "The main number: mean over IoU 0.50, 0.55, …, 0.95 and over categories.",
    "AP50": "A detection counts as right from IoU 0.50 on: found, if roughly.",
    "AP75": "A detection counts as right from IoU 0.75 on: found, and placed well.",
    "APs": "AP of small objects, under 32² pixels.",
    "APm": "AP of medium objects, 32² to 96² pixels.",
    "APl": "AP of large objects, over 96² pixels.",
    "AR": "Average recall: the share of objects found, mean over the same thresholds.",
    "AR1": "Average recall, if an image and category may give 1 detection.",
    "AR10": "Average recall, if it may give 10 detections.",
    "AR100": "Average recall, if it may give 100 detections.",
    "AR50": "Recall with the similarity threshold 0.50.",
    "AR75": "Recall with the similarity threshold 0.75.",
    "ARs": "Average recall of small objects.",
    "ARm": "Average recall of medium objects.",
    "ARl": "Average recall of large objects.",
}
KINDS = {"bbox": "Boxes", "segm": "Masks", "keypoints": "Keypoints"}

_MOST_IMAGES = 12
_LONG_SIDE = 448  # of a picture in the report, in pixels
_TEXT_SIZE = 21  # in those pixels: a page shows two pictures side by side, much smaller
_BUDGET = 2_800_000  # bytes of base64 for all pictures


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    settings: Mapping[str, Any],
    model: Mapping[str, Any],
    metrics: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
    results: Mapping[str, Mapping[str, float | None]],
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    names: Names,
    timings: Mapping[str, Any],
    command: str,
    min_score: float = 0.5,
    skeleton: Skeleton | None = None,
) -> None:
    """Write a run as one self-contained HTML page, about 3 MB at the most.

    Args:
        path: the file to write; its folder is made if need be.
        title: the page's heading.
        settings: how it was trained: data, steps, batch size, …; nested mappings are flattened.
        model: what was trained: network, parameters, ….
        metrics: a metrics.jsonl file, or its records.
        results: {"bbox": {"AP": …, "AP50": …, …}, "segm": {…}, "keypoints": {…}}: COCO's numbers by
            name, in [0, 1]; None or -1 where there are no objects of the kind.
        samples: images with their ground truth; the first dozen are shown.
        detections: what was found in each sample.
        names: the categories' names, as for `draw_instances`.
        timings: what took how long; numbers are seconds. "total" stands apart at the end.
        command: the command that makes this report again.
        min_score: detections below are not drawn.
        skeleton: which keypoints to join by lines.

    Raises:
        InputError: samples and detections differ in number, the metrics file is missing or broken,
            or the report cannot be written.
    """
    if len(samples) != len(detections):
        raise InputError(f"{len(samples)} samples and {len(detections)} detections; give one each")
    records = read_metrics(metrics) if isinstance(metrics, (str, os.PathLike)) else list(metrics)
    course = Course()
    for number, record in enumerate(records):
        course.add({"step": number, **record})
    groups = course_groups(course)
    left = _BUDGET - sum(len(chart["svg"]) for *_, charts in groups for chart in charts)
    page = template("report.html").render(
        title=title,
        headline=_headline(results, model, timings),
        model=flat(model),
        settings=flat(settings),
        steps=len(records),
        groups=groups,
        signs=course.signs,
        kinds=[KINDS.get(kind, kind) for kind in results],
        table=_table(results),
        examples=_examples(samples, detections, names, min_score, skeleton, left),
        min_score=f"{min_score:g}",
        timings=_timings(timings),
        command=command,
        software=software(),
    )
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _headline(
    results: Mapping[str, Mapping[str, float | None]],
    model: Mapping[str, Any],
    timings: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """The few numbers at the top: AP of each kind, parameters, time."""
    singular = {"bbox": "Box", "segm": "Mask", "keypoints": "Keypoint"}
    tiles = [
        (_score(numbers.get("AP")), f"{singular.get(kind, kind)} AP")
        for kind, numbers in results.items()
    ]
    parameters = model.get("parameters")
    if is_number(parameters):
        tiles.append((as_written(parameters), "parameters"))
    seconds = [value for value in timings.values() if is_number(value)]
    if seconds:
        total = timings.get("total")
        tiles.append((duration(total if is_number(total) else sum(seconds)), "in total"))
    return tiles


def _table(results: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, list[str], str]]:
    """Rows of (name, a number for each kind, what it means), in COCO's order."""
    present = {name: True for numbers in results.values() for name in numbers}
    ordered = [name for name in EXPLANATIONS if name in present]
    ordered += [name for name in present if name not in EXPLANATIONS]
    return [
        (name, [_score(n.get(name)) for n in results.values()], EXPLANATIONS.get(name, ""))
        for name in ordered
    ]


def _score(value: float | None) -> str:
    """An AP with three digits; COCO's -1 and None mean that there was nothing to measure."""
    known = value is not None and math.isfinite(value) and value >= 0
    return f"{value:.3f}" if known else "–"


def _examples(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    names: Names,
    min_score: float,
    skeleton: Skeleton | None,
    budget: int,
) -> list[dict[str, str]]:
    """Pictures and captions of the first samples, in at most `budget` characters of base64."""
    pairs = list(zip(samples, detections, strict=True))[:_MOST_IMAGES]
    drawn = []
    for sample, found in pairs:
        long = max(sample.image.shape[:2])
        # Enlarged by a whole number, so that all pixels stay squares of one size.
        scale = max(_LONG_SIDE // long, 1) if long <= _LONG_SIDE else _LONG_SIDE / long
        drawn.append(
            pair_of_pictures(
                sample,
                found,
                names,
                min_score,
                skeleton=skeleton,
                scale=scale,
                text_size=_TEXT_SIZE,
            )
        )
    encoded: list[tuple[str, str]] = []
    for quality in (85, 65, 40, 15):
        encoded = [(_webp(truth, quality), _webp(guess, quality)) for truth, guess in drawn]
        if sum(len(truth) + len(guess) for truth, guess in encoded) <= budget:
            break
    examples = []
    for (sample, found), (truth, guess) in zip(pairs, encoded, strict=True):
        target = sample.target
        crowd = host_array(target.is_crowd).astype(bool)
        matched = match_objects(sample, found, min_score)
        right = len({i for i in matched if i >= 0 and not crowd[i]})
        false, objects = matched.count(-1), int((~crowd).sum())
        caption = f"{right} of {objects} found" if objects else "no objects"
        if false:
            caption += f", {false} false"
        name = target.file_name and Path(target.file_name).name
        examples.append(
            {"name": name or f"image {target.image_id}", "caption": caption}
            | {"truth": truth, "guess": guess}
        )
    return examples


def _timings(timings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of (what, how long, its share of the longest in percent); "total" last, without one."""
    rows: list[dict[str, Any]] = []
    parts = {name: value for name, value in timings.items() if name != "total"}
    most = max((float(value) for value in parts.values() if is_number(value)), default=0.0)
    for name, value in parts.items():
        if not is_number(value):
            rows.append({"name": words(name), "text": str(value), "share": None})
            continue
        share = max(round(100 * value / most, 1), 0.5) if most > 0 else 0.0
        rows.append({"name": words(name), "text": duration(value), "share": share})
    if "total" in timings:
        total = timings["total"]
        text = duration(total) if is_number(total) else str(total)
        rows.append({"name": "total", "text": text, "share": None})
    return rows


def _webp(picture: np.ndarray, quality: int) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", quality=quality, method=4)
    return data_url(file.getvalue(), "webp")
