"""`minirnn devices`: what can be computed on, and what is missing."""

from __future__ import annotations

import click

from minirnn.cli.options import json_option, print_json, printable


@click.command(short_help="Say what can be computed on, and what is missing.")
@json_option
def devices(as_json: bool) -> None:
    """Say what this machine can compute on; for a GPU also what is missing, and what installs it.

    \b
        minirnn devices
        minirnn devices --json

    Ends with 0 with and without a GPU. Nothing falls back by itself: where --device cuda cannot be used, a
    command ends with what is missing.
    """
    from minirnn.devices import devices as look

    found = look()
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(printable(found.as_text()))
