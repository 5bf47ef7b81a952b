"""torchvision's Mask R-CNN as an ONNX graph, for ONNX Runtime."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

NAMES = ("boxes", "labels", "scores", "masks")
#: Pixels that the graph scales further, which rounds away. It computes the scale in float32, and
#: where side · scale came out a hair below a whole number, it would lose a row of the image.
_HAIR = 1e-3
_OPSET = 16  # from which on RoiAlign knows both conventions


def export_onnx(reference: Any, path: Path, size: Sequence[int]) -> None:
    """Write a detection model of torchvision as a graph for one image.

    The graph's input is `image` (3, H, W) float32 in 0…1, of any size; its outputs are boxes, labels,
    scores and masks (D, 1, H, W) as probabilities, pasted into the image.

    Args:
        reference: the torch module, in evaluation mode, with its weights.
        path: where it goes; about as large as the weights.
        size: height and width of the image that it is traced with.
    """
    import torch

    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")  # the tracer's, about every size that it sees
        # Where operators are declared by us, the questions whether there are any have been
        # answered by lambdas, whose source torch's compiler cannot read.
        for name in ("extension", "ops.boxes", "ops.roi_align"):
            module = sys.modules[f"torchvision.{name}"]
            if hasattr(module, "_assert_has_ops"):
                stack.enter_context(mock.patch.object(module, "_assert_has_ops", _nothing))
        transform = reference.transform
        further = tuple(side + _HAIR for side in transform.min_size)
        stack.enter_context(mock.patch.object(transform, "min_size", further))
        stack.enter_context(mock.patch.object(transform, "max_size", transform.max_size + _HAIR))
        torch.onnx.export(
            reference,
            ([torch.rand(3, *size)],),
            str(path),
            opset_version=_OPSET,
            dynamo=False,
            input_names=["image"],
            output_names=list(NAMES),
            dynamic_axes={"image": [1, 2]},
        )


def _nothing() -> None:
    return None
