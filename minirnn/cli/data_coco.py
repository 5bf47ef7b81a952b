"""`minirnn data coco`: fetch a small part of COCO 2017."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minirnn.cli.options import FILE, FOLDER, json_option, print_json, reporter
from minirnn.cli.shell import as_word

if TYPE_CHECKING:
    from minirnn.data.coco_download import Downloaded
    from minirnn.data.coco_source import Source
    from minirnn.data.id_list import IdList

COUNT = 500


def default_cache() -> Path:
    """The cache; or MINIRNN_CACHE itself where an earlier version has put the archive there."""
    from minirnn.data.coco_fetch import ARCHIVE
    from minirnn.files.cache import cache

    folder = cache("coco")
    return folder.parent if (folder.parent / ARCHIVE).is_file() else folder


@click.command(short_help="Fetch a small part of COCO: chosen images and their objects.")
@click.option("--out", type=FOLDER, metavar="DIR", help="The folder to make, or to go on with.")
@click.option(
    "--split",
    type=click.Choice(["train2017", "val2017"]),
    help="Which part of COCO.  [default: val2017, or the list's]",
)
@click.option(
    "--categories",
    metavar="NAME,NAME,…",
    help="Only objects of these, and images that show one.  [default: all 80, or the list's]",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(min=1),
    help=f"How many, as evenly over the categories as they allow.  [default: {COUNT}]",
)
@click.option("--seed", type=click.IntRange(min=0), help="Decides which images.  [default: 0]")
@click.option(
    "--list",
    "list_name",
    metavar="FILE_OR_NAME",
    help="The images of a list: a file, or a name in data/lists, such as small-val2017.",
)
@click.option(
    "--write-list",
    "written",
    type=FILE,
    metavar="FILE",
    help="Write the choice as a list; without --out nothing else is done.",
)
@click.option("--keypoints", is_flag=True, help="Also write person_keypoints_….json.")
@click.option(
    "--connections",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many images come at a time.",
)
@click.option(
    "--cache",
    "cache_folder",
    type=FOLDER,
    metavar="DIR",
    help="Keeps the archive of annotations.  [default: coco in ~/.cache/minirnn, or in MINIRNN_CACHE]",
)
@click.option(
    "--base-url",
    envvar="MINIRNN_COCO_URL",
    metavar="URL",
    help="A mirror in place of http://images.cocodataset.org (also MINIRNN_COCO_URL).",
)
@json_option
def coco(
    out: Path | None,
    split: str | None,
    categories: str | None,
    count: int | None,
    seed: int | None,
    list_name: str | None,
    written: Path | None,
    keypoints: bool,
    connections: int,
    cache_folder: Path | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Fetch a part of COCO 2017 in COCO's layout: as many images as you ask for, and their objects.

    \b
        minirnn data coco --split val2017 --categories person,dog,cat --images 500 --out data/coco
        minirnn data coco --list small-val2017 --out data/small
        minirnn data coco --categories person,dog --images 200 --write-list person-dog.txt

    The annotations come once (241 MB) and stay in a cache; an image has about 0.16 MB. Each is checked,
    and the same command goes on where it was stopped. The same options give the same images
    everywhere. With more --images, a folder grows. DIR/val2017.txt is the list of what is in it.

    The annotations are COCO's (CC BY 4.0). The images belong to their owners: the annotation file
    keeps each one's licence and its address at Flickr.

    Ends with 1 if images failed that the same command may get the next time.
    """
    from minirnn.data.coco_download import download_coco
    from minirnn.data.coco_source import Source

    if out is None and written is None:
        raise click.UsageError("say where it goes: --out DIR")
    if list_name is not None and (count is not None or seed is not None):
        raise click.UsageError("--list says which images; --images and --seed choose them")
    say = reporter(as_json)
    if out is not None:
        _check_place(out)  # before 241 MB come
    source = Source(cache_folder or default_cache(), base_url, connections, say=say)
    names = _names(categories)
    content = None
    if list_name is not None:
        wanted = _listed(list_name, split, names)
    else:
        wanted, content = _chosen(source, split or "val2017", names, count or COUNT, seed or 0)
    if written is not None:
        _write_list(written, wanted)
        say(f"{written}: {wanted.title}")
    if out is None:
        if as_json:
            print_json({"list": written, "images": len(wanted.ids), "split": wanted.split})
        return
    done = download_coco(out, wanted, source, keypoints=keypoints, content=content)
    say(_summary(done))
    if as_json:
        print_json(_figures(done))
    if done.fetched.failed:
        raise click.exceptions.Exit(1)


def _check_place(out: Path) -> None:
    """Refuse a folder that cannot be made, or not be written to."""
    from minirnn.errors import InputError

    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        what = "cannot be written to" if place.is_dir() else "is no folder"
        raise InputError(f"--out {out}: {place} {what}")


def _names(text: str | None) -> tuple[str, ...]:
    from minirnn.data.id_list import names_in

    names = names_in(text or "")
    if text is not None and not names:
        raise click.BadParameter(f"{text!r} names no category", param_hint="--categories")
    return names


def _chosen(
    source: Source, split: str, names: tuple[str, ...], count: int, seed: int
) -> tuple[IdList, dict]:
    """The list of what the options choose, and the annotations of these images."""
    from minirnn.data.coco_choice import images_of
    from minirnn.data.coco_download import choose_list

    content = source.annotations(split)
    wanted = choose_list(content, split, names=names, count=count, seed=seed)
    if len(wanted.ids) < count:
        source.say(f"there are only {len(wanted.ids)} such images; {count} were asked for")
    return wanted, images_of(content, wanted.ids)


def _listed(name: str, split: str | None, names: tuple[str, ...]) -> IdList:
    """The list of `--list`; `--categories` takes the place of its own."""
    from dataclasses import replace

    from minirnn.data.id_list import find_list, read_list

    path = find_list(name)
    found = read_list(path)
    if split not in (None, found.split):
        raise click.UsageError(f"{path} is a list of {found.split}, and --split says {split}")
    return replace(found, categories=names) if names else found


def _write_list(path: Path, wanted: IdList) -> None:
    """Write a list, and leave one that is there alone."""
    from minirnn.errors import InputError
    from minirnn.files import write_whole

    text = wanted.as_text()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise InputError(f"{path} is there already, with other content; nothing was written")


def _figures(done: Downloaded) -> dict:
    """What `--json` prints."""
    fetched = done.fetched
    return {
        "folder": done.folder,
        "annotations": done.dataset.file,
        "split": done.wanted.split,
        "asked_for": len(done.wanted.ids),
        "images": len(fetched.here),
        "fetched": fetched.came,
        "bytes": fetched.size,
        "missing": fetched.missing,
        "failed": fetched.failed,
        "annotations_left_out": done.left_out,
        "categories": done.categories(),
        "licences": done.licences(),
    }


def _summary(done: Downloaded) -> str:
    """What a person reads at the end."""
    from minirnn.data.coco_source import megabytes

    fetched, wanted, counts = done.fetched, done.wanted, done.categories()
    lines = [
        f"{done.folder}: {len(fetched.here)} of {len(wanted.ids)} images of {wanted.split}, {fetched.came} "
        f"of them fetched now ({megabytes(fetched.size)})"
    ]
    if len(counts) <= 10:
        shown = (f"{n} in {c['images']} ({c['objects']} objects)" for n, c in counts.items())
        lines.append(f"by category: {', '.join(shown)}")
    else:
        numbers = [c["images"] for c in counts.values()]
        lines.append(
            f"{len(counts)} categories, each in {min(numbers)} to {max(numbers)} images; "
            f"{sum(c['objects'] for c in counts.values())} objects"
        )
    lines.append("licences: " + ", ".join(f"{n} x {name}" for name, n in done.licences().items()))
    if done.left_out:
        ids = ", ".join(map(str, done.left_out))
        lines.append(
            f"annotations that cannot be used and are left out ({len(done.left_out)}): {ids}"
        )
    if fetched.missing:
        names = ", ".join(fetched.missing)
        lines.append(f"not on the server and left out ({len(fetched.missing)}): {names}")
    if fetched.failed:
        reasons = "\n".join(f"    {name}: {why}" for name, why in sorted(fetched.failed.items()))
        lines.append(f"did not come ({len(fetched.failed)}):\n{reasons}")
        lines.append("The same command tries these again.")
    what = "Train on what is here" if fetched.failed else "Train on it"
    lines.append(
        f"\n{what}:\n    minirnn train --data {as_word(done.folder)} --split {wanted.split} "
        "--preset maskrcnn_small_fpn --out runs/NAME"
    )
    return "\n".join(lines)
