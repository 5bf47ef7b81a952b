"""Pictures of pixels and boxes: where a pixel ends, what two boxes share, where a resize reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image
from minirnn.draw.cells import add_legend_of
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

EDGES, CENTRES = BLUE, "black"


def pixels_figure(
    image: Array,
    window: tuple[int, int, int, int],
    *,
    mask: Array | None = None,
    box: Array | None = None,
    colour: str = GREEN,
) -> Picture:
    """Some pixels magnified: edges at whole numbers, centres at halves, each column and row numbered.

    Args:
        image: (H, W, 3) uint8.
        window: x1, y1, x2, y2 in whole pixels: what is shown.
        mask: (H, W) bool, an object; its pixels have a larger dot. None for none.
        box: (4,) in pixels, drawn as far as the window shows it; None for none.
        colour: of mask and box.

    Raises:
        InputError: the window has no pixels or reaches out of the image, or the mask has another size.
    """
    image = host_image(image)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = window
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise InputError(
            f"window is {tuple(window)}; it should have pixels within {width} × {height}"
        )
    picture = Picture(figsize=(0.56 * (x2 - x1) + 1.2, 0.56 * (y2 - y1) + 1.7))
    picture.set_layout_engine("constrained")
    axes = picture.subplots()
    axes.imshow(image[y1:y2, x1:x2], extent=(x1, x2, y2, y1), interpolation="nearest", alpha=0.55)
    axes.set(xlim=(x1 - 0.08, x2 + 0.08), ylim=(y2 + 0.08, y1 - 0.08))
    for x in range(x1, x2 + 1):
        axes.axvline(x, color=EDGES, linewidth=1.3)
    for y in range(y1, y2 + 1):
        axes.axhline(y, color=EDGES, linewidth=1.3)
    x_centres, y_centres = np.meshgrid(np.arange(x1, x2) + 0.5, np.arange(y1, y2) + 0.5)
    axes.plot(x_centres.ravel(), y_centres.ravel(), ".", color=CENTRES, markersize=4)
    entries: list[Any] = [
        Line2D([], [], color=EDGES, linewidth=1.6, label="edges: whole numbers"),
        Line2D([], [], color=CENTRES, marker=".", linestyle="", label="centres: halves"),
    ]
    if mask is not None:
        inside = host_array(mask).astype(bool)
        if inside.shape != (height, width):
            raise InputError(f"mask has shape {inside.shape}; it should be {(height, width)}")
        inside = inside[y1:y2, x1:x2]
        axes.plot(x_centres[inside], y_centres[inside], "o", color=colour, markersize=9)
        entries.append(
            Line2D([], [], color=colour, marker="o", linestyle="", label="pixels of the object")
        )
    if box is not None:
        add_boxes(axes, host_array(box)[None], "white", width=6)
        add_boxes(axes, host_array(box)[None], colour, width=3.2)
        entries.append(Line2D([], [], color=colour, linewidth=3.2, label="its box"))
    axes.set_xticks(range(x1, x2 + 1))
    axes.set_yticks(range(y1, y2 + 1))
    axes.tick_params(labelsize=8, colors=EDGES)
    _number(axes, range(x1, x2), range(y1, y2))
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    picture.legend(
        handles=entries, loc="outside lower center", ncols=min(len(entries), 2), frameon=False,
        fontsize=9,
    )  # fmt: skip
    return picture


def iou_figure(a: Array, b: Array) -> Picture:
    """Two boxes on a grid of pixels, what they share and what they cover together, with the sum.

    Args:
        a: (4,) x1, y1, x2, y2 in pixels.
        b: (4,) likewise.

    Raises:
        InputError: one is no box.
    """
    boxes = host_boxes(np.stack([host_array(a), host_array(b)]).astype(float))
    starts, ends = boxes[:, :2].max(axis=0), boxes[:, 2:].min(axis=0)
    shared = float(np.prod(np.maximum(ends - starts, 0)))
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    union = float(areas.sum()) - shared
    low, high = np.floor(boxes[:, :2].min(axis=0)) - 1, np.ceil(boxes[:, 2:].max(axis=0)) + 1
    side = max(float((high - low).max()), 1.0)
    size = (high - low) / side * 4.4
    picture = Picture(figsize=(max(size[0], 3.8) + 0.8, max(size[1], 1.2) + 1.6))
    picture.set_layout_engine("constrained")
    axes = picture.subplots()
    for box, colour in zip(boxes, (BLUE, ORANGE), strict=True):
        corner, sides = box[:2], box[2:] - box[:2]
        axes.add_patch(Rectangle(tuple(corner), *sides, facecolor=colour, alpha=0.16))
    if shared:
        axes.add_patch(Rectangle(tuple(starts), *(ends - starts), facecolor=GREEN, alpha=0.75))
    for box, colour in zip(boxes, (BLUE, ORANGE), strict=True):
        add_boxes(axes, box[None], colour, width=2.6)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xlabel="x, pixels", ylabel="y, pixels")
    axes.set_aspect("equal")
    if side <= 24:
        axes.set_xticks(np.arange(low[0], high[0] + 1))
        axes.set_yticks(np.arange(low[1], high[1] + 1))
    axes.grid(color="#d0d0d0", linewidth=0.8)
    axes.set_axisbelow(True)
    value = shared / union if union else 0.0
    axes.set_title(
        f"{shared:g} / ({areas[0]:g} + {areas[1]:g} − {shared:g}) = {value:.3g}", fontsize=12
    )
    add_legend_of(
        picture,
        [
            Line2D([], [], color=BLUE, linewidth=2.6, label=f"a: {areas[0]:g}"),
            Line2D([], [], color=ORANGE, linewidth=2.6, label=f"b: {areas[1]:g}"),
            Patch(facecolor=GREEN, alpha=0.75, label=f"shared: {shared:g}"),
        ],
    )
    return picture


def resize_figure(row: Array, after: int) -> Picture:
    """One row of pixels, resized: where each new pixel reads in the old row, by the right and a wrong rule.

    Args:
        row: (W, 3) uint8, the pixels.
        after: how many there are afterwards.

    Raises:
        InputError: the row has another shape, or nothing is left of it.
    """
    row = host_array(row)
    if row.ndim != 2 or row.shape[1] != 3 or not len(row) or after < 1:
        raise InputError(
            f"row has shape {row.shape} and after is {after}; they should be (W, 3) and 1 or more"
        )
    before, new = len(row), np.arange(after)
    rules = {
        "edges meet: new centre i + ½ reads at (i + ½) · W / W′": (new + 0.5) * before / after,
        "numbers scaled: new pixel i reads at pixel i · W / W′": new * before / after + 0.5,
    }
    picture = Picture(figsize=(10.5, 3.3), layout="constrained")
    for axes, (title, reads) in zip(picture.subplots(1, 2), rules.items(), strict=True):
        axes.imshow(row[None], extent=(0, 1, 1.0, 0.5), interpolation="nearest")
        old = np.arange(before) + 0.5
        made = np.stack([np.interp(reads, old, channel) for channel in row.T], axis=1)
        axes.imshow(made[None].astype(np.uint8), extent=(0, 1, 0, -0.5), interpolation="nearest")
        for k in range(before + 1):
            axes.plot([k / before] * 2, [0.5, 1], color=EDGES, linewidth=1.6)
        for k in range(after + 1):
            axes.plot([k / after] * 2, [-0.5, 0], color=EDGES, linewidth=1.6)
        for k, place in enumerate(reads / before):
            axes.plot([(k + 0.5) / after, place], [-0.25, 0.5], color=GREY, linewidth=1.2)
            axes.plot([place], [0.5], "v", color=CENTRES, markersize=7, zorder=5)
            axes.text((k + 0.5) / after, -0.25, f"{k}", ha="center", va="center", fontsize=9,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        for k in range(before):
            axes.text((k + 0.5) / before, 0.75, f"{k}", ha="center", va="center", fontsize=9,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        axes.plot((np.arange(before) + 0.5) / before, [0.5] * before, "|", color="black")
        axes.set(xlim=(-0.02, 1.02), ylim=(1.1, -0.6), xticks=[])
        axes.set_yticks([-0.25, 0.75], [f"new: {after}", f"old: {before}"])
        axes.set_aspect("auto")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("from the picture's left edge to its right edge")
    return picture


def _number(axes: Axes, columns: Sequence[int], rows: Sequence[int]) -> None:
    """The number of each pixel along the upper and the right side."""
    top = axes.secondary_xaxis("top")
    top.set_xticks([x + 0.5 for x in columns], [str(x) for x in columns], fontsize=8)
    top.set_xlabel("number of the column")
    right = axes.secondary_yaxis("right")
    right.set_yticks([y + 0.5 for y in rows], [str(y) for y in rows], fontsize=8)
    right.set_ylabel("number of the row")
    for axis in (top, right):
        axis.tick_params(colors=CENTRES, length=0)
