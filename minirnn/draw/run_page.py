"""The page of a training run, while it goes and when it is over: one HTML file with everything in it.

It loads nothing from anywhere. While the run goes, the page asks for itself again every few seconds, and
says so when nobody has written it for a while. It costs a few milliseconds, and needs no matplotlib.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minirnn.draw.chart import Chart, chart_svg
from minirnn.draw.pages import template
from minirnn.draw.records import CURVES, Course
from minirnn.draw.words import duration, flat, software
from minirnn.progress import loss_text

#: How the runs end, and how a page says it.
STATES = {
    "going": "going on",
    "finished": "finished",
    "early": "stopped early",
    "stopped": "stopped",
    "failed": "failed",
    "unknown": "over",
}
KIND_NAMES = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}
_MOST_EVALUATIONS = 6  # whose pictures are shown: the first, the last, and some between
_MOST_ROWS = 12  # of the table of evaluations


@dataclass
class Pictures:
    """One validation image, and what the network found in it at each evaluation.

    Attributes:
        name: of the image.
        truth: the image with its ground truth, a data URL.
        guesses: (step, the image with what was found, a data URL).
    """

    name: str
    truth: str
    guesses: list[tuple[int, str]]


@dataclass
class RunPage:
    """What a page says of a run, besides its course.

    Attributes:
        title: the page's heading.
        steps: of the whole run; None where nobody knows.
        state: one of `STATES`.
        message: how it ended, in a sentence; "" for none.
        problems: what is missing or broken, in sentences.
        network: facts of the network, for a table.
        settings: of the training, for a table; nested mappings are flattened.
        command: what was called, a line for each time; "" where nobody knows.
        resume: the command that goes on with it; "" where there is nothing to go on with.
        best: the AP's name, its value and its step; None where none was measured.
        kept: the step whose weights best.safetensors holds; None where it is not there.
        pictures: of the same validation images.
        evaluates: whether AP is measured at all, so that the page can say how to have it.
        refresh: seconds until the page asks for itself again, while the run goes.
    """

    title: str
    steps: int | None = None
    state: str = "unknown"
    message: str = ""
    problems: Sequence[str] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    resume: str = ""
    best: tuple[str, float, int] | None = None
    kept: int | None = None
    pictures: Sequence[Pictures] = ()
    evaluates: bool = True
    refresh: int = 10


def run_page(page: RunPage, course: Course) -> str:
    """The HTML of a run's page.

    Args:
        page: what is known besides the course.
        course: what was recorded.
    """
    going = page.state == "going"
    return template("run_page.html").render(
        page=page,
        going=going,
        state=STATES[page.state],
        written=int(time.time()),
        clock=time.strftime("%Y-%m-%d %H:%M:%S"),
        tiles=_tiles(page, course),
        signs=course.signs,
        quiet=len(course.keys) > 0,
        groups=course_groups(course, page.steps),
        table=_table(course, page.best),
        columns=_columns(course),
        pictures=[_some(picture) for picture in page.pictures],
        network=flat(page.network),
        settings=flat(page.settings),
        software=software(),
    )


def course_groups(course: Course, steps: float | None = None) -> list[tuple[str, str, list[dict]]]:
    """The charts of a run in groups: (heading, what to look at, charts as {title, unit, svg, names})."""
    end = max(float(course.last.get("step", 1)), 1.0)
    if steps and end > 0.25 * steps:  # at first, the beginning would be a dot at the left
        end = steps
    groups = []
    for heading, meaning, charts in _charts(course):
        there = [chart for chart in charts if chart.lines]
        drawn = [
            {
                "title": chart.title,
                "unit": chart.unit,
                "svg": chart_svg(chart, end),
                "names": list(chart.lines) if len(chart.lines) > 1 else [],
            }
            for chart in there
        ]
        if drawn:
            groups.append((heading, meaning, drawn))
    return groups


def _charts(course: Course) -> list[tuple[str, str, list[Chart]]]:
    """All charts that there may be; one without lines has nothing to show."""

    def lines(**keys: str) -> dict[str, Any]:
        found = {name: course.series(key) for name, key in keys.items()}
        return {name.replace("_", " "): line for name, line in found.items() if len(line[0])}

    ap = [
        Chart(
            title,
            "0 to 1, higher is better",
            lines(**{n: f"{k} {title}" for k, n in KIND_NAMES.items()}),
            True,
            True,
        )
        for title in ("AP", "AP50")
    ]
    known = {curve.key: curve for curve in CURVES}
    other = {"learning_rate", "gradient_norm", "seconds", "images_per_s", "object_size"}
    shares = {"positive_anchors", "positive_regions", "objects_with_anchor", "objects_proposed"}
    rest = [
        key
        for key in course.keys
        if key not in known and key not in other | shares | {"objects_missed"} and " " not in key
    ]
    losses = [key for key in known if key not in other] + rest
    losses = ["total", *(key for key in losses if key != "total")]
    return [
        (
            "How good it is",
            "Measured on images that it is not trained on. This is what counts: the losses may fall while "
            "this no longer rises.",
            ap,
        ),
        (
            "The losses",
            "How wrong the network is on what it trains on: they should fall. Strong is the mean, pale "
            "what was recorded. The box losses often rise first, since they count only what was found "
            "to be an object.",
            [
                Chart(
                    known[key].title if key in known else key.replace("_", " "),
                    known[key].unit if key in known else "loss",
                    lines(value=key),
                )
                for key in losses
            ],
        ),
        (
            "What it learns from",
            "Without positives there is nothing to learn. Proposals that miss an object cannot become a "
            "detection. At first all is taken for background; that should end.",
            [
                Chart(
                    "Positives among what is drawn",
                    "share of anchors, of regions",
                    lines(anchors="positive_anchors", regions="positive_regions"),
                    share=True,
                ),
                Chart(
                    "Objects that can be found",
                    "share of the objects, IoU 0.5",
                    lines(proposals="objects_proposed", fitting_anchor="objects_with_anchor"),
                    share=True,
                ),
                Chart(
                    "Objects taken for background",
                    "share of the regions on objects",
                    lines(value="objects_missed"),
                    share=True,
                ),
            ],
        ),
        (
            "The steps",
            "",
            [
                Chart("Learning rate", "step size", lines(value="learning_rate")),
                Chart(
                    "Gradient norm", "L2, before clipping", lines(value="gradient_norm"), log=True
                ),
                Chart("Speed", "images a second", lines(value="images_per_s")),
            ],
        ),
    ]


def _tiles(page: RunPage, course: Course) -> list[tuple[str, str]]:
    """The few numbers at the top."""
    last, step = course.last, int(course.last.get("step", 0))
    tiles = [(f"{step:,}" + (f" of {page.steps:,}" if page.steps else ""), "steps")]
    if isinstance(last.get("total"), (int, float)):
        tiles.append((loss_text(last["total"]), "loss"))
    if course.evaluations:
        for kind, name in KIND_NAMES.items():
            x, values = course.series(f"{kind} AP")
            if len(values):
                tiles.append((f"{values[-1]:.3f}", f"{name} AP, step {int(x[-1]):,}"))
    if isinstance(last.get("elapsed"), (int, float)):
        tiles.append((duration(last["elapsed"]), "of training"))
    _, seconds = course.series("seconds")
    if page.state == "going" and page.steps and len(seconds):
        left = float(seconds[-50:].mean()) * (page.steps - step)
        text = f"{left / 60:.0f} min" if 90 < left < 3600 else duration(left)
        tiles.append((text, "to go, about"))
    return tiles


def _columns(course: Course) -> list[str]:
    """The names of the table's columns of numbers."""
    found = {}
    for kind, name in KIND_NAMES.items():
        for number in ("AP", "AP50"):
            if len(course.series(f"{kind} {number}")[0]):
                found[f"{name} {number}"] = True
    return list(found)


def _table(
    course: Course, best: tuple[str, float, int] | None
) -> list[tuple[str, list[str], bool]]:
    """Rows of (step, numbers, whether it is the best), the newest first."""
    rows = []
    for step, evaluation in reversed(course.evaluations):
        numbers = []
        for kind in KIND_NAMES:
            if len(course.series(f"{kind} AP")[0]):
                of_kind = evaluation.get(kind) or {}
                numbers += [_score(of_kind.get(name)) for name in ("AP", "AP50")]
        rows.append((f"{step:,}", numbers, best is not None and best[2] == step))
    return [row for place, row in enumerate(rows) if place < _MOST_ROWS or row[2]]


def _score(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) and value >= 0 else "–"


def _some(picture: Pictures) -> Pictures:
    """Of many evaluations the first, the last and some between."""
    count = len(picture.guesses)
    if count <= _MOST_EVALUATIONS:
        return picture
    places = [round(k * (count - 1) / (_MOST_EVALUATIONS - 1)) for k in range(_MOST_EVALUATIONS)]
    return Pictures(picture.name, picture.truth, [picture.guesses[place] for place in places])
