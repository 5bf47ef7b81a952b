"""COCO's numbers, computed by COCO's own program."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minirnn.evaluation.checks import NUMBERS, check_ground_truth, check_results

Summary = dict[str, dict[str, float | None]]


def evaluate_results(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kinds: Sequence[str] = ("bbox", "segm"),
    *,
    image_ids: Collection[Any] | None = None,
) -> Summary:
    """COCO's average precisions and recalls by name, through pycocotools.

    The arguments are not changed, and nothing is printed.

    Args:
        ground_truth: COCO's JSON as a dict.
        results: COCO's results as a list of dicts, of all images; it may be empty.
        kinds: any of "bbox", "segm" and "keypoints".
        image_ids: evaluate on these images only; None takes all of the ground truth.

    Returns:
        {"bbox": {"AP": …, "AP50": …, "AP75": …, "APs": …, "APm": …, "APl": …, "AR1": …, "AR10": …,
        "AR100": …, "ARs": …, "ARm": …, "ARl": …}, "segm": …}, each in [0, 1], or None where there
        is nothing to find (no object of that size). "keypoints" has ten numbers, without small
        objects: COCO marks no keypoints on them.

    Raises:
        InputError: the ground truth or the results are malformed or do not fit together, or there
            is no ground truth.

    Source: the COCO API (`pycocotools.cocoeval`).
    """
    return Evaluation(ground_truth, results, kinds, image_ids=image_ids).summary()


class Evaluation:
    """An evaluation by COCO's own program, which can be asked for more than COCO's numbers.

    Arguments and errors are those of `evaluate_results`.
    """

    def __init__(
        self,
        ground_truth: Mapping[str, Any],
        results: Sequence[Mapping[str, Any]],
        kinds: Sequence[str] = ("bbox", "segm"),
        *,
        image_ids: Collection[Any] | None = None,
    ) -> None:
        truth = check_ground_truth(ground_truth, kinds, image_ids)
        self._names = {c["id"]: str(c.get("name", c["id"])) for c in truth["categories"]}
        self._of_kind = {
            kind: _evaluate(kind, truth, check_results(results, truth, kind)) for kind in kinds
        }

    def summary(self) -> Summary:
        """COCO's numbers by kind and name, see `evaluate_results`."""
        return {
            kind: dict(zip(NUMBERS[kind], map(_known, evaluation.stats), strict=True))
            for kind, evaluation in self._of_kind.items()
        }

    def per_category(self) -> Summary:
        """The AP of each category, by kind and name; None where there is nothing of it to find.

        COCO's AP is the mean of these. Two categories of one name are told apart by their ids.
        """
        return {kind: self._categories_of(kind) for kind in self._of_kind}

    def _categories_of(self, kind: str) -> dict[str, float | None]:
        evaluation = self._of_kind[kind]
        # (thresholds, recalls, categories, areas, detections): all sizes, most detections
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        names = list(self._names.values())
        found = {}
        for k, category in enumerate(evaluation.params.catIds):
            name = self._names[category]
            label = name if names.count(name) == 1 else f"{name} ({category})"
            found[label] = _known(precision[:, :, k].mean())  # -1 where there is no ground truth
        return found


def summary_table(results: Mapping[str, Mapping[str, float | None]]) -> str:
    """What `evaluate_results` returned as a plain-text table, a line for each kind.

    A number that there is not (None) is a dash.
    """
    names = list(dict.fromkeys(name for numbers in results.values() for name in numbers))
    first = max((len(kind) for kind in results), default=0)
    lines = [" " * first + "".join(f"{name:>7}" for name in names)]
    for kind, numbers in results.items():
        cells = [_cell(numbers.get(name)) for name in names]
        lines.append(f"{kind:<{first}}" + "".join(f"{cell:>7}" for cell in cells))
    return "\n".join(lines)


def category_table(results: Mapping[str, Mapping[str, float | None]]) -> str:
    """What `Evaluation.per_category` returned as a plain-text table, a line for each category."""
    names = list(dict.fromkeys(name for numbers in results.values() for name in numbers))
    first = max((len(name) for name in names), default=0)
    lines = [f"{'AP of':<{first}}" + "".join(f"{kind:>11}" for kind in results)]
    for name in names:
        cells = [_cell(numbers.get(name)) for numbers in results.values()]
        lines.append(f"{name:<{first}}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _known(value: float) -> float | None:
    """pycocotools says -1 where there is nothing to find."""
    return None if value < 0 else float(value)


def _evaluate(kind: str, truth: Mapping[str, Any], results: list[dict[str, Any]]) -> Any:
    """pycocotools' COCOeval, after it has done its work."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        expected = COCO()
        expected.dataset = dict(truth)  # pycocotools writes into it: it is our own copy
        expected.createIndex()
        if results:
            found = expected.loadRes(results)
        else:  # which loadRes cannot take
            found = COCO()
            found.dataset = {**expected.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(expected, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
