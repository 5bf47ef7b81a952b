"""A made-up COCO and a server for it on this machine, which misbehaves where a test says so."""

from __future__ import annotations

import collections
import contextlib
import http.server
import io
import json
import re
import threading
import time
import zipfile

import numpy as np
from PIL import Image

from minirnn.data.coco_download import choose_list
from minirnn.data.id_list import IdList

NAMES = {1: "person", 17: "cat", 18: "dog", 44: "bottle"}
#: Which categories each image shows; every third one a person and nothing else.
SHOWN = [(1,), (1, 17), (1, 18), (1,), (18,), (1, 44), (1,), (17, 18), (44,)] * 4


def jpeg(number: int, size: tuple[int, int] = (48, 40)) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def made_up(split: str = "val2017") -> tuple[dict, dict, dict[str, bytes]]:
    """The contents of instances_….json and person_keypoints_….json, and each address's image."""
    images, annotations, files = [], [], {}
    for number, shown in enumerate(SHOWN, start=1):
        name = f"{37 * number:012d}.jpg"
        images.append(
            {
                "id": 37 * number,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/{split}/{name}",
                "flickr_url": f"http://farm.example/{number}_z.jpg",
                "license": 1 + number % 2,
                "height": 40,
                "width": 48,
            }
        )
        files[f"/{split}/{name}"] = jpeg(number)
        for k, category in enumerate(shown):
            annotations.append(annotation(len(annotations) + 1, 37 * number, category, 5 * k))
    # What COCO's own files hold, too: a crowd of dogs where there is no other dog, and a box without area.
    crowd = {"size": [40, 48], "counts": [0, 400, 40 * 48 - 400]}
    annotations.append(
        {**annotation(900, 37, 18, 0), "segmentation": crowd, "iscrowd": 1, "bbox": [0, 0, 10, 40]}
    )
    annotations.append({**annotation(901, 37, 17, 0), "bbox": [3, 3, 0, 7]})
    head = {
        "info": {"description": "a made-up COCO", "year": 2017},
        "licenses": [{"id": 1, "name": "By", "url": "u"}, {"id": 2, "name": "By-NC", "url": "v"}],
        "images": images,
    }
    categories = [{"id": i, "name": name, "supercategory": "all"} for i, name in NAMES.items()]
    people = [
        {**a, "keypoints": [20, 20, 2] * 3, "num_keypoints": 3}
        for a in annotations
        if a["category_id"] == 1
    ]
    points = {**categories[0], "keypoints": ["nose", "ear", "knee"], "skeleton": [[1, 2]]}
    return (
        {**head, "annotations": annotations, "categories": categories},
        {**head, "annotations": people, "categories": [points]},
        files,
    )


def annotation(number: int, image_id: int, category: int, left: int) -> dict:
    x, y, w, h = 2 + left, 3, 20, 25
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": [x, y, w, h],
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    }


def archive_of(**members: dict) -> bytes:
    """The bytes of a zip like COCO's; `instances_val2017={…}` is annotations/instances_val2017.json."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"annotations/{name}.json", json.dumps(content))
    return file.getvalue()


INSTANCES, PEOPLE, IMAGES = made_up()


def wanted(count=12, names=("person", "cat", "dog"), seed=0) -> IdList:
    return choose_list(INSTANCES, "val2017", names=names, count=count, seed=seed)


def shown_by(ids) -> collections.Counter:
    """In how many of these images each category is."""
    by_image = {37 * number: shown for number, shown in enumerate(SHOWN, start=1)}
    return collections.Counter(category for i in ids for category in by_image[i])


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path, with Range.

    `plan[path]` lists how the next requests for the path are answered; then all is well. An entry is a
    status to fail with, (status, headers), or a word:

    - "drop": half of what was asked for, and the connection ends.
    - "byte": one byte of what was asked for, and the connection ends.
    - "cut": half of the file, whose length is given as if that were all of it.
    - "page": an HTML page in place of the file.
    - "small": a picture of another size.
    - "slow": in twenty pieces with 5 ms between; `slow` = True answers everything so.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.plan: dict[str, list] = collections.defaultdict(list)
        self.slow = False
        self.requests: list[tuple[str, str | None]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked_for(self, path: str) -> list[str | None]:
        """The Range of each request for a path."""
        return [asked for requested, asked in self.requests if requested == path]

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of the tests


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append((self.path, self.headers.get("Range")))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            plan = server.plan[self.path]
            entry = plan.pop(0) if plan else "slow" if server.slow else "whole"
        self.counted = True
        try:
            self._answer(entry)
        finally:
            self._leave()

    def _leave(self):
        with self.server.lock:
            self.server.at_once -= self.counted
            self.counted = False

    def _answer(self, entry):
        content = self.server.files.get(self.path)
        status, headers = entry if isinstance(entry, tuple) else (entry, {})
        if isinstance(status, int) or content is None:
            self.send_response(status if isinstance(status, int) else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        if entry == "page":
            content = b"<!doctype html><title>Please log in</title>" + b" " * 4000
        elif entry == "small":
            content = jpeg(0, (24, 20))
        elif entry == "cut":
            content = content[: len(content) // 2]
        asked = self.headers.get("Range")
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        body = content[begin:]
        if entry == "drop":
            body = body[: len(body) // 2]
        elif entry == "byte":
            body = body[:1]
        pieces, pause = {"slow": (20, 0.005), "trickle": (100, 0.03)}.get(entry, (1, 0))
        step = -(-len(body) // pieces)
        for start in range(0, len(body), step):
            time.sleep(pause)
            if start + step >= len(body):
                self._leave()  # before the client knows that it has all
            self.wfile.write(body[start : start + step])

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(files: dict[str, bytes]):
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
