"""Pictures of the three RoI operations over a photograph and a mask."""

import numpy as np
import pytest

from minirnn.draw import mask_views_figure, photo_regions_figure
from minirnn.draw.roi import matrix_figure
from minirnn.errors import InputError

IMAGE = np.full((60, 80, 3), 200, np.uint8)
BOX = np.array([13.0, 9.0, 45.0, 41.0])


def titles(picture):
    return [axes.get_title() for axes in picture.axes]


def test_regions_and_their_overlap_are_named():
    names = titles(photo_regions_figure(IMAGE, BOX, 16))
    # 13…45 and 9…41 by 16 are columns 1 to 3, rows 1 to 3: 48 × 48 pixels from (16, 16).
    shared = (45 - 16) * (41 - 16)
    expected = shared / (32 * 32 + 48 * 48 - shared)
    assert names == [
        f"RoIPool\nIoU with the box {expected:.2f}",
        f"RoIWarp\nIoU with the box {expected:.2f}",
        "RoIAlign\nIoU with the box 1.00",
    ]


def test_a_mask_seen_exactly_comes_back_and_others_do_not():
    mask = np.zeros((60, 80), bool)
    mask[9:41, 13:45] = True
    pool, warp, align = titles(mask_views_figure(mask, BOX, 16))
    assert align == "RoIAlign\nIoU 1.000\n0 missed, 0 too much"
    assert float(pool.split()[2]) == float(warp.split()[2]) < 0.8


def test_the_matrix_has_a_row_for_each_bin():
    picture = matrix_figure(np.eye(4, 6), (2, 3))
    assert picture.axes[0].get_ylim() == (4, 0)
    with pytest.raises(InputError, match="weights has shape"):
        matrix_figure(np.eye(4), (2, 3))


@pytest.mark.parametrize("draw", [photo_regions_figure, mask_views_figure])
def test_bad_input_is_named(draw):
    with pytest.raises(InputError, match="box has shape"):
        draw(IMAGE if draw is photo_regions_figure else IMAGE[..., 0] > 0, BOX[:3], 16)
    with pytest.raises(InputError, match="shape"):
        draw(np.zeros((0, 0)), BOX, 16)
