"""A figure that a notebook shows as the last line of a cell, and that knows what was drawn in it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image

DPI = 80  # of a picture in a notebook: about 50 kB each


class Picture(Figure):
    """A matplotlib figure made without pyplot: nothing is kept, and no display is needed."""

    def png(self, dpi: int = DPI) -> bytes:
        """The picture as a PNG file, the same bytes on every run."""
        memory = io.BytesIO()
        self.savefig(memory, format="png", dpi=dpi)
        # 256 colours do for what is drawn here, and make a photograph's file a quarter as large. Chosen so
        # that rare ones are kept (MAXCOVERAGE): a legend may hold the only spot of a colour.
        pixels = Image.open(memory).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        small = io.BytesIO()
        pixels.save(small, format="png", optimize=True)
        return small.getvalue()

    def drawn(self) -> list[str]:
        """What is in the picture, one line for each thing: for comparing pictures of two machines.

        Fonts and matplotlib's versions change pixels. What must not change is what was drawn: the
        texts, and of each line, patch, image and group of marks its kind and numbers.
        """
        lines = []
        for axes in self.axes:
            lines.append(f"axes {axes.get_xlabel()!r} {axes.get_ylabel()!r}")
            # Ticks and frame follow from the rest, and from matplotlib's version.
            frame: list[Artist] = [axes.patch, *axes.spines.values()]
            for axis in (axes.xaxis, axes.yaxis):
                frame += [axis, *axis.findobj(include_self=False)]
            ids = {id(artist) for artist in frame}
            for artist in axes.findobj(include_self=False):
                if artist.get_visible() and id(artist) not in ids:
                    lines.append(_of(artist))
        return [line for line in lines if line]

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = {"image/png": self.png(), "text/plain": repr(self)}
        return shown, {"image/png": {"drawn": self.drawn()}}

    def __repr__(self) -> str:
        return f"<picture of {len(self.axes)} axes>"


def _of(artist: Artist) -> str:
    match artist:
        case Text():
            return f"text {artist.get_text()!r}" if artist.get_text() else ""
        case Line2D():
            return f"line {_numbers(artist.get_xydata())}"
        case Patch():
            path = artist.get_patch_transform().transform_path(artist.get_path())
            return f"patch {_numbers(path.vertices)}"
        case AxesImage():
            return f"image {_numbers(artist.get_array())}"
        case Collection():
            corners = [np.empty((0, 2)), *(path.vertices for path in artist.get_paths())]
            return f"marks {_numbers(artist.get_offsets())} {_numbers(np.concatenate(corners))}"
    return ""


def _numbers(values: Any) -> str:
    """Shape, mean and spread: enough to see a change, and rounded so that a rounding error is none."""
    values = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    finite = values[np.isfinite(values)]
    shape = "×".join(map(str, values.shape))
    if not finite.size:
        return shape
    return f"{shape} {finite.mean():.4g} ± {finite.std():.4g}"
