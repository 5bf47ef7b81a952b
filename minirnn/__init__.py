"""Mask R-CNN from scratch, in NumPy on a CPU and CuPy on a GPU, written to be read.

    model = minirnn.build_model("maskrcnn_shapes")
    minirnn.load_weights(model, "runs/demo/checkpoint.safetensors")
    detections = model.predict([image])

Start reading at `minirnn.models.rcnn`, which says in which order everything happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirnn.models import build_model
    from minirnn.weights import load_weights

__version__ = "0.1.0"
__all__ = ["__version__", "build_model", "load_weights"]

_HOME = {"build_model": "minirnn.models", "load_weights": "minirnn.weights"}


def __getattr__(name: str) -> Any:
    """Import the parts when they are first used, so that `import minirnn` is quick."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'minirnn' has no attribute {name!r}")
