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
    truth = check_ground_truth(ground_truth, kinds, image_ids)
    return {kind: _evaluate(kind, truth, check_results(results, truth, kind)) for kind in kinds}


def summary_table(results: Mapping[str, Mapping[str, float | None]]) -> str:
    """What `evaluate_results` returned as a plain-text table, a line for each kind.

    A number that there is not (None) is a dash.
    """
    names = list(dict.fromkeys(name for numbers in results.values() for name in numbers))
    first = max((len(kind) for kind in results), default=0)
    lines = [" " * first + "".join(f"{name:>7}" for name in names)]
    for kind, numbers in results.items():
        values = [numbers.get(name) for name in names]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"{kind:<{first}}" + "".join(f"{cell:>7}" for cell in cells))
    return "\n".join(lines)


def _evaluate(
    kind: str, truth: Mapping[str, Any], results: list[dict[str, Any]]
) -> dict[str, float | None]:
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
    values = (float(value) for value in evaluation.stats)
    return {
        name: None if value < 0 else value
        for name, value in zip(NUMBERS[kind], values, strict=True)
    }
