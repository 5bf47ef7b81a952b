"""The table of presets and conventions, made from the presets themselves.

    python -m minirnn.models.conventions docs/conventions.md

writes it into the page, between two marks; without a file it is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from minirnn.errors import InputError
from minirnn.models.config import Config
from minirnn.models.presets import PRESETS

#: Fields in which libraries read the same papers differently, in the order in which the network uses them.
CONVENTIONS = (
    "image_mean",
    "image_std",
    "bgr",
    "stride_in_1x1",
    "backbone_maps",
    "dilated_first",
    "norm",
    "norm_eps",
    "frozen_stages",
    "anchor_sizes",
    "anchor_ratios",
    "anchors_rounded",
    "anchors_cell_rounded",
    "anchor_offset",
    "anchor_integer_strides",
    "rpn_drop_outside",
    "rpn_box_weights",
    "rpn_beta",
    "roi_operation",
    "roi_sampling",
    "roi_aligned",
    "roi_canonical_size",
    "roi_canonical_level",
    "roi_level_rule",
    "roi_level_eps",
    "background_last",
    "box_weights",
    "box_beta",
    "mask_targets",
    "mask_paste",
)
_BEGIN = "<!-- made by python -m minirnn.models.conventions -->"
_END = "<!-- end -->"


def conventions_table() -> str:
    """Markdown: a column for each set of conventions, then the meaning of each row.

    Presets that agree in all conventions share a column, named after the first of them. What differs
    from the first column (torchvision) is in bold.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, config in PRESETS.items():
        groups.setdefault(tuple(config[field] for field in CONVENTIONS), []).append(name)
    first = next(iter(groups))
    lines = [
        "| | " + " | ".join(f"`{names[0]}`" for names in groups.values()) + " |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for row, field in enumerate(CONVENTIONS):
        cells = []
        for values in groups:
            text = _in_words(values[row])
            cells.append(text if values[row] == first[row] else f"**{text}**")
        lines.append(f"| `{field}` | " + " | ".join(cells) + " |")
    lines.append("")
    for names in groups.values():
        if len(names) > 1:
            others = ", ".join(f"`{name}`" for name in names[1:])
            lines += [f"The column of `{names[0]}` is also that of {others}.", ""]
    meanings = Config().meanings()
    lines += [f"- `{field}`: {meanings[field]}" for field in CONVENTIONS]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the present table between its two marks.

    Raises:
        InputError: a mark is missing.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"the page should have the lines {_BEGIN!r} and {_END!r}")
    return f"{before}{_BEGIN}\n\n{conventions_table()}\n{_END}{after}"


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_in_words(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(with_table(path.read_text("utf-8")), "utf-8")
    else:
        print(conventions_table(), end="")
