"""ONNX Runtime: each function as a graph of one operator of the ONNX standard, in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from minirnn.verify.references import READS_POINTS, Skip, without_area
from minirnn.verify.references.onnx_session import session

_OPSET, _IR = 21, 10  # of 2024: what runtimes since then know


class Graph:
    """One operator with its inputs.

    Args:
        operator: "Conv", "Gemm", ….
        inputs: arrays, in the operator's order.
        constants: those that come after them and are part of the model, such as weights: the runtime may
            bring them to the form that suits it when the model is loaded. None for one that is left out.
        pick: the part of the first output that is the answer, as an index.
        attributes: of the operator.
    """

    def __init__(
        self,
        operator: str,
        inputs: Sequence[Any],
        constants: Sequence[Any] = (),
        *,
        pick: Any = ...,
        **attributes: Any,
    ) -> None:
        self.operator, self.pick, self.attributes = operator, pick, attributes
        self.inputs = {f"x{i}": np.asarray(x) for i, x in enumerate(inputs)}
        self.constants = {
            f"c{i}": None if c is None else np.asarray(c) for i, c in enumerate(constants)
        }

    def loaded(self, threads: int) -> Callable[[], np.ndarray]:
        """A function that runs it."""
        there = {name: array for name, array in self.constants.items() if array is not None}
        names = [*self.inputs, *(name if name in there else "" for name in self.constants)]
        graph = helper.make_graph(
            [helper.make_node(self.operator, names, ["y"], **self.attributes)],
            self.operator,
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
                )
                for name, x in self.inputs.items()
            ],
            [onnx.ValueInfoProto(name="y")],
            [numpy_helper.from_array(array, name) for name, array in there.items()],
        )
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR)
        run = session(model.SerializeToString(), threads).run
        return lambda: run(["y"], self.inputs)[0][self.pick]


def prepared(
    function: Callable, inputs: Sequence[Any], settings: dict[str, Any], threads: int
) -> Callable[[], np.ndarray]:
    """See `Reference.prepared`."""
    return function(*inputs, **settings).loaded(threads)


def _plain(operator: str) -> Callable:
    return lambda *inputs: Graph(operator, inputs)


def _whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _reduce(operator: str) -> Callable:
    def graph(x: np.ndarray, *, axis: Any = None, keepdims: bool = False) -> Graph:
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        return Graph(operator, [x], [_whole(*axes)], keepdims=int(keepdims))

    return graph


def _along(operator: str) -> Callable:
    return lambda x, *, axis=-1: Graph(operator, [x], axis=axis)


#: Our settings of a window, as the standard calls them; each of them is a pair there.
_WINDOW = {
    "kernel": "kernel_shape",
    "stride": "strides",
    "dilation": "dilations",
    "padding": "pads",
    "output_padding": "output_padding",
}


def _window(settings: dict[str, Any]) -> dict[str, Any]:
    """A window's settings as attributes; one that is no pair there, such as groups, as a whole number."""
    found = {}
    for name, value in settings.items():
        found[_WINDOW.get(name, name)] = _attribute(name, value)
    return found


def _attribute(name: str, value: Any) -> Any:
    if name == "padding":
        (top, bottom), (left, right) = map(_pair, _pair(value))
        return [top, left, bottom, right]
    return _pair(value) if name in _WINDOW else int(value)


def _pool(operator: str, **attributes: Any) -> Callable:
    def graph(x: np.ndarray, *, kernel: Any, stride: Any = None, **settings: Any) -> Graph:
        window = _window({"kernel": kernel, "stride": stride or kernel, **settings})
        return Graph(operator, [x], **{**attributes, **window})

    return graph


def _conv(operator: str) -> Callable:
    def graph(x: Any, weight: Any, bias: Any, *, groups: int = 1, **settings: Any) -> Graph:
        window = _window({"kernel": weight.shape[2:], **settings})
        return Graph(operator, [x], [weight, bias], group=groups, **window)

    return graph


def _conv2d(
    x: Any,
    weight: Any,
    bias: Any,
    *add: Any,
    relu: bool = False,
    relu6: bool = False,
    **window: Any,
) -> Graph:
    graph = _conv("Conv")(x, weight, bias, **window)
    for shortcut in add:
        graph = Graph("Add", [graph.loaded(1)(), shortcut])
    if relu6:
        return _relu6(graph.loaded(1)())
    return Graph("Relu", [graph.loaded(1)()]) if relu else graph


def _relu6(x: Any) -> Graph:
    return Graph("Clip", [x], [np.zeros((), x.dtype), np.full((), 6, x.dtype)])


def _resize(x: np.ndarray, size: Any, **attributes: Any) -> Graph:
    return Graph("Resize", [x], [None, None, _whole(*x.shape[:2], *size)], **attributes)


def _nearest(x: np.ndarray, *, size: Any) -> Graph:
    return _resize(x, size, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _bilinear(x: np.ndarray, *, size: Any, align_corners: bool = False) -> Graph:
    mode = "align_corners" if align_corners else "half_pixel"
    return _resize(x, size, mode="linear", coordinate_transformation_mode=mode)


def _norm(operator: str, **attributes: Any) -> Callable:
    def graph(x: Any, *weights: Any, eps: float = 1e-5, groups: int = 0) -> Graph:
        of_groups: dict[str, Any] = {"num_groups": groups} if groups else {}
        return Graph(operator, [x], weights, epsilon=eps, **of_groups, **attributes)

    return graph


def _cross_entropy(
    logits: Any,
    labels: Any,
    *,
    ignore: int | None = None,
    class_weights: Any = None,
    reduction: str = "mean",
) -> Graph:
    # Opset 13 has it as a function of simpler operators, which the runtime puts together.
    extra: dict[str, Any] = {} if ignore is None else {"ignore_index": ignore}
    given = [logits, labels], [class_weights]
    return Graph("SoftmaxCrossEntropyLoss", *given, reduction=reduction, **extra)


def _clip(x: np.ndarray, *, low: float | None = None, high: float | None = None) -> Graph:
    limits = [None if value is None else np.array(value, x.dtype) for value in (low, high)]
    return Graph("Clip", [x], limits)


def _pad(x: np.ndarray, *, widths: Any) -> Graph:
    return Graph("Pad", [x], [_whole(*(a for a, _ in widths), *(b for _, b in widths))])


def _stack(*xs: np.ndarray, axis: int = 0) -> Graph:
    place = axis % (xs[0].ndim + 1)
    widened = [Graph("Unsqueeze", [x], [_whole(place)]).loaded(1)() for x in xs]
    return Graph("Concat", widened, axis=place)


def _transpose(x: np.ndarray, *, axes: Any = None) -> Graph:
    order = range(x.ndim - 1, -1, -1) if axes is None else axes
    return Graph("Transpose", [x], perm=[a % x.ndim for a in order])


def _flatten(x: np.ndarray) -> Graph:
    return Graph("Flatten", [x]) if x.ndim > 1 else Graph("Unsqueeze", [x], [_whole(1)])


def _roi_align(*inputs: Any, output_size: Any, reduce: str = "mean", **settings: Any) -> Graph:
    if reduce != "mean":
        # Its "max" is over weighted corners of cells, not over points.
        raise Skip('its mode "max" is another operation')
    rows, columns = _pair(output_size)
    aligned = settings.pop("aligned", False)
    if without_area(inputs[1], aligned):
        raise Skip(READS_POINTS)
    places = "half_pixel" if aligned else "output_half_pixel"
    settings = {"sampling_ratio": 2, **settings, "coordinate_transformation_mode": places}
    return Graph("RoiAlign", inputs, output_height=rows, output_width=columns, **settings)


def _roi_pool(
    features: Any, boxes: Any, image_index: Any, *, output_size: Any, spatial_scale: float
) -> Graph:
    rois = np.hstack([image_index[:, None].astype(boxes.dtype), boxes])
    size: dict[str, Any] = {"pooled_shape": _pair(output_size), "spatial_scale": spatial_scale}
    return Graph("MaxRoiPool", [features, rois], **size)


def _nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> Graph:
    limits = [_whole(len(boxes)), np.array([threshold], np.float32)]
    # Its answer is (K, 3): image, class, box.
    return Graph("NonMaxSuppression", [boxes[None], scores[None, None]], limits, pick=np.s_[:, 2])


FUNCTIONS: dict[str, Callable] = {
    "add": _plain("Add"),
    "subtract": _plain("Sub"),
    "multiply": _plain("Mul"),
    "divide": _plain("Div"),
    "negative": _plain("Neg"),
    "power": lambda x, *, exponent: Graph("Pow", [x], [np.array(exponent, x.dtype)]),
    "exp": _plain("Exp"),
    "log": _plain("Log"),
    "sqrt": _plain("Sqrt"),
    "absolute": _plain("Abs"),
    "maximum": _plain("Max"),
    "minimum": _plain("Min"),
    "clip": _clip,
    "where": _plain("Where"),
    "matmul": _plain("MatMul"),
    "linear": lambda x, weight, bias: Graph("Gemm", [x], [weight, bias], transB=1),
    "reshape": lambda x, *, shape: Graph("Reshape", [x], [_whole(*shape)]),
    "flatten": _flatten,
    "transpose": _transpose,
    "concatenate": lambda *xs, axis=0: Graph("Concat", xs, axis=axis),
    "stack": _stack,
    "pad": _pad,
    "broadcast_to": lambda x, *, shape: Graph("Expand", [x], [_whole(*shape)]),
    "sum": _reduce("ReduceSum"),
    "mean": _reduce("ReduceMean"),
    "max": _reduce("ReduceMax"),
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "softmax": _along("Softmax"),
    "log_softmax": _along("LogSoftmax"),
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool", count_include_pad=1),
    "global_avg_pool2d": lambda x: Graph("GlobalAveragePool", [x], pick=np.s_[:, :, 0, 0]),
    "nearest": _nearest,
    "bilinear": _bilinear,
    "group_norm": _norm("GroupNormalization"),
    "layer_norm": _norm("LayerNormalization", axis=-1),
    "frozen_batch_norm": _norm("BatchNormalization"),
    "cross_entropy": _cross_entropy,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv("ConvTranspose"),
    "roi_align": _roi_align,
    "roi_pool": _roi_pool,
    "nms": _nms,
}
