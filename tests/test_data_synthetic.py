"""Made-up pictures show what they promise, and sets on disk are whole and repeatable."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minirnn.data import CocoDataset, Loader, generate, make_scene
from minirnn.data import scenes as scenes_module
from minirnn.data import synthetic as synthetic_module
from minirnn.data.people import KEYPOINTS, PARTS, SKELETON, draw_person
from minirnn.data.scenes import (
    LARGEST,
    LEVELS,
    OUTLINES,
    SMALLEST,
    _colours,
    _draw_shape,
    _texture,
    _value_noise,
    categories_of,
    fill_polygon,
    window_of,
)
from minirnn.errors import InputError
from minirnn.files import alone_in


def scenes(level: str, count: int, size: int = 128) -> list:
    return [make_scene(np.random.default_rng([3, i]), level, size) for i in range(count)]


# Drawing


@given(seed=st.integers(0, 10_000), corners=st.integers(3, 8))
@settings(max_examples=40)
def test_polygon_is_filled_by_the_even_odd_rule(seed, corners):
    """Against one ray per pixel, for polygons that cross themselves and the border."""
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-3, 13, (corners, 2))
    height, width = 9, 11
    expected = np.zeros((height, width), bool)
    for i in range(height):
        for j in range(width):
            x, y, crossings = j + 0.5, i + 0.5, 0
            for (xa, ya), (xb, yb) in zip(vertices, [*vertices[1:], vertices[0]], strict=True):
                if min(ya, yb) <= y < max(ya, yb) and x < xa + (y - ya) / (yb - ya) * (xb - xa):
                    crossings += 1
            expected[i, j] = crossings % 2 == 1
    np.testing.assert_array_equal(fill_polygon(vertices, height, width), expected)


def test_polygon_known_answers():
    square = np.array([[2, 1], [5, 1], [5, 3], [2, 3]], float)
    mask = fill_polygon(square, 4, 6)
    assert mask.sum() == 6
    assert window_of(mask) == (slice(1, 3), slice(2, 5))
    assert not fill_polygon(square + 100, 4, 6).any()
    assert not fill_polygon(square - 100, 4, 6).any()


# The share that a shape fills of the square over its bounding box's longer side, at any angle; from
# its area (circumscribed circle: 1) and the range of that side, by hand.
SHARES = {
    "circle": (np.pi / 4, np.pi / 4),
    "square": (1 / 2, 1),
    "triangle": (1.299 / 1.732**2, 1.299 / (1.732 * np.cos(np.pi / 12)) ** 2),
    "star": (1.3225 / 1.902**2, 1.3225 / 1.809**2),
    "cross": (1 / 2, 0.625),
}


@pytest.mark.parametrize("name", OUTLINES)
def test_shapes_have_their_form_and_size(name):
    """In a picture of 1024 pixels, where the pixels' own size hardly counts."""
    longest, shares = [], []
    for seed in range(100):
        mask = _draw_shape(np.random.default_rng(seed), name, 1024)
        rows, columns = window_of(mask)
        longest.append(max(rows.stop - rows.start, columns.stop - columns.start) / 8)
        shares.append(mask.sum() / 64 / longest[-1] ** 2)
    assert SMALLEST - 1 < min(longest) < 20
    assert 56 < max(longest) < LARGEST + 1
    assert SHARES[name][0] * 0.97 < min(shares)
    assert max(shares) < SHARES[name][1] * 1.03


def test_shapes_lie_wholly_in_the_picture():
    """None is cut by the border: each covers as many pixels as its outline's area says."""
    for name in OUTLINES:
        for seed in range(50):
            mask = _draw_shape(np.random.default_rng(seed), name, 128)
            outline = np.random.default_rng(seed)  # angle and size are drawn before the place
            angle, length = outline.uniform(0, 2 * np.pi), outline.uniform(SMALLEST, LARGEST)
            turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
            vertices = OUTLINES[name] @ np.array(turn)
            x, y = vertices.T
            area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
            area *= (length / np.ptp(vertices, 0).max()) ** 2
            # Pixels by their centres: off by at most a part of the pixels on the outline.
            assert abs(mask.sum() - area) < 0.5 * 4 * length


def test_shape_is_turned_by_any_angle():
    """Of a square, the share of the bounding box that it fills is 1 upright and ½ on its corner."""
    shares = []
    for seed in range(60):
        mask = _draw_shape(np.random.default_rng(seed), "square", 128)
        shares.append(mask[window_of(mask)].mean())
    assert min(shares) < 0.56
    assert max(shares) > 0.9


def test_textures_have_their_kinds():
    kinds = set()
    for seed in range(60):
        texture = _texture(np.random.default_rng(seed), (64, 64), 128)
        assert texture.shape == (64, 64)
        assert texture.min() >= 0
        assert texture.max() <= 1
        kinds.add(len(np.unique(texture)) > 2)
        assert texture.std() > 0.02
    assert kinds == {False, True}  # two colours only, and mixtures


def test_value_noise_is_smooth_and_meets_its_knots():
    u = np.linspace(0, 3, 301)[:, None] + np.zeros(2)
    noise = _value_noise(np.random.default_rng(0), u, np.zeros_like(u))
    knots = np.random.default_rng(0).random((5, 2))
    np.testing.assert_allclose(noise[::100, 0], knots[:4, 0], atol=1e-12)
    assert np.abs(np.diff(noise[:, 0])).max() < 0.02


def test_colours_differ_by_the_least_contrast():
    rng = np.random.default_rng(0)
    ground = np.array([[128.0, 128, 128], [0, 0, 0]])
    for _ in range(300):
        (colour,) = _colours(rng, False, away_from=ground)
        assert (np.abs(colour - ground).max(1) >= scenes_module.LEAST_CONTRAST).all()
        first, second = _colours(rng, True)
        assert np.abs(first - second).max() >= scenes_module.LEAST_CONTRAST


# Scenes


@pytest.mark.parametrize("level", LEVELS)
def test_scene_form(level):
    settings_ = LEVELS[level]
    seen, counts = set(), set()
    for scene in scenes(level, 60):
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= len(scene.instances) <= settings_.most_objects
        counts.add(len(scene.instances))
        total = np.zeros((128, 128), int)
        for instance in scene.instances:
            total += instance.mask
            seen.add(settings_.categories[instance.category_id - 1])
            assert instance.mask.sum() >= scenes_module.LEAST_PIXELS
            assert (instance.keypoints is None) == (level != "people")
        assert total.max() == 1  # a pixel is one object's
    assert seen == set(settings_.categories)
    assert counts >= {1, 2, 3}
    assert [c["name"] for c in categories_of(level)] == list(settings_.categories)


def test_noise_is_on_ground_and_objects():
    for scene in scenes("easy", 20):
        for mask in [~np.any([i.mask for i in scene.instances], 0), scene.instances[-1].mask]:
            values = scene.image[mask].astype(float)
            # Of middling channels: near 0 and 255 the noise is cut off.
            middling = (values.mean(0) > 60) & (values.mean(0) < 195)
            if len(values) > 200 and middling.any() and len(scene.instances) == 1:
                assert (values.std(0)[middling] > 8).all()
                assert (values.std(0)[middling] < 17).all()


def test_masks_are_what_is_visible(monkeypatch):
    """An object under another loses the covered pixels; one hardly visible is not annotated."""
    covered = hidden = 0
    masks: list[np.ndarray] = []
    draw = scenes_module._draw_shape

    def draw_and_keep(*arguments: object) -> np.ndarray:
        masks.append(draw(*arguments))
        return masks[-1]

    monkeypatch.setattr(scenes_module, "_draw_shape", draw_and_keep)
    for scene in (make_scene(np.random.default_rng([3, i])) for i in range(150)):
        expected = []
        for number, mask in enumerate(masks):
            above = np.any([np.zeros_like(mask), *masks[number + 1 :]], 0)
            visible = mask & ~above
            covered += bool((mask & above).any())
            if visible.sum() < 30 or visible.sum() < 0.2 * mask.sum():
                hidden += 1
            else:
                expected.append(visible)
        assert len(expected) == len(scene.instances)
        for mask, instance in zip(expected, scene.instances, strict=True):
            np.testing.assert_array_equal(mask, instance.mask)
        masks.clear()
    assert covered > 50
    assert hidden > 3


def test_scene_is_decided_by_rng():
    for level in LEVELS:
        a, b = (make_scene(np.random.default_rng(5), level) for _ in range(2))
        np.testing.assert_array_equal(a.image, b.image)
        c = make_scene(np.random.default_rng(6), level)
        assert (a.image != c.image).any()


def test_scene_of_other_sizes_and_bad_arguments():
    for level in LEVELS:
        for size in (32, 64, 200):
            for scene in scenes(level, 5, size):
                assert scene.image.shape == (size, size, 3)
                assert scene.instances
    with pytest.raises(InputError, match="level is 'medium'; it should be one of easy, hard"):
        make_scene(np.random.default_rng(0), "medium")
    with pytest.raises(InputError, match="size is 16"):
        make_scene(np.random.default_rng(0), "easy", 16)


# People


def test_keypoints_are_on_what_they_are_called():
    visibilities = np.zeros(3, int)
    for scene in scenes("people", 60):
        for instance in scene.instances:
            keypoints = instance.keypoints
            assert keypoints.shape == (17, 3)
            visibilities += np.bincount(keypoints[:, 2], minlength=3)
            for x, y, visible in keypoints:
                if visible == 2:
                    assert instance.mask[y, x]
                elif visible == 0:
                    assert (x, y) == (0, 0)
    assert (visibilities > 50).all()  # outside, covered and seen all happen
    assert visibilities[2] > visibilities[:2].sum()


def test_left_and_right_can_be_told_by_the_face():
    """From the front a person's left is at the right, and eyes are seen; from behind neither."""
    facing = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        person = draw_person(rng, 128, lambda rng=rng: rng.uniform(0, 255, 3))
        points = dict(zip(KEYPOINTS, person.points, strict=True))
        keypoints = dict(zip(KEYPOINTS, person.keypoints_seen(person.mask), strict=True))
        left_is_right = points["left_ear"][0] > points["right_ear"][0]
        facing.append(left_is_right)
        eyes = [keypoints["left_eye"][2], keypoints["right_eye"][2]]
        if not left_is_right:
            assert 2 not in eyes
        elif 0 not in eyes and not np.isin(
            person.parts[keypoints["left_eye"][1], keypoints["left_eye"][0]],
            [i for i, part in enumerate(PARTS) if "arm" in part],
        ):
            assert keypoints["left_eye"][2] == 2
        # Limbs have the lengths of one body.
        thighs = [
            np.linalg.norm(points[f"{s}_hip"] - points[f"{s}_knee"]) for s in ("left", "right")
        ]
        assert thighs[0] == pytest.approx(thighs[1])
    assert 36 < sum(facing) < 59  # four in five


@pytest.mark.coco
def test_skeleton_and_names_are_cocos(coco_subset):
    content = json.loads(
        (coco_subset / "annotations" / "person_keypoints_val2017.json").read_bytes()
    )
    (person,) = content["categories"]
    assert person["keypoints"] == list(KEYPOINTS)
    assert person["skeleton"] == [list(pair) for pair in SKELETON]
    (own,) = categories_of("people")
    assert own["keypoints"] == person["keypoints"]


# Sets on disk


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("level", LEVELS)
def test_set_reads_back_as_drawn(tmp_path, level):
    generate(tmp_path / "set", level=level, train=5, val=3, seed=9, workers=0, progress=False)
    for split, number, count in (("train", 0, 5), ("val", 1, 3)):
        dataset = CocoDataset.from_folder(tmp_path / "set", split, keypoints=level == "people")
        assert len(dataset) == count
        assert [name for _, name in dataset.categories] == list(LEVELS[level].categories)
        for index in range(count):
            sample = dataset[index]
            scene = make_scene(np.random.default_rng([9, number, index]), level)
            assert len(sample.target.labels) == len(scene.instances)
            for k, instance in enumerate(scene.instances):
                assert sample.target.labels[k] == instance.category_id
                np.testing.assert_array_equal(sample.target.masks[k], instance.mask)
                ys, xs = np.nonzero(instance.mask)
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                np.testing.assert_array_equal(sample.target.boxes[k], box)
                if level == "people":
                    np.testing.assert_array_equal(sample.target.keypoints[k], instance.keypoints)
            jpeg = BytesIO()
            Image.fromarray(scene.image).save(jpeg, "JPEG", quality=95, subsampling="4:4:4")
            np.testing.assert_array_equal(sample.image, np.array(Image.open(jpeg)))
        areas = [a["area"] for a in dataset.ground_truth["annotations"]]
        assert min(areas) >= 30
    with Image.open(tmp_path / "set" / "train" / "000001.jpg") as image:
        assert [(c[1], c[2]) for c in image.layer] == [(1, 1)] * 3  # 4:4:4


def test_set_does_not_depend_on_workers_or_count(tmp_path):
    settings_ = {"val": 40, "size": 32, "seed": 1, "progress": False}
    generate(tmp_path / "alone", train=40, workers=0, **settings_)
    generate(tmp_path / "helped", train=40, workers=2, **settings_)
    assert files_of(tmp_path / "alone") == files_of(tmp_path / "helped")
    generate(tmp_path / "short", train=3, workers=0, **settings_)
    short, alone = files_of(tmp_path / "short"), files_of(tmp_path / "alone")
    for name in ("train/000003.jpg", "val/000040.jpg", "annotations/instances_val.json"):
        assert short[name] == alone[name]
    assert short["train/000001.jpg"] != short["val/000001.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "helped", "short"]


SMALL = {"train": 2, "val": 1, "size": 32, "workers": 0, "progress": False}


def test_second_call_reuses_and_other_settings_replace(tmp_path, monkeypatch):
    folder = generate(tmp_path / "deep" / "set", seed=1, **SMALL)
    before = files_of(folder)
    stamp = (folder / "dataset.json").stat().st_mtime_ns
    generate(folder, seed=1, **SMALL)
    assert (folder / "dataset.json").stat().st_mtime_ns == stamp
    generate(folder, seed=2, **SMALL)
    assert files_of(folder)["train/000001.jpg"] != before["train/000001.jpg"]
    generate(folder, seed=1, **SMALL)
    assert files_of(folder) == before
    (folder / "train" / "000002.jpg").unlink()  # no longer whole
    generate(folder, seed=1, **SMALL)
    assert files_of(folder) == before
    monkeypatch.setattr(synthetic_module, "VERSION", 999)
    generate(folder, seed=1, **SMALL)
    assert json.loads((folder / "dataset.json").read_text())["version"] == 999
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def test_never_overwrites_anything_else(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    generate(photos, **SMALL)  # an empty folder is fine
    (photos / "mine.txt").write_text("mine")
    generate(photos, **SMALL)  # nothing to do, nothing lost
    with pytest.raises(InputError, match=r"holds another generated set and, beside it, mine\.txt"):
        generate(photos, seed=5, **SMALL)
    (photos / "dataset.json").write_text("{}")
    with pytest.raises(InputError, match="is not empty and holds no generated set"):
        generate(photos, seed=5, **SMALL)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not a folder"):
        generate(tmp_path / "file", **SMALL)
    assert (photos / "mine.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "x"


def test_interrupted_run_leaves_what_was_there(tmp_path, monkeypatch):
    folder = generate(tmp_path / "set", **SMALL)
    before = files_of(folder)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_module, "make_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(folder, seed=5, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "new", **SMALL)
    assert files_of(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_bad_settings(tmp_path):
    for bad, message in (
        ({"level": "x"}, "level is 'x'"),
        ({"train": 0}, "train is 0; it should be at least 1"),
        ({"val": 0}, "val is 0"),
        ({"size": 8}, "size is 8"),
        ({"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(InputError, match=message):
            generate(tmp_path / "set", **(SMALL | bad))
    assert not list(tmp_path.iterdir())


def test_generated_set_goes_through_the_loader(tmp_path):
    folder = generate(tmp_path / "set", level="people", **SMALL)
    dataset = CocoDataset.from_folder(folder, "train", keypoints=True)
    for batch in Loader(dataset, 2, steps=3, seed=0, flip=1):
        for sample in batch:
            for mask, points in zip(sample.target.masks, sample.target.keypoints, strict=True):
                for x, y, visible in points.astype(int):
                    assert visible < 2 or mask[y, x]  # flipped alike


def test_what_a_killed_process_left_goes_and_what_another_is_making_stays(tmp_path):
    left, in_the_making = (tmp_path / f".shapes.{n}.unfinished" for n in ("00000000", "11111111"))
    for folder in (left, in_the_making, tmp_path / ".shapes-too.22222222.unfinished"):
        (folder / "train").mkdir(parents=True)
    with alone_in(in_the_making):
        generate(tmp_path / "shapes", train=1, val=1, workers=0, progress=False)
    assert sorted(os.listdir(tmp_path)) == [
        ".shapes-too.22222222.unfinished",
        in_the_making.name,
        "shapes",
    ]
