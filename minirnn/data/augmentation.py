"""How each picture of a training is changed: the settings, and the order in which they are applied.

    mirrored → zoomed → cropped → colours changed → what somebody adds

A change that is off draws nothing, so that it does not alter what the others draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minirnn.data.colour import amounts_of, color_jitter
from minirnn.data.cropping import random_crop
from minirnn.data.people import KEYPOINTS
from minirnn.data.transforms import horizontal_flip
from minirnn.data.zoom import NO_ZOOM, check_zoom, random_zoom
from minirnn.errors import InputError
from minirnn.structures import Sample


@dataclass(frozen=True)
class Augmentation:
    """The settings of all changes. All but `flip` are off if nothing is said.

    Attributes:
        flip: probability of a horizontal flip.
        zoom: each picture is scaled by a factor between these two, its size staying as it is, see
            `random_zoom`; (1, 1) for none.
        crop: each picture is cropped to a random window with at least this share of its sides, see
            `random_crop`; 1 leaves it whole.
        focus: probability that the window of `zoom` or `crop` is laid where an object is.
        min_visible: an object of which a window leaves less than this share is set aside, see `crop`.
        colour: how much brightness, contrast and saturation of each picture change at most, see
            `colour.amounts_of`; 0 leaves them.
        further: a further change to each sample, `further(sample, rng)`; None for none.

    Raises:
        InputError: a setting is out of range; names it.
    """

    flip: float = 0.5
    zoom: Sequence[float] = NO_ZOOM
    crop: float = 1.0
    focus: float = 0.0
    min_visible: float = 0.0
    colour: float = 0.0
    further: Callable[[Sample, np.random.Generator], Sample] | None = None

    def __post_init__(self) -> None:
        for name in ("flip", "focus"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"{name} is {getattr(self, name)}; it should be a probability, from 0 to 1"
                )
        if not 0 < self.crop <= 1:
            raise InputError(f"crop is {self.crop}; it should be more than 0 and at most 1")
        for name in ("min_visible", "colour"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it should be from 0 to 1")
        check_zoom(self.zoom)

    def __call__(
        self, sample: Sample, rng: np.random.Generator, keypoint_names: Sequence[str] | None = None
    ) -> Sample:
        """The sample, changed by what `rng` draws.

        Args:
            sample: left as it is.
            rng: see above.
            keypoint_names: by which a flip exchanges left and right; None for COCO's.
        """
        if rng.random() < self.flip:
            sample = horizontal_flip(sample, keypoint_names or KEYPOINTS)
        where = {"focus": self.focus, "min_visible": self.min_visible}
        if tuple(self.zoom) != NO_ZOOM:
            sample = random_zoom(sample, rng, self.zoom, **where)
        if self.crop < 1:
            sample = random_crop(sample, rng, self.crop, **where)
        if self.colour:
            sample = color_jitter(sample, rng, **amounts_of(self.colour))
        return sample if self.further is None else self.further(sample, rng)
