"""Pictures of anchors: where they stand on each level, and which objects they are matched with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.backend import Array
from minirnn.draw.boxes import (
    add_boxes,
    host_array,
    host_boxes,
    host_image,
    show_image,
)
from minirnn.draw.palette import OBJECTS, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.matching import BACKGROUND, IGNORE

# So many centres along one side are told apart in a panel; more become a grey area.
_MOST_DOTS = 32


def anchors_figure(
    image: Array,
    anchors: Sequence[Array],
    *,
    per_location: int = 3,
    names: Sequence[str] | None = None,
) -> Picture:
    """The anchors of every pyramid level: all centres as dots, and one location's boxes in full.

    Args:
        image: (H, W, 3) uint8, the image that the network sees.
        anchors: one (Y·X·per_location, 4) array a level, in the order y, x, kind, in pixels.
        per_location: kinds of anchor (sizes times aspect ratios) at each location.
        names: the levels' names; None calls them level 0, 1, ….

    Raises:
        InputError: a level's anchors do not divide into locations, or names do not fit.
    """
    image = host_image(image)
    levels = [host_boxes(level, f"anchors[{i}]") for i, level in enumerate(anchors)]
    names = [f"level {i}" for i in range(len(levels))] if names is None else list(names)
    if len(names) != len(levels) or not levels:
        raise InputError(f"{len(levels)} levels of anchors and {len(names)} names; give one each")
    height, width = image.shape[:2]
    columns = 2 if len(levels) == 4 else min(len(levels), 3)
    rows = -(-len(levels) // columns)
    figure = Picture(figsize=(3.4 * columns, (3.4 * height / width + 0.4) * rows + 0.3))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, level, name in zip(panels, levels, names, strict=False):
        if len(level) % per_location:
            raise InputError(
                f"{name} has {len(level)} anchors; it should be a multiple of {per_location}"
            )
        groups = level.reshape(-1, per_location, 4)
        centres = (groups[:, :, :2] + groups[:, :, 2:]).mean(axis=1) / 2
        shown, note = _thinned(centres)
        show_image(axes, image, f"{name}: {len(groups)} × {per_location} anchors{note}", faded=0.5)
        axes.scatter(*centres[shown].T, s=6, color="black", linewidths=0)
        if len(groups):
            middle = np.argmin(((centres - (width / 2, height / 2)) ** 2).sum(axis=1))
            colours = [PALETTE[i % len(PALETTE)] for i in range(per_location)]
            add_boxes(axes, groups[middle], colours, width=2)
            axes.scatter(*centres[middle], s=22, color=ORANGE, zorder=3)
            # Anchors of the coarse levels reach over the edge: show what they reach for.
            x1, y1 = np.minimum(groups[middle].min(axis=0)[:2] - 2, 0)
            x2, y2 = np.maximum(groups[middle].max(axis=0)[2:] + 2, (width, height))
            axes.set(xlim=(x1, x2), ylim=(y2, y1))
    for axes in panels[len(levels) :]:
        axes.set_axis_off()
    # One panel is narrower than the line.
    text = "dots: the locations;" + ("\n" if columns == 1 else " ")
    figure.supxlabel(text + "boxes: the anchors of the orange one", fontsize=9)
    return figure


def _thinned(centres: np.ndarray) -> tuple[np.ndarray, str]:
    """Which centres to mark so that dots do not run together, and a note saying so."""
    every = 1
    shown = np.ones(len(centres), bool)
    if len(centres):
        xs, column = np.unique(centres[:, 0].round(3), return_inverse=True)
        ys, row = np.unique(centres[:, 1].round(3), return_inverse=True)
        every = -(-max(len(xs), len(ys)) // _MOST_DOTS)
        shown = (column % every == every // 2) & (row % every == every // 2)
    return shown, "" if every == 1 else f"\n(one location in {every}×{every} marked)"


def matching_figure(
    image: Array,
    anchors: Array,
    matches: Array,
    ground_truth: Array,
    *,
    colours: Sequence[str] | None = None,
    most: int = 60,
) -> Picture:
    """Which anchors learn "object", which are left out, and which learn "background".

    Args:
        image: (H, W, 3) uint8.
        anchors: (A, 4) in pixels of the image.
        matches: (A,) from `minirnn.matching.match`: the index of a ground truth for a positive,
            BACKGROUND for a negative, IGNORE for one that is left out of training.
        ground_truth: (G, 4) the objects' boxes, each in the colour of its positives.
        colours: of the objects; None takes the course's, in their order.
        most: so many anchors of a kind are drawn, evenly spread over the list; the title counts
            all of them.

    Raises:
        InputError: matches do not fit the anchors or the ground truth, or there is not one colour an
            object.
    """
    image, anchors = host_image(image), host_boxes(anchors, "anchors")
    matches, truth = host_array(matches), host_boxes(ground_truth, "ground_truth")
    if matches.shape != (len(anchors),):
        raise InputError(f"matches has shape {matches.shape}; it should be ({len(anchors)},)")
    if len(matches) and not IGNORE <= matches.min() <= matches.max() < len(truth):
        raise InputError(
            f"matches runs from {matches.min()} to {matches.max()}; "
            f"it should be {IGNORE}, {BACKGROUND}, or the index of one of {len(truth)} objects"
        )
    height, width = image.shape[:2]
    figure = Picture(figsize=(10.5, 3.4 * height / width + 0.9), layout="constrained")
    if colours is None:
        colours = [OBJECTS[i % len(OBJECTS)] for i in range(len(truth))]
    if len(colours) != len(truth):
        raise InputError(f"{len(truth)} objects and {len(colours)} colours; give one each")
    own = np.array(colours, dtype=object)
    kinds = {
        "positive": (matches >= 0, own[np.maximum(matches, 0)] if len(own) else None),
        "ignored": (matches == IGNORE, None),
        "negative": (matches == BACKGROUND, None),
    }
    for axes, (name, (chosen, each)) in zip(figure.subplots(1, 3), kinds.items(), strict=True):
        members = np.flatnonzero(chosen)
        spread = np.linspace(0, max(len(members) - 1, 0), min(most, len(members)))
        drawn = members[spread.round().astype(int)]
        part = "" if len(drawn) == len(members) else f" ({len(drawn)} drawn)"
        show_image(axes, image, f"{name}: {len(members)}{part}", faded=0.5)
        add_boxes(axes, anchors[drawn], "#333333" if each is None else list(each[drawn]), width=1.0)
        add_boxes(axes, truth, list(own), width=2.8, dashed=True)
    figure.supxlabel("dashed: the objects; each positive anchor in its object's colour", fontsize=9)
    return figure
