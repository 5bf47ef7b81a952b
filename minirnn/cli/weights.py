"""`minirnn weights`: look into files of weights, rewrite them, fetch torchvision's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from minirnn.cli.options import (
    FILE,
    FOLDER,
    json_option,
    print_json,
    set_option,
    split_overrides,
)


@click.group(short_help="Look into files of weights, convert or fetch them.")
def weights() -> None:
    """Look into files of weights, convert or fetch them.

    Read are torchvision's .pth (Mask R-CNN, Faster R-CNN, ResNet), EfficientNet-Lite0's, .safetensors,
    and what `minirnn train` writes. PyTorch is not needed, and nothing in a file is ever executed.
    """


@weights.command()
@click.argument("file", type=FILE)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Print what is in a file: every array, and which network it is of.

    \b
        minirnn weights inspect maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth
    """
    from minirnn.weights import describe

    description = describe(file)
    if as_json:
        print_json(dataclasses.asdict(description))
        return
    rows = [(a.name, " × ".join(map(str, a.shape)) or "()", a.dtype) for a in description.arrays]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
    for name, shape, dtype in rows:
        click.echo(f"{name:{widths[0]}}  {shape:{widths[1]}}  {dtype}")
    click.echo(f"\n{description.path}: {description.kind}, {description.network}")
    click.echo(
        f"{len(description.arrays)} arrays, {description.numbers:,} numbers, "
        f"{description.parameters:,} of them parameters"
    )
    if description.config is None:
        click.echo("no whole detector: it can be loaded into a network, but does not say which")
    else:
        click.echo(", ".join(f"{k} = {v!r}" for k, v in description.config.items()))


@weights.command()
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
@click.option("--overwrite", is_flag=True, help="Replace TARGET if it is there.")
@click.option("--half", is_flag=True, help="In half precision: half the size.")
@set_option("box_score_threshold=0.5")
def convert(
    source: Path, target: Path, overwrite: bool, half: bool, overrides: dict[str, Any]
) -> None:
    """Write the weights in SOURCE as TARGET, a .safetensors file under torchvision's present names.

    \b
        minirnn weights convert maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth coco.safetensors

    A detector's file also holds its configuration, so that nothing must be guessed when it is
    loaded; --set changes fields of it.
    """
    from minirnn.models import Config
    from minirnn.weights import convert as convert_weights

    (fields,) = split_overrides(overrides, Config)
    description = convert_weights(source, target, overwrite=overwrite, half=half, **fields)
    click.echo(
        f"{description.path}: {description.network}, {len(description.arrays)} arrays, "
        f"{description.numbers:,} numbers"
    )


class NameArgument(click.Argument):
    """An argument that is checked against the downloads only when the command runs."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """The name, if there is such a download.

        Raises:
            click.BadParameter: there is none; lists those that there are.
        """
        from minirnn.weights import FILES

        return click.Choice(list(FILES)).convert(value, self, ctx) if value is not None else None


class Download(click.Command):
    """A command whose help lists the files, which are imported only when the help is shown."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The text of the command, and then the files by name."""
        from minirnn.weights import FILES

        super().format_help_text(ctx, formatter)
        with formatter.section("Names"):
            formatter.write_dl(list(FILES.items()))


@weights.command(cls=Download)
@click.argument("name", cls=NameArgument)
@click.option(
    "--out",
    "folder",
    type=FOLDER,
    default=".",
    show_default=True,
    metavar="DIR",
    help="The folder for the file.",
)
@click.option("--base-url", metavar="URL", help="A mirror to fetch from instead of PyTorch's host.")
def download(name: str, folder: Path, base_url: str | None) -> None:
    """Fetch one of torchvision's files of weights, and check that it is whole and the right one.

    \b
        minirnn weights download maskrcnn_resnet50_fpn --out data

    What was stopped goes on where it was, when the same command is given again.
    """
    from minirnn.progress import bytes_bar
    from minirnn.weights import download as download_file

    more: dict[str, Any] = {} if base_url is None else {"base_url": base_url}
    with bytes_bar(name) as progress:
        path = download_file(name, folder, progress=progress, **more)
    click.echo(str(path))
