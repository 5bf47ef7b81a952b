"""The libraries that we are timed against: those of `verify.references` that are made to be fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minirnn.verify.references import BY_NAME, Reference

if TYPE_CHECKING:
    from minirnn.bench.place import Place

TORCH, TORCHVISION = BY_NAME["torch"], BY_NAME["torchvision"]
ONNX, PYCOCOTOOLS = BY_NAME["ONNX Runtime"], BY_NAME["pycocotools"]


def torchvision_is_compiled() -> bool:
    """Whether torchvision's own operators load. If not, stand-ins made of torch's operations serve.

    See `minirnn.verify.torchvision_cpu`. Stand-ins are right, but not how fast torchvision is.
    """
    if TORCHVISION.missing():
        return False
    import torch

    return hasattr(torch.ops.torchvision, "roi_pool")  # which we never stand in for


#: The note of a row where a stand-in is timed, but does not count as a peer.
STAND_IN = "torchvision's own operator does not load here: a stand-in's time, which does not count"


@dataclass(frozen=True)
class Peers:
    """Who is asked, and with how many threads each.

    Attributes:
        there: those that can be asked.
        absent: a sentence for each of the others, with the way to install it.
        threads: that each may use.
        place: where they compute; None for this processor.
    """

    there: tuple[Reference, ...]
    absent: list[str]
    threads: int
    place: Place | None = None

    @classmethod
    def of(cls, *references: Reference, threads: int, place: Place | None = None) -> Peers:
        """Those of the references that are installed and compute there; they are imported."""
        reasons = {r: (place and place.why_not(r)) or r.missing() for r in references}
        absent = [f"{reference.name}: {reason}" for reference, reason in reasons.items() if reason]
        return cls(tuple(r for r, reason in reasons.items() if not reason), absent, threads, place)

    @property
    def names(self) -> list[str]:
        """Of those that can be asked."""
        return [reference.name for reference in self.there]

    def asked(
        self, name: str, inputs: Sequence[Any], settings: dict[str, Any]
    ) -> dict[str, Callable[[], Any]]:
        """A call, ready to be timed, of each that has the function (by its name in `minirnn.verify`)."""
        with self.place.torch_default() if self.place else nullcontext():
            return {
                reference.name: reference.prepared(name, inputs, settings, self.threads)
                for reference in self._having(name)
            }

    def gradients(self, name: str, *call: Any) -> dict[str, Callable[[], Any]]:
        """The same of gradients; see `Reference.gradient`."""
        with self.place.torch_default() if self.place else nullcontext():
            return {
                reference.name: reference.gradient(name, *call)
                for reference in self._having(name)
                if reference.gradients == "autograd"
            }

    def stand_in(self, name: str) -> tuple[tuple[str, ...], str]:
        """Who is timed through a stand-in and is no peer, and what the row says of it."""
        has = TORCHVISION in self._having(name) and name in ("nms", "roi_align")
        return (("torchvision",), STAND_IN) if has and not torchvision_is_compiled() else ((), "")

    def _having(self, name: str) -> list[Reference]:
        # There is a stand-in for RoIAlign, and none for RoIPool.
        without = {TORCHVISION} if name == "roi_pool" and not torchvision_is_compiled() else set()
        return [r for r in self.there if name in r.functions() and r not in without]
