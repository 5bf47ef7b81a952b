"""A part of COCO over the network: it arrives whole, whatever the server does and whenever it is ended."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_cases import call, fail, succeed
from coco_cases import (
    IMAGES,
    INSTANCES,
    NAMES,
    PEOPLE,
    archive_of,
    jpeg,
    serving,
    shown_by,
    wanted,
)
from pycocotools import mask
from pycocotools.coco import COCO

from minirnn.data import CocoDataset
from minirnn.data.coco_download import download_coco
from minirnn.data.coco_fetch import ARCHIVE, HOPELESS, read_member
from minirnn.data.coco_source import Source
from minirnn.data.id_list import IdList, read_list
from minirnn.errors import InputError
from minirnn.files import alone_in
from minirnn.files.fetch import Patience
from minirnn.images import check_image

ARCHIVE_PATH = f"/annotations/{ARCHIVE}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    members = {"instances_val2017": INSTANCES, "person_keypoints_val2017": PEOPLE}
    with serving({**IMAGES, ARCHIVE_PATH: archive_of(**members)}) as server:
        yield server


@pytest.fixture
def source(server, tmp_path):
    patience = Patience(attempts=4, pause=0.001, timeout=5)
    return Source(tmp_path / "cache", server.url, patience=patience, bars=False)


@pytest.fixture
def options(server, tmp_path):
    return ["data", "coco", "--base-url", server.url, "--cache", tmp_path / "cache"]


def path_of(image_id: int) -> str:
    return f"/val2017/{image_id:012d}.jpg"


def ids_in(file: Path) -> list[int]:
    return [image["id"] for image in json.loads(file.read_bytes())["images"]]


def check_whole(folder: Path, ids, server) -> dict:
    """The annotation file, after seeing that both readers take it and that the images are as served."""
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_bytes())
    assert {image["id"] for image in content["images"]} == set(ids)
    assert {a["image_id"] for a in content["annotations"]} <= set(ids)
    for image in content["images"]:
        served = server.files[path_of(image["id"])]
        assert (folder / "val2017" / image["file_name"]).read_bytes() == served
    dataset = CocoDataset.from_folder(folder, "val")
    assert not dataset.skipped
    assert sum(len(dataset[i].target.labels) for i in range(len(dataset))) == len(
        content["annotations"]
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(file)
    assert set(coco.getImgIds()) == set(ids)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == [
        name for _, name in dataset.categories
    ]
    for found in coco.loadAnns(coco.getAnnIds()):
        assert mask.area(coco.annToRLE(found)) > 0
    return content


# ---------------------------------------------------------------- what is left behind


def test_one_command_leaves_what_train_and_pycocotools_read(server, options, tmp_path):
    out = tmp_path / "new" / "coco"
    choice = ["--split", "val2017", "--categories", "dog,person", "--images", 10]
    result = succeed(*options, *choice, "--out", out)
    ids = wanted(10, ("person", "dog")).ids
    content = check_whole(out, ids, server)
    assert {c["name"] for c in content["categories"]} == {"person", "dog"}
    assert content["licenses"] == INSTANCES["licenses"]
    assert {**content["info"], "changes": None} == {**INSTANCES["info"], "changes": None}
    assert content["info"]["changes"].startswith("10 images of val2017, objects of person, dog")
    taken = [image for image in INSTANCES["images"] if image["id"] in ids]
    assert content["images"] == taken  # licence and address at Flickr among the rest
    assert sorted(p.name for p in out.iterdir()) == ["annotations", "val2017", "val2017.txt"]
    assert [p.name for p in (out / "annotations").iterdir()] == ["instances_val2017.json"]
    assert set(read_list(out / "val2017.txt").ids) == set(ids)
    for said in (
        "241 MB",
        "about 1.5 MB",
        "10 of 10 images",
        "person in ",
        "x By-NC",
        "--split val2017",
    ):
        assert said in result.out, said
    assert "annotations" in result.err  # the bars
    assert "10/10" in result.err


def test_the_counts_said_are_those_of_the_file(options, tmp_path):
    report = json.loads(succeed(*options, "--out", tmp_path / "out", "--json").out)
    assert report["images"] == report["asked_for"] == 36
    assert report["annotations_left_out"] == [901]
    counts = shown_by([37 * number for number in range(1, 37)])
    assert report["categories"] == {
        name: {"images": counts[i], "objects": counts[i]} for i, name in NAMES.items()
    }
    assert report["licences"] == {"By": 18, "By-NC": 18}
    assert report["bytes"] == sum(map(len, IMAGES.values()))


def test_too_few_images_are_taken_and_said(options, tmp_path):
    result = succeed(*options, "--categories", "cat", "--images", 100, "--out", tmp_path / "out")
    assert "there are only 8 such images; 100 were asked for" in result.out


def test_keypoints_of_the_same_images(server, options, tmp_path):
    out = tmp_path / "out"
    succeed(*options, "--categories", "person,dog", "--images", 9, "--keypoints", "--out", out)
    people = out / "annotations" / "person_keypoints_val2017.json"
    assert ids_in(people) == ids_in(out / "annotations" / "instances_val2017.json")
    dataset = CocoDataset.from_folder(out, "val2017", keypoints=True)
    assert dataset.keypoint_names == ("nose", "ear", "knee")
    assert [name for _, name in dataset.categories] == ["person"]
    assert sum(len(dataset[i].target.keypoints) for i in range(9)) == shown_by(dataset.image_ids)[1]
    fail(1, "keypoints are people's", *options, "--categories", "dog", "--keypoints", "--out", out)


def test_the_archive_comes_once_and_each_image_once(server, options, tmp_path):
    first = ["--categories", "person,dog", "--images", 6, "--out", tmp_path / "one"]
    succeed(*options, *first)
    result = succeed(*options, "--categories", "cat", "--images", 4, "--out", tmp_path / "two")
    assert "241 MB" not in result.out
    assert server.asked_for(ARCHIVE_PATH) == [None]
    asked = len(server.requests)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "one").rglob("*.j*")}
    again = succeed(*options, *first)
    assert "6 images, 6 of them here already; about 0.0 MB to fetch" in again.out
    assert len(server.requests) == asked
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "one").rglob("*.j*")} == before


def test_the_same_options_give_the_same_bytes_and_another_seed_other_images(options, tmp_path):
    def made(name, *more):
        succeed(*options, "--images", 9, "--out", tmp_path / name, *more)
        folder = tmp_path / name
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}

    assert made("a", "--seed", 4) == made("b", "--seed", 4)
    assert set(made("c", "--seed", 5)) != set(made("d", "--seed", 4))


def test_several_images_come_at_a_time_but_not_more_than_asked_for(server, options, tmp_path):
    server.slow = True
    succeed(*options, "--out", tmp_path / "out", "--connections", 3)
    assert server.most_at_once == 3


def test_an_unknown_category_is_named_with_those_that_are_close(options, tmp_path):
    message = "'perso' is not one of COCO's; did you mean person"
    fail(1, message, *options, "--categories", "cat,perso", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- a folder that is there


def test_a_folder_grows_with_more_images(server, source, tmp_path):
    out = tmp_path / "out"
    download_coco(out, wanted(5), source)
    asked = len(server.requests)
    done = download_coco(out, wanted(12), source)
    check_whole(out, wanted(12).ids, server)
    assert (len(done.fetched.here), done.fetched.came) == (12, 7)
    assert len(server.requests) == asked + 7
    assert len(list((out / "annotations").iterdir())) == 1  # the earlier file was ours


@pytest.mark.parametrize("other", [wanted(5, seed=1), wanted(12, names=("person",)), wanted(4)])
def test_another_part_in_the_folder_is_refused(source, tmp_path, other):
    out = tmp_path / "out"
    download_coco(out, wanted(5), source)
    before = {p: p.read_bytes() for p in out.rglob("*.*")}
    with pytest.raises(InputError, match=r"another part of val2017 \(5 images .*--list .*val2017"):
        download_coco(out, other, source)
    assert {p: p.read_bytes() for p in out.rglob("*.*")} == before


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeff# split: val2017\n7\n".encode())
    assert read_list(tmp_path / "list.txt") == IdList("val2017", (7,), (), "")


@pytest.mark.parametrize("there", ["val2017/mine.jpg", "annotations/instances_val2017.json"])
def test_a_folder_of_somebody_elses_is_not_touched(server, source, tmp_path, there):
    (tmp_path / "out" / there).parent.mkdir(parents=True)
    (tmp_path / "out" / there).write_text("mine")
    with pytest.raises(InputError, match="was not made by this command; choose another folder"):
        download_coco(tmp_path / "out", wanted(), source)
    assert [p.name for p in (tmp_path / "out").rglob("*.*")] == [Path(there).name]
    assert not [path for path, _ in server.requests if path != ARCHIVE_PATH]


def test_an_annotation_file_that_was_changed_by_hand_is_kept(server, source, tmp_path):
    out = tmp_path / "out"
    file, told = out / "annotations" / "instances_val2017.json", []
    source = dataclasses.replace(source, say=told.append)
    for count, changed in ((4, b'{"images": []}'), (6, b"no json"), (8, None)):
        download_coco(out, wanted(count), source)
        check_whole(out, wanted(count).ids, server)
        if changed:
            file.write_bytes(changed)
    said = [line.partition(" had been changed")[2] for line in told if "changed" in line]
    assert [line.rpartition(" ")[2] for line in said] == [f"{file.name}.1", f"{file.name}.2"]
    assert file.with_name("instances_val2017.json.1").read_bytes() == b'{"images": []}'
    assert file.with_name("instances_val2017.json.2").read_bytes() == b"no json"


def test_a_picture_in_an_images_place_is_neither_used_nor_lost(server, source, tmp_path):
    out, ids = tmp_path / "out", sorted(wanted(5).ids)
    download_coco(out, wanted(4), source)
    place = out / path_of(ids[0])[1:]
    place.write_bytes(jpeg(7, (30, 30)))
    done = download_coco(out, wanted(5), source)
    assert list(done.fetched.failed) == [place.name]
    assert "should be 48 x 40; remove that file" in done.fetched.failed[place.name]
    assert place.read_bytes() == jpeg(7, (30, 30))
    check_whole(out, ids[1:], server)
    place.unlink()
    download_coco(out, wanted(5), source)
    check_whole(out, ids, server)


def test_two_runs_in_one_folder_exclude_each_other(source, tmp_path):
    with alone_in(tmp_path / "out"), pytest.raises(InputError, match="another run"):
        download_coco(tmp_path / "out", wanted(), source)


# ---------------------------------------------------------------- a server that misbehaves


TROUBLES = {
    "slow": ["slow"],
    "drops": ["drop", "drop", "drop"],
    "busy": [503, (503, {"Retry-After": "0"}), 429],
    "cut short": ["cut"],
    "a page in its place": ["page", "page"],
    "another picture": ["small"],
    "all of it": ["page", "drop", 503, "slow"],
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_trouble_that_passes_changes_nothing(server, source, tmp_path, trouble):
    for image_id in wanted().ids:
        server.plan[path_of(image_id)] = list(trouble)
    done = download_coco(tmp_path / "out", wanted(), source)
    check_whole(tmp_path / "out", wanted().ids, server)
    assert not done.fetched.failed
    assert done.fetched.came == 12
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_dropped_image_goes_on_where_it_ended(server, source, tmp_path):
    path = path_of(wanted(1).ids[0])
    server.plan[path] = ["drop"]
    download_coco(tmp_path / "out", wanted(1), source)
    assert server.asked_for(path) == [None, f"bytes={len(IMAGES[path]) // 2}-"]


def test_an_image_that_the_server_does_not_have_is_left_out_and_named(server, options, tmp_path):
    ids = sorted(wanted(8).ids)
    for image_id, status in zip(ids, (404, 410, 404), strict=False):
        server.plan[path_of(image_id)] = [status] * 9
    choice = ["--categories", "person,cat,dog", "--images", 8, "--out", tmp_path / "out"]
    result = succeed(*options, *choice)
    check_whole(tmp_path / "out", ids[3:], server)
    assert "5 of 8 images" in result.out
    assert "not on the server and left out (3): " in result.out
    for image_id in ids[:3]:
        assert f"{image_id:012d}.jpg" in result.out
        assert len(server.asked_for(path_of(image_id))) == 1  # it makes no sense to ask again
    server.plan.clear()
    succeed(*options, *choice)
    check_whole(tmp_path / "out", ids, server)


def test_an_image_that_is_not_given_out_is_no_success(server, options, tmp_path):
    ids = sorted(wanted(4).ids)
    server.plan[path_of(ids[1])] = [403]
    choice = ["--categories", "person,cat,dog", "--images", 4, "--out", tmp_path / "out"]
    result = call(*options, *choice)
    assert result.code == 1
    assert re.search(r"did not come \(1\):\n.*403 .*does not give the file out", result.out)
    assert succeed(*options, *choice)


@pytest.mark.parametrize("entry", [503, "page", "small", "cut"])
def test_an_image_that_does_not_come_is_named_and_the_next_run_gets_it(
    server, source, tmp_path, entry
):
    ids = sorted(wanted(8).ids)
    server.plan[path_of(ids[2])] = [entry] * 4
    done = download_coco(tmp_path / "out", wanted(8), source)
    assert list(done.fetched.failed) == [Path(path_of(ids[2])).name]
    assert len(server.asked_for(path_of(ids[2]))) == 4
    check_whole(tmp_path / "out", ids[:2] + ids[3:], server)
    done = download_coco(tmp_path / "out", wanted(8), source)
    assert done.fetched.came == 1
    check_whole(tmp_path / "out", ids, server)


def test_the_command_ends_with_1_where_the_next_run_may_get_more(
    server, options, tmp_path, monkeypatch
):
    monkeypatch.setattr(Patience, "wait", lambda *_: None)
    server.plan[path_of(wanted(4).ids[0])] = ["page"] * 5
    choice = ["--categories", "person,cat,dog", "--images", 4, "--out", tmp_path / "out"]
    result = call(*options, *choice)
    assert result.code == 1
    assert re.search(r"did not come \(1\):\n.*gave something else than the image", result.out)
    assert "The same command tries these again.\n\nTrain on what is here:" in result.out
    assert call(*options, *choice).code == 0


@pytest.mark.parametrize("entry", [503, 404, "page"])
def test_a_server_that_is_down_is_given_up_soon_and_what_came_stays(
    server, source, tmp_path, entry
):
    ids, first = sorted(wanted(28).ids), sorted(wanted(4).ids)
    download_coco(tmp_path / "out", wanted(4), source)
    for image_id in set(ids) - set(first):
        server.plan[path_of(image_id)] = [entry] * 4
    why = "is the wrong one" if entry == 404 else "the server or the network is to blame"
    with pytest.raises(InputError, match=rf"{HOPELESS} images in a row.*{why}.*the same command"):
        download_coco(tmp_path / "out", wanted(28), source)
    check_whole(tmp_path / "out", first, server)
    server.plan.clear()
    assert download_coco(tmp_path / "out", wanted(28), source).fetched.came == 24
    check_whole(tmp_path / "out", ids, server)


def test_none_at_all_is_an_error(server, source, tmp_path):
    for image_id in wanted(5).ids:
        server.plan[path_of(image_id)] = [404]
    with pytest.raises(InputError, match=r"none of 5 images came\. The server has none of them"):
        download_coco(tmp_path / "out", wanted(5), source)


def test_a_full_disk_stops_all(server, source, tmp_path, monkeypatch):
    really_open, count = open, [0]

    def opened(path, mode="r", *more, **rest):
        if str(path).endswith(".jpg.part"):
            count[0] += 1
            if count[0] > 3:
                raise OSError(28, "No space left on device", str(path))
        return really_open(path, mode, *more, **rest)

    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(OSError, match="No space left"):
        download_coco(tmp_path / "out", wanted(28), source)
    assert len(server.requests) < 1 + 3 + 2 * source.connections


def test_too_little_room_is_said_before_anything_is_fetched(server, options, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 5 << 20}))
    fail(1, r"241 MB are to come; 5\.0 MB are free", *options, "--out", tmp_path / "out")
    assert server.requests == []


def test_a_place_that_cannot_be_written_is_said_before_anything_is_fetched(
    server, options, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out"
    fail(1, rf"--out {out}: {tmp_path}/file is no folder", *options, "--out", out)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    out = tmp_path / "new" / "out"
    fail(1, rf"--out {out}: {tmp_path} cannot be written to", *options, "--out", out)
    assert server.requests == []


# ---------------------------------------------------------------- the archive


def test_the_archive_is_taken_up_where_it_ended(server, options, tmp_path):
    server.plan[ARCHIVE_PATH] = ["drop", 503]
    (tmp_path / "cache").mkdir()
    start = server.files[ARCHIVE_PATH][:1000]
    (tmp_path / "cache" / f"{ARCHIVE}.part").write_bytes(start)  # what a killed run left
    succeed(*options, "--images", 3, "--out", tmp_path / "out")
    assert server.asked_for(ARCHIVE_PATH)[0] == "bytes=1000-"
    assert (tmp_path / "cache" / ARCHIVE).read_bytes() == server.files[ARCHIVE_PATH]


def test_something_else_than_an_archive_is_refused_and_removed(server, options, tmp_path):
    server.plan[ARCHIVE_PATH] = ["page"]
    fail(1, "gave something that is no zip archive", *options, "--out", tmp_path / "out")
    assert list((tmp_path / "cache").iterdir()) == []
    succeed(*options, "--images", 3, "--out", tmp_path / "out")


def test_a_broken_archive_is_named_with_what_to_do(server, options, tmp_path):
    content = bytearray(server.files[ARCHIVE_PATH])
    content[200] ^= 255
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ARCHIVE).write_bytes(content)
    fail(1, rf"{ARCHIVE} is broken .*remove it", *options, "--out", tmp_path / "out")
    (tmp_path / "cache" / ARCHIVE).write_bytes(archive_of(instances_train2017={}))
    with pytest.raises(InputError, match=r"no annotations/instances_val2017\.json in it"):
        read_member(tmp_path / "cache" / ARCHIVE, "instances", "val2017")


def test_the_cache_and_the_mirror_are_also_set_by_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRNN_CACHE", str(tmp_path / "kept"))
    monkeypatch.setenv("MINIRNN_COCO_URL", server.url)
    succeed("data", "coco", "--images", 3, "--out", tmp_path / "out")
    assert (tmp_path / "kept" / "coco" / ARCHIVE).is_file()
    (tmp_path / "kept" / "coco" / ARCHIVE).rename(tmp_path / "kept" / ARCHIVE)  # as it was once
    succeed("data", "coco", "--images", 3, "--out", tmp_path / "out")
    assert not (tmp_path / "kept" / "coco" / ARCHIVE).exists()
    monkeypatch.delenv("MINIRNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    succeed("data", "coco", "--images", 3, "--out", tmp_path / "out")
    assert (tmp_path / "xdg" / "minirnn" / "coco" / ARCHIVE).is_file()


# ---------------------------------------------------------------- interruptions


def start(options, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "minirnn", *map(str, options), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--connections", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_images(out: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("val2017/*.jpg"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_where_it_was(server, options, tmp_path, number):
    server.slow = True
    out = tmp_path / "out"
    with start(options, out) as process:
        wait_for_images(out, 5)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == (130 if number == signal.SIGINT else -number), said
    assert "Traceback" not in said
    here = list(out.glob("val2017/*.jpg"))
    assert 5 <= len(here) < 36
    for path in here:
        check_image(path, size=(40, 48))
    assert not list(out.glob("annotations/*"))

    server.slow, server.requests = False, []
    parts = {p.name.removesuffix(".part"): p.stat().st_size for p in out.glob("val2017/*.part")}
    succeed(*options, "--out", out)
    check_whole(out, [37 * number for number in range(1, 37)], server)
    assert not list(out.rglob("*.part"))
    asked = {Path(path).name: begin for path, begin in server.requests}
    assert not set(asked) & {path.name for path in here}
    assert ARCHIVE not in asked
    for name, size in parts.items():
        assert asked[name] == (f"bytes={size}-" if size else None)


def test_killed_again_and_again_it_still_ends_the_same(server, options, tmp_path):
    server.slow = True
    for count in (3, 12, 20):
        with start(options, tmp_path / "out") as process:
            wait_for_images(tmp_path / "out", count)
            process.kill()
            process.communicate()
    server.slow = False
    succeed(*options, "--out", tmp_path / "out")
    succeed(*options, "--out", tmp_path / "straight")
    for path in (tmp_path / "straight").rglob("*.*"):
        twin = tmp_path / "out" / path.relative_to(tmp_path / "straight")
        assert twin.read_bytes() == path.read_bytes(), path


# ---------------------------------------------------------------- lists


def test_a_list_names_the_same_part_for_somebody_else(server, options, tmp_path):
    file = tmp_path / "lists" / "mine.txt"
    choice = ["--categories", "person,cat", "--images", 7, "--seed", 3]
    result = succeed(*options, *choice, "--write-list", file)
    assert "7 images of val2017 with person, cat; balanced, seed 3" in result.out
    assert not [path for path, _ in server.requests if path != ARCHIVE_PATH]
    succeed(*options, *choice, "--out", tmp_path / "one")
    succeed(*options, "--list", file, "--out", tmp_path / "two")
    succeed(*options, "--list", tmp_path / "one" / "val2017.txt", "--out", tmp_path / "three")
    for path in (tmp_path / "one").rglob("*.*"):
        for other in ("two", "three"):
            twin = tmp_path / other / path.relative_to(tmp_path / "one")
            assert twin.read_bytes() == path.read_bytes(), path
    assert read_list(file) == wanted(7, ("person", "cat"), 3)
    succeed(*options, *choice, "--write-list", file)  # the same again
    fail(1, "there already, with other", *options, "--seed", 1, "--write-list", file)


def test_categories_take_the_place_of_a_lists_own(server, options, tmp_path):
    ids = wanted(7).ids
    (tmp_path / "list.txt").write_text(IdList("val2017", ids, ("person", "dog")).as_text())
    list_option = ["--list", tmp_path / "list.txt"]
    succeed(*options, *list_option, "--categories", "dog", "--out", tmp_path / "out")
    content = check_whole(tmp_path / "out", ids, server)  # with the images without a dog
    assert {c["name"] for c in content["categories"]} == {"dog"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# split: val2017\n37\n74\n37\n", "line 4: image 37 is in line 2, too"),
        ("# split: val2017\n37\n000000000074.jpg\n", "line 3 is '000000000074.jpg'; it should be"),
        ("37\n", "does not say its split"),
        ("# split: val2017\n", "has no ids"),
        ("# split: val2017\n38\n37\n", "1 images of the list are not in val2017: 38"),
        ("# split: test2017\n38\n37\n", "split is 'test2017'; it should be one of"),
        ("# split: val2017\n# categories: dgo\n37\n", "did you mean dog"),
        (b"\xff\xfe\x00", "not a list of image ids"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused(options, tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    fail(1, message, *options, "--list", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_contradict_each_other(options, tmp_path):
    out = ["--out", tmp_path / "out"]
    fail(2, "say where it goes", *options)
    fail(2, "--list says which images", *options, *out, "--list", "small-val2017", "--seed", 1)
    other = ["--list", "small-val2017", "--split", "train2017"]
    fail(2, "is a list of val2017, and --split says", *options, *out, *other)
    fail(2, "names no category", *options, *out, "--categories", " , ")
    message = "no list nowhere: .*ready are .*small-train2017, small-val2017"
    fail(1, message, *options, *out, "--list", "nowhere")
    (tmp_path / "file").write_text("")
    fail(2, "is a file", *options, "--out", tmp_path / "file")


@pytest.mark.coco
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_real_annotations_through_a_ready_list(coco_subset, tmp_path, monkeypatch, split):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kinds = ("instances", "person_keypoints")
    contents = {
        f"{kind}_{split}": json.loads(
            (coco_subset / "annotations" / f"{kind}_{split}.json").read_bytes()
        )
        for kind in kinds
    }
    files = {f"/{split}/{p.name}": p.read_bytes() for p in (coco_subset / split).glob("*.jpg")}
    with serving({**files, ARCHIVE_PATH: archive_of(**contents)}) as server:
        options = ["data", "coco", "--base-url", server.url, "--cache", tmp_path / "cache"]
        succeed(*options, "--list", f"small-{split}", "--keypoints", "--out", tmp_path / "out")
    for keypoints in (False, True):
        ours = CocoDataset.from_folder(tmp_path / "out", split, keypoints=keypoints)
        theirs = CocoDataset.from_folder(coco_subset, split, keypoints=keypoints)
        assert ours.ground_truth == theirs.ground_truth
    place = theirs.image_ids.index(ours.image_ids[0])
    np.testing.assert_array_equal(ours[0].image, theirs[place].image)
