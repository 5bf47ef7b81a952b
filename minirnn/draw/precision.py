"""Pictures of the average precision: who found whom, the staircase, the ten thresholds, moved boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.cells import add_legend_of
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PALETTE, PINK
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

WRONG = "#222222"
RECALLS = np.linspace(0, 1, 101)


def assignment_figure(
    image: Array,
    truths: Array,
    detections: Array,
    scores: Array,
    found: Array,
    *,
    colours: Sequence[str] = PALETTE,
) -> Picture:
    """Objects and detections on a pale image, each detection in the colour of the object it found.

    Args:
        image: (H, W, 3) uint8.
        truths: (G, 4) boxes of the objects, in pixels; drawn as wide lines.
        detections: (D, 4), drawn as dashes with their number (1 for the first) and score.
        scores: (D,).
        found: (D,) the object that each detection found, or -1: it is then black.
        colours: of the objects.

    Raises:
        InputError: shapes do not fit, or `found` names an object that is not there.
    """
    image, truths = host_image(image), host_boxes(truths, "truths")
    detections, scores = host_boxes(detections, "detections"), host_array(scores).ravel()
    found = host_array(found).ravel().astype(int)
    if not len(detections) == len(scores) == len(found):
        raise InputError(
            f"{len(detections)} detections have {len(scores)} scores and {len(found)} in found"
        )
    if len(found) and not -1 <= found.min() <= found.max() < len(truths):
        raise InputError(f"found holds {found.tolist()}; there are {len(truths)} objects")
    height, width = image.shape[:2]
    figure = Picture(figsize=(6.2, 5.4 * height / width + 0.9), layout="constrained")
    axes = figure.subplots()
    show_image(axes, _pale(image))
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(100 if max(height, width) > 250 else 20))
    of_object = [colours[g % len(colours)] for g in range(len(truths))]
    add_boxes(axes, truths, of_object, width=5)
    inks = [WRONG if g < 0 else of_object[g] for g in found]
    add_boxes(axes, detections, "white", width=3.6)
    add_boxes(axes, detections, inks, width=2, dashed=True)
    for number, (box, score, ink) in enumerate(zip(detections, scores, inks, strict=True), start=1):
        # At the lower right corner, inside: boxes that share an upper left corner are common.
        axes.annotate(
            f"{number}: {score:.2f}",
            (min(box[2], width), min(box[3], height)),
            xytext=(-4, 5),
            textcoords="offset points",
            ha="right",
            color="white",
            fontsize=9,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": ink, "edgecolor": "white"},
        )
    add_legend_of(
        figure,
        [
            Line2D([], [], color=GREY, linewidth=5, label="object"),
            Line2D([], [], color=GREY, linewidth=2, linestyle="--", label="detection of it"),
            Line2D([], [], color=WRONG, linewidth=2, linestyle="--", label="found nothing"),
        ],
    )
    return figure


def staircase_figure(
    correct: Array,
    count: int,
    readings: Array,
    *,
    colours: Sequence[str] | None = None,
    title: str = "",
) -> Picture:
    """Precision against recall, one numbered dot a detection, with the envelope and its 101 readings.

    Args:
        correct: (D,) bool by falling score: whether each detection is right.
        count: how many objects there are to find.
        readings: (101,) the precision at recall 0, 0.01, …, 1, as `precision_at_recalls` gives it.
        colours: of each detection's dot; None makes them all blue. One that is wrong is a cross.
        title: written before the AP.

    Raises:
        InputError: there is nothing to find, or another number of readings or colours.
    """
    correct = host_array(correct).ravel().astype(bool)
    if count < 1:
        raise InputError(f"count is {count}; it should be at least 1")
    inks = [BLUE] * len(correct) if colours is None else list(colours)
    if len(inks) != len(correct):
        raise InputError(f"{len(correct)} detections have {len(inks)} colours")
    readings = host_array(readings).astype(float)
    if readings.shape != RECALLS.shape:
        raise InputError(f"readings has shape {readings.shape}; it should be {RECALLS.shape}")
    right = np.cumsum(correct)
    recall, precision = right / count, right / np.maximum(np.arange(1, len(correct) + 1), 1)
    figure = Picture(figsize=(7.4, 4.3), layout="constrained")
    axes = figure.subplots()
    axes.bar(RECALLS, readings, width=0.007, color="#bcd9ec", zorder=1)
    axes.plot(np.r_[0, recall], np.r_[1, precision], color=GREY, linewidth=1, zorder=2)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if len(correct):
        axes.plot(
            np.r_[0, recall], np.r_[envelope[0], envelope], color=ORANGE, linewidth=2.5, zorder=3,
            drawstyle="steps-pre", alpha=0.9,
        )  # fmt: skip
    for number, (x, y, hit, ink) in enumerate(
        zip(recall, precision, correct, inks, strict=True), 1
    ):
        mark: dict[str, Any] = {"marker": "o", "color": ink}
        if not hit:
            mark = {"marker": "x", "color": WRONG}
        axes.plot([x], [y], markersize=8, markeredgewidth=2, linestyle="", zorder=4, **mark)
        axes.annotate(str(number), (x, y), (7, -13), textcoords="offset points", fontsize=10)
    axes.set(xlim=(-0.02, 1.06), ylim=(0, 1.08))
    axes.set_xlabel("recall: share of the objects found so far")
    axes.set_ylabel("precision: share of right detections")
    axes.set_title(f"{title}{': ' if title else ''}AP {readings.mean():.3f}", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    add_legend_of(
        figure,
        [
            Line2D([], [], color=BLUE, marker="o", linestyle="", label="right"),
            Line2D([], [], color=WRONG, marker="x", linestyle="", mew=2, label="wrong"),
            Line2D([], [], color=ORANGE, linewidth=2.5, label="envelope"),
            Patch(facecolor="#bcd9ec", label="101 readings; AP is their mean"),
        ],
    )
    return figure


def thresholds_figure(curves: Mapping[float, Array]) -> Picture:
    """The precision read at 101 recalls, for each IoU that a match must have.

    Args:
        curves: (101,) precisions for each threshold.

    Raises:
        InputError: a curve of another length, or none.
    """
    if not curves:
        raise InputError("curves is empty; it should hold a curve for each threshold")
    figure = Picture(figsize=(8.2, 3.9), layout="constrained")
    axes = figure.subplots()
    colour_of = colormaps["viridis"]
    for number, (threshold, curve) in enumerate(curves.items()):
        values = host_array(curve).astype(float)
        if values.shape != RECALLS.shape:
            raise InputError(f"IoU {threshold:g}: the curve has shape {values.shape}, not (101,)")
        axes.plot(
            RECALLS, values - 0.006 * number, color=colour_of(0.92 * number / len(curves)),
            linewidth=2, label=f"IoU ≥ {threshold:.2f}: AP {values.mean():.3f}",
        )  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.08, 1.05))
    axes.set_xlabel("recall")
    axes.set_ylabel("precision, envelope\n(each a little lower, to be seen)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def tolerance_figure(shifts: Array, numbers: Mapping[str, Sequence[float]]) -> Picture:
    """How a number like AP50 falls as the boxes are moved away from their objects.

    Args:
        shifts: (S,) in pixels.
        numbers: (S,) values by name.

    Raises:
        InputError: another number of values.
    """
    shifts = host_array(shifts)
    figure = Picture(figsize=(7.4, 3.4), layout="constrained")
    axes = figure.subplots()
    styles = zip((ORANGE, BLUE, GREEN, PINK), ("--", "-", ":", "-."), strict=True)
    for (name, values), (colour, style) in zip(numbers.items(), styles, strict=False):
        heights = host_array(values)
        if heights.shape != shifts.shape:
            raise InputError(f"{name} has shape {heights.shape}; it should be {shifts.shape}")
        axes.plot(shifts, heights, style, color=colour, linewidth=2.2, label=name)
    axes.set(ylim=(-0.03, 1.06))
    axes.set_xlabel("all boxes moved to the right by so many pixels")
    axes.set_ylabel("average precision")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _pale(image: np.ndarray) -> np.ndarray:
    """Light grey in a few steps: coloured lines stand out, and the picture's file stays small."""
    grey = image.mean(axis=2, dtype=float) / 255
    return 0.45 + 0.55 * np.round(grey * 8) / 8
