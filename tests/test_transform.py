"""From photographs to the network's array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn import transform
from minirnn.backend import to_host
from minirnn.data.sample import Target
from minirnn.errors import InputError
from minirnn.textbook import transform as textbook

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _target(boxes, masks=None, **fields):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    n = len(boxes)
    return Target(boxes, np.ones(n, np.int64), masks, np.zeros(n, bool), **fields)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 900), st.integers(1, 1500))
def test_scaled_size_is_the_textbook(height, width, min_size, max_size):
    assert transform.scaled_size(height, width, min_size, max_size) == textbook.scaled_size(
        height, width, min_size, max_size
    )


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((427, 640), (800, 1199)), ((480, 640), (800, 1066)), ((200, 1000), (266, 1333))],
)
def test_scaled_size_known(size, scaled):
    assert transform.scaled_size(*size, 800, 1333) == scaled


def test_normalise_is_the_textbook(xp):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    result = transform.normalise(xp.asarray(image), MEAN, STD)
    assert result.dtype == np.float32
    np.testing.assert_allclose(to_host(result), textbook.normalise(image, MEAN, STD), atol=1e-6)


def test_batch_pads_at_the_bottom_and_right():
    images = [np.full((20, 30, 3), 255, np.uint8), np.full((40, 10, 3), 255, np.uint8)]
    batch = transform.make_batch(
        images, min_sizes=[20, 10], max_size=64, mean=(0, 0, 0), std=(1, 1, 1), divisor=16
    )
    assert batch.images.shape == (2, 3, 48, 32)
    assert batch.sizes == [(20, 30), (40, 10)]
    np.testing.assert_allclose(batch.images[0, :, :20, :30], 1)
    assert batch.images.sum() == pytest.approx(3 * (600 + 400))


def test_bgr_turns_the_channels():
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 255
    settings = {"min_sizes": [4], "max_size": 4, "mean": (0, 0, 0), "std": (1, 1, 1), "divisor": 1}
    assert transform.make_batch([image], **settings).images[0, 0].mean() == 1
    assert transform.make_batch([image], bgr=True, **settings).images[0, 2].mean() == 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
def test_scale_masks_is_the_textbook(height, width, new_height, new_width):
    masks = np.random.default_rng(0).random((2, height, width)) < 0.5
    np.testing.assert_array_equal(
        transform.scale_masks(masks, (new_height, new_width)),
        textbook.scale_masks(masks, (new_height, new_width)),
    )


def test_target_moves_with_the_image(xp):
    masks = np.zeros((1, 10, 20), bool)
    masks[0, 2:4, 5:10] = True
    ready = transform.prepare_target(_target([[5, 2, 10, 4]], masks), (10, 20), (20, 60), xp)
    np.testing.assert_allclose(to_host(ready.boxes), [[15, 4, 30, 8]])
    rows, columns = np.nonzero(to_host(ready.masks)[0])
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (4, 8, 15, 30)
    np.testing.assert_allclose(
        textbook.scale_boxes(np.array([[5.0, 2, 10, 4]]), (10, 20), (20, 60)), [[15, 4, 30, 8]]
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (_target([[1, 1, 1, 5]], image_id=7, file_name="a.jpg"), r"image 7 \(a.jpg\): box 0"),
        (_target([[1, 1, np.nan, 5]]), "no area"),
        (_target([[1, 1, 3, 5]], np.zeros((1, 9, 9), bool)), "masks have shape"),
        (Target(np.ones((1, 3)), np.ones(1), None, np.zeros(1)), "boxes have shape"),
        (Target(np.array([[0, 0, 1, 1]]), np.ones(2), None, np.zeros(1)), "labels of shape"),
        (Target(np.array([[0, 0, 1, 1]]), np.zeros(1), None, np.zeros(1)), "start at 1"),
    ],
)
def test_trap_31_degenerate_targets_are_refused_with_the_image(target, message):
    with pytest.raises(InputError, match=message):
        transform.prepare_target(target, (10, 10), (10, 10))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), "image 0 has shape"),
        (np.zeros((4, 4, 4), np.uint8), "image 0 has shape"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        ("photo.jpg", r"image 0 is 'photo.jpg' \(str\)"),
    ],
)
def test_bad_images_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        transform.make_batch([image], min_sizes=[8], max_size=16, mean=MEAN, std=STD)


def test_no_images_are_refused():
    with pytest.raises(InputError, match="empty"):
        transform.make_batch([], min_sizes=[], max_size=16, mean=MEAN, std=STD)
