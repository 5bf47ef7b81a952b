"""Pictures of differentiation: a graph with its gradients, the error of a measured slope, a descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from minirnn.autograd.tensor import Node, Tensor
from minirnn.backend import Array
from minirnn.draw.boxes import host_array, host_image, show_image
from minirnn.draw.palette import BLUE, GREEN, GREY, ORANGE, PINK
from minirnn.draw.picture import Picture
from minirnn.errors import InputError

VALUE, GRADIENT = BLUE, ORANGE
COLUMN, ROW = 1.75, 1.15  # inches
HALF = 0.29  # of a box's width, in columns
MOST_NUMBERS = 4  # of an array written out; a larger one is told by its shape


def graph_figure(tensors: Mapping[str, Tensor], *, gradients: bool = True) -> Picture:
    """How a result was made: each tensor with its value, and what goes back along every edge.

    The graph has to be whole still: draw it before `backward`, which takes it apart. The gradients that
    are drawn come from the same functions that `backward` would call.

    Args:
        tensors: what is to be drawn by its name, the result last. The names are free: "p = w · x".
        gradients: whether they are drawn, too; dL/d(result) is 1.

    Raises:
        InputError: there are none, one is no Tensor, or the graph has been used up.
    """
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError("tensors should be at least one Tensor by its name, the result last")
    nodes = {tensor._node.number: tensor._node for tensor in tensors.values()}
    result = list(tensors.values())[-1]
    if any(node.parents is None for node in nodes.values()):
        raise InputError("the graph was already used by backward(); draw it before")
    totals, edges = _backwards(result)
    names = {tensor._node.number: name for name, tensor in tensors.items()}
    places = _places(list(tensors.values()), edges)
    columns = max(x for x, _ in places.values()) + 1
    low, high = min(y for _, y in places.values()), max(y for _, y in places.values())
    size = (COLUMN * columns + 0.3, ROW * (high - low + 1.2) + 0.7)
    picture = Picture(figsize=size, layout="constrained")
    axes = picture.subplots()
    ways = [(child, parent) for child, parent, _ in edges]
    for place, (child, parent, handed) in enumerate(edges):
        if child in places and parent in places:
            twin = ways[:place].count((child, parent))
            bend = 0.0 if ways.count((child, parent)) == 1 else (-0.22, 0.22)[twin % 2]
            text = _short(handed) if gradients else ""
            _arrow(axes, places[parent], places[child], bend, text)
    for number, (x, y) in places.items():
        axes.add_patch(
            FancyBboxPatch(
                (x - HALF, y - 0.16), 2 * HALF, 0.32, boxstyle="round,pad=0,rounding_size=0.06",
                facecolor="#f4f4f4", edgecolor="0.3",
            )
        )  # fmt: skip
        axes.text(x, y, names[number], ha="center", va="center", fontsize=10)
        value = _short(list(tensors.values())[list(names).index(number)].data)
        axes.text(x, y - 0.2, value, color=VALUE, fontsize=10.5, ha="center", va="bottom")
        if gradients and number in totals:
            axes.text(
                x, y + 0.2, _short(totals[number]), color=GRADIENT, fontsize=10.5, weight="bold",
                ha="center", va="top",
            )  # fmt: skip
    axes.set(xlim=(-0.52, columns - 0.48), ylim=(high + 0.6, low - 0.6))
    axes.set_axis_off()
    words = ["above each box: its value"]
    if gradients:
        words += ["below: dL / d(box)", "on the way: what is handed back"]
    axes.set_title((";  " if columns > 3 else "\n").join(words), fontsize=9.5)
    return picture


def _arrow(axes: Axes, start: tuple, end: tuple, bend: float, text: str) -> None:
    """From the right side of a box to the left side of another, with what comes back written on it."""
    (x0, y0), (x1, y1) = (start[0] + HALF, start[1]), (end[0] - HALF, end[1])
    axes.annotate(
        "", (x1, y1), (x0, y0),
        arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0,
                    "connectionstyle": f"arc3,rad={bend}"},
    )  # fmt: skip
    aside = bend * (x1 - x0) * COLUMN / ROW * 0.5
    axes.text(
        (x0 + x1) / 2, (y0 + y1) / 2 + aside, text, color=GRADIENT, fontsize=9, ha="center",
        va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip


def _backwards(result: Tensor) -> tuple[dict[int, Any], list[tuple[int, int, Any]]]:
    """Each node's gradient, and (child, parent, what the child hands the parent); nothing is freed."""
    waiting: dict[int, Node] = {result._node.number: result._node}
    totals: dict[int, Any] = {result._node.number: np.ones_like(_host(result.data))}
    edges = []
    while waiting:
        node = waiting.pop(max(waiting))
        for parent, vjp in zip(node.parents or (), node.vjps, strict=True):
            handed = vjp(totals[node.number])
            edges.append((node.number, parent.number, _host(handed)))
            totals[parent.number] = totals.get(parent.number, 0) + _host(handed)
            waiting[parent.number] = parent
    return totals, edges


def _places(tensors: Sequence[Tensor], edges: Sequence[tuple[int, int, Any]]) -> dict[int, tuple]:
    """Column and row of each: a column right of its inputs, in the middle of their rows."""
    numbers = [tensor._node.number for tensor in tensors]
    inputs = {n: sorted({p for c, p, _ in edges if c == n and p in numbers}) for n in numbers}
    depth: dict[int, int] = {}
    for n in sorted(numbers):  # inputs are older
        depth[n] = 1 + max((depth[p] for p in inputs[n]), default=-1)
    for n in numbers:  # a leaf stands right before the first that uses it
        if not inputs[n]:
            depth[n] = min((depth[c] for c in numbers if n in inputs[c]), default=1) - 1
    leaves = [m for m in numbers if not inputs[m]]
    down = dict.fromkeys(numbers, 0.0)
    for _ in range(len(numbers)):
        rows = {n: float(k) for k, n in enumerate(leaves)}
        for n in sorted(set(numbers) - set(leaves)):
            row = sum(rows[p] for p in inputs[n]) / len(inputs[n]) + down[n]
            while any(depth[m] == depth[n] and abs(rows[m] - row) < 0.9 for m in rows):
                row += 0.5
            rows[n] = row
        places = {n: (depth[n], rows[n]) for n in numbers}
        crossed = {m for c in numbers for p in inputs[c] for m in _between(places, p, c)}
        if not crossed - set(leaves):
            break
        down[min(crossed - set(leaves))] += 0.5
    return places


def _between(places: Mapping[int, tuple], parent: int, child: int) -> list[int]:
    """The boxes that a straight way from one to another would run through."""
    (x0, y0), (x1, y1) = places[parent], places[child]
    return [
        n
        for n, (x, y) in places.items()
        if x0 < x < x1 and abs(y0 + (y1 - y0) * (x - x0) / (x1 - x0) - y) < 0.6
    ]


def _short(value: Any) -> str:
    array = _host(value)
    if array.size > MOST_NUMBERS:
        return "×".join(map(str, array.shape)) + " numbers"
    text = [f"{v:.3g}".replace("-", "−") for v in array.ravel().tolist()]
    return text[0] if array.ndim == 0 or array.size == 1 else f"[{', '.join(text)}]"


def _host(value: Any) -> np.ndarray:
    """As an array, also one of NumPy's own numbers, which arithmetic makes of an array without axes."""
    return np.asarray(value) if isinstance(value, np.generic) else host_array(value)


def slope_error_figure(steps: Array, errors: Mapping[str, Array]) -> Picture:
    """How far a measured slope is off, against the step that it was measured with, both on log scales.

    Args:
        steps: (S,) positive.
        errors: (S,) for each way of measuring.

    Raises:
        InputError: a curve of another length, or a step that is not positive.
    """
    steps = host_array(steps)
    if steps.ndim != 1 or not (steps > 0).all():
        raise InputError("steps should be (S,), all positive")
    picture = Picture(figsize=(7.2, 3.7), layout="constrained")
    axes = picture.subplots()
    for (name, error), colour, marker in zip(
        errors.items(), cycle((ORANGE, BLUE, GREEN, PINK)), cycle("os^D"), strict=False
    ):
        error = host_array(error)
        if error.shape != steps.shape:
            raise InputError(f"{name}: errors have shape {error.shape}; it should be {steps.shape}")
        axes.plot(steps, error, marker=marker, color=colour, markersize=4.5, label=name)
    axes.set(xscale="log", yscale="log", xlabel="step h", ylabel="error of the slope")
    axes.grid(color="#d0d0d0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return picture


def descent_figure(images: Mapping[int, Array], losses: Sequence[float]) -> Picture:
    """What a descent does to a picture: the picture after some steps, over the loss of every step.

    Args:
        images: (H, W, 3) uint8 after so many steps.
        losses: of step 0, 1, ….

    Raises:
        InputError: there are no pictures, or one belongs to a step that has no loss.
    """
    if not images or not all(0 <= step < len(losses) for step in images):
        raise InputError(f"images are of steps {sorted(images)}; there are {len(losses)} losses")
    picture = Picture(figsize=(1.9 * max(len(images), 3), 4.3), layout="constrained")
    grid = picture.add_gridspec(2, len(images), height_ratios=(1, 1.05))
    for k, (step, image) in enumerate(images.items()):
        show_image(picture.add_subplot(grid[0, k]), host_image(image), f"after {step} steps")
    axes = picture.add_subplot(grid[1, :])
    axes.plot(range(len(losses)), losses, color=BLUE, linewidth=2)
    shown = list(images)
    axes.plot(shown, [losses[step] for step in shown], "o", color=ORANGE, markersize=6)
    axes.set(yscale="log", xlabel="step", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
    return picture
