"""Every operation in plain lines over whole arrays, its gradient beside it; NumPy and CuPy alike.

This is what the library computes. Where `minirnn.kernels` has a faster way for the same, that runs
instead, unless MINIRNN_KERNELS=plain is set or the call is inside `kernels.plain()`.
"""

from minirnn.ops import (  # importing them enters them into the table
    activation,
    adamw,
    arithmetic,
    convolution,
    losses,
    normalisation,
    pooling,
    reduction,
    resize,
    roi_align,
    roi_pool,
    roi_warp,
    sgd,
    shape,
)

__all__ = [
    "activation",
    "adamw",
    "arithmetic",
    "convolution",
    "losses",
    "normalisation",
    "pooling",
    "reduction",
    "resize",
    "roi_align",
    "roi_pool",
    "roi_warp",
    "sgd",
    "shape",
]
