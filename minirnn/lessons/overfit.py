"""A tiny network that learns one made-up picture by heart, in seconds: what lesson 11 looks at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.boxes import iou
from minirnn.lessons.subjects import Subject
from minirnn.models import RCNN, build_model
from minirnn.nn import Module
from minirnn.structures import Detections, Target
from minirnn.training.optimiser import SGD, clip_gradients


@dataclass
class Course:
    """What was written down during a training.

    Attributes:
        records: of each step its number, its losses by name, and the gradient's norm before clipping, in
            the form that `curves_figure` takes.
        seen: what the network finds in the picture, after so many steps.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[int, Detections] = field(default_factory=dict)


class _InDouble(Module):
    """A backbone that is given its images in double precision."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def forward(self, images: Any) -> Any:
        if isinstance(images, Tensor):
            return self.inner(Tensor(images.data.astype(np.float64)))
        return self.inner(images.astype(np.float64))


def tiny_network(size: int, seed: int = 0) -> RCNN:
    """Mask R-CNN with 230,000 weights for made-up scenes of one size, not trained.

    It computes in double precision, so that a hundred steps give the same digits on every machine: which
    proposals are drawn depends on the last digit, and a training in single precision soon goes another way.

    Args:
        size: height and width of the pictures, in pixels.
        seed: draws the first weights.
    """
    model = build_model(
        "maskrcnn_shapes", seed=seed, min_size=(size,),
        small_widths=(16, 32, 64), fpn_channels=32, box_width=64, mask_width=16,
        rpn_samples=64, rpn_pre_nms_train=100, rpn_post_nms_train=50,
        rpn_pre_nms_test=100, rpn_post_nms_test=50, roi_samples=32,
    )  # fmt: skip
    for _, parameter in model.named_parameters():
        parameter.data = parameter.data.astype(np.float64)
    model.backbone = _InDouble(model.backbone)
    return model


def target_of(subject: Subject) -> Target:
    """What a network is to find in a scene.

    Raises:
        ValueError: it is the photograph, whose objects have no labels and masks.
    """
    if subject.labels is None or subject.masks is None:
        raise ValueError("the photograph's objects have no labels and masks; take a scene")
    crowds = np.zeros(len(subject.boxes), dtype=bool)
    boxes = subject.boxes.astype(np.float64)
    return Target(boxes, subject.labels.astype(np.intp), subject.masks, crowds)


def train(
    model: RCNN,
    image: np.ndarray,
    target: Target,
    steps: int,
    *,
    rate: float = 0.02,
    watch: Collection[int] = (),
    optimiser_class: type[SGD] = SGD,
) -> Course:
    """Teach a network one picture: the training loop without what a long run needs around it."""
    course, rng = Course(), np.random.default_rng(0)
    optimiser = optimiser_class(model, momentum=0.9, weight_decay=0.0)
    for step in range(steps + 1):
        if step in watch:
            (course.seen[step],) = model.predict([image])
        if step == steps:
            break
        losses = model.losses([image], [target], rng)
        optimiser.zero_grad()
        total: Any = sum(losses.values())
        total.backward()
        norm = clip_gradients(optimiser.parameters(), 10.0)
        optimiser.step(rate * min(1.0, (step + 1) / 10))
        values = {name: float(loss.data) for name, loss in losses.items()}
        course.records.append({"step": step, "losses": values, "gradient_norm": norm})
    return course


def found(detections: Detections, subject: Subject) -> tuple[int, float]:
    """How many objects a network found, and how well its masks fit.

    An object is found by a detection of its label with a score of at least 0.5 and an IoU of the boxes of
    at least 0.5.

    Returns:
        The number of objects; the mean IoU of their masks with the true ones, 0 where none was found.
    """
    assert subject.labels is not None
    assert subject.masks is not None
    overlap = iou(np.asarray(detections.boxes, dtype=float), subject.boxes)
    fits = (overlap >= 0.5) & (detections.labels[:, None] == subject.labels[None])
    fits &= (detections.scores >= 0.5)[:, None]
    qualities = []
    for g in np.flatnonzero(fits.any(axis=0)):
        best = int(np.argmax(np.where(fits[:, g], overlap[:, g], -1)))
        assert detections.masks is not None
        mine, true = detections.masks[best], subject.masks[g]
        qualities.append((mine & true).sum() / (mine | true).sum())
    return len(qualities), float(np.mean(qualities)) if qualities else 0.0


class _Forgetful(SGD):
    """An optimiser with a bug."""

    def zero_grad(self) -> None:
        """Does nothing."""


def mystery(model: RCNN, image: np.ndarray, target: Target, steps: int) -> Course:
    """`train` with a bug, which the exercise of lesson 11 asks for."""
    return train(model, image, target, steps, optimiser_class=_Forgetful)
