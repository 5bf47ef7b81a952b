"""The README's thumbnails are those of the notebooks: none is missing, of another picture, or left over."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from minirnn import draw
from minirnn.draw.picture import Picture
from minirnn.errors import InputError
from minirnn.lessons.pictures import BEGIN, END, SIZE, main, pictures, table, thumbnail, with_table

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def shown():
    return list(pictures(ROOT / "notebooks"))


def test_the_readme_has_the_table_that_is_made_now(shown):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme, shown), "`make lessons` writes the thumbnails anew"


def test_each_thumbnail_is_of_the_picture_in_its_notebook(shown):
    assert {path.name for path in FOLDER.iterdir()} == {f"{one.name}.webp" for one in shown}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 250_000
    for one in shown:
        kept, now = (
            in_blocks(Image.open(FOLDER / f"{one.name}.webp")),
            in_blocks(thumbnail(one.png)),
        )
        # WebP loses grain, hardly anything of a block's mean; no two pictures are nearer than 30.
        assert abs(kept - now).max() < 12, one.name


def in_blocks(image):
    """The mean colour of each block of 10 × 10 pixels."""
    width, height = (side // 10 for side in SIZE)
    return np.asarray(image.convert("RGB"), float).reshape(height, 10, width, 10, 3).mean((1, 3))


def test_each_picture_is_a_function_of_draw(shown):
    assert len(shown) >= 40
    for one in shown:
        home = draw if one.name in dir(draw) else __import__("minirnn.draw.roi", fromlist=["roi"])
        assert callable(getattr(home, one.name)), one.name


def test_a_thumbnail_shows_the_whole_picture_on_a_card_of_one_size():
    for width, height in ((40, 400), (400, 40), (700, 700), (3, 3)):
        memory = io.BytesIO()
        Image.new("RGB", (width, height), "red").save(memory, format="PNG")
        small = np.asarray(thumbnail(memory.getvalue()), int)
        assert small.shape == (SIZE[1], SIZE[0], 3)
        red = (small == [255, 0, 0]).all(axis=2)
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert wide / high == pytest.approx(width / height, rel=0.1)
        assert (small[0] == 255).all()
        assert (small[:, 0] == 255).all()


def repository(tmp_path):
    """A repository with one lesson, which shows a picture twice, and a README with marks."""
    picture = Picture(figsize=(2, 1))
    picture.subplots().plot([0, 1], [0, 1])
    import base64

    output = {
        "data": {"image/png": base64.b64encode(picture.png()).decode()},
        "output_type": "display_data",
    }
    cells = [
        {"cell_type": "markdown", "source": "draw.nothing_figure()"},
        {"cell_type": "code", "source": "x = 1\ndraw.one_figure(x)", "outputs": [output]},
        {"cell_type": "code", "source": ["one_figure(2)"], "outputs": [output]},
        {"cell_type": "code", "source": "y = draw.kept_figure(2)", "outputs": [output]},
    ]
    for folder in ("notebooks", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notebooks" / "00_first.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def test_the_command_writes_thumbnails_and_table_and_removes_what_is_shown_no_more(tmp_path):
    root = repository(tmp_path)
    (root / "docs" / "pictures").mkdir()
    (root / "docs" / "pictures" / "gone_figure.webp").write_bytes(b"old")
    for _ in range(2):  # the second time nothing changes
        result = CliRunner().invoke(main, ["--root", str(root)])
        assert result.exit_code == 0, result.output
        assert result.output.startswith("1 pictures, ")
        assert [path.name for path in (root / "docs" / "pictures").iterdir()] == ["one_figure.webp"]
        readme = (root / "README.md").read_text()
        assert readme.startswith(f"before\n{BEGIN}\n\n| | | | |\n")
        assert "(docs/pictures/one_figure.webp)](notebooks/00_first.ipynb)<br>00 `one` |" in readme
        assert readme.endswith(f"{END}\nafter\n")


def test_rows_of_the_table_are_full(shown):
    rows = table(shown[:6]).splitlines()
    assert len(rows) == 2 + 2
    assert {row.count("|") for row in rows} == {5}


def test_a_readme_without_the_marks_is_refused(shown):
    with pytest.raises(InputError, match=r"README.md lacks the lines"):
        with_table(f"{BEGIN} and no end", shown)
