"""Values and durations as people write them, for the tables of a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeGuard

import numpy as np


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.42 s, 9.1 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values for a table; a nested mapping's entries come as "outer: inner"."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{words(name)}: ")
        else:
            rows.append((prefix + words(name), as_written(value)))
    return rows


def words(name: object) -> str:
    """The name of a setting in words."""
    return str(name).replace("_", " ")


def as_written(value: Any) -> str:
    """A setting as people write it: yes and no, thousands apart, lists with commas."""
    if value is None:
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        whole = int(value)
        return f"{whole:,}" if abs(whole) >= 10_000 else str(whole)
    if isinstance(value, (float, np.floating)):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(as_written(entry) for entry in value) or "–"
    return str(value)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, which true and false are not."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def software() -> str:
    """What made the report: versions and machine, for whoever wants the same numbers."""
    try:
        own = version("minirnn")
    except PackageNotFoundError:  # run from a folder that was not installed
        own = "(not installed)"
    return (
        f"minirnn {own}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
