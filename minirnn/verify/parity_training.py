"""Training beside torchvision's: the same weights, batch and samples; losses, gradients and steps.

Which anchors and regions a step learns from is drawn at random. torchvision draws, and what it drew
is handed to us, together with the resized images and its proposals (two proposals of nearly equal
score may stand in another order, and then an index means another region). Nothing else is: matching,
targets, losses, gradients and the optimiser are each network's own.

The derivative of a ReLU jumps at 0. Where rounding moves its input from one side to the other, a
gradient is wrong by a whole term, not by a rounding error: if one in a million units does, the
gradient's length is off by about a thousandth, √10⁻⁶. So the gradients are compared in float64, where
formulas are all that can differ. In float32 there is no right answer to compare with but that of
float64: torchvision's network is run once more in float64 with the same draws, and our float32
gradients have to be as close to it as torchvision's own are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np

from minirnn import matching
from minirnn.data.sample import Sample
from minirnn.models import RCNN
from minirnn.training.optimiser import SGD
from minirnn.verify.difference import host
from minirnn.verify.parity_inference import as_tensors, handed_over
from minirnn.verify.parity_rows import Comparison, Row
from minirnn.verify.torchvision_model import build_pair

#: Our names of the losses, and torchvision's. A network has the last two if it has the head.
LOSSES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "roi_class": "loss_classifier",
    "roi_box": "loss_box_reg",
    "mask": "loss_mask",
    "keypoint": "loss_keypoint",
}
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-3
#: In float32: our distance from float64, over torchvision's. Which units fall to the other side of
#: a ReLU's kink is chance, so that it varies around 1.
FLOAT32_RATIO = 2.0
CURVE_TOLERANCE = 1e-3
#: A parameter's gradient is measured against its length, or against this part of the length of all
#: gradients together. One that is 0 has no digits to compare: the softmax of a keypoint's map is blind to
#: what is added to all cells, so that the bias of the maps learns nothing but rounding errors.
SMALLEST_GRADIENT = 1e-6


def training_parity(
    samples: Sequence[Sample],
    seed: int = 0,
    min_size: int = 800,
    *,
    steps: int = 20,
    roi_samples: int = 64,
    learning_rate: float = 1e-4,
    dtype: str = "float64",
    keypoints: bool = False,
) -> list[Row]:
    """Compare losses and gradients of one batch, then the losses over some steps of SGD on it.

    Args:
        samples: images and ground truth, the batch. Crowds are left out: torchvision knows none.
        seed: of the weights and of torchvision's sampling.
        min_size: shorter side that the images are scaled to.
        steps: of SGD with momentum 0.9 and weight decay 1e-4.
        roi_samples: regions per image that the heads learn from.
        learning_rate: of SGD.
        dtype: what both networks compute in, "float64" or "float32".
        keypoints: train Keypoint R-CNN, not Mask R-CNN; the samples are people with keypoints.

    Returns:
        Rows for targets, losses, gradients by part of the network, and curves.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    import torch

    reference, model = build_pair(
        seed, min_size=min_size, roi_samples=roi_samples, keypoints=keypoints
    )
    reference.to(getattr(torch, dtype))
    model.astype(dtype)
    samples = [without_crowds(sample) for sample in samples]
    for sample in samples:  # or we would scale the boxes in float32, and torchvision in `dtype`
        sample.target.boxes = sample.target.boxes.astype(dtype)
    comparison = Comparison("torchvision")
    optimiser = SGD(model, momentum=0.9, weight_decay=1e-4)
    their_optimiser = torch.optim.SGD(
        reference.parameters(), lr=learning_rate, momentum=0.9, weight_decay=1e-4
    )
    reference.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps + 1):
            seen = _Seen()
            theirs, ours = both_losses(comparison, reference, model, samples, seen)
            pairs = {n: (float(ours[n]), float(theirs[LOSSES[n]].item())) for n in ours}
            pairs["sum"] = (sum(a for a, _ in pairs.values()), sum(b for _, b in pairs.values()))
            for name, (our_value, their_value) in pairs.items():
                _compare_loss(comparison, step, name, our_value, their_value)
            if step == steps:
                break
            their_optimiser.zero_grad()
            sum(theirs.values()).backward()
            optimiser.zero_grad()
            total: Any = sum(ours.values(), start=0.0)
            total.backward()
            if step == 0 and dtype == "float64":
                _compare_gradients(comparison, reference, model)
            elif step == 0:
                exact = _gradients_in_float64(reference, samples, seen)
                _compare_float32_gradients(comparison, reference, model, exact)
            their_optimiser.step()
            optimiser.step(learning_rate)
    _compare_weights(comparison, reference, model, steps)
    return comparison.rows


def without_crowds(sample: Sample) -> Sample:
    """The sample without its crowd regions."""
    target = sample.target
    objects = ~target.is_crowd
    masks = None if target.masks is None else target.masks[objects]
    keypoints = None if target.keypoints is None else target.keypoints[objects]
    kept = replace(
        target,
        boxes=target.boxes[objects],
        labels=target.labels[objects],
        masks=masks,
        is_crowd=target.is_crowd[objects],
        keypoints=keypoints,
    )
    return Sample(sample.image, kept)


def both_losses(
    comparison: Comparison,
    reference: Any,
    model: RCNN,
    samples: Sequence[Sample],
    seen: _Seen | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """torchvision's losses, then ours with its proposals and samples. Enters the targets' rows.

    What torchvision drew is added to `seen`, if it is given.
    """
    seen = _Seen() if seen is None else seen
    images = [sample.image for sample in samples]
    dtype = next(reference.parameters()).dtype
    with _recorded(reference, seen):
        theirs = reference(
            [image.to(dtype) for image in as_tensors(images)],
            [target_as_dict(sample, dtype) for sample in samples],
        )
    draws = iter(seen.draws)

    def sample(matches: np.ndarray, *_: Any) -> tuple[np.ndarray, np.ndarray]:
        labels, positives, negatives = next(draws)
        of_ours = np.where(matches >= 0, 1, np.where(matches == matching.BACKGROUND, 0, -1))
        comparison.number(
            "targets", "anchors and regions with another role", int((of_ours != labels).sum()),
            cases=len(labels), absolute=0.0, note="object, background or neither",
        )  # fmt: skip
        return positives, negatives

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(matching, "sample", sample))
        stack.enter_context(handed_over(model, seen.images))
        stack.enter_context(mock.patch.object(model.rpn, "select", return_value=seen.proposals))
        ours = model.losses(images, [sample.target for sample in samples])
    return theirs, ours


def target_as_dict(sample: Sample, dtype: Any) -> dict[str, Any]:
    """A sample's ground truth in the form that torchvision takes it."""
    import torch

    target = sample.target
    there = {
        "boxes": torch.from_numpy(np.asarray(target.boxes)).to(dtype),
        "labels": torch.from_numpy(np.asarray(target.labels)),
    }
    if target.masks is not None:
        there["masks"] = torch.from_numpy(np.asarray(target.masks).astype(np.uint8))
    if target.keypoints is not None:
        # In float32 whatever the network computes in: torchvision takes nothing else.
        there["keypoints"] = torch.from_numpy(np.asarray(target.keypoints, np.float32))
    return there


@dataclass
class _Seen:
    """What torchvision made of a batch and drew for it.

    Attributes:
        images: (N, 3, H, W), resized.
        proposals: (P, 4) of each image.
        draws: for each image's anchors, then for each image's regions: role of each (1 object, 0
            background, -1 neither), indices of the drawn objects, indices of the drawn background.
    """

    images: np.ndarray = field(default_factory=lambda: np.zeros(0))
    proposals: list[np.ndarray] = field(default_factory=list)
    draws: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)


@contextmanager
def _recorded(reference: Any, seen: _Seen) -> Iterator[None]:
    """Inside, what torchvision makes and draws is also written down."""

    def recording(draw: Any) -> Any:
        def sampler(labels: list[Any]) -> Any:
            positives, negatives = draw(labels)
            for of_image, positive, negative in zip(labels, positives, negatives, strict=True):
                role = np.sign(host(of_image)).astype(np.int64)
                chosen = (np.flatnonzero(host(x)) for x in (positive, negative))
                seen.draws.append((role, *chosen))
            return positives, negatives

        return sampler

    def keep_images(module: Any, inputs: Any, output: Any) -> None:
        seen.images = host(output[0].tensors)

    def keep_proposals(module: Any, inputs: Any, output: Any) -> None:
        seen.proposals = [host(boxes) for boxes in output[0]]

    with ExitStack() as stack:
        for part, hook in ((reference.transform, keep_images), (reference.rpn, keep_proposals)):
            stack.callback(part.register_forward_hook(hook).remove)
        for part in (reference.rpn, reference.roi_heads):
            sampler = recording(part.fg_bg_sampler)
            stack.enter_context(mock.patch.object(part, "fg_bg_sampler", sampler))
        yield


def _gradients_in_float64(
    reference: Any, samples: Sequence[Sample], seen: _Seen
) -> dict[str, np.ndarray]:
    """Gradients of torchvision's network in float64, with images, proposals and draws as in `seen`."""
    import torch

    exact = copy.deepcopy(reference).double()
    exact.zero_grad()
    draws = iter(seen.draws)

    def replay(labels: list[Any]) -> Any:
        masks: tuple[list[Any], list[Any]] = ([], [])
        for of_image in labels:
            _, *chosen = next(draws)
            for kind, indices in zip(masks, chosen, strict=True):
                mask = torch.zeros(len(of_image), dtype=torch.uint8)
                mask[torch.from_numpy(indices)] = 1
                kind.append(mask)
        return masks

    def same_images(module: Any, inputs: Any, output: Any) -> None:
        output[0].tensors = torch.from_numpy(seen.images).double()

    proposals = [torch.from_numpy(boxes).double() for boxes in seen.proposals]
    with ExitStack() as stack:
        stack.callback(exact.transform.register_forward_hook(same_images).remove)
        chosen = mock.patch.object(exact.rpn, "filter_proposals", return_value=(proposals, None))
        stack.enter_context(chosen)
        for part in (exact.rpn, exact.roi_heads):
            stack.enter_context(mock.patch.object(part, "fg_bg_sampler", replay))
        losses = exact(
            [image.double() for image in as_tensors([sample.image for sample in samples])],
            [target_as_dict(sample, torch.float64) for sample in samples],
        )
        sum(losses.values()).backward()
    return {name: host(parameter.grad) for name, parameter in exact.named_parameters()}


def _compare_loss(comparison: Comparison, step: int, name: str, ours: float, theirs: float) -> None:
    error = abs(ours - theirs)
    relative = error / abs(theirs) if theirs else error
    if step == 0:
        comparison.number("losses", name, error, relative, cases=1, relative=LOSS_TOLERANCE)
    comparison.number(
        "curves", name, error, relative, cases=1, relative=CURVE_TOLERANCE,
        note=f"from {theirs:.4f}" if step == 0 else "",
    )  # fmt: skip


def _compare_gradients(comparison: Comparison, reference: Any, model: RCNN) -> None:
    """|ours - theirs| / |theirs| of each parameter; a row for each part, by its worst parameter."""
    least = SMALLEST_GRADIENT * length_of(reference)
    theirs = dict(reference.named_parameters())
    ours = dict(model.named_parameters())
    missing = set(theirs) ^ set(ours)
    comparison.number(
        "gradients", "parameters that only one has", len(missing), cases=len(theirs), absolute=0.0,
        note=", ".join(sorted(missing)),
    )  # fmt: skip
    for name in sorted(set(theirs) & set(ours)):
        error, relative = distance(ours[name].grad, host(theirs[name].grad), least)
        comparison.number(
            "gradients", _part(name), error, relative, cases=1, relative=GRADIENT_TOLERANCE,
            note=f"worst: {name}",
        )  # fmt: skip


def _compare_float32_gradients(
    comparison: Comparison, reference: Any, model: RCNN, exact: dict[str, np.ndarray]
) -> None:
    """Each part's worst distance from float64; it may be FLOAT32_RATIO times torchvision's own."""
    least = SMALLEST_GRADIENT * length_of(reference)
    ours = dict(model.named_parameters())
    worst: dict[str, tuple[float, float, float, int]] = {}
    for name, parameter in reference.named_parameters():
        error, relative = distance(ours[name].grad, exact[name], least)
        _, their_relative = distance(host(parameter.grad), exact[name], least)
        before = worst.get(_part(name), (0.0, 0.0, 0.0, 0))
        pairs = zip(before, (error, relative, their_relative), strict=False)
        worst[_part(name)] = (*(max(pair) for pair in pairs), before[3] + 1)  # type: ignore[assignment]
    for part, (error, relative, their_relative, count) in worst.items():
        comparison.number(
            "gradients", part, error, relative, cases=count,
            relative=max(GRADIENT_TOLERANCE, FLOAT32_RATIO * their_relative),
            note=f"from float64; torchvision's own: {their_relative:.1e}",
        )  # fmt: skip


def length_of(reference: Any) -> float:
    """The length of all gradients of a torch module together."""
    gradients = (host(p.grad).astype(np.float64) for p in reference.parameters())
    return math.sqrt(sum(float(np.square(gradient).sum()) for gradient in gradients))


def distance(gradient: Any, wanted: np.ndarray, least: float) -> tuple[float, float]:
    """Largest difference, and the length of the difference over that of `wanted`, or over `least`."""
    if gradient is None:
        return float(np.abs(wanted).max()), 1.0
    difference = host(gradient) - wanted.astype(np.float64)
    length = max(float(np.linalg.norm(wanted)), least)
    error = float(np.abs(difference).max())
    return error, float(np.linalg.norm(difference)) / length if length else error


def _compare_weights(comparison: Comparison, reference: Any, model: RCNN, steps: int) -> None:
    theirs = dict(reference.named_parameters())
    for name, tensor in model.named_parameters():
        comparison.arrays(
            "weights", f"after {steps} steps", tensor.data, theirs[name], relative=CURVE_TOLERANCE,
            note=f"worst: {name}",
        )  # fmt: skip


def _part(name: str) -> str:
    """The part of the network that a parameter belongs to."""
    words = name.split(".")
    if words[0] == "backbone":
        return words[2] if words[1] == "body" else "fpn"
    return words[0] if words[0] == "rpn" else words[1]
