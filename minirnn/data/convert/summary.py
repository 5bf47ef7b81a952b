"""What a conversion has made, and all that it has left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from minirnn.data.convert.found import LeftOut


@dataclass
class Summary:
    """What was made.

    Attributes:
        form: the format that was read.
        folder: the folder that was made.
        splits: for each split, how many "images", of them "without_objects", and "objects".
        categories: for each category, how many objects each split has.
        boxes_filled: objects with a box only whose box was taken as their outline, by label file.
        left_out: everything of the source that is not in the folder.
        notes: sentences about choices that were made.
        has_masks: whether the objects have outlines.
    """

    form: str
    folder: Path
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    boxes_filled: Counter[str] = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_masks: bool = True
