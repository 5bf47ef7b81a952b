"""The detector in plain loops finds what the library's finds: same weights, same image, same answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import minirnn
from minirnn import kernels
from minirnn.autograd import data_of
from minirnn.textbook.detector import Settings, detect

#: A network of a few channels, for pictures of 32 × 48 pixels.
TINY: dict[str, Any] = {
    "backbone": "small",
    "norm": "group_norm",
    "small_widths": (8, 8, 8),
    "small_blocks": (1, 2, 1),
    "fpn_channels": 4,
    "fpn_extra_level": True,
    "num_classes": 3,
    "min_size": (32,),
    "max_size": 64,
    "size_divisor": 16,
    "anchor_sizes": ((6,), (12,), (20,), (30,)),
    "rpn_pre_nms_test": 12,
    "rpn_post_nms_test": 14,
    "roi_canonical_size": 3.0,  # the largest boxes would take the map of the RPN
    "roi_canonical_level": 3,
    "box_pool": 2,
    "box_width": 6,
    "box_score_threshold": 0.2,
    "box_max_detections": 6,
    "mask_pool": 2,
    "mask_width": 3,
    "mask_convolutions": 1,
}
#: What a picture of this size is not changed by before it enters the network, so that float64 is float64.
AS_IT_IS = {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
#: Other ways through the chain, each with something that the first has not.
OTHERWISE: dict[str, dict[str, Any]] = {
    "as the small networks": {},
    "frozen batch norm": {"norm": "frozen_batch_norm"},
    "Detectron2's conventions": {
        "norm": "frozen_batch_norm",
        "background_last": True,
        "bgr": True,
        "roi_aligned": True,
        "roi_sampling": 0,
        "anchor_ratios": (0.25, 1.0, 4.0),  # their roots are whole: anchors are exact in float32
        "anchors_rounded": False,
        "anchor_integer_strides": False,
        "mask_paste": "continuous",
    },
    "Matterport's and ChainerCV's": {
        "anchors_rounded": False,
        "anchor_integer_strides": False,
        "anchors_cell_rounded": True,
        "anchor_offset": 0.5,
        "roi_level_rule": "round",
        "rpn_box_weights": (10.0, 10.0, 5.0, 5.0),
        "rpn_score_threshold": 0.4,
        "rpn_convolutions": 2,
        "mask_rule": "expected_iou",
    },
    "RoIPool": {"roi_operation": "pool", "fpn_extra_level": False, "mask_convolutions": 0},
    "RoIWarp": {"roi_operation": "warp"},
    "Faster R-CNN": {"mask": False},
}


def settings_of(config: Any) -> Settings:
    """The textbook's settings of a model's configuration: the fields of the same names."""
    flat = config.flat() if hasattr(config, "flat") else dataclasses.asdict(config)
    return Settings(**{field.name: flat[field.name] for field in dataclasses.fields(Settings)})


def change(model: Any, how: Any) -> None:
    """Replace each parameter and buffer by how(name, array)."""
    for path, array in model.state_dict().items():
        module, _, name = path.rpartition(".")
        owner = dict(model.named_modules())[module]
        new = how(path, array)
        if isinstance(getattr(owner, name), np.ndarray):
            setattr(owner, name, new)
        else:
            getattr(owner, name).data = new


def drawn(path: str, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights that find something: as wide as a trained network's, and no two scores alike."""
    if path.endswith("running_var"):
        return rng.uniform(0.5, 2.0, array.shape)
    if array.ndim == 1:
        return rng.normal(1.0 if path.endswith("bn1.weight") else 0.0, 0.3, array.shape)
    fan_in = float(np.prod(array.shape[1:]))
    widest = 2.0 if "predictor" in path or "cls_logits" in path else 1.4
    return rng.normal(0, widest / np.sqrt(fan_in), array.shape)


def model_and_image(
    seed: int, dtype: Any, size: tuple[int, int] = (32, 48), **changed: Any
) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(seed)
    chosen = {**TINY, **changed}
    if not chosen["fpn_extra_level"]:
        chosen["anchor_sizes"] = chosen["anchor_sizes"][:-1]
    model = minirnn.build_model("maskrcnn_resnet50_fpn", **{"norm_eps": 1e-5, **chosen})
    change(model, lambda path, array: drawn(path, array, rng).astype(dtype))
    forward = model.backbone.forward
    # The library's input is float32 always: it is to be calculated with in the weights' type.
    model.backbone.forward = lambda x: forward(data_of(x).astype(dtype))
    return model, rng.integers(0, 256, (*size, 3)).astype(np.uint8)


def compare(model: Any, image: np.ndarray, tolerance: float) -> int:
    """Both answers are the same; how many objects were found."""
    (found,) = model.predict([image])
    boxes, labels, scores, masks = detect(image, model.state_dict(), settings_of(model.config))
    assert len(labels) == len(found.labels)
    np.testing.assert_array_equal(labels, found.labels)
    np.testing.assert_allclose(scores, found.scores, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(boxes, found.boxes, rtol=tolerance, atol=50 * tolerance)
    if found.masks is None:
        assert masks is None
    else:
        np.testing.assert_array_equal(masks, found.masks)
    return len(labels)


@pytest.mark.parametrize("plain", [False, True], ids=["kernels", "plain"])
@pytest.mark.parametrize("name", OTHERWISE)
def test_finds_the_same_in_float64(name: str, plain: bool) -> None:
    total = 0
    for seed in range(2):
        model, image = model_and_image(seed, np.float64, **AS_IT_IS, **OTHERWISE[name])
        if plain:
            with kernels.plain():
                total += compare(model, image, 1e-9)
        else:
            total += compare(model, image, 1e-9)
    assert total > 2, "a test that finds nothing shows nothing"


@pytest.mark.parametrize("seed", range(2))
def test_finds_the_same_of_a_scaled_photograph(seed: int) -> None:
    """In float32, as a model is used; the picture is scaled and padded, and boxes are scaled back."""
    model, image = model_and_image(seed, np.float32, (25, 41))
    assert compare(model, image, 1e-4) > 0


@pytest.mark.parametrize("plain", [False, True], ids=["kernels", "plain"])
@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "resnet18"},
        {"backbone": "resnet50"},
        {"backbone": "resnet50", "stride_in_1x1": True},
    ],
    ids=["18", "50", "50, Detectron2's"],
)
def test_finds_the_same_with_a_resnet(changed: dict[str, Any], plain: bool) -> None:
    """With an eighth or sixteenth of its channels, which is all that a loop has time for."""
    part = 16 if changed["backbone"] == "resnet18" else 32
    sizes = ((6,), (12,), (20,), (30,), (40,))
    many = {"norm": "frozen_batch_norm", "size_divisor": 32, "anchor_sizes": sizes}
    model, image = model_and_image(0, np.float64, **AS_IT_IS, **many, **changed)
    change(model, lambda path, array: thinned(path, array, part))
    if plain:
        with kernels.plain():
            assert compare(model, image, 1e-9) > 0
    else:
        assert compare(model, image, 1e-9) > 0


def thinned(path: str, array: np.ndarray, part: int) -> np.ndarray:
    """One of `part` channels, on each axis of the backbone's; widened by the root, to the same effect."""
    if not path.startswith(("backbone.body", "backbone.fpn.inner_blocks")) or array.ndim > 4:
        return array
    outputs = array[::part] if path.startswith("backbone.body") else array
    if array.ndim == 4 and array.shape[1] > 3:
        return outputs[:, ::part] * np.sqrt(part)
    return outputs
