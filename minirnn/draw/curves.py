"""The course of a training run: losses, learning rate and gradient norm over the steps."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minirnn.draw.palette import AMBER, BLUE, GREY, ORANGE, SKY
from minirnn.draw.picture import Picture
from minirnn.draw.records import CURVES, Curve, read_metrics, smoothed

LIGHT_INK, DARK_INK, DARK_PAPER = "#d8dade", "#222222", "#17191d"


def curves_figure(
    metrics: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
    *,
    columns: int = 4,
    dark: bool = False,
) -> Picture:
    """A panel for each loss, the total, the learning rate and the gradient norm.

    Each step's value is drawn faint, the mean of the steps around it (a twentieth of the run)
    strong. What was not recorded has no panel.

    Args:
        metrics: a metrics.jsonl file, or its records: step, total, learning_rate, gradient_norm,
            and the losses beside them or in a dictionary `losses`. Of two records of one step
            (a resumed run repeats some) the later counts.
        columns: panels in a row.
        dark: light lines for a dark page.

    Raises:
        InputError: the file is not there or broken.
    """
    records = read_metrics(metrics) if isinstance(metrics, (str, os.PathLike)) else metrics
    series = _series(records)
    known = {curve.key for curve in CURVES}
    others = [Curve(key, key.replace("_", " "), "loss") for key in series if key not in known]
    curves = [curve for curve in (*CURVES, *others) if curve.key in series]
    columns = max(min(columns, len(curves)), 1)
    rows = max(-(-len(curves) // columns), 1)
    ink, paper = (LIGHT_INK, DARK_PAPER) if dark else (DARK_INK, "#ffffff")
    figure = Picture(figsize=(3.1 * columns, 2.35 * rows + 0.4), dpi=120, facecolor=paper)
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.06)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, curve in zip(panels, curves, strict=False):
        _plot(axes, curve, *series[curve.key], dark)
    for axes in panels:
        axes.set_facecolor(paper)
        axes.tick_params(colors=ink, labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(ink)
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    if curves:
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=2,
            frameon=False,
            labelcolor=ink,
            fontsize=9,
        )
        for line in legend.get_lines():
            line.set_linewidth(2.5)
    else:
        panels[0].text(0.5, 0.5, "no steps recorded", ha="center", color=ink)
    return figure


def _series(records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The steps and values of each quantity, by rising step; only finite numbers."""
    found: dict[str, dict[float, float]] = {}
    for index, record in enumerate(records):
        step = record.get("step", index)
        nested = record.get("losses", {})
        losses = nested if isinstance(nested, Mapping) else {}
        flat = {curve.key: record[curve.key] for curve in CURVES if curve.key in record}
        for key, value in {**flat, **losses}.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                found.setdefault(key, {})[step] = value
    series = {}
    for key, values in found.items():
        steps = np.array(sorted(values))
        series[key] = steps, np.array([values[step] for step in steps])
    return series


def _plot(axes: Axes, curve: Curve, steps: np.ndarray, values: np.ndarray, dark: bool) -> None:
    """One quantity over the steps: faint as recorded, strong as a running mean."""
    colour = SKY if dark else BLUE
    ink = LIGHT_INK if dark else DARK_INK
    axes.set_title(curve.title, fontsize=10.5, fontweight="bold", loc="left", color=ink)
    axes.set_ylabel(curve.unit, fontsize=8)
    axes.set_xlabel("step", fontsize=8)
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    axes.locator_params(axis="x", nbins=5)
    if curve.key == "learning_rate":
        axes.plot(steps, values, color=colour, linewidth=1.8)
        axes.set_ylim(bottom=0)
        return
    mean = smoothed(values, max(len(values) // 20, 1))
    strong = AMBER if dark else ORANGE
    axes.plot(steps, values, color=colour, alpha=0.35, linewidth=0.7, label="as recorded")
    axes.plot(steps, mean, color=strong, linewidth=1.8, label="running mean")
    if not curve.is_loss and values.min() > 0:
        axes.set_yscale("log")
        return
    # A wild first step would flatten all that follows: what is far above the mean leaves the panel.
    top = 1.1 * max(min(values.max(), 2.5 * mean.max()), 1e-6)
    axes.set_ylim(0, top)
    above = int((values > top).sum())
    if above:
        axes.set_title(
            f"{above} value{'s' * (above > 1)} above", fontsize=8, loc="right", color=GREY
        )
