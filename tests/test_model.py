"""The chain as a whole: presets, losses, gradients, detections."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from standin import standin

import minirnn
from minirnn.backend import to_host
from minirnn.data.sample import Target
from minirnn.errors import InputError
from minirnn.images import EXIF_ORIENTATION
from minirnn.models import PRESETS, Config, build_model
from minirnn.models.build import finds, in_words
from minirnn.training.optimiser import SGD, clip_gradients

TINY = {
    "small_widths": (16, 16, 16), "fpn_channels": 16, "box_width": 16, "mask_width": 16,
    "mask_convolutions": 1, "min_size": (64,), "max_size": 96, "norm": "group_norm",
    "rpn_pre_nms_train": 60, "rpn_post_nms_train": 30, "roi_samples": 16, "rpn_samples": 32,
}  # fmt: skip
NAMES = {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"}


def _tiny(**overrides):
    return build_model("maskrcnn_shapes", **{**TINY, **overrides})


def scene(seed=0, size=(64, 64), objects=2, **fields):
    """A grey image with bright squares, and its ground truth."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 110, (*size, 3)).astype(np.uint8)
    boxes, masks = [], []
    for _ in range(objects):
        side = int(rng.integers(14, 30))
        y, x = (int(rng.integers(0, n - side)) for n in size)
        mask = np.zeros(size, bool)
        mask[y : y + side, x : x + side] = True
        image[mask] = rng.integers(150, 255, 3)
        boxes.append([x, y, x + side, y + side])
        masks.append(mask)
    n = len(boxes)
    return image, Target(
        np.array(boxes, np.float32).reshape(n, 4),
        rng.integers(1, 4, n),
        np.array(masks, bool).reshape(n, *size),
        np.zeros(n, bool),
        **fields,
    )


def test_presets_build_and_survive_json():
    for name, config in PRESETS.items():
        config.check()
        again = Config().replace(**json.loads(json.dumps(dataclasses.asdict(config))))
        assert again == config, name


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"rpn_nms_thresh": 0.5}, "no field 'rpn_nms_thresh'; did you mean rpn_"),
        ({"rpn_nms_iou": 1.5}, "rpn_nms_iou is 1.5"),
        ({"rpn_nms_iou": "high"}, "rpn_nms_iou is 'high'"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"num_classes": 2.5}, "num_classes is 2.5"),
        ({"backbone": "vgg"}, "backbone is 'vgg'"),
        (
            {"anchor_sizes": ((8,),)},
            r"anchor_sizes .* 3 pyramid levels, such as \(\(16,\), \(32,\), \(64,\)\)",
        ),
        ({"anchor_sizes": (8, 16, 32)}, r"lists of finite numbers, such as \(\(16,\), \(32,\)\)"),
        ({"anchor_sizes": ((8,), (16, 24), (32,))}, "every level"),
        ({"mask": 1}, "mask is 1"),
        (
            {"mask_rule": "expected_iou", "mask_threshold": 0.4},
            "mask_threshold is 0.4.* left at 0.5",
        ),
        ({"categories": ((1, "a"),)}, "categories"),
        ({"min_size": ()}, "min_size"),
        ({"roi_samples": 0}, "roi_samples is 0"),
        ({"small_blocks": (1, 1)}, "small_blocks"),
        ({"image_mean": (0.5, "dark", 0.5)}, "image_mean is .*; it should be finite numbers"),
        ({"roi_canonical_size": float("nan")}, "roi_canonical_size is nan; .* a finite number"),
    ],
)
def test_bad_configurations_are_refused(overrides, message):
    with pytest.raises(InputError, match=message):
        _tiny(**overrides)


def test_every_number_of_the_configuration_has_limits():
    """A new field without them would take any number, and who builds the network never come back."""
    from minirnn.models.check import _limits_of
    from minirnn.models.config import KINDS

    words = {"categories", *(name for name, kind in KINDS.items() if kind in (str, bool))}
    free = {"anchor_offset", "roi_canonical_level", "roi_level_eps"}
    assert {name for name in KINDS if _limits_of(name) is None} == words | free


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size_divisor", 0), ("fpn_channels", 0), ("rpn_convolutions", 2**70)),
        *(("image_mean", ()), ("image_mean", (0.5,)), ("image_std", (0.0, 1.0, 1.0))),
        *(("anchor_sizes", ((), (), ())), ("anchor_ratios", ()), ("anchor_ratios", (-1.0,))),
        *(("box_weights", (1.0, 1.0)), ("small_widths", (0, 1, 2)), ("box_max_detections", 0)),
        *(("norm_eps", -1.0), ("frozen_stages", 6), ("roi_sampling", -1), ("mask_pool", 10**6)),
        *(("image_std", (1e-30,) * 3), ("small_widths", (1, 2, 3))),
    ],
)
def test_numbers_that_nothing_can_be_built_of_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=rf"^{field} is .*; it should be "):
        _tiny(**{field: value})


@pytest.mark.parametrize(
    "name",
    ["maskrcnn_shapes", "keypointrcnn_shapes", "fasterrcnn_resnet50_fpn", "fastrcnn_resnet50_fpn"],
)
def test_a_model_says_what_it_is(name):
    fields = {"backbone": "resnet18", "box_width": 8} if "resnet" in name else {}
    model = build_model(name, **fields)
    masks, keypoints = "mask" in name, "keypoint" in name
    wanted = ("boxes", *(["masks"] if masks else []), *(["keypoints"] if keypoints else []))
    assert model.finds == finds(model.config) == wanted
    assert model.takes_proposals == name.startswith("fastrcnn")
    assert model.categories[0] == (1, "1")
    assert len(model.categories) == model.config.num_classes - 1
    assert in_words(model.config).startswith(
        {"mask": "Mask", "keyp": "Keypoint", "fast": "Fast"}[name[:4]]
    )


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_picture_of_one_row_of_pixels(shape):
    """Scaled down it would have no row left. It is trained on and looked at like any other."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    height, width = shape
    target = Target(
        boxes=np.array([[0, 0, min(width, 900), min(height, 900)]], np.float32),
        labels=np.array([1]),
        masks=np.ones((1, height, width), bool),
        is_crowd=np.array([False]),
    )
    model = _tiny(box_score_threshold=0.0)
    assert all(np.isfinite(float(loss)) for loss in model.losses([image], [target]).values())
    (found,) = model.predict([image])
    assert found.masks.shape[1:] == shape
    assert (found.boxes[:, 2:] <= [width, height]).all()


def test_paths_and_pillows_images_are_taken_upright(tmp_path):
    """A photo that was held upright, in the four ways to hand it in: the same answer, turned alike."""
    image = scene(0)[0][:, :40]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6  # stored lying on its side
    path = tmp_path / "photo.png"
    Image.fromarray(np.rot90(image)).save(path, exif=exif)
    with Image.open(path) as opened:
        given = [image, str(path), path, opened, Image.fromarray(image).convert("RGBA")]
        found = _tiny(box_score_threshold=0.0).predict(given)
    assert len(found[0].boxes)
    for each in found:
        assert each.masks.shape[1:] == image.shape[:2]
        np.testing.assert_array_equal(each.boxes, found[0].boxes)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    whole = Image.fromarray(scene(0)[0])
    whole.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    model, cut = _tiny(), Image.open(tmp_path / "cut.png")
    for bad, message in [
        (tmp_path / "text.jpg", r"text\.jpg: not a readable image"),
        (str(tmp_path / "none.jpg"), r"none\.jpg: the image file is missing"),
        (cut, r"image 1: not a readable image"),
        (Image.fromarray(np.zeros((4, 4), np.float32)), r"image 1: the image has 32-bit pixels"),
        (None, r"image 1 is None \(NoneType\); it should be an array"),
    ]:
        with pytest.raises(InputError, match=message):
            model.predict([whole, bad])
    cut.close()
    for alone in (str(tmp_path / "text.jpg"), whole):
        with pytest.raises(InputError, match="it should be a list of images"):
            model.predict(alone)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 2, "0.5", [0.5], np.array([0.1, 0.2])])
def test_a_score_threshold_that_is_no_share(score):
    with pytest.raises(InputError, match=r"score_threshold is .*a number between 0 and 1"):
        _tiny().predict([scene(0)[0]], score_threshold=score)


def test_unknown_preset_names_the_known():
    with pytest.raises(InputError, match="maskrcnn_shapes"):
        minirnn.build_model("yolo")


def test_torchvision_names():
    names = set(build_model("maskrcnn_resnet18_fpn").state_dict())
    for name in (
        "backbone.body.conv1.weight",
        "backbone.body.layer2.0.downsample.1.running_var",
        "backbone.fpn.inner_blocks.3.0.bias",
        "backbone.fpn.layer_blocks.0.0.weight",
        "rpn.head.conv.0.0.weight",
        "rpn.head.bbox_pred.bias",
        "roi_heads.box_head.fc6.weight",
        "roi_heads.box_predictor.cls_score.bias",
        "roi_heads.mask_head.3.0.weight",
        "roi_heads.mask_predictor.conv5_mask.weight",
        "roi_heads.mask_predictor.mask_fcn_logits.bias",
    ):
        assert name in names


def test_losses_and_every_gradient():
    model = _tiny()
    pairs = [scene(0), scene(1, size=(50, 70))]
    losses = model.losses(*zip(*pairs, strict=True))
    assert set(losses) == NAMES
    sum(losses.values(), start=0.0).backward()
    for name, tensor in model.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.dtype == np.float32, name
        assert np.isfinite(tensor.grad).all(), name
        assert tensor.grad.any(), name


def test_trap_33_images_without_objects():
    model = _tiny()
    image, target = scene(0, objects=0)
    losses = model.losses([image], [target])
    assert float(losses["mask"]) == float(losses["roi_box"]) == float(losses["rpn_box"]) == 0
    sum(losses.values(), start=0.0).backward()
    for name, tensor in model.named_parameters():
        assert tensor.grad is None or np.isfinite(tensor.grad).all(), name


def test_trap_34_no_gradient_through_proposals():
    model = _tiny()
    losses = model.losses(*zip(scene(0), strict=True))
    (losses["roi_class"] + losses["roi_box"] + losses["mask"]).backward()
    assert all(tensor.grad is None for tensor in model.rpn.parameters())


@pytest.mark.parametrize(
    "norms",
    [{"norm": "group_norm"}, {"norm": "frozen_batch_norm", "fpn_norm": "group_norm"}],
    ids=["backbone", "pyramid"],
)
def test_trap_21_a_batch_of_two_is_two_batches_of_one(norms):
    model = _tiny(rpn_post_nms_test=20, **norms)  # GroupNorm sees the padding of a canvas
    images = [scene(0)[0], scene(1, size=(50, 90))[0], scene(2)[0]]
    together = model.predict(images, score_threshold=0.0)
    for image, both in zip(images, together, strict=True):
        alone = model.predict([image], score_threshold=0.0)[0]
        assert len(both.boxes) == len(alone.boxes) > 0
        np.testing.assert_allclose(both.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(both.scores, alone.scores, atol=1e-5)


@pytest.mark.parametrize("norm", ["group_norm", "frozen_batch_norm"])
def test_images_go_through_in_parts_on_one_canvas(norm, monkeypatch):
    model = _tiny(rpn_post_nms_test=20, norm=norm)
    images = [scene(k, size=size)[0] for k, size in enumerate([(64, 96), (50, 90), (64, 96)])]
    together = model.predict(images, score_threshold=0.0)
    seen = []
    forward = type(model.backbone).__call__
    monkeypatch.setattr(
        type(model.backbone), "__call__", lambda self, x: seen.append(x.shape) or forward(self, x)
    )
    monkeypatch.setattr("minirnn.transform.PIXELS", 1)
    parts = model.predict(images, score_threshold=0.0)
    assert [shape[0] for shape in seen] == [1, 1, 1]
    assert norm == "group_norm" or len(set(seen)) == 1  # all as large as the largest
    for one, other in zip(parts, together, strict=True):
        assert len(one.boxes) == len(other.boxes) > 0
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert (one.masks == other.masks).mean() > 0.999


def test_trap_20_padding_changes_nothing_but_the_border():
    # With a normalisation that does not look at the rest of the map, as GroupNorm does.
    model = _tiny(size_divisor=64, norm="frozen_batch_norm")
    wide = _tiny(size_divisor=128, norm="frozen_batch_norm")
    image = scene(0)[0]
    a, b = (m.predict([image], score_threshold=0.0)[0] for m in (model, wide))
    assert b.boxes[:, 2].max() <= 64
    assert b.boxes[:, 3].max() <= 64
    assert abs(a.scores[0] - b.scores[0]) < 0.05


def test_same_seed_same_losses():
    runs = []
    for _ in range(2):
        model = _tiny()
        losses = model.losses(*zip(scene(3), strict=True), rng=np.random.default_rng(7))
        sum(losses.values(), start=0.0).backward()
        runs.append([float(v) for v in losses.values()] + [p.grad for p in model.parameters()])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_learns_one_image():
    model = _tiny(small_widths=(32, 32, 64), mask_width=32, box_width=64, roi_samples=32)
    image, target = scene(5, objects=2)
    optimiser = SGD(model, momentum=0.9, weight_decay=0.0)
    first = None
    for step in range(100):
        model.zero_grad()
        losses = model.losses([image], [target], rng=np.random.default_rng(step))
        total = sum(losses.values(), start=0.0)
        total.backward()
        clip_gradients(model.parameters(), 1.0)  # or half of the seeds diverge
        optimiser.step(0.02 if step >= 10 else 0.004)
        first = float(total) if first is None else first
    assert float(total) < 0.35 * first
    best = model.predict([image], score_threshold=0.3)[0]
    assert set(best.labels) == set(target.labels)
    best_mask = max(
        (best.masks[0] & mask).sum() / (best.masks[0] | mask).sum() for mask in target.masks
    )
    assert best_mask > 0.7


@pytest.mark.parametrize("operation", ["align", "warp", "pool"])
def test_every_roi_operation_trains(operation):
    model = _tiny(roi_operation=operation)
    losses = model.losses(*zip(scene(0), strict=True))
    sum(losses.values(), start=0.0).backward()
    assert model.backbone.body.conv1.weight.grad.any()


def test_faster_rcnn_has_no_masks():
    model = _tiny(mask=False)
    image, target = scene(0)
    target.masks = None
    assert set(model.losses([image], [target])) == NAMES - {"mask"}
    assert model.predict([image])[0].masks is None


def test_multi_scale_draws_from_min_size():
    model = _tiny(min_size=(48, 64))
    image, target = scene(0)
    drawn = {
        float(model.losses([image], [target], rng=np.random.default_rng(s))["rpn_objectness"])
        for s in range(6)
    }
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": None}, "image 7: the model has a mask head"),
        ({"labels": np.array([1, 9])}, "image 7: label 9"),
    ],
)
def test_bad_targets_name_the_image(change, message):
    image, target = scene(0, image_id=7)
    with pytest.raises(InputError, match=message):
        _tiny().losses([image], [dataclasses.replace(target, **change)])


def test_images_and_targets_must_pair():
    with pytest.raises(InputError, match="1 images, but 2 targets"):
        _tiny().losses([scene(0)[0]], [scene(0)[1]] * 2)


def test_one_training_step_on_every_device(xp):
    """Losses, every gradient, the update and the detections agree with NumPy's."""
    pairs = [scene(0), scene(1)]
    host, device = _tiny(), _tiny()
    device.to_library(xp)
    for model in (host, device):
        losses = model.losses(*zip(*pairs, strict=True), rng=np.random.default_rng(0))
        sum(losses.values(), start=0.0).backward()
    for (name, a), (_, b) in zip(host.named_parameters(), device.named_parameters(), strict=True):
        scale = max(float(np.abs(a.grad).max()), 1e-3)
        np.testing.assert_allclose(to_host(b.grad), a.grad, atol=2e-3 * scale, err_msg=name)
    for model in (host, device):
        SGD(model, momentum=0.9, weight_decay=1e-4).step(0.01)
    for (name, a), (_, b) in zip(host.named_parameters(), device.named_parameters(), strict=True):
        np.testing.assert_allclose(to_host(b.data), a.data, atol=1e-4, err_msg=name)
    ours, theirs = host.predict([pairs[0][0]])[0], device.predict([pairs[0][0]])[0]
    assert isinstance(theirs.boxes, np.ndarray)
    assert len(ours.boxes) == len(theirs.boxes)
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=0.1)


def test_moving_to_a_device_moves_every_array():
    model = _tiny().to_library(standin)
    assert model.xp is standin
    assert model.device == "cuda"
    assert not any(isinstance(a, np.ndarray) for a in model.state_dict().values())


def test_every_field_has_two_names():
    by_flat = Config().replace(rpn_nms_iou=0.6, backbone="resnet18", mask=False)
    assert by_flat == Config().replace(
        **{"rpn.nms_iou": 0.6, "backbone.name": "resnet18"}, mask=False
    )
    assert by_flat == Config().replace(
        rpn={"nms_iou": 0.6}, backbone={"name": "resnet18"}, mask={"enabled": False}
    )
    assert by_flat["rpn_nms_iou"] == by_flat.rpn.nms_iou == 0.6
    assert Config().replace(**by_flat.flat()) == by_flat
    with pytest.raises(InputError, match=r"no field 'rpn.nms_iuo'; did you mean rpn.nms_iou"):
        Config().replace(rpn={"nms_iuo": 0.6})


def test_stages_are_what_predict_computes():
    model = _tiny(rpn_post_nms_test=20, box_score_threshold=0.0)
    image = scene()[0]
    stages = model.stages(image)
    (detections,) = model.predict([image])
    for name in ("boxes", "labels", "scores", "masks"):
        np.testing.assert_array_equal(
            getattr(stages["detections"], name), getattr(detections, name)
        )
    wanted = {
        "input", "C2", "C3", "C4", "P2", "P3", "P4", "anchors", "objectness", "anchor_deltas",
        "proposals_before_nms", "proposals", "proposal_logits", "box_regions", "box_levels",
        "box_features", "mask_regions", "mask_levels", "mask_features",
        "class_logits", "box_deltas", "detections_before_nms", "mask_logits", "masks",
    }  # fmt: skip
    assert wanted <= set(stages)
    assert len(stages["masks"][0]) == len(detections.boxes)
    assert len(stages["box_levels"]) == len(stages["box_regions"]) == len(stages["box_features"])
    assert len(stages["mask_levels"]) == len(detections.boxes)
    assert sum(len(level) for level in stages["anchors"]) == stages["objectness"].shape[1]


def test_training_stages_are_those_of_the_losses():
    model, (image, target) = _tiny(), scene()
    stages = model.training_stages(image, target, np.random.default_rng(3))
    losses = model.losses([image], [target], np.random.default_rng(3))
    assert {name: float(loss) for name, loss in losses.items()} == {
        name: float(loss) for name, loss in stages["losses"].items()
    }
    wanted = {"anchor_matches", "sampled_anchors", "sampled_regions", "mask_targets", "truth"}
    assert wanted <= set(stages)
    (positives, negatives), (matches,) = stages["sampled_anchors"][0], stages["anchor_matches"]
    assert (matches[positives] >= 0).all()
    assert (matches[negatives] == -1).all()
