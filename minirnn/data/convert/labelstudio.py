"""Label Studio: its JSON, its smaller JSON-MIN, and its COCO export (result.json with images/).

    [{"data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "annotations": [{"result": [
        {"type": "polygonlabels", "original_width": 640, "original_height": 480,
         "value": {"points": [[x, y], …], "polygonlabels": ["cup"]}}, …]}]}]

Coordinates are percent of the picture's sides; a rectangle is turned about its upper left corner. The JSON
comes without pictures: `--images DIR` says where they are, and they are found by name with or without the
eight letters that Label Studio puts before it, and with the spaces that it takes out. Of several people's
annotations of one picture one is taken (marked as ground truth, else the last), the others are named as
left out. Where a task shows several pictures, each has the results that are drawn on it.

Why not a library: Label Studio's SDK leaves brushes out of COCO and brings 27 packages (see `brush`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minirnn.data.convert import cocojson
from minirnn.data.convert.brush import decode_brush
from minirnn.data.convert.found import (
    Found,
    Labelled,
    LeftOut,
    NoObject,
    Photo,
    Unusable,
    label_of,
    numbers,
    read_json,
)
from minirnn.data.convert.labelstudio_pictures import pictures_of, sort_results
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.shapes import ellipse, rectangle
from minirnn.data.convert.walk import label_files
from minirnn.errors import InputError
from minirnn.masks import encode

SHAPES = ("polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels")
COCO_NAMES = ("result.json", "result_coco.json")


def read(folder: Path, images: Path | None = None) -> Found:
    """Whichever of the exports the folder holds."""
    found = Found("labelstudio")
    pictures = Pictures(folder, images)
    for file in label_files(folder, "*.json"):
        if file.name in COCO_NAMES and cocojson.is_coco(file):
            cocojson.read_file(file, "all", found, pictures)
            continue
        try:
            content = read_json(file)
        except InputError as error:
            found.leave(file, "the file", str(error).removeprefix(f"{file}: "))
            continue
        if is_labelstudio(content):
            drawn_on = _drawn_on(content)
            for task in content:
                _read_task(task, drawn_on, file, found, pictures)
        elif file.name != "notes.json":  # names of categories, beside other exports
            found.leave(file, "the file", "it is not of Label Studio's form (a list of tasks)")
    return found


def is_labelstudio(content: Any) -> bool:
    """Whether a JSON file's content is Label Studio's JSON or JSON-MIN."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    first = content[0]
    full = isinstance(first.get("data"), dict) and (
        "annotations" in first or "completions" in first
    )
    return full or ("annotator" in first and "annotation_id" in first)


def _read_task(task: Any, drawn_on: set[str], file: Path, found: Found, pictures: Pictures) -> None:
    if not isinstance(task, dict):
        found.leave(file, "a task", "it is no JSON object")
        return
    name = f"task {task.get('id', '?')}"
    places = pictures_of(task, file.parent, pictures)
    shown = ", ".join(place.name for place in places.values() if isinstance(place, Path))
    if not shown:
        problem = next(str(place) for place in places.values())
        found.leave(file, name, f"{problem}; --images DIR says where the pictures are")
        return
    results = _results(task, name, file, found)
    if results is None:
        left = LeftOut(file, f"{name} ({shown})", "nobody has labelled it")
        if task.get("predictions") or _dicts(task.get("annotations")):
            found.left_out.append(
                left
            )  # a network sees something in it, or a person has skipped it
        else:
            paths = [place for place in places.values() if isinstance(place, Path)]
            found.unlabelled += [(Photo(path, file), left) for path in paths]
        return
    for key, own in sort_results(results, places, drawn_on, name, file, found).items():
        place = places[key]
        if isinstance(place, Unusable):
            found.leave(file, f"{name}, {key} with its {len(own)} results", str(place))
            continue
        found.photos.append(_photo(place, own, f"{name} ({place.name})", file, found))


def _photo(path: Path, results: list[dict], name: str, file: Path, found: Found) -> Photo:
    """A picture with the objects that are drawn on it."""
    photo = Photo(path, file)
    named = {str(r.get("id")) for r in results if _kind(r) is not None and r.get("id")}
    for number, result in enumerate(results, start=1):
        what = f"{name}, result {number}"
        kind = _kind(result)
        if kind is None and str(result.get("id")) in named:
            continue  # the same region again: its bare shape, or an attribute of it
        try:
            if kind is None:
                none = Unusable if _is_drawn(result) else NoObject
                raise none(f"a {result.get('type')!r} is no outline and no box with a label")
            photo.objects.append(_labelled(result, kind, what, photo))
        except Unusable as problem:
            found.lose(photo, what, problem)
    return photo


def _drawn_on(content: list) -> set[str]:
    """The "to_name" of all regions of a file."""
    tasks = _dicts(content)
    annotations = [a for t in tasks for a in _dicts(t.get("annotations", t.get("completions")))]
    results = [result for each in annotations for result in _dicts(each.get("result"))]
    return {str(result.get("to_name")) for result in results if _kind(result) is not None}


def _results(task: dict, name: str, file: Path, found: Found) -> list[dict] | None:
    """The regions of the one annotation that is taken; None where there is none."""
    annotations = task.get("annotations", task.get("completions"))
    if annotations is None:  # JSON-MIN: a list of values for each control
        return [
            {**value, "value": value}
            for entry in task.values()
            if isinstance(entry, list)
            for value in entry
            if isinstance(value, dict)
        ]
    whole = [a for a in _dicts(annotations) if not a.get("was_cancelled")]
    if not whole:
        return None
    chosen = max(whole, key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at", ""))))
    for other in _dicts(annotations):
        what = (
            f"{name}, annotation {other.get('id')} with {len(_dicts(other.get('result')))} results"
        )
        if other.get("was_cancelled"):
            found.leave(file, what, "it was cancelled")
        elif other is not chosen:
            reason = f"annotation {chosen.get('id')} of the same picture is taken"
            found.leave(file, what, reason)
    return _dicts(chosen.get("result"))


def _dicts(values: Any) -> list[dict]:
    """What of a list is a JSON object; of something else, nothing."""
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _kind(result: dict) -> str | None:
    """Which of `SHAPES` a region is; "labels" go by the form of their value."""
    value = result.get("value")
    if not isinstance(value, dict):
        return None
    for kind in SHAPES:
        if value.get(kind):
            return kind
    if not value.get("labels"):
        return None
    keys = {"points": SHAPES[0], "radiusX": SHAPES[2], "rle": SHAPES[3], "width": SHAPES[1]}
    return next((kind for key, kind in keys.items() if key in value), None)


def _is_drawn(result: dict) -> bool:
    """Whether a region has a place: a choice or a remark about the whole picture has none."""
    value = result.get("value")
    return isinstance(value, dict) and any(
        key in value for key in ("x", "points", "rle", "vertices")
    )


def _labelled(result: dict, kind: str, where: str, photo: Photo) -> Labelled:
    value = result["value"]
    names = value.get(kind) or value.get("labels")
    if not isinstance(names, list) or len(names) != 1:
        raise Unusable(f"it has the labels {names!r}; it should have one")
    label = label_of(names[0])
    width, height = numbers([result.get("original_width"), result.get("original_height")])
    if result.get("image_rotation"):
        raise Unusable(f"the picture was turned by {result['image_rotation']} degrees to draw it")
    if photo.size not in (None, (int(height), int(width))):
        raise Unusable(f"it was drawn on {width:g} x {height:g} pixels, another on {photo.size}")
    photo.size = int(height), int(width)
    if kind == "brushlabels":
        return Labelled(label, where, outline=encode(decode_brush(value.get("rle"), *photo.size)))
    if kind == "polygonlabels":
        points = value.get("points")
        pairs = isinstance(points, list) and all(
            isinstance(p, list) and len(p) == 2 for p in points
        )
        if not pairs or len(points) < 3:
            raise Unusable("its points are no list of three x, y or more")
        flat = numbers([number for point in points for number in point])
        sides = (width, height)
        return Labelled(
            label, where, outline=[[n / 100 * sides[i % 2] for i, n in enumerate(flat)]]
        )
    keys = (
        ("x", "y", "radiusX", "radiusY")
        if kind == "ellipselabels"
        else ("x", "y", "width", "height")
    )
    x, y, w, h = (
        n / 100 * (height if i % 2 else width)
        for i, n in enumerate(numbers([value.get(key) for key in keys]))
    )
    turn = numbers([value.get("rotation") or 0])[0]
    if kind == "ellipselabels":
        return Labelled(label, where, outline=[ellipse(x, y, w, h, turn)])
    if turn % 360:
        return Labelled(label, where, outline=[rectangle((x, y, x + w, y + h), turn, about=(x, y))])
    return Labelled(label, where, box=(x, y, x + w, y + h))
