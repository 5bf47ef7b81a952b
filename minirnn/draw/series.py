"""Curves of one quantity over another, for any lesson."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minirnn.draw.palette import BLUE, ORANGE, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError


def series_figure(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    across: str,
    up: str,
    **limits: Any,
) -> Picture:
    """Curves of one quantity over another, each named at its right end.

    Args:
        x: where the values were taken.
        lines: by name, a value for each x.
        title: above the picture.
        across: what x is, with its unit.
        up: what the values are, with their unit.
        **limits: for the axes, such as `xscale` or `ylim`.

    Raises:
        InputError: a line has another number of values than x.
    """
    figure = Picture(figsize=(7.4, 3.5), layout="constrained")
    axes = figure.subplots()
    colours = (BLUE, ORANGE, *(c for c in PALETTE if c not in (BLUE, ORANGE)))
    for number, (name, values) in enumerate(lines.items()):
        if len(values) != len(x):
            raise InputError(f"{name} has {len(values)} values for {len(x)} places")
        style = ("-", "--", "-.", ":")[number % 4]
        axes.plot(x, values, style, color=colours[number % 7], linewidth=2.2, label=name)
    axes.set(xlabel=across, ylabel=up, **limits)
    if "xticks" in limits:
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes.set_title(title, fontsize=10.5)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure
