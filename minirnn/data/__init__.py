"""Data: COCO files, made-up data sets, augmentation, and the loader.

CocoDataset or generate → (Augmentation) → Loader → a batch, list of Sample
"""

from minirnn.data.augmentation import Augmentation
from minirnn.data.coco import CocoDataset
from minirnn.data.colour import color_jitter
from minirnn.data.copy_paste import paste_objects
from minirnn.data.cropping import crop, random_crop
from minirnn.data.loader import Loader
from minirnn.data.synthetic import generate, make_scene
from minirnn.data.transforms import horizontal_flip, vertical_flip
from minirnn.data.zoom import random_zoom
from minirnn.errors import WorkerError
from minirnn.images import read_image
from minirnn.structures import Detections, Sample, Target

__all__ = [
    "Augmentation",
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
    "paste_objects",
    "random_crop",
    "random_zoom",
    "read_image",
    "vertical_flip",
]
