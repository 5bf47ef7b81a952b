"""Inference beside torchvision's: the same weights, the same images, and every array on the way.

Two questions are answered. *Where* do the networks differ: every part is given the same input as
torchvision's part had, so that an error shows in the part that made it. And *how much* in the end:
`model.predict` from the pixels to the pasted masks, with nothing handed over on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from minirnn import transform
from minirnn.autograd import no_grad
from minirnn.data.sample import Detections
from minirnn.heads.head import Found
from minirnn.heads.keypoint import KeypointHead
from minirnn.models import RCNN
from minirnn.proposals.rpn import flatten
from minirnn.record import recording
from minirnn.transform import Batch
from minirnn.verify.agreement import partners
from minirnn.verify.difference import host
from minirnn.verify.parity_keypoints import compare_head, compare_keypoints
from minirnn.verify.parity_rows import Comparison, Row
from minirnn.verify.torchvision_model import build_pair

#: Errors of float32 after the up to 50 layers of the network, as a part of the largest number.
ROUNDING = 2e-5

#: What a user sees decides: how far apart boxes, scores and masks of the detections may be.
BOX_TOLERANCE = 0.01  # pixels
SCORE_TOLERANCE = 1e-4
MASK_IOU = 0.99


def inference_parity(
    images: Sequence[np.ndarray],
    seed: int = 0,
    min_size: int = 800,
    *,
    together: bool = False,
    own_resize: bool = True,
    keypoints: bool = False,
) -> list[Row]:
    """Compare every intermediate array and the detections of some images.

    Args:
        images: each (H, W, 3) uint8 RGB.
        seed: of the weights.
        min_size: shorter side that the images are scaled to.
        together: all images as one batch, not one by one.
        own_resize: the detections start from the pixels; False starts them from the image as
            torchvision resized it, which tells the network's error from that of the resize.
        keypoints: compare Keypoint R-CNN, not Mask R-CNN.

    Returns:
        A row for each intermediate, over all images.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    reference, model = build_pair(seed, min_size=min_size, keypoints=keypoints)
    comparison = Comparison("torchvision")
    batches = [list(images)] if together else [[image] for image in images]
    for batch in batches:
        compare_batch(comparison, reference, model, batch, own_resize=own_resize)
    return comparison.rows


def compare_batch(
    comparison: Comparison,
    reference: Any,
    model: RCNN,
    images: Sequence[np.ndarray],
    *,
    own_resize: bool = True,
) -> None:
    """Enter the rows of one batch; arguments as in `inference_parity`."""
    theirs = run_torchvision(reference, images)
    with no_grad():
        _compare_stages(comparison, model, images, theirs)
    if own_resize:
        detections = model.predict(images)
    else:
        with handed_over(model, host(theirs["batch"][0].tensors)):
            detections = model.predict(images)
    for ours, found in zip(detections, theirs["detections"], strict=True):
        compare_detections(comparison, ours, found)


@contextmanager
def handed_over(model: RCNN, images: np.ndarray) -> Iterator[None]:
    """Inside, the model sees this array (N, 3, H, W) for the images that it is given."""
    make_batch = transform.make_batch

    def same(*arguments: Any, **settings: Any) -> Batch:
        return replace(make_batch(*arguments, **settings), images=images)

    with mock.patch.object(transform, "make_batch", same):
        yield


def run_torchvision(reference: Any, images: Sequence[np.ndarray]) -> dict[str, Any]:
    """torchvision's detections ("detections") and, by name, what its parts returned on the way."""
    import torch

    seen: dict[str, Any] = {}
    parts = {
        "batch": reference.transform,
        "body": reference.backbone.body,
        "pyramid": reference.backbone,
        "rpn_head": reference.rpn.head,
        "anchors": reference.rpn.anchor_generator,
        "proposals": reference.rpn,
        "roi_features": reference.roi_heads.box_roi_pool,
        "box_predictor": reference.roi_heads.box_predictor,
        "mask_logits": reference.roi_heads.mask_predictor,
        "keypoint_logits": reference.roi_heads.keypoint_predictor,
        "found": reference.roi_heads,
    }
    parts = {name: part for name, part in parts.items() if part is not None}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            # The detections are scaled in their dictionaries later on: keep them as they are now.
            seen[name] = [dict(found) for found in output[0]] if name == "found" else output

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            seen["detections"] = reference(as_tensors(images))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def as_tensors(images: Sequence[np.ndarray]) -> list[Any]:
    """Images as torchvision wants them: (3, H, W) float32 in 0…1."""
    import torch

    return [torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255 for image in images]


def _compare_stages(
    comparison: Comparison, model: RCNN, images: Sequence[np.ndarray], theirs: dict[str, Any]
) -> None:
    heads: Any = tuple(model.roi_heads)
    arrays, (box_head, further_head) = comparison.arrays, heads
    batch = model.transform.batch(images)
    canvas = theirs["batch"][0].tensors
    _compare_images(comparison, batch, canvas)

    batch = replace(batch, images=host(canvas))  # from here on the same image
    maps = model.backbone.body(batch.images)
    for name, their_map in zip(maps, theirs["body"].values(), strict=True):
        arrays("backbone", name, maps[name], their_map, relative=ROUNDING)
    pyramid = model.backbone(batch.images)
    for name, their_map in zip(pyramid, theirs["pyramid"].values(), strict=True):
        arrays("pyramid", name, pyramid[name], their_map, relative=ROUNDING)

    logits, deltas, level_sizes = model.rpn(list(pyramid.values()))
    their_logits, their_deltas = flatten(*[[host(x) for x in xs] for xs in theirs["rpn_head"]])
    arrays("rpn", "objectness logits", logits, their_logits, relative=ROUNDING)
    arrays("rpn", "deltas", deltas, their_deltas, relative=ROUNDING)
    anchors = model.rpn.anchors_of(pyramid, batch)
    for of_image in theirs["anchors"]:
        arrays("anchors", "anchors", anchors, of_image, absolute=0.0)

    their_proposals = [host(boxes) for boxes in theirs["proposals"][0]]
    rules = (anchors, level_sizes, batch, model.rpn.inference)
    with recording() as seen:
        model.rpn.select(their_logits, their_deltas, *rules)
    for ours, scores, wanted in zip(
        seen["proposals"], seen["proposal_logits"], their_proposals, strict=True
    ):
        _compare_order(comparison, ours, scores, wanted)
    own = model.rpn.select(logits, deltas, *rules)
    for ours, wanted in zip(own, their_proposals, strict=True):
        _compare_proposals(comparison, ours, wanted)

    features = box_head.pooler(pyramid, their_proposals)
    arrays("roi", "box features", features, theirs["roi_features"], relative=ROUNDING)
    box_output = box_head.box_predictor(box_head.box_head(features))
    for what, ours, wanted in zip(
        ("class logits", "box deltas"), box_output, theirs["box_predictor"], strict=True
    ):
        arrays("box head", what, ours, wanted, relative=ROUNDING)

    same_output = tuple(host(x) for x in theirs["box_predictor"])
    found = box_head.detections(*same_output, their_proposals, batch)
    for of_image, wanted in zip(found, theirs["found"], strict=True):
        stage = "detections from the same box head"
        arrays(stage, "labels in order", of_image.labels, wanted["labels"], absolute=0.0)
        arrays(stage, "boxes", of_image.boxes, wanted["boxes"], absolute=1e-3)
        arrays(stage, "scores", of_image.scores, wanted["scores"], absolute=1e-6)

    if isinstance(further_head, KeypointHead):
        sizes = list(zip(batch.sizes, batch.original_sizes, strict=True))
        compare_head(comparison, further_head, pyramid, theirs, sizes, ROUNDING)
        return
    boxes = [host(of_image["boxes"]) for of_image in theirs["found"]]
    mask_logits = further_head(pyramid, boxes)
    arrays("mask head", "mask logits", mask_logits, theirs["mask_logits"], relative=ROUNDING)
    for index, (given, wanted) in enumerate(
        zip(theirs["found"], theirs["detections"], strict=True)
    ):
        same = Found(
            boxes[index], host(given["labels"]), host(given["scores"]), host(given["masks"])[:, 0]
        )
        pasted = model.roi_heads.finish(same, batch.sizes[index], batch.original_sizes[index])
        arrays("paste", "boxes in the image", pasted.boxes, wanted["boxes"], absolute=1e-3)
        assert pasted.masks is not None
        _compare_masks(comparison, "paste", pasted.masks, host(wanted["masks"])[:, 0])


def _compare_images(comparison: Comparison, batch: Batch, canvas: Any) -> None:
    """The resized images: both read at places rounded to float32."""
    comparison.arrays(
        "transform", "resized image, torchvision", batch.images, canvas, absolute=5e-6
    )


def _compare_order(
    comparison: Comparison, ours: np.ndarray, logits: np.ndarray, theirs: np.ndarray
) -> None:
    """From the same logits the same proposals must come in the same order, but for one thing.

    torchvision ranks regions by the sigmoid of their logits, and the sigmoid of two float32 numbers
    can be one float32 number: so there are ties there between regions that have an order here.
    """
    import torch

    ties = 0
    if ours.shape == theirs.shape:
        probability = host(torch.sigmoid(torch.from_numpy(logits)))
        ours = ours.copy()
        for i in np.flatnonzero(np.abs(ours - theirs).max(axis=1) > 1e-3):
            alike = np.flatnonzero(probability == probability[i])
            alike = alike[alike >= i]
            j = alike[np.abs(ours[alike] - theirs[i]).max(axis=1).argmin()]
            ties += int(i != j)
            ours[[i, j]] = ours[[j, i]]
    comparison.arrays(
        "proposals", "boxes in order, from the same logits", ours, theirs, absolute=1e-3,
        note=f"{ties} pairs of equal probability swapped" if ties else "",
    )  # fmt: skip


def _compare_proposals(comparison: Comparison, ours: np.ndarray, theirs: np.ndarray) -> None:
    """As sets: regions whose logits are closer than rounding may change places, or be cut off."""
    distance = np.abs(ours[:, None] - theirs[None]).max(axis=2)
    nearest = distance.min(axis=0) if len(ours) else np.full(len(theirs), np.inf)
    matched = nearest <= BOX_TOLERANCE
    comparison.number(
        "proposals", "boxes as a set, from own logits",
        float(nearest[matched].max(initial=0)), cases=int(matched.sum()), absolute=BOX_TOLERANCE,
    )  # fmt: skip
    comparison.number(
        "proposals", "share that only one of the two has",
        1 - matched.mean() if len(matched) else 0.0, cases=len(matched), absolute=0.005,
        note="overlaps and ranks that rounding decides",
    )  # fmt: skip


def compare_detections(comparison: Comparison, ours: Detections, theirs: dict[str, Any]) -> None:
    """Enter what a user sees: boxes, scores, labels, masks, and their order.

    Two detections whose scores differ by less than rounding have no order. So detection i is first
    matched with the one of the same label, near the same place, and what is judged about the order
    is by how much a score is greater than that of one that stands before it.

    Args:
        comparison: takes the rows.
        ours: of one image.
        theirs: torchvision's dictionary for the image.
    """
    stage = "final"
    boxes, labels, scores = (host(theirs[name]) for name in ("boxes", "labels", "scores"))
    comparison.arrays(stage, "number of detections", len(ours.boxes), len(boxes), absolute=0.0)
    places = partners(
        ours, boxes, labels, scores, near_box=BOX_TOLERANCE, near_score=SCORE_TOLERANCE
    )
    rows = np.flatnonzero(places >= 0)
    note = "same label, box within 0.01 px, score within 1e-4"
    comparison.number(
        stage, "detections without a partner",
        max(len(boxes), len(ours.boxes)) - len(rows), cases=len(boxes), absolute=0.0, note=note,
    )  # fmt: skip
    matched = places[rows]
    comparison.arrays(stage, "labels", ours.labels[matched], labels[rows], absolute=0.0)
    comparison.arrays(stage, "boxes", ours.boxes[matched], boxes[rows], absolute=BOX_TOLERANCE)
    comparison.arrays(stage, "scores", ours.scores[matched], scores[rows], absolute=SCORE_TOLERANCE)
    in_our_order = scores[rows][np.argsort(matched)]
    best_later = np.maximum.accumulate(in_our_order[::-1])[::-1]
    comparison.number(
        stage, "their scores, in our order: largest rise",
        float((best_later - in_our_order).max(initial=0)), cases=len(rows),
        absolute=2 * SCORE_TOLERANCE, note=f"{int((matched != rows).sum())} of them elsewhere",
    )  # fmt: skip
    if ours.keypoints is not None:
        points, point_scores = (host(theirs[n])[rows] for n in ("keypoints", "keypoints_scores"))
        compare_keypoints(comparison, ours.keypoints[matched], points, point_scores)
    if ours.masks is None:
        return
    # torchvision pastes at whole pixels, cutting the fraction off. Where rounding moves an edge over
    # a whole number, the pasted mask moves by a pixel: such boxes are counted, not compared.
    same = (_pasted_at(ours.boxes[matched]) == _pasted_at(boxes[rows])).all(axis=1)
    comparison.number(
        stage, "masks pasted a pixel elsewhere", int((~same).sum()) / max(len(rows), 1),
        cases=len(rows), absolute=0.02, note=f"{int((~same).sum())} boxes at a whole pixel",
    )  # fmt: skip
    probability = host(theirs["masks"])[rows[same], 0]
    _compare_masks(comparison, stage, ours.masks[matched[same]], probability)


def _pasted_at(boxes: np.ndarray, size: int = 28) -> np.ndarray:
    """The whole pixels that torchvision pastes at: the box with a ring of one mask pixel, cut off."""
    middle = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((size + 2) / size)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.int64)


def _compare_masks(
    comparison: Comparison, stage: str, ours: np.ndarray, probability: np.ndarray
) -> None:
    """1 - IoU of each mask; pixels whose probability is 0.5 to within rounding count for neither."""
    decided = np.abs(probability - 0.5) > SCORE_TOLERANCE
    ours, theirs = ours & decided, (probability > 0.5) & decided
    shared = (ours & theirs).sum(axis=(1, 2))
    either = (ours | theirs).sum(axis=(1, 2))
    lack = np.where(either > 0, 1 - shared / np.maximum(either, 1), 0)
    worst = int(lack.argmax()) if len(lack) else 0
    different = int(either[worst] - shared[worst]) if len(lack) else 0
    comparison.number(
        stage, "masks: 1 - IoU", float(lack.max(initial=0)), cases=len(ours),
        absolute=1 - MASK_IOU + 1e-12,
        note=f"{different} of {either[worst]} pixels" if different else "",
    )  # fmt: skip
