"""One table printer for all that is compared and measured: in columns, for Markdown, and for a page.

A table is a list of rows of texts, the headings first.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Collection, Sequence

Texts = Sequence[Sequence[str]]


def in_columns(table: Texts, right: Collection[int]) -> list[str]:
    """Plain text, a line for each row.

    Args:
        table: see the top of this file.
        right: which columns are aligned to the right, as numbers are.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = enumerate(zip(row, widths, strict=True))
        texts = [text.rjust(w) if k in right else text.ljust(w) for k, (text, w) in cells]
        lines.append("  ".join(texts).rstrip())
    return lines


def as_markdown(table: Texts, right: Collection[int]) -> str:
    """A Markdown table; arguments as in `in_columns`."""
    rule = ["---:" if k in right else "---" for k in range(len(table[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def as_html(table: Texts, right: Collection[int], wrong: Collection[int] = ()) -> str:
    """An HTML table; arguments as in `in_columns`.

    Args:
        table: see the top of this file.
        right: columns that are aligned to the right.
        wrong: which rows, counted without the headings, are red.
    """
    head = "".join(f"<th>{html.escape(text)}</th>" for text in table[0])
    body = []
    for number, row in enumerate(table[1:]):
        cells = "".join(
            f"<td{' class=number' if k in right else ''}>{html.escape(text)}</td>"
            for k, text in enumerate(row)
        )
        colour = ' style="color: #b00020"' if number in wrong else ""
        body.append(f"<tr{colour}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def wrapped(sentences: Sequence[str], indent: str = "") -> list[str]:
    """Sentences in lines of 110 letters, each with a hanging indent; a blank line before, if any."""
    lines = [
        line
        for text in sentences
        for line in textwrap.wrap(
            text, 110, initial_indent=indent, subsequent_indent=f"{indent}    "
        )
    ]
    return ["", *lines] if lines else []


def finite(number: float) -> float | None:
    """The number, or None for infinity and NaN, which JSON does not know."""
    return number if math.isfinite(number) else None
