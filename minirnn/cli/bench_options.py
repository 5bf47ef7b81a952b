"""What the four commands of `minirnn bench` share: options, progress, and how they end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from minirnn.cli.options import (
    FILE,
    check_folders,
    device_option,
    finish,
    json_option,
    page_option,
    progress_bar,
    seed_option,
    tf32_option,
)
from minirnn.cli.outputs import check_outputs


def _free_blas(ctx: click.Context, _: Any, keep: bool) -> None:
    from minirnn.bench import coretype

    if not keep and not ctx.resilient_parsing:
        coretype.set_aside()


def measured(what: str, repeat: int, each: str) -> Callable[[Any], Any]:
    """Make a command of a function that measures something and returns a report.

    The command has the options that all four share. They are handed on, with a bar to tell the progress;
    the report is printed, drawn and written, and the command ends with 1 if answers disagree.

    Args:
        what: what is measured, for the bar.
        repeat: timed runs, unless told otherwise.
        each: what is timed, for the help of --repeat.
    """
    options = [
        click.option(
            "--repeat",
            default=repeat,
            show_default=True,
            type=click.IntRange(min=1),
            help=f"Timed runs of each {each}; the median counts.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="Threads that each contestant may use.  [default: the cores of this process]",
        ),
        seed_option("weights and inputs"),
        page_option,
        click.option("--png", "picture", type=FILE, metavar="FILE", help="Also write the chart."),
        json_option,
        click.option(
            "--keep-coretype",
            is_flag=True,
            expose_value=False,
            callback=_free_blas,  # before any command imports NumPy
            help="Leave the environment variable OPENBLAS_CORETYPE as it is. It holds NumPy's matrix "
            "products to an older processor's, but not those of torch and ONNX Runtime, and so is set "
            "aside here.",
        ),
    ]

    def decorate(measure: Callable[..., Any]) -> Any:
        @functools.wraps(measure)
        def command(
            threads: int | None,
            page: Path | None,
            picture: Path | None,
            as_json: bool,
            **settings: Any,
        ) -> None:
            from minirnn.kernels import thread_count

            check_folders(picture)
            check_outputs(pages=[page], pictures=[picture], reads=[settings.get("image")])
            with progress_bar(what, "parts") as progress:
                report = measure(threads=threads or thread_count(), progress=progress, **settings)
            finish(report, as_json, page, picture)

        return functools.reduce(lambda made, option: option(made), reversed(options), command)

    return decorate


def on_a_device(function: Any) -> Any:
    """Give a command --device and --tf32, and hand it a `minirnn.bench.place.Place` as `place`."""

    @tf32_option
    @device_option
    @functools.wraps(function)
    def placed(device: str, tf32: bool, **settings: Any) -> Any:
        from minirnn.bench.place import Place

        return function(place=Place.of(device, tf32), **settings)

    return placed


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


def counts_of(value: str | None) -> tuple[int, ...] | None:
    """`"1,2"` as (1, 2).

    Raises:
        click.BadParameter: it is something else.
    """
    if value is None:
        return None
    counts = value.split(",")
    if not all(text.strip().isdecimal() and int(text) > 0 for text in counts):
        raise click.BadParameter(
            f"{value!r} is not a list of whole numbers from 1, with commas between",
            param_hint="--ranks",
        )
    return tuple(int(text) for text in counts)


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
