"""Trained networks that come with the package, so that there is something to look at at once.

| name | trained by | AP of boxes, of masks (200 held-out pictures) |
|---|---|---|
| maskrcnn_shapes | `minirnn demo` (seed 0, two processes) | 0.699, 0.664, in full and in half precision |

They hold no optimiser's state, and their arrays are in half precision; each was made with

    minirnn weights convert runs/demo/checkpoint.safetensors minirnn/weights/trained/NAME.safetensors --half
"""

from __future__ import annotations

from pathlib import Path

from minirnn.errors import InputError

FOLDER = Path(__file__).parent / "trained"


def shipped(name: str = "maskrcnn_shapes") -> Path:
    """The file of a trained network that comes with the package.

    Args:
        name: of its preset.

    Raises:
        InputError: there is none of that name.
    """
    path = FOLDER / f"{name}.safetensors"
    if not path.exists():
        known = sorted(each.stem for each in FOLDER.glob("*.safetensors"))
        raise InputError(f"no trained {name!r} comes with the package; there is {', '.join(known)}")
    return path
