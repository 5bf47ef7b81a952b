"""What a training run has written down: the lines of metrics.jsonl, and the series that they make.

Nothing is drawn here, so that a run can keep account of itself without loading matplotlib.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minirnn.errors import InputError


class Curve(NamedTuple):
    """One panel: a key of metrics.jsonl, and what to write at it."""

    key: str
    title: str
    unit: str
    is_loss: bool = True


CURVES = (
    Curve("rpn_objectness", "RPN objectness", "cross-entropy, nats an anchor"),
    Curve("rpn_box", "RPN box", "smooth L1, no unit"),
    Curve("roi_class", "RoI class", "cross-entropy, nats a RoI"),
    Curve("roi_box", "RoI box", "smooth L1, no unit"),
    Curve("mask", "Mask", "cross-entropy, nats a pixel"),
    Curve("keypoint", "Keypoint", "cross-entropy, nats a keypoint"),
    Curve("total", "Total loss", "sum of the losses"),
    Curve("learning_rate", "Learning rate", "step size", False),
    Curve("gradient_norm", "Gradient norm", "L2, before clipping", False),
)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl file: one JSON object a line.

    A last line that is cut short (the run was killed, or is being written to) is left out.

    Raises:
        InputError: there is no such file, or a line before the last is not a JSON object.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:  # a cut line can end within a character, too
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif number < len(lines):
            raise InputError(f"{path}, line {number}, is not a JSON object: {line[:60]!r}")
    return records


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over `window` values centred on each; near the ends, over those that are there."""
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    place = np.arange(len(values))
    first, last = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


@dataclass
class Course:
    """The course of a run, as it grows: numbers by step, evaluations, and what looked wrong.

    It holds two numbers for each value and nothing else of a record, for runs of a hundred thousand steps.

    Attributes:
        evaluations: (step, numbers by kind and name), in their order.
        signs: (step, {"name", "text", "advice"}), see `minirnn.training.diagnosis`.
        last: the last record.
    """

    evaluations: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    signs: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    last: Mapping[str, Any] = field(default_factory=dict)
    _series: dict[str, tuple[array, array]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take over a line of metrics.jsonl, whose steps rise."""
        step = record.get("step")
        if not isinstance(step, int):
            return
        self.last = record
        flat = {key: value for key, value in record.items() if key not in ("step", "elapsed")}
        for key, value in {**flat, **_inner(record, "losses"), **_inner(record, "shares")}.items():
            self._put(key, step, value)
        self._put("object_size", step, _inner(record, "sizes").get("objects"))
        if evaluation := _inner(record, "evaluation"):
            self.evaluations.append((step, evaluation))
            for kind, numbers in evaluation.items():
                for name in ("AP", "AP50"):
                    self._put(
                        f"{kind} {name}",
                        step,
                        numbers.get(name) if isinstance(numbers, Mapping) else None,
                    )
        signs = record.get("signs", ())
        for sign in signs if isinstance(signs, list) else ():
            if isinstance(sign, Mapping) and {"name", "text", "advice"} <= sign.keys():
                self.signs.append((step, sign))

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """The steps and values of one quantity; two empty arrays where there is none of it."""
        steps, values = self._series.get(key, (array("d"), array("d")))
        return np.array(steps), np.array(values)

    @property
    def keys(self) -> list[str]:
        """The names of what there is a series of."""
        return list(self._series)

    def _put(self, key: str, step: int, value: Any) -> None:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            steps, values = self._series.setdefault(key, (array("d"), array("d")))
            steps.append(step)
            values.append(value)


def _inner(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def read_what_is_there(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a metrics.jsonl, however it was left, and what is wrong with it, in sentences.

    Of a step that stands there twice, the later record counts.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], [f"{path.name} is not there: the course of this run is lost."]
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror}): no course is shown."]
    found: dict[int, dict[str, Any]] = {}
    bad = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            step = record["step"]
        except (ValueError, KeyError, TypeError, RecursionError):
            record, step = None, None
        if isinstance(step, int) and isinstance(record, dict):
            found[step] = record
        elif line.strip():
            bad.append(number)
    problems = []
    if bad and bad[-1] == len(lines):
        problems.append(
            f"The last line of {path.name} is cut short, as when a process is killed: it is left out."
        )
        bad.pop()
    if bad:
        some = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        problems.append(f"{len(bad)} lines of {path.name} are no records and left out: {some}.")
    if not found and not problems:
        problems.append(f"{path.name} is empty: no step was recorded.")
    return [found[step] for step in sorted(found)], problems
