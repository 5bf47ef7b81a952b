"""The page about a data set: what is wrong with it, what is in it, and which anchors fit it.

One HTML file that loads nothing; its few lines of script filter and enlarge the gallery.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minirnn.data.inspection import HARMS, NOTE, SEVERITIES, STOPS, Inspection, kind_of
from minirnn.data.inspection.anchor_fit import ENOUGH, Fit, share
from minirnn.draw.gallery import Card
from minirnn.draw.pages import template
from minirnn.errors import InputError
from minirnn.files import write_whole

_MOST_ROWS = 100  # problems of one kind on the page; --json names all
_MOST_SIZES = 8  # sizes of images with a row of their own
_MOST_CATEGORIES = 30  # before the fold
_MOST_DOTS = 1500  # objects in the drawing of sizes
_WORDS = {STOPS: "Stops training", HARMS: "Harms training", NOTE: "Worth knowing"}

#: Edges of √(width · height) in the network's pixels; the last bin is open.
EDGES = (0, 8, 16, 32, 64, 128, 256, 512)
_COUNTS = (0, 1, 2, 3, 5, 10, 20, 50)  # edges of objects in an image


def write_inspection(
    path: str | os.PathLike[str],
    inspection: Inspection,
    fit: Fit | None,
    cards: Sequence[Card],
    *,
    command: str,
) -> None:
    """Write the page.

    Args:
        path: the file to write; its folder must be there.
        inspection: what was seen.
        fit: of a preset's anchors; None leaves that part out.
        cards: pictures, from `gallery`.
        command: that makes the page again.

    Raises:
        InputError: it cannot be written.
    """
    splits = _used(inspection)
    categories, unused = _categories(inspection)
    page = template("inspection.html").render(
        severity_of=lambda problem: kind_of(problem.reason).severity,
        title=inspection.root.resolve().name or str(inspection.root),
        tiles=_tiles(inspection),
        groups=_groups(inspection),
        most_rows=_MOST_ROWS,
        severities=SEVERITIES,
        words=_WORDS,
        split_names=[split.name for split in splits],
        image_sizes=_image_sizes(inspection),
        per_image=_per_image(inspection),
        faults=len(inspection.faults),
        categories=categories,
        unused=unused,
        most_categories=_MOST_CATEGORIES,
        anchors=fit and _anchors(fit),
        cards=cards,
        total=sum(len(split.images) for split in splits),
        card_categories=sorted({name for card in cards for name in card.categories}),
        command=command,
    )
    try:
        write_whole(path, page)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _tiles(inspection: Inspection) -> list[tuple[str, str]]:
    figures = [split.figures() for split in inspection.splits]
    notes = len(inspection.problems) - len(inspection.faults)
    names = {name for split in inspection.splits for _, name in split.categories}
    return [
        ("faults", f"{len(inspection.faults):,}"),
        ("notes", f"{notes:,}"),
        ("images", f"{sum(f['images'] for f in figures):,}"),
        ("objects", f"{sum(f['instances'] - f['crowd_regions'] for f in figures):,}"),
        ("crowd regions", f"{sum(f['crowd_regions'] for f in figures):,}"),
        ("categories", f"{len(names):,}"),
    ]


def _groups(inspection: Inspection) -> list[dict[str, Any]]:
    """The kinds of problems that there are, the worst first, each with its problems."""
    return [
        {
            "reason": reason,
            "kind": kind_of(reason),
            "count": count,
            "rows": [p for p in inspection.problems if p.reason == reason][:_MOST_ROWS],
        }
        for reason, count in inspection.counts().items()
    ]


def _bars(counts: Sequence[Sequence[int]]) -> list[list[tuple[int, float]]]:
    """For each row the count of each split, and its share of the largest in percent of the split."""
    totals = [max(sum(column), 1) for column in zip(*counts, strict=True)]
    shares = [[c / t for c, t in zip(row, totals, strict=True)] for row in counts]
    most = max((s for row in shares for s in row), default=0) or 1
    return [
        [(c, round(100 * s / most, 1)) for c, s in zip(row, of_row, strict=True)]
        for row, of_row in zip(counts, shares, strict=True)
    ]


def _rows(
    names: Sequence[str], counts: Sequence[Sequence[int]]
) -> list[tuple[str, list[tuple[int, float]]]]:
    return list(zip(names, _bars(counts), strict=True))


def _used(inspection: Inspection) -> list[Any]:
    return [split for split in inspection.splits if split.images]


def _image_sizes(inspection: Inspection) -> list[tuple[str, list[tuple[int, float]]]]:
    """Rows of sizes, the most frequent first; the rest in one row."""
    of_split = [Counter((r["width"], r["height"]) for r in s.images) for s in _used(inspection)]
    total = sum(of_split, Counter())
    common = [size for size, _ in total.most_common(_MOST_SIZES)]
    names = [f"{width} × {height}" for width, height in common]
    counts = [[own[size] for own in of_split] for size in common]
    others = [size for size in total if size not in common]
    if others:
        longest = [max(size) for size in others]
        names.append(f"{len(others)} other sizes, longer side {min(longest)} to {max(longest)}")
        counts.append([sum(own[size] for size in others) for own in of_split])
    return _rows(names, counts)


def _per_image(inspection: Inspection) -> list[tuple[str, list[tuple[int, float]]]]:
    of_split = [
        np.array([sum(not a.get("iscrowd") for a in own) for own in split.annotations])
        for split in _used(inspection)
    ]
    names = [_span(low, high) for low, high in itertools.pairwise(_COUNTS)]
    names.append(f"{_COUNTS[-1]} and more")
    counts = _binned(of_split, _COUNTS)
    last = max((i for i, row in enumerate(counts) if any(row)), default=0)
    return _rows(names[: last + 1], counts[: last + 1])


def _span(low: int, high: int) -> str:
    return str(low) if high == low + 1 else f"{low} to {high - 1}"


def _binned(of_split: Iterable[np.ndarray], edges: Sequence[float]) -> list[list[int]]:
    """How many values of each split are in each bin; the last is open."""
    bins = [*edges, np.inf]
    columns = [np.histogram(values, bins)[0].tolist() for values in of_split]
    return [[column[i] for column in columns] for i in range(len(edges))]


def _categories(
    inspection: Inspection,
) -> tuple[list[tuple[str, list[tuple[int, float]]]], list[str]]:
    """Rows of categories, the most frequent first, and the names of those without any object."""
    splits = _used(inspection)
    names = dict.fromkeys(name for split in splits for _, name in split.categories)
    of_split = []
    for split in splits:
        name_of = dict(split.categories)
        own = (a for annotations in split.annotations for a in annotations)
        of_split.append(Counter(name_of[a["category_id"]] for a in own if not a.get("iscrowd")))
    total = sum(of_split, Counter())
    order = [name for name, _ in total.most_common()]
    rows = _rows(order, [[own[name] for own in of_split] for name in order])
    return rows, [name for name in names if name not in total]


def _anchors(fit: Fit) -> dict[str, Any]:
    """Best IoU by size of object, for the preset's anchors and the suggestion, and the drawing."""
    sides = np.concatenate([own.sides for own in fit.objects.values()])
    best = np.concatenate(list(fit.best.values()))
    better = np.concatenate(list(fit.suggested.values())) if fit.suggestion else None
    root = np.sqrt(sides.prod(axis=1))
    rows = []
    for low, high in zip(EDGES, [*EDGES[1:], np.inf], strict=True):
        inside = (root >= low) & (root < high)
        if not inside.any():
            continue
        rows.append(
            {
                "name": f"{low} to {high:g}" if np.isfinite(high) else f"{low} and more",
                "count": int(inside.sum()),
                "mean": f"{best[inside].mean():.2f}",
                "now": round(100 * share(best[inside]), 1),
                "then": None if better is None else round(100 * share(better[inside]), 1),
            }
        )
    return {
        "preset": fit.detector.name,
        "side": fit.detector.transform.min_sizes[-1],
        "longest": fit.detector.transform.max_size,
        "now": _settings(fit.detector.anchors),
        "then": fit.suggestion and _settings(fit.suggestion),
        "options": fit.options(),
        "enough": ENOUGH,
        "rows": rows,
        "shares": [
            (
                name,
                len(best_of),
                f"{share(best_of):.0%}",
                f"{share(fit.suggested[name]):.0%}" if fit.suggestion else "",
            )
            for name, best_of in fit.best.items()
        ],
        "drawing": _drawing(fit, sides, best),
    }


def _settings(anchors: Any) -> str:
    sizes = ", ".join("/".join(f"{size:g}" for size in level) for level in anchors.sizes)
    return f"sizes {sizes}; height / width {', '.join(f'{ratio:g}' for ratio in anchors.ratios)}"


def _drawing(fit: Fit, sides: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """Objects and anchors by width and height, on axes of octaves from 4 to 2048 pixels."""
    keep = np.linspace(0, len(sides) - 1, min(len(sides), _MOST_DOTS)).round().astype(int)

    def place(width: Any, height: Any) -> tuple[Any, Any]:
        x, y = (np.log2(np.clip(side, 4, 2048)) - 2 for side in (width, height))
        return np.round(40 + x * 40, 1), np.round(380 - y * 40, 1)

    def crosses(anchors: Any) -> list[tuple[float, float]]:
        shapes = [
            (size / ratio**0.5, size * ratio**0.5)
            for level in anchors.sizes
            for size in level
            for ratio in anchors.ratios
        ]
        x, y = place(*np.array(shapes).T)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    x, y = place(*sides[keep].T)
    return {
        "dots": list(zip(x.tolist(), y.tolist(), (best[keep] >= ENOUGH).tolist(), strict=True)),
        "shown": len(keep),
        "of": len(sides),
        "now": crosses(fit.detector.anchors),
        "then": crosses(fit.suggestion) if fit.suggestion else [],
        "ticks": [(4 * 2**i, 40 + 40 * i, 380 - 40 * i) for i in range(0, 10)],
    }
