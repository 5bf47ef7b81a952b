"""The training loop, with a model of 20 numbers that is trained in microseconds."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from minirnn.autograd import OPERATIONS, differentiable
from minirnn.backend import to_host, xp_of
from minirnn.data.sample import Sample, Target
from minirnn.errors import DivergenceError, InputError, TrainingInterrupted
from minirnn.nn import Module, parameter
from minirnn.training import TrainingSettings, learning_rate, read_checkpoint, train
from minirnn.training.step import step_rng
from minirnn.training.stop import StopRequest

TIMES = ("seconds", "images_per_s", "elapsed")


@dataclass(frozen=True)
class TinyConfig:
    width: int = 4


class Norm(Module):
    is_normalisation = True

    def __init__(self, xp):
        self.weight = parameter(xp.ones(4, dtype=np.float32))


class Stem(Module):
    def __init__(self, xp):
        self.bias = parameter(xp.ones(3, dtype=np.float32))


class TinyModel(Module):
    """colour ↦ (colour - stem) W · norm; has all that `train` asks of a model."""

    device = "cpu"

    def __init__(self, xp=np, value=0.3):
        self.config = TinyConfig()
        self.stem = Stem(xp)
        self.stem.freeze()
        self.weight = parameter(xp.asarray(np.full((3, 4), value, np.float32)))
        self.norm = Norm(xp)
        self.running = xp.ones(2, dtype=np.float32)

    def losses(self, images, targets, rng):
        xp = xp_of(self.weight.data)
        colours = np.stack([image.mean(axis=(0, 1)) / 255 for image in images])
        drawn = [of_image.normal(size=3) for of_image in rng]  # as scales and samples are drawn
        colours = colours + np.stack(drawn) / 10
        colours = xp.asarray(colours.astype(np.float32)) - self.stem.bias.data
        goal = xp.asarray(np.array([[t.image_id] * 4 for t in targets], np.float32)) / 10
        return {
            "roi_box": tiny_distance(self.weight, self.norm.weight, colours, goal),
            "mask": tiny_distance(self.weight, self.norm.weight, colours, goal * 0),
        }


@differentiable
def tiny_distance(weight, scale, x, goal):
    before = x @ weight
    error = before * scale - goal
    slope = 2 * error / error.size

    def to_weight(dy):
        return x.T @ (dy * slope * scale)

    return (error * error).mean(), (
        to_weight,
        lambda dy: (dy * slope * before).sum(axis=0),
        None,
        None,
    )


OPERATIONS.pop("tiny_distance")  # it is no operation of the library


class TinyData:
    """Eight pictures of 4 pixels."""

    def __init__(self, count=8):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = np.random.default_rng(index).integers(0, 256, (2, 2, 3)).astype(np.uint8)
        return Sample(
            image,
            Target(
                boxes=np.zeros((0, 4), np.float32),
                labels=np.zeros(0, np.int64),
                masks=np.zeros((0, 2, 2), bool),
                is_crowd=np.zeros(0, bool),
                image_id=100 + index,
                file_name=f"picture{index}.png",
            ),
        )


def make_settings(**changes):
    """Settings under which every part of a step has its effect."""
    return TrainingSettings(
        **{
            "steps": 12,
            "batch_size": 3,
            "learning_rate": 0.05,
            "warmup_steps": 3,
            "clip_norm": 1.0,
            "schedule": "step",
            "milestones": (5, 9),
            "checkpoint_every": 4,
            "workers": 0,
            **changes,
        }
    )


PASSED = (
    "resume",
    "overwrite",
    "other_data",
    "callback",
    "callback_every",
    "make_loader",
    "preset",
    "stop_at",
    "best_by",
    "patience",
    "watch",
)


def run(folder, *, model=None, data=None, progress=False, **changes):
    passed = {name: changes.pop(name) for name in PASSED if name in changes}
    model = model or TinyModel()
    return train(
        model, data or TinyData(), make_settings(**changes), folder, progress=progress, **passed
    )


def metrics(folder, times=False):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if not times:
        for record in records:
            for name in TIMES:
                del record[name]
    return records


def outcome(folder):
    """All that a run leaves, bit for bit, but for the times."""
    return (folder / "checkpoint.safetensors").read_bytes(), metrics(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


# ------------------------------------------------------------------- one run


def test_a_run_leaves_checkpoint_and_metrics(tmp_path):
    summary = run(tmp_path, preset="tiny")
    records = metrics(tmp_path, times=True)
    assert [r["step"] for r in records] == list(range(1, 13))
    for k, record in enumerate(records):
        assert set(record["losses"]) == {"roi_box", "mask"}
        assert record["total"] == math.fsum(record["losses"].values())
        assert record["learning_rate"] == learning_rate(k, make_settings())
        assert record["gradient_norm"] > 0
        assert record["images_per_s"] == pytest.approx(3 / record["seconds"])
    assert summary.steps == 12
    assert summary.losses == records[-1]["losses"]
    assert summary.total == records[-1]["total"]
    assert summary.seconds == records[-1]["elapsed"] == pytest.approx(sum_of(records, "seconds"))
    arrays, metadata = read_checkpoint(summary.checkpoint)
    assert set(arrays) == {"weight", "norm.weight", "stem.bias", "running"}
    assert (metadata["step"], metadata["preset"], metadata["images"]) == (12, "tiny", 8)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "metrics.jsonl"]


def sum_of(records, name):
    return math.fsum(record[name] for record in records)


def test_training_lowers_the_loss(tmp_path):
    run(tmp_path, steps=200, clip_norm=0, schedule="cosine", log_every=200, checkpoint_every=200)
    run(tmp_path / "first", steps=1)
    assert metrics(tmp_path)[-1]["total"] < 0.6 * metrics(tmp_path / "first")[0]["total"]


def test_a_step_is_the_formula(tmp_path):
    """Two steps by hand: warm-up, clipping, momentum, weight decay."""
    run(tmp_path, steps=2, clip_norm=0.5)
    settings = make_settings(steps=2)
    from minirnn.data.loader import Loader

    loader = Loader(TinyData(), 3, steps=2, seed=0, flip=settings.flip)
    model = TinyModel()
    weights = [model.weight, model.norm.weight]
    speeds = [np.zeros_like(t.data) for t in weights]
    for k, batch in enumerate(loader):
        rngs = step_rng(0, k).spawn(len(batch))
        losses = model.losses([s.image for s in batch], [s.target for s in batch], rngs)
        for tensor in weights:
            tensor.grad = None
        for term in losses.values():
            term.backward()
        norm = math.sqrt(sum((t.grad.astype(float) ** 2).sum() for t in weights))
        for i, (tensor, decay) in enumerate(zip(weights, (1e-4, 0.0), strict=True)):
            gradient = tensor.grad * min(1, 0.5 / norm) + decay * tensor.data
            speeds[i] = 0.9 * speeds[i] + gradient
            tensor.data = tensor.data - learning_rate(k, settings) * speeds[i]
    arrays, _ = read_checkpoint(tmp_path / "checkpoint.safetensors")
    np.testing.assert_allclose(arrays["weight"], model.weight.data, rtol=1e-5)
    np.testing.assert_allclose(arrays["norm.weight"], model.norm.weight.data, rtol=1e-5)


def test_same_seed_same_numbers(tmp_path, whole):
    run(tmp_path)
    assert outcome(tmp_path) == outcome(whole)


def test_another_seed_other_numbers(tmp_path, whole):
    run(tmp_path, seed=1)
    assert metrics(tmp_path)[0]["total"] != metrics(whole)[0]["total"]


def test_processes_that_make_batches_change_no_number(tmp_path, whole):
    run(tmp_path, workers=1)
    assert metrics(tmp_path) == metrics(whole)
    read = [read_checkpoint(folder / "checkpoint.safetensors")[0] for folder in (tmp_path, whole)]
    assert all(read[0][name].tobytes() == array.tobytes() for name, array in read[1].items())


def test_step_rng_repeats_and_differs():
    assert step_rng(0, 5).random() == step_rng(0, 5).random()
    draws = {step_rng(seed, step).random() for seed in range(3) for step in range(20)}
    draws |= {
        np.random.default_rng([0, stream, k]).random() for stream in (0, 1) for k in range(20)
    }
    assert len(draws) == 100


def test_runs_on_a_device(tmp_path, xp):
    model = TinyModel(xp)
    run(tmp_path, model=model)
    run(tmp_path / "host")
    expected, _ = read_checkpoint(tmp_path / "host" / "checkpoint.safetensors")
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(to_host(array), expected[name], rtol=1e-4)
    run(tmp_path, model=TinyModel(xp), resume=True, steps=13)


def test_frozen_parameters_keep_every_bit(tmp_path):
    model = TinyModel()
    before = model.stem.bias.data.tobytes()
    run(tmp_path, model=model, weight_decay=0.1)
    assert model.stem.bias.data.tobytes() == before


def test_the_bar_shows_losses_and_time(tmp_path, capsys):
    run(tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "roi_box" in shown
    assert "step/s" in shown
    run(tmp_path, overwrite=True)
    assert capsys.readouterr().err == ""


def test_log_every(tmp_path):
    run(tmp_path, log_every=5)
    assert [r["step"] for r in metrics(tmp_path)] == [5, 10, 12]


def test_metrics_can_be_read_as_they_are_written(tmp_path):
    seen = []
    run(tmp_path, callback=lambda *_: seen.append(len(metrics(tmp_path))), callback_every=5)
    assert seen == [4, 9, 11]  # the lines before the one that waits for the evaluation


def test_callback(tmp_path):
    calls = []
    model = TinyModel()

    def evaluate(step, given):
        calls.append((step, given is model))
        return {"AP": np.float32(0.5), "by class": np.zeros(2)} if step == 5 else None

    run(tmp_path, model=model, callback=evaluate, callback_every=5, log_every=4)
    assert calls == [(5, True), (10, True), (12, True)]
    records = metrics(tmp_path)
    assert [r["step"] for r in records] == [4, 5, 8, 12]
    assert records[1]["evaluation"] == {"AP": 0.5, "by class": [0.0, 0.0]}
    assert "evaluation" not in records[3]


# ---------------------------------------------------------- stopping, going on


@pytest.mark.parametrize("stop", [1, 4, 6, 11])
@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_trap_37_n_steps_resume_m_steps(tmp_path, stop, schedule):
    """n steps, and then m in another process' place, equal n + m: bit for bit."""
    run(tmp_path / "whole", schedule=schedule)
    run(tmp_path / "parts", schedule=schedule, steps=stop)
    run(tmp_path / "parts", schedule=schedule, resume=True, model=TinyModel(value=9.0))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("stop", [1, 6])
def test_trap_37_stop_at_keeps_the_schedule(tmp_path, stop):
    run(tmp_path / "whole", schedule="cosine")
    summary = run(tmp_path / "parts", schedule="cosine", stop_at=stop)
    assert summary.steps == stop
    run(tmp_path / "parts", schedule="cosine", resume=True, model=TinyModel(value=9.0))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_stop_at_must_be_a_step(tmp_path):
    with pytest.raises(InputError, match=r"stop_at \(--stop-at\) is 0"):
        run(tmp_path, stop_at=0)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_trap_37_an_error_in_between_loses_no_step(tmp_path, error, schedule):
    def fail(step, model):
        raise error

    run(tmp_path / "whole", schedule=schedule)
    with pytest.raises(error):
        run(tmp_path / "parts", schedule=schedule, callback=fail, callback_every=6)
    assert read_checkpoint(tmp_path / "parts" / "checkpoint.safetensors")[1]["step"] == 6
    run(tmp_path / "parts", schedule=schedule, resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


class FailsAt(TinyModel):
    """Raises in step `at`, in the middle of the backward pass."""

    def __init__(self, at, error):
        super().__init__()
        self.at, self.error, self.calls = at, error, 0

    def losses(self, images, targets, rng):
        losses = super().losses(images, targets, rng)
        self.calls += 1
        if self.calls == self.at:
            mask = losses["mask"]
            raising = mask._node.vjps[0]

            def fail(dy):
                raising(dy)
                raise self.error

            mask._node.vjps = (fail, mask._node.vjps[1])
        return losses


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped])
def test_an_error_within_a_step_discards_the_step(tmp_path, whole, error):
    with pytest.raises(error):
        run(tmp_path, model=FailsAt(7, error))
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 6
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_weights_between_two_steps_are_never_saved(tmp_path, whole, monkeypatch):
    """Interrupted while the optimiser works, the last whole checkpoint stays."""
    from minirnn.training import optimiser

    count = 0
    real = optimiser.sgd_steps

    def fail(*arrays, weight_decays, **formula):
        nonlocal count
        count += 1
        if count == 7:  # of step 7 the first parameter, and no more
            real(*arrays[:3], weight_decays=weight_decays[:1], **formula)
            raise KeyboardInterrupt
        real(*arrays, weight_decays=weight_decays, **formula)

    monkeypatch.setattr(optimiser, "sgd_steps", fail)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 4
    assert [r["step"] for r in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_metrics_beyond_the_checkpoint_are_cut_off(tmp_path, whole):
    run(tmp_path, steps=8)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        for step in (9, 10):
            record = {"step": step, "losses": {}, "total": -1, "elapsed": 0}
            file.write(json.dumps(record) + "\n")
        file.write('{"step": 11, "loss')  # killed in the middle of a line
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_a_missing_end_of_line_joins_no_two_lines(tmp_path, whole):
    run(tmp_path, steps=8)
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(file.read_bytes().rstrip())
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_elapsed_goes_on(tmp_path):
    run(tmp_path, steps=8)
    before = metrics(tmp_path, times=True)[-1]["elapsed"]
    summary = run(tmp_path, resume=True)
    records = metrics(tmp_path, times=True)
    assert records[8]["elapsed"] == pytest.approx(before + records[8]["seconds"])
    assert summary.seconds == pytest.approx(sum_of(records, "seconds"))


def test_a_run_that_has_ended_has_nothing_to_go_on_with(tmp_path):
    first = run(tmp_path)
    before = outcome(tmp_path)
    again = run(tmp_path, model=TinyModel(value=9.0), resume=True)
    assert outcome(tmp_path) == before
    assert (again.steps, again.losses, again.total) == (12, first.losses, first.total)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_between_two_steps(tmp_path, whole, number, capsys):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(step, model):
        if step == 6:
            signal.raise_signal(number)

    with pytest.raises(
        TrainingInterrupted, match=r"stopped after step 6 of 12.*--resume"
    ) as caught:
        run(tmp_path, callback=interrupt, callback_every=1)
    assert caught.value.step == 6
    assert isinstance(caught.value, KeyboardInterrupt)
    assert "--resume" in capsys.readouterr().err
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert len(metrics(tmp_path)) == 6
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_a_signal_in_the_last_step_is_heard(tmp_path):
    """The caller's next command is not what was wanted."""
    with pytest.raises(TrainingInterrupted, match="after step 12 of 12"):
        run(tmp_path, callback=lambda *_: signal.raise_signal(signal.SIGINT), callback_every=12)
    assert run(tmp_path, resume=True).steps == 12


def test_processes_that_end_with_ctrl_c_are_no_error(tmp_path, whole):
    """A terminal sends Ctrl-C to the loader's processes, too."""

    class Dies(ListLoader):
        def __iter__(self):
            for k, batch in enumerate(super().__iter__()):
                if k == 6:
                    signal.raise_signal(signal.SIGINT)
                    raise RuntimeError("a process died")
                yield batch

    with pytest.raises(TrainingInterrupted, match="after step 6") as caught:
        run(tmp_path, make_loader=Dies)
    assert isinstance(caught.value.__cause__, RuntimeError)
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_the_second_signal_stops_at_once():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_trains_in_a_thread(tmp_path, whole):
    """Where there are no signals."""
    thread = threading.Thread(target=run, args=(tmp_path,))
    thread.start()
    thread.join()
    assert outcome(tmp_path) == outcome(whole)


# ------------------------------------------------------------- the run's folder


def test_a_run_is_not_overwritten_unasked(tmp_path, whole):
    run(tmp_path, seed=3)
    before = outcome(tmp_path)
    with pytest.raises(InputError, match=r"holds a run already \(checkpoint.*metrics"):
        run(tmp_path)
    assert outcome(tmp_path) == before
    run(tmp_path, overwrite=True)
    assert outcome(tmp_path) == outcome(whole)


def test_metrics_alone_are_a_run_too(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match="holds a run already"):
        run(tmp_path)


def test_bad_data_do_not_cost_the_run_before(tmp_path):
    run(tmp_path)
    before = outcome(tmp_path)
    with pytest.raises(InputError, match="empty"):
        train(TinyModel(), TinyData(0), make_settings(), tmp_path, overwrite=True, progress=False)
    assert outcome(tmp_path) == before


def test_nothing_to_resume(tmp_path):
    with pytest.raises(InputError, match="there is no run to resume"):
        run(tmp_path / "typo", resume=True)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "seed was 0, now 5"),
        ({"data": TinyData(9)}, "the data set had 8 images, now 9"),
        ({"steps": 2}, "12 steps were taken already, now steps is 2"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path, changes, message):
    run(tmp_path)
    before = outcome(tmp_path)
    with pytest.raises(InputError, match=message):
        run(tmp_path, resume=True, **changes)
    assert outcome(tmp_path) == before


def test_changed_data_are_not_gone_on_with_unless_that_is_wanted(tmp_path, whole):
    def data(fingerprint):
        made = TinyData()
        made.fingerprint = fingerprint
        return made

    run(tmp_path, data=data("as it was"), stop_at=4)
    run(tmp_path, data=data("as it was"), resume=True, stop_at=6)
    with pytest.raises(InputError, match=r"the data set has changed .*other_data"):
        run(tmp_path, data=data("other labels"), resume=True)
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 6
    run(tmp_path, data=data("other labels"), resume=True, other_data=True)
    assert metrics(tmp_path) == metrics(whole)
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["data"] == "other labels"


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; it should be the run's folder"):
        run(tmp_path / "file")


def test_a_run_in_another_thread_of_this_process_keeps_its_folder(tmp_path):
    def begin_another(step, model):
        if step == 1:
            with pytest.raises(InputError, match="is in use: another run"):
                run(tmp_path, overwrite=True)

    run(tmp_path, callback=begin_another, callback_every=1)


def test_an_error_on_the_way_gives_the_folder_back(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, model=FailsAt(2, Stopped))
    run(tmp_path, resume=True)


def test_a_negative_callback_every(tmp_path):
    with pytest.raises(InputError, match="callback_every is -1"):
        run(tmp_path, callback_every=-1)


# ------------------------------------------------------------------ divergence


class Spoiled(TinyModel):
    """In step `at`, a loss or a gradient is not finite."""

    def __init__(self, at, value, where):
        super().__init__()
        self.at, self.value, self.where, self.calls = at, value, where, 0

    def losses(self, images, targets, rng):
        losses = super().losses(images, targets, rng)
        self.calls += 1
        if self.calls == self.at and self.where == "loss":
            losses["mask"].data = np.float32(self.value)
        elif self.calls == self.at:
            to_weight, to_scale = losses["mask"]._node.vjps
            losses["mask"]._node.vjps = (
                to_weight,
                lambda dy: to_scale(dy) + np.float32(self.value),
            )
        return losses


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("where", "term", "words"),
    [("loss", "mask", "loss mask is "), ("gradient", "norm.weight", "gradient of norm.weight")],
)
@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_trap_39_not_finite(tmp_path, whole, value, where, term, words, clip_norm):
    model = Spoiled(7, value, where)
    with pytest.raises(DivergenceError, match=words) as caught:
        run(tmp_path, model=model, clip_norm=clip_norm)
    error = caught.value
    assert isinstance(error, FloatingPointError)
    assert (error.term, error.step) == (term, 7)
    assert "at step 7" in str(error)
    assert "holds the weights after 4 steps" in str(error)

    from minirnn.data.loader import Loader

    batch = next(iter(Loader(TinyData(), 3, steps=7, start_step=6, seed=0)))
    names = [f"{s.target.image_id} ({s.target.file_name})" for s in batch]
    assert list(error.images) == names
    assert ", ".join(names) in str(error)

    # The weights are those that six steps without it lead to.
    reference = TinyModel()
    run(tmp_path / "six", model=reference, steps=6, clip_norm=clip_norm)
    for name, array in reference.state_dict().items():
        assert model.state_dict()[name].tobytes() == array.tobytes()
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 4
    assert [r["step"] for r in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_large_but_finite_goes_on(tmp_path):
    model = Spoiled(7, 1e25, "gradient")  # its square is beyond float32
    run(tmp_path, model=model)
    assert metrics(tmp_path)[6]["gradient_norm"] == pytest.approx(2e25, rel=1e-3)


# ------------------------------------------------------------------ the loader


class ListLoader:
    """Batches made when asked for; notes whether it was closed."""

    made: list = []  # noqa: RUF012

    def __init__(self, dataset, batch_size, *, steps, start_step, seed, flip, workers, timeout):
        from minirnn.data.loader import Loader

        self.loader = Loader(
            dataset, batch_size, steps=steps, start_step=start_step, seed=seed, flip=flip
        )
        self.closed = False
        self.made.append(self)

    def __iter__(self):
        return iter(self.loader)

    def close(self):
        self.closed = True


def test_the_loader_is_closed_in_any_case(tmp_path):
    ListLoader.made.clear()
    run(tmp_path / "a", make_loader=ListLoader)
    with pytest.raises(Stopped):
        run(tmp_path / "b", make_loader=ListLoader, model=FailsAt(2, Stopped))
    with pytest.raises(DivergenceError):
        run(tmp_path / "c", make_loader=ListLoader, model=Spoiled(2, math.nan, "loss"))
    assert [loader.closed for loader in ListLoader.made] == [True, True, True]


def test_a_loader_is_asked_for_changes_where_they_are_wanted(tmp_path):
    from minirnn.training.helpers import CHANGES

    asked = []

    def make(*arguments, **settings):
        asked.append({name: settings.pop(name) for name in CHANGES if name in settings})
        return ListLoader(*arguments, **settings)

    run(tmp_path / "a", make_loader=make, steps=1)
    run(tmp_path / "b", make_loader=make, steps=1, crop=0.5)
    run(tmp_path / "c", make_loader=make, steps=1, colour=0.4)
    assert asked == [{}, {"crop": 0.5}, {"colour": 0.4}]


def test_a_loader_that_runs_dry(tmp_path):
    class Short(ListLoader):
        def __iter__(self):
            yield from list(super().__iter__())[:5]

    with pytest.raises(RuntimeError, match="no batch for step 6"):
        run(tmp_path, make_loader=Short)
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 5


def test_a_broken_image_loses_no_step(tmp_path):
    class Broken(TinyData):
        def __getitem__(self, index):
            if index == 3:
                raise InputError("picture3.png is broken")
            return super().__getitem__(index)

    with pytest.raises(InputError, match=r"picture3.*\n.*holds the weights after \d+ steps"):
        run(tmp_path, data=Broken(), unreadable=0)
    taken = [r["step"] for r in metrics(tmp_path)]
    step = read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"]
    assert taken == list(range(1, step + 1))
