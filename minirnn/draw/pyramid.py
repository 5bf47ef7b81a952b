"""Pictures of a feature pyramid: its maps, how two of them are added, and which one reads a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_array, host_boxes, host_image, show_image
from minirnn.draw.palette import OBJECTS
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def maps_figure(
    maps: Mapping[str, Array],
    *,
    size: tuple[int, int],
    boxes: Array | None = None,
    colours: Sequence[str] = OBJECTS,
    columns: int = 3,
) -> Picture:
    """Feature maps side by side, each stretched over the image that it was made of.

    Args:
        maps: by title, (H_k, W_k), or (C, H_k, W_k) or (1, C, H_k, W_k), of which the mean of the absolute
            values over the channels is drawn. Dark is much; each map has its own scale.
        size: height and width of the image, in pixels.
        boxes: (N, 4) in pixels of the image, drawn over every map; None draws none.
        colours: of the boxes.
        columns: maps in a row.

    Raises:
        InputError: there is no map, or one has another shape.
    """
    if not maps:
        raise InputError("maps is empty; it should hold at least one map")
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    height, width = size
    panel = 2.6
    figure = Picture(
        figsize=(panel * columns, (panel * height / width + 0.35) * rows), layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, values) in zip(panels, maps.items(), strict=False):
        _show_map(axes, _strength(values, name), name, size)
        if boxes is not None:
            found = host_boxes(boxes)
            add_boxes(axes, found, [colours[i % len(colours)] for i in range(len(found))], width=2)
    for axes in panels[len(maps) :]:
        axes.set_axis_off()
    return figure


def _strength(values: Any, name: str) -> np.ndarray:
    """A map (H, W): as it is, or the mean of its channels' absolute values."""
    found = host_array(values)
    if found.ndim == 4 and len(found) == 1:
        found = found[0]
    if found.ndim not in (2, 3) or found.size == 0:
        raise InputError(f"{name} has shape {found.shape}; it should be (H, W) or (C, H, W)")
    return found if found.ndim == 2 else np.abs(found).mean(axis=0)


def _show_map(axes: Axes, values: np.ndarray, title: str, size: tuple[int, int]) -> None:
    height, width = size
    axes.imshow(values, cmap="Greys", extent=(0, width, height, 0), interpolation="nearest")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(f"{title}\n{values.shape[0]} × {values.shape[1]} cells", fontsize=9.5)


def top_down_figure(lateral: Array, above: Array) -> Picture:
    """One step down the pyramid in numbers: the map above, stretched; the map's own; and their sum.

    Args:
        lateral: (H, W), the level's own map after its 1×1 convolution.
        above: (h, w), the level above, of half the size (rounded up).

    Raises:
        InputError: a map is not (H, W), or holds more than 144 numbers.
    """
    own, coarse = host_array(lateral).astype(float), host_array(above).astype(float)
    for name, values in (("lateral", own), ("above", coarse)):
        if values.ndim != 2 or not 0 < values.size <= 144:
            raise InputError(f"{name} has shape {values.shape}; it should be (H, W), to 144 cells")
    rows, columns = (
        np.arange(fine) * few // fine for fine, few in zip(own.shape, coarse.shape, strict=True)
    )
    stretched = coarse[rows[:, None], columns]
    figure = Picture(figsize=(9.6, 2.7), layout="constrained")
    panels = figure.subplots(1, 4, width_ratios=(0.6, 1, 1, 1))
    tables = {
        "the level above": coarse,
        "stretched to the level's size": stretched,
        "+  the level's own map": own,
        "=  their sum": stretched + own,
    }
    top = max(float((stretched + own).max()), 1e-9)
    for axes, (title, values) in zip(panels, tables.items(), strict=True):
        axes.imshow(values, cmap="Greys", vmin=0, vmax=1.6 * top, interpolation="nearest")
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=9)
        axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, [])
        axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, [])
        axes.grid(color="#909090", linewidth=0.7)
        axes.tick_params(length=0)
        axes.set_title(title, fontsize=9.5)
    return figure


def box_cells_figure(
    image: Array,
    boxes: Array,
    levels: Sequence[int],
    *,
    lowest: int = 2,
    names: Sequence[str] = (),
    colours: Sequence[str] = OBJECTS,
) -> Picture:
    """Each object from near, with the cells of the level that reads it.

    Args:
        image: (H, W, 3) uint8, as the network sees it.
        boxes: (N, 4) in its pixels.
        levels: (N,) of the boxes, 0 for the finest, as `roi.levels.assign_levels` gives them.
        lowest: the level that 0 stands for; level k has stride 2^k.
        names: of the objects.
        colours: of the objects.

    Raises:
        InputError: boxes and levels do not fit, or there is no box.
    """
    image, boxes = host_image(image), host_boxes(boxes)
    numbers = host_array(levels).astype(int)
    if numbers.shape != (len(boxes),) or len(boxes) == 0:
        raise InputError(
            f"levels has shape {numbers.shape}; it should be ({len(boxes)},), at least one"
        )
    figure = Picture(figsize=(2.15 * len(boxes), 2.75), layout="constrained")
    panels = figure.subplots(1, len(boxes), squeeze=False)[0]
    for number, (axes, box, level) in enumerate(zip(panels, boxes, numbers, strict=True)):
        stride = 2 ** int(level + lowest)
        x1, y1, x2, y2 = box
        middle, half = np.array([x1 + x2, y1 + y2]) / 2, 0.58 * max(x2 - x1, y2 - y1, 1)
        colour = colours[number % len(colours)]
        show_image(axes, image, faded=0.35)
        height, width = image.shape[:2]
        ink: dict[str, Any] = {"color": "black", "linewidth": 0.45, "alpha": 0.7}
        axes.vlines(np.arange(0, width + 1, stride), 0, height, **ink)
        axes.hlines(np.arange(0, height + 1, stride), 0, width, **ink)
        add_boxes(axes, box[None], colour, width=2.6)
        axes.set(xlim=middle[0] + np.array([-half, half]), ylim=middle[1] + np.array([half, -half]))
        name = names[number] if number < len(names) else f"box {number}"
        across, down = (x2 - x1) / stride, (y2 - y1) / stride
        axes.set_title(
            f"{name}\n{x2 - x1:.0f} × {y2 - y1:.0f} pixels\n"
            f"P{level + lowest}: {across:.0f} × {down:.0f} cells",
            fontsize=9,
        )
    return figure
