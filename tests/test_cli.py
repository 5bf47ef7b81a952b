"""The command line: what each command leaves behind, what it says, and how it fails."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from cli_cases import TINY, call, fail, succeed
from PIL import Image

from minirnn import __version__
from minirnn.cli import cli
from minirnn.cli.demo_files import make_room
from minirnn.cli.options import describe_fields, parse_ids, parse_overrides, split_overrides
from minirnn.errors import InputError, WorkerError
from minirnn.evaluation.checks import NUMBERS
from minirnn.files import alone_in, checkpoint, write_safetensors
from minirnn.models import PRESETS, Config
from minirnn.training import TrainingSettings, read_checkpoint


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 8, "--val", 4, "--size", 64)
    return folder


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps."""
    out = tmp_path_factory.mktemp("runs") / "first"
    succeed(
        "train", "--data", shapes, "--preset", "maskrcnn_shapes", "--out", out, "--steps", 4, *TINY
    )
    return out


@pytest.fixture
def weights(run: Path) -> Path:
    return run / "checkpoint.safetensors"


def training(shapes: Path, out: Path, steps: int = 2) -> list[object]:
    return [
        *("train", "--data", shapes, "--preset", "maskrcnn_shapes", "--out", out),
        *("--steps", steps, *TINY),
    ]


# ---------------------------------------------------------------- help


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", part) for inner, part in command.commands.items()]
        else:
            found.append((name, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_help_of_every_command_has_an_example_and_says_what_each_option_does(name, command):
    result = succeed(*name.split(), "--help")
    assert f"    minirnn {name}" in result.out
    for option in command.params:
        if isinstance(option, click.Option):
            record = option.get_help_record(click.Context(command))
            assert record, f"{name} {option.name} is not in the help"
            assert record[1], f"{name} {option.name} has no help"


def test_help_lists_the_commands_in_the_order_of_use():
    result = succeed("--help")
    listed = result.out.partition("Commands:")[2]
    places = [
        listed.index(f"  {name}") for name in ("demo", "data", "train", "evaluate", "predict")
    ]
    assert places == sorted(places)
    assert "..." not in listed  # no sentence is cut off


def test_help_names_every_preset():
    text = re.sub(r"\s+", " ", succeed("train", "--help").out)
    for preset in PRESETS:
        assert preset in text


def test_version():
    assert succeed("--version").out == f"minirnn {__version__}\n"


def test_module_runs_as_a_program_and_loads_nothing_heavy_for_help():
    code = """if True:
        import runpy, sys
        sys.argv = ["minirnn", "--help"]
        try:
            runpy.run_module("minirnn", run_name="__main__")
        except SystemExit as leaving:
            heavy = {"numpy", "scipy", "matplotlib", "cupy", "PIL", "pycocotools", "tqdm"}
            print("heavy:", sorted(heavy & set(sys.modules)), leaving.code)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: minirnn ")
    assert "heavy: [] 0" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no processor time of child processes there")
def test_help_is_quick():
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "minirnn", "--help"], capture_output=True, check=True)
        after = os.times()  # processor time: what it takes where nobody else wants the machine
        seconds.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    assert min(seconds) < 0.5


def test_importing_main_does_nothing():
    """Helper processes import the main module again, and must not start the program again."""
    done = subprocess.run(
        [sys.executable, "-c", "import minirnn.__main__"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5e-3", -2.5e-3),
        ("(0.5, 1, 2)", (0.5, 1, 2)),
        ("[[8], [16]]", [[8], [16]]),
        ("true", True),
        ("False", False),
        ("null", None),
        ("pool", "pool"),
        ("'pool'", "pool"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_set_reads_python_json_and_plain_text(text, value):
    assert parse_overrides([f"name={text}"]) == {"name": value}


@pytest.mark.parametrize("text", ["name", "=3", "two words=3", "1=2"])
def test_set_refuses_other_forms(text):
    fail(2, "not NAME=VALUE", "train", "--set", text)


def test_set_refuses_a_name_twice_and_beside_its_option():
    fail(2, "flip is set twice", "train", "--set", "flip=0", "--set", "flip=1")
    arguments = ["train", "--preset", "maskrcnn_shapes", "--show", "--steps", "3"]
    fail(2, "--steps and --set steps exclude", *arguments, "--set", "steps=4")


def test_show_says_which_weights_a_training_starts_from():
    for preset, start in (("maskrcnn_shapes", "fresh"), ("maskrcnn_few_photographs", "imagenet")):
        shown = succeed("train", "--preset", preset, "--show").out
        assert shown.endswith(f"\nThe weights (--weights):\n\n{start}\n")


def test_no_field_is_in_both_dataclasses_and_none_is_out_of_reach():
    assert not set(Config.names()) & TrainingSettings.__dataclass_fields__.keys()
    names = [*Config.names(), *TrainingSettings.__dataclass_fields__]
    fields, settings = split_overrides(dict.fromkeys(names, 0), Config, TrainingSettings)
    assert [*fields, *settings] == names


def test_unknown_field_names_close_ones():
    message = r"no field 'learing_rate'; did you mean learning_rate"
    fail(2, message, "train", "--preset", "maskrcnn_shapes", "--set", "learing_rate=1", "--show")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("box_width=wide", "box_width is 'wide'"),
        ("roi_operation=crop", "roi_operation is 'crop'; it should be one of align, warp, pool"),
        ("momentum=2", "momentum is 2"),
        ("flip=0.5.1", "flip is '0.5.1'; it should be a finite number"),
    ],
)
def test_value_that_does_not_fit_names_field_and_what_it_should_be(setting, message):
    fail(1, message, "train", "--preset", "maskrcnn_shapes", "--set", setting, "--show")


def test_image_ids():
    assert parse_ids(None) is None
    assert parse_ids("3,17, 4") == [3, 17, 4]
    fail(2, "not a list of whole numbers", "train", "--image-ids", "3;4")
    fail(2, "names an image twice", "train", "--image-ids", "3,3")


def test_show_lists_every_field_with_its_value_and_meaning():
    shown = succeed(
        *("train", "--preset", "maskrcnn_shapes", "--show"),
        *("--set", "roi_operation=pool", "--steps", "77"),
    ).out
    assert "\nroi_operation = 'pool'\n" in shown
    assert "\nsteps = 77\n" in shown
    for kind in (Config, TrainingSettings):
        described = describe_fields(PRESETS["maskrcnn_shapes"] if kind is Config else kind(steps=1))
        for name in Config().flat() if kind is Config else kind.__dataclass_fields__:
            assert re.search(rf"^{name} = .+\n    \S", described, re.MULTILINE), (
                f"{name}: no meaning"
            )


# ---------------------------------------------------------------- data


def test_data_shapes_writes_coco_and_reports_it(tmp_path):
    result = succeed(
        *("data", "shapes", "--out", tmp_path / "d", "--level", "hard", "--train", 3, "--val", 2),
        *("--size", 64, "--seed", 5, "--json"),
    )
    report = json.loads(result.out)
    assert report["train"]["images"] == 3
    assert report["val"]["categories"] == 5
    content = json.loads((tmp_path / "d/annotations/instances_train.json").read_text())
    assert report["train"]["instances"] == len(content["annotations"])
    assert len(list((tmp_path / "d/train").glob("*.jpg"))) == 3
    assert "3 images" in result.err


def test_data_shapes_refuses_a_folder_with_something_else_and_leaves_it(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    fail(1, re.escape(str(tmp_path)), "data", "shapes", "--out", tmp_path, "--train", 1, "--val", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_data_check_counts_what_cannot_be_used(shapes, tmp_path):
    assert "everything can be used" in succeed("data", "check", shapes, "--split", "val").out
    broken = shutil.copytree(shapes, tmp_path / "broken")
    (broken / "val/000002.jpg").write_bytes(b"no picture")
    result = call("data", "check", broken, "--split", "val", "--json")
    assert result.code == 1
    assert json.loads(result.out)["skipped"] == {"broken image": 1}
    assert json.loads(result.out)["images"] == 3
    assert re.search(r"image 2: broken image: .*000002\.jpg: not a readable image", result.err)


# ---------------------------------------------------------------- train


def test_train_leaves_checkpoint_and_metrics_and_says_what_next(shapes, tmp_path):
    result = succeed(*training(shapes, tmp_path / "run"))
    assert f"minirnn evaluate --weights {tmp_path / 'run' / 'checkpoint.safetensors'}" in result.out
    metadata = read_checkpoint(tmp_path / "run/checkpoint.safetensors")[1]
    assert metadata["preset"] == "maskrcnn_shapes"
    assert metadata["config"]["num_classes"] == 4
    assert metadata["config"]["categories"] == [[1, "circle"], [2, "square"], [3, "triangle"]]
    assert metadata["config"]["fpn_channels"] == 16
    assert metadata["settings"]["batch_size"] == 2
    records = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in records] == [1, 2]


def test_train_json_is_all_of_standard_output(shapes, tmp_path):
    result = succeed(*training(shapes, tmp_path / "run"), "--json", "--evaluate-every", 2)
    report = json.loads(result.out)
    assert report["steps"] == 2
    assert set(report["losses"]) == {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"}
    assert Path(report["checkpoint"]).is_file()
    last = json.loads(Path(report["metrics"]).read_text().splitlines()[-1])
    assert set(last["evaluation"]) == {"bbox", "segm"}
    assert "2/2" in result.err  # the bar


def test_train_resumed_is_as_if_never_stopped(shapes, run, tmp_path):
    succeed(*training(shapes, tmp_path / "run", steps=2))
    succeed(*training(shapes, tmp_path / "run", steps=4), "--resume")
    whole, stopped = (folder / "checkpoint.safetensors" for folder in (run, tmp_path / "run"))
    assert whole.read_bytes() == stopped.read_bytes()


def test_train_resume_needs_no_more_than_the_folders(shapes, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    succeed("train", "--data", shapes, "--out", folder, "--resume", "--steps", 5)
    assert read_checkpoint(folder / "checkpoint.safetensors")[1]["step"] == 5
    message = "is a run of preset maskrcnn_shapes"
    fail(1, message, "train", "--resume", "--out", folder, "--preset", "maskrcnn_resnet50_fpn")
    message = r"another run:\n +batch_size was 2, now 3"
    fail(1, message, "train", "--data", shapes, "--out", folder, "--resume", "--batch-size", 3)


def test_train_resumed_by_its_folder_alone_knows_data_and_options(shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(shapes.parent)
    out = tmp_path / "run"
    options = ["--evaluate-every", 2, "--image-ids", "3,5,1", "--categories", "circle, square"]
    options += ["--best-by", "box"]
    first = succeed(*training(shapes.name, out), *options, "--stop-at", 1)
    assert first.out.rpartition("Go on:")[2].split("Evaluate")[0].strip() == (
        f"minirnn train --resume --out {out}"
    )
    monkeypatch.chdir(tmp_path)  # where the data set's name leads nowhere
    succeed("train", "--resume", "--out", "run", "--stop-at", 3)
    last = succeed("train", "--resume", "--out", "run")
    succeed(
        "train", "--resume", "--out", "run"
    )  # nothing is left to do; the same command once more
    facts = json.loads((out / "run.json").read_text())
    assert facts["command"][:3] == ["train", "--data", shapes.name]
    again = ["train", "--resume", "--out", "run"]
    assert facts["resumed"] == [[*again, "--stop-at", "3"], again]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<pre>minirnn train --data .*\n.*--stop-at 3\n.*--out run</pre>", page)
    assert "on 3 images" in last.out
    assert "box AP" in last.out
    told = shlex.split(last.out.rpartition("Evaluate:")[2])
    assert told[-2:] == ["--categories", "circle,square"]  # the network knows no others
    assert "bbox" in succeed(*told[1:]).out
    succeed(*training(shapes, tmp_path / "whole"), *options)
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_train_resumed_takes_what_is_typed_over_what_it_knows(shapes, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    fail(1, "no such folder", "train", "--resume", "--out", folder, "--data", tmp_path / "none")
    facts = json.loads((folder / "run.json").read_text())
    damaged = [{"folder": [1], "steps": 3}, {"folder": True}, {"skip_invalid": "yes", "folder": 7}]
    for known in ({"options": each} for each in (None, *damaged)):  # of an earlier version first
        (folder / "run.json").write_text(json.dumps(facts | known))
        command = ["train", "--resume", "--out", folder, "--steps", 5]
        if known["options"] is None:
            assert json.loads(succeed(*command, "--json").out)["steps"] == 5
        elif known["options"]["folder"] == 7:
            fail(1, "error: 7: there is no such folder", *command)
        else:
            fail(2, r"--data is missing: .*run\.json does not say", *command)
    (folder / "run.json").unlink()
    fail(2, r"--data is missing: .*run\.json does not say", "train", "--resume", "--out", folder)


def test_train_keeps_an_earlier_run_unless_told_otherwise(shapes, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    before = (folder / "checkpoint.safetensors").read_bytes()
    result = call(*training(shapes, folder, 1))
    assert "holds a run already" in result.err
    assert result.out == ""  # it is not said that a training begins
    assert (folder / "checkpoint.safetensors").read_bytes() == before
    succeed(*training(shapes, folder, 1), "--overwrite")
    assert read_checkpoint(folder / "checkpoint.safetensors")[1]["step"] == 1


def test_train_starts_from_weights(shapes, weights, tmp_path):
    out = tmp_path / "run"
    rate = ["--learning-rate", 1e-12]
    succeed(*training(shapes, out, 1), *rate, "--weights", weights)
    start, end = (read_checkpoint(p)[0] for p in (weights, out / "checkpoint.safetensors"))
    for name in start:
        np.testing.assert_allclose(end[name], start[name], atol=1e-6)
    fail(1, "nowhere.pth", *training(shapes, tmp_path / "b"), "--weights", tmp_path / "nowhere.pth")


def test_train_on_some_images_only(shapes, tmp_path):
    result = succeed(*training(shapes, tmp_path / "run"), "--image-ids", "3,5")
    assert "on 2 images" in result.out
    message = r"instances_train\.json: there is no image 99 \(from --image-ids\)"
    fail(1, message, *training(shapes, tmp_path / "other"), "--image-ids", "3,99")


def test_train_wrong_usage(shapes, tmp_path):
    fail(2, "--preset is missing", "train", "--data", shapes, "--out", tmp_path / "r")
    fail(2, "--data is missing", "train", "--preset", "maskrcnn_shapes", "--out", tmp_path / "r")
    fail(2, "--out is missing", "train", "--preset", "maskrcnn_shapes", "--data", shapes)
    fail(2, "exclude each other", "train", "--resume", "--overwrite", "--out", tmp_path)
    fail(2, "--resume needs --out", "train", "--resume")
    fail(2, r"No such option.*\(see minirnn train --help\)", "train", "--preste", "x")
    fail(2, "No such command", "trian")
    fail(2, "is given by the data set", *training(shapes, tmp_path / "r"), "--set", "num_classes=9")
    fail(1, "no run to resume", "train", "--data", shapes, "--out", tmp_path, "--resume")
    fail(2, "--data and --out and --preset are missing", "train")
    message = "preset is 'x'; it should be one of fasterrcnn_resnet50_fpn, "
    fail(1, message, "train", "--preset", "x", "--data", shapes, "--out", tmp_path / "r")
    fail(1, message, "train", "--preset", "x", "--show")
    message = "preset is 'maskrcnn_shape'; did you mean maskrcnn_shapes, "
    fail(1, message, "train", "--preset", "maskrcnn_shape", "--show")
    command = training(shapes, tmp_path / "r")
    fail(
        1, r"categories are to be cirlce; did you mean circle\?", *command, "--categories", "cirlce"
    )
    fail(
        1,
        r"imgenet: there is no such file; did you mean imagenet",
        *command,
        "--weights",
        "imgenet",
    )
    fail(2, "no field 'clip_nrom'; did you mean clip_norm", *command, "--set", "clip_nrom=1")


def test_train_bad_data_names_file_or_image_and_leaves_no_run(shapes, tmp_path):
    out = tmp_path / "run"
    fail(1, "nothing: there is no such folder", *training(tmp_path / "nothing", out))
    broken = shutil.copytree(shapes, tmp_path / "broken")
    (broken / "train/000001.jpg").write_bytes(b"no picture")
    options = ["--image-ids", "1"]
    fail(1, "image 1 of .*000001.jpg: not a readable image", *training(broken, out), *options)
    result = succeed(*training(broken, out, 1), "--skip-invalid", "--overwrite")
    assert "skipped 1: 1 x broken image" in result.out
    (broken / "annotations/instances_train.json").write_text("[]")
    fail(1, r"instances_train\.json: not COCO's format", *training(broken, tmp_path / "third"))
    assert not (tmp_path / "third").exists()


def test_train_out_in_a_place_that_is_no_folder(shapes, tmp_path):
    (tmp_path / "file").write_text("")
    fail(1, re.escape(str(tmp_path / "file")), *training(shapes, tmp_path / "file" / "run"))
    fail(2, "is a file", *training(shapes, tmp_path / "file"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of overflow, also in helper threads
def test_a_loss_that_is_not_finite_stops_and_names_the_term(shapes, tmp_path):
    fail(
        1,
        r"is (nan|inf).*images \d+ \(.*a lower --learning-rate",
        *training(shapes, tmp_path / "run", 20),
        *("--learning-rate", 1e30),
    )
    assert (tmp_path / "run/checkpoint.safetensors").is_file()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process on Windows")
def test_ctrl_c_leaves_a_checkpoint_from_which_it_goes_on(shapes, tmp_path):
    out = tmp_path / "run"
    arguments = [str(x) for x in training(shapes, out, 100_000)]
    process = subprocess.Popen(
        [sys.executable, "-m", "minirnn", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").stat().st_size:
            assert time.monotonic() < deadline, "no step within a minute"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    step = read_checkpoint(out / "checkpoint.safetensors")[1]["step"]
    assert step >= 1
    succeed(*training(shapes, out, step + 1), "--resume")
    assert read_checkpoint(out / "checkpoint.safetensors")[1]["step"] == step + 1


# ---------------------------------------------------------------- evaluate


def test_evaluate_writes_what_pycocotools_loads_and_prints_cocos_numbers(shapes, weights, tmp_path):
    from pycocotools.coco import COCO

    out = tmp_path / "results.json"
    arguments = ["evaluate", "--weights", weights, "--data", shapes, "--out", out]
    table = succeed(*arguments)
    assert [line.split()[0] for line in table.out.splitlines()[:3]] == ["AP", "bbox", "segm"]
    results = json.loads(out.read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(shapes / "annotations/instances_val.json").loadRes(str(out))
    assert len(found.anns) == len(results) > 0
    assert set(results[0]) == {"image_id", "category_id", "bbox", "score", "segmentation"}
    report = json.loads(succeed(*arguments, "--json").out)
    assert set(report["bbox"]) == set(report["segm"]) == set(NUMBERS["bbox"])
    assert report["images"] == 4
    assert report["detections"] == len(results)
    names = [
        row["name"]
        for row in json.loads((shapes / "annotations/instances_val.json").read_text())["categories"]
    ]
    by_category = succeed(*arguments, "--per-category", "--json")
    assert list(json.loads(by_category.out)["per_category"]["segm"]) == names
    alone = succeed(*arguments, "--per-category", "--json", "--categories", names[1]).out
    all_ap = json.loads(by_category.out)["per_category"]["segm"]
    assert json.loads(alone)["per_category"]["segm"] == {names[1]: all_ap[names[1]]}
    table = succeed(*arguments, "--per-category").out
    assert re.search(rf"\nAP of +bbox +segm\n{names[0]} +[-\d]", table)


def test_evaluate_by_default_writes_beside_the_weights(shapes, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    weights = folder / "checkpoint.safetensors"
    options = ["--split", "train", "--image-ids", "2,4", "--set", "box_score_threshold=0"]
    result = succeed("evaluate", "--weights", weights, "--data", shapes, *options, "--json")
    results = json.loads((folder / "detections_train.json").read_text())
    assert {row["image_id"] for row in results} == {2, 4}
    assert json.loads(result.out)["images"] == 2


def test_evaluate_with_nothing_found_is_zero(shapes, weights, tmp_path):
    options = ["--set", "box_score_threshold=1", "--out", tmp_path / "none.json", "--json"]
    report = json.loads(succeed("evaluate", "--weights", weights, "--data", shapes, *options).out)
    assert report["detections"] == 0
    assert report["segm"]["AP"] == 0


def test_evaluate_bad_weights_name_the_file(shapes, weights, tmp_path):
    data = ["--data", shapes]
    fail(1, "nowhere.safetensors", "evaluate", "--weights", tmp_path / "nowhere.safetensors", *data)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    fail(1, "cut.safetensors .*cut short", "evaluate", "--weights", cut, *data)
    other = tmp_path / "other.pth"
    other.write_bytes(b"")
    fail(1, "other.pth", "evaluate", "--weights", other, *data)
    fail(2, "no field 'steps'", "evaluate", "--weights", weights, *data, "--set", "steps=3")


def test_evaluate_a_model_of_other_categories_names_them(weights, tmp_path):
    hard = tmp_path / "hard"
    succeed(
        "data", "shapes", "--out", hard, "--level", "hard", "--train", 1, "--val", 9, "--size", 64
    )
    arguments = ["evaluate", "--weights", weights, "--data", hard, "--out", tmp_path / "r.json"]
    fail(1, r"category \d \('(star|cross)'\) is not one of the model's", *arguments)
    result = succeed(*arguments, "--skip-invalid")
    assert "category that the model does not know" in result.out


@pytest.mark.coco
def test_evaluate_counts_as_coco_does_where_the_model_names_no_categories(coco_subset, tmp_path):
    """91 outputs and no names, as in torchvision's checkpoints: label 18 is category 18."""
    from minirnn.models import build_model
    from minirnn.training import save_checkpoint

    fields = {"small_widths": (8, 8, 8), "fpn_channels": 16, "box_width": 16, "mask_width": 16}
    model = build_model("maskrcnn_shapes", num_classes=91, min_size=96, max_size=128, **fields)
    path = tmp_path / "coco.safetensors"
    save_checkpoint(path, model.state_dict(), model.config)
    truth = json.loads((coco_subset / "annotations/instances_val2017.json").read_text())
    ids = ",".join(str(image["id"]) for image in truth["images"][:3])
    options = ["--json", "--set", "box_score_threshold=0.005", "--image-ids", ids]
    result = succeed("evaluate", "--weights", path, "--data", coco_subset, *options)
    report = json.loads(result.out)
    known = {category["id"] for category in truth["categories"]}
    results = json.loads(Path(report["results"]).read_text())
    assert {row["category_id"] for row in results} <= known
    assert max(row["category_id"] for row in results) > 80  # not counted without the gaps
    assert "of categories that are not looked for here" in result.err


@pytest.mark.coco
def test_train_reads_cocos_official_layout(coco_subset, tmp_path):
    out = tmp_path / "run"
    small = ["--set", "max_size=96", "--set", "mask_paste=legacy"]
    succeed(*training(coco_subset, out, 2), *small)
    config = read_checkpoint(out / "checkpoint.safetensors")[1]["config"]
    assert config["num_classes"] == len(config["categories"]) + 1 == 81
    assert config["categories"][-1] == [90, "toothbrush"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"backbone": "small", "wings": 2}}, "has no field 'wings'"),
        ({"config": {"rpn_convolutions": 2**70}}, "rpn_convolutions is 1180591620717411303424"),
        ({"settings": {"steps": 4, "speed": 9}}, "have no field 'speed'"),
        ({"settings": {"steps": 0}}, "steps is 0"),
        ({"settings": None}, "holds weights only"),
        ({"step": 10**9}, "1000000000 steps were taken already"),
    ],
)
def test_a_checkpoint_that_somebody_has_changed_and_signed(run, shapes, tmp_path, changes, message):
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / "checkpoint.safetensors"
    arrays, metadata = checkpoint.read_all(path)
    metadata |= changes
    metadata["sha256"] = checkpoint._digest(arrays, metadata)
    write_safetensors(path, arrays, {checkpoint.KEY: checkpoint.as_text(metadata)})
    fail(1, message, "train", "--data", shapes, "--out", folder, "--resume")


# ---------------------------------------------------------------- predict


def test_predict_writes_picture_and_json(shapes, weights, tmp_path):
    from pycocotools import mask as coco_mask

    photo, out = shapes / "val/000001.jpg", tmp_path / "out"
    result = succeed(
        *("predict", photo, "--weights", weights, "--out", out, "--score", 0.01, "--json")
    )
    report = json.loads((out / "000001.detections.json").read_text())
    assert json.loads(result.out) == {"photos": [report], "skipped": 0, "failed": []}
    assert (report["height"], report["width"]) == (64, 64)
    assert report["detections"]
    for found in report["detections"]:
        assert found["category"] in ("circle", "square", "triangle")
        assert 0.01 <= found["score"] <= 1
        assert len(found["bbox"]) == 4
        assert coco_mask.area(found["segmentation"]) >= 0
    with Image.open(out / "000001.detections.png") as picture:
        assert picture.width % 64 == 0
        assert len(picture.getcolors(1 << 20)) > 1


def test_predict_finds_what_evaluate_finds(shapes, weights, tmp_path):
    succeed(
        *("evaluate", "--weights", weights, "--data", shapes, "--image-ids", 1),
        *("--out", tmp_path / "e.json", "--set", "box_score_threshold=0.1"),
    )
    succeed(
        *("predict", shapes / "val/000001.jpg", "--weights", weights),
        *("--out", tmp_path, "--score", 0.1),
    )
    evaluated = json.loads((tmp_path / "e.json").read_text())
    predicted = json.loads((tmp_path / "000001.detections.json").read_text())["detections"]
    assert len(evaluated) == len(predicted) > 0
    for one, other in zip(evaluated, predicted, strict=True):
        np.testing.assert_allclose(one["bbox"], other["bbox"], rtol=1e-5)
        assert one["segmentation"] == other["segmentation"]


def test_predict_with_nothing_to_show(shapes, weights, tmp_path):
    photo = shapes / "val/000002.jpg"
    result = succeed("predict", photo, "--weights", weights, "--out", tmp_path, "--score", 1)
    assert f"{photo}: nothing" in result.out
    assert json.loads((tmp_path / "000002.detections.json").read_text())["detections"] == []
    assert (tmp_path / "000002.detections.png").is_file()


@pytest.mark.parametrize("score", ["nan", "-0.1", "1.5"])
def test_predict_with_a_score_that_is_none(shapes, weights, tmp_path, score):
    photo = shapes / "val/000002.jpg"
    arguments = ["predict", photo, "--weights", weights, "--out", tmp_path / "out"]
    fail(2, rf"'--score': {score} is not in the range 0<=x<=1", *arguments, "--score", score)


def test_predict_on_a_full_disk_names_the_file_and_leaves_no_half_of_it(
    shapes, weights, tmp_path, monkeypatch
):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minirnn.files.whole.os.fsync", full)
    photo = shapes / "val/000002.jpg"
    arguments = ["predict", photo, "--weights", weights, "--out", tmp_path / "out"]
    fail(1, r"000002\.detections\.png: No space left on device", *arguments)
    assert list((tmp_path / "out").iterdir()) == []


def test_predict_keeps_apart_photos_of_one_name_and_the_photos_themselves(
    shapes, weights, tmp_path
):
    for folder, number in [("a", 1), ("b", 2)]:
        (tmp_path / folder).mkdir()
        shutil.copy(shapes / f"val/00000{number}.jpg", tmp_path / folder / "photo.jpg")
    first, second = tmp_path / "a/photo.jpg", tmp_path / "b/photo.jpg"
    before = first.read_bytes()
    succeed("predict", first, second, "--weights", weights, "--out", tmp_path / "a")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"photo.jpg"} | {
        f"{name}.detections.{kind}" for name in ("photo", "photo-2") for kind in ("png", "json")
    }
    assert first.read_bytes() == before


def test_predict_a_broken_photo_is_named_and_can_be_skipped(shapes, weights, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    good = shapes / "val/000001.jpg"
    arguments = ["predict", good, broken, good, "--weights", weights, "--out", tmp_path / "out"]
    fail(1, "broken.jpg: not a readable image", *arguments)
    assert (tmp_path / "out/000001-2.detections.json").is_file()  # nor what comes after
    result = succeed(*arguments, "--skip-invalid")
    assert "1 of 3 photos could not be used" in result.out
    fail(1, "nowhere.jpg", "predict", tmp_path / "nowhere.jpg", "--weights", weights)
    fail(2, "Missing argument", "predict", "--weights", weights)


# ---------------------------------------------------------------- errors and devices


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_cuda_without_cupy_says_what_to_install(command, shapes, weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` raise ImportError
    arguments = {
        "train": training(shapes, tmp_path / "run"),
        "evaluate": ["evaluate", "--weights", weights, "--data", shapes],
        "predict": ["predict", shapes / "val/000001.jpg", "--weights", weights],
    }[command]
    fail(1, r"device 'cuda' needs CuPy: pip install", *arguments, "--device", "cuda")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (MemoryError(), 1, "out of memory; a smaller"),
        (OSError(28, "No space left on device", "photo.png"), 1, "photo.png: No space left"),
        (WorkerError("a helper process (id 7) died (signal 9, SIGKILL)"), 1, "id 7.* died"),
        (InputError("category '\x1b[2Jcat'"), 1, r"category '\\x1b\[2Jcat'"),
    ],
)
def test_errors_of_the_world_are_one_line(error, code, message, shapes, weights, monkeypatch):
    def raising(*_, **__):
        raise error

    monkeypatch.setattr("minirnn.weights.model_from", raising)
    fail(code, message, "predict", shapes / "val/000001.jpg", "--weights", weights)


def test_a_bug_keeps_its_traceback(shapes, weights, monkeypatch):
    def buggy(*_, **__):
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr("minirnn.weights.model_from", buggy)
    with pytest.raises(ZeroDivisionError, match="our fault"):
        cli.main(["predict", str(shapes / "val/000001.jpg"), "--weights", str(weights)])


# ---------------------------------------------------------------- demo


def demonstration(folder: Path, steps: int = 2) -> list[object]:
    return [
        *("demo", "--out", folder / "runs/demo", "--data", folder / "data", "--steps", steps),
        *("--train-images", 4, "--val-images", 3, *TINY[:-2], "--set", "batch_size=2"),
    ]


def test_demo_leaves_everything_and_can_be_run_again(tmp_path):
    out = tmp_path / "runs/demo"
    succeed(*demonstration(tmp_path, steps=1))
    first = succeed(*demonstration(tmp_path), "--resume")
    numbers = json.loads((out / "results.json").read_text())
    assert {kind: set(values) for kind, values in numbers.items()} == {
        kind: set(NUMBERS["bbox"]) for kind in ("bbox", "segm")
    }
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("results.json", "metrics.jsonl", "checkpoint.safetensors", "detections.json"),
        *("curves.png", "predictions.png", "report.html", "run.json"),
    }
    for name in names:
        assert str(out / name) in first.out
    for name in ("curves.png", "predictions.png"):
        with Image.open(out / name) as picture:
            picture.verify()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)  # all of it is in the page
    assert "minirnn demo --out" in page
    assert "--resume" not in page  # the command makes it from the beginning

    before = (out / "checkpoint.safetensors").read_bytes()
    second = succeed(*demonstration(tmp_path), "--json")
    aside = out.with_name("demo-1")
    assert f"the earlier {out} is now {aside}" in second.err
    assert (aside / "checkpoint.safetensors").read_bytes() == before
    assert (out / "checkpoint.safetensors").read_bytes() == before  # same seed, same numbers
    assert json.loads(second.out)["bbox"] == numbers["bbox"]


def test_demo_goes_on_by_its_folder_alone_with_what_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["demo", "--level", "people", "--steps", 2, "--train-images", 4, "--val-images", 3]
    words += ["--seed", 3, "--out", "runs/d", *TINY[:-2], "--set", "batch_size=2"]
    words += ["--set", "optimiser=adamw"]
    succeed(*words)
    whole = (tmp_path / "runs/d/checkpoint.safetensors").read_bytes()
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    told = succeed("demo", "--resume", "--out", "runs/d").out
    assert "4 to train on, 3 to evaluate on" in told
    assert "2 steps in" in told
    assert (tmp_path / "runs/d/checkpoint.safetensors").read_bytes() == whole
    after = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert after == before
    page = (tmp_path / "runs/d/report.html").read_text(encoding="utf-8")
    assert "minirnn demo --level people --steps 2" in page

    fail(1, "there is no demo to go on with", "demo", "--resume", "--out", "runs/none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "runs"]


def test_demo_replaces_no_set_that_it_is_told_to_use(tmp_path):
    words = demonstration(tmp_path, steps=1)
    succeed("data", "shapes", "--out", tmp_path / "data", "--train", 5, "--val", 2, "--size", 64)
    before = (tmp_path / "data/dataset.json").read_bytes()
    fail(1, "data holds another set of made-up pictures", *words)
    assert (tmp_path / "data/dataset.json").read_bytes() == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_demo_in_plain_lines_has_the_losses_of_the_kernels(tmp_path, monkeypatch):
    """MINIRNN_KERNELS=plain computes a whole run, and nothing of it needs a kernel."""
    found = []
    for mode in ("", "plain"):
        monkeypatch.setenv("MINIRNN_KERNELS", mode)
        folder = tmp_path / f"with-{mode}"
        succeed(*demonstration(folder))
        lines = (folder / "runs/demo/metrics.jsonl").read_text().splitlines()
        found.append([json.loads(line)["losses"] for line in lines])
    assert found[0] != found[1]  # they are computed in another order
    for fast, plain in zip(*found, strict=True):
        assert fast == pytest.approx(plain, rel=1e-5)


def test_demo_moves_aside_deletes_only_its_own_and_refuses_a_file(tmp_path):
    out, said = tmp_path / "demo", []
    make_room(out, False, said.append)
    assert not out.exists()
    for expected in ("demo-1", "demo-2"):
        out.mkdir()
        (out / "report.html").write_text(expected)
        make_room(out, False, said.append)
        assert (tmp_path / expected / "report.html").read_text() == expected
    assert len(said) == 2
    out.mkdir()
    for name in ("report.html", "mine.txt"):
        (out / name).write_text("")
    make_room(out, True, said.append)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "report.html").write_text("")
    with alone_in(out), pytest.raises(InputError, match="demo is in use: another run"):
        make_room(out, True, said.append)
    fail(2, "exclude each other", "demo", "--overwrite", "--resume")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file"):
        make_room(tmp_path / "file", False, said.append)
