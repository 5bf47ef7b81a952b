"""ONNX Runtime: each function as a graph of one operator of the ONNX standard, in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from minirnn.verify.references import Skip

_OPSET, _IR = 21, 10  # of 2024: what runtimes since then know


def _run(operator: str, inputs: Sequence[Any], outputs: int = 1, **attributes: Any) -> np.ndarray:
    """The first output of one operator; inputs that are None are left out."""
    given = {f"x{i}": np.asarray(x) for i, x in enumerate(inputs) if x is not None}
    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in given.items()}
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = helper.make_node(operator, names, [f"y{i}" for i in range(outputs)], **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info(name, kinds[name], x.shape) for name, x in given.items()],
        [onnx.ValueInfoProto(name="y0")],
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses comes as an exception
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["y0"], given)[0]


def _plain(operator: str) -> Callable:
    return lambda *inputs: _run(operator, inputs)


def _whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _reduce(operator: str) -> Callable:
    def run(x: np.ndarray, *, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        return _run(operator, (x, _whole(*axes)), keepdims=int(keepdims))

    return run


def _along(operator: str) -> Callable:
    return lambda x, *, axis=-1: _run(operator, (x,), axis=axis)


def _pool(operator: str, **attributes: Any) -> Callable:
    def run(x: np.ndarray, *, kernel: Any, stride: Any = None, padding: Any = 0) -> np.ndarray:
        return _run(
            operator,
            (x,),
            kernel_shape=_pair(kernel),
            strides=_pair(stride or kernel),
            pads=_pair(padding) * 2,
            **attributes,
        )

    return run


def _conv(x: Any, weight: Any, bias: Any, **settings: Any) -> np.ndarray:
    return _run("Conv", (x, weight, bias), **_geometry(weight, settings))


def _conv_transpose(x: Any, weight: Any, bias: Any, **settings: Any) -> np.ndarray:
    return _run("ConvTranspose", (x, weight, bias), **_geometry(weight, settings))


def _geometry(weight: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    named = {"stride": "strides", "dilation": "dilations", "output_padding": "output_padding"}
    found = {named[k]: _pair(v) for k, v in settings.items() if k in named}
    found["pads"] = _pair(settings.get("padding", 0)) * 2
    found["group"] = settings.get("groups", 1)
    return {**found, "kernel_shape": list(weight.shape[2:])}


def _resize(x: np.ndarray, size: Any, **attributes: Any) -> np.ndarray:
    return _run("Resize", (x, None, None, _whole(*x.shape[:2], *size)), **attributes)


def _nearest(x: np.ndarray, *, size: Any) -> np.ndarray:
    return _resize(x, size, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _bilinear(x: np.ndarray, *, size: Any, align_corners: bool = False) -> np.ndarray:
    mode = "align_corners" if align_corners else "half_pixel"
    return _resize(x, size, mode="linear", coordinate_transformation_mode=mode)


def _group_norm(x: Any, weight: Any, bias: Any, *, groups: int, eps: float = 1e-5) -> np.ndarray:
    return _run("GroupNormalization", (x, weight, bias), num_groups=groups, epsilon=eps)


def _layer_norm(x: Any, weight: Any, bias: Any, *, eps: float = 1e-5) -> np.ndarray:
    return _run("LayerNormalization", (x, weight, bias), axis=-1, epsilon=eps)


def _frozen(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *, eps: float = 1e-5
) -> np.ndarray:
    return _run("BatchNormalization", (x, weight, bias, mean, variance), epsilon=eps)


def _cross_entropy(logits: Any, labels: Any, *, ignore: int | None = None) -> np.ndarray:
    # Opset 13 has it as a function of simpler operators, which the runtime puts together.
    extra = {} if ignore is None else {"ignore_index": ignore}
    return _run("SoftmaxCrossEntropyLoss", (logits, labels), reduction="mean", **extra)


def _clip(x: np.ndarray, *, low: float | None = None, high: float | None = None) -> np.ndarray:
    limits = [None if value is None else np.array(value, x.dtype) for value in (low, high)]
    return _run("Clip", (x, *limits))


def _pad(x: np.ndarray, *, widths: Any) -> np.ndarray:
    return _run("Pad", (x, _whole(*(a for a, _ in widths), *(b for _, b in widths))))


def _stack(*xs: np.ndarray, axis: int = 0) -> np.ndarray:
    place = axis % (xs[0].ndim + 1)
    return _run("Concat", [_run("Unsqueeze", (x, _whole(place))) for x in xs], axis=place)


def _transpose(x: np.ndarray, *, axes: Any = None) -> np.ndarray:
    order = range(x.ndim - 1, -1, -1) if axes is None else axes
    return _run("Transpose", (x,), perm=[a % x.ndim for a in order])


def _linear(x: Any, weight: Any, bias: Any) -> np.ndarray:
    return _run("Gemm", (x, weight, bias), transB=1)


def _roi_align(
    features: Any,
    boxes: Any,
    image_index: Any,
    *,
    output_size: Any,
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
) -> np.ndarray:
    if reduce != "mean":
        # Its "max" is over weighted corners of cells, not over points.
        raise Skip('its mode "max" is another operation')
    rows, columns = _pair(output_size)
    return _run(
        "RoiAlign",
        (features, boxes, image_index),
        output_height=rows,
        output_width=columns,
        spatial_scale=spatial_scale,
        sampling_ratio=sampling_ratio,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )


def _roi_pool(
    features: Any, boxes: Any, image_index: Any, *, output_size: Any, spatial_scale: float
) -> np.ndarray:
    rois = np.hstack([image_index[:, None].astype(boxes.dtype), boxes])
    shape = _pair(output_size)
    return _run("MaxRoiPool", (features, rois), pooled_shape=shape, spatial_scale=spatial_scale)


def _nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    kept = _run(
        "NonMaxSuppression",
        (
            boxes[None],
            scores[None, None],
            np.array([len(boxes)], np.int64),
            np.array([threshold], np.float32),
        ),
    )
    return kept[:, 2]


FUNCTIONS: dict[str, Callable] = {
    "add": _plain("Add"),
    "subtract": _plain("Sub"),
    "multiply": _plain("Mul"),
    "divide": _plain("Div"),
    "negative": _plain("Neg"),
    "power": lambda x, *, exponent: _run("Pow", (x, np.array(exponent, x.dtype))),
    "exp": _plain("Exp"),
    "log": _plain("Log"),
    "sqrt": _plain("Sqrt"),
    "absolute": _plain("Abs"),
    "maximum": _plain("Max"),
    "minimum": _plain("Min"),
    "clip": _clip,
    "where": _plain("Where"),
    "matmul": _plain("MatMul"),
    "linear": _linear,
    "reshape": lambda x, *, shape: _run("Reshape", (x, _whole(*shape))),
    "flatten": lambda x: _run("Flatten", (x,)) if x.ndim > 1 else _run("Unsqueeze", (x, _whole(1))),
    "transpose": _transpose,
    "concatenate": lambda *xs, axis=0: _run("Concat", xs, axis=axis),
    "stack": _stack,
    "pad": _pad,
    "broadcast_to": lambda x, *, shape: _run("Expand", (x, _whole(*shape))),
    "sum": _reduce("ReduceSum"),
    "mean": _reduce("ReduceMean"),
    "max": _reduce("ReduceMax"),
    "relu": _plain("Relu"),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "softmax": _along("Softmax"),
    "log_softmax": _along("LogSoftmax"),
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool", count_include_pad=1),
    "global_avg_pool2d": lambda x: _run("GlobalAveragePool", (x,))[:, :, 0, 0],
    "nearest": _nearest,
    "bilinear": _bilinear,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "frozen_batch_norm": _frozen,
    "cross_entropy": _cross_entropy,
    "conv2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "roi_align": _roi_align,
    "roi_pool": _roi_pool,
    "nms": _nms,
}
