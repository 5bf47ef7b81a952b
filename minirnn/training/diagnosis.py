"""Early signs of the usual failures, each named once, in plain words and with what to try.

A training that goes wrong rarely says so: the losses are numbers like any others, and hours later the AP
is 0. But each of the usual failures shows early in what a step records. A diagnosis is a function of the
records alone, in their order, so that a run that goes on from a checkpoint says what it would have said.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from minirnn.errors import DivergenceError
from minirnn.training.best import main_score, name_of
from minirnn.training.settings import TrainingSettings

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Sign:
    """One sign of trouble.

    Attributes:
        name: one word or two for it, the same in every run.
        text: what was seen, with its numbers.
        advice: what to try.
    """

    name: str
    text: str
    advice: str

    def as_dict(self) -> dict[str, str]:
        """As it stands in metrics.jsonl."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.text} {self.advice}"


@dataclass(frozen=True)
class Limits:
    """When something is a sign.

    Attributes:
        settled: steps after the warm-up from which a loss should have fallen and objects should be seen.
        window: records that a mean is taken over.
        few: records that say enough where it is about counts and not about means.
        flat: share of its first value that the loss should fall below.
        missed: share of objects taken for background that is all but all.
        fitting: share of objects that some anchor should fit.
        growth: factor by which gradients, or the loss, grow when something is wrong.
        rate: learning rate at which weights of single precision stand still.
        fall: share of the best AP, and `fall_least` the AP, that is lost when it is more than chance.
        fall_least: see `fall`.
    """

    settled: int = 200
    window: int = 50
    few: int = 20
    flat: float = 0.95
    missed: float = 0.98
    fitting: float = 0.5
    growth: float = 10.0
    rate: float = 1e-9
    fall: float = 0.1
    fall_least: float = 0.01


class Diagnosis:
    """Looks at the records of a run, one after the other.

    Args:
        settings: of the training.
        kind: whose AP counts, see `minirnn.training.best.Best`.
        limits: when something is a sign.
    """

    def __init__(
        self, settings: TrainingSettings, *, kind: str | None = None, limits: Limits | None = None
    ) -> None:
        self._settings, self._kind, self._limits = settings, kind, limits or Limits()
        self._recent: deque[Record] = deque(maxlen=self._limits.window)
        self._first: list[float] = []  # losses of the first records
        self._between: list[float] = []  # losses since the last evaluation
        self._scores: list[tuple[int, float, float]] = []  # step, AP, mean loss before it
        self._score_name = "AP"
        self._named: set[str] = set()

    def add(self, record: Record) -> list[Sign]:
        """The signs that come with a record; none that was named before.

        Args:
            record: a line of metrics.jsonl. What it said of signs already counts as named.
        """
        self._named |= {sign["name"] for sign in record.get("signs", ())}
        self._recent.append(record)
        if len(self._first) < self._limits.few:
            self._first.append(record["total"])
        self._between.append(record["total"])
        if evaluation := record.get("evaluation"):
            self._add_evaluation(record["step"], evaluation)
        signs = []
        for name, (look, advice) in _CHECKS.items():
            if name not in self._named and (text := look(self)):
                signs.append(Sign(name, text, advice))
                self._named.add(name)
        return signs

    def _add_evaluation(self, step: int, evaluation: Any) -> None:
        if found := main_score(evaluation, self._kind):
            self._score_name, score = name_of(found[0]), found[1]
            self._scores.append((step, score, statistics.fmean(self._between)))
            self._between.clear()

    def _shares(self, name: str, count: int) -> list[float]:
        """One share of the last `count` records; empty while not all of them have it."""
        found = [r["shares"][name] for r in self._last(count) if name in r.get("shares", {})]
        return found if len(found) == count else []

    def _last(self, count: int) -> list[Record]:
        return list(self._recent)[-count:]

    def _settled(self) -> bool:
        """Whether the network has had the time to learn something."""
        step, full = self._recent[-1]["step"], len(self._recent) == self._limits.window
        return full and step >= self._settings.warmup_steps + self._limits.settled

    # What to look at: the text, or nothing.

    def _no_objects(self) -> str:
        records = self._last(self._limits.few)
        counted = [r for r in records if "positive_regions" in r.get("shares", {})]
        if len(counted) < self._limits.few or any("objects" in r.get("sizes", {}) for r in counted):
            return ""
        return f"No image of the last {len(records)} records has an object to learn from."

    def _anchors(self) -> str:
        shares = self._shares("objects_with_anchor", self._limits.few)
        if not shares or (fitting := statistics.fmean(shares)) >= self._limits.fitting:
            return ""
        sizes = [r["sizes"] for r in self._last(self._limits.few)]
        low, high = sizes[-1]["anchors"]
        objects = statistics.median(size["objects"] for size in sizes)
        return (
            f"The anchors do not fit: only {fitting:.0%} of the objects have the size and shape of one. "
            f"The anchors measure {low:.0f} to {high:.0f} px (√area), the objects around {objects:.0f} px, "
            "as the network sees them."
        )

    def _no_positives(self) -> str:
        records = [r for r in self._last(self._limits.few) if "anchors" in r.get("sizes", {})]
        # No share at all: no anchor was even drawn, as where all of them reach beyond the image.
        shares = [r.get("shares", {}).get("positive_anchors", 0.0) for r in records]
        enough = len(shares) == self._limits.few and "objects" in records[-1]["sizes"]
        if not enough or max(shares) > 0:
            return ""
        return f"Not one anchor was matched with an object in {len(shares)} records."

    def _flat(self) -> str:
        if not self._settled() or not self._named.isdisjoint({"learning rate", "no gradient"}):
            return ""
        now = statistics.fmean(r["total"] for r in self._recent)
        begun = statistics.fmean(self._first)
        if now < self._limits.flat * begun:
            return ""
        step = self._recent[-1]["step"]
        return f"The loss does not fall: it began with {begun:.3g} and is {now:.3g} after {step} steps."

    def _background(self) -> str:
        shares = self._shares("objects_missed", self._limits.few)
        if not self._settled() or not shares or statistics.fmean(shares) < self._limits.missed:
            return ""
        return (
            f"Everything is taken for background: after {self._recent[-1]['step']} steps so are "
            f"{statistics.fmean(shares):.0%} of the regions that lie on objects."
        )

    def _explosion(self) -> str:
        now = statistics.median(r["total"] for r in self._last(5))
        if len(self._recent) >= 5 and now > self._limits.growth * max(self._first[0], 1.0):
            return f"The loss explodes: it began with {self._first[0]:.3g}, and is around {now:.3g} now."
        if len(self._recent) < self._limits.few:
            return ""
        norms = [r["gradient_norm"] for r in self._recent]
        totals = [r["total"] for r in self._recent]
        before, now = statistics.median(norms[:-5]), statistics.median(norms[-5:])
        rising = statistics.fmean(totals[-5:]) > statistics.fmean(totals[:-5])
        if not (rising and now > self._limits.growth * before):
            return ""
        return f"The gradient explodes: its norm went from {before:.3g} to {now:.3g}, and the loss rises."

    def _still(self) -> str:
        rates = [r["learning_rate"] for r in self._last(10)]
        if len(rates) < 10 or max(rates) > self._limits.rate:
            return ""
        return f"The learning rate is {rates[-1]:.1g}: the weights stand still."

    def _no_gradient(self) -> str:
        norms = [r["gradient_norm"] for r in self._last(10)]
        if len(norms) < 10 or max(norms) > 0:
            return ""
        return "The gradient is 0: nothing of the network is trained."

    def _overfitting(self) -> str:
        if len(self._scores) < 3:
            return ""
        best = max(range(len(self._scores)), key=lambda i: self._scores[i][1])
        (step, score, loss), (_, now, loss_now) = self._scores[best], self._scores[-1]
        lost = max(self._limits.fall * score, self._limits.fall_least)
        if len(self._scores) - best < 3 or score - now < lost or loss_now >= loss:
            return ""
        return (
            f"The network learns its training images by heart: {self._score_name} on the others fell "
            f"from {score:.3f} (step {step}) to {now:.3f}, while the loss fell from {loss:.3g} to "
            f"{loss_now:.3g}."
        )


#: What to look at, and what to try, by name. In the order in which they are told.
_CHECKS: dict[str, tuple[Callable[[Diagnosis], str], str]] = {
    "no objects": (
        Diagnosis._no_objects,
        "Look at the annotations (minirnn data check), and at --image-ids; crowds are not learned from.",
    ),
    "anchors": (
        Diagnosis._anchors,
        "Try other --set anchor_sizes or anchor_ratios (minirnn data inspect suggests some). Where it is "
        "the objects that are too small, larger images (--set min_size) help, too.",
    ),
    "no positives": (
        Diagnosis._no_positives,
        "Try other --set anchor_sizes (minirnn data inspect suggests some), or a lower --set "
        "rpn_foreground_iou.",
    ),
    "learning rate": (Diagnosis._still, "Try a larger --learning-rate, and look at the schedule."),
    "no gradient": (
        Diagnosis._no_gradient,
        "Look at what is frozen (minirnn train --resume --out RUN --show).",
    ),
    "explosion": (
        Diagnosis._explosion,
        "Try a lower --learning-rate, a longer --set warmup_steps, or a smaller --set clip_norm (0 is no "
        "limit).",
    ),
    "flat loss": (
        Diagnosis._flat,
        "Try a --learning-rate ten times as high or as low, and whether the network learns a few images "
        "by heart (--image-ids). One that was trained before may have nothing left to learn: look at AP.",
    ),
    "background": (
        Diagnosis._background,
        "Wait a little if the loss still falls. Else try a higher --learning-rate, and see whether the "
        "annotations lie where the objects are (minirnn data check).",
    ),
    "overfitting": (
        Diagnosis._overfitting,
        "best.safetensors has the best weights. Try to stop there (--patience 3), more images, or more "
        "variety (--set crop=0.5).",
    ),
}


def sign_of(error: DivergenceError) -> Sign:
    """What ended a run whose loss or gradient was no number any more."""
    return Sign(
        "not finite",
        f"The loss or its gradient is no finite number any more ({error.term}, step {error.step}).",
        "Try a lower --learning-rate, a longer --set warmup_steps, or a smaller --set clip_norm (0 is no "
        f"limit); and look at the images of that step: {', '.join(error.images[:8])}.",
    )
