"""Every number that makes one detector differ from another, a section for each stage.

Where libraries differ (rounded anchors, aligned RoIAlign, box weights, …), the difference is a field
here and never a constant in the code. The configuration is read where the model is put together,
in `minirnn.models.build`: there each number goes into the object that uses it.

A field has two names: its place, `config.rpn.nms_iou`, and one flat name, `rpn_nms_iou`, which is what
`--set`, `build_model(…, rpn_nms_iou=0.6)` and checkpoints use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minirnn.errors import InputError
from minirnn.fields import fitting, kinds_of, meanings_of, suggestion
from minirnn.models.check import check
from minirnn.models.sections import (
    SECTIONS,
    AnchorConfig,
    BackboneConfig,
    BoxConfig,
    FPNConfig,
    KeypointConfig,
    MaskConfig,
    RoIConfig,
    RPNConfig,
    TransformConfig,
)


@dataclass(frozen=True)
class Config:
    """A detector: classes, and a section for each stage.

    Attributes:
        num_classes: number of classes, background included.
        background_last: the last column of the class scores is background, which then has no deltas
            and no mask (Detectron2); False: the first is, and has both, unused (torchvision). A
            label is 1, 2, … and background 0 either way.
        proposals: where the heads look: "rpn", where the network itself says; "given", at boxes that
            come with each image (Fast R-CNN).
        categories: (id, name) of label 1, 2, … in the data set; empty for "1", "2", ….
        transform: how a photograph becomes an array.
        backbone: the network that makes maps of it.
        fpn: the pyramid over the maps.
        anchors: the boxes that the RPN starts from.
        rpn: the region proposal network.
        roi: which regions the heads see, and what of them.
        box: the box head.
        mask: the mask head.
        keypoint: the keypoint head.
    """

    num_classes: int = 91
    background_last: bool = False
    categories: tuple[tuple[int, str], ...] = ()
    proposals: str = "rpn"
    transform: TransformConfig = field(default_factory=TransformConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    fpn: FPNConfig = field(default_factory=FPNConfig)
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    roi: RoIConfig = field(default_factory=RoIConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    keypoint: KeypointConfig = field(default_factory=KeypointConfig)

    @staticmethod
    def names() -> list[str]:
        """All names of fields, each in both ways: `rpn_nms_iou` and `rpn.nms_iou`."""
        return [*FLAT, *(f"{section}.{place}" for section, place in FLAT.values() if section)]

    def flat(self) -> dict[str, Any]:
        """All fields by their flat names."""
        return {name: self[name] for name in FLAT}

    def __getitem__(self, name: str) -> Any:
        """The value of a field by its flat name."""
        section, place = FLAT[name]
        return getattr(getattr(self, section) if section else self, place)

    def replace(self, **overrides: Any) -> Config:
        """A copy with some fields changed; lists may stand for tuples, whole numbers for floats.

        Args:
            **overrides: values by flat name (`rpn_nms_iou=0.6`), or fields of a section by its name
                (`rpn={"nms_iou": 0.6}`, or "rpn.nms_iou").

        Raises:
            InputError: a name is no field, or a value is not of the field's type.
        """
        changed: dict[str, dict[str, Any]] = {}
        for name, value in self._by_flat_name(overrides).items():
            section, place = FLAT[name]
            if name == "min_size" and isinstance(value, int):
                value = (value,)
            changed.setdefault(section, {})[place] = fitting(name, value, KINDS[name])
        parts = {
            section: dataclasses.replace(getattr(self, section), **fields)
            for section, fields in changed.items()
            if section
        }
        result = dataclasses.replace(self, **parts, **changed.get("", {}))
        result.check()
        return result

    def _by_flat_name(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for name, value in overrides.items():
            if "." in name:  # "rpn.nms_iou"
                section, _, place = name.partition(".")
                named |= self._by_flat_name({section: {place: value}})
                continue
            inside = {place: flat for flat, (section, place) in FLAT.items() if section == name}
            if inside and dataclasses.is_dataclass(value) and not isinstance(value, type):
                value = dataclasses.asdict(value)
            if inside and isinstance(value, Mapping):
                for place, inner in value.items():
                    if place not in inside:
                        raise _unknown(f"{name}.{place}", [f"{name}.{other}" for other in inside])
                    named[inside[place]] = inner
            elif name in FLAT:
                named[name] = value
            else:
                raise _unknown(name, FLAT)
        return named

    def check(self) -> None:
        """Refuse values that no model can be built from.

        Raises:
            InputError: names the field, its value and what it should be.
        """
        check(self)

    def meanings(self) -> dict[str, str]:
        """What the docstrings of the sections say of each field, by flat name, on one line."""
        said = {section: meanings_of(kind) for section, (kind, _) in SECTIONS.items()}
        said[""] = meanings_of(Config)
        return {flat: said[section].get(place, "") for flat, (section, place) in FLAT.items()}

    def category(self, label: int) -> tuple[int, str]:
        """(id, name) of a label."""
        return self.categories[label - 1] if self.categories else (label, str(label))


def _flat_names() -> dict[str, tuple[str, str]]:
    names = {
        name: ("", name) for name in ("num_classes", "background_last", "categories", "proposals")
    }
    for section, (kind, prefix) in SECTIONS.items():
        for part in dataclasses.fields(kind):
            names[part.metadata.get("flat", prefix + part.name)] = (section, part.name)
    return names


#: Flat name → (section, field); the section is "" for what belongs to the whole detector.
FLAT: dict[str, tuple[str, str]] = _flat_names()

#: The type of each field, by flat name.
KINDS: dict[str, Any] = {
    name: kinds_of(SECTIONS[section][0] if section else Config)[place]
    for name, (section, place) in FLAT.items()
}


def _unknown(name: str, known: Iterable[str]) -> InputError:
    return InputError(f"the configuration has no field {name!r}{suggestion(name, known)}")
