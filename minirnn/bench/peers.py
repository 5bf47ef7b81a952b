"""The libraries that we are timed against: which are here, and how the others are installed."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_OPSET, _IR = 21, 10  # of 2024: what runtimes since then know


@dataclass(frozen=True)
class Peer:
    """A library to compare with: its name in tables, what it needs, and how to get it."""

    name: str
    packages: tuple[str, ...]
    install: str


_EXTRA = "pip install 'minirnn[reference]'"
TORCH = Peer("torch", ("torch",), _EXTRA)
TORCHVISION = Peer(
    "torchvision", ("torch", "torchvision"), f"{_EXTRA}; pip install --no-deps torchvision"
)
ONNX = Peer("ONNX Runtime", ("onnx", "onnxruntime"), _EXTRA)
PYCOCOTOOLS = Peer("pycocotools", ("pycocotools",), "pip install pycocotools")
PACKAGES = ["numpy", "scipy", "torch", "torchvision", "onnx", "onnxruntime", "pycocotools"]


@cache
def missing(peer: Peer) -> str | None:
    """Why there is nothing to compare with, and how to change that; None where it is there."""
    absent = [name for name in peer.packages if importlib.util.find_spec(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} ({peer.install})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if peer is TORCHVISION:
                from minirnn.verify.torchvision_cpu import import_torchvision

                import_torchvision()
            else:
                for name in peer.packages:
                    import_module(name)
    except Exception as error:  # whatever a broken installation raises
        return f"installed, but cannot be imported: {type(error).__name__}: {error}"
    return None


def available(*peers: Peer) -> list[Peer]:
    """Those of the peers that can be asked."""
    return [peer for peer in peers if missing(peer) is None]


def absences(*peers: Peer) -> list[str]:
    """A sentence for each peer that cannot be asked."""
    return [f"{peer.name}: {missing(peer)}" for peer in peers if missing(peer)]


@cache
def torchvision_is_compiled() -> bool:
    """Whether torchvision's own operators load, or stand-ins of ours made of torch's serve.

    See `minirnn.verify.torchvision_cpu`. Stand-ins are right, but not how fast torchvision is.
    """
    if missing(TORCHVISION):
        return False
    import torch

    return hasattr(torch.ops.torchvision, "roi_pool")  # which we never stand in for


#: What a row says whose stand-in is timed, but is no peer.
STAND_IN = "torchvision's own operator does not load here: a stand-in's time, which does not count"


def onnx_session(model: bytes | Path, threads: int) -> Any:
    """A session of ONNX Runtime on the processor, with so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses comes as an exception
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def onnx_operator(
    operator: str,
    inputs: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    threads: int,
    **attributes: Any,
) -> Any:
    """A function that runs one operator of the ONNX standard on the given inputs.

    Args:
        operator: "Conv", "Gemm", ….
        inputs: by name, in the operator's order.
        constants: inputs that come after them and are part of the model, such as weights: the
            runtime may then bring them to the form that suits it before the clock starts.
        threads: that it may use.
        **attributes: of the operator.

    Returns:
        A function; its result is the operator's first output. It may be given other inputs of the same
        shapes, by name, in place of these.
    """
    import onnx
    from onnx import helper, numpy_helper

    def info(name: str, array: np.ndarray) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    graph = helper.make_graph(
        [helper.make_node(operator, [*inputs, *constants], ["y"], **attributes)],
        operator,
        [info(name, array) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR)
    session = onnx_session(model.SerializeToString(), threads)
    return lambda given=inputs: session.run(["y"], given)[0]
