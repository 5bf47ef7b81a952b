"""Modules and layers."""

from minirnn.nn.layers import (
    Conv2d,
    ConvTranspose2d,
    FrozenBatchNorm2d,
    GroupNorm,
    Linear,
    MaxPool2d,
    ReLU,
)
from minirnn.nn.module import Module, Sequential, parameter

__all__ = [
    "Conv2d",
    "ConvTranspose2d",
    "FrozenBatchNorm2d",
    "GroupNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Sequential",
    "parameter",
]
