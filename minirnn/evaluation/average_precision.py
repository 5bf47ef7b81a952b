"""COCO's average precision from scratch: how a list of detections becomes one number.

1. In each image, detections are matched with the ground truth of their category, best score first.
2. Over all images, detections are put in the order of their scores. Going down that list, recall
   (the share of the ground truth found) grows, and precision (the share of detections that found
   something) goes up and down.
3. Precision at recall r is the best precision at any recall >= r, read at r = 0, 0.01, …, 1; the
   average of the 101 readings is the average precision.
4. This is done for each category and each IoU that a match must have (0.5, 0.55, …, 0.95), and
   averaged.

`evaluate_results` gives the same numbers as `minirnn.evaluation.coco`, which asks pycocotools.

Source: Lin et al., Microsoft COCO (arXiv 1405.0312), and the evaluation on cocodataset.org.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.evaluation.checks import check_ground_truth, check_results
from minirnn.masks import rle

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
# Areas in square pixels, limits included. An object's area is its mask's, for boxes too.
AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
# How far off annotators place each of COCO's 17 keypoints, relative to the object's size:
# nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
KEYPOINT_SIGMAS = np.array([26] + [25] * 2 + [35] * 2 + [79] * 2 + [72] * 2 + [62] * 2
                           + [107] * 2 + [87] * 2 + [89] * 2) / 1000  # fmt: skip

Regions = list[dict[str, Any]]  # annotations or results of one category in one image


def evaluate_results(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kinds: Sequence[str] = ("bbox", "segm"),
    *,
    image_ids: Collection[Any] | None = None,
) -> dict[str, dict[str, float | None]]:
    """COCO's average precisions and recalls by name, from scratch.

    Arguments, result and errors are those of `minirnn.evaluation.coco.evaluate_results`.
    """
    truth = check_ground_truth(ground_truth, kinds, image_ids)
    return {
        kind: _evaluate(kind, truth["annotations"], check_results(results, truth, kind))
        for kind in kinds
    }


def box_iou(detections: Regions, truths: Regions) -> np.ndarray:
    """(D, G) intersection over union of boxes x, y, width, height.

    With a crowd region it is intersection over the detection's own area: a detection inside a crowd
    is no mistake, however large the crowd is.
    """
    d = np.array([r["bbox"] for r in detections]).reshape(-1, 1, 4)
    g = np.array([r["bbox"] for r in truths]).reshape(1, -1, 4)
    sides = np.minimum(d[..., :2] + d[..., 2:], g[..., :2] + g[..., 2:])
    sides = np.maximum(sides - np.maximum(d[..., :2], g[..., :2]), 0)
    inter = sides[..., 0] * sides[..., 1]
    return _over_union(inter, d[..., 2] * d[..., 3], g[..., 2] * g[..., 3], truths)


def mask_iou(detections: Regions, truths: Regions) -> np.ndarray:
    """(D, G) intersection over union of masks; with a crowd as in `box_iou`."""
    d = [rle.decode(r["segmentation"]) for r in detections]
    g = [rle.decode(r["segmentation"]) for r in truths]
    inter = np.array([[np.count_nonzero(a & b) for b in g] for a in d], dtype=float)
    area_d = np.array([np.count_nonzero(a) for a in d], dtype=float)[:, None]
    area_g = np.array([np.count_nonzero(b) for b in g], dtype=float)[None, :]
    return _over_union(inter.reshape(len(d), len(g)), area_d, area_g, truths)


def _over_union(
    inter: np.ndarray, area_d: np.ndarray, area_g: np.ndarray, truths: Regions
) -> np.ndarray:
    crowd = np.array([bool(t["iscrowd"]) for t in truths], dtype=bool)
    union = np.where(crowd, area_d, area_d + area_g - inter)
    # Two regions of no area have no union to divide by, and nothing in common.
    return np.where(inter > 0, inter / np.where(inter > 0, union, 1), 0)


def keypoint_similarity(detections: Regions, truths: Regions) -> np.ndarray:
    """(D, G) object keypoint similarity, which stands in for IoU.

    The mean over the labelled keypoints of exp(-distance² / (2 area (2 sigma)²)). Where none is
    labelled (such an object is ignored, but may still excuse a detection), the distance is how far
    the keypoint is outside the object's box, made three times as wide and high.
    """
    similarity = np.zeros((len(detections), len(truths)))
    for j, truth in enumerate(truths):
        xy = np.reshape(truth["keypoints"], (-1, 3))
        labelled = xy[:, 2] > 0
        x, y, width, height = truth["bbox"]
        low = np.array([x - width, y - height])
        high = np.array([x + 2 * width, y + 2 * height])
        for i, detection in enumerate(detections):
            found = np.reshape(detection["keypoints"], (-1, 3))[:, :2]
            if labelled.any():
                offset = found - xy[:, :2]
            else:
                offset = np.maximum(low - found, 0) + np.maximum(found - high, 0)
            distance = (offset**2).sum(axis=1)
            exponent = distance / (2 * KEYPOINT_SIGMAS) ** 2 / (truth["area"] + np.spacing(1)) / 2
            used = labelled if labelled.any() else slice(None)
            similarity[i, j] = np.exp(-exponent[used]).mean()
    return similarity


def match(
    iou: np.ndarray, threshold: float, gt_ignored: np.ndarray, gt_crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections find something, each ground truth being found once.

    In the order of the scores, each detection takes the ground truth that it overlaps most, of
    those that are still free and that it overlaps enough. Only one that finds no counted ground
    truth may take an ignored one, and then it counts neither as right nor as wrong. A crowd is
    never used up.

    Args:
        iou: (D, G), detections by falling score.
        threshold: the smallest overlap of a match.
        gt_ignored: (G,) bool, ground truth that need not be found.
        gt_crowd: (G,) bool.

    Returns:
        (D,) bool, whether it found anything; (D,) bool, whether what it found is ignored.
    """
    found = np.zeros(len(iou), dtype=bool)
    excused = np.zeros(len(iou), dtype=bool)
    free = np.ones(len(gt_ignored), dtype=bool)
    for d in range(len(iou)):
        enough = iou[d] >= min(threshold, 1 - 1e-10)
        for group in (~gt_ignored, gt_ignored):
            candidates = np.flatnonzero(group & enough & (free | gt_crowd))
            if len(candidates):
                # Of equals the last, as COCO does.
                best = candidates[::-1][np.argmax(iou[d, candidates[::-1]])]
                free[best] = False
                found[d], excused[d] = True, gt_ignored[best]
                break
    return found, excused


def precision_at_recalls(correct: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The precision-recall curve read at 101 places, and the recall that is reached.

    Args:
        correct: (D,) bool, whether each detection is right, by falling score over all images.
        count: how many there are to find, at least 1.

    Returns:
        (101,) precisions, 0 past the recall that is reached; that recall.
    """
    if len(correct) == 0:
        return np.zeros(len(RECALLS)), 0.0
    right = np.cumsum(correct).astype(float)
    recall = right / count
    precision = right / (np.arange(1, len(correct) + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    reached = place < len(recall)
    return np.where(reached, envelope[np.minimum(place, len(recall) - 1)], 0), float(recall[-1])


def _evaluate(kind: str, annotations: Regions, results: Regions) -> dict[str, float | None]:
    limits = (20,) if kind == "keypoints" else (1, 10, 100)
    areas = {k: v for k, v in AREAS.items() if k != "s" or kind != "keypoints"}
    precisions, recalls = defaultdict(list), defaultdict(list)
    for images in _by_category_and_image(annotations, results).values():
        pairs = [_overlaps(kind, truths, found, limits[-1]) for truths, found in images]
        for name, area in areas.items():
            matched = [_match_image(kind, *pair, area) for pair in pairs]
            count = sum(counted for *_, counted in matched)
            if count == 0:
                continue
            for limit in limits:
                curves = [_curve(matched, t, limit, count) for t in range(len(IOU_THRESHOLDS))]
                precisions[name, limit].append([precision for precision, _ in curves])
                recalls[name, limit].append([recall for _, recall in curves])

    def mean(values: list, threshold: int | None = None) -> float | None:
        """Over categories, thresholds and recalls; None where no category has anything to find."""
        array = np.array(values)
        if len(array) == 0:
            return None
        return float(np.mean(array if threshold is None else array[:, threshold]))

    most = limits[-1]
    ap, ar = precisions["", most], recalls["", most]
    numbers = {"AP": mean(ap), "AP50": mean(ap, 0), "AP75": mean(ap, 5)}
    numbers |= {f"AP{name}": mean(precisions[name, most]) for name in areas if name}
    if kind == "keypoints":
        numbers |= {"AR": mean(ar), "AR50": mean(ar, 0), "AR75": mean(ar, 5)}
    else:
        numbers |= {f"AR{limit}": mean(recalls["", limit]) for limit in limits}
    return numbers | {f"AR{name}": mean(recalls[name, most]) for name in areas if name}


def _by_category_and_image(
    annotations: Regions, results: Regions
) -> dict[Any, list[tuple[Regions, Regions]]]:
    """For each category, what is there and what was found in each image, by image id."""
    table: dict[Any, dict[Any, tuple[Regions, Regions]]] = defaultdict(
        lambda: defaultdict(lambda: ([], []))
    )
    for side, regions in enumerate((annotations, results)):
        for region in regions:
            table[region["category_id"]][region["image_id"]][side].append(region)
    return {category: [images[i] for i in sorted(images)] for category, images in table.items()}


def _overlaps(
    kind: str, truths: Regions, found: Regions, limit: int
) -> tuple[Regions, Regions, np.ndarray]:
    found = sorted(found, key=lambda r: -r["score"])[:limit]
    function = {"bbox": box_iou, "segm": mask_iou, "keypoints": keypoint_similarity}[kind]
    return truths, found, function(found, truths)


def _match_image(
    kind: str, truths: Regions, found: Regions, iou: np.ndarray, area: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Scores (D,), right (T, D), left out (T, D) at T IoU thresholds, and how many there are to find."""
    crowd = np.array([bool(t["iscrowd"]) for t in truths], dtype=bool)
    outside = np.array([not area[0] <= t["area"] <= area[1] for t in truths], dtype=bool)
    ignored = crowd | outside
    if kind == "keypoints":
        ignored |= np.array([t["num_keypoints"] == 0 for t in truths], dtype=bool)
    areas = np.array([_area(kind, r) for r in found])
    # A detection of another size that found nothing is no mistake at this size.
    elsewhere = (areas < area[0]) | (areas > area[1])
    right, left_out = [], []
    for threshold in IOU_THRESHOLDS:
        hit, excused = match(iou, threshold, ignored, crowd)
        right.append(hit & ~excused)
        left_out.append(excused | (~hit & elsewhere))
    scores = np.array([r["score"] for r in found])
    return scores, np.array(right), np.array(left_out), int((~ignored).sum())


def _area(kind: str, result: dict[str, Any]) -> float:
    if kind == "bbox":
        return result["bbox"][2] * result["bbox"][3]
    if kind == "segm":
        return rle.area(result["segmentation"])
    x, y = result["keypoints"][0::3], result["keypoints"][1::3]
    return (max(x) - min(x)) * (max(y) - min(y))


def _curve(
    matched: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]], t: int, limit: int, count: int
) -> tuple[np.ndarray, float]:
    scores = np.concatenate([scores[:limit] for scores, *_ in matched])
    right = np.concatenate([right[t, :limit] for _, right, *_ in matched])
    left_out = np.concatenate([left_out[t, :limit] for _, _, left_out, _ in matched])
    order = np.argsort(-scores, kind="stable")
    return precision_at_recalls(right[order][~left_out[order]], count)
