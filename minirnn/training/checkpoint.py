"""Checkpoints: a model and the state of its training in one file that can be trusted.

The file is in the safetensors format: a header in JSON, then the arrays' bytes. Reading it
executes nothing. The model's arrays have their own names, so that any reader of safetensors finds
the weights; the optimiser's velocities stand beside them as "optimiser/<name>". The header holds
one text, `minirnn`, a JSON object with everything that is no array, and the SHA-256 of all that.

No state of a random generator is kept, because there is none: each step makes its own from the seed
and the step's number. The position in metrics.jsonl is the step, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minirnn import __version__
from minirnn.backend import Array, to_host
from minirnn.errors import InputError
from minirnn.training.settings import FREE_ON_RESUME, TrainingSettings

if TYPE_CHECKING:
    from minirnn.training.optimiser import SGD

FORMAT_VERSION = 1
_KEY = "minirnn"
_OPTIMISER = "optimiser/"  # no parameter's name has a slash


def save_checkpoint(
    path: str | os.PathLike[str],
    model_state: Mapping[str, Array],
    config: Any,
    *,
    preset: str | None = None,
    step: int = 0,
    settings: TrainingSettings | None = None,
    optimiser_state: Mapping[str, Array] | None = None,
    images: int | None = None,
) -> None:
    """Write a checkpoint, so that at every moment `path` is either the old one or the new, whole.

    The bytes go to ".<name>.tmp" in the same folder, to the disk, and then take the name over in
    one operation of the file system. What a killed process left under that name is written over.

    Args:
        path: the file, usually "….safetensors"; its folder must be there.
        model_state: arrays by name, of `Module.state_dict()`; of NumPy or CuPy.
        config: the model's configuration, a dataclass or a dictionary that JSON can hold.
        preset: the name of the configuration that the model was built from, if it has one.
        step: the number of steps taken.
        settings: the training's, or None outside training.
        optimiser_state: of `SGD.state_dict()`, or None outside training.
        images: how many images the data set has, or None.

    Raises:
        OSError: the file cannot be written. The one before is still there.
    """
    path = Path(path)
    arrays = {name: _plain(array) for name, array in model_state.items()}
    for name, array in (optimiser_state or {}).items():
        arrays[_OPTIMISER + name] = _plain(array)
    metadata = {
        "format_version": FORMAT_VERSION,
        "minirnn_version": __version__,
        "preset": preset,
        "config": fields_of(config),
        "step": step,
        "settings": None if settings is None else dataclasses.asdict(settings),
        "has_optimiser": optimiser_state is not None,
        "images": images,
    }
    metadata["sha256"] = _digest(arrays, metadata)
    write_atomically(path, save(arrays, {_KEY: _text(metadata)}))


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The model's arrays and the metadata of a checkpoint, checked to be what was written.

    Returns:
        The arrays for `Module.load_state_dict`, and a dictionary with preset, config, step,
        settings, images, has_optimiser (see `save_checkpoint`; lists stand for tuples),
        format_version and minirnn_version.

    Raises:
        InputError: there is no such file, it is no checkpoint of minirnn, is of a later version, or
            is damaged (cut short, bytes changed); names the file.
    """
    arrays, metadata = _read(path)
    return {k: v for k, v in arrays.items() if not k.startswith(_OPTIMISER)}, metadata


def restore_checkpoint(
    path: str | os.PathLike[str],
    model: Any,
    optimiser: SGD | None = None,
    settings: TrainingSettings | None = None,
    images: int | None = None,
) -> dict[str, Any]:
    """Put a checkpoint into the model that it was made of, to go on with its training.

    Args:
        path: the file.
        model: has `config`, `state_dict()` and `load_state_dict()`.
        optimiser: gets its velocities back; None to leave them.
        settings: those that the training is to go on with; None if it is not.
        images: how many images the data set has; None to leave that out.

    Returns:
        The metadata, as of `read_checkpoint`.

    Raises:
        InputError: as `read_checkpoint`; or the checkpoint is of another model (lists what differs:
            configuration, names, shapes), was trained with other settings or data, or has no state
            of an optimiser. Nothing has been changed then.
    """
    arrays, metadata = _read(path)
    state = {k: v for k, v in arrays.items() if not k.startswith(_OPTIMISER)}
    _refuse_if(_model_differences(state, metadata["config"], model), path, "another model")
    if (optimiser or settings) and not (metadata["has_optimiser"] and metadata["settings"]):
        raise InputError(f"{path} holds weights only; training cannot go on from there")
    if settings is not None:
        _refuse_if(_run_differences(metadata, settings, images), path, "another run")
    if optimiser is not None:
        try:
            optimiser.load_state_dict(
                {k.removeprefix(_OPTIMISER): v for k, v in arrays.items() if k not in state}
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    model.load_state_dict(state)
    return metadata


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content so that no moment, not even a power cut, leaves half of it.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the content first, or the new name could point to nothing
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):  # not on Windows: the new name, too, must reach the disk
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}, no checkpoint")
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(_KEY)
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: its metadata cannot be read") from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}; this minirnn ({__version__}) reads "
            f"{FORMAT_VERSION}"
        )
    if digest != _digest(arrays, metadata):
        raise InputError(f"{path} is damaged: its content does not fit its checksum")
    return arrays, metadata


def _refuse_if(problems: list[str], path: str | os.PathLike[str], whose: str) -> None:
    if problems:
        shown = problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20)
        raise InputError(f"{path} is a checkpoint of {whose}:\n  " + "\n  ".join(shown))


def fields_of(config: Any) -> dict[str, Any]:
    """A configuration as a dictionary: by flat names, as they have always stood in checkpoints."""
    if isinstance(config, Mapping):
        return dict(config)
    return config.flat() if hasattr(config, "flat") else dataclasses.asdict(config)


def _model_differences(
    state: Mapping[str, np.ndarray], config: Mapping[str, Any], model: Any
) -> list[str]:
    """What keeps a checkpoint from being the model's, one line each."""
    own_config = json.loads(_text(fields_of(model.config)))
    # A field that came after the file was written: its default is what was done before.
    defaults = fields_of(type(model.config)())
    config = json.loads(_text(defaults)) | dict(config)
    problems = [
        f"{name} is {config.get(name)!r} in the file, {own_config.get(name)!r} in the model"
        for name in sorted(config.keys() | own_config.keys())
        if config.get(name) != own_config.get(name)
    ]
    own = model.state_dict()
    problems += [f"missing: {name}" for name in own if name not in state]
    problems += [f"unexpected: {name}" for name in state if name not in own]
    problems += [
        f"shape: {name} is {state[name].shape} in the file, {tuple(array.shape)} in the model"
        for name, array in own.items()
        if name in state and state[name].shape != tuple(array.shape)
    ]
    return problems


def _run_differences(
    metadata: Mapping[str, Any], settings: TrainingSettings, images: int | None
) -> list[str]:
    """Why going on would not be the training that was begun, one line each."""
    then, now = metadata["settings"], json.loads(_text(dataclasses.asdict(settings)))
    problems = [
        f"{name} was {then.get(name)!r}, now {now[name]!r}"
        for name in now
        if name not in FREE_ON_RESUME and then.get(name) != now[name]
    ]
    if None not in (images, metadata["images"]) and metadata["images"] != images:
        problems.append(f"the data set had {metadata['images']} images, now {images}")
    if metadata["step"] > settings.steps:
        problems.append(
            f"{metadata['step']} steps were taken already, now steps is {settings.steps}"
        )
    return problems


def _plain(array: Array) -> np.ndarray:
    """On the host and in one piece: safetensors writes the memory as it lies there."""
    return np.asarray(to_host(array), order="C")


def _text(metadata: Mapping[str, Any]) -> str:
    """The one way to write these metadata: equal content, equal text."""
    return json.dumps(metadata, sort_keys=True, allow_nan=False)


def _digest(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """SHA-256 of metadata, names, kinds, shapes and bytes."""
    digest = hashlib.sha256(_text(metadata).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
