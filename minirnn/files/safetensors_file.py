"""The .safetensors format: a header in JSON, then the numbers. There is nothing in it to run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from minirnn.backend import Array, to_host
from minirnn.errors import InputError
from minirnn.files.whole import replacing

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_LETTERS = {name: letters for letters, name in DTYPES.items()}


def read_safetensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, Any]]:
    """The arrays of a .safetensors file, the kinds of their numbers, and its metadata.

    Returns:
        Arrays by name (bfloat16 as the same values in float32), dtypes as text by name, and the
        texts of `__metadata__`.

    Raises:
        InputError: it is no such file, is cut short or damaged, or has numbers of a kind that NumPy
            does not know; names the file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        parts = deserialize(data)
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        arrays, dtypes = {}, {}
        for name, part in parts:
            if part["dtype"] not in DTYPES:
                raise InputError(
                    f"{path}: {name} is of the kind {part['dtype']}; it should be one of "
                    f"{', '.join(DTYPES)}"
                )
            dtypes[name] = DTYPES[part["dtype"]]
            arrays[name] = _numbers(part["data"], dtypes[name]).reshape(part["shape"])
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no safetensors file, or was cut short or damaged ({error})"
        ) from error
    return arrays, dtypes, metadata


def write_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write arrays as a .safetensors file, one after the other: none is held in memory twice.

    The file is 8 bytes with the length of the header, the header (for each array its kind, shape, and
    from where to where its bytes are), and the bytes. The widest numbers come first, so that all are
    aligned, then it goes by name: as the format's own library does it.

    Args:
        path: it appears whole or not at all, see `minirnn.files.whole`.
        arrays: by name; of NumPy or CuPy.
        metadata: texts by name.

    Raises:
        InputError: a name cannot be written as UTF-8, or an array is of a kind that the format lacks.
        OSError: the file cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    place = 0
    for name in (names := sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))):
        array = arrays[name]
        if array.dtype.name not in _LETTERS:
            raise InputError(
                f"array {name} is of {array.dtype}; it should be one of {', '.join(_LETTERS)}"
            )
        header[name] = {
            "dtype": _LETTERS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place := place + array.nbytes],
        }
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: a name is no text that can be written: {error}") from error
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            array = np.asarray(to_host(arrays[name]), order="C")
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(little.reshape(-1).view(np.uint8).data)


def _numbers(data: bytes, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return widen_bfloat16(np.frombuffer(data, "<u2"))
    kind = np.dtype(dtype)
    return np.frombuffer(data, f"<{kind.str[1:]}").astype(kind, copy=False)


def widen_bfloat16(halves: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, in float32: a bfloat16 is the upper half of a float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)
