"""Small line charts as SVG that a page can hold: they follow its light or dark, and cost milliseconds.

A page that is written every few seconds beside a training cannot wait for a plotting library, which takes
as long as several steps of it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minirnn.draw.records import smoothed

WIDTH, HEIGHT = 330, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 24
_MOST = 160  # places across, of which each shows the mean and the range of what lies there

Series = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Chart:
    """A chart in words.

    Attributes:
        title: what it shows.
        unit: of its values, and what they mean.
        lines: steps and values by the name of a line.
        dots: values are few and all shown; else their mean is, and pale what was recorded.
        share: values are shares, from 0 to 1 or less.
        log: the axis is logarithmic, if all values are above 0.
    """

    title: str
    unit: str
    lines: Mapping[str, Series]
    dots: bool = False
    share: bool = False
    log: bool = False


def chart_svg(chart: Chart, steps: float) -> str:
    """A chart as an SVG element whose colours are classes: line0, line1, …, raw0, band0, dot0, …, grid.

    Args:
        chart: what to draw, with at least one value.
        steps: where the axis of steps ends.
    """
    drawn = {name: _thinned(*line, chart.dots) for name, line in chart.lines.items()}
    log = chart.log and all((low > 0).all() for _, _, low, _ in drawn.values())
    bottom, top = _range(chart, drawn, log)
    ticks = _log_ticks(bottom, top) if log else _ticks(bottom, top)

    def place_x(x: np.ndarray) -> np.ndarray:
        return _LEFT + x / max(steps, 1) * (WIDTH - _LEFT - _RIGHT)

    def place_y(y: np.ndarray) -> np.ndarray:
        y = np.clip(y, bottom, top)  # a running mean may round to 0, which has no logarithm
        y, low, high = (np.log10(v) if log else np.asarray(v) for v in (y, bottom, top))
        share = np.clip((y - low) / max(float(high - low), 1e-12), 0, 1)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(chart.title)}">'
    ]
    for tick in ticks:
        y = float(place_y(np.array(tick)))
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>'
        )
    for tick in _ticks(0, max(steps, 1), 4):
        x = float(place_x(np.array(tick)))
        anchor = "end" if x > WIDTH - 24 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_short(tick)}</text>'
        )
    for number, (places, mean, low, high) in enumerate(drawn.values()):
        at, above, below = place_x(places), place_y(high), place_y(low)
        if not chart.dots and low is high:  # as recorded
            raw = _points(list(zip(at, above, strict=True)))
            parts.append(f'<polyline class="raw{number}" points="{raw}"/>')
        elif not chart.dots:
            around = [*zip(at, above, strict=True), *zip(at[::-1], below[::-1], strict=True)]
            parts.append(f'<polygon class="band{number}" points="{_points(around)}"/>')
        path = list(zip(at, place_y(mean), strict=True))
        parts.append(f'<polyline class="line{number}" points="{_points(path)}"/>')
        if chart.dots or len(places) == 1:
            parts += [
                f'<circle class="dot{number}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in path
            ]
    return "".join([*parts, "</svg>"])


def _thinned(steps: np.ndarray, values: np.ndarray, dots: bool) -> tuple[np.ndarray, ...]:
    """Places, and the mean, the least and the greatest of what lies around each."""
    count = len(steps)
    if dots:
        return steps, values, values, values
    mean = smoothed(values, max(count // 20, 1))
    if count <= _MOST:
        return steps, mean, values, values
    starts = np.arange(_MOST) * count // _MOST
    sizes = np.diff([*starts, count])
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return np.add.reduceat(steps, starts) / sizes, np.add.reduceat(mean, starts) / sizes, low, high


def _range(
    chart: Chart, drawn: Mapping[str, tuple[np.ndarray, ...]], log: bool
) -> tuple[float, float]:
    """The bottom and the top of the axis. A wild first step would flatten all that follows."""
    highest = max(float(high.max()) for *_, high in drawn.values())
    mean = max(float(mean.max()) for _, mean, _, _ in drawn.values())
    if log:
        lowest = min(float(low.min()) for _, _, low, _ in drawn.values())
        return max(lowest / 1.2, 1e-300), max(highest, 1.5 * lowest) * 1.2
    if chart.share:
        return 0.0, min(max(1.15 * highest, 0.05), 1.0)
    return 0.0, 1.1 * max(min(highest, 2.5 * mean), 1e-9)


def _ticks(low: float, high: float, about: int = 3) -> list[float]:
    """Round numbers from low to high, about so many steps apart."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in the range; between them also 2 and 5 where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**k for k in powers if low <= 10.0**k <= high]
    if len(tens) >= 3:
        return tens[:: max(len(tens) // 3, 1)]
    between = [m * 10.0**k for k in powers for m in (1, 2, 5)]
    return [value for value in between if low <= value <= high]


def _points(pairs: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _short(value: float) -> str:
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"
