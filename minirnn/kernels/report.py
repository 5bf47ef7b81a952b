"""What stands in the table: how long each operation is in plain lines, and what its kernels are for."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable

from minirnn.kernels.table import OPERATIONS, Operation

#: Importing these enters every operation of the library, and every kernel.
MODULES = (
    *("minirnn.ops", "minirnn.boxes", "minirnn.masks", "minirnn.roi"),
    *("minirnn.kernels.cpu", "minirnn.kernels.cuda"),
)


def every_operation() -> dict[str, Operation]:
    """The whole table, by name; what somebody else has added to it is left out."""
    for module in MODULES:
        importlib.import_module(module)
    return {
        name: entry
        for name, entry in sorted(OPERATIONS.items())
        if entry.plain.__module__.startswith("minirnn.")
    }


def plain_on(device: str) -> list[str]:
    """Operations with a kernel on another device and none on this one, where they are computed plainly."""
    return [
        name
        for name, entry in every_operation().items()
        if entry.kernels and not any(kernel.device == device for kernel in entry.kernels)
    ]


def lines(function: Callable) -> int:
    """Lines of a function: its body, without docstring, blank lines and calls that check input.

    The head, which is one line for each argument, is not counted.
    """
    source = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.FunctionDef)
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    kept = [statement for statement in body if not _checks(statement)]
    text = source.splitlines()
    return sum(
        bool(line.strip())
        for statement in kept
        for line in text[statement.lineno - 1 : statement.end_lineno]
    )


def _checks(statement: ast.stmt) -> bool:
    """Whether a statement only refuses input: `check_…(…)`, `require_…(…)`, or an `if` that raises."""
    if isinstance(statement, ast.If):
        return all(isinstance(part, ast.Raise) for part in statement.body) and not statement.orelse
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        name = ast.unparse(statement.value.func).rpartition(".")[2].lstrip("_")
        return name.startswith(("check", "require"))
    return False


def helper_lines(function: Callable) -> int:
    """Lines of the private functions of its file that it calls, and that those call, counted alike."""
    seen: dict[str, Callable] = {}

    def visit(user: Callable) -> None:
        module = inspect.getmodule(user)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(user)))):
            name = node.id if isinstance(node, ast.Name) else ""
            called = getattr(module, name, None) if name.startswith("_") else None
            own = inspect.isfunction(called) and called.__module__ == user.__module__
            if (
                own
                and called is not None
                and name not in seen
                and not name.startswith(("_check", "_require"))
            ):
                seen[name] = called
                visit(called)

    visit(function)
    return sum(lines(helper) for helper in seen.values())


def as_markdown() -> str:
    """The table of operations with kernels, and the plain lines of all the others."""
    table = every_operation()
    rows = [
        "| operation | plain lines | + helpers | kernel | why it is faster | what it costs in accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in table.items():
        for kernel in sorted(entry.kernels, key=lambda kernel: kernel.device):
            if not kernel.function.__module__.startswith("minirnn."):
                continue
            where = f"`{kernel.function.__module__.removeprefix('minirnn.')}.{kernel.name}`"
            count = f"{lines(entry.plain)} | {helper_lines(entry.plain)}"
            rows.append(f"| `{name}` | {count} | {where} | {kernel.reason} | {kernel.accuracy} |")
    others = ", ".join(
        f"`{name}` {lines(entry.plain)}" for name, entry in table.items() if not entry.kernels
    )
    return "\n".join([*rows, "", f"Lines of the operations without a kernel: {others}."])
