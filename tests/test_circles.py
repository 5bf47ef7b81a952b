"""No module needs itself: imports go one way, those inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def modules() -> dict[str, Path]:
    files = (ROOT / "minirnn").rglob("*.py")
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imports(tree: ast.AST) -> Iterator[str]:
    """All names that are imported, but what is there for the type checker alone."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (name.name for name in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        assert not tree.level, "imports are written out in full"
        yield from (f"{tree.module}.{name.name}" for name in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


def needs(known: dict[str, Path]) -> dict[str, set[str]]:
    """Which modules each imports: `a.b.c` is the module a.b.c, or a name in a.b."""
    found = {}
    for module, file in known.items():
        names = imports(ast.parse(file.read_text("utf-8")))
        found[module] = {
            name if name in known else name.rpartition(".")[0]
            for name in names
            if name.startswith("minirnn")
        } - {module}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules in a round, or none: what nothing is left to wait for is taken away, again and again."""
    left = {module: set(others) & graph.keys() for module, others in graph.items()}
    while free := [module for module, others in left.items() if not others]:
        for module in free:
            del left[module]
        left = {module: others - set(free) for module, others in left.items()}
    path: list[str] = []
    while left and (module := min(left[path[-1]]) if path else min(left)) not in path:
        path.append(module)
    return path


def test_imports_go_one_way():
    graph = needs(modules())
    assert len(graph) > 200
    assert "minirnn.training.loop" in graph["minirnn.training"]
    assert circle(graph) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == ["a", "b", "c"]
