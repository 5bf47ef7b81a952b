"""Anchors: the fixed boxes at every place of every feature map that the RPN judges and corrects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError


def base_anchors(
    size: float | Sequence[float],
    aspect_ratios: Sequence[float],
    *,
    rounded: bool = False,
    cell: float | None = None,
) -> np.ndarray:
    """The A anchors of one place, around the origin: one for each aspect ratio and size.

    An aspect ratio r is height / width, so 2 is a tall box. Width s / sqrt(r) and height
    s · sqrt(r) give it that ratio and the area s², whatever r is.

    Args:
        size: side s of the square anchor, pixels; or several of them.
        aspect_ratios: height / width, each > 0.
        rounded: round coordinates to whole pixels (a half to the even one) as torchvision does.
            The areas are then no longer equal: 32 pixels at ratio 0.5 become 46 x 22. Weights that
            were trained with such anchors need them.
        cell: pixels between two cells. If given, the anchor of that size is rounded instead, first
            its width w to whole pixels, then its height w · r, and it is scaled up to `size`, as
            Detectron and ChainerCV do: 32 pixels at ratio 0.5 become 48 x 24 at stride 4, and 64
            pixels become 88 x 48 at stride 8.

    Returns:
        (A, 4) float64 on the host, A = ratios x sizes; all sizes of the first ratio come first.

    Raises:
        InputError: there is no size or ratio, or one is not > 0; both kinds of rounding are asked
            for; or in a cell so small a side would be rounded to 0.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.1.
    """
    sizes = np.atleast_1d(np.asarray(size, dtype=np.float64))
    ratios = np.asarray(aspect_ratios, dtype=np.float64)
    for name, values in (("size", sizes), ("aspect_ratios", ratios)):
        if values.ndim != 1 or not values.size or not (values > 0).all():
            raise InputError(f"{name} is {values.tolist()}; it should be numbers > 0, at least one")
    if cell is None:
        widths = (sizes[None, :] / np.sqrt(ratios)[:, None]).ravel()
        heights = (sizes[None, :] * np.sqrt(ratios)[:, None]).ravel()
    else:
        if rounded:
            raise InputError("rounded and cell are two ways of rounding; give only one of them")
        whole = np.rint(cell / np.sqrt(ratios))
        sides = np.stack([whole, np.rint(whole * ratios)])
        if not (sides > 0).all():
            raise InputError(f"cell is {cell}; a side of its anchors is rounded to 0 pixels")
        widths, heights = (sides[:, :, None] * (sizes / cell)).reshape(2, -1)
    anchors = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    return np.round(anchors) if rounded else anchors


def grid_anchors(
    base: Array,
    height: int,
    width: int,
    stride_y: float,
    stride_x: float,
    offset: float = 0.0,
    xp: Any = np,
    dtype: Any = np.float32,
) -> Array:
    """The base anchors, set down at every cell of a feature map.

    Those of cell (y, x) stand around the point ((x + offset) · stride_x, (y + offset) · stride_y).

    Args:
        base: (A, 4) around the origin, pixels, from `base_anchors`.
        height: of the feature map, cells.
        width: likewise.
        stride_y: pixels from one cell to the next below it.
        stride_x: pixels from one cell to the next at its right.
        offset: part of a cell: 0 is its upper left corner (torchvision, Detectron2), 0.5 its
            centre, with which a mirrored image has the mirrored anchors.
        xp: library of the result, `numpy` or `cupy`.
        dtype: of the result.

    Returns:
        (height · width · A, 4) in the order y, x, anchor: that of the RPN's output (A, height,
        width) once its channels are moved to the end.

    Raises:
        InputError: base is not (A, 4), a map side is negative, or a stride is not > 0.
    """
    if base.ndim != 2 or base.shape[1] != 4:
        raise InputError(f"base has shape {tuple(base.shape)}; it should be (A, 4)")
    if height < 0 or width < 0:
        raise InputError(f"height and width are {height} and {width}; both should be >= 0")
    if not (stride_y > 0 and stride_x > 0):
        raise InputError(f"stride_y and stride_x are {stride_y} and {stride_x}; both should be > 0")
    ys = (xp.arange(height, dtype=dtype) + offset) * stride_y
    xs = (xp.arange(width, dtype=dtype) + offset) * stride_x
    places = xp.empty((height, width, 1, 4), dtype=dtype)
    places[..., 0::2] = xs[None, :, None, None]
    places[..., 1::2] = ys[:, None, None, None]
    return (places + xp.asarray(base, dtype=dtype)).reshape(height * width * base.shape[0], 4)


def pyramid_anchors(
    image_size: tuple[int, int],
    feature_sizes: Sequence[tuple[int, int]],
    sizes: Sequence[float | Sequence[float]],
    aspect_ratios: Sequence[float],
    *,
    rounded: bool = False,
    offset: float = 0.0,
    integer_strides: bool = False,
    cell_rounded: bool = False,
    xp: Any = np,
    dtype: Any = np.float32,
) -> list[Array]:
    """The anchors of every pyramid level: each level has its own size and spacing.

    How many pixels lie between two cells is read off the sizes of image and map. A map is rarely
    an exact fraction of the image: a padded stride-2 layer makes ceil(n / 2) of n cells, so that 800
    pixels become 13 cells at stride 64. By default the spacing is the power of two that the layers
    really have, 64. `integer_strides` takes 800 // 13 = 61 instead, as torchvision does: anchors
    then drift away from their cells to the right and below, but weights trained so need it.

    Args:
        image_size: height and width that the network sees (with padding), pixels.
        feature_sizes: height and width of each level's map, cells.
        sizes: for each level the anchor size, or several, pixels.
        aspect_ratios: height / width, the same for every level.
        rounded: as in `base_anchors`.
        offset: as in `grid_anchors`.
        integer_strides: see above.
        cell_rounded: `base_anchors` gets each level's spacing as `cell`.
        xp: library of the result.
        dtype: of the result.

    Returns:
        For each level (height · width · A, 4), pixels. One after the other they are in the order
        level, y, x, anchor.

    Raises:
        InputError: there are not as many sizes as maps; a map is empty or larger than the image; or
            cell_rounded is asked for together with integer_strides, whose spacing is no power of 2.

    Source: Lin et al., Feature Pyramid Networks (2017), section 4.1.
    """
    if len(sizes) != len(feature_sizes):
        raise InputError(
            f"sizes has {len(sizes)} entries; it should have {len(feature_sizes)}, "
            "one for each of feature_sizes"
        )
    if cell_rounded and integer_strides:
        raise InputError("cell_rounded needs the layers' spacing; integer_strides should be False")
    levels = []
    for feature_size, size in zip(feature_sizes, sizes, strict=True):
        if not all(0 < f <= n for f, n in zip(feature_size, image_size, strict=True)):
            raise InputError(
                f"feature_sizes has {tuple(feature_size)}; a map should have at least 1 cell and "
                f"at most the image's {tuple(image_size)} a side"
            )
        if integer_strides:
            stride_y, stride_x = (n // f for n, f in zip(image_size, feature_size, strict=True))
        else:
            stride_y = stride_x = _power_of_two_stride(image_size, feature_size)
        cell = stride_x if cell_rounded else None
        base = base_anchors(size, aspect_ratios, rounded=rounded, cell=cell)
        levels.append(grid_anchors(base, *feature_size, stride_y, stride_x, offset, xp, dtype))
    return levels


@dataclass(frozen=True)
class AnchorGenerator:
    """The settings of `pyramid_anchors`, named as its arguments are (`ratios`: `aspect_ratios`)."""

    sizes: Sequence[Sequence[float]]
    ratios: Sequence[float]
    rounded: bool = False
    cell_rounded: bool = False
    offset: float = 0.0
    integer_strides: bool = False

    def __post_init__(self) -> None:
        if len({len(sizes) for sizes in self.sizes}) != 1:
            raise InputError("anchor_sizes: every level needs as many sizes, the head is shared")

    @property
    def per_place(self) -> int:
        """Anchors at one place of a map."""
        return len(self.sizes[0]) * len(self.ratios)

    def __call__(
        self, image_size: tuple[int, int], maps: Sequence[Any], xp: Any, dtype: Any
    ) -> list[Array]:
        """The anchors of each map (N, C, H, W), finest first, for a padded input of (height, width)."""
        return pyramid_anchors(
            image_size,
            [level.shape[2:] for level in maps],
            self.sizes,
            self.ratios,
            rounded=self.rounded,
            offset=self.offset,
            integer_strides=self.integer_strides,
            cell_rounded=self.cell_rounded,
            xp=xp,
            dtype=dtype,
        )


def inside_image(anchors: Array, height: float, width: float, margin: float = 0.0) -> Array:
    """Which anchors lie wholly inside the image, give or take a margin.

    Faster R-CNN leaves the others out of training; FPN and Mask R-CNN's public implementations
    keep them. `margin=math.inf` keeps all.

    Args:
        anchors: (N, 4), pixels.
        height: of the image, pixels.
        width: likewise.
        margin: how far over the edge is still inside, pixels.

    Returns:
        (N,) bool.

    Raises:
        InputError: the shape is not (N, 4).

    Source: Ren et al. (2015), section 3.3.
    """
    xp_of(anchors)
    if anchors.ndim != 2 or anchors.shape[1] != 4:
        raise InputError(f"anchors has shape {tuple(anchors.shape)}; it should be (N, 4)")
    x1, y1, x2, y2 = anchors.T
    return (x1 >= -margin) & (y1 >= -margin) & (x2 <= width + margin) & (y2 <= height + margin)


def _power_of_two_stride(image_size: tuple[int, int], feature_size: tuple[int, int]) -> int:
    """The power of two by which the image was made smaller.

    The nearest one to image / map is wrong on small maps: 65 pixels at stride 64 are 2 cells, and
    65 / 2 is nearest to 32. So first look for the stride that makes just this map by rounding up,
    as padded layers do. (A map of 1 x 1 does not tell; the smallest stride that makes it is taken.)
    """
    stride = 1
    while stride < 2 * max(image_size):
        if all(math.ceil(n / stride) == f for n, f in zip(image_size, feature_size, strict=True)):
            return stride
        stride *= 2
    ratios = [n / f for n, f in zip(image_size, feature_size, strict=True)]
    return 2 ** round(math.log2(math.sqrt(ratios[0] * ratios[1])))
