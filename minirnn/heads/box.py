"""Box head: what is in this region, and where exactly does it end?

From 7×7 features of a region, two fully connected layers, then a score for each of K classes and background
(softmax over these K + 1), and for each class four deltas of its own.

Source: Girshick, "Fast R-CNN", 2015, section 2; Lin et al., FPN, section 4.2 for the two layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn import boxes as box_ops
from minirnn.autograd import data_of
from minirnn.backend import Array, xp_of
from minirnn.boxes import BoxCoder
from minirnn.errors import InputError
from minirnn.heads.columns import column_of, columns_of_objects
from minirnn.heads.head import Found, Head, Pooler, of_each_image
from minirnn.heads.regions import SampledRois
from minirnn.nn import Linear, Module
from minirnn.nn.init import normal
from minirnn.ops.activation import softmax
from minirnn.ops.losses import LossTerm, cross_entropy, smooth_l1
from minirnn.ops.shape import flatten, reshape, take
from minirnn.record import note
from minirnn.require import require
from minirnn.structures import Target
from minirnn.transform import Batch

#: Proposals are close to their objects: their deltas are small, and are stretched to a common size.
CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


class TwoLayerHead(Module):
    """Flatten, then two fully connected layers with ReLU: `fc6` and `fc7`."""

    def __init__(self, inputs: int, width: int, *, rng: np.random.Generator) -> None:
        self.fc6 = Linear(inputs, width, rng=rng)
        self.fc7 = Linear(width, width, rng=rng)

    def forward(self, x: Any) -> Any:
        """(R, C, 7, 7) → (R, width)."""
        return self.fc7(self.fc6(flatten(x), relu=True), relu=True)


class BoxPredictor(Module):
    """Class scores and class-specific deltas: `cls_score` and `bbox_pred`.

    Args:
        width: of the features.
        num_classes: K + 1, with background.
        background_last: background is the last class, and has no deltas.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        background_last: bool = False,
        rng: np.random.Generator,
    ) -> None:
        # Small first weights: training starts undecided about classes, and with boxes left alone.
        self.cls_score = Linear(width, num_classes, rng=rng, initial=normal(0.01))
        boxes = columns_of_objects(num_classes, background_last)
        self.bbox_pred = Linear(width, boxes * 4, rng=rng, initial=normal(0.001))

    def forward(self, x: Any) -> tuple[Any, Any]:
        """(R, width) → logits (R, K + 1) and deltas (R, 4·(K + 1)), or (R, 4·K)."""
        return self.cls_score(x), self.bbox_pred(x)


def box_losses(
    logits: Any,
    deltas: Any,
    sampled: Sequence[SampledRois],
    targets: Sequence[Target],
    *,
    coder: BoxCoder = CODER,
    beta: float = 1 / 9,
    background_last: bool = False,
) -> tuple[Any, Any]:
    """Class and box loss over the sampled regions of all images.

        L_class = mean over regions of -log softmax(logits)[label]
        L_box   = Σ over positive regions of smooth-L1(deltas[label], encode(region, object)) / regions

    Args:
        logits: (R, K + 1).
        deltas: (R, 4·(K + 1)); (R, 4·K) with background last.
        sampled: the regions of each image, together R.
        targets: ground truth of each image.
        coder: encodes an object's box relative to its region, as four deltas.
        beta: where smooth-L1 turns from quadratic to linear.
        background_last: where background is, see `minirnn.heads.columns`.

    Returns:
        Two scalars.

    Raises:
        InputError: there is no image.
    """
    if not len(sampled):
        raise InputError("sampled is empty; it should hold the regions of at least one image")
    xp = xp_of(sampled[0].boxes)
    labels = xp.concatenate([rois.labels for rois in sampled])
    columns = column_of(labels, background_last) % logits.shape[1]
    classification = cross_entropy(logits, columns)

    goals, rows, start = [], [], 0
    for rois, target in zip(sampled, targets, strict=True):
        n = rois.positives
        if n:
            goals.append(coder.encode(rois.boxes[:n], target.boxes[rois.matched[:n]]))
            rows.append(xp.arange(start, start + n))
        start += len(rois.boxes)
    positive = xp.concatenate(rows) if rows else xp.zeros(0, xp.intp)
    goal = xp.concatenate(goals) if goals else xp.zeros((0, 4), rois.boxes.dtype)
    per_class = reshape(deltas, shape=(len(labels), deltas.shape[1] // 4, 4))
    # An object's deltas and score are in the same column: only background moved.
    predicted = take(per_class, index=(positive, columns[positive]))
    regression = smooth_l1(predicted, goal.astype(predicted.dtype), beta=beta, reduction="sum")
    return classification, regression * (1 / max(len(labels), 1))


def detections_of_image(
    probabilities: Array,
    deltas: Array,
    proposals: Array,
    image_size: tuple[int, int],
    *,
    score_threshold: float = 0.05,
    nms_iou: float = 0.5,
    max_detections: int = 100,
    min_side: float = 1e-2,
    coder: BoxCoder = CODER,
    background_last: bool = False,
) -> Found:
    """From scores and deltas of one image's proposals to its detections.

    A proposal is a candidate for every class with a score above the threshold, each with a box of its
    own. Then, class by class, near-duplicates are suppressed; the best of all classes remain.

    Args:
        probabilities: (P, K + 1), softmax over classes.
        deltas: (P, 4·(K + 1)); (P, 4·K) with background last.
        proposals: (P, 4).
        image_size: (height, width), without padding.
        score_threshold: candidates score more than this.
        nms_iou: boxes of one class that overlap more are duplicates.
        max_detections: how many come out, at most.
        min_side: smallest width and height, in pixels.
        coder: makes four numbers of a region and its object, and back.
        background_last: where background is, see `minirnn.heads.columns`.
    """
    xp = xp_of(probabilities)
    count, classes = probabilities.shape
    first = column_of(1, background_last)
    row, label = xp.nonzero(probabilities[:, first : first + classes - 1] > score_threshold)
    labels, scores = label + 1, probabilities[row, label + first]
    own = deltas.reshape(count, deltas.shape[1] // 4, 4)[row, label + first]
    boxes = box_ops.clip(coder.decode(proposals[row], own), *image_size)
    valid = box_ops.large_enough(boxes, min_side)
    boxes, labels, scores = boxes[valid], labels[valid], scores[valid]
    note("detections_before_nms", (boxes, labels, scores))
    keep = box_ops.batched_nms(boxes, scores, labels, nms_iou, max_detections)
    note("regions_of_detections_before_nms", lambda: row[valid])
    note("detections_kept", keep)
    return Found(boxes[keep], labels[keep], scores[keep])


class BoxHead(Head):
    """The box head as a part of the detector.

    Args:
        pooler: reads the regions' features.
        box_head: features (R, C, S, S) → (R, width), under that name in torchvision.
        box_predictor: (R, width) → scores and deltas, likewise.
        num_classes: K + 1, with background.
        background_last: see `minirnn.heads.columns`.
        coder: encodes an object's box relative to its region, as four deltas, and decodes them.
        beta: where smooth-L1 turns from quadratic to linear.
        score_threshold: detections score more than this.
        nms_iou: overlap from which a detection is a duplicate.
        max_detections: detections of an image, at most.
        min_side: smallest side of a detection, in pixels.
    """

    finds = "boxes"

    def __init__(
        self,
        pooler: Pooler,
        box_head: Module,
        box_predictor: Module,
        *,
        num_classes: int,
        background_last: bool,
        coder: BoxCoder,
        beta: float,
        score_threshold: float,
        nms_iou: float,
        max_detections: int,
        min_side: float,
    ) -> None:
        self.pooler = pooler
        self.box_head, self.box_predictor = box_head, box_predictor
        self.num_classes = num_classes
        self.code: dict[str, Any] = {"coder": coder, "background_last": background_last}
        self.beta, self.score_threshold = beta, score_threshold
        self.selection: dict[str, Any] = {
            "nms_iou": nms_iou, "max_detections": max_detections, "min_side": min_side,
        }  # fmt: skip

    def forward(self, features: dict[str, Any], boxes: Sequence[Array]) -> tuple[Any, Any]:
        """Boxes (R_i, 4) of each image → logits (R, K + 1) and deltas (R, 4·(K + 1) or 4·K)."""
        logits, deltas = self.box_predictor(self.box_head(self.pooler(features, boxes)))
        note("class_logits", logits)
        note("box_deltas", deltas)
        return logits, deltas

    def check(self, target: Target) -> None:
        """Refuse labels that there is no class for; names the image."""
        if len(target.labels):
            require(
                (target.labels < self.num_classes).all(),
                lambda: InputError(
                    f"image {target.image_id}: label {int(target.labels.max())}, "
                    f"but the model knows 1…{self.num_classes - 1}"
                ),
            )

    def losses(
        self, features: dict[str, Any], regions: Sequence[SampledRois], truth: Sequence[Target]
    ) -> dict[str, LossTerm]:
        """roi_class and roi_box, see `box_losses`."""
        logits, deltas = self(features, [each.boxes for each in regions])
        background = column_of(0, self.code["background_last"]) % logits.shape[1]
        note("taken_for_background", lambda: data_of(logits).argmax(axis=1) == background)
        of_class, of_box = box_losses(logits, deltas, regions, truth, beta=self.beta, **self.code)
        count = sum(len(each.boxes) for each in regions)
        return {"roi_class": LossTerm(of_class, count), "roi_box": LossTerm(of_box, count)}

    def predict(
        self,
        features: dict[str, Any],
        found: list[Found],
        batch: Batch,
        *,
        score_threshold: float | None = None,
        **_: Any,
    ) -> list[Found]:
        """Each image's detections instead of its proposals, see `detections_of_image`.

        Raises:
            InputError: score_threshold is no number between 0 and 1.
        """
        if score_threshold is not None and not _is_share(score_threshold):
            raise InputError(
                f"score_threshold is {score_threshold!r}; it should be a number between 0 and 1"
            )
        proposals = [each.boxes for each in found]
        logits, deltas = self(features, proposals)
        return self.detections(logits, deltas, proposals, batch, score_threshold=score_threshold)

    def detections(
        self,
        logits: Array,
        deltas: Array,
        proposals: Sequence[Array],
        batch: Batch,
        *,
        score_threshold: float | None = None,
    ) -> list[Found]:
        """From the network's output for all images' proposals to each image's detections."""
        threshold = self.score_threshold if score_threshold is None else score_threshold
        return [
            detections_of_image(
                scores,
                moves,
                boxes,
                size,
                score_threshold=threshold,
                **self.selection,
                **self.code,
            )
            for scores, moves, boxes, size in zip(
                of_each_image(softmax(logits, axis=1), proposals),
                of_each_image(deltas, proposals),
                proposals,
                batch.sizes,
                strict=True,
            )
        ]


def _is_share(value: Any) -> bool:
    """Whether it is a number from 0 to 1."""
    try:
        return bool(0 <= value <= 1)
    except (TypeError, ValueError):  # a text, a list; an array of several
        return False
