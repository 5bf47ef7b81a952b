"""Pictures of differentiation: they show the gradients that `backward` gives."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import draw
from minirnn.autograd.tensor import Tensor
from minirnn.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def tensor(value):
    return Tensor(np.array(value, dtype=float), requires_grad=True)


def texts(picture):
    return [text.get_text() for text in picture.axes[0].texts]


def test_a_graph_shows_what_backward_gives_and_leaves_it_whole():
    x, w = tensor(3), tensor(2)
    p = x + w
    loss = x * p
    picture = draw.graph_figure({"x": x, "w": w, "p": p, "L": loss})
    loss.backward()
    assert (x.grad, w.grad) == (8, 3)
    bold = [t.get_text() for t in picture.axes[0].texts if t.get_weight() == "bold"]
    assert bold == ["8", "3", "3", "1"]
    assert {"x", "w", "p", "L", "5", "15"} <= set(texts(picture))
    assert picture.png()


def test_two_edges_between_the_same_boxes_are_both_drawn():
    x = tensor(3)
    picture = draw.graph_figure({"x": x, "L": x * x})
    assert sorted(texts(picture)) == sorted(["", "", "3", "3", "3", "x", "6", "9", "L", "1"])


def test_no_box_lies_on_a_way_between_two_others():
    x = tensor(2)
    a = x * 2.0
    b = a * 2.0
    loss = x + a + b
    picture = draw.graph_figure({"x": x, "a": a, "b": b, "L": loss})
    assert picture.png()


def test_a_single_tensor_and_arrays_are_drawn():
    assert draw.graph_figure({"x": tensor([1.0, -2])}).png()
    big = tensor(np.ones((3, 4)))
    picture = draw.graph_figure({"x": big, "L": big.sum()}, gradients=False)
    assert "3×4 numbers" in texts(picture)
    assert "1" not in texts(picture)


def test_slope_errors_and_a_descent_are_drawn():
    steps = 10.0 ** -np.arange(1, 5)
    picture = draw.slope_error_figure(steps, {"one": steps, "two": steps**2})
    np.testing.assert_array_equal(picture.axes[0].lines[1].get_ydata(), steps**2)
    assert picture.png()
    picture = draw.descent_figure({0: IMAGE, 2: IMAGE}, [3.0, 2, 1])
    assert [axes.get_title() for axes in picture.axes] == ["after 0 steps", "after 2 steps", ""]
    assert picture.png()


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (lambda: draw.graph_figure({}), "at least one Tensor"),
        (lambda: draw.graph_figure({"x": 3.0}), "at least one Tensor"),
        (lambda: draw.slope_error_figure(np.array([0.0]), {}), "all positive"),
        (lambda: draw.slope_error_figure(np.ones(2), {"a": np.ones(3)}), "a: errors have shape"),
        (lambda: draw.descent_figure({4: IMAGE}, [1.0]), "there are 1 losses"),
    ],
)
def test_bad_input_is_refused_by_name(drawn, said):
    with pytest.raises(InputError, match=said):
        drawn()


def test_a_graph_that_was_used_up_is_refused():
    x = tensor(3)
    loss = x * x
    loss.backward()
    with pytest.raises(InputError, match="draw it before"):
        draw.graph_figure({"x": x, "L": loss})
