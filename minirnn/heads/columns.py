"""Which column of a network's output stands for which label.

Background is label 0, always. Among the columns it may come first, as in torchvision, which then gives
it deltas and a mask too that nothing ever looks at; or last, as in Detectron2, which does not:

    first  scores: background, 1, …, K     deltas, masks: of background (never used), 1, …, K
    last   scores: 1, …, K, background     deltas, masks: 1, …, K
"""

from __future__ import annotations

from typing import Any


def column_of(labels: Any, background_last: bool) -> Any:
    """The column of each label 0…K. With background last, 0 is column -1, which is the last."""
    return labels - 1 if background_last else labels


def columns_of_objects(num_classes: int, background_last: bool) -> int:
    """How many columns there are of what belongs to objects: deltas, masks."""
    return num_classes - 1 if background_last else num_classes
