"""RoIPool, RoIWarp and RoIAlign over the photograph itself: what they read, and what it does to a mask."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from minirnn.backend import Array
from minirnn.boxes.geometry import iou
from minirnn.draw.boxes import (
    ERRORS,
    add_boxes,
    add_legend,
    host_array,
    host_image,
    show_errors,
    show_image,
)
from minirnn.draw.cells import add_legend_of
from minirnn.draw.palette import BLUE, ORANGE
from minirnn.draw.picture import Picture
from minirnn.draw.roi import OPERATIONS, region_read
from minirnn.errors import InputError
from minirnn.masks.crop import crop
from minirnn.masks.paste import paste

AIR = 2  # cells around the box that are shown


def photo_regions_figure(image: Array, box: Array, stride: int) -> Picture:
    """The region that each operation reads, over the photograph with the map's cells.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) in its pixels.
        stride: pixels of a cell.

    Raises:
        InputError: image or box have another shape.
    """
    image, true = host_image(image), _one_box(box)
    figure = Picture(figsize=(9.6, 4.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), OPERATIONS, strict=True):
        region = region_read(name, true[None], 1 / stride)[0] * stride
        show_image(
            axes,
            image,
            f"{name}\nIoU with the box {iou(true[None], region[None])[0, 0]:.2f}",
            faded=0.35,
        )
        for at in range(0, max(image.shape[:2]), stride):
            axes.axvline(at, color="white", linewidth=0.6)
            axes.axhline(at, color="white", linewidth=0.6)
        add_boxes(axes, region[None], BLUE, width=2.5)
        add_boxes(axes, true[None], ORANGE, width=2.5, dashed=True)
        low, high = true[:2] - AIR * stride, true[2:] + AIR * stride
        axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
    add_legend_of(
        figure,
        [
            Line2D([], [], color=ORANGE, linestyle="--", linewidth=2.5, label="the box"),
            Line2D([], [], color=BLUE, linewidth=2.5, label="the region that is read"),
        ],
    )
    return figure


def mask_views_figure(mask: Array, box: Array, stride: int, size: int = 28) -> Picture:
    """A mask as each operation's region shows it, pasted back into the box, against the truth.

    Args:
        mask: (H, W) bool.
        box: (4,) in its pixels.
        stride: pixels of a cell of the map.
        size: cells along each side of the view.

    Raises:
        InputError: mask or box have another shape.
    """
    truth, true = host_array(mask).astype(bool), _one_box(box)
    if truth.ndim != 2 or truth.size == 0:
        raise InputError(f"mask has shape {truth.shape}; it should be (H, W)")
    figure = Picture(figsize=(9.6, 4.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), OPERATIONS, strict=True):
        region = region_read(name, true[None], 1 / stride) * stride
        view = crop(truth[None], region, np.zeros(1, np.intp), size, aligned=True)
        show_errors(axes, truth, paste(view, true[None], *truth.shape)[0])
        axes.set_title(f"{name}\n{axes.get_title()}", fontsize=10)
        add_boxes(axes, true[None], "black", dashed=True)
        air = 0.12 * (true[2:] - true[:2]).max()
        axes.set(xlim=(true[0] - air, true[2] + air), ylim=(true[3] + air, true[1] - air))
    add_legend(figure, ERRORS)
    return figure


def _one_box(box: Array) -> np.ndarray:
    found = host_array(box).astype(float)
    if found.shape != (4,):
        raise InputError(f"box has shape {found.shape}; it should be (4,)")
    return found
