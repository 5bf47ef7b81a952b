"""Lesson 02: the size of a result, what a cell sees, and a normalisation that goes into the kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.ops.checks import conv_size
from minirnn.ops.convolution import conv2d
from minirnn.ops.normalisation import scale_and_shift

Layers = Sequence[tuple[int, int]]


def _output_size(n: int, kernel: int, stride: int, padding: int) -> int:
    return conv_size((n, 1), (kernel, 1), stride, (padding, 0), 1)[0]


def _sizes(rng: np.random.Generator) -> list[tuple]:
    cases = [(512, 7, 2, 3), (7, 3, 2, 1), (8, 3, 2, 1), (1, 1, 1, 0), (3, 3, 1, 0)]
    for _ in range(35):
        kernel = int(rng.choice([1, 2, 3, 5, 7]))
        padding = int(rng.integers(0, kernel // 2 + 1))
        n = int(rng.integers(max(kernel, 4), 40))
        cases.append((n, kernel, int(rng.integers(1, 4)), padding))
    return cases


OUTPUT_SIZE = Function(
    name="output_size",
    truth=_output_size,
    cases=_sizes,
    shown=("n", "kernel", "stride", "padding"),
    mistakes=(
        Mistake("padding_once",
                "you added the padding once; there is a ring, so it lies at both ends",
                lambda n, k, s, p: (n + p - k) // s + 1),
        Mistake("n_over_stride",
                "you divided by the stride and forgot that the kernel has a width: near the end it does "
                "not fit any more, unless there is padding",
                lambda n, k, s, p: n // s),
        Mistake("ceil",
                "you rounded up; a last step that is not a whole one leads out of the map",
                lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1),
        Mistake("fence_post",
                "you counted the steps; there is one place more than there are steps between them",
                lambda n, k, s, p: (n + 2 * p - k) // s),
        Mistake("fraction",
                "you did not round; there are whole places only",
                lambda n, k, s, p: (n + 2 * p - k) / s + 1),
        Mistake("one_before_division",
                "you added the 1 before the division; it is the first place, which needs no step",
                lambda n, k, s, p: (n + 2 * p - k + 1) // s),
    ),
    properties=(
        Property("sizes are whole numbers", lambda _, size: float(size) % 1 == 0),
        Property("the kernel fits in one place at least", lambda _, size: float(size) >= 1),
    ),
    why="The first place is where the kernel begins, and each whole step is one more: rows and columns "
    "that no step reaches are not read at all.",
    hints=(
        "How long is the padded map? How far can the kernel move in it from its first place?",
        "The way is n + 2 · padding − kernel. How many whole steps of `stride` are in it?",
        "And the place at which it began counts, too.",
    ),
    solution="""
def output_size(n, kernel, stride, padding):
    return (n + 2 * padding - kernel) // stride + 1
""",
)  # fmt: skip


def _receptive_field(layers: Layers) -> int:
    """How many pixels of a row one cell's gradient reaches, through convolutions with kernels of ones."""
    width = 1
    for kernel, stride in reversed(layers):  # just wide enough for a cell and its neighbours
        width = (width - 1 + 2) * stride + kernel
    maps = [np.ones((1, 1, 1, width))]
    backs = []
    for kernel, stride in layers:
        y, (to_x, _, _) = conv2d.raw(maps[-1], np.ones((1, 1, 1, kernel)), None, stride=(1, stride))
        maps.append(y)
        backs.append(to_x)
    dy = np.zeros_like(maps[-1])
    dy[..., dy.shape[3] // 2] = 1
    for to_x in reversed(backs):
        dy = to_x(dy)
    # A kernel smaller than its stride leaves holes; the field is from the first pixel to the last.
    seen = np.flatnonzero(dy)
    return int(seen[-1] - seen[0] + 1)


def _stacks(rng: np.random.Generator) -> list[tuple]:
    cases: list[list[tuple[int, int]]] = [
        [(3, 1)], [(1, 1)], [(3, 1), (3, 1)], [(3, 2), (3, 1)], [(3, 1), (3, 2)], [(1, 2), (3, 1)],
        [(7, 2), (3, 2), (3, 1)],
    ]  # fmt: skip
    for _ in range(25):
        count = int(rng.integers(2, 5))
        cases.append(
            [(int(rng.choice([1, 3, 3, 5])), int(rng.choice([1, 1, 2]))) for _ in range(count)]
        )
    return [(layers,) for layers in cases]


def _forwards(layers: Layers, early: bool = False, ignore: bool = False) -> int:
    size, jump = 1, 1
    for kernel, stride in layers:
        if early:
            jump *= stride
        size += (kernel - 1) * (1 if ignore else jump)
        if not early:
            jump *= stride
    return size


def _backwards(layers: Layers) -> int:
    size = 1
    for kernel, stride in layers:
        size = (size - 1) * stride + kernel
    return size


RECEPTIVE_FIELD = Function(
    name="receptive_field",
    truth=_receptive_field,
    cases=_stacks,
    shown=("layers",),
    mistakes=(
        Mistake("stride",
                "you gave the stride of the map: how far apart two neighbours look, not how much each sees",
                lambda layers: math.prod(stride for _, stride in layers)),
        Mistake("kernels_added",
                "you added up the kernels; neighbouring fields overlap, so that one more kernel of k adds "
                "less than k",
                lambda layers: sum(kernel for kernel, _ in layers)),
        Mistake("strides_ignored",
                "you took each cell for one pixel wide; after a stride, the next kernel takes longer steps",
                lambda layers: _forwards(layers, ignore=True)),
        Mistake("too_early",
                "you let a layer's stride count for its own kernel; it only counts for those after it",
                lambda layers: _forwards(layers, early=True)),
        Mistake("wrong_way",
                "you went through the layers in the wrong order: the picture is at the first of them",
                _backwards),
        Mistake("kernels_multiplied",
                "you multiplied the kernels; neighbouring fields overlap",
                lambda layers: math.prod(kernel for kernel, _ in layers)),
    ),
    properties=(
        Property("a cell sees at least one pixel", lambda _, size: float(size) >= 1),
    ),
    why="Each kernel adds its width less one, in steps as long as all the strides before it: it is the "
    "late layers that see far.",
    hints=(
        "One cell of the last map: how many cells does it read of the map before? And those, of the one "
        "before that?",
        "Going back: `size` neighbouring cells of a layer lie size − 1 strides apart, and the last of them "
        "reads a whole kernel.",
        "So for the layers from the last to the first: size becomes (size − 1) · stride + kernel.",
    ),
    solution="""
def receptive_field(layers):
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size
""",
)  # fmt: skip


def _fold_bn(
    kernel: np.ndarray, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray,
    variance: np.ndarray, eps: float,
) -> np.ndarray:  # fmt: skip
    scale, shift = scale_and_shift(weight, bias, mean, variance, eps)
    return np.concatenate([kernel * scale[:, None], shift[:, None]], axis=1)


def _layers_to_fold(rng: np.random.Generator) -> list[tuple]:
    """As many outputs as inputs, so that the wrong axis raises no error; an eps large enough to matter."""
    cases = []
    for size in (1, 2, 2, 3, 3) * 5:
        kernel = rng.integers(-3, 4, (size, size)).astype(float)
        weight, bias, mean = rng.integers(-2, 4, (3, size)).astype(float)
        variance = rng.choice([0.0, 0.75, 3.75, 8.75], size)
        cases.append((kernel, weight, bias, mean, variance, 0.25))
    return cases


def _folded(scale: np.ndarray, shift: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.concatenate([kernel * scale[:, None], shift[:, None]], axis=1)


FOLD_BN = Function(
    name="fold_bn",
    truth=_fold_bn,
    cases=_layers_to_fold,
    shown=("kernel", "weight", "bias", "mean", "variance", "eps"),
    mistakes=(
        Mistake("no_eps",
                "you left eps out; where the variance is 0 there is nothing else to divide by",
                lambda k, w, b, m, v, e: _folded(w / np.sqrt(v), b - m * w / np.sqrt(v), k)),
        Mistake("no_mean",
                "you left the mean out of the bias; it comes off before the scaling, so it is scaled, too",
                lambda k, w, b, m, v, e: _folded(w / np.sqrt(v + e), b, k)),
        Mistake("mean_not_scaled",
                "you took the mean off as it is; it was there before the scaling",
                lambda k, w, b, m, v, e: _folded(w / np.sqrt(v + e), b - m, k)),
        Mistake("wrong_axis",
                "you scaled the inputs; a normalisation comes after the convolution, it has one number for "
                "each output",
                lambda k, w, b, m, v, e: np.concatenate(
                    [k * (w / np.sqrt(v + e)), (b - m * w / np.sqrt(v + e))[:, None]], axis=1)),
        Mistake("eps_outside",
                "you added eps to the root; it is added to the variance",
                lambda k, w, b, m, v, e: _folded(w / (np.sqrt(v) + e), b - m * w / (np.sqrt(v) + e), k)),
        Mistake("no_root",
                "you divided by the variance; one divides by its root",
                lambda k, w, b, m, v, e: _folded(w / (v + e), b - m * w / (v + e), k)),
        Mistake("bias_scaled",
                "you scaled the bias, too; it is added after the scaling",
                lambda k, w, b, m, v, e: _folded(
                    w / np.sqrt(v + e), (b - m) * w / np.sqrt(v + e), k)),
    ),
    why="A convolution is linear, and what follows it is s · y + t with constants: both together are one "
    "convolution.",
    hints=(
        "What does the normalisation do to one output y? Write it as s · y + t.",
        "s = weight / √(variance + eps), and t is what is left where y is 0.",
        "s goes into the rows of the kernel, one row an output: `kernel * s[:, None]`.",
    ),
    solution="""
def fold_bn(kernel, weight, bias, mean, variance, eps):
    s = weight / np.sqrt(variance + eps)
    t = bias - mean * s
    return np.concatenate([kernel * s[:, None], t[:, None]], axis=1)
""",
)  # fmt: skip

EXERCISES = (OUTPUT_SIZE, RECEPTIVE_FIELD, FOLD_BN)
