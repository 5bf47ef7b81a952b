"""`minirnn verify`: does every part of the library agree with its references?"""

from __future__ import annotations

from pathlib import Path

import click

from minirnn.cli.options import (
    finish,
    json_option,
    page_option,
    progress_bar,
    seed_option,
)
from minirnn.cli.outputs import check_outputs


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
    "--plain",
    is_flag=True,
    help="Compare the plain forms, without the kernels that stand in for them.",
)
@seed_option("the inputs")
@page_option
@json_option
def verify(
    names: tuple[str, ...],
    references: tuple[str, ...],
    plain: bool,
    seed: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare every operation and stage of this library with other libraries, on drawn inputs.

    \b
        minirnn verify
        minirnn verify roi_align nms --html errors.html
        minirnn verify convolution --plain

    NAME is an operation (roi_align), a stage's function (nms), or a whole stage (masks). Each is
    compared with the textbook loops and with every library that is installed: forward, and its
    gradient where it has one. What was not compared is listed below the table, with the reason.
    Ends with 1 if anything disagrees.
    """
    from minirnn.verify import compare

    check_outputs(pages=[page])
    with progress_bar("comparing", "functions") as progress:
        table = compare(
            *names, references=references or None, seed=seed, plain=plain, progress=progress
        )
    finish(table, as_json, page)
