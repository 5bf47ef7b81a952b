"""Do both learn equally well? The demo's network trained here and in torchvision, on the same batches.

One step can be compared number by number (`parity_training`). A thousand cannot: each draws its own
anchors and regions, and rounding errors grow. What can be compared is where the training ends: AP on
pictures that neither has seen, from the same first weights, batches, learning rates and decay.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minirnn.data.sample import Detections
from minirnn.errors import InputError
from minirnn.training.settings import TrainingSettings
from minirnn.verify.learning_model import build_learning_pair
from minirnn.verify.parity_rows import Comparison, Row

LIBRARIES = ("minirnn", "torchvision")


class Level(NamedTuple):
    """How a level of made-up pictures is learned.

    Attributes:
        preset: the network.
        tolerances: for each kind of AP, how far apart the two means over the seeds may be.
        learning_rate: the highest, after the warm-up: the demo's.
    """

    preset: str
    tolerances: dict[str, float]
    learning_rate: float


LEVELS = {
    "easy": Level("maskrcnn_shapes", {"bbox": 0.02, "segm": 0.02}, 0.04),
    "people": Level("keypointrcnn_shapes", {"bbox": 0.02, "keypoints": 0.03}, 0.1),
}


def learning_parity(
    folder: Path,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    level: str = "easy",
    steps: int = 1000,
    batch_size: int = 8,
    learning_rate: float | None = None,
    clip_norm: float = 3.0,
    train_images: int = 8000,
    val_images: int = 200,
) -> list[Row]:
    """Train both networks with each seed, evaluate, and compare AP of boxes and of masks or keypoints.

    What a run ends with is kept in `folder` and not computed again, so that the comparison can be
    stopped and go on, and its runs can share the work (several processes with a seed each).

    Args:
        folder: for the pictures, runs and results.
        seeds: of first weights, batches and draws.
        level: of the pictures, a key of LEVELS: "easy" for masks, "people" for keypoints.
        steps: of each training.
        batch_size: images in a batch.
        learning_rate: the highest, after the warm-up; None for the level's own.
        clip_norm: longer gradients are shortened to this.
        train_images: pictures to train on.
        val_images: pictures to evaluate on.

    Returns:
        Rows: for each seed and on average, each kind's AP; the note says both values.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    from minirnn.data import CocoDataset, generate

    recipe = LEVELS[level]
    tolerances = recipe.tolerances
    pictures = folder / level
    generate(pictures, level=level, train=train_images, val=val_images, seed=0)
    keypoints = "keypoints" in tolerances
    training_set = CocoDataset.from_folder(pictures, "train", keypoints=keypoints)
    held_out = CocoDataset.from_folder(pictures, "val", keypoints=keypoints)
    results: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
    for seed in seeds:
        settings = TrainingSettings(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate or recipe.learning_rate,
            clip_norm=clip_norm,
            seed=seed,
        )
        for library in LIBRARIES:
            run = _run(library, level, settings, folder, training_set, held_out)
            results[library].append(run)
    return _rows(seeds, results, tolerances)


def _rows(
    seeds: Sequence[int],
    results: dict[str, list[dict[str, float]]],
    tolerances: Mapping[str, float],
) -> list[Row]:
    comparison = Comparison("torchvision")
    for kind, allowed in tolerances.items():
        ours, theirs = ([run[kind] for run in results[library]] for library in LIBRARIES)
        # A single run may end a little higher or lower by chance, so only the mean is judged.
        pairs = [(f"seed {s}", a, b, 1.0) for s, a, b in zip(seeds, ours, theirs, strict=True)]
        pairs.append(("mean", statistics.mean(ours), statistics.mean(theirs), allowed))
        for what, our_value, their_value, tolerance in pairs:
            error = abs(our_value - their_value)
            comparison.number(
                f"{kind} AP", what, error, error / max(their_value, 1e-9), cases=1,
                absolute=tolerance, note=f"{our_value:.3f} here, {their_value:.3f} there",
            )  # fmt: skip
    return comparison.rows


def _run(
    library: str,
    level: str,
    settings: TrainingSettings,
    folder: Path,
    training_set: Any,
    held_out: Any,
) -> dict[str, float]:
    """AP of one training by kind, from `folder` if it has been run before."""
    path = folder / f"{library}-{level}-{settings.seed}-{settings.steps}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    preset, kinds = LEVELS[level].preset, tuple(LEVELS[level].tolerances)
    reference, model = build_learning_pair(settings.seed, preset)
    if library == "minirnn":
        from minirnn.training import train

        train(model, training_set, settings, path.with_suffix(""), overwrite=True)
        found = _predict_in_batches(model.predict, held_out, library)
    else:
        train_torchvision(reference, training_set, settings)
        found = _predict_in_batches(lambda images: predict_torchvision(reference, images),
                                    held_out, library)  # fmt: skip
    from minirnn.evaluation import evaluate_results

    numbers = evaluate_results(held_out.ground_truth, found, kinds)
    result = {kind: float(numbers[kind]["AP"] or 0.0) for kind in kinds}
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(result) + "\n", encoding="utf-8")
    partial.replace(path)
    return result


def train_torchvision(reference: Any, dataset: Any, settings: TrainingSettings) -> list[float]:
    """Train a torchvision network as `minirnn.training.train` trains ours; returns the losses.

    Raises:
        InputError: a loss is not finite.
    """
    import torch
    from tqdm import tqdm

    from minirnn.data.loader import Loader
    from minirnn.training.schedule import learning_rate
    from minirnn.verify.parity_inference import as_tensors
    from minirnn.verify.parity_training import target_as_dict

    normalisation = tuple(
        name for name, module in reference.named_modules() if isinstance(module, torch.nn.GroupNorm)
    )
    named = dict(reference.named_parameters())
    undecayed = [p for n, p in named.items() if n.rpartition(".")[0] in normalisation]
    decayed = [p for n, p in named.items() if n.rpartition(".")[0] not in normalisation]
    optimiser = torch.optim.SGD(
        [{"params": undecayed, "weight_decay": 0.0}, {"params": decayed}],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    loader = Loader(
        dataset, settings.batch_size, steps=settings.steps, seed=settings.seed, flip=settings.flip
    )
    reference.train()
    totals = []
    with torch.random.fork_rng(devices=[]), tqdm(total=settings.steps, desc="torchvision") as bar:
        torch.manual_seed(settings.seed)
        for step, batch in enumerate(loader):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, settings)
            images = as_tensors([sample.image for sample in batch])
            losses = reference(images, [target_as_dict(sample, torch.float32) for sample in batch])
            total = sum(losses.values())
            optimiser.zero_grad()
            total.backward()
            if settings.clip_norm:
                torch.nn.utils.clip_grad_norm_(named.values(), settings.clip_norm)
            optimiser.step()
            totals.append(float(total.detach()))
            if not np.isfinite(totals[-1]):
                raise InputError(f"torchvision's loss is {totals[-1]} in step {step + 1}")
            bar.set_postfix_str(f"{totals[-1]:.3f}", refresh=False)
            bar.update()
    return totals


def predict_torchvision(reference: Any, images: Sequence[np.ndarray]) -> list[Detections]:
    """What a torchvision network finds, in the form of our detections."""
    import torch

    from minirnn.verify.parity_inference import as_tensors

    reference.eval()
    with torch.no_grad():
        outputs = reference(as_tensors(images))
    reference.train()
    return [
        Detections(
            boxes=output["boxes"].numpy(),
            labels=output["labels"].numpy(),
            scores=output["scores"].numpy(),
            masks=output["masks"].numpy()[:, 0] >= 0.5 if "masks" in output else None,
            keypoints=_scored_keypoints(output) if "keypoints" in output else None,
        )
        for output in outputs
    ]


def _scored_keypoints(output: dict[str, Any]) -> np.ndarray:
    """torchvision's keypoints (D, P, 3) with their scores in place of its constant visibility 1."""
    points = output["keypoints"].numpy().copy()
    points[..., 2] = output["keypoints_scores"].numpy()
    return points


def _predict_in_batches(predict: Any, held_out: Any, library: str) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from minirnn.evaluation import to_results

    found: list[dict[str, Any]] = []
    for start in tqdm(range(0, len(held_out), 8), desc=f"{library} finds"):
        samples = [held_out[i] for i in range(start, min(start + 8, len(held_out)))]
        for sample, detections in zip(
            samples, predict([sample.image for sample in samples]), strict=True
        ):
            found += to_results(detections, sample.target.image_id, held_out.label_to_category)
    return found
