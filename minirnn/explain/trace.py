"""Following a detection back: class, region, level, proposal, anchor, and the rivals it suppressed.

Nothing here is computed by a network: `model.stages` has left every intermediate by name, with the
indices that lead from each stage to the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.autograd.tensor import data_of
from minirnn.backend import to_host
from minirnn.boxes.geometry import iou
from minirnn.errors import InputError
from minirnn.models import RCNN
from minirnn.ops.activation import sigmoid, softmax
from minirnn.structures import Detections
from minirnn.transform import scaled_size

if TYPE_CHECKING:
    from minirnn.explain.fate import Fate


@dataclass(frozen=True)
class Chain:
    """Where one detection comes from. Boxes are in pixels of the image as it was given.

    Attributes:
        detection: its number, by falling score.
        box: (4,), the detection's.
        label: 1…K.
        score: of it.
        region: the number of the proposal that the box head looked at.
        region_box: (4,), that proposal.
        probabilities: (K + 1,), what the box head thinks of the region; column 0 is background.
        level: the name of the map that its features were read from, P2…
        rivals: (n,) numbers of `Trace.candidates` that this detection suppressed.
        objectness: the RPN's probability that something is there; None with given proposals.
        anchor: the number of the anchor that became the proposal; None with given proposals.
        anchor_box: (4,), that anchor; None likewise.
        anchor_level: the number of the map that the anchor stands on; None likewise.
    """

    detection: int
    box: np.ndarray
    label: int
    score: float
    region: int
    region_box: np.ndarray
    probabilities: np.ndarray
    level: str
    rivals: np.ndarray
    objectness: float | None = None
    anchor: int | None = None
    anchor_box: np.ndarray | None = None
    anchor_level: int | None = None


@dataclass(frozen=True)
class Candidates:
    """What went into the last suppression. Boxes are in pixels of the image as it was given.

    Attributes:
        boxes: (C, 4).
        labels: (C,), 1…K.
        scores: (C,).
        regions: (C,), the proposal that each is of.
        kept: (D,), which of them became detections, by falling score.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    regions: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Proposals:
    """What the RPN made of one image. Boxes are in pixels of the image as it was given.

    Attributes:
        anchors: (A, 4), all of them, level after level.
        anchor_levels: (A,), the map that each stands on.
        moved: (A, 4), all anchors moved by their deltas.
        objectness: (A,), probabilities.
        before: (B,), the anchors that went into the suppression.
        before_boxes: (B, 4), moved and cut at the border.
        kept: (P,), which of those are proposals, by falling objectness.
    """

    anchors: np.ndarray
    anchor_levels: np.ndarray
    moved: np.ndarray
    objectness: np.ndarray
    before: np.ndarray
    before_boxes: np.ndarray
    kept: np.ndarray


class Trace:
    """One image's way through a network, to be asked.

    Attributes:
        model: that it went through.
        image: (H, W, 3) uint8.
        stages: everything by name, as `model.stages` gives it.
        detections: what was found.
        candidates: what went into the last suppression.
        proposals: what the RPN made; None with given proposals.
        regions: (P, 4), what the box head looked at, in pixels of the image.
        probabilities: (P, K + 1), what it thinks of each, background first.
        levels: (P,), the name of the map that each was read from.
    """

    def __init__(self, model: RCNN, image: np.ndarray, stages: dict[str, Any]) -> None:
        self.model, self.image, self.stages = model, image, stages
        self.detections: Detections = stages["detections"]
        height, width = image.shape[:2]
        transform = model.transform
        seen = scaled_size(height, width, transform.min_sizes[-1], transform.max_size)
        self._to_image = np.array([width / seen[1], height / seen[0]] * 2)
        canvas = stages["input"].shape[2:]
        self._filled = seen[0] / canvas[0], seen[1] / canvas[1]
        self.regions = self._boxes(stages["box_regions"])
        self.probabilities = softmax(_host(stages["class_logits"]), axis=1)
        if model.config.background_last:
            self.probabilities = np.roll(self.probabilities, 1, axis=1)
        names = [name for name in stages if name[0] == "P" and name[1:].isdigit()]
        names = names or [name for name in stages if name[0] == "C" and name[1:].isdigit()][-1:]
        self.map_names = names
        levels = _host(stages["box_levels"])
        self.levels = [names[level] for level in levels]
        boxes, labels, scores = stages["detections_before_nms"]
        self.candidates = Candidates(
            self._boxes(boxes), _host(labels), _host(scores),
            _host(stages["regions_of_detections_before_nms"]), _host(stages["detections_kept"]),
        )  # fmt: skip
        self.proposals = self._proposals() if "objectness" in stages else None

    def stage(self, name: str) -> np.ndarray:
        """A stage's array on the host."""
        return _host(self.stages[name])

    @property
    def grids(self) -> list[tuple[int, int]]:
        """Height and width, in cells, of each map that has anchors."""
        return [self.stage(name).shape[2:] for name in self.map_names]

    def without_padding(self, size: tuple[int, ...]) -> tuple[slice, slice]:
        """The part of a map of (height, width) that the image fills; the rest is the canvas's padding."""
        rows, columns = (
            max(int(np.ceil(cells * part)), 1)
            for cells, part in zip(size, self._filled, strict=True)
        )
        return slice(rows), slice(columns)

    def _boxes(self, boxes: Any) -> np.ndarray:
        return _host(boxes).astype(float) * self._to_image

    def _proposals(self) -> Proposals:
        stages = self.stages
        levels = [_host(each) for each in stages["anchors"]]
        anchors = np.concatenate(levels)
        deltas = _host(stages["anchor_deltas"])[0]
        return Proposals(
            anchors=self._boxes(anchors),
            anchor_levels=np.repeat(np.arange(len(levels)), [len(each) for each in levels]),
            moved=self._boxes(self.model.rpn.coder.decode(anchors, deltas)),
            objectness=sigmoid(_host(stages["objectness"])[0].astype(float)),
            before=_host(stages["anchors_of_proposals_before_nms"]),
            before_boxes=self._boxes(stages["proposals_before_nms"][0]),
            kept=_host(stages["proposals_kept"]),
        )

    def chain(self, detection: int) -> Chain:
        """Where a detection comes from.

        Args:
            detection: its number, by falling score.

        Raises:
            InputError: there is none of that number.
        """
        count = len(self.detections.scores)
        if not 0 <= detection < count:
            raise InputError(f"detection is {detection}; there are {count}, from 0")
        candidates = self.candidates
        mine = int(candidates.kept[detection])
        region = int(candidates.regions[mine])
        overlaps = iou(candidates.boxes[mine][None], candidates.boxes)[0]
        rival = (candidates.labels == candidates.labels[mine]) & (overlaps > self.nms_iou)
        rival &= candidates.scores <= candidates.scores[mine]
        rival[candidates.kept] = False
        rpn: dict[str, Any] = {}
        if self.proposals is not None:
            anchor = int(self.proposals.before[self.proposals.kept[region]])
            rpn = {
                "objectness": float(self.proposals.objectness[anchor]),
                "anchor": anchor,
                "anchor_box": self.proposals.anchors[anchor],
                "anchor_level": int(self.proposals.anchor_levels[anchor]),
            }
        return Chain(
            detection=detection,
            box=self.detections.boxes[detection].astype(float),
            label=int(self.detections.labels[detection]),
            score=float(self.detections.scores[detection]),
            region=region,
            region_box=self.regions[region],
            probabilities=self.probabilities[region],
            level=self.levels[region],
            rivals=np.flatnonzero(rival),
            **rpn,
        )

    def fate(self, box: Any, label: int) -> Fate:
        """How far an object got that should have been found.

        Args:
            box: (4,), where it is, in pixels of the image.
            label: 1…K, what it is.

        Raises:
            InputError: box is not x1 < x2, y1 < y2, or there is no such label.
        """
        from minirnn.explain.fate import fate

        return fate(self, box, label)

    @property
    def nms_iou(self) -> float:
        """Overlap from which a detection suppresses another of its class."""
        return self.model.config.box.nms_iou


def trace(model: RCNN, image: np.ndarray, **options: Any) -> Trace:
    """Send an image through a network, and keep what is needed to ask where everything comes from.

    Args:
        model: on any device.
        image: (H, W, 3) uint8 RGB.
        **options: as in `model.predict`.

    Raises:
        InputError: image is not (H, W, 3) uint8.
    """
    return Trace(model, image, model.stages(image, **options))


def _host(array: Any) -> np.ndarray:
    return to_host(data_of(array))
