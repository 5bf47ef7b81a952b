"""What a training starts from: ImageNet's weights, another network's, or none where that cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import TINY, fail, succeed
from weights_cases import constant_checkpoint, torchvision_shapes

from minirnn.cli.starts import fresh_network
from minirnn.errors import InputError
from minirnn.models import PRESETS
from minirnn.training import read_checkpoint
from minirnn.weights import imagenet, imagenet_file

LITE = "maskrcnn_efficientnet_lite0_fpn"
#: A network for photographs made small enough for a second.
NARROW = [
    *("--set", "workers=0", "--set", "min_size=64", "--set", "max_size=64", "--set", "fpn_channels=8"),
    *("--set", "box_width=8", "--set", "mask_width=8", "--set", "mask_convolutions=1"),
    *("--set", "schedule=constant", "--set", "warmup_steps=0", "--batch-size", "2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 4, "--val", 2, "--size", 64)
    return folder


@pytest.fixture(scope="module")
def two_classes(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures, with one category fewer."""
    folder = tmp_path_factory.mktemp("data") / "two"
    for part in ("train", "val"):
        (folder / part).mkdir(parents=True)
        for picture in (shapes / part).iterdir():
            (folder / part / picture.name).write_bytes(picture.read_bytes())
        (folder / "annotations").mkdir(exist_ok=True)
        name = f"annotations/instances_{part}.json"
        known = json.loads((shapes / name).read_text())
        last = known["categories"].pop()["id"]
        known["annotations"] = [a for a in known["annotations"] if a["category_id"] != last]
        (folder / name).write_text(json.dumps(known))
    return folder


def training(preset: str, data: Path, out: Path, *more: object) -> list[object]:
    return ["train", "--data", data, "--preset", preset, "--out", out, "--steps", 1, *more]


def state(out: Path) -> dict[str, np.ndarray]:
    return read_checkpoint(out / "checkpoint.safetensors")[0]


def lines_of(text: str) -> dict[str, str]:
    """The lines "  what: …" of an output, by what."""
    found = [line.strip().partition(": ") for line in text.splitlines() if line.startswith("  ")]
    return {what: said for what, _, said in found}


def test_imagenets_weights_go_into_the_backbone(shapes, tmp_path):
    try:
        path = imagenet_file("efficientnet_lite0")
    except InputError as error:
        pytest.skip(str(error))
    out = tmp_path / "run"
    result = succeed(*training(LITE, shapes, out, *NARROW, "--weights", "imagenet"))
    assert f"{path}:\n" in result.out
    said = lines_of(result.out)
    assert said["loaded"].startswith("240 of ")
    assert said["loaded"].endswith(" arrays: backbone.body")
    assert said["left out"] == "conv_head, bn1, fc (tells ImageNet's classes apart)"
    assert said["starts fresh"].startswith("backbone.fpn, rpn, roi_heads.box_head, ")
    from minirnn.weights import read_weights

    there = read_weights(path).arrays
    for name in ("conv_stem.weight", "bn0.running_var", "blocks.2.project_conv.weight"):
        np.testing.assert_array_equal(state(out)[f"backbone.body.{name}"], there[name])  # frozen
    moved = "blocks.9.depthwise_conv.weight"
    assert not np.array_equal(state(out)[f"backbone.body.{moved}"], there[moved])


def test_a_resnets_are_fetched_and_bring_their_eps(tmp_path, monkeypatch):
    path = tmp_path / "resnet18-f37072fd.pth"
    path.write_bytes(constant_checkpoint(torchvision_shapes("resnet18"), counters=True))
    asked = []

    def download(name, folder, *, progress, **options):
        asked.append((name, folder))
        progress(10, 20)
        return path

    monkeypatch.setattr(imagenet, "download", download)
    monkeypatch.setenv("MINIRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    data = SimpleNamespace(categories=[(7, "disc")], keypoint_names=None)
    said: list[str] = []

    def started(**fields):
        given = (fields, data, 0, Path("imagenet"), said.append)
        return fresh_network("maskrcnn_resnet18_fpn", *given)

    model = started(fpn_channels=8)
    assert asked == [("resnet18", tmp_path / "cache" / "weights")]
    assert said[2] == "  left out: fc (tells ImageNet's classes apart)"
    assert (model.backbone.body.conv1.weight.data == 0).all()  # the first of the file's numbers
    (tmp_path / "data").mkdir()  # where an earlier version has put it
    (tmp_path / "data" / path.name).write_bytes(b"")
    imagenet_file("resnet18", progress=lambda here, total: None)
    imagenet_file("resnet18", tmp_path, progress=lambda here, total: None)
    assert asked[1:] == [("resnet18", Path("data")), ("resnet18", tmp_path)]
    assert PRESETS["maskrcnn_resnet18_fpn"].backbone.norm_eps == 0
    assert model.config.backbone.norm_eps == 1e-5
    assert said[4:] == ["  set as these weights need it: norm_eps = 1e-05"]
    assert started(norm_eps=1e-4).config.backbone.norm_eps == 1e-4


@pytest.mark.parametrize(
    "preset", [name for name in PRESETS if PRESETS[name].backbone.name != "small"]
)
def test_every_preset_gets_the_conventions_of_its_imagenet_weights(preset):
    config = PRESETS[preset]
    changed = config.replace(**imagenet.conventions_of(config))
    resnet = config.backbone.name.startswith("resnet")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's transforms
    if not resnet:
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    assert (changed.transform.image_mean, changed.transform.image_std) == (mean, std)
    assert not changed.transform.bgr
    assert not changed.backbone.stride_in_1x1
    assert changed.backbone.norm_eps == (1e-5 if resnet else 1e-3)
    rest = set(config.flat()) - set(imagenet.conventions_of(config))
    assert all(changed[name] == config[name] for name in rest)


def test_what_was_set_by_hand_goes_over_the_conventions_of_imagenets_weights(tmp_path, monkeypatch):
    path = tmp_path / "resnet50.pth"
    body = "backbone.body."
    shapes = torchvision_shapes("maskrcnn_resnet50_fpn").items()
    named = {name.removeprefix(body): shape for name, shape in shapes if name.startswith(body)}
    path.write_bytes(constant_checkpoint(named))
    monkeypatch.setattr(imagenet, "download", lambda *_, **__: path)
    data = SimpleNamespace(categories=[(7, "disc")], keypoint_names=None)
    fields = {"fpn_channels": 8, "box_width": 8, "mask_width": 8, "transform.bgr": True}
    given = ("maskrcnn_resnet50_fpn_detectron2", fields, data, 0)
    said: list[str] = []
    config = fresh_network(*given, Path("imagenet"), said.append).config
    assert config.transform.bgr
    assert config.transform.image_std == (0.229, 0.224, 0.225)
    assert not config.backbone.stride_in_1x1
    assert [line for line in said if "convention: " in line] == [
        "  convention: bgr is False for the file, True in the model"
    ]
    assert said[-1].startswith(
        "  set as these weights need it: image_mean = (0.485, 0.456, 0.406), "
    )
    assert "bgr" not in said[-1]
    said.clear()
    fresh_network(*given, path, said.append)  # of a file, the conventions are named and left
    assert "  convention: stride_in_1x1 is False for the file, True in the model" in said


def test_imagenets_weights_need_the_normalisation_that_they_are_of(shapes, tmp_path):
    refused = training(LITE, shapes, tmp_path / "run", "--weights", "imagenet")
    fail(1, "ImageNet weights need 'frozen_batch_norm'", *refused, "--set", "norm=group_norm")
    own = training("maskrcnn_few_photographs", shapes, tmp_path / "run")  # brings them by itself
    fail(1, "need 'frozen_batch_norm'.*--weights none$", *own, "--set", "norm=group_norm")
    small = training("maskrcnn_shapes", shapes, tmp_path / "run", "--weights", "imagenet")
    fail(1, "norm is 'group_norm'", *small)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", [LITE, "maskrcnn_resnet50_fpn"])
def test_a_network_that_cannot_learn_from_nothing_says_so_before_it_starts(
    preset, shapes, tmp_path
):
    message = "cannot learn from fresh weights.*--weights imagenet.*--set norm=group_norm"
    fail(1, message, *training(preset, shapes, tmp_path / "run"))
    half = training(preset, shapes, tmp_path / "run", "--set", "norm=group_norm")
    fail(1, "frozen_stages is 2.*--set frozen_stages=0", *half, "--set", "frozen_stages=2")
    assert not (tmp_path / "run").exists()


def test_and_learns_where_it_does_what_it_was_told(shapes, tmp_path):
    scratch = ["--set", "norm=group_norm", "--set", "frozen_stages=0", *NARROW]
    succeed(*training(LITE, shapes, tmp_path / "run", *scratch))


def test_ones_own_checkpoint_on_other_classes(shapes, two_classes, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    succeed(*training("maskrcnn_shapes", shapes, first, *TINY))
    weights = first / "checkpoint.safetensors"
    more = [*TINY, "--weights", weights, "--learning-rate", 1e-12, "--seed", 1]
    result = succeed(*training("maskrcnn_shapes", two_classes, second, *more))
    last = "roi_heads.box_predictor.cls_score, roi_heads.box_predictor.bbox_pred"
    last = f"{last}, roi_heads.mask_predictor.mask_fcn_logits"
    said = lines_of(result.out)
    assert said["left out"] == f"{last} (4 classes with background there, 3 here)"
    assert set(said["starts fresh"].split(", ")) == set(last.split(", "))
    known, parts = state(first), "backbone.body, backbone.fpn, rpn, roi_heads.box_head, "
    total = len(known)
    assert said["loaded"].startswith(f"{total - 6} of {total} arrays: {parts}")
    for name, array in state(second).items():
        if name.rpartition(".")[0] not in last.split(", "):
            np.testing.assert_allclose(array, known[name], atol=1e-6, err_msg=name)


def test_all_of_a_checkpoint_of_the_same_classes(shapes, tmp_path):
    first = tmp_path / "first"
    succeed(*training("maskrcnn_shapes", shapes, first, *TINY))
    weights = first / "checkpoint.safetensors"
    result = succeed(
        *training("maskrcnn_shapes", shapes, tmp_path / "b", *TINY, "--weights", weights)
    )
    said = lines_of(result.out)
    assert (said["left out"], said["starts fresh"]) == ("nothing", "nothing")


def test_weights_without_the_frozen_backbone_are_refused_before_it_starts(shapes, tmp_path):
    first = tmp_path / "first"
    succeed(*training("maskrcnn_shapes", shapes, first, *TINY))
    more = [*NARROW, "--weights", first / "checkpoint.safetensors"]
    fail(1, "norm is 'frozen_batch_norm'", *training(LITE, shapes, tmp_path / "b", *more))
    more = [*TINY, *more[-2:], "--set", "small_blocks=(2, 1, 1)", "--set", "frozen_stages=2"]
    refused = training("maskrcnn_shapes", shapes, tmp_path / "b", *more)
    fail(1, "frozen_stages is 2.*: --set frozen_stages=0$", *refused)
    assert not (tmp_path / "b").exists()


def test_other_conventions_are_named(shapes, tmp_path):
    first = tmp_path / "first"
    succeed(*training("maskrcnn_shapes", shapes, first, *TINY))
    more = ["--weights", first / "checkpoint.safetensors", "--set", "roi_aligned=False"]
    result = succeed(*training("maskrcnn_shapes", shapes, tmp_path / "b", *TINY, *more))
    assert "convention: roi_aligned is True for the file, False in the model" in result.out


def test_a_recipe_brings_its_settings_and_its_weights(shapes, tmp_path):
    recipe = "maskrcnn_few_photographs"
    small = ["--set", "workers=0", "--set", "min_size=64", "--set", "fpn_channels=8"]
    small += ["--set", "box_width=8", "--set", "mask_width=8", "--set", "mask_convolutions=1"]
    scratch = ["--set", "norm=group_norm", "--set", "frozen_stages=0", "--weights", "none"]
    out = succeed(*training(recipe, shapes, tmp_path / "scratch", *small, *scratch)).out
    assert "loaded:" not in out
    settings = read_checkpoint(tmp_path / "scratch" / "checkpoint.safetensors")[1]["settings"]
    assert (settings["optimiser"], settings["steps"]) == ("adamw", 1)
    succeed("train", "--resume", "--out", tmp_path / "scratch", "--steps", 2)
    try:
        path = imagenet_file("efficientnet_lite0")
    except InputError as error:
        pytest.skip(str(error))
    out = succeed(*training(recipe, shapes, tmp_path / "run", *small)).out
    assert f"{path}:\n" in out


def test_the_harder_demo_starts_from_imagenets_weights(tmp_path, monkeypatch):
    small = ["--set", "min_size=64", "--set", "max_size=64", "--set", "workers=0"]
    small += ["--set", "fpn_channels=8", "--set", "box_width=8", "--set", "mask_width=8"]
    words = ["demo", "--level", "hard", "--out", tmp_path / "demo", "--data", tmp_path / "data"]
    words += ["--steps", 1, "--train-images", 8, "--val-images", 2, *small, "--set", "processes=1"]
    try:
        path = imagenet_file("efficientnet_lite0")
    except InputError as error:
        pytest.skip(str(error))
    out = succeed(*words).out
    assert f"{path}:\n" in out
    settings = read_checkpoint(tmp_path / "demo" / "checkpoint.safetensors")[1]["settings"]
    assert (settings["optimiser"], settings["clip_norm"], settings["steps"]) == ("adamw", 3, 1)
