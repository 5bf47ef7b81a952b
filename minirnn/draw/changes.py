"""What a network is trained on: pictures as augmentation has changed them, with their masks and boxes.

python -m minirnn.draw.changes docs/changes.webp        the picture in docs/training.md, of shapes
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.data.augmentation import Augmentation
from minirnn.data.scenes import make_scene
from minirnn.data.transforms import horizontal_flip
from minirnn.draw.detections import draw_instances
from minirnn.draw.palette import GREY, PALETTE
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample, Target

SIDE = 1.6  # of a panel, in inches
SCALE = 2.5  # of a picture of shapes, so that its outlines are thin
SCENES = 24, 21  # the numbers of two pictures whose shapes stand out


def changes_figure(rows: Mapping[str, Sequence[Sample]]) -> Picture:
    """Samples in rows; each object in its category's colour, and what is set aside (or a crowd) in grey.

    Args:
        rows: the samples of each row, by what is written beside it.

    Raises:
        InputError: there are no samples.
    """
    columns = max((len(samples) for samples in rows.values()), default=0)
    if not columns:
        raise InputError("rows has no samples; there is nothing to draw")
    figure = Picture(figsize=(SIDE * columns + 1.6, SIDE * len(rows)), dpi=110)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for row, (name, samples) in zip(panels, rows.items(), strict=True):
        row[0].text(-0.06, 0.5, name, ha="right", va="center", transform=row[0].transAxes)
        for axes in row:
            axes.set_axis_off()
        for axes, sample in zip(row, samples, strict=False):
            axes.imshow(_painted(sample))
    return figure


def _painted(sample: Sample) -> np.ndarray:
    target = sample.target
    colours = [
        GREY if aside else PALETTE[(int(label) - 1) % len(PALETTE)]
        for label, aside in zip(target.labels, target.is_crowd, strict=True)
    ]
    unnamed = dict.fromkeys(target.labels.tolist(), "")
    scale = max(1.0, SCALE * 128 / max(sample.image.shape[:2]))
    return draw_instances(
        *(sample.image, target.boxes, target.labels, None, target.masks, unnamed),
        colours=colours,
        scale=scale,
    )


def shapes_changed(columns: int = 5, seed: int = 5) -> dict[str, list[Sample]]:
    """Each change of a training on a scene of generated shapes, and all together."""
    sample, other = (_scene(number) for number in SCENES)
    window = {"zoom": (2, 2), "focus": 0.5}
    everything = {"flip": 0.5, "zoom": (0.5, 2), "focus": 0.8, "min_visible": 0.2}
    changes: dict[str, dict[str, Any]] = {
        "crop=0.5": {"crop": 0.5},
        "zoom=(0.5, 2)": {"zoom": (0.5, 2)},
        "zoom=(2, 2)\nfocus=0.5": window,
        "the same with\nmin_visible=0.5": window | {"min_visible": 0.5},
        "copy_paste=1": {"copy_paste": 1},
        "colour=0.4": {"colour": 0.4},
        "all together": everything | {"copy_paste": 0.5, "colour": 0.4},
    }
    rows = {"as they are,\nand flip=1": [sample, other, horizontal_flip(sample)]}
    for name, settings in changes.items():
        change = Augmentation(**({"flip": 0} | settings))
        rng = np.random.default_rng(seed)
        rows[name] = [change(sample, rng, None, lambda _: other) for _ in range(columns)]
    return rows


def _scene(number: int) -> Sample:
    scene = make_scene(np.random.default_rng(number), "hard")
    masks = np.stack([instance.mask for instance in scene.instances])
    labels = np.array([instance.category_id for instance in scene.instances], np.intp)
    return Sample(
        scene.image, Target(boxes_of_masks(masks), labels, masks, np.zeros(len(masks), bool))
    )


if __name__ == "__main__":
    changes_figure(shapes_changed()).savefig(sys.argv[1], pil_kwargs={"quality": 75})
