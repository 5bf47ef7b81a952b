"""The page of all pictures: each function of `minirnn.draw` that a lesson calls, and what it drew there."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from minirnn.lessons.pictures import pictures

WIDTH = 300  # pixels of a thumbnail


def write_gallery(notebooks: Path, target: Path) -> None:
    """Make `target`/index.md and its thumbnails of the pictures that the notebooks hold."""
    target.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Pictures",
        "",
        "Each is a function of `minirnn.draw`, and takes what `model.stages(image)` or a lesson's "
        "subject gives. The link leads to the lesson that draws it.",
        "",
    ]
    for one in pictures(notebooks):
        small = Image.open(io.BytesIO(one.png)).convert("RGB")
        small.thumbnail((WIDTH, WIDTH))
        small.save(target / f"{one.name}.png", optimize=True)
        lines += [
            f"## {one.name}",
            "",
            f"[Lesson {one.notebook.stem[:2]}](../lessons/{one.notebook.name})",
            "",
            f"![What {one.name} draws]({one.name}.png)",
            "",
        ]
    (target / "index.md").write_text("\n".join(lines), encoding="utf-8")
