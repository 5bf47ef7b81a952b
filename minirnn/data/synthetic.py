"""Made-up data sets on disk, in COCO's format: annotations, pictures, and what they were made from.

    folder/annotations/instances_train.json, instances_val.json
    folder/train/000001.jpg …, folder/val/000001.jpg …
    folder/dataset.json                         the settings and the generator's version

What the pictures show is described in `scenes`. Picture i of a split depends only on the level, the
picture's size, the seed, the split and i: neither on the number of pictures nor of processes.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minirnn.data.scenes import LEVELS, Scene, categories_of, make_scene, window_of
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError
from minirnn.files.folder import alone_in, remove_abandoned
from minirnn.kernels import thread_count
from minirnn.masks import encode
from minirnn.progress import Bar

# Goes up when the same settings give other pictures, so that old sets are not taken for new ones.
VERSION = 1
MARKER = "dataset.json"
FORMAT = "minirnn synthetic data set"
SPLITS = ("train", "val")
# Pictures that a process makes at a time.
CHUNK = 32

__all__ = ["VERSION", "Settings", "generate", "make_scene"]


@dataclass(frozen=True)
class Settings:
    """What decides a set's content. Two sets of the same settings and version are equal."""

    level: str = "easy"
    train: int = 8000
    val: int = 200
    size: int = 128
    seed: int = 0


def generate(
    folder: str | os.PathLike,
    *,
    level: str = "easy",
    train: int = 8000,
    val: int = 200,
    size: int = 128,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Make a data set, or leave it as it is if the folder already holds the one asked for.

    The set is written beside `folder` and put in its place when it is whole, so a set that can be
    seen is complete. An older generated set in `folder` is replaced; any other folder with
    something in it is refused.

    Args:
        folder: where it goes. Read it with `CocoDataset.from_folder(folder, "train")`.
        level: "easy", "hard" or "people"; see `scenes.make_scene`.
        train: number of pictures to train on.
        val: number of pictures to evaluate on.
        size: height and width of the pictures, in pixels; at least 32.
        seed: decides everything; 0 or more.
        workers: number of processes; None is one for each core, 0 is none but this one.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        InputError: an argument is out of range, the folder holds something else, or a picture cannot be
            written.
        OSError: another file cannot be written.
    """
    folder = Path(folder)
    settings = Settings(level, train, val, size, seed)
    _check(settings)
    if _same_set(folder, settings):
        return folder
    _check_replaceable(folder)

    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent.glob(f".{glob.escape(folder.name)}.*.unfinished"))
    unfinished = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.unfinished"
    with alone_in(unfinished):
        try:
            _write(unfinished, settings, thread_count() if workers is None else workers, progress)
            _put_in_place(unfinished, folder)
        except OSError as error:
            error.filename = error.filename or os.fspath(folder)  # a full disk names no file
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def holds_another_set(folder: str | os.PathLike, **settings: Any) -> bool:
    """Whether a folder holds a set that `generate` has made, and another one than it would make now.

    Args:
        folder: as of `generate`.
        settings: level, train, val, size and seed, as of `generate`, which need not be all.
    """
    record = _read_record(Path(folder))
    return record is not None and record != _record(Settings(**settings))


def _check(settings: Settings) -> None:
    if settings.level not in LEVELS:
        raise InputError(f"level is {settings.level!r}; it should be one of {', '.join(LEVELS)}")
    least = {"train": 1, "val": 1, "size": 32, "seed": 0}
    for name, value in least.items():
        if getattr(settings, name) < value:
            raise InputError(f"{name} is {getattr(settings, name)}; it should be at least {value}")


def _record(settings: Settings) -> dict:
    return {"format": FORMAT, "version": VERSION, "settings": asdict(settings)}


def _read_record(folder: Path) -> dict | None:
    """What `dataset.json` says, or None where there is no generated set."""
    try:
        record = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def _same_set(folder: Path, settings: Settings) -> bool:
    """Whether the folder holds this set with all its files."""
    if _read_record(folder) != _record(settings):
        return False
    return all(
        (folder / "annotations" / f"instances_{split}.json").is_file()
        and sum(1 for _ in (folder / split).glob("*.jpg")) == getattr(settings, split)
        for split in SPLITS
    )


def _check_replaceable(folder: Path) -> None:
    """Raise if the folder holds anything that `generate` has not put there."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is not a folder; nothing was written")
    inside = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if not inside:
        return
    if _read_record(folder) is None:
        raise InputError(f"{folder} is not empty and holds no generated set; nothing was written")
    others = inside - {MARKER, "annotations", *SPLITS}
    if others:
        raise InputError(
            f"{folder} holds another generated set and, beside it, {', '.join(sorted(others))}; "
            "nothing was written"
        )


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Rename the finished set to its name; what was there goes only once the new one is whole."""
    old = unfinished.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, settings: Settings, workers: int, progress: bool) -> None:
    for name in (*SPLITS, "annotations"):
        (folder / name).mkdir()
    chunks = [
        (split, start, min(start + CHUNK, getattr(settings, split)))
        for split in SPLITS
        for start in range(0, getattr(settings, split), CHUNK)
    ]
    content: dict[str, dict[str, list]] = {s: {"images": [], "annotations": []} for s in SPLITS}
    maker = _ChunkMaker(folder, settings)
    total = settings.train + settings.val
    with Bar(total=total, unit=" images", desc="generating", disable=not progress) as bar:
        for (split, start, stop), records in zip(
            chunks, _made(maker, chunks, workers), strict=True
        ):
            for image, annotations in records:
                content[split]["images"].append(image)
                for annotation in annotations:
                    # From 1: pycocotools takes a match with annotation 0 for no match.
                    number = len(content[split]["annotations"]) + 1
                    content[split]["annotations"].append({"id": number, **annotation})
            bar.update(stop - start)
    for split in SPLITS:
        file = {
            "info": {
                "description": f"{FORMAT}, {settings.level}, {split}",
                "version": str(VERSION),
            },
            "licenses": [],
            "categories": categories_of(settings.level),
            **content[split],
        }
        path = folder / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(file), encoding="utf-8")
    (folder / MARKER).write_text(json.dumps(_record(settings), indent=2) + "\n", encoding="utf-8")


def _made(maker: _ChunkMaker, chunks: list, workers: int) -> Iterator[list]:
    """The chunks' records, in order."""
    workers = min(workers, len(chunks))
    if workers < 2:
        yield from map(maker, chunks)
        return
    with WorkerPool(maker, workers) as pool:
        waiting: deque[Future] = deque()
        for k in range(len(chunks)):
            for further in range(k + len(waiting), min(k + 4 * workers, len(chunks))):
                waiting.append(pool.submit(chunks[further]))
            yield pool.result(waiting.popleft(), timeout=600, what=f"chunk {chunks[k]}")


@dataclass(frozen=True)
class _ChunkMaker:
    """Makes some pictures, writes their files, and returns their records."""

    folder: Path
    settings: Settings

    def __call__(self, chunk: tuple[str, int, int]) -> list[tuple[dict, list[dict]]]:
        split, start, stop = chunk
        return [self._make(split, number) for number in range(start, stop)]

    def _make(self, split: str, number: int) -> tuple[dict, list[dict]]:
        size = self.settings.size
        rng = np.random.default_rng([self.settings.seed, SPLITS.index(split), number])
        scene = make_scene(rng, self.settings.level, size)
        image_id = number + 1
        name = f"{image_id:06d}.jpg"
        # 4:4:4 (subsampling 0): at half the resolution, colours would run over the small shapes.
        path = self.folder / split / name
        try:
            Image.fromarray(scene.image).save(path, quality=95, subsampling=0)
        except OSError as error:  # from a helper process, only an InputError comes as it is
            message = f"{path}: cannot be written: {error.strerror or error}"
            raise InputError(message) from error
        image = {"id": image_id, "file_name": name, "height": size, "width": size}
        return image, _annotations(scene, image_id)


def _annotations(scene: Scene, image_id: int) -> list[dict]:
    """The scene's instances in COCO's format, but for their ids."""
    annotations = []
    for instance in scene.instances:
        rows, columns = window_of(instance.mask)
        annotation = {
            "image_id": image_id,
            "category_id": instance.category_id,
            "bbox": [
                *(columns.start, rows.start),
                *(columns.stop - columns.start, rows.stop - rows.start),
            ],
            "area": int(instance.mask.sum()),
            "iscrowd": 0,
            "segmentation": encode(instance.mask),
        }
        if instance.keypoints is not None:
            annotation["keypoints"] = instance.keypoints.ravel().tolist()
            annotation["num_keypoints"] = int((instance.keypoints[:, 2] > 0).sum())
        annotations.append(annotation)
    return annotations
