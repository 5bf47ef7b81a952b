"""Instances on a photo: masks, boxes, names and scores; and ground truth beside prediction.

A photo is drawn on with Pillow, at its own resolution, so that what `predict` writes is the photo
itself. Figures of several photos are made with matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from minirnn.backend import Array
from minirnn.boxes import crowd_iou, iou
from minirnn.draw.boxes import host_array, host_boxes, host_image
from minirnn.draw.palette import PALETTE
from minirnn.draw.pencil import draw_keypoints, draw_outline, paint_masks, write_labels
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.structures import Detections, Sample

# K names, names[label - 1], or a mapping from the label.
Names: TypeAlias = Sequence[str] | Mapping[int, str]
# Pairs of keypoints between which a line is drawn, counted from 1 as in COCO's files.
Skeleton: TypeAlias = Sequence[tuple[int, int]]

_LEAST_SIDE = 480  # below so many pixels along the longer side, text covers the picture
UNMATCHED = "#ffffff"  # a detection that is no object of the ground truth


def draw_instances(
    image: Array,
    boxes: Array,
    labels: Array,
    scores: Array | None,
    masks: Array | None,
    names: Names,
    *,
    keypoints: Array | None = None,
    skeleton: Skeleton | None = None,
    colours: Sequence[str] | None = None,
    scale: float | None = None,
    text_size: int | None = None,
) -> np.ndarray:
    """Draw D instances on a photo: mask, outline, box, and a label that stays inside the picture.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        boxes: (D, 4) in pixels of the image.
        labels: (D,) 1…K.
        scores: (D,) in [0, 1], written after the name; None writes none.
        masks: (D, H, W) bool; None draws none.
        names: the categories' names, `names[label - 1]` of a list or `names[label]` of a mapping.
        keypoints: (D, P, 3) x, y, and a score or visibility; a point is drawn where that is > 0.
        skeleton: pairs of keypoints to join by lines, counted from 1 as in COCO's files.
        colours: D colours as "#rrggbb"; None takes them from a palette, one after the other.
        scale: the picture's size over the image's. None keeps the image's size, or for an image
            under 480 pixels takes the smallest whole number that brings it there, so that text is
            legible.
        text_size: of the labels, in pixels of the picture; None takes one that fits its size.

    Returns:
        (H', W', 3) uint8 RGB, where H' = scale·H and W' = scale·W.

    Raises:
        InputError: an argument has another shape, a box is not finite, or scale is not positive.
    """
    texts = [name_of(names, int(label)) for label in host_array(labels).ravel()]
    if scores is not None:
        values = host_array(scores).ravel()
        if len(values) != len(texts):
            raise InputError(f"scores has {len(values)} entries and labels {len(texts)}")
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, values, strict=True)]
    return _draw(image, boxes, texts, masks, keypoints, skeleton, colours, scale, text_size)


def predictions_figure(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    names: Names,
    *,
    columns: int = 3,
    min_score: float = 0.5,
    skeleton: Skeleton | None = None,
) -> Picture:
    """Ground truth beside prediction, one pair of panels an image.

    A prediction wears the colour of the object that it is; one that is no object is white.

    Args:
        samples: N images with their ground truth.
        detections: what was found in each.
        names: as for `draw_instances`.
        columns: pairs in a row.
        min_score: detections below are left out, since a network keeps doubtful ones for its AP.
        skeleton: which keypoints to join by lines.

    Raises:
        InputError: the two lists differ in length, or columns is below 1.
    """
    if len(samples) != len(detections):
        raise InputError(f"{len(samples)} samples and {len(detections)} detections; give one each")
    if columns < 1:
        raise InputError(f"columns is {columns}; it should be 1 or more")
    columns = max(min(columns, len(samples)), 1)
    rows = max(-(-len(samples) // columns), 1)
    shapes = [sample.image.shape for sample in samples]
    tallest = max((height / width for height, width, _ in shapes), default=1.0)
    side = 2.3
    figure = Picture(figsize=(2 * side * columns, (side * tallest + 0.2) * rows + 0.35), dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.04)
    figure.suptitle(
        f"Ground truth beside prediction (score at least {min_score:g}; white: no such object)",
        fontsize=11,
    )
    panels = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    for axes in panels.flat:
        axes.set_axis_off()
    for pair, sample, found in zip(panels, samples, detections, strict=False):
        # As many pixels as the panel has, so that the text is not drawn twice, at two sizes.
        scale = side * figure.dpi / max(sample.image.shape[:2])
        pictures = pair_of_pictures(sample, found, names, min_score, skeleton=skeleton, scale=scale)
        titles = f"image {sample.target.image_id}: truth", "prediction"
        for axes, picture, title in zip(pair, pictures, titles, strict=True):
            axes.imshow(picture)
            axes.set_title(title, fontsize=8.5)
    return figure


def pair_of_pictures(
    sample: Sample,
    found: Detections,
    names: Names,
    min_score: float = 0.5,
    *,
    skeleton: Skeleton | None = None,
    scale: float | None = None,
    text_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The ground truth of one image and what was found in it, in matching colours.

    The truth's masks are drawn only beside masks: else they would hide what a network without them sees.
    """
    target = sample.target
    crowd = host_array(target.is_crowd).astype(bool)
    palette = [PALETTE[i % len(PALETTE)] for i in range(len(crowd))]
    texts = [
        f"{name_of(names, int(label))}{' (crowd)' if many else ''}"
        for label, many in zip(host_array(target.labels), crowd, strict=True)
    ]
    truth = _draw(
        sample.image,
        target.boxes,
        texts,
        None if found.masks is None else target.masks,
        target.keypoints,
        skeleton,
        palette,
        scale,
        text_size,
    )
    sure = host_array(found.scores) >= min_score
    colours = [UNMATCHED if i < 0 else palette[i] for i in match_objects(sample, found, min_score)]
    prediction = draw_instances(
        sample.image,
        found.boxes[sure],
        found.labels[sure],
        found.scores[sure],
        None if found.masks is None else found.masks[sure],
        names,
        keypoints=None if found.keypoints is None else every_point(found.keypoints[sure]),
        skeleton=skeleton,
        colours=colours,
        scale=scale,
        text_size=text_size,
    )
    return truth, prediction


def every_point(keypoints: Array | None) -> np.ndarray | None:
    """A network's keypoints (D, P, 3) for drawing: 1 in place of their scores, so that all are drawn.

    A score is a logit, whose sign says nothing about whether the point can be seen.
    """
    if keypoints is None:
        return None
    points = host_array(keypoints).copy()
    points[..., 2] = 1
    return points


def match_objects(sample: Sample, found: Detections, min_score: float) -> list[int]:
    """Which object each detection of at least min_score is: its index, or -1 for none.

    By falling score, a detection takes the free object of its own label that its box overlaps
    most, if the IoU is 0.5 or more. A crowd region can be taken any number of times, by detections
    that lie in it with half their area or more.
    """
    target = sample.target
    truth, labels = host_boxes(target.boxes).astype(float), host_array(target.labels)
    crowd = host_array(target.is_crowd).astype(bool)
    scores = host_array(found.scores)
    sure = np.flatnonzero(scores >= min_score)
    boxes, own = host_boxes(found.boxes)[sure].astype(float), host_array(found.labels)[sure]
    overlap = np.where(crowd, crowd_iou(boxes, truth), iou(boxes, truth))
    overlap *= own[:, None] == labels
    matched = [-1] * len(sure)
    for detection in np.argsort(-scores[sure], kind="stable"):
        for candidates in (
            ~crowd,
            crowd,
        ):  # an object first, and the crowd around it if there is none
            value = np.where(candidates, overlap[detection], 0.0)
            if matched[detection] < 0 and value.size and value.max() >= 0.5:
                best = int(value.argmax())
                matched[detection] = best
                if not crowd[best]:
                    overlap[:, best] = 0.0
    return matched


def name_of(names: Names, label: int) -> str:
    """The category's name; "class 7" for a label that names does not hold."""
    if isinstance(names, Mapping):
        return str(names.get(label, f"class {label}"))
    return str(names[label - 1]) if 1 <= label <= len(names) else f"class {label}"


def _draw(
    image: Array,
    boxes: Array,
    texts: Sequence[str],
    masks: Array | None,
    keypoints: Array | None,
    skeleton: Skeleton | None,
    colours: Sequence[str] | None,
    scale: float | None,
    text_size: int | None,
) -> np.ndarray:
    """`draw_instances` with the label's text given."""
    image, boxes = host_image(image), host_boxes(boxes)
    count, (height, width) = len(boxes), image.shape[:2]
    masks = None if masks is None else host_array(masks).astype(bool)
    points = None if keypoints is None else host_array(keypoints)
    if colours is None:
        colours = [PALETTE[i % len(PALETTE)] for i in range(count)]
    if len(texts) != count or len(colours) != count:
        raise InputError(
            f"{count} boxes, {len(texts)} labels, {len(colours)} colours: give one each"
        )
    if not np.isfinite(boxes).all():
        raise InputError("boxes holds a number that is not finite")
    if masks is not None and count and masks.shape != (count, height, width):
        raise InputError(f"masks has shape {masks.shape}; it should be {(count, height, width)}")
    if (
        points is not None
        and count
        and (points.ndim, len(points), points.shape[-1]) != (3, count, 3)
    ):
        raise InputError(f"keypoints has shape {points.shape}; it should be ({count}, P, 3)")
    if points is not None and points.ndim == 3 and skeleton:
        ends = [end for pair in skeleton for end in pair]
        if not 1 <= min(ends) <= max(ends) <= points.shape[1]:
            raise InputError(
                f"skeleton joins keypoints {min(ends)} to {max(ends)}; "
                f"it should stay within 1 to {points.shape[1]}"
            )
    if scale is None:
        scale = max(1, -(-_LEAST_SIDE // max(height, width)))
    if not scale > 0:
        raise InputError(f"scale is {scale}; it should be above 0")

    size = max(round(width * scale), 1), max(round(height * scale), 1)
    thick = max(2, round(max(size) / 350))
    rgb = [ImageColor.getrgb(colour)[:3] for colour in colours]
    picture = Image.fromarray(image)
    if size != picture.size:
        # Enlarged pixels stay sharp squares, so that a mask's edge can be checked against them.
        way = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
        picture = picture.resize(size, way)
    if masks is not None and count:
        picture = paint_masks(picture, masks, rgb, thick)
    pencil = ImageDraw.Draw(picture)
    corners = (boxes * scale).round().clip(0, [size[0], size[1]] * 2).astype(int).tolist()
    for corner, colour in zip(reversed(corners), reversed(rgb), strict=True):
        draw_outline(pencil, corner, colour, thick)
    if points is not None:
        for person, colour in zip(points, rgb, strict=False):
            draw_keypoints(pencil, person, skeleton or (), colour, thick, scale)
    write_labels(pencil, size, corners, texts, rgb, text_size or max(13, round(max(size) / 42)))
    return np.asarray(picture)
