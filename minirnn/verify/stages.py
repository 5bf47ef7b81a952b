"""The stages that are verified: for each, how it is called and which inputs are drawn for it.

Each list of draws ends with edge cases: nothing at all, boxes without area, boxes outside the image,
equal scores, images without objects. Everything is in float64, so that errors are those of formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from minirnn.data.sample import Target
from minirnn.verify import stage_draws as draw
from minirnn.verify.subject import Draw, Subject


def _of(module: str, name: str) -> Callable[[], Callable]:
    """Looks a function up when it is wanted, not before."""
    return lambda: getattr(import_module(f"minirnn.{module}"), name)


def _stage(
    stage: str, name: str, module: str, function: str, *draws: Draw, single: bool = False
) -> Subject:
    return Subject(stage, name, _of(module, function), draws, single=single)


def _own(stage: str, function: Callable, *draws: Draw, differentiable: Any = ()) -> Subject:
    """A stage that is called through a function of this file, of its name."""
    return Subject(stage, function.__name__, lambda: function, draws, differentiable)


def pyramid_anchors(*inputs: Any, **settings: Any) -> list[np.ndarray]:
    """The stage in float64 (it makes float32 where nobody asks)."""
    from minirnn import anchors

    return anchors.pyramid_anchors(*inputs, dtype=np.float64, **settings)


def grid_anchors(
    base: np.ndarray, height: int, width: int, stride_y: float, stride_x: float, offset: float = 0
) -> np.ndarray:
    """The stage in float64."""
    from minirnn import anchors

    return anchors.grid_anchors(base, height, width, stride_y, stride_x, offset, dtype=np.float64)


def sample(matches: np.ndarray, count: int, fraction: float, *, seed: int) -> Any:
    """The stage with a generator of its own, so that the reference can have the same."""
    from minirnn import matching

    return matching.sample(matches, count, fraction, np.random.default_rng(seed))


def _with_coder(settings: dict[str, Any]) -> dict[str, Any]:
    """The weights of the box code, which references take, in the coder that our stages take."""
    from minirnn.boxes import BoxCoder

    settings = dict(settings)
    weights = settings.pop("weights", None)
    return settings if weights is None else settings | {"coder": BoxCoder(weights)}


def box_losses(
    logits: Any,
    deltas: Any,
    regions: np.ndarray,
    labels: np.ndarray,
    matched: np.ndarray,
    **settings: Any,
) -> Any:
    """The stage for one image whose region i is to find the box matched[i]; positives come first."""
    from minirnn.heads import box
    from minirnn.heads.regions import SampledRois

    count = len(labels)
    objects = Target(matched, np.maximum(labels, 1), None, np.zeros(count, bool))
    rois = SampledRois(regions, labels, np.arange(count), int((labels > 0).sum()))
    return box.box_losses(logits, deltas, [rois], [objects], **_with_coder(settings))


def rpn_losses(
    logits: Any,
    deltas: Any,
    anchors: np.ndarray,
    targets: Any,
    matches: Any,
    sampled: Any,
    **settings: Any,
) -> Any:
    """The stage; Tensors first."""
    from minirnn.proposals import rpn

    settings = _with_coder(settings)
    return rpn.rpn_losses(logits, deltas, anchors, targets, matches, sampled, **settings)


def mask_loss(logits: Any, masks: np.ndarray, labels: np.ndarray) -> Any:
    """The stage; Tensors first."""
    from minirnn.heads import mask

    return mask.mask_loss(logits, masks, labels)


def detections_of_image(*inputs: Any, **settings: Any) -> Any:
    """The stage with its three results as a tuple."""
    from minirnn.heads import box

    found = box.detections_of_image(*inputs, **_with_coder(settings))
    return found.boxes, found.labels, found.scores


def average_precision(truth: Any, results: Any, kind: str) -> np.ndarray:
    """Every number of one kind of evaluation in order; -1 where there is nothing to find."""
    from minirnn.evaluation import average_precision as evaluation

    numbers = evaluation.evaluate_results(truth, results, [kind])[kind]
    return np.array([-1.0 if value is None else value for value in numbers.values()])


_RATIOS = (0.5, 1.0, 2.0)


def _anchors(**settings: Any) -> Draw:
    return lambda rng: (
        ((96, 128), [(24, 32), (12, 16), (6, 8)], ((8,), (16,), (32,)), _RATIOS),
        settings,
    )


STAGES: tuple[Subject, ...] = (
    _stage(
        *("anchors", "base_anchors", "anchors", "base_anchors"),
        lambda rng: ((float(rng.uniform(8, 512)), _RATIOS), {}),
        lambda rng: ((32.0, _RATIOS), {"rounded": True}),
        lambda rng: (([16.0, 40.3], (0.3, 1.0, 3.7)), {}),
    ),
    _own(
        "anchors",
        grid_anchors,
        lambda rng: ((draw.boxes(rng, 3), 5, 7, 16, 8), {}),
        lambda rng: ((draw.boxes(rng, 2), 4, 3, 8, 8, 0.5), {}),
        lambda rng: ((draw.boxes(rng, 3), 0, 7, 16, 16), {}),
    ),
    _own(
        "anchors",
        pyramid_anchors,
        _anchors(),
        _anchors(rounded=True, integer_strides=True),
        _anchors(offset=0.5),
        lambda rng: (((65, 97), [(17, 25), (9, 13)], ((8,), (16, 20)), _RATIOS), {}),
    ),
    _stage(
        *("anchors", "inside_image", "anchors", "inside_image"),
        lambda rng: ((draw.boxes(rng, 30), 80, 100), {}),
        lambda rng: ((draw.boxes(rng, 30), 80, 100, 10.0), {}),
        lambda rng: ((draw.boxes(rng, 0), 80, 100), {}),
    ),
    *(
        _stage(
            *("boxes", name, "boxes", function),
            lambda rng, n=n: ((draw.boxes(rng, 12), draw.boxes(rng, n)), {}),  # type: ignore[misc]
            lambda rng: ((draw.boxes(rng, 0), draw.boxes(rng, 4)), {}),
            lambda rng: ((draw.edge_boxes(), draw.edge_boxes()), {}),
        )
        for name, function, n in (
            ("box_intersection", "intersection", 9),
            ("box_iou", "iou", 9),
            ("crowd_iou", "crowd_iou", 5),
        )
    ),
    *(
        _stage(
            *("boxes", name, "boxes", function),
            lambda rng, more=more: ((draw.boxes(rng, 20), *more), {}),  # type: ignore[misc]
            lambda rng, more=more: ((draw.edge_boxes(), *more), {}),  # type: ignore[misc]
            lambda rng, more=more: ((draw.boxes(rng, 0), *more), {}),  # type: ignore[misc]
        )
        for name, function, more in (
            ("box_area", "area", ()),
            ("box_clip", "clip", (80, 100)),
            ("large_enough", "large_enough", (4.0,)),
            ("from_xywh", "from_xywh", ()),
            ("to_xywh", "to_xywh", ()),
        )
    ),
    _stage(
        *("boxes", "box_encode", "boxes", "encode"),
        lambda rng: ((draw.boxes(rng, 20), draw.boxes(rng, 20)), {}),
        lambda rng: ((draw.boxes(rng, 20), draw.boxes(rng, 20), (10.0, 10.0, 5.0, 5.0)), {}),
        lambda rng: ((draw.boxes(rng, 0), draw.boxes(rng, 0)), {}),
    ),
    _stage(
        *("boxes", "box_decode", "boxes", "decode"),
        lambda rng: ((draw.boxes(rng, 20), rng.normal(0, 1, (20, 4))), {}),
        lambda rng: (
            (draw.boxes(rng, 20), rng.normal(0, 30, (20, 4)), (10.0, 10.0, 5.0, 5.0)),
            {},
        ),
        lambda rng: ((draw.boxes(rng, 20), rng.normal(0, 5, (20, 8))), {}),
        lambda rng: ((draw.boxes(rng, 0), np.zeros((0, 4))), {}),
    ),
    _stage(
        *("boxes", "nms", "boxes", "nms"),
        *(partial(draw.nms, count=n, threshold=t) for n, t in ((40, 0.5), (60, 0.3), (25, 0.7))),
        partial(draw.nms, count=20, threshold=0.5, ties=True),
        partial(draw.nms, count=1, threshold=0.5),
        partial(draw.nms, count=0, threshold=0.5),
    ),
    _stage(
        *("boxes", "batched_nms", "boxes", "batched_nms"),
        *(partial(draw.nms, count=n, threshold=t, groups=3) for n, t in ((40, 0.5), (60, 0.3))),
        partial(draw.nms, count=20, threshold=0.5, groups=2, ties=True),
        partial(draw.nms, count=0, threshold=0.5, groups=2),
    ),
    _stage(
        *("matching", "match", "matching", "match"),
        lambda rng: ((rng.random((4, 30)), 0.3, 0.7), {}),
        lambda rng: ((rng.random((4, 30)) ** 2, 0.5, 0.5), {"force": False}),
        lambda rng: ((rng.integers(1, 9, (5, 30)) / 10, 0.3, 0.7), {}),
        lambda rng: ((np.vstack([rng.random((2, 30)), np.zeros((1, 30))]), 0.3, 0.7), {}),
        lambda rng: ((np.zeros((0, 7)), 0.3, 0.7), {}),
        lambda rng: ((np.zeros((3, 0)), 0.3, 0.7), {}),
    ),
    _stage(
        *("matching", "ignore_crowds", "matching", "ignore_crowds"),
        lambda rng: ((rng.integers(-2, 3, 40), rng.random((40, 2)), 0.5), {}),
        lambda rng: ((rng.integers(-2, 3, 40), np.zeros((40, 0)), 0.5), {}),
    ),
    _own(
        "matching",
        sample,
        lambda rng: ((rng.integers(-2, 3, 200), 64, 0.25), {"seed": int(rng.integers(99))}),
        lambda rng: ((np.full(20, -1), 64, 0.25), {"seed": 1}),
        lambda rng: ((np.zeros(0, np.int64), 64, 0.5), {"seed": 1}),
    ),
    _stage(
        *("rpn", "rpn_flatten", "proposals.rpn", "flatten"),
        partial(draw.rpn_maps, images=2),
        partial(draw.rpn_maps, images=1),
    ),
    _stage(
        *("rpn", "rpn_targets", "proposals.rpn", "rpn_targets"),
        *(partial(draw.rpn_targets, objects=n, crowds=c) for n, c in ((4, 0), (3, 2), (0, 0))),
        partial(draw.rpn_targets, objects=3, crowds=1, drop_outside=True),
    ),
    _own(
        "rpn",
        rpn_losses,
        partial(draw.rpn_losses, objects=(3, 2)),
        partial(draw.rpn_losses, objects=(3,), weights=(2.0, 2.0, 1.0, 1.0)),
        partial(draw.rpn_losses, objects=(3, 1), beta=0.5),
        partial(draw.rpn_losses, objects=(0, 0)),
        differentiable=(0, 1),
    ),
    _stage(
        *("rpn", "proposals_of_image", "proposals.rpn", "proposals_of_image"),
        partial(draw.proposals, sizes=(60, 20), pre_nms=30, post_nms=25),
        partial(draw.proposals, sizes=(60, 20), pre_nms=100, post_nms=10),
        partial(draw.proposals, sizes=(40,), pre_nms=40, post_nms=40, score_threshold=0.5),
        partial(draw.proposals, sizes=(0, 0), pre_nms=10, post_nms=10),
    ),
    _stage(
        *("roi", "assign_levels", "roi", "assign_levels"),
        lambda rng: ((draw.boxes(rng, 60, size=900),), {}),
        lambda rng: (
            (draw.boxes(rng, 60),),
            {"lowest": 3, "highest": 4, "canonical_size": 16, "canonical_level": 3},
        ),
        lambda rng: ((np.array([[0.0, 0, s, s] for s in (56, 112, 224, 448, 896)]),), {}),
        lambda rng: ((draw.edge_boxes(),), {}),
        lambda rng: ((draw.boxes(rng, 0),), {}),
    ),
    _stage(
        *("heads", "roi_targets", "heads.regions", "roi_targets"),
        *(
            lambda rng, n=n, c=c: (
                (draw.boxes(rng, 60, size=40), draw.target(rng, n, c)),
                {},
            )
            for n, c in ((4, 0), (3, 2), (0, 0), (0, 1))
        ),
        lambda rng: ((draw.boxes(rng, 0), draw.target(rng, 2, 0)), {"threshold": 0.7}),
    ),
    _own(
        "heads",
        box_losses,
        partial(draw.box_losses, regions=12, positives=5),
        partial(draw.box_losses, regions=12, positives=0),
        partial(draw.box_losses, regions=4, positives=4, beta=0.5, weights=(1.0, 1.0, 1.0, 1.0)),
        partial(draw.box_losses, regions=0, positives=0),
        differentiable=(0, 1),
    ),
    _own(
        "heads",
        detections_of_image,
        partial(draw.detections, proposals=30),
        partial(draw.detections, proposals=30, max_detections=7, score_threshold=0.2),
        partial(draw.detections, proposals=20, nms_iou=0.3, weights=(1.0, 1.0, 1.0, 1.0)),
        partial(draw.detections, proposals=5, score_threshold=1.0),
        partial(draw.detections, proposals=0),
    ),
    _own(
        "heads",
        mask_loss,
        *(partial(draw.mask_loss, positives=n) for n in (3, 1, 0)),
        differentiable=(0,),
    ),
    _stage(
        *("heads", "mask_probabilities", "heads.mask", "mask_probabilities"),
        lambda rng: ((rng.normal(0, 3, (5, 4, 6, 6)), rng.integers(1, 4, 5)), {}),
        lambda rng: ((np.zeros((0, 4, 6, 6)), np.zeros(0, np.int64)), {}),
    ),
    _stage(
        *("masks", "mask_crop", "masks", "crop"),
        partial(draw.crop, regions=6),
        partial(draw.crop, regions=6, aligned=True),
        partial(draw.crop, regions=0),
    ),
    _stage(
        *("masks", "mask_paste", "masks", "paste"),
        partial(draw.paste, count=4),
        partial(draw.paste, count=4, mode="legacy"),
        partial(draw.paste, count=3, mode="legacy", threshold=0.3),
        partial(draw.paste, count=0),
    ),
    *(
        _stage(
            *("masks", name, "masks.rle", function),
            *(
                partial(draw.rle, encoded=function != "encode", density=density)
                for density in (0.5, 0.05, 0.0, 1.0, None)
            ),
            partial(draw.rle, encoded=function != "encode", density=0.5, size=(0, 3)),
        )
        for name, function in (
            ("rle_encode", "encode"),
            ("rle_decode", "decode"),
            ("rle_area", "area"),
        )
    ),
    Subject(
        *("masks", "polygons_to_mask", _of("masks.polygons", "polygons_to_mask"), ()),
        why_not="pycocotools does the filling, here too: it would be compared with itself",
    ),
    _stage(
        *("transform", "scaled_size", "transform", "scaled_size"),
        lambda rng: ((*map(int, rng.integers(20, 2000, 2)), 800, 1333), {}),
        lambda rng: ((480, 640, 800, 1333), {}),
        lambda rng: ((100, 3000, 800, 1333), {}),
    ),
    _stage(
        *("transform", "normalise", "transform", "normalise"),
        lambda rng: (
            (
                rng.integers(0, 256, (6, 9, 3)).astype(np.uint8),
                (0.485, 0.456, 0.406),
                (0.229, 0.224, 0.225),
            ),
            {},
        ),
        single=True,
    ),
    _stage(
        *("transform", "scale_boxes", "transform", "scale_boxes"),
        lambda rng: ((draw.boxes(rng, 9), (80, 100), (133, 201)), {}),
        lambda rng: ((draw.boxes(rng, 0), (80, 100), (133, 201)), {}),
        single=True,  # the two ratios, as in torchvision
    ),
    _stage(
        *("transform", "scale_masks", "transform", "scale_masks"),
        lambda rng: ((rng.random((2, 11, 13)) < 0.5, (23, 31)), {}),
        lambda rng: ((rng.random((2, 11, 13)) < 0.5, (5, 6)), {}),
        lambda rng: ((np.zeros((0, 11, 13), bool), (5, 6)), {}),
    ),
    *(
        _stage(
            *("evaluation", name, "evaluation.average_precision", name_there),
            *(partial(draw.regions, detections=d, truths=t) for d, t in ((8, 6), (1, 1), (0, 3))),
        )
        for name, name_there in (
            ("coco_box_iou", "box_iou"),
            ("coco_mask_iou", "mask_iou"),
            ("keypoint_similarity", "keypoint_similarity"),
        )
    ),
    _own(
        "evaluation",
        average_precision,
        *(
            partial(draw.evaluation, kind=kind, images=images)
            for kind in ("bbox", "segm", "keypoints")
            for images in (1, 3, 4)
        ),
        partial(draw.evaluation, kind="bbox", images=2, found=False),
    ),
)
