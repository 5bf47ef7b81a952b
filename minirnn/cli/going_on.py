"""What a run remembers of its command line, so that `train --resume --out RUN` needs no more.

The network and the settings stand in the checkpoint. Which data it learns from, and when it is evaluated,
stand in run.json: they are the defaults of the command line that goes on, and what is typed there counts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from minirnn.watch import run_folder

REMEMBERED = (
    *("folder", "split", "only", "image_ids", "skip_invalid", "proposals", "device"),
    *("evaluate_every", "best_by", "patience", "val_proposals", "tensorboard"),
)
OF_DEMO = ("level", "folder", "steps", "train_images", "val_images", "seed", "device")


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
    if facts := _facts_known(ctx, option, value):
        settings = facts.get("settings", {})
        # A run of an earlier version has its data in the settings.
        remembered = facts.get("options", {"folder": settings.get("data")})
        ctx.default_map = _defaults(ctx, remembered, REMEMBERED)
    return value


def remember_demo(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a demo was given, as one would type it."""
    told = {name: _as_typed(values[name]) for name in OF_DEMO if values[name] is not None}
    sets = [f"{name}={value!r}" for name, value in values["overrides"].items()]
    return told | {"overrides": sets}


def recall_demo(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """`recall` of a demo."""
    if facts := _facts_known(ctx, option, value):
        remembered = facts.get("demo", {})
        ctx.default_map = _defaults(ctx, remembered, OF_DEMO)
        sets = remembered.get("overrides")
        if isinstance(sets, list):
            ctx.default_map["overrides"] = [str(each) for each in sets]
    return value


def _facts_known(ctx: click.Context, option: click.Parameter, value: Any) -> dict[str, Any]:
    """What the run has written down, once --resume and --out are both known; before, nothing."""
    known = {**ctx.params, str(option.name): value}
    return run_folder.read_facts(known["out"]) if known.get("resume") and known.get("out") else {}


def _defaults(
    ctx: click.Context, remembered: Mapping[str, Any], names: Collection[str]
) -> dict[str, Any]:
    """Defaults of a command's options; what is damaged is not among them."""
    flags = {each.name for each in ctx.command.params if getattr(each, "is_flag", False)}
    return {
        name: value if name in flags else str(value)  # a text is looked at as if it were typed
        for name, value in remembered.items()
        if name in names
        and isinstance(value, str | int)
        and isinstance(value, bool) == (name in flags)
    }


def typed(ctx: click.Context, name: str) -> bool:
    """Whether a person has typed an option, by its parameter's name, and no run remembers it."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def refuse_other_weights(out: Path, weights: Path) -> None:
    """Refuse to go on from other weights than those of the run.

    Args:
        out: the run's folder.
        weights: as typed. The command that began the run may be typed again, with --resume.

    Raises:
        click.UsageError: the run did not begin with them.
    """
    words = [*run_folder.read_facts(out).get("command", []), ""]
    begun = [after for word, after in pairwise(words) if word == "--weights"]
    begun += [word.partition("=")[2] for word in words if word.startswith("--weights=")]
    if str(weights) not in [str(Path(each)) for each in begun]:
        raise click.UsageError(
            "--weights and --resume exclude each other: the run goes on with its own weights, and did not "
            f"begin with {weights}; leave --weights out"
        )


def kind_before(out: Path, resume: bool) -> str | None:
    """By whose AP a run that goes on has kept its best weights, if it says so."""
    return run_folder.read_facts(out).get("best_by") if resume else None


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
