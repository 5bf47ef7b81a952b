"""What a run tells the world while it goes: metrics.jsonl, and a bar with the remaining time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minirnn.files import write_whole
from minirnn.progress import Bar, loss_text, tell
from minirnn.training.lines import Lines

METRICS = "metrics.jsonl"


class MetricsLog:
    """A file of JSON objects, one a line, each there for others to read as soon as it is written.

    A line holds step (steps taken), losses (by name), total, learning_rate, gradient_norm (before
    clipping), seconds (a step), images_per_s, elapsed (seconds in all), shares and sizes
    (`minirnn.training.shares.shares_of`), evaluation where a callback has returned something, and signs
    where something looks wrong (`minirnn.training.diagnosis`).

    See `minirnn.training.lines` for what happens on a full disk, and when somebody removes the file.

    What lies beyond `step` is cut off on opening, half a line at the end as well: a run that goes
    on from a checkpoint takes those steps again, and none is to stand there twice.

    Args:
        path: the file; made if it is not there.
        step: the number of steps that the run goes on from.
        each: called with each record that is kept.

    Attributes:
        last: the last record that was kept or written; None in an empty file.
    """

    def __init__(
        self, path: Path, step: int, each: Callable[[dict[str, Any]], object] = lambda record: None
    ) -> None:
        self.last: dict[str, Any] | None = None
        old = path.read_bytes() if path.exists() else b""
        kept = []
        for line in old.splitlines(keepends=True):
            record = _record(line)
            if record is not None and record["step"] <= step:
                kept.append(line.rstrip() + b"\n")
                self.last = record
                each(record)
        if b"".join(kept) != old:
            write_whole(path, b"".join(kept))
        self._lines = Lines(path, tell)

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.last["elapsed"] if self.last else 0.0

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record; it outlives this process from here on."""
        self._lines.add(json.dumps(record, default=_number))
        self.last = dict(record)

    def sync(self) -> None:
        """Bring all records to the disk, where they outlive a power cut."""
        self._lines.sync()

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Clock:
    """Measures how long steps take, and the mean over those since the last line of metrics.

    Attributes:
        elapsed: seconds of all steps, those before an interruption included.
    """

    def __init__(self, elapsed: float) -> None:
        self.elapsed = elapsed
        self._seconds, self._steps, self._images, self._from = 0.0, 0, 0, 0.0

    def start(self) -> None:
        """A step begins."""
        self._from = time.perf_counter()

    def stop(self, images: int) -> None:
        """It has ended, with a batch of so many images."""
        seconds = time.perf_counter() - self._from
        self.elapsed += seconds
        self._seconds += seconds
        self._steps += 1
        self._images += images

    def lap(self) -> dict[str, float]:
        """What a line of metrics says about time since the line before."""
        figures = {
            "seconds": self._seconds / self._steps,
            "images_per_s": self._images / max(self._seconds, 1e-9),
            "elapsed": self.elapsed,
        }
        self._seconds, self._steps, self._images = 0.0, 0, 0
        return figures


def progress_bar(steps: int, done: int, enabled: bool) -> Any:
    """A bar on standard error: steps, losses, speed and remaining time."""
    # Where nobody watches, each state of the bar is a line of its own: then one in half a minute.
    interval = 0.2 if sys.stderr.isatty() else 30.0
    return Bar(
        total=steps,
        initial=done,
        disable=not enabled,
        desc="training",
        unit="step",
        mininterval=interval,
        miniters=1,  # so that it looks at the clock at every step
        dynamic_ncols=True,
    )


def losses_text(losses: Mapping[str, float], total: float) -> str:
    """The losses in a few characters each, as the bar shows them."""
    parts = "  ".join(f"{name} {loss_text(value)}" for name, value in losses.items())
    return f"loss {loss_text(total)}  ({parts})"


def _record(line: bytes) -> dict[str, Any] | None:
    """A line's record; None if it is cut short or none of ours."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole and isinstance(record.get("elapsed"), int | float) else None


def _number(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON's, in what an evaluation returns."""
    return value.tolist()
