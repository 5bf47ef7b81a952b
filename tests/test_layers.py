"""Nothing imports upwards: the layers of pyproject.toml, held by import-linter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed (the extra `lint`)")

ROOT = Path(__file__).resolve().parent.parent
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "minirnn", tmp_path / "minirnn", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder):
    done = subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_nothing_imports_upwards():
    code, said = lint(ROOT)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        ("boxes/geometry.py", "import minirnn.models", "minirnn.boxes.geometry -> minirnn.models"),
        (
            "data/transforms.py",
            "def late():\n    from minirnn.models import RCNN",
            "minirnn.data.transforms -> minirnn.models",
        ),
    ],
)
def test_an_import_upwards_or_to_the_side_is_found(copy, file, line, named):
    with open(copy / "minirnn" / file, "a") as opened:
        opened.write(f"\n\n{line}\n")
    code, said = lint(copy)
    assert code == 1
    assert named in said


def test_a_new_room_has_to_say_where_it_stands(copy):
    (copy / "minirnn" / "attic.py").write_text("")
    code, said = lint(copy)
    assert code == 1
    assert "attic" in said
