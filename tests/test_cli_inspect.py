"""`minirnn data inspect`: what is printed, how it ends, the copy and the page."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from cli_cases import call, fail, succeed
from inspection_cases import FAULTS, NOTES, Set

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def data(tmp_path) -> Set:
    return Set(tmp_path / "data")


def test_a_clean_set_ends_with_0(data):
    result = succeed("data", "inspect", data.root, "--workers", 0)
    assert "no faults, no notes" in result.out
    assert "anchors of maskrcnn_small_fpn: IoU 0.5 or more with" in result.out
    assert "--fix" not in result.out


def test_faults_are_named_and_end_with_1_and_notes_do_not(data):
    NOTES["dark"].spoil(data)
    data.write()
    assert "1 x dark image" in succeed("data", "inspect", data.root, "--workers", 0).out
    FAULTS["box 30 pixels off"].spoil(data)
    data.write()
    result = call("data", "inspect", data.root, "--workers", 0)
    assert result.code == 1
    assert "1 x box that is not its mask's" in result.out
    assert "instances_train.json: annotation 32 of image 3 (003.png): the box is" in result.out
    assert result.out.index("HARMS") < result.out.index("NOTE")
    assert f"minirnn data inspect {data.root} --fix {data.root}-fixed" in result.out


def test_set_changes_what_the_anchors_are_judged_by(data):
    """Objects of 40 pixels in images of 96: no anchor of 16 to 256 pixels misses them, all of 300 do."""
    options = ["--set", "anchor_sizes=((300,),(300,),(300,),(300,),(300,))", "--set", "min_size=96"]
    result = succeed("data", "inspect", data.root, "--workers", 0, *options, "--json")
    report = json.loads(result.out)["anchors"]
    assert report["share"] == {"train": 0, "val": 0}
    assert report["suggested_share"] == {"train": 1, "val": 1}
    fail(1, "no field 'anchor_size'", "data", "inspect", data.root, "--set", "anchor_size=3")


def test_check_names_what_inspect_names(data):
    """The quick one, too, says which image is broken."""
    FAULTS["file cut short"].spoil(data)
    result = call("data", "check", data.root)
    assert result.code == 1
    assert re.search(r"image 3: broken image: .*003\.png: not a readable image", result.out)
    other = call("data", "inspect", data.root, "--workers", 0)
    assert "image 3: " in other.out
    assert "1 x broken image" in result.out
    assert "1 x broken image" in other.out


def test_one_fault_is_called_one_fault(data, tmp_path):
    FAULTS["duplicate box"].spoil(data)
    data.write()
    command = ("data", "inspect", data.root, "--workers", 0, "--fix", tmp_path / "out")
    text = call(*command).out
    assert "\n1 fault, no notes\n" in text
    assert "with 1 change (changes.txt" in text


def test_check_looks_at_all_splits(data):
    """A broken image of val stops the training that measures, too."""
    data.file(103).write_bytes(b"no picture")
    result = call("data", "check", data.root)
    assert result.code == 1
    assert re.search(r"train\.json: 5 images.*\neverything can be used\n.*val\.json: 2", result.out)
    assert "image 103: broken image" in result.out
    report = json.loads(call("data", "check", data.root, "--json").out)["splits"]
    assert {name: split["skipped"] for name, split in report.items()} == {
        "train": {},
        "val": {"broken image": 1},
    }
    assert "val" not in succeed("data", "check", data.root, "--split", "train").out


def test_check_compares_the_categories_of_the_splits(data):
    data.content["val"]["categories"][0]["name"] = "box"
    data.write()
    fail(1, "category 1 is 'box'; for the model it is 'square'", "data", "check", data.root)


def test_json_names_all(data, tmp_path):
    FAULTS["duplicate box"].spoil(data)
    data.write()
    result = call("data", "inspect", data.root, "--workers", 0, "--json", "--fix", tmp_path / "out")
    report = json.loads(result.out)
    (problem,) = report["problems"]
    assert problem["severity"] == "harms"
    assert (problem["image_id"], problem["annotation_id"]) == (3, 999)
    assert problem["file_name"] == "003.png"
    assert report["splits"]["val"]["images"] == 3
    assert 0 <= report["anchors"]["share"]["train"] <= 1
    (change,) = report["fix"]["changes"]
    assert change["done"] == "left out"
    assert report["fix"]["left"] == []
    assert "no faults, no notes" in succeed("data", "inspect", tmp_path / "out", "--workers", 0).out


def test_one_split_only(data):
    FAULTS["duplicate box"].spoil(data)
    data.write()
    succeed("data", "inspect", data.root, "--split", "val", "--workers", 0)
    fail(1, "no instances_test", "data", "inspect", data.root, "--split", "test")


def test_what_is_wrong_with_the_command_is_said_before_any_work(data, tmp_path):
    fail(1, "preset is 'x'", "data", "inspect", data.root, "--preset", "x")
    fail(
        1, "there is no folder", "data", "inspect", data.root, "--html", tmp_path / "no" / "a.html"
    )
    fail(1, "beside it", "data", "inspect", data.root, "--fix", data.root / "fixed")
    fail(1, "none", "data", "inspect", tmp_path / "none")


def test_the_page_holds_all_and_loads_nothing(data, tmp_path):
    for name in ("box 30 pixels off", "duplicate box", "crowd as polygons"):
        (FAULTS | NOTES)[name].spoil(data)
    data.train["categories"][0]["name"] = "</script><b>square</b>"
    data.write()
    page = tmp_path / "page.html"
    result = call("data", "inspect", data.root, "--workers", 0, "--html", page, "--gallery", 4)
    assert f"Written: {page}" in result.out
    text = page.read_text()
    assert "<b>square" not in text
    assert html.escape("box that is not its mask's", quote=True).replace("&#x27;", "&#39;") in text
    assert "annotation 32 of image 3" in text
    assert text.count("data:image/jpeg;base64,") == 4
    assert "4 of 8 images" in text
    text = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]+)""", text):
        assert address.startswith("data:"), address
    # Problems first.
    assert text.index("<figcaption><b>3</b>") < text.index("<figcaption><b>1</b>")


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_the_gallery_works_in_a_browser(data, tmp_path):
    page = tmp_path / "page.html"
    succeed("data", "inspect", data.root, "--workers", 0, "--html", page, "--gallery", 5)
    done = subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ">5 shown</span>" in done.stdout


def test_a_page_of_a_set_in_which_nothing_can_be_used(data, tmp_path):
    for split in ("train", "val"):
        (data.root / f"annotations/instances_{split}.json").write_text("{}")
    page = tmp_path / "page.html"
    result = call("data", "inspect", data.root, "--workers", 0, "--html", page)
    assert result.code == 1
    assert "file that cannot be used" in page.read_text()


def test_a_name_that_is_no_utf8_stands_on_the_page(data, tmp_path):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        data.root.rename(root)
    except OSError:
        pytest.skip("this file system takes no such name")
    page = tmp_path / "page.html"
    succeed("data", "inspect", root, "--workers", 0, "--html", page, "--gallery", 0)
    assert "caf\\udce9: a look at the data" in page.read_text(encoding="utf-8")


def test_a_network_without_anchors_of_its_own(data):
    result = succeed(
        "data", "inspect", data.root, "--workers", 0, "--preset", "fastrcnn_resnet50_fpn"
    )
    assert "anchors of" not in result.out
