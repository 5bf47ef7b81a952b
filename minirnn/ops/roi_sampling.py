"""Pooling by sampling: the mean or the maximum of the bilinear samples in every bin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minirnn.backend import Array, to_host, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation
from minirnn.ops.interpolation import bilinear_weights
from minirnn.ops.roi_regions import Side


def _check(
    features: Array, rows: Side, columns: Side, image_index: Array, bins: Any, reduce: str
) -> None:
    """Raise an InputError unless there are channels and `reduce` is "mean" or "max"."""
    if reduce not in ("mean", "max"):
        raise InputError(f"reduce is {reduce!r}; it should be 'mean' or 'max'")
    if features.shape[1] == 0:
        raise InputError(f"features has shape {features.shape}; it should have at least 1 channel")


@operation(check=_check)
def sample_regions(
    features: Array,
    rows: Side,
    columns: Side,
    image_index: Array,
    bins: tuple[int, int],
    reduce: str,
) -> tuple[Array, Callable[[Array], Array]]:
    """Sample the bins of every region bilinearly, and take the mean or the maximum of each bin.

    Args:
        features: (N, C, H, W).
        rows: the vertical side of each of the R regions.
        columns: the horizontal side.
        image_index: (R,) int, the image of each region.
        bins: how many bins a region has, vertically and horizontally.
        reduce: "mean" or "max".

    Returns:
        The pooled regions (R, C, bins[0], bins[1]), and the function that carries a gradient of
        that shape back to `features`.

    Raises:
        InputError: `reduce` is something else, or there are no channels.
    """
    xp, (height, width) = xp_of(features), features.shape[2:]
    pooled = xp.zeros((len(image_index), features.shape[1], *bins), features.dtype)
    # Sizes steer Python's loop: they are moved to the host once.
    ys, xs, images = (to_host(a).tolist() for a in (rows.samples, columns.samples, image_index))
    regions = [(r, images[r], ys[r], xs[r]) for r in range(len(images)) if ys[r] and xs[r]]

    def read(r: int, image: int, y: int, x: int) -> tuple[Array, Array, Array]:
        """The weights of both axes, and the samples (C, bins, bins, y · x) that they read."""
        y_weights = _weights(rows, r, bins[0], y, height, features.dtype)
        x_weights = _weights(columns, r, bins[1], x, width, features.dtype)
        samples = (y_weights @ features[image] @ x_weights.T).reshape(-1, bins[0], y, bins[1], x)
        return y_weights, x_weights, samples.transpose(0, 1, 3, 2, 4).reshape(-1, *bins, y * x)

    for region in regions:
        samples = read(*region)[2]
        pooled[region[0]] = samples.mean(axis=3) if reduce == "mean" else samples.max(axis=3)

    def gradient(dy: Array) -> Array:
        dx = xp.zeros(features.shape, dy.dtype)
        for r, image, y, x in regions:
            y_weights, x_weights, samples = read(r, image, y, x)
            if reduce == "mean":
                share = xp.full(samples.shape, 1 / (y * x), dy.dtype)
            else:  # all goes to the largest, of equal ones to the first
                share = xp.arange(y * x) == samples.argmax(axis=3)[..., None]
            dsamples = (dy[r][..., None] * share).reshape(-1, *bins, y, x).transpose(0, 1, 3, 2, 4)
            dx[image] += y_weights.T @ dsamples.reshape(-1, bins[0] * y, bins[1] * x) @ x_weights
        return dx

    return pooled, gradient


def _weights(side: Side, r: int, bins: int, samples: int, length: int, dtype: Any) -> Array:
    """(bins · samples, length): what each sample of region r reads of each cell of one axis."""
    xp, kind = xp_of(side.start), side.start.dtype
    step = side.size[r] / bins
    number = xp.arange(samples, dtype=kind) + 0.5
    position = side.start[r] + xp.arange(bins, dtype=kind)[:, None] * step + number * step / samples
    # A sample more than one cell outside of the outermost centres reads 0; a nearer one reads the
    # border's cell.
    reads = (position >= -1) & (position <= length)
    weights = bilinear_weights(xp.clip(position, 0, length - 1), length) * reads[..., None]
    return weights.reshape(bins * samples, length).astype(dtype)
