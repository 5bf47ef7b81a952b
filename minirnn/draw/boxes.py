"""Pictures of what happens to a box after the RPN: proposals, levels, mask target, paste.

The helpers at the top (arrays on the host, image and boxes on axes) serve the other files of this folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from minirnn.backend import Array, to_host
from minirnn.draw.palette import BLUE, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def host_array(array: Array | Sequence[Any]) -> np.ndarray:
    """The array on the host, from a list, a NumPy array or an array on a GPU."""
    return np.asarray(array if isinstance(array, (list, tuple)) else to_host(array))


def host_boxes(boxes: Array, name: str = "boxes") -> np.ndarray:
    """The boxes on the host, (N, 4); an empty list counts as no boxes.

    Raises:
        InputError: the shape is not (N, 4).
    """
    found = host_array(boxes)
    if found.size == 0:
        return np.zeros((0, 4), np.float32)
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"{name} has shape {found.shape}; it should be (N, 4)")
    return found


def host_image(image: Array, name: str = "image") -> np.ndarray:
    """The image on the host, (H, W, 3) uint8.

    Raises:
        InputError: another shape or type, or no pixels.
    """
    found = host_array(image)
    if found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8 or found.size == 0:
        raise InputError(
            f"{name} has shape {found.shape} and type {found.dtype}; "
            "it should be (H, W, 3) and uint8, with at least one pixel"
        )
    return found


def show_image(axes: Axes, image: np.ndarray, title: str = "", *, faded: float = 0.0) -> None:
    """Put an image on axes so that pixel i covers [i, i + 1), as boxes have it; no ticks.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8, or (H, W) in [0, 1] as grey.
        title: written above.
        faded: 0 leaves the image as it is, 1 makes it white; lines stand out on a pale image.
    """
    height, width = image.shape[:2]
    if faded:
        image = (image * (1 - faded) + 255 * faded).astype(np.uint8)
    axes.imshow(
        image, extent=(0, width, height, 0), interpolation="nearest", cmap="gray", vmin=0, vmax=1
    )
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)


def add_boxes(
    axes: Axes, boxes: Array, colours: Any, *, width: float = 1.5, dashed: bool = False
) -> None:
    """Draw the outlines of (N, 4) boxes, in one colour or in N."""
    x1, y1, x2, y2 = host_boxes(boxes).T
    corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2, x1, y1], axis=1).reshape(-1, 5, 2)
    style = "--" if dashed else "-"
    axes.add_collection(
        LineCollection(list(corners), colors=colours, linewidths=width, linestyles=style)
    )


def proposals_figure(
    image: Array, before: Array, after: Array, *, ground_truth: Array | None = None
) -> Picture:
    """Proposals before and after non-maximum suppression, side by side on a pale image.

    Args:
        image: (H, W, 3) uint8.
        before: (N, 4) proposals that went into NMS, in pixels of the image.
        after: (M, 4) those that it kept.
        ground_truth: (G, 4) boxes of the objects, drawn in dashes; None draws none.

    Raises:
        InputError: the image or boxes have another shape.
    """
    image = host_image(image)
    figure = Picture(figsize=(9, 9 * image.shape[0] / image.shape[1] / 2 + 0.9))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, 2)
    for axes, boxes, when in zip(panels, (before, after), ("before", "after"), strict=True):
        boxes = host_boxes(boxes, when)
        show_image(axes, image, f"{when} NMS: {len(boxes)} proposals", faded=0.5)
        # Many lines on one place would fill it: the more there are, the thinner.
        add_boxes(axes, boxes, BLUE, width=float(np.clip(30 / max(len(boxes), 1), 0.5, 1.8)))
        if ground_truth is not None:
            add_boxes(axes, ground_truth, ORANGE, width=2.2, dashed=True)
    if ground_truth is not None:
        add_legend(figure, {"proposal": BLUE, "ground truth": ORANGE})
    return figure


def levels_figure(boxes: Array, levels: Array, names: Sequence[str]) -> Picture:
    """Which pyramid level each box is pooled from: a histogram of box sizes, coloured by level.

    Args:
        boxes: (N, 4) in pixels of the image that the network sees.
        levels: (N,) index of each box's level, 0 for names[0].
        names: the levels from fine to coarse, for example ["P2", "P3", "P4", "P5"].

    Raises:
        InputError: boxes and levels do not fit, or a level has no name.
    """
    boxes, levels = host_boxes(boxes), host_array(levels).astype(int)
    if levels.shape != (len(boxes),):
        raise InputError(f"levels has shape {levels.shape}; it should be ({len(boxes)},)")
    if len(levels) and not 0 <= levels.min() <= levels.max() < len(names):
        raise InputError(
            f"levels runs from {levels.min()} to {levels.max()}; it should index {len(names)} names"
        )
    figure = Picture(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    size = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1.0))
    finest, coarsest = (np.log2(size.min()), np.log2(size.max())) if len(size) else (0.0, 10.0)
    # Four bins an octave. FPN's rule changes level at 224 times a power of two: edges lie there.
    first, last = np.floor(finest - np.log2(224)), np.floor(coarsest - np.log2(224)) + 1
    edges = 224 * 2.0 ** np.arange(first, last + 0.25, 0.25)
    parts = [size[levels == level] for level in range(len(names))]
    labels = [f"{name}: {len(part)}" for name, part in zip(names, parts, strict=True)]
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    axes.hist(parts, bins=list(edges), stacked=True, color=colours, label=labels, ec="white")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set(xlabel="size of the box, √(width × height), in pixels", ylabel="boxes")
    axes.set_title("Boxes by pyramid level", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="level: boxes", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def mask_target_figure(targets: Array, probabilities: Array) -> Picture:
    """The mask that the head should give in its grid, the one it gives, and where they differ.

    Args:
        targets: (N, S, S) bool or 0/1: the ground truth cropped to each RoI.
        probabilities: (N, S, S) in [0, 1]: the sigmoid of the logits of the RoI's own class.

    Raises:
        InputError: the two shapes differ or are not (N, S, S).
    """
    wanted, given = host_array(targets).astype(bool), host_array(probabilities)
    if wanted.shape != given.shape or wanted.ndim != 3:
        raise InputError(
            f"targets has shape {wanted.shape} and probabilities {given.shape}; "
            "both should be (N, S, S)"
        )
    rows = max(len(wanted), 1)
    figure = Picture(figsize=(7, 2.5 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, 3, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for (left, middle, right), target, probability in zip(panels, wanted, given, strict=False):
        for axes in (left, middle, right):
            axes.set_axis_on()
        side = f"{target.shape[0]}×{target.shape[1]}"
        show_image(left, target.astype(float), f"target, {side}")
        show_image(middle, probability.astype(float), "predicted probability")
        show_errors(right, target, probability >= 0.5)
    add_legend(figure, ERRORS)
    return figure


def paste_error_figure(truth: Array, pasted: Array, box: Array | None = None) -> Picture:
    """Where a pasted mask differs from the true one, pixel for pixel, seen from near.

    Args:
        truth: (H, W) bool, the mask in the image.
        pasted: (H, W) bool, the head's grid pasted back into the image.
        box: (4,) the box it was pasted into, drawn in dashes; None draws none.

    Raises:
        InputError: the two shapes differ or are not (H, W).
    """
    truth, pasted = host_array(truth).astype(bool), host_array(pasted).astype(bool)
    if truth.shape != pasted.shape or truth.ndim != 2 or truth.size == 0:
        raise InputError(
            f"truth has shape {truth.shape} and pasted {pasted.shape}; both should be (H, W)"
        )
    frame = None if box is None else host_boxes(host_array(box)[None], "box")
    x1, y1, x2, y2 = window_of(truth | pasted, frame)
    figure = Picture(figsize=(5.5, float(np.clip(5.5 * (y2 - y1) / (x2 - x1), 1.5, 9)) + 1.1))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    show_errors(axes, truth, pasted)
    axes.set(xlim=(x1, x2), ylim=(y2, y1))
    if frame is not None:
        add_boxes(axes, frame, "black", dashed=True)
    add_legend(figure, ERRORS)
    return figure


ERRORS = {"both": "#c9c9c9", "missed": ORANGE, "too much": BLUE}


def window_of(mask: np.ndarray, frame: np.ndarray | None) -> tuple[float, float, float, float]:
    """The part of the image with the mask and the frame, and some air around: x1, y1, x2, y2."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    parts = [] if frame is None else [frame[0]]
    if len(rows):
        parts.append(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]))
    if not parts:
        return 0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])
    x1, y1 = np.min([part[:2] for part in parts], axis=0)
    x2, y2 = np.max([part[2:] for part in parts], axis=0)
    air = 2 + 0.08 * max(x2 - x1, y2 - y1)
    return x1 - air, y1 - air, x2 + air, y2 + air


def show_errors(axes: Axes, truth: np.ndarray, found: np.ndarray) -> None:
    """Grey where both masks are, orange where only the truth is, blue where only the other."""
    kind = truth & found, truth & ~found, found & ~truth
    picture = sum(number * pixels for number, pixels in enumerate(kind, start=1))
    both, missed, extra = (int(pixels.sum()) for pixels in kind)
    iou = both / max(both + missed + extra, 1)
    title = f"IoU {iou:.3f}\n{missed} missed, {extra} too much"
    height, width = truth.shape
    axes.imshow(
        picture,
        cmap=ListedColormap(["white", *ERRORS.values()]),
        extent=(0, width, height, 0),
        interpolation="nearest",
        vmin=0,
        vmax=3,
    )
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)


def add_legend(figure: Picture, entries: dict[str, str]) -> None:
    """One row of colour patches and names below the panels."""
    handles = [Patch(facecolor=colour, label=name) for name, colour in entries.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(entries), frameon=False)
