"""PyTorch's files without PyTorch: bit for bit what was saved, or a clear refusal."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_weights_pickle import Attack
from weights_cases import FIXTURES, checkpoint, state, storage, stream_file, tensor, text, zip_file

from minirnn.errors import InputError
from minirnn.files.safetensors_file import widen_bfloat16
from minirnn.weights import read_weights
from minirnn.weights.torch_file import read_torch_file

FORMATS = ["zip", "stream"]


def kinds() -> dict[str, np.ndarray]:
    """What fixtures/make_weights.py saved, in NumPy."""
    shared = np.arange(24, dtype=np.float32) / 8
    third = (np.arange(-4, 4, dtype=np.float32) / 3).view(np.uint32)
    # Rounded to the nearest bfloat16, ties to even.
    rounded = (third + 0x7FFF + ((third >> 16) & 1)) & np.uint32(0xFFFF0000)
    return {
        "float32": np.arange(6, dtype=np.float32).reshape(2, 3) / np.float32(3),
        "float64": np.arange(6, dtype=np.float64).reshape(3, 2) / 3,
        "float16": (np.arange(-4, 4, dtype=np.float32) / 3).astype(np.float16),
        "bfloat16": rounded.astype(np.uint32).view(np.float32),
        "int64": np.array([-(2**62), 0, 2**62]),
        "int32": np.array([-5, 7], np.int32),
        "int16": np.array([-5, 7], np.int16),
        "int8": np.array([-5, 7], np.int8),
        "uint8": np.array([0, 255], np.uint8),
        "bool": np.array([True, False, True]),
        "scalar": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": np.array([1.5, -2.5], np.float32),
        "whole": shared,
        "transposed": shared.reshape(4, 6).T,
        "slice": shared.reshape(4, 6)[1:3, ::2],
        "expanded": np.full((3, 2), 2, np.float32),
    }


def same(read: np.ndarray, wanted: np.ndarray) -> bool:
    return (read.shape, read.dtype, read.tobytes()) == (
        wanted.shape,
        wanted.dtype,
        wanted.tobytes(),
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_all_kinds_of_tensors_bit_for_bit(kind):
    arrays, dtypes = read_torch_file(FIXTURES / f"kinds_{kind}.pth")
    wanted = kinds()
    assert list(arrays) == list(wanted)
    for name, array in wanted.items():
        assert same(arrays[name], array), name
    assert dtypes["bfloat16"] == "bfloat16"
    assert all(dtypes[name] == array.dtype for name, array in wanted.items() if name != "bfloat16")
    assert np.shares_memory(arrays["whole"], arrays["slice"])


@pytest.mark.parametrize("kind", FORMATS)
def test_against_torch_itself(kind):
    torch = pytest.importorskip("torch")
    path = FIXTURES / f"kinds_{kind}.pth"
    arrays, dtypes = read_torch_file(path)
    loaded = torch.load(path, weights_only=True)
    assert list(arrays) == list(loaded)
    for name, value in loaded.items():
        assert str(value.dtype) == f"torch.{dtypes[name]}"
        value = value.detach()
        plain = value.float() if value.dtype == torch.bfloat16 else value
        assert same(arrays[name], plain.numpy()), name


def test_every_bfloat16_against_its_definition():
    halves = np.arange(2**16, dtype=np.uint16)
    with np.errstate(all="ignore"):
        sign = np.where(halves >> 15, -1.0, 1.0)
        exponent = ((halves >> 7) & 0xFF).astype(int)
        fraction = (halves & 0x7F) / 128
        normal = np.ldexp(1 + fraction, exponent - 127)
        value = np.where(exponent == 0, np.ldexp(fraction, -126), normal)
        value = np.where(exponent == 255, np.where(fraction, np.nan, np.inf), value) * sign
    np.testing.assert_array_equal(widen_bfloat16(halves), value)


def test_weights_among_the_other_things_that_a_training_script_saves():
    arrays, _ = read_torch_file(FIXTURES / "training_script.pth")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "weight": [[1.0, 2.0]],
        "bias": [3.0],
    }


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_written_by_hand_both_formats_say_the_same(shapes, stream, seed):
    rng = np.random.default_rng(seed)
    arrays = {f"w.{i}": rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.pth")
        path.write_bytes(checkpoint(arrays, stream=stream))
        read, _ = read_torch_file(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_numbers_of_a_machine_with_the_other_byte_order(tmp_path):
    values = np.array([1.5, -2.25, 3e10], ">f4")
    description = state({"w": tensor(storage("0", 3), 0, (3,), (1,))})
    path = tmp_path / "big.pth"
    path.write_bytes(zip_file(description, {"0": values.tobytes()}, byteorder=b"big"))
    array = read_torch_file(path)[0]["w"]
    assert array.tolist() == values.tolist()
    assert array.dtype == np.float32
    garbage = zip_file(description, {"0": values.tobytes()}, byteorder=b"garbage")
    refused(path, garbage, "its byte order is b'garbage'; it should be little or big")


# ------------------------------------------------------------------ refused


def refused(path: Path, data: bytes, match: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=match) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("build", [zip_file, stream_file], ids=FORMATS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_file_is_refused_and_nothing_is_run(build, protocol, tmp_path):
    target = tmp_path / "made-by-the-file"
    attack = pickle.dumps({"weight": Attack(str(target))}, protocol)
    refused(tmp_path / "evil.pth", build(attack, {}), r"mkdir.*refused, and nothing was run")
    refused(tmp_path / "bare.pth", attack, r"mkdir.*refused, and nothing was run")
    assert not target.exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_cut_is_refused(kind, tmp_path):
    data = (FIXTURES / f"kinds_{kind}.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for length in [*range(0, len(data), 7), len(data) - 1]:
        refused(path, data[:length], r"cut short|damaged|is empty|missing")


@functools.cache
def fixture(kind: str) -> bytes:
    return (FIXTURES / f"kinds_{kind}.pth").read_bytes()


places = st.floats(0, 1)
bytes_there = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3)


@settings(max_examples=150)
@given(st.sampled_from(FORMATS), bytes_there)
def test_damaged_bytes_give_arrays_or_an_input_error(kind, changes):
    data = bytearray(fixture(kind))
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.pth")
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            for array in read_weights(path).stored.values():
                if array.size < 10**6:  # a size may have become a huge one, with a stride of 0
                    array.tobytes()


def test_a_changed_number_in_a_zip_is_found(tmp_path):
    data = bytearray(checkpoint({"w": np.full(4, 3.0, np.float32)}))
    data[data.index(np.float32(3).tobytes())] ^= 1
    refused(tmp_path / "flipped.pth", bytes(data), "damaged")


BAD_TENSORS = {
    "beyond the end": (tensor(storage("0", 4), 1, (4,), (1,)), "beyond its numbers"),
    "far beyond by strides": (tensor(storage("0", 4), 0, (2, 2), (1000, 1)), "beyond its numbers"),
    "negative offset": (tensor(storage("0", 4), -1, (1,), (1,)), "negative"),
    "negative stride": (tensor(storage("0", 4), 3, (4,), (-1,)), "negative"),
    "negative size": (tensor(storage("0", 4), 0, (-4,), (1,)), "negative"),
    "more strides than sizes": (tensor(storage("0", 4), 0, (4,), (1, 1)), "cannot be"),
    "absurd size": (
        tensor(storage("0", 4), 0, (2**31 - 1,) * 4, (0,) * 4),
        "bytes describe tensors of",
    ),
    "no storage": (tensor(text("0"), 0, (4,), (1,)), "cannot be"),
    "unknown kind": (tensor(storage("0", 4, "FancyStorage"), 0, (4,), (1,)), "FancyStorage"),
    "storage that is not there": (
        tensor(storage("../../etc/passwd", 4), 0, (4,), (1,)),
        "missing|cut short|list of storages",
    ),
    "storage of another length": (tensor(storage("0", 5), 0, (4,), (1,)), "cut short"),
    "negative count": (tensor(storage("0", -1), 0, (0,), (1,)), "cannot be"),
}


@pytest.mark.parametrize("build", [zip_file, stream_file], ids=FORMATS)
@pytest.mark.parametrize("name", BAD_TENSORS)
def test_impossible_tensors_are_refused(build, name, tmp_path):
    code, match = BAD_TENSORS[name]
    refused(tmp_path / "bad.pth", build(state({"w": code}), {"0": bytes(16)}), match)


def many_axes(count):
    sizes = tuple(1 for _ in range(count))
    return state({"w": tensor(storage("0", 4), 0, sizes, sizes)})


@pytest.mark.parametrize("build", [zip_file, stream_file], ids=FORMATS)
def test_a_small_file_takes_no_large_memory(build, tmp_path):
    """A number that stands in many places, by a stride of 0: what the file may say has a bound."""
    for count, repeated in [(1 << 30, 1), (1 << 26, 3)]:
        shared = {f"w{i}": tensor(storage("0", 4), 0, (count,), (0,)) for i in range(repeated)}
        tracemalloc.start()
        message = rf"bytes describe tensors of {count * repeated} numbers"
        refused(tmp_path / "bad.pth", build(state(shared), {"0": bytes(16)}), message)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        tracemalloc.stop()
    refused(tmp_path / "bad.pth", build(many_axes(9), {"0": bytes(16)}), "a tensor that cannot be")
    (tmp_path / "good.pth").write_bytes(build(many_axes(5), {"0": bytes(16)}))
    assert read_torch_file(tmp_path / "good.pth")[0]["w"].shape == (1,) * 5


def test_parts_of_a_zip_that_lie_over_each_other(tmp_path):
    """Many names for the same bytes: each part is whole, and all together are more than the file."""
    parts = {str(i): bytes(100_000) for i in range(3)}
    tensors = {f"w{i}": tensor(storage(str(i), 25_000), 0, (1,), (1,)) for i in range(3)}
    good = zip_file(state(tensors), parts)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        archive.infolist()
        central = good[archive.start_dir :]
        first, *others = (i for i in archive.infolist() if "/data/" in i.filename)
    for other in others:  # they all begin where the first does
        place = central.index(other.filename.encode()) - 4
        offset = first.header_offset.to_bytes(4, "little")
        central = central[:place] + offset + central[place + 4 :]
    kept = good[: first.header_offset + 100_200]
    end = central.rindex(b"PK\x05\x06") + 16
    central = central[:end] + len(kept).to_bytes(4, "little") + central[end + 4 :]
    refused(tmp_path / "bad.pth", kept + central, "its parts are larger than the file")


@pytest.mark.parametrize("build", [zip_file, stream_file], ids=FORMATS)
def test_the_same_file_with_a_possible_tensor_is_read(build, tmp_path):
    good = build(state({"w": tensor(storage("0", 4), 0, (4,), (1,))}), {"0": bytes(16)})
    (tmp_path / "good.pth").write_bytes(good)
    assert read_torch_file(tmp_path / "good.pth")[0]["w"].tolist() == [0, 0, 0, 0]


def test_other_content_is_named(tmp_path):
    path = tmp_path / "x.pth"
    refused(path, stream_file(pickle.dumps([1, 2], 2), {}), "state_dict")
    refused(path, stream_file(pickle.dumps({"epoch": 3}, 2), {}), r"state_dict.*epoch")
    refused(path, pickle.dumps({"a": 1}, 2), "PyTorch")
    refused(path, pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2), "version")
    refused(path, zip_file(state({}), {}, **{"constants.pkl": b""}), "TorchScript")
    named_by_number = b"\x80\x02}" + whole_key() + b"s."
    refused(path, zip_file(named_by_number, {"0": bytes(4)}), "named by text")


def whole_key() -> bytes:
    return b"K\x01" + tensor(storage("0", 1), 0, (1,), (1,))


def test_zips_of_others_are_named(tmp_path):
    for name, compression, match in (
        ("readme.txt", zipfile.ZIP_STORED, "data.pkl"),
        ("net/data.pkl", zipfile.ZIP_DEFLATED, "compressed"),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", compression) as archive:
            archive.writestr(name, state({}) * 50)
        refused(tmp_path / "other.zip", out.getvalue(), match)
