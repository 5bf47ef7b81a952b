"""Detectors: their configuration, presets by name, how they are put together, and the whole chain."""

from minirnn.models.build import build_model, detector
from minirnn.models.config import Config
from minirnn.models.presets import PRESETS, preset_named
from minirnn.models.rcnn import RCNN

__all__ = ["PRESETS", "RCNN", "Config", "build_model", "detector", "preset_named"]
