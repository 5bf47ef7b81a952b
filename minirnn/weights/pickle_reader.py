"""Reading a pickle without running it.

A pickle is not data but a program for a small stack machine, and two of its instructions name any
function of Python and call it: that is how a file of weights can delete your home folder. This is
such a machine with the teeth pulled. It never imports and never calls what the file names. A name
must be in the caller's table, and what is called is the caller's own function from that table.

Source of the instructions: the standard library's `pickletools`, which describes each.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from minirnn.errors import InputError


@dataclass(frozen=True, slots=True)
class Named:
    """Stands for the Python object that a pickle names; nothing of it is imported."""

    name: str


#: What may be called, by full name; None for what may be named but not called.
Allowed = Mapping[str, Callable[..., Any] | None]


def read_pickle(
    stream: BinaryIO, allowed: Allowed, persistent: Callable[[Any], Any] | None = None
) -> Any:
    """The object that one pickle describes; the stream is left right behind it.

    Lists, tuples, dictionaries, sets, text and numbers come out as they are. The state that is set
    on an object afterwards (its attributes) is dropped.

    Args:
        stream: positioned at the start of the pickle.
        allowed: what the file may name, and what stands in for it when it is called.
        persistent: turns what the file says of objects that lie outside the pickle into objects.

    Raises:
        InputError: the pickle names something else, uses other instructions, or is damaged.
    """
    machine = _Machine(allowed, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except InputError:
        raise
    except Exception as error:  # damaged bytes can fail in any step of the machine
        raise InputError(
            f"its pickle is damaged or cut short ({error or type(error).__name__})"
        ) from error
    raise InputError("its pickle is cut short")


def mapping(pairs: Any = ()) -> dict[Any, Any]:
    """What stands in for dictionaries of all kinds; keys must be text or numbers."""
    result: dict[Any, Any] = {}
    _put(result, pairs.items() if isinstance(pairs, dict) else pairs)
    return result


#: Items that may be handed over beyond those that were made.
_SPARE = 1000


class _Machine:
    """The stack, the stacks below the open marks, and the memo."""

    def __init__(self, allowed: Allowed, persistent: Callable[[Any], Any] | None) -> None:
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0
        self.handed_over = 0

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        self.steps += 1
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.since_mark()
            # ------------------------------------------------ constants
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case (
                "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4"
                | "BINFLOAT" | "FLOAT"
                | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "UNICODE"
                | "STRING" | "BINSTRING" | "SHORT_BINSTRING"
                | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8"
            ):  # fmt: skip
                stack.append(argument)
            # ------------------------------------------------ containers
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                if len(stack) < count:
                    raise IndexError("too little on the stack")
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE" | "LIST" | "DICT":
                items = self.since_mark()
                if name == "DICT":
                    self.stack.append(mapping(_pairs(items)))
                else:
                    self.stack.append(tuple(items) if name == "TUPLE" else items)
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(set())
            case "APPEND":
                item = stack.pop()
                _only(stack[-1], list).append(item)
            case "APPENDS":
                items = self.since_mark()
                _only(self.stack[-1], list).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _put(_only(stack[-1], dict), [(key, value)])
            case "SETITEMS":
                items = self.since_mark()
                _put(_only(self.stack[-1], dict), _pairs(items))
            case "ADDITEMS":
                items = self.since_mark()
                _only(self.stack[-1], set).update(map(_key, items))
            # ------------------------------------------------ memo
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self.memo[argument])
            # ------------------------------------------------ objects
            case "GLOBAL":
                self.name(*argument.split(" "))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                self.name(module, name)
            case "REDUCE" | "NEWOBJ":
                arguments, what = stack.pop(), stack.pop()
                stack.append(self.call(what, _only(arguments, tuple)))
            case "BUILD":
                stack.pop()
            case "BINPERSID" if self.persistent:
                stack.append(self.persistent(stack.pop()))
            case _:
                raise InputError(
                    f"its pickle uses the instruction {name}, no file of weights needs it"
                )

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def name(self, module: str, name: str) -> None:
        """Push a name, if it is one of the allowed."""
        full = f"{module}.{name}"
        if full not in self.allowed:
            raise InputError(
                f"its pickle asks for {full[:200]!r}, which is not needed to hold weights and could "
                "run code: refused, and nothing was run (of a whole network that was saved, save the "
                "state_dict() instead)"
            )
        self.stack.append(Named(full))

    def call(self, what: Any, arguments: tuple[Any, ...]) -> Any:
        """Call our own function in place of the one named."""
        function = self.allowed.get(what.name) if isinstance(what, Named) else None
        if function is None:
            raise InputError("its pickle calls something that is no function: refused")
        # A function copies what it is handed, and the same list can be handed over again and again. Each
        # item took an instruction to make, so that honest pickles hand over no more than they have made.
        self.handed_over += sum(len(a) for a in arguments if isinstance(a, (list, tuple, dict)))
        if self.handed_over > 2 * self.steps + _SPARE:
            raise InputError("its pickle copies the same things again and again")
        return function(*arguments)


def _pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _put(target: dict[Any, Any], pairs: Iterable[Any]) -> None:
    for key, value in pairs:
        target[_key(key)] = value


def _key(key: Any) -> Any:
    """Text or a number. Hashing a tuple nested a million times would overflow the stack of C."""
    if not isinstance(key, (str, int, float)):
        raise TypeError(f"a key is of type {type(key).__name__}")
    return key


def _only(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
    return value
