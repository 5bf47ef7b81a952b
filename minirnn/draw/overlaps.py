"""Pictures of matching and sampling: the table of overlaps, who learns what, and how few of them do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from minirnn.backend import Array
from minirnn.boxes import iou
from minirnn.draw.boxes import add_boxes, add_legend, host_array, host_boxes, host_image, show_image
from minirnn.draw.ground import paper
from minirnn.draw.palette import GREEN, GREY, ORANGE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.matching import BACKGROUND, IGNORE

_MOST_COLUMNS = 12  # more numbers than that in a row nobody reads


def overlaps_figure(
    image: Array,
    anchors: Array,
    truth: Array,
    *,
    names: Sequence[str],
    colours: Sequence[str],
) -> Picture:
    """The table of overlaps beside the image: each object (row) with each of a few anchors (column).

    Framed is the best anchor of each object, and a dot marks the best object of each anchor.

    Args:
        image: (H, W, 3) uint8.
        anchors: (A, 4) a few of them, which are called a, b, c, …
        truth: (G, 4) the objects' boxes.
        names: of the objects.
        colours: of the objects.

    Raises:
        InputError: no object, no anchor or more than 12, or not one name and colour an object.
    """
    image, anchors, truth = host_image(image), host_boxes(anchors), host_boxes(truth, "truth")
    if not 1 <= len(anchors) <= _MOST_COLUMNS or not len(truth):
        raise InputError(
            f"{len(truth)} objects and {len(anchors)} anchors; "
            f"it should be at least one object, and 1 to {_MOST_COLUMNS} anchors"
        )
    _require_one_each(truth, names, colours)
    quality = iou(truth.astype(float), anchors.astype(float))
    letters = [chr(ord("a") + k) for k in range(len(anchors))]
    wide = 3.9 + 0.62 * len(anchors)
    figure = Picture(figsize=(wide, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3.2, wide - 3.2))
    show_image(left, paper(image), "anchors: thin; objects: coloured")
    add_boxes(left, truth, list(colours), width=2.6)
    add_boxes(left, anchors, "black", width=1.2)
    height, width = image.shape[:2]
    for letter, (x1, y1, _, y2) in zip(letters, anchors, strict=True):
        # At the upper left corner; where that is outside, at the nearest place that is not.
        x, y = np.clip(x1, 0, 0.94 * width), np.clip(y1, 0, min(max(y2, 0), 0.94 * height))
        left.annotate(
            letter, (x, y), xytext=(2, -2), textcoords="offset points", va="top", fontsize=9,
            fontweight="bold", bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
        )  # fmt: skip
    right.imshow(quality, cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
    for (g, a), value in np.ndenumerate(quality):
        right.text(a, g, f"{value:.2f}", ha="center", va="center", fontsize=9)
    for g, row in enumerate(quality):
        if row.max() > 0:
            for a in np.flatnonzero(row == row.max()):
                right.add_patch(_cell(int(a), g, colours[g]))
    for a, column in enumerate(quality.T):
        if column.max() > 0:
            right.plot(a, column.argmax() + 0.34, "o", color="black", markersize=4)
    right.set_xticks(range(len(letters)), labels=letters)
    right.set_yticks(range(len(names)), labels=names)
    right.set_xlabel("anchor")
    right.set_title(
        "IoU; framed: best anchor of an object\ndot: best object of an anchor", fontsize=10
    )
    return figure


def targets_figure(
    image: Array,
    anchors: Array,
    matches: Array,
    truth: Array,
    *,
    colours: Sequence[str],
    most: int = 40,
) -> Picture:
    """Which anchors are positive, each in the colour of its object, and which are left out.

    Args:
        image: (H, W, 3) uint8.
        anchors: (A, 4), pixels.
        matches: (A,) from `minirnn.matching.match`.
        truth: (G, 4) the objects' boxes.
        colours: of the objects.
        most: so many are drawn of a kind, spread over the list; the title counts all.

    Raises:
        InputError: matches do not fit the anchors or the truth, or not one colour an object.
    """
    image, anchors, truth = host_image(image), host_boxes(anchors), host_boxes(truth, "truth")
    matches = host_array(matches)
    _require_one_each(truth, colours)
    if matches.shape != (len(anchors),):
        raise InputError(f"matches has shape {matches.shape}; it should be ({len(anchors)},)")
    if len(matches) and not IGNORE <= matches.min() <= matches.max() < len(truth):
        raise InputError(
            f"matches runs from {matches.min()} to {matches.max()}; it should be {IGNORE}, "
            f"{BACKGROUND}, or the index of one of {len(truth)} objects"
        )
    height, width = image.shape[:2]
    figure = Picture(figsize=(7.4, 3.5 * height / width + 0.8), layout="constrained")
    ground = paper(image)
    kinds = {"positive": matches >= 0, "left out": matches == IGNORE}
    for axes, (name, chosen) in zip(figure.subplots(1, 2), kinds.items(), strict=True):
        members = np.flatnonzero(chosen)
        spread = np.linspace(0, max(len(members) - 1, 0), min(most, len(members)))
        drawn = members[spread.round().astype(int)]
        part = "" if len(drawn) == len(members) else f", {len(drawn)} of them drawn"
        show_image(axes, ground, f"{name}: {len(members)} of {len(anchors)}{part}")
        own = [colours[m] for m in matches[drawn]] if name == "positive" else "#333333"
        add_boxes(axes, anchors[drawn], own, width=1.1)
        add_boxes(axes, truth, list(colours), width=2.8, dashed=True)
    figure.supxlabel("dashed: the objects; each positive anchor in its object's colour", fontsize=9)
    return figure


def shares_figure(groups: Mapping[str, Array]) -> Picture:
    """What part of some anchors is positive, left out and negative: a bar for each group.

    Args:
        groups: matches (N,) by name, for example of all anchors and of those that were drawn.

    Raises:
        InputError: there is no group.
    """
    if not groups:
        raise InputError("groups is empty; it should have at least one")
    figure = Picture(figsize=(8, 0.55 * len(groups) + 1.15), layout="constrained")
    axes = figure.subplots()
    colours = {"positive": GREEN, "left out": GREY, "negative": ORANGE}
    for row, matches in enumerate(map(host_array, groups.values())):
        counts = ((matches >= 0).sum(), (matches == IGNORE).sum(), (matches == BACKGROUND).sum())
        total, start, words = max(len(matches), 1), 0.0, []
        for (name, colour), count in zip(colours.items(), counts, strict=True):
            axes.barh(row, count / total, left=start, height=0.62, color=colour)
            start += count / total
            if count:
                words.append(f"{count} {name}")
        _right_of(axes, row, ", ".join(words) or "none")
    axes.set_yticks(range(len(groups)), labels=list(groups))
    axes.set(xlim=(0, 1), ylim=(len(groups) - 0.5, -0.5), xlabel="part of the group")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    add_legend(figure, colours)
    return figure


def _right_of(axes: Axes, row: int, text: str) -> None:
    axes.annotate(
        text, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9,
        annotation_clip=False,
    )  # fmt: skip


def _cell(column: float, row: float, colour: str) -> Rectangle:
    return Rectangle(
        (column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=2.4
    )


def _require_one_each(truth: np.ndarray, *lists: Sequence[str]) -> None:
    for given in lists:
        if len(given) != len(truth):
            raise InputError(
                f"{len(truth)} objects and {len(given)} names or colours; give one each"
            )
