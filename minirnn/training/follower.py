"""A run's other ranks: they keep nothing, since the first keeps it all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minirnn.distributed import Communicator
from minirnn.training.best import Kept
from minirnn.training.keeper import Keeper
from minirnn.training.stop import StopRequest


class Follower(Keeper):
    """A keeper that knows how many steps were taken, and touches no file: the folder may not be there."""

    def resume(self, other_data: bool) -> None:
        """The first rank reads the checkpoint, and tells the others."""

    def open(self, **_: Any) -> None:
        """Nothing is written."""
        self.log = _Unwritten()  # type: ignore[assignment]

    def save(self) -> None:
        """The first rank saves."""
        self.saved = self.done

    def save_best(self, best: Kept, before: Kept | None = None) -> None:
        """The first rank saves."""

    @contextlib.contextmanager
    def saving(self, stop: StopRequest) -> Iterator[None]:
        """An error goes on its way: what is saved, the first rank says."""
        yield


class _Unwritten:
    """A log without a file."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.elapsed = 0.0

    def write(self, record: Mapping[str, Any]) -> None:
        """Remember it as the last."""
        self.last = dict(record)


def keeper_of(ranks: Communicator, folder: Any, *run: Any) -> Keeper:
    """The first rank's `Keeper`; the others' `Follower`."""
    return Follower(Path(folder), *run) if ranks.rank else Keeper(folder, *run)
