"""A picture of every stage.

Each function returns a `matplotlib.figure.Figure` (or, where a photo is drawn on at its own
resolution, an array of pixels), and none touches pyplot: nothing is shown, kept or leaked, and no
display is needed. matplotlib takes a while to load, so the functions are looked up on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "ages_figure": "ages",
    "recomputed_figure": "ages",
    "anchors_figure": "anchors",
    "matching_figure": "anchors",
    "levels_figure": "boxes",
    "mask_target_figure": "boxes",
    "paste_figure": "masks",
    "paste_ways_figure": "masks",
    "runs_figure": "masks",
    "paste_error_figure": "boxes",
    "proposals_figure": "boxes",
    "coverage_figure": "coverage",
    "numbering_figure": "coverage",
    "shapes_figure": "coverage",
    "squares_figure": "coverage",
    "paper": "ground",
    "changes_figure": "changes",
    "curves_figure": "curves",
    "read_metrics": "curves",
    "draw_instances": "detections",
    "predictions_figure": "detections",
    "channels_figure": "receptive",
    "depth_figure": "receptive",
    "receptive_figure": "receptive",
    "convolution_figure": "convolution",
    "responses_figure": "convolution",
    "descent_figure": "graph",
    "graph_figure": "graph",
    "slope_error_figure": "graph",
    "iou_figure": "pixels",
    "pixels_figure": "pixels",
    "resize_figure": "pixels",
    "subjects_figure": "subjects",
    "write_report": "report",
    "overlaps_figure": "overlaps",
    "shares_figure": "overlaps",
    "targets_figure": "overlaps",
    "chain_figure": "xray",
    "box_cells_figure": "pyramid",
    "maps_figure": "pyramid",
    "top_down_figure": "pyramid",
    "nms_figure": "nms",
    "steps_figure": "nms",
    "code_figure": "coding",
    "pixels_and_codes_figure": "coding",
    "smooth_l1_figure": "coding",
    "footprint_figure": "roi",
    "gates_figure": "xray",
    "half_cell_figure": "roi",
    "class_masks_figure": "heads",
    "keypoint_cells_figure": "heads",
    "region_targets_figure": "heads",
    "region_verdict_figure": "heads",
    "mask_views_figure": "misalignment",
    "photo_regions_figure": "misalignment",
    "assignment_figure": "precision",
    "staircase_figure": "precision",
    "thresholds_figure": "precision",
    "tolerance_figure": "precision",
    "course_figure": "training",
    "suspects_figure": "training",
    "overlap_figure": "roi",
    "regions_figure": "roi",
    "shift_figure": "roi",
    "series_figure": "series",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
