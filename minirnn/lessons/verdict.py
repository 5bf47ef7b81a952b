"""What a check says to the reader: a sentence, and a picture where one would look rather than read."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from minirnn.draw.data_url import data_url
from minirnn.draw.picture import Picture


@dataclass(frozen=True)
class Verdict:
    """What a check says about an answer.

    Attributes:
        right: True or False; None where there is no answer yet.
        message: one or two sentences for the reader. They never hold the solution.
        picture: the smallest case in which the answer is wrong, drawn.
        mistake: the name of a known mistake, if it is one.
    """

    right: bool | None
    message: str
    picture: Picture | None = None
    mistake: str = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        shown = {"text/plain": self.message}
        if self.picture is not None:
            image = data_url(self.picture.png(), "png")
            text = html.escape(self.message).replace("\n", "<br>")
            alt = "the smallest case in which the answer is wrong"
            shown["text/html"] = f'<p>{text}</p><img alt="{alt}" src="{image}">'
        return shown

    def __repr__(self) -> str:
        return self.message


NOT_YET = Verdict(None, "Not answered yet: replace the `...` and run the cell again.")
