"""What was timed: a row for each thing, and sums of rows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minirnn.verify.printing import finite


@dataclass
class Timing:
    """One thing that was timed.

    Attributes:
        name: what it is.
        group: rows of one kind: "conv", "nms", "infer", ….
        ours: seconds of each of our calls.
        theirs: the same of each peer.
        flops: arithmetic operations of the plain way to compute it (a multiply and an add are two);
            0 where nobody counts them.
        differences: largest relative difference from each peer's answer.
        tolerance: what they may be.
        count: how often the network does this.
        not_peers: of `theirs`, those that are shown, but that no ratio is taken of.
        peak: bytes of memory at most, by name ("ours", or the peer's).
        base: the same before the measured work began: libraries, weights, inputs.
        note: what a reader should know besides.
        stages: milliseconds of each of our stages, by name; see `minirnn.bench.profile`.
        details: further numbers, for JSON.
    """

    name: str
    group: str
    ours: list[float]
    theirs: dict[str, list[float]] = field(default_factory=dict)
    flops: float = 0.0
    differences: dict[str, float] = field(default_factory=dict)
    tolerance: float = 0.0
    count: int = 1
    not_peers: tuple[str, ...] = ()
    peak: dict[str, int] = field(default_factory=dict)
    base: dict[str, int] = field(default_factory=dict)
    note: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Our median."""
        return statistics.median(self.ours)

    def their_seconds(self, peer: str) -> float | None:
        """A peer's median; None if it was not timed."""
        return statistics.median(self.theirs[peer]) if self.theirs.get(peer) else None

    @property
    def peers(self) -> list[str]:
        """The peers that count."""
        return [name for name in self.theirs if name not in self.not_peers]

    @property
    def fastest(self) -> str | None:
        """The fastest peer that counts."""
        return min(self.peers, key=lambda name: self.their_seconds(name) or 0, default=None)

    def ratio(self, peer: str | None) -> float | None:
        """Our time over a peer's; None if it was not timed or does not count."""
        theirs = self.their_seconds(peer) if peer in self.peers and peer else None
        return self.seconds / theirs if theirs else None

    @property
    def ratio_torch(self) -> float | None:
        """The ratio to torch, or else to torchvision, whose code runs on torch."""
        return self.ratio("torch" if "torch" in self.theirs else "torchvision")

    @property
    def gflops(self) -> float | None:
        """Operations of the plain way over our time: more than the machine can where we do fewer."""
        return self.flops / self.seconds / 1e9 if self.flops else None

    @property
    def agrees(self) -> bool:
        """Whether all answers do; a NaN does not."""
        return all(difference <= self.tolerance for difference in self.differences.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: there it is null."""
        return {
            "name": self.name,
            "group": self.group,
            "count": self.count,
            "ours_ms": self.seconds * 1e3,
            "theirs_ms": {n: (self.their_seconds(n) or 0) * 1e3 for n in self.theirs},
            "fastest": self.fastest,
            "ratio_fastest": self.ratio(self.fastest),
            "ratio_torch": self.ratio_torch,
            "ratios": {name: self.ratio(name) for name in self.peers},
            "not_peers": list(self.not_peers),
            "gflops": self.gflops,
            "peak_mb": {name: number / 2**20 for name, number in self.peak.items()},
            "base_mb": {name: number / 2**20 for name, number in self.base.items()},
            "differences": {n: finite(d) for n, d in self.differences.items()},
            "tolerance": finite(self.tolerance),
            "agrees": self.agrees,
            "seconds": {"ours": self.ours, **self.theirs},
            "note": self.note,
            "stages_ms": self.stages,
            **self.details,
        }


@dataclass
class Sum:
    """The times of several rows, each as often as the network does it, and their ratios.

    Attributes:
        name: of the sum.
        ours: seconds.
        theirs: seconds of each peer that counts in all of the rows.
        worst: the largest ratio of a single row to each peer, and the row's name.
    """

    name: str
    ours: float
    theirs: dict[str, float]
    worst: dict[str, tuple[float, str]]

    @classmethod
    def of(cls, name: str, rows: Sequence[Timing]) -> Sum:
        """Add up rows."""
        common = [p for p in rows[0].peers if all(p in row.peers for row in rows)] if rows else []
        theirs, worst = {}, {}
        for peer in common:
            theirs[peer] = sum(row.count * (row.their_seconds(peer) or 0) for row in rows)
            worst[peer] = max((row.ratio(peer) or 0, row.name) for row in rows)
        return cls(name, sum(row.count * row.seconds for row in rows), theirs, worst)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "ours_ms": self.ours * 1e3,
            "theirs_ms": {name: seconds * 1e3 for name, seconds in self.theirs.items()},
            "ratios": {name: self.ours / seconds for name, seconds in self.theirs.items()},
            "worst": {n: {"ratio": ratio, "row": row} for n, (ratio, row) in self.worst.items()},
        }

    def sentence(self) -> str:
        """One line for a person."""
        parts = [
            f"{name} {seconds * 1e3:.0f} ms (ours / {name} {self.ours / seconds:.2f}; "
            f"worst row {self.worst[name][0]:.2f}, {self.worst[name][1]})"
            for name, seconds in self.theirs.items()
        ]
        return f"{self.name}: ours {self.ours * 1e3:.0f} ms" + "".join(f"; {p}" for p in parts)
