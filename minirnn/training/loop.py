"""The training loop: batch, losses, backward, clip, step; and what keeps a run safe around it.

A step is a function of the weights, the optimiser's memory, the settings and the step's number. Nothing
else is remembered, so a run that was stopped anywhere, in whatever way, goes on from its checkpoint
and ends with the same numbers as one that was not, bit for bit (on the same machine and number of
threads).

What a step computes is in `minirnn.training.step`; `train` does it again and again. What is around it has
pages of its own: what is saved (`keeper`), who makes the batches (`helpers`), how batches are shared out
(`passes`), what the numbers say (`witness`), when to stop (`stop`).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minirnn.distributed import Communicator
from minirnn.errors import InputError
from minirnn.training.follower import keeper_of
from minirnn.training.helpers import loader_of, next_batch, passes_of, processes_of
from minirnn.training.log import Clock, losses_text, progress_bar
from minirnn.training.optimiser import optimiser_of
from minirnn.training.ranks import begin_alike, joined
from minirnn.training.schedule import learning_rate
from minirnn.training.settings import TrainingSettings
from minirnn.training.shares import shares_of
from minirnn.training.step import gradients_of
from minirnn.training.stop import StopRequest
from minirnn.training.summary import TrainingSummary
from minirnn.training.witness import Witness


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
    ranks: Communicator | None = None,
) -> TrainingSummary:
    """Train a model, leaving `checkpoint.safetensors` and `metrics.jsonl` in a folder.

    A checkpoint is written before the first step, every `settings.checkpoint_every` steps, at the end, and
    when something stops the run; best.safetensors (weights only) at each evaluation whose AP is the best so
    far, or equals it (`minirnn.training.best`). With `settings.averaging` evaluations and best.safetensors
    are of the averaged weights, which also stand in averaged.safetensors, beside each checkpoint. What a
    line of metrics.jsonl holds is said in `minirnn.training.log.MetricsLog`. Ctrl-C, SIGTERM and SIGHUP (a
    terminal that is closed) let the current step end first; a second one stops at once. Under `mpiexec` all
    ranks call this alike, share out each batch, and the first alone writes, shows and calls back.

    A run survives a full disk (`minirnn.training.keeper`), a helper process that dies (a new one takes its
    place), an image that cannot be read any longer (another takes its place, see `unreadable`), and a
    removed metrics.jsonl; it tells of each on standard error. Where it cannot go on, it says which steps
    are kept. While a run goes on, its folder is locked against others.

    Args:
        model: see `minirnn.models.RCNN`; on its device already.
        dataset: see `minirnn.data.batches.Dataset`.
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
            there is, and for that of the run that goes on.
        patience: stop after so many evaluations without a better AP; 0 to go on to the end.
        watch: called with each line of metrics.jsonl once it is written.
        make_loader: makes the batches, as `minirnn.data.loader.Loader` does, which None stands for.
        ranks: who shares out the batches; None for those that this process was started with.

    Raises:
        InputError: the folder holds a run and neither resume nor overwrite is given; there is none
            to go on with; it is one of another model, with other settings or data, or has kept
            best.safetensors by another kind of AP; or another process is in the folder.
        DivergenceError: a loss or a gradient is not finite. The weights were not changed by it, and
            the checkpoint is the one before: the steps just behind are part of the trouble.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the checkpoint holds all steps.
    """
    if stop_at is not None and stop_at < 1:
        raise InputError(f"stop_at (--stop-at) is {stop_at}; it should be at least 1")
    limit = settings.steps if stop_at is None else min(stop_at, settings.steps)
    if callback_every < 0:
        raise InputError(f"callback_every is {callback_every}; it should be at least 0")
    witness = Witness(settings, best_by, patience)
    optimiser = optimiser_of(model, settings)
    with (
        joined(ranks) as ranks,
        keeper_of(ranks, folder, model, optimiser, settings, dataset, preset) as keeper,
        contextlib.ExitStack() as stack,
    ):
        if ranks.rank:
            progress, callback, watch = False, None, None
        if resume:
            keeper.resume(other_data)
            witness.go_on_from(keeper.best)
        processes = processes_of(model, settings, ranks)
        keeper.done = begin_alike(ranks, model, optimiser, dataset, settings, keeper.done)
        loader = loader_of(make_loader, dataset, settings, keeper.done, ranks)
        # Bad data have been refused by now: what `overwrite` deletes is deleted for a run that can begin.
        keeper.open(overwrite=overwrite, evaluates=callback_every > 0, remember=witness.remember)
        witness.caught_up(keeper.done)
        log = keeper.log
        stack.callback(loader.close)
        passes = stack.enter_context(passes_of(model, settings, ranks, processes))
        bar = stack.enter_context(progress_bar(settings.steps, keeper.done, progress))
        stop = stack.enter_context(StopRequest(silent=ranks.rank > 0))
        clock = Clock(log.elapsed)
        if progress:
            witness.tell_to(lambda text: bar.write(text, file=sys.stderr))

        with keeper.saving(stop):
            batches = iter(loader)
            for done in range(keeper.done, limit):
                if stop.heard(ranks, enough=witness.has_enough):
                    break
                clock.start()
                batch = next_batch(batches, done)
                rate = learning_rate(done, settings)
                step = done + 1  # its number, from 1
                last = step == settings.steps
                evaluating = bool(callback_every) and (last or step % callback_every == 0)
                logging = last or step % settings.log_every == 0
                # Losses and gradients are looked at: NumPy's warnings would only repeat our message.
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    losses, norm, counts = gradients_of(
                        *(batch, done, passes, optimiser, settings, ranks),
                        counted=logging or evaluating,
                    )
                    with keeper.changing():
                        optimiser.step(rate)
                clock.stop(len(batch) if ranks.size == 1 else settings.batch_size)

                total = math.fsum(losses.values())
                bar.set_postfix_str(losses_text(losses, total), refresh=False)
                bar.update()
                record: dict[str, Any] = {
                    "step": step,
                    "losses": losses,
                    "total": total,
                    "learning_rate": rate,
                    "gradient_norm": norm,
                    **shares_of(counts),
                }
                try:
                    if callback and evaluating:
                        with optimiser.averaged():
                            witness.evaluated(record, callback(step, model), keeper.save_best)
                finally:  # an evaluation that fails must not take the step's line with it
                    if logging or "evaluation" in record:
                        witness.look_at(record)
                        log.write(record | clock.lap())
                if watch and log.last and log.last["step"] == step:
                    watch(log.last)
                if step % settings.checkpoint_every == 0:
                    keeper.save()

        if stop.cause or stop.heard(ranks):
            raise stop.interruption(keeper.checkpoint, keeper.done, settings.steps) from stop.cause
    end = log.last or {"losses": {}, "total": math.nan}
    return TrainingSummary(
        keeper.done,
        dict(end["losses"]),
        end["total"],
        clock.elapsed,
        keeper.checkpoint,
        keeper.metrics,
        averaged=keeper.averaged,
        **witness.summary(keeper.folder, keeper.done, settings.steps),
    )
