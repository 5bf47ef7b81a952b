"""The lines of YOLO's label files: a class, and a box or an outline in shares of the picture's sides."""

from __future__ import annotations

from minirnn.data.convert.found import Found, Labelled, Photo, Unusable, lines_of, numbers
from minirnn.errors import InputError
from minirnn.images import image_size

#: Shares further out than this are no shares: somebody wrote pixels.
FARTHEST_SHARE = 2.0


def objects_of(photo: Photo, names: dict[int, str], keypoints: int, found: Found) -> list[Labelled]:
    """What is in a photograph; sets its size.

    Args:
        photo: its label file is there.
        names: the categories by number.
        keypoints: how many numbers follow a box for keypoints.
        found: gets the lines that cannot be used.
    """
    lines = lines_of(photo.labels)
    if not any(lines):
        return []
    try:
        photo.size = height, width = image_size(photo.path)
    except InputError:  # `write` says what is wrong with it
        found.leave(photo.labels, f"all {len(lines)} lines", "their picture cannot be read")
        return []
    objects = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            objects.append(_object(line.split(), f"line {number}", names, keypoints, height, width))
        except Unusable as problem:
            found.lose(photo, f"line {number}", problem)
    return objects


def _object(
    words: list[str], where: str, names: dict[int, str], keypoints: int, height: int, width: int
) -> Labelled:
    values = numbers(words)
    number, shares = values[0], values[1:]
    if number != int(number) or int(number) not in names:
        raise Unusable(f"class {words[0]} has no name; there are {len(names)} names")
    label = names[int(number)]
    if keypoints and len(shares) == 4 + keypoints:
        shares = shares[:4]
    if len(shares) in (4, 5):  # the fifth is a network's score
        _check(shares[:4])
        cx, cy, w, h = shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height
        return Labelled(label, where, box=(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    if len(shares) < 6 or len(shares) % 2:
        raise Unusable(
            f"{len(shares)} numbers after the class; a box has 4, an outline x and y of three points "
            "or more"
        )
    _check(shares)
    polygon = [share * (height if i % 2 else width) for i, share in enumerate(shares)]
    return Labelled(label, where, outline=[polygon])


def _check(shares: list[float]) -> None:
    if max(map(abs, shares)) > FARTHEST_SHARE:
        raise Unusable(
            f"{max(shares, key=abs):g} is no share of a side (0 to 1); YOLO does not count in pixels"
        )
