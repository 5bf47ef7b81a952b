"""Checkpoints: a model and the state of its training in one file that can be trusted.

The file is in the safetensors format: a header in JSON, then the arrays' bytes. Reading it
executes nothing. The model's arrays have their own names, so that any reader of safetensors finds
the weights; the optimiser's velocities stand beside them as "optimiser/<name>". The header holds
one text, `minirnn`, a JSON object with everything that is no array, and the SHA-256 of all that.

No state of a random generator is kept, because there is none: each step makes its own from the seed
and the step's number. The position in metrics.jsonl is the step, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from minirnn import __version__
from minirnn.backend import Array, to_host
from minirnn.errors import InputError
from minirnn.files.safetensors_file import write_safetensors

FORMAT_VERSION = 1
KEY = "minirnn"
OPTIMISER = "optimiser/"  # no parameter's name has a slash


def save_checkpoint(
    path: str | os.PathLike[str],
    model_state: Mapping[str, Array],
    config: Any,
    *,
    preset: str | None = None,
    step: int = 0,
    settings: Any = None,
    optimiser_state: Mapping[str, Array] | None = None,
    images: int | None = None,
    data: str | None = None,
    best: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint, so that at every moment `path` is either the old one or the new, whole.

    The arrays go to the disk one by one; none of them, and not the file, is held in memory twice.

    Args:
        path: the file, usually "….safetensors"; its folder must be there.
        model_state: arrays by name, of `Module.state_dict()`; of NumPy or CuPy.
        config: the model's configuration, a dataclass or a dictionary that JSON can hold.
        preset: the name of the configuration that the model was built from, if it has one.
        step: the number of steps taken.
        settings: the training's, a dataclass, or None outside training.
        optimiser_state: of `Optimiser.state_dict()`, or None outside training.
        images: how many images the data set has, or None.
        data: the fingerprint of the data set, or None.
        best: by what the weights are a run's best, {"kind": "segm", "score": 0.3}; None where they need
            not be.

    Raises:
        OSError: the file cannot be written. The one before is still there.
    """
    arrays = dict(model_state)
    for name, array in (optimiser_state or {}).items():
        arrays[OPTIMISER + name] = array
    metadata = {
        "format_version": FORMAT_VERSION,
        "minirnn_version": __version__,
        "preset": preset,
        "config": fields_of(config),
        "step": step,
        "settings": None if settings is None else dataclasses.asdict(settings),
        "has_optimiser": optimiser_state is not None,
        "images": images,
        "data": data,
    }
    if best is not None:
        metadata["best"] = dict(best)
    metadata["sha256"] = _digest(arrays, metadata)
    write_safetensors(path, arrays, {KEY: as_text(metadata)})


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The model's arrays and the metadata of a checkpoint, checked to be what was written.

    Returns:
        The arrays for `Module.load_state_dict`, and a dictionary with preset, config, step,
        settings, images, data, best, has_optimiser (see `save_checkpoint`; lists stand for tuples),
        format_version and minirnn_version.

    Raises:
        InputError: there is no such file, it is no checkpoint of minirnn, is of a later version, or
            is damaged (cut short, bytes changed); names the file.
    """
    arrays, metadata = read_all(path)
    return {k: v for k, v in arrays.items() if not k.startswith(OPTIMISER)}, metadata


def read_all(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`read_checkpoint` with the optimiser's velocities among the arrays, as "optimiser/<name>"."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}, no checkpoint")
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no safetensors file, or was cut short or damaged ({error})"
        ) from error
    if text is None:
        raise InputError(f"{path} is a safetensors file, but no checkpoint of minirnn")
    try:
        metadata = json.loads(text)
        digest = metadata.pop("sha256")
        version = metadata["format_version"]
        own_digest = _digest(arrays, metadata)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its metadata cannot be read") from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}; this minirnn ({__version__}) reads "
            f"{FORMAT_VERSION}"
        )
    if digest != own_digest:
        raise InputError(f"{path} is damaged: its content does not fit its checksum")
    for name in ("data", "best"):
        metadata.setdefault(name, None)  # older files have none
    _check(path, metadata)
    return arrays, metadata


def step_of(path: str | os.PathLike[str]) -> int | None:
    """The step that a checkpoint's header names, at once and unchecked; None where it names none."""
    try:
        with safe_open(path, framework="np") as file:
            step = json.loads(file.metadata()[KEY])["step"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if _is_count(step) else None


def fields_of(config: Any) -> dict[str, Any]:
    """A configuration as a dictionary: by flat names, as they have always stood in checkpoints."""
    if isinstance(config, Mapping):
        return dict(config)
    return config.flat() if hasattr(config, "flat") else dataclasses.asdict(config)


def as_text(metadata: Mapping[str, Any]) -> str:
    """The one way to write these metadata: equal content, equal text."""
    return json.dumps(metadata, sort_keys=True, allow_nan=False)


def _digest(arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> str:
    """SHA-256 of metadata, names, dtypes, shapes and bytes."""
    digest = hashlib.sha256(as_text(metadata).encode())
    for name in sorted(arrays):
        array = np.asarray(to_host(arrays[name]), order="C")
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_best(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("kind"), str)
        and isinstance(value.get("score"), int | float)
    )


#: What each entry may be: a checksum can be made anew by whoever changes a file.
_FORMS = {
    "preset": lambda value: value is None or isinstance(value, str),
    "config": lambda value: isinstance(value, dict),
    "step": _is_count,
    "settings": lambda value: value is None or isinstance(value, dict),
    "has_optimiser": lambda value: isinstance(value, bool),
    "images": lambda value: value is None or _is_count(value),
    "data": lambda value: value is None or isinstance(value, str),
    "best": lambda value: value is None or _is_best(value),
}


def _check(path: Path, metadata: Mapping[str, Any]) -> None:
    for name, fits in _FORMS.items():
        if name not in metadata or not fits(metadata[name]):
            what = repr(metadata[name]) if name in metadata else "missing"
            raise InputError(f"{path} is damaged: its {name} is {what[:60]}")
