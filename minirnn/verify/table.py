"""What a comparison found: rows, what was left out and why, as text, HTML and JSON."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from minirnn.verify.printing import as_html, as_markdown, finite, in_columns, wrapped

HEADINGS = (
    "stage",
    "what",
    "compared",
    "reference",
    "cases",
    "absolute error",
    "relative error",
    "tolerance",
    "verdict",
)
_NUMBERS = (4, 5, 6, 7)  # the columns of numbers


@dataclass(frozen=True)
class Row:
    """One thing that was compared with one reference: a function, an array of a network, a loss.

    Attributes:
        stage: part of the library.
        name: the function, array or number.
        compared: "forward" or "gradient"; empty where the name says it.
        reference: what it was compared with.
        cases: drawn inputs that were compared.
        absolute: largest difference of two numbers.
        relative: the same over the largest number of the reference's answer to that case (or over
            `minirnn.verify.difference.SMALLEST_SCALE`, if that is larger).
        tolerance: what the error may be; 0 where whole numbers, indices and masks must be equal.
        errors: the relative error of each case.
        note: what went wrong, where it is more than a number (another shape, an exception), or what a
            reader should know besides.
        measure: which error is held against the tolerance, "relative" or "absolute".
    """

    stage: str
    name: str
    compared: str
    reference: str
    cases: int
    absolute: float
    relative: float
    tolerance: float
    errors: tuple[float, ...] = ()
    note: str = ""
    measure: str = "relative"

    @property
    def error(self) -> float:
        """The one that is held against the tolerance."""
        return self.absolute if self.measure == "absolute" else self.relative

    @property
    def agrees(self) -> bool:
        """Whether the error is within the tolerance; not if it is NaN, nor if nothing was compared."""
        return self.cases > 0 and self.error <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON, which has no infinity: there it is null."""
        row = {**asdict(self), "verdict": "agrees" if self.agrees else "MISS"}
        row["absolute"], row["relative"] = finite(self.absolute), finite(self.relative)
        row["errors"] = [finite(error) for error in self.errors]
        return row

    def cells(self) -> tuple[str, ...]:
        """The row as texts, under `HEADINGS`."""
        return (
            self.stage,
            self.name,
            self.compared,
            self.reference,
            str(self.cases),
            f"{self.absolute:.1e}",
            f"{self.relative:.1e}",
            f"{self.tolerance:.0e}" if self.tolerance else "equal",
            "agrees" if self.agrees else f"MISS {self.note}".rstrip(),
        )


@dataclass(frozen=True)
class NotCompared:
    """Something that a reference has not said anything about: which functions, and why."""

    reference: str
    reason: str
    names: tuple[str, ...]

    def sentence(self) -> str:
        """One line for a person."""
        return f"{self.reference}, {self.reason}: {', '.join(self.names)}"


@dataclass
class Table:
    """The answer of `minirnn.verify.compare`; a notebook shows it as a table.

    Attributes:
        rows: one for each function, direction and reference.
        not_compared: what has no row, and why.
        versions: of the references that were asked.
        seed: of the drawn inputs.
    """

    rows: list[Row]
    not_compared: list[NotCompared] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def agrees(self) -> bool:
        """Whether every row does."""
        return not self.misses

    @property
    def misses(self) -> list[Row]:
        """The rows that do not agree."""
        return [row for row in self.rows if not row.agrees]

    def summary(self) -> str:
        """One sentence: how many rows, and how many of them missed."""
        names = {row.name for row in self.rows}
        misses = self.misses
        verdict = "all agree" if not misses else f"{len(misses)} MISS"
        cases = sum(row.cases for row in self.rows)
        return f"{len(names)} functions, {len(self.rows)} rows, {cases} cases: {verdict}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "agrees": self.agrees,
            "seed": self.seed,
            "versions": dict(self.versions),
            "rows": [row.as_dict() for row in self.rows],
            "not_compared": [asdict(left) for left in self.not_compared],
        }

    def as_text(self) -> str:
        """Plain text, in columns, a line between stages."""
        lines: list[str] = []
        stages = [row.stage for row in self.rows]
        text = in_columns(self._cells(), _NUMBERS)
        for line, stage, before in zip(text, ["", *stages], [None, "", *stages], strict=False):
            lines += ["", line] if before is not None and stage != before else [line]
        left = wrapped([left.sentence() for left in self.not_compared], "    ")
        return "\n".join(
            [*lines, *(["", "Not compared:", *left[1:]] if left else []), "", self.summary()]
        )

    def as_markdown(self) -> str:
        """The rows as a Markdown table."""
        return as_markdown(self._cells(), _NUMBERS)

    def write_page(self, path: str | os.PathLike[str]) -> None:
        """The table as a page, with every error drawn."""
        from minirnn.verify.page import write_errors

        write_errors(path, self)

    def _cells(self) -> list[tuple[str, ...]]:
        return [HEADINGS, *(row.cells() for row in self.rows)]

    def _repr_html_(self) -> str:
        wrong = [number for number, row in enumerate(self.rows) if not row.agrees]
        left = "".join(f"<li>{html.escape(x.sentence())}</li>" for x in self.not_compared)
        return (
            as_html(self._cells(), _NUMBERS, wrong)
            + f"<p>{html.escape(self.summary())}</p>"
            + (f"<details><summary>Not compared</summary><ul>{left}</ul></details>" if left else "")
        )

    def __str__(self) -> str:
        return self.as_text()
