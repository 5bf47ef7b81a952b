"""The course's pictures with their objects, each in its own colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes

from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


class Subject(Protocol):
    """A picture and what is in it: what `lessons.photograph()` and `lessons.scene()` give."""

    @property
    def image(self) -> np.ndarray: ...  # noqa: D102
    @property
    def boxes(self) -> np.ndarray: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def colours(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def masks(self) -> np.ndarray | None: ...  # noqa: D102


def subjects_figure(*subjects: Subject) -> Picture:
    """Pictures side by side, each object with its box, its name and, where it is known, its outline.

    Args:
        subjects: each with image (H, W, 3) uint8, boxes (N, 4), N names and N colours, and masks
            (N, H, W) or None.

    Raises:
        InputError: there are none, or one has other shapes.
    """
    if not subjects:
        raise InputError("subjects is empty; give one picture at least")
    picture = Picture(figsize=(3.9 * len(subjects), 4.1), layout="constrained")
    panels = picture.subplots(1, len(subjects), squeeze=False)[0]
    for axes, subject in zip(panels, subjects, strict=True):
        boxes = host_boxes(subject.boxes)
        if not len(boxes) == len(subject.names) == len(subject.colours):
            raise InputError(
                f"{len(boxes)} boxes, {len(subject.names)} names and {len(subject.colours)} colours; "
                "there should be as many of each"
            )
        height, width = host_image(subject.image).shape[:2]
        show_image(axes, host_image(subject.image), f"{height} rows, {width} columns")
        for mask in () if subject.masks is None else host_array(subject.masks):
            if mask.any() and not mask.all() and min(height, width) > 1:
                x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
                axes.contour(x, y, mask.astype(float), [0.5], colors="white")
        add_boxes(axes, boxes, "white", width=4)
        add_boxes(axes, boxes, list(subject.colours), width=2.4)
        _name(axes, boxes, subject, height)
        axes.set(xlabel="x, pixels", ylabel="y, pixels")
        axes.set_xticks(np.linspace(0, width, 5))
        axes.set_yticks(np.linspace(0, height, 5))
    return picture


def _name(axes: Axes, boxes: np.ndarray, subject: Subject, height: int) -> None:
    """Each object's name on its box's upper edge: at its left end, or where that is taken its right."""
    taken: list[np.ndarray] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for number in np.argsort(areas, kind="stable"):  # a large box has room elsewhere
        box, name, colour = boxes[number], subject.names[number], subject.colours[number]
        left = np.array([box[0], max(box[1], 0.065 * height)])
        side = "left"
        if any((np.abs(left - other) < (0.25 * height, 0.07 * height)).all() for other in taken):
            left, side = np.array([box[2], left[1]]), "right"
        taken.append(left)
        axes.text(
            float(left[0]), float(left[1]), name, color="white", fontsize=8.5, ha=side, va="bottom",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
