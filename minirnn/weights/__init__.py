"""Weights from files: torchvision's, .safetensors and our own, read without running code in them."""

from minirnn.weights.coco import COCO_CATEGORIES, COCO_NAMES
from minirnn.weights.contents import ArrayDescription, Description, describe
from minirnn.weights.conversion import convert
from minirnn.weights.download import FILES, download
from minirnn.weights.files import read_weights
from minirnn.weights.imagenet import IMAGENET, imagenet_file
from minirnn.weights.load import load_weights, model_from, start_from

__all__ = [
    "COCO_CATEGORIES",
    "COCO_NAMES",
    "FILES",
    "IMAGENET",
    "ArrayDescription",
    "Description",
    "convert",
    "describe",
    "download",
    "imagenet_file",
    "load_weights",
    "model_from",
    "read_weights",
    "start_from",
]
