"""What a run remembers of its command line, so that `train --resume --out RUN` needs no more.

The network and the settings stand in the checkpoint. Which data it learns from, and when it is evaluated,
stand in run.json: they are the defaults of the command line that goes on, and what is typed there counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from minirnn.watch import run_folder

REMEMBERED = (
    *("folder", "split", "only", "image_ids", "skip_invalid", "proposals", "device"),
    *("evaluate_every", "best_by", "patience", "val_proposals", "tensorboard"),
)


def remember(values: Mapping[str, Any]) -> dict[str, str | int | bool]:
    """A command's values as run.json holds them, as one would type them; paths from the root on."""
    return {
        name: _as_typed(values[name]) for name in REMEMBERED if values[name] not in (None, False)
    }


def _as_typed(value: Any) -> str | int | bool:
    if isinstance(value, Path):
        return os.path.abspath(value)
    return ",".join(map(str, value)) if isinstance(value, list) else value


def recall(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Once --resume and --out are both known, make what the run remembers the other options' defaults."""
    known = {**ctx.params, str(option.name): value}
    if known.get("resume") and known.get("out"):
        facts = run_folder.read_facts(known["out"])
        remembered = facts.get("options")
        if not isinstance(remembered, dict):  # a run of an earlier version
            settings = facts.get("settings")
            data = settings.get("data") if isinstance(settings, dict) else None
            remembered = {"folder": data}
        ctx.default_map = {
            name: value
            for name, value in remembered.items()
            if name in REMEMBERED and isinstance(value, str | int)
        }
    return value
