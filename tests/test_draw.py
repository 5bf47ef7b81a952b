"""Pictures: that what is drawn is where it should be, and that nothing breaks on odd input."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from PIL import Image

from minirnn import draw
from minirnn.data.sample import Detections, Sample, Target
from minirnn.draw.curves import smoothed
from minirnn.draw.detections import match_objects, name_of, pair_of_pictures
from minirnn.draw.palette import OBJECTS, PALETTE
from minirnn.draw.pencil import _font, _shortened
from minirnn.draw.report import duration
from minirnn.errors import InputError
from minirnn.matching import BACKGROUND, IGNORE

NAMES = ["circle", "square"]


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def noise(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box_masks(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def sample(boxes: Any = ((5, 5, 20, 20), (30, 10, 50, 35)), labels: Any = (1, 2)) -> Sample:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    target = Target(
        boxes,
        np.array(labels, np.int64),
        box_masks(boxes, 40, 60),
        np.zeros(len(boxes), bool),
        image_id=7,
        file_name="pictures/seven.png",
    )
    return Sample(noise(), target)


def found(boxes: Any = (), labels: Any = (), scores: Any = ()) -> Detections:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(
        boxes, np.array(labels, np.int64), np.array(scores, np.float32), box_masks(boxes, 40, 60)
    )


def render(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return np.asarray(Image.open(file).convert("RGB"))


def lines(axes: Any) -> int:
    collections = [c for c in axes.collections if isinstance(c, LineCollection)]
    return sum(len(c.get_segments()) for c in collections)


# One photo


def test_a_mask_is_tinted_where_it_is_and_nowhere_else():
    image = np.full((500, 600, 3), 100, np.uint8)
    masks = np.zeros((1, 500, 600), bool)
    masks[0, 200:300, 250:400] = True
    picture = draw.draw_instances(
        image, np.array([[250.0, 200, 400, 300]]), np.array([1]), None, masks, NAMES
    )
    assert picture.shape == image.shape
    expected = 0.6 * 100 + 0.4 * np.array(rgb(PALETTE[0]))
    np.testing.assert_allclose(picture[250, 325], expected, atol=1)
    changed = (picture != 100).any(axis=2)
    # Box and mask with the dark line around, and the plate above the box.
    assert changed[199:301, 249:401].all()
    changed[170:301, 249:401] = False
    assert not changed.any()


def test_a_box_covers_its_pixels_and_not_one_more():
    image = np.zeros((500, 500, 3), np.uint8)
    boxes = np.array([[100.0, 200, 180, 260]])
    picture = draw.draw_instances(image, boxes, np.array([1]), None, None, NAMES)
    ys, xs = np.nonzero((picture[200:] == rgb(PALETTE[0])).all(axis=2))
    assert (xs.min(), ys.min() + 200, xs.max() + 1, ys.max() + 201) == (100, 200, 180, 260)
    assert not (picture == rgb(PALETTE[0])).all(axis=2)[205:255, 105:175].any()


def test_the_image_given_is_not_changed():
    image, before = noise(500, 500), noise(500, 500)
    target = np.array([[10.0, 10, 300, 300]])
    draw.draw_instances(image, target, np.array([1]), None, box_masks(target, 500, 500), NAMES)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((128, 128), (512, 512)), ((40, 60), (320, 480)), ((480, 640), (480, 640)), ((1, 1), None)],
)
def test_small_images_are_enlarged_by_a_whole_number(shape, size):
    picture = draw.draw_instances(
        noise(*shape), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), None, NAMES
    )
    assert picture.dtype == np.uint8
    assert picture.shape[:2] == (size or (480, 480))
    factor = picture.shape[0] // shape[0]
    np.testing.assert_array_equal(picture[::factor, ::factor], noise(*shape))


def test_scale_can_make_the_picture_smaller():
    target = np.array([[10.0, 10, 90, 90], [3, 3, 4, 4]])
    picture = draw.draw_instances(
        noise(100, 200),
        target,
        np.array([1, 2]),
        None,
        box_masks(target, 100, 200),
        NAMES,
        scale=0.3,
    )
    assert picture.shape == (30, 60, 3)


def test_zero_detections_leave_the_photo_as_it_is():
    image = noise(500, 700)
    nothing = np.zeros((0, 500, 700), bool)
    picture = draw.draw_instances(
        image, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), nothing, NAMES,
        keypoints=np.zeros((0, 17, 3)), skeleton=[(1, 2)],
    )  # fmt: skip
    np.testing.assert_array_equal(picture, image)


def test_the_score_is_written_when_there_is_one():
    arguments = noise(500, 500), np.array([[100.0, 200, 400, 400]]), np.array([1])
    without = draw.draw_instances(*arguments, None, None, NAMES)
    with_score = draw.draw_instances(*arguments, np.array([0.9]), None, NAMES)
    other = draw.draw_instances(*arguments, np.array([0.4]), None, NAMES)
    assert (without != with_score).any()
    assert (with_score != other).any()


@settings(max_examples=40)
@given(
    box=st.tuples(*[st.floats(-100, 700)] * 4),
    text=st.text(min_size=1, max_size=80),
    height=st.integers(1, 80),
)
def test_a_label_stays_inside_the_picture(box, text, height):
    """Any box (turned round, outside, of no area) and any name: drawn without fuss."""
    image = np.zeros((height, 90, 3), np.uint8)
    picture = draw.draw_instances(
        image, np.array([box]), np.array([1]), np.array([0.5]), None, [text], scale=2
    )
    assert picture.shape == (2 * height, 180, 3)
    if height >= 10:  # there is room for a line of text: its plate is a full rectangle
        plate = (picture == rgb(PALETTE[0])).all(axis=2)
        assert plate.sum() > 60


def test_labels_of_one_place_do_not_cover_each_other():
    image = np.zeros((500, 500, 3), np.uint8)
    boxes = np.repeat([[200.0, 200, 300, 300]], 4, axis=0)
    picture = draw.draw_instances(image, boxes, np.array([1, 1, 1, 1]), None, None, NAMES)
    plates = [(picture == rgb(colour)).all(axis=2).sum() for colour in PALETTE[1:4]]
    # Their boxes are hidden by the first one, so that what is left is plate: all of one size.
    assert min(plates) > 300
    assert max(plates) - min(plates) < 0.1 * max(plates)


def test_a_long_name_is_cut():
    font = _font(13)
    assert _shortened("cat", font, 200) == "cat"
    cut = _shortened("a cat with a very long name", font, 80)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 80
    assert _shortened("cat", font, 2) == ""


def test_the_text_size_can_be_chosen():
    arguments = np.zeros((500, 500, 3), np.uint8), np.array([[100.0, 200, 400, 400]]), np.array([1])
    small = draw.draw_instances(*arguments, None, None, NAMES, text_size=10)
    large = draw.draw_instances(*arguments, None, None, NAMES, text_size=40)
    assert (large[:195] > 0).sum() > 4 * (small[:195] > 0).sum() > 0


def test_keypoints_are_drawn_where_visible_and_joined_as_coco_counts():
    image = np.zeros((500, 500, 3), np.uint8)
    points = np.array([[[100, 300, 2], [200, 300, 1], [300, 300, 0], [400, 300, 2.0]]])
    boxes = np.array([[50.0, 200, 450, 400]])
    arguments = image, boxes, np.array([1]), None, None, NAMES
    alone = draw.draw_instances(*arguments, keypoints=points)
    joined = draw.draw_instances(*arguments, keypoints=points, skeleton=[(1, 2), (2, 3), (3, 4)])
    for x, seen in ((100, True), (200, True), (300, False), (400, True)):
        assert alone[300, x].any() == seen
    assert joined[300, 150].any()  # 1 and 2 are seen
    assert not joined[300, 250].any()  # 3 is not
    assert not joined[300, 350].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": noise().astype(float)}, "float64.*uint8"),
        ({"image": noise()[..., 0]}, r"\(40, 60\).*\(H, W, 3\)"),
        ({"image": np.zeros((0, 5, 3), np.uint8)}, "one pixel"),
        ({"boxes": np.ones((2, 3))}, r"boxes has shape \(2, 3\)"),
        ({"boxes": np.full((2, 4), np.nan)}, "not finite"),
        ({"labels": np.ones(3, int)}, "2 boxes, 3 labels"),
        ({"scores": np.ones(1)}, "scores has 1"),
        ({"masks": np.ones((2, 5, 5), bool)}, r"\(2, 5, 5\).*\(2, 40, 60\)"),
        ({"keypoints": np.ones((1, 17, 3))}, r"keypoints.*\(2, P, 3\)"),
        ({"keypoints": np.ones((2, 3, 3)), "skeleton": [(1, 4)]}, "1 to 4.*1 to 3"),
        ({"keypoints": np.ones((2, 3, 3)), "skeleton": [(0, 1)]}, "0 to 1.*1 to 3"),
        ({"colours": ["#ffffff"]}, "1 colours"),
        ({"scale": 0}, "above 0"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "image": noise(),
        "boxes": np.array([[0.0, 0, 9, 9], [5, 5, 20, 20]]),
        "labels": np.array([1, 2]),
        "scores": None,
        "masks": None,
        "names": NAMES,
    }
    draw.draw_instances(**arguments)
    with pytest.raises(InputError, match=message):
        draw.draw_instances(**{**arguments, **change})


def test_names_by_position_or_by_label():
    assert [name_of(NAMES, i) for i in (1, 2, 3, 0, -1)] == [
        "circle", "square", "class 3", "class 0", "class -1",
    ]  # fmt: skip
    assert [name_of({90: "toothbrush"}, i) for i in (90, 1)] == ["toothbrush", "class 1"]


def test_arrays_on_a_device_are_drawn(xp):
    box = np.array([[5.0, 5, 20, 20]], np.float32)
    host = noise(), box, np.array([1]), np.array([0.5], np.float32), box_masks(box, 40, 60)
    points = np.array([[[8.0, 8, 1]]])
    expected = draw.draw_instances(*host, NAMES, keypoints=points)
    device = [xp.asarray(array) for array in host]
    given = draw.draw_instances(*device, NAMES, keypoints=xp.asarray(points))
    np.testing.assert_array_equal(given, expected)
    image, boxes = device[:2]
    assert lines(draw.proposals_figure(image, boxes, boxes, ground_truth=boxes).axes[0]) == 2
    assert len(draw.anchors_figure(image, [boxes], per_location=1).axes) == 1
    matched = xp.asarray(np.array([0]))
    assert lines(draw.matching_figure(image, boxes, matched, boxes).axes[0]) == 2
    assert draw.levels_figure(boxes, matched, ["P2"]).axes[0].patches
    assert draw.mask_target_figure(device[4], device[4]).axes[2].images
    assert draw.paste_error_figure(device[4][0], device[4][0], boxes[0]).axes[0].images


# Ground truth beside prediction


def test_detections_are_matched_with_objects_of_their_label():
    truth = sample([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)], (1, 1, 2))
    boxes = [(0, 0, 10, 9), (0, 0, 10, 10), (21, 0, 31, 10), (40, 0, 50, 10), (0, 20, 9, 30)]
    guess = found(boxes, (1, 1, 1, 1, 1), (0.7, 0.9, 0.8, 0.95, 0.6))
    # The best of the two on one object wins it; another label and an empty place are no objects.
    assert match_objects(truth, guess, 0.5) == [-1, 0, 1, -1, -1]
    assert match_objects(truth, guess, 0.75) == [0, 1, -1]
    assert match_objects(truth, found(), 0.5) == []
    assert match_objects(sample([], []), guess, 0.5) == [-1] * 5


def test_a_crowd_takes_any_number_of_detections_but_an_object_goes_first():
    truth = sample([(0, 0, 50, 40), (0, 0, 10, 10)], (1, 1))
    truth.target.is_crowd = np.array([True, False])
    guess = found([(0, 0, 10, 10), (20, 20, 30, 30), (30, 20, 40, 30)], (1, 1, 1), (0.9, 0.8, 0.7))
    assert match_objects(truth, guess, 0.5) == [1, 0, 0]


def test_predictions_figure_has_a_pair_for_each_image():
    truth = [sample() for _ in range(5)]
    guesses = [found([(5, 5, 20, 20)], [1], [0.9]), *[found() for _ in range(4)]]
    figure = draw.predictions_figure(truth, guesses, NAMES, columns=2)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 3 * 4
    assert [len(axes.images) for axes in figure.axes] == [1] * 10 + [0] * 2
    titles = [axes.get_title() for axes in figure.axes[:10]]
    assert titles == ["image 7: truth", "prediction"] * 5
    first, second = (figure.axes[i].images[0].get_array() for i in (1, 3))
    assert (first != second).any()  # a detection, and none
    assert render(figure).std() > 10


def test_predictions_below_the_score_are_left_out():
    guess = found([(5, 5, 20, 20)], [1], [0.4])
    shown, hidden, empty = (
        draw.predictions_figure([sample()], [g], NAMES, min_score=s).axes[1].images[0].get_array()
        for g, s in ((guess, 0.3), (guess, 0.5), (found(), 0.5))
    )
    assert (shown != hidden).any()
    np.testing.assert_array_equal(hidden, empty)


def test_predictions_figure_without_images_masks_or_fit():
    render(draw.predictions_figure([], [], NAMES))
    boxes_only = sample(), found([(5, 5, 20, 20)], [1], [0.9])
    boxes_only[0].target.masks = boxes_only[1].masks = None
    render(draw.predictions_figure(*[[part] for part in boxes_only], NAMES))
    with pytest.raises(InputError, match="1 samples and 0 detections"):
        draw.predictions_figure([sample()], [], NAMES)
    with pytest.raises(InputError, match="columns is 0"):
        draw.predictions_figure([], [], NAMES, columns=0)


def test_every_predicted_point_is_drawn_and_masks_only_beside_masks():
    truth, guess = sample([(5, 5, 40, 38)], [1]), found([(5, 5, 40, 38)], [1], [0.9])
    truth.target.keypoints = np.array([[[15, 20, 2], [30, 20, 0]]], np.float32)
    guess.keypoints = np.array([[[15, 20, -3.5], [30, 20, 4.0]]], np.float32)  # scores are logits
    guess.masks = None
    there, said = pair_of_pictures(truth, guess, NAMES, skeleton=[(1, 2)], scale=1)
    plain = np.array(truth.image)
    assert (said[20, 15] != plain[20, 15]).any()
    assert (said[20, 30] != plain[20, 30]).any()
    assert (said[20, 22] != plain[20, 22]).any()  # the line between them
    assert (there[20, 15] != plain[20, 15]).any()
    assert (there[20, 30] == plain[20, 30]).all()  # not labelled: neither point nor mask
    assert guess.keypoints[0, 0, 2] == np.float32(-3.5)  # the argument is as it was


# Curves

LOSSES = ("rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask")


def record(step: int, value: float = 0.5, **more: Any) -> dict[str, Any]:
    losses = dict.fromkeys(LOSSES, value)
    numbers = {"total": 5 * value, "learning_rate": 0.02, "gradient_norm": 1.0, "seconds": 0.1}
    return {"step": step, "losses": losses, **numbers, **more}


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_curves_have_a_panel_for_each_quantity():
    figure = draw.curves_figure([record(i, 1 / i) for i in range(1, 100)])
    assert titles(figure) == [
        "RPN objectness", "RPN box", "RoI class", "RoI box", "Mask",
        "Total loss", "Learning rate", "Gradient norm",
    ]  # fmt: skip
    for axes in figure.axes[:6]:
        raw, mean = axes.lines
        assert raw.get_alpha() < 0.5
        np.testing.assert_allclose(raw.get_xdata(), np.arange(1, 100))
        assert np.ptp(mean.get_ydata()) < np.ptp(raw.get_ydata())
        assert axes.get_xlabel() == "step"
        assert axes.get_ylabel()
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 1 / np.arange(1, 100))
    assert render(figure).std() > 5
    assert render(draw.curves_figure([record(1), record(2)], columns=1, dark=True)).mean() < 60


def test_losses_may_stand_beside_the_rest():
    flat = [{"step": i, "rpn_box": i / 10, "mask": 1.0} for i in range(3)]
    figure = draw.curves_figure(flat)
    assert titles(figure) == ["RPN box", "Mask"]
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0, 0.1, 0.2])


def test_an_unknown_loss_gets_a_panel_and_a_number_that_is_none_is_left_out():
    records = [{"step": i, "losses": {"edge_loss": 1.0, "mask": float("nan")}} for i in range(3)]
    assert titles(draw.curves_figure(records)) == ["edge loss"]


def test_a_step_that_was_repeated_after_a_resume_counts_once():
    figure = draw.curves_figure([record(1, 1), record(2, 2), record(3, 3), record(2, 7)])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1, 7, 3])


def test_one_wild_value_does_not_flatten_the_curve():
    records = [record(i, 1000.0 if i == 50 else 1.0) for i in range(100)]
    axes = draw.curves_figure(records).axes[0]
    assert axes.get_ylim()[1] < 1000
    assert axes.get_title(loc="right") == "1 value above"


def test_the_running_mean_is_a_mean_of_those_around():
    values = np.array([1.0, 5, 3, 9, 2, 8])
    expected = [3.0, 3, 17 / 3, 14 / 3, 19 / 3, 5]
    np.testing.assert_allclose(smoothed(values, 3), expected)
    np.testing.assert_allclose(smoothed(values, 1), values)
    assert smoothed(np.zeros(0), 5).shape == (0,)


def test_a_metrics_file_with_a_cut_last_line(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    whole = "".join(json.dumps(record(i)) + "\n" for i in range(1, 4))
    for tail in ("", json.dumps(record(4))[:40], '{"file": "M\u00fc'.encode()[:-1], "7", "\n"):
        path.write_bytes(whole.encode() + (tail.encode() if isinstance(tail, str) else tail))
        assert [line["step"] for line in draw.read_metrics(path)] == [1, 2, 3]
    assert len(draw.curves_figure(str(path)).axes[0].lines[0].get_xdata()) == 3
    path.write_text("")
    assert draw.read_metrics(path) == []
    assert [text.get_text() for text in draw.curves_figure(path).axes[0].texts] == [
        "no steps recorded"
    ]


def test_a_broken_metrics_file_is_named(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(InputError, match=r"cannot read .*metrics\.jsonl"):
        draw.read_metrics(path)
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2, is not a JSON object"):
        draw.read_metrics(path)


# Anchors and boxes


def grid(stride: int, size: int = 64, per_location: int = 3) -> np.ndarray:
    y, x = np.mgrid[stride / 2 : size : stride, stride / 2 : size : stride]
    centres = np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_location, axis=0)
    half = stride * np.tile(np.arange(1, per_location + 1), len(centres) // per_location)[:, None]
    return np.concatenate([centres - half, centres + half], axis=1)


def test_anchors_figure_shows_all_locations_and_one_in_full():
    figure = draw.anchors_figure(
        noise(64, 64), [grid(8), grid(16), grid(32), grid(64)], names=["P3", "P4", "P5", "P6"]
    )
    assert [axes.get_title() for axes in figure.axes] == [
        "P3: 64 × 3 anchors", "P4: 16 × 3 anchors", "P5: 4 × 3 anchors", "P6: 1 × 3 anchors",
    ]  # fmt: skip
    for axes, count in zip(figure.axes, (64, 16, 4, 1), strict=True):
        dots = next(c for c in axes.collections if isinstance(c, PathCollection))
        assert len(dots.get_offsets()) == count
        assert lines(axes) == 3
    # The coarsest anchors are larger than the image, and still seen whole.
    segments = next(c for c in figure.axes[3].collections if isinstance(c, LineCollection))
    corners = np.concatenate(segments.get_segments())
    low, high = figure.axes[3].get_xlim()
    assert low < corners[:, 0].min() < 0
    assert high > corners[:, 0].max() > 64
    render(figure)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_line_below_the_anchors_is_not_wider_than_the_figure(levels):
    figure = draw.anchors_figure(noise(64, 64), [grid(8)] * levels)
    figure.draw_without_rendering()
    box = figure._supxlabel.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_dots_too_many_to_tell_apart_are_thinned():
    axes = draw.anchors_figure(noise(64, 64), [grid(1, per_location=1)], per_location=1).axes[0]
    dots = next(c for c in axes.collections if isinstance(c, PathCollection))
    assert len(dots.get_offsets()) == 32 * 32
    assert "one location in 2×2 marked" in axes.get_title()
    assert "4096 × 1" in axes.get_title()


def test_anchors_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"level 0 has 64 anchors.*multiple of 3"):
        draw.anchors_figure(noise(64, 64), [grid(8, per_location=1)])
    with pytest.raises(InputError, match="1 levels of anchors and 2 names"):
        draw.anchors_figure(noise(64, 64), [grid(8)], names=["a", "b"])
    empty = draw.anchors_figure(noise(64, 64), [np.zeros((0, 4))])
    assert lines(empty.axes[0]) == 0
    render(empty)


def test_matching_figure_parts_positive_ignored_and_negative():
    anchors = grid(8)
    matches = np.full(len(anchors), BACKGROUND)
    matches[:2] = 1
    matches[2] = 0
    matches[3:8] = IGNORE
    truth = np.array([[0.0, 0, 8, 8], [30, 30, 60, 60]])
    figure = draw.matching_figure(noise(64, 64), anchors, matches, truth, most=10)
    assert [axes.get_title() for axes in figure.axes] == [
        "positive: 3", "ignored: 5", "negative: 184 (10 drawn)",
    ]  # fmt: skip
    assert [lines(axes) for axes in figure.axes] == [3 + 2, 5 + 2, 10 + 2]
    positive, objects = figure.axes[0].collections
    wanted = [rgb(OBJECTS[1]), rgb(OBJECTS[1]), rgb(OBJECTS[0])]
    np.testing.assert_allclose(positive.get_colors()[:, :3] * 255, wanted)
    np.testing.assert_allclose(objects.get_colors()[0, :3] * 255, rgb(OBJECTS[0]))
    render(figure)
    own = draw.matching_figure(
        noise(64, 64), anchors, matches, truth, colours=["#112233", "#445566"]
    )
    positive, objects = own.axes[0].collections
    np.testing.assert_allclose(positive.get_colors()[0, :3] * 255, rgb("#445566"))
    np.testing.assert_allclose(objects.get_colors()[0, :3] * 255, rgb("#112233"))
    with pytest.raises(InputError, match="2 objects and 1 colours"):
        draw.matching_figure(noise(64, 64), anchors, matches, truth, colours=["#112233"])


def test_matching_figure_of_nothing_and_of_nonsense():
    image, none = noise(), np.zeros((0, 4))
    render(draw.matching_figure(image, none, np.zeros(0, int), none))
    figure = draw.matching_figure(image, grid(8), np.full(192, BACKGROUND), none)
    assert figure.axes[2].get_title() == "negative: 192 (60 drawn)"
    with pytest.raises(InputError, match=r"matches has shape \(3,\).*\(192,\)"):
        draw.matching_figure(image, grid(8), np.zeros(3, int), none)
    with pytest.raises(InputError, match=r"0 to 0.*0 objects"):
        draw.matching_figure(image, grid(8), np.zeros(192, int), none)


def test_proposals_figure_before_and_after():
    before = np.array([[1.0, 2, 30, 30], [2, 2, 30, 31], [40, 5, 50, 20]])
    figure = draw.proposals_figure(noise(), before, before[::2], ground_truth=before[:1])
    assert [lines(axes) for axes in figure.axes] == [3 + 1, 2 + 1]
    assert [axes.get_title() for axes in figure.axes] == [
        "before NMS: 3 proposals", "after NMS: 2 proposals",
    ]  # fmt: skip
    first = figure.axes[0].collections[0].get_segments()[0]
    np.testing.assert_allclose(first, [[1, 2], [30, 2], [30, 30], [1, 30], [1, 2]])
    # Pixel i covers [i, i + 1): the image's edge is at its size.
    assert figure.axes[0].images[0].get_extent() == [0, 60, 40, 0]
    render(figure)
    render(draw.proposals_figure(noise(), np.zeros((0, 4)), np.zeros((0, 4))))
    with pytest.raises(InputError, match="after has shape"):
        draw.proposals_figure(noise(), before, before[:, :3])


def test_levels_figure_counts_each_box_once_in_its_level():
    sides = np.array([10.0, 50, 100, 150, 223, 225, 500, 0])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)
    levels = np.array([0, 0, 0, 1, 1, 2, 3, 0])
    figure = draw.levels_figure(boxes, levels, ["P2", "P3", "P4", "P5"])
    axes = figure.axes[0]
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == [4, 2, 1, 1]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["P2: 4", "P3: 2", "P4: 1", "P5: 1"]
    # 224 is an edge, so that no bar has both of two neighbouring levels.
    assert any(np.isclose(bar.get_x(), 224) for bar in axes.patches)
    render(figure)
    render(draw.levels_figure(np.zeros((0, 4)), np.zeros(0), ["P2", "P3"]))
    with pytest.raises(InputError, match=r"levels has shape \(2,\).*\(8,\)"):
        draw.levels_figure(boxes, levels[:2], ["P2"])
    with pytest.raises(InputError, match=r"0 to 3.*2 names"):
        draw.levels_figure(boxes, levels, ["P2", "P3"])


def disc(size: int, shift: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5
    return (x - size / 2 - shift) ** 2 + (y - size / 2) ** 2 < (size / 3) ** 2


def test_mask_target_figure_shows_what_is_missed_and_what_is_too_much():
    target = np.zeros((28, 28), bool)
    target[4:24, 4:24] = True
    probability = np.full((28, 28), 0.1)
    probability[4:24, 6:25] = 0.9
    figure = draw.mask_target_figure(target[None], probability[None])
    assert figure.axes[0].get_title() == "target, 28×28"
    assert figure.axes[2].get_title() == "IoU 0.857\n40 missed, 20 too much"
    errors = figure.axes[2].images[0].get_array()
    assert [int((errors == k).sum()) for k in (1, 2, 3)] == [360, 40, 20]
    render(figure)
    render(draw.mask_target_figure(np.zeros((0, 28, 28)), np.zeros((0, 28, 28))))
    with pytest.raises(InputError, match="both should be"):
        draw.mask_target_figure(target[None], probability)


def test_paste_error_figure_looks_from_near():
    truth, pasted = np.zeros((200, 300), bool), np.zeros((200, 300), bool)
    truth[100:130, 150:180] = disc(30)
    pasted[100:130, 150:180] = disc(30, 1.0)
    figure = draw.paste_error_figure(truth, pasted, np.array([150.0, 100, 180, 130]))
    axes = figure.axes[0]
    assert 140 < axes.get_xlim()[0] < 150
    assert 180 < axes.get_xlim()[1] < 190
    errors = axes.images[0].get_array()
    assert int((errors == 2).sum()) == int((truth & ~pasted).sum()) > 0
    assert int((errors == 3).sum()) == int((pasted & ~truth).sum()) > 0
    assert lines(axes) == 1
    render(figure)
    empty = draw.paste_error_figure(truth & False, truth & False)
    assert empty.axes[0].get_xlim() == (0, 300)
    with pytest.raises(InputError, match="both should be"):
        draw.paste_error_figure(truth, pasted[:100])


# The report

BOX_NUMBERS = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
BOX_NUMBERS += ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


class Reader(html.parser.HTMLParser):
    """Collects tags with their attributes and all text, and checks that tags are closed."""

    EMPTY = frozenset({"meta", "img", "source", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " ".join(data.split()) + "\n" if data.strip() else ""


def report(path: Path, **change: Any) -> tuple[Reader, str]:
    numbers = {name: 0.1 + 0.01 * i for i, name in enumerate(BOX_NUMBERS)}
    arguments: dict[str, Any] = {
        "title": "Shapes & <friends>",
        "settings": {"steps": 1000, "flip": True, "schedule": {"kind": "step", "at": [700, 900]}},
        "model": {"preset": "maskrcnn_shapes", "parameters": 2_500_000},
        "metrics": [{"step": 1, "mask": 1.0}, {"step": 2, "mask": 0.5}],
        "results": {"bbox": numbers, "segm": {**numbers, "AP": 0.512, "APl": -1, "ARl": None}},
        "samples": [sample(), sample()],
        "detections": [found([(5, 5, 20, 20), (1, 30, 9, 39)], [1, 2], [0.9, 0.8]), found()],
        "names": NAMES,
        "timings": {"training": 192.0, "evaluation": 9.1, "total": 201.1},
        "command": "minirnn demo --set 'x=<1>'",
    }
    draw.write_report(path, **{**arguments, **change})
    page = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader, page


def test_the_report_says_what_happened(tmp_path: Path):
    metrics = [record(i, 1 / i) for i in range(1, 30)]
    reader, _ = report(tmp_path / "runs" / "report.html", metrics=metrics)
    lines = reader.text.split("\n")
    for text in (
        "Shapes & <friends>", "maskrcnn_shapes", "2,500,000", "schedule: at", "700, 900", "yes",
        "Boxes", "Masks", "0.512", "3 min 12 s", "9.1 s", "3 min 21 s", "seven.png",
        "1 of 2 found, 1 false", "0 of 2 found", "minirnn demo --set 'x=<1>'",
    ):  # fmt: skip
        assert text in lines, text
    assert [line for line in lines if line in BOX_NUMBERS] == BOX_NUMBERS
    assert lines.count("–") == 2  # no large masks


def test_the_report_names_what_looked_wrong(tmp_path: Path):
    sign = {"name": "anchors", "text": "The anchors do not fit.", "advice": "Try <others>."}
    metrics = [{**record(1), "step": 1, "signs": [sign]}, {"step": 2, "signs": "?"}]
    reader, _ = report(tmp_path / "report.html", metrics=metrics)
    assert reader.text.count("The anchors do not fit.\nTry <others>.\n(step 1)") == 1


def test_the_report_needs_no_network_and_runs_nothing(tmp_path: Path):
    reader, page = report(tmp_path / "report.html")
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "iframe", "object", "a"}
    urls = [a[k] or "" for _, a in reader.tags for k in ("src", "srcset", "href") if k in a]
    assert len(urls) == 2 * 2
    for url in urls:
        kind, data = re.fullmatch(r"data:image/(png|webp);base64,(.+)", url).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert picture.format == kind.upper()
        picture.load()
    assert not re.search(r"https?:|url\(|@import| on\w+=", page)
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)


def test_the_report_escapes_what_it_is_given(tmp_path: Path):
    evil = "<script>alert(1)</script>\"'&"
    bad = sample()
    bad.target.file_name = evil
    reader, page = report(
        tmp_path / "report.html",
        title=evil, settings={evil: evil}, model={evil: evil}, results={evil: {evil: 0.5}},
        timings={evil: evil}, command=evil, samples=[bad], detections=[found()],
    )  # fmt: skip
    assert "<script" not in page
    assert reader.text.count("<script>alert(1)") >= 8


def test_the_report_stays_small_and_shows_a_dozen(tmp_path: Path):
    image = noise(900, 1200)
    boxes = np.array([[100.0, 100, 800, 800]], np.float32)
    masks = box_masks(boxes, 900, 1200)
    big = Sample(image, Target(boxes, np.array([1]), masks, np.zeros(1, bool), image_id=3))
    guess = Detections(boxes, np.array([1]), np.array([0.9]), masks)
    path = tmp_path / "report.html"
    reader, _ = report(path, samples=[big] * 14, detections=[guess] * 14)
    assert path.stat().st_size < 3_000_000
    assert sum(tag == "figure" and not attributes for tag, attributes in reader.tags) == 12


def test_a_report_of_little(tmp_path: Path):
    """A run that was not evaluated, and a network without masks, have their report, too."""
    reader, _ = report(
        tmp_path / "a.html",
        metrics=[], results={}, samples=[], detections=[], timings={}, model={}, settings={},
    )  # fmt: skip
    assert "It was not evaluated." in reader.text
    assert "How long it took" not in reader.text
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "total": 2.5}\n')
    reader, _ = report(tmp_path / "b.html", results={"bbox": {"AP": 0.5}}, metrics=metrics)
    assert "Masks" not in reader.text
    assert "0.500" in reader.text


def test_a_report_that_cannot_be_made_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="2 samples and 0 detections"):
        report(tmp_path / "report.html", detections=[])
    with pytest.raises(InputError, match=r"cannot read .*nothing\.jsonl"):
        report(tmp_path / "report.html", metrics=tmp_path / "nothing.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*report\.html"):
        report(tmp_path / "file" / "report.html", samples=[], detections=[])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"), (0.42, "0.42 s"), (9.14, "9.1 s"), (9.97, "10 s"), (59.4, "59 s"),
        (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3599.7, "1 h 00 min"), (7620, "2 h 07 min"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


# The package


def test_drawing_needs_neither_pyplot_nor_a_display_and_loads_late():
    code = """
import sys, minirnn, minirnn.draw
assert "matplotlib" not in sys.modules, "loaded too early"
import numpy as np
figure = minirnn.draw.levels_figure(np.ones((1, 4)), np.zeros(1), ["P2"])
figure.savefig(__import__("io").BytesIO())
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={"PATH": ""})


def test_every_name_leads_somewhere():
    for name in ("anchors_figure", "curves_figure", "draw_instances", "write_report"):
        assert name in dir(draw)
        assert callable(getattr(draw, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = draw.nothing
