"""Rows of a comparison of two networks: what was compared, how far apart it is, and how far it may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from minirnn.verify.difference import difference, host
from minirnn.verify.printing import as_markdown
from minirnn.verify.table import Row


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
            what: the `name` of the row.
            ours: array.
            theirs: array or torch tensor; another shape is a miss.
            relative: tolerance for the relative error; or
            absolute: tolerance for the absolute one.
            note: see `Row`.
        """
        found = difference(ours, theirs, smallest_scale=0.0)
        self.number(
            stage,
            what,
            found.absolute,
            found.relative,
            cases=host(ours).size,
            relative=relative,
            absolute=absolute,
            note="; ".join(filter(None, (note, found.note))),
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
        """Enter errors that were computed elsewhere; arguments as in `arrays`.

        Raises:
            ValueError: none or both of relative and absolute are given.
        """
        if (relative is None) == (absolute is None):
            raise ValueError("exactly one of relative and absolute should be given")
        tolerance = relative if absolute is None else absolute
        assert tolerance is not None
        row = Row(
            stage=stage,
            name=what,
            compared="",
            reference=self.reference,
            cases=cases,
            absolute=float(error),
            relative=float(relative_error),
            tolerance=tolerance,
            note=note,
            measure="relative" if absolute is None else "absolute",
        )
        before = self._rows.get((stage, what))
        if before is not None:
            keep = not note or getattr(before, row.measure) >= row.error
            row = replace(
                row,
                note=before.note or note if keep else note,
                cases=row.cases + before.cases,
                absolute=float(np.maximum(row.absolute, before.absolute)),  # keeps NaN
                relative=float(np.maximum(row.relative, before.relative)),
                tolerance=max(row.tolerance, before.tolerance),
            )
        self._rows[stage, what] = row


def as_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    heads = (
        "stage",
        "what",
        "cases",
        "largest absolute error",
        "relative",
        "tolerance",
        "verdict",
        "note",
    )
    lines = [
        (
            *(row.stage, row.name, str(row.cases), f"{row.absolute:.1e}", f"{row.relative:.1e}"),
            *(f"{row.tolerance:.1e} {row.measure}", row.as_dict()["verdict"], row.note),
        )
        for row in rows
    ]
    return as_markdown([heads, *lines], right=(2, 3, 4))
