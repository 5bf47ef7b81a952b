"""What stands in a run's folder besides weights and metrics: what was called, its page, its pictures."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minirnn.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from minirnn.draw.records import Course
    from minirnn.draw.run_page import Pictures

PAGE, FACTS, PICTURES = "report.html", "run.json", "pictures"
_PICTURE = re.compile(r"(truth|\d+)-\d+\.webp")
_LONG_SIDE = 448  # of a picture in the page, in pixels


def page_of(folder: Path) -> Path:
    """Where a run's page goes.

    Raises:
        InputError: something of that name is there, and is no such page: it is not ours to replace.
    """
    from minirnn.files.page_mark import maker_of

    path = folder / PAGE
    if path.exists() and maker_of(path) != "run":
        raise InputError(
            f"{path} is there already and is no page of a training run; move it, or choose another folder"
        )
    return path


def refuse_others(folder: Path) -> None:
    """Refuse a folder in which a run would write over what is not ours: its page, or its facts.

    Raises:
        InputError: names the file.
    """
    from minirnn.training.checkpoint import CHECKPOINT

    page_of(folder)
    path = folder / FACTS
    if path.exists() and not ((folder / CHECKPOINT).exists() or _is_ours(read_facts(folder))):
        raise InputError(
            f"{path} is there already and is not of a training run; move it, or choose another folder"
        )


def _is_ours(facts: Mapping[str, Any]) -> bool:
    """Whether they are what `Live` writes."""
    return "state" in facts and bool(facts.keys() & {"settings", "network", "images"})


def write_page(
    path: Path,
    facts: Mapping[str, Any],
    course: Course,
    pictures: Sequence[Pictures],
    *,
    problems: Sequence[str] = (),
    refresh: int = 10,
    folder: Path | None = None,
) -> None:
    """Write a run's page, whole or not at all.

    Args:
        path: the file.
        facts: as in run.json, with state and message.
        course: what was recorded.
        pictures: of validation images.
        problems: what is missing or broken, in sentences.
        refresh: seconds after which the page asks for itself again, if the run is going on.
        folder: of the run; None for that of the file.

    Raises:
        OSError: it cannot be written.
    """
    from minirnn.draw.run_page import RunPage, run_page
    from minirnn.files import write_whole
    from minirnn.files.checkpoint import step_of
    from minirnn.training.best import BEST, Best

    best = Best(facts.get("best_by"))
    for step, evaluation in course.evaluations:
        best.add(step, evaluation)
    words, later = facts.get("command") or [], facts.get("resumed") or []
    stopped = facts["state"] not in ("finished", "going")
    page = RunPage(
        title=str(facts.get("title") or path.parent.name),
        steps=facts.get("steps"),
        state=facts["state"],
        message=facts.get("message") or "",
        problems=problems,
        network=facts.get("network") or {},
        settings=facts.get("settings") or {},
        command="\n".join(map(command_line, [words, *later])) if words else "",
        resume=command_to_go_on(words, knows="options" in facts) if words and stopped else "",
        best=None if best.score is None else (best.name, best.score, best.step),
        kept=step_of((folder or path.parent) / BEST),
        pictures=pictures,
        evaluates=bool(facts.get("evaluates", True)),
        refresh=refresh,
    )
    write_whole(path, run_page(page, course))


def read_facts(folder: Path, problems: list[str] | None = None) -> dict[str, Any]:
    """What a run has said of itself; nothing from a run that did not, or not in one piece.

    Args:
        folder: of the run.
        problems: gets a sentence for the file, or for each fact, that is left out because it is damaged.
    """
    problems = [] if problems is None else problems
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        problems.append(f"{FACTS} cannot be read: what the run was called with is lost.")
        return {}
    damaged = [name for name, fits in _FORMS.items() if name in facts and not fits(facts[name])]
    problems += [
        f"{FACTS} is damaged: its {name!r} is no such thing, and left out." for name in damaged
    ]
    return {name: value for name, value in facts.items() if name not in damaged}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_sign(value: Any) -> bool:
    """Whether it is a step, and a sign as `minirnn.training.diagnosis.Sign.as_dict` gives it."""
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict)):
        return False
    return isinstance(value[0], int) and all(
        isinstance(value[1].get(name), str) for name in ("name", "text", "advice")
    )


#: What the facts look like that a page, or a run that goes on, relies on.
_FORMS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "title": _is_text,
        "command": _is_texts,
        "resumed": lambda value: isinstance(value, list) and all(map(_is_texts, value)),
        "options": _is_mapping,
        "demo": _is_mapping,
        "best_by": lambda value: value in (None, "bbox", "segm", "keypoints"),
        "evaluates": lambda value: isinstance(value, bool),
        "steps": lambda value: isinstance(value, int) and value > 0,
        "network": _is_mapping,
        "settings": _is_mapping,
        "images": _is_texts,
        "signs": lambda value: isinstance(value, list) and all(map(_is_sign, value)),
        "state": _is_text,
        "message": _is_text,
        "early": _is_text,
    }
)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Say of a run what its page needs to know.

    Raises:
        OSError: it cannot be written.
    """
    from minirnn.files import write_whole

    write_whole(folder / FACTS, json.dumps(facts, indent=2, default=str) + "\n")


def remove_pictures(folder: Path) -> None:
    """Remove an earlier run's pictures, and nothing else that may lie there."""
    where = folder / PICTURES
    for path in where.iterdir() if where.is_dir() else ():
        if _PICTURE.fullmatch(path.name):
            path.unlink()


def write_picture(folder: Path, name: str, picture: np.ndarray) -> bytes:
    """Keep a picture (H, W, 3); its name is "truth" or a step, and a number: "200-1".

    Raises:
        OSError: it cannot be written.
    """
    from PIL import Image

    from minirnn.files import write_whole

    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", quality=80, method=3)
    (folder / PICTURES).mkdir(exist_ok=True)
    write_whole(folder / PICTURES / f"{name}.webp", file.getvalue())
    return file.getvalue()


def picture_scale(image: np.ndarray) -> float:
    """By how much an image is scaled for the page; up by whole numbers, so that pixels stay squares."""
    long = max(image.shape[:2])
    return max(_LONG_SIDE // long, 1) if long <= _LONG_SIDE else _LONG_SIDE / long


def read_pictures(folder: Path, names: Sequence[str], steps: Sequence[int]) -> list[Pictures]:
    """The pictures that a run has kept: of each image the truth, and what was found at these steps.

    Args:
        folder: of the run.
        names: of the images.
        steps: of the evaluations.
    """
    from minirnn.draw.data_url import data_url
    from minirnn.draw.run_page import Pictures

    def url(name: str) -> str | None:
        path = folder / PICTURES / f"{name}.webp"
        return data_url(path.read_bytes(), "webp") if path.is_file() else None

    found = []
    for number, name in enumerate(names):
        guesses = [(step, url(f"{step}-{number}")) for step in steps]
        truth = url(f"truth-{number}")
        if truth is not None:
            found.append(Pictures(str(name), truth, [(s, u) for s, u in guesses if u is not None]))
    return found


def command_line(words: Sequence[str]) -> str:
    """A command as it is typed."""
    return shlex.join(["minirnn", *words])


def command_to_go_on(words: Sequence[str], *, knows: bool = False) -> str:
    """The command that goes on with a run: the same with --resume.

    Args:
        words: the command that began it.
        knows: the run has its data and options written down, so that its folder is enough.
    """
    if knows and "--out" in words[:-1]:
        return command_line(["train", "--resume", "--out", words[words.index("--out") + 1]])
    left, kept = list(words), []
    while left:
        word = left.pop(0)
        if word in ("--overwrite", "--resume") or word.startswith("--stop-at="):
            continue
        if word == "--stop-at":
            left = left[1:]
            continue
        kept.append(word)
    return command_line([*kept, "--resume"])
