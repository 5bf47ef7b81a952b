"""Cases of suppression, of anchors with their matching, and of masks: pasting and run lengths."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minirnn import boxes as box_ops
from minirnn import masks as mask_ops
from minirnn import matching
from minirnn.anchors import pyramid_anchors
from minirnn.bench.case import Case, share_that_differs
from minirnn.bench.draws import boxes_in, crowds, scores
from minirnn.bench.peers import PYCOCOTOOLS, TORCHVISION, Peers
from minirnn.bench.place import HERE, Place
from minirnn.masks import rle
from minirnn.verify.drawing import Rng, case

_THRESHOLD = 0.7  # of NMS
_SETS = 32  # of boxes: with only four, ONNX Runtime still takes less time than with many
_SIZES = ((32,), (64,), (128,), (256,), (512,))
_RATIOS = (0.5, 1.0, 2.0)
_PHOTOGRAPH = (427, 640)


def nms_cases(size: tuple[int, int], peers: Peers, rng: Rng, place: Place = HERE) -> Iterator[Case]:
    """Suppression among 1,000 to 5,000 boxes in heaps of twenty that overlap, as proposals do.

    Each call is given other boxes. A processor learns which way a loop's branches go: given the same
    1,000 again and again, ONNX Runtime takes a third of the time, which no new image would see.
    """
    for count in (1000, 2000, 5000):
        call = case(crowds(count, size), scores(count), _THRESHOLD)
        sets = [call(rng)[0] for _ in range(_SETS)]
        asked = [peers.asked("nms", inputs, {}) for inputs in sets]
        not_peers, note = peers.stand_in("nms")
        yield Case(
            f"nms {count}",
            "nms",
            _in_turn([partial(box_ops.nms, *place.arrays(inputs)) for inputs in sets]),
            {name: _in_turn([each[name] for each in asked]) for name in asked[0]},
            tolerance=0.0,
            not_peers=not_peers,
            note=note,
            compare=share_that_differs,
        )


def _in_turn(functions: list[Callable[[], Any]]) -> Callable[[], Any]:
    """A function that calls the first of them, then the second, and after the last the first again."""
    turns = itertools.cycle(functions)
    return lambda: next(turns)()


def anchor_cases(
    size: tuple[int, int], peers: Peers, rng: Rng, place: Place = HERE
) -> Iterator[Case]:
    """All anchors of an image, and which of 20 objects each stands on."""
    height, width = size
    maps = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32, 64)]
    drawn, xp = boxes_in(20, size, 32, 512)(rng), place.xp
    objects, how = place.arrays(drawn), {"rounded": True, "integer_strides": True, "xp": xp}

    def ours() -> Any:
        levels = pyramid_anchors(size, maps, _SIZES, _RATIOS, **how)
        return matching.match(box_ops.iou(objects, xp.concatenate(levels)), 0.3, 0.7, force=True)

    theirs: dict[str, Callable[[], Any]] = {}
    if TORCHVISION in peers.there:
        import torch
        import torchvision
        from torchvision.models.detection._utils import Matcher
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.image_list import ImageList

        generator = AnchorGenerator(_SIZES, (_RATIOS,) * 5)
        device = place.torch
        images = ImageList(torch.zeros(1, 3, *size, device=device), [size])
        features = [torch.zeros(1, 1, *shape, device=device) for shape in maps]
        truth = torch.from_numpy(drawn).to(device)
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


def _call(rng: Rng) -> Any:
    """100 masks, and the boxes that they are pasted into."""
    boxes = boxes_in(100, _PHOTOGRAPH, 20, 400)(rng)
    cells = rng.uniform(0, 1, (100, 8, 8)).astype(np.float32)
    grown = np.kron(cells, np.ones((1, 4, 4), np.float32))[:, :28, :28]
    return (np.ascontiguousarray(grown * 0.98 + 0.01), boxes, *_PHOTOGRAPH), {"mode": "legacy"}


def paste_cases(peers: Peers, rng: Rng, place: Place = HERE) -> Iterator[Case]:
    """100 masks pasted into an image of 427×640."""
    inputs, settings = _call(rng)
    yield Case(
        "paste 100 masks in 427x640",
        "paste",
        partial(mask_ops.paste, *place.arrays(inputs), **settings),
        peers.asked("mask_paste", inputs, settings),
        tolerance=1e-4,  # a pixel whose probability is 0.5 to within rounding
        compare=share_that_differs,
    )


def rle_cases(peers: Peers, rng: Rng) -> Iterator[Case]:
    """The run lengths of such masks."""
    inputs, settings = _call(rng)
    masks = mask_ops.paste(*inputs, **settings)
    theirs: dict[str, Callable[[], Any]] = {}
    if PYCOCOTOOLS in peers.there:
        from pycocotools import mask as coco

        theirs["pycocotools"] = lambda: coco.encode(
            np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
        )
    yield Case(
        "rle of 100 masks 427x640",
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
