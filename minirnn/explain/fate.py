"""Where a missed object was lost: stage after stage, is there still something that fits it?

An object passes seven gates. The first one that nothing fitting has passed is where it was lost:

    anchor        some anchor overlaps it enough to be moved onto it
    moved         some anchor, once moved, lies on it (IoU ≥ 0.5)
    objectness    such an anchor is among the best of its level, and goes into the suppression
    proposal      such a proposal survives the suppression and the limit
    class         the box head gives such a region the right label, more than any other
    threshold     such a candidate scores more than the threshold
    suppression   such a candidate survives the last suppression and the limit
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.boxes.geometry import iou
from minirnn.errors import InputError

if TYPE_CHECKING:
    from minirnn.explain.trace import Trace

FITS = 0.5  # IoU from which a box fits an object, as in AP50
#: An anchor that overlaps less is background to the RPN, which was never trained to move it there.
REACHES = 0.3
GATES = ("anchor", "moved", "objectness", "proposal", "class", "threshold", "suppression")


@dataclass(frozen=True)
class Fate:
    """How far an object got.

    Attributes:
        lost_at: the gate of GATES that nothing fitting has passed; "" where it was found.
        sentence: what happened, for a reader.
        best: for each gate that was looked at, the best IoU or probability there.
        box: (4,), of the closest thing at the gate where it was lost, or of the detection.
        by: (4,), what suppressed it; None where nothing did.
    """

    lost_at: str
    sentence: str
    best: dict[str, float]
    box: np.ndarray | None = None
    by: np.ndarray | None = None


def fate(trace: Trace, box: Any, label: int) -> Fate:
    """How far an object got that should have been found.

    Args:
        trace: of the image.
        box: (4,), where the object is, in pixels of the image.
        label: 1…K, what it is.

    Raises:
        InputError: box is not x1 < x2, y1 < y2, or there is no such label.
    """
    true = np.asarray(box, dtype=float)
    if true.shape != (4,) or not (true[2:] > true[:2]).all():
        raise InputError(f"box is {box!r}; it should be x1, y1, x2, y2, with x1 < x2 and y1 < y2")
    if not 1 <= label < trace.model.config.num_classes:
        raise InputError(f"label is {label}; it should be 1…{trace.model.config.num_classes - 1}")
    best: dict[str, float] = {}
    return (
        _among_anchors(trace, true, best)
        or _among_regions(trace, true, label, best)
        or _among_candidates(trace, true, label, best)
    )


def _among_anchors(trace: Trace, true: np.ndarray, best: dict[str, float]) -> Fate | None:
    rpn = trace.proposals
    if rpn is None:
        return None
    overlaps = iou(true[None], rpn.anchors)[0]
    k = int(overlaps.argmax())
    best["anchor"] = float(overlaps[k])
    moved = iou(true[None], rpn.moved)[0]
    if overlaps[k] < REACHES and moved.max() < FITS:
        return Fate(
            "anchor",
            f"no anchor is like it: the best one overlaps it by {overlaps[k]:.2f}, and with less "
            f"than {REACHES} an anchor is background to the RPN",
            best, rpn.anchors[k],
        )  # fmt: skip
    k = int(moved.argmax())
    best["moved"] = float(moved[k])
    if moved[k] < FITS:
        return Fate(
            "moved",
            f"anchors are near, but the RPN moves none of them onto it: the best ends with an IoU of "
            f"{moved[k]:.2f}",
            best, rpn.moved[k],
        )  # fmt: skip
    fitting = np.flatnonzero(moved >= FITS)
    surest = int(fitting[rpn.objectness[fitting].argmax()])
    best["objectness"] = float(rpn.objectness[surest])
    before = iou(true[None], rpn.before_boxes)[0]
    if not (before >= FITS).any():
        return Fate(
            "objectness",
            f"the RPN does not think that anything is there (probability {best['objectness']:.3f}), "
            "so that other anchors of its level came first",
            best, rpn.moved[surest],
        )  # fmt: skip
    kept = before[rpn.kept]
    best["proposal"] = float(kept.max(initial=0))
    if not (kept >= FITS).any():
        k = int(before.argmax())
        near = iou(rpn.before_boxes[k][None], rpn.before_boxes[rpn.kept])[0]
        by = rpn.before_boxes[rpn.kept[int(near.argmax())]] if len(near) else None
        return Fate(
            "proposal",
            f"a proposal lay on it (IoU {before[k]:.2f}) and was suppressed by a neighbour, or fell "
            "behind the limit on proposals",
            best, rpn.before_boxes[k], by,
        )  # fmt: skip
    return None


def _among_regions(
    trace: Trace, true: np.ndarray, label: int, best: dict[str, float]
) -> Fate | None:
    # A region may lie badly and its box be moved onto the object, or the other way about.
    overlaps = iou(true[None], trace.regions)[0] if len(trace.regions) else np.zeros(0)
    best.setdefault("proposal", float(overlaps.max(initial=0)))
    fitting = np.flatnonzero(overlaps >= FITS)
    if not len(fitting):
        return Fate("proposal", "no proposal lies on it", best)
    own = trace.probabilities[fitting, label]
    surest = int(fitting[own.argmax()])
    best["class"] = float(own.max())
    if (trace.probabilities[fitting].argmax(axis=1) == label).any() or own.max() > _least(trace):
        return None
    other = int(trace.probabilities[surest].argmax())
    name = "background" if other == 0 else trace.model.config.category(other)[1]
    return Fate(
        "class",
        f"{len(fitting)} proposals lay on it, and the box head takes the likeliest for {name} "
        f"({trace.probabilities[surest, other]:.2f}); its own class has {own.max():.2f}",
        best, trace.regions[surest],
    )  # fmt: skip


def _among_candidates(trace: Trace, true: np.ndarray, label: int, best: dict[str, float]) -> Fate:
    candidates = trace.candidates
    mine = np.flatnonzero(candidates.labels == label)
    overlaps = iou(true[None], candidates.boxes[mine])[0] if len(mine) else np.zeros(0)
    fitting = mine[overlaps >= FITS]
    best["threshold"] = float(candidates.scores[fitting].max(initial=0))
    if not len(fitting):
        return Fate(
            "threshold",
            f"its class has {best['class']:.2f} where a proposal lies on it, and no box of that class "
            f"that scores more than {_least(trace)} fits it",
            best,
        )  # fmt: skip
    surest = int(fitting[candidates.scores[fitting].argmax()])
    found = [k for k in candidates.kept if k in set(fitting.tolist())]
    best["suppression"] = float(candidates.scores[found].max(initial=0))
    if found:
        k = int(found[0])
        return Fate(
            "", f"it was found, with score {candidates.scores[k]:.2f}", best, candidates.boxes[k]
        )
    kept = candidates.kept[candidates.labels[candidates.kept] == label]
    near = iou(candidates.boxes[surest][None], candidates.boxes[kept])[0]
    if len(near) and near.max() > trace.nms_iou:
        by = int(kept[int(near.argmax())])
        return Fate(
            "suppression",
            f"a box with score {candidates.scores[surest]:.2f} lay on it and was suppressed by another "
            f"of its class with {candidates.scores[by]:.2f}, which overlaps it by {near.max():.2f}",
            best, candidates.boxes[surest], candidates.boxes[by],
        )  # fmt: skip
    return Fate(
        "suppression",
        f"a box with score {candidates.scores[surest]:.2f} lay on it and fell behind the limit of "
        f"{trace.model.config.box.max_detections} detections",
        best, candidates.boxes[surest],
    )  # fmt: skip


def _least(trace: Trace) -> float:
    return trace.model.config.box.score_threshold
