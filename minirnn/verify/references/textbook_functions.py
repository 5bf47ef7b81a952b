"""The textbook's functions by the names that `verify` has for the library's.

Most are called as they are. The few functions here put the textbook's own operation in place of the
library's, make a generator of a seed, or call in steps what changes its arguments in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from minirnn.data.sample import Target
from minirnn.textbook import heads, keypoints, levels, matching, training
from minirnn.verify import training_stages
from minirnn.verify.stages import seeded

#: Those of a textbook module that are called as in the library.
_SAME = {
    "arithmetic": "add subtract multiply divide negative power exp log sqrt absolute maximum minimum "
    "clip where matmul",
    "shape": "reshape flatten transpose take concatenate stack pad broadcast_to",
    "reduction": "sum mean max",
    "activation": "relu relu6 sigmoid tanh softmax log_softmax",
    "pooling": "max_pool2d avg_pool2d global_avg_pool2d",
    "resize": "nearest bilinear",
    "normalisation": "group_norm batch_norm frozen_batch_norm layer_norm",
    "losses": "cross_entropy binary_cross_entropy_with_logits smooth_l1",
    "convolution": "conv2d conv_transpose2d linear",
    "roi_pool": "roi_pool",
    "roi_warp": "roi_warp",
    "roi_align": "roi_align",
    "anchors": "base_anchors grid_anchors pyramid_anchors inside_image",
    "boxes": "box_area=area box_intersection=intersection box_iou=iou crowd_iou box_encode=encode "
    "box_decode=decode box_clip=clip large_enough nms batched_nms from_xywh to_xywh",
    "matching": "match ignore_crowds",
    "rpn": "rpn_flatten=flatten rpn_targets rpn_losses proposals_of_image",
    "levels": "assign_levels",
    "heads": "roi_targets detections_of_image mask_loss mask_probabilities",
    "masks": "mask_crop=crop best_thresholds mask_paste=paste "
    "rle_encode=encode rle_decode=decode rle_area=area",
    "transform": "scaled_size normalise scale_boxes scale_masks scale_keypoints",
    "keypoints": "keypoint_cells keypoints_of_maps bicubic keypoint_similarity",
}


def _pyramid_roi(*inputs: Any, operation: Callable, **settings: Any) -> np.ndarray:
    name = operation.__name__
    loops = getattr(import_module(f"minirnn.textbook.{name}"), name)
    return levels.pyramid_roi(*inputs, operation=loops, **settings)


def _box_losses(
    logits: Any, deltas: Any, regions: Any, labels: Any, matched: Any, **settings: Any
) -> Any:
    """One image, whose region i is to find the box matched[i]."""
    count = len(labels)
    rois = SimpleNamespace(
        boxes=regions, labels=labels, matched=np.arange(count), positives=int((labels > 0).sum())
    )
    target = Target(matched, labels, None, np.zeros(count, bool))
    return heads.box_losses(logits, deltas, [rois], [target], **settings)


def _keypoint_loss(logits: Any, points: Any, boxes: Any) -> float:
    return keypoints.keypoint_loss(logits, keypoints.keypoint_cells(points, boxes, logits.shape[2]))


FUNCTIONS: dict[str, Callable] = {
    name.partition("=")[0]: getattr(
        import_module(f"minirnn.textbook.{module}"), name.rpartition("=")[2]
    )
    for module, names in _SAME.items()
    for name in names.split()
} | {
    "pyramid_roi": _pyramid_roi,
    "sample": seeded(matching.sample),
    "box_losses": _box_losses,
    "keypoint_loss": _keypoint_loss,
    "adamw_steps": partial(training_stages.take_adamw_steps, training.adamw_step),
    "sgd_steps": partial(training_stages.take_steps, training.sgd_step),
    "clipped_gradients": partial(training_stages.clip_with, training.clip_gradients),
    "learning_rates": partial(training_stages.learning_rates, training.learning_rate),
}
