"""Augmentation: objects of another picture pasted into this one ("copy-paste").

An object that is cut out along its mask brings its label, box and mask with it, and stands before a
background that it has never had. What it covers is cut out of the masks below: a mask is what can be seen.

Source: Ghiasi and others, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation", CVPR 2021, section 3. As there, a random part of the objects is pasted, mirrored and scaled
at random. Here each object is scaled on its own, and has a place of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minirnn.data.cropping import crop
from minirnn.data.objects import joined, kept, set_aside, shifted
from minirnn.data.people import KEYPOINTS
from minirnn.data.resizing import resize
from minirnn.data.transforms import horizontal_flip
from minirnn.data.zoom import check_zoom
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample, Target

#: Probability that an object of the other picture is pasted, and that it is mirrored.
CHOSEN, MIRRORED = 0.5, 0.5


def to_paste(sample: Sample) -> np.ndarray:
    """The numbers of the objects that can be cut out: no crowd regions, and none without a pixel.

    Raises:
        InputError: the objects have no masks; names the image.
    """
    target = sample.target
    if target.masks is None:
        raise InputError(
            f"copy_paste cuts objects out along their masks, but image {target.image_id} "
            f"({target.file_name}) has boxes alone; copy_paste should be 0 for this data set"
        )
    return np.flatnonzero(~target.is_crowd & target.masks.any(axis=(1, 2)))


def paste_objects(
    sample: Sample,
    other: Sample,
    rng: np.random.Generator,
    *,
    scale: Sequence[float] = (0.5, 1.5),
    min_visible: float = 0.0,
    keypoint_names: Sequence[str] = KEYPOINTS,
) -> Sample:
    """This picture with some objects of another.

    Masks are cut where something lies over them, and boxes drawn in to what is left. An object that is
    covered altogether is dropped. A keypoint that is covered is labelled still, and hidden (visibility
    1). Crowd regions are never pasted, and stay as they are.

    Args:
        sample: left as it is; the result has arrays of its own.
        other: the picture that objects are taken from; each with a probability of a half, one at least.
        rng: draws which, and for each whether it is mirrored, its scale and its place.
        scale: the smallest and the largest factor: of an object's size as a part of its picture's size.
            At most, an object is as large as this picture.
        min_visible: objects of which less than this share is left are set aside, see `set_aside`.
        keypoint_names: by which a mirrored object exchanges left and right.

    Raises:
        InputError: one of the pictures has objects without masks; or scale is no pair of factors.
    """
    check_zoom(scale, "copy_paste_scale")
    to_paste(sample)
    objects = to_paste(other)
    chosen = objects[rng.random(len(objects)) < CHOSEN]
    if len(objects) and not len(chosen):
        chosen = rng.choice(objects, 1)
    size = sample.image.shape[:2]
    relative = min(size) / min(other.image.shape[:2])
    image, before, covers = sample.image.copy(), sample.target, []
    for number in chosen:
        piece = _cut_out(other, int(number))
        if rng.random() < MIRRORED:
            piece = horizontal_flip(piece, keypoint_names)
        factor = relative * float(np.exp(rng.uniform(*np.log(scale))))
        piece = resize(piece, _fitting(piece.image.shape[:2], factor, size))
        top, left = (
            int(rng.integers(side - new + 1))
            for side, new in zip(size, piece.image.shape[:2], strict=True)
        )
        cover = np.zeros(size, bool)
        place = slice(top, top + piece.image.shape[0]), slice(left, left + piece.image.shape[1])
        cover[place] = np.asarray(piece.target.masks)[0]
        if not cover.any():  # too thin to be seen at this size
            continue
        image[place] = _blended(image[place], piece.image, cover[place])
        moved = shifted(piece.target, left, top)
        before = joined(
            before, replace(moved, masks=cover[None], boxes=boxes_of_masks(cover[None]))
        )
        covers.append(cover)
    return Sample(image, _covered(before, covers, min_visible))


def _cut_out(sample: Sample, number: int) -> Sample:
    """One object in the smallest window around its mask, whatever its box is."""
    one = kept(sample.target, np.arange(len(sample.target.labels)) == number)
    one = replace(one, boxes=boxes_of_masks(one.masks), proposals=None)
    left, top, right, bottom = one.boxes[0].astype(int).tolist()
    return crop(Sample(sample.image, one), (left, top, right, bottom))


def _fitting(piece: Sequence[int], factor: float, most: Sequence[int]) -> tuple[int, int]:
    """A piece's height and width times the factor, or a smaller one so that it is within `most`."""
    factor = min(factor, most[0] / piece[0], most[1] / piece[1])
    height, width = (max(round(side * factor), 1) for side in piece)
    return height, width


def _blended(below: np.ndarray, piece: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The piece over what is below it, (h, w, 3): its outermost pixels let some of it through.

    How much of a pixel is the piece's: the share of the mask in the 3 × 3 pixels around; outside of
    the mask nothing. (A hard seam looks cut out; in the paper it makes no difference to the AP.)
    """
    from scipy.ndimage import (
        uniform_filter,  # here, since its import changes the filters of warnings
    )

    share = (uniform_filter(mask.astype(np.float32), 3, mode="constant") * mask)[..., None]
    return np.rint(below + share * (piece.astype(np.float32) - below)).astype(np.uint8)


def _covered(before: Target, covers: Sequence[np.ndarray], min_visible: float) -> Target:
    """What can be seen of objects, the last of which lie above all others.

    Args:
        before: all of them, as if nothing lay over them.
        covers: (H, W) bool of the last ones, from the lowest to the highest.
        min_visible: see `paste_objects`.
    """
    whole = np.asarray(before.masks)
    masks = whole.copy()
    keypoints = None if before.keypoints is None else before.keypoints.copy()
    first = len(masks) - len(covers)
    for number, cover in enumerate(covers, first):
        masks[:number][~before.is_crowd[:number]] &= ~cover
        if keypoints is not None:
            _hide(keypoints[:number], cover)
    # A side of a box moves where the mask has lost all its pixels there; an annotator's box is kept else.
    then, now = boxes_of_masks(whole), boxes_of_masks(masks)
    target = replace(
        before, boxes=np.where(now != then, now, before.boxes), masks=masks, keypoints=keypoints
    )
    left = masks.any(axis=(1, 2)) | ~whole.any(axis=(1, 2))
    return kept(set_aside(target, before, min_visible), np.asarray(left))


def _hide(keypoints: np.ndarray, cover: np.ndarray) -> None:
    """Make keypoints (G, P, 3) that are visible and lie on pixels of the cover hidden ones, in place."""
    column, row = np.rint(keypoints[..., :2]).astype(np.intp).transpose(2, 0, 1)
    inside = (row >= 0) & (row < cover.shape[0]) & (column >= 0) & (column < cover.shape[1])
    on = inside & cover[row.clip(0, cover.shape[0] - 1), column.clip(0, cover.shape[1] - 1)]
    keypoints[..., 2] = np.where(on & (keypoints[..., 2] == 2), 1, keypoints[..., 2])
