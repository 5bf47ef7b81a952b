"""What 8, 64 and 512 ranks should do on common networks, by the model of `minirnn.bench.ranks_model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minirnn.bench.ranks_model import (
    SPREAD,
    Link,
    Schedule,
    Step,
    buckets,
    efficiency,
    not_hidden,
    schedule,
    step_seconds,
)

RANKS = (8, 64, 512)
GIGABITS = (10, 25, 100)
#: Bytes of the gradients of Mask R-CNN R-50-FPN: 44.4 million numbers.
R50_BYTES = 177_605_572

#: Steps of Mask R-CNN R-50-FPN that others published, each of two images a GPU on eight GPUs: in the paper
#: (He et al., 2017, section 3.1, "Training"), and in detectron2's model zoo (V100, 2019).
PUBLISHED = {
    "paper": Step(0.72, buckets(R50_BYTES), spread=SPREAD, ranks=8),
    "V100": Step(0.261, buckets(R50_BYTES), spread=SPREAD, ranks=8),
}


@dataclass(frozen=True)
class Forecast:
    """What so many ranks of two images each should do.

    Attributes:
        step: whose.
        gigabits: of the network, a second.
        ranks: how many.
        seconds: of a step.
        exchange: seconds of it that are exchange which is not hidden.
        efficiency: T(1) / T(n).
        without_spread: the same if all ranks took equally long.
        schedule: the paper's training there.
    """

    step: str
    gigabits: float
    ranks: int
    seconds: float
    exchange: float
    efficiency: float
    without_spread: float
    schedule: Schedule

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def forecast(
    name: str, step: Step, ranks: Sequence[int] = RANKS, gigabits: Sequence[float] = GIGABITS
) -> list[Forecast]:
    """What so many ranks on such networks should do, of two images each."""
    even = Step(step.seconds, step.sizes, step.backward)
    found = []
    for rate in gigabits:
        link = Link.ethernet(rate)
        found += [
            Forecast(
                name,
                rate,
                count,
                step_seconds(step, count, link),
                not_hidden(step, count, link),
                efficiency(step, count, link),
                efficiency(even, count, link),
                schedule(step, count, link),
            )
            for count in ranks
        ]
    return found


def table(steps: Mapping[str, Step], schedules: bool = True) -> list[tuple[str, ...]]:
    """The forecasts of some steps as texts, headings first; and with each the paper's training there."""
    plans = ("batch", "rate", "steps", "hours") if schedules else ()
    rows: list[tuple[str, ...]] = [
        ("step", "Gbit/s", "ranks", "step ms", "of it exchange", "efficiency", "all equally long",
         *plans)
    ]  # fmt: skip
    for name, step in steps.items():
        for each in forecast(name, step):
            plan = each.schedule
            last = (str(plan.batch), f"{plan.rate:g}", str(plan.steps), f"{plan.hours:.1f}")
            rows.append(
                (name, f"{each.gigabits:g}", str(each.ranks), f"{each.seconds * 1e3:.0f}",
                 f"{each.exchange * 1e3:.0f}", f"{each.efficiency:.2f}",
                 f"{each.without_spread:.2f}", *(last if schedules else ()))
            )  # fmt: skip
    return rows


def panels(steps: Mapping[str, Step]) -> list[dict[str, Any]]:
    """What `minirnn.draw.bench.ranks_figure` draws of some steps."""
    counts = [2**k for k in range(10)]
    found = []
    for name, step in steps.items():
        links: dict[str, dict[str, list[float]]] = {}
        for each in forecast(name, step, counts):
            lines = links.setdefault(f"{each.gigabits:g} Gbit/s", {"exchange": [], "all": []})
            lines["exchange"].append(each.without_spread)
            lines["all"].append(each.efficiency)
        found.append({"name": name, "ranks": counts, "links": links})
    return found
