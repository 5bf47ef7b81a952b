"""`minirnn verify`: does every part of the library agree with its references?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from minirnn.cli.options import FILE, json_option, print_json, reporter


@click.command(short_help="Compare every operation and stage with other libraries.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="NAME",
    help="Compare with this one only, as often as you like: textbook, torch, torchvision, "
    '"ONNX Runtime", SciPy, pycocotools.  [default: all that are installed]',
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws the inputs."
)
@click.option(
    "--html", "page", type=FILE, metavar="FILE", help="Also write a page with every error drawn."
)
@json_option
def verify(
    names: tuple[str, ...],
    references: tuple[str, ...],
    seed: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare every operation and stage of this library with other libraries, on drawn inputs.

    \b
        minirnn verify
        minirnn verify roi_align nms --html errors.html

    NAME is an operation (roi_align), a stage's function (nms), or a whole stage (masks). Each is
    compared with the textbook loops and with every library that is installed: forward, and its
    gradient where it has one. What was not compared is listed below the table, with the reason.
    Ends with 1 if anything disagrees.
    """
    from tqdm import tqdm

    from minirnn.errors import InputError
    from minirnn.verify import compare

    if page is not None and not page.parent.is_dir():
        raise InputError(f"{page}: there is no folder {page.parent}")
    with tqdm(unit=" functions", desc="comparing", disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        table = compare(*names, references=references or None, seed=seed, progress=progress)
    if as_json:
        print_json(table.as_dict())
    else:
        click.echo(table.as_text())
    if page is not None:
        from minirnn.verify.page import write_page

        write_page(page, table)
        reporter(as_json)(f"Errors drawn: {page}")
    if not table.agrees:
        raise click.exceptions.Exit(1)
