"""Options that several commands share, and how they speak."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.fields import meanings_of, suggestion

if TYPE_CHECKING:
    from minirnn.distributed.communicator import Communicator

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)


class Share(click.FloatRange):
    """A number from 0 to 1. Not NaN, which is neither below 0 nor above 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number.

        Raises:
            click.BadParameter: it is another, or none.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range 0<=x<=1.", param, ctx)
        return number


device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to compute; cuda needs an NVIDIA GPU and CuPy.",
)
tf32_option = click.option(
    "--tf32",
    is_flag=True,
    help="Let a GPU read the factors of float32 products with 10 bits of mantissa: faster, less exact.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object and nothing else to standard output.",
)
page_option = click.option(
    "--html", "page", type=FILE, metavar="FILE", help="Also write a page: pictures and table."
)


def seed_option(what: str) -> Callable[[Any], Any]:
    """`--seed`, which draws whatever the command draws."""
    return click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(min=0), help=f"Draws {what}."
    )


skip_invalid_option = click.option(
    "--skip-invalid",
    is_flag=True,
    help="Leave out, and count, images and annotations that cannot be used.",
)
image_ids_option = click.option(
    "--image-ids",
    metavar="ID,ID,…",
    callback=lambda ctx, param, value: parse_ids(value),
    help="Use these images of the data set only, by their ids.",
)
categories_option = click.option(
    "--categories",
    "only",
    metavar="NAME,NAME,…",
    callback=lambda ctx, param, value: value and [name.strip() for name in value.split(",")],
    help="Use the objects of these categories only; all others are background.",
)


class PresetOption(click.Option):
    """An option whose help lists the presets, which are imported only when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """What the help says of the option."""
        from minirnn.models import PRESETS

        self.help = (
            "The kind of network: maskrcnn_shapes for made-up shapes, maskrcnn_few_photographs for a few "
            "photographs on a laptop. All of them: "
            f"{', '.join(PRESETS)}."
        )
        return super().get_help_record(ctx)


preset_option = click.option("--preset", metavar="NAME", cls=PresetOption)


proposals_option = click.option(
    "--proposals",
    type=FILE,
    metavar="FILE",
    help="Boxes by image, JSON or .npz, for a network that takes given proposals.",
)


def set_option(example: str) -> Callable[[Any], Any]:
    """`--set NAME=VALUE`, with a field as an example that the command knows."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda ctx, param, values: parse_overrides(values),
        help=f"Override any field by name, as often as you like: --set {example}.",
    )


def parse_overrides(values: Sequence[str]) -> dict[str, Any]:
    """`["a=1", "b=(2, 3)", "c=text"]` as a dictionary with Python values.

    Raises:
        click.BadParameter: one is not of the form NAME=VALUE, or a name is there twice.
    """
    overrides: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
        if name in overrides:
            raise click.BadParameter(f"{name} is set twice", param_hint="--set")
        overrides[name] = _literal(value.strip())
    return overrides


def parse_ids(value: str | None) -> list[int] | None:
    """`"3,17,20"` as [3, 17, 20].

    Raises:
        click.BadParameter: it is something else, or an id is there twice.
    """
    if value is None:
        return None
    try:
        ids = [int(part) for part in value.split(",")]
    except ValueError:
        message = f"{value!r} is not a list of whole numbers with commas between"
        raise click.BadParameter(message, param_hint="--image-ids") from None
    if len(set(ids)) < len(ids):
        raise click.BadParameter(f"{value!r} names an image twice", param_hint="--image-ids")
    return ids


def _literal(text: str) -> Any:
    """A Python literal, a JSON value, or else the text itself."""
    for parse in (ast.literal_eval, json.loads):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


def split_overrides(overrides: Mapping[str, Any], *kinds: Any) -> list[dict[str, Any]]:
    """Deal overrides out to the dataclasses that have a field of the name.

    Args:
        overrides: values by name.
        kinds: dataclasses without a name in common.

    Returns:
        One dictionary for each of `kinds`.

    Raises:
        click.BadParameter: none of them has such a field; names close ones.
    """
    fields = [_names_of(kind) for kind in kinds]
    for name in overrides:
        if not any(name in names for names in fields):
            hint = suggestion(name, [name for names in fields for name in names])
            raise click.BadParameter(f"there is no field {name!r}{hint}", param_hint="--set")
    return [{name: overrides[name] for name in names if name in overrides} for names in fields]


def _names_of(kind: Any) -> list[str]:
    """The names of a dataclass's fields; those of a configuration in both ways, flat and by section."""
    if hasattr(kind, "names"):
        return kind.names()
    return [field.name for field in dataclasses.fields(kind)]


def describe_fields(instance: Any) -> str:
    """Every field of a dataclass with its value and what its docstring says of it."""
    if hasattr(instance, "flat"):
        meanings = instance.meanings()
        return "\n".join(
            f"{name} = {value!r}\n    {meanings[name]}" for name, value in instance.flat().items()
        )
    meanings = meanings_of(type(instance))
    lines = []
    for field in dataclasses.fields(instance):
        meaning = meanings.get(field.name, "")
        lines.append(f"{field.name} = {getattr(instance, field.name)!r}\n    {meaning}".rstrip())
    return "\n".join(lines)


def reporter(as_json: bool, ranks: Communicator | None = None) -> Callable[[str], None]:
    """How to tell a person something: on standard error if standard output is for JSON.

    Of several ranks only the first tells anything.
    """

    def say(text: str) -> None:
        if ranks is None or ranks.rank == 0:
            click.echo(printable(text), err=as_json)

    return say


def printable(text: str) -> str:
    """A text without what a terminal obeys: names in files are somebody else's."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
        else ascii(character)[1:-1]
        for character in text
    )


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, if that is a terminal.

    Inside, a function that moves it: told what comes next, how many are done, and how many there are.
    """
    from tqdm import tqdm

    with tqdm(desc=what, unit=f" {unit}", disable=not sys.stderr.isatty()) as bar:

        def tell(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield tell
        if bar.total:
            bar.update(bar.total - bar.n)


def check_folders(*files: Path | None) -> None:
    """Refuse files that cannot be written, before the minutes of work, not after.

    Raises:
        InputError: the folder of one is not there.
    """
    from minirnn.errors import InputError
    from minirnn.files.whole import place_of

    for path in files:
        if path is None:
            continue
        folder = place_of(path).parent
        if not folder.is_dir():
            raise InputError(f"{path}: there is no folder {folder}")


def print_json(report: Mapping[str, Any]) -> None:
    """The one JSON object of `--json`; paths are written as text."""
    click.echo(json.dumps(report, indent=2, allow_nan=False, default=str))


def finish(report: Any, as_json: bool, page: Path | None, picture: Path | None = None) -> None:
    """Print what was compared or measured, write the files, and end with 1 if answers disagree."""
    if as_json:
        print_json(report.as_dict())
    else:
        click.echo(report.as_text())
    if page is not None:
        report.write_page(page)
    if picture is not None:
        report.write_picture(picture)
    for path in filter(None, (page, picture)):
        reporter(as_json)(f"Drawn: {path}")
    if not report.agrees:
        raise click.exceptions.Exit(1)


def sentence(figures: dict[str, int]) -> str:
    """The figures for a person."""
    return (
        f"{figures['images']} images ({figures['without_instances']} without instances), "
        f"{figures['instances']} instances ({figures['crowd_regions']} of them crowd regions), "
        f"{figures['categories']} {'category' if figures['categories'] == 1 else 'categories'}"
    )
