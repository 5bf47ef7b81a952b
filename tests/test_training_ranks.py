"""A training under mpiexec: the numbers of one process, and an end to everything that goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from mpi_cases import ROOT, command, environment, run
from mpi_training import Scenes, model_of, settings_of
from standin import standin

from minirnn.autograd import Tensor
from minirnn.autograd.final import when_final
from minirnn.backend import to_host
from minirnn.distributed import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.errors import InputError
from minirnn.training import read_checkpoint, train
from minirnn.training.buckets import Buckets
from minirnn.training.part import trained
from minirnn.training.ranks import begin_alike

PROGRAM = ROOT / "tests" / "mpi_training.py"


def trained_on(ranks, folder, **given):
    """Run the training of mpi_training.py on so many ranks, to its end."""
    done = run(ranks, PROGRAM, folder, json.dumps(given))
    assert done.returncode == 0, done.stderr
    return done


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return np.array([[r["total"], r["gradient_norm"], *r["losses"].values()] for r in records])


def weights(folder):
    return read_checkpoint(folder / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    train(model_of(), Scenes(), settings_of(), folder, progress=False)
    return folder


# The same numbers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a run that one process has begun."""
    folder = tmp_path_factory.mktemp("begun")
    train(model_of(), Scenes(), settings_of(steps=24), folder, progress=False, stop_at=4)
    return folder


@pytest.fixture(scope="module")
def gone_on(checkpoint, tmp_path_factory):
    """The same, which one process has gone on with to its end."""
    folder = tmp_path_factory.mktemp("gone on")
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    train(model_of(), Scenes(), settings_of(steps=24), folder, progress=False, resume=True)
    return folder


@pytest.mark.parametrize("ranks", [2, 4])
def test_twenty_steps_from_a_checkpoint_have_the_losses_of_one_process(
    ranks, tmp_path, checkpoint, gone_on
):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    done = trained_on(ranks, tmp_path, steps=24, resume=True)
    found, expected = losses(tmp_path), losses(gone_on)
    assert len(found) == 24
    np.testing.assert_array_equal(found[:4], losses(checkpoint))
    assert abs(expected[4] / expected[-1] - 1).max() > 0.1  # it has learned something
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    for name, array in weights(gone_on)[0].items():
        np.testing.assert_allclose(weights(tmp_path)[0][name], array, rtol=1e-4, atol=1e-6)
    read = [json.loads(line.partition("read ")[2]) for line in done.stdout.splitlines()]
    assert len(read) == ranks


def test_twice_the_same_bits(tmp_path):
    for name in ("one", "two"):
        trained_on(2, tmp_path / name, steps=4, dtype="float32")
    first, second = (weights(tmp_path / name)[0] for name in ("one", "two"))
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


def test_a_checkpoint_goes_on_with_another_number_of_ranks(tmp_path, alone):
    trained_on(4, tmp_path, stop_at=5)
    trained_on(2, tmp_path, resume=True, stop_at=9)
    # Its own weights are others at first: what goes on are the checkpoint's, in all ranks.
    trained_on(3, tmp_path, resume=True, stop_at=14, seed_of_model=5)
    train(model_of(7), Scenes(), settings_of(), tmp_path, resume=True, progress=False)
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-6, atol=1e-8)
    assert weights(tmp_path)[1]["step"] == 20


def test_all_begin_with_the_weights_of_the_first(tmp_path, alone):
    """Whatever the others were built with."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys; from pathlib import Path\n"
        "from mpi_training import *\n"
        "train(model_of(int(os.environ['PMI_RANK'])), Scenes(), settings_of(steps=20),\n"
        "      Path(sys.argv[1]), progress=False, stop_at=3)\n"
    )
    done = run(2, program, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(alone)[:3], rtol=1e-6, atol=1e-8)


def test_the_first_alone_writes_and_calls_back(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys; from pathlib import Path\n"
        "from mpi_training import *\n"
        "rank = os.environ['PMI_RANK']\n"
        "told = lambda *words: os.write(1, (' '.join(map(str, words)) + '\\n').encode())\n"
        "summary = train(model_of(), Scenes(), settings_of(steps=4), Path(sys.argv[1]) / rank,\n"
        "      callback=lambda step, model: told('called', rank, step), callback_every=2,\n"
        "      watch=lambda record: told('watched', rank, record['step']))\n"
        "told('ended', rank, summary.steps, round(summary.total, 6))\n"
    )
    done = run(2, program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "program.py"]
    lines = sorted(done.stdout.splitlines())
    assert lines[:2] == ["called 0 2", "called 0 4"]
    assert [line for line in lines if "watched" in line] == [f"watched 0 {k}" for k in (1, 2, 3, 4)]
    ends = [line.split() for line in lines if "ended" in line]
    assert [end[1] for end in ends] == ["0", "1"]
    assert ends[0][2:] == ends[1][2:]
    assert done.stderr.count("training:") >= 1


# What goes wrong


def failed_on(ranks, folder, **given):
    begun = time.monotonic()
    done = run(ranks, PROGRAM, folder, json.dumps(given), timeout=90)
    assert done.returncode != 0
    assert time.monotonic() - begun < 60
    return done.stderr


def test_an_image_that_one_rank_cannot_read_ends_all_and_loses_no_step(tmp_path, alone):
    told = failed_on(3, tmp_path, data={"torn": 11}, unreadable=0.0, checkpoint_every=500)
    (line,) = {line for line in told.splitlines() if re.search(r"InputError: rank \d of 3", line)}
    assert "picture 11 is torn" in line
    step = weights(tmp_path)[1]["step"]
    assert step == len(losses(tmp_path))
    np.testing.assert_allclose(losses(tmp_path), losses(alone)[:step], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_bug_in_one_rank_ends_all_and_loses_no_step(rank, tmp_path):
    told = failed_on(2, tmp_path, act="raise", rank=rank, at=3)
    assert "a bug of this rank" in told
    if rank:
        assert re.search(r"WorkerError: rank 1 of 2, on \S+: KeyError: 'a bug of this rank'", told)
    assert weights(tmp_path)[1]["step"] == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_the_middle_of_the_gradients_ends_all_and_loses_no_step(rank, tmp_path):
    """Others have handed in sums by then, and wait for this rank's."""
    told = failed_on(2, tmp_path, act="backward", rank=rank, at=3)
    assert "too little for this gradient" in told
    assert "DivergenceError" not in told
    assert weights(tmp_path)[1]["step"] == 3


def test_a_signal_to_one_rank_stops_all_after_the_same_step(tmp_path, alone):
    told = failed_on(3, tmp_path, act="stop", rank=2, at=4)
    assert "stopped after step" in told
    assert told.count("holds everything") <= 1 + told.count("TrainingInterrupted")
    step = weights(tmp_path)[1]["step"]
    assert 4 <= step <= 6
    trained_on(2, tmp_path, resume=True)
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-6, atol=1e-8)


def test_losses_that_are_not_finite_are_found_by_all_and_name_all_images(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from pathlib import Path\n"
        "from mpi_training import *\n"
        "model = model_of()\n"
        "model.roi_heads.box_predictor.cls_score.bias.data[:] = np.nan\n"
        "train(model, Scenes(), settings_of(), Path(sys.argv[1]), progress=False)\n"
    )
    done = run(2, program, tmp_path / "run")
    assert done.returncode != 0
    (images,) = set(re.findall(r"at step 1, with images ([\d, ]+);", done.stderr))
    assert len(images.split(", ")) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"batch_size": 2},
            "batch_size (--batch-size) is 2, the images of the whole batch, and 3 ranks",
        ),
        ({"processes": 2}, "processes is 2, but 3 ranks share out the batch already"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(given, message, tmp_path):
    assert message in failed_on(3, tmp_path, **given)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_other_data_on_another_machine_are_refused(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys; from pathlib import Path\n"
        "from mpi_training import *\n"
        "train(model_of(), Scenes(12 - int(os.environ['PMI_RANK'])), settings_of(),\n"
        "      Path(sys.argv[1]), progress=False)\n"
    )
    told = run(2, program, tmp_path / "run").stderr
    assert re.search(
        r"rank 1 of 2, on \S+: the data set of this rank, with 11 images, differ", told
    )


def test_ctrl_c_of_mpiexec_keeps_all_steps(tmp_path, alone):
    program = [PROGRAM, tmp_path, json.dumps({"slow": 0.05})]
    process = subprocess.Popen(
        command(2, *program),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = tmp_path / "metrics.jsonl"
    end = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert "stopped after step" in told
    step = weights(tmp_path)[1]["step"]
    assert 1 <= step < 20
    assert step == len(losses(tmp_path))
    trained_on(3, tmp_path, resume=True)
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-6, atol=1e-8)


# Gradients on their way


class Two(Communicator):
    """This rank and an absent other one, whose every buffer holds the same number."""

    size = 2

    def __init__(self, other=0.0):
        self.begun, self.other = [], other

    def gather(self, obj):
        return [obj, obj]

    def broadcast(self, obj):
        return obj

    def begin_all_reduce(self, buffer):
        self.begun.append(buffer.copy())

        def wait():
            buffer[...] += self.other

        return wait

    def close(self):
        pass


def test_gradients_are_told_when_they_are_complete_and_not_before():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    early = Tensor(np.array([3.0, 4.0]), requires_grad=True)
    unused, frozen = Tensor(np.ones(2), requires_grad=True), Tensor(np.ones(2))
    middle = x * early + x
    loss = ((middle * frozen) * early + early).sum()
    told = {}
    order = []

    def tell(tensor, gradient):
        assert tensor.grad is None
        told[id(tensor)] = gradient.copy()
        order.append(tensor)

    when_final(loss, tell)
    loss.backward()
    assert len(told) == 2
    for tensor in (x, early):
        np.testing.assert_array_equal(told[id(tensor)], tensor.grad)
    assert unused.grad is None
    assert frozen.grad is None


def test_of_a_network_the_last_layers_leave_first():
    model = model_of(freeze=False)
    images = [Scenes()[k] for k in range(2)]
    found = model.losses([s.image for s in images], [s.target for s in images])
    loss = sum(found.values(), start=0.0)
    order, told = [], {}
    names = {id(tensor): name for name, tensor in model.named_parameters()}

    def tell(tensor, gradient):
        order.append(names[id(tensor)])
        told[names[id(tensor)]] = gradient.copy()

    when_final(loss, tell)
    loss.backward()
    for name, tensor in model.named_parameters():
        np.testing.assert_array_equal(told[name], tensor.grad)
    of = {part: [i for i, name in enumerate(order) if part in name] for part in ("body", "heads")}
    assert max(of["heads"]) < min(of["body"])


def tensors_of(*shapes):
    return [Tensor(np.zeros(shape), requires_grad=True) for shape in shapes]


def test_a_bucket_leaves_when_it_is_full_and_never_before_its_turn():
    ranks = Two(other=1.0)
    a, b, c, d = tensors_of((2,), (3, 2), (4,), (1,))
    buckets = Buckets([a, b, c, d], ranks, size=40)  # d and c together, b, a: in this order
    buckets.begin()
    buckets.put(b, np.full((3, 2), 2.0))
    buckets.put(d, np.full(1, 4.0))
    assert not ranks.begun  # b's is full, but not the first
    buckets.put(c, np.full(4, 3.0))
    assert len(ranks.begun) == 2
    assert buckets.finish()
    assert len(ranks.begun) == 3
    assert [buffer.size for buffer in ranks.begun] == [4 + 1 + 2 + 1, 6 + 1 + 1, 2 + 1 + 1]
    for tensor, own in ((a, 0), (b, 2), (c, 3), (d, 4)):  # a has come from the other rank only
        np.testing.assert_array_equal(tensor.grad, np.full(tensor.shape, own + 1.0))
    assert buckets.nbytes == sum(buffer.nbytes for buffer in ranks.begun)


def test_a_parameter_that_no_rank_has_a_gradient_of_has_none():
    a, b = tensors_of((2,), (3,))
    ranks = Two()
    ranks.size = 1
    buckets = Buckets([a, b], ranks)
    for step in range(2):
        a.grad = b.grad = None
        buckets.begin()
        if step == 0:
            buckets.put(a, np.ones(2))
        buckets.put(b, np.full(3, 2.0))
        assert buckets.finish()
        assert (a.grad is None) == (step == 1)  # nothing is left of the step before
        np.testing.assert_array_equal(b.grad, np.full(3, 2.0))


def test_sums_are_added_to_the_gradients_that_are_there():
    a, b = tensors_of((2,), (3,))
    buckets = Buckets([a, b], Two(other=1.0))
    for _ in range(2):  # the second time what is there lies in the buckets themselves
        buckets.begin()
        buckets.put(a, np.full(2, 2.0))
        buckets.finish()
    np.testing.assert_array_equal(a.grad, np.full(2, 6.0))
    np.testing.assert_array_equal(b.grad, np.full(3, 2.0))


def test_what_is_not_there_changes_no_bit_of_what_is():
    """0 + -0 is 0, but -0 + -0 is -0."""
    a, b = tensors_of((2,), (3,))
    buckets = Buckets([a, b], Two(other=-0.0))
    buckets.begin()
    buckets.finish()
    assert np.signbit(buckets._buckets[0]._views[0]).all()


def test_a_rank_that_has_failed_hands_in_the_rest_and_says_so():
    a, b = tensors_of((2,), (3,))
    buckets = Buckets([a, b], Two(other=1.0), size=1)
    buckets.begin()
    buckets.put(b, np.ones(3))
    assert not buckets.finish(whole=False)
    assert a.grad is None


def test_sums_lie_in_memory_as_their_parameters():
    weight = Tensor(np.zeros((3, 3, 2, 4)).transpose(3, 2, 0, 1), requires_grad=True)
    buckets = Buckets([weight], Two(other=1.0))
    buckets.begin()
    gradient = np.arange(72.0).reshape(4, 2, 3, 3)
    buckets.put(weight, gradient)
    buckets.finish()
    np.testing.assert_array_equal(weight.grad, gradient + 1)
    assert weight.grad.strides == weight.data.strides


def test_parameters_of_several_kinds_are_refused():
    with pytest.raises(InputError, match="several kinds"):
        Buckets([Tensor(np.zeros(2)), Tensor(np.zeros(2, np.float32))], Alone())


def test_alone_nothing_is_checked_or_copied():
    model = model_of()
    assert begin_alike(Alone(), model, None, [], settings_of(batch_size=1), 7) == 7
    assert len(trained(model)) > 10


def test_gradients_of_a_gpu_are_added_up_on_the_host_where_ranks_cannot_on_the_gpu():
    tensor = Tensor(standin.asarray(np.zeros((2, 3))), requires_grad=True)
    ranks = Two(other=1.0)
    buckets = Buckets([tensor], ranks)
    buckets.begin()
    buckets.put(tensor, standin.asarray(np.full((2, 3), 2.0)))
    assert buckets.finish()
    assert type(ranks.begun[0]) is np.ndarray
    assert type(tensor.grad) is type(tensor.data)
    np.testing.assert_array_equal(to_host(tensor.grad), np.full((2, 3), 3.0))
