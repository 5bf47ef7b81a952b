"""`minirnn train`: going on with a run in other ways than it was begun, and the commands it ends with."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zlib
from pathlib import Path

import convert_cases as cases
import pytest
from cli_cases import TINY, call, fail, succeed, training
from coco_cases import IMAGES, INSTANCES, archive_of, serving
from inspection_cases import FAULTS, Set
from test_data_proposals import write

from minirnn.cli.datasets import Subset
from minirnn.data import CocoDataset
from minirnn.models import build_model
from minirnn.training import TrainingSettings, read_checkpoint, train
from minirnn.watch import live_page


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("my data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 8, "--val", 4, "--size", 64)
    return folder


def stored(run):
    return read_checkpoint(run / "checkpoint.safetensors")[1]


def command_in(text):
    """The words of the last command that was printed."""
    lines = re.findall(r"^    (minirnn .*)", text.replace("\\\n", " "), re.MULTILINE)
    return shlex.split(lines[-1])


# ----------------------------------------------------------- what is typed with --resume


def test_other_weights_and_resume_exclude_each_other(shapes, tmp_path):
    first, run = tmp_path / "first", tmp_path / "my run"
    succeed(*training(shapes, first, 1))
    weights = first / "checkpoint.safetensors"
    command = [*training(shapes, run), "--weights", weights]
    succeed(*command, "--stop-at", 1)
    message = r"--weights and --resume exclude each other.*did not begin with .*best\.safetensors"
    fail(2, message, "train", "--resume", "--out", run, "--weights", first / "best.safetensors")
    fail(2, "did not begin with none", "train", "--resume", "--out", run, "--weights", "none")
    succeed(*command, "--stop-at", 2, "--resume")  # the same command, as the run says
    succeed("train", "--resume", "--out", run, "--stop-at", 3, f"--weights={weights}")
    succeed("train", "--resume", "--out", run)
    assert stored(run)["step"] == 4
    fail(2, "exclude each other", "train", "--resume", "--out", first, "--weights", weights)


def test_evaluation_can_be_switched_off(shapes, tmp_path):
    run = tmp_path / "run"
    given = ["--evaluate-every", 1, "--best-by", "box", "--patience", 2, "--learning-rate", 1e-12]
    first = succeed(*training(shapes, run, 6), *given)
    assert "stopped: " not in first.out
    assert stored(run)["step"] == 3  # early
    go_on = ["train", "--resume", "--out", run, "--evaluate-every", 0]
    message = "--patience needs --evaluate-every"
    fail(2, message, *go_on, "--patience", 3)
    fail(2, "--best-by needs --evaluate-every", *go_on, "--best-by", "box")
    last = succeed(*go_on)
    assert stored(run)["step"] == 6
    assert "(box AP 0.000, step 3)" in last.out
    options = json.loads((run / "run.json").read_text())["options"]
    assert (options["best_by"], options["patience"]) == ("box", 2)


def test_another_best_by_is_refused_and_nothing_changes(shapes, tmp_path):
    run = tmp_path / "run"
    succeed(*training(shapes, run), "--evaluate-every", 2, "--best-by", "box", "--stop-at", 2)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    message = r"asks for mask AP, but best\.safetensors of this run holds the best by box AP"
    fail(1, message, "train", "--resume", "--out", run, "--best-by", "mask")
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert after == before


# ------------------------------------------------------------- from Python, and the reverse


def begun_in_python(shapes, folder, steps, **given):
    data = CocoDataset.from_folder(shapes, "train")
    own = {"categories": tuple(data.categories), "num_classes": len(data.categories) + 1}
    small = {"min_size": (64,), "small_widths": (16, 24, 32), "fpn_channels": 16, "box_width": 32}
    model = build_model("maskrcnn_shapes", **own, **small)
    settings = TrainingSettings(steps=steps, batch_size=2, workers=0)
    page = live_page(folder, model, settings, resume=given.get("resume", False))
    with page:
        return train(model, data, settings, folder, progress=False, watch=page, **given)


def test_a_run_from_python_goes_on_from_the_command_line_and_back(shapes, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    begun_in_python(shapes, whole, 3)
    begun_in_python(shapes, run, 3, stop_at=1)
    message = "is a run from Python, which names no preset: leave --preset out"
    go_on = ["train", "--resume", "--out", run, "--data", shapes]
    fail(1, message, *go_on, "--preset", "maskrcnn_shapes")
    result = succeed(*go_on, "--stop-at", 2)
    assert re.search(r"^training a network from Python \(0\.\d M", result.out, re.MULTILINE)
    assert json.loads((run / "run.json").read_text())["title"] == "run"
    begun_in_python(shapes, run, 3, resume=True)
    ours, theirs = ((each / "checkpoint.safetensors").read_bytes() for each in (run, whole))
    assert ours == theirs


def test_a_run_of_other_images_than_all_is_still_told_apart(shapes, tmp_path):
    run = tmp_path / "run"
    begun_in_python(shapes, run, 3, stop_at=1)
    message = r"the data set has changed|the data set had 8 images, now 2"
    go_on = ["train", "--resume", "--out", run, "--data", shapes]
    fail(1, message, *go_on, "--image-ids", "1,2")
    fail(1, "the data set has changed", *go_on, "--image-ids", "2,1,3,4,5,6,7,8")


def with_places(self):
    """As it was in earlier versions, also of all images."""
    return f"{self.dataset.fingerprint} {zlib.crc32(repr(self.places).encode()):08x}"


def test_a_run_of_an_earlier_version_goes_on_as_itself(shapes, tmp_path, monkeypatch):
    run, whole = tmp_path / "run", tmp_path / "whole"
    with monkeypatch.context() as patch:
        patch.setattr(Subset, "fingerprint", property(with_places))
        succeed(*training(shapes, whole))
        succeed(*training(shapes, run), "--stop-at", 2)
    succeed("train", "--resume", "--out", run)
    ours, theirs = ((each / "checkpoint.safetensors").read_bytes() for each in (run, whole))
    assert ours == theirs
    changed = shutil.copytree(shapes, tmp_path / "changed")
    file = changed / "annotations" / "instances_train.json"
    file.write_text(file.read_text() + "\n")
    command = ["train", "--resume", "--out", run, "--data", changed, "--steps", 5]
    fail(1, "the data set has changed", *command)


# ----------------------------------------------------------------- what to type next


def test_the_evaluation_that_is_suggested_leaves_out_what_the_training_did(shapes, tmp_path):
    data = shutil.copytree(shapes, tmp_path / "my data")
    file = data / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [0, 0, -1, 5]
    file.write_text(json.dumps(content))
    result = succeed(*training(data, tmp_path / "my run", 1), "--skip-invalid")
    words = command_in(result.out)
    assert "--skip-invalid" in words
    assert "bbox" in succeed(*words[1:]).out


@pytest.mark.parametrize("known", [True, False])
def test_the_evaluation_that_is_suggested_names_proposals(shapes, tmp_path, known):
    given = {}
    for split in ("train", "val"):
        ids = CocoDataset.from_folder(shapes, split).image_ids
        boxes = {image_id: [[4.0, 4.0, 40.0, 40.0]] for image_id in ids}
        given[split] = write(tmp_path / f"{split}.json", boxes)
    command = training(shapes, tmp_path / "run", 1)
    command += ["--set", "proposals=given", "--proposals", given["train"]]
    if known:
        command += ["--val-proposals", given["val"], "--evaluate-every", 1]
    words = command_in(succeed(*command).out)
    assert words[-2:] == ["--proposals", str(given["val"]) if known else "FILE"]
    if known:
        assert "bbox" in succeed(*words[1:]).out


def test_printed_commands_take_folders_with_spaces(tmp_path):
    out, split = tmp_path / "my shapes", tmp_path / "a split's"
    made = succeed("data", "shapes", "--out", out, "--train", 4, "--val", 1, "--size", 64).out
    words = command_in(made)
    assert words[words.index("--data") + 1] == str(out)
    run = tmp_path / "my run"
    words[words.index("runs/NAME")] = str(run)
    told = command_in(succeed(*words[1:], "--steps", 2, *TINY, "--stop-at", 1).out)
    assert told[told.index("--weights") + 1] == str(run / "checkpoint.safetensors")

    dealt = command_in(
        succeed("data", "split", out, "--split", "train", "--out", split, "--val", 0.5).out
    )
    assert dealt[dealt.index("--data") + 1] == str(split)

    faulty = Set(tmp_path / "my faults")
    FAULTS["box 30 pixels off"].spoil(faulty)
    faulty.write()
    words = command_in(call("data", "inspect", faulty.root, "--workers", 0).out)
    assert words == [
        "minirnn",
        "data",
        "inspect",
        str(faulty.root),
        "--fix",
        f"{faulty.root}-fixed",
    ]
    call(*words[1:], "--workers", 0)
    assert (tmp_path / "my faults-fixed").is_dir()


def test_a_set_of_crowds_alone_in_a_folder_with_spaces(tmp_path):
    folder = tmp_path / "my crowds"
    cases.cvat_coco(folder, cases.pictures(2))
    path = folder / "annotations" / "instances_default.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(content))
    text = succeed("data", "check", folder).out
    assert f"minirnn data convert {shlex.quote(str(folder))} --format cvat --out DIR" in text


def test_a_part_of_coco_in_a_folder_with_spaces(tmp_path, monkeypatch):
    from minirnn.data.coco_fetch import ARCHIVE

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = {**IMAGES, f"/annotations/{ARCHIVE}": archive_of(instances_val2017=INSTANCES)}
    out = tmp_path / "my coco"
    with serving(files) as server:
        options = ["--base-url", server.url, "--cache", tmp_path / "cache"]
        options += ["--categories", "person,cat,dog", "--images", 2, "--out", out]
        text = succeed("data", "coco", *options).out
    words = command_in(text)
    assert words[words.index("--data") + 1] == str(out)


def test_nuclei_in_a_folder_with_spaces(tmp_path, monkeypatch):
    from minirnn.data import nuclei

    monkeypatch.setattr(nuclei, "write_nuclei", lambda out: {})
    out = tmp_path / "my nuclei"
    words = command_in(succeed("data", "nuclei", "--out", out).out)
    assert words[words.index("--data") + 1] == str(out)
    assert words[-2:] == ["--out", "runs/nuclei"]
