"""Pictures of non-maximum suppression: who drops whom, and what each step costs in objects found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from minirnn.backend import Array
from minirnn.boxes import iou, nms
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.palette import BLUE, GREY, OBJECTS, ORANGE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

MOST = 10  # boxes whose overlaps are shown in numbers


def nms_figure(
    boxes: Array,
    scores: Array,
    iou_threshold: float,
    *,
    image: Array | None = None,
    objects: Array | None = None,
) -> Picture:
    """A few boxes before and after suppression, and the table of overlaps that decides.

    The boxes are called A, B, … by falling score. Who is kept has a colour; who is dropped is grey and
    dashed, and its row says by whom.

    Args:
        boxes: (N, 4) in pixels, at most 10.
        scores: (N,).
        iou_threshold: above it, the box with the lower score is dropped.
        image: (H, W, 3) uint8 behind the boxes; None for white.
        objects: (G, 4) true boxes, filled pale; None draws none.

    Raises:
        InputError: boxes and scores do not fit, or there are too many.
    """
    found, marks = host_boxes(boxes), host_array(scores).astype(float)
    if marks.shape != (len(found),) or not 0 < len(found) <= MOST:
        raise InputError(
            f"boxes has shape {found.shape} and scores {marks.shape}; they should be (N, 4) and (N,), "
            f"N from 1 to {MOST}"
        )
    order = np.argsort(-marks, kind="stable")
    found, marks = found[order].astype(float), marks[order]
    kept = set(nms(found, marks, iou_threshold).tolist())
    overlaps = iou(found, found)
    dropper = [
        next((k for k in sorted(kept) if k < i and overlaps[i, k] > iou_threshold), None)
        for i in range(len(found))
    ]
    colours = [OBJECTS[i % len(OBJECTS)] if i in kept else GREY for i in range(len(found))]
    figure = Picture(figsize=(8.6, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _show_boxes(left, found, marks, kept, colours, image, objects)
    left.set_title(
        f"{len(found)} boxes, {len(kept)} kept at a threshold of {iou_threshold:g}", fontsize=10
    )
    _show_table(right, overlaps, dropper, colours, iou_threshold)
    return figure


def _show_boxes(
    axes: Axes,
    boxes: np.ndarray,
    scores: np.ndarray,
    kept: set[int],
    colours: Sequence[str],
    image: Array | None,
    objects: Array | None,
) -> None:
    everything = boxes if objects is None else np.concatenate([boxes, host_boxes(objects)])
    low, high = everything[:, :2].min(axis=0), everything[:, 2:].max(axis=0)
    air = 0.12 * max(float((high - low).max()), 1.0)
    if image is not None:
        show_image(axes, host_image(image), faded=0.5)
    for x1, y1, x2, y2 in host_boxes(objects) if objects is not None else ():
        axes.fill([x1, x2, x2, x1], [y1, y1, y2, y2], color=BLUE, alpha=0.13, linewidth=0)
    for i, box in enumerate(boxes):
        is_kept = i in kept
        add_boxes(axes, box[None], colours[i], width=2.4 if is_kept else 1.6, dashed=not is_kept)
        # Letters along the upper edges, each a little further right, so that none covers another.
        x = box[0] + (box[2] - box[0]) * (0.04 + 0.16 * (i % 5))
        axes.text(x, box[1], f"{letter(i)} {scores[i]:.2f}", fontsize=8.5, va="bottom", color=colours[i],
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.75})  # fmt: skip
    axes.set(xlim=(low[0] - air, high[0] + air), ylim=(high[1] + air, low[1] - air))
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    axes.set_aspect("equal")


def letter(number: int) -> str:
    """A, B, …"""
    return chr(ord("A") + number)


def _show_table(
    axes: Axes,
    overlaps: np.ndarray,
    dropper: Sequence[int | None],
    colours: Sequence[str],
    threshold: float,
) -> None:
    count = len(overlaps)
    below = np.tril(np.ones_like(overlaps, dtype=bool), -1)  # each with those of higher score
    axes.imshow(
        np.where(below, np.where(overlaps > threshold, 0.38, 0.08), 0.0),
        cmap="Greys", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    for i, j in np.argwhere(below):
        decides = dropper[i] == j
        axes.text(j, i, f"{overlaps[i, j]:.2f}", ha="center", va="center", fontsize=9,
                  weight="bold" if decides else "normal")  # fmt: skip
        if decides:
            frame = Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False)
            frame.set(edgecolor=colours[j], linewidth=2.2)
            axes.add_patch(frame)
    says = [
        f"{letter(i)}  kept" if k is None else f"{letter(i)}  dropped by {letter(k)}"
        for i, k in enumerate(dropper)
    ]
    axes.set_xticks(range(count), [letter(i) for i in range(count)])
    axes.set_yticks(range(count), says)
    axes.yaxis.tick_right()
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick, colour in zip(ticks, colours, strict=True):
            tick.set_color(colour)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"IoU with boxes of higher score; dark: above {threshold:g}", fontsize=10)


def steps_figure(
    counts: Mapping[str, float], recalls: Mapping[str, Mapping[str, float]], *, what: str = "boxes"
) -> Picture:
    """What each step leaves: how many boxes, and which part of the objects still has a good one.

    Args:
        counts: of boxes, by step, in order.
        recalls: by name of a measure ("IoU 0.5"), its value in [0, 1] by step.
        what: the name of what is counted.

    Raises:
        InputError: a step has no recall, or there is no step.
    """
    steps = list(counts)
    if not steps or not recalls:
        raise InputError("counts and recalls are empty; they should hold at least one step")
    for name, values in recalls.items():
        if list(values) != steps:
            raise InputError(f"{name} has the steps {list(values)}; they should be {steps}")
    figure = Picture(figsize=(8.6, 0.62 * len(steps) + 1.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
    rows = np.arange(len(steps))
    left.barh(rows, [max(counts[s], 0.5) for s in steps], color="#bbbbbb", height=0.66)
    for row, step in enumerate(steps):
        left.text(max(counts[step], 0.5), row, f" {counts[step]:,.0f}", va="center", fontsize=9)
    left.set(xscale="log", xlabel=f"{what} (logarithmic)", yticks=rows)
    left.set_xlim(0.5, 8 * max(max(counts.values()), 1))
    left.set_yticks(rows, steps)
    left.invert_yaxis()
    height = 0.76 / len(recalls)
    for number, (name, values) in enumerate(recalls.items()):
        place = rows + (number - (len(recalls) - 1) / 2) * height
        right.barh(place, list(values.values()), height=0.9 * height,
                   color=(BLUE, ORANGE, *OBJECTS[2:])[number % 7], label=name)  # fmt: skip
        for y, value in zip(place, values.values(), strict=True):
            right.text(value, y, f" {value:.2f}", va="center", fontsize=8.5)
    right.set(xlim=(0, 1.12), xlabel="part of the objects that has such a box")
    right.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
