"""Mask head: which pixels of this region are the object?

From 14×14 features, a few 3×3 convolutions, a transposed convolution to 28×28, and one mask of logits
per class. Each class has its own sigmoid: classes do not compete for pixels, because the box head has
already said what the object is. That is the paper's "decoupling", worth 5.5 points of mask AP there.

Source: He et al., "Mask R-CNN", 2017, section 3 and table 2b.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn import masks as mask_ops
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.heads.columns import column_of, columns_of_objects
from minirnn.heads.head import Found, Head, Pooler, of_each_image
from minirnn.heads.regions import SampledRois
from minirnn.masks.checks import check_room
from minirnn.nn import Conv2d, ConvTranspose2d, Module, Sequential
from minirnn.ops.activation import sigmoid
from minirnn.ops.losses import LossTerm, binary_cross_entropy_with_logits
from minirnn.ops.shape import take
from minirnn.record import note
from minirnn.structures import Target
from minirnn.transform import Batch


class MaskConvolutions(Module):
    """3×3 convolutions with ReLU, under torchvision's names "0.0", "1.0", …"""

    def __init__(
        self, inputs: int, width: int, convolutions: int, *, rng: np.random.Generator
    ) -> None:
        for index in range(convolutions):
            part = Sequential(Conv2d(inputs if index == 0 else width, width, 3, rng=rng))
            setattr(self, str(index), part)
        self.convolutions = convolutions

    def forward(self, x: Any) -> Any:
        """(R, C, 14, 14) → (R, width, 14, 14)."""
        for index in range(self.convolutions):
            x = getattr(self, str(index))(x, relu=True)
        return x


class MaskPredictor(Module):
    """Transposed convolution to twice the size, then one map of logits per class.

    Args:
        inputs: channels of the features.
        width: channels between the two convolutions.
        num_classes: K + 1, with background.
        background_last: background has no map; with background first it has one that is never used.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        num_classes: int,
        *,
        background_last: bool = False,
        rng: np.random.Generator,
    ) -> None:
        self.conv5_mask = ConvTranspose2d(inputs, width, 2, stride=2, rng=rng)
        maps = columns_of_objects(num_classes, background_last)
        self.mask_fcn_logits = Conv2d(width, maps, 1, rng=rng)

    def forward(self, x: Any) -> Any:
        """(R, C, 14, 14) → logits (R, K + 1, 28, 28), or (R, K, 28, 28)."""
        return self.mask_fcn_logits(self.conv5_mask(x, relu=True))


def mask_targets(
    sampled: Sequence[SampledRois], targets: Sequence[Target], size: int, *, aligned: bool = False
) -> tuple[Array, Array]:
    """Ground-truth masks of the positive regions, cut out and brought to size × size.

    Args:
        sampled: regions of each image.
        targets: ground truth of each image, with masks.
        size: side of the head's masks, in pixels.
        aligned: as in `masks.crop`.

    Returns:
        (P, size, size) float32 in [0, 1] and the labels (P,), over all images.
    """
    xp = xp_of(sampled[0].boxes)
    cut = [xp.zeros((0, size, size), xp.float32)]
    labels = [xp.zeros(0, xp.intp)]
    for rois, target in zip(sampled, targets, strict=True):
        n = rois.positives
        if n and target.masks is not None:
            boxes, matched = rois.boxes[:n], rois.matched[:n]
            cut.append(mask_ops.crop(target.masks, boxes, matched, size, aligned=aligned))
            labels.append(rois.labels[:n])
    return xp.concatenate(cut), xp.concatenate(labels)


def mask_loss(logits: Any, masks: Array, labels: Array, *, background_last: bool = False) -> Any:
    """Mean binary cross-entropy over all pixels of the masks of the *true* classes.

    Background regions have no mask and give no gradient; with no positive region the loss is 0.

    Args:
        logits: (P, K + 1, M, M), of the positive regions only; (P, K, M, M) with background last.
        masks: (P, M, M) targets in [0, 1].
        labels: (P,) in 1…K.
        background_last: background has no map, and label 1 has the first.
    """
    xp = xp_of(masks)
    own = take(logits, index=(xp.arange(len(labels)), column_of(labels, background_last)))
    return binary_cross_entropy_with_logits(own, masks.astype(own.dtype))


def mask_probabilities(logits: Array, labels: Array, *, background_last: bool = False) -> Array:
    """The mask of each detection's own class: (D, K + 1, M, M) → sigmoid → (D, M, M).

    Args:
        logits: (D, K + 1, M, M); (D, K, M, M) with background last.
        labels: (D,) in 1…K.
        background_last: as in `mask_loss`.
    """
    xp = xp_of(logits)
    return sigmoid(logits[xp.arange(len(labels)), column_of(labels, background_last)])


class MaskHead(Head):
    """The mask head as a part of the detector.

    Args:
        pooler: reads the regions' features.
        mask_head: features (R, C, 14, 14) → (R, width, 14, 14), under that name in torchvision.
        mask_predictor: (R, width, 14, 14) → logits, likewise.
        background_last: see `minirnn.heads.columns`.
        aligned: as in `mask_targets`.
        paste_mode: "continuous" or "legacy", see `masks.paste`.
        rule: "threshold", or "expected_iou": each mask has its own, see `masks.best_thresholds`.
        threshold: a pixel belongs to the object from this probability on ("legacy": above it).
    """

    finds = "masks"

    def __init__(
        self,
        pooler: Pooler,
        mask_head: Module,
        mask_predictor: Module,
        *,
        background_last: bool,
        aligned: bool,
        paste_mode: str,
        rule: str,
        threshold: float,
    ) -> None:
        self.pooler = pooler
        self.mask_head, self.mask_predictor = mask_head, mask_predictor
        self.background_last, self.aligned = background_last, aligned
        self.paste_mode, self.rule, self.threshold = paste_mode, rule, threshold

    def forward(self, features: dict[str, Any], boxes: Sequence[Array]) -> Any:
        """Boxes (R_i, 4) of each image → logits (R, K + 1 or K, 28, 28)."""
        logits = self.mask_predictor(self.mask_head(self.pooler(features, boxes)))
        note("mask_logits", logits)
        return logits

    def check(self, target: Target) -> None:
        """Refuse a target without masks; names the image."""
        if target.masks is None:
            raise InputError(
                f"image {target.image_id}: the model has a mask head, but the target has no masks"
            )

    def losses(
        self, features: dict[str, Any], regions: Sequence[SampledRois], truth: Sequence[Target]
    ) -> dict[str, LossTerm]:
        """mask, see `mask_loss`, over the regions that are objects."""
        logits = self(features, [each.boxes[: each.positives] for each in regions])
        masks, labels = mask_targets(regions, truth, logits.shape[2], aligned=self.aligned)
        note("mask_targets", masks)
        loss = mask_loss(logits, masks, labels, background_last=self.background_last)
        return {"mask": LossTerm(loss, sum(each.positives for each in regions))}

    def predict(
        self, features: dict[str, Any], found: list[Found], batch: Batch, **_: Any
    ) -> list[Found]:
        """The detections with the mask of each one's own class inside its box."""
        boxes = [each.boxes for each in found]
        logits = of_each_image(self(features, boxes), boxes)
        for each, own in zip(found, logits, strict=True):
            each.masks = mask_probabilities(own, each.labels, background_last=self.background_last)
        note("masks", [each.masks for each in found])
        return found

    def finish(self, found: Found, size: tuple[int, int]) -> None:
        """Paste the masks into the image, (D, height, width) bool.

        Raises:
            InputError: the memory cannot hold them.
        """
        advice = "fewer objects (box_max_detections) or boxes alone (mask=False) need less"
        check_room(len(found.boxes), *size, advice=advice)
        masks, threshold = found.masks, self.threshold
        if self.rule == "expected_iou":
            # Pasting is linear: twice the probability against twice the threshold is the same mask.
            threshold = 0.5
            masks = masks * (threshold / mask_ops.best_thresholds(masks))[:, None, None]
        found.masks = mask_ops.paste(
            masks, found.boxes, *size, threshold=threshold, mode=self.paste_mode
        )
