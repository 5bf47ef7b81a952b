"""The pictures that are timed: a given one, one of a COCO folder, or a made-up one of the same size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minirnn.data import CocoDataset
from minirnn.data.sample import Sample, Target
from minirnn.data.scenes import make_scene
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks

#: Height and width of a usual photograph of COCO.
PHOTOGRAPH = (427, 640)
_SPLITS = ("val2017", "train2017", "val", "train")


def made_up(seed: int, size: tuple[int, int] = PHOTOGRAPH, level: str = "hard") -> Sample:
    """A scene with textured shapes on textured ground, cut to a size.

    Args:
        seed: decides everything.
        size: height and width, 32 or more.
        level: of the scene.
    """
    height, width = size
    for attempt in range(100):  # the cut can take all objects away
        rng = np.random.default_rng([seed, attempt])
        scene = make_scene(rng, level, max(size))
        seen = [(i.category_id, i.mask[:height, :width]) for i in scene.instances]
        seen = [(label, mask) for label, mask in seen if mask.any()]
        if seen:
            break
    image = np.ascontiguousarray(scene.image[:height, :width])
    masks = np.stack([mask for _, mask in seen])
    target = Target(
        boxes=boxes_of_masks(masks),
        labels=np.array([label for label, _ in seen], np.int64),
        masks=masks,
        is_crowd=np.zeros(len(masks), bool),
    )
    return Sample(image, target)


def from_coco(folder: Path) -> tuple[Sample, str]:
    """The first image of a COCO folder with three objects or more, without crowds, and its name.

    Raises:
        InputError: the folder has no such image, or no annotations that are known.
    """
    from minirnn.verify.parity_training import without_crowds

    splits = [s for s in _SPLITS if (folder / "annotations" / f"instances_{s}.json").is_file()]
    if not splits:
        wanted = ", ".join(f"instances_{split}.json" for split in _SPLITS)
        raise InputError(f"{folder} has none of {wanted} in its folder annotations")
    data = CocoDataset.from_folder(folder, splits[0])
    for number in range(len(data)):
        sample = data[number]
        if (~sample.target.is_crowd).sum() >= 3:
            return without_crowds(sample), data.describe(number)
    raise InputError(f"{folder}: no image of {splits[0]} has three objects or more")
