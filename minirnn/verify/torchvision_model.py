"""The same Mask or Keypoint R-CNN R-50-FPN twice, in torchvision and here, with the same random weights.

The weights that a network starts with would test little: every probability would be near 1/91, no
region would be certain enough to be a detection, and the maps would grow from stage to stage. So the
weights are drawn such that the maps stay near 1 everywhere, normalisation does something, and dozens
of detections of many classes come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minirnn.models import RCNN, build_model
from minirnn.verify.torchvision_cpu import import_torchvision

#: What torchvision adds to the variance: its layer's own default, not the 0 of its COCO weights.
NORM_EPS = 1e-5


def build_pair(
    seed: int,
    *,
    min_size: int = 800,
    max_size: int | None = None,
    roi_samples: int = 512,
    keypoints: bool = False,
) -> tuple[Any, RCNN]:
    """torchvision's Mask R-CNN R-50-FPN with 91 classes, and ours with the same weights.

    Normalisation is frozen and everything else is trained, in both.

    Args:
        seed: of the weights.
        min_size: shorter side that images are scaled to.
        max_size: limit of the longer side; None for 5/3 of the shorter, as in 800 and 1333.
        roi_samples: regions per image that the heads are trained on.
        keypoints: Keypoint R-CNN of people (2 classes, 17 keypoints), not Mask R-CNN.

    Returns:
        The torch module, in evaluation mode, and the model.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    if max_size is None:
        max_size = min_size * 5 // 3
    make = torchvision_keypoint_rcnn if keypoints else torchvision_mask_rcnn
    reference = make(min_size=min_size, max_size=max_size, box_batch_size_per_image=roi_samples)
    load_weights(reference, draw_weights(shapes_of(reference), seed))
    model = build_model(
        "keypointrcnn_resnet50_fpn" if keypoints else "maskrcnn_resnet50_fpn",
        norm_eps=NORM_EPS,
        min_size=(min_size,),
        max_size=max_size,
        roi_samples=roi_samples,
    )
    copy_weights(reference, model)
    return reference, model


def torchvision_mask_rcnn(**settings: Any) -> Any:
    """torchvision's Mask R-CNN with frozen normalisation and nothing else frozen.

    Args:
        **settings: of torchvision's `MaskRCNN`.
    """
    return _resnet50_fpn("MaskRCNN", num_classes=91, **settings)


def torchvision_keypoint_rcnn(**settings: Any) -> Any:
    """torchvision's Keypoint R-CNN of people likewise; settings of its `KeypointRCNN`."""
    return _resnet50_fpn("KeypointRCNN", num_classes=2, **settings)


def _resnet50_fpn(kind: str, **settings: Any) -> Any:
    """A detector of torchvision's over ResNet-50 with FPN.

    `maskrcnn_resnet50_fpn` of torchvision freezes the normalisation only where it also loads
    weights, so it is put together here from the same parts.
    """
    torchvision = import_torchvision()
    import torch
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor

    # The first weights are thrown away: they should not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        body = torchvision.models.resnet50(
            weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d
        )
        backbone = _resnet_fpn_extractor(body, 5)
        network = getattr(torchvision.models.detection, kind)(backbone, **settings)
    return network.eval()


def shapes_of(reference: Any) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter and buffer of a torch module, by name."""
    return {name: tuple(tensor.shape) for name, tensor in reference.state_dict().items()}


def draw_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Weights for the given names and shapes, drawn by NumPy: the same with every version of torch.

    Args:
        shapes: under torchvision's names.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        drawn: np.ndarray
        if name.endswith("running_var"):
            drawn = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            fan_in = math.prod(shape[1:])
            deviation = _gain(name) / math.sqrt(fan_in)
            drawn = rng.standard_normal(shape, np.float32) * np.float32(deviation)
            # Blind to what all inputs have in common (after a ReLU that is much), so that places and
            # regions differ in their answers, and not all are of the same class.
            drawn -= drawn.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        elif ".bn" in name or ".downsample.1." in name:
            if name.endswith("weight"):
                # The last factor of a block: what it adds stays smaller than what it adds to.
                low, high = (0.1, 0.5) if ".bn3." in name else (0.5, 1.5)
                drawn = rng.uniform(low, high, shape)
            else:  # bias and running_mean
                drawn = rng.normal(0, 0.1, shape)
        elif name == "rpn.head.cls_logits.bias":
            # Around -2 float32 tells the probabilities of two regions apart as well as their logits.
            drawn = rng.normal(-2, 0.2, shape)
        elif name.endswith("mask_fcn_logits.bias"):
            drawn = rng.normal(1, 0.2, shape)  # masks that fill most of their boxes
        else:
            drawn = rng.normal(0, 0.2, shape)
        weights[name] = np.asarray(drawn, np.float32)
    return weights


#: Factors of the standard deviation of layers that no ReLU follows, by the end of their path.
_GAINS = {
    "fpn.inner_blocks.0.0": 0.5,
    "fpn.inner_blocks.1.0": 0.5,
    "fpn.inner_blocks.2.0": 0.5,
    "fpn.inner_blocks.3.0": 0.5,
    "rpn.head.cls_logits": 1.0,
    "rpn.head.bbox_pred": 0.3,  # boxes move by a part of their size
    "box_predictor.cls_score": 4.0,  # spreads the logits: some classes win clearly
    "box_predictor.bbox_pred": 1.0,
    "mask_predictor.mask_fcn_logits": 5.0,
}


def _gain(name: str) -> float:
    """The factor that keeps a signal's size: √2 where a ReLU takes half of it, 1 where none does."""
    path = name.removesuffix(".weight")
    for end, gain in _GAINS.items():
        if path.endswith(end):
            return gain
    return 1.0 if ".fpn." in path else math.sqrt(2)


def load_weights(reference: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Put arrays into a torch module, name by name."""
    import torch

    reference.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def copy_weights(reference: Any, model: RCNN) -> None:
    """Put the weights of torchvision's network into ours.

    Raises:
        InputError: names or shapes differ; lists them.
    """
    state = reference.state_dict().items()
    model.load_state_dict(
        {n: t.detach().cpu().numpy() for n, t in state if not n.endswith("num_batches_tracked")}
    )
