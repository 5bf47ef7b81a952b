"""Kernels for NumPy arrays: Winograd, blocks that fit the cache, channels last, all cores."""

from minirnn.kernels.cpu import (  # importing them enters them into the table
    activation,
    boxes,
    convolution,
    depthwise,
    masks,
    nms,
    normalisation,
    passes,
    pooling,
    resize,
    roi_pool,
    roi_sampling,
    shape,
)

__all__ = [
    "activation",
    "boxes",
    "convolution",
    "depthwise",
    "masks",
    "nms",
    "normalisation",
    "passes",
    "pooling",
    "resize",
    "roi_pool",
    "roi_sampling",
    "shape",
]
