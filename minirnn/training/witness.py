"""Who watches a run: keeps the best weights, says what the AP is, and names what looks wrong.

The loop takes steps; what their records mean is looked at here. What is known comes from the records and
from what best.safetensors says of itself, so that a run that goes on from a checkpoint knows what it knew
(`go_on_from`, `remember`, `caught_up`, in this order).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minirnn.errors import InputError
from minirnn.training.best import BEST, Best, Kept, main_score, name_of, told
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
        self._settings = settings
        self._kept: Kept | None = None  # in the file; `_best` is what the records say
        self._tell: Callable[[str], None] = lambda text: None

    def tell_to(self, tell: Callable[[str], None]) -> None:
        """Have a person told: a function that prints a line."""
        self._tell = tell

    def go_on_from(self, kept: Kept | None) -> None:
        """Take note of the best weights that an earlier process of this run has kept.

        Raises:
            InputError: they are the best by another kind of AP than the one that counts from here on.
        """
        self._kept = kept
        if kept is None or kept.kind is None:
            return
        best = self._best
        if best.kind not in (None, kept.kind):
            raise InputError(
                f"best_by (--best-by) asks for {name_of(best.kind)}, but {BEST} of this run holds the best "
                f"by {kept.name} ({kept.score:.3f}, step {kept.step}): leave best_by as it was, or move "
                "that file elsewhere first"
            )
        self._best = Best(kept.kind, best.patience)
        self._diagnosis = Diagnosis(self._settings, kind=kept.kind)

    def remember(self, record: Mapping[str, Any]) -> None:
        """Take note of what an earlier process wrote of this run."""
        if "evaluation" in record:
            self._best.add(record["step"], record["evaluation"])
            kept, found = self._kept, main_score(record["evaluation"], self._best.kind)
            if kept and kept.score is None and found and record["step"] == kept.step:
                self._kept = Kept(kept.step, *found)  # a file of an earlier version
        self._diagnosis.add(record)

    def caught_up(self, done: int) -> None:
        """All that an earlier process wrote of the first `done` steps is remembered."""
        if self._kept and self._kept.step <= done:
            self._best.at_least(self._kept)  # its record may have been lost

    def evaluated(
        self, record: dict[str, Any], evaluation: Any, save: Callable[[Kept, Kept | None], object]
    ) -> None:
        """Put an evaluation into its record.

        Args:
            record: of the step.
            evaluation: what came of it; None for nothing.
            save: keeps the weights of a step, should they be the best so far, in the place of others.
        """
        if evaluation is None:
            return
        record["evaluation"] = evaluation
        step, before = record["step"], self._kept
        found = main_score(evaluation, self._best.kind)
        best = self._best.add(step, evaluation)
        if found and (before is None or before.gives_way_to(step, found[1])):
            self._kept = Kept(step, *found)
            save(self._kept, before)
        self._say(record, told(evaluation) + self._where_it_stands(step, best))

    def _where_it_stands(self, step: int, best: bool) -> str:
        """What a line on an evaluation says of the file with the best weights."""
        if (kept := self._kept) is None:
            return ""
        if kept.score is None:  # of an earlier version, and of a later step than the run is at
            return f" (kept: step {kept.step})"
        if kept.step != step:
            return f" (best {kept.name}: {kept.score:.3f} at step {kept.step})"
        return f" ({f'best {kept.name} so far: ' if best else ''}kept in {BEST})"

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
        best, kept = self._best, self._kept
        if not (folder / BEST).is_file():  # somebody may have moved it
            kept = None
        early = ""
        if best.exhausted and step < steps:
            early = best.why_stopped(step, kept is not None and kept.step == best.step)
            with contextlib.suppress(OSError):
                self._tell(early)
        if kept is None:
            return {"stopped_early": early}
        return {
            "best": folder / BEST,
            "best_step": kept.step,
            "best_score": kept.score,
            "best_name": kept.name,
            "stopped_early": early,
        }

    def _say(self, record: Mapping[str, Any], text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed
            self._tell(f"step {record['step']}: {text}")
