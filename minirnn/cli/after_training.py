"""What `minirnn train` says at the end: where everything is, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minirnn.watch import run_folder

if TYPE_CHECKING:
    from minirnn.training import TrainingSummary


def tell_what_is_there(say: Callable[[str], None], summary: TrainingSummary) -> None:
    """Name the files of a run, and what the weights are."""
    from minirnn.progress import loss_text

    say(
        f"\n{summary.steps} steps, {summary.seconds:.0f} s of training, loss {loss_text(summary.total)}"
    )
    say(f"weights: {summary.checkpoint}")
    if summary.averaged:
        say(f"         {summary.averaged} (their running mean)")
    if summary.best:
        of = f"step {summary.best_step}"
        if summary.best_score is not None:
            of = f"{summary.best_name} {summary.best_score:.3f}, {of}"
        say(f"best:    {summary.best} ({of})")
    say(f"course:  {summary.metrics}\npage:    {summary.checkpoint.with_name(run_folder.PAGE)}")


def command_to_evaluate(
    weights: Path,
    folder: Path,
    *,
    only: Sequence[str] | None,
    skip_invalid: bool,
    takes_proposals: bool,
    proposals: Path | None,
) -> str:
    """The command that measures the trained network, as it is typed.

    Args:
        weights: the file.
        folder: of the data set.
        only: the categories that it was trained on, which are all that it knows; None for all.
        skip_invalid: the data set has what cannot be used.
        takes_proposals: the network takes given ones.
        proposals: those of the val split, as far as they are known.
    """
    words = ["evaluate", "--weights", str(weights), "--data", str(folder)]
    if only:
        words += ["--categories", ",".join(only)]
    if skip_invalid:
        words.append("--skip-invalid")
    if takes_proposals:
        words += ["--proposals", str(proposals or "FILE")]
    return run_folder.command_line(words)
