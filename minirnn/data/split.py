"""Splitting a data set into train and val: by image, with each category's share in each.

Drawing images at random can leave a rare category without a single image in val. So images are dealt out by
iterative stratification: always for the category that has the fewest images left, each of them to the split
that still lacks most of that category.

Source: Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011,
algorithm 1.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.data.coco_file import read_coco_json
from minirnn.data.layout import OBJECTS_FIRST, file_kind, find_split, of_kind, splits_of
from minirnn.data.new_set import copy_all, new_folder
from minirnn.errors import InputError
from minirnn.images import path_inside

NOTHING = "(no objects)"


@dataclass(frozen=True)
class Split:
    """What was made.

    Attributes:
        folder: the new data set.
        images: how many images each split has.
        categories: for each category, how many objects each split has; `NOTHING` counts images without.
    """

    folder: Path
    images: dict[str, int]
    categories: dict[str, dict[str, int]]


def stratify(
    kinds: Sequence[Collection[Any]], shares: Mapping[str, float], rng: np.random.Generator
) -> list[str]:
    """Deal images out to splits.

    Args:
        kinds: for each image, the categories in it.
        shares: for each split its share of the images; they add up to 1.
        rng: breaks ties.

    Returns:
        For each image the name of its split.
    """
    # What each split still lacks: images in all, and images with each category.
    lacks = dict(zip(shares, _sizes(len(kinds), list(shares.values())), strict=True))
    of_kind: dict[Any, set[int]] = defaultdict(set)
    for image, present in enumerate(kinds):
        for kind in set(present) or {NOTHING}:
            of_kind[kind].add(image)
    lacks_kind = {kind: {s: len(of_kind[kind]) * shares[s] for s in shares} for kind in of_kind}
    order = rng.permutation(len(kinds)).tolist()
    tie = {kind: place for place, kind in enumerate(sorted(of_kind, key=str))}

    result = [""] * len(kinds)
    left = set(range(len(kinds)))
    while left:
        rarest = min(
            (k for k in of_kind if of_kind[k] & left),
            key=lambda k: (len(of_kind[k] & left), tie[k]),
        )
        for image in (i for i in order if i in of_kind[rarest] & left):
            open_ones = [split for split in shares if lacks[split] > 0]
            split = max(open_ones, key=lambda s: (lacks_kind[rarest][s], lacks[s]))
            result[image] = split
            left.remove(image)
            lacks[split] -= 1
            for kind in set(kinds[image]) or {NOTHING}:
                lacks_kind[kind][split] -= 1
    return result


def _sizes(count: int, shares: list[float]) -> list[int]:
    """How many images each split gets: the shares rounded, at least one each where there are as many."""
    sizes = [max(1, round(count * share)) for share in shares]
    while sum(sizes[1:]) >= count and max(sizes[1:]) > 1:  # the first would be left with none
        sizes[sizes.index(max(sizes[1:]), 1)] -= 1
    sizes[0] = count - sum(sizes[1:])
    return sizes


def split(
    source: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    part: str | None = None,
    link: bool = False,
    progress: bool = True,
) -> Split:
    """Make a data set with train and val of one that has one part.

    Image and annotation records go over as they are, ids and all. The same images, shares and seed give the
    same split. Where there are files of objects and of people's keypoints for the same images, both are
    split.

    Args:
        source: a data set in COCO's layout; it is not changed.
        folder: the new one; must not be there, or be empty.
        val: the share of images to evaluate on.
        test: the share for a last test, or 0.
        seed: decides ties.
        part: which part to split; None takes the only one.
        link: make hard links to the images in place of copies.
        progress: show a bar.

    Raises:
        InputError: the source has no such part, or several and none is named; a share is out of range;
            there are too few images; an annotation or image cannot be given to a split.
    """
    source, folder = Path(source), Path(folder)
    shares = {"train": 1 - val - test, "val": val} | ({"test": test} if test else {})
    if not 0 < val < 1 or not 0 <= test < 1 or shares["train"] <= 0:
        raise InputError(
            f"val is {val} and test {test}; each should be above 0, and both below 1 together"
        )
    file, images = find_split(source, _only(source) if part is None else part, OBJECTS_FIRST)
    main, *others = _files(file)
    if len(main.images) < len(shares):
        count = len(main.images)
        raise InputError(f"{file}: there are {count} images; {len(shares)} splits need more")
    for other in others:
        if unknown := [i for i in other.images if i not in main.images]:
            raise InputError(
                f"{other.path}: image {unknown[0]} is not in {file.name}; both should have the same images"
            )
    paths = _paths(list(main.images.values()), images, file)
    dealt = stratify(
        [{a["category_id"] for a in main.annotations[i]} for i in main.images],
        shares,
        np.random.default_rng(seed),
    )
    with new_folder(folder) as unfinished:
        (unfinished / "annotations").mkdir()
        for name in shares:
            mine = [i for i, s in zip(main.images, dealt, strict=True) if s == name]
            own = [path for path, s in zip(paths, dealt, strict=True) if s == name]
            copy_all(own, unfinished / name, link=link, progress=progress)
            for each in (main, *others):
                target = unfinished / "annotations" / f"{each.kind}_{name}.json"
                target.write_text(json.dumps(each.part(mine)), encoding="utf-8")
    return Split(folder, {name: dealt.count(name) for name in shares}, _counts(main, dealt, shares))


def _only(source: Path) -> str:
    """The name of a folder's only part."""
    parts = sorted(set(splits_of(source)))
    if len(parts) > 1:
        raise InputError(
            f"{source} is split already ({', '.join(parts)}); --split {parts[0]} splits one of them again"
        )
    return parts[0] if parts else "all"  # find_split says what is missing


@dataclass(frozen=True)
class _File:
    """An annotation file: its records by image, and the categories' names by id."""

    kind: str
    path: Path
    content: dict
    images: dict[Any, dict]
    annotations: dict[Any, list[dict]]
    names: dict[Any, str]

    def part(self, ids: Sequence[Any]) -> dict:
        """The content with some of the images alone."""
        images = [self.images[i] for i in ids if i in self.images]
        own = [a for record in images for a in self.annotations[record["id"]]]
        return {**self.content, "images": images, "annotations": own}


def _counts(
    file: _File, dealt: Sequence[str], shares: Mapping[str, float]
) -> dict[str, dict[str, int]]:
    """How many objects of each category each split has, and how many images without any."""
    counted = {name: dict.fromkeys(shares, 0) for name in (*file.names.values(), NOTHING)}
    for objects, split_name in zip(file.annotations.values(), dealt, strict=True):
        for annotation in objects:
            counted[file.names[annotation["category_id"]]][split_name] += 1
        counted[NOTHING][split_name] += not objects
    return counted


def _files(first: Path) -> list[_File]:
    """An annotation file, and that of the other kind for the same images: objects, people's keypoints."""
    kind = file_kind(first)
    found = []
    for each in (kind, *(other for other in OBJECTS_FIRST if other != kind)):
        path = of_kind(first, each)
        if path.is_file():
            content, _ = read_coco_json(path)
            annotations, names = _by_image(content, path)
            images = {record["id"]: record for record in content["images"]}
            found.append(_File(each, path, content, images, annotations, names))
    return found


def _by_image(content: dict, file: Path) -> tuple[dict[Any, list[dict]], dict[Any, str]]:
    """The annotations of each image, and the categories' names.

    Raises:
        InputError: an id is missing or there twice, or leads nowhere.
    """
    try:
        names = {record["id"]: str(record["name"]) for record in content["categories"]}
        by_image: dict[Any, list[dict]] = {record["id"]: [] for record in content["images"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: an image or category has no id or name ({error})") from error
    if len(by_image) < len(content["images"]):
        raise InputError(f"{file}: an image id is there twice; see minirnn data check")
    for annotation in content["annotations"]:
        try:
            names[annotation["category_id"]]
            by_image[annotation["image_id"]].append(annotation)
        except (KeyError, TypeError):
            which = annotation.get("id") if isinstance(annotation, dict) else annotation
            raise InputError(
                f"{file}: annotation {which} has an image or category that is not in the file; "
                "see minirnn data check"
            ) from None
    return by_image, names


def _paths(records: list[dict], images: Path, file: Path) -> list[tuple[Path, str]]:
    """Where each image is, and its name.

    Raises:
        InputError: it is not there, or two records name one file, which might come into train and into val.
    """
    result: list[tuple[Path, str]] = []
    seen: dict[Path, Any] = {}
    for record in records:
        name = record.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{file}: image {record['id']} has no file_name")
        path = path_inside(images, name)
        if not path.is_file():
            raise InputError(f"{file}: image {record['id']}: {path} is not there")
        if (other := seen.setdefault(path.resolve(), record["id"])) != record["id"]:
            raise InputError(
                f"{file}: images {other} and {record['id']} are one file, {name}; "
                "minirnn data inspect --fix makes one of them"
            )
        result.append((path, name))
    return result
