"""The X-ray as one HTML page of its own: every stage of one image, and the way back of each detection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.backend import to_host
from minirnn.explain.fate import Fate
from minirnn.explain.pictures import heat_url, mask_url, photograph_url
from minirnn.explain.trace import Chain, Trace

MOST_DETECTIONS = 60
MOST_PROPOSALS = 300  # of those before the suppression, the best are drawn
MOST_CLASSES = 5

PARTS = Path(__file__).parent / "parts"
#: The lessons. A clone of the repository has them, and then the page links to them.
NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"

#: Each stage of the page: its name, the lesson that teaches it, the module where it is.
STAGES = {
    "input": ("00_pixels_and_boxes", "minirnn/transform.py"),
    "maps": ("03_feature_pyramid", "minirnn/backbones/fpn.py"),
    "objectness": ("04_anchors", "minirnn/anchors.py"),
    "proposals": ("07_proposals_and_nms", "minirnn/proposals/rpn.py"),
    "regions": ("08_roi_pool_warp_align", "minirnn/roi/pooler.py"),
    "classes": ("09_heads", "minirnn/heads/box.py"),
    "masks": ("10_paste_and_run_lengths", "minirnn/masks/paste.py"),
}


def xray_page(trace: Trace, fates: Sequence[tuple[Any, int, Fate]] = (), title: str = "") -> str:
    """The page as text.

    Args:
        trace: of the image.
        fates: objects that should have been found: box, label, and what became of each.
        title: the image's name.
    """
    data = {
        "title": title,
        "height": trace.image.shape[0],
        "width": trace.image.shape[1],
        "photograph": photograph_url(trace.image),
        "stages": STAGES,
        "lessons": NOTEBOOKS.as_uri() if NOTEBOOKS.is_dir() else "",
        "maps": _maps(trace),
        "objectness": _objectness(trace),
        "before": _before(trace),
        "after": _rounded(trace.regions),
        "detections": [_detection(trace, k) for k in range(_shown(trace))],
        "found": len(trace.detections.scores),
        "fates": [_fate(trace, *each) for each in fates],
        "nms": trace.nms_iou,
    }
    page = (PARTS / "xray.html").read_text(encoding="utf-8")
    texts = {
        "/*STYLE*/": (PARTS / "xray.css").read_text(encoding="utf-8"),
        "/*SCRIPT*/": (PARTS / "xray.js").read_text(encoding="utf-8"),
        # A name of a class or a file must not end the script that it stands in.
        "/*DATA*/": json.dumps(data).replace("</", "<\\/"),
    }
    for mark, text in texts.items():
        page = page.replace(mark, text)
    return page


def _shown(trace: Trace) -> int:
    return min(len(trace.detections.scores), MOST_DETECTIONS)


def _rounded(boxes: Any) -> list[list[float]]:
    return np.round(np.asarray(boxes, dtype=float).reshape(-1, 4), 1).tolist()


def _maps(trace: Trace) -> list[dict[str, Any]]:
    """The mean strength of each map, over its channels, without the canvas's padding."""
    found = []
    for name in trace.map_names:
        array = trace.stage(name)[0]
        strength = np.abs(array).mean(axis=0)[trace.without_padding(array.shape[1:])]
        found.append(
            {"name": name, "shape": list(array.shape), "picture": heat_url(strength, least=0.0)}
        )
    return found


def _objectness(trace: Trace) -> list[dict[str, Any]]:
    """The best anchor's probability in each cell of each map."""
    rpn = trace.proposals
    if rpn is None:
        return []
    found = []
    for level, (height, width) in enumerate(trace.grids):
        own = rpn.objectness[rpn.anchor_levels == level].reshape(height, width, -1)
        inside = own.max(axis=2)[trace.without_padding((height, width))]
        name = trace.map_names[level] if level < len(trace.map_names) else f"level {level + 1}"
        found.append(
            {
                "name": name,
                "picture": heat_url(inside, 0.0, 1.0),
                "most": round(float(inside.max()), 3),
                "anchors": int(own.size),
                "taken": int((rpn.anchor_levels[rpn.before] == level).sum()),
            }
        )
    return found


def _before(trace: Trace) -> list[list[float]]:
    rpn = trace.proposals
    if rpn is None:
        return []
    order = np.argsort(-rpn.objectness[rpn.before], kind="stable")[:MOST_PROPOSALS]
    return _rounded(rpn.before_boxes[order])


def _name(trace: Trace, label: int) -> str:
    return "background" if label == 0 else trace.model.config.category(label)[1]


def _detection(trace: Trace, number: int) -> dict[str, Any]:
    chain = trace.chain(number)
    order = np.argsort(-chain.probabilities, kind="stable")[:MOST_CLASSES]
    shown = {
        "box": _rounded(chain.box)[0],
        "name": _name(trace, chain.label),
        "score": round(chain.score, 3),
        "region": _rounded(chain.region_box)[0],
        "number": chain.region,
        "level": chain.level,
        "classes": [[_name(trace, int(k)), round(float(chain.probabilities[k]), 3)] for k in order],
        "rivals": [
            [*_rounded(trace.candidates.boxes[k])[0], round(float(trace.candidates.scores[k]), 3)]
            for k in chain.rivals
        ],
    }
    return shown | _anchor(trace, chain) | _mask(trace, number)


def _anchor(trace: Trace, chain: Chain) -> dict[str, Any]:
    if chain.anchor is None or chain.anchor_box is None or chain.anchor_level is None:
        return {}
    level = chain.anchor_level
    names = trace.map_names
    return {
        "anchor": _rounded(chain.anchor_box)[0],
        "anchorLevel": names[level] if level < len(names) else f"level {level + 1}",
        "objectness": round(chain.objectness or 0.0, 3),
    }


def _mask(trace: Trace, number: int) -> dict[str, Any]:
    if trace.detections.masks is None:
        return {}
    # The stage's masks are those of the image before pasting: 28×28 for each detection.
    grid = np.asarray(to_host(trace.stages["masks"][0][number]), dtype=float)
    mask = trace.detections.masks[number]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return {"grid": heat_url(grid, 0.0, 1.0)}
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    place = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return {
        "grid": heat_url(grid, 0.0, 1.0),
        "mask": mask_url(mask[window]),
        "maskPlace": [int(edge) for edge in place],
    }


def _fate(trace: Trace, box: Any, label: int, fate: Fate) -> dict[str, Any]:
    return {
        "box": _rounded(box)[0],
        "name": _name(trace, label),
        "lost": fate.lost_at,
        "sentence": fate.sentence,
        "best": {name: round(value, 3) for name, value in fate.best.items()},
        "nearest": None if fate.box is None else _rounded(fate.box)[0],
        "by": None if fate.by is None else _rounded(fate.by)[0],
    }
