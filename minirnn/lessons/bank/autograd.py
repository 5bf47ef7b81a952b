"""Lesson 01: what goes back along an edge, where it is added up, and how a gradient is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minirnn.autograd.check import central_difference
from minirnn.autograd.tensor import Tensor, unbroadcast
from minirnn.lessons.exercise import Function, Mistake, Number, Property


def _gradients_and_shapes(rng: np.random.Generator) -> list[tuple]:
    pairs = [
        ((3,), ()), ((2, 3), (3,)), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((2, 3), (1, 1)),
        ((2, 3), ()), ((2, 2), (2,)), ((2, 2), (2, 1)), ((2, 3), (2, 3)), ((4,), (4,)),
        ((4, 2, 3), (3,)), ((4, 2, 3), (2, 1)), ((2, 2, 2), (1, 2, 1)), ((3, 1), (3, 1)),
        ((2, 3, 2), (2, 3, 1)), ((3, 1), (1,)),
    ]  # fmt: skip
    return [
        (rng.integers(-5, 6, big).astype(float), small) for _ in range(2) for big, small in pairs
    ]


def _axes_to_sum(dy: np.ndarray, shape: tuple) -> tuple[int, ...]:
    extra = dy.ndim - len(shape)
    return (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1))


def _as_many_in_a_row(dy: np.ndarray, shape: tuple) -> np.ndarray:
    """The first copies alone."""
    index = [0] * (dy.ndim - len(shape)) + [slice(0, 1) if n == 1 else slice(None) for n in shape]
    return dy[tuple(index)]


ADD_VJP = Function(
    name="add_vjp",
    truth=unbroadcast,
    cases=_gradients_and_shapes,
    shown=("dy", "shape"),
    mistakes=(
        Mistake("as_it_is",
                "you handed on dy as it is; the gradient of b has to have the shape of b",
                lambda dy, shape: dy),
        Mistake("mean",
                "you took the mean over the copies; each copy has its own way to L, and what comes back "
                "on them adds up",
                lambda dy, shape: dy.mean(axis=_axes_to_sum(dy, shape)).reshape(shape)),
        Mistake("first_copy",
                "you took the gradient of one copy; b was copied to many places",
                _as_many_in_a_row),
        Mistake("shape_lost",
                "you summed the right numbers and lost the axes of length 1 of b",
                lambda dy, shape: dy.sum(axis=_axes_to_sum(dy, shape))),
        Mistake("front_only",
                "you summed over the axes that b does not have, but not along those in which it has "
                "length 1",
                lambda dy, shape: dy.sum(axis=tuple(range(dy.ndim - len(shape))))),
        Mistake("all",
                "you summed everything, also where b has an element of its own",
                lambda dy, shape: np.full(shape, dy.sum())),
    ),
    properties=(
        Property("nothing is lost on the way: the sum over all elements stays that of dy",
                 lambda arguments, db: abs(float(arguments[0].sum() - db.sum())) < 1e-6),
    ),
    why="Copying forward is adding up backward, and the other way round: the same holds for every "
    "operation that copies or sums.",
    hints=(
        "Along which axes was b repeated? Those that it lacks at the front, and those of its length 1.",
        "Sum dy along them, for `axis` can be a tuple. With keepdims=True no axis is lost on the way.",
        "A last `.reshape(shape)` puts the sum into the shape of b.",
    ),
    solution="""
def add_vjp(dy, shape):
    extra = dy.ndim - len(shape)
    axes = [*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1)]
    return dy.sum(axis=tuple(axes)).reshape(shape)
""",
)  # fmt: skip


@dataclass(frozen=True)
class Cubic:
    """f(x) = Σ x_i³ + a · Σ x_i² + b · (the product of all x_i), written as a reader would."""

    a: int
    b: int

    def __call__(self, x: np.ndarray) -> float:
        """The number at x, (n,)."""
        x = np.asarray(x, dtype=float)
        return float((x**3).sum() + self.a * (x**2).sum() + self.b * x.prod())

    def __str__(self) -> str:
        return f"Σ xᵢ³ + {self.a} Σ xᵢ² + {self.b} Π xᵢ"


def _central(f: Callable, x: np.ndarray, h: float) -> np.ndarray:
    return np.array([central_difference(f, x, direction, h)[0] for direction in np.eye(len(x))])


def _functions_and_places(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for size in (1, 2, 2, 3, 3, 4) * 4:
        f = Cubic(int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        x = rng.choice([-2.0, -1.0, 1.0, 2.0, 3.0], size)
        cases.append((f, x, float(rng.choice([0.5, 0.1]))))
    return cases


def _measured(f: Callable, x: np.ndarray, h: float, up: float, down: float, over: float) -> list:
    eye = np.eye(len(x))
    return [(f(x + up * h * e) - f(x - down * h * e)) / (over * h) for e in eye]


def _not_restored(f: Callable, x: np.ndarray, h: float) -> list[float]:
    slopes, x = [], x.copy()
    for i in range(len(x)):
        x[i] += h
        above = f(x)
        x[i] -= 2 * h
        slopes.append((above - f(x)) / (2 * h))
    return slopes


NUMERICAL_GRADIENT = Function(
    name="numerical_gradient",
    truth=_central,
    cases=_functions_and_places,
    shown=("f", "x", "h"),
    mistakes=(
        Mistake("one_sided",
                "you measured from x to x + h; its error is of the size of h, and that of x − h to x + h "
                "of h²",
                lambda f, x, h: _measured(f, x, h, 1, 0, 1)),
        Mistake("over_h",
                "you divided by h; the two places are 2h apart",
                lambda f, x, h: _measured(f, x, h, 1, 1, 1)),
        Mistake("not_restored",
                "you did not put an element back before you moved the next one",
                _not_restored),
        Mistake("all_at_once",
                "you moved all elements at once; that is the slope along one direction, for all of them "
                "alike",
                lambda f, x, h: [(f(x + h) - f(x - h)) / (2 * h)] * len(x)),
        Mistake("sign",
                "you took the value above from the one below; up is x + h",
                lambda f, x, h: _measured(f, x, h, -1, -1, 2)),
        Mistake("own_step",
                "you took a step of your own, so small that rounding is all that is left of the slope; "
                "use h",
                lambda f, x, h: _measured(f, x, 1e-12, 1, 1, 2)),
    ),
    properties=(
        Property("there is a slope for each element of x",
                 lambda arguments, slopes: slopes.shape == arguments[1].shape),
    ),
    why="Two runs for each element: fine for a check, and hopeless for learning, where one walk back "
    "gives all slopes at once.",
    hints=(
        "For each i: a copy of x with element i larger by h, and one with it smaller by h.",
        "The slope is the difference of the two values of f, over how far the two places are apart.",
        "Begin each i with `above, below = x.copy(), x.copy()`, so that there is nothing to put back.",
    ),
    solution="""
def numerical_gradient(f, x, h):
    slopes = []
    for i in range(len(x)):
        above, below = x.copy(), x.copy()
        above[i] += h
        below[i] -= h
        slopes.append((f(above) - f(below)) / (2 * h))
    return slopes
""",
)  # fmt: skip


def _shared_input() -> float:
    x, w = (Tensor(np.array(value), requires_grad=True) for value in (4.0, 3.0))
    (x * (x * w)).backward()
    return float(x.grad)  # type: ignore[arg-type]


SHARED_INPUT = Number(
    name="shared_input",
    truth=_shared_input(),
    unit="(units of L per unit of x)",
    mistakes={
        12.0: "that comes back on one of the two ways alone",
        144.0: "you multiplied the two ways; slopes are multiplied along a way, and added where ways meet",
        3.0: "that is the slope of p; it has still to be carried on to L",
        48.0: "that is L itself",
        4.0: "that is the slope of L along p",
    },
    why="On the direct way comes p = 12, on the one through p comes x · w = 12, and 12 + 12 = 24.",
    hints=(
        "Two edges leave x: one into p = x · w, one into L = x · p.",
        "Along L's edges come back dL/dp = x and, on the direct way, p. What becomes of the first on its "
        "way through p?",
    ),
    solution="p = 4 · 3 = 12. Directly comes p = 12. Through p comes x · w = 4 · 3 = 12. They add up: 24, "
    "which is the derivative of x²w, 2xw.",
)

EXERCISES = (ADD_VJP, NUMERICAL_GRADIENT, SHARED_INPUT)
