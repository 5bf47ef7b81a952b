"""The whole chain: backbone, pyramid, anchors, RPN, proposals, RoI features, heads.

Training and inference walk the same way as far as the proposals; then training draws regions and
compares, and inference decodes and pastes. Everything that is computed here is a function of another
module; this file only says in which order.

Source: He et al., "Mask R-CNN", 2017; with pyramid: Lin et al., "Feature pyramid networks", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import masks as mask_ops
from minirnn import matching, rpn
from minirnn.anchors import pyramid_anchors
from minirnn.autograd import Tensor, data_of, no_grad
from minirnn.backbones.fpn import BackboneWithFPN
from minirnn.backbones.resnet import ResNet
from minirnn.backbones.small import SmallBackbone
from minirnn.backend import Array, to_host
from minirnn.data.sample import Detections, Target
from minirnn.errors import InputError
from minirnn.heads import box as box_head
from minirnn.heads import mask as mask_head
from minirnn.heads.sampling import SampledRois, sample_rois
from minirnn.models.config import Config
from minirnn.nn import Module
from minirnn.ops.activation import softmax
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import roi_pool
from minirnn.ops.roi_warp import roi_warp
from minirnn.roi.levels import pyramid_roi
from minirnn.transform import Batch, check_image, make_batch, prepare_target, scale_boxes

# Pixels that go through the network at a time in `predict`: one large image, or many small ones. More large
# ones are no quicker together, and their maps take half a gigabyte each.
_PIXELS = 1 << 20


class RoIHeads(Module):
    """The heads under torchvision's names."""

    def __init__(self, config: Config, rng: np.random.Generator) -> None:
        channels, classes, last = config.fpn_channels, config.num_classes, config.background_last
        self.box_head = box_head.TwoLayerHead(
            channels * config.box_pool**2, config.box_width, rng=rng
        )
        self.box_predictor = box_head.BoxPredictor(
            config.box_width, classes, background_last=last, rng=rng
        )
        if config.mask:
            width = config.mask_width
            self.mask_head = mask_head.MaskHead(channels, width, config.mask_convolutions, rng=rng)
            inputs = width if config.mask_convolutions else channels
            self.mask_predictor = mask_head.MaskPredictor(
                inputs, width, classes, background_last=last, rng=rng
            )


@dataclass(frozen=True)
class LossTerm:
    """A loss: a mean, and the number of things that it is a mean over.

    With it, terms of parts of a batch give the term of the batch: Σ count · mean / Σ count.
    """

    mean: Tensor
    count: int


class MaskRCNN(Module):
    """A Mask R-CNN (or, with `mask=False`, a Faster R-CNN).

    Args:
        config: everything that can be chosen.
        rng: draws the initial weights.
    """

    def __init__(self, config: Config, rng: np.random.Generator) -> None:
        config.check()
        self.config = config
        self.backbone = BackboneWithFPN(
            _make_body(config, rng),
            config.fpn_channels,
            extra_level=config.fpn_extra_level,
            rng=rng,
        )
        per_pixel = {len(sizes) * len(config.anchor_ratios) for sizes in config.anchor_sizes}
        if len(per_pixel) != 1:
            raise InputError("anchor_sizes: every level needs as many sizes, the head is shared")
        head = rpn.RPNHead(
            config.fpn_channels, per_pixel.pop(), convolutions=config.rpn_convolutions, rng=rng
        )
        self.rpn = rpn.RegionProposalNetwork(head)
        self.roi_heads = RoIHeads(config, rng)

    # ------------------------------------------------------------------ training

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    ) -> dict[str, Tensor]:
        """The five losses of a batch.

        Args:
            images: each (H, W, 3) uint8 RGB, of any size.
            targets: ground truth of each image, in its pixels.
            rng: draws the scale, anchors and regions, for each image from a stream of its own; or one
                for each image; None for a fixed draw.

        Returns:
            Scalars by name: rpn_objectness, rpn_box, roi_class, roi_box and mask (if there is a mask
            head). Training minimises their sum.

        Raises:
            InputError: images or targets that nothing can be learned from; names the image.
        """
        terms = self.loss_terms(images, targets, rng)
        return {name: term.mean for name, term in terms.items()}

    def loss_terms(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    ) -> dict[str, LossTerm]:
        """The same as `losses`, each with the number of anchors, regions or masks it is a mean over."""
        config = self.config
        if len(images) != len(targets):
            raise InputError(f"{len(images)} images, but {len(targets)} targets")
        rng = np.random.default_rng(0) if rng is None else rng
        rngs = rng.spawn(len(images)) if isinstance(rng, np.random.Generator) else rng
        chosen = [r.integers(len(config.min_size)) for r in rngs]
        batch = self._batch(images, [config.min_size[i] for i in chosen])
        xp = self.xp
        truth = [
            prepare_target(target, old, new, xp)
            for target, old, new in zip(targets, batch.original_sizes, batch.sizes, strict=True)
        ]
        for target in truth:
            self._check_target(target)

        pyramid = self.backbone(Tensor(batch.images))
        logits, deltas, level_sizes = self.rpn(pyramid)
        anchors = self._anchors(batch, pyramid)

        matches = [
            rpn.rpn_targets(
                anchors,
                target,
                size,
                foreground_iou=config.rpn_foreground_iou,
                background_iou=config.rpn_background_iou,
                drop_outside=config.rpn_drop_outside,
            )
            for target, size in zip(truth, batch.sizes, strict=True)
        ]
        sampled_anchors = [
            matching.sample(match, config.rpn_samples, config.rpn_positive_fraction, r)
            for match, r in zip(matches, rngs, strict=True)
        ]
        objectness, rpn_box = rpn.rpn_losses(
            logits,
            deltas,
            anchors,
            truth,
            matches,
            sampled_anchors,
            weights=config.rpn_box_weights,
            beta=config.rpn_beta,
        )

        proposals = self._proposals(logits, deltas, anchors, level_sizes, batch, training=True)
        sampled = [
            sample_rois(
                boxes,
                target,
                r,
                count=config.roi_samples,
                positive_fraction=config.roi_positive_fraction,
                threshold=config.roi_foreground_iou,
            )
            for boxes, target, r in zip(proposals, truth, rngs, strict=True)
        ]
        class_logits, box_deltas = self._box_head(pyramid, [s.boxes for s in sampled], batch)
        roi_class, roi_box = box_head.box_losses(
            class_logits,
            box_deltas,
            sampled,
            truth,
            weights=config.box_weights,
            beta=config.box_beta,
            background_last=config.background_last,
        )
        anchors_drawn = sum(len(p) + len(n) for p, n in sampled_anchors)
        regions_drawn = sum(len(s.boxes) for s in sampled)
        terms = {
            "rpn_objectness": LossTerm(objectness, anchors_drawn),
            "rpn_box": LossTerm(rpn_box, anchors_drawn),
            "roi_class": LossTerm(roi_class, regions_drawn),
            "roi_box": LossTerm(roi_box, regions_drawn),
        }
        if config.mask:
            mask = self._mask_loss(pyramid, sampled, truth, batch)
            terms["mask"] = LossTerm(mask, sum(s.positives for s in sampled))
        return terms

    def _mask_loss(
        self, pyramid: list, sampled: list[SampledRois], truth: list[Target], batch: Batch
    ) -> Tensor:
        positive = [s.boxes[: s.positives] for s in sampled]
        logits = self._mask_head(pyramid, positive, batch)
        masks, labels = mask_head.mask_targets(
            sampled, truth, logits.shape[2], aligned=self.config.roi_aligned
        )
        return mask_head.mask_loss(
            logits, masks, labels, background_last=self.config.background_last
        )

    def _check_target(self, target: Target) -> None:
        name = f"image {target.image_id}"
        if self.config.mask and target.masks is None:
            raise InputError(f"{name}: the model has a mask head, but the target has no masks")
        highest = int(target.labels.max()) if len(target.labels) else 0
        if highest >= self.config.num_classes:
            raise InputError(
                f"{name}: label {highest}, but the model knows 1…{self.config.num_classes - 1}"
            )

    # ----------------------------------------------------------------- inference

    def predict(
        self, images: Sequence[np.ndarray], *, score_threshold: float | None = None
    ) -> list[Detections]:
        """Find the objects in images.

        Args:
            images: each (H, W, 3) uint8 RGB, of any size.
            score_threshold: leave out what scores less; None for the configuration's.

        Returns:
            For each image its detections, by falling score, on the host, in the image's own pixels.
            With GroupNorm they do not depend on what other images are given with it. With frozen
            BatchNorm images of other sizes widen the canvas, which may move a box by a little.

        Raises:
            InputError: an image is not (H, W, 3) uint8; names its number.
        """
        # Images of different sizes are padded to a common canvas, as in torchvision. A normalisation
        # that looks at the whole canvas (GroupNorm) would then see something else than in training:
        # there each size has a canvas of its own.
        alone = self.config.norm == "group_norm"
        together: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            check_image(image, f"image {index}")
            together.setdefault(image.shape[:2] if alone else (), []).append(index)
        found: dict[int, Detections] = {}
        for indices in together.values():
            part = self._predict_together([images[i] for i in indices], score_threshold)
            found.update(zip(indices, part, strict=True))
        return [found[index] for index in range(len(images))]

    def _predict_together(
        self, images: Sequence[np.ndarray], score_threshold: float | None
    ) -> list[Detections]:
        batch = self._batch(images, [self.config.min_size[-1]] * len(images))
        found: list[Detections] = []
        for part in batch.parts(_PIXELS):
            found += self._predict_part(part, score_threshold)
        return found

    def _predict_part(self, batch: Batch, score_threshold: float | None) -> list[Detections]:
        with no_grad():
            pyramid = self.backbone(batch.images)
            logits, deltas, level_sizes = self.rpn(pyramid)
            anchors = self._anchors(batch, pyramid)
            proposals = self._proposals(logits, deltas, anchors, level_sizes, batch, training=False)
            found = self._detect(pyramid, proposals, batch, score_threshold)
            probabilities = self._detected_masks(pyramid, found, batch)
        return [
            self._finish(detected, masks, batch, i)
            for i, (detected, masks) in enumerate(zip(found, probabilities, strict=True))
        ]

    def _detect(
        self, pyramid: list, proposals: list[Array], batch: Batch, score_threshold: float | None
    ) -> list[box_head.Found]:
        config = self.config
        logits, deltas = self._box_head(pyramid, proposals, batch)
        probabilities = softmax(logits, axis=1)
        ends = np.cumsum([len(boxes) for boxes in proposals])
        return [
            box_head.detections_of_image(
                probabilities[end - len(boxes) : end],
                deltas[end - len(boxes) : end],
                boxes,
                size,
                score_threshold=(
                    config.box_score_threshold if score_threshold is None else score_threshold
                ),
                nms_iou=config.box_nms_iou,
                max_detections=config.box_max_detections,
                weights=config.box_weights,
                background_last=config.background_last,
            )
            for boxes, size, end in zip(proposals, batch.sizes, ends, strict=True)
        ]

    def _detected_masks(
        self, pyramid: list, found: list[box_head.Found], batch: Batch
    ) -> list[Array | None]:
        if not self.config.mask:
            return [None] * len(found)
        logits = self._mask_head(pyramid, [f.boxes for f in found], batch)
        masks, start = [], 0
        for detected in found:
            stop = start + len(detected.boxes)
            masks.append(
                mask_head.mask_probabilities(
                    logits[start:stop],
                    detected.labels,
                    background_last=self.config.background_last,
                )
            )
            start = stop
        return masks

    def _finish(
        self, found: box_head.Found, masks: Array | None, batch: Batch, index: int
    ) -> Detections:
        """Back into the image as it was given."""
        original = batch.original_sizes[index]
        boxes = scale_boxes(found.boxes, batch.sizes[index], original)
        pasted = None
        if masks is not None:
            pasted = to_host(
                mask_ops.paste(
                    masks,
                    boxes,
                    *original,
                    threshold=self.config.mask_threshold,
                    mode=self.config.mask_paste,
                )
            )
        return Detections(to_host(boxes), to_host(found.labels), to_host(found.scores), pasted)

    # ------------------------------------------------------------- common to both

    def _batch(self, images: Sequence[np.ndarray], min_sizes: Sequence[int]) -> Batch:
        config = self.config
        return make_batch(
            images,
            min_sizes=min_sizes,
            max_size=config.max_size,
            mean=config.image_mean,
            std=config.image_std,
            divisor=config.size_divisor,
            bgr=config.bgr,
            xp=self.xp,
        )

    def _anchors(self, batch: Batch, pyramid: list) -> Array:
        config, xp = self.config, self.xp
        levels = pyramid_anchors(
            batch.images.shape[2:],
            [level.shape[2:] for level in pyramid],
            config.anchor_sizes,
            config.anchor_ratios,
            rounded=config.anchors_rounded,
            offset=config.anchor_offset,
            integer_strides=config.anchor_integer_strides,
            cell_rounded=config.anchors_cell_rounded,
            xp=xp,
            dtype=batch.images.dtype,
        )
        return xp.concatenate(levels)

    def _proposals(
        self,
        logits: Any,
        deltas: Any,
        anchors: Array,
        level_sizes: list[int],
        batch: Batch,
        *,
        training: bool,
    ) -> list[Array]:
        config = self.config
        logits, deltas = data_of(logits), data_of(deltas)  # constants: no gradient goes back
        return [
            rpn.proposals_of_image(
                logits[i],
                deltas[i],
                anchors,
                level_sizes,
                size,
                pre_nms=config.rpn_pre_nms_train if training else config.rpn_pre_nms_test,
                post_nms=config.rpn_post_nms_train if training else config.rpn_post_nms_test,
                nms_iou=config.rpn_nms_iou,
                min_side=config.rpn_min_side,
                score_threshold=config.rpn_score_threshold,
                weights=config.rpn_box_weights,
            )[0]
            for i, size in enumerate(batch.sizes)
        ]

    def _roi_features(self, pyramid: list, boxes: list[Array], batch: Batch, size: int) -> Any:
        config, xp = self.config, self.xp
        maps = pyramid[:-1] if config.fpn_extra_level else pyramid
        operations: dict[str, tuple[Any, dict[str, Any]]] = {
            "align": (
                roi_align,
                {"sampling_ratio": config.roi_sampling, "aligned": config.roi_aligned},
            ),
            "warp": (roi_warp, {"sampling_ratio": config.roi_sampling}),
            "pool": (roi_pool, {}),
        }
        operation, settings = operations[config.roi_operation]
        image_index = xp.asarray(np.repeat(np.arange(len(boxes)), [len(b) for b in boxes]))
        return pyramid_roi(
            *maps,
            xp.concatenate(boxes),
            image_index,
            operation=operation,
            # The nearest power of two: padding and rounding make the plain quotient inexact.
            spatial_scales=tuple(
                2.0 ** round(np.log2(level.shape[2] / batch.images.shape[2])) for level in maps
            ),
            output_size=(size, size),
            canonical_size=config.roi_canonical_size,
            canonical_level=config.roi_canonical_level,
            eps=config.roi_level_eps,
            rule=config.roi_level_rule,
            **settings,
        )

    def _box_head(self, pyramid: list, boxes: list[Array], batch: Batch) -> tuple[Any, Any]:
        features = self._roi_features(pyramid, boxes, batch, self.config.box_pool)
        return self.roi_heads.box_predictor(self.roi_heads.box_head(features))

    def _mask_head(self, pyramid: list, boxes: list[Array], batch: Batch) -> Any:
        features = self._roi_features(pyramid, boxes, batch, self.config.mask_pool)
        return self.roi_heads.mask_predictor(self.roi_heads.mask_head(features))


def _make_body(config: Config, rng: np.random.Generator) -> Any:
    if config.backbone == "small":
        return SmallBackbone(
            widths=config.small_widths, blocks=config.small_blocks, norm=config.norm, rng=rng
        )
    return ResNet(
        int(config.backbone.removeprefix("resnet")),
        norm=config.norm,
        eps=config.norm_eps,
        frozen_stages=config.frozen_stages,
        stride_in_1x1=config.stride_in_1x1,
        rng=rng,
    )
