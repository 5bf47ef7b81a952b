"""Where things lie that minirnn has fetched by itself, and could fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache(kind: str) -> Path:
    """The folder for things of a kind: ~/.cache/minirnn/KIND, whatever folder a command is called in.

    MINIRNN_CACHE names another place for all kinds, and XDG_CACHE_HOME one for all programs. What a command
    is told to make does not go here, but where it is told to.

    Args:
        kind: "coco" for annotations, "weights" for networks.
    """
    if own := os.environ.get("MINIRNN_CACHE"):
        return Path(own) / kind
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "minirnn" / kind
