"""Pictures of what the heads say of a region: its class and boxes, its masks, its keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.ground import paper
from minirnn.draw.palette import BLUE, GREY, OBJECTS, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def region_verdict_figure(
    image: Array, region: Array, boxes: Array, probabilities: Array, names: Sequence[str]
) -> Picture:
    """What the box head says of a region: how likely each class is, and the box that each would have.

    Args:
        image: (H, W, 3) uint8.
        region: (4,) the proposal, in pixels; drawn in black dashes.
        boxes: (K, 4) the box of each class but background.
        probabilities: (K + 1,) of background and each class.
        names: K names of the classes.

    Raises:
        InputError: numbers of boxes, probabilities and names do not fit.
    """
    image, boxes = host_image(image), host_boxes(boxes)
    region, probabilities = host_boxes(host_array(region)[None]), host_array(probabilities).ravel()
    if not len(boxes) == len(names) == len(probabilities) - 1:
        raise InputError(
            f"there are {len(boxes)} boxes, {len(names)} names and {len(probabilities)} probabilities; "
            "there should be K, K and K + 1"
        )
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(names))]
    figure = Picture(figsize=(8.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    show_image(left, image, "the region (black) and each class's box", faded=0.4)
    left.set(xlabel="x, pixels", ylabel="y, pixels")
    left.locator_params(nbins=5)
    _ticks(left, image.shape[1], image.shape[0])
    add_boxes(left, boxes, colours, width=2.4)
    add_boxes(left, region, "black", dashed=True, width=2)
    labels = ["background", *names]
    bars = right.barh(labels, probabilities, color=[GREY, *colours])
    right.bar_label(bars, labels=[f"{p:.3f}" for p in probabilities], padding=3, fontsize=9)
    right.invert_yaxis()
    right.set(xlim=(0, 1.18), xticks=(0, 0.5, 1), xlabel="probability (softmax: they sum to 1)")
    right.spines[["top", "right"]].set_visible(False)
    return figure


def class_masks_figure(
    rows: Mapping[str, Array], names: Sequence[str], *, label: int | None = None
) -> Picture:
    """The masks that a head has for one region: a column for each class, a row for each rule.

    Args:
        rows: (K, M, M) probabilities by each rule, under its name, such as "sigmoid".
        names: of the K classes.
        label: 1…K, the class that the box head gave: its masks are framed.

    Raises:
        InputError: a row of another shape, or no row.
    """
    maps = {name: host_array(values).astype(float) for name, values in rows.items()}
    if not maps or any(m.ndim != 3 or len(m) != len(names) for m in maps.values()):
        shapes = [m.shape for m in maps.values()]
        raise InputError(f"rows have shapes {shapes}; each should be ({len(names)}, M, M)")
    figure = Picture(figsize=(2.1 * len(names) + 1.6, 2.25 * len(maps) + 0.3), layout="constrained")
    panels = figure.subplots(len(maps), len(names), squeeze=False)
    for axes_row, (title, values) in zip(panels, maps.items(), strict=True):
        axes_row[0].set_ylabel(f"{title}\nrow of the mask", fontsize=10)
        for k, (axes, values_k) in enumerate(zip(axes_row, values, strict=True), start=1):
            size = len(values_k)
            shown = axes.imshow(
                values_k, cmap="gray", vmin=0, vmax=1, extent=(0, size, size, 0), interpolation="nearest"
            )  # fmt: skip
            if values_k.min() < 0.5 <= values_k.max():
                centres = np.arange(size) + 0.5
                axes.contour(centres, centres, values_k, [0.5], colors=ORANGE, linewidths=2)
            inside = int((values_k >= 0.5).sum())
            axes.set_title(f"{names[k - 1]}: {inside} cells", fontsize=10)
            axes.set(xticks=(0, size), yticks=(0, size))
            if k == label:
                for spine in axes.spines.values():
                    spine.set(edgecolor=BLUE, linewidth=4)
    figure.colorbar(shown, ax=panels, shrink=0.7, label="probability (orange: ½)")
    return figure


def region_targets_figure(
    image: Array, mask: Array, regions: Array, targets: Array, *, colour: str = ORANGE
) -> Picture:
    """One object and several regions that found it; below each region, what its mask head is to give.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) bool, the object.
        regions: (R, 4) in pixels.
        targets: (R, M, M) in [0, 1].
        colour: of the object's outline.

    Raises:
        InputError: the numbers of regions and targets differ, or there is none.
    """
    image, regions, targets = host_image(image), host_boxes(regions, "regions"), host_array(targets)
    mask = host_array(mask).astype(float)
    if not len(regions) or targets.ndim != 3 or len(targets) != len(regions):
        raise InputError(f"there are {len(regions)} regions, and targets has shape {targets.shape}")
    height, width = image.shape[:2]
    figure = Picture(figsize=(2.6 * len(regions), 5.3), layout="constrained")
    panels = figure.subplots(2, len(regions), squeeze=False)
    for axes, below, region, target in zip(*panels, regions, targets, strict=True):
        show_image(axes, image, faded=0.4)
        if mask.min() < 0.5 <= mask.max():
            axes.contour(
                np.arange(width) + 0.5, np.arange(height) + 0.5, mask, [0.5], colors=colour, linewidths=2
            )  # fmt: skip
        add_boxes(axes, region[None], "black", dashed=True, width=2)
        _ticks(axes, width, height)
        axes.set_xlabel("x, pixels", fontsize=9)
        size = len(target)
        below.imshow(
            target, cmap="gray", vmin=0, vmax=1, extent=(0, size, size, 0), interpolation="nearest"
        )
        below.set(xticks=(0, size), yticks=(0, size))
        below.set_xlabel("column of the target", fontsize=9)
        below.set_title(f"mean {target.mean():.2f}", fontsize=10)
    panels[0][0].set_ylabel("y, pixels", fontsize=9)
    panels[1][0].set_ylabel("row of the target", fontsize=9)
    return figure


def keypoint_cells_figure(
    image: Array, box: Array, keypoints: Array, cells: Array, size: int, names: Sequence[str]
) -> Picture:
    """A region with the grid of its keypoint maps, the points in it, and the one cell of each.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) the region, in pixels.
        keypoints: (P, 3) x, y, visibility.
        cells: (P,) row · size + column, or -1 for none.
        size: cells along a side of the map.
        names: of the P points.

    Raises:
        InputError: numbers of points, cells and names differ.
    """
    image, points = host_image(image), host_array(keypoints)
    x1, y1, x2, y2 = host_boxes(host_array(box)[None], "box")[0].tolist()
    cells = host_array(cells).ravel().astype(int)
    if not len(points) == len(cells) == len(names):
        raise InputError(f"{len(points)} points, {len(cells)} cells and {len(names)} names differ")
    figure = Picture(
        figsize=(8.6, 0.7 + 3.6 * (y2 - y1) / max(x2 - x1, 1e-9)), layout="constrained"
    )
    whole, near = figure.subplots(1, 2)
    wide, high = (x2 - x1) / size, (y2 - y1) / size
    labelled = [(n, x, y) for n, (x, y, seen) in enumerate(points) if seen]
    inside = [(n, x, y) for n, x, y in labelled if cells[n] >= 0]
    for axes in (whole, near):
        show_image(axes, paper(image, 0.3))
        axes.set(xlabel="x, pixels", ylabel="y, pixels")
        for line in range(size + 1):
            thin = 0.25 if 0 < line < size else 1.6
            axes.plot([x1 + line * wide] * 2, [y1, y2], color=GREY, linewidth=thin)
            axes.plot([x1, x2], [y1 + line * high] * 2, color=GREY, linewidth=thin)
        for n, _, _ in inside:
            row, column = divmod(int(cells[n]), size)
            corner = (x1 + column * wide, y1 + row * high)
            axes.add_patch(Rectangle(corner, wide, high, color=OBJECTS[n % len(OBJECTS)], zorder=3))
        for n, x, y in labelled:
            ink = OBJECTS[n % len(OBJECTS)]
            axes.plot([x], [y], "o", color=ink, markeredgecolor="white", markersize=6, zorder=4)
    air = 0.06 * max(x2 - x1, y2 - y1)
    whole.set(xlim=(x1 - air, x2 + air), ylim=(y2 + air, y1 - air))
    whole.set_xticks(np.linspace(x1, x2, 5).round())
    whole.set_yticks(np.linspace(y1, y2, 5).round())
    for n, x, y in inside:
        row, column = divmod(int(cells[n]), size)
        whole.annotate(
            f"{names[n]}\n({row}, {column})", (x, y), (0, -8), textcoords="offset points", ha="center",
            va="top", fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85, "edgecolor": "none"},
        )  # fmt: skip
    whole.set_title(f"{size} × {size} cells; a point's cell as (row, column)", fontsize=10)
    first, x, y = inside[0] if inside else (0, (x1 + x2) / 2, (y1 + y2) / 2)
    near.set(xlim=(x - 3 * wide, x + 3 * wide), ylim=(y + 3 * high, y - 3 * high))
    near.set_xticks(np.round([x - 2 * wide, x, x + 2 * wide], 1))
    near.set_yticks(np.round([y - 2 * high, y, y + 2 * high], 1))
    near.set_title(f"{names[first]} from near" if inside else "no point has a cell", fontsize=10)
    return figure


def _ticks(axes: object, width: float, height: float) -> None:
    axes.set_xticks(np.linspace(0, width, 3).round())  # type: ignore[attr-defined]
    axes.set_yticks(np.linspace(0, height, 3).round())  # type: ignore[attr-defined]
