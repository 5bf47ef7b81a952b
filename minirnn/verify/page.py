"""What was compared or measured as one HTML file, which holds its pictures inside and runs nothing."""

from __future__ import annotations

import html
import io
import os
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from minirnn import __version__
from minirnn.draw.bench import COLOURS
from minirnn.draw.data_url import data_url
from minirnn.files import write_whole

if TYPE_CHECKING:
    from minirnn.verify.table import Row, Table

_ZERO = 1e-18  # where an error of 0 is drawn, which has no logarithm
_WORST = 1e2  # where one of infinity is
_STYLE = """
body { font-family: system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #ffffff; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.15rem 0.6rem; text-align: left; border-bottom: 1px solid #dddddd; }
th { position: sticky; top: 0; background: #f4f4f4; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; font-size: 0.85rem; }
img { max-width: 100%; display: block; }
"""


def write_page(path: str | os.PathLike[str], title: str, *parts: str) -> None:
    """Write a page.

    Args:
        path: of the file.
        title: above it.
        *parts: HTML.

    Raises:
        OSError: it cannot be written.
    """
    title = html.escape(title)
    head = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        '<meta name="generator" content="minirnn verify">',
        f"<title>minirnn: {title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
    ]
    write_whole(path, "\n".join([*head, *parts, "</body></html>\n"]))


def picture(figure: Figure, what: str) -> str:
    """A figure as HTML, and what it shows in words."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text: a third of the size
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    source = data_url(buffer.getvalue(), "svg+xml")
    return f"<img alt='{html.escape(what)}' src='{source}'>"


def write_errors(path: str | os.PathLike[str], table: Table) -> None:
    """A page with every error of a comparison drawn against its tolerance, and the table below.

    Raises:
        OSError: it cannot be written.
    """
    parts = [
        f"<p>{html.escape(table.summary())}. Seed {table.seed}.</p><ul>",
        *(f"<li>{html.escape(f'{k} {v}')}</li>" for k, v in table.versions.items()),
        "</ul><p>Each dot is one drawn input: the largest difference, relative to the largest "
        "number of the reference's answer. Dots at the left edge are differences of 0. The red "
        "line of each row is its tolerance; rows whose numbers must be equal have it at the left "
        "edge.</p>",
    ]
    for stage in dict.fromkeys(row.stage for row in table.rows):
        rows = [row for row in table.rows if row.stage == stage]
        what = f"Errors of {stage}, relative, against their tolerances"
        parts += [f"<h2>{html.escape(stage)}</h2>", picture(errors_figure(stage, rows), what)]
    write_page(path, f"{__version__}, compared", *parts, f"<h2>All rows</h2>{table._repr_html_()}")


def errors_figure(title: str, rows: list[Row]) -> Figure:
    """One line for each row: a dot for each case, and a red mark at the tolerance."""
    figure = Figure(figsize=(9, 0.9 + 0.21 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        errors = np.nan_to_num(np.array(row.errors), nan=_WORST, posinf=_WORST)
        places = np.clip(errors, _ZERO, _WORST)
        colour = COLOURS.get(row.reference, "#666666")
        axes.scatter(places, np.full(len(places), y), s=16, color=colour, alpha=0.6, linewidths=0)
        axes.vlines(max(row.tolerance, _ZERO), y - 0.4, y + 0.4, color="#d62728", linewidth=1.5)
        if not row.agrees:
            axes.axhspan(y - 0.5, y + 0.5, color="#d62728", alpha=0.15, linewidth=0)
    labels = [f"{row.name}, {row.compared}, {row.reference}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(_ZERO / 3, _WORST * 3)
    axes.set_xlabel("relative error")
    axes.set_title(title, fontsize=9)
    axes.grid(axis="x", linewidth=0.4)
    return figure
