"""Which photograph a result of Label Studio is drawn on.

Most tasks show one picture, by whichever of its names (`data`, `file_upload`) a file is there. A task with
several, `<Image name="left" value="$left"/>` and another, has its results sorted by "to_name", the name of
the tag. The file does not hold the tags: which picture is whose is known where a tag is named as its key in
`data`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from minirnn.data.convert.found import Found, Unusable
from minirnn.data.convert.pictures import Pictures, is_picture

_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def uploaded_name(path: Path) -> str:
    """What an upload makes of a photograph's name: "IMG 1 (2).jpg" becomes "IMG_1_2.jpg"."""
    return re.sub(r"[^-\w.]", "", path.name.strip().replace(" ", "_"))


def pictures_of(task: dict, near: Path, pictures: Pictures) -> dict[str, Path | Unusable]:
    """A task's pictures by their keys in its data; several keys that name one picture are one, "".

    Args:
        task: as the file has it.
        near: the folder of the file.
        pictures: where to look.

    Returns:
        For each key the picture, or what is wrong with it.
    """
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = {key: text for key, text in data.items() if isinstance(text, str) and _is_file(text)}
    named = {key: text for key, text in texts.items() if is_picture(Path(_path_in(text)))}
    places = {key: _find([text], near, pictures) for key, text in named.items()}
    if len({str(place) for place in places.values()}) > 1:
        return places
    upload = task.get("file_upload")
    names = [upload] if isinstance(upload, str) and _is_file(upload) else []
    return {"": _find([*names, *texts.values()], near, pictures)}


def sort_results(
    results: list[dict],
    places: dict[str, Path | Unusable],
    drawn_on: set[str],
    task: str,
    file: Path,
    found: Found,
) -> dict[str, list[dict]]:
    """The results of each picture of a task that has several; what belongs to none is left out by name.

    A picture that nobody has drawn on in any task may be there to be looked at only, and one without
    results may have those that belong to none. Both are left out, since as photographs without objects they
    would teach that there are none in them.

    Args:
        results: all regions of the task.
        places: from `pictures_of`.
        drawn_on: all "to_name" of the file.
        task: what to call it in a message.
        file: the file.
        found: gets what is left out.
    """
    if "" in places:
        return {"": results}
    by_tag: dict[str, list[dict]] = {key: [] for key in places}
    for result in results:
        by_tag.setdefault(str(result.get("to_name")), []).append(result)
    others = {tag: own for tag, own in by_tag.items() if tag not in places}
    for name, own in others.items():
        keys = " or ".join(places)
        reason = (
            f"which picture they are drawn on is not known; in the file, to_name should be {keys}"
        )
        reason += "" if name != "None" else " (JSON has it, JSON-MIN does not)"
        found.leave(file, f"{task}, {len(own)} results with to_name {name!r}", reason)
    for key, place in places.items():
        if not by_tag[key] and (key not in drawn_on or others):
            del by_tag[key]
            if isinstance(place, Path):
                reason = f"no result of the {'task' if others else 'file'} has the to_name {key!r}"
                found.leave(file, f"{task}, the picture {place.name}", reason)
    return {key: own for key, own in by_tag.items() if key in places}


def _is_file(text: str) -> bool:
    return bool(re.search(r"\.[A-Za-z]{3,4}($|[?#])", text))


def _path_in(text: str) -> str:
    """The path in an address, also in that of Label Studio's local files, /data/local-files/?d=…"""
    url = urlparse(text)
    return parse_qs(url.query).get("d", [unquote(url.path)])[0]


def _find(texts: list[Any], near: Path, pictures: Pictures) -> Path | Unusable:
    """The picture of the first text that leads to one."""
    problem = Unusable("it names no picture")
    names = []
    for inner in map(_path_in, texts):
        base = inner.rsplit("/", 1)[-1]
        names += [inner, base, _PREFIX.sub("", base)]
    for name in names:
        try:
            return pictures.find(name, near)
        except Unusable as error:
            problem = error
    for name in names:
        with suppress(Unusable):
            return pictures.only(uploaded_name, name)
    return problem
