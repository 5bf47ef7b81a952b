"""Every mistake of the collection is a test named after it, or is listed here with the reason."""

import re
from pathlib import Path

TRAPS = range(1, 43)

#: Rows without a test, and why.
NOT_TESTED: dict[int, str] = {}


def _named() -> set[int]:
    here = Path(__file__).parent
    return {
        int(number)
        for path in here.rglob("test_*.py")
        for number in re.findall(r"^def test_trap_(\d+)_", path.read_text("utf-8"), re.MULTILINE)
    }


def test_every_trap_is_a_test_or_has_a_reason():
    assert _named() | set(NOT_TESTED) == set(TRAPS)


def test_no_reason_is_left_over():
    assert not _named() & set(NOT_TESTED)
