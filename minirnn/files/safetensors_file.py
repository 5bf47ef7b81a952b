"""The .safetensors format: a header in JSON, then the numbers. There is nothing in it to run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from minirnn.errors import InputError
from minirnn.weights.torch_file import widen_bfloat16

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
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise InputError(
            f"{path} is no safetensors file, or was cut short or damaged ({error})"
        ) from error
    arrays, dtypes = {}, {}
    for name, part in parts:
        if part["dtype"] not in DTYPES:
            raise InputError(
                f"{path}: {name} is of the kind {part['dtype']}; it should be one of "
                f"{', '.join(DTYPES)}"
            )
        dtypes[name] = DTYPES[part["dtype"]]
        if dtypes[name] == "bfloat16":
            numbers = widen_bfloat16(np.frombuffer(part["data"], "<u2"))
        else:
            kind = np.dtype(dtypes[name])
            numbers = np.frombuffer(part["data"], f"<{kind.str[1:]}").astype(kind, copy=False)
        arrays[name] = numbers.reshape(part["shape"])
    return arrays, dtypes, metadata
