"""A network from a file of weights, and running it over pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from minirnn.cli.datasets import Subset
    from minirnn.data import CocoDataset, Detections, Sample
    from minirnn.distributed.communicator import Communicator
    from minirnn.models import RCNN


def load_network(
    weights: Path, overrides: Mapping[str, Any], device: str, ranks: Communicator | None = None
) -> RCNN:
    """The network that a file of weights belongs to, with these weights.

    Args:
        weights: a checkpoint of `minirnn train`, or torchvision's .pth.
        overrides: fields of the configuration, for example box_score_threshold.
        device: "cpu" or "cuda".
        ranks: of which each takes a GPU of its own; None for this process alone.

    Raises:
        InputError: the file is missing, damaged or of no network that can be built here; a value
            does not fit; there is no such device.
        click.BadParameter: an override is no field.
    """
    from minirnn.cli.options import split_overrides
    from minirnn.models import Config
    from minirnn.weights import model_from

    (fields,) = split_overrides(overrides, Config)
    model = model_from(weights, **fields)
    if device == "cuda" and ranks is not None and ranks.size > 1:
        from minirnn.backend import library_of
        from minirnn.distributed.nccl import own_gpu

        own_gpu(ranks, library_of(device))
    make_ready(model, device)
    return model


def make_ready(model: RCNN, device: str) -> None:
    """Move a network to where it works, and have this process keep the memory that its maps free.

    On a GPU it is said (on standard error) whether what follows repeats bit for bit, what has no kernel
    there, and whether products are made with TF32, as MINIRNN_TF32=1 asks.
    """
    from minirnn.kernels.cpu.memory import keep_freed

    keep_freed()
    model.to(device)
    if device == "cuda":
        from minirnn.devices import order_of_gradients, without_kernel
        from minirnn.kernels.tf32 import asked_for

        _tell(f"On the GPU, gradients of regions are {order_of_gradients()}.")
        _tell(f"Plain forms for want of a kernel there: {without_kernel()}.")
        if asked_for():
            switch_on_tf32(model)


def switch_on_tf32(model: RCNN) -> None:
    """Let the GPU that a network is on make products with TF32, from now on, and say so.

    Raises:
        InputError: it has no effect there.
    """
    from minirnn.kernels.cuda.precision import require_tf32, set_tf32

    set_tf32(model.xp, True)
    require_tf32(model.xp)
    _tell("Products of float32 are made with TF32: 10 bits of mantissa in each factor.")


def _tell(text: str) -> None:
    """Say something on standard error; of several ranks, only the first."""
    from minirnn.distributed import launched

    if launched()[0] == 0:
        click.echo(text, err=True)


@contextmanager
def with_tf32(model: RCNN) -> Iterator[None]:
    """Inside, a network's products are made with TF32: by its GPU, or imitated on a processor.

    Raises:
        InputError: it has no effect there.
    """
    from minirnn.kernels.cuda.precision import set_tf32
    from minirnn.kernels.tf32 import imitated

    if model.device == "cpu":
        with imitated():
            yield
        return
    try:
        switch_on_tf32(model)
        yield
    finally:
        set_tf32(model.xp, False)


def products_of(model: RCNN, tf32: bool) -> str:
    """How a network's products of float32 are made, for a report."""
    from minirnn.kernels.tf32 import asked_for

    if model.device == "cpu":
        return "TF32, imitated on the processor" if tf32 else "float32"
    return "TF32" if tf32 or asked_for() else "float32"


def network_of(metadata: Mapping[str, Any], fields: Mapping[str, Any]) -> RCNN:
    """A network, with fresh weights, of the configuration that a checkpoint's metadata hold."""
    import numpy as np

    from minirnn.models import Config, detector

    config = Config().replace(**metadata["config"]).replace(**fields)
    return detector(config, np.random.default_rng(0))


@dataclass
class Findings:
    """What a network found in a data set.

    Attributes:
        detections: of those images for which they were asked for, in order.
        results: all of them in COCO's result format.
        seconds: what finding took, reading the images not counted; of several ranks the slowest's.
    """

    detections: list[Detections]
    results: list[dict[str, Any]]
    seconds: float


def find_all(
    model: RCNN,
    dataset: CocoDataset,
    images: Subset,
    *,
    batch_size: int = 4,
    keep: int | Collection[int] = 0,
    progress: bool = True,
    say: Callable[[str], None] = click.echo,
    ranks: Communicator | None = None,
) -> Findings:
    """Run a network over images of a data set.

    Args:
        model: the network.
        dataset: says which category each label is.
        images: those to look at.
        batch_size: images at a time.
        keep: how many images' detections to keep as they are, or those of which images by their places
            (masks need memory).
        progress: show a bar on standard error.
        say: prints a line for a person.
        ranks: that share out the batches (which stay the same: an image is padded to the largest of its
            batch); None for this process alone. All of them call this.

    Returns:
        At rank 0 the findings in all images, in order; elsewhere nothing.
    """
    from tqdm import tqdm

    from minirnn.distributed import Alone
    from minirnn.distributed.dealing import dealt_out

    ranks = ranks or Alone()
    kept = range(keep) if isinstance(keep, int) else keep
    every = range(len(images))
    batches = [every[start : start + batch_size] for start in every[::batch_size]]
    own = sum(map(len, batches[ranks.rank :: ranks.size]))
    what = "finding" if ranks.size == 1 else f"finding, a share of {ranks.size}"
    hidden = not progress or ranks.rank > 0
    findings, left_out, seconds = Findings([], [], 0.0), 0, 0.0
    known = {category["id"] for category in dataset.ground_truth["categories"]}
    with tqdm(total=own, unit=" images", desc=what, disable=hidden) as bar:

        def look_at(places: range) -> Findings:
            nonlocal seconds
            samples = [images[i] for i in places]
            begun = time.perf_counter()
            given = [sample.target.proposals for sample in samples]
            found = model.predict(
                [sample.image for sample in samples],
                proposals=[boxes for boxes in given if boxes is not None] or None,
            )
            seconds += time.perf_counter() - begun
            bar.update(len(places))
            return _as_findings(places, samples, found, dataset, kept)

        for part in dealt_out(batches, look_at, ranks):
            # COCO has no place for a category that the data set does not have.
            fitting = [row for row in part.results if row["category_id"] in known]
            left_out += len(part.results) - len(fitting)
            findings.results += fitting
            findings.detections += part.detections
    findings.seconds = max(ranks.gather(seconds) or [seconds])
    if left_out:
        say(f"{left_out} detections are of categories that are not looked for here: left out")
    return findings


def _as_findings(
    places: Iterable[int],
    samples: Iterable[Sample],
    found: Iterable[Detections],
    dataset: CocoDataset,
    keep: Collection[int],
) -> Findings:
    """What was found in one batch."""
    from minirnn.evaluation import to_results

    findings = Findings([], [], 0.0)
    for place, sample, detections in zip(places, samples, found, strict=True):
        findings.results += to_results(
            detections, sample.target.image_id, dataset.label_to_category
        )
        if place in keep:
            findings.detections.append(detections)
    return findings


def kinds_of(model: RCNN, dataset: CocoDataset) -> tuple[str, ...]:
    """What can be evaluated: boxes, and masks and keypoints where both sides have them.

    Keypoints only if they are as many as COCO's, the only ones that OKS has tolerances for.
    """
    from minirnn.data.people import KEYPOINTS

    masks = "masks" in model.finds and dataset.has_masks
    names = dataset.keypoint_names if "keypoints" in model.finds else None
    keypoints = names is not None and len(names) == len(KEYPOINTS)
    return ("bbox", *(["segm"] if masks else []), *(["keypoints"] if keypoints else []))


def skeleton_of(found: Sequence[Detections]) -> tuple[tuple[int, int], ...] | None:
    """Which keypoints to join by lines in a picture; None where they are not COCO's 17 of a person."""
    from minirnn.data.people import KEYPOINTS, SKELETON

    points = [each.keypoints for each in found if each.keypoints is not None]
    return SKELETON if points and points[0].shape[1] == len(KEYPOINTS) else None
