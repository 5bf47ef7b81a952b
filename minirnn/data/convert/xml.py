"""Reading an XML file of labels, with Python's own reader: it fetches nothing that a file names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree


def read_xml(path: Path) -> ElementTree.Element | None:
    """The root of an XML file; None where it is no XML or cannot be read.

    A file that unfolds into gigabytes is refused by expat, which has guarded against it since 2.4.1.
    """
    try:
        return ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, OSError, ValueError, LookupError):
        return None
