"""The course: every known mistake of every exercise is named, every right answer passes, nothing breaks.

The bank of exercises is the test suite: a new exercise is tested by being there.
"""

from __future__ import annotations

import io
import json
import re
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minirnn import lessons
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.lessons.answer import Complaint, answers
from minirnn.lessons.exercise import Choice, Function, Number
from minirnn.lessons.sketch import boxes_sketch
from minirnn.textbook import roi_pool as textbook

FUNCTIONS = [e for e in lessons.EXERCISES.values() if isinstance(e, Function)]
NUMBERS = [e for e in lessons.EXERCISES.values() if isinstance(e, Number)]
CHOICES = [e for e in lessons.EXERCISES.values() if isinstance(e, Choice)]
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def name_of(thing):
    return thing.name if hasattr(thing, "name") else str(thing)


def written(exercise):
    """The function of an exercise's solution, run as a reader would run it in a notebook."""
    scope = {}
    exec("import math\nimport numpy as np\n" + exercise.solution, scope)
    return scope[exercise.name]


def lists(value):
    return value.tolist() if hasattr(value, "tolist") else value


def tuples(value):
    return tuple(map(tuples, value)) if isinstance(value, list) else value


STYLES = {
    "array": np.asarray,
    "list": lambda value: lists(np.asarray(value)),
    "tuple": lambda value: tuples(lists(np.asarray(value))),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=name_of)
def test_a_right_function_passes_in_every_style(exercise, style):
    solve = written(exercise)
    verdict = exercise.judge(lambda *arguments: STYLES[style](solve(*arguments)))
    assert verdict.right, verdict
    assert verdict.message == f"Right. {exercise.why}"


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=name_of)
def test_the_truth_passes_too(exercise):
    assert exercise.judge(exercise.truth).right


@pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.name}-{mistake.name}")
        for exercise in FUNCTIONS
        for mistake in exercise.mistakes
    ],
)
def test_a_known_mistake_is_named(exercise, mistake):
    verdict = exercise.judge(mistake.answer)
    assert verdict.right is False
    assert verdict.mistake == mistake.name
    assert mistake.says in verdict.message
    shown = verdict._repr_mimebundle_()
    assert shown["text/plain"] == verdict.message
    # It is drawn, unless the mistake fails by itself, which is told in words.
    assert ("text/html" in shown) == (verdict.picture is not None)
    assert verdict.picture is not None or "your function" in verdict.message


@pytest.mark.parametrize("exercise", lessons.EXERCISES.values(), ids=name_of)
def test_every_exercise_is_whole(exercise):
    assert len(exercise.mistakes) >= 3
    assert len(exercise.hints) >= 2
    assert exercise.why.endswith(".")
    assert exercise.solution.strip()
    says = [m.says for m in exercise.mistakes] if isinstance(exercise, Function) else list(
        exercise.mistakes.values()
    )  # fmt: skip
    for sentence in says:
        assert not sentence.endswith("."), sentence
        assert sentence[0].islower(), sentence
    assert len(set(says)) == len(says)
    assert exercise.judge(...).right is None
    if isinstance(exercise, Function):
        assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
        assert exercise.judge(lambda *_: ...).right is None


@pytest.mark.parametrize("exercise", NUMBERS, ids=name_of)
def test_numbers(exercise):
    for right in (exercise.truth, np.float64(exercise.truth), np.array(exercise.truth)):
        assert exercise.judge(right).right
    for wrong, says in exercise.mistakes.items():
        verdict = exercise.judge(wrong)
        assert verdict.right is False
        assert says in verdict.message
    far = exercise.truth + 1e6
    assert "too large" in exercise.judge(far).message
    assert "too small" in exercise.judge(-far).message
    for nonsense in (str(exercise.truth), [1, 2], float("nan"), "left", {}):
        assert exercise.judge(nonsense).right is False


@pytest.mark.parametrize("exercise", CHOICES, ids=name_of)
def test_choices(exercise):
    assert exercise.judge(f" {exercise.truth.upper()} ").right
    for wrong, says in exercise.mistakes.items():
        assert says in exercise.judge(wrong).message
    assert exercise.truth in exercise.judge("nonsense").message


def test_an_answer_that_agrees_with_a_mistake_in_all_cases_but_one_is_not_that_mistake():
    calls = []

    def floor_but_once(box, stride):
        calls.append(1)
        return [0, 0, 0, 0] if len(calls) == 1 else [int(edge / stride) for edge in box]

    assert lessons.check("cells_read", floor_but_once).mistake == ""


def test_the_smallest_case_that_fails_is_shown_and_the_property_that_broke():
    verdict = lessons.check(
        "bilinear_weights", lambda x, y: [0.5, 0.5, 0.5, 0.5] if x > 3 else _weights(x, y)
    )
    assert verdict.mistake == ""
    assert "add up to 1" in verdict.message
    (x, y) = map(float, re.findall(r"x = ([\d.]+), y = ([\d.]+)", verdict.message)[0])
    cases = [a for a in lessons.EXERCISES["bilinear_weights"].drawn_cases() if a[0] > 3]
    assert x + y == pytest.approx(min(a[0] + a[1] for a in cases))
    assert verdict.picture is not None


def _weights(x, y):
    across, down = (x - 0.5) % 1, (y - 0.5) % 1
    return [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x, y: 1 / 0, "raised ZeroDivisionError"),
        (lambda x, y: exit(), "raised SystemExit"),
        (lambda x: x, "raised TypeError"),
        (lambda x, y: "a quarter each", "returned the text"),
        (lambda x, y: [1, 2, 3], "returned 3 numbers, not 4 numbers"),
        (lambda x, y: [[1, 2], [3, 4]], "returned an array of shape (2, 2), not 4 numbers"),
        (lambda x, y: [1, [2, 3]], "returned [1, [2, 3]], not 4 numbers"),
        (lambda x, y: {"a": 1}, "not 4 numbers"),
        (lambda x, y: [float("nan")] * 4, "returned NaN"),
        (lambda x, y: np.ones(4) / np.zeros(4), "returned infinity"),
        (lambda x, y: [1j, 0, 0, 0], "not 4 numbers"),
        (lambda x, y: None if x > 3 else _weights(x, y), "returned nothing"),
        (3, "should be a function"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(answer, told):
    verdict = lessons.check("bilinear_weights", answer)
    assert verdict.right is False
    assert told in verdict.message
    assert verdict.message.startswith("Not yet")


def test_none_everywhere_asks_for_a_return():
    verdict = lessons.check("bilinear_weights", lambda x, y: None)
    assert verdict.right is None
    assert "return" in verdict.message


def test_an_endless_loop_ends_and_the_kernel_lives_on():
    def endless(x, y):
        while True:
            with suppress(Exception):
                x += 1

    started = time.monotonic()
    results = answers(endless, [(0, 0), (1, 1)], [np.zeros(4)] * 2, limit=0.3)
    assert time.monotonic() - started < 5
    assert results == [Complaint("is still at work after 0.3 seconds")] * 2
    # What comes after it is not interrupted.
    assert lessons.check("bilinear_weights", _weights).right
    time.sleep(0.4)


def test_an_answer_that_changes_its_argument_is_told_and_changes_only_a_copy():
    def careless(box, stride):
        box /= stride
        return box

    assert "changed its argument number 1" in lessons.check("cells_read", careless).message
    assert lessons.check(
        "cells_read", lambda b, s: [textbook.round_half_away(e / s) for e in b]
    ).right


def test_hints_come_one_at_a_time_and_begin_anew():
    hints = lessons.EXERCISES["drift"].hints
    shown = [lessons.hint("drift")._repr_markdown_() for _ in range(len(hints) + 1)]
    for number, (text, said) in enumerate(zip(hints, shown, strict=False), start=1):
        assert said == f"**Hint {number} of {len(hints)}.** {text}"
    assert shown[-1] == shown[0]


def test_solutions_are_shown_as_code_or_as_text():
    assert lessons.solution("cells_read")._repr_markdown_().startswith("```python\ndef cells_read(")
    assert "16" in lessons.solution("drift")._repr_markdown_()


def test_an_unknown_exercise_is_named_with_its_nearest():
    with pytest.raises(InputError, match="'cell_read'; did you mean 'cells_read'"):
        lessons.check("cell_read", ...)


def test_source_is_the_text_of_the_library():
    shown = lessons.source(textbook.round_half_away, textbook.roi_pool)
    text = shown._repr_markdown_()
    assert text.startswith("```python\ndef round_half_away(")
    assert text.endswith("return pooled\n```")
    assert repr(shown) == (
        "<source of minirnn.textbook.roi_pool.round_half_away, minirnn.textbook.roi_pool.roi_pool>"
    )


def test_the_scene_is_the_same_each_time_and_its_boxes_hold_its_masks():
    scene = lessons.scene(0)
    assert scene.image.shape == (128, 128, 3)
    for box, mask in zip(scene.boxes, scene.masks, strict=True):
        y, x = np.nonzero(mask)
        assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    assert len(scene.names) == len(scene.boxes) == len(scene.colours) == len(scene.labels)


def test_the_photograph_is_there_with_its_licence():
    pytest.importorskip("skimage", reason="scikit-image ships the photograph")
    subject = lessons.photograph()
    assert subject.image.shape == (512, 512, 3)
    assert "public domain" in subject.licence
    assert (subject.boxes[:, 2:] > subject.boxes[:, :2]).all()
    assert (subject.boxes >= 0).all()
    assert (subject.boxes <= 512).all()
    assert len(subject.names) == len(subject.boxes) == len(subject.colours)


def picture(value=1.0, text="a"):
    made = Picture(figsize=(2, 1))
    axes = made.subplots()
    axes.plot([0, value], [1, 2])
    axes.imshow(np.arange(4.0).reshape(2, 2))
    axes.scatter([0, 1], [value, 0])
    axes.set_title(text)
    return made


def test_a_picture_is_the_same_png_each_time_and_is_shown():
    shown, about = picture()._repr_mimebundle_()
    assert shown["image/png"] == picture().png()
    assert shown["image/png"].startswith(b"\x89PNG")
    assert b"Matplotlib" not in shown["image/png"]
    assert json.dumps(about)  # what was drawn goes into the notebook's file
    assert repr(picture()) == "<picture of 1 axes>"


def test_what_was_drawn_tells_pictures_apart():
    same, moved, renamed = (picture(*a).drawn() for a in ((), (1.5,), (1.0, "b")))
    assert same == picture().drawn()
    assert same != moved
    assert same != renamed
    assert any("line" in line for line in same)
    assert any("image" in line for line in same)
    assert any("marks" in line for line in same)


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), max_size=4),
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), max_size=2),
)
def test_boxes_of_any_kind_are_drawn(boxes, yours):
    assert boxes_sketch(boxes, yours=yours).png()


def test_labels_of_boxes_that_begin_at_one_place_do_not_overlap():
    picture = boxes_sketch(
        [[10, 10, 40, 40], [10, 10, 39, 41]], labels=["region", "object's box"], title="two"
    )
    picture.png()
    one, two = (text.get_window_extent() for text in picture.axes[0].texts)
    assert not one.overlaps(two)


def test_the_only_spot_of_a_colour_keeps_it():
    pixels = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    pixels[..., 1] = pixels[..., 0]  # no green, but for nine pixels
    pixels[5:8, 5:8] = green = (0x00, 0x9E, 0x73)
    made = Picture(figsize=(3, 3), dpi=100)
    made.figimage(pixels)
    shown = np.asarray(Image.open(io.BytesIO(made.png(dpi=100))).convert("RGB")).astype(int)
    assert (np.abs(shown - green).max(axis=2) <= 12).sum() == 9
