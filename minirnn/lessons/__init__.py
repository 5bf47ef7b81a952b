"""The course's side of the library: exercises and their checks, its two pictures, source text.

    lessons.check("iou", iou)      is my answer right? If not, which mistake is it?
    lessons.hint("iou")            one more hint, each time
    lessons.solution("iou")        an answer
    lessons.source(relu)           what the library does, as text

While an answer is `...` a check only says so, so that a notebook runs from top to bottom before
anybody has solved anything.
"""

from __future__ import annotations

from typing import Any

from minirnn.lessons.bank import EXERCISES, find
from minirnn.lessons.show import Markdown, Source, source
from minirnn.lessons.subjects import Subject, network, photograph, scene
from minirnn.lessons.verdict import Verdict

__all__ = [
    "EXERCISES",
    "Markdown",
    "Source",
    "Subject",
    "Verdict",
    "check",
    "hint",
    "network",
    "photograph",
    "scene",
    "solution",
    "source",
]

_asked: dict[str, int] = {}


def check(name: str, answer: Any) -> Verdict:
    """Say whether the answer to an exercise is right, and if not, which mistake it is.

    Args:
        name: of the exercise.
        answer: a function, a number or a word, as the exercise asks; `...` for none yet.

    Raises:
        InputError: there is no such exercise.
    """
    return find(name).judge(answer)


def hint(name: str) -> Markdown:
    """The next hint for an exercise; after the last one they begin anew.

    Raises:
        InputError: there is no such exercise.
    """
    hints = find(name).hints
    number = _asked.get(name, 0) % len(hints)
    _asked[name] = number + 1
    return Markdown(f"**Hint {number + 1} of {len(hints)}.** {hints[number]}")


def solution(name: str) -> Markdown:
    """An answer to an exercise.

    Raises:
        InputError: there is no such exercise.
    """
    text = find(name).solution.strip()
    return Markdown(f"```python\n{text}\n```" if "return" in text else text)
