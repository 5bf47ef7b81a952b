"""A run's records in TensorBoard's format, for those who watch their runs there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minirnn.errors import InputError

FOLDER = "tensorboard"


class Board:
    """Writes records as TensorBoard's events, in `tensorboard` in the run's folder.

    Args:
        folder: of the run.
        resume: the run goes on; else what an earlier one has left there is removed.

    Raises:
        InputError: tensorboardX, which writes the format, is not installed.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise InputError(
                "--tensorboard needs tensorboardX: pip install '.[tensorboard]' in the folder of minirnn"
            ) from error
        self._make, self._folder = SummaryWriter, folder / FOLDER
        self._resume = resume
        self._writer: Any = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a record: losses/mask, shares/positive_anchors, evaluation/segm/AP, …"""
        step = record["step"]
        for name, value in _numbers(record):
            self._open(step).add_scalar(name, value, step)

    def add_picture(self, name: str, picture: Any, step: int) -> None:
        """Write a picture (H, W, 3)."""
        self._open(step).add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Bring all to the file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        if self._writer is None:  # not before the first record: until then the folder is not ours
            for path in self._folder.glob("events.out.tfevents.*") if not self._resume else ():
                path.unlink()
            # A run that goes on takes some steps again: TensorBoard drops what it has of them.
            # The file's name has the second, and one of that name would be emptied: so also the step.
            self._writer = self._make(
                str(self._folder), purge_step=step, filename_suffix=f".{step:09}"
            )
        return self._writer


def _numbers(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
            found.append((prefix + name, float(value)))
    return found
