"""The stages that are verified: for each, where its function is and which inputs are drawn for it.

Each list of cases ends with edge cases: nothing at all, boxes without area, boxes outside the image,
equal scores, images without objects. Everything is in float64, so that errors are those of formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.data.sample import Target
from minirnn.verify import stage_draws as draw
from minirnn.verify.drawing import Case, case, chance, normal, share, whole
from minirnn.verify.stage_draws import boxes, edge_boxes
from minirnn.verify.subject import Subject, stage


def seeded(sample: Callable) -> Callable:
    """The function with a seed in place of its last argument, a generator: so two can draw alike."""
    return lambda *inputs, seed: sample(*inputs, np.random.default_rng(seed))


def coded(function: Callable) -> Callable:
    """The function with the weights of the box code in place of a `BoxCoder`, as references have it."""
    from minirnn.boxes import BoxCoder

    def call(*inputs: Any, weights: Any = None, **settings: Any) -> Any:
        return function(*inputs, **settings, **({"coder": BoxCoder(weights)} if weights else {}))

    return call


def box_losses(
    logits: Any, deltas: Any, regions: Any, labels: Any, matched: Any, **settings: Any
) -> Any:
    """The stage for one image whose region i is to find the box matched[i]; positives come first."""
    from minirnn.heads import box
    from minirnn.heads.regions import SampledRois

    count = len(labels)
    objects = Target(matched, np.maximum(labels, 1), None, np.zeros(count, bool))
    rois = SampledRois(regions, labels, np.arange(count), int((labels > 0).sum()))
    return coded(box.box_losses)(logits, deltas, [rois], [objects], **settings)


def average_precision(truth: Any, results: Any, kind: str) -> np.ndarray:
    """Every number of one kind of evaluation in order; -1 where there is nothing to find."""
    from minirnn.evaluation import average_precision as evaluation

    numbers = evaluation.evaluate_results(truth, results, [kind])[kind]
    return np.array([-1.0 if value is None else value for value in numbers.values()])


_RATIOS = (0.5, 1.0, 2.0)
_ONES = (1.0, 1.0, 1.0, 1.0)
_DOUBLE = {"dtype": np.float64}  # of anchors, which are float32 by default


def _anchors(**settings: Any) -> Case:
    maps = [(24, 32), (12, 16), (6, 8)], ((8,), (16,), (32,))
    return case((96, 128), *maps, _RATIOS, **_DOUBLE, **settings)


def _of_two(count: int) -> list[Case]:
    """Two sets of boxes."""
    return [
        case(boxes(12), boxes(count)),
        case(boxes(0), boxes(4)),
        case(edge_boxes(), edge_boxes()),
    ]


def _of_each(*more: Any) -> list[Case]:
    """One set of boxes, and whatever the function wants besides."""
    return [case(boxes(20), *more), case(edge_boxes(), *more), case(boxes(0), *more)]


def _masks(encoded: bool) -> list[Case]:
    """Masks of noise, thin and dense, empty and full, a blob, and one without a pixel."""
    noise = [draw.rle(encoded=encoded, density=density) for density in (0.5, 0.05, 0.0, 1.0, None)]
    return [*noise, draw.rle(encoded=encoded, density=0.5, size=(0, 3))]


_REGIONS = [draw.regions(detections=d, truths=t) for d, t in ((8, 6), (1, 1), (0, 3))]


def _own(heading: str, function: Callable, *cases: Case, **more: Any) -> Subject:
    """A function of this file, under its name."""
    return Subject(heading, function.__name__, lambda: function, cases, **more)


STAGES: tuple[Subject, ...] = (
    stage(
        "anchors.base_anchors",
        lambda rng: ((float(rng.uniform(8, 512)), _RATIOS), {}),
        case(32.0, _RATIOS, rounded=True),
        case([16.0, 40.3], (0.3, 1.0, 3.7)),
    ),
    stage(
        "anchors.grid_anchors",
        case(boxes(3), 5, 7, 16, 8, **_DOUBLE),
        case(boxes(2), 4, 3, 8, 8, 0.5, **_DOUBLE),
        case(boxes(3), 0, 7, 16, 16, **_DOUBLE),
    ),
    stage(
        "anchors.pyramid_anchors",
        _anchors(),
        _anchors(rounded=True, integer_strides=True),
        _anchors(offset=0.5),
        case((65, 97), [(17, 25), (9, 13)], ((8,), (16, 20)), _RATIOS, **_DOUBLE),
    ),
    stage(
        "anchors.inside_image",
        case(boxes(30), 80, 100),
        case(boxes(30), 80, 100, 10.0),
        case(boxes(0), 80, 100),
    ),
    stage("box_intersection=boxes.intersection", *_of_two(9)),
    stage("box_iou=boxes.iou", *_of_two(9)),
    stage("boxes.crowd_iou", *_of_two(5)),
    stage("box_area=boxes.area", *_of_each()),
    stage("box_clip=boxes.clip", *_of_each(80, 100)),
    stage("boxes.large_enough", *_of_each(4.0)),
    stage("boxes.from_xywh", *_of_each()),
    stage("boxes.to_xywh", *_of_each()),
    stage(
        "box_encode=boxes.encode",
        case(boxes(20), boxes(20)),
        case(boxes(20), boxes(20), (10.0, 10.0, 5.0, 5.0)),
        case(boxes(0), boxes(0)),
    ),
    stage(
        "box_decode=boxes.decode",
        case(boxes(20), normal(20, 4)),
        case(boxes(20), normal(20, 4, deviation=30), (10.0, 10.0, 5.0, 5.0)),
        case(boxes(20), normal(20, 8, deviation=5)),
        case(boxes(0), np.zeros((0, 4))),
    ),
    stage(
        "boxes.nms",
        *(draw.nms(count=n, threshold=t) for n, t in ((40, 0.5), (60, 0.3), (25, 0.7))),
        draw.nms(count=20, threshold=0.5, ties=True),
        draw.nms(count=1, threshold=0.5),
        draw.nms(count=0, threshold=0.5),
    ),
    stage(
        "boxes.batched_nms",
        draw.nms(count=40, threshold=0.5, groups=3),
        draw.nms(count=60, threshold=0.3, groups=3),
        draw.nms(count=20, threshold=0.5, groups=2, ties=True),
        draw.nms(count=0, threshold=0.5, groups=2),
    ),
    stage(
        "matching.match",
        case(share(4, 30), 0.3, 0.7),
        lambda rng: ((rng.random((4, 30)) ** 2, 0.5, 0.5), {"force": False}),
        lambda rng: ((rng.integers(1, 9, (5, 30)) / 10, 0.3, 0.7), {}),
        lambda rng: ((np.vstack([rng.random((2, 30)), np.zeros((1, 30))]), 0.3, 0.7), {}),
        case(np.zeros((0, 7)), 0.3, 0.7),
        case(np.zeros((3, 0)), 0.3, 0.7),
    ),
    stage(
        "matching.ignore_crowds",
        case(whole(-2, 3, 40), share(40, 2), 0.5),
        case(whole(-2, 3, 40), np.zeros((40, 0)), 0.5),
    ),
    stage(
        "matching.sample",
        lambda rng: ((rng.integers(-2, 3, 200), 64, 0.25), {"seed": int(rng.integers(99))}),
        case(np.full(20, -1), 64, 0.25, seed=1),
        case(np.zeros(0, np.int64), 64, 0.5, seed=1),
        through=seeded,
    ),
    stage(
        "rpn_flatten=proposals.rpn.flatten",
        draw.rpn_maps(images=2),
        draw.rpn_maps(images=1),
    ),
    stage(
        "proposals.rpn.rpn_targets",
        *(draw.rpn_targets(objects=n, crowds=c) for n, c in ((4, 0), (3, 2), (0, 0))),
        draw.rpn_targets(objects=3, crowds=1, drop_outside=True),
    ),
    stage(
        "proposals.rpn.rpn_losses",
        draw.rpn_losses(objects=(3, 2)),
        draw.rpn_losses(objects=(3,), weights=(2.0, 2.0, 1.0, 1.0)),
        draw.rpn_losses(objects=(3, 1), beta=0.5),
        draw.rpn_losses(objects=(0, 0)),
        through=coded,
        differentiable=(0, 1),
    ),
    stage(
        "proposals.rpn.proposals_of_image",
        draw.proposals(sizes=(60, 20), pre_nms=30, post_nms=25),
        draw.proposals(sizes=(60, 20), pre_nms=100, post_nms=10),
        draw.proposals(sizes=(40,), pre_nms=40, post_nms=40, score_threshold=0.5),
        draw.proposals(sizes=(0, 0), pre_nms=10, post_nms=10),
    ),
    stage(
        "roi.assign_levels",
        case(boxes(60, size=900)),
        case(boxes(60), lowest=3, highest=4, canonical_size=16, canonical_level=3),
        case(np.array([[0.0, 0, s, s] for s in (56, 112, 224, 448, 896)])),
        case(edge_boxes()),
        case(boxes(0)),
    ),
    stage(
        "heads.regions.roi_targets",
        *(case(boxes(60, size=40), draw.target(n, c)) for n, c in ((4, 0), (3, 2), (0, 0), (0, 1))),
        case(boxes(0), draw.target(2, 0), threshold=0.7),
    ),
    _own(
        "heads",
        box_losses,
        draw.box_losses(regions=12, positives=5),
        draw.box_losses(regions=12, positives=0),
        draw.box_losses(regions=4, positives=4, beta=0.5, weights=_ONES),
        draw.box_losses(regions=0, positives=0),
        differentiable=(0, 1),
    ),
    stage(
        "heads.box.detections_of_image",
        draw.detections(proposals=30),
        draw.detections(proposals=30, max_detections=7, score_threshold=0.2),
        draw.detections(proposals=20, nms_iou=0.3, weights=_ONES),
        draw.detections(proposals=5, score_threshold=1.0),
        draw.detections(proposals=0),
        through=coded,
    ),
    stage(
        "heads.mask.mask_loss",
        *(draw.mask_loss(positives=n) for n in (3, 1, 0)),
        differentiable=(0,),
    ),
    stage(
        "heads.mask.mask_probabilities",
        case(normal(5, 4, 6, 6, deviation=3), whole(1, 4, 5)),
        case(np.zeros((0, 4, 6, 6)), np.zeros(0, np.int64)),
    ),
    stage(
        "mask_crop=masks.crop",
        draw.crop(regions=6),
        draw.crop(regions=6, aligned=True),
        draw.crop(regions=0),
    ),
    stage(
        "masks.best_thresholds",
        case(share(4, 6, 6)),
        case(np.zeros((2, 3, 3))),
        case(np.zeros((0, 3, 3))),
    ),
    stage(
        "mask_paste=masks.paste",
        draw.paste(count=4),
        draw.paste(count=4, mode="legacy"),
        draw.paste(count=3, mode="legacy", threshold=0.3),
        draw.paste(count=0),
    ),
    stage("rle_encode=masks.rle.encode", *_masks(encoded=False)),
    stage("rle_decode=masks.rle.decode", *_masks(encoded=True)),
    stage("rle_area=masks.rle.area", *_masks(encoded=True)),
    stage(
        "masks.polygons.polygons_to_mask",
        why_not="pycocotools does the filling, here too: it would be compared with itself",
    ),
    stage(
        "transform.scaled_size",
        lambda rng: ((*map(int, rng.integers(20, 2000, 2)), 800, 1333), {}),
        case(480, 640, 800, 1333),
        case(100, 3000, 800, 1333),
    ),
    stage(
        "transform.normalise",
        case(draw.photograph(6, 9), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        single=True,
    ),
    stage(
        "transform.scale_boxes",
        case(boxes(9), (80, 100), (133, 201)),
        case(boxes(0), (80, 100), (133, 201)),
        single=True,  # its two ratios are float32, as in torchvision
    ),
    stage(
        "transform.scale_masks",
        case(chance(2, 11, 13), (23, 31)),
        case(chance(2, 11, 13), (5, 6)),
        case(np.zeros((0, 11, 13), bool), (5, 6)),
    ),
    stage("coco_box_iou=evaluation.average_precision.box_iou", *_REGIONS),
    stage("coco_mask_iou=evaluation.average_precision.mask_iou", *_REGIONS),
    stage("evaluation.average_precision.keypoint_similarity", *_REGIONS),
    _own(
        "evaluation",
        average_precision,
        *(
            draw.evaluation(kind=kind, images=images)
            for kind in ("bbox", "segm", "keypoints")
            for images in (1, 3, 4)
        ),
        draw.evaluation(kind="bbox", images=2, found=False),
    ),
)
