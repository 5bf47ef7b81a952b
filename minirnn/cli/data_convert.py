"""`minirnn data convert` and `minirnn data split`: from a labelling tool's folder to train and val."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.datasets import WITHOUT_MASKS
from minirnn.cli.options import FILE, FOLDER, Share, json_option, print_json, reporter, seed_option
from minirnn.cli.shell import as_word

if TYPE_CHECKING:
    from minirnn.data.convert import Summary

FORMATS = ("auto", "labelme", "yolo", "cvat", "roboflow", "labelstudio", "voc", "coco")
SHOWN = 20  # lines about what is left out; --json has all of them

link_option = click.option(
    "--link",
    is_flag=True,
    help="Make hard links to the photographs, which take no room, not copies.",
)


@click.command(short_help="Make COCO's layout of what a labelling tool has written.")
@click.argument("source", type=FILE)
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The folder to make.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="The tool's format; auto tells it by the files.",
)
@click.option(
    "--images",
    type=FOLDER,
    metavar="DIR",
    help="The photographs, if they are not among the labels.",
)
@link_option
@click.option(
    "--boxes-only", is_flag=True, help="Leave outlines away, where most objects have only a box."
)
@click.option(
    "--unlabelled",
    type=click.Choice(("leave-out", "empty")),
    default="leave-out",
    show_default=True,
    help="Pictures without labels; empty takes them as photographs that show none of the objects.",
)
@json_option
def convert(
    source: Path,
    out: Path,
    form: str,
    images: Path | None,
    link: bool,
    boxes_only: bool,
    unlabelled: str,
    as_json: bool,
) -> None:
    """Make a data set in COCO's layout of what LabelMe, CVAT, … wrote.

    \b
        minirnn data convert labels/ --out data/cups
        minirnn data convert project-1.json --images photos/ --out data/cups
        minirnn data convert labels/ --unlabelled empty --out data/cups

    SOURCE is the folder that the tool has written (unpack a .zip first), or its one file: LabelMe's JSON
    files, YOLO's text files, CVAT's "COCO 1.0" or "CVAT for images", Roboflow's or Label Studio's exports,
    Pascal VOC. Nothing in it is changed. What cannot be used is left out, and each such thing is named with
    its file and the reason. Reading YOLO's data.yaml needs PyYAML: pip install '.[convert]'.
    """
    from minirnn.data.convert import convert as convert_folder

    say = reporter(as_json)
    summary = convert_folder(
        source,
        out,
        form=form,
        images=images,
        link=link,
        boxes_only=boxes_only,
        unlabelled=unlabelled,
        progress=not as_json,
    )
    if as_json:
        print_json(_as_dict(summary))
        return
    for line in _lines(summary):
        say(line)


@click.command(short_help="Split a data set into train and val.")
@click.argument("folder", type=FILE)
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The folder to make.")
@click.option("--val", type=Share(), default=0.2, show_default=True, help="Share to evaluate on.")
@click.option("--test", type=Share(), default=0.0, show_default=True, help="Share for a last test.")
@click.option(
    "--split",
    "part",
    metavar="NAME",
    help="Which part of FOLDER to split.  [default: the only one]",
)
@seed_option("which of equally good images goes where")
@link_option
@json_option
def split(
    folder: Path,
    out: Path,
    val: float,
    test: float,
    part: str | None,
    seed: int,
    link: bool,
    as_json: bool,
) -> None:
    """Split a data set into train and val, with each category's share in both.

    \b
        minirnn data split data/cups --val 0.2 --out data/cups-split

    Whole images are dealt out, rare categories first. The same images and seed give the same split. FOLDER
    is in COCO's layout and is not changed.
    """
    from minirnn.data.split import NOTHING
    from minirnn.data.split import split as split_folder

    made = split_folder(
        folder, out, val=val, test=test, seed=seed, part=part, link=link, progress=not as_json
    )
    if as_json:
        print_json(
            {
                "folder": made.folder,
                "seed": seed,
                "images": made.images,
                "categories": made.categories,
            }
        )
        return
    for line in _table(made.categories, list(made.images), {"images": made.images}):
        click.echo(line)
    for name, counts in made.categories.items():
        missing = [part for part, count in counts.items() if count == 0]
        if missing and sum(counts.values()) and name != NOTHING:
            click.echo(
                f"note: {name} is not in {' and '.join(missing)}; more images of it help, or another --val"
            )
    click.echo(
        f"\nTrain on it:\n    minirnn train --data {as_word(out)} --preset … --out runs/NAME"
    )


COMMANDS = (convert, split)


def _as_dict(summary: Summary) -> dict[str, Any]:
    return {
        "format": summary.form,
        "folder": summary.folder,
        "masks": summary.has_masks,
        "splits": summary.splits,
        "categories": summary.categories,
        "boxes_as_outlines": dict(summary.boxes_filled),
        "left_out": [
            {"file": each.file, "what": each.what, "reason": each.reason}
            for each in summary.left_out
        ],
        "notes": summary.notes,
    }


def _lines(summary: Summary) -> list[str]:
    """The summary for a person."""
    from minirnn.data.convert import TITLES
    from minirnn.data.layout import split_command

    totals = {
        key: {split: counts[key] for split, counts in summary.splits.items()}
        for key in ("images", "without_objects")
    }
    lines = [f"read {TITLES[summary.form]} (--format {summary.form}), wrote {summary.folder}", ""]
    lines += [*_table(summary.categories, list(summary.splits), totals), ""]
    lines += [f"note: {note}" for note in summary.notes]
    if summary.boxes_filled:
        files = [Path(name).name for name in summary.boxes_filled]
        shown = ", ".join(files[:3]) + (", …" if len(files) > 3 else "")
        lines.append(
            "note: objects with only a box, which is taken as their outline: "
            f"{summary.boxes_filled.total()} ({shown}). If most are such, --boxes-only leaves outlines away"
        )
    if not summary.has_masks:
        lines.append(f"note: boxes and no masks: {WITHOUT_MASKS}")
    if summary.left_out:
        lines.append(f"left out: {len(summary.left_out)}")
        lines += [f"  {each}" for each in summary.left_out[:SHOWN]]
        if len(summary.left_out) > SHOWN:
            lines.append(f"  … and {len(summary.left_out) - SHOWN} more; --json lists all of them")
    else:
        lines.append("left out: nothing")
    if list(summary.splits) == ["all"]:
        lines += ["", "Split it into train and val:"]
        lines.append(f"    {split_command(summary.folder)}")
    return lines


def _table(
    categories: dict[str, dict[str, int]], splits: list[str], totals: dict[str, dict[str, int]]
) -> list[str]:
    """Counts by category and split, in columns."""
    rows = [("", *splits)]
    rows += [
        (name, *(str(counts.get(s, 0)) for s in splits)) for name, counts in categories.items()
    ]
    rows += [
        (name.replace("_", " "), *(str(c.get(s, 0)) for s in splits)) for name, c in totals.items()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(splits) + 1)]
    return [
        row[0].ljust(widths[0])
        + "".join(f"  {cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
