"""No output of a command costs the user a file: what is read, what is named twice, what is another's."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import call, fail, succeed, trained
from inspection_cases import Set
from PIL import Image

import minirnn
from minirnn.cli.outputs import check_outputs
from minirnn.errors import InputError
from minirnn.files.page_mark import maker_of
from minirnn.verify.page import write_page

READ = r"is read, and would be written over"
TWICE = r"would be written twice"
PAGE = r"is there already and is no page of minirnn"
RESULTS = r"is there already and is no list of COCO results"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, and a run on it."""
    folder = tmp_path_factory.mktemp("made")
    succeed("data", "shapes", "--out", folder / "data", "--train", 4, "--val", 3, "--size", 64)
    trained(folder / "data", folder / "run")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of them, in which a test may lose files, with a note of the user's."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "note.txt").write_text("milk, bread")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stays(place: Path) -> Callable[..., None]:
    """Called with a message and a command: it must fail with that, and leave every file as it was."""

    def check(message: str, *arguments: object) -> None:
        before = contents(place)
        fail(1, message, *arguments)
        assert contents(place) == before

    return check


# ---------------------------------------------------------------- the check by itself


def test_what_is_read_or_named_twice_is_refused(tmp_path):
    a, link = tmp_path / "a", tmp_path / "link"
    a.write_text("[]")
    link.symlink_to(a)
    with pytest.raises(InputError, match=READ):
        check_outputs(results=[link], reads=[None, a])
    with pytest.raises(InputError, match=TWICE):
        check_outputs(results=[a], others=[tmp_path / "x/../link"])
    with pytest.raises(InputError, match="is a folder"):
        check_outputs(pages=[tmp_path])
    check_outputs(results=[a, None], pages=[tmp_path / "new.html"], reads=[tmp_path / "b"])


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("pages", b'<meta name="generator" content="minirnn inspect">'),
        ("results", b'\n [{"image_id": 1}]'),
        ("pictures", b"\x89PNG\r\n"),
    ],
)
def test_only_a_file_of_the_kind_is_replaced(tmp_path, kind, own):
    path, gif = tmp_path / "file", tmp_path / "film.GIF"
    for content in (own, b""):
        path.write_bytes(content)
        check_outputs(**{kind: [path]})
    for content in (b"{}", b"milk", b"GIF89a", b'<meta name="generator" content="other">'):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"file is there already and is no"):
            check_outputs(**{kind: [path]})
    if kind == "pictures":
        gif.write_bytes(b"GIF89a")
        check_outputs(pictures=[gif])
        gif.write_bytes(own)
        with pytest.raises(InputError, match="is there already"):
            check_outputs(pictures=[gif])


def test_a_pipe_takes_all_that_comes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_outputs(pages=[pipe], results=[pipe], pictures=[pipe], reads=[pipe])


def test_a_link_into_a_folder_that_is_not_there_is_refused_before_the_work(place, stays):
    (place / "link.html").symlink_to(place / "nowhere/page.html")
    stays("there is no folder", "verify", "relu", "--html", place / "link.html")


def test_every_template_of_a_page_has_the_mark():
    """A page without it could not be made anew in its place."""
    folder = Path(minirnn.__file__).parent
    pages = [path for path in folder.rglob("*.html") if "<head>" in path.read_text("utf-8")]
    marked = {path.name: maker_of(path) for path in pages if "lessons" not in path.parts}
    assert marked == {
        "inspection.html": "inspect",
        "report.html": "demo",
        "run_page.html": "run",
        "xray.html": "explain",
    }


def test_a_page_of_a_comparison_has_the_mark(tmp_path):
    write_page(tmp_path / "page.html", "x")
    assert maker_of(tmp_path / "page.html") == "verify"
    assert maker_of(tmp_path / "none.html") is None


# ---------------------------------------------------------------- evaluate


def test_evaluate_writes_over_nothing_that_it_reads(place, stays):
    weights, data = place / "run/checkpoint.safetensors", place / "data"
    command = ["evaluate", "--weights", weights, "--data", data, "--out"]
    stays(READ, *command, data / "annotations/instances_val.json")
    stays(READ, *command, weights)
    for other in ("note.txt", "data/val/000001.jpg", "data/annotations/instances_train.json"):
        stays(RESULTS, *command, place / other)
    for _ in range(2):  # what it has written itself, it writes again
        succeed(*command, place / "results.json")


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "metrics.jsonl", "../note.txt"])
def test_report_replaces_only_pages(place, stays, name):
    stays(PAGE, "report", place / "run", "--html", place / "run" / name)


def test_report_is_written_again(place):
    for _ in range(2):
        succeed("report", place / "run", "--html", place / "page.html")


def test_inspect_replaces_only_pages(tmp_path):
    data = Set(tmp_path / "data")
    (tmp_path / "note.txt").write_text("milk, bread")
    before = contents(tmp_path)
    command = ["data", "inspect", data.root, "--workers", 0, "--gallery", 1, "--html"]
    for name in ("data/annotations/instances_train.json", "data/train/001.png", "note.txt"):
        fail(1, PAGE, *command, tmp_path / name)
    assert contents(tmp_path) == before
    for _ in range(2):
        succeed(*command, tmp_path / "page.html")
    assert maker_of(tmp_path / "page.html") == "inspect"


def test_verify_and_bench_replace_only_pages_and_charts(place, stays):
    note, chart = place / "note.txt", place / "data/val/000001.jpg"
    stays(PAGE, "verify", "relu", "--html", note)
    stays(PAGE, "bench", "ops", "--only", "nms", "--html", note)
    stays("no such picture", "bench", "ops", "--only", "nms", "--png", chart)
    new = place / "new"
    stays(TWICE, "bench", "ops", "--only", "nms", "--html", new, "--png", new)
    stays(READ, "bench", "infer", "--image", chart, "--png", chart)


def test_explain_replaces_only_pages(place, stays):
    photo = place / "data/val/000001.jpg"
    command = ["explain", photo, "--weights", place / "run/checkpoint.safetensors", "--out"]
    stays(READ, *command, photo)
    stays(READ, *command, command[3])
    stays(PAGE, *command, place / "note.txt")
    stays("there is no folder", *command, place / "none/page.html")


# ---------------------------------------------------------------- predict


@pytest.fixture
def predict(place: Path) -> list[object]:
    weights, photos = place / "run/checkpoint.safetensors", place / "data/val"
    return ["predict", photos, "--weights", weights, "--out", place / "out", "--score", 0.01]


def test_predict_writes_over_nothing_that_it_reads(place, stays, predict):
    truth, weights = place / "data/annotations/instances_val.json", predict[3]
    stays(READ, *predict, "--coco", weights)
    stays(READ, *predict, "--coco", truth, "--annotations", truth)
    stays(READ, *predict, "--coco", place / "data/val/000001.jpg")
    stays(RESULTS, *predict, "--coco", place / "note.txt")
    shutil.copy(weights, place / "weights.gif")
    stays(READ, *predict, "--weights", place / "weights.gif", "--gif", place / "weights.gif")
    stays("no such picture", *predict, "--gif", place / "weights.gif")


def test_predict_writes_no_two_things_into_one_file(place, stays, predict):
    both = place / "both.gif"
    stays(TWICE, *predict, "--coco", both, "--gif", both)
    stays(TWICE, *predict, "--coco", place / "out/000001.detections.json")
    stays(TWICE, *predict, "--frames", "--coco", place / "out/000002.jpg")


def test_ids_of_photos_go_over_no_file_of_another(place, stays, predict):
    ids = place / "r.images.json"
    for foreign in (
        '{"images": [], "annotations": [{"id": 1}], "categories": []}',
        '{"images": [], "annotations": [], "categories": [], "info": {}}',
        '{"images": [{"id": 1, "license": 3}], "annotations": [], "categories": []}',
        '{"images": 1, "annotations": [], "categories": []}',
        "mine",
    ):
        ids.write_text(foreign)
        stays(r"r\.images\.json is there already", *predict, "--coco", place / "r.json")
    ids.unlink()
    for _ in range(2):
        succeed(*predict, "--coco", place / "r.json")
    assert json.loads(ids.read_text())["images"]


def test_ids_of_photos_have_no_place_beside_a_pipe(place, predict):
    os.mkfifo(place / "pipe")
    fail(1, "pipe is no file, so that the ids", *predict, "--coco", place / "pipe")
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": "a", "cutouts": "a"}, "--crops and --cutouts are both"),
        ({"crops": "a", "cutouts": "link"}, "--crops and --cutouts are both"),
        ({"crops": "a", "cutouts": "a/b"}, "--crops and --cutouts lie in each other"),
        ({"crops": "out"}, "--out and --crops are both"),
        ({"cutouts": "out"}, "--out and --cutouts are both"),
    ],
)
def test_folders_of_results_are_apart(place, stays, predict, options, message):
    (place / "link").symlink_to(place / "a")
    folders = [x for name, folder in options.items() for x in (f"--{name}", place / folder)]
    stays(message, *predict, *folders)


def test_folders_of_what_is_cut_out_may_lie_in_that_of_the_results(place, predict):
    succeed(*predict, "--crops", place / "out/crops", "--cutouts", place / "out/cutouts")
    assert len(list((place / "out").rglob("*.png"))) > 3


@pytest.mark.parametrize("option", ["--crops", "--cutouts"])
def test_no_crop_goes_over_a_photo_that_is_read(place, predict, option):
    """The crop of a photo has a name that another photo may have, where that is read."""
    first = json.loads(succeed(*predict, "--json").out)["photos"][0]["detections"][0]["category"]
    photos = place / "data/val"
    victim = photos / f"000001.01.{first}.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(victim)
    before = contents(photos)
    result = call(*predict, option, photos)
    assert result.code == 1
    assert f"{victim} is needed, and would be written over" in result.err
    assert {path: path.read_bytes() for path in before} == before
