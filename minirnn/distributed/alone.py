"""The only process: what it tells all, it tells itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minirnn.distributed.communicator import Communicator

if TYPE_CHECKING:
    from minirnn.backend import Array


class Alone(Communicator):
    """One rank of one."""

    on_device = True

    def gather(self, obj: Any) -> list[Any]:
        """A list of this one."""
        return [obj]

    def broadcast(self, obj: Any) -> Any:
        """The same."""
        return obj

    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """The sum of one is there already."""
        return lambda: None

    def close(self) -> None:
        """Nothing is held."""
