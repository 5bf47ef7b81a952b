"""What a run keeps in its folder, so that whatever ends it, no step is lost that could be saved.

A run of twelve hours meets a full disk (room for the next checkpoint is held from the start), a second
run that is sent into the same folder (it is locked), Ctrl-C, a removed metrics.jsonl, an error in
somebody's evaluation. It goes on where it can, and tells of it on standard error. Where it cannot, it
saves what is whole, and its error says which steps are kept and how to go on.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from minirnn.errors import DivergenceError, InputError
from minirnn.files import Reserve, alone_in, remove_leftovers
from minirnn.progress import tell
from minirnn.training.best import BEST, Kept
from minirnn.training.checkpoint import (
    CHECKPOINT,
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from minirnn.training.log import METRICS, MetricsLog
from minirnn.training.optimiser import Optimiser
from minirnn.training.settings import TrainingSettings
from minirnn.training.stop import StopRequest, explain_how_to_go_on

AVERAGED = "averaged.safetensors"


class Keeper:
    """Keeps the weights of a run, and its metrics.

        with Keeper(folder, model, optimiser, settings, dataset, preset) as keeper:
            keeper.open(…)  # after keeper.resume(…), if the run is to go on
            with keeper.saving(stop):
                with keeper.changing():  # once a step
                    optimiser.step(…)

    Args:
        folder: of the run; made if it is not there.
        model: whose weights.
        optimiser: whose memory of the steps before.
        settings: of the training.
        dataset: to know it again when the run goes on.
        preset: the name of the model's configuration.

    Attributes:
        folder: as given.
        checkpoint: the file with the last weights, and all that is needed to go on.
        metrics: the file of `log`.
        averaged: the file with the averaged weights; None without averaging.
        log: the course of the losses, once `open` has been called.
        done: steps that the model has taken.
        saved: steps that the checkpoint holds.
        best: what the best weights are, that the run which goes on has kept; None where there are none.
    """

    log: MetricsLog

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: Any,
        optimiser: Optimiser,
        settings: TrainingSettings,
        dataset: Any,
        preset: str | None,
    ) -> None:
        self.folder = Path(folder)
        self.checkpoint, self.metrics = self.folder / CHECKPOINT, self.folder / METRICS
        self.done, self.saved = 0, 0
        self.averaged = self.folder / AVERAGED if optimiser.averaging else None
        self.best: Kept | None = None
        self._best = self.folder / BEST
        self._model, self._optimiser = model, optimiser
        self._settings, self._preset = settings, preset
        self._data: dict[str, Any] = {
            "images": len(dataset),
            "data": getattr(dataset, "fingerprint", None),
        }
        self._room, self._room_of_best = Reserve(self.checkpoint, tell), Reserve(self._best, tell)
        self._room_of_averaged = Reserve(self.folder / AVERAGED, tell)
        self._resumed = False
        self._whole = True
        self._stack = contextlib.ExitStack()

    def resume(self, other_data: bool) -> None:
        """Go on from the folder's checkpoint: model, optimiser and `done` are as it says.

        Args:
            other_data: the data set may have changed.

        Raises:
            InputError: there is no checkpoint, it is one of another run, the best weights cannot be read,
                or another process is in the folder.
        """
        if not self.checkpoint.exists():
            raise InputError(f"{self.checkpoint} is not there: there is no run to resume")
        self._stack.enter_context(alone_in(self.folder))
        same = {} if other_data else self._data
        metadata = restore_checkpoint(
            self.checkpoint, self._model, self._optimiser, self._settings, **same
        )
        self.done = self.saved = metadata["step"]
        self.best = _what_is_kept(self._best)
        self._resumed = True

    def open(
        self, *, overwrite: bool, evaluates: bool, remember: Callable[[dict[str, Any]], object]
    ) -> None:
        """Make the folder ready: alone in it, with room on the disk, and a new run's first checkpoint.

        Args:
            overwrite: delete the run that is there, unless it is the one that goes on.
            evaluates: there will be best weights.
            remember: called with each record that the run has written before.

        Raises:
            InputError: the folder holds a run, or another process is in it.
            OSError: the disk is full, or the folder cannot be written to.
        """
        if not self._resumed:
            self._stack.enter_context(alone_in(self.folder))
            _clear(self.folder, overwrite)
        for file in (self.checkpoint, self._best, self.folder / AVERAGED, self.metrics):
            remove_leftovers(file)
        self._let_go_of_rooms_at_the_end()
        if not self._resumed:
            self._write(0)  # a disk that is full or closed shows now, not in an hour
        if self.averaged:
            self._room_of_averaged.hold(self.checkpoint.stat().st_size)
        if evaluates:  # for the first best weights, and for those that will replace them
            self._room_of_best.hold(self.checkpoint.stat().st_size, times=2)
        self.log = MetricsLog(self.metrics, self.done, remember)
        self._stack.callback(self.log.close)
        # Let go before the log is closed: its last lines may need the room.
        self._let_go_of_rooms_at_the_end()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """One step of the optimiser. Within it the weights are between two steps, and never saved."""
        self._whole = False
        yield
        self.done, self._whole = self.done + 1, True

    def save(self) -> None:
        """Write the checkpoint."""
        self.log.sync()  # first, so that no checkpoint is ahead of its metrics
        self._write(self.done)
        self.saved = self.done
        if self.averaged:
            with self._optimiser.averaged():
                self._write_weights(self._room_of_averaged, self.averaged, self.done)

    def save_best(self, best: Kept, before: Kept | None = None) -> None:
        """Keep the weights, which are those after `best.step`, as the best.

        Args:
            best: what the file is to hold.
            before: what it holds now; if nobody knows how good that is, it gets another name.
        """
        if before and before.score is None and before.step != best.step:
            self._set_best_aside(before.step)
        by = {"kind": best.kind, "score": best.score}
        self._write_weights(self._room_of_best, self._best, best.step, best=by)

    @contextlib.contextmanager
    def saving(self, stop: StopRequest) -> Iterator[None]:
        """At the end of this block, or at whatever ends it before, save the steps that were taken.

        An error goes on its way, with a word on how the run can; but not if a stop was requested and all
        is saved: then it is what that stop has led to, and is left in `stop.cause`.
        """
        try:
            yield
            if self.saved < self.done:
                self.save()
        except DivergenceError as error:
            error.args = (
                f"{error}. {self.checkpoint} holds the weights after {self.saved} steps.",
            )
            raise
        except BaseException as error:
            if self._whole and self.saved < self.done:
                with contextlib.suppress(OSError):  # the error itself may be a full disk
                    self.save()
            # Ctrl-C in a terminal reaches the loader's processes, too: their end is no news then.
            saved = self.saved == self.done
            if not (stop.requested and isinstance(error, Exception) and saved):
                explain_how_to_go_on(error, self.checkpoint, self.saved)
                raise
            stop.cause = error

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def _write(self, step: int) -> None:
        memory = self._optimiser.state_dict()
        self._write_weights(self._room, self.checkpoint, step, optimiser_state=memory)

    def _write_weights(
        self,
        room: Reserve,
        path: Path,
        step: int,
        *,
        optimiser_state: Mapping[str, Any] | None = None,
        best: Mapping[str, Any] | None = None,
    ) -> None:
        room.write(
            functools.partial(
                save_checkpoint,
                path,
                self._model.state_dict(),
                self._model.config,
                preset=self._preset,
                step=step,
                settings=self._settings,
                optimiser_state=optimiser_state,
                best=best,
                **self._data,
            )
        )

    def _set_best_aside(self, step: int) -> None:
        other = self._best.with_stem(f"{self._best.stem}-of-step-{step}")
        if self._best.exists() and not other.exists():
            self._best.rename(other)
            tell(
                f"{self._best} (step {step}) does not say its AP, nor does {METRICS}: kept as {other}"
            )

    def _let_go_of_rooms_at_the_end(self) -> None:
        for room in (self._room, self._room_of_best, self._room_of_averaged):
            self._stack.callback(room.close)


def refuse_run_in(folder: Path) -> None:
    """Refuse a folder for a new run.

    Raises:
        InputError: it holds one.
    """
    if old := _files_of_run(folder):
        raise InputError(
            f"{folder} holds a run already ({', '.join(p.name for p in old)}); go on with it "
            "(--resume), replace it (--overwrite), or choose another folder (--out)"
        )


def _what_is_kept(path: Path) -> Kept | None:
    """What the file with the best weights says of itself; None where there is none.

    Raises:
        InputError: it cannot be read: what is to become of it is not ours to say.
    """
    if not path.exists():
        return None
    try:
        metadata = read_checkpoint(path)[1]
    except InputError as error:
        raise InputError(f"{error}. To go on without it, move it elsewhere") from error
    by = metadata["best"] or {"kind": None, "score": None}
    return Kept(metadata["step"], by["kind"], by["score"])


def _files_of_run(folder: Path) -> list[Path]:
    names = (CHECKPOINT, METRICS, BEST, AVERAGED)
    return [folder / name for name in names if (folder / name).exists()]


def _clear(folder: Path, overwrite: bool) -> None:
    """Make the folder ready for a new run."""
    if not overwrite:
        refuse_run_in(folder)
    for path in _files_of_run(folder):
        path.unlink()
