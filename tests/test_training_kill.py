"""Runs in processes of their own, which are killed in the worst moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_training_loop import metrics, outcome, run

from minirnn.errors import InputError
from minirnn.training import read_checkpoint

# A child sees its moment in MOMENT: at the so-many-th passage of a place, it kills itself.
CHILD = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # one that nohup began, this
sys.path.insert(0, sys.argv[1])
from test_training_loop import run
from minirnn.errors import TrainingInterrupted
from minirnn.files import whole
from minirnn.training import log

place, _, count = os.environ.get("MOMENT", "").partition(":")
passed = {"half": 0, "before": 0, "after": 0, "metrics": 0}

def here(name):
    passed[name] += 1
    return name == place and passed[name] == int(count)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

rename, write_line, real_open = os.replace, log.MetricsLog.write, open

def replace(a, b):
    if here("before"):
        die()
    rename(a, b)
    if here("after"):
        die()

class HalfFile:
    def __init__(self, file):
        self.file, self.ends_here = file, here("half")
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def __getattr__(self, name):
        return getattr(self.file, name)
    def write(self, data):
        if self.ends_here:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            die()
        return self.file.write(data)

def write(self, record):
    if here("metrics"):
        self._lines._file.write(b'{"step": %d, "los' % record["step"])
        die()
    write_line(self, record)

os.replace = replace
log.MetricsLog.write = write
whole.open = lambda *a: HalfFile(real_open(*a))  # as a checkpoint is written

def tell(step, model):
    print(step, flush=True)
    time.sleep(float(os.environ.get("SLOW", "0")))

folder = Path(sys.argv[2])
resume = (folder / "checkpoint.safetensors").exists()
try:
    run(folder, resume=resume, overwrite=not resume, callback=tell, callback_every=1)
except TrainingInterrupted as error:
    print(error, flush=True)
    sys.exit(130)
"""


def child(folder, stderr=subprocess.PIPE, **environment):
    """A process that begins the run in the folder, or goes on with it."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def wait_for_step(process, step):
    for line in process.stdout:
        if int(line) == step:
            return
    raise AssertionError(f"ended before step {step}: {process.stderr.read()}")


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


# Passages: checkpoints are written before step 1 and after steps 4, 8 and 12.
@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("half:1", None),  # in the middle of the first checkpoint
        ("half:3", 4),  # in the middle of that of step 8
        ("before:3", 4),  # it is written, but does not have its name yet
        ("after:3", 8),  # it has it
        ("metrics:7", 4),  # in the middle of a line of metrics
    ],
)
def test_trap_37_kill_in_the_middle_of_a_write(tmp_path, whole, moment, step):
    code, _, err = finish(child(tmp_path, MOMENT=moment))
    assert code == -signal.SIGKILL, err
    path = tmp_path / "checkpoint.safetensors"
    if step is None:
        assert not path.exists()
        run(tmp_path)  # nothing was lost, and nothing is in the way
    else:
        assert read_checkpoint(path)[1]["step"] == step
        run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "metrics.jsonl"]


def test_trap_37_kill_at_any_time(tmp_path, whole):
    """Again and again, after a time that is drawn, until the run has got through."""
    rng = np.random.default_rng(0)
    path = tmp_path / "checkpoint.safetensors"
    reached = 0
    for _ in range(4):
        process = child(tmp_path, SLOW="0.02")
        process.stdout.readline()  # it has begun to train, or has nothing left to do
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        finish(process)
        step = read_checkpoint(path)[1]["step"]
        assert step >= reached
        reached = step
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, whole, number):
    process = child(tmp_path, SLOW="0.05")
    wait_for_step(process, 6)
    process.send_signal(number)
    code, out, err = finish(process)
    assert code == 130, err
    assert "stopping after this step" in err
    assert "--resume" in out
    step = read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"]
    assert 6 <= step < 12
    assert [record["step"] for record in metrics(tmp_path)] == list(range(1, step + 1))
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
def test_a_closed_terminal_loses_no_step(tmp_path, whole):
    """The shell passes SIGHUP on, and what is written to the terminal fails."""
    ours, theirs = os.openpty()
    process = child(tmp_path, SLOW="0.05", stderr=theirs)
    os.close(theirs)
    wait_for_step(process, 6)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    # 120 is Python's own: at its end it could not write what was still to be written to the terminal.
    assert process.returncode in (130, 120)
    step = read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"]
    assert 6 <= step < 12
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_two_runs_in_one_folder(tmp_path, whole):
    """The second is refused, whatever it was asked to do; the first does not notice."""
    process = child(tmp_path, SLOW="0.1")
    wait_for_step(process, 2)
    for how in ({"overwrite": True}, {"resume": True}, {}):
        with pytest.raises(InputError, match="is in use: another run"):
            run(tmp_path, **how)
    code, _, err = finish(process)
    assert code == 0, err
    assert outcome(tmp_path) == outcome(whole)
    run(tmp_path, resume=True, steps=13)  # and the lock has gone with it


def test_ctrl_c_twice_stops_at_once(tmp_path, whole):
    process = child(tmp_path, SLOW="30")
    wait_for_step(process, 1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert "stopping" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert time.monotonic() - began < 15
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


FORK = """
import os, signal, time
from minirnn.training.stop import StopRequest
with StopRequest() as stop:
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    status = os.waitpid(child, 0)[1]
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM, status
assert not stop.requested
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_can_be_ended():
    """It has inherited the handler that only makes a note, and would never end by SIGTERM."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert time.monotonic() - began < 20
