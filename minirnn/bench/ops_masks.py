"""Cases of anchors with their matching, and of masks: pasting and run lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minirnn import boxes as box_ops
from minirnn import masks as mask_ops
from minirnn import matching
from minirnn.anchors import pyramid_anchors
from minirnn.bench.case import Case, drawn_boxes, share_that_differs
from minirnn.bench.peers import PYCOCOTOOLS, TORCHVISION, Peer
from minirnn.masks import rle

_SIZES = ((32,), (64,), (128,), (256,), (512,))
_RATIOS = (0.5, 1.0, 2.0)


def anchor_cases(
    size: tuple[int, int], peers: list[Peer], rng: np.random.Generator
) -> Iterator[Case]:
    """All anchors of an image, and which of 20 objects each stands on."""
    height, width = size
    maps = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32, 64)]
    objects = drawn_boxes(rng, 20, size, 32, 512)

    def ours() -> np.ndarray:
        levels = pyramid_anchors(size, maps, _SIZES, _RATIOS, rounded=True, integer_strides=True)
        return matching.match(box_ops.iou(objects, np.concatenate(levels)), 0.3, 0.7, force=True)

    theirs: dict[str, Callable[[], Any]] = {}
    if TORCHVISION in peers:
        import torch
        import torchvision
        from torchvision.models.detection._utils import Matcher
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.image_list import ImageList

        generator = AnchorGenerator(_SIZES, (_RATIOS,) * 5)
        images = ImageList(torch.zeros(1, 3, *size), [size])
        features = [torch.zeros(1, 1, *shape) for shape in maps]
        truth = torch.from_numpy(objects)
        matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)

        def run() -> Any:
            (anchors,) = generator(images, features)
            return matcher(torchvision.ops.box_iou(truth, anchors))

        theirs["torchvision"] = run
    yield Case(
        f"anchors {sum(3 * h * w for h, w in maps)} matched with 20",
        "anchors",
        ours,
        theirs,
        tolerance=1e-4,  # an IoU may round to the other side of a threshold
        compare=share_that_differs,
    )


def mask_cases(peers: list[Peer], rng: np.random.Generator) -> Iterator[Case]:
    """100 masks pasted into an image of 427×640, and their run lengths."""
    count, size = 100, (427, 640)
    boxes = drawn_boxes(rng, count, size, 20, 400)
    cells = rng.uniform(0, 1, (count, 8, 8)).astype(np.float32)
    grown = np.kron(cells, np.ones((1, 4, 4), np.float32))[:, :28, :28]
    probabilities = np.ascontiguousarray(grown * 0.98 + 0.01)

    def ours() -> np.ndarray:
        return mask_ops.paste(probabilities, boxes, *size, mode="legacy")

    theirs: dict[str, Callable[[], Any]] = {}
    if TORCHVISION in peers:
        import torch
        from torchvision.models.detection.roi_heads import paste_masks_in_image

        small, places = torch.from_numpy(probabilities)[:, None], torch.from_numpy(boxes)
        theirs["torchvision"] = lambda: paste_masks_in_image(small, places, size)[:, 0] > 0.5
    yield Case(
        *(f"paste {count} masks in 427x640", "paste", ours, theirs),
        tolerance=1e-4,  # a pixel whose probability is 0.5 to within rounding
        compare=share_that_differs,
    )

    masks = ours()
    theirs = {}
    if PYCOCOTOOLS in peers:
        from pycocotools import mask as coco

        theirs["pycocotools"] = lambda: coco.encode(
            np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
        )
    yield Case(
        f"rle of {count} masks 427x640",
        "rle",
        lambda: rle.encode_many(masks),
        theirs,
        tolerance=0.0,
        note="from the same (D, H, W) bool array; what each side does to bring it into its own "
        "order is part of its time",
        compare=lambda a, b: share_that_differs(_texts(a), _texts(b)),
    )


def _texts(codes: Any) -> np.ndarray:
    counts = [code["counts"] for code in codes]
    return np.array([c.decode("ascii") if isinstance(c, bytes) else c for c in counts])
