"""`minirnn bench … --device cuda` without a GPU: every line that a first real run would come to."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from fake_gpu import Event
from standin import counted, standin
from test_bench import Result, bench

from minirnn.bench import infer, networks, place, profile, train
from minirnn.bench.clock import EventClock, HostClock, take_turns
from minirnn.bench.ops import makers, run_ops
from minirnn.bench.peers import ONNX, TORCH, TORCHVISION, Peers
from minirnn.bench.place import HERE, Place
from minirnn.bench.scenes import made_up
from minirnn.errors import InputError
from minirnn.models import build_model

NOBODY = Peers((), [], 1)

# ------------------------------------------------------------------ the clock


class Queue:
    """A GPU's clock that is worked off by hand: a call takes so many milliseconds of the GPU's time."""

    def __init__(self, milliseconds: float) -> None:
        self.now, self.took, self.calls, self.waited = 0.0, milliseconds, 0, 0

    def run(self) -> None:
        self.calls += 1
        self.now += self.took

    def event(self):
        queue = self

        class Mark:
            def record(self) -> None:
                self.at = queue.now

            def synchronize(self) -> None:
                queue.waited += 1

        return Mark()

    def clock(self) -> EventClock:
        return EventClock(self.event, lambda first, last: last.at - first.at)


@pytest.mark.parametrize(("takes", "calls"), [(2.0, 25), (80.0, 1), (0.001, 1000)])
def test_a_turn_on_a_gpu_is_put_into_its_queue_in_one_go(takes, calls):
    queue = Queue(takes)
    done, seconds = queue.clock().lasting(queue.run, 0.05)
    assert done == calls
    assert seconds == pytest.approx(calls * takes / 1e3)
    assert queue.calls == calls + 1  # one before, which says how long it takes
    assert queue.waited == 3  # for the others' work, for that call, and at the end


def test_each_contestant_goes_by_its_own_clock():
    queue = Queue(10.0)
    turns = take_turns(
        {"ours": queue.run, "host": lambda: None},
        2,
        enough=1e-6,
        pause=0,
        clocks={"ours": queue.clock()},
    )
    assert turns.seconds["ours"] == pytest.approx([0.01, 0.01])
    assert all(seconds < 0.005 for seconds in turns.seconds["host"])


# ------------------------------------------------------------------ the place


def test_a_processor_has_no_tf32_and_nothing_is_moved_there():
    with pytest.raises(InputError, match="--tf32 goes with --device cuda"):
        Place.of("cpu", tf32=True)
    here, array = Place.of("cpu"), np.ones(3)
    assert here.arrays((array,))[0] is array
    assert here.clocks(["torch"]) == {}
    assert isinstance(here.our_clock, HostClock)
    with here.ready() as facts:
        assert facts == {}


def test_arrays_come_to_the_gpu_in_the_order_of_their_axes(gpu):
    there = Place.of("cuda")
    assert there.xp is standin
    assert there.torch == "cuda"
    maps = np.ones((1, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    moved, number = there.arrays((maps, 3))
    assert number == 3
    assert moved.flags.c_contiguous
    np.testing.assert_array_equal(moved.get(), maps)


def test_torch_without_cuda_is_named_with_what_to_do(gpu):
    pytest.importorskip("torch", reason="torch is not installed")
    there = Place.of("cuda")
    assert "finds no GPU" in there.why_not(TORCH)
    assert "leave out --device cuda" in there.why_not(ONNX)


def test_operators_of_torchvision_that_do_not_load_are_no_peers(torch_on_it, monkeypatch):
    there = Place.of("cuda")
    assert there.why_not(TORCHVISION) is None
    monkeypatch.setattr(place, "torchvision_is_compiled", lambda: False)
    assert "do not load beside this torch" in there.why_not(TORCHVISION)


@pytest.mark.parametrize("tf32", [False, True])
def test_both_sides_are_told_and_asked(torch_on_it, gpu, monkeypatch, tf32):
    flags = torch_on_it.backends.cuda.matmul, torch_on_it.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    monkeypatch.setattr(  # a processor's products never are: as if it obeyed the flags
        place,
        "_digits_of_torch",
        lambda: {
            name: "TF32" if flag.allow_tf32 else "float32"
            for name, flag in zip(("products", "convolutions"), flags, strict=True)
        },
    )
    with Place.of("cuda", tf32).ready() as facts:
        assert [flag.allow_tf32 for flag in flags] == [tf32] * 2
        assert flags[1].benchmark
        assert (gpu.math_mode == 3) is tf32
        assert facts["products"] == ("TF32" if tf32 else "float32")
        assert facts["gpu"] == "Fake GPU"
        assert facts["matrix_product_gflops"] > 0
    assert [flag.allow_tf32 for flag in flags] == before
    assert gpu.math_mode == 0


def test_another_arithmetic_on_one_side_is_refused(torch_on_it, gpu, monkeypatch):
    """Here "cuda" is the processor, which multiplies in float32 whatever the flags say."""
    with (
        pytest.raises(
            InputError, match=r"TF32 was asked for, but torch: products of .* in float32"
        ),
        Place.of("cuda", tf32=True).ready(),
    ):
        pass
    gpu.has_tf32 = False
    with pytest.raises(InputError, match="TF32 has no effect on"), Place.of("cuda", True).ready():
        pass
    with Place.of("cuda").ready():
        pass


def test_memory_is_that_of_the_gpu(torch_on_it, gpu):
    there, runs = Place.of("cuda"), Counter()
    assert there.peak("ours", lambda: runs.update(["ours"])) == (10 * 2**20, 30 * 2**20)
    assert there.peak("torchvision", lambda: runs.update(["theirs"])) == (2**20, 3 * 2**20)
    assert runs == {"ours": 2, "theirs": 2}  # the second step has its velocities
    assert gpu.pool.freed == 1


# ------------------------------------------------------------------ the commands, ours alone


def run_on(*words: object) -> Result:
    return bench(*words, "--device", "cuda", "--repeat", 1, "--threads", 1)


@pytest.fixture
def quick(monkeypatch):
    """A turn is one call, with no rest and no warming up: kernels built by g++ are slow."""

    def short(*given, **settings):
        return take_turns(*given, **{**settings, "enough": 1e-9, "pause": 0})

    for module in ("case", "side_by_side"):
        monkeypatch.setattr(f"minirnn.bench.{module}.take_turns", short)
    monkeypatch.setattr("minirnn.bench.clock.SHORT", 0)


@pytest.fixture
def small(monkeypatch):
    """A small network on one small picture, in place of R-50's and the demo's."""
    fields = {
        "fpn_channels": 16, "box_width": 32, "mask_width": 16, "mask_convolutions": 1, "min_size": (64,),
        "max_size": 96, "rpn_pre_nms_train": 100, "rpn_post_nms_train": 40, "roi_samples": 16,
        "rpn_samples": 32, "rpn_pre_nms_test": 100, "rpn_post_nms_test": 20, "box_score_threshold": 0.0,
        "box_max_detections": 5, "norm": "frozen_batch_norm",
    }  # fmt: skip

    def network(*_, **__):
        return build_model("maskrcnn_shapes", num_classes=4, seed=0, **fields)

    picture = made_up(0, (64, 64), "easy")
    monkeypatch.setattr(infer, "resnet50", network)
    monkeypatch.setattr(infer, "made_up", lambda seed: picture)
    monkeypatch.setattr(train, "draw_network", network)
    monkeypatch.setattr(train, "pictures", lambda *_: ([picture], "a picture"))


@pytest.mark.usefixtures("gpu", "quick")
def test_ops_of_some_kinds():
    with counted() as work:
        done = run_on(
            "ops", "--size", "64x64", "--only", "conv3x3/2 512", "--only", "anchors", "--json"
        )
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert work.launches > 20
    assert {row["group"] for row in report["rows"]} == {"conv forward", "conv backward", "anchors"}
    assert all(row["theirs_ms"] == {} and row["ours_ms"] > 0 for row in report["rows"])
    assert report["machine"]["gpu"] == "Fake GPU"
    assert report["machine"]["products"] == "float32"
    assert any(
        "ONNX Runtime: computes on the processor" in missing for missing in report["missing"]
    )


@pytest.mark.parametrize("kind", ["nms", "paste", "linear"])
def test_operations_of_the_other_kinds_give_what_the_processor_gives(gpu, kind):
    found = []
    for where in (HERE, Place.of("cuda")):
        (make,) = (make for name, make in makers((64, 64), NOBODY, where) if name.startswith(kind))
        found.append(next(make(np.random.default_rng(0))).ours())
    np.testing.assert_allclose(
        found[1].get(), found[0], rtol=1e-5, atol=1e-4 * np.abs(found[0]).max()
    )


def test_run_lengths_are_the_hosts_and_plain_forms_are_not_measured(gpu):
    here, there = ({n for n, _ in makers((64, 64), NOBODY, at)} for at in (HERE, Place.of("cuda")))
    assert here - there == {"rle"}
    assert "on a processor only" in run_on("ops", "--against", "plain").err


@pytest.mark.usefixtures("gpu", "quick", "small")
def test_infer_with_its_profile():
    done = run_on("infer", "--profile")
    assert done.code == 0, done.err
    assert "Fake GPU, matrix products in float32 on both sides" in done.out
    assert "peak MB" in done.out
    lines = done.out.splitlines()
    start = next(k for k, line in enumerate(lines) if "where our time goes" in line)
    rows = [line for line in lines[start + 2 : start + 20] if "%" in line]
    names = [line.rsplit(maxsplit=2)[0].strip() for line in rows]
    assert names[:5] == ["transform", "backbone", "pyramid", "RPN", "proposals"]
    assert {"boxes: pooling", "masks: network", "masks: pasting", "the rest"} <= set(names)


@pytest.mark.usefixtures("quick", "small")
def test_infer_with_tf32(gpu):
    done = run_on("infer", "--no-memory", "--json", "--tf32")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["machine"]["products"] == "TF32"
    assert report["rows"][0]["tolerance"] is None  # said, not judged
    assert gpu.math_mode == 0


@pytest.mark.usefixtures("gpu", "quick", "small")
def test_the_demos_step_beside_the_processors():
    """The ratio that the demo's aim is about: at most 0.10 with two cores."""
    done = run_on("train", "--model", "shapes", "--against", "cpu", "--profile", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    (row,) = report["rows"]
    assert list(row["theirs_ms"]) == ["ours on 1 core"]
    assert row["ratio_fastest"] > 0
    assert row["differences"]["NumPy"] < 1e-2
    assert row["peak_mb"]["ours"] == 30
    stages = row["stages_ms"]
    assert {"backward", "update", "masks: losses", "RPN losses", "sampling"} <= set(stages)
    assert report["missing"] == []


def test_a_processor_is_not_compared_with_itself():
    done = bench("train", "--model", "shapes", "--against", "cpu")
    assert "--against cpu goes with --device cuda" in done.err
    assert "--tf32 goes with --device cuda" in bench("infer", "--tf32").err


@pytest.mark.usefixtures("gpu", "quick", "small")
def test_a_gpu_that_learns_something_else_is_noticed(monkeypatch):
    build = train.our_network

    def other(folder, where=HERE):
        model = build(folder, where)
        if where.is_gpu:
            next(iter(model.roi_heads)).beta = 1.0
        return model

    monkeypatch.setattr(train, "our_network", other)
    done = run_on("train", "--model", "shapes", "--against", "cpu", "--no-memory")
    assert done.code == 1
    assert "DISAGREE" in done.out


# ------------------------------------------------------------------ beside torch


@pytest.mark.reference
@pytest.mark.usefixtures("gpu", "quick", "torch_on_it")
def test_operations_beside_torch():
    report = run_ops(["conv3x3/2 512", "anchors"], size=(64, 64), repeat=1, place=Place.of("cuda"))
    assert report.agrees, report.as_text()
    asked = {row.group: set(row.differences) for row in report.rows}
    assert asked["conv forward"] == asked["conv backward"] == {"torch"}
    assert asked["anchors"] == {"torchvision"}
    assert [s.split(":")[0] for s in report.missing] == ["ONNX Runtime", "pycocotools"]


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.usefixtures("gpu", "quick", "torch_on_it")
def test_regions_masks_and_products_beside_torch():
    names = ["conv_transpose", "linear", "roi_align 100x", "paste", "nms 1000"]
    report = run_ops(names, size=(64, 64), repeat=1, place=Place.of("cuda"))
    assert report.agrees, report.as_text()
    assert len(report.rows) == 8


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.usefixtures("gpu", "quick", "torch_on_it")
def test_inference_beside_torchvision():
    report = infer.run_infer(size=64, repeat=1, place=Place.of("cuda"))
    assert report.agrees, report.as_text()
    (row,) = report.rows
    assert list(row.theirs) == ["torchvision"]
    assert row.peak["torchvision"] == 3 * 2**20
    assert row.details["agreement"]["torchvision"]["partners"] >= 95


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.usefixtures("gpu", "quick", "torch_on_it")
def test_training_beside_torchvision(monkeypatch):
    monkeypatch.setattr(train, "_SHAPES_BATCH", 1)
    report = train.run_train("shapes", repeat=1, memory=False, place=Place.of("cuda"))
    assert report.agrees, report.as_text()
    (row,) = report.rows
    assert set(row.differences) == {"torchvision", "NumPy"}
    assert "torchvision" in row.theirs


# ------------------------------------------------------------------ the profile


def test_stages_add_up_and_do_not_count_twice():
    queue = Queue(0)
    seen = profile.Profile(queue.clock())

    def work(milliseconds):
        queue.now += milliseconds

    with seen.stage("whole"):
        work(1)
        with seen.stage("part"):
            work(10)
            with seen.stage("whole"):
                work(100)
        work(1000)
    work(5000)  # nobody's
    with seen.stage("part"):
        work(20)
    assert seen.seconds() == pytest.approx({"whole": 1.101, "part": 0.03})


def test_a_watched_model_is_as_it_was_afterwards():
    model = build_model("maskrcnn_shapes", num_classes=4)
    before = {id(m): dict(vars(m)) for _, m in model.named_modules()}
    image = made_up(0, (64, 64), "easy").image
    stages = profile.stages_ms(model, lambda: model.predict([image]), HostClock(), 2)
    assert list(stages)[-1] == profile.REST
    assert all(ms >= 0 for ms in stages.values())
    assert {id(m): dict(vars(m)) for _, m in model.named_modules()} == before
    assert not Event().done
    assert networks.our_answer(model, [made_up(0, (64, 64), "easy")])() is not None
