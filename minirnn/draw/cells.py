"""Drawing on a feature map's own grid: cell i covers [i, i + 1), its centre is at i + ½."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from minirnn.backend import Array
from minirnn.draw.palette import BLUE, ORANGE

BINS = "#444444"
DASHES = (0, (4, 2))


def show_grid(axes: Axes, height: int, width: int) -> None:
    """Cells as thin lines on continuous axes: whole numbers are edges, not centres."""
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel="column of the feature map")
    axes.set_aspect("equal")
    axes.set_xticks(range(width + 1))
    axes.set_yticks(range(height + 1))
    axes.tick_params(labelsize=8, length=2)
    axes.grid(color="#d0d0d0", linewidth=0.8)
    axes.set_axisbelow(True)


def add_outline(axes: Axes, region: Array, **style: object) -> None:
    """A rectangle x1, y1, x2, y2; also where it leaves the map."""
    x1, y1, x2, y2 = region
    style = {"facecolor": "none", "edgecolor": "none", "zorder": 4} | style
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, clip_on=False, **style))  # type: ignore[arg-type]


def add_true_box(axes: Axes, box: Array, on_colours: bool = False) -> None:
    """Orange dashes; on a coloured ground with white in between."""
    if on_colours:
        add_outline(axes, box, edgecolor="white", linewidth=3.4, zorder=5)
    add_outline(axes, box, edgecolor=ORANGE, linewidth=2.4, linestyle=DASHES, zorder=5)


def add_whole_cell_bins(axes: Axes, region: np.ndarray, bins: int) -> None:
    """Bins of whole cells, each drawn a little smaller than it is, since neighbours overlap."""
    size = region[2:] - region[:2]
    for i, j in np.ndindex(bins, bins):
        number = np.array([j, i])
        first = region[:2] + np.floor(number * size / bins)
        last = region[:2] + np.ceil((number + 1) * size / bins)
        inset = 0.1 + 0.1 * ((i + j) % 2)
        add_outline(axes, [*(first + inset), *(last - inset)], edgecolor=BINS, linewidth=1.3)


def add_sampled_bins(axes: Axes, region: np.ndarray, bins: int, sampling_ratio: int) -> None:
    """Bins of equal size, and the points in them."""
    x1, y1, x2, y2 = region
    for x in np.linspace(x1, x2, bins + 1)[1:-1]:
        axes.plot([x, x], [y1, y2], color=BINS, linewidth=1.3)
    for y in np.linspace(y1, y2, bins + 1)[1:-1]:
        axes.plot([x1, x2], [y, y], color=BINS, linewidth=1.3)
    points = (np.arange(bins * sampling_ratio) + 0.5) / (bins * sampling_ratio)
    y, x = np.meshgrid(y1 + points * (y2 - y1), x1 + points * (x2 - x1))
    axes.plot(x.ravel(), y.ravel(), "o", color=BLUE, markersize=3.2, zorder=6)


def add_legend_of(figure: Figure, entries: Sequence) -> None:
    """One row below the panels."""
    figure.legend(
        handles=list(entries),
        loc="outside lower center",
        ncols=len(entries),
        frameon=False,
        fontsize=9,
    )


def true_box_entry(label: str) -> Line2D:
    """What stands for the true box in a legend."""
    return Line2D([], [], color=ORANGE, linewidth=2.4, linestyle=DASHES, label=label)
