"""All that one command measured, as a table in plain text, for JSON, and as a chart."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minirnn.bench.timing import Sum, Timing
from minirnn.verify.printing import in_columns, wrapped

#: Told what comes next, how many parts are done, and how many there are.
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """The progress that nobody sees."""


class Drawn:
    """A report that can be drawn: it has a title, `as_text` and `figure`."""

    title: str

    def as_text(self) -> str:
        """The table in plain text."""
        raise NotImplementedError

    def figure(self) -> Any:
        """The chart."""
        raise NotImplementedError

    def write_picture(self, path: str | os.PathLike[str]) -> None:
        """The chart as a picture.

        Raises:
            OSError: it cannot be written.
        """
        self.figure().savefig(path, format="png", dpi=150)

    def write_page(self, path: str | os.PathLike[str]) -> None:
        """A page with the chart and the table, which loads nothing and runs nothing.

        Raises:
            OSError: it cannot be written.
        """
        from minirnn.verify.page import picture, write_page

        chart = picture(self.figure(), "Chart of the table below")
        write_page(path, self.title, chart, f"<pre>{html.escape(self.as_text())}</pre>")


@dataclass
class Report(Drawn):
    """All that one command measured.

    Attributes:
        title: of the table and of the chart.
        rows: what was timed.
        machine: from `machine.describe`.
        sums: of rows.
        missing: peers that were not here, and how to install them.
    """

    title: str
    rows: list[Timing]
    machine: dict[str, Any]
    sums: list[Sum] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether all answers that were compared do."""
        return all(row.agrees for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "agrees": self.agrees,
            "machine": self.machine,
            "rows": [row.as_dict() for row in self.rows],
            "sums": [total.as_dict() for total in self.sums],
            "missing": self.missing,
        }

    def figure(self) -> Any:
        """A bar for each ratio."""
        from minirnn.draw.bench import ratios_figure

        return ratios_figure(self.as_dict()["rows"], title=self.title)

    def as_text(self) -> str:
        """A table in columns, then sums, notes and what was missing."""
        table = self.cells()
        wrong = sum(not row.agrees for row in self.rows)
        verdict = f"{wrong} DISAGREE" if wrong else "all answers that were compared agree"
        return "\n".join(
            [
                *(machine_sentence(self.machine), ""),
                *in_columns(table, right=range(1, len(table[0]))),
                *(line for row in self.rows if row.stages for line in _stages(row)),
                *wrapped([total.sentence() for total in self.sums]),
                *wrapped([f"{row.name}: {row.note}" for row in self.rows if row.note]),
                *wrapped([f"not compared with {sentence}" for sentence in self.missing]),
                *("", f"{len(self.rows)} rows: {verdict}"),
            ]
        )

    def cells(self) -> list[tuple[str, ...]]:
        """The table as texts, its headings first."""
        peers = list(dict.fromkeys(peer for row in self.rows for peer in row.theirs))
        memory = ["ours", *peers] if any(row.peak for row in self.rows) else []
        rate = self.machine["matrix_product_gflops"]
        table = [
            (
                *("row", "×", "ours ms", *(f"{peer} ms" for peer in peers)),
                *("/ fastest", "/ torch", "GFLOP/s", "of machine", "difference"),
                *(f"{'peak' if name == 'ours' else name} MB" for name in memory),
            )
        ]
        for row in self.rows:
            theirs = [
                _milliseconds(row.their_seconds(peer)) + ("*" if peer in row.not_peers else "")
                for peer in peers
            ]
            share = f"{row.gflops / rate:.0%}" if row.gflops else "–"
            peaks = [row.peak[name] / 2**20 if name in row.peak else None for name in memory]
            table.append(
                (
                    *(row.name, str(row.count), _milliseconds(row.seconds), *theirs),
                    *(_number(row.ratio(row.fastest), 2), _number(row.ratio_torch, 2)),
                    *(_number(row.gflops, 0), share, _difference(row)),
                    *(_number(peak, 0) for peak in peaks),
                )
            )
        return table


def _stages(row: Timing) -> list[str]:
    """Which stage takes how much, as lines."""
    whole = sum(row.stages.values())
    cells = [("", "ms", "share")]
    cells += [(name, f"{ms:.2f}", f"{ms / whole:.0%}") for name, ms in row.stages.items()]
    cells.append(("all stages", f"{whole:.2f}", ""))
    return ["", f"{row.name}: where our time goes", *in_columns(cells, right=(1, 2))]


def machine_sentence(machine: dict[str, Any]) -> str:
    """One line on the machine, for a person."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    if "gpu" in machine:
        return (
            f"{machine['gpu']}, matrix products in {machine['products']} on both sides, at "
            f"{machine['matrix_product_gflops']:.0f} GFLOP/s by cuBLAS; host: "
            f"{machine['processor']}; {versions}"
        )
    return (
        f"{machine['processor']}, {machine['threads']} threads, float32 matrix products at "
        f"{machine['matrix_product_gflops']:.0f} GFLOP/s by {machine['blas']}; {versions}"
    )


def _milliseconds(seconds: float | None) -> str:
    return _number(seconds and seconds * 1e3, 0 if (seconds or 0) >= 0.1 else 2)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _difference(row: Timing) -> str:
    if not row.differences:
        return "–"
    worst = max(row.differences.values(), key=lambda d: (math.isnan(d), d))
    return f"{worst:.0e}" + ("" if row.agrees else " DISAGREES")
