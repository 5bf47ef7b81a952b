"""Data: COCO files, made-up data sets, augmentation, and the loader.

CocoDataset or generate → (horizontal_flip, random_crop, color_jitter) → Loader → a batch, list of Sample
"""

from minirnn.data.coco import CocoDataset
from minirnn.data.colour import color_jitter
from minirnn.data.loader import Loader
from minirnn.data.synthetic import generate, make_scene
from minirnn.data.transforms import crop, horizontal_flip, random_crop, vertical_flip
from minirnn.errors import WorkerError
from minirnn.images import read_image
from minirnn.structures import Detections, Sample, Target

__all__ = [
    "CocoDataset",
    "Detections",
    "Loader",
    "Sample",
    "Target",
    "WorkerError",
    "color_jitter",
    "crop",
    "generate",
    "horizontal_flip",
    "make_scene",
    "random_crop",
    "read_image",
    "vertical_flip",
]
