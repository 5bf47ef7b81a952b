"""Weights that are no numbers: a network with them finds nothing, and raises no error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minirnn.errors import InputError

_SHOWN = 10


def check_finite(place: object, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays with NaN or infinite numbers.

    Args:
        place: the file that they are from, for the message.
        arrays: by name, on the host.

    Raises:
        InputError: names the file, and each such array with the count of these numbers.
    """
    lines = []
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            count = array.size - int(np.isfinite(array).sum())
            lines.append(f"{name}: {count} of {array.size} numbers are NaN or infinite")
    if lines:
        more = [f"and {len(lines) - _SHOWN} arrays more"] * (len(lines) > _SHOWN)
        raise InputError(
            f"{place} holds weights that are not finite:\n  " + "\n  ".join(lines[:_SHOWN] + more)
        )
