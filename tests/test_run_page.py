"""The page of a run: while it goes, when it is over, and when little is left of it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from cli_cases import call, fail, succeed, training
from hypothesis import example, given
from hypothesis import strategies as st
from test_draw import Reader

from minirnn.cli.options import reporter
from minirnn.draw.chart import Chart, _ticks, chart_svg
from minirnn.draw.records import Course, read_what_is_there
from minirnn.draw.run_page import Pictures, RunPage, run_page
from minirnn.errors import DivergenceError, InputError, TrainingInterrupted
from minirnn.files import alone_in
from minirnn.watch import live_page, run_folder
from minirnn.watch.live import EVERY, SHARE, Live
from minirnn.watch.tensorboard import Board


def record(step, **more):
    return {
        "step": step,
        "losses": {"mask": 1 / step, "edge": 0.5},
        "total": 0.5 + 1 / step,
        "learning_rate": 0.01,
        "gradient_norm": 2.0,
        "seconds": 0.5,
        "images_per_s": 8.0,
        "elapsed": 0.5 * step,
        "shares": {"positive_anchors": 0.2, "objects_proposed": 0.7, "objects_missed": 0.1},
        "sizes": {"objects": 20.0, "anchors": [8.0, 32.0]},
        **more,
    }


def course_of(steps=30):
    course = Course()
    for k in range(1, steps + 1):
        evaluation = {"bbox": {"AP": k / 100, "AP50": k / 50}, "segm": {"AP": None}}
        course.add(record(k, **({"evaluation": evaluation} if k % 10 == 0 else {})))
    return course


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


SIGN = {"name": "anchors", "text": "The anchors do not <fit>.", "advice": "Try --set anchor_sizes."}


# ------------------------------------------------------------------- the page


def test_the_page_says_what_happened():
    course = course_of()
    course.signs.append((20, SIGN))
    picture = Pictures(
        "seven.png", "data:image/webp;base64,AA", [(10, "data:image/webp;base64,BB")]
    )
    page = RunPage(
        "first: <shapes>",
        steps=100,
        state="stopped",
        message="by Ctrl-C, after step 30.",
        problems=["The last line is cut short."],
        network={"preset": "maskrcnn_shapes", "parameters": 230_000},
        settings={"learning_rate": 0.02},
        resume="minirnn train --out 'a b' --resume",
        best=("box AP", 0.3, 30),
        pictures=[picture],
    )
    text = read(run_page(page, course)).text.split("\n")
    for expected in (
        *("first: <shapes>", "stopped", "30 of 100", "0.533", "0.300", "15 s", "of training"),
        *("The anchors do not <fit>.", "The last line is cut short.", "(step 20)"),
        *("AP", "AP50", "Mask", "edge", "Total loss", "Learning rate", "Gradient norm", "Speed"),
        *("Positives among what is drawn", "Objects that can be found"),
        *("seven.png", "ground truth", "step 10", "230,000", "minirnn train --out 'a b' --resume"),
    ):
        assert expected in text, expected
    assert "mask AP, step 30" not in text  # there is no such number
    assert "No sign of the usual failures so far." not in text


def test_a_loss_that_has_run_away_fits_in_its_tile():
    course = course_of()
    course.last["total"] = 8_162_421_725_128_345.0
    text = read(run_page(RunPage("lost"), course)).text.split("\n")
    assert "8.16e+15" in text


def test_the_page_needs_no_network_and_runs_nothing_when_the_run_is_over():
    picture = Pictures("a", "data:image/webp;base64,AA", [(10, "data:image/webp;base64,BB")])
    over, going = (
        run_page(RunPage("t", state=state, pictures=[picture]), course_of())
        for state in ("finished", "going")
    )
    for page in (over, going):
        reader = read(page)
        assert not re.search(r"https?:|url\(|@import| on\w+=|src=\"(?!data:)|href=", page)
        assert not {tag for tag, _ in reader.tags} & {"link", "iframe", "object", "a"}
        assert 'content="minirnn run"' in page[:2000]
        assert "prefers-color-scheme: dark" in page
    assert "<script" not in over
    assert "http-equiv" not in over
    assert '<meta http-equiv="refresh" content="10">' in going
    assert "No sign of the usual failures so far." in over


def test_the_page_escapes_what_it_is_given():
    evil = "<script>alert(1)</script>\"'&"
    course = course_of()
    course.add(record(31, losses={evil: 1.0}))
    course.signs.append((1, dict.fromkeys(("name", "text", "advice"), evil)))
    page = run_page(
        RunPage(
            evil,
            message=evil,
            problems=[evil],
            network={evil: evil},
            command=evil,
            best=(evil, 0.1, 3),
            pictures=[Pictures(evil, "data:,", [])],
        ),
        course,
    )
    assert "<script" not in page
    read(page)


def test_a_page_of_nothing():
    text = read(run_page(RunPage("t", evaluates=False), Course())).text
    assert "--evaluate-every" in text
    assert "No sign" not in text


def test_the_page_needs_no_matplotlib_and_is_quick():
    import subprocess

    code = """
import sys, time
from test_run_page import course_of
from minirnn.draw.run_page import RunPage, run_page
course = course_of(20_000)
begun = time.process_time()
page = run_page(RunPage("t"), course)
assert time.process_time() - begun < 2, time.process_time() - begun
assert len(page) < 400_000, len(page)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
    code = "import sys, minirnn.draw.run_page; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_many_evaluations_a_few_are_shown():
    guesses = [(k, f"data:,{k}") for k in range(1, 41)]
    page = run_page(RunPage("t", pictures=[Pictures("a", "data:,0", guesses)]), Course())
    shown = [int(k) for k in re.findall(r"data:,(\d+)", page)]
    assert len(shown) == 7
    assert (shown[0], shown[1], shown[-1]) == (0, 40, 1)  # the truth, then the newest first


# ------------------------------------------------------------------- charts


numbers = st.floats(-1e9, 1e9, allow_nan=False)


@example([16384.0, 1e-12], True, False)  # whose running mean rounds to 0
@example([5e-324], True, False)
@given(st.lists(numbers, min_size=1, max_size=500), st.booleans(), st.booleans())
def test_every_line_stays_in_its_chart(values, log, dots):
    steps = np.arange(1.0, len(values) + 1)
    chart = Chart("t", "u", {"a": (steps, np.array(values))}, log=log, dots=dots)
    svg = chart_svg(chart, len(values))
    assert "nan" not in svg
    for points in re.findall(r'points="([^"]*)"', svg):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 330
            assert 0 <= y <= 190


@given(st.floats(1e-9, 1e9))
def test_ticks_are_few_and_in_the_range(high):
    ticks = _ticks(0, high)
    assert 2 <= len(ticks) <= 5
    assert ticks[0] == 0
    assert ticks[-1] <= high * (1 + 1e-9)


# ------------------------------------------------------------------- what is there


@given(st.integers(0, 400))
def test_a_cut_file_gives_all_whole_lines(cut):
    import tempfile

    lines = [json.dumps(record(k)) for k in range(1, 4)]
    content = ("\n".join(lines) + "\n").encode()
    cut = min(cut * 3, len(content))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.write_bytes(content[:cut])
        records, problems = read_what_is_there(path)
    whole = [line for line in content[:cut].decode().split("\n") if line in lines]
    assert [r["step"] for r in records] == list(range(1, len(whole) + 1))
    rest = content[:cut].decode().rpartition("\n")[2]
    if rest and rest not in lines:
        assert "cut short" in problems[0]
    elif whole:
        assert problems == []
    else:
        assert "empty" in problems[0]


def test_lines_that_are_no_records_are_said(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        f'[]\n\n{json.dumps(record(1))}\n{{"a": 1}}\n{json.dumps(record(1, total=7))}\n'
    )
    records, problems = read_what_is_there(path)
    assert [r["total"] for r in records] == [7]
    assert problems == ["2 lines of metrics.jsonl are no records and left out: 1, 4."]


# ------------------------------------------------------------------- while it goes


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def live_in(folder, clock=time.perf_counter, said=None, steps=10, **changes):
    facts = {"title": "t", "command": ["train", "--out", str(folder), "--overwrite"], "steps": 10}
    say = reporter(True) if said is None else said.append
    return Live(folder, facts, steps=steps, clock=clock, say=say, **changes)


def page_in(folder):
    path = folder if folder.suffix == ".html" else folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_page_is_written_every_few_seconds_and_at_its_share_of_the_time(tmp_path, monkeypatch):
    """A page that takes two seconds is written every 200; one that takes none, every ten."""
    clock, written = Clock(), []
    cost = 0.0

    def write(*_, **__):
        written.append(clock.now)
        clock.now += cost

    monkeypatch.setattr("minirnn.watch.run_folder.write_page", write)
    live = live_in(tmp_path, clock, steps=9999)
    for step in range(1, 101):
        live(record(step))
        clock.now += 1
    assert np.diff(written).tolist() == [EVERY] * 9
    cost = 2.0
    written.clear()
    begun, spent = clock.now, live.spent
    for step in range(101, 2001):
        live(record(step, **({"evaluation": {}} if step % 5 else {"evaluation": {"a": 1}})))
        clock.now += 1
    assert live.spent - spent <= SHARE * (clock.now - begun) + 2 * cost
    assert len(written) >= 8


def test_nothing_is_written_before_the_first_record(tmp_path):
    with pytest.raises(InputError), live_in(tmp_path):
        raise InputError("another run is there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (TrainingInterrupted("x", step=3), "stopped", "by Ctrl-C or a signal, after step 3"),
        (OSError(28, "No space left"), "failed", "after step 2: .*No space left"),
        (
            DivergenceError("loss mask is nan", term="mask", step=3, images=["7 (a.png)"]),
            "failed",
            "loss mask is nan",
        ),
    ],
)
def test_the_page_says_how_it_ended_and_how_to_go_on(tmp_path, error, state, message):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record(k)) + "\n" for k in (1, 2)))
    live = live_in(tmp_path)
    live(record(1))
    assert "going on" in page_in(tmp_path)
    live(record(2))
    with pytest.raises(type(error)), live:
        raise error
    page = page_in(tmp_path)
    text = read(page).text
    assert "http-equiv" not in page
    assert state in text
    assert re.search(message, text)
    assert f"minirnn train --out {tmp_path} --resume\n" in text
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["state"] == state
    if isinstance(error, DivergenceError):
        assert "Try a lower --learning-rate" in text
        again = succeed("report", tmp_path).out  # also from the files alone
        assert "Try a lower --learning-rate" in again
        assert "images of that step: 7 (a.png)" in again


def test_a_run_from_python_keeps_its_page_with_one_line(tmp_path):
    from minirnn.data import CocoDataset, generate
    from minirnn.models import build_model
    from minirnn.training import TrainingSettings, train

    folder = tmp_path / "first"
    data = CocoDataset.from_folder(
        generate(tmp_path / "data", train=4, val=1, size=64, workers=0, progress=False), "train"
    )
    own = {"categories": tuple(data.categories), "num_classes": len(data.categories) + 1}
    small = {"min_size": (64,), "small_widths": (16, 24, 32), "fpn_channels": 16, "box_width": 32}
    model = build_model("maskrcnn_shapes", **own, **small)
    settings = TrainingSettings(steps=3, batch_size=2, workers=0)
    with live_page(folder, model, settings) as page:
        train(model, data, settings, folder, progress=False, watch=page, stop_at=1)
    assert "at step 1 of 3" in " ".join(read(page_in(folder)).text.split())
    page = live_page(folder, model, settings, resume=True)
    train(model, data, settings, folder, progress=False, watch=page, resume=True)
    text = read(page_in(folder)).text
    assert "finished" in text
    assert "circle, square, triangle" in text
    assert json.loads((folder / "run.json").read_text())["state"] == "finished"
    assert len(page.course.series("total")[0]) == 3


def test_the_example_of_the_guide_runs_as_a_script(tmp_path):
    """The processes that read the images start it anew."""
    from minirnn.data import generate

    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)
    (example,) = (block for block in blocks if "live_page(" in block)
    script = tmp_path / "example.py"
    script.write_text(textwrap.dedent(example).replace("steps=1000", "steps=1, batch_size=1"))
    generate(tmp_path / "data/shapes", train=2, val=1, size=64, workers=0, progress=False)
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "finished" in read(page_in(tmp_path / "runs/first")).text


@pytest.mark.parametrize("log_every", [1, 3])
def test_an_evaluation_that_fails_is_said_to_be_after_its_step(tmp_path, log_every):
    """Whether or not the step has a line of its own in metrics.jsonl."""
    from test_training_loop import TinyModel, make_settings
    from test_training_loop import run as train_tiny

    def evaluate(step, model):
        if step == 4:
            raise ValueError("a bug of mine")
        return {}

    model = TinyModel()
    model.facts, model.categories = {}, []
    settings = make_settings(log_every=log_every)
    given = {"log_every": log_every, "callback": evaluate, "callback_every": 2}
    page = live_page(tmp_path, model, settings)
    with pytest.raises(ValueError, match="a bug") as caught, page:
        train_tiny(tmp_path, **given, watch=page)
    assert "after 4 steps" in caught.value.__notes__[0]
    assert "failed : after step 4: a bug of mine" in " ".join(read(page_in(tmp_path)).text.split())
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["message"] == "after step 4: a bug of mine"


def test_a_page_from_python_marks_the_best_by_what_counts(tmp_path):
    from test_training_loop import TinyModel, make_settings
    from test_training_loop import run as train_tiny

    def evaluate(step, model):
        return {"bbox": {"AP": step / 100}, "segm": {"AP": 0.5 - step / 100}}

    model = TinyModel()
    model.facts, model.categories = {}, []
    page = live_page(tmp_path, model, make_settings(), best_by="bbox")
    summary = train_tiny(tmp_path, callback=evaluate, callback_every=4, best_by="bbox", watch=page)
    assert summary.best_step == 12
    (row,) = re.findall(r'<tr class="best">.*?</tr>', page_in(tmp_path), re.DOTALL)
    assert ">12<" in row
    text = " ".join(read(page_in(tmp_path)).text.split())
    assert "the best box AP, 0.120: its weights are kept as best.safetensors." in text

    (tmp_path / "best.safetensors").rename(tmp_path / "mine.safetensors")
    succeed("report", tmp_path)
    text = " ".join(read(page_in(tmp_path)).text.split())
    assert "the best box AP, 0.120." in text
    shutil.copy(tmp_path / "checkpoint.safetensors", tmp_path / "best.safetensors")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:9]))
    succeed("report", tmp_path, "--html", tmp_path.parent / "elsewhere.html")
    text = " ".join(read(page_in(tmp_path.parent / "elsewhere.html")).text.split())
    assert "the best box AP, 0.080; best.safetensors holds the weights of step 12." in text


def test_a_page_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("minirnn.watch.run_folder.write_page", full)
    said, clock = [], Clock()
    with live_in(tmp_path, clock, said) as live:
        for step in range(1, 11):
            live(record(step))
            clock.now += 100
    assert said == [
        "report.html cannot be written (No space left on device); the training goes on without"
    ]


def test_a_run_that_goes_on_keeps_the_course_and_the_pictures(tmp_path):
    from test_model import scene

    from minirnn.data.sample import Sample
    from minirnn.structures import Detections

    samples = [Sample(*scene(0))]
    nothing = [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.intp), np.zeros(0), None)]
    metrics = tmp_path / "metrics.jsonl"

    def steps(live, first, last):
        for k in range(first, last + 1):
            line = record(k)
            if k % 2 == 0:
                live.show(k, samples, nothing, ["thing"])
                line["evaluation"] = {"bbox": {"AP": 0.1}}
            with open(metrics, "a") as file:
                file.write(json.dumps(line) + "\n")
            live(line)

    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mine.webp").write_text("")
    (tmp_path / "pictures" / "99-0.webp").write_text("of an earlier run")
    steps(live_in(tmp_path), 1, 4)  # and is killed
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {
        *("mine.webp", "truth-0.webp", "2-0.webp", "4-0.webp")
    }
    with live_in(tmp_path, resume=True) as live:
        steps(live, 5, 8)
    assert len(live.course.series("total")[0]) == 8
    page = page_in(tmp_path)
    assert len(re.findall("data:image/webp", page)) == 5
    assert "step 2" in read(page).text
    before = page
    assert succeed("report", tmp_path).code == 0
    changing = (
        r'written [-\d: ]+|data-written="\d+"|(?s:<(ul class="notes|p class="well).*?</(ul|p)>)'
    )
    shown = [re.sub(changing, "", page).split() for page in (before, page_in(tmp_path))]
    assert shown[0] == shown[1]  # the same from the files alone


def test_a_page_of_somebody_else_stays(tmp_path):
    (tmp_path / "report.html").write_text("<h1>mine</h1>")
    message = r"report\.html is there already and is no page of a training run"
    out = ["--data", tmp_path, "--preset", "maskrcnn_shapes", "--out", tmp_path]
    fail(1, message, "train", *out)
    (tmp_path / "metrics.jsonl").write_text("")
    fail(1, message, "report", tmp_path)
    succeed("report", tmp_path, "--html", tmp_path / "other.html")
    assert (tmp_path / "report.html").read_text() == "<h1>mine</h1>"


@pytest.mark.parametrize("name", ["report.html", "run.json"])
def test_what_is_not_of_a_run_stays(tmp_path, name):
    """Refused by the command line, and in Python before there is anything to train."""
    from test_training_loop import TinyModel, make_settings

    mine = '{"run": "mine", "settings": 3}'
    (tmp_path / name).write_text(mine)
    before = sorted(tmp_path.iterdir())
    fail(
        *(1, rf"{re.escape(name)} is there already and is", "train", "--data", tmp_path),
        *("--preset", "maskrcnn_shapes", "--out", tmp_path, "--overwrite"),
    )
    model = TinyModel()
    model.facts, model.categories = {}, []
    with pytest.raises(InputError, match=f"{re.escape(name)} is there already and is"):
        live_page(tmp_path, model, make_settings())
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / name).read_text() == mine


@pytest.mark.parametrize("content", ["{", "[]", '{"run": "mine"}', None])
def test_damaged_facts_in_the_folder_of_a_run_are_ours(tmp_path, content):
    (tmp_path / "run.json").write_text(content or '{"state": "finished", "settings": {}}')
    if content:
        with pytest.raises(InputError, match=r"run\.json is there already"):
            run_folder.refuse_others(tmp_path)
        (tmp_path / "checkpoint.safetensors").write_text("")
    run_folder.refuse_others(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--out", "a b"], "minirnn train --out 'a b' --resume"),
        (
            ["train", "--overwrite", "--stop-at", "5", "--steps", "9"],
            "minirnn train --steps 9 --resume",
        ),
        (["train", "--stop-at=5", "--resume"], "minirnn train --resume"),
    ],
)
def test_the_command_that_goes_on(words, expected):
    assert run_folder.command_to_go_on(words) == expected


def test_the_command_that_goes_on_is_short_where_the_run_knows_the_rest():
    words = ["train", "--data", "x", "--out", "a b", "--steps", "9"]
    expected = "minirnn train --resume --out 'a b'"
    assert run_folder.command_to_go_on(words, knows=True) == expected
    assert run_folder.command_to_go_on(["demo"], knows=True) == "minirnn demo --resume"


# ------------------------------------------------------------------- the commands


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 8, "--val", 6, "--size", 64)
    return folder


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory) -> Path:
    """A run of four steps, evaluated twice."""
    out = tmp_path_factory.mktemp("runs") / "first"
    result = succeed(*training(shapes, out), "--evaluate-every", 2)
    assert f"look at {out / 'report.html'} while it trains" in result.out
    assert (
        len(re.findall(r"step [24]: box AP \d\.\d{3}, mask AP \d\.\d{3} \(best", result.err)) == 2
    )
    assert "best.safetensors" in result.out
    return out


def test_every_run_leaves_its_page(run):
    page = page_in(run)
    text = read(page).text
    for expected in ("first: maskrcnn_shapes", "finished", "4 of 4", "mask AP, step 4", "step 2"):
        assert expected in text
    assert len(re.findall("data:image/webp", page)) == 4 * 3
    assert "--overwrite" not in text
    assert (run / "best.safetensors").is_file()
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert set(line["evaluation"]) == {"bbox", "segm"}
    assert len(line["shares"]) == 5


def test_the_best_weights_are_a_network(run, shapes):
    succeed("evaluate", "--weights", run / "best.safetensors", "--data", shapes)


def test_the_same_command_with_resume_goes_on(shapes, run, tmp_path):
    out = tmp_path / "run"
    command = [*training(shapes, out), "--evaluate-every", 2]
    first = succeed(*command, "--stop-at", 3)
    assert "stopped: at step 3 of 4, as --stop-at says." in read(page_in(out)).text.replace(
        "\n", ""
    )
    assert f"minirnn train --resume --out {out}\n" in first.out.rpartition("Go on:")[2]
    succeed(*command, "--resume")
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (run / name).read_bytes()
    assert "finished" in read(page_in(out)).text


def test_what_needs_ap_says_so(shapes, tmp_path):
    command = training(shapes, tmp_path / "r")
    fail(2, "--patience needs --evaluate-every", *command, "--patience", 2)
    fail(2, "--best-by needs --evaluate-every", *command, "--best-by", "box")
    fail(2, "--val-proposals needs --evaluate-every", *command, "--val-proposals", "some.json")
    fail(
        2, "--best-by keypoints: nothing", *command, "--best-by", "keypoints", "--evaluate-every", 2
    )


def test_messages_name_options_as_they_are_typed(shapes, run, tmp_path):
    command = training(shapes, tmp_path / "r")
    fail(1, r"error: --learning-rate is -1\.0; it should be", *command, "--learning-rate", -1)
    fail(1, r"error: --batch-size is 0; it should be", *command, "--batch-size", 0)
    fail(1, r"error: clip_norm is -1", *command, "--set", "clip_norm=-1")
    message = r"go on with it \(--resume\), replace it \(--overwrite\), or .*\(--out\)"
    fail(1, message, *training(shapes, run))


def test_patience_on_the_command_line(shapes, tmp_path):
    command = [*training(shapes, tmp_path / "r", 9), "--learning-rate", 1e-12, "--json"]
    result = succeed(*command, "--evaluate-every", 1, "--patience", 2, "--best-by", "box")
    said = json.loads(result.out)
    assert (said["steps"], said["best_step"], said["best_name"]) == (3, 3, "box AP")
    assert "stopped early after step 3" in said["stopped_early"]
    text = " ".join(read(page_in(tmp_path / "r")).text.split())
    assert "after step 3, since in the last 2 evaluations box AP was no better" in text


def test_report_of_a_run_that_was_killed(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "first")
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"state": "going", "steps": 100}))
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(content[:-100])
    result = succeed("report", folder)
    assert "cut short" in result.out
    text = read(page_in(folder)).text
    assert "The last line of metrics.jsonl is cut short" in text
    assert "ended without a word after step 3: killed, or the machine stopped." in text
    assert "--resume" in text
    (folder / "metrics.jsonl").unlink()
    (folder / "checkpoint.safetensors").write_bytes(b"\x00" * 100)
    said = json.loads(succeed("report", folder, "--json").out)
    assert "metrics.jsonl is not there: the course of this run is lost." in said["problems"]
    assert any("checkpoint.safetensors" in problem for problem in said["problems"])
    assert "metrics.jsonl is not there" in read(page_in(folder)).text


def test_report_of_a_run_by_an_earlier_version(run, tmp_path):
    """No run.json, no shares, no signs; what can be seen in the numbers is named all the same."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(run / "checkpoint.safetensors", folder)
    new = {"shares", "sizes", "evaluation"}
    lines = [
        {k: v for k, v in record(step, learning_rate=1e-15).items() if k not in new}
        for step in range(1, 31)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = succeed("report", folder)
    assert "step 10: The learning rate is 1e-15" in result.out
    text = read(page_in(folder)).text
    assert "circle, square, triangle" in text
    assert "Objects that can be found" not in text
    assert "Total loss" in text
    assert not (folder / "run.json").exists()


def test_report_of_a_run_that_goes_on(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "first")
    before = page_in(folder)
    with alone_in(folder):
        fail(1, "is in use: the run keeps .*--html", "report", folder)
        succeed("report", folder, "--html", tmp_path / "now.html")
    assert page_in(folder) == before
    assert "going on" in (tmp_path / "now.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 7),
        ("command", "train"),
        ("command", [1]),
        ("resumed", [["train"], 7]),
        ("best_by", ["bbox"]),
        ("best_by", "boxes"),
        ("evaluates", 1),
        ("steps", "9"),
        ("steps", -1),
        ("network", [1]),
        ("settings", "none"),
        ("images", 7),
        ("images", [7]),
        ("signs", [1]),
        ("signs", [[3, {"name": "a"}]]),
        ("signs", [["3", {"name": "a", "text": "b", "advice": "c"}]]),
        ("state", [1]),
        ("message", 7),
        ("early", 7),
    ],
)
def test_a_damaged_fact_is_said_and_left_out(run, tmp_path, name, value):
    folder = shutil.copytree(run, tmp_path / "first")
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {name: value}))
    message = f"run.json is damaged: its '{name}' is no such thing, and left out."
    assert json.loads(succeed("report", folder, "--json").out)["problems"] == [message]
    assert message in " ".join(read(page_in(folder)).text.split())


@pytest.mark.parametrize("content", ["{", "[1]", "", "\x00" * 20])
def test_facts_that_cannot_be_read_are_said(run, tmp_path, content):
    folder = shutil.copytree(run, tmp_path / "first")
    (folder / "run.json").write_text(content)
    message = "run.json cannot be read: what the run was called with is lost."
    assert json.loads(succeed("report", folder, "--json").out)["problems"] == [message]
    assert "circle, square, triangle" in read(page_in(folder)).text  # the checkpoint knows


def test_a_folder_in_the_place_of_the_page_is_not_ours(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "first", ignore=shutil.ignore_patterns("report.html"))
    (folder / "report.html").mkdir()
    fail(
        1, r"report\.html is there already .*; move it, or choose another folder", "report", folder
    )


def test_report_of_no_run(tmp_path):
    fail(1, "is not there; it should be the folder of a run", "report", tmp_path / "typo")
    fail(1, "holds no run: neither", "report", tmp_path)
    (tmp_path / "run.json").write_text("{")
    assert call("report", tmp_path).code == 0  # what there is is said


# ------------------------------------------------------------------- TensorBoard


def events_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars by name, read as the format says: length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: dict[str, list[tuple[int, float]]] = {"purged from": []}
    for path in sorted((folder / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack("<Q", content[at : at + 8])
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 12 + length + 4
            if event.session_log.status == SessionLog.START:
                found["purged from"].append((event.step, 0.0))
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_has_every_number(shapes, tmp_path):
    pytest.importorskip("tensorboardX")
    out = tmp_path / "run"
    command = [*training(shapes, out), "--tensorboard", "--evaluate-every", 2]
    succeed(*command, "--stop-at", 2)
    succeed(*command, "--resume")
    found = events_of(out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [step for step, _ in found["losses/mask"]] == [1, 2, 3, 4]
    assert (3, 0.0) in found["purged from"]  # steps that were taken, and lost, are not shown twice
    for line in lines:
        assert math.isclose(dict(found["total"])[line["step"]], line["total"], rel_tol=1e-6)
    assert {"shares/objects_proposed", "learning_rate", "evaluation/segm/AP"} <= found.keys()
    assert any(name.startswith("seen/") for name in found)
    succeed(*command, "--overwrite", "--stop-at", 1)
    assert [step for step, _ in events_of(out)["total"]] == [1]


def test_two_starts_of_a_run_within_one_second_keep_both_their_events(tmp_path, monkeypatch):
    """tensorboardX names a file by the second, and empties the one that has that name already."""
    files = pytest.importorskip("tensorboardX.event_file_writer")
    monkeypatch.setattr(files.time, "time", lambda: 1.8e9)
    for step in (9, 10):
        board = Board(tmp_path, resume=step == 10)
        board.add({"step": step, "total": 1.0})
        board.close()
    assert events_of(tmp_path)["total"] == [(9, 1.0), (10, 1.0)]


def test_tensorboard_that_is_not_installed(shapes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    message = r"--tensorboard needs tensorboardX: pip install '\.\[tensorboard\]'"
    fail(1, message, *training(shapes, tmp_path / "run"), "--tensorboard")
    assert not (tmp_path / "run").exists()
