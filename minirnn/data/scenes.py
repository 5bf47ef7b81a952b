"""Pictures made up by rule, with the truth known for every pixel: shapes on a ground.

Objects are painted one after the other, later ones over earlier ones, and each keeps as its mask
the pixels that are still to be seen at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minirnn.data.people import KEYPOINTS, SKELETON, Person, draw_person
from minirnn.errors import InputError

# An object is annotated only if at least this much of it is left to see.
LEAST_VISIBLE = 0.2
LEAST_PIXELS = 30
# Lengths are for pictures of this many pixels a side, and grow and shrink with the picture.
REFERENCE_SIZE = 128
SMALLEST, LARGEST = 16, 60
# Two colours of which no channel (0 to 255) differs by this much count as the same.
LEAST_CONTRAST = 30
# Range of the noise's standard deviation, where colours are 0 to 255; drawn once for a picture.
NOISE = (10.0, 15.0)


class Level(NamedTuple):
    """What a level's scenes are made of."""

    categories: tuple[str, ...]  # category ids are 1, 2, … in this order
    most_objects: int
    textured: bool


LEVELS = {
    "easy": Level(("circle", "square", "triangle"), 5, False),
    "hard": Level(("circle", "square", "triangle", "star", "cross"), 6, True),
    "people": Level(("person",), 3, False),
}


@dataclass
class Instance:
    """One annotated object.

    Attributes:
        category_id: from 1, in the order of the level's categories.
        mask: (H, W) bool, the pixels where it is to be seen.
        keypoints: (17, 3) int64 in COCO's order and form, for a person.
    """

    category_id: int
    mask: np.ndarray
    keypoints: np.ndarray | None = None


@dataclass
class Scene:
    """A picture, (H, W, 3) uint8 RGB, and what is in it."""

    image: np.ndarray
    instances: list[Instance]


def categories_of(level: str) -> list[dict]:
    """The level's categories in COCO's format."""
    records: list[dict] = [
        {"id": number, "name": name, "supercategory": "person" if level == "people" else "shape"}
        for number, name in enumerate(_level(level).categories, start=1)
    ]
    if level == "people":
        records[0] |= {"keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}
    return records


def make_scene(rng: np.random.Generator, level: str = "easy", size: int = REFERENCE_SIZE) -> Scene:
    """A random picture of a level, with its objects.

    - "easy": 1 to 5 circles, squares and triangles, each of one random colour, on a ground of one
      random colour.
    - "hard": 1 to 6, with stars and crosses among them; objects and ground are striped, chequered,
      blotched or clouded in two random colours, at any scale and angle.
    - "people": 1 to 3 stick figures seen from the front or from behind, with COCO's 17 keypoints;
      the picture's border may cut them.

    Shapes are turned by any angle, lie wholly in the picture, and the longer side of their bounding
    box is 16 to 60 pixels (in a picture of 128). Everything, ground and objects, carries Gaussian
    noise. Colours are only kept from being the same (see LEAST_CONTRAST): an object may be hard to
    see on its ground, and two objects may have one colour.

    An object is not annotated if less than a fifth of it, or fewer than 30 pixels, can be seen. The
    uppermost object always is.

    Args:
        rng: decides everything.
        level: a key of LEVELS.
        size: height and width of the picture, in pixels; 32 or more.

    Raises:
        InputError: there is no such level, or the picture would be too small.
    """
    settings = _level(level)
    if size < 32:
        raise InputError(f"size is {size}; it should be at least 32 pixels")
    ground = _colours(rng, settings.textured)
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = _paint(rng, ground, (size, size), size)
    owner = np.full((size, size), -1)  # which object is seen at a pixel; -1: the ground
    whole: list[int] = []  # each object's number of pixels before others cover it
    categories: list[int] = []
    people: list[Person] = []
    for number in range(rng.integers(1, settings.most_objects + 1)):
        category = int(rng.integers(len(settings.categories)))
        if level == "people":
            person = draw_person(rng, size, lambda: _colours(rng, False, away_from=ground)[0])
            mask = person.mask
            canvas[mask] = person.colours[person.parts[mask]]
            people.append(person)
        else:
            mask = _draw_shape(rng, settings.categories[category], size)
            colours = _colours(rng, settings.textured, away_from=ground)
            window = window_of(mask)
            part = mask[window]
            canvas[window][part] = _paint(rng, colours, part.shape, size)[part]
        owner[mask] = number
        whole.append(int(mask.sum()))
        categories.append(category + 1)

    instances = []
    for number, (pixels, category) in enumerate(zip(whole, categories, strict=True)):
        visible = owner == number
        if visible.sum() >= max(
            LEAST_VISIBLE * pixels, LEAST_PIXELS * (size / REFERENCE_SIZE) ** 2
        ):
            keypoints = people[number].keypoints_seen(visible) if people else None
            instances.append(Instance(category, visible, keypoints))
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    return Scene(np.clip(np.rint(canvas + noise), 0, 255).astype(np.uint8), instances)


def window_of(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of the smallest window that holds a mask, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _level(level: str) -> Level:
    if level not in LEVELS:
        raise InputError(f"level is {level!r}; it should be one of {', '.join(LEVELS)}")
    return LEVELS[level]


# Shapes


def fill_polygon(vertices: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels whose centres lie in a polygon, by the even-odd rule.

    A pixel is inside if a ray from its centre to the right crosses an odd number of edges.

    Args:
        vertices: (V, 2) x, y in pixels; the polygon need not be convex.
        height: of the picture.
        width: of the picture.

    Returns:
        (height, width) bool.
    """
    inside = np.zeros((height, width), bool)
    left, top = np.clip(np.floor(vertices.min(0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(vertices.max(0)), 0, (width, height)).astype(int)
    x = np.arange(left, right) + 0.5
    y = np.arange(top, bottom) + 0.5
    window = inside[top:bottom, left:right]
    for (xa, ya), (xb, yb) in zip(vertices, np.roll(vertices, -1, 0), strict=True):
        rows = (ya > y) != (yb > y)  # the rows whose ray this edge can meet; none if it is level
        meets = xa + (y[rows] - ya) * (xb - xa) / (yb - ya)
        window[rows] ^= x < meets[:, None]
    return inside


def _regular(points: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon around 0; every other vertex is drawn in to radius `inner`."""
    angle = 2 * np.pi * np.arange(points) / points
    radius = np.where(np.arange(points) % 2, inner, 1.0)
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)


def _cross() -> np.ndarray:
    a = 1 / 3
    arm = np.array([[-a, -1], [a, -1], [a, -a]])
    turn = np.array([[0, 1], [-1, 0]])  # a quarter turn of row vectors (x, y)
    return np.concatenate([arm, arm @ turn, arm @ turn @ turn, arm @ turn @ turn @ turn])


# Circles are polygons too: with 64 corners, the largest is nowhere off by a tenth of a pixel.
OUTLINES = {
    "circle": _regular(64),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _regular(10, inner=0.45),
    "cross": _cross(),
}


def _draw_shape(rng: np.random.Generator, name: str, size: int) -> np.ndarray:
    """The pixels of a shape of random size, angle and place, wholly in the picture."""
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    vertices = OUTLINES[name] @ np.array([[c, s], [-s, c]])
    vertices -= vertices.min(0)
    vertices *= rng.uniform(SMALLEST, LARGEST) * (size / REFERENCE_SIZE) / vertices.max()
    vertices += rng.uniform(0, size - vertices.max(0))
    return fill_polygon(vertices, size, size)


# Colours and textures


def _colours(
    rng: np.random.Generator, textured: bool, away_from: np.ndarray | None = None
) -> np.ndarray:
    """(2, 3) colours of a texture, or (1, 3); at least one of them differs from all in `away_from`."""
    while True:
        colours = rng.uniform(0, 255, (2 if textured else 1, 3))
        if textured and np.abs(colours[0] - colours[1]).max() < LEAST_CONTRAST:
            continue
        if away_from is None:
            return colours
        # (own, other): the largest difference in any channel
        difference = np.abs(colours[:, None] - away_from).max(2)
        if (difference.min(1) >= LEAST_CONTRAST).any():
            return colours


def _paint(
    rng: np.random.Generator, colours: np.ndarray, shape: tuple[int, ...], size: int
) -> np.ndarray:
    """A window filled with one colour, or with a random texture of two: (height, width, 3)."""
    if len(colours) == 1:
        return np.broadcast_to(colours[0].astype(np.float32), (*shape, 3))
    amount = _texture(rng, (shape[0], shape[1]), size)[:, :, None]
    first, second = colours.astype(np.float32)
    return first + amount * (second - first)


def _texture(rng: np.random.Generator, shape: tuple[int, int], size: int) -> np.ndarray:
    """How much of the second of two colours there is at each pixel: (height, width) in [0, 1]."""
    period = rng.uniform(4, 16) * size / REFERENCE_SIZE
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle) / period, np.sin(angle) / period
    x = np.arange(shape[1]) + 0.5
    y = np.arange(shape[0])[:, None] + 0.5
    u = x * c + y * s + rng.uniform(0, 2)  # across the stripes, in periods
    v = y * c - x * s + rng.uniform(0, 2)  # along them
    kinds: list[Callable[[], np.ndarray]] = [
        lambda: np.floor(u) % 2,
        lambda: (np.floor(u) + np.floor(v)) % 2,
        lambda: (_value_noise(rng, u, v) > 0.5).astype(np.float64),
        lambda: _value_noise(rng, u, v),
    ]
    return kinds[rng.integers(len(kinds))]().astype(np.float32)


def _value_noise(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Random numbers at whole coordinates, smoothly joined in between."""
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    i0, j0 = i.min(), j.min()
    knots = rng.random((i.max() - i0 + 2, j.max() - j0 + 2))
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)  # level at the knots, so that no grid is seen
    i, j = i - i0, j - j0
    near = knots[i, j] * (1 - b) + knots[i, j + 1] * b
    far = knots[i + 1, j] * (1 - b) + knots[i + 1, j + 1] * b
    return near * (1 - a) + far * a
