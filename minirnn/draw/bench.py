"""Pictures of a measurement: how our time compares with others', and how it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minirnn.draw.palette import AMBER, BLUE, GREY, ORANGE, PALETTE, SKY
from minirnn.draw.picture import Picture

COLOURS = {
    "torch": ORANGE,
    "ONNX Runtime": BLUE,
    "torchvision": AMBER,
    "pycocotools": PALETTE[6],
    "textbook": SKY,
    "SciPy": PALETTE[2],
}


def ratios_figure(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Picture:
    """For each row a bar for each peer: our time over theirs, on a logarithmic scale from 1.

    Bars to the left are rows where we are faster.

    Args:
        rows: dictionaries with "name" and "ratios", a number for each peer (see `bench.timing.Timing`).
            Rows without a ratio are left out.
        title: above the chart.
    """
    shown = [row for row in rows if any(row["ratios"].values())]
    bars = [
        (k, row["name"], peer, ratio)
        for k, row in enumerate(shown)
        for peer, ratio in row["ratios"].items()
        if ratio
    ]
    figure = Picture(figsize=(9, 1.4 + 0.17 * len(bars) + 0.08 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("our time / theirs: left of 1 we are faster")
    if not bars:
        axes.text(0.5, 0.5, "nothing to compare with", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    place, ticks, height = 0.0, [], 0.9
    last = bars[0][0]
    ratios = [ratio for *_, ratio in bars]
    for k, _, peer, ratio in bars:
        place += 0.5 if k != last else 0
        last = k
        # On a logarithmic axis a bar has no foot at 0: it stands on 1.
        left, right = min(ratio, 1.0), max(ratio, 1.0)
        axes.barh(
            place, right - left, height, left, color=COLOURS.get(peer, GREY), label=peer,
        )  # fmt: skip
        beyond = ratio >= 1
        axes.annotate(
            f"{ratio:.2f}", (ratio, place), xytext=(3 if beyond else -3, 0),
            textcoords="offset points", ha="left" if beyond else "right", va="center", fontsize=6,
        )  # fmt: skip
        ticks.append(place)
        place += 1
    centres = [
        float(np.mean([t for t, bar in zip(ticks, bars, strict=True) if bar[0] == k]))
        for k in range(len(shown))
    ]
    axes.set_yticks(centres, [row["name"] for row in shown], fontsize=7)
    axes.set_ylim(place, -1)
    axes.set_xscale("log")
    axes.set_xlim(min([*ratios, 0.5]) / 1.6, max([*ratios, 1.5]) * 1.6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.set_axisbelow(True)
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), fontsize=7, loc="best")
    return figure


def growth_figure(
    rows: Sequence[Mapping[str, Any]], growth: Sequence[Mapping[str, Any]], *, title: str = ""
) -> Picture:
    """Time and memory over each axis, both scales logarithmic, beside a line in proportion.

    Args:
        rows: dictionaries with "axis", "x", "seconds" and "memory" (bytes).
        growth: dictionaries with "axis" and the exponents "time" and "memory".
        title: above the chart.
    """
    count = max(len(growth), 1)
    figure = Picture(figsize=(3.0 * count, 5.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(2, count, squeeze=False)
    units = {"area": "million pixels", "batch": "images"}
    for column, entry in enumerate(growth):
        points = [row for row in rows if row["axis"] == entry["axis"]]
        x = np.array([point["x"] for point in points])
        for line, (key, unit, scale, colour, exponent) in enumerate(
            (
                ("seconds", "time, seconds", 1.0, BLUE, entry["time"]),
                ("memory", "memory of the work, MB", 2.0**-20, ORANGE, entry["memory"]),
            )
        ):
            axes = panels[line, column]
            y = np.array([point[key] for point in points]) * scale
            axes.plot(x, y, "o-", color=colour, markersize=4)
            axes.plot(x, y[-1] * x / x[-1], "--", color=SKY if line == 0 else GREY, linewidth=0.9)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(np.unique(x), [f"{value:.4g}" for value in np.unique(x)])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.tick_params(labelsize=7)
            axes.set_title(f"{entry['axis']}: x^{exponent:.2f}", fontsize=9)
            axes.set_xlabel(units.get(entry["axis"], entry["axis"]), fontsize=8)
            axes.grid(which="both", linewidth=0.3)
            if column == 0:
                axes.set_ylabel(f"{unit}\n(dashed: in proportion)", fontsize=8)
    return figure


def ranks_figure(
    panels: Sequence[Mapping[str, Any]], measured: Sequence[tuple[int, float]] = (), *, title: str
) -> Picture:
    """How well n ranks should do, and how well those did that were measured.

    Args:
        panels: one for each step, with "name", "ranks", and for each link's name in "links" the
            efficiencies: "all" with the wait for the slowest, "exchange" if all took equally long.
        measured: (ranks, efficiency) with the same images for each, for the first panel.
        title: above the chart.
    """
    figure = Picture(figsize=(3.4 * len(panels), 3.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(row, panels, strict=True):
        for colour, (link, lines) in zip(
            (ORANGE, AMBER, BLUE), panel["links"].items(), strict=False
        ):
            axes.plot(panel["ranks"], lines["all"], "-", color=colour, label=link)
            axes.plot(panel["ranks"], lines["exchange"], "--", color=colour, linewidth=0.9)
        axes.set_xscale("log", base=2)
        axes.set_xticks(panel["ranks"], [str(n) for n in panel["ranks"]], fontsize=7)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.05)
        axes.set_title(panel["name"], fontsize=9)
        axes.set_xlabel("ranks", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(linewidth=0.3)
    if measured:
        row[0].plot(*zip(*measured, strict=True), "ko", markersize=4, label="measured")
    row[0].set_ylabel("efficiency: T(1) / T(n)", fontsize=8)
    row[0].legend(fontsize=7, loc="lower left", title="dashed: if all ranks\ntook equally long",
                  title_fontsize=7)  # fmt: skip
    return figure
