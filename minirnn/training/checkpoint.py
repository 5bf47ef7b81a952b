"""Going on from a checkpoint: only with the model, the settings and the data that it was made of.

How checkpoints are written and read is in `minirnn.files.checkpoint`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files.checkpoint import (
    OPTIMISER,
    as_text,
    fields_of,
    read_all,
    read_checkpoint,
    save_checkpoint,
)
from minirnn.files.finite import check_finite
from minirnn.training.optimiser import Optimiser
from minirnn.training.settings import FREE_ON_RESUME, TrainingSettings

CHECKPOINT = "checkpoint.safetensors"

__all__ = ["CHECKPOINT", "read_checkpoint", "restore_checkpoint", "save_checkpoint"]


def restore_checkpoint(
    path: str | os.PathLike[str],
    model: Any,
    optimiser: Optimiser | None = None,
    settings: TrainingSettings | None = None,
    images: int | None = None,
    data: str | None = None,
) -> dict[str, Any]:
    """Put a checkpoint into the model that it was made of, to go on with its training.

    Args:
        path: the file.
        model: has `config`, `state_dict()` and `load_state_dict()`.
        optimiser: gets its memory back; None to leave them.
        settings: those that the training is to go on with; None if it is not.
        images: how many images the data set has; None to skip this check.
        data: the data set's fingerprint; None to skip this check.

    Returns:
        The metadata, as of `read_checkpoint`.

    Raises:
        InputError: as `read_checkpoint`; or the checkpoint is of another model (lists what differs:
            configuration, names, shapes), holds weights or velocities that are not finite, was
            trained with other settings or data, or has no state of an optimiser. Nothing has been
            changed then.
    """
    arrays, metadata = read_all(path)
    state = {k: v for k, v in arrays.items() if not k.startswith(OPTIMISER)}
    check_finite(path, arrays)
    _refuse_if(_model_differences(state, metadata["config"], model), path, "another model")
    if (optimiser or settings) and not (metadata["has_optimiser"] and metadata["settings"]):
        raise InputError(f"{path} holds weights only; training cannot go on from there")
    if settings is not None:
        _refuse_if(_run_differences(metadata, settings, images, data), path, "another run")
    if optimiser is not None:
        try:
            optimiser.load_state_dict(
                {k.removeprefix(OPTIMISER): v for k, v in arrays.items() if k not in state}
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    model.load_state_dict(state)
    return metadata


def _refuse_if(problems: list[str], path: str | os.PathLike[str], whose: str) -> None:
    if problems:
        shown = problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20)
        raise InputError(f"{path} is a checkpoint of {whose}:\n  " + "\n  ".join(shown))


def _model_differences(
    state: Mapping[str, np.ndarray], config: Mapping[str, Any], model: Any
) -> list[str]:
    """What keeps a checkpoint from being the model's, one line each."""
    own_config = json.loads(as_text(fields_of(model.config)))
    # A field that came after the file was written: its default is what was done before.
    defaults = fields_of(type(model.config)())
    config = json.loads(as_text(defaults)) | dict(config)
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
    metadata: Mapping[str, Any], settings: TrainingSettings, images: int | None, data: str | None
) -> list[str]:
    """Why going on would not be the training that was begun, one line each."""
    now, default = (
        json.loads(as_text(dataclasses.asdict(each)))
        for each in (settings, TrainingSettings(steps=1))
    )
    then = default | metadata["settings"]  # a setting that is younger than the file had its default
    problems = [
        f"{name} was {then[name]!r}, now {now[name]!r}"
        for name in now
        if name not in FREE_ON_RESUME and then[name] != now[name]
    ]
    if None not in (images, metadata["images"]) and metadata["images"] != images:
        problems.append(f"the data set had {metadata['images']} images, now {images}")
    elif None not in (data, metadata["data"]) and metadata["data"] != data:
        problems.append(
            "the data set has changed (pictures, annotations, categories or proposals); other_data "
            "(--other-data) goes on with what is there now"
        )
    if metadata["step"] > settings.steps:
        problems.append(
            f"{metadata['step']} steps were taken already, now steps is {settings.steps}"
        )
    return problems
