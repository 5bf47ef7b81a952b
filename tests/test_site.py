"""The check of the built site finds dead links, missing places and addresses of other hosts."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def problems():
    spec = importlib.util.spec_from_file_location("site_check", ROOT / "site" / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problems


def test_a_good_site_passes(tmp_path, problems):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">b</a><a href="#here">.</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"><a href="./">home</a><img src="data:x">')
    (tmp_path / "index.html").write_text("home")
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("c.html", "c.html leads nowhere"),
        ("#nowhere", "#nowhere has no such place"),
        ("https://example.org/x.js", "is on another host"),
        ("//example.org/x.js", "is on another host"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, problems, link, told):
    (tmp_path / "a.html").write_text(f'<script src="{link}"></script>')
    (found,) = problems(tmp_path)
    assert found.startswith("a.html: ")
    assert told in found


def test_a_formula_that_was_not_understood_is_named(tmp_path, problems):
    (tmp_path / "a.html").write_text(r"<p>\alpha in text</p><math><mi>\Big</mi><mi>x</mi></math>")
    assert problems(tmp_path) == [r"a.html: a formula shows \Big as text"]


def test_no_pages_is_no_site(tmp_path, problems):
    assert "has no pages" in problems(tmp_path)[0]


def test_every_lesson_and_page_of_the_guide_is_in_the_contents():
    index = (ROOT / "site" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"\nlessons/{path.stem}\n" in index
    for path in (ROOT / "docs").glob("*.md"):
        assert f"\nguide/{path.stem}\n" in index
