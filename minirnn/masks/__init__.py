"""Masks: cut out as targets, pasted back as answers, written as runs, filled from polygons.

Training goes from the image to the RoI (`crop`), inference from the RoI to the image (`paste`), and
files hold neither: they hold run lengths (`encode`, `decode`) or polygons (`segmentation_to_mask`).
"""

from minirnn.masks.boxes import boxes_of_masks
from minirnn.masks.crop import crop
from minirnn.masks.paste import paste
from minirnn.masks.polygons import polygons_to_mask, segmentation_to_mask, segmentation_to_rle
from minirnn.masks.rle import area, decode, encode, encode_many
from minirnn.masks.threshold import best_thresholds

__all__ = [
    "area",
    "best_thresholds",
    "boxes_of_masks",
    "crop",
    "decode",
    "encode",
    "encode_many",
    "paste",
    "polygons_to_mask",
    "segmentation_to_mask",
    "segmentation_to_rle",
]
