"""What of a file fits into a model, array by array, and what that says to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from minirnn.models import RCNN
from minirnn.weights.files import WeightsFile
from minirnn.weights.names import BODY, TRUNK, as_backbone, classifier_of

CLASSES = "roi_heads.box_predictor.cls_score.weight"  # has a row for each class
#: What tells the categories apart; the rest of a detector does not know them.
OF_CLASSES = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """Arrays of a file beside those of a model, by torchvision's names.

    Attributes:
        fitting: what can be loaded.
        shapes: of those of another shape: (in the file, in the model).
        kinds: the dtypes of those that are no floating-point numbers.
        missing: in the model and not in the file.
        unexpected: in the file, without a place in the model.
        classifier: of a network for classification, its last layers.
        classes: rows of the class scores (in the file, in the model), where both have them.
        other_classes: would fit by their shapes, and tell other categories apart than the model's.
    """

    fitting: dict[str, np.ndarray]
    shapes: dict[str, tuple[Shape, Shape]]
    kinds: dict[str, str]
    missing: list[str]
    unexpected: list[str]
    classifier: list[str]
    classes: tuple[int, int] | None
    other_classes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: RCNN, file: WeightsFile) -> Comparison:
        """Compare names, shapes and dtypes. A classifier is compared with the backbone alone."""
        given: Mapping[str, np.ndarray] = file.arrays
        classifier: list[str] = []
        own = {name: tuple(array.shape) for name, array in model.state_dict().items()}
        if file.config is None and classifier_of(given):
            has_trunk = any(name.startswith(TRUNK) for name in own)
            given, classifier = as_backbone(given, trunk=has_trunk)
            own = {name: shape for name, shape in own.items() if name.startswith((BODY, TRUNK))}
        both = own.keys() & given.keys()
        shapes = {name: (tuple(given[name].shape), own[name]) for name in own if name in both}
        shapes = {name: (there, here) for name, (there, here) in shapes.items() if there != here}
        same = [name for name in own if name in both and name not in shapes]
        kinds = {name: str(given[name].dtype) for name in same if given[name].dtype.kind != "f"}
        return cls(
            fitting={name: given[name] for name in same if name not in kinds},
            shapes=shapes,
            kinds=kinds,
            missing=[name for name in own if name not in given],
            unexpected=[name for name in given if name not in own],
            classifier=classifier,
            classes=(given[CLASSES].shape[0], own[CLASSES][0]) if CLASSES in both else None,
        )

    def without_classes(self) -> Comparison:
        """The same, but what tells the categories apart does not fit, since they are others."""
        others = [name for name in self.fitting if name.startswith(OF_CLASSES)]
        fitting = {name: array for name, array in self.fitting.items() if name not in others}
        return replace(self, fitting=fitting, other_classes=others)

    def lines(self, conventions: list[str]) -> list[list[str]]:
        """What does not fit, one line for each array, in groups of one kind.

        Args:
            conventions: lines about them, which belong in front.
        """
        classes = []
        if self.classes and self.classes[0] != self.classes[1]:
            there, here = self.classes
            classes = [f"classes: the file has {there} with background, the model {here}"]
        return [
            classes + conventions,
            [
                f"shape: {name} is {there}, the model has {here}"
                for name, (there, here) in sorted(self.shapes.items())
            ],
            [
                f"kind: {name} is {kind}, it should be of floating-point numbers"
                for name, kind in sorted(self.kinds.items())
            ],
            [f"missing: {name}" for name in self.missing],
            [f"unexpected: {name}" for name in self.unexpected],
        ]

    def sentences(self, model: RCNN) -> list[str]:
        """Three lines: what was loaded, what was left out and why, what starts fresh.

        Parts of the network that are loaded in part are named with how many of their arrays.

        Args:
            model: that the file was compared with.
        """
        arrays = model.state_dict()
        fresh = [name for name in arrays if name not in self.fitting]
        reasons = [f"{_listed(names)} ({why})" for why, names in self._reasons().items()]
        return [
            f"loaded: {len(self.fitting)} of {len(arrays)} arrays: {_listed(self.fitting, fresh)}",
            f"left out: {'; '.join(reasons) or 'nothing'}",
            f"starts fresh: {_listed(fresh, self.fitting) or 'nothing'}",
        ]

    def stuck(self, model: RCNN) -> dict[str, list[str]]:
        """Names of the backbone's arrays that start fresh and that no training would change, by why."""
        parameters = dict(model.named_parameters())
        found: dict[str, list[str]] = {}
        for name in (*self.missing, *self.shapes, *self.kinds):
            if not name.startswith((BODY, TRUNK)):
                continue
            if name not in parameters:
                found.setdefault("norm is 'frozen_batch_norm'", []).append(name)
            elif not parameters[name].requires_grad:
                why = f"frozen_stages is {model.config.backbone.frozen_stages}"
                found.setdefault(why, []).append(name)
        return found

    def _reasons(self) -> dict[str, list[str]]:
        """Names in the file that were left out, by why."""
        found: dict[str, list[str]] = {}
        for name, (there, here) in self.shapes.items():
            why = "another shape"
            old, new = self.classes or (0, 0)
            if name.startswith(OF_CLASSES) and old != new and there[1:] == here[1:]:
                why = f"{old} classes with background there, {new} here"
            found.setdefault(why, []).append(name)
        for why, names in (
            ("tells other categories apart", self.other_classes),
            ("no floating-point numbers", list(self.kinds)),
            ("no place in this network", self.unexpected),
            ("tells ImageNet's classes apart", self.classifier),
        ):
            if names:
                found[why] = names
        return found


def _listed(names: Iterable[str], others: Iterable[str] = ()) -> str:
    """The parts of the network that arrays belong to, each once; where others do too, how many of them."""
    here, there = (Counter(map(_part_of, group)) for group in (names, others))
    return ", ".join(
        f"{part} ({count} of {count + there[part]})" if there[part] else part
        for part, count in here.items()
    )


def _part_of(name: str) -> str:
    """ "roi_heads.box_head.fc6.weight" → "roi_heads.box_head"; of predictors, the layer."""
    path = name.split(".")
    if path[0] == "rpn" or len(path) < 3:
        return path[0]
    return ".".join(path[: 3 if path[1].endswith("_predictor") else 2])
