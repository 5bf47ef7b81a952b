"""Pictures of a mask's way from the head's grid into the image, and of its run lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from minirnn.backend import Array
from minirnn.draw.boxes import (
    ERRORS,
    add_boxes,
    add_legend,
    host_array,
    host_boxes,
    host_image,
    show_image,
    window_of,
)
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.masks.paste import paste
from minirnn.masks.rle import run_lengths
from minirnn.ops.interpolation import bilinear_weights

FEW = 400  # pixels or cells up to here get a number or a dot of their own


def paste_figure(probabilities: Array, box: Array, height: int, width: int) -> Picture:
    """The head's grid beside the pixels that read it: where each centre lies, and which are in the mask.

    Args:
        probabilities: (M, M) in [0, 1], the head's answer.
        box: (4,) x1, y1, x2, y2 in pixels of the image.
        height: of the part of the image that is drawn, from its upper left corner, in pixels.
        width: see there.

    Raises:
        InputError: the grid is not square, or there are no pixels.
    """
    grid, (corners,) = host_array(probabilities).astype(float), host_boxes(host_array(box)[None])
    if grid.ndim != 2 or grid.shape[0] != grid.shape[1] or grid.size == 0:
        raise InputError(f"probabilities has shape {grid.shape}; it should be (M, M)")
    if height < 1 or width < 1:
        raise InputError(f"height and width are {height} and {width}; they should be at least 1")
    cells = len(grid)
    (mask,) = paste(grid[None], corners[None].astype(float), height, width)
    figure = Picture(figsize=(8, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _shades(left, grid, (0, cells, cells, 0))
    _ticks(left, cells, cells, "cell")
    left.set_title(f"the head's grid, {cells} × {cells} probabilities", fontsize=10)
    if grid.size <= FEW:
        for (i, j), value in np.ndenumerate(grid):
            ink = "white" if value > 0.6 else "black"
            left.text(j + 0.5, i + 0.5, f"{value:.3g}", ha="center", va="center", color=ink)
    _readings(right, grid, corners, height, width)
    add_boxes(right, corners[None], ORANGE, width=2.2, dashed=True)
    _ticks(right, height, width, "pixel")
    y, x = np.mgrid[:height, :width] + 0.5
    for chosen, style in ((mask, {"color": BLUE}), (~mask, {"color": "white", "ec": BLUE})):
        if mask.size <= 4 * FEW:
            right.scatter(x[chosen], y[chosen], s=22, zorder=4, **style)
    right.set_title(f"the image: {int(mask.sum())} pixels are in the mask", fontsize=10)
    add_legend(
        figure, {"the box": ORANGE, "reading is ½": GREEN, "centre of a pixel in the mask": BLUE}
    )
    return figure


def _shades(axes: Axes, values: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    axes.imshow(values, cmap="Greys", vmin=0, vmax=1.25, extent=extent, interpolation="nearest")


def _readings(
    axes: Axes, grid: np.ndarray, box: np.ndarray, height: int, width: int, fine: int = 12
) -> None:
    """What one would read between the pixels' centres, too: shades, and the line where it is ½."""
    x1, y1, x2, y2 = box
    if not (x2 > x1 and y2 > y1):
        _shades(axes, np.zeros((height, width)), (0, width, height, 0))
        return
    spots = [(np.arange(n * fine) + 0.5) / fine for n in (height, width)]
    weights = [
        bilinear_weights((spot - low) / (high - low) * len(grid) - 0.5, len(grid))
        for spot, low, high in zip(spots, (y1, x1), (y2, x2), strict=True)
    ]
    read = weights[0] @ grid @ weights[1].T
    _shades(axes, np.round(read * 10) / 10, (0, width, height, 0))  # few shades: a small file
    if read.min() < 0.5 <= read.max():
        axes.contour(spots[1], spots[0], read, levels=[0.5], colors=[GREEN], linewidths=2)


def _ticks(axes: Axes, height: int, width: int, what: str) -> None:
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel=f"x, {what}s", ylabel=f"y, {what}s")
    axes.set_aspect("equal")
    if max(height, width) <= 24:
        axes.set_xticks(range(width + 1))
        axes.set_yticks(range(height + 1))
        axes.grid(color="#b0b0b0", linewidth=0.6)
    axes.tick_params(labelsize=8, length=2)


def paste_ways_figure(
    truth: Array, ways: Mapping[str, Array], box: Array, *, image: Array | None = None
) -> Picture:
    """The same mask pasted in several ways, each compared with the true one, pixel for pixel.

    Args:
        truth: (H, W) bool.
        ways: by name, (H, W) bool.
        box: (4,) the box they were pasted into, drawn in dashes.
        image: (H, W, 3) uint8, pale behind them; None for white.

    Raises:
        InputError: the shapes differ, or there is no way.
    """
    truth = host_array(truth).astype(bool)
    frame = host_boxes(host_array(box)[None], "box")
    if not ways:
        raise InputError("ways is empty; it should hold at least one mask")
    found = {name: host_array(mask).astype(bool) for name, mask in ways.items()}
    for name, mask in found.items():
        if mask.shape != truth.shape or truth.ndim != 2 or truth.size == 0:
            raise InputError(
                f"truth has shape {truth.shape} and {name} {mask.shape}; both should be (H, W)"
            )
    ground = np.full((*truth.shape, 3), 255, np.uint8) if image is None else host_image(image)
    if ground.shape[:2] != truth.shape:
        raise InputError(f"image has shape {ground.shape}; it should be {(*truth.shape, 3)}")
    x1, y1, x2, y2 = window_of(np.any([truth, *found.values()], axis=0), frame)
    across = 2.9 * len(found)
    figure = Picture(figsize=(across, 2.9 * (y2 - y1) / (x2 - x1) + 0.85), layout="constrained")
    height, width = truth.shape
    for axes, (name, mask) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        show_image(axes, ground, faded=0.45)
        both, missed, extra = truth & mask, truth & ~mask, mask & ~truth
        paint = np.zeros((height, width, 4))
        for pixels, (kind, colour) in zip((both, missed, extra), ERRORS.items(), strict=True):
            paint[pixels] = to_rgba(colour, 0.45 if kind == "both" else 1.0)
        axes.imshow(paint, extent=(0, width, height, 0), interpolation="nearest")
        add_boxes(axes, frame, "black", dashed=True)
        axes.set(xlim=(x1, x2), ylim=(y2, y1))
        iou = both.sum() / max((truth | mask).sum(), 1)
        axes.set_title(
            f"{name}\nIoU {iou:.3f}: {missed.sum()} missed, {extra.sum()} too much", fontsize=9.5
        )
    add_legend(figure, ERRORS)
    return figure


def runs_figure(mask: Array) -> Picture:
    """A small mask with the way that run lengths take through it, and its runs one after the other.

    Args:
        mask: (H, W) bool, of at most 400 pixels.

    Raises:
        InputError: it has no pixels, too many, or another number of axes.
    """
    mask = host_array(mask).astype(bool)
    if mask.ndim != 2 or not 0 < mask.size <= FEW:
        raise InputError(f"mask has shape {mask.shape}; it should be (H, W), 1 to {FEW} pixels")
    height, width = mask.shape
    counts = run_lengths(mask)
    number = np.repeat(np.arange(len(counts)), counts).reshape(width, height).T
    figure = Picture(figsize=(8.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    colours = [PALETTE[k // 2 % len(PALETTE)] if k % 2 else "white" for k in range(len(counts))]
    rgb = np.array([to_rgba(colour)[:3] for colour in colours])
    left.imshow(rgb[number], extent=(0, width, height, 0), interpolation="nearest")
    _ticks(left, height, width, "pixel")
    for column in range(width):
        left.annotate("", (column + 0.5, height - 0.12), (column + 0.5, 0.12),
                      arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 1.1})  # fmt: skip
    left.set_title("read column by column, downwards", fontsize=10)
    right.barh(range(len(counts)), counts, color=colours, edgecolor=GREY, height=0.8)
    for k, count in enumerate(counts.tolist()):
        right.text(count, k, f" {count} {'on' if k % 2 else 'off'}", va="center", fontsize=9)
    right.set(xlabel="pixels in the run", ylabel="number of the run", yticks=range(len(counts)))
    right.set_xlim(0, 1.25 * max(int(counts.max()), 1))
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    right.set_title("[" + ", ".join(map(str, counts.tolist())) + "]", fontsize=10)
    return figure
