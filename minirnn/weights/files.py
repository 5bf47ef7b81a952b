"""Files of weights of all kinds, told apart by what is in them."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files.checkpoint import KEY, read_checkpoint
from minirnn.files.safetensors_file import read_safetensors
from minirnn.weights.names import COUNTER, modern
from minirnn.weights.torch_file import read_torch_file

#: In bytes: no header of a safetensors file may be longer, says the format.
_LONGEST_HEADER = 100_000_000

#: How other files begin that people mistake for weights, and what they are.
_STRANGERS = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "a web page or XML",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"{": "JSON",
}


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, read.

    Attributes:
        path: where it is.
        kind: "PyTorch (zip)", "PyTorch (stream)", "safetensors" or "minirnn checkpoint".
        stored: arrays by the names that they have in the file.
        dtypes: of the arrays in the file, by the same names (bfloat16 becomes a float32 array).
        arrays: by torchvision's present names, without the counters of BatchNorm.
        config: the fields of the configuration that a checkpoint of ours holds; None in others.
    """

    path: Path
    kind: str
    stored: dict[str, np.ndarray]
    dtypes: dict[str, str]
    arrays: dict[str, np.ndarray]
    config: dict[str, Any] | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by torchvision's present names."""
        return {name: tuple(array.shape) for name, array in self.arrays.items()}

    @property
    def norm_was_trained(self) -> bool:
        """Whether the file has the counters of a BatchNorm that was not frozen."""
        return any(name.endswith(COUNTER) for name in self.stored)


def read_weights(path: str | os.PathLike[str]) -> WeightsFile:
    """Read a file of weights, told by its content and not by its name.

    Raises:
        InputError: it is not there, a folder, empty, of another kind, cut short, damaged, or
            malicious; names the file. Nothing in it is run.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; it should be a file of weights")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if not start:
        raise InputError(f"{path} is empty; it should be a file of weights")
    # The first bytes of a safetensors file are a number, the length of its header, and may read as
    # "PK" or as the start of a pickle. So it is asked first, and by more than a few bytes.
    if _is_safetensors(path):
        return _read_safetensors(path)
    if start[:4] == b"PK\x03\x04" or zipfile.is_zipfile(path):
        return _renamed(path, "PyTorch (zip)", *read_torch_file(path))
    if _begins_as_safetensors(start):  # cut short or damaged: the reader says what is wrong
        return _read_safetensors(path)
    if start[:1] == b"\x80" and start[1] <= pickle.HIGHEST_PROTOCOL:
        return _renamed(path, "PyTorch (stream)", *read_torch_file(path))
    for beginning, what in _STRANGERS.items():
        if start.lstrip().startswith(beginning):
            raise InputError(f"{path} is no file of weights: it is {what}")
    raise InputError(
        f"{path} is no file of weights that can be read here (PyTorch's .pth, .safetensors), or it "
        "is damaged"
    )


def _begins_as_safetensors(start: bytes) -> bool:
    """Eight bytes with the length of the header, little-endian, and the header's first bracket."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER


def _is_safetensors(path: Path) -> bool:
    """Whether the file holds the whole header that its first eight bytes announce, in JSON."""
    with open(path, "rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if not _begins_as_safetensors(start) or 8 + length > path.stat().st_size:
            return False
        file.seek(8)
        header = file.read(length)
    try:
        return isinstance(json.loads(header), dict)
    except (ValueError, RecursionError):
        return False


def _read_safetensors(path: Path) -> WeightsFile:
    arrays, dtypes, metadata = read_safetensors(path)
    if KEY not in metadata:
        return _renamed(path, "safetensors", arrays, dtypes)
    # Once more through the reader that knows the checksum and leaves out the optimiser's state.
    arrays, ours = read_checkpoint(path)
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    return WeightsFile(path, "minirnn checkpoint", arrays, dtypes, arrays, ours["config"])


def _renamed(
    path: Path, kind: str, stored: dict[str, np.ndarray], dtypes: dict[str, str]
) -> WeightsFile:
    try:
        return WeightsFile(path, kind, stored, dtypes, modern(stored))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
