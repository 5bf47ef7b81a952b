"""Look over the built site: no page asks another host for anything, no link is dead, no formula raw.

python site/check.py site/_build/html
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and which places in it can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        text = path.read_text(encoding="utf-8")
        formulas = re.findall(r"<math.*?</math>", text, re.S)
        # What the converter to MathML does not know it hands on as it stands.
        self.raw = [word for formula in formulas for word in re.findall(r"\\[a-zA-Z]+", formula)]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each element."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.places.add(value)


def problems(folder: Path) -> list[str]:
    """What is wrong with the site in a folder, one line each."""
    pages = {path: Page(path) for path in sorted(folder.rglob("*.html"))}
    found = [] if pages else [f"{folder} has no pages"]
    for path, page in pages.items():
        where = path.relative_to(folder)
        found += [f"{where}: a formula shows {word} as text" for word in page.raw]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme == "data" or (
                path.name == "misalignment.html" and link.startswith("$")
            ):
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{where}: {link} is on another host")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{where}: {link} leads nowhere")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].places
            ):
                found.append(f"{where}: {link} has no such place")
    return found


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]).resolve())
    print(
        "\n".join(wrong)
        or "every link leads somewhere, none to another host, and formulas are whole"
    )
    sys.exit(bool(wrong))
