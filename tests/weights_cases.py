"""Files of weights for tests, written instruction by instruction and without PyTorch."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).resolve().parent / "fixtures"


def torchvision_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes as torchvision itself printed them."""
    text = (FIXTURES / "torchvision_names.txt").read_text(encoding="utf-8")
    (part,) = [p for p in text.split("# ") if p.startswith(network + "\n")]
    rows = [line.split() for line in part.splitlines()[1:]]
    return {name: tuple(map(int, shape.split("x"))) for name, shape in rows}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    told = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + whole(count)
    return b"(" + told + b"tQ"


def tensor(store: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    arguments = store + whole(offset) + numbers(shape) + numbers(strides)
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + hooks + b"tR"


def state(tensors: Mapping[str, bytes]) -> bytes:
    items = b"".join(text(name) + code for name, code in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def zip_file(description: bytes, data: Mapping[str, bytes], **more: bytes) -> bytes:
    """PyTorch's zip format: the pickle, the bytes of the storages, and further parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("net/data.pkl", description)
        for key, value in data.items():
            archive.writestr(f"net/data/{key}", value)
        for name, value in more.items():
            archive.writestr(f"net/{name}", value)
    return out.getvalue()


def stream_file(description: bytes, data: Mapping[str, bytes], itemsize: int = 4) -> bytes:
    """PyTorch's stream format."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    out = b"".join(pickle.dumps(part, protocol=2) for part in head) + description
    out += pickle.dumps(list(data), protocol=2)
    for value in data.values():
        out += struct.pack("<q", len(value) // itemsize) + value
    return out


def checkpoint(arrays: Mapping[str, np.ndarray], *, stream: bool = False) -> bytes:
    """A .pth with float32 arrays."""
    codes, data = {}, {}
    for index, (name, array) in enumerate(arrays.items()):
        strides = tuple(step // 4 for step in np.empty(array.shape, np.float32).strides)
        codes[name] = tensor(storage(str(index), array.size), 0, array.shape, strides)
        data[str(index)] = np.asarray(array, "<f4", order="C").tobytes()
    return (stream_file if stream else zip_file)(state(codes), data)


def constant_checkpoint(
    shapes: Mapping[str, tuple[int, ...]], *, stream: bool = False, counters: bool = False
) -> bytes:
    """A small .pth with arrays of any size: array i is i / 1000 everywhere, by strides of 0."""
    values = np.arange(len(shapes), dtype="<f4") / 1000
    store = storage("0", len(shapes))
    codes = {
        name: tensor(store, index, shape, (0,) * len(shape))
        for index, (name, shape) in enumerate(shapes.items())
    }
    data = {"0": values.tobytes()}
    if counters:
        store = storage("0", len(shapes))
        codes |= {
            name.replace("running_mean", "num_batches_tracked"): tensor(store, 0, (), ())
            for name in shapes
            if name.endswith("running_mean")
        }
    return (stream_file if stream else zip_file)(state(codes), data)


def old_name(name: str) -> str:
    """A parameter's name in torchvision's files before 2022."""
    parts = name.split(".")
    if name.startswith("rpn.head.conv.0.0"):
        return f"rpn.head.conv.{parts[-1]}"
    if name.startswith("backbone.fpn."):
        return ".".join([*parts[:4], parts[-1]])
    if name.startswith("roi_heads.mask_head."):
        return f"roi_heads.mask_head.mask_fcn{int(parts[2]) + 1}.{parts[-1]}"
    return name
