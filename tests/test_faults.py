"""What hunts for faults have found and no other test holds: tracebacks, and nonsense that was taken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from cli_cases import TINY, call, fail, succeed
from test_model import _tiny, scene

from minirnn.data import CocoDataset, generate
from minirnn.errors import InputError
from minirnn.evaluation import evaluate_results
from minirnn.heads.head import Found
from minirnn.progress import tell
from minirnn.training.log import MetricsLog


def safetensors(name="a", shape=(1,), **header):
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (safetensors(__metadata__=None), 0),
        (safetensors("k" * 3000), 0),
        (safetensors("\x1b[2J\n"), 0),
        (safetensors(shape=(1,) * 65), 1),
        (safetensors("\udc80"), 1),
        (safetensors(__metadata__={"minirnn": "[" * 100_000}), 1),
        (safetensors(__metadata__={"minirnn": '{"step": ' + "9" * 5000 + "}"}), 1),
    ],
)
def test_odd_files_of_weights_are_read_or_refused_in_one_line(tmp_path, data, code):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    for command in (
        ["inspect", path],
        ["inspect", path, "--json"],
        ["convert", path, tmp_path / "out.safetensors", "--overwrite"],
    ):
        if code:
            fail(1, r"w\.safetensors", "weights", *command)
        else:
            assert "\x1b" not in succeed("weights", *command).out


def test_a_file_name_of_300_letters(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "x" * 300, "height": 4, "width": 4}],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="image 1: "):
        CocoDataset(tmp_path / "a.json", tmp_path)


TRUTH = {
    "images": [{"id": 1, "height": 9, "width": 9}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
    "categories": [{"id": 1, "name": "a"}],
}


@pytest.mark.parametrize("place", ["images", "categories", "image_id", "category_id", "result"])
def test_lists_as_ids_are_refused(place):
    truth = json.loads(json.dumps(TRUTH))
    result = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}
    if place in truth:
        truth[place][0]["id"] = [1]
    elif place == "result":
        result |= {"image_id": [1]}
    else:
        truth["annotations"][0][place] = [1]
    with pytest.raises(InputError):
        evaluate_results(truth, [result], ["bbox"])


@pytest.mark.parametrize("bbox", [[0, 0, -4, 4], [0, 0, 4, -4]])
def test_results_of_negative_size_are_refused(bbox):
    result = {"image_id": 1, "category_id": 1, "bbox": bbox, "score": 0.5}
    with pytest.raises(InputError, match=r"result 0 has bbox .* width and height .* 0 or more"):
        evaluate_results(TRUTH, [result], ["bbox"])


def test_run_lengths_of_an_image_that_cannot_be_are_refused_before_they_take_memory():
    truth = json.loads(json.dumps(TRUTH))
    truth["images"][0] |= {"height": 100_000, "width": 100_000}
    runs = {"size": [100_000, 100_000], "counts": [10**10]}
    truth["annotations"][0] |= {"segmentation": runs}
    with pytest.raises(InputError, match="too large"):
        evaluate_results(truth, [], ["segm"])


@pytest.fixture
def small_machine(monkeypatch):
    """A machine with 8 GB, whatever this one has."""
    monkeypatch.setattr("minirnn.masks.checks.memory", lambda: 8 * 10**9)


def test_pictures_whose_masks_no_memory_holds_are_named_when_the_file_is_read(
    tmp_path, small_machine
):
    """100 masks of 12000 x 9000 pixels: the picture has a name, and nothing has taken memory."""
    folder = tmp_path / "data"
    generated = generate(folder, train=3, val=1, size=64, workers=0, progress=False)
    file = generated / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["images"][1] |= {"width": 12_000, "height": 9_000}
    outline = [[0, 0, 0, 9000, 12000, 9000, 12000, 0]]
    one = {"image_id": 2, "category_id": 1, "bbox": [0, 0, 12000, 9000], "segmentation": outline}
    others = [a for a in content["annotations"] if a["image_id"] != 2]
    content["annotations"] = [*others, *({"id": 1000 + k, **one} for k in range(100))]
    file.write_text(json.dumps(content))
    tracemalloc.start()
    message = r"image 2: .*: 100 masks of 12000 x 9000 pixels take 10\.8 GB of memory, .* 8\.0 GB"
    with pytest.raises(InputError, match=message):
        CocoDataset.from_folder(folder, "train")
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()
    content["annotations"] = [a for a in content["annotations"] if a["id"] < 1074]
    file.write_text(json.dumps(content))
    assert len(CocoDataset.from_folder(folder, "train")) == 3  # 74 of them are 8.0 GB


def test_masks_that_no_memory_holds_are_not_pasted(small_machine):
    head = next(head for head in _tiny().roi_heads if head.finds == "masks")
    found = Found.proposed(np.zeros((100, 4), np.float32))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"100 masks of 12000 x 9000 .* \(box_max_detections\)"):
        head.finish(found, (9_000, 12_000))
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("value", ['"soon"', "null", "[]"])
def test_metrics_with_nonsense_in_them_are_cut_off(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "elapsed": 2.5}}\n{{"step": 2, "elapsed": {value}}}\n')
    log = MetricsLog(path, 5)
    assert log.elapsed == 2.5
    log.close()
    assert path.read_text().count("\n") == 1


def test_images_may_come_from_a_generator():
    images = [scene(i)[0] for i in range(2)]
    model = _tiny(box_score_threshold=0.0)
    one, other = model.predict(image for image in images), model.predict(images)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)


@pytest.mark.parametrize("text", ["²", "0", "-1", "many", "9" * 50])
def test_a_number_of_threads_that_is_none(text):
    code = "from minirnn.kernels import thread_count; print(thread_count() > 0)"
    environment = {**os.environ, "MINIRNN_THREADS": text}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize(
    "setting",
    ["size_divisor=0", "fpn_channels=0", "image_mean=()", "rpn_score_threshold=2", "min_size=0"],
)
def test_fields_that_no_network_can_have_are_named(setting, tmp_path):
    name = setting.partition("=")[0]
    arguments = [
        "train",
        "--preset",
        "maskrcnn_shapes",
        "--data",
        tmp_path,
        "--out",
        tmp_path / "o",
    ]
    assert name in call(*arguments, "--show", "--set", setting).err


NARROW = [*TINY[:-2], "--batch-size", 1, "--steps", 2]


def test_a_picture_of_one_row_is_trained_on_like_any_other(tmp_path):
    from PIL import Image

    (tmp_path / "annotations").mkdir()
    (tmp_path / "train").mkdir()
    for i in (1, 2):
        Image.new("RGB", (2000, 1) if i == 1 else (64, 64), "grey").save(
            tmp_path / f"train/{i}.png"
        )
    images = [
        {"id": i, "file_name": f"{i}.png", "height": h, "width": w}
        for i, h, w in [(1, 1, 2000), (2, 64, 64)]
    ]
    boxes = {1: [0, 0, 900, 1], 2: [4, 4, 30, 30]}
    content = {
        "images": images,
        "annotations": [
            {
                **{"id": i, "image_id": i, "category_id": 1, "bbox": [x, y, w, h]},
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for i, (x, y, w, h) in boxes.items()
        ],
        "categories": [{"id": 1, "name": "bar"}],
    }
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps(content))
    out = tmp_path / "run"
    preset = ["--preset", "maskrcnn_shapes"]
    succeed("train", "--data", tmp_path, *preset, "--out", out, *NARROW)
    weights = out / "checkpoint.safetensors"
    succeed("predict", tmp_path / "train", "--weights", weights, "--out", tmp_path / "found")
    assert len(list((tmp_path / "found").glob("*.png"))) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_in_data_shapes_is_one_line_that_names_the_file(tmp_path, workers):
    if shutil.which("unshare") is None:
        pytest.skip("unshare is missing: there is no way to a small disk")
    mount = f"mount -t tmpfs -o size=48k tmpfs {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    script = f"""if True:
        from minirnn.cli import cli
        from minirnn.data import synthetic
        real = synthetic._made
        synthetic._made = lambda maker, chunks, _: real(maker, chunks, {workers})
        if __name__ == "__main__":
            cli.main(["data", "shapes", "--out", r"{tmp_path}/d", "--train", "60", "--size", "64"])
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("minirnn: error: ")]
    assert str(tmp_path) in line
    assert "No space left on device" in line


def test_what_is_told_in_the_middle_of_long_work_has_nothing_that_a_terminal_obeys(capsys):
    tell("\x1b[2Jname\udc80.jpg\tcannot be\nread: Größe")
    assert capsys.readouterr().err == "\\x1b[2Jname\\udc80.jpg\tcannot be\nread: Größe\n"
