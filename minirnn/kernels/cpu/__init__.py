"""Kernels for NumPy arrays: Winograd, blocks that fit the cache, channels last, all cores."""

from minirnn.kernels.cpu import boxes, nms, passes  # importing them enters them into the table

__all__ = ["boxes", "nms", "passes"]
