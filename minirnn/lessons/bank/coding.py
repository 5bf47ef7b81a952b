"""Lesson 06: from an anchor to a box as four numbers, and back."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minirnn.boxes import decode, encode
from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.lessons.sketch import boxes_sketch

CLAMP = 4.0  # in the exercise; e⁴ is 54.6


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes at whole pixels with sides of 8 to 64, so that the numbers can be checked by hand."""
    corner = rng.integers(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.choice([8, 16, 32, 64], (count, 2))], 1).astype(
        float
    )


def _encode(anchor: np.ndarray, box: np.ndarray) -> np.ndarray:
    return encode(np.asarray(anchor, float)[None], np.asarray(box, float)[None])[0]


def _centre_form(box: np.ndarray) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _coded(rule: Callable) -> Callable:
    """`encode` by another rule, which gets centre and sides of box and anchor."""
    return lambda anchor, box: rule(*_centre_form(box), *_centre_form(anchor))


def _code_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    """Where the numbers would put the anchor."""
    anchor = np.asarray(arguments[0], float)[None]
    placed = [decode(anchor, np.clip(code, -20, 20)[None], clamp=3.0) for code in (yours, true)]
    return boxes_sketch(
        anchor, yours=placed[0], true=placed[1], labels=["anchor"],
        title="where your numbers lead the anchor",
    )  # fmt: skip


def _encode_cases(rng: np.random.Generator) -> list[tuple]:
    anchors, boxes = _boxes(rng, 34), _boxes(rng, 34)
    near = anchors[:, :2] + rng.integers(-8, 9, (34, 2)) - boxes[:, :2]
    boxes += np.tile(near, 2)
    boxes[0] = anchors[0]
    boxes[1] = anchors[1] + [5, 3, 5, 3]
    return list(zip(anchors, boxes, strict=True))


ENCODE = Function(
    name="encode_box",
    truth=_encode,
    cases=_encode_cases,
    shown=("anchor", "box"),
    sketch=_code_sketch,
    mistakes=(
        Mistake("divided_by_object",
                "you divided by the object's sides; the network knows the anchor's only",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    (x - xa) / w, (y - ya) / h, math.log(w / wa), math.log(h / ha)])),
        Mistake("corners_for_centres",
                "you measured from corner to corner; dx and dy go from centre to centre",
                lambda anchor, box: [
                    (box[0] - anchor[0]) / (anchor[2] - anchor[0]),
                    (box[1] - anchor[1]) / (anchor[3] - anchor[1]),
                    math.log((box[2] - box[0]) / (anchor[2] - anchor[0])),
                    math.log((box[3] - box[1]) / (anchor[3] - anchor[1]))]),
        Mistake("log_inverted",
                "you took the logarithm of anchor / object, which is that of object / anchor with the "
                "other sign",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    (x - xa) / wa, (y - ya) / ha, math.log(wa / w), math.log(ha / h)])),
        Mistake("from_object_to_anchor",
                "you went from the object to the anchor: all four signs are turned",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    (xa - x) / wa, (ya - y) / ha, math.log(wa / w), math.log(ha / h)])),
        Mistake("in_pixels",
                "you left dx and dy in pixels",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    x - xa, y - ya, math.log(w / wa), math.log(h / ha)])),
        Mistake("no_log",
                "you left the logarithm out of dw and dh",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    (x - xa) / wa, (y - ya) / ha, w / wa, h / ha])),
        Mistake("log_of_two",
                "you took the logarithm to the base 2; it is the natural one, which exp undoes",
                _coded(lambda x, y, w, h, xa, ya, wa, ha: [
                    (x - xa) / wa, (y - ya) / ha, math.log2(w / wa), math.log2(h / ha)])),
    ),
    properties=(
        Property("an anchor that is its box already has the code 0, 0, 0, 0",
                 lambda case, code: bool((case[0] != case[1]).any() or np.allclose(code, 0))),
        Property("equal sides have dw and dh of 0",
                 lambda case, code: bool(np.allclose(code[2:][
                     np.isclose((case[0][2:] - case[0][:2]), (case[1][2:] - case[1][:2]))], 0))),
    ),
    why="Everything is measured in the anchor's own sides, so the same four numbers mean the same to a "
    "small and to a large anchor.",
    hints=(
        "First bring both to centre and sides: x = (x1 + x2) / 2, w = x2 − x1.",
        "How many anchor widths is the object's centre to the right of the anchor's?",
        "How many times as wide as the anchor is the object? Take the natural logarithm, `math.log`.",
    ),
    solution="""
def encode_box(anchor, box):
    (x1, y1, x2, y2), (u1, v1, u2, v2) = anchor, box
    wa, ha, w, h = x2 - x1, y2 - y1, u2 - u1, v2 - v1
    dx = ((u1 + u2) / 2 - (x1 + x2) / 2) / wa
    dy = ((v1 + v2) / 2 - (y1 + y2) / 2) / ha
    return [dx, dy, math.log(w / wa), math.log(h / ha)]
""",
)  # fmt: skip


def _decode(anchor: np.ndarray, deltas: np.ndarray, clamp: float) -> np.ndarray:
    return decode(np.asarray(anchor, float)[None], np.asarray(deltas, float)[None], clamp=clamp)[0]


def _decoded(rule: Callable) -> Callable:
    """`decode` by another rule, which gives the centre and the sides."""

    def answer(anchor: np.ndarray, deltas: np.ndarray, clamp: float) -> list[float]:
        x, y, w, h = rule(*_centre_form(anchor), *deltas, clamp)
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]

    return answer


def _decode_cases(rng: np.random.Generator) -> list[tuple]:
    deltas = np.round(rng.uniform(-1, 1, (34, 4)), 1)
    deltas[0] = 0
    deltas[1:4, 2:] = [[5, 0], [0, 6], [-5, -6]]  # two are cut off, small sides are not
    deltas[4:6, :2] = [[5.0, -5.0], [-6.0, 4.5]]  # far away is not cut off
    return [(anchor, row, CLAMP) for anchor, row in zip(_boxes(rng, 34), deltas, strict=True)]


def _exp(value: float) -> float:
    return math.exp(min(value, CLAMP))


DECODE = Function(
    name="decode_box",
    truth=_decode,
    cases=_decode_cases,
    shown=("anchor", "deltas", "clamp"),
    sketch=lambda arguments, yours, true: boxes_sketch(
        arguments[0], yours=yours, true=true, labels=["anchor"]
    ),
    mistakes=(
        Mistake("no_clamp",
                "you let dw and dh grow without a limit",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + dx * w, y + dy * h, w * math.exp(dw), h * math.exp(dh)))),
        Mistake("no_exp",
                "you undid the logarithm with 1 + dw in place of e^dw; near 0 they look alike",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + dx * w, y + dy * h, w * (1 + min(dw, clamp)), h * (1 + min(dh, clamp))))),
        Mistake("in_pixels",
                "you moved the centre by dx pixels; dx counts widths of the anchor",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + dx, y + dy, w * _exp(dw), h * _exp(dh)))),
        Mistake("new_sides",
                "you counted dx and dy in sides of the new box; they count the anchor's",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + dx * w * _exp(dw), y + dy * h * _exp(dh), w * _exp(dw), h * _exp(dh)))),
        Mistake("clamp_everything",
                "you cut off dx and dy as well; only dw and dh go through an exponential",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + min(dx, clamp) * w, y + min(dy, clamp) * h, w * _exp(dw), h * _exp(dh)))),
        Mistake("clamp_on_both_sides",
                "you cut off very small sides, too; e to a large negative power is harmless",
                _decoded(lambda x, y, w, h, dx, dy, dw, dh, clamp: (
                    x + dx * w, y + dy * h, w * _exp(max(dw, -clamp)), h * _exp(max(dh, -clamp))))),
        Mistake("corner_moved",
                "you moved the upper left corner and stretched from there; what moves is the centre",
                lambda anchor, deltas, clamp: [
                    *(left := [anchor[k] + deltas[k] * (anchor[k + 2] - anchor[k]) for k in (0, 1)]),
                    *(left[k] + (anchor[k + 2] - anchor[k]) * _exp(deltas[k + 2]) for k in (0, 1))]),
    ),
    properties=(
        Property("the code 0, 0, 0, 0 leaves the anchor as it is",
                 lambda case, box: bool(np.any(case[1]) or np.allclose(box, case[0]))),
        Property("both sides of a box are above 0",
                 lambda case, box: bool((box[2:] > box[:2]).all())),
    ),
    why="It undoes `encode`, but for sides that would grow more than e^clamp times.",
    hints=(
        "Bring the anchor to centre and sides, change those four, and go back to corners.",
        "The new width is w · exp(min(dw, clamp)).",
        "The new centre is x + dx · w, with the anchor's width w.",
    ),
    solution="""
def decode_box(anchor, deltas, clamp):
    x1, y1, x2, y2 = anchor
    dx, dy, dw, dh = deltas
    w, h = x2 - x1, y2 - y1
    x, y = (x1 + x2) / 2 + dx * w, (y1 + y2) / 2 + dy * h
    w, h = w * math.exp(min(dw, clamp)), h * math.exp(min(dh, clamp))
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
""",
)  # fmt: skip

EXERCISES = (ENCODE, DECODE)
