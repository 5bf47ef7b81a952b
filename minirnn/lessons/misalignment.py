"""The misalignment page: one HTML file that needs no internet, to drag a box over a photograph.

    python -m minirnn.lessons.misalignment docs/misalignment.html
    misalignment.embedded()         the same page inside of a notebook

It shows, for RoIPool, RoIWarp and RoIAlign beside each other, which region each really reads, its bins
and points, the output, the gradient's footprint, the output as the box moves, and what becomes of a mask.
Its arithmetic is `pages/misalignment.js`, which tests hold against the library.
"""

from __future__ import annotations

import html
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from PIL import Image

from minirnn.draw.data_url import data_url
from minirnn.draw.misalignment import photo_regions_figure
from minirnn.draw.picture import Picture
from minirnn.files import write_whole
from minirnn.lessons.subjects import photograph

PAGES = Path(__file__).parent / "pages"
SCRIPT = PAGES / "misalignment.js"

#: The helmet's outline in the photograph, in pixels, drawn by hand: the mask of the page.
HELMET = (
    *((283, 512), (280, 470), (284, 435), (298, 404), (318, 377), (345, 356), (378, 345)),
    *((410, 343), (442, 351), (468, 369), (486, 396), (494, 428), (497, 452), (506, 462)),
    *((504, 500), (494, 512)),
)  # fmt: skip


def page() -> str:
    """The whole page as one text: its script, style, photograph and outline inside."""
    subject = photograph()
    memory = io.BytesIO()
    Image.fromarray(subject.image).save(memory, format="JPEG", quality=78)
    data = {
        "photograph": data_url(memory.getvalue(), "jpeg"),
        "licence": subject.licence,
        "boxes": dict(zip(subject.names, subject.boxes.tolist(), strict=True)),
        "outline": HELMET,
    }
    template = (PAGES / "misalignment.html").read_text(encoding="utf-8")
    parts = {
        "/*STYLE*/": (PAGES / "misalignment.css").read_text(encoding="utf-8"),
        "/*ARITHMETIC*/": SCRIPT.read_text(encoding="utf-8"),
        "/*PAGE*/": (PAGES / "misalignment_page.js").read_text(encoding="utf-8"),
        "/*DATA*/": json.dumps(data),
    }
    for mark, text in parts.items():
        template = template.replace(mark, text)
    return template


@dataclass(frozen=True)
class Embedded:
    """The page inside of a notebook, and a still picture for where a notebook is only read.

    JupyterLab shows the page. A notebook that is written for readers keeps the picture alone (see
    `lessons.notebooks`): GitHub shows no page in a page, and the file stays small.
    """

    picture: Picture
    height: int

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown, metadata = self.picture._repr_mimebundle_()
        shown["text/plain"] = repr(self)
        shown["text/html"] = (
            f'<iframe srcdoc="{html.escape(page())}" title="What RoIPool, RoIWarp and RoIAlign read" '
            f'style="width: 100%; height: {self.height}px; border: 1px solid #999"></iframe>'
        )
        return shown, metadata

    def __repr__(self) -> str:
        return "<the misalignment page>"


def embedded(height: int = 900) -> Embedded:
    """The page as the last value of a notebook's cell; it needs no network.

    Args:
        height: of the page's frame, in pixels; it scrolls.
    """
    subject = photograph()
    tag = subject.boxes[subject.names.index("name tag")]
    return Embedded(photo_regions_figure(subject.image, tag, 32), height)


@click.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def main(target: Path) -> None:
    """Write the misalignment page to TARGET, an HTML file that needs nothing else."""
    write_whole(target, page())
    click.echo(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
