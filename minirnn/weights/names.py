"""The names of the parameters: torchvision's own have changed, and a ResNet alone has no prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from minirnn.errors import InputError

Value = TypeVar("Value")

BODY = "backbone.body."
TRUNK = "roi_heads.res5."
COUNTER = ".num_batches_tracked"

_RENAMED = [
    (r"^module\.", r""),  # of a network that several GPUs trained
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
]
_OLD_MASK = re.compile(r"^(roi_heads\.mask_head)\.mask_fcn([1-9])\.(weight|bias)$")


def modern_name(name: str) -> str:
    """torchvision's present name of a parameter, from the present or the old one."""
    if name.startswith("_"):  # EfficientNet-Lite0's: "_blocks.0._bn1.weight"
        name = re.sub(r"(^|\.)_", r"\1", name)
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    old_mask = _OLD_MASK.match(name)
    if old_mask:
        head, number, kind = old_mask.groups()
        return f"{head}.{int(number) - 1}.0.{kind}"
    return name


def modern(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays under present names, without the counters that only training BatchNorm needs.

    Raises:
        InputError: the old and the new name of a parameter are both there.
    """
    result: dict[str, Value] = {}
    for name, value in arrays.items():
        new = modern_name(name)
        if new.endswith(COUNTER):
            continue
        if new in result:
            raise InputError(f"{new} is there twice, under its old and its present name")
        result[new] = value
    return result


#: Networks for classification: names that each has, and how those of its last layers begin.
_CLASSIFIERS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "ResNet": (
        {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"},
        ("fc.",),
    ),
    "EfficientNet-Lite0": (
        {"conv_stem.weight", "bn0.weight", "blocks.15.project_conv.weight"},
        ("conv_head.", "bn1.", "fc."),
    ),
}


def classifier_of(names: Iterable[str]) -> str | None:
    """ "ResNet" or "EfficientNet-Lite0" if these are the names of one for classification; None if not."""
    present = set(names)
    return next((kind for kind, (own, _) in _CLASSIFIERS.items() if own <= present), None)


def as_backbone(
    arrays: Mapping[str, Value], *, trunk: bool = False
) -> tuple[dict[str, Value], list[str]]:
    """A classifier's arrays under the names that they have in a detector, and what has no place there.

    Args:
        arrays: of the classifier, by its own names.
        trunk: the detector has a ResNet's last stage in its heads ("c4").
    """
    _, last = _CLASSIFIERS[classifier_of(arrays) or "ResNet"]
    kept = {BODY + name: value for name, value in arrays.items() if not name.startswith(last)}
    if trunk:
        kept = {name.replace(f"{BODY}layer4.", TRUNK): value for name, value in kept.items()}
    return kept, [name for name in arrays if name.startswith(last)]
