"""A command whose help shows its options under headings, and which of them it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Grouped(click.Command):
    """A command with many options.

    Args:
        groups: heading to names of parameters; options that it does not name stand under "Other options".
    """

    def __init__(
        self, *arguments: Any, groups: Mapping[str, Sequence[str]], **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self.groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        left = {parameter.name: parameter for parameter in self.get_params(ctx)}
        parts = {
            heading: [left.pop(name) for name in names] for heading, names in self.groups.items()
        }
        for heading, parameters in {**parts, "Other options": list(left.values())}.items():
            records = [parameter.get_help_record(ctx) for parameter in parameters]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record is not None])
