"""OPENBLAS_CORETYPE: a limit for NumPy alone, set aside where NumPy is compared.

OpenBLAS, behind NumPy's matrix products, has kernels for many processors and takes the newest that this
one can run. The variable names older ones, which some machines have set so that results are the same on
all of them. torch and ONNX Runtime bring products of their own and do not read it. A comparison in which
one contestant may use half of the processor says little, just as with unequal numbers of threads. So
`minirnn bench` sets the variable aside for its own run, and says so.

OpenBLAS reads it when NumPy is imported, so this module must not import NumPy.
"""

from __future__ import annotations

import os
import sys

_NAME = "OPENBLAS_CORETYPE"
_set_aside: str | None = None


def set_aside() -> None:
    """Take the variable out of this process and its children, unless NumPy has read it already."""
    global _set_aside
    if "numpy" not in sys.modules:
        _set_aside = os.environ.pop(_NAME, None)


def note() -> str:
    """What became of the variable, for the line on the machine; nothing where it is not set."""
    held = os.environ.get(_NAME)
    if held:
        return f", chosen by {_NAME}={held}, which holds NumPy alone"
    if _set_aside:
        return (
            f"; {_NAME}={_set_aside} would hold NumPy alone and is set aside (see --keep-coretype)"
        )
    return ""
