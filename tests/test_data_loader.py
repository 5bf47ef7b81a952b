"""The loader: the same batches however they are made, and an end to everything that goes wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minirnn.data import Augmentation, CocoDataset, Loader, Sample, Target, WorkerError
from minirnn.data.batches import BatchMaker
from minirnn.data.colour import color_jitter
from minirnn.data.loader import AHEAD
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError
from minirnn.kernels import thread_count

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def sample_of(index: int) -> Sample:
    """A picture of its own size, with a box, a mask and 17 keypoints."""
    height, width = 4 + index % 3, 6 + index % 2
    rng = np.random.default_rng(index)
    target = Target(
        boxes=np.array([[1, 1, 3, 4]], np.float32),
        labels=np.array([1]),
        masks=rng.random((1, height, width)) < 0.5,
        is_crowd=np.array([False]),
        keypoints=rng.integers(0, 3, (1, 17, 3)).astype(np.float32),
        image_id=index,
        file_name=f"{index}.png",
    )
    return Sample(rng.integers(0, 256, (height, width, 3), np.uint8), target)


@dataclass
class Numbers:
    """A data set of `count` pictures that does something special at picture `special`."""

    count: int = 10
    special: int = -1
    act: Callable[[], object] | None = None
    folder: Path | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if self.folder is not None:
            (self.folder / f"{index}").touch()
        if index == self.special and self.act is not None:
            self.act()
        return sample_of(index)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise KeyError("boom")


def sleep() -> None:
    time.sleep(600)


def assert_same(batches: list, others: list) -> None:
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert len(batch) == len(other)
        for a, b in zip(batch, other, strict=True):
            np.testing.assert_array_equal(a.image, b.image)
            for name, value in vars(a.target).items():
                np.testing.assert_array_equal(value, getattr(b.target, name))


def ids(batches: list) -> list[list[int]]:
    return [[sample.target.image_id for sample in batch] for batch in batches]


def no_children(timeout: float = 5) -> bool:
    """Whether every process that was started here has ended."""
    end = time.monotonic() + timeout
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.02)
    return not multiprocessing.active_children()


# What batches are made of


@given(
    count=st.integers(1, 12),
    batch_size=st.integers(1, 15),
    seed=st.integers(0, 2**40),
    epochs=st.integers(1, 3),
)
@settings(max_examples=40)
def test_every_epoch_has_every_image_once(count, batch_size, seed, epochs):
    maker = BatchMaker(Numbers(count), batch_size, seed, Augmentation())
    steps = -(-count * epochs // batch_size)
    row = [index for k in range(steps) for index in maker.indices(k)]
    assert len(row) == steps * batch_size
    for epoch in range(epochs):
        assert sorted(row[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert maker.indices(steps) == maker.indices(steps)


def test_order_and_flips_depend_on_seed_and_step():
    loaders = [Loader(Numbers(50), 5, steps=10, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (list(loader) for loader in loaders)
    assert_same(first, again)
    assert ids(first) != ids(other)
    flipped = sum(
        bool((s.image != sample_of(s.target.image_id).image).any()) for b in first for s in b
    )
    assert 10 < flipped < 40
    patterns = {
        tuple(bool((s.image != sample_of(s.target.image_id).image).any()) for s in batch)
        for batch in first
    }
    assert len(patterns) > 3  # which places are flipped changes from step to step
    epochs = ids(list(Loader(Numbers(10), 10, steps=2, seed=0)))
    assert epochs[0] != epochs[1]
    counts = Counter(i for b in first for s in b for i in [s.target.image_id])
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0), (1.0, 10)])
def test_never_and_always_flipped(flip, share):
    (batch,) = Loader(Numbers(), 10, steps=1, seed=0, flip=flip)
    originals = [sample_of(s.target.image_id).image for s in batch]
    mirrored = [np.array_equal(s.image, o[:, ::-1]) for s, o in zip(batch, originals, strict=True)]
    assert sum(mirrored) == share


def test_augment_and_keypoint_names():
    plain = Loader(Numbers(), 4, steps=2, seed=0, flip=0)
    changed = Loader(Numbers(), 4, steps=2, seed=0, flip=0, augment=color_jitter)
    assert ids(list(plain)) == ids(list(changed))
    assert_same(list(changed), list(changed))
    assert any(
        (a.image != b.image).any()
        for x, y in zip(plain, changed, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    dataset = Numbers()
    dataset.keypoint_names = ("a", "b")  # type: ignore[attr-defined]  # not 17: the flip objects
    with pytest.raises(WorkerError, match=r"item \d+: ValueError: keypoints has shape"):
        list(Loader(dataset, 4, steps=1, seed=0, flip=1))


def test_bad_arguments():
    good = {"steps": 5, "seed": 0}
    for bad, message in (
        ({"batch_size": 0}, "batch_size is 0"),
        ({"steps": -1}, "steps is -1"),
        ({"start_step": 6}, "start_step is 6; it should be at most steps, 5"),
        ({"seed": -3}, "seed is -3"),
        ({"workers": -1}, "workers is -1"),
        ({"flip": 1.5}, "flip is 1.5"),
        ({"timeout": 0}, "timeout is 0"),
        ({"dataset": Numbers(0)}, "the data set is empty"),
    ):
        with pytest.raises(InputError, match=message):
            Loader(**({"dataset": Numbers(), "batch_size": 2} | good | bad))
    with pytest.raises(InputError, match="cannot be pickled"):
        list(Loader(Numbers(act=lambda: None), 2, **good, workers=1))
    assert list(Loader(Numbers(), 2, steps=3, start_step=3, seed=0, workers=2)) == []


# Other processes


def test_same_batches_with_workers_and_after_resuming():
    alone = Loader(Numbers(), 3, steps=9, seed=4, augment=color_jitter)
    helped = Loader(Numbers(), 3, steps=9, seed=4, augment=color_jitter, workers=2)
    assert len(alone) == 9
    expected = list(alone)
    assert {s.image.shape for batch in expected for s in batch} > {(4, 6, 3), (5, 7, 3)}
    assert_same(expected, list(helped))
    assert no_children()
    resumed = Loader(Numbers(), 3, steps=9, start_step=5, seed=4, augment=color_jitter, workers=1)
    assert len(resumed) == 4
    assert_same(expected[5:], list(resumed))


def test_works_ahead_within_bounds_and_break_ends_it(tmp_path):
    loader = Loader(Numbers(1000, folder=tmp_path), 3, steps=300, seed=0, workers=2)
    for _ in loader:
        end = time.monotonic() + 20
        bound = AHEAD * 2 * 3  # batches ahead for each of 2 processes, of 3 pictures each
        while len(list(tmp_path.iterdir())) < bound and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        assert len(list(tmp_path.iterdir())) == bound
        assert len(multiprocessing.active_children()) == 2
        break
    assert no_children()
    with loader:  # an iterator that is kept is closed with the loader
        batches = iter(loader)
        next(batches)
        assert len(multiprocessing.active_children()) == 2
    assert no_children()
    with pytest.raises(WorkerError, match="died"):
        list(batches)


@posix
def test_worker_that_dies():
    loader = Loader(Numbers(special=3, act=die), 2, steps=50, seed=0, workers=2)
    with pytest.raises(WorkerError, match=r"helper process .* died \(signal 9, SIGKILL"):
        list(loader)
    assert no_children()


@posix
def test_worker_killed_from_outside(capsys, monkeypatch):
    """New ones make the same batches; but not again and again."""
    expected = ids(list(Loader(Numbers(), 2, steps=40, seed=0)))
    loader = Loader(Numbers(), 2, steps=40, seed=0, workers=2)
    batches = iter(loader)
    found = [next(batches)]
    os.kill(loader._pools[0].pids[0], signal.SIGKILL)
    assert ids(found + list(batches)) == expected
    said = capsys.readouterr().err
    assert "SIGKILL; the system does this when memory runs out" in said
    assert said.count("New processes make batch") == 1
    assert no_children()
    monkeypatch.setattr("minirnn.data.loader.REPLACED", 0)
    batches = iter(loader)
    next(batches)
    os.kill(loader._pools[0].pids[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):
        list(batches)
    assert no_children()


def test_worker_that_takes_too_long():
    loader = Loader(Numbers(special=2, act=sleep), 2, steps=50, seed=0, workers=2, timeout=2)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"batch \d took longer than 2 s"):
        list(loader)
    assert time.monotonic() - start < 15
    assert no_children()
    with WorkerPool(do, 1) as pool:  # the pool alone, too, ends its processes
        with pytest.raises(WorkerError, match=r"a nap took longer than 0\.5 s"):
            pool.result(pool.submit("sleep"), timeout=0.5, what="a nap")
        assert no_children()


TYPED_IN = """
from minirnn.data import Loader
class Mine:
    def __len__(self): return 3
    def __getitem__(self, index): raise SystemExit("found")
try:
    list(Loader(Mine(), 1, steps=2, seed=0, workers=1))
except ValueError as error:
    print(error)
"""


def test_a_data_set_that_was_typed_in_says_where_it_should_be():
    """As in a notebook: a new process has no file to read its class from."""
    done = subprocess.run(
        [sys.executable, "-c", TYPED_IN], capture_output=True, text=True, timeout=60
    )
    assert "Can't get attribute 'Mine'" in done.stdout, done.stderr
    assert "put it into a module, or use no helpers (workers=0)" in done.stdout


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_name_the_image(tmp_path, workers):
    """The same with and without workers; the data set's own errors stay errors of the input."""
    loader = Loader(Numbers(special=3, act=fail), 2, steps=50, seed=0, workers=workers)
    with pytest.raises(WorkerError, match="item 3: KeyError: 'boom'"):
        list(loader)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    content = {
        "images": [{"id": 77, "file_name": "cut.png", "height": 5, "width": 5}],
        "annotations": [{"id": 1, "image_id": 77, "category_id": 1, "bbox": [1, 1, 2, 2]}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path / "a.json", tmp_path)
    with pytest.raises(InputError, match=r"image 77 of .*a\.json: .*cut\.png: not a readable"):
        list(Loader(dataset, 1, steps=1, seed=0, workers=workers))
    Image.new("RGB", (5, 5)).save(tmp_path / "cut.png")
    (batch,) = Loader(dataset, 1, steps=1, seed=0, workers=workers)
    assert batch[0].image.shape == (5, 5, 3)
    assert no_children()


# The pool itself


class TwoArguments(Exception):
    """Cannot be unpickled, as many libraries' exceptions cannot."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def do(what: str) -> object:
    if what == "describe":
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        blas = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
        return thread_count(), blas, signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if what == "odd error":
        raise TwoArguments(1, 2)
    if what == "sleep":
        sleep()
    if what == "bad input":
        raise InputError("image 5 is bad")
    if what == "odd answer":
        return threading.Lock()
    if what == "big answer":
        return np.arange(3_000_000)
    if what == "half an answer":  # killed in the middle of writing
        connection = sys._getframe(1).f_locals["connection"]
        os.write(connection.fileno(), struct.pack("!i", 1000) + b"only the start")
        die()
    raise AssertionError(what)


def test_pool_survives_what_its_function_does():
    with WorkerPool(do, 1) as pool:

        def ask(what: str) -> object:
            return pool.result(pool.submit(what), timeout=30, what=what)

        threads, blas, ignores_ctrl_c = ask("describe")
        assert threads == 1
        assert set(blas) <= {1}
        assert ignores_ctrl_c
        with pytest.raises(WorkerError, match=r"TwoArguments: 1 and 2[\s\S]*in do"):
            ask("odd error")
        with pytest.raises(InputError, match=r"^image 5 is bad$"):
            ask("bad input")
        with pytest.raises(WorkerError, match="cannot pickle"):
            ask("odd answer")
        assert ask("big answer")[-1] == 2_999_999
        if os.name == "posix":
            with pytest.raises(WorkerError, match="SIGKILL"):
                ask("half an answer")
            with pytest.raises(WorkerError, match="SIGKILL"):
                ask("describe")  # and so for everything that is asked later
    assert no_children()


SCRIPT = """
import os, sys, time
from pathlib import Path
import numpy as np
from minirnn.data import Loader

class Endless:
    def __len__(self):
        return 8
    def __getitem__(self, index):
        Path(sys.argv[1], str(os.getpid())).touch()
        time.sleep(600)

if __name__ == "__main__":
    for _ in Loader(Endless(), 2, steps=9, seed=0, workers=2):
        pass
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # an orphan that has ended and that nobody has asked about


@posix
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize("ending", ["kill -9", "Ctrl-C"])
def test_workers_end_with_their_parent(tmp_path, ending):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    marks = tmp_path / "pids"
    marks.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(marks)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while len(list(marks.iterdir())) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        pids = [int(mark.name) for mark in marks.iterdir()]
        assert len(pids) == 2
        assert all(is_running(pid) for pid in pids)
        if ending == "kill -9":
            process.kill()
        else:  # the terminal sends it to the whole group
            os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=20)[1]
        assert process.returncode == (-9 if ending == "kill -9" else -signal.SIGINT)
        end = time.monotonic() + 10
        while any(is_running(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(is_running(pid) for pid in pids)
        if ending == "Ctrl-C":
            assert errors.count("Traceback") == 1  # the parent's own; the workers say nothing
            assert errors.rstrip().endswith("KeyboardInterrupt")
    finally:
        process.kill()
        process.wait()


def test_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "before its first answer; a script that uses helper processes" in done.stderr
