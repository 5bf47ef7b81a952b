"""What a run remembers of its command line, so that `train --resume --out RUN` needs no more.

The network and the settings stand in the checkpoint. Which data it learns from, and when it is evaluated,
stand in run.json: they are the defaults of the command line that goes on, and what is typed there counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
        name: _as_typed(values[name])
        for name in REMEMBERED
        if values[name] not in (None, False)  # nor 0, which is the default as well
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
        flags = {each.name for each in ctx.command.params if getattr(each, "is_flag", False)}
        ctx.default_map = {
            name: value if name in flags else str(value)  # a text is looked at as if it were typed
            for name, value in remembered.items()
            if name in REMEMBERED
            and isinstance(value, str | int)
            and isinstance(value, bool) == (name in flags)
        }
    return value


def commands(words: Sequence[str], out: Path, resume: bool) -> dict[str, Any]:
    """What a run was begun with, and each command that went on with it, for run.json.

    Args:
        words: of this command.
        out: the run's folder.
        resume: this command goes on with the run that is there.
    """
    before = run_folder.read_facts(out) if resume else {}
    if "command" not in before:
        return {"command": list(words)}
    later = before.get("resumed", [])
    if later[-1:] != [list(words)]:  # the same again and again is one line of the page
        later = [*later, list(words)]
    return {"command": before["command"], "resumed": later}
