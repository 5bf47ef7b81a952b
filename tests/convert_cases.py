"""Made-up scenes, and folders of labels of them as the tools write them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import label as components

from minirnn.data.scenes import LEVELS, make_scene, window_of

NAMES = LEVELS["hard"].categories
SIZE = 96


@dataclass
class Thing:
    """An object: its name, its pixels, and its outline along the edges of these pixels."""

    name: str
    mask: np.ndarray

    @property
    def polygons(self) -> list[list[float]]:
        return outlines(self.mask)

    @property
    def box(self) -> tuple[int, int, int, int]:
        rows, columns = window_of(self.mask)
        return columns.start, rows.start, columns.stop, rows.stop


@dataclass
class Picture:
    name: str
    image: np.ndarray
    things: list[Thing]


def pictures(count: int = 4, *, one_piece: bool = False, size: int = SIZE) -> list[Picture]:
    """Scenes, wider than high, whose objects have no holes (a polygon has none).

    The first has an object in several pieces, unless `one_piece`.
    """
    height = size * 5 // 6
    found: list[Picture] = []
    for seed in range(10_000):
        scene = make_scene(np.random.default_rng(seed), "hard", size)
        scene.instances = [i for i in scene.instances if i.mask[:height].sum() >= 30]
        masks = [instance.mask[:height] for instance in scene.instances]
        pieces = [components(mask)[1] for mask in masks]
        if not masks or any(components(~mask, np.ones((3, 3)))[1] > 1 for mask in masks):
            continue
        if max(pieces) > 1 if one_piece or found else max(pieces) == 1:
            continue
        names = [NAMES[instance.category_id - 1] for instance in scene.instances]
        things = [Thing(name, mask) for name, mask in zip(names, masks, strict=True)]
        found.append(Picture(f"p{len(found)}.png", scene.image[:height], things))
        if len(found) == count:
            return found
    raise AssertionError("no such scenes")


def outlines(mask: np.ndarray) -> list[list[float]]:
    """The outline of each piece of a mask without holes, along the edges of its pixels."""
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    padded = np.pad(mask, 1)
    for y, x in zip(*np.nonzero(mask), strict=True):
        y, x = int(y), int(x)
        for outside, start, end in (
            (padded[y, x + 1], (x, y), (x + 1, y)),
            (padded[y + 1, x + 2], (x + 1, y), (x + 1, y + 1)),
            (padded[y + 2, x + 1], (x + 1, y + 1), (x, y + 1)),
            (padded[y + 1, x], (x, y + 1), (x, y)),
        ):
            if not outside:
                steps.setdefault(start, []).append(end)
    result = []
    while steps:
        start = place = next(iter(steps))
        before, polygon = (0, 0), []
        while not polygon or place != start:
            ways = steps[place]
            # Where two pieces touch at a corner, turn right and stay with one's own.
            right = (place[0] - before[1], place[1] + before[0])
            way = ways.pop(ways.index(right) if right in ways else 0)
            if not ways:
                del steps[place]
            step = (way[0] - place[0], way[1] - place[1])
            if step != before:
                polygon += [float(place[0]), float(place[1])]
            place, before = way, step
        result.append(polygon)
    return result


def save(picture: Picture, folder: Path) -> Path:
    (folder / picture.name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.image).save(folder / picture.name)
    return folder / picture.name


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def pairs(polygon: list[float]) -> list[list[float]]:
    return np.reshape(polygon, (-1, 2)).tolist()


# ---------------------------------------------------------------- LabelMe


def labelme_shape(name: str, points: list, kind: str = "polygon", **extra: object) -> dict:
    return {
        **{"label": name, "points": points, "group_id": None, "description": ""},
        **{"shape_type": kind, "flags": {}, "mask": None, **extra},
    }


def labelme_file(folder: Path, picture: Picture, shapes: list, **extra: object) -> None:
    height, width = picture.image.shape[:2]
    content = {
        **{"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": picture.name},
        **{"imageData": None, "imageHeight": height, "imageWidth": width, **extra},
    }
    write_json((folder / picture.name).with_suffix(".json"), content)


def labelme(folder: Path, scenes: list[Picture]) -> None:
    for picture in scenes:
        save(picture, folder)
        shapes = []
        for number, thing in enumerate(picture.things):
            group = number if len(thing.polygons) > 1 else None
            shapes += [labelme_shape(thing.name, pairs(p), group_id=group) for p in thing.polygons]
        labelme_file(folder, picture, shapes)


def labelme_masks(folder: Path, scenes: list[Picture]) -> None:
    for picture in scenes:
        save(picture, folder)
        shapes = []
        for thing in picture.things:
            x1, y1, x2, y2 = thing.box
            png = io.BytesIO()
            Image.fromarray(thing.mask[y1:y2, x1:x2].astype(np.uint8) * 255).save(png, "PNG")
            text = base64.b64encode(png.getvalue()).decode()
            corners = [[x1, y1], [x2 - 1, y2 - 1]]
            shapes.append(labelme_shape(thing.name, corners, "mask", mask=text))
        labelme_file(folder, picture, shapes)


# ---------------------------------------------------------------- YOLO


def yolo_line(thing: Thing, *, outline: bool) -> str:
    height, width = thing.mask.shape
    if outline:
        numbers = [v / (height if i % 2 else width) for i, v in enumerate(thing.polygons[0])]
    else:
        x1, y1, x2, y2 = thing.box
        numbers = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
        numbers += [(x2 - x1) / width, (y2 - y1) / height]
    return f"{NAMES.index(thing.name)} " + " ".join(f"{number:.6f}" for number in numbers)


def yolo(folder: Path, scenes: list[Picture], *, outline: bool = True) -> None:
    """Ultralytics' layout, with paths of somebody else's machine."""
    for number, picture in enumerate(scenes):
        split = "val" if number == 0 else "train"
        save(picture, folder / "images" / split)
        labels = folder / "labels" / split / picture.name.replace(".png", ".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("\n".join(yolo_line(t, outline=outline) for t in picture.things) + "\n")
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(NAMES))
    text = f"path: /home/somebody/data\ntrain: images/train\nval: images/val\nnames:\n{names}\n"
    (folder / "data.yaml").write_text(text)


def yolo_boxes(folder: Path, scenes: list[Picture]) -> None:
    yolo(folder, scenes, outline=False)


def roboflow_yolo(folder: Path, scenes: list[Picture]) -> None:
    """Roboflow's: a folder for each split, and paths that begin a folder too high."""
    for number, picture in enumerate(scenes):
        split = folder / ("valid" if number == 0 else "train")
        save(picture, split / "images")
        labels = split / "labels" / picture.name.replace(".png", ".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("\n".join(yolo_line(t, outline=True) for t in picture.things))
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\n"
    (folder / "data.yaml").write_text(f"{text}nc: {len(NAMES)}\nnames: {list(NAMES)}\n")


# ---------------------------------------------------------------- COCO's JSON


def coco_content(scenes: Iterable[Picture], names: list[dict], prefix: str = "") -> dict:
    """With boxes, outlines, and ids from 0."""
    content: dict[str, list] = {"images": [], "annotations": [], "categories": names}
    ids = {record["name"]: record["id"] for record in names}
    for number, picture in enumerate(scenes):
        height, width = picture.image.shape[:2]
        record = {
            "id": number,
            "file_name": prefix + picture.name,
            "height": height,
            "width": width,
        }
        content["images"].append({**record, "license": 0, "date_captured": "", "coco_url": ""})
        for thing in picture.things:
            x1, y1, x2, y2 = thing.box
            content["annotations"].append(
                {
                    **{"id": len(content["annotations"]), "image_id": number, "iscrowd": 0},
                    **{"category_id": ids[thing.name], "bbox": [x1, y1, x2 - x1, y2 - y1]},
                    **{"segmentation": thing.polygons, "area": int(thing.mask.sum())},
                }
            )
    return content


def plain_categories(first: int) -> list[dict]:
    return [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate(NAMES, start=first)]


def cvat_coco(folder: Path, scenes: list[Picture], subset: str = "default") -> None:
    """ "COCO 1.0" of a task: one subset, "default"; the first object was made with the brush."""
    for picture in scenes:
        save(picture, folder / "images" / subset)
    content = coco_content(scenes, plain_categories(1))
    runs = np.diff(np.flatnonzero(np.diff(np.r_[2, scenes[0].things[0].mask.T.ravel(), 2])))
    first_on = bool(scenes[0].things[0].mask[0, 0])
    counts = [0] * first_on + runs.tolist()
    size = list(scenes[0].things[0].mask.shape)
    content["annotations"][0] |= {"segmentation": {"counts": counts, "size": size}, "iscrowd": 1}
    for annotation in content["annotations"]:
        annotation["attributes"] = {"occluded": False, "colour": "red"}
    write_json(folder / "annotations" / f"instances_{subset}.json", content)


def roboflow(folder: Path, scenes: list[Picture]) -> None:
    """A category 0 that groups the others."""
    names = [{"id": 0, "name": "shapes", "supercategory": "none"}]
    names += [{**record, "supercategory": "shapes"} for record in plain_categories(1)]
    for split, part in (("valid", scenes[:1]), ("train", scenes[1:])):
        for picture in part:
            save(picture, folder / split)
        write_json(folder / split / "_annotations.coco.json", coco_content(part, names))


def labelstudio_coco(folder: Path, scenes: list[Picture]) -> None:
    """Categories from 0, and Windows' separators in the names."""
    for picture in scenes:
        save(picture, folder / "images")
    write_json(folder / "result.json", coco_content(scenes, plain_categories(0), "images\\"))


# ---------------------------------------------------------------- CVAT's XML


def cvat_xml_file(folder: Path, images: str) -> None:
    labels = "".join(f"<label><name>{n}</name><attributes/></label>" for n in NAMES)
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{images}</annotations>"
    )


def cvat_image(picture: Picture, shapes: str, number: int = 0) -> str:
    height, width = picture.image.shape[:2]
    name = f'id="{number}" name="{picture.name}" subset="default"'
    return f'<image {name} width="{width}" height="{height}">{shapes}</image>'


def cvat_mask(thing: Thing) -> str:
    x1, y1, x2, y2 = thing.box
    flat = thing.mask[y1:y2, x1:x2].ravel()
    ends = np.flatnonzero(np.diff(np.r_[2, flat.astype(int), 2]))
    runs = [0] * bool(flat[0]) + np.diff(ends).tolist()
    place = f'left="{x1}" top="{y1}" width="{x2 - x1}" height="{y2 - y1}"'
    text = ", ".join(map(str, runs))
    return f'<mask label="{thing.name}" source="manual" rle="{text}" {place} z_order="0"></mask>'


def cvat_xml(folder: Path, scenes: list[Picture]) -> None:
    """Polygons (grouped where there are several), and masks in the second picture."""
    images = ""
    for number, picture in enumerate(scenes):
        save(picture, folder / "images")
        shapes = ""
        for k, thing in enumerate(picture.things, start=1):
            if number == 1:
                shapes += cvat_mask(thing)
                continue
            group = f'group_id="{k}"' if len(thing.polygons) > 1 else ""
            for polygon in thing.polygons:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs(polygon))
                shapes += f'<polygon label="{thing.name}" points="{points}" {group}>'
                shapes += '<attribute name="colour">red</attribute></polygon>'
        images += cvat_image(picture, shapes, number)
    cvat_xml_file(folder, images)


# ---------------------------------------------------------------- Label Studio


def brush(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask, as its pixels' red, green, blue and opacity."""
    values = np.repeat(mask.ravel(), 4).astype(np.uint8) * 255
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    ends = np.r_[0, np.flatnonzero(np.diff(values.astype(int))) + 1, len(values)]
    for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        while start < stop:
            length = min(stop - start, 2**16)
            kind = next(k for k, size in enumerate((3, 4, 8, 16)) if length <= 2**size)
            size = (3, 4, 8, 16)[kind]
            # Short runs are written out, so that both forms are there.
            if length <= 2:
                bits += f"0{kind:02b}{length - 1:0{size}b}" + f"{values[start]:08b}" * length
            else:
                bits += f"1{kind:02b}{length - 1:0{size}b}{values[start]:08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def ls_result(picture: Picture, kind: str, name: str, value: dict) -> dict:
    height, width = picture.image.shape[:2]
    return {
        **{"id": f"r{np.random.default_rng(0).integers(9)}{name}{len(str(value))}", "type": kind},
        **{"from_name": "label", "to_name": "image", "origin": "manual", "image_rotation": 0},
        **{"original_width": width, "original_height": height},
        "value": {**value, kind: [name]},
    }


def ls_task(picture: Picture, results: list, number: int = 1, **extra: object) -> dict:
    annotation = {"id": 100 + number, "was_cancelled": False, "ground_truth": False}
    return {
        **{"id": number, "file_upload": f"0a1b2c3d-{picture.name}", "predictions": []},
        "annotations": [{**annotation, "result": results, "updated_at": "2026-01-01"}],
        "data": {"image": f"/data/upload/1/0a1b2c3d-{picture.name}"},
        **extra,
    }


def labelstudio(folder: Path, scenes: list[Picture]) -> None:
    """Polygons of those in one piece, the brush for the others; pictures under their own names."""
    tasks = []
    for number, picture in enumerate(scenes, start=1):
        save(picture, folder)
        height, width = picture.image.shape[:2]
        results = []
        for thing in picture.things:
            if len(thing.polygons) > 1:
                value: dict = {"format": "rle", "rle": brush(thing.mask)}
                results.append(ls_result(picture, "brushlabels", thing.name, value))
                continue
            points = [[100 * x / width, 100 * y / height] for x, y in pairs(thing.polygons[0])]
            value = {"points": points, "closed": True}
            results.append(ls_result(picture, "polygonlabels", thing.name, value))
        tasks.append(ls_task(picture, results, number))
    write_json(folder / "project-1-at-2026-01-01.json", tasks)


# ---------------------------------------------------------------- VOC


def voc_xml(picture: Picture, objects: str) -> str:
    height, width = picture.image.shape[:2]
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return (
        f"<annotation><folder>VOC</folder><filename>{picture.name}</filename>{size}"
        f"<segmented>0</segmented>{objects}</annotation>"
    )


def voc_object(name: str, box: tuple[float, ...], first: int = 1) -> str:
    corners = (box[0] + first, box[1] + first, box[2], box[3])
    keys = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(f"<{k}>{v}</{k}>" for k, v in zip(keys, corners, strict=True))
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{inner}</bndbox></object>"


def voc(folder: Path, scenes: list[Picture], *, masks: bool = True) -> None:
    for kind in ("Annotations", "SegmentationObject", "ImageSets/Main"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for picture in scenes:
        save(picture, folder / "JPEGImages")
        objects = "".join(voc_object(t.name, t.box) for t in picture.things)
        stem = picture.name.removesuffix(".png")
        (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(picture, objects))
        if masks:
            numbered = np.zeros(picture.image.shape[:2], np.uint8)
            for number, thing in enumerate(picture.things, start=1):
                numbered[thing.mask] = number
            image = Image.fromarray(numbered, "P")
            image.putpalette(list(range(256)) * 3)
            image.save(folder / "SegmentationObject" / f"{stem}.png")
    stems = [picture.name.removesuffix(".png") for picture in scenes]
    (folder / "ImageSets" / "Main" / "val.txt").write_text(f"{stems[0]}\n")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("\n".join(stems[1:]) + "\n")


def voc_masks_alone(folder: Path, scenes: list[Picture], *, colours: bool = True) -> None:
    """CVAT's "Segmentation mask 1.1": colours in place of a palette, and no XML."""
    from minirnn.data.convert.voc_masks import colour_of

    for picture in scenes:
        save(picture, folder / "JPEGImages")
        height, width = picture.image.shape[:2]
        painted = {k: np.zeros((height, width, 3), np.uint8) for k in ("Object", "Class")}
        for number, thing in enumerate(picture.things, start=1):
            painted["Object"][thing.mask] = colour_of(number)
            painted["Class"][thing.mask] = class_colour(thing.name, colours)
        for kind, image in painted.items():
            (folder / f"Segmentation{kind}").mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / f"Segmentation{kind}" / picture.name)
    lines = [
        "# label:color_rgb:parts:actions",
        "background:0,0,0::" if colours else "background:::",
    ]
    for name in NAMES:
        rgb = ",".join(map(str, class_colour(name, colours))) if colours else ""
        lines.append(f"{name}:{rgb}::")
    (folder / "labelmap.txt").write_text("\n".join(lines))


def class_colour(name: str, own: bool) -> tuple[int, int, int]:
    """A colour that is not in VOC's palette, or the one of the category's number there."""
    from minirnn.data.convert.voc_masks import colour_of

    number = NAMES.index(name) + 1
    return (10 + number, 200, 33) if own else colour_of(number)


def voc_boxes(folder: Path, scenes: list[Picture]) -> None:
    voc(folder, scenes, masks=False)
