"""Pascal VOC: an XML file of boxes for each picture, and pictures whose colours are objects.

    Annotations/a.xml   JPEGImages/a.jpg   SegmentationObject/a.png   ImageSets/Main/train.txt …

VOC counts pixels from 1 and its xmax is the last pixel inside: x1 = xmin - 1, x2 = xmax. Many tools (CVAT
for one) write such files counting from 0 and to the edge; a set in which some box begins at 0, or all have
decimal points, is read like that, and the summary says so. In SegmentationObject the colour with index i is
the XML's i-th object; without XML, as CVAT's "Segmentation mask 1.1" comes, SegmentationClass has the
names. Where there are such pictures, photographs without one are left out, since their objects have no
outlines (`--boxes-only` takes all of them). Roboflow writes outlines into the XML: a <polygon> beside the
box.

Why not a library: `supervision` and `globox` read the XML but not SegmentationObject, and drop what they do
not know without a word; `datumaro` reads both, with OpenCV, pandas and Arrow in its train.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from xml.etree import ElementTree

from minirnn.data.convert.found import (
    Found,
    Labelled,
    Photo,
    Unusable,
    label_of,
    numbers,
)
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.unlabelled import note_unlabelled
from minirnn.data.convert.voc_lists import name_of, split_in, splits_in
from minirnn.data.convert.voc_masks import (
    classes_of,
    labelled,
    names_in,
    numbers_in,
    objects_in,
    painted,
)
from minirnn.data.convert.walk import label_files
from minirnn.data.convert.xml import read_xml
from minirnn.errors import InputError
from minirnn.images import image_size
from minirnn.masks import boxes_of_masks, encode

CORNERS = ("xmin", "ymin", "xmax", "ymax")
stem_of = attrgetter("stem")


def read(folder: Path, images: Path | None = None) -> Found:
    """All pictures of a folder that have an XML file of VOC's form."""
    found = Found("voc")
    pictures = Pictures(folder, images)
    masks = {name_of(path): path for path in painted(folder, "Object")}
    pictures.hide(*masks.values(), *painted(folder, "Class"))
    all_masks = list(masks.values())
    found.only_outlined = bool(masks)
    files = label_files(folder, "*.xml")
    splits = splits_in(folder, [*files, *masks.values()])
    labels: list[tuple[Photo, ElementTree.Element]] = []
    for file in files:
        root = read_xml(file)
        if root is None or root.tag != "annotation":
            found.leave(file, "the file", "it is not XML of VOC's form (<annotation>)")
            continue
        try:
            labels.append((_photo(root, file, splits, pictures), root))
        except Unusable as problem:
            count = len(root.findall("object"))
            found.leave(file, f"the picture with its {count} objects", str(problem))
            masks.pop(name_of(file), None)
    from_zero = _count_from_zero([root for _, root in labels])
    if from_zero:
        found.notes.append("boxes count pixels from 0, not from 1 as VOC's own do")
    for photo, root in labels:
        photo.objects = _objects(root, photo, 0 if from_zero else 1, found)
        for name in (name_of(photo.path), name_of(photo.labels)):
            if name in masks:
                _add_outlines(photo, masks.pop(name), found)
                break
        found.photos.append(photo)
    names = names_in(folder)
    for path in masks.values():
        try:
            found.photos.append(_masks_alone(path, splits, pictures, names))
        except (Unusable, InputError) as problem:
            found.leave(path, "its masks", str(problem))
        else:
            found.categories = list(names.values())
    folders = {photo.path.parent for photo in found.photos}
    note_unlabelled(
        [path for path in pictures.all() if path.parent in folders],
        [*files, *all_masks],
        found,
        "it has no XML file and no masks, so it may not be labelled yet",
        lambda path: split_in(splits, path),
    )
    return found


def _photo(
    root: ElementTree.Element, file: Path, splits: dict[str, str], pictures: Pictures
) -> Photo:
    name = (root.findtext("filename") or "").strip()
    try:  # the XML's own name first: who renames both forgets what is written inside
        path = _of_name(file, pictures)
    except Unusable:
        path = pictures.find(name, file.parent)
    split = split_in(splits, file)
    size = [root.findtext(f"size/{side}") for side in ("height", "width")]
    whole = all(side and side.strip().isdigit() and int(side) > 0 for side in size)
    sides = (int(size[0] or 0), int(size[1] or 0)) if whole else None
    return Photo(path, file, split, sides)


def _of_name(file: Path, pictures: Pictures) -> Path:
    """The picture with the name of a file: with the folders that it lies in, or else without."""
    try:
        return pictures.only(name_of, name_of(file))
    except Unusable:
        return pictures.only(stem_of, file.stem)


def _count_from_zero(roots: list[ElementTree.Element]) -> bool:
    """Whether boxes count from 0: one begins there, or all are written with a decimal point."""
    texts = [
        [box.findtext(key) or "" for key in CORNERS]
        for root in roots
        for box in root.findall("object/bndbox")
    ]
    try:
        starts = [min(numbers(corners[:2])) for corners in texts]
    except Unusable:
        starts = []  # each object says so for itself
    decimals = bool(texts) and all("." in text for corners in texts for text in corners)
    return decimals or min(starts, default=1) < 1


def _objects(root: ElementTree.Element, photo: Photo, first: int, found: Found) -> list[Labelled]:
    objects = []
    for number, element in enumerate(root.findall("object"), start=1):
        where = f"object {number}"
        try:
            label = label_of(element.findtext("name"))
            box = element.find("bndbox")
            if box is None:
                raise Unusable("it has no bndbox")
            x1, y1, x2, y2 = numbers([box.findtext(key) for key in CORNERS])
            outline = [_polygon(each) for each in element.findall("polygon")]
            place = None if outline else (x1 - first, y1 - first, x2, y2)
            objects.append(Labelled(label, where, place, outline or None))
        except Unusable as problem:
            found.lose(photo, f"{where} ({element.findtext('name')!r})", problem)
    return objects


def _polygon(element: ElementTree.Element) -> list[float]:
    """Roboflow's <polygon>: <x1/><y1/><x2/><y2/> … lie on the picture's own edges, counted from 0."""
    count = len(element) // 2
    if count < 3:
        raise Unusable(f"a polygon of {count} points; it needs three")
    keys = [f"{axis}{i}" for i in range(1, count + 1) for axis in "xy"]
    return numbers([element.findtext(key) for key in keys])


def _add_outlines(photo: Photo, file: Path, found: Found) -> None:
    """Give objects the masks of the picture in which their numbers are the colours."""
    try:
        photo.size = photo.size or image_size(photo.path)
        masks = objects_in(numbers_in(file, photo.size))
    except (Unusable, InputError) as error:
        found.leave(file, "its masks", str(error))
        return
    by_number = {int(each.where.split()[-1]): each for each in photo.objects}
    for number, mask in masks.items():
        each = by_number.get(number)
        if each is None:
            problem = Unusable(f"there is no object {number} in {photo.labels.name}")
            found.lose(photo, f"mask {number}", problem, file)
        elif each.box and _overlap(each.box, boxes_of_masks(mask[None])[0].tolist()) < 0.5:
            found.leave(file, f"mask {number}", f"it does not lie in the box of object {number}")
        else:
            each.outline = encode(mask)


def _masks_alone(
    file: Path, splits: dict[str, str], pictures: Pictures, names: dict[int, str]
) -> Photo:
    """A photograph whose objects have masks and no XML; their categories are in SegmentationClass."""
    if not names:
        raise Unusable(
            f"neither Annotations/{file.stem}.xml nor labelmap.txt says what its objects are"
        )
    photo = Photo(_of_name(file, pictures), file, split_in(splits, file))
    photo.size = image_size(photo.path)
    classes = numbers_in(classes_of(file), photo.size)
    photo.objects = labelled(objects_in(numbers_in(file, photo.size)), classes, names)
    return photo


def _overlap(a: tuple[float, float, float, float], b: list[float]) -> float:
    """The IoU of two boxes x1, y1, x2, y2."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / max(areas - shared, 1e-9)
