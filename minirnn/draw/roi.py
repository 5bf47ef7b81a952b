"""Pictures of RoIPool, RoIWarp and RoIAlign: what they read, what they answer, whom they teach.

All are drawn on the feature map's own grid: cell i covers [i, i + 1), its centre is at i + ½.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from minirnn.backend import Array
from minirnn.draw.boxes import host_array, host_boxes
from minirnn.draw.cells import (
    BINS,
    add_legend_of,
    add_outline,
    add_sampled_bins,
    add_true_box,
    add_whole_cell_bins,
    show_grid,
    true_box_entry,
)
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PINK, SKY
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import quantised, roi_pool
from minirnn.ops.roi_warp import roi_warp

OPERATIONS = {"RoIPool": roi_pool, "RoIWarp": roi_warp, "RoIAlign": roi_align}
COLOURS = {"RoIPool": ORANGE, "RoIWarp": GREEN, "RoIAlign": BLUE}
MARKERS = {"RoIPool": "s", "RoIWarp": "^", "RoIAlign": "o"}


def region_read(operation: str, boxes: Array, spatial_scale: float) -> np.ndarray:
    """The regions (R, 4) that an operation cuts in bins, in cells of the feature map.

    Args:
        operation: "RoIPool", "RoIWarp" or "RoIAlign" (aligned).
        boxes: (R, 4) in pixels of the image.
        spatial_scale: cells per pixel.

    Raises:
        InputError: another operation, or boxes that are not (R, 4).
    """
    boxes = host_boxes(boxes)
    if operation not in OPERATIONS:
        raise InputError(f"operation is {operation!r}; it should be one of {list(OPERATIONS)}")
    if operation == "RoIAlign":
        return boxes * spatial_scale
    first, size = quantised(boxes, spatial_scale)
    return np.concatenate([first, first + size], axis=1)


def regions_figure(
    box: Array,
    spatial_scale: float,
    map_size: tuple[int, int],
    *,
    bins: int = 3,
    sampling_ratio: int = 2,
    operations: Sequence[str] = tuple(OPERATIONS),
) -> Picture:
    """What each operation really reads: true box, region, bins, points, and one bin's weights.

    Args:
        box: (4,) in pixels of the image.
        spatial_scale: cells per pixel.
        map_size: height and width of the feature map in cells.
        bins: bins along one side.
        sampling_ratio: points along one side of a bin, for RoIWarp and RoIAlign.
        operations: which to draw, one panel each.

    Raises:
        InputError: box is not (4,), or an operation is not known.
    """
    true = host_array(box).astype(float)
    if true.shape != (4,):
        raise InputError(f"box has shape {true.shape}; it should be (4,)")
    height, width = map_size
    count = len(operations)
    figure = Picture(figsize=(3.3 * count, 2.9 * height / width + 1.1))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    true_cells = true * spatial_scale
    for axes, name in zip(panels, operations, strict=True):
        region = region_read(name, true[None], spatial_scale)[0]
        show_grid(axes, height, width)
        add_outline(axes, region, facecolor=SKY, alpha=0.3)
        _weights(axes, name, true, spatial_scale, map_size, bins, sampling_ratio)
        if name == "RoIPool":
            add_whole_cell_bins(axes, region, bins)
        else:
            add_sampled_bins(axes, region, bins, sampling_ratio)
        add_outline(axes, region, edgecolor=BLUE, linewidth=2.4)
        add_true_box(axes, true_cells)
        axes.set_title(f"{name}: IoU {_overlap(true_cells, region):.2f}", fontsize=11)
    panels[0].set_ylabel("line of the feature map")
    add_legend_of(
        figure,
        [
            true_box_entry("true box"),
            Patch(facecolor="#ccebf8", edgecolor=BLUE, linewidth=2.4, label="region read"),
            Line2D([], [], color=BINS, linewidth=1.3, label="bins"),
            Line2D([], [], color=BLUE, marker="o", markersize=4, linestyle="", label="points"),
            Patch(facecolor=GREEN, alpha=0.6, label="weights of the upper left bin"),
        ],
    )
    return figure


def shift_figure(shifts: Array, outputs: Mapping[str, Array], *, stride: float) -> Picture:
    """One bin's output while the box moves: a staircase where the box is rounded.

    Args:
        shifts: (S,) how far the box has moved, in pixels of the image.
        outputs: (S,) for each operation's name.
        stride: pixels per cell; a dotted line marks each multiple.

    Raises:
        InputError: a curve of another length, or an operation that is not known.
    """
    shifts = host_array(shifts)
    figure = Picture(figsize=(8.4, 3.4))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for name, output in outputs.items():
        output = host_array(output)
        if output.shape != shifts.shape or name not in COLOURS:
            raise InputError(
                f"{name}: output has shape {output.shape}; it should be {shifts.shape}, "
                f"and the name one of {list(COLOURS)}"
            )
        every = max(len(shifts) // 12, 1)
        axes.plot(
            shifts, output, color=COLOURS[name], linewidth=2, marker=MARKERS[name], markevery=every
        )
    for multiple in np.arange(np.ceil(shifts.min() / stride), shifts.max() / stride + 1e-9):
        axes.axvline(multiple * stride, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"shift of the box to the right, in pixels (dotted: whole cells of {stride:g})")
    axes.set_ylabel("output of one bin")
    axes.spines[["top", "right"]].set_visible(False)
    add_legend_of(
        figure,
        [
            Line2D([], [], color=COLOURS[n], marker=MARKERS[n], linewidth=2, label=n)
            for n in outputs
        ],
    )
    return figure


def half_cell_figure(features: Array, box: Array, legacy: Array, aligned: Array) -> Picture:
    """A small map in numbers, the points of the upper left bin in both ways, and both outputs.

    Args:
        features: (H, W), at most about 8 x 8.
        box: (4,) in cells.
        legacy: (B, B) output with centres taken to be at i.
        aligned: (B, B) output with centres at i + ½.

    Raises:
        InputError: the outputs are not square or differ in shape.
    """
    features, box = host_array(features), host_array(box)
    legacy, aligned = host_array(legacy), host_array(aligned)
    if legacy.shape != aligned.shape or legacy.ndim != 2 or len(set(legacy.shape)) != 1:
        raise InputError(
            f"legacy has shape {legacy.shape} and aligned {aligned.shape}; both should be (B, B)"
        )
    height, width = features.shape
    figure = Picture(figsize=(10, 4.2))
    figure.set_layout_engine("constrained")
    left, *right = figure.subplots(1, 3)
    show_grid(left, height, width)
    for y, x in np.ndindex(height, width):
        left.text(x + 0.93, y + 0.2, f"{features[y, x]:g}", ha="right", va="center")
        left.plot(x + 0.5, y + 0.5, ".", color=GREY, markersize=4)
    step = (box[2:] - box[:2]) / len(legacy)
    add_true_box(left, box)
    add_outline(left, [*box[:2], *(box[:2] + step)], edgecolor=BLUE, linewidth=1.6)
    for offset, colour, marker in ((0.5, PINK, "s"), (0.0, BLUE, "o")):
        y, x = np.meshgrid(*[box[k] + np.array([0.25, 0.75]) * step[k] + offset for k in (1, 0)])
        left.plot(x.ravel(), y.ravel(), marker, color=colour, markersize=4.5, zorder=6)
    left.set_title("feature map", fontsize=11)
    for axes, output, name in zip(right, (legacy, aligned), ("legacy", "aligned"), strict=True):
        size = len(output)
        show_grid(axes, size, size)
        for y, x in np.ndindex(size, size):
            weight = "bold" if x == y == 0 else "normal"
            axes.text(
                x + 0.5, y + 0.5, f"{output[y, x]:g}", ha="center", va="center", weight=weight
            )
        colour = PINK if name == "legacy" else SKY
        add_outline(axes, [0, 0, 1, 1], facecolor=colour, alpha=0.5, zorder=1)
        axes.set_title(f"output, {name}", fontsize=11)
        axes.set_xlabel("bin")
    add_legend_of(
        figure,
        [
            true_box_entry("box"),
            Patch(facecolor="none", edgecolor=BLUE, linewidth=1.6, label="its upper left bin"),
            Line2D([], [], color=GREY, marker=".", linestyle="", label="centres of cells"),
            Line2D([], [], color=PINK, marker="s", linestyle="", label="points read, legacy"),
            Line2D([], [], color=BLUE, marker="o", linestyle="", label="points read, aligned"),
        ],
    )
    return figure


def overlap_figure(sizes: Sequence[float], overlaps: Mapping[int, Sequence[float]]) -> Picture:
    """Mean overlap of the true box with the cells read, against the box's size, for each stride.

    Args:
        sizes: (S,) sides of the boxes in pixels.
        overlaps: (S,) mean IoU for each stride.

    Raises:
        InputError: a curve of another length.
    """
    figure = Picture(figsize=(7.2, 3.6))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.axhline(1, color=BLUE, linewidth=2, linestyle="--")
    axes.annotate(
        "RoIAlign, any stride", (sizes[0], 1), (0, 5), textcoords="offset points", color=BLUE
    )
    markers = "osD^vP"
    for k, (stride, overlap) in enumerate(overlaps.items()):
        if len(overlap) != len(sizes):
            raise InputError(f"stride {stride} has {len(overlap)} values for {len(sizes)} sizes")
        colour = (SKY, GREEN, PINK, ORANGE, GREY, "black")[k % 6]
        axes.plot(sizes, overlap, marker=markers[k % 6], color=colour, linewidth=2)
        axes.annotate(
            f"stride {stride}",
            (sizes[0], overlap[0]),
            (-9, 0),
            textcoords="offset points",
            ha="right",
            va="center",
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xlim(sizes[0] * 0.68, sizes[-1] * 1.1)
    axes.set_ylim(0, 1.12)
    axes.set_xlabel("side of the box, in pixels")
    axes.set_ylabel("mean IoU(true box, cells read)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def footprint_figure(gradients: Mapping[str, Array], box: Array, spatial_scale: float) -> Picture:
    """Which cells learn from a box: the size of the gradient at each cell, on one scale.

    Args:
        gradients: for each operation's name, d(sum of the output) / d(feature map), (H, W).
        box: (4,) in pixels of the image.
        spatial_scale: cells per pixel.

    Raises:
        InputError: maps of different shapes.
    """
    maps = {name: host_array(gradient) for name, gradient in gradients.items()}
    if len({gradient.shape for gradient in maps.values()}) != 1:
        raise InputError(f"gradients have shapes {[m.shape for m in maps.values()]}; one is needed")
    (height, width), count = next(iter(maps.values())).shape, len(maps)
    figure = Picture(figsize=(3.3 * count + 0.6, 2.8 * height / width + 1.1))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    most = max(float(np.abs(gradient).max()) for gradient in maps.values())
    for axes, (name, gradient) in zip(panels, maps.items(), strict=True):
        picture = axes.imshow(
            np.ma.masked_equal(np.abs(gradient), 0),
            extent=(0, width, height, 0),
            cmap="viridis_r",
            norm=PowerNorm(0.5, vmin=0, vmax=most),  # a square root, so that small ones show
        )
        show_grid(axes, height, width)
        add_true_box(axes, host_array(box) * spatial_scale, on_colours=True)
        reached = int((gradient != 0).sum())
        axes.set_title(f"{name}: {reached} cells", fontsize=11)
    panels[0].set_ylabel("line of the feature map")
    ticks = [t for t in (0, 0.1, 0.25, 0.5, 1, 2, 4) if t <= most] if most <= 8 else None
    label = "gradient of the sum of all bins"
    figure.colorbar(picture, ax=panels, shrink=0.8, label=label, ticks=ticks)
    add_legend_of(
        figure,
        [true_box_entry("true box")],
    )
    return figure


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _weights(
    axes: Axes,
    name: str,
    box: np.ndarray,
    spatial_scale: float,
    map_size: tuple[int, int],
    bins: int,
    sampling_ratio: int,
) -> None:
    """The weights of the upper left bin as green squares, their areas in proportion."""
    height, width = map_size
    if name == "RoIPool":  # the maximum may be any of its cells: all are read alike
        first, size = quantised(box[None], spatial_scale)
        (x1, y1), (x2, y2) = first[0], first[0] + np.ceil(size[0] / bins)
        y, x = np.mgrid[:height, :width]
        weights = ((x >= x1) & (x < x2) & (y >= y1) & (y < y2)) / ((x2 - x1) * (y2 - y1))
    else:
        settings = {"aligned": True} if name == "RoIAlign" else {}
        output, (vjp, _, _) = OPERATIONS[name].raw(
            np.zeros((1, 1, height, width)),
            box[None],
            np.zeros(1, int),
            output_size=bins,
            spatial_scale=spatial_scale,
            sampling_ratio=sampling_ratio,
            **settings,
        )
        cotangent = np.zeros_like(output)
        cotangent[..., 0, 0] = 1
        weights = vjp(cotangent)[0, 0]
    for y, x in np.argwhere(weights > 1e-9):
        half = 0.47 * np.sqrt(weights[y, x] / weights.max())
        corners = [x + 0.5 - half, y + 0.5 - half, x + 0.5 + half, y + 0.5 + half]
        add_outline(axes, corners, facecolor=GREEN, alpha=0.6, zorder=2)


def matrix_figure(weights: Array, map_size: tuple[int, int]) -> Picture:
    """The sparse matrix of RoIAlign: a row for each bin, a column for each cell.

    Args:
        weights: (bins, cells), what each bin reads of each cell, cells row by row.
        map_size: height and width of the feature map, in cells.

    Raises:
        InputError: there are more or fewer columns than cells.
    """
    weights = host_array(weights).astype(float)
    height, width = map_size
    if weights.ndim != 2 or weights.shape[1] != height * width:
        raise InputError(
            f"weights has shape {weights.shape}; it should be (bins, {height * width})"
        )
    bins = len(weights)
    figure = Picture(figsize=(9.6, 0.17 * bins + 1.5), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(
        weights, extent=(0, height * width, bins, 0), cmap="Greens", aspect="auto", vmin=0
    )
    for row in range(1, height):
        axes.axvline(row * width, color=GREY, linewidth=0.8)
    axes.set(
        xlabel=f"cell of the map, row by row (a line after each row of {width})",
        ylabel="bin",
        xticks=range(0, height * width + 1, width),
    )
    figure.colorbar(shown, ax=axes, label="weight", fraction=0.03)
    return figure
