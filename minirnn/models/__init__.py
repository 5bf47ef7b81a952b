"""Building a model by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.models.config import Config
from minirnn.models.mask_rcnn import MaskRCNN
from minirnn.models.presets import PRESETS

__all__ = ["PRESETS", "Config", "MaskRCNN", "build_model"]


def build_model(
    name: str = "maskrcnn_resnet50_fpn", *, seed: int = 0, **overrides: Any
) -> MaskRCNN:
    """A Mask R-CNN by the name of a preset, with any field of `Config` overridden by name.

    Args:
        name: a key of `PRESETS`.
        seed: of the initial weights.
        **overrides: fields of `Config`.

    Raises:
        InputError: there is no such preset or field, or a value does not fit.
    """
    if name not in PRESETS:
        raise InputError(f"preset is {name!r}; it should be one of {', '.join(sorted(PRESETS))}")
    return MaskRCNN(PRESETS[name].replace(**overrides), np.random.default_rng(seed))
