"""The notebooks are what their texts give: any drift between the two is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra [lab]")
pytest.importorskip("jupytext", reason="notebooks need the extra [lab]")

from minirnn.lessons import EXERCISES  # noqa: E402
from minirnn.lessons.notebooks import differences, main, texts  # noqa: E402

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
TEXT = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A lesson

```{code-cell}
from minirnn.draw.picture import Picture
import sys, time
print("one")
sys.stdout.flush()
time.sleep(0.3)
print("more")
picture = Picture(figsize=(1, 1))
picture.subplots().plot([0, 1.25], [0, 1])
picture
```
"""


def test_every_lesson_has_text_and_notebook_with_the_same_cells_and_a_bearable_size():
    jupytext = pytest.importorskip("jupytext")
    found = texts([NOTEBOOKS])
    assert found
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == [p.stem for p in found]
    for text in found:
        shown = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
        assert [(c.cell_type, c.source) for c in jupytext.read(text).cells] == [
            (c.cell_type, c.source) for c in shown.cells
        ]
        assert text.with_suffix(".ipynb").stat().st_size <= 300_000
        for cell in shown.cells:
            for output in cell.get("outputs", []):
                assert output.output_type != "error", text
                assert output.get("name") != "stderr", f"{text}: {output}"


def test_the_course_is_whole_and_the_readme_leads_to_each_lesson():
    found = texts([NOTEBOOKS])
    assert [path.name[:2] for path in found] == [f"{number:02}" for number in range(15)]
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    asked = []
    for path in found:
        assert f"notebooks/{path.stem}.ipynb" in readme, path
        text = path.read_text(encoding="utf-8")
        asked += (own := re.findall(r"^lessons\.check\(\"(\w+)\"", text, re.M))
        assert len(own) >= 2, path
        for name in own:
            assert f'lessons.hint("{name}")' in text, (path, name)
            assert f'lessons.solution("{name}")' in text, (path, name)
    assert sorted(asked) == sorted(EXERCISES)
    assert len(asked) >= 30


def test_no_answer_becomes_a_list():
    """A paragraph that begins with "8. " is shown as number 8 of a list."""
    for path in texts([NOTEBOOKS]):
        last = 0
        for line in path.read_text(encoding="utf-8").splitlines():
            begins = re.match(r"(\d+)\. ", line)
            if begins:
                assert int(begins[1]) in (1, last + 1), f"{path.name}: {line[:40]}"
                last = int(begins[1])


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "00_a_lesson.md").write_text(TEXT, encoding="utf-8")
    result = CliRunner().invoke(main, [str(folder), "--write"])
    assert result.exit_code == 0, result.output
    return folder / "00_a_lesson.md"


def shown_by(lesson):
    return nbformat.read(lesson.with_suffix(".ipynb"), as_version=4)


def test_what_was_written_compares_equal_when_run_again(lesson):
    result = CliRunner().invoke(main, [str(lesson.parent)])
    assert result.exit_code == 0, result.output
    assert "00_a_lesson.md: ok" in result.output


def test_drift_is_found(lesson):
    new = shown_by(lesson)
    assert differences(new, shown_by(lesson)) == []

    text = shown_by(lesson)
    text.cells[0].source = "# Another lesson"
    assert differences(new, text) == ["cell 1 (# A lesson): the text differs"]

    printed = shown_by(lesson)
    printed.cells[1].outputs[0].text = "two\n"
    assert "prints\none\nmore\n" in differences(new, printed)[0]

    longer = shown_by(lesson)
    longer.cells.append(longer.cells[0])
    assert "cells" in differences(new, longer)[0]

    fewer = shown_by(lesson)
    fewer.cells[1].outputs.pop()
    assert "outputs" in differences(new, fewer)[0]


def test_pictures_are_compared_by_what_was_drawn(lesson):
    new = shown_by(lesson)
    repainted = shown_by(lesson)
    repainted.cells[1].outputs[1].data["image/png"] = "another font's pixels"
    assert differences(new, repainted) == []

    drawn = repainted.cells[1].outputs[1].metadata["image/png"]["drawn"]
    (line,) = [k for k, what in enumerate(drawn) if what.startswith("line")]
    drawn[line] = drawn[line].replace("0.5625", "0.5626")
    assert differences(new, repainted) == []
    drawn[line] = drawn[line].replace("0.5626", "0.6626")
    assert "draws 'line" in differences(new, repainted)[0]
    drawn.pop()
    assert "things now" in differences(new, repainted)[0]
    del repainted.cells[1].outputs[1].metadata["image/png"]
    assert "make it a `Picture`" in differences(new, repainted)[0]


PAGE = """
class Page:
    def _repr_mimebundle_(self, **_):
        shown, metadata = picture._repr_mimebundle_()
        return shown | {"text/html": "<iframe>"}, metadata


Page()
"""


def test_a_page_beside_a_picture_is_not_kept(tmp_path):
    text = tmp_path / "00_page.md"
    text.write_text(TEXT.replace("\npicture\n```", f"\n{PAGE}\n```"), encoding="utf-8")
    result = CliRunner().invoke(main, [str(text), "--write"])
    assert result.exit_code == 0, result.output
    shown = shown_by(text).cells[1].outputs[-1]
    assert sorted(shown.data) == ["image/png", "text/plain"]
    assert shown.metadata["image/png"]["drawn"]


def test_an_error_in_a_cell_is_named(tmp_path):
    text = tmp_path / "00_broken.md"
    text.write_text(TEXT.replace('print("one")', "1 / 0"), encoding="utf-8")
    result = CliRunner().invoke(main, [str(text)])
    assert result.exit_code == 1
    assert "00_broken.md: a cell raised an error" in result.output
    assert "ZeroDivisionError" in result.output
