"""Cases of the layers: convolution, transposed convolution, fully connected; forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minirnn.bench.case import BACKWARD_TOLERANCE, Case, as_in_the_network, drawn, to_torch
from minirnn.bench.peers import ONNX, TORCH, Peer, onnx_operator
from minirnn.bench.shapes import Convolution
from minirnn.ops.convolution import conv2d, conv_transpose2d, linear
from minirnn.ops.shape import arranged

#: Name, group, operations of one pass, and how often: what the two cases of a layer share.
Labels = tuple[str, str, float, int]


def layer_cases(
    labels: Labels,
    operation: Callable,
    settings: dict[str, Any],
    arrays: dict[str, np.ndarray | None],
    dy: np.ndarray,
    torch_function: Callable,
    onnx: tuple[str, dict[str, Any]],
    peers: list[Peer],
    threads: int,
    *,
    without: tuple[str, ...] = (),
) -> Iterator[Case]:
    """The forward and the backward case of a layer.

    Args:
        labels: see `Labels`.
        operation: ours.
        settings: of `operation`, and of `torch_function` under the same names.
        arrays: x, weight and bias (or None).
        dy: gradient of the output.
        torch_function: torch's.
        onnx: operator and its attributes.
        peers: those that can be asked.
        threads: for ONNX Runtime.
        without: arrays that no gradient is computed of.
    """
    name, group, flops, count = labels
    x, weight, bias = arrays["x"], arrays["weight"], arrays["bias"]
    asked = [n for n, array in arrays.items() if array is not None and n not in without]
    forward: dict[str, Callable[[], Any]] = {}
    backward: dict[str, Callable[[], Any]] = {}
    if TORCH in peers:
        import torch

        tensors = to_torch(arrays)

        def torch_forward() -> Any:
            with torch.inference_mode():
                return torch_function(*tensors.values(), **settings)

        leaves = {n: t.clone().requires_grad_() for n, t in tensors.items() if n in asked}
        their_y = torch_function(*{**tensors, **leaves}.values(), **settings)
        their_dy = torch.from_numpy(dy)
        forward["torch"] = torch_forward
        backward["torch"] = lambda: torch.autograd.grad(
            their_y, list(leaves.values()), their_dy, retain_graph=True
        )
    if ONNX in peers:
        operator, attributes = onnx
        constants = {n: a for n, a in arrays.items() if a is not None and n != "x"}
        assert x is not None
        forward["ONNX Runtime"] = onnx_operator(
            operator, {"x": x}, constants, threads, **attributes
        )

    raw = operation.raw  # type: ignore[attr-defined]
    assert x is not None
    assert weight is not None
    x, dy, weight = as_in_the_network(x), as_in_the_network(dy), arranged(weight)
    yield Case(
        f"{name} forward",
        f"{group} forward",
        lambda: raw(x, weight, bias, **settings)[0],
        forward,
        flops=flops,
        count=count,
    )
    _, vjps = raw(x, weight, bias, **settings)
    chosen = [vjp for n, vjp in zip(arrays, vjps, strict=True) if n in asked]
    products = len([n for n in asked if n != "bias"])
    left = f"without the gradient of {', '.join(without)}" if without else ""
    yield Case(
        f"{name} backward",
        f"{group} backward",
        lambda: tuple(vjp(dy) for vjp in chosen),
        backward,
        flops=flops * products,
        count=count,
        tolerance=BACKWARD_TOLERANCE,
        note=left,
    )


def convolution_cases(
    shape: Convolution, count: int, peers: list[Peer], threads: int, rng: np.random.Generator
) -> Iterator[Case]:
    """A convolution, forward and backward: gradients of input, weight and bias."""
    padding = shape.kernel // 2
    settings = {"stride": shape.stride, "padding": padding}
    attributes = {
        "strides": [shape.stride] * 2,
        "pads": [padding] * 4,
        "kernel_shape": [shape.kernel] * 2,
    }
    arrays: dict[str, np.ndarray | None] = {
        "x": drawn(rng, shape.images, shape.inputs, shape.height, shape.width),
        "weight": drawn(rng, shape.outputs, shape.inputs, shape.kernel, shape.kernel),
        "bias": drawn(rng, shape.outputs),
    }
    dy = drawn(rng, shape.images, shape.outputs, *shape.output)

    def function(*inputs: Any, **settings: Any) -> Any:
        import torch

        return torch.nn.functional.conv2d(*inputs, **settings)

    yield from layer_cases(
        (shape.name, "conv", 2.0 * shape.macs, count),
        conv2d,
        settings,
        arrays,
        dy,
        function,
        ("Conv", attributes),
        peers,
        threads,
        without=("x",) if shape.sees_image else (),
    )


def transposed_cases(
    rois: int, peers: list[Peer], threads: int, rng: np.random.Generator
) -> Iterator[Case]:
    """The mask head's transposed convolution, from 14×14 to 28×28."""
    arrays: dict[str, np.ndarray | None] = {
        "x": drawn(rng, rois, 256, 14, 14),
        "weight": drawn(rng, 256, 256, 2, 2),
        "bias": drawn(rng, 256),
    }

    def function(*inputs: Any, **settings: Any) -> Any:
        import torch

        return torch.nn.functional.conv_transpose2d(*inputs, **settings)

    flops = 2.0 * rois * 256 * 256 * 28 * 28
    onnx = ("ConvTranspose", {"strides": [2, 2], "kernel_shape": [2, 2]})
    yield from layer_cases(
        (f"conv_transpose2x2/2 256-256 {rois}x14x14", "conv_transpose", flops, 1),
        conv_transpose2d,
        {"stride": 2},
        arrays,
        drawn(rng, rois, 256, 28, 28),
        function,
        onnx,
        peers,
        threads,
    )


def linear_cases(
    proposals: int, peers: list[Peer], threads: int, rng: np.random.Generator
) -> Iterator[Case]:
    """The box head's large fully connected layer."""
    inputs, outputs = 256 * 7 * 7, 1024
    arrays: dict[str, np.ndarray | None] = {
        "x": drawn(rng, proposals, inputs),
        "weight": drawn(rng, outputs, inputs),
        "bias": drawn(rng, outputs),
    }

    def function(*inputs: Any) -> Any:
        import torch

        return torch.nn.functional.linear(*inputs)

    yield from layer_cases(
        (f"linear {proposals}x{inputs}-{outputs}", "linear", 2.0 * proposals * inputs * outputs, 1),
        linear,
        {},
        arrays,
        drawn(rng, proposals, outputs),
        function,
        ("Gemm", {"transB": 1}),
        peers,
        threads,
    )
