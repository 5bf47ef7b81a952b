"""What the four commands of `minirnn bench` share: options, progress, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from minirnn.cli.options import FILE, json_option, print_json, reporter

Progress = Callable[[str, int, int], None]


def _free_blas(ctx: click.Context, _: Any, keep: bool) -> None:
    from minirnn.bench import coretype

    if not keep and not ctx.resilient_parsing:
        coretype.set_aside()


coretype_option = click.option(
    "--keep-coretype",
    is_flag=True,
    expose_value=False,
    callback=_free_blas,  # before any command imports NumPy
    help="Leave the environment variable OPENBLAS_CORETYPE as it is. It holds NumPy's matrix products "
    "to an older processor's, but not those of torch and ONNX Runtime, and so is set aside here.",
)


def shared_options(repeat: int, what: str) -> Callable[[Any], Any]:
    """The options of all four, with this many repeats unless told otherwise."""
    options = [
        click.option(
            "--repeat",
            default=repeat,
            show_default=True,
            type=click.IntRange(min=1),
            help=f"Timed runs of each {what}; the median counts.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="Threads that each contestant may use.  [default: the cores of this process]",
        ),
        click.option(
            "--seed",
            default=0,
            show_default=True,
            type=click.IntRange(min=0),
            help="Draws weights and inputs.",
        ),
        click.option(
            "--html", "page", type=FILE, metavar="FILE", help="Also write a page: chart and table."
        ),
        click.option("--png", "picture", type=FILE, metavar="FILE", help="Also write the chart."),
        json_option,
        coretype_option,
    ]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


side_option = click.option(
    "--size",
    default=800,
    show_default=True,
    type=click.IntRange(min=32),
    help="Shorter side that the picture is scaled to for the network; smaller is quicker.",
)


memory_option = click.option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Also run each contestant alone in a process of its own, and report its peak memory.",
)


class CanvasSize(click.ParamType):
    """HEIGHTxWIDTH."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """(height, width)."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).lower().partition("x")
        if not (height.isdigit() and width.isdigit()):
            self.fail(f"{value!r} is not HEIGHTxWIDTH, such as 800x1216", param, ctx)
        return int(height), int(width)


def threads_or_cores(given: int | None) -> int:
    """What was asked for, or as many as this process has cores."""
    from minirnn.kernels import thread_count

    return given or thread_count()


def check_files(*files: Path | None) -> None:
    """Before the minutes of measuring, not after."""
    from minirnn.errors import InputError

    for path in files:
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on standard error, where a person looks at it."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=" parts", disable=not sys.stderr.isatty()) as bar:

        def tell(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield tell
        if bar.total:
            bar.update(bar.total - bar.n)


def finish(report: Any, page: Path | None, picture: Path | None, as_json: bool) -> None:
    """Print, write the files, and end with 1 if answers disagree."""
    if as_json:
        print_json(report.as_dict())
    else:
        click.echo(report.as_text())
    say = reporter(as_json)
    if page is not None or picture is not None:
        from minirnn.bench.page import write_html, write_png

        for path, write in ((page, write_html), (picture, write_png)):
            if path is not None:
                write(path, report)
                say(f"Drawn: {path}")
    if not getattr(report, "agrees", True):
        raise click.exceptions.Exit(1)
