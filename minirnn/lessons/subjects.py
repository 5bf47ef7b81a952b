"""What the course looks at: one photograph, and one made-up scene. Their objects keep their colours.

The photograph is scikit-image's `astronaut`: Eileen Collins, by NASA, in the public domain. It has
objects from 50 to 500 pixels. The scene is one of the demo's pictures, which the demo's network was
trained for, with the exact mask of every object.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from minirnn.data.scenes import LEVELS, make_scene
from minirnn.draw.palette import OBJECTS
from minirnn.masks.boxes import boxes_of_masks
from minirnn.models import RCNN
from minirnn.weights import model_from
from minirnn.weights.shipped import shipped


@dataclass(frozen=True)
class Subject:
    """A picture and what is in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        names: of the objects.
        colours: one for each object.
        labels: (N,) of the network's categories; None for the photograph, which is of none.
        masks: (N, H, W) bool, where they are known.
        licence: who made it, and on what terms.
    """

    image: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    colours: tuple[str, ...]
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    licence: str = ""


@cache
def photograph() -> Subject:
    """The photograph, 512 × 512, with five boxes that were drawn by hand.

    Raises:
        ImportError: scikit-image, which ships it, is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise ImportError(
            "the course's photograph comes with scikit-image: pip install scikit-image "
            "(`make env` installs it)"
        ) from error
    objects = {
        "astronaut": (20, 14, 366, 512),
        "helmet": (280, 343, 506, 512),
        "shuttle": (366, 0, 458, 286),
        "patch": (133, 348, 208, 422),
        "name tag": (278, 339, 328, 377),
    }
    return Subject(
        image=astronaut(),
        boxes=np.array(list(objects.values()), dtype=float),
        names=tuple(objects),
        colours=OBJECTS[: len(objects)],
        licence="Eileen Collins, photograph by NASA, public domain, shipped by scikit-image",
    )


@cache
def scene(number: int = 0, level: str = "easy", size: int = 128) -> Subject:
    """A made-up scene with the exact mask of every object.

    Args:
        number: of the scene; the course follows number 0.
        level: of the demo's pictures.
        size: height and width, in pixels.

    Raises:
        InputError: no such level.
    """
    made = make_scene(np.random.default_rng([2026, number]), level, size)
    masks = np.stack([instance.mask for instance in made.instances])
    labels = np.array([instance.category_id for instance in made.instances])
    categories = LEVELS[level].categories
    return Subject(
        image=made.image,
        boxes=np.asarray(boxes_of_masks(masks), dtype=float),
        names=tuple(categories[label - 1] for label in labels),
        colours=OBJECTS[: len(labels)],
        labels=labels,
        masks=masks,
        licence="made by `minirnn data shapes`",
    )


def network() -> RCNN:
    """The demo's trained network, which comes with the package: it knows circles, squares and triangles."""
    return model_from(shipped("maskrcnn_shapes"))
