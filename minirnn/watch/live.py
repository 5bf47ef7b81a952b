"""The page of a run while it goes: kept up to date from the records, at a hundredth of the time or less."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from minirnn.errors import DivergenceError, TrainingInterrupted
from minirnn.watch import run_folder

if TYPE_CHECKING:
    from minirnn.data import Sample
    from minirnn.draw.detections import Names, Skeleton
    from minirnn.draw.run_page import Pictures
    from minirnn.models import RCNN
    from minirnn.structures import Detections
    from minirnn.training import TrainingSettings
    from minirnn.watch.tensorboard import Board

EVERY = 10.0  # seconds from one writing of the page to the next, at least
SHARE = 0.01  # of the time, at most, that writing it may take


class Live:
    """Keeps a run's page, its facts and its pictures.

        with Live(out, facts, steps=1000) as live:
            train(…, watch=live)

    Nothing is written before the first record: by then the folder is locked, and the run's own. A page
    that cannot be written (a full disk) is said once, and does not stop the training.

    Args:
        folder: of the run.
        facts: title, command, preset, network, settings, …, as they stand in run.json.
        steps: of the whole run.
        resume: it goes on with what is there.
        board: also gets the records; None for none.
        say: prints a line for a person; None: on standard error.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        *,
        steps: int,
        resume: bool = False,
        board: Board | None = None,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        from minirnn.draw.records import Course

        self.course = Course()
        self.spent = 0.0  # seconds, for the page
        self._folder, self._facts, self._steps = folder, dict(facts), steps
        self._resume, self._board, self._say, self._clock = resume, board, say, clock
        self._pictures: list[Pictures] = []
        self._begun, self._silent = False, False
        self._started, self._next, self._wait = clock(), 0.0, EVERY

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Take over a line of metrics.jsonl that was just written."""
        self._begin()
        if record["step"] > self.course.last.get("step", 0):
            self.course.add(record)
        if self._board:
            self._board.add(record)
        if record["step"] == self._steps:
            self._end("finished", "")
            return
        now = self._clock()
        news = "evaluation" in record and self.spent <= SHARE * (now - self._started)
        if news or now >= self._next:
            self._write("going")

    def show(
        self,
        step: int,
        samples: Sequence[Sample],
        found: Sequence[Detections],
        names: Names,
        skeleton: Skeleton | None = None,
    ) -> None:
        """Keep pictures of what was found in a few images, always the same ones."""
        from minirnn.draw.data_url import data_url
        from minirnn.draw.detections import pair_of_pictures
        from minirnn.draw.run_page import Pictures

        self._begin()
        begun, known = self._clock(), len(self._pictures)
        for number, (sample, detections) in enumerate(zip(samples, found, strict=True)):
            truth, guess = pair_of_pictures(
                sample,
                detections,
                names,
                skeleton=skeleton,
                scale=run_folder.picture_scale(sample.image),
                text_size=18,
            )
            try:
                if number == len(self._pictures):
                    kept = run_folder.write_picture(self._folder, f"truth-{number}", truth)
                    name = Path(sample.target.file_name).name or f"image {sample.target.image_id}"
                    self._pictures.append(Pictures(name, data_url(kept, "webp"), []))
                kept = run_folder.write_picture(self._folder, f"{step}-{number}", guess)
            except OSError as error:
                self._complain(error)
                return
            self._pictures[number].guesses.append((step, data_url(kept, "webp")))
            if self._board:
                self._board.add_picture(f"seen/{self._pictures[number].name}", guess, step)
        if len(self._pictures) > known:  # their names: this process may be killed at any time
            self._write_facts("going")
        self.spent += self._clock() - begun

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board:
            self._board.close()
        if error is None:
            self._begin()
            self._end(*self._outcome())
        elif isinstance(error, DivergenceError):
            from minirnn.training.diagnosis import sign_of

            self._begin()
            self.course.signs.append((error.step, sign_of(error).as_dict()))
            self._facts["signs"] = [[error.step, sign_of(error).as_dict()]]
            self._end("failed", str(error))
        elif self._begun and isinstance(error, TrainingInterrupted):
            self._end("stopped", f"by Ctrl-C or a signal, after step {error.step}.")
        elif self._begun:
            step = self._steps_taken()
            self._end("failed", f"after step {step}: {error or type(error).__name__}")

    def finished(self, early: str = "") -> None:
        """Say why a run has ended before its last step."""
        if early:
            self._facts["early"] = early

    def _outcome(self) -> tuple[str, str]:
        step = self.course.last.get("step", 0)
        if early := self._facts.get("early"):
            return "early", early.removeprefix("stopped early ")  # as the state says
        if step < self._steps:
            return "stopped", f"at step {step} of {self._steps}, as --stop-at says."
        return "finished", ""

    def _begin(self) -> None:
        """Take over what an earlier process left of this run, or clear away what is not of it."""
        if self._begun:
            return
        self._begun = True
        if not self._resume:
            run_folder.remove_pictures(self._folder)
            self._write_facts("going")
            return
        from minirnn.draw.records import read_what_is_there

        before = run_folder.read_facts(self._folder)
        for record in read_what_is_there(self._folder / "metrics.jsonl")[0]:
            self.course.add(record)
        steps = [step for step, _ in self.course.evaluations]
        names = before.get("images")
        self._pictures = run_folder.read_pictures(
            self._folder, names if isinstance(names, list) else [], steps
        )
        self._write_facts("going")

    def _steps_taken(self) -> int:
        """How far an error let the run come: if an evaluation has failed, we were not told of its step."""
        from minirnn.draw.records import read_what_is_there
        from minirnn.files.checkpoint import step_of
        from minirnn.training.checkpoint import CHECKPOINT

        seen = self.course.last.get("step", 0)
        for record in read_what_is_there(self._folder / "metrics.jsonl")[0]:
            if record["step"] > seen:
                self.course.add(record)
        saved = step_of(self._folder / CHECKPOINT) or 0  # a step need not have a line
        return max(saved, self.course.last.get("step", 0))

    def _end(self, state: str, message: str) -> None:
        self._write(state, message)
        self._write_facts(state, message)

    def _write_facts(self, state: str, message: str = "") -> None:
        facts = {**self._facts, "images": [picture.name for picture in self._pictures]}
        try:
            run_folder.write_facts(self._folder, {**facts, "state": state, "message": message})
        except OSError as error:
            self._complain(error)

    def _write(self, state: str, message: str = "") -> None:
        """The page; and when the next one is due, so that it costs a hundredth of the time."""
        begun = self._clock()
        facts = {**self._facts, "state": state, "message": message}
        try:
            run_folder.write_page(
                self._folder / run_folder.PAGE,
                facts,
                self.course,
                self._pictures,
                refresh=min(round(self._wait), 60),
            )
        except OSError as error:
            self._complain(error)
        now = self._clock()
        self.spent += now - begun
        self._wait = max(EVERY, (now - begun) / SHARE)
        self._next = now + self._wait

    def _complain(self, error: OSError) -> None:
        if not self._silent:
            self._silent = True
            from minirnn.progress import tell  # and tqdm with it

            say = self._say or tell
            where = error.filename or self._folder / run_folder.PAGE
            say(f"{where} cannot be written ({error.strerror}); the training goes on without")


def live_page(
    folder: str | os.PathLike[str],
    model: RCNN,
    settings: TrainingSettings,
    *,
    title: str | None = None,
    preset: str | None = None,
    resume: bool = False,
    best_by: str | None = None,
) -> Live:
    """The page, report.html, of a run that is started from Python.

        if __name__ == "__main__":  # in a script: the processes that read the images start it anew
            train(model, dataset, settings, folder, watch=live_page(folder, model, settings))

    In a `with` block around the training, it also says when and why a run has ended before its last step.

    Args:
        folder: of the run.
        model: is described on the page.
        settings: of the training, as `train` gets them.
        title: of the page; None takes the folder's name.
        preset: the name of the model's configuration.
        resume: as of `train`: the page goes on, too.
        best_by: as of `train`: whose AP is the best on the page.

    Raises:
        InputError: a report.html or run.json is there that is not a run's.
    """
    folder = Path(folder)
    run_folder.refuse_others(folder)
    facts = {
        "title": title or folder.resolve().name,
        "best_by": best_by,
        "steps": settings.steps,
        "network": network_facts(model, preset),
        "settings": dataclasses.asdict(settings),
    }
    return Live(folder, facts, steps=settings.steps, resume=resume)


def network_facts(model: RCNN, preset: str | None) -> dict[str, Any]:
    """What a run's page says of its network."""
    return {
        "preset": preset,
        "parameters": sum(parameter.data.size for parameter in model.parameters()),
        **model.facts,
        "classes": [name for _, name in model.categories],
    }
