"""Pictures of anchors as questions: their shapes, their order, and the sizes that no anchor fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.ticker import NullLocator

from minirnn.anchors import base_anchors
from minirnn.backend import Array
from minirnn.draw.boxes import add_boxes, host_boxes
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

_STEPS = np.linspace(0.2, 1, 17)  # of the colours; low overlap is bright
_GLOW = BoundaryNorm(_STEPS, 256)


def shapes_figure(base: Array) -> Picture:
    """The anchors of one place, laid over each other and one by one with their sides in pixels.

    Args:
        base: (A, 4) around the origin, pixels, from `base_anchors`; at most 7 of them.

    Raises:
        InputError: base is not (A, 4), or has no anchor or more than 7.
    """
    base = host_boxes(base, "base")
    if not 1 <= len(base) <= len(PALETTE):
        raise InputError(f"base has {len(base)} anchors; it should have 1 to {len(PALETTE)}")
    reach = 1.12 * float(np.abs(base).max())
    figure = Picture(figsize=(2.3 * (len(base) + 1), 3.0), layout="constrained")
    panels = figure.subplots(1, len(base) + 1, sharey=True)
    for number, axes in enumerate(panels):
        axes.axhline(0, color="#d0d0d0", linewidth=0.8)
        axes.axvline(0, color="#d0d0d0", linewidth=0.8)
        axes.plot(0, 0, "o", color="black", markersize=4)
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        axes.tick_params(labelsize=8)
        axes.set_xlabel("x, pixels", fontsize=9)
        shown = range(len(base)) if number == 0 else [number - 1]
        for k in shown:
            add_boxes(axes, base[k : k + 1], PALETTE[k], width=2.4)
        if number == 0:
            axes.set_title("all of one place", fontsize=10)
            axes.set_ylabel("y, pixels", fontsize=9)
        else:
            x1, y1, x2, y2 = base[number - 1]
            w, h = x2 - x1, y2 - y1
            axes.set_title(f"{w:.1f} wide, {h:.1f} high\narea {w * h:.0f}", fontsize=10)
    return figure


def numbering_figure(height: int, width: int, per_place: int) -> Picture:
    """A small feature map with the number of each anchor in its cell, in the order y, x, anchor.

    Args:
        height: of the map, cells.
        width: likewise.
        per_place: anchors at each place.

    Raises:
        InputError: a number is below 1, or there are more than 60 anchors, which nobody could read.
    """
    if min(height, width, per_place) < 1 or height * width * per_place > 60:
        raise InputError(
            f"{height} × {width} cells of {per_place} anchors; it should be 1 to 60 anchors in all"
        )
    figure = Picture(figsize=(1.25 * width + 0.7, 0.9 * height + 0.9), layout="constrained")
    axes = figure.subplots()
    for y, x in np.ndindex(height, width):
        for a in range(per_place):
            axes.text(
                x + (a + 0.5) / per_place, y + 0.5, str((y * width + x) * per_place + a),
                ha="center", va="center", color=_readable(a), fontsize=11, fontweight="bold",
            )  # fmt: skip
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel="column x, cells", ylabel="row y, cells")
    axes.set_xticks(range(width + 1))
    axes.set_yticks(range(height + 1))
    axes.grid(color=GREY, linewidth=1)
    axes.set_title("numbers of the anchors, one colour a shape", fontsize=10)
    return figure


def best_overlap(
    sides: Array,
    places: Array,
    *,
    sizes: Sequence[float],
    strides: Sequence[float],
    ratios: Sequence[float],
    offset: float = 0.5,
) -> np.ndarray:
    """The best IoU that an object has with any anchor, far from the image's edge.

    The best anchor of a shape is the one whose centre is nearest. Two stretches w and v whose centres
    are d apart share min(w, v, (w + v) / 2 - d), so no anchor needs to be made.

    Args:
        sides: (N, 2) width and height of each object, pixels.
        places: (P, 2) x and y of its centre, pixels.
        sizes: of the square anchor of each level, pixels.
        strides: of each level.
        ratios: height / width.
        offset: where in its cell an anchor's centre is, as in `grid_anchors`.

    Returns:
        (N, P), each object at each place.
    """
    sides, places = np.asarray(sides, float)[:, None], np.asarray(places, float)[None]
    best = np.zeros((sides.shape[0], places.shape[1]))
    for size, stride in zip(sizes, strides, strict=True):
        apart = np.abs((places / stride - offset + 0.5) % 1 - 0.5) * stride
        for x1, y1, x2, y2 in base_anchors(size, ratios):
            anchor = np.array([x2 - x1, y2 - y1])
            common = np.minimum(np.minimum(sides, anchor), (sides + anchor) / 2 - apart)
            shared = np.maximum(common, 0).prod(axis=2)
            best = np.maximum(best, shared / (sides.prod(axis=2) + anchor.prod() - shared))
    return best


def coverage_figure(
    sizes: Sequence[float],
    strides: Sequence[float],
    ratios: Sequence[float],
    *,
    boxes: Array = (),
    names: Sequence[str] = (),
    colours: Sequence[str] = (),
) -> Picture:
    """How well anchors fit objects of every width and height: where none does, the picture glows.

    What is shown is the best IoU with any anchor, as a mean over many places of the object.

    Args:
        sizes: of the square anchor of each level, pixels.
        strides: of each level.
        ratios: height / width.
        boxes: (N, 4) objects to be marked, pixels.
        names: of the objects, at most one each.
        colours: of the objects, one each.

    Raises:
        InputError: not one stride a size, or not one colour a box.
    """
    boxes = host_boxes(boxes)
    if len(colours) != len(boxes):
        raise InputError(f"{len(boxes)} boxes and {len(colours)} colours; give one each")
    side = _sides(sizes, strides, 73)
    pairs = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    places = _places(strides)
    mean = best_overlap(pairs, places, sizes=sizes, strides=strides, ratios=ratios).mean(axis=1)
    mean = mean.reshape(73, 73)
    figure = Picture(figsize=(6.4, 4.7), layout="constrained")
    axes = figure.subplots()
    shown = axes.pcolormesh(side, side, mean, cmap="inferno_r", norm=_GLOW, rasterized=True)
    if mean.min() < 0.7 < mean.max():
        axes.contour(side, side, mean, levels=[0.7], colors="white", linewidths=1)
    figure.colorbar(shown, ax=axes, label="best IoU with an anchor", ticks=_STEPS[::2])
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        spot = (x2 - x1, y2 - y1)
        axes.plot(*spot, "o", color=colours[k], markeredgecolor="white", markersize=9, zorder=4)
        if k < len(names):
            axes.annotate(
                names[k], spot, xytext=(8, 0), textcoords="offset points", va="center",
                fontsize=9, bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
            )  # fmt: skip
    axes.set(xlabel="width of the object, pixels", ylabel="height, pixels", aspect="equal")
    axes.set_title("bright: no anchor fits; in the white lines: over 0.7", fontsize=10)
    _octaves(axes, sizes, both=True)
    return figure


def squares_figure(
    settings: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
) -> Picture:
    """The best IoU of square objects of every size, for several settings of the anchors.

    Args:
        settings: (sizes, strides, ratios) by name; each gets a line for the mean over many places, and
            a band from the worst place to the best.

    Raises:
        InputError: no setting or more than 3, or not one stride a size.
    """
    if not 1 <= len(settings) <= 3:
        raise InputError(f"settings has {len(settings)} entries; it should have 1 to 3")
    figure = Picture(figsize=(7.6, 3.6), layout="constrained")
    axes = figure.subplots()
    # A line that lies on another shows through its gaps.
    styles = ((BLUE, "-", 3.6), (ORANGE, "--", 1.8), (GREEN, "-", 1.6))
    for (name, (sizes, strides, ratios)), (colour, style, width) in zip(
        settings.items(), styles, strict=False
    ):
        side = _sides(sizes, strides, 241)
        found = best_overlap(
            np.stack([side, side], axis=1), _places(strides),
            sizes=sizes, strides=strides, ratios=ratios,
        )  # fmt: skip
        axes.fill_between(
            side, found.min(axis=1), found.max(axis=1), color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(side, found.mean(axis=1), style, color=colour, linewidth=width, label=name)
    axes.axhline(0.7, color="black", linestyle="--", linewidth=1)
    axes.annotate("0.7", (0.995, 0.7), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    axes.set(xlabel="side of a square object, pixels", ylabel="best IoU", ylim=(0, 1.02))
    axes.set_title("line: mean over places; band: worst to best place", fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="lower center")
    first_sizes, first_strides, _ = next(iter(settings.values()))
    _octaves(axes, first_sizes, both=False)
    axes.set_xlim(*_sides(first_sizes, first_strides, 2))
    return figure


def _sides(sizes: Sequence[float], strides: Sequence[float], count: int) -> np.ndarray:
    """Sides of objects, from well below the smallest anchor to above the largest."""
    if len(sizes) != len(strides) or not len(sizes):
        raise InputError(f"{len(sizes)} sizes and {len(strides)} strides; give one of each a level")
    return 2 ** np.linspace(np.log2(min(sizes)) - 1.5, np.log2(max(sizes)) + 0.75, count)


def _places(strides: Sequence[float]) -> np.ndarray:
    return np.random.default_rng(4).uniform(0, max(strides), (64, 2))


def _octaves(axes: Axes, sizes: Sequence[float], *, both: bool) -> None:
    """Ticks at the anchors' sizes."""
    ticks = sorted({float(s) for s in sizes})
    ticks = ticks[:: -(-len(ticks) // 8)]
    for axis in (axes.xaxis, axes.yaxis)[: 2 if both else 1]:
        getattr(axes, f"set_{axis.axis_name}scale")("log", base=2)
        axis.set_ticks(ticks, labels=[f"{tick:.0f}" for tick in ticks])
        axis.set_minor_locator(NullLocator())


def _readable(number: int) -> str:
    """A colour for text: the palette's darker ones first."""
    return (BLUE, ORANGE, "#00694d", "#8a5a7d", "#7a5500", GREY, "#2f6f95")[number % 7]
