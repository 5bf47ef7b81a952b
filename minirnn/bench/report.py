"""All that one command measured, as a table in plain text and for JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minirnn.bench.rows import Row, Sum


@dataclass
class Report:
    """All that one command measured.

    Attributes:
        title: of the table and of the chart.
        rows: what was timed.
        machine: from `machine.describe`.
        sums: of rows.
        missing: peers that were not here, and how to install them.
    """

    title: str
    rows: list[Row]
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

    def as_text(self) -> str:
        """A table in columns, then sums, notes and what was missing."""
        lines = [machine_sentence(self.machine), "", *columns(self.cells(), left=1)]
        notes = [f"{row.name}: {row.note}" for row in self.rows if row.note]
        missing = [f"not compared with {sentence}" for sentence in self.missing]
        for part in ([s.sentence() for s in self.sums], notes, missing):
            if part:
                lines.append("")
                for text in part:
                    lines += textwrap.wrap(text, 110, subsequent_indent="    ")
        wrong = sum(not row.agrees for row in self.rows)
        verdict = f"{wrong} DISAGREE" if wrong else "all answers that were compared agree"
        return "\n".join([*lines, "", f"{len(self.rows)} rows: {verdict}"])

    def cells(self) -> list[tuple[str, ...]]:
        """The table as texts, its headings first."""
        peers = list(dict.fromkeys(peer for row in self.rows for peer in row.theirs))
        memory = any(row.peak for row in self.rows)
        heads = ["row", "×", "ours ms", *(f"{peer} ms" for peer in peers)]
        heads += ["/ fastest", "/ torch", "GFLOP/s", "of machine", "difference"]
        heads += ["peak MB", *(f"{peer} MB" for peer in peers)] if memory else []
        table = [tuple(heads)]
        rate = self.machine["matrix_product_gflops"]
        for row in self.rows:
            stars = {peer: "*" if peer in row.not_peers else "" for peer in peers}
            worst = max(row.differences.values(), key=lambda d: (math.isnan(d), d), default=None)
            cells = [row.name, str(row.count), _ms(row.seconds)]
            cells += [_ms(row.their_seconds(peer)) + stars[peer] for peer in peers]
            cells += [_two(row.ratio(row.fastest)), _two(row.ratio_torch)]
            share = row.gflops / rate if row.gflops else None
            cells += [_whole(row.gflops), f"{share:.0%}" if share else "–"]
            cells.append(
                "–" if worst is None else f"{worst:.0e}" + ("" if row.agrees else " DISAGREES")
            )
            if memory:
                names = ["ours", *peers]
                cells += [_whole(row.peak[n] / 2**20) if n in row.peak else "–" for n in names]
            table.append(tuple(cells))
        return table


def columns(table: Sequence[Sequence[str]], left: int) -> list[str]:
    """Texts in columns; all but the first `left` of them at the right edge."""
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    lines = []
    for line in table:
        pairs = enumerate(zip(line, widths, strict=True))
        texts = [text.ljust(w) if k < left else text.rjust(w) for k, (text, w) in pairs]
        lines.append("  ".join(texts).rstrip())
    return lines


def machine_sentence(machine: dict[str, Any]) -> str:
    """One line on the machine, for a person."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['threads']} threads, float32 matrix products at "
        f"{machine['matrix_product_gflops']:.0f} GFLOP/s by {machine['blas']}; {versions}"
    )


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.2f}"


def _two(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def _whole(number: float | None) -> str:
    return "–" if number is None else f"{number:.0f}"
