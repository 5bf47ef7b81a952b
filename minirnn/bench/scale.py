"""`minirnn bench scale`: our own time and memory as the image, the batch and the regions grow."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minirnn.bench.growth import Growth, Point
from minirnn.bench.infer import canvas_of
from minirnn.bench.machine import describe
from minirnn.bench.networks import Setup, longer_side, resnet50
from minirnn.bench.parent import in_child
from minirnn.bench.report import Drawn, Progress, machine_sentence, silent
from minirnn.bench.scenes import made_up
from minirnn.bench.side_by_side import workspace
from minirnn.verify.printing import in_columns

#: What is asked for along each axis; the areas are parts of `size`: 256 … 1600 pixels for 800.
AREAS = (0.32, 0.5, 0.71, 1.0, 1.41, 2.0)
AXES: dict[str, tuple[float, ...]] = {
    "area": AREAS,
    "batch": (1, 2, 4, 8),
    "proposals": (100, 250, 500, 1000, 2000),
    "instances": (1, 10, 30, 100, 300),
}
#: So low that there are more candidates than the most instances that are asked for.
_SCORE_THRESHOLD = 0.02


@dataclass
class ScaleReport(Drawn):
    """What `minirnn bench scale` measured.

    Attributes:
        points: along all axes.
        growth: an entry for each axis.
        machine: from `machine.describe`.
        size: shorter side at the network, except along "area".
    """

    points: list[Point]
    growth: list[Growth]
    machine: dict[str, Any]
    size: int

    @property
    def agrees(self) -> bool:
        """Nothing is compared."""
        return True

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "machine": self.machine,
            "rows": [point.as_dict() for point in self.points],
            "growth": [dataclasses.asdict(entry) for entry in self.growth],
        }

    @property
    def title(self) -> str:  # type: ignore[override]
        """Of the table and of the plot."""
        return f"growth of inference, Mask R-CNN R-50-FPN at {self.size}"

    def figure(self) -> Any:
        """Curves of time and memory."""
        from minirnn.draw.bench import growth_figure

        content = self.as_dict()
        return growth_figure(content["rows"], content["growth"], title=self.title)

    def as_text(self) -> str:
        """A table in columns, and a line on the growth along each axis."""
        table: list[tuple[str, ...]] = [
            ("axis", "asked", "x", "ms", "peak MB", "of it the work's MB")
        ]
        for point in self.points:
            numbers = (point.seconds * 1e3, point.peak / 2**20, point.memory / 2**20)
            asked = f"{point.asked:g}"
            table.append((point.axis, asked, f"{point.x:.4g}", *(f"{n:.0f}" for n in numbers)))
        lines = [machine_sentence(self.machine), "", *in_columns(table, right=range(1, 6)), ""]
        lines += [entry.sentence() for entry in self.growth]
        lines += [
            "",
            "1 is in proportion. x is million pixels at the network for area, else a count.",
        ]
        return "\n".join(lines)


def run_scale(
    axes: Sequence[str] = (),
    *,
    size: int = 800,
    repeat: int = 3,
    threads: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> ScaleReport:
    """Time inference along each axis, each point in a process of its own.

    Args:
        axes: keys of `AXES`; none for all.
        size: shorter side at the network.
        repeat: timed runs of each point.
        threads: that may be used.
        seed: of weights and picture.
        progress: called with what comes next, how many parts are done, and how many there are.
    """
    plan = [(axis, asked) for axis in axes or AXES for asked in AXES[axis]]
    sample = made_up(seed)
    found: dict[str, list[Point]] = {axis: [] for axis in axes or AXES}
    with workspace(threads) as folder:
        machine = describe(threads)
        model = resnet50(seed, size, box_score_threshold=_SCORE_THRESHOLD)
        config = model.config
        Setup("resnet50", False, threads, seed, config, model.state_dict(), [sample]).write(folder)
        del model
        for number, (axis, asked) in enumerate(plan):
            progress(f"{axis} {asked:g}", number, len(plan))
            overrides, batch, asked = _request(axis, asked, size)
            request = {
                **{"do": "scale", "folder": folder, "repeat": repeat},
                **{"overrides": overrides, "batch": batch},
            }
            answer = in_child(request, threads)
            height, width = canvas_of(sample.image, config.replace(**overrides))
            x = {
                "area": height * width / 1e6,
                "batch": float(batch),
                "proposals": float(answer["proposals"]),
                "instances": float(answer["instances"]),
            }[axis]
            seconds = statistics.median(answer["seconds"])
            found[axis].append(Point(axis, asked, x, seconds, answer["peak"], answer["base"]))
    growth = [Growth.of(axis, points) for axis, points in found.items()]
    return ScaleReport([p for points in found.values() for p in points], growth, machine, size)


def _request(axis: str, asked: float, size: int) -> tuple[dict[str, Any], int, float]:
    """Overridden fields, batch, and what was asked for as the table says it."""
    if axis == "area":
        side = max(round(asked * size), 32)
        return {"min_size": [side], "max_size": longer_side(side)}, 1, side
    if axis == "batch":
        return {}, int(asked), asked
    if axis == "proposals":
        # Before suppression there must be enough of them on every level.
        most = {"rpn_post_nms_test": int(asked), "rpn_pre_nms_test": max(int(asked), 1000)}
        return most, 1, asked
    return {"box_max_detections": int(asked)}, 1, asked
