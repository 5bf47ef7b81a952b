"""Losses: how far off, as one number. Targets are constants: no gradient flows to them.

The mean over no elements is 0, and so is its gradient: an image without objects has nothing to say
about boxes, and must not turn the weights into NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minirnn.autograd.tensor import Tensor, differentiable
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.require import require


@dataclass(frozen=True)
class LossTerm:
    """A loss: a mean, and the number of things that it is a mean over.

    With the count, terms of parts of a batch give the term of the batch: Σ count · mean / Σ count.
    """

    mean: Tensor
    count: int


def _check_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    ignore: int | None = None,
    class_weights: Array | None = None,
    reduction: str = "mean",
) -> None:
    _check_reduction(reduction)
    if logits.ndim != 2 or logits.shape[1] < 1:
        raise InputError(f"cross_entropy: logits has shape {logits.shape}; it should be (N, K)")
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"cross_entropy: labels has shape {labels.shape} and type {labels.dtype}; "
            f"it should be {logits.shape[:1]}, int"
        )
    if class_weights is not None and class_weights.shape != logits.shape[1:]:
        raise InputError(
            f"cross_entropy: class_weights has shape {class_weights.shape}; "
            f"it should be {logits.shape[1:]}, one number for each class"
        )
    wrong = (labels < 0) | (labels >= logits.shape[1])
    # A negative label would silently mean the last class.
    require(
        ~(wrong if ignore is None else wrong & (labels != ignore)).any(),
        lambda: InputError(
            f"cross_entropy: labels go from {int(labels.min())} to {int(labels.max())}; "
            f"they should be 0…{logits.shape[1] - 1}"
        ),
    )


@differentiable(check=_check_cross_entropy)
def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    ignore: int | None = None,
    class_weights: Array | None = None,
    reduction: str = "mean",
) -> tuple[Array, tuple]:
    """How surprised the predicted probabilities are by the true class, on average.

        l = -c[label] · log softmax(logits)[label]        dl/dlogits = c[label] · (softmax - one-hot)
        L = Σ l / Σ c[label]                               over the rows that count

    where all c are 1 unless class_weights says otherwise: rare classes can be made to count more.

    Args:
        logits: (N, K).
        labels: (N,) int, 0…K-1. No gradient flows to them.
        ignore: rows with this label count for nothing.
        class_weights: c, (K,); None for ones. A constant.
        reduction: "mean" (L above), "sum" of all l, or "none" for l itself, (N,).

    Returns:
        One number; 0 where no row counts. With "none", (N,).

    Raises:
        InputError: shapes or types do not fit, a label is not one of the K classes, or the reduction is
            unknown.
    """
    xp, rows = xp_of(logits, labels, class_weights), xp_of(logits).arange(len(labels))
    counts = xp.ones(labels.shape, bool) if ignore is None else labels != ignore
    own = xp.where(counts, labels, 0)
    share = counts.astype(logits.dtype)
    if class_weights is not None:
        share *= class_weights[own]
    n = _counted(share, ignore is None and class_weights is None) if reduction == "mean" else 1

    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    losses = -log_probability[rows, own] * share

    def gradient(dy: Array) -> Array:  # dy is one number, or (N,)
        dx = xp.exp(log_probability)
        dx[rows, own] -= 1
        return dx * (share * (dy / n))[:, None]

    return losses if reduction == "none" else losses.sum() / n, (gradient, None)


def _counted(share: Array, all_alike: bool) -> float:
    """Σ c[label], or 1 where that is 0. Where all rows count alike, a GPU need not be asked."""
    return (float(len(share)) if all_alike else float(share.sum())) or 1


@differentiable
def binary_cross_entropy_with_logits(
    logits: Array, targets: Array, *, reduction: str = "mean"
) -> tuple[Array, tuple]:
    """Cross entropy of yes or no, from logits, so that neither exp nor log can overflow.

        L = max(z, 0) - z t + log(1 + e^-|z|)        dL/dz = sigmoid(z) - t

    Args:
        logits: z, any shape.
        targets: t, of the same shape, 0…1 or bool. No gradient flows to them.
        reduction: "mean", "sum", or "none" for a loss per element.

    Returns:
        One number, 0 for empty input; with "none", of the logits' shape.

    Raises:
        InputError: shapes differ, or the reduction is unknown.
    """
    xp = xp_of(logits, targets)
    _check("binary_cross_entropy_with_logits", "logits", logits, targets)
    targets = targets.astype(logits.dtype, copy=False)
    small = xp.exp(-xp.absolute(logits))
    loss = xp.maximum(logits, 0) - logits * targets + xp.log1p(small)

    def slope() -> Array:
        return xp.where(logits >= 0, xp.ones_like(small), small) / (1 + small) - targets

    return _reduce(loss, slope, reduction)


@differentiable
def smooth_l1(
    prediction: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean"
) -> tuple[Array, tuple]:
    """Square near zero, straight beyond beta: large errors do not drown the others.

        d = prediction - target
        L = d² / (2β)  where |d| < β,  else |d| - β/2        dL/dd = clip(d / β, -1, 1)

    Args:
        prediction: any shape.
        target: of the same shape. No gradient flows to it.
        beta: where the square turns into the line; 0 is the plain absolute difference.
        reduction: "mean", "sum", or "none" for a loss per element.

    Returns:
        One number, 0 for empty input; with "none", of the prediction's shape.

    Raises:
        InputError: shapes differ, beta is negative, or the reduction is unknown.

    Source: Girshick, "Fast R-CNN", 2015, equation 3 (there β = 1).
    """
    xp = xp_of(prediction, target)
    _check("smooth_l1", "prediction", prediction, target)
    if beta < 0:
        raise InputError(f"smooth_l1: beta is {beta}; it should be 0 or more")
    difference = prediction - target.astype(prediction.dtype, copy=False)
    distance = xp.absolute(difference)
    if beta == 0:
        return _reduce(distance, lambda: xp.sign(difference), reduction)
    inside = distance < beta
    loss = xp.where(inside, difference * difference / (2 * beta), distance - beta / 2)
    return _reduce(loss, lambda: xp.clip(difference / beta, -1, 1), reduction)


def _check(name: str, argument: str, prediction: Array, target: Array) -> None:
    # Broadcasting would make a loss of (N, 1) against (N,) that nobody meant.
    if prediction.shape != target.shape:
        raise InputError(
            f"{name}: {argument} has shape {prediction.shape}, and what it is compared with "
            f"{target.shape}; they should be equal"
        )


def _reduce(loss: Array, slope: Callable[[], Array], reduction: str) -> tuple[Any, tuple]:
    """The loss as one number, or as it is; `slope` is the derivative of each element's loss."""
    _check_reduction(reduction)
    if reduction == "none":
        return loss, (lambda dy: dy * slope(), None)
    if reduction == "sum":
        return loss.sum(), (lambda dy: slope() * dy, None)
    n = loss.size or 1
    return loss.sum() / n, (lambda dy: slope() * (dy / n), None)


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"reduction is {reduction!r}; it should be 'mean', 'sum' or 'none'")
