"""From photographs to one array for the network, and back.

The network wants one float array (N, 3, H, W), normalised per channel, with objects neither tiny nor
huge. So each image is scaled (its shorter side to `min_size`, but its longer side to `max_size` at
most), normalised, and laid in the top left corner of a common canvas of zeros whose sides are
multiples of `divisor`. Boxes are scaled alongside; those of detections are scaled back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.ops.resize import bilinear
from minirnn.record import note
from minirnn.structures import Target

#: Pixels that go through the network at a time in `predict`: one large image, or many small ones. More
#: large ones are no quicker together, and their maps take half a gigabyte each.
PIXELS = 1 << 20


@dataclass
class Batch:
    """Images as the network sees them.

    Attributes:
        images: (N, 3, H, W) float32, normalised, padded with zeros at the bottom and right.
        sizes: (height, width) of each image inside the canvas, after scaling.
        original_sizes: (height, width) of each image as it was given.
        proposals: (P, 4) of each image, in the network's pixels (those of the scaled image); None where
            none were given.
    """

    images: Array
    sizes: list[tuple[int, int]]
    original_sizes: list[tuple[int, int]]
    proposals: list[Array] | None = None

    def parts(self, pixels: int) -> Iterator[Batch]:
        """Yield batches of at most so many pixels (padding included), or of one image."""
        height, width = self.images.shape[2:]
        step = max(pixels // (height * width), 1)
        for start in range(0, len(self.sizes), step):
            some = slice(start, start + step)
            proposals = self.proposals and self.proposals[some]
            yield Batch(self.images[some], self.sizes[some], self.original_sizes[some], proposals)


@dataclass(frozen=True)
class Transform:
    """The settings of the way from photographs to batches and back.

    Attributes:
        min_sizes: shorter side that images are scaled to; several: one is drawn in training, and the
            last is used afterwards.
        max_size: limit of the longer side.
        mean: of each channel, in the range 0…1.
        std: of each channel.
        divisor: sides of the canvas are multiples of this.
        bgr: the network wants blue first.
        same_size_only: images of different sizes do not share a canvas in `parts`. For networks with a
            normalisation that looks at the whole canvas (GroupNorm) and would see the padding.
    """

    min_sizes: Sequence[int]
    max_size: int
    mean: Sequence[float]
    std: Sequence[float]
    divisor: int = 32
    bgr: bool = False
    same_size_only: bool = False

    def batch(
        self, images: Sequence[np.ndarray], min_sizes: Sequence[int] | None = None, xp: Any = np
    ) -> Batch:
        """One array of images (H, W, 3) uint8, see `make_batch`.

        Args:
            images: of any size.
            min_sizes: the shorter side of each image; None for the last of the settings.
            xp: array library of the result.
        """
        batch = make_batch(
            images,
            min_sizes=[self.min_sizes[-1]] * len(images) if min_sizes is None else min_sizes,
            max_size=self.max_size,
            mean=self.mean,
            std=self.std,
            divisor=self.divisor,
            bgr=self.bgr,
            xp=xp,
        )
        note("input", batch.images)
        return batch

    def with_truth(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        xp: Any = np,
    ) -> tuple[Batch, list[Target]]:
        """A batch for training, each image scaled to a size that its generator draws, and its truth."""
        if len(images) != len(targets):
            raise InputError(f"{len(images)} images, but {len(targets)} targets")
        drawn = [self.min_sizes[int(rng.integers(len(self.min_sizes)))] for rng in rngs]
        batch = self.batch(images, drawn, xp)
        truth = [
            prepare_target(target, old, new, xp)
            for target, old, new in zip(targets, batch.original_sizes, batch.sizes, strict=True)
        ]
        note("truth", truth)
        return batch, truth

    def parts(
        self,
        images: Sequence[np.ndarray],
        xp: Any = np,
        proposals: Sequence[np.ndarray] | None = None,
    ) -> Iterator[tuple[list[int], Batch]]:
        """Yield batches that together hold all images, each with the positions of its images.

        A batch has at most PIXELS pixels (padding included), or one image.

        Args:
            images: each (H, W, 3) uint8, of any size.
            xp: array library of the batches.
            proposals: (P, 4) of each image, in its pixels; None for none.

        Raises:
            InputError: an image is not (H, W, 3) uint8, or its proposals are no boxes; names its
                number.
        """
        if proposals is not None and len(proposals) != len(images):
            raise InputError(f"{len(images)} images, but proposals of {len(proposals)}")
        together: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            check_image(image, f"image {index}")
            together.setdefault(image.shape[:2] if self.same_size_only else (), []).append(index)
        for indices in together.values():
            whole = self.batch([images[i] for i in indices], xp=xp)
            if proposals is not None:
                whole.proposals = [
                    _prepare_proposals(proposals[i], f"image {i}", old, new, xp)
                    for i, old, new in zip(indices, whole.original_sizes, whole.sizes, strict=True)
                ]
            start = 0
            for part in whole.parts(PIXELS):
                yield indices[start : start + len(part.sizes)], part
                start += len(part.sizes)


def scaled_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Size after scaling the shorter side to `min_size`, the longer to no more than `max_size`.

    scale = min(min_size / min(h, w), max_size / max(h, w)), and sides are rounded down, to 1 at least:
    a picture of 1 × 5000 pixels stays one.
    """
    scale = min(min_size / min(height, width), max_size / max(height, width))
    return max(math.floor(height * scale), 1), max(math.floor(width * scale), 1)


def normalise(image: Array, mean: Sequence[float], std: Sequence[float]) -> Array:
    """(H, W, 3) uint8 → (3, H, W) float32: (x / 255 - mean) / std per channel."""
    xp = xp_of(image)
    planes = xp.ascontiguousarray(image.transpose(2, 0, 1)).astype(xp.float32)
    planes /= np.float32(255)
    planes -= xp.asarray(np.array(mean, np.float32)[:, None, None])
    planes /= xp.asarray(np.array(std, np.float32)[:, None, None])
    return planes


def check_image(image: np.ndarray, name: str) -> None:
    """Refuse what is not an (H, W, 3) uint8 picture.

    Raises:
        InputError: names the image, its shape and type.
    """
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise InputError(
            f"{name} is {image!r:.60} ({kind}); it should be an array (H, W, 3) of uint8"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"{name} has shape {image.shape}; it should be (H, W, 3)")
    if image.dtype != np.uint8:
        raise InputError(f"{name} has type {image.dtype}; it should be uint8, 0…255, RGB")
    if 0 in image.shape:
        raise InputError(f"{name} has no pixels: its shape is {image.shape}")


def make_batch(
    images: Sequence[np.ndarray],
    *,
    min_sizes: Sequence[int],
    max_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    divisor: int = 32,
    bgr: bool = False,
    xp: object = np,
) -> Batch:
    """Scale, normalise and pad images into one array.

    Args:
        images: each (H, W, 3) uint8 RGB, on the host.
        min_sizes: the shorter side to scale each image to, one number for each.
        max_size: limit for the longer side.
        mean: per channel, in the range 0…1.
        std: per channel, in the range 0…1.
        divisor: the canvas' sides are multiples of this.
        bgr: the network wants its channels in the order blue, green, red.
        xp: array library of the result.

    Raises:
        InputError: an image is not (H, W, 3) uint8, or there is none.
    """
    if not len(images):
        raise InputError("images is empty; it should hold at least one image")
    planes, original_sizes = [], []
    for index, (image, min_size) in enumerate(zip(images, min_sizes, strict=True)):
        check_image(image, f"image {index}")
        height, width = image.shape[:2]
        original_sizes.append((height, width))
        channels = image[:, :, ::-1] if bgr else image
        plane = normalise(xp.asarray(channels), mean, std)  # type: ignore[attr-defined]
        size = scaled_size(height, width, min_size, max_size)
        if size != (height, width):
            plane = bilinear(plane[None], size=size)[0]
        planes.append(plane)
    sizes = [plane.shape[1:] for plane in planes]
    height = -(-max(h for h, _ in sizes) // divisor) * divisor
    width = -(-max(w for _, w in sizes) // divisor) * divisor
    canvas = xp.zeros((len(planes), 3, height, width), np.float32)  # type: ignore[attr-defined]
    for index, plane in enumerate(planes):
        canvas[index, :, : plane.shape[1], : plane.shape[2]] = plane
    return Batch(canvas, sizes, original_sizes)


def scale_boxes(boxes: Array, size: tuple[int, int], new_size: tuple[int, int]) -> Array:
    """Boxes of an image of `size` (height, width), in an image of `new_size`."""
    xp = xp_of(boxes)
    y, x = (np.float32(b) / np.float32(a) for a, b in zip(size, new_size, strict=True))
    return boxes * xp.asarray(np.array([x, y, x, y], np.float32)).astype(boxes.dtype)


def scale_keypoints(keypoints: Array, size: tuple[int, int], new_size: tuple[int, int]) -> Array:
    """Keypoints (G, P, 3) of an image of `size` (height, width), in an image of `new_size`.

    x and y are scaled as those of boxes are, which is torchvision's rule; the third number stays.
    """
    xp = xp_of(keypoints)
    y, x = (np.float32(b) / np.float32(a) for a, b in zip(size, new_size, strict=True))
    return keypoints * xp.asarray(np.array([x, y, 1], np.float32)).astype(keypoints.dtype)


def scale_masks(masks: Array, new_size: tuple[int, int]) -> Array:
    """Masks (G, H, W) → (G, H', W') by nearest neighbour, torch's rule: source = ⌊i · H / H'⌋."""
    (height, width), xp = masks.shape[1:], xp_of(masks)
    if (height, width) == tuple(new_size):
        return masks
    rows = np.minimum(np.arange(new_size[0]) * height // new_size[0], height - 1)
    columns = np.minimum(np.arange(new_size[1]) * width // new_size[1], width - 1)
    return masks[:, xp.asarray(rows)][:, :, xp.asarray(columns)]


def _prepare_proposals(
    proposals: Array, name: str, size: tuple[int, int], new_size: tuple[int, int], xp: Any = np
) -> Array:
    """Given proposals of an image that was scaled from `size` to `new_size`, as an array of `xp`.

    Raises:
        InputError: they are not (P, 4), or not finite; says of which image.
    """
    boxes = np.asarray(proposals, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise InputError(
            f"{name}: proposals have shape {boxes.shape}; they should be (P, 4), finite numbers"
        )
    return scale_boxes(xp.asarray(boxes), size, new_size)


def prepare_target(
    target: Target, size: tuple[int, int], new_size: tuple[int, int], xp: object = np
) -> Target:
    """The ground truth of an image that was scaled from `size` to `new_size`, as arrays of `xp`.

    Raises:
        InputError: boxes of no area (they would make the loss infinite: log 0), shapes that do not
            fit together, or masks of another size than the image; names the image.
    """
    name = f"image {target.image_id}{f' ({target.file_name})' if target.file_name else ''}"
    boxes = np.asarray(target.boxes)
    if boxes.dtype != np.float64:  # float64 was asked for; whole numbers and lists become float32
        boxes = boxes.astype(np.float32)
    labels = np.asarray(target.labels, np.intp)
    crowd = np.asarray(target.is_crowd, bool)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{name}: boxes have shape {boxes.shape}; they should be (G, 4)")
    if labels.shape != (len(boxes),) or crowd.shape != (len(boxes),):
        raise InputError(
            f"{name}: {len(boxes)} boxes, labels of shape {labels.shape} and "
            f"is_crowd of shape {crowd.shape}"
        )
    bad = ~((boxes[:, 2:] > boxes[:, :2]).all(axis=1) & np.isfinite(boxes).all(axis=1))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(f"{name}: box {first} has no area: {boxes[first].tolist()}")
    if (labels < 1).any():
        raise InputError(f"{name}: labels start at 1 (0 is background), found {labels.min()}")
    masks = target.masks
    if masks is not None:
        if masks.shape != (len(boxes), *size):
            raise InputError(
                f"{name}: masks have shape {masks.shape}; they should be {(len(boxes), *size)}"
            )
        masks = scale_masks(xp.asarray(masks), new_size)  # type: ignore[attr-defined]
    keypoints = target.keypoints
    if keypoints is not None:
        points = np.asarray(keypoints)
        if points.dtype != np.float64:  # as for boxes
            points = points.astype(np.float32)
        if points.ndim != 3 or (len(points), points.shape[2]) != (len(boxes), 3):
            raise InputError(
                f"{name}: keypoints have shape {points.shape}; they should be ({len(boxes)}, P, 3)"
            )
        keypoints = scale_keypoints(xp.asarray(points), size, new_size)  # type: ignore[attr-defined]
    device_boxes = xp.asarray(boxes)  # type: ignore[attr-defined]
    return Target(
        boxes=scale_boxes(device_boxes, size, new_size),
        labels=xp.asarray(labels),  # type: ignore[attr-defined]
        masks=masks,
        is_crowd=crowd,
        keypoints=keypoints,
        image_id=target.image_id,
        file_name=target.file_name,
        proposals=(
            None
            if target.proposals is None
            else _prepare_proposals(target.proposals, name, size, new_size, xp)
        ),
    )
