"""The chart of a measurement as a picture, or as a page with its table."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

_STYLE = """
body { font-family: system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #ffffff; }
pre { overflow-x: auto; font-size: 0.85rem; }
img { max-width: 100%; display: block; }
"""


def figure_of(report: Any) -> Figure:
    """The bars of a `Report`, or the curves of a `ScaleReport`."""
    from minirnn.draw.bench import growth_figure, ratios_figure

    content = report.as_dict()
    if "growth" in content:
        return growth_figure(content["rows"], content["growth"], title=report.title)
    return ratios_figure(content["rows"], title=report.title)


def write_png(path: Path, report: Any) -> None:
    """The chart as a picture.

    Raises:
        OSError: it cannot be written.
    """
    figure_of(report).savefig(path, format="png", dpi=150)


def write_html(path: Path, report: Any) -> None:
    """A page with the chart and the table, which loads nothing and runs nothing.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text: a third of the size
        figure_of(report).savefig(buffer, format="svg", metadata={"Date": None})
    picture = base64.b64encode(buffer.getvalue()).decode()
    title = html.escape(report.title)
    path.write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>minirnn bench: {title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{title}</h1><img alt='Chart of the table below' "
        f"src='data:image/svg+xml;base64,{picture}'><pre>{html.escape(report.as_text())}</pre>"
        "</body></html>\n",
        encoding="utf-8",
    )
