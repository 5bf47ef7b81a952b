"""Every kind of fault: how bad it is, what it does to training, and what a repair does about it.

The names are the reasons of `Problem`. Those that stop training are found by `CocoFile` itself; the others
are found here only.
"""

from __future__ import annotations

from dataclasses import dataclass

STOPS, HARMS, NOTE = "stops", "harms", "note"
#: In the order in which they are told, and what they mean.
SEVERITIES = {
    STOPS: "training stops at it, or leaves it out with --skip-invalid",
    HARMS: "training goes on, and learns or measures something wrong",
    NOTE: "no fault: it is read as it is, but you may want to know",
}


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        severity: "stops", "harms" or "note".
        why: what it does to training.
        repair: what `--fix` does about it; "" for nothing.
    """

    severity: str
    why: str
    repair: str = ""


_OFF = "the annotation is left out"
_IMAGE_OFF = "the image and its annotations are left out"
_OTHER_NAME = (
    f"a file is taken whose name differs in capitals, accents or folder; else {_IMAGE_OFF}"
)
_OWN = "the box of its mask is taken"
_AS_CROWD = "the object stays as a crowd region over its box, about which nothing is learned"

KINDS: dict[str, Kind] = {
    # Whole files
    "file that cannot be used": Kind(STOPS, "nothing can be read from it"),
    "category ids unlike train's": Kind(
        STOPS,
        "a network of the one split cannot be measured on the other",
        "categories of train's names get train's ids, others get ids that train does not have",
    ),
    "categories that train does not have": Kind(
        STOPS,
        "a network cannot find what it was not trained on; --categories leaves them out, or give them "
        "the names that they have in train",
    ),
    # Images
    "image without an id": Kind(STOPS, "no annotation can belong to it", _IMAGE_OFF),
    "duplicate image id": Kind(
        STOPS, "annotations of the id belong to both", "the later image is left out"
    ),
    "image without a size": Kind(
        STOPS, "its boxes cannot be checked", "the size is taken from the image file"
    ),
    "image without a file": Kind(STOPS, "there is nothing to see", _IMAGE_OFF),
    "file name that leads out of the folder": Kind(
        STOPS, "a file may name no file of somebody else's", _OTHER_NAME
    ),
    "missing image file": Kind(STOPS, "there is nothing to see", _OTHER_NAME),
    "empty image file": Kind(STOPS, "there is nothing to see", _IMAGE_OFF),
    "broken image": Kind(STOPS, "it cannot be decoded to its end", _IMAGE_OFF),
    "HEIC image without its reader": Kind(
        STOPS, "pip install pillow-heif installs the reader", _IMAGE_OFF
    ),
    "image that is too large for its file": Kind(
        STOPS, "some kilobytes that unfold into gigabytes", _IMAGE_OFF
    ),
    "image of 32-bit pixels": Kind(STOPS, "nobody says what is white", _IMAGE_OFF),
    "masks that the memory cannot hold": Kind(
        STOPS,
        "each takes a byte a pixel; make the picture smaller, or cut it into tiles",
        _IMAGE_OFF,
    ),
    "image of another size": Kind(
        STOPS,
        "boxes would be in the wrong places",
        "if all annotations fit the file and its sides have another proportion: the size is corrected; if "
        "they reach beyond it and the proportion is the same: they are scaled; else the image is left out",
    ),
    # Annotations that cannot be used
    "annotation without an id": Kind(STOPS, "it cannot be named", "it gets a new id"),
    "duplicate annotation id": Kind(
        STOPS, "evaluation would take both for one", "the later one gets a new id"
    ),
    "annotation for an unknown image": Kind(STOPS, "there is no image to learn it from", _OFF),
    "unknown category": Kind(STOPS, "it has no name", _OFF),
    "iscrowd of unknown form": Kind(STOPS, "it should be 0 or 1", "it becomes 0 or 1, as it says"),
    "area of unknown form": Kind(STOPS, "it should be a number", "it is computed anew"),
    "box that is not four numbers": Kind(STOPS, "it is no box", f"{_OWN}, or {_OFF}"),
    "box of negative size": Kind(STOPS, "log of its width is not a number", f"{_OWN}, or {_OFF}"),
    "box of no area": Kind(STOPS, "log of its width is infinite", f"{_OWN}, or {_OFF}"),
    "box that does not fit the image": Kind(STOPS, "it is of another image", f"{_OWN}, or {_OFF}"),
    "box outside the image": Kind(STOPS, "there is nothing to see", f"{_OWN}, or {_OFF}"),
    "annotation without a mask": Kind(
        STOPS, "the mask head would learn that there is none", _AS_CROWD
    ),
    "mask of unknown form": Kind(
        STOPS,
        "it has no inside; a polygon needs three points or more",
        f"polygons of fewer than three points are left out; if none stays: {_AS_CROWD}",
    ),
    "mask of no area": Kind(STOPS, "it has no inside: all its points are on one line", _AS_CROWD),
    "mask that does not fit the image": Kind(STOPS, "it is of another image", _AS_CROWD),
    "mask outside its box": Kind(STOPS, "one of them is of another object", _AS_CROWD),
    "mask that cannot be decoded": Kind(STOPS, "its run lengths are broken", _AS_CROWD),
    "keypoints of unknown form": Kind(STOPS, "they cannot be read", "they are left out"),
    # What training does not notice
    "box that leaves the image": Kind(
        HARMS, "training cuts it at the border; other programs do not", "it is cut at the border"
    ),
    "boxes written as corners": Kind(
        HARMS,
        "COCO's bbox is x, y, width, height; the corners x1, y1, x2, y2 make nearly all boxes too large",
        "all boxes of the file are written anew",
    ),
    "box thinner than a pixel": Kind(HARMS, "no anchor and no feature is so thin", _OFF),
    "box that is not its mask's": Kind(
        HARMS, "the two heads learn different places for one object", _OWN
    ),
    "area that is not the object's": Kind(
        HARMS,
        "AP of small, medium and large objects sorts by it",
        "it is computed anew",
    ),
    "polygon of no area": Kind(
        HARMS, "it has no inside", f"it is left out; if none stays: {_AS_CROWD}"
    ),
    "polygon outside the image": Kind(
        HARMS, "nothing of it can be seen", f"it is left out; if none stays: {_AS_CROWD}"
    ),
    "polygon that leaves the image": Kind(
        HARMS, "the box of the polygon is not that of what can be seen", "it is cut at the border"
    ),
    "mask without a pixel": Kind(HARMS, "the mask head learns that nothing is there", _AS_CROWD),
    "duplicate annotation": Kind(
        HARMS,
        "one object counts twice; in evaluation one of the two is always missed",
        "the later one is left out",
    ),
    "nothing but crowd regions": Kind(
        HARMS,
        "nothing is learned about crowd regions, so nothing is learned at all; CVAT marks every mask made "
        "with a brush so, and 'minirnn data convert DIR --format cvat --out NEW' takes them as objects",
    ),
    "duplicate file name": Kind(
        HARMS,
        "each of the two teaches that the other's objects are background",
        "the later record's annotations go to the first",
    ),
    "duplicate category name": Kind(
        HARMS, "one thing has two labels, and each is wrong half the time", "the lowest id is kept"
    ),
    "image twice in a split": Kind(
        HARMS,
        "it counts twice, and may have other annotations each time",
        "the one with more annotations stays",
    ),
    "image in two splits": Kind(
        HARMS, "AP is measured on what was learned by heart", "it is left out of the first split"
    ),
    "look-alike in two splits": Kind(
        HARMS,
        "a resized copy or the next frame of a film: AP is measured on what was learned by heart",
        "it is left out of the first split",
    ),
    # Worth knowing
    "look-alike in a split": Kind(NOTE, "the same picture, or nearly: it counts twice"),
    "one box in two categories": Kind(NOTE, "if it is one object, one of the two is wrong"),
    "crowd region given as polygons": Kind(
        NOTE, "nothing is learned about it; if it is a single object, iscrowd should be 0"
    ),
    "polygon that crosses itself": Kind(NOTE, "which side is inside may not be what you meant"),
    "category ids with gaps": Kind(NOTE, "they are counted 1, 2, … in the network, and back again"),
    "categories without objects": Kind(NOTE, "the network cannot learn them"),
    "image files that are not listed": Kind(NOTE, "they are not used"),
    "image turned by EXIF": Kind(NOTE, "it is turned upright, as its annotations are"),
    "EXIF that is not followed": Kind(
        NOTE, "the annotations are of the picture as it is stored; viewers turn it"
    ),
    "CMYK image": Kind(NOTE, "it is read as RGB, and its colours may be off"),
    "image with transparency": Kind(NOTE, "it is laid over white"),
    "palette image": Kind(NOTE, "its few colours are read as RGB"),
    "grey image of more than 8 bits": Kind(NOTE, "the upper 8 of the bits in use are kept"),
    "dark image": Kind(
        NOTE, "nearly black: if it is of 10 or 12 bits in 16, scale it before you train"
    ),
}


def kind_of(reason: str) -> Kind:
    """The kind of a reason; one that the table lacks stops training, since `CocoFile` gave it."""
    return KINDS.get(reason, Kind(STOPS, "it cannot be used", _OFF))
