"""Which level of a feature pyramid a box belongs to, and pooling every box on its level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, positive_part, xp_of
from minirnn.errors import InputError
from minirnn.ops.roi_align import roi_align

SPATIAL_SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)


def assign_levels(
    boxes: Array,
    *,
    lowest: int = 2,
    highest: int = 5,
    canonical_size: float = 224,
    canonical_level: int = 4,
    eps: float = 1e-6,
    rule: str = "floor",
) -> Array:
    """Send large boxes to coarse maps and small ones to fine maps: one level per doubling.

        k = floor(canonical_level + log2(√(width · height) / canonical_size) + eps)
        result = clip(k, lowest, highest) - lowest

    Args:
        boxes: (R, 4) in pixels of the image.
        lowest: level of the finest map; level k has stride 2^k.
        highest: level of the coarsest map.
        canonical_size: side in pixels of a box that belongs to `canonical_level` (224: the images
            of ImageNet).
        canonical_level: see there.
        eps: lifts sizes of exactly canonical_size · 2^n over the rounding error of the logarithm,
            so that they always go up.
        rule: "floor", the paper's; or "round" to the nearest whole number, with which a box goes up
            from √2 · canonical_size · 2^n on (Matterport's).

    Returns:
        (R,) intp, positions in the list of maps: 0 is the finest.

    Raises:
        InputError: boxes is not (R, 4), lowest is above highest, or there is no such rule.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2017, equation 1.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes has shape {boxes.shape}; it should be (R, 4)")
    if lowest > highest:
        raise InputError(f"lowest is {lowest}; it should be at most highest, {highest}")
    if rule not in ("floor", "round"):
        raise InputError(f"rule is {rule!r}; it should be 'floor' or 'round'")
    xp = xp_of(boxes)
    sides = positive_part(boxes[:, 2:] - boxes[:, :2])
    # An empty box has no logarithm: a billionth of a pixel stands for it, so it goes to the finest.
    size = xp.maximum(xp.sqrt(sides[:, 0] * sides[:, 1]), 1e-9)
    level = canonical_level + xp.log2(size / canonical_size) + eps
    level = xp.floor(level) if rule == "floor" else xp.rint(level)
    return xp.clip(level, lowest, highest).astype(np.intp) - lowest


def _check(*inputs: Array, spatial_scales: Sequence[float] = SPATIAL_SCALES, **_: Any) -> None:
    *maps, _, _ = inputs
    if len(maps) != len(spatial_scales) or not maps:
        raise InputError(
            f"spatial_scales has {len(spatial_scales)} numbers for {len(maps)} maps; "
            "it should have one for each, and there should be at least one"
        )
    for k, features in enumerate(maps):
        if features.shape[:2] != maps[0].shape[:2]:
            raise InputError(
                f"map {k} has shape {features.shape}; images and channels should be those of "
                f"map 0, {maps[0].shape[:2]}"
            )


@differentiable(check=_check)
def pyramid_roi(
    *inputs: Array,
    operation: Callable = roi_align,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scales: Sequence[float] = SPATIAL_SCALES,
    lowest: int = 2,
    canonical_size: float = 224,
    canonical_level: int = 4,
    eps: float = 1e-6,
    rule: str = "floor",
    **settings: Any,
) -> tuple[Array, tuple]:
    """Pool every box on the map of its level, in the order of the boxes.

        pyramid_roi(p2, p3, p4, p5, boxes, image_index, output_size=7)

    Args:
        inputs: the maps (N, C, H_k, W_k), finest first; then boxes (R, 4) in pixels of the image
            and image_index (R,) int. Boxes are constants: no gradient flows to them.
        operation: `roi_align`, `roi_warp` or `roi_pool`.
        output_size: bins (vertically, horizontally); one number stands for both.
        spatial_scales: cells per pixel of each map.
        lowest: level of the finest map; the coarsest is given by the number of maps.
        canonical_size: as in `assign_levels`.
        canonical_level: as in `assign_levels`.
        eps: as in `assign_levels`.
        rule: as in `assign_levels`.
        **settings: handed on to `operation`, such as sampling_ratio or aligned.

    Returns:
        (R, C, *output_size). A map without boxes gets a gradient of zeros.

    Raises:
        InputError: maps and spatial_scales differ in number, or maps in channels or images; and
            what `operation` raises.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2017, section 4.2.
    """
    *maps, boxes, image_index = inputs
    xp, highest = xp_of(*inputs), lowest + len(maps) - 1
    rules: dict[str, Any] = {"canonical_size": canonical_size, "canonical_level": canonical_level}
    level = assign_levels(boxes, lowest=lowest, highest=highest, eps=eps, rule=rule, **rules)
    members = [xp.nonzero(level == k)[0] for k in range(len(maps))]
    parts = [
        operation.raw(  # type: ignore[attr-defined]
            features,
            boxes[chosen],
            image_index[chosen],
            output_size=output_size,
            spatial_scale=scale,
            **settings,
        )
        for features, scale, chosen in zip(maps, spatial_scales, members, strict=True)
    ]
    first = parts[0][0]
    pooled = xp.empty_like(first, shape=(len(boxes), *first.shape[1:]))  # in memory as parts lie
    for chosen, (part, _) in zip(members, parts, strict=True):
        pooled[chosen] = part
    gradients = [
        lambda dy, chosen=chosen, vjp=vjps[0]: vjp(dy[chosen])
        for chosen, (_, vjps) in zip(members, parts, strict=True)
    ]
    return pooled, (*gradients, None, None)
