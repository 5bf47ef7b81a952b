"""The command line: `minirnn demo | data | train | evaluate | predict | explain | weights | …`.

Each command is a module of its own and only translates: options into arguments, results into text.
Nothing that computes or draws is imported before a command needs it, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from minirnn import __version__
from minirnn.cli.bench import bench
from minirnn.cli.data import data
from minirnn.cli.demo import demo
from minirnn.cli.devices import devices
from minirnn.cli.evaluate import evaluate
from minirnn.cli.explain import explain
from minirnn.cli.options import printable
from minirnn.cli.predict import predict
from minirnn.cli.report import report
from minirnn.cli.train import train
from minirnn.cli.verify import verify
from minirnn.cli.weights import weights
from minirnn.distributed.find import launched
from minirnn.distributed.supervisor import supervised
from minirnn.errors import DivergenceError, InputError, TrainingInterrupted, WorkerError

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


class Commands(click.Group):
    """The group of all commands, which turns errors into one line and an exit code.

    0: done. 1: the input is wrong (a file, an image, a value). 2: the command line is. 130: Ctrl-C.
    Any other exception is a bug of ours and keeps its traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; under mpiexec only one that its processes share out."""
        name, command, rest = super().resolve_command(ctx, args)
        _, size = launched()
        if size > 1 and not hasattr(getattr(command, "callback", None), "shared_out"):
            raise click.UsageError(
                f"{name} is not shared out among {size} ranks; start it without mpiexec"
            )
        return name, command, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command line, and leave with its exit code."""
        args = list(sys.argv[1:] if args is None else args)
        extra.setdefault("obj", args)  # for the demo, whose report says how to make it again
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "minirnn"
            _complain(f"{error.format_message().rstrip('.')} (see {where} --help)")
            code = error.exit_code
        except click.ClickException as error:
            _complain(error.format_message())
            code = error.exit_code
        except (InputError, DivergenceError, WorkerError) as error:
            _complain(str(error))
            code = 1
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            _complain(f"{name}{error.strerror or error}")
            code = 1
        except MemoryError as error:
            what = f"out of memory ({error})" if str(error) else "out of memory"
            kept = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
            _complain(f"{what}; a smaller --batch-size or --set min_size=… needs less{kept}")
            code = 1
        except click.Abort as error:  # click's word for Ctrl-C, and for an input that ended
            if isinstance(error.__cause__, EOFError):
                raise error.__cause__ from None
            if not isinstance(error.__cause__, TrainingInterrupted):  # which has had its say
                _complain("stopped by Ctrl-C")
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    if (
        launched()[0] > 0
    ):  # of several ranks the first says what has gone wrong, whose error it ever was
        return
    click.echo(printable(f"minirnn: error: {message}"), err=True)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="minirnn", message="%(prog)s %(version)s")
def cli() -> None:
    """Mask R-CNN from scratch: find objects in pictures, with box, name and exact outline.

    \b
    See it all work, from made-up pictures to a trained network (about 5 minutes):
        minirnn demo
    Then the same step by step:
        minirnn data shapes --out data/shapes
        minirnn train --data data/shapes --preset maskrcnn_shapes --out runs/shapes --steps 1000
        minirnn evaluate --weights runs/shapes/checkpoint.safetensors --data data/shapes
        minirnn predict photo.jpg --weights runs/shapes/checkpoint.safetensors
    And why:
        minirnn explain photo.jpg --weights runs/shapes/checkpoint.safetensors

    Each command has its own --help with an example.
    """


for _command in (
    *(demo, data, train, report, evaluate, predict, explain),
    *(weights, verify, bench, devices),
):
    cli.add_command(_command)


def main() -> NoReturn:
    """What the installed program `minirnn` runs."""
    supervised()
    cli.main(prog_name="minirnn")
