"""One detection's way back, over the image: anchor, region, rivals, box; and how far an object got."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.cells import add_legend_of
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PINK
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def chain_figure(
    image: Array,
    box: Array,
    *,
    region: Array,
    anchor: Array | None = None,
    rivals: Array = (),
    probabilities: Mapping[str, float] | None = None,
    title: str = "",
) -> Picture:
    """Where a detection comes from: its anchor, the region that was read, the boxes it suppressed.

    Args:
        image: (H, W, 3) uint8.
        box: (4,), the detection, in pixels of the image.
        region: (4,), the proposal that the box head looked at.
        anchor: (4,), the anchor that was moved to become the region; None draws none.
        rivals: (n, 4), what the detection suppressed.
        probabilities: of the region, by name of class; drawn as bars beside it.
        title: above the picture.

    Raises:
        InputError: the image or a box has another shape.
    """
    image = host_image(image)
    own, read = (host_boxes(host_array(b)[None], n) for b, n in ((box, "box"), (region, "region")))
    figure = Picture(figsize=(9.0, 3.7), layout="constrained")
    axes, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    show_image(axes, image, title, faded=0.35)
    entries = [
        Line2D([], [], color=ORANGE, linewidth=3, label="detection"),
        Line2D([], [], color=BLUE, linewidth=2, label="region that was read"),
    ]
    rivals = host_array(rivals).reshape(-1, 4)
    if len(rivals):
        add_boxes(axes, rivals, PINK, width=0.8)
        entries.append(Line2D([], [], color=PINK, linewidth=0.8, label="suppressed by it"))
    if anchor is not None:
        add_boxes(axes, host_boxes(host_array(anchor)[None], "anchor"), GREEN, dashed=True, width=2)
        entries.append(Line2D([], [], color=GREEN, linestyle="--", linewidth=2, label="its anchor"))
    add_boxes(axes, read, BLUE, width=2)
    add_boxes(axes, own, ORANGE, width=3)
    add_legend_of(figure, entries)
    shares = dict(probabilities or {})
    bars.barh(list(shares), list(shares.values()), color=BLUE)
    for row, value in enumerate(shares.values()):
        bars.text(min(value + 0.02, 0.86), row, f"{value:.2f}", va="center", fontsize=9)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="what the box head thinks of the region")
    bars.spines[["top", "right"]].set_visible(False)
    bars.set_visible(bool(shares))
    return figure


def gates_figure(
    image: Array,
    box: Array,
    best: Mapping[str, float],
    *,
    lost: str = "",
    nearest: Array | None = None,
    by: Array | None = None,
    title: str = "",
) -> Picture:
    """How far an object got: the best overlap or probability at each gate, up to where it was lost.

    Args:
        image: (H, W, 3) uint8.
        box: (4,), where the object is, in pixels of the image.
        best: the best number at each gate, by name, in order.
        lost: the name of the gate where it was lost; "" where it was found.
        nearest: (4,), the closest thing at that gate; None draws none.
        by: (4,), what suppressed it; None draws none.
        title: above the picture.

    Raises:
        InputError: the image or a box has another shape, or `lost` is no gate.
    """
    image, own = host_image(image), host_boxes(host_array(box)[None], "box")
    if lost and lost not in best:
        raise InputError(f"lost is {lost!r}; it should be one of {', '.join(best)}")
    figure = Picture(figsize=(9.0, 3.7), layout="constrained")
    axes, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    show_image(axes, image, title, faded=0.35)
    entries = [Line2D([], [], color="black", linestyle="--", linewidth=2, label="the object")]
    for other, colour, label in (
        (nearest, BLUE, "the closest to it"),
        (by, PINK, "what suppressed that"),
    ):
        if other is not None:
            add_boxes(axes, host_boxes(host_array(other)[None], label), colour, width=2.5)
            entries.append(Line2D([], [], color=colour, linewidth=2.5, label=label))
    add_boxes(axes, own, "black", width=2, dashed=True)
    add_legend_of(figure, entries)
    names, values = list(best), np.array(list(best.values()), dtype=float)
    bars.barh(names, values, color=[ORANGE if name == lost else GREY for name in names])
    for row, value in enumerate(values):
        bars.text(min(value + 0.02, 0.86), row, f"{value:.2f}", va="center", fontsize=9)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="the best at each gate")
    for name, tick in zip(names, bars.get_yticklabels(), strict=True):
        tick.set_color(ORANGE if name == lost else "black")
    bars.set_title("found" if not lost else f"lost at: {lost}", fontsize=10)
    bars.spines[["top", "right"]].set_visible(False)
    return figure
