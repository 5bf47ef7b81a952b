"""Four ages of one detector: how often each pixel is computed anew, and where the work goes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_boxes, host_image, show_image
from minirnn.draw.palette import AMBER, BLUE, GREEN, PINK, SKY
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

COLOURS = (BLUE, AMBER, GREEN, PINK, SKY)


def recomputed_figure(image: Array, proposals: Array) -> Picture:
    """How many proposals hold each pixel: so often R-CNN sends it through its network.

    Args:
        image: (H, W, 3) uint8.
        proposals: (P, 4) in its pixels.

    Raises:
        InputError: image or proposals have another shape.
    """
    image, proposals = host_image(image), host_boxes(proposals, "proposals")
    height, width = image.shape[:2]
    figure = Picture(figsize=(8.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    show_image(left, image, f"{len(proposals)} proposals", faded=0.3)
    add_boxes(left, proposals, BLUE, width=0.7)
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    times = np.zeros((height, width), int)
    for x1, y1, x2, y2 in proposals:
        times += (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
    shown = right.imshow(times, extent=(0, width, height, 0), cmap="viridis", vmin=0)
    right.set_title(f"each pixel's number of passes; the mean is {times.mean():.1f}", fontsize=10)
    right.set(xlabel="x, pixels", ylabel="y, pixels")
    figure.colorbar(shown, ax=right, fraction=0.046)
    return figure


def ages_figure(work: Mapping[str, Mapping[str, float]]) -> Picture:
    """The work of each age, part by part.

    Args:
        work: of each detector by name, the multiplications of each of its parts by name.

    Raises:
        InputError: there is no detector.
    """
    if not work:
        raise InputError("work is empty; it should hold one detector at least")
    parts = list(dict.fromkeys(part for own in work.values() for part in own))
    figure = Picture(figsize=(8.8, 0.62 * len(work) + 1.5), layout="constrained")
    axes = figure.subplots()
    start = np.zeros(len(work))
    for part, colour in zip(parts, COLOURS, strict=False):
        amounts = np.array([own.get(part, 0.0) for own in work.values()]) / 1e9
        hatch = "///" if part == parts[0] else ""
        axes.barh(
            list(work),
            amounts,
            left=start,
            color=colour,
            label=part,
            hatch=hatch,
            edgecolor="white",
        )
        start += amounts
    for row, total in enumerate(start):
        axes.text(total, row, f" {total:.2f}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set(xlabel="multiplications, 10⁹", xlim=(0, 1.12 * float(start.max())))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure
