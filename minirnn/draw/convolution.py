"""Pictures of a convolution: one sum of it in numbers, and what kernels answer on a photograph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from minirnn.backend import Array
from minirnn.draw.boxes import host_array, host_image, show_image
from minirnn.draw.palette import BLUE, GREEN, ORANGE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.ops.convolution import conv2d


def convolution_figure(
    x: Array, kernel: Array, place: tuple[int, int], *, stride: int = 1, padding: int = 0
) -> Picture:
    """One number of a convolution: the patch that it is made of, the kernel on it, and the result.

    Args:
        x: (H, W), one channel.
        kernel: (kh, kw).
        place: row and column of the result's number that is shown.
        stride: step from patch to patch.
        padding: rings of zeros.

    Raises:
        InputError: x or kernel has other axes, they do not fit, or the result has no such place.
    """
    x, kernel = host_array(x).astype(float), host_array(kernel).astype(float)
    if x.ndim != 2 or kernel.ndim != 2:
        raise InputError(
            f"x has shape {x.shape} and kernel {kernel.shape}; both should be (height, width)"
        )
    y = conv2d(x[None, None], kernel[None, None], None, stride=stride, padding=padding)[0, 0]
    row, column = place
    if not (0 <= row < len(y) and 0 <= column < y.shape[1]):
        raise InputError(f"place is {place}; the result has {len(y)} rows and {y.shape[1]} columns")
    padded = np.pad(x, padding)
    top, left = row * stride, column * stride
    patch = padded[top : top + len(kernel), left : left + kernel.shape[1]]
    shapes = (padded.shape, kernel.shape, y.shape)
    widths = [max(shape[1], 2) for shape in shapes]
    height = max(shape[0] for shape in shapes)
    picture = Picture(figsize=(0.42 * sum(widths) + 1.6, 0.42 * height + 1.5), layout="constrained")
    grid = picture.add_gridspec(1, 3, width_ratios=widths)
    panels = [picture.add_subplot(grid[0, k]) for k in range(3)]
    _table(panels[0], padded, "map" if not padding else "map with its ring of zeros", padding)
    _table(panels[1], kernel, "kernel")
    _table(panels[2], y, "result")
    _outline(panels[0], left, top, kernel.shape[::-1], ORANGE)
    _outline(panels[1], 0, 0, kernel.shape[::-1], ORANGE)
    _outline(panels[2], column, row, (1, 1), BLUE)
    terms = [
        f"{v:g}·{f'({w:g})' if w < 0 else f'{w:g}'}".replace("-", "−")
        for v, w in zip(patch.ravel().tolist(), kernel.ravel().tolist(), strict=True)
        if w != 0
    ]
    told = f"{' + '.join(terms) or '0'} = {y[row, column]:g}".replace("-", "−")
    picture.suptitle(told, fontsize=10, color=BLUE)
    return picture


def responses_figure(image: Array, responses: Mapping[str, Array]) -> Picture:
    """A picture, and beside it what each kernel answers at each place: orange above 0, violet below.

    Args:
        image: (H, W, 3) uint8.
        responses: (h, w) by name; each is drawn on its own scale.

    Raises:
        InputError: image or a response has another shape, or there is no response.
    """
    image = host_image(image)
    if not responses:
        raise InputError("responses is empty; give one map at least")
    count = len(responses) + 1
    height = 1.9 * image.shape[0] / image.shape[1]
    picture = Picture(
        figsize=(1.95 * count, float(np.clip(height, 1, 6)) + 0.5), layout="constrained"
    )
    first, *others = picture.subplots(1, count)
    show_image(first, image, "picture")
    for axes, (name, response) in zip(others, responses.items(), strict=True):
        show_signed(axes, response, name)
    return picture


def show_signed(axes: Axes, values: Array, title: str) -> None:
    """A map with 0 in white, the same scale on both sides.

    Raises:
        InputError: it is not (H, W).
    """
    values = host_array(values).astype(float)
    if values.ndim != 2 or not values.size:
        raise InputError(f"{title}: the map has shape {values.shape}; it should be (H, W)")
    most = max(float(np.abs(values).max()), 1e-12)
    height, width = values.shape
    axes.imshow(
        values, cmap="PuOr_r", vmin=-most, vmax=most, extent=(0, width, height, 0),
        interpolation="nearest",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)


def _table(axes: Axes, values: np.ndarray, title: str, ring: int = 0) -> None:
    rows, columns = values.shape
    axes.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.set_frame_on(False)
    axes.set_title(title, fontsize=9.5)
    for (i, j), value in np.ndenumerate(values):
        inside = ring <= i < rows - ring and ring <= j < columns - ring
        axes.add_patch(
            Rectangle((j, i), 1, 1, facecolor="white" if inside else "#ececec", edgecolor="#bbbbbb")
        )
        axes.text(
            j + 0.5, i + 0.5, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=9,
            color="black" if inside else "#777777",
        )  # fmt: skip


def _outline(axes: Axes, x: float, y: float, size: tuple[int, ...], colour: str) -> None:
    axes.add_patch(
        Rectangle((x, y), *size[:2], facecolor=GREEN, alpha=0.18, edgecolor="none", zorder=3)
    )
    axes.add_patch(
        Rectangle((x, y), *size[:2], fill=False, edgecolor=colour, linewidth=2.6, zorder=4)
    )
