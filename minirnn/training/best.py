"""Which weights were the best so far, by AP on images that are not trained on, and when to stop waiting.

The last weights need not be the best: a network that has begun to learn its training images by heart
gets worse on others. So the best ones are kept beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minirnn.errors import InputError

BEST = "best.safetensors"

#: COCO's kinds as people call them; which AP counts where nobody says: the hardest that there is.
KINDS = {"segm": "mask", "keypoints": "keypoint", "bbox": "box"}


@dataclass(frozen=True)
class Kept:
    """What best.safetensors holds, as it says itself.

    Attributes:
        step: that its weights are of.
        kind: whose AP they are the best by; None in a file of an earlier version, which does not say.
        score: that AP; None the same.
    """

    step: int
    kind: str | None
    score: float | None

    @property
    def name(self) -> str:
        """Whose AP, in words."""
        return name_of(self.kind)

    def gives_way_to(self, step: int, score: float) -> bool:
        """Whether weights of another step take its place: those of equal AP do if they come later.

        The file can be of a later step than the run, which then takes some steps again: it was killed.
        """
        if self.score is None:
            return self.step <= step
        return (self.score, self.step) <= (score, step)


class Best:
    """Follows the evaluations of a run.

    Args:
        kind: whose AP counts: "bbox", "segm" or "keypoints"; None for masks, keypoints or boxes, the
            first of these that an evaluation has.
        patience: evaluations without a better AP after which the run should stop; 0 for never.

    Attributes:
        score: the best AP; None before there is one.
        step: of that evaluation; of equal ones the last.
        name: whose AP it is, in words: "mask AP".
        waited: evaluations since it was reached.

    Raises:
        InputError: there is no such kind, or patience is negative.
    """

    def __init__(self, kind: str | None = None, patience: int = 0) -> None:
        if kind is not None and kind not in KINDS:
            raise InputError(f"best_by is {kind!r}; it should be one of {', '.join(KINDS)}")
        if patience < 0:
            raise InputError(f"patience (--patience) is {patience}; it should be at least 0")
        self.kind, self.patience = kind, patience
        self.score: float | None = None
        self.step, self.name, self.waited = 0, "AP", 0

    def add(self, step: int, evaluation: Any) -> bool:
        """Take note of an evaluation. True if its AP is the best so far, also if it equals the best.

        Of equals the last is the best: at an AP of 0 the first has learned nothing. It is no better, and
        patience runs on.
        """
        found = main_score(evaluation, self.kind)
        if found is None:
            return False
        kind, score = found
        better = self.score is None or score > self.score
        self.waited = 0 if better else self.waited + 1
        if not better and score != self.score:
            return False
        self.score, self.step, self.name = score, step, name_of(kind)
        return True

    def at_least(self, kept: Kept) -> None:
        """Know of an evaluation that is in no record: the kept weights are the best by it."""
        if kept.score is not None and (self.score is None or self.score < kept.score):
            self.score, self.step, self.name = kept.score, kept.step, kept.name

    @property
    def exhausted(self) -> bool:
        """Whether the run has waited long enough for a better AP."""
        return 0 < self.patience <= self.waited

    def why_stopped(self, step: int, kept: bool) -> str:
        """Why the run ends before its last step, and how it goes on all the same.

        Args:
            step: the last.
            kept: the best weights are there.
        """
        where = f", whose weights are in {BEST}" if kept else ""
        return (
            f"stopped early after step {step}, since in the last {self.waited} evaluations {self.name} was "
            f"no better than {self.score:.3f} of step {self.step}{where}. To go on, "
            "run the same again with --resume and a larger --patience."
        )


def name_of(kind: str | None) -> str:
    """Whose AP, in words: "mask AP"."""
    return f"{KINDS[kind]} AP" if kind in KINDS else "AP"


def main_score(evaluation: Any, kind: str | None = None) -> tuple[str, float] | None:
    """The AP that counts, and whose it is: "segm"; None where the evaluation has none."""
    scores = scores_of(evaluation)
    wanted = [key for key in KINDS if kind in (None, key)]
    return next(((key, scores[key]) for key in wanted if key in scores), None)


def scores_of(evaluation: Any) -> dict[str, float]:
    """The APs of an evaluation by kind, that of boxes first; without those that are no number."""
    found = {}
    for kind in ("bbox", "segm", "keypoints"):
        numbers = evaluation.get(kind) if isinstance(evaluation, Mapping) else None
        value = numbers.get("AP") if isinstance(numbers, Mapping) else None
        if value is not None and math.isfinite(score := float(value)):
            found[kind] = score
    return found


def told(evaluation: Any) -> str:
    """The APs of an evaluation in a line."""
    parts = [f"{name_of(kind)} {value:.3f}" for kind, value in scores_of(evaluation).items()]
    return ", ".join(parts) or "evaluated"
