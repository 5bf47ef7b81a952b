"""Kernels for CuPy arrays, in CUDA C: one .cu file each, and what starts them.

Importing this enters them into the table, and needs no CuPy; `docs/gpu.md` has what is known of them.
"""

from minirnn.kernels.cuda import (
    convolution,
    depthwise,
    masks,
    nms,
    normalisation,
    roi,
    roi_pool,
    sgd,
)

__all__ = ["convolution", "depthwise", "masks", "nms", "normalisation", "roi", "roi_pool", "sgd"]
