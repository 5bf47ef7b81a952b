"""The nuclei: nothing in both splits, nothing unlabelled, and the package read without running it."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
from cli_cases import fail, succeed
from PIL import Image

from minirnn.data import CocoDataset
from minirnn.data.inspection import inspect
from minirnn.data.nuclei import SHARE, TILE, content_of, corners, to_grey, write_nuclei
from minirnn.errors import InputError
from minirnn.masks import decode

SIDE = 512
REAL = pytest.mark.skipif(
    importlib.util.find_spec("stardist") is None,
    reason="the package stardist is not installed (pip install --no-deps stardist)",
)


def discs(seed: int = 0) -> np.ndarray:
    """Labels of 122 discs, cut by every kind of border."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number in range(1, 121):
        cy, cx = rng.integers(0, SIDE, 2)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= rng.integers(4, 18) ** 2] = number
    for number, cy, cx in [(121, SIDE - TILE + 4, 60), (122, SIDE - TILE - 4, 300)]:
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= 14**2] = number  # mostly in val, mostly in train
    return labels


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package like stardist, which must not be run."""
    folder = tmp_path / "site" / "stardist"
    images = folder / "data" / "images"
    images.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('it wants TensorFlow')")
    labels = discs()
    light = np.random.default_rng(1).poisson(20 + 60 * (labels > 0)).astype(np.uint16)
    Image.fromarray(light).save(images / "img2d.tif")
    Image.fromarray(labels).save(images / "mask2d.tif")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.delitem(sys.modules, "stardist", raising=False)
    return folder


def test_no_nucleus_is_an_object_in_both_splits_and_none_is_lost():
    labels = discs()
    objects = {
        split: {a["nucleus"] for a in content_of(labels, split)["annotations"] if not a["iscrowd"]}
        for split in ("train", "val")
    }
    assert not objects["train"] & objects["val"]
    # Discs that others cover may be in pieces too small to be objects.
    assert len(objects["train"] | objects["val"]) >= len(np.unique(labels)) - 1 - 2


@pytest.mark.parametrize("split", ["train", "val"])
def test_what_can_be_seen_of_nuclei_is_an_object_or_a_crowd_region(split):
    labels = discs()
    content = content_of(labels, split)
    sizes = np.bincount(labels.ravel())
    masks = {image["id"]: np.zeros((TILE, TILE), int) for image in content["images"]}
    for annotation in content["annotations"]:
        mask = decode(annotation["segmentation"])
        masks[annotation["image_id"]] += mask
        assert annotation["area"] == mask.sum()
        if not annotation["iscrowd"]:
            assert mask.sum() >= SHARE * sizes[annotation["nucleus"]]
    for image, (y, x) in zip(content["images"], corners((SIDE, SIDE), split), strict=True):
        tile = labels[y : y + TILE, x : x + TILE]
        np.testing.assert_array_equal(masks[image["id"]], tile > 0)


def test_tiles_of_the_two_splits_share_no_pixel_and_cover_all():
    seen = {split: np.zeros((SIDE, SIDE), bool) for split in ("train", "val")}
    for split, pixels in seen.items():
        for y, x in corners((SIDE, SIDE), split):
            pixels[y : y + TILE, x : x + TILE] = True
    assert not (seen["train"] & seen["val"]).any()
    assert (seen["train"] | seen["val"]).all()


def test_greys_keep_their_order_and_use_the_range():
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    grey = to_grey(values)
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    assert grey.ravel()[250] > 255 / 4  # the dim are brought up


def test_the_set_is_clean_the_same_each_time_and_read_without_running_the_package(
    package, tmp_path
):
    parts = write_nuclei(tmp_path / "a")
    write_nuclei(tmp_path / "b")
    for file in (tmp_path / "a").rglob("*.*"):
        other = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == other.read_bytes()
    assert not inspect(tmp_path / "a", workers=0).faults
    for split, part in parts.items():
        dataset = CocoDataset.from_folder(tmp_path / "a", split)
        assert len(dataset) == part.images
        truth = dataset.ground_truth["annotations"]
        assert part.objects + part.crowd_regions == len(truth)
        assert dataset.categories == [(1, "nucleus")]
    assert "stardist" not in sys.modules


def test_a_package_that_is_missing_or_changed_is_said(package, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_nuclei(tmp_path / "full")
    Image.fromarray(np.zeros((SIDE, 300), np.uint16)).save(
        package / "data" / "images" / "mask2d.tif"
    )
    with pytest.raises(InputError, match=r"mask2d\.tif \(512, 300\)"):
        write_nuclei(tmp_path / "c")
    (package / "data" / "images" / "mask2d.tif").unlink()
    with pytest.raises(InputError, match=r"mask2d\.tif: the image file is missing"):
        write_nuclei(tmp_path / "c")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fail(1, "pip install --no-deps stardist", "data", "nuclei", "--out", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_command_says_what_it_made(package, tmp_path):
    out = succeed("data", "nuclei", "--out", tmp_path / "n").out
    assert "35 tiles" in out
    assert "minirnn train" in out
    result = json.loads(succeed("data", "nuclei", "--out", tmp_path / "m", "--json").out)
    assert result["val"]["images"] == 4


@REAL
def test_the_real_set_has_each_of_the_125_nuclei_once_and_no_fault(tmp_path):
    parts = write_nuclei(tmp_path / "n")
    assert {split: part.nuclei for split, part in parts.items()} == {"train": 92, "val": 33}
    assert not inspect(tmp_path / "n", workers=0).faults
    assert "Uwe Schmidt" in (tmp_path / "n" / "LICENSE.txt").read_text(encoding="utf-8")
