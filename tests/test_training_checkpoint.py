"""Checkpoints: what was written comes back, or is refused; and writing never loses the old one."""

from __future__ import annotations

import os
import pickle
import stat
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.files import checkpoint, remove_leftovers, whole, write_safetensors
from minirnn.nn import Module, parameter
from minirnn.training.checkpoint import read_checkpoint, restore_checkpoint, save_checkpoint
from minirnn.training.optimiser import SGD
from minirnn.training.settings import TrainingSettings

SETTINGS = TrainingSettings(steps=10, schedule="step", milestones=(3, 5))


@dataclass(frozen=True)
class Config:
    kind: str = "small"
    sizes: tuple[tuple[int, ...], ...] = ((8,), (16, 32))
    threshold: float = 0.1


class Net(Module):
    def __init__(self, xp=np, value=1.0, width=3):
        self.config = Config()
        self.weight = parameter(xp.asarray(np.full((2, width), value, np.float32)))
        self.bias = parameter(xp.asarray(np.full(width, value, np.float32)))
        self.running = xp.asarray(np.full(width, value, np.float32))


def trained(xp=np, value=1.0):
    """A model and its optimiser after one step."""
    model = Net(xp, value)
    optimiser = SGD(model)
    for tensor in model.parameters():
        tensor.grad = xp.ones_like(tensor.data)
    optimiser.step(0.1)
    return model, optimiser


def write(path, model, optimiser, **changes):
    given = {"step": 4, "settings": SETTINGS, "preset": "tiny", "images": 7} | changes
    save_checkpoint(
        path, model.state_dict(), model.config, optimiser_state=optimiser.state_dict(), **given
    )


def content(model, optimiser=None):
    state = dict(model.state_dict())
    if optimiser is not None:
        state |= {f"velocity of {name}": v for name, v in optimiser.state_dict().items()}
    return {name: to_host(array).tobytes() for name, array in state.items()}


# ------------------------------------------------------------- there and back


def test_arrays_come_back_bit_for_bit(tmp_path):
    state = {
        "float": np.array([[1.5, -0.0, np.nan, np.inf, 1e-45]], np.float32),
        "double": np.array([np.pi]),
        "number": np.array(3.0, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "count": np.arange(3),
        "mask": np.array([True, False]),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # does not lie in rows
        "every second": np.arange(8, dtype=np.float32)[::2],
        "backwards": np.arange(4, dtype=np.float32)[::-1],
    }
    save_checkpoint(tmp_path / "c.safetensors", state, Config())
    arrays, metadata = read_checkpoint(tmp_path / "c.safetensors")
    assert set(arrays) == set(state)
    for name, array in state.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
    assert metadata["config"] == {"kind": "small", "sizes": [[8], [16, 32]], "threshold": 0.1}
    assert metadata["settings"] is None


def test_metadata_come_back(tmp_path):
    path = tmp_path / "c.safetensors"
    write(path, *trained())
    arrays, metadata = read_checkpoint(path)
    assert set(arrays) == {"weight", "bias", "running"}  # the model's, without the velocities
    assert TrainingSettings(**metadata["settings"]) == SETTINGS
    assert (metadata["step"], metadata["preset"], metadata["images"]) == (4, "tiny", 7)
    assert metadata["format_version"] == 1


def test_any_reader_of_safetensors_finds_the_weights(tmp_path):
    from safetensors.numpy import load_file

    model, optimiser = trained()
    write(tmp_path / "c.safetensors", model, optimiser)
    assert load_file(tmp_path / "c.safetensors")["weight"].tobytes() == model.weight.data.tobytes()


def test_restore_brings_back_model_and_optimiser(tmp_path, xp):
    path = tmp_path / "c.safetensors"
    model, optimiser = trained(xp)
    write(path, model, optimiser)
    other = Net(xp, value=5.0)
    momentum = SGD(other)
    metadata = restore_checkpoint(path, other, momentum, SETTINGS, 7)
    assert metadata["step"] == 4
    assert content(other, momentum) == content(model, optimiser)
    assert type(other.weight.data) is type(model.weight.data)


def test_equal_content_makes_equal_files(tmp_path):
    for name in "ab":
        write(tmp_path / name, *trained())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_has_the_rights_that_new_files_have(tmp_path):
    write(tmp_path / "c", *trained())
    (tmp_path / "usual").touch()
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("c", "usual")]
    assert rights[0] == rights[1]


# --------------------------------------------------------- damage is noticed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "c.safetensors"
    write(path, *trained())
    return path


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60)
def test_a_file_cut_short_is_refused(written, share):
    data = written.read_bytes()
    broken = written.with_name("cut.safetensors")
    broken.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        read_checkpoint(broken)


def test_every_flipped_bit_is_noticed(written):
    """In the header, too: a digit of the step, a name, a setting."""
    data = written.read_bytes()
    model, optimiser = Net(), SGD(Net())
    broken = written.with_name("flipped.safetensors")
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 7)
        broken.write_bytes(flipped)
        with pytest.raises(InputError, match=r"flipped\.safetensors"):
            restore_checkpoint(broken, model, optimiser)


@given(data=st.binary(max_size=200))
@settings(max_examples=60)
def test_any_bytes_are_refused(written, data):
    path = written.with_name("any.safetensors")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"any\.safetensors"):
        read_checkpoint(path)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": np.zeros(3)}, foreign)
    for path, message in [
        (foreign, "no checkpoint of minirnn"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.safetensors", "is not there"),
    ]:
        with pytest.raises(InputError, match=message):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "text",
    [
        *["", "[]", "{}", '{"sha256": "x"}', '{"sha256": 1, "step": 2}'],
        '{"sha256": 1, "format_version": 1, "step": NaN}',
        "[" * 100_000,
    ],
)
def test_metadata_that_are_not_ours_are_refused(tmp_path, text):
    path = tmp_path / "c.safetensors"
    path.write_bytes(save({"weight": np.zeros(3)}, {"minirnn": text}))
    with pytest.raises(InputError, match=r"c\.safetensors is damaged"):
        read_checkpoint(path)


def test_a_later_version_is_refused_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 2)
    write(tmp_path / "c", *trained())
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"format version 2; this minirnn .* reads 1"):
        read_checkpoint(tmp_path / "c")


class Bomb:
    def __reduce__(self):
        return os.mkdir, (Bomb.target,)


def test_loading_executes_nothing(tmp_path):
    Bomb.target = str(tmp_path / "exploded")
    (tmp_path / "c.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        read_checkpoint(tmp_path / "c.safetensors")
    assert not (tmp_path / "exploded").exists()


# --------------------------------------------- another model, another run


def test_another_model_is_refused_with_what_differs(tmp_path):
    path = tmp_path / "c.safetensors"
    write(path, *trained())
    other = Net(width=4)
    other.config = replace(Config(), kind="large")
    other.extra, other.running = other.running, None
    optimiser = SGD(other)
    before = content(other, optimiser)
    with pytest.raises(InputError) as caught:
        restore_checkpoint(path, other, optimiser)
    for line in (
        "c.safetensors is a checkpoint of another model",
        "kind is 'small' in the file, 'large' in the model",
        "missing: extra",
        "unexpected: running",
        "shape: weight is (2, 3) in the file, (2, 4) in the model",
    ):
        assert line in str(caught.value)
    assert content(other, optimiser) == before


def test_a_long_list_of_differences_is_cut(tmp_path):
    path = tmp_path / "c"
    model, optimiser = trained()
    for i in range(30):
        setattr(model, f"extra{i}", np.zeros(1))
    write(path, model, optimiser)
    with pytest.raises(InputError, match="and 10 more"):
        restore_checkpoint(path, Net())


@pytest.mark.parametrize(
    ("changes", "images", "message"),
    [
        ({"learning_rate": 0.1}, 7, "learning_rate was 0.02, now 0.1"),
        ({"milestones": (3, 6)}, 7, r"milestones was \[3, 5\], now \[3, 6\]"),
        ({"seed": 1}, 7, "seed was 0, now 1"),
        ({}, 8, "the data set had 7 images, now 8"),
        ({"steps": 3}, 7, "4 steps were taken already, now steps is 3"),
    ],
)
def test_another_run_is_refused_with_what_differs(tmp_path, changes, images, message):
    write(tmp_path / "c", *trained())
    model = Net(value=5.0)
    optimiser = SGD(model)
    before = content(model, optimiser)
    with pytest.raises(InputError, match=message):
        restore_checkpoint(tmp_path / "c", model, optimiser, SETTINGS.replace(**changes), images)
    assert content(model, optimiser) == before


def test_what_does_not_enter_into_a_step_may_change(tmp_path):
    write(tmp_path / "c", *trained())
    free = SETTINGS.replace(steps=99, checkpoint_every=1, log_every=7, workers=3, timeout=1)
    model = Net()
    assert restore_checkpoint(tmp_path / "c", model, SGD(model), free, 7)["step"] == 4


def test_trap_37_lost_optimiser_state_is_noticed(tmp_path):
    """Going on from weights alone, the momentum would start from nothing."""
    model = Net()
    save_checkpoint(tmp_path / "c", model.state_dict(), model.config, settings=SETTINGS)
    restore_checkpoint(tmp_path / "c", model)
    with pytest.raises(InputError, match="holds weights only"):
        restore_checkpoint(tmp_path / "c", model, SGD(model))
    frozen = Net()
    frozen.bias.requires_grad = False
    write(tmp_path / "c", frozen, SGD(frozen))
    with pytest.raises(InputError, match="missing: bias"):
        restore_checkpoint(tmp_path / "c", model, SGD(model))


@pytest.mark.parametrize("broken", ["weight", "optimiser/bias"])
def test_weights_and_velocities_that_are_not_finite_are_refused_by_name(tmp_path, broken):
    model, optimiser = trained()
    if broken == "weight":
        model.weight.data[0, 1] = np.nan
    else:
        optimiser._state["bias"][:] = np.inf
    write(tmp_path / "c", model, optimiser)
    other = Net(value=5.0)
    momentum = SGD(other)
    before = content(other, momentum)
    with pytest.raises(InputError, match=rf"c holds weights that are not finite:\n  {broken}: "):
        restore_checkpoint(tmp_path / "c", other, momentum, SETTINGS, 7)
    assert content(other, momentum) == before


# ------------------------------------------------------------ writing is safe


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_failed_write_leaves_the_one_before(tmp_path, monkeypatch, broken):
    path = tmp_path / "c"
    write(path, *trained())
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write(path, *trained(value=2.0))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c"]


def test_the_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, rename = os.fsync, os.replace

    def note_fsync(number):
        calls.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "content")
        fsync(number)

    def note_replace(a, b):
        calls.append("name")
        rename(a, b)

    monkeypatch.setattr(whole.os, "fsync", note_fsync)
    monkeypatch.setattr(whole.os, "replace", note_replace)
    write(tmp_path / "c", *trained())
    assert calls == ["content", "name", "folder"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "c.safetensors"
    write(path, *trained())
    for name in (".c.safetensors.0a1b2c3d.tmp", ".d.safetensors.0a1b2c3d.tmp", "c.tmp"):
        (tmp_path / name).write_bytes(b"half a check")
    remove_leftovers(path)
    assert sorted(os.listdir(tmp_path)) == [".d.safetensors.0a1b2c3d.tmp", "c.safetensors", "c.tmp"]


def test_two_that_write_one_file_do_not_write_into_each_others_half(tmp_path):
    with whole.replacing(tmp_path / "c") as first:
        first.write(b"first ")
        with whole.replacing(tmp_path / "c") as second:
            second.write(b"second")
        first.write(b"and whole")
    assert (tmp_path / "c").read_bytes() == b"first and whole"
    assert os.listdir(tmp_path) == ["c"]


def test_a_name_of_full_length_can_be_written(tmp_path):
    write(tmp_path / ("ä" * 127), *trained())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to write to")
def test_a_full_disk_is_named(tmp_path, monkeypatch):
    real = open
    monkeypatch.setattr(whole, "open", lambda *_: real("/dev/full", "wb"), raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "c", *trained())
    assert caught.value.filename == str(tmp_path / "c")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_files_are_those_of_the_formats_own_library(tmp_path, kind):
    arrays = {
        'a "name"': np.arange(6, dtype=kind).reshape(2, 3),
        "ü": np.zeros((0, 2), kind),
        "b": np.array(1.5, kind),
    }
    write_safetensors(tmp_path / "c", arrays, {"text": '{"über": [1, "\\n"]}\n'})
    assert (tmp_path / "c").read_bytes() == save(arrays, {"text": '{"über": [1, "\\n"]}\n'})


def test_writing_takes_no_more_memory_than_the_largest_array(tmp_path):
    state = {str(i): np.full((512, 1024), i, np.float32).T for i in range(16)}  # 2 MB each
    tracemalloc.start()
    save_checkpoint(tmp_path / "c", state, Config())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6  # of 32 MB: one in rows, and what goes to the file


@pytest.mark.parametrize(
    "changes",
    [
        {"config": []},
        {"config": None},
        {"step": -1},
        {"step": 1.5},
        {"step": True},
        {"settings": []},
        {"has_optimiser": 1},
        {"images": "7"},
        {"preset": 3},
        {"step": None},
    ],
)
def test_metadata_with_a_right_checksum_and_wrong_content_are_refused(tmp_path, changes):
    given = {"preset": None, "config": {}, "step": 0, "settings": None, "has_optimiser": False}
    metadata = {"format_version": 1, "images": None, **given, **changes}
    arrays = {"weight": np.zeros(3)}
    metadata["sha256"] = checkpoint._digest(arrays, metadata)
    path = tmp_path / "c.safetensors"
    path.write_bytes(save(arrays, {"minirnn": checkpoint.as_text(metadata)}))
    with pytest.raises(InputError, match=r"c\.safetensors is damaged: its "):
        read_checkpoint(path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "c", *trained())
