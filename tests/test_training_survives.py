"""What happens to a run in twelve hours: it goes on, or says what happened and how to go on.

Nothing is acted here: disks are full, processes are killed, files are removed and cut.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_cases import TINY, succeed
from PIL import Image
from test_training_loop import TinyData, metrics, outcome, run
from test_training_team import Scenes, model_of

from minirnn.data import CocoDataset, Loader
from minirnn.errors import InputError, WorkerError
from minirnn.evaluation import Evaluation
from minirnn.files import Reserve, write_whole
from minirnn.training import TrainingSettings, read_checkpoint, train

HERE = Path(__file__).parent
CHECKPOINT = "checkpoint.safetensors"
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run to compare with, to which nothing happens."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def numbers(folder):
    """What a run leaves, bit for bit, but for times and settings."""
    arrays, _ = read_checkpoint(folder / CHECKPOINT)
    return {name: array.tobytes() for name, array in arrays.items()}, metrics(folder)


def left(folder):
    return sorted(os.listdir(folder))


# ---------------------------------------------------------------- a full disk

# In a name space of its own the child has a disk of a few pages, which it fills to the last byte.
ON_A_SMALL_DISK = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_training_loop import run
disk, result = Path(sys.argv[2]), Path(sys.argv[3])
fill_at, empty_at, evaluates = map(int, sys.argv[4:])

def neighbour(step, model):
    if step == fill_at:
        with open(disk / "film", "wb", buffering=0) as film:
            try:
                while film.write(bytes(512)):
                    pass
            except OSError:
                print("full at", step, flush=True)
    if step == empty_at:
        (disk / "film").unlink()
    return {"bbox": {"AP": step / 100}} if evaluates else None

try:
    run(disk / "run", callback=neighbour, callback_every=1, steps=22)
finally:
    shutil.copytree(disk / "run", result)
"""


def on_a_small_disk(tmp_path, fill_at, empty_at=0, kilobytes=64, evaluates=False):
    if shutil.which("unshare") is None:
        pytest.skip("unshare is missing: there is no way to a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    arguments = [HERE, disk, tmp_path / "result", fill_at, empty_at, int(evaluates)]
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c",
         ON_A_SMALL_DISK, *map(str, arguments)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("empty_at", [0, 19])
def test_a_full_disk_loses_nothing(tmp_path, empty_at):
    """Filled before the second checkpoint, and, the second time, given back before the end."""
    done = on_a_small_disk(tmp_path, 2, empty_at)
    assert "full at 2" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    run(tmp_path / "whole", steps=22)
    assert outcome(tmp_path / "result") == outcome(tmp_path / "whole")
    assert done.stderr.count("the disk is full. The file is written in room that was held") == 1
    assert done.stderr.count("lines are held back until there is room") == 1
    assert left(tmp_path / "result") == [CHECKPOINT, "metrics.jsonl"]


@pytest.mark.parametrize("fill_at", [1, 4])
def test_on_a_full_disk_the_best_weights_are_kept_too(tmp_path, fill_at):
    """Full before the first evaluation, or after some: each of the 22 is better than all before."""
    done = on_a_small_disk(tmp_path, fill_at, evaluates=True)
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path / "result" / CHECKPOINT)[1]["step"] == 22
    assert read_checkpoint(tmp_path / "result" / "best.safetensors")[1]["step"] == 22
    assert left(tmp_path / "result") == ["best.safetensors", CHECKPOINT, "metrics.jsonl"]


def test_a_disk_with_room_for_one_checkpoint_only_is_known_before_the_first_step(tmp_path):
    done = on_a_small_disk(tmp_path, 99, kilobytes=4)
    assert done.returncode == 1
    assert "there is no room for its next version, which stands beside it" in done.stderr
    assert left(tmp_path / "result") == [CHECKPOINT]


def test_where_no_room_can_be_held_the_one_before_stays_and_it_is_said(
    tmp_path, whole, monkeypatch
):
    """As on a file system that promises no room: the error says which steps are kept."""
    monkeypatch.setattr("minirnn.files.reserve.Reserve.hold", lambda self, size: None)
    real, count = os.fsync, []

    def full(handle):
        count.append(handle)
        if len(count) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("minirnn.files.whole.os.fsync", full)
    with pytest.raises(
        OSError, match=r"No space left.* holds the weights after \d+ steps.*--resume"
    ):
        run(tmp_path)
    monkeypatch.undo()
    run(tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(whole)


def test_the_reserve_holds_as_much_as_the_file_and_lets_go(tmp_path):
    path, told = tmp_path / "file", []
    with Reserve(path, told.append) as reserve:
        for size in (10_000, 30_000, 1):
            reserve.write(lambda size=size: write_whole(path, bytes(size)))
            (room,) = [other for other in tmp_path.iterdir() if other != path]
            assert path.stat().st_size == size
            assert size <= room.stat().st_size < size + 4096  # whole blocks of a disk
    assert left(tmp_path) == ["file"]
    assert told == []


# ---------------------------------------------------------------- metrics that somebody removes


@posix  # Windows lets nobody remove a file that is open
@pytest.mark.parametrize("how", [os.unlink, lambda path: write_whole(path, "{}\n")])
def test_metrics_that_are_removed_come_back_whole(tmp_path, whole, capsys, how):
    def remove(step, model):
        if step == 6:
            how(tmp_path / "metrics.jsonl")

    run(tmp_path, callback=remove, callback_every=1)
    assert [record["step"] for record in metrics(tmp_path)] == list(range(1, 13))
    assert outcome(tmp_path) == outcome(whole)
    assert "metrics.jsonl was removed while the run goes on" in capsys.readouterr().err


# ---------------------------------------------------------------- helper processes


#: Seconds until a process counts as stalled; new ones have to have started by then.
PATIENCE = {signal.SIGKILL: 120.0, signal.SIGSTOP: 15.0} if os.name == "posix" else {}


def children():
    return multiprocessing.active_children()


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_loaders_process_that_is_lost_is_replaced(tmp_path, whole, capsys, number):
    """Killed (as the system does when memory runs out), or stopped for good."""

    def strike(step, model):
        if step == 5:
            for child in children():
                os.kill(child.pid, number)

    run(tmp_path, workers=2, timeout=PATIENCE[number], callback=strike, callback_every=1)
    assert numbers(tmp_path) == numbers(whole)
    said = capsys.readouterr().err
    assert said.count("New processes make batch") == 1
    assert ("SIGKILL" if number == signal.SIGKILL else "took longer than 15 s") in said
    assert not children()


@posix
def test_a_batch_that_kills_its_process_twice_ends_the_run_with_all_steps(tmp_path):
    with pytest.raises(
        WorkerError, match=r"SIGKILL[\s\S]*holds the weights after \d+ steps"
    ) as caught:
        run(tmp_path, data=Deadly(), workers=1, steps=40)
    step = read_checkpoint(tmp_path / CHECKPOINT)[1]["step"]
    assert f"after {step} steps" in str(caught.value)
    assert [record["step"] for record in metrics(tmp_path)] == list(range(1, step + 1))


class Deadly(TinyData):
    """Its last image kills the process that reads it."""

    def __getitem__(self, index):
        if index == 7 and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_of_the_team_that_is_lost_is_replaced(tmp_path, capsys, number):
    def strike(step, model):
        if step == 2:
            for child in children():
                os.kill(child.pid, number)

    def outcome_of(folder, **changes):
        settings = TrainingSettings(
            steps=4, batch_size=2, workers=0, processes=2, timeout=PATIENCE[number], warmup_steps=0
        )
        train(model_of(), Scenes(), settings, folder, progress=False, callback_every=1, **changes)
        return outcome(folder)

    expected = outcome_of(tmp_path / "whole")
    capsys.readouterr()
    assert outcome_of(tmp_path / "struck", callback=strike) == expected
    assert capsys.readouterr().err.count("New processes take this step again") == 1
    assert not children()


# ---------------------------------------------------------------- images


def pictures(folder, count=8):
    """A data set of pictures in files."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    records, annotations = [], []
    for i in range(1, count + 1):
        pixels = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        records.append({"id": i, "file_name": f"{i}.png", "height": 6, "width": 6})
        annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 2, 2]})
    content = {
        "images": records,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "all.json").write_text(json.dumps(content))
    return CocoDataset(folder / "all.json", folder / "images")


SPOIL = {
    "removed": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "another": lambda path: Image.new("RGB", (9, 9)).save(path),
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_is_spoilt_in_the_middle_is_named_once_and_left_out(
    tmp_path, capsys, how, workers
):
    dataset = pictures(tmp_path)
    path = tmp_path / "images/3.png"

    def spoil(step, model):
        if step == 4:
            SPOIL[how](path)

    run(tmp_path / "run", data=dataset, workers=workers, callback=spoil, callback_every=1)
    assert [record["step"] for record in metrics(tmp_path / "run")] == list(range(1, 13))
    said = capsys.readouterr().err
    assert said.count("3.png") == 1, said
    assert "It is left out, and another image takes its place (1 of 1)" in said


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_with_an_image_left_out_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, stop):
    dataset = pictures(tmp_path)
    (tmp_path / "images/3.png").unlink()
    run(tmp_path / "whole", data=dataset)
    run(tmp_path / "two", data=dataset, stop_at=stop, workers=2)
    run(tmp_path / "two", data=dataset, resume=True)
    assert outcome(tmp_path / "two") == outcome(tmp_path / "whole")


def test_the_stand_in_is_the_next_of_the_order_and_changes_no_other_image(tmp_path):
    dataset = pictures(tmp_path)
    settings = {"steps": 16, "seed": 3, "unreadable": 0.2}

    def ids():
        return [s.target.image_id for batch in Loader(dataset, 3, **settings) for s in batch]

    row = ids()
    (tmp_path / "images/3.png").unlink()
    other = ids()
    for place, (one, two) in enumerate(zip(row, other, strict=True)):
        epoch = row[place // 8 * 8 : place // 8 * 8 + 8]
        assert two == (epoch[(place + 1) % 8] if one == 3 else one)
    assert 3 in row
    assert 3 not in other


def test_an_image_of_the_evaluation_that_is_spoilt_does_not_end_the_run(tmp_path, monkeypatch):
    """A blank one stands for it; it is named once."""
    data = tmp_path / "data"
    succeed("data", "shapes", "--out", data, "--train", 4, "--val", 3, "--size", 64)
    real, calls = Evaluation.summary, []

    def spoil(self):
        calls.append(self)
        (data / "val/000002.jpg").unlink(missing_ok=True)
        return real(self)

    monkeypatch.setattr(Evaluation, "summary", spoil)
    result = succeed(
        *("train", "--data", data, "--preset", "maskrcnn_shapes", "--out", tmp_path / "run"),
        *("--evaluate-every", 1, "--steps", 3, *TINY),
    )
    assert len(calls) == 3
    assert result.err.count("000002.jpg: the image file is missing. A blank picture stands") == 1


def test_too_many_images_that_cannot_be_read_end_the_run(tmp_path):
    dataset = pictures(tmp_path)

    def spoil(step, model):
        if step == 4:
            for path in (tmp_path / "images").iterdir():
                path.unlink()

    with pytest.raises(InputError, match="none of the 8 images can be read") as caught:
        run(tmp_path / "run", data=dataset, callback=spoil, callback_every=1)
    assert "--resume" in str(caught.value)
    assert read_checkpoint(tmp_path / "run" / CHECKPOINT)[1]["step"] == 4


def test_the_number_of_images_left_out_is_limited_by_the_setting(tmp_path):
    dataset = pictures(tmp_path, 20)
    for i in (3, 4, 5):
        (tmp_path / f"images/{i}.png").unlink()
    list(Loader(dataset, 4, steps=5, seed=0, unreadable=0.15))
    with pytest.raises(InputError, match="3 of 20 images cannot be read; at most 2 may be so"):
        list(Loader(dataset, 4, steps=5, seed=0, unreadable=0.1))
    with pytest.raises(InputError, match=r"^image \d of .*the image file is missing$"):
        list(Loader(dataset, 4, steps=5, seed=0))


# ---------------------------------------------------------------- a machine that starts anew

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from test_training_survives import begin
if __name__ == "__main__":
    begin(sys.argv[2], "resume" in sys.argv)
"""


def begin(folder, resume=False):
    """A run with helper processes of both kinds."""

    def tell(step, model):
        print(step, flush=True)

    settings = TrainingSettings(
        **{"steps": 12, "batch_size": 2, "processes": 2, "workers": 2, "checkpoint_every": 3}
    )
    train(model_of(), Scenes(), settings, folder, resume=resume, progress=False, callback=tell,
          callback_every=1)  # fmt: skip


@posix
def test_all_processes_killed_at_once_and_a_half_written_checkpoint(tmp_path):
    """Nothing of this machine goes on, as when the power fails; what was written in part stays."""
    begin(tmp_path / "whole")
    folder = tmp_path / "run"
    script = tmp_path / "script.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(HERE), str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if int(line) == 7:
                break
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(0.2)
    step = read_checkpoint(folder / CHECKPOINT)[1]["step"]
    assert step == 6
    half = (folder / CHECKPOINT).read_bytes()[:5000]
    (folder / f".{CHECKPOINT}.0a1b2c3d.tmp").write_bytes(half)
    (folder / ".metrics.jsonl.0a1b2c3d.tmp").write_bytes(b'{"step": 1')
    with open(folder / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 8, "los')
    subprocess.run([*command, "resume"], check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert outcome(folder) == outcome(tmp_path / "whole")
    assert left(folder) == [CHECKPOINT, "metrics.jsonl"]
