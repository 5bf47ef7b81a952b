"""Who works for a run: the loader that makes its batches, and who computes them.

How processes that die are replaced is theirs to know: `minirnn.data.loader`, `minirnn.training.team`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from minirnn.distributed import Communicator
from minirnn.errors import InputError
from minirnn.kernels import thread_count
from minirnn.structures import Sample
from minirnn.training.passes import Passes
from minirnn.training.ranks import Ranks
from minirnn.training.settings import TrainingSettings
from minirnn.training.team import Team
from minirnn.training.turns import Turns
from minirnn.training.whole import Whole

#: Settings that change images, and that are off if nothing is said.
CHANGES = (
    *("zoom", "crop", "focus", "min_visible"),
    *("copy_paste", "copy_paste_scale", "colour"),
)


def processes_of(model: Any, settings: TrainingSettings, ranks: Communicator | None = None) -> int:
    """How many processes share out a batch, see `minirnn.training.team`; among several ranks, one.

    Raises:
        InputError: more are wanted than a batch has images, or more than one for a model on a GPU, or in
            each of several ranks; or a batch is computed in turns, and shared out as well.
    """
    count = settings.processes
    if settings.turns > 1:
        _check_turns(settings, ranks)
        return 1
    if ranks is not None and ranks.size > 1:
        if count > 1:
            raise InputError(
                f"processes is {count}, but {ranks.size} ranks share out the batch already; under mpiexec "
                "it should be 1 (--set processes=1), and as many ranks as there are cores"
            )
        return 1
    if count == 0:
        count = 1 if model.device != "cpu" else thread_count()
    elif count > settings.batch_size:
        raise InputError(
            f"processes is {count}, but a batch has {settings.batch_size} images; it should not be more"
        )
    elif count > 1 and model.device != "cpu":
        raise InputError(f"processes is {count}, but the model is on a GPU; there it should be 1")
    return min(count, settings.batch_size)


def passes_of(
    model: Any, settings: TrainingSettings, ranks: Communicator, processes: int
) -> Passes:
    """Who computes a batch: this process, at once or in turns, or with others.

    Args:
        model: to be trained.
        settings: of the run.
        ranks: this process's place among others.
        processes: from `processes_of`.
    """
    if settings.turns > 1:
        return Turns(model, settings.turns)
    if ranks.size > 1:
        return Ranks(model, ranks, settings.batch_size)
    if processes > 1:
        return Team(model, processes, timeout=settings.timeout)
    return Whole(model)


def _check_turns(settings: TrainingSettings, ranks: Communicator | None) -> None:
    """A batch in turns is computed by one process, and each turn has an image."""
    if settings.turns > settings.batch_size:
        raise InputError(
            f"turns is {settings.turns}, but a batch has {settings.batch_size} images; it should not be "
            "more"
        )
    if settings.processes > 1 or (ranks is not None and ranks.size > 1):
        raise InputError(
            f"turns is {settings.turns}, but the batch is shared out among processes already; it should "
            "be 1"
        )


def loader_of(
    make_loader: Callable[..., Any] | None,
    dataset: Any,
    settings: TrainingSettings,
    done: int,
    ranks: Communicator,
) -> Any:
    """What iterates over batch `done` and those after it.

    Args:
        make_loader: takes and gives what `minirnn.data.loader.Loader` does; None for that.
        dataset: of the run.
        settings: of the run.
        done: steps that were taken already.
        ranks: who shares out the batches; each loads its own part.

    Raises:
        InputError: as `minirnn.data.loader.Loader`.
    """
    if make_loader is None:
        from minirnn.data.loader import Loader

        make_loader = functools.partial(Loader, unreadable=settings.unreadable)
    # A loader that somebody wrote before there was a crop (or a rank) is asked for one only where needed.
    changes: dict[str, Any] = {
        name: getattr(settings, name)
        for name in CHANGES
        if getattr(settings, name) != getattr(TrainingSettings, name)
    }
    if ranks.size > 1:
        changes |= {"rank": ranks.rank, "ranks": ranks.size}
    return make_loader(
        dataset,
        settings.batch_size,
        steps=settings.steps,
        start_step=done,
        seed=settings.seed,
        flip=settings.flip,
        workers=settings.workers,
        timeout=settings.timeout,
        **changes,
    )


def next_batch(batches: Iterator[list[Sample]], step: int) -> list[Sample]:
    """The batch of the step that follows `step` others; a loader that has none is at fault."""
    for batch in batches:
        return batch
    raise RuntimeError(f"the loader has no batch for step {step + 1}")
