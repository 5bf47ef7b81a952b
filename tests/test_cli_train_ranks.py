"""`mpiexec -n 3 minirnn train …`: said once, saved once, and told whose end it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mpi_cases import command, environment, run

from minirnn.training import read_checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="mpiexec and signals are POSIX's")
SMALL = ("--batch-size", "4", "--set", "workers=0", "--set", "log_every=1")
#: So that whatever ends it, it is in the middle of its work.
LONG = ("--steps", "10000", "--set", "checkpoint_every=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    words = ("data", "shapes", "--out", folder, "--train", "8", "--val", "4", "--size", "64")
    subprocess.run(
        [sys.executable, "-m", "minirnn", *map(str, words)], check=True, env=environment()
    )
    return folder


def words(data, out, *more):
    network = ("--data", data, "--preset", "maskrcnn_shapes", "--out", out)
    return ("-m", "minirnn", "train", *network, *SMALL, *more)


def steps_of(out):
    return read_checkpoint(out / "checkpoint.safetensors")[1]["step"]


def begun(data, out, ranks, *more):
    """A training that has taken some steps and goes on."""
    process = subprocess.Popen(
        command(ranks, *words(data, out, *LONG, *more)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics, end = out / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def worker_of(process, rank):
    """The process that does a rank's work: of the two of its rank, the other's child."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            told = (path / "environ").read_bytes().split(b"\0")
            parent = int(re.search(r"PPid:\s*(\d+)", (path / "status").read_text())[1])
            args = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if f"PMI_RANK={rank}".encode() in told and str(process.args[-1]).encode() in args:
            found[int(path.name)] = parent
    (worker,) = [pid for pid, parent in found.items() if parent in found]
    return worker


def test_it_is_said_once_and_saved_once(data, tmp_path):
    out = tmp_path / "run"
    done = run(3, *words(data, out, "--steps", "3", "--evaluate-every", "3", "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3
    assert done.stderr.count("3 ranks share out each batch: 3 on ") == 1
    assert done.stderr.count("step 3: box AP") == 1
    settings = read_checkpoint(out / "checkpoint.safetensors")[1]["settings"]
    assert (settings["batch_size"], settings["processes"]) == (4, 1)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3]
    more = run(2, "-m", "minirnn", "train", "--resume", "--out", out, "--steps", "4")
    assert more.returncode == 0, more.stderr
    assert steps_of(out) == 4


def test_what_is_wrong_is_said_once(data, tmp_path):
    for more, code, message in (
        (
            ("--batch-size", "2"),
            1,
            "--batch-size) is 2, the images of the whole batch, and 3 ranks",
        ),
        (("--data", "nowhere"), 1, "nowhere: there is no such folder"),
        (("--stepss", "2"), 2, "No such option"),
    ):
        done = run(3, *words(data, tmp_path / "run", *more))
        assert done.returncode == code
        assert done.stderr.count("minirnn: error") == 1, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for ranks in /proc")
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_is_killed_ends_all_and_is_named(rank, data, tmp_path):
    out = tmp_path / "run"
    process = begun(data, out, 3)
    worker = worker_of(process, rank)
    os.kill(worker, signal.SIGKILL)
    since = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - since < 30
    assert process.returncode != 0
    host = os.uname().nodename
    assert (
        f"minirnn: error: rank {rank} of 3, on {host} (process {worker}), was ended by SIGKILL"
        in told
    )
    assert told.count("was ended by") == 1
    assert not Path(f"/proc/{worker}").exists()
    step = steps_of(out)
    assert step % 2 == 0
    done = run(2, "-m", "minirnn", "train", "--resume", "--out", out, "--steps", step + 1)
    assert done.returncode == 0, done.stderr
    assert steps_of(out) == step + 1


@pytest.mark.parametrize("how", ["a signal", "a terminal"])
def test_ctrl_c_keeps_all_steps(how, data, tmp_path):
    """kill -INT of mpiexec; and the key, which a terminal sends to all that run in it."""
    out = tmp_path / "run"
    if how == "a signal":
        process = begun(data, out, 2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        code = process.returncode
    else:
        code, told = in_a_terminal(command(2, *words(data, out, *LONG)), out)
    assert code == 130
    assert told.count("stopping after this step") == 1
    assert told.count("holds everything") == 1
    assert "Traceback" not in told
    step = steps_of(out)
    assert step == (out / "metrics.jsonl").read_text().count("\n")


def in_a_terminal(words, out):
    """Run a command in a terminal of its own, and press Ctrl-C once it has taken some steps."""
    pty = pytest.importorskip("pty")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(words[0], words, environment())
    told, pressed, end = b"", False, time.monotonic() + 120
    metrics = out / "metrics.jsonl"
    os.set_blocking(terminal, False)
    while time.monotonic() < end:
        if not pressed and metrics.exists() and metrics.read_text().count("\n") >= 3:
            os.write(terminal, b"\x03")
            pressed = True
        try:
            told += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # its end
            break
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), told.decode(errors="replace")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for ranks in /proc")
def test_a_rank_that_is_stopped_is_named_and_waited_for(data, tmp_path):
    out = tmp_path / "run"
    process = begun(data, out, 2)
    worker = worker_of(process, 1)
    named = f"minirnn: rank 1 of 2, on {os.uname().nodename} (process {worker}), "

    def steps():
        return (out / "metrics.jsonl").read_text().count("\n")

    os.kill(worker, signal.SIGSTOP)
    told = next(line for line in process.stderr if "stopped" in line)
    assert told.startswith(f"{named}has been stopped by SIGSTOP, and the others wait for it")
    assert f"`kill -CONT {worker}`" in told
    time.sleep(2)  # a step that had both ranks' gradients already is still written
    before = steps()
    time.sleep(2)
    assert steps() == before
    os.kill(worker, signal.SIGCONT)
    assert next(line for line in process.stderr if "goes on" in line) == f"{named}goes on\n"
    end = time.monotonic() + 60
    while steps() == before and time.monotonic() < end:
        time.sleep(0.05)
    assert steps() > before
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
