"""What a command does beside the training: measure AP in the middle of it, and say what is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minirnn.cli.networks import find_all, kinds_of, skeleton_of
from minirnn.cli.options import reporter
from minirnn.watch.live import Live

if TYPE_CHECKING:
    from minirnn.data import CocoDataset
    from minirnn.models import RCNN

PICTURES = 4  # validation images that the page shows at each evaluation


def evaluator(
    dataset: CocoDataset, images: Any, live: Live
) -> Callable[[int, RCNN], dict[str, Any]]:
    """The function that measures a network's AP in the middle of its training, and shows what it sees."""
    from minirnn.evaluation import evaluate_results

    some = places_with_objects(dataset, PICTURES)

    def evaluate(step: int, model: RCNN) -> dict[str, Any]:
        found = find_all(model, dataset, images, keep=some, progress=False, say=reporter(True))
        names = [name for _, name in model.categories]
        samples = [images[place] for place in some]
        live.show(step, samples, found.detections, names, skeleton_of(found.detections))
        return evaluate_results(dataset.ground_truth, found.results, kinds_of(model, dataset))

    return evaluate


def places_with_objects(dataset: CocoDataset, count: int) -> list[int]:
    """The first images of a data set that have something to find; others only if there are too few."""
    full = {annotation["image_id"] for annotation in dataset.ground_truth["annotations"]}
    places = sorted(
        range(len(dataset)), key=lambda place: (dataset.image_ids[place] not in full, place)
    )
    return sorted(places[:count])
