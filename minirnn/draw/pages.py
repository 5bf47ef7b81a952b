"""The pages' templates, which stand beside this file, with one style for all of them."""

from __future__ import annotations

from pathlib import Path

import jinja2


def template(name: str) -> jinja2.Template:
    """A template by the name of its file. What is filled in is text, unless it is marked as safe."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
