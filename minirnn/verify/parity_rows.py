"""Rows of a comparison of two networks: what was compared, how far apart it is, and how far it may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass
class Row:
    """One line of the table.

    Attributes:
        stage: part of the network.
        what: the number or array that was compared.
        reference: what it was compared with.
        cases: numbers compared.
        absolute: largest difference.
        relative: the same over the largest number of the reference's array.
        tolerance: what `measure` may be.
        measure: which of the errors is judged, "absolute" or "relative".
        note: what a reader should know besides.
    """

    stage: str
    what: str
    reference: str
    cases: int
    absolute: float
    relative: float
    tolerance: float
    measure: str
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the error is within the tolerance; not if it is NaN."""
        return (self.absolute if self.measure == "absolute" else self.relative) <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes and the verdict."""
        return {**asdict(self), "verdict": "agrees" if self.agrees else "MISS"}


class Comparison:
    """Collects rows; what is compared several times under one name becomes one row, by its worst.

    Args:
        reference: name of what is compared with.
    """

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self._rows: dict[tuple[str, str], Row] = {}

    @property
    def rows(self) -> list[Row]:
        """The rows, in the order in which they were first seen."""
        return list(self._rows.values())

    def arrays(
        self,
        stage: str,
        what: str,
        ours: Any,
        theirs: Any,
        *,
        relative: float | None = None,
        absolute: float | None = None,
        note: str = "",
    ) -> None:
        """Compare two arrays, element by element.

        Args:
            stage: see `Row`.
            what: see `Row`.
            ours: array.
            theirs: array or torch tensor; another shape is a miss.
            relative: tolerance for the relative error; or
            absolute: tolerance for the absolute one.
            note: see `Row`.
        """
        ours, theirs = host(ours), host(theirs)
        if ours.shape != theirs.shape:
            shapes = f"shapes {ours.shape} and {theirs.shape}"
            error, largest, note = np.inf, 1.0, f"{note}; {shapes}" if note else shapes
        elif ours.size == 0:
            error, largest = 0.0, 1.0
        else:
            error = float(np.abs(ours.astype(np.float64) - theirs).max())
            largest = float(np.abs(theirs).max())
        self.number(
            stage,
            what,
            error,
            error / largest if largest else error,
            cases=ours.size,
            relative=relative,
            absolute=absolute,
            note=note,
        )

    def number(
        self,
        stage: str,
        what: str,
        error: float,
        relative_error: float = 0.0,
        *,
        cases: int,
        relative: float | None = None,
        absolute: float | None = None,
        note: str = "",
    ) -> None:
        """Enter errors that were computed elsewhere; arguments as in `arrays`."""
        if (relative is None) == (absolute is None):
            raise ValueError("exactly one of relative and absolute should be given")
        tolerance = relative if absolute is None else absolute
        assert tolerance is not None
        row = Row(
            stage,
            what,
            self.reference,
            cases,
            float(error),
            float(relative_error),
            tolerance,
            "relative" if absolute is None else "absolute",
            note,
        )
        before = self._rows.get((stage, what))
        if before is not None:
            judged = row.measure
            if not note or getattr(before, judged) >= getattr(row, judged):
                row.note = before.note or note
            row.cases += before.cases
            row.absolute = float(np.maximum(row.absolute, before.absolute))  # keeps NaN
            row.relative = float(np.maximum(row.relative, before.relative))
            row.tolerance = max(row.tolerance, before.tolerance)
        self._rows[stage, what] = row


def host(array: Any) -> np.ndarray:
    """A NumPy array of an array or torch tensor."""
    return array.detach().cpu().numpy() if hasattr(array, "detach") else np.asarray(array)


def as_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| stage | what | cases | largest absolute error | relative | tolerance | verdict | note |",
        "|---|---|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.stage} | {row.what} | {row.cases} | {row.absolute:.1e} | {row.relative:.1e} | "
            f"{row.tolerance:.1e} {row.measure} | {row.as_dict()['verdict']} | {row.note} |"
        )
    return "\n".join(lines)
