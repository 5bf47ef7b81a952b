"""Kernels for NumPy arrays: Winograd, blocks that fit the cache, channels last, all cores."""

from minirnn.kernels.cpu import (  # importing them enters them into the table
    boxes,
    nms,
    passes,
    pooling,
    resize,
)

__all__ = ["boxes", "nms", "passes", "pooling", "resize", "roi_pool", "roi_sampling"]
