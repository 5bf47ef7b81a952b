"""An exercise, and how an answer is judged: it is tried on drawn cases, beside known mistakes.

Where all cases agree with the truth the answer is right. Where all agree with what a known mistake
gives, that mistake is named. Otherwise the smallest case that fails is shown, and which property broke.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minirnn.draw.picture import Picture
from minirnn.lessons.answer import Complaint, answers
from minirnn.lessons.sketch import side_by_side
from minirnn.lessons.verdict import NOT_YET, Verdict

#: Draws a case: its arguments, the reader's result, the true one.
Sketch = Callable[[tuple, np.ndarray, np.ndarray], Picture]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give.

    Attributes:
        name: for the tests.
        says: what to tell who makes it, a sentence that begins with "you": the mistake, not the cure.
        answer: the function that somebody writes who makes it.
    """

    name: str
    says: str
    answer: Callable


@dataclass(frozen=True)
class Property:
    """Something that every right answer has: "the IoU of a box with itself is 1".

    Attributes:
        says: the property.
        holds: of a case's arguments and the reader's result.
    """

    says: str
    holds: Callable[[tuple, np.ndarray], bool]


class Exercise(Protocol):
    """What `lessons.check`, `hint` and `solution` need of an exercise."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def hints(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def solution(self) -> str: ...  # noqa: D102
    def judge(self, answer: Any) -> Verdict:
        """Say whether an answer is right, and if not, why."""
        ...


@dataclass(frozen=True, kw_only=True)
class Function:
    """An exercise whose answer is a function.

    Attributes:
        name: of the exercise.
        truth: the function that it should equal: the library's, or its textbook form.
        cases: makes the arguments of the calls, from a generator. Degenerate ones belong to them.
        mistakes: that are known.
        why: one sentence after "Right": why it is so.
        hints: shown one at a time.
        solution: Python text of an answer.
        size: of a case; the smallest one that fails is shown. By default how many numbers are in it,
            then the sum of their sizes.
        properties: that every right answer has.
        tolerance: how far an answer may be off, relative to 1 or to the true number if that is larger.
        sketch: draws a case.
        shown: the names of the arguments, for the message.
    """

    name: str
    truth: Callable
    cases: Callable[[np.random.Generator], Sequence[tuple]]
    mistakes: tuple[Mistake, ...]
    why: str
    hints: tuple[str, ...]
    solution: str
    size: Callable[[tuple], Any] | None = None
    properties: tuple[Property, ...] = ()
    tolerance: float = 1e-6
    sketch: Sketch = side_by_side
    shown: tuple[str, ...] = ()

    def drawn_cases(self) -> list[tuple]:
        """The arguments of all calls, the smallest case first."""
        cases = list(self.cases(np.random.default_rng(0)))
        return sorted(cases, key=self.size or _amount)

    def judge(self, answer: Any) -> Verdict:
        """Try a function on all cases, and say whether it is right, and if not, what is wrong."""
        if answer is ... or answer is None:
            return NOT_YET
        if not callable(answer):
            return Verdict(False, f"Not yet: the answer should be a function, not {answer!r}.")
        cases = self.drawn_cases()
        true = [np.asarray(self.truth(*arguments)) for arguments in cases]
        given = answers(answer, cases, true)
        if given[0] is ... or all(result is None for result in given):
            if given[0] is None:
                return Verdict(
                    None, "Not answered yet: it returns None. Is there a `return`, with a value?"
                )
            return NOT_YET
        given = [Complaint("returned nothing") if g is None or g is ... else g for g in given]
        wrong = [i for i in range(len(cases)) if not self._same(given[i], true[i])]
        if not wrong:
            return Verdict(True, f"Right. {self.why}")
        # A mistake that fails in a case by itself (a division by zero) is still that mistake.
        for mistake in self.mistakes:
            theirs = answers(mistake.answer, cases, true)
            if all(self._same(g, t) for g, t in zip(given, theirs, strict=True)):
                return self._verdict(cases[wrong[0]], given[wrong[0]], true[wrong[0]], mistake)
        return self._verdict(cases[wrong[0]], given[wrong[0]], true[wrong[0]])

    def _same(self, a: Any, b: Any) -> bool:
        if isinstance(a, Complaint) or isinstance(b, Complaint):
            return isinstance(a, Complaint) and isinstance(b, Complaint) and a.text == b.text
        scale = np.maximum(1.0, np.abs(b.astype(float))) if b.dtype.kind in "biuf" else 1.0
        if b.dtype.kind not in "biuf":
            return bool(np.array_equal(a, b))
        with np.errstate(invalid="ignore"):  # infinity less infinity
            near = (a == b) | (np.abs(a - b) <= self.tolerance * scale)
        return bool((near | (np.isnan(a) & np.isnan(b))).all())

    def _verdict(
        self, arguments: tuple, given: Any, true: np.ndarray, mistake: Mistake | None = None
    ) -> Verdict:
        case = self._words(arguments)
        name = mistake.name if mistake else ""
        said = f"Not yet: {mistake.says}." if mistake else "Not yet."
        if isinstance(given, Complaint):
            return Verdict(False, f"{said} For {case} your function {given.text}.", mistake=name)
        text = f"{said} For {case} your function gives {_digits(given)}."
        if mistake is None:
            for rule in self.properties:
                if not rule.holds(arguments, given):
                    text += f" But {rule.says}."
                    break
        picture = self.sketch(arguments, given.astype(float), np.asarray(true, dtype=float))
        return Verdict(False, text, picture, name)

    def _words(self, arguments: tuple) -> str:
        names = self.shown or ("",) * len(arguments)
        parts = [
            f"{name} = {_digits(value)}" if name else _digits(value)
            for name, value in zip(names, arguments, strict=True)
        ]
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Number:
    """An exercise whose answer is a number.

    Attributes:
        name: of the exercise.
        truth: the number.
        unit: of the answer, for the message.
        mistakes: known wrong numbers, with a sentence for each that begins with "you" or "that".
        why: one sentence after "Right".
        hints: shown one at a time.
        solution: how one gets there.
        tolerance: how far from the truth is still right.
    """

    name: str
    truth: float
    unit: str
    mistakes: Mapping[float, str]
    why: str
    hints: tuple[str, ...]
    solution: str
    tolerance: float = 1e-6

    def judge(self, answer: Any) -> Verdict:
        """Compare a number with the true one and with the known wrong ones."""
        if answer is ... or answer is None:
            return NOT_YET
        if isinstance(answer, (str, bytes)):
            return Verdict(
                False, f"Not yet: {answer!r} is a text; write the number without quotes."
            )
        try:
            number = float(np.asarray(answer).item())
        except (TypeError, ValueError):
            return Verdict(False, f"Not yet: the answer should be a number, not {answer!r}.")
        if not np.isfinite(number):
            return Verdict(False, f"Not yet: {number} is not a number of {self.unit}.")
        if abs(number - self.truth) <= self.tolerance:
            return Verdict(True, f"Right. {self.why}")
        for wrong, says in self.mistakes.items():
            if abs(number - wrong) <= self.tolerance:
                return Verdict(False, f"Not yet: {says}.", mistake=f"{wrong:g}")
        way = "small" if number < self.truth else "large"
        return Verdict(False, f"Not yet: {number:g} {self.unit} is too {way}.")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An exercise whose answer is one of several words.

    Attributes:
        name: of the exercise.
        truth: the right word.
        mistakes: the other words, with a sentence for each that says why not.
        why: one sentence after "Right".
        hints: shown one at a time.
        solution: the reason.
    """

    name: str
    truth: str
    mistakes: Mapping[str, str]
    why: str
    hints: tuple[str, ...]
    solution: str

    def judge(self, answer: Any) -> Verdict:
        """Compare a word with the right one."""
        if answer is ... or answer is None:
            return NOT_YET
        word = str(answer).strip().lower()
        if word == self.truth.lower():
            return Verdict(True, f"Right. {self.why}")
        for wrong, says in self.mistakes.items():
            if word == wrong.lower():
                return Verdict(False, f"Not yet: {says}.", mistake=wrong)
        known = ", ".join(repr(w) for w in sorted([self.truth, *self.mistakes]))
        return Verdict(False, f"Not yet: {answer!r} is none of {known}.")


def _amount(arguments: tuple) -> tuple[int, float]:
    """How much there is to read in a case: how many numbers, then the sum of their sizes."""
    flat = [np.asarray(value, dtype=float).ravel() for value in arguments if _is_numeric(value)]
    numbers = np.concatenate([np.empty(0), *flat])
    return len(numbers), float(np.abs(numbers).sum())


def _is_numeric(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "biuf"


def _digits(value: Any) -> str:
    """Numbers as a reader would write them: short, arrays as lists."""
    if isinstance(value, str) or not _is_numeric(value):
        return str(value)
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():.6g}"
    if array.size > 64:
        return f"an array of shape {array.shape}"
    return "[" + ", ".join(_digits(part) for part in array) + "]"
