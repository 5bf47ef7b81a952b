"""Pictures of a training, and the tiny training that they are drawn from in lesson 11."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import lessons
from minirnn.draw import training as draw
from minirnn.errors import InputError
from minirnn.lessons.overfit import found, mystery, target_of, tiny_network, train
from minirnn.structures import Detections

SCENE = lessons.scene(3, size=64)


def perfect(scores=0.9):
    count = len(SCENE.boxes)
    return Detections(
        SCENE.boxes.astype(np.float32), SCENE.labels, np.full(count, scores), SCENE.masks, None
    )


def records(*values, norm=1.0):
    return [
        {"step": step, "losses": {"mask": value, "roi_class": 1.0}, "gradient_norm": norm}
        for step, value in enumerate(values)
    ]


def test_what_was_seen_stands_above_the_losses():
    seen = {0: perfect(0.1), 10: perfect()}
    figure = draw.course_figure(
        SCENE.image, SCENE.boxes, seen, records(3, 2, 1), colours=SCENE.colours
    )
    assert [axes.get_title() for axes in figure.axes] == [
        "after 0 steps", "after 10 steps", "Mask", "RoI class",
    ]  # fmt: skip
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == [
        "0 with a score ≥ 0.5",
        "3 with a score ≥ 0.5",
    ]
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), [3, 2, 1])
    assert figure.png()


def test_nothing_found_is_drawn():
    nothing = Detections(
        np.zeros((0, 4), np.float32),
        np.zeros(0, int),
        np.zeros(0),
        np.zeros((0, 64, 64), bool),
        None,
    )
    assert draw.course_figure(SCENE.image, SCENE.boxes, {0: nothing}, records(1)).png()
    assert found(nothing, SCENE) == (0, 0.0)


def test_a_run_is_drawn_beside_the_right_one_and_its_peak_is_told():
    figure = draw.suspects_figure(records(1, 1, 1, 1), {"too fast": records(1, 500, norm=2.0)})
    right, mine = figure.axes[0].lines
    np.testing.assert_array_equal(right.get_xdata(), [0, 1])
    np.testing.assert_array_equal(mine.get_ydata(), [1, 500])
    assert figure.axes[0].texts[0].get_text() == "up to 500"
    assert figure.axes[0].get_ylabel() == "too fast"
    assert not figure.axes[1].texts


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(InputError, match="seen has 0 entries"):
        draw.course_figure(SCENE.image, SCENE.boxes, {}, records(1))
    with pytest.raises(InputError, match="records each"):
        draw.suspects_figure(records(1), {"empty": []})


def test_an_object_is_found_by_its_label_a_sure_score_and_its_place():
    assert found(perfect(), SCENE) == (3, 1.0)
    assert found(perfect(0.4), SCENE)[0] == 0
    other = perfect()
    other.labels = np.roll(other.labels, 1)
    assert found(other, SCENE)[0] == 0
    moved = perfect()
    moved.boxes = moved.boxes + 30
    assert found(moved, SCENE)[0] == 0


def test_the_photograph_has_nothing_to_teach():
    pytest.importorskip("skimage", reason="scikit-image ships the photograph")
    with pytest.raises(ValueError, match="take a scene"):
        target_of(lessons.photograph())


def test_a_few_steps_are_in_double_precision_and_the_planted_bug_is_one():
    target = target_of(SCENE)
    network = tiny_network(64)
    right = train(network, SCENE.image, target, 2, watch=(0, 2))
    assert sorted(right.seen) == [0, 2]
    assert all(p.data.dtype == np.float64 for _, p in network.named_parameters())
    strange = mystery(tiny_network(64), SCENE.image, target, 2)
    assert strange.records[0] == right.records[0]
    assert strange.records[1]["losses"] == right.records[1]["losses"]
    ratio = strange.records[1]["gradient_norm"] / right.records[1]["gradient_norm"]
    assert 1.8 < ratio < 2.2
