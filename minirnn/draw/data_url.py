"""A picture's bytes as text that stands in a page, so that the page needs no other file."""

from __future__ import annotations

import base64


def data_url(content: bytes, kind: str) -> str:
    """The bytes of a picture file as a data URL.

    Args:
        content: of the file.
        kind: "png", "webp", "jpeg" or "svg+xml".
    """
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
