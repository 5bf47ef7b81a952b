"""Pictures of the box code: four numbers from an anchor to its object, and how a wrong one is charged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from minirnn.backend import Array
from minirnn.boxes import encode
from minirnn.draw.boxes import add_boxes, host_array, host_boxes
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PINK
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

NUMBERS = ("dx", "dy", "dw", "dh")
_COLOURS = (BLUE, GREEN, ORANGE, PINK)


def code_figure(anchor: Array, boxes: Array, *, titles: Sequence[str] = ()) -> Picture:
    """An anchor (dashed) and a box, several times, and below each the four numbers that lead to it.

    Args:
        anchor: (4,) x1, y1, x2, y2 in pixels.
        boxes: (N, 4) 1 to 6 boxes, with both sides > 0.
        titles: above each, at most one a box.

    Raises:
        InputError: shapes do not fit, there is no box or more than 6, or a side is not > 0.
    """
    anchor, boxes = host_boxes(host_array(anchor)[None], "anchor")[0], host_boxes(boxes)
    if not 1 <= len(boxes) <= 6:
        raise InputError(f"boxes has {len(boxes)} boxes; it should have 1 to 6")
    codes = encode(np.repeat(anchor[None], len(boxes), axis=0).astype(float), boxes.astype(float))
    everything = np.vstack([anchor, boxes])
    low, high = everything[:, :2].min(axis=0), everything[:, 2:].max(axis=0)
    air = 0.08 * float((high - low).max())
    reach = 1.25 * max(float(np.abs(codes).max()), 0.4)
    figure = Picture(figsize=(2.25 * len(boxes) + 0.5, 4.1), layout="constrained")
    panels = figure.subplots(2, len(boxes), squeeze=False, height_ratios=(1.7, 1))
    for k, (box, code) in enumerate(zip(boxes, codes, strict=True)):
        above, below = panels[:, k]
        add_boxes(above, anchor[None], GREY, width=2, dashed=True)
        add_boxes(above, box[None], ORANGE, width=2.6)
        centres = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (anchor, box)]
        above.plot(*centres[0], "o", color=GREY, markersize=5)
        above.plot(*centres[1], "o", color=ORANGE, markersize=5)
        above.annotate("", centres[1], centres[0], arrowprops={"arrowstyle": "->", "lw": 1.2})
        above.set(xlim=(low[0] - air, high[0] + air), ylim=(high[1] + air, low[1] - air))
        above.set_aspect("equal")
        above.tick_params(labelsize=7)
        above.set_title(titles[k] if k < len(titles) else "", fontsize=10)
        _bars(below, code, reach, names=k == 0)
    panels[0, 0].set_ylabel("y, pixels", fontsize=9)
    for axes in panels[0]:
        axes.set_xlabel("x, pixels", fontsize=8)
    return figure


def _bars(axes: Axes, code: np.ndarray, reach: float, *, names: bool) -> None:
    axes.barh(range(4), code, color=_COLOURS, height=0.7)
    axes.axvline(0, color="black", linewidth=0.8)
    for row, value in enumerate(code):
        right = value < 0  # the number stands on the side where there is no bar
        axes.text(
            0.04 * reach if right else -0.04 * reach, row, f"{value:+.2f}" if value else "0",
            ha="left" if right else "right", va="center", fontsize=9,
        )  # fmt: skip
    axes.set(xlim=(-reach, reach), ylim=(3.6, -0.6))
    axes.set_yticks(range(4), labels=NUMBERS if names else [""] * 4)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def pixels_and_codes_figure(
    anchors: Array, boxes: Array, *, names: Sequence[str], colours: Sequence[str]
) -> Picture:
    """How far anchors are from their objects, in pixels and as the four numbers of the box code.

    Left, for each object: how far the centre is off and how much width and height differ, in pixels.
    Right: dx, dy, dw and dh of the same.

    Args:
        anchors: (N, 4), one for each object.
        boxes: (N, 4) the objects, with both sides > 0.
        names: of the objects.
        colours: of the objects.

    Raises:
        InputError: shapes do not fit, or a side is not > 0.
    """
    anchors, boxes = host_boxes(anchors, "anchors"), host_boxes(boxes)
    if not len(anchors) == len(boxes) == len(names) == len(colours):
        raise InputError(
            f"{len(anchors)} anchors, {len(boxes)} boxes, {len(names)} names and {len(colours)} "
            "colours; give one each an object"
        )
    anchors, boxes = anchors.astype(float), boxes.astype(float)
    sides = [b[:, 2:] - b[:, :2] for b in (anchors, boxes)]
    centres = [b[:, :2] + s / 2 for b, s in zip((anchors, boxes), sides, strict=True)]
    pixels = np.hstack([centres[1] - centres[0], sides[1] - sides[0]])
    figure = Picture(figsize=(9.2, 3.5), layout="constrained")
    for axes, values, title, labels, unit in zip(
        figure.subplots(1, 2), (pixels, encode(anchors, boxes)),
        ("in pixels", "as the code has it"),
        (("x", "y", "width", "height"), NUMBERS), ("object less anchor, pixels", "no unit"),
        strict=True,
    ):  # fmt: skip
        axes.axhline(0, color="black", linewidth=0.8)
        for k, (row, name, colour) in enumerate(zip(values, names, colours, strict=True)):
            spread = (k - (len(names) - 1) / 2) * 0.11
            axes.plot(np.arange(4) + spread, row, "o", color=colour, markersize=8, label=name)
        axes.set_xticks(range(4), labels=labels)
        axes.set_title(title, fontsize=10)
        axes.set_ylabel(unit)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        largest = 1.12 * float(np.abs(values).max(initial=1e-9))
        axes.set(xlim=(-0.5, 3.5), ylim=(-largest, largest))
        handles = axes.get_legend_handles_labels()
    if len(names):
        figure.legend(*handles, loc="outside right center", frameon=False, fontsize=9)
    return figure


def smooth_l1_figure(betas: Sequence[float] = (1.0, 1 / 9), reach: float = 2.5) -> Picture:
    """Smooth-L1 and its slope for several β, between the square and the absolute value.

    Args:
        betas: 1 to 3 of them, each > 0: where the square turns into the line.
        reach: differences from -reach to reach are drawn.

    Raises:
        InputError: no β or more than 3, or one is not > 0.
    """
    if not 1 <= len(betas) <= 3 or min(betas) <= 0:
        raise InputError(f"betas is {tuple(betas)}; it should be 1 to 3 numbers > 0")
    d = np.linspace(-reach, reach, 501)
    figure = Picture(figsize=(9.2, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(d, d**2 / 2, ":", color=GREY, label="square, d² / 2")
    left.plot(d, np.abs(d), "--", color=GREY, label="absolute, |d|")
    right.plot(d, d, ":", color=GREY)
    right.plot(d, np.sign(d), "--", color=GREY)
    for beta, colour in zip(betas, (BLUE, ORANGE, GREEN), strict=False):
        inside = np.abs(d) < beta
        loss = np.where(inside, d**2 / (2 * beta), np.abs(d) - beta / 2)
        left.plot(d, loss, color=colour, linewidth=2.2, label=f"smooth-L1, β = {beta:.3g}")
        right.plot(d, np.clip(d / beta, -1, 1), color=colour, linewidth=2.2)
        for turn in (-beta, beta):
            left.plot(turn, beta / 2, "o", color=colour, markersize=5)
            right.plot(turn, np.sign(turn), "o", color=colour, markersize=5)
    left.set(title="loss", xlabel="d, predicted less wanted", ylim=(-0.1, 2.2))
    right.set(title="slope: how hard it pulls", xlabel="d", ylim=(-2.2, 2.2))
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure
