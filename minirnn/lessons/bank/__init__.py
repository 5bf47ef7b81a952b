"""The exercises of the course with the mistakes that are known: one file a lesson."""

from __future__ import annotations

import difflib
import pkgutil
from importlib import import_module

from minirnn.errors import InputError
from minirnn.lessons.exercise import Exercise


def _collected() -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for exercise in import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.name in found:
                raise RuntimeError(f"two exercises are called {exercise.name!r}")
            found[exercise.name] = exercise
    return found


#: All exercises by name, in the order of the lessons.
EXERCISES = _collected()


def find(name: str) -> Exercise:
    """The exercise of a name.

    Raises:
        InputError: there is none.
    """
    if name not in EXERCISES:
        near = difflib.get_close_matches(str(name), EXERCISES, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"there is no exercise {name!r}{meant}")
    return EXERCISES[name]
