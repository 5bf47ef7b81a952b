"""Region proposal network: where in the image might something be?

At every pixel of every pyramid map stand a few anchors, boxes of fixed size and shape. A small
convolutional head says of each anchor how much it looks like an object (objectness, one logit) and
how to move it onto the object (four deltas). The best of the moved boxes are the proposals.

Source: Ren et al., "Faster R-CNN", 2015, section 3.1; over pyramid levels: Lin et al., "Feature
pyramid networks", 2017, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import boxes as box_ops
from minirnn import matching
from minirnn.anchors import AnchorGenerator, inside_image
from minirnn.autograd import data_of
from minirnn.backend import Array, by_falling_score, xp_of
from minirnn.boxes import BoxCoder
from minirnn.nn import Conv2d, Module, Sequential
from minirnn.nn.init import normal
from minirnn.ops.losses import LossTerm, binary_cross_entropy_with_logits, smooth_l1
from minirnn.ops.shape import concatenate, reshape, take, transpose
from minirnn.record import note
from minirnn.structures import Target
from minirnn.transform import Batch

#: The paper's thresholds.
MATCHER = matching.Matcher(0.3, 0.7, force=True)
CODER = BoxCoder()


class RPNHead(Module):
    """One 3×3 convolution, then 1×1 for objectness and for deltas; shared by all levels.

    Args:
        channels: of the pyramid maps.
        anchors: A, the number of anchors at one pixel.
        convolutions: 3×3 convolutions before the branches.
        rng: draws the initial weights (deviation 0.01, so that training starts undecided).
    """

    def __init__(
        self, channels: int, anchors: int, *, convolutions: int = 1, rng: np.random.Generator
    ) -> None:
        draw = normal(0.01)
        self.conv = Sequential(
            *(
                Sequential(Conv2d(channels, channels, 3, rng=rng, initial=draw))
                for _ in range(convolutions)
            )
        )
        self.cls_logits = Conv2d(channels, anchors, 1, rng=rng, initial=draw)
        self.bbox_pred = Conv2d(channels, anchors * 4, 1, rng=rng, initial=draw)

    def forward(self, pyramid: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Maps (N, C, H, W) → objectness logits (N, A, H, W) and deltas (N, 4A, H, W), per level."""
        logits, deltas = [], []
        for features in pyramid:
            for convolution in self.conv:
                features = convolution(features, relu=True)
            logits.append(self.cls_logits(features))
            deltas.append(self.bbox_pred(features))
        return logits, deltas


def flatten(logits: Sequence[Any], deltas: Sequence[Any]) -> tuple[Any, Any]:
    """Put the head's maps in the order of the anchors: level, y, x, anchor.

    Args:
        logits: per level (N, A, H, W).
        deltas: per level (N, 4A, H, W), the four deltas of an anchor side by side.

    Returns:
        (N, ΣHWA) and (N, ΣHWA, 4).
    """
    flat_logits, flat_deltas = [], []
    for objectness, delta in zip(logits, deltas, strict=True):
        n, a, height, width = objectness.shape
        flat_logits.append(reshape(transpose(objectness, axes=(0, 2, 3, 1)), shape=(n, -1)))
        delta = reshape(delta, shape=(n, a, 4, height, width))
        flat_deltas.append(
            reshape(transpose(delta, axes=(0, 3, 4, 1, 2)), shape=(n, height * width * a, 4))
        )
    return concatenate(*flat_logits, axis=1), concatenate(*flat_deltas, axis=1)


def rpn_targets(
    anchors: Array,
    target: Target,
    image_size: tuple[int, int],
    *,
    matcher: matching.Matcher = MATCHER,
    drop_outside: bool = False,
) -> Array:
    """What each anchor is to learn: the object that it stands on, nothing, or no lesson at all.

    Positive are anchors with IoU ≥ matcher.high with an object, and for each object those that
    overlap it most (or small objects would have none). Negative are those below matcher.low with
    all objects. Between the two, and on crowds, an anchor learns nothing.

    Args:
        anchors: (A, 4).
        target: the image's ground truth, in the network's pixels.
        image_size: (height, width), without padding.
        matcher: the two thresholds, and what is left out on crowds.
        drop_outside: anchors that reach out of the image learn nothing (Faster R-CNN; later
            implementations keep them).

    Returns:
        (A,) intp: index of the object in target.boxes, or matching.BACKGROUND or matching.IGNORE.

    Source: Ren et al. (2015), section 3.1.2.
    """
    matches = matcher(anchors, target)
    if not drop_outside:
        return matches
    inside = inside_image(anchors, *image_size)
    return xp_of(matches).where(inside, matches, matching.IGNORE)


def rpn_losses(
    logits: Any,
    deltas: Any,
    anchors: Array,
    targets: Sequence[Target],
    matches: Sequence[Array],
    sampled: Sequence[tuple[Array, Array]],
    *,
    coder: BoxCoder = CODER,
    beta: float = 1 / 9,
) -> tuple[Any, Any]:
    """Objectness and box loss over the sampled anchors of all images.

        L_objectness = mean over sampled anchors of BCE(logit, is positive)
        L_box        = Σ over positive anchors of smooth-L1(delta, encode(anchor, object)) / sampled

    Args:
        logits: (N, A).
        deltas: (N, A, 4).
        anchors: (A, 4).
        targets: ground truth of each image.
        matches: (A,) of each image, from `rpn_targets`.
        sampled: (positives, negatives) of each image, indices of anchors.
        coder: encodes an object's box relative to its anchor, as four deltas.
        beta: where smooth-L1 turns from quadratic to linear.

    Returns:
        Two scalars.
    """
    xp = xp_of(anchors)
    count = len(anchors)
    positives = xp.concatenate([p + i * count for i, (p, _) in enumerate(sampled)])
    negatives = xp.concatenate([n + i * count for i, (_, n) in enumerate(sampled)])
    chosen = xp.concatenate([positives, negatives])
    is_object = (xp.arange(len(chosen)) < len(positives)).astype(anchors.dtype)
    objectness = binary_cross_entropy_with_logits(
        take(reshape(logits, shape=(-1,)), index=chosen), is_object
    )

    goals = []
    for target, match, (positive, _) in zip(targets, matches, sampled, strict=True):
        goals.append(
            coder.encode(anchors[positive], target.boxes[match[positive]])
            if len(positive)
            else xp.zeros((0, 4), anchors.dtype)
        )
    predicted = take(reshape(deltas, shape=(-1, 4)), index=positives)
    box = smooth_l1(predicted, xp.concatenate(goals), beta=beta, reduction="sum")
    return objectness, box * (1 / max(len(chosen), 1))


def proposals_of_image(
    logits: Array,
    deltas: Array,
    anchors: Array,
    level_sizes: Sequence[int],
    image_size: tuple[int, int],
    *,
    pre_nms: int,
    post_nms: int,
    nms_iou: float = 0.7,
    min_side: float = 1e-3,
    score_threshold: float = 0.0,
    coder: BoxCoder = CODER,
) -> tuple[Array, Array]:
    """The best moved anchors of one image, without near-duplicates.

    Per level: take the `pre_nms` best logits. Then: decode, clip to the image (not to its padding),
    drop slivers and low scores, suppress near-duplicates within each level, keep the `post_nms` best.

    Args:
        logits: (A,), no gradient: proposals are constants to what follows.
        deltas: (A, 4).
        anchors: (A, 4).
        level_sizes: number of anchors on each level.
        image_size: (height, width).
        pre_nms: how many of each level go into the suppression.
        post_nms: how many come out, in all.
        nms_iou: boxes of one level that overlap more are duplicates.
        min_side: smallest width and height, in pixels.
        score_threshold: smallest objectness probability.
        coder: decodes an anchor and its four deltas to a box.

    Returns:
        boxes (P, 4) and their logits (P,), by falling logit.
    """
    xp = xp_of(logits)
    kept, level_of, start = [], [], 0
    for level, size in enumerate(level_sizes):
        best = _top(logits[start : start + size], pre_nms) + start
        kept.append(best)
        level_of.append(xp.full(len(best), level, xp.intp))
        start += size
    index, levels = xp.concatenate(kept), xp.concatenate(level_of)
    scores = logits[index]
    boxes = coder.decode(anchors[index], deltas[index])
    boxes = box_ops.clip(boxes, *image_size)
    valid = box_ops.large_enough(boxes, min_side)
    if score_threshold > 0:
        odds = score_threshold / (1 - score_threshold) if score_threshold < 1 else math.inf
        valid &= scores >= math.log(odds)
    valid = xp.flatnonzero(valid)  # once: a GPU is waited for, to know how many there are
    boxes, scores, levels = boxes[valid], scores[valid], levels[valid]
    note("proposals_before_nms", (boxes, scores, levels))
    keep = box_ops.batched_nms(boxes, scores, levels, nms_iou, post_nms)
    note("anchors_of_proposals_before_nms", lambda: index[valid])
    note("proposals_kept", keep)
    return boxes[keep], scores[keep]


def _top(scores: Array, count: int) -> Array:
    """Indices of the `count` highest scores, by falling score, the lower index first on a tie."""
    xp = xp_of(scores)
    if count >= len(scores) or xp is not np:  # CuPy's argpartition waits twice for the GPU
        return by_falling_score(scores)[:count]
    best = xp.sort(xp.argpartition(-scores, count)[:count])
    return best[by_falling_score(scores[best])]


@dataclass(frozen=True)
class Selection:
    """The settings of `proposals_of_image`, under the names of its arguments."""

    pre_nms: int
    post_nms: int
    nms_iou: float = 0.7
    min_side: float = 1e-3
    score_threshold: float = 0.0


class RegionProposalNetwork(Module):
    """The proposer of Faster R-CNN: head, anchors, what they learn, and which become proposals.

    Args:
        head: gives each anchor its logit and deltas; `rpn.head`, as in torchvision.
        anchors: makes the anchors of each map.
        matcher: which object an anchor is to find.
        sampler: which anchors are trained.
        training: which anchors become proposals in training.
        inference: the same at inference.
        coder: encodes an object's box relative to its anchor, as four deltas, and decodes them.
        beta: where smooth-L1 turns from quadratic to linear.
        drop_outside: anchors that reach out of the image are not trained.
    """

    takes_proposals = False  # it makes its own

    def __init__(
        self,
        head: RPNHead,
        anchors: AnchorGenerator,
        matcher: matching.Matcher,
        sampler: matching.Sampler,
        *,
        training: Selection,
        inference: Selection,
        coder: BoxCoder,
        beta: float,
        drop_outside: bool,
    ) -> None:
        self.head = head
        self.anchors, self.matcher, self.sampler = anchors, matcher, sampler
        self.training, self.inference = training, inference
        self.coder, self.beta, self.drop_outside = coder, beta, drop_outside

    def forward(self, maps: Sequence[Any]) -> tuple[Any, Any, list[int]]:
        """Pyramid maps → logits (N, A), deltas (N, A, 4), and the number of anchors per level."""
        logits, deltas = self.head(maps)
        sizes = [int(np.prod(level.shape[1:])) for level in logits]
        return (*flatten(logits, deltas), sizes)

    def losses(
        self,
        features: dict[str, Any],
        batch: Batch,
        truth: Sequence[Target],
        rngs: Sequence[np.random.Generator],
    ) -> tuple[dict[str, LossTerm], list[Array]]:
        """What training minimises, by name, and the proposals (P, 4) of each image."""
        logits, deltas, sizes = self(list(features.values()))
        anchors = self.anchors_of(features, batch)
        matches = [self.match(anchors, *each) for each in zip(truth, batch.sizes, strict=True)]
        sampled = [self.sampler(match, rng) for match, rng in zip(matches, rngs, strict=True)]
        note("anchor_matches", matches)
        note("sampled_anchors", sampled)
        objectness, box = rpn_losses(
            logits, deltas, anchors, truth, matches, sampled, coder=self.coder, beta=self.beta
        )  # fmt: skip
        drawn = sum(len(positive) + len(negative) for positive, negative in sampled)
        terms = {"rpn_objectness": LossTerm(objectness, drawn), "rpn_box": LossTerm(box, drawn)}
        return terms, self.select(logits, deltas, anchors, sizes, batch, self.training)

    def propose(self, features: dict[str, Any], batch: Batch) -> list[Array]:
        """The proposals (P, 4) of each image, by falling objectness."""
        logits, deltas, sizes = self(list(features.values()))
        anchors = self.anchors_of(features, batch)
        return self.select(logits, deltas, anchors, sizes, batch, self.inference)

    def anchors_of(self, features: dict[str, Any], batch: Batch) -> Array:
        """All anchors (A, 4) of the padded input, in the order level, y, x, anchor."""
        images, maps = batch.images, list(features.values())
        xp = xp_of(images)
        levels = self.anchors(images.shape[2:], maps, xp, images.dtype)
        note("anchors", levels)
        return xp.concatenate(levels)

    def match(self, anchors: Array, target: Target, size: tuple[int, int]) -> Array:
        """(A,), the object that each anchor is to find in an image of (height, width)."""
        return rpn_targets(
            anchors, target, size, matcher=self.matcher, drop_outside=self.drop_outside
        )

    def select(
        self,
        logits: Any,
        deltas: Any,
        anchors: Array,
        level_sizes: Sequence[int],
        batch: Batch,
        selection: Selection,
    ) -> list[Array]:
        """From what the head says of the anchors to proposals; see `proposals_of_image`."""
        logits, deltas = data_of(logits), data_of(deltas)  # constants: no gradient goes back
        note("objectness", logits)
        note("anchor_deltas", deltas)
        chosen = [
            proposals_of_image(
                logits[i],
                deltas[i],
                anchors,
                level_sizes,
                size,
                coder=self.coder,
                **vars(selection),
            )
            for i, size in enumerate(batch.sizes)
        ]
        note("proposals", [boxes for boxes, _ in chosen])
        note("proposal_logits", [scores for _, scores in chosen])
        return [boxes for boxes, _ in chosen]
