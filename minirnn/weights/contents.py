"""What is in a file of weights: for a look inside before it is used."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from minirnn.errors import InputError
from minirnn.weights.files import read_weights
from minirnn.weights.load import config_of, network_of

_NOT_TRAINED = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class ArrayDescription:
    """Name, shape and dtype of one array in a file."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Description:
    """What is in a file of weights.

    Attributes:
        path: the file.
        kind: as in `WeightsFile`.
        network: what it is the weights of, in words.
        config: the configuration of that network, where it is one that `model_from` builds.
        arrays: in the file's order.
        parameters: numbers that training changes (no running statistics).
        numbers: all numbers.
    """

    path: str
    kind: str
    network: str
    config: dict[str, Any] | None
    arrays: tuple[ArrayDescription, ...]
    parameters: int
    numbers: int


def describe(path: str | os.PathLike[str]) -> Description:
    """Names, shapes and dtypes of all arrays in a file, and what network they belong to.

    Raises:
        InputError: the file cannot be read, see `read_weights`.
    """
    file = read_weights(path)
    try:
        config: dict[str, Any] | None = config_of(file).flat()
    except InputError:
        config = None
    shapes = {name: tuple(array.shape) for name, array in file.stored.items()}
    return Description(
        path=str(path),
        kind=file.kind,
        network=network_of(file),
        config=config,
        arrays=tuple(ArrayDescription(name, shapes[name], file.dtypes[name]) for name in shapes),
        parameters=sum(
            math.prod(shape) for name, shape in shapes.items() if not name.endswith(_NOT_TRAINED)
        ),
        numbers=sum(math.prod(shape) for shape in shapes.values()),
    )
