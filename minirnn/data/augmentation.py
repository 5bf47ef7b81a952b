"""How each picture of a training is changed: the settings, and the order in which they are applied.

    mirrored → zoomed → cropped → objects pasted into it → colours changed → what somebody adds

A change that is off draws nothing, so that it does not alter what the others draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minirnn.data.colour import amounts_of, color_jitter
from minirnn.data.copy_paste import paste_objects
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
        min_visible: an object of which a window, or what is pasted over it, leaves less than this share is
            set aside, see `set_aside`.
        copy_paste: probability that objects of another picture are pasted in, see `paste_objects`.
        copy_paste_scale: they are scaled by a factor between these two.
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
    copy_paste: float = 0.0
    copy_paste_scale: Sequence[float] = (0.5, 1.5)
    colour: float = 0.0
    further: Callable[[Sample, np.random.Generator], Sample] | None = None

    def __post_init__(self) -> None:
        for name in ("flip", "focus", "copy_paste"):
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
        check_zoom(self.copy_paste_scale, "copy_paste_scale")

    def __call__(
        self,
        sample: Sample,
        rng: np.random.Generator,
        keypoint_names: Sequence[str] | None = None,
        another: Callable[[np.random.Generator], Sample | None] = lambda _: None,
        draw: float | None = None,
    ) -> Sample:
        """The sample, changed by what `rng` draws.

        Args:
            sample: left as it is.
            rng: see above.
            keypoint_names: by which a flip exchanges left and right; None for COCO's.
            another: draws a picture that objects are taken from; None where there is none.
            draw: from 0 to 1, below `flip` for a flip; None to have `rng` draw it.
        """
        names = keypoint_names or KEYPOINTS
        if (rng.random() if draw is None else draw) < self.flip:
            sample = horizontal_flip(sample, names)
        where = {"focus": self.focus, "min_visible": self.min_visible}
        if tuple(self.zoom) != NO_ZOOM:
            sample = random_zoom(sample, rng, self.zoom, **where)
        if self.crop < 1:
            sample = random_crop(sample, rng, self.crop, **where)
        if self.copy_paste and rng.random() < self.copy_paste and (other := another(rng)):
            sample = paste_objects(
                sample,
                other,
                rng,
                scale=self.copy_paste_scale,
                min_visible=self.min_visible,
                keypoint_names=names,
            )
        if self.colour:
            sample = color_jitter(sample, rng, **amounts_of(self.colour))
        return sample if self.further is None else self.further(sample, rng)
