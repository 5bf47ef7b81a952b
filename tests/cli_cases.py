"""The command line called in this process, and options that make a network small."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from minirnn.cli import cli

# Small enough to run in a second, and as whole as any: every stage and every loss is there.
TINY = [
    *("--set", "workers=0", "--set", "min_size=64", "--set", "small_widths=(16, 24, 32)"),
    *("--set", "fpn_channels=16", "--set", "box_width=32", "--set", "mask_width=16"),
    *("--set", "anchor_sizes=((8,), (16,), (32,))", "--set", "schedule=constant"),
    *("--set", "warmup_steps=0", "--batch-size", "2"),
]


class Result(NamedTuple):
    """How a command line ended, and what it wrote."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Result:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as leaving,
    ):
        cli.main([str(argument) for argument in arguments], prog_name="minirnn")
    return Result(leaving.value.code, out.getvalue(), err.getvalue())


def succeed(*arguments: object) -> Result:
    result = call(*arguments)
    assert result.code == 0, result.err
    return result


def fail(code: int, message: str, *arguments: object) -> str:
    """Run a command line that must fail: with this code, one complaint, and no traceback."""
    result = call(*arguments)
    assert result.code == code, result
    complaints = [x for x in result.err.splitlines() if x.startswith("minirnn: error: ")]
    assert len(complaints) == 1, result.err
    assert "Traceback" not in result.err
    assert re.search(message, result.err), result.err
    return result.err


def training(data: Path | str, out: Path, steps: int = 4) -> list[object]:
    """The command that trains a tiny network on pictures of shapes."""
    return [
        *("train", "--data", data, "--preset", "maskrcnn_shapes", "--out", out),
        *("--steps", steps, *TINY),
    ]


def trained(data: Path, out: Path) -> Path:
    """The checkpoint of two steps on pictures of shapes."""
    succeed(*training(data, out, 2))
    return out / "checkpoint.safetensors"
