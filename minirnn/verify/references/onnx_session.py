"""A model in ONNX Runtime. Alone here, so that whoever measures its memory imports nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime


def session(model: bytes | Path, threads: int) -> Any:
    """A session of ONNX Runtime on the processor, with so many threads."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses comes as an exception
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
