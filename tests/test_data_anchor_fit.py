"""The best IoU is found without making all anchors, and a suggestion fits better than what is there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from minirnn.anchors import AnchorGenerator, pyramid_anchors
from minirnn.boxes import iou
from minirnn.cli.options import parse_overrides
from minirnn.data.inspection.anchor_fit import (
    Detector,
    Objects,
    best_ious,
    fit_anchors,
    k_means,
    seen_by,
    share,
)
from minirnn.models import PRESETS
from minirnn.models.build import anchor_generator, transform
from minirnn.structures import Target
from minirnn.transform import Transform, prepare_target, scaled_size

STRIDES = (4, 8, 16, 32, 64)
PLAIN = AnchorGenerator(((16,), (32,), (64,), (128,), (256,)), (0.5, 1.0, 2.0), offset=0.5)
SIZE = Transform(min_sizes=(160,), max_size=320, mean=(0, 0, 0), std=(1, 1, 1), divisor=32)


def drawn(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    sides = 2 ** rng.uniform(1, 8.7, (count, 2))
    sides = np.minimum(sides, (width, height))
    corner = rng.uniform(0, 1, (count, 2)) * ((width, height) - sides)
    return np.concatenate([corner, corner + sides], axis=1)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("integer_strides", [False, True])
def test_best_ious_are_those_of_all_anchors(offset, rounded, integer_strides):
    anchors = dataclasses.replace(
        PLAIN, offset=offset, rounded=rounded, integer_strides=integer_strides
    )
    height, width = 416, 352  # no multiples of 64, the coarsest stride
    boxes = drawn(np.random.default_rng(0), 200, height, width)
    objects = Objects(boxes, np.tile([height, width], (len(boxes), 1)))
    every = pyramid_anchors(
        (height, width),
        [(-(-height // stride), -(-width // stride)) for stride in STRIDES],
        anchors.sizes,
        anchors.ratios,
        rounded=rounded,
        offset=offset,
        integer_strides=integer_strides,
        dtype=np.float64,
    )
    expected = iou(boxes, np.concatenate(every)).max(axis=1)
    np.testing.assert_allclose(best_ious(objects, anchors, STRIDES), expected, atol=1e-12)


def test_objects_are_scaled_as_the_network_scales_them():
    boxes = np.array([[10, 20, 30, 60], [0, 0, 400, 100]], np.float32)
    sizes = np.array([[100, 50], [100, 400]])
    seen = seen_by(boxes, sizes, SIZE)
    for box, size, own, canvas in zip(boxes, sizes, seen.boxes, seen.canvases, strict=True):
        new = scaled_size(*map(int, size), 160, 320)
        target = Target(
            boxes=box[None], labels=np.ones(1, int), masks=None, is_crowd=np.zeros(1, bool)
        )
        np.testing.assert_allclose(
            own, prepare_target(target, tuple(size), new).boxes[0], rtol=1e-5
        )
        assert (canvas % 32 == 0).all()
        assert (canvas >= new).all()
        assert (canvas < np.add(new, 32)).all()


def test_a_suggestion_fits_better_and_says_what_set_takes():
    """Objects five times as tall as wide: the usual ratios reach none of them, k-means finds theirs."""
    rng = np.random.default_rng(0)
    widths = rng.uniform(8, 20, 300)
    corner = rng.uniform(0, 100, (300, 2))
    boxes = np.concatenate([corner, corner + np.stack([widths, 5 * widths], axis=1)], axis=1)
    objects = {"train": Objects(boxes[:200], np.full((200, 2), 256))}
    objects["val"] = Objects(boxes[200:], np.full((100, 2), 256))
    fit = fit_anchors(Detector("own", SIZE, PLAIN, STRIDES), objects)
    assert share(fit.best["train"]) < 0.3
    assert share(fit.suggested["train"]) > 0.95
    assert share(fit.suggested["val"]) > 0.95
    assert [len(level) for level in fit.suggestion.sizes] == [1] * 5
    config = PRESETS["maskrcnn_small_fpn"].replace(**parse_overrides(fit.options()))
    assert tuple(config.anchors.ratios) == tuple(fit.suggestion.ratios)
    assert [list(level) for level in config.anchors.sizes] == [
        list(s) for s in fit.suggestion.sizes
    ]


def test_anchors_that_fit_are_kept():
    sides = np.array([[16, 16], [32, 32], [64, 64]] * 10, float)
    objects = {
        "train": Objects(
            np.concatenate([0 * sides + 40, sides + 40], axis=1), np.full((30, 2), 256)
        )
    }
    fit = fit_anchors(Detector("own", SIZE, PLAIN, STRIDES), objects)
    assert share(fit.best["train"]) == 1
    assert (fit.suggestion, fit.suggested, fit.options()) == (None, {}, [])
    nothing = {"train": Objects(np.zeros((0, 4)), np.zeros((0, 2), int))}
    assert fit_anchors(Detector("own", SIZE, PLAIN, STRIDES), nothing).suggestion is None
    assert share(np.zeros(0)) == 0


def test_k_means_finds_groups_and_keeps_centres_apart():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 0.05, 50) for m in (1, 4, 9)])
    np.testing.assert_allclose(k_means(values, 3, 0.2), [1, 4, 9], atol=0.05)
    spread = k_means(np.full(10, 3.0), 4, 0.25)
    np.testing.assert_allclose(np.diff(spread), 0.25)
    assert spread.mean() == pytest.approx(3)


KINDS = ("maskrcnn_small_fpn", "maskrcnn_shapes", "keypointrcnn_shapes", "maskrcnn_resnet18_fpn")


@pytest.mark.parametrize("name", [*KINDS, "maskrcnn_resnet50_c4", "maskrcnn_resnet50_dc5"])
def test_strides_and_anchors_of_each_kind_of_network_go_together(name):
    from minirnn.cli.data_inspect import strides_of

    config = PRESETS[name]
    strides = strides_of(config)
    objects = seen_by(np.array([[10.0, 10, 90, 90]]), np.array([[200, 300]]), transform(config))
    assert best_ious(objects, anchor_generator(config), strides)[0] > 0.3
