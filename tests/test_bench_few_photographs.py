"""The comparison behind docs/few-photographs.md: every choice is one that `minirnn train` takes."""

from __future__ import annotations

import shlex

import pytest
from cli_cases import fail, succeed

from minirnn.bench.few_photographs import (
    CHOICES,
    PRESET,
    SCRATCH,
    Run,
    _words,
    from_base,
    main,
    table_of,
)
from minirnn.training.recipes import settings_of


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_shown_as_it_was_made(name):
    """`train --show` takes the words, and each --set changes what is shown without it."""
    words = _words(CHOICES[name], None)
    shows = ["train", "--preset", PRESET, "--show"]
    plain = succeed(*shows, *shlex.split(from_base(""))).out.splitlines()
    shown = succeed(*shows, *_words(from_base(CHOICES[name]), None)).out.splitlines()
    changed = sum(a != b for a, b in zip(plain, shown, strict=True))
    values = sum(word in ("--set", "--learning-rate", "--batch-size", "--steps") for word in words)
    assert changed >= values > 0 or name == "base"


def test_each_part_of_the_base_differs_from_the_recipe():
    plain = succeed("train", "--preset", PRESET, "--show").out.splitlines()
    shown = succeed(
        "train", "--preset", PRESET, "--show", *shlex.split(from_base(""))
    ).out.splitlines()
    assert sum(a != b for a, b in zip(plain, shown, strict=True)) == from_base("").count("--set")


def test_scratch_is_refused_with_frozen_parts(tmp_path):
    succeed("data", "shapes", "--out", tmp_path / "d", "--train", 2, "--val", 1, "--size", 64)
    words = ["train", "--preset", PRESET, "--data", tmp_path / "d", "--out", tmp_path / "run"]
    parts = shlex.split(SCRATCH)
    assert parts[:2] == ["--weights", "none"]
    fail(1, "cannot learn from fresh weights", *words, *parts[:2])
    fail(1, "frozen_stages is 2", *words, *parts, "--set", "frozen_stages=2")


def test_half_stands_for_half_the_steps():
    assert _words("--batch-size 4 --half", 100) == ["--batch-size", "4", "--steps", "50"]
    assert _words("--half", None) == ["--steps", str(settings_of(PRESET).steps // 2)]
    assert _words("", None) == []


def test_the_table_has_mean_and_range():
    fixed = {"overall": {"bbox": 0.1, "segm": 0.05}, "plain": {"bbox": 0.2, "segm": 0.25}}
    runs = [Run("a", seed, 2.0, {"bbox": 0.1 * seed, "segm": 0.5}, **fixed) for seed in (1, 2, 3)]
    cells = table_of(runs).splitlines()[-1].split("|")[1:-1]
    ap50 = ["0.200 (0.100 to 0.300)", "0.500 (0.500 to 0.500)"]
    assert [cell.strip() for cell in cells] == [
        *("a", "3", "2.0", *ap50, "0.100", "0.050", "0.200 / 0.250")
    ]


def test_both_starts_are_trained_evaluated_and_drawn(tmp_path, monkeypatch, capsys):
    """With pictures of shapes, two steps, and nothing that is made twice."""
    succeed("data", "shapes", "--out", tmp_path / "data", "--train", 4, "--val", 2, "--size", 64)
    small = "min_size=64 max_size=64 fpn_channels=8 box_width=8 mask_width=8 workers=0 processes=1"
    words = [
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "runs",
        "--seeds",
        "0",
        "--steps",
        "2",
    ]
    words += [part for each in shlex.split(small) for part in ("--set", each)]
    words += ["--only", "scratch", "--picture", tmp_path / "picture.png"]
    words += ["--outlines", tmp_path / "outlines.png"]
    main([str(word) for word in words], standalone_mode=False)
    first = capsys.readouterr()
    assert first.out.count("| scratch | 1 |") == 1
    assert first.err.count("minirnn train") == 1
    sizes = [(tmp_path / f"{name}.png").stat().st_size for name in ("picture", "outlines")]
    assert sizes[0] > sizes[1] > 2000  # without the pictures
    main([str(word) for word in words], standalone_mode=False)
    again = capsys.readouterr()
    assert again.out == first.out
    assert "minirnn train" not in again.err
