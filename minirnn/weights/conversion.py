"""Files of weights of all kinds into .safetensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files import save_checkpoint, write_safetensors
from minirnn.weights.contents import Description, describe
from minirnn.weights.files import read_weights
from minirnn.weights.load import model_of


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    half: bool = False,
    **overrides: Any,
) -> Description:
    """Write a file of weights as .safetensors, under torchvision's present names.

    The weights of a whole detector become a checkpoint of ours, in float32, whose metadata hold the
    configuration: nothing must be guessed when it is loaded. Others (a ResNet, a part of a network)
    become a plain .safetensors file, numbers as they are (bfloat16 as float32).

    Args:
        source: any file that `read_weights` reads.
        target: ends in ".safetensors"; it appears whole or not at all.
        overwrite: replace a file that is there.
        half: a detector's arrays in half precision (float16), for half the size: AP changes in the
            third decimal at most.
        **overrides: fields of `Config`, for a detector.

    Returns:
        What was written.

    Raises:
        InputError: the source cannot be read; the target has another ending, is the source, is
            there already, or its folder is missing; an override is no field or does not fit.
        OSError: the target cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise InputError(f"{target} should end in .safetensors")
    if not target.parent.is_dir():
        raise InputError(f"{target}: there is no folder {target.parent}")
    if target.exists() and (source.exists() and target.samefile(source)):
        raise InputError(f"{target} is the source itself")
    if target.is_dir() or (target.exists() and not overwrite):
        raise InputError(f"{target} is there already")
    file = read_weights(source)
    try:
        model = model_of(file, **overrides)
    except InputError:
        if overrides or file.config is not None:
            raise
        write_safetensors(target, file.arrays, {"source": source.name})
    else:
        state = model.state_dict()
        if half:
            state = {name: array.astype(np.float16) for name, array in state.items()}
        save_checkpoint(target, state, model.config)
    return describe(target)
