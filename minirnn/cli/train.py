"""`minirnn train`: train a network on a data set in COCO's format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.after_training import command_to_evaluate, tell_what_is_there
from minirnn.cli.datasets import (
    masks_wanted,
    open_dataset,
    subset_of,
    with_proposals,
    without_pasting,
)
from minirnn.cli.going_on import commands, kind_before, refuse_other_weights, remember, typed
from minirnn.cli.grouped import Grouped
from minirnn.cli.networks import kinds_of, make_ready, network_of
from minirnn.cli.options import describe_fields, print_json, reporter, split_overrides
from minirnn.cli.ranks import alike, on_devices, shared_out
from minirnn.cli.starts import config_of, fresh_network, weights_for
from minirnn.cli.train_options import BEST_BY, GROUPS, train_options
from minirnn.cli.while_training import evaluator
from minirnn.errors import InputError
from minirnn.watch import run_folder
from minirnn.watch.live import Live, network_facts
from minirnn.watch.tensorboard import Board

if TYPE_CHECKING:
    from minirnn.distributed.communicator import Communicator
    from minirnn.models import RCNN
    from minirnn.training import TrainingSettings


@click.command(
    cls=Grouped,
    groups=GROUPS,
    short_help="Train a network on a data set in COCO's format.",
    options_metavar="--data DIR --preset NAME --out DIR [OPTIONS]",
)
@train_options
@shared_out
@click.pass_context
def train(
    ctx: click.Context,
    ranks: Communicator,
    folder: Path | None,
    split: str,
    preset: str | None,
    out: Path | None,
    weights: Path | None,
    resume: bool,
    other_data: bool,
    stop_at: int | None,
    overwrite: bool,
    evaluate_every: int,
    patience: int,
    best_by: str | None,
    tensorboard: bool,
    proposals: Path | None,
    val_proposals: Path | None,
    image_ids: list[int] | None,
    only: list[str] | None,
    skip_invalid: bool,
    device: str,
    overrides: dict[str, Any],
    show: bool,
    as_json: bool,
    **shortcuts: Any,
) -> None:
    """Train a network, leaving weights (checkpoint.safetensors), metrics.jsonl and a page in its folder.

    \b
        minirnn train --data data/shapes --preset maskrcnn_shapes --out runs/first --steps 1000

    The data set is in COCO's layout: annotations/instances_train2017.json beside train2017/ (the
    year may be missing). The number of classes is taken from it. A preset with keypoints reads
    annotations/person_keypoints_train2017.json, and takes the number of keypoints from it:

    \b
        minirnn train --data ../coco --preset keypointrcnn_resnet50_fpn --weights imagenet --out runs/people

    From weights that know photographs: ImageNet's for the backbone alone, or a whole network's,
    whatever its classes (torchvision's file, or a checkpoint of yours):

    \b
        minirnn train --data data/cups --preset maskrcnn_few_photographs --out runs/cups
        minirnn train … --preset maskrcnn_resnet50_fpn --weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth

    A small network is quicker with a process for each core: --set processes=0. Every field can be set by
    name; --show lists them with their meaning:

    \b
        minirnn train … --set roi_operation=pool --set 'anchor_ratios=(0.5, 1, 2)'

    Open report.html of the run's folder in a browser while it trains: it refreshes itself, shows losses,
    AP and what the network sees, and names what looks wrong. For AP, say how often to measure it; the
    weights of the best are kept as best.safetensors:

    \b
        minirnn train … --evaluate-every 200 --patience 5

    Several processes, also of several machines, share out each batch (--batch-size is the whole one). The
    mpiexec beside minirnn starts them: as many as there are cores, or GPUs:

    \b
        mpiexec -n 4 minirnn train --data data/shapes --preset maskrcnn_shapes --out runs/first

    Ctrl-C stops after the current step and keeps everything. To go on, even after a crash:

    \b
        minirnn train --resume --out runs/first
    """
    from minirnn.models.build import finds
    from minirnn.training import train as train_network
    from minirnn.training.keeper import refuse_run_in

    say, command, first = reporter(as_json, ranks), ctx.obj, ranks.rank == 0
    if resume and overwrite:
        raise click.UsageError(
            "--resume and --overwrite exclude each other: the first goes on, the second deletes"
        )
    if not evaluate_every:
        for name in ("patience", "best_by", "val_proposals"):
            if ctx.params[name] and typed(ctx, name):
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} needs --evaluate-every, or there is no AP")
        patience = 0  # of a run that goes on: there is nothing to wait for
    if other_data and not resume:
        raise click.UsageError("--other-data needs --resume")
    # The folder is the first rank's: on another machine it may not be there.
    stored = ranks.broadcast(_stored_run(out, preset, weights) if resume and first else None)
    preset = stored["preset"] if stored else preset
    needed = {} if show else {"--data": folder, "--out": out}
    _refuse_missing(needed if resume else {**needed, "--preset": preset}, resume)
    given = {name: value for name, value in shortcuts.items() if value is not None}
    for name in given.keys() & overrides.keys():
        raise click.UsageError(f"--{name.replace('_', '-')} and --set {name} exclude each other")
    try:
        fields, settings = _settings(preset, {**overrides, **given}, stored)
    except InputError as error:  # which names the field; a person has named an option
        raise InputError(as_typed(str(error), given)) from error

    if show:
        if first:
            click.echo(_description(preset, fields, settings, stored))
            if preset is not None and not stored:
                click.echo(
                    f"\nThe weights (--weights):\n\n{weights_for(preset, weights) or 'fresh'}"
                )
        return
    assert folder is not None
    assert out is not None
    if first and not resume and not overwrite:
        refuse_run_in(out)
    if first:
        run_folder.refuse_others(out)
    board = Board(out, resume) if tensorboard and first else None
    keypoints = "keypoints" in finds(config_of(preset, fields, stored))
    dataset = open_dataset(
        folder, split, skip_invalid=skip_invalid, say=say, keypoints=keypoints, only=only
    )
    images = subset_of(dataset, image_ids, known_as=stored["data"] if stored else None)
    if stored:
        model = network_of(stored, fields)
    else:
        assert preset is not None
        fresh = None
        if first:
            start = weights_for(preset, weights)
            fresh = fresh_network(preset, fields, dataset, settings.seed, start, say)
        model = alike(ranks, fresh)
    masks_wanted(dataset, model)
    settings = without_pasting(settings, dataset, "copy_paste" in overrides, say)
    ranks, how = on_devices(ranks, device)
    make_ready(model, device)
    images = with_proposals(images, proposals, model)
    run: dict[str, Any] = {"resume": resume, "stop_at": stop_at, "other_data": other_data}
    run |= {"callback_every": evaluate_every, "ranks": ranks}
    if not first:
        train_network(model, images, settings, out, **run)
        return
    kind = BEST_BY.get(best_by or "") or kind_before(out, resume)
    facts = {
        "title": ": ".join(filter(None, (out.resolve().name, preset))),
        **commands(command, out, resume),
        "options": remember(ctx.params),
        "best_by": kind,
        "evaluates": evaluate_every > 0,
        "steps": settings.steps,
        "network": network_facts(model, preset),
        "settings": {"data": str(folder), "images": len(images), **dataclasses.asdict(settings)},
    }
    live = Live(out, facts, steps=settings.steps, resume=resume, board=board, say=say)
    callback = None
    if evaluate_every:
        held_out = open_dataset(
            folder, "val", skip_invalid=skip_invalid, say=say, model=model, only=only
        )
        val_images = subset_of(held_out, None, lasting=True)
        measured = with_proposals(val_images, val_proposals, model, "--val-proposals")
        if best_by and BEST_BY[best_by] not in kinds_of(model, held_out):
            raise click.UsageError(f"--best-by {best_by}: nothing measures its AP here")
        callback = evaluator(held_out, measured, live)
    say(
        f"training {preset or 'a network from Python'} ({_millions(model)} M parameters) on "
        f"{len(images)} images, {settings.steps} steps of {settings.batch_size}\n{how}"
        f"look at {out / run_folder.PAGE} while it trains"
    )
    with live:
        summary = train_network(
            model,
            images,
            settings,
            out,
            **run,
            overwrite=overwrite,
            preset=preset,
            callback=callback,
            best_by=kind,
            patience=patience,
            watch=live,
        )
        live.finished(summary.stopped_early)
    if as_json:
        print_json({**dataclasses.asdict(summary), "page": out / run_folder.PAGE})
        return
    tell_what_is_there(say, summary)
    if summary.steps < settings.steps and not summary.stopped_early:
        say(f"\nGo on:\n    {run_folder.command_to_go_on(command, knows=True)}")
    weights = summary.best or summary.averaged or summary.checkpoint
    hint = command_to_evaluate(
        *(weights, folder),
        only=only,
        skip_invalid=skip_invalid,
        takes_proposals=model.takes_proposals,
        proposals=val_proposals,
    )
    say(f"\nEvaluate:\n    {hint}")


def _stored_run(out: Path | None, preset: str | None, weights: Path | None) -> dict[str, Any]:
    """What the checkpoint says of the run that goes on.

    Raises:
        click.UsageError: the folder is not given, or other weights than the run began with.
        InputError: it holds no run, or one of another preset.
    """
    from minirnn.training import read_checkpoint
    from minirnn.training.checkpoint import CHECKPOINT

    if out is None:
        raise click.UsageError("--resume needs --out, the folder of the run")
    if not (out / CHECKPOINT).is_file():
        raise InputError(f"{out / CHECKPOINT} is not there: there is no run to resume")
    stored = read_checkpoint(out / CHECKPOINT)[1]
    if weights is not None:
        refuse_other_weights(out, weights)
    if preset is not None and stored["preset"] is None:
        raise InputError(f"{out} is a run from Python, which names no preset: leave --preset out")
    if preset not in (None, stored["preset"]):
        raise InputError(f"{out} is a run of preset {stored['preset']}, not of {preset}")
    return stored


def _refuse_missing(needed: Mapping[str, Any], resume: bool) -> None:
    """Name every option that is needed and was not given."""
    missing = [option for option, value in needed.items() if value is None]
    if missing == ["--data"] and resume:
        raise click.UsageError(
            f"--data is missing: {needed['--out'] / run_folder.FACTS} does not say which it was"
        )
    if missing:
        raise click.UsageError(f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} missing")


def as_typed(message: str, options: Iterable[str]) -> str:
    """A message about a field, if it has an option of its own, with the option's name."""
    name = message.partition(" ")[0]
    return f"--{name.replace('_', '-')}{message.removeprefix(name)}" if name in options else message


def _settings(
    preset: str | None, values: Mapping[str, Any], stored: Mapping[str, Any] | None
) -> tuple[dict[str, Any], TrainingSettings]:
    """What is set of the model's configuration, and the training's settings."""
    from minirnn.models import Config
    from minirnn.training import TrainingSettings
    from minirnn.training.recipes import settings_of

    fields, chosen = split_overrides(values, Config, TrainingSettings)
    if stored and stored["settings"]:
        return fields, TrainingSettings(steps=1).replace(**stored["settings"]).replace(**chosen)
    return fields, settings_of(preset, **chosen)


def _description(
    preset: str | None,
    fields: dict[str, Any],
    settings: TrainingSettings,
    stored: Mapping[str, Any] | None,
) -> str:
    config = config_of(preset, fields, stored)
    return (
        f"The network, {preset}:\n\n{describe_fields(config)}\n\n"
        f"The training:\n\n{describe_fields(settings)}"
    )


def _millions(model: RCNN) -> str:
    return f"{sum(p.data.size for p in model.parameters()) / 1e6:.1f}"
