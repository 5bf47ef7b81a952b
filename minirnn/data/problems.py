"""What is wrong with an image or annotation of a data set, with all the names by which it is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirnn.data.annotations import Rejected, is_id


@dataclass(frozen=True)
class Problem:
    """One image, annotation or category, and what is wrong with it.

    Attributes:
        file: the annotation file.
        place: what a message calls it: "image 3", "annotation 7 of image 3", "category 2".
        reason: in a few words, the same for all of a kind; what they are counted by.
        detail: a sentence: what is there, and what should be.
        image_id: None where there is no image, or it has no id.
        annotation_id: the same of the annotation.
        file_name: of the image, as the annotation file writes it; None where it has none.
        record: the annotation, or else the image, as it is in the file.
        partner: the record of which it is the copy.
    """

    file: Path
    place: str
    reason: str
    detail: str
    image_id: int | None = None
    annotation_id: int | None = None
    file_name: str | None = None
    record: Any = field(default=None, repr=False, compare=False)
    partner: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        file: Path,
        place: str,
        found: Rejected,
        image: Any = None,
        annotation: Any = None,
        partner: Any = None,
    ) -> Problem:
        """What a check found.

        Args:
            file: the annotation file.
            place: see the attribute.
            found: the reason and the detail.
            image: the image's record in the file, whatever it looks like.
            annotation: likewise.
            partner: see the attribute.
        """
        image_id = _value(annotation, "image_id") if image is None else _value(image, "id")
        annotation_id, name = _value(annotation, "id"), _value(image, "file_name")
        return cls(
            file,
            place,
            found.reason,
            found.detail,
            image_id if is_id(image_id) else None,
            annotation_id if is_id(annotation_id) else None,
            name if isinstance(name, str) else None,
            image if annotation is None else annotation,
            partner,
        )

    def __str__(self) -> str:
        name = self.file_name
        where = f" ({name})" if name and name not in self.detail else ""
        return f"{self.file}: {self.place}{where}: {self.reason}: {self.detail}"


def _value(record: Any, key: str) -> Any:
    return record.get(key) if isinstance(record, dict) else None
