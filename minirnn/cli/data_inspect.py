"""`minirnn data inspect`: everything that breaks or harms training, by file and id; mended; as a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.options import (
    FILE,
    FOLDER,
    PresetOption,
    json_option,
    print_json,
    reporter,
    set_option,
)
from minirnn.cli.outputs import check_outputs
from minirnn.cli.shell import as_word

if TYPE_CHECKING:
    from minirnn.data.inspection import Inspection, Repair
    from minirnn.data.inspection.anchor_fit import Fit
    from minirnn.data.problems import Problem
    from minirnn.models import Config

MOST_LINES = 10  # of one kind of problem in the terminal


@click.command(short_help="Name all that breaks or harms training; mend it; draw it.")
@click.argument("folder", type=FILE)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Look at this split only: train, val2017, … May be given again; by default all.",
)
@click.option(
    "--html",
    "page",
    type=FILE,
    metavar="FILE",
    help="Also write a page: problems, sizes, categories, anchors, and a gallery of photographs.",
)
@click.option(
    "--fix",
    type=FOLDER,
    metavar="OUT",
    help="Write a repaired copy into this new folder; the original is only read.",
)
@click.option(
    "--preset",
    metavar="NAME",
    cls=PresetOption,
    default="maskrcnn_small_fpn",
    show_default=True,
)
@set_option("min_size=400")
@click.option(
    "--gallery",
    "pictures",
    type=click.IntRange(min=0),
    default=60,
    show_default=True,
    help="Photographs on the page, at most; some 25 kB each.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that decode images; by default as many as there are cores.",
)
@json_option
def inspect(
    folder: Path,
    splits: tuple[str, ...],
    page: Path | None,
    fix: Path | None,
    preset: str,
    overrides: dict[str, Any],
    pictures: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Decode every image, fill every mask, and name all that breaks or harms training.

    FOLDER is in COCO's layout, as for `minirnn data check`, which is quicker and looks only for what
    training would stop at. Ends with 1 if there are faults; notes are none.

    \b
        minirnn data inspect data/mine --html mine.html
        minirnn data inspect data/mine --fix data/mine-fixed

    --preset and --set name the network whose resize and anchors are judged by the sizes of your objects.
    The page is written where you say and nowhere else. It holds some of your photographs.
    """
    from minirnn.data.inspection import inspect as look
    from minirnn.data.inspection import repaired_copy
    from minirnn.data.inspection.repair import check_out
    from minirnn.kernels import thread_count

    say = reporter(as_json)
    check_outputs(pages=[page])
    detector = _detector(preset, overrides)
    if fix is not None:
        check_out(folder, fix)
    workers = thread_count() if workers is None else workers
    seen = look(folder, splits, workers=workers)
    fit = _fit(seen, detector)
    _tell(seen, fit, say)
    report: dict[str, Any] = _as_dict(seen, fit)
    if fix is not None:
        repair = repaired_copy(seen, fix, workers=workers)
        _tell_repair(repair, say)
        report["fix"] = {
            "folder": fix,
            "changes": [vars(change) for change in repair.changes],
            "left": [_problem(problem) for problem in repair.left],
        }
    elif seen.faults:
        words = f"{as_word(folder)} --fix {as_word(f'{folder}-fixed')}"
        say(f"Mend what can be, in a copy:\n    minirnn data inspect {words}")
    if page is not None:
        _write_page(page, seen, fit, pictures, workers)
        say(f"Written: {page}, with photographs of yours inside")
        report["page"] = page
    if as_json:
        print_json(report)
    if seen.faults:
        raise click.exceptions.Exit(1)


def _detector(preset: str, overrides: dict[str, Any]) -> Any:
    """What of a network decides over its anchors; None where it has none."""
    from minirnn.data.inspection.anchor_fit import Detector
    from minirnn.models import preset_named
    from minirnn.models.build import anchor_generator, transform

    config = preset_named(preset).replace(**overrides)
    if config.proposals == "given":
        return None
    return Detector(preset, transform(config), anchor_generator(config), strides_of(config))


def strides_of(config: Config) -> tuple[int, ...]:
    """The strides of the maps that a network's anchors stand on, finest first."""
    import numpy as np

    from minirnn.models.build import backbone

    return tuple(backbone(config, np.random.default_rng(0)).strides.values())


def _fit(seen: Inspection, detector: Any) -> Fit | None:
    from minirnn.data.inspection.anchor_fit import fit_anchors, seen_by

    objects = {
        split.name: seen_by(*split.boxes(), detector.transform)
        for split in seen.splits
        if detector is not None and len(split.boxes()[0])
    }
    return fit_anchors(detector, objects) if objects else None


def _tell(seen: Inspection, fit: Fit | None, say: Any) -> None:
    from minirnn.cli.options import sentence
    from minirnn.data.inspection import SEVERITIES, kind_of

    for split in seen.splits:
        say(f"{split.file}: {sentence(split.figures())}")
    counts = seen.counts()
    for severity, meaning in SEVERITIES.items():
        reasons = [reason for reason in counts if kind_of(reason).severity == severity]
        if reasons:
            say(f"\n{severity.upper()}: {meaning}")
        for reason in reasons:
            say(f"  {counts[reason]} x {reason}: {kind_of(reason).why}")
            own = [problem for problem in seen.problems if problem.reason == reason]
            for problem in own[:MOST_LINES]:
                say(f"      {_line(problem)}")
            if len(own) > MOST_LINES:
                say(f"      … and {len(own) - MOST_LINES} more (--json names all)")
    notes = len(seen.problems) - len(seen.faults)
    say(f"\n{_counted(len(seen.faults), 'fault')}, {_counted(notes, 'note')}")
    for line in _anchor_lines(fit):
        say(line)


def _counted(count: int, what: str) -> str:
    """ "no faults", "1 fault", "2 faults"."""
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _line(problem: Problem) -> str:
    name = problem.file_name
    where = f" ({name})" if name and name not in problem.detail else ""
    return f"{problem.file.name}: {problem.place}{where}: {problem.detail}"


def _anchor_lines(fit: Fit | None) -> list[str]:
    from minirnn.data.inspection.anchor_fit import ENOUGH, share

    if fit is None:
        return []
    shares = ", ".join(
        f"{share(best):.0%} of the {len(best)} objects of {name}" for name, best in fit.best.items()
    )
    lines = [f"anchors of {fit.detector.name}: IoU {ENOUGH} or more with {shares}"]
    if fit.suggestion is not None:
        better = ", ".join(f"{share(best):.0%} of {name}" for name, best in fit.suggested.items())
        options = " ".join(f'--set "{option}"' for option in fit.options())
        lines.append(f"    with {options}: {better}")
    return lines


def _tell_repair(repair: Repair, say: Any) -> None:
    for change in repair.changes[: 5 * MOST_LINES]:
        say(f"  {change}")
    if len(repair.changes) > 5 * MOST_LINES:
        say(f"  … and {len(repair.changes) - 5 * MOST_LINES} more")
    say(
        f"Written: {repair.folder}, with {_counted(len(repair.changes), 'change')} (changes.txt names all)"
    )
    for problem in repair.left:
        say(f"  left for you: {_line(problem)}")


def _write_page(page: Path, seen: Inspection, fit: Fit | None, pictures: int, workers: int) -> None:
    from minirnn.draw.gallery import gallery
    from minirnn.draw.inspection import write_inspection

    cards = gallery(seen, pictures, workers=workers)
    arguments = click.get_current_context().obj or ["data", "inspect", str(seen.root)]
    write_inspection(page, seen, fit, cards, command=shlex.join(["minirnn", *arguments]))


def _problem(problem: Problem) -> dict[str, Any]:
    from minirnn.data.inspection import kind_of

    return {
        "severity": kind_of(problem.reason).severity,
        "reason": problem.reason,
        "file": problem.file,
        "place": problem.place,
        "image_id": problem.image_id,
        "annotation_id": problem.annotation_id,
        "file_name": problem.file_name,
        "detail": problem.detail,
    }


def _as_dict(seen: Inspection, fit: Fit | None) -> dict[str, Any]:
    from minirnn.data.inspection.anchor_fit import share

    report: dict[str, Any] = {
        "folder": seen.root,
        "splits": {split.name: {"file": split.file, **split.figures()} for split in seen.splits},
        "faults": len(seen.faults),
        "problems": [_problem(problem) for problem in seen.problems],
    }
    if fit is not None:
        report["anchors"] = {
            "preset": fit.detector.name,
            "share": {name: share(best) for name, best in fit.best.items()},
            "suggestion": fit.options(),
            "suggested_share": {name: share(best) for name, best in fit.suggested.items()},
        }
    return report
