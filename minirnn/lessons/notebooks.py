"""The course's notebooks are made of text: each `NN_name.md` is run and becomes `NN_name.ipynb`.

    python -m minirnn.lessons.notebooks notebooks            compare: does each still give what it shows?
    python -m minirnn.lessons.notebooks notebooks --write    run, and write the .ipynb anew

The text is what one edits and reviews (MyST Markdown, which jupytext reads). The .ipynb with its
outputs is for readers. The comparison runs every text and fails where the .ipynb has other cells, where
anything printed differs, and where another picture was drawn: not another pixel, which may come from a
font, but other texts, lines, patches or images (`Picture.drawn`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

LIMIT_S = 60  # for a notebook, on two cores
LIMIT_BYTES = 300_000
NUMBER = re.compile(r"[-+]?(?:\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+)")


def run(text: Path) -> Any:
    """Run a notebook's text from top to bottom.

    Returns:
        The notebook with outputs, in the form that is committed: no times, no versions, no metadata of
        this machine.

    Raises:
        RuntimeError: a cell raised an error; names the cell and the error.
    """
    import jupytext
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = jupytext.read(text)
    client = NotebookClient(
        notebook, timeout=5 * LIMIT_S, kernel_name="python3",
        coalesce_streams=True,  # how often the kernel hands over what it printed depends on its speed
        resources={"metadata": {"path": str(text.parent)}},
    )  # fmt: skip
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(f"{text.name}: a cell raised an error\n{error}") from None
    return _tidied(notebook)


def _tidied(notebook: Any) -> Any:
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03}"
        cell["metadata"] = {}
        if cell.cell_type == "code":
            cell["execution_count"] = None
            for output in cell["outputs"]:
                # Beside a picture, a page to play with is for the one who runs the cell.
                if "image/png" in output.get("data", {}):
                    output["data"].pop("text/html", None)
                if "execution_count" in output:
                    output["execution_count"] = None
    return notebook


def differences(new: Any, shown: Any) -> list[str]:
    """Where a notebook that was just run differs from the one that is shown to readers."""
    if len(new.cells) != len(shown.cells):
        return [f"the text has {len(new.cells)} cells, the notebook {len(shown.cells)}"]
    found = []
    for number, (a, b) in enumerate(zip(new.cells, shown.cells, strict=True), start=1):
        where = f"cell {number} ({_first_line(a.source)})"
        if (a.cell_type, a.source) != (b.cell_type, b.source):
            found.append(f"{where}: the text differs")
        elif a.cell_type == "code":
            found += [f"{where}: {what}" for what in _outputs_differ(a.outputs, b.outputs)]
    return found


def _outputs_differ(new: Sequence[Any], shown: Sequence[Any]) -> list[str]:
    if [o.output_type for o in new] != [o.output_type for o in shown]:
        return [f"it has {len(new)} outputs now, {len(shown)} before"]
    found = []
    for a, b in zip(new, shown, strict=True):
        if a.output_type == "stream":
            if a.text != b.text:
                found.append(f"prints\n{a.text}\nand printed\n{b.text}")
            continue
        drawn = [o.get("metadata", {}).get("image/png", {}).get("drawn") for o in (a, b)]
        if sorted(a.data) != sorted(b.data):
            found.append(f"shows {sorted(a.data)} now, {sorted(b.data)} before")
        elif "image/png" in a.data:
            found += _drawn_differs(drawn[0], drawn[1])
        elif any(a.data[kind] != b.data[kind] for kind in a.data):
            found.append(f"gives\n{a.data['text/plain']}\nand gave\n{b.data['text/plain']}")
    return found


def _drawn_differs(new: Sequence[str] | None, shown: Sequence[str] | None) -> list[str]:
    if new is None or shown is None:
        return ["shows a picture that does not say what was drawn; make it a `Picture`"]
    if len(new) != len(shown):
        return [f"draws {len(new)} things now, {len(shown)} before"]
    return [
        f"draws {a!r} now, {b!r} before"
        for a, b in zip(new, shown, strict=True)
        if not _alike(a, b)
    ]


def _alike(a: str, b: str) -> bool:
    """The same but for a rounding error: numbers with a point within a thousandth, all else exactly."""
    if a == b:
        return True
    if NUMBER.sub("#", a) != NUMBER.sub("#", b):
        # "0" of one machine may be "1e-17" of another.
        NUMBERS = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
        if NUMBERS.sub("#", a) != NUMBERS.sub("#", b):
            return False
        pairs = zip(NUMBERS.findall(a), NUMBERS.findall(b), strict=True)
    else:
        pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    values = [(float(x), float(y)) for x, y in pairs]
    largest = max((abs(v) for pair in values for v in pair), default=0.0)
    return all(abs(x - y) <= 1e-3 * max(largest, 1e-3) for x, y in values)


def _first_line(source: str) -> str:
    line = source.strip().splitlines()[0] if source.strip() else "empty"
    return line if len(line) <= 50 else line[:49] + "…"


def texts(paths: Iterable[Path]) -> list[Path]:
    """The notebooks' texts among files and folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_file() and path.suffix != ".md":
            raise click.UsageError(f"{path} is no lesson's text, NN_name.md")
        found += sorted(path.glob("[0-9][0-9]_*.md")) if path.is_dir() else [path]
    return found


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--write", is_flag=True, help="Write the notebooks in place of comparing them.")
def main(paths: tuple[Path, ...], write: bool) -> None:
    """Run the notebooks' texts (files, or folders of them), and compare or write the .ipynb."""
    import nbformat

    failed = 0
    for text in texts(paths):
        started = time.perf_counter()
        target = text.with_suffix(".ipynb")
        try:
            new = run(text)
        except RuntimeError as error:
            problems = [str(error)]
        else:
            if write:
                nbformat.write(new, target)
            problems = (
                differences(new, nbformat.read(target, as_version=4))
                if target.exists()
                else [f"{target.name} is missing"]
            )
            size = target.stat().st_size if target.exists() else 0
            if size > LIMIT_BYTES:
                problems.append(f"{target.name} has {size / 1000:.0f} kB, more than 300")
        took = time.perf_counter() - started
        click.echo(f"{text.name}: {'FAILED' if problems else 'ok'} after {took:.0f} s")
        for problem in problems:
            click.echo(f"    {problem}")
        failed += bool(problems)
    if failed:
        raise click.ClickException(
            f"{failed} of the notebooks differ from their text or from what they showed; "
            "`make lessons` writes them anew"
        )


if __name__ == "__main__":
    main()
