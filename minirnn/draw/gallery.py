"""Small pictures of a data set, with boxes and masks drawn in, as JPEG in data URLs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from minirnn.data.annotations import corners_of_box
from minirnn.data.inspection import HARMS, NOTE, STOPS, Inspection, kind_of
from minirnn.data.inspection.work import for_each
from minirnn.data.problems import Problem
from minirnn.draw.data_url import data_url
from minirnn.draw.detections import draw_instances
from minirnn.draw.palette import PALETTE
from minirnn.images import read_image
from minirnn.masks import decode, polygons_to_mask

LONG_SIDE = 480  # pixels of a small picture
QUALITY = 72


@dataclass(frozen=True)
class Card:
    """One picture of the gallery.

    Attributes:
        split: its name.
        image_id: of the image.
        name: its file.
        size: (height, width) of the image.
        count: of its objects.
        categories: their names, each once.
        problems: what is wrong with it.
        url: the picture.
    """

    split: str
    image_id: int
    name: str
    size: tuple[int, int]
    count: int
    categories: list[str]
    problems: list[Problem]
    url: str


class _Task(NamedTuple):
    """One image, as it goes to another process."""

    path: Path
    size: tuple[int, int]
    annotations: list[dict]
    texts: list[str]
    colours: list[str]
    has_masks: bool


def gallery(
    inspection: Inspection, most: int, *, workers: int, progress: bool = True
) -> list[Card]:
    """Up to `most` images: those with faults first, then those with notes, then evenly from the rest.

    Args:
        inspection: what was seen; its images are read again.
        most: how many.
        workers: processes; 0 for none but this one.
        progress: show a bar on standard error.
    """
    names = {i: name for split in inspection.splits for i, name in split.categories}
    by_image: dict[tuple[Path, Any], list[Problem]] = {}
    for problem in inspection.problems:
        by_image.setdefault((problem.file, problem.image_id), []).append(problem)
    every = [
        (split, record, path, own)
        for split in inspection.splits
        for record, path, own in zip(split.images, split.paths, split.annotations, strict=True)
    ]
    ranks = [_rank(by_image.get((split.file, record["id"]), [])) for split, record, *_ in every]
    chosen = [every[i] for i in _choice(ranks, most)]
    tasks = []
    for split, record, path, own in chosen:
        problems = by_image.get((split.file, record["id"]), [])
        wrong = {p.annotation_id for p in problems if kind_of(p.reason).severity != NOTE}
        texts = [
            ("! " if a["id"] in wrong else "")
            + names[a["category_id"]]
            + (" (crowd)" if a.get("iscrowd") else "")
            for a in own
        ]
        order = list(names)
        colours = [PALETTE[order.index(a["category_id"]) % len(PALETTE)] for a in own]
        size = record["height"], record["width"]
        tasks.append(_Task(path, size, own, texts, colours, split.has_masks))
    urls = for_each(
        small_picture,
        tasks,
        workers=workers,
        what="gallery",
        names=lambda task: str(task.path),
        progress=progress,
    )
    return [
        Card(
            split.name,
            record["id"],
            record["file_name"],
            (record["height"], record["width"]),
            len(own),
            list(dict.fromkeys(names[a["category_id"]] for a in own)),
            by_image.get((split.file, record["id"]), []),
            url,
        )
        for (split, record, _, own), url in zip(chosen, urls, strict=True)
    ]


def _rank(problems: list[Problem]) -> int:
    """0 for an image with faults, 1 for one with notes, 2 for one with neither."""
    severities = {kind_of(problem.reason).severity for problem in problems}
    return 0 if severities & {STOPS, HARMS} else 1 if severities else 2


def _choice(ranks: list[int], most: int) -> list[int]:
    """Positions of at most `most` entries, by rank; of a rank that does not fit, evenly spread ones."""
    chosen: list[int] = []
    for rank in range(3):
        group = [i for i, own in enumerate(ranks) if own == rank]
        room = most - len(chosen)
        if len(group) > room:
            group = [group[i] for i in np.linspace(0, len(group) - 1, room).round().astype(int)]
        chosen += group
    return chosen


def small_picture(task: _Task) -> str:
    """The image with its objects drawn in, as a data URL of some 20 kB."""
    height, width = task.size
    image = Image.fromarray(read_image(task.path, size=task.size))
    scale = min(LONG_SIDE / max(height, width), 1.0)
    small = max(round(height * scale), 1), max(round(width * scale), 1)
    image = image.resize(small[::-1], Image.Resampling.LANCZOS, reducing_gap=2.0)
    ratio = np.array([small[1] / width, small[0] / height] * 2)
    boxes = np.array([corners_of_box(a["bbox"], height, width) for a in task.annotations])
    masks = None
    if task.has_masks and task.annotations:
        masks = np.stack(
            [_small_mask(a["segmentation"], task.size, small) for a in task.annotations]
        )
    drawn = draw_instances(
        np.asarray(image),
        boxes.reshape(-1, 4) * ratio,
        np.arange(1, len(task.annotations) + 1),
        None,
        masks,
        task.texts,
        colours=task.colours,
        scale=max(LONG_SIDE // max(small), 1),
        text_size=14,
    )
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, format="JPEG", quality=QUALITY, optimize=True)
    return data_url(file.getvalue(), "jpeg")


def _small_mask(segmentation: Any, size: tuple[int, int], small: tuple[int, int]) -> np.ndarray:
    """The mask at the small picture's size, (H, W) bool."""
    if isinstance(segmentation, list):
        ratio = np.array([small[1] / size[1], small[0] / size[0]])
        points = [
            (np.reshape(polygon, (-1, 2)) * ratio).ravel().tolist() for polygon in segmentation
        ]
        return polygons_to_mask(points, *small)
    mask = Image.fromarray(decode(segmentation))
    return np.asarray(mask.resize(small[::-1], Image.Resampling.NEAREST))
