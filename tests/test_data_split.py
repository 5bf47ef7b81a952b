"""Splitting by image: each category in its share in each part, the same for a seed, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minirnn.data import CocoDataset
from minirnn.data.split import NOTHING, split, stratify
from minirnn.errors import InputError

KINDS = st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=4, max_size=80)


def dealt(kinds: list, *, val: float = 0.25, seed: int = 0) -> list[str]:
    return stratify(kinds, {"train": 1 - val, "val": val}, np.random.default_rng(seed))


@given(KINDS, st.floats(0.05, 0.5), st.integers(0, 5))
def test_every_image_goes_to_one_part_and_the_parts_have_their_size(kinds, val, seed):
    parts = dealt(kinds, val=val, seed=seed)
    assert set(parts) <= {"train", "val"}
    assert parts.count("val") == max(1, round(len(kinds) * val))
    assert parts == dealt(kinds, val=val, seed=seed)


@given(st.lists(st.integers(4, 30), min_size=1, max_size=5), st.integers(0, 5))
def test_each_category_alone_is_split_in_its_share(counts, seed):
    kinds = [{kind} for kind, count in enumerate(counts) for _ in range(count)]
    parts = dealt(kinds, seed=seed)
    rounded = 0
    for kind, count in enumerate(counts):
        in_val = sum(part == "val" for part, own in zip(parts, kinds, strict=True) if kind in own)
        if abs(in_val - count / 4) > 1:  # the most frequent one takes what rounding left
            rounded += 1
            assert count == max(counts)
            assert abs(in_val - count / 4) <= 1 + len(counts) / 2
    assert rounded <= 1


@pytest.mark.parametrize("seed", range(10))
def test_rare_category_is_in_both_parts_where_chance_would_lose_it(seed):
    """Of 4 among 200, a random quarter has none in one of three tries."""
    rng = np.random.default_rng(seed)
    kinds: list[set] = [{int(k) for k in rng.integers(0, 3, 2)} for _ in range(200)]
    for place in rng.choice(200, 4, replace=False):
        kinds[place].add("rare")
    parts = dealt(kinds, seed=seed)
    assert sum(p == "val" for p, own in zip(parts, kinds, strict=True) if "rare" in own) == 1
    for kind in range(3):
        count = sum(kind in own for own in kinds)
        in_val = sum(p == "val" for p, own in zip(parts, kinds, strict=True) if kind in own)
        assert abs(in_val / count - 0.25) < 0.05


def test_seeds_give_different_splits():
    kinds = [{0}] * 30
    assert len({tuple(dealt(kinds, seed=seed)) for seed in range(5)}) == 5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve images, two without objects, one in a folder of its own, and records with more in them."""
    folder = tmp_path / "in"
    images, annotations = [], []
    for i in range(12):
        name = f"deep/{i}.png" if i == 5 else f"{i}.png"
        (folder / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), i, np.uint8)).save(folder / "all" / name)
        images.append({"id": 100 + i, "file_name": name, "height": 20, "width": 30, "license": 1})
        for k in range(0 if i < 2 else 1 + i % 3):
            box = {
                "bbox": [k, 1, 10, 9],
                "area": 90,
                "segmentation": [[k, 1, k + 10, 1, k + 10, 10]],
            }
            annotations.append(
                {
                    "id": 1000 + len(annotations),
                    "image_id": 100 + i,
                    "category_id": 7 if i < 4 else 3,
                }
                | {"iscrowd": 0, "attributes": {"a": 1}, **box}
            )
    content = {
        **{"info": {"year": 2026}, "licenses": [{"id": 1, "name": "own"}], "images": images},
        **{"annotations": annotations},
        "categories": [{"id": 3, "name": "cup"}, {"id": 7, "name": "plate"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_all.json").write_text(json.dumps(content))
    return folder


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / "annotations" / f"{name}.json").read_text())


def test_all_records_go_over_as_they_are(source, tmp_path):
    made = split(source, tmp_path / "out", val=0.25, test=0.25)
    before = read(source, "instances_all")
    parts = {name: read(tmp_path / "out", f"instances_{name}") for name in ("train", "val", "test")}
    assert made.images == {name: len(part["images"]) for name, part in parts.items()}
    assert made.images == {"train": 6, "val": 3, "test": 3}
    for key in ("images", "annotations"):
        together = [record for part in parts.values() for record in part[key]]
        assert sorted(together, key=lambda r: r["id"]) == before[key]
    for name, part in parts.items():
        for key in ("info", "licenses", "categories"):
            assert part[key] == before[key]
        ids = {image["id"] for image in part["images"]}
        assert {a["image_id"] for a in part["annotations"]} <= ids
        for image in part["images"]:
            copy = tmp_path / "out" / name / image["file_name"]
            assert copy.read_bytes() == (source / "all" / image["file_name"]).read_bytes()
        assert len(CocoDataset.from_folder(tmp_path / "out", name)) == len(part["images"])
    for kind, name in ((3, "cup"), (7, "plate")):
        counts = [sum(a["category_id"] == kind for a in p["annotations"]) for p in parts.values()]
        assert list(made.categories[name].values()) == counts
    assert sum(made.categories[NOTHING].values()) == 2


def test_same_seed_same_files(source, tmp_path):
    for name in ("a", "b"):
        split(source, tmp_path / name, seed=3)
    assert read(tmp_path / "a", "instances_val") == read(tmp_path / "b", "instances_val")


def test_links_and_nothing_overwritten(source, tmp_path):
    split(source, tmp_path / "out", link=True)
    (image, *_) = read(tmp_path / "out", "instances_val")["images"]
    name = image["file_name"]
    assert (tmp_path / "out" / "val" / name).samefile(source / "all" / name)
    with pytest.raises(InputError, match="is there and not empty; nothing was written"):
        split(source, tmp_path / "out")


def test_keypoints_stay_keypoints(source, tmp_path):
    file = source / "annotations" / "instances_all.json"
    file.rename(source / "annotations" / "person_keypoints_all.json")
    split(source, tmp_path / "out")
    assert len(read(tmp_path / "out", "person_keypoints_train")["images"]) == 10


def test_objects_and_keypoints_of_the_same_images_are_split_alike(source, tmp_path):
    content = read(source, "instances_all")
    people = [{"id": 1, "name": "person", "keypoints": ["nose"]}]
    fewer = content["images"][3:]
    points = [{"id": i, "image_id": r["id"], "category_id": 1} for i, r in enumerate(fewer)]
    second = {"images": fewer, "annotations": points, "categories": people}
    (source / "annotations" / "person_keypoints_all.json").write_text(json.dumps(second))
    made = split(source, tmp_path / "out", val=0.25)
    assert set(made.categories) == {"cup", "plate", NOTHING}
    found = []
    for name in ("train", "val"):
        images = read(tmp_path / "out", f"instances_{name}")["images"]
        part = read(tmp_path / "out", f"person_keypoints_{name}")
        assert part["images"] == [image for image in images if image in fewer]
        assert {a["image_id"] for a in part["annotations"]} == {i["id"] for i in part["images"]}
        assert part["categories"] == people
        found += part["annotations"]
    assert sorted(found, key=lambda a: a["id"]) == points


@given(st.integers(2, 12), st.floats(0.05, 0.6), st.floats(0.05, 0.39))
def test_no_part_is_empty(count, val, test):
    shares = {"train": 1 - val - test, "val": val, "test": test}
    count = max(count, 3)
    parts = stratify([{0}] * count, shares, np.random.default_rng(0))
    assert {parts.count(name) > 0 for name in shares} == {True}


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (None, {"val": 0.0}, "val is 0.0"),
        (None, {"val": 0.6, "test": 0.4}, "both below 1 together"),
        (None, {"part": "gone"}, "there is no instances_gone.json"),
        ("two", {}, r"split already \(all, train\); --split all"),
        ("image", {}, "5.png is not there"),
        ("orphan", {}, "annotation 1000 has an image or category that is not in the file"),
        ("twice", {}, "an image id is there twice"),
        ("few", {}, "there are 1 images; 2 splits need more"),
        ("one file", {}, "images 100 and 103 are one file, 3.png; minirnn data inspect --fix"),
        ("other", {}, "person_keypoints_all.json: image 7 is not in instances_all.json"),
        ("outside", {}, "leads out of the folder"),
    ],
)
def test_what_cannot_be_split_says_why(source, tmp_path, change, settings, message):
    file = source / "annotations" / "instances_all.json"
    content = json.loads(file.read_text())
    if change == "two":
        (file.parent / "instances_train.json").write_text(file.read_text())
    elif change == "image":
        (source / "all" / "deep" / "5.png").unlink()
    elif change == "orphan":
        content["annotations"][0]["image_id"] = 9
    elif change == "twice":
        content["images"][1]["id"] = 100
    elif change == "few":
        content["images"], content["annotations"] = content["images"][:1], []
    elif change == "one file":
        content["images"][0]["file_name"] = "3.png"
    elif change == "other":
        more = content | {"images": [*content["images"], {"id": 7, "file_name": "7.png"}]}
        (file.parent / "person_keypoints_all.json").write_text(json.dumps(more))
    elif change == "outside":
        content["images"][1]["file_name"] = "../../secret.png"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        split(source, tmp_path / "out", **settings)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
