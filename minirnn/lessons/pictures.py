"""Thumbnails of the course's pictures: which functions draw them, and in which lesson they stand.

    python -m minirnn.lessons.pictures        in the repository's folder: docs/pictures and README.md anew

A picture is taken from the notebook that shows it first, so that nothing is drawn here. The site's page of
all pictures is made of the same list.
"""

from __future__ import annotations

import ast
import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image, ImageOps

from minirnn.errors import InputError
from minirnn.files import write_whole

SIZE = (220, 150)  # of a thumbnail, pixels
AIR = 6  # white around it, so that it stands on a dark page as well
COLUMNS = 4
BEGIN = "<!-- pictures: written by `make lessons` -->"
END = "<!-- end of pictures -->"


@dataclass(frozen=True)
class Shown:
    """A picture in a notebook.

    Attributes:
        name: of the function of `minirnn.draw` that drew it.
        notebook: where it is shown first.
        png: the picture as a PNG file.
    """

    name: str
    notebook: Path
    png: bytes


def pictures(notebooks: Path) -> Iterator[Shown]:
    """The first picture of each function that a lesson's cell ends with, in the order of the lessons.

    Args:
        notebooks: the folder that holds them.
    """
    seen: set[str] = set()
    for path in sorted(notebooks.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            name = _called("".join(cell["source"])) if cell["cell_type"] == "code" else ""
            for output in cell.get("outputs", []):
                png = output.get("data", {}).get("image/png")
                if png and name and name not in seen:
                    seen.add(name)
                    yield Shown(name, path, base64.b64decode("".join(png)))


def thumbnail(png: bytes) -> Image.Image:
    """A picture made small, all of it, on a white card of one size."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    inner = (SIZE[0] - 2 * AIR, SIZE[1] - 2 * AIR)
    small = ImageOps.contain(picture, inner, Image.Resampling.LANCZOS)
    card = Image.new("RGB", SIZE, "white")
    card.paste(small, ((SIZE[0] - small.width) // 2, (SIZE[1] - small.height) // 2))
    return card


def table(shown: list[Shown]) -> str:
    """The pictures as a table of Markdown: each leads to its lesson, with its function's name below."""
    cells = [
        f"[![what `{one.name}` draws](docs/pictures/{one.name}.webp)](notebooks/{one.notebook.name})"
        f"<br>{one.notebook.name[:2]} `{one.name.removesuffix('_figure')}`"
        for one in shown
    ]
    cells += [""] * (-len(cells) % COLUMNS)
    rows = [cells[k : k + COLUMNS] for k in range(0, len(cells), COLUMNS)]
    lines = ["| " * COLUMNS + "|", "|:-:" * COLUMNS + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def with_table(readme: str, shown: list[Shown]) -> str:
    """A README with the table between its two marks.

    Raises:
        InputError: a mark is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(
            f"README.md lacks the lines {BEGIN!r} and {END!r}, which the pictures go between"
        )
    return f"{before}{BEGIN}\n\n{table(shown)}\n\n{END}{after}"


def _called(source: str) -> str:
    """The figure function that a cell's last line calls; "" for none."""
    tree = ast.parse(source)
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return ""
    names = [
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree.body[-1])
        if isinstance(node, ast.Call)
    ]
    return next((name for name in names if name.endswith("_figure")), "")


@click.command()
@click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".",
    help="The repository's folder.",
)  # fmt: skip
def main(root: Path) -> None:
    """Write docs/pictures and the table of pictures in README.md from the notebooks."""
    shown = list(pictures(root / "notebooks"))
    readme = with_table((root / "README.md").read_text(encoding="utf-8"), shown)
    folder = root / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    for one in shown:
        memory = io.BytesIO()
        thumbnail(one.png).save(memory, format="WEBP", quality=80, method=6)
        write_whole(folder / f"{one.name}.webp", memory.getvalue())
    for path in folder.glob("*.webp"):
        if path.stem not in {one.name for one in shown}:
            path.unlink()
    write_whole(root / "README.md", readme)
    size = sum(path.stat().st_size for path in folder.glob("*.webp"))
    click.echo(f"{len(shown)} pictures, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
