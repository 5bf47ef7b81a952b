"""How a run ended, in one object that `minirnn.training.train` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingSummary:
    """How a run ended.

    Attributes:
        steps: steps taken in all.
        losses: of the last step, by name.
        total: their sum.
        seconds: of all steps (before an interruption, too; without callbacks and checkpoints).
        checkpoint: the file with the weights.
        metrics: the file with the course of the losses.
        averaged: the file with the averaged weights; None without averaging.
        best: the file with the weights of the best AP; None where there is none.
        best_step: the step that they are of.
        best_score: their AP, and `best_name` says whose: "mask AP". None where nobody knows: the file is of
            an earlier version, and the metrics of its step are gone.
        best_name: see `best_score`.
        stopped_early: why the run ended before its last step; "" where it did not.
    """

    steps: int
    losses: dict[str, float]
    total: float
    seconds: float
    checkpoint: Path
    metrics: Path
    averaged: Path | None = None
    best: Path | None = None
    best_step: int | None = None
    best_score: float | None = None
    best_name: str | None = None
    stopped_early: str = ""
