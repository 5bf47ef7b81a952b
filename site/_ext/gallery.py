"""The page of all pictures: each function of `minirnn.draw` that a lesson calls, and what it drew there."""

from __future__ import annotations

import ast
import base64
import io
import json
from pathlib import Path

from PIL import Image

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
    seen: set[str] = set()
    for path in sorted(notebooks.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                png = output.get("data", {}).get("image/png")
                name = _called(cell["source"])
                if png and name and name not in seen:
                    seen.add(name)
                    _thumbnail(png, target / f"{name}.png")
                    lines += [
                        f"## {name}",
                        "",
                        f"[Lesson {path.stem[:2]}](../lessons/{path.name})",
                        "",
                        f"![What {name} draws]({name}.png)",
                        "",
                    ]
    (target / "index.md").write_text("\n".join(lines), encoding="utf-8")


def _called(source: str | list[str]) -> str:
    """The figure function that a cell's last line calls."""
    tree = ast.parse("".join(source))
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return ""
    names = [
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree.body[-1])
        if isinstance(node, ast.Call)
    ]
    return next((name for name in names if name.endswith("_figure")), "")


def _thumbnail(png: str | list[str], path: Path) -> None:
    picture = Image.open(io.BytesIO(base64.b64decode("".join(png)))).convert("RGB")
    picture.thumbnail((WIDTH, WIDTH))
    picture.save(path, optimize=True)
