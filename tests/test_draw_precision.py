"""Pictures of the average precision: what they show is what was matched and read."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.draw import precision as draw
from minirnn.errors import InputError
from minirnn.evaluation.average_precision import precision_at_recalls
from minirnn.lessons.bank.precision import AP_BY_HAND, AVERAGE_PRECISION
from minirnn.lessons.bank.right_or_wrong import ASSIGN

IMAGE = np.full((40, 60, 3), 200, np.uint8)
BOXES = np.array([[5.0, 5, 25, 30], [30, 10, 50, 35]])


def texts(figure):
    return " | ".join(t.get_text() for axes in figure.axes for t in [axes.title, *axes.texts])


def test_detections_have_the_colour_of_what_they_found():
    figure = draw.assignment_figure(
        IMAGE, BOXES, BOXES[[1, 1]], [0.9, 0.5], [1, -1], colours=["#ff0000", "#00ff00"]
    )
    assert "1: 0.90 | 2: 0.50" in texts(figure)
    plates = [t.get_bbox_patch().get_facecolor()[:3] for t in figure.axes[0].texts]
    assert plates[0] == (0, 1, 0)
    assert plates[1] not in [(0, 1, 0), (1, 0, 0)]
    assert figure.png()


def test_nothing_there_and_nothing_found_are_drawn():
    assert draw.assignment_figure(IMAGE, [], [], [], []).png()
    assert draw.assignment_figure(IMAGE, BOXES, [], [], []).png()
    assert "AP 0.000" in texts(draw.staircase_figure([], 3, np.zeros(101)))


def test_the_staircase_has_a_dot_for_each_detection_and_its_ap():
    correct = np.array([True, False, True, True])
    figure = draw.staircase_figure(correct, 4, precision_at_recalls(correct, 4)[0])
    assert f"AP {AP_BY_HAND.truth:.3f}" in texts(figure)
    dots = [tuple(np.ravel(line.get_xydata())) for line in figure.axes[0].lines[2:]]
    assert np.allclose(dots, [(0.25, 1), (0.25, 0.5), (0.5, 2 / 3), (0.75, 0.75)])
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert np.mean(heights) == pytest.approx(AVERAGE_PRECISION.truth(correct, 4))


def test_curves_of_thresholds_and_of_moved_boxes():
    figure = draw.thresholds_figure({0.5: np.ones(101), 0.95: np.zeros(101)})
    assert [t.get_text() for t in figure.legends[0].texts] == [
        "IoU ≥ 0.50: AP 1.000",
        "IoU ≥ 0.95: AP 0.000",
    ]
    assert len(draw.tolerance_figure([0, 1], {"AP50": [1, 0.5]}).axes[0].lines) == 1


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(InputError, match="1 scores"):
        draw.assignment_figure(IMAGE, BOXES, BOXES, [0.5], [0, 1])
    with pytest.raises(InputError, match="there are 2 objects"):
        draw.assignment_figure(IMAGE, BOXES, BOXES, [0.5, 0.4], [0, 2])
    with pytest.raises(InputError, match="count is 0"):
        draw.staircase_figure([True], 0, np.ones(101))
    with pytest.raises(InputError, match="1 detections have 2 colours"):
        draw.staircase_figure([True], 1, np.ones(101), colours=["red", "red"])
    with pytest.raises(InputError, match="readings has shape"):
        draw.staircase_figure([True], 1, np.ones(11))
    with pytest.raises(InputError, match=r"IoU 0\.5"):
        draw.thresholds_figure({0.5: np.ones(11)})
    with pytest.raises(InputError, match="empty"):
        draw.thresholds_figure({})
    with pytest.raises(InputError, match="AP50 has shape"):
        draw.tolerance_figure([0, 1], {"AP50": [1]})


def test_the_exercise_draws_a_case_without_objects():
    arguments = (np.array([0.5]), np.zeros((1, 0)), np.zeros(0, bool), 0.5)
    assert ASSIGN.sketch(arguments, np.array([1.0]), np.array([0.0])).png()
