"""PyTorch's .pth, read without PyTorch.

Both formats consist of a pickle that describes the tensors (storage, offset, shape, strides) and of
the storages, which are plain numbers in a row:

- zip (since PyTorch 1.6): NAME/data.pkl, NAME/data/0, NAME/data/1, … and NAME/byteorder;
- stream (before): five pickles (magic number, protocol, system, the description, the keys of the
  storages), then for each key the count as int64 and the numbers.

A tensor is then a strided view into its storage. Several may share one, as they did when saved.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files.safetensors_file import widen_bfloat16
from minirnn.weights.pickle_reader import Named, mapping, read_pickle

MAGIC = 0x1950A86A20F9469CFC6C
STREAM_PROTOCOL = 1001

#: The dtype of the numbers in each of torch's storages.
STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}

#: Where checkpoints of a training keep the weights among other things.
WRAPPERS = ("model", "state_dict", "model_state_dict")


#: A tensor can say that one number stands in many places (a stride of 0), and many tensors that they are
#: the same one: a file of some bytes can describe any number of numbers. It may describe as many as it has
#: bytes, and these beside them (half a gigabyte: more than the largest network that there is a file of).
_SPARE = 1 << 27
_MOST_AXES = 8
_LONGEST_AXIS = 1 << 40


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers outside the pickle: its key, and the dtype and count of its numbers."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view into a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Stands in for torch._utils._rebuild_tensor_v2 (its further arguments concern gradients)."""
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise InputError("its pickle describes a tensor that cannot be")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise InputError("its pickle describes a tensor with a negative or fractional size")
    if len(shape) > _MOST_AXES or max(numbers) > _LONGEST_AXIS:
        raise InputError("its pickle describes a tensor that cannot be")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise InputError("its pickle describes a tensor that reaches beyond its numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *_: Any) -> Any:
    """Stands in for torch._utils._rebuild_parameter: the tensor itself."""
    return tensor


#: All that a file may name. The last three are in what training scripts save beside the weights.
ALLOWED: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys(STORAGES),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
    "collections.OrderedDict": mapping,
    "collections.Counter": mapping,
    "argparse.Namespace": mapping,
    "collections.defaultdict": lambda *_: {},
}


def _storage(described: Any) -> Storage:
    """What a pickle says of a storage: ("storage", kind, key, device, count[, view])."""
    if not isinstance(described, tuple) or len(described) < 5 or described[0] != "storage":
        raise InputError("its pickle refers to something that is no storage of numbers")
    kind, key, _, count, *view = described[1:]
    if not isinstance(kind, Named) or kind.name not in STORAGES:
        raise InputError("its pickle refers to a storage of an unknown kind")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise InputError("its pickle refers to a storage that cannot be")
    if any(view):
        raise InputError("it shares storages in a way that only PyTorch before 0.4 wrote")
    return Storage(key, STORAGES[kind.name], count)


def read_torch_file(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a .pth and their dtypes in the file, by name.

    Args:
        path: holds a state_dict, or a dictionary with one under "model" or "state_dict".

    Returns:
        Read-only arrays, which may share memory (bfloat16 as the same values in float32), and
        dtypes as text.

    Raises:
        InputError: it is no such file, is damaged or cut short, or its pickle asks for anything
            that is not needed to describe tensors; names the file. Nothing in it was run.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        tree, numbers_of = _open_zip(data) if data[:2] == b"PK" else _open_stream(data)
        tensors = _state(tree)
        described = sum(math.prod(tensor.shape) for tensor in tensors.values())
        if described > len(data) + _SPARE:
            raise InputError(f"its {len(data)} bytes describe tensors of {described} numbers")
        rows: dict[Storage, np.ndarray] = {}
        arrays = {}
        for name, tensor in tensors.items():
            storage = tensor.storage
            if storage not in rows:
                rows[storage] = _numbers(storage, *numbers_of(storage))
            arrays[name] = _view(tensor, rows[storage])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return arrays, {name: tensor.storage.dtype for name, tensor in tensors.items()}


NumbersOf = Callable[[Storage], tuple[Any, str]]  # bytes of a storage, and "<" or ">"


def _open_zip(data: bytes) -> tuple[Any, NumbersOf]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = {info.filename: info for info in archive.infolist()}
    except Exception as error:  # zipfile raises almost anything on damaged bytes
        raise InputError(f"its zip archive is cut short or damaged ({error})") from error
    # Parts may lie over each other, so that a small file holds a lot.
    if sum(info.compress_size for info in names.values()) > len(data):
        raise InputError("its parts are larger than the file")
    roots = [name.removesuffix("data.pkl") for name in names if name.count("/") == 1]
    roots = [root for root in roots if f"{root}data.pkl" in names]
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(
            "it is a TorchScript program, not weights; save model.state_dict() instead"
        )
    if not roots:
        raise InputError("it is a zip archive, but PyTorch did not write it (no data.pkl in it)")
    root = roots[0]

    def member(name: str) -> bytes:
        info = names.get(root + name)
        if info is None:
            raise InputError(f"its part {name} is missing")
        # PyTorch never compresses, so that a small file cannot unfold into a huge one.
        if info.compress_type != zipfile.ZIP_STORED:
            raise InputError(f"its part {name} is compressed; PyTorch does not write such files")
        try:
            return archive.read(info)
        except Exception as error:
            raise InputError(f"its part {name} is damaged ({error})") from error

    order = member("byteorder").strip() if root + "byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"its byte order is {order[:20]!r}; it should be little or big")
    tree = read_pickle(io.BytesIO(member("data.pkl")), ALLOWED, _storage)
    return tree, lambda storage: (member(f"data/{storage.key}"), ">" if order == b"big" else "<")


def _open_stream(data: bytes) -> tuple[Any, NumbersOf]:
    stream = io.BytesIO(data)
    if read_pickle(stream, ALLOWED, _storage) != MAGIC:
        raise InputError("it is a pickle, but no file of weights that PyTorch wrote")
    if read_pickle(stream, ALLOWED) != STREAM_PROTOCOL:
        raise InputError("it is of another version of PyTorch's stream format")
    read_pickle(stream, ALLOWED)  # sizes of C's integers, which the numbers do not depend on
    described: dict[str, Storage] = {}

    def remember(what: Any) -> Storage:
        storage = _storage(what)
        if described.setdefault(storage.key, storage) != storage:
            raise InputError("its pickle describes one storage in two ways")
        return storage

    tree = read_pickle(stream, ALLOWED, remember)
    keys = read_pickle(stream, ALLOWED)
    if not isinstance(keys, list):
        raise InputError("its list of storages is damaged")
    rows: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        if not isinstance(key, str) or key not in described:
            raise InputError("its list of storages is damaged")
        count = int.from_bytes(data[position : position + 8], "little")
        if count != described[key].count or position + 8 > len(data):
            raise InputError("its numbers are cut short or damaged")
        size = count * _itemsize(described[key].dtype)
        rows[key] = memoryview(data)[position + 8 : position + 8 + size]
        position += 8 + size

    def numbers_of(storage: Storage) -> tuple[memoryview, str]:
        if storage.key not in rows:
            raise InputError("its numbers are cut short or damaged")
        return rows[storage.key], "<"

    return tree, numbers_of


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _numbers(storage: Storage, data: Any, order: str) -> np.ndarray:
    """The bytes of a storage as a one-dimensional array."""
    if len(data) != storage.count * _itemsize(storage.dtype):
        raise InputError("its numbers are cut short or damaged")
    if storage.dtype == "bfloat16":
        return widen_bfloat16(np.frombuffer(data, f"{order}u2"))
    kind = np.dtype(storage.dtype)
    return np.frombuffer(data, f"{order}{kind.str[1:]}").astype(kind, copy=False)


def _view(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    steps = tuple(step * numbers.itemsize for step in tensor.strides)
    start = numbers[tensor.offset :]
    try:
        return np.lib.stride_tricks.as_strided(start, tensor.shape, steps, writeable=False)
    except (ValueError, OverflowError) as error:
        raise InputError(f"it describes a tensor that cannot be ({error})") from error


def _state(tree: Any) -> dict[str, Tensor]:
    """The tensors by name, from a state_dict or from a checkpoint that holds one."""
    if isinstance(tree, dict) and not any(isinstance(value, Tensor) for value in tree.values()):
        tree = next((tree[name] for name in WRAPPERS if isinstance(tree.get(name), dict)), tree)
    state = (
        {name: value for name, value in tree.items() if isinstance(value, Tensor)}
        if isinstance(tree, dict)
        else {}
    )
    if not state:
        what = (
            f"a dictionary of {sorted(map(str, tree))[:10]}" if isinstance(tree, dict) else "none"
        )
        raise InputError(f"it should hold a state_dict, arrays by name; it holds {what}")
    if not all(isinstance(name, str) for name in state):
        raise InputError("it should hold a state_dict; its arrays are not named by text")
    return state
