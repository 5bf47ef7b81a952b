"""The training loop: batch, losses, backward, clip, step; and what keeps a run safe around it.

A step is a function of the weights, the velocities, the settings and the step's number. Nothing
else is remembered, so a run that was stopped anywhere, in whatever way, goes on from its checkpoint
and ends with the same numbers as one that was not, bit for bit (on the same machine and number of
threads).
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minirnn.errors import DivergenceError, InputError, TrainingInterrupted
from minirnn.files import Reserve, alone_in, remove_leftovers
from minirnn.kernels import thread_count
from minirnn.progress import tell
from minirnn.structures import Sample
from minirnn.training.best import BEST
from minirnn.training.checkpoint import restore_checkpoint, save_checkpoint
from minirnn.training.log import Clock, MetricsLog, losses_text, progress_bar
from minirnn.training.optimiser import SGD, clip_gradients, gradient_norm
from minirnn.training.schedule import learning_rate
from minirnn.training.settings import TrainingSettings
from minirnn.training.shares import Counts, shares_of
from minirnn.training.stop import StopRequest, explain_how_to_go_on
from minirnn.training.team import Team, losses_of, twice
from minirnn.training.witness import Witness

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class TrainingSummary:
    """How a run ended.

    Attributes:
        steps: steps taken in all.
        losses: of the last step, by name.
        total: their sum.
        seconds: of all steps (before an interruption, too; without callbacks and checkpoints).
        checkpoint: the file with the weights.
        metrics: the file with the course of the losses.
        best: the file with the weights of the best AP; None where none was measured.
        best_step: the step that they are of.
        best_score: their AP, and `best_name` says whose: "mask AP".
        best_name: see `best_score`.
        stopped_early: why the run ended before its last step; "" where it did not.
    """

    steps: int
    losses: dict[str, float]
    total: float
    seconds: float
    checkpoint: Path
    metrics: Path
    best: Path | None = None
    best_step: int | None = None
    best_score: float | None = None
    best_name: str | None = None
    stopped_early: str = ""


def train(
    model: Any,
    dataset: Any,
    settings: TrainingSettings,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    stop_at: int | None = None,
    overwrite: bool = False,
    other_data: bool = False,
    preset: str | None = None,
    progress: bool = True,
    callback: Callable[[int, Any], Mapping[str, Any] | None] | None = None,
    callback_every: int = 0,
    best_by: str | None = None,
    patience: int = 0,
    watch: Callable[[Mapping[str, Any]], None] | None = None,
    make_loader: Callable[..., Any] | None = None,
) -> TrainingSummary:
    """Train a model, leaving `checkpoint.safetensors` and `metrics.jsonl` in a folder.

    A line of metrics.jsonl holds step (steps taken), losses (by name), total, learning_rate,
    gradient_norm (before clipping), seconds (a step), images_per_s, elapsed (seconds in all), shares
    and sizes (`minirnn.training.shares.shares_of`), evaluation where a callback has returned something,
    and signs where something looks wrong (`minirnn.training.diagnosis`). A checkpoint is
    written before the first step, every `settings.checkpoint_every` steps, at the end, and when
    something stops the run; best.safetensors (weights only) at each evaluation with a better AP.
    Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) let the current step end first; a second
    one stops at once. While a run goes on, its folder is locked against others.

    A run survives what happens in twelve hours: a full disk (room for the next checkpoint is held from
    the start), a helper process that dies (a new one takes its place), an image that cannot be read any
    longer (another takes its place, see `unreadable`), a removed metrics.jsonl; it tells of each on
    standard error. Where it cannot go on, it says which steps are kept.

    Args:
        model: see `minirnn.models.RCNN`; on its device already.
        dataset: see `minirnn.data.loader.Dataset`.
        settings: see `TrainingSettings`.
        folder: of the run; made if it is not there.
        resume: go on from the folder's checkpoint, whose weights replace the model's.
        stop_at: stop after this step, as if Ctrl-C had been pressed then: the schedule is that of
            all `settings.steps`, and `resume` goes on to them with the same numbers.
        overwrite: the folder may hold another run, which is deleted.
        other_data: go on with a data set that has changed since, see `Dataset.fingerprint`.
        preset: the name of the model's configuration, for the checkpoint.
        progress: show a bar on standard error, and tell there of evaluations and of signs of trouble.
        callback: called as `callback(step, model)`, for an evaluation: COCO's numbers by kind, as
            {"bbox": {"AP": 0.3, …}, …}. The weights with the best AP are kept as best.safetensors.
        callback_every: steps from one call to the next, and at the end; 0 for none.
        best_by: whose AP is meant: "segm", "keypoints" or "bbox"; None for the first of these that
            there is.
        patience: stop after so many evaluations without a better AP; 0 to go on to the end.
        watch: called with each line of metrics.jsonl once it is written.
        make_loader: makes the batches; takes and gives what `minirnn.data.loader.Loader`
            does, which None stands for.

    Raises:
        InputError: the folder holds a run and neither resume nor overwrite is given; there is none
            to go on with; it is one of another model, with other settings or data; or another process
            is in the folder.
        DivergenceError: a loss or a gradient is not finite. The weights were not changed by it, and
            the checkpoint is the one before: the steps just behind are part of the trouble.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the checkpoint holds all steps.
    """
    if stop_at is not None and stop_at < 1:
        raise InputError(f"stop_at (--stop-at) is {stop_at}; it should be at least 1")
    limit = settings.steps if stop_at is None else min(stop_at, settings.steps)
    if callback_every < 0:
        raise InputError(f"callback_every is {callback_every}; it should be at least 0")
    folder = Path(folder)
    path = folder / CHECKPOINT
    witness = Witness(settings, best_by, patience)
    data: dict[str, Any] = {"images": len(dataset), "data": getattr(dataset, "fingerprint", None)}
    optimiser = SGD(model, settings.momentum, settings.weight_decay)

    rooms = [Reserve(path, tell), Reserve(folder / BEST, tell)]

    def save(step: int, *, as_best: bool = False) -> None:
        write = functools.partial(
            save_checkpoint,
            folder / BEST if as_best else path,
            model.state_dict(),
            model.config,
            preset=preset,
            step=step,
            settings=settings,
            optimiser_state=None if as_best else optimiser.state_dict(),
            **data,
        )
        rooms[as_best].write(write)

    keep_best = functools.partial(save, as_best=True)
    with contextlib.ExitStack() as stack:
        done = 0
        if resume:
            if not path.exists():
                raise InputError(f"{path} is not there: there is no run to resume")
            stack.enter_context(alone_in(folder))
            same = {} if other_data else data
            done = restore_checkpoint(path, model, optimiser, settings, **same)["step"]
        processes = _processes(model, settings)
        loader = _loader(make_loader, dataset, settings, done)  # refuses bad data before we delete
        if not resume:
            stack.enter_context(alone_in(folder))
            _clear(folder, overwrite)
        for file in (path, folder / BEST, folder / METRICS):
            remove_leftovers(file)
        for room in rooms:
            stack.callback(room.close)
        if not resume:
            save(0)  # the initial weights; a disk that is full or closed shows now, not in an hour
        if callback_every:  # for the first best weights, and for those that will replace them
            rooms[True].hold(path.stat().st_size, times=2)
        saved, whole, cause = done, True, None

        log = MetricsLog(folder / METRICS, done, witness.remember)
        stack.callback(log.close)
        for room in rooms:  # let go before the log is closed: its last lines may need the room
            stack.callback(room.close)
        stack.callback(loader.close)
        team = Team(model, processes, timeout=settings.timeout) if processes > 1 else None
        if team:
            stack.enter_context(team)
        bar = stack.enter_context(progress_bar(settings.steps, done, progress))
        stop = stack.enter_context(StopRequest())
        clock = Clock(log.elapsed)
        if progress:
            witness.tell_to(lambda text: bar.write(text, file=sys.stderr))
        try:
            batches = iter(loader)
            while done < limit and not (stop.requested or witness.has_enough):
                clock.start()
                batch = _next(batches, done)
                rate = learning_rate(done, settings)
                last = done + 1 == settings.steps
                evaluating = bool(callback_every) and _due(done + 1, callback_every, last)
                logging = _due(done + 1, settings.log_every, last)
                # Losses and gradients are looked at: NumPy's warnings would only repeat our message.
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    step = functools.partial(
                        _gradients, model, team, optimiser, batch, done, settings
                    )
                    counted = logging or evaluating
                    losses, norm, counts = twice(functools.partial(step, counted=counted), team)
                    whole = False  # while the optimiser works, the weights are between two steps
                    optimiser.step(rate)
                done, whole = done + 1, True
                clock.stop(len(batch))

                total = math.fsum(losses.values())
                bar.set_postfix_str(losses_text(losses, total), refresh=False)
                bar.update()
                record: dict[str, Any] = {
                    "step": done,
                    "losses": losses,
                    "total": total,
                    "learning_rate": rate,
                    "gradient_norm": norm,
                    **shares_of(counts),
                }
                try:
                    if callback and evaluating:
                        witness.evaluated(record, callback(done, model), keep_best)
                finally:  # an evaluation that fails must not take the step's line with it
                    if logging or "evaluation" in record:
                        witness.look_at(record)
                        log.write(record | clock.lap())
                if watch and log.last and log.last["step"] == done:
                    watch(log.last)
                if done % settings.checkpoint_every == 0:
                    log.sync()  # first, so that no checkpoint is ahead of its metrics
                    save(done)
                    saved = done
            if saved < done:
                log.sync()
                save(done)
                saved = done
        except DivergenceError as error:
            error.args = (f"{error}. {path} holds the weights after {saved} steps.",)
            raise
        except BaseException as error:
            if whole and saved < done:
                with contextlib.suppress(OSError):  # the error itself may be a full disk
                    log.sync()
                    save(done)
                    saved = done
            # Ctrl-C in a terminal reaches the loader's processes, too: their end is no news then.
            if not (stop.requested and isinstance(error, Exception) and saved == done):
                explain_how_to_go_on(error, path, saved)
                raise
            cause = error

    if stop.requested:
        message = (
            f"stopped after step {done} of {settings.steps}; {path} holds everything. To go on, "
            "run the same again with --resume (in Python: train(..., resume=True))."
        )
        with contextlib.suppress(OSError):  # the terminal may be closed
            print(message, file=sys.stderr, flush=True)
        raise TrainingInterrupted(message, step=done) from cause
    end = log.last or {"losses": {}, "total": math.nan}
    return TrainingSummary(
        done,
        dict(end["losses"]),
        end["total"],
        clock.elapsed,
        path,
        folder / METRICS,
        **witness.summary(folder, done, settings.steps),
    )


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of one training step, made from nothing but the seed and the step's number.

    The loader's streams are [seed, 0, …] and [seed, 1, …]; the 2 keeps this one apart from them.
    """
    return np.random.default_rng([seed, 2, step])


def _due(step: int, every: int, last: bool) -> bool:
    """Whether what is done every so many steps, and after the last, is to be done now."""
    return last or step % every == 0


def _processes(model: Any, settings: TrainingSettings) -> int:
    """How many processes share out a batch."""
    count = settings.processes
    if count == 0:
        count = 1 if model.device != "cpu" else thread_count()
    elif count > settings.batch_size:
        raise InputError(
            f"processes is {count}, but a batch has {settings.batch_size} images; it should not be more"
        )
    elif count > 1 and model.device != "cpu":
        raise InputError(f"processes is {count}, but the model is on a GPU; there it should be 1")
    return min(count, settings.batch_size)


def _gradients(
    model: Any,
    team: Team | None,
    optimiser: SGD,
    batch: Sequence[Sample],
    step: int,
    settings: TrainingSettings,
    *,
    counted: bool,
) -> tuple[dict[str, float], float, Counts]:
    """Losses, and their gradients in the parameters, both known to be finite; and the counts."""
    optimiser.zero_grad()
    images, targets = [sample.image for sample in batch], [sample.target for sample in batch]
    rng = step_rng(settings.seed, step)
    losses, backward, counts = losses_of(model, team, images, targets, rng, counted=counted)
    for name, value in losses.items():
        if not math.isfinite(value):
            _diverged(f"loss {name} is {value}", name, step, batch)
    backward()
    if settings.clip_norm:
        norm = clip_gradients(optimiser.parameters(), settings.clip_norm)
    else:
        norm = gradient_norm(optimiser.parameters())
    if not math.isfinite(norm):
        for name, tensor in optimiser.named_parameters().items():
            if not math.isfinite(part := gradient_norm([tensor])):
                _diverged(f"the gradient of {name} has norm {part}", name, step, batch)
        _diverged(f"the gradient has norm {norm}", "gradient", step, batch)
    return losses, norm, counts


def _diverged(what: str, term: str, step: int, batch: Sequence[Sample]) -> NoReturn:
    images = [
        f"{sample.target.image_id} ({sample.target.file_name})"
        if sample.target.file_name
        else str(sample.target.image_id)
        for sample in batch
    ]
    raise DivergenceError(
        f"{what} at step {step + 1}, with images {', '.join(images)}; a lower "
        "--learning-rate, a longer --set warmup_steps or a smaller --set clip_norm may help",
        term=term,
        step=step + 1,
        images=images,
    )


def _loader(
    make_loader: Callable[..., Any] | None, dataset: Any, settings: TrainingSettings, done: int
) -> Any:
    """What iterates over batch `done` and those after it."""
    if make_loader is None:
        from minirnn.data.loader import Loader

        make_loader = functools.partial(Loader, unreadable=settings.unreadable)
    # A loader that somebody wrote before there was a crop is asked for one only where it is wanted.
    crop: dict[str, Any] = {"crop": settings.crop} if settings.crop < 1 else {}
    return make_loader(
        dataset,
        settings.batch_size,
        steps=settings.steps,
        start_step=done,
        seed=settings.seed,
        flip=settings.flip,
        workers=settings.workers,
        timeout=settings.timeout,
        **crop,
    )


def _next(batches: Iterator[list[Sample]], step: int) -> list[Sample]:
    for batch in batches:
        return batch
    raise RuntimeError(f"the loader has no batch for step {step + 1}")


def _clear(folder: Path, overwrite: bool) -> None:
    """Make the folder ready for a new run."""
    old = [folder / name for name in (CHECKPOINT, METRICS, BEST) if (folder / name).exists()]
    if old and not overwrite:
        raise InputError(
            f"{folder} holds a run already ({', '.join(p.name for p in old)}); go on with it "
            "(--resume), replace it (--overwrite), or choose another folder (--out)"
        )
    for path in old:
        path.unlink()
