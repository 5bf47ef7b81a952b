"""`minirnn bench` without other libraries: what it counts, how it takes turns, and what it prints."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import json
import math
import mmap
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.bench import coretype, machine, networks, ops_stages, scale, shapes, side_by_side
from minirnn.bench.case import Case, difference_in_length, relative_difference, share_that_differs
from minirnn.bench.clock import ENOUGH, take_turns
from minirnn.bench.draws import boxes_in
from minirnn.bench.growth import Growth, Point, exponent
from minirnn.bench.ops import run_ops
from minirnn.bench.parent import in_child
from minirnn.bench.report import Report
from minirnn.bench.scenes import from_coco, made_up
from minirnn.bench.shapes import Convolution, convolutions, network_flops
from minirnn.bench.stand_ins import Stopwatch
from minirnn.bench.timing import Sum, Timing
from minirnn.cli import cli
from minirnn.data.sample import Detections
from minirnn.draw.bench import growth_figure, ratios_figure
from minirnn.errors import InputError
from minirnn.kernels import thread_count
from minirnn.nn import layers
from minirnn.verify import references
from minirnn.verify.agreement import agreement


class Result(NamedTuple):
    code: int
    out: str
    err: str


def bench(*arguments: object) -> Result:
    """Run `minirnn bench …` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as leaving,
    ):
        cli.main(["bench", *map(str, arguments)], prog_name="minirnn")
    return Result(leaving.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def alone(monkeypatch):
    """As if no other library were installed."""
    monkeypatch.setattr(references.importlib.util, "find_spec", lambda name: None)


# ---------------------------------------------------------------- what the network computes


def test_the_convolutions_are_those_of_the_network(monkeypatch):
    found: Counter[Convolution] = Counter()
    original = layers.conv2d

    def recording(x, weight, bias, *residual, stride, padding, groups, relu, relu6, dilation):
        assert dilation == 1
        assert not relu6
        assert padding == weight.shape[2] // 2
        shape = (len(x), x.shape[1], weight.shape[0], weight.shape[2], stride, *x.shape[2:])
        found[Convolution(*shape, x.shape[1] == 3)] += 1
        settings = {"stride": stride, "padding": padding, "groups": groups, "relu": relu}
        return original(x, weight, bias, *residual, **settings)

    model = networks.resnet50(0, 64, rpn_post_nms_test=20)
    monkeypatch.setattr(layers, "conv2d", recording)
    (detections,) = model.predict([made_up(0, (64, 96)).image])
    rois = len(detections.boxes)
    assert rois > 0
    assert found == convolutions(64, 96, rois)


def test_no_regions_no_mask_head():
    assert not any(shape.height in (14, 28) for shape in convolutions(64, 96, rois=0))


def test_the_work_is_what_is_known_of_it():
    # torchvision's table of models gives ResNet-50 4.09 GMAC at 224×224, 2 million of them in its
    # last layer, which detection does not have.
    body = sum(shape.macs for shape in shapes._backbone(1, 224, 224))
    assert body == pytest.approx(4.09e9 - 2e6, rel=1e-3)
    assert sum(convolutions(800, 1216).values()) == 81
    assert network_flops(800, 1216, 1, 1000, 100) == pytest.approx(500e9, rel=0.05)


def test_a_convolutions_size_and_name():
    shape = Convolution(2, 3, 64, 7, 2, 33, 64)
    assert shape.output == (17, 32)
    assert shape.macs == 2 * 3 * 64 * 49 * 17 * 32
    assert shape.name == "conv7x7/2 3-64 2x33x64"


# ---------------------------------------------------------------- the clock


@pytest.mark.parametrize(("short", "turn"), [(60, "aabb"), (0, "ab")])
def test_contestants_take_turns_after_two_runs_each(monkeypatch, short, turn):
    """What is short is called once more in each turn, so that it finds its own numbers in the cache."""
    monkeypatch.setattr("minirnn.bench.clock.SHORT", short)
    order = []
    turns = take_turns(
        {name: lambda name=name: order.append(name) or len(order) for name in "ab"},
        2,
        enough=1e-9,  # one call lasts longer
        pause=0,
    )
    assert order == [*"abab", *turn, *turn]
    assert turns.answers == {"a": 1, "b": 2}
    assert {name: len(runs) for name, runs in turns.seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(("enough", "count"), [(ENOUGH, 17), (0.02, 7)])
def test_a_turn_of_short_calls_counts_their_mean(monkeypatch, enough, count):
    """By a clock that stands still but for the calls, which take 1 ms and 5 ms in turn."""
    takes, calls, now = itertools.cycle([0.001, 0.005]), [0], [0.0]
    monkeypatch.setattr("minirnn.bench.clock.time.perf_counter", lambda: now[0])

    def run():
        now[0] += next(takes)
        calls[0] += 1

    turns = take_turns(
        {"a": run}, 3, not_counted={"a": lambda: 0.01}, enough=enough, pause=0
    )  # 10 ms of each turn do not count
    # Two before the turns, then in each turn one more and those that fill the rest of it.
    assert calls[0] == 2 + 3 * (1 + count)
    lasted = (count + 1) // 2 * 0.005 + count // 2 * 0.001
    assert turns.left_out["a"] == pytest.approx([0.01 / count] * 3)
    assert turns.seconds["a"] == pytest.approx([(lasted - 0.01) / count] * 3)


def test_seconds_that_do_not_count_are_left_out_turn_by_turn():
    handed_out = iter([100.0, 100.0, 1.0, 100.0, 2.0])  # 100: of calls that are not timed
    turns = take_turns(
        {"a": lambda: None},
        2,
        not_counted={"a": lambda: next(handed_out)},
        enough=1e-9,
        pause=0,
    )
    assert turns.seconds["a"] == pytest.approx([-1, -2], abs=0.1)
    assert turns.left_out["a"] == [1, 2]


def test_the_garbage_collector_rests_meanwhile_and_comes_back():
    seen = []

    def run():
        seen.append(gc.isenabled())
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_turns({"a": run}, 3, pause=0)
    assert seen == [True, True, False]
    assert gc.isenabled()


def test_a_stopwatch_adds_up_and_starts_again():
    watch = Stopwatch()
    for _ in range(2):
        with watch.running():
            sum(range(1000))
    assert 0 < watch.seconds < 1
    assert watch.take() > 0
    assert watch.take() == 0


# ---------------------------------------------------------------- machine and memory


def test_threads_are_limited_inside_only(monkeypatch):
    monkeypatch.setenv("MINIRNN_THREADS", "2")
    with contextlib.suppress(ZeroDivisionError), machine.threads_limited_to(1):
        assert thread_count() == 1
        assert os.environ["MINIRNN_THREADS"] == "1"
        raise ZeroDivisionError
    assert os.environ["MINIRNN_THREADS"] == "2"
    assert thread_count() == 2
    monkeypatch.delenv("MINIRNN_THREADS")
    with machine.threads_limited_to(1):
        pass
    assert "MINIRNN_THREADS" not in os.environ


def test_kernels_that_were_chosen_by_hand_are_named(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    free = machine.blas_in_use()
    assert "kernels)" in free
    assert "OPENBLAS_CORETYPE" not in free
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    held = f"{free}, chosen by OPENBLAS_CORETYPE=Haswell, which holds NumPy alone"
    assert machine.blas_in_use() == held
    coretype.set_aside()  # NumPy has read it: it is too late, and nothing else may be said
    assert machine.blas_in_use() == held
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


@pytest.mark.parametrize("keep", [False, True])
def test_what_holds_numpy_alone_is_set_aside_unless_it_is_to_be_kept(keep):
    words = ["bench", "ops", "--only", "rle", "--size", "64x64", "--repeat", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "minirnn", *words, *["--keep-coretype"] * keep],
        env={**os.environ, "OPENBLAS_CORETYPE": "Haswell"},
        capture_output=True,
        text=True,
        check=True,
    )
    blas = json.loads(done.stdout)["machine"]["blas"]
    assert ("chosen by OPENBLAS_CORETYPE=Haswell" in blas) == keep
    assert ("OPENBLAS_CORETYPE=Haswell would hold NumPy alone and is set aside" in blas) != keep


def test_the_machines_rate_and_description():
    assert machine.matrix_product_rate(1, 128) > 0.01
    found = machine.describe(1, ["numpy", "no-such-package"])
    assert found["versions"] == {"numpy": np.__version__}
    assert found["threads"] == 1


def test_memory_that_was_taken_shows_in_the_peak_and_not_in_what_is_held():
    before = machine.memory_peak()
    # Straight from the system: what NumPy frees may be kept for later (see `minirnn.kernels.cpu.memory`).
    with mmap.mmap(-1, 64 * 2**20) as held:
        held.write(b"1" * len(held))
        now = machine.memory_now()
        assert machine.memory_peak() >= now
    if Path("/proc/self/status").exists():
        assert machine.memory_now() < now - 48 * 2**20
        assert machine.memory_peak() >= max(before, now) - 2**20


@pytest.fixture
def shapes_folder(tmp_path):
    """The demo's network, ready for a step of training."""
    model = networks.build_model("maskrcnn_shapes", seed=3)
    samples = [made_up(k, (128, 128), "easy") for k in range(2)]
    networks.Setup("shapes", True, 1, 3, model.config, model.state_dict(), samples).write(tmp_path)
    return tmp_path, model, samples


def test_a_folder_gives_back_what_was_put_in(shapes_folder):
    folder, model, samples = shapes_folder
    same = networks.our_network(folder)
    assert same.config == model.config
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(same.state_dict()[name], array)
    for ours, wanted in zip(networks.Setup.read(folder).samples, samples, strict=True):
        np.testing.assert_array_equal(ours.image, wanted.image)
        np.testing.assert_array_equal(ours.target.masks, wanted.target.masks)
        np.testing.assert_array_equal(ours.target.boxes, wanted.target.boxes)


def test_a_step_of_training_repeats_with_the_same_work(shapes_folder):
    folder, *_ = shapes_folder
    step = networks.contestant("ours", folder)
    first, second = step(), step()
    assert math.isfinite(first)
    assert second == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_regions_are_counted(shapes_folder, training):
    _, model, samples = shapes_folder
    counts = side_by_side.count_regions(model, samples, training)
    if training:
        assert 0 < counts["mask"] < counts["box"] <= 2 * model.config.roi.samples
        return
    assert 0 < counts["box"] <= 2 * model.config.rpn.post_nms_test
    found = networks.our_answer(model, samples)()
    assert counts["mask"] == sum(len(detections.boxes) for detections in found)


def test_memory_is_measured_in_a_process_of_its_own(shapes_folder):
    folder, *_ = shapes_folder
    used = in_child({"do": "peak", "folder": folder, "name": "ours"}, 1)
    assert 30 * 2**20 < used["base"] < used["peak"]


def test_a_child_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"setup\.pickle"):
        in_child({"do": "peak", "folder": tmp_path, "name": "ours"}, 1)


# ---------------------------------------------------------------- pictures


def test_a_made_up_picture_has_objects_with_tight_boxes():
    sample = made_up(1)
    assert sample.image.shape == (427, 640, 3)
    target = sample.target
    assert len(target.boxes) == len(target.labels) == len(target.masks) > 0
    for box, mask in zip(target.boxes, target.masks, strict=True):
        x1, y1, x2, y2 = box.astype(int)
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0
        assert mask[y1].any()
        assert mask[y2 - 1].any()
        assert mask[:, x1].any()
        assert mask[:, x2 - 1].any()
    np.testing.assert_array_equal(made_up(1).image, sample.image)


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"instances_val2017\.json"):
        from_coco(tmp_path)


@pytest.mark.coco
def test_a_photograph_of_coco_has_three_objects_and_no_crowd(coco_subset):
    sample, name = from_coco(coco_subset)
    assert name.startswith("image ")
    assert len(sample.target.boxes) >= 3
    assert not sample.target.is_crowd.any()


# ---------------------------------------------------------------- differences


def test_the_largest_difference():
    a = np.array([1.0, -4.0], np.float32)
    assert relative_difference(a, a) == 0
    assert relative_difference((a, a), (a, a + np.float32(0.5))) == pytest.approx(0.5 / 3.5)
    assert relative_difference(a, a[:1]) == math.inf
    assert relative_difference((a,), (a, a)) == math.inf
    assert math.isnan(relative_difference(np.array([np.nan, 1.0]), np.array([1.0, 1.0])))
    assert relative_difference(a[:0], a[:0]) == 0


def test_the_difference_in_length():
    a = np.array([3.0, 4.0], np.float32)
    assert difference_in_length((a, a), (a, a)) == 0
    assert difference_in_length([a], [a * np.float32(0.5)]) == pytest.approx(1)
    assert difference_in_length([a], [a[:1]]) == math.inf
    assert math.isnan(difference_in_length([a * np.nan], [a]))


def test_the_share_that_differs():
    assert share_that_differs([1, 2, 3, 4], [1, 2, 3, 5]) == 0.25
    assert share_that_differs([1], [1, 2]) == 1
    assert share_that_differs([], []) == 0


@given(st.integers(0, 99), st.integers(0, 50))
@settings(max_examples=20)
def test_drawn_boxes_are_inside_and_have_area(seed, n):
    boxes = boxes_in(n, (60, 90), 4, 500)(np.random.default_rng(seed))
    assert boxes.shape == (n, 4)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= np.array([90, 60, 90, 60]) + 1e-3).all()


class TestAgreement:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 20, 20], [30, 30, 60, 40]], np.float32)
    labels = np.array([1, 2, 2])
    scores = np.array([0.9, 0.8, 0.7], np.float32)

    def against(self, boxes=None, labels=None, scores=None, keep=3):
        masks = np.zeros((3, 60, 80), bool)
        masks[:, :30, :30] = True
        theirs = {
            "boxes": self.boxes,
            "labels": self.labels,
            "scores": self.scores,
            "masks": masks[:, None].astype(np.float32),
        }
        ours = Detections(
            (self.boxes if boxes is None else boxes)[:keep],
            (self.labels if labels is None else labels)[:keep],
            (self.scores if scores is None else scores)[:keep],
            masks[:keep],
        )
        return agreement([ours], [theirs])

    def test_equal(self):
        found = self.against()
        assert found.partners == 3
        assert found.difference == 0
        assert found.pixels == 0

    def test_another_order_is_no_difference(self):
        order = [2, 0, 1]
        found = self.against(self.boxes[order], self.labels[order], self.scores[order])
        assert found.partners == 3
        assert found.difference == 0

    def test_a_box_moved_a_little(self):
        moved = self.boxes.copy()
        moved[1, 2] += 0.5
        assert self.against(moved).difference == pytest.approx(0.5 / 80)

    def test_another_label_or_place_or_score_is_another_object(self):
        for other in (
            self.against(labels=np.array([1, 2, 1])),
            self.against(boxes=self.boxes + np.float32(3)),
            self.against(scores=self.scores - np.float32(0.1)),
            self.against(keep=2),
        ):
            assert other.difference == math.inf

    def test_one_partner_serves_once(self):
        twice = self.boxes.copy()
        twice[2] = twice[1]
        found = self.against(boxes=twice, scores=np.array([0.9, 0.8, 0.8], np.float32))
        assert found.partners == 2

    def test_nothing_found_by_both(self):
        none = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros((0, 4, 4), bool))
        empty = {"boxes": none.boxes, "labels": none.labels, "scores": none.scores}
        assert agreement([none], [{**empty, "masks": np.zeros((0, 1, 4, 4))}]).difference == 0

    def test_several_images_count_together(self):
        moved = self.boxes.copy()
        moved[1, 2] += 0.5
        own = [Detections(b, self.labels, self.scores, None) for b in (self.boxes, moved)]
        masks = np.zeros((3, 1, 60, 80), np.float32)
        theirs = {"boxes": self.boxes, "labels": self.labels, "scores": self.scores, "masks": masks}
        both = agreement(own, [theirs] * 2)
        assert (both.ours, both.partners, both.box) == (6, 6, 0.5)


# ---------------------------------------------------------------- rows, sums, reports


def row(**changes):
    fields = {
        "name": "a",
        "group": "g",
        "ours": [1.0, 3.0, 2.0],
        "theirs": {"torch": [4.0], "ONNX Runtime": [2.5], "torchvision": [0.1]},
        "not_peers": ("torchvision",),
        "flops": 8e9,
        "differences": {"torch": 1e-6},
        "tolerance": 1e-4,
    }
    return Timing(**{**fields, **changes})


def test_ratios_are_of_medians_and_leave_out_stand_ins():
    found = row()
    assert found.seconds == 2
    assert found.fastest == "ONNX Runtime"
    assert found.ratio("ONNX Runtime") == 0.8
    assert found.ratio_torch == 0.5
    assert found.ratio("torchvision") is None
    assert found.gflops == 4
    assert row(theirs={"torchvision": [4.0]}, not_peers=()).ratio_torch == 0.5
    assert row(theirs={}).fastest is None


@pytest.mark.parametrize(
    ("differences", "agrees"),
    [({}, True), ({"torch": 1e-4}, True), ({"torch": 2e-4}, False), ({"torch": math.nan}, False),
     ({"torch": 0.0, "ONNX Runtime": math.inf}, False)],
)  # fmt: skip
def test_a_row_agrees_if_all_do(differences, agrees):
    found = row(differences=differences)
    assert found.agrees is agrees
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_sum_weighs_each_row_by_how_often_it_occurs():
    rows = [row(count=3), row(name="b", ours=[5.0], theirs={"torch": [2.0]})]
    total = Sum.of("all", rows)
    assert total.ours == 3 * 2 + 5
    assert total.theirs == {"torch": 3 * 4 + 2}  # ONNX Runtime has only one of the two
    assert total.worst == {"torch": (2.5, "b")}
    assert "ours / torch 0.79; worst row 2.50, b" in total.sentence()
    assert total.as_dict()["ratios"] == {"torch": pytest.approx(11 / 14)}


MACHINE = {
    "processor": "P",
    "threads": 2,
    "versions": {},
    "matrix_product_gflops": 16.0,
    "blas": "B",
}


def test_a_report_as_text():
    rows = [row(count=4, peak={"ours": 3 * 2**20}), row(name="bb", differences={"torch": 1.0})]
    report = Report("title", rows, MACHINE, [Sum.of("all", rows)], ["X: not installed (pip …)"])
    text = report.as_text()
    head, first, second = text.splitlines()[2:5]
    assert re.split(r" {2,}", head) == [
        *("row", "×", "ours ms", "torch ms", "ONNX Runtime ms", "torchvision ms", "/ fastest"),
        *("/ torch", "GFLOP/s", "of machine", "difference", "peak MB", "torch MB"),
        *("ONNX Runtime MB", "torchvision MB"),
    ]
    cells = ["a", "4", "2000", "4000", "2500", "100*", "0.80", "0.50", "4", "25%", "1e-06", "3"]
    assert first.split()[:12] == cells
    assert "DISAGREES" in second
    assert "not compared with X: not installed (pip …)" in text
    assert text.endswith("2 rows: 1 DISAGREE")
    assert not report.agrees
    json.dumps(report.as_dict(), allow_nan=False)


def test_a_case_becomes_a_row():
    case = Case(
        *("n", "g", lambda: np.ones(2), {"torch": lambda: np.ones(2) + 1e-6}), flops=2, count=5
    )
    found = case.measure(2)
    assert len(found.ours) == len(found.theirs["torch"]) == 2
    assert found.differences["torch"] == pytest.approx(1e-6, rel=1e-3)
    assert (found.count, found.flops, found.agrees) == (5, 2, True)


# ---------------------------------------------------------------- growth


@given(st.floats(-2, 3), st.floats(0.1, 10))
@settings(max_examples=30)
def test_the_exponent_of_a_power_is_found(power, factor):
    x = np.array([1.0, 2, 5, 9])
    assert exponent(x, factor * x**power) == pytest.approx(power, abs=1e-9)


def test_what_has_no_exponent():
    assert exponent([2, 2], [1, 5]) == 0
    assert exponent([2], [1]) == 0
    for x, y in (([1, 2], [0, 1]), ([1, 2], [1]), ([1, -2], [1, 2])):
        with pytest.raises(ValueError, match="> 0"), np.errstate(all="ignore"):
            exponent(x, y)


def points(xs, seconds, memory):
    return [
        Point("batch", x, x, s, 10 + m, 10) for x, s, m in zip(xs, seconds, memory, strict=True)
    ]


def test_growth_is_of_time_and_of_the_memory_above_what_was_there_before():
    found = Growth.of("batch", points([1, 2, 4], [1, 2, 8], [3, 6, 12]))
    assert found.memory == pytest.approx(1)
    assert found.time_at_end == pytest.approx(2)
    assert found.memory_at_end == pytest.approx(1)
    assert found.sentence().startswith("batch: time ~ x^1.50 (last step 2.00), memory ~ x^1.00")


def test_the_last_step_of_an_axis_is_no_shorter_than_a_quarter():
    found = Growth.of("batch", points([1, 4, 4.1], [1, 4, 9], [1, 4, 9]))
    assert found.time_at_end == pytest.approx(math.log(9) / math.log(4.1))
    assert Growth.of("batch", points([4, 4.1], [4, 9], [1, 1])).time_at_end is None


@pytest.mark.slow
def test_scale_runs_each_point_by_itself(monkeypatch, tmp_path):
    monkeypatch.setitem(scale.AXES, "batch", (1, 2))
    seen = []
    report = scale.run_scale(
        ["batch"], size=32, repeat=1, threads=1, progress=lambda *now: seen.append(now)
    )
    assert seen == [("batch 1", 0, 2), ("batch 2", 1, 2)]
    assert [point.x for point in report.points] == [1, 2]
    one, two = (point.memory for point in report.points)
    assert two > one > 0
    assert report.growth[0].memory == pytest.approx(math.log2(two / one))  # x doubles
    assert "batch: time ~ x^" in report.as_text()
    json.dumps(report.as_dict(), allow_nan=False)
    report.write_picture(tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("axis", "asked", "fields", "batch"),
    [
        ("area", 0.32, {"min_size": [256], "max_size": 426}, 1),
        ("batch", 8, {}, 8),
        ("proposals", 2000, {"rpn_post_nms_test": 2000, "rpn_pre_nms_test": 2000}, 1),
        ("proposals", 100, {"rpn_post_nms_test": 100, "rpn_pre_nms_test": 1000}, 1),
        ("instances", 300, {"box_max_detections": 300}, 1),
    ],
)
def test_what_a_point_asks_for(axis, asked, fields, batch):
    assert scale._request(axis, asked, 800)[:2] == (fields, batch)


# ---------------------------------------------------------------- pictures of it


def test_bars_stand_on_one():
    rows = [
        {"name": "fast", "ratios": {"torch": 0.5, "ONNX Runtime": 2.0}},
        {"name": "alone", "ratios": {}},
        {"name": "slow", "ratios": {"torch": 4.0}},
    ]
    (axes,) = ratios_figure(rows, title="t").axes
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert spans == [(0.5, 1), (1, 2), (1, 4)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fast", "slow"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["torch", "ONNX Runtime"]
    low, high = axes.get_xlim()
    assert low < 0.5
    assert high > 4


def test_nothing_to_draw():
    (axes,) = ratios_figure([{"name": "a", "ratios": {}}]).axes
    assert axes.texts[0].get_text() == "nothing to compare with"


def test_growth_has_two_panels_an_axis():
    rows = [
        {"axis": axis, "x": x, "seconds": 2 * x, "memory": 2**20 * x}
        for axis in ("area", "batch")
        for x in (1, 2, 4)
    ]
    growth = [{"axis": axis, "time": 1.0, "memory": 1.0} for axis in ("area", "batch")]
    figure = growth_figure(rows, growth)
    assert len(figure.axes) == 4
    for axes, wanted in zip(figure.axes, ([2, 4, 8], [2, 4, 8], [1, 2, 4], [1, 2, 4]), strict=True):
        drawn, proportional = axes.get_lines()
        np.testing.assert_allclose(drawn.get_ydata(), wanted)
        np.testing.assert_allclose(proportional.get_ydata(), wanted)


def test_a_page_has_chart_and_table(tmp_path):
    path = tmp_path / "page.html"
    Report("a <title>", [row()], MACHINE).write_page(path)
    text = path.read_text(encoding="utf-8")
    assert "a &lt;title&gt;" in text
    assert "data:image/svg+xml;base64," in text
    assert "ONNX Runtime ms" in text
    assert "src='http" not in text


# ---------------------------------------------------------------- the commands


def test_ops_on_the_command_line(tmp_path):
    arguments = ["ops", "--size", "64x64", "--only", "rle", "--only", "paste", "--repeat", 2]
    result = bench(*arguments, "--seed", 1, "--threads", 1, "--png", tmp_path / "a.png", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [r["name"] for r in found["rows"]] == [
        "paste 100 masks in 427x640", "rle of 100 masks 427x640"
    ]  # fmt: skip
    assert found["machine"]["threads"] == 1
    assert len(found["rows"][1]["seconds"]["pycocotools"]) == 2
    assert found["rows"][1]["ratios"]["pycocotools"] > 0
    assert found["rows"][1]["differences"] == {"pycocotools": 0.0}
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_an_answer_that_differs_ends_with_1(monkeypatch):
    encode = ops_stages.rle.encode_many
    monkeypatch.setattr(ops_stages.rle, "encode_many", lambda masks: encode(~masks))
    result = bench("ops", "--size", "64x64", "--only", "rle", "--repeat", 1)
    assert result.code == 1
    assert "1 DISAGREE" in result.out
    assert "Traceback" not in result.err


@pytest.mark.usefixtures("alone")
def test_ours_is_measured_without_anybody_to_compare_with():
    report = run_ops(["conv3x3/2", "anchors", "nms", "roi"], size=(64, 64), repeat=1)
    groups = {row.group for row in report.rows}
    assert groups == {
        *("conv forward", "conv backward", "anchors", "nms"),
        *("roi_align forward", "roi_align backward", "roi_pool forward", "roi_pool backward"),
    }
    assert not any(row.theirs for row in report.rows)
    assert all(row.seconds > 0 for row in report.rows)
    assert all("pip install" in sentence for sentence in report.missing)
    assert [s.split(":")[0] for s in report.missing] == [
        "torch", "ONNX Runtime", "torchvision", "pycocotools"
    ]  # fmt: skip
    assert "not compared with torch: not installed: torch" in report.as_text()
    assert report.sums[0].name == "all 3 convolutions, forward"


@pytest.mark.usefixtures("alone")
def test_infer_alone():
    result = bench("infer", "--size", 64, "--repeat", 1, "--no-memory", "--json")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)["rows"]
    assert found["name"] == "infer 1 of 427x640 at 64"
    assert found["canvas"] == [64, 96]
    assert found["detections"] == 100
    assert found["gflops"] > 0
    assert found["theirs_ms"] == {}


@pytest.mark.usefixtures("alone")
def test_train_alone():
    result = bench("train", "--model", "shapes", "--repeat", 1)
    assert result.code == 0, result.err
    line = next(x for x in result.out.splitlines() if x.startswith("train shapes, 8 pictures"))
    assert float(line.split()[-1]) > 50  # the peak, in MB
    assert "not compared with torchvision: not installed" in result.out


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (1, "multiples of 32", ["ops", "--size", "100x100"]),
        (2, "is not HEIGHTxWIDTH", ["ops", "--size", "large"]),
        (1, "no row is named q; there are the groups", ["ops", "--only", "q", "--size", "64x64"]),
        (1, "there is no folder", ["ops", "--png", "no/such/folder/a.png"]),
        (1, "no-such.jpg", ["infer", "--image", "no-such.jpg"]),
        (2, "x>=1", ["infer", "--batch", "0"]),
        (1, "goes with --model resnet50", ["train", "--model", "shapes", "--data", "."]),
        (1, "instances_val2017.json", ["train", "--data", "."]),
        (2, "'depth' is not one of", ["scale", "--axis", "depth"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(code, message, arguments, monkeypatch):
    monkeypatch.setattr("minirnn.bench.ops._chosen", lambda parts, only: parts[-1:])
    monkeypatch.chdir(Path(__file__).parent)
    result = bench(*arguments)
    assert result.code == code, result
    assert message in result.err
    assert "Traceback" not in result.err
