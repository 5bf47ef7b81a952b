"""Lesson 13: R-CNN, Fast, Faster and Mask R-CNN, and the work that each saves."""

from __future__ import annotations

import numpy as np

from minirnn.lessons.exercise import Choice, Function, Mistake, Property


def _work(pixels: int, side: int, count: int, body: int, head: int, rpn: int) -> np.ndarray:
    """Multiplications of R-CNN, Fast R-CNN and Faster R-CNN for one image."""
    return np.array(
        [
            count * (side * side * body + head),
            pixels * body + count * head,
            pixels * (body + rpn) + count * head,
        ],
        dtype=float,
    )


def _images(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for _ in range(30):
        side = int(rng.choice([2, 3, 4, 8]))
        pixels = int(rng.integers(20, 200))
        cases.append((pixels, side, *(int(v) for v in rng.integers(2, 12, 4))))
    return cases


WORK = Function(
    name="work",
    truth=_work,
    cases=_images,
    shown=("pixels", "side", "count", "body", "head", "rpn"),
    mistakes=(
        Mistake(
            "body_for_each_in_fast",
            "you send every proposal through the body in Fast R-CNN, too; it computes the maps once",
            lambda pixels, side, count, body, head, rpn: [
                count * (side**2 * body + head),
                pixels * body * count + count * head,
                pixels * (body * count + rpn) + count * head,
            ],
        ),
        Mistake(
            "head_once",
            "you count the head once for an image; every proposal goes through it, in all three",
            lambda pixels, side, count, body, head, rpn: [
                count * side**2 * body + head,
                pixels * body + head,
                pixels * (body + rpn) + head,
            ],
        ),
        Mistake(
            "resize_forgotten",
            "you send the whole image through the body for each proposal of R-CNN; it is cut out and "
            "resized to side × side",
            lambda pixels, side, count, body, head, rpn: [
                count * (pixels * body + head),
                pixels * body + count * head,
                pixels * (body + rpn) + count * head,
            ],
        ),
        Mistake(
            "rpn_for_each",
            "you run the RPN once for each proposal; it looks once at every place of the maps, and the "
            "proposals come out of it",
            lambda pixels, side, count, body, head, rpn: [
                count * (side**2 * body + head),
                pixels * body + count * head,
                pixels * body + count * (rpn + head),
            ],
        ),
        Mistake(
            "rpn_is_free",
            "you let the RPN's proposals come for nothing; its convolutions run over the whole image",
            lambda pixels, side, count, body, head, rpn: [
                count * (side**2 * body + head),
                pixels * body + count * head,
                pixels * body + count * head,
            ],
        ),
    ),
    properties=(
        Property(
            "Faster R-CNN does all that Fast R-CNN does, and the RPN on top",
            lambda _, work: bool(work[2] >= work[1]),
        ),
    ),
    why="R-CNN's body runs over count · side² pixels, the others' over the image once; the head runs for "
    "every proposal in all of them.",
    hints=(
        "How many pixels go through the body in each of the three?",
        "R-CNN: `count * side ** 2`. The others: `pixels`, however many proposals there are.",
        "The head: `count` times in all three. The RPN: for every pixel, in the last one only.",
    ),
    solution="""
def work(pixels, side, count, body, head, rpn):
    r_cnn = count * (side ** 2 * body + head)
    fast = pixels * body + count * head
    return [r_cnn, fast, fast + pixels * rpn]
""",
)

WHO_LEARNS = Choice(
    name="who_learns",
    truth="proposals",
    mistakes={
        "backbone": "the heads' gradient comes back through RoIAlign into the maps, and so to the "
        "backbone; Fast R-CNN trains it already",
        "roialign": "that is a weighted sum of cells, and its gradient goes to those cells (lesson 8)",
        "rpn": "the RPN has losses of its own, objectness and box, and learns from them",
        "box head": "the box head is where the classification loss stands; it learns first of all",
    },
    why="The proposals' four numbers are taken as constants: where a region lies is taught by the RPN's "
    "own loss, not by what the heads make of it, although RoIAlign would have a gradient for it.",
    hints=(
        "Which of them is a decision rather than a layer?",
        "Lesson 8: the box itself gets no gradient from any of the three operations.",
    ),
    solution="The coordinates of the proposals: `proposals`. They are detached from the graph.",
)

EXERCISES = (WORK, WHO_LEARNS)
