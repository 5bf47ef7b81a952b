"""A comparison as one HTML file: every error drawn against its tolerance, and the table below."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from minirnn import __version__
from minirnn.verify.table import Row, Table

_ZERO = 1e-18  # where an error of 0 is drawn, which a logarithm has no place for
_WORST = 1e2  # where one of infinity is
_COLOURS = {
    "textbook": "#4269d0",
    "torch": "#efb118",
    "torchvision": "#ff725c",
    "ONNX Runtime": "#6cc5b0",
    "SciPy": "#9c6b4e",
    "pycocotools": "#a463f2",
}
_STYLE = """
body { font-family: system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #ffffff; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.15rem 0.6rem; text-align: left; border-bottom: 1px solid #dddddd; }
th { position: sticky; top: 0; background: #f4f4f4; }
td:nth-child(n+5):nth-child(-n+8) { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; display: block; }
"""


def write_page(path: str | os.PathLike[str], table: Table) -> None:
    """Write a page that holds its pictures inside, loads nothing and runs nothing.

    Raises:
        OSError: it cannot be written.
    """
    stages = list(dict.fromkeys(row.stage for row in table.rows))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>minirnn verify</title><style>{_STYLE}</style></head><body>",
        f"<h1>minirnn {html.escape(__version__)}, compared</h1>",
        f"<p>{html.escape(table.summary())}. Seed {table.seed}.</p><ul>",
        *(f"<li>{html.escape(f'{k} {v}')}</li>" for k, v in table.versions.items()),
        "</ul><p>Each dot is one drawn input: the largest difference, relative to the largest "
        "number of the reference's answer. Dots at the left edge are differences of 0. The red "
        "line of each row is its tolerance; rows whose numbers must be equal have it at the left "
        "edge.</p>",
    ]
    for stage in stages:
        rows = [row for row in table.rows if row.stage == stage]
        picture = base64.b64encode(_picture(stage, rows)).decode()
        text = html.escape(f"Errors of {stage}, relative, against their tolerances")
        parts.append(f"<h2>{html.escape(stage)}</h2>")
        parts.append(f"<img alt='{text}' src='data:image/svg+xml;base64,{picture}'>")
    parts.append(f"<h2>All rows</h2>{table._repr_html_()}</body></html>\n")
    Path(path).write_text("\n".join(parts), encoding="utf-8")


def errors_figure(title: str, rows: list[Row]) -> Figure:
    """One line for each row: a dot for each case, and a red mark at the tolerance."""
    figure = Figure(figsize=(9, 0.9 + 0.21 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        errors = np.nan_to_num(np.array(row.errors), nan=_WORST, posinf=_WORST)
        places = np.clip(errors, _ZERO, _WORST)
        colour = _COLOURS.get(row.reference, "#666666")
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


def _picture(title: str, rows: list[Row]) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text: a third of the size
        errors_figure(title, rows).savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
