"""Which weights were the best so far, by AP on images that are not trained on, and when to stop waiting.

The last weights need not be the best: a network that has begun to learn its training images by heart
gets worse on others. So the best ones are kept beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirnn.errors import InputError

BEST = "best.safetensors"

#: COCO's kinds as people call them; which AP counts where nobody says: the hardest that there is.
KINDS = {"segm": "mask", "keypoints": "keypoint", "bbox": "box"}


class Best:
    """Follows the evaluations of a run.

    Args:
        kind: whose AP counts: "bbox", "segm" or "keypoints"; None for masks, keypoints or boxes, the
            first of these that an evaluation has.
        patience: evaluations without a better AP after which the run should stop; 0 for never.

    Attributes:
        score: the best AP; None before there is one.
        step: of that evaluation.
        name: whose AP it is, in words: "mask AP".
        waited: evaluations since.

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
        """Take note of an evaluation. True if its AP is the best so far; the first of equals stays."""
        found = main_score(evaluation, self.kind)
        if found is None:
            return False
        name, score = found
        if self.score is not None and score <= self.score:
            self.waited += 1
            return False
        self.score, self.step, self.name, self.waited = score, step, name, 0
        return True

    @property
    def exhausted(self) -> bool:
        """Whether the run has waited long enough for a better AP."""
        return 0 < self.patience <= self.waited

    def told(self, evaluation: Any, better: bool) -> str:
        """One line on an evaluation: its APs, and where it stands."""
        parts = [f"{name} {value:.3f}" for name, value in scores_of(evaluation).items()]
        if not parts:
            return "evaluated"
        if better:
            return f"{', '.join(parts)} (best {self.name} so far: kept in {BEST})"
        if self.score is None:
            return ", ".join(parts)
        return f"{', '.join(parts)} (best {self.name}: {self.score:.3f} at step {self.step})"

    def why_stopped(self, step: int) -> str:
        """Why the run ends before its last step, and how it goes on all the same."""
        return (
            f"stopped early after step {step}, since in the last {self.waited} evaluations {self.name} was "
            f"no better than {self.score:.3f} of step {self.step}, whose weights are in {BEST}. To go on, "
            "run the same again with --resume and a larger --patience."
        )


def main_score(evaluation: Any, kind: str | None = None) -> tuple[str, float] | None:
    """The AP that counts, and its name: "mask AP"; None where the evaluation has none."""
    scores = scores_of(evaluation)
    wanted = [f"{name} AP" for key, name in KINDS.items() if kind in (None, key)]
    return next(((name, scores[name]) for name in wanted if name in scores), None)


def scores_of(evaluation: Any) -> dict[str, float]:
    """The APs of an evaluation by name, that of boxes first; without those that there are not."""
    found = {}
    for kind in ("bbox", "segm", "keypoints"):
        numbers = evaluation.get(kind) if isinstance(evaluation, Mapping) else None
        value = numbers.get("AP") if isinstance(numbers, Mapping) else None
        if value is not None:
            found[f"{KINDS[kind]} AP"] = float(value)
    return found
