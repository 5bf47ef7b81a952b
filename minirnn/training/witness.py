"""Who watches a run: keeps the best weights, says what the AP is, and names what looks wrong.

The loop takes steps; what their records mean is looked at here. Everything that is known comes from the
records, so that a run that goes on from a checkpoint knows what it knew (`remember`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minirnn.training.best import BEST, Best
from minirnn.training.diagnosis import Diagnosis
from minirnn.training.settings import TrainingSettings


class Witness:
    """Sees the records of a run before they are written.

    Args:
        settings: of the training.
        best_by: whose AP counts, see `Best`.
        patience: evaluations without a better AP that the run may have, see `Best`.

    Raises:
        InputError: as for `Best`.
    """

    def __init__(self, settings: TrainingSettings, best_by: str | None, patience: int) -> None:
        self._best = Best(best_by, patience)
        self._diagnosis = Diagnosis(settings, kind=best_by)
        self._tell: Callable[[str], None] = lambda text: None

    def tell_to(self, tell: Callable[[str], None]) -> None:
        """Have a person told: a function that prints a line."""
        self._tell = tell

    def remember(self, record: Mapping[str, Any]) -> None:
        """Take note of what an earlier process wrote of this run."""
        if "evaluation" in record:
            self._best.add(record["step"], record["evaluation"])
        self._diagnosis.add(record)

    def evaluated(
        self, record: dict[str, Any], evaluation: Any, save: Callable[[int], object]
    ) -> None:
        """Put an evaluation into its record.

        Args:
            record: of the step.
            evaluation: what came of it; None for nothing.
            save: keeps the weights of a step, should they be the best so far.
        """
        if evaluation is None:
            return
        record["evaluation"] = evaluation
        if better := self._best.add(record["step"], evaluation):
            save(record["step"])
        self._say(record, self._best.told(evaluation, better))

    def look_at(self, record: dict[str, Any]) -> None:
        """Put what looks wrong into the record, and tell of it."""
        if signs := self._diagnosis.add(record):
            record["signs"] = [sign.as_dict() for sign in signs]
        for sign in signs:
            self._say(record, f"look at this: {sign}")

    @property
    def has_enough(self) -> bool:
        """Whether the run has waited long enough for a better AP."""
        return self._best.exhausted

    def summary(self, folder: Path, step: int, steps: int) -> dict[str, Any]:
        """What `TrainingSummary` says of the best weights, and of an early end."""
        best = self._best
        early = best.why_stopped(step) if best.exhausted and step < steps else ""
        if early:
            with contextlib.suppress(OSError):
                self._tell(early)
        if best.score is None:
            return {"stopped_early": early}
        return {
            "best": folder / BEST,
            "best_step": best.step,
            "best_score": best.score,
            "best_name": best.name,
            "stopped_early": early,
        }

    def _say(self, record: Mapping[str, Any], text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed
            self._tell(f"step {record['step']}: {text}")
