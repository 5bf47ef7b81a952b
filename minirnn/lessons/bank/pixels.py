"""Lesson 00: pixels, boxes, their overlap, and where a place goes when a picture is resized."""

from __future__ import annotations

import numpy as np

from minirnn.boxes import iou
from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.lessons.sketch import boxes_sketch
from minirnn.masks.boxes import boxes_of_masks
from minirnn.textbook.transform import scale_boxes


def _from_voc(xmin: int, ymin: int, xmax: int, ymax: int) -> np.ndarray:
    """The box of a mask in which just those pixels are on."""
    mask = np.zeros((1, 64, 64), bool)
    mask[0, ymin - 1 : ymax, xmin - 1 : xmax] = True
    return boxes_of_masks(mask)[0]


def _first_and_last(rng: np.random.Generator) -> list[tuple]:
    first, more = rng.integers(1, 40, (32, 2)), rng.integers(0, 20, (32, 2))
    more[:4] = 0, 0  # one pixel
    first[0] = 1, 1
    return [(*a, *b) for a, b in zip(first.tolist(), (first + more).tolist(), strict=True)]


FROM_VOC = Function(
    name="from_voc",
    truth=_from_voc,
    cases=_first_and_last,
    shown=("xmin", "ymin", "xmax", "ymax"),
    sketch=lambda _, yours, true: boxes_sketch((), yours=yours, true=true),
    mistakes=(
        Mistake("as_it_is",
                "you took the numbers as they are; theirs are numbers of pixels that begin with 1",
                lambda *voc: voc),
        Mistake("all_less_one",
                "you took 1 off everywhere, so that your box ends at the left and upper edge of its last "
                "pixel",
                lambda *voc: [v - 1 for v in voc]),
        Mistake("last_plus_one",
                "you added 1 at the end and left the beginning; the first column of such a file is "
                "number 1",
                lambda x1, y1, x2, y2: [x1, y1, x2 + 1, y2 + 1]),
        Mistake("both",
                "you took 1 off at the beginning and added 1 at the end; that box is a pixel too large "
                "each way",
                lambda x1, y1, x2, y2: [x1 - 1, y1 - 1, x2 + 1, y2 + 1]),
        Mistake("centres",
                "you gave the centres of the first and the last pixel; a box goes to their outer edges",
                lambda x1, y1, x2, y2: [x1 - 0.5, y1 - 0.5, x2 - 0.5, y2 - 0.5]),
        Mistake("sides",
                "you returned width and height in place of the right and lower edge",
                lambda x1, y1, x2, y2: [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]),
    ),
    properties=(
        Property("a box has an area, even one of a single pixel",
                 lambda _, box: bool((box[2:] > box[:2]).all())),
    ),
    why="Counting from 1 moves everything by one, and the last pixel ends one further on: at the right "
    "the two cancel.",
    hints=(
        "Take one pixel in the corner: 1, 1, 1, 1. Which stretch does it cover in our coordinates?",
        "Column number k of theirs is our column k − 1, which covers [k − 1, k).",
        "The left edge of the first column, and the right edge of the last one.",
    ),
    solution="""
def from_voc(xmin, ymin, xmax, ymax):
    return [xmin - 1, ymin - 1, xmax, ymax]
""",
)  # fmt: skip


def _pairs(rng: np.random.Generator) -> list[tuple]:
    """Near ones, far ones (apart along one axis or both), touching, one inside of the other, no area."""
    corners = rng.integers(0, 9, (48, 2, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 9, (48, 2, 2))], axis=2).astype(
        float
    )
    boxes[0] = [[0, 0, 2, 2], [3, 3, 5, 5]]  # apart along both axes
    boxes[1] = [[0, 0, 2, 2], [2, 0, 4, 2]]  # they touch
    boxes[2] = [[0, 0, 4, 4], [1, 1, 3, 3]]  # inside
    boxes[3] = [[0, 0, 3, 3], [0, 0, 3, 3]]  # the same
    boxes[4] = [[0, 0, 4, 4], [2, 1, 2, 3]]  # one without area
    return [(a, b) for a, b in boxes]


def _shared(a: np.ndarray, b: np.ndarray, more: float = 0, cut: bool = True) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + more
    return float(np.prod(np.maximum(sides, 0) if cut else sides))


def _area(box: np.ndarray, more: float = 0) -> float:
    return float(np.prod(box[2:] - box[:2] + more))


def _ratio(shared: float, a: np.ndarray, b: np.ndarray, more: float = 0) -> float:
    return shared / (_area(a, more) + _area(b, more) - shared)


def _iou_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    title = f"yours {float(yours):.3g}, true {float(true):.3g}"
    return boxes_sketch(np.stack(arguments), labels=("a", "b"), title=title)


def _hull(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.prod(np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])))


IOU = Function(
    name="iou",
    truth=lambda a, b: iou(a[None], b[None])[0, 0],
    cases=_pairs,
    shown=("a", "b"),
    sketch=_iou_sketch,
    mistakes=(
        Mistake("plus_one",
                "you added 1 to the sides; that is for the numbers of pixels, and these are edges",
                lambda a, b: _ratio(_shared(a, b, 1), a, b, 1)),
        Mistake("two_negatives",
                "you did not look at the sign of the sides: for boxes that are apart along both axes two "
                "negative sides have a positive product",
                lambda a, b: _ratio(_shared(a, b, cut=False), a, b)),
        Mistake("shared_twice",
                "you counted what they share twice: it is in the area of a, and in that of b",
                lambda a, b: _shared(a, b) / (_area(a) + _area(b))),
        Mistake("of_a",
                "you divided by the area of a alone, so that the order of the boxes matters",
                lambda a, b: _shared(a, b) / _area(a)),
        Mistake("hull",
                "you divided by the smallest box around both, which may hold places that are in neither",
                lambda a, b: _shared(a, b) / _hull(a, b)),
        Mistake("only_shared",
                "you returned the area that they share, in pixels; divide it",
                lambda a, b: _shared(a, b)),
    ),
    properties=(
        Property("an overlap lies between 0 and 1", lambda _, value: bool(0 <= value <= 1)),
        Property("the overlap of a box with itself is 1",
                 lambda ab, value: not np.array_equal(*ab) or abs(float(value) - 1) < 1e-9),
        Property("boxes that only touch share nothing",
                 lambda ab, value: _shared(*ab) > 0 or abs(float(value)) < 1e-9),
    ),
    why="It is 1 for equal boxes and 0 for boxes apart, whatever their size, so one threshold serves small "
    "objects and large ones.",
    hints=(
        "What two boxes share is a box again. Where is its left edge, and where its right one?",
        "It begins at the larger x1 and ends at the smaller x2. If that is no stretch, they share nothing.",
        "Together they cover the area of a, plus that of b, less what was counted twice.",
    ),
    solution="""
def iou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area_a + area_b - shared)
""",
)  # fmt: skip


def _resize_point(column: float, row: float, size: tuple, new_size: tuple) -> np.ndarray:
    """The library scales boxes, so this scales one whose corner is the pixel's centre."""
    box = np.array([[column + 0.5, row + 0.5, column + 1.0, row + 1.0]])
    return scale_boxes(box, size, new_size)[0, :2] - 0.5


def _points(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for _ in range(32):
        height, width = (int(n) * 4 for n in rng.integers(2, 9, 2))
        new = (int(height * rng.choice([0.5, 1.5, 2])), int(width * rng.choice([0.25, 2, 3])))
        column, row = int(rng.integers(width)), int(rng.integers(height))
        cases.append((column, row, (height, width), new))
    return [*cases, (0, 0, (8, 8), (16, 16)), (7, 7, (8, 8), (4, 4)), (3, 5, (8, 12), (8, 12))]


def _point_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    _, _, _, (height, width) = arguments
    pixels = [[*(p), *(p + 1)] for p in (yours, true)]  # the pixel around each place
    return boxes_sketch(
        [[0, 0, width, height]], yours=[pixels[0]], true=[pixels[1]],
        labels=["the new picture"], title="the pixel around your place, and the true one",
    )  # fmt: skip


def _scaled(
    column: float, row: float, size: tuple, new: tuple, before: float, after: float
) -> list:
    (h, w), (new_h, new_w) = size, new
    return [(column + before) * new_w / w - after, (row + before) * new_h / h - after]


RESIZE_POINT = Function(
    name="resize_point",
    truth=_resize_point,
    cases=_points,
    shown=("column", "row", "size", "new_size"),
    size=lambda arguments: sum(arguments[2]) + sum(arguments[3]) + arguments[0] + arguments[1],
    sketch=_point_sketch,
    mistakes=(
        Mistake("no_half",
                "you scaled the number of the pixel; what scales is the distance from the picture's edge, "
                "and a pixel's centre is half a pixel further from it",
                lambda c, r, size, new: _scaled(c, r, size, new, 0, 0)),
        Mistake("edges",
                "you returned the distance from the edge; a pixel's number is half less than that",
                lambda c, r, size, new: _scaled(c, r, size, new, 0.5, 0)),
        Mistake("rounded",
                "you rounded; the place may lie between two centres",
                lambda c, r, size, new: [round(v) for v in _scaled(c, r, size, new, 0.5, 0.5)]),
        Mistake("floored",
                "you cut the fraction off, which names the pixel that the place lies in, not the place",
                lambda c, r, size, new: [
                    int(v) for v in _scaled(c, r, size, new, 0.5, 0)]),
        Mistake("axes_swapped",
                "you took height for width: a size is (height, width), a point is x before y",
                lambda c, r, size, new: _scaled(c, r, size[::-1], new[::-1], 0.5, 0.5)),
        Mistake("inverted",
                "you divided by the scale, which leads from the new picture to the old one",
                lambda c, r, size, new: _scaled(c, r, new, size, 0.5, 0.5)),
        Mistake("corners",
                "you laid the outer centres on each other, (W′ − 1) / (W − 1); here the outer edges meet",
                lambda c, r, size, new: [
                    c * (new[1] - 1) / (size[1] - 1), r * (new[0] - 1) / (size[0] - 1)]),
    ),
    properties=(
        Property("a picture that keeps its size leaves every place where it is",
                 lambda arguments, place: arguments[2] != arguments[3]
                 or bool(np.allclose(place, arguments[:2]))),
    ),
    why="Edges are what scales: from numbers to edges is + ½, and from edges to numbers − ½. "
    "RoIAlign in lesson 08 is the same half again.",
    hints=(
        "How far is the centre of pixel number 3 from the picture's left edge, in pixels?",
        "That distance is multiplied by the new width over the old one.",
        "And the pixel's number is again half less than the distance from the edge.",
    ),
    solution="""
def resize_point(column, row, size, new_size):
    (height, width), (new_height, new_width) = size, new_size
    x = (column + 0.5) * new_width / width
    y = (row + 0.5) * new_height / height
    return [x - 0.5, y - 0.5]
""",
)  # fmt: skip

EXERCISES = (FROM_VOC, IOU, RESIZE_POINT)
