"""`minirnn data nuclei`: a small real data set that needs no download of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from minirnn.cli.options import FOLDER, json_option, print_json, reporter
from minirnn.cli.shell import as_word


@click.command(short_help="Make a small real set: nuclei of cells, with masks.")
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The folder to make.")
@json_option
def nuclei(out: Path, as_json: bool) -> None:
    """Make a small real data set, in COCO's format: 125 nuclei of cells, outlined by hand.

    \b
        minirnn data nuclei --out data/nuclei

    The picture, seen by fluorescence, comes with the package stardist (pip install --no-deps stardist). The
    lower quarter is val and the rest train, in tiles of 128 x 128 pixels; those of train overlap by half. A
    nucleus is an object in one of the two only. Of a nucleus that a tile cuts, the piece is an object if it
    is a quarter or more; what else can be seen of nuclei is a crowd region, neither right nor wrong.
    """
    from minirnn.data.nuclei import write_nuclei

    say = reporter(as_json)
    parts = write_nuclei(out)
    for split, part in parts.items():
        say(
            f"{out} {split}: {part.images} tiles with {part.objects} objects, of {part.nuclei} nuclei; "
            f"{part.crowd_regions} crowd regions"
        )
    if as_json:
        print_json({"folder": out, **{split: asdict(part) for split, part in parts.items()}})
        return
    say(
        f"\nTrain on it:\n    minirnn train --data {as_word(out)} --preset maskrcnn_few_photographs \\\n"
        "        --steps 300 --set min_size=256 --set max_size=256 --out runs/nuclei"
    )
