"""`minirnn predict` on folders, patterns and frames; one COCO file of all; single objects cut out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import TINY, call, fail, succeed, trained
from PIL import Image

from minirnn.cli.photos import find_photos
from minirnn.data import read_image
from minirnn.draw.cutouts import crop, cutout
from minirnn.errors import InputError
from minirnn.evaluation import PhotoResults
from minirnn.images import EXIF_ORIENTATION


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 4, "--val", 3, "--size", 64)
    return folder


@pytest.fixture(scope="module")
def weights(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(shapes, tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def album(shapes: Path, tmp_path: Path) -> Path:
    """photo 2, 10 and a broken one; another photo and hidden files in a folder inside."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    shutil.copy(shapes / "val/000001.jpg", folder / "frame10.jpg")
    shutil.copy(shapes / "val/000002.jpg", folder / "frame2.jpg")
    shutil.copy(shapes / "val/000003.jpg", folder / "more/frame2.JPG")
    (folder / "frame3.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no photo")
    (folder / "more/._frame2.jpg").write_bytes(b"what a Mac leaves")
    return folder


@pytest.fixture
def predict(weights: Path, tmp_path: Path) -> Callable:
    def command(*arguments: object) -> list[object]:
        return ["predict", *arguments, "--weights", weights, "--out", tmp_path / "out"]

    return command


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------- which photos


def test_a_folder_is_taken_in_natural_order_and_what_is_no_photo_is_passed_over(album):
    found = find_photos([album])
    assert [str(photo.inside) for photo in found] == ["frame2.jpg", "frame3.png", "frame10.jpg"]
    deep = find_photos([album], recursive=True)
    assert [photo.name for photo in deep] == ["frame2", "frame3", "frame10", "more/frame2"]
    assert all(photo.path.is_file() for photo in deep)


def test_patterns_files_and_folders_together(album, tmp_path):
    found = find_photos(
        [album / "*2.jpg", album / "**/*2.JPG", album / "frame10.jpg", album / "more"]
    )
    assert [photo.path.name for photo in found] == [
        *("frame2.jpg", "frame2.JPG", "frame10.jpg", "frame2.JPG")
    ]
    assert len({photo.name for photo in found}) == 4  # and so no result replaces another
    odd = album / "odd[1].jpg"  # a file of this name is meant, and no pattern
    odd.write_bytes(b"")
    assert [photo.path for photo in find_photos([odd])] == [odd]


def test_a_folder_or_pattern_without_photos_is_named(album, tmp_path):
    (album / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: there are no photographs.*--recursive"):
        find_photos([album / "empty"])
    with pytest.raises(InputError, match=r"\*\.gif: no file fits this pattern"):
        find_photos([album / "*.gif"])


def test_results_are_no_photos_when_the_folder_is_looked_at_again(album, predict):
    out = album / "out"
    arguments = [*predict(album, "--recursive", "--skip-invalid", "--score", 0.01)[:-1], out]
    cut = ["--crops", album / "crops"]
    succeed(*arguments, *cut)
    first = names(album)
    succeed(*arguments, *cut)
    assert names(album) == first


def test_patterns_leave_out_results_as_folders_do(album, predict):
    out, crops = album / "out", album / "more/crops"
    arguments = [*predict(album / "**/*.*g", "--skip-invalid", "--score", 0.01)[:-1], out]
    shutil.copy(album / "frame2.jpg", album / "mine.detections.png")  # where an earlier --out was
    succeed(*arguments, "--crops", crops)
    first = names(album)
    assert any(name.startswith("more/crops/") for name in first)
    succeed(*arguments, "--crops", crops)
    assert names(album) == first


def test_a_pattern_in_the_folder_of_the_results_means_what_it_says(album):
    found = find_photos([album / "more/*.JPG"], leave_out=[album / "more"])
    assert [photo.path.name for photo in found] == ["frame2.JPG"]
    found = find_photos([album / "**/*.JPG"], leave_out=[album])
    assert [photo.path.name for photo in found] == ["frame2.JPG"]
    with pytest.raises(InputError, match="no file fits"):
        find_photos([album / "**/*.JPG"], leave_out=[album / "more"])


def test_pipes_are_no_photographs(album):
    os.mkfifo(album / "pipe.jpg")
    for argument in (album, album / "*.jpg"):
        assert "pipe.jpg" not in [photo.path.name for photo in find_photos([argument])]


# ---------------------------------------------------------------- past a bad file


def test_links_that_lead_nowhere_are_passed_over(album, predict, shapes, tmp_path):
    (album / "loop.jpg").symlink_to("loop.jpg")
    (album / "nowhere.jpg").symlink_to("nothing.jpg")
    coco, truth = tmp_path / "r.json", shapes / "annotations/instances_val.json"
    for options in ([], ["--coco", coco], ["--coco", coco, "--annotations", truth]):
        said = fail(1, "3 of 5 photos could not be used", *predict(album, *options))
        assert "loop.jpg: not a readable image" in said
        assert "nowhere.jpg: the image file is missing" in said
    fail(1, "loop.jpg: not a readable image", *predict(album / "loop.jpg"))
    PhotoResults([(1, "dog")], truth).add(album / "loop.jpg", (4, 4), [])


def test_a_bad_photo_is_passed_over_named_at_the_end_and_told_by_the_code(album, predict, tmp_path):
    fail(1, r"1 of 3 photos could not be used:\n  .*frame3\.png: not a readable", *predict(album))
    assert names(tmp_path / "out") == [
        f"frame{n}.detections.{kind}" for n in (10, 2) for kind in ("json", "png")
    ]
    result = succeed(*predict(album, "--skip-invalid"))
    assert result.out.count("frame3.png") == 2  # when it came, and at the end
    assert "1 of 3 photos could not be used" in result.out
    report = json.loads(call(*predict(album, "--json")).out)
    assert report["skipped"] == 1
    assert [Path(each["photo"]).name for each in report["failed"]] == ["frame3.png"]
    assert len(report["photos"]) == 2


def test_one_bad_photo_is_one_line(album, predict):
    said = fail(1, r"error: .*frame3\.png: not a readable image", *predict(album / "frame3.png"))
    assert "1 of 1" not in said


def test_too_little_memory_for_one_photo_does_not_cost_the_others(album, predict, monkeypatch):
    real = read_image

    def read(path, **options):
        if path.name == "frame2.jpg":
            raise MemoryError
        return real(path, **options)

    monkeypatch.setattr("minirnn.cli.prediction.read_image", read)
    said = fail(1, r"2 of 3 photos could not be used", *predict(album))
    assert "frame2.jpg: too little memory" in said


# ---------------------------------------------------------------- one COCO file of all


def load(annotations: Path, results: Path):
    from pycocotools.coco import COCO

    truth = COCO(str(annotations))
    return truth, truth.loadRes(str(results))


def test_a_coco_file_with_ids_of_its_own(album, predict, tmp_path, capsys):
    coco = tmp_path / "all/results.json"
    arguments = predict(album, "--skip-invalid", "--score", 0.01, "--coco", coco)
    result = succeed(*arguments)
    assert str(tmp_path / "all/results.images.json") in result.out
    truth, found = load(tmp_path / "all/results.images.json", coco)
    photos = {image["id"]: image["file_name"] for image in truth.dataset["images"]}
    assert photos == {1: str(album / "frame2.jpg"), 2: str(album / "frame10.jpg")}
    assert {category["name"] for category in truth.dataset["categories"]} == {
        *("circle", "square", "triangle")
    }
    for number, path in photos.items():
        own = json.loads((tmp_path / "out" / f"{Path(path).stem}.detections.json").read_text())
        theirs = found.imgToAnns[number]
        assert [a["score"] for a in theirs] == [d["score"] for d in own["detections"]]
        assert len(theirs) > 0


def test_a_coco_file_with_the_ids_of_an_annotation_file_is_that_of_evaluate(
    shapes, weights, predict, tmp_path
):
    """Categories of other ids, too: they are found by name."""
    annotations = json.loads((shapes / "annotations/instances_val.json").read_text())
    for image in annotations["images"]:
        image["id"] += 500
        image["file_name"] = f"val/{image['file_name']}"
    for part in annotations["annotations"]:
        part["image_id"] += 500
        part["category_id"] += 40
    for category in annotations["categories"]:
        category["id"] += 40
    (tmp_path / "truth.json").write_text(json.dumps(annotations))
    coco = tmp_path / "results.json"
    options = ["--score", 0.02, "--annotations", tmp_path / "truth.json", "--coco", coco]
    succeed(*predict(shapes / "val", *options))
    succeed(
        *("evaluate", "--weights", weights, "--data", shapes, "--out", tmp_path / "e.json"),
        *("--batch-size", 1, "--set", "box_score_threshold=0.02"),
    )
    evaluated = json.loads((tmp_path / "e.json").read_text())
    assert evaluated
    expected = [
        {**row, "image_id": row["image_id"] + 500, "category_id": row["category_id"] + 40}
        for row in evaluated
    ]
    assert json.loads(coco.read_text()) == expected
    load(tmp_path / "truth.json", coco)
    assert not (tmp_path / "results.images.json").exists()


@pytest.mark.parametrize("annotated", [False, True])
def test_a_coco_file_of_nothing_is_loaded_and_evaluated_too(shapes, predict, tmp_path, annotated):
    from pycocotools.cocoeval import COCOeval

    coco, truth = tmp_path / "results.json", shapes / "annotations/instances_val.json"
    options = ["--annotations", truth] if annotated else []
    result = succeed(*predict(shapes / "val", "--score", 1, "--coco", coco, *options))
    assert "one row of no category" in result.out
    expected, found = load(truth if annotated else tmp_path / "results.images.json", coco)
    assert found.getAnnIds(catIds=expected.getCatIds()) == []
    if annotated:
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(expected, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == 0
            assert all(len(each["dtIds"]) == 0 for each in evaluation.evalImgs if each)


def row(category: int = 1, score: float = 0.5) -> dict:
    return {"image_id": 0, "category_id": category, "bbox": [0, 0, 1, 1], "score": score}


def annotation_file(path: Path, names: list[str], **fields: object) -> Path:
    images = [{"id": 7 + i, "file_name": name, **fields} for i, name in enumerate(names)]
    content = {"images": images, "categories": [{"id": 3, "name": "dog"}]}
    path.write_text(json.dumps(content))
    return path


def test_photos_are_known_by_the_end_of_their_path(tmp_path):
    truth = annotation_file(tmp_path / "t.json", ["a/1.jpg", "b/1.jpg", "2.jpg", "c/3.jpg"])
    results = PhotoResults([(1, "dog"), (2, "cat")], truth)
    for place in ("x/b/1.jpg", "y/2.jpg", "y/3.jpg", "1.jpg"):
        results.add(tmp_path / place, (4, 4), [row(1), row(2)])
    assert [r["image_id"] for r in results.rows] == [8, 9]
    assert {r["category_id"] for r in results.rows} == {3}
    assert [path.name for path in results.strangers] == ["3.jpg", "1.jpg"]
    assert results.unknown == {"cat"}


def test_a_photo_that_could_be_two_images_or_is_another_picture_is_refused(tmp_path):
    twice = PhotoResults([(1, "dog")], annotation_file(tmp_path / "t.json", ["1.jpg", "1.jpg"]))
    with pytest.raises(InputError, match=r"2 images of this name \(ids 7, 8\)"):
        twice.add(tmp_path / "1.jpg", (4, 4), [])
    truth = annotation_file(tmp_path / "t.json", ["1.jpg"], height=5, width=4)
    with pytest.raises(InputError, match=r"is 4 x 4 pixels; image 7 .* another picture"):
        PhotoResults([(1, "dog")], truth).add(tmp_path / "1.jpg", (4, 4), [])


@pytest.mark.parametrize("name", ["./2.jpg", "b/./2.jpg", "b//2.jpg", "/b/2.jpg"])
def test_file_names_are_compared_without_what_says_nothing(tmp_path, name):
    results = PhotoResults([(1, "dog")], annotation_file(tmp_path / "t.json", [name]))
    results.add(tmp_path / "b/2.jpg", (4, 4), [row(1)])
    assert [r["image_id"] for r in results.rows] == [7]
    results.add(tmp_path / "b/12.jpg", (4, 4), [row(1)])
    assert [path.name for path in results.strangers] == ["12.jpg"]


def test_a_link_to_a_photo_has_its_own_name(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/abc.jpg").write_bytes(b"")
    (tmp_path / "album").symlink_to("store")
    (tmp_path / "store/1.jpg").symlink_to("abc.jpg")
    for name in ("1.jpg", "album/1.jpg", "store/1.jpg"):
        results = PhotoResults([(1, "dog")], annotation_file(tmp_path / "t.json", [name]))
        results.add(tmp_path / "album/1.jpg", (4, 4), [])
        assert not results.strangers


@pytest.mark.parametrize("width", [None, "4", 4.5])
def test_a_size_that_is_none_is_not_compared(tmp_path, width):
    truth = annotation_file(tmp_path / "t.json", ["1.jpg"], height=None, width=width)
    results = PhotoResults([(1, "dog")], truth)
    assert results.size_of(tmp_path / "1.jpg") is None
    results.add(tmp_path / "1.jpg", (4, 4), [row(1)])
    assert len(results.rows) == 1


def test_a_network_that_has_numbers_for_names_means_the_ids_of_the_file(tmp_path):
    results = PhotoResults([(1, "1"), (3, "3")], annotation_file(tmp_path / "t.json", ["1.jpg"]))
    results.add(tmp_path / "1.jpg", (4, 4), [row(1), row(3)])
    assert [r["category_id"] for r in results.rows] == [3]
    assert results.unknown == {"1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the annotation file is missing"),
        ("{", "not a JSON file"),
        ("[]", "not COCO's format"),
        ('{"images": [{"id": 1}]}', "no id or no file_name"),
        ('{"images": [], "categories": [{"name": "a"}]}', "category has no id"),
    ],
)
def test_an_annotation_file_that_is_none(tmp_path, text, message):
    path = tmp_path / "t.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"t\.json.*{message}"):
        PhotoResults([(1, "dog")], path)


def test_photos_that_are_not_in_the_annotation_file_are_told(shapes, album, predict, tmp_path):
    truth = shapes / "annotations/instances_val.json"
    coco = tmp_path / "results.json"
    result = succeed(*predict(album / "frame2.jpg", "--coco", coco, "--annotations", truth))
    assert "1 photos are not in" in result.out
    assert "frame2.jpg" in result.out
    assert json.loads(coco.read_text()) == []
    assert "is an empty list, which pycocotools cannot load: no photo has an id" in result.out
    assert "one row of no category" not in result.out
    fail(2, "--annotations needs --coco", *predict(album, "--annotations", truth))


@pytest.mark.parametrize("lying", [False, True])
def test_a_photo_with_a_turn_in_exif_is_read_as_it_is_annotated(
    shapes, weights, predict, tmp_path, lying
):
    """As evaluate reads it: the annotations tell by the size that they state which way is up."""
    data = tmp_path / "data"
    (data / "val").mkdir(parents=True)
    (data / "annotations").mkdir()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    pixels = read_image(shapes / "val/000001.jpg")[:40]
    Image.fromarray(pixels).save(data / "val/a.png", exif=exif)  # stored 64 wide, 40 high
    height, width = (40, 64) if lying else (64, 40)
    truth = json.loads((shapes / "annotations/instances_val.json").read_text())
    truth["images"] = [{"id": 5, "file_name": "./a.png", "height": height, "width": width}]
    truth["annotations"] = [
        {"id": 1, "image_id": 5, "category_id": 1, "bbox": [2, 2, 9, 9], "area": 81, "iscrowd": 0,
         "segmentation": [[2, 2, 11, 2, 11, 11, 2, 11]]}
    ]  # fmt: skip
    path = data / "annotations/instances_val.json"
    path.write_text(json.dumps(truth))
    evaluated, coco = tmp_path / "e.json", tmp_path / "r.json"
    succeed("evaluate", "--weights", weights, "--data", data, "--out", evaluated)
    options = ["--coco", coco, "--annotations", path, "--score", 0.05, "--json"]
    report = json.loads(succeed(*predict(data / "val", *options)).out)["photos"][0]
    assert (report["height"], report["width"]) == (height, width)
    assert json.loads(coco.read_text()) == json.loads(evaluated.read_text()) != []


# ---------------------------------------------------------------- single objects


def test_a_crop_is_every_pixel_that_the_box_touches():
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    np.testing.assert_array_equal(crop(image, np.array([1.2, 0.0, 3.1, 2.0])), image[0:2, 1:4])
    np.testing.assert_array_equal(crop(image, np.array([-9, -9, 99, 99])), image)
    for box in ([2.5, 2.5, 2.5, 2.5], [6, 5, 6, 5], [-3, -3, -1, -1]):
        assert crop(image, np.array(box, float)).shape == (1, 1, 3)
    with pytest.raises(InputError, match="four finite numbers"):
        crop(image, np.array([0, 0, np.nan, 1]))


def test_a_cutout_has_the_mask_as_alpha_and_all_of_it():
    image = np.full((8, 8, 3), 7, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:7] = True
    cut = cutout(image, np.array([4.0, 2.0, 6.0, 5.0]), mask)  # the mask is a pixel wider
    assert cut.shape == (3, 4, 4)
    assert (cut[..., 3] == 255).all()
    np.testing.assert_array_equal(cut[..., :3], 7)
    nothing = cutout(image, np.array([1.0, 1.0, 3.0, 3.0]), np.zeros((8, 8), bool))
    assert nothing.shape == (2, 2, 4)
    assert not nothing[..., 3].any()
    with pytest.raises(InputError, match="mask has shape"):
        cutout(image, np.zeros(4), np.zeros((3, 3), bool))


def test_crops_and_cutouts_of_each_detection(shapes, predict, tmp_path):
    photo = shapes / "val/000001.jpg"
    crops, cutouts = tmp_path / "crops", tmp_path / "cutouts"
    options = ["--score", 0.01, "--crops", crops, "--cutouts", cutouts, "--json"]
    report = json.loads(succeed(*predict(photo, *options)).out)["photos"][0]
    image = read_image(photo)
    assert report["detections"]
    for found in report["detections"]:
        with Image.open(found["crop"]) as picture:
            x, y, w, h = found["bbox"]
            np.testing.assert_array_equal(
                np.array(picture), crop(image, np.array([x, y, x + w, y + h]))
            )
        with Image.open(found["cutout"]) as picture:
            assert picture.mode == "RGBA"
            from pycocotools import mask as coco_mask

            assert (np.array(picture)[..., 3] == 255).sum() == coco_mask.area(found["segmentation"])
    assert len(names(crops)) == len(names(cutouts)) == len(report["detections"])


def test_a_category_name_is_no_path(predict, shapes, tmp_path, monkeypatch):
    evil = [(i, "../../up/\x1b[2J" + "x" * 300) for i in (1, 2, 3)]
    monkeypatch.setattr("minirnn.models.RCNN.categories", evil)
    crops = tmp_path / "crops"
    succeed(*predict(shapes / "val/000001.jpg", "--score", 0.01, "--crops", crops))
    files = names(crops)
    assert files
    assert all("/" not in name and len(name) < 100 for name in files)


def test_cutouts_of_a_network_without_masks(shapes, tmp_path, predict):
    out = tmp_path / "boxes"
    arguments = ["train", "--data", shapes, "--preset", "maskrcnn_shapes", "--out", out]
    succeed(*arguments, "--steps", 1, *TINY, "--set", "mask=False")
    command = predict(shapes / "val", "--cutouts", tmp_path / "c")
    command[command.index("--weights") + 1] = out / "checkpoint.safetensors"
    fail(1, "this network finds no masks; --crops", *command)


# ---------------------------------------------------------------- frames


def test_frames_keep_their_names_order_and_format(album, predict, tmp_path):
    (album / "frame3.png").unlink()
    Image.new("RGB", (64, 64), "grey").save(album / "frame11.png")
    gif = tmp_path / "clip.gif"
    result = succeed(*predict(album, "--frames", "--gif", gif, "--json"))
    out = tmp_path / "out"
    assert [p for p in names(out) if not p.endswith(".json")] == [
        *("frame10.jpg", "frame11.png", "frame2.jpg")
    ]
    assert [Path(photo["photo"]).name for photo in json.loads(result.out)["photos"]] == [
        *("frame2.jpg", "frame10.jpg", "frame11.png")
    ]
    for name, kind in [("frame10.jpg", "JPEG"), ("frame11.png", "PNG")]:
        with Image.open(out / name) as picture:
            assert picture.format == kind
    with Image.open(gif) as moving:
        assert moving.n_frames == 3
        assert max(moving.size) <= 640
        assert moving.info["duration"] == 100


def test_a_frame_of_a_format_that_cannot_be_written_becomes_a_png(shapes, predict, tmp_path):
    """As a HEIC is, which is told by what is in it, and never by its name."""
    (tmp_path / "clip").mkdir()
    shutil.copy(shapes / "val/000001.jpg", tmp_path / "clip/IMG_1.HEIC")
    succeed(*predict(tmp_path / "clip", "--frames"))
    assert names(tmp_path / "out") == ["IMG_1.detections.json", "IMG_1.png"]
    with Image.open(tmp_path / "out/IMG_1.png") as picture:
        assert picture.format == "PNG"


def test_frames_are_never_written_over(album, predict):
    """With --frames the results have the names of the photos: not in the photos' own folder."""
    before = {path: path.read_bytes() for path in album.iterdir() if path.is_file()}
    arguments = [*predict(album, "--frames")[:-1], album]
    fail(1, r"frame2\.jpg is read, and would be written over", *arguments)
    annotations = annotation_file(album / "t.json", ["frame2.jpg"])
    fail(
        *(1, r"t\.json is read, and would be written over"),
        *predict(album, "--coco", annotations, "--annotations", annotations),
    )
    assert {path: path.read_bytes() for path in before} == before


def test_frames_of_several_sizes_make_no_moving_picture(album, predict, tmp_path):
    (album / "frame3.png").unlink()
    Image.new("RGB", (700, 300), "grey").save(album / "frame11.png")
    message = r"frame11\.png is 700 x 300 pixels .*a moving picture needs frames of one size"
    fail(1, message, *predict(album, "--frames", "--gif", tmp_path / "clip.gif"))
    assert not (tmp_path / "clip.gif").exists()


def test_a_moving_picture_that_fails_costs_nothing_else(album, predict, tmp_path):
    """frame3.png is broken, and frame11.png of another size: both are told, and all is written."""
    Image.new("RGB", (700, 300), "grey").save(album / "frame11.png")
    coco, gif = tmp_path / "results.json", tmp_path / "clip.gif"
    result = call(*predict(album, "--frames", "--coco", coco, "--gif", gif, "--json"))
    assert result.code == 1
    report = json.loads(result.out)
    assert (len(report["photos"]), report["skipped"]) == (3, 1)
    assert "frame3.png: not a readable image" in result.err
    assert "a moving picture needs frames of one size" in result.err
    assert json.loads(coco.read_text()) is not None
    assert len(json.loads((tmp_path / "results.images.json").read_text())["images"]) == 3
    assert not gif.exists()


def test_a_moving_picture_that_cannot_be_written_is_named(album, predict, tmp_path):
    (tmp_path / "file").write_text("no folder")
    coco = tmp_path / "results.json"
    arguments = predict(album / "frame2.jpg", "--coco", coco, "--gif", tmp_path / "file/clip.gif")
    fail(1, r"file/clip\.gif: cannot be written", *arguments)
    assert coco.exists()


def test_the_folder_of_a_moving_picture_is_made(album, predict, tmp_path):
    new = tmp_path / "new"
    arguments = [*predict(album / "*.jpg", "--frames", "--gif", new / "film/f.gif")[:-1], new]
    assert f"moving: {new / 'film/f.gif'}" in succeed(*arguments).out
    assert (new / "film/f.gif").read_bytes().startswith(b"GIF8")


@pytest.mark.parametrize("name", ["film.mp4", "film", "film.gif.png"])
def test_a_moving_picture_is_a_gif_by_its_name(album, predict, tmp_path, name):
    fail(2, r"should end with \.gif", *predict(album, "--gif", tmp_path / name))
    assert not (tmp_path / name).exists()


def test_a_photo_that_was_held_upright_is_cut_and_drawn_upright(shapes, predict, tmp_path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    pixels = read_image(shapes / "val/000001.jpg")[:, :40]
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(tmp_path / "up.png", exif=exif)
    report = json.loads(succeed(*predict(tmp_path / "up.png", "--json")).out)["photos"][0]
    assert (report["height"], report["width"]) == (64, 40)
