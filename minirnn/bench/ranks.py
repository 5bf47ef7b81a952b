"""`minirnn bench scale --ranks 1,2`: a step of training on one rank, on several, and what many would do."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minirnn.bench.machine import describe
from minirnn.bench.networks import Setup
from minirnn.bench.parent import in_ranks
from minirnn.bench.ranks_forecast import PUBLISHED, forecast, panels, table
from minirnn.bench.ranks_model import (
    BACKWARD,
    IMAGES,
    SPREAD,
    Link,
    Step,
    buckets,
    link_of,
    sent,
    step_seconds,
)
from minirnn.bench.report import Drawn, Progress, machine_sentence, silent
from minirnn.bench.side_by_side import workspace
from minirnn.bench.train import draw_network, pictures
from minirnn.errors import InputError
from minirnn.training.part import trained
from minirnn.verify.printing import finite, in_columns

#: Timed steps of each turn, after one that is not.
STEPS = 2


@dataclass
class Measured:
    """What so many ranks were seen to do, each with the same images.

    Attributes:
        ranks: how many.
        seconds: of each step.
        cpu: of each step, the seconds that a rank was computing, whatever else the machine was busy with.
        adding: of each step, the seconds in which a rank was busy with sums or waited for them.
        talking: likewise, with exchanges of objects, most of it waiting for who comes later.
        size: bytes that each handed in to be added up in a step; 0 alone.
        alone: seconds that sums of so many bytes take while nothing is computed.
    """

    ranks: int
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    adding: list[float] = field(default_factory=list)
    talking: list[float] = field(default_factory=list)
    size: int = 0
    alone: dict[int, list[float]] = field(default_factory=dict)

    def take(self, answer: dict[str, Any]) -> None:
        """Take in another turn."""
        self.seconds += answer["seconds"]
        self.cpu += answer["cpu"]
        self.adding += answer["adding"]
        self.talking += answer["talking"]
        self.size = answer["size"]
        for size, seconds in answer["alone"].items():
            self.alone.setdefault(int(size), []).extend(seconds)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def link(self) -> Link | None:
        """What explains the sums alone; None where there were none."""
        if self.ranks == 1:
            return None
        seconds = [statistics.median(times) for times in self.alone.values()]
        return link_of(list(self.alone), seconds, self.ranks)


@dataclass
class RanksReport(Drawn):
    """What `minirnn bench scale --ranks …` measured.

    Attributes:
        title: of the table and of the plot.
        rows: one for each number of ranks, the first of one.
        machine: from `machine.describe`.
        images: of each rank.
        size: bytes of the network's gradients.
        whole: whether it is Mask R-CNN R-50-FPN, of which others' steps are known.
    """

    title: str
    rows: list[Measured]
    machine: dict[str, Any]
    images: int
    size: int
    whole: bool

    @property
    def agrees(self) -> bool:
        """Nothing is compared."""
        return True

    def efficiency(self, row: Measured) -> float:
        """T(1) / T(n)."""
        return self.rows[0].median / row.median

    def predicted(self, row: Measured, hidden: bool) -> float:
        """What the model says of so many ranks, from one rank's step and the sums alone.

        Args:
            row: which ranks.
            hidden: whether the sums cost no time while a rank computes. Where its own core sends and adds,
                as MPI does without help of the network's hardware, they cost all of it.
        """
        if row.link is None:
            return row.median
        backward = BACKWARD if hidden else 0.0
        step = Step(self.rows[0].median, buckets(self.size), backward)
        return step_seconds(step, row.ranks, row.link)

    def steps(self) -> dict[str, Step]:
        """Those that are forecast: ours, as if of two images, and what others published."""
        one = self.rows[0]
        seconds = one.median * IMAGES / self.images
        ours = {"this machine": Step(seconds, buckets(self.size), spread=SPREAD)}
        return {**ours, **(PUBLISHED if self.whole else {})}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            {
                "ranks": row.ranks,
                "seconds": row.seconds,
                "median": row.median,
                "cpu_seconds": row.cpu,
                "efficiency": self.efficiency(row),
                "predicted_seconds": {
                    "hidden": self.predicted(row, True),
                    "not_hidden": self.predicted(row, False),
                },
                "bytes_added_up": row.size,
                "bytes_sent_by_each_rank": sent(row.size, row.ranks),
                "adding_seconds": row.adding,
                "talking_seconds": row.talking,
                "sums_alone_seconds": row.alone,
                "link": row.link and {name: finite(x) for name, x in vars(row.link).items()},
            }
            for row in self.rows
        ]
        found = [
            each.as_dict() for name, step in self.steps().items() for each in forecast(name, step)
        ]
        return {
            "title": self.title,
            "machine": self.machine,
            "images_of_each_rank": self.images,
            "gradient_bytes": self.size,
            "rows": rows,
            "forecast": found,
        }

    def figure(self) -> Any:
        """Efficiency over ranks, as forecast and as measured."""
        from minirnn.draw.bench import ranks_figure

        points = [(row.ranks, self.efficiency(row)) for row in self.rows]
        return ranks_figure(
            panels(self.steps()), points, title=f"{self.title}: what n ranks should do"
        )

    def as_text(self) -> str:
        """What was measured, what the model says of it, and what it says of many."""
        measured: list[tuple[str, ...]] = [
            ("ranks", "step ms", "efficiency", "cpu ms", "model, hidden", "model, not hidden",
             "MB sent by each", "in sums ms", "waiting for each other ms")
        ]  # fmt: skip
        for row in self.rows:
            busy = [statistics.median(times) * 1e3 for times in (row.adding, row.talking)]
            measured.append(
                (str(row.ranks), f"{row.median * 1e3:.0f}", f"{self.efficiency(row):.3f}",
                 f"{statistics.median(row.cpu) * 1e3:.0f}",
                 *(f"{self.predicted(row, hidden) * 1e3:.0f}" for hidden in (True, False)),
                 f"{sent(row.size, row.ranks) / 1e6:.1f}",
                 *(f"{ms:.1f}" for ms in busy))
            )  # fmt: skip
        links = [
            f"{row.ranks} ranks here: sums at {row.link.bandwidth / 1e9:.2f} GB/s, "
            f"{row.link.latency * 1e6:.0f} µs a message"
            for row in self.rows
            if row.link
        ]
        many = table(self.steps(), schedules=self.whole)
        return "\n".join(
            [
                machine_sentence(self.machine),
                "",
                *in_columns(measured, right=range(len(measured[0]))),
                "",
                *links,
                "",
                "What the model says of many, with two images each and one link for each:",
                "",
                *in_columns(many, right=range(1, len(many[0]))),
            ]
        )


def run_ranks(
    ranks: Sequence[int],
    network: str = "resnet50",
    *,
    size: int = 800,
    images: int = 1,
    repeat: int = 3,
    threads: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> RanksReport:
    """Time steps of training on several numbers of ranks of this machine, in turn.

    Each rank has as many images, whatever their number; all have the same, so that none is slower by them.

    Args:
        ranks: how many, as often as wanted; one alone is always measured.
        network: "resnet50" (Mask R-CNN R-50-FPN) or "shapes" (the demo's).
        size: of the shorter side at the network, pixels (the demo's is always its own).
        images: of each rank.
        repeat: turns of each number of ranks, each of `STEPS` timed steps.
        threads: that all ranks together may use where they are the most; each gets its part, always.
        seed: of weights and pictures.
        progress: called with what comes next, how many parts are done, and how many there are.

    Raises:
        InputError: there is no mpiexec; there are more ranks than cores; or a rank met an error.
    """
    counts = sorted({1, *ranks})
    if counts[0] < 1:
        raise InputError(f"--ranks holds {counts[0]}; it should be at least 1")
    each = max(threads // counts[-1], 1)
    rows = [Measured(count) for count in counts]
    with workspace(each) as folder:
        progress("drawing weights", 0, repeat * len(rows))
        machine = describe(each)
        model = draw_network(network, seed, size, twin=False)
        samples, what = pictures(network, None, seed, images)
        Setup(network, True, each, seed, model.config, model.state_dict(), samples).write(folder)
        gradients = sum(tensor.data.nbytes for tensor in trained(model))
        del model
        for turn in range(repeat):
            for place, row in enumerate(rows):
                progress(f"{row.ranks} ranks", turn * len(rows) + place, repeat * len(rows))
                row.take(in_ranks({"folder": folder, "steps": STEPS}, row.ranks, each))
    name = "Mask R-CNN R-50-FPN" if network == "resnet50" else "the demo's network"
    whole = network == "resnet50"
    return RanksReport(f"{name}, {what} a rank", rows, machine, len(samples), gradients, whole)
