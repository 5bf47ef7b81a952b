"""What the stages of a step say of themselves: how many anchors and regions lie on objects, and the like.

The losses alone do not tell why a network does not learn. These counts do, and cost next to nothing,
since the stages have made them anyway and note them (`minirnn.record`). They are kept as pairs (how
many, of how many), which can be added up over the processes of a team before they are divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.backend import to_host, xp_of
from minirnn.boxes import iou

#: What is listened to.
HEARD = (
    *("truth", "anchors", "sampled_anchors", "proposals"),
    *("sampled_regions", "taken_for_background"),
)
#: From this IoU on a proposal has found an object, and an anchor has an object's size and shape.
FITS = 0.5

Counts = dict[str, tuple[float, float]]
_SHAPES = 32  # anchors at one pixel that are looked at: all, in any network that is published


def counts_of(seen: Mapping[str, Any]) -> Counts:
    """Count what a step's stages have noted, as pairs (how many, of how many) by name.

    Names are those of `shares_of`. What a network has no such stage for, or what is no network, has none.

    Args:
        seen: what was noted in `recording(*HEARD)`.
    """
    counts: Counts = {}
    if "sampled_anchors" in seen:
        pairs = seen["sampled_anchors"]
        positive = sum(len(p) for p, _ in pairs)
        counts["positive_anchors"] = positive, positive + sum(len(n) for _, n in pairs)
    truth, proposals = seen.get("truth", []), seen.get("proposals", [])
    missed = [seen["taken_for_background"]] if "taken_for_background" in seen else []
    boxes, crowds, proposals, shapes, missed = _on_host(
        [each.boxes for each in truth],
        [each.is_crowd for each in truth],
        proposals,
        [level[:_SHAPES] for level in seen.get("anchors", [])],
        missed,
    )
    if "sampled_regions" in seen:
        counts |= _of_regions(seen["sampled_regions"], missed)
    if truth:
        objects = [each[crowd == 0] for each, crowd in zip(boxes, crowds, strict=True)]
        counts |= _of_objects(objects, shapes)
        if "proposals" in seen:
            counts["objects_proposed"] = _proposed(objects, proposals), sum(map(len, objects))
    return counts


def shares_of(counts: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """What a line of metrics.jsonl says of the counts of its step.

    Returns:
        "shares", each from 0 to 1: positive_anchors and positive_regions (of those drawn),
        objects_with_anchor (whose size and shape some anchor has, wherever it stands), objects_proposed
        (recall of the proposals at IoU 0.5) and objects_missed (of the positive regions, those taken for
        background). "sizes", in pixels that the network sees: objects (geometric mean of √area), and the
        smallest and largest of the anchors. Nothing where nothing was counted.
    """
    divided = {name: some / of for name, (some, of) in counts.items() if of}
    sizes: dict[str, Any] = {}
    if "object_size" in divided:
        sizes["objects"] = round(2 ** divided.pop("object_size"), 2)
    if "anchor_smallest" in divided:
        sizes["anchors"] = [
            round(divided.pop(name), 2) for name in ("anchor_smallest", "anchor_largest")
        ]
    found: dict[str, Any] = {}
    if divided:
        found["shares"] = {name: round(share, 5) for name, share in divided.items()}
    return found | ({"sizes": sizes} if sizes else {})


def added(parts: Iterable[Counts]) -> Counts:
    """The counts of several processes as those of one."""
    total: Counts = {}
    for counts in parts:
        for name, (some, of) in counts.items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + some, before[1] + of
    return total


def _on_host(*groups: Sequence[Any]) -> list[list[np.ndarray]]:
    """Lists of arrays on the host; a GPU's in one copy, so that it is waited for once."""
    arrays = [array for group in groups for array in group]
    xp = xp_of(*arrays)
    if xp is not np and arrays:
        flat = to_host(xp.concatenate([a.reshape(-1).astype(np.float32) for a in arrays]))
        parts = np.split(flat, np.cumsum([a.size for a in arrays])[:-1])
        arrays = [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]
    rest = iter(arrays)
    return [[next(rest) for _ in group] for group in groups]


def _of_regions(regions: Any, missed: Sequence[np.ndarray]) -> Counts:
    """How many regions lie on objects; and of those, how many are `missed`, if that is known."""
    positive, drawn = sum(r.positives for r in regions), sum(len(r.boxes) for r in regions)
    counts: Counts = {"positive_regions": (positive, drawn)}
    for background in missed:
        start, count = 0, 0
        for each in regions:  # its positives stand first
            count += int(background[start : start + each.positives].sum())
            start += len(each.boxes)
        counts["objects_missed"] = count, positive
    return counts


def _proposed(objects: Sequence[np.ndarray], proposals: Sequence[np.ndarray]) -> int:
    """How many objects some proposal of their image has found."""
    found = 0
    for boxes, proposed in zip(objects, proposals, strict=True):
        if len(boxes) and len(proposed):
            found += int((iou(boxes, proposed).max(axis=1) >= FITS).sum())
    return found


def _of_objects(objects: Sequence[np.ndarray], levels: Sequence[np.ndarray]) -> Counts:
    """How large the objects are, and how many have the size and shape of an anchor."""
    sides = np.concatenate([_sides(boxes) for boxes in objects])
    sides = sides[(sides > 0).all(axis=1)]
    logs = float(np.log2(sides).mean(axis=1).sum()) if len(sides) else 0.0
    counts: Counts = {"object_size": (logs, len(sides))}
    shapes = np.concatenate([_sides(level) for level in levels] or [np.zeros((0, 2))])
    if not len(shapes):
        return counts
    # The IoU of two boxes with one centre: the best that the anchor could ever have.
    both = np.minimum(sides[:, None], shapes).prod(axis=2)
    either = sides.prod(axis=1)[:, None] + shapes.prod(axis=1) - both
    counts["objects_with_anchor"] = int(((both / either).max(axis=1) >= FITS).sum()), len(sides)
    roots = np.sqrt(shapes.prod(axis=1))
    counts["anchor_smallest"] = float(roots.min()), 1
    counts["anchor_largest"] = float(roots.max()), 1
    return counts


def _sides(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) → (N, 2) widths and heights."""
    corners = boxes.astype(np.float64)
    return corners[:, 2:] - corners[:, :2]
