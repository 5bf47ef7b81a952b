"""Pictures of a backbone: what a cell sees of a photograph, its channels, and what reaches its depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np

from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, add_legend, host_array, host_boxes, host_image, show_image
from minirnn.draw.convolution import show_signed
from minirnn.draw.palette import BLUE, GREEN, ORANGE, PINK
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def receptive_figure(
    image: Array,
    fields: Mapping[str, Array],
    cells: Mapping[str, Array],
    gradients: Mapping[str, Array] | None = None,
) -> Picture:
    """What one cell of each map sees: its own square, the field around it, and how much each pixel counts.

    Args:
        image: (H, W, 3) uint8.
        fields: for each map's name the receptive field, (4,) x1, y1, x2, y2 in pixels; it may leave the
            picture.
        cells: (4,) of the cell itself, stride × stride pixels.
        gradients: (H, W), |d(cell) / d(pixel)|, shown in green, by its cube root, so that
            weak ones show; None for none.

    Raises:
        InputError: the names differ, or something has another shape.
    """
    image = host_image(image)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)  # so that the colours stand out
    gradients = {} if gradients is None else gradients
    if not fields or set(fields) != set(cells) or not set(gradients) <= set(fields):
        raise InputError(
            f"fields are of {list(fields)}, cells of {list(cells)}, gradients of {list(gradients)}; "
            "they should be of the same maps"
        )
    height, width = image.shape[:2]
    panel = float(np.clip(2.7 * height / width, 1, 5))
    picture = Picture(figsize=(2.7 * len(fields), panel + 0.8), layout="constrained")
    panels = picture.subplots(1, len(fields), squeeze=False)[0]
    for axes, (name, field) in zip(panels, fields.items(), strict=True):
        box = host_boxes(host_array(field)[None].astype(float), f"fields[{name!r}]")
        show_image(axes, grey, f"{name}: {box[0, 2] - box[0, 0]:g} pixels wide", faded=0.55)
        if name in gradients:
            strength = host_array(gradients[name]).astype(float)
            if strength.shape != (height, width):
                raise InputError(
                    f"gradients[{name!r}] has shape {strength.shape}; it should be {(height, width)}"
                )
            seen = np.zeros((height, width, 4))
            seen[..., :3] = 0.0, 0x9E / 255, 0x73 / 255  # the palette's green
            seen[..., 3] = np.cbrt(np.abs(strength) / max(float(np.abs(strength).max()), 1e-30))
            axes.imshow(seen, extent=(0, width, height, 0), interpolation="nearest")
        add_boxes(axes, box, ORANGE, width=2.4)
        cell = host_array(cells[name])[None].astype(float)
        add_boxes(axes, cell, "white", width=3)
        add_boxes(axes, cell, BLUE, width=1.8)
    entries = {"the cell's own square": BLUE, "all that it sees": ORANGE}
    add_legend(picture, entries | ({"how much a pixel counts": GREEN} if gradients else {}))
    return picture


def channels_figure(image: Array, maps: Mapping[str, Array], *, count: int = 3) -> Picture:
    """A few channels of each map beside the picture: those that vary most over it, each on its own scale.

    Args:
        image: (H, W, 3) uint8.
        maps: (C, h, w), or (1, C, h, w) as `model.stages(image)` has them, by name.
        count: channels of each map.

    Raises:
        InputError: a map has another shape, or there is none.
    """
    image = host_image(image)
    if not maps or count < 1:
        raise InputError(f"maps are {list(maps)} and count is {count}; give one of each at least")
    picture = Picture(figsize=(1.75 * (count + 1), 1.95 * len(maps)), layout="constrained")
    rows = picture.subplots(len(maps), count + 1, squeeze=False)
    for number, (panels, (name, values)) in enumerate(zip(rows, maps.items(), strict=True)):
        values = host_array(values)
        values = values[0] if values.ndim == 4 and len(values) == 1 else values
        if values.ndim != 3:
            raise InputError(f"{name} has shape {values.shape}; it should be (C, H, W)")
        if number == 0:
            show_image(panels[0], image, "picture")
        else:
            panels[0].set_axis_off()
        best = np.argsort(-values.std(axis=(1, 2)), kind="stable")[:count]
        for axes in panels[1 + len(best) :]:
            axes.set_axis_off()
        for axes, channel in zip(panels[1:], best.tolist(), strict=False):
            side = "×".join(map(str, values.shape[1:]))
            show_signed(axes, values[channel], f"{name}, channel {channel}\n{side} cells")
            axes.title.set_fontsize(9)
    return picture


def depth_figure(norms: Mapping[str, Sequence[float]]) -> Picture:
    """How large the gradient is that arrives at each depth of a stack, on a logarithmic scale.

    Args:
        norms: for each kind of stack, one positive number for the input and
            one after each layer.

    Raises:
        InputError: there are none.
    """
    if not norms or not all(len(values) for values in norms.values()):
        raise InputError("norms should have one number or more for each stack")
    picture = Picture(figsize=(7.2, 3.6), layout="constrained")
    axes = picture.subplots()
    for (name, values), colour, marker in zip(
        norms.items(), cycle((ORANGE, BLUE, GREEN, PINK)), cycle("os^D"), strict=False
    ):
        layers = np.arange(len(values))
        axes.plot(layers, values, marker=marker, color=colour, markersize=4.5, label=name)
    axes.set(
        yscale="log",
        xlabel="after so many layers (0: the input)",
        ylabel="size of the gradient there",
    )
    axes.grid(color="#d0d0d0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return picture
