"""Settings that somebody gives by name: brought to the field's type, or refused with what would fit.

The type ("kind" here) is the annotation of a dataclass's field. What comes from a command line or from
JSON is taken for what is meant: a list for a tuple, a whole number for a float, a number of NumPy's for
one of Python's.
"""

from __future__ import annotations

import difflib
import inspect
import math
import operator
import re
from collections.abc import Iterable
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from minirnn.errors import InputError

_WORDS = {
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    str: ("a text", "texts"),
}


def kinds_of(dataclass: type) -> dict[str, Any]:
    """The type of each field, by name: `int`, `tuple[float, ...]`, …."""
    return get_type_hints(dataclass)


def meanings_of(dataclass: type) -> dict[str, str]:
    """What the docstring says of each field, on one line; only those that it names."""
    text = inspect.getdoc(dataclass) or ""
    described = re.findall(r"^ {4}(\w+): ((?:.|\n(?! {4}\S|\n))+)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in described}


def fitting(name: str, value: Any, kind: Any) -> Any:
    """`value`, converted to the type of its field.

    Args:
        name: of the field, for the message.
        value: what somebody gave.
        kind: bool, int, float, str, or a tuple of such.

    Raises:
        InputError: it is of another type, or a number that is not finite; says what it should be.
    """
    try:
        return _fitted(value, kind)
    except (TypeError, ValueError, OverflowError):
        refuse(name, value, _in_words(kind)[0])


def refuse(name: str, value: object, wanted: str) -> NoReturn:
    """The error about a field: its name, its value, and what it should be."""
    raise InputError(f"{name} is {value!r}; it should be {wanted}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "; did you mean …?", or "" if none is close."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _fitted(value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError
        *kinds, last = get_args(kind)
        kinds = kinds * len(value) if last is Ellipsis else [*kinds, last]
        return tuple(_fitted(part, k) for part, k in zip(value, kinds, strict=True))
    if kind is str or kind is bool:
        if not isinstance(value, kind):
            raise TypeError
        return value
    if isinstance(value, bool | str):
        raise TypeError
    if kind is int:
        return operator.index(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _in_words(kind: Any) -> tuple[str, str]:
    """What a type is called in messages: one value of it, and several."""
    if get_origin(kind) is not tuple:
        return _WORDS[kind]
    parts = get_args(kind)
    if parts[-1] is Ellipsis:
        several = _in_words(parts[0])[1]
        nested = get_args(parts[0])[-1:] == (Ellipsis,)
        form = ", such as ((16,), (32,))" if nested else ""  # few know how to type this one
        return several + form, f"lists of {several}"
    words = " and ".join(_in_words(part)[0] for part in parts)
    return f"a pair: {words}", f"pairs of {words}"
