"""PyTorch: every operation, its gradient by torch's own autograd, and the losses made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from minirnn.ops.checks import sides
from minirnn.training.settings import TrainingSettings
from minirnn.verify.drawing import mapped
from minirnn.verify.references import Skip

# torch.Tensor. Types are checked where there is no torch, too.
Tensor = Any


def to_torch(value: Any) -> Any:
    """Arrays in lists, tuples, dictionaries and data classes as tensors of their own memory.

    They lie on torch's default device, the processor unless `torch.device` is told otherwise.
    """
    device = torch.get_default_device()
    return mapped(value, lambda array: torch.from_numpy(np.array(array)).to(device))


def prepared(
    function: Callable, inputs: Sequence[Any], settings: dict[str, Any], threads: int
) -> Callable[[], Any]:
    """See `Reference.prepared`. `threads` is not used: torch's number is set for the whole process."""
    inputs, settings = to_torch(list(inputs)), to_torch(settings)

    def run() -> Any:
        with torch.no_grad():
            return function(*inputs, **settings)

    return run


def gradient(
    function: Callable,
    inputs: Sequence[Any],
    settings: dict[str, Any],
    positions: Sequence[int],
    cotangents: Sequence[np.ndarray],
) -> Callable[[], list[Tensor]]:
    """A function that gives dL/d(input) for inputs at some positions, where L = Σ cotangent · output."""
    inputs = to_torch(list(inputs))
    leaves = [inputs[position].requires_grad_(True) for position in positions]
    outputs = function(*inputs, **to_torch(settings))
    several = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    goals = zip(several, to_torch(list(cotangents)), strict=True)
    ways = [(y, dy) for y, dy in goals if y.requires_grad]

    def run() -> list[Tensor]:
        if not ways:
            return [torch.zeros_like(x) for x in leaves]
        ys, dys = zip(*ways, strict=True)
        found = torch.autograd.grad(ys, leaves, dys, retain_graph=True, allow_unused=True)
        pairs = zip(leaves, found, strict=True)
        return [torch.zeros_like(x) if dx is None else dx for x, dx in pairs]

    return run


def named(function: Callable, **names: str) -> Callable:
    """A function of torch by our names of its settings: `named(torch.clamp, low="min")`."""
    return lambda *inputs, **settings: function(
        *inputs, **{names.get(name, name): value for name, value in settings.items()}
    )


def _take(x: Tensor, *, index: Any) -> Tensor:
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        # Torch's slices go up only.
        return x.flip([a for a, p in enumerate(parts) if isinstance(p, slice) and p.step == -1])
    return x[index]


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *add: Tensor,
    relu: bool = False,
    relu6: bool = False,
    padding: Any = 0,
    **window: Any,
) -> Tensor:
    # torch takes paddings of which opposite sides are equal.
    (top, bottom), (left, right) = sides(padding)
    y = F.conv2d(F.pad(x, [left, right, top, bottom]), weight, bias, **window)
    y = sum(add, y)
    return F.relu6(y) if relu6 else F.relu(y) if relu else y


def _scale_masks(masks: Tensor, size: Any) -> Tensor:
    if not len(masks):
        raise Skip("refuses empty arrays")
    return F.interpolate(masks[None].to(torch.float32), size, mode="nearest")[0].bool()


def _mask_loss(logits: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
    own = logits[torch.arange(len(labels)), labels]
    return F.binary_cross_entropy_with_logits(own, masks)


def encoded(anchors: Tensor, boxes: Tensor, weights: Any) -> Tensor:
    """Faster R-CNN's box code, from its equations."""
    size, goal = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    moved = ((boxes[:, 2:] + boxes[:, :2]) / 2 - (anchors[:, 2:] + anchors[:, :2]) / 2) / size
    return torch.cat([moved, torch.log(goal / size)], 1) * torch.tensor(weights)


def _box_losses(
    logits: Tensor,
    deltas: Tensor,
    regions: Tensor,
    labels: Tensor,
    matched: Tensor,
    *,
    weights: Any = (10.0, 10.0, 5.0, 5.0),
    beta: float = 1 / 9,
) -> tuple[Tensor, Tensor]:
    positive = torch.nonzero(labels > 0)[:, 0]
    own = deltas.reshape(len(labels), -1, 4)[positive, labels[positive]]
    goal = encoded(regions[positive], matched[positive], weights)
    box = F.smooth_l1_loss(own, goal, beta=beta, reduction="sum") / len(labels)
    return F.cross_entropy(logits, labels), box


def _rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    *drawn: Any,
    weights: Any = (1.0, 1.0, 1.0, 1.0),
    beta: float = 1 / 9,
) -> tuple[Tensor, Tensor]:
    chosen, is_object, own, goals = [], [], [], []
    # Targets, matches and sampled, of each image.
    for image, (truth, match, (positive, negative)) in enumerate(zip(*drawn, strict=True)):
        chosen += [logits[image, positive], logits[image, negative]]
        is_object += [torch.ones(len(positive)), torch.zeros(len(negative))]
        own.append(deltas[image, positive])
        goals.append(encoded(anchors[positive], truth.boxes[match[positive]], weights))
    answers, goal = torch.cat(chosen), torch.cat(is_object).to(logits.dtype)
    objectness = F.binary_cross_entropy_with_logits(answers, goal)
    box = F.smooth_l1_loss(torch.cat(own), torch.cat(goals), beta=beta, reduction="sum")
    return objectness, box / len(answers)


def _sgd_steps(parameter: Tensor, gradients: Tensor, **settings: float) -> Tensor:
    parameter = parameter.clone().requires_grad_(True)
    optimiser = torch.optim.SGD([parameter], lr=settings.pop("learning_rate"), **settings)
    for gradient in gradients:
        parameter.grad = gradient
        optimiser.step()
    return parameter.detach()


def _adamw_steps(
    parameter: Tensor,
    gradients: Tensor,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    **rest: float,
) -> Tensor:
    parameter = parameter.clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([parameter], lr=learning_rate, betas=(beta1, beta2), **rest)
    for gradient in gradients:
        parameter.grad = gradient
        optimiser.step()
    return parameter.detach()


def _clipped(*gradients: Tensor, max_norm: float) -> list[Tensor]:
    parameters = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    # torch divides by norm + 1e-6 so as not to divide by 0. That factor is taken out again.
    factor = (norm + 1e-6) / norm if norm > max_norm else 1.0
    return [parameter.grad * factor for parameter in parameters]


def _learning_rates(**settings: Any) -> np.ndarray:
    """torch's own schedulers, put one behind the other, or one on top of the other."""
    from torch.optim import lr_scheduler as scheduler

    run = TrainingSettings(**settings)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=run.learning_rate)
    parts: list[Any] = []
    if run.warmup_steps:
        parts.append(scheduler.LinearLR(optimiser, run.warmup_factor, 1.0, run.warmup_steps))
    if run.schedule == "step":
        parts.append(scheduler.MultiStepLR(optimiser, list(run.milestones), run.gamma))
    elif run.schedule == "cosine":
        low, length = run.final_fraction * run.learning_rate, run.steps - run.warmup_steps
        parts.append(scheduler.CosineAnnealingLR(optimiser, length, low))
    if run.schedule == "cosine" and run.warmup_steps:
        whole: Any = scheduler.SequentialLR(optimiser, parts, [run.warmup_steps])
    else:
        whole = scheduler.ChainedScheduler(parts)
    rates = []
    for _ in range(run.steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        whole.step()
    return np.array(rates)


FUNCTIONS: dict[str, Callable] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "negative": torch.neg,
    "power": torch.pow,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "absolute": torch.abs,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "clip": named(torch.clamp, low="min", high="max"),
    "where": torch.where,
    "matmul": torch.matmul,
    "reshape": torch.reshape,
    "flatten": lambda x: x.reshape(len(x), int(np.prod(x.shape[1:]))),
    "transpose": lambda x, *, axes=None: x.permute(axes or tuple(range(x.ndim))[::-1]),
    "take": _take,
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
    "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "pad": lambda x, *, widths: F.pad(x, [n for pair in reversed(widths) for n in pair]),
    "broadcast_to": named(torch.broadcast_to, shape="size"),
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda x, *, axis=-1: torch.softmax(x, axis),
    "log_softmax": lambda x, *, axis=-1: torch.log_softmax(x, axis),
    "max_pool2d": named(F.max_pool2d, kernel="kernel_size"),
    "avg_pool2d": named(F.avg_pool2d, kernel="kernel_size"),
    "global_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
    "nearest": F.interpolate,
    "bilinear": partial(F.interpolate, mode="bilinear"),
    "bicubic": partial(F.interpolate, mode="bicubic"),
    "group_norm": lambda x, w, b, *, groups, eps=1e-5: F.group_norm(x, groups, w, b, eps),
    "batch_norm": lambda x, w, b, **eps: F.batch_norm(x, None, None, w, b, training=True, **eps),
    "frozen_batch_norm": lambda x, w, b, mean, var, **eps: F.batch_norm(x, mean, var, w, b, **eps),
    "layer_norm": lambda x, *wb, **eps: F.layer_norm(x, x.shape[-1:], *wb, **eps),
    "cross_entropy": named(F.cross_entropy, ignore="ignore_index", class_weights="weight"),
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "smooth_l1": F.smooth_l1_loss,
    "conv2d": _conv2d,
    "conv_transpose2d": F.conv_transpose2d,
    "linear": F.linear,
    "box_encode": lambda a, b, weights=(1.0, 1.0, 1.0, 1.0): encoded(a, b, weights),
    "rpn_losses": _rpn_losses,
    "box_losses": _box_losses,
    "mask_loss": _mask_loss,
    "mask_probabilities": lambda x, labels: torch.sigmoid(x[torch.arange(len(labels)), labels]),
    "scale_masks": _scale_masks,
    "adamw_steps": _adamw_steps,
    "sgd_steps": _sgd_steps,
    "clipped_gradients": _clipped,
    "learning_rates": _learning_rates,
}
