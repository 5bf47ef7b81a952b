"""Pictures of a training: what is found as the losses fall, and runs with a bug beside one without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from minirnn.backend import Array
from minirnn.boxes import iou
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.cells import add_legend_of
from minirnn.draw.curves import CURVES
from minirnn.draw.palette import BLUE, GREY, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.structures import Detections

Records = Sequence[Mapping[str, Any]]
_TITLES = {curve.key: curve.title for curve in CURVES}


def course_figure(
    image: Array,
    truths: Array,
    seen: Mapping[int, Detections],
    records: Records,
    *,
    colours: Sequence[str] = PALETTE,
    threshold: float = 0.5,
) -> Picture:
    """What a network finds after so many steps, above the course of its losses.

    Args:
        image: (H, W, 3) uint8.
        truths: (G, 4) boxes of the objects.
        seen: detections by number of steps.
        records: of each step, with "step" and "losses" by name.
        colours: of the objects; a detection has the colour of the object that it overlaps most, and is
            black where that is less than half.
        threshold: detections that score less are not drawn.

    Raises:
        InputError: there is nothing seen or no record.
    """
    image, truths = host_image(image), host_boxes(truths, "truths")
    if not seen or not records:
        raise InputError(f"seen has {len(seen)} entries and records {len(records)}; both need one")
    names = list(records[0]["losses"])
    columns = max(len(seen), len(names))
    figure = Picture(figsize=(2.15 * columns, 5.0), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False, height_ratios=(1.25, 1))
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (step, detections) in zip(panels[0], seen.items(), strict=False):
        axes.set_axis_on()
        _show_found(axes, image, truths, detections, colours, threshold)
        axes.set_title(f"after {step} steps", fontsize=10)
    for axes, name in zip(panels[1], names, strict=False):
        axes.set_axis_on()
        axes.plot(
            [r["step"] for r in records], [r["losses"][name] for r in records], color=BLUE, linewidth=1.3
        )  # fmt: skip
        for step in seen:
            axes.axvline(step, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(_TITLES.get(name, name), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1][0].set_ylabel("loss", fontsize=9)
    return figure


def suspects_figure(reference: Records, runs: Mapping[str, Records]) -> Picture:
    """The losses and the gradient of runs in which something is wrong, beside those of a right one.

    Args:
        reference: records of the right run, with "step", "losses" by name and "gradient_norm".
        runs: the same of each other run, by the text to write at it; a row for each.

    Raises:
        InputError: there is no run, or one without records.
    """
    if not runs or not reference or not all(runs.values()):
        raise InputError("there should be a reference and at least one run, with records each")
    names = [*reference[0]["losses"], "gradient_norm"]
    figure = Picture(figsize=(1.9 * len(names), 1.75 * len(runs) + 0.6), layout="constrained")
    panels = figure.subplots(len(runs), len(names), squeeze=False)
    for row, (title, records) in zip(panels, runs.items(), strict=True):
        last = max(r["step"] for r in records)
        for axes, name in zip(row, names, strict=True):
            steps, mine = _series(records, name)
            steps_right, right = _series([r for r in reference if r["step"] <= last], name)
            axes.plot(steps_right, right, color=GREY, linewidth=2.2)
            axes.plot(steps, mine, color=ORANGE, linewidth=1.4)
            top = 1.15 * max(
                float(right.max()), min(float(mine.max()), 2.5 * float(right.max())), 1e-6
            )
            axes.set_ylim(0, top)
            if mine.max() > top:
                axes.text(
                    0.97, 0.93, f"up to {_short(mine.max())}", transform=axes.transAxes,
                    ha="right", va="top", fontsize=8, color=ORANGE,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )  # fmt: skip
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(title, fontsize=9)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(_TITLES.get(name, name), fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("step", fontsize=8)
    add_legend_of(
        figure,
        [
            Line2D([], [], color=GREY, linewidth=2.2, label="the right run"),
            Line2D([], [], color=ORANGE, linewidth=1.4, label="with the bug"),
        ],
    )
    return figure


def _show_found(
    axes: Any,
    image: np.ndarray,
    truths: np.ndarray,
    detections: Detections,
    colours: Sequence[str],
    threshold: float,
) -> None:
    height, width = image.shape[:2]
    show_image(axes, image, faded=0.55)
    axes.set_xticks([0, width])
    axes.set_yticks([0, height])
    axes.tick_params(labelsize=8)
    add_boxes(axes, truths, "white", width=3)
    add_boxes(axes, truths, GREY, width=1, dashed=True)
    sure = host_array(detections.scores) >= threshold
    boxes = host_boxes(host_array(detections.boxes)[sure])
    overlap = (
        iou(boxes.astype(float), truths.astype(float)) if len(truths) else np.zeros((len(boxes), 1))
    )
    inks = [
        colours[int(row.argmax()) % len(colours)] if row.max(initial=0) >= 0.5 else "black"
        for row in overlap
    ]
    add_boxes(axes, boxes, inks, width=2.2)
    if detections.masks is not None:
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        for mask, ink in zip(host_array(detections.masks)[sure], inks, strict=True):
            if mask.any() and not mask.all():
                axes.contourf(x, y, mask.astype(float), [0.5, 1.5], colors=[ink], alpha=0.45)
    axes.set_xlabel(f"{int(sure.sum())} with a score ≥ {threshold:g}", fontsize=9)


def _series(records: Records, name: str) -> tuple[np.ndarray, np.ndarray]:
    values = [r["gradient_norm"] if name == "gradient_norm" else r["losses"][name] for r in records]
    return np.array([r["step"] for r in records]), np.array(values, dtype=float)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
