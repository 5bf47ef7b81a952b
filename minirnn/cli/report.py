"""`minirnn report`: the page of a training run that is over, however it ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.options import FILE, FOLDER, json_option, print_json, reporter
from minirnn.cli.outputs import check_outputs
from minirnn.errors import InputError
from minirnn.watch import run_folder

if TYPE_CHECKING:
    from minirnn.draw.records import Course


@click.command(short_help="The page of a training run that is over, however it ended.")
@click.argument("folder", type=FOLDER, metavar="RUN")
@click.option(
    "--html", "page", type=FILE, metavar="FILE", help="Where to.  [default: RUN/report.html]"
)
@json_option
def report(folder: Path, page: Path | None, as_json: bool) -> None:
    """Make the page of a run: AP, losses, what it learned from, what it saw, and what looks wrong.

    \b
        minirnn report runs/first

    A run keeps this page itself while it goes (report.html in its folder). This makes it anew of what is
    there: of a run that was killed, of one whose files are damaged, or of one by an earlier version.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not there; it should be the folder of a run (--out of train)"
        )
    check_outputs(pages=[page])
    going = _is_going(folder)
    if going and page is None:
        raise InputError(
            f"{folder} is in use: the run keeps {folder / run_folder.PAGE} up to date itself; "
            "--html FILE makes another page of what is there now"
        )
    target = page or run_folder.page_of(folder)
    facts, course, problems = gathered(folder, going)
    steps = [step for step, _ in course.evaluations]
    pictures = run_folder.read_pictures(folder, facts.get("images") or [], steps)
    run_folder.write_page(target, facts, course, pictures, problems=problems, folder=folder)
    if as_json:
        print_json(
            {
                "page": target,
                "state": facts["state"],
                "step": course.last.get("step", 0),
                "evaluations": len(course.evaluations),
                "signs": [{"step": step, **sign} for step, sign in course.signs],
                "problems": problems,
            }
        )
        return
    say = reporter(False)
    for problem in problems:
        say(problem)
    for step, sign in course.signs:
        say(f"step {step}: {sign['text']} {sign['advice']}")
    say(f"Look at: {target}")


def gathered(folder: Path, going: bool) -> tuple[dict[str, Any], Course, list[str]]:
    """What a run's files tell: facts as in run.json, its course, and what is missing, in sentences.

    Raises:
        InputError: the folder holds no run at all.
    """
    from minirnn.draw.records import Course, read_what_is_there
    from minirnn.training.checkpoint import CHECKPOINT
    from minirnn.training.diagnosis import Diagnosis
    from minirnn.training.log import METRICS

    if not any((folder / name).exists() for name in (CHECKPOINT, METRICS, run_folder.FACTS)):
        raise InputError(
            f"{folder} holds no run: neither {METRICS} nor {CHECKPOINT} nor {run_folder.FACTS}"
        )
    records, problems = read_what_is_there(folder / METRICS)
    stored = _checkpoint(folder / CHECKPOINT, problems)
    facts = {**_facts_of(folder, stored), **run_folder.read_facts(folder, problems)}
    settings = _settings(facts.get("settings"), len(records))
    diagnosis = Diagnosis(settings, kind=facts.get("best_by"))
    course = Course()
    for record in records:
        if _is_whole(record) and (found := diagnosis.add(record)):  # a run of an earlier version
            record["signs"] = [*record.get("signs", ()), *(sign.as_dict() for sign in found)]
        course.add(record)
    for step, sign in facts.get("signs") or ():  # what no record has: a loss that was no number
        course.signs.append((step, sign))
    facts |= _how_it_ended(facts, course, going)
    return facts, course, problems


def _is_going(folder: Path) -> bool:
    """Whether some process has the run's folder for itself."""
    from minirnn.files import alone_in

    try:
        with alone_in(folder):
            return False
    except InputError:
        return True


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a record has the numbers that a diagnosis looks at."""
    names = ("total", "learning_rate", "gradient_norm")
    return all(isinstance(record.get(name), (int, float)) for name in names)


def _checkpoint(path: Path, problems: list[str]) -> dict[str, Any]:
    """The metadata of a run's checkpoint; nothing, and a problem more, if it cannot be read."""
    from minirnn.files import read_checkpoint

    try:
        return read_checkpoint(path)[1]
    except InputError as error:
        problems.append(f"{error}.")
        return {}


def _facts_of(folder: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells of its run, for runs that did not tell themselves."""
    settings = stored.get("settings") or {}
    facts: dict[str, Any] = {"title": folder.resolve().name, "settings": settings}
    if stored:
        config = stored["config"]
        names = [
            str(category[1]) for category in config.get("categories") or () if len(category) == 2
        ]
        facts["network"] = {"preset": stored["preset"], "classes": names}
        facts["steps"] = settings.get("steps")
        facts["settings"] = {"images": stored["images"], **settings}
    return facts


def _settings(stored: Any, steps: int) -> Any:
    """A run's settings, as far as they are known and still fit."""
    from minirnn.training import TrainingSettings

    stored = stored if isinstance(stored, Mapping) else {}
    names = set(TrainingSettings.__dataclass_fields__)
    known = {name: value for name, value in stored.items() if name in names}
    try:
        return TrainingSettings(**{"steps": max(steps, 1), **known})
    except (InputError, TypeError):
        return TrainingSettings(steps=max(steps, 1))


def _how_it_ended(facts: Mapping[str, Any], course: Course, going: bool) -> dict[str, str]:
    """State and message of a run, as its files tell them."""
    step, steps = course.last.get("step", 0), facts.get("steps")
    if going:
        return {"state": "going", "message": ""}
    if facts.get("state") in ("finished", "early", "stopped", "failed"):
        return {"state": facts["state"], "message": facts.get("message") or ""}
    if steps and step >= steps:
        return {"state": "finished", "message": ""}
    if facts.get("state") == "going":
        return {
            "state": "failed",
            "message": f"ended without a word{f' after step {step}' if step else ''}: killed, or the "
            "machine stopped.",
        }
    of = f" of {steps}" if steps else ""
    return {"state": "unknown", "message": f"the last record is of step {step}{of}."}
