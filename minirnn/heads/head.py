"""What every head has in common, so that the detector need not know which ones it has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirnn.backend import Array, to_host, xp_of
from minirnn.heads.regions import SampledRois
from minirnn.nn import Module
from minirnn.ops.losses import LossTerm
from minirnn.structures import Detections, Target
from minirnn.transform import Batch, scale_boxes


@dataclass
class Found:
    """What the heads have found in one image so far: D detections, in pixels of the scaled image.

    Attributes:
        boxes: (D, 4).
        labels: (D,), 1…K.
        scores: (D,), by falling score.
        masks: (D, M, M) probabilities inside each box; None where there is no mask head. After
            `finish` (D, H, W) bool in the image.
        keypoints: (D, P, 3), x, y in pixels of the image as it was given, and score; None where there
            is no keypoint head.
    """

    boxes: Array
    labels: Array
    scores: Array
    masks: Array | None = None
    keypoints: Array | None = None

    @classmethod
    def proposed(cls, boxes: Array) -> Found:
        """Proposals, before any head has looked at them: labels and scores are 0 as yet."""
        xp = xp_of(boxes)
        nothing = xp.zeros(len(boxes), xp.intp)
        return cls(boxes, nothing, nothing.astype(boxes.dtype))


#: Maps by name and boxes (R_i, 4) of each image → features of the regions.
Pooler = Callable[[Mapping[str, Any], Sequence[Array]], Any]


def of_each_image(rows: Array, boxes: Sequence[Array]) -> list[Array]:
    """Rows for the boxes (R_i, 4) of all images, one after the other → the rows of each image."""
    ends = list(itertools.accumulate(len(each) for each in boxes))
    return [rows[end - len(each) : end] for each, end in zip(boxes, ends, strict=True)]


class Head(Module):
    """A head: its network, what it learns, and how its output is read.

    The first head (the box head) turns proposals into detections; each further one adds to them.

    Attributes:
        pooler: reads its regions' features.
        finds: what it says of a detection: "boxes", "masks", "keypoints", or a word of your own.
    """

    pooler: Pooler
    finds: str

    def check(self, target: Target) -> None:
        """Refuse a target that this head cannot learn from.

        Raises:
            InputError: names the image.
        """

    def losses(
        self, features: dict[str, Any], regions: Sequence[SampledRois], truth: Sequence[Target]
    ) -> dict[str, LossTerm]:
        """What training minimises, by name.

        Args:
            features: maps (N, C, H, W) by name.
            regions: what was sampled in each image.
            truth: ground truth of each image, in the network's pixels.
        """
        raise NotImplementedError

    def predict(
        self, features: dict[str, Any], found: list[Found], batch: Batch, **options: Any
    ) -> list[Found]:
        """What this head makes of each image's detections, in the network's pixels.

        Args:
            features: maps (N, C, H, W) by name.
            found: of each image what the heads before have found; at first, its proposals.
            batch: the images.
            **options: what the caller of `predict` asks for, as `score_threshold`.
        """
        raise NotImplementedError

    def finish(self, found: Found, size: tuple[int, int]) -> None:
        """What is left to do once boxes are in pixels of the image as given, `size` (height, width)."""


class RoIHeads(Module):
    """The heads in their order. Their parts bear torchvision's names, `roi_heads.box_head.…`.

    Attributes:
        res5: the trunk that they share, see `minirnn.heads.trunk`; None where they have none.
    """

    res5: Module | None = None

    def __init__(self, heads: Sequence[Head]) -> None:
        self.heads = tuple(heads)
        for head in heads:
            for name, part in vars(head).items():
                if isinstance(part, Module):
                    setattr(self, name, part)

    def __iter__(self) -> Iterator[Head]:
        return iter(self.heads)

    def finish(self, found: Found, size: tuple[int, int], original: tuple[int, int]) -> Detections:
        """Back from the network's pixels to the image as it was given, on the host.

        Args:
            found: of one image.
            size: (height, width) as the network saw it.
            original: (height, width) as it was given.
        """
        found.boxes = scale_boxes(found.boxes, size, original)
        for head in self.heads:
            head.finish(found, original)
        return Detections(
            to_host(found.boxes),
            to_host(found.labels),
            to_host(found.scores),
            None if found.masks is None else to_host(found.masks),
            None if found.keypoints is None else to_host(found.keypoints),
        )
